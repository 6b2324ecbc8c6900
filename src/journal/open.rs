//! # open: from files to a journal
//!
//! The question: may this replica go on where it was, and what does it still know? It looks before it
//! speaks: whose journal is it, is the ring of the last process still there, does the log reach its
//! high mark. A journal that is not there is an error, never a fresh start. One that may have forgotten
//! something opens, and says so (S9): its replica must not vote under its old identity.

use crate::journal::BLOCK_LEN;
use crate::journal::checkpoint::Checkpoint;
use crate::journal::damage::Damage;
use crate::journal::layout::{FORMAT_VERSION, Geometry, TailLabel};
use crate::journal::ports::{FileName, Store, StoreError, StoreFault, TailMemory, Word};
use crate::journal::read::{LogReader, numbers};
use crate::journal::recover::{self, State, Torn, Trouble};
use crate::journal::segments::{SegmentWriter, copy_behind};
use crate::journal::superblock::{NoSuperblock, Superblock};
use crate::journal::tail::{RUNS_MAX, Tail};
use crate::journal::walk::read_header;
use crate::proto::log::LogEnd;
use crate::wire::{Epoch, Identity, Seq};
use std::fmt;

/// What the caller knows about the journal that it wants.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Settings {
    /// The cluster's id.
    pub cluster: u64,
    /// The replica's number.
    pub replica: u32,
    /// The machine's present boot.
    pub boot: [u64; 2],
    /// Durability `power`: segments are on the device when they are written.
    pub power: bool,
    /// Most bytes of a frame.
    pub frame_len_max: usize,
    /// Bytes of a segment.
    pub segment_len: u64,
}

/// Whether the journal still holds everything that its replica said.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Completeness {
    /// It does.
    Complete,
    /// It may not, and why.
    Incomplete(String),
}

/// A torn end that was cut: no word was said about what it was to become.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cut {
    /// The segment.
    pub file: String,
    /// Where it ends now.
    pub offset: u64,
    /// Bytes of the group that did not get there; 0 if unknown.
    pub len: u64,
}

/// An open journal.
#[derive(Debug)]
pub struct Opened<M> {
    /// The tail, whose log is what was recovered.
    pub tail: Tail<M>,
    /// What writes segments behind it.
    pub writer: SegmentWriter,
    /// The superblock as it now is on the device: not clean.
    pub superblock: Superblock,
    /// What the log has decided.
    pub checkpoint: Checkpoint,
    /// Whether its replica may go on under its identity.
    pub completeness: Completeness,
    /// Damage that was found.
    pub damage: Vec<Damage>,
    /// A torn end that was cut.
    pub cut: Option<Cut>,
    /// The log was known to reach this seq: a replica with damage is whole again when it does.
    pub high_next: Seq,
}

/// Why a journal was not opened, or not created.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum OpenError {
    /// Nothing is there.
    Missing,
    /// `format` found something.
    NotEmpty(String),
    /// Another cluster's journal.
    Cluster {
        /// Its cluster.
        seen: u64,
        /// Ours.
        want: u64,
    },
    /// Another replica's journal.
    Replica {
        /// Its identity.
        seen: Identity,
        /// Our number.
        want: u32,
    },
    /// Written by another version.
    Version(u32),
    /// The tail file is another node's.
    Tail {
        /// Its cluster.
        cluster: u64,
        /// Its replica.
        identity: Identity,
    },
    /// Sizes that do not work, or not now.
    Settings(String),
    /// Damage that leaves no log to go by.
    Damaged(Damage),
    /// The files' trouble.
    Store(StoreError),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str(
                "there is no journal here: `format` creates one; if there should be one, look for its disk, \
                 because a replica that forgets must not vote",
            ),
            Self::NotEmpty(what) => {
                write!(f, "the directory is not empty ({what}): `format` never overwrites")
            }
            Self::Cluster { seen, want } => {
                write!(
                    f,
                    "a journal of cluster {seen:#x}, this is cluster {want:#x}: give the right directory"
                )
            }
            Self::Replica { seen, want } => {
                write!(
                    f,
                    "the journal of replica {}, this is replica {want}: give each its own",
                    seen.replica
                )
            }
            Self::Version(seen) => {
                write!(
                    f,
                    "format version {seen}, this release reads {FORMAT_VERSION}: run the one that wrote it"
                )
            }
            Self::Tail { cluster, identity } => write!(
                f,
                "the tail file is that of replica {} in cluster {cluster:#x}: give each node its own",
                identity.replica
            ),
            Self::Settings(what) => f.write_str(what),
            Self::Damaged(damage) => {
                write!(f, "{damage}; `format` a new directory and rejoin, or bring the disk back")
            }
            Self::Store(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for OpenError {}

impl From<StoreError> for OpenError {
    fn from(error: StoreError) -> Self {
        if error.fault == StoreFault::Missing { Self::Missing } else { Self::Store(error) }
    }
}

impl From<Trouble> for OpenError {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Store(error) => Self::Store(error),
            Trouble::Damage(damage) => Self::Damaged(damage),
        }
    }
}

