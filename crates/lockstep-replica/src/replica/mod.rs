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
//! The order within one turn: stored in the journal's tail, then counted, then sent. A frame is stored
//! before it is sent, and an append is published before it is acknowledged.

mod acks;
mod ballots;
mod catch_up;
mod clock;
mod commands;
mod ctx;
mod election;
mod epoch_start;
mod event_queries;
mod explored;
mod following;
mod gauges;
mod identity_probe;
mod ingress;
mod install;
mod invariants;
mod leading;
mod limits;
mod lineage;
mod noted_key;
mod orders;
mod pending_submissions;
mod queries;
mod readers_ahead;
mod reconcile;
mod recovered;
mod repair;
mod replica_log;
mod role;
mod sending;
mod stamping;
mod status;
mod suspicion;
mod takeover;
mod time_order;
mod unicast_probe;
mod versions;
mod ways;

use acks::LastAck;
use catch_up::CatchUp;
pub use catch_up::{CatchUpPlan, CatchUpRequest};
use clock::ClockWatch;
use ctx::{Ctx, Turn};
use election::Outbox;
use event_queries::EventQueries;
pub use event_queries::EventQuery;
pub use gauges::REPLICA_ROWS;
use identity_probe::IdentityWatch;
pub use invariants::Tables;
pub use limits::{ACK_REPEAT_HEARTBEATS, ReplicaLimits};
pub use noted_key::NotedKey;
use orders::PendingOrders;
use pending_submissions::PendingSubmissions;
use readers_ahead::ReadersAhead;
pub use recovered::Recovered;
use repair::RepairQueue;
use replica_log::ReplicaLog;
use role::{FollowerRole, Following, LeaderMemory, Leading, RoleState};
pub use suspicion::CurrentSuspicion;
use suspicion::{EpochsAlarm, LeadersMissed};
use unicast_probe::unicast_probe_limits;
pub use ways::{NodeSet, Ways};

use super::conditions::ConditionSet;
use crate::journal::Tail;
use crate::ports::Ports;
use lockstep_core::engine::UNICAST_TURNS;
use lockstep_core::engine::counters::{Counter, Counters};
use lockstep_core::engine::event::{Events, RefusedSender, ReplicaEvent, Role};
use lockstep_core::engine::followed::Followed;
use lockstep_core::engine::losses::Losses;
use lockstep_core::engine::ports::{Burst, Group, Net};
use lockstep_core::engine::receiver::{NACK_LEN_MAX, Receiver, Start};
use lockstep_core::proto::accept::Acceptor;
use lockstep_core::proto::address_proof::AddressProofs;
use lockstep_core::proto::election::Election;
use lockstep_core::proto::failure_detector::FailureDetector;
use lockstep_core::proto::heartbeat::HeartbeatTimer;
use lockstep_core::proto::log::LogEnd;
use lockstep_core::proto::repair::RepairHistoryLimits;
use lockstep_core::proto::rights::OrderChecks;
use lockstep_core::proto::start::{self, StartRole};
use lockstep_core::proto::unicast_probe::UnicastProbe;
use lockstep_wire::{
    Condition, ENTRY_HEADER_LEN, Epoch, HEADER_LEN, Header, Identity, Keys, Kind, Nanos, REPAIR_TRAILER_LEN,
    Reject, SMALL_LEN_MAX, Seq, Wall,
};
use std::net::SocketAddrV4;

/// After this many timeouts in which nothing moves although something is to be committed, the leader's
/// heartbeats no longer count as a sign of life.
const WEDGED_TIMEOUTS: u64 = 4;
/// A node that stores nothing, and receives nothing of the epoch that it follows for this many timeouts,
/// turns to another epoch.
const BLANK_TIMEOUTS: u64 = 4;
/// A leader that hands over waits this many timeouts for a successor that holds everything.
const HANDOVER_TIMEOUTS: u64 = 16;
/// A leader that receives no quorum stops after this many timeouts of its standbys: they should miss it
/// first.
const DEAF_TIMEOUTS: u64 = 2;
/// Frames that are stored in the journal, and not yet taken by the device.
const OUTGOING_MAX: usize = 512;
/// No node needs its next turn sooner than this after a turn: a shorter sleep costs more than it saves.
const PAUSE_NS_MIN: Nanos = 20_000;
/// Most bursts of one send call.
const BURSTS_MAX: usize = 64;
/// Frames that wait before a send interrupts a long batch.
const OUTGOING_SEND: usize = 256;
/// A frame is padded to the size of its burst with at most this many bytes: one more datagram of a burst is
/// that much cheaper than a send of its own.
const PADDING_MAX: usize = 128;

