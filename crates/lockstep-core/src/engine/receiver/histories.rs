//! A reader's part in a founding: it receives another history than the one that it reads. It may have been
//! founded on that one; its epoch starts say so, and where.
//!
//! ```text
//!   another history speaks ─▶ is the own one silent? ─▶ ask for the start of its epoch ─▶ judge (LINEAGE-2)
//!                                no: it is noise                        │ nobody gives it: again after a pause;
//!                                                                       ▼ a stranger: passed over
//!                              goes on: read on behind the founding, as behind a takeover
//!                              ahead, parted: the owner ends, and says by how much
//! ```
//! A history that is led goes before one that was founded on it: that one was founded in error, and the
//! operator is told by both. What a journal gives needs no such proof: its server has compared where the
//! reader stands.

use super::takeover::start_in;
use super::{Receiver, Start};
use crate::engine::counters::{Counter, Counters};
use crate::engine::event::{Events, ReplicaEvent};
use crate::proto::follow::Follow;
use crate::proto::lineage::{Lineage, LineageCheck, ReadPosition};
use crate::proto::nack::RequestTimer;
use crate::proto::planted::{Mutation, planted};
use lockstep_wire::{
    Ancestor, Chain, Epoch, FrameView, Header, Kind, Nanos, Reject, RepairTrailer, Seq, write_nack,
};
use std::net::SocketAddrV4;

/// A history whose leader was not heard for so long is not led: some hundred beats.
pub const UNLED_NS: Nanos = 50_000_000;
/// Rounds of repairers that are asked for the start of another history's epoch before there is a pause.
const ROUNDS_MAX: usize = 4;
/// The first pause; each one is twice as long as the one before. A founder is alone at first, and the network
/// may have lost what was asked of it or what it gave.
const PAUSE_NS: Nanos = 4 * UNLED_NS;
/// So often the pause doubles.
const DOUBLINGS: u8 = 6;
/// Histories that are known to be none of ours. More of them under one cluster id are asked for again.
const PASSED_OVER_MAX: usize = 4;

/// Why a reader cannot continue in the history that took the place of its own.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Superseded {
    /// The later history.
    pub history: u64,
    /// Where the one that was read was left.
    pub left: Ancestor,
    /// Everything below was final for the reader.
    pub have_next: Seq,
    /// The reader's log has another chain where it was left; else it is ahead of that.
    pub diverged: bool,
}

/// The state of another history that is received.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(super) struct OtherHistories {
    /// It, and the greatest of its epochs that was heard; 0 while there is none.
    seen: (u64, Epoch),
    /// Since when the own history's leader was not heard.
    unled_since: Option<Nanos>,
    /// The request for the epoch's start; `None` while the own history may be led.
    ask: Option<RequestTimer>,
    /// So many times nobody gave that start: another history that is heard takes its place.
    attempts_failed: u8,
    passed_over: [(u64, Epoch); PASSED_OVER_MAX],
    next_place: u8,
    /// The content of the start, until the owner takes it.
    lineage_check: Option<(Lineage, LineageCheck)>,
}

/// The lineage of a frame's history, where the frame starts an epoch of one that was founded: a source may
/// have followed there since it answered (seed 74112366).
#[cold]
fn founded_by(frame: &FrameView<'_>) -> Option<Lineage> {
    let start = start_in(frame).filter(|start| start.founded_on().is_some())?;
    Some(Lineage::of_start(frame.header.history, &start))
}

impl OtherHistories {
    fn is_passed_over(&self, history: u64, epoch: Epoch) -> bool {
        self.passed_over.iter().any(|(known, to)| *known == history && epoch <= *to)
    }

