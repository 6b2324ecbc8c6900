//! How a replica that lies behind every ring catches up: committed frames, which a journal gives, go into its
//! own journal by the rules of [`super::stand`]. Until they have reached what repairers still hold, nobody
//! is asked for repairs.

use super::{Replica, ReplicaCore};
use crate::engine::event::Role;
use crate::engine::ports::Ports;
use crate::engine::receiver::Placement;
use crate::journal::Tail;
use crate::journal::ports::TailMemory;
use crate::wire::{Chain, FrameView, Identity, Nanos, Seq};

impl<P: Ports> Replica<P> {
    /// What only a journal still has: the history, the first missing seq and the chain there. `None` while
    /// repairers can help, or nothing is missing.
    pub fn wants_replay(&self) -> Option<(u64, Seq, Option<Chain>)> {
        let core = &self.core;
        if core.role == Role::Leader || core.stopped {
            return None;
        }
        core.rx.abandoned()?;
        let (from, chain) = core.rx.replay_from()?;
        Some((core.rx.history(), from, chain))
    }

    /// Whether nothing that was heard of is missing.
    pub fn is_whole(&self) -> bool {
        self.core.role == Role::Leader || self.core.rx.is_whole()
    }

    /// Whether repairers are left alone, because a replay brings what is missing.
    pub fn set_replaying(&mut self, replaying: bool) {
        self.core.rx.set_replaying(replaying);
    }

    /// A frame of a replay, by `giver`. Returns whether it was dealt with; if not, the journal has no room for it
    /// now, and it is to be given again.
    pub fn on_replayed(&mut self, now: Nanos, giver: Identity, frame: &FrameView<'_>) -> bool {
        let Self { tail, core, .. } = self;
        core.on_replayed(tail, now, giver, frame)
    }
}

impl ReplicaCore {
    /// This node is an archiver: it stores, repairs and replays, and never votes, whatever a membership says.
    pub fn keep_apart(&mut self) {
        self.is_apart = true;
    }

    fn on_replayed<M: TailMemory>(
        &mut self,
        tail: &mut Tail<M>,
        now: Nanos,
        giver: Identity,
        frame: &FrameView<'_>,
    ) -> bool {
        if self.role == Role::Leader || self.stopped {
            return true;
        }
        if let Err(reject) = self.rx.check_history(&frame.header) {
            self.reject(reject);
            return true;
        }
        self.rx.learn_start(frame, &mut self.counters, &mut self.events);
        let may_place = self.pursue(tail, now);
        if self.stopped {
            return true;
        }
        if !may_place {
            return false; // it is given again when the journal has room
        }
        let placement = self.rx.on_replayed(frame, &mut self.counters, &mut self.events);
        self.stop_if_diverged();
        if placement != Placement::Dropped {
            let header = &frame.header;
            let leader = header.epoch().leader();
            self.losses.on_frame(now, header.first_seq, header.next_seq(), Some(giver), leader);
        }
        let Placement::Next(end) = placement else { return true };
        self.store_next(tail, now, frame, end);
        let held = self.rx.end().is_some_and(|held| held.next >= frame.header.next_seq());
        held || !self.journal_full
    }
}
