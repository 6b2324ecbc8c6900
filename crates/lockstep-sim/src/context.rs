//! What every room of the world may touch: the plan, the clock, the random source, the network, the judge
//! and the story. No room holds another one; whatever two of them share stands here, or is given to a
//! function beside this.

use super::check::{Oracle, Violation};
use super::coverage::Event;
use super::kinds::SimClock;
use super::net::To;
use super::plan::Plan;
use super::rng::Rng;
use super::story::{Happening, Story};
use super::wire::{NetworkModel, NodeSet, Route, SimNetwork};
use lockstep_core::engine::event::ReplicaEvent as NodeEvent;
use lockstep_core::engine::ports::PARK_NS_MAX;
use lockstep_wire::{Nanos, Seq};

/// The run's clock at the beginning.
pub(super) const BEGIN_NS: Nanos = 1_000_000;
/// A healed quorum must have finished after this long.
pub(super) const LIVE_NS: Nanos = 1_000_000_000;
/// Every wait of the cores in seconds of their own has ended after this.
pub(super) const PATIENT_NS: Nanos = 60_000_000_000;
/// The longest interval between two polls.
pub(super) const IDLE_NS_MAX: Nanos = 100_000;

/// The phases of a run: first safety is checked, then liveness.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum RunPhase {
    /// Faults strike.
    Storm,
    /// These nodes are healed since then; the others stay broken for ever.
    Calm(NodeSet, Nanos),
    /// So many identities are lost that there is no quorum: since then nothing may happen any more.
    Dead(Nanos),
}

/// See the module.
pub(super) struct RunContext {
    pub(super) plan: Plan,
    pub(super) rng: Rng,
    pub(super) now: Nanos,
    pub(super) network: SimNetwork,
    pub(super) oracle: Oracle,
    pub(super) phase: RunPhase,
    pub(super) story: Option<Story>,
    /// The length of all suspensions that have begun.
    pub(super) slept_ns: Nanos,
    /// The end of the last of them.
    pub(super) dawn: Nanos,
}

impl RunContext {
    /// Writes a line of the story, if there is one.
    pub(super) fn tell(&mut self, lane: usize, what: impl FnOnce() -> Happening) {
        if let Some(story) = &mut self.story {
            story.tell(self.now, lane, what());
        }
    }

    /// Counts an event of the run.
    pub(super) fn count(&mut self, event: Event) {
        self.oracle.coverage.count(event);
    }

    /// Whether most faults are over.
    pub(super) fn is_calm(&self) -> bool {
        self.phase != RunPhase::Storm
    }
}
