//! The handle: an engine on a device, with the clock that times it and what it sleeps with.

use super::endpoint::Endpoint;
use super::halves::{Halves, Reads};
use super::latency::{DeliveryLatencies, RoundTrips};
use super::replay::Replay;
use super::sleep::Sleep;
use lockstep_core::engine::durations::Durations;
use lockstep_core::engine::participant::ParticipantEvent;
use lockstep_core::engine::publisher::PublisherCore;
use lockstep_io::IoError;
use lockstep_io::clock::Clock;
use lockstep_io::device::Device;
use lockstep_io::idle::Idle;
use lockstep_io::made_in::Own;
use lockstep_io::ready::ReadySet;
use lockstep_wire::Nanos;
use std::ops::ControlFlow;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::time::Duration;

/// What a program holds of a stream: a half that publishes, a half that reads, or both. Programs name it
/// [`Publisher`](super::Publisher), [`Subscriber`](super::Subscriber) or
/// [`Participant`](super::Participant), and each has the methods of its halves.
///
/// A handle belongs to one thread at a time and has no thread of its own: a poll or a wait sends, resends and
/// receives.
#[derive(Debug)]
pub struct StreamHandle<E> {
    pub(crate) engine: Own<E>,
    /// Of a half that reads.
    replay: Replay,
    pub(crate) clock: Clock,
    pub(crate) idle: Idle,
    sleep: Sleep,
    ready: ReadySet,
    /// Of a half that publishes, where its counters are published.
    pub(crate) round_trips: Option<Box<RoundTrips>>,
    /// Of a half that reads, where its counters are published.
    latencies: Option<Box<DeliveryLatencies>>,
}

impl<E: Halves<Net = Device>> StreamHandle<E> {
    /// It watches the sockets of its device.
    pub(crate) fn watching(self) -> Result<Self, IoError> {
        self.ready.watch(&self.sockets())?;
        Ok(self)
    }

    /// Sends what is written, and sleeps until a datagram arrives, until a message or request is due, or
    /// until `timeout` has elapsed, whichever is first. It may return earlier. Returns whether something can
    /// be read; poll in either case. An idle handle that waits costs next to nothing.
    ///
    /// # Errors
    /// No file descriptor is left: the first call needs one for each socket and two more. Or this process is
    /// a fork of the one that made the handle.
    pub fn wait(&mut self, timeout: Duration) -> Result<bool, IoError> {
        self.engine.check("wait")?;
        self.send();
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
/// Poll the handle when it is readable until a poll returns 0, and after [`StreamHandle::due`] at the latest.
impl<E: Halves<Net = Device>> AsFd for StreamHandle<E> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.ready.as_fd()
    }
}

/// As [`AsFd`], for libraries that take a number.
impl<E: Halves<Net = Device>> AsRawFd for StreamHandle<E> {
    fn as_raw_fd(&self) -> RawFd {
        self.ready.as_fd().as_raw_fd()
    }
}

impl<E: Halves> StreamHandle<E> {
    /// One of this process. Its descriptor ([`AsFd`]) watches nothing.
    pub(crate) fn of(engine: E, endpoint: &Endpoint) -> Result<Self, IoError> {
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

    /// One turn of each half, whose events `f` receives; see the `poll` of each handle. With an event of the
    /// stream comes the half that publishes, if there is one: `f` may publish at once what follows from it,
    /// and that leaves when the turn ends. With an outcome comes nothing.
    #[inline]
    pub fn poll_with(
        &mut self,
        limit: usize,
        mut f: impl FnMut(ParticipantEvent<'_>, Option<&mut PublisherCore>) -> ControlFlow<()>,
    ) -> usize {
        if !self.engine.is_here() {
            return 0;
        }
        let Self { engine, replay, clock, round_trips, latencies, .. } = self;
        let (engine, now): (&mut E, _) = (engine, clock.now());
        if let Some(round_trips) = round_trips {
            round_trips.on_sent(now);
        }
        let work = engine.turn(now, clock, limit, |event, publisher| {
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
        let (mut publisher, subscriber) = engine.halves_mut();
        let Some(subscriber) = subscriber else { return work };
        work + replay.poll(subscriber, now, &mut |event| {
            f(ParticipantEvent::Subscriber(event), publisher.as_deref_mut())
        })
    }

    /// Sends what is written. Returns the number of datagrams sent; none in a fork of the process that made
    /// the handle.
    pub(crate) fn send(&mut self) -> usize {
        if !self.engine.is_here() {
            return 0;
        }
        let now = self.clock.now();
        if let Some(round_trips) = &mut self.round_trips {
            round_trips.on_sent(now);
        }
        self.engine.flush(now, &self.clock)
    }

    /// Whether the handle follows a leader's stream: it has received one within the last second (ten
    /// heartbeats, or four times `timing.failure_timeout`, where that is longer). A takeover is shorter.
    pub fn is_connected(&self) -> bool {
        self.engine.is_connected()
    }

    /// From now on the latencies of its halves are measured: from the sending of a message until its commit
    /// is known, and from an entry's timestamp until its delivery; and how long repairs take.
    pub(crate) fn measure(&mut self) {
        let (publisher, subscriber) = self.engine.halves_mut();
        if publisher.is_some() {
            self.round_trips.get_or_insert_default();
        }
        if let Some(subscriber) = subscriber {
            subscriber.losses.measure();
            self.latencies.get_or_insert_default();
        }
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
    pub fn net(&self) -> &E::Net {
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

impl<E: Reads<Net = Device>> StreamHandle<E> {
    /// Polls until the subscription has its position, at most for `timeout`; `f` receives the events of both
    /// halves meanwhile.
    ///
    /// # Errors
    /// Nothing was received from a leader in time: none runs, or interface and groups are not the
    /// cluster's.
    pub fn begin_with(
        &mut self,
        timeout: Duration,
        mut f: impl FnMut(ParticipantEvent<'_>) -> ControlFlow<()>,
    ) -> Result<(), IoError> {
        let clock = Clock::start();
        let deadline = clock.now() + timeout.as_nanos() as Nanos;
        while !self.has_begun() {
            let work = self.poll_with(64, |event, _| f(event));
            if !self.has_begun() && clock.now() >= deadline {
                return Err(not_begun(timeout));
            }
            if work == 0 {
                self.wait(timeout)?;
            }
        }
        Ok(())
    }
}

/// The error of a subscription that has no position after `timeout`.
pub(crate) fn not_begun(timeout: Duration) -> IoError {
    let doing = format!("begin the subscription within {timeout:?}");
    let why = "no leader was received on the data group; check that the sequencers run and use the same \
               interface and groups";
    IoError::because(doing, std::io::ErrorKind::TimedOut, why)
}
