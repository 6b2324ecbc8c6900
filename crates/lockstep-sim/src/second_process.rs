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

use crate::check::{SentDatagram, Violation};
use crate::context::RunContext;
use crate::coverage::Event;
use crate::engines::replica_limits;
use crate::host::{Host, SimProcess};
use crate::keys;
use crate::kinds::FaultNode;
use crate::machine::storage::Flushed;
use crate::machine::{Machine, MachineState, Started};
use crate::machines::Machines;
use crate::net::SimNet;
use crate::story::Happening;
use lockstep_core::engine::event::ReplicaEvent as NodeEvent;
use lockstep_replica::journal::Superblock;
use lockstep_wire::{Datagram, Header, Kind, Nanos, Wall};

/// Boots of the other machine are not those of the first.
const OTHER_BOOT: u64 = 1 << 32;
/// A second process that receives from the first one has stopped after so many probes.
const PROBES_MAX: u64 = 2;

/// A second process, on a machine of its own.
#[derive(Clone)]
pub(crate) struct Second {
    machine: Machine,
    /// The node of the first one, and the number of its process.
    first: usize,
    start: u64,
    /// It has stopped by then.
    until: Nanos,
}

/// The room of a second process, on a host of its own: it touches what all rooms share, and looks at the
/// machine of the first one.
#[derive(Clone)]
pub(crate) struct SecondProcess {
    host: Host,
    /// Its node, where the plan has one.
    node: usize,
    second: Option<Box<Second>>,
}

impl SimProcess for SecondProcess {
    fn host(&self) -> &Host {
        &self.host
    }

    fn host_mut(&mut self) -> &mut Host {
        &mut self.host
    }

    fn runs(&self) -> bool {
        self.second.is_some()
    }

    fn starts_at(&self) -> Nanos {
        Nanos::MAX
    }

    fn net_mut(&mut self, _handle: usize) -> Option<&mut SimNet> {
        self.second.as_mut()?.machine.replica_mut().map(|replica| replica.net_mut())
    }

    fn invariants(&self) {
        if let Some(replica) = self.second.as_ref().and_then(|second| second.machine.replica()) {
            replica.invariants();
        }
    }

    fn next_deadline(&self) -> Option<Nanos> {
        let machine = &self.second.as_ref()?.machine;
        machine.replica().map(|replica| machine.clock.reaches(replica.next_deadline()))
    }
}

impl SecondProcess {
    /// The time of its next turn, and its node.
    pub(crate) fn ready(&self) -> (Nanos, usize) {
        (self.ready_at(), self.node)
    }

    /// None yet; its node is `node`, where the plan has one.
    pub(crate) fn new(ctx: &RunContext, node: usize) -> Self {
        Self { host: Host::new(&ctx.plan, ctx.now), node, second: None }
    }

    /// Whether one of these is the second process of the other's identity.
    pub(crate) fn is_pair(&self, one: usize, other: usize) -> bool {
        let first = self.second.as_ref().map(|second| second.first);
        first.is_some_and(|first| (one, other) == (first, self.node) || (one, other) == (self.node, first))
    }

    /// Starts a second process on the copied files.
    pub(crate) fn begin(
        &mut self,
        ctx: &mut RunContext,
        machines: &Machines,
        target: FaultNode,
        with_ring: bool,
        ahead_ms: i64,
    ) -> Result<(), Violation> {
        let (Some(first), None) = (machines.resolve(target), &self.second) else { return Ok(()) };
        let is_well = machines.nodes[first].is_well(ctx) && machines.lost >> first & 1 == 0;
        let Some(machine) = machines.get(first) else { return Ok(()) };
        let has_probed = machine.replica().is_some_and(|replica| replica.core.has_probed());
        let Some(carried) = machine.carried.clone().filter(|carried| carried.identity == machine.identity)
        else {
            return Ok(());
        };
        if !is_well || !has_probed || machine.may_refuse() {
            return Ok(());
        }
        let (configured, identity, start) = (machine.configured, machine.identity, machine.starts);
        let mut other = Machine::new(&ctx.plan, configured, identity)?;
        other.store = carried.files;
        other.boot = OTHER_BOOT + machine.boot;
        other.wall_ahead = machine.wall_ahead + ahead_ms * 1_000_000;
        // It may be refused as incomplete.
        other.forgot = true;
        other.state = MachineState::Down(carried.ring.filter(|_| with_ring), ctx.now);
        let is_complete = other.is_on_device();
        let is_clean = matches!(Superblock::load(&other.store), Ok(Ok(copies)) if copies.newest.run.clean);
        let process = (&configured, identity, &machines.nodes[first].host.keys.replica);
        let limits = replica_limits(&ctx.plan, first, process, other.wall(ctx.now), &mut ctx.rng);
        let look_ns = limits.identity_probe_ns;
        match other.start(&ctx.plan, first, limits)? {
            Started::Runs(_) if !is_complete => {
                return Err(format!(
                    "S9: a copy of the journal of {identity} lacks what its first process said, and starts elsewhere"
                ));
            }
            Started::Runs(_) => {
                ctx.count(Event::Seconds);
                if is_clean {
                    ctx.count(Event::SecondsClean);
                }
                if ahead_ms < 0 {
                    ctx.count(Event::SecondsBehind);
                }
                let until = ctx.now + PROBES_MAX * look_ns;
                let second = Second { machine: other, first, start, until };
                self.second = Some(Box::new(second));
                // A suspension of the process before is not its own.
                (self.host.wake_at, self.host.idle_ns, self.host.paused_until) = (ctx.now, 0, ctx.now);
                ctx.tell(self.node, || {
                    Happening::Fault(format!("begins as {identity}, {ahead_ms} ms ahead"))
                });
            }
            Started::Silent(why) | Started::Damaged(why) => {
                ctx.count(Event::SecondsRefused);
                ctx.tell(self.node, || Happening::Note(format!("does not start as {identity}: {why}")));
            }
            Started::Ran | Started::Died | Started::Failed(_) => {}
        }
        Ok(())
    }

