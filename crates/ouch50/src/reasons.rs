//! Reasons that the venue gives (Appendices B, C and D).

use crate::field::codes;

/// Why an order has fewer shares (Appendix B). An edition of 2023 also has `C` for an order of a cross that
/// did not execute; revision 1.05 does not.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum CancelReason {
    /// A regulation forbids its execution.
    Regulatory = b'D',
    /// A day order behind the closing cross.
    Closed = b'E',
    /// Post-only, and its price would slide for the national market.
    PostOnlyNms = b'F',
    /// Post-only, and its price would slide for a displayed order.
    PostOnlyDisplayed = b'G',
    /// The instrument is halted.
    Halted = b'H',
    /// Nothing is left to execute with.
    ImmediateOrCancel = b'I',
    /// Its price is beyond the collar.
    MarketCollar = b'K',
    /// It would execute with an own order.
    SelfMatch = b'Q',
    /// By the venue's staff.
    Supervisory = b'S',
    /// Its time is over.
    Timeout = b'T',
    /// The client asked for it.
    UserRequested = b'U',
    /// Beyond the threshold of the opening.
    OpenProtection = b'X',
    /// By the system.
    System = b'Z',
    /// More shares than a direct listing allows.
    DirectListingShares = b'e',
}
codes!(u8 CancelReason {
    Regulatory,
    Closed,
    PostOnlyNms,
    PostOnlyDisplayed,
    Halted,
    ImmediateOrCancel,
    MarketCollar,
    SelfMatch,
    Supervisory,
    Timeout,
    UserRequested,
    OpenProtection,
    System,
    DirectListingShares,
});

/// Why a trade does not count (3.7).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum BrokenTradeReason {
    /// Clearly erroneous.
    Erroneous = b'E',
    /// Both parties agreed.
    Consent = b'C',
    /// By the venue's staff.
    Supervisory = b'S',
    /// By a third party.
    External = b'X',
}
codes!(u8 BrokenTradeReason {
    Erroneous,
    Consent,
    Supervisory,
    External,
});

/// Why an order was restated (3.13).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum RestateReason {
    /// Its displayed part was refreshed.
    DisplayRefresh = b'R',
    /// Its displayed price changed.
    DisplayPrice = b'P',
}
codes!(u8 RestateReason {
    DisplayRefresh,
    DisplayPrice,
});

/// What an execution was, for its fee (Appendix D). An edition of 2023 lacks `u` and those
/// before the market opens.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum LiquidityFlag {
    /// Added liquidity.
    Added = b'A',
    /// Closing cross.
    ClosingCross = b'C',
    /// Added displayed liquidity, a retail customer's.
    RetailAdded = b'e',
    /// Cross of an offering or behind a halt.
    HaltOrIpoCross = b'H',
    /// Closing cross of after hours.
    AfterHoursCross = b'i',
    /// Added hidden liquidity.
    HiddenAdded = b'J',
    /// Price improvement for retail orders, with its identifier.
    RpiAdded = b'j',
    /// Added liquidity by a midpoint order.
    MidpointAdded = b'k',
    /// Cross behind a halt.
    HaltCross = b'K',
    /// Closing cross, imbalance only.
    ClosingImbalance = b'L',
    /// Opening cross, imbalance only.
    OpeningImbalance = b'M',
    /// Removed liquidity at the midpoint.
    MidpointRemoved = b'm',
    /// Passive execution at the midpoint.
    MidpointPassive = b'N',
    /// Midpoint order of extended life.
    MidpointExtendedLife = b'n',
    /// Opening cross.
    OpeningCross = b'O',
    /// Removed hidden liquidity that improved the price.
    HiddenImprovingRemoved = b'p',
    /// Retail order that removed midpoint liquidity.
    RetailMidpointRemoved = b'q',
    /// Removed liquidity.
    Removed = b'R',
    /// Retail order that removed price-improving liquidity.
    RetailRpiRemoved = b'r',
    /// Retail order that removed other hidden liquidity that improved the price.
    RetailHiddenRemoved = b't',
    /// Added hidden liquidity by an order with reserves.
    ReserveAdded = b'u',
    /// Supplemental order.
    Supplemental = b'0',
    /// Added displayed liquidity that improved the national best price.
    ImprovesNbbo = b'7',
    /// Added displayed liquidity that set the venue's best price.
    SetsQbbo = b'8',
    /// Price improvement for retail orders, without its identifier.
    RpiAddedUnmarked = b'1',
    /// Added liquidity before the market opened.
    AddedPreMarket = b'2',
    /// Removed liquidity before the market opened.
    RemovedPreMarket = b'3',
    /// Improved the national best price before the market opened.
    ImprovesNbboPreMarket = b'5',
    /// Added hidden liquidity before the market opened.
    HiddenAddedPreMarket = b'9',
}
codes!(u8 LiquidityFlag {
    Added,
    ClosingCross,
    RetailAdded,
    HaltOrIpoCross,
    AfterHoursCross,
    HiddenAdded,
    RpiAdded,
    MidpointAdded,
    HaltCross,
    ClosingImbalance,
    OpeningImbalance,
    MidpointRemoved,
    MidpointPassive,
    MidpointExtendedLife,
    OpeningCross,
    HiddenImprovingRemoved,
    RetailMidpointRemoved,
    Removed,
    RetailRpiRemoved,
    RetailHiddenRemoved,
    ReserveAdded,
    Supplemental,
    ImprovesNbbo,
    SetsQbbo,
    RpiAddedUnmarked,
    AddedPreMarket,
    RemovedPreMarket,
    ImprovesNbboPreMarket,
    HiddenAddedPreMarket,
});

impl CancelReason {
    /// Whether a message about prevented self-matches may have it.
    pub(crate) fn is_self_match(self) -> bool {
        self == Self::SelfMatch
    }
}
