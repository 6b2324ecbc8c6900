//! Commands of root, and of a third user, on a cluster that runs as a user of its own.

use lockstep_testkit::netns::Place;
use lockstep_testkit::processes::{
    Cluster, OTHER_USER, Outcome, Process, USER, await_code, cluster_of_user, command, files_of, give,
    place_of, run,
};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

/// As root, which these tests run as.
fn as_root(cluster: &Cluster, args: &[&str]) -> Outcome {
    cluster.run_at(&Place::host(), args, b"as root\n")
}

/// Nothing below the cluster's folder is root's but the program and what was root's before.
#[track_caller]
fn nothing_is_roots(cluster: &Cluster, after: &[&str]) {
    // The logs are the test's own.
    let is_ours =
        |path: &PathBuf| path != cluster.program() && path.extension().is_none_or(|end| end != "log");
    let found: Vec<PathBuf> = files_of(0, &cluster.path("")).into_iter().filter(is_ours).collect();
    assert!(found.is_empty(), "{after:?} has made files that the daemons cannot use: {found:?}");
    let memory = lockstep_config_of(cluster).cluster;
    let beside = files_of(0, Path::new("/dev/shm"));
    let name = format!("lockstep-{memory}-");
    let beside: Vec<_> = beside.iter().filter(|path| path.to_string_lossy().contains(&name)).collect();
    assert!(beside.is_empty(), "{after:?}: {beside:?}");
}

fn lockstep_config_of(cluster: &Cluster) -> lockstep::config::Config {
    lockstep::config::Config::load(Some(&cluster.config()), &[]).unwrap_or_else(|errors| panic!("{errors}"))
}

/// Every file below a folder with owner, mode, bytes and time of change.
fn snapshot(folder: &Path) -> BTreeMap<PathBuf, (u32, u32, u64, i64)> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("a file").path();
        let metadata = path.symlink_metadata().expect("it is there");
        if metadata.is_dir() {
            all.extend(snapshot(&path));
        }
        let of = (metadata.uid(), metadata.mode(), metadata.len(), metadata.mtime_nsec());
        all.insert(path, of);
    }
    all
}

fn stop(replicas: Vec<Process>) {
    for replica in replicas {
        assert_eq!(replica.terminate(), Some(0));
    }
}

#[test]
fn root_looks_at_everything_of_another_users_cluster_and_leaves_no_file_of_its_own() {
    let Some(cluster) = cluster_of_user("") else { return };
    let replicas = cluster.found();
    cluster.publish("one\ntwo\n");
    cluster.run(&["wait", "--for", "caught-up"], b"").with_code(0);
    nothing_is_roots(&cluster, &["the daemons"]);
    let journal = cluster.path("journal-2").display().to_string();
    let looks: &[&[&str]] = &[
        &["status"],
        &["status", "--json"],
        &["health", "--format", "nagios"],
        &["wait", "--for", "leader"],
        &["events"],
        &["losses"],
        &["counters", "--all"],
        &["counters", "--prometheus"],
        &["audit"],
        &["time"],
        &["membership", "show"],
        &["upgrade"],
        &["check"],
        &["keys", "show"],
        &["journal", "ls", &journal],
        &["journal", "info", &journal],
        &["journal", "verify", &journal],
        &["journal", "dump", &journal],
        &["journal", "info", "--replica", "1"],
        &["format", "--replica", "1", "--verify"],
        &["subscribe", "--until-end"],
        &["publish", "--name", "root"],
        &["handover"],
        &["reload"],
    ];
    for look in looks {
        await_code(0, || as_root(&cluster, look));
        nothing_is_roots(&cluster, look);
    }
    // What it says of this host is another matter; the keys are right.
    let doctor = as_root(&cluster, &["doctor", "--measure", "none"]);
    assert!(!doctor.out.contains("keys.file") && doctor.out.contains("keys.expiry"), "{}", doctor.out);
    nothing_is_roots(&cluster, &["doctor"]);
    // A backup in a folder of root's is root's.
    let place = tempfile::tempdir().expect("a folder");
    let backup = place.path().join("backup").display().to_string();
    as_root(&cluster, &["backup", "--replica", "3", "--to", &backup]).with_code(0);
    let other = cluster.path("journal-1").display().to_string();
    for look in [["backup", "verify", &backup].as_slice(), &["journal", "diff", &other, &journal]] {
        run(command(look), b"").with_code(0);
    }
    nothing_is_roots(&cluster, &["backup"]);
    stop(replicas);
}

