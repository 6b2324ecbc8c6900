//! Events of a node: what it records of itself, as its ring stores it and as it reports it.

use super::Nanos;
use bytemuck::{Pod, Zeroable};

/// An event. The code determines the meaning of the numbers.
#[derive(Clone, Copy, PartialEq, Eq, Default, Hash, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct EventRecord {
    /// When, by the monotonic clock.
    pub at: Nanos,
    /// First number.
    pub a: u64,
    /// Second number.
    pub b: u64,
    /// Third number.
    pub c: u64,
    /// Fourth number.
    pub d: u64,
    /// What: `1001` is printed as `LS1001`.
    pub code: u16,
    /// A small number, e.g. of a role or a reason.
    pub small: u16,
    /// A fifth number, e.g. of a replica.
    pub e: u32,
}

const _: () = assert!(size_of::<EventRecord>() == 48 && align_of::<EventRecord>() == 8);

/// A recorded event: its number in its ring, and its wall time.
#[derive(Clone, Copy, PartialEq, Eq, Default, Hash, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct EventRow {
    /// Its number: the first event of a process has 0.
    pub number: u64,
    /// When, in nanoseconds since the Unix epoch, by the clock of its host as it was then.
    pub wall: Nanos,
    /// The event.
    pub record: EventRecord,
}

const _: () = assert!(size_of::<EventRow>() == 64);
