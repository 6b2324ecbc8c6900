//! Faults of one process's device: it takes fewer datagrams than it is offered, or none; it does not receive
//! a group that was not joined; it drops a burst; it is a ring in memory that overruns its reader; and old
//! datagrams return to their sender, or come from another cluster.

use crate::coverage::Event;
use crate::fault_phase::ms;
use crate::keys;
use crate::kinds::DeviceFault;
use crate::plan::{Fault, Plan, PlannedFault};
use crate::rng::Rng;
use crate::story::Happening;
use crate::wire::Route;
use crate::world::World;
use lockstep_core::engine::ports::Group;
use lockstep_wire::{Header, Nanos};

/// One seed in so many has devices that fail.
const SELDOM: u64 = 4;
/// The time between two old datagrams that return.
const APART_NS: u64 = 200_000;
/// A device with its fault, and the end of that fault.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct SimDevice {
    fault: Option<(DeviceFault, Nanos)>,
}

impl SimDevice {
    fn fault(&self, now: Nanos) -> Option<DeviceFault> {
        self.fault.filter(|(_, until)| now < *until).map(|(device_fault, _)| device_fault)
    }

    /// Whether it has no fault.
    pub(crate) fn is_well(&self, now: Nanos) -> bool {
        self.fault(now).is_none()
    }

    /// Datagrams that a send call takes at most.
    pub(crate) fn takes(&self, now: Nanos) -> usize {
        match self.fault(now) {
            Some(DeviceFault::Takes(most)) => most,
            _ => usize::MAX,
        }
    }

    /// The reason for which an arriving datagram is lost, if it is; `waiting` wait already. With the last
    /// reason, all of these are lost too.
    pub(crate) fn loses(&mut self, now: Nanos, group: Option<Group>, waiting: usize) -> Option<Event> {
        match (self.fault(now)?, group) {
            (DeviceFault::Unjoined(unjoined), Some(group)) if unjoined == group => Some(Event::Unjoined),
            (DeviceFault::Drops(left @ 1..), _) => {
                self.fault = self.fault.map(|(_, until)| (DeviceFault::Drops(left - 1), until));
                Some(Event::BurstsLost)
            }
            (DeviceFault::Ring(most), Some(_)) if waiting >= most => Some(Event::RingsOverrun),
            _ => None,
        }
    }
}

impl Plan {
    /// The time of a busy turn. A process whose device takes nothing tries again in each turn: in long runs
    /// that are as few as of everything else, or an hour of it has more turns than all the rest.
    pub(crate) fn turn_of(&self, device: &SimDevice, now: Nanos) -> Nanos {
        if device.takes(now) == 0 { self.patient(self.turn_ns) } else { self.turn_ns }
    }

    /// Devices that fail; none in most runs.
    pub(crate) fn draw_devices(&mut self, rng: &mut Rng) {
        if rng.below(SELDOM) > 0 {
            return;
        }
        for _ in 0..1 + rng.below(3) {
            let class = rng.below(6);
            for _ in 0..1 + rng.below(3) {
                let node = match rng.below(3) {
                    0 => rng.below(self.nodes() as u64) as usize,
                    _ => rng.below(self.replicas as u64) as usize,
                };
                let lasting = rng.log_uniform(self.timeout_ns / 16, self.timeout_ns * 8);
                let ail = |device_fault| Fault::Ail(node, device_fault, lasting);
                let what = match class {
                    0 => ail(DeviceFault::Takes(rng.pick(&[0, 0, 1, 2]))),
                    1 => ail(DeviceFault::Unjoined(rng.pick(&Group::ALL))),
                    2 => ail(DeviceFault::Drops(rng.log_uniform(1, 64) as u32)),
                    3 => ail(DeviceFault::Ring(rng.pick(&[1, 2, 4, 16]))),
                    4 => Fault::Echo(1 + rng.below(8)),
                    _ => Fault::OtherCluster(1 + rng.below(8)),
                };
                self.faults.push(PlannedFault { at_ns: rng.below(self.fault_phase_ns), what });
            }
        }
        self.faults.sort_by_key(|fault| fault.at_ns);
    }
}

impl World {
    /// The device of this node fails for a while.
    pub(crate) fn inject(&mut self, node: usize, device_fault: DeviceFault, lasting: Nanos) {
        self.node_mut(node).host_mut().device.fault = Some((device_fault, self.ctx.now + lasting));
        self.ctx.tell(node, || Happening::Fault(format!("device: {device_fault:?} {}", ms(lasting))));
    }

    /// Datagrams of the past return to their senders.
    pub(crate) fn echo(&mut self, count: u64) {
        for _ in 0..count {
            let Some(mut letter) = self.ctx.network.old_packet() else { return };
            // The operator has no device here.
            if letter.route.from >= self.count_nodes() {
                continue;
            }
            letter.route = Route { from: letter.route.to, to: letter.route.from, ..letter.route };
            let at = self.ctx.now + self.ctx.rng.below(APART_NS);
            self.ctx.network.post(at, letter);
            self.ctx.count(Event::Echoes);
        }
    }

    /// Another cluster in the same group sends what this one sent long ago.
    pub(crate) fn speak_as_other_cluster(&mut self, count: u64) {
        for _ in 0..count {
            let Some(mut letter) = self.ctx.network.old_packet() else { return };
            let Some(header) = Header::peek(&letter.bytes) else { continue };
            let header = Header { cluster: keys::OTHER_CLUSTER, ..header };
            if letter.bytes.len() != header.length as usize {
                continue;
            }
            keys::other_cluster().seal(&mut letter.bytes, header);
            let at = self.ctx.now + self.ctx.rng.below(APART_NS);
            self.ctx.network.post(at, letter);
            self.ctx.count(Event::OtherClusters);
        }
    }
}
