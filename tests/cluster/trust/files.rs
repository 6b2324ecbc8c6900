//! Another local user makes files at the paths that a daemon uses, in a folder where everybody may: the
//! daemon refuses them in words, and touches none.

use lockstep_core::engine::counters::CounterRow;
use lockstep_io::counters::CountersFile;
use lockstep_testkit::gateways;
use lockstep_testkit::processes::{Cluster, OTHER_USER, is_root};
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};

/// What lies in a file of somebody else's.
const TEXT: &str = "what somebody else wrote there";

/// A replica whose tail's path has something of another user's does not start, and says `why`.
fn is_refused(plant: impl Fn(&Cluster, &std::path::Path), why: &str) {
    let cluster = Cluster::new(1, "");
    cluster.format(1);
    let tail = cluster.path("tail-1");
    // Formatting made none yet.
    let _ = fs::remove_file(&tail);
    plant(&cluster, &tail);
    let refused = cluster.run(&["sequencer", "--replica", "1", "--until-stdin-ends"], b"");
    assert_ne!(refused.code, Some(0));
    refused.saying(&["tail-1", why]);
}

#[test]
fn a_symbolic_link_where_the_tail_belongs_is_refused_and_its_target_stays_as_it_is() {
    is_refused(
        |cluster, tail| {
            fs::write(cluster.path("target"), TEXT).expect("a file");
            symlink(cluster.path("target"), tail).expect("a link");
        },
        "it is a symbolic link",
    );
}

#[test]
fn a_tail_that_others_may_write_or_own_is_refused() {
    let with_mode = |tail: &std::path::Path, mode| {
        fs::write(tail, "").expect("a file");
        fs::set_permissions(tail, fs::Permissions::from_mode(mode)).expect("its mode");
    };
    is_refused(|_, tail| with_mode(tail, 0o666), "mode 666");
    if !is_root() {
        println!("SKIPPED: needs root: a file of another user");
        return;
    }
    is_refused(
        |_, tail| {
            with_mode(tail, 0o600);
            chown(tail, Some(OTHER_USER), None).expect("another owner");
        },
        "is user 64712's",
    );
}

#[test]
fn a_link_at_the_name_of_a_draft_of_counters_is_replaced_and_its_target_stays_as_it_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let (target, path) = (folder.path().join("target"), folder.path().join("counters"));
    fs::write(&target, TEXT).expect("a file");
    let draft = folder.path().join(format!("counters.{}", std::process::id()));
    symlink(&target, &draft).expect("a link");
    let mut counters =
        CountersFile::create(&path, &[], &[CounterRow::count("one", "Some.").into()]).expect("counters");
    counters.publish(1, &[7]);
    assert_eq!(fs::read_to_string(&target).expect("the target"), TEXT);
    assert!(path.is_file() && !draft.exists());
}

#[test]
fn a_journals_folder_is_its_users_alone() {
    let cluster = Cluster::new(1, "");
    cluster.format(1);
    let mode = fs::metadata(cluster.path("journal-1")).expect("a folder").permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}

/// What another user has planted in a journal's folder would be written through, or renamed over.
#[test]
fn a_journals_folder_where_others_may_write_is_refused_and_what_they_planted_stays_as_it_is() {
    let cluster = Cluster::new(1, "");
    let folder = cluster.path("journal-1");
    let refused = |args: &[&str], why: &str| {
        let refused = cluster.run(args, b"");
        assert_ne!(refused.code, Some(0));
        refused.saying(&["journal-1", why]);
    };
    let start = ["sequencer", "--replica", "1", "--until-stdin-ends"];
    let open_to = |mode| fs::set_permissions(&folder, fs::Permissions::from_mode(mode)).expect("its mode");
    fs::create_dir(&folder).expect("a folder");
    open_to(0o777);
    refused(&["format", "--replica", "1"], "mode 777");
    assert_eq!(fs::read_dir(&folder).expect("the folder").count(), 0, "nothing was made there");
    open_to(0o700);
    cluster.format(1);
    let (lock, target) = (folder.join("lock"), cluster.path("target"));
    fs::remove_file(&lock).expect("its lock");
    fs::write(&target, TEXT).expect("a file");
    symlink(&target, &lock).expect("a link");
    open_to(0o720);
    refused(&start, "mode 720");
    if is_root() {
        open_to(0o700);
        chown(&folder, Some(OTHER_USER), None).expect("another owner");
        refused(&start, "is user 64712's");
    } else {
        println!("SKIPPED: needs root: a folder of another user");
    }
    assert_eq!(fs::read_to_string(&target).expect("the file"), TEXT);
}

#[test]
fn a_gateway_leaves_no_core_dump_with_passwords() {
    let cluster = Cluster::new(1, "");
    let replicas = cluster.found();
    gateways::add_user(&cluster, "alice", "secret", &[]);
    let gateway = gateways::start(&cluster, "gw1");
    let limits = fs::read_to_string(format!("/proc/{}/limits", gateway.process.pid())).expect("its limits");
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).expect("a limit");
    assert_eq!(core.split_whitespace().nth(4), Some("0"), "{core}");
    assert_eq!(gateway.process.terminate(), Some(0));
    for replica in replicas {
        assert_eq!(replica.terminate(), Some(0));
    }
}
