//! A replica's log: the journal's tail, and the tables that its entries have determined so far. It grows by
//! one frame at a time, or its suffix is replaced with the log of a new epoch, in one step (S7).
//!
//! ```text
//!   own:    ── committed ──│── owned ──│── not owned ──▶         the log until the switch
//!                                      └ cut
//!   staged:                            │── fetched ──│ start of d ──▶ switch: this is the log now
//!   then:                                            │ start of d ── appended ── start of e ── appended ──▶
//! ```
//! `d` is the first epoch above the log's own that the followed log contains: from its start on this is the
//! log of `d`'s leader (S1), which every follower of `d` has had. So what is staged is no longer than what is
//! replaced, however much was stamped in the epochs between it and the followed one, `e`.

use super::Recovered;
use crate::journal::ports::TailMemory;
use crate::journal::{AppendError, StageError, SwitchError, Tail};
use lockstep_core::proto::accept::Acceptor;
use lockstep_core::proto::commit::Durability;
use lockstep_core::proto::follow::Follow;
use lockstep_core::proto::lineage::Lineage;
use lockstep_core::proto::log::LogEnd;
use lockstep_core::proto::membership::{Electorate, Membership, change_in};
use lockstep_core::proto::planted::{Mutation, planted};
use lockstep_core::proto::publishers::Publishers;
use lockstep_wire::{
    Chain, EPOCHS_MAX, Entry, EntryHeader, EntryKind, Epoch, EpochBase, EpochStartView, FrameView, Header,
    Seq,
};
use std::collections::VecDeque;

/// Why a frame was not stored.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum LogRefusal {
    /// A rule forbids it.
    Rule,
    /// The journal has no room.
    Full,
    /// The suffix replacement was longer than the ring: the tables cannot be computed again over frames
    /// that have left it.
    Overrun,
}

/// The effect of storing a frame.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum StoreOutcome {
    /// The log ends behind it.
    Appended,
    /// It is staged beside the log, until the start of an epoch above the log's own is there as well.
    Staged,
    /// The suffix of the log was replaced from this seq on, and the log ends behind it.
    Replaced {
        /// The first seq that holds another entry now.
        from: Seq,
        /// Where the log ended before.
        old: LogEnd,
    },
}

/// See the module.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct ReplicaLog {
    /// The publishers at the log's end.
    pub publishers: Publishers,
    /// The membership at the log's end.
    pub membership: Membership,
    /// The last change of it that may not be committed: the seq of its entry, and the members before it.
    pub change: Option<(Seq, Membership)>,
    /// The durability of acks, by the log's last epoch start.
    pub durability: Durability,
    /// The frame that starts the log's epoch: every newcomer asks for it, long after it has left the tail.
    pub start_frame: Vec<u8>,
    /// The log's history, and the ancestors on which it was founded, as that frame lists them.
    pub lineage: Lineage,
    /// The log's epochs from the one in force at the commit on.
    epochs: VecDeque<EpochBase>,
    /// Where the frames begin that are staged.
    staging: Option<Seq>,
    /// VERSION-1: the version of the log's last frame; 0 of an empty log.
    pub version: u8,
    /// The epoch to whose log all frames belong that were staged last, since this process began.
    staged_for: Epoch,
}

impl ReplicaLog {
    /// As it was recovered. The epochs before the commit no longer count as open takeovers.
    pub(super) fn recovered(recovered: Recovered) -> Self {
        let mut log = Self {
            publishers: recovered.publishers,
            membership: recovered.membership,
            change: recovered.open_change,
            durability: recovered.durability,
            start_frame: recovered.start_frame,
            lineage: recovered.lineage,
            epochs: recovered.epochs.into(),
            staging: None,
            staged_for: Epoch::NONE,
            version: recovered.version,
        };
        log.on_commit(recovered.commit_next);
        log
    }

    /// The members that decide whether this log may be led.
    pub(super) fn electorate(&self) -> Electorate {
        Electorate { at_end: self.membership, change: self.change }
    }

    /// The epochs of this log from the one in force at `commit_next` on, oldest first: the rows of a new
    /// epoch's start before its own. Of too many uncommitted takeovers it names the newest; frames below
    /// those are repaired by nodes that have this log (S10).
    pub(super) fn table(&self, commit_next: Seq) -> Vec<EpochBase> {
        let behind = self.epochs.iter().skip(1).take_while(|row| row.base < commit_next).count();
        let behind = if planted(Mutation::TableLosesRows) { self.epochs.len().max(1) - 1 } else { behind };
        let room = EPOCHS_MAX - 1;
        self.epochs.iter().copied().skip(behind.max(self.epochs.len().saturating_sub(room))).collect()
    }

