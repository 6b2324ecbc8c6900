//! Publisher and subscriber in one thread: what latency and throughput are measured with, the same loop
//! for the floor and for lockstep.

use crate::cluster::{Cluster, PAYLOAD_LEN};
use crate::floor::FloorClient;
use crate::plain::Plain;
use crate::scene::Contestant;
use lockstep::client::{Delivery, Flow, Publisher, Start, Subscriber, SubscriberEvent};
use lockstep::engine::ports::Group;
use lockstep::io::udp::Udp;
use lockstep::wire::PublisherId;
use std::time::{Duration, Instant};

/// A contestant's two ends.
pub trait Client {
    /// Takes a message. Returns whether there was room; [`Client::flush`] sends it.
    fn publish(&mut self, payload: &[u8; PAYLOAD_LEN]) -> bool;
    /// Sends what was taken.
    fn flush(&mut self);
    /// One turn of subscriber and publisher; each delivered message is handed to `f`, in order. Returns the
    /// work done.
    fn turn(&mut self, f: impl FnMut(&[u8])) -> usize;
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

/// Opens the client of a contestant and measures with it. The floor's datagrams have `datagram_len` bytes.
///
/// # Errors
/// In words, what could not be opened or measured.
pub fn measure<M: Measure>(
    contestant: Contestant,
    cluster: &Cluster,
    delivery: Delivery,
    datagram_len: usize,
    measure: M,
) -> Result<M::Found, String> {
    let awaits_ack = delivery == Delivery::Committed;
    let plain = || Plain::open(&cluster.udp(&JOINS));
    let udp = || Udp::open(cluster.udp(&JOINS)).map_err(|error| error.to_string());
    match contestant {
        Contestant::Plain => measure.with(FloorClient::new(plain()?, plain()?, awaits_ack, datagram_len)),
        Contestant::Io => measure.with(FloorClient::new(udp()?, udp()?, awaits_ack, datagram_len)),
        Contestant::Lockstep => measure.with(LockstepClient::open(cluster, delivery)?),
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
    fn open(cluster: &Cluster, delivery: Delivery) -> Result<Self, String> {
        let endpoint = cluster.config.endpoint();
        let fails = |error: lockstep::io::IoError| error.to_string();
        let mut subscriber = Subscriber::connect(&endpoint, delivery, Start::From(1)).map_err(fails)?;
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
    fn publish(&mut self, payload: &[u8; PAYLOAD_LEN]) -> bool {
        self.publisher.try_publish(self.id, 0, payload).is_ok()
    }

    fn flush(&mut self) {
        self.publisher.flush();
    }

    fn turn(&mut self, mut f: impl FnMut(&[u8])) -> usize {
        let work = self.subscriber.poll(usize::MAX, |event| {
            if let SubscriberEvent::Message(message) = event {
                f(message.payload);
            }
            Flow::Continue
        });
        work + self.publisher.poll(usize::MAX, |_| {})
    }
}
