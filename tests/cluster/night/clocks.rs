//! Clocks that are wrong at one process: a library between it and the kernel shows it another time of day.

use super::faults::started_anew;
use super::{Mend, Night};
use std::fs;
use std::path::PathBuf;

/// The library, in the folder of its architecture.
fn library() -> Option<PathBuf> {
    let folders = fs::read_dir("/usr/lib").ok()?.flatten();
    folders.map(|folder| folder.path().join("faketime/libfaketime.so.1")).find(|library| library.exists())
}

/// Whether this machine can do that.
pub fn can_be_wrong() -> bool {
    library().is_some()
}

/// Replica `id` starts anew under a clock that is wrong by so much.
pub fn under_clock(night: &mut Night, id: u32, off_by: &str) -> Mend {
    night.end(id, "TERM");
    let mut command = night.cluster.replica_command(id, &["--set", &night.page_of(id)]);
    command.env("LD_PRELOAD", library().expect("it is there")).env("FAKETIME", off_by);
    // The time of day alone.
    command.env("FAKETIME_DONT_FAKE_MONOTONIC", "1").env("NO_FAKE_STAT", "1");
    night.processes.insert(id, night.cluster.start_replica_by(id, command));
    started_anew(id)
}
