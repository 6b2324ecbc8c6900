//! The replica: leader or standby, one pass of the duty cycle at a time.
//!
//! ```text
//!            the log's membership lists us        elected, or epoch 1 is granted
//!   Blank ────────────────────────────▶ Standby ────────────────────────────────▶ Leader
//!     │ it does not                      ▲ │ ▲   promised, refused, superseded,     │
//!     └──▶ Learner ──────────────────────┘ │ └── deaf, handed over ────────────────┘
//!              ▲ removed ──────────────────┘
//! ```
//!
//! What must happen before what, in one turn: stored in the journal's tail, then counted, then said. A
//! frame is kept before it is sent, an append is published before it is acknowledged.

mod begin;
mod clock;
mod elect;
mod explored;
mod give;
mod heard;
mod histories;
mod ingress;
mod invariants;
mod lead;
mod orders;
mod own_log;
mod presence;
mod pulse;
mod recovered;
mod replayed;
mod say;
mod serve;
mod stand;

pub use elect::CurrentSuspicion;
use elect::PendingReplies;
use give::RepairQueue;
use heard::PendingSubmissions;
pub use invariants::Tables;
use orders::{LastRejectedCommand, redundancy_patience};
use own_log::ReplicaLog;
use presence::ForeignHistory;
use pulse::unicast_probe_limits;
pub use recovered::Recovered;
pub use replayed::{CatchUpPlan, CatchUpRequest};

use super::conditions::ConditionSet;
use crate::journal::{RingSpan, Tail};
use crate::ports::Ports;
use lockstep_core::engine::UNICAST_TURNS;
use lockstep_core::engine::counters::{Counter, Counters};
use lockstep_core::engine::event::{Events, ReplicaEvent, Role};
use lockstep_core::engine::losses::Losses;
use lockstep_core::engine::ports::{Burst, Group, Net};
use lockstep_core::engine::receiver::{NACK_LEN_MAX, Receiver, ReceiverLimits, Start};
use lockstep_core::engine::replay::StallDetector;
use lockstep_core::proto::accept::Acceptor;
use lockstep_core::proto::beat::{HeartbeatLimits, HeartbeatTimer};
use lockstep_core::proto::commit::Durability;
use lockstep_core::proto::election::{Election, ElectionLimits};
use lockstep_core::proto::ingress::{HoldBack, Shares};
use lockstep_core::proto::planted::{Mutation, planted};
use lockstep_core::proto::presence::IdentityProbe;
use lockstep_core::proto::pulse::UnicastProbe;
use lockstep_core::proto::redundancy::Redundancy;
use lockstep_core::proto::repair::RepairHistoryLimits;
use lockstep_core::proto::requesters::BudgetLimits;
use lockstep_core::proto::sequence::Sequencer;
use lockstep_core::proto::start::{self, StartRole};
use lockstep_core::proto::suspect::{FailureDetector, FailureDetectorLimits};
use lockstep_core::proto::window::{Uncommitted, Window};
use lockstep_wire::{
    Condition, ENTRY_HEADER_LEN, Epoch, HEADER_LEN, Header, Identity, Kind, MEMBERS_MAX, NOTICE_ROWS_MAX,
    Nanos, REPAIR_TRAILER_LEN, Reject, SMALL_LEN_MAX, Seq,
};

