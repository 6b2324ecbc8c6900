//! The publisher's handle.

use super::endpoint::Endpoint;
use super::sleep::{Sleep, until};
use lockstep_core::engine::counters::Counters;
use lockstep_core::engine::outputs::Outputs;
use lockstep_core::engine::ports::{Group, Net};
use lockstep_core::engine::publisher::{
    PublishError, PublisherCore, PublisherEngine as Engine, PublisherEvent, PublisherLimits,
};
use lockstep_io::IoError;
use lockstep_io::clock::{Clock, random_u64};
use lockstep_io::device::Device;
use lockstep_io::idle::Idle;
use lockstep_wire::{DayMark, Destination, NAME_LEN_MAX, PublisherId, PublisherSeq, frame_len_max};
use std::fmt;
use std::os::fd::BorrowedFd;
use std::time::Duration;

/// Most names that one handle opens: a gateway's clients.
const NAMES_MAX: u32 = 65_536;
/// How long an open or a look-up waits for its answer before it is sent again.
const QUERY_RETRY_NS: u64 = 20_000_000;
/// Bytes that the kernel counts for a datagram in a socket beside its MTU. It grants twice what is asked for, so that
/// with this half of a leader's socket stays free for others.
const DATAGRAM_OVERHEAD: usize = 832;

/// Why a name could not be opened.
pub enum OpenError {
    /// The name is empty or longer than [`NAME_LEN_MAX`] bytes, or the handle has too many.
    Name(String),
    /// No cluster answered in time: none runs, or a takeover is needed.
    TimedOut(String, Duration),
    /// The cluster's table of publishers is full: the name, and how many names it takes.
    TableFull(String, u32),
    /// The kernel gives no random number.
    Io(IoError),
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
            Self::Io(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for OpenError {}

/// Hands messages to the cluster. See [`crate`] for its use.
#[derive(Debug)]
pub struct Publisher<N = Device> {
    engine: Engine<N>,
    clock: Clock,
    idle: Idle,
    sleep: Sleep,
}

impl Publisher<Device> {
    /// Joins the groups; nothing is published before a name is open.
    ///
    /// # Errors
    /// The device cannot be opened: which interface, which call, and what to do.
    pub fn connect(endpoint: &Endpoint) -> Result<Self, IoError> {
        let device = endpoint.open(&[Group::Data, Group::Control])?;
        Self::over(device, endpoint)
    }

    /// Sends what is written, and sleeps: until a datagram comes, until something is to be sent again or asked for, or
    /// until `timeout` is over, whichever is first. It may end earlier; poll again whatever it returns, which is
    /// whether something can be read.
    ///
    /// # Errors
    /// File descriptors are used up: the first call needs a few.
    pub fn wait(&mut self, timeout: Duration) -> Result<bool, IoError> {
        self.flush();
        let due = self.due();
        let Self { engine, sleep, .. } = self;
        sleep.pass(engine.net().sockets(), due.min(timeout))
    }

    /// The sockets that bring it something, for a poll of the caller's own, which watches them level-triggered.
    /// Datagrams that come by shared memory none of them tells of.
    pub fn sockets(&self) -> Vec<BorrowedFd<'_>> {
        self.engine.net().sockets()
    }

    /// When it is to be polled again at the latest although nothing came, from now on.
    pub fn due(&self) -> Duration {
        until(self.engine.core.next_deadline(), self.clock.now())
    }
}

/// Passes a moment of waiting for a name: it is looked up, opened and committed once in the life of a process.
#[allow(clippy::disallowed_methods)] // nobody's message waits for it
fn pause() {
    std::thread::sleep(Duration::from_millis(1));
}

impl<N: Net> Publisher<N> {
    /// The same over a device of the caller's.
    ///
    /// # Errors
    /// The kernel gives no random number.
    pub fn over(net: N, endpoint: &Endpoint) -> Result<Self, IoError> {
        let frame_len_max = frame_len_max(endpoint.mtu);
        // A publisher reads for its fates only; what it must keep is what came out of order.
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
            beat_ns: endpoint.beat_ns,
            names_max: NAMES_MAX,
            message_len_max: endpoint.message_len_max,
            message_len_max_of: endpoint.message_len_max_of.clone(),
        };
        let (engine, clock) = (Engine::new(net, limits), Clock::start());
        Ok(Self { engine, clock, idle: endpoint.idle, sleep: Sleep::default() })
    }

