//! The demo: few messages, and everything that it promises.

use lockstep_client::{EVERYBODY, Endpoint, Publisher, PublisherEvent};
use lockstep_daemon::config::{Config, NodeConfig};
use lockstep_testkit::lane::amount;
use lockstep_testkit::netns::{self, Network, Place};
use lockstep_testkit::processes::{PATIENCE, Process, command_of};
use serde_json::Value;
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::net::SocketAddrV4;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// It is the operators' program as well.
const PROGRAM: &str = env!("CARGO_BIN_EXE_lockstep-demo");
/// Between two looks at the processes of this host.
const LOOK: Duration = Duration::from_millis(5);

fn command(args: &[&str]) -> Command {
    command_of(Command::new(PROGRAM), args)
}

fn demo(args: &[&str]) -> std::process::Output {
    demo_at(&Place::host(), args)
}

fn demo_at(place: &Place, args: &[&str]) -> std::process::Output {
    let mut command = place.command(PROGRAM);
    command.arg("demo").args(args).output().expect("the demo runs")
}

/// A host with a card.
fn host_with_card() -> Option<Network> {
    if let Some(reason) = netns::unsupported() {
        println!("SKIPPED: {reason}");
        return None;
    }
    Some(Network::new(1))
}

/// Without gateways: threads that look at memory and check passwords as well want more than two cores.
const BY_SHM: [&str; 3] = ["--transport", "shm", "--direct"];
/// Likewise.
const BY_XDP: [&str; 5] = ["--transport", "xdp", "--interface", "eth0", "--direct"];

/// All orders were sent, heard and answered, by everybody's word, and none of it is wrong.
fn assert_faultless(report: &Value, all: u64) {
    let clients = &report["clients"]["summary"];
    let subscribers = report["subscribers"].as_array().cloned().unwrap_or_default();
    assert_eq!(subscribers.len(), 2, "{report}");
    for seen in subscribers.iter().map(|row| &row["summary"]).chain([clients]) {
        for key in ["lost", "duplicated", "out_of_order", "altered"] {
            assert_eq!(seen[key], 0, "{key} in {seen}");
        }
        assert_eq!([&seen["orders"], &seen["answers"]], [&Value::from(all); 2], "{seen}");
    }
    let exchange = &report["exchange"];
    assert_eq!([&exchange["orders"], &exchange["answers"]], [&Value::from(all); 2], "{exchange}");
}

#[test]
fn everybody_ends_with_one_digest_and_each_order_is_answered_once_and_in_order() {
    ends_with_one_digest(&Place::host(), &[]);
}

/// What memory carries, the network need not: all that it brings is what was said while one was found.
#[test]
fn by_shared_memory_everybody_ends_with_one_digest_too() {
    ends_with_one_digest(&Place::host(), &["--transport", "shm"]);
}

#[test]
fn xdp_on_the_loopback_is_refused_with_what_to_name_instead() {
    let output = demo(&["--transport", "xdp"]);
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{log}");
    assert!(log.contains("--transport xdp needs an Ethernet card") && log.contains("--interface"), "{log}");
}

