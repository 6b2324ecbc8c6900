//! The publisher's handle, and the half of a handle that publishes.

use super::endpoint::Endpoint;
use super::halves::Publishes;
use super::handle::StreamHandle;
use super::open::{NAMES_MAX, OpenError, Opening, draw_nonce};
use lockstep_core::engine::counters::Counters;
use lockstep_core::engine::outputs::Outputs;
use lockstep_core::engine::participant::ParticipantEvent;
use lockstep_core::engine::ports::{Group, Net};
use lockstep_core::engine::publisher::{
    Outcomes, PublishError, PublisherCore, PublisherEngine, PublisherEvent, PublisherLimits,
};
use lockstep_io::IoError;
use lockstep_io::device::Device;
use lockstep_wire::{DayMark, Destination, PublisherId, PublisherSeq, frame_len_max};
use std::ops::ControlFlow;
use std::time::Duration;

/// Bytes that the kernel counts for a datagram in a socket beside its MTU. It grants twice what is requested:
/// with this, half of a leader's socket stays free for others.
const DATAGRAM_OVERHEAD: usize = 832;

/// Limits of a publisher of this endpoint, under a random identity.
pub(crate) fn publisher_limits(endpoint: &Endpoint) -> Result<PublisherLimits, IoError> {
    let frame_len_max = frame_len_max(endpoint.mtu);
    // A publisher reads for outcomes only; it buffers what arrived out of order.
    let receiver = endpoint.receiver(1 << 20)?;
    Ok(PublisherLimits {
        receiver,
        window_entries: endpoint.window_entries,
        window_datagrams: (endpoint.publisher_buffer_bytes / frame_len_max).max(2) as u32,
        flight_datagrams: (endpoint.udp.receive_buffer_bytes / (endpoint.mtu + DATAGRAM_OVERHEAD)).max(2)
            as u32,
        resend_ns_min: endpoint.resend_ns_min,
        resend_ns_max: endpoint.resend_ns_max,
        heartbeat_interval_ns: endpoint.heartbeat_interval_ns,
        leaderless_ns_max: endpoint.leaderless_ns_max,
        names_max: NAMES_MAX,
        message_len_max: endpoint.message_len_max,
        message_len_max_of: endpoint.message_len_max_of.clone(),
        ..PublisherLimits::default()
    })
}

/// Publishes messages into the stream, under one or more names: the handle with the half that publishes
/// alone.
///
/// A handle belongs to one thread at a time and has no thread of its own: [`Publisher::poll`] or
/// [`Publisher::wait`] sends, resends and receives. See [`crate`] for an example, [`PublisherEvent`] for
/// outcomes.
pub type Publisher<N = Device> = StreamHandle<PublisherEngine<N>>;

/// Gives an event to `f`, if it is one of the half that publishes.
#[inline]
pub(super) fn of_publisher(
    event: ParticipantEvent<'_>,
    f: &mut impl FnMut(PublisherEvent),
) -> ControlFlow<()> {
    if let ParticipantEvent::Publisher(event) = event {
        f(event);
    }
    ControlFlow::Continue(())
}

impl Publisher<Device> {
    /// Opens the sockets and joins the groups. A name must be opened before anything is published.
    ///
    /// # Errors
    /// The device cannot be opened: which interface, which call, and the remedy.
    pub fn connect(endpoint: &Endpoint) -> Result<Self, IoError> {
        let device = endpoint.open(&[Group::Data, Group::Control])?;
        Self::over(device, endpoint)?.watching()
    }
}

impl<N: Net> Publisher<N> {
    /// The same over a device of the caller's. Its descriptor watches nothing.
    ///
    /// # Errors
    /// The kernel gives no random number.
    #[doc(hidden)]
    pub fn over(net: N, endpoint: &Endpoint) -> Result<Self, IoError> {
        Self::of(PublisherEngine::new(net, publisher_limits(endpoint)?), endpoint)
    }

    /// Opens `name` (1 to [`NAME_LEN_MAX`](lockstep_wire::NAME_LEN_MAX) bytes) and polls until its id
    /// arrives, at most for `timeout`. Another process that has the name open is fenced: none of its later
    /// messages is stamped. Events of other names are dropped meanwhile; use [`Publisher::begin_open`] on a
    /// handle with several names, or to learn the number of the name's last committed message (`last` of
    /// [`PublisherEvent::Opened`]).
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(&mut self, name: &str, timeout: Duration) -> Result<PublisherId, OpenError> {
        self.open_as(name, draw_nonce()?, timeout)
    }

    /// As [`Publisher::open`], under a nonce that the copies of a deterministic application share: they do
    /// not fence each other, publish the same messages, and each message is stamped once.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open_as(
        &mut self,
        name: &str,
        nonce: [u64; 2],
        timeout: Duration,
    ) -> Result<PublisherId, OpenError> {
        Opening { handle: self, f: |_: ParticipantEvent<'_>| ControlFlow::Continue(()) }
            .open_as(name, nonce, timeout)
    }

    /// Opens the name of an application's outputs under the nonce that its copies share.
    /// [`Publisher::hand_in`] publishes them.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open_outputs(
        &mut self,
        outputs: &mut Outputs,
        nonce: [u64; 2],
        timeout: Duration,
    ) -> Result<(), OpenError> {
        Opening { handle: self, f: |_: ParticipantEvent<'_>| ControlFlow::Continue(()) }
            .open_outputs(outputs, nonce, timeout)
    }

    /// One turn: sends what is written, receives, and calls `f` for at most `limit` outcomes and for every
    /// other event. Never blocks. Returns the work done: 0 is an idle turn, and every turn in a fork of the
    /// process that made the handle.
    pub fn poll(&mut self, limit: usize, mut f: impl FnMut(PublisherEvent)) -> usize {
        self.poll_with(limit, |event, _| of_publisher(event, &mut f))
    }

    /// The engine without device and clock.
    #[doc(hidden)]
    pub fn core_mut(&mut self) -> &mut PublisherCore {
        self.publisher_mut()
    }

    /// Counters of this handle since it was made.
    pub fn counters(&self) -> &Counters {
        self.publisher_counters()
    }
}

