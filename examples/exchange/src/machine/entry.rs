//! Orders of OUCH 5.0 as the engine takes them, and the reason where it does not.

use super::orders::OrderMemo;
use crate::command::{NewOrder, OrderReplacement};
use crate::output::RejectionReason;
use crate::types::{OrderKind, SelfMatch, Side, Symbol, TimeInForce};
use ouch50::codes::{
    AiqStrategy, CancelReason, CrossType, DiscretionPriceType, Display, HandleInst, LiquidityFlag, PostOnly,
    PriceType, RejectReason, TimeInForce as OuchTimeInForce,
};
use ouch50::{EnterOrder, Options, Price, ReplaceOrder};

/// The engine's side of an order.
pub(super) fn side_of(side: ouch50::Side) -> Side {
    match side {
        ouch50::Side::Buy => Side::Buy,
        ouch50::Side::Sell | ouch50::Side::SellShort | ouch50::Side::SellShortExempt => Side::Sell,
    }
}

/// The limit price, and whether there is one.
fn kind_of(price: Price) -> (OrderKind, u64) {
    match price {
        Price::MARKET | Price::MARKET_FOR_CROSS => (OrderKind::Market, 0),
        Price(price) => (OrderKind::Limit, price),
    }
}

/// What no order may ask for here: an attribute that the exchange does not have is refused, not dropped.
fn check_options(options: &Options) -> Result<(), RejectReason> {
    let is_set = |number: Option<u32>| number.is_some_and(|number| number > 0);
    let follows = options.price_type.is_some_and(|kind| kind != PriceType::Limit)
        || options.peg_offset.is_some()
        || options.discretion_price.is_some_and(|price| price.0 > 0)
        || options.discretion_price_type.is_some_and(|kind| kind != DiscretionPriceType::Limit)
        || options.discretion_peg_offset.is_some();
    if follows {
        return Err(RejectReason::PeggingNotAllowed);
    }
    if is_set(options.random_reserves) {
        return Err(RejectReason::InvalidMaxFloor);
    }
    if options.handle_inst.is_some_and(|handling| handling != HandleInst::None) {
        return Err(RejectReason::InvalidCrossOrder);
    }
    if options.aiq_group_id.is_some_and(|group| !group.is_blank() && group.text() != b"**") {
        return Err(RejectReason::InvalidAiq);
    }
    let is_of_channel = options.user_ref_idx.is_some_and(|channel| channel > 0);
    let is_of_group = options.group_id.is_some_and(|group| group > 0);
    if is_of_channel || is_of_group || options.expire_s.is_some() {
        return Err(RejectReason::Other);
    }
    Ok(())
}

fn check_display(display: Display, is_sweep: bool) -> Result<(), RejectReason> {
    match display {
        _ if is_sweep => Err(RejectReason::IsoNotAllowed),
        Display::Visible | Display::Attributable => Ok(()),
        Display::Hidden | Display::Conformant => Err(RejectReason::InvalidDisplay),
    }
}

/// The engine's strategy against self-matches. The one of an order that takes liquidity counts; what wants
/// another message than `C` is not here.
fn self_match(strategy: Option<AiqStrategy>) -> Result<SelfMatch, RejectReason> {
    use AiqStrategy as Aiq;
    Ok(match strategy {
        None | Some(Aiq::PortDefault | Aiq::Disabled) => SelfMatch::Allow,
        Some(
            Aiq::FirmDecrementSilent
            | Aiq::OrgDecrementSilent
            | Aiq::AffiliateDecrementSilent
            | Aiq::AnyDecrementSilent,
        ) => SelfMatch::Decrement,
        Some(
            Aiq::FirmCancelOldest | Aiq::OrgCancelOldest | Aiq::AffiliateCancelOldest | Aiq::AnyCancelOldest,
        ) => SelfMatch::CancelOldest,
        Some(
            Aiq::FirmCancelNewest | Aiq::OrgCancelNewest | Aiq::AffiliateCancelNewest | Aiq::AnyCancelNewest,
        ) => SelfMatch::CancelNewest,
        Some(_) => return Err(RejectReason::InvalidAiq),
    })
}

/// A day order, or one that executes at once: in part, or with a least quantity that is all of it, whole.
fn time_in_force(
    time: OuchTimeInForce,
    quantity: u32,
    min_quantity: Option<u32>,
) -> Result<TimeInForce, RejectReason> {
    match (time, min_quantity.unwrap_or(0)) {
        (OuchTimeInForce::Day, 0) => Ok(TimeInForce::Day),
        (OuchTimeInForce::ImmediateOrCancel, 0) => Ok(TimeInForce::Ioc),
        (OuchTimeInForce::ImmediateOrCancel, least) if least == quantity => Ok(TimeInForce::Fok),
        (OuchTimeInForce::Day | OuchTimeInForce::ImmediateOrCancel, _) => {
            Err(RejectReason::InvalidMinQuantity)
        }
        _ => Err(RejectReason::Other),
    }
}

