//! The contestants of a measure, and the scheduling class of a client.

use crate::results::{Row, Unit};
use clap::ValueEnum;
use lockstep_process::cpu::{self, SchedulingClass};

/// A contestant.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Contestant {
    /// The floor with the plainest calls: `recv` and `sendto`, one datagram each.
    Plain,
    /// The floor on lockstep's own device: `recvmmsg` with UDP_GRO, `sendmmsg` with UDP_SEGMENT.
    Io,
    /// lockstep.
    Lockstep,
}

impl Contestant {
    /// All, in the order of a round.
    pub const ALL: [Self; 3] = [Self::Plain, Self::Io, Self::Lockstep];

    /// As tables call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "floor (recv, sendto)",
            Self::Io => "floor (lockstep's io)",
            Self::Lockstep => "lockstep",
        }
    }

    /// As JSON and flags call it.
    pub fn key(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Io => "io",
            Self::Lockstep => "lockstep",
        }
    }

    /// Its row in a case: all but lockstep are floors.
    pub fn row(self, case: &str, words: &str, unit: Unit) -> Row {
        Row::new(case, self.key(), words, unit).as_floor(self != Self::Lockstep)
    }
}

/// The client's thread in a scheduling class, until it is dropped: processes are started outside of it, as
/// they would inherit it with all their threads.
pub struct Scheduled(());

impl Scheduled {
    /// Puts this thread into `class`.
    ///
    /// # Errors
    /// The system does not let it, and what would.
    pub fn new(class: SchedulingClass) -> Result<Self, String> {
        let effective = cpu::schedule(class);
        if effective.got == effective.requested { Ok(Self(())) } else { Err(effective.to_string()) }
    }
}

impl Drop for Scheduled {
    fn drop(&mut self) {
        cpu::schedule(SchedulingClass::Other);
    }
}