fn ends_with_one_digest(place: &Place, by: &[&str]) {
    let output = demo_at(place, &[&["--messages", "3000", "--rate", "5000", "--json"], by].concat());
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{log}");
    let report: Value = serde_json::from_slice(&output.stdout).expect("one JSON document");
    assert_eq!((&report["schema"], &report["ok"]), (&"lockstep.demo/2".into(), &true.into()));
    assert_eq!(report["transport"], *by.get(1).unwrap_or(&"udp"));
    assert_faultless(&report, 3000);
    let rows = |key: &str| report[key].as_array().cloned().unwrap_or_default();
    let subscribers: Vec<Value> = rows("subscribers").iter().map(|row| row["summary"].clone()).collect();
    for seen in &subscribers {
        assert_eq!(seen["publishers"], 2);
        let latency = &seen["latency"];
        assert!(
            latency["p99_ns"].is_u64() && latency["p999_ns"].is_null(),
            "3 samples lie above p99.9: {latency}"
        );
        assert!(latency["p50_ns"].as_u64() <= latency["max_ns"].as_u64());
        assert!(seen["quiet_latency"]["p50_ns"].is_u64(), "150 of the orders come first, at a low rate");
    }
    let stamped: Vec<_> = subscribers.iter().map(|seen| seen["stamped"].clone()).collect();
    assert_eq!(stamped, [Value::from(true), Value::from(false)]);
    let journals = rows("journals");
    // An order and its answer each; a gateway's signs of life are told to nobody as messages.
    let messages = subscribers[0]["messages"].as_u64().expect("a count");
    assert_eq!((journals.len(), messages), (3, 6000), "{report}");
    assert!(journals.iter().all(|row| row["messages"] == messages), "{journals:?}");
    let digests: BTreeSet<_> =
        subscribers.iter().chain(&journals).map(|row| row["digest"].as_str().unwrap_or_default()).collect();
    assert_eq!(digests.len(), 1, "{digests:?}");
    assert_eq!((rows("replicas").len(), rows("gateways").len(), rows("publishers").len()), (3, 2, 0));
    // What it made is gone.
    let folder = log.lines().find_map(|line| line.split_once("temporary files in ")).expect("a folder").1;
    assert!(!Path::new(folder).exists(), "{folder} is left");
}

#[test]
fn while_leaders_are_killed_and_stopped_nothing_is_lost_doubled_or_out_of_order() {
    outlives_its_leaders(&Place::host(), &[]);
}

#[test]
fn while_leaders_are_killed_and_stopped_nothing_that_memory_carries_is_lost_doubled_or_out_of_order() {
    outlives_its_leaders(&Place::host(), &BY_SHM);
}

/// Among those leaders is the owner of the card.
#[test]
fn while_leaders_of_a_shared_card_are_killed_and_stopped_nothing_is_lost_doubled_or_out_of_order() {
    let Some(network) = host_with_card() else { return };
    outlives_its_leaders(network.node(1).place(), &BY_XDP);
}

fn outlives_its_leaders(place: &Place, by: &[&str]) {
    let (messages, kills) = amount((12_000, 2), (30_000, 3));
    let (messages_text, kills_text) = (messages.to_string(), kills.to_string());
    let args = ["--messages", &messages_text, "--rate", "2000", "--kill-leader", &kills_text, "--json"];
    let output = demo_at(place, &[&args, by].concat());
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{log}");
    let report: Value = serde_json::from_slice(&output.stdout).expect("one JSON document");
    assert_eq!(report["ok"], true, "{report}");
    let rows = |key: &str| report[key].as_array().cloned().unwrap_or_default();
    let takeovers = rows("takeovers");
    let ways: Vec<_> = takeovers.iter().map(|row| row["how"].as_str().unwrap_or_default()).collect();
    assert_eq!(ways, ["killed", "stopped", "killed"][..kills]);
    for takeover in &takeovers {
        assert!(takeover["next_epoch"].is_string() && takeover["gap_ns"].is_u64(), "{takeover}");
    }
    if !by.contains(&"--direct") {
        assert_faultless(&report, messages);
    }
    let digests: BTreeSet<_> = rows("journals").iter().map(|row| row["digest"].to_string()).collect();
    assert_eq!((rows("journals").len(), digests.len()), (3, 1), "{digests:?}");
}

/// Leader, two standbys, gateways, and a stamped and a committed subscriber, in a process each; nobody
/// multicasts, or everybody may. A leader that is killed comes back.
#[test]
fn by_unicast_and_by_auto_a_killed_leader_is_replaced_and_nothing_is_lost_doubled_or_out_of_order() {
    for transport in ["unicast", "auto"] {
        let kills = ["--messages", "8000", "--rate", "2000", "--kill-leader", "1", "--json"];
        let output = demo(&[&["--transport", transport][..], &kills].concat());
        let log = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(0), "{transport}: {log}");
        let report: Value = serde_json::from_slice(&output.stdout).expect("one JSON document");
        assert_eq!(report["ok"], true, "{transport}: {report}");
        assert_eq!(report["takeovers"].as_array().map(Vec::len), Some(1), "{transport}: {report}");
        assert_faultless(&report, 8_000);
        let journals = report["journals"].as_array().cloned().unwrap_or_default();
        let digests: BTreeSet<_> = journals.iter().map(|row| row["digest"].to_string()).collect();
        assert_eq!((journals.len(), digests.len()), (3, 1), "{transport}: {digests:?}");
    }
}

