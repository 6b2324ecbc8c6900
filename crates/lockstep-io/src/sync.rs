//! The atomics of the data that threads and processes share without a lock. The crate `models` compiles the
//! same files over loom's, which tries what a weak memory may do; see `tests/models/src/lib.rs`.

pub use std::sync::atomic::{AtomicU64, Ordering, fence};
