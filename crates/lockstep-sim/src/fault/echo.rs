//! Datagrams of the past return to their senders.

use super::Strike;
use crate::check::Violation;
use crate::coverage::Event;
use crate::wire::Route;
use crate::world::World;

/// The time between two old datagrams that return.
const APART_NS: u64 = 200_000;

/// Datagrams of the past return to their senders.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct EchoFault {
    /// So many.
    pub count: u64,
}

impl Strike for EchoFault {
    fn apply(self, world: &mut World) -> Result<(), Violation> {
        let nodes = world.count_nodes();
        let ctx = &mut world.ctx;
        for _ in 0..self.count {
            let Some(mut letter) = ctx.network.old_packet() else { return Ok(()) };
            // The operator has no device here.
            if letter.route.from >= nodes {
                continue;
            }
            letter.route = Route { from: letter.route.to, to: letter.route.from, ..letter.route };
            let at = ctx.now + ctx.rng.below(APART_NS);
            ctx.network.post(at, letter);
            ctx.count(Event::Echoes);
        }
        Ok(())
    }
}
