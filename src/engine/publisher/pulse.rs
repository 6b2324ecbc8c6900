//! What a publisher does while no group brings it the leader (MCAST-1): it asks replicas by unicast, each in its
//! turn, and what it submits goes by unicast too, to the one that answers as the leader: where no group comes from
//! it, none may lead to it.

use super::PublisherCore;
use crate::engine::counters::Counter;
use crate::engine::ports::{Burst, Group, Net};
use crate::wire::{Header, Kind, Nanos, SMALL_LEN_MAX, Topic, write_question};
use std::net::SocketAddrV4;

impl PublisherCore {
    /// The leader was heard: by a group, or by unicast from an address.
    pub(super) fn on_leader(&mut self, now: Nanos, from: Option<SocketAddrV4>) {
        match from {
            None => _ = self.pulse.on_group(now),
            Some(_) => self.pulse.on_answer(),
        }
        self.leader_at = from;
    }

    #[cold]
    pub(super) fn ask_for_pulse(&mut self, net: &mut impl Net, now: Nanos, wall: Nanos) {
        self.number += 1;
        let header = Header { number: self.number, ..self.header(Kind::Question, wall) };
        let mut out = [0; SMALL_LEN_MAX];
        let length = write_question(&mut out, header, 0, Topic::Pulse, "");
        let asked = self.counters.get(Counter::PulsesOut);
        if let Some(to) = self.rx.address_at(asked) {
            net.send_unicast(to, [&out[..length], &[]]);
            self.counters.add(Counter::PulsesOut, 1);
        }
        if self.pulse.finds_lost(now) {
            self.counters.add(Counter::MulticastLost, 1);
        }
    }
}

/// Offers submissions to the group, and to the leader alone where only unicast brings it. Returns how many the
/// group's device took.
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
