//! A year of trading days: a cluster at a low rate of messages, whose retention removes what is old by size
//! and by age, whose members are replaced, whose keys change, whose quorum is lost for good once and restored
//! by hand, whose log rises to a newer version, and whose days an operator marks. Between two days everything
//! is suspended, stopped, killed or without power, and that time costs nothing.
//!
//! ```text
//!   day ~~~ faults ~~~ quiet │ night │ day ~~~ … │ weekend │ … month: measured │ …
//!                            └ committed something                └ full strength, and nothing larger than
//!                                                                   in the months before
//! ```
//!
//! A leak of a few bytes a day, a table that only grows, a member that never comes back: no short run sees
//! them.

use crate::edge::{EdgeFault, EdgePlan};
use crate::fault::{
    ClientCrashFault, ClockStepFault, CloseFault, CrashFault, Fault, HandoverFault, IsolateFault,
    LongSuspensionFault, PauseFault, PlannedFault, ReplaceFault, RotateFault, UpgradeFault,
};
use crate::keys;
use crate::kinds::{EndPlan, FaultNode, RotationStep, Suspension};
use crate::plan::{DAY_NS, Plan, WALL_NS};
use crate::rng::Rng;
use crate::wire::{NetworkModel, NodeSet};
use lockstep_core::proto::commit::Durability;
use lockstep_core::proto::window::Window;
use lockstep_replica::journal::Retention;
use lockstep_wire::{Nanos, VERSION_MIN};

/// Trading days of a month, and of a week.
pub(crate) const MONTH: u64 = 21;
const WEEK: u64 = 5;
/// The day of its month on which a quorum is lost, and the days behind it in which the cluster comes to full
/// strength: nothing need be committed, and the nights interrupt nothing. A node that was left in the former
/// history waits longer than a day of this year lasts before it believes that.
const RESTORED: u64 = 10;
pub(crate) const RESTORING: u64 = 30;
/// The day of its month on which a change of keys begins.
const ROTATED: u64 = 5;
/// Months of a year.
pub const MONTHS: u64 = 12;
/// The time awake of a day, in leader timeouts, ...
pub(crate) const AWAKE: u64 = 15;
/// ... and that in which faults begin.
const STORMY: u64 = 4;
/// Messages of each publisher in a day, and orders of a client.
const MESSAGES: u64 = 12;
const ORDERS: u64 = 2;
/// Older segments are removed.
const AGE_NS_MAX: Nanos = 30 * DAY_NS;
/// After so many months nothing grows any more.
pub(crate) const SETTLED: u64 = 3;

impl Plan {
    /// A year, or so many months of it.
    pub fn of_year(seed: u64, months: u64) -> Self {
        let mut rng = Rng::new(seed ^ 0x7ea4_0d05);
        let mut plan = Self::of_seed(seed);
        let days = months * MONTH;
        plan.months = months;
        (plan.founders, plan.replicas, plan.archivers, plan.witness) = (3, 4, 1, false);
        (plan.publishers, plan.participants, plan.subscribers) = (2, 0, 2);
        (plan.version, plan.packs) = (VERSION_MIN, rng.below(2) == 0);
        plan.durability = rng.pick(&[Durability::Process, Durability::Power]);
        (plan.ring_bytes, plan.segment_len) = (rng.pick(&[32 << 10, 64 << 10]), 32 << 10);
        plan.retention = Retention { bytes_max: rng.pick(&[512 << 10, 1 << 20]), age_ns_max: AGE_NS_MAX };
        (plan.archives_are_cut, plan.scrub_bytes_per_s) = (true, 1 << 20);
        plan.window = Window { entries: 32, bytes: 8_000 };
        let loss = rng.pick(&[0, 1_000]);
        plan.network = NetworkModel { loss, delay_ns: 5_000, late_ns: 20_000, ..NetworkModel::default() };
        (plan.timeout_ns, plan.turn_ns, plan.pace) = (2_000_000, 8_000, 1);
        plan.fault_phase_ns = days * AWAKE * plan.timeout_ns;
        plan.messages = days * MESSAGES;
        // The first day begins in the morning.
        plan.wall_ns = WALL_NS - WALL_NS % DAY_NS + DAY_NS / 3;
        (plan.replays, plan.replay_opens_ns, plan.looks) = (true, 0, false);
        (plan.clocks, plan.moments, plan.quiet_from) = (Vec::new(), Vec::new(), None);
        plan.edges = (rng.below(2) == 0).then(|| edge_of(&plan, days));
        plan.faults = Vec::new();
        plan.draw_configured(&mut rng, true);
        // Once in a year a quorum is lost for good, behind what retention has removed.
        let restored =
            (months > SETTLED && plan.edges.is_none()).then(|| rng.below(months - 2) * MONTH + RESTORED);
        for day in 0..days {
            let restores = restored.is_some_and(|restored| (restored..restored + RESTORING).contains(&day));
            draw_day(&mut plan, &mut rng, (day, restores));
            if Some(day) == restored {
                plan.draw_restore(&mut rng, day * AWAKE * plan.timeout_ns);
            }
        }
        draw_rotations(&mut plan, &mut rng);
        plan.faults.sort_by_key(|fault| fault.at_ns);
        plan
    }
}

