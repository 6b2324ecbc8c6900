//! All processes are suspended.

use super::{CrashFault, Fault, PlannedFault, Strike};
use crate::check::Violation;
use crate::coverage::Event;
use crate::kinds::{EndPlan, FaultNode, Suspension};
use crate::plan::{DAY_NS, Plan};
use crate::rng::Rng;
use crate::story::{Happening, ms};
use crate::world::{Room, World};
use lockstep_wire::Nanos;

/// The most suspensions in one run.
const SUSPENSIONS_MAX: u64 = 4;
/// The length of a suspension, at least and at most.
const SUSPENSION_NS_MIN: Nanos = 60_000_000_000;
const SUSPENSION_NS_MAX: Nanos = 3 * DAY_NS;
/// Each process continues within so many timeouts after a suspension.
const DAWN: u64 = 3;

/// All processes are suspended.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct LongSuspensionFault {
    /// The kind of the suspension.
    pub how: Suspension,
    /// How long it lasts.
    pub lasting: Nanos,
}

impl Strike for LongSuspensionFault {
    fn apply(self, world: &mut World) -> Result<(), Violation> {
        let Self { how, lasting } = self;
        world.judge_day(lasting)?;
        world.second_process.end(&mut world.ctx, "night falls");
        let dawn = world.ctx.now + lasting;
        (world.ctx.slept_ns, world.ctx.dawn) = (world.ctx.slept_ns + lasting, dawn);
        world.ctx.tell(0, || Happening::Fault(format!("night ({how:?}) {}", ms(lasting))));
        world.ctx.count(match how {
            Suspension::Asleep => Event::Suspensions,
            Suspension::Killed => Event::SuspensionsKilled,
            Suspension::Stopped => Event::SuspensionsStopped,
            Suspension::Dark => Event::SuspensionsDark,
        });
        for index in 0..world.count_nodes() {
            let late = world.ctx.rng.below(DAWN * world.ctx.plan.timeout_ns);
            let is_replica = world.rooms[index] == Room::Machines;
            if how == Suspension::Asleep || !is_replica {
                let host = world.node_mut(index).host_mut();
                host.paused_until = host.paused_until.max(dawn + late);
                continue;
            }
            match how {
                Suspension::Killed => {
                    let end = if world.ctx.rng.below(4) == 0 { EndPlan::TornTail } else { EndPlan::Clean };
                    CrashFault { target: FaultNode::Replica(index), end, lasting: lasting + late }
                        .apply(world)?;
                }
                Suspension::Stopped => CrashFault {
                    target: FaultNode::Replica(index),
                    end: EndPlan::Stopped,
                    lasting: lasting + late,
                }
                .apply(world)?,
                Suspension::Dark => {
                    world.machines.stop_and_darken(&mut world.ctx, 1 << index, lasting + late)
                }
                Suspension::Asleep => {}
            }
        }
        Ok(())
    }

    fn lasting_mut(&mut self) -> Option<&mut Nanos> {
        Some(&mut self.lasting)
    }
}

impl Plan {
    /// The suspensions of a long run.
    pub(crate) fn draw_suspensions(&mut self, rng: &mut Rng) {
        if !self.is_long() {
            return;
        }
        let nights = 1 + rng.below(SUSPENSIONS_MAX);
        for long_suspension in 0..nights {
            // The last one may end with the fault phase: a quorum that wakes up is healed, and must make
            // progress.
            let at_ns = match long_suspension {
                0 if rng.below(2) == 0 => self.fault_phase_ns - 1,
                _ => rng.below(self.fault_phase_ns),
            };
            let how = rng.pick(&[
                Suspension::Asleep,
                Suspension::Asleep,
                Suspension::Killed,
                Suspension::Stopped,
                Suspension::Dark,
            ]);
            let lasting = rng.log_uniform(SUSPENSION_NS_MIN, SUSPENSION_NS_MAX);
            self.faults.push(PlannedFault {
                at_ns,
                what: Fault::LongSuspension(LongSuspensionFault { how, lasting }),
            });
        }
        self.faults.sort_by_key(|fault| fault.at_ns);
    }
}
