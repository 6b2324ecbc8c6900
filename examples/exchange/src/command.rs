//! Commands: all that changes an engine, in the order of the stream.

use crate::types::{OrderKind, PhaseEnd, SelfMatch, Side, Symbol, TimeInForce, TradingPhase};

/// One entry of the stream, as the engine takes it. The edge decides which sender may send which command: an
/// account's session sends the commands of its account, an operator's entry those of operators.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ExchangeCommand {
    /// By an operator: an event of the whole system, published as it is.
    SystemEvent {
        /// ITCH 5.0's event code: `O`, `S`, `Q`, `M`, `E` or `C`.
        code: u8,
    },
    /// By an operator: a new instrument, or new terms of a closed one.
    DefineInstrument(InstrumentTerms),
    /// By an operator: another reference price.
    SetReference {
        /// The instrument.
        symbol: Symbol,
        /// The price, a multiple of the tick.
        price: u64,
    },
    /// By an operator: begins a phase, which ends the one before, with its auction if it has one.
    SetPhase {
        /// The instrument; none: all, in the order of their definition.
        symbol: Option<Symbol>,
        /// The phase that begins.
        phase: TradingPhase,
        /// When the phase ends by itself. An opening
        /// auction and a volatility interruption end in continuous trading, continuous trading in the closing
        /// auction, that one in the close, pre-open in the opening auction; a halt ends by an operator alone.
        /// Continuous trading that follows a volatility interruption without an end ends when it would have
        /// ended.
        ends: PhaseEnd,
    },
    /// By an operator: a new account, or new limits of one.
    SetAccount {
        /// The account.
        account: u32,
        /// Its limits.
        limits: AccountLimits,
        /// Whether its orders are canceled when its session disconnects.
        cancel_on_disconnect: bool,
    },
    /// By an operator: the kill switch of an account. On: its orders are canceled and new ones rejected.
    SetKillSwitch {
        /// The account.
        account: u32,
        /// On or off.
        is_on: bool,
    },
    /// By an operator: a trade is busted. Positions are as if it had not been; the orders do not come back.
    Bust {
        /// The trade.
        match_number: u64,
    },
    /// By an account: a new order.
    Enter(NewOrder),
    /// By an account: another price, quantity or display of an order.
    Replace(OrderReplacement),
    /// By an account: less of an order, or none of it.
    Cancel {
        /// The account.
        account: u32,
        /// The order's token.
        token: u32,
        /// The size that the order shall have, what is executed included, as in OUCH 5.0; 0 cancels it.
        quantity: u32,
    },
    /// By an account: all its orders that match.
    MassCancel {
        /// The account.
        account: u32,
        /// Only of this instrument.
        symbol: Option<Symbol>,
        /// Only of this side.
        side: Option<Side>,
    },
    /// The session of an account is gone.
    Disconnect {
        /// The account.
        account: u32,
    },
    /// A timer that the engine asked for. One that it has since canceled or replaced does nothing.
    TimerFired {
        /// The key of the timer.
        key: u64,
    },
}

/// The terms of an instrument.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct InstrumentTerms {
    /// Its name.
    pub symbol: Symbol,
    /// Prices are multiples of it; at least 1.
    pub tick: u64,
    /// Quantities are multiples of it; at least 1.
    pub lot: u32,
    /// The price to begin with, a multiple of the tick.
    pub reference: u64,
    /// Limit prices further than this from the reference price are rejected: basis points, 0 for no band.
    pub static_bps: u32,
    /// A trade further than this from the last price begins a volatility interruption: basis points, 0 for no
    /// band.
    pub dynamic_bps: u32,
    /// A volatility interruption whose auction would trade further than this from the last price does not end
    /// by itself: basis points, 0 for no such limit.
    pub extended_bps: u32,
}

/// What an account may do. Each limit is checked before the book sees the order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AccountLimits {
    /// Highest quantity of an order.
    pub quantity_max: u32,
    /// Highest price times quantity of an order, with four decimals. An order without a price counts at the
    /// last price.
    pub notional_max: u64,
    /// Orders that may rest at one time.
    pub open_orders_max: u32,
    /// Highest position, long or short, in one instrument, if all its open orders of one side executed.
    pub position_max: u64,
    /// Orders and replacements in one second of stream time.
    pub orders_per_second_max: u32,
}

impl AccountLimits {
    /// No limit but those of the exchange.
    pub const NONE: Self = Self {
        quantity_max: u32::MAX,
        notional_max: u64::MAX,
        open_orders_max: u32::MAX,
        position_max: u64::MAX,
        orders_per_second_max: u32::MAX,
    };
}

/// An order as its account enters it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NewOrder {
    /// The account.
    pub account: u32,
    /// The account's own number of the order (OUCH 5.0 UserRefNum): strictly increasing. A rejected order has
    /// used its token too.
    pub token: u32,
    /// The instrument.
    pub symbol: Symbol,
    /// The side.
    pub side: Side,
    /// The price condition.
    pub kind: OrderKind,
    /// How long it lives.
    pub time_in_force: TimeInForce,
    /// The quantity.
    pub quantity: u32,
    /// The limit price; 0 for a market order.
    pub price: u64,
    /// The stop price; 0 for an order that is no stop.
    pub stop_price: u64,
    /// The quantity that is displayed at one time, of an iceberg; 0 displays all.
    pub display: u32,
    /// Rejected if it would execute at once.
    pub is_post_only: bool,
    /// What happens if it meets an order of the same account.
    pub self_match: SelfMatch,
}

impl NewOrder {
    /// A limit order of the day that displays all its quantity.
    pub fn limit(account: u32, token: u32, symbol: Symbol, side: Side, quantity: u32, price: u64) -> Self {
        Self {
            account,
            token,
            symbol,
            side,
            kind: OrderKind::Limit,
            time_in_force: TimeInForce::Day,
            quantity,
            price,
            stop_price: 0,
            display: 0,
            is_post_only: false,
            self_match: SelfMatch::Allow,
        }
    }
}

/// New terms of an order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OrderReplacement {
    /// The account.
    pub account: u32,
    /// The order's token.
    pub original: u32,
    /// The order's token from now on, higher than any before.
    pub token: u32,
    /// The size that the order shall have, what is executed included, as in OUCH 5.0.
    pub quantity: u32,
    /// The limit price; 0 for a market order.
    pub price: u64,
    /// The stop price; 0 for an order that is no stop, or one that is triggered.
    pub stop_price: u64,
    /// The quantity that is displayed at one time; 0 displays all.
    pub display: u32,
}
