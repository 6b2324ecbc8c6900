//! Messages about the day, instruments and participants (1.1 and 1.2).

use crate::codes::{
    Authenticity, BreachedLevel, EventCode, FinancialStatus, HaltAction, IpoFlag, IssueClass, MarketCategory,
    MarketCode, MarketMakerMode, ParticipantState, PriceTier, ReleaseQualifier, ShortSaleAction,
    TradingState,
};
use crate::field::{Alpha, Head, Mpid, Price4, Price8, Stock, layout};

/// `S`: an event of the whole day (1.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SystemEvent {
    /// Locate 0.
    pub head: Head,
    /// The event.
    pub event: EventCode,
}
layout!(SystemEvent b'S' 12 { 1 head, 11 event });

/// `R`: an instrument of the day and its locate (1.2.1 "Stock Directory").
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StockDirectory {
    /// Assigns the locate.
    pub head: Head,
    /// The symbol.
    pub stock: Stock,
    /// The market that lists it.
    pub market_category: MarketCategory,
    /// The issuer's standing.
    pub financial_status: FinancialStatus,
    /// Shares of a round lot.
    pub round_lot_size: u32,
    /// Only round lots are accepted.
    pub round_lots_only: bool,
    /// The class of the security.
    pub issue_class: IssueClass,
    /// Two letters or one and a blank. The specification's appendix lists some sixty and grows by notice, so
    /// they are not judged.
    pub issue_sub_type: Alpha<2>,
    /// Whether it is real.
    pub authenticity: Authenticity,
    /// Under SEC rule 203(b)(3); `None`: not available.
    pub short_sale_threshold: Option<bool>,
    /// Whether it is set up for an offering.
    pub ipo_flag: IpoFlag,
    /// The parameters of its price bands.
    pub price_tier: PriceTier,
    /// An exchange-traded product; `None`: not available. The crate `itchy` also takes an `M` for such a
    /// product; the specification does not list it, and it is refused.
    pub etp_flag: Option<bool>,
    /// How often the product multiplies its index, rounded down.
    pub etp_leverage: u32,
    /// The product moves against its index.
    pub is_inverse: bool,
}
layout!(StockDirectory b'R' 39 {
    1 head,
    11 stock,
    19 market_category,
    20 financial_status,
    21 round_lot_size,
    25 round_lots_only,
    26 issue_class,
    27 issue_sub_type,
    29 authenticity,
    30 short_sale_threshold,
    31 ipo_flag,
    32 price_tier,
    33 etp_flag,
    34 etp_leverage,
    38 is_inverse,
});

/// `H`: an instrument begins or ceases to trade (1.2.2 "Stock Trading Action").
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TradingAction {
    /// The instrument.
    pub head: Head,
    /// The symbol.
    pub stock: Stock,
    /// Whether it trades.
    pub state: TradingState,
    /// Reserved: any byte; a blank in recordings.
    pub reserved: u8,
    /// Why, in up to four letters; blank: not available. The specification's appendix lists some thirty and
    /// grows by notice, so they are not judged.
    pub reason: Alpha<4>,
}
layout!(TradingAction b'H' 25 { 1 head, 11 stock, 19 state, 20 reserved, 21 reason });

/// `Y`: short sales of an instrument are restricted or free (1.2.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ShortSaleRestriction {
    /// The instrument.
    pub head: Head,
    /// The symbol.
    pub stock: Stock,
    /// Whether the price test applies.
    pub action: ShortSaleAction,
}
layout!(ShortSaleRestriction b'Y' 20 { 1 head, 11 stock, 19 action });

/// `L`: a market participant's position in an instrument (1.2.4).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ParticipantPosition {
    /// The instrument.
    pub head: Head,
    /// The participant.
    pub mpid: Mpid,
    /// The symbol.
    pub stock: Stock,
    /// It qualifies as a primary market maker.
    pub is_primary: bool,
    /// Its registration.
    pub mode: MarketMakerMode,
    /// Its state.
    pub state: ParticipantState,
}
layout!(ParticipantPosition b'L' 26 { 1 head, 11 mpid, 15 stock, 23 is_primary, 24 mode, 25 state });

/// `V`: the day's levels of the market-wide circuit breaker (1.2.5.1 "MWCB Decline Level").
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DeclineLevels {
    /// Locate 0.
    pub head: Head,
    /// Level 1.
    pub level1: Price8,
    /// Level 2.
    pub level2: Price8,
    /// Level 3.
    pub level3: Price8,
}
layout!(DeclineLevels b'V' 35 { 1 head, 11 level1, 19 level2, 27 level3 });

/// `W`: a level of the market-wide circuit breaker was breached (1.2.5.2 "MWCB Status").
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DeclineBreach {
    /// Locate 0.
    pub head: Head,
    /// The level.
    pub level: BreachedLevel,
}
layout!(DeclineBreach b'W' 12 { 1 head, 11 level });

/// `K`: when the quotation of an offering is anticipated (1.2.6 "IPO Quoting Period Update").
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct IpoQuotation {
    /// The instrument.
    pub head: Head,
    /// The symbol.
    pub stock: Stock,
    /// Seconds since midnight.
    pub release_s: u32,
    /// Whether it stands.
    pub qualifier: ReleaseQualifier,
    /// The price of the offering. The specification's note that it is padded with blanks is of an ASCII
    /// protocol before this one; the parsers of others read a binary price too.
    pub price: Price4,
}
layout!(IpoQuotation b'K' 28 { 1 head, 11 stock, 19 release_s, 23 qualifier, 24 price });

/// `J`: the prices between which a paused instrument may reopen (1.2.7 "LULD Auction Collar").
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AuctionCollar {
    /// The instrument.
    pub head: Head,
    /// The symbol.
    pub stock: Stock,
    /// The price that the collar is computed of.
    pub reference: Price4,
    /// The highest price.
    pub upper: Price4,
    /// The lowest price.
    pub lower: Price4,
    /// How often the auction was extended.
    pub extension: u32,
}
layout!(AuctionCollar b'J' 35 { 1 head, 11 stock, 19 reference, 23 upper, 27 lower, 31 extension });

/// `h`: one market interrupts an instrument or resumes it (1.2.8 "Operational Halt").
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OperationalHalt {
    /// The instrument.
    pub head: Head,
    /// The symbol.
    pub stock: Stock,
    /// The market.
    pub market: MarketCode,
    /// Halted or resumed.
    pub action: HaltAction,
}
layout!(OperationalHalt b'h' 21 { 1 head, 11 stock, 19 market, 20 action });