#[test]
fn root_drills_the_replicas_of_another_user_and_leaves_no_file_where_no_fault_is_open() {
    let Some(cluster) = cluster_of_user("") else { return };
    let replicas = cluster.found();
    cluster.run(&["wait", "--for", "caught-up"], b"").with_code(0);
    let drill = ["drill", "--kind", "handover", "--kind", "freeze", "--no-watcher", "--rate", "200"];
    await_code(0, || as_root(&cluster, &drill));
    nothing_is_roots(&cluster, &drill);
    // That user drills after root, and root after that user.
    await_code(0, || cluster.run(&["drill", "--kind", "handover", "--rate", "200"], b""));
    // A fault that a killed drill of root's has left names root, who alone can mend it.
    let left = cluster.path(&format!("lockstep-{}-drill-0.json", lockstep_config_of(&cluster).cluster));
    fs::write(&left, "{}").expect("a file");
    let refused = cluster.run(&["drill", "--kind", "handover"], b"").with_code(1);
    refused.saying(&["a drill of user root has made a fault", "run `lockstep drill --restore` as user root"]);
    fs::remove_file(&left).expect("it is there");
    // One of a third user's says nothing.
    let planted =
        cluster.path(&format!("lockstep-{}-drill-{OTHER_USER}.json", lockstep_config_of(&cluster).cluster));
    fs::write(&planted, "{}").expect("a file");
    chown(&planted, Some(OTHER_USER), None).expect("root");
    cluster.run(&["drill", "--restore"], b"").with_code(0);
    stop(replicas);
}

/// A process that joins a host's shared memory makes a file there, and the others have to open it.
#[test]
fn root_asks_where_memory_is_shared_and_is_told_to_publish_as_the_daemons_user() {
    let Some(cluster) = cluster_of_user("\n[network]\nshm = true\n") else { return };
    let replicas = cluster.found();
    for look in [["wait", "--for", "caught-up"].as_slice(), &["status"], &["health"], &["upgrade"]] {
        await_code(0, || as_root(&cluster, look));
    }
    for stream in [["publish", "--name", "root"].as_slice(), &["subscribe", "--until-end"]] {
        let refused = as_root(&cluster, stream);
        assert_ne!(refused.code, Some(0));
        let command = format!("run `setpriv --reuid {USER} --regid {USER} --clear-groups -- ");
        refused.saying(&["share memory with the processes of", &command]);
    }
    let group = cluster.groups()[0];
    let folders = files_of(USER, Path::new("/dev/shm"));
    let of_group = |path: &&PathBuf| path.to_string_lossy().contains(&group.ip().to_string());
    assert!(folders.iter().any(|path| of_group(&path)), "{folders:?}");
    assert!(!files_of(0, Path::new("/dev/shm")).iter().any(|path| of_group(&path)));
    cluster.publish("one\n");
    stop(replicas);
}

