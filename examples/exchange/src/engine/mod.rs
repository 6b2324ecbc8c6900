//! # engine: commands in, reports and market events out
//!
//! [`MatchingEngine::apply`] is the only way to change it. Its parts, by question: [`enter`] decides whether
//! an order is accepted, [`arrive`] what an accepted order does, [`amend`] replaces and cancels, [`auction`]
//! finds a price for all, [`phases`] begins and ends phases, [`operate`] serves operators. What they change
//! is in [`state`], and [`reports`] has what accounts and the market learn of it.

mod amend;
mod arrive;
mod auction;
mod enter;
pub(crate) mod operate;
pub(crate) mod phases;
mod reports;
pub(crate) mod state;
mod view;

pub use auction::Equilibrium;
pub use view::{BookOrder, OpenPosition};

use crate::book::Books;
use crate::command::{ExchangeCommand, NewOrder};
use crate::output::Sink;
use crate::rules::{Rules, RulesError};
use crate::slab::NIL;
use crate::types::{Side, Symbol, TradingPhase};
use state::TradingState;
use std::collections::VecDeque;

/// All instruments, accounts and orders of an exchange: a function of the commands that it was given, in
/// their order, and of nothing else.
#[derive(Clone, Debug)]
pub struct MatchingEngine {
    pub(crate) state: TradingState,
    /// Stop orders that have triggered and wait for their turn within this command.
    triggered: VecDeque<u32>,
    /// Those that triggered together, while they are sorted.
    batch: Vec<u32>,
    /// Lowest and highest price that traded since stop orders were looked for.
    traded: Option<(u32, u32)>,
}

/// Triggered stop orders of one command for which memory is allocated in advance.
const TRIGGERED: usize = 1024;

pub(crate) fn token_key(account: u32, token: u32) -> u64 {
    u64::from(account) << 32 | u64::from(token)
}

/// A price's distance from another, in basis points, rounded down.
fn band(price: u32, bps: u32) -> u64 {
    u64::from(price) * u64::from(bps) / 10_000
}

/// Whether `price` lies no further from `around` than `bps`; 0 is no band.
fn is_within(price: u32, around: u32, bps: u32) -> bool {
    bps == 0 || u64::from(price.abs_diff(around)) <= band(around, bps)
}

impl MatchingEngine {
    /// An exchange without instruments and accounts. Allocates what the rules ask for.
    ///
    /// # Errors
    ///
    /// A capacity of the rules is out of range.
    pub fn new(rules: Rules) -> Result<Self, RulesError> {
        Ok(Self::of(TradingState::new(rules)?))
    }

    /// An engine that continues from this state.
    pub(crate) fn of(state: TradingState) -> Self {
        Self {
            state,
            triggered: VecDeque::with_capacity(TRIGGERED),
            batch: Vec::with_capacity(TRIGGERED),
            traded: None,
        }
    }

    /// Applies one command. `now_ns` is the command's stream time in nanoseconds since the Unix epoch: the
    /// engine reads no clock.
    pub fn apply(&mut self, command: &ExchangeCommand, now_ns: u64, out: &mut impl Sink) {
        let done = match *command {
            ExchangeCommand::Enter(ref order) => {
                self.enter(order, now_ns, out);
                Ok(())
            }
            ExchangeCommand::Replace(ref replacement) => {
                self.replace(replacement, now_ns, out);
                Ok(())
            }
            ExchangeCommand::Cancel { account, token, quantity } => {
                self.cancel(account, token, quantity, out);
                Ok(())
            }
            ExchangeCommand::MassCancel { account, symbol, side } => {
                self.mass_cancel(account, symbol, side, out);
                Ok(())
            }
            ExchangeCommand::Disconnect { account } => self.disconnect(account, out),
            ExchangeCommand::TimerFired { key } => {
                self.on_timer(key, now_ns, out);
                Ok(())
            }
            ExchangeCommand::SystemEvent { code } => Self::system_event(code, out),
            ExchangeCommand::DefineInstrument(ref terms) => self.define(terms, out),
            ExchangeCommand::SetReference { symbol, price } => self.set_reference(symbol, price),
            ExchangeCommand::SetPhase { symbol, phase, ends } => {
                self.set_phase(symbol, phase, ends, now_ns, out)
            }
            ExchangeCommand::SetAccount { account, limits, cancel_on_disconnect } => {
                self.set_account(account, limits, cancel_on_disconnect)
            }
            ExchangeCommand::SetKillSwitch { account, is_on } => self.set_kill_switch(account, is_on, out),
            ExchangeCommand::Bust { match_number } => self.bust(match_number, out),
        };
        if let Err(reason) = done {
            out.refuse(reason);
        }
        debug_assert!(self.triggered.is_empty() && self.traded.is_none());
    }

    /// Writes once to all memory that the rules ask for: an operating system gives memory when it is written
    /// first, page by page, and a command that meets a new page waits some microseconds. To be called before
    /// the first command and after a restoration; it changes nothing that can be seen.
    pub fn prefault(&mut self) {
        let symbol = Symbol::new("");
        let blank = NewOrder::limit(0, 0, symbol, Side::Buy, 0, 0);
        self.state.books.prefault(enter::new_slot(&blank, NIL, 0, 0, 0));
        self.state.positions.prefault();
        self.state.tokens.prefault();
        self.state.trades.prefault();
    }
}

impl Books {
    pub(crate) fn phase(&self, instrument: u16) -> TradingPhase {
        self.instruments[instrument as usize].phase
    }

    /// Whether a limit order at this price would execute at once.
    pub(crate) fn crosses(&self, instrument: u16, side: Side, price: u32) -> bool {
        self.best(instrument, side.opposite()).is_some_and(|(best, _)| reaches(side, price, best))
    }
}

/// Whether an order of this side with this limit may trade at `price`.
fn reaches(side: Side, limit: u32, price: u32) -> bool {
    match side {
        Side::Buy => price <= limit,
        Side::Sell => price >= limit,
    }
}
