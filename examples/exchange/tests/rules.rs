//! Each rule of the exchange by itself, as a trader would tell it. `model.rs` tries them together.

#[path = "rules/auctions.rs"]
mod auctions;
#[path = "rules/bands.rs"]
mod bands;
#[path = "rules/floor.rs"]
mod floor;
#[path = "rules/limits.rs"]
mod limits;
#[path = "rules/operators.rs"]
mod operators;
#[path = "rules/order_types.rs"]
mod order_types;
#[path = "rules/priority.rs"]
mod priority;
#[path = "rules/self_match.rs"]
mod self_match;
#[path = "rules/stops.rs"]
mod stops;
