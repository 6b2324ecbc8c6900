//! The participant's handle: a publisher and a subscriber on one device.

use super::endpoint::Endpoint;
use super::latency::{DeliveryLatencies, RoundTrips};
use super::open::{OpenError, Opens, draw_nonce, open_as, open_outputs};
use super::publisher::publisher_limits;
use super::replay::Replay;
use super::sleep::Sleep;
use super::subscriber::{begin, subscriber_limits};
use lockstep_core::engine::counters::Counters;
use lockstep_core::engine::durations::Durations;
use lockstep_core::engine::losses::Losses;
use lockstep_core::engine::outputs::Outputs;
use lockstep_core::engine::participant::{ParticipantEngine as Engine, ParticipantEvent};
use lockstep_core::engine::ports::{Group, Net};
use lockstep_core::engine::publisher::{Outcomes, PublishError, PublisherCore, PublisherEvent};
use lockstep_core::engine::receiver::Start;
use lockstep_core::engine::subscriber::{Delivery, SubscriberEvent};
use lockstep_io::IoError;
use lockstep_io::clock::Clock;
use lockstep_io::device::Device;
use lockstep_io::idle::Idle;
use lockstep_io::made_in::Own;
use lockstep_io::ready::ReadySet;
use lockstep_wire::{Cursor, DayMark, Destination, Epoch, Nanos, PublisherId, PublisherSeq, Seq, Wall};
use std::ops::ControlFlow;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::time::Duration;

/// Publishes messages into the stream, and delivers the stream, over one device: a
/// [`Publisher`](super::Publisher) and a [`Subscriber`](super::Subscriber) that receive together. Each
/// datagram is received and its MAC checked once, where two handles do so twice. For a program that publishes
/// and reads in one thread.
///
/// Each half behaves as its handle does, and has its own counters and events. The end of one half leaves the
/// other one alone: behind [`PublisherEvent::OutcomesUnknown`] the stream is delivered on, and behind the end
/// of the subscription messages are published, and their outcomes reported, on.
///
/// ```no_run
/// use lockstep_client::{
///     Delivery, EVERYBODY, Endpoint, Participant, ParticipantEvent, PublisherEvent, Start, SubscriberEvent,
/// };
/// use std::ops::ControlFlow;
/// use std::time::Duration;
///
/// fn trade(endpoint: &Endpoint) -> Result<(), Box<dyn std::error::Error>> {
///     let mut participant = Participant::connect(endpoint, Delivery::Committed, Start::From(1))?;
///     let ignore = |_: ParticipantEvent<'_>| ControlFlow::Continue(());
///     let orders = participant.open("orders", Duration::from_secs(5), ignore)?;
///     participant.try_publish(orders, EVERYBODY, b"buy 100 at 42")?;
///     loop {
///         let work = participant.poll(64, |event| {
///             match event {
///                 ParticipantEvent::Subscriber(SubscriberEvent::Message(message)) => {
///                     println!("{} {:?}", message.seq, message.payload);
///                 }
///                 ParticipantEvent::Publisher(PublisherEvent::Committed { seq, .. }) => {
///                     println!("committed at seq {seq}");
///                 }
///                 _ => {}
///             }
///             ControlFlow::Continue(())
///         });
///         if work == 0 {
///             participant.wait(Duration::from_millis(10))?;
///         }
///     }
/// }
/// ```
#[derive(Debug)]
pub struct Participant<N = Device> {
    engine: Own<Engine<N>>,
    replay: Replay,
    clock: Clock,
    idle: Idle,
    sleep: Sleep,
    ready: ReadySet,
    /// Both are set where its counters are published.
    round_trips: Option<Box<RoundTrips>>,
    latencies: Option<Box<DeliveryLatencies>>,
}

impl Participant<Device> {
    /// Opens the sockets and joins the groups. Delivery begins at `start` with the first poll; see
    /// [`Participant::begin`] for [`Start::Live`]. A name must be opened before anything is published.
    ///
    /// # Errors
    /// The device cannot be opened: which interface, which call, and the remedy. Or `start` is seq 0, or so
    /// high that it was a negative number.
    pub fn connect(endpoint: &Endpoint, delivery: Delivery, start: Start) -> Result<Self, IoError> {
        let device = endpoint.open(&[Group::Data, Group::Control])?;
        let handle = Self::over(device, endpoint, delivery, start)?;
        handle.ready.watch(&handle.sockets())?;
        Ok(handle)
    }

