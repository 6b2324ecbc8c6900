//! What must hold of outputs alone, whatever the rules are: a bookkeeper who sees reports and market events,
//! and knows nothing of the engine.
//!
//! * An order's quantity is executed, canceled or open: nothing is created or lost.
//! * A trade has two executions, one buy and one sell, of the same quantity and price.
//! * An execution hits the order that stands first on its side of the published book.
//! * The published book is the engine's.
//! * Positions of an instrument add to zero.

use super::outputs::Out;
use lockstep_exchange::*;
use std::collections::BTreeMap;

/// An order as its account knows it.
#[derive(Clone, Copy, Debug)]
struct Known {
    symbol: Symbol,
    side: Side,
    open: u32,
}

/// One side of a trade: account, instrument, side, quantity, price.
type Party = (u32, Symbol, Side, u32, u64);

/// A displayed order as everybody knows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Published {
    side: Side,
    quantity: u32,
    price: u64,
}

#[derive(Clone, Debug, Default)]
pub struct Ledger {
    orders: BTreeMap<(u32, u32), Known>,
    positions: BTreeMap<(u32, Symbol), i64>,
    /// The sides of each trade that stands.
    trades: BTreeMap<u64, Vec<Party>>,
    books: BTreeMap<u16, BTreeMap<u64, Published>>,
    symbols: BTreeMap<u16, Symbol>,
}

impl Ledger {
    /// Books the outputs of one command.
    pub fn book(&mut self, out: &[Out]) {
        let mut matches = vec![];
        for out in out {
            match *out {
                Out::Report(report) => self.report(report, &mut matches),
                Out::Market(event) => self.market(event),
                _ => {}
            }
        }
        for number in matches {
            let parties = &self.trades[&number];
            let [one, two] = parties[..] else { panic!("trade {number} has parties {parties:?}") };
            assert_eq!((one.1, one.3, one.4), (two.1, two.3, two.4), "both sides of trade {number}");
            assert_ne!(one.2, two.2, "trade {number} has a buyer and a seller");
        }
    }

    fn report(&mut self, report: OrderReport, matches: &mut Vec<u64>) {
        match report {
            OrderReport::Accepted { account, token, terms } => {
                let OrderTerms { symbol, side, quantity: open, .. } = terms;
                let before = self.orders.insert((account, token), Known { symbol, side, open });
                assert!(before.is_none(), "token {token} of account {account} is accepted twice");
            }
            OrderReport::Replaced { account, token, original, terms, .. } => {
                let old = self.orders.remove(&(account, original)).expect("an order that is known");
                assert!(old.open > 0, "an order that is over is replaced");
                self.orders.insert((account, token), Known { open: terms.quantity, ..old });
            }
            OrderReport::Canceled { account, token, quantity, .. } => {
                self.take(account, token, quantity);
            }
            OrderReport::Executed { account, token, quantity, price, match_number, .. } => {
                let Known { symbol, side, .. } = self.take(account, token, quantity);
                let signed = if side == Side::Buy { i64::from(quantity) } else { -i64::from(quantity) };
                *self.positions.entry((account, symbol)).or_default() += signed;
                self.trades.entry(match_number).or_default().push((account, symbol, side, quantity, price));
                matches.push(match_number);
            }
            OrderReport::Broken { account, match_number, .. } => {
                // One report for each party; an account that traded with itself gets two.
                let parties = &mut self.trades.get_mut(&match_number).expect("a trade that is known");
                let party =
                    parties.iter().position(|party| party.0 == account).expect("a party of the trade");
                let (_, symbol, side, quantity, _) = parties.remove(party);
                let signed = if side == Side::Buy { i64::from(quantity) } else { -i64::from(quantity) };
                *self.positions.entry((account, symbol)).or_default() -= signed;
            }
            OrderReport::Triggered { account, token, .. } | OrderReport::Restated { account, token, .. } => {
                assert!(self.orders[&(account, token)].open > 0, "an order that is over has news");
            }
            OrderReport::Rejected { .. }
            | OrderReport::CancelRejected { .. }
            | OrderReport::MassCanceled { .. } => {}
        }
    }

    fn take(&mut self, account: u32, token: u32, quantity: u32) -> Known {
        let order = self.orders.get_mut(&(account, token)).expect("an order that is known");
        assert!(0 < quantity && quantity <= order.open, "{quantity} of {order:?}");
        order.open -= quantity;
        *order
    }