/// Creates the journal of a replica that has never said a word. `identity` was drawn by the caller.
pub fn format<S: Store>(
    store: &mut S,
    cluster: u64,
    identity: Identity,
    boot: [u64; 2],
) -> Result<Superblock, OpenError> {
    if let Some(file) = store.list()?.first() {
        return Err(OpenError::NotEmpty(file.to_string()));
    }
    let mut superblock = Superblock::fresh(cluster, identity, boot);
    superblock.store(store)?;
    superblock.store(store)?;
    Ok(superblock)
}

/// The superblock of the journal that `settings` wants, and what is wrong with one of its copies.
fn superblock<S: Store>(store: &S, settings: &Settings) -> Result<(Superblock, Option<Damage>), OpenError> {
    let (superblock, remark) = Superblock::load(store)?.map_err(|none| match none {
        NoSuperblock::Damaged(damage) => OpenError::Damaged(damage),
        NoSuperblock::Version(version) => OpenError::Version(version),
    })?;
    if superblock.cluster != settings.cluster {
        return Err(OpenError::Cluster { seen: superblock.cluster, want: settings.cluster });
    }
    if superblock.identity.replica != settings.replica {
        return Err(OpenError::Replica { seen: superblock.identity, want: settings.replica });
    }
    Ok((superblock, remark))
}

/// Whether `memory` is the ring of this journal's last process.
fn is_warm<M: TailMemory>(
    memory: &M,
    superblock: &Superblock,
    settings: &Settings,
) -> Result<bool, OpenError> {
    let Some(label) = memory.label() else { return Ok(false) };
    let (cluster, identity) = (label.cluster, label.identity);
    if cluster != superblock.cluster || identity.replica != superblock.identity.replica {
        return Err(OpenError::Tail { cluster, identity });
    }
    if label.boot != settings.boot || identity != superblock.identity {
        return Ok(false);
    }
    if label.record_len_max as usize != settings.frame_len_max {
        // After a clean stop the segments hold everything, and a new ring may have other sizes.
        return if superblock.clean {
            Ok(false)
        } else {
            Err(OpenError::Settings(format!(
                "the tail holds frames of up to {} bytes, now {} are wanted: start with the old size once, \
                 and stop in order",
                label.record_len_max, settings.frame_len_max
            )))
        };
    }
    Ok(true)
}

