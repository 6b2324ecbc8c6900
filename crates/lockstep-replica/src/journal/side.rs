//! # side: the slow work of a journal, one turn after the other
//!
//! The order in which promises, records, segments and the superblock reach the files is defined here, and
//! only here. A turn reads the words that the hot thread stored, does one operation on the store, stores
//! the words that report the progress to the hot thread, and returns. A thread calls it in a loop
//! (`io/journal_thread`), the simulator from its own loop.
//!
//! ```text
//!           ┌────────────────────────── again ──────────────────────────┐
//!           ▼                                                           │
//!  promise and history ─▶ one group of records (roll, seal, checkpoint) ─┤ stop: none left ─▶ clean
//!                                                                       ▼
//!              next segment, sealed ones to the device, retention, pack, scrub ─▶ pause
//! ```
//!
//! An error that may pass by itself (no room, no descriptors, no memory) is retried until it has passed.
//! Any other error (a device that fails, memory that was damaged) ends the writing: the replica must fall
//! silent.
//!
//! One word, [`Word::DurableSeq`], reports the device's progress, and acks in `power` rest on it. It counts
//! nothing before *all* segments are on the device, those of earlier runs included; and it is reset before
//! anything is written that the device need not have.

mod chores;
mod device;

use crate::journal::base::BASE;
use crate::journal::checkpoint::Checkpoint;
use crate::journal::damage::Damage;
use crate::journal::mend::{Mend, Missing};
use crate::journal::ports::{FileName, Store, StoreFault, TailSource, Word};
use crate::journal::scrub::Scrub;
use crate::journal::segment_index::Written;
use crate::journal::segments::{
    AgeClock, NeededBy, RUN_LEN_MAX, Retention, SegmentWriter, WriteError, copy_group, publish_position,
};
use crate::journal::superblock::Superblock;
use lockstep_core::proto::lineage::Lineage;
use lockstep_core::proto::planted::{Mutation, planted};
use lockstep_wire::{Nanos, Seq};
use std::collections::BTreeMap;
use std::fmt;

/// The settings of the side thread.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SideSettings {
    /// Durability `power` is configured: the store writes through, so groups are on the device when written,
    /// and acks wait for them.
    pub power: bool,
    /// Longest pause when there is nothing to copy, in nanoseconds. In `power` it is part of every ack. In
    /// `process` no ack waits for it, and each wake-up takes a core from another thread; it is shorter only
    /// while the ring fills fast, and ends when a quarter of the ring waits.
    pub idle_ns: Nanos,
    /// The retention.
    pub retention: Retention,
    /// Whether sealed segments are packed.
    pub packs: bool,
    /// Bytes of sealed segments that are read again per second.
    pub scrub_bytes_per_s: u64,
    /// The interval at which retention runs, ...
    pub retention_period_ns: Nanos,
    /// ... one segment is packed, ...
    pub pack_period_ns: Nanos,
    /// ... the scrub continues, ...
    pub scrub_period_ns: Nanos,
    /// ... a failed mend is tried again, ...
    pub mend_period_ns: Nanos,
    /// ... and it is looked whether all files are there: a listing of their folder.
    pub presence_period_ns: Nanos,
}

impl SideSettings {
    /// The defaults: long pauses in `process`, short ones in `power`; nothing is removed; 4 MiB/s of scrub
    /// (100 GB in 7 hours).
    pub fn new(power: bool) -> Self {
        let idle_ns = if power { 20_000 } else { 20_000_000 };
        Self {
            power,
            idle_ns,
            retention: Retention::default(),
            packs: false,
            scrub_bytes_per_s: 4 << 20,
            retention_period_ns: 1_000_000_000,
            // With 64 MiB in a segment, ten times what a busy stream fills.
            pack_period_ns: 250_000_000,
            scrub_period_ns: 100_000_000,
            mend_period_ns: 10_000_000_000,
            presence_period_ns: 2_000_000_000,
        }
    }
}

