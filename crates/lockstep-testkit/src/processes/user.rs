//! Other users of this host: processes that run as one, and clusters that belong to one.

use super::{Cluster, Ground, is_root};
use crate::netns::Place;
use std::os::unix::fs::MetadataExt;
use std::os::unix::fs::{chown, lchown};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A user that has no name on any host.
pub const USER: u32 = 64_711;
/// Another one, who has no part in the cluster.
pub const OTHER_USER: u32 = 64_712;

/// Processes of this user. `None` after the reason of the skip is printed.
pub fn place_of(user: u32) -> Option<Place> {
    if !is_root() || !Path::new("/usr/bin/setpriv").exists() {
        println!("SKIPPED: owners and groups of files need root");
        return None;
    }
    let number = user.to_string();
    let words = ["setpriv", "--reuid", &number, "--regid", &number, "--clear-groups", "--pdeathsig", "KILL"];
    Some(Place::host().behind(&words))
}

/// Three replicas that run as [`USER`], to whom configuration, keys, journals and counters belong. The
/// program lies where every user may run it. `None` after the reason of the skip is printed.
pub fn cluster_of_user(more: &str) -> Option<Cluster> {
    let place = place_of(USER)?;
    let ground = Ground::loopback(3);
    let places = vec![place.clone(); ground.places.len()];
    let ground = Ground { places, clients: place, ..ground };
    let folder = TempDir::new().expect("a temporary folder");
    let program = folder.path().join("lockstep");
    super::copy_program(&program);
    let mut cluster = Cluster::within(folder, ground, more);
    cluster.use_program(&program);
    give(&cluster.path(""), USER);
    chown(&program, Some(0), Some(0)).expect("root");
    Some(cluster)
}

/// Gives a file, or a folder and all in it, to a user and its group.
pub fn give(path: &Path, user: u32) {
    lchown(path, Some(user), Some(user)).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    if path.is_dir() && !path.is_symlink() {
        for entry in std::fs::read_dir(path).expect("a folder") {
            give(&entry.expect("a file").path(), user);
        }
    }
}

/// What lies below `folder` and is this user's.
pub fn files_of(user: u32, folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        // A file may go meanwhile.
        let Ok(metadata) = path.symlink_metadata() else { continue };
        if metadata.is_dir() {
            found.extend(files_of(user, &path));
        }
        if metadata.uid() == user {
            found.push(path);
        }
    }
    found.sort();
    found
}
