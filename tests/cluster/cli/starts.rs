//! Starts that fail, and ends that are asked for twice: whatever happens, a replica that stopped in order
//! comes back, also after a reboot, and one that was killed comes back on its tail.

use crate::cli::refusals::on_a_full_disk;
use lockstep_testkit::netns::Place;
use lockstep_testkit::processes::{Cluster, Outcome, Process, is_root, run};
use std::collections::BTreeMap;
use std::fs;
use std::net::UdpSocket;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

/// An interface that is missing is waited for, as it may be late at boot: `network late::` tries that.
const NO_WAIT: &str = "network.interface_wait=0us";

/// Everything that a start is judged by: files of the journal and the tail, by name, with their bytes.
fn stored_files(cluster: &Cluster, id: u32) -> BTreeMap<PathBuf, Vec<u8>> {
    let journal = cluster.path(&format!("journal-{id}"));
    let segments = fs::read_dir(journal.join("segments")).expect("a journal");
    let mut files: Vec<PathBuf> = segments.map(|entry| entry.expect("an entry").path()).collect();
    files.extend([journal.join("superblock"), cluster.path(&format!("tail-{id}"))]);
    // Neither a spare nor what the device was tried with is part of what is judged: the next start removes
    // both.
    let is_judged = |path: &PathBuf| path.file_name().is_none_or(|name| name != "spare" && name != "probe");
    files.retain(|path| path.exists() && is_judged(path));
    files.into_iter().map(|path| (path.clone(), fs::read(&path).expect("a file"))).collect()
}

/// What a reboot of its machine takes: what lay in memory.
fn reboot(cluster: &Cluster, id: u32) {
    let _ = fs::remove_file(cluster.path(&format!("tail-{id}"))); // it may never have been made
}

/// Replica 3, with these arguments, behind `prefix`.
fn attempt(cluster: &Cluster, prefix: &[&str], more: &[&str]) -> Outcome {
    let args: Vec<&str> = ["sequencer", "--replica", "3"].iter().chain(more).copied().collect();
    run(cluster.command_at(&Place::host().behind(prefix), &args), b"")
}

/// One way in which a start fails.
struct Fault {
    name: &'static str,
    /// The text in front of the program.
    prefix: Vec<String>,
    more: Vec<String>,
    /// What its words must have.
    says: Vec<String>,
}

impl Fault {
    fn new(name: &'static str, more: &[&str], says: &[&str]) -> Self {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        Self { name, prefix: Vec::new(), more: texts(more), says: texts(says) }
    }

    fn behind(self, prefix: &[&str]) -> Self {
        Self { prefix: prefix.iter().map(|text| (*text).to_owned()).collect(), ..self }
    }

    fn set(name: &'static str, key: &str, value: &str, says: &[&str]) -> Self {
        Self::new(name, &["--set", &format!("{key}={value}")], says)
    }
}

/// A shell in mounts of its own that does `prepare` and becomes the program.
fn in_mounts(fault: Fault, prepare: &str) -> Fault {
    fault.behind(&["unshare", "--mount", "sh", "-ec", &format!("{prepare}\nexec \"$@\""), "sh"])
}

