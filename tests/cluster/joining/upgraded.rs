//! A rolling upgrade in the middle of a join by a checkpoint: the log rises to the next version before, while
//! and after the tables come, and nodes of the release before do not know the request for tables.

use super::*;
use lockstep_client::{Endpoint, Publisher, PublisherEvent};
use lockstep_io::udp::free_port;
use lockstep_node::local::node_keys;
use lockstep_testkit::flow::Feed;
use lockstep_testkit::lane::amount;
use lockstep_testkit::processes::{busy, program};
use lockstep_testkit::release;
use lockstep_wire::{VERSION, VERSION_MIN};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::{Path, PathBuf};

/// Names whose tables take seconds at the rate of [`TABLES`], and few of them.
const NAMES: [usize; 2] = [12_000, 10];
/// Opens that are under way at a time.
const OPENS_MAX: usize = 256;
/// The least rate at which journals are given while the stream moves.
const TABLES: &str = "[replay]\nrate = \"1MiB\"\n\n[stream]";

/// When the operator ends the upgrade.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Moment {
    /// The joiner waits for a source that is down, and has asked for no tables.
    Before,
    /// Parts of the tables are on their way.
    Between,
    /// The joiner has begun, and is no member yet.
    After,
}

/// Opens so many names, as long as may be.
fn open_names(cluster: &Cluster, count: usize) {
    let endpoint = Endpoint::from_file(cluster.config()).expect("the cluster's file");
    let mut publisher = Publisher::connect(&endpoint).expect("a cluster");
    let (mut begun, mut opened, since) = (0, 0, Instant::now());
    while opened < count {
        while begun < count && begun - opened < OPENS_MAX {
            let ticket = publisher.begin_open(&format!("{begun:0>64}"), [begun as u64 + 1, 7]);
            assert!(ticket.is_some(), "{begun} names");
            begun += 1;
        }
        publisher.poll(256, |event| opened += usize::from(matches!(event, PublisherEvent::Opened { .. })));
        assert!(since.elapsed() < PATIENCE, "{opened} of {begun} names are open");
    }
}

/// Three members of the oldest version.
fn found_of_oldest_version() -> (Cluster, Vec<Process>) {
    let cluster = Cluster::new(3, &SMALL.replace("[stream]", TABLES));
    let identities: Vec<_> = (1..=3).map(|id| cluster.format(id)).collect();
    let version = VERSION_MIN.to_string();
    let mut args = vec!["bootstrap", "--replica", "1", "--log-version", &version];
    identities[1..].iter().for_each(|identity| args.extend(["--identity", identity]));
    cluster.run(&args, b"").with_code(0);
    let mut replicas: Vec<_> = (1..=3).map(|id| cluster.start_replica(id)).collect();
    replicas[0].await_log("-> leader");
    (cluster, replicas)
}

/// The same with so many names, and without its beginning.
fn of_oldest_version(names: usize) -> (Cluster, Vec<Process>) {
    let (cluster, replicas) = found_of_oldest_version();
    open_names(&cluster, names);
    cluster.publish(&lines(0, 4_000));
    stop(&cluster, replicas);
    trim(&cluster, names + 2_000);
    let replicas = start(&cluster);
    (cluster, replicas)
}

/// The versions of the nodes' logs, as they tell them, the oldest first.
fn versions(cluster: &Cluster) -> Vec<u64> {
    let shown = cluster.run(&["upgrade", "--json"], b"").out;
    let nodes = json(&shown)["nodes"].as_array().expect("a list").clone();
    let mut versions: Vec<_> = nodes.iter().filter_map(|node| node["version"].as_u64()).collect();
    versions.sort_unstable();
    versions
}

/// Ends the upgrade once every node answers. A command whose answer was lost is repeated, and finds it ended.
fn finish(cluster: &Cluster) {
    until("the end of the upgrade", || {
        let finish = cluster.run(&["upgrade", "--finish"], b"");
        finish.code == Some(0) || finish.err.contains("no node speaks a newer one")
    });
}

