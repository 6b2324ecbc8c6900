//! Counters files of this host that no command can read: named on stderr.

use lockstep_daemon::Failure;
use lockstep_daemon::failure::NOT_READY;
use lockstep_metrics::Process;
use lockstep_operations::processes::ReadFiles;
use std::path::PathBuf;

/// Files that are not read and named one by one: others may make as many as they like.
const NAMED_MAX: usize = 8;

/// The processes that were read. Names on stderr what was passed over.
///
/// # Errors
/// There is nothing else.
pub fn sound(read: ReadFiles) -> Result<Vec<(Process, PathBuf)>, Failure> {
    for (name, error) in read.passed_over.iter().take(NAMED_MAX) {
        eprintln!("{name} is passed over: {error}");
    }
    if let Some(more @ 1..) = read.passed_over.len().checked_sub(NAMED_MAX) {
        eprintln!("and {more} files more are passed over");
    }
    if read.processes.is_empty() && !read.passed_over.is_empty() {
        return Err(Failure::new(NOT_READY, "no counters file of this host can be read: see above"));
    }
    Ok(read.processes)
}
