//! # lockstep-lab: the theory, running
//!
//! Protocols of the textbooks as small state machines, each with a card: its model, what it promises, what it
//! costs, and how it breaks when an assumption is dropped. The lab explores every interleaving of a small
//! system, walks at random through a larger one, prices a protocol on a network, and draws what it found.
//!
//! ```text
//!   Protocol ─┬─▶ space ──▶ explore (of lockstep-sim) ──▶ check ──▶ story, diagram
//!   Card ─────┘     ▲
//!                   └── property: judges, once for all protocols
//!   Protocol ────▶ timed ──▶ price, compare
//! ```
//!
//! A protocol of your own: implement [`Protocol`] and [`Subject`], and give its [`Entry`] to a [`Catalogue`].

#![forbid(unsafe_code)]

pub mod card;
pub mod cards;
pub mod check;
pub mod command;
pub mod compare;
pub mod diagram;
mod endless;
mod erased;
mod graph;
mod local;
pub mod page;
pub mod property;
pub mod protocol;
pub mod search;
mod space;
pub mod story;
pub mod timed;
pub mod valence;
pub mod vocabulary;

pub use card::{
    Break, Card, Detector, ENDLESS, Failures, Family, Links, Model, Price, Prices, Search, Subject, Time,
    Valuation,
};
pub use check::{Catalogue, Entry};
pub use protocol::{Detection, Out, Pid, Pids, Process, Protocol, Signed, Stored, Timer, Word};
pub use vocabulary::{
    Ask, Asked, Broadcast, Decide, Deliver, Event, Fact, Indicated, NoRequest, Propose, SendTo, Value,
};
