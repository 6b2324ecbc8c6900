//! A sequencer and its watcher, as processes: who announces what, and who survives whom.

// Waits for real processes: it reads the clock and sleeps.
use lockstep::config::{Config, KeyUse};
use lockstep_core::engine::ports::{Group, Net};
use lockstep_io::udp::{Udp, UdpSettings};
use lockstep_testkit::processes::{Cluster, Process, command_of};
use lockstep_wire::{Datagram, Header, Keys};
use std::process::Command;
use std::time::{Duration, Instant};

/// Nothing here takes nearly so long.
const PATIENCE: Duration = Duration::from_secs(30);

/// Hears the control group of a cluster.
struct Ears {
    udp: Udp,
    keys: Keys,
}

impl Ears {
    fn of(cluster: &Cluster) -> Self {
        let config = Config::load(Some(&cluster.config()), &[]).unwrap_or_else(|errors| panic!("{errors}"));
        let udp = UdpSettings { joins: vec![Group::Control], unicast_port: 0, ..config.udp() };
        let keys = config.keys(KeyUse::Handle).expect("its keys");
        Self { udp: Udp::open(udp).expect("a device"), keys }
    }

    /// All notices of deaths that are here.
    fn notices(&mut self) -> Vec<Header> {
        let mut notices = Vec::new();
        while let count @ 1.. = self.udp.recv_groups() {
            for index in 0..count {
                if let Ok(Datagram::DeathNotice(header, _)) =
                    Datagram::decode(self.udp.group_datagram(index), &self.keys)
                {
                    notices.push(*header);
                }
            }
        }
        notices
    }
}

/// A replica that leads alone, with the arguments `more`.
fn leader(cluster: &Cluster, more: &[&str]) -> Process {
    found(cluster);
    let mut args = vec!["sequencer", "--replica", "1"];
    args.extend(more);
    let mut leader = cluster.start("leader", &args);
    leader.await_log("-> leader");
    // Before that nothing is announced: it has led nobody.
    leader.await_log("begins at seq");
    leader
}

fn found(cluster: &Cluster) {
    cluster.format(1);
    cluster.run(&["bootstrap", "--replica", "1"], b"").with_code(0);
}

/// The process of the `number`th watcher, as the log has it.
fn watcher(leader: &mut Process, number: u32) -> u32 {
    let head = format!("watcher {number} waits: process ");
    leader.await_log(&head);
    let log = leader.log();
    let (_, tail) = log.split_once(&head).expect("it was awaited");
    let digits = tail.split(|c: char| !c.is_ascii_digit()).next().expect("a number");
    digits.parse().unwrap_or_else(|error| panic!("{error}: {log}"))
}

fn kill(name: &str, process: u32) {
    let status = Command::new("kill").args(["-s", name, &process.to_string()]).status();
    assert!(status.is_ok_and(|status| status.success()), "kill -s {name} {process}");
}

