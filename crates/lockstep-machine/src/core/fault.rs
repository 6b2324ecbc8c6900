//! Why a copy of a machine ends.

use crate::agreement::Parting;
use crate::report::CopySettings;
use lockstep_core::engine::outputs::Divergence;
use lockstep_wire::Seq;
use std::fmt;

/// Why a copy cannot continue.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum MachineFault {
    /// The stream has another output than this state.
    Output(Divergence),
    /// Its state differs from that of most replicas, or of half of them.
    Odd(Option<Parting>),
    /// A reader of the stamped stream has applied entries from this one on that did not survive a takeover:
    /// the owner restores the state from a snapshot, and continues.
    Retracted(Seq),
    /// No journal has the stream from `from` on any more; the oldest available entry is `oldest`. A snapshot
    /// of a peer may begin there.
    Abandoned {
        /// The first seq that is missing.
        from: Seq,
        /// The oldest available seq.
        oldest: Seq,
    },
    /// The machine has failed, for this reason: its state after the last input is invalid.
    Machine(String),
    /// The stream cannot be read further, for this reason.
    Stream(String),
    /// It began with other settings than the first copy of its version, and has published nothing.
    Settings {
        /// Its own.
        own: CopySettings,
        /// The number of the first copy.
        replica: u8,
        /// Its settings.
        first: CopySettings,
    },
    /// Its outputs or reports cannot be published any more, for this reason.
    Publish(String),
}

impl fmt::Display for MachineFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Output(divergence) => divergence.fmt(f),
            Self::Odd(parting) => {
                f.write_str("this replica's state differs from that of most replicas, and it stops; ")?;
                match parting {
                    Some(parting) => parting.fmt(f),
                    None => f.write_str("the others report the same"),
                }
            }
            Self::Retracted(from) => write!(
                f,
                "entries from seq {from} on did not survive a takeover, and were applied: the state is restored from a \
                 snapshot"
            ),
            Self::Abandoned { from, oldest } => write!(
                f,
                "seq {from} is no longer available, the oldest is {oldest}: give this replica a snapshot of \
                 a peer (peers), or read from an archiver that has it"
            ),
            Self::Settings { own, replica, first } => write!(
                f,
                "this replica's settings are {own}, and replica {replica}, the first of this version, began with {first}: start \
                 it with the same settings; to change them, raise the machine's VERSION, or make them inputs"
            ),
            Self::Machine(why) => write!(f, "the machine has failed: {why}"),
            Self::Stream(why) | Self::Publish(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for MachineFault {}
