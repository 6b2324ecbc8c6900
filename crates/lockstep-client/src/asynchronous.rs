//! Handles that are awaited, for programs of tokio.
//!
//! Each is a handle and its registration with the runtime's driver. A turn runs to its end; a future waits
//! only between two turns, until the handle's descriptor is readable or the handle is due. So a future that
//! is dropped loses no event, and delivers none twice.

use super::halves::{Halves, Publishes, Reads};
use super::handle::{StreamHandle, not_begun};
use super::open::{OpenError, Opening, draw_nonce};
use super::participant::Participant;
use super::publisher::{Publisher, of_publisher};
use super::subscriber::{Subscriber, of_subscriber};
use lockstep_core::engine::participant::{ParticipantEngine, ParticipantEvent};
use lockstep_core::engine::publisher::{PublishError, PublisherEngine, PublisherEvent};
use lockstep_core::engine::subscriber::{SubscriberEngine, SubscriberEvent};
use lockstep_io::IoError;
use lockstep_io::device::Device;
use lockstep_wire::{Destination, PublisherId, PublisherSeq};
use std::io::ErrorKind;
use std::ops::ControlFlow;
use std::time::Duration;
use tokio::io::unix::AsyncFd;
use tokio::runtime::Handle as Runtime;
use tokio::task::coop::consume_budget;
use tokio::time::timeout as within;

/// Datagrams that arrive by shared memory make no descriptor readable: they are polled this often.
const MEMORY_LOOK: Duration = Duration::from_millis(1);

/// A handle and its registration.
#[derive(Debug)]
struct Waiting<E: Halves<Net = Device>>(AsyncFd<StreamHandle<E>>);

impl<E: Halves<Net = Device>> Waiting<E> {
    #[allow(
        deprecated,
        reason = "the descriptor of a handle is the same, and open, as long as the handle is"
    )]
    fn new(handle: StreamHandle<E>) -> Result<Self, IoError> {
        let doing = "register a handle at the runtime of tokio";
        if Runtime::try_current().is_err() {
            let why = "no runtime is running: make the handle within `Runtime::block_on`, or in a task";
            return Err(IoError::because(doing, ErrorKind::NotConnected, why));
        }
        AsyncFd::new(handle).map(Self).map_err(|error| IoError::new(doing, error))
    }

    /// Runs turns until `turn` returns that one was the last, and sleeps after each turn without work.
    async fn until<T>(
        &mut self,
        mut turn: impl FnMut(&mut StreamHandle<E>) -> (usize, ControlFlow<T>),
    ) -> Result<T, IoError> {
        loop {
            // A stream without pauses must leave room for the other tasks of this thread.
            consume_budget().await;
            match turn(self.0.get_mut()) {
                (_, ControlFlow::Break(found)) => return Ok(found),
                (0, ControlFlow::Continue(())) => self.sleep().await?,
                _ => {}
            }
        }
    }

    /// Sleeps until the descriptor is readable, or the handle is due.
    async fn sleep(&mut self) -> Result<(), IoError> {
        let handle = self.0.get_ref();
        let due = if handle.net().has_memory() { handle.due().min(MEMORY_LOOK) } else { handle.due() };
        // Cleared before the turn: a datagram that arrives during it makes the descriptor ready again.
        match within(due, self.0.readable_mut()).await {
            Ok(Ok(mut ready)) => ready.clear_ready(),
            Ok(Err(error)) => return Err(IoError::new("wait for a handle's descriptor", error)),
            Err(_is_due) => {}
        }
        Ok(())
    }

    /// Waits until there are events, and gives those of one turn to `f`; returns how many.
    async fn poll(
        &mut self,
        limit: usize,
        mut f: impl FnMut(ParticipantEvent<'_>) -> ControlFlow<()>,
    ) -> Result<usize, IoError> {
        let turn = |handle: &mut StreamHandle<E>| {
            let mut events = 0;
            let work = handle.poll_with(limit, |event, _| {
                events += 1;
                f(event)
            });
            (work, if events > 0 { ControlFlow::Break(events) } else { ControlFlow::Continue(()) })
        };
        self.until(turn).await
    }
}

