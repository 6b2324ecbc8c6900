//! The stream's time beside the nodes' clocks, and the way back of a stream that ran ahead.
//!
//! ```text
//!   a quorum's clocks were ahead ─▶ set right ─▶ the stream's time stands still ─▶ corrected: it is right
//! ```

use super::{CommandClient, describe};
use crate::OperationError;
use lockstep_client::internal::{NodeStatus, NodeTimes, leader_of};
use lockstep_wire::{Nanos, Seq};
use std::net::SocketAddrV4;
use std::time::Duration;

/// How long the nodes may take to tell their times: one of an older release does not tell them.
const ASK_FOR: Duration = Duration::from_millis(500);

/// One node, and what it tells of time; an older release tells nothing.
#[derive(Clone, Debug)]
pub struct NodeClock {
    /// Its identity, or its address where it does not answer.
    pub name: String,
    /// What it tells.
    pub times: Option<NodeTimes>,
}

/// The stream's time, and the clocks of all nodes.
#[derive(Clone, Debug)]
pub struct ClusterTimes {
    /// Every replica and archiver.
    pub nodes: Vec<NodeClock>,
    /// The leader.
    pub leader: NodeStatus,
    /// What the leader tells.
    pub of_leader: NodeTimes,
}

impl ClusterTimes {
    /// Asks the nodes.
    ///
    /// # Errors
    /// Nobody leads in time, or the leader does not report its times.
    pub fn ask(operator: &mut CommandClient) -> Result<Self, OperationError> {
        let (leader, statuses) = operator.leader_and_all()?;
        let addresses = operator.nodes.addresses.clone();
        let times = operator.nodes.client.times(&addresses, ASK_FOR);
        let node = |((address, status), times): ((&SocketAddrV4, &Option<NodeStatus>), _)| {
            let name =
                status.as_ref().map_or_else(|| address.to_string(), |status| status.identity.to_string());
            NodeClock { name, times }
        };
        let nodes: Vec<_> = addresses.iter().zip(&statuses).zip(times).map(node).collect();
        let leads = leader.identity.to_string();
        let of_leader = nodes.iter().find(|node| node.name == leads).and_then(|node| node.times);
        let Some(of_leader) = of_leader else {
            let what = format!(
                "leader {leads} does not report its times: it is of an older release, or did not answer"
            );
            return Err(OperationError::not_ready(what));
        };
        Ok(Self { nodes, leader, of_leader })
    }
}

/// The stream's time was set back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TimeCorrected {
    /// The time before.
    pub before: Nanos,
    /// The time behind the order.
    pub after: Nanos,
    /// The order is committed below this seq.
    pub committed_next: Seq,
}

/// Sets the stream's time, which ran ahead, back to that of a quorum's clocks.
///
/// # Errors
/// The leader does not take the order, or it is not committed in time.
pub fn correct_time(
    operator: &mut CommandClient,
    times: &ClusterTimes,
) -> Result<TimeCorrected, OperationError> {
    let leader = &times.leader;
    let before = times.of_leader.stream.unwrap_or(0);
    let left = operator.left();
    match operator.nodes.client.send_time_order(leader, before, left) {
        Some(Ok(())) => {}
        Some(Err(why)) => {
            let what = format!("leader {}: {}", leader.identity, describe(why, leader.identity));
            return Err(OperationError::failed(what));
        }
        None => {
            let what = format!("leader {} did not answer; look at `lockstep time`", leader.identity);
            return Err(OperationError::not_ready(what));
        }
    }
    let (after, committed_next) = wait_until_set_back(operator, before)?;
    Ok(TimeCorrected { before, after, committed_next })
}

/// Waits until a leader's log has a lower time, and everything in it is committed at that moment.
fn wait_until_set_back(operator: &mut CommandClient, before: Nanos) -> Result<(Nanos, Seq), OperationError> {
    let mut seen: Option<(Nanos, Seq)> = None;
    operator.wait(
        "the leader was ordered to set the stream's time back, and that is not committed",
        |operator, statuses| {
            let Some(leader) = leader_of(statuses) else { return Ok(None) };
            if seen.is_none() {
                let answer = operator.nodes.client.times(&[leader.address], ASK_FOR).pop().flatten();
                let stream = answer.and_then(|times| times.stream).filter(|time| *time < before);
                seen = stream.map(|time| (time, leader.accept_next));
            }
            Ok(seen.filter(|(_, next)| leader.commit_next >= *next))
        },
    )
}