/// A leader that hands over.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Handover {
    /// The successor; the member that holds most where none is named.
    to: Option<Identity>,
    /// Then the leader continues.
    until: Nanos,
}

/// The turns of the duty cycle so far.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
struct Turns {
    count: u64,
    /// When the last one ended; a leader whose turn comes late checks for newer epochs before it sends.
    at: Nanos,
    /// When this one began.
    polled_at: Nanos,
}

/// What the membership makes of this node.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Standing {
    /// The entry from which its role was last derived, and whether that entry was uncommitted.
    listed_by: (Seq, bool),
    may_lead: bool,
    /// It stores no more than a ring, and serves candidates only.
    is_witness: bool,
    /// No membership makes it vote.
    is_archiver: bool,
}

/// The state that all roles of a replica share; the state of one role is in `role`.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct ReplicaCore {
    limits: ReplicaLimits,
    acceptor: Acceptor,
    /// The log that the node follows or leads.
    followed: Followed,
    /// What fetches the log of a leader.
    rx: Receiver,
    log: ReplicaLog,
    pending_submissions: PendingSubmissions,
    failure_detector: FailureDetector,
    election: Election,
    leaders_missed: LeadersMissed,
    /// Whether the groups bring the nodes that we listen for: to a leader its standbys, to every other node
    /// the leader.
    unicast_probe: UnicastProbe,
    outbox: Outbox,
    identity_watch: IdentityWatch,
    standing: Standing,
    catch_up: CatchUp,
    /// The member that the operator declared dead, until its removal is stamped.
    declared_dead: Option<Identity>,
    /// Orders that are carried out, and not yet recorded.
    pending_orders: PendingOrders,
    /// The signatures of orders that were checked lately.
    order_checks: OrderChecks,
    /// The greatest epoch that was promised to another, or accepted before this process began.
    promised_others: Epoch,
    turns: Turns,
    /// The log's history as it was last reported.
    history_reported: u64,
    /// The last epoch that this process led.
    led: Epoch,
    clocks: ClockWatch,
    last_ack: LastAck,
    stopping: bool,
    stopped: bool,
    repairs: RepairQueue,
    address_proofs: AddressProofs,
    /// The counters.
    pub counters: Counters,
    /// The gaps, and their causes.
    pub losses: Losses,
    /// The active conditions; set by [`ReplicaCore::set_condition`].
    pub conditions: ConditionSet,
    readers_ahead: ReadersAhead,
    /// A sender that seals with another generation of keys than we.
    pub noted_key: NotedKey,
    /// What this node gets from each of the others; its process counts it.
    pub ways: Ways,
    /// Since when many takeovers have had no commit.
    epochs_alarm: EpochsAlarm,
    /// The events.
    pub events: Events,
    /// Queries for the process's record of events.
    event_queries: EventQueries,
}

/// See the module.
pub struct ReplicaEngine<P: Ports> {
    net: P::Net,
    tail: Tail<P::Memory>,
    /// The state that all roles share.
    pub core: ReplicaCore,
    role: RoleState,
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
            role: self.role.clone(),
            scratch: self.scratch.clone(),
        }
    }
}

impl<P: Ports> ReplicaEngine<P> {
    /// A replica over a recovered journal. The error is the reason why it must not start (S12).
    pub fn new(
        net: P::Net,
        tail: Tail<P::Memory>,
        recovered: Recovered,
        limits: ReplicaLimits,
    ) -> Result<Self, String> {
        let (end, promised) = (tail.end(), tail.promised());
        let before = recovered.open_change.as_ref().map(|(_, before)| before);
        let granted = start::role(limits.receiver.me, &end, &recovered.membership, before, promised);
        let message_len_max = tail.frame_len_max() - HEADER_LEN - ENTRY_HEADER_LEN;
        let core = ReplicaCore::new(end, promised, recovered, limits);
        let scratch = NACK_LEN_MAX.max(SMALL_LEN_MAX).max(tail.frame_len_max() + REPAIR_TRAILER_LEN);
        let scratch = vec![0; scratch];
        let memory = LeaderMemory::new(&core.limits, message_len_max);
        let role = RoleState::Following(Following::new(FollowerRole::Blank, memory, 0));
        let mut replica = Self { net, tail, core, role, scratch };
        replica.begin(granted);
        Ok(replica)
    }

