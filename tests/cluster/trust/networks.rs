//! Servers with a list of networks: who is elsewhere is told nothing, and counted.

use super::edge::{connect_from, counted};
use lockstep::config::Config;
use lockstep_io::counters::CountersReader;
use lockstep_testkit::feeds;
use lockstep_testkit::gateways::{Running, add_user, start_on};
use lockstep_testkit::processes::{Cluster, PATIENCE, payloads};
use lockstep_testkit::trader::{Trader, login_of};
use moldudp64::{Request, Session};
use std::io::{Read, Write};
use std::net::{SocketAddr, UdpSocket};
use std::time::Instant;

/// All bytes that come over this connection until it is closed.
fn answer(stream: &mut std::net::TcpStream) -> Vec<u8> {
    let mut answer = Vec::new();
    // A connection that is closed before all that came was read ends by a reset.
    let _ = stream.read_to_end(&mut answer);
    answer
}

/// Waits until a replica's counter has this value.
fn await_count(cluster: &Cluster, name: &str, wanted: u64) {
    let until = Instant::now() + PATIENCE;
    loop {
        let file =
            CountersReader::open(&cluster.path("counters-1")).unwrap_or_else(|error| panic!("{error}"));
        let value = file.value(name).unwrap_or_else(|| panic!("no counter {name}"));
        if value == wanted {
            return;
        }
        assert!(Instant::now() < until, "{name} is {value}, and not {wanted}");
        std::thread::yield_now();
    }
}

#[test]
fn a_journal_is_replayed_to_listed_networks_alone() {
    let cluster = Cluster::new(1, "\n[replay]\nallow = \"127.0.0.0/29, 192.0.2.1\"\n");
    let mut replicas = cluster.found();
    cluster.publish("one\ntwo\n");
    let config = Config::load(Some(&cluster.config()), &[]).unwrap_or_else(|errors| panic!("{errors}"));
    let address = config.replica(1).expect("replica 1").unicast.into();
    // 127.0.0.9 is behind 127.0.0.0/29, which ends with 127.0.0.7.
    for count in 1..=3 {
        assert_eq!(answer(&mut connect_from(9, address)), b"", "it is closed without a word");
        await_count(&cluster, "replay_address_refused", count);
    }
    let taken = [7, 1].map(|host| connect_from(host, address));
    await_count(&cluster, "replay_readers", 2);
    drop(taken);
    await_count(&cluster, "replay_address_refused", 3);
    assert_eq!(payloads(&cluster.read(&["--committed"]).out), ["one", "two"]);
    super::all_run(&mut replicas);
}

#[test]
fn a_feed_answers_listed_networks_alone() {
    let cluster = Cluster::new(1, "\n[feed]\nallow = \"127.0.0.1\"\n");
    let _replicas = cluster.found();
    let feed = feeds::start(&cluster, "1", "everybody");
    cluster.publish("one\n");
    let mut listener = feeds::Listener::new(&feed, "FIRST", usize::MAX);
    listener.until_messages(1);
    let socket = |host: u8| UdpSocket::bind(SocketAddr::from(([127, 0, 0, host], 0))).expect("a socket");
    let (listed, other) = (socket(1), socket(2));
    let session = Session::new(b"FIRST").expect("a session's name");
    let request = Request { session, seq: 1, count: 1 }.encode();
    listed.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    other.set_nonblocking(true).expect("a socket that does not block");
    let mut answer = [0; 2_048];
    for _ in 0..3 {
        // The feed reads its port in order: once the second request is answered, it has seen the first.
        other.send_to(&request, feed.requests).expect("it is sent");
        listed.send_to(&request, feed.requests).expect("it is sent");
        let (len, _) = listed.recv_from(&mut answer).expect("an answer");
        assert!(answer[..len].ends_with(b"one"));
        assert!(other.recv_from(&mut answer).is_err(), "nothing comes");
    }
    let name = format!("feed-{}-{}", feed.group.ip(), feed.group.port());
    let until = Instant::now() + PATIENCE;
    loop {
        let text = cluster.run(&["counters", &name, "--group", "feed"], b"").with_code(0).out;
        let line = text.lines().find(|line| line.contains("feed_address_refused"));
        if line.is_some_and(|line| line.split_whitespace().any(|word| word == "3")) {
            break;
        }
        assert!(Instant::now() < until, "{text}");
    }
}

#[test]
fn a_gateway_serves_listed_networks_alone_and_its_audit_log_names_who_was_elsewhere() {
    let cluster = Cluster::new(1, "");
    let replicas = cluster.found();
    add_user(&cluster, "alice", "secret", &[]);
    let more = ["--set", "gateway.allow=127.0.0.1,127.0.0.4/30", "--log-format", "json"];
    let (process, [address]) = start_on(&cluster, "1", ["--listen"], &more);
    let gateway = Running { process, address };
    for host in [2, 8] {
        let mut stream = connect_from(host, gateway.address);
        let _ = stream.write_all(b"\0\x2fLalice secret    "); // it may be closed already
        assert_eq!(answer(&mut stream), b"", "it is closed without a word");
    }
    let mut alice =
        Trader::log_in(gateway.address, login_of("alice", "secret", "", 1)).expect("a right login");
    alice.log_out();
    let until = Instant::now() + PATIENCE;
    while counted(&cluster, "gateway_address_refused") != 2 {
        assert!(Instant::now() < until, "two connections are counted");
    }
    let log = gateway.process.log();
    assert_eq!(gateway.process.terminate(), Some(0));
    let refused = log.lines().filter(|line| line.contains("\"audit\":\"address_refused\""));
    let refused: Vec<_> = refused.collect();
    assert_eq!(refused.len(), 2, "{log}");
    for (line, address) in refused.iter().zip(["127.0.0.2", "127.0.0.8"]) {
        assert!(line.contains(&format!("\"address\":\"{address}\"")), "{line}");
    }
    for replica in replicas {
        assert_eq!(replica.terminate(), Some(0));
    }
}
