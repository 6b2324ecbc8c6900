//! The exchange's own settings: capacities, and the clocks of its call phases.

use std::fmt;

/// Capacities and durations. Everything that an engine needs is allocated when it is made, so that a command
/// in steady state allocates nothing; an order that would exceed a capacity is rejected
/// ([`RejectionReason::Capacity`](crate::RejectionReason)).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rules {
    /// Orders that may rest at one time, stops included.
    pub orders_max: u32,
    /// Instruments; ITCH's stock locate has 16 bits.
    pub instruments_max: u16,
    /// Accounts.
    pub accounts_max: u32,
    /// Pairs of account and instrument that have an open order or a position.
    pub positions_max: u32,
    /// Newest trades that can still be busted.
    pub trades_max: u32,
    /// How long a volatility interruption collects orders, in nanoseconds of stream time.
    pub volatility_ns: u64,
    /// Interval between two indicative prices of a call phase, in nanoseconds; 0 publishes none.
    pub indicative_ns: u64,
    /// Seeds the hash of look-ups, so that no client can choose tokens that collide. All replicas have the
    /// same; draw it when the exchange is founded. It changes no output.
    pub hash_seed: u64,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            orders_max: 1 << 20,
            instruments_max: 8192,
            accounts_max: 4096,
            positions_max: 1 << 18,
            trades_max: 1 << 18,
            volatility_ns: 120_000_000_000,
            indicative_ns: 1_000_000_000,
            hash_seed: 0x9e37_79b9_7f4a_7c15,
        }
    }
}

/// The most of each capacity: their sum stays far below what a 32-bit link can name, and a forged snapshot
/// cannot ask for more memory than this.
pub const CAPACITY_MAX: u32 = 1 << 25;

/// A capacity that is zero or beyond [`CAPACITY_MAX`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RulesError {
    /// The field of [`Rules`].
    pub field: &'static str,
    /// Its value.
    pub value: u64,
    /// The highest value that it may have.
    pub max: u64,
}

impl fmt::Display for RulesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rules: {} is {}: choose 1 to {}", self.field, self.value, self.max)
    }
}

impl std::error::Error for RulesError {}

impl Rules {
    /// Checks the capacities.
    ///
    /// # Errors
    ///
    /// Names the first field that is zero or too large.
    pub fn check(&self) -> Result<(), RulesError> {
        let capacities = [
            ("orders_max", self.orders_max),
            ("instruments_max", u32::from(self.instruments_max)),
            ("accounts_max", self.accounts_max),
            ("positions_max", self.positions_max),
            ("trades_max", self.trades_max),
        ];
        for (field, value) in capacities {
            if !(1..=CAPACITY_MAX).contains(&value) {
                return Err(RulesError { field, value: u64::from(value), max: u64::from(CAPACITY_MAX) });
            }
        }
        Ok(())
    }
}