    /// The role with which the log lets it begin.
    fn begin(&mut self, granted: StartRole) {
        let Self { tail, core, role, .. } = self;
        let end = tail.end();
        match granted {
            StartRole::Blank => {}
            StartRole::Standby => role.follow_as(core, FollowerRole::Standby, &end),
            StartRole::Learner => role.follow_as(core, FollowerRole::Learner, &end),
            StartRole::Lead(leadership) => role.lead_first(core, tail, leadership),
        }
    }

    /// One turn: receives, applies the rules, stores, sends. Returns the work done: 0 is an idle turn.
    pub fn poll(&mut self, now: Nanos, wall: Wall) -> usize {
        if self.core.stopped {
            return 0;
        }
        self.core.turns.count += 1;
        self.core.turns.polled_at = now;
        if self.core.turns.count == 1 {
            self.core.check_durability();
        }
        self.core.losses.on_turn(now);
        let mut work = self.net.recv_groups();
        self.core.counters.add(Counter::DatagramsIn, work as u64);
        let turn = Turn { now, wall, drained: self.net.is_drained() };
        if self.core.clocks.was_set(now, wall) {
            self.judge_clock(turn);
        }
        if self.role.leading().is_some() {
            self.poll_leader(work, turn);
            if !self.core.outbox.is_empty() {
                self.flush_pending_replies(turn);
            }
        } else {
            self.poll_standby(work, turn);
        }
        if !self.core.identity_watch.probe.is_complete() {
            self.poll_identity_probe(turn);
        }
        self.poll_unicast_probe(turn);
        self.core.turns.at = now;
        if self.core.turns.count.is_multiple_of(UNICAST_TURNS) || self.core.rx.is_waiting() {
            work += self.on_unicast(turn);
        } else {
            self.flush_repairs(now);
        }
        let ReplicaCore { readers_ahead, conditions, events, .. } = &mut self.core;
        readers_ahead.poll((conditions, events), now);
        self.core.gauge(&self.tail.end());
        work
    }

    /// What a step of `turn` works on, the device, and the role.
    #[inline]
    fn parts(&mut self, turn: Turn) -> (Ctx<'_, P>, &mut P::Net, &mut RoleState) {
        let Self { net, tail, core, role, .. } = self;
        (Ctx { core, tail, turn }, net, role)
    }

    /// The node's role.
    pub fn role(&self) -> Role {
        self.role.role()
    }

    /// The journal's tail.
    pub fn tail(&self) -> &Tail<P::Memory> {
        &self.tail
    }

    /// The journal's tail, for a caller that copies behind it on the same thread.
    pub fn tail_mut(&mut self) -> &mut Tail<P::Memory> {
        &mut self.tail
    }

    /// The device.
    pub fn net(&self) -> &P::Net {
        &self.net
    }

    /// The device, for the code that drives it.
    pub fn net_mut(&mut self) -> &mut P::Net {
        &mut self.net
    }

    /// Whether the node may stop: it follows another leader, or everything that it stamped is committed and
    /// no other node could follow it. A node that has handed over stays until its successor has begun, as
    /// the successor may need its promise.
    pub fn is_drained(&self) -> bool {
        let core = &self.core;
        if let Some(leading) = self.role.leading() {
            return leading.handover.is_none() && core.commit_next() >= self.tail.end().next;
        }
        core.led == Epoch::NONE || core.followed.epoch() > core.led
    }

    /// Whether something waits to be sent: the next turn should come soon.
    pub fn has_pending_work(&self) -> bool {
        let sends = self.role.leading().is_some_and(|leading| !leading.outgoing_frames.is_empty());
        sends || self.core.repairs.has_queued()
    }