    /// Nothing more is asked of this history, for epochs up to this one.
    fn pass_over(&mut self, history: u64, epoch: Epoch) {
        let known = self.passed_over.iter().position(|(known, _)| *known == history);
        let place = known.unwrap_or_else(|| {
            let place = usize::from(self.next_place);
            self.next_place = (self.next_place + 1) % PASSED_OVER_MAX as u8;
            place
        });
        self.passed_over[place] = (history, epoch);
        (self.seen, self.ask, self.unled_since) = ((0, Epoch::NONE), None, None);
        self.attempts_failed = 0;
    }

    /// A replica speaks in another history. What it says is noted if that may have been founded on `ours`.
    fn on_received(&mut self, header: &Header, ours: &Lineage) {
        let is_replica_model = matches!(
            Kind::from_u8(header.kind),
            Some(Kind::Frame | Kind::Heartbeat | Kind::Ack | Kind::PreVote | Kind::Prepare)
        );
        let (history, epoch) = (header.history, header.epoch());
        let is_new = is_replica_model
            && history != 0
            && epoch.round() > 0
            && ours.left_at(history).is_none()
            && !self.is_passed_over(history, epoch);
        if is_new && self.attempts_failed > 0 && self.seen.0 != history {
            (self.seen, self.attempts_failed) = ((0, Epoch::NONE), 0);
            (self.ask, self.unled_since) = (None, None);
        }
        if is_new && (self.seen.0 == 0 || self.seen.0 == history) {
            self.seen = (history, self.seen.1.max(epoch));
        }
    }

    /// Whether another history is received.
    #[inline]
    pub(super) fn is_any(&self) -> bool {
        self.seen.0 != 0
    }

    /// Whether an answer is awaited.
    #[inline]
    pub(super) fn is_waiting(&self) -> bool {
        self.ask.is_some_and(|ask| ask.is_requested())
    }

    /// When something is to be done.
    #[inline]
    pub(super) fn next_deadline(&self) -> Nanos {
        match (&self.ask, self.unled_since) {
            (Some(ask), _) => ask.deadline(),
            (None, Some(since)) => since + UNLED_NS,
            (None, None) => Nanos::MAX,
        }
    }

    /// A refusal of the request `token`.
    pub(super) fn query_mut(&mut self) -> Option<&mut RequestTimer> {
        self.ask.as_mut()
    }

    /// The own history's leader is heard: another one is noise for the present.
    pub(super) fn on_led(&mut self, now: Nanos) {
        (self.unled_since, self.ask) = (self.is_any().then_some(now), None);
    }

    /// Forgets what only measures time.
    pub(super) fn forget(&mut self) {
        (self.ask, self.unled_since) = (None, None);
    }
}

impl Receiver {
    /// A datagram of another history is none of ours; the first one received is adopted.
    #[inline]
    pub fn check_history(&mut self, header: &Header) -> Result<(), Reject> {
        if header.history == self.lineage.history() { Ok(()) } else { self.check_other(header) }
    }

    #[cold]
    fn check_other(&mut self, header: &Header) -> Result<(), Reject> {
        if self.lineage.history() == 0 {
            self.lineage = Lineage::of(header.history);
            return Ok(());
        }
        self.other_histories.on_received(header, &self.lineage);
        Err(Reject::History { seen: header.history })
    }

    /// Whether a frame, live or repaired, is of the history that is read, or of a former one where a giver of
    /// this one gives it (LINEAGE-1). One that starts an epoch of a later history may tell that ours was
    /// left: the owner looks at [`Receiver::take_succession`] where a frame is refused.
    #[inline]
    pub fn check_frame(
        &mut self,
        frame: &FrameView<'_>,
        trailer: Option<&RepairTrailer>,
    ) -> Result<(), Reject> {
        let Some(trailer) = trailer else {
            let judged = self.check_history(frame.header);
            if judged.is_err() {
                self.judge_other(frame);
            }
            return judged;
        };
        self.check_repaired(frame, trailer)
    }

