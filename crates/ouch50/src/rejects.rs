//! Reasons of a rejection (Appendix C).

use crate::field::codes;

/// Why an order or a replacement was rejected (Appendix C). Codes from `0x0034` to `0x003F` are not assigned;
/// an edition of 2023 ends at `0x001F`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u16)]
pub enum RejectReason {
    /// No quote to price the order by.
    QuoteUnavailable = 0x0001,
    /// The destination is closed.
    DestinationClosed = 0x0002,
    /// The display is not possible.
    InvalidDisplay = 0x0003,
    /// The displayed part is not possible.
    InvalidMaxFloor = 0x0004,
    /// The price type is not possible.
    InvalidPegType = 0x0005,
    /// The price is too far from the market.
    FatFinger = 0x0006,
    /// The instrument is halted.
    Halted = 0x0007,
    /// No intermarket sweep here.
    IsoNotAllowed = 0x0008,
    /// The side is not possible.
    InvalidSide = 0x0009,
    /// The system failed.
    ProcessingError = 0x000A,
    /// A cancel is pending.
    CancelPending = 0x000B,
    /// The firm may not enter orders here.
    FirmNotAuthorized = 0x000C,
    /// The least quantity is not possible.
    InvalidMinQuantity = 0x000D,
    /// There is no closing reference price.
    NoClosingReferencePrice = 0x000E,
    /// Another reason.
    Other = 0x000F,
    /// No cancel now.
    CancelNotAllowed = 0x0010,
    /// No pegged order here.
    PeggingNotAllowed = 0x0011,
    /// The market is crossed.
    CrossedMarket = 0x0012,
    /// The quantity is not possible.
    InvalidQuantity = 0x0013,
    /// The cross order is not possible.
    InvalidCrossOrder = 0x0014,
    /// No replacement now.
    ReplaceNotAllowed = 0x0015,
    /// No routing here.
    RoutingNotAllowed = 0x0016,
    /// No such symbol.
    InvalidSymbol = 0x0017,
    /// Test.
    Test = 0x0018,
    /// A late order for the close is priced too aggressively.
    LateLocTooAggressive = 0x0019,
    /// No retail order here.
    RetailNotAllowed = 0x001A,
    /// A post-only midpoint order's price is not possible.
    InvalidMidpointPrice = 0x001B,
    /// No such destination.
    InvalidDestination = 0x001C,
    /// The price is not possible.
    InvalidPrice = 0x001D,
    /// More shares than allowed.
    SharesExceedThreshold = 0x001E,
    /// More value than allowed.
    NotionalExceeded = 0x001F,
    /// Risk: the exposure of all orders.
    RiskAggregateExposure = 0x0020,
    /// Risk: impact on the market.
    RiskMarketImpact = 0x0021,
    /// Risk: the instrument is restricted.
    RiskRestrictedStock = 0x0022,
    /// Risk: its short sale is restricted.
    RiskShortSellRestricted = 0x0023,
    /// Risk: no intermarket sweep.
    RiskIsoNotAllowed = 0x0024,
    /// Risk: too much of the average daily volume.
    RiskAdvExceeded = 0x0025,
    /// Risk: the price is too far from the market.
    RiskFatFinger = 0x0026,
    /// Risk: a short sale's shares must be located.
    RiskLocateRequired = 0x0027,
    /// Risk: too many messages for the symbol.
    RiskSymbolMessageRate = 0x0028,
    /// Risk: too many messages at the port.
    RiskPortMessageRate = 0x0029,
    /// Risk: too many equal messages.
    RiskDuplicateRate = 0x002A,
    /// Risk: no short sales.
    RiskShortSellNotAllowed = 0x002B,
    /// Risk: no market orders.
    RiskMarketOrderNotAllowed = 0x002C,
    /// Risk: not before the market opens.
    RiskPreMarketNotAllowed = 0x002D,
    /// Risk: not after the market closes.
    RiskPostMarketNotAllowed = 0x002E,
    /// Risk: no exempt short sales.
    RiskShortExemptNotAllowed = 0x002F,
    /// Risk: the value of one order.
    RiskOrderNotional = 0x0030,
    /// Risk: the quantity of one order.
    RiskMaxQuantity = 0x0031,
    /// The state of short sales is not known.
    RegShoStateUnavailable = 0x0032,
    /// Risk: no market order that buys in an offering.
    RiskIpoMarketBuyNotAllowed = 0x0033,
    /// The prevention of self-matches is not possible.
    InvalidAiq = 0x0040,
}
codes!(u16 RejectReason {
    QuoteUnavailable,
    DestinationClosed,
    InvalidDisplay,
    InvalidMaxFloor,
    InvalidPegType,
    FatFinger,
    Halted,
    IsoNotAllowed,
    InvalidSide,
    ProcessingError,
    CancelPending,
    FirmNotAuthorized,
    InvalidMinQuantity,
    NoClosingReferencePrice,
    Other,
    CancelNotAllowed,
    PeggingNotAllowed,
    CrossedMarket,
    InvalidQuantity,
    InvalidCrossOrder,
    ReplaceNotAllowed,
    RoutingNotAllowed,
    InvalidSymbol,
    Test,
    LateLocTooAggressive,
    RetailNotAllowed,
    InvalidMidpointPrice,
    InvalidDestination,
    InvalidPrice,
    SharesExceedThreshold,
    NotionalExceeded,
    RiskAggregateExposure,
    RiskMarketImpact,
    RiskRestrictedStock,
    RiskShortSellRestricted,
    RiskIsoNotAllowed,
    RiskAdvExceeded,
    RiskFatFinger,
    RiskLocateRequired,
    RiskSymbolMessageRate,
    RiskPortMessageRate,
    RiskDuplicateRate,
    RiskShortSellNotAllowed,
    RiskMarketOrderNotAllowed,
    RiskPreMarketNotAllowed,
    RiskPostMarketNotAllowed,
    RiskShortExemptNotAllowed,
    RiskOrderNotional,
    RiskMaxQuantity,
    RegShoStateUnavailable,
    RiskIpoMarketBuyNotAllowed,
    InvalidAiq,
});