/// Zeros that are written in an idle turn, in bytes: an ack in `power` may wait behind them.
const IDLE_ZEROS_LEN: u64 = 64 << 10;
/// Shorter pauses cost more than the copying.
const PAUSE_NS_MIN: Nanos = 50_000;
/// Pause before an operation is retried whose error may pass.
const STUCK_PAUSE_NS: Nanos = 20_000_000;
/// A stop is retried this often, with a pause each, while an error that may pass blocks it.
const TRIES_TO_STOP: u32 = 250;
/// A damaged segment is mended in at most this many tries.
const MEND_ATTEMPTS: u32 = 5;
/// Damage of one segment that is reported place by place.
const EVENTS_MAX: usize = 16;
/// A trading day, for retention.
const DAY_NS: Nanos = 86_400 * 1_000_000_000;

/// The input of a turn.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Inputs {
    /// A clock that only rises, in nanoseconds.
    pub now: Nanos,
    /// Nanoseconds since the Unix epoch, for retention by age.
    pub wall: Nanos,
    /// The hot thread has published its last record: the rest is copied, and the stop marked as clean.
    pub stop: bool,
    /// The history of the log in the tail, and its ancestors; history 0 while it is unknown.
    pub lineage: Lineage,
    /// The commit of the log that the tail held at some moment before this turn.
    pub committed: Seq,
    /// A witness: committed segments are retained for a ring's worth of bytes only.
    pub ring_only: bool,
    /// The followed epoch requires the device, whatever is configured: its acks wait for it.
    pub device: bool,
}

/// The next step after a turn.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SideStep {
    /// The next turn, at once.
    Again,
    /// The next turn after so many nanoseconds, when `stop` is set, or when a quarter of the ring waits.
    Pause(Nanos),
    /// Nothing: the journal is marked clean.
    Stopped,
    /// Nothing is written any more: the replica falls silent. A requested stop is not clean.
    Failed(WriteError),
}

/// An event of a turn, for the log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SideEvent {
    /// An error that may pass blocks the journal's files; it waits.
    Stuck(WriteError),
    /// The journal continues.
    GoesOn,
    /// Retention has removed a segment.
    Removed(u64),
    /// A segment was packed.
    Packed {
        /// Its number.
        number: u64,
        /// Its bytes before.
        plain: u64,
        /// Its bytes now.
        packed: u64,
    },
    /// The scrub found damage.
    Damaged(Damage),
    /// A damaged segment was mended.
    Mended(u64),
    /// A file that was gone is there again.
    Back(FileName),
    /// A segment lacked this file, or it was not what the segment says, and was computed anew.
    Derived(FileName),
    /// A damaged segment was not mended.
    NotMended {
        /// Its number.
        number: u64,
        /// Tries that remain; with 0 it stays damaged until the next start.
        left: u32,
        /// Why.
        why: String,
    },
    /// Retention could not make room on a full disk.
    NotRemoved(WriteError),
    /// Segments stay beyond the limits, because a reader needs them.
    RetainedFor {
        /// The one that needs them.
        by: NeededBy,
        /// The first seq that it needs.
        from: Seq,
    },
    /// Segments that a reader needs were removed.
    NeedLapsed {
        /// The one that needs them.
        by: NeededBy,
        /// The first seq that it needs.
        from: Seq,
    },
}

