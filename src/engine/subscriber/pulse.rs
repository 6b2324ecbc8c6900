//! What a subscriber does while no group brings it the leader (MCAST-1).

use super::SubscriberCore;
use crate::engine::counters::Counter;
use crate::engine::ports::Net;
use crate::wire::{Header, Kind, Nanos, SMALL_LEN_MAX, Topic, write_question};

impl SubscriberCore {
    /// MCAST-1: no group brings the leader, so a replica is asked by unicast, each in its turn.
    #[cold]
    pub(super) fn ask_for_pulse(&mut self, net: &mut impl Net, now: Nanos) {
        self.number += 1;
        let limits = &self.limits.receiver;
        let header = Header {
            cluster: limits.cluster,
            history: self.rx.history(),
            epoch: self.rx.follow.epoch().0,
            sender: limits.me.replica,
            incarnation: limits.me.incarnation,
            number: self.number,
            ..Header::new(Kind::Question)
        };
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