    fn market(&mut self, event: MarketEvent) {
        match event {
            MarketEvent::Directory { locate, symbol, .. } => {
                self.symbols.insert(locate, symbol);
            }
            MarketEvent::Added { locate, number, side, quantity, symbol, price } => {
                assert_eq!(self.symbols.get(&locate), Some(&symbol));
                let before =
                    self.books.entry(locate).or_default().insert(number, Published { side, quantity, price });
                assert!(before.is_none() && quantity > 0, "order {number} is added");
            }
            MarketEvent::Executed { locate, number, quantity, .. }
            | MarketEvent::ExecutedAt { locate, number, quantity, .. } => {
                self.assert_first(locate, number);
                self.lower(locate, number, quantity);
            }
            MarketEvent::Reduced { locate, number, quantity } => {
                self.lower(locate, number, quantity);
                assert!(self.books[&locate].contains_key(&number), "a reduction leaves something");
            }
            MarketEvent::Deleted { locate, number } => {
                let gone = self.books.entry(locate).or_default().remove(&number);
                assert!(gone.is_some(), "order {number} is deleted");
            }
            MarketEvent::Replaced { locate, original, number, quantity, price } => {
                let book = self.books.entry(locate).or_default();
                let side = book.remove(&original).expect("a published order").side;
                book.insert(number, Published { side, quantity, price });
            }
            _ => {}
        }
    }

    fn lower(&mut self, locate: u16, number: u64, quantity: u32) {
        let book = self.books.get_mut(&locate).expect("a published book");
        let order = book.get_mut(&number).expect("a published order");
        assert!(quantity > 0 && quantity <= order.quantity, "{quantity} of order {number}: {order:?}");
        order.quantity -= quantity;
        if order.quantity == 0 {
            book.remove(&number);
        }
    }

    /// Price-time priority: nobody on its side stands before the order that executes.
    fn assert_first(&self, locate: u16, number: u64) {
        let order = self.books[&locate][&number];
        for (other_number, other) in &self.books[&locate] {
            let is_better = match order.side {
                Side::Buy => other.price > order.price,
                Side::Sell => other.price < order.price,
            };
            let is_older = other.price == order.price && *other_number < number;
            let is_before = other.side == order.side && (is_better || is_older);
            assert!(!is_before, "order {number} executes before {other_number}: {other:?}");
        }
    }

    /// Published books that are rebuilt from a late joiner's events equal those of all events.
    pub fn assert_late_joiner(&self, events: &[Out]) {
        let mut late = Self::default();
        late.book(events);
        let books = |ledger: &Self| {
            let books = ledger.books.iter().filter(|(_, orders)| !orders.is_empty());
            books.map(|(locate, orders)| (*locate, orders.clone())).collect::<BTreeMap<_, _>>()
        };
        assert_eq!((books(&late), &late.symbols), (books(self), &self.symbols));
    }

    /// Compares with the engine's own state.
    pub fn assert_agrees(&self, engine: &MatchingEngine) {
        let mut open = BTreeMap::new();
        for (locate, symbol) in engine.symbols().enumerate() {
            let locate = locate as u16 + 1;
            let mut displayed = BTreeMap::new();
            for side in [Side::Buy, Side::Sell] {
                let orders = engine.displayed_orders(symbol, side);
                for order in
                    orders.chain(engine.stop_orders(symbol, side)).chain(engine.market_orders(symbol, side))
                {
                    open.insert((order.account, order.token), order.remaining);
                    if order.displayed > 0 {
                        let BookOrder { displayed: quantity, price, .. } = order;
                        displayed.insert(order.number, Published { side, quantity, price });
                    }
                }
            }
            let published = self.books.get(&locate).cloned().unwrap_or_default();
            assert_eq!(published, displayed, "the published book of {symbol:?}");
        }
        let known = self.orders.iter().filter(|(_, order)| order.open > 0);
        let known: BTreeMap<_, _> = known.map(|(key, order)| (*key, order.open)).collect();
        assert_eq!(known, open, "open quantities by the reports, and in the book");
        let positions = self.positions.iter().filter(|(_, net)| **net != 0);
        let mut sums = BTreeMap::<Symbol, i64>::new();
        for ((account, symbol), net) in positions.clone() {
            assert_eq!(engine.position(*account, *symbol), *net, "position of {account} in {symbol:?}");
            *sums.entry(*symbol).or_default() += net;
        }
        assert!(sums.values().all(|sum| *sum == 0), "positions add to zero: {sums:?}");
        assert_eq!(engine.open_positions().len(), positions.count());
    }
}
