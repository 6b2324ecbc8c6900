//! The load of a drill: a publisher with a rate and a reader of the committed stream, each on a thread of its
//! own. The messages go to the publisher's own id as their destination, so that no application takes them.

use super::measure::DeliveryTimeline;
use crate::cli::shared::operator::{now, pause};
use lockstep_client::{
    Delivery, Endpoint, OpenError, PublishError, Publisher, PublisherEvent, Start, Subscriber,
    SubscriberEvent,
};
use lockstep_daemon::Failure;
use lockstep_daemon::ended::{Again, abandoned, ended};
use lockstep_daemon::failure::{FAILED, FENCED, NOT_READY};
use lockstep_gateway::calendar::CALENDAR;
use lockstep_io::clock::random_u64;
use lockstep_io::{IoError, capabilities};
use lockstep_trial::load::{PacedPublisher, PublisherEnd};
use lockstep_wire::{Nanos, PublisherId};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

/// Bytes of a message: the drill's nonce, its number, and zeros.
const MESSAGE_LEN: usize = 64;
/// Longest sleep between two polls: somebody may have asked to stop.
const WAIT: Duration = Duration::from_millis(5);
/// Events of a poll, before another thread may look at the timeline.
const BATCH: usize = 1_024;

/// What both threads share.
struct Shared {
    nonce: u64,
    timeline: Mutex<DeliveryTimeline>,
    /// No more is published.
    ends: AtomicBool,
    /// The outcomes that are still open are not waited for.
    gives_up: AtomicBool,
    /// Nothing more is read.
    is_read: AtomicBool,
}

impl Shared {
    /// A thread that panicked is found when it is joined.
    fn timeline(&self) -> MutexGuard<'_, DeliveryTimeline> {
        self.timeline.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The messages of a drill.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct DrillMessages {
    /// Handed in.
    pub published: u64,
    /// Reported as committed.
    pub committed: u64,
}

/// The deliveries of a load.
pub struct SharedDeliveries(Arc<Shared>);

impl SharedDeliveries {
    /// The deliveries so far.
    pub fn timeline(&self) -> MutexGuard<'_, DeliveryTimeline> {
        self.0.timeline()
    }
}

/// See the module.
pub struct DrillLoad {
    shared: Arc<Shared>,
    publisher: Option<JoinHandle<Result<DrillMessages, Failure>>>,
    reader: Option<JoinHandle<Result<(), Failure>>>,
}

impl DrillLoad {
    /// Begins to read, opens the name, and begins to publish `rate` messages a second.
    pub fn start(endpoint: &Endpoint, name: &str, rate: u64, timeout: Duration) -> Result<Self, Failure> {
        let shared = Arc::new(Shared {
            nonce: random_u64()?,
            timeline: Mutex::default(),
            ends: AtomicBool::new(false),
            gives_up: AtomicBool::new(false),
            is_read: AtomicBool::new(false),
        });
        let mut subscriber = Subscriber::connect(endpoint, Delivery::Committed, Start::Live)?;
        let deadline = subscriber.now() + timeout.as_nanos() as Nanos;
        while !subscriber.has_begun() {
            if read(&mut subscriber, &shared, None)? == 0 {
                subscriber.wait(WAIT)?;
            }
            if subscriber.now() > deadline {
                let what = format!(
                    "the stream does not arrive here within {timeout:?}: look at lines.*.interface and the network's multicast"
                );
                return Err(Failure::new(NOT_READY, what));
            }
        }
        let publisher = PacedPublisher::open(Publisher::connect(endpoint)?, name, timeout, rate)?;
        let id = publisher.id;
        let (reads, publishes) = (Arc::clone(&shared), Arc::clone(&shared));
        let reader = thread("lockstep-reader", move || reading(subscriber, &reads, id))?;
        let publisher = thread("lockstep-load", move || publishing(publisher, &publishes));
        // Without the other one this one has nothing to wait for.
        let publisher = publisher.inspect_err(|_| shared.is_read.store(true, Ordering::Release))?;
        Ok(Self { shared, publisher: Some(publisher), reader: Some(reader) })
    }

