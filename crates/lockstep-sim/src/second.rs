//! The same identity twice: an operator copies the files of a replica to another machine, and starts them
//! there while the first process runs on. The copy has its tail or not, is of a moment when the process ran
//! or of its clean stop, and its wall clock may be behind.
//!
//! ```text
//!   first    ~~~~~~│ copied │~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~ runs on (or was stopped, and runs again)
//!   second                        refused (S9), or: probes ─▶ finds the first (ALIVE-1) ─▶ stops; nothing sent counts
//! ```
//!
//! A copy that cannot prove itself complete does not start. One that can probes before it votes (S12), finds
//! the first one, and stops, whatever the clocks show; the first one runs on. Nothing more is promised:
//! where the two cannot reach each other while the second one probes, both vote, and nothing in two journals
//! shows which is the copy (`docs/RECOVER.md`). So here every datagram between the two arrives, and the
//! operator ends the second one where the first becomes silent while the second probes. Datagrams between
//! either of them and the other nodes are subject to the run's network model. A member is reached at the
//! address that the log lists, which is that of the first one; a reply goes to the node that asked.

use super::check::{SentDatagram, Violation};
use super::coverage::Event;
use super::disk::SimDisk;
use super::machine::{Machine, MachineState, Started};
use super::net::SimNet;
use super::plan::{DAY_MS, EndPlan, Fault, FaultNode, Plan, PlannedFault};
use super::populate::replica_limits;
use super::rng::Rng;
use super::storage::Flushed;
use super::story::Happening;
use super::world::{Actor, World};
use crate::keys;
use lockstep_core::engine::event::ReplicaEvent as NodeEvent;
use lockstep_replica::journal::Superblock;
use lockstep_replica::journal::memory::MemoryTail;
use lockstep_wire::{Datagram, Header, Identity, Kind, Nanos};

/// One seed in so many has a second process of an identity.
const SELDOM: u64 = 24;
/// Boots of the other machine are not those of the first.
const OTHER_BOOT: u64 = 1 << 32;
/// A second process that receives from the first one has stopped after so many probes.
const PROBES_MAX: u64 = 2;

/// A copy of a journal and its tail, with its identity.
#[derive(Clone, Debug)]
pub(super) struct Carried {
    files: SimDisk,
    ring: Option<MemoryTail>,
    identity: Identity,
}

/// A second process, on a machine of its own.
#[derive(Clone)]
pub(super) struct Second {
    machine: Machine,
    /// The node of the first one, and the number of its process.
    first: usize,
    start: u64,
    /// It has stopped by then.
    until: Nanos,
}

impl Second {
    pub(super) fn net_mut(&mut self) -> Option<&mut SimNet> {
        self.machine.replica_mut().map(|replica| replica.net_mut())
    }

    pub(super) fn next_deadline(&self) -> Option<Nanos> {
        self.machine.replica().map(|replica| self.machine.clock.reaches(replica.next_deadline()))
    }

    pub(super) fn invariants(&self) {
        if let Some(replica) = self.machine.replica() {
            replica.invariants();
        }
    }
}

impl Plan {
    /// Whether a second process of an identity begins.
    pub fn has_second(&self) -> bool {
        self.faults.iter().any(|fault| matches!(fault.what, Fault::Second(..)))
    }

    /// Copies for another machine, and the times at which they are started there.
    pub(super) fn draw_seconds(&mut self, rng: &mut Rng) {
        if rng.below(SELDOM) > 0 || self.edges.is_some() || self.may_found() {
            return;
        }
        self.looks = true;
        for _ in 0..1 + rng.below(4) {
            let target = FaultNode::Replica(rng.below(self.replicas as u64) as usize);
            let carried = rng.below(self.fault_phase_ns);
            let begins = match rng.below(3) {
                0 => carried,
                1 => carried + rng.below(self.fault_phase_ns - carried),
                _ => {
                    let lasting = rng.log_uniform(self.timeout_ns / 16, self.timeout_ns * 2);
                    let what = Fault::Crash(target, EndPlan::Stopped, lasting);
                    self.faults.push(PlannedFault { at_ns: carried, what });
                    carried + lasting + (2 + rng.below(8)) * self.timeout_ns
                }
            };
            let with_ring = rng.below(2) == 0;
            let ahead_ms = rng.pick(&[0, -DAY_MS, -1_000, -1, 1, DAY_MS]);
            self.faults.push(PlannedFault { at_ns: carried, what: Fault::Carry(target) });
            self.faults
                .push(PlannedFault { at_ns: begins, what: Fault::Second(target, with_ring, ahead_ms) });
        }
        self.faults.sort_by_key(|fault| fault.at_ns);
    }
}