/// A replica's settings.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct ReplicaLimits {
    /// The receiver's; `me` is this replica's identity, the repairers are the other replicas.
    pub receiver: ReceiverLimits,
    /// When a leader beats.
    pub heartbeat: HeartbeatLimits,
    /// How much may be stamped and not committed.
    pub window: Window,
    /// What an ack means.
    pub durability: Durability,
    /// Most names of publishers.
    pub publishers_max: u32,
    /// Most submissions that wait for an earlier one of their publisher.
    pub hold_back: u16,
    /// A standby that has nothing new says where it stands this often.
    pub ack_again_ns: Nanos,
    /// Drawn at each start of the process.
    pub process_nonce: u64,
    /// When the process began, by its own clock: of two processes of one identity the later one stops.
    pub started_at: Nanos,
    /// For so long a process looks, at its start, whether another one of its identity lives, and has no vote; 0: not at
    /// all.
    pub identity_probe_ns: Nanos,
    /// Most frames that one request is answered with: more are asked for again.
    pub repairs_per_request: usize,
    /// What repairs to readers may cost.
    pub budget: BudgetLimits,
    /// When silence becomes a suspicion.
    pub failure_detector: FailureDetectorLimits,
    /// An election's times.
    pub election: ElectionLimits,
    /// Bytes of submissions that a standby keeps, to stamp them when it takes over, and a leader that was stalled, while
    /// it looks whether it leads still: twice what may have waited in a socket.
    pub pending_submission_bytes: usize,
    /// Drawn at each start of the process: the secrets of its epochs' watchers follow from it.
    pub secret_seed: [u8; 32],
}

/// A leader under whom nothing moves for this many timeouts, although something is to be committed, is
/// heard and yet no sign of life.
const WEDGED_TIMEOUTS: u64 = 4;
/// A node that holds nothing, and gets nothing of the epoch that it follows for so many timeouts, turns to
/// another one.
const BLANK_TIMEOUTS: u64 = 4;
/// A leader that is to hand over waits this many timeouts for a successor that holds everything.
const HANDOVER_TIMEOUTS: u64 = 16;
/// A leader that hears no quorum stops after this many timeouts of its standbys: they are to miss it first.
const DEAF_TIMEOUTS: u64 = 2;
/// Frames that were kept and not yet taken by the device.
const OUTGOING_MAX: usize = 512;
/// Nobody wants to be called again sooner than this after a turn: a shorter sleep costs more than it spares.
const PAUSE_NS_MIN: Nanos = 20_000;
/// Most bursts of one send call.
const BURSTS_MAX: usize = 64;
/// Frames that wait before a long batch is interrupted by a send.
const OUTGOING_SEND: usize = 256;
/// A frame is padded to the size of its burst for at most this many bytes: what one more datagram of a
/// burst costs less than a send of its own.
const PADDING_MAX: usize = 128;

/// A leader that is to hand over.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Handover {
    /// To whom; whoever holds most where nobody is named.
    to: Option<Identity>,
    /// Then it goes on.
    until: Nanos,
}

