//! # lockstep-process: what a daemon needs of its machine
//!
//! Sequencers, gateways, feeds and archivers pin a thread ([`cpu`]), run its duty cycle ([`duty`]), hand
//! their events to a side thread that writes the log ([`events`]), end on a signal ([`stop`], [`signal`]),
//! show [`page`]s over HTTP, are watched by a process that announces their death ([`watcher`]), and give up
//! what they do not need once they are set up ([`confinement`]). Programs that start, kill and restart them
//! use [`child`]. A program that publishes or reads the stream needs none of it.

#![allow(unsafe_code, clippy::disallowed_methods)]

pub mod child;
pub mod confinement;
pub mod cpu;
pub mod duty;
pub mod events;
mod filter;
pub mod fork;
pub mod guard;
pub mod init;
pub mod limits;
pub mod page;
pub mod signal;
pub mod stop;
pub mod watcher;
