//! The roles of a replica, and the state that belongs to each.
//!
//! A leadership owns all state that is of no use to another one: [`Leading::new`] begins with nothing, and
//! [`RoleState::step_down`] drops it. So no field has to be reset by hand at a takeover, and none can be
//! forgotten. The state that the roles share is in [`ReplicaCore`]: the log, the acceptor, the election,
//! the observers.

use super::commands::{LastRejectedCommand, redundancy_patience};
use super::{Ctx, DEAF_TIMEOUTS, HANDOVER_TIMEOUTS, Handover, OUTGOING_MAX, ReplicaCore, ReplicaLimits};
use crate::journal::ports::TailMemory;
use crate::journal::{RingSpan, Tail};
use crate::ports::Ports;
use crate::replica::replica_log::each_frame;
use lockstep_core::engine::event::{ReplicaEvent, Role, StepDownReason};
use lockstep_core::proto::failure_detector::{FailureDetector, FailureDetectorLimits};
use lockstep_core::proto::heartbeat::HeartbeatTimer;
use lockstep_core::proto::ingress::{HoldBack, Shares};
use lockstep_core::proto::log::LogEnd;
use lockstep_core::proto::planted::{Mutation, planted};
use lockstep_core::proto::redundancy::Redundancy;
use lockstep_core::proto::rights::KeyLimits;
use lockstep_core::proto::sequence::{Leadership, Sequencer};
use lockstep_core::proto::window::Uncommitted;
use lockstep_wire::{
    Entries, Epoch, FrameView, HEADER_LEN, Identity, MEMBERS_MAX, NOTICE_ROWS_MAX, Nanos, NoticeRow,
    OperatorOrder, Seq, VERSION_MIN, Wall,
};

/// The role of a node that does not lead.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum FollowerRole {
    /// It stores nothing yet, and no log lists it.
    Blank,
    /// It stores the log and has no vote.
    Learner,
    /// It is an acceptor.
    Standby,
}

impl From<FollowerRole> for Role {
    fn from(role: FollowerRole) -> Self {
        match role {
            FollowerRole::Blank => Self::Blank,
            FollowerRole::Learner => Self::Learner,
            FollowerRole::Standby => Self::Standby,
        }
    }
}

/// See the module.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[expect(clippy::large_enum_variant, reason = "a takeover allocates nothing")]
pub(super) enum RoleState {
    /// It follows a leader, or waits for one.
    Following(Following),
    /// It stamps.
    Leading(Leading),
}

/// The state that only a node has that does not lead.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Following {
    pub(super) role: FollowerRole,
    /// The leader is missed, and that was reported, since then.
    pub(super) missed_since: Option<Nanos>,
    /// The epoch that the log was last compared with.
    pub(super) reconciling_epoch: Epoch,
    /// The frames that a candidate has fetched so far.
    pub(super) fetched: (Epoch, Seq),
    /// The candidacy that was reported as waiting for frames that no ring holds any more.
    pub(super) takeover_wait_reported: Epoch,
    /// The content of the leader's last heartbeats: its ranking, whether it takes more, its clock, epoch
    /// and commit, number.
    pub(super) successors_announced: [u8; 8],
    pub(super) credit_announced: bool,
    pub(super) clock_announced: Wall,
    pub(super) heartbeat_seen: (Epoch, Seq),
    pub(super) heartbeat_number: u64,
    /// When the leader's commit last moved or had nothing to do, and when our log last grew.
    pub(super) moved_at: Nanos,
    pub(super) advanced_at: Nanos,
    /// When our own journal last had no room for a received frame, or its device lagged.
    pub(super) device_blocked_at: Nanos,
    /// The leader stamps none of the submissions that we receive.
    pub(super) no_progress: bool,
    /// The next frame found no room in the journal in this turn: nothing more is requested.
    pub(super) waits_for_room: bool,
    /// For the next leadership.
    pub(super) memory: LeaderMemory,
}

