//! # book: price levels and their queues
//!
//! Each instrument has two ladders of displayed prices, two of stop prices and two queues of market orders.
//! A ladder is a sorted array whose best price stands last; each of its rungs names a level, and a level is a
//! first-in first-out queue of orders, linked by slot numbers.
//!
//! ```text
//!   Instrument ─▶ Ladder: [worst … best] ─▶ Level { head, tail, open } ─▶ OrderSlot ⇄ OrderSlot ⇄ OrderSlot
//! ```
//!
//! An order finds its level by number, so a cancel touches no ladder unless it empties the level. A new price
//! moves the rungs that are better than it; most arrive near the best one. The bands bound how many rungs an
//! instrument can have. Within a level order numbers rise: the number is the priority.

use crate::output::PendingTimer;
use crate::slab::{NIL, Slab};
use crate::types::{OrderKind, SelfMatch, Side, Symbol, TimeInForce, TradingPhase};

/// An order's place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum BookPart {
    /// On a ladder of displayed prices.
    Displayed,
    /// In the queue of market orders, until an auction.
    Market,
    /// On a ladder of stop prices.
    Stop,
}

/// An order that the engine has accepted: one cache line, as most of a command's time goes into fetching
/// lines. Its account is its position's.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
pub(crate) struct OrderSlot {
    /// Number on the market, and priority: lower comes first.
    pub(crate) number: u64,
    /// Slot of the account's position in the instrument, which exists while the order is open.
    pub(crate) position: u32,
    /// The account's own number.
    pub(crate) token: u32,
    /// Limit price; 0 for a market order.
    pub(crate) price: u32,
    /// Open quantity.
    pub(crate) remaining: u32,
    /// The part of it that is displayed; 0 in other parts of the book.
    pub(crate) displayed: u32,
    /// Of a stop order its stop price; of others the quantity to display at one time, 0 for all. No order has
    /// both.
    pub(crate) stop_or_display: u32,
    /// Executed quantity, through all replacements.
    pub(crate) executed: u32,
    /// Its level, while it rests.
    pub(crate) level: u32,
    /// Next order of the level.
    pub(crate) next: u32,
    /// Order before it in the level.
    pub(crate) prev: u32,
    /// Next order of the account, by token.
    pub(crate) account_next: u32,
    /// Order before it of the account.
    pub(crate) account_prev: u32,
    /// Index of the instrument.
    pub(crate) instrument: u16,
    /// Its side.
    pub(crate) side: Side,
    /// Its price condition.
    pub(crate) kind: OrderKind,
    /// How long it lives.
    pub(crate) time_in_force: TimeInForce,
    /// The account's choice against itself.
    pub(crate) self_match: SelfMatch,
    /// Whether it must not arrive and execute.
    pub(crate) is_post_only: bool,
}

const _: () = assert!(size_of::<OrderSlot>() == 64, "an order fills one cache line");

impl OrderSlot {
    /// Stop price; 0 if it is no stop, or triggered.
    pub(crate) fn stop(&self) -> u32 {
        if self.kind.is_stop() { self.stop_or_display } else { 0 }
    }

    /// Quantity to display at one time; 0 for all.
    pub(crate) fn display(&self) -> u32 {
        if self.kind.is_stop() { 0 } else { self.stop_or_display }
    }

    /// The part of the book that it rests in.
    pub(crate) fn part(&self) -> BookPart {
        if self.kind.is_stop() {
            BookPart::Stop
        } else if self.kind.is_limit() {
            BookPart::Displayed
        } else {
            BookPart::Market
        }
    }

    /// The quantity that it displays when it comes to a ladder or is refreshed.
    pub(crate) fn fresh_display(&self) -> u32 {
        match (self.part(), self.stop_or_display) {
            (BookPart::Displayed, 0) => self.remaining,
            (BookPart::Displayed, display) => display.min(self.remaining),
            _ => 0,
        }
    }
}

/// A queue of orders.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Level {
    /// The order that comes first.
    pub(crate) head: u32,
    /// The order that comes last.
    pub(crate) tail: u32,
    /// Open quantity of all, displayed or not.
    pub(crate) open: u64,
}

const EMPTY_LEVEL: Level = Level { head: NIL, tail: NIL, open: 0 };

/// A price and its level. `key` sorts: the better the price, the higher.
#[derive(Clone, Copy, Debug)]
struct Rung {
    key: u32,
    level: u32,
}