    fn check_repaired(&mut self, frame: &FrameView<'_>, trailer: &RepairTrailer) -> Result<(), Reject> {
        let seen = frame.header.history;
        if self.lineage.history() == 0 {
            self.lineage = Lineage::of(seen);
        }
        let is_of_lineage =
            trailer.is_of(self.lineage.history()) || planted(Mutation::OtherRepairersReportTaken);
        if is_of_lineage && self.lineage.owns(frame.header) {
            return Ok(());
        }
        if trailer.is_of(seen) {
            self.requests.on_overheard_repair(trailer.token);
            self.judge_other(frame);
        }
        Err(Reject::History { seen })
    }

    /// A frame of another history: it may be the start that was asked for.
    #[cold]
    fn judge_other(&mut self, frame: &FrameView<'_>) {
        let (history, epoch) = (frame.header.history, frame.header.epoch());
        if self.other_histories.ask.is_none() || self.other_histories.seen.0 != history {
            return;
        }
        if let Some(start) = start_in(frame)
            && self.judge_lineage(Lineage::of_start(history, &start)) == LineageCheck::Unrelated
        {
            self.other_histories.pass_over(history, epoch);
        }
    }

    /// LINEAGE-2, with what this reader holds.
    fn judge_lineage(&mut self, lineage: Lineage) -> LineageCheck {
        let history = self.lineage.history();
        let chain = lineage.left_at(history).and_then(|left| self.chain_at(left.next));
        let reading = ReadPosition { history, commit_next: self.final_next(), chain };
        let succession = lineage.judge(&reading);
        self.other_histories.lineage_check = Some((lineage, succession));
        succession
    }

    /// The exclusive bound of what this reader takes for final. A cursor says what was read before.
    pub(super) fn final_next(&self) -> Seq {
        let resumed = if self.end.is_none() && self.chain_wanted.is_some() { self.floor } else { 1 };
        self.commit.commit_next().max(resumed)
    }

    /// The chain before `next` in the own log, if that boundary is known.
    fn chain_at(&self, next: Seq) -> Option<Chain> {
        match (self.end, self.start) {
            (Some(end), _) if end.next == next => Some(end.chain),
            (Some(_), _) => {
                self.delivered.boundary(next).filter(|mark| mark.next == next).map(|mark| mark.chain)
            }
            (None, Start::From(seq)) if seq == next => self.chain_wanted,
            (None, _) => None,
        }
    }

    /// What another history's start has told, once.
    pub fn take_succession(&mut self) -> Option<(Lineage, LineageCheck)> {
        self.other_histories.lineage_check.take()
    }

    /// For a reader: as [`Receiver::check_frame`], and it goes over to the later history where it may. Else
    /// the reader is superseded.
    #[inline]
    pub fn admit_frame(
        &mut self,
        frame: &FrameView<'_>,
        trailer: Option<&RepairTrailer>,
    ) -> Result<(), Reject> {
        self.check_frame(frame, trailer).or_else(|reject| self.follow_succession(reject))
    }

    #[cold]
    fn follow_succession(&mut self, reject: Reject) -> Result<(), Reject> {
        let Some((lineage, succession)) = self.take_succession() else { return Err(reject) };
        let (left, parted) = match succession {
            LineageCheck::Continues { left } => {
                self.go_over(lineage, left);
                return Ok(());
            }
            LineageCheck::Unrelated => return Err(reject),
            LineageCheck::Ahead { left } => (left, false),
            LineageCheck::Diverged { left } => (left, true),
        };
        let (history, have_next) = (lineage.history(), self.final_next());
        self.superseded = Some(Superseded { history, left, have_next, diverged: parted });
        Err(reject)
    }

    /// Why this reader cannot continue; `None` while it can.
    #[inline]
    pub fn superseded(&self) -> Option<Superseded> {
        self.superseded
    }

