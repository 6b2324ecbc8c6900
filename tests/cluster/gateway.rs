//! Gateways as processes, and clients that know nothing of lockstep.

use lockstep::config::Config;
use lockstep_client::Endpoint;
use lockstep_memory::rng::Rng;
use lockstep_testkit::gateways::{add_user, is_cut_and_resumes_who_reads_nothing, start, with_exchange};
use lockstep_testkit::lane::amount;
use lockstep_testkit::processes::{Cluster, busy, payloads};
use lockstep_testkit::trader::{Trader, login_of};
use lockstep_testkit::trading::trade;
use soupbintcp::{ClientEnd, Packet, RejectReason};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

fn endpoint(cluster: &Cluster) -> Endpoint {
    let config = Config::load(Some(&cluster.config()), &[]).unwrap_or_else(|error| panic!("{error}"));
    Endpoint::from_config(&config).unwrap_or_else(|errors| panic!("{errors}"))
}

/// The id of the second publisher of a stream: behind the gateway, the first client.
const ALICE: u32 = 2;

fn texts(trader: &Trader) -> Vec<(u64, String)> {
    trader.messages.iter().map(|(seq, bytes)| (*seq, String::from_utf8_lossy(bytes).into_owned())).collect()
}

fn acks(from: u64, to: u64) -> Vec<(u64, String)> {
    (from..=to).map(|number| (number, format!("ack order {number}"))).collect()
}

#[test]
fn a_client_gets_the_answers_to_its_messages_and_resumes_at_any_gateway_by_number() {
    let cluster = Cluster::new(3, "");
    let _replicas = cluster.found();
    add_user(&cluster, "alice", "secret", &[]);
    let (first, second) = (start(&cluster, "1"), start(&cluster, "2"));
    let received = with_exchange(&cluster, || {
        let mut alice = Trader::log_in(first.address, login_of("ALICE", "Secret", "", 1)).unwrap();
        assert_eq!(alice.accepted(), Some(("FIRST", 1)));
        (1..=20).for_each(|number| alice.send(format!("order {number}").as_bytes()));
        alice.await_messages(20);
        assert_eq!(texts(&alice), acks(1, 20));
        // Values are stored ten times a second.
        let counted = || cluster.run(&["counters", "gateway-1", "--group", "gateway"], b"").with_code(0).out;
        let all =
            |text: &str| text.lines().any(|line| line.contains("gateway_submitted") && line.contains(" 20 "));
        let until = Instant::now() + Duration::from_secs(20);
        while !all(&counted()) {
            assert!(Instant::now() < until, "{}", counted());
        }
        drop(alice);
        let mut alice = Trader::log_in(second.address, login_of("alice", "secret", "FIRST", 8)).unwrap();
        assert_eq!(alice.accepted(), Some(("FIRST", 8)));
        alice.await_messages(13);
        alice.send(b"order 21");
        alice.await_messages(14);
        assert_eq!(texts(&alice), acks(8, 21));
        alice.log_out();
        alice.until("the connection to be closed", |alice| alice.ended().is_some());
    });
    assert_eq!(received.orders.len(), 21);
    assert_eq!(received.clients.first().map(String::as_str), Some("alice connected"));
    assert_eq!(received.clients.last().map(String::as_str), Some("alice disconnected: it logged out"));
}

#[test]
fn an_application_in_several_copies_that_begins_again_answers_each_order_once() {
    let cluster = Cluster::new(3, "");
    let _replicas = cluster.found();
    add_user(&cluster, "alice", "secret", &[]);
    let gateway = start(&cluster, "1");
    let mut alice = Trader::log_in(gateway.address, login_of("alice", "secret", "", 1)).unwrap();
    let mut say = |numbers: std::ops::RangeInclusive<u64>| {
        let last = *numbers.end() as usize;
        numbers.for_each(|number| alice.send(format!("order {number}").as_bytes()));
        alice.await_messages(last);
        assert_eq!(texts(&alice), acks(1, last as u64));
    };
    // Two at a time, then none, then one from the beginning of the stream on.
    with_exchange(&cluster, || {
        with_exchange(&cluster, || say(1..=20));
    });
    let received = with_exchange(&cluster, || say(21..=25));
    assert_eq!(received.orders.len(), 25);
    let answers = payloads(&cluster.read(&[]).out).iter().filter(|text| text.starts_with("ack ")).count();
    assert_eq!(answers, 25, "each stands in the stream once");
}

