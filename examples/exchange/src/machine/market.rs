//! Events of the market as messages of ITCH 5.0. The tracking number is 0, the locate the instrument's
//! number, the time that of the stream since midnight, UTC.

use crate::output::MarketEvent;
use crate::types::{Side, Symbol, TradingPhase};
use itch50::codes::{
    Authenticity, CrossType, FinancialStatus, ImbalanceCross, ImbalanceDirection, IpoFlag, IssueClass,
    MarketCategory, PriceTier, PriceVariation, TradingState,
};
use itch50::{
    AddOrder, Alpha, BrokenTrade, CrossTrade, EventCode, Head, Imbalance, OrderCancel, OrderDelete,
    OrderExecuted, OrderExecutedAtPrice, OrderReplace, Price4, Stock, StockDirectory, SystemEvent, Timestamp,
    TradingAction,
};

const DAY_NS: u64 = 86_400_000_000_000;

/// Nanoseconds since midnight, UTC, of a time of the stream.
pub(super) fn time_of_day(now_ns: u64) -> u64 {
    now_ns % DAY_NS
}

/// Publishes the message of one event, whose bytes `publish` takes.
pub(super) fn encode(event: &MarketEvent, now_ns: u64, publish: impl FnOnce(&[u8])) {
    let time = Timestamp::new(time_of_day(now_ns)).unwrap_or(MIDNIGHT);
    let head = |locate: u16| Head { locate, tracking: 0, time };
    match *event {
        MarketEvent::Added { locate, number, side, quantity, symbol, price } => publish(
            &AddOrder {
                head: head(locate),
                reference: number,
                side: if side == Side::Buy { itch50::Side::Buy } else { itch50::Side::Sell },
                shares: quantity,
                stock: stock(symbol),
                price: price4(price),
            }
            .encode(),
        ),
        MarketEvent::Executed { locate, number, quantity, match_number } => publish(
            &OrderExecuted { head: head(locate), reference: number, shares: quantity, match_number }.encode(),
        ),
        MarketEvent::ExecutedAt { locate, number, quantity, match_number, price } => publish(
            &OrderExecutedAtPrice {
                head: head(locate),
                reference: number,
                shares: quantity,
                match_number,
                is_printable: false,
                price: price4(price),
            }
            .encode(),
        ),
        MarketEvent::Reduced { locate, number, quantity } => {
            publish(&OrderCancel { head: head(locate), reference: number, shares: quantity }.encode());
        }
        MarketEvent::Deleted { locate, number } => {
            publish(&OrderDelete { head: head(locate), reference: number }.encode());
        }
        MarketEvent::Replaced { locate, original, number, quantity, price } => publish(
            &OrderReplace {
                head: head(locate),
                original,
                reference: number,
                shares: quantity,
                price: price4(price),
            }
            .encode(),
        ),
        MarketEvent::Broken { locate, match_number } => {
            publish(&BrokenTrade { head: head(locate), match_number }.encode());
        }
        _ => encode_rare(event, head, publish),
    }
}

const MIDNIGHT: Timestamp = match Timestamp::new(0) {
    Some(time) => time,
    None => unreachable!(),
};

/// Messages that are not about one order or trade.
fn encode_rare(event: &MarketEvent, head: impl Fn(u16) -> Head, publish: impl FnOnce(&[u8])) {
    match *event {
        MarketEvent::System { code } => {
            // The engine refuses other codes.
            let event = EventCode::from_code(code).unwrap_or(EventCode::StartOfMessages);
            publish(&SystemEvent { head: head(0), event }.encode());
        }
        MarketEvent::Directory { locate, symbol, lot } => {
            publish(&directory(head(locate), symbol, lot).encode());
        }
        MarketEvent::TradingAction { locate, symbol, phase, is_extended } => publish(
            &TradingAction {
                head: head(locate),
                stock: stock(symbol),
                state: TradingState::from_code(phase.itch_state()).unwrap_or(TradingState::Halted),
                reserved: b' ',
                reason: match (phase, is_extended) {
                    (_, true) => text(b"LUDX"),
                    (TradingPhase::VolatilityInterruption, false) => text(b"LUDP"),
                    _ => Alpha::BLANK,
                },
            }
            .encode(),
        ),
        MarketEvent::Cross { locate, symbol, quantity, price, match_number, cross } => publish(
            &CrossTrade {
                head: head(locate),
                shares: quantity,
                stock: stock(symbol),
                price: price4(price),
                match_number,
                cross: CrossType::from_code(cross).unwrap_or(CrossType::HaltOrIpo),
            }
            .encode(),
        ),
        MarketEvent::Imbalance { locate, symbol, paired, imbalance, side, price, reference, cross } => {
            publish(
                &Imbalance {
                    head: head(locate),
                    paired_shares: paired,
                    imbalance_shares: imbalance,
                    direction: direction(side, price),
                    stock: stock(symbol),
                    far: price4(price),
                    near: price4(price),
                    reference: price4(reference),
                    cross: ImbalanceCross::from_code(cross).unwrap_or(ImbalanceCross::HaltOrIpo),
                    variation: variation(price, reference),
                }
                .encode(),
            );
        }
        _ => {}
    }
}

fn direction(side: Option<Side>, price: u64) -> ImbalanceDirection {
    match side {
        Some(Side::Buy) => ImbalanceDirection::Buy,
        Some(Side::Sell) => ImbalanceDirection::Sell,
        None if price == 0 => ImbalanceDirection::InsufficientOrders,
        None => ImbalanceDirection::None,
    }
}

fn variation(price: u64, reference: u64) -> PriceVariation {
    if price == 0 || reference == 0 {
        return PriceVariation::NotAvailable;
    }
    match price.abs_diff(reference) * 100 / reference {
        percent @ 0..10 => PriceVariation::ALL[percent as usize],
        10..20 => PriceVariation::From10,
        20..30 => PriceVariation::From20,
        _ => PriceVariation::From30,
    }
}

fn directory(head: Head, symbol: Symbol, lot: u32) -> StockDirectory {
    StockDirectory {
        head,
        stock: stock(symbol),
        market_category: MarketCategory::NotAvailable,
        financial_status: FinancialStatus::NotAvailable,
        round_lot_size: lot,
        round_lots_only: true,
        issue_class: IssueClass::CommonStock,
        issue_sub_type: text(b"Z"),
        authenticity: Authenticity::Live,
        short_sale_threshold: None,
        ipo_flag: IpoFlag::NotAvailable,
        price_tier: PriceTier::NotAvailable,
        etp_flag: None,
        etp_leverage: 0,
        is_inverse: false,
    }
}

/// The engine takes printable symbols alone.
fn stock(symbol: Symbol) -> Stock {
    text(&symbol.0)
}

fn text<const N: usize>(text: &[u8]) -> Alpha<N> {
    Alpha::new(text).unwrap_or(Alpha::BLANK)
}

/// The engine's prices have 31 bits.
fn price4(price: u64) -> Price4 {
    Price4(u32::try_from(price).unwrap_or(u32::MAX))
}
