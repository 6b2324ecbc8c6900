//! One message of each type with options, and the names and values that another codec has for them.

use super::Either;
use ouch50::codes::{
    AiqStrategy, BboWeight, BrokenTradeReason, CancelReason, Capacity, CrossType, CustomerType,
    DiscretionPriceType, Display, EventCode, HandleInst, LiquidityFlag, OrderState, PostOnly, PriceType,
    RejectReason, RestateReason, Side, TimeInForce, TradeNow,
};
use ouch50::*;

/// A value as the other codec has it: texts without the blanks on their right, codes as they are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Value {
    Number(i128),
    Text(&'static str),
}
use Value::{Number, Text};

/// A message, and what the description in `testdata/ouch50.xml` calls its parts.
#[derive(Clone, Debug)]
pub struct Sample {
    pub message: Either,
    pub fields: Vec<(&'static str, Value)>,
    /// Tag and value.
    pub options: Vec<(u8, Value)>,
}

/// In the order of the specification.
pub fn all() -> Vec<Sample> {
    [orders(), requests(), answers(), changes(), responses()].concat()
}

fn sample(message: Either, fields: &[(&'static str, Value)], options: &[(u8, Value)]) -> Sample {
    Sample { message, fields: fields.to_vec(), options: options.to_vec() }
}

const TIME: u64 = 34_200_000_000_123;
const WHEN: (&str, Value) = ("timestamp", Number(TIME as i128));
const NUMBER: (&str, Value) = ("userRefNum", Number(2));
const CHANNEL: (u8, Value) = (28, Number(5));

fn symbol() -> Symbol {
    Symbol::new(b"BRK.A").unwrap()
}

fn firm() -> Firm {
    Firm::new(b"ABC").unwrap()
}

fn name() -> ClOrdId {
    ClOrdId::new(b"SECOND").unwrap()
}

fn channel() -> Options {
    Options::channel(5)
}

/// All options that an order may be entered with.
fn entered() -> (Options, Vec<(u8, Value)>) {
    let options = Options {
        firm: Some(firm()),
        min_quantity: Some(100),
        customer_type: Some(CustomerType::Retail),
        max_floor: Some(200),
        price_type: Some(PriceType::Midpoint),
        peg_offset: Some(SignedPrice(-100)),
        discretion_price: Some(Price(1_500_000)),
        discretion_price_type: Some(DiscretionPriceType::MarketPeg),
        discretion_peg_offset: Some(SignedPrice(1)),
        post_only: Some(PostOnly::PostOnly),
        random_reserves: Some(300),
        expire_s: Some(3_600),
        trade_now: Some(TradeNow::PortDefault),
        handle_inst: Some(HandleInst::ImbalanceOnly),
        group_id: Some(513),
        shares_located: Some(true),
        locate_broker: Some(Alpha::new(b"LCTB").unwrap()),
        user_ref_idx: Some(5),
        aiq_strategy: Some(AiqStrategy::FirmCancelOldest),
        aiq_group_id: Some(Alpha::new(b"AB").unwrap()),
        ..Options::NONE
    };
    let values = vec![
        (2, Text("ABC")),
        (3, Number(100)),
        (4, Text("R")),
        (5, Number(200)),
        (6, Text("m")),
        (7, Number(-100)),
        (9, Number(1_500_000)),
        (10, Text("P")),
        (11, Number(1)),
        (12, Text("P")),
        (13, Number(300)),
        (15, Number(3_600)),
        (16, Text(" ")),
        (17, Text("I")),
        (24, Number(513)),
        (25, Text("Y")),
        (26, Text("LCTB")),
        CHANNEL,
        (29, Text("O")),
        (30, Text("AB")),
    ];
    (options, values)
}

fn orders() -> Vec<Sample> {
    let (options, values) = entered();
    let order = EnterOrder {
        user_ref_num: 2,
        side: Side::SellShortExempt,
        quantity: 100,
        symbol: symbol(),
        price: Price(1_503_400),
        time_in_force: TimeInForce::AfterHours,
        display: Display::Attributable,
        capacity: Capacity::Riskless,
        is_sweep: true,
        cross_type: CrossType::HaltOrIpo,
        cl_ord_id: name(),
        options,
    };
    let order_fields = [
        NUMBER,
        ("side", Text("E")),
        ("quantity", Number(100)),
        ("symbol", Text("BRK.A")),
        ("price", Number(1_503_400)),
        ("timeInForce", Text("E")),
        ("display", Text("A")),
        ("capacity", Text("R")),
        ("sweep", Text("Y")),
        ("crossType", Text("H")),
        ("clOrdId", Text("SECOND")),
    ];
    let dropped = [2, 4, 24];
    let replaced =
        Options { firm: None, customer_type: None, group_id: None, side: Some(Side::Sell), ..options };
    let mut replaced_values: Vec<_> =
        values.iter().copied().filter(|(tag, _)| !dropped.contains(tag)).collect();
    replaced_values.insert(14, (27, Text("S")));
    let replace = ReplaceOrder {
        original: 1,
        user_ref_num: 2,
        quantity: 100,
        price: Price::MARKET_FOR_CROSS,
        time_in_force: TimeInForce::GoodTillTime,
        display: Display::Hidden,
        is_sweep: false,
        cl_ord_id: name(),
        options: replaced,
    };
    let replace_fields = [
        ("origUserRefNum", Number(1)),
        NUMBER,
        ("quantity", Number(100)),
        ("price", Number(0x7FFF_FFFF)),
        ("timeInForce", Text("6")),
        ("display", Text("N")),
        ("sweep", Text("N")),
        ("clOrdId", Text("SECOND")),
    ];
    let cancel = CancelOrder { user_ref_num: 2, quantity: 100, options: channel() };
    let located = Options { locate_broker: None, shares_located: Some(false), ..channel() };
    let modify = ModifyOrder { user_ref_num: 2, side: Side::SellShort, quantity: 50, options: located };
    vec![
        sample(Either::In(order.into()), &order_fields, &values),
        sample(Either::In(replace.into()), &replace_fields, &replaced_values),
        sample(Either::In(cancel.into()), &[NUMBER, ("quantity", Number(100))], &[CHANNEL]),
        sample(
            Either::In(modify.into()),
            &[NUMBER, ("side", Text("T")), ("quantity", Number(50))],
            &[(25, Text("N")), CHANNEL],
        ),
    ]
}

fn requests() -> Vec<Sample> {
    let (user_ref_num, firm, options) = (2, firm(), channel());
    let firm_fields = [NUMBER, ("firm", Text("ABC"))];
    let some = Options { group_id: Some(0), side: Some(Side::Buy), ..channel() };
    let mass = MassCancel { user_ref_num, firm, symbol: Symbol::BLANK, options: some };
    let disable = DisableOrderEntry { user_ref_num, firm, options };
    let enable = EnableOrderEntry { user_ref_num, firm, options };
    vec![
        sample(
            Either::In(mass.into()),
            &[NUMBER, ("firm", Text("ABC")), ("symbol", Text(""))],
            &[(24, Number(0)), (27, Text("B")), CHANNEL],
        ),
        sample(Either::In(disable.into()), &firm_fields, &[CHANNEL]),
        sample(Either::In(enable.into()), &firm_fields, &[CHANNEL]),
        sample(Either::In(AccountQuery { options }.into()), &[], &[CHANNEL]),
    ]
}

fn accepted() -> Accepted {
    let (options, _) = entered();
    Accepted {
        time_ns: TIME,
        user_ref_num: 2,
        side: Side::Buy,
        quantity: 100,
        symbol: symbol(),
        price: Price(1_503_400),
        time_in_force: TimeInForce::ImmediateOrCancel,
        display: Display::Conformant,
        reference: 0x0102_0304_0506_0708,
        capacity: Capacity::Agency,
        is_sweep: false,
        cross_type: CrossType::Continuous,
        state: OrderState::Dead,
        cl_ord_id: name(),
        options: Options {
            locate_broker: None,
            route: Some(Alpha::new(b"RTE1").unwrap()),
            bbo_weight: Some(BboWeight::SetsQbbo),
            ..options
        },
    }
}

fn answers() -> Vec<Sample> {
    let day = SystemEvent { time_ns: TIME, event: EventCode::EndOfDay };
    let accepted = accepted();
    let fields = [
        WHEN,
        NUMBER,
        ("side", Text("B")),
        ("quantity", Number(100)),
        ("symbol", Text("BRK.A")),
        ("price", Number(1_503_400)),
        ("timeInForce", Text("3")),
        ("display", Text("Z")),
        ("orderReference", Number(0x0102_0304_0506_0708)),
        ("capacity", Text("A")),
        ("sweep", Text("N")),
        ("crossType", Text("N")),
        ("orderState", Text("D")),
        ("clOrdId", Text("SECOND")),
    ];
    let mut values: Vec<_> = entered().1.into_iter().filter(|(tag, _)| *tag != 26).collect();
    values.insert(11, (14, Text("RTE1")));
    values.insert(15, (18, Text("S")));
    let Accepted { time_ns, user_ref_num, side, quantity, symbol, price, .. } = accepted;
    let Accepted { time_in_force, display, reference, capacity, is_sweep, .. } = accepted;
    let options =
        Options { bbo_weight: Some(BboWeight::Unspecified), post_only: Some(PostOnly::No), ..channel() };
    let replaced = Replaced {
        time_ns,
        original: 1,
        user_ref_num,
        side,
        quantity,
        symbol,
        price,
        time_in_force,
        display,
        reference,
        capacity,
        is_sweep,
        cross_type: CrossType::Continuous,
        state: OrderState::Live,
        cl_ord_id: name(),
        options,
    };
    let mut replaced_fields = fields.to_vec();
    replaced_fields.insert(1, ("origUserRefNum", Number(1)));
    replaced_fields[13].1 = Text("L");
    vec![
        sample(Either::Out(day.into()), &[WHEN, ("eventCode", Text("E"))], &[]),
        sample(Either::Out(accepted.into()), &fields, &values),
        sample(Either::Out(replaced.into()), &replaced_fields, &[(12, Text("N")), (18, Text(" ")), CHANNEL]),
    ]
}

fn changes() -> Vec<Sample> {
    let (time_ns, user_ref_num, quantity, options) = (TIME, 2, 40, channel());
    let (price, cl_ord_id, match_number) = (Price(1_503_300), name(), 987_654_321);
    let canceled =
        Canceled { time_ns, user_ref_num, quantity, reason: CancelReason::DirectListingShares, options };
    let aiq = AiqCanceled {
        time_ns,
        user_ref_num,
        quantity,
        reason: CancelReason::SelfMatch,
        prevented: 60,
        price,
        liquidity: LiquidityFlag::Removed,
        aiq_strategy: AiqStrategy::AnyUseRemover,
        options,
    };
    let liquidity = LiquidityFlag::ReserveAdded;
    let executed = Executed { time_ns, user_ref_num, quantity, price, liquidity, match_number, options };
    let reason = BrokenTradeReason::Consent;
    let broken = BrokenTrade { time_ns, user_ref_num, match_number, reason, cl_ord_id, options };
    let reason = RejectReason::InvalidPrice;
    let rejected = Rejected { time_ns, user_ref_num, reason, cl_ord_id, options };
    let (count, cost) = (("quantity", Number(40)), ("price", Number(1_503_300)));
    let (trade, own) = (("matchNumber", Number(987_654_321)), ("clOrdId", Text("SECOND")));
    let aiq_fields = [
        WHEN,
        NUMBER,
        count,
        ("reason", Text("Q")),
        ("prevented", Number(60)),
        cost,
        ("liquidityFlag", Text("R")),
        ("aiqStrategy", Text("5")),
    ];
    let executed_fields = [WHEN, NUMBER, count, cost, ("liquidityFlag", Text("u")), trade];
    let broken_fields = [WHEN, NUMBER, trade, ("reason", Text("C")), own];
    let rejected_fields = [WHEN, NUMBER, ("reason", Number(0x1D)), own];
    vec![
        sample(Either::Out(canceled.into()), &[WHEN, NUMBER, count, ("reason", Text("e"))], &[CHANNEL]),
        sample(Either::Out(aiq.into()), &aiq_fields, &[CHANNEL]),
        sample(Either::Out(executed.into()), &executed_fields, &[CHANNEL]),
        sample(Either::Out(broken.into()), &broken_fields, &[CHANNEL]),
        sample(Either::Out(rejected.into()), &rejected_fields, &[CHANNEL]),
    ]
}

fn responses() -> Vec<Sample> {
    let (time_ns, user_ref_num, options, firm) = (TIME, 2, channel(), firm());
    let pending = CancelPending { time_ns, user_ref_num, options };
    let reject = CancelReject { time_ns, user_ref_num, options };
    let (price, display, reference) = (Price(1_503_300), Display::Visible, 555);
    let priority = PriorityUpdate { time_ns, user_ref_num, price, display, reference, options };
    let located =
        Options { shares_located: Some(true), locate_broker: Some(Alpha::new(b"LB").unwrap()), ..options };
    let side = Side::SellShortExempt;
    let modified = Modified { time_ns, user_ref_num, side, quantity: 50, options: located };
    let restated = Restated {
        time_ns,
        user_ref_num,
        reason: RestateReason::DisplayRefresh,
        options: Options {
            secondary_reference: Some(0x0102_0304_0506_0708),
            display_quantity: Some(50),
            display_price: Some(Price(1_503_400)),
            ..options
        },
    };
    let restated_values =
        [(1, Number(0x0102_0304_0506_0708)), (22, Number(50)), (23, Number(1_503_400)), CHANNEL];
    let group = Options { group_id: Some(7), ..options };
    let mass = MassCancelResponse { time_ns, user_ref_num, firm, symbol: symbol(), options: group };
    let disabled = DisableResponse { time_ns, user_ref_num, firm, options };
    let enabled = EnableResponse { time_ns, user_ref_num, firm, options };
    let account = AccountResponse { time_ns, next_user_ref_num: 13, options };
    let (cost, house) = (("price", Number(1_503_300)), ("firm", Text("ABC")));
    let priority_fields = [WHEN, NUMBER, cost, ("display", Text("Y")), ("orderReference", Number(555))];
    let modified_fields = [WHEN, NUMBER, ("side", Text("E")), ("quantity", Number(50))];
    let mass_fields = [WHEN, NUMBER, house, ("symbol", Text("BRK.A"))];
    let out = |message: Outbound| Either::Out(message);
    vec![
        sample(out(pending.into()), &[WHEN, NUMBER], &[CHANNEL]),
        sample(out(reject.into()), &[WHEN, NUMBER], &[CHANNEL]),
        sample(out(priority.into()), &priority_fields, &[CHANNEL]),
        sample(out(modified.into()), &modified_fields, &[(25, Text("Y")), (26, Text("LB")), CHANNEL]),
        sample(out(restated.into()), &[WHEN, NUMBER, ("reason", Text("R"))], &restated_values),
        sample(out(mass.into()), &mass_fields, &[(24, Number(7)), CHANNEL]),
        sample(out(disabled.into()), &[WHEN, NUMBER, house], &[CHANNEL]),
        sample(out(enabled.into()), &[WHEN, NUMBER, house], &[CHANNEL]),
        sample(out(account.into()), &[WHEN, ("nextUserRefNum", Number(13))], &[CHANNEL]),
    ]
}
