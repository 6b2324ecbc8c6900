//! Loom's atomics, with one ordering taken out of all of them where that is asked for.

use std::sync::atomic::AtomicU8;
pub(crate) use std::sync::atomic::Ordering;

/// An ordering that is taken out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Weakened {
    /// None: the code as it is.
    Nothing,
    /// Stores with release are relaxed.
    Stores,
    /// Loads with acquire are relaxed.
    Loads,
    /// There is no release fence.
    ReleaseFences,
    /// There is no acquire fence.
    AcquireFences,
}

static WEAKENED: AtomicU8 = AtomicU8::new(0);

/// Takes an ordering out of all atomics of this process.
pub fn weaken(what: Weakened) {
    WEAKENED.store(what as u8, Ordering::SeqCst);
}

fn is(what: Weakened) -> bool {
    WEAKENED.load(Ordering::SeqCst) == what as u8
}

/// An atomic number.
#[derive(Debug)]
pub(crate) struct AtomicU64(loom::sync::atomic::AtomicU64);

impl AtomicU64 {
    pub fn new(value: u64) -> Self {
        Self(loom::sync::atomic::AtomicU64::new(value))
    }

    pub fn load(&self, order: Ordering) -> u64 {
        let weak = order == Ordering::Acquire && is(Weakened::Loads);
        self.0.load(if weak { Ordering::Relaxed } else { order })
    }

    pub fn store(&self, value: u64, order: Ordering) {
        let weak = order == Ordering::Release && is(Weakened::Stores);
        self.0.store(value, if weak { Ordering::Relaxed } else { order });
    }
}

/// A fence.
pub(crate) fn fence(order: Ordering) {
    let gone = match order {
        Ordering::Release => is(Weakened::ReleaseFences),
        Ordering::Acquire => is(Weakened::AcquireFences),
        _ => false,
    };
    if !gone {
        loom::sync::atomic::fence(order);
    }
}
