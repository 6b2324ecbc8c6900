//! The newest trades, so that they can be busted.

use crate::slab::prefault;

/// A trade.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Trade {
    pub(crate) match_number: u64,
    /// Index of the instrument.
    pub(crate) instrument: u16,
    pub(crate) quantity: u32,
    /// Slots of the accounts, buyer first.
    pub(crate) accounts: [u32; 2],
    /// Tokens of the orders, buyer's first.
    pub(crate) tokens: [u32; 2],
    pub(crate) is_busted: bool,
}

/// A ring of trades: the newest ones, in the order of their numbers. Numbers may be missing, as crosses use
/// numbers of the same count.
#[derive(Clone, Debug)]
pub(crate) struct Trades {
    ring: Vec<Trade>,
    capacity: usize,
    /// Where the oldest one lies, once the ring is full.
    first: usize,
}

impl Trades {
    pub(crate) fn with_capacity(capacity: usize) -> Self {
        Self { ring: Vec::with_capacity(capacity), capacity, first: 0 }
    }

    /// Adds the newest trade; if the ring is full, the oldest one, which made room.
    pub(crate) fn push(&mut self, trade: Trade) -> Option<Trade> {
        if self.ring.len() < self.capacity {
            self.ring.push(trade);
            return None;
        }
        let oldest = std::mem::replace(&mut self.ring[self.first], trade);
        self.first = (self.first + 1) % self.capacity;
        Some(oldest)
    }

    /// Writes to the memory of all trades to come.
    pub(crate) fn prefault(&mut self) {
        let blank = Trade {
            match_number: 0,
            instrument: 0,
            quantity: 0,
            accounts: [0; 2],
            tokens: [0; 2],
            is_busted: false,
        };
        prefault(&mut self.ring, blank);
    }

    /// All trades, the oldest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Trade> {
        self.ring[self.first..].iter().chain(&self.ring[..self.first])
    }

    /// The trade of this number.
    pub(crate) fn find(&mut self, match_number: u64) -> Option<&mut Trade> {
        let (newer, older) = self.ring.split_at_mut(self.first);
        let in_part = |part: &[Trade]| part.binary_search_by_key(&match_number, |trade| trade.match_number);
        if let Ok(at) = in_part(older) {
            return Some(&mut older[at]);
        }
        in_part(newer).ok().map(|at| &mut newer[at])
    }

    pub(crate) fn len(&self) -> usize {
        self.ring.len()
    }
}
