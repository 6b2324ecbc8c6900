//! Execution reports and cancel rejects, as fields of FIX 4.4.

use super::codec::{put, put_text};
use super::orders::FixOrder;
use super::tags;
use super::value::{average_text, price_text, utc_text};
use lockstep_wire::{Nanos, Seq};
use ouch50::{Price, Side};

/// The position of the entry from which a report is made.
#[derive(Clone, Copy, Debug)]
pub(super) struct ReportPlace {
    /// Its seq: the ExecID.
    pub seq: Seq,
    /// When it was stamped.
    pub timestamp: Nanos,
}

/// One report of an order.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ExecutionReport<'a> {
    /// ExecType(150).
    pub exec_type: &'static str,
    /// OrdStatus(39).
    pub status: &'static str,
    /// The ClOrdID of a cancel that this answers; the order's own is then OrigClOrdID.
    pub request: Option<&'a [u8]>,
    /// The ClOrdID of the order that this one replaces.
    pub replaces: Option<&'a [u8]>,
    /// LastQty and LastPx.
    pub last: Option<(u32, u64)>,
    /// ExecRefID.
    pub refers_to: Option<Seq>,
    /// SecondaryExecID: the venue's number of the match.
    pub match_number: Option<u64>,
    /// LastLiquidityInd.
    pub liquidity: Option<u8>,
    /// OrdRejReason.
    pub rejection: Option<u32>,
    /// ExecRestatementReason.
    pub restatement: Option<u32>,
    /// The text for people.
    pub text: Option<&'a str>,
}

/// Side(54).
pub(super) fn side_text(side: Side) -> char {
    match side {
        Side::Buy => '1',
        Side::Sell => '2',
        Side::SellShort => '5',
        Side::SellShortExempt => '6',
    }
}

fn order_id(order: &FixOrder, out: &mut Vec<u8>) {
    match order.reference {
        0 => put(out, tags::ORDER_ID, "NONE"),
        reference => put(out, tags::ORDER_ID, reference),
    }
}

/// An execution report.
pub(super) fn execution(order: &FixOrder, place: ReportPlace, report: &ExecutionReport<'_>) -> Vec<u8> {
    let out = &mut b"35=8\x01".to_vec();
    order_id(order, out);
    put_text(out, tags::CL_ORD_ID, report.request.unwrap_or(&order.cl_ord_id));
    if let Some(original) = report.request.map(|_| &order.cl_ord_id[..]).or(report.replaces) {
        put_text(out, tags::ORIG_CL_ORD_ID, original);
    }
    put(out, tags::EXEC_ID, place.seq);
    put(out, tags::EXEC_TYPE, report.exec_type);
    put(out, tags::ORD_STATUS, report.status);
    let optional = |out: &mut Vec<u8>, tag, value: Option<u64>| {
        if let Some(value) = value {
            put(out, tag, value);
        }
    };
    optional(out, tags::ORD_REJ_REASON, report.rejection.map(u64::from));
    optional(out, tags::EXEC_RESTATEMENT_REASON, report.restatement.map(u64::from));
    put_text(out, tags::SYMBOL, order.symbol.text());
    put(out, tags::SIDE, side_text(order.side));
    put(out, tags::ORDER_QTY, order.quantity);
    let is_market = matches!(order.price, Price::MARKET | Price::MARKET_FOR_CROSS);
    put(out, tags::ORD_TYPE, if is_market { '1' } else { '2' });
    if !is_market {
        put(out, tags::PRICE, price_text(order.price.0));
    }
    put(out, tags::TIME_IN_FORCE, order.lives);
    if let Some((quantity, price)) = report.last {
        put(out, tags::LAST_QTY, quantity);
        put(out, tags::LAST_PX, price_text(price));
    }
    put(out, tags::LEAVES_QTY, order.leaves);
    put(out, tags::CUM_QTY, order.executed);
    put(out, tags::AVG_PX, average_text(order.notional, order.executed));
    optional(out, tags::EXEC_REF_ID, report.refers_to);
    put(out, tags::TRANSACT_TIME, utc_text(place.timestamp));
    if let Some(text) = report.text {
        put_text(out, tags::TEXT, text.as_bytes());
    }
    optional(out, tags::SECONDARY_EXEC_ID, report.match_number);
    optional(out, tags::LAST_LIQUIDITY_IND, report.liquidity.map(u64::from));
    std::mem::take(out)
}

/// The request to which an order cancel reject refers.
#[derive(Clone, Copy, Debug)]
pub(super) struct RefusedRequest<'a> {
    /// The ClOrdID of the cancel or replacement.
    pub request: &'a [u8],
    /// The ClOrdID of the order.
    pub original: &'a [u8],
    /// Whether it is a replacement.
    pub is_replacement: bool,
    /// CxlRejReason: 0 too late, 1 unknown order, 2 the venue's option, 99 another.
    pub reason: u32,
    /// The text for people.
    pub text: &'a str,
}

/// An order cancel reject; with the order, if it is known.
pub(super) fn cancel_reject(
    order: Option<&FixOrder>,
    place: ReportPlace,
    refused: &RefusedRequest<'_>,
) -> Vec<u8> {
    let out = &mut b"35=9\x01".to_vec();
    match order {
        Some(order) => order_id(order, out),
        None => put(out, tags::ORDER_ID, "NONE"),
    }
    put_text(out, tags::CL_ORD_ID, refused.request);
    put_text(out, tags::ORIG_CL_ORD_ID, refused.original);
    // "Rejected", if the order is unknown.
    put(out, tags::ORD_STATUS, order.map_or("8", FixOrder::status));
    put(out, tags::CXL_REJ_RESPONSE_TO, if refused.is_replacement { '2' } else { '1' });
    put(out, tags::CXL_REJ_REASON, refused.reason);
    put_text(out, tags::TEXT, refused.text.as_bytes());
    put(out, tags::TRANSACT_TIME, utc_text(place.timestamp));
    std::mem::take(out)
}