/// Everything of a replica but its device and its journal.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct ReplicaCore {
    limits: ReplicaLimits,
    role: Role,
    acceptor: Acceptor,
    rx: Receiver,
    log: ReplicaLog,
    hold: HoldBack,
    shares: Shares,
    pending_submissions: PendingSubmissions,
    failure_detector: FailureDetector,
    election: Election,
    suspicion: Option<CurrentSuspicion>,
    /// The leader is missed, and that was told, since then.
    missed_since: Option<Nanos>,
    /// Whether the groups bring whom we listen for: a leader its standbys, everybody else the leader.
    unicast_probe: UnicastProbe,
    pending_replies: PendingReplies,
    /// Whether another process speaks under our identity.
    presence: IdentityProbe,
    /// Tokens that were drawn.
    tokens: u64,
    /// Another history that was heard before our own.
    foreign_history: ForeignHistory,
    refused_at: Nanos,
    /// The epoch that the log was last compared with.
    reconciling_epoch: Epoch,
    /// What a candidate has fetched so far.
    fetched: (Epoch, Seq),
    /// What the promises that elected us called committed.
    commit_won: Seq,
    /// The entry by which our role was last found, and whether it was uncommitted; whether we may lead by it.
    listed_by: (Seq, bool),
    may_lead: bool,
    /// We are a witness: we keep no more than a ring, and serve candidates only.
    is_witness: bool,
    /// Where it stands while it is replayed to.
    stall_detector: StallDetector,
    /// We are an archiver: no membership makes us vote.
    is_archiver: bool,
    /// The candidacy that was told to wait for what no ring has any more.
    takeover_wait_reported: Epoch,
    /// What the leader's last heartbeats said: its ranking, whether it takes more, epoch and commit, number.
    successors_announced: [u8; 8],
    credit_announced: bool,
    heartbeat_seen: (Epoch, Seq),
    heartbeat_number: u64,
    /// When the leader's commit last moved or had nothing to do, and when our log last grew.
    moved_at: Nanos,
    advanced_at: Nanos,
    /// When our own journal did not take what was heard, or its device lagged, last.
    device_blocked_at: Nanos,
    /// The leader stamps nothing of what we hear.
    no_progress: bool,
    /// Leading: the members that were heard since the last quorum of them, and how long that is ago.
    quorum_contacts: u32,
    quorum: FailureDetector,
    /// It was heard once in the epoch that we lead.
    had_quorum: bool,
    /// Leading: when each member was last heard, by its place in the list; 0 for never.
    member_contact: [Nanos; MEMBERS_MAX],
    /// Leading: which members hold the log.
    redundancy: Redundancy,
    /// Leading: a change that needs both sides is committed, and the journal does not know it yet.
    uncommitted_change: bool,
    /// Leading: the last change of the membership that was not made.
    rejected_command: Option<LastRejectedCommand>,
    /// Whom the operator declared dead; until its removal is stamped.
    declared_dead: Option<Identity>,
    /// Leading: who was removed by that word. If it leads as well, two streams have begun.
    removed_dead: Option<Identity>,
    /// It does: this is our last turn.
    diverged: bool,
    /// The greatest epoch that we accepted before we led, or promised to another.
    before_led: Epoch,
    /// The last turn; one that comes late looks before it speaks.
    turn_at: Nanos,
    /// When this turn began.
    polled_at: Nanos,
    /// A turn came late: all that waits is received before anything is sent.
    must_drain: bool,
    /// Somebody else of our history was heard.
    own_history_seen: bool,
    /// The log's history, as it was told last.
    history_reported: u64,
    handover: Option<Handover>,
    /// The last epoch that this process led, and since when.
    led: Epoch,
    won_at: Nanos,
    /// We led: the leader's frames are to be heard again.
    rejoins: bool,
    sequencer: Option<Sequencer>,
    heartbeat_timer: HeartbeatTimer,
    uncommitted: Uncommitted,
    /// Leading: the commit up to which `uncommitted` and the log were told.
    commit_seen: Seq,
    outgoing_frames: Vec<RingSpan>,
    /// Submissions found the window or the journal full since the last heartbeat, ...
    refusing: bool,
    /// ... and had done so before it.
    refused: bool,
    /// Publishers are told what is missed of them from then on.
    notice_at: Nanos,
    /// Opens that found the table of publishers full, by their nonces, until they are told.
    opens_refused: Vec<[u64; 2]>,
    /// What the leader's clock was when it last beat; whether the stream's time is far ahead of ours.
    clock_announced: Nanos,
    clock_ahead: bool,
    /// The last ack that was said, and when.
    acked: (Epoch, Seq),
    acked_at: Nanos,
    number: u64,
    turns: u64,
    draining: bool,
    stopping: bool,
    stopped: bool,
    /// What comes next found no room in the journal in this turn: nothing more is asked for.
    waits_for_room: bool,
    repairs: RepairQueue,
    /// What was counted.
    pub counters: Counters,
    /// What was missing, and why.
    pub losses: Losses,
    /// What is amiss; set by [`ReplicaCore::set_condition`].
    pub conditions: ConditionSet,
    /// What happened.
    pub events: Events,
}

/// See the module.
pub struct ReplicaEngine<P: Ports> {
    net: P::Net,
    tail: Tail<P::Memory>,
    /// Everything but device and journal.
    pub core: ReplicaCore,
    scratch: Vec<u8>,
}