/// The state that only a leader has. It begins with an epoch, and ends with it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Leading {
    pub(super) sequencer: Sequencer,
    /// The time of the election.
    pub(super) won_at: Nanos,
    /// The commit in the promises that elected us.
    pub(super) commit_won: Seq,
    /// The greatest epoch that we accepted before, or promised to another.
    pub(super) before_led: Epoch,

    pub(super) hold: HoldBack,
    pub(super) shares: Shares,
    /// Submissions found the window or the journal full since the last heartbeat, ...
    pub(super) refusing: bool,
    /// ... and had done so before it.
    pub(super) refused: bool,
    /// The earliest time of the next notice to publishers about missing numbers.
    pub(super) notice_at: Nanos,
    /// Refusals of opens and messages, until their publishers are notified.
    pub(super) refusals: Vec<NoticeRow>,
    /// What publishers' keys allow.
    pub(super) key_limits: KeyLimits,

    pub(super) heartbeat_timer: HeartbeatTimer,
    pub(super) uncommitted: Uncommitted,
    /// The commit up to which `uncommitted` and the log were updated.
    pub(super) commit_seen: Seq,
    pub(super) outgoing_frames: Vec<RingSpan>,

    /// The members that were received since the last quorum of them, and the time since that quorum.
    pub(super) quorum_contacts: u32,
    pub(super) quorum: FailureDetector,
    /// A quorum was received once in this epoch.
    pub(super) had_quorum: bool,
    /// When each member was last received, by its place in the list; 0 for never.
    pub(super) member_contact: [Nanos; MEMBERS_MAX],
    /// Which members hold the log.
    pub(super) redundancy: Redundancy,
    /// A turn came late: all that waits is received before anything is sent.
    pub(super) must_drain: bool,

    /// A change that needs both sides is committed, and the journal does not record that yet.
    pub(super) uncommitted_change: bool,
    /// The last membership change that was rejected.
    pub(super) rejected_command: Option<LastRejectedCommand>,
    /// It stamps nothing more: it hands over, ...
    pub(super) draining: bool,
    /// ... to this member.
    pub(super) handover: Option<Handover>,
    /// The member that was removed because the operator declared it dead. If it leads as well, two streams
    /// have begun.
    pub(super) removed_dead: Option<Identity>,
    /// It does: this is our last turn.
    pub(super) diverged: bool,
}

/// Memory of a leader, allocated when the process starts: a takeover allocates nothing. It also holds the
/// learned bound of a quorum's silence.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct LeaderMemory {
    hold: HoldBack,
    uncommitted: Uncommitted,
    outgoing_frames: Vec<RingSpan>,
    refusals: Vec<NoticeRow>,
    pub(super) key_limits: KeyLimits,
    quorum: FailureDetector,
}

impl LeaderMemory {
    /// For messages of at most `message_len_max` bytes.
    pub(super) fn new(limits: &ReplicaLimits, message_len_max: usize) -> Self {
        let detector = limits.failure_detector;
        let quorum = FailureDetectorLimits {
            timeout_ns: DEAF_TIMEOUTS * detector.timeout_ns,
            timeout_ns_max: DEAF_TIMEOUTS * detector.timeout_ns_max,
            ..detector
        };
        Self {
            hold: HoldBack::new(limits.hold_back, message_len_max),
            uncommitted: Uncommitted::new(limits.window.entries),
            outgoing_frames: Vec::with_capacity(OUTGOING_MAX),
            refusals: Vec::with_capacity(NOTICE_ROWS_MAX),
            key_limits: KeyLimits::default(),
            quorum: FailureDetector::new(quorum),
        }
    }

    /// No role, while the node changes from one role to the other.
    pub(super) fn none() -> Self {
        Self {
            hold: HoldBack::new(0, 0),
            uncommitted: Uncommitted::default(),
            outgoing_frames: Vec::new(),
            refusals: Vec::new(),
            key_limits: KeyLimits::default(),
            quorum: FailureDetector::new(FailureDetectorLimits::default()),
        }
    }

