//! Runs ahead: from no state that a run reaches may a healed majority be unable to make progress (liveness).
//! At a few moments of some runs the world is copied; in the copy the faults end as they do at the end of
//! the run: a random quorum is healed, whose disks have room, and the rest stays broken for ever. The copy
//! runs until it has committed something new, or the run fails with this moment. The run itself continues
//! unchanged.
//!
//! ```text
//!   faults ─────┬───────────────┬──────────────▶ healed ─▶ done
//!               └▶ heal ─▶ done └▶ heal ─▶ done
//! ```

use crate::check::Violation;
use crate::context::{RunContext, RunPhase};
use crate::coverage::Event;
use crate::machines::Machines;
use crate::plan::Plan;
use crate::rng::Rng;
use crate::world::World;
use lockstep_wire::Nanos;

/// One seed in so many is run ahead, ...
const SELDOM: u64 = 8;
/// ... from so many moments at most.
const MOMENTS_MAX: u64 = 3;

impl Plan {
    /// Draws the times at which the world is copied; none in most runs, and none in those with an edge.
    /// Suspensions are not counted.
    pub(crate) fn draw_moments(&mut self, rng: &mut Rng) {
        self.moments = Vec::new();
        if rng.below(SELDOM) > 0 || self.edges.is_some() {
            return;
        }
        self.moments.extend((0..1 + rng.below(MOMENTS_MAX)).map(|_| rng.below(self.fault_phase_ns)));
        self.moments.sort_unstable();
    }
}

impl World {
    /// Runs a copy ahead, if the time for it has come.
    pub(crate) fn look_ahead(&mut self) -> Result<(), Violation> {
        let since_begin = self.ctx.now.saturating_sub(crate::context::BEGIN_NS + self.ctx.slept_ns);
        while let Some(moment) = self.ctx.plan.moments.get(self.next_moment).copied()
            && moment <= since_begin
            && self.ctx.phase == RunPhase::Storm
        {
            self.next_moment += 1;
            let Some(copy) = self.copied(moment) else { return Ok(()) };
            let event = self.try_out(copy, moment)?;
            self.ctx.count(event);
        }
        Ok(())
    }

    fn try_out(&mut self, mut copy: Self, moment: Nanos) -> Result<Event, Violation> {
        let mut over = copy.heal_cluster().map(|()| false);
        if matches!(copy.ctx.phase, RunPhase::Dead(_)) {
            return Ok(Event::AheadWithoutQuorum);
        }
        loop {
            match over {
                Ok(true) => return Ok(Event::LivenessChecks),
                Ok(false) => over = copy.step(),
                Err(violation) => {
                    self.ctx.story = copy.ctx.story;
                    return Err(format!("{violation}\n  (faults were over at the moment {moment} ns)"));
                }
            }
        }
    }

    /// The same world, with random numbers of its own; `None` where something cannot be copied.
    fn copied(&self, salt: u64) -> Option<Self> {
        if self.edge.is_some() {
            return None;
        }
        Some(Self {
            ctx: RunContext {
                plan: self.ctx.plan.clone(),
                rng: Rng::new(self.ctx.plan.seed ^ salt),
                network: self.ctx.network.clone(),
                oracle: self.ctx.oracle.clone(),
                story: self.ctx.story.clone(),
                ..self.ctx
            },
            rooms: self.rooms.clone(),
            machines: Machines { events: Vec::new(), ..self.machines.clone() },
            clients: self.clients.clone(),
            edge: None,
            second_process: self.second_process.clone(),
            operator: self.operator.clone(),
            ..*self
        })
    }
}
