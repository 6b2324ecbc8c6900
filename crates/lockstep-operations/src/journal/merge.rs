//! The merged order of a set, out of journals alone.

use lockstep_core::engine::parts::PartsLimits;
use lockstep_core::engine::subscriber::FrameDelivery;
use lockstep_node::{JournalError, JournalReader};
use lockstep_set::{MergePlace, MergedEvent, MergedReader};
use lockstep_wire::{FrameView, Seq};
use std::fmt;
use std::ops::ControlFlow;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, Scope};

/// Frames that wait between the thread that reads a journal and the one that merges.
const FRAMES: usize = 256;

/// Why journals have no merged order, or only a part of it.
#[derive(Debug)]
pub enum MergeJournalsError {
    /// A journal cannot be read, or is damaged.
    Journal(JournalError),
    /// It has no entry yet, so nothing says of which cluster it is; or its cluster is another one's as well.
    Cluster(String),
    /// It begins behind this seq, which the merged order needs of its stream.
    TooNew {
        /// The folder.
        journal: String,
        /// The seq that is needed.
        needed: Seq,
        /// Its oldest seq.
        oldest: Seq,
    },
    /// A list of the set names a cluster of which no journal was given.
    Missing(u64),
}

impl fmt::Display for MergeJournalsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Journal(error) => error.fmt(f),
            Self::Cluster(what) => f.write_str(what),
            Self::TooNew { journal, needed, oldest } => write!(
                f,
                "{journal} begins at seq {oldest}, and the merged order needs it from seq {needed} on: give an \
                 archiver's journal, or a backup"
            ),
            Self::Missing(cluster) => write!(
                f,
                "the list of the set names cluster {cluster}, and no journal of it was given: give one of each stream"
            ),
        }
    }
}

impl std::error::Error for MergeJournalsError {}

impl From<JournalError> for MergeJournalsError {
    fn from(error: JournalError) -> Self {
        Self::Journal(error)
    }
}

/// Where the merged order of some journals ends.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MergedEnd {
    /// The number of the next merged entry.
    pub next: u64,
    /// Cuts that did not count.
    pub voided: u64,
    /// Of each stream, the home stream first: its cluster, how far it is merged, and how far its journal has
    /// it as committed.
    pub streams: Vec<(u64, Seq, Seq)>,
}

/// One journal, and how far it is delivered.
struct Source {
    cluster: u64,
    oldest: Seq,
    commit_next: Seq,
    journal: String,
    frames: Option<Receiver<Result<Vec<u8>, JournalError>>>,
    frame: Option<Vec<u8>>,
    delivery: Option<FrameDelivery>,
}

