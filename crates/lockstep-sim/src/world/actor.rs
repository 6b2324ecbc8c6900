//! The process of a node: its next deadline, whether it runs, its ports.

use super::{Actor, ReaderSlot, SimNode, WorldWork};
use crate::keys::HostKeys;
use crate::kinds::SimClock;
use crate::machine::{Machine, MachineState};
use crate::net::SimNet;
use lockstep_wire::Nanos;

/// A deadline that is due again so soon behind a turn is due at once.
const AT_ONCE_NS: Nanos = 100_000;
/// No state of a process is due at once for so many turns that find nothing to do.
const VAIN_TURNS_MAX: u32 = 5_000;

impl SimNode {
    /// The next turn of a process behind one that did `work` at `now`, which wants it by `deadline`, at
    /// `earliest` or later.
    ///
    /// # Panics
    /// The deadlines of thousands of turns brought no work: one that has passed stays, and a process that
    /// sleeps until its next deadline never sleeps.
    pub(super) fn wake_by(&mut self, deadline: Nanos, (now, work): (Nanos, usize), earliest: Nanos) {
        self.wake_at = self.wake_at.min(deadline.max(earliest));
        let in_vain = work == 0 && deadline <= now + AT_ONCE_NS;
        self.vain_turns = if in_vain { self.vain_turns + 1 } else { 0 };
        assert!(
            self.vain_turns < VAIN_TURNS_MAX,
            "DEADLINE: {VAIN_TURNS_MAX} turns in vain until {deadline} ns"
        );
    }

    /// A replica's machine, and the keys of its process.
    pub(crate) fn machine(&mut self) -> Option<(&mut Machine, &HostKeys)> {
        match &mut self.actor {
            Actor::Replica(machine) => Some((&mut **machine, &self.keys)),
            _ => None,
        }
    }

    /// The time of its next turn or its start; never, if no process will run here again.
    pub(super) fn ready_at(&self) -> Nanos {
        let at = match &self.actor {
            Actor::Replica(machine) => match &machine.state {
                MachineState::Up(_) => self.wake_at,
                MachineState::Down(_, until) => *until,
                MachineState::Lost => Nanos::MAX,
            },
            Actor::Publisher(None, work) | Actor::Participant(None, work, _) => work.restart_at,
            Actor::Subscriber(None, reading) => reading.restart_at,
            Actor::Edge(edge) if edge.process.is_none() => edge.restart_at,
            Actor::Edge(_) => self.wake_at,
            Actor::Handle(_) | Actor::Second(None) => Nanos::MAX,
            Actor::Second(Some(_)) => self.wake_at,
            Actor::Publisher(..) | Actor::Subscriber(..) | Actor::Participant(..) => self.wake_at,
        };
        at.max(self.paused_until)
    }
}

impl Actor {
    /// Whether a process runs.
    pub(crate) fn runs(&self) -> bool {
        match self {
            Self::Replica(machine) => machine.replica().is_some(),
            Self::Publisher(process, _) => process.is_some(),
            Self::Subscriber(process, _) => process.is_some(),
            Self::Participant(process, ..) => process.is_some(),
            Self::Edge(edge) => edge.process.is_some(),
            Self::Second(second) => second.is_some(),
            Self::Handle(_) => false,
        }
    }

    /// The device of its process: of its first handle, or of its second one.
    pub(super) fn net_mut(&mut self, handle: usize) -> Option<&mut SimNet> {
        match self {
            Self::Replica(machine) => machine.replica_mut().map(|replica| replica.net_mut()),
            Self::Publisher(process, _) => process.as_mut().map(|process| process.net_mut()),
            Self::Subscriber(process, _) => process.as_mut().map(|process| process.net_mut()),
            Self::Participant(process, ..) => process.as_mut().map(|process| process.net_mut()),
            Self::Edge(edge) => edge.net_mut(handle),
            Self::Second(second) => second.as_mut().and_then(|second| second.net_mut()),
            Self::Handle(_) => None,
        }
    }

    /// The work of a publisher, if it publishes.
    pub(crate) fn work_mut(&mut self) -> Option<&mut WorldWork> {
        match self {
            Self::Publisher(_, work) | Self::Participant(_, work, _) => Some(work),
            _ => None,
        }
    }

    /// The work of a subscriber, if it reads.
    pub(crate) fn reading_mut(&mut self) -> Option<&mut ReaderSlot> {
        match self {
            Self::Subscriber(_, reading) | Self::Participant(_, _, reading) => Some(reading),
            _ => None,
        }
    }

    /// Whether it receives nothing any more.
    pub(super) fn is_over(&self) -> bool {
        match self {
            Self::Subscriber(_, reading) => reading.ended,
            Self::Participant(Some(process), _, reading) => reading.ended && process.publisher.is_lost(),
            _ => false,
        }
    }

    /// Whether its next turn delivers or reports something although nothing arrives.
    pub(super) fn is_left(&self) -> bool {
        match self {
            Self::Publisher(Some(process), _) => process.core.has_unreported(),
            Self::Subscriber(Some(process), _) => process.core.has_deliverable(),
            Self::Participant(Some(process), ..) => process.is_left(),
            Self::Edge(edge) => edge.process.as_ref().is_some_and(|process| process.is_left()),
            _ => false,
        }
    }

    /// Whether it must be called again soon, whatever arrives.
    pub(super) fn is_work_pending(&self) -> bool {
        match self {
            Self::Replica(machine) => machine.replica().is_some_and(|replica| replica.has_pending_work()),
            _ => false,
        }
    }

    /// The time at which a client must act, whatever arrives: to submit, to request or to resend.
    pub(super) fn client_deadline(&self, clock: SimClock) -> Option<Nanos> {
        match self {
            Self::Publisher(Some(process), work) => {
                let hands_in = if work.left > 0 { work.next_at } else { Nanos::MAX };
                Some(clock.reaches(process.core.next_deadline()).min(hands_in))
            }
            Self::Subscriber(Some(process), _) => Some(clock.reaches(process.core.next_deadline())),
            Self::Participant(Some(process), work, _) => {
                let hands_in = if work.left > 0 { work.next_at } else { Nanos::MAX };
                Some(clock.reaches(process.next_deadline()).min(hands_in))
            }
            _ => None,
        }
    }

    /// The latest time of its next poll.
    pub(super) fn next_deadline(&self) -> Option<Nanos> {
        match self {
            Self::Replica(machine) => {
                machine.replica().map(|replica| machine.clock.reaches(replica.next_deadline()))
            }
            Self::Second(Some(second)) => second.next_deadline(),
            _ => None,
        }
    }
}
