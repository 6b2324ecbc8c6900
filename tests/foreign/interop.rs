//! Other people's clients at `lockstep gateway`, `lockstep feed` and a daemon's page of metrics, and what
//! Wireshark says of the bytes.
//!
//! Each client is installed from its registry into a folder of its own below cargo's target directory, once.
//! What a client does in its own way stands in its script (`tests/foreign/interop/soup_client.*`,
//! `tests/foreign/interop/mold_client.rs`).

mod capture;
mod foreign;
mod mold;
mod soup;

use capture::Capture;
use foreign::{Foreign, Visit, mold_client, openmetrics_parser};
use lockstep_testkit::exchange::Received;
use lockstep_testkit::feeds::{self, Listener, Lossy};
use lockstep_testkit::gateways::{Running, add_user, start, with_exchange};
use lockstep_testkit::processes::{Cluster, run};
use std::io::{BufRead, BufReader, Read};
use std::process::Command;

fn acks(from: u64, to: u64) -> Vec<(u64, String)> {
    (from..=to).map(|number| (number, format!("ack order {number}"))).collect()
}

fn cluster() -> (Cluster, Vec<lockstep_testkit::processes::Process>) {
    let cluster = Cluster::new(1, "");
    let replicas = cluster.found();
    (cluster, replicas)
}

/// A login, orders and their answers, silence for as long as three heartbeats, a logout before all answers
/// are there; then the rest at another gateway, from the next number on.
fn visits(client: &Foreign, first: &mut Running, second: &Running) {
    let visit = Visit { user: "alice", password: "secret", number: 1, ..Visit::default() };
    let taken = client.visit(first, &Visit { orders: (1, 20), count: 20, idle: 3, ..visit });
    assert_eq!(taken.accepted, Some(("FIRST".into(), 1)));
    assert!(taken.stayed, "cut off while it was idle");
    assert_eq!(taken.texts(), acks(1, 20));
    // It logs out as soon as it has a few: the others are answered while it is away.
    let taken = client.visit(first, &Visit { number: 21, orders: (21, 60), count: 1, ..visit });
    assert_eq!(taken.accepted, Some(("FIRST".into(), 21)));
    // It has ended, perhaps before its gateway has read all: of what is read after its login at the other one
    // nothing is stamped.
    first.process.await_log_times("it logged out", 2);
    let mut all = taken.texts();
    let next = 21 + all.len() as u64;
    let rest = 61 - next;
    let again = Visit { session: "FIRST", number: next, orders: (61, 70), count: rest + 10, ..visit };
    let taken = client.visit(second, &again);
    assert_eq!(taken.accepted, Some(("FIRST".into(), next)));
    all.extend(taken.texts());
    assert_eq!(all, acks(21, 70), "nothing lost, nothing repeated");
    // From the beginning, with the session's name and the password in any case of their letters.
    let again = Visit { password: "SeCrEt", session: "first", count: 70, ..visit };
    assert_eq!(client.visit(second, &again).texts(), acks(1, 70));
}

/// All of it, and who is refused. What the application heard.
fn is_served(client: &Foreign) -> Received {
    let (cluster, _replicas) = cluster();
    add_user(&cluster, "alice", "secret", &[]);
    let (mut first, second) = (start(&cluster, "1"), start(&cluster, "2"));
    let received = with_exchange(&cluster, || {
        visits(client, &mut first, &second);
        let wrong = Visit { user: "alice", password: "wrong", number: 1, ..Visit::default() };
        let refused = client.visit(&first, &wrong).refused;
        assert!(refused.as_ref().is_some_and(|why| client.says_not_authorized(why)), "{refused:?}");
        let ahead = Visit { password: "secret", number: 72, ..wrong };
        let refused = client.visit(&first, &ahead).refused;
        assert!(refused.as_ref().is_some_and(|why| client.says_no_session(why)), "{refused:?}");
    });
    let orders: Vec<_> = received.orders.iter().map(|(_, order)| String::from_utf8_lossy(order)).collect();
    let expected: Vec<_> = (1..=70).map(|number| format!("order {number}")).collect();
    assert_eq!(orders, expected, "each order once, in order");
    received
}

#[test]
fn the_python_client_of_nasdaq_protocols_is_served_and_resumes_at_the_other_gateway() {
    let Some(client) = Foreign::python() else { return };
    let received = is_served(&client);
    let is_logout = |what: &&String| *what == "alice disconnected: it logged out";
    assert_eq!(received.clients.iter().filter(is_logout).count(), 4, "{:?}", received.clients);
}

#[test]
fn the_node_client_soupbintcp_is_served_and_resumes_at_the_other_gateway() {
    let Some(client) = Foreign::node() else { return };
    let received = is_served(&client);
    let is_logout = |what: &&String| *what == "alice disconnected: it logged out";
    assert_eq!(received.clients.iter().filter(is_logout).count(), 4, "{:?}", received.clients);
}

