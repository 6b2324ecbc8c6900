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

use super::Receiver;
use super::requests::RepairRequests;
use super::takeover::start_in;
use crate::engine::event::{Events, ReplicaEvent};
use crate::engine::followed::Followed;
use crate::proto::follow::Follow;
use crate::proto::lineage::{Lineage, LineageCheck, ReadPosition};
use crate::proto::nack::RequestTimer;
use crate::proto::planted::{Mutation, planted};
use lockstep_wire::{Ancestor, Epoch, FrameView, Header, Identity, Kind, Nanos, Reject, RepairTrailer, Seq};
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
pub struct OtherHistories {
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
    superseded: Option<Superseded>,
    /// The member that was last reported to speak in a former history, and that history.
    ancestor_reported: (u64, Identity),
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

    /// What another history's start has shown, once.
    pub fn take_succession(&mut self) -> Option<(Lineage, LineageCheck)> {
        self.lineage_check.take()
    }

    /// Why this reader cannot continue; `None` while it can.
    #[inline]
    pub fn superseded(&self) -> Option<Superseded> {
        self.superseded
    }

    /// Reports, once for each, a member that speaks in a history on which `ours` was founded. Returns whether
    /// `header` is of such a history.
    pub fn report_ancestor(&mut self, ours: &Lineage, header: &Header, events: &mut Events) -> bool {
        let (history, identity) = (header.history, header.identity());
        let is_ancestor = ours.left_at(history).is_some();
        if is_ancestor && self.ancestor_reported != (history, identity) {
            self.ancestor_reported = (history, identity);
            events.push(ReplicaEvent::AncestorHistory { history, identity });
        }
        is_ancestor
    }

    /// The start of another history's epoch is asked for, once the own history is led by nobody. Returns that
    /// epoch, the token of the request, and whom to ask.
    #[cold]
    pub(super) fn query(
        &mut self,
        now: Nanos,
        requests: &mut RepairRequests,
    ) -> Option<(Epoch, (u64, SocketAddrV4))> {
        let (_, epoch) = self.seen;
        let since = *self.unled_since.get_or_insert(now);
        if now < since + UNLED_NS {
            return None;
        }
        let repairers = requests.repairers().len();
        let mut ask = self.ask.unwrap_or_else(|| RequestTimer::new(now, requests.first_repairer(now)));
        if ask.tries() as usize > ROUNDS_MAX * repairers.max(1) {
            self.unled_since = Some(now + (PAUSE_NS << self.attempts_failed));
            (self.ask, self.attempts_failed) = (None, (self.attempts_failed + 1).min(DOUBLINGS));
            return None;
        }
        let sent = requests.request_from_any(now, &mut ask);
        self.ask = Some(ask);
        sent.map(|request| (epoch, request))
    }