/// Opens the journal in `store` with the ring in `memory`.
pub fn open<S: Store, M: TailMemory>(
    store: &mut S,
    mut memory: M,
    settings: Settings,
) -> Result<Opened<M>, OpenError> {
    let (superblock, remark) = superblock(store, &settings)?;
    let geometry = Geometry::new(memory.ring_len(), settings.frame_len_max).map_err(OpenError::Settings)?;
    let numbers = numbers(store)?;
    let mut damage: Vec<Damage> = remark.into_iter().collect();
    let mut high_next = superblock.high_next;
    let mut promised = superblock.promised;
    if is_warm(&memory, &superblock, &settings)? {
        // The word is the newer one of the two, whatever else is wrong.
        promised = promised.max(Epoch(memory.word(Word::Promised)));
        high_next = memory.word(Word::HighSeq);
        if let Some(label) = memory.label() {
            match recover::warm(store, &mut memory, &label, &geometry, &numbers) {
                Ok(state) => {
                    let log = state.log.clone().bounded(RUNS_MAX);
                    let tail = Tail::recovered(memory, label, geometry, log, state.switched_from);
                    let opening = Opening { label, geometry, superblock, promised, settings };
                    // A bad copy of the superblock is no loss: the word has what it would have said.
                    let found = Findings { damage, cut: None, high_next, doubt: None };
                    let opened = opening.finish(store, tail, state, found)?;
                    return if has_commit(&opened) { Ok(opened) } else { reopened(store, opened, settings) };
                }
                Err(Trouble::Store(error)) => return Err(OpenError::Store(error)),
                Err(Trouble::Damage(found)) => damage.push(found),
            }
        }
    }
    let (state, found, torn) = recover::cold(store, &numbers)?;
    let end = state.log.end;
    if let Some(torn) = &torn {
        clear(store, torn)?;
    }
    let cut = torn.map(|torn| Cut {
        file: FileName::Segment(torn.number).to_string(),
        offset: torn.offset,
        len: torn.len,
    });
    let known =
        |found: &Damage| damage.iter().any(|known| known.file == found.file && known.offset == found.offset);
    let news: Vec<Damage> = found.into_iter().filter(|found| !known(found)).collect();
    damage.extend(news);
    let reached = end.next == superblock.high_next && end.chain == superblock.high_chain;
    if superblock.clean && !reached && damage.is_empty() {
        let what = format!(
            "the log ends at {} with chain {:#x}, but was stopped at {} with chain {:#x}",
            end.next, end.chain, superblock.high_next, superblock.high_chain
        );
        let file = numbers.last().map_or("segments".to_string(), |n| FileName::Segment(*n).to_string());
        let offset = state.filling.as_ref().map_or(0, |filling| filling.index.end_offset);
        damage.push(Damage::new(file, offset, end.next, what));
    }
    let doubt = (!superblock.clean && !settings.power).then(|| {
        "the tail is gone (the machine was restarted, or its file was removed), and the last stop was not \
         clean"
            .to_string()
    });
    let label = TailLabel {
        cluster: superblock.cluster,
        identity: superblock.identity,
        boot: settings.boot,
        generation: superblock.generation + 1,
        record_len_max: settings.frame_len_max as u32,
    };
    let from = refill_from(store, &numbers, &state, memory.ring_len())?;
    let tail = refilled(store, memory, label, &numbers[from..], end)?;
    let opening = Opening { label, geometry, superblock, promised, settings };
    let doubt = damage.first().map(Damage::to_string).or(doubt);
    opening.finish(store, tail, state, Findings { damage, cut, high_next, doubt })
}

/// Whether the ring reaches back to the last commit: it may be that the log is exchanged from there on (S7).
fn has_commit<M: TailMemory>(opened: &Opened<M>) -> bool {
    let commit_next = opened.checkpoint.commit_next;
    commit_next <= 1 || opened.tail.find(commit_next - 1).is_some()
}

/// Exchanges one behind the other have filled the ring with what is no log any more: it is made anew from the
/// segments, as after an orderly stop. Where they cannot be written, it stays as it is.
fn reopened<S: Store, M: TailMemory>(
    store: &mut S,
    mut opened: Opened<M>,
    settings: Settings,
) -> Result<Opened<M>, OpenError> {
    let end = opened.tail.end();
    loop {
        match copy_behind(opened.tail.memory_mut(), &mut opened.writer, store, settings.power) {
            Ok(0) if opened.writer.end() == end => break,
            Ok(0) | Err(_) => return Ok(opened),
            Ok(_) => {}
        }
    }
    opened.writer.mark_clean(store, &mut opened.superblock)?;
    let mut memory = opened.tail.into_memory();
    memory.reset();
    open(store, memory, settings)
}

/// The first of the segments that a new ring is filled from: the newest, the one before where it has too little
/// to fill the ring, and however many it takes to reach the last commit. One may be full of what was staged and
/// never won, and then hold little of the log.
fn refill_from<S: Store>(
    store: &S,
    numbers: &[u64],
    state: &State,
    ring_len: u64,
) -> Result<usize, StoreError> {
    let used = state.filling.as_ref().map_or(0, |filling| filling.index.end_offset);
    let newest = numbers.len().saturating_sub(1);
    let mut from = newest.saturating_sub(usize::from(used < ring_len));
    let commit_next = state.checkpoint.commit_next;
    while from > 0 && read_header(store, numbers[from])?.is_ok_and(|header| header.first_seq >= commit_next) {
        from -= 1;
    }
    Ok(from)
}

