//! The subscriber's handle.

use super::endpoint::Endpoint;
use super::latency::DeliveryLatencies;
use super::replay::Replay;
use super::sleep::Sleep;
use lockstep_core::engine::counters::Counters;
use lockstep_core::engine::durations::Durations;
use lockstep_core::engine::losses::Losses;
use lockstep_core::engine::parts::PartsLimits;
use lockstep_core::engine::ports::{Group, Net};
use lockstep_core::engine::receiver::Start;
use lockstep_core::engine::replay::ReplayLimits;
use lockstep_core::engine::subscriber::{
    Delivery, SubscriberEngine as Engine, SubscriberEvent, SubscriberLimits,
};
use lockstep_io::IoError;
use lockstep_io::clock::Clock;
use lockstep_io::device::Device;
use lockstep_io::made_in::Own;
use lockstep_io::ready::ReadySet;
use lockstep_wire::{Cursor, Epoch, Nanos, Seq};
use std::ops::ControlFlow;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::time::Duration;

/// The highest seq at which a subscription may start: a greater one is a converted negative number.
const SEQ_MAX: Seq = i64::MAX as Seq;

/// Limits of a subscriber of this endpoint, under a random identity, and of its replays.
pub(crate) fn subscriber_limits(
    endpoint: &Endpoint,
    delivery: Delivery,
    start: Start,
) -> Result<(SubscriberLimits, ReplayLimits), IoError> {
    if let Start::From(seq) = start
        && !(1..=SEQ_MAX).contains(&seq)
    {
        let why = if seq == 0 { "seqs count from 1" } else { "no stream is that long" };
        return Err(IoError::argument(format!("start at seq {seq}"), why));
    }
    let receiver = endpoint.receiver(endpoint.subscriber_buffer_bytes)?;
    let replay = endpoint.replay(receiver.me);
    let parts = PartsLimits { spare_bytes: endpoint.subscriber_parts_bytes, ..PartsLimits::default() };
    let heartbeat_interval_ns = endpoint.heartbeat_interval_ns;
    let leaderless_ns_max = endpoint.leaderless_ns_max;
    let limits = SubscriberLimits {
        receiver,
        delivery,
        start,
        parts,
        heartbeat_interval_ns,
        leaderless_ns_max,
        ..SubscriberLimits::default()
    };
    Ok((limits, replay))
}

/// Polls `handle` until its subscription has its position.
pub(crate) fn begin<H>(
    handle: &mut H,
    timeout: Duration,
    has_begun: fn(&H) -> bool,
    mut poll: impl FnMut(&mut H) -> usize,
    wait: fn(&mut H, Duration) -> Result<bool, IoError>,
) -> Result<(), IoError> {
    let clock = Clock::start();
    let deadline = clock.now() + timeout.as_nanos() as Nanos;
    while !has_begun(handle) {
        let work = poll(handle);
        if !has_begun(handle) && clock.now() >= deadline {
            return Err(not_begun(timeout));
        }
        if work == 0 {
            wait(handle, timeout)?;
        }
    }
    Ok(())
}

/// The error of a subscription that has no position after `timeout`.
pub(crate) fn not_begun(timeout: Duration) -> IoError {
    let doing = format!("begin the subscription within {timeout:?}");
    let why = "no leader was received on the data group; check that the sequencers run and use the same \
               interface and groups";
    IoError::because(doing, std::io::ErrorKind::TimedOut, why)
}