impl fmt::Display for SideEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stuck(error) | Self::NotRemoved(error) => error.fmt(f),
            Self::GoesOn => f.write_str("the segments are written again: the journal goes on"),
            Self::Removed(number) => write!(f, "segment {number} was removed by retention"),
            Self::Packed { number, plain, packed } => {
                write!(f, "segment {number} was packed: {plain} bytes are {packed}")
            }
            Self::Damaged(damage) => damage.fmt(f),
            Self::RetainedFor { by: NeededBy::TradingDay, from } => write!(
                f,
                "segments stay beyond the retention, up to twice its limits: the trading day began at seq {from}, and \
                 gateways and feeds that start read it from there; raise the journal's retention, or mark days more often"
            ),
            Self::NeedLapsed { by: NeededBy::TradingDay, from } => write!(
                f,
                "segments were removed of the trading day, which began at seq {from}: a gateway or a feed that starts \
                 today reads an archiver, or waits for the next day; raise the journal's retention"
            ),
            Self::RetainedFor { by: NeededBy::Publisher(publisher), from } => write!(
                f,
                "segments stay beyond the retention, up to twice its limits: publisher {publisher} needs the log from seq \
                 {from} on, as its snapshots say; close its name if it is gone for good"
            ),
            Self::NeedLapsed { by: NeededBy::Publisher(publisher), from } => write!(
                f,
                "segments were removed that publisher {publisher} needs, from seq {from} on: it begins with a newer snapshot \
                 of a peer, or reads an archiver; raise the journal's retention"
            ),
            Self::Back(file) => write!(f, "{file} is there again; it is read, and served"),
            Self::Derived(file) => {
                write!(f, "{file} was gone or not what its segment says, and was computed anew from that")
            }
            Self::Mended(number) => write!(f, "segment {number} is whole again, and served"),
            Self::NotMended { number, left: 0, why } => write!(
                f,
                "segment {number} stays damaged and is not served: {why}; it is not tried again before the next start: \
                 bring its file back from another copy of this journal, or replace this replica"
            ),
            Self::NotMended { number, left, why } => {
                write!(
                    f,
                    "segment {number} could not be mended: {why}; {left} more tries; if they fail, bring its file back \
                     from another copy of this journal, or replace this replica"
                )
            }
        }
    }
}

/// A sealed segment that is damaged.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Wound {
    found: Vec<Damage>,
    tries: u32,
    /// This file is not there at all.
    gone: Option<FileName>,
}

/// Which half of the work is next.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Half {
    /// Work for which acks or promises wait: promise, history, records.
    Urgent,
    /// The rest, after so many bytes were copied.
    Chores(u64),
}

/// An error that blocks the journal's files, and may pass.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Stuck {
    fault: StoreFault,
    /// It occurred in [`Half::Chores`]: it has ended when the next chores are done.
    in_chore: bool,
}

/// The side thread's state: everything but its thread, its clock and its files.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SideThread {
    settings: SideSettings,
    writer: SegmentWriter,
    superblock: Superblock,
    half: Half,
    /// Bytes copied since the last pause, and how long that one was.
    copied: u64,
    pause_ns: Nanos,
    scrub: Scrub,
    scrub_due: Nanos,
    presence_due: Nanos,
    retention_due: Nanos,
    ages: AgeClock,
    /// For whom segments are kept beyond the limits, and whose need was last not met.
    retained_for: Option<NeededBy>,
    lapsed: Option<(NeededBy, Seq)>,
    pack_due: Nanos,
    /// A commit that may be reported once the segments reach this position: everything that was published
    /// when the commit was read, and so the log in which it is a commit.
    pending: Option<(Seq, u64)>,
    written: Written,
    /// The error that blocks the journal's files, if there is one.
    stuck: Option<Stuck>,
    /// How often a stop was retried.
    tries_to_stop: u32,
    /// By number.
    damaged: BTreeMap<u64, Wound>,
    /// The one of them that is being mended.
    mend: Option<Mend>,
    mend_due: Nanos,
    /// Why the fetched frames could not be used, until the next turn reports it.
    mend_failures: Option<String>,
    /// The device has everything that was written, and receives every further write.
    on_device: bool,
    /// The published end when this run began: everything that earlier runs acknowledged or promised lies
    /// below.
    published_pos: Option<u64>,
}

impl SideThread {
    /// A side thread behind the state that [`super::open`] found.
    pub fn new(writer: SegmentWriter, superblock: Superblock, settings: SideSettings) -> Self {
        let mut side = Self {
            settings,
            writer,
            superblock,
            half: Half::Urgent,
            copied: 0,
            pause_ns: 0,
            scrub: Scrub::default(),
            scrub_due: 0,
            presence_due: 0,
            retention_due: 0,
            ages: AgeClock::default(),
            retained_for: None,
            lapsed: None,
            pack_due: 0,
            pending: None,
            written: Written::default(),
            stuck: None,
            tries_to_stop: 0,
            damaged: BTreeMap::new(),
            mend: None,
            mend_due: 0,
            mend_failures: None,
            on_device: false,
            published_pos: None,
        };
        side.take_note(1);
        side
    }

    /// The content of the segments and its commit, for replay sources. Whether the node leads is not known
    /// here.
    pub fn written(&self) -> Written {
        self.written
    }

