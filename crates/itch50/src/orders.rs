//! Messages about displayed orders (1.3 and 1.4). An order is known by its reference alone; behind the add no
//! message repeats side, symbol or price.

use crate::codes::Side;
use crate::field::{Head, Mpid, Price4, Stock, layout};

/// `A`: an order is on the book (1.3.1 "Add Order – No MPID Attribution").
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AddOrder {
    /// The instrument.
    pub head: Head,
    /// The order, unique on its day.
    pub reference: u64,
    /// Buy or sell.
    pub side: Side,
    /// Displayed shares.
    pub shares: u32,
    /// The symbol.
    pub stock: Stock,
    /// The displayed price.
    pub price: Price4,
}
layout!(AddOrder b'A' 36 { 1 head, 11 reference, 19 side, 20 shares, 24 stock, 32 price });

/// `F`: an order of a named participant is on the book (1.3.2 "Add Order with MPID Attribution").
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AttributedOrder {
    /// The instrument.
    pub head: Head,
    /// The order, unique on its day.
    pub reference: u64,
    /// Buy or sell.
    pub side: Side,
    /// Displayed shares.
    pub shares: u32,
    /// The symbol.
    pub stock: Stock,
    /// The displayed price.
    pub price: Price4,
    /// The participant.
    pub attribution: Mpid,
}
layout!(AttributedOrder b'F' 40 {
    1 head,
    11 reference,
    19 side,
    20 shares,
    24 stock,
    32 price,
    36 attribution,
});

/// `E`: shares of an order were executed at its displayed price (1.4.1 "Order Executed").
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OrderExecuted {
    /// The instrument.
    pub head: Head,
    /// The order.
    pub reference: u64,
    /// Shares of this execution.
    pub shares: u32,
    /// The execution, unique on its day.
    pub match_number: u64,
}
layout!(OrderExecuted b'E' 31 { 1 head, 11 reference, 19 shares, 23 match_number });

/// `C`: shares of an order were executed at another price (1.4.2 "Order Executed With Price").
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OrderExecutedAtPrice {
    /// The instrument.
    pub head: Head,
    /// The order.
    pub reference: u64,
    /// Shares of this execution.
    pub shares: u32,
    /// The execution, unique on its day.
    pub match_number: u64,
    /// It counts in volumes and on tapes; a cross's part does not, as the cross trade counts it.
    pub is_printable: bool,
    /// The price.
    pub price: Price4,
}
layout!(OrderExecutedAtPrice b'C' 36 {
    1 head,
    11 reference,
    19 shares,
    23 match_number,
    31 is_printable,
    32 price,
});

/// `X`: an order has fewer shares (1.4.3 "Order Cancel").
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OrderCancel {
    /// The instrument.
    pub head: Head,
    /// The order.
    pub reference: u64,
    /// Shares that are taken off it.
    pub shares: u32,
}
layout!(OrderCancel b'X' 23 { 1 head, 11 reference, 19 shares });

/// `D`: an order is off the book (1.4.4 "Order Delete").
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OrderDelete {
    /// The instrument.
    pub head: Head,
    /// The order.
    pub reference: u64,
}
layout!(OrderDelete b'D' 19 { 1 head, 11 reference });

/// `U`: an order takes the place of another, whose side, symbol and attribution it has (1.4.5 "Order
/// Replace").
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OrderReplace {
    /// The instrument.
    pub head: Head,
    /// The order that is off the book.
    pub original: u64,
    /// The order that is on it.
    pub reference: u64,
    /// Displayed shares.
    pub shares: u32,
    /// The displayed price.
    pub price: Price4,
}
layout!(OrderReplace b'U' 35 { 1 head, 11 original, 19 reference, 27 shares, 31 price });
