//! How a handle waits: until something can be read, or it has something to do.

use lockstep_core::engine::ports::PARK_NS_MAX;
use lockstep_io::IoError;
use lockstep_io::idle::{PARK_NS_MIN, Parker};
use lockstep_wire::Nanos;
use std::os::fd::BorrowedFd;
use std::time::Duration;

/// If the previous poll has left a deadline that is older than this, the work waits for something else.
const OVERDUE_NS: Nanos = 200_000;
/// Such work is checked again after this time.
const OVERDUE_POLL_NS: Nanos = 1_000_000;

/// The time from `now` to a handle's deadline.
pub(super) fn until(deadline: Nanos, now: Nanos) -> Duration {
    let left = match now.saturating_sub(deadline) {
        0 => (deadline - now).min(PARK_NS_MAX),
        late if late < OVERDUE_NS => PARK_NS_MIN,
        _ => OVERDUE_POLL_NS,
    };
    Duration::from_nanos(left)
}

/// The sleep: see the module. Made at the first sleep: a handle that never sleeps needs no descriptors for
/// it.
#[derive(Debug, Default)]
pub(super) struct Sleep(Option<Parker>);

impl Sleep {
    /// Sleeps until one of `sockets`, always the same ones, has something to read, at most for `time`.
    /// Returns whether something can be read; with a `time` of zero that is unknown.
    pub(super) fn pass(&mut self, sockets: Vec<BorrowedFd<'_>>, time: Duration) -> Result<bool, IoError> {
        if time.is_zero() {
            return Ok(false);
        }
        let parker = match &mut self.0 {
            Some(parker) => parker,
            none => none.insert(Parker::new(&sockets)?),
        };
        Ok(parker.park(time.as_nanos() as Nanos))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_that_no_poll_can_meet_does_not_keep_a_thread_awake() {
        let until = |deadline, now| until(deadline, now).as_nanos() as Nanos;
        assert_eq!(until(1_500_000, 1_000_000), 500_000);
        assert_eq!(until(Nanos::MAX, 1_000_000), PARK_NS_MAX);
        assert_eq!(until(990_000, 1_000_000), PARK_NS_MIN, "it passed since the poll");
        assert_eq!(until(0, 1_000_000), OVERDUE_POLL_NS);
    }
}
