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
pub use command::{
    Outcome, await_change, await_code, command, command_of, copy_program, example, program, run,
};
pub use ground::Ground;
pub use host::{free_address, is_root, memory_folder, page};
pub use process::{PrintedLines, Process, cpu_shares, freeze, last_words, moving, signal_all};
pub use user::{OTHER_USER, USER, cluster_of_user, files_of, give, place_of};

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// No command of these tests takes nearly so long; one that hangs is ended and fails its test.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks at what is waited for.
const LOOK: Duration = Duration::from_millis(2);

/// So many tests at once may keep the cores busy.
const BUSY_MAX: u32 = 2;
static BUSY: (Mutex<u32>, Condvar) = (Mutex::new(0), Condvar::new());

/// The place of a test among those that keep the cores busy.
pub struct BusyPlace(());

/// A test holds such a place if it keeps the cores busy and judges takeovers: three of them at once would
/// starve each other where cores are few. Cargo runs one test program after the other.
pub fn busy() -> BusyPlace {
    // A test that failed has left nothing that runs.
    let taken = BUSY.0.lock().unwrap_or_else(PoisonError::into_inner);
    let free = BUSY.1.wait_while(taken, |taken| *taken >= BUSY_MAX);
    *free.unwrap_or_else(PoisonError::into_inner) += 1;
    BusyPlace(())
}

impl Drop for BusyPlace {
    fn drop(&mut self) {
        *BUSY.0.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        BUSY.1.notify_one();
    }
}
