//! # ouch50: Nasdaq OUCH 5.0, without IO
//!
//! A client enters, replaces, modifies and cancels orders; the venue accepts, rejects and executes them.
//! [`Inbound`] has the client's messages and [`Outbound`] the venue's. One letter may be a message in each
//! direction, so a direction is read by its own `parse`.
//!
//! ```text
//!  0      1             n        n + 2
//!  ┌──────┬─────────────┬────────┬──────────────────────────┐
//!  │ type │ fields …    │ length │ length, tag, value │ …   │   binary numbers big-endian
//!  └──────┴─────────────┴────────┴──────────────────────────┘
//! ```
//!
//! A message is a small `Copy` struct; each of its fields stands at an offset that is written beside it, and
//! the compiler checks that they follow one another. Behind the fields [`Options`] has the 26 optional ones.
//! A transport such as SoupBinTCP delimits messages: `parse` takes exactly one and refuses a byte too many.
//!
//! Everything that is read is checked: lengths, codes against the specification's lists, texts for printable
//! ASCII, options against those that the message takes. A refusal names field, offset and value;
//! [`OrderName::peek`] and [`OuchError::reject_reason`] have what a venue answers a malformed order with.
//! Whether a quantity, a price or a time is possible is the venue's rule, and not judged. Nothing that a peer
//! sends makes this crate panic, and what was written is read as the same value.
//!
//! The specification is Nasdaq's "OUCH 5.0", revision 1.05 of October 2025; the numbers in brackets are its
//! sections. Where earlier editions or other codecs differ, the type says what is done. There is no
//! dependency and no `unsafe`.
//!
//! ```
//! use ouch50::codes::{Capacity, CrossType, Display, RejectReason, Side, TimeInForce};
//! use ouch50::{ClOrdId, EnterOrder, Inbound, Options, OrderName, Price, Symbol};
//!
//! let order = EnterOrder {
//!     user_ref_num: 1,
//!     side: Side::Buy,
//!     quantity: 100,
//!     symbol: Symbol::new(b"ABC")?,
//!     price: Price(1_503_400), // 150.34 dollars
//!     time_in_force: TimeInForce::Day,
//!     display: Display::Visible,
//!     capacity: Capacity::Agency,
//!     is_sweep: false,
//!     cross_type: CrossType::Continuous,
//!     cl_ord_id: ClOrdId::new(b"FIRST")?,
//!     options: Options { min_quantity: Some(50), ..Options::NONE },
//! };
//! let mut out = Vec::new();
//! assert_eq!(order.append(&mut out)?, 45 + 2 + 6);
//! assert_eq!(Inbound::parse(&out), Ok(Inbound::EnterOrder(order)));
//!
//! out[5] = b'X';
//! let error = Inbound::parse(&out).expect_err("no side");
//! assert!(error.to_string().starts_with("message 'O': side at byte 5 is 0x58"));
//! assert_eq!(error.reject_reason(), RejectReason::InvalidSide);
//! assert_eq!(OrderName::peek(&out).map(|order| order.user_ref_num), Some(1));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![forbid(unsafe_code)]

mod attributes;
pub mod codes;
mod error;
mod field;
mod inbound;
mod layout;
mod options;
mod outbound;
mod reasons;
mod rejects;
mod self_match;

pub use codes::{RejectReason, Side};
pub use error::OuchError;
pub use field::{Alpha, ClOrdId, Firm, Price, SignedPrice, Symbol, TextError};
pub use inbound::{
    AccountQuery, CancelOrder, DisableOrderEntry, EnableOrderEntry, EnterOrder, Inbound, MassCancel,
    ModifyOrder, OrderName, ReplaceOrder,
};
pub use options::{Options, TagSet};
pub use outbound::{
    Accepted, AccountResponse, AiqCanceled, BrokenTrade, CancelPending, CancelReject, Canceled,
    DisableResponse, EnableResponse, Executed, MassCancelResponse, Modified, Outbound, PriorityUpdate,
    Rejected, Replaced, Restated, SystemEvent,
};
