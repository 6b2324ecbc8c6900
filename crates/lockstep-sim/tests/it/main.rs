//! The judge's promises: seeds, the explorer, netsim and trials, and that each finds what is broken on
//! purpose.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod clock;
mod digest;
mod explore;
mod fix_wire;
mod links;
mod lone;
mod mutated;
mod net;
mod netsim;
#[cfg(debug_assertions)]
mod planted;
mod proof;
mod seeds;
mod sets;
mod trial;
mod views;
mod watched;
mod year;
