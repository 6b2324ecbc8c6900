//! A reader that comes late: a GLIMPSE snapshot by SoupBinTCP while trading goes on, and the feed behind it.

use super::{CHANNELS, Replicas, are_built, order};
use itch50::{Message, Side as ItchSide, SnapshotMessage};
use lockstep_testkit::feeds::{self, Listener};
use lockstep_testkit::gateways::{add_user, start};
use lockstep_testkit::processes::{Cluster, PATIENCE, Process};
use lockstep_testkit::trader::{Trader, login_of};
use ouch50::{CancelOrder, ClOrdId, Options, Price, ReplaceOrder, Side};
use soupbintcp::{ClientEnd, RejectReason};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Orders of each trader before the reader comes, and numbers that they use for them.
const ORDERS: u32 = 60;
/// Orders of each while the reader is there, at most.
const ORDERS_MAX: usize = 20_000;
/// Connections that the server has at once.
const CONNECTIONS_MAX: usize = 64;
/// Between two orders of each while the reader is there.
const PAUSE: Duration = Duration::from_millis(1);

/// The displayed orders of ABC, as messages of ITCH build them: side, shares and price by number.
#[derive(Default)]
struct LateBook {
    orders: BTreeMap<u64, (ItchSide, u32, u32)>,
}

impl LateBook {
    fn reduce(&mut self, number: u64, shares: u32) {
        let order = self.orders.get_mut(&number).expect("an order that was added");
        order.1 = order.1.checked_sub(shares).expect("no more than it has");
        if order.1 == 0 {
            self.orders.remove(&number);
        }
    }

    fn apply(&mut self, message: &Message) {
        match *message {
            Message::AddOrder(add) => {
                let before = self.orders.insert(add.reference, (add.side, add.shares, add.price.0));
                assert!(before.is_none(), "{add:?} is there already");
            }
            Message::OrderExecuted(executed) => self.reduce(executed.reference, executed.shares),
            Message::OrderCancel(cancel) => self.reduce(cancel.reference, cancel.shares),
            Message::OrderDelete(delete) => {
                self.orders.remove(&delete.reference).expect("an order that was added");
            }
            Message::OrderReplace(replace) => {
                let (side, ..) = self.orders.remove(&replace.original).expect("an order that was added");
                self.orders.insert(replace.reference, (side, replace.shares, replace.price.0));
            }
            _ => {}
        }
    }

    /// As a replica answers `book ABC`, without the first line.
    fn text(&self) -> String {
        let mut rows: Vec<_> = self.orders.iter().map(|(number, order)| (*number, *order)).collect();
        rows.sort_by_key(|(number, (side, _, price))| match side {
            ItchSide::Buy => (0, u32::MAX - price, *number),
            ItchSide::Sell => (1, *price, *number),
        });
        let line = |(number, (side, shares, price)): (u64, (ItchSide, u32, u32))| {
            let word = if side == ItchSide::Buy { "buy" } else { "sell" };
            format!("{word} {shares} at {}.{:04} order {number}\n", price / 10_000, price % 10_000)
        };
        rows.into_iter().map(line).collect()
    }
}

fn replace(original: u32, user_ref_num: u32, quantity: u32, price: u64) -> Vec<u8> {
    let replacement = ReplaceOrder {
        original,
        user_ref_num,
        quantity,
        price: Price(price),
        time_in_force: ouch50::codes::TimeInForce::Day,
        display: ouch50::codes::Display::Visible,
        is_sweep: false,
        cl_ord_id: ClOrdId::BLANK,
        options: Options::NONE,
    };
    let mut bytes = Vec::new();
    replacement.append(&mut bytes).expect("it can be written");
    bytes
}

fn cancel(user_ref_num: u32, quantity: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    let message = CancelOrder { user_ref_num, quantity, options: Options::NONE };
    message.append(&mut bytes).expect("it can be written");
    bytes
}

/// An order of each, which uses the numbers `number` and the next: they rest at several prices, and some
/// trade, some are replaced, some are cut or cancelled.
fn trade(alice: &mut Trader, bob: &mut Trader, number: u32) {
    let price = 100_000 + u64::from(number % 7) * 100;
    alice.send(&order(number, Side::Sell, 20, price));
    bob.send(&order(number, Side::Buy, 10, 100_000 + u64::from(number % 5) * 100 - 300));
    match number % 8 {
        1 => alice.send(&replace(number, number + 1, 15, price + 100)),
        3 => alice.send(&cancel(number, 0)),
        5 => bob.send(&cancel(number, 4)),
        _ => bob.send(&order(number + 1, Side::Buy, 5, 100_200)),
    }
}

/// Starts the GLIMPSE server; where it listens.
fn start_glimpse(replicas: &Replicas<'_>) -> (Process, SocketAddr) {
    let users = replicas.cluster.path("users.toml");
    let mut command = replicas.command("glimpse");
    command.args(["3", "127.0.0.1:0"]).arg(users);
    let mut process = replicas.cluster.start_command("glimpse", command);
    let mut line = String::new();
    let read = BufReader::new(process.take_stdout()).read_line(&mut line);
    let address = line.trim().strip_prefix("listening ").and_then(|address| address.parse().ok());
    (process, address.unwrap_or_else(|| panic!("{read:?} {line:?}")))
}

