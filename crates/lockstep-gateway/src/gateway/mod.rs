//! # gateway: order-entry clients of SoupBinTCP and FIX on the stream
//!
//! A client has its own publisher and its own destination. Everything that a gateway knows about it follows
//! from the stream ([`lockstep_core::engine::clients`], [`ledger`]). So any gateway can continue any client's
//! session at any number, and nothing is replicated between gateways.

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