/// Prices in order, the best one last.
#[derive(Clone, Debug)]
pub(crate) struct Ladder {
    rungs: Vec<Rung>,
    /// Whether a lower price is the better one.
    is_low_best: bool,
}

impl Ladder {
    fn new(is_low_best: bool, capacity: usize) -> Self {
        Self { rungs: Vec::with_capacity(capacity), is_low_best }
    }

    /// Turns a price into its key, and a key into its price.
    fn flip(&self, price: u32) -> u32 {
        if self.is_low_best { !price } else { price }
    }

    /// The best price and its level.
    pub(crate) fn best(&self) -> Option<(u32, u32)> {
        self.rungs.last().map(|rung| (self.flip(rung.key), rung.level))
    }

    /// Prices and levels, the best first.
    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = (u32, u32)> {
        self.rungs.iter().rev().map(|rung| (self.flip(rung.key), rung.level))
    }

    fn position(&self, price: u32) -> Result<usize, usize> {
        let key = self.flip(price);
        // Near the best price most of the time: a few steps from the end, then a binary search.
        let near = self.rungs.len().saturating_sub(8);
        if self.rungs.get(near).is_none_or(|rung| rung.key <= key) {
            for (at, rung) in self.rungs.iter().enumerate().skip(near).rev() {
                if rung.key <= key {
                    return if rung.key == key { Ok(at) } else { Err(at + 1) };
                }
            }
            return Err(near);
        }
        self.rungs[..near].binary_search_by(|rung| rung.key.cmp(&key))
    }
}

/// Rungs that ladders of displayed and of stop prices begin with; they grow to what their instrument needs
/// and stay so.
const RUNGS: usize = 32;
const STOP_RUNGS: usize = 8;

/// An instrument: its terms, its phase and its orders.
#[derive(Clone, Debug)]
pub(crate) struct Instrument {
    pub(crate) symbol: Symbol,
    pub(crate) tick: u32,
    pub(crate) lot: u32,
    pub(crate) reference: u32,
    pub(crate) static_bps: u32,
    pub(crate) dynamic_bps: u32,
    pub(crate) extended_bps: u32,
    /// Price of the last trade; 0 before the first.
    pub(crate) last: u32,
    pub(crate) phase: TradingPhase,
    /// The timer that ends the phase.
    pub(crate) phase_timer: PendingTimer,
    /// When the continuous trading that a volatility interruption paused ends; 0 if nothing ends it.
    pub(crate) resume_ends_at_ns: u64,
    /// The timer of the next indicative price.
    pub(crate) indicative_timer: PendingTimer,
    /// Displayed orders, by side.
    pub(crate) displayed: [Ladder; 2],
    /// Stop orders, by side.
    pub(crate) stops: [Ladder; 2],
    /// Levels of the market orders, by side.
    pub(crate) market: [u32; 2],
}

impl Instrument {
    /// The price that bands and auctions compare with: the last trade's, before it the reference price.
    pub(crate) fn dynamic_reference(&self) -> u32 {
        if self.last == 0 { self.reference } else { self.last }
    }

    fn ladder(&mut self, side: Side, part: BookPart) -> &mut Ladder {
        match part {
            BookPart::Stop => &mut self.stops[side as usize],
            BookPart::Displayed | BookPart::Market => &mut self.displayed[side as usize],
        }
    }
}

/// The orders of all instruments.
#[derive(Clone, Debug)]
pub(crate) struct Books {
    pub(crate) orders: Slab<OrderSlot>,
    pub(crate) levels: Slab<Level>,
    pub(crate) instruments: Vec<Instrument>,
}

impl Books {
    pub(crate) fn new(orders_max: usize, instruments_max: usize) -> Self {
        Self {
            orders: Slab::with_capacity(orders_max),
            levels: Slab::with_capacity(orders_max + 2 * instruments_max),
            instruments: Vec::with_capacity(instruments_max),
        }
    }

    /// Writes to the memory of all orders and levels to come.
    pub(crate) fn prefault(&mut self, blank: OrderSlot) {
        self.orders.prefault(blank);
        self.levels.prefault(EMPTY_LEVEL);
    }

    /// Ladders and queues for a new instrument.
    #[allow(clippy::type_complexity)]
    pub(crate) fn ladders(&mut self) -> ([Ladder; 2], [Ladder; 2], [u32; 2]) {
        let displayed = [Ladder::new(false, RUNGS), Ladder::new(true, RUNGS)];
        // A buy stop triggers when the price rises to it: the lowest first.
        let stops = [Ladder::new(true, STOP_RUNGS), Ladder::new(false, STOP_RUNGS)];
        (displayed, stops, [self.levels.insert(EMPTY_LEVEL), self.levels.insert(EMPTY_LEVEL)])
    }

