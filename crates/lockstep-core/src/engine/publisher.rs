//! The publisher: hands messages of one or many publishers to the cluster, and learns the outcome of each.
//!
//! ```text
//!   open(name) ─▶ submitted ─▶ stamped ─▶ committed: the outcome of the message
//!                  ▲  │ lost      │ cut by a takeover
//!                  └──┴───────────┘ sent again
//! ```
//! A message is retained, and sent again, until it is seen committed in the stream; so the publisher reads
//! the stream, from the moment it began. A reply binds it only once the entries that the reply rests on are
//! committed.
//!
//! A takeover may take back what was stamped and is not committed: the publisher goes back to the cut,
//! sends again at once every message that has no place in the new log, and learns its places anew. A
//! message has exactly one outcome: [`Committed`](PublisherEvent::Committed),
//! [`Fenced`](PublisherEvent::Fenced) or [`Closed`](PublisherEvent::Closed). The leaders do their part: a
//! message that is received twice is stamped once.

mod claim;
mod lines;
mod notifications;
mod opens;
mod outcomes;
mod stamped;
mod unicast_probe;

use super::UNICAST_TURNS;
use super::counters::{Counter, Counters};
use super::event::Events;
use super::followed::Followed;
use super::idle_turn::check_idle_turn;
use super::leader_contact::{LeaderContact, leaderless_ns_max};
use super::ports::{Burst, Net};
use super::receiver::{NACK_LEN_MAX, Placement, Receiver, ReceiverLimits, Start, Superseded};
use super::window::{Flight, ResendTimer, SubmitWindow};
use crate::proto::heartbeat::HeartbeatLimits;
use crate::proto::parts::PartsBounds;
use crate::proto::unicast_probe::{UnicastProbe, UnicastProbeLimits};
use lines::PublisherNames;
use lockstep_wire::{
    Datagram, Destination, Epoch, Header, KeyClass, Kind, MESSAGE_LEN_MAX, NAME_LEN_MAX, Nanos, NoticeRows,
    PublisherNotice, QueryKind, Reject, Wall,
};
pub use notifications::{ELSEWHERE, OpenRefusal, Outcomes, PublishError, PublisherEvent};
use std::collections::BTreeMap;
use std::net::SocketAddrV4;
use unicast_probe::submit;

/// A publisher's settings.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct PublisherLimits {
    /// The receiver's; `me` is the handle's random identity.
    pub receiver: ReceiverLimits,
    /// The most messages without an outcome.
    pub window_entries: u32,
    /// Most datagrams that hold them.
    pub window_datagrams: u32,
    /// Most of those that are sent and not seen stamped: what a leader's socket takes at once.
    pub flight_datagrams: u32,
    /// Shortest wait before a message is sent again.
    pub resend_ns_min: Nanos,
    /// Longest wait.
    pub resend_ns_max: Nanos,
    /// How long an open or a look-up waits for its answer.
    pub query_retry_ns: Nanos,
    /// The heartbeat interval of an idle leader: the silence of the groups is measured by it.
    pub heartbeat_interval_ns: Nanos,
    /// Silence of all leaders after which none is followed.
    pub leaderless_ns_max: Nanos,
    /// Most names that one handle opens.
    pub names_max: u32,
    /// Bytes of the longest message; one that is longer than a datagram goes out in parts.
    pub message_len_max: usize,
    /// The same for destinations whose readers take less: they pass messages on in datagrams of their own.
    pub message_len_max_of: BTreeMap<Destination, usize>,
    /// When readers discard what is unfinished: the protocol's, but in a simulation.
    pub parts_bounds: PartsBounds,
}

impl Default for PublisherLimits {
    /// For datagrams of 1500 bytes: 1 MiB of them is retained, and half of a leader's socket of 4 MiB is sent
    /// ahead. The process sets the receiver's cluster, keys, name and repairers.
    fn default() -> Self {
        Self {
            receiver: ReceiverLimits { store_bytes: 1 << 20, ..ReceiverLimits::default() },
            window_entries: 1_024,
            window_datagrams: 736,
            flight_datagrams: 1_798,
            resend_ns_min: 1_000_000,
            resend_ns_max: 100_000_000,
            query_retry_ns: 20_000_000,
            heartbeat_interval_ns: HeartbeatLimits::default().interval_ns,
            leaderless_ns_max: leaderless_ns_max(0, 0),
            names_max: 65_536,
            message_len_max: MESSAGE_LEN_MAX,
            message_len_max_of: BTreeMap::new(),
            parts_bounds: PartsBounds::default(),
        }
    }
}