    /// The operator ends the second process, if there is one.
    pub(crate) fn end(&mut self, ctx: &mut RunContext, why: &str) {
        if self.second.take().is_some() {
            ctx.count(Event::SecondsLeft);
            ctx.tell(self.node, || Happening::Fault(format!("is ended: {why}")));
        }
    }

    /// Ends the second process, if the first one has become silent meanwhile: no other node could inform it
    /// that it is the second.
    pub(crate) fn ends(&mut self, ctx: &mut RunContext, machines: &Machines) -> bool {
        let Some(second) = &self.second else { return false };
        let (first, start) = (second.first, second.start);
        let runs_on = machines.get(first).is_some_and(|machine| machine.starts == start);
        let ends = !runs_on || !machines.nodes[first].is_well(ctx);
        if ends {
            self.end(ctx, "the first one has fallen silent");
        }
        ends
    }

    /// A turn of the second process. It stops in time because it finds the first one.
    pub(crate) fn turn(&mut self, ctx: &mut RunContext) -> Result<usize, Violation> {
        let now = ctx.now;
        let Some(second) = &mut self.second else { return Ok(0) };
        let (identity, until) = (second.machine.identity, second.until);
        match second.machine.flush(now)? {
            Flushed::GoesOn => {}
            Flushed::Damaged(why) | Flushed::Failed(why) => {
                self.end(ctx, &why);
                return Ok(0);
            }
            Flushed::Died => return Ok(0),
        }
        second.machine.remarks.clear();
        let (wall, shown) = (second.machine.wall(now), second.machine.clock.at(now));
        let Some(replica) = second.machine.replica_mut() else { return Ok(0) };
        let work = replica.poll(shown, Wall(wall));
        let mut events = Vec::new();
        while let Some(event) = replica.core.events.pop() {
            events.push(event);
        }
        let is_stopped = replica.core.is_stopped();
        for event in &events {
            ctx.tell(self.node, || Happening::Note(format!("{event:?}")));
        }
        if !is_stopped {
            return match now < until {
                true => Ok(work),
                false => {
                    Err(format!("ALIVE-1: a second process of {identity} hears the first one, and lives on"))
                }
            };
        }
        self.second = None;
        if events.iter().any(|event| matches!(event, NodeEvent::DuplicateIdentityOlder { .. })) {
            ctx.count(Event::SecondsStopped);
        } else if !events.iter().any(|event| matches!(event, NodeEvent::Overrun { .. })) {
            return Err(format!("STOPPED: the second process of {identity} stopped by itself: {events:?}"));
        }
        Ok(work)
    }

    /// Checks a datagram of a second process of an identity: it probes, and sends nothing that counts (S12).
    pub(crate) fn check_datagram(
        ctx: &mut RunContext,
        index: usize,
        sent: &SentDatagram<'_>,
    ) -> Result<(), Violation> {
        match Datagram::decode(sent.bytes, keys::judge()) {
            Ok(Datagram::IdentityProbe(..)) => Ok(()),
            Ok(Datagram::Nack(..) | Datagram::Query(..) | Datagram::AddressProof(..)) => {
                ctx.oracle.on_datagram(index, sent)
            }
            _ => {
                let kind = Header::peek(sent.bytes).and_then(|header| Kind::from_u8(header.kind));
                Err(format!("S12: a second process says {kind:?} while the first one lives"))
            }
        }
    }
}
