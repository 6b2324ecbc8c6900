//! A reader of the merged order, as a fold of the events of one subscription for each stream.
//!
//! ```text
//!  turn() ─▶ the stream that is next     bound_of(stream) ─▶ the subscription delivers below it
//!  the subscription's events ─▶ on_event ─▶ merged events     deliver_waiting: what its turn has come for
//! ```
//!
//! Of each stream one entry may wait here: a cut for the rows that it names, or the start of an epoch that
//! ends a row. All others wait in the memory of their subscription.

use crate::merge::{Merge, MergeEntry, MergeOutcome, MergePlace, MergeTurn};
use lockstep_core::engine::subscriber::SubscriberEvent;
use lockstep_wire::{Epoch, Nanos, PublisherId, Seq};
use std::collections::BTreeMap;
use std::ops::ControlFlow;

/// An event of one of the streams, at its place in the merged order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MergedEvent<'a> {
    /// The merged number of the entry, from 1 without holes; `None` of an event that stands for no entry.
    /// What one entry says in several events has one number.
    pub number: Option<u64>,
    /// The merged time: the greatest timestamp so far, nanoseconds since the Unix epoch. It never falls.
    pub timestamp: Nanos,
    /// The number of the stream's cluster.
    pub stream: u64,
    /// The event, as the stream's own subscription reports it.
    pub event: SubscriberEvent<'a>,
}

/// An entry that waits for its turn, with all that it says.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
enum Waiting {
    Note { seq: Seq, timestamp: Nanos, publisher: PublisherId, payload: Vec<u8> },
    Start(Start),
}

/// What the start of an epoch says.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
struct Start {
    seq: Seq,
    epoch: Epoch,
    /// The history that is founded here, and its ancestor.
    founded: Option<(u64, u64)>,
    members: Option<usize>,
}

/// The state of one stream beside its place.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
struct StreamState {
    waiting: Option<Waiting>,
    /// A history is founded at this seq, out of that ancestor; the epoch's start follows.
    founding: Option<(Seq, u64, u64)>,
    /// The seq and the number of the epoch start that was delivered last: its membership follows.
    begun: (Seq, u64),
}

/// The order of one set, as one reader delivers it. See the module.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct MergedReader {
    home: u64,
    merge: Merge,
    /// By the number of a stream's cluster.
    streams: BTreeMap<u64, StreamState>,
}

impl MergedReader {
    /// Goes on at `place` of the set whose home stream is that of the cluster `home`.
    pub fn new(home: u64, place: &MergePlace) -> Self {
        Self { home, merge: Merge::at(place), streams: BTreeMap::new() }
    }

    /// How far the order is read.
    pub fn merge(&self) -> &Merge {
        &self.merge
    }

    /// The cluster of the home stream.
    pub fn home(&self) -> u64 {
        self.home
    }

    /// The cluster of the stream whose turn it is.
    pub fn turn(&self) -> u64 {
        self.stream_of(self.merge.turn())
    }

    /// The clusters of the streams that are merged now, the home stream first.
    pub fn streams(&self) -> impl Iterator<Item = u64> {
        let others = self.merge.cuts().streams().iter().map(|one| one.stream);
        std::iter::once(self.home).chain(others)
    }

    /// The next seq of `stream` that is merged; `None` of a stream that is not merged.
    pub fn next_of(&self, stream: u64) -> Option<Seq> {
        Some(self.merge.next_of(self.turn_of(stream)?))
    }

    /// The next seq that the subscription of `stream` is to deliver: behind an entry that waits here.
    pub fn read_next(&self, stream: u64) -> Option<Seq> {
        let waits = self.streams.get(&stream).is_some_and(|state| state.waiting.is_some());
        Some(self.next_of(stream)? + u64::from(waits))
    }

    /// Whether the subscription of `stream`, which delivers `next` as its next seq, can go on. Another one is
    /// to begin at [`MergedReader::read_next`] where a list has taken the stream in again, from further back.
    pub fn goes_on_at(&self, stream: u64, next: Seq) -> bool {
        self.read_next(stream).is_some_and(|wanted| next <= wanted)
    }

    /// The exclusive bound below which the subscription of `stream` may deliver now.
    pub fn bound_of(&self, stream: u64) -> Seq {
        let Some(turn) = self.turn_of(stream) else { return 0 };
        let waits = self.streams.get(&stream).is_some_and(|state| state.waiting.is_some());
        // What waits was delivered by the subscription.
        let next = self.merge.next_of(turn);
        if waits { next + 1 } else { self.merge.bound_of(turn) }
    }