    /// Holds of a log that ends at `next` in `epoch`. Panics with the rule that is broken.
    pub(super) fn invariants(&self, epoch: Epoch, next: Seq) {
        let rows = &self.epochs;
        let mut pairs = rows.iter().zip(rows.iter().skip(1));
        let rises = pairs.all(|(a, b)| a.epoch < b.epoch && a.base < b.base);
        assert!(rises, "S8: epochs and their first seqs rise along the log: {rows:?}");
        let last = rows.back().map_or(Epoch::NONE, |row| Epoch(row.epoch));
        assert!(last == epoch, "S8: the log ends in {epoch}, and its table in {last}");
        let listed = self.membership.seq;
        assert!(listed < next, "S8: the members are those of {listed}, and the log ends at {next}");
        self.publishers.invariants();
    }

    /// The epochs of this log from the one in force at the commit on.
    pub(super) fn epochs(&self) -> &VecDeque<EpochBase> {
        &self.epochs
    }

    /// Epochs of this log without a known commit. After a start the count is known with the commit.
    pub(super) fn uncommitted_epochs(&self) -> usize {
        self.epochs.len().saturating_sub(1)
    }

    /// Entries below `commit_next` are final: they can no longer be undone.
    pub(super) fn on_commit(&mut self, commit_next: Seq) {
        self.publishers.on_commit(commit_next);
        let early = planted(Mutation::ChangeForgotten);
        if self.change.as_ref().is_some_and(|(seq, _)| *seq < commit_next || early) {
            self.change = None;
        }
        let early = planted(Mutation::EpochsForgotten);
        while self.epochs.len() > 1 && (self.epochs[1].base < commit_next || early) {
            self.epochs.pop_front();
        }
    }

    /// Stores the frame that starts an epoch, and its content.
    pub(super) fn on_start(&mut self, seq: Seq, frame_bytes: &[u8], payload: &[u8]) {
        if self.start_frame.is_empty() || !planted(Mutation::StartFrameStale) {
            self.start_frame.clear();
            self.start_frame.extend_from_slice(frame_bytes);
        }
        if let Ok(start) = EpochStartView::parse(payload) {
            self.epochs.push_back(EpochBase { epoch: start.body.epoch, base: seq });
            self.membership = Membership::of_start(&start, seq);
            self.durability = Durability::from_wire(start.body.durability);
            let history = Header::look(frame_bytes).map_or(0, |header| header.history);
            self.lineage = Lineage::of_start(history, &start);
        }
    }

    /// A membership entry is in the log.
    pub(super) fn on_change(&mut self, before: Membership, after: Membership) {
        self.change = Some((after.seq, before));
        self.membership = after;
    }

    fn on_frame(&mut self, frame: &FrameView<'_>) {
        self.version = frame.header.version;
        if let Some((before, after)) = change_in(frame) {
            self.on_change(before, after);
        }
        for (seq, entry) in (frame.header.first_seq..).zip(frame.entries()) {
            let kind = entry.kind();
            if kind == EntryKind::Message {
                self.publishers.on_message(entry.header.publisher, entry.header.publisher_seq);
                continue;
            }
            self.publishers.on_entry(seq, &entry);
            match kind {
                EntryKind::Genesis => {
                    self.epochs.push_back(EpochBase { epoch: frame.header.epoch, base: seq });
                    self.lineage = Lineage::of(frame.header.history);
                    if let Some(membership) = Membership::of_genesis(entry.payload) {
                        self.membership = membership;
                    }
                }
                EntryKind::EpochStart => self.on_start(seq, frame.bytes, entry.payload),
                _ => {}
            }
        }
    }

