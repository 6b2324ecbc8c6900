//! A watcher's notice of a past epoch, or of the present one, arrives again.

use super::Strike;
use crate::check::Violation;
use crate::coverage::Event;
use crate::world::World;

/// A watcher's notice of a past epoch, or of the present one, arrives again.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct OldDownFault;

impl Strike for OldDownFault {
    fn apply(self, world: &mut World) -> Result<(), Violation> {
        let World { ctx, machines, .. } = world;
        // A notice about a live leader is a watcher's error; one about a past leader is an old datagram.
        let nodes = machines.nodes.iter().enumerate();
        let living = nodes.filter(|(_, node)| !node.notice.is_empty());
        let mut notices: Vec<_> = living.map(|(index, node)| (index, node.notice.clone())).collect();
        notices.extend(machines.old_notices.iter().cloned());
        if let Some((index, notice)) = notices.get(ctx.rng.below(notices.len() as u64) as usize) {
            ctx.count(Event::DownsOld);
            ctx.announce_truly(*index, notice, 0);
        }
        Ok(())
    }
}