/// Starts replica 3, with an archiver in its own file that does not run. Replica 3 waits for the archiver, as
/// for a restart, before it asks for tables.
fn start_waiting(cluster: &Cluster) -> Process {
    let text = fs::read_to_string(cluster.config()).expect("the configuration");
    let unicast = free_port(Ipv4Addr::LOCALHOST).expect("a free port");
    let folder = cluster.path("nobody");
    let keys = node_keys(101, SocketAddrV4::new(Ipv4Addr::LOCALHOST, unicast), &folder, &folder);
    let file = cluster.path("joiner.toml");
    fs::write(&file, format!("{text}\n[[archivers]]\n{keys}")).expect("writing");
    let file = file.display().to_string();
    cluster.start_command("replica-3", command(&["sequencer", "--replica", "3", "--config", &file]))
}

/// One join with the order at `moment`, behind which the joiner is killed and started again.
fn joins_while_the_log_rises(moment: Moment) {
    let (cluster, mut replicas) = of_oldest_version(NAMES[usize::from(moment != Moment::Between)]);
    assert_eq!(versions(&cluster), [u64::from(VERSION_MIN); 3]);
    kill(replicas.pop().expect("replica 3"));
    let old = member(&cluster, 3);
    lose(&cluster, 3);
    let new = cluster.format(3);
    // The stream moves, so that the tables come at their rate.
    let feed = Feed::start(&cluster, cluster.clients(), "flow", 500, "60s");
    let begins = "this one begins with the tables";
    let gives = |replicas: &[Process]| replicas.iter().any(|replica| replica.log().contains("replay begins"));
    let mut joiner = match moment {
        Moment::Before => start_waiting(&cluster),
        Moment::Between | Moment::After => cluster.start_replica(3),
    };
    match moment {
        Moment::Before => {}
        Moment::Between => until("the first part", || gives(&replicas)),
        Moment::After => joiner.await_log(begins),
    }
    finish(&cluster);
    let (has_tables, had_begun) = (gives(&replicas), joiner.log().contains(begins));
    println!(
        "{moment:?}: when the log had risen, tables were given: {has_tables}, the joiner had begun: {had_begun}"
    );
    start_killed(&cluster, &mut joiner, 3);
    cluster.run(&["membership", "replace", &old, &new, "--timeout", "100s"], b"").with_code(0);
    let result = feed.finish();
    assert_eq!((result.code, result.published), (Some(0), result.committed), "{}", result.log);
    is_healthy(&cluster);
    has_log_of(&cluster, 3, 1);
    has_log_of(&cluster, 3, 2);
    assert_eq!(versions(&cluster), [u64::from(VERSION); 3]);

    // It starts again on what it has, and counts in the new version.
    start_killed(&cluster, &mut joiner, 3);
    is_healthy(&cluster);
    for (replica, id) in replicas.iter_mut().zip(1..) {
        start_killed(&cluster, replica, id);
        cluster.run(&["wait", "--for", "leader", "--timeout", "60s"], b"").with_code(0);
        cluster.publish(&lines(4_000, 4_100));
        is_healthy(&cluster);
    }
    has_log_of(&cluster, 3, 1);
}

/// Kills replica `id`, and starts it again.
fn start_killed(cluster: &Cluster, replica: &mut Process, id: u32) {
    replica.signal("KILL");
    replica.wait();
    *replica = cluster.start_replica(id);
}

#[test]
fn the_log_rises_before_between_and_behind_the_tables_with_which_a_killed_node_begins() {
    let _place = busy();
    for moment in [Moment::Before, Moment::Between, Moment::After] {
        joins_while_the_log_rises(moment);
    }
}

/// The program of the release before, or `None` after the test has said why it is skipped.
fn previous() -> Option<PathBuf> {
    release::previous(amount(false, true)).inspect_err(|why| println!("SKIPPED: {why}")).ok()
}

/// Stops replica `id` and starts it in `program`, on the same files.
fn restart_in(cluster: &mut Cluster, replica: &mut Process, id: u32, program: &Path) {
    cluster.use_program(program);
    replica.signal("TERM");
    assert!(replica.wait().success(), "{}", replica.log());
    *replica = cluster.start_replica(id);
    cluster.run(&["wait", "--for", "leader", "--timeout", "60s"], b"").with_code(0);
}