/// The text with which a connection ends that sends no packet; none if it is closed at once.
fn garbage(address: SocketAddr) -> String {
    let mut stream = TcpStream::connect(address).expect("a connection");
    let mut bytes = Vec::new();
    let sent = stream.write_all(b"GET / HTTP/1.1\r\n\r\n").and_then(|()| stream.shutdown(Shutdown::Write));
    let read = sent.and_then(|()| stream.read_to_end(&mut bytes));
    read.map(|_| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

/// Connects more often than the server takes: so many are closed at once, the others wait for their login,
/// and behind them others are served again.
fn overfill(address: SocketAddr, more: usize) {
    let connect = |_| {
        let stream = TcpStream::connect(address).expect("a connection");
        stream.set_nonblocking(true).expect("a socket that does not block");
        stream
    };
    let mut streams: Vec<_> = (0..CONNECTIONS_MAX + more).map(connect).collect();
    let is_closed = |stream: &mut TcpStream| stream.read(&mut [0]).is_ok_and(|len| len == 0);
    wait_until(|| streams.iter_mut().map(is_closed).filter(|is_closed| *is_closed).count() == more);
    drop(streams);
    wait_until(|| !garbage(address).is_empty());
}

fn wait_until(mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < PATIENCE, "it does not become so");
        std::thread::sleep(PAUSE);
    }
}

/// Takes a snapshot: the book, and the number at which the feed goes on.
fn take_snapshot(address: SocketAddr) -> (LateBook, u64) {
    let mut reader = Trader::connect(address, login_of("reader", "secret", "", 1)).expect("a connection");
    reader.until("the end of its session", |reader| reader.ended().is_some());
    assert_eq!((reader.accepted(), reader.ended()), (Some(("GLIMPSE", 1)), Some(ClientEnd::EndOfSession)));
    let (mut book, mut next) = (LateBook::default(), None);
    for (_, message) in &reader.messages {
        assert_eq!(next, None, "nothing follows the end of a snapshot");
        match SnapshotMessage::parse(message).expect("a message of GLIMPSE") {
            SnapshotMessage::Part(part) => book.apply(&part),
            SnapshotMessage::End(end) => next = Some(end.next_seq),
        }
    }
    (book, next.expect("the end of the snapshot"))
}

#[test]
fn a_late_reader_has_the_engines_books_of_a_glimpse_snapshot_and_the_feed_behind_it() {
    if !are_built(&["exchange", "glimpse"]) {
        return;
    }
    let cluster = Cluster::new(1, CHANNELS);
    let _sequencers = cluster.found();
    ["alice", "bob", "reader"].iter().for_each(|user| add_user(&cluster, user, "secret", &[]));
    let feed = feeds::start(&cluster, "itch", "channel:2");
    let replicas = Replicas::new(&cluster);
    let _replicas = (replicas.start(0), replicas.start(1));
    let (_glimpse, address) = start_glimpse(&replicas);
    let gateway = start(&cluster, "1");
    let log_in = |user| Trader::log_in(gateway.address, login_of(user, "secret", "", 1)).expect("a login");
    let (mut alice, mut bob) = (log_in("alice"), log_in("bob"));
    let numbers = |from: u32| (from..).step_by(2);
    numbers(1).take(ORDERS as usize).for_each(|number| trade(&mut alice, &mut bob, number));
    alice.await_messages(ORDERS as usize);

    overfill(address, 2);
    // They trade on while the reader comes, and while others are refused.
    let has_snapshot = AtomicBool::new(false);
    let (last, book, next) = std::thread::scope(|scope| {
        let trading = scope.spawn(|| {
            let is_on = |_: &u32| !has_snapshot.load(Ordering::Acquire);
            let last = numbers(1 + 2 * ORDERS).take(ORDERS_MAX).take_while(is_on).inspect(|number| {
                trade(&mut alice, &mut bob, *number);
                std::thread::sleep(PAUSE);
            });
            last.last().expect("they trade")
        });
        let refused = Trader::log_in(address, login_of("reader", "wrong", "", 1)).err();
        let text = garbage(address);
        let (book, next) = take_snapshot(address);
        has_snapshot.store(true, Ordering::Release);
        assert_eq!(refused, Some(ClientEnd::Rejected(RejectReason::NotAuthorized)));
        assert!(text.contains("from the client: "), "{text:?}");
        (trading.join().expect("they trade"), book, next)
    });
    assert!(next > 1 && !book.orders.is_empty());
    numbers(last + 2).take(ORDERS as usize).for_each(|number| trade(&mut alice, &mut bob, number));
    let listener = Listener::starting_at(&feed, "FIRST", next, 7);
    follow(&replicas, (&mut alice, &mut bob), last + 2 + 2 * ORDERS, listener, book);
}

/// Follows the feed up to a last order of each, with this number: then the book is that of both replicas.
fn follow(
    replicas: &Replicas<'_>,
    (alice, bob): (&mut Trader, &mut Trader),
    number: u32,
    mut listener: Listener,
    mut book: LateBook,
) {
    // The last answers: everything before them is in the books of the replicas that sent them.
    let last = order(number, Side::Sell, 1, 109_900);
    alice.send(&last);
    let is_last = |(_, message): &(u64, Vec<u8>)| message[0] == b'A' && message[9..13] == last[1..5];
    alice.until("its last order", |alice| alice.messages.iter().any(is_last));
    bob.send(&order(number, Side::Buy, 1, 90_100));
    bob.until("its last order", |bob| bob.messages.iter().any(is_last));
    let last_buy = "buy 1 at 9.0100 order ";
    let text = replicas.both_answer(b"book ABC", |text| text.contains(last_buy));
    let (_, rows) = text.split_once('\n').expect("a first line");
    listener.until("the last order on the feed", |listener| {
        let is_last = |message: &Message| matches!(message, Message::AddOrder(add) if add.price.0 == 90_100);
        listener.had.last().is_some_and(|(_, bytes)| Message::parse(bytes).is_ok_and(|last| is_last(&last)))
    });
    for (_, message) in &listener.had {
        book.apply(&Message::parse(message).expect("a message of ITCH"));
    }
    assert_eq!(book.text(), rows);
    assert!(rows.lines().count() > 20, "{rows}");
}
