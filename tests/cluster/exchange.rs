//! The reference exchange, whole: orders of OUCH 5.0 by TCP through a gateway, two replicas behind the
//! stream, answers at the clients' sockets, and the market as ITCH 5.0 from a feed, while a replica and a
//! leader are killed.

mod late;
mod path;

use itch50::Message;
use lockstep_app::query;
use lockstep_testkit::feeds::{self, Listener};
use lockstep_testkit::gateways::{add_user, start};
use lockstep_testkit::processes::{Cluster, PATIENCE, Process, free_address};
use lockstep_testkit::trader::{Trader, login_of};
use ouch50::{ClOrdId, EnterOrder, Options, Outbound, Price, Side, Symbol};
use std::collections::BTreeMap;
use std::net::SocketAddrV4;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

const ORDERS: u32 = 200;
/// The channels of operators and of the market.
const CHANNELS: &str = "\n[[channels]]\nid = 1\n\n[[channels]]\nid = 2\n";

/// A program of the package `lockstep-exchange`.
fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_BIN_EXE_lockstep")).with_file_name("examples").join(name)
}

/// Whether these programs are there.
fn are_built(names: &[&str]) -> bool {
    let are_built = names.iter().all(|name| example(name).exists());
    if !are_built {
        println!("SKIPPED: the examples are not built: `cargo build --examples` first, as `cargo test` does");
    }
    are_built
}

fn order(user_ref_num: u32, side: Side, quantity: u32, price: u64) -> Vec<u8> {
    let order = EnterOrder {
        user_ref_num,
        side,
        quantity,
        symbol: Symbol::new(b"ABC").expect("ASCII"),
        price: Price(price),
        time_in_force: ouch50::codes::TimeInForce::Day,
        display: ouch50::codes::Display::Visible,
        capacity: ouch50::codes::Capacity::Agency,
        is_sweep: false,
        cross_type: ouch50::codes::CrossType::Continuous,
        cl_ord_id: ClOrdId::new(format!("order {user_ref_num}").as_bytes()).expect("ASCII"),
        options: Options::NONE,
    };
    let mut bytes = Vec::new();
    order.append(&mut bytes).expect("it can be written");
    bytes
}

/// The kinds of the OUCH messages that a client has, each counted.
fn kinds(trader: &Trader) -> BTreeMap<char, u32> {
    let mut kinds = BTreeMap::new();
    for (_, message) in &trader.messages {
        let parsed = Outbound::parse(message);
        assert!(parsed.is_ok(), "{parsed:?}");
        *kinds.entry(char::from(message[0])).or_default() += 1;
    }
    kinds
}

struct Replicas<'a> {
    cluster: &'a Cluster,
    addresses: [SocketAddrV4; 2],
}

impl<'a> Replicas<'a> {
    fn new(cluster: &'a Cluster) -> Self {
        let address = || free_address().to_string().parse().expect("IPv4");
        Self { cluster, addresses: [address(), address()] }
    }

    /// One of the package's programs, on this cluster.
    fn command(&self, name: &str) -> Command {
        let mut command = Command::new(example(name));
        command.current_dir(self.cluster.path("")).env("LOCKSTEP_CONFIG", self.cluster.config());
        command
    }

    fn start(&self, index: usize) -> Process {
        let mut command = self.command("exchange");
        command.args([(index + 1).to_string(), self.addresses[index].to_string(), "300".to_owned()]);
        self.cluster.start_command(&format!("exchange-{}", index + 1), command)
    }

    /// Waits until both answer the same to this query.
    fn both_answer(&self, request: &[u8], is_wanted: impl Fn(&str) -> bool) -> String {
        let began = Instant::now();
        loop {
            let answers = self.addresses.map(|address| query(address, request).unwrap_or_default());
            let text = String::from_utf8_lossy(&answers[0]).into_owned();
            if answers[0] == answers[1] && is_wanted(&text) {
                return text;
            }
            assert!(began.elapsed() < PATIENCE, "{answers:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

#[test]
fn orders_by_tcp_are_matched_once_whoever_dies_and_the_feed_has_the_same_market() {
    if !are_built(&["exchange"]) {
        return;
    }
    let cluster = Cluster::new(3, CHANNELS);
    let mut sequencers = cluster.found();
    add_user(&cluster, "alice", "secret", &[]);
    add_user(&cluster, "bob", "secret", &[]);
    let feed = feeds::start(&cluster, "itch", "channel:2");
    let mut listener = Listener::new(&feed, "FIRST", 7);
    let replicas = Replicas::new(&cluster);
    let (_first, mut second) = (replicas.start(0), replicas.start(1));
    let gateway = start(&cluster, "1");
    let log_in = |user| Trader::log_in(gateway.address, login_of(user, "secret", "", 1)).expect("a login");
    let (mut alice, mut bob) = (log_in("alice"), log_in("bob"));
    for number in 1..=ORDERS {
        // Bob buys what Alice sells, at her price.
        alice.send(&order(number, Side::Sell, 10, 100_000));
        bob.send(&order(number, Side::Buy, 10, 100_000));
        if number == ORDERS / 3 {
            second.signal("KILL");
            second.wait();
            second = replicas.start(1);
        }
        if number == 2 * ORDERS / 3 {
            sequencers[0].signal("KILL");
            sequencers[0].wait();
            sequencers[0] = cluster.start_replica(1);
        }
        alice.poll();
        bob.poll();
    }
    let traded = |trader: &Trader| kinds(trader).get(&'E').copied().unwrap_or(0);
    alice.until("all of its executions", |trader| traded(trader) >= ORDERS);
    bob.until("all of its executions", |trader| traded(trader) >= ORDERS);
    for trader in [&alice, &bob] {
        let kinds = kinds(trader);
        assert_eq!(
            (kinds.get(&'A'), kinds.get(&'E'), kinds.get(&'J')),
            (Some(&ORDERS), Some(&ORDERS), None),
            "{kinds:?}"
        );
    }
    // Both replicas have the same book, which is empty.
    replicas.both_answer(b"book ABC", |text| !text.is_empty());

    let executed = |listener: &Listener| {
        let is_execution = |message: &&(u64, Vec<u8>)| matches!(message.1.first(), Some(b'E' | b'C' | b'P'));
        listener.had.iter().filter(is_execution).count() as u32
    };
    listener.until("all executions on the feed", |listener| executed(listener) >= ORDERS);
    assert_eq!(executed(&listener), ORDERS);
    assert!(listener.had.iter().all(|(_, message)| Message::parse(message).is_ok()));
    assert!(listener.had.iter().map(|(seq, _)| *seq).eq(1..=listener.had.len() as u64));
}