#[test]
fn while_gateways_are_killed_each_order_is_stamped_once_and_answered_once_and_in_order() {
    let messages = amount(20_000, 40_000);
    let args = ["--messages", &messages.to_string(), "--rate", "4000", "--kill-gateway", "2", "--json"];
    let output = demo(&args);
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{log}");
    let report: Value = serde_json::from_slice(&output.stdout).expect("one JSON document");
    assert_eq!(report["ok"], true, "{report}");
    assert_faultless(&report, messages);
    let kills = report["gateway_kills"].as_array().cloned().unwrap_or_default();
    let killed: Vec<_> = kills.iter().map(|kill| kill["gateway"].clone()).collect();
    assert_eq!(killed, [1, 2]);
    assert!(kills.iter().all(|kill| kill["wait_ns"].is_u64()), "every kill cut somebody: {kills:?}");
    // The first kill moves one client, the second both.
    assert!(report["clients"]["summary"]["logins"].as_u64() >= Some(3), "{report}");
}

#[test]
fn on_a_network_that_loses_repeats_and_reorders_nothing_is_lost_doubled_or_out_of_order() {
    weathers_losses(&Place::host(), &[]);
    weathers_losses(&Place::host(), &["--transport", "unicast"]);
}

#[test]
fn by_memory_that_loses_repeats_and_reorders_nothing_is_lost_doubled_or_out_of_order() {
    weathers_losses(&Place::host(), &BY_SHM);
}

/// By the card, and by the memory that its owner hands on with.
#[test]
fn on_a_shared_card_that_loses_repeats_and_reorders_nothing_is_lost_doubled_or_out_of_order() {
    let Some(network) = host_with_card() else { return };
    weathers_losses(network.node(1).place(), &BY_XDP);
}

/// The fault asked for happens (the replicas lost something, and were repaired), and nobody's stream shows
/// it.
fn weathers_losses(place: &Place, by: &[&str]) {
    let network_model = ["--loss", "1%", "--duplicate", "1%", "--reorder", "5%", "--loss-seed", "7"];
    let mut args = vec!["--messages", "10000", "--rate", "5000", "--json"];
    args.extend(network_model.iter().chain(by));
    let output = demo_at(place, &args);
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{log}");
    let report: Value = serde_json::from_slice(&output.stdout).expect("one JSON document");
    assert_eq!(report["ok"], true, "{report}");
    let faulty = ["loss = \"1%\"", "duplication = \"1%\"", "reordering = \"5%\"", "seed = 7"];
    assert_eq!(report["fault_injection"], Value::from(faulty.to_vec()));
    let sum = |key: &str| -> u64 {
        let rows = report["replicas"].as_array().cloned().unwrap_or_default();
        rows.iter().map(|row| row[key].as_u64().unwrap_or(0)).sum()
    };
    assert!(sum("fault_injection_lost") > 0 && sum("repairs_in") > 0, "{report}");
    if !by.contains(&"--direct") {
        assert_faultless(&report, 10_000);
    }
}

#[test]
fn a_flow_that_is_over_before_the_last_kill_is_refused_beforehand() {
    let output = demo(&["--messages", "20000", "--kill-leader", "2"]);
    assert_eq!(output.status.code(), Some(2));
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(
        log.contains("over after 1.0 s") && log.contains("give --messages 80000, or --rate 5000"),
        "{log}"
    );
}

#[test]
fn without_gateways_there_is_none_to_kill() {
    let output = demo(&["--direct", "--kill-gateway"]);
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{log}");
    assert!(log.contains("'--direct' cannot be used with '--kill-gateway"), "{log}");
}

