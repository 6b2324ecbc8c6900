//! Accounts, their positions, and the limits that an order meets before the book.

use crate::command::AccountLimits;
use crate::index::Index;
use crate::output::RejectionReason;
use crate::slab::{NIL, Slab};
use crate::types::Side;

/// One second of stream time.
const SECOND: u64 = 1_000_000_000;

/// An account.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Account {
    /// Its number in commands and reports.
    pub(crate) id: u32,
    pub(crate) limits: AccountLimits,
    pub(crate) cancel_on_disconnect: bool,
    pub(crate) is_killed: bool,
    /// The highest token that it has used.
    pub(crate) token_last: u32,
    /// Orders that rest.
    pub(crate) open_orders: u32,
    /// The second of stream time that `orders_in_second` counts.
    pub(crate) second: u64,
    pub(crate) orders_in_second: u32,
    /// Its first and last resting order, by token.
    pub(crate) head: u32,
    pub(crate) tail: u32,
}

impl Account {
    pub(crate) fn new(id: u32, limits: AccountLimits, cancel_on_disconnect: bool) -> Self {
        Self {
            id,
            limits,
            cancel_on_disconnect,
            is_killed: false,
            token_last: 0,
            open_orders: 0,
            second: 0,
            orders_in_second: 0,
            head: NIL,
            tail: NIL,
        }
    }

    /// Counts an order or a replacement of this second; refused ones beyond the limit are not counted.
    pub(crate) fn admit(&mut self, now_ns: u64) -> Result<(), RejectionReason> {
        let second = now_ns / SECOND;
        if second != self.second {
            (self.second, self.orders_in_second) = (second, 0);
        }
        if self.orders_in_second >= self.limits.orders_per_second_max {
            return Err(RejectionReason::OrderRate);
        }
        self.orders_in_second += 1;
        Ok(())
    }
}

/// An order as the limits see it.
pub(crate) struct Exposure {
    pub(crate) side: Side,
    /// Open quantity that it would add.
    pub(crate) quantity: u32,
    /// The price that its notional is computed with.
    pub(crate) price: u32,
    /// Open quantity of the order that it replaces, on the same side.
    pub(crate) freed: u32,
    /// Whether it is a new order, not a replacement.
    pub(crate) is_new: bool,
}

impl Account {
    /// Checks an order against the account's limits. `position` is the one in its instrument.
    pub(crate) fn check(&self, order: &Exposure, position: Option<&Position>) -> Result<(), RejectionReason> {
        if order.quantity > self.limits.quantity_max {
            return Err(RejectionReason::QuantityLimit);
        }
        let notional = u128::from(order.quantity) * u128::from(order.price);
        if notional > u128::from(self.limits.notional_max) {
            return Err(RejectionReason::NotionalLimit);
        }
        if order.is_new && self.open_orders >= self.limits.open_orders_max {
            return Err(RejectionReason::OpenOrdersLimit);
        }
        let (net, open) = position.map_or((0, 0), |p| (p.net, p.open[order.side as usize]));
        let net = if order.side == Side::Buy { i128::from(net) } else { -i128::from(net) };
        let worst = net + i128::from(open) - i128::from(order.freed) + i128::from(order.quantity);
        if worst > i128::from(self.limits.position_max) {
            return Err(RejectionReason::PositionLimit);
        }
        Ok(())
    }
}

/// The position of an account in an instrument. It exists while it is not flat or an order is open.
#[derive(Clone, Copy, Debug)]
#[repr(align(32))]
pub(crate) struct Position {
    /// Slot of the account.
    pub(crate) account: u32,
    /// Index of the instrument.
    pub(crate) instrument: u16,
    /// Bought less sold.
    pub(crate) net: i64,
    /// Open quantity of the account's orders, by side.
    pub(crate) open: [u64; 2],
}

/// All positions.
#[derive(Clone, Debug)]
pub(crate) struct Positions {
    pub(crate) slots: Slab<Position>,
    index: Index,
}

impl Positions {
    pub(crate) fn with_capacity(positions_max: usize, seed: u64) -> Self {
        Self { slots: Slab::with_capacity(positions_max), index: Index::with_capacity(positions_max, seed) }
    }

    /// Writes to the memory of all positions to come.
    pub(crate) fn prefault(&mut self) {
        self.slots.prefault(Position { account: 0, instrument: 0, net: 0, open: [0; 2] });
        self.index.prefault();
    }

    fn key(account: u32, instrument: u16) -> u64 {
        u64::from(account) << 16 | u64::from(instrument)
    }

    /// The slot of a position, if it exists.
    pub(crate) fn find(&self, account: u32, instrument: u16) -> Option<u32> {
        self.index.get(Self::key(account, instrument), |slot| {
            let position = &self.slots[slot];
            (position.account, position.instrument) == (account, instrument)
        })
    }

    /// The slot of a position, made if it does not exist. [`Positions::flatten`] frees it.
    pub(crate) fn acquire(&mut self, account: u32, instrument: u16) -> u32 {
        if let Some(slot) = self.find(account, instrument) {
            return slot;
        }
        let slot = self.slots.insert(Position { account, instrument, net: 0, open: [0; 2] });
        self.index.insert(Self::key(account, instrument), slot);
        slot
    }

    /// All positions, in no order that means anything.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Position> {
        self.index.slots().map(|slot| &self.slots[slot])
    }

    /// Frees a position that is flat and has no open order. Its slot keeps its account until a position is
    /// acquired, so that the end of the command that freed it can still report.
    fn flatten(&mut self, slot: u32) {
        let Position { account, instrument, net, open } = self.slots[slot];
        if net == 0 && open == [0; 2] {
            self.index.remove(Self::key(account, instrument), slot);
            self.slots.release(slot);
        }
    }

    /// Adds open quantity.
    pub(crate) fn open(&mut self, slot: u32, side: Side, quantity: u32) {
        self.slots[slot].open[side as usize] += u64::from(quantity);
    }

    /// Removes open quantity, which was there: more than zero.
    pub(crate) fn cancel(&mut self, slot: u32, side: Side, quantity: u32) {
        self.slots[slot].open[side as usize] -= u64::from(quantity);
        self.flatten(slot);
    }

    /// Open quantity is executed; the position from now on.
    pub(crate) fn fill(&mut self, slot: u32, side: Side, quantity: u32) -> i64 {
        let position = &mut self.slots[slot];
        position.open[side as usize] -= u64::from(quantity);
        position.net += signed(side, quantity);
        let net = position.net;
        self.flatten(slot);
        net
    }

    /// Changes a position without an order, as a bust does; the position before and behind it.
    pub(crate) fn adjust(&mut self, account: u32, instrument: u16, side: Side, quantity: u32) -> (i64, i64) {
        let slot = self.acquire(account, instrument);
        let before = self.slots[slot].net;
        let after = before + signed(side, quantity);
        self.slots[slot].net = after;
        self.flatten(slot);
        (before, after)
    }
}

fn signed(side: Side, quantity: u32) -> i64 {
    if side == Side::Buy { i64::from(quantity) } else { -i64::from(quantity) }
}
