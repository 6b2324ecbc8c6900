//! The home stream of a set, as a coordinator reads it and publishes into it.

use super::counts::{CoordinatedCounts, CoordinatorCounts};
use crate::Failure;
use crate::ended::{Again, ended};
use crate::failure::{FAILED, FENCED, INTEGRITY};
use lockstep_client::{
    Delivery, Endpoint, Participant, ParticipantEvent, PublishError, PublisherEvent, Start, SubscriberEvent,
};
use lockstep_io::clock::random_u64;
use lockstep_set::{
    CutEntry, LookBack, LookBackNext, MergePlace, MergeTurn, MergedEvent, MergedReader, StreamFacts,
};
use lockstep_wire::{Epoch, Nanos, PublisherId, SETS, Seq};
use std::ops::ControlFlow;

/// The most entries of one turn.
const BATCH: usize = 1024;
/// How long a name that was refused is not asked for again.
const AGAIN_NS: Nanos = 5_000_000_000;

/// See the module.
pub struct HomeStream {
    endpoint: Endpoint,
    pub participant: Participant,
    state: HomeState,
    look: Option<Look>,
    /// Where it ended when it was looked for.
    end: Seq,
    /// How its present place was found: that is looked for anew if a row of it has ended early.
    begun_by: Option<LookBack>,
    /// How often it began to read.
    begun: u64,
    /// When its leader was followed, or when the process began.
    followed_at: Option<Nanos>,
}

/// The process looks for the place where it begins to merge.
#[derive(Debug)]
enum Look {
    /// For the end of the stream.
    End,
    /// For cuts, from an entry in the midst of the stream on.
    Back(LookBack),
}

/// The name of the coordinator in the home stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum HomeName {
    /// It is asked for at this time.
    Closed(Nanos),
    /// It is asked for.
    Asked,
    Open(PublisherId),
}

/// The events of one turn change it.
struct HomeState {
    /// The name under which cuts are published, and what distinguishes this process from others of that name.
    name: String,
    nonce: [u64; 2],
    opened: HomeName,
    counts: CoordinatorCounts,
    /// Where the stream has to be read anew.
    again: Option<HomeAgain>,
    failure: Option<Failure>,
    is_refusal_reported: bool,
}

/// Why the home stream is read anew, and from where.
#[derive(Clone, Copy, Debug)]
enum HomeAgain {
    /// Its entries before this one are gone.
    Gone(Seq),
    /// What was read is not the stream any more, or what was published is not known.
    Anew,
    /// No journal has what is wanted before this time.
    Later(Nanos),
}

/// What one turn of the home stream came to.
pub enum HomeTurn {
    /// So much work was done.
    Worked(usize),
    /// The handle was replaced; where there is a place, merging begins there.
    Begun(Option<MergePlace>),
}

impl HomeStream {
    /// A coordinator that publishes under this name, and has read nothing.
    ///
    /// # Errors
    /// The device cannot be opened, or the system has no random numbers.
    pub fn new(endpoint: Endpoint, name: String) -> Result<Self, Failure> {
        let participant = Participant::connect(&endpoint, Delivery::Committed, Start::Live)?;
        let state = HomeState {
            name,
            nonce: [random_u64()?, random_u64()?],
            opened: HomeName::Closed(0),
            counts: CoordinatorCounts::default(),
            again: None,
            failure: None,
            is_refusal_reported: false,
        };
        Ok(Self {
            endpoint,
            participant,
            state,
            look: Some(Look::End),
            end: 0,
            begun_by: None,
            begun: 1,
            followed_at: None,
        })
    }

    /// Its counts.
    pub fn counts(&mut self) -> &mut CoordinatorCounts {
        &mut self.state.counts
    }

    /// The counts of the stream itself: all that was read of it is merged.
    pub fn of_home(&self) -> CoordinatedCounts {
        let (is_connected, next) = (self.participant.is_connected(), self.participant.deliver_next());
        CoordinatedCounts {
            connected: is_connected.into(),
            read_next: next,
            row_next: next,
            begun: self.begun,
        }
    }

    /// What the conditions of the set are judged by.
    pub fn facts(&mut self, now: Nanos) -> StreamFacts {
        if self.participant.is_connected() {
            self.followed_at = Some(now);
        }
        let silent_ns = now.saturating_sub(*self.followed_at.get_or_insert(now));
        let is_led = self.participant.is_connected();
        StreamFacts {
            committed: is_led.then(|| self.participant.commit_next()),
            leaderless_ns: Some(silent_ns).filter(|silent| *silent > self.endpoint.leaderless_ns_max()),
            ..StreamFacts::new(self.endpoint.cluster())
        }
    }

    /// Whether cuts can be published.
    pub fn publishes(&self) -> bool {
        self.state.counts.ready == 1 && matches!(self.state.opened, HomeName::Open(_))
    }

