//! The publisher's handle.

use super::endpoint::Endpoint;
use super::latency::RoundTrips;
use super::sleep::{Sleep, until};
use lockstep_core::engine::counters::Counters;
use lockstep_core::engine::durations::Durations;
use lockstep_core::engine::outputs::Outputs;
use lockstep_core::engine::ports::{Group, Net};
use lockstep_core::engine::publisher::{
    OpenRefusal, PublishError, PublisherCore, PublisherEngine as Engine, PublisherEvent, PublisherLimits,
};
use lockstep_io::IoError;
use lockstep_io::clock::{Clock, random_u64};
use lockstep_io::device::Device;
use lockstep_io::idle::Idle;
use lockstep_io::ready::ReadySet;
use lockstep_wire::{DayMark, Destination, NAME_LEN_MAX, Nanos, PublisherId, PublisherSeq, frame_len_max};
use std::fmt;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::time::Duration;

/// Most names that one handle opens: a gateway's clients.
const NAMES_MAX: u32 = 65_536;
/// How long an open or a look-up waits for its answer before it is sent again.
const QUERY_RETRY_NS: u64 = 20_000_000;
/// Bytes that the kernel counts for a datagram in a socket beside its MTU. It grants twice what is requested:
/// with this, half of a leader's socket stays free for others.
const DATAGRAM_OVERHEAD: usize = 832;

/// Why a name could not be opened.
#[non_exhaustive]
pub enum OpenError {
    /// The name is empty or longer than [`NAME_LEN_MAX`] bytes, or the handle has too many.
    Name(String),
    /// No cluster answered in time: none runs, or a takeover is needed.
    TimedOut(String, Duration),
    /// The cluster's table of publishers is full: the name, and how many names it takes.
    TableFull(String, u32),
    /// The key of this process does not allow the name.
    NotAllowed(String),
    /// The kernel returned no random number.
    Io(IoError),
}

impl OpenError {
    /// The error of a name that the leader refuses.
    fn refused(name: &str, reason: OpenRefusal) -> Self {
        match reason {
            OpenRefusal::TableFull { publishers_max } => Self::TableFull(name.to_owned(), publishers_max),
            _ => Self::NotAllowed(name.to_owned()),
        }
    }
}

/// As `Display`: this is what a `main` prints that returns it.
impl fmt::Debug for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => write!(
                f,
                "cannot open the publisher '{name}': a name has 1 to {NAME_LEN_MAX} bytes, a handle at most {NAMES_MAX} names"
            ),
            Self::TimedOut(name, timeout) => write!(
                f,
                "publisher '{name}' was not opened within {timeout:?}: no leader is heard on the data group; \
                 check that the sequencers run and that interface and groups are theirs"
            ),
            Self::TableFull(name, max) => write!(
                f,
                "publisher '{name}' was not opened: the cluster has room for {max} names in the life of its stream, and all \
                 of them are used; raise `stream.publishers_max` in the files of all replicas, restart them one by one, and \
                 open it again; or publish under a name that exists"
            ),
            Self::NotAllowed(name) => write!(
                f,
                "publisher '{name}' was not opened: the key of this process does not allow the name; `lockstep keys show` on a \
                 replica's host lists what each key allows, and `lockstep keys allow` changes it"
            ),
            Self::Io(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for OpenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(error) => Some(error),
            Self::Name(_) | Self::TimedOut(..) | Self::TableFull(..) | Self::NotAllowed(_) => None,
        }
    }
}

