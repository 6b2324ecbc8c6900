//! Outputs: reports to accounts, events of the market, timers.

use crate::types::{OrderKind, Side, Symbol, TimeInForce, TradingPhase};

/// Where an engine's outputs go, in the order in which they come. A sink must not answer: the same calls are
/// made at each replica.
pub trait Sink {
    /// A report to the account that it names.
    fn report(&mut self, report: OrderReport);
    /// An event for everybody: one message of ITCH 5.0.
    fn market(&mut self, event: MarketEvent);
    /// An operator's command was refused and changed nothing.
    fn refuse(&mut self, reason: OperatorRefusal);
    /// Wants [`TimerFired`](crate::ExchangeCommand::TimerFired) with this key once stream time is `at_ns`.
    fn timer(&mut self, key: u64, at_ns: u64);
    /// The same for a duration: `after_ns` from now on, which is `at_ns`. A sink whose time may be set back
    /// keeps what is left of it.
    fn timer_after(&mut self, key: u64, _after_ns: u64, at_ns: u64) {
        self.timer(key, at_ns);
    }
    /// The timer with this key is not wanted any more.
    fn cancel_timer(&mut self, key: u64);
}

/// A timer that the engine waits for.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct PendingTimer {
    /// Its key.
    pub key: u64,
    /// Stream time from which it may fire, in nanoseconds.
    pub at_ns: u64,
}

impl PendingTimer {
    /// No timer has key 0.
    pub(crate) fn is_none(self) -> bool {
        self.key == 0
    }
}

/// Why an operator's command was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OperatorRefusal {
    /// No instrument has this symbol.
    UnknownInstrument(Symbol),
    /// No account has this number.
    UnknownAccount(u32),
    /// Symbol, tick, lot, reference price or a band is out of range.
    InvalidTerms(Symbol),
    /// New terms need a closed instrument.
    NotClosed(Symbol),
    /// There are as many instruments or accounts as the rules have.
    Capacity,
    /// No such trade, or one that is too old to be busted.
    UnknownTrade(u64),
    /// The trade is busted already.
    AlreadyBusted(u64),
    /// No event code of ITCH 5.0.
    InvalidEventCode(u8),
}

/// Why an order, a replacement or a cancel was rejected.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum RejectionReason {
    /// No such account.
    UnknownAccount,
    /// The token is not higher than the last one. OUCH 5.0 answers nothing to such an order; its edge drops
    /// this report.
    DuplicateToken,
    /// The kill switch is on.
    KillSwitch,
    /// Too many orders in this second.
    OrderRate,
    /// No such instrument.
    UnknownInstrument,
    /// No order of this account has this token, or it is not open any more.
    UnknownOrder,
    /// The instrument is closed or halted.
    NotOpen,
    /// Zero, above the exchange's maximum, or no multiple of the lot.
    InvalidQuantity,
    /// Missing, superfluous, out of range, or no multiple of the tick.
    InvalidPrice,
    /// As for the price.
    InvalidStopPrice,
    /// Above the quantity, or no multiple of the lot.
    InvalidDisplay,
    /// The order's attributes exclude each other.
    InvalidCombination,
    /// A call phase takes orders that can rest alone.
    NotInCallPhase,
    /// A price outside of the static band.
    OutsideBand,
    /// Above the account's highest quantity.
    QuantityLimit,
    /// Above the account's highest notional.
    NotionalLimit,
    /// As many orders rest as the account may have.
    OpenOrdersLimit,
    /// The account's position could exceed its limit.
    PositionLimit,
    /// The exchange has no room for another order or position.
    Capacity,
    /// A post-only order that would execute.
    WouldExecute,
    /// A cancel that leaves the order as it is.
    NoReduction,
}

/// Why an order's quantity was canceled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CancelReason {
    /// The account asked for it.
    Requested,
    /// The rest of an immediate-or-cancel order.
    ImmediateOrCancel,
    /// A fill-or-kill order that could not be filled.
    FillOrKill,
    /// The rest of a market order.
    NoLiquidity,
    /// It met an order of the same account.
    SelfMatch,
    /// The account's mass cancel.
    MassCancel,
    /// The account's session is gone.
    Disconnected,
    /// The account's kill switch.
    KillSwitch,
    /// The rest of a market order that an auction left.
    AuctionRemainder,
    /// A replacement to no more than what is executed.
    ReplacedToNothing,
    /// The instrument was closed.
    Closed,
}

/// The part that an order played in a trade.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Liquidity {
    /// It rested.
    Added,
    /// It arrived.
    Removed,
    /// An auction; ITCH's cross type.
    Cross(u8),
}

/// The terms of an accepted or replaced order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OrderTerms {
    /// The order's number on the market (ITCH order reference number).
    pub number: u64,
    /// The instrument.
    pub symbol: Symbol,
    /// The side.
    pub side: Side,
    /// The price condition.
    pub kind: OrderKind,
    /// How long it lives.
    pub time_in_force: TimeInForce,
    /// The quantity that is open.
    pub quantity: u32,
    /// The limit price, or 0.
    pub price: u64,
    /// The stop price, or 0.
    pub stop_price: u64,
    /// The quantity displayed at one time, or 0 for all.
    pub display: u32,
}

