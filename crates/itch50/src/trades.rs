//! Messages about trades that no displayed order explains, and about auctions (1.5 to 1.8).

use crate::codes::{CrossType, ImbalanceCross, ImbalanceDirection, InterestFlag, PriceVariation, Side};
use crate::field::{Head, Price4, Stock, layout};

/// `P`: a trade with an order that was not displayed (1.5.1 "Trade Message (Non-Cross)").
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Trade {
    /// The instrument.
    pub head: Head,
    /// The order that was not displayed; 0 since 2010.
    pub reference: u64,
    /// Its side; `B` whichever it is, since 2014.
    pub side: Side,
    /// Shares of the trade.
    pub shares: u32,
    /// The symbol.
    pub stock: Stock,
    /// The price.
    pub price: Price4,
    /// The execution, unique on its day.
    pub match_number: u64,
}
layout!(Trade b'P' 44 { 1 head, 11 reference, 19 side, 20 shares, 24 stock, 32 price, 36 match_number });

/// `Q`: all shares of a cross (1.5.2 "Cross Trade Message").
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CrossTrade {
    /// The instrument.
    pub head: Head,
    /// Shares of the cross; eight bytes, unlike those of orders.
    pub shares: u64,
    /// The symbol.
    pub stock: Stock,
    /// The price of the cross.
    pub price: Price4,
    /// The execution, unique on its day.
    pub match_number: u64,
    /// Which cross.
    pub cross: CrossType,
}
layout!(CrossTrade b'Q' 40 { 1 head, 11 shares, 19 stock, 27 price, 31 match_number, 39 cross });

/// `B`: an execution does not count (1.5.3 "Broken Trade / Order Execution").
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BrokenTrade {
    /// The instrument.
    pub head: Head,
    /// The execution.
    pub match_number: u64,
}
layout!(BrokenTrade b'B' 19 { 1 head, 11 match_number });

/// `I`: how a cross would end now (1.6 "Net Order Imbalance Indicator").
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Imbalance {
    /// The instrument.
    pub head: Head,
    /// Shares that match at the reference price.
    pub paired_shares: u64,
    /// Shares that do not.
    pub imbalance_shares: u64,
    /// On which side these are.
    pub direction: ImbalanceDirection,
    /// The symbol.
    pub stock: Stock,
    /// The price of the cross's own orders alone.
    pub far: Price4,
    /// The price of the cross's and the book's orders.
    pub near: Price4,
    /// The price that the two numbers of shares are of.
    pub reference: Price4,
    /// Which cross.
    pub cross: ImbalanceCross,
    /// How far near and reference are apart.
    pub variation: PriceVariation,
}
layout!(Imbalance b'I' 50 {
    1 head,
    11 paired_shares,
    19 imbalance_shares,
    27 direction,
    28 stock,
    36 far,
    40 near,
    44 reference,
    48 cross,
    49 variation,
});

/// `N`: retail interest rests in an instrument (1.7 "Retail Price Improvement Indicator").
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RetailInterest {
    /// The instrument.
    pub head: Head,
    /// The symbol.
    pub stock: Stock,
    /// On which sides.
    pub interest: InterestFlag,
}
layout!(RetailInterest b'N' 20 { 1 head, 11 stock, 19 interest });

/// `O`: the prices of a direct listing with a capital raise (1.8), since April 2023; the crate `itchy` does
/// not have it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PriceDiscovery {
    /// The instrument.
    pub head: Head,
    /// The symbol.
    pub stock: Stock,
    /// It may be released for trading.
    pub is_eligible: bool,
    /// The lowest allowed price.
    pub lowest: Price4,
    /// The highest allowed price.
    pub highest: Price4,
    /// The reference price when the volatility test was passed.
    pub near: Price4,
    /// When that was. The specification names no unit; eight bytes as they are.
    pub near_time: u64,
    /// The lower collar of the auction.
    pub lower_collar: Price4,
    /// The upper collar of the auction.
    pub upper_collar: Price4,
}
layout!(PriceDiscovery b'O' 48 {
    1 head,
    11 stock,
    19 is_eligible,
    20 lowest,
    24 highest,
    28 near,
    32 near_time,
    40 lower_collar,
    44 upper_collar,
});
