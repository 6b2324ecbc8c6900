//! Where the processes of this host count.

use lockstep_daemon::Failure;
use lockstep_daemon::config::Config;
use lockstep_daemon::failure::{NOT_READY, USAGE};
use lockstep_io::IoError;
use lockstep_metrics::Process;
use std::path::PathBuf;

/// Files that are not read and named one by one: others may make as many as they like.
const NAMED_MAX: usize = 8;

/// The files of this host's processes, each with the process's name: those that the configuration names, and
/// those beside them of the same cluster.
///
/// # Errors
/// There is none, or none whose name contains `wanted`.
pub(in crate::cli) fn files(
    config: &Config,
    wanted: Option<&str>,
) -> Result<Vec<(String, PathBuf)>, Failure> {
    let all = config.counters_files();
    if all.is_empty() {
        let named = config.named_counters_files();
        let paths: Vec<String> = named.iter().map(|(_, path)| path.display().to_string()).collect();
        let what = format!(
            "no process of this configuration has run on this host: there is no {}, and in {} no {}….counters; run \
             this where one runs, or name a file with --counters",
            paths.join(" and no "),
            config.counters_folder().display(),
            config.counters_file_prefix()
        );
        return Err(Failure::new(NOT_READY, what));
    }
    let Some(wanted) = wanted else { return Ok(all) };
    let (chosen, others): (Vec<_>, Vec<_>) = all.into_iter().partition(|(name, _)| name.contains(wanted));
    if chosen.is_empty() {
        let names: Vec<_> = others.into_iter().map(|(name, _)| name).collect();
        let what = format!("no process here is called '{wanted}'; there are {}", names.join(", "));
        return Err(Failure::new(USAGE, what));
    }
    Ok(chosen)
}

/// The processes of this host whose files are sound, each with its file, and why each other file was passed
/// over. One file, which a stranger may have made, hides none of the others.
pub(in crate::cli) struct ReadFiles {
    pub processes: Vec<(Process, PathBuf)>,
    pub passed_over: Vec<(String, IoError)>,
}

/// Reads these files.
pub(in crate::cli) fn read(config: &Config, files: Vec<(String, PathBuf)>) -> ReadFiles {
    let owners = config.file_owners();
    let mut read = ReadFiles { processes: Vec::new(), passed_over: Vec::new() };
    for (name, path) in files {
        match Process::read(&name, &path, &owners) {
            Ok(process) => read.processes.push((process, path)),
            Err(error) => read.passed_over.push((name, error)),
        }
    }
    read
}

impl ReadFiles {
    /// Names on stderr what was passed over.
    ///
    /// # Errors
    /// There is nothing else.
    pub fn sound(self) -> Result<Vec<(Process, PathBuf)>, Failure> {
        for (name, error) in self.passed_over.iter().take(NAMED_MAX) {
            eprintln!("{name} is passed over: {error}");
        }
        if let Some(more @ 1..) = self.passed_over.len().checked_sub(NAMED_MAX) {
            eprintln!("and {more} files more are passed over");
        }
        match self.processes.is_empty() && !self.passed_over.is_empty() {
            true => Err(Failure::new(NOT_READY, "no counters file of this host can be read: see above")),
            false => Ok(self.processes),
        }
    }
}
