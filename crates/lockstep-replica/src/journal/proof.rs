//! # proof: does a journal still hold everything that its replica acknowledged or promised?
//!
//! Rule S9 asks whether this replica may vote under its identity, or may have forgotten something that it
//! acknowledged or promised. One record in the superblock answers that, together with the evidence found.
//! The record is written and flushed before the first datagram of a run, and [`judge`] is the only place
//! that compares it with anything. The *present* configuration is no evidence of *earlier*
//! acknowledgements, and no part of it.
//!
//! ```text
//!  format ─▶ clean ──begin (both copies)──▶ in use: ring g, acks by process | power
//!              ▲                                   │    │   │
//!              │◀── a start that fails changes ────┘    │   └─ power, and all of before is on the device:
//!              │    nothing that is judged              │      acks by power
//!              └───────────── stop in order ────────────┘
//!                 (all segments synced, then recorded)
//! ```
//!
//! | the present ring | the record | the journal is |
//! |---|---|---|
//! | the one that the record names | any | complete: memory holds all that was acknowledged or promised |
//! | no such ring | clean, and the log ends where it ended then | complete |
//! | no such ring | in use, acks by `power` | complete: the device lacks nothing of that |
//! | no such ring | in use, acks by `process` | incomplete |
//! | a ring that is newer than the record | any | incomplete: the journal is an older copy of itself |
//! | any | segments that were on the device are missing, or damage | incomplete |
//! | the one that the record names | the segments lack what it knows them to hold | incomplete, as damage |
//!
//! A record becomes *weaker* (from clean to in use, from `power` to `process`) only when a run begins, and
//! then both copies of the superblock are written before the run sends anything. It becomes *stronger* (on
//! the device, clean) once that is true, by one copy. So the stronger one of the two copies is in force:
//! the weaker one alone is a start that was interrupted before it sent anything.

use crate::journal::layout::TailLabel;
use lockstep_core::proto::commit::Durability;
use lockstep_core::proto::planted::{Mutation, planted};
use lockstep_wire::{Chain, Identity, Seq};
use std::fmt;

/// The record of a replica's acknowledgements and promises, and of where they are stored. Part of the
/// superblock.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct RunRecord {
    /// The machine's boot in which the last run began.
    pub boot: [u64; 2],
    /// It stopped in order: the device holds everything that was acknowledged or promised, and the log ends
    /// at the superblock's high mark.
    pub clean: bool,
    /// The weakest durability of an acknowledgement or promise that the device is not known to hold since.
    pub weakest_durability: Durability,
    /// The number of the ring that this run uses: its label has the same number. 0 before the first run.
    pub ring: u64,
    /// Numbers of rings that were assigned so far, the last one included.
    pub rings: u64,
    /// Sealed segments up to this one are on the device as a whole.
    pub synced_to: u64,
    /// The newest segment of which the device has a part. By `power` it is recorded before anything rests on
    /// that segment, so that a file which is removed while its node is down is missed after a power cut too.
    pub begun_to: u64,
}

impl RunRecord {
    /// The record of a replica that has acknowledged and promised nothing.
    pub fn fresh(boot: [u64; 2]) -> Self {
        Self {
            boot,
            clean: true,
            weakest_durability: Durability::Power,
            ring: 0,
            rings: 0,
            synced_to: 0,
            begun_to: 0,
        }
    }

    /// A run begins that acknowledges and promises by `durability`, in the ring `ring`. `settled` means
    /// that the device holds everything that was acknowledged or promised before: the segments up to the
    /// first number as a whole, and no segment is newer than the second.
    pub(crate) fn started(
        self,
        boot: [u64; 2],
        ring: u64,
        durability: Durability,
        settled: Option<(u64, u64)>,
    ) -> Self {
        let before = if settled.is_some() { Durability::Power } else { self.weakest_durability };
        let before = if planted(Mutation::DurabilityForgotten) { Durability::Power } else { before };
        let (synced_to, begun_to) = settled.unwrap_or((self.synced_to, self.begun_to));
        Self {
            boot,
            clean: false,
            weakest_durability: before.min(durability),
            ring,
            synced_to,
            begun_to,
            ..self
        }
    }
}

/// Whether the journal still holds everything that its replica acknowledged or promised.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Completeness {
    /// It does.
    Complete,
    /// It may not, and why.
    Incomplete(String),
}

/// The state of the present ring.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RingEvidence {
    /// It is the one that the record names.
    Own,
    /// It is not, and why.
    Other(RingMismatch),
}

