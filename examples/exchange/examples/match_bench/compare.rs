//! The same flow through `lobster`, a single-threaded book without accounts, limits, reports or published
//! events: the fastest book for Rust that the registry has, as far as we found. One book for each instrument.
//! It knows neither IOC nor replace: the rest of an IOC order is canceled, a replacement is a cancel and a
//! new order. A reduction has no counterpart and is left out.
//!
//! `orderbook-rs` 0.15 is no part of this: it brings 60 crates and wants a newer compiler than this
//! workspace. By the same translation it took 8 to 20 times as long as either.

use crate::{Recorded, Times, rounds};
use lobster::{OrderBook, OrderEvent, OrderType};
use lockstep_exchange::{ExchangeCommand, Side, Symbol, TimeInForce};
use std::collections::BTreeMap;

/// A command as the book has it: the index of the instrument, and one or two orders.
type Step = (usize, OrderType, Option<OrderType>);

/// Orders by account and token: index of the instrument, the book's id, side.
#[derive(Default)]
struct Translation {
    books: BTreeMap<Symbol, usize>,
    orders: BTreeMap<(u32, u32), (usize, u128, lobster::Side)>,
    ids: u128,
}

impl Translation {
    fn limit(&mut self, key: (u32, u32), at: usize, side: lobster::Side, qty: u32, price: u64) -> OrderType {
        self.ids += 1;
        self.orders.insert(key, (at, self.ids, side));
        OrderType::Limit { id: self.ids, side, qty: u64::from(qty), price }
    }

    fn step(&mut self, command: &ExchangeCommand) -> Option<Step> {
        match *command {
            ExchangeCommand::DefineInstrument(terms) => {
                let at = self.books.len();
                self.books.insert(terms.symbol, at);
                None
            }
            ExchangeCommand::Enter(new) => {
                let at = *self.books.get(&new.symbol)?;
                let side = if new.side == Side::Buy { lobster::Side::Bid } else { lobster::Side::Ask };
                let order = self.limit((new.account, new.token), at, side, new.quantity, new.price);
                let is_ioc = new.time_in_force == TimeInForce::Ioc;
                Some((at, order, is_ioc.then_some(OrderType::Cancel { id: self.ids })))
            }
            ExchangeCommand::Cancel { account, token, quantity: 0 } => {
                let (at, id, _) = *self.orders.get(&(account, token))?;
                Some((at, OrderType::Cancel { id }, None))
            }
            ExchangeCommand::Replace(new) => {
                let (at, id, side) = *self.orders.get(&(new.account, new.original))?;
                let order = self.limit((new.account, new.token), at, side, new.quantity, new.price);
                Some((at, OrderType::Cancel { id }, Some(order)))
            }
            _ => None,
        }
    }
}

struct Books {
    books: Vec<OrderBook>,
    fills: usize,
}

impl Books {
    fn execute(&mut self, at: usize, order: OrderType) {
        if let OrderEvent::Filled { fills, .. } | OrderEvent::PartiallyFilled { fills, .. } =
            std::hint::black_box(self.books[at].execute(order))
        {
            self.fills += fills.len();
        }
    }

    fn apply(&mut self, (at, first, second): &Step) {
        self.execute(*at, *first);
        if let Some(second) = second {
            self.execute(*at, *second);
        }
    }
}

/// Times of the measured part of a flow, and its fills.
pub fn measure(recorded: &Recorded) -> (Times, usize) {
    let mut translation = Translation::default();
    let setup: Vec<_> = recorded.setup.iter().filter_map(|command| translation.step(command)).collect();
    let measured: Vec<_> = recorded.measured.iter().filter_map(|command| translation.step(command)).collect();
    let count = translation.books.len();
    let room = 2 * setup.len() / count.max(1) + 64;
    let mut fills = 0;
    let prepare = || {
        let books = (0..count).map(|_| OrderBook::new(room, 8, false)).collect();
        let mut books = Books { books, fills: 0 };
        for step in &setup {
            books.apply(step);
        }
        books.fills = 0;
        books
    };
    let times = rounds(&measured, prepare, |books, step| {
        books.apply(step);
        fills = books.fills;
    });
    (times, fills)
}
