//! Translates requests of FIX to OUCH 5.0: NewOrderSingle(D), OrderCancelRequest(F),
//! OrderCancelReplaceRequest(G).
//!
//! | FIX | OUCH 5.0 |
//! |---|---|
//! | ClOrdID(11), up to 64 characters | UserRefNum: the number of the entry; ClOrdId has the first 14 |
//! | OrdType(40) 1, 2 | a market order, a limit of at most four decimals |
//! | TimeInForce(59) 0, 3, 4 | day; IOC; IOC with a least quantity of all |
//! | MinQty(110), MaxFloor(111), ExecInst(18) 6 | least quantity, displayed part, post-only |
//! | OrderQty(38) of G | shares of all orders of the chain, executed ones included: as FIX has it |
//!
//! An attribute that is not in this table is refused if it changes how an order trades; other attributes are
//! ignored.

use super::codec::{FixFields, put, put_text};
use super::orders::FixOrders;
use super::tags;
use super::value::{parse_price, parse_quantity};
use ouch50::codes::{Capacity, CrossType, Display, PostOnly, TimeInForce};
use ouch50::{
    CancelOrder, ClOrdId, EnterOrder, Inbound, Options, OuchError, Price, ReplaceOrder, Side, Symbol,
};
use std::collections::BTreeMap;

/// Longest ClOrdID.
pub const CL_ORD_ID_LEN_MAX: usize = 64;
/// The most open orders of a client.
pub const OPEN_ORDERS_MAX: usize = 100_000;
/// SessionRejectReason: required tag missing, value incorrect, incorrect data format.
const MISSING: u32 = 1;
const INCORRECT: u32 = 5;
const FORMAT: u32 = 6;
/// OrdRejReason: duplicate order, order exceeds limit, unsupported characteristic.
const DUPLICATE: u32 = 6;
const LIMIT: u32 = 3;
const UNSUPPORTED: u32 = 11;

/// The values of OrdType and TimeInForce in FIX 4.2, 4.4 and 5.0 SP2: an unsupported one of them is refused
/// by a report, and any other value is malformed. ExecInst may be any letter or digit.
const ORD_TYPES: &[u8] = b"123456789ABCDEFGHIJKLMPQRS";
const TIMES_IN_FORCE: &[u8] = b"0123456789ABC";

/// Orders that were published and not delivered yet, by UserRefNum.
pub type SubmittedOrders = BTreeMap<u32, Vec<u8>>;

/// A request, as entries of the client's publisher.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EnteredRequest {
    /// The ClOrdID, if OUCH 5.0 has no room for it: a note before the request must have it.
    pub name: Option<Vec<u8>>,
    /// The ClOrdID and UserRefNum of an order to which later requests may refer.
    pub order: Option<(u32, Vec<u8>)>,
    /// The message of OUCH 5.0.
    pub payload: Vec<u8>,
}

/// Why a request is not published.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum EntryRefusal {
    /// It is malformed: Reject(3).
    Reject {
        /// RefTagID.
        tag: u32,
        /// SessionRejectReason.
        reason: u32,
        /// The text for people.
        text: &'static str,
    },
    /// It cannot be carried out: the fields of an ExecutionReport(8) or OrderCancelReject(9).
    Answer(Vec<u8>),
    /// It is marked as possibly sent before (PossResend), and it was: nothing follows from it.
    Known,
}

/// The state to which requests refer.
#[derive(Clone, Copy, Debug)]
pub struct EntryContext<'a> {
    /// Orders in the stream.
    pub orders: &'a FixOrders,
    /// Orders that were published.
    pub submitted: &'a SubmittedOrders,
    /// The number of the publisher's next entry.
    pub next_seq: u64,
}

impl EntryContext<'_> {
    /// The UserRefNum of the order with this ClOrdID.
    fn find(&self, cl_ord_id: &[u8]) -> Option<u32> {
        let submitted = self.submitted.iter().rev().find(|(_, name)| *name == cl_ord_id);
        submitted.map(|(number, _)| *number).or_else(|| self.orders.find(cl_ord_id))
    }

    /// The UserRefNum of an order that is published now: the number of its entry.
    fn number(&self, has_note: bool) -> Option<u32> {
        u32::try_from(self.next_seq + u64::from(has_note)).ok()
    }
}