    /// The epoch of the leader that is followed.
    pub fn epoch(&self) -> Epoch {
        self.participant.epoch()
    }

    /// One turn. `reader` receives what it may take now; there is none while the process looks back.
    ///
    /// # Errors
    /// Another process has this coordinator's number, or the stream cannot be read on.
    pub fn poll(&mut self, now: Nanos, mut reader: Option<&mut MergedReader>) -> Result<HomeTurn, Failure> {
        let Self { participant, state, look, .. } = self;
        participant.deliver_below(reader.as_ref().map_or(Seq::MAX, |reader| reader.bound_of(reader.home())));
        let work = participant.poll(BATCH, |event| {
            let event = match event {
                ParticipantEvent::Subscriber(event) => event,
                ParticipantEvent::Publisher(event) => {
                    state.on_publisher(now, &event);
                    return ControlFlow::Continue(());
                }
            };
            state.on_read(now, &event);
            if state.failure.is_some() || state.again.is_some() {
                return ControlFlow::Break(());
            }
            match (&mut *look, &mut reader) {
                (Some(Look::Back(look)), _) => {
                    if let SubscriberEvent::SetNote { seq, payload, .. } = event {
                        look.on_note(seq, payload);
                    }
                    ControlFlow::Continue(())
                }
                (None, Some(reader)) => {
                    reader.on_event(reader.home(), event, &mut |event| state.on_merged(&event))
                }
                _ => ControlFlow::Continue(()),
            }
        });
        if let Some(failure) = self.state.failure.take() {
            return Err(failure);
        }
        if let Some(turn) = self.go_on(now)? {
            return Ok(turn);
        }
        if let Some(reader) = reader {
            self.look_at(now, reader);
        }
        Ok(HomeTurn::Worked(work))
    }

    /// What was merged at last is counted; the name is asked for once there is something to publish about.
    fn look_at(&mut self, now: Nanos, reader: &MergedReader) {
        let merge = reader.merge();
        let (cuts, counts) = (merge.cuts(), &mut self.state.counts);
        (counts.list, counts.last, counts.voided) = (cuts.list(), cuts.last().seq, cuts.voided());
        if merge.turn() == MergeTurn::Home && self.is_at_end() {
            self.state.counts.ready = 1;
        }
        if matches!(self.state.opened, HomeName::Closed(at) if now >= at) && cuts.list() > 0 {
            let HomeState { name, nonce, opened, .. } = &mut self.state;
            *opened = match self.participant.begin_open(name, *nonce) {
                Some(_) => HomeName::Asked,
                None => HomeName::Closed(now + AGAIN_NS),
            };
        }
    }

    /// Whether all that is committed was read, by the word of the leader.
    fn is_at_end(&self) -> bool {
        let (next, commit_next) = (self.participant.deliver_next(), self.participant.commit_next());
        // A replayed frame is as old as its word of the commit.
        self.participant.is_connected() && next >= self.end && commit_next <= next
    }

    /// Begins to read where what is known so far demands it.
    fn go_on(&mut self, now: Nanos) -> Result<Option<HomeTurn>, Failure> {
        match self.state.again {
            Some(HomeAgain::Later(at)) if now < at => return Ok(None),
            Some(HomeAgain::Gone(oldest)) => {
                let Some(Look::Back(mut look)) = self.look.take() else { return self.anew().map(Some) };
                look.on_gone(oldest);
                return self.look_back(look).map(Some);
            }
            Some(HomeAgain::Anew | HomeAgain::Later(_)) => return self.anew().map(Some),
            None => {}
        }
        match &self.look {
            Some(Look::End) if self.participant.has_begun() => {
                self.end = self.participant.deliver_next();
                self.look_back(LookBack::new(self.end)).map(Some)
            }
            Some(Look::Back(_)) if self.is_at_end() => {
                let Some(Look::Back(mut look)) = self.look.take() else { return Ok(None) };
                match look.at_end() {
                    LookBackNext::Place(place) => {
                        self.begun_by = Some(look);
                        self.begin_at(place).map(Some)
                    }
                    LookBackNext::Farther => self.look_back(look).map(Some),
                    // A coordinator that has read more may publish some.
                    LookBackNext::Wait => {
                        self.look = Some(Look::Back(look));
                        Ok(None)
                    }
                }
            }
            _ => Ok(None),
        }
    }

    /// Looks for where the process begins, as at its start.
    fn anew(&mut self) -> Result<HomeTurn, Failure> {
        self.begin(Some(Look::End), Start::Live)?;
        Ok(HomeTurn::Begun(None))
    }

    /// Looks for cuts.
    fn look_back(&mut self, look: LookBack) -> Result<HomeTurn, Failure> {
        let start = Start::From(look.from());
        self.begin(Some(Look::Back(look)), start)?;
        Ok(HomeTurn::Begun(None))
    }