    /// For an explorer: states do not differ by the time of the last quorum.
    pub(super) fn forget_times(&mut self, now: Nanos) {
        self.quorum.restart(now);
    }

    /// Nothing of one leadership is left for the next one.
    fn clear(&mut self) {
        if !planted(Mutation::HoldBackNotCleared) {
            self.hold.clear();
        }
        if !planted(Mutation::WindowNotReset) {
            self.uncommitted.clear();
        }
        if !planted(Mutation::OutgoingNotCleared) {
            self.outgoing_frames.clear();
        }
        self.refusals.clear();
    }

    /// Holds while nobody leads. Panics with the rule that is broken.
    pub(super) fn invariants(&self) {
        assert!(self.outgoing_frames.is_empty(), "S1: nothing waits to be sent where nobody leads");
        assert!(self.hold.is_empty(), "S8: nothing is held back where nobody leads");
        assert!(self.uncommitted.end().is_none(), "WIN-1: the window is empty where nobody leads");
    }
}

impl Following {
    /// A node that begins, or stops leading, at `now`.
    pub(super) fn new(role: FollowerRole, memory: LeaderMemory, now: Nanos) -> Self {
        Self {
            role,
            missed_since: None,
            reconciling_epoch: Epoch::NONE,
            fetched: (Epoch::NONE, 0),
            takeover_wait_reported: Epoch::NONE,
            successors_announced: [0; 8],
            credit_announced: false,
            clock_announced: Wall::default(),
            heartbeat_seen: (Epoch::NONE, 0),
            heartbeat_number: 0,
            moved_at: now,
            advanced_at: now,
            device_blocked_at: 0,
            no_progress: false,
            waits_for_room: false,
            memory,
        }
    }

    /// The only place that sets the role of a node that does not lead.
    pub(super) fn transition(&mut self, core: &mut ReplicaCore, to: FollowerRole, end: &LogEnd) {
        let from = std::mem::replace(&mut self.role, to);
        core.on_role_changed(from.into(), to.into(), end);
    }

    /// When it has work even if no datagram arrives.
    pub(super) fn next_deadline(&self, core: &ReplicaCore) -> Nanos {
        let due = match self.role {
            FollowerRole::Blank => core.failure_detector.next_deadline(),
            FollowerRole::Learner => core.unicast_probe.next_deadline(),
            // It watches its leader; a node that may lead also advances its candidacy.
            FollowerRole::Standby => {
                let candidacy = core.election.next_deadline().filter(|_| core.standing.may_lead);
                core.failure_detector.next_deadline().min(candidacy.unwrap_or(Nanos::MAX))
            }
        };
        // A repair is to be requested, or the journal may have room for waiting frames.
        let asks =
            if self.waits_for_room { core.next_heartbeat() } else { core.rx.next_deadline(&core.followed) };
        let stores = if core.rx.frames.has_ready() { core.next_heartbeat() } else { Nanos::MAX };
        due.min(asks).min(stores)
    }

    /// Holds after each turn. Panics with the rule that is broken.
    pub(super) fn invariants(&self, core: &ReplicaCore) {
        self.memory.invariants();
        assert!(
            self.role != FollowerRole::Standby || core.counts(core.identity()),
            "S12: a standby that its log's members do not list",
        );
    }
}

