//! The subscriber: delivers the stream to an application, as `stamped` or as `committed`.
//!
//! A frame that may be delivered when it arrives is delivered out of the receive buffer, without a copy.
//! What must wait (for a gap, for its commit, for an application that paused delivery) is buffered in
//! memory of fixed size; what finds no room there is repaired later. Nothing here ever slows the stream.
//!
//! A takeover may take back entries that were reported to a `stamped` application and are not committed.
//! The application receives [`SubscriberEvent::Retract`] before any event of the new epoch; then the stream
//! continues from there. A message reported as committed is never taken back (S6).
//!
//! What no ring holds any more is read from a journal: `subscriber::replayed`.

mod ahead;
mod deliver;
mod notifications;
mod replayed;

use super::UNICAST_TURNS;
use super::counters::{Counter, Counters};
use super::event::{Events, ReplicaEvent};
use super::followed::Followed;
use super::idle_turn::check_idle_turn;
use super::leader_contact::{LeaderContact, leaderless_ns_max};
use super::losses::Losses;
use super::parts::{PartsLimits, Reassembly};
use super::ports::Net;
use super::receiver::{NACK_LEN_MAX, Receiver, ReceiverLimits, Start};
use super::replay::{ReplayLimits, ReplayReader, StallDetector};
use super::unicast_probe::ask_for_unicast_probe;
use crate::proto::heartbeat::HeartbeatLimits;
use crate::proto::log::LogEnd;
use crate::proto::planted::{Mutation, planted};
use crate::proto::unicast_probe::{UnicastProbe, UnicastProbeLimits};
use ahead::Ahead;
pub use deliver::FrameDelivery;
use deliver::{DeliveryCursor, report_discarded};
use lockstep_wire::{
    Datagram, Epoch, FrameView, Identity, Kind, Nanos, Reject, RepairReject, RepairTrailer, Seq,
};
pub use notifications::{Delivery, Message, SubscriberEvent};
use std::net::SocketAddrV4;
use std::ops::ControlFlow;

/// A subscriber's settings.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct SubscriberLimits {
    /// The receiver's.
    pub receiver: ReceiverLimits,
    /// When to deliver.
    pub delivery: Delivery,
    /// Where to begin.
    pub start: Start,
    /// Memory of messages that are larger than a datagram.
    pub parts: PartsLimits,
    /// A lag of the commit is reported when it lasts this long, and then as often.
    pub lag_report_ns: Nanos,
    /// The heartbeat interval of an idle leader: the silence of the groups is measured by it.
    pub heartbeat_interval_ns: Nanos,
    /// Silence of all leaders after which none is followed.
    pub leaderless_ns_max: Nanos,
}

impl Default for SubscriberLimits {
    /// Delivers what is committed, from now on. The process sets the receiver's cluster, keys, name and
    /// repairers.
    fn default() -> Self {
        Self {
            receiver: ReceiverLimits::default(),
            delivery: Delivery::Committed,
            start: Start::Live,
            parts: PartsLimits::default(),
            lag_report_ns: 100_000_000,
            heartbeat_interval_ns: HeartbeatLimits::default().interval_ns,
            leaderless_ns_max: leaderless_ns_max(0, 0),
        }
    }
}

/// The rules of a subscriber without its device.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct SubscriberCore {
    limits: SubscriberLimits,
    followed: Followed,
    rx: Receiver,
    replay: ReplayReader,
    /// When the stream was last received on the groups, and when the present replay began.
    received_at: Nanos,
    replay_at: Nanos,
    /// The source, and in which history.
    replayed_by: Identity,
    replay_of: u64,
    /// The history that a source has, and which begins below what was asked of it.
    beyond_in: u64,
    /// It has read nothing, and the history that it heard of was left below where it is to begin.
    takes_any_history: bool,
    /// A replay is needed because no ring helps: the oldest seq that the rings told, 0 if none was asked.
    needed: Option<Seq>,
    /// A replay is under way only because it is faster; and when the next one may be.
    is_shortcut: bool,
    shortcut_after: Nanos,
    /// Where it stands while it is replayed to.
    stall_detector: StallDetector,
    cursor: DeliveryCursor,
    parts: Reassembly,
    reported_commit: Seq,
    caught_up: bool,
    lag_since: Option<Nanos>,
    lag_reported: Nanos,
    /// Whether the groups bring the leader, and whether the application was notified that they do not.
    unicast_probe: UnicastProbe,
    multicast_reported: bool,
    leader_contact: LeaderContact,
    ahead: Ahead,
    ended: bool,
    number: u64,
    turns: u64,
    /// What was counted.
    pub counters: Counters,
    /// What was missing, and why.
    pub losses: Losses,
    events: Events,
}

