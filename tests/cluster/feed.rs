//! A feed as a process, and receivers that know nothing of lockstep.

use lockstep_testkit::feeds::{Listener, new_group, start};
use lockstep_testkit::processes::Cluster;

#[test]
fn a_channel_without_a_limit_is_not_fed_and_one_with_a_limit_refuses_what_no_datagram_takes() {
    let cluster = Cluster::new(1, "\n[[channels]]\nid = 7\n");
    let _replicas = cluster.found();
    let feed = |of: &str| {
        let group = new_group();
        let args = ["feed", "--group", &group.to_string(), "--requests", "127.0.0.1:0", "--of", of];
        cluster.run(&args, b"").with_code(2)
    };
    feed("channel:8").saying(&["channel:8", "1450 bytes", "[[channels]] with id = 8"]);
    let running = start(&cluster, "seven", "channel:7");
    let mut listener = Listener::new(&running, "FIRST", usize::MAX);
    let channel = ((1u32 << 31) + 7).to_string();
    let publish = |len: usize| {
        let args = ["publish", "--name", "orders", "--destination", &channel];
        cluster.run(&args, "x".repeat(len).as_bytes())
    };
    publish(1_451).with_code(2).saying(&["1451 bytes", "the limit is 1450 (channels.*.message_len_max"]);
    publish(1_450).with_code(0);
    listener.until_messages(1);
    assert_eq!(listener.had, [(1, vec![b'x'; 1_450])], "the longest is fed, and has the first number");
    // To everybody there is no limit but the stream's, and a feed of that says so.
    cluster.publish(&"y".repeat(1_451));
    let all = start(&cluster, "all", "all");
    let log = all.process.log();
    assert!(
        log.contains("lower stream.message_len_max") && log.contains("such messages have no number"),
        "{log}"
    );
    assert!(!running.process.log().contains("stream.message_len_max"), "{}", running.process.log());
}

#[test]
fn a_receiver_of_either_feed_has_all_messages_in_order_whatever_it_loses_and_whoever_restarts() {
    let cluster = Cluster::new(3, "");
    let _replicas = cluster.found();
    let (a, b) = (start(&cluster, "a", "everybody"), start(&cluster, "b", "everybody"));
    let mut listeners = [Listener::new(&a, "FIRST", 3), Listener::new(&b, "FIRST", usize::MAX)];
    let lines = |from: usize, to: usize| (from..to).map(|n| format!("order {n}\n")).collect::<String>();
    cluster.publish(&lines(1, 1_001));
    listeners.iter_mut().for_each(|listener| listener.until_messages(1_000));
    a.process.signal("KILL");
    cluster.publish(&lines(1_001, 1_501));
    let a = start(&cluster, "a-again", "everybody");
    // One that begins late has all of the day, by requests alone.
    let mut late = Listener::new(&a, "FIRST", 2);
    cluster.publish(&lines(1_501, 2_001));
    listeners[1].until_messages(2_000);
    late.until_messages(2_000);
    let expected: Vec<_> = (1..=2_000).map(|n| (n, format!("order {n}").into_bytes())).collect();
    assert_eq!(listeners[0].had, expected[..1_000]);
    assert!(listeners[1].had == expected && late.had == expected);
}
