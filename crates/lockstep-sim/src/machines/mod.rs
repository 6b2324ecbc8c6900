//! The room of the machines: the hosts of replicas, witnesses and archivers, with their journals, clocks and
//! watchers. It touches what all rooms share, and no client and no gateway: those read journals here.

mod autopsy;
pub(crate) mod catch_up;
mod copies;
mod full_disks;
pub(crate) mod handover;
mod members;
mod outage;
pub(crate) mod reader;
pub(crate) mod recovery;
mod start;
mod turn;

use crate::check::{ReportedEvent, Violation};
use crate::context::RunContext;
use crate::host::{Host, SimProcess};
use crate::keys::HostKeys;
use crate::kinds::FaultNode;
use crate::machine::storage::StorageFault;
use crate::machine::{Machine, MachineState};
use crate::machines::handover::Draining;
use crate::net::SimNet;
use crate::wire::NodeSet;
use lockstep_core::engine::event::ReplicaEvent as NodeEvent;
use lockstep_wire::{Epoch, Identity, Nanos};

/// The machine of a replica on its host.
#[derive(Clone)]
pub(crate) struct MachineNode {
    pub(crate) host: Host,
    pub(crate) machine: Machine,
    /// The epoch that it leads, ...
    pub(crate) led: Option<Epoch>,
    /// It is to hand over.
    pub(crate) draining: Option<Draining>,
    /// ... and its watcher's death notice.
    pub(crate) notice: Vec<u8>,
    /// The next process that begins behind a checkpoint dies in the call that stores it.
    pub(crate) dies_installing: Option<StorageFault>,
}

impl SimProcess for MachineNode {
    fn host(&self) -> &Host {
        &self.host
    }

    fn host_mut(&mut self) -> &mut Host {
        &mut self.host
    }

    fn runs(&self) -> bool {
        self.machine.replica().is_some()
    }

    fn starts_at(&self) -> Nanos {
        match &self.machine.state {
            MachineState::Down(_, until) => *until,
            MachineState::Up(_) | MachineState::Lost => Nanos::MAX,
        }
    }

    fn net_mut(&mut self, _handle: usize) -> Option<&mut SimNet> {
        self.machine.replica_mut().map(|replica| replica.net_mut())
    }

    fn invariants(&self) {
        if let Some(replica) = self.machine.replica() {
            replica.invariants();
        }
    }

    fn is_work_pending(&self) -> bool {
        self.machine.replica().is_some_and(|replica| replica.has_pending_work())
    }

    fn next_deadline(&self) -> Option<Nanos> {
        self.machine.replica().map(|replica| self.machine.clock.reaches(replica.next_deadline()))
    }
}

impl MachineNode {
    /// The faults are over for it, and those that were planned to come later come soon.
    pub(crate) fn heal(&mut self, now: Nanos, short_ns: Nanos) {
        let Self { machine, dies_installing, .. } = self;
        (machine.disk_full_until, machine.disk_slow_until) = (0, 0);
        if let MachineState::Down(_, until) = &mut machine.state {
            *until = now;
        }
        // Planned in the fault phase: to die in a call or installing, to stop, to lose power then.
        for ordeal in [&mut machine.ordeal, dies_installing].into_iter().flatten() {
            ordeal.lasting = ordeal.lasting.min(short_ns);
        }
        if let Some((_, until)) = &mut machine.stopping {
            *until = (*until).min(now.saturating_add(short_ns));
        }
        machine.darkens = machine.darkens.map(|lasting| lasting.min(short_ns));
    }

    /// Whether its process runs, receives and sends.
    pub(crate) fn is_well(&self, ctx: &RunContext) -> bool {
        self.runs() && self.host.paused_until <= ctx.now && self.host.device.is_well(ctx.now)
    }
}