#[test]
fn the_second_gateway_of_a_name_is_refused_and_one_that_follows_a_dead_one_is_not() {
    let cluster = Cluster::new(1, "\n[gateway]\nheartbeat_interval = \"100ms\"\n");
    let _replicas = cluster.found();
    add_user(&cluster, "alice", "secret", &["--grace-ms", "0"]);
    let first = start(&cluster, "one");
    let mut alice = Trader::log_in(first.address, login_of("alice", "secret", "", 1)).unwrap();
    let users = cluster.path("users.toml");
    let args = ["gateway", "--name", "one", "--users", users.to_str().unwrap(), "--listen", "127.0.0.1:0"];
    cluster.run(&args, b"").with_code(5).saying(&["'one'", "--name of its own"]);
    alice.send(b"still there");
    std::thread::sleep(Duration::from_millis(100));
    alice.poll();
    assert_eq!(alice.ended(), None);
    first.process.signal("KILL");
    let second = start(&cluster, "one");
    let _alice = Trader::log_in(second.address, login_of("alice", "secret", "", 1)).unwrap();
    // One that was stopped is followed at once, and under a name of its own nobody is in the way.
    second.process.signal("TERM");
    let _third = start(&cluster, "one");
    let _other = start(&cluster, "two");
}

#[test]
fn a_login_that_cannot_be_is_refused_by_its_letter_and_says_why() {
    let cluster = Cluster::new(1, "");
    let _replicas = cluster.found();
    add_user(&cluster, "alice", "secret", &[]);
    let gateway = start(&cluster, "1");
    let refused = |user: &str, password: &str, session: &str, seq: u64| {
        let mut trader = Trader::connect(gateway.address, login_of(user, password, session, seq)).unwrap();
        trader.until("a refusal", |trader| trader.ended().is_some());
        (trader.ended().unwrap(), trader.debug.join(" "))
    };
    let not_authorized = ClientEnd::Rejected(RejectReason::NotAuthorized);
    let no_session = ClientEnd::Rejected(RejectReason::SessionNotAvailable);
    assert_eq!(refused("alice", "wrong", "", 1), (not_authorized, String::new()));
    assert_eq!(refused("bob", "secret", "", 1), (not_authorized, String::new()));
    let (end, debug) = refused("alice", "secret", "20991231", 1);
    assert!(end == no_session && debug.contains("not the open trading day"), "{end:?} {debug}");
    let (end, debug) = refused("alice", "secret", "", 2);
    assert!(end == no_session && debug.contains("no such number yet"), "{end:?} {debug}");
    let alice = Trader::log_in(gateway.address, login_of("alice", "secret", "", 0)).unwrap();
    assert_eq!(alice.accepted(), Some(("FIRST", 1)));
}

#[test]
fn a_client_whose_gateway_is_killed_loses_and_repeats_nothing_at_the_other_one() {
    let cluster = Cluster::new(3, "\n[gateway]\nheartbeat_interval = \"50ms\"\n");
    let _replicas = cluster.found();
    add_user(&cluster, "alice", "secret", &["--numbered", "--grace-ms", "0"]);
    add_user(&cluster, "bob", "secret", &["--cancel-on-disconnect", "--grace-ms", "0"]);
    let (first, second) = (start(&cluster, "1"), start(&cluster, "2"));
    let order = |number: u64| [&number.to_be_bytes()[..], format!("order {number}").as_bytes()].concat();
    let received = with_exchange(&cluster, || {
        let mut alice = Trader::log_in(first.address, login_of("alice", "secret", "", 1)).unwrap();
        alice.until("its last number", |alice| !alice.unsequenced.is_empty());
        assert_eq!(alice.unsequenced, [0u64.to_be_bytes()]);
        let _bob = Trader::log_in(first.address, login_of("bob", "secret", "", 1)).unwrap();
        (1..=50).for_each(|number| alice.send(&order(number)));
        alice.await_messages(10);
        first.process.signal("KILL");
        alice.until("its gateway's death", |alice| alice.ended().is_some());
        let had = alice.messages.clone();
        let next = alice.next_seq();
        let mut alice = Trader::log_in(second.address, login_of("alice", "secret", "", next)).unwrap();
        alice.until("its last number", |alice| !alice.unsequenced.is_empty());
        let last = u64::from_be_bytes(alice.unsequenced[0][..].try_into().unwrap());
        assert!((10..=50).contains(&last), "{last}");
        // It does not remember what it sent, and sends everything again.
        (1..=80).for_each(|number| alice.send(&order(number)));
        alice.await_messages(80 - had.len());
        std::thread::sleep(Duration::from_millis(100));
        alice.poll();
        let all: Vec<_> = had.into_iter().chain(alice.messages.clone()).collect();
        let expected: Vec<_> =
            (1..=80).map(|number| (number, [b"ack ", &order(number)[..]].concat())).collect();
        assert_eq!(all, expected, "each answer once, in order");
        std::thread::sleep(Duration::from_secs(1));
    });
    assert_eq!(received.orders.len(), 80, "each order was stamped once");
    let of_bob: Vec<_> = received.clients.iter().filter(|what| what.starts_with("bob")).collect();
    assert_eq!(of_bob, ["bob connected", "bob disconnected: its gateway died, cancel"]);
}

