//! Other people's SoupBinTCP clients at `lockstep gateway`, and what Wireshark says of their bytes.
//!
//! Each client is installed from its registry into a folder of its own below cargo's target directory, once. What a
//! client does in its own way stands in its script (`tests/interop/soup_client.*`).

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "real processes, bounded by a clock")]

#[path = "interop/capture.rs"]
mod capture;
#[path = "interop/foreign.rs"]
mod foreign;

use capture::Capture;
use foreign::{Foreign, Visit};
use tools::exchange::Heard;
use tools::gateways::{Running, add_user, start, with_exchange};
use tools::processes::Cluster;

fn acks(from: u64, to: u64) -> Vec<(u64, String)> {
    (from..=to).map(|number| (number, format!("ack order {number}"))).collect()
}

fn cluster() -> (Cluster, Vec<tools::processes::Process>) {
    let cluster = Cluster::new(1, "");
    let replicas = cluster.found();
    (cluster, replicas)
}

/// A login, orders and their answers, silence for as long as three heartbeats, a logout before all answers are
/// there; then the rest at another gateway, from the next number on.
fn visits(client: &Foreign, first: &Running, second: &Running) {
    let visit = Visit { user: "alice", password: "secret", number: 1, ..Visit::default() };
    let taken = client.visit(first, &Visit { orders: (1, 20), count: 20, idle: 3, ..visit });
    assert_eq!(taken.accepted, Some(("FIRST".into(), 1)));
    assert!(taken.stayed, "cut off while it was idle");
    assert_eq!(taken.texts(), acks(1, 20));
    // It logs out as soon as it has a few: the others are answered while it is away.
    let taken = client.visit(first, &Visit { number: 21, orders: (21, 60), count: 1, ..visit });
    assert_eq!(taken.accepted, Some(("FIRST".into(), 21)));
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
fn is_served(client: &Foreign) -> Heard {
    let (cluster, _replicas) = cluster();
    add_user(&cluster, "alice", "secret", &[]);
    let (first, second) = (start(&cluster, "1"), start(&cluster, "2"));
    let heard = with_exchange(&cluster, || {
        visits(client, &first, &second);
        let wrong = Visit { user: "alice", password: "wrong", number: 1, ..Visit::default() };
        let refused = client.visit(&first, &wrong).refused;
        assert!(refused.as_ref().is_some_and(|why| client.says_not_authorized(why)), "{refused:?}");
        let ahead = Visit { password: "secret", number: 72, ..wrong };
        let refused = client.visit(&first, &ahead).refused;
        assert!(refused.as_ref().is_some_and(|why| client.says_no_session(why)), "{refused:?}");
    });
    let orders: Vec<_> = heard.orders.iter().map(|(_, order)| String::from_utf8_lossy(order)).collect();
    let expected: Vec<_> = (1..=70).map(|number| format!("order {number}")).collect();
    assert_eq!(orders, expected, "each order once, in order");
    heard
}

#[test]
fn the_python_client_of_nasdaq_protocols_is_served_and_resumes_at_the_other_gateway() {
    let Some(client) = Foreign::python() else { return };
    let heard = is_served(&client);
    let is_logout = |what: &&String| *what == "alice disconnected: it logged out";
    assert_eq!(heard.clients.iter().filter(is_logout).count(), 4, "{:?}", heard.clients);
}

#[test]
fn the_node_client_soupbintcp_is_served_and_resumes_at_the_other_gateway() {
    let Some(client) = Foreign::node() else { return };
    let heard = is_served(&client);
    let is_logout = |what: &&String| *what == "alice disconnected: it logged out";
    assert_eq!(heard.clients.iter().filter(is_logout).count(), 4, "{:?}", heard.clients);
}

#[test]
fn the_python_client_numbers_its_messages_and_sends_all_again_at_the_other_gateway() {
    let Some(client) = Foreign::python() else { return };
    let (cluster, _replicas) = cluster();
    add_user(&cluster, "alice", "secret", &["--numbered"]);
    let (first, second) = (start(&cluster, "1"), start(&cluster, "2"));
    let heard = with_exchange(&cluster, || {
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
    assert_eq!(heard.orders.len(), 30, "each order was stamped once");
}

#[test]
fn wireshark_reads_what_gateways_and_a_client_say_and_counts_as_they_do() {
    let Some(client) = Foreign::python().or_else(Foreign::node) else { return };
    let (cluster, _replicas) = cluster();
    add_user(&cluster, "alice", "secret", &[]);
    let gateways = [start(&cluster, "1"), start(&cluster, "2")];
    let ports = gateways.each_ref().map(|gateway| gateway.address.port());
    let Some(capture) = Capture::start(&cluster.path("soup.pcap"), &ports) else { return };
    with_exchange(&cluster, || visits(&client, &gateways[0], &gateways[1]));
    let told = capture.stop();
    told.assert_sound();
    // The connection that looked whether the capture runs has no packets.
    let streams = told.streams();
    assert_eq!(streams.len(), 4);
    for (stream, first) in streams.iter().zip([1, 21, 0, 1]) {
        let (gateways, clients) = (told.kinds(*stream, true), told.kinds(*stream, false));
        assert!(gateways.starts_with('A') && gateways[1..].trim_matches(['S', 'H']).is_empty(), "{gateways}");
        assert!(clients.starts_with('L') && clients.ends_with('O'), "{clients}");
        let (next, numbers) = told.numbers(*stream);
        assert!(first == 0 || next == first, "accepted at {next}");
        let expected: Vec<_> = (next..).take(numbers.len()).collect();
        assert_eq!(numbers, expected, "Wireshark counts what the gateway counts");
        assert_eq!(numbers.len(), gateways.matches('S').count());
    }
    assert_eq!((told.numbers(streams[0]).1.len(), told.numbers(streams[3]).1.len()), (20, 70));
    // While nothing was said for three seconds both sides told that they live.
    let beats = |letter| told.kinds(streams[0], letter == 'H').matches(letter).count();
    assert!(beats('H') >= 2 && beats('R') >= 1, "{} and {}", beats('H'), beats('R'));
    let orders: usize = streams.iter().map(|stream| told.kinds(*stream, false).matches('U').count()).sum();
    assert_eq!(orders, 70);
}