/// The rules of a publisher without its device.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct PublisherCore {
    limits: PublisherLimits,
    /// What every destination takes, and one frame: a message within it is compared with this alone.
    short_len_max: usize,
    followed: Followed,
    rx: Receiver,
    window: SubmitWindow,
    lines: PublisherNames,
    /// The leader's last heartbeat had no credit.
    full: bool,
    /// Our share was used up: over after so many heartbeats of the leader.
    over_share: u32,
    /// `Throttled` was reported, and not yet `Unthrottled`.
    throttled: bool,
    /// Questions so far.
    asked: usize,
    lost: bool,
    /// What became of what was taken; without what is open.
    outcomes: Outcomes,
    /// The history and the epoch that were followed at the last check.
    history: u64,
    epoch: Epoch,
    /// Another leadership has begun in this turn: messages that it may not have received are due.
    renewed: bool,
    /// Whether the groups bring the leader, and where it answers by unicast while they do not.
    unicast_probe: UnicastProbe,
    leader_at: Option<SocketAddrV4>,
    /// The application was notified that the groups do not bring it.
    multicast_lost_reported: bool,
    leader_contact: LeaderContact,
    number: u64,
    turns: u64,
    /// What was counted.
    pub counters: Counters,
    events: Events,
}

/// See the module.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct PublisherEngine<N> {
    net: N,
    /// Everything but the device.
    pub core: PublisherCore,
    scratch: Vec<u8>,
}

/// A share that was used up may be free again after so many heartbeats: by then what was refused has been
/// sent again, and told again if it was refused again.
const SHARE_HEARTBEATS: u32 = 4;
/// Most bursts handed to the device at once.
const BURSTS_MAX: usize = 64;

impl PublisherCore {
    /// Holds after each turn. Panics with the rule that is broken.
    pub fn invariants(&self) {
        self.followed.invariants();
        self.rx.invariants();
        self.lines.invariants();
        self.window.invariants(self.lines.list.iter().map(|line| &line.outstanding));
        let open = self.outcomes().open;
        assert!(!self.window.is_empty() || open == 0, "{open} messages have no outcome, and none is kept");
    }
}

impl<N: Net> PublisherEngine<N> {
    /// A publisher on a device that has joined the data and control groups.
    pub fn new(net: N, limits: PublisherLimits) -> Self {
        Self { net, core: PublisherCore::new(limits), scratch: vec![0; NACK_LEN_MAX] }
    }

    /// One turn: reads the stream, reports to `f` at most `limit` committed outcomes and all other events,
    /// sends what is written. Returns the work done.
    pub fn poll(&mut self, now: Nanos, wall: Wall, limit: usize, mut f: impl FnMut(PublisherEvent)) -> usize {
        let Self { net, core, scratch } = self;
        if core.is_lost() {
            return 0;
        }
        let mut work = net.recv_groups();
        for index in 0..work {
            core.on_bytes(now, net.group_datagram(index), None, &mut f);
        }
        let drained = net.is_drained();
        if core.polls_unicast() {
            let count = net.recv_unicast();
            for index in 0..count {
                let (bytes, from) = net.unicast_datagram(index);
                core.on_bytes(now, bytes, Some(from), &mut f);
            }
            work += count;
        }
        work += core.finish(net, scratch, (now, wall), limit, drained, &mut f);
        if cfg!(debug_assertions) {
            check_idle_turn(work, limit, || core.has_unreported());
        }
        work
    }

