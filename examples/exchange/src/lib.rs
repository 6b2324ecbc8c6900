//! # lockstep-exchange: the matching engine of the reference exchange
//!
//! Order books of thousands of instruments, with auctions, price bands, risk limits and busts, as one
//! deterministic state machine: it reads no clock, draws no random number and does no IO. The same commands
//! with the same stream times give the same reports, market events and timers at each replica, and the same
//! [`digest`](MatchingEngine::digest).
//!
//! ```text
//!   ExchangeCommand ──▶ MatchingEngine ──▶ Sink::report        to one account (OUCH 5.0)
//!     + stream time        │      ▲    ──▶ Sink::market        to everybody (ITCH 5.0)
//!                 snapshot ▼      │    ──▶ Sink::timer         comes back as TimerFired
//!                       bytes ──restore
//! ```
//!
//! ```
//! use lockstep_exchange::{
//!     AccountLimits, ExchangeCommand, InstrumentTerms, MarketEvent, MatchingEngine, NewOrder, OperatorRefusal,
//!     OrderReport, PhaseEnd, Rules, Side, Sink, Symbol, TradingPhase,
//! };
//!
//! struct Print;
//! impl Sink for Print {
//!     fn report(&mut self, report: OrderReport) { println!("{report:?}"); }
//!     fn market(&mut self, event: MarketEvent) { println!("{event:?}"); }
//!     fn refuse(&mut self, reason: OperatorRefusal) { println!("{reason:?}"); }
//!     fn timer(&mut self, key: u64, at_ns: u64) { println!("timer {key} at {at_ns}"); }
//!     fn cancel_timer(&mut self, key: u64) { println!("no timer {key}"); }
//! }
//!
//! let rules = Rules { orders_max: 1000, instruments_max: 10, accounts_max: 10, ..Rules::default() };
//! let mut exchange = MatchingEngine::new(rules)?;
//! let symbol = Symbol::new("ABC");
//! let terms = InstrumentTerms {
//!     symbol, tick: 100, lot: 1, reference: 10_0000, static_bps: 2000, dynamic_bps: 500, extended_bps: 0,
//! };
//! let mut now_ns = 1_800_000_000_000_000_000; // the stream's time
//! for command in [
//!     ExchangeCommand::DefineInstrument(terms),
//!     ExchangeCommand::SetAccount { account: 1, limits: AccountLimits::NONE, cancel_on_disconnect: true },
//!     ExchangeCommand::SetAccount { account: 2, limits: AccountLimits::NONE, cancel_on_disconnect: true },
//!     ExchangeCommand::SetPhase { symbol: None, phase: TradingPhase::Continuous, ends: PhaseEnd::Never },
//!     ExchangeCommand::Enter(NewOrder::limit(1, 1, symbol, Side::Sell, 300, 10_0100)),
//!     ExchangeCommand::Enter(NewOrder::limit(2, 1, symbol, Side::Buy, 100, 10_0200)),
//! ] {
//!     now_ns += 1000;
//!     exchange.apply(&command, now_ns, &mut Print);
//! }
//! assert_eq!(exchange.last_price(symbol), Some(10_0100));
//! assert_eq!((exchange.position(1, symbol), exchange.position(2, symbol)), (-100, 100));
//!
//! let mut bytes = Vec::new();
//! exchange.snapshot(&mut bytes)?;
//! let restored = MatchingEngine::restore(&mut bytes.as_slice())?;
//! assert_eq!(restored.digest(), exchange.digest());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![forbid(unsafe_code)]

mod accounts;
mod book;
mod command;
mod digest;
mod engine;
#[cfg(feature = "glimpse")]
mod glimpse;
mod index;
#[cfg(feature = "machine")]
mod machine;
mod output;
mod rules;
mod slab;
mod snapshot;
mod trades;
mod types;

pub use command::{AccountLimits, ExchangeCommand, InstrumentTerms, NewOrder, OrderReplacement};
pub use engine::{BookOrder, Equilibrium, MatchingEngine, OpenPosition};
#[cfg(feature = "glimpse")]
pub use glimpse::{GlimpseError, GlimpseSession};
#[cfg(feature = "machine")]
pub use machine::{ExchangeMachine, ExchangeSettings};
pub use output::{
    CancelReason, Liquidity, MarketEvent, OperatorRefusal, OrderReport, OrderTerms, PendingTimer,
    RejectionReason, Sink,
};
pub use rules::{CAPACITY_MAX, Rules, RulesError};
pub use snapshot::SNAPSHOT_VERSION;
pub use types::{
    OrderKind, PRICE_MAX, PhaseEnd, QUANTITY_MAX, SelfMatch, Side, Symbol, TimeInForce, TradingPhase,
};
