//! Clocks that are wrong at one process: a library between it and the kernel shows it another time of day.

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
    let set = night.page_of(id);
    let args = ["sequencer", "--replica", &id.to_string(), "--set", &set];
    let mut command = night.cluster.command_at(night.cluster.place(id), &args);
    command.env("LD_PRELOAD", library().expect("it is there")).env("FAKETIME", off_by);
    // The time of day alone.
    command.env("FAKETIME_DONT_FAKE_MONOTONIC", "1").env("NO_FAKE_STAT", "1");
    let process = night.cluster.start_command(&format!("replica-{id}"), command);
    night.processes.insert(id, process);
    Box::new(move |night| {
        night.end(id, "TERM");
        night.start(id, &[]);
    })
}