/// A gateway, a copy of an application, a feed and a client.
fn edge_of(plan: &Plan, days: u64) -> EdgePlan {
    let orders = days * ORDERS;
    EdgePlan {
        stamped: vec![false],
        duplicate: false,
        copies: 1,
        stamped_copies: [false; 2],
        has_shadow: false,
        feeds: 1,
        feeds_channel: false,
        receivers: 1,
        traders: 1,
        orders,
        every_ns: plan.fault_phase_ns / orders,
        latency_ns: 50_000,
        loss: 0,
        fix_traders: 0,
        fix_versions: [0; 2],
    }
}

/// The faults of a day, and its night.
fn draw_day(plan: &mut Plan, rng: &mut Rng, (day, restores): (u64, bool)) {
    let begins = day * AWAKE * plan.timeout_ns;
    let (month, date) = (day / MONTH, day % MONTH);
    let at = |rng: &mut Rng| begins + rng.below(STORMY * plan.timeout_ns);
    let mut faults = Vec::new();
    if rng.below(5) < 2 {
        faults.push((at(rng), fault_of_day(plan, rng)));
    }
    // A member in each month, where no other one is about to join.
    if date == 3 && !restores {
        let node = rng.below(plan.founders as u64) as usize;
        faults.push((at(rng), Fault::Replace(ReplaceFault { target: FaultNode::Replica(node) })));
    }
    if (month, date) == (1, 10) {
        faults.push((at(rng), Fault::Upgrade(UpgradeFault)));
    }
    if plan.edges.is_some() {
        // The day of before ends, and this one begins.
        for after in [1, 3] {
            let at_ns = begins + after * plan.timeout_ns;
            faults.push((at_ns, Fault::Edge(EdgeFault::Day { twice: false })));
        }
    }
    let is_measured = date + 1 == MONTH;
    let how = match rng.below(8) {
        _ if is_measured || restores => Suspension::Asleep,
        0 => Suspension::Killed,
        1 | 2 => Suspension::Stopped,
        3 => Suspension::Dark,
        _ => Suspension::Asleep,
    };
    let nights = if day % WEEK + 1 == WEEK { 3 } else { 1 };
    let lasting = nights * DAY_NS - AWAKE * plan.timeout_ns;
    faults.push((
        begins + AWAKE * plan.timeout_ns - 1,
        Fault::LongSuspension(LongSuspensionFault { how, lasting }),
    ));
    plan.faults.extend(faults.into_iter().map(|(at_ns, what)| PlannedFault { at_ns, what }));
}

/// Every second month the keys change, as an operator changes them: all nodes open what the new ones seal,
/// then all seal with them, then none opens what the old ones seal. A change later none opens even replays of
/// that. Each step reaches some nodes a day before the others.
fn draw_rotations(plan: &mut Plan, rng: &mut Rng) {
    for (month, new) in (1..plan.months).step_by(2).zip(keys::FIRST + 1..) {
        let steps = [
            RotationStep::Accept(new),
            RotationStep::Seal(new),
            RotationStep::Retire(new - 1),
            RotationStep::Forget(new - 2),
        ];
        for (number, step) in steps.into_iter().enumerate() {
            let (some, day) = (rng.next_u64() as NodeSet, month * MONTH + ROTATED + 2 * number as u64);
            for (hosts, day) in [(some, day), (!some, day + 1)] {
                let at_ns = day * AWAKE * plan.timeout_ns + rng.below(STORMY * plan.timeout_ns);
                plan.faults
                    .push(PlannedFault { at_ns, what: Fault::Rotate(RotateFault { nodes: hosts, step }) });
            }
        }
    }
}

/// A fault that is over before the day is.
fn fault_of_day(plan: &Plan, rng: &mut Rng) -> Fault {
    let any = FaultNode::Replica(rng.below(plan.replicas as u64) as usize);
    let target = if rng.below(2) == 0 { FaultNode::Leader } else { any };
    let lasting = rng.log_uniform(plan.timeout_ns / 16, plan.timeout_ns * 2);
    let client = plan.replicas + rng.below(plan.publishers as u64) as usize;
    match rng.below(10) {
        0 => Fault::Crash(CrashFault { target, end: EndPlan::Clean, lasting }),
        1 => Fault::Crash(CrashFault { target, end: EndPlan::MidTurn(rng.below(4) as u32), lasting }),
        2 => Fault::Crash(CrashFault { target, end: EndPlan::TornTail, lasting }),
        3 => Fault::Crash(CrashFault { target, end: EndPlan::Stopped, lasting }),
        4 => Fault::Pause(PauseFault { target, lasting }),
        5 => Fault::Handover(HandoverFault { to: None }),
        6 => Fault::ClientCrash(ClientCrashFault { client }),
        7 => Fault::Close(CloseFault { publisher: client }),
        8 => Fault::Isolate(IsolateFault { target, deaf: true, mute: rng.below(2) == 0, lasting }),
        _ => Fault::ClockStep(ClockStepFault { target, by_ms: rng.pick(&[-1_000, -1, 1, 1_000]) }),
    }
}