    /// The deliveries so far.
    pub fn timeline(&self) -> MutexGuard<'_, DeliveryTimeline> {
        self.shared.timeline()
    }

    /// The same, for the time when this is gone.
    pub fn deliveries(&self) -> SharedDeliveries {
        SharedDeliveries(Arc::clone(&self.shared))
    }

    /// Fails if one of the threads has failed.
    pub fn check(&mut self) -> Result<(), Failure> {
        if self.reader.as_ref().is_some_and(JoinHandle::is_finished) {
            join(self.reader.take())?;
        }
        if self.publisher.as_ref().is_some_and(JoinHandle::is_finished) {
            join(self.publisher.take())?;
        }
        Ok(())
    }

    /// Publishes no more, and reads until everything that is committed was delivered. Each may take
    /// `patience`.
    pub fn finish(mut self, patience: Duration) -> Result<DrillMessages, Failure> {
        self.shared.ends.store(true, Ordering::Release);
        let begun = now();
        let is_drained = |load: &Self| load.publisher.as_ref().is_none_or(JoinHandle::is_finished);
        while !is_drained(&self) && now().duration_since(begun) < patience {
            pause(WAIT);
        }
        // Without a leader nothing is committed any more.
        self.shared.gives_up.store(true, Ordering::Release);
        let messages = join(self.publisher.take())?.unwrap_or_default();
        let begun = now();
        while self.timeline().next() < messages.committed && now().duration_since(begun) < patience {
            self.check()?;
            pause(WAIT);
        }
        self.shared.is_read.store(true, Ordering::Release);
        join(self.reader.take())?;
        Ok(messages)
    }
}

impl Drop for DrillLoad {
    fn drop(&mut self) {
        for flag in [&self.shared.ends, &self.shared.gives_up, &self.shared.is_read] {
            flag.store(true, Ordering::Release);
        }
    }
}

fn thread<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<T>, IoError> {
    let thread = capabilities::spawn(Builder::new().name(name.to_owned()), work);
    thread.map_err(|error| IoError::new(format!("start the thread {name}"), error))
}

fn join<T>(thread: Option<JoinHandle<Result<T, Failure>>>) -> Result<Option<T>, Failure> {
    let panicked = |_| Failure::new(FAILED, "a thread of the drill's load has panicked");
    thread.map(|thread| thread.join().map_err(panicked)?).transpose()
}

