//! Enumerated fields. The value sets are those of the specification's revision of February 2026; an earlier
//! one has fewer, and where a value came or went the type says so.

use crate::field::codes;

/// An event of the whole day (1.1 "System Event Message").
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum EventCode {
    /// The first message of the day.
    StartOfMessages = b'O',
    /// The system accepts orders.
    StartOfSystemHours = b'S',
    /// Market hours begin.
    StartOfMarketHours = b'Q',
    /// Market hours are over.
    EndOfMarketHours = b'M',
    /// The system accepts no more orders.
    EndOfSystemHours = b'E',
    /// The last message of the day.
    EndOfMessages = b'C',
}
codes!(EventCode {
    StartOfMessages,
    StartOfSystemHours,
    StartOfMarketHours,
    EndOfMarketHours,
    EndOfSystemHours,
    EndOfMessages,
});

/// The market that lists an instrument (1.2.1 "Market Category").
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum MarketCategory {
    /// Nasdaq Global Select Market.
    NasdaqGlobalSelect = b'Q',
    /// Nasdaq Global Market.
    NasdaqGlobal = b'G',
    /// Nasdaq Capital Market.
    NasdaqCapital = b'S',
    /// New York Stock Exchange.
    Nyse = b'N',
    /// NYSE American.
    NyseAmerican = b'A',
    /// NYSE Arca.
    NyseArca = b'P',
    /// BATS Z Exchange.
    BatsZ = b'Z',
    /// Investors' Exchange.
    Iex = b'V',
    /// NYSE Texas, since June 2025; other parsers may not know it.
    NyseTexas = b'M',
    /// Not available.
    NotAvailable = b' ',
}
codes!(MarketCategory {
    NasdaqGlobalSelect,
    NasdaqGlobal,
    NasdaqCapital,
    Nyse,
    NyseAmerican,
    NyseArca,
    BatsZ,
    Iex,
    NyseTexas,
    NotAvailable,
});

/// An issuer's standing with its listing rules (1.2.1 "Financial Status Indicator").
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum FinancialStatus {
    /// Deficient.
    Deficient = b'D',
    /// Delinquent.
    Delinquent = b'E',
    /// Bankrupt.
    Bankrupt = b'Q',
    /// Suspended.
    Suspended = b'S',
    /// Deficient and bankrupt.
    DeficientBankrupt = b'G',
    /// Deficient and delinquent.
    DeficientDelinquent = b'H',
    /// Delinquent and bankrupt.
    DelinquentBankrupt = b'J',
    /// Deficient, delinquent and bankrupt.
    DeficientDelinquentBankrupt = b'K',
    /// Creations or redemptions of an exchange-traded product are suspended.
    CreationsSuspended = b'C',
    /// None of the above.
    Normal = b'N',
    /// Not available: the instrument is not listed by Nasdaq.
    NotAvailable = b' ',
}
codes!(FinancialStatus {
    Deficient,
    Delinquent,
    Bankrupt,
    Suspended,
    DeficientBankrupt,
    DeficientDelinquent,
    DelinquentBankrupt,
    DeficientDelinquentBankrupt,
    CreationsSuspended,
    Normal,
    NotAvailable,
});

/// The class of a security (1.2.1 "Issue Classification", Appendix).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum IssueClass {
    /// American depositary share.
    AmericanDepositaryShare = b'A',
    /// Bond.
    Bond = b'B',
    /// Common stock.
    CommonStock = b'C',
    /// Depository receipt.
    DepositoryReceipt = b'F',
    /// Security under rule 144A.
    Rule144A = b'I',
    /// Limited partnership.
    LimitedPartnership = b'L',
    /// Notes.
    Notes = b'N',
    /// Ordinary share.
    OrdinaryShare = b'O',
    /// Preferred stock.
    PreferredStock = b'P',
    /// Other securities.
    Other = b'Q',
    /// Right.
    Right = b'R',
    /// Shares of beneficial interest.
    SharesOfBeneficialInterest = b'S',
    /// Convertible debenture.
    ConvertibleDebenture = b'T',
    /// Unit.
    Unit = b'U',
    /// Units of beneficial interest.
    UnitsOfBeneficialInterest = b'V',
    /// Warrant.
    Warrant = b'W',
}
codes!(IssueClass {
    AmericanDepositaryShare,
    Bond,
    CommonStock,
    DepositoryReceipt,
    Rule144A,
    LimitedPartnership,
    Notes,
    OrdinaryShare,
    PreferredStock,
    Other,
    Right,
    SharesOfBeneficialInterest,
    ConvertibleDebenture,
    Unit,
    UnitsOfBeneficialInterest,
    Warrant,
});