impl<E: Publishes<Net = Device>> Waiting<E> {
    /// Opens `name`; `f` receives all events meanwhile.
    async fn open(
        &mut self,
        name: &str,
        timeout: Duration,
        mut f: impl FnMut(ParticipantEvent<'_>) -> ControlFlow<()>,
    ) -> Result<PublisherId, OpenError> {
        let ticket = self.0.get_mut().begin_open(name, draw_nonce()?);
        let wanted = ticket.ok_or_else(|| OpenError::Name(name.to_owned()))?;
        let opening = self.until(|handle| {
            let mut id = None;
            let turned = Opening { handle, f: &mut f }.turn(name, |event| {
                if let PublisherEvent::Opened { ticket, publisher, .. } = event
                    && ticket == wanted
                {
                    id = Some(publisher);
                }
                id.is_some()
            });
            match (turned, id) {
                (Err(error), _) => (0, ControlFlow::Break(Err(error))),
                (_, Some(id)) => (0, ControlFlow::Break(Ok(id))),
                (Ok((work, _)), None) => (work, ControlFlow::Continue(())),
            }
        });
        match within(timeout, opening).await {
            Ok(opened) => opened.map_err(OpenError::Io)?,
            Err(_elapsed) => Err(OpenError::TimedOut(name.to_owned(), timeout)),
        }
    }

    /// Waits for room in the window, publishes a message and sends it. A full window alone is tried again.
    async fn publish(
        &mut self,
        publisher: PublisherId,
        destination: Destination,
        payload: &[u8],
        mut f: impl FnMut(ParticipantEvent<'_>) -> ControlFlow<()>,
    ) -> Result<Result<PublisherSeq, PublishError>, IoError> {
        let turn = |handle: &mut StreamHandle<E>| match handle.try_publish(publisher, destination, payload) {
            Err(PublishError::Backpressure) => {
                (handle.poll_with(64, |event, _| f(event)), ControlFlow::Continue(()))
            }
            outcome => (0, ControlFlow::Break(outcome)),
        };
        let number = self.until(turn).await?;
        self.0.get_mut().flush();
        Ok(number)
    }

    /// Waits until every published message has its outcome.
    async fn drain(
        &mut self,
        mut f: impl FnMut(ParticipantEvent<'_>) -> ControlFlow<()>,
    ) -> Result<(), IoError> {
        let turn = |handle: &mut StreamHandle<E>| {
            let work = handle.poll_with(64, |event, _| f(event));
            (work, if handle.is_drained() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        };
        self.until(turn).await
    }
}

impl<E: Reads<Net = Device>> Waiting<E> {
    /// Polls until the subscription has its position, at most for `timeout`.
    async fn begin(
        &mut self,
        timeout: Duration,
        mut f: impl FnMut(ParticipantEvent<'_>) -> ControlFlow<()>,
    ) -> Result<(), IoError> {
        let beginning = self.until(|handle| {
            let work = if handle.has_begun() { 0 } else { handle.poll_with(64, |event, _| f(event)) };
            (work, if handle.has_begun() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        });
        within(timeout, beginning).await.unwrap_or_else(|_elapsed| Err(not_begun(timeout)))
    }
}

/// A [`Subscriber`] that is awaited (feature `tokio`).
///
/// ```no_run
/// use lockstep_client::{AsyncSubscriber, Delivery, Endpoint, Start, Subscriber, SubscriberEvent};
/// use std::ops::ControlFlow;
///
/// async fn read(endpoint: &Endpoint) -> Result<(), Box<dyn std::error::Error>> {
///     let subscriber = Subscriber::connect(endpoint, Delivery::Committed, Start::From(1))?;
///     let mut subscriber = AsyncSubscriber::new(subscriber)?;
///     while !subscriber.get_ref().is_ended() {
///         subscriber.poll(64, |event| {
///             if let SubscriberEvent::Message(message) = event {
///                 println!("{} {:?}", message.seq, message.payload);
///             }
///             ControlFlow::Continue(())
///         }).await?;
///     }
///     Ok(())
/// }
/// ```
#[derive(Debug)]
pub struct AsyncSubscriber(Waiting<SubscriberEngine<Device>>);

impl AsyncSubscriber {
    /// Registers `subscriber` at the runtime of this thread.
    ///
    /// # Errors
    /// There is no runtime here, or it takes no more descriptors.
    ///
    /// # Panics
    /// The runtime was built without its driver: it needs `enable_io` and `enable_time`, or `enable_all`.
    pub fn new(subscriber: Subscriber) -> Result<Self, IoError> {
        Waiting::new(subscriber).map(Self)
    }

    /// Polls until the subscription has its position, at most for `timeout`, as [`Subscriber::begin`].
    ///
    /// Cancel safe, as [`AsyncSubscriber::poll`].
    ///
    /// # Errors
    /// As [`Subscriber::begin`], and those of [`AsyncSubscriber::poll`].
    pub async fn begin(
        &mut self,
        timeout: Duration,
        mut f: impl FnMut(SubscriberEvent<'_>) -> ControlFlow<()>,
    ) -> Result<(), IoError> {
        self.0.begin(timeout, |event| of_subscriber(event, &mut f)).await
    }

    /// Waits until there are events, and passes those of one turn to `f`, as [`Subscriber::poll`]; returns
    /// how many. Never completes once the subscription has ended ([`Subscriber::is_ended`]).
    ///
    /// Cancel safe: an event is passed to `f` in a turn that runs to its end, and the future waits only
    /// between turns. A dropped future has lost nothing, and the next poll continues.
    ///
    /// # Errors
    /// The runtime is being shut down.
    pub async fn poll(
        &mut self,
        limit: usize,
        mut f: impl FnMut(SubscriberEvent<'_>) -> ControlFlow<()>,
    ) -> Result<usize, IoError> {
        self.0.poll(limit, |event| of_subscriber(event, &mut f)).await
    }

    /// The handle: its position, its counters.
    pub fn get_ref(&self) -> &Subscriber {
        self.0.0.get_ref()
    }

    /// The handle, for a turn without waiting.
    pub fn get_mut(&mut self) -> &mut Subscriber {
        self.0.0.get_mut()
    }

    /// The handle alone, for another thread or another runtime.
    pub fn into_inner(self) -> Subscriber {
        self.0.0.into_inner()
    }
}

/// A [`Publisher`] that is awaited (feature `tokio`).
///
/// It sends, resends and receives outcomes while one of its futures is polled, and at no other time: a task
/// that has published awaits [`AsyncPublisher::poll`] or [`AsyncPublisher::drain`].
#[derive(Debug)]
pub struct AsyncPublisher(Waiting<PublisherEngine<Device>>);

impl AsyncPublisher {
    /// Registers `publisher` at the runtime of this thread.
    ///
    /// # Errors
    /// There is no runtime here, or it takes no more descriptors.
    ///
    /// # Panics
    /// The runtime was built without its driver: it needs `enable_io` and `enable_time`, or `enable_all`.
    pub fn new(publisher: Publisher) -> Result<Self, IoError> {
        Waiting::new(publisher).map(Self)
    }

    /// Opens `name`, as [`Publisher::open`]: events of other names are dropped meanwhile. A future that is
    /// dropped before it has completed may have opened the name; another call opens it for this handle in any
    /// case.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn open(&mut self, name: &str, timeout: Duration) -> Result<PublisherId, OpenError> {
        self.0.open(name, timeout, |_| ControlFlow::Continue(())).await
    }

    /// Waits for room in the window, publishes a message and sends it; returns its number. `f` receives the
    /// events of the turns before that.
    ///
    /// Cancel safe: dropped before it has completed, nothing is published. Many messages at once leave in
    /// fewer datagrams by [`Publisher::try_publish`] of [`AsyncPublisher::get_mut`].
    ///
    /// # Errors
    /// The outer one: as [`AsyncPublisher::poll`]. The inner one: see [`PublishError`]; never
    /// [`PublishError::Backpressure`].
    pub async fn publish(
        &mut self,
        publisher: PublisherId,
        destination: Destination,
        payload: &[u8],
        mut f: impl FnMut(PublisherEvent),
    ) -> Result<Result<PublisherSeq, PublishError>, IoError> {
        self.0.publish(publisher, destination, payload, |event| of_publisher(event, &mut f)).await
    }

    /// Waits until there are events, and passes those of one turn to `f`, as [`Publisher::poll`]; returns how
    /// many.
    ///
    /// Cancel safe, as [`AsyncSubscriber::poll`].
    ///
    /// # Errors
    /// The runtime is being shut down.
    pub async fn poll(&mut self, limit: usize, mut f: impl FnMut(PublisherEvent)) -> Result<usize, IoError> {
        self.0.poll(limit, |event| of_publisher(event, &mut f)).await
    }

    /// Waits until every published message has its outcome, committed or not: [`Publisher::outcomes`] has the
    /// counts. `f` receives the events.
    ///
    /// Cancel safe, as [`AsyncSubscriber::poll`].
    ///
    /// # Errors
    /// As [`AsyncPublisher::poll`].
    pub async fn drain(&mut self, mut f: impl FnMut(PublisherEvent)) -> Result<(), IoError> {
        self.0.drain(|event| of_publisher(event, &mut f)).await
    }

    /// The handle: its counters.
    pub fn get_ref(&self) -> &Publisher {
        self.0.0.get_ref()
    }

    /// The handle, for calls that do not wait.
    pub fn get_mut(&mut self) -> &mut Publisher {
        self.0.0.get_mut()
    }

    /// The handle alone, for another thread or another runtime.
    pub fn into_inner(self) -> Publisher {
        self.0.0.into_inner()
    }
}

/// A [`Participant`] that is awaited (feature `tokio`).
///
/// It sends, resends and receives while one of its futures is polled, and at no other time.
///
/// ```no_run
/// use lockstep_client::{
///     AsyncParticipant, Delivery, EVERYBODY, Endpoint, Participant, ParticipantEvent, Start, SubscriberEvent,
/// };
/// use std::ops::ControlFlow;
/// use std::time::Duration;
///
/// fn on_event(event: ParticipantEvent<'_>) -> ControlFlow<()> {
///     if let ParticipantEvent::Subscriber(SubscriberEvent::Message(message)) = event {
///         println!("{} {:?}", message.seq, message.payload);
///     }
///     ControlFlow::Continue(())
/// }
///
/// async fn trade(endpoint: &Endpoint) -> Result<(), Box<dyn std::error::Error>> {
///     let participant = Participant::connect(endpoint, Delivery::Committed, Start::From(1))?;
///     let mut participant = AsyncParticipant::new(participant)?;
///     let orders = participant.open("orders", Duration::from_secs(5), on_event).await?;
///     participant.publish(orders, EVERYBODY, b"buy 100 at 42", on_event).await??;
///     loop {
///         participant.poll(64, on_event).await?;
///     }
/// }
/// ```
#[derive(Debug)]
pub struct AsyncParticipant(Waiting<ParticipantEngine<Device>>);

impl AsyncParticipant {
    /// Registers `participant` at the runtime of this thread.
    ///
    /// # Errors
    /// There is no runtime here, or it takes no more descriptors.
    ///
    /// # Panics
    /// The runtime was built without its driver: it needs `enable_io` and `enable_time`, or `enable_all`.
    pub fn new(participant: Participant) -> Result<Self, IoError> {
        Waiting::new(participant).map(Self)
    }

    /// Polls until the subscription has its position, as [`AsyncSubscriber::begin`].
    ///
    /// # Errors
    /// As [`AsyncSubscriber::begin`].
    pub async fn begin(
        &mut self,
        timeout: Duration,
        mut f: impl FnMut(ParticipantEvent<'_>) -> ControlFlow<()>,
    ) -> Result<(), IoError> {
        self.0.begin(timeout, &mut f).await
    }

    /// Opens `name`; `f` receives all events meanwhile. Otherwise as [`AsyncPublisher::open`].
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn open(
        &mut self,
        name: &str,
        timeout: Duration,
        mut f: impl FnMut(ParticipantEvent<'_>) -> ControlFlow<()>,
    ) -> Result<PublisherId, OpenError> {
        self.0.open(name, timeout, &mut f).await
    }

    /// Waits for room in the window, publishes a message and sends it, as [`AsyncPublisher::publish`].
    ///
    /// # Errors
    /// As [`AsyncPublisher::publish`].
    pub async fn publish(
        &mut self,
        publisher: PublisherId,
        destination: Destination,
        payload: &[u8],
        mut f: impl FnMut(ParticipantEvent<'_>) -> ControlFlow<()>,
    ) -> Result<Result<PublisherSeq, PublishError>, IoError> {
        self.0.publish(publisher, destination, payload, &mut f).await
    }

    /// Waits until there are events, and passes those of one turn to `f`, as [`Participant::poll`]; returns
    /// how many.
    ///
    /// Cancel safe, as [`AsyncSubscriber::poll`].
    ///
    /// # Errors
    /// The runtime is being shut down.
    pub async fn poll(
        &mut self,
        limit: usize,
        mut f: impl FnMut(ParticipantEvent<'_>) -> ControlFlow<()>,
    ) -> Result<usize, IoError> {
        self.0.poll(limit, &mut f).await
    }

    /// Waits until every published message has its outcome, committed or not: [`Participant::outcomes`] has
    /// the counts. `f` receives all events meanwhile.
    ///
    /// Cancel safe, as [`AsyncSubscriber::poll`].
    ///
    /// # Errors
    /// As [`AsyncParticipant::poll`].
    pub async fn drain(
        &mut self,
        mut f: impl FnMut(ParticipantEvent<'_>) -> ControlFlow<()>,
    ) -> Result<(), IoError> {
        self.0.drain(&mut f).await
    }

    /// The handle: its position, its counters.
    pub fn get_ref(&self) -> &Participant {
        self.0.0.get_ref()
    }

    /// The handle, for calls that do not wait.
    pub fn get_mut(&mut self) -> &mut Participant {
        self.0.0.get_mut()
    }

    /// The handle alone, for another thread or another runtime.
    pub fn into_inner(self) -> Participant {
        self.0.0.into_inner()
    }
}
