//! # gateway: order-entry clients of SoupBinTCP and FIX on the stream
//!
//! A client is a publisher of its own and a destination of its own. Everything that a gateway knows of it
//! follows from the stream ([`lockstep_core::engine::clients`], [`ledger`]), so any gateway continues any
//! client's session at any number, and nothing is replicated between gateways.

mod allowance;
mod audit;
mod conn;
pub mod core;
pub mod desk;
pub mod ledger;
pub mod locks;
pub mod passwords;
pub mod pending;
mod per_address;
mod protocol;
pub mod users;