/// See the module. A machine's number here is its node number.
#[derive(Clone, Default)]
pub(crate) struct Machines {
    pub(crate) nodes: Vec<MachineNode>,
    /// Replicas whose identity never counts again.
    pub(crate) lost: NodeSet,
    /// Nodes that held no entry when the faults ended, and are to join.
    pub(crate) joiners: NodeSet,
    /// Death notices that were prepared for past epochs, with their nodes.
    pub(crate) old_notices: Vec<(usize, Vec<u8>)>,
    /// The events that the replica reports to its operator in its turn.
    pub(crate) events: Vec<NodeEvent>,
    /// Processes of replicas that have started.
    pub(crate) runs: u64,
    /// Leaders that have ended since the world asked.
    pub(crate) leaders_ended: u64,
}

impl Machines {
    /// A machine more, on a host of its own.
    pub(crate) fn add(&mut self, ctx: &RunContext, machine: Machine) {
        self.nodes.push(MachineNode {
            host: Host::new(&ctx.plan, ctx.now),
            machine,
            led: None,
            draining: None,
            notice: Vec::new(),
            dies_installing: None,
        });
    }

    /// The machine at a node, if there is one.
    pub(crate) fn get(&self, index: usize) -> Option<&Machine> {
        self.nodes.get(index).map(|node| &node.machine)
    }

    /// The machine at a node, if there is one.
    pub(crate) fn get_mut(&mut self, index: usize) -> Option<&mut Machine> {
        self.nodes.get_mut(index).map(|node| &mut node.machine)
    }

    /// The machine at a node, and the keys of its processes.
    pub(crate) fn with_keys(&mut self, index: usize) -> Option<(&mut Machine, &HostKeys)> {
        self.nodes.get_mut(index).map(|node| (&mut node.machine, &node.host.keys))
    }

    /// The target of a fault; the leader of the newest epoch, if it is for the leader.
    pub(crate) fn resolve(&self, target: FaultNode) -> Option<usize> {
        match target {
            FaultNode::Replica(index) => Some(index),
            FaultNode::Leader => {
                let leads = |index: &usize| self.leads(*index).is_some();
                (0..self.nodes.len()).filter(leads).max_by_key(|index| self.leads(*index))
            }
        }
    }

    /// The epoch that a replica leads.
    pub(crate) fn leads(&self, index: usize) -> Option<Epoch> {
        let node = self.nodes.get(index)?;
        node.led.filter(|_| node.runs())
    }

    /// The identity at a node that is not lost.
    pub(crate) fn identity_at(&self, node: usize) -> Option<Identity> {
        self.get(node).filter(|_| self.lost >> node & 1 == 0).map(|machine| machine.identity)
    }

    /// The node of this identity, if it is not lost.
    pub(crate) fn node_of(&self, identity: Identity) -> Option<usize> {
        (0..self.nodes.len()).find(|node| self.identity_at(*node) == Some(identity))
    }

    /// Checks the log of a replica before any of its datagrams about it.
    pub(crate) fn check_log(&self, ctx: &mut RunContext, index: usize) -> Result<(), Violation> {
        match self.get(index).and_then(Machine::replica) {
            Some(replica) => ctx.oracle.logs.check_replica(
                &mut ctx.oracle.facts,
                index,
                replica.tail(),
                replica.core.commit_next(),
            ),
            None => Ok(()),
        }
    }

    /// Checks the state of a replica after its turn, and what it has reported in it.
    pub(crate) fn check(&mut self, ctx: &mut RunContext, index: usize, looks: bool) -> Result<(), Violation> {
        let may_differ = self.nodes[index].machine.may_refuse();
        for event in std::mem::take(&mut self.events) {
            ctx.check_stable(index, &event)?;
            ctx.oracle.on_event(index, &ReportedEvent::Replica { event: &event, may_differ })?;
        }
        self.nodes[index].check_handover(ctx, index)?;
        let machine = &self.nodes[index].machine;
        match machine.replica() {
            // A ring with a flipped bit is no evidence.
            Some(_) if machine.is_damaged() => Ok(()),
            Some(replica) => {
                if looks {
                    replica.invariants();
                }
                ctx.oracle.tables.check_tables(&ctx.oracle.facts, index, replica)
            }
            None => Ok(()),
        }
    }
}