impl Machine {
    /// Makes a copy for another machine, if its journal has no damage.
    fn carry(&mut self) -> bool {
        if self.may_refuse() || self.store.is_armed() {
            return false;
        }
        let ring = match &mut self.state {
            MachineState::Up(replica) => Some(replica.tail_mut().memory_mut().clone()),
            MachineState::Down(memory, _) => memory.clone(),
            MachineState::Lost => return false,
        };
        let (files, identity) = (self.store.clone(), self.identity);
        self.carried = Some(Box::new(Carried { files, ring, identity }));
        true
    }
}

impl World {
    /// Adds the node of a second process, where the plan has one.
    pub(super) fn place_second(&mut self) {
        if self.plan.has_second() {
            self.node(Actor::Second(None), "second process".to_string());
        }
    }

    fn second_node(&self) -> Option<usize> {
        self.nodes.iter().rposition(|node| matches!(node.actor, Actor::Second(_)))
    }

    fn second(&self) -> Option<&Second> {
        match &self.nodes.last()?.actor {
            Actor::Second(second) => second.as_deref(),
            _ => None,
        }
    }

    /// Whether the node is a replica's process, the first one or a second one: it receives submissions.
    pub(super) fn is_replica(&self, node: usize) -> bool {
        node < self.plan.replicas || matches!(self.nodes[node].actor, Actor::Second(_))
    }

    /// Whether one of these is the second process of the other's identity.
    pub(super) fn is_pair(&self, one: usize, other: usize) -> bool {
        let last = self.nodes.len() - 1;
        let first = self.second().map(|second| second.first);
        first.is_some_and(|first| (one, other) == (first, last) || (one, other) == (last, first))
    }

    /// The files of a replica are copied for another machine.
    pub(super) fn carry(&mut self, target: FaultNode) {
        let Some(index) = self.resolve(target) else { return };
        let Actor::Replica(machine) = &mut self.nodes[index].actor else { return };
        machine.carries = machine.carry();
        if machine.carries {
            self.tell(index, || Happening::Fault("is copied for another machine".to_string()));
        }
    }

    /// A replica has stopped cleanly: its files are copied once more, if that was planned.
    pub(super) fn carry_stopped(&mut self, index: usize) {
        let Actor::Replica(machine) = &mut self.nodes[index].actor else { return };
        if machine.carries && machine.carry() {
            self.tell(index, || Happening::Fault("is copied for another machine, stopped".to_string()));
        }
    }

    /// The process at `index` runs, receives and sends.
    fn is_well(&self, index: usize) -> bool {
        let node = &self.nodes[index];
        node.actor.runs() && node.paused_until <= self.now && node.device.is_well(self.now)
    }

    /// Starts a second process on the copied files.
    pub(super) fn begin_second(
        &mut self,
        target: FaultNode,
        with_ring: bool,
        ahead_ms: i64,
    ) -> Result<(), Violation> {
        let (Some(first), Some(node), None) = (self.resolve(target), self.second_node(), self.second())
        else {
            return Ok(());
        };
        let is_well = self.is_well(first) && self.lost >> first & 1 == 0;
        let Actor::Replica(machine) = &self.nodes[first].actor else { return Ok(()) };
        let has_probed = machine.replica().is_some_and(|replica| replica.core.has_probed());
        let Some(carried) = machine.carried.clone().filter(|carried| carried.identity == machine.identity)
        else {
            return Ok(());
        };
        if !is_well || !has_probed || machine.may_refuse() {
            return Ok(());
        }
        let (configured, identity, start) = (machine.configured, machine.identity, machine.starts);
        let mut other = Machine::new(&self.plan, configured, identity)?;
        other.store = carried.files;
        other.boot = OTHER_BOOT + machine.boot;
        other.wall_ahead = machine.wall_ahead + ahead_ms * 1_000_000;
        // It may be refused as incomplete.
        other.forgot = true;
        other.state = MachineState::Down(carried.ring.filter(|_| with_ring), self.now);
        let is_complete = other.is_on_device();
        let is_clean = matches!(Superblock::load(&other.store), Ok(Ok(copies)) if copies.newest.run.clean);
        let process = (&configured, identity, &self.nodes[first].keys.replica);
        let limits = replica_limits(&self.plan, first, process, other.wall(self.now), &mut self.rng);
        let look_ns = limits.identity_probe_ns;
        match other.start(&self.plan, first, limits)? {
            Started::Runs(_) if !is_complete => {
                return Err(format!(
                    "S9: a copy of the journal of {identity} lacks what its first process said, and starts elsewhere"
                ));
            }
            Started::Runs(_) => {
                self.count(Event::Seconds);
                if is_clean {
                    self.count(Event::SecondsClean);
                }
                if ahead_ms < 0 {
                    self.count(Event::SecondsBehind);
                }
                let until = self.now + PROBES_MAX * look_ns;
                let second = Second { machine: other, first, start, until };
                self.nodes[node].actor = Actor::Second(Some(Box::new(second)));
                let place = &mut self.nodes[node];
                // A suspension of the process before is not its own.
                (place.wake_at, place.idle_ns, place.paused_until) = (self.now, 0, self.now);
                self.tell(node, || Happening::Fault(format!("begins as {identity}, {ahead_ms} ms ahead")));
            }
            Started::Silent(why) | Started::Damaged(why) => {
                self.count(Event::SecondsRefused);
                self.tell(node, || Happening::Note(format!("does not start as {identity}: {why}")));
            }
            Started::Ran | Started::Died | Started::Failed(_) => {}
        }
        Ok(())
    }

