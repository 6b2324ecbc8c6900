//! # lockstep-gateway: the rules of gateway and feed
//!
//! The programs that speak other protocols at the edge of the stream: [`gateway`] (SoupBinTCP, by the crate
//! `soupbintcp`, and [`fix`]) and [`feed`] (MoldUDP64, by the crate `moldudp64`), and their [`calendar`] of
//! days. All are sans-IO: bytes and `now` are arguments, bytes to send are appended to the owner's buffer,
//! and no input of a peer makes them panic or grow without a bound.

#![forbid(unsafe_code)]

pub mod calendar;
pub mod feed;
pub mod fix;
pub mod gateway;