impl<P: Ports> Clone for ReplicaEngine<P>
where
    P::Net: Clone,
    P::Memory: Clone,
{
    fn clone(&self) -> Self {
        Self {
            net: self.net.clone(),
            tail: self.tail.clone(),
            core: self.core.clone(),
            scratch: self.scratch.clone(),
        }
    }
}

impl<P: Ports> ReplicaEngine<P> {
    /// A replica over a recovered journal. In words why it must not start (S12).
    pub fn new(
        net: P::Net,
        tail: Tail<P::Memory>,
        recovered: Recovered,
        limits: ReplicaLimits,
    ) -> Result<Self, String> {
        let identity = limits.receiver.me;
        let (end, promised) = (tail.end(), tail.promised());
        let before = recovered.open_change.as_ref().map(|(_, before)| before);
        let granted = start::role(identity, &end, &recovered.membership, before, promised);
        let mut receiver = limits.receiver.clone();
        receiver.history = recovered.lineage.history();
        receiver.count_when_accepted = true;
        // What is in the log is promised: nothing below it is followed.
        let acceptor = Acceptor::new(promised.max(end.epoch));
        let mut rx = Receiver::new(receiver, Start::Behind(end, recovered.commit_next));
        if let Some((seq, before)) = recovered.open_change {
            rx.commit.on_membership(seq, before, recovered.membership);
        }
        rx.restore(&recovered.epochs, recovered.membership, recovered.durability);
        rx.set_lineage(recovered.lineage);
        if let Some(start) = recovered.last_start() {
            (rx.follow.secret_hash, rx.follow.window_entries) =
                (start.body.secret_hash, start.body.window_entries);
        }
        rx.raise_floor(acceptor.promised());
        let quorum = FailureDetectorLimits {
            timeout_ns: DEAF_TIMEOUTS * limits.failure_detector.timeout_ns,
            timeout_ns_max: DEAF_TIMEOUTS * limits.failure_detector.timeout_ns_max,
            ..limits.failure_detector
        };
        let mut election = Election::new(limits.election, identity);
        election.on_proven(acceptor.promised());
        let message_len_max = tail.frame_len_max() - HEADER_LEN - ENTRY_HEADER_LEN;
        let core = ReplicaCore {
            role: Role::Blank,
            acceptor,
            rx,
            log: ReplicaLog::new(
                recovered.publishers,
                recovered.membership,
                recovered.open_change,
                recovered.durability,
                (recovered.start_frame, recovered.lineage),
                &recovered.epochs,
            ),
            pending_submissions: PendingSubmissions::new(limits.pending_submission_bytes),
            failure_detector: FailureDetector::new(limits.failure_detector),
            election,
            suspicion: None,
            missed_since: None,
            unicast_probe: UnicastProbe::new(unicast_probe_limits(&limits.failure_detector)),
            pending_replies: PendingReplies::default(),
            presence: IdentityProbe::new(
                limits.process_nonce,
                limits.started_at,
                limits.failure_detector.timeout_ns / 2,
                limits.identity_probe_ns,
            ),
            tokens: 0,
            foreign_history: ForeignHistory::default(),
            refused_at: 0,
            reconciling_epoch: Epoch::NONE,
            fetched: (Epoch::NONE, 0),
            commit_won: 1,
            listed_by: (recovered.membership.seq, recovered.open_change.is_some()),
            may_lead: recovered.membership.may_lead(identity),
            is_witness: recovered.membership.is_witness(identity),
            stall_detector: StallDetector::default(),
            is_archiver: false,
            takeover_wait_reported: Epoch::NONE,
            successors_announced: [0; 8],
            credit_announced: false,
            heartbeat_seen: (Epoch::NONE, 0),
            heartbeat_number: 0,
            moved_at: 0,
            advanced_at: 0,
            device_blocked_at: 0,
            no_progress: false,
            quorum_contacts: 0,
            had_quorum: false,
            quorum: FailureDetector::new(quorum),
            member_contact: [0; MEMBERS_MAX],
            redundancy: Redundancy::new(redundancy_patience(&limits.failure_detector)),
            uncommitted_change: false,
            rejected_command: None,
            declared_dead: None,
            removed_dead: None,
            diverged: false,
            before_led: promised.max(end.epoch),
            turn_at: 0,
            polled_at: 0,
            must_drain: false,
            own_history_seen: false,
            history_reported: recovered.lineage.history(),
            handover: None,
            led: Epoch::NONE,
            won_at: 0,
            rejoins: false,
            shares: Shares::default(),
            hold: HoldBack::new(limits.hold_back, message_len_max),
            sequencer: None,
            heartbeat_timer: HeartbeatTimer::new(limits.heartbeat),
            uncommitted: Uncommitted::new(limits.window.entries),
            commit_seen: 0,
            outgoing_frames: Vec::with_capacity(OUTGOING_MAX),
            refusing: false,
            refused: false,
            notice_at: 0,
            opens_refused: Vec::with_capacity(NOTICE_ROWS_MAX),
            clock_announced: 0,
            clock_ahead: false,
            acked: (Epoch::NONE, 0),
            acked_at: 0,
            number: 0,
            turns: 0,
            draining: false,
            stopping: false,
            stopped: false,
            waits_for_room: false,
            repairs: RepairQueue::new(
                limits.budget,
                RepairHistoryLimits::of(limits.receiver.nack.guard_ns, limits.receiver.nack.retry_ns_min),
            ),
            counters: Counters::default(),
            losses: Losses::default(),
            conditions: ConditionSet::default(),
            events: Events::default(),
            limits,
        };
        let scratch = NACK_LEN_MAX.max(SMALL_LEN_MAX).max(tail.frame_len_max() + REPAIR_TRAILER_LEN);
        let scratch = vec![0; scratch];
        let mut replica = Self { net, tail, core, scratch };
        // The epochs before the commit are nobody's takeovers any more.
        replica.core.log.on_commit(recovered.commit_next);
        match granted {
            StartRole::Blank => {}
            StartRole::Standby => replica.core.transition(Role::Standby, &end),
            StartRole::Learner => replica.core.transition(Role::Learner, &end),
            StartRole::Lead(leadership) => {
                replica.tail.promise(leadership.epoch());
                replica.core.acceptor.on_promised(leadership.epoch());
                replica.core.election.on_proven(leadership.epoch());
                replica.core.led = leadership.epoch();
                let history = recovered.lineage.history();
                let cluster = replica.core.limits.receiver.cluster;
                let frame_len_max = replica.tail.frame_len_max();
                replica.core.sequencer =
                    Some(Sequencer::new(leadership, cluster, history, end, frame_len_max));
                replica.core.transition(Role::Leader, &end);
            }
        }
        Ok(replica)
    }

