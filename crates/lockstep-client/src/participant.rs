//! The participant's handle: a publisher and a subscriber on one device.

use super::endpoint::Endpoint;
use super::handle::StreamHandle;
use super::open::{OpenError, Opening};
use super::publisher::publisher_limits;
use super::subscriber::subscriber_limits;
use lockstep_core::engine::outputs::Outputs;
use lockstep_core::engine::participant::{ParticipantEngine, ParticipantEvent};
use lockstep_core::engine::ports::{Group, Net};
use lockstep_core::engine::receiver::Start;
use lockstep_core::engine::subscriber::Delivery;
use lockstep_io::IoError;
use lockstep_io::device::Device;
use lockstep_wire::PublisherId;
use std::ops::ControlFlow;
use std::time::Duration;

/// Publishes messages into the stream, and delivers the stream, over one device: a
/// [`Publisher`](super::Publisher) and a [`Subscriber`](super::Subscriber) that receive together. Each
/// datagram is received and its MAC checked once, where two handles would do so twice. For a program that
/// publishes and reads in one thread.
///
/// Each half behaves as its handle does, and has its own counters and events. The end of one half leaves the
/// other one alone: behind [`PublisherEvent::OutcomesUnknown`](super::PublisherEvent::OutcomesUnknown) the
/// stream is delivered on, and behind the end of the subscription messages are published, and their outcomes
/// reported, on.
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
pub type Participant<N = Device> = StreamHandle<ParticipantEngine<N>>;

impl Participant<Device> {
    /// Opens the sockets and joins the groups. Delivery begins at `start` with the first poll; see
    /// [`Participant::begin`] for [`Start::Live`]. A name must be opened before anything is published.
    ///
    /// # Errors
    /// The device cannot be opened: which interface, which call, and the remedy. Or `start` is seq 0, or so
    /// high that it was a negative number.
    pub fn connect(endpoint: &Endpoint, delivery: Delivery, start: Start) -> Result<Self, IoError> {
        let device = endpoint.open(&[Group::Data, Group::Control])?;
        Self::over(device, endpoint, delivery, start)?.watching()
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
        self.begin_with(timeout, &mut f)
    }
}

impl<N: Net> Participant<N> {
    /// The same over a device of the caller's. Its descriptor watches nothing.
    ///
    /// # Errors
    /// The kernel gives no random number.
    #[doc(hidden)]
    pub fn over(net: N, endpoint: &Endpoint, delivery: Delivery, start: Start) -> Result<Self, IoError> {
        let (reads, replay) = subscriber_limits(endpoint, delivery, start)?;
        let mut engine = ParticipantEngine::new(net, publisher_limits(endpoint)?, reads);
        engine.subscriber.set_replay(replay);
        Self::of(engine, endpoint)
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
        self.open_with(name, timeout, f)
    }

    /// As [`open`](Self::open), under a nonce that the copies of a deterministic application share. See
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
        Opening { handle: self, f }.open_as(name, nonce, timeout)
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
        Opening { handle: self, f }.open_outputs(outputs, nonce, timeout)
    }

    /// One turn: sends what is written, receives, and calls `f` for at most `limit` messages of the stream,
    /// in its order, for at most `limit` outcomes, and for every other event. Never blocks. Payloads are
    /// borrowed for the time of the call. Returns the work done: 0 is an idle turn, and every turn in a fork
    /// of the process that made the handle.
    ///
    /// `ControlFlow::Break(())` from an event of the subscriber leaves the rest of the stream for the next
    /// poll; it does not delay outcomes. From an event of the publisher it has no effect. A program that
    /// leaves the stream unread for long still receives its outcomes: what arrives meanwhile is buffered
    /// (`subscriber.buffer`), and what does not fit is repaired or replayed later.
    pub fn poll(
        &mut self,
        limit: usize,
        mut f: impl FnMut(ParticipantEvent<'_>) -> ControlFlow<()>,
    ) -> usize {
        self.poll_with(limit, |event, _| f(event))
    }
}