/// See the module.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct SubscriberEngine<N> {
    net: N,
    /// Everything but the device.
    pub core: SubscriberCore,
    scratch: Vec<u8>,
}

impl SubscriberCore {
    /// Holds after each turn. Panics with the rule that is broken.
    pub fn invariants(&self) {
        self.followed.invariants();
        self.rx.invariants();
        self.parts.invariants();
        self.losses.invariants();
        self.events.invariants();
    }
}

impl<N: Net> SubscriberEngine<N> {
    /// A subscriber on a device that has joined the data and control groups.
    pub fn new(net: N, limits: SubscriberLimits) -> Self {
        Self { net, core: SubscriberCore::new(limits), scratch: vec![0; NACK_LEN_MAX] }
    }

    /// One turn: receives, delivers at most `limit` messages to `f`, asks for what is missing. Returns the
    /// work done: 0 is an idle turn.
    pub fn poll(
        &mut self,
        now: Nanos,
        limit: usize,
        mut f: impl FnMut(SubscriberEvent<'_>) -> ControlFlow<()>,
    ) -> usize {
        let Self { net, core, scratch } = self;
        if !core.begin(now, limit, &mut f) {
            return 0;
        }
        let mut work = core.delivered_before(limit);
        if !core.is_stopped() {
            let count = net.recv_groups();
            for index in 0..count {
                core.on_bytes(now, net.group_datagram(index), None, &mut f);
            }
            work += count;
            if net.is_drained() {
                core.on_drained(now);
            }
            if core.polls_unicast() {
                let count = net.recv_unicast();
                for index in 0..count {
                    let (bytes, from) = net.unicast_datagram(index);
                    core.on_bytes(now, bytes, Some(from), &mut f);
                }
                work += count;
            }
        }
        core.finish(net, scratch, now, &mut f);
        if cfg!(debug_assertions) {
            check_idle_turn(work, limit, || core.has_deliverable());
        }
        work
    }

    /// The device.
    pub fn net(&self) -> &N {
        &self.net
    }

    /// The device, for those who run it.
    pub fn net_mut(&mut self) -> &mut N {
        &mut self.net
    }
}

impl SubscriberCore {
    pub(super) fn new(limits: SubscriberLimits) -> Self {
        let unicast_probe = UnicastProbe::new(UnicastProbeLimits::reader(limits.heartbeat_interval_ns));
        let leader_contact = LeaderContact::new(limits.leaderless_ns_max);
        // An application that begins behind a log was told of that log.
        let (next, delivered_next) = match limits.start {
            Start::Live => (0, 0),
            Start::From(seq) => (seq, 0),
            Start::Behind(end, _) => (end.next, end.next),
            Start::Oldest => (0, 0),
            Start::Cursor(cursor) => (cursor.seq, 0),
        };
        let chain = match limits.start {
            Start::Behind(end, _) => Some(end.chain),
            Start::Cursor(cursor) => Some(cursor.chain),
            _ => None,
        };
        let keys = limits.receiver.keys.clone();
        let mut parts = Reassembly::new(limits.parts, limits.delivery == Delivery::Stamped);
        // A cursor stands at the first part of the oldest message that is unfinished there.
        if let Start::From(seq) | Start::Behind(LogEnd { next: seq, .. }, _) = limits.start {
            parts.begin(seq);
        }
        Self {
            followed: Followed::new(&limits.receiver, limits.start),
            rx: Receiver::new(limits.receiver.clone(), limits.start),
            parts,
            replay: ReplayReader::new(ReplayLimits::new(keys, limits.receiver.me, Vec::new())),
            limits,
            received_at: 0,
            replay_at: 0,
            replayed_by: Identity::default(),
            replay_of: 0,
            beyond_in: 0,
            takes_any_history: false,
            needed: None,
            is_shortcut: false,
            shortcut_after: 0,
            stall_detector: StallDetector::default(),
            cursor: DeliveryCursor { next, delivered_next, chain, ..DeliveryCursor::default() },
            reported_commit: 1,
            caught_up: false,
            lag_since: None,
            lag_reported: 0,
            unicast_probe,
            multicast_reported: false,
            leader_contact,
            ahead: Ahead::default(),
            ended: false,
            number: 0,
            turns: 0,
            counters: Counters::default(),
            losses: Losses::default(),
            events: Events::default(),
        }
    }

