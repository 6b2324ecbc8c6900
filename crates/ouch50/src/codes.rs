//! Enumerated fields. The value sets are those of the specification's revision 1.05 of October 2025; where an
//! earlier edition or another codec has others, the type says so.

pub use crate::attributes::{
    BboWeight, Capacity, CrossType, CustomerType, DiscretionPriceType, Display, EventCode, HandleInst,
    OrderState, PostOnly, PriceType, Side, TimeInForce, TradeNow,
};
pub use crate::reasons::{BrokenTradeReason, CancelReason, LiquidityFlag, RestateReason};
pub use crate::rejects::RejectReason;
pub use crate::self_match::AiqStrategy;