    /// One turn: receives, applies the rules, stores, sends. `now` is monotonic, `wall` the time since
    /// the Unix epoch. Returns the work done: 0 is an idle turn.
    pub fn poll(&mut self, now: Nanos, wall: Nanos) -> usize {
        if self.core.stopped {
            return 0;
        }
        self.core.turns += 1;
        self.core.polled_at = now;
        if self.core.turns == 1 {
            self.core.check_durability();
        }
        self.core.losses.on_turn(now);
        let mut work = self.net.recv_groups();
        self.core.counters.add(Counter::DatagramsIn, work as u64);
        let drained = self.net.is_drained();
        if self.core.role == Role::Leader {
            self.poll_leader(now, wall, work, drained);
            self.flush_pending_replies(now, wall);
        } else {
            self.poll_standby(now, wall, work, drained);
        }
        if !self.core.presence.is_complete() {
            self.poll_identity_probe(now, wall, drained);
        }
        self.poll_unicast_probe(now, wall, drained);
        self.core.turn_at = now;
        if self.core.turns.is_multiple_of(UNICAST_TURNS) || self.core.rx.is_waiting() {
            work += self.on_unicast(now, wall);
        } else {
            self.flush_repairs(now);
        }
        self.core.gauge(&self.tail.end());
        work
    }

