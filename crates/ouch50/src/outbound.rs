//! Messages from the venue to the client (3). Times are nanoseconds since midnight.

use crate::codes::{
    AiqStrategy, BrokenTradeReason, CancelReason, Capacity, CrossType, Display, EventCode, LiquidityFlag,
    OrderState, RejectReason, RestateReason, Side, TimeInForce,
};
use crate::field::{ClOrdId, Firm, Price, Symbol};
use crate::layout::{direction, layout};
use crate::options::Options;

/// `S`: an event of the whole day (3.1 "System Event").
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SystemEvent {
    /// When.
    pub time_ns: u64,
    /// The event.
    pub event: EventCode,
}
layout!(SystemEvent b'S' 10 { 1 time_ns, 9 event });

/// `A`: an order was accepted (3.2 "Order Accepted"). Values may differ from those that were entered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Accepted {
    /// When.
    pub time_ns: u64,
    /// The order's number.
    pub user_ref_num: u32,
    /// Buy or sell.
    pub side: Side,
    /// Shares.
    pub quantity: u32,
    /// The symbol.
    pub symbol: Symbol,
    /// The price, which may be better for the market than the entered one.
    pub price: Price,
    /// How long it lives.
    pub time_in_force: TimeInForce,
    /// How it is displayed.
    pub display: Display,
    /// The venue's own number of the order, unique on its day; that of the market data.
    pub reference: u64,
    /// For whose account.
    pub capacity: Capacity,
    /// As entered.
    pub is_sweep: bool,
    /// For which market or cross.
    pub cross_type: CrossType,
    /// Whether it lives.
    pub state: OrderState,
    /// The client's own name of it.
    pub cl_ord_id: ClOrdId,
    /// Those that were accepted, and route and weight. Revision 1.05 does not list the broker of located
    /// shares, though an order may have it; so it is refused here.
    pub options: Options,
}
layout!(Accepted b'A' 62 {
    1 time_ns,
    9 user_ref_num,
    13 side,
    14 quantity,
    18 symbol,
    26 price,
    34 time_in_force,
    35 display,
    36 reference,
    44 capacity,
    45 is_sweep,
    46 cross_type,
    47 state,
    48 cl_ord_id,
} options Required [2 3 4 5 6 7 9 10 11 12 13 14 15 16 17 18 24 25 28 29 30]);

/// `U`: an order took the place of another (3.3 "Order Replaced").
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Replaced {
    /// When.
    pub time_ns: u64,
    /// The number of the order that is replaced.
    pub original: u32,
    /// The number of the order that took its place.
    pub user_ref_num: u32,
    /// Buy or sell.
    pub side: Side,
    /// Shares that are left.
    pub quantity: u32,
    /// The symbol.
    pub symbol: Symbol,
    /// The price, which may be better for the market than the entered one.
    pub price: Price,
    /// How long it lives.
    pub time_in_force: TimeInForce,
    /// How it is displayed.
    pub display: Display,
    /// The venue's own number of the order.
    pub reference: u64,
    /// For whose account.
    pub capacity: Capacity,
    /// As entered.
    pub is_sweep: bool,
    /// For which market or cross.
    pub cross_type: CrossType,
    /// Whether it lives.
    pub state: OrderState,
    /// The client's own name of it.
    pub cl_ord_id: ClOrdId,
    /// Those that were accepted, and weight. Revision 1.05 lists fewer than a replacement may have.
    pub options: Options,
}
layout!(Replaced b'U' 66 {
    1 time_ns,
    9 original,
    13 user_ref_num,
    17 side,
    18 quantity,
    22 symbol,
    30 price,
    38 time_in_force,
    39 display,
    40 reference,
    48 capacity,
    49 is_sweep,
    50 cross_type,
    51 state,
    52 cl_ord_id,
} options Required [2 3 5 6 12 15 16 17 18 28 29 30]);

/// `C`: an order has fewer shares or none (3.4 "Order Canceled").
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Canceled {
    /// When.
    pub time_ns: u64,
    /// The order.
    pub user_ref_num: u32,
    /// Shares that were taken off it now.
    pub quantity: u32,
    /// Why.
    pub reason: CancelReason,
    /// The channel.
    pub options: Options,
}
layout!(Canceled b'C' 18 { 1 time_ns, 9 user_ref_num, 13 quantity, 17 reason } options Optional [28]);