#[test]
fn a_flag_that_does_not_exist_is_refused_and_the_right_one_is_proposed() {
    let output = demo(&["--mesages", "5"]);
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{log}");
    assert!(
        log.contains("--mesages") && log.contains("--messages") && log.contains("lockstep demo"),
        "{log}"
    );
}

#[test]
fn without_a_command_it_is_the_demo() {
    let help = |args: &[&str]| {
        let output = Command::new(PROGRAM).args(args).output().expect("a run");
        assert_eq!(output.status.code(), Some(0), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    assert_eq!(help(&["--help"]), help(&["demo", "--help"]));
    assert!(help(&["--help"]).contains("Usage: lockstep demo [OPTIONS]"), "{}", help(&["--help"]));
    assert!(help(&["dev", "--help"]).contains("--until-stdin-ends"));
}

#[test]
fn a_loss_that_is_no_share_is_refused_with_how_to_write_it() {
    let output = demo(&["--loss", "1"]);
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{log}");
    assert!(log.contains("it has no %; write percent: \"1%\" or \"0.01%\""), "{log}");
}

#[test]
fn publishers_as_fast_as_possible_end_the_same_and_what_is_kept_can_be_verified() {
    let output = demo(&["--direct", "--messages", "20000", "--rate", "0", "--keep"]);
    let (out, log) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{log}");
    let conclusion = "all right: equal digests at 2 subscribers and 3 journals, 0 lost, 0 duplicated";
    assert_eq!(out.lines().next(), Some(&format!("{conclusion},")[..]), "the verdict comes first");
    let wide: Vec<_> = out.lines().filter(|line| line.chars().count() > 80).collect();
    assert!(wide.is_empty(), "lines of more than 80 columns: {wide:#?}");
    let digests: BTreeSet<_> = out
        .lines()
        .filter_map(|line| line.split_whitespace().last())
        .filter(|word| word.len() == 32)
        .collect();
    assert_eq!(digests.len(), 1, "{out}");
    let folder = log.lines().find_map(|line| line.split_once("kept: ")).expect("a folder").1;
    let file = format!("{folder}/lockstep.toml");
    let config = Config::load(Some(Path::new(&file)), &[]).unwrap_or_else(|errors| panic!("{errors}"));
    for id in 1..=3 {
        let journal = config.node(id).expect("a replica of the file").journal;
        lockstep_node::verify(&journal).unwrap_or_else(|damage| panic!("{damage}"));
    }
    remove_memory_folder(&std::fs::read_to_string(&file).expect("the file"));
    std::fs::remove_dir_all(folder).expect("it was kept");
}

/// A demo that would go on for hours.
struct Running {
    demo: Process,
    folder: String,
    /// It has the demo's log.
    _logs: TempDir,
}

impl Running {
    /// Starts it and waits until its replicas run.
    fn start() -> Self {
        let logs = TempDir::new().expect("a folder");
        let command = command(&["demo", "--messages", "1000000000"]);
        let mut demo = Process::start("demo", command, logs.path().join("demo.log"));
        demo.await_log("leads");
        let log = demo.log();
        let folder = log.lines().find_map(|line| line.split_once("temporary files in ")).expect("a folder").1;
        Self { demo, folder: folder.to_owned(), _logs: logs }
    }

    /// Processes that it started, with their arguments.
    fn processes(&self) -> Vec<(String, String)> {
        let all = std::fs::read_dir("/proc").expect("/proc").filter_map(Result::ok);
        let ours = all.filter_map(|entry| {
            let pid = entry.file_name().to_string_lossy().parse::<u32>().ok()?.to_string();
            let args = std::fs::read(entry.path().join("cmdline")).ok()?;
            let args = String::from_utf8_lossy(&args).replace('\0', " ");
            args.contains(&self.folder).then_some((pid, args))
        });
        ours.collect()
    }

    /// Its exit code and what it had to say.
    fn end(mut self) -> (Option<i32>, String) {
        let code = self.demo.wait().code();
        assert!(self.processes().is_empty(), "these live on: {:?}", self.processes());
        assert!(!Path::new(&self.folder).exists(), "{} is left", self.folder);
        (code, self.demo.log())
    }
}

fn kill(signal: &str, pid: &str) {
    let status = Command::new("kill").args(["-s", signal, pid]).status();
    assert!(status.is_ok_and(|status| status.success()), "kill -s {signal} {pid}");
}

#[test]
fn a_demo_that_is_told_to_stop_leaves_nothing_behind() {
    let demo = Running::start();
    demo.demo.signal("INT");
    let (code, log) = demo.end();
    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains("stopped before the end"), "{log}");
}

#[test]
fn a_process_that_dies_early_is_named_with_its_last_words() {
    for (name, args, last_words) in [
        ("replica-2", "--replica 2", "effective idle"),
        ("subscriber-stamped", "--stamped", "(none)"),
        ("gateway-1", "--name 1", ""),
    ] {
        let demo = Running::start();
        let began = Instant::now();
        let pid = loop {
            if let Some((pid, _)) = demo.processes().into_iter().find(|(_, found)| found.contains(args)) {
                break pid;
            }
            assert!(began.elapsed() < PATIENCE, "{name} was never started");
            std::thread::sleep(LOOK);
        };
        kill("KILL", &pid);
        let (code, log) = demo.end();
        assert_eq!(code, Some(1), "{log}");
        assert!(log.contains(&format!("{name} ended early (signal: 9")), "{log}");
        assert!(log.contains("last words") && log.contains(last_words), "{log}");
    }
}

#[test]
fn no_process_outlives_a_demo_that_is_killed() {
    let mut demo = Running::start();
    assert!(demo.processes().len() >= 3);
    demo.demo.signal("KILL");
    demo.demo.wait();
    // It could not clean up; its children end by themselves, as their pipe is broken.
    let began = Instant::now();
    while !demo.processes().is_empty() {
        assert!(began.elapsed() < PATIENCE, "these live on: {:?}", demo.processes());
        std::thread::sleep(LOOK);
    }
    let config = std::fs::read_to_string(format!("{}/lockstep.toml", demo.folder)).expect("the file");
    remove_memory_folder(&config);
    std::fs::remove_dir_all(&demo.folder).expect("it was left");
}

/// The tails and counters lie in memory, in a folder of their own.
pub fn remove_memory_folder(config: &str) {
    let tail =
        config.lines().find_map(|line| line.strip_prefix("tail = ")).expect("a tail").trim_matches('"');
    std::fs::remove_dir_all(Path::new(tail).parent().expect("a folder")).expect("it was left");
}

/// Everything that a program of an exchange is written against: each is reached where `dev` says, also after
/// its process was killed.
#[test]
fn a_cluster_for_development_has_keys_a_gateway_fix_and_feeds_where_it_says() {
    let logs = TempDir::new().expect("a folder");
    let args = ["--set", "stream.message_len_max=1024", "--gateway", "--fix", "--feed", "3", "--feed", "4"];
    let program = command(&[&["dev", "--until-stdin-ends"][..], &args].concat());
    let mut dev = Process::start("dev", program, logs.path().join("dev.log"));
    let mut lines = BufReader::new(dev.take_stdout()).lines();
    let mut after = |mark: &str| {
        let line = lines.by_ref().map(|line| line.expect("UTF-8")).find(|line| line.contains(mark));
        line.expect(mark).split(mark).nth(1).unwrap_or_default().to_owned()
    };
    let file = after("export LOCKSTEP_CONFIG=");
    let soup = after("SoupBinTCP at ");
    let fix = after("FIX at ");
    let feeds = [after("MoldUDP64 of channel 3 at "), after("MoldUDP64 of channel 4 at ")];
    assert!(
        soup.ends_with(": user dev, password dev") && fix.contains(": SenderCompID fixdev, "),
        "{soup} {fix}"
    );
    let config = std::fs::read_to_string(&file).expect("the file that it prints");
    for part in ["message_len_max = 1024", "failure_timeout = \"400ms\"", "id = 3", "id = 4"] {
        assert!(config.contains(part), "{part} in:\n{config}");
    }
    let address = |line: &str| line.split(':').take(2).collect::<Vec<_>>().join(":");
    let await_listening = |line: &str| {
        let (address, began) = (address(line), Instant::now());
        while std::net::TcpStream::connect(&address).is_err() {
            assert!(began.elapsed() < PATIENCE, "nobody listens at {address}");
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    await_listening(&soup);
    await_listening(&fix);

    // Each feed sends to its group.
    let groups: Vec<SocketAddrV4> = feeds
        .iter()
        .map(|line| line.split(',').next().expect("a group").parse().expect("an address"))
        .collect();
    assert_ne!(groups[0], groups[1]);
    for group in &groups {
        let socket = std::net::UdpSocket::bind((*group.ip(), group.port())).expect("a socket on the group");
        socket.join_multicast_v4(group.ip(), &std::net::Ipv4Addr::LOCALHOST).expect("the loopback");
        socket.set_read_timeout(Some(PATIENCE)).expect("a time");
        assert!(socket.recv(&mut [0; 2048]).expect("a heartbeat of the feed") >= 20);
    }

    let gateway = dev_process(dev.pid(), "gateway");
    kill("KILL", &gateway.to_string());
    dev.await_log("dev: gateway is process");
    await_listening(&soup);
    drop(dev.stdin().take());
    assert!(dev.wait().success());
    assert!(std::net::TcpStream::connect(address(&fix)).is_err(), "it ends with the cluster");
}

/// The child of `parent` that runs this command.
fn dev_process(parent: u32, command: &str) -> u32 {
    let children =
        std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).expect("a process");
    let runs = |pid: &&str| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.split(|byte| *byte == 0).nth(1) == Some(command.as_bytes())
    };
    children.split_whitespace().find(runs).expect(command).parse().expect("a number")
}

/// A cluster for writing programs: it prints its file, serves the commands that it names, starts a killed
/// replica again, and leaves nothing behind.
#[test]
fn a_cluster_for_development_prints_its_file_survives_a_killed_leader_and_leaves_nothing_behind() {
    let logs = TempDir::new().expect("a folder");
    let mut program = command(&["dev", "--until-stdin-ends"]);
    program.env("PATH", "/nonexistent");
    let mut dev = Process::start("dev", program, logs.path().join("dev.log"));
    let mut lines = BufReader::new(dev.take_stdout()).lines();
    let mut after = |mark: &str| {
        let line = lines.by_ref().map(|line| line.expect("UTF-8")).find(|line| line.contains(mark));
        line.expect(mark).split(mark).nth(1).unwrap_or_default().trim().to_owned()
    };
    let file = after("export LOCKSTEP_CONFIG=");
    let folder = Path::new(PROGRAM).parent().expect("its folder");
    assert_eq!(after("export PATH="), format!("\"{}:$PATH\"", folder.display()));
    let leader = after("kill -9 ");
    let leader = leader.split(' ').next().expect("a number");
    assert!(Path::new(&file).exists());

    let endpoint = Endpoint::from_file(Path::new(&file)).unwrap_or_else(|error| panic!("{error}"));
    let publish = || {
        let mut publisher = Publisher::connect(&endpoint).expect("a publisher");
        let me = publisher.open("me", PATIENCE).expect("a name");
        publisher.try_publish(me, EVERYBODY, b"hello").expect("room in the window");
        let (mut committed, began) = (false, Instant::now());
        while !committed {
            publisher.poll(64, |event| committed |= matches!(event, PublisherEvent::Committed { .. }));
            assert!(began.elapsed() < PATIENCE, "nothing is committed");
        }
    };
    publish();
    kill("KILL", leader);
    publish();
    dev.await_log("is process");
    // It names the next leader, which may be killed as well.
    dev.await_log("leads; `kill -9 ");
    let log = dev.log();
    let next =
        log.split("leads; `kill -9 ").nth(1).and_then(|rest| rest.split('`').next()).expect("a number");
    assert_ne!(next, leader);
    kill("KILL", next);
    publish();
    dev.await_log_times("is process", 2);

    drop(dev.stdin().take());
    assert!(dev.wait().success());
    assert!(!Path::new(&file).exists(), "its folder is gone");
}
