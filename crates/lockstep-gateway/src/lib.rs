//! # edge: other people's protocols
//!
//! What lockstep speaks to programs that do not know it: [`soup`] (SoupBinTCP, a session over TCP) and
//! [`mold`] (MoldUDP64, messages over multicast); and the rules of the programs that stand there: [`gateway`],
//! [`feed`], [`calendar`], and [`exchange`], an application behind them. All are sans-IO: bytes and `now` are arguments, what is to
//! be sent is appended to the owner's buffer, and nothing that a peer sends makes them panic or grow without
//! a bound.
//!
//! ```text
//!  bytes ─▶ packet (codec) ─▶ server or client (one peer's machine) ─event─▶ owner
//! ```
//!
//! Where the specifications are silent and implementations disagree, this takes the stricter reading that
//! still accepts what real peers send, and says so beside the code. Both protocols are big-endian and carry
//! their texts in blank-padded fields, which are compared without their blanks ([`Field`]).

#![forbid(unsafe_code)]

pub mod calendar;
pub mod exchange;
pub mod feed;
mod field;
pub mod gateway;
pub mod mold;
pub mod soup;

pub use field::{Field, FieldError, Session, Text};
