//! Sessions of FIX through an order that sets the stream's time back.

use super::trader::{FixMessage, FixTrader, HEARTBEAT_S};
use super::{MORE, start_exchanges};
use crate::cli::streams::{SMALL, json};
use crate::cli::time::ahead_on;
use lockstep_testkit::gateways::{add_user, start_on};
use lockstep_testkit::processes::{Cluster, Process, busy, example};
use serde_json::Value;

/// How far ahead: an import takes no more than a minute.
const AHEAD_NS: u64 = 55_000_000_000;
/// What SendingTime rounds away.
const ROUNDED_NS: u64 = 1_000_000;

/// Three replicas of a stream that is ahead.
fn ahead() -> (Cluster, Vec<Process>) {
    let cluster = Cluster::new(3, &format!("{SMALL}{MORE}"));
    let (cluster, _) = ahead_on(cluster, AHEAD_NS);
    let mut replicas = vec![cluster.start_replica(1)];
    replicas[0].await_log("-> leader");
    for id in [2, 3] {
        let identity = cluster.format(id);
        replicas.push(cluster.start_replica(id));
        cluster.run(&["membership", "add", &identity, "--timeout", "60s"], b"").with_code(0);
    }
    (cluster, replicas)
}

/// The stream's time before the order that sets it back, and behind it.
fn order_of_time(cluster: &Cluster) -> (u64, u64) {
    let events = cluster.run(&["subscribe", "--events", "--json", "--from", "1", "--until-end"], b"");
    let all: Vec<Value> = events.with_code(0).out.lines().map(json).collect();
    let order = all.iter().find(|line| line["order"] == "time").unwrap_or_else(|| panic!("{all:?}"));
    let number = |key: &str| order[key].as_u64().expect("a time");
    (number("time_before_ns"), number("time_ns"))
}

/// Each message has the stream's time: the one that was ahead up to the order, and behind it times that rise
/// and are no later than the moment at which the message came. Returns how many are on either side.
#[track_caller]
fn assert_times(user: &str, messages: &[FixMessage], (before, after): (u64, u64)) -> [usize; 2] {
    let (mut last, mut sides) = (0, [0; 2]);
    for message in messages {
        let time = message.sending_time();
        let is_behind = time <= message.received_at + ROUNDED_NS;
        sides[usize::from(is_behind)] += 1;
        if is_behind {
            assert!(time + ROUNDED_NS > after && time >= last, "{user}: {message:#?}");
            last = time;
        } else {
            assert!(last == 0 && time <= before, "{user}: the time was right before: {message:#?}");
        }
        assert!(!message.is_again() || message.original_time() <= time, "{user}: {message:#?}");
    }
    sides
}

/// Sends orders before, while and behind the time is set back; their names.
fn trades_while_the_time_is_set_back(cluster: &Cluster, trader: &mut FixTrader) -> Vec<String> {
    let (mut names, mut left) = (Vec::new(), 10);
    std::thread::scope(|scope| {
        let operator = scope.spawn(|| cluster.run(&["time", "--correct"], b"").with_code(0));
        while left > 0 {
            let name = format!("t{}", names.len());
            trader.order(&name, 1, "8.0000");
            names.push(name);
            left -= usize::from(operator.is_finished());
            (0..5).for_each(|_| trader.turn());
        }
    });
    names
}

/// Kills the leader, and starts it again.
fn kill_leader(cluster: &Cluster, replicas: &mut [Process]) {
    let leader = cluster.leader();
    let replica = &mut replicas[leader as usize - 1];
    replica.signal("KILL");
    replica.wait();
    *replica = cluster.start_replica(leader);
}

#[test]
fn sessions_of_fix_go_on_through_an_order_that_sets_the_streams_time_back() {
    let Some(program) = example("exchange") else { return };
    let _place = busy();
    let (cluster, mut replicas) = ahead();
    let _exchanges = start_exchanges(&cluster, &program);
    for user in ["alice", "bob", "carol"] {
        add_user(&cluster, user, "secret", &["--fix", "--grace-ms", "0"]);
    }
    let (_gateway, [address]) = start_on(&cluster, "1", ["--fix"], &[]);
    let (mut alice, mut bob, mut carol) =
        (FixTrader::new("alice"), FixTrader::new("bob"), FixTrader::new("carol"));
    let answer = alice.log_on(address);
    assert!(answer.sending_time() > answer.received_at, "the stream is ahead: {answer:#?}");
    bob.log_on(address);

    // Before the order: they trade, heartbeats go both ways, and bob's connection is cut under an order of
    // his that rests and one that he sends into the void.
    bob.order("b1", 2, "10.0000");
    bob.await_accepted(&["b1".to_owned()]);
    alice.order("a1", 1, "9.0000");
    alice.await_heartbeats(1);
    bob.disconnect();
    bob.order("b2", 2, "12.0000");
    alice.order("a2", 1, "10.0000");
    alice.await_accepted(&["a1".to_owned(), "a2".to_owned()]);

    let names = trades_while_the_time_is_set_back(&cluster, &mut alice);
    // Right behind it one logs in for the first time, and one again.
    let answer = carol.log_on(address);
    assert!(answer.sending_time() <= answer.received_at + ROUNDED_NS, "{answer:#?}");
    bob.log_on(address);
    alice.await_accepted(&names);
    bob.await_accepted(&["b2".to_owned()]);
    bob.until(
        "the execution that he missed",
        |all| all.iter().any(|one| one.is_again() && one.text(11) == "b1"),
        0,
    );
    carol.order("c1", 2, "8.0000");
    carol.await_accepted(&["c1".to_owned()]);

    // The sessions go on: through heartbeats, and with another leader.
    let beaten = alice.heartbeats_sent();
    alice.await_heartbeats(2);
    assert!(alice.heartbeats_sent() > beaten, "its own, every {HEARTBEAT_S} s");
    kill_leader(&cluster, &mut replicas);
    alice.order("a3", 1, "7.0000");
    alice.await_accepted(&["a3".to_owned()]);
    alice.await_heartbeats(1);

    let once = |trader: &FixTrader, name: &str| {
        trader.messages.iter().filter(|message| message.accepts(name)).count() == 1
    };
    assert!(names.iter().map(String::as_str).chain(["a1", "a2", "a3"]).all(|name| once(&alice, name)));
    assert!(["b1", "b2"].into_iter().all(|name| once(&bob, name)) && once(&carol, "c1"));
    let times = order_of_time(&cluster);
    for trader in [&alice, &bob, &carol] {
        let user = trader.user();
        let sides = assert_times(user, &trader.messages, times);
        println!("{user}: {} messages in the time that was ahead, {} behind the order", sides[0], sides[1]);
    }
}
