//! # sets: one order over several clusters
//!
//! Two or three worlds in one time, each with its replicas, clients, network and faults; histories are
//! founded in them. Beside them run coordinators, which die and come back and whose cuts may be late, and
//! readers of the merged order, which begin at random and resume. The judge folds the committed logs of all
//! worlds into the merged order by itself, and compares each reader with it.
//!
//! ```text
//!   world 1 (home)   world 2   world 3       each as ever: its own oracle knows its committed log
//!      │ ▲              │         │
//!      │ └─ cuts ─ coordinators ──┤        order: MERGE-1 to 3 as sentences, over the committed logs
//!      └────────── merged readers ┘ ──▶ judge ◀── order
//! ```

mod coordinator;
mod order;
mod reader;
mod subscriptions;
pub(crate) mod tap;

use crate::check::Violation;
use crate::context::{BEGIN_NS, RunPhase};
use crate::coverage::{Coverage, Event};
use crate::edge::OwnMachine;
use crate::fault::Fault;
use crate::outcome::{Outcome, RunFailure};
use crate::plan::Plan;
use crate::rng::Rng;
use crate::world::World;
use coordinator::SimCoordinator;
use lockstep_replica::journal::Retention;
use lockstep_wire::Nanos;
use order::SetOrder;
use reader::SimMergedReader;
use std::rc::Rc;

/// Once all worlds are done, all is merged within so long.
const LIVE_NS: Nanos = 1_000_000_000;
/// In one set of so many one of the streams is founded anew, besides those of which plans say so anyway.
const FOUNDS: u64 = 4;
/// Nodes that a world of a set has for itself.
const NODES_MAX: usize = 22;

/// The meaning of one seed of a set.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SetPlan {
    /// The seed.
    pub seed: u64,
    /// The worlds; the first one has the home stream.
    pub worlds: Vec<Plan>,
    /// Coordinators.
    pub coordinators: u32,
    /// Merged readers.
    pub readers: usize,
}

impl SetPlan {
    /// The meaning of a seed.
    pub fn of_seed(seed: u64) -> Self {
        let mut rng = Rng::new(seed ^ 0x5e75);
        let streams = 2 + rng.below(2);
        let founded = (rng.below(FOUNDS) == 0).then(|| rng.below(streams));
        let mut world = |stream: u64| {
            loop {
                let mut plan = Plan::of_seed(rng.next_u64());
                let is_wanted = founded != Some(stream) || plan.may_found();
                if is_wanted && is_suitable(&plan) {
                    (plan.moments, plan.replays) = (Vec::new(), true);
                    return plan;
                }
            }
        };
        let worlds = (0..streams).map(&mut world).collect();
        Self { seed, worlds, coordinators: 1 + rng.below(2) as u32, readers: 1 + rng.below(2) as usize }
    }
}

/// Whether a plan is one of a world in a set: short, and from its beginning on.
fn is_suitable(plan: &Plan) -> bool {
    let suspends = |fault: &Fault| matches!(fault, Fault::LongSuspension(_));
    let is_plain = plan.edges.is_none() && plan.months == 0 && !plan.is_long();
    is_plain
        && plan.retention == Retention::default()
        && !plan.has_second()
        && plan.nodes() + plan.faults.len().min(4) <= NODES_MAX
        && !plan.faults.iter().any(|fault| suspends(&fault.what))
}

/// All of one run.
struct SetRun {
    worlds: Vec<World>,
    /// Which of them have done all their work.
    done: Vec<bool>,
    order: SetOrder,
    coordinators: Vec<SimCoordinator>,
    readers: Vec<SimMergedReader>,
    now: Nanos,
    /// Since when all worlds are done.
    since: Option<Nanos>,
    steps: u64,
    coverage: Coverage,
}

/// Runs one seed of a set to its end.
pub fn run_set(seed: u64) -> Result<Outcome, RunFailure> {
    let plan = SetPlan::of_seed(seed);
    let fail = |step, violation| RunFailure { seed, step, violation, story: crate::story::Story::default() };
    let mut run = SetRun::new(&plan).map_err(|violation| fail(0, violation))?;
    while !run.step().map_err(|violation| fail(run.steps, violation))? {}
    run.readers
        .iter()
        .try_for_each(|reader| reader.check(&run.order))
        .map_err(|violation| fail(run.steps, violation))?;
    let mut outcome = Outcome {
        steps: run.steps,
        virtual_ns: run.now - BEGIN_NS,
        recovery_ns: run.since.map_or(0, |since| run.now - since),
        ..Outcome::default()
    };
    run.order.count(&mut run.coverage);
    for world in &mut run.worlds {
        outcome.coverage.add(&std::mem::take(&mut world.ctx.oracle.facts.coverage));
        outcome.trace_digest = outcome.trace_digest.rotate_left(9) ^ world.trace_digest;
    }
    outcome.trace_digest ^= run.coverage.get(Event::MergedEntries);
    outcome.coverage.add(&run.coverage);
    Ok(outcome)
}

