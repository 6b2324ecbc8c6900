//! The end of a run: whether all work is done, and what it waits for if not.

use super::{Actor, SimNode, World, WorldWork};
use crate::context::BEGIN_NS;
use crate::check::Violation;
use crate::machine::MachineState;
use crate::wire::NodeSet;
use lockstep_core::engine::publisher::PublisherCore;
use lockstep_wire::{Epoch, Identity, Nanos};
use std::fmt::Write as _;

impl World {
    /// Whether no fault makes a leader unavailable any more.
    pub(crate) fn is_quiet(&self) -> bool {
        self.ctx.plan.quiet_from.is_some_and(|from| self.ctx.now >= BEGIN_NS + from)
    }

    /// Whether the healthy nodes have finished all their work.
    pub(super) fn is_done(&self, healthy: NodeSet) -> bool {
        self.nodes.iter().enumerate().filter(|(index, _)| healthy >> index & 1 == 1).all(|(index, node)| {
            match &node.actor {
                Actor::Publisher(Some(process), work) => self.has_published(index, work, &process.core),
                Actor::Publisher(None, work) => work.restart_at == Nanos::MAX,
                Actor::Subscriber(Some(_), reading) => reading.ended || self.ctx.oracle.has_delivered_all(index),
                Actor::Subscriber(None, _) => false,
                Actor::Participant(Some(process), work, reading) => {
                    self.has_published(index, work, &process.publisher)
                        && (reading.ended || self.ctx.oracle.has_delivered_all(index))
                }
                Actor::Participant(None, ..) => false,
                // The edge is checked separately.
                Actor::Edge(_) | Actor::Handle(_) | Actor::Second(_) => true,
                Actor::Replica(machine) => machine.replica().is_some_and(|replica| {
                    replica.core.commit_next() >= self.ctx.oracle.commit_next()
                        || self.stays_behind(replica.tail().promised(), machine.identity, healthy)
                }),
            }
        })
    }

    /// Whether a publisher has published everything, and has heard the outcomes.
    fn has_published(&self, index: usize, work: &WorldWork, core: &PublisherCore) -> bool {
        let is_done = work.left == 0 && core.is_drained() && self.ctx.oracle.without_outcome(index) == 0;
        !self.ctx.oracle.lacks_datagram(index) && !core.is_lost() && (work.fenced || is_done)
    }

    /// A member that has promised above the epoch of the leader follows no leader until a higher epoch
    /// begins (S2). The others may ignore it where it is no member (it asked for votes when it took itself
    /// for one), and a leader that stays broken may never receive from it: a quorum that receives from that
    /// leader commits without it.
    fn stays_behind(&self, promised: Epoch, identity: Identity, healthy: NodeSet) -> bool {
        let led = self.ctx.oracle.reference.tip().map_or(Epoch::NONE, |tip| self.ctx.oracle.tree.stem(tip).epoch);
        let leads = |node: &SimNode| matches!(&node.actor, Actor::Replica(machine) if machine.identity == led.leader());
        let is_led = self.nodes.iter().position(leads).is_some_and(|node| healthy >> node & 1 == 1);
        promised > led && !(is_led && self.members_in_force().contains(&identity))
    }

    pub(super) fn describe_stuck(&self, healthy: NodeSet) -> Violation {
        let mut out = format!(
            "LIVENESS: a quorum is healed for {} ms and this is not done (committed below {}):",
            self.live_ns() / 1_000_000,
            self.ctx.oracle.commit_next()
        );
        for (index, node) in self.nodes.iter().enumerate() {
            let health = if healthy >> index & 1 == 1 { "healed" } else { "broken" };
            let _ = match &node.actor {
                Actor::Replica(machine) => match &machine.state {
                    MachineState::Up(replica) => write!(
                        out,
                        "\n  replica {index} ({health}): {} log {:?} promised {} commit {}",
                        replica.role().name(),
                        replica.tail().end(),
                        replica.tail().promised(),
                        replica.core.commit_next()
                    ),
                    MachineState::Down(..) => write!(out, "\n  replica {index} ({health}): down"),
                    MachineState::Lost => write!(out, "\n  replica {index} ({health}): lost"),
                },
                Actor::Publisher(process, work) => write!(
                    out,
                    "\n  publisher {index} ({health}): {} left, id {:?}, {} without fate, drained {:?}",
                    work.left,
                    work.id,
                    self.ctx.oracle.without_outcome(index),
                    process.as_ref().map(|process| process.core.is_drained())
                ),
                Actor::Subscriber(Some(process), reading) => write!(
                    out,
                    "\n  subscriber {index} ({health}): {:?} next {} commit {} seen {}, done {}",
                    reading.delivery,
                    process.core.deliver_next(),
                    process.core.commit_next(),
                    process.core.stamped_next(),
                    self.ctx.oracle.has_delivered_all(index)
                ),
                Actor::Subscriber(None, _) => write!(out, "\n  subscriber {index} ({health}): down"),
                Actor::Participant(Some(process), work, reading) => write!(
                    out,
                    "\n  participant {index} ({health}): {} left, id {:?}, {} without fate, drained {}, lost {}; {:?} next {} \
                     commit {} seen {}, ended {}, done {}",
                    work.left,
                    work.id,
                    self.ctx.oracle.without_outcome(index),
                    process.publisher.is_drained(),
                    process.publisher.is_lost(),
                    reading.delivery,
                    process.subscriber.deliver_next(),
                    process.subscriber.commit_next(),
                    process.subscriber.stamped_next(),
                    reading.ended,
                    self.ctx.oracle.has_delivered_all(index)
                ),
                Actor::Participant(None, ..) => write!(out, "\n  participant {index} ({health}): down"),
                Actor::Edge(edge) => write!(out, "\n  {index} ({health}): {edge}"),
                Actor::Handle(_) | Actor::Second(_) => Ok(()),
            };
        }
        out
    }
}