/// A report to an account.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OrderReport {
    /// An order is accepted. Executions and cancels follow.
    Accepted {
        /// The account.
        account: u32,
        /// The order's token.
        token: u32,
        /// Its terms.
        terms: OrderTerms,
    },
    /// An order or a replacement is rejected. A replacement's order stays as it was.
    Rejected {
        /// The account.
        account: u32,
        /// The token that the order would have had.
        token: u32,
        /// Why.
        reason: RejectionReason,
    },
    /// An order is replaced. Executions and cancels follow.
    Replaced {
        /// The account.
        account: u32,
        /// The order's token from now on.
        token: u32,
        /// The token that it had.
        original: u32,
        /// Its terms.
        terms: OrderTerms,
        /// Whether it stays where it was in its queue.
        keeps_priority: bool,
    },
    /// Part or all of an order is canceled.
    Canceled {
        /// The account.
        account: u32,
        /// The order's token.
        token: u32,
        /// The quantity that is gone.
        quantity: u32,
        /// Why.
        reason: CancelReason,
    },
    /// A cancel is rejected.
    CancelRejected {
        /// The account.
        account: u32,
        /// The token of the cancel.
        token: u32,
        /// Why.
        reason: RejectionReason,
    },
    /// A mass cancel is done.
    MassCanceled {
        /// The account.
        account: u32,
        /// How many orders it canceled.
        orders: u32,
    },
    /// A trade.
    Executed {
        /// The account.
        account: u32,
        /// The order's token.
        token: u32,
        /// The quantity of the trade.
        quantity: u32,
        /// Its price.
        price: u64,
        /// The order's part in it.
        liquidity: Liquidity,
        /// The trade, the same on both sides.
        match_number: u64,
    },
    /// A stop order has become a limit or market order.
    Triggered {
        /// The account.
        account: u32,
        /// The order's token.
        token: u32,
        /// Its number on the market from now on.
        number: u64,
    },
    /// An iceberg displays more of itself, behind the orders at its price.
    Restated {
        /// The account.
        account: u32,
        /// The order's token.
        token: u32,
        /// Its number on the market from now on.
        number: u64,
        /// The quantity displayed.
        displayed: u32,
    },
    /// A trade is busted.
    Broken {
        /// The account.
        account: u32,
        /// The token that the order had when it traded.
        token: u32,
        /// The trade.
        match_number: u64,
    },
}

impl OrderReport {
    /// The account that it goes to.
    pub fn account(&self) -> u32 {
        match *self {
            Self::Accepted { account, .. }
            | Self::Rejected { account, .. }
            | Self::Replaced { account, .. }
            | Self::Canceled { account, .. }
            | Self::CancelRejected { account, .. }
            | Self::MassCanceled { account, .. }
            | Self::Executed { account, .. }
            | Self::Triggered { account, .. }
            | Self::Restated { account, .. }
            | Self::Broken { account, .. } => account,
        }
    }
}

/// An event of the market: each becomes the one message of ITCH 5.0 whose letter its description has.
/// There is no Trade (`P`): in continuous trading only displayed quantity executes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MarketEvent {
    /// `S`: an event of the whole system.
    System {
        /// Its code.
        code: u8,
    },
    /// `R`: an instrument.
    Directory {
        /// Its number in all other events: 1 for the first that was defined.
        locate: u16,
        /// Its name.
        symbol: Symbol,
        /// Its lot.
        lot: u32,
    },
    /// `H`: a phase begins.
    TradingAction {
        /// The instrument.
        locate: u16,
        /// Its name.
        symbol: Symbol,
        /// The phase.
        phase: TradingPhase,
        /// Set where a volatility interruption waits for an operator.
        is_extended: bool,
    },
    /// `A`: an order is displayed.
    Added {
        /// The instrument.
        locate: u16,
        /// The order's number.
        number: u64,
        /// Its side.
        side: Side,
        /// The quantity displayed.
        quantity: u32,
        /// The instrument's name.
        symbol: Symbol,
        /// Its price.
        price: u64,
    },
    /// `E`: a displayed order executes at its price.
    Executed {
        /// The instrument.
        locate: u16,
        /// The order's number.
        number: u64,
        /// The quantity.
        quantity: u32,
        /// The trade.
        match_number: u64,
    },
    /// `C`, not printable: displayed quantity executes in an auction, at the auction's price. The cross has
    /// the whole volume.
    ExecutedAt {
        /// The instrument.
        locate: u16,
        /// The order's number.
        number: u64,
        /// The quantity.
        quantity: u32,
        /// The trade.
        match_number: u64,
        /// The price.
        price: u64,
    },
    /// `X`: less is displayed.
    Reduced {
        /// The instrument.
        locate: u16,
        /// The order's number.
        number: u64,
        /// The quantity that is gone.
        quantity: u32,
    },
    /// `D`: an order is displayed no more.
    Deleted {
        /// The instrument.
        locate: u16,
        /// The order's number.
        number: u64,
    },
    /// `U`: an order has another number, quantity or price, and a new place in the queue.
    Replaced {
        /// The instrument.
        locate: u16,
        /// The number that it had.
        original: u64,
        /// Its number from now on.
        number: u64,
        /// The quantity displayed.
        quantity: u32,
        /// Its price.
        price: u64,
    },
    /// `Q`: an auction has traded.
    Cross {
        /// The instrument.
        locate: u16,
        /// Its name.
        symbol: Symbol,
        /// The volume.
        quantity: u64,
        /// The price of all its trades.
        price: u64,
        /// The number of the cross, from the same count as trades.
        match_number: u64,
        /// ITCH's cross type.
        cross: u8,
    },
    /// `B`: a trade is busted.
    Broken {
        /// The instrument.
        locate: u16,
        /// The trade.
        match_number: u64,
    },
    /// `I`: the auction as it would be now.
    Imbalance {
        /// The instrument.
        locate: u16,
        /// Its name.
        symbol: Symbol,
        /// The volume that would trade.
        paired: u64,
        /// The quantity that would be left at that price.
        imbalance: u64,
        /// The side that would be left; none if there is no imbalance, or no price.
        side: Option<Side>,
        /// The auction's price; 0 if nothing would trade.
        price: u64,
        /// The price that the auction compares with.
        reference: u64,
        /// ITCH's cross type.
        cross: u8,
    },
}
