//! # itch50: Nasdaq TotalView-ITCH 5.0, without IO
//!
//! A venue's market data: instruments, every displayed order from its add to its end, trades, crosses, halts.
//! [`Message`] has all of it, in both directions: what a feed sends and what a receiver reads. [`glimpse`]
//! has the message that ends a GLIMPSE 5.0 snapshot.
//!
//! ```text
//!  0      1        3          5        11
//!  ┌──────┬────────┬──────────┬────────┬─────────┐
//!  │ type │ locate │ tracking │ time   │ body …  │   binary numbers big-endian; the type decides the length
//!  └──────┴────────┴──────────┴────────┴─────────┘
//! ```
//!
//! A message is a small `Copy` struct; each of its fields stands at an offset that is written beside it, and
//! the compiler checks that they follow one another. A transport such as MoldUDP64 or SoupBinTCP delimits
//! messages: `parse` takes exactly one and refuses a byte too many.
//!
//! Everything that is read is checked: length, one-letter codes against the specification's lists, texts for
//! printable ASCII. A refusal names field, offset and value. Nothing that a peer sends makes
//! this crate panic, and what was parsed is written back byte for byte. Two lists of longer codes, reasons of
//! trading actions and sub-types of issues, grow by notice and are texts here.
//!
//! The specification is Nasdaq's "TotalView-ITCH 5.0" in its revision of February 2026; the numbers in
//! brackets are its sections. Where it and other parsers differ, the field says what is done. There is no
//! dependency and no `unsafe`.
//!
//! ```
//! use itch50::{AddOrder, Head, Message, Price4, Side, Stock, Timestamp};
//!
//! let add = AddOrder {
//!     head: Head { locate: 7, tracking: 0, time: Timestamp::new(34_200_000_000_000).expect("half past nine") },
//!     reference: 42,
//!     side: Side::Buy,
//!     shares: 100,
//!     stock: Stock::new(b"ABC")?,
//!     price: Price4(1_503_400),
//! };
//! let mut out = Vec::new();
//! assert_eq!(Message::from(add).append(&mut out), AddOrder::LEN);
//! assert_eq!(Message::parse(&out), Ok(Message::AddOrder(add)));
//! assert_eq!(add.price.to_string(), "150.3400");
//!
//! out[19] = b'X';
//! let error = Message::parse(&out).expect_err("no side");
//! assert!(error.to_string().starts_with("message 'A': side at byte 19 is 'X' (0x58)"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![forbid(unsafe_code)]

mod admin;
pub mod codes;
mod error;
mod field;
pub mod glimpse;
mod message;
mod orders;
mod trades;

pub use admin::{
    AuctionCollar, DeclineBreach, DeclineLevels, IpoQuotation, OperationalHalt, ParticipantPosition,
    ShortSaleRestriction, StockDirectory, SystemEvent, TradingAction,
};
pub use codes::{EventCode, Side};
pub use error::ItchError;
pub use field::{Alpha, Head, Mpid, Price4, Price8, Stock, TextError, Timestamp};
pub use glimpse::{EndOfSnapshot, SnapshotMessage};
pub use message::{MESSAGE_LEN_MAX, Message};
pub use orders::{
    AddOrder, AttributedOrder, OrderCancel, OrderDelete, OrderExecuted, OrderExecutedAtPrice, OrderReplace,
};
pub use trades::{BrokenTrade, CrossTrade, Imbalance, PriceDiscovery, RetailInterest, Trade};
