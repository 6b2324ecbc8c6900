//! The publisher's handle.

use super::endpoint::Endpoint;
use super::latency::RoundTrips;
use super::open::{NAMES_MAX, OpenError, Opens, draw_nonce, open_as, open_outputs};
use super::sleep::{Sleep, until};
use lockstep_core::engine::counters::Counters;
use lockstep_core::engine::durations::Durations;
use lockstep_core::engine::outputs::Outputs;
use lockstep_core::engine::ports::{Group, Net};
use lockstep_core::engine::publisher::{
    Outcomes, PublishError, PublisherCore, PublisherEngine as Engine, PublisherEvent, PublisherLimits,
};
use lockstep_io::IoError;
use lockstep_io::clock::Clock;
use lockstep_io::device::Device;
use lockstep_io::idle::Idle;
use lockstep_io::made_in::Own;
use lockstep_io::ready::ReadySet;
use lockstep_wire::{DayMark, Destination, Nanos, PublisherId, PublisherSeq, Wall, frame_len_max};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
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

/// Publishes messages into the stream, under one or more names.
///
/// A handle belongs to one thread at a time and has no thread of its own: [`Publisher::poll`] or
/// [`Publisher::wait`] sends, resends and receives. See [`crate`] for an example, [`PublisherEvent`] for
/// outcomes.
#[derive(Debug)]
pub struct Publisher<N = Device> {
    engine: Own<Engine<N>>,
    clock: Clock,
    idle: Idle,
    sleep: Sleep,
    ready: ReadySet,
    /// Set where its counters are published.
    round_trips: Option<Box<RoundTrips>>,
}

impl Publisher<Device> {
    /// Opens the sockets and joins the groups. A name must be opened before anything is published.
    ///
    /// # Errors
    /// The device cannot be opened: which interface, which call, and the remedy.
    pub fn connect(endpoint: &Endpoint) -> Result<Self, IoError> {
        let device = endpoint.open(&[Group::Data, Group::Control])?;
        let handle = Self::over(device, endpoint)?;
        handle.ready.watch(&handle.sockets())?;
        Ok(handle)
    }

    /// Sends what is written, and sleeps until a datagram arrives, until a message or request is due, or
    /// until `timeout` has elapsed, whichever is first. It may return earlier. Returns whether something
    /// can be read; poll in either case.
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
    /// opens.
    pub fn due(&self) -> Duration {
        until(self.engine.core.next_deadline(), self.clock.now())
    }
}

/// One descriptor that is readable while one of the handle's sockets is: for epoll, mio, tokio's `AsyncFd`.
/// Poll the handle when it is readable until a poll returns 0, and after [`Publisher::due`] at the latest.
impl AsFd for Publisher<Device> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.ready.as_fd()
    }
}

/// As [`AsFd`], for libraries that take a number.
impl AsRawFd for Publisher<Device> {
    fn as_raw_fd(&self) -> RawFd {
        self.ready.as_fd().as_raw_fd()
    }
}

impl<N: Net> Opens for Publisher<N> {
    fn publisher(&mut self) -> Result<&mut PublisherCore, IoError> {
        self.engine.check("open a name")?;
        Ok(&mut self.engine.core)
    }

    fn turn(&mut self, mut f: impl FnMut(PublisherEvent)) -> usize {
        self.poll(usize::MAX, &mut f)
    }

    fn pace(&self) -> (&Clock, Idle) {
        (&self.clock, self.idle)
    }
}

impl<N: Net> Publisher<N> {
    /// The same over a device of the caller's. Its descriptor ([`AsFd`]) watches nothing.
    ///
    /// # Errors
    /// The kernel gives no random number.
    #[doc(hidden)]
    pub fn over(net: N, endpoint: &Endpoint) -> Result<Self, IoError> {
        Ok(Self {
            engine: Own::new(Engine::new(net, publisher_limits(endpoint)?)),
            clock: Clock::start(),
            idle: endpoint.idle,
            sleep: Sleep::default(),
            ready: ReadySet::new()?,
            round_trips: None,
        })
    }