    /// When the next turn is due at the latest, even if no datagram arrives: always later than the last
    /// turn.
    pub fn next_deadline(&self) -> Nanos {
        let core = &self.core;
        let due = match &self.role {
            _ if core.stopped => Nanos::MAX,
            RoleState::Leading(leading) => leading.next_deadline(core, &self.tail),
            RoleState::Following(following) => following.next_deadline(core),
        };
        due.min(core.identity_watch.probe.next_probe()).max(core.turns.at + PAUSE_NS_MIN)
    }

    /// From now on nothing more is stamped: the node is about to stop, and hands over its leadership.
    pub fn start_drain(&mut self, now: Nanos) {
        if !self.core.stopping {
            self.core.stopping = true;
            self.start_handover(now, None);
        }
    }

    /// The epoch in which this replica stamps.
    pub fn leads(&self) -> Option<Epoch> {
        self.role.leading().map(Leading::epoch)
    }

    /// The state that this replica derived from its log; `None` while that state is not the log's.
    pub fn tables(&self) -> Option<Tables<'_>> {
        let core = &self.core;
        self.has_tables().then(|| Tables {
            membership: core.log.membership,
            change: core.log.change,
            epochs: core.log.epochs(),
            publishers: &core.log.publishers,
        })
    }

    /// Takes the replica apart: the tail survives its process.
    pub fn into_tail(self) -> Tail<P::Memory> {
        self.tail
    }
}

/// What a replica follows that has recovered a log which ends at `end`, with its receiver: nothing below
/// `promised`.
fn receiver(
    end: LogEnd,
    promised: Epoch,
    recovered: &Recovered,
    limits: &ReplicaLimits,
) -> (Followed, Receiver) {
    let mut limits = limits.receiver.clone();
    limits.history = recovered.lineage.history();
    limits.count_when_accepted = true;
    let start = Start::Behind(end, recovered.commit_next);
    let mut followed = Followed::new(&limits, start);
    if let Some((seq, before)) = recovered.open_change {
        followed.commit.on_membership(seq, before, recovered.membership);
    }
    followed.restore(&recovered.epochs, recovered.membership, recovered.durability);
    followed.set_lineage(recovered.lineage);
    if let Some(start) = recovered.last_start() {
        followed.epochs.set_start(&start.body);
    }
    followed.raise_floor(promised);
    (followed, Receiver::new(limits, start))
}

impl ReplicaCore {
    fn new(end: LogEnd, promised: Epoch, recovered: Recovered, limits: ReplicaLimits) -> Self {
        let identity = limits.receiver.me;
        // The epochs of the log are promised: nothing below it is followed.
        let acceptor = Acceptor::new(promised.max(end.epoch));
        let mut election = Election::new(limits.election, identity);
        election.on_proven(acceptor.promised());
        let nack = &limits.receiver.nack;
        let history_limits = RepairHistoryLimits::of(nack.guard_ns, nack.retry_ns_min);
        let (followed, rx) = receiver(end, acceptor.promised(), &recovered, &limits);
        Self {
            followed,
            rx,
            pending_submissions: PendingSubmissions::new(limits.pending_submission_bytes),
            failure_detector: FailureDetector::new(limits.failure_detector),
            election,
            leaders_missed: LeadersMissed::default(),
            unicast_probe: UnicastProbe::new(unicast_probe_limits(&limits.failure_detector)),
            outbox: Outbox::default(),
            identity_watch: IdentityWatch::new(&limits),
            standing: Standing {
                listed_by: (recovered.membership.seq, recovered.open_change.is_some()),
                may_lead: recovered.membership.may_lead(identity),
                is_witness: recovered.membership.is_witness(identity),
                is_archiver: limits.is_archiver,
            },
            catch_up: CatchUp::default(),
            declared_dead: None,
            pending_orders: PendingOrders::default(),
            order_checks: OrderChecks::default(),
            promised_others: acceptor.promised(),
            turns: Turns::default(),
            history_reported: recovered.lineage.history(),
            led: Epoch::NONE,
            clocks: ClockWatch::default(),
            last_ack: LastAck::default(),
            stopping: false,
            stopped: false,
            repairs: RepairQueue::new(limits.budget, history_limits),
            address_proofs: AddressProofs::new(limits.secret_seed),
            counters: Counters::default(),
            losses: Losses::default(),
            conditions: ConditionSet::default(),
            readers_ahead: ReadersAhead::default(),
            noted_key: NotedKey::default(),
            ways: Ways::default(),
            epochs_alarm: EpochsAlarm::default(),
            events: Events::default(),
            event_queries: EventQueries::default(),
            log: ReplicaLog::recovered(recovered),
            acceptor,
            limits,
        }
    }

