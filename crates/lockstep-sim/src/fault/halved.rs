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

use super::{Fault, PlannedFault, Strike};
use crate::check::Violation;
use crate::coverage::Event;
use crate::kinds::FaultNode;
use crate::operator::OperatorStep;
use crate::plan::Plan;
use crate::rng::Rng;
use crate::world::World;
use lockstep_wire::{Identity, Nanos};

/// One seed in so many has such orders, ...
const SELDOM: u64 = 24;
/// ... drawn from this stream. No seed that failed once, and no witness of a mutation, draws one.
const STREAM: u64 = 0x10dc;

/// The journal of a member is lost; the command that replaces it is given half, and again.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct HalvedFault {
    /// The replica that it strikes.
    pub target: FaultNode,
    /// The command dies after so many of its steps, ...
    pub steps: u64,
    /// ... and is given again after this (0: never).
    pub again: Nanos,
}

impl Strike for HalvedFault {
    fn apply(self, world: &mut World) -> Result<(), Violation> {
        let Self { target, steps, again } = self;
        let World { ctx, machines, operator, .. } = world;
        let Some(node) = machines.lose_members_journal(ctx, target) else { return Ok(()) };
        let Some(old) = machines.get(node).map(|machine| machine.identity) else { return Ok(()) };
        let (first, second) = (steps_of(&mut ctx.rng, node, old), steps_of(&mut ctx.rng, node, old));
        operator.order(ctx, &first, 0);
        if (steps as usize) < first.len() {
            operator.end_last_after(steps as usize);
            ctx.count(Event::OrdersHalved);
        }
        if again > 0 {
            operator.order(ctx, &second, again);
            ctx.count(Event::OrdersAgain);
        }
        Ok(())
    }

    fn lasting_mut(&mut self) -> Option<&mut Nanos> {
        Some(&mut self.again)
    }
}

impl Plan {
    /// Whether orders are given half or twice.
    pub fn repeats_orders(&self) -> bool {
        self.faults.iter().any(|fault| matches!(fault.what, Fault::Halved(_)))
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
            let what = Fault::Halved(HalvedFault { target, steps: 1 + rng.below(3), again });
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
