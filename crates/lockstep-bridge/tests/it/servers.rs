//! Bridges into real servers, beside a cluster of real processes: what the server has in the end is the
//! stream as a subscriber reads it, whoever is killed, stopped, full or closed meanwhile.
//!
//! `LOCKSTEP_BRIDGE_KILLS=200 LOCKSTEP_BRIDGE_SERVER_KILLS=20` kills more often than CI does;
//! `LOCKSTEP_BRIDGE_SEED` repeats its draws; `LOCKSTEP_BRIDGE_DOWN_S=60` leaves a server down so long.
//! `LOCKSTEP_BRIDGE_MESSAGES=500000 … -- speed --nocapture` prints how fast a server takes messages.

mod influx;
#[cfg(feature = "kafka")]
mod kafka;
#[cfg(feature = "nats")]
mod nats;
mod pooler;
mod postgres;

use crate::load::{Load, bridge, draws, number_of};
use influx::InfluxServer;
use lockstep_process::child::clear_settings;
use lockstep_testkit::lane::amount;
use lockstep_testkit::processes::{Cluster, PATIENCE, Process, program, run};
use postgres::PostgresServer;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// What a test needs of a server.
trait Server: Sized {
    /// Prints `SKIPPED` where it cannot be had.
    fn start(cluster: &Cluster) -> Option<Self>;
    /// Messages are published for so many destinations, from 0 on.
    fn destinations() -> u32 {
        1
    }
    /// The arguments of a bridge into it, behind the target's name.
    fn bridge(&self) -> Vec<String>;
    /// What it has, in its own order, as `lockstep subscribe` prints it.
    fn lines(&self, cluster: &Cluster) -> Vec<String>;
    /// Ends all of its processes where they are, and starts it again.
    fn kill_and_start(&mut self, cluster: &Cluster);
    /// Ends it.
    fn kill(&mut self);
    /// Starts it again.
    fn start_again(&mut self, cluster: &Cluster);
    /// Sends a signal to all of its processes.
    fn signal(&self, name: &str);
    /// From now on the login of the bridge is refused, or taken. Whether it knows logins.
    fn set_login(&mut self, is_taken: bool) -> bool;
    /// From now on messages are refused, or taken.
    fn set_writable(&mut self, is_writable: bool);
    /// A part of the sentence that a bridge says of it.
    fn refusal(&self) -> &'static str;
}

fn bridge_command(cluster: &Cluster, args: &[String]) -> Command {
    let mut command = bridge();
    command.args(args).arg("--config").arg(cluster.config());
    command
}

fn start_bridge(cluster: &Cluster, server: &impl Server, more: &[&str]) -> Process {
    let mut args = server.bridge();
    args.extend(more.iter().map(|&arg| arg.to_owned()));
    cluster.start_command("bridge", bridge_command(cluster, &args))
}

/// Copies what is missing, to the end of the stream.
#[track_caller]
fn copy_the_rest(cluster: &Cluster, server: &impl Server) {
    let mut args = server.bridge();
    args.push("--until-end".to_owned());
    run(bridge_command(cluster, &args), b"").with_code(0);
}

/// Copies messages whose publishers, and one whose destination, have names that were opened before them.
#[cfg(any(feature = "nats", feature = "kafka"))]
fn copy_named(cluster: &Cluster, server: &impl Server) {
    for (name, to, line) in [("desk", "0", "one\n"), ("risk", "1", "two\n")] {
        cluster.run(&["publish", "--name", name, "--destination", to], line.as_bytes()).with_code(0);
    }
    copy_the_rest(cluster, server);
}

/// The stream as a subscriber reads it.
fn stream(cluster: &Cluster) -> Vec<String> {
    cluster.read(&[]).out.lines().map(str::to_owned).collect()
}

