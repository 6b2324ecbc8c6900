//! # auction: one price for all
//!
//! The rule is that of Xetra ("Market Model for the Trading Venue Xetra", price determination in auctions),
//! one step after the other until one price is left:
//!
//! 1. the highest executable volume;
//! 2. of those, the lowest surplus;
//! 3. surplus on the bid alone: the highest of them; on the ask alone: the lowest of them;
//! 4. else, between the highest price with surplus on the bid and the lowest with surplus on the ask (or,
//!    without any surplus, between the lowest and the highest): the price nearest to the reference price.
//!
//! Candidates are the limits of all orders and the reference price itself, so that market orders alone trade
//! there. The reference price is the last trade's, before it the instrument's own. Icebergs count whole.
//!
//! Market orders execute first, then the best price, then the lowest number. Orders of one account may trade
//! with each other. No limit that is left can trade with another: a price between two such limits would have
//! had more volume.

use super::{MatchingEngine, is_within, reaches};
use crate::book::{Books, OrderSlot};
use crate::output::{Liquidity, MarketEvent, Sink};
use crate::slab::NIL;
use crate::types::Side;

/// The price that an auction would have, and what it would trade.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Equilibrium {
    /// The price, with four decimals.
    pub price: u64,
    /// The volume that trades.
    pub volume: u64,
    /// The quantity that is left at this price.
    pub surplus: u64,
    /// The side that it is left on; none if there is none.
    pub side: Option<Side>,
}

/// The best candidates so far, prices rising.
struct Candidates {
    volume: u64,
    surplus: u64,
    /// The highest price with a surplus on the bid.
    bid: Option<u32>,
    /// The lowest price with a surplus on the ask.
    ask: Option<u32>,
    /// Lowest and highest price without a surplus.
    even: Option<(u32, u32)>,
}

impl Candidates {
    fn consider(&mut self, price: u32, demand: u64, supply: u64) {
        let (volume, surplus) = (demand.min(supply), demand.abs_diff(supply));
        if volume < self.volume || volume == self.volume && surplus > self.surplus {
            return;
        }
        if volume > self.volume || surplus < self.surplus {
            *self = Self { volume, surplus, bid: None, ask: None, even: None };
        }
        match demand.cmp(&supply) {
            std::cmp::Ordering::Greater => self.bid = Some(price),
            std::cmp::Ordering::Less => self.ask = self.ask.or(Some(price)),
            std::cmp::Ordering::Equal => {
                self.even = Some((self.even.map_or(price, |(lowest, _)| lowest), price));
            }
        }
    }

    fn choose(&self, reference: u32) -> Option<Equilibrium> {
        if self.volume == 0 {
            return None;
        }
        let (price, side) = match (self.even, self.bid, self.ask) {
            (Some((lowest, highest)), ..) => (reference.clamp(lowest, highest), None),
            // Candidates rise, so that the bid's surplus lies below the ask's.
            (None, Some(bid), Some(ask)) if reference > bid => (ask, Some(Side::Sell)),
            (None, Some(bid), _) => (bid, Some(Side::Buy)),
            (None, None, ask) => (ask?, Some(Side::Sell)),
        };
        Some(Equilibrium { price: u64::from(price), volume: self.volume, surplus: self.surplus, side })
    }
}

impl MatchingEngine {
    /// Trades all that the auction price allows.
    pub(super) fn uncross(&mut self, instrument: u16, cross: u8, out: &mut impl Sink) {
        let Some(found) = self.state.books.equilibrium(instrument) else { return };
        let price = found.price as u32;
        let cross_number = self.state.next_match();
        let mut missing = found.volume;
        let mut touched = [NIL; 2];
        while missing > 0 {
            let buy = self.state.books.first_in_auction(instrument, Side::Buy, price);
            let sell = self.state.books.first_in_auction(instrument, Side::Sell, price);
            let (Some(buy), Some(sell)) = (buy, sell) else {
                unreachable!("the auction's volume is open on both sides");
            };
            let open = self.state.books.orders[buy].remaining.min(self.state.books.orders[sell].remaining);
            let quantity = u64::from(open).min(missing) as u32;
            missing -= u64::from(quantity);
            touched = self.pair([buy, sell], quantity, price, cross, out);
        }
        out.market(MarketEvent::Cross {
            locate: instrument + 1,
            symbol: self.state.books.instruments[instrument as usize].symbol,
            quantity: found.volume,
            price: found.price,
            match_number: cross_number,
            cross,
        });
        for slot in touched.into_iter().filter(|slot| *slot != NIL) {
            let order = &self.state.books.orders[slot];
            if order.displayed == 0 && order.fresh_display() > 0 {
                self.state.uncount(slot);
                self.state.refresh(slot, out);
                self.state.count(slot);
            }
        }
    }