#[test]
fn the_python_client_numbers_its_messages_and_sends_all_again_at_the_other_gateway() {
    let Some(client) = Foreign::python() else { return };
    let (cluster, _replicas) = cluster();
    add_user(&cluster, "alice", "secret", &["--numbered"]);
    let (first, second) = (start(&cluster, "1"), start(&cluster, "2"));
    let received = with_exchange(&cluster, || {
        let visit =
            Visit { user: "alice", password: "secret", number: 1, numbered: true, ..Visit::default() };
        let taken = client.visit(&first, &Visit { orders: (1, 20), count: 20, ..visit });
        assert_eq!((taken.unsequenced, taken.messages.len()), (vec![0u64.to_be_bytes().to_vec()], 20));
        let taken = client.visit(&second, &Visit { orders: (1, 30), count: 30, ..visit });
        assert_eq!(taken.unsequenced, [20u64.to_be_bytes()], "the last number that was stamped");
        let expected: Vec<_> = (1..=30u64)
            .map(|number| [b"ack ", &number.to_be_bytes()[..], format!("order {number}").as_bytes()].concat())
            .collect();
        let answers: Vec<_> = taken.messages.into_iter().map(|(_, message)| message).collect();
        assert_eq!(answers, expected);
    });
    assert_eq!(received.orders.len(), 30, "each order was stamped once");
}

#[test]
fn wireshark_reads_what_gateways_and_a_client_say_and_counts_as_they_do() {
    let Some(client) = Foreign::python().or_else(Foreign::node) else { return };
    let (cluster, _replicas) = cluster();
    add_user(&cluster, "alice", "secret", &[]);
    let (mut first, second) = (start(&cluster, "1"), start(&cluster, "2"));
    let ports = [&first, &second].map(|gateway| gateway.address.port());
    let Some(capture) = Capture::start(&cluster.path("soup.pcap"), "tcp", "soupbintcp", &ports) else {
        return;
    };
    with_exchange(&cluster, || visits(&client, &mut first, &second));
    let capture = soup::Capture::read(&capture.stop(), &ports);
    capture.assert_sound();
    let streams = capture.streams();
    assert_eq!(streams.len(), 4);
    for (stream, first) in streams.iter().zip([1, 21, 0, 1]) {
        let (gateways, clients) = (capture.kinds(*stream, true), capture.kinds(*stream, false));
        assert!(gateways.starts_with('A') && gateways[1..].trim_matches(['S', 'H']).is_empty(), "{gateways}");
        assert!(clients.starts_with('L') && clients.ends_with('O'), "{clients}");
        let (next, numbers) = capture.numbers(*stream);
        assert!(first == 0 || next == first, "accepted at {next}");
        let expected: Vec<_> = (next..).take(numbers.len()).collect();
        assert_eq!(numbers, expected, "Wireshark counts what the gateway counts");
        assert_eq!(numbers.len(), gateways.matches('S').count());
    }
    assert_eq!((capture.numbers(streams[0]).1.len(), capture.numbers(streams[3]).1.len()), (20, 70));
    // While nothing was said for three seconds both sides told that they live.
    let heartbeats = |letter| capture.kinds(streams[0], letter == 'H').matches(letter).count();
    assert!(heartbeats('H') >= 2 && heartbeats('R') >= 1, "{} and {}", heartbeats('H'), heartbeats('R'));
    let orders: usize = streams.iter().map(|stream| capture.kinds(*stream, false).matches('U').count()).sum();
    assert_eq!(orders, 70);
}

const DAY: &str = "20261121";

/// Begins a trading day, says all of this in it, and ends it.
fn a_day_of(cluster: &Cluster, texts: &[String]) {
    cluster.run(&["day", "start", DAY], b"").with_code(0);
    for some in texts.chunks(texts.len().div_ceil(10)) {
        cluster.publish(&some.iter().map(|text| format!("{text}\n")).collect::<String>());
    }
    cluster.run(&["day", "end"], b"").with_code(0);
}

/// Of all lengths that lines of a few hundred bytes have, none at all among them.
fn texts(count: usize) -> Vec<String> {
    (1..=count).map(|number| format!("{number} ").repeat(number % 50)).collect()
}

fn numbered(texts: &[String]) -> Vec<(u64, Vec<u8>)> {
    (1..).zip(texts).map(|(number, text)| (number, text.clone().into_bytes())).collect()
}