    /// Exclusive bound of the segments' log.
    pub fn written_seq(&self) -> Seq {
        self.writer.end().next
    }

    /// The error that blocked the journal's files in the last turn, if there was one that may pass.
    pub fn stuck(&self) -> Option<StoreFault> {
        self.stuck.map(|stuck| stuck.fault)
    }

    /// How many sealed segments are damaged, and the first seq that the oldest of them lacks (0: not known).
    pub fn damaged(&self) -> (u64, Seq) {
        let first = self.damaged.values().next().and_then(|wound| wound.found.first());
        (self.damaged.len() as u64, first.map_or(0, |damage| damage.seq))
    }

    /// Frames of the log to be fetched from another journal, so that a segment can be mended.
    pub fn missing(&self) -> Option<Missing> {
        self.mend.as_ref().filter(|_| self.mend_failures.is_none()).and_then(Mend::missing)
    }

    /// A fetched frame, the next of the missing ones. Returns whether more are missing.
    pub fn bring(&mut self, frame: &[u8]) -> bool {
        let taken = self.mend.as_mut().map_or(Ok(()), |mend| mend.take(frame));
        match taken {
            Ok(()) => self.missing().is_some(),
            Err(why) => {
                self.bring_nothing(why);
                false
            }
        }
    }

    /// The missing range could not be fetched: it is tried again later, a bounded number of times.
    pub fn bring_nothing(&mut self, why: String) {
        self.mend_failures = Some(why);
    }

    /// The log of this journal, which has no record, begins at the end of `checkpoint`. It is on the device
    /// when this returns: a crash before leaves the journal as it was, a crash afterwards one that begins
    /// there.
    ///
    /// # Errors
    /// The store's: nothing has changed. One that may pass by itself is tried again by the caller.
    pub fn begin_behind<S: Store, T: TailSource>(
        &mut self,
        store: &mut S,
        source: &mut T,
        checkpoint: Checkpoint,
    ) -> Result<(), WriteError> {
        if !planted(Mutation::BaseNotStored) {
            store.replace(BASE, &checkpoint.to_bytes())?;
        }
        let next = checkpoint.end.next;
        self.writer.begin_behind(checkpoint);
        publish_position(source, &self.writer, self.on_device);
        self.take_note(next);
        Ok(())
    }

    /// The superblock as it is on the device.
    pub fn superblock(&self) -> Superblock {
        self.superblock
    }

    /// One turn. Pushes its events to `remarks`.
    pub fn turn<S: Store, T: TailSource>(
        &mut self,
        store: &mut S,
        source: &mut T,
        inputs: &Inputs,
        remarks: &mut Vec<SideEvent>,
    ) -> SideStep {
        self.published_pos.get_or_insert_with(|| source.word(Word::PublishedPos));
        let is_chore = matches!(self.half, Half::Chores(_)) && !inputs.stop;
        let worked = match std::mem::replace(&mut self.half, Half::Urgent) {
            Half::Chores(bytes) if !inputs.stop => {
                self.chores(store, source, inputs, bytes == 0, remarks).map(|()| self.rest(source, bytes))
            }
            Half::Urgent | Half::Chores(_) => self.urgent(store, source, inputs),
        };
        match worked {
            Ok(next) => {
                // Records that are written prove nothing about a chore that the same error stopped.
                if self.stuck.take_if(|stuck| is_chore || !stuck.in_chore).is_some() {
                    remarks.push(SideEvent::GoesOn);
                }
                next
            }
            Err(error) => match error.passing() {
                // A stop does not wait for ever; it is not clean then.
                Some(fault) if !inputs.stop || self.tries_to_stop < TRIES_TO_STOP => {
                    self.tries_to_stop += u32::from(inputs.stop);
                    let before = self.stuck.replace(Stuck { fault, in_chore: is_chore });
                    if before.is_none_or(|before| before.fault != fault) {
                        remarks.push(SideEvent::Stuck(error));
                    }
                    if fault == StoreFault::NoSpace {
                        self.make_room(store, source, inputs, remarks);
                    }
                    SideStep::Pause(STUCK_PAUSE_NS)
                }
                _ => SideStep::Failed(error),
            },
        }
    }