    /// A row of the place at which merging began has ended before its bound: another place is looked for.
    ///
    /// # Errors
    /// The device cannot be opened.
    pub fn begin_elsewhere(&mut self) -> Result<HomeTurn, Failure> {
        match self.begun_by.take() {
            Some(mut look) => {
                look.on_early_row();
                self.look_back(look)
            }
            None => self.anew(),
        }
    }

    /// Merges from this place on.
    ///
    /// # Errors
    /// The device cannot be opened.
    pub fn begin_at(&mut self, place: MergePlace) -> Result<HomeTurn, Failure> {
        tracing::info!(cut = place.last.seq, list = place.list, "the streams are merged behind this cut");
        self.begin(None, Start::From(place.home))?;
        Ok(HomeTurn::Begun(Some(place)))
    }

    fn begin(&mut self, look: Option<Look>, start: Start) -> Result<(), Failure> {
        self.participant = Participant::connect(&self.endpoint, Delivery::Committed, start)?;
        (self.look, self.state.opened, self.state.counts.ready) = (look, HomeName::Closed(0), 0);
        self.state.again = None;
        self.begun += 1;
        Ok(())
    }

    /// An event at its place in the merged order.
    pub fn on_merged(&mut self, event: &MergedEvent<'_>) -> ControlFlow<()> {
        self.state.on_merged(event)
    }

    /// Publishes a cut. Returns whether it was written.
    ///
    /// # Errors
    /// Another process has this coordinator's number.
    pub fn publish(&mut self, cut: &CutEntry) -> Result<bool, Failure> {
        let HomeName::Open(publisher) = self.state.opened else { return Ok(false) };
        match self.participant.try_publish(publisher, SETS, &cut.to_bytes()) {
            Ok(_) => self.state.counts.written += 1,
            Err(PublishError::Backpressure) => return Ok(false),
            Err(PublishError::Fenced) => return Err(fenced()),
            Err(error) => return Err(Failure::new(FAILED, error)),
        }
        self.participant.flush();
        Ok(true)
    }
}

impl HomeState {
    fn on_read(&mut self, now: Nanos, event: &SubscriberEvent<'_>) {
        match *event {
            SubscriberEvent::Abandoned { oldest, .. } => {
                tracing::warn!("the home stream is retained from seq {oldest} on: it is read from there");
                self.again = Some(HomeAgain::Gone(oldest));
            }
            SubscriberEvent::HistoryLost { next, .. } => {
                tracing::warn!(
                    "the home stream was founded anew at seq {next}, on less than was read: it is read anew"
                );
                self.again = Some(HomeAgain::Anew);
            }
            SubscriberEvent::Refused { next, .. } => {
                tracing::warn!("no journal gives seq {next} of the home stream: it is asked for again");
                self.again = Some(HomeAgain::Later(now + AGAIN_NS));
            }
            _ => self.failure = self.failure.take().or_else(|| ended(event, Again::Start)),
        }
    }

    /// Counts the cuts of all coordinators.
    fn on_merged(&mut self, event: &MergedEvent<'_>) -> ControlFlow<()> {
        if let SubscriberEvent::SetNote { payload, .. } = event.event {
            self.counts.read += u64::from(CutEntry::is_meant(payload));
        }
        ControlFlow::Continue(())
    }

    fn on_publisher(&mut self, now: Nanos, event: &PublisherEvent) {
        match *event {
            PublisherEvent::Opened { publisher, .. } => {
                self.opened = HomeName::Open(publisher);
                self.is_refusal_reported = false;
            }
            PublisherEvent::Refused { reason, .. } => {
                self.opened = HomeName::Closed(now + AGAIN_NS);
                self.on_refused(&format!("does not open the name {} ({reason:?})", self.name));
            }
            PublisherEvent::NotAllowed { .. } => self.on_refused("stamps no cut"),
            PublisherEvent::Committed { .. } => self.is_refusal_reported = false,
            PublisherEvent::Fenced { .. } => self.failure = Some(fenced()),
            PublisherEvent::OutcomesUnknown => self.again = Some(HomeAgain::Anew),
            PublisherEvent::Diverged { seq, .. } => {
                let what =
                    format!("another process has published under this coordinator's name, at seq {seq}");
                self.failure = Some(Failure::new(INTEGRITY, what));
            }
            _ => {}
        }
    }

    /// Reported once until something is published.
    fn on_refused(&mut self, what: &str) {
        self.counts.refused += 1;
        if !std::mem::replace(&mut self.is_refusal_reported, true) {
            tracing::error!(
                "the leader of the home stream {what}: this process needs coordinator.keys in security.keys of the home stream, \
                 whose key lists {} (`lockstep keys show` on a replica's host); it tries again",
                self.name
            );
        }
    }
}

fn fenced() -> Failure {
    Failure::new(FENCED, "another process runs as this coordinator: give each a number of its own")
}
