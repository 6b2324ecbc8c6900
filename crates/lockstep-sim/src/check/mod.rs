//! The checkers: an oracle outside the system that sees every log, every datagram and every delivery.
//! It knows the rules as sentences, not the code that keeps them.
//!
//! * [`log_tree`] holds every frame that was ever stamped: S1, S5's start, S8 in every single log.
//! * [`reference_model`] counts for itself what is committed, from what replicas really store: S4, S5, S6.
//! * `replicas` watches logs and promises, `datagrams` what is sent of them: S1, S2, S3, S7, S9, S11.
//! * `answers` watches the contents of datagrams beside the protocol: heartbeats, statuses, replies, results
//!   of commands, notices.
//! * `events` watches the events of readers, publishers and operators, and that each is reported once.
//! * `tables` folds each replica's log anew: S8.
//! * `views` watches how readers go from leader to leader and from membership to membership: primary order,
//!   view synchrony.
//! * `rejoins` judges what a replica had seen that gave its journal up: REJOIN-1.
//! * `founding` knows which history is an ancestor, and what it had: LINEAGE-1 to LINEAGE-3.
//! * `clients` watches what is delivered and which outcomes are reported: S10 and the four promises.

mod answers;
mod clients;
pub mod clocks;
mod datagrams;
mod events;
mod founding;
pub mod log_tree;
pub mod reference_model;
mod rejoins;
mod replicas;
mod tables;
pub mod views;

pub use datagrams::SentDatagram;
pub use founding::ReportedFounding;
pub use rejoins::RejoinClaim;
pub use tables::on_storing;

use super::coverage::Coverage;
use clients::{PublisherModel, ReaderModel};
use clocks::ClockJudge;
use events::{EventCheck, Log, ReportedEvents, UnicastHeartbeats};
use founding::Founded;
use lockstep_core::proto::log::LogEnd;
use lockstep_wire::{Epoch, Identity, PublisherId, PublisherSeq, Seq};
use log_tree::{Tree, TreeNode};
use reference_model::ReferenceModel;
use replicas::{Ballots, ReplicaModel};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddrV4;
use views::ViewPassages;

/// The violation, in words, with the rule's id in front.
pub type Violation = String;

/// A message: its publisher, its number, and a digest of its payload.
pub type MessageKey = (PublisherId, PublisherSeq, u64);

/// FNV-1a: enough to tell payloads apart in a test.
pub fn digest(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3))
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Oracle {
    /// Every frame.
    pub tree: Tree,
    /// The committed stream.
    pub reference: ReferenceModel,
    /// Every identity ever handed in.
    published: BTreeSet<MessageKey>,
    /// Digests of committed messages of the edge that came in parts.
    pub whole: BTreeSet<u64>,
    /// The clocks of the replicas' processes.
    pub clocks: ClockJudge,
    replicas: BTreeMap<usize, ReplicaModel>,
    /// The ends of the logs that replicas replaced in their last turn: earlier acks and promises are about
    /// these.
    replaced: BTreeMap<usize, Vec<TreeNode>>,
    writers: BTreeMap<usize, PublisherModel>,
    readers: BTreeMap<usize, ReaderModel>,
    ballots: BTreeMap<Epoch, Ballots>,
    /// The run of a process in which each epoch is stamped.
    stamping: BTreeMap<Epoch, u64>,
    /// Identities that may have forgotten something.
    forgotten: BTreeSet<Identity>,
    /// Requests, by asker and token: the epoch that they follow, and whether they ask for a start.
    /// A process that begins anew counts its tokens from 1 again.
    asked: BTreeMap<(SocketAddrV4, u64), Vec<(Epoch, bool)>>,
    /// The last proof that each process demanded of an address, ...
    proofs_demanded: BTreeMap<(usize, SocketAddrV4), u64>,
    /// ... and all that were returned, by address.
    proofs_returned: BTreeSet<(SocketAddrV4, u64)>,
    /// Queries of clients, by asker and token: the names in them.
    queries: BTreeMap<(SocketAddrV4, u64), Vec<String>>,
    /// The nonce that each run of a replica's process drew at its start.
    process_nonces: BTreeMap<u64, u64>,
    /// The heartbeats that leaders have sent by unicast.
    unicast_heartbeats: UnicastHeartbeats,
    /// The events reported to each client, and by each replica to its operator.
    ears: BTreeMap<usize, EventCheck>,
    /// The passages of all readers from one view to another.
    passages: ViewPassages,
    reported: BTreeMap<usize, ReportedEvents>,
    logs: BTreeMap<usize, Log>,
    /// The destination of the last handover command to each replica.
    handovers: BTreeMap<usize, Option<Identity>>,
    /// Epochs whose leaders have reported that they stop, and those whose leaders' watchers have announced a
    /// death.
    stopped: BTreeSet<Epoch>,
    announced_dead: BTreeSet<Epoch>,
    /// The operator's commands: the membership that each follows, and its identity.
    orders: BTreeSet<(Seq, Identity)>,
    /// The ends of logs and commits of replicas when their tables were last checked.
    tabled: BTreeMap<usize, (LogEnd, Seq)>,
    /// The history that was founded on the rest of the first one.
    founding: Option<Founded>,
    /// The coverage of what was generated.
    pub coverage: Coverage,
}

impl Default for Oracle {
    /// The oracle of a run that has not begun.
    fn default() -> Self {
        Self {
            tree: Tree::default(),
            reference: ReferenceModel::default(),
            published: BTreeSet::new(),
            whole: BTreeSet::new(),
            clocks: ClockJudge::default(),
            replicas: BTreeMap::new(),
            replaced: BTreeMap::new(),
            writers: BTreeMap::new(),
            readers: BTreeMap::new(),
            ballots: BTreeMap::new(),
            stamping: BTreeMap::new(),
            forgotten: BTreeSet::new(),
            asked: BTreeMap::new(),
            proofs_demanded: BTreeMap::new(),
            proofs_returned: BTreeSet::new(),
            queries: BTreeMap::new(),
            process_nonces: BTreeMap::new(),
            unicast_heartbeats: UnicastHeartbeats::default(),
            ears: BTreeMap::new(),
            passages: ViewPassages::default(),
            reported: BTreeMap::new(),
            logs: BTreeMap::new(),
            handovers: BTreeMap::new(),
            stopped: BTreeSet::new(),
            announced_dead: BTreeSet::new(),
            orders: BTreeSet::new(),
            tabled: BTreeMap::new(),
            founding: None,
            coverage: Coverage::default(),
        }
    }
}

impl Oracle {
    /// The watcher of the leader of `epoch` announces its death: it knows the epoch's secret.
    pub fn on_death(&mut self, epoch: Epoch) {
        self.announced_dead.insert(epoch);
    }

    /// The operator commands a change of this identity, behind the membership at `after`.
    pub fn on_command(&mut self, after: Seq, identity: Identity) {
        self.orders.insert((after, identity));
    }

    /// A leader is commanded to hand over, to this identity or to the one with the longest log.
    pub fn on_handover(&mut self, who: usize, to: Option<Identity>) {
        self.handovers.insert(who, to);
    }

    /// S9: this identity may have forgotten something. It never counts again.
    pub fn on_forgotten(&mut self, identity: Identity) {
        self.forgotten.insert(identity);
    }

    /// The exclusive bound of what is committed.
    pub fn commit_next(&self) -> Seq {
        self.tree.next(self.reference.tip())
    }
}