#[test]
fn the_trading_day_turns_at_one_place_of_the_stream_and_numbers_begin_anew() {
    let cluster = Cluster::new(1, "");
    let _replicas = cluster.found();
    add_user(&cluster, "alice", "secret", &["--grace-ms", "0"]);
    let gateways = [start(&cluster, "1"), start(&cluster, "2")];
    let received = with_exchange(&cluster, || {
        let day = |args: &[&str]| cluster.run(&[&["day"], args].concat(), b"");
        let begun = day(&["start", "20261121"]).with_code(0).out;
        assert!(begun.contains("the trading day 20261121 begins at seq"), "{begun}");
        day(&["start", "20261122"]).with_code(1).saying(&["day end` first"]);
        let mut alice = Trader::log_in(gateways[0].address, login_of("alice", "secret", "", 1)).unwrap();
        assert_eq!(alice.accepted(), Some(("20261121", 1)));
        (1..=3).for_each(|number| alice.send(format!("order {number}").as_bytes()));
        alice.await_messages(3);
        day(&["end"]).with_code(0);
        day(&["end"]).with_code(1).saying(&["no trading day is open"]);
        alice.until("the end of the session", |alice| alice.ended().is_some());
        assert_eq!((alice.ended(), texts(&alice)), (Some(ClientEnd::EndOfSession), acks(1, 3)));
        let mut late = Trader::connect(gateways[1].address, login_of("alice", "secret", "", 1)).unwrap();
        late.until("a refusal", |late| late.ended().is_some());
        assert_eq!(late.ended(), Some(ClientEnd::Rejected(RejectReason::SessionNotAvailable)));
        day(&["start", "20261122"]).with_code(0);
        for gateway in &gateways {
            let alice = Trader::log_in(gateway.address, login_of("alice", "secret", "20261122", 1)).unwrap();
            assert_eq!(alice.accepted(), Some(("20261122", 1)));
        }
    });
    assert_eq!(received.clients[1], "alice disconnected: the trading day ended");
}

#[test]
fn a_user_that_is_disabled_is_cut_at_once_and_a_drop_copy_counts_what_it_hears() {
    let cluster = Cluster::new(1, "");
    let _replicas = cluster.found();
    add_user(&cluster, "alice", "secret", &["--to", "channel:7"]);
    add_user(&cluster, "bob", "secret", &[]);
    add_user(
        &cluster,
        "carol",
        "secret",
        &["--hear", "client:alice", "--hear", "channel:7", "--hear", "client:bob"],
    );
    let gateway = start(&cluster, "1");
    let received = with_exchange(&cluster, || {
        let mut carol = Trader::log_in(gateway.address, login_of("carol", "secret", "", 1)).unwrap();
        let mut alice = Trader::log_in(gateway.address, login_of("alice", "secret", "", 1)).unwrap();
        let mut bob = Trader::log_in(gateway.address, login_of("bob", "secret", "", 1)).unwrap();
        alice.send(b"a1");
        alice.await_messages(1);
        bob.send(b"b1");
        bob.await_messages(1);
        carol.await_messages(3);
        let expected = [(1, "a1".into()), (2, "ack a1".into()), (3, "ack b1".into())];
        assert_eq!(texts(&carol), expected, "bob's own went to everybody, whom it does not hear");
        let users = cluster.path("users.toml");
        let users = users.to_str().unwrap();
        cluster.run(&["gateway", "user", "disable", "alice", "--users", users], b"").with_code(0);
        gateway.process.signal("HUP");
        alice.until("to be cut", |alice| alice.ended().is_some());
        assert!(alice.debug.join(" ").contains("disabled"), "{:?}", alice.debug);
        let mut again = Trader::connect(gateway.address, login_of("alice", "secret", "", 1)).unwrap();
        again.until("a refusal", |again| again.ended().is_some());
        assert_eq!(again.ended(), Some(ClientEnd::Rejected(RejectReason::NotAuthorized)));
        bob.send(b"b2");
        bob.await_messages(2);
        // Another connection of its user takes its place.
        let second = Trader::log_in(gateway.address, login_of("bob", "secret", "", 2)).unwrap();
        bob.until("to be superseded", |bob| bob.ended().is_some());
        assert_eq!(second.accepted(), Some(("FIRST", 2)));
    });
    assert!(
        received.clients.contains(&"alice disconnected: its user was disabled".to_owned()),
        "{received:?}"
    );
}

