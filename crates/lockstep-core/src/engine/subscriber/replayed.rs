//! How replay and live join in a subscriber, without a hole or a repeat.
//!
//! ```text
//!  too old for every ring, oldest wanted,      everything seen is held, and live is heard
//!  far behind, or the groups are silent
//!  live ───────────────────────────▶ Replaying ───────────────────────────────────▶ live (CaughtUp)
//! ```
//!
//! Both go through the same receiver: live frames wait in its memory while a replay fills what lies before
//! them, and what comes twice is dropped by its seq. Repairers are asked for nothing meanwhile, until the
//! journal has given all that it has; the rest is young enough for their rings.

use super::{SubscriberCore, SubscriberEvent};
use crate::engine::counters::Counter;
use crate::engine::receiver::{Start, Superseded};
use crate::engine::replay::{ReplayItem, ReplayLimits, ReplayReader, ReplayStep, piece};
use lockstep_wire::{Cursor, FrameView, Nanos, REPLAY_STAY, RepairReject, ReplayEndReason, Seq};
use std::ops::ControlFlow;

/// Groups that are silent for this long, and for so many heartbeat intervals, carry no stream. The stream
/// is read from journals, until the groups are received again.
const DEAF_NS: Nanos = 500_000_000;
const SILENT_INTERVALS: u64 = 10;
/// Where no journal could help a reader that is far behind, they are asked again after this.
const SHORTCUT_PAUSE_NS: Nanos = 1_000_000_000;

impl SubscriberCore {
    /// From now on journals are read where no ring helps.
    pub fn set_replay(&mut self, limits: ReplayLimits) {
        self.replay = ReplayReader::new(limits);
    }

    /// Where this subscription can be taken up again by [`Start::Cursor`]: at
    /// [`SubscriberCore::resume_next`], so that a message of which some parts were heard is heard whole.
    /// `None` before it has begun, or where a takeover has just taken back what was delivered.
    pub fn cursor(&self) -> Option<Cursor> {
        let place = (self.cursor.next, self.cursor.chain?);
        let (next, chain) = self.parts.oldest(place.0).map_or(place, |oldest| oldest.min(place));
        self.followed.cursor(next, chain)
    }

    /// The next step of the connection to a journal.
    pub fn poll_replay(&mut self, now: Nanos) -> Option<ReplayStep> {
        self.replay.poll(now)
    }

    /// Writes the request for what is missing into `out`, and returns its bytes; `None` if nothing is.
    pub fn write_replay_request(&self, out: &mut [u8]) -> Option<usize> {
        let from = self.rx.replay_from(&self.followed)?;
        let any = self.takes_any_history && self.has_no_place();
        let history = if any { 0 } else { self.followed.history() };
        Some(self.replay.write_request(out, history, from, REPLAY_STAY))
    }

    /// Whether it begins at a seq, and has read nothing yet: a cursor is a place in a history.
    fn has_no_place(&self) -> bool {
        self.followed.end().is_none()
            && self.rx.replay_from(&self.followed).is_some_and(|(_, chain)| chain.is_none())
    }

    /// The connection broke, or could not be made.
    pub fn on_replay_lost(&mut self, now: Nanos) {
        self.replay.on_lost(now);
    }