    /// From now on requests have the tokens behind `token`.
    pub(super) fn number_requests_behind(&mut self, token: u64) {
        self.rx.requests.number_behind(token);
    }

    /// From now on each frame is reported as well ([`SubscriberEvent::Frame`]), behind its entries.
    pub fn report_frames(&mut self) {
        self.cursor.with_frames = true;
    }

    /// Whether a leader is followed: one was received within `leaderless_ns_max`.
    pub fn is_connected(&self) -> bool {
        !self.ended && self.leader_contact.follows()
    }

    /// Whether the place is known where the subscription begins. A live one begins when it hears where the
    /// log ends, from the leader or from enough acks; a message that is stamped before that is not delivered
    /// to it, although [`SubscriberCore::stamped_next`] may count it.
    pub fn has_begun(&self) -> bool {
        self.cursor.next > 0
    }

    /// The next seq to be delivered; 0 before a live subscription has begun.
    pub fn deliver_next(&self) -> Seq {
        self.cursor.next
    }

    /// From where a subscription must begin that is to miss nothing of what this one has not delivered: the
    /// first part of the oldest message that is not whole yet, or the next seq. What lies between and is
    /// delivered again has a seq below [`SubscriberCore::deliver_next`].
    pub fn resume_next(&self) -> Seq {
        let next = self.cursor.next;
        self.parts.oldest(next).map_or(next, |(oldest, _)| oldest.min(next))
    }

    /// The exclusive bound of what is final, as far as it is held here.
    pub fn commit_next(&self) -> Seq {
        self.followed.commit.commit_next()
    }

    /// The exclusive bound of what was seen stamped.
    pub fn stamped_next(&self) -> Seq {
        self.followed.seen_next()
    }

    /// The epoch that is followed.
    pub fn epoch(&self) -> Epoch {
        self.followed.epoch()
    }

    /// The history that is read; 0 before the first datagram.
    pub fn history(&self) -> u64 {
        self.followed.history()
    }

    /// Forgets what is no part of the protocol's state, as [`Receiver::forget_times`].
    pub fn forget_times(&mut self) {
        self.rx.forget_times();
        self.number = 0;
        self.turns = UNICAST_TURNS - 1;
        self.caught_up = false;
        (self.received_at, self.replay_at, self.stall_detector) = (0, 0, StallDetector::default());
        self.shortcut_after = 0;
        self.lag_since = None;
        self.lag_reported = 0;
        self.unicast_probe = UnicastProbe::new(UnicastProbeLimits::reader(self.limits.heartbeat_interval_ns));
        self.leader_contact = LeaderContact::new(self.limits.leaderless_ns_max);
        self.ahead = Ahead::default();
        self.counters = Counters::default();
        self.events = Events::default();
    }

    /// Where the log that is held ends, and where its committed part does, as far as boundaries are known.
    pub fn ends(&self) -> (Option<LogEnd>, Option<LogEnd>) {
        (self.followed.end(), self.rx.committed_end(&self.followed))
    }

    /// When it is to be called again if nothing arrives: something is to be asked for; `Nanos::MAX` if
    /// nothing is.
    pub fn next_deadline(&self) -> Nanos {
        let due = self.rx.next_deadline(&self.followed).min(self.unicast_probe.next_deadline());
        if self.ended { Nanos::MAX } else { due }
    }

    /// Whether the subscription has ended (abandoned, refused, diverged, ahead).
    pub fn is_ended(&self) -> bool {
        self.ended
    }

    fn bound(&self) -> Seq {
        match self.limits.delivery {
            Delivery::Stamped => Seq::MAX,
            Delivery::Committed => self.followed.commit.commit_next(),
        }
    }