/// The refusal comes before anything is made, and the command that it names does what was asked.
#[test]
fn what_writes_refuses_root_before_it_makes_anything_and_names_the_command_that_works() {
    let Some(cluster) = cluster_of_user("") else { return };
    stop(cluster.found());
    let users = cluster.path("users.toml").display().to_string();
    let backup = cluster.path("backup").display().to_string();
    cluster.run(&["backup", "--replica", "1", "--to", &backup], b"").with_code(0);
    let before = snapshot(&cluster.path(""));
    let begin = format!("run `setpriv --reuid {USER} --regid {USER} --clear-groups -- ");
    let writes: &[(&[&str], Option<i32>)] = &[
        (&["sequencer", "--replica", "1", "--until-stdin-ends"], None),
        (&["gateway", "--name", "gw1", "--listen", "127.0.0.1:0"], None),
        (&["feed", "--group", "239.99.3.1:7800", "--requests", "127.0.0.1:0", "--of", "everybody"], None),
        (&["notary", "--name", "n1"], None),
        (&["format", "--replica", "1"], Some(2)),
        (&["bootstrap", "--replica", "1"], None),
        (&["recover", "--replica", "1"], Some(0)),
        (&["restore", &backup, "--replica", "1"], None),
        (&["journal", "trim", "--replica", "1", "--before", "2"], Some(0)),
        (&["backup", "--replica", "1", "--to", &backup], Some(0)),
        (&["keys", "new"], Some(2)),
        (&["keys", "rotate"], Some(0)),
        (&["keys", "add", "risk"], Some(0)),
        (&["keys", "operator", "ann"], Some(0)),
        (&["keys", "expire", "0", "never"], Some(0)),
        (&["notary", "key", "n1"], Some(0)),
        (&["gateway", "user", "add", "bob", "--users", &users], Some(0)),
    ];
    for (write, _) in writes {
        let refused = as_root(&cluster, write).with_code(2);
        assert!(
            refused.err.contains(&begin) && refused.err.contains(&format!("user {USER}'s")),
            "{write:?}: {}",
            refused.err
        );
        assert!(
            !refused.err.contains("remove") && !refused.err.contains("none"),
            "{write:?}: {}",
            refused.err
        );
        assert_eq!(snapshot(&cluster.path("")), before, "{write:?} has changed a file");
    }
    nothing_is_roots(&cluster, &["refusals"]);
    // The words between the ticks, as a shell takes them.
    for (write, code) in writes.iter().filter_map(|(write, code)| Some((write, (*code)?))) {
        let refused = as_root(&cluster, write).err;
        let command = refused.split('`').nth(1).expect("a command");
        let mut shell = Command::new("sh");
        shell.args(["-c", command]);
        run(shell, b"secret").with_code(code);
        nothing_is_roots(&cluster, write);
    }
}

/// What a person types who is neither root nor the user of the daemons, and what root is told of files that
/// nobody should believe.
#[test]
fn a_refused_key_file_is_told_with_its_owner_and_what_to_type() {
    let Some(cluster) = cluster_of_user("") else { return };
    let other = place_of(OTHER_USER).expect("root");
    stop(cluster.found());
    let keys = cluster.path("keys");
    let file = keys.join("replica.keys");
    let refusal = |place: &Place| {
        let refused = cluster.run_at(place, &["status"], b"").with_code(2).err;
        for word in ["remove", "delete", "none", "keys new"] {
            assert!(!refused.contains(word), "'{word}' in: {refused}");
        }
        refused
    };
    // The folder of keys may not be entered.
    fs::set_permissions(cluster.path(""), fs::Permissions::from_mode(0o755)).expect("root");
    let refused = refusal(&other);
    assert!(
        refused.contains(&format!("sudo -u '#{USER}' -- ")) && refused.contains(" status --config "),
        "{refused}"
    );
    let journal = cluster.path("journal-1").display().to_string();
    let info = run(cluster.command_at(&other, &["journal", "info", &journal]), b"");
    assert_ne!(info.code, Some(0));
    assert!(
        info.err.contains(&format!("sudo -u '#{USER}' -- ")),
        "a place that is not missing: {}",
        info.err
    );
    let health = cluster.run_at(&other, &["health"], b"").with_code(3).out;
    assert_eq!(health.matches("LS0124").count(), 1, "{health}");
    assert_eq!(health.lines().count(), 1, "{health}");
    // Copied by root, as `scp` does, and not given to the user.
    chown(&file, Some(0), Some(0)).expect("root");
    let refused = refusal(cluster.clients());
    let mend = format!("as root, `chown {USER} {}`", file.display());
    assert!(refused.contains(&mend) && refused.contains("user root's"), "{refused}");
    give(&file, USER);
    // Readable by others.
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).expect("root");
    for place in [cluster.clients(), &Place::host()] {
        assert!(refusal(place).contains("chmod 600"));
    }
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("root");
    // Of a user who has no part in the cluster: root does not believe it.
    chown(&file, Some(OTHER_USER), None).expect("root");
    let refused = refusal(&Place::host());
    assert!(refused.contains(&format!("user {OTHER_USER}'s, and others may have put it there")), "{refused}");
    // In a folder where others write.
    give(&file, USER);
    fs::set_permissions(&keys, fs::Permissions::from_mode(0o777)).expect("root");
    assert!(refusal(&Place::host()).contains("may be written by others"));
}