/// Faults that anybody can make.
fn plain_faults(cluster: &Cluster, taken: &UdpSocket) -> Vec<Fault> {
    let port = taken.local_addr().expect("a port").port().to_string();
    let foreign = cluster.path("notes.txt");
    fs::write(&foreign, "what somebody else wrote there\n".repeat(300)).expect("a file");
    let folder = cluster.path("folder");
    fs::create_dir_all(&folder).expect("a folder");
    let (foreign, folder) = (foreign.display().to_string(), folder.display().to_string());
    let (tail, counters) = ("replicas.3.tail", "replicas.3.counters");
    vec![
        Fault::new("wrong interface", &["--interface", "nosuch0", "--set", NO_WAIT], &["nosuch0"]),
        Fault::set("busy port", "replicas.3.unicast", &format!("127.0.0.1:{port}"), &[&port]),
        Fault::set("counters in no folder", counters, "/nonexistent/counters", &["/nonexistent/counters"]),
        Fault::set("counters that are a folder", counters, &folder, &[&folder]),
        Fault::set("tail in no folder", tail, "/nonexistent/tail", &["/nonexistent/tail"]),
        Fault::set("tail that is a folder", tail, &folder, &[&folder]),
        Fault::set(
            "tail that is another's file",
            tail,
            &foreign,
            &["is no tail of lockstep", "stays as it is"],
        ),
        Fault::set(
            "tail that is larger than memory",
            "journal.tail_size",
            "1TiB",
            &["make its file system larger"],
        ),
        Fault::new(
            "another cluster",
            &["--set", "cluster=5", "--set", "security.mode=none"],
            &["give the right directory"],
        ),
        Fault::set("keys of another cluster", "cluster", "5", &["LS0124", "give the right file"]),
        Fault::set("no keys", "security.keys", "/nonexistent/keys", &["LS0124", "lockstep keys new"]),
        Fault::set("an address of no interface", "replicas.3.unicast", "192.0.2.77:7999", &["LS0122"]),
        Fault::set("a key that does not exist", "journal.tale_size", "1MiB", &["LS0123"]),
        Fault::set("segments that are too small", "journal.segment_size", "64KiB", &["LS0107"]),
        Fault::new(
            "no such user interface",
            &["--set", "lines.1.interface=\"\"", "--set", NO_WAIT],
            &["this host has no interface of that name"],
        ),
        Fault::set(
            "another replica's journal",
            "replicas.3.journal",
            &cluster.path("journal-2").display().to_string(),
            &[],
        ),
        Fault::set("xdp without a card", "replicas.3.transport", "xdp", &["not an Ethernet card"]),
        Fault::new("few descriptors", &[], &["open files"]).behind(&["prlimit", "--nofile=9:9"]),
        Fault::new("little memory", &[], &[]).behind(&["prlimit", "--as=20000000"]),
    ]
}

/// Faults that take root and mounts.
fn mounted_faults(cluster: &Cluster) -> Vec<Fault> {
    let journal = cluster.path("journal-3").display().to_string();
    let tmpfs = cluster.path("tmpfs").display().to_string();
    fs::create_dir_all(&tmpfs).expect("a folder");
    let tail = format!("{tmpfs}/tail");
    let small =
        Fault::set("tail on a small tmpfs", "replicas.3.tail", &tail, &["make its file system larger"]);
    let counters = Fault::set(
        "counters on a full tmpfs",
        "replicas.3.counters",
        &format!("{tmpfs}/counters"),
        &[&tmpfs],
    );
    vec![
        in_mounts(small, &format!("mount -t tmpfs -o size=1m none {tmpfs}")),
        in_mounts(
            counters,
            &format!(
                "mount -t tmpfs -o size=4k none {tmpfs}\nhead -c 4096 /dev/zero > {tmpfs}/ballast || true"
            ),
        ),
        in_mounts(
            Fault::new("a journal that is read-only", &[], &["make the journal's directory writable"]),
            &format!("mount --bind {journal} {journal}\nmount -o remount,ro,bind {journal}"),
        ),
        in_mounts(
            Fault::new("a journal on a full disk", &[], &["free some space"]),
            &format!(
                "mount -t tmpfs -o size=64m none {tmpfs}\ncp -a {journal} {tmpfs}/j\n\
                 head -c 70000000 /dev/zero > {tmpfs}/ballast || true\nmount --bind {tmpfs}/j {journal}"
            ),
        ),
        in_mounts(
            Fault::new("no folder for shared memory", &["--set", "network.shm=true"], &["/dev/shm"]),
            "mount -t tmpfs -o size=1m,ro none /dev/shm",
        ),
    ]
}

/// Starts replica 3 as it should be started, and has it stop in order once it follows.
fn comes_back(cluster: &Cluster, after: &str) {
    let mut replica = cluster.start_replica(3);
    let followed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| replica.await_log("-> standby")));
    assert!(followed.is_ok(), "after '{after}':\n{}", replica.log());
    assert_eq!(replica.terminate(), Some(0), "after '{after}'");
}