    /// The reader goes over to a later history: what it knew of others is forgotten.
    fn leave(&mut self) {
        let Self { superseded, ancestor_reported, .. } = *self;
        *self = Self { superseded, ancestor_reported, ..Self::default() };
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
    pub fn check_history(&mut self, followed: &mut Followed, header: &Header) -> Result<(), Reject> {
        if header.history == followed.history() { Ok(()) } else { self.check_other(followed, header) }
    }

    #[cold]
    fn check_other(&mut self, followed: &mut Followed, header: &Header) -> Result<(), Reject> {
        if followed.history() == 0 {
            followed.adopt_history(header.history);
            return Ok(());
        }
        self.histories.on_received(header, &followed.lineage);
        Err(Reject::History { seen: header.history })
    }

    /// Whether a frame, live or repaired, is of the history that is read, or of a former one where a giver of
    /// this one gives it (LINEAGE-1). A frame that starts an epoch of a later history may show that ours was
    /// left: the owner looks at [`OtherHistories::take_succession`] where a frame is refused.
    #[inline]
    pub fn check_frame(
        &mut self,
        followed: &mut Followed,
        frame: &FrameView<'_>,
        trailer: Option<&RepairTrailer>,
    ) -> Result<(), Reject> {
        if let Some(trailer) = trailer {
            return self.check_repaired(followed, frame, trailer);
        }
        let judged = self.check_history(followed, frame.header);
        if judged.is_err() {
            self.judge_other(followed, frame);
        }
        judged
    }

    fn check_repaired(
        &mut self,
        followed: &mut Followed,
        frame: &FrameView<'_>,
        trailer: &RepairTrailer,
    ) -> Result<(), Reject> {
        let seen = frame.header.history;
        followed.adopt_history(seen);
        let is_of_lineage = trailer.is_of(followed.history()) || planted(Mutation::OtherRepairersReportTaken);
        if is_of_lineage && followed.lineage.owns(frame.header) {
            return Ok(());
        }
        if trailer.is_of(seen) {
            self.requests.on_overheard_repair(trailer.token);
            self.judge_other(followed, frame);
        }
        Err(Reject::History { seen })
    }

    /// A frame of another history: it may be the start that was asked for.
    #[cold]
    fn judge_other(&mut self, followed: &Followed, frame: &FrameView<'_>) {
        let (history, epoch) = (frame.header.history, frame.header.epoch());
        if self.histories.ask.is_none() || self.histories.seen.0 != history {
            return;
        }
        if let Some(start) = start_in(frame)
            && self.judge_lineage(followed, Lineage::of_start(history, &start)) == LineageCheck::Unrelated
        {
            self.histories.pass_over(history, epoch);
        }
    }

    /// LINEAGE-2, with what this reader holds.
    fn judge_lineage(&mut self, followed: &Followed, lineage: Lineage) -> LineageCheck {
        let history = followed.history();
        let chain = lineage
            .left_at(history)
            .and_then(|left| self.start.chain_at(followed, &self.delivered, left.next));
        let reading = ReadPosition { history, commit_next: self.start.final_next(followed), chain };
        let succession = lineage.judge(&reading);
        self.histories.lineage_check = Some((lineage, succession));
        succession
    }

    /// For a reader: as [`Receiver::check_frame`], and it goes over to the later history where it may. Else
    /// the reader is superseded.
    #[inline]
    pub fn admit_frame(
        &mut self,
        followed: &mut Followed,
        frame: &FrameView<'_>,
        trailer: Option<&RepairTrailer>,
    ) -> Result<(), Reject> {
        self.check_frame(followed, frame, trailer).or_else(|reject| self.follow_succession(followed, reject))
    }

    #[cold]
    fn follow_succession(&mut self, followed: &mut Followed, reject: Reject) -> Result<(), Reject> {
        let Some((lineage, succession)) = self.histories.take_succession() else { return Err(reject) };
        let (left, diverged) = match succession {
            LineageCheck::Continues { left } => {
                self.go_over(followed, lineage, left);
                return Ok(());
            }
            LineageCheck::Unrelated => return Err(reject),
            LineageCheck::Ahead { left } => (left, false),
            LineageCheck::Diverged { left } => (left, true),
        };
        let (history, have_next) = (lineage.history(), self.start.final_next(followed));
        self.histories.superseded = Some(Superseded { history, left, have_next, diverged });
        Err(reject)
    }

    /// From now on the later history is read, which was founded where `left` says. Final entries stay
    /// so, and the start that is learned next judges the rest, as after any takeover. Epochs are not
    /// compared with those of the ancestor history.
    pub fn go_over(&mut self, followed: &mut Followed, lineage: Lineage, left: Ancestor) {
        followed.lineage = lineage;
        followed.epochs = Follow::default();
        followed.epoch_update = (Epoch::NONE, 0);
        followed.commit.on_history(left.next);
        self.histories.leave();
        self.start.forget_acks();
        self.divergence.forget_acks();
        self.requests.restart();
        self.requests.forget_refusals();
    }

    /// Whether a frame from a journal of `source_history` is of the log that is read. Such a journal
    /// stores what lies below its founding under the ids of its ancestors, and has compared where the reader
    /// stands. A start among the frames that begins a later history is followed.
    pub fn check_replayed(
        &mut self,
        followed: &Followed,
        frame: &FrameView<'_>,
        source_history: u64,
    ) -> Result<(), Reject> {
        let (own, seen) = (followed.history(), frame.header.history);
        let founded = if seen == own { None } else { founded_by(frame) };
        let is_later = founded.is_some_and(|lineage| lineage.left_at(own).is_some());
        if seen == own || source_history == own && !is_later {
            return Ok(());
        }
        founded.map(|lineage| self.judge_lineage(followed, lineage));
        Err(Reject::History { seen })
    }

    /// For a reader: as [`Receiver::admit_frame`], of a journal's frame.
    pub fn admit_replayed(
        &mut self,
        followed: &mut Followed,
        frame: &FrameView<'_>,
        source_history: u64,
    ) -> Result<(), Reject> {
        self.check_replayed(followed, frame, source_history)
            .or_else(|reject| self.follow_succession(followed, reject))
    }
}