/// Publishes messages into the stream, under one or more names.
///
/// A handle belongs to one thread at a time and has no thread of its own: [`Publisher::poll`] or
/// [`Publisher::wait`] sends, resends and receives. See [`crate`] for an example, [`PublisherEvent`] for
/// outcomes.
#[derive(Debug)]
pub struct Publisher<N = Device> {
    engine: Engine<N>,
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
    /// No file descriptor is left: the first call needs one for each socket and two more.
    pub fn wait(&mut self, timeout: Duration) -> Result<bool, IoError> {
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

/// Sleeps between two polls while a name is opened: that happens once in the life of a process.
#[allow(clippy::disallowed_methods)] // no message waits for it
fn pause() {
    std::thread::sleep(Duration::from_millis(1));
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

impl<N: Net> Publisher<N> {
    /// The same over a device of the caller's. Its descriptor ([`AsFd`]) watches nothing.
    ///
    /// # Errors
    /// The kernel gives no random number.
    #[doc(hidden)]
    pub fn over(net: N, endpoint: &Endpoint) -> Result<Self, IoError> {
        let frame_len_max = frame_len_max(endpoint.mtu);
        // A publisher reads for outcomes only; it buffers what arrived out of order.
        let receiver = endpoint.receiver(1 << 20)?;
        let limits = PublisherLimits {
            receiver,
            window_entries: endpoint.window_entries,
            window_datagrams: (endpoint.publisher_buffer_bytes / frame_len_max).max(2) as u32,
            flight_datagrams: (endpoint.udp.receive_buffer_bytes / (endpoint.mtu + DATAGRAM_OVERHEAD)).max(2)
                as u32,
            resend_ns_min: endpoint.resend_ns_min,
            resend_ns_max: endpoint.resend_ns_max,
            query_retry_ns: QUERY_RETRY_NS,
            heartbeat_interval_ns: endpoint.heartbeat_interval_ns,
            names_max: NAMES_MAX,
            message_len_max: endpoint.message_len_max,
            message_len_max_of: endpoint.message_len_max_of.clone(),
        };
        let (engine, clock) = (Engine::new(net, limits), Clock::start());
        Ok(Self {
            engine,
            clock,
            idle: endpoint.idle,
            sleep: Sleep::default(),
            ready: ReadySet::new()?,
            round_trips: None,
        })
    }

    /// Opens `name` (1 to [`NAME_LEN_MAX`] bytes) and polls until its id arrives, at most for `timeout`.
    /// Another process that has the name open is fenced: none of its later messages is stamped. Events of
    /// other names are dropped meanwhile; use [`Publisher::begin_open`] on a handle with several names, or to
    /// learn the number of the name's last committed message (`last` of [`PublisherEvent::Opened`]).
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(&mut self, name: &str, timeout: Duration) -> Result<PublisherId, OpenError> {
        let nonce = [random_u64().map_err(OpenError::Io)?, random_u64().map_err(OpenError::Io)?];
        self.open_as(name, nonce, timeout)
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
        let wanted = self.begin_open(name, nonce).ok_or_else(|| OpenError::Name(name.to_owned()))?;
        let mut opened = None;
        self.wait_for_open(name, timeout, |event| {
            if let PublisherEvent::Opened { ticket, publisher, .. } = event
                && ticket == wanted
            {
                opened = Some(publisher);
            }
            opened.is_some()
        })?;
        opened.ok_or_else(|| OpenError::Name(name.to_owned()))
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
        let name = outputs.name().to_owned();
        if !outputs.begin_open(&mut self.engine.core, nonce) {
            return Err(OpenError::Name(name));
        }
        self.wait_for_open(&name, timeout, |event| {
            outputs.on_publisher(&event);
            outputs.is_open()
        })
    }

    /// Polls until `is_open` returns true for an event.
    fn wait_for_open(
        &mut self,
        name: &str,
        timeout: Duration,
        mut is_open: impl FnMut(PublisherEvent) -> bool,
    ) -> Result<(), OpenError> {
        let deadline = self.clock.now() + timeout.as_nanos() as u64;
        let mut opened = false;
        while !opened {
            if self.clock.now() > deadline {
                return Err(OpenError::TimedOut(name.to_owned(), timeout));
            }
            let mut refused = None;
            let work = self.poll(usize::MAX, |event| {
                // One name is opened at a time.
                if let PublisherEvent::Refused { reason, .. } = event {
                    refused = Some(reason);
                }
                opened |= is_open(event);
            });
            if let Some(reason) = refused {
                return Err(OpenError::refused(name, reason));
            }
            if work == 0 && self.idle != Idle::Spin {
                pause();
            }
        }
        Ok(())
    }

    /// Publishes the outputs that the stream may lack, as far as the window takes them, and returns how many.
    /// Each is stamped once, however many copies of the application run and however often they start again.
    ///
    /// # Errors
    /// See [`PublishError`]. A full window is no error: the rest follows with the next call.
    pub fn hand_in(&mut self, outputs: &mut Outputs) -> Result<usize, PublishError> {
        outputs.hand_in(&mut self.engine.core)
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
        self.engine.core.try_publish_at(publisher, number, destination, payload)
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
        let number = self.engine.core.try_publish(publisher, destination, payload)?;
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
        self.engine.core.try_claim(publisher, destination, len)
    }

    /// Closes a publisher behind all of its messages. Readers receive `reason` with
    /// [`SubscriberEvent::Closed`](super::SubscriberEvent::Closed).
    ///
    /// # Errors
    /// As [`Publisher::try_publish`].
    pub fn try_close(&mut self, publisher: PublisherId, reason: &[u8]) -> Result<(), PublishError> {
        self.engine.core.try_close(publisher, reason)
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
        self.engine.core.try_day(publisher, mark, None)
    }

    /// The engine without device and clock.
    #[doc(hidden)]
    pub fn core_mut(&mut self) -> &mut PublisherCore {
        &mut self.engine.core
    }

    /// Sends what is written, in one system call if the kernel takes it. Returns the number of datagrams
    /// sent.
    pub fn flush(&mut self) -> usize {
        let now = self.clock.now();
        if let Some(round_trips) = &mut self.round_trips {
            round_trips.on_sent(now);
        }
        self.engine.flush(now, self.clock.wall(now))
    }

    /// One turn: sends what is written, receives, and calls `f` for at most `limit` outcomes and for every
    /// other event. Never blocks. Returns the work done: 0 is an idle turn.
    pub fn poll(&mut self, limit: usize, mut f: impl FnMut(PublisherEvent)) -> usize {
        let now = self.clock.now();
        let wall = self.clock.wall(now);
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

    /// Whether every published message has its outcome.
    pub fn is_drained(&self) -> bool {
        self.engine.core.is_drained()
    }

    /// Whether the handle receives and follows a leader's stream.
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
