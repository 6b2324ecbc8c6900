//! The metrics of a lockstep process, read from its counters file. A process that hangs or has died shows as
//! much as before, and its hot thread is not involved.
//!
//! ```text
//!   counters file ─▶ Process ─┬─▶ metrics: OpenMetrics, Prometheus
//!                             └─▶ alive, ready, with the reason why not
//! ```
//! Daemons and applications serve both on a [page] of their own.

#![forbid(unsafe_code)]

mod families;
pub mod page;
mod process;
mod readiness;

pub use families::{Family, Format, metrics};
pub use page::ShownProcess;
pub use process::{Life, Process, Value, age_of_values, state_of};
pub use readiness::{not_alive, not_ready};
