//! Where the processes of this host count.

use crate::cli::Failure;
use crate::cli::failure::{NOT_READY, USAGE};
use crate::config::Config;
use std::path::{Path, PathBuf};

/// The files of this host's processes, each with the process's name: those that the configuration names, and
/// those beside them of the same cluster.
///
/// # Errors
/// There is none, or none whose name contains `wanted`.
pub(in crate::cli) fn files(
    config: &Config,
    wanted: Option<&str>,
) -> Result<Vec<(String, PathBuf)>, Failure> {
    let replicas =
        config.replicas.iter().map(|replica| (format!("replica-{}", replica.id), &replica.counters));
    let archivers = config.archivers.iter();
    let archivers = archivers.map(|archiver| (format!("archiver-{}", archiver.id), &archiver.counters));
    let named: Vec<(String, PathBuf)> =
        replicas.chain(archivers).map(|(name, path)| (name, path.clone())).collect();
    let folder = config.counters_folder();
    let prefix = format!("lockstep-{}-", config.cluster);
    let process = |path: &Path| {
        let file = path.file_name()?.to_str()?;
        Some(file.strip_prefix(&prefix)?.strip_suffix(".counters")?.to_owned())
    };
    let beside = std::fs::read_dir(&folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut beside: Vec<(String, PathBuf)> = beside
        .filter(|path| named.iter().all(|(_, known)| known != path))
        .filter_map(|path| Some((process(&path)?, path)))
        .collect();
    beside.sort();
    let (all, paths): (Vec<_>, Vec<String>) = (
        named.iter().filter(|(_, path)| path.exists()).cloned().chain(beside).collect(),
        named.iter().map(|(_, path)| path.display().to_string()).collect(),
    );
    if all.is_empty() {
        let what = format!(
            "no process of this configuration has run on this host: there is no {}, and in {} no {prefix}….counters; run \
             this where one runs, or name a file with --counters",
            paths.join(" and no "),
            folder.display()
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