    /// Sends what is written, at most one call. Returns the datagrams sent.
    pub fn flush(&mut self, now: Nanos, wall: Wall) -> usize {
        self.core.flush(&mut self.net, now, wall)
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

impl PublisherCore {
    /// Whether nothing more will come of it: [`PublisherEvent::OutcomesUnknown`] was reported.
    pub fn is_lost(&self) -> bool {
        self.lost
    }

    /// A turn in which groups were received. Returns whether the unicast socket is to be polled in it.
    pub(super) fn polls_unicast(&mut self) -> bool {
        self.turns += 1;
        self.turns.is_multiple_of(UNICAST_TURNS) || self.rx.is_waiting() || self.lines.unopened > 0
    }

    /// The rest of a turn, behind the datagrams that it brought: reports at most `limit` committed outcomes
    /// to `f`, asks for what is missing and sends what is written, and what is to be sent again if the
    /// group's socket is `drained`. Returns the datagrams sent.
    pub(super) fn finish(
        &mut self,
        net: &mut impl Net,
        scratch: &mut [u8],
        (now, wall): (Nanos, Wall),
        limit: usize,
        drained: bool,
        f: &mut impl FnMut(PublisherEvent),
    ) -> usize {
        if self.rx.abandoned(&self.followed).is_some() || self.rx.divergence.is_proven() {
            self.lost = true;
        }
        if let Some(Superseded { history, left, have_next: have, diverged: parted }) =
            self.rx.histories.superseded()
        {
            self.lost = true;
            // Of another log it had read nothing that was final.
            if !parted {
                f(PublisherEvent::HistoryLost { history, next: left.next, have });
            }
        }
        if self.lost {
            f(PublisherEvent::OutcomesUnknown);
            return 0;
        }
        if drained {
            self.leader_contact.on_received(now);
        }
        let reported = self.on_commit(limit, f);
        if std::mem::take(&mut self.renewed) {
            self.hurry();
        }
        let Self { rx, followed, number, counters, events, .. } = self;
        if let Some((length, to)) = rx.poll_nack(followed, now, number, scratch, counters, events) {
            net.send_unicast(to, [&scratch[..length], &[]]);
        }
        while self.events.pop().is_some() {}
        if self.unicast_probe.poll(now) {
            self.send_unicast_probe(net, now, wall);
        }
        if self.unicast_probe.is_lost() != self.multicast_lost_reported {
            self.multicast_lost_reported = self.unicast_probe.is_lost();
            self.counters.set(Counter::ReadsByUnicast, u64::from(self.multicast_lost_reported));
            f(PublisherEvent::Multicast { lost: self.multicast_lost_reported });
        }
        if self.lines.unopened > 0 {
            self.drive_opens(net, scratch, now, wall);
        }
        reported + self.send(net, now, wall, drained)
    }

    /// Sends what is written, at most one call. Returns the datagrams sent.
    #[inline]
    pub(super) fn flush(&mut self, net: &mut impl Net, now: Nanos, wall: Wall) -> usize {
        self.send(net, now, wall, false)
    }

    /// The same, and what is to be sent again if the sockets are `drained`: in what waits there it may be
    /// seen stamped, and who was away for a while would send everything once more.
    #[inline]
    fn send(&mut self, net: &mut impl Net, now: Nanos, wall: Wall, drained: bool) -> usize {
        self.window.end_datagram();
        // In what is missing of the stream it may be stamped: nobody knows before that is read.
        let read_at = self.rx.read_at(&self.followed, now);
        let count = self.window.prepare(read_at, drained);
        if count == 0 { 0 } else { self.send_prepared(net, now, wall, count) }
    }

    /// Sends the `count` datagrams that are chosen.
    #[inline(never)]
    fn send_prepared(&mut self, net: &mut impl Net, now: Nanos, wall: Wall, count: usize) -> usize {
        let header = self.header(Kind::Submission, wall);
        self.window.seal(&self.limits.receiver.keys, &header, &mut self.number);
        let leader_at = self.leader_at.or_else(|| self.leader_silence_ns());
        let first = self.window.burst(0);
        let (offered, taken) = if first.count() == count {
            (count, submit(net, leader_at, &[first]))
        } else {
            offer_bursts(net, leader_at, &self.window, count)
        };
        self.counters.add(Counter::Resends, taken.min(self.window.resends()) as u64);
        self.counters.add(Counter::SendsShort, (offered - taken) as u64);
        self.window.on_sent(now, taken);
        taken
    }
}

/// Offers `count` prepared datagrams in as many bursts as they need. Returns how many were offered, and how
/// many were taken.
#[cold]
fn offer_bursts(
    net: &mut impl Net,
    leader_at: Option<SocketAddrV4>,
    window: &SubmitWindow,
    count: usize,
) -> (usize, usize) {
    let mut bursts = [Burst { bytes: &[], stride: 0 }; BURSTS_MAX];
    let (mut used, mut offered) = (0, 0);
    while used < BURSTS_MAX && offered < count {
        bursts[used] = window.burst(offered);
        offered += bursts[used].count();
        used += 1;
    }
    (offered, submit(net, leader_at, &bursts[..used]))
}

impl PublisherCore {
    pub(super) fn new(limits: PublisherLimits) -> Self {
        let timer = ResendTimer::new(limits.resend_ns_min, limits.resend_ns_max);
        let datagram_len_max = limits.receiver.frame_len_max;
        let mut core = Self {
            short_len_max: 0,
            followed: Followed::new(&limits.receiver, Start::Live),
            rx: Receiver::new(limits.receiver.clone(), Start::Live),
            window: SubmitWindow::new(
                limits.window_entries,
                limits.window_datagrams,
                datagram_len_max,
                timer,
                Flight::new(limits.flight_datagrams),
            ),
            lines: PublisherNames::new(limits.window_entries, limits.parts_bounds),
            full: false,
            over_share: 0,
            throttled: false,
            asked: 0,
            lost: false,
            outcomes: Outcomes::default(),
            history: 0,
            epoch: Epoch::NONE,
            renewed: false,
            unicast_probe: UnicastProbe::new(UnicastProbeLimits::reader(limits.heartbeat_interval_ns)),
            leader_at: None,
            multicast_lost_reported: false,
            leader_contact: LeaderContact::new(limits.leaderless_ns_max),
            number: 0,
            turns: 0,
            counters: Counters::default(),
            events: Events::default(),
            limits,
        };
        core.short_len_max = core.short_len_max();
        core
    }

    /// Begins to open `name` under `nonce`; [`PublisherEvent::Opened`] brings the id. Copies of a
    /// deterministic application that publish the same messages share a nonce. Returns the ticket that the
    /// event names, or `None` if the name is empty, longer than [`NAME_LEN_MAX`], has the character 0 in it,
    /// at which it would end in C, or is one too many. A name that was fenced, closed or refused here can be
    /// opened again, under its old ticket.
    pub fn open(&mut self, name: &str, nonce: [u64; 2]) -> Option<usize> {
        let valid = (1..=NAME_LEN_MAX).contains(&name.len())
            && !name.contains('\0')
            && (self.lines.list.len() < self.limits.names_max as usize || self.lines.ended(name).is_some());
        valid.then(|| self.lines.add(name, nonce))
    }

    /// Whether every message that was taken has its outcome, whichever: [`PublisherCore::outcomes`] tells.
    pub fn is_drained(&self) -> bool {
        self.window.is_empty()
    }

    /// When it is to be called again if nothing arrives: something is to be asked for or sent again;
    /// `Nanos::MAX` if nothing is.
    pub fn next_deadline(&self) -> Nanos {
        // In what is missing of the stream a message may be stamped: nothing is sent again before that is
        // read.
        let resend = if self.rx.is_whole(&self.followed) { self.window.next_deadline() } else { Nanos::MAX };
        self.rx.next_deadline(&self.followed).min(resend).min(self.unicast_probe.next_deadline())
    }

    /// Whether the stream is received and a leader followed: one was received within `leaderless_ns_max`.
    pub fn is_connected(&self) -> bool {
        !self.lost && self.followed.end().is_some() && self.leader_contact.follows()
    }

    fn header(&self, kind: Kind, wall: Wall) -> Header {
        Header {
            cluster: self.limits.receiver.keys.cluster(),
            history: self.followed.history(),
            epoch: self.followed.epoch().0,
            sender: self.limits.receiver.me.replica,
            incarnation: self.limits.receiver.me.incarnation,
            commit_next: self.followed.commit.commit_next(),
            timestamp: wall.0,
            ..Header::new(kind)
        }
    }

    /// A datagram of a group, or by unicast `from` somebody.
    fn on_bytes(
        &mut self,
        now: Nanos,
        bytes: &[u8],
        from: Option<SocketAddrV4>,
        f: &mut impl FnMut(PublisherEvent),
    ) {
        let datagram = Datagram::decode(bytes, &self.limits.receiver.keys);
        self.on_datagram(now, datagram, from, f);
    }

    /// The same, decoded, or why it was refused: counted here, whoever decoded it.
    // Inlined by force beside the decoding, so that nothing is built of kinds that a publisher does not take.
    #[inline(always)]
    pub(super) fn on_datagram(
        &mut self,
        now: Nanos,
        datagram: Result<Datagram<'_>, Reject>,
        from: Option<SocketAddrV4>,
        f: &mut impl FnMut(PublisherEvent),
    ) {
        let judged = self.judge(now, datagram, from, f);
        self.counters.add(Counter::DatagramsIn, 1);
        if let Err(reject) = judged {
            self.counters.reject(reject);
        }
    }

    #[inline(always)]
    fn judge(
        &mut self,
        now: Nanos,
        datagram: Result<Datagram<'_>, Reject>,
        from: Option<SocketAddrV4>,
        f: &mut impl FnMut(PublisherEvent),
    ) -> Result<(), Reject> {
        match datagram? {
            Datagram::Frame(frame, trailer) => {
                self.rx.admit_frame(&mut self.followed, &frame, trailer.as_ref())?;
                if from.is_none() && trailer.is_none() {
                    self.on_leader(now, None);
                }
                let Self { rx, followed, counters, events, .. } = self;
                let placement = rx.on_frame(followed, &frame, trailer.as_ref(), counters, events);
                if self.followed.epoch() != self.epoch {
                    self.on_epoch(now, f);
                }
                if let Placement::Next(next) = placement {
                    self.counters.add(Counter::FramesAccepted, 1);
                    self.lines.read(now, &mut self.window, &frame, f);
                    self.rx.accept(&mut self.followed, next, &mut self.counters);
                    self.read_ready(now, f);
                }
            }
            Datagram::Heartbeat(header, body) => {
                self.rx.check_history(&mut self.followed, header)?;
                self.rx.on_heartbeat(&mut self.followed, header, &mut self.counters, &mut self.events);
                self.followed.on_announced_membership(header, &body);
                if from.is_none() || header.epoch() >= self.epoch {
                    self.on_leader(now, from);
                }
                // A notice of a deposed leader counts for nothing.
                if header.epoch() == self.epoch {
                    self.full = body.credit_entries == 0;
                    self.over_share = self.over_share.saturating_sub(1);
                    self.report_throttled(f);
                }
            }
            Datagram::PublisherNotice(header, rows) => {
                self.rx.check_history(&mut self.followed, header)?;
                if header.epoch() == self.epoch {
                    self.on_notice(now, rows, f);
                }
            }
            Datagram::Ack(header, _) => {
                self.rx.check_history(&mut self.followed, header)?;
                self.rx.on_ack(&mut self.followed, header, &mut self.counters, &mut self.events);
                if from.is_some() {
                    self.unicast_probe.on_answer_of_another();
                }
            }
            Datagram::RepairReject(header, body) => {
                self.rx.on_repair_reject(&mut self.followed, now, header, &body, &mut self.counters)
            }
            Datagram::AddressProof(header, body) => self.rx.on_address_proof(now, from, header, &body),
            Datagram::QueryReply(header, body) => {
                // A node that holds nothing knows no name; another one is asked.
                let holds = header.first_seq > 1 && body.query_kind == QueryKind::Publisher as u32;
                if let Some(end) = self.followed.end().filter(|_| holds) {
                    self.rx.check_history(&mut self.followed, header)?;
                    self.lines.on_reply(header, &body, end.next);
                }
            }
            // Not for readers: the groups are shared. A vote is no news of the stream (S10).
            _ => {}
        }
        Ok(())
    }

    /// The leader notifies publishers, us among them perhaps, which numbers it lacks, that a share is used
    /// up, or that it refuses an open or a message.
    #[cold]
    fn on_notice(&mut self, now: Nanos, rows: NoticeRows<'_>, f: &mut impl FnMut(PublisherEvent)) {
        let own = KeyClass::notice_key(self.limits.receiver.keys.own());
        for row in rows.iter().filter(|row| row.key == 0 || row.key == own) {
            let notice = PublisherNotice::from_u32(row.notice);
            if row.publisher == 0 {
                let reason = match notice {
                    Some(PublisherNotice::TableFull) => {
                        OpenRefusal::TableFull { publishers_max: row.incarnation }
                    }
                    _ => OpenRefusal::NotAllowed,
                };
                for ticket in self.lines.on_refused([row.from, row.to]) {
                    f(PublisherEvent::Refused { ticket, reason });
                }
                continue;
            }
            let Some(index) = self.lines.of(row.publisher) else { continue };
            let line = &self.lines.list[index];
            if line.incarnation != row.incarnation {
                continue;
            }
            self.counters.add(Counter::NoticesIn, 1);
            match notice {
                Some(PublisherNotice::Missing) => {
                    self.window.on_missing(now, &line.outstanding, row.from, row.to)
                }
                Some(PublisherNotice::Throttled) => self.over_share = SHARE_HEARTBEATS,
                Some(PublisherNotice::NotAllowed) => {
                    f(PublisherEvent::NotAllowed { publisher: row.publisher, publisher_seq: row.from });
                }
                Some(PublisherNotice::TableFull) | None => {}
            }
        }
        self.report_throttled(f);
    }

    /// Whether the cluster takes our messages has perhaps changed.
    fn report_throttled(&mut self, f: &mut impl FnMut(PublisherEvent)) {
        let throttled = self.full || self.over_share > 0;
        if throttled != self.throttled {
            self.throttled = throttled;
            self.window.set_throttled(throttled);
            f(if throttled { PublisherEvent::Throttled } else { PublisherEvent::Unthrottled });
        }
    }
}
