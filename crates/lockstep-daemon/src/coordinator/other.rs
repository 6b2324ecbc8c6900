//! A stream of the set besides the home stream, as a coordinator reads it.

use super::counts::CoordinatedCounts;
use lockstep_client::{Delivery, Endpoint, Start, Subscriber, SubscriberEvent};
use lockstep_set::{MergePlaceRow, MergedEvent, MergedReader, StreamFacts};
use lockstep_wire::{Epoch, FrameView, Nanos, Seq};
use std::ops::ControlFlow;

/// The most entries of one turn.
const BATCH: usize = 1024;
/// How long a subscription that ended is left alone.
const AGAIN_NS: Nanos = 1_000_000_000;
/// How long a stream is shorter than what a cut covers before it is believed.
const SHORT_NS: Nanos = 2_000_000_000;

/// See the module.
pub struct OtherStream {
    pub name: String,
    /// The number of its cluster.
    pub cluster: u64,
    pub endpoint: Endpoint,
    pub counts: CoordinatedCounts,
    /// Its handle, while the list of the set has the stream.
    subscriber: Option<Subscriber>,
    /// Before this time no other subscription begins.
    again: Nanos,
    /// When the coordinator last followed its leader, or when it began to read.
    followed_at: Nanos,
    /// Since when its leader has less than a cut covers.
    short_since: Option<Nanos>,
    /// The row at which merging begins, until the entry before its bound was read: nothing of the stream is
    /// merged before.
    unread: Option<MergePlaceRow>,
}

/// What one turn of a stream came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StreamTurn {
    /// So much work was done.
    Worked(usize),
    /// The stream has lost what was merged of it: the coordinator begins anew.
    Lost,
    /// The row at which merging began has ended before its bound: the coordinator begins at another place.
    EndedEarly,
}

impl OtherStream {
    /// A stream that is not read yet.
    pub fn new(name: &str, cluster: u64, endpoint: Endpoint) -> Self {
        let (name, counts) = (name.to_owned(), CoordinatedCounts::default());
        Self {
            name,
            cluster,
            endpoint,
            counts,
            subscriber: None,
            again: 0,
            followed_at: 0,
            short_since: None,
            unread: None,
        }
    }

    /// Merging begins at this row of the stream; nothing is read of it yet.
    pub fn begin(&mut self, row: Option<MergePlaceRow>) {
        self.close();
        self.again = 0;
        self.unread = row.filter(|row| row.last_covered().is_some());
    }

    /// Nothing is read of the stream.
    pub fn close(&mut self) -> bool {
        self.counts.connected = 0;
        (self.short_since, self.unread) = (None, None);
        self.subscriber.take().is_some()
    }

    /// The list of the set has the stream or does not, as far as the home stream was read. Returns whether
    /// its handle has changed.
    pub fn follow(&mut self, now: Nanos, reader: &MergedReader) -> bool {
        let Some(next) = reader.read_next(self.cluster) else { return self.close() };
        let goes_on = |one: &Subscriber| reader.goes_on_at(self.cluster, one.deliver_next());
        let has_closed = self.subscriber.as_ref().is_some_and(|one| !goes_on(one)) && self.close();
        let is_read = self.subscriber.as_ref().is_some_and(|subscriber| !subscriber.is_ended());
        if is_read || now < self.again && !has_closed {
            return false;
        }
        self.again = now + AGAIN_NS;
        let from = self.unread.and_then(|row| row.last_covered()).unwrap_or(next);
        match Subscriber::connect(&self.endpoint, Delivery::Committed, Start::From(from.max(1))) {
            Ok(mut subscriber) => {
                if self.unread.is_some() {
                    subscriber.report_frames();
                }
                self.counts.begun += 1;
                if self.subscriber.replace(subscriber).is_none() {
                    self.followed_at = now;
                }
                true
            }
            Err(error) => {
                tracing::warn!(stream = self.name, "{error}; it is tried again");
                has_closed
            }
        }
    }

    /// The handle, while there is one.
    pub fn subscriber(&self) -> Option<&Subscriber> {
        self.subscriber.as_ref()
    }

