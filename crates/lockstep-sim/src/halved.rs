//! Orders given half, and orders given twice. A member's journal is lost, and a command replaces it; the
//! command's process dies after some of its steps, and later, or at the same time, another operator gives the
//! command again: perhaps by the other form of it.
//!
//! ```text
//!   replace:  format anew ─ take the place │ remove ─ format anew ─ add
//!   first:    ── step ── step ✝                    the same member, the next incarnation
//!   again:         ── step ── step ── step ──▶     what is done already is found done
//! ```
//!
//! Each state between two steps is one that the next command starts from: no replica is listed twice, no
//! journal of which the cluster has heard is formatted again, and the members get on.

use crate::coverage::Event;
use crate::operator::OperatorStep;
use crate::plan::{Fault, FaultNode, Plan, PlannedFault};
use crate::replay::lose_members_journal;
use crate::rng::Rng;
use crate::world::World;
use lockstep_wire::{Identity, Nanos};

/// One seed in so many has such orders, ...
const SELDOM: u64 = 24;
/// ... drawn from this stream. No seed that failed once, and no witness of a mutation, draws one.
const STREAM: u64 = 0x10dc;

impl Plan {
    /// Whether orders are given half or twice.
    pub fn repeats_orders(&self) -> bool {
        self.faults.iter().any(|fault| matches!(fault.what, Fault::Halved(..)))
    }

    /// Orders that are given half, and again; none in most runs.
    pub(crate) fn draw_halved(&mut self) {
        let mut rng = Rng::new(self.seed ^ STREAM);
        if rng.below(SELDOM) > 0 || self.edges.is_some() || self.founders < 2 {
            return;
        }
        for _ in 0..1 + rng.below(3) {
            let at_ns = rng.below(self.fault_phase_ns);
            let target = FaultNode::Replica(rng.below(self.founders as u64) as usize);
            let again = match rng.below(4) {
                0 => 0,
                1 => 1,
                _ => rng.log_uniform(self.timeout_ns / 16, self.timeout_ns * 16),
            };
            let what = Fault::Halved(target, 1 + rng.below(3), again);
            self.faults.push(PlannedFault { at_ns, what });
        }
    }
}

/// The steps that replace the identity `old` at a node, in one of two forms.
fn steps_of(rng: &mut Rng, node: usize, old: Identity) -> Vec<OperatorStep> {
    let patient = rng.below(4) > 0;
    let renew = OperatorStep::Renew(node);
    match rng.below(2) {
        0 => vec![renew, OperatorStep::Swap { node, patient }],
        _ => vec![OperatorStep::Remove(old), renew, OperatorStep::Add { node, witness: false, patient }],
    }
}

/// The journal of a member is lost; the command that replaces it dies after so many steps, and is given again
/// after `again` (0: never).
pub(crate) fn order_half(world: &mut World, target: FaultNode, steps: u64, again: Nanos) {
    let Some(node) = lose_members_journal(world, target) else { return };
    let Some(machine) = world.machines.get(node) else { return };
    let old = machine.identity;
    let (first, second) = (steps_of(&mut world.ctx.rng, node, old), steps_of(&mut world.ctx.rng, node, old));
    world.operator.order(&mut world.ctx, &first, 0);
    if (steps as usize) < first.len() {
        world.operator.end_last_after(steps as usize);
        world.ctx.count(Event::OrdersHalved);
    }
    if again > 0 {
        world.operator.order(&mut world.ctx, &second, again);
        world.ctx.count(Event::OrdersAgain);
    }
}