    /// The operator ends the second process, if there is one.
    pub(super) fn end_second(&mut self, why: &str) {
        if let (Some(node), Some(_)) = (self.second_node(), self.second()) {
            self.nodes[node].actor = Actor::Second(None);
            self.count(Event::SecondsLeft);
            self.tell(node, || Happening::Fault(format!("is ended: {why}")));
        }
    }

    /// Ends the second process, if it is at `index` and the first one has become silent meanwhile: no other
    /// node could inform it that it is the second.
    pub(super) fn ends_second(&mut self, index: usize) -> bool {
        let (Actor::Second(_), Some(second)) = (&self.nodes[index].actor, self.second()) else {
            return false;
        };
        let (first, start) = (second.first, second.start);
        let runs_on = matches!(&self.nodes[first].actor, Actor::Replica(machine) if machine.starts == start);
        let ends = !runs_on || !self.is_well(first);
        if ends {
            self.end_second("the first one has fallen silent");
        }
        ends
    }

    /// A turn of the second process. It stops in time because it finds the first one.
    pub(super) fn turn_second(&mut self, index: usize) -> Result<usize, Violation> {
        let now = self.now;
        let Actor::Second(Some(second)) = &mut self.nodes[index].actor else { return Ok(0) };
        let (identity, until) = (second.machine.identity, second.until);
        match second.machine.flush(now)? {
            Flushed::GoesOn => {}
            Flushed::Damaged(why) | Flushed::Failed(why) => {
                self.end_second(&why);
                return Ok(0);
            }
            Flushed::Died => return Ok(0),
        }
        second.machine.remarks.clear();
        let (wall, shown) = (second.machine.wall(now), second.machine.clock.at(now));
        let Some(replica) = second.machine.replica_mut() else { return Ok(0) };
        let work = replica.poll(shown, lockstep_wire::Wall(wall));
        let mut events = Vec::new();
        while let Some(event) = replica.core.events.pop() {
            events.push(event);
        }
        let is_stopped = replica.core.is_stopped();
        for event in &events {
            self.tell(index, || Happening::Note(format!("{event:?}")));
        }
        if !is_stopped {
            return match now < until {
                true => Ok(work),
                false => {
                    Err(format!("ALIVE-1: a second process of {identity} hears the first one, and lives on"))
                }
            };
        }
        self.nodes[index].actor = Actor::Second(None);
        if events.iter().any(|event| matches!(event, NodeEvent::DuplicateIdentityOlder { .. })) {
            self.count(Event::SecondsStopped);
        } else if !events.iter().any(|event| matches!(event, NodeEvent::Overrun { .. })) {
            return Err(format!("STOPPED: the second process of {identity} stopped by itself: {events:?}"));
        }
        Ok(work)
    }

    /// Checks a datagram of the process at `index`: a second process of an identity probes, and sends
    /// nothing that counts (S12).
    pub(super) fn check_datagram(&mut self, index: usize, sent: &SentDatagram<'_>) -> Result<(), Violation> {
        let Actor::Second(_) = &self.nodes[index].actor else { return self.oracle.check_sent(index, sent) };
        match Datagram::decode(sent.bytes, keys::judge()) {
            Ok(Datagram::IdentityProbe(..)) => Ok(()),
            Ok(Datagram::Nack(..) | Datagram::Query(..) | Datagram::AddressProof(..)) => {
                self.oracle.check_sent(index, sent)
            }
            _ => {
                let kind = Header::peek(sent.bytes).and_then(|header| Kind::from_u8(header.kind));
                Err(format!("S12: a second process says {kind:?} while the first one lives"))
            }
        }
    }
}
