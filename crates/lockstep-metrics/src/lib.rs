//! What a process of lockstep has counted, read from its counters file: a process that hangs or has died
//! tells as much as before, and its hot thread takes no notice.
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