/// Why the present ring is not the one that the record names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RingMismatch {
    /// There is none.
    Missing,
    /// It is of another boot of the machine, or there is none in this one.
    OtherBoot,
    /// It is of another incarnation of this replica.
    OtherLife(Identity),
    /// It is an older or unused one of this journal: its number, and the one that was used last.
    Older(u64, u64),
    /// It is newer than the record: its number, and how many the record knows of.
    Newer(u64, u64),
    /// Its memory was damaged.
    Damaged,
    /// Its sizes differ from the configured ones, and it is not needed.
    Unfit,
}

impl fmt::Display for RingMismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str(
                "the tail is gone (its file was removed, or `replicas.N.tail` names another path than in the last run)",
            ),
            Self::OtherBoot => f.write_str("the tail is gone with the boot of the machine that it was made in"),
            Self::OtherLife(identity) => write!(f, "the tail is gone (the one at hand is that of {identity})"),
            Self::Older(seen, want) => write!(
                f,
                "the tail is gone (the one at hand is number {seen}, the last run used number {want}: does \
                 `replicas.N.tail` name another path, or another tmpfs, than in the last run?)"
            ),
            Self::Newer(seen, known) => write!(
                f,
                "the tail (number {seen}) is newer than the journal (which knows of {known}): the journal is an older \
                 copy of itself"
            ),
            Self::Damaged => f.write_str("the tail's memory is damaged"),
            Self::Unfit => f.write_str("the tail has other sizes"),
        }
    }
}

/// Whether the ring with this label is the one that `record` names, in this boot of the machine. `labelled`
/// is `None` where there is no ring, or one that no run has used.
pub fn ring(
    record: &RunRecord,
    identity: Identity,
    boot: [u64; 2],
    labelled: Option<&TailLabel>,
) -> RingEvidence {
    let Some(label) = labelled else {
        return RingEvidence::Other(if record.boot == boot {
            RingMismatch::Missing
        } else {
            RingMismatch::OtherBoot
        });
    };
    if label.identity != identity {
        return RingEvidence::Other(RingMismatch::OtherLife(label.identity));
    }
    if label.boot != boot {
        return RingEvidence::Other(RingMismatch::OtherBoot);
    }
    if label.generation == record.ring || planted(Mutation::AnyRingIsOwn) {
        return RingEvidence::Own;
    }
    RingEvidence::Other(if label.generation > record.rings {
        RingMismatch::Newer(label.generation, record.rings)
    } else {
        RingMismatch::Older(label.generation, record.ring)
    })
}

/// The evidence beside the record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct JournalEvidence<'a> {
    /// The present ring.
    pub ring: &'a RingEvidence,
    /// Where the log that was recovered ends, and its chain there.
    pub end: (Seq, Chain),
    /// The number of the newest segment; 0 if there is none.
    pub newest: u64,
    /// Damage in the data that was read, as text.
    pub damage: Option<String>,
    /// One copy of the superblock cannot be read.
    pub half: bool,
}

/// S9: whether everything that this node has acknowledged is still there, by the `record`, the high mark of
/// the last stop in order (`high`), and what was found. Nothing else decides it.
pub fn judge(record: &RunRecord, high: (Seq, Chain), found: &JournalEvidence<'_>) -> Completeness {
    let incomplete = |why: String| Completeness::Incomplete(why);
    if let Some(damage) = &found.damage {
        return incomplete(damage.clone());
    }
    if found.newest < record.begun_to {
        return incomplete(format!(
            "segments up to number {} were on the device, and the newest one here is number {}: bring the others back",
            record.begun_to, found.newest
        ));
    }
    let lost = match found.ring {
        RingEvidence::Own => return Completeness::Complete,
        // An unreadable copy may have known of more rings.
        RingEvidence::Other(newer @ RingMismatch::Newer(..)) if !found.half => {
            return incomplete(newer.to_string());
        }
        RingEvidence::Other(why) => why,
    };
    if record.clean {
        return if found.end == high {
            Completeness::Complete
        } else {
            incomplete(format!(
                "the log ends at {} with chain {:#x}, and was stopped at {} with chain {:#x}",
                found.end.0, found.end.1, high.0, high.1
            ))
        };
    }
    match record.weakest_durability {
        Durability::Power if found.half => incomplete(format!(
            "{lost}, and a copy of the superblock is damaged: it may have held a newer promise"
        )),
        Durability::Power => Completeness::Complete,
        Durability::Process => incomplete(format!(
            "{lost}, the last stop was not clean, and what was said since may have been in memory only"
        )),
    }
}
