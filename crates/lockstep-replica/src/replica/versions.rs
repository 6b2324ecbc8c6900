//! The version of the log: who lets it rise, and what a node tells of it.

use super::{Ctx, RoleState};
use crate::ports::Ports;
use lockstep_wire::{CommandReject, Kind, ReleaseBody, VERSION, write_release};

/// VERSION-1 (who raises a log): the leader, to a version above that of its log which it speaks itself. That
/// the others speak it is judged by the operator, for these members and this epoch.
pub(super) fn judge_upgrade(role: &RoleState, version: u8) -> Result<(), CommandReject> {
    let RoleState::Leading(leading) = role else { return Err(CommandReject::NotLeader) };
    if leading.draining {
        return Err(CommandReject::Busy);
    }
    let is_newer = version > leading.sequencer.version() && version <= VERSION;
    if is_newer { Ok(()) } else { Err(CommandReject::Version) }
}

/// The release of a node, and the versions that it speaks.
pub(super) fn write_release_to<P: Ports>(ctx: &mut Ctx<'_, P>, token: u64, out: &mut [u8]) -> usize {
    ctx.core.outbox.number += 1;
    let header = ctx.header(Kind::Release);
    write_release(out, ctx.core.keys(), header, ReleaseBody::own(token, ctx.core.log.version))
}