/// The half that publishes.
impl<E: Publishes> StreamHandle<E> {
    /// That half, in the process that made it.
    #[inline]
    fn publishing(&mut self) -> Result<&mut PublisherCore, PublishError> {
        if self.engine.is_here() { Ok(self.engine.publisher_mut()) } else { Err(PublishError::OtherProcess) }
    }

    /// That half, for those who publish between two events of a poll.
    pub fn publisher_mut(&mut self) -> &mut PublisherCore {
        self.engine.publisher_mut()
    }

    /// Publishes the outputs that the stream may lack, as far as the window takes them, and returns how many.
    /// Each is stamped once, however many copies of the application run and however often they start again.
    ///
    /// # Errors
    /// See [`PublishError`]. A full window is no error: the rest follows with the next call.
    pub fn hand_in(&mut self, outputs: &mut Outputs) -> Result<usize, PublishError> {
        outputs.hand_in(self.publishing()?)
    }

    /// Publishes a message whose number the caller derives from its own state. The stream skips a number that
    /// it has. `number` is that of the message's first part. [`Outputs`] derives the numbers.
    ///
    /// # Errors
    /// As [`StreamHandle::try_publish`], and [`PublishError::Ahead`] if numbers before it are missing.
    pub fn try_publish_at(
        &mut self,
        publisher: PublisherId,
        number: PublisherSeq,
        destination: Destination,
        payload: &[u8],
    ) -> Result<PublisherSeq, PublishError> {
        self.publishing()?.try_publish_at(publisher, number, destination, payload)
    }

    /// Opens `name` as [`Publisher::open`]; `f` receives all events of these polls.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open_with(
        &mut self,
        name: &str,
        timeout: Duration,
        f: impl FnMut(ParticipantEvent<'_>) -> ControlFlow<()>,
    ) -> Result<PublisherId, OpenError> {
        Opening { handle: self, f }.open_as(name, draw_nonce()?, timeout)
    }

    /// Begins to open `name` and returns a ticket. [`PublisherEvent::Opened`] with this ticket has the id.
    /// `nonce` distinguishes this process from others that open the name; draw it at random. `None`: the name
    /// is not valid, or the handle has too many.
    pub fn begin_open(&mut self, name: &str, nonce: [u64; 2]) -> Option<usize> {
        self.engine.publisher_mut().open(name, nonce)
    }

    /// Copies a message into the open datagram and returns its number, from 1 for each name. The next
    /// `flush`, `poll` or `wait` sends it; its outcome is an event of `poll`. A message longer than
    /// [`StreamHandle::part_len_max`] goes out in parts, each with a number: the returned number and the
    /// outcome are those of the last part.
    ///
    /// `publisher` is the result of [`Publisher::open`]. `destination` is [`EVERYBODY`](crate::EVERYBODY), a
    /// publisher's id, or [`CHANNELS`](crate::CHANNELS) plus the number of a channel.
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

    /// As [`StreamHandle::try_publish`], for a message of `len` bytes, at most
    /// [`StreamHandle::part_len_max`], that the caller writes into the returned memory before the next call.
    ///
    /// # Errors
    /// As [`StreamHandle::try_publish`].
    #[inline]
    pub fn try_claim(
        &mut self,
        publisher: PublisherId,
        destination: Destination,
        len: usize,
    ) -> Result<(PublisherSeq, &mut [u8]), PublishError> {
        self.publishing()?.try_claim(publisher, destination, len)
    }

    /// Closes a publisher behind all of its messages. Readers receive `reason` with
    /// [`SubscriberEvent::Closed`](super::SubscriberEvent::Closed).
    ///
    /// # Errors
    /// As [`StreamHandle::try_publish`].
    pub fn try_close(&mut self, publisher: PublisherId, reason: &[u8]) -> Result<(), PublishError> {
        self.publishing()?.try_close(publisher, reason)
    }

    /// Marks the start or the end of a trading day. The mark has a number and an outcome like a message.
    ///
    /// # Errors
    /// As [`StreamHandle::try_publish`].
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
        self.send()
    }

    /// The outcomes of the messages so far; [`Outcomes::since`] returns those since an earlier look.
    pub fn outcomes(&self) -> Outcomes {
        self.engine.publisher().outcomes()
    }

    /// Whether every published message has its outcome, committed or not: see `outcomes`.
    pub fn is_drained(&self) -> bool {
        self.engine.publisher().is_drained()
    }

    /// Bytes of the longest message: `stream.message_len_max`, or less if the handle's window is smaller.
    pub fn message_len_max(&self) -> usize {
        self.engine.publisher().message_len_max()
    }

    /// Bytes of the longest message for `destination`: a channel may have a smaller limit
    /// (`channels.*.message_len_max`).
    pub fn message_len_max_for(&self, destination: Destination) -> usize {
        self.engine.publisher().message_len_max_for(destination)
    }

    /// Bytes of the longest message that one frame takes: such a message is not cut into parts, and can be
    /// claimed in place.
    pub fn part_len_max(&self) -> usize {
        self.engine.publisher().part_len_max()
    }

    /// Counters of the half that publishes, since the handle was made. Both halves of a participant count
    /// every datagram and every refused one, as two handles do.
    pub fn publisher_counters(&self) -> &Counters {
        &self.engine.publisher().counters
    }
}