/// Whether an instrument is real (1.2.1 "Authenticity").
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum Authenticity {
    /// Live, in production.
    Live = b'P',
    /// For tests.
    Test = b'T',
}
codes!(Authenticity { Live, Test });

/// Whether an instrument is set up for an initial public offering (1.2.1 "IPO Flag").
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum IpoFlag {
    /// A new security of an offering.
    Ipo = b'Y',
    /// No new security.
    NotIpo = b'N',
    /// A new listing without an offering, since February 2026; other parsers may not know it.
    NewListing = b'Z',
    /// Not available.
    NotAvailable = b' ',
}
codes!(IpoFlag { Ipo, NotIpo, NewListing, NotAvailable });

/// The parameters of the price bands of Limit Up – Limit Down (1.2.1 "LULD Reference Price Tier").
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum PriceTier {
    /// Tier 1.
    Tier1 = b'1',
    /// Tier 2.
    Tier2 = b'2',
    /// Not available.
    NotAvailable = b' ',
}
codes!(PriceTier { Tier1, Tier2, NotAvailable });

/// Whether an instrument trades (1.2.2 "Stock Trading Action").
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum TradingState {
    /// Halted at all venues.
    Halted = b'H',
    /// Paused at all venues.
    Paused = b'P',
    /// Quotes alone, behind a halt or pause.
    QuotationOnly = b'Q',
    /// It trades.
    Trading = b'T',
}
codes!(TradingState { Halted, Paused, QuotationOnly, Trading });

/// The restriction of short sales (1.2.3 "Reg SHO Action").
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum ShortSaleAction {
    /// No price test.
    None = b'0',
    /// In effect, as the price fell today.
    Triggered = b'1',
    /// Still in effect.
    Continued = b'2',
}
codes!(ShortSaleAction { None, Triggered, Continued });

/// A market maker's registration (1.2.4 "Market Maker Mode").
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum MarketMakerMode {
    /// Normal.
    Normal = b'N',
    /// Passive.
    Passive = b'P',
    /// Syndicate.
    Syndicate = b'S',
    /// Pre-syndicate.
    PreSyndicate = b'R',
    /// Penalty.
    Penalty = b'L',
}
codes!(MarketMakerMode { Normal, Passive, Syndicate, PreSyndicate, Penalty });

/// A market participant's state (1.2.4 "Market Participant State").
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum ParticipantState {
    /// Active.
    Active = b'A',
    /// Excused or withdrawn for a time.
    Excused = b'E',
    /// Withdrawn.
    Withdrawn = b'W',
    /// Suspended.
    Suspended = b'S',
    /// Deleted.
    Deleted = b'D',
}
codes!(ParticipantState { Active, Excused, Withdrawn, Suspended, Deleted });

/// A level of the market-wide circuit breaker (1.2.5.2 "Breached Level").
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum BreachedLevel {
    /// Level 1.
    One = b'1',
    /// Level 2.
    Two = b'2',
    /// Level 3.
    Three = b'3',
}
codes!(BreachedLevel { One, Two, Three });

/// The state of an offering's quotation (1.2.6 "IPO Quotation Release Qualifier").
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum ReleaseQualifier {
    /// Anticipated at the time of the message.
    Anticipated = b'A',
    /// Canceled or postponed; time and price are 0.
    Canceled = b'C',
}
codes!(ReleaseQualifier { Anticipated, Canceled });

