//! The subscriber's handle, and the half of a handle that reads.

use super::endpoint::Endpoint;
use super::halves::Reads;
use super::handle::StreamHandle;
use lockstep_core::engine::counters::Counters;
use lockstep_core::engine::losses::Losses;
use lockstep_core::engine::participant::ParticipantEvent;
use lockstep_core::engine::parts::PartsLimits;
use lockstep_core::engine::ports::{Group, Net};
use lockstep_core::engine::receiver::Start;
use lockstep_core::engine::replay::ReplayLimits;
use lockstep_core::engine::subscriber::{Delivery, SubscriberEngine, SubscriberEvent, SubscriberLimits};
use lockstep_io::IoError;
use lockstep_io::device::Device;
use lockstep_wire::{Cursor, Epoch, Seq};
use std::ops::ControlFlow;
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

/// Delivers the stream to the caller of [`Subscriber::poll`]: the handle with the half that reads alone.
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
pub type Subscriber<N = Device> = StreamHandle<SubscriberEngine<N>>;

/// Gives an event to `f`, if it is one of the half that reads.
#[inline]
pub(super) fn of_subscriber(
    event: ParticipantEvent<'_>,
    f: &mut impl FnMut(SubscriberEvent<'_>) -> ControlFlow<()>,
) -> ControlFlow<()> {
    match event {
        ParticipantEvent::Subscriber(event) => f(event),
        ParticipantEvent::Publisher(_) => ControlFlow::Continue(()),
    }
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
        Self::over(device, endpoint, delivery, start)?.watching()
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
        self.begin_with(timeout, |event| of_subscriber(event, &mut f))
    }
}

impl<N: Net> Subscriber<N> {
    /// The same over a device of the caller's. Its descriptor watches nothing.
    ///
    /// # Errors
    /// The kernel gives no random number.
    #[doc(hidden)]
    pub fn over(net: N, endpoint: &Endpoint, delivery: Delivery, start: Start) -> Result<Self, IoError> {
        let (limits, replay) = subscriber_limits(endpoint, delivery, start)?;
        let mut engine = SubscriberEngine::new(net, limits);
        engine.core.set_replay(replay);
        Self::of(engine, endpoint)
    }

    /// One turn: receives, and calls `f` for at most `limit` messages and for every other event, in the order
    /// of the stream. Never blocks. Payloads are borrowed for the time of the call. `ControlFlow::Break(())`
    /// leaves the rest for the next poll. Returns the work done: 0 is an idle turn, and every turn in a fork
    /// of the process that made the handle.
    pub fn poll(&mut self, limit: usize, mut f: impl FnMut(SubscriberEvent<'_>) -> ControlFlow<()>) -> usize {
        self.poll_with(limit, |event, _| of_subscriber(event, &mut f))
    }

    /// Counters of this handle since it was made.
    pub fn counters(&self) -> &Counters {
        self.subscriber_counters()
    }
}

/// The half that reads.
impl<E: Reads> StreamHandle<E> {
    /// From now on each poll also reports frames ([`SubscriberEvent::Frame`]), each behind its entries: for
    /// programs that store the stream, or compare it with a notary's signatures.
    pub fn report_frames(&mut self) {
        self.engine.subscriber_mut().report_frames();
    }

    /// From now on entries below `bound` are delivered. The others are received and wait in the
    /// subscription's buffer; what has no room there is repaired or replayed when its turn comes. `u64::MAX`
    /// lifts the bound.
    pub fn deliver_below(&mut self, bound: Seq) {
        self.engine.subscriber_mut().deliver_below(bound);
    }

    /// The position behind the last delivered event, for [`Start::Cursor`] of a later subscription; `None`
    /// before the subscription has begun. The cursor of a `stamped` subscription may lie behind the final
    /// part of the stream, and is refused if that part did not survive.
    pub fn cursor(&self) -> Option<Cursor> {
        self.engine.subscriber().cursor()
    }

    /// Whether the subscription has its position; see [`Subscriber::begin`]. A message that is stamped before
    /// a [`Start::Live`] subscription has begun is not delivered to it.
    pub fn has_begun(&self) -> bool {
        self.engine.subscriber().has_begun()
    }

    /// The next seq to be delivered; 0 before a [`Start::Live`] subscription has begun.
    pub fn deliver_next(&self) -> Seq {
        self.engine.subscriber().deliver_next()
    }

    /// The seq from which another subscription must begin to receive everything that this one has not
    /// delivered. It is below [`StreamHandle::deliver_next`] while a message in parts is incomplete; entries
    /// between the two are then delivered again.
    pub fn resume_next(&self) -> Seq {
        self.engine.subscriber().resume_next()
    }

    /// The exclusive bound of the final entries, as far as it was received here.
    pub fn commit_next(&self) -> Seq {
        self.engine.subscriber().commit_next()
    }

    /// The exclusive bound of the entries received as stamped.
    pub fn stamped_next(&self) -> Seq {
        self.engine.subscriber().stamped_next()
    }

    /// The epoch of the leader that is followed.
    pub fn epoch(&self) -> Epoch {
        self.engine.subscriber().epoch()
    }

    /// Whether the subscription has ended: the event before gave the reason
    /// ([`SubscriberEvent::Abandoned`], `Refused` or `Diverged`).
    pub fn is_ended(&self) -> bool {
        self.engine.subscriber().is_ended()
    }

    /// Counters of the half that reads, since the handle was made.
    pub fn subscriber_counters(&self) -> &Counters {
        &self.engine.subscriber().counters
    }

    /// Gaps of the subscription: their causes, repairers and durations.
    pub fn losses(&self) -> &Losses {
        &self.engine.subscriber().losses
    }
}
