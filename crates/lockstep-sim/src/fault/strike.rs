//! How a fault strikes.

use super::Fault;
use crate::check::Violation;
use crate::world::World;
use lockstep_wire::Nanos;

/// What a fault does.
pub(crate) trait Strike {
    /// It strikes.
    fn apply(self, world: &mut World) -> Result<(), Violation>;

    /// Its duration, if it has one.
    fn lasting_mut(&mut self) -> Option<&mut Nanos> {
        None
    }
}

/// The same for whichever fault it is.
macro_rules! each {
    ($which:expr, $fault:ident => $what:expr) => {
        match $which {
            Fault::Crash($fault) => $what,
            Fault::Reboot($fault) => $what,
            Fault::Amnesia($fault) => $what,
            Fault::Damage($fault) => $what,
            Fault::Pause($fault) => $what,
            Fault::PauseClient($fault) => $what,
            Fault::Cut($fault) => $what,
            Fault::Isolate($fault) => $what,
            Fault::Clog($fault) => $what,
            Fault::DiskFull($fault) => $what,
            Fault::Power($fault) => $what,
            Fault::Reconfigure($fault) => $what,
            Fault::OtherTail($fault) => $what,
            Fault::Dark($fault) => $what,
            Fault::Last($fault) => $what,
            Fault::DiskFails($fault) => $what,
            Fault::Rot($fault) => $what,
            Fault::Vanish($fault) => $what,
            Fault::SlowFlush($fault) => $what,
            Fault::ClockStep($fault) => $what,
            Fault::Add($fault) => $what,
            Fault::Remove($fault) => $what,
            Fault::Replace($fault) => $what,
            Fault::Halved($fault) => $what,
            Fault::Rejoin($fault) => $what,
            Fault::Reformat($fault) => $what,
            Fault::DiesInstalling($fault) => $what,
            Fault::TwoOrders($fault) => $what,
            Fault::LateOrder($fault) => $what,
            Fault::RemoveDeclaredDead($fault) => $what,
            Fault::Handover($fault) => $what,
            Fault::Upgrade($fault) => $what,
            Fault::TimeOrder($fault) => $what,
            Fault::Rotate($fault) => $what,
            Fault::OldDown($fault) => $what,
            Fault::ForgedDown($fault) => $what,
            Fault::Replay($fault) => $what,
            Fault::ClientCrash($fault) => $what,
            Fault::Fence($fault) => $what,
            Fault::Close($fault) => $what,
            Fault::Edge($fault) => $what,
            Fault::Ail($fault) => $what,
            Fault::Echo($fault) => $what,
            Fault::OtherCluster($fault) => $what,
            Fault::Attack($fault) => $what,
            Fault::Tamper($fault) => $what,
            Fault::QuorumLoss($fault) => $what,
            Fault::LongSuspension($fault) => $what,
            Fault::Copy($fault) => $what,
            Fault::RollBack($fault) => $what,
            Fault::Carry($fault) => $what,
            Fault::Second($fault) => $what,
        }
    };
}

impl Fault {
    /// It strikes.
    pub(crate) fn apply(self, world: &mut World) -> Result<(), Violation> {
        each!(self, fault => fault.apply(world))
    }

    /// Its duration, if it has one.
    pub(crate) fn lasting_mut(&mut self) -> Option<&mut Nanos> {
        each!(self, fault => fault.lasting_mut())
    }
}
