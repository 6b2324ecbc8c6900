//! The atomics of data that threads and processes share without a lock. The crate `models` compiles the same
//! files with loom's atomics, which explore what a weak memory model allows; see `tests/models/src/lib.rs`.

pub use std::sync::atomic::{AtomicU64, Ordering, fence};
