//! The subscriber's handle.

use super::endpoint::Endpoint;
use crate::engine::counters::Counters;
use crate::engine::losses::Losses;
use crate::engine::parts::PartsLimits;
use crate::engine::ports::{Group, Net};
use crate::engine::receiver::Start;
use crate::engine::subscriber::{Delivery, Flow, Subscriber as Engine, SubscriberEvent, SubscriberLimits};
use crate::io::IoError;
use crate::io::clock::Clock;
use crate::io::device::Device;
use crate::wire::{Epoch, Seq};

/// A lag of the commit is reported when it lasts this long.
const LAG_REPORT_NS: u64 = 100_000_000;

/// Delivers the stream to the caller of [`Subscriber::poll`].
///
/// ```no_run
/// use lockstep::client::{Delivery, Flow, Start, Subscriber, SubscriberEvent};
/// use lockstep::config::Config;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let endpoint = Config::load(Some("lockstep.toml".as_ref()), &[])?.endpoint();
/// let mut subscriber = Subscriber::connect(&endpoint, Delivery::Committed, Start::From(1))?;
/// loop {
///     subscriber.poll(64, |event| {
///         if let SubscriberEvent::Message(message) = event {
///             println!("{} {:?}", message.seq, message.payload);
///         }
///         Flow::Continue
///     });
/// }
/// # }
/// ```
#[derive(Debug)]
pub struct Subscriber<N = Device> {
    engine: Engine<N>,
    clock: Clock,
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
}

impl<N: Net> Subscriber<N> {
    /// The same over a device of the caller's.
    ///
    /// # Errors
    /// The kernel gives no random number.
    pub fn over(net: N, endpoint: &Endpoint, delivery: Delivery, start: Start) -> Result<Self, IoError> {
        let receiver = endpoint.receiver(endpoint.subscriber_buffer_bytes)?;
        let parts =
            PartsLimits { message_len_max: endpoint.message_len_max, bytes: endpoint.subscriber_parts_bytes };
        let limits = SubscriberLimits { receiver, delivery, start, parts, lag_report_ns: LAG_REPORT_NS };
        Ok(Self { engine: Engine::new(net, limits), clock: Clock::start() })
    }

    /// One turn: receives what is there and delivers at most `limit` messages. Never blocks. Payloads are
    /// borrowed for the time of the call; `Flow::Stop` leaves the rest for the next poll. Returns the
    /// work done: 0 is an idle turn.
    pub fn poll(&mut self, limit: usize, f: impl FnMut(SubscriberEvent<'_>) -> Flow) -> usize {
        self.engine.poll(self.clock.now(), limit, f)
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