/// A market of the venue (1.2.8 "Market Code").
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum MarketCode {
    /// Nasdaq.
    Nasdaq = b'Q',
    /// Nasdaq Texas, called BX before February 2026.
    Texas = b'B',
    /// PSX.
    Psx = b'X',
}
codes!(MarketCode { Nasdaq, Texas, Psx });

/// Whether a market has interrupted an instrument (1.2.8 "Operational Halt Action").
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum HaltAction {
    /// Halted at this market.
    Halted = b'H',
    /// The halt is lifted.
    Resumed = b'T',
}
codes!(HaltAction { Halted, Resumed });

/// The side of an order ("Buy/Sell Indicator").
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum Side {
    /// It buys.
    Buy = b'B',
    /// It sells.
    Sell = b'S',
}
codes!(Side { Buy, Sell });

/// The cross of a cross trade (1.5.2 "Cross Type"). The specification of 2015 lists `I` and later ones do
/// not, without a notice; the crate `itchy` reads it, and recordings may have it, so it is read here too.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum CrossType {
    /// Opening cross.
    Opening = b'O',
    /// Closing cross.
    Closing = b'C',
    /// Cross of an offering, or of an instrument that was halted or paused.
    HaltOrIpo = b'H',
    /// Cross within the day or behind the close, of old.
    Intraday = b'I',
}
codes!(CrossType { Opening, Closing, HaltOrIpo, Intraday });

/// The cross that an imbalance concerns (1.6 "Cross Type"). Not the set of [`CrossType`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum ImbalanceCross {
    /// Opening cross.
    Opening = b'O',
    /// Closing cross.
    Closing = b'C',
    /// Cross of an offering, or of an instrument that was halted or paused.
    HaltOrIpo = b'H',
    /// Close of extended trading, since 2022.
    ExtendedClose = b'A',
}
codes!(ImbalanceCross { Opening, Closing, HaltOrIpo, ExtendedClose });

/// The side with too many shares (1.6 "Imbalance Direction").
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum ImbalanceDirection {
    /// More shares are bid for.
    Buy = b'B',
    /// More shares are offered.
    Sell = b'S',
    /// None.
    None = b'N',
    /// Too few orders to compute one.
    InsufficientOrders = b'O',
    /// Paused, since April 2023; other parsers may not know it.
    Paused = b'P',
}
codes!(ImbalanceDirection { Buy, Sell, None, InsufficientOrders, Paused });

/// The distance of near and reference price in percent (1.6 "Price Variation Indicator").
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum PriceVariation {
    /// Below 1 %.
    Below1 = b'L',
    /// From 1 % to below 2 %.
    From1 = b'1',
    /// From 2 % to below 3 %.
    From2 = b'2',
    /// From 3 % to below 4 %.
    From3 = b'3',
    /// From 4 % to below 5 %.
    From4 = b'4',
    /// From 5 % to below 6 %.
    From5 = b'5',
    /// From 6 % to below 7 %.
    From6 = b'6',
    /// From 7 % to below 8 %.
    From7 = b'7',
    /// From 8 % to below 9 %.
    From8 = b'8',
    /// From 9 % to below 10 %.
    From9 = b'9',
    /// From 10 % to below 20 %.
    From10 = b'A',
    /// From 20 % to below 30 %.
    From20 = b'B',
    /// 30 % and more.
    From30 = b'C',
    /// Cannot be computed.
    NotAvailable = b' ',
}
codes!(PriceVariation {
    Below1,
    From1,
    From2,
    From3,
    From4,
    From5,
    From6,
    From7,
    From8,
    From9,
    From10,
    From20,
    From30,
    NotAvailable,
});

/// The sides on which retail interest rests (1.7 "Interest Flag").
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum InterestFlag {
    /// The buy side.
    Buy = b'B',
    /// The sell side.
    Sell = b'S',
    /// Both.
    Both = b'A',
    /// None.
    None = b'N',
}
codes!(InterestFlag { Buy, Sell, Both, None });
