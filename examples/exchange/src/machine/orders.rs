//! What OUCH 5.0 repeats of an order that the engine has no use for: kept beside the engine while the order
//! is open.

use crate::index::hash;
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

/// A cell without an order: no open order has no open quantity.
const VACANT: OrderMemo = OrderMemo {
    account: 0,
    token: 0,
    open: 0,
    cl_ord_id: ClOrdId::BLANK,
    side: Side::Buy,
    capacity: Capacity::Other,
    is_post_only: false,
};

/// All open orders, by account and token: a hash table with the orders in its cells, so that one look-up
/// costs one line of memory. Linear probing, at most three quarters full, deletion by shifting back; the seed
/// is that of the rules. Its digest is a sum that goes along with each change, as the engine's is.
#[derive(Clone, Debug)]
pub(super) struct OpenOrders {
    seed: u64,
    cells: Vec<OrderMemo>,
    len: usize,
    sum: u64,
}

impl OpenOrders {
    /// Room for so many orders; all of its memory is written.
    pub(super) fn with_capacity(orders: usize, seed: u64) -> Self {
        let cells = (orders.max(8) * 4).div_ceil(3).next_power_of_two();
        Self { seed, cells: vec![VACANT; cells], len: 0, sum: 0 }
    }

    fn home(&self, account: u32, token: u32) -> usize {
        hash(self.seed, OrderMemo::key(account, token)) as usize & (self.cells.len() - 1)
    }

    fn behind(&self, at: usize) -> usize {
        (at + 1) & (self.cells.len() - 1)
    }

    /// The cell of an order, or the vacant one where it would be.
    fn place(&self, account: u32, token: u32) -> usize {
        let mut at = self.home(account, token);
        loop {
            let memo = &self.cells[at];
            if memo.open == 0 || (memo.token, memo.account) == (token, account) {
                return at;
            }
            at = self.behind(at);
        }
    }

    fn find(&self, account: u32, token: u32) -> Option<usize> {
        let at = self.place(account, token);
        (self.cells[at].open > 0).then_some(at)
    }

    pub(super) fn get(&self, account: u32, token: u32) -> Option<&OrderMemo> {
        self.find(account, token).map(|at| &self.cells[at])
    }

    fn count(&mut self, at: usize) {
        self.sum = self.sum.wrapping_add(StateDigest::of(&self.cells[at].encode()));
    }

    fn uncount(&mut self, at: usize) {
        self.sum = self.sum.wrapping_sub(StateDigest::of(&self.cells[at].encode()));
    }

    /// An order that was not there.
    pub(super) fn insert(&mut self, memo: OrderMemo) {
        if (self.len + 1) * 4 > self.cells.len() * 3 {
            let doubled = vec![VACANT; self.cells.len() * 2];
            for memo in std::mem::replace(&mut self.cells, doubled).into_iter().filter(|memo| memo.open > 0) {
                let at = self.place(memo.account, memo.token);
                self.cells[at] = memo;
            }
        }
        let at = self.place(memo.account, memo.token);
        self.cells[at] = memo;
        self.len += 1;
        self.count(at);
    }

    pub(super) fn remove(&mut self, account: u32, token: u32) -> Option<OrderMemo> {
        self.find(account, token).map(|at| self.remove_at(at))
    }

    /// Orders behind it that it had displaced move back.
    fn remove_at(&mut self, mut hole: usize) -> OrderMemo {
        self.uncount(hole);
        self.len -= 1;
        let (removed, mask) = (self.cells[hole], self.cells.len() - 1);
        let mut at = hole;
        loop {
            at = self.behind(at);
            let moved = self.cells[at];
            if moved.open == 0 {
                break;
            }
            // An order may move back if its home does not lie between the hole and itself.
            let from_home = at.wrapping_sub(self.home(moved.account, moved.token)) & mask;
            if from_home >= (at.wrapping_sub(hole) & mask) {
                self.cells[hole] = moved;
                hole = at;
            }
        }
        self.cells[hole] = VACANT;
        removed
    }

    /// An order has less open quantity; without any it is forgotten. Returns how much is left.
    pub(super) fn reduce(&mut self, account: u32, token: u32, quantity: u32) -> u32 {
        let Some(at) = self.find(account, token) else { return 0 };
        let left = self.cells[at].open.saturating_sub(quantity);
        if left == 0 {
            self.remove_at(at);
            return 0;
        }
        self.uncount(at);
        self.cells[at].open = left;
        self.count(at);
        left
    }

    /// An order sells otherwise.
    pub(super) fn set_side(&mut self, account: u32, token: u32, side: Side) {
        if let Some(at) = self.find(account, token) {
            self.uncount(at);
            self.cells[at].side = side;
            self.count(at);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn digest(&self) -> u64 {
        self.sum
    }

    /// All orders, by account and token.
    pub(super) fn sorted(&self) -> Vec<OrderMemo> {
        let mut all: Vec<_> = self.cells.iter().filter(|memo| memo.open > 0).copied().collect();
        all.sort_unstable_by_key(|memo| (memo.account, memo.token));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn it_has_what_an_ordered_map_has() {
        let mut orders = OpenOrders::with_capacity(8, 7);
        let (mut map, mut draw) = (BTreeMap::new(), 1_u64);
        for _ in 0..50_000 {
            draw = draw.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let (account, token, open) =
                ((draw >> 60) as u32 & 3, (draw >> 40) as u32 & 31, 1 + (draw >> 33) as u32 % 9);
            match map.get(&(account, token)).copied() {
                None => {
                    orders.insert(OrderMemo { account, token, open, ..VACANT });
                    map.insert((account, token), open);
                }
                Some(known) => {
                    assert_eq!(orders.reduce(account, token, open), known.saturating_sub(open));
                    map.insert((account, token), known.saturating_sub(open));
                    map.retain(|_, open| *open > 0);
                }
            }
            assert_eq!(
                (orders.len(), orders.get(account, token).map(|memo| memo.open)),
                (map.len(), map.get(&(account, token)).copied())
            );
        }
        let mut again = OpenOrders::with_capacity(400, 9);
        orders.sorted().into_iter().for_each(|memo| again.insert(memo));
        assert_eq!((again.digest(), again.sorted()), (orders.digest(), orders.sorted()));
        assert_eq!(again.len(), map.len());
    }
}
