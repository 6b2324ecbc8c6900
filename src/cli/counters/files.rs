//! Where the processes of this host count.

use crate::cli::Failure;
use crate::cli::failure::{NOT_READY, USAGE};
use lockstep_daemon::config::Config;
use std::path::PathBuf;

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
