//! A node announces the leader's death without knowing its secret.

use super::Strike;
use crate::check::Violation;
use crate::coverage::Event;
use crate::kinds::FaultNode;
use crate::world::World;
use lockstep_wire::{DeathNoticeBody, Header, write_down};

/// A node announces the leader's death without knowing its secret.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ForgedDownFault;

impl Strike for ForgedDownFault {
    fn apply(self, world: &mut World) -> Result<(), Violation> {
        let World { ctx, machines, .. } = world;
        let Some(index) = machines.resolve(FaultNode::Leader) else { return Ok(()) };
        let node = &machines.nodes[index];
        let mut notice = node.notice.clone();
        if let Some(header) = Header::peek(&notice) {
            let body = DeathNoticeBody { secret: [ctx.rng.next_u64() as u8; 32] };
            write_down(&mut notice, &node.host.keys.replica, header, body);
            ctx.count(Event::DownsForged);
            ctx.announce(index, &notice, 0);
        }
        Ok(())
    }
}
