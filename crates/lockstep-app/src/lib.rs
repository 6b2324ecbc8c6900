//! Runs a [`StateMachine`] on a lockstep cluster.
//!
//! Your program has the machine and a `main`; [`run`] does the rest. It restores the newest sound snapshot,
//! reads the committed stream behind it, applies each input, publishes each output once, fires timers, writes
//! snapshots, answers queries, and compares its state with those of the other replicas. Start the program on
//! any number of hosts, each with its own number: the replicas run hot-hot, and any of them may die.
//!
//! ```no_run
//! use lockstep_app::{AppSettings, Endpoint, Acknowledger, run};
//!
//! fn start() -> Result<(), Box<dyn std::error::Error>> {
//!     let number = std::env::args().nth(1).ok_or("usage: NUMBER")?.parse()?;
//!     let settings = AppSettings::new("acknowledger", number, format!("/var/lib/acknowledger-{number}"));
//!     let endpoint = Endpoint::builder() // with the feature `config` of lockstep-client: Endpoint::from_env()
//! #       .cluster(1).without_keys().interface("lo")
//! #       .groups(["239.77.1.1".parse()?, "239.77.1.2".parse()?, "239.77.1.3".parse()?], 7700)
//! #       .member(1, "127.0.0.1:7701".parse()?)
//!         .build()?;
//!     Ok(run(&endpoint, settings, Acknowledger::default)?)
//! }
//!
//! fn main() -> std::process::ExitCode {
//!     lockstep_app::ended(start())
//! }
//! ```
//!
//! [`App`] is the same without the loop, for a program that has its own. The tutorial is `docs/APPLY.md`.
//!
//! # Features
//!
//! * `streams`: [`run_set`] runs the same machine over the merged order of a set of streams.
//! * `testing`: `testing::DevCluster` is a cluster for tests of a program, by `lockstep dev`.

#![forbid(unsafe_code)]
#![allow(clippy::disallowed_methods, reason = "clocks and threads are this crate's work")]

mod app;
mod bisect;
mod cost;
mod counters;
mod debug;
mod error;
mod pace;
mod peers;
mod reading;
mod run;
mod serve;
#[cfg(feature = "streams")]
mod set_reading;
mod settings;
mod store;
mod take_over;
mod terminal;
#[cfg(feature = "testing")]
pub mod testing;
mod words;
mod writing;

pub use app::App;
pub use bisect::bisect;
pub use cost::{apply_ns, counter_ns};
pub use debug::{DEBUG_VARIABLE, MACHINE_FILE_VARIABLE, debug, debug_is_asked, note_machine};
pub use error::{AppError, ended};
pub use lockstep_client::{Delivery, Endpoint, EndpointError};
pub use lockstep_machine::*;
#[cfg(feature = "streams")]
pub use lockstep_streams::StreamSet;
pub use pace::Pace;
pub use run::run;
#[cfg(feature = "streams")]
pub use run::run_set;
pub use serve::{fetch_snapshot, query, take_over};
pub use settings::{AppSettings, SnapshotMode};
pub use store::{SnapshotStore, StoredSnapshot};
pub use take_over::TAKE_OVER_KEY;
pub use words::print_without_a_logger;
