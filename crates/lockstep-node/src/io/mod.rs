//! # io: the files of a journal, and the threads behind them
//!
//! Beside `lockstep-io`, this is the only place with system calls and `unsafe`. It contains no protocol rule.

mod claims;
pub mod journal_files;
pub mod journal_thread;
mod mender;
pub mod neighbour_watch;
pub mod replay;
pub mod room;
pub mod store;
pub mod tail;