    /// Promises first, then records; at a stop, when none are left, the mark.
    fn urgent<S: Store, T: TailSource>(
        &mut self,
        store: &mut S,
        source: &mut T,
        inputs: &Inputs,
    ) -> Result<SideStep, WriteError> {
        self.store_words(store, source, inputs)?;
        self.reach_device(store, source, inputs)?;
        let bytes = copy_group(source, &mut self.writer, store)?;
        if bytes > 0 {
            if self.on_device && (!self.settings.power || self.is_begun_unrecorded()) {
                self.bring_to_device(store, source)?;
            }
            publish_position(source, &self.writer, self.on_device);
        }
        self.prove(store, source)?;
        self.take_commit(source, inputs);
        if !inputs.stop {
            self.half = Half::Chores(bytes);
        } else if bytes == 0 {
            self.writer.mark_clean(store, &mut self.superblock)?;
            return Ok(SideStep::Stopped);
        }
        Ok(SideStep::Again)
    }

    /// A commit is reported to replay sources when the segments hold the log to which it belongs: the
    /// records that were published before it was read, suffix replacements among them.
    fn take_commit<T: TailSource>(&mut self, source: &T, inputs: &Inputs) {
        let mut commit_next = 1;
        if let Some((pending, pos)) = self.pending
            && self.writer.pos() >= pos
        {
            commit_next = pending;
            self.pending = None;
        }
        if self.pending.is_none() {
            self.pending = Some((inputs.committed, source.word(Word::PublishedPos)));
        }
        self.take_note(commit_next);
    }

    fn take_note(&mut self, commit_next: Seq) {
        let (number, offset) = self.writer.place();
        let commit_next = self.written.commit_next.max(commit_next);
        self.written = Written { number, offset, commit_next, ..self.written };
    }

    /// The state that the superblock must record: promise and history.
    fn store_words<S: Store, T: TailSource>(
        &mut self,
        store: &mut S,
        source: &mut T,
        inputs: &Inputs,
    ) -> Result<(), WriteError> {
        let mut wanted = self.superblock;
        wanted.promised.0 = wanted.promised.0.max(source.word(Word::Promised));
        let history = inputs.lineage.history();
        wanted.history = if history == 0 { wanted.history } else { history };
        self.written.lineage = inputs.lineage;
        if !self.settings.power {
            // A start behind a power cut reads what the device is not known to have.
            wanted.run.synced_to = self.writer.synced_to();
        }
        if wanted == self.superblock {
            return Ok(());
        }
        self.store_superblock(store, source, wanted)
    }

    fn store_superblock<S: Store, T: TailSource>(
        &mut self,
        store: &mut S,
        source: &mut T,
        mut wanted: Superblock,
    ) -> Result<(), WriteError> {
        wanted.run.synced_to = self.writer.synced_to();
        wanted.run.begun_to = wanted.run.begun_to.max(wanted.run.synced_to);
        wanted.store(store)?;
        self.superblock = wanted;
        source.set_word(Word::PromisedStored, wanted.promised.0);
        Ok(())
    }

    /// After `bytes` were copied: a pause until there is probably something to copy again. Half as long as
    /// before while a sixteenth of the ring fills between two pauses, so that segments never lag by much of
    /// it; else twice as long.
    fn rest<T: TailSource>(&mut self, source: &T, bytes: u64) -> SideStep {
        self.copied += bytes;
        // The records that arrived while a group was written make a small group. In `power` an ack waits
        // for it; else it may grow.
        let is_small = if self.settings.power { bytes == 0 } else { bytes < RUN_LEN_MAX / 2 };
        if !is_small {
            return SideStep::Again;
        }
        let fast = std::mem::take(&mut self.copied) > source.ring_len() / 16;
        self.pause_ns = if fast { self.pause_ns / 2 } else { self.pause_ns.max(PAUSE_NS_MIN / 2) * 2 };
        let longest = self.settings.idle_ns;
        self.pause_ns = self.pause_ns.clamp(PAUSE_NS_MIN.min(longest), longest);
        SideStep::Pause(self.pause_ns)
    }
}