/// One poll of the reader: returns the work done.
fn read(subscriber: &mut Subscriber, shared: &Shared, own: Option<PublisherId>) -> Result<usize, Failure> {
    let (clock, mut failure) = (*subscriber.clock(), None);
    let mut timeline = shared.timeline();
    let work = subscriber.poll(BATCH, |event| {
        match event {
            SubscriberEvent::Message(message) => {
                timeline.on_delivery(clock.now());
                let number = Some(message.publisher).filter(|id| Some(*id) == own);
                let number = number.and_then(|_| number_of(message.payload, shared.nonce));
                number.into_iter().for_each(|number| timeline.on_own(number));
            }
            SubscriberEvent::Epoch { epoch, .. } => timeline.on_epoch(epoch, clock.now()),
            SubscriberEvent::Abandoned { from, oldest, why } => {
                failure = Some(abandoned(
                    from,
                    oldest,
                    why,
                    "the reader of the drill fell behind by more than journals hold",
                ));
            }
            event => failure = ended(&event, Again::Start),
        }
        if failure.is_none() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    failure.map_or(Ok(work), Err)
}

fn reading(mut subscriber: Subscriber, shared: &Shared, own: PublisherId) -> Result<(), Failure> {
    while !shared.is_read.load(Ordering::Acquire) {
        if read(&mut subscriber, shared, Some(own))? == 0 {
            subscriber.wait(WAIT)?;
        }
    }
    Ok(())
}

/// The number of a message of this drill.
fn number_of(payload: &[u8], nonce: u64) -> Option<u64> {
    let word = |at: usize| Some(u64::from_le_bytes(payload.get(at..at + 8)?.try_into().ok()?));
    (word(0)? == nonce).then(|| word(8))?
}

fn publishing(mut paced: PacedPublisher, shared: &Shared) -> Result<DrillMessages, Failure> {
    let (id, mut payload) = (paced.id, [0; MESSAGE_LEN]);
    payload[..8].copy_from_slice(&shared.nonce.to_le_bytes());
    loop {
        let ends = shared.ends.load(Ordering::Acquire);
        if !ends {
            let write = |payload: &mut [u8], number: u64, _| {
                payload[8..16].copy_from_slice(&number.to_le_bytes());
            };
            let now = paced.publisher().now();
            paced.publish(now, id, &mut payload, write).map_err(|error| refused(&error))?;
        }
        let work = paced.poll().map_err(ended_by)?;
        if ends && (paced.publisher().is_drained() || shared.gives_up.load(Ordering::Acquire)) {
            let PacedPublisher { published, committed, .. } = paced;
            return Ok(DrillMessages { published, committed });
        }
        if work == 0 {
            let until_due = paced.due().saturating_sub(paced.publisher().now());
            let until_due = if ends { WAIT } else { Duration::from_nanos(until_due) };
            // Behind a full window the next outcome wakes it.
            paced.wait(if until_due.is_zero() { WAIT } else { until_due.min(WAIT) })?;
        }
    }
}

fn ended_by(end: PublisherEnd) -> Failure {
    match end {
        PublisherEnd::Fenced => refused(&PublishError::Fenced),
        PublisherEnd::NotAllowed => OpenError::NotAllowed("drill".to_owned()).into(),
        PublisherEnd::Closed | PublisherEnd::OutcomesUnknown => {
            Failure::new(FAILED, "the outcomes of the drill's messages cannot be known any more")
        }
    }
}

fn refused(error: &PublishError) -> Failure {
    let code = if *error == PublishError::Fenced { FENCED } else { FAILED };
    Failure::new(code, format!("the publisher of the drill: {error}; give it a name of its own by --name"))
}

/// Whether a trading day is open. The calendar's name is opened for it, as `lockstep day` does, and nothing
/// is marked.
pub fn is_day_open(endpoint: &Endpoint, timeout: Duration) -> Result<bool, Failure> {
    let mut publisher = Publisher::connect(endpoint)?;
    let deadline = publisher.now() + timeout.as_nanos() as Nanos;
    let wanted = publisher.begin_open(CALENDAR, [random_u64()?, random_u64()?]);
    let mut marks = None;
    while marks.is_none() {
        let mut is_refused = false;
        let work = publisher.poll(BATCH, |event| match event {
            PublisherEvent::Opened { ticket, last, .. } if Some(ticket) == wanted => marks = Some(last),
            PublisherEvent::Refused { ticket, .. } if Some(ticket) == wanted => is_refused = true,
            _ => {}
        });
        if is_refused {
            let what = "the key of this host does not allow the calendar, so that an open trading day cannot be seen: allow \
                        it, or give --i-know-what-i-do";
            return Err(Failure::new(NOT_READY, what));
        }
        if marks.is_none() && publisher.now() > deadline {
            return Err(OpenError::TimedOut(CALENDAR.to_owned(), timeout).into());
        }
        if work == 0 {
            publisher.wait(WAIT)?;
        }
    }
    Ok(marks.is_some_and(|marks| marks % 2 == 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_messages_of_this_drill_have_a_number() {
        let mut payload = [0; MESSAGE_LEN];
        payload[..8].copy_from_slice(&7u64.to_le_bytes());
        payload[8..16].copy_from_slice(&12u64.to_le_bytes());
        assert_eq!(number_of(&payload, 7), Some(12));
        assert_eq!(number_of(&payload, 8), None, "another drill's");
        assert_eq!(number_of(&payload[..15], 7), None);
        assert_eq!(number_of(b"", 7), None);
    }
}