    /// Where the replica log and that of the followed epoch diverge: the first frame above `commit_next`
    /// whose epoch does not own its seqs by that epoch's table; `None` if all of it is that epoch's. Frames
    /// below the table belong to that epoch if our log contains the start that is the table's oldest row: a
    /// start fixes everything before it. Otherwise nothing proves it, and they are replaced as well. An
    /// error where that epoch does not contain our committed entries (S6).
    pub(super) fn cut<M: TailMemory>(
        tail: &Tail<M>,
        follow: &Follow,
        commit_next: Seq,
    ) -> Result<Option<Seq>, Seq> {
        follow.contains(commit_next)?;
        let mut span = tail.find(commit_next);
        let end = tail.end();
        if span.is_none() && commit_next < end.next {
            // The ring has lost the frames to compare. If that log contains the start of the epoch in which
            // ours ends, the two are equal as far as that epoch extends in it.
            let same_to = follow.lists(end.epoch).then(|| follow.succeeded_at(end.epoch).unwrap_or(Seq::MAX));
            let from = same_to.filter(|same_to| *same_to >= commit_next).unwrap_or(commit_next);
            return Ok((from < end.next).then_some(from));
        }
        let begins = |row: &EpochBase| {
            let frame = tail.find(row.base).and_then(|found| tail.frame(found).ok());
            frame.is_some_and(|frame| (frame.header.epoch, frame.header.first_seq) == (row.epoch, row.base))
        };
        let proven_to = follow.oldest().filter(begins).map_or(0, |row| row.base);
        while let Some(found) = span {
            // Damage in memory proves nothing either.
            let Ok(frame) = tail.frame(found) else { return Ok(Some(commit_next)) };
            let first = frame.header.first_seq;
            let unproven = planted(Mutation::PrefixRetainedUnproven) && follow.owner(first).is_none();
            let retained = unproven || first < proven_to || planted(Mutation::SuffixNotReplaced);
            if follow.owner(first) != Some(frame.header.epoch()) && !retained {
                return if first < commit_next { Err(first) } else { Ok(Some(first)) };
            }
            span = tail.after(found);
        }
        Ok(None)
    }

    /// S10: where a committed frame may show ([`ReplicaLog::is_proven_by`]) that everything before it in this
    /// log is committed, and the chain there: at the log's end, or where the followed epoch's table begins.
    pub(super) fn proof_from<M: TailMemory>(tail: &Tail<M>, follow: &Follow) -> Option<(Seq, Option<Chain>)> {
        let (end, base) = (tail.end(), follow.oldest()?.base);
        if end.next <= base {
            return Some((end.next, Some(end.chain)));
        }
        let frame = tail.find(base).and_then(|found| tail.frame(found).ok())?;
        (frame.header.first_seq == base).then_some((base, Some(frame.header.chain)))
    }

    /// S10 (what proves a log): whether `frame`, which is committed, shows that everything before it in this
    /// log is committed as well. It does if the frame before it is of the same epoch: this log is that of the
    /// epoch's leader so far (S3, S7), and so is the committed one (S1). Or if it is the start of a later
    /// epoch whose table names that epoch. An equal chain alone proves nothing.
    pub(super) fn is_proven_by<M: TailMemory>(tail: &Tail<M>, frame: &FrameView<'_>) -> bool {
        let (next, end) = (frame.header.first_seq, tail.end());
        if planted(Mutation::AnyCommitProves) {
            return true;
        }
        if next >= end.next {
            return end.follow(frame).is_ok();
        }
        let before = tail.find(next.saturating_sub(1)).and_then(|found| tail.frame(found).ok());
        before.is_some_and(|before| {
            let (header, chain) = (before.header, before.chain_after());
            let (next, epoch, timestamp) = (header.next_seq(), header.epoch(), header.timestamp);
            LogEnd { next, epoch, chain, timestamp }.follow(frame).is_ok()
        })
    }

    /// From here on frames are staged that replace the log from `from` on, in the followed epoch. Frames
    /// that are staged from there for another epoch may belong to that log as well (S7): where takeovers
    /// follow each other faster than a suffix is fetched, each would fill the ring with it again. They do
    /// if the new log contains the start of the epoch for which they were staged, or of the one in which
    /// they end: either fixes everything before it.
    pub(super) fn stage<M: TailMemory>(
        &mut self,
        tail: &mut Tail<M>,
        from: Seq,
        follow: &Follow,
    ) -> Result<(), StageError> {
        let (epoch, staged_for) = (follow.epoch(), self.staged_for);
        let goes_on = tail.stage_on(epoch, |staging| {
            let reaches = |epoch| {
                let succeeded_at = follow.succeeded_at(epoch).unwrap_or(Seq::MAX);
                follow.lists(epoch) && staging.end.next <= succeeded_at
            };
            let same_log = reaches(staged_for) || reaches(staging.end.epoch);
            staging.base.next == from && staging.end.epoch != epoch && same_log
        });
        if !goes_on {
            tail.stage(from, epoch)?;
        }
        (self.staging, self.staged_for) = (Some(from), epoch);
        Ok(())
    }