    /// The node's role.
    pub fn role(&self) -> Role {
        self.core.role
    }

    /// The journal's tail.
    pub fn tail(&self) -> &Tail<P::Memory> {
        &self.tail
    }

    /// The journal's tail, for a world that copies behind it on the same thread.
    pub fn tail_mut(&mut self) -> &mut Tail<P::Memory> {
        &mut self.tail
    }

    /// The device.
    pub fn net(&self) -> &P::Net {
        &self.net
    }

    /// The device, for those who run it.
    pub fn net_mut(&mut self) -> &mut P::Net {
        &mut self.net
    }

    /// Whether the node may stop: it follows somebody else, or all it stamped is committed and nobody could
    /// follow it. Who has handed over stays until its successor has begun, which may need its promise.
    pub fn is_drained(&self) -> bool {
        let core = &self.core;
        if core.role == Role::Leader {
            return core.handover.is_none() && core.commit_next() >= self.tail.end().next;
        }
        core.led == Epoch::NONE || core.rx.follow.epoch() > core.led
    }

    /// Whether something waits to be sent: the node is to be called again soon.
    pub fn has_pending_work(&self) -> bool {
        !self.core.outgoing_frames.is_empty() || self.core.repairs.has_queued()
    }

    /// When the node is to be called again at the latest, though no datagram comes: always later than its last turn.
    pub fn next_deadline(&self) -> Nanos {
        let core = &self.core;
        let due = match core.role {
            _ if core.stopped => Nanos::MAX,
            Role::Leader if core.has_epoch_begun(&self.tail) => core.heartbeat_timer.next_deadline(),
            // The journal may have room by then, or the promise be on the device.
            Role::Leader => core.next_heartbeat(),
            Role::Standby => core.next_poll(),
            Role::Blank => core.failure_detector.next_deadline(),
            Role::Learner => core.unicast_probe.next_deadline(),
        };
        due.min(core.next_request()).min(core.presence.next_probe()).max(core.turn_at + PAUSE_NS_MIN)
    }

    /// Takes the replica apart: what survives its process is the tail.
    pub fn into_tail(self) -> Tail<P::Memory> {
        self.tail
    }
}

impl ReplicaCore {
    fn identity(&self) -> Identity {
        self.limits.receiver.me
    }

    /// The exclusive bound of what is final, never past the own log (S4).
    #[inline]
    pub fn commit_next(&self) -> Seq {
        self.rx.commit.commit_next()
    }

    /// The history of the log; 0 on a blank node.
    pub fn history(&self) -> u64 {
        self.rx.history()
    }

    /// From now on nothing more is stamped: the node is about to stop, and hands over what it leads.
    pub fn start_drain(&mut self, now: Nanos) {
        if !self.stopping {
            self.stopping = true;
            self.start_handover(now, None);
        }
    }

    /// The leader is to hand over to `to`, or to whoever holds most: it stops stamping, and says so once its
    /// successor holds everything. Returns whether it leads, and there is somebody else to do so.
    pub fn start_handover(&mut self, now: Nanos, to: Option<Identity>) -> bool {
        let alone = self.log.membership.members().len() <= 1;
        if self.role != Role::Leader || to == Some(self.identity()) || alone && !self.stopping {
            return false;
        }
        self.draining = true;
        if self.log.membership.members().len() > 1 {
            let until = now + HANDOVER_TIMEOUTS * self.limits.failure_detector.timeout_ns;
            let until = if planted(Mutation::HandoverForEver) { Nanos::MAX } else { until };
            self.handover = Some(Handover { to, until });
        }
        true
    }

