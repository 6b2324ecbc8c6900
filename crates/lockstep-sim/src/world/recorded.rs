//! The committed log of a run, for those who judge it from outside.

use super::World;
use crate::check::log_tree::{Fact, Tree};
use crate::context::RunPhase;
use crate::edge::OwnMachine;
use crate::plan::Plan;
use lockstep_wire::Seq;
use std::rc::Rc;

/// The tree of a run at the moment at which its log has `epochs` epochs or most of its faults are over, and
/// the committed log then, as a reader from the start receives it. `None`: the run does not get there.
pub fn recorded(plan: &Plan, epochs: usize) -> Option<(Tree, Vec<(Seq, Fact)>)> {
    let mut world = World::new(plan, false, Rc::new(OwnMachine)).ok()?;
    while world.ctx.phase == RunPhase::Storm && world.ctx.oracle.facts.reference.epochs() < epochs {
        world.step().ok()?;
    }
    let tree = std::mem::take(&mut world.ctx.oracle.facts.tree);
    let history = tree.history(world.ctx.oracle.facts.reference.tip());
    Some((tree, history))
}
