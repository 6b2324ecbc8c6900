//! The subscriber of a set: one subscription for each stream, and one order over them.

use crate::begin;
use crate::cursor::MergedCursor;
use crate::set::StreamSet;
use lockstep_client::{Cursor, Delivery, Start, Subscriber, SubscriberEvent};
use lockstep_io::IoError;
use lockstep_io::clock::Clock;
use lockstep_io::idle::Parker;
use lockstep_io::made_in::Own;
use lockstep_set::{MergePlace, MergedEvent, MergedReader};
use lockstep_wire::Nanos;
use std::ops::ControlFlow;
use std::os::fd::BorrowedFd;
use std::str::FromStr;
use std::time::Duration;

/// While entries wait, a place from which another reader can begin is taken this often.
const PLACE_NS: Nanos = 100_000_000;
/// The streams of a turn are taken up so often each, at most: then the others are received again.
const ROUNDS: usize = 4;

/// Where a merged subscription begins.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum MergedStart {
    /// At the first entry of the home stream.
    Beginning,
    /// Behind the newest cut of which it is certain that it counts: a moment ago.
    Live,
    /// Where another merged subscription has ended.
    Cursor(MergedCursor),
}

impl FromStr for MergedStart {
    type Err = String;

    /// `live`, `beginning`, or what a merged cursor prints.
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "live" => Ok(Self::Live),
            "beginning" => Ok(Self::Beginning),
            _ => match text.parse() {
                Ok(cursor) => Ok(Self::Cursor(cursor)),
                Err(why) if text.starts_with("merged:") => Err(why),
                Err(_) => {
                    Err(format!("start '{text}' is invalid: write live, beginning, or a merged cursor"))
                }
            },
        }
    }
}

/// Delivers the streams of a set in the merged order, as committed: each entry has a number there, from 1
/// without holes, which is the same for all readers. Each stream's own order is kept. No clock is compared,
/// and a stream that is idle or stalled holds up no other one.
///
/// ```no_run
/// use lockstep_client::SubscriberEvent;
/// use lockstep_streams::{MergedStart, MergedSubscriber, StreamSet};
/// use std::ops::ControlFlow;
/// use std::time::Duration;
///
/// fn read(set: StreamSet) -> Result<(), Box<dyn std::error::Error>> {
///     let mut merged = MergedSubscriber::connect(set, MergedStart::Beginning, Duration::from_secs(3))?;
///     while !merged.is_ended() {
///         let work = merged.poll(64, |one| {
///             if let (Some(number), SubscriberEvent::Message(message)) = (one.number, one.event) {
///                 println!("{number}: seq {} of stream {}: {:?}", message.seq, one.stream, message.payload);
///             }
///             ControlFlow::Continue(())
///         })?;
///         if work == 0 {
///             merged.wait(Duration::from_millis(10))?;
///         }
///     }
///     Ok(())
/// }
/// ```
#[derive(Debug)]
pub struct MergedSubscriber {
    set: StreamSet,
    reader: MergedReader,
    /// One for each stream that is merged now, with the number of its cluster.
    subscriptions: Own<Vec<(u64, Subscriber)>>,
    /// Entries below this number were delivered to an earlier reader.
    deliver_from: u64,
    /// A place at which nothing has waited, and when it was taken.
    resumable: (MergedCursor, Nanos),
    clock: Clock,
    /// Made at the first sleep behind a change of the streams.
    parker: Option<Parker>,
    /// How often the subscriptions have changed.
    changes: u64,
}

impl MergedSubscriber {
    /// Opens the streams that are merged at `start`; the others are opened when a list of the set names them.
    /// [`MergedStart::Live`] looks for its place, at most for `timeout`.
    ///
    /// # Errors
    /// A device cannot be opened: which interface, which call, and the remedy. The cursor names a stream that
    /// the set does not have. No leader of the home stream was received in time, or it has no cut.
    pub fn connect(set: StreamSet, start: MergedStart, timeout: Duration) -> Result<Self, IoError> {
        let from_seqs = |place: MergePlace| {
            let cursors = vec![None; place.streams.len() + 1];
            MergedCursor { number: place.number, place, cursors }
        };
        let cursor = match start {
            MergedStart::Beginning => from_seqs(MergePlace::beginning()),
            MergedStart::Live => from_seqs(begin::newest_place(&set, timeout)?),
            MergedStart::Cursor(cursor) => cursor,
        };
        let mut merged = Self {
            reader: MergedReader::new(set.home(), &cursor.place),
            set,
            subscriptions: Own::new(Vec::new()),
            deliver_from: cursor.number,
            resumable: (cursor, 0),
            clock: Clock::start(),
            parker: None,
            changes: 0,
        };
        merged.open_streams()?;
        Ok(merged)
    }