    /// The begin of a turn: delivers what an earlier one left. Returns whether the subscription continues;
    /// the turn ends here if it does not.
    pub(super) fn begin(
        &mut self,
        now: Nanos,
        limit: usize,
        f: &mut impl FnMut(SubscriberEvent<'_>) -> ControlFlow<()>,
    ) -> bool {
        self.cursor.left = limit;
        self.cursor.stopped = limit == 0;
        if self.ended {
            return false;
        }
        self.deliver_ready(f);
        self.losses.on_turn(now);
        true
    }

    /// The work of a turn that has just begun: 1 if the application has what it takes of what an earlier turn
    /// left. More of that may wait in memory, where no socket shows it: such a turn is no idle one.
    #[inline]
    pub(super) fn delivered_before(&self, limit: usize) -> usize {
        usize::from(self.cursor.stopped && limit > 0 && !planted(Mutation::LeftoversAreIdle))
    }

    /// Whether the next turn delivers something although nothing arrives: what an earlier one left.
    pub fn has_deliverable(&self) -> bool {
        !self.ended && !self.is_at_bound() && self.rx.frames.front(self.bound()).is_some()
    }

    /// Whether nothing more is delivered in this turn: the application has what it takes.
    #[inline]
    pub(super) fn is_stopped(&self) -> bool {
        self.cursor.stopped
    }

    /// A turn in which groups were received. Returns whether the unicast socket is to be polled in it.
    pub(super) fn polls_unicast(&mut self) -> bool {
        self.turns += 1;
        self.turns.is_multiple_of(UNICAST_TURNS) || self.rx.is_waiting()
    }

    /// A datagram of a group, or by unicast `from` somebody.
    fn on_bytes(
        &mut self,
        now: Nanos,
        bytes: &[u8],
        from: Option<SocketAddrV4>,
        f: &mut impl FnMut(SubscriberEvent<'_>) -> ControlFlow<()>,
    ) {
        let datagram = Datagram::decode(bytes, &self.limits.receiver.keys);
        self.on_datagram(now, datagram, from, f);
    }

    /// The same, decoded, or why it was refused: counted here, whoever decoded it.
    // Inlined by force beside the decoding, so that nothing is built of kinds that a reader does not take.
    #[inline(always)]
    pub(super) fn on_datagram(
        &mut self,
        now: Nanos,
        datagram: Result<Datagram<'_>, Reject>,
        from: Option<SocketAddrV4>,
        f: &mut impl FnMut(SubscriberEvent<'_>) -> ControlFlow<()>,
    ) {
        let judged = self.judge(now, datagram, from, f);
        self.counters.add(Counter::DatagramsIn, 1);
        match judged {
            Ok(()) if from.is_none() => self.received_at = now,
            Ok(()) => {}
            Err(reject) => _ = self.counters.reject(reject),
        }
    }

    #[inline(always)]
    fn judge(
        &mut self,
        now: Nanos,
        datagram: Result<Datagram<'_>, Reject>,
        from: Option<SocketAddrV4>,
        f: &mut impl FnMut(SubscriberEvent<'_>) -> ControlFlow<()>,
    ) -> Result<(), Reject> {
        let by_group = from.is_none();
        match datagram? {
            Datagram::Frame(frame, trailer) => {
                self.rx.admit_frame(&mut self.followed, &frame, trailer.as_ref())?;
                if by_group && trailer.is_none() {
                    self.unicast_probe.on_group(now);
                    self.leader_contact.on_leader(now);
                }
                self.on_frame(now, &frame, trailer.as_ref(), f);
                Ok(())
            }
            Datagram::Heartbeat(header, body) => {
                self.rx.check_history(&mut self.followed, header)?;
                if by_group {
                    self.unicast_probe.on_group(now);
                } else {
                    self.unicast_probe.on_answer();
                }
                if header.epoch() >= self.followed.epoch() {
                    self.leader_contact.on_leader(now);
                }
                self.rx.on_heartbeat(&mut self.followed, header, &mut self.counters, &mut self.events);
                self.followed.on_announced_membership(header, &body);
                if header.epoch() == self.followed.epoch() {
                    self.losses.on_seen(now, header.first_seq);
                }
                self.poll_ahead(now, header, f);
                self.begin_live();
                Ok(())
            }
            Datagram::Ack(header, _) => {
                self.rx.check_history(&mut self.followed, header)?;
                if !by_group {
                    self.unicast_probe.on_answer_of_another();
                }
                self.rx.on_ack(&mut self.followed, header, &mut self.counters, &mut self.events);
                self.begin_live();
                Ok(())
            }
            Datagram::RepairReject(header, body) => {
                if body.reason == RepairReject::Ahead as u32 {
                    self.losses.on_ahead();
                }
                self.rx.on_repair_reject(&mut self.followed, now, header, &body, &mut self.counters);
                Ok(())
            }
            Datagram::AddressProof(header, body) => {
                self.rx.on_address_proof(now, from, header, &body);
                Ok(())
            }
            // Not for readers: the groups are shared. A vote is no news of the stream (S10).
            _ => Ok(()),
        }
    }

    fn on_frame(
        &mut self,
        now: Nanos,
        frame: &FrameView<'_>,
        trailer: Option<&RepairTrailer>,
        f: &mut impl FnMut(SubscriberEvent<'_>) -> ControlFlow<()>,
    ) {
        let Self { rx, followed, counters, events, .. } = self;
        let placement = rx.on_frame(followed, frame, trailer, counters, events);
        self.take(now, placement, frame, trailer.map(RepairTrailer::repairer), f);
    }

    /// The rest of a turn, behind the datagrams that it brought: reports how things stand, and asks for what
    /// is missing.
    pub(super) fn finish(
        &mut self,
        net: &mut impl Net,
        scratch: &mut [u8],
        now: Nanos,
        f: &mut impl FnMut(SubscriberEvent<'_>) -> ControlFlow<()>,
    ) {
        self.report(now, f);
        self.report_ahead(net);
        let Self { rx, followed, number, counters, events, .. } = self;
        if let Some((length, to)) = rx.poll_nack(followed, now, number, scratch, counters, events) {
            net.send_unicast(to, [&scratch[..length], &[]]);
        }
        let whole_to = self.rx.is_whole(&self.followed).then(|| self.followed.seen_next());
        self.losses.look(now, net.dropped(), whole_to);
        if self.unicast_probe.poll(now) {
            self.number += 1;
            let header = self.rx.header(&self.followed, Kind::Query, self.number);
            ask_for_unicast_probe(net, now, &self.rx, &mut self.unicast_probe, &mut self.counters, header);
        }
        if self.unicast_probe.is_lost() != self.multicast_reported {
            self.multicast_reported = self.unicast_probe.is_lost();
            self.counters.set(Counter::ReadsByUnicast, u64::from(self.multicast_reported));
            let _ = f(SubscriberEvent::Multicast { lost: self.multicast_reported });
        }
    }

    /// Acks of this turn may have committed what is kept; then the application hears how things stand.
    fn report(&mut self, now: Nanos, f: &mut impl FnMut(SubscriberEvent<'_>) -> ControlFlow<()>) {
        self.deliver_ready(f);
        let commit_next = self.followed.commit.commit_next();
        if !self.parts.is_empty() {
            self.parts.on_commit(commit_next);
            self.parts.on_entry(self.cursor.next);
            report_discarded(&mut self.parts, f);
        }
        let seen_next = self.followed.seen_next();
        if self.limits.delivery == Delivery::Stamped
            && commit_next > self.reported_commit
            && self.cursor.next > 0
        {
            self.reported_commit = commit_next;
            let _ = f(SubscriberEvent::Committed { next: commit_next });
        }
        while let Some(event) = self.events.pop() {
            match event {
                ReplicaEvent::Gap { from, to } => {
                    self.caught_up = false;
                    let _ = f(SubscriberEvent::Gap { from, to });
                }
                ReplicaEvent::Diverged { seq, .. } => {
                    self.ended = true;
                    let _ = f(SubscriberEvent::Diverged { seq });
                }
                _ => {}
            }
        }
        if let Some(superseded) = self.rx.histories.superseded() {
            self.end_superseded(&superseded, f);
        }
        self.look_for_replay(now, f);
        let delivered_all = self.cursor.next >= seen_next && self.cursor.next > 0 && seen_next > 1;
        // Behind the end of a subscription nothing is reported.
        if !self.ended && delivered_all && !self.caught_up && self.rx.is_whole(&self.followed) {
            self.caught_up = true;
            let next = if planted(Mutation::CaughtUpEarly) { commit_next } else { self.cursor.next };
            let _ = f(SubscriberEvent::CaughtUp { next });
        }
        if !self.ended {
            self.watch_lag(now, seen_next.saturating_sub(commit_next), f);
        }
        self.counters.set(Counter::PartsDiscarded, self.parts.discarded_count());
        self.counters.set(Counter::StampedNext, seen_next);
        self.counters.set(Counter::AcceptNext, self.cursor.next);
        self.counters.set(Counter::CommitNext, commit_next);
    }

    fn watch_lag(
        &mut self,
        now: Nanos,
        entries: u64,
        f: &mut impl FnMut(SubscriberEvent<'_>) -> ControlFlow<()>,
    ) {
        if entries == 0 {
            self.lag_since = None;
            return;
        }
        let since = *self.lag_since.get_or_insert(now);
        if now >= since + self.limits.lag_report_ns && now >= self.lag_reported + self.limits.lag_report_ns {
            self.lag_reported = now;
            let _ = f(SubscriberEvent::Lag { entries, for_ns: now - since });
        }
    }
}