#[test]
fn a_start_that_fails_for_whatever_reason_leaves_everything_as_it_was_also_for_another_boot() {
    let cluster = Cluster::new(3, "");
    let mut replicas = cluster.found();
    cluster.publish("one\ntwo\nthree\n");
    replicas[2].await_log("standby");
    assert_eq!(replicas.pop().expect("three").terminate(), Some(0));
    let taken = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let mut faults = plain_faults(&cluster, &taken);
    if is_root() {
        faults.extend(mounted_faults(&cluster));
    } else {
        println!("SKIPPED: full and read-only file systems need root");
    }
    let foreign = fs::read(cluster.path("notes.txt")).expect("a file");
    let mut wrong = Vec::new();
    for fault in faults {
        let before = stored_files(&cluster, 3);
        let prefix: Vec<&str> = fault.prefix.iter().map(String::as_str).collect();
        let more: Vec<&str> = fault.more.iter().map(String::as_str).collect();
        let failed = attempt(&cluster, &prefix, &more);
        let is_reported = |text: &String| failed.err.contains(text);
        if failed.code == Some(0) || !fault.says.iter().all(is_reported) {
            wrong.push(format!("'{}' ended with {:?}:\n{}", fault.name, failed.code, failed.err));
        }
        if stored_files(&cluster, 3) != before {
            wrong.push(format!("'{}' changed something:\n{}", fault.name, failed.err));
        }
        reboot(&cluster, 3);
        comes_back(&cluster, fault.name);
        println!("{}: exit {:?}, and back", fault.name, failed.code);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(fs::read(cluster.path("notes.txt")).expect("a file") == foreign, "it is somebody else's");
    assert_eq!(super::payloads(&cluster.read(&[]).out), ["one", "two", "three"]);
}

#[test]
fn a_cluster_whose_starts_all_fail_and_whose_machines_are_all_rebooted_comes_back() {
    let cluster = Cluster::new(3, "");
    let replicas = cluster.found();
    cluster.publish("before\n");
    for replica in replicas {
        assert_eq!(replica.terminate(), Some(0));
    }
    for id in ["1", "2", "3"] {
        let args = ["sequencer", "--replica", id, "--interface", "nosuch0", "--set", NO_WAIT];
        cluster.run(&args, b"").with_code(1).saying(&["nosuch0"]);
    }
    (1..=3).for_each(|id| reboot(&cluster, id));
    let replicas: Vec<Process> = (1..=3).map(|id| cluster.start_replica(id)).collect();
    cluster.publish("behind\n");
    assert_eq!(super::payloads(&cluster.read(&[]).out), ["before", "behind"]);
    for replica in replicas {
        assert_eq!(replica.terminate(), Some(0));
    }
}

#[test]
fn a_replica_that_was_killed_and_is_started_on_another_tail_comes_back_on_its_own() {
    let cluster = Cluster::new(3, "");
    let mut replicas = cluster.found();
    cluster.publish("one\n");
    replicas[2].await_log("standby");
    replicas.pop().expect("three").signal("KILL");
    let before = stored_files(&cluster, 3);
    let elsewhere = format!("replicas.3.tail={}", cluster.path("other-tail").display());
    let refused = attempt(&cluster, &[], &["--set", &elsewhere]).with_code(3);
    refused.saying(&[
        "the tail is gone",
        "replicas.N.tail",
        "must not vote under its old identity",
        "nothing was changed",
    ]);
    assert!(!cluster.path("other-tail").exists());
    assert!(stored_files(&cluster, 3) == before);
    comes_back(&cluster, "another tail");
    // And with another size of frames, which has to wait for a stop in order.
    let mut replica = cluster.start_replica(3);
    replica.await_log("-> standby");
    replica.signal("KILL");
    drop(replica);
    let refused = attempt(&cluster, &[], &["--set", "lines.1.mtu=9000"]).with_code(2);
    refused.saying(&["start with the old size once"]);
    comes_back(&cluster, "another MTU");
}

#[test]
fn what_is_refused_by_bootstrap_and_by_a_second_process_leaves_the_journal_for_another_boot() {
    let cluster = Cluster::new(1, "");
    let mut replicas = cluster.found();
    cluster.publish("one\n");
    cluster.run(&["sequencer", "--replica", "1"], b"").with_code(1).saying(&["has it open"]);
    assert_eq!(replicas.remove(0).terminate(), Some(0));
    let before = stored_files(&cluster, 1);
    cluster.run(&["bootstrap", "--replica", "1"], b"").with_code(3).saying(&["holds a history already"]);
    cluster.run(&["format", "--replica", "1"], b"").with_code(2).saying(&["never overwrites"]);
    assert!(stored_files(&cluster, 1) == before);
    reboot(&cluster, 1);
    let mut replica = cluster.start_replica(1);
    replica.await_log("-> leader");
    assert_eq!(super::payloads(&cluster.read(&[]).out), ["one"]);
    assert_eq!(replica.terminate(), Some(0));
}

#[test]
fn a_bootstrap_is_on_the_device_when_it_has_said_so() {
    let cluster = Cluster::new(1, "");
    cluster.format(1);
    cluster.run(&["bootstrap", "--replica", "1"], b"").with_code(0);
    reboot(&cluster, 1);
    let mut replica = cluster.start_replica(1);
    replica.await_log("-> leader");
    assert_eq!(replica.terminate(), Some(0));
}

#[test]
fn two_requests_to_stop_at_once_are_one_and_the_stop_is_clean() {
    let cluster = Cluster::new(1, "");
    let mut replicas = cluster.found();
    for signals in [["TERM", "TERM"], ["TERM", "INT"], ["INT", "TERM"], ["INT", "INT"]] {
        cluster.publish("one more\n");
        let mut replica = replicas.remove(0);
        for signal in signals {
            replica.signal(signal);
            std::thread::sleep(Duration::from_millis(3));
        }
        assert_eq!(replica.wait().code(), Some(0), "{signals:?}:\n{}", replica.log());
        assert!(replica.log().contains("marked clean"), "{}", replica.log());
        reboot(&cluster, 1);
        replicas.push(cluster.start_replica(1));
        replicas[0].await_log("-> leader");
    }
}

#[test]
fn a_second_request_to_stop_after_a_second_ends_it_and_says_what_that_skips() {
    let Some((_cluster, mut replica, _)) = on_a_full_disk() else { return };
    replica.signal("TERM");
    std::thread::sleep(Duration::from_millis(1_200));
    replica.signal("TERM");
    assert_eq!(replica.wait().code(), Some(128 + 15), "{}", replica.log());
    for text in ["ends at once", "in no segment yet", "is not marked clean"] {
        assert!(replica.log().contains(text), "'{text}' is not in:\n{}", replica.log());
    }
}

#[test]
fn few_open_files_are_allowed_more_and_a_lack_of_them_is_no_broken_disk() {
    let cluster = Cluster::new(1, "");
    cluster.format(1);
    cluster.run(&["bootstrap", "--replica", "1"], b"").with_code(0);
    let place = Place::host().behind(&["prlimit", "--nofile=40:4096"]);
    let mut replica =
        cluster.start_command("replica-1", cluster.command_at(&place, &["sequencer", "--replica", "1"]));
    replica.await_log("-> leader");
    let pid = replica.pid().to_string();
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).expect("its limits");
    let open_files = limits.lines().find(|line| line.starts_with("Max open files")).expect("a limit");
    assert!(open_files.split_whitespace().nth(3) == Some("4096"), "{open_files}");
    // From now on it may open nothing more: the journal waits, and says for what.
    let open_files = fs::read_dir(format!("/proc/{pid}/fd")).expect("its files").count();
    let limit = |soft: usize| {
        let set = Command::new("prlimit")
            .args(["--pid", &pid, &format!("--nofile={soft}:4096")])
            .status()
            .expect("prlimit");
        assert!(set.success());
    };
    limit(open_files.saturating_sub(2));
    let more_than_a_segment: String = (0..2_500).map(|number| format!("{number:0600}\n")).collect();
    cluster.publish(&more_than_a_segment);
    replica.await_log("LS1105");
    replica.await_log("the disk is in order");
    limit(4096);
    replica.await_log("over: the system cannot open files for the journal");
    cluster.publish("after that\n");
    assert_eq!(replica.terminate(), Some(0));
}
