//! The order of time: the way back of a stream whose time ran ahead (CLOCK-2).
//!
//! ```text
//!   a quorum's clocks were ahead ─▶ right again: time stands still ─▶ order ─▶ time is that of a quorum's clocks
//! ```
//! The operator names the time that it has seen the stream stand at, and no other: where to, a quorum's
//! clocks say (CLOCK-1). While it is ahead that time stands still, so that an order for it has one effect,
//! once.

use super::{ReplicaCore, RoleState, Turn};
use crate::journal::Tail;
use crate::journal::ports::TailMemory;
use lockstep_core::proto::clocks::TOLERANCE;
use lockstep_core::proto::log::LogEnd;
use lockstep_wire::{CommandReject, Kind, Nanos, TimesBody, write_times};

/// The version of the first logs that have the order.
const LOG_VERSION: u8 = 4;

/// Whether the leader of a log that ends at `end` gives the order for a stream that stands at `before`. The
/// error is the reason for a refusal.
pub(super) fn judge(
    core: &mut ReplicaCore,
    role: &mut RoleState,
    end: &LogEnd,
    turn: &Turn,
    before: Nanos,
) -> Result<(), CommandReject> {
    let Turn { now, wall, .. } = *turn;
    let RoleState::Leading(leading) = role else { return Err(CommandReject::NotLeader) };
    if leading.draining {
        return Err(CommandReject::Busy);
    }
    if leading.sequencer.version() < LOG_VERSION {
        return Err(CommandReject::OldLog);
    }
    let own = core.identity();
    if core.clocks.judge(own, &core.log.membership, (now, wall)).is_none() {
        return Err(CommandReject::ClocksUnknown);
    }
    leading.sequencer.set_correction(core.clocks.correction());
    if end.timestamp.saturating_sub(leading.sequencer.time(wall)) <= TOLERANCE {
        return Err(CommandReject::NotAhead);
    }
    if before == end.timestamp { Ok(()) } else { Err(CommandReject::Stale) }
}

/// The stream's time at a node, and that of a quorum's clocks.
pub(super) fn write_times_to<M: TailMemory>(
    core: &mut ReplicaCore,
    tail: &Tail<M>,
    turn: &Turn,
    token: u64,
    out: &mut [u8],
) -> usize {
    let Turn { now, wall, .. } = *turn;
    core.outbox.number += 1;
    // A question changes nothing.
    let apart = core.clocks.clone().judge(core.identity(), &core.log.membership, (now, wall));
    let quorum = apart.map_or(0, |apart| wall.saturating_add_signed(apart.saturating_neg()));
    let body = TimesBody { token, stream: tail.end().timestamp, quorum };
    write_times(out, core.keys(), core.header(Kind::Times, wall, &tail.end()), body)
}
