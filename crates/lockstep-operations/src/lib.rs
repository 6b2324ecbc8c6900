//! # lockstep-operations: what an operator does, as functions
//!
//! ```text
//!  the cluster's file, values ─▶ an operation ─▶ a struct of what was seen or done, or an OperationError
//!                                     └ notices: what its user should know meanwhile
//! ```
//!
//! Each operation takes values and returns values: it reads no flag, asks nobody, and prints nothing. The
//! command line (`src/cli`) does that around it, and a page, a screen, a binding or a test can do without.
//! What asks the nodes, and what judges their answers, is `lockstep_client`'s; what reads and writes the
//! files of a journal is `lockstep_node`'s. Here stands what an operator does with both.

#![forbid(unsafe_code)]
#![allow(clippy::disallowed_methods, reason = "operations read clocks and files")]

pub mod acting;
pub mod awaited;
pub mod backup;
pub mod bootstrap;
pub mod bounded;
pub mod commands;
pub mod day;
pub mod events;
pub mod figures;
pub mod fingerprint;
pub mod goals;
pub mod health;
pub mod journal;
pub mod key_expiry;
pub mod keys;
pub mod look;
pub mod new_file;
pub mod processes;
pub mod recover;
pub mod reload;
pub mod samples;
pub mod set;
pub mod streams;
pub mod tar;
pub mod top;

mod error;
mod hex64;

pub use error::OperationError;
