//! # set: one order over several streams
//!
//! The *home stream* of a set carries cuts: entries that say how far each other stream is merged there. The
//! merged order is a function of committed entries alone, so that whoever reads it, live or from journals,
//! has the same one; it compares no clock, and a stream that is idle or stalled holds up no other one.
//!
//! ```text
//!  home:    h1  h2  CUT{a→3, b→2}  h4  CUT{a→5, b→2}  h6
//!  a:       a1 a2 │ a3 a4 │ a5                            the row of b stands: b is idle, and nobody waits
//!  b:       b1    │
//!  merged:  h1 h2 a1 a2 b1 CUT h4 a3 a4 CUT h6
//! ```
//!
//! * [`payload`] has what stands in the home stream: a [`CutEntry`], and the list of the set's streams.
//! * [`cuts`] has the rule of which cuts count.
//! * [`merge`] has the rules of a reader: where a row ends, whose entry is next.
//! * [`reader`] folds the events of the streams' subscriptions into the merged order.
//! * [`look_back`] finds where a reader may begin.
//! * [`conditions`] judges what is wrong with a merged order, and which stream is the cause.
//! * [`coordinator`] has the rules of a process that writes cuts. Any number of coordinators run; none has a
//!   state of its own.
//!
//! Nothing here knows a socket, a thread or a clock. Sources: Scalog (cuts), Calvin and Multi-Ring Paxos
//! (deterministic merge).

#![forbid(unsafe_code)]

pub mod conditions;
pub mod coordinator;
pub mod cuts;
pub mod look_back;
pub mod merge;
pub mod payload;
pub mod reader;

#[cfg(test)]
mod model;

pub use conditions::{SetCondition, SetFacts, StreamFacts, judge};
pub use coordinator::{CUTS_APART_NS_MAX, Coordinator, CoordinatorLimits};
pub use cuts::{Cuts, MergedStream, SetsEntry};
pub use look_back::{BackSteps, LookBack, LookBackNext};
pub use merge::{Merge, MergeEntry, MergeOutcome, MergePlace, MergePlaceRow, MergeTurn};
pub use payload::{CutEntry, CutPoint, CutRow, PayloadError, STREAMS_MAX, SetEntry, SetRow};
pub use reader::{MergedEvent, MergedReader};
