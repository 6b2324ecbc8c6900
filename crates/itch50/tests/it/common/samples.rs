//! One message of each type, with the names and values of its fields in somebody else's parser.

use itch50::codes::{
    Authenticity, BreachedLevel, CrossType, EventCode, FinancialStatus, HaltAction, ImbalanceCross,
    ImbalanceDirection, InterestFlag, IpoFlag, IssueClass, MarketCategory, MarketCode, MarketMakerMode,
    ParticipantState, PriceTier, PriceVariation, ReleaseQualifier, ShortSaleAction, Side, TradingState,
};
use itch50::*;

/// A field's value: numbers as they are on the wire, texts with their blanks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Value {
    Number(u64),
    Text(&'static str),
}
use Value::{Number, Text};

/// The fields of a message behind its head, as the Python package `itchfeed` names them.
pub type Fields = Vec<(&'static str, Value)>;

const STOCK: (&str, Value) = ("stock", Text("BRK.A   "));

fn stock() -> Stock {
    Stock::new(b"BRK.A").unwrap()
}

pub fn head() -> Head {
    Head { locate: 513, tracking: 772, time: Timestamp::new(0x7_0809_0A0B).unwrap() }
}

/// The head's fields in that package.
pub fn head_fields() -> Fields {
    vec![
        ("stock_locate", Number(513)),
        ("tracking_number", Number(772)),
        ("timestamp", Number(0x7_0809_0A0B)),
    ]
}

pub fn all() -> Vec<(Message, Fields)> {
    [instruments(), participants(), orders(), trades(), auctions()].concat()
}

fn instruments() -> Vec<(Message, Fields)> {
    let directory = StockDirectory {
        head: head(),
        stock: stock(),
        market_category: MarketCategory::Nyse,
        financial_status: FinancialStatus::NotAvailable,
        round_lot_size: 100,
        round_lots_only: false,
        issue_class: IssueClass::CommonStock,
        issue_sub_type: Alpha::new(b"Z").unwrap(),
        authenticity: Authenticity::Live,
        short_sale_threshold: None,
        ipo_flag: IpoFlag::NotIpo,
        price_tier: PriceTier::Tier1,
        etp_flag: Some(true),
        etp_leverage: 3,
        is_inverse: true,
    };
    let directory_fields = vec![
        STOCK,
        ("market_category", Text("N")),
        ("financial_status_indicator", Text(" ")),
        ("round_lot_size", Number(100)),
        ("round_lots_only", Text("N")),
        ("issue_classification", Text("C")),
        ("issue_sub_type", Text("Z ")),
        ("authenticity", Text("P")),
        ("short_sale_threshold_indicator", Text(" ")),
        ("ipo_flag", Text("N")),
        ("luld_ref", Text("1")),
        ("etp_flag", Text("Y")),
        ("etp_leverage_factor", Number(3)),
        ("inverse_indicator", Text("Y")),
    ];
    [vec![(directory.into(), directory_fields)], states()].concat()
}

fn states() -> Vec<(Message, Fields)> {
    let action = TradingAction {
        head: head(),
        stock: stock(),
        state: TradingState::QuotationOnly,
        reserved: b' ',
        reason: Alpha::new(b"T12").unwrap(),
    };
    let action_fields =
        vec![STOCK, ("trading_state", Text("Q")), ("reserved", Text(" ")), ("reason", Text("T12 "))];
    let quotation = IpoQuotation {
        head: head(),
        stock: stock(),
        release_s: 35_100,
        qualifier: ReleaseQualifier::Anticipated,
        price: Price4(170_000),
    };
    let quotation_fields = vec![
        STOCK,
        ("ipo_release_time", Number(35_100)),
        ("ipo_release_qualifier", Text("A")),
        ("ipo_price", Number(170_000)),
    ];
    let restriction =
        ShortSaleRestriction { head: head(), stock: stock(), action: ShortSaleAction::Continued };
    let halt = OperationalHalt {
        head: head(),
        stock: stock(),
        market: MarketCode::Psx,
        action: HaltAction::Resumed,
    };
    vec![
        (action.into(), action_fields),
        (restriction.into(), vec![STOCK, ("reg_sho_action", Text("2"))]),
        (quotation.into(), quotation_fields),
        (halt.into(), vec![STOCK, ("market_code", Text("X")), ("operational_halt_action", Text("T"))]),
    ]
}

fn participants() -> Vec<(Message, Fields)> {
    let event = SystemEvent { head: head(), event: EventCode::EndOfMessages };
    let position = ParticipantPosition {
        head: head(),
        mpid: Mpid::new(b"MLCO").unwrap(),
        stock: stock(),
        is_primary: true,
        mode: MarketMakerMode::PreSyndicate,
        state: ParticipantState::Withdrawn,
    };
    let position_fields = vec![
        ("mpid", Text("MLCO")),
        STOCK,
        ("primary_market_maker", Text("Y")),
        ("market_maker_mode", Text("R")),
        ("market_participant_state", Text("W")),
    ];
    let levels = DeclineLevels {
        head: head(),
        level1: Price8(0x0102_0304_0506_0708),
        level2: Price8(2),
        level3: Price8(3),
    };
    let level_fields = vec![
        ("level1_price", Number(0x0102_0304_0506_0708)),
        ("level2_price", Number(2)),
        ("level3_price", Number(3)),
    ];
    let breach = DeclineBreach { head: head(), level: BreachedLevel::Two };
    vec![
        (event.into(), vec![("event_code", Text("C"))]),
        (position.into(), position_fields),
        (levels.into(), level_fields),
        (breach.into(), vec![("breached_level", Text("2"))]),
    ]
}

const REFERENCE: (&str, Value) = ("order_reference_number", Number(0x1122_3344_5566_7788));
const MATCH: (&str, Value) = ("match_number", Number(0x0A0B_0C0D_0E0F_1011));

fn orders() -> Vec<(Message, Fields)> {
    let (head, stock, reference) = (head(), stock(), 0x1122_3344_5566_7788);
    let (side, shares, price) = (Side::Sell, 300, Price4(1_503_400));
    let match_number = 0x0A0B_0C0D_0E0F_1011;
    let add = AddOrder { head, reference, side, shares, stock, price };
    let attribution = Mpid::new(b"AB").unwrap();
    let attributed = AttributedOrder { head, reference, side, shares, stock, price, attribution };
    let add_fields = vec![
        REFERENCE,
        ("buy_sell_indicator", Text("S")),
        ("shares", Number(300)),
        STOCK,
        ("price", Number(1_503_400)),
    ];
    let attributed_fields = [add_fields.clone(), vec![("attribution", Text("AB  "))]].concat();
    let executed = OrderExecuted { head, reference, shares, match_number };
    let executed_fields = vec![REFERENCE, ("executed_shares", Number(300)), MATCH];
    let at_price = OrderExecutedAtPrice { head, reference, shares, match_number, is_printable: false, price };
    let at_price_fields =
        [executed_fields.clone(), vec![("printable", Text("N")), ("execution_price", Number(1_503_400))]]
            .concat();
    let cancel = OrderCancel { head, reference, shares };
    let replace = OrderReplace { head, original: reference, reference: 9, shares, price };
    let replace_fields = vec![
        REFERENCE,
        ("new_order_reference_number", Number(9)),
        ("shares", Number(300)),
        ("price", Number(1_503_400)),
    ];
    vec![
        (add.into(), add_fields),
        (attributed.into(), attributed_fields),
        (executed.into(), executed_fields),
        (at_price.into(), at_price_fields),
        (cancel.into(), vec![REFERENCE, ("cancelled_shares", Number(300))]),
        (OrderDelete { head, reference }.into(), vec![REFERENCE]),
        (replace.into(), replace_fields),
    ]
}

fn trades() -> Vec<(Message, Fields)> {
    let (head, stock, match_number) = (head(), stock(), 0x0A0B_0C0D_0E0F_1011);
    let trade = Trade {
        head,
        reference: 0x1122_3344_5566_7788,
        side: Side::Buy,
        shares: 50,
        stock,
        price: Price4(99_900),
        match_number,
    };
    let trade_fields = vec![
        REFERENCE,
        ("buy_sell_indicator", Text("B")),
        ("shares", Number(50)),
        STOCK,
        ("price", Number(99_900)),
        MATCH,
    ];
    let cross = CrossTrade {
        head,
        shares: 5_000_000_000,
        stock,
        price: Price4(100_100),
        match_number,
        cross: CrossType::Closing,
    };
    let cross_fields = vec![
        ("shares", Number(5_000_000_000)),
        STOCK,
        ("cross_price", Number(100_100)),
        MATCH,
        ("cross_type", Text("C")),
    ];
    vec![
        (trade.into(), trade_fields),
        (cross.into(), cross_fields),
        (BrokenTrade { head, match_number }.into(), vec![MATCH]),
    ]
}

fn auctions() -> Vec<(Message, Fields)> {
    let (head, stock) = (head(), stock());
    let [reference, upper, lower] = [100, 110, 90].map(Price4);
    let collar = AuctionCollar { head, stock, reference, upper, lower, extension: 4 };
    let collar_fields = vec![
        STOCK,
        ("auction_collar_reference_price", Number(100)),
        ("upper_auction_collar_price", Number(110)),
        ("lower_auction_collar_price", Number(90)),
        ("auction_collar_extention", Number(4)),
    ];
    let imbalance = Imbalance {
        head,
        paired_shares: 6_000_000_000,
        imbalance_shares: 7,
        direction: ImbalanceDirection::InsufficientOrders,
        stock,
        far: Price4(1),
        near: Price4(2),
        reference: Price4(3),
        cross: ImbalanceCross::ExtendedClose,
        variation: PriceVariation::From20,
    };
    let imbalance_fields = vec![
        ("paired_shares", Number(6_000_000_000)),
        ("imbalance_shares", Number(7)),
        ("imbalance_direction", Text("O")),
        STOCK,
        ("far_price", Number(1)),
        ("near_price", Number(2)),
        ("current_reference_price", Number(3)),
        ("cross_type", Text("A")),
        ("variation_indicator", Text("B")),
    ];
    let interest = RetailInterest { head, stock, interest: InterestFlag::Both };
    let discovery = PriceDiscovery {
        head,
        stock,
        is_eligible: true,
        lowest: Price4(11),
        highest: Price4(12),
        near: Price4(13),
        near_time: 0x0101_0202_0303_0404,
        lower_collar: Price4(14),
        upper_collar: Price4(15),
    };
    let discovery_fields = vec![
        STOCK,
        ("open_eligibility_status", Text("Y")),
        ("minimum_allowable_price", Number(11)),
        ("maximum_allowable_price", Number(12)),
        ("near_execution_price", Number(13)),
        ("near_execution_time", Number(0x0101_0202_0303_0404)),
        ("lower_price_range_collar", Number(14)),
        ("upper_price_range_collar", Number(15)),
    ];
    vec![
        (collar.into(), collar_fields),
        (imbalance.into(), imbalance_fields),
        (interest.into(), vec![STOCK, ("interest_flag", Text("A"))]),
        (discovery.into(), discovery_fields),
    ]
}
