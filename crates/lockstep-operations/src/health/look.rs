//! One look at a cluster, graded.

use super::grade::{Examined, HealthReport, HealthThresholds};
use crate::OperationError;
use crate::commands::{CommandClient, CommandSource};
use crate::key_expiry::Expiry;
use lockstep_client::internal::leader_of;
use std::net::{SocketAddrV4, TcpStream};
use std::time::Duration;

/// How long a node may take to accept a connection, where no node has answered a query.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(300);

/// What a monitor asks.
#[derive(Clone, Copy, Debug)]
pub struct HealthQuery {
    /// This replica or archiver alone, instead of the cluster.
    pub replica: Option<u32>,
    /// How long to look for a leader.
    pub timeout: Duration,
    /// From which value on something is graded.
    pub thresholds: HealthThresholds,
}

/// Looks once, and grades.
///
/// # Errors
/// The file or the keys cannot be read, no device opens, or nobody knows the replica. A monitor is given
/// [`HealthReport::unknown`] with it.
pub fn examine<S: CommandSource>(cluster: &S, query: &HealthQuery) -> Result<HealthReport, S::Error> {
    let HealthQuery { replica, timeout, thresholds } = query;
    let mut operator = CommandClient::open(cluster, *timeout)?;
    let statuses = operator.look_for_leader()?;
    if statuses.iter().all(Option::is_none)
        && let Some(address) = operator.nodes.addresses.iter().find(|address| accepts(**address))
    {
        return Ok(HealthReport::unknown(&format!(
            "a process accepts connections at {address}, and does not answer queries: it has another \
             cluster number or other keys than this file, or is another program"
        )));
    }
    let asked = operator.nodes.asked(&statuses);
    let leader = leader_of(&statuses);
    let expiry = Expiry::of_operator(&cluster.config()?);
    let examined =
        Examined { asked: &asked, leader, leads_for: leader.and_then(|leader| leader.epoch_age), expiry };
    let Some(replica) = *replica else { return Ok(examined.cluster(thresholds)) };
    examined.replica(replica, thresholds).ok_or_else(|| {
        let what = format!("--replica {replica}: neither the file nor the membership has it");
        OperationError::Refused(what).into()
    })
}

/// Whether a process listens at this address for readers of its journal, as every replica and archiver does:
/// then a silence is no crash.
fn accepts(address: SocketAddrV4) -> bool {
    TcpStream::connect_timeout(&address.into(), CONNECT_TIMEOUT).is_ok()
}
