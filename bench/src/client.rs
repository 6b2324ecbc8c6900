//! Publisher and subscriber in one thread: what latency and throughput are measured with, the same loop
//! for the floor and for lockstep.

use crate::cluster::{self, Cluster};
use crate::floor::FloorClient;
use crate::plain::Plain;
use crate::scene::Contestant;
use lockstep::client::{Delivery, Flow, Publisher, Start, Subscriber, SubscriberEvent};
use lockstep::config::Config;
use lockstep::engine::counters::Counter;
use lockstep::engine::ports::Group;
use lockstep::io::udp::{Udp, UdpSettings};
use lockstep::wire::{Nanos, PublisherId};
use std::time::{Duration, Instant};

/// What a client's subscriber saw missing, in datagrams.
#[derive(Clone, Copy, Default, Debug)]
pub struct Losses {
    /// Times that something was found missing.
    pub gaps: u64,
    /// Frames that were repaired.
    pub repaired: u64,
    /// Submissions that the publisher sent again.
    pub resends: u64,
}

impl Losses {
    /// What came to be since `before`.
    pub fn since(self, before: Self) -> Self {
        Self {
            gaps: self.gaps - before.gaps,
            repaired: self.repaired - before.repaired,
            resends: self.resends - before.resends,
        }
    }
}

/// A contestant's two ends.
pub trait Client {
    /// Takes a message. Returns whether there was room; [`Client::flush`] sends it.
    fn publish(&mut self, message: &[u8]) -> bool;
    /// Sends what was taken.
    fn flush(&mut self);
    /// One turn of subscriber and publisher; each delivered message is handed to `f`, in order, with the wall time
    /// at which the leader stamped it. Returns the work done.
    fn turn(&mut self, f: impl FnMut(&[u8], Nanos)) -> usize;
    /// What was lost so far.
    fn losses(&self) -> Losses;
    /// Under which name its messages are in the stream; the floor's has nobody else's.
    fn publisher(&self) -> Option<PublisherId>;
}

/// Where a client finds its contestants.
#[derive(Clone, Copy)]
pub struct Ground<'a> {
    /// The cluster's file.
    pub config: &'a Config,
    /// The port of the floor's groups, where a cluster has its own.
    pub floor_port: Option<u16>,
    /// Where lockstep's subscriber begins.
    pub start: Start,
}

impl<'a> Ground<'a> {
    /// A cluster of this measurement's own: contestants take turns at its ports, and the stream is read from its
    /// first message.
    pub fn own(cluster: &'a Cluster) -> Self {
        Self { config: &cluster.config, floor_port: None, start: Start::From(1) }
    }

    /// A device of the floor.
    pub fn floor(&self, joins: &[Group]) -> UdpSettings {
        let udp = cluster::device(self.config, joins);
        UdpSettings { port: self.floor_port.unwrap_or(udp.port), ..udp }
    }
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

/// What a client's sockets receive.
const JOINS: [Group; 2] = [Group::Data, Group::Control];
/// How long the nodes may take to find each other.
const PATIENCE: Duration = Duration::from_secs(10);

/// Opens the client of a contestant and measures with it, with messages of `message_len` bytes.
///
/// # Errors
/// In words, what could not be opened or measured.
pub fn measure<M: Measure>(
    contestant: Contestant,
    ground: Ground<'_>,
    delivery: Delivery,
    message_len: usize,
    measure: M,
) -> Result<M::Found, String> {
    let awaits_ack = delivery == Delivery::Committed;
    let plain = || Plain::open(&ground.floor(&JOINS));
    let udp = || Udp::open(ground.floor(&JOINS)).map_err(|error| error.to_string());
    match contestant {
        Contestant::Plain => measure.with(FloorClient::new(plain()?, plain()?, awaits_ack, message_len)),
        Contestant::Io => measure.with(FloorClient::new(udp()?, udp()?, awaits_ack, message_len)),
        Contestant::Lockstep => measure.with(LockstepClient::open(ground, delivery)?),
    }
}

/// lockstep's handles, as an application uses them.
struct LockstepClient {
    publisher: Publisher,
    subscriber: Subscriber,
    id: PublisherId,
}

impl LockstepClient {
    /// Opens a name and reads the stream up to its present end. The subscriber's socket comes first, as the
    /// floor's does: the kernel serves the sockets of a group one after the other.
    fn open(ground: Ground<'_>, delivery: Delivery) -> Result<Self, String> {
        let endpoint = ground.config.endpoint();
        let fails = |error: lockstep::io::IoError| error.to_string();
        let mut subscriber = Subscriber::connect(&endpoint, delivery, ground.start).map_err(fails)?;
        let mut publisher = Publisher::connect(&endpoint).map_err(fails)?;
        let id = publisher.open("bench", PATIENCE).map_err(|error| error.to_string())?;
        let began = Instant::now();
        loop {
            publisher.poll(usize::MAX, |_| {});
            subscriber.poll(usize::MAX, |_| Flow::Continue);
            let (seen, read) = (subscriber.stamped_next(), subscriber.deliver_next());
            if seen > 1 && read >= seen {
                return Ok(Self { publisher, subscriber, id });
            }
            if began.elapsed() > PATIENCE {
                return Err(format!("the subscriber has read up to {read} of {seen}"));
            }
            std::thread::yield_now();
        }
    }
}

impl Client for LockstepClient {
    fn publish(&mut self, message: &[u8]) -> bool {
        self.publisher.try_publish(self.id, 0, message).is_ok()
    }

    fn flush(&mut self) {
        self.publisher.flush();
    }

    fn turn(&mut self, mut f: impl FnMut(&[u8], Nanos)) -> usize {
        let work = self.subscriber.poll(usize::MAX, |event| {
            // Others publish into a running cluster as well.
            if let SubscriberEvent::Message(message) = event
                && message.publisher == self.id
            {
                f(message.payload, message.timestamp);
            }
            Flow::Continue
        });
        work + self.publisher.poll(usize::MAX, |_| {})
    }

    fn losses(&self) -> Losses {
        let counters = self.subscriber.counters();
        Losses {
            gaps: counters.get(Counter::Gaps),
            repaired: counters.get(Counter::RepairsIn),
            resends: self.publisher.counters().get(Counter::Resends),
        }
    }

    fn publisher(&self) -> Option<PublisherId> {
        Some(self.id)
    }
}