    /// Whether frames are staged that are to replace the end of the log.
    pub(super) fn is_staging(&self) -> bool {
        self.staging.is_some()
    }

    /// The suffix replacement is given up: the log stays as it is.
    pub(super) fn abandon(&mut self) {
        self.staging = None;
    }

    /// Stores the next frame: behind the log, or among the staged frames that replace its end.
    pub(super) fn store<M: TailMemory>(
        &mut self,
        acceptor: &Acceptor,
        admitted: bool,
        tail: &mut Tail<M>,
        frame: &FrameView<'_>,
    ) -> Result<StoreOutcome, LogRefusal> {
        let takes = acceptor.takes(frame.header.epoch(), admitted);
        // An epoch begins once: its row would stand in the table twice (S8).
        let begins_again = |epoch| frame.begins_an_epoch() && frame.header.epoch() == epoch;
        let Some(from) = self.staging else {
            if !takes || begins_again(tail.end().epoch) {
                return Err(LogRefusal::Rule);
            }
            tail.append(frame).map_err(refused)?;
            self.on_frame(frame);
            return Ok(StoreOutcome::Appended);
        };
        let end = tail.staged_end().ok_or(LogRefusal::Rule)?;
        // One that is staged already found no room for its switch.
        if end.next < frame.header.next_seq() {
            if !takes || begins_again(end.epoch) {
                return Err(LogRefusal::Rule);
            }
            tail.stage_frame(frame).map_err(refused)?;
        }
        let reached = frame.header.epoch();
        if reached <= tail.end().epoch && !planted(Mutation::CutThenFill) {
            return Ok(StoreOutcome::Staged);
        }
        tail.stage_on(reached, |_| true);
        self.replace_suffix(tail, from)
    }

    /// S8: the tables go back to where the logs part, and run again over what is the log now.
    fn replace_suffix<M: TailMemory>(
        &mut self,
        tail: &mut Tail<M>,
        from: Seq,
    ) -> Result<StoreOutcome, LogRefusal> {
        let old = tail.end();
        let mut gone: Vec<EntryHeader> = Vec::new();
        let had = each_frame(tail, from, |frame| gone.extend(frame.entries().map(|entry| *entry.header)));
        match tail.switch() {
            Ok(()) => {}
            Err(SwitchError::Full(_)) => return Err(LogRefusal::Full),
            Err(_) => return Err(LogRefusal::Rule),
        }
        self.staging = None;
        if !had && !planted(Mutation::TablesOfHalfASuffix) {
            return Err(LogRefusal::Overrun);
        }
        let gone = gone.iter().map(|header| Entry { header, payload: &[] });
        if !planted(Mutation::NotUndone) {
            self.publishers.on_cut(from, gone);
        }
        self.change = self.change.filter(|(seq, _)| *seq < from || planted(Mutation::ChangeNotUndone));
        while self.epochs.back().is_some_and(|row| row.base >= from && !planted(Mutation::EpochsNotUndone)) {
            self.epochs.pop_back();
        }
        let has = each_frame(tail, from, |frame| self.on_frame(frame));
        if !has && !planted(Mutation::TablesOfHalfASuffix) {
            return Err(LogRefusal::Overrun);
        }
        Ok(StoreOutcome::Replaced { from, old })
    }
}

/// The frames of the log from the one that contains `from` on.
pub(super) fn frames<M: TailMemory>(tail: &Tail<M>, from: Seq) -> impl Iterator<Item = FrameView<'_>> {
    std::iter::successors(tail.find(from), |span| tail.after(*span)).map_while(|span| tail.frame(span).ok())
}

/// Visits the frames of the log from the one that contains `from` on. Returns whether these were all up to
/// its end: the ring may have lost the oldest of them, and memory may be damaged.
pub(super) fn each_frame<M: TailMemory>(
    tail: &Tail<M>,
    from: Seq,
    mut visit: impl FnMut(&FrameView<'_>),
) -> bool {
    let mut next = from;
    for frame in frames(tail, from) {
        next = frame.header.next_seq();
        visit(&frame);
    }
    next >= tail.end().next
}

fn refused(error: AppendError) -> LogRefusal {
    if let AppendError::Full(_) = error { LogRefusal::Full } else { LogRefusal::Rule }
}