    /// Polls until the subscription has its position, at most for `timeout`; `f` receives the events of these
    /// polls. As [`Subscriber::begin`](super::Subscriber::begin).
    ///
    /// # Errors
    /// Nothing was received from a leader in time: none runs, or interface and groups are not the
    /// cluster's.
    pub fn begin(
        &mut self,
        timeout: Duration,
        mut f: impl FnMut(ParticipantEvent<'_>) -> ControlFlow<()>,
    ) -> Result<(), IoError> {
        begin(self, timeout, Self::has_begun, |handle| handle.poll(64, &mut f), Self::wait)
    }

    /// Sends what is written, and sleeps until a datagram arrives, until a message or request is due, or
    /// until `timeout` has elapsed, whichever is first. It may return earlier. Returns whether something can
    /// be read; poll in either case.
    ///
    /// # Errors
    /// No file descriptor is left: the first call needs one for each socket and two more. Or this process is
    /// a fork of the one that made the handle.
    pub fn wait(&mut self, timeout: Duration) -> Result<bool, IoError> {
        self.engine.check("wait")?;
        self.flush();
        let due = self.due();
        let Self { engine, sleep, .. } = self;
        sleep.pass(engine.net().sockets(), due.min(timeout))
    }

    /// The sockets of this handle, for a poll of the caller's own, level-triggered. [`AsFd`] is one
    /// descriptor for all of them. Datagrams that arrive by shared memory make none of them readable.
    pub fn sockets(&self) -> Vec<BorrowedFd<'_>> {
        self.engine.net().sockets()
    }

    /// The time until the handle must be polled again, although nothing arrives: for resending, requests and
    /// opens, and for a journal that is read over TCP.
    pub fn due(&self) -> Duration {
        self.replay.due(self.engine.next_deadline(), self.clock.now())
    }
}

/// One descriptor that is readable while one of the handle's sockets is: for epoll, mio, tokio's `AsyncFd`.
/// Poll the handle when it is readable until a poll returns 0, and after [`Participant::due`] at the latest.
impl AsFd for Participant<Device> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.ready.as_fd()
    }
}

/// As [`AsFd`], for libraries that take a number.
impl AsRawFd for Participant<Device> {
    fn as_raw_fd(&self) -> RawFd {
        self.ready.as_fd().as_raw_fd()
    }
}

/// A participant while it opens a name: all events of these polls go to `f`.
pub(super) struct Opening<'a, N, F> {
    pub(super) participant: &'a mut Participant<N>,
    pub(super) f: F,
}

