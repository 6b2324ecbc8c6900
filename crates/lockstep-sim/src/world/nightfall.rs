//! The night of a year: the day is judged, and the month.

use crate::check::Violation;
use crate::context::BEGIN_NS;
use crate::coverage::Event;
use crate::kinds::FaultNode;
use crate::machine::Machine;
use crate::machine::replay::is_overtaken;
use crate::operator::OperatorStep;
use crate::wire::NodeSet;
use crate::world::World;
use crate::year::{AWAKE, MONTH, RESTORING, SETTLED};
use lockstep_replica::journal::ports::{FileName, Store};
use lockstep_wire::{Nanos, Seq};

/// What has settled grows no more than by this factor.
const GROWTH: u64 = 2;

/// The sizes of a replica that could grow.
#[derive(Clone, Copy, Debug, Default)]
struct Sizes([u64; SIZES.len()]);

/// The names of these sizes, and what each may be however small it began.
const SIZES: [(&str, u64); 8] = [
    ("segments", 8),
    ("bytes of files", 512 << 10),
    ("bytes of its newest checkpoint", 4 << 10),
    ("rows of epochs", 16),
    ("publishers", 16),
    ("opens and closes that can be undone", 16),
    ("entries without a commit", 64),
    ("files", 40),
];

impl Sizes {
    fn of(machine: &Machine) -> Option<Self> {
        let replica = machine.replica()?;
        let tables = replica.tables()?;
        let files = machine.store.list().ok()?;
        let is_segment = |file: &&FileName| matches!(file, FileName::Segment(_) | FileName::Packed(_));
        let checkpoint = files.iter().filter(|file| matches!(file, FileName::Checkpoint(_))).max();
        Some(Self([
            files.iter().filter(is_segment).count() as u64,
            machine.store.used_bytes(),
            checkpoint.map_or(0, |file| machine.store.len(*file).unwrap_or(0)),
            tables.epochs.len() as u64,
            tables.publishers.iter().count() as u64,
            tables.publishers.undo().count() as u64,
            replica.tail().end().next - replica.core.commit_next(),
            files.len() as u64,
        ]))
    }

    fn max(self, other: Self) -> Self {
        Self(std::array::from_fn(|at| self.0[at].max(other.0[at])))
    }
}

/// Notes of the days that are over.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Diary {
    /// The history and its commit on the evening before.
    evening: (u64, Seq),
    /// Until this day a cluster is restored.
    restored: u64,
    /// The largest sizes of any replica, until nothing grows any more.
    settled: Sizes,
    /// Nodes that retention had overtaken on the evening before.
    overtaken: NodeSet,
}

/// A night of a year falls: the day has got on; and at the end of a month everybody is there, and nothing has
/// grown.
pub(super) fn nightfall(world: &mut World, lasting: Nanos) -> Result<(), Violation> {
    if world.ctx.plan.months == 0 {
        return Ok(());
    }
    // The operator sleeps as well.
    world.operator.sleep(lasting);
    let awake_ns = world.ctx.now - BEGIN_NS - world.ctx.slept_ns;
    let day = (awake_ns + 1) / (AWAKE * world.ctx.plan.timeout_ns);
    let before = world.diary.evening;
    let now = (world.ctx.oracle.facts.history(), world.ctx.oracle.facts.commit_next());
    world.diary.evening = now;
    world.ctx.count(Event::TradingDays);
    if now.0 != before.0 && before.0 != 0 {
        world.diary.restored = day + RESTORING;
    }
    if now.1 <= before.1 && day > world.diary.restored {
        return Err(format!("YEAR: nothing was committed on day {day}, behind seq {}", before.1));
    }
    let formatted = format_overtaken(world);
    if !day.is_multiple_of(MONTH) || day <= world.diary.restored {
        return Ok(());
    }
    let known = if now.0 == before.0 { before.1 } else { 1 };
    let month = day / MONTH;
    world.ctx.count(Event::Months);
    let mut largest = Sizes::default();
    for index in 0..world.ctx.plan.replicas {
        if formatted >> index & 1 == 1 {
            continue;
        }
        let Some(machine) = world.machines.get(index) else { continue };
        let sizes = check_strength(world, index, machine, known)
            .map_err(|why| format!("YEAR: at the end of month {month} replica {index} {why}"))?;
        if month > SETTLED {
            world.diary.settled.check(&sizes).map_err(|why| {
                format!("YEAR: at the end of month {month} replica {index} has {why}: it grows")
            })?;
        }
        largest = largest.max(sizes);
    }
    if month <= SETTLED {
        world.diary.settled = world.diary.settled.max(largest);
    }
    Ok(())
}

/// Nodes that say that no journal has what their log lacks (LS1107) are formatted by their operator, and join
/// again. Returns those of this evening.
fn format_overtaken(world: &mut World) -> NodeSet {
    let is_overtaken = |node: &usize| match world.machines.get(*node) {
        Some(machine) => is_overtaken(machine) && world.machines.may_lose(&world.ctx, *node),
        _ => false,
    };
    let overtaken =
        (0..world.ctx.plan.replicas).filter(is_overtaken).fold(0, |nodes, node| nodes | 1 << node);
    let formatted = overtaken & !world.diary.overtaken;
    for node in (0..world.ctx.plan.replicas).filter(|node| formatted >> node & 1 == 1) {
        world.ctx.count(Event::Overtaken);
        if world.machines.lose_journal(&mut world.ctx, FaultNode::Replica(node)).is_some() {
            let steps = [OperatorStep::Renew(node), OperatorStep::Swap { node, patient: true }];
            let steps = if node < world.ctx.plan.founders { &steps } else { &steps[..1] };
            world.operator.order(&mut world.ctx, steps, 0);
        }
    }
    world.diary.overtaken = overtaken;
    formatted
}

impl Sizes {
    /// Whether `sizes` are no larger than these allow.
    fn check(&self, sizes: &Self) -> Result<(), String> {
        for (at, (name, floor)) in SIZES.iter().enumerate() {
            let most = (self.0[at] * GROWTH).max(*floor);
            if sizes.0[at] > most {
                return Err(format!(
                    "{} {name}, and had {} at most in the first months",
                    sizes.0[at], self.0[at]
                ));
            }
        }
        Ok(())
    }
}

/// Whether a replica is there, has everything of the days before, and counts with all the others.
fn check_strength(world: &World, index: usize, machine: &Machine, committed: Seq) -> Result<Sizes, String> {
    let (Some(replica), Some(side)) = (machine.replica(), &machine.side) else {
        return Err("does not run".to_owned());
    };
    let tables = replica.tables().ok_or("has an open frame")?;
    if replica.core.commit_next() < committed {
        return Err(format!("knows the commit {} of {committed}", replica.core.commit_next()));
    }
    if side.damaged().0 > 0 || side.stuck().is_some() {
        return Err(format!("has damage {:?} or is stuck: {:?}", side.damaged(), side.stuck()));
    }
    let members = tables.membership.members();
    if members.len() != world.ctx.plan.founders || tables.change.is_some() {
        return Err(format!("lists {members:?}, a change is open: {}", tables.change.is_some()));
    }
    let is_listed = members.iter().any(|member| member.identity() == machine.identity);
    if !is_listed && !world.ctx.plan.is_archiver(index) {
        return Err(format!("is {}, and not listed", machine.identity));
    }
    Sizes::of(machine).ok_or_else(|| "cannot be measured".to_owned())
}
