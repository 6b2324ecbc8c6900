//! # trading: gateways and leaders die while clients trade
//!
//! Scripted clients send numbered orders through two gateways and count the answers of an application that
//! acknowledges each. Now and then a gateway is killed, or the leader. A client whose connection ends logs in
//! at the other gateway with the number that it expects next, learns the last of its own numbers that is
//! committed, and sends on from there. In the end each has exactly one answer to each of its orders, in
//! order, and the stream has each order once.

use crate::exchange::{Received, acknowledge};
use crate::gateways::{self, Running};
use crate::processes::{Cluster, PRODUCT_TIMING};
use crate::trader::{Trader, login_of};
use lockstep_client::Endpoint;
use lockstep_config::Config;
use lockstep_memory::rng::Rng;
use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Orders that a client has without an answer, at most.
const OUTSTANDING: u64 = 8;
/// Between two kills all clients have had so many answers each.
const ORDERS_BETWEEN: u64 = 20;
/// How long anything is waited for.
const PATIENCE: Duration = Duration::from_secs(60);
/// Small tails are no burden, and gateways notice each other's death soon.
const MORE: &str = "\n[gateway]\nheartbeat_interval = \"100ms\"\nspool_size = \"1GiB\"\n";

/// What was shown.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Shown {
    /// Clients.
    pub clients: usize,
    /// Orders that they sent, each once in the stream.
    pub orders: usize,
    /// Gateways that were killed.
    pub gateways: u32,
    /// Leaders that were killed.
    pub leaders: u32,
    /// Logins behind the first ones.
    pub logins: u64,
    /// Longest time from a kill until every client had another answer.
    pub longest: Duration,
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { clients, orders, gateways, leaders, logins, longest } = self;
        write!(
            f,
            "{clients} clients sent {orders} orders while {gateways} gateways and {leaders} leaders were killed, and \
             logged in {logins} times more; each order is in the stream once, each client had each of its answers \
             once and in order; longest time from a kill until all had another answer: {longest:.0?}"
        )
    }
}

/// A client, and what it has.
struct Client {
    name: String,
    /// Answers, in order; it expects the next.
    answers: Vec<Vec<u8>>,
    /// Orders that are sent or known to be committed.
    sent: u64,
    /// Whether its login was answered, and its last number known.
    knows: bool,
    trader: Option<Trader>,
    prefers: usize,
    logins: u64,
}

fn order(number: u64) -> Vec<u8> {
    [&number.to_be_bytes()[..], b"buy 100"].concat()
}

fn answer(number: u64) -> Vec<u8> {
    [b"ack ", &order(number)[..]].concat()
}

impl Client {
    fn new(number: usize) -> Self {
        let name = format!("c{number}");
        Self { name, answers: Vec::new(), sent: 0, knows: false, trader: None, prefers: number, logins: 0 }
    }

    /// Does what it can without waiting: connects, sends up to order `until`, counts answers.
    fn poll(&mut self, gateways: &[SocketAddr], until: u64) {
        let Some(trader) = &mut self.trader else {
            self.prefers += 1;
            let login = login_of(&self.name, "secret", "", self.answers.len() as u64 + 1);
            self.trader = Trader::connect(gateways[self.prefers % gateways.len()], login).ok();
            (self.knows, self.logins) = (false, self.logins + 1);
            return;
        };
        trader.poll();
        for (seq, message) in trader.messages.drain(..) {
            assert_eq!(seq, self.answers.len() as u64 + 1, "{}", self.name);
            assert_eq!(message, answer(seq), "{}: each answer once, in order", self.name);
            self.answers.push(message);
        }
        if let Some(last) = trader.unsequenced.pop() {
            let last = u64::from_be_bytes(last.try_into().expect("eight bytes"));
            assert!(last >= self.answers.len() as u64, "{}: what was answered is committed", self.name);
            (self.sent, self.knows) = (last, true);
        }
        while self.knows && self.sent < until && self.sent < self.answers.len() as u64 + OUTSTANDING {
            self.sent += 1;
            trader.send(&order(self.sent));
        }
        if trader.ended().is_some() {
            self.trader = None;
        }
    }
}

