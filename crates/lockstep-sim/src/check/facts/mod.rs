//! The facts that all families of rules read: every frame, the committed stream, the log and the promise of
//! each replica, the present history. An observation is written down here once; the state of a rule stands
//! with its checker.

mod founding;

pub(crate) use founding::Founded;
pub use founding::ReportedFounding;

use crate::check::log_tree::{Tree, TreeNode};
use crate::check::reference_model::ReferenceModel;
use crate::check::{MessageKey, Violation, digest};
use crate::coverage::{Coverage, Event};
use crate::engines::address;
use crate::net::To;
use lockstep_core::proto::commit::Durability;
use lockstep_core::proto::log::LogEnd;
use lockstep_wire::{Chain, Epoch, Identity, PublisherId, PublisherSeq, Seq};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddrV4;

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct OracleFacts {
    /// Every frame.
    pub tree: Tree,
    /// The committed stream.
    pub reference: ReferenceModel,
    /// The history that was founded on the rest of the first one.
    pub(super) founding: Option<Founded>,
    /// Every identity ever handed in.
    pub(super) published: BTreeSet<MessageKey>,
    /// The processes whose publishers hand messages in here.
    pub(super) publishing: BTreeSet<usize>,
    /// Messages that were reported as never to be stamped, and the processes to which they were.
    pub(super) doomed: BTreeSet<(MessageKey, usize)>,
    pub(super) replicas: BTreeMap<usize, ReplicaModel>,
    /// The ends of the logs that replicas replaced in their last turn: earlier acks and promises are about
    /// these.
    pub(super) replaced: BTreeMap<usize, Vec<TreeNode>>,
    pub(super) ballots: BTreeMap<Epoch, Ballots>,
    /// Identities that may have forgotten something.
    pub(super) forgotten: BTreeSet<Identity>,
    /// Epochs whose leaders have reported that they stop.
    pub(super) stopped: BTreeSet<Epoch>,
    /// The heartbeats that leaders have sent by unicast.
    pub(super) unicast_heartbeats: UnicastHeartbeats,
    /// The coverage of what was generated.
    pub coverage: Coverage,
}

/// The observed state of one replica.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct ReplicaModel {
    pub(super) identity: Identity,
    /// The run of the process of this journal, ...
    pub(super) run: u64,
    /// ... and the durability that it is configured with.
    pub(super) configured: Durability,
    pub(super) end: LogEnd,
    pub(super) tip: Option<TreeNode>,
    /// The end of its log before its last turn.
    pub(super) tip_before: Option<TreeNode>,
    /// The log that the last suffix replacement replaced.
    pub(super) replaced: Option<TreeNode>,
    pub(super) durable: Seq,
    /// Its value when the last turn began: an ack may precede a suffix replacement in that turn.
    pub(super) durable_before: Seq,
    pub(super) promised: Epoch,
    pub(super) promise_stored: Epoch,
    /// Below this it sends nothing any more (S2): the value before the turn, raised by what it sends.
    pub(super) level: Epoch,
    /// The newest ack: the log up to here must survive.
    pub(super) acked: Option<TreeNode>,
    /// The newest epoch of an ack or a promise: the promise must survive.
    pub(super) epoch_sent: Epoch,
    pub(super) commit_next: Seq,
    /// The end of the checkpoint behind which it begins: a process that dies may have stored it.
    pub(super) storing: LogEnd,
}

impl ReplicaModel {
    /// The values that a turn may change: promise, stored promise, durable end, the log's end, the commit.
    pub(crate) fn sends(&self) -> (Epoch, Epoch, Seq, LogEnd, Seq) {
        (self.promised, self.promise_stored, self.durable, self.end, self.commit_next)
    }
}

/// The promises for one ballot.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct Ballots {
    /// The promising identities, each with the log that it described.
    pub(super) promises: BTreeMap<Identity, (Epoch, Seq)>,
}

/// Those to whom a leader has sent its heartbeat by unicast: their groups may be called lost (MCAST-1).
#[derive(Clone, Debug, Default)]
pub(crate) struct UnicastHeartbeats(BTreeSet<SocketAddrV4>);

impl UnicastHeartbeats {
    /// A heartbeat goes there.
    pub(super) fn note(&mut self, to: To) {
        if let To::Unicast(to) = to {
            self.0.insert(to);
        }
    }

    /// Whether one went to this process.
    pub(crate) fn reached(&self, who: usize) -> bool {
        self.0.contains(&address(who))
    }
}

impl OracleFacts {
    /// S9: this identity may have forgotten something. It never counts again.
    pub fn on_forgotten(&mut self, identity: Identity) {
        self.forgotten.insert(identity);
    }

    /// A coordinator of a set handed a note in: it is no message, and has no outcome that readers judge.
    pub(crate) fn on_note(&mut self, publisher: PublisherId, number: PublisherSeq, payload: &[u8]) {
        self.published.insert((publisher, number, digest(payload)));
    }

    /// Whether somebody handed in this note.
    pub(crate) fn is_note(&self, publisher: PublisherId, number: PublisherSeq, payload: &[u8]) -> bool {
        self.published.contains(&(publisher, number, digest(payload)))
    }

