//! Searches beside those of the cards: other models, requests or properties.

mod byzantine;
mod isis;
mod order;
mod paxos;
mod rotating_coordinator;
mod zab;
