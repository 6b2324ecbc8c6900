//! What OUCH 5.0 repeats of an order that the engine has no use for: kept beside the engine while the order
//! is open.

use crate::index::Index;
use crate::slab::Slab;
use lockstep_machine::StateDigest;
use ouch50::codes::Capacity;
use ouch50::{ClOrdId, Side};

/// An open order, as its client's messages need it; two in a line of the cache.
#[repr(align(32))]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct OrderMemo {
    pub(super) account: u32,
    pub(super) token: u32,
    /// Open quantity, by the reports that its client was sent.
    pub(super) open: u32,
    pub(super) cl_ord_id: ClOrdId,
    pub(super) side: Side,
    pub(super) capacity: Capacity,
    pub(super) is_post_only: bool,
}

/// Bytes of an order in a snapshot.
pub(super) const MEMO_LEN: usize = 29;

impl OrderMemo {
    pub(super) fn encode(&self) -> [u8; MEMO_LEN] {
        let mut out = [0; MEMO_LEN];
        out[..4].copy_from_slice(&self.account.to_le_bytes());
        out[4..8].copy_from_slice(&self.token.to_le_bytes());
        out[8..12].copy_from_slice(&self.open.to_le_bytes());
        out[12..26].copy_from_slice(self.cl_ord_id.as_bytes());
        out[26..].copy_from_slice(&[self.side.code(), self.capacity.code(), u8::from(self.is_post_only)]);
        out
    }

    pub(super) fn decode(bytes: &[u8; MEMO_LEN]) -> Option<Self> {
        let number = |at: usize| bytes[at..].first_chunk().map(|number| u32::from_le_bytes(*number));
        Some(Self {
            account: number(0)?,
            token: number(4)?,
            open: number(8).filter(|open| *open > 0)?,
            cl_ord_id: ClOrdId::new(&bytes[12..26]).ok()?,
            side: Side::from_code(bytes[26])?,
            capacity: Capacity::from_code(bytes[27])?,
            is_post_only: match bytes[28] {
                0 => false,
                1 => true,
                _ => return None,
            },
        })
    }

    fn key(account: u32, token: u32) -> u64 {
        u64::from(account) << 32 | u64::from(token)
    }
}

/// All open orders, by account and token. Its digest is a sum that goes along with each change, as the
/// engine's is.
#[derive(Clone, Debug)]
pub(super) struct OpenOrders {
    slots: Slab<OrderMemo>,
    index: Index,
    sum: u64,
}

impl OpenOrders {
    pub(super) fn with_capacity(orders: usize, seed: u64) -> Self {
        Self { slots: Slab::with_capacity(orders), index: Index::with_capacity(orders, seed), sum: 0 }
    }

    /// Writes to the memory of all orders to come.
    pub(super) fn prefault(&mut self) {
        self.slots.prefault(OrderMemo {
            account: 0,
            token: 0,
            open: 0,
            cl_ord_id: ClOrdId::BLANK,
            side: Side::Buy,
            capacity: Capacity::Other,
            is_post_only: false,
        });
        self.index.prefault();
    }

    fn slot(&self, account: u32, token: u32) -> Option<u32> {
        self.index.get(OrderMemo::key(account, token), |slot| {
            let memo = &self.slots[slot];
            (memo.account, memo.token) == (account, token)
        })
    }

    pub(super) fn get(&self, account: u32, token: u32) -> Option<&OrderMemo> {
        self.slot(account, token).map(|slot| &self.slots[slot])
    }

    fn count(&mut self, slot: u32) {
        self.sum = self.sum.wrapping_add(StateDigest::of(&self.slots[slot].encode()));
    }

    fn uncount(&mut self, slot: u32) {
        self.sum = self.sum.wrapping_sub(StateDigest::of(&self.slots[slot].encode()));
    }

    /// An order that was not there.
    pub(super) fn insert(&mut self, memo: OrderMemo) {
        let slot = self.slots.insert(memo);
        self.index.insert(OrderMemo::key(memo.account, memo.token), slot);
        self.count(slot);
    }

    pub(super) fn remove(&mut self, account: u32, token: u32) -> Option<OrderMemo> {
        let slot = self.slot(account, token)?;
        self.uncount(slot);
        self.index.remove(OrderMemo::key(account, token), slot);
        let memo = self.slots[slot];
        self.slots.release(slot);
        Some(memo)
    }

    /// An order has less open quantity; without any it is forgotten. Returns how much is left.
    pub(super) fn reduce(&mut self, account: u32, token: u32, quantity: u32) -> u32 {
        let Some(slot) = self.slot(account, token) else { return 0 };
        let left = self.slots[slot].open.saturating_sub(quantity);
        if left == 0 {
            self.remove(account, token);
            return 0;
        }
        self.uncount(slot);
        self.slots[slot].open = left;
        self.count(slot);
        left
    }

    /// An order sells otherwise.
    pub(super) fn set_side(&mut self, account: u32, token: u32, side: Side) {
        if let Some(slot) = self.slot(account, token) {
            self.uncount(slot);
            self.slots[slot].side = side;
            self.count(slot);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(super) fn digest(&self) -> u64 {
        self.sum
    }

    /// All orders, by account and token.
    pub(super) fn sorted(&self) -> Vec<OrderMemo> {
        let mut all: Vec<_> = self.index.slots().map(|slot| self.slots[slot]).collect();
        all.sort_unstable_by_key(|memo| (memo.account, memo.token));
        all
    }
}