    /// The exclusive bound of what is committed.
    pub fn commit_next(&self) -> Seq {
        self.tree.next(self.reference.tip())
    }

    /// The replica begins a turn: the logs replaced in the last one are dropped.
    pub fn on_turn(&mut self, who: usize) {
        self.replaced.remove(&who);
    }

    /// S4: what a replica holds counts for its epoch, unless it may have forgotten something, or has got it
    /// for another: a candidate's adopted log counts from its own start on.
    pub(crate) fn on_holding(&mut self, model: &ReplicaModel, tip: TreeNode) -> Result<(), Violation> {
        let (identity, durable) = (model.identity, model.durable);
        if self.forgotten.contains(&identity) || model.level > self.tree.stem(tip).epoch {
            return Ok(());
        }
        let next = match self.holds_by(model, self.tree.stem(tip).epoch) {
            Durability::Process => self.tree.next(Some(tip)),
            Durability::Power => durable.min(self.tree.next(Some(tip))),
        };
        if self.is_ancestor(tip) {
            return self.on_ancestor_log(identity, tip, next);
        }
        let new = self.reference.on_stored(&self.tree, identity, tip, next)?;
        if !new.is_empty() {
            self.coverage.count(Event::Commits);
            let changes = new.iter().filter(|node| self.tree.stem(**node).changes).count();
            (0..changes).for_each(|_| self.coverage.count(Event::ChangesCommitted));
            self.on_committed_frames(&new)?;
        }
        Ok(())
    }

    /// The durability by which this replica model counts as a holder in `epoch`: that of its acks, or, where
    /// it leads the epoch and that is of `process`, stamping alone. It may be configured for `power` since.
    fn holds_by(&self, model: &ReplicaModel, epoch: Epoch) -> Durability {
        match self.tree.durability(epoch) {
            Some(Durability::Process) if epoch.leader() == model.identity => Durability::Process,
            _ => self.rests_on(model, epoch),
        }
    }

    /// The durability that this replica model must reach before it acknowledges in `epoch`: its own next
    /// start is judged by its configuration (S9), and the others count by the epoch's start (S4).
    pub(super) fn rests_on(&self, model: &ReplicaModel, epoch: Epoch) -> Durability {
        self.tree.durability(epoch).map_or(model.configured, |epochs| epochs.max(model.configured))
    }

    /// The frame of the tree that ends at `seq` with this chain: equal ends, equal logs.
    pub(super) fn known_end(&self, seq: Seq, chain: Chain) -> Option<TreeNode> {
        self.tree.containing(seq - 1).find(|node| {
            let stem = self.tree.stem(*node);
            stem.next == seq && stem.chain == chain
        })
    }

    /// The journal of a replica is a new one: nothing observed of the old one is in it.
    pub fn on_renewed(&mut self, who: usize) {
        self.replicas.remove(&who);
    }

    /// The end of the committed part of a replica's log, as last seen.
    pub fn agreed_next(&self, who: usize) -> Seq {
        let common = |model: &ReplicaModel| self.tree.common(model.tip, self.reference.tip());
        self.replicas.get(&who).map_or(1, |model| self.tree.next(common(model)))
    }

    /// The durable end of a replica's log, as last seen.
    pub fn durable_next(&self, who: usize) -> Seq {
        self.replicas.get(&who).map_or(1, |model| model.durable)
    }

    /// The promise of a replica, as last seen.
    pub fn promised(&self, who: usize) -> Epoch {
        self.replicas.get(&who).map_or(Epoch::NONE, |model| model.promised)
    }

    /// The last frame of a replica's log, as last seen.
    pub fn log_tip(&self, who: usize) -> Option<TreeNode> {
        self.replicas.get(&who).and_then(|model| model.tip)
    }

    /// The exclusive end of a replica's log, as last seen.
    pub fn log_next(&self, who: usize) -> Seq {
        self.replicas.get(&who).map_or(1, |model| self.tree.next(model.tip))
    }

    /// S6: replica `who` begins behind a checkpoint that ends at `end`: what that covers is committed.
    pub fn on_storing(&mut self, who: usize, end: LogEnd) -> Result<(), Violation> {
        let node = self.known_end(end.next, end.chain);
        if node.is_none() || !self.tree.begins_with(self.reference.tip(), node) {
            return Err(format!(
                "S6: replica {who} begins behind a checkpoint at {}, committed is what lies below {}",
                end.next,
                self.commit_next()
            ));
        }
        if let Some(model) = self.replicas.get_mut(&who) {
            model.storing = end;
        }
        Ok(())
    }

    /// The ends of the logs that it replaced in its last turn.
    pub(crate) fn replaced_by(&self, who: usize) -> &[TreeNode] {
        self.replaced.get(&who).map_or(&[], Vec::as_slice)
    }

    /// These frames are committed now: nothing in them was reported as lost.
    fn on_committed_frames(&self, new: &[TreeNode]) -> Result<(), Violation> {
        for (seq, key) in new.iter().flat_map(|node| &self.tree.stem(*node).messages) {
            if let Some((_, who)) = self.doomed.range((*key, 0)..=(*key, usize::MAX)).next() {
                return Err(format!(
                    "FATE: process {who} was told that {key:?} will never be stamped, and it is committed at {seq}"
                ));
            }
        }
        Ok(())
    }
}
