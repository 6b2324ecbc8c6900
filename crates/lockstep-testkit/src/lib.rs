//! # lockstep-testkit: what tests share
//!
//! Only tests, tools and the bench depend on this crate; no program that runs a cluster does.
//!
//! With the feature `processes`: clusters of real processes ([`processes`]), a network of namespaces whose
//! paths can be cut ([`netns`]), disks whose power fails ([`images`]), and scenarios on them. Each scenario
//! is one function: a test runs it a few times, a chore of `tools` hundreds of times.

#![forbid(unsafe_code)]

#[cfg(feature = "processes")]
pub mod cards;
pub mod child;
#[cfg(feature = "processes")]
pub mod durability;
#[cfg(feature = "processes")]
pub mod exchange;
#[cfg(feature = "processes")]
pub mod feeds;
#[cfg(feature = "processes")]
pub mod flow;
#[cfg(feature = "processes")]
pub mod gateways;
#[cfg(feature = "processes")]
pub mod images;
pub mod lane;
#[cfg(feature = "processes")]
pub mod netns;
#[cfg(feature = "processes")]
pub mod power;
#[cfg(feature = "processes")]
pub mod processes;
pub mod python;
#[cfg(feature = "processes")]
pub mod release;
#[cfg(feature = "processes")]
pub mod switch;
#[cfg(feature = "processes")]
pub mod takeover;
#[cfg(feature = "processes")]
pub mod trader;
#[cfg(feature = "processes")]
pub mod trading;
#[cfg(feature = "processes")]
pub mod upgrade;
