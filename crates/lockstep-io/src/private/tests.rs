use super::*;
use std::fs::{create_dir, create_dir_all, remove_file, rename, set_permissions, write};
use std::os::unix::fs::{chown, lchown, symlink};

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
    // As a kubelet does: it makes the new version beside the old one, and replaces one link.
    version(&volume, "..two", "second");
    symlink("..two", volume.join("..data_tmp")).expect("a disk");
    rename(volume.join("..data_tmp"), volume.join("..data")).expect("a disk");
    assert_eq!(secret(&key).as_deref(), Ok("second"));
    // By an absolute link from elsewhere, as a service manager or a subPath makes it.
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
        // The same file by its own path: no link leads there.
        assert_eq!(secret(&target).as_deref(), Ok("theirs"), "{open_to:o}");
    }
    // The link itself lies in a folder where all may write, and is not protected.
    let hidden = open.join("link");
    let safe = folder.path().join("safe");
    write(&safe, "ours").expect("a disk");
    mode(&safe, 0o600);
    symlink(&safe, &hidden).expect("a disk");
    mode(&open, 0o777);
    assert!(secret(&hidden).is_err_and(|why| why.contains("others may write the folder")));
    mode(&open, 0o755);
    assert_eq!(secret(&hidden).as_deref(), Ok("ours"));
    // A link to itself, one that leads nowhere, and something that is not a file.
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
    // Root's file, lent to a group that is not this process's own.
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
}

/// Root looks at a cluster of another user, and trusts a file that only that user can have put there.
#[test]
fn root_reads_a_secret_of_another_user_where_nobody_else_can_have_put_it() {
    if own_user() != 0 {
        return println!("SKIPPED: owners and groups of files need root");
    }
    const THIRD: u32 = 65_533;
    let folder = tempfile::tempdir().expect("a folder");
    let keys = folder.path().join("keys");
    create_dir(&keys).expect("a disk");
    let path = keys.join("key");
    write(&path, "text").expect("a disk");
    mode(&path, 0o600);
    chown(&path, Some(OTHER), Some(OTHER)).expect("root");
    for (owner, mode_of, is_right) in [
        (OTHER, 0o700, true),
        (OTHER, 0o755, true),
        (0, 0o755, true),
        (OTHER, 0o775, false),
        (0, 0o777, false),
        (0, 0o1777, false),
        (THIRD, 0o755, false),
    ] {
        chown(&keys, Some(owner), None).expect("root");
        mode(&keys, mode_of);
        let read = secret(&path);
        assert_eq!(read.is_ok(), is_right, "{owner} {mode_of:o}: {read:?}");
        assert!(is_right || read.is_err_and(|why| why.contains("others may have put it there")));
    }
    // A folder above counts as well: a user who may rename the folder can put another one in its place.
    chown(&keys, Some(OTHER), None).expect("root");
    mode(&keys, 0o700);
    mode(folder.path(), 0o777);
    assert!(secret(&path).is_err_and(|why| why.contains("others may have put it there")));
    mode(folder.path(), 0o1777);
    assert_eq!(secret(&path).as_deref(), Ok("text"));
    // A mode that lets others read the file is named as before.
    mode(&path, 0o640);
    assert!(secret(&path).is_err_and(|why| why.contains("chmod 600 it")));
    // The user may redirect the link.
    mode(&path, 0o600);
    let link = keys.join("link");
    symlink(&path, &link).expect("a disk");
    lchown(&link, Some(OTHER), Some(OTHER)).expect("root");
    assert!(secret(&link).is_err_and(|why| why.contains("a link that others may lead elsewhere")));
}

/// The refusal names the owner of the file and the command for that user; it does not propose to remove
/// anything.
#[test]
fn a_file_of_another_user_is_refused_with_the_command_of_that_user() {
    if own_user() != 0 {
        return println!("SKIPPED: owners and groups of files need root");
    }
    let folder = tempfile::tempdir().expect("a folder");
    let journal = folder.path().join("journal");
    create_dir(&journal).expect("a disk");
    let refusal = |forbidden| {
        check(&journal.metadata().expect("a folder"), &journal, forbidden).expect_err("refused").to_string()
    };
    mode(&journal, 0o775);
    assert!(refusal(OTHERS_WRITE).contains(&format!("`chmod go-w {}`", journal.display())));
    mode(&journal, 0o755);
    assert!(refusal(OTHERS).contains("`chmod go= "));
    chown(&journal, Some(4_711), Some(4_712)).expect("root");
    let why = refusal(OTHERS_WRITE);
    assert!(why.contains("it is user 4711's, and this process runs as user root"), "{why}");
    assert!(why.contains("run `setpriv --reuid 4711 --regid 4712 --clear-groups -- "), "{why}");
    // In a folder where all make files it may be an attacker's.
    mode(folder.path(), 0o1777);
    assert!(refusal(OTHERS_WRITE).contains("if not, another user has put it there: name another path"));
    for why in [why, refusal(OTHERS_WRITE)] {
        assert!(!why.contains("remove") && !why.contains("none"), "{why}");
    }
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