    /// Whether it leads, and waits for its successor to hold everything.
    pub fn hands_over(&self) -> bool {
        self.handover.is_some()
    }

    /// When and why a leader was last missed here.
    pub fn suspicion(&self) -> Option<CurrentSuspicion> {
        self.suspicion
    }

    /// Whether this replica is a witness, which keeps no more than its ring's worth.
    pub fn is_witness(&self) -> bool {
        self.is_witness
    }

    /// Leading: whether its only full standbys lie behind the ring of a witness.
    pub fn is_exposed(&self) -> bool {
        self.conditions.holds(Condition::Exposed)
    }

    /// Whether a divergence or an impostor has silenced the node.
    pub fn is_stopped(&self) -> bool {
        self.stopped
    }

    fn next_heartbeat(&self) -> Nanos {
        self.turn_at + self.limits.heartbeat.interval_ns
    }

    /// A standby watches its leader; one that may lead goes on with its candidacy.
    fn next_poll(&self) -> Nanos {
        let candidacy = self.election.next_deadline().filter(|_| self.may_lead);
        self.failure_detector.next_deadline().min(candidacy.unwrap_or(Nanos::MAX))
    }

    /// When something that is missing is to be asked for, or the journal may have room for what waits.
    fn next_request(&self) -> Nanos {
        let asks = match self.role {
            Role::Leader => Nanos::MAX,
            _ if self.waits_for_room => self.next_heartbeat(),
            _ => self.rx.next_deadline(),
        };
        if self.rx.has_ready() { asks.min(self.next_heartbeat()) } else { asks }
    }

    /// The only writer of the role.
    fn transition(&mut self, to: Role, end: &lockstep_core::proto::log::LogEnd) {
        let from = std::mem::replace(&mut self.role, to);
        self.losses.leave();
        if from == Role::Leader {
            // Only who leads looks.
            self.conditions.forget(Condition::Exposed);
            self.conditions.forget(Condition::RedundancyLost);
            self.conditions.forget(Condition::PublishersNearlyFull);
            self.conditions.forget(Condition::ReaderAhead);
        }
        self.unicast_probe = UnicastProbe::new(unicast_probe_limits(&self.limits.failure_detector));
        self.events.push(ReplicaEvent::Role { from, to, epoch: end.epoch, seq: end.next });
    }

    fn header(&self, kind: Kind, wall: Nanos, end: &lockstep_core::proto::log::LogEnd) -> Header {
        Header {
            cluster: self.limits.receiver.cluster,
            history: self.rx.history(),
            epoch: end.epoch.0,
            sender: self.identity().replica,
            incarnation: self.identity().incarnation,
            first_seq: end.next,
            commit_next: self.commit_next(),
            timestamp: wall,
            chain: end.chain,
            number: self.number,
            ..Header::new(kind)
        }
    }

    fn reject(&mut self, reject: Reject) {
        if self.counters.reject(reject) {
            self.events.push(ReplicaEvent::Rejected { reject });
        }
    }

    /// From now on a condition holds, with its two numbers, or does not. What is news is told.
    pub fn set_condition(&mut self, condition: Condition, holds: bool, now: Nanos, numbers: (u64, u64)) {
        if let Some(event) = self.conditions.set(condition, holds, now, numbers) {
            self.events.push(event);
        }
    }

    fn gauge(&mut self, end: &lockstep_core::proto::log::LogEnd) {
        self.counters.add(Counter::Turns, 1);
        self.counters.set(Counter::EventsDropped, self.events.dropped());
        self.counters.set(Counter::AcceptNext, end.next);
        self.counters.set(Counter::CommitNext, self.commit_next());
        self.counters.set(Counter::StampedNext, end.next.max(self.rx.seen_next()));
    }
}

/// Sends one small datagram to a group.
fn send_small(net: &mut impl Net, group: Group, bytes: &[u8]) -> bool {
    net.send_group(group, &[Burst { bytes, stride: bytes.len() }]) == 1
}