impl Leading {
    /// A leadership that begins at `now`, behind the log of `tail`. The promises named everything below
    /// `commit_won` committed.
    pub(super) fn new<M: TailMemory>(
        core: &ReplicaCore,
        tail: &Tail<M>,
        memory: LeaderMemory,
        leadership: Leadership,
        now: Nanos,
        commit_won: Seq,
    ) -> Self {
        let LeaderMemory { hold, mut uncommitted, outgoing_frames, refusals, key_limits, mut quorum } =
            memory;
        quorum.restart(now);
        let on_closed =
            |frame: &FrameView<'_>| uncommitted.on_closed(frame.header.next_seq(), frame.header.length);
        if !each_frame(tail, core.commit_next(), on_closed) {
            // What cannot be read counts as one frame.
            uncommitted.on_closed(tail.end().next, tail.frame_len_max() as u32);
        }
        let limits = &core.limits;
        let (keys, history) = (limits.receiver.keys.clone(), core.followed.history());
        let forgotten = planted(Mutation::VersionForgotten);
        let log = (history, if forgotten { VERSION_MIN } else { core.log.version.max(VERSION_MIN) });
        Self {
            sequencer: Sequencer::new(leadership, keys, log, tail.frame_len_max()),
            won_at: now,
            commit_won,
            before_led: core.promised_others.max(tail.end().epoch),
            hold,
            shares: Shares::default(),
            refusing: false,
            refused: false,
            notice_at: 0,
            refusals,
            key_limits,
            heartbeat_timer: HeartbeatTimer::new(limits.heartbeat),
            uncommitted,
            commit_seen: 0,
            outgoing_frames,
            quorum_contacts: 0,
            quorum,
            had_quorum: false,
            member_contact: [0; MEMBERS_MAX],
            redundancy: Redundancy::new(redundancy_patience(&limits.failure_detector)),
            must_drain: false,
            uncommitted_change: false,
            rejected_command: None,
            draining: false,
            handover: None,
            removed_dead: None,
            diverged: false,
        }
    }

    /// When it has work even if no datagram arrives.
    pub(super) fn next_deadline<M: TailMemory>(&self, core: &ReplicaCore, tail: &Tail<M>) -> Nanos {
        // Before its epoch has begun: by then the journal may have room, or the promise may be on the
        // device.
        let begun = self.has_epoch_begun(core, tail);
        let due = if begun { self.heartbeat_timer.next_deadline() } else { core.next_heartbeat() };
        if core.rx.frames.has_ready() { due.min(core.next_heartbeat()) } else { due }
    }

    /// The leader hands over. Returns whether another member can lead.
    pub(super) fn start_handover(&mut self, core: &ReplicaCore, now: Nanos, to: Option<Identity>) -> bool {
        let alone = core.log.membership.members().len() <= 1;
        if to == Some(core.identity()) || alone && !core.stopping {
            return false;
        }
        self.draining = true;
        if !alone {
            let until = now + HANDOVER_TIMEOUTS * core.limits.failure_detector.timeout_ns;
            let until = if planted(Mutation::HandoverForEver) { Nanos::MAX } else { until };
            self.handover = Some(Handover { to, until });
        }
        true
    }

    /// Holds after each turn. Panics with the rule that is broken.
    pub(super) fn invariants(&self, core: &ReplicaCore, end: &LogEnd) {
        self.hold.invariants();
        self.uncommitted.invariants();
        let waiting = self.outgoing_frames.len();
        assert!(waiting <= OUTGOING_MAX, "S1: {waiting} frames wait to be sent, at most {OUTGOING_MAX}");
        let (epoch, promised) = (self.epoch(), core.acceptor.promised());
        assert!(epoch == promised, "S2: {epoch} is led, and {promised} is promised");
        assert!(epoch.leader() == core.identity(), "S1: {epoch} is led, which is another's");
        let counted = self.uncommitted.end().unwrap_or(end.next);
        assert!(
            counted == end.next || counted <= core.commit_next(),
            "WIN-1: the window ends at {counted}, and the log at {}",
            end.next,
        );
    }

    /// The epoch that is led.
    pub(super) fn epoch(&self) -> Epoch {
        self.sequencer.epoch()
    }

