use super::*;
use std::fs::{create_dir, create_dir_all, remove_file, rename, set_permissions, write};
use std::os::unix::fs::{chown, symlink};

const OTHER: u32 = 65_534;

fn mode(path: &Path, mode: u32) {
    set_permissions(path, PermissionsExt::from_mode(mode)).expect("it is ours");
}

fn secret(path: &Path) -> Result<String, String> {
    read(path, "read the secret", "; make it", 1 << 10)
        .map(|text| text.to_string())
        .map_err(|error| error.to_string())
}

/// A folder as an orchestrator mounts a secret: links through `..data` to the folder of the newest version.
/// Returns the folder of the volume, and the path of its key.
fn volume(folder: &Path) -> (PathBuf, PathBuf) {
    let volume = folder.join("volume");
    create_dir(&volume).expect("a disk");
    version(&volume, "..one", "first");
    symlink("..one", volume.join("..data")).expect("a disk");
    symlink("..data/key", volume.join("key")).expect("a disk");
    mode(&volume, 0o1777);
    let key = volume.join("key");
    (volume, key)
}

/// A version of the volume's secret.
fn version(volume: &Path, name: &str, text: &str) {
    create_dir_all(volume.join(name)).expect("a disk");
    let key = volume.join(name).join("key");
    write(&key, text).expect("a disk");
    mode(&key, 0o400);
    mode(&volume.join(name), 0o755);
}

#[test]
fn a_secret_that_is_mounted_by_links_is_read_and_read_again_once_it_is_rotated() {
    let folder = tempfile::tempdir().expect("a folder");
    let (volume, key) = volume(folder.path());
    assert_eq!(secret(&key).as_deref(), Ok("first"));
    // What a kubelet does: the new version beside, and one link in the place of the other.
    version(&volume, "..two", "second");
    symlink("..two", volume.join("..data_tmp")).expect("a disk");
    rename(volume.join("..data_tmp"), volume.join("..data")).expect("a disk");
    assert_eq!(secret(&key).as_deref(), Ok("second"));
    // By an absolute link from elsewhere, as a service manager or a subPath lays it.
    let elsewhere = folder.path().join("elsewhere");
    symlink(&key, &elsewhere).expect("a disk");
    assert_eq!(secret(&elsewhere).as_deref(), Ok("second"));
}

#[test]
fn a_link_that_others_may_lead_elsewhere_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let open = folder.path().join("open");
    create_dir(&open).expect("a disk");
    let target = open.join("key");
    write(&target, "theirs").expect("a disk");
    mode(&target, 0o600);
    let link = folder.path().join("key");
    symlink(&target, &link).expect("a disk");
    for open_to in [0o777, 0o775, 0o757, 0o1777, 0o1775] {
        mode(&open, open_to);
        assert!(secret(&link).is_err_and(|why| why.contains("others may write the folder")), "{open_to:o}");
        // The same file by its own path: nobody is led there.
        assert_eq!(secret(&target).as_deref(), Ok("theirs"), "{open_to:o}");
    }
    // The link itself lies where all may write, and nothing keeps them from changing it.
    let hidden = open.join("link");
    let safe = folder.path().join("safe");
    write(&safe, "ours").expect("a disk");
    mode(&safe, 0o600);
    symlink(&safe, &hidden).expect("a disk");
    mode(&open, 0o777);
    assert!(secret(&hidden).is_err_and(|why| why.contains("others may write the folder")));
    mode(&open, 0o755);
    assert_eq!(secret(&hidden).as_deref(), Ok("ours"));
    // A link to itself, one that leads nowhere, and what is no file.
    let around = folder.path().join("around");
    symlink(&around, &around).expect("a disk");
    assert!(secret(&around).is_err_and(|why| why.contains("too many")));
    let nowhere = folder.path().join("nowhere");
    symlink(folder.path().join("gone"), &nowhere).expect("a disk");
    assert!(secret(&nowhere).is_err_and(|why| why.contains("; make it")));
    for (device, word) in [("/dev/zero", "a device"), ("/proc", "a folder")] {
        let link = folder.path().join("device");
        symlink(device, &link).expect("a disk");
        assert!(secret(&link).is_err_and(|why| why.contains(word)), "{device}");
        remove_file(&link).expect("a disk");
    }
}

/// Modes and owners, as PostgreSQL judges the key of a server.
#[test]
fn a_secret_is_this_users_alone_or_roots_and_lent_to_a_group() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("key");
    write(&path, "text").expect("a disk");
    for (own, is_right) in [
        (0o600, true),
        (0o400, true),
        (0o640, false),
        (0o440, false),
        (0o604, false),
        (0o644, false),
        (0o620, false),
    ] {
        mode(&path, own);
        let read = secret(&path);
        assert_eq!(read.is_ok(), is_right, "{own:o}: {read:?}");
        assert!(is_right || read.is_err_and(|why| why.contains(&format!("mode {own:o}"))), "{own:o}");
    }
    if own_user() != 0 {
        return println!("SKIPPED: owners and groups of files need root");
    }
    // Root's, and lent to a group that is not this process's own.
    chown(&path, Some(0), Some(OTHER)).expect("root");
    for (lent, is_right) in [
        (0o440, true),
        (0o640, true),
        (0o400, true),
        (0o444, false),
        (0o460, false),
        (0o660, false),
        (0o450, false),
    ] {
        mode(&path, lent);
        assert_eq!(secret(&path).is_ok(), is_right, "{lent:o}");
    }
    mode(&path, 0o400);
    chown(&path, Some(OTHER), Some(OTHER)).expect("root");
    assert!(secret(&path).is_err_and(|why| why.contains("has to be user 0's or root's")));
}

#[test]
fn what_anybody_may_read_is_believed_if_nobody_else_may_write_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_, key) = volume(folder.path());
    let public = |path: &Path| read_public(path, "read the keys", 1 << 10).map(|text| text.to_string());
    let target = key.canonicalize().expect("it is there");
    for (mode_of, is_right) in [(0o644, true), (0o444, true), (0o600, true), (0o664, false), (0o646, false)] {
        mode(&target, mode_of);
        assert_eq!(public(&key).is_ok(), is_right, "{mode_of:o}");
    }
    mode(&target, 0o644);
    assert!(read_public(&key, "read the keys", 4).is_err(), "too long");
}
