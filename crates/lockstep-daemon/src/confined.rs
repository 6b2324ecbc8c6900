//! The files that a daemon may open once it is set up, and the rights that it gives up then. These files are
//! opened later: keys, users and certificates at SIGHUP, segments at any time.

use crate::config::{Config, KeyUse};
use crate::sequencer::log_effective;
use lockstep_node::NodeSettings;
use lockstep_process::confinement::{self, Becomes, Reach};
use std::path::{Path, PathBuf};

/// The folder of the clusters' shared memory.
const SHARED_MEMORY: &str = "/dev/shm";

/// The folder of a file, because a new file replaces it when it is written.
fn folder(file: &Path) -> Option<PathBuf> {
    let folder = file.parent()?;
    Some(if folder.as_os_str().is_empty() { ".".into() } else { folder.to_path_buf() })
}

/// The folders of a file that is read again: its own, and that of the file to which a link leads.
fn read_again(file: &Path) -> impl Iterator<Item = Reach> + use<> {
    let target = file.canonicalize().ok().as_deref().and_then(folder);
    folder(file).into_iter().chain(target).map(Reach::Read)
}

/// A configuration, and the file from which it was read.
type Configured<'a> = (&'a Config, &'a Path);

/// The folders of configuration and key file, shared memory, and the counters file, which is removed at the
/// end.
fn of_all((config, file): Configured<'_>, usage: KeyUse, counters: Option<PathBuf>) -> Vec<Reach> {
    let keys = config.key_file(usage).into_iter().flat_map(|file| read_again(&file));
    let memory = config.network.shm.then(|| Reach::Write(SHARED_MEMORY.into()));
    keys.chain(read_again(file)).chain(memory).chain(counters.map(Reach::Remove)).collect()
}

/// What a sequencer or an archiver may open: its journal.
pub fn of_node(configured: Configured<'_>, settings: &NodeSettings) -> Vec<Reach> {
    let mut reach = of_all(configured, KeyUse::Node, folder(&settings.counters));
    reach.push(Reach::Write(settings.journal.clone()));
    reach
}

/// What a gateway may open: its users, and the files of its TLS.
pub fn of_gateway(configured: Configured<'_>, users: &Path) -> Vec<Reach> {
    let gateway = &configured.0.gateway;
    let tls = [&gateway.tls_certificate, &gateway.tls_key, &gateway.tls_client_authority];
    let files = tls.into_iter().flatten().map(PathBuf::as_path).chain([users]);
    let mut reach = of_all(configured, KeyUse::Gateway, Some(configured.0.counters_folder()));
    reach.extend(files.flat_map(read_again));
    reach
}

/// What a feed may open.
pub fn of_feed(configs: &[Config], file: &Path) -> Vec<Reach> {
    of_readers(configs, file, KeyUse::Handle)
}

/// What a notary may open: the folder of its cursor.
pub fn of_notary(configured: Configured<'_>, cursor: &Path) -> Vec<Reach> {
    let mut reach = of_all(configured, KeyUse::Node, Some(configured.0.counters_folder()));
    reach.extend(folder(cursor).map(Reach::Write));
    reach
}

/// What a coordinator may open: what a reader of each stream of its set may.
pub fn of_coordinator(configs: &[Config], file: &Path) -> Vec<Reach> {
    of_readers(configs, file, KeyUse::Coordinator)
}

fn of_readers(configs: &[Config], file: &Path, key_use: KeyUse) -> Vec<Reach> {
    let of = |config: &Config| of_all((config, file), key_use, Some(config.counters_folder()));
    configs.iter().flat_map(of).collect()
}

/// What the web page may open: the counters files of this host.
pub fn of_web(configured: Configured<'_>) -> Vec<Reach> {
    let mut reach = of_all(configured, KeyUse::Handle, None);
    let files = configured.0.named_counters_files().into_iter().map(|(_, path)| path);
    let folders = files.filter_map(|file| folder(&file)).chain([configured.0.counters_folder()]);
    reach.extend(folders.map(Reach::Read));
    reach
}

/// What the web page of one counters file may open.
pub fn of_web_of_file(counters: &Path) -> Vec<Reach> {
    folder(counters).into_iter().map(Reach::Read).collect()
}

/// The daemon is set up: this thread gives up the rights that it does not need, and the log reports the
/// settings in force.
pub fn complete(reach: &[Reach], becomes: Becomes) {
    for effective in &confinement::complete(reach, becomes) {
        log_effective(effective);
    }
}