    /// S8: what the entries of the open frame changed goes with them.
    fn drop_open_frame<P: Ports>(&self, ctx: &mut Ctx<'_, P>) {
        let end = ctx.tail.end();
        if !self.sequencer.is_drained()
            && !planted(Mutation::OpenFrameNotDropped)
            && let Ok(memory) = ctx.tail.room()
        {
            let count = self.sequencer.stamp_next(&end) - end.next;
            let open = Entries::check(&memory[HEADER_LEN..self.sequencer.open_len()], count as u16);
            if let Ok((entries, ..)) = open {
                ctx.core.log.publishers.on_cut(end.next, entries);
            }
        }
    }

    fn into_memory(self) -> LeaderMemory {
        let Self { hold, uncommitted, outgoing_frames, refusals, key_limits, quorum, .. } = self;
        let mut memory = LeaderMemory { hold, uncommitted, outgoing_frames, refusals, key_limits, quorum };
        memory.clear();
        memory
    }
}

impl RoleState {
    /// In one word.
    #[inline]
    pub(super) fn role(&self) -> Role {
        match self {
            Self::Following(following) => following.role.into(),
            Self::Leading(_) => Role::Leader,
        }
    }

    /// The leadership, if there is one.
    #[inline]
    pub(super) fn leading(&self) -> Option<&Leading> {
        if let Self::Leading(leading) = self { Some(leading) } else { None }
    }

    /// Our rank among the successors of the leader that we follow; a leader's rank is that in the
    /// membership.
    pub(super) fn rank(&self, core: &ReplicaCore) -> usize {
        match self {
            Self::Following(following) => following.rank(core),
            Self::Leading(_) => core.log.membership.position(core.identity()).unwrap_or(0),
        }
    }

    /// A node that does not lead has another role.
    pub(super) fn follow_as(&mut self, core: &mut ReplicaCore, role: FollowerRole, end: &LogEnd) {
        if let Self::Following(following) = self {
            following.transition(core, role, end);
        }
    }

    /// The founder leads the first epoch of its history, by its log alone.
    pub(super) fn lead_first<M: TailMemory>(
        &mut self,
        core: &mut ReplicaCore,
        tail: &mut Tail<M>,
        leadership: Leadership,
    ) {
        let Self::Following(following) = self.take() else {
            unreachable!("S1: a leader begins another epoch without stepping down")
        };
        let epoch = leadership.epoch();
        tail.promise(epoch);
        core.acceptor.on_promised(epoch);
        core.election.on_proven(epoch);
        core.led = epoch;
        let leading = Leading::new(core, tail, following.memory, leadership, 0, 1);
        core.on_role_changed(following.role.into(), Role::Leader, &tail.end());
        *self = Self::Leading(leading);
    }

    pub(super) fn take(&mut self) -> Self {
        let nothing = Following::new(FollowerRole::Blank, LeaderMemory::none(), 0);
        std::mem::replace(self, Self::Following(nothing))
    }

    /// Stops stamping: open and unsent frames are dropped, and this node is a standby.
    pub(super) fn step_down<P: Ports>(&mut self, ctx: &mut Ctx<'_, P>, why: StepDownReason) {
        let now = ctx.turn.now;
        let Self::Leading(leading) = self else { return };
        let (epoch, end) = (leading.epoch(), ctx.tail.end());
        leading.drop_open_frame(ctx);
        if why == StepDownReason::Handover {
            ctx.core.leaders_missed.handed_over = epoch;
        }
        ctx.core.events.push(ReplicaEvent::SteppedDown { epoch, why, seq: end.next });
        if let Self::Leading(leading) = self.take() {
            *self = Self::Following(Following::new(FollowerRole::Standby, leading.into_memory(), now));
        }
        ctx.core.pending_submissions.clear();
        // The log may have changed before it leads again.
        ctx.core.pending_orders.forget(OperatorOrder::Upgrade);
        ctx.core.pending_orders.forget(OperatorOrder::Time);
        ctx.core.outbox.rejoins = true;
        ctx.core.failure_detector.restart(now);
        ctx.core.on_role_changed(Role::Leader, Role::Standby, &end);
        let rank = self.rank(ctx.core);
        ctx.core.election.on_failed(now, rank);
    }
}
