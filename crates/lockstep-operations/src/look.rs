//! One look at all nodes of a cluster, judged.

use crate::commands::{CommandClient, CommandSource};
use crate::fingerprint;
use crate::key_expiry::Expiry;
use lockstep_client::internal::{Health, NodeStatus, QueryResult, leader_of};
use lockstep_config::{Config, KeyUse};
use lockstep_io::key_file::KeyFile;
use std::collections::BTreeMap;
use std::time::Duration;

/// One look at all nodes, judged: `status`, `why` and `fix` say the same.
pub struct Look {
    /// Asks the same nodes again.
    pub operator: CommandClient,
    /// The answers, in the order of the nodes' addresses.
    pub statuses: Vec<Option<NodeStatus>>,
    /// Each node that was asked, with its answer.
    pub asked: Vec<QueryResult>,
    /// When the keys are to be replaced, where there are keys.
    pub expiry: Option<Expiry>,
    /// The fingerprints of the operator's generations, for comparison with other hosts. A node that answers
    /// has the same keys.
    pub fingerprints: BTreeMap<u8, String>,
    /// The verdict.
    pub health: Health,
}

impl Look {
    /// Looks until a replica leads, or until the time is over.
    ///
    /// # Errors
    /// The file or the key of the operator cannot be read, or no device opens.
    pub fn take<S: CommandSource>(cluster: &S, timeout: Duration) -> Result<Self, S::Error> {
        let config = cluster.config()?;
        let mut operator = CommandClient::open(cluster, timeout)?;
        let statuses = operator.look_for_leader()?;
        let asked = operator.nodes.asked(&statuses);
        let expiry = Expiry::of_operator(&config);
        let health = Health::judge(&asked).with_keys(expiry.map(|expiry| expiry.days_left));
        let fingerprints = fingerprints(&config);
        Ok(Self { operator, statuses, asked, expiry, fingerprints, health })
    }

    /// The leader, as it describes itself.
    pub fn leader(&self) -> Option<&NodeStatus> {
        leader_of(&self.statuses)
    }
}

/// The fingerprints of the operator's keys; a file that cannot be read has none.
fn fingerprints(config: &Config) -> BTreeMap<u8, String> {
    let path = config.key_file(KeyUse::Operator);
    let Some(file) = path.and_then(|path| KeyFile::read(&path).ok()) else { return BTreeMap::new() };
    file.generations.iter().map(|row| (row.number, fingerprint::of(file.cluster, row))).collect()
}
