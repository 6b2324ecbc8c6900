//! What the orders of an operator share: one looks at all replicas, finds the leader, gives an order, and
//! waits until the cluster shows that it is carried out, or until the time is over.

mod acknowledge;
mod declare_dead;
mod handover;
mod membership;
mod stream_time;
mod upgrade;

pub use acknowledge::{acknowledge, check_acknowledged};
pub use declare_dead::declare_dead;
pub use handover::{HandedOver, hand_over};
pub use membership::{
    JoinNotice, MemberAddition, add_member, check_successor, remove_member, replace_member, tolerates,
};
pub use stream_time::{ClusterTimes, NodeClock, TimeCorrected, correct_time};
pub use upgrade::{ClusterVersions, NodeVersions, Upgradable, finish_upgrade, releases};

use crate::OperationError;
use lockstep_client::Endpoint;
use lockstep_client::internal::{ClusterNodes, NodeStatus, QueryClient, leader_of};
use lockstep_config::{Config, Role};
use lockstep_io::clock::random_u64;
use lockstep_wire::{CommandReject, Identity, LeaderLossReason, OperatorKey, QueryKind};
use std::net::SocketAddrV4;
use std::time::{Duration, Instant};

/// The cluster to which orders are given, and the key that signs them.
pub trait CommandSource {
    /// Why there is no cluster, or no key.
    type Error: From<OperationError>;

    /// The cluster's file.
    ///
    /// # Errors
    /// It cannot be read.
    fn config(&self) -> Result<Config, Self::Error>;

    /// The key of this host's operator; none where orders are not signed.
    ///
    /// # Errors
    /// It cannot be read.
    fn signing_key(&self, config: &Config) -> Result<Option<OperatorKey>, Self::Error>;
}

/// How long the nodes may take to answer one look: whoever is silent is then shown as silent.
const POLL_TIMEOUT: Duration = Duration::from_millis(300);
/// Pause between looks.
const POLL_PERIOD: Duration = Duration::from_millis(20);

/// Asks the replicas of a cluster until a deadline.
pub struct CommandClient {
    /// The nodes of the cluster.
    pub nodes: ClusterNodes,
    /// Numbers of those that the file calls witnesses.
    witnesses: Vec<u32>,
    started: Instant,
    timeout: Duration,
}

impl CommandClient {
    /// Reads the file and opens a device.
    ///
    /// # Errors
    /// The file or the key of the operator cannot be read, or no device opens.
    pub fn open<S: CommandSource>(cluster: &S, timeout: Duration) -> Result<Self, S::Error> {
        let config = cluster.config()?;
        let witnesses = config.replicas.iter().filter(|replica| replica.role == Role::Witness);
        let endpoint = Endpoint::for_operator(&config).map_err(OperationError::from)?;
        let mut client = QueryClient::open(&endpoint).map_err(OperationError::from)?;
        if let Some(operator) = cluster.signing_key(&config)? {
            client.sign_by(operator, random_u64().map_err(OperationError::from)?);
        }
        Ok(Self {
            nodes: ClusterNodes::new(client, &config),
            witnesses: witnesses.map(|replica| replica.id).collect(),
            started: Instant::now(),
            timeout,
        })
    }

    /// The rest of the time.
    pub fn left(&self) -> Duration {
        self.timeout.saturating_sub(self.elapsed())
    }

    /// How long this command runs.
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Asks every node once, and those that a membership names for the first time too, in the rest of the
    /// time at most. The answers stand in the order of the nodes' addresses.
    pub fn look(&mut self) -> Vec<Option<NodeStatus>> {
        self.nodes.look(POLL_TIMEOUT.min(self.left()).max(Duration::from_millis(1)))
    }

    /// Whether the file calls this replica a witness.
    pub fn is_witness(&self, replica: u32) -> bool {
        self.witnesses.contains(&replica)
    }