    /// An event of the subscription of `stream`: `f` receives what may be delivered. Returns whether the
    /// subscription is to stop; ask [`MergedReader::turn`] then. Panics if the subscription delivers entries
    /// out of order, or beyond [`MergedReader::bound_of`].
    pub fn on_event(
        &mut self,
        stream: u64,
        event: SubscriberEvent<'_>,
        f: &mut impl FnMut(MergedEvent<'_>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let Some(seq) = event.seq() else {
            return f(MergedEvent { number: None, timestamp: self.merge.time(), stream, event });
        };
        let Some(turn) = self.turn_of(stream) else { return ControlFlow::Break(()) };
        let next = self.merge.next_of(turn);
        if seq < next {
            return self.on_again(stream, seq, event, f);
        }
        if let SubscriberEvent::Message(message) = event
            && seq == next
        {
            return self.on_plain(turn, stream, seq, message.timestamp, event, f);
        }
        self.on_control(turn, stream, seq, event, f)
    }

    /// An entry that was merged before. The parts of a message that was not whole are read again; the
    /// membership of a leadership is reported with it, at one place.
    #[cold]
    fn on_again(
        &mut self,
        stream: u64,
        seq: Seq,
        event: SubscriberEvent<'_>,
        f: &mut impl FnMut(MergedEvent<'_>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let begun = self.streams.get(&stream).map(|state| state.begun).filter(|begun| begun.0 == seq);
        match (event, begun) {
            (SubscriberEvent::Membership { .. }, Some((_, number))) => {
                f(MergedEvent { number: Some(number), timestamp: self.merge.time(), stream, event })
            }
            _ => ControlFlow::Continue(()),
        }
    }

    /// An entry that is no message.
    #[cold]
    fn on_control(
        &mut self,
        turn: MergeTurn,
        stream: u64,
        seq: Seq,
        event: SubscriberEvent<'_>,
        f: &mut impl FnMut(MergedEvent<'_>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        // An entry of which no event speaks has a number all the same.
        while self.merge.next_of(turn) < seq && self.merge.bound_of(turn) > self.merge.next_of(turn) {
            self.merge.deliver(turn, 0, MergeEntry::Plain);
        }
        let state = self.streams.entry(stream).or_default();
        match event {
            SubscriberEvent::Founded { history, seq, ancestor } => {
                state.founding = Some((seq, history, ancestor));
                ControlFlow::Continue(())
            }
            SubscriberEvent::Epoch { epoch, seq } => {
                let founding = state.founding.take().filter(|(founded_at, ..)| *founded_at == seq);
                let founded = founding.map(|(_, history, ancestor)| (history, ancestor));
                self.on_start(turn, stream, Start { seq, epoch, founded, members: None }, f)
            }
            SubscriberEvent::Membership { seq, members } => match &mut state.waiting {
                Some(Waiting::Start(start)) if start.seq == seq => {
                    start.members = Some(members);
                    ControlFlow::Break(())
                }
                _ => self.on_plain(turn, stream, seq, 0, event, f),
            },
            SubscriberEvent::SetNote { seq, timestamp, publisher, payload } if stream == self.home => {
                match self.merge.judge(turn, seq, timestamp, MergeEntry::Sets(payload)) {
                    MergeOutcome::Deliver { .. } => {
                        self.forget_unlisted();
                        self.deliver(turn, stream, timestamp, event, f)
                    }
                    MergeOutcome::Hold => {
                        let payload = payload.to_vec();
                        let note = Waiting::Note { seq, timestamp, publisher, payload };
                        self.streams.entry(stream).or_default().waiting = Some(note);
                        ControlFlow::Break(())
                    }
                }
            }
            _ => self.on_plain(turn, stream, seq, timestamp_of(&event), event, f),
        }
    }

    /// Whether an entry waits here: its subscription has delivered it, and no merged event has reported it.
    pub fn has_waiting(&self) -> bool {
        self.streams.values().any(|state| state.waiting.is_some())
    }

    /// A stream that was taken out of the list, and comes back, begins anew.
    fn forget_unlisted(&mut self) {
        let Self { home, merge, streams } = self;
        let listed = merge.cuts().streams();
        streams.retain(|stream, _| stream == home || listed.iter().any(|one| one.stream == *stream));
    }

    /// Delivers what has waited, if its turn has come: returns `None` if nothing has.
    pub fn deliver_waiting(
        &mut self,
        f: &mut impl FnMut(MergedEvent<'_>) -> ControlFlow<()>,
    ) -> Option<ControlFlow<()>> {
        let turn = self.merge.turn();
        let stream = self.stream_of(turn);
        let state = self.streams.get_mut(&stream)?;
        match state.waiting.take()? {
            Waiting::Note { seq, timestamp, publisher, payload } => {
                let judged = self.merge.judge(turn, seq, timestamp, MergeEntry::Sets(&payload));
                assert!(matches!(judged, MergeOutcome::Deliver { .. }), "MERGE-3: a cut at its turn is next");
                let event = SubscriberEvent::SetNote { seq, timestamp, publisher, payload: &payload };
                Some(self.deliver(turn, stream, timestamp, event, f))
            }
            // The next row may be below its epoch as well.
            Waiting::Start(start) => Some(self.on_start(turn, stream, start, f)),
        }
    }

    /// The start of an epoch: it may end the row of its stream, and then it waits for the next one.
    fn on_start(
        &mut self,
        turn: MergeTurn,
        stream: u64,
        start: Start,
        f: &mut impl FnMut(MergedEvent<'_>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let Start { seq, epoch, founded, members } = start;
        let entry = MergeEntry::Epoch(epoch);
        let MergeOutcome::Deliver { number, timestamp } = self.merge.judge(turn, seq, 0, entry) else {
            self.streams.entry(stream).or_default().waiting = Some(Waiting::Start(start));
            return ControlFlow::Break(());
        };
        self.merge.deliver(turn, 0, entry);
        self.streams.entry(stream).or_default().begun = (seq, number);
        let event = |event| MergedEvent { number: Some(number), timestamp, stream, event };
        // What one entry says is reported together: who says stop receives the rest of it.
        let founded = founded.map(|(history, ancestor)| SubscriberEvent::Founded { history, seq, ancestor });
        let members = members.map(|members| SubscriberEvent::Membership { seq, members });
        let all = [founded, Some(SubscriberEvent::Epoch { epoch, seq }), members];
        let mut flow = self.goes_on(turn);
        for one in all.into_iter().flatten() {
            if f(event(one)).is_break() {
                flow = ControlFlow::Break(());
            }
        }
        flow
    }

    fn on_plain(
        &mut self,
        turn: MergeTurn,
        stream: u64,
        seq: Seq,
        timestamp: Nanos,
        event: SubscriberEvent<'_>,
        f: &mut impl FnMut(MergedEvent<'_>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let judged = self.merge.judge(turn, seq, timestamp, MergeEntry::Plain);
        assert!(
            matches!(judged, MergeOutcome::Deliver { .. }),
            "MERGE-3: seq {seq} of {turn:?} is beyond its bound"
        );
        self.deliver(turn, stream, timestamp, event, f)
    }

    /// Delivers an entry that is the next one of the order.
    fn deliver(
        &mut self,
        turn: MergeTurn,
        stream: u64,
        stamped: Nanos,
        event: SubscriberEvent<'_>,
        f: &mut impl FnMut(MergedEvent<'_>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let number = Some(self.merge.next_number());
        self.merge.deliver(turn, stamped, MergeEntry::Plain);
        let flow = f(MergedEvent { number, timestamp: self.merge.time(), stream, event });
        if flow.is_break() { flow } else { self.goes_on(turn) }
    }

    /// Whether the stream whose turn it was is still the next one.
    fn goes_on(&self, turn: MergeTurn) -> ControlFlow<()> {
        if self.merge.turn() == turn { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    }

    fn stream_of(&self, turn: MergeTurn) -> u64 {
        match turn {
            MergeTurn::Home => self.home,
            MergeTurn::Other(index) => self.merge.cuts().streams()[index].stream,
        }
    }

    fn turn_of(&self, stream: u64) -> Option<MergeTurn> {
        if stream == self.home {
            return Some(MergeTurn::Home);
        }
        let place = self.merge.cuts().streams().iter().position(|one| one.stream == stream)?;
        Some(MergeTurn::Other(place))
    }
}

/// When the entry of an event was stamped; 0 of an event without that time.
fn timestamp_of(event: &SubscriberEvent<'_>) -> Nanos {
    match *event {
        SubscriberEvent::Message(message) => message.timestamp,
        SubscriberEvent::Opened { timestamp, .. }
        | SubscriberEvent::Closed { timestamp, .. }
        | SubscriberEvent::GatewayHeartbeat { timestamp, .. }
        | SubscriberEvent::MachineReport { timestamp, .. }
        | SubscriberEvent::SetNote { timestamp, .. }
        | SubscriberEvent::Day { timestamp, .. }
        | SubscriberEvent::Ordered { timestamp, .. } => timestamp,
        _ => 0,
    }
}