/// Delivers the stream to the caller of [`Subscriber::poll`].
///
/// ```no_run
/// use lockstep_client::{Delivery, Endpoint, Start, Subscriber, SubscriberEvent};
/// use std::ops::ControlFlow;
/// use std::time::Duration;
///
/// fn read(endpoint: &Endpoint) -> Result<(), Box<dyn std::error::Error>> {
///     let mut subscriber = Subscriber::connect(endpoint, Delivery::Committed, Start::From(1))?;
///     loop {
///         let work = subscriber.poll(64, |event| {
///             if let SubscriberEvent::Message(message) = event {
///                 println!("{} {:?}", message.seq, message.payload);
///             }
///             ControlFlow::Continue(())
///         });
///         if work == 0 {
///             subscriber.wait(Duration::from_millis(10))?;
///         }
///     }
/// }
/// ```
#[derive(Debug)]
pub struct Subscriber<N = Device> {
    engine: Own<Engine<N>>,
    replay: Replay,
    clock: Clock,
    sleep: Sleep,
    ready: ReadySet,
    /// Set if its counters are published.
    latencies: Option<Box<DeliveryLatencies>>,
}

impl Subscriber<Device> {
    /// Opens the sockets and joins the groups. Delivery begins at `start` with the first poll; see
    /// [`Subscriber::begin`] for [`Start::Live`].
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

    /// Sleeps after a poll that returned 0: until a datagram arrives, until a request is due, or until
    /// `timeout` has elapsed, whichever is first. It may return earlier. Returns whether something can be
    /// read; poll in either case. An idle reader that waits costs next to nothing.
    ///
    /// # Errors
    /// No file descriptor is left: the first call needs one for each socket and two more. Or this process is
    /// a fork of the one that made the handle.
    pub fn wait(&mut self, timeout: Duration) -> Result<bool, IoError> {
        self.engine.check("wait")?;
        let due = self.due();
        let Self { engine, sleep, .. } = self;
        sleep.pass(engine.net().sockets(), due.min(timeout))
    }

    /// The sockets of this handle, for a poll of the caller's own, level-triggered. [`AsFd`] is one
    /// descriptor for all of them. Datagrams that arrive by shared memory make none of them readable.
    pub fn sockets(&self) -> Vec<BorrowedFd<'_>> {
        self.engine.net().sockets()
    }

    /// Polls until the subscription has its position, at most for `timeout`; `f` receives the events of these
    /// polls. With [`Start::Live`], messages that are published after it are delivered; the other starts have
    /// their position at once.
    ///
    /// # Errors
    /// Nothing was received from a leader in time: none runs, or interface and groups are not the
    /// cluster's.
    pub fn begin(
        &mut self,
        timeout: Duration,
        mut f: impl FnMut(SubscriberEvent<'_>) -> ControlFlow<()>,
    ) -> Result<(), IoError> {
        begin(self, timeout, Self::has_begun, |handle| handle.poll(64, &mut f), Self::wait)
    }

    /// The time until the handle must be polled again, although nothing arrives: for requests, and for a
    /// journal that is read over TCP.
    pub fn due(&self) -> Duration {
        self.replay.due(self.engine.core.next_deadline(), self.clock.now())
    }
}

/// One descriptor that is readable while one of the handle's sockets is: for epoll, mio, tokio's `AsyncFd`.
/// Poll the handle when it is readable until a poll returns 0, and after [`Subscriber::due`] at the latest.
impl AsFd for Subscriber<Device> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.ready.as_fd()
    }
}

/// As [`AsFd`], for libraries that take a number.
impl AsRawFd for Subscriber<Device> {
    fn as_raw_fd(&self) -> RawFd {
        self.ready.as_fd().as_raw_fd()
    }
}

impl<N: Net> Subscriber<N> {
    /// As [`connect`](Self::connect), over a device of the caller. Its descriptor ([`AsFd`]) watches nothing.
    ///
    /// # Errors
    /// The kernel gives no random number.
    #[doc(hidden)]
    pub fn over(net: N, endpoint: &Endpoint, delivery: Delivery, start: Start) -> Result<Self, IoError> {
        let (limits, replay) = subscriber_limits(endpoint, delivery, start)?;
        let mut engine = Engine::new(net, limits);
        engine.core.set_replay(replay);
        Ok(Self {
            engine: Own::new(engine),
            replay: Replay::default(),
            clock: Clock::start(),
            sleep: Sleep::default(),
            ready: ReadySet::new()?,
            latencies: None,
        })
    }