    /// From now on the later history is read, which was founded where `left` says: what is final stays so,
    /// and the rest is judged by the start that is learned next, as after any takeover. Epochs are not
    /// compared with those of the ancestor history.
    pub fn go_over(&mut self, lineage: Lineage, left: Ancestor) {
        self.lineage = lineage;
        self.other_histories = OtherHistories::default();
        self.follow = Follow::default();
        self.epoch_update = (Epoch::NONE, 0);
        (self.acked, self.divergent) = ((0, Header::new(Kind::Ack)), None);
        self.commit.on_history(left.next);
        self.requests.restart();
        self.requests.forget_refusals();
    }

    /// The lineage of the history that is read.
    pub fn lineage(&self) -> &Lineage {
        &self.lineage
    }

    /// For an owner whose log tells the lineage.
    pub fn set_lineage(&mut self, lineage: Lineage) {
        self.lineage = lineage;
    }

    /// A journal's server has answered, in `history`. A reader that has heard no history yet reads this one.
    pub fn on_replay_answer(&mut self, history: u64) {
        if self.lineage.history() == 0 {
            self.lineage = Lineage::of(history);
        }
    }

    /// Whether a frame from a journal of `source_history` is of the log that is read. Such a journal
    /// stores what lies below its founding under the ids of its ancestors, and has compared where the reader
    /// stands. A start among the frames that begins a later history is followed.
    pub fn check_replayed(&mut self, frame: &FrameView<'_>, source_history: u64) -> Result<(), Reject> {
        let (own, seen) = (self.lineage.history(), frame.header.history);
        let founded = if seen == own { None } else { founded_by(frame) };
        let is_later = founded.is_some_and(|lineage| lineage.left_at(own).is_some());
        if seen == own || source_history == own && !is_later {
            return Ok(());
        }
        founded.map(|lineage| self.judge_lineage(lineage));
        Err(Reject::History { seen })
    }

    /// For a reader: as [`Receiver::admit_frame`], of a journal's frame.
    pub fn admit_replayed(&mut self, frame: &FrameView<'_>, source_history: u64) -> Result<(), Reject> {
        self.check_replayed(frame, source_history).or_else(|reject| self.follow_succession(reject))
    }

    /// The start of another history's epoch is asked for, once the own history is led by nobody.
    #[cold]
    pub(super) fn query_history(
        &mut self,
        now: Nanos,
        number: &mut u64,
        out: &mut [u8],
        counters: &mut Counters,
    ) -> Option<(usize, SocketAddrV4)> {
        let (_, epoch) = self.other_histories.seen;
        let since = *self.other_histories.unled_since.get_or_insert(now);
        if now < since + UNLED_NS {
            return None;
        }
        let repairers = self.requests.repairers_len();
        let mut ask = self
            .other_histories
            .ask
            .unwrap_or_else(|| RequestTimer::new(now, self.requests.first_repairer(now)));
        if ask.tries() as usize > ROUNDS_MAX * repairers.max(1) {
            self.other_histories.unled_since = Some(now + (PAUSE_NS << self.other_histories.attempts_failed));
            (self.other_histories.ask, self.other_histories.attempts_failed) =
                (None, (self.other_histories.attempts_failed + 1).min(DOUBLINGS));
            return None;
        }
        let sent = self.requests.request_from_any(now, &mut ask).map(|(token, to)| {
            // Under no history: it is asked for what it is founded on, not for frames of ours.
            let header = Header { history: 0, ..self.nack_header(number, epoch) };
            counters.add(Counter::NacksOut, 1);
            (write_nack(out, &self.limits.keys, header, token, &[]), to)
        });
        self.other_histories.ask = Some(ask);
        sent
    }

    /// The owner is told, once for each, of whoever speaks in a history on which ours was founded.
    pub fn report_ancestor(&mut self, header: &Header, events: &mut Events) -> bool {
        let is_ancestor = self.lineage.left_at(header.history).is_some();
        if is_ancestor && self.ancestor_reported != (header.history, header.identity()) {
            self.ancestor_reported = (header.history, header.identity());
            events
                .push(ReplicaEvent::AncestorHistory { history: header.history, identity: header.identity() });
        }
        is_ancestor
    }
}
