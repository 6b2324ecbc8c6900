//! The order of time: the way back of a stream whose time ran ahead (CLOCK-2).
//!
//! ```text
//!   a quorum's clocks were ahead ─▶ right again: time stands still ─▶ order ─▶ time is that of a quorum's clocks
//! ```
//! The operator names the time that it has seen the stream stand at, and no other: where to, a quorum's
//! clocks say (CLOCK-1). While it is ahead that time stands still, so that an order for it has one effect,
//! once.

use super::{Ctx, RoleState, Turn};
use crate::ports::Ports;
use lockstep_core::proto::clocks::TOLERANCE;
use lockstep_core::proto::log::LogEnd;
use lockstep_wire::{CommandReject, Kind, TimesBody, Wall, write_times};

/// The version of the first logs that have the order.
const LOG_VERSION: u8 = 4;

/// Whether the leader of a log that ends at `end` gives the order for a stream that stands at `before`. The
/// error is the reason for a refusal.
pub(super) fn judge<P: Ports>(
    ctx: &mut Ctx<'_, P>,
    role: &mut RoleState,
    end: &LogEnd,
    before: Wall,
) -> Result<(), CommandReject> {
    let Turn { now, wall, .. } = ctx.turn;
    let RoleState::Leading(leading) = role else { return Err(CommandReject::NotLeader) };
    if leading.draining {
        return Err(CommandReject::Busy);
    }
    if leading.sequencer.version() < LOG_VERSION {
        return Err(CommandReject::OldLog);
    }
    let own = ctx.core.identity();
    if ctx.core.clocks.judge(own, &ctx.core.log.membership, now, wall).is_none() {
        return Err(CommandReject::ClocksUnknown);
    }
    leading.sequencer.set_correction(ctx.core.clocks.correction());
    let stream = Wall(end.timestamp);
    if stream.saturating_since(leading.sequencer.time(wall)) <= TOLERANCE {
        return Err(CommandReject::NotAhead);
    }
    if before == stream { Ok(()) } else { Err(CommandReject::Stale) }
}

/// The stream's time at a node, and that of a quorum's clocks.
pub(super) fn write_times_to<P: Ports>(ctx: &mut Ctx<'_, P>, token: u64, out: &mut [u8]) -> usize {
    let Turn { now, wall, .. } = ctx.turn;
    ctx.core.outbox.number += 1;
    // A question changes nothing.
    let apart = ctx.core.clocks.clone().judge(ctx.core.identity(), &ctx.core.log.membership, now, wall);
    let quorum = apart.map_or(0, |apart| wall.saturating_add_signed(apart.saturating_neg()).0);
    let body = TimesBody { token, stream: ctx.tail.end().timestamp, quorum };
    write_times(out, ctx.core.keys(), ctx.header(Kind::Times), body)
}