#[test]
fn the_rust_client_moldudp_has_every_message_of_a_day_over_a_network_that_loses() {
    let Some(program) = mold_client() else { return };
    let (cluster, _replicas) = cluster();
    let feed = feeds::start(&cluster, "a", "everybody");
    let network = Lossy::before(&feed, 300_000);
    let mut command = Command::new(program);
    command.args([network.group.to_string(), network.requests.to_string(), DAY.to_owned()]);
    let mut client = cluster.start_command("moldudp", command);
    let mut out = BufReader::new(client.take_stdout());
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    assert_eq!(line, "listening\n", "{}", client.log());
    let texts = texts(2_000);
    a_day_of(&cluster, &texts);
    let mut output = String::new();
    out.read_to_string(&mut output).unwrap();
    assert!(client.wait().success(), "{}", client.log());
    let passed = network.stop();
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let expected =
        numbered(&texts).into_iter().map(|(number, text)| format!("message {number} {}", hex(&text)));
    let (again, had): (Vec<_>, Vec<_>) = output.lines().partition(|line| line.starts_with("again "));
    assert!(had.iter().copied().eq(expected), "all of them, each once, in order: {passed:?}\n{output}");
    let again: u64 = again[0].trim_start_matches("again ").parse().unwrap();
    println!("{passed:?}, asked again {again} times");
    assert!(passed.lost > 10 && passed.unanswered > 0, "{passed:?}");
    assert!(passed.requests > again, "it has asked by itself: {passed:?}, and {again} times was told to");
}

#[test]
fn wireshark_reads_what_a_feed_and_a_receiver_say_and_counts_as_they_do() {
    let (cluster, _replicas) = cluster();
    let feed = feeds::start(&cluster, "a", "everybody");
    let (group, requests) = (feed.group.port(), feed.requests.port());
    let Some(capture) = Capture::start(&cluster.path("mold.pcap"), "udp", "moldudp64", &[group, requests])
    else {
        return;
    };
    let mut listener = Listener::new(&feed, DAY, 3);
    let texts = texts(500);
    a_day_of(&cluster, &texts);
    listener.until("end of the day", |listener| listener.ended);
    assert_eq!(listener.had, numbered(&texts));
    assert_eq!(feed.process.terminate(), Some(0));
    let rows = mold::rows(&capture.stop());
    for row in &rows {
        assert_eq!(row.decoded, mold::ours(row, requests), "Wireshark reads what our codec reads");
    }
    let of = |to_group: bool, kind: &str| -> Vec<_> {
        let datagrams = rows.iter().filter(|row| (row.to == group) == to_group && row.decoded.kind == kind);
        datagrams.map(|row| row.decoded.clone()).filter(|decoded| decoded.session == DAY).collect()
    };
    let multicast: Vec<_> = of(true, "Messages").into_iter().flat_map(|decoded| decoded.messages).collect();
    assert_eq!(multicast, numbered(&texts), "each message once, by Wireshark's own count");
    let ends = of(true, "End Of Session");
    assert!(!ends.is_empty() && ends.iter().all(|end| end.number == 501), "{ends:?}");
    assert!(rows.iter().any(|row| row.to == group && row.decoded.kind == "Heartbeat"), "none came");
    // Requests, and the answers that begin where they ask.
    let (asked, answers) = (of(false, "Request"), of(false, "Messages"));
    assert_eq!(asked.len() as u64, listener.client.counters().requests);
    let begins = |all: &[mold::Decoded]| all.iter().map(|decoded| decoded.number).collect::<Vec<_>>();
    assert!(asked.len() > 5, "{asked:?}");
    assert_eq!(begins(&answers), begins(&asked));
    assert!(answers.iter().zip(&asked).all(|(answer, asked)| answer.count <= asked.count));
}

#[test]
fn the_python_parser_of_openmetrics_accepts_the_page_of_a_replica_and_reads_each_metric_of_the_list() {
    let Some(mut parser) = openmetrics_parser() else { return };
    let address = lockstep_testkit::processes::free_address();
    let cluster = Cluster::new(1, &format!("\n[metrics]\nlisten = \"{address}\"\n"));
    let _replicas = cluster.found();
    cluster.publish("one\ntwo\n");
    parser.arg(format!("http://{address}/metrics"));
    let read = run(parser, b"").with_code(0).out;
    let families: Vec<Vec<&str>> = read.lines().map(|line| line.split(' ').collect()).collect();
    let list = run(lockstep_testkit::processes::command(&["metrics", "list", "--format", "json"]), b"")
        .with_code(0)
        .out;
    let list: serde_json::Value = serde_json::from_str(&list).unwrap();
    let is_of_replicas = |metric: &&serde_json::Value| metric["of"][0] == "replicas and archivers";
    let listed: Vec<_> = list["metrics"].as_array().unwrap().iter().filter(is_of_replicas).collect();
    assert!(listed.len() > 100, "{list}");
    for metric in listed {
        let name = metric["name"].as_str().unwrap().trim_end_matches("_total");
        let family = families.iter().find(|family| family[0] == name);
        let family = family.unwrap_or_else(|| panic!("{name} is not in\n{read}"));
        let unit = ["seconds", "bytes"].iter().find(|unit| metric["unit"] == **unit).copied().unwrap_or("-");
        assert_eq!((metric["type"].as_str().unwrap(), unit), (family[1], family[2]), "{name}");
        assert_ne!(family[3], "0", "{name}");
    }
}