#[test]
fn a_client_that_is_cut_is_told_why() {
    let cluster = Cluster::new(1, "\n[gateway]\nlogin_timeout = \"300ms\"\n");
    let _replicas = cluster.found();
    add_user(&cluster, "alice", "secret", &["--numbered"]);
    let gateway = start(&cluster, "1");
    let rejected = |raw: &[u8], text: &str| {
        let mut alice = Trader::log_in(gateway.address, login_of("alice", "secret", "", 0)).unwrap();
        alice.send_raw(raw);
        alice.until(text, |alice| alice.debug.join(" ").contains(text));
        alice
    };
    rejected(b"\0\0", "packet length 0").until("its end", |alice| alice.ended().is_some());
    rejected(b"\0\x02Sx", "only servers send it").until("its end", |alice| alice.ended().is_some());
    // What it may not send so is refused, and it stays.
    let alice = rejected(b"\0\x02Ux", "must begin with the next number");
    assert_eq!(alice.ended(), None);
    // A client that connects and says nothing.
    let mut idle = std::net::TcpStream::connect(gateway.address).unwrap();
    idle.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut reply = Vec::new();
    std::io::Read::read_to_end(&mut idle, &mut reply).unwrap();
    assert!(String::from_utf8_lossy(&reply).contains("no login request in time"), "{reply:?}");
}

/// The gateway takes them at the rate of their user: most wait when the client closes its socket with an
/// answer unread, and writing to it fails.
#[test]
fn orders_that_a_client_sent_before_its_connection_broke_are_stamped() {
    let cluster = Cluster::new(1, "");
    let _replicas = cluster.found();
    add_user(&cluster, "alice", "secret", &["--rate", "100"]);
    let mut gateway = start(&cluster, "1");
    let received = with_exchange(&cluster, || {
        let mut socket = TcpStream::connect(gateway.address).unwrap();
        let mut bytes = Vec::new();
        Packet::LoginRequest(login_of("alice", "secret", "", 1)).append(&mut bytes).unwrap();
        socket.write_all(&bytes).unwrap();
        // The packet that accepts it: two bytes of length, a letter, a session and a number.
        let mut accepted = [0; 2 + 31];
        socket.read_exact(&mut accepted).unwrap();
        assert_eq!(accepted[2], b'A', "{accepted:?}");
        bytes.clear();
        for number in 1..=60 {
            Packet::Unsequenced(format!("order {number}").as_bytes()).append(&mut bytes).unwrap();
        }
        socket.write_all(&bytes).unwrap();
        assert_eq!(socket.peek(&mut [0]).unwrap(), 1, "an answer");
        drop(socket);
        gateway.process.await_log("its connection broke");
    });
    let orders: Vec<_> = received.orders.iter().map(|(_, order)| String::from_utf8_lossy(order)).collect();
    assert_eq!(orders, (1..=60).map(|number| format!("order {number}")).collect::<Vec<_>>());
}

#[test]
fn a_day_that_outgrows_the_spool_ends_all_logins_until_the_next_day_and_gives_no_wrong_number() {
    let cluster = Cluster::new(1, "\n[gateway]\nspool_size = \"1MiB\"\n");
    let _replicas = cluster.found();
    add_user(&cluster, "alice", "secret", &[]);
    let gateway = start(&cluster, "1");
    with_exchange(&cluster, || {
        cluster.run(&["day", "start", "20261121"], b"").with_code(0);
        let mut alice = Trader::log_in(gateway.address, login_of("alice", "secret", "", 1)).unwrap();
        let order = |number: usize| format!("{number:01000}");
        for number in 0..1_200 {
            alice.send(order(number).as_bytes());
            alice.poll();
        }
        alice.until("to be cut", |alice| alice.ended().is_some());
        assert!(alice.debug.join(" ").contains("no room for more of this day"), "{:?}", alice.debug);
        for (index, (number, answer)) in alice.messages.iter().enumerate() {
            assert_eq!((*number, answer), (index as u64 + 1, &format!("ack {}", order(index)).into_bytes()));
        }
        let mut again = Trader::connect(gateway.address, login_of("alice", "secret", "", 0)).unwrap();
        again.until("a refusal", |again| again.ended().is_some());
        assert_eq!(again.ended(), Some(ClientEnd::Rejected(RejectReason::SessionNotAvailable)));
        cluster.run(&["day", "end"], b"").with_code(0);
        cluster.run(&["day", "start", "20261122"], b"").with_code(0);
        let alice = Trader::log_in(gateway.address, login_of("alice", "secret", "", 1)).unwrap();
        assert_eq!(alice.accepted(), Some(("20261122", 1)));
    });
}

