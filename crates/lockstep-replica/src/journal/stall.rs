//! When a journal's device is called stalled.

use lockstep_wire::{Nanos, Seq};

/// Looks whether the device goes on confirming what it is given. A call to a device that hangs never returns,
/// so the thread that waits for it cannot tell: somebody else looks.
#[derive(Clone, Copy, Debug)]
pub struct DeviceWatch {
    patience_ns: Nanos,
    confirmed: Seq,
    /// Since when the device owes a confirmation, and has given none.
    since: Option<Nanos>,
}

impl DeviceWatch {
    /// A device that confirms nothing for so long is stalled.
    pub fn new(patience_ns: Nanos) -> Self {
        Self { patience_ns, confirmed: 0, since: None }
    }

    /// The device has `confirmed` what lies below that seq, of a log that ends at `held`. Returns for how
    /// long it has owed more, if that is longer than it may take.
    pub fn poll(&mut self, now: Nanos, confirmed: Seq, held: Seq) -> Option<Nanos> {
        if confirmed != self.confirmed || confirmed >= held {
            self.since = None;
        }
        self.confirmed = confirmed;
        if confirmed >= held {
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