    /// Opens `name` and waits for its id. Fences whoever has it open.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(&mut self, name: &str, timeout: Duration) -> Result<PublisherId, OpenError> {
        let nonce = [random_u64().map_err(OpenError::Io)?, random_u64().map_err(OpenError::Io)?];
        self.open_as(name, nonce, timeout)
    }

    /// Opens `name` under a nonce that copies of a deterministic application share: they publish the same
    /// messages, and each is stamped once.
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

    /// Opens the name of an application's outputs under the nonce that its copies share; then
    /// [`Publisher::hand_in`].
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

    /// Polls until `is_open` says so of what is told.
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
                if let PublisherEvent::Refused { publishers_max, .. } = event {
                    refused = Some(publishers_max);
                }
                opened |= is_open(event);
            });
            if let Some(max) = refused {
                return Err(OpenError::TableFull(name.to_owned(), max));
            }
            if work == 0 && self.idle != Idle::Spin {
                pause();
            }
        }
        Ok(())
    }

    /// Hands in what of an application's outputs the stream may lack, as far as the window takes it; each is stamped
    /// once, however many copies of the application run and however often they begin again. Returns how many.
    ///
    /// # Errors
    /// See [`PublishError`]; a full window is none.
    pub fn hand_in(&mut self, outputs: &mut Outputs) -> Result<usize, PublishError> {
        outputs.hand_in(&mut self.engine.core)
    }

    /// Takes a message whose number follows from the application's state: see
    /// [`PublisherCore::try_publish_at`](lockstep_core::engine::publisher::PublisherCore::try_publish_at).
    /// [`Outputs`] derives the numbers.
    ///
    /// # Errors
    /// As [`Publisher::try_publish`].
    pub fn try_publish_at(
        &mut self,
        publisher: PublisherId,
        number: PublisherSeq,
        destination: Destination,
        payload: &[u8],
    ) -> Result<PublisherSeq, PublishError> {
        self.engine.core.try_publish_at(publisher, number, destination, payload)
    }

    /// Begins to open `name`; [`PublisherEvent::Opened`] with the returned ticket brings its id. `None`:
    /// the name is not valid, or one too many.
    pub fn begin_open(&mut self, name: &str, nonce: [u64; 2]) -> Option<usize> {
        self.engine.core.open(name, nonce)
    }

    /// Takes a message: copied once into the open datagram, which leaves when it is full or at the next
    /// `flush` or `poll`. Returns its number; its fate comes by `poll`. A message longer than
    /// [`Publisher::part_len_max`] goes out in parts, each with a number of its own: the one that is returned,
    /// and whose fate is told, is the last part's.
    ///
    /// # Errors
    /// See [`PublishError`]; [`PublishError::Backpressure`] passes.
    #[inline]
    pub fn try_publish(
        &mut self,
        publisher: PublisherId,
        destination: Destination,
        payload: &[u8],
    ) -> Result<PublisherSeq, PublishError> {
        self.engine.core.try_publish(publisher, destination, payload)
    }

    /// Takes a message of `len` bytes, at most [`Publisher::part_len_max`], that the caller writes in place.
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

    /// Closes a publisher behind all of its messages; `said` goes to whoever reads the stream
    /// ([`SubscriberEvent::Closed`](super::SubscriberEvent::Closed)).
    ///
    /// # Errors
    /// As [`Publisher::try_publish`].
    pub fn try_close(&mut self, publisher: PublisherId, said: &[u8]) -> Result<(), PublishError> {
        self.engine.core.try_close(publisher, said)
    }

    /// Marks the begin or the end of a trading day; its fate comes like a message's.
    ///
    /// # Errors
    /// As [`Publisher::try_publish`].
    pub fn try_day(
        &mut self,
        publisher: PublisherId,
        mark: DayMark<'_>,
    ) -> Result<PublisherSeq, PublishError> {
        self.engine.core.try_day(publisher, mark)
    }

    /// The rules without device and clock, for those that are written over them.
    pub fn core_mut(&mut self) -> &mut PublisherCore {
        &mut self.engine.core
    }

    /// Sends what is written, in one call. Returns the datagrams sent.
    pub fn flush(&mut self) -> usize {
        let now = self.clock.now();
        self.engine.flush(now, self.clock.wall(now))
    }

    /// One turn: sends what is written, reads the stream, reports at most `limit` committed fates (and
    /// everything else that happened). Never blocks. Returns the work done.
    pub fn poll(&mut self, limit: usize, f: impl FnMut(PublisherEvent)) -> usize {
        let now = self.clock.now();
        self.engine.poll(now, self.clock.wall(now), limit, f)
    }

    /// Whether every message that was taken has its fate.
    pub fn is_drained(&self) -> bool {
        self.engine.core.is_drained()
    }

    /// Whether the stream is heard and followed.
    pub fn is_connected(&self) -> bool {
        self.engine.core.is_connected()
    }

    /// The longest message that is taken: `stream.message_len_max`, or less where the window holds less.
    pub fn message_len_max(&self) -> usize {
        self.engine.core.message_len_max()
    }

    /// The longest message for `destination` that is taken: a channel's may be shorter
    /// (`channels.*.message_len_max`).
    pub fn message_len_max_for(&self, destination: Destination) -> usize {
        self.engine.core.message_len_max_for(destination)
    }

    /// The longest message that can be claimed in place, and that goes out as a whole: what one frame takes.
    pub fn part_len_max(&self) -> usize {
        self.engine.core.part_len_max()
    }

    /// What was counted.
    pub fn counters(&self) -> &Counters {
        &self.engine.core.counters
    }

    /// The device.
    pub fn net(&self) -> &N {
        self.engine.net()
    }

    /// The clock that times this handle.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }
}
