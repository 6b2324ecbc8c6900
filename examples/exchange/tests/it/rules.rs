//! Each rule of the exchange by itself, as a trader would tell it. `model.rs` tries them together.

mod auctions;
mod bands;
mod floor;
mod limits;
mod operators;
mod order_types;
mod priority;
mod self_match;
mod stops;