/// An entered order, as the engine takes it.
pub(super) fn new_order(account: u32, order: &EnterOrder) -> Result<NewOrder, RejectReason> {
    check_options(&order.options)?;
    check_display(order.display, order.is_sweep)?;
    if order.cross_type != CrossType::Continuous {
        return Err(RejectReason::InvalidCrossOrder);
    }
    let (kind, price) = kind_of(order.price);
    Ok(NewOrder {
        account,
        token: order.user_ref_num,
        symbol: Symbol(*order.symbol.as_bytes()),
        side: side_of(order.side),
        kind,
        time_in_force: time_in_force(order.time_in_force, order.quantity, order.options.min_quantity)?,
        quantity: order.quantity,
        price,
        stop_price: 0,
        display: order.options.max_floor.unwrap_or(0),
        is_post_only: order.options.post_only == Some(PostOnly::PostOnly),
        self_match: self_match(order.options.aiq_strategy)?,
    })
}

/// A replacement, as the engine takes it. What an order is beside price, quantity and display does not
/// change.
pub(super) fn replacement(
    account: u32,
    order: &ReplaceOrder,
    old: Option<&OrderMemo>,
) -> Result<OrderReplacement, RejectReason> {
    check_options(&order.options)?;
    check_display(order.display, order.is_sweep)?;
    if let (Some(side), Some(old)) = (order.options.side, old)
        && side_of(side) != side_of(old.side)
    {
        return Err(RejectReason::InvalidSide);
    }
    if time_in_force(order.time_in_force, order.quantity, order.options.min_quantity)? != TimeInForce::Day {
        return Err(RejectReason::ReplaceNotAllowed);
    }
    let is_post_only = order.options.post_only.map(|post_only| post_only == PostOnly::PostOnly);
    if old.zip(is_post_only).is_some_and(|(old, wanted)| old.is_post_only != wanted) {
        return Err(RejectReason::ReplaceNotAllowed);
    }
    if order.options.aiq_strategy.is_some_and(|strategy| strategy != AiqStrategy::PortDefault) {
        return Err(RejectReason::InvalidAiq);
    }
    let (_, price) = kind_of(order.price);
    Ok(OrderReplacement {
        account,
        original: order.original,
        token: order.user_ref_num,
        quantity: order.quantity,
        price,
        stop_price: 0,
        display: order.options.max_floor.unwrap_or(0),
    })
}

/// The reason of OUCH 5.0 for one of the engine. A duplicate has none: it is answered by silence.
pub(super) fn reject_reason(reason: RejectionReason, is_halted: bool) -> RejectReason {
    match reason {
        RejectionReason::UnknownAccount | RejectionReason::KillSwitch => RejectReason::FirmNotAuthorized,
        RejectionReason::OrderRate => RejectReason::RiskPortMessageRate,
        RejectionReason::UnknownInstrument => RejectReason::InvalidSymbol,
        RejectionReason::UnknownOrder => RejectReason::ReplaceNotAllowed,
        RejectionReason::NotOpen if is_halted => RejectReason::Halted,
        RejectionReason::NotOpen => RejectReason::DestinationClosed,
        RejectionReason::InvalidQuantity => RejectReason::InvalidQuantity,
        RejectionReason::InvalidPrice | RejectionReason::InvalidStopPrice => RejectReason::InvalidPrice,
        RejectionReason::InvalidDisplay => RejectReason::InvalidMaxFloor,
        RejectionReason::NotInCallPhase => RejectReason::InvalidCrossOrder,
        RejectionReason::OutsideBand => RejectReason::FatFinger,
        RejectionReason::QuantityLimit => RejectReason::RiskMaxQuantity,
        RejectionReason::NotionalLimit => RejectReason::RiskOrderNotional,
        RejectionReason::OpenOrdersLimit | RejectionReason::PositionLimit => {
            RejectReason::RiskAggregateExposure
        }
        RejectionReason::Capacity => RejectReason::ProcessingError,
        RejectionReason::WouldExecute => RejectReason::CrossedMarket,
        RejectionReason::DuplicateToken
        | RejectionReason::InvalidCombination
        | RejectionReason::NoReduction => RejectReason::Other,
    }
}

/// The reason of OUCH 5.0 for a cancel of the engine.
pub(super) fn cancel_reason(reason: crate::output::CancelReason) -> CancelReason {
    use crate::output::CancelReason as Engine;
    match reason {
        Engine::Requested | Engine::MassCancel | Engine::ReplacedToNothing => CancelReason::UserRequested,
        Engine::ImmediateOrCancel | Engine::FillOrKill | Engine::NoLiquidity | Engine::AuctionRemainder => {
            CancelReason::ImmediateOrCancel
        }
        Engine::SelfMatch => CancelReason::SelfMatch,
        Engine::Disconnected => CancelReason::System,
        Engine::KillSwitch => CancelReason::Supervisory,
        Engine::Closed => CancelReason::Closed,
    }
}

/// What an execution was.
pub(super) fn liquidity_flag(liquidity: crate::output::Liquidity) -> LiquidityFlag {
    use crate::output::Liquidity;
    match liquidity {
        Liquidity::Added => LiquidityFlag::Added,
        Liquidity::Removed => LiquidityFlag::Removed,
        Liquidity::Cross(b'O') => LiquidityFlag::OpeningCross,
        Liquidity::Cross(b'C') => LiquidityFlag::ClosingCross,
        Liquidity::Cross(_) => LiquidityFlag::HaltCross,
    }
}
