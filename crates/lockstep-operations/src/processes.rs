//! The processes of this host, by their counters files.

use crate::OperationError;
use lockstep_config::Config;
use lockstep_io::IoError;
use lockstep_metrics::Process;
use std::path::PathBuf;

/// The files of this host's processes, each with the process's name: those that the configuration names, and
/// those beside them of the same cluster.
///
/// # Errors
/// There is none, or none whose name contains `wanted`.
pub fn files(config: &Config, wanted: Option<&str>) -> Result<Vec<(String, PathBuf)>, OperationError> {
    let all = config.counters_files();
    if all.is_empty() {
        let named = config.named_counters_files();
        let paths: Vec<String> = named.iter().map(|(_, path)| path.display().to_string()).collect();
        return Err(OperationError::not_ready(format!(
            "no process of this configuration has run on this host: there is no {}, and in {} no {}….counters; run \
             this where one runs, or name a file with --counters",
            paths.join(" and no "),
            config.counters_folder().display(),
            config.counters_file_prefix()
        )));
    }
    let Some(wanted) = wanted else { return Ok(all) };
    let (chosen, others): (Vec<_>, Vec<_>) = all.into_iter().partition(|(name, _)| name.contains(wanted));
    if chosen.is_empty() {
        let names: Vec<_> = others.into_iter().map(|(name, _)| name).collect();
        return Err(OperationError::refused(format!(
            "no process here is called '{wanted}'; there are {}",
            names.join(", ")
        )));
    }
    Ok(chosen)
}

/// The processes of this host whose files are sound, each with its file, and why each other file was passed
/// over. One file, which a stranger may have made, hides none of the others.
pub struct ReadFiles {
    /// Each sound process, with its file.
    pub processes: Vec<(Process, PathBuf)>,
    /// The name of each other one, with the reason.
    pub passed_over: Vec<(String, IoError)>,
}

/// Reads these files.
pub fn read(config: &Config, files: Vec<(String, PathBuf)>) -> ReadFiles {
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
