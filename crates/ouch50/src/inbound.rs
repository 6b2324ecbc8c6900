//! Messages from the client to the venue (2).

use crate::codes::{Capacity, CrossType, Display, Side, TimeInForce};
use crate::field::{ClOrdId, Firm, Price, Symbol};
use crate::layout::{direction, layout};
use crate::options::Options;

/// `O`: a new order (2.1 "Enter Order").
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EnterOrder {
    /// The order's number: each of an account, or of one of its channels, is above the one before on a day.
    pub user_ref_num: u32,
    /// Buy or sell.
    pub side: Side,
    /// Shares; a venue takes 1 to 999,999.
    pub quantity: u32,
    /// The symbol.
    pub symbol: Symbol,
    /// The limit, or one of the two prices of market orders.
    pub price: Price,
    /// How long it lives.
    pub time_in_force: TimeInForce,
    /// How it is displayed; not [`Display::Conformant`].
    pub display: Display,
    /// For whose account.
    pub capacity: Capacity,
    /// The client has swept the better prices of other markets ("InterMarket Sweep Eligibility").
    pub is_sweep: bool,
    /// For which market or cross.
    pub cross_type: CrossType,
    /// The client's own name of it.
    pub cl_ord_id: ClOrdId,
    /// All but those of the venue's answers, and side.
    pub options: Options,
}
layout!(EnterOrder b'O' 45 {
    1 user_ref_num,
    5 side,
    6 quantity,
    10 symbol,
    18 price,
    26 time_in_force,
    27 display if Display::is_entered,
    28 capacity,
    29 is_sweep,
    30 cross_type,
    31 cl_ord_id,
} options Required [2 3 4 5 6 7 9 10 11 12 13 15 16 17 24 25 26 28 29 30]);

/// `U`: an order takes the place of another (2.2 "Replace Order Request"). Firm and group stay.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReplaceOrder {
    /// The number of the order that is replaced.
    pub original: u32,
    /// The number of the order that takes its place: a new one.
    pub user_ref_num: u32,
    /// Shares of all orders of the chain together, executed ones included.
    pub quantity: u32,
    /// The limit, or one of the two prices of market orders.
    pub price: Price,
    /// How long it lives; not [`TimeInForce::AfterHours`].
    pub time_in_force: TimeInForce,
    /// How it is displayed; not [`Display::Conformant`].
    pub display: Display,
    /// As of an entered order.
    pub is_sweep: bool,
    /// The client's own name of it.
    pub cl_ord_id: ClOrdId,
    /// Those of an entered order without firm, customer type and group, and side.
    pub options: Options,
}
layout!(ReplaceOrder b'U' 38 {
    1 original,
    5 user_ref_num,
    9 quantity,
    13 price,
    21 time_in_force if TimeInForce::is_replaceable,
    22 display if Display::is_entered,
    23 is_sweep,
    24 cl_ord_id,
} options Required [3 5 6 7 9 10 11 12 13 15 16 17 25 26 27 28 29 30]);

/// `X`: an order is canceled or reduced (2.3 "Cancel Order Request").
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CancelOrder {
    /// The order.
    pub user_ref_num: u32,
    /// Its new size, executed shares included; 0 cancels the rest.
    pub quantity: u32,
    /// The channel.
    pub options: Options,
}
layout!(CancelOrder b'X' 9 { 1 user_ref_num, 5 quantity } options Optional [28]);

/// `M`: an order changes and stays in its place (2.4 "Modify Order Request").
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ModifyOrder {
    /// The order.
    pub user_ref_num: u32,
    /// Its new side; a venue takes changes between the three that sell.
    pub side: Side,
    /// Its new size, executed shares included; not more than before.
    pub quantity: u32,
    /// The channel, and located shares.
    pub options: Options,
}
layout!(ModifyOrder b'M' 10 { 1 user_ref_num, 5 side, 6 quantity } options Optional [25 26 28]);

/// `C`: all orders that match are canceled (2.5 "Mass Cancel Request").
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MassCancel {
    /// The request's number, as of an order.
    pub user_ref_num: u32,
    /// The firm with the orders.
    pub firm: Firm,
    /// Which symbol; blank: every one.
    pub symbol: Symbol,
    /// Group, side and channel.
    pub options: Options,
}
layout!(MassCancel b'C' 17 { 1 user_ref_num, 5 firm, 9 symbol } options Required [24 27 28]);

/// `D`: the firm enters no orders until it is enabled (2.6 "Disable Order Entry Request").
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DisableOrderEntry {
    /// The request's number, as of an order.
    pub user_ref_num: u32,
    /// The firm.
    pub firm: Firm,
    /// The channel.
    pub options: Options,
}
layout!(DisableOrderEntry b'D' 9 { 1 user_ref_num, 5 firm } options Required [28]);

/// `E`: the firm enters orders again (2.7 "Enable Order Entry Request").
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EnableOrderEntry {
    /// The request's number, as of an order.
    pub user_ref_num: u32,
    /// The firm.
    pub firm: Firm,
    /// The channel.
    pub options: Options,
}
layout!(EnableOrderEntry b'E' 9 { 1 user_ref_num, 5 firm } options Required [28]);

/// `Q`: asks for the next number of an order (2.8 "Account Query Request").
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct AccountQuery {
    /// The channel.
    pub options: Options,
}
layout!(AccountQuery b'Q' 1 {} options Optional [28]);

/// A message from the client to the venue. It travels as unsequenced data of SoupBinTCP.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Inbound {
    /// `O`.
    EnterOrder(EnterOrder),
    /// `U`.
    ReplaceOrder(ReplaceOrder),
    /// `X`.
    CancelOrder(CancelOrder),
    /// `M`.
    ModifyOrder(ModifyOrder),
    /// `C`.
    MassCancel(MassCancel),
    /// `D`.
    DisableOrderEntry(DisableOrderEntry),
    /// `E`.
    EnableOrderEntry(EnableOrderEntry),
    /// `Q`.
    AccountQuery(AccountQuery),
}
direction!(Inbound {
    EnterOrder,
    ReplaceOrder,
    CancelOrder,
    ModifyOrder,
    MassCancel,
    DisableOrderEntry,
    EnableOrderEntry,
    AccountQuery,
});

/// What the rejection of an order repeats of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OrderName {
    /// The order's number.
    pub user_ref_num: u32,
    /// The client's own name of it; blank where it is not printable.
    pub cl_ord_id: ClOrdId,
}

impl OrderName {
    /// Of an entered order or a replacement that may be malformed: so that [`Inbound::parse`]'s refusal can
    /// be answered. `None` for other messages, which no rejection answers, and where bytes are missing.
    pub fn peek(bytes: &[u8]) -> Option<Self> {
        let (number_at, name_at, len) = match *bytes.first()? {
            EnterOrder::KIND => (1, 31, EnterOrder::FIXED_LEN),
            ReplaceOrder::KIND => (5, 24, ReplaceOrder::FIXED_LEN),
            _ => return None,
        };
        let fixed = bytes.get(..len)?;
        let number = fixed[number_at..].first_chunk()?;
        let cl_ord_id = ClOrdId::new(&fixed[name_at..len]).unwrap_or(ClOrdId::BLANK);
        Some(Self { user_ref_num: u32::from_be_bytes(*number), cl_ord_id })
    }
}