    fn identity(&self) -> Identity {
        self.limits.receiver.me
    }

    /// The keys of this process.
    pub fn keys(&self) -> &Keys {
        &self.limits.receiver.keys
    }

    /// The exclusive bound of the final entries, never past the replica log (S4).
    #[inline]
    pub fn commit_next(&self) -> Seq {
        self.followed.commit.commit_next()
    }

    /// The history of the log; 0 on a blank node.
    pub fn history(&self) -> u64 {
        self.followed.history()
    }

    /// When and why a leader was last missed here.
    pub fn suspicion(&self) -> Option<CurrentSuspicion> {
        self.leaders_missed.last
    }

    /// Whether this replica is a witness, which stores no more than its ring's worth.
    pub fn is_witness(&self) -> bool {
        self.standing.is_witness
    }

    /// On a leader: whether its only full standbys lie behind the ring of a witness.
    pub fn is_exposed(&self) -> bool {
        self.conditions.holds(Condition::Exposed)
    }

    /// Whether a divergence or a duplicate identity has silenced the node.
    pub fn is_stopped(&self) -> bool {
        self.stopped
    }

    fn next_heartbeat(&self) -> Nanos {
        self.turns.at + self.limits.heartbeat.interval_ns
    }

    /// The role has changed.
    fn on_role_changed(&mut self, from: Role, to: Role, end: &LogEnd) {
        self.losses.leave();
        if from == Role::Leader {
            // Only a leader checks this.
            self.conditions.forget(Condition::Exposed);
            self.conditions.forget(Condition::RedundancyLost);
            self.conditions.forget(Condition::PublishersNearlyFull);
            self.readers_ahead.leave(&mut self.conditions);
        }
        self.unicast_probe = UnicastProbe::new(unicast_probe_limits(&self.limits.failure_detector));
        let (epoch, seq, is_archiver) = (end.epoch, end.next, self.standing.is_archiver);
        self.events.push(ReplicaEvent::Role { from, to, epoch, seq, is_archiver });
    }

    fn header(&self, kind: Kind, wall: Wall, end: &LogEnd) -> Header {
        Header {
            cluster: self.limits.receiver.keys.cluster(),
            history: self.followed.history(),
            epoch: end.epoch.0,
            sender: self.identity().replica,
            incarnation: self.identity().incarnation,
            first_seq: end.next,
            commit_next: self.commit_next(),
            timestamp: wall.0,
            chain: end.chain,
            number: self.outbox.number,
            ..Header::new(kind)
        }
    }

    fn reject(&mut self, reject: Reject) {
        if self.counters.reject(reject) {
            self.events.push(ReplicaEvent::Rejected { reject, sender: None });
        }
    }

    /// From now on a condition is active, with its two numbers, or is not. A change becomes an event.
    pub fn set_condition(&mut self, condition: Condition, holds: bool, now: Nanos, numbers: (u64, u64)) {
        if let Some(event) = self.conditions.set(condition, holds, now, numbers) {
            self.events.push(event);
        }
    }

    fn gauge(&mut self, end: &LogEnd) {
        self.counters.add(Counter::DutyCycles, 1);
        self.counters.set(Counter::EventsDropped, self.events.dropped());
        self.counters.set(Counter::AcceptNext, end.next);
        self.counters.set(Counter::CommitNext, self.commit_next());
        self.counters.set(Counter::StampedNext, end.next.max(self.followed.seen_next()));
    }
}

/// A datagram is refused: the first one for a reason is an event, which names its sender.
#[cold]
fn reject_datagram(core: &mut ReplicaCore, reject: Reject, bytes: &[u8], from: Option<SocketAddrV4>) {
    if core.counters.reject(reject) {
        core.events.push(ReplicaEvent::Rejected { reject, sender: RefusedSender::of(bytes, from) });
    }
}

/// Sends one small datagram to a group.
fn send_small(net: &mut impl Net, group: Group, bytes: &[u8]) -> bool {
    net.send_group(group, &[Burst { bytes, stride: bytes.len() }]) == 1
}
