//! # explore: every interleaving of a small cluster
//!
//! The question: do the rules hold for every order of arrivals, not only for those that a seed happens to
//! draw? The engines that production runs are taken as they are. Datagrams that were sent stay in a bag for
//! ever: each may be delivered to each of its addressees at any time, any number of times, or never, which
//! is loss, duplication, delay and reordering in one. Time stands still, and every effect of a timer (a
//! candidacy, a heartbeat) may happen at any moment. A process may crash and return with what it stored, or
//! lose its machine and return under another identity.
//!
//! ```text
//!   state = one local state per process + the bag + what was ever called committed
//!   step  = (process, input): computed once by the engine, then looked up
//! ```
//!
//! Few local states make many states of the whole, so a process and an input are run through the engine
//! once, and remembered as "next local state, datagrams sent". That makes some hundred thousand states a
//! second of the real code. States are recognised by a digest of 64 bits (and local ones by 128); in ten
//! million states the chance that two were mistaken for one is some 3 in a million.

pub mod digest;
mod process;
mod rules;
mod search;
mod system;

pub use lockstep_core::engine::subscriber::Delivery;
use lockstep_wire::Change;
use std::fmt;
use system::System;

pub use search::{Bounds, Searched, Space, Violation, breadth_first, random_walks};
pub use system::watched::{
    WatchedCluster, WatchedInput, WatchedMessage, WatchedRow, WatchedRun, WatchedState, WatchedStep,
};

/// Plants the mutation of this name, if there is one, on this thread for as long as `run` takes.
#[cfg(debug_assertions)]
pub fn with_mutation<T>(name: Option<&str>, run: impl FnOnce() -> T) -> T {
    use lockstep_core::proto::planted::{Mutation, with_planted};
    let named = |name| Mutation::ALL.iter().find(|(mutation, ..)| format!("{mutation:?}") == name);
    match name.and_then(named) {
        Some((mutation, ..)) => with_planted(Some(*mutation), run),
        None => run(),
    }
}

/// Nothing is planted in a build without debug assertions.
#[cfg(not(debug_assertions))]
pub fn with_mutation<T>(_name: Option<&str>, run: impl FnOnce() -> T) -> T {
    run()
}

/// The explored configuration.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ExploreScope {
    /// Replicas.
    pub replicas: usize,
    /// The number of members at genesis; the others are learners.
    pub members: usize,
    /// Changes of the membership that an operator commands at any time, of these replicas (0 the first).
    pub changes: Vec<(Change, usize)>,
    /// Those that are not members at genesis are the next incarnations of members, of the last one first.
    pub heirs: bool,
    /// A reader of the stream, if any.
    pub reader: Option<Delivery>,
    /// Rounds up to this one: epoch 1 is led when the exploration begins.
    pub round_max: u32,
    /// Publishers: 1 or 2.
    pub publishers: u32,
    /// Messages that each of them has submitted, each in its own datagram.
    pub values: u64,
    /// Crashes of processes, together.
    pub crashes: u8,
    /// Machines that are lost with all their data, together.
    pub losses: u8,
    /// Whether a lost machine is restored as it was when the exploration began: no replica can tell, and no
    /// operator may do it (S9).
    pub restores_snapshots: bool,
    /// Whether leaders send heartbeats.
    pub heartbeats: bool,
    /// Steps in a row.
    pub depth: u32,
    /// The most states.
    pub states_max: u64,
}

impl Default for ExploreScope {
    fn default() -> Self {
        Self {
            replicas: 3,
            members: 3,
            changes: Vec::new(),
            heirs: false,
            reader: None,
            round_max: 3,
            publishers: 1,
            values: 3,
            crashes: 1,
            losses: 0,
            restores_snapshots: false,
            heartbeats: false,
            depth: 8,
            states_max: 50_000_000,
        }
    }
}

/// A story that ends where a rule is broken.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Trace {
    /// The rule, in words.
    pub violation: String,
    /// The steps, in words.
    pub steps: Vec<String>,
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.violation)?;
        for (number, step) in (1..).zip(&self.steps) {
            writeln!(f, "{number:>4}  {step}")?;
        }
        Ok(())
    }
}

/// The result of an exploration.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Explored {
    /// Different states, the first one included.
    pub states: u64,
    /// Steps that led to one of them.
    pub steps: u64,
    /// Steps in a row up to which every interleaving was explored.
    pub depth: u32,
    /// Whether no state has a step that leads on: the whole space, whatever the depth.
    pub whole: bool,
    /// Different states of single processes: the number of engine runs depends on them.
    pub local_states: u64,
    /// Different datagrams.
    pub datagrams: u64,
    /// States from which the explorer checked that everything is committed in the end.
    pub settled: u64,
    /// The violation, with the shortest story that shows it.
    pub story: Option<Trace>,
}

impl fmt::Display for Explored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} states, {} steps, depth {}{}, {} local states, {} datagrams, {} settled",
            self.states,
            self.steps,
            self.depth,
            if self.whole { " (whole)" } else { "" },
            self.local_states,
            self.datagrams,
            self.settled,
        )
    }
}

/// All interleavings, breadth first.
///
/// # Errors
/// In words if the cluster does not even start.
pub fn explore(scope: &ExploreScope) -> Result<Explored, String> {
    let mut system = System::new(scope, true)?;
    let bounds = Bounds { depth: scope.depth, states_max: scope.states_max };
    let found = breadth_first(&mut system, bounds);
    Ok(system.explored(found))
}

/// Random walks through the same space, for states deeper than all interleavings can be explored. Each walk
/// draws which of the processes receive well and which do not. A story that is found is made short.
///
/// # Errors
/// As [`explore`].
pub fn walk(scope: &ExploreScope, seed: u64, steps_max: u64) -> Result<Explored, String> {
    let mut system = System::new(scope, true)?;
    let found = random_walks(&mut system, seed, steps_max);
    Ok(system.explored(found))
}