/// Lets `clients` trade while `gateways` gateways and `leaders` leaders are killed, in turn.
///
/// # Panics
/// A client that was answered twice, not at all, or out of order; an order that is in the stream twice.
pub fn trade(rng: &mut Rng, clients: usize, gateways: u32, leaders: u32) -> Shown {
    let cluster = Cluster::new(3, &format!("{MORE}{PRODUCT_TIMING}"));
    let mut replicas = cluster.found();
    for number in 0..clients {
        gateways::add_user(&cluster, &format!("c{number}"), "secret", &["--numbered", "--grace-ms", "200"]);
    }
    let mut running: Vec<Running> = ["1", "2"].map(|name| gateways::start(&cluster, name)).into();
    let config = Config::load(Some(&cluster.config()), &[]).unwrap_or_else(|error| panic!("{error}"));
    let endpoint = Endpoint::from_config(&config).unwrap_or_else(|errors| panic!("{errors}"));
    let stop = AtomicBool::new(false);
    let mut traders: Vec<Client> = (0..clients).map(Client::new).collect();
    let (mut killed, mut longest, mut until) = ([0, 0], Duration::ZERO, 0);
    let received = std::thread::scope(|scope| {
        let exchange = scope.spawn(|| acknowledge(&endpoint, &stop));
        let _stops = StopAtEnd(&stop);
        while killed != [gateways, leaders] {
            until += ORDERS_BETWEEN;
            // The first half flows before the kill, the second behind it.
            let addresses = |running: &[Running]| running.iter().map(|one| one.address).collect::<Vec<_>>();
            flow(&mut traders, &addresses(&running), until, until - ORDERS_BETWEEN / 2);
            let kills_gateway = killed[0] < gateways && (killed[1] == leaders || killed[0] <= killed[1]);
            let began = Instant::now();
            if kills_gateway {
                let index = rng.below(2) as usize;
                running[index].process.signal("KILL");
                running[index].process.wait();
                flow(&mut traders, &addresses(&running), until, until);
                longest = longest.max(began.elapsed());
                running[index] = gateways::start(&cluster, ["1", "2"][index]);
                killed[0] += 1;
            } else {
                let leader = replicas.iter().position(|replica| crate::takeover::leads(&replica.log()));
                let index = leader.expect("one that says that it leads");
                replicas[index].signal("KILL");
                replicas[index].wait();
                flow(&mut traders, &addresses(&running), until, until);
                longest = longest.max(began.elapsed());
                replicas[index] = cluster.start_replica(index as u32 + 1);
                killed[1] += 1;
            }
        }
        stop.store(true, Ordering::Release);
        exchange.join().unwrap_or_else(|why| std::panic::resume_unwind(why))
    });
    judge(&received, &traders, until);
    Shown {
        clients,
        orders: received.orders.len(),
        gateways: killed[0],
        leaders: killed[1],
        logins: traders.iter().map(|client| client.logins - 1).sum(),
        longest,
    }
}

/// Ends the application also where a judgement fails.
struct StopAtEnd<'a>(&'a AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// Polls all clients, which may send up to order `until`, until each has `answers` answers.
fn flow(clients: &mut [Client], gateways: &[SocketAddr], until: u64, answers: u64) {
    let deadline = Instant::now() + PATIENCE;
    while clients.iter().any(|client| (client.answers.len() as u64) < answers) {
        clients.iter_mut().for_each(|client| client.poll(gateways, until));
        if Instant::now() > deadline {
            let waits = |client: &&Client| (client.answers.len() as u64) < answers;
            let stuck: Vec<_> = clients.iter().filter(waits).map(describe).collect();
            panic!("waiting for {answers} answers of {until}: {stuck:?}");
        }
        std::thread::sleep(Duration::from_micros(500));
    }
}

fn describe(client: &Client) -> String {
    let trader = client.trader.as_ref();
    let ends = trader.map(|trader| (trader.accepted().map(|at| at.1), trader.ended(), trader.debug.clone()));
    format!("{}: {} answers, {} sent, {ends:?}", client.name, client.answers.len(), client.sent)
}

fn judge(received: &Received, clients: &[Client], until: u64) {
    let mut orders: BTreeMap<&str, u64> = BTreeMap::new();
    for (user, message) in &received.orders {
        let number = orders.entry(user).or_default();
        *number += 1;
        assert_eq!(*message, order(*number), "{user}: each order once, in order");
    }
    for client in clients {
        assert_eq!((orders.get(client.name.as_str()), client.answers.len() as u64), (Some(&until), until));
    }
}
