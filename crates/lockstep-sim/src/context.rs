//! What every room of the world may touch: the plan, the clock, the random source, the network, the judge
//! and the story. No room holds another one; whatever two of them share stands here, or is given to a
//! function beside this.

use crate::check::{Oracle, Violation};
use crate::coverage::Event;
use crate::net::To;
use crate::plan::Plan;
use crate::rng::Rng;
use crate::story::{Happening, Story};
use crate::wire::{NodeSet, Route, SimNetwork};
use lockstep_core::engine::event::ReplicaEvent as NodeEvent;
use lockstep_core::engine::ports::{Group, PARK_NS_MAX};
use lockstep_wire::{Header, Nanos};

/// The run's clock at the beginning.
pub(crate) const BEGIN_NS: Nanos = 1_000_000;
/// A healed quorum must have finished after this long.
const LIVE_NS: Nanos = 1_000_000_000;
/// Every wait of the cores in seconds of their own has ended after this.
const PATIENT_NS: Nanos = 60_000_000_000;
/// The longest interval between two polls.
const IDLE_NS_MAX: Nanos = 100_000;

/// The operator's node number in the network: no process has it.
pub(crate) const OPERATOR: usize = 31;

/// The phases of a run: first safety is checked, then liveness.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum RunPhase {
    /// Faults strike.
    Storm,
    /// These nodes are healed since then; the others stay broken for ever.
    Calm(NodeSet, Nanos),
    /// So many identities are lost that there is no quorum: since then nothing may happen any more.
    Dead(Nanos),
}

/// See the module.
pub(crate) struct RunContext {
    pub(crate) plan: Plan,
    pub(crate) rng: Rng,
    pub(crate) now: Nanos,
    pub(crate) network: SimNetwork,
    pub(crate) oracle: Oracle,
    pub(crate) phase: RunPhase,
    pub(crate) story: Option<Story>,
    /// The length of all suspensions that have begun.
    pub(crate) slept_ns: Nanos,
    /// The end of the last of them.
    pub(crate) dawn: Nanos,
}

impl RunContext {
    /// Writes a line of the story, if there is one.
    pub(crate) fn tell(&mut self, lane: usize, what: impl FnOnce() -> Happening) {
        if let Some(story) = &mut self.story {
            story.tell(self.now, lane, what());
        }
    }

    /// Counts an event of the run.
    pub(crate) fn count(&mut self, event: Event) {
        self.oracle.facts.coverage.count(event);
    }

    /// Whether most faults are over.
    pub(crate) fn is_calm(&self) -> bool {
        self.phase != RunPhase::Storm
    }

    /// Whether no fault makes a leader unavailable any more.
    fn is_quiet(&self) -> bool {
        self.plan.quiet_from.is_some_and(|from| self.now >= BEGIN_NS + from)
    }

    /// Counts the kinds of clocks in the plan.
    pub(crate) fn count_clocks(&mut self) {
        let coverage = &mut self.oracle.facts.coverage;
        let uneven = self.plan.clocks.iter().filter(|clock| !clock.is_exact());
        coverage.count_all(uneven.map(|_| Event::ClocksUneven));
        let broken = self.plan.clocks.iter().filter(|clock| clock.is_broken());
        coverage.count_all(broken.map(|_| Event::ClocksBroken));
    }

    /// STABILITY: what a replica tells, where nothing has happened that a leader may be missed for.
    pub(crate) fn check_stable(&self, index: usize, event: &NodeEvent) -> Result<(), Violation> {
        let is_quiet = self.phase == RunPhase::Storm && self.is_quiet();
        let is_stable = !matches!(
            event,
            NodeEvent::LeaderSuspected { .. }
                | NodeEvent::LeaderReturned { .. }
                | NodeEvent::Candidate { .. }
                | NodeEvent::SteppedDown { .. }
                | NodeEvent::TakeoverWaits { .. }
        );
        if is_stable || !is_quiet {
            return Ok(());
        }
        Err(format!("STABILITY: nothing fails, and replica {index} tells {event:?}"))
    }

    /// Takeovers until now.
    pub(crate) fn takeovers(&self) -> u64 {
        self.oracle.facts.coverage.get(Event::Takeovers)
    }

    /// The longest duration of a fault that was planned in the fault phase of a long run and strikes only
    /// after it.
    pub(crate) fn short_ns(&self) -> Nanos {
        if self.plan.is_long() { self.plan.timeout_ns } else { Nanos::MAX }
    }

    /// The longest interval between two polls, and the factor by which it grows in each idle turn.
    pub(crate) fn idleness(&self) -> (Nanos, Nanos) {
        if self.plan.is_long() { (PARK_NS_MAX, 16) } else { (IDLE_NS_MAX, 2) }
    }

    /// A healed quorum must have finished after this long.
    pub(crate) fn live_ns(&self) -> Nanos {
        let patient_ns = if self.plan.is_long() { PATIENT_NS } else { 0 };
        LIVE_NS * self.plan.pace + patient_ns
    }

    /// A datagram of the operator to all replicas.
    pub(crate) fn post_all(&mut self, group: Option<Group>, bytes: &[u8]) {
        (0..self.plan.replicas).for_each(|to| self.post(to, group, bytes));
    }

    /// A datagram of the operator.
    pub(crate) fn post(&mut self, to: usize, group: Option<Group>, bytes: &[u8]) {
        self.network.next_number();
        let route = Route { from: OPERATOR, to, group };
        self.network.send(&self.plan.network, self.now, route, bytes, &mut self.oracle.facts.coverage);
    }

    /// No progress of this node is expected any more.
    pub(crate) fn await_no_more(&mut self, node: usize) {
        if let RunPhase::Calm(healthy, since) = self.phase {
            self.phase = RunPhase::Calm(healthy & !(1 << node), since);
        }
    }

    /// The watcher of `index` sends its prepared notice, three times.
    pub(crate) fn announce(&mut self, index: usize, notice: &[u8], after_ns: Nanos) {
        let network_model = self.plan.network;
        for copy in 0..3 {
            let number = self.network.next_number();
            let at = self.now + after_ns + 100_000 * copy;
            if let Some(story) = &mut self.story {
                story.record_sent(self.now, index, number, &To::Group(Group::Control), notice);
            }
            for other in (0..self.plan.replicas).filter(|other| *other != index) {
                let route = Route { from: index, to: other, group: Some(Group::Control) };
                self.network.send(&network_model, at, route, notice, &mut self.oracle.facts.coverage);
            }
        }
    }

    /// The same, with the epoch's own secret.
    pub(crate) fn announce_truly(&mut self, index: usize, notice: &[u8], after_ns: Nanos) {
        if let Some(header) = Header::peek(notice) {
            self.oracle.events.on_death(header.epoch());
        }
        self.announce(index, notice, after_ns);
    }
}
