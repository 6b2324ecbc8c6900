//! The journal of a member is lost, and it rejoins by itself.

use super::{Fault, PlannedFault, Strike};
use crate::check::Violation;
use crate::kinds::FaultNode;
use crate::operator::OperatorStep;
use crate::plan::Plan;
use crate::rng::Rng;
use crate::world::World;

/// One seed in so many has replicas that rejoin by themselves, ...
const REJOINING_SELDOM: u64 = 24;
/// ... drawn from this stream. No seed that failed once, and no witness of a mutation, draws one.
const REJOINING_STREAM: u64 = 0x10e1;

/// The journal of a member is lost, and it rejoins by itself.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct RejoinFault {
    /// The replica that it strikes.
    pub target: FaultNode,
}

impl Strike for RejoinFault {
    fn apply(self, world: &mut World) -> Result<(), Violation> {
        let World { ctx, machines, operator, .. } = world;
        if let Some(node) = machines.lose_members_journal(ctx, self.target) {
            let (now, seed, timeout_ns) = (ctx.now, ctx.plan.seed, ctx.plan.timeout_ns);
            operator.rejoiners.on_lost(node, now, seed, timeout_ns);
            let swap = OperatorStep::Swap { node, patient: true };
            operator.order(ctx, &[OperatorStep::Rejoin(node), OperatorStep::Renew(node), swap], 0);
        }
        Ok(())
    }
}

/// Journals that are lost, of replicas that rejoin; none in most runs.
pub(crate) fn draw_rejoining(plan: &mut Plan) {
    let mut rng = Rng::new(plan.seed ^ REJOINING_STREAM);
    if rng.below(REJOINING_SELDOM) > 0 || plan.edges.is_some() || plan.founders < 3 {
        return;
    }
    let mut at_ns = rng.below(plan.fault_phase_ns);
    for _ in 0..1 + rng.below(4) {
        let target = FaultNode::Replica(rng.below(plan.founders as u64) as usize);
        plan.faults.push(PlannedFault { at_ns, what: Fault::Rejoin(RejoinFault { target }) });
        // At the same time, or at another one.
        if rng.below(2) == 0 {
            at_ns = rng.below(plan.fault_phase_ns);
        }
    }
}

/// Whether replicas of a plan rejoin by themselves.
pub fn has_rejoiners(plan: &Plan) -> bool {
    plan.faults.iter().any(|fault| matches!(fault.what, Fault::Rejoin(_)))
}