    /// Puts an order at the end of its queue.
    pub(crate) fn push(&mut self, slot: u32) {
        let order = self.orders[slot];
        let instrument = &mut self.instruments[order.instrument as usize];
        let part = order.part();
        let level = match part {
            BookPart::Market => instrument.market[order.side as usize],
            BookPart::Displayed | BookPart::Stop => {
                let price = if part == BookPart::Stop { order.stop() } else { order.price };
                let ladder = instrument.ladder(order.side, part);
                match ladder.position(price) {
                    Ok(at) => ladder.rungs[at].level,
                    Err(at) => {
                        let level = self.levels.insert(EMPTY_LEVEL);
                        ladder.rungs.insert(at, Rung { key: ladder.flip(price), level });
                        level
                    }
                }
            }
        };
        self.orders[slot].level = level;
        self.levels[level].open += u64::from(order.remaining);
        self.link(slot);
    }

    fn link(&mut self, slot: u32) {
        let level = &mut self.levels[self.orders[slot].level];
        let before = level.tail;
        level.tail = slot;
        if before == NIL {
            level.head = slot;
        } else {
            self.orders[before].next = slot;
        }
        (self.orders[slot].prev, self.orders[slot].next) = (before, NIL);
    }

    fn unlink(&mut self, slot: u32) {
        let OrderSlot { prev, next, level, .. } = self.orders[slot];
        let level = &mut self.levels[level];
        if prev == NIL {
            level.head = next;
        } else {
            self.orders[prev].next = next;
        }
        if next == NIL {
            level.tail = prev;
        } else {
            self.orders[next].prev = prev;
        }
    }

    /// Takes an order out of its queue, and an empty level off its ladder. The order's slot stays.
    pub(crate) fn remove(&mut self, slot: u32) {
        self.unlink(slot);
        let order = self.orders[slot];
        let level = &mut self.levels[order.level];
        level.open -= u64::from(order.remaining);
        let part = order.part();
        if level.head != NIL || part == BookPart::Market {
            return;
        }
        self.levels.release(order.level);
        let price = if part == BookPart::Stop { order.stop() } else { order.price };
        let ladder = self.instruments[order.instrument as usize].ladder(order.side, part);
        if let Ok(at) = ladder.position(price) {
            ladder.rungs.remove(at);
        }
    }

    /// Moves an order behind all others of its level.
    pub(crate) fn requeue(&mut self, slot: u32) {
        self.unlink(slot);
        self.link(slot);
    }

    /// Lowers an order's open quantity where it rests.
    pub(crate) fn reduce(&mut self, slot: u32, quantity: u32) {
        let order = &mut self.orders[slot];
        order.remaining -= quantity;
        self.levels[order.level].open -= u64::from(quantity);
    }

    /// The orders of a level, the first in the queue first.
    pub(crate) fn queue(&self, level: u32) -> impl Iterator<Item = u32> {
        let next = |slot: u32| (slot != NIL).then_some(slot);
        std::iter::successors(next(self.levels[level].head), move |&slot| next(self.orders[slot].next))
    }

    /// The best displayed price of a side, and its level.
    pub(crate) fn best(&self, instrument: u16, side: Side) -> Option<(u32, u32)> {
        self.instruments[instrument as usize].displayed[side as usize].best()
    }

    /// The first order of one side of an instrument in one part of its book.
    pub(crate) fn first(&self, instrument: u16, side: Side, part: BookPart) -> Option<u32> {
        self.part(instrument, side, part).next()
    }

    /// All orders of one side of an instrument in one part of its book, by priority.
    pub(crate) fn part(&self, instrument: u16, side: Side, part: BookPart) -> impl Iterator<Item = u32> {
        let instrument = &self.instruments[instrument as usize];
        let (ladder, market) = match part {
            BookPart::Displayed => (Some(&instrument.displayed[side as usize]), None),
            BookPart::Stop => (Some(&instrument.stops[side as usize]), None),
            BookPart::Market => (None, Some(instrument.market[side as usize])),
        };
        let levels = ladder.into_iter().flat_map(|ladder| ladder.iter().map(|(_, level)| level));
        levels.chain(market).flat_map(|level| self.queue(level))
    }
}
