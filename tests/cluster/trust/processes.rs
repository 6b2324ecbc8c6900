//! What a daemon keeps of the rights that it was started with: nothing, in any of its threads; and what it
//! reaches, and may call, is what it needs.

use lockstep_testkit::gateways;
use lockstep_testkit::processes::{Cluster, Process, free_address, payloads};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::Path;

/// The name under which the rows of a process's first thread stand.
const MAIN: &str = "the first thread";

/// The rows of /proc/PID/status of each thread of a process that name rights.
fn rights(process: u32) -> Vec<(String, String)> {
    let tasks = std::fs::read_dir(format!("/proc/{process}/task")).expect("its threads");
    let threads = tasks.map(|task| task.expect("a thread").path());
    let rows = threads.flat_map(|thread: std::path::PathBuf| {
        // A thread may end meanwhile.
        let text = |name: &str| std::fs::read_to_string(Path::new(&thread).join(name)).unwrap_or_default();
        let is_main = thread.ends_with(process.to_string());
        let name = if is_main { MAIN.to_owned() } else { text("comm").trim().to_owned() };
        let status = text("status");
        let rows = status.lines().filter(|line| {
            ["CapEff", "CapPrm", "CapInh", "CapAmb", "NoNewPrivs", "Seccomp:"]
                .iter()
                .any(|row| line.starts_with(row))
        });
        rows.map(|row| (name.clone(), row.to_owned())).collect::<Vec<_>>()
    });
    rows.collect()
}

/// Waits until no thread of the process has a right, and each but the thread `unfiltered` has a filter of
/// system calls, and fails where one has not.
fn has_no_rights(id: u32, unfiltered: Option<&str>) {
    let is_gone = |(thread, row): &(String, String)| match row.split_once(':') {
        Some(("NoNewPrivs", value)) => value.trim() == "1",
        Some(("Seccomp", value)) => value.trim() == "2" || unfiltered == Some(thread),
        Some((_, value)) => value.trim().bytes().all(|digit| digit == b'0'),
        None => false,
    };
    for _ in 0..500 {
        let rights = rights(id);
        if !rights.is_empty() && rights.iter().all(is_gone) {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let left: Vec<_> = rights(id).into_iter().filter(|row| !is_gone(row)).collect();
    panic!("process {id} keeps {left:?}");
}

/// A process, and the one that it started to watch it.
fn with_children(process: &Process) -> Vec<u32> {
    let own = process.pid();
    let tasks = std::fs::read_dir(format!("/proc/{own}/task")).expect("its threads");
    let children = tasks.flat_map(|task| {
        let path = task.expect("a thread").path().join("children");
        let text = std::fs::read_to_string(path).unwrap_or_default();
        text.split_whitespace().filter_map(|id| id.parse().ok()).collect::<Vec<u32>>()
    });
    std::iter::once(own).chain(children).collect()
}

#[test]
fn no_daemon_keeps_a_capability_once_it_is_set_up() {
    let cluster = Cluster::new(3, "");
    cluster.add_archiver(9, "");
    let mut daemons = cluster.found();
    daemons.push(cluster.start_archiver(9));
    gateways::add_user(&cluster, "alice", "secret", &[]);
    let gateway = gateways::start(&cluster, "gw1");
    let group = SocketAddrV4::new(Ipv4Addr::new(239, 77, 7, 9), 7_907);
    let feed = ["feed", "--group", &group.to_string(), "--requests", "127.0.0.1:0"];
    daemons.push(cluster.start("feed", &feed));
    let listen = free_address().to_string();
    let mut web = cluster.start("web", &["web", "--listen", &listen, "--interval", "200ms"]);
    web.await_log("the page is at http://");
    daemons.push(web);
    cluster.publish("before\n");
    let watched = with_children(&daemons[0]);
    assert!(watched.len() > 1, "a replica has a watcher: {}", daemons[0].log());
    let score = |id: u32| std::fs::read_to_string(format!("/proc/{id}/oom_score_adj")).expect("its score");
    // Only CAP_SYS_RESOURCE (24) may lower a score; a container's root may be without it.
    let own = std::fs::read_to_string("/proc/self/status").expect("its own status");
    let effective = own.lines().find_map(|line| line.strip_prefix("CapEff:")).expect("a row of CapEff");
    if u64::from_str_radix(effective.trim(), 16).expect("a mask") >> 24 & 1 == 1 {
        assert_eq!((score(watched[0]), score(watched[1])), (score(std::process::id()), "-1000\n".to_owned()));
    }
    // The hot thread of a node has no filter.
    let nodes = daemons[..4].iter().map(|node| (node.pid(), Some(MAIN)));
    let others = [daemons[4].pid(), daemons[5].pid(), gateway.process.pid()]
        .into_iter()
        .chain(watched[1..].iter().copied());
    for (process, unfiltered) in nodes.chain(others.map(|process| (process, None))) {
        has_no_rights(process, unfiltered);
    }
    // And all of them go on: a takeover, and a message through it.
    daemons[0].signal("KILL");
    daemons.remove(0).wait();
    cluster.publish("after\n");
    super::all_run(&mut daemons);
    assert_eq!(payloads(&cluster.read(&["--committed"]).out), ["before", "after"]);
}

/// Somebody who has taken a gateway over reads what its files may be, and no other file of its user.
#[test]
fn a_gateway_reads_its_users_again_and_no_file_outside_of_their_folder() {
    let cluster = Cluster::new(1, "");
    let _replicas = cluster.found();
    gateways::add_user(&cluster, "alice", "secret", &[]);
    let mut gateway = gateways::start(&cluster, "gw1");
    if gateway.process.log().contains("Landlock: ") {
        println!("SKIPPED: this kernel has no Landlock");
        return;
    }
    let mut reload = |text: &str| {
        gateway.process.signal("HUP");
        gateway.process.await_log(text);
    };
    // A file that took the place of the one that was there at the start.
    gateways::add_user(&cluster, "bob", "secret", &[]);
    reload("users read again");
    // A link to one elsewhere, as somebody writes who wants to see what is there.
    let elsewhere = tempfile::tempdir().expect("a folder");
    let (users, moved) = (cluster.path("users.toml"), elsewhere.path().join("users.toml"));
    std::fs::copy(&users, &moved).expect("a copy");
    std::fs::remove_file(&users).expect("it is removed");
    std::os::unix::fs::symlink(&moved, &users).expect("a link");
    reload("the users stay as they were: ");
    assert!(gateway.process.log().contains("Permission denied"), "{}", gateway.process.log());
    assert_eq!(gateway.process.terminate(), Some(0));
}
