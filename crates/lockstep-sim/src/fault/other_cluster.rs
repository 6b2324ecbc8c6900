//! Another cluster in the same group sends what this one sent long ago.

use super::Strike;
use crate::check::Violation;
use crate::coverage::Event;
use crate::keys;
use crate::world::World;
use lockstep_wire::Header;

/// The time between two datagrams of it.
const APART_NS: u64 = 200_000;

/// Another cluster in the same group sends what this one sent long ago.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct OtherClusterFault {
    /// So many datagrams.
    pub count: u64,
}

impl Strike for OtherClusterFault {
    fn apply(self, world: &mut World) -> Result<(), Violation> {
        let ctx = &mut world.ctx;
        for _ in 0..self.count {
            let Some(mut letter) = ctx.network.old_packet() else { return Ok(()) };
            let Some(header) = Header::peek(&letter.bytes) else { continue };
            let header = Header { cluster: keys::OTHER_CLUSTER, ..header };
            if letter.bytes.len() != header.length as usize {
                continue;
            }
            keys::other_cluster().seal(&mut letter.bytes, header);
            let at = ctx.now + ctx.rng.below(APART_NS);
            ctx.network.post(at, letter);
            ctx.count(Event::OtherClusters);
        }
        Ok(())
    }
}