#[test]
fn no_command_writes_a_users_file_that_a_gateway_would_refuse() {
    let cluster = Cluster::new(1, "");
    let users = cluster.path("users.toml");
    let user = |args: &[&str]| {
        let users = ["--users", users.to_str().unwrap()];
        cluster.run(&[&["gateway", "user"], args, &users].concat(), b"secret")
    };
    user(&["add", "alice", "--numbered", "--grace-ms", "0"]).with_code(0).saying(&["SIGHUP"]);
    user(&["add", "bob", "--rate", "0"]).with_code(2).saying(&["'bob' has rate 0"]);
    let many: Vec<_> = (0..17).map(|number| format!("--hear=channel:{number}")).collect();
    let many: Vec<_> = ["add", "bob"].into_iter().chain(many.iter().map(String::as_str)).collect();
    user(&many).with_code(2).saying(&["hears 17 destinations: 1 to 16"]);
    user(&["disable", "alice"]).with_code(0);
    assert!(user(&["list"]).with_code(0).out.starts_with("alice  disabled "));
    user(&["enable", "ALICE"]).with_code(0);
    let listed = user(&["list"]).with_code(0).out;
    let row = "alice  enabled  hears self publishes to everybody grace 0 ms rate 10000 numbered\n";
    assert_eq!(listed, row, "bob was never written");
    user(&["remove", "bob"]).with_code(2).saying(&["no user 'bob'"]);
}

#[cfg(not(feature = "tls"))]
#[test]
fn a_build_without_tls_says_how_to_make_one_with_it() {
    let cluster = Cluster::new(1, "");
    add_user(&cluster, "alice", "secret", &[]);
    let users = cluster.path("users.toml");
    let set = |key: &str| format!("{key}=/etc/lockstep/gateway.pem");
    for (flag, value, name) in [
        ("--listen-tls", "127.0.0.1:0".into(), "--listen-tls"),
        ("--set", set("gateway.tls_certificate"), "gateway.tls_certificate"),
        ("--set", set("gateway.tls_key"), "gateway.tls_key"),
    ] {
        let args = ["gateway", "--listen", "127.0.0.1:0", "--users", users.to_str().unwrap(), flag, &value];
        let says = [name, "this lockstep was built without TLS: build it with --features tls", "away"];
        cluster.run(&args, b"").with_code(2).saying(&says);
    }
}

#[test]
fn gateways_and_leaders_die_while_clients_trade_and_each_order_and_each_answer_is_there_once() {
    let _place = busy();
    let kills = amount(1, 2);
    println!("{}", trade(&mut Rng::new(20_261_121), 10, kills, kills));
}

/// A client that reads nothing has the kernel's buffers and its gateway's, and then nothing more.
#[test]
fn a_client_that_never_reads_is_cut_costs_the_others_nothing_and_resumes_by_number() {
    let cluster = Cluster::new(1, "\n[gateway]\nstall = \"500ms\"\n");
    let _replicas = cluster.found();
    add_user(&cluster, "alice", "secret", &["--grace-ms", "0"]);
    add_user(&cluster, "bob", "secret", &["--to", "client:alice"]);
    let mut gateway = start(&cluster, "1");
    let address = gateway.address;
    let bob = Trader::log_in(address, login_of("bob", "secret", "", 1)).unwrap();
    let log_in = |seq| Trader::log_in(address, login_of("alice", "secret", "", seq)).unwrap();
    is_cut_and_resumes_who_reads_nothing(&mut gateway.process, bob, log_in);
}

