//! The participant: a publisher and a subscriber on one device, for a process that publishes and reads.
//!
//! ```text
//!              ┌─ judged by the subscriber ─▶ the stream, in its order
//!   net ─▶ decoded, authenticated once
//!              └─ judged by the publisher  ─▶ outcomes of what was published
//! ```
//! Every rule is in the two cores: here stands only who receives, and that each datagram is opened once. The
//! halves share device and keys, and nothing else. What ends one of them (its history is lost, it is refused,
//! it has diverged) is reported as by an engine of its own, and the other one goes on.
//!
//! The halves have an identity each, as two engines have: repairers count requests, budgets and what was
//! granted by identity, and the halves miss different things at different times. Under one name the request
//! of the one would pass for a repetition of the other's.

use super::idle_turn::check_idle_turn;
use super::ports::Net;
use super::publisher::{PublisherCore, PublisherEvent, PublisherLimits};
use super::receiver::NACK_LEN_MAX;
use super::subscriber::{SubscriberCore, SubscriberEvent, SubscriberLimits};
use lockstep_wire::{Datagram, Keys, Nanos, Reject, Wall};
use std::net::SocketAddrV4;
use std::ops::ControlFlow;

/// Requests of the subscriber are numbered behind this, those of the publisher from 1: repairers answer to
/// the device's address, and an answer names its request by this number alone.
const SUBSCRIBER_TOKENS: u64 = 1 << 63;

/// An event of one of the halves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ParticipantEvent<'a> {
    /// An entry of the stream, or how the subscription stands.
    Subscriber(SubscriberEvent<'a>),
    /// An outcome, or how a publisher stands.
    Publisher(PublisherEvent),
}

/// See the module.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct ParticipantEngine<N> {
    net: N,
    keys: Keys,
    /// The half that publishes, but the device.
    pub publisher: PublisherCore,
    /// The half that reads, but the device.
    pub subscriber: SubscriberCore,
    scratch: Vec<u8>,
}

impl<N: Net> ParticipantEngine<N> {
    /// A participant on a device that has joined the data and control groups. Both halves have the keys of
    /// `publisher`, and each an identity (`receiver.me`) of its own.
    pub fn new(net: N, publisher: PublisherLimits, mut subscriber: SubscriberLimits) -> Self {
        let keys = publisher.receiver.keys.clone();
        subscriber.receiver.keys = keys.clone();
        let mut subscriber = SubscriberCore::new(subscriber);
        subscriber.number_requests_behind(SUBSCRIBER_TOKENS);
        let (publisher, scratch) = (PublisherCore::new(publisher), vec![0; NACK_LEN_MAX]);
        Self { net, keys, publisher, subscriber, scratch }
    }

    /// One turn: receives, delivers at most `limit` messages and reports at most `limit` committed outcomes
    /// and all other events to `f`, asks for what is missing, sends what is written. Returns the work done: 0
    /// is an idle turn.
    ///
    /// [`ControlFlow::Break`] means what it means to a subscriber: behind an entry, the rest of the stream is
    /// left for the next turn. It holds up no outcome, and from an event of the publisher it means nothing.
    ///
    /// An application that has stopped the stream holds up no outcome either: datagrams are received for the
    /// publisher, and the subscriber buffers what it cannot deliver. What finds no room is repaired later.
    pub fn poll(
        &mut self,
        now: Nanos,
        wall: Wall,
        limit: usize,
        mut f: impl FnMut(ParticipantEvent<'_>) -> ControlFlow<()>,
    ) -> usize {
        self.poll_with(now, wall, limit, |event, _| f(event))
    }

    /// The same, where `f` may publish at once what follows from an entry of the stream: with that comes the
    /// half that publishes. With an event of that half comes nothing.
    pub fn poll_with(
        &mut self,
        now: Nanos,
        wall: Wall,
        limit: usize,
        mut f: impl FnMut(ParticipantEvent<'_>, Option<&mut PublisherCore>) -> ControlFlow<()>,
    ) -> usize {
        let Self { net, keys, publisher, subscriber, scratch } = self;
        let reads = subscriber.begin(now, limit, &mut of_subscriber(Some(publisher), &mut f));
        let delivered = if reads { subscriber.delivered_before(limit) } else { 0 };
        let mut halves = Halves {
            subscriber: reads.then_some(subscriber),
            publisher: Some(publisher).filter(|publisher| !publisher.is_lost()),
        };
        let (mut work, mut drained) = (0, false);
        if halves.want_datagrams() {
            (work, drained) = halves.receive(net, keys, now, &mut f);
        }
        if let Some(subscriber) = halves.subscriber {
            let publisher = halves.publisher.as_deref_mut();
            subscriber.finish(net, scratch, now, &mut of_subscriber(publisher, &mut f));
        }
        if let Some(publisher) = halves.publisher {
            work += publisher.finish(net, scratch, (now, wall), limit, drained, &mut of_publisher(&mut f));
        }
        work += delivered;
        if cfg!(debug_assertions) {
            check_idle_turn(work, limit, || self.is_left());
        }
        work
    }

    /// Whether the next turn delivers or reports something although nothing arrives.
    pub fn is_left(&self) -> bool {
        self.subscriber.has_deliverable() || self.publisher.has_unreported()
    }

    /// Sends what is written, at most one call. Returns the datagrams sent.
    pub fn flush(&mut self, now: Nanos, wall: Wall) -> usize {
        self.publisher.flush(&mut self.net, now, wall)
    }

    /// When it is to be called again if nothing arrives: one of the halves that go on is to ask for something
    /// or to send something again; `Nanos::MAX` if none is.
    pub fn next_deadline(&self) -> Nanos {
        let Self { publisher, subscriber, .. } = self;
        let publishes = if publisher.is_lost() { Nanos::MAX } else { publisher.next_deadline() };
        publishes.min(subscriber.next_deadline())
    }

    /// Holds after each turn. Panics with the rule that is broken.
    pub fn invariants(&self) {
        self.publisher.invariants();
        self.subscriber.invariants();
    }

    /// The device.
    pub fn net(&self) -> &N {
        &self.net
    }

    /// The device, for those who run it.
    pub fn net_mut(&mut self) -> &mut N {
        &mut self.net
    }
}

/// The halves that take part in a turn: those that have not ended.
struct Halves<'a> {
    subscriber: Option<&'a mut SubscriberCore>,
    publisher: Option<&'a mut PublisherCore>,
}

impl Halves<'_> {
    /// Whether one of them wants what has arrived.
    fn want_datagrams(&self) -> bool {
        self.publisher.is_some() || self.subscriber.as_ref().is_some_and(|reads| !reads.is_stopped())
    }

