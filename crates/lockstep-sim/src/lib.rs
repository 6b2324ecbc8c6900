//! # sim: the judge
//!
//! The engines that production runs, over a virtual network, clock, memory and disk. One seed decides
//! everything: the faults and their times, the workload, every delay. After each step an oracle checks the
//! rules ([`check`]). Then most faults stop: a quorum is healed, the other nodes stay broken for ever, and
//! every message that the quorum's publishers submit must be committed and delivered; otherwise the run has
//! failed as well.
//!
//! ```text
//!   plan ─ faults, by time ─▶ world ── turns, starts ──▶ machines  clients  edge  seconds  operator
//!    ▲     (each a file of `fault`)  │                     └──────────┴───────┴──────┴───────┘
//!    │ shorter                    ▼                        context: plan, clock, random source,
//!   shrink ◀──── a failure ── check ◀──── what all say ────         network, judge, story
//! ```
//!
//! # The rooms
//!
//! `World` is a composition: the schedule, and rooms with their own state. It asks each process when it is
//! due (`host::SimProcess`), hands it what arrives, and puts what it sends into the network.
//!
//! | room | has | may touch |
//! |---|---|---|
//! | `context` | plan, clock, random source, phase; the network ([`wire`]: datagrams in flight, cuts, what an attacker does to them), the judge ([`check`]), the story | nothing else |
//! | `machines` | hosts of replicas, witnesses and archivers: journals (`machine`), clocks, watchers, who is lost | the context; the operator, for a replica that a new history left behind |
//! | `clients` | publishers, subscribers, participants, their work and their random source | the context; machines, whose journals readers read |
//! | [`edge`] | gateways, copies of an application, feeds, their clients with FIX or without, calendars | the context; machines, whose journals readers read |
//! | `seconds` | a second process of a replica's identity | the context; it looks at machines |
//! | `operator` | commands under way | the context; machines, which it formats anew |
//! | `world` | the rooms, the room of each node, the next fault | all of them |
//! | `fault` | what a plan can have happen: a file each, with its struct, its draw and its strike | the world |
//! | `plan` | the meaning of a seed, and how it is drawn | no room |
//!
//! A kind of process is a folder: a type with `SimProcess`, a room that starts and calls it, and an arm for
//! that room in `world`. A fault is a file of `fault`. A family of rules is a file of [`check`]: its state,
//! and what it is informed of (`check::Check`).

#![forbid(unsafe_code)]

pub mod check;
mod clients;
pub mod clock;
mod cluster;
mod context;
pub mod coverage;
mod device;
pub mod edge;
mod engines;
pub mod explore;
pub mod fault;
mod host;
mod keys;
pub mod kinds;
pub mod lone;
mod machine;
mod machines;
pub mod many;
pub mod mutated;
pub mod netsim;
mod operator;
mod outcome;
mod plan;
pub mod proof;
mod quorum;
mod second_process;
pub mod sets;
pub mod shrink;
pub mod story;
pub mod svg;
pub mod trial;
mod unfinished;
pub mod wire;
pub mod world;
pub mod year;

pub use edge::{EdgeFault, EdgePlan};
pub use fault::{Fault, PlannedFault, has_rejoiners};
pub use kinds::{Configured, DeviceFault, SimClock, Suspension, VanishedFile};
pub use lockstep_memory::{disk, net, rng};
pub use outcome::{Outcome, RunFailure};
pub use plan::Plan;
pub use unfinished::discards_unfinished;
pub use world::run;