/// `D`: an order has fewer shares instead of an execution with an own order (3.5 "AIQ Canceled"). An edition
/// of 2023 ends before the strategy, at byte 31; revision 1.05 has it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AiqCanceled {
    /// When.
    pub time_ns: u64,
    /// The order.
    pub user_ref_num: u32,
    /// Shares that were taken off it now.
    pub quantity: u32,
    /// [`CancelReason::SelfMatch`], always.
    pub reason: CancelReason,
    /// Shares that would have executed.
    pub prevented: u32,
    /// At which price.
    pub price: Price,
    /// With which flag.
    pub liquidity: LiquidityFlag,
    /// By which strategy.
    pub aiq_strategy: AiqStrategy,
    /// The channel.
    pub options: Options,
}
layout!(AiqCanceled b'D' 32 {
    1 time_ns,
    9 user_ref_num,
    13 quantity,
    17 reason if CancelReason::is_self_match,
    18 prevented,
    22 price,
    30 liquidity,
    31 aiq_strategy,
} options Optional [28]);

/// `E`: shares of an order were executed (3.6 "Order Executed"). An edition of 2023 has a reference price as
/// options 19 and 20; revision 1.05 does not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Executed {
    /// When.
    pub time_ns: u64,
    /// The order.
    pub user_ref_num: u32,
    /// Shares of this execution.
    pub quantity: u32,
    /// The price.
    pub price: Price,
    /// What it was.
    pub liquidity: LiquidityFlag,
    /// The execution; both sides have the same number.
    pub match_number: u64,
    /// The channel. The appendage's length follows even without it: the specification does not mark it as
    /// optional here, as it does elsewhere.
    pub options: Options,
}
layout!(Executed b'E' 34 {
    1 time_ns,
    9 user_ref_num,
    13 quantity,
    17 price,
    25 liquidity,
    26 match_number,
} options Required [28]);

/// `B`: an execution does not count (3.7 "Broken Trade").
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BrokenTrade {
    /// When.
    pub time_ns: u64,
    /// The order.
    pub user_ref_num: u32,
    /// The execution.
    pub match_number: u64,
    /// Why.
    pub reason: BrokenTradeReason,
    /// The client's own name of the order.
    pub cl_ord_id: ClOrdId,
    /// The channel.
    pub options: Options,
}
layout!(BrokenTrade b'B' 36 {
    1 time_ns,
    9 user_ref_num,
    13 match_number,
    21 reason,
    22 cl_ord_id,
} options Optional [28]);

/// `J`: an order or a replacement was not accepted (3.8 "Rejected").
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rejected {
    /// When.
    pub time_ns: u64,
    /// The order's number, which may not be used again.
    pub user_ref_num: u32,
    /// Why.
    pub reason: RejectReason,
    /// The client's own name of the order.
    pub cl_ord_id: ClOrdId,
    /// The channel.
    pub options: Options,
}
layout!(Rejected b'J' 29 { 1 time_ns, 9 user_ref_num, 13 reason, 15 cl_ord_id } options Optional [28]);

/// `P`: an order of a cross will be canceled behind the cross (3.9 "Cancel Pending").
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CancelPending {
    /// When.
    pub time_ns: u64,
    /// The order.
    pub user_ref_num: u32,
    /// The channel.
    pub options: Options,
}
layout!(CancelPending b'P' 13 { 1 time_ns, 9 user_ref_num } options Optional [28]);

/// `I`: an order of a cross is not reduced (3.10 "Cancel Reject").
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CancelReject {
    /// When.
    pub time_ns: u64,
    /// The order.
    pub user_ref_num: u32,
    /// The channel.
    pub options: Options,
}
layout!(CancelReject b'I' 13 { 1 time_ns, 9 user_ref_num } options Optional [28]);

/// `T`: the system gave an order another place (3.11 "Order Priority Update").
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PriorityUpdate {
    /// When.
    pub time_ns: u64,
    /// The order.
    pub user_ref_num: u32,
    /// Its price.
    pub price: Price,
    /// How it is displayed.
    pub display: Display,
    /// The venue's own new number of it.
    pub reference: u64,
    /// The channel.
    pub options: Options,
}
layout!(PriorityUpdate b'T' 30 {
    1 time_ns,
    9 user_ref_num,
    13 price,
    21 display,
    22 reference,
} options Optional [28]);

