//! The detector of a stalled journal device.

use lockstep_wire::{Nanos, Seq};

/// Checks whether the device continues to confirm its writes. A call to a device that hangs never returns,
/// so the thread that waits for it cannot report it: another thread checks.
#[derive(Clone, Copy, Debug)]
pub struct DeviceWatch {
    patience_ns: Nanos,
    confirmed: Seq,
    /// Since when a confirmation of the device is outstanding.
    since: Option<Nanos>,
}

impl DeviceWatch {
    /// A device that confirms nothing for this long is stalled.
    pub fn new(patience_ns: Nanos) -> Self {
        Self { patience_ns, confirmed: 0, since: None }
    }

    /// The device has `confirmed` everything below that seq, of a log that ends at `stored`. Returns how long
    /// the rest has been outstanding, if that exceeds the limit.
    pub fn poll(&mut self, now: Nanos, confirmed: Seq, stored: Seq) -> Option<Nanos> {
        if confirmed != self.confirmed || confirmed >= stored {
            self.since = None;
        }
        self.confirmed = confirmed;
        if confirmed >= stored {
            return None;
        }
        let waited = now.saturating_sub(*self.since.get_or_insert(now));
        (waited >= self.patience_ns).then_some(waited)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_that_confirms_nothing_of_what_it_owes_is_stalled_until_it_confirms_some() {
        let mut device = DeviceWatch::new(100);
        assert_eq!(device.poll(0, 5, 5), None);
        assert_eq!(device.poll(1_000, 5, 9), None, "from now on it owes something");
        assert_eq!((device.poll(1_099, 5, 10), device.poll(1_100, 5, 11)), (None, Some(100)));
        assert_eq!(device.poll(1_101, 6, 11), None, "it goes on");
        assert_eq!((device.poll(1_200, 6, 11), device.poll(1_201, 6, 11)), (None, Some(100)));
        assert_eq!((device.poll(1_300, 11, 11), device.poll(1_301, 11, 12)), (None, None));
    }
}