#[track_caller]
fn assert_equal(cluster: &Cluster, server: &impl Server) {
    let (stream, stored) = (stream(cluster), server.lines(cluster));
    let differs = stream.iter().zip(&stored).position(|(read, stored)| read != stored);
    if let Some(at) = differs {
        panic!("message {at} of {}: read {}, stored {}", stream.len(), stream[at], stored[at]);
    }
    assert_eq!(stored.len(), stream.len(), "messages; the last one stored is {:?}", stored.last());
    assert!(!stream.is_empty());
}

/// Waits until the server has what the stream has now.
#[track_caller]
fn await_equal(cluster: &Cluster, server: &impl Server) {
    let (began, wanted) = (Instant::now(), stream(cluster).len());
    while server.lines(cluster).len() < wanted {
        assert!(began.elapsed() < PATIENCE, "{} of {wanted} messages arrive", server.lines(cluster).len());
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_equal(cluster, server);
}

fn under_kills<S: Server>() {
    let cluster = Cluster::new(3, "");
    let Some(mut server) = S::start(&cluster) else { return };
    let _replicas = cluster.found();
    let (kills, server_kills) = (
        number_of("LOCKSTEP_BRIDGE_KILLS", amount(5, 15)),
        number_of("LOCKSTEP_BRIDGE_SERVER_KILLS", amount(1, 2)),
    );
    let mut draws = draws();
    // Several publishers load the two cores of CI, and the reader of a mock broker must follow.
    let pause = Duration::from_micros(500) * S::destinations().pow(2);
    let loads: Vec<_> = (0..S::destinations()).map(|number| Load::to(&cluster, number, pause)).collect();
    let mut ended = 0;
    for kill in 0..kills {
        let mut bridge = start_bridge(&cluster, &server, &[]);
        std::thread::sleep(Duration::from_millis(draws.below(400)));
        // The kills of the server are spread over those of the bridge; the bridge lives through them.
        if (kill + 1) * server_kills / kills > kill * server_kills / kills {
            server.kill_and_start(&cluster);
            std::thread::sleep(Duration::from_millis(draws.below(400)));
        }
        if bridge.ended().is_some() {
            println!("the bridge ended by itself:\n{}", bridge.log());
            ended += 1;
        }
        bridge.signal("KILL");
        bridge.wait();
    }
    let published: u64 = loads.into_iter().map(Load::end).sum();
    copy_the_rest(&cluster, &server);
    assert_equal(&cluster, &server);
    assert_eq!(ended, 0, "bridges that ended by themselves");
    println!(
        "{kills} kills of the bridge, {server_kills} of the server, {published} messages: each once, in order"
    );
}

/// The story of each trouble: it is said, the stream goes on, and when it is over nothing is missing.
fn in_trouble<S: Server>() {
    let cluster = Cluster::new(3, "");
    let Some(mut server) = S::start(&cluster) else { return };
    let _replicas = cluster.found();
    let mut number = 0;
    let mut publish = |cluster: &Cluster| {
        // It ends when all are committed: so does the cluster go on.
        let lines: String = (0..200).map(|line| format!("message {number} {line}\n")).collect();
        number += 1;
        cluster.publish(&lines);
    };
    publish(&cluster);
    let mut bridge = start_bridge(&cluster, &server, &["--target-timeout", "1s", "--report", "1s"]);
    await_equal(&cluster, &server);

    server.kill();
    publish(&cluster);
    bridge.await_log("cannot be reached");
    std::thread::sleep(Duration::from_secs(number_of("LOCKSTEP_BRIDGE_DOWN_S", 0)));
    server.start_again(&cluster);
    bridge.await_log("works again");
    await_equal(&cluster, &server);

    server.signal("STOP");
    publish(&cluster);
    bridge.await_log("for 1s");
    publish(&cluster);
    server.signal("CONT");
    bridge.await_log_times("works again", 2);
    await_equal(&cluster, &server);

    server.set_writable(false);
    publish(&cluster);
    bridge.await_log(server.refusal());
    publish(&cluster);
    server.set_writable(true);
    bridge.await_log_times("works again", 3);
    await_equal(&cluster, &server);

    if server.set_login(false) {
        server.kill_and_start(&cluster);
        publish(&cluster);
        bridge.await_log("refuses the login");
        server.set_login(true);
        bridge.await_log_times("works again", 4);
        await_equal(&cluster, &server);
        let log = bridge.log();
        assert_eq!(log.matches("refuses the login").count(), 1, "said once:\n{log}");
    }

    let log = bridge.log();
    assert!(log.contains("p99"), "{log}");
    assert_eq!(bridge.terminate(), Some(0));
}

/// Copies a stream that is there, and then one that grows by 2,000 messages a second: how fast, and how late.
fn speed<S: Server>() {
    let cluster = Cluster::new(3, "");
    let Some(server) = S::start(&cluster) else { return };
    let _replicas = cluster.found();
    let count = number_of("LOCKSTEP_BRIDGE_MESSAGES", 5_000);
    let lines: String = (0..count).map(|line| format!("{line:064}\n")).collect();
    run(cluster.command_at(cluster.clients(), &["publish", "--name", "orders"]), lines.as_bytes())
        .with_code(0);
    let began = Instant::now();
    copy_the_rest(&cluster, &server);
    let rate = count as f64 / began.elapsed().as_secs_f64();
    let mut bridge = start_bridge(&cluster, &server, &[]);
    let load = Load::start(&cluster, Duration::from_micros(400));
    std::thread::sleep(Duration::from_secs(2));
    let live = load.end();
    await_equal(&cluster, &server);
    bridge.signal("TERM");
    bridge.wait();
    println!(
        "{count} messages of 64 bytes at {rate:.0}/s; then {live} as they came: {}",
        bridge.log().trim_end()
    );
}

/// Two bridges at once, of which one is killed: the other goes on, and nothing is there twice.
fn with_a_second_bridge<S: Server>() {
    let cluster = Cluster::new(3, "");
    let Some(server) = S::start(&cluster) else { return };
    let _replicas = cluster.found();
    let load = Load::start(&cluster, Duration::from_millis(1));
    let mut first = start_bridge(&cluster, &server, &[]);
    let second = cluster.start_command("second", bridge_command(&cluster, &server.bridge()));
    std::thread::sleep(Duration::from_secs(1));
    first.signal("KILL");
    first.wait();
    load.end();
    await_equal(&cluster, &server);
    assert_eq!(second.terminate(), Some(0));
}

/// A cluster that was founded anew is another stream.
fn of_another_history<S: Server>() {
    let cluster = Cluster::new(1, "");
    let Some(server) = S::start(&cluster) else { return };
    let replicas = cluster.found();
    cluster.publish("one\ntwo\n");
    copy_the_rest(&cluster, &server);
    assert_equal(&cluster, &server);
    drop(replicas);
    let other = Cluster::new(1, "");
    let _replicas = other.found();
    other.publish("three\nfour\nfive\nsix\n");
    let refused = run(bridge_command(&other, &server.bridge()), b"").with_code(3);
    refused.saying(&["founded anew", "name another target"]);
    assert_eq!(server.lines(&cluster).len(), 2, "nothing is added");
}

#[test]
fn what_postgresql_does_to_what_was_written_is_noticed_before_it_is_committed() {
    postgres::what_it_does_to_rows();
}

#[test]
fn postgresql_has_names_where_they_are_asked_for_and_a_table_without_them_goes_on_as_it_was() {
    postgres::with_names();
}

#[test]
fn fields_of_payloads_are_typed_columns_of_postgres_read_back_before_each_commit() {
    postgres::with_schema();
}

#[test]
fn a_message_that_postgresql_does_not_take_is_named_and_has_a_way_past() {
    postgres::with_a_poison_entry();
}

#[test]
fn a_bridge_behind_a_pooler_of_transactions_is_refused_and_leaves_no_lock() {
    postgres::behind_a_pooler();
}

#[test]
fn each_message_is_in_postgresql_once_and_in_order_though_bridge_and_server_are_killed() {
    under_kills::<PostgresServer>();
}

#[test]
fn influxdb_has_a_long_stream_and_a_growing_one_and_the_speed_is_said() {
    speed::<InfluxServer>();
}

#[test]
fn each_message_is_in_influxdb_once_and_in_order_though_bridge_and_server_are_killed() {
    under_kills::<InfluxServer>();
}

#[test]
fn influxdb_that_is_down_stalled_closed_or_refuses_is_tried_again_while_the_stream_goes_on() {
    in_trouble::<InfluxServer>();
}

#[test]
fn a_second_bridge_into_influxdb_writes_nothing_twice_and_takes_over() {
    with_a_second_bridge::<InfluxServer>();
}

#[test]
fn influxdb_has_names_as_fields_and_a_message_that_is_written_again_is_one_point() {
    influx::with_names();
}

#[test]
fn influxdb_with_another_history_is_refused() {
    of_another_history::<InfluxServer>();
}

#[test]
fn postgresql_that_is_down_stalled_closed_or_refuses_is_tried_again_while_the_stream_goes_on() {
    in_trouble::<PostgresServer>();
}

#[test]
fn postgresql_has_a_long_stream_and_a_growing_one_and_the_speed_is_said() {
    speed::<PostgresServer>();
}

#[test]
fn a_second_bridge_into_postgresql_writes_nothing_twice_and_takes_over() {
    with_a_second_bridge::<PostgresServer>();
}

#[test]
fn postgresql_with_another_history_is_refused() {
    of_another_history::<PostgresServer>();
}

#[test]
fn the_command_runs_the_program_beside_it_and_says_how_to_get_it_where_there_is_none() {
    let mut command = Command::new(program());
    clear_settings(&mut command);
    command.args(["bridge", "postgres", "--help"]);
    let help = run(command, b"").with_code(0).out;
    assert!(help.contains("--target-timeout") && help.contains("exactly once"), "{help}");

    let alone = tempfile::tempdir().expect("a folder");
    let copy = alone.path().join("lockstep");
    fs::copy(program(), &copy).expect("a copy");
    let mut command = Command::new(&copy);
    clear_settings(&mut command);
    command.args(["bridge", "nats"]).env("PATH", alone.path());
    run(command, b"").with_code(4).saying(&["lockstep-bridge", "cargo build --release -p lockstep-bridge"]);
}

#[test]
fn an_argument_that_is_none_is_refused_by_its_name() {
    let of = |args: &[&str]| {
        let mut command = bridge();
        command.args(args);
        run(command, b"").with_code(2)
    };
    of(&["influx", "--from", "0"]).saying(&["--from", "oldest"]);
    of(&["mysql"]).saying(&["mysql: no target", "postgres"]);
    if cfg!(feature = "nats") {
        of(&["nats", "--stream", "a.b"]).saying(&["--stream a.b"]);
        of(&["nats", "--after-purge"]).saying(&["--from SEQ"]);
    } else {
        of(&["nats", "--url", "nats://x"]).saying(&["-p lockstep-bridge --features nats"]);
    }
    of(&["postgres", "--url", "nonsense=1"]).saying(&["--url"]);
    of(&["postgres", "--url", "host=x", "--table", "a.b.c"]).saying(&["SCHEMA.TABLE"]);
    of(&["postgres", "--url", "host=x", "--target-timeout", "soon"]).saying(&["10s"]);
    assert!(Path::new(env!("CARGO_BIN_EXE_lockstep-bridge")).exists());
    // The flags that the unit's own comment shows.
    let unit = include_str!("../../../../contrib/bridge/lockstep-bridge@.service");
    let shown = unit.lines().find_map(|line| line.split_once(", e.g. ARGS=")).expect("an example").1;
    let nowhere = "/nonexistent/lockstep.toml";
    let arguments: Vec<_> = shown.split_whitespace().chain(["--config", nowhere]).collect();
    of(&arguments).saying(&[nowhere]);
    assert!(unit.contains("\nRestartPreventExitStatus=2 3 5\n"), "{unit}");
}