impl SetRun {
    fn new(plan: &SetPlan) -> Result<Self, Violation> {
        let mut worlds = Vec::new();
        for one in &plan.worlds {
            let mut world = World::new(one, false, Rc::new(OwnMachine))?;
            // The order is folded of the frames.
            world.ctx.oracle.facts.tree.keeps_bytes = true;
            worlds.push(world);
        }
        let mut rng = Rng::new(plan.seed ^ 0x5e76);
        let lasting = plan.worlds.iter().map(|world| world.fault_phase_ns).max().unwrap_or(0);
        let lasting = (lasting, plan.worlds.iter().any(Plan::may_found));
        let coordinators = (0..plan.coordinators)
            .map(|number| SimCoordinator::new(&mut worlds, number, lasting, rng.fork()))
            .collect();
        let readers = (0..plan.readers)
            .map(|number| SimMergedReader::new(&mut worlds, number, lasting, rng.fork()))
            .collect();
        Ok(Self {
            done: vec![false; worlds.len()],
            order: SetOrder::new(worlds.len()),
            worlds,
            coordinators,
            readers,
            now: BEGIN_NS,
            since: None,
            steps: 0,
            coverage: Coverage::default(),
        })
    }

    /// The next event of all worlds and processes, and all checks behind it. Returns whether the run has
    /// ended.
    fn step(&mut self) -> Result<bool, Violation> {
        self.steps += 1;
        let worlds = self.worlds.iter().enumerate().filter(|(index, _)| !self.is_dead(*index));
        let next = worlds.map(|(index, world)| (world.next_at(), index)).min();
        let (at, world) = next.unwrap_or((Nanos::MAX, 0));
        let coordinator = self.coordinators.iter().enumerate().map(|(index, one)| (one.acts_at, index)).min();
        let reader = self.readers.iter().enumerate().map(|(index, one)| (one.acts_at, index)).min();
        let acts_at = |one: Option<(Nanos, usize)>| one.map_or(Nanos::MAX, |(at, _)| at);
        let first = at.min(acts_at(coordinator)).min(acts_at(reader));
        self.now = self.now.max(first);
        let storms = self.worlds.iter().any(|world| world.ctx.phase == RunPhase::Storm);
        let Self { worlds, order, coordinators, readers, coverage, now, .. } = self;
        if at == first {
            self.done[world] = worlds[world].step()? || self.done[world];
            if order.on_step(world, &worlds[world].ctx.oracle.facts)? {
                let is_home = world == 0;
                coverage.count(if is_home { Event::SetHomeFoundings } else { Event::SetFoundings });
                readers.iter_mut().for_each(|reader| reader.on_founding(*now, worlds, order));
            }
        } else if let Some((at, index)) = coordinator
            && at == first
        {
            coordinators[index].act(*now, worlds, (order, storms), coverage)?;
        } else if let Some((_, index)) = reader {
            readers[index].act(*now, worlds, (order, storms), coverage)?;
        }
        self.is_over()
    }

    /// Whether a world has no quorum any more.
    fn is_dead(&self, world: usize) -> bool {
        self.done[world] && matches!(self.worlds[world].ctx.phase, RunPhase::Dead(_))
    }

    /// Whether all worlds are done, and everything that they have committed is merged and delivered.
    fn is_over(&mut self) -> Result<bool, Violation> {
        if !self.done.iter().all(|done| *done) {
            return Ok(false);
        }
        let since = *self.since.get_or_insert(self.now);
        // Where a quorum is lost, its last entries reach nobody.
        if self.worlds.iter().any(|world| matches!(world.ctx.phase, RunPhase::Dead(_))) {
            return Ok(true);
        }
        let lacks = self.order.lacking();
        let lacks = lacks.or_else(|| self.readers.iter().find_map(|reader| reader.lacking(&self.order)));
        match lacks {
            None => Ok(true),
            Some(lacks) if self.now >= since + LIVE_NS => {
                let states = self.coordinators.iter().map(|one| one.described(&self.worlds));
                Err(format!("MERGE-LIVENESS: {lacks}{}", states.collect::<String>()))
            }
            Some(_) => Ok(false),
        }
    }
}