    /// The epoch that is followed, and what is committed by the word of its leader: all entries below are
    /// final, and none of them is of a higher epoch. None before a leader has announced what lies behind the
    /// entries that are merged.
    pub fn committed(&self, merged_next: Seq) -> Option<(Epoch, Seq)> {
        let subscriber = self.subscriber.as_ref().filter(|subscriber| subscriber.is_connected())?;
        if self.unread.is_some() {
            return None;
        }
        let end = (subscriber.epoch(), subscriber.commit_next());
        (end.1 >= merged_next && end.0 != Epoch::NONE).then_some(end)
    }

    /// One turn. `reader` receives what it may take now.
    pub fn poll(
        &mut self,
        now: Nanos,
        reader: &mut MergedReader,
        f: &mut impl FnMut(MergedEvent<'_>) -> ControlFlow<()>,
    ) -> StreamTurn {
        if self.unread.is_some() {
            return self.read_last_covered(now, reader);
        }
        let Some(subscriber) = &mut self.subscriber else { return StreamTurn::Worked(0) };
        let (cluster, mut end) = (self.cluster, None);
        subscriber.deliver_below(reader.bound_of(cluster));
        let work = subscriber.poll(BATCH, |event| {
            end = end.or_else(|| StreamEnd::of(&event));
            reader.on_event(cluster, event, f)
        });
        self.counts.connected = u64::from(subscriber.is_connected());
        self.counts.read_next = subscriber.commit_next();
        let end = end.or_else(|| self.judge_length(now, reader));
        self.look(now);
        match end {
            Some(end) => self.on_end(now, end, work),
            None => StreamTurn::Worked(work),
        }
    }

    /// The subscription has ended.
    fn on_end(&mut self, now: Nanos, end: StreamEnd, work: usize) -> StreamTurn {
        self.again = now + AGAIN_NS;
        let is_lost = matches!(end, StreamEnd::Founded { .. } | StreamEnd::Ahead { .. });
        tracing::warn!(stream = self.name, "{}", end.what());
        if is_lost { StreamTurn::Lost } else { StreamTurn::Worked(work) }
    }

    /// MERGE-5: reads the entry before the bound of the row at which merging begins. An entry that is no
    /// longer retained says nothing, and the row is believed.
    fn read_last_covered(&mut self, now: Nanos, reader: &MergedReader) -> StreamTurn {
        let (Some(subscriber), Some(row)) = (&mut self.subscriber, self.unread) else {
            return StreamTurn::Worked(0);
        };
        let (mut ended, mut end) = (None, None);
        let work = subscriber.poll(BATCH, |event| {
            if let SubscriberEvent::Frame { bytes } = event
                && let Ok(FrameView { header, .. }) = FrameView::parse(bytes)
            {
                let entries = header.first_seq..header.next_seq();
                ended = ended.or_else(|| row.ended_at_bound(entries, header.epoch()));
            }
            end = end.or_else(|| StreamEnd::of(&event));
            if ended.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        self.counts.connected = u64::from(subscriber.is_connected());
        self.counts.read_next = subscriber.commit_next();
        let end = end.or_else(|| self.judge_length(now, reader));
        self.look(now);
        if matches!(end, Some(StreamEnd::Gone { oldest, .. }) if oldest >= row.next) {
            ended = Some(true);
        }
        if let (None, Some(end)) = (ended, end) {
            // A stream that does not reach the bound has ended the row.
            return match self.on_end(now, end, work) {
                StreamTurn::Lost => StreamTurn::EndedEarly,
                turn => turn,
            };
        }
        match ended {
            Some(true) => {
                // It is read from the bound on, at once.
                (self.unread, self.again, self.subscriber) = (None, 0, None);
                return StreamTurn::Worked(BATCH);
            }
            Some(false) => {
                let (stream, next) = (&self.name, row.next);
                tracing::warn!(
                    stream,
                    "the cut at which this coordinator began covers the stream up to seq {}, and a takeover has taken entries \
                     below that back: it begins at another cut",
                    next - 1
                );
                return StreamTurn::EndedEarly;
            }
            None => {}
        }
        StreamTurn::Worked(work)
    }

    /// A stream of a newer epoch that stays shorter than what a cut covers was founded anew, on less than was
    /// merged. Its next leader may be late to say what is committed.
    fn judge_length(&mut self, now: Nanos, reader: &MergedReader) -> Option<StreamEnd> {
        let subscriber = self.subscriber.as_ref().filter(|subscriber| subscriber.is_connected())?;
        let listed = reader.merge().cuts().streams().iter().find(|listed| listed.stream == self.cluster)?;
        let (epoch, end, next) =
            (subscriber.epoch(), subscriber.commit_next(), reader.next_of(self.cluster)?);
        if epoch <= listed.row.0 || end >= next {
            self.short_since = None;
            return None;
        }
        let since = *self.short_since.get_or_insert(now);
        (now > since + SHORT_NS).then_some(StreamEnd::Ahead { next, end, epoch })
    }

    /// What the conditions of the set are judged by; nothing of a stream that is not merged.
    pub fn facts(&self, now: Nanos, reader: &MergedReader) -> Option<StreamFacts> {
        let listed = reader.merge().cuts().streams().iter().find(|listed| listed.stream == self.cluster)?;
        let subscriber = self.subscriber.as_ref().filter(|subscriber| subscriber.is_connected());
        // A handle reports a leader as lost once it has missed it for that long.
        let silent_ns = now.saturating_sub(self.followed_at);
        Some(StreamFacts {
            row: Some(listed.row),
            committed: subscriber.map(Subscriber::commit_next),
            leaderless_ns: Some(silent_ns).filter(|silent| *silent > self.endpoint.leaderless_ns_max()),
            short_ns: self.short_since.map_or(0, |since| now.saturating_sub(since)),
            ..StreamFacts::new(self.cluster)
        })
    }

    fn look(&mut self, now: Nanos) {
        if self.counts.connected == 1 {
            self.followed_at = now;
        }
    }
}

/// Why a subscription has ended.
#[derive(Clone, Copy, Debug)]
enum StreamEnd {
    /// The entries are gone.
    Gone { from: Seq, oldest: Seq },
    /// The stream was founded anew on less than was read.
    Founded { next: Seq, have: Seq },
    /// The stream ends before what was read.
    Ahead { next: Seq, end: Seq, epoch: Epoch },
    /// No journal has what is wanted now.
    Refused { next: Seq },
    /// It is another stream than the one that was read.
    Diverged { seq: Seq },
}

impl StreamEnd {
    fn of(event: &SubscriberEvent<'_>) -> Option<Self> {
        Some(match *event {
            SubscriberEvent::Abandoned { from, oldest, .. } => Self::Gone { from, oldest },
            SubscriberEvent::HistoryLost { next, have, .. } => Self::Founded { next, have },
            SubscriberEvent::Ahead { next, end, epoch } => Self::Ahead { next, end, epoch },
            SubscriberEvent::Refused { next, .. } => Self::Refused { next },
            SubscriberEvent::Diverged { seq } => Self::Diverged { seq },
            _ => return None,
        })
    }

    fn what(self) -> String {
        match self {
            Self::Gone { from, oldest } => format!(
                "seq {from} is no longer available, and the oldest available one is {oldest}: readers of the merged order stop \
                 there, unless an archiver has what is missing"
            ),
            Self::Founded { next, have } => format!(
                "the stream was founded anew at seq {next}, and a cut covers it up to seq {}; the coordinator begins anew",
                have.saturating_sub(1)
            ),
            Self::Ahead { next, end, epoch } => format!(
                "a cut covers the stream up to seq {}, and the log of the leader of epoch {epoch} ends with seq {}; the \
                 coordinator begins anew",
                next.saturating_sub(1),
                end.saturating_sub(1)
            ),
            Self::Refused { next } => format!("no journal gives seq {next}: it is asked for again"),
            Self::Diverged { seq } => {
                format!("what was received differs from the stream at seq {seq}: it is read again")
            }
        }
    }
}