/// Waits until the process is no more, or a corpse that nobody collects.
#[track_caller]
fn await_gone(process: u32) {
    let begun = Instant::now();
    let lives = || {
        let text = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
        let state = text.rsplit(')').next()?.split_whitespace().next()?.to_owned();
        (state != "Z" && state != "X").then_some(())
    };
    while lives().is_some() {
        assert!(begun.elapsed() < PATIENCE, "process {process} is an orphan");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_killed_leader_is_announced_in_its_epoch_and_leaves_no_orphan() {
    let cluster = Cluster::new(1, "");
    let mut leader = leader(&cluster, &[]);
    let (mut ears, watcher) = (Ears::of(&cluster), watcher(&mut leader, 1));
    leader.signal("KILL");
    leader.wait();
    await_gone(watcher);
    let notices = ears.notices();
    assert_eq!(notices.len(), 5, "{}", leader.log());
    assert!(notices.iter().all(|header| header.sender == 1 && header.epoch != 0 && *header == notices[0]));
    // By the mutex mostly; where both threads of the watcher wait for a core, whichever has one first.
    assert!(leader.log().contains("the stamping thread is gone (seen by: "), "{}", leader.log());
}

#[test]
fn a_leader_that_was_elected_is_announced_when_it_is_killed_as_well() {
    let cluster = Cluster::new(3, "");
    let mut replicas = cluster.found();
    cluster.publish("before\n");
    replicas[0].signal("KILL");
    replicas[0].wait();
    let begun = Instant::now();
    let elected = loop {
        if let Some(elected) = (1..3).find(|&index| replicas[index].log().contains("-> leader")) {
            break elected;
        }
        assert!(begun.elapsed() < PATIENCE, "nobody leads:\n{}", replicas[1].log());
        std::thread::sleep(Duration::from_millis(1));
    };
    // It has begun: what is committed now is its own.
    cluster.publish("behind\n");
    let (mut ears, watcher) = (Ears::of(&cluster), watcher(&mut replicas[elected], 1));
    replicas[elected].signal("KILL");
    replicas[elected].wait();
    await_gone(watcher);
    let notices = ears.notices();
    assert_eq!(notices.len(), 5, "{}", replicas[elected].log());
    assert!(notices.iter().all(|header| header.sender == elected as u32 + 1));
}

#[test]
fn a_leader_that_stops_in_order_takes_its_watcher_with_it_in_silence() {
    let cluster = Cluster::new(1, "");
    let mut leader = leader(&cluster, &[]);
    let (mut ears, watcher) = (Ears::of(&cluster), watcher(&mut leader, 1));
    leader.signal("TERM");
    assert_eq!(leader.wait().code(), Some(0));
    await_gone(watcher);
    assert_eq!(ears.notices(), []);
    assert!(leader.log().contains("watcher: the sequencer stopped in order"), "{}", leader.log());
}

#[test]
fn a_killed_watcher_is_replaced_and_the_stream_goes_on() {
    let cluster = Cluster::new(1, "");
    let mut leader = leader(&cluster, &[]);
    let (mut ears, first) = (Ears::of(&cluster), watcher(&mut leader, 1));
    cluster.publish("before\n");
    kill("KILL", first);
    cluster.publish("between\n");
    let second = watcher(&mut leader, 2);
    leader.await_log("another one is started");
    cluster.publish("behind\n");
    assert_eq!(crate::cli::payloads(&cluster.read(&[]).out), ["before", "between", "behind"]);
    assert_eq!(ears.notices(), [], "the leader lives");
    leader.signal("KILL");
    await_gone(second);
    assert_eq!(ears.notices().len(), 5);
}

#[test]
fn a_sequencer_that_shall_have_no_watcher_has_none() {
    let cluster = Cluster::new(1, "");
    let mut leader = leader(&cluster, &["--no-watcher"]);
    cluster.publish("it works without\n");
    for thread in std::fs::read_dir(format!("/proc/{}/task", leader.pid())).expect("a process of Linux") {
        let children = thread.expect("a thread").path().join("children");
        assert_eq!(std::fs::read_to_string(children).unwrap_or_default(), "");
    }
    let log = leader.log();
    assert!(log.contains("runtime.watcher") && !log.contains("waits: process"), "{log}");
    leader.signal("KILL");
    leader.wait();
}

#[test]
fn as_process_1_of_a_container_it_announces_its_death_and_stops_in_order() {
    let unshare = ["--pid", "--fork", "--kill-child"];
    if !Command::new("unshare").args(unshare).arg("true").status().is_ok_and(|status| status.success()) {
        println!("SKIPPED: a process 1 of our own needs root and a process namespace");
        return;
    }
    let only_child = |process: u32| -> u32 {
        let children = format!("/proc/{process}/task/{process}/children");
        let text = std::fs::read_to_string(children).unwrap_or_default();
        text.trim().parse().unwrap_or_else(|error| panic!("{error}: children '{text}'"))
    };
    let cluster = Cluster::new(1, "");
    found(&cluster);
    let mut ears = Ears::of(&cluster);
    let begin = |name: &str| {
        let args = cluster.args(&["sequencer", "--replica", "1"]);
        let mut args: Vec<&str> = args.iter().map(String::as_str).collect();
        args.insert(0, env!("CARGO_BIN_EXE_lockstep"));
        let mut unshared = Command::new("unshare");
        unshared.args(unshare);
        let mut outside = cluster.start_command(name, command_of(unshared, &args));
        outside.await_log("-> leader");
        watcher(&mut outside, 1);
        outside
    };
    let mut outside = begin("stopped");
    kill("TERM", only_child(outside.pid()));
    assert_eq!(outside.wait().code(), Some(0), "{}", outside.log());
    assert_eq!(ears.notices(), []);

    let mut outside = begin("killed");
    kill("KILL", only_child(only_child(outside.pid())));
    assert_eq!(outside.wait().code(), Some(137), "{}", outside.log());
    assert_eq!(ears.notices().len(), 5, "said before process 1 ended: {}", outside.log());
}

/// Stopped, it would announce nothing: for ten minutes nothing said so.
#[test]
fn a_watcher_that_a_signal_has_stopped_is_named_until_it_runs_again() {
    let cluster = Cluster::new(1, "");
    let mut leader = leader(&cluster, &[]);
    let process = watcher(&mut leader, 1);
    for round in 1..=2 {
        kill("STOP", process);
        leader.await_log_times("a signal has stopped the watcher", 2 * round - 1);
        let status = cluster.run(&["status"], b"").with_code(6).out;
        let line = format!("degraded: replica 1: a signal has stopped the watcher, process {process}");
        assert!(status.starts_with(&line), "round {round}: {status}");
        kill("CONT", process);
        leader.await_log_times("over: a signal has stopped the watcher", round);
        cluster.run(&["status"], b"").with_code(0);
    }
    assert_eq!(leader.terminate(), Some(0));
    await_gone(process);
}