    /// Receives. Returns how many datagrams came, and whether the groups' socket is drained.
    fn receive(
        &mut self,
        net: &mut impl Net,
        keys: &Keys,
        now: Nanos,
        f: &mut impl FnMut(ParticipantEvent<'_>, Option<&mut PublisherCore>) -> ControlFlow<()>,
    ) -> (usize, bool) {
        let mut work = net.recv_groups();
        for index in 0..work {
            self.on_datagram(now, Datagram::decode(net.group_datagram(index), keys), None, f);
        }
        let drained = net.is_drained();
        if let Some(subscriber) = self.subscriber.as_mut().filter(|_| drained) {
            subscriber.on_drained(now);
        }
        // Each of them counts its turns.
        let reads = self.subscriber.as_mut().is_some_and(|subscriber| subscriber.polls_unicast());
        let publishes = self.publisher.as_mut().is_some_and(|publisher| publisher.polls_unicast());
        if reads || publishes {
            let count = net.recv_unicast();
            for index in 0..count {
                let (bytes, from) = net.unicast_datagram(index);
                self.on_datagram(now, Datagram::decode(bytes, keys), Some(from), f);
            }
            work += count;
        }
        (work, drained)
    }

    /// Both judge a datagram, or why it was refused, and count it. The stream comes before the outcome: the
    /// application has read a message before it is told what became of it.
    fn on_datagram(
        &mut self,
        now: Nanos,
        datagram: Result<Datagram<'_>, Reject>,
        from: Option<SocketAddrV4>,
        f: &mut impl FnMut(ParticipantEvent<'_>, Option<&mut PublisherCore>) -> ControlFlow<()>,
    ) {
        if let Some(subscriber) = &mut self.subscriber {
            let publisher = self.publisher.as_deref_mut();
            subscriber.on_datagram(now, datagram, from, &mut of_subscriber(publisher, f));
        }
        if let Some(publisher) = &mut self.publisher {
            publisher.on_datagram(now, datagram, from, &mut of_publisher(f));
        }
    }
}

/// The subscriber's part of a callback.
#[inline]
fn of_subscriber(
    mut publisher: Option<&mut PublisherCore>,
    f: &mut impl FnMut(ParticipantEvent<'_>, Option<&mut PublisherCore>) -> ControlFlow<()>,
) -> impl FnMut(SubscriberEvent<'_>) -> ControlFlow<()> {
    move |event| f(ParticipantEvent::Subscriber(event), publisher.as_deref_mut())
}

/// The publisher's part of a callback.
#[inline]
fn of_publisher(
    f: &mut impl FnMut(ParticipantEvent<'_>, Option<&mut PublisherCore>) -> ControlFlow<()>,
) -> impl FnMut(PublisherEvent) {
    |event| _ = f(ParticipantEvent::Publisher(event), None)
}