    /// Looks again and again until `found` finds something in what the replicas say.
    ///
    /// # Errors
    /// Those of `found`; not ready, with what was waited for and what the replicas say instead.
    pub fn wait<T, E: From<OperationError>>(
        &mut self,
        what: &str,
        mut found: impl FnMut(&mut Self, &[Option<NodeStatus>]) -> Result<Option<T>, E>,
    ) -> Result<T, E> {
        loop {
            let statuses = self.look();
            if let Some(found) = found(self, &statuses)? {
                return Ok(found);
            }
            if self.left().is_zero() {
                let summary = self.summary(&statuses);
                let why = format!("{what} within {:?}: {summary}", self.timeout);
                return Err(OperationError::NotReady(why).into());
            }
            std::thread::sleep(POLL_PERIOD.min(self.left()));
        }
    }

    /// Looks until a replica leads, and returns the answers to the last complete look: the replica that leads
    /// answers at the first one, unless it is just being replaced. Without a leader they are those of nodes
    /// that wait for one.
    ///
    /// # Errors
    /// None by itself: without a leader the answers are the result.
    pub fn look_for_leader(&mut self) -> Result<Vec<Option<NodeStatus>>, OperationError> {
        let mut statuses = Vec::new();
        let found = self.wait("no leader was found", |operator, seen| -> Result<_, OperationError> {
            if statuses.is_empty() || !operator.left().is_zero() {
                statuses = seen.to_vec();
            }
            Ok(leader_of(seen).map(|_| statuses = seen.to_vec()))
        });
        match found {
            Ok(()) | Err(OperationError::NotReady(_)) => Ok(statuses),
            Err(error) => Err(error),
        }
    }

    /// The leader, as it describes itself.
    ///
    /// # Errors
    /// Nobody leads in time.
    pub fn leader(&mut self) -> Result<NodeStatus, OperationError> {
        Ok(self.leader_and_all()?.0)
    }

    /// The leader, and the answers to the look that found it.
    ///
    /// # Errors
    /// Nobody leads in time.
    pub fn leader_and_all(&mut self) -> Result<(NodeStatus, Vec<Option<NodeStatus>>), OperationError> {
        self.wait("no leader was found", |_, statuses| {
            Ok(leader_of(statuses).map(|leader| (leader.clone(), statuses.to_vec())))
        })
    }

    /// Orders a leader to give its place to `to`, or to whoever holds most, and waits `wait` at most until it
    /// takes the order.
    ///
    /// # Errors
    /// It refuses, or does not answer.
    pub fn order_handover(
        &mut self,
        leader: &NodeStatus,
        to: Option<Identity>,
        wait: Duration,
    ) -> Result<(), OperationError> {
        let who = format!("leader {} at {}", leader.identity, leader.address);
        match self.nodes.client.send_command(leader, QueryKind::Handover, to, wait) {
            Some(Ok(())) => Ok(()),
            Some(Err(why)) => {
                let why = describe(why, to.unwrap_or(leader.identity));
                Err(OperationError::Failed(format!("{who} does not hand over: {why}")))
            }
            None => {
                let what = format!("{who} did not answer within {wait:?}; look at `lockstep status`");
                Err(OperationError::NotReady(what))
            }
        }
    }

    /// One line: who answers, and as what.
    fn summary(&self, statuses: &[Option<NodeStatus>]) -> String {
        let one = |(address, status): (&SocketAddrV4, &Option<NodeStatus>)| match status {
            Some(status) => format!("{} is {}", status.identity, status.role.name()),
            None => format!("{address} does not answer"),
        };
        let summary: Vec<_> = self.nodes.addresses.iter().zip(statuses).map(one).collect();
        if statuses.iter().all(Option::is_none) {
            return format!(
                "{}; start the sequencers, and check that their addresses are these",
                summary.join(", ")
            );
        }
        format!("{}; `lockstep status` shows more", summary.join(", "))
    }
}

