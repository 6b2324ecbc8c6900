//! Publisher and subscriber in one thread: what latency and throughput are measured with, the same loop
//! for the floor and for lockstep.

use crate::floor::FloorClient;
use crate::plain::Plain;
use crate::scene::{Contestant, Scene};
use crate::settings::{self, PAYLOAD_LEN};
use lockstep::engine::ports::Group;
use lockstep::engine::publisher::{Publisher, PublisherEvent, PublisherLimits};
use lockstep::engine::receiver::Start;
use lockstep::engine::subscriber::{Delivery, Flow, Subscriber, SubscriberEvent, SubscriberLimits};
use lockstep::io::clock::{Clock, random_u64};
use lockstep::io::udp::Udp;
use lockstep::wire::{Nanos, PublisherId};

/// A contestant's two ends.
pub trait Client {
    /// Takes a message. Returns whether there was room; [`Client::flush`] sends it.
    fn publish(&mut self, now: Nanos, payload: &[u8; PAYLOAD_LEN]) -> bool;
    /// Sends what was taken.
    fn flush(&mut self, now: Nanos);
    /// One turn of subscriber and publisher; each delivered message is handed to `f`, in order. Returns the
    /// work done.
    fn turn(&mut self, now: Nanos, f: impl FnMut(&[u8])) -> usize;
}

/// What is done with a client: the same for all of them.
pub trait Measure {
    /// What it finds.
    type Found;
    /// Measures with `client`.
    ///
    /// # Errors
    /// In words, what went wrong.
    fn with(self, client: impl Client) -> Result<Self::Found, String>;
}

/// What a client's subscriber receives.
const JOINS: [Group; 2] = [Group::Data, Group::Control];
/// How long the nodes may take to find each other.
const PATIENCE_NS: Nanos = 10_000_000_000;

/// Opens the client of a contestant and measures with it.
///
/// # Errors
/// In words, what could not be opened or measured.
pub fn measure<M: Measure>(
    contestant: Contestant,
    scene: &Scene,
    delivery: Delivery,
    datagram_len: usize,
    window: u32,
    measure: M,
) -> Result<M::Found, String> {
    let awaits_ack = delivery == Delivery::Committed;
    let settings = || scene.udp(&JOINS, 0);
    let udp = || Udp::open(settings()).map_err(|error| error.to_string());
    match contestant {
        Contestant::Plain => {
            let (publisher, subscriber) = (Plain::open(&settings())?, Plain::open(&settings())?);
            measure.with(FloorClient::new(publisher, subscriber, awaits_ack, datagram_len))
        }
        Contestant::Io => measure.with(FloorClient::new(udp()?, udp()?, awaits_ack, datagram_len)),
        Contestant::Lockstep => measure.with(LockstepClient::open(udp()?, udp()?, scene, delivery, window)?),
    }
}

/// lockstep's publisher and subscriber.
struct LockstepClient {
    clock: Clock,
    publisher: Publisher<Udp>,
    subscriber: Subscriber<Udp>,
    id: PublisherId,
}

impl LockstepClient {
    /// Opens a name and reads the stream up to its present end.
    fn open(
        publisher: Udp,
        subscriber: Udp,
        scene: &Scene,
        delivery: Delivery,
        window: u32,
    ) -> Result<Self, String> {
        let running: Vec<_> = scene.members().into_iter().take(2).collect();
        let limits = PublisherLimits {
            receiver: settings::receiver(10, running.clone()),
            window_entries: window,
            // One message to a datagram at worst.
            window_datagrams: window,
            resend_ns_min: 1_000_000,
            resend_ns_max: 50_000_000,
            ask_again_ns: 5_000_000,
            names_max: 1,
        };
        let mut client = Self {
            clock: Clock::start(),
            publisher: Publisher::new(publisher, limits),
            subscriber: Subscriber::new(
                subscriber,
                SubscriberLimits {
                    receiver: settings::receiver(11, running),
                    delivery,
                    start: Start::From(1),
                    lag_report_ns: 1_000_000_000,
                },
            ),
            id: 0,
        };
        let draw = || random_u64().map_err(|error| error.to_string());
        client.publisher.core.open("bench", [draw()?, draw()?]);
        client.meet()?;
        Ok(client)
    }

    fn meet(&mut self) -> Result<(), String> {
        let began = self.clock.now();
        loop {
            let now = self.clock.now();
            let Self { publisher, subscriber, id, clock } = self;
            publisher.poll(now, clock.wall(now), |event| {
                if let PublisherEvent::Opened { publisher, .. } = event {
                    *id = publisher;
                }
            });
            subscriber.poll(now, usize::MAX, |_| Flow::Continue);
            let (seen, read) = (subscriber.core.stamped_next(), subscriber.core.deliver_next());
            if *id != 0 && seen > 1 && read >= seen {
                return Ok(());
            }
            if now > began + PATIENCE_NS {
                return Err(format!("the publisher did not open: id {id}, read up to {read} of {seen}"));
            }
            std::thread::yield_now();
        }
    }
}

impl Client for LockstepClient {
    fn publish(&mut self, _now: Nanos, payload: &[u8; PAYLOAD_LEN]) -> bool {
        self.publisher.core.try_publish(self.id, 0, payload).is_ok()
    }

    fn flush(&mut self, now: Nanos) {
        self.publisher.flush(now, self.clock.wall(now));
    }

    fn turn(&mut self, now: Nanos, mut f: impl FnMut(&[u8])) -> usize {
        let work = self.subscriber.poll(now, usize::MAX, |event| {
            if let SubscriberEvent::Message(message) = event {
                f(message.payload);
            }
            Flow::Continue
        });
        work + self.publisher.poll(now, self.clock.wall(now), |_| {})
    }
}
