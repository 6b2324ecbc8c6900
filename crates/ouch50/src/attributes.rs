//! Enumerated fields of orders. The value sets are those of the specification's revision 1.05 of October
//! 2025.

use crate::field::codes;

/// The side of an order (2.1).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum Side {
    /// It buys.
    Buy = b'B',
    /// It sells shares that are owned.
    Sell = b'S',
    /// It sells short.
    SellShort = b'T',
    /// It sells short, exempt from the price test.
    SellShortExempt = b'E',
}
codes!(u8 Side {
    Buy,
    Sell,
    SellShort,
    SellShortExempt,
});

/// How long an order lives (2.1).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum TimeInForce {
    /// To the end of market hours.
    Day = b'0',
    /// It executes at once, and its rest is canceled.
    ImmediateOrCancel = b'3',
    /// To the end of extended hours.
    ExtendedHours = b'5',
    /// As long as the option `expire_s` has it.
    GoodTillTime = b'6',
    /// After hours alone; not for a replacement.
    AfterHours = b'E',
}
codes!(u8 TimeInForce {
    Day,
    ImmediateOrCancel,
    ExtendedHours,
    GoodTillTime,
    AfterHours,
});

/// How an order is displayed (2.1, 3.2, 3.11).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum Display {
    /// Without a name.
    Visible = b'Y',
    /// Not at all.
    Hidden = b'N',
    /// With the firm's name.
    Attributable = b'A',
    /// At a price that complies with regulation: from the venue alone.
    Conformant = b'Z',
}
codes!(u8 Display {
    Visible,
    Hidden,
    Attributable,
    Conformant,
});

/// For whose account a firm acts (2.1).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum Capacity {
    /// A customer's.
    Agency = b'A',
    /// Its own.
    Principal = b'P',
    /// Its own between a customer's two sides.
    Riskless = b'R',
    /// Another.
    Other = b'O',
}
codes!(u8 Capacity {
    Agency,
    Principal,
    Riskless,
    Other,
});

/// The market or cross that an order is for (2.1).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum CrossType {
    /// The continuous market.
    Continuous = b'N',
    /// The opening cross.
    Opening = b'O',
    /// The closing cross.
    Closing = b'C',
    /// The cross of an offering or behind a halt.
    HaltOrIpo = b'H',
    /// Supplemental to a cross.
    Supplemental = b'S',
    /// The retail program, at BX.
    Retail = b'R',
    /// Orders of extended life.
    ExtendedLife = b'E',
    /// The close of after hours.
    AfterHoursClose = b'A',
}
codes!(u8 CrossType {
    Continuous,
    Opening,
    Closing,
    HaltOrIpo,
    Supplemental,
    Retail,
    ExtendedLife,
    AfterHoursClose,
});

/// Whether an accepted order lives (3.2).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum OrderState {
    /// It may execute.
    Live = b'L',
    /// It was accepted and canceled at once; no cancel follows.
    Dead = b'D',
}
codes!(u8 OrderState {
    Live,
    Dead,
});

/// An event of the whole day (3.1).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum EventCode {
    /// Orders are accepted.
    StartOfDay = b'S',
    /// No more orders; breaks and cancels may still follow.
    EndOfDay = b'E',
}
codes!(u8 EventCode {
    StartOfDay,
    EndOfDay,
});

/// Whether an order is a retail customer's (Appendix A, tag 4).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum CustomerType {
    /// It is.
    Retail = b'R',
    /// It is not.
    NotRetail = b'N',
    /// As the port is set up.
    PortDefault = b' ',
}
codes!(u8 CustomerType {
    Retail,
    NotRetail,
    PortDefault,
});

/// The price that an order follows (Appendix A, tag 6).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum PriceType {
    /// None.
    Limit = b'L',
    /// The other side of the best bid and offer.
    MarketPeg = b'P',
    /// The middle of the best bid and offer.
    MidpointPeg = b'M',
    /// The own side of the best bid and offer.
    PrimaryPeg = b'R',
    /// A market maker's distance from it.
    MarketMakerPeg = b'Q',
    /// The middle, taken once.
    Midpoint = b'm',
}
codes!(u8 PriceType {
    Limit,
    MarketPeg,
    MidpointPeg,
    PrimaryPeg,
    MarketMakerPeg,
    Midpoint,
});

/// The price that an order's discretion follows (Appendix A, tag 10). Not the set of [`PriceType`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum DiscretionPriceType {
    /// None.
    Limit = b'L',
    /// The other side of the best bid and offer.
    MarketPeg = b'P',
    /// The middle of the best bid and offer.
    MidpointPeg = b'M',
    /// The own side of the best bid and offer.
    PrimaryPeg = b'R',
}
codes!(u8 DiscretionPriceType {
    Limit,
    MarketPeg,
    MidpointPeg,
    PrimaryPeg,
});

/// Whether an order may take liquidity (Appendix A, tag 12).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum PostOnly {
    /// It may not.
    PostOnly = b'P',
    /// It may.
    No = b'N',
}
codes!(u8 PostOnly {
    PostOnly,
    No,
});

/// Whether a resting order takes liquidity that arrives hidden (Appendix A, tag 16).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum TradeNow {
    /// It does.
    Yes = b'Y',
    /// It does not.
    No = b'N',
    /// As the port is set up.
    PortDefault = b' ',
}
codes!(u8 TradeNow {
    Yes,
    No,
    PortDefault,
});

/// What a cross or a retail program does with an order (Appendix A, tag 17).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum HandleInst {
    /// It executes against an imbalance alone.
    ImbalanceOnly = b'I',
    /// Retail order, type 1.
    RetailType1 = b'O',
    /// Retail order, type 2.
    RetailType2 = b'T',
    /// It improves the price for retail orders.
    RetailPriceImprovement = b'Q',
    /// Of extended life and on the continuous market.
    ExtendedLifeContinuous = b'B',
    /// Of a direct listing with a capital raise.
    DirectListing = b'D',
    /// Nothing.
    None = b' ',
}
codes!(u8 HandleInst {
    ImbalanceOnly,
    RetailType1,
    RetailType2,
    RetailPriceImprovement,
    ExtendedLifeContinuous,
    DirectListing,
    None,
});

/// An order's weight in the best bid and offer (Appendix A, tag 18).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum BboWeight {
    /// Up to 0.2 %.
    To02 = b'0',
    /// From 0.2 % to 1 %.
    To1 = b'1',
    /// From 1 % to 2 %.
    To2 = b'2',
    /// More than 2 %.
    Above2 = b'3',
    /// It sets the venue's best price and joins the national one.
    SetsQbbo = b'S',
    /// It improves the national best price.
    ImprovesNbbo = b'N',
    /// Unspecified.
    Unspecified = b' ',
}
codes!(u8 BboWeight {
    To02,
    To1,
    To2,
    Above2,
    SetsQbbo,
    ImprovesNbbo,
    Unspecified,
});

impl Display {
    /// Whether an order may be entered with it.
    pub(crate) fn is_entered(self) -> bool {
        self != Self::Conformant
    }
}

impl TimeInForce {
    /// Whether a replacement may have it.
    pub(crate) fn is_replaceable(self) -> bool {
        self != Self::AfterHours
    }
}