/// The entries of a request; `fields` are those of D, F or G.
///
/// # Errors
/// It is malformed, cannot be carried out, or is known already: see [`EntryRefusal`].
pub fn enter(fields: &FixFields<'_>, context: EntryContext<'_>) -> Result<EnteredRequest, EntryRefusal> {
    let request = Request { fields, context };
    let is_known = |name| context.find(name).is_some();
    if fields.get(tags::POSS_RESEND) == Some(b"Y") && fields.get(tags::CL_ORD_ID).is_some_and(is_known) {
        return Err(EntryRefusal::Known);
    }
    match fields.kind() {
        tags::NEW_ORDER_SINGLE => request.order(),
        tags::ORDER_CANCEL_REQUEST => request.cancel(),
        _ => request.replacement(),
    }
}

fn wrong(tag: u32, reason: u32, text: &'static str) -> EntryRefusal {
    EntryRefusal::Reject { tag, reason, text }
}

struct Request<'a> {
    fields: &'a FixFields<'a>,
    context: EntryContext<'a>,
}

impl<'a> Request<'a> {
    fn required(&self, tag: u32) -> Result<&'a [u8], EntryRefusal> {
        self.fields.get(tag).ok_or(wrong(tag, MISSING, "a required tag is missing"))
    }

    fn name(&self, tag: u32) -> Result<&'a [u8], EntryRefusal> {
        let name = self.required(tag)?;
        if name.len() > CL_ORD_ID_LEN_MAX || !name.iter().all(|byte| (b'!'..=b'~').contains(byte)) {
            return Err(wrong(tag, INCORRECT, "an id is 1 to 64 printable characters without blanks"));
        }
        Ok(name)
    }

    fn quantity(&self, tag: u32) -> Result<u32, EntryRefusal> {
        parse_quantity(self.required(tag)?).ok_or(wrong(
            tag,
            FORMAT,
            "a quantity is a whole number of 32 bits",
        ))
    }

    fn optional_quantity(&self, tag: u32) -> Result<Option<u32>, EntryRefusal> {
        self.fields.get(tag).map(|_| self.quantity(tag)).transpose()
    }

    fn side(&self) -> Result<Side, EntryRefusal> {
        Ok(match self.required(tags::SIDE)? {
            b"1" => Side::Buy,
            b"2" => Side::Sell,
            b"5" => Side::SellShort,
            b"6" => Side::SellShortExempt,
            _ => return Err(wrong(tags::SIDE, INCORRECT, "the side is 1, 2, 5 or 6")),
        })
    }

    fn symbol(&self) -> Result<Symbol, EntryRefusal> {
        let text = self.required(tags::SYMBOL)?;
        Symbol::new(text)
            .map_err(|_| wrong(tags::SYMBOL, INCORRECT, "a symbol is 1 to 8 printable characters"))
    }

    /// The price of a limit order, or of a market order.
    fn price(&self) -> Result<Result<Price, &'static str>, EntryRefusal> {
        Ok(match self.required(tags::ORD_TYPE)? {
            b"1" => Ok(Price::MARKET),
            b"2" => {
                let text = self.required(tags::PRICE)?;
                let price = parse_price(text).map(Price);
                let price = price.ok_or(wrong(tags::PRICE, FORMAT, "a price has at most four decimals"))?;
                // These values mean a market order.
                let is_market = matches!(price, Price::MARKET | Price::MARKET_FOR_CROSS);
                if is_market { Err("that price stands for a market order") } else { Ok(price) }
            }
            [kind] if ORD_TYPES.contains(kind) => Err("OrdType is 1 (market) or 2 (limit)"),
            _ => return Err(wrong(tags::ORD_TYPE, INCORRECT, "an OrdType that FIX has")),
        })
    }

    /// Time in force and least quantity.
    fn time_in_force(
        &self,
        quantity: u32,
    ) -> Result<Result<(TimeInForce, Option<u32>), &'static str>, EntryRefusal> {
        let least = self.optional_quantity(tags::MIN_QTY)?.filter(|least| *least > 0);
        Ok(match self.fields.get(tags::TIME_IN_FORCE).unwrap_or(b"0") {
            b"0" => Ok((TimeInForce::Day, least)),
            b"3" => Ok((TimeInForce::ImmediateOrCancel, least)),
            b"4" => Ok((TimeInForce::ImmediateOrCancel, Some(quantity))),
            [time] if TIMES_IN_FORCE.contains(time) => Err("TimeInForce is 0 (day), 3 (IOC) or 4 (FOK)"),
            _ => return Err(wrong(tags::TIME_IN_FORCE, INCORRECT, "a TimeInForce that FIX has")),
        })
    }

    fn options(&self, min_quantity: Option<u32>) -> Result<Result<Options, &'static str>, EntryRefusal> {
        let max_floor = self.optional_quantity(tags::MAX_FLOOR)?;
        let instructions = self.fields.get(tags::EXEC_INST).unwrap_or_default();
        let mut post_only = None;
        for instruction in instructions.split(|byte| *byte == b' ').filter(|word| !word.is_empty()) {
            match instruction {
                b"6" => post_only = Some(PostOnly::PostOnly),
                [byte] if byte.is_ascii_alphanumeric() => {
                    return Ok(Err("ExecInst is 6 (participate, do not initiate) or left out"));
                }
                _ => return Err(wrong(tags::EXEC_INST, INCORRECT, "an ExecInst that FIX has")),
            }
        }
        Ok(Ok(Options { min_quantity, max_floor, post_only, ..Options::NONE }))
    }

    fn capacity(&self) -> Capacity {
        let capacity = self.fields.get(tags::ORDER_CAPACITY).or(self.fields.get(tags::RULE_80A));
        match capacity {
            Some(b"P") => Capacity::Principal,
            Some(b"R") => Capacity::Riskless,
            _ => Capacity::Agency,
        }
    }

    fn order(&self) -> Result<EnteredRequest, EntryRefusal> {
        let name = self.name(tags::CL_ORD_ID)?;
        let (symbol, side, quantity) = (self.symbol()?, self.side()?, self.quantity(tags::ORDER_QTY)?);
        let (price, time) = (self.price()?, self.time_in_force(quantity)?);
        let refuse = |reason, text| Err(EntryRefusal::Answer(self.rejected(reason, text)));
        if self.context.find(name).is_some() {
            return refuse(DUPLICATE, "an order with this ClOrdID is known already");
        }
        if self.context.orders.open_count() + self.context.submitted.len() >= OPEN_ORDERS_MAX {
            return refuse(LIMIT, "too many orders are open");
        }
        let (price, (time_in_force, least)) = match (price, time) {
            (Ok(price), Ok(time)) => (price, time),
            (Err(text), _) | (_, Err(text)) => return refuse(UNSUPPORTED, text),
        };
        let options = match self.options(least)? {
            Ok(options) => options,
            Err(text) => return refuse(UNSUPPORTED, text),
        };
        let Some(user_ref_num) = self.context.number(needs_note(name)) else {
            return refuse(LIMIT, "this client has used all numbers of orders");
        };
        let order = EnterOrder {
            user_ref_num,
            side,
            quantity,
            symbol,
            price,
            time_in_force,
            display: Display::Visible,
            capacity: self.capacity(),
            is_sweep: false,
            cross_type: CrossType::Continuous,
            cl_ord_id: short_name(name),
            options,
        };
        Self::entered(Inbound::EnterOrder(order), name, needs_note(name), Some(user_ref_num))
    }

    fn replacement(&self) -> Result<EnteredRequest, EntryRefusal> {
        let (name, original) = (self.name(tags::CL_ORD_ID)?, self.name(tags::ORIG_CL_ORD_ID)?);
        let (side, quantity) = (self.side()?, self.quantity(tags::ORDER_QTY)?);
        let (price, time) = (self.price()?, self.time_in_force(quantity)?);
        let refuse = |reason, text| Err(EntryRefusal::Answer(self.cancel_rejected(reason, text)));
        let Some(replaced) = self.context.find(original) else {
            return refuse(1, "no such order");
        };
        if self.context.find(name).is_some() {
            return refuse(6, "an order with this ClOrdID is known already");
        }
        let known = self.context.orders.get(replaced);
        let differs = known.is_some_and(|order| {
            side != order.side
                || self.fields.get(tags::SYMBOL).is_some_and(|symbol| symbol != order.symbol.text())
        });
        let (price, (time_in_force, least)) = match (price, time) {
            _ if differs => return refuse(99, "symbol and side are those of the order"),
            (Ok(price), Ok(time)) => (price, time),
            (Err(text), _) | (_, Err(text)) => return refuse(99, text),
        };
        let options = match self.options(least)? {
            Ok(options) => options,
            Err(text) => return refuse(99, text),
        };
        let Some(user_ref_num) = self.context.number(needs_note(name)) else {
            return refuse(99, "this client has used all numbers of orders");
        };
        let order = ReplaceOrder {
            original: replaced,
            user_ref_num,
            quantity,
            price,
            time_in_force,
            display: Display::Visible,
            is_sweep: false,
            cl_ord_id: short_name(name),
            options,
        };
        Self::entered(Inbound::ReplaceOrder(order), name, needs_note(name), Some(user_ref_num))
    }

    fn cancel(&self) -> Result<EnteredRequest, EntryRefusal> {
        let (name, original) = (self.name(tags::CL_ORD_ID)?, self.name(tags::ORIG_CL_ORD_ID)?);
        let Some(user_ref_num) = self.context.find(original) else {
            return Err(EntryRefusal::Answer(self.cancel_rejected(1, "no such order")));
        };
        let cancel = CancelOrder { user_ref_num, quantity: 0, options: Options::NONE };
        // A cancel of OUCH 5.0 has no identifier of its own.
        Self::entered(Inbound::CancelOrder(cancel), name, true, None)
    }

    fn entered(
        message: Inbound,
        name: &[u8],
        has_note: bool,
        number: Option<u32>,
    ) -> Result<EnteredRequest, EntryRefusal> {
        let mut payload = Vec::new();
        let written: Result<usize, OuchError> = message.append(&mut payload);
        written.map_err(|_| wrong(tags::MSG_TYPE, INCORRECT, "the request cannot be written as OUCH 5.0"))?;
        let order = number.map(|number| (number, name.to_vec()));
        Ok(EnteredRequest { name: has_note.then(|| name.to_vec()), order, payload })
    }

    /// An execution report that rejects an order; the gateway that sends it adds ExecID and time.
    fn rejected(&self, reason: u32, text: &str) -> Vec<u8> {
        let out = &mut b"35=8\x01".to_vec();
        let copy = |out: &mut Vec<u8>, tag| {
            if let Some(value) = self.fields.get(tag) {
                // A note has room for this many bytes.
                put_text(out, tag, &value[..value.len().min(CL_ORD_ID_LEN_MAX)]);
            }
        };
        put(out, tags::ORDER_ID, "NONE");
        copy(out, tags::CL_ORD_ID);
        put(out, tags::EXEC_TYPE, '8');
        put(out, tags::ORD_STATUS, '8');
        put(out, tags::ORD_REJ_REASON, reason);
        [tags::SYMBOL, tags::SIDE, tags::ORDER_QTY, tags::ORD_TYPE, tags::PRICE, tags::TIME_IN_FORCE]
            .iter()
            .for_each(|tag| copy(out, *tag));
        put(out, tags::LEAVES_QTY, 0);
        put(out, tags::CUM_QTY, 0);
        put(out, tags::AVG_PX, 0);
        put_text(out, tags::TEXT, text.as_bytes());
        std::mem::take(out)
    }

    /// An order cancel reject.
    fn cancel_rejected(&self, reason: u32, text: &str) -> Vec<u8> {
        let out = &mut b"35=9\x01".to_vec();
        let original = self.fields.get(tags::ORIG_CL_ORD_ID).unwrap_or(b"NONE");
        let order = self.context.find(original).and_then(|number| self.context.orders.get(number));
        match order.map(|order| order.reference) {
            Some(reference) if reference > 0 => put(out, tags::ORDER_ID, reference),
            _ => put(out, tags::ORDER_ID, "NONE"),
        }
        put_text(out, tags::CL_ORD_ID, self.fields.get(tags::CL_ORD_ID).unwrap_or(b"NONE"));
        put_text(out, tags::ORIG_CL_ORD_ID, original);
        put(out, tags::ORD_STATUS, order.map_or("8", |order| order.status()));
        let is_replacement = self.fields.kind() == tags::ORDER_CANCEL_REPLACE_REQUEST;
        put(out, tags::CXL_REJ_RESPONSE_TO, if is_replacement { '2' } else { '1' });
        put(out, tags::CXL_REJ_REASON, reason);
        put_text(out, tags::TEXT, text.as_bytes());
        std::mem::take(out)
    }
}

/// Whether OUCH 5.0 has no room for a ClOrdID.
fn needs_note(name: &[u8]) -> bool {
    name.len() > ClOrdId::BLANK.as_bytes().len()
}

/// As much of a ClOrdID as fits OUCH 5.0.
fn short_name(name: &[u8]) -> ClOrdId {
    let len = name.len().min(ClOrdId::BLANK.as_bytes().len());
    ClOrdId::new(&name[..len]).unwrap_or(ClOrdId::BLANK)
}