    /// One turn: receives from each stream, and calls `f` for at most `limit` messages and for every other
    /// event, in the merged order. Events that stand for no entry have no number. Never blocks.
    /// `ControlFlow::Break(())` leaves the rest for the next poll. Returns the work done: 0 is an idle turn.
    ///
    /// # Errors
    /// A list names a stream that this program's set does not have, or its device cannot be opened. Or this
    /// is a child of the process that has connected it.
    pub fn poll(
        &mut self,
        limit: usize,
        mut f: impl FnMut(MergedEvent<'_>) -> ControlFlow<()>,
    ) -> Result<usize, IoError> {
        self.subscriptions.check("poll the merged order")?;
        let (mut work, mut left, mut stopped) = (0, limit, limit == 0);
        let deliver_from = self.deliver_from;
        let mut deliver = |event: MergedEvent<'_>, left: &mut usize, stopped: &mut bool| {
            if event.number.is_some_and(|number| number < deliver_from) {
                return ControlFlow::Continue(());
            }
            *left -= usize::from(matches!(event.event, SubscriberEvent::Message(_)) && *left > 0);
            *stopped |= f(event).is_break() || *left == 0;
            if *stopped { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let mut rounds = ROUNDS * (self.subscriptions.len() + 1);
        while !stopped && rounds > 0 {
            rounds -= 1;
            let before = self.reader.merge().next_number();
            let waited = self.reader.deliver_waiting(&mut |event| deliver(event, &mut left, &mut stopped));
            self.open_streams()?;
            let Self { reader, subscriptions, .. } = self;
            let turn = reader.turn();
            if !stopped && let Some((_, subscription)) = subscriptions.iter_mut().find(|one| one.0 == turn) {
                subscription.deliver_below(reader.bound_of(turn));
                work += subscription.poll(left, |event| {
                    reader.on_event(turn, event, &mut |event| deliver(event, &mut left, &mut stopped))
                });
                subscription.deliver_below(reader.bound_of(turn));
            }
            work += usize::from(waited.is_some());
            if self.reader.merge().next_number() == before && self.reader.turn() == turn {
                break;
            }
        }
        self.open_streams()?;
        let Self { reader, subscriptions, .. } = self;
        let turn = reader.turn();
        for (stream, subscription) in subscriptions.iter_mut().filter(|one| one.0 != turn) {
            // Nothing of it is next: it is received, and waits in its memory.
            subscription.deliver_below(reader.bound_of(*stream));
            work += subscription.poll(1, |event| {
                reader.on_event(*stream, event, &mut |event| deliver(event, &mut left, &mut stopped))
            });
        }
        self.note_place();
        Ok(work)
    }

    /// Sleeps until a datagram of one of the streams arrives, something is due, or `timeout` has elapsed.
    /// Returns whether something can be read; poll in either case.
    ///
    /// # Errors
    /// No file descriptor is left. Or this is a child of the process that has connected it.
    pub fn wait(&mut self, timeout: Duration) -> Result<bool, IoError> {
        self.subscriptions.check("wait for the merged order")?;
        let due = self.due().min(timeout);
        if due.is_zero() {
            return Ok(false);
        }
        let parker = match &mut self.parker {
            Some(parker) => parker,
            none => {
                let sockets: Vec<_> = self.subscriptions.iter().flat_map(|(_, one)| one.sockets()).collect();
                none.insert(Parker::new(&sockets)?)
            }
        };
        Ok(parker.park(due.as_nanos() as Nanos))
    }

    /// The time until it must be polled, although nothing arrives.
    pub fn due(&self) -> Duration {
        self.subscriptions.iter().map(|(_, one)| one.due()).min().unwrap_or(Duration::MAX)
    }

    /// The sockets of the subscriptions, for a program that waits by itself. They are others once
    /// [`changes`](Self::changes) is another number.
    pub fn sockets(&self) -> Vec<BorrowedFd<'_>> {
        self.subscriptions.iter().flat_map(|(_, one)| one.sockets()).collect()
    }

    /// How often the subscriptions have changed: the set's list has taken a stream in or out.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// The set, with the names of its streams.
    pub fn set(&self) -> &StreamSet {
        &self.set
    }

    /// How far the order is read.
    pub fn reader(&self) -> &MergedReader {
        &self.reader
    }

    /// The number that the next merged entry gets.
    pub fn next_number(&self) -> u64 {
        self.reader.merge().next_number().max(self.deliver_from)
    }

    /// Whether the subscription of a stream has ended: the event before gave the reason, and the merged order
    /// ends with it.
    pub fn is_ended(&self) -> bool {
        self.subscriptions.iter().any(|(_, one)| one.is_ended())
    }

    /// The subscription of a stream that is merged now, by its cluster: for its counters and its state.
    pub fn subscription(&self, cluster: u64) -> Option<&Subscriber> {
        self.subscriptions.iter().find(|(stream, _)| *stream == cluster).map(|(_, one)| one)
    }

    /// The place behind the last delivered event, for [`MergedStart::Cursor`] of a later subscription: it
    /// delivers what this one has not.
    pub fn cursor(&self) -> MergedCursor {
        let now = self.resumable_here().unwrap_or_else(|| self.resumable.0.clone());
        MergedCursor { number: self.next_number(), ..now }
    }

    /// The present place, if each stream can be taken up there: nothing waits that its subscription has given
    /// away.
    fn resumable_here(&self) -> Option<MergedCursor> {
        if self.reader.has_waiting() {
            return None;
        }
        let place = self.reader.merge().place();
        let streams = std::iter::once(self.set.home()).chain(place.streams.iter().map(|row| row.stream));
        let cursors: Vec<Option<Cursor>> =
            streams.map(|stream| self.subscription(stream).and_then(Subscriber::cursor)).collect();
        Some(MergedCursor { number: place.number, place, cursors })
    }

    fn note_place(&mut self) {
        let now = self.clock.now();
        if now >= self.resumable.1 + PLACE_NS
            && let Some(here) = self.resumable_here()
        {
            self.resumable = (here, now);
        }
    }

    /// Opens the subscriptions of streams that are merged from now on, and closes those of the others.
    fn open_streams(&mut self) -> Result<(), IoError> {
        let Self { set, reader, subscriptions, .. } = self;
        let goes_on = |(stream, one): &(u64, Subscriber)| reader.goes_on_at(*stream, one.deliver_next());
        let same = reader.streams().eq(subscriptions.iter().map(|(stream, _)| *stream));
        if same && subscriptions.iter().all(goes_on) {
            return Ok(());
        }
        subscriptions.retain(goes_on);
        let mut known = std::mem::take(&mut **subscriptions);
        for stream in reader.streams() {
            if let Some(at) = known.iter().position(|(known, _)| *known == stream) {
                subscriptions.push(known.swap_remove(at));
                continue;
            }
            let Some((_, endpoint)) = set.of_cluster(stream) else {
                let why = "the set's list names it, and this program's file does not: give the program the \
                           file of the present set";
                return Err(IoError::argument(format!("read the stream of cluster {stream}"), why));
            };
            let next = reader.next_of(stream).expect("a stream of the list is merged");
            let start = self.resumable.0.cursor_at(stream, next).map_or(Start::From(next), Start::Cursor);
            subscriptions.push((stream, Subscriber::connect(endpoint, Delivery::Committed, start)?));
        }
        self.parker = None;
        self.changes += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_is_read_from_its_word_or_a_cursor_and_from_nothing_else() {
        assert_eq!("live".parse(), Ok(MergedStart::Live));
        assert_eq!("beginning".parse(), Ok(MergedStart::Beginning));
        let place = MergePlace::beginning();
        let cursor = MergedCursor { number: place.number, place, cursors: vec![None] };
        assert_eq!(cursor.to_string().parse(), Ok(MergedStart::Cursor(cursor)));
        for (wrong, words) in
            [("here", "write live, beginning"), ("", "write live"), ("merged:1;", "printed it")]
        {
            let refused = wrong.parse::<MergedStart>().unwrap_err();
            assert!(refused.contains(words), "{refused}");
        }
    }
}
