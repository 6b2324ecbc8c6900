//! Publishers that die, or are held up, within a message in parts: what they leave unfinished is discarded by
//! PARTS-1. The bounds of the protocol (2^18 entries, 64 MiB) are out of reach of a run of some hundred
//! entries; so one run in so many has small ones, the same for every reader and every publisher.
//!
//! The judge applies the rule to each log by itself ([`crate::check::log_tree`]): a message whose last part
//! comes too late is none, for no reader, and its publisher is told so.

use crate::plan::Plan;
use crate::rng::Rng;
use lockstep_core::proto::parts::{PARTS_BOUNDS, PartsBounds};

/// One seed in so many has small bounds, ...
const SELDOM: u64 = 24;
/// ... drawn from this stream. No seed that failed once, and no witness of a mutation, draws one.
const STREAM: u64 = 0x9a25;

/// Whether what is unfinished is discarded within the run.
pub fn discards_unfinished(plan: &Plan) -> bool {
    plan.parts_bounds != PARTS_BOUNDS
}

/// Small bounds; the protocol's in most runs.
pub(crate) fn draw(plan: &mut Plan) {
    let mut rng = Rng::new(plan.seed ^ STREAM);
    if rng.below(SELDOM) > 0 || plan.edges.is_some() {
        return;
    }
    plan.parts_bounds = PartsBounds {
        span: rng.log_uniform(2, 64),
        open: match rng.below(3) {
            0 => PARTS_BOUNDS.open,
            // One part, to three of the largest messages of a run.
            _ => rng.log_uniform(1_400, 14_000) as usize,
        },
        parts: if rng.below(4) == 0 { 2 } else { PARTS_BOUNDS.parts },
        ..PARTS_BOUNDS
    };
}
