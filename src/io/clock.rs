//! # clock: what time it is, and what else only the kernel knows
//!
//! Engines count in `now`, nanoseconds of the monotonic clock, which no administrator sets back; two
//! processes of one host may compare theirs. Timestamps of the stream are wall time, made of the
//! same reading by an offset, so that a turn reads one clock once. Both reads stay in user space
//! (vdso, some 25 ns) while the kernel's clocksource allows it.

use super::IoError;
use crate::wire::Nanos;
use std::io::ErrorKind;

/// Readings taken to find the offset; the one between the closest pair of others is used.
const OFFSET_READINGS: usize = 5;

/// The two clocks and the way from one to the other.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// Wall time less monotonic time.
    offset: Nanos,
}

impl Default for Clock {
    fn default() -> Self {
        Self::start()
    }
}

impl Clock {
    /// A clock whose offset is that of this moment.
    pub fn start() -> Self {
        Self { offset: offset() }
    }

    /// Nanoseconds of the monotonic clock (since boot, sleep not counted).
    #[inline]
    pub fn now(&self) -> Nanos {
        read(libc::CLOCK_MONOTONIC)
    }

    /// The wall time of the moment `now`, in nanoseconds since the Unix epoch. It moves evenly: steps
    /// of the system's time take effect at [`Clock::refresh`] only.
    #[inline]
    pub fn wall(&self, now: Nanos) -> Nanos {
        now.wrapping_add(self.offset)
    }

    /// Takes the offset again, as the system's time may have been set or slewed. Returns by how many
    /// nanoseconds wall time has moved.
    pub fn refresh(&mut self) -> i64 {
        let before = std::mem::replace(&mut self.offset, offset());
        self.offset.wrapping_sub(before) as i64
    }
}

/// Nanoseconds of one of the kernel's clocks.
fn read(clock: libc::clockid_t) -> Nanos {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` lives across the call; the two clocks that we read exist on every Linux, so the
    // call cannot fail.
    unsafe { libc::clock_gettime(clock, &raw mut time) };
    time.tv_sec as Nanos * 1_000_000_000 + time.tv_nsec as Nanos
}

/// Wall less monotonic. The thread may be put aside between two readings, so the tightest of some
/// brackets counts.
fn offset() -> Nanos {
    let bracket = || {
        let before = read(libc::CLOCK_MONOTONIC);
        let wall = read(libc::CLOCK_REALTIME);
        let width = read(libc::CLOCK_MONOTONIC) - before;
        (width, wall.wrapping_sub(before + width / 2))
    };
    let mut best = bracket();
    for _ in 1..OFFSET_READINGS {
        best = best.min(bracket());
    }
    best.1
}

/// The random id of this boot of the machine: what lies in memory files is of no other one.
///
/// # Errors
/// `/proc` is not mounted, or does not tell.
pub fn boot_id() -> Result<u128, IoError> {
    let path = "/proc/sys/kernel/random/boot_id";
    let doing = || format!("read the id of this boot from {path}");
    let text = std::fs::read_to_string(path).map_err(|error| IoError::new(doing(), error))?;
    let digits: String = text.trim().chars().filter(|char| *char != '-').collect();
    u128::from_str_radix(&digits, 16).map_err(|_| {
        IoError::because(doing(), ErrorKind::InvalidData, format!("'{}' is no UUID", text.trim()))
    })
}

/// Random bits of the kernel's: for identities, histories and nonces.
///
/// # Errors
/// The kernel gives none, which happens only before its pool is filled or under a filter.
pub fn random_u64() -> Result<u64, IoError> {
    getrandom::u64().map_err(|error| {
        IoError::new("draw a random number from the kernel", std::io::Error::other(error.to_string()))
    })
}
