//! What arrives at processes, and what they send.

use super::{Room, World};
use crate::check::{SentDatagram, Violation, digest};
use crate::context::{OPERATOR, RunPhase};
use crate::coverage::Event;
use crate::engines::address;
use crate::net::{SimNet, To};
use crate::operator::is_operator;
use crate::second_process::SecondProcess;
use crate::story::Happening;
use crate::wire::{NetworkModel, Route, SimPacket};
use lockstep_core::engine::ports::Group;

impl World {
    /// Moves packets that have arrived to the sockets.
    pub(super) fn receive(&mut self) {
        while let Some(letter) = self.ctx.network.arrive(self.ctx.now, &mut self.ctx.oracle.facts.coverage) {
            let SimPacket { route, number, sent_at, bytes } = letter;
            let wakes = self.ctx.now + 1 + self.ctx.rng.below(self.ctx.plan.turn_ns);
            let (now, owner) = (self.ctx.now, self.owner(route.to));
            let Some(waiting) = self.net_mut(route.to).map(|net| net.groups.len()) else { continue };
            if let Some(event) = self.node_mut(owner).host_mut().device.loses(now, route.group, waiting) {
                self.ctx.count(event);
                if event == Event::RingsOverrun
                    && let Some(net) = self.net_mut(route.to)
                {
                    net.groups.clear();
                }
                continue;
            }
            let Some(net) = self.net_mut(route.to) else { continue };
            let from = route.group.is_none().then(|| address(route.from));
            let is_joined = route.group.is_none_or(|group| net.joins(group));
            if net.arrive(bytes, from, route.group) {
                let host = self.node_mut(owner).host_mut();
                host.wake_at = host.wake_at.min(wakes);
                let from = route.from;
                if from == OPERATOR {
                    continue;
                }
                self.ctx.tell(route.to, || Happening::Arrived { number, from, sent_at });
            } else if is_joined {
                self.ctx.count(Event::Overflowed);
            }
        }
    }

    /// Puts the datagrams that the process sent, up to the first `count`, into the network; the oracle reads
    /// them first.
    pub(crate) fn send(&mut self, index: usize, count: usize) -> Result<(), Violation> {
        let Some(net) = self.net_mut(index) else { return Ok(()) };
        let mut sent = std::mem::take(&mut net.sent);
        if std::mem::take(&mut net.refused) {
            let event = if net.takes == 0 { Event::NoBuffers } else { Event::ShortSends };
            self.ctx.count(event);
        }
        sent.truncate(count);
        let network_model = match self.ctx.phase {
            RunPhase::Storm => self.ctx.plan.network,
            _ => NetworkModel { delay_ns: self.ctx.plan.network.delay_ns, ..NetworkModel::default() },
        };
        self.machines.check_log(&mut self.ctx, index)?;
        for (to, bytes) in &sent {
            let number = self.ctx.network.next_number();
            if let Some(story) = &mut self.ctx.story {
                story.record_sent(self.ctx.now, index, number, to, bytes);
            }
            self.ctx.oracle.facts.coverage.count_kind(bytes);
            let sent = SentDatagram { to: *to, from: address(index), bytes };
            self.check_datagram(index, &sent)?;
            self.trace_digest = digest(&bytes[..bytes.len().min(104)])
                ^ self.trace_digest.rotate_left(7)
                ^ self.ctx.now.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            if matches!(to, To::Unicast(to) if is_operator(*to)) {
                self.operator.answer(&mut self.ctx, &self.machines, bytes);
            }
            for other in 0..self.rooms.len() {
                let group = match to {
                    To::Unicast(to) if *to == address(other) => None,
                    To::Group(group) => Some(*group),
                    To::Unicast(_) => continue,
                };
                let route = Route { from: index, to: other, group };
                if other == index {
                    self.loop_back(index, group, bytes);
                } else if self.second_process.is_pair(index, other) {
                    // A datagram between the two processes of one identity always arrives: see `seconds`.
                    let letter = SimPacket { route, number, sent_at: self.ctx.now, bytes: bytes.clone() };
                    self.ctx.network.post(self.ctx.now + network_model.delay_ns, letter);
                } else if group != Some(Group::Submit) || self.is_replica(other) {
                    self.ctx.network.send(
                        &network_model,
                        self.ctx.now,
                        route,
                        bytes,
                        &mut self.ctx.oracle.facts.coverage,
                    );
                }
            }
        }
        Ok(())
    }

    /// Whether the node is a replica's process, the first one or a second one: it receives submissions.
    fn is_replica(&self, node: usize) -> bool {
        matches!(self.rooms[node], Room::Machines | Room::SecondProcess)
    }

    /// Checks a datagram of the process at `index`.
    fn check_datagram(&mut self, index: usize, sent: &SentDatagram<'_>) -> Result<(), Violation> {
        match self.rooms[index] {
            Room::SecondProcess => SecondProcess::check_datagram(&mut self.ctx, index, sent),
            _ => self.ctx.oracle.on_datagram(index, sent),
        }
    }

    /// The kernel hands a sender its own multicast at once.
    fn loop_back(&mut self, index: usize, group: Option<Group>, bytes: &[u8]) {
        if let (true, Some(group)) = (self.ctx.plan.loopback, group)
            && let Some(net) = self.net_mut(index)
        {
            net.arrive(bytes.to_vec(), None, Some(group));
        }
    }

    /// The node of the process that has the handle at `index`.
    fn owner(&self, index: usize) -> usize {
        self.edge.as_ref().and_then(|edge| edge.owner(index)).unwrap_or(index)
    }

    pub(super) fn has_second_handle(&self, index: usize) -> bool {
        self.edge.as_ref().is_some_and(|edge| edge.owner(index + 1) == Some(index))
    }

    /// The device of the handle at `index`, if its process runs.
    pub(super) fn net_mut(&mut self, index: usize) -> Option<&mut SimNet> {
        let owner = self.owner(index);
        self.node_mut(owner).net_mut(index - owner)
    }
}