    /// Bytes of the connection. Returns how many were used up: the rest is a part of a frame, or waits until
    /// the application takes more, and is given again.
    pub fn on_replay(
        &mut self,
        now: Nanos,
        bytes: &[u8],
        mut f: impl FnMut(SubscriberEvent<'_>) -> ControlFlow<()>,
    ) -> usize {
        let mut at = 0;
        while !self.cursor.stopped && !self.is_full_at_bound() && !self.ended && self.replay.is_active() {
            match piece(&bytes[at..], &self.limits.receiver.keys) {
                Ok(None) => break,
                Ok(Some((piece, len))) => {
                    at += len;
                    self.on_piece(now, piece, &mut f);
                }
                Err(reject) => {
                    self.counters.reject(reject);
                    self.replay.on_lost(now);
                    return bytes.len();
                }
            }
        }
        at
    }

    /// Whether the next entry waits for a higher bound, and nothing more can wait behind it.
    fn is_full_at_bound(&self) -> bool {
        self.is_at_bound() && !self.rx.frames.has_spare()
    }

    fn on_piece(
        &mut self,
        now: Nanos,
        piece: ReplayItem<'_>,
        f: &mut impl FnMut(SubscriberEvent<'_>) -> ControlFlow<()>,
    ) {
        match piece {
            ReplayItem::Answer(header, mut body) => {
                self.replay_of = header.history;
                let is_other = body.end == ReplayEndReason::OtherHistory as u32;
                if is_other && self.followed.lineage().left_at(header.history).is_some() {
                    // It is still in a former history of ours, and follows.
                    (body.end, body.oldest_seq) = (ReplayEndReason::Ahead as u32, body.oldest_seq.max(1));
                }
                if body.end == ReplayEndReason::BeyondCommit as u32 {
                    if self.has_no_place() {
                        // It has read nothing that the new history lacks: it begins there, whichever it is.
                        self.takes_any_history = true;
                        return self.replay.on_lost(now);
                    }
                    self.beyond_in = header.history;
                }
                if self.replay.on_answer(now, &body) {
                    self.caught_up = false;
                    self.followed.adopt_history(header.history);
                    self.replayed_by = header.identity();
                    let _ = f(SubscriberEvent::Replaying { from: body.next });
                }
            }
            ReplayItem::Mark(_, body) => self.replay.on_mark(now, &body),
            // No subscriber asks for one.
            ReplayItem::Checkpoint(..) => self.replay.on_lost(now),
            ReplayItem::Frame(frame) => {
                if self.replay.on_frame(now) {
                    self.on_replayed_frame(now, &frame, f);
                }
            }
        }
    }

    fn on_replayed_frame(
        &mut self,
        now: Nanos,
        frame: &FrameView<'_>,
        f: &mut impl FnMut(SubscriberEvent<'_>) -> ControlFlow<()>,
    ) {
        if let Err(reject) = self.rx.admit_replayed(&mut self.followed, frame, self.replay_of) {
            self.counters.reject(reject);
            return self.replay.on_lost(now);
        }
        if self.cursor.next == 0 {
            self.cursor.next = frame.header.first_seq;
            self.parts.begin(frame.header.first_seq);
        }
        let placement = self.rx.on_replayed(&mut self.followed, frame, &mut self.counters, &mut self.events);
        self.take(now, placement, frame, Some(self.replayed_by), f);
    }

    /// Begins a replay where nothing else helps, and ends one that is needed no more.
    pub(super) fn look_for_replay(
        &mut self,
        now: Nanos,
        f: &mut impl FnMut(SubscriberEvent<'_>) -> ControlFlow<()>,
    ) {
        if self.ended {
            return;
        }
        if self.rx.start.is_chain_refused() {
            return self.refuse(Some(ReplayEndReason::ChainMismatch), f);
        }
        self.received_at = if self.received_at == 0 { now } else { self.received_at };
        if !self.replay.is_possible() {
            if let Some((from, oldest, why)) = self.rx.abandoned(&self.followed) {
                self.abandon(from, oldest, why, f);
            }
            return;
        }
        if self.replay.is_active() {
            self.go_on(now, f);
        } else {
            let lacks = self.rx.needs_replay(&self.followed);
            let wanted = matches!(self.rx.start.at(), Start::Oldest) || lacks.is_some();
            // A source that was told to stop has not listened.
            let silent = now > self.received_at + self.deaf_ns() && !self.cursor.stopped;
            let deaf = silent && self.rx.replay_from(&self.followed).is_some();
            let is_far_behind = now >= self.shortcut_after
                && self.rx.is_missing_more_than(&self.followed, self.replay.far_behind());
            if wanted || deaf || is_far_behind {
                self.replay_at = now;
                self.is_shortcut = !wanted && !deaf;
                self.needed = wanted.then(|| lacks.map_or(0, |(_, oldest, _)| oldest));
                self.counters.add(Counter::Replays, 1);
                self.replay.begin(now);
            }
        }
        self.rx.set_replaying(self.replay.is_reading() && !self.replay.is_at_end());
    }

    /// Groups that are silent for this long carry no stream.
    fn deaf_ns(&self) -> Nanos {
        DEAF_NS.max(SILENT_INTERVALS * self.limits.heartbeat_interval_ns)
    }

    fn go_on(&mut self, now: Nanos, f: &mut impl FnMut(SubscriberEvent<'_>) -> ControlFlow<()>) {
        // Whole with respect to what is heard: a silent group tells nothing.
        let is_live = self.received_at >= self.replay_at && now < self.received_at + self.deaf_ns();
        if is_live && self.followed.end().is_some() && self.rx.is_whole(&self.followed) {
            return self.replay.finish();
        }
        // A reader without a group knows of more than any source has committed yet, all the time.
        let next = self.followed.end().map_or(0, |end| end.next);
        let stands_still = self.stall_detector.look(now, next, !is_live || !self.replay.is_at_end());
        if stands_still && !self.rx.is_whole(&self.followed) {
            self.replay.on_behind(now);
        }
        if self.is_shortcut
            && let Some((_, oldest, _)) = self.rx.needs_replay(&self.followed)
        {
            // Every ring has lost it meanwhile: what the journals have answered stands.
            (self.is_shortcut, self.needed) = (false, Some(oldest));
        }
        let Some(failed) = self.replay.failed() else { return };
        if self.is_shortcut {
            // Repairers may have it all the same: they are asked meanwhile.
            self.shortcut_after = now + SHORTCUT_PAUSE_NS;
            return self.replay.finish();
        }
        let from = self.rx.replay_from(&self.followed).map_or(0, |(seq, _)| seq);
        match (failed.why, self.needed) {
            // A ring has given meanwhile what the journals have lost: the rest is read from there.
            (Some(ReplayEndReason::TooOld), _) if failed.oldest_seq <= from => self.replay.finish(),
            (Some(ReplayEndReason::TooOld), _) => {
                self.abandon(from, failed.oldest_seq, RepairReject::TooOld, f)
            }
            (Some(ReplayEndReason::BeyondCommit), _) => {
                let (history, next, have) = (self.beyond_in, failed.oldest_seq, from);
                self.end(SubscriberEvent::HistoryLost { history, next, have }, f);
            }
            (why @ Some(ReplayEndReason::OtherHistory | ReplayEndReason::ChainMismatch), _) => {
                self.refuse(why, f)
            }
            // No journal helps for the present, and no ring for ever.
            (None, Some(oldest)) if oldest > 0 => self.abandon(from, oldest, RepairReject::Replay, f),
            (why, Some(_)) => self.refuse(why, f),
            // A cluster that is down comes back: it is looked for again.
            (_, None) => {
                self.replay.finish();
                self.received_at = now;
            }
        }
    }

    fn abandon(
        &mut self,
        from: Seq,
        oldest: Seq,
        why: RepairReject,
        f: &mut impl FnMut(SubscriberEvent<'_>) -> ControlFlow<()>,
    ) {
        self.end(SubscriberEvent::Abandoned { from, oldest, why }, f);
    }

    /// The history that was read was left, and this reader cannot follow.
    pub(super) fn end_superseded(
        &mut self,
        superseded: &Superseded,
        f: &mut impl FnMut(SubscriberEvent<'_>) -> ControlFlow<()>,
    ) {
        let &Superseded { history, left, have_next: have, diverged: parted } = superseded;
        match (self.ended, parted) {
            (true, _) => {}
            (false, true) => self.end(SubscriberEvent::Diverged { seq: left.next }, f),
            (false, false) => self.end(SubscriberEvent::HistoryLost { history, next: left.next, have }, f),
        }
    }

    /// The subscription has ended, for this reason.
    fn end(&mut self, why: SubscriberEvent<'_>, f: &mut impl FnMut(SubscriberEvent<'_>) -> ControlFlow<()>) {
        self.ended = true;
        self.replay.finish();
        let _ = f(why);
    }

    fn refuse(
        &mut self,
        why: Option<ReplayEndReason>,
        f: &mut impl FnMut(SubscriberEvent<'_>) -> ControlFlow<()>,
    ) {
        self.end(SubscriberEvent::Refused { why, next: self.cursor.next }, f);
    }
}
