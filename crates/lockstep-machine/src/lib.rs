//! Programs that are functions of the stream: a [`StateMachine`], and everything about it that needs no IO.
//!
//! A matching engine, a risk check, a position keeper: each reads the committed stream and publishes what
//! follows from it (Schneider 1990). Copies that apply the same inputs in the same order have the same state,
//! so that any of them may die. What a program of this kind needs beside its own rules is here: outputs that
//! are stamped once, timers, snapshots, and a comparison of the copies that names the one that has parted.
//!
//! ```text
//!  stream ─▶ MachineReplica ─▶ MachineCore ─▶ StateMachine::apply ─▶ Output ─┬─▶ messages ─▶ stream
//!              │            ▲                                         └─▶ timers ──┐
//!              │            └────────── due, by the stream's time ◀────────────────┘
//!              └─▶ ticks, digests and snapshots, under a name of its own ─▶ stream
//! ```
//!
//! Nothing here reads a clock, a file or a socket: `lockstep-app` runs it on a cluster, `lockstep-sim` under
//! faults. Both run this code.
//!
//! # A complete machine
//!
//! It counts what each user sends, answers with the count, and tells everybody ten seconds after the last
//! message.
//!
//! ```
//! use lockstep_machine::{EVERYBODY, Input, InputEvent, Output, StateMachine};
//! use std::collections::BTreeMap;
//! use std::io::{self, Read, Write};
//!
//! #[derive(Default)]
//! struct Counter {
//!     by_user: BTreeMap<String, u64>,
//! }
//!
//! /// The key of the one timer.
//! const QUIET: u64 = 1;
//!
//! impl StateMachine for Counter {
//!     const VERSION: u32 = 1;
//!
//!     fn apply(&mut self, input: &Input<'_>, output: &mut Output) {
//!         match input.event {
//!             InputEvent::Message { publisher, user: Some(user), .. } => {
//!                 let count = self.by_user.entry(user.to_owned()).or_default();
//!                 *count += 1;
//!                 output.publish(publisher, format!("{count}").as_bytes());
//!                 output.timer_after(QUIET, 10_000_000_000, b"");
//!             }
//!             InputEvent::Timer { key: QUIET, .. } => output.publish(EVERYBODY, b"quiet"),
//!             _ => {}
//!         }
//!     }
//!
//!     fn snapshot(&self, out: &mut impl Write) -> io::Result<()> {
//!         self.by_user.iter().try_for_each(|(user, count)| writeln!(out, "{count} {user}"))
//!     }
//!
//!     fn restore(from: &mut impl Read) -> io::Result<Self> {
//!         let text = io::read_to_string(from)?;
//!         let line = |line: &str| {
//!             let (count, user) = line.split_once(' ')?;
//!             Some((user.to_owned(), count.parse().ok()?))
//!         };
//!         let by_user = text.lines().map(line).collect::<Option<_>>();
//!         Ok(Self { by_user: by_user.ok_or(io::ErrorKind::InvalidData)? })
//!     }
//! }
//! ```
//!
//! # Determinism
//!
//! Equal inputs must give equal outputs and equal states, in every copy, on every host, in every run. `apply`
//! gets no clock, no randomness and no IO, and must not fetch any. `docs/APPLY.md` lists what breaks it;
//! [`Twice`] applies each input to two copies, one of them restored from a snapshot now and then, and finds a
//! difference at its message.

#![forbid(unsafe_code)]

mod acknowledger;
mod agreement;
mod bisect;
mod core;
mod cost;
mod debug;
mod digest;
mod locks;
mod machine;
mod output;
mod replica;
mod report;
mod snapshot;
mod timers;
mod twice;

pub use acknowledger::Acknowledger;
pub use agreement::Parting;
pub use bisect::{Bisect, PartingInput};
pub use core::{MachineCore, MachineFault, MachineSettings, MergedInput, Observe, stream_of};
pub use cost::{apply_cost, counter_cost};
pub use debug::{AppliedInput, DebugDifference, DebugStep, Debugger, Recording};
pub use digest::StateDigest;
pub use locks::LockTable;
pub use lockstep_core::engine::clients::DisconnectReason;
pub use lockstep_core::engine::saved;
pub use lockstep_wire::{CHANNELS, Destination, EVERYBODY, Nanos, PublisherId, PublisherSeq, Seq};
pub use machine::{Input, InputEvent, StateMachine};
pub use output::{Effect, Output};
pub use replica::{DivergencePolicy, MachineReplica, ReplicaSettings, ServedSnapshot};
pub use report::{CopySettings, ReplicaReport, SnapshotNotice};
pub use snapshot::{SnapshotCursor, SnapshotError, SnapshotHead, verify_snapshot};
pub use twice::Twice;