/// Passes on the merged order of these journals, of which the first is the home stream's, from the beginning
/// up to where one of them ends: what they say is committed, each in one order with what the others have. It
/// is what readers of the live streams deliver, by the same rules.
///
/// # Errors
/// A journal is damaged, begins too late, or is missing; and those of `f`.
pub fn merge_journals<E: From<MergeJournalsError>>(
    journals: &[JournalReader],
    mut f: impl FnMut(&MergedEvent<'_>) -> Result<ControlFlow<()>, E>,
) -> Result<MergedEnd, E> {
    let mut sources = journals.iter().map(Source::new).collect::<Result<Vec<_>, _>>()?;
    for (at, source) in sources.iter().enumerate() {
        if let Some(other) = sources[..at].iter().find(|other| other.cluster == source.cluster) {
            let (cluster, first, second) = (source.cluster, &other.journal, &source.journal);
            let what = format!(
                "{first} and {second} are both of cluster {cluster}: give one journal of each stream"
            );
            return Err(MergeJournalsError::Cluster(what).into());
        }
    }
    let Some(home) = sources.first().map(|source| source.cluster) else {
        let what = "no journal was given: give that of the home stream first, and one of each other stream";
        return Err(MergeJournalsError::Cluster(what.to_owned()).into());
    };
    let mut reader = MergedReader::new(home, &MergePlace::beginning());
    thread::scope(|scope| {
        let mut turn = || merge_turn(scope, journals, &mut sources, &mut reader, &mut f);
        let merged = loop {
            match turn() {
                Ok(true) => {}
                Ok(false) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        // Threads that still send find nobody who receives, and end.
        sources.iter_mut().for_each(|source| source.frames = None);
        merged
    })?;
    let merged = |source: &Source| {
        let next = reader.next_of(source.cluster)?;
        Some((source.cluster, next, source.commit_next))
    };
    let merge = reader.merge();
    let streams = sources.iter().filter_map(merged).collect();
    Ok(MergedEnd { next: merge.next_number(), voided: merge.cuts().voided(), streams })
}

/// Delivers what is left of a frame of the stream whose turn it is. Returns whether the order goes on.
fn merge_turn<'scope, E: From<MergeJournalsError>>(
    scope: &'scope Scope<'scope, '_>,
    journals: &'scope [JournalReader],
    sources: &mut [Source],
    reader: &mut MergedReader,
    f: &mut impl FnMut(&MergedEvent<'_>) -> Result<ControlFlow<()>, E>,
) -> Result<bool, E> {
    let mut outcome = Ok(true);
    let mut take = |event: MergedEvent<'_>| {
        let flow = f(&event);
        let goes_on = matches!(flow, Ok(ControlFlow::Continue(())));
        if !goes_on {
            outcome = flow.map(|_| false);
        }
        if goes_on { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    };
    _ = reader.deliver_waiting(&mut take);
    let cluster = reader.turn();
    let at = sources.iter().position(|source| source.cluster == cluster);
    let at = at.ok_or(MergeJournalsError::Missing(cluster))?;
    let source = &mut sources[at];
    if source.delivery.as_ref().is_none_or(|delivery| !reader.goes_on_at(cluster, delivery.next())) {
        let next = reader.read_next(cluster).expect("a stream at its turn is merged");
        let (send, receive) = sync_channel(FRAMES);
        source.begin(next, receive)?;
        let (journal, to_next) = (&journals[at], source.commit_next);
        scope.spawn(move || send_frames(journal, next, to_next, &send));
    }
    let bound = reader.bound_of(cluster);
    let more = source.deliver(bound, |event| reader.on_event(cluster, event, &mut take))?;
    Ok(outcome? && more)
}

impl Source {
    fn new(reader: &JournalReader) -> Result<Self, MergeJournalsError> {
        let log = reader.log()?;
        let journal = reader.dir().display().to_string();
        let Some((_, cluster)) = log.owner else {
            let what = format!("{journal} has no entry, and nothing says of which cluster it is");
            return Err(MergeJournalsError::Cluster(what));
        };
        let (oldest, commit_next) = (log.oldest_seq, log.commit_next);
        Ok(Self { cluster, oldest, commit_next, journal, frames: None, frame: None, delivery: None })
    }

    /// It is read from `next` on.
    fn begin(
        &mut self,
        next: Seq,
        frames: Receiver<Result<Vec<u8>, JournalError>>,
    ) -> Result<(), MergeJournalsError> {
        if next < self.oldest {
            let (journal, oldest) = (self.journal.clone(), self.oldest);
            return Err(MergeJournalsError::TooNew { journal, needed: next, oldest });
        }
        (self.frames, self.frame) = (Some(frames), None);
        self.delivery = Some(FrameDelivery::new(next, PartsLimits::default()));
        Ok(())
    }

    /// Delivers what is left of the frame, or of the next one, below `bound`. Returns whether there was one.
    fn deliver(
        &mut self,
        bound: Seq,
        mut f: impl FnMut(lockstep_client::SubscriberEvent<'_>) -> ControlFlow<()>,
    ) -> Result<bool, MergeJournalsError> {
        let (Some(frames), Some(delivery)) = (&self.frames, &mut self.delivery) else { return Ok(false) };
        let bytes = match self.frame.take() {
            Some(bytes) => bytes,
            None => match frames.recv() {
                Ok(bytes) => bytes?,
                Err(_) => return Ok(false),
            },
        };
        let frame = FrameView::parse(&bytes).expect("a journal's reader has judged the frame");
        delivery.deliver_below(bound.min(self.commit_next));
        let (_, is_done) = delivery.deliver(&frame, usize::MAX, &mut f);
        let has_ended = delivery.next() >= self.commit_next;
        if !is_done && !has_ended {
            self.frame = Some(bytes);
        }
        Ok(true)
    }
}

fn send_frames(
    journal: &JournalReader,
    from: Seq,
    to_next: Seq,
    frames: &SyncSender<Result<Vec<u8>, JournalError>>,
) {
    let read = journal.read(from, to_next, |frame| {
        let sent = frames.send(Ok(frame.bytes.to_vec()));
        Ok(if sent.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
    });
    if let Err(error) = read {
        // Nobody receives it if the order has ended before.
        _ = frames.send(Err(error));
    }
}
