//! Words that commands and outputs share.
//!
//! Prices are integers with four decimals, as in OUCH 5.0 and ITCH 5.0: 1.5 is `15_000`.

use std::fmt;

/// The highest price, 199,999.99, with four decimals: the limit of OUCH 5.0's price field.
pub const PRICE_MAX: u64 = 1_999_999_900;

/// The highest quantity of an order: OUCH 5.0 has less than a million.
pub const QUANTITY_MAX: u32 = 999_999;

/// The name of an instrument: eight bytes, left-justified, padded with spaces.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Symbol(pub [u8; 8]);

impl Symbol {
    /// The symbol of a text; its bytes beyond the eighth are dropped.
    pub fn new(text: &str) -> Self {
        let mut bytes = [b' '; 8];
        for (to, from) in bytes.iter_mut().zip(text.bytes()) {
            *to = from;
        }
        Self(bytes)
    }

    /// Whether it has at least one character, and printable ASCII padded by spaces alone.
    pub fn is_valid(self) -> bool {
        let end = self.0.iter().position(|&byte| byte == b' ').unwrap_or(8);
        let (name, padding) = self.0.split_at(end);
        end > 0 && name.iter().all(u8::is_ascii_graphic) && padding.iter().all(|&byte| byte == b' ')
    }

    pub(crate) fn key(self) -> u64 {
        u64::from_be_bytes(self.0)
    }
}

impl fmt::Debug for Symbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.escape_ascii())
    }
}

/// An enum that snapshots write as one byte: its variants' numbers, and back.
macro_rules! byte_enum {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $byte:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
        #[repr(u8)]
        pub enum $name { $($(#[$doc])* $variant = $byte),+ }

        impl $name {
            /// Each value once.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            pub(crate) fn of_byte(byte: u8) -> Option<Self> {
                match byte { $($byte => Some(Self::$variant),)+ _ => None }
            }
        }
    };
}

byte_enum! {
    /// The side of an order.
    Side {
        /// Buys.
        Buy = 0,
        /// Sells.
        Sell = 1,
    }
}

impl Side {
    /// The other side.
    pub fn opposite(self) -> Self {
        match self {
            Self::Buy => Self::Sell,
            Self::Sell => Self::Buy,
        }
    }
}

byte_enum! {
    /// The price condition of an order.
    OrderKind {
        /// Executes at its price or better.
        Limit = 0,
        /// Executes at any price; in a call phase it waits for the auction.
        Market = 1,
        /// Becomes a limit order when a trade reaches its stop price.
        StopLimit = 2,
        /// Becomes a market order when a trade reaches its stop price.
        StopMarket = 3,
    }
}

impl OrderKind {
    /// Whether it waits for its stop price.
    pub fn is_stop(self) -> bool {
        matches!(self, Self::StopLimit | Self::StopMarket)
    }

    /// Whether it has a limit price.
    pub fn is_limit(self) -> bool {
        matches!(self, Self::Limit | Self::StopLimit)
    }

    /// The kind that a stop order becomes; the others stay.
    pub fn triggered(self) -> Self {
        if self.is_limit() { Self::Limit } else { Self::Market }
    }
}

byte_enum! {
    /// How long an order lives.
    TimeInForce {
        /// Until it is executed, canceled, or the instrument is closed.
        Day = 0,
        /// Immediate or cancel: what does not execute at once is canceled.
        Ioc = 1,
        /// Fill or kill: executes whole at once, or not at all.
        Fok = 2,
    }
}

byte_enum! {
    /// What happens in continuous trading when an order meets one of the same account. The arriving order's
    /// choice counts. Auctions ignore it: their trades have no arriving side.
    SelfMatch {
        /// They trade.
        Allow = 0,
        /// The rest of the arriving order is canceled.
        CancelNewest = 1,
        /// The resting order is canceled, whole.
        CancelOldest = 2,
        /// Both are canceled.
        CancelBoth = 3,
        /// Both are reduced by the smaller of the arriving rest and the resting displayed quantity.
        Decrement = 4,
    }
}

/// When a phase ends by itself.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum PhaseEnd {
    /// When an operator ends it.
    #[default]
    Never,
    /// At this stream time, in nanoseconds. Where that is set back, the phase waits for the same time.
    At(u64),
    /// So many nanoseconds from now on. Where the stream's time is set back, what is left of them stays.
    After(u64),
}

impl PhaseEnd {
    /// The time, 0 where there is none, and the duration, if it is one.
    pub(crate) fn counted_from(self, now_ns: u64) -> (u64, Option<u64>) {
        match self {
            Self::Never => (0, None),
            Self::At(at_ns) => (at_ns, None),
            Self::After(ns) => (now_ns.saturating_add(ns), Some(ns)),
        }
    }
}

byte_enum! {
    /// The phase of an instrument's trading.
    TradingPhase {
        /// No order rests and none is accepted.
        Closed = 0,
        /// Orders are collected; nothing executes and no indicative price is published.
        PreOpen = 1,
        /// The call of the opening auction: collects, and publishes indicative prices.
        OpeningAuction = 2,
        /// Orders execute as they arrive.
        Continuous = 3,
        /// The call after a price left the dynamic band.
        VolatilityInterruption = 4,
        /// The call of the closing auction.
        ClosingAuction = 5,
        /// Orders rest, may be canceled, and none is accepted.
        Halted = 6,
    }
}

impl TradingPhase {
    /// Whether orders are collected for an auction and indicative prices are published.
    pub fn is_auction(self) -> bool {
        matches!(self, Self::OpeningAuction | Self::VolatilityInterruption | Self::ClosingAuction)
    }

    /// Whether orders are accepted.
    pub fn is_open(self) -> bool {
        !matches!(self, Self::Closed | Self::Halted)
    }

    /// The state of ITCH 5.0's Stock Trading Action: `T` trading, `Q` quotation only, `P` paused, `H` halted.
    pub fn itch_state(self) -> u8 {
        match self {
            Self::Continuous => b'T',
            Self::PreOpen | Self::OpeningAuction | Self::ClosingAuction => b'Q',
            Self::VolatilityInterruption => b'P',
            Self::Closed | Self::Halted => b'H',
        }
    }

    /// The cross type of ITCH 5.0 for an auction that ends this phase: `O`, `C` or `H`.
    pub fn itch_cross(self) -> u8 {
        match self {
            Self::Closed | Self::PreOpen | Self::OpeningAuction => b'O',
            Self::ClosingAuction => b'C',
            Self::Continuous | Self::VolatilityInterruption | Self::Halted => b'H',
        }
    }
}
