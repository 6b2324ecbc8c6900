//! # digest: a hash of the state that commands carry along
//!
//! Orders, positions and trades are many: each has a hash of its own, and their sum changes with them, by
//! what one of them was and what it is. A sum does not depend on the order of its terms, so that equal states
//! have equal sums whatever the way that led to them; a queue's order is that of its numbers. The rest of the
//! state is small and is hashed when the digest is asked for. `assert_invariants` compares the sums with the
//! state.

use crate::book::OrderSlot;
use crate::trades::Trade;

/// The sums, each modulo 2^64.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Sums {
    /// Of orders that rest.
    pub(crate) orders: u64,
    /// Of positions that are not flat.
    pub(crate) positions: u64,
    /// Of trades that can be busted.
    pub(crate) trades: u64,
}

impl Sums {
    /// A position changes; one that is flat is none.
    pub(crate) fn move_position(&mut self, account: u32, instrument: u16, from: i64, to: i64) {
        let hash = |net: i64| if net == 0 { 0 } else { position_hash(account, instrument, net) };
        self.positions = self.positions.wrapping_sub(hash(from)).wrapping_add(hash(to));
    }
}

/// Odd numbers without a pattern: the first hexadecimal digits of pi.
const KEYS: [u64; 6] = [
    0x243f_6a88_85a3_08d3,
    0x1319_8a2e_0370_7345,
    0xa409_3822_299f_31d1,
    0x082e_fa98_ec4e_6c89,
    0x4528_21e6_38d0_1377,
    0xbe54_66cf_34e9_0c6d,
];

/// Both halves of a product, one over the other.
fn fold(one: u64, two: u64) -> u64 {
    let product = u128::from(one) * u128::from(two);
    product as u64 ^ (product >> 64) as u64
}

fn mix(words: [u64; 5]) -> u64 {
    let [a, b, c, d, e] = words;
    let pairs = fold(a ^ KEYS[0], b ^ KEYS[1]) ^ fold(c ^ KEYS[2], d ^ KEYS[3]).rotate_left(29);
    fold(pairs ^ KEYS[4], e ^ KEYS[5])
}

fn pair(high: u32, low: u32) -> u64 {
    u64::from(high) << 32 | u64::from(low)
}

/// The hash of a resting order. `account` is the account's number.
pub(crate) fn order_hash(account: u32, order: &OrderSlot) -> u64 {
    // The instrument has the two bytes in the middle; each kind fits into half of its byte.
    let kinds = [
        order.side as u8 | (order.kind as u8) << 4,
        0,
        0,
        order.self_match as u8 | u8::from(order.is_post_only) << 4,
    ];
    mix([
        order.number,
        pair(account, order.token),
        pair(order.price, order.stop_or_display),
        pair(order.remaining, order.displayed),
        pair(order.executed, u32::from_le_bytes(kinds)) ^ u64::from(order.instrument) << 8,
    ])
}

fn position_hash(account: u32, instrument: u16, net: i64) -> u64 {
    mix([pair(account, u32::from(instrument)), net as u64, 1, 0, 0])
}

/// The hash of a trade. `accounts` are the accounts' numbers.
pub(crate) fn trade_hash(accounts: [u32; 2], trade: &Trade) -> u64 {
    mix([
        trade.match_number,
        pair(accounts[0], trade.tokens[0]),
        pair(accounts[1], trade.tokens[1]),
        pair(trade.quantity, u32::from(trade.instrument)),
        u64::from(trade.is_busted),
    ])
}