/// A release that does not know the request for tables refuses it. The joiner says so, and asks again; it
/// begins with the tables of the first node that is upgraded, while the leader is still of the release
/// before. The joiner can go back to that release on its files until the operator ends the upgrade.
#[test]
fn a_blank_node_says_that_older_releases_give_no_tables_and_begins_with_the_first_that_is_upgraded() {
    let Some(previous) = previous() else { return };
    let _place = busy();
    let current = program();
    let mut cluster = Cluster::new(3, SMALL);
    cluster.use_program(&previous);
    let replicas = cluster.found();
    cluster.publish(&lines(0, 4_000));
    stop(&cluster, replicas);
    // The release before has no such command; its journals are those that its retention shortens.
    cluster.use_program(&current);
    trim(&cluster, 2_000);
    cluster.use_program(&previous);
    let mut replicas = start(&cluster);
    cluster.use_program(&current);
    kill(replicas.remove(2));
    let old = member(&cluster, 3);
    lose(&cluster, 3);
    let (new, mut joiner) = fresh(&cluster, 3);
    joiner.await_log("LS1107");
    joiner.await_log(
        "have an earlier release, which sends no tables to a node without entries: upgrade one of them",
    );
    let refused = cluster.run(&["membership", "replace", &old, &new, "--timeout", "60s"], b"").with_code(4);
    refused.saying(&["cannot join", "upgrade the other nodes to this release"]);

    // A standby is upgraded: it gives.
    let standby = if cluster.leader() == 1 { 2 } else { 1 };
    restart_in(&mut cluster, &mut replicas[standby as usize - 1], standby, &current);
    joiner.await_log("this one begins with the tables");
    cluster.run(&["membership", "replace", &old, &new, "--timeout", "60s"], b"").with_code(0);
    cluster.publish(&lines(4_000, 4_100));
    is_healthy(&cluster);
    has_log_of(&cluster, 3, standby);

    // Back, and forward again.
    restart_in(&mut cluster, &mut joiner, 3, &previous);
    cluster.publish(&lines(4_100, 4_200));
    cluster.use_program(&current);
    is_healthy(&cluster);
    has_log_of(&cluster, 3, standby);
    restart_in(&mut cluster, &mut joiner, 3, &current);
    let leader = 3 - standby;
    restart_in(&mut cluster, &mut replicas[leader as usize - 1], leader, &current);
    is_healthy(&cluster);
    finish(&cluster);
    cluster.publish(&lines(4_200, 4_300));
    is_healthy(&cluster);
    for id in [1, 2] {
        has_log_of(&cluster, 3, id);
    }
    assert_eq!(versions(&cluster), [u64::from(VERSION); 3]);
}

/// Between the tables and the first segment an older release finds a journal that ends before the end that
/// its tail names. The older release refuses such a journal, and this release starts on it.
#[test]
fn a_node_killed_as_it_begins_goes_on_here_and_the_release_before_takes_its_journal_or_refuses_it_in_words() {
    let Some(previous) = previous() else { return };
    let _place = busy();
    let (mut cluster, mut replicas) = of_oldest_version(0);
    kill(replicas.remove(2));
    let mut refused = 0;
    for pause_ms in [0, 2, 5, 10, 20, 40, 80] {
        lose(&cluster, 3);
        let (_, joiner) = fresh(&cluster, 3);
        until("the tables", || joiner.log().contains("this one begins with the tables"));
        std::thread::sleep(Duration::from_millis(pause_ms));
        kill(joiner);
        cluster.use_program(&previous);
        let mut older = cluster.start_replica(3);
        until("a start or a refusal", || older.log().contains(" identity=3:") || older.ended().is_some());
        if let Some(ended) = older.ended() {
            refused += 1;
            let log = older.log();
            assert!(
                ended.code() == Some(3) && log.contains("the segments end at 1 in epoch"),
                "{ended}: {log}"
            );
        } else {
            kill(older);
        }
        cluster.use_program(&program());
        let joiner = cluster.start_replica(3);
        cluster.run(&["wait", "--for", "caught-up", "--replica", "3", "--timeout", "60s"], b"").with_code(0);
        has_log_of(&cluster, 3, 1);
        kill(joiner);
    }
    println!("refused by the release before: {refused} of 7");
}
