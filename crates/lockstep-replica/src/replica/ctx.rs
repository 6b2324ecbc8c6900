//! What a step of a turn works on, and the time of that turn.

use super::ReplicaCore;
use crate::journal::Tail;
use crate::ports::Ports;
use lockstep_wire::{Header, Kind, Nanos, Wall};

/// The time of a turn of the duty cycle, and whether the turn received all that waited.
#[derive(Clone, Copy, Debug)]
pub(super) struct Turn {
    /// The monotonic clock.
    pub(super) now: Nanos,
    pub(super) wall: Wall,
    /// It received less than one receive may lend.
    pub(super) drained: bool,
}

impl Turn {
    /// A frame of a replay comes between two turns. It is stored and not answered, so its time of day is of
    /// no use.
    pub(super) fn of_replay(now: Nanos) -> Self {
        Self { now, wall: Wall::default(), drained: false }
    }
}

/// What a step of a turn works on. The device is no part of it: it lends the datagram that is handled. A
/// function that sends takes the device as an argument of its own, and a function that takes none sends
/// nothing.
pub(super) struct Ctx<'a, P: Ports> {
    pub(super) core: &'a mut ReplicaCore,
    pub(super) tail: &'a mut Tail<P::Memory>,
    pub(super) turn: Turn,
}

impl<P: Ports> Ctx<'_, P> {
    /// A header of this kind over the log's end.
    pub(super) fn header(&self, kind: Kind) -> Header {
        self.core.header(kind, self.turn.wall, &self.tail.end())
    }
}