/// A new ring with the newest frames of the segments `numbers`, as many as fit.
fn refilled<S: Store, M: TailMemory>(
    store: &S,
    memory: M,
    label: TailLabel,
    numbers: &[u64],
    end: LogEnd,
) -> Result<Tail<M>, OpenError> {
    let mut reader = LogReader::over(store, numbers, 1)?;
    let mut memory = Some(memory);
    let mut tail: Option<Tail<M>> = None;
    while let Some(Ok(frame)) = reader.next()? {
        if frame.header.next_seq() > end.next {
            break;
        }
        if let Some(memory) = memory.take() {
            let before = LogEnd {
                next: frame.header.first_seq,
                epoch: frame.header.epoch(),
                chain: frame.header.chain,
                timestamp: frame.header.timestamp,
            };
            tail = Some(Tail::blank(memory, label, before).map_err(OpenError::Settings)?);
        }
        if let Some(tail) = &mut tail {
            let what = |error| {
                OpenError::Settings(format!("seq {} from the segments: {error:?}", {
                    frame.header.first_seq
                }))
            };
            tail.refill(&frame).map_err(what)?;
        }
    }
    let mut tail = match (tail, memory) {
        (Some(tail), _) if tail.end() == end => tail,
        // What the segments say last is no frame, or cannot be read: an empty ring behind the log.
        (Some(tail), _) => Tail::blank(tail.into_memory(), label, end).map_err(OpenError::Settings)?,
        (None, Some(memory)) => Tail::blank(memory, label, end).map_err(OpenError::Settings)?,
        (None, None) => unreachable!("the memory is in the tail or at hand"),
    };
    tail.memory_mut().set_label(label);
    Ok(tail)
}

/// S7: bytes behind the log's end are cleared before anything is appended.
fn clear<S: Store>(store: &mut S, torn: &Torn) -> Result<(), StoreError> {
    let file = FileName::Segment(torn.number);
    let at = torn.offset / BLOCK_LEN as u64 * BLOCK_LEN as u64;
    let mut block = vec![0; BLOCK_LEN];
    let taken = store.read_at(file, at, &mut block)?;
    block[taken.min((torn.offset - at) as usize)..].fill(0);
    store.write_at(file, at, &block)?;
    store.truncate(file, at + BLOCK_LEN as u64)?;
    store.sync(file)
}

/// What is known once the log is.
struct Opening {
    label: TailLabel,
    geometry: Geometry,
    superblock: Superblock,
    promised: Epoch,
    settings: Settings,
}

/// What was found besides the log.
struct Findings {
    damage: Vec<Damage>,
    cut: Option<Cut>,
    high_next: Seq,
    doubt: Option<String>,
}

impl Opening {
    /// Says on the device that the journal is in use, and hands it out.
    fn finish<S: Store, M: TailMemory>(
        self,
        store: &mut S,
        mut tail: Tail<M>,
        state: State,
        found: Findings,
    ) -> Result<Opened<M>, OpenError> {
        let mut superblock = self.superblock;
        let remembered =
            superblock.incomplete.then(|| "it was incomplete when it was last opened".to_string());
        let doubt = found.doubt.or(remembered);
        superblock.boot = self.settings.boot;
        superblock.clean = false;
        superblock.incomplete = doubt.is_some();
        superblock.promised = self.promised;
        superblock.high_next = found.high_next.max(tail.end().next);
        if superblock.history == 0 {
            // Of what the segments have, nobody has looked at the ring's copy: a frame that is whole tells.
            let spans = std::iter::successors(tail.find(tail.oldest_seq()), |span| tail.after(*span));
            let whole = spans.filter_map(|span| tail.frame(span).ok()).last();
            superblock.history = whole.map_or(0, |frame| frame.header.history);
        }
        superblock.store(store)?;
        tail.promise(superblock.promised);
        tail.memory_mut().set_word(Word::PromisedStored, superblock.promised.0);
        let pos = tail.memory_mut().word(Word::WrittenPos);
        let writer = SegmentWriter::recovered(
            (self.label, self.geometry, self.settings.segment_len),
            state.filling,
            pos,
            state.written,
            state.written_checkpoint,
        );
        Ok(Opened {
            high_next: superblock.high_next,
            tail,
            writer,
            superblock,
            checkpoint: state.checkpoint,
            completeness: doubt.map_or(Completeness::Complete, Completeness::Incomplete),
            damage: found.damage,
            cut: found.cut,
        })
    }
}
