//! A cluster of real processes: each has its own folder, groups and ports, every wait has an end, and
//! whatever is started ends with the handle that started it.
//!
//! Where the processes run is a [`Ground`]: loopback, or the nodes of a [`crate::netns::Network`]. Nothing
//! here returns an error: a process that does not do what its test wants is a failed test, and the panic
//! shows its last words.

mod cluster;
mod command;
mod ground;
mod host;
mod process;
mod user;

pub use cluster::{Cluster, PRODUCT_TIMING, payloads};
pub use command::{Outcome, await_code, command, command_of, copy_program, example, program, run};
pub use ground::Ground;
pub use host::{free_address, is_root, memory_folder, page};
pub use process::{Process, cpu_shares, freeze, last_words, moving, signal_all};
pub use user::{OTHER_USER, USER, cluster_of_user, files_of, give, place_of};

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// No command of these tests takes nearly so long; one that hangs is ended and fails its test.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks at what is waited for.
const LOOK: Duration = Duration::from_millis(2);

/// A test holds this lock if it keeps the cores busy and judges takeovers: two of them at once would starve
/// each other where cores are few. Cargo runs one test program after the other.
pub fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    // A test that failed has left nothing that runs.
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}
