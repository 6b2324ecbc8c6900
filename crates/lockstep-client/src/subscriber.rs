//! The subscriber's handle.

use super::endpoint::Endpoint;
use super::sleep::{REPLAY_POLL, Sleep, until};
use lockstep_core::engine::counters::Counters;
use lockstep_core::engine::losses::Losses;
use lockstep_core::engine::parts::PartsLimits;
use lockstep_core::engine::ports::{Group, Net};
use lockstep_core::engine::receiver::Start;
use lockstep_core::engine::replay::ReplayStep;
use lockstep_core::engine::subscriber::{
    Delivery, Flow, SubscriberEngine as Engine, SubscriberEvent, SubscriberLimits,
};
use lockstep_io::IoError;
use lockstep_io::clock::Clock;
use lockstep_io::device::Device;
use lockstep_io::source::{Polled, ReplayConnection};
use lockstep_wire::{Cursor, Epoch, Nanos, SMALL_LEN_MAX, Seq};
use std::os::fd::BorrowedFd;
use std::time::Duration;

/// A lag of the commit is reported when it lasts this long.
const LAG_REPORT_NS: u64 = 100_000_000;

/// Delivers the stream to the caller of [`Subscriber::poll`].
///
/// ```no_run
/// use lockstep_client::{Delivery, Endpoint, Flow, Start, Subscriber, SubscriberEvent};
/// use std::time::Duration;
///
/// fn read(endpoint: &Endpoint) -> Result<(), Box<dyn std::error::Error>> {
///     let mut subscriber = Subscriber::connect(endpoint, Delivery::Committed, Start::From(1))?;
///     loop {
///         let work = subscriber.poll(64, |event| {
///             if let SubscriberEvent::Message(message) = event {
///                 println!("{} {:?}", message.seq, message.payload);
///             }
///             Flow::Continue
///         });
///         if work == 0 {
///             subscriber.wait(Duration::from_millis(10))?;
///         }
///     }
/// }
/// ```
#[derive(Debug)]
pub struct Subscriber<N = Device> {
    engine: Engine<N>,
    source: ReplayConnection,
    clock: Clock,
    sleep: Sleep,
}

impl Subscriber<Device> {
    /// Joins the groups and begins at `start`.
    ///
    /// # Errors
    /// The device cannot be opened: which interface, which call, and what to do.
    pub fn connect(endpoint: &Endpoint, delivery: Delivery, start: Start) -> Result<Self, IoError> {
        let device = endpoint.open(&[Group::Data, Group::Control])?;
        Self::over(device, endpoint, delivery, start)
    }

    /// Sleeps after a poll that found nothing: until a datagram comes, until the subscription has something to ask
    /// for, or until `timeout` is over, whichever is first. It may end earlier; poll again whatever it returns,
    /// which is whether something can be read. No datagram is waited past, and an idle reader costs next to nothing.
    ///
    /// # Errors
    /// File descriptors are used up: the first call needs a few.
    pub fn wait(&mut self, timeout: Duration) -> Result<bool, IoError> {
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
        if self.source.is_open() {
            return REPLAY_POLL;
        }
        until(self.engine.core.next_deadline(), self.clock.now())
    }
}

impl<N: Net> Subscriber<N> {
    /// The same over a device of the caller's.
    ///
    /// # Errors
    /// The kernel gives no random number.
    pub fn over(net: N, endpoint: &Endpoint, delivery: Delivery, start: Start) -> Result<Self, IoError> {
        let receiver = endpoint.receiver(endpoint.subscriber_buffer_bytes)?;
        let replay = endpoint.replay(receiver.me);
        let parts =
            PartsLimits { message_len_max: endpoint.message_len_max, bytes: endpoint.subscriber_parts_bytes };
        let (lag_report_ns, beat_ns) = (LAG_REPORT_NS, endpoint.beat_ns);
        let limits = SubscriberLimits { receiver, delivery, start, parts, lag_report_ns, beat_ns };
        let mut engine = Engine::new(net, limits);
        engine.core.set_replay(replay);
        Ok(Self {
            engine,
            source: ReplayConnection::default(),
            clock: Clock::start(),
            sleep: Sleep::default(),
        })
    }

    /// One turn: receives what is there and delivers at most `limit` messages. Never blocks. Payloads are
    /// borrowed for the time of the call; `Flow::Stop` leaves the rest for the next poll. Returns the
    /// work done: 0 is an idle turn.
    pub fn poll(&mut self, limit: usize, mut f: impl FnMut(SubscriberEvent<'_>) -> Flow) -> usize {
        let now = self.clock.now();
        let work = self.engine.poll(now, limit, &mut f);
        work + self.poll_source(now, &mut f)
    }

    /// Looks at the connection to a journal, if there is one.
    fn poll_source(&mut self, now: Nanos, f: &mut impl FnMut(SubscriberEvent<'_>) -> Flow) -> usize {
        let Self { engine, source, .. } = self;
        let core = &mut engine.core;
        match core.poll_replay(now) {
            Some(ReplayStep::Open(to)) => {
                let mut request = [0; SMALL_LEN_MAX];
                let opened =
                    core.write_replay_request(&mut request).map(|len| source.open(to, &request[..len]));
                if !matches!(opened, Some(Ok(()))) {
                    core.on_replay_lost(now);
                }
            }
            Some(ReplayStep::Close) => source.close(),
            None => {}
        }
        match source.poll(|bytes| core.on_replay(now, bytes, f)) {
            Polled::Nothing => 0,
            Polled::Bytes(bytes) => bytes,
            Polled::Lost => {
                source.close();
                core.on_replay_lost(now);
                0
            }
        }
    }

    /// Where this subscription stands, to be taken up again later by [`Start::Cursor`]: everything below its
    /// seq was delivered. `None` before it has begun. Of a `stamped` one it may lie in what is not final, and
    /// is refused if that did not survive.
    pub fn cursor(&self) -> Option<Cursor> {
        self.engine.core.cursor()
    }

    /// Whether the place is known where the subscription begins. A program that reads its own messages from
    /// [`Start::Live`] publishes the first one after this returns true: a message that is stamped before is not
    /// delivered to it, although [`Subscriber::stamped_next`] may count it.
    pub fn has_begun(&self) -> bool {
        self.engine.core.has_begun()
    }

    /// The next seq to be delivered; 0 before a live subscription has begun.
    pub fn deliver_next(&self) -> Seq {
        self.engine.core.deliver_next()
    }

    /// From where a subscription must begin that is to miss nothing of what this one has not delivered: below
    /// [`Subscriber::deliver_next`] while a message larger than a datagram is not whole. What is delivered
    /// again then has a seq below that.
    pub fn resume_next(&self) -> Seq {
        self.engine.core.resume_next()
    }

    /// The exclusive bound of what is final, as far as it is held here.
    pub fn commit_next(&self) -> Seq {
        self.engine.core.commit_next()
    }

    /// The exclusive bound of what was seen stamped.
    pub fn stamped_next(&self) -> Seq {
        self.engine.core.stamped_next()
    }

    /// The epoch that is followed.
    pub fn epoch(&self) -> Epoch {
        self.engine.core.epoch()
    }

    /// Whether the subscription has ended (abandoned or diverged).
    pub fn is_ended(&self) -> bool {
        self.engine.core.is_ended()
    }

    /// What was counted.
    pub fn counters(&self) -> &Counters {
        &self.engine.core.counters
    }

    /// What was missing, why, and who repaired it.
    pub fn losses(&self) -> &Losses {
        &self.engine.core.losses
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
