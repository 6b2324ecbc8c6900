//! The device of one process, and its fault: it takes fewer datagrams than it is offered, or none; it does
//! not receive a group that was not joined; it drops a burst; it is a ring in memory that overruns its
//! reader.

use crate::coverage::Event;
use crate::kinds::DeviceFault;
use crate::plan::Plan;
use lockstep_core::engine::ports::Group;
use lockstep_wire::Nanos;

/// A device with its fault, and the end of that fault.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct SimDevice {
    fault: Option<(DeviceFault, Nanos)>,
}

impl SimDevice {
    fn fault(&self, now: Nanos) -> Option<DeviceFault> {
        self.fault.filter(|(_, until)| now < *until).map(|(device_fault, _)| device_fault)
    }

    /// It fails in this way, until then.
    pub(crate) fn fail(&mut self, how: DeviceFault, until: Nanos) {
        self.fault = Some((how, until));
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
}
