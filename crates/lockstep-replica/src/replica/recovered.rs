//! The knowledge of a replica at its start, beside the log itself.

use crate::journal::checkpoint::{Checkpoint, PublisherRow};
use crate::journal::ports::TailMemory;
use crate::journal::{Inspection, OpenedJournal};
use lockstep_core::proto::commit::Durability;
use lockstep_core::proto::lineage::Lineage;
use lockstep_core::proto::membership::Membership;
use lockstep_core::proto::planted::{Mutation, planted};
use lockstep_core::proto::publishers::{PublisherState, Publishers};
use lockstep_wire::{EpochBase, EpochStartView, FrameView, Seq};

/// What recovery found.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Recovered {
    /// The history and its ancestors; history 0 on a blank node.
    pub lineage: Lineage,
    /// The members in force at the log's end.
    pub membership: Membership,
    /// A change of the membership that may not be committed: the seq of its entry, and the members before it.
    pub open_change: Option<(Seq, Membership)>,
    /// The log's epochs, oldest first.
    pub epochs: Vec<EpochBase>,
    /// The content of the last epoch start.
    pub durability: Durability,
    /// The publishers at the log's end.
    pub publishers: Publishers,
    /// The frame of the last epoch start; empty if there is none.
    pub start_frame: Vec<u8>,
    /// The greatest commit that a frame of the log has announced, or that the removal of segments shows.
    pub commit_next: Seq,
    /// The version of the log's last frame; 0 of an empty log.
    pub version: u8,
}

impl Recovered {
    /// From a journal in use.
    pub fn of_journal<M: TailMemory>(opened: &OpenedJournal<M>, publishers_max: u32) -> Self {
        let end_next = opened.tail.end().next;
        let recovered = Self::of(&opened.checkpoint, opened.superblock.history, end_next, publishers_max);
        recovered.behind_removed(opened.removed_next.min(end_next))
    }

    /// What retention has removed is committed. A witness has dropped the frames from its ring as well, and
    /// would wait for ever for the commit of what it has dropped (seed 777015220). A node that has begun
    /// behind a checkpoint would ask for what no journal has.
    fn behind_removed(mut self, removed_next: Seq) -> Self {
        self.commit_next = self.commit_next.max(removed_next);
        self
    }

    /// From the checkpoint with which a journal begins that has no record: all of its log is committed.
    pub(super) fn of_base(checkpoint: &Checkpoint, publishers_max: u32) -> Self {
        let end_next = checkpoint.end.next;
        let recovered = Self::of(checkpoint, checkpoint.history, end_next, publishers_max);
        let commit_next = if planted(Mutation::BaseUncommitted) { recovered.commit_next } else { end_next };
        Self { commit_next, ..recovered }
    }

    /// From a journal that was only inspected.
    pub fn of_inspection(inspection: &Inspection, publishers_max: u32) -> Self {
        let history = inspection.superblock().history;
        let end_next = inspection.end().next;
        let recovered = Self::of(inspection.checkpoint(), history, end_next, publishers_max);
        recovered.behind_removed(inspection.removed_next().min(end_next))
    }

    fn of(checkpoint: &Checkpoint, history: u64, end_next: Seq, publishers_max: u32) -> Self {
        let mut publishers = Publishers::new(publishers_max);
        let state = |id, row: &PublisherRow| PublisherState {
            id,
            incarnation: row.incarnation,
            nonce: row.nonce,
            last: row.last,
            closed: row.closed,
        };
        for (&id, row) in &checkpoint.publishers {
            publishers.restore(&row.name, state(id, row));
        }
        let changes = if planted(Mutation::UndoNotRecovered) { &[] } else { &checkpoint.changes[..] };
        for change in changes {
            publishers.restore_change(change.seq, state(change.publisher, &change.before));
        }
        let start_frame = checkpoint.start_frame.clone();
        let durability = start_of(&start_frame)
            .map_or(Durability::Process, |(_, start)| Durability::from_wire(start.body.durability));
        Self {
            lineage: lineage_of(&start_frame, history),
            membership: Membership::collect(checkpoint.members.iter().copied(), checkpoint.membership_seq),
            open_change: checkpoint.open_change.filter(|_| !planted(Mutation::ChangeNotRecovered)),
            epochs: checkpoint.epochs.clone(),
            durability,
            publishers,
            start_frame,
            commit_next: checkpoint.commit_next.clamp(1, end_next),
            version: checkpoint.version,
        }
    }

    /// The last epoch start.
    pub fn last_start(&self) -> Option<EpochStartView<'_>> {
        start_of(&self.start_frame).map(|(_, start)| start)
    }
}

impl Checkpoint {
    /// The history in which it ends, and the ancestors of that.
    pub(super) fn lineage(&self) -> Lineage {
        lineage_of(&self.start_frame, self.history)
    }
}

/// What the last epoch start says; without one, `history` alone.
fn lineage_of(start_frame: &[u8], history: u64) -> Lineage {
    start_of(start_frame).map_or(Lineage::of(history), |(history, start)| Lineage::of_start(history, &start))
}

/// The epoch start in `frame`, and its history.
fn start_of(frame: &[u8]) -> Option<(u64, EpochStartView<'_>)> {
    let frame = FrameView::from_prefix(frame).ok()?;
    let start = EpochStartView::parse(frame.entries().next()?.payload).ok()?;
    Some((frame.header.history, start))
}