/// Why an order is not taken, and what to do.
pub fn describe(why: CommandReject, about: Identity) -> String {
    match why {
        CommandReject::NotLeader => "it does not lead any more: ask again".to_owned(),
        CommandReject::NotListed => {
            format!("{about} is no member: `lockstep membership show` lists those that there are")
        }
        CommandReject::Witness => format!("{about} is a witness, and those never lead: name a full member"),
        CommandReject::Leads => format!("{about} leads: run `lockstep handover` first, then ask again"),
        CommandReject::Busy => "the leader stops or hands over already: look at `lockstep status`, then ask again".into(),
        CommandReject::ChangePending => {
            "an earlier change of the membership is not committed yet: a quorum must acknowledge it; ask again"
                .to_owned()
        }
        CommandReject::StartPending => {
            "the leader's epoch is not committed yet: a quorum must acknowledge it; ask again".to_owned()
        }
        CommandReject::ReplicaListed => format!(
            "another identity of replica {} is a member: a dead one is removed first, then its successor is \
             added",
            about.replica
        ),
        CommandReject::Full => "there are seven members already: remove one first".to_owned(),
        CommandReject::LastMember => "no other member could lead: add a full member first".to_owned(),
        CommandReject::Stale => {
            "the leader or the membership has changed meanwhile: look at `lockstep status`, then ask again".to_owned()
        }
        CommandReject::NotTwo => {
            "only one of exactly two members can be declared dead: with more, the others go on without it, and \
             it is removed with `lockstep membership remove`"
                .to_owned()
        }
        CommandReject::Incomplete => {
            "the survivor cannot prove that it forgot nothing: start the other one, or begin a new history"
                .to_owned()
        }
        CommandReject::Alive => format!("{about} still sends, or its silence is too short: stop it, then ask again"),
        CommandReject::SelfDeclared => format!("{about} is the one that was asked: name the other one"),
        CommandReject::NotAllowed => {
            "the key of this host does not allow it: `lockstep keys show` on a replica's host lists what each key allows"
                .to_owned()
        }
        CommandReject::Unsigned => {
            "the order is not signed with the secret of the public key that replica.keys has for this operator: compare \
             `lockstep keys show` there with the file `operators` here, and the key's name and number in both"
                .to_owned()
        }
        CommandReject::TooMany => {
            "signatures of this operator's key come faster than they are checked: ask again; if no operator \
             gives orders, others have the key"
                .to_owned()
        }
        CommandReject::Version => {
            "the leader does not speak this version, or its log has it already: `lockstep upgrade` shows both".to_owned()
        }
        CommandReject::NotAhead => {
            "the stream's time is not ahead of a quorum's clocks: there is nothing to set back, or corrected clocks are not trusted yet".to_owned()
        }
        CommandReject::ClocksUnknown => {
            "the leader has not received the clocks of a quorum: `lockstep status` shows who is away; ask again".to_owned()
        }
        CommandReject::OldLog => {
            "the log is of a version that does not have this order: `lockstep upgrade --finish` comes before".to_owned()
        }
        CommandReject::TwoMembers => format!(
            "of two members the one that leaves would have to acknowledge it: if it is gone for good, `lockstep \
             declare-dead` it, then `lockstep membership add {about}`"
        ),
    }
}

/// Why a leader was missed, in words.
pub fn suspicion(why: LeaderLossReason) -> &'static str {
    match why {
        LeaderLossReason::Down => "its watcher announced its death",
        LeaderLossReason::StepDown => "it stepped down",
        LeaderLossReason::Silence => "it was silent",
        LeaderLossReason::NoProgress => "it made no progress",
        LeaderLossReason::Refused => "a member had promised a higher epoch",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_denial_says_what_to_do() {
        let about = Identity { replica: 3, incarnation: 9 };
        let all = (1..).map_while(CommandReject::from_u32);
        assert_eq!(all.inspect(|why| assert!(describe(*why, about).contains(':'), "{why:?}")).count(), 23);
    }
}
