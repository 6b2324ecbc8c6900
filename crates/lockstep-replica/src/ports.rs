//! The ports of a replica: one device, and the memory of its journal's tail.

use crate::journal::ports::TailMemory;
use lockstep_core::engine::ports::Net;

/// The ports of a replica: its device and the memory of its journal's tail.
pub trait Ports {
    /// The device.
    type Net: Net;
    /// The memory.
    type Memory: TailMemory;
}
