//! The unicast probe. While the groups do not bring a replica the nodes that it listens for, it asks them
//! by unicast; it also answers such probes (MCAST-1).

use super::{Ctx, FollowerRole, ReplicaCore, ReplicaEngine, RoleState, Turn};
use crate::ports::Ports;
use lockstep_core::engine::counters::Counter;
use lockstep_core::engine::ports::Net;
use lockstep_core::proto::failure_detector::FailureDetectorLimits;
use lockstep_core::proto::unicast_probe::UnicastProbeLimits;
use lockstep_wire::{Condition, Identity, Kind, Nanos, QueryKind, SMALL_LEN_MAX, write_query};
use std::net::SocketAddrV4;

/// Groups that are silent for this many timeouts, while unicast is answered, are lost: some 60 ms by
/// default.
const MULTICAST_LOST_TIMEOUTS: u64 = 8;
/// The loss is known within a second whatever the timeouts are, unless heartbeats are rarer than that: then
/// after this many of them.
const MULTICAST_LOST_NS_MAX: Nanos = 750_000_000;
const MULTICAST_LOST_INTERVALS: u64 = 10;
/// Whatever the timeouts are, a missed node is probed after a quarter of a second, or behind the next
/// heartbeat but one.
const SILENCE_NS_MAX: Nanos = 250_000_000;
const SILENT_INTERVALS: u64 = 2;

/// The probe starts early enough for three answers before the silence is a suspicion. The loss is reported
/// when it has lasted a little.
pub(super) fn unicast_probe_limits(failure_detector: &FailureDetectorLimits) -> UnicastProbeLimits {
    UnicastProbeLimits {
        silence_ns: (failure_detector.timeout_ns / 2)
            .min(SILENCE_NS_MAX.max(SILENT_INTERVALS * failure_detector.heartbeat_interval_ns)),
        again_ns: failure_detector.heartbeat_interval_ns,
        lost_ns: (MULTICAST_LOST_TIMEOUTS * failure_detector.timeout_ns).min(
            MULTICAST_LOST_NS_MAX.max(MULTICAST_LOST_INTERVALS * failure_detector.heartbeat_interval_ns),
        ),
    }
}

impl<P: Ports> ReplicaEngine<P> {
    /// Probes the nodes that no group brings, when it is time. `drained` means that no datagram waits in
    /// the socket.
    #[inline]
    pub(super) fn poll_unicast_probe(&mut self, turn: Turn) {
        if turn.drained && !self.core.stopped && self.core.unicast_probe.poll(turn.now) {
            let (mut ctx, net, role) = self.parts(turn);
            ctx.send_unicast_probe(net, role.leading().is_some());
        }
    }
}

impl ReplicaCore {
    /// A group brought a node that we listen for.
    #[inline]
    pub(super) fn on_multicast_received(&mut self, now: Nanos) {
        self.unicast_probe.on_group(now);
        // A new role listens anew; a loss before it is still a loss.
        if self.conditions.holds(Condition::MulticastLost) {
            self.set_condition(Condition::MulticastLost, false, now, (self.followed.epoch().0, 0));
        }
    }
}

impl<P: Ports> Ctx<'_, P> {
    #[cold]
    fn send_unicast_probe(&mut self, net: &mut P::Net, leads: bool) {
        let epoch = self.core.followed.epoch();
        if epoch.round() == 0 {
            return;
        }
        let missed = |identity: Identity| leads || identity == epoch.leader();
        let members = self.core.log.membership;
        for member in members.members() {
            let identity = member.identity();
            if identity == self.core.identity() || !missed(identity) {
                continue;
            }
            let Some(address) = member.address() else { continue };
            self.core.outbox.number += 1;
            let mut out = [0; SMALL_LEN_MAX];
            let header = self.header(Kind::Query);
            let length = write_query(&mut out, self.core.keys(), header, 0, QueryKind::Probe, "");
            net.send_unicast(address, [&out[..length], &[]]);
            self.core.counters.add(Counter::UnicastProbesOut, 1);
        }
        if self.core.unicast_probe.detects_loss(self.turn.now) {
            self.core.counters.add(Counter::MulticastLost, 1);
            self.core.set_condition(Condition::MulticastLost, true, self.turn.now, (epoch.0, 0));
        }
    }

    /// A node that no group brings us asks whether we live: the reply is the datagram that the group should
    /// have brought.
    pub(super) fn on_unicast_probe(&mut self, role: &mut RoleState, net: &mut P::Net, from: SocketAddrV4) {
        let mut out = [0; SMALL_LEN_MAX];
        let length = match role {
            // Silenced, by unicast as well.
            _ if self.core.stopped => None,
            // A leader that checks before it sends, or has not begun, sends nothing to the group either.
            RoleState::Leading(leading)
                if !leading.must_drain && leading.has_epoch_begun(self.core, self.tail) =>
            {
                // The next heartbeat to the group still announces a lack of credit.
                let refusing = leading.refusing;
                let length = leading.write_heartbeat(self, &mut out);
                leading.refusing = refusing;
                Some(length)
            }
            RoleState::Following(following) if following.role == FollowerRole::Standby => {
                self.write_own_ack(&mut out)
            }
            _ => None,
        };
        if let Some(length) = length {
            net.send_unicast(from, [&out[..length], &[]]);
            self.core.counters.add(Counter::UnicastProbesIn, 1);
        }
    }
}
