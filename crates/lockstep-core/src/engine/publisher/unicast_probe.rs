//! What a publisher does besides while no group brings it the leader (MCAST-1): what it submits goes by
//! unicast too, to the one that answers as the leader: where no group comes from it, none may lead to it.

use super::PublisherCore;
use crate::engine::ports::{Burst, Group, Net};
use crate::engine::unicast_probe::ask_for_unicast_probe;
use lockstep_wire::{Header, Kind, Nanos, Wall};
use std::net::SocketAddrV4;

/// After so many resends in a row a submission goes to the leader alone as well: a loss of 30 % does that
/// once in a hundred times.
const SILENT_TIMEOUTS: u16 = 4;

impl PublisherCore {
    /// The leader was received: by a group, or by unicast from an address.
    pub(super) fn on_leader(&mut self, now: Nanos, from: Option<SocketAddrV4>) {
        match from {
            None => _ = self.unicast_probe.on_group(now),
            Some(_) => self.unicast_probe.on_answer(),
        }
        self.leader_at = from;
        self.leader_contact.on_leader(now);
    }

    /// Where the leader is, if it is heard and stamps nothing of what it is sent again and again: its group
    /// may bring us everything and ours it nothing.
    #[inline]
    pub(super) fn leader_silence_ns(&self) -> Option<SocketAddrV4> {
        if self.window.timeouts() < SILENT_TIMEOUTS {
            return None;
        }
        let leader = self.followed.epoch().leader().replica;
        self.rx
            .requests
            .repairers()
            .iter()
            .find(|repairer| repairer.replica == leader)
            .map(|repairer| repairer.address)
    }

    pub(super) fn send_unicast_probe(&mut self, net: &mut impl Net, now: Nanos, wall: Wall) {
        self.number += 1;
        let header = Header { number: self.number, ..self.header(Kind::Query, wall) };
        ask_for_unicast_probe(net, now, &self.rx, &mut self.unicast_probe, &mut self.counters, header);
    }
}

/// Offers submissions to the group, and to the leader alone where only unicast brings it. Returns how many
/// the group's device took.
#[inline]
pub(super) fn submit(net: &mut impl Net, leader_at: Option<SocketAddrV4>, bursts: &[Burst<'_>]) -> usize {
    if let Some(leader) = leader_at {
        submit_alone(net, leader, bursts);
    }
    net.send_group(Group::Submit, bursts)
}

/// What finds no room is sent again in its time, as everything is.
#[cold]
fn submit_alone(net: &mut impl Net, leader: SocketAddrV4, bursts: &[Burst<'_>]) {
    for burst in bursts.iter().filter(|burst| burst.stride > 0) {
        for datagram in burst.bytes.chunks(burst.stride) {
            net.send_unicast(leader, [datagram, &[]]);
        }
    }
}