    /// The half that publishes, in the process that made it.
    #[inline]
    fn publishing(&mut self) -> Result<&mut PublisherCore, PublishError> {
        if self.engine.is_here() { Ok(&mut self.engine.core) } else { Err(PublishError::OtherProcess) }
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
        open_as(self, name, nonce, timeout)
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
        open_outputs(self, outputs, nonce, timeout)
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
    /// As [`Publisher::try_publish`], and [`PublishError::Ahead`] if numbers before it are missing.
    pub fn try_publish_at(
        &mut self,
        publisher: PublisherId,
        number: PublisherSeq,
        destination: Destination,
        payload: &[u8],
    ) -> Result<PublisherSeq, PublishError> {
        self.publishing()?.try_publish_at(publisher, number, destination, payload)
    }

    /// Begins to open `name` and returns a ticket. [`PublisherEvent::Opened`] with this ticket has the id.
    /// `nonce` distinguishes this process from others that open the name; draw it at random. `None`: the name
    /// is not valid, or the handle has too many.
    pub fn begin_open(&mut self, name: &str, nonce: [u64; 2]) -> Option<usize> {
        self.engine.core.open(name, nonce)
    }

    /// Copies a message into the open datagram and returns its number, from 1 for each name. The next
    /// `flush`, `poll` or `wait` sends it; its outcome is an event of `poll`. A message longer than
    /// [`Publisher::part_len_max`] goes out in parts, each with a number: the returned number and the outcome
    /// are those of the last part.
    ///
    /// `publisher` is what [`Publisher::open`] returned. `destination` is [`EVERYBODY`](crate::EVERYBODY), a
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

    /// As [`Publisher::try_publish`], for a message of `len` bytes, at most [`Publisher::part_len_max`], that
    /// the caller writes into the returned memory before the next call.
    ///
    /// # Errors
    /// As [`Publisher::try_publish`].
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
    /// As [`Publisher::try_publish`].
    pub fn try_close(&mut self, publisher: PublisherId, reason: &[u8]) -> Result<(), PublishError> {
        self.publishing()?.try_close(publisher, reason)
    }

    /// Marks the start or the end of a trading day. The mark has a number and an outcome like a message.
    ///
    /// # Errors
    /// As [`Publisher::try_publish`].
    pub fn try_day(
        &mut self,
        publisher: PublisherId,
        mark: DayMark<'_>,
    ) -> Result<PublisherSeq, PublishError> {
        self.publishing()?.try_day(publisher, mark, None)
    }

    /// The engine without device and clock.
    #[doc(hidden)]
    pub fn core_mut(&mut self) -> &mut PublisherCore {
        &mut self.engine.core
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

    /// One turn: sends what is written, receives, and calls `f` for at most `limit` outcomes and for every
    /// other event. Never blocks. Returns the work done: 0 is an idle turn, and every turn in a fork of the
    /// process that made the handle.
    pub fn poll(&mut self, limit: usize, mut f: impl FnMut(PublisherEvent)) -> usize {
        if !self.engine.is_here() {
            return 0;
        }
        let now = self.clock.now();
        let wall = Wall(self.clock.wall(now));
        let Some(round_trips) = &mut self.round_trips else {
            return self.engine.poll(now, wall, limit, f);
        };
        round_trips.on_sent(now);
        self.engine.poll(now, wall, limit, |event| {
            round_trips.on_event(now, &event);
            f(event);
        })
    }

    /// From now on the time from the sending of a message until its commit is known is measured.
    pub(crate) fn measure(&mut self) {
        self.round_trips.get_or_insert_default();
    }

    /// These times, if they are measured.
    pub(crate) fn round_trips(&self) -> Option<&Durations> {
        self.round_trips.as_ref().map(|round_trips| round_trips.durations())
    }

    /// What became of the messages so far; [`Outcomes::since`] tells it of those behind an earlier look.
    pub fn outcomes(&self) -> Outcomes {
        self.engine.core.outcomes()
    }

    /// Whether every published message has its outcome, whichever: see `outcomes`.
    pub fn is_drained(&self) -> bool {
        self.engine.core.is_drained()
    }

    /// Whether the handle follows a leader's stream: it has received one within the last second (ten
    /// heartbeats, or four times `timing.failure_timeout`, where that is longer). A takeover is shorter.
    pub fn is_connected(&self) -> bool {
        self.engine.core.is_connected()
    }

    /// Bytes of the longest message: `stream.message_len_max`, or less if the handle's window is smaller.
    pub fn message_len_max(&self) -> usize {
        self.engine.core.message_len_max()
    }

    /// Bytes of the longest message for `destination`: a channel may have a smaller limit
    /// (`channels.*.message_len_max`).
    pub fn message_len_max_for(&self, destination: Destination) -> usize {
        self.engine.core.message_len_max_for(destination)
    }

    /// Bytes of the longest message that one frame takes: such a message is not cut into parts, and can be
    /// claimed in place.
    pub fn part_len_max(&self) -> usize {
        self.engine.core.part_len_max()
    }

    /// Counters of this handle since it was made.
    pub fn counters(&self) -> &Counters {
        &self.engine.core.counters
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