    /// One trade of an auction, the buyer first. The slots of the orders that still rest.
    fn pair(
        &mut self,
        slots: [u32; 2],
        quantity: u32,
        price: u32,
        cross: u8,
        out: &mut impl Sink,
    ) -> [u32; 2] {
        let before = slots.map(|slot| self.state.books.orders[slot]);
        for slot in slots {
            self.state.uncount(slot);
        }
        let match_number = self.record(&before[0], &before[1], quantity, price);
        let mut resting = slots;
        for (order, slot) in before.iter().zip(&mut resting) {
            self.state.report_executed(order, quantity, price, Liquidity::Cross(cross), match_number, out);
            let displayed = order.displayed.min(quantity);
            if displayed > 0 {
                let (locate, number, price) = (order.instrument + 1, order.number, u64::from(price));
                let quantity = displayed;
                out.market(MarketEvent::ExecutedAt { locate, number, quantity, match_number, price });
            }
            self.reduce_in_auction(*slot, quantity, displayed);
            if self.state.books.orders[*slot].remaining == 0 {
                self.state.books.remove(*slot);
                self.state.unregister(*slot);
                *slot = NIL;
            } else {
                self.state.count(*slot);
            }
        }
        resting
    }

    fn reduce_in_auction(&mut self, slot: u32, quantity: u32, displayed: u32) {
        self.state.books.reduce(slot, quantity);
        let order: &mut OrderSlot = &mut self.state.books.orders[slot];
        order.displayed -= displayed;
        order.executed += quantity;
    }
}

impl Books {
    /// The auction of an instrument as it would be now; none if nothing would trade.
    pub(crate) fn equilibrium(&self, instrument: u16) -> Option<Equilibrium> {
        let book = &self.instruments[instrument as usize];
        let open = |level: u32| self.levels[level].open;
        let [bids, asks] = &book.displayed;
        let mut demand = open(book.market[0]) + bids.iter().map(|(_, level)| open(level)).sum::<u64>();
        let mut supply = open(book.market[1]);
        let reference = book.dynamic_reference();
        let mut bids = bids.iter().rev().peekable();
        let mut asks = asks.iter().peekable();
        let mut is_reference_due = true;
        let mut best = Candidates { volume: 0, surplus: u64::MAX, bid: None, ask: None, even: None };
        loop {
            let next = [bids.peek().map(|(price, _)| *price), asks.peek().map(|(price, _)| *price)];
            let next = next.into_iter().flatten().chain(is_reference_due.then_some(reference)).min();
            let Some(price) = next else { break };
            is_reference_due &= price != reference;
            if let Some((_, level)) = asks.next_if(|(ask, _)| *ask == price) {
                supply += open(level);
            }
            best.consider(price, demand, supply);
            if let Some((_, level)) = bids.next_if(|(bid, _)| *bid == price) {
                demand -= open(level);
            }
        }
        best.choose(reference)
    }

    /// Whether the auction would trade within the extended band of a volatility interruption.
    pub(crate) fn ends_within_band(&self, instrument: u16) -> bool {
        let book = &self.instruments[instrument as usize];
        let price = self.equilibrium(instrument).map(|found| found.price as u32);
        price.is_none_or(|price| is_within(price, book.dynamic_reference(), book.extended_bps))
    }

    /// Publishes the auction as it would be now.
    pub(crate) fn publish_indicative(&self, instrument: u16, out: &mut impl Sink) {
        let book = &self.instruments[instrument as usize];
        let found = self.equilibrium(instrument);
        out.market(MarketEvent::Imbalance {
            locate: instrument + 1,
            symbol: book.symbol,
            paired: found.map_or(0, |found| found.volume),
            imbalance: found.map_or(0, |found| found.surplus),
            side: found.and_then(|found| found.side),
            price: found.map_or(0, |found| found.price),
            reference: u64::from(book.dynamic_reference()),
            cross: book.phase.itch_cross(),
        });
    }

    /// The order of a side that executes next at the auction's price.
    pub(crate) fn first_in_auction(&self, instrument: u16, side: Side, price: u32) -> Option<u32> {
        let market = self.instruments[instrument as usize].market[side as usize];
        let head = self.levels[market].head;
        if head != NIL {
            return Some(head);
        }
        let (best, level) = self.best(instrument, side)?;
        reaches(side, best, price).then_some(self.levels[level].head)
    }
}