/// `M`: an order changed and stayed in its place (3.12 "Order Modified").
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Modified {
    /// When.
    pub time_ns: u64,
    /// The order.
    pub user_ref_num: u32,
    /// Its side.
    pub side: Side,
    /// Shares that are left.
    pub quantity: u32,
    /// The channel, and located shares.
    pub options: Options,
}
layout!(Modified b'M' 18 { 1 time_ns, 9 user_ref_num, 13 side, 14 quantity } options Optional [25 26 28]);

/// `R`: the system changed how an order is displayed (3.13 "Order Restated").
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Restated {
    /// When.
    pub time_ns: u64,
    /// The order.
    pub user_ref_num: u32,
    /// Why.
    pub reason: RestateReason,
    /// Displayed quantity and price, the reference in the market data, and the channel.
    pub options: Options,
}
layout!(Restated b'R' 14 { 1 time_ns, 9 user_ref_num, 13 reason } options Required [1 22 23 28]);

/// `X`: a mass cancel was accepted (3.14 "Mass Cancel Response"). A message `C` follows for each order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MassCancelResponse {
    /// When.
    pub time_ns: u64,
    /// The request's number.
    pub user_ref_num: u32,
    /// The firm with the orders.
    pub firm: Firm,
    /// Which symbol; blank: every one.
    pub symbol: Symbol,
    /// Group, side and channel.
    pub options: Options,
}
layout!(MassCancelResponse b'X' 25 {
    1 time_ns,
    9 user_ref_num,
    13 firm,
    17 symbol,
} options Required [24 27 28]);

/// `G`: the firm enters no orders (3.15 "Disable Order Entry Response").
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DisableResponse {
    /// When.
    pub time_ns: u64,
    /// The request's number.
    pub user_ref_num: u32,
    /// The firm.
    pub firm: Firm,
    /// The channel.
    pub options: Options,
}
layout!(DisableResponse b'G' 17 { 1 time_ns, 9 user_ref_num, 13 firm } options Required [28]);

/// `K`: the firm enters orders again (3.16 "Enable Order Entry Response").
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EnableResponse {
    /// When.
    pub time_ns: u64,
    /// The request's number.
    pub user_ref_num: u32,
    /// The firm.
    pub firm: Firm,
    /// The channel.
    pub options: Options,
}
layout!(EnableResponse b'K' 17 { 1 time_ns, 9 user_ref_num, 13 firm } options Required [28]);

/// `Q`: the next number of an order (3.17 "Account Query Response").
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AccountResponse {
    /// When.
    pub time_ns: u64,
    /// The least number that the account, or its channel, may use next.
    pub next_user_ref_num: u32,
    /// The channel.
    pub options: Options,
}
layout!(AccountResponse b'Q' 13 { 1 time_ns, 9 next_user_ref_num } options Optional [28]);

/// A message from the venue to the client. It travels as sequenced data of SoupBinTCP. An edition of 2023
/// also has `F`, a trade correction; revision 1.05 does not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outbound {
    /// `S`.
    SystemEvent(SystemEvent),
    /// `A`.
    Accepted(Accepted),
    /// `U`.
    Replaced(Replaced),
    /// `C`.
    Canceled(Canceled),
    /// `D`.
    AiqCanceled(AiqCanceled),
    /// `E`.
    Executed(Executed),
    /// `B`.
    BrokenTrade(BrokenTrade),
    /// `J`.
    Rejected(Rejected),
    /// `P`.
    CancelPending(CancelPending),
    /// `I`.
    CancelReject(CancelReject),
    /// `T`.
    PriorityUpdate(PriorityUpdate),
    /// `M`.
    Modified(Modified),
    /// `R`.
    Restated(Restated),
    /// `X`.
    MassCancelResponse(MassCancelResponse),
    /// `G`.
    DisableResponse(DisableResponse),
    /// `K`.
    EnableResponse(EnableResponse),
    /// `Q`.
    AccountResponse(AccountResponse),
}
direction!(Outbound {
    SystemEvent,
    Accepted,
    Replaced,
    Canceled,
    AiqCanceled,
    Executed,
    BrokenTrade,
    Rejected,
    CancelPending,
    CancelReject,
    PriorityUpdate,
    Modified,
    Restated,
    MassCancelResponse,
    DisableResponse,
    EnableResponse,
    AccountResponse,
});
