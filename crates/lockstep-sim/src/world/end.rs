//! The end of a run: whether all work is done, and what it waits for if not.

use super::{Room, World};
use crate::check::Violation;
use crate::clients::{ClientProcess, Clients, WorldWork};
use crate::context::RunContext;
use crate::machine::MachineState;
use crate::machines::{MachineNode, Machines};
use crate::wire::NodeSet;
use lockstep_core::engine::publisher::PublisherCore;
use lockstep_wire::{Epoch, Identity, Nanos};
use std::fmt::Write as _;

impl Machines {
    /// Whether a healthy replica knows all that is committed, or never will.
    fn is_done(&self, ctx: &RunContext, index: usize, healthy: NodeSet) -> bool {
        let machine = &self.nodes[index].machine;
        machine.replica().is_some_and(|replica| {
            replica.core.commit_next() >= ctx.oracle.facts.commit_next()
                || self.stays_behind(ctx, (replica.tail().promised(), machine.identity), healthy)
        })
    }

    /// A member that has promised above the epoch of the leader follows no leader until a higher epoch
    /// begins (S2). The others may ignore it where it is no member (it asked for votes when it took itself
    /// for one), and a leader that stays broken may never receive from it: a quorum that receives from that
    /// leader commits without it.
    fn stays_behind(
        &self,
        ctx: &RunContext,
        (promised, identity): (Epoch, Identity),
        healthy: NodeSet,
    ) -> bool {
        let led =
            ctx.oracle.facts.reference.tip().map_or(Epoch::NONE, |tip| ctx.oracle.facts.tree.stem(tip).epoch);
        let leads = |node: &MachineNode| node.machine.identity == led.leader();
        let is_led = self.nodes.iter().position(leads).is_some_and(|node| healthy >> node & 1 == 1);
        promised > led && !(is_led && self.members_in_force(ctx).contains(&identity))
    }
}

impl MachineNode {
    /// The state of a replica, in words.
    fn described(&self) -> String {
        match &self.machine.state {
            MachineState::Up(replica) => format!(
                "{} log {:?} promised {} commit {}",
                replica.role().name(),
                replica.tail().end(),
                replica.tail().promised(),
                replica.core.commit_next()
            ),
            MachineState::Down(..) => "down".to_string(),
            MachineState::Lost => "lost".to_string(),
        }
    }
}

impl Clients {
    /// Whether a client has published everything, and has read everything.
    fn is_done(&self, ctx: &RunContext, index: usize) -> bool {
        if self.is_of_set(index) {
            // The judge of the set judges it.
            return true;
        }
        let has_read = |ended: bool| ended || ctx.oracle.clients.has_delivered_all(&ctx.oracle.facts, index);
        match self.get(index) {
            Some(ClientProcess::Publisher(Some(process), work)) => {
                has_published(ctx, index, work, &process.core)
            }
            Some(ClientProcess::Publisher(None, work)) => work.restart_at == Nanos::MAX,
            Some(ClientProcess::Subscriber(Some(_), reading)) => has_read(reading.ended),
            Some(ClientProcess::Participant(Some(process), work, reading)) => {
                has_published(ctx, index, work, &process.publisher) && has_read(reading.ended)
            }
            Some(ClientProcess::Subscriber(None, _) | ClientProcess::Participant(None, ..)) => false,
            None => true,
        }
    }

    /// The kind and the state of a client, in words.
    pub(crate) fn described(&self, ctx: &RunContext, index: usize) -> (&'static str, String) {
        match self.get(index) {
            Some(ClientProcess::Publisher(process, work)) => {
                let state = format!(
                    "{} left, id {:?}, {} without fate, drained {:?}",
                    work.left,
                    work.id,
                    ctx.oracle.clients.without_outcome(index),
                    process.as_ref().map(|process| process.core.is_drained())
                );
                ("publisher ", state)
            }
            Some(ClientProcess::Subscriber(Some(process), reading)) => {
                let state = format!(
                    "{:?} next {} commit {} seen {}, done {}",
                    reading.delivery,
                    process.core.deliver_next(),
                    process.core.commit_next(),
                    process.core.stamped_next(),
                    ctx.oracle.clients.has_delivered_all(&ctx.oracle.facts, index)
                );
                ("subscriber ", state)
            }
            Some(ClientProcess::Subscriber(None, _)) => ("subscriber ", "down".to_string()),
            Some(ClientProcess::Participant(Some(process), work, reading)) => {
                let state = format!(
                    "{} left, id {:?}, {} without fate, drained {}, lost {}; {:?} next {} commit {} seen {}, \
                     ended {}, done {}",
                    work.left,
                    work.id,
                    ctx.oracle.clients.without_outcome(index),
                    process.publisher.is_drained(),
                    process.publisher.is_lost(),
                    reading.delivery,
                    process.subscriber.deliver_next(),
                    process.subscriber.commit_next(),
                    process.subscriber.stamped_next(),
                    reading.ended,
                    ctx.oracle.clients.has_delivered_all(&ctx.oracle.facts, index)
                );
                ("participant ", state)
            }
            Some(ClientProcess::Participant(None, ..)) => ("participant ", "down".to_string()),
            None => ("client ", "unknown".to_string()),
        }
    }
}

/// Whether a publisher has published everything, and has heard the outcomes.
fn has_published(ctx: &RunContext, index: usize, work: &WorldWork, core: &PublisherCore) -> bool {
    let is_done = work.left == 0 && core.is_drained() && ctx.oracle.clients.without_outcome(index) == 0;
    !ctx.oracle.clients.lacks_datagram(index) && !core.is_lost() && (work.fenced || is_done)
}

impl World {
    /// Whether the healthy nodes have finished all their work.
    pub(super) fn is_done(&self, healthy: NodeSet) -> bool {
        (0..self.count_nodes()).filter(|index| healthy >> index & 1 == 1).all(|index| {
            match self.rooms[index] {
                Room::Machines => self.machines.is_done(&self.ctx, index, healthy),
                Room::Clients => self.clients.is_done(&self.ctx, index),
                // The edge is checked separately.
                Room::Edge | Room::SecondProcess => true,
            }
        })
    }

    pub(super) fn describe_stuck(&self, healthy: NodeSet) -> Violation {
        let mut out = format!(
            "LIVENESS: a quorum is healed for {} ms and this is not done (committed below {}):",
            self.ctx.live_ns() / 1_000_000,
            self.ctx.oracle.facts.commit_next()
        );
        for index in 0..self.count_nodes() {
            let health = if healthy >> index & 1 == 1 { "healed" } else { "broken" };
            let described = match self.rooms[index] {
                Room::Machines => Some(("replica ", self.machines.nodes[index].described())),
                Room::Clients => Some(self.clients.described(&self.ctx, index)),
                Room::Edge => {
                    self.edge.as_ref().and_then(|edge| edge.described(index)).map(|what| ("", what))
                }
                Room::SecondProcess => None,
            };
            if let Some((kind, state)) = described {
                let _ = write!(out, "\n  {kind}{index} ({health}): {state}");
            }
        }
        out
    }
}
