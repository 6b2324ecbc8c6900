//! What the operator's commands share: they look at all replicas, find the leader, give an order, and wait
//! until the cluster shows that it is carried out, or until their time is over.

use super::Failure;
use super::expiry::Expiry;
use super::failure::{DEGRADED, FAILED, NOT_READY};
use super::fingerprint;
use super::secret::OPERATOR;
use lockstep_client::Endpoint;
use lockstep_client::internal::{
    ClusterHealth, ClusterNodes, Health, NodeStatus, QueryClient, QueryResult, leader_of,
};
use lockstep_daemon::args::ClusterArgs;
pub use lockstep_daemon::config::grouped;
use lockstep_daemon::config::{Config, KeyUse, Role};
use lockstep_io::clock::random_u64;
use lockstep_io::key_file::{KeyFile, OPERATOR_FILE};
pub use lockstep_top::figures::{age, short};
use lockstep_wire::{CommandReject, Identity, KeyClass, LeaderLossReason, OperatorKey, QueryKind};
use std::collections::BTreeMap;
use std::net::SocketAddrV4;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

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
    pub fn open(cluster: &ClusterArgs, timeout: Duration) -> Result<Self, Failure> {
        let config = cluster.load(&[])?;
        let witnesses = config.replicas.iter().filter(|replica| replica.role == Role::Witness);
        let mut client = QueryClient::open(&Endpoint::for_operator(&config)?)?;
        if let Some(operator) = signing_key(&config)? {
            client.sign_by(operator, random_u64()?);
        }
        Ok(Self {
            nodes: ClusterNodes::new(client, &config),
            witnesses: witnesses.map(|replica| replica.id).collect(),
            started: now(),
            timeout,
        })
    }

    /// The rest of the time.
    pub fn left(&self) -> Duration {
        self.timeout.saturating_sub(self.elapsed())
    }

    /// How long this command runs.
    pub fn elapsed(&self) -> Duration {
        now().duration_since(self.started)
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
    /// Exit code 4 with what was waited for and what the replicas say instead.
    pub fn wait<T>(
        &mut self,
        what: &str,
        mut found: impl FnMut(&mut Self, &[Option<NodeStatus>]) -> Result<Option<T>, Failure>,
    ) -> Result<T, Failure> {
        loop {
            let statuses = self.look();
            if let Some(found) = found(self, &statuses)? {
                return Ok(found);
            }
            if self.left().is_zero() {
                let summary = self.summary(&statuses);
                let why = format!("{what} within {:?}: {summary}", self.timeout);
                return Err(Failure::new(NOT_READY, why));
            }
            pause(POLL_PERIOD.min(self.left()));
        }
    }

    /// Looks until a replica leads, and returns the answers to the last complete look: the replica that leads
    /// answers at the first one, unless it is just being replaced. Without a leader they are those of nodes
    /// that wait for one.
    pub fn look_for_leader(&mut self) -> Result<Vec<Option<NodeStatus>>, Failure> {
        let mut statuses = Vec::new();
        let found = self.wait("no leader was found", |operator, seen| {
            if statuses.is_empty() || !operator.left().is_zero() {
                statuses = seen.to_vec();
            }
            Ok(leader_of(seen).map(|_| statuses = seen.to_vec()))
        });
        match found {
            Err(failure) if failure.code() != NOT_READY => Err(failure),
            _ => Ok(statuses),
        }
    }

    /// The leader, as it describes itself.
    pub fn leader(&mut self) -> Result<NodeStatus, Failure> {
        Ok(self.leader_and_all()?.0)
    }

    /// The leader, and the answers to the look that found it.
    pub fn leader_and_all(&mut self) -> Result<(NodeStatus, Vec<Option<NodeStatus>>), Failure> {
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
    ) -> Result<(), Failure> {
        let who = format!("leader {} at {}", leader.identity, leader.address);
        match self.nodes.client.send_command(leader, QueryKind::Handover, to, wait) {
            Some(Ok(())) => Ok(()),
            Some(Err(why)) => {
                let why = describe(why, to.unwrap_or(leader.identity));
                Err(Failure::new(FAILED, format!("{who} does not hand over: {why}")))
            }
            None => {
                let what = format!("{who} did not answer within {wait:?}; look at `lockstep status`");
                Err(Failure::new(NOT_READY, what))
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

/// The fingerprints of the operator's keys; a file that cannot be read has none.
fn fingerprints(cluster: &ClusterArgs) -> Result<BTreeMap<u8, String>, Failure> {
    let path = cluster.load(&[])?.key_file(KeyUse::Operator);
    let Some(file) = path.and_then(|path| KeyFile::read(&path).ok()) else { return Ok(BTreeMap::new()) };
    Ok(file.generations.iter().map(|row| (row.number, fingerprint::of(file.cluster, row))).collect())
}

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
    pub fn take(cluster: &ClusterArgs, timeout: Duration) -> Result<Self, Failure> {
        let mut operator = CommandClient::open(cluster, timeout)?;
        let statuses = operator.look_for_leader()?;
        let asked = operator.nodes.asked(&statuses);
        let expiry = Expiry::of(cluster)?;
        let health = Health::judge(&asked).with_keys(expiry.map(|expiry| expiry.days_left));
        let fingerprints = fingerprints(cluster)?;
        Ok(Self { operator, statuses, asked, expiry, fingerprints, health })
    }

    /// The leader, as it describes itself.
    pub fn leader(&self) -> Option<&NodeStatus> {
        leader_of(&self.statuses)
    }

    /// The exit code of the cluster's health.
    pub fn code(&self) -> u8 {
        match self.health.health {
            ClusterHealth::Healthy => 0,
            ClusterHealth::Degraded => DEGRADED,
            ClusterHealth::NoLeader | ClusterHealth::NoQuorum | ClusterHealth::NoHistory => NOT_READY,
        }
    }
}

/// The key by which the orders of this host are signed: an operator's. Nobody signs where the file of a
/// replica seals them, or where there are no keys.
pub fn signing_key(config: &Config) -> Result<Option<OperatorKey>, Failure> {
    let path = config.key_file(KeyUse::Operator).filter(|path| path.ends_with(OPERATOR_FILE));
    let Some(path) = path else { return Ok(None) };
    let file = KeyFile::read(&path)?;
    let KeyClass::Publisher(number) = file.class else { return Ok(None) };
    let name = file.publishers().find(|(own, _)| *own == number).map_or("", |(_, name)| name);
    let secret = OPERATOR.read(config, name)?;
    Ok(Some(lockstep_notary::operator_key(config.cluster, (number, name), &secret)))
}

/// The moment, for what a command waits for.
#[allow(clippy::disallowed_methods)] // that is people and processes, not messages
pub fn now() -> Instant {
    Instant::now()
}

/// Lets time pass, for a command or a side thread.
#[allow(clippy::disallowed_methods)] // as above
pub fn pause(time: Duration) {
    std::thread::sleep(time);
}

/// Calls `f` once `interval` has passed, and then each interval, until `stop` is set or `f` fails. Calls that
/// were missed, by a stopped process for instance, are not made up for.
pub fn each_interval(
    interval: Duration,
    stop: &AtomicBool,
    mut f: impl FnMut() -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut due = now();
    while !stop.load(Ordering::Acquire) {
        due += interval;
        match due.checked_duration_since(now()) {
            Some(rest) => pause(rest),
            None => due = now(),
        }
        if !stop.load(Ordering::Acquire) {
            f()?;
        }
    }
    Ok(())
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
