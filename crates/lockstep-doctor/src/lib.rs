//! # lockstep-doctor: what lockstep needs of a host and of the network between hosts
//!
//! ```text
//!  /proc, /sys, kernel ─ gather ─▶ Host ─┐
//!  the cluster's file ──────────▶ Scope ─┼─ checks ─▶ Findings ─▶ report, or apply
//!  short measurements ─ measure ─▶ Measured ┘
//!  datagrams between hosts ─ probe ─▶ Matrix ─ diagnosis ─▶ Findings
//! ```
//!
//! A check is a function of facts and configuration, and reads no file and no clock: tests give it the facts
//! of a host that was planted in a folder. [`gather`] reads the facts, of this host or below any folder;
//! [`measure`] takes measurements of a few milliseconds. [`probe`] sends datagrams between the hosts of the
//! file, on groups and ports of its own; its rules are functions of what was received and of `now`.

#![forbid(unsafe_code)]
#![allow(clippy::disallowed_methods)] // measurements and durations of probes are times of this host

pub mod apply;
pub mod checks;
pub mod facts;
pub mod finding;
pub mod gather;
pub mod measure;
pub mod parse;
pub mod probe;
pub mod scope;

pub use finding::{Finding, FindingLevel, Findings, KernelChange, Remedy};
