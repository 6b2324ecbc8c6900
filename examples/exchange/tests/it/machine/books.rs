//! Books rebuilt from the feed by somebody else's parser are the engine's: after every input, and for a
//! reader who comes late with a GLIMPSE snapshot.

use super::flow::{Dice, Flow};
use super::venue::{FEED, Published, Venue, machine};
use itchy::Body;
use lockstep_exchange::{ExchangeMachine, Side, Symbol};
use lockstep_machine::StateMachine;
use std::collections::BTreeMap;

/// What they read of messages that stand behind their lengths.
fn read_by_itchy(framed: &[u8]) -> Vec<itchy::Message> {
    let stream = itchy::MessageStream::from_reader(framed);
    stream.map(|message| message.unwrap_or_else(|error| panic!("{error}"))).collect()
}

/// A displayed order: locate, whether it buys, shares, price.
type Displayed = (u16, bool, u32, u32);

/// Books as a reader of the feed has them.
#[derive(Clone, Default)]
struct Reader {
    locates: BTreeMap<String, u16>,
    orders: BTreeMap<u64, Displayed>,
}

impl Reader {
    fn less(&mut self, reference: u64, shares: u32) {
        let order = self.orders.get_mut(&reference).expect("an order of the book");
        assert!(order.2 >= shares, "more than order {reference} has");
        order.2 -= shares;
        if order.2 == 0 {
            self.orders.remove(&reference);
        }
    }

    fn read(&mut self, message: &itchy::Message) {
        match &message.body {
            Body::StockDirectory(entry) => {
                self.locates.insert(entry.stock.trim_end().to_owned(), message.stock_locate);
            }
            Body::AddOrder(add) => {
                let is_buy = matches!(add.side, itchy::Side::Buy);
                let order = (message.stock_locate, is_buy, add.shares, add.price.raw());
                // The next part of an iceberg has a new number: none is on the book twice.
                assert_eq!(self.orders.insert(add.reference, order), None);
            }
            Body::OrderExecuted { reference, executed, .. }
            | Body::OrderExecutedWithPrice { reference, executed, .. } => self.less(*reference, *executed),
            Body::OrderCancelled { reference, cancelled } => self.less(*reference, *cancelled),
            Body::DeleteOrder { reference } => {
                self.orders.remove(reference).expect("an order of the book");
            }
            Body::ReplaceOrder(new) => {
                let (locate, is_buy, ..) =
                    self.orders.remove(&new.old_reference).expect("an order of the book");
                self.orders.insert(new.new_reference, (locate, is_buy, new.shares, new.price.raw()));
            }
            _ => {}
        }
    }

    fn read_all(&mut self, published: &Published) {
        let mut framed = Vec::new();
        for (_, bytes) in published.iter().filter(|(to, _)| *to == FEED) {
            framed.extend_from_slice(&(bytes.len() as u16).to_be_bytes());
            framed.extend_from_slice(bytes);
        }
        read_by_itchy(&framed).iter().for_each(|message| self.read(message));
    }

    /// Panics unless each book is the engine's, order by order and in its priority.
    fn compare(&self, machine: &ExchangeMachine) {
        for symbol in machine.engine().symbols() {
            let locate = self.locates[String::from_utf8_lossy(&symbol.0).trim_end()];
            for side in [Side::Buy, Side::Sell] {
                assert_eq!(self.side(locate, side), engines(machine, symbol, side), "{symbol:?} {side:?}");
            }
        }
    }

    /// Best price first, then the lower number.
    fn side(&self, locate: u16, side: Side) -> Vec<(u64, u32, u32)> {
        let is_it = |order: &Displayed| (order.0, order.1) == (locate, side == Side::Buy);
        let orders = self.orders.iter().filter(|(_, order)| is_it(order));
        let mut orders: Vec<_> = orders.map(|(number, order)| (*number, order.2, order.3)).collect();
        orders.sort_by_key(|(number, _, price)| {
            let price = i64::from(*price);
            (if side == Side::Buy { -price } else { price }, *number)
        });
        orders
    }
}

/// Number, quantity and price of each displayed order.
fn engines(machine: &ExchangeMachine, symbol: Symbol, side: Side) -> Vec<(u64, u32, u32)> {
    let orders = machine.engine().displayed_orders(symbol, side);
    orders.map(|order| (order.number, order.displayed, order.price as u32)).collect()
}

/// A reader that begins with a GLIMPSE snapshot, and the number of the feed's next message.
fn late(machine: &ExchangeMachine) -> (Reader, u64) {
    let mut answer = Vec::new();
    machine.query(b"glimpse", &mut answer);
    let end = answer.len() - itch50::EndOfSnapshot::LEN - 2;
    let last = itch50::EndOfSnapshot::parse(&answer[end + 2..]).expect("the end of the snapshot");
    let mut reader = Reader::default();
    read_by_itchy(&answer[..end]).iter().for_each(|message| reader.read(message));
    (reader, last.next_seq)
}

#[test]
fn books_of_the_feed_are_the_engines_also_for_a_reader_who_comes_late() {
    let (mut compared, mut shown) = (0, 0);
    for seed in 0..20 {
        let mut venue = Venue::new(machine(), 0);
        let mut reader = Reader::default();
        for publisher in 1..=4 {
            let event = lockstep_machine::InputEvent::Connected { user: "user", publisher };
            reader.read_all(&venue.input(event));
        }
        let (mut flow, mut dice) = (Flow::new(4), Dice(seed));
        let mut feed = venue.machine.published();
        let mut joined = Vec::new();
        for step in 0..500 {
            let (account, bytes) = flow.message(&mut dice);
            let mut published = venue.bytes(account, &bytes);
            published.extend(Flow::line(&mut dice).map(|line| venue.operator(&line)).unwrap_or_default());
            published.extend(venue.wait(dice.below(50_000_000)));
            feed += published.iter().filter(|(to, _)| *to == FEED).count() as u64;
            reader.read_all(&published);
            reader.compare(&venue.machine);
            for other in &mut joined {
                let other: &mut Reader = other;
                other.read_all(&published);
                other.compare(&venue.machine);
            }
            if step % 100 == 50 {
                let (other, next) = late(&venue.machine);
                assert_eq!(next, feed + 1, "the next message of the feed");
                other.compare(&venue.machine);
                joined.push(other);
            }
            compared += 1 + joined.len();
            shown = shown.max(reader.orders.len());
        }
    }
    println!("{compared} books compared, up to {shown} orders displayed");
    assert!(shown > 20, "{shown}");
}
