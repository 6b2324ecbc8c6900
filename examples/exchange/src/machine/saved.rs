//! Snapshot and digest: what the machine has beside the engine, and then the engine's own.
//!
//! ```text
//!  ┌────────────────┬──────────────────────────────────────────────────────────────┬────────────────────┐
//!  │ bytes of it, 4 │ settings, counts, accounts without entry, opening, orders    │ the engine's, last │
//!  └────────────────┴──────────────────────────────────────────────────────────────┴────────────────────┘
//! ```

use super::ExchangeMachine;
use super::orders::{MEMO_LEN, OpenOrders, OrderMemo};
use crate::command::AccountLimits;
use crate::engine::MatchingEngine;
use crate::rules::CAPACITY_MAX;
use crate::types::TradingPhase;
use lockstep_machine::StateDigest;
use lockstep_machine::saved::{put_bytes, take, take_text, take_u32, take_u64};
use std::collections::{BTreeSet, VecDeque};
use std::io::{self, ErrorKind, Read, Write};

/// Bytes that the machine's part has at most: so many orders, and room for the rest.
const PART_MAX: u64 = CAPACITY_MAX as u64 * (MEMO_LEN as u64 + 8);

impl ExchangeMachine {
    /// All but orders and engine.
    fn head(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for word in [self.operators, self.feed, self.limits.quantity_max, self.limits.open_orders_max] {
            out.extend_from_slice(&word.to_le_bytes());
        }
        out.extend_from_slice(&self.limits.orders_per_second_max.to_le_bytes());
        let limits = [self.limits.notional_max, self.limits.position_max];
        for word in limits.into_iter().chain([self.published, self.ignored, self.now_ns]) {
            out.extend_from_slice(&word.to_le_bytes());
        }
        out.push(self.day_phase as u8);
        out.extend_from_slice(&(self.disabled.len() as u32).to_le_bytes());
        self.disabled.iter().for_each(|account| out.extend_from_slice(&account.to_le_bytes()));
        out.extend_from_slice(&(self.opening.len() as u32).to_le_bytes());
        for line in &self.opening {
            put_bytes(&mut out, line.as_bytes());
        }
        out
    }

    pub(super) fn save(&self, out: &mut impl Write) -> io::Result<()> {
        let mut part = self.head();
        let orders = self.orders.sorted();
        part.extend_from_slice(&(orders.len() as u32).to_le_bytes());
        orders.iter().for_each(|memo| part.extend_from_slice(&memo.encode()));
        let len = u32::try_from(part.len()).map_err(|_| io::Error::from(ErrorKind::InvalidData))?;
        out.write_all(&len.to_le_bytes())?;
        out.write_all(&part)?;
        self.engine.snapshot(out)
    }

    pub(super) fn load(from: &mut impl Read) -> io::Result<Self> {
        let mut len = [0; 4];
        from.read_exact(&mut len)?;
        let len = u64::from(u32::from_le_bytes(len));
        if len > PART_MAX {
            return Err(ErrorKind::InvalidData.into());
        }
        let mut part = Vec::new();
        from.by_ref().take(len).read_to_end(&mut part)?;
        let engine = MatchingEngine::restore(from)?;
        Self::of_parts(&mut &part[..], engine).ok_or_else(|| ErrorKind::InvalidData.into())
    }

    fn of_parts(part: &mut &[u8], engine: MatchingEngine) -> Option<Self> {
        let [operators, feed, quantity_max, open_orders_max, orders_per_second_max] =
            [take_u32(part)?, take_u32(part)?, take_u32(part)?, take_u32(part)?, take_u32(part)?];
        let [notional_max, position_max] = [take_u64(part)?, take_u64(part)?];
        let [published, ignored, now_ns] = [take_u64(part)?, take_u64(part)?, take_u64(part)?];
        let day_phase = TradingPhase::of_byte(take::<1>(part)?[0])?;
        let disabled: BTreeSet<u32> = (0..take_u32(part)?).map(|_| take_u32(part)).collect::<Option<_>>()?;
        let opening: VecDeque<String> =
            (0..take_u32(part)?).map(|_| take_text(part)).collect::<Option<_>>()?;
        let mut orders = OpenOrders::with_capacity(
            engine.state.rules.orders_max as usize + 1,
            engine.state.rules.hash_seed,
        );
        for _ in 0..take_u32(part)? {
            let memo = OrderMemo::decode(&take(part)?)?;
            let rests = engine.order_of(memo.account, memo.token).map(|order| order.remaining);
            if rests != Some(memo.open) || orders.get(memo.account, memo.token).is_some() {
                return None;
            }
            orders.insert(memo);
        }
        let limits = AccountLimits {
            quantity_max,
            notional_max,
            open_orders_max,
            position_max,
            orders_per_second_max,
        };
        let is_whole = part.is_empty() && orders.len() == engine.open_orders();
        is_whole.then_some(Self {
            engine,
            operators,
            feed,
            limits,
            day_phase,
            opening,
            orders,
            disabled,
            published,
            ignored,
            now_ns,
        })
    }

    /// Of the engine's digest, and of the rest.
    pub(super) fn state_digest(&self) -> u64 {
        let mut digest = StateDigest::default();
        digest.write(&self.engine.digest().to_le_bytes());
        digest.write(&self.orders.digest().to_le_bytes());
        digest.write(&self.head());
        digest.value()
    }
}