#[test]
fn a_client_whose_message_its_channel_does_not_take_is_told_and_the_stream_has_nothing_of_it() {
    let cluster = Cluster::new(1, "\n[[channels]]\nid = 7\nmessage_len_max = 5\n");
    let _replicas = cluster.found();
    add_user(&cluster, "alice", "secret", &["--to", "channel:7"]);
    let gateway = start(&cluster, "1");
    let mut alice = Trader::log_in(gateway.address, login_of("alice", "secret", "", 1)).unwrap();
    alice.send(b"longer");
    alice.until("to be told", |alice| !alice.debug.is_empty());
    assert!(alice.debug[0].contains("channels.*.message_len_max"), "{:?}", alice.debug);
    alice.send(b"short");
    let has = |text: &str| payloads(&cluster.read(&[]).out).contains(&text);
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    while !has("short") {
        assert!(std::time::Instant::now() < deadline, "it is not published");
    }
    assert!(!has("longer"));
}

/// A lower bound of a time, which no busy machine makes shorter.
#[test]
fn connections_beyond_the_rate_of_gateway_accepts_wait_and_all_of_them_are_served() {
    let cluster = Cluster::new(1, "\n[gateway]\naccepts = 20\n");
    let _replicas = cluster.found();
    add_user(&cluster, "bob", "secret", &[]);
    let gateway = start(&cluster, "1");
    let begun = Instant::now();
    let connect = |_| Trader::connect(gateway.address, login_of("bob", "secret", "20991231", 1)).unwrap();
    let mut traders: Vec<_> = (0..43).map(connect).collect();
    for trader in &mut traders {
        trader.until("a refusal", |trader| trader.ended().is_some());
        assert_eq!(trader.ended(), Some(ClientEnd::Rejected(RejectReason::SessionNotAvailable)));
    }
    assert!(begun.elapsed() >= Duration::from_secs(2), "two at once, and twenty in each second");
}

#[test]
fn users_that_are_added_at_the_same_time_are_all_in_the_file() {
    let cluster = Cluster::new(1, "");
    let names: Vec<_> = (0..6).map(|number| format!("user{number}")).collect();
    std::thread::scope(|scope| {
        for name in &names {
            scope.spawn(|| add_user(&cluster, name, "secret", &[]));
        }
    });
    let users = cluster.path("users.toml");
    let args = ["gateway", "user", "list", "--users", users.to_str().unwrap()];
    let listed = cluster.run(&args, b"").with_code(0).out;
    let listed: Vec<_> = listed.lines().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(listed, names);
}

#[test]
fn a_login_that_trickles_in_is_cut_by_its_time_and_messages_of_any_length_pass_or_are_refused_by_name() {
    let cluster = Cluster::new(1, "\n[gateway]\nlogin_timeout = \"500ms\"\n");
    let _replicas = cluster.found();
    add_user(&cluster, "alice", "secret", &["--to", "self"]);
    let gateway = start(&cluster, "1");
    let mut loris = std::net::TcpStream::connect(gateway.address).unwrap();
    let began = std::time::Instant::now();
    // A packet of a login's length, a byte at a time.
    let mut bytes = [0, 47, b'L'].into_iter().chain(std::iter::repeat(b' '));
    let cut = loop {
        let byte = bytes.next().unwrap();
        if std::io::Write::write_all(&mut loris, &[byte]).is_err() {
            break true;
        }
        if began.elapsed() > Duration::from_secs(10) {
            break false;
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    assert!(cut, "it trickled for ten seconds");
    let mut alice = Trader::log_in(gateway.address, login_of("alice", "secret", "", 1)).unwrap();
    let lengths = [0, 1, 1_296, 1_297, 9_000, 65_000, 65_534];
    lengths.iter().for_each(|len| alice.send(&vec![b'x'; *len]));
    alice.await_messages(lengths.len());
    let had: Vec<_> = alice.messages.iter().map(|(_, message)| message.len()).collect();
    assert_eq!(had, lengths);
    // What no packet takes has no number; it is the application's, as no client can send it.
    let endpoint = endpoint(&cluster);
    let mut publisher = lockstep_client::Publisher::connect(&endpoint).unwrap();
    let id = publisher.open("application", Duration::from_secs(10)).unwrap();
    for len in [65_535, 65_536, 5] {
        publisher.try_publish(id, ALICE, &vec![b'y'; len]).unwrap();
        while !publisher.is_drained() {
            publisher.poll(64, |_| {});
        }
    }
    alice.await_messages(lengths.len() + 1);
    assert_eq!(alice.messages.last(), Some(&(8, vec![b'y'; 5])));
}