impl<N: Net, F: FnMut(ParticipantEvent<'_>) -> ControlFlow<()>> Opens for Opening<'_, N, F> {
    fn publisher(&mut self) -> Result<&mut PublisherCore, IoError> {
        self.participant.engine.check("open a name")?;
        Ok(&mut self.participant.engine.publisher)
    }

    fn turn(&mut self, mut on_publisher: impl FnMut(PublisherEvent)) -> usize {
        let Self { participant, f } = self;
        participant.poll(64, |event| {
            if let ParticipantEvent::Publisher(event) = event {
                on_publisher(event);
            }
            f(event)
        })
    }

    fn pace(&self) -> (&Clock, Idle) {
        (&self.participant.clock, self.participant.idle)
    }
}

/// The half that publishes, as a [`Publisher`](super::Publisher).
impl<N: Net> Participant<N> {
    /// The same in the process that made it.
    #[inline]
    fn publishing(&mut self) -> Result<&mut PublisherCore, PublishError> {
        if self.engine.is_here() { Ok(&mut self.engine.publisher) } else { Err(PublishError::OtherProcess) }
    }

    /// Opens `name` and polls until its id arrives, at most for `timeout`; `f` receives all events of these
    /// polls. As [`Publisher::open`](super::Publisher::open).
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(
        &mut self,
        name: &str,
        timeout: Duration,
        f: impl FnMut(ParticipantEvent<'_>) -> ControlFlow<()>,
    ) -> Result<PublisherId, OpenError> {
        self.open_as(name, draw_nonce()?, timeout, f)
    }

    /// The same under a nonce that the copies of a deterministic application share. As
    /// [`Publisher::open_as`](super::Publisher::open_as).
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open_as(
        &mut self,
        name: &str,
        nonce: [u64; 2],
        timeout: Duration,
        f: impl FnMut(ParticipantEvent<'_>) -> ControlFlow<()>,
    ) -> Result<PublisherId, OpenError> {
        open_as(&mut Opening { participant: self, f }, name, nonce, timeout)
    }

    /// Opens the name of an application's outputs under the nonce that its copies share; `f` receives all
    /// events of these polls. As [`Publisher::open_outputs`](super::Publisher::open_outputs).
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open_outputs(
        &mut self,
        outputs: &mut Outputs,
        nonce: [u64; 2],
        timeout: Duration,
        f: impl FnMut(ParticipantEvent<'_>) -> ControlFlow<()>,
    ) -> Result<(), OpenError> {
        open_outputs(&mut Opening { participant: self, f }, outputs, nonce, timeout)
    }

    /// Begins to open `name`. As [`Publisher::begin_open`](super::Publisher::begin_open).
    pub fn begin_open(&mut self, name: &str, nonce: [u64; 2]) -> Option<usize> {
        self.engine.publisher.open(name, nonce)
    }

    /// Publishes the outputs that the stream may lack. As [`Publisher::hand_in`](super::Publisher::hand_in).
    ///
    /// # Errors
    /// See [`PublishError`]. A full window is no error: the rest follows with the next call.
    pub fn hand_in(&mut self, outputs: &mut Outputs) -> Result<usize, PublishError> {
        outputs.hand_in(self.publishing()?)
    }

    /// Copies a message into the open datagram and returns its number. The next `flush`, `poll` or `wait`
    /// sends it; its outcome is an event of `poll`. As
    /// [`Publisher::try_publish`](super::Publisher::try_publish).
    ///
    /// # Errors
    /// See [`PublishError`]. After [`PublishError::Backpressure`], poll and try again.
    #[inline]
    pub fn try_publish(
        &mut self,
        publisher: PublisherId,
        destination: Destination,
        payload: &[u8],
    ) -> Result<PublisherSeq, PublishError> {
        let number = self.publishing()?.try_publish(publisher, destination, payload)?;
        if let Some(round_trips) = &mut self.round_trips {
            round_trips.on_written(publisher, number);
        }
        Ok(number)
    }

    /// Publishes a message whose number the caller derives from its own state. As
    /// [`Publisher::try_publish_at`](super::Publisher::try_publish_at).
    ///
    /// # Errors
    /// As [`Participant::try_publish`], and [`PublishError::Ahead`] if numbers before it are missing.
    pub fn try_publish_at(
        &mut self,
        publisher: PublisherId,
        number: PublisherSeq,
        destination: Destination,
        payload: &[u8],
    ) -> Result<PublisherSeq, PublishError> {
        self.publishing()?.try_publish_at(publisher, number, destination, payload)
    }

    /// As [`Participant::try_publish`], for a message of `len` bytes, at most [`Participant::part_len_max`],
    /// that the caller writes into the returned memory before the next call.
    ///
    /// # Errors
    /// As [`Participant::try_publish`].
    #[inline]
    pub fn try_claim(
        &mut self,
        publisher: PublisherId,
        destination: Destination,
        len: usize,
    ) -> Result<(PublisherSeq, &mut [u8]), PublishError> {
        self.publishing()?.try_claim(publisher, destination, len)
    }

    /// Closes a publisher behind all of its messages. As
    /// [`Publisher::try_close`](super::Publisher::try_close).
    ///
    /// # Errors
    /// As [`Participant::try_publish`].
    pub fn try_close(&mut self, publisher: PublisherId, reason: &[u8]) -> Result<(), PublishError> {
        self.publishing()?.try_close(publisher, reason)
    }

    /// Marks the start or the end of a trading day. The mark has a number and an outcome like a message.
    ///
    /// # Errors
    /// As [`Participant::try_publish`].
    pub fn try_day(
        &mut self,
        publisher: PublisherId,
        mark: DayMark<'_>,
    ) -> Result<PublisherSeq, PublishError> {
        self.publishing()?.try_day(publisher, mark, None)
    }

    /// Sends what is written, in one system call if the kernel takes it. Returns the number of datagrams
    /// sent; none in a fork of the process that made the handle.
    pub fn flush(&mut self) -> usize {
        if !self.engine.is_here() {
            return 0;
        }
        let now = self.clock.now();
        if let Some(round_trips) = &mut self.round_trips {
            round_trips.on_sent(now);
        }
        self.engine.flush(now, Wall(self.clock.wall(now)))
    }

    /// What became of the messages so far; [`Outcomes::since`] tells it of those behind an earlier look.
    pub fn outcomes(&self) -> Outcomes {
        self.engine.publisher.outcomes()
    }

    /// Whether every published message has its outcome, whichever: see `outcomes`.
    pub fn is_drained(&self) -> bool {
        self.engine.publisher.is_drained()
    }

    /// Whether the handle receives and follows a leader's stream.
    pub fn is_connected(&self) -> bool {
        self.engine.publisher.is_connected()
    }

    /// Bytes of the longest message: `stream.message_len_max`, or less if the handle's window is smaller.
    pub fn message_len_max(&self) -> usize {
        self.engine.publisher.message_len_max()
    }

    /// Bytes of the longest message for `destination`: a channel may have a smaller limit
    /// (`channels.*.message_len_max`).
    pub fn message_len_max_for(&self, destination: Destination) -> usize {
        self.engine.publisher.message_len_max_for(destination)
    }

    /// Bytes of the longest message that one frame takes: such a message is not cut into parts, and can be
    /// claimed in place.
    pub fn part_len_max(&self) -> usize {
        self.engine.publisher.part_len_max()
    }

    /// Counters of the half that publishes, since the handle was made. Both halves count every datagram and
    /// every refused one, as two handles do.
    pub fn publisher_counters(&self) -> &Counters {
        &self.engine.publisher.counters
    }
}

/// The half that reads, as a [`Subscriber`](super::Subscriber).
impl<N: Net> Participant<N> {
    /// From now on each poll reports frames as well
    /// ([`SubscriberEvent::Frame`](super::SubscriberEvent::Frame)), each behind its entries.
    pub fn report_frames(&mut self) {
        self.engine.subscriber.report_frames();
    }

    /// The position behind the last delivered event, for [`Start::Cursor`] of a later subscription. As
    /// [`Subscriber::cursor`](super::Subscriber::cursor).
    pub fn cursor(&self) -> Option<Cursor> {
        self.engine.subscriber.cursor()
    }

    /// Whether the subscription has its position; see [`Participant::begin`].
    pub fn has_begun(&self) -> bool {
        self.engine.subscriber.has_begun()
    }

    /// The next seq to be delivered; 0 before a [`Start::Live`] subscription has begun.
    pub fn deliver_next(&self) -> Seq {
        self.engine.subscriber.deliver_next()
    }

    /// The seq from which another subscription must begin to receive everything that this one has not
    /// delivered. As [`Subscriber::resume_next`](super::Subscriber::resume_next).
    pub fn resume_next(&self) -> Seq {
        self.engine.subscriber.resume_next()
    }

    /// The exclusive bound of the final entries, as far as it was received here.
    pub fn commit_next(&self) -> Seq {
        self.engine.subscriber.commit_next()
    }

    /// The exclusive bound of the entries received as stamped.
    pub fn stamped_next(&self) -> Seq {
        self.engine.subscriber.stamped_next()
    }

    /// The epoch of the leader that is followed.
    pub fn epoch(&self) -> Epoch {
        self.engine.subscriber.epoch()
    }

    /// Whether the subscription has ended: the event before gave the reason. Publishing goes on.
    pub fn is_ended(&self) -> bool {
        self.engine.subscriber.is_ended()
    }

    /// Counters of the half that reads, since the handle was made.
    pub fn subscriber_counters(&self) -> &Counters {
        &self.engine.subscriber.counters
    }

    /// Gaps of the subscription: their causes, repairers and durations.
    pub fn losses(&self) -> &Losses {
        &self.engine.subscriber.losses
    }
}

impl<N: Net> Participant<N> {
    /// The same over a device of the caller's. Its descriptor ([`AsFd`]) watches nothing.
    ///
    /// # Errors
    /// The kernel gives no random number.
    #[doc(hidden)]
    pub fn over(net: N, endpoint: &Endpoint, delivery: Delivery, start: Start) -> Result<Self, IoError> {
        let (reads, replay) = subscriber_limits(endpoint, delivery, start)?;
        let mut engine = Engine::new(net, publisher_limits(endpoint)?, reads);
        engine.subscriber.set_replay(replay);
        Ok(Self {
            engine: Own::new(engine),
            replay: Replay::default(),
            clock: Clock::start(),
            idle: endpoint.idle,
            sleep: Sleep::default(),
            ready: ReadySet::new()?,
            round_trips: None,
            latencies: None,
        })
    }

    /// One turn: sends what is written, receives, and calls `f` for at most `limit` messages of the stream,
    /// in its order, for at most `limit` outcomes, and for every other event. Never blocks. Payloads are
    /// borrowed for the time of the call. Returns the work done: 0 is an idle turn, and every turn in a fork
    /// of the process that made the handle.
    ///
    /// `ControlFlow::Break(())` from an event of the subscriber leaves the rest of the stream for the next
    /// poll; it holds up no outcome. From an event of the publisher it means nothing. A program that leaves
    /// the stream for long still has its outcomes: what arrives meanwhile is buffered (`subscriber.buffer`),
    /// and what finds no room there is repaired or replayed later.
    pub fn poll(
        &mut self,
        limit: usize,
        mut f: impl FnMut(ParticipantEvent<'_>) -> ControlFlow<()>,
    ) -> usize {
        self.poll_with(limit, |event, _| f(event))
    }

    /// As [`Participant::poll`], where `f` may publish at once what follows from an entry of the stream: with
    /// that comes the half that publishes. It leaves when the turn ends. With an outcome comes nothing.
    pub fn poll_with(
        &mut self,
        limit: usize,
        mut f: impl FnMut(ParticipantEvent<'_>, Option<&mut PublisherCore>) -> ControlFlow<()>,
    ) -> usize {
        if !self.engine.is_here() {
            return 0;
        }
        let Self { engine, replay, clock, round_trips, latencies, .. } = self;
        let (engine, now): (&mut Engine<N>, _) = (engine, clock.now());
        if let Some(round_trips) = round_trips {
            round_trips.on_sent(now);
        }
        let work = engine.poll_with(now, Wall(clock.wall(now)), limit, |event, publisher| {
            match (&event, &mut *round_trips, &mut *latencies) {
                (ParticipantEvent::Publisher(event), Some(round_trips), _) => {
                    round_trips.on_event(now, event)
                }
                (ParticipantEvent::Subscriber(event), _, Some(latencies)) => latencies.on_event(event),
                _ => {}
            }
            f(event, publisher)
        });
        if let Some(latencies) = latencies {
            latencies.on_polled(clock, now);
        }
        let publisher = &mut engine.publisher;
        let mut f =
            |event: SubscriberEvent<'_>| f(ParticipantEvent::Subscriber(event), Some(&mut *publisher));
        work + replay.poll(&mut engine.subscriber, now, &mut f)
    }

    /// The half that publishes, for those who publish between two events of a poll.
    pub fn publisher_mut(&mut self) -> &mut PublisherCore {
        &mut self.engine.publisher
    }

    /// From now on the latencies of both halves are measured.
    pub(crate) fn measure(&mut self) {
        self.round_trips.get_or_insert_default();
        self.latencies.get_or_insert_default();
        self.engine.subscriber.losses.measure();
    }

    /// The times from the sending of a message until its commit is known, if they are measured.
    pub(crate) fn round_trips(&self) -> Option<&Durations> {
        self.round_trips.as_ref().map(|round_trips| round_trips.durations())
    }

    /// The times from timestamp to delivery, if they are measured.
    pub(crate) fn latencies(&self) -> Option<&Durations> {
        self.latencies.as_ref().map(|latencies| latencies.durations())
    }

    /// The device.
    #[doc(hidden)]
    pub fn net(&self) -> &N {
        self.engine.net()
    }

    /// Nanoseconds of the monotonic clock that times this handle.
    pub fn now(&self) -> Nanos {
        self.clock.now()
    }

    /// The clock that times this handle.
    #[doc(hidden)]
    pub fn clock(&self) -> &Clock {
        &self.clock
    }
}