    /// From now on each poll also reports frames ([`SubscriberEvent::Frame`]), each behind its entries: for
    /// programs that store the stream, or compare it with a notary's signatures.
    pub fn report_frames(&mut self) {
        self.engine.core.report_frames();
    }

    /// One turn: receives, and calls `f` for at most `limit` messages and for every other event, in the order
    /// of the stream. Never blocks. Payloads are borrowed for the time of the call. `ControlFlow::Break(())`
    /// leaves the rest for the next poll. Returns the work done: 0 is an idle turn, and every turn in a fork
    /// of the process that made the handle.
    pub fn poll(&mut self, limit: usize, mut f: impl FnMut(SubscriberEvent<'_>) -> ControlFlow<()>) -> usize {
        if !self.engine.is_here() {
            return 0;
        }
        let Self { engine, replay, clock, latencies, .. } = self;
        let now = clock.now();
        let work = match latencies {
            None => engine.poll(now, limit, &mut f),
            Some(latencies) => {
                let work = engine.poll(now, limit, |event| {
                    latencies.on_event(&event);
                    f(event)
                });
                latencies.on_polled(clock, now);
                work
            }
        };
        work + replay.poll(&mut engine.core, now, &mut f)
    }

    /// From now on the times from an entry's timestamp until its delivery are measured, and those of repairs.
    pub(crate) fn measure(&mut self) {
        self.latencies.get_or_insert_default();
        self.engine.core.losses.measure();
    }

    /// The times from timestamp to delivery, if they are measured.
    pub(crate) fn latencies(&self) -> Option<&Durations> {
        self.latencies.as_ref().map(|latencies| latencies.durations())
    }

    /// The position behind the last delivered event, for [`Start::Cursor`] of a later subscription; `None`
    /// before the subscription has begun. The cursor of a `stamped` subscription may lie behind the final
    /// part of the stream, and is refused if that part did not survive.
    pub fn cursor(&self) -> Option<Cursor> {
        self.engine.core.cursor()
    }

    /// Whether the handle follows a leader's stream: it has received one within the last second (ten
    /// heartbeats, or four times `timing.failure_timeout`, where that is longer). A takeover is shorter.
    pub fn is_connected(&self) -> bool {
        self.engine.core.is_connected()
    }

    /// Whether the subscription has its position; see [`Subscriber::begin`]. A message that is stamped before
    /// a [`Start::Live`] subscription has begun is not delivered to it.
    pub fn has_begun(&self) -> bool {
        self.engine.core.has_begun()
    }

    /// The next seq to be delivered; 0 before a [`Start::Live`] subscription has begun.
    pub fn deliver_next(&self) -> Seq {
        self.engine.core.deliver_next()
    }

    /// The seq from which another subscription must begin to receive everything that this one has not
    /// delivered. It is below [`Subscriber::deliver_next`] while a message in parts is incomplete; entries
    /// between the two are then delivered again.
    pub fn resume_next(&self) -> Seq {
        self.engine.core.resume_next()
    }

    /// The exclusive bound of the final entries, as far as it was received here.
    pub fn commit_next(&self) -> Seq {
        self.engine.core.commit_next()
    }

    /// The exclusive bound of the entries received as stamped.
    pub fn stamped_next(&self) -> Seq {
        self.engine.core.stamped_next()
    }

    /// The epoch of the leader that is followed.
    pub fn epoch(&self) -> Epoch {
        self.engine.core.epoch()
    }

    /// Whether the subscription has ended: the event before gave the reason
    /// ([`SubscriberEvent::Abandoned`], `Refused` or `Diverged`).
    pub fn is_ended(&self) -> bool {
        self.engine.core.is_ended()
    }

    /// Counters of this handle since it was made.
    pub fn counters(&self) -> &Counters {
        &self.engine.core.counters
    }

    /// Gaps of this handle: their causes, repairers and durations.
    pub fn losses(&self) -> &Losses {
        &self.engine.core.losses
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
