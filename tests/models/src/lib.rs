//! # models: what a weak memory may do to the words that threads and processes share
//!
//! The question: is each release and acquire of the tail, of the rings in shared memory and of the watcher's
//! notices there where it must be? A test on one machine tries the orders that its CPU likes. Here loom tries
//! all of them, over the very files that production compiles: they take their atomics from
//! `lockstep_io::sync`, which is the standard library's there, and loom's here.
//!
//! A checker that never found anything proves nothing, so [`Weakened`] takes one ordering out of all
//! of them at a time; `tests/models.rs` shows that it is found, or why it need not be.

pub mod sync;

// The files below take their atomics from this name.
extern crate self as lockstep_io;

/// Files of the product, and beside each what is tried with it.
#[allow(dead_code, reason = "what only production calls")]
#[path = "../../../crates/lockstep-node/src/io"]
mod journal {
    mod claims;

    #[path = "../../../../tests/models/src/tail.rs"]
    pub(crate) mod tail;
}

#[allow(dead_code, reason = "what only production calls")]
#[path = "../../../crates/lockstep-io/src/shm"]
mod shm {
    mod inbox;
    mod ring;

    #[path = "../../../../tests/models/src/ring.rs"]
    pub(crate) mod model;
}

#[allow(dead_code, reason = "what only production calls")]
#[path = "../../../crates/lockstep-process/src/watcher"]
mod watcher {
    mod notices;

    #[path = "../../../../tests/models/src/notices.rs"]
    pub(crate) mod model;
}

pub use sync::{Weakened, weaken};

/// A model: what it is about, and one run of it.
pub type Model = (&'static str, fn());

/// All of them.
pub const MODELS: [Model; 4] = [
    ("tail", journal::tail::the_ring_is_never_written_and_read_at_once),
    ("record", shm::model::a_record_is_whole_or_not_there),
    ("overwritten", shm::model::what_is_overwritten_is_never_lent),
    ("notice", watcher::model::a_notice_is_whole_and_the_last_one),
];

/// The code as it is, and each ordering that can be taken out of it.
pub const WEAKENINGS: [Weakened; 5] =
    [Weakened::Nothing, Weakened::Stores, Weakened::Loads, Weakened::ReleaseFences, Weakened::AcquireFences];
