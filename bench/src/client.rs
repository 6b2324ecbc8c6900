//! Publisher and subscriber in one thread, on one device: what latency and throughput are measured with, the
//! same loop for the floor and for lockstep.

use crate::cluster::{self, Cluster};
use crate::contestant::Contestant;
use crate::floor::{FloorClient, MESSAGE_LEN_MIN, write_message};
use crate::plain::{self, Plain};
use crate::transport::Transport;
use lockstep::config::Config;
use lockstep_client::{
    Delivery, Endpoint, Participant, ParticipantEvent, Publisher, PublisherEvent, Start, SubscriberEvent,
};
use lockstep_core::engine::counters::{Counter, Counters};
use lockstep_core::engine::ports::Group;
use lockstep_io::IoError;
use lockstep_io::device::MemorySharing;
use lockstep_io::udp::UdpSettings;
use lockstep_wire::{Nanos, PublisherId};
use std::ops::ControlFlow;
use std::os::fd::BorrowedFd;
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
    /// What a reader's and a publisher's counters tell.
    fn of(reader: &Counters, publisher: &Counters) -> Self {
        Self {
            gaps: reader.get(Counter::Gaps),
            repaired: reader.get(Counter::RepairsIn),
            resends: publisher.get(Counter::Resends),
        }
    }

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
    fn flush(&mut self) {}
    /// One turn of subscriber and publisher; each delivered message is handed to `f`, in order, with the wall
    /// time at which the leader stamped it. Returns the work done.
    fn turn(&mut self, f: impl FnMut(&[u8], Nanos)) -> usize;
    /// What was lost so far.
    fn losses(&self) -> Losses {
        Losses::default()
    }
    /// Datagrams of the stream that came so far, acks and what else is said not counted.
    fn datagrams(&self) -> u64 {
        0
    }
    /// The sockets that wake it, if it sleeps.
    fn sockets(&self) -> Vec<BorrowedFd<'_>> {
        Vec::new()
    }
    /// Under which name its messages are in the stream; the floor's has nobody else's.
    fn publisher(&self) -> Option<PublisherId> {
        None
    }
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
    /// How datagrams go.
    pub transport: Transport,
    /// Whether there is no subscriber: delivered is what the publisher is told is committed.
    pub outcomes: bool,
    /// The processes of leader and standby, where this program has started them.
    pub pids: [Option<u32>; 2],
}

impl<'a> Ground<'a> {
    /// A cluster of this measurement's own: contestants take turns at its ports, and the stream is read from
    /// its first message.
    pub fn own(cluster: &'a Cluster) -> Self {
        Self::of(&cluster.config)
    }

    /// The same by its file.
    pub fn of(config: &'a Config) -> Self {
        Self {
            config,
            floor_port: None,
            start: Start::From(1),
            transport: Transport::Udp,
            outcomes: false,
            pids: [None; 2],
        }
    }

    /// The same, by another way.
    pub fn over(cluster: &'a Cluster, transport: Transport) -> Self {
        Self { transport, ..Self::own(cluster) }
    }

    /// What lockstep's handles are told.
    fn endpoint(&self) -> Result<Endpoint, String> {
        let endpoint = cluster::endpoint(self.config)?;
        // A cluster's file has no word for memory without a network.
        let is_alone = self.transport == Transport::Shm;
        Ok(if is_alone { endpoint.with_memory(MemorySharing::Alone) } else { endpoint })
    }

    /// A device of the floor.
    pub fn floor(&self, joins: &[Group]) -> UdpSettings {
        let udp = cluster::device(self.config, joins);
        UdpSettings { port: self.floor_port.unwrap_or(udp.port), ..udp }
    }
}

/// The work of a client:: the same for all of them.
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
    let udp = || ground.transport.open(ground.config, ground.floor(&JOINS));
    match (contestant, ground.transport) {
        (Contestant::Plain, Transport::Unicast) => {
            let socket = plain::of_client(ground.config, &ground.floor(&[]))?;
            measure.with(FloorClient::new(socket, awaits_ack, message_len))
        }
        (Contestant::Plain, _) => measure.with(FloorClient::new(plain()?, awaits_ack, message_len)),
        (Contestant::Io, _) => measure.with(FloorClient::new(udp()?, awaits_ack, message_len)),
        (Contestant::Lockstep, _) => {
            let endpoint = ground.endpoint()?;
            let fails = |error: IoError| error.to_string();
            if ground.outcomes {
                let publisher = Publisher::connect(&endpoint).map_err(fails)?;
                measure.with(PublisherClient::open(publisher)?)
            } else {
                let participant = Participant::connect(&endpoint, delivery, ground.start).map_err(fails)?;
                measure.with(LockstepClient::open(participant)?)
            }
        }
    }
}

/// lockstep's handle, as an application uses it.
struct LockstepClient {
    participant: Participant,
    id: PublisherId,
}

impl LockstepClient {
    /// Opens a name and reads the stream up to its present end.
    fn open(mut participant: Participant) -> Result<Self, String> {
        let ignore = |_: ParticipantEvent<'_>| ControlFlow::Continue(());
        let id = participant.open("bench", PATIENCE, ignore).map_err(|error| error.to_string())?;
        let began = Instant::now();
        loop {
            participant.poll(usize::MAX, ignore);
            let (seen, read) = (participant.stamped_next(), participant.deliver_next());
            if seen > 1 && read >= seen {
                return Ok(Self { participant, id });
            }
            if began.elapsed() > PATIENCE {
                return Err(format!("the subscriber has read up to {read} of {seen}"));
            }
            std::thread::yield_now();
        }
    }
}

impl Client for LockstepClient {
    fn sockets(&self) -> Vec<BorrowedFd<'_>> {
        self.participant.sockets()
    }

    fn publish(&mut self, message: &[u8]) -> bool {
        self.participant.try_publish(self.id, 0, message).is_ok()
    }

    fn flush(&mut self) {
        self.participant.flush();
    }

    fn turn(&mut self, mut f: impl FnMut(&[u8], Nanos)) -> usize {
        self.participant.poll(usize::MAX, |event| {
            // Others publish into a running cluster as well.
            if let ParticipantEvent::Subscriber(SubscriberEvent::Message(message)) = event
                && message.publisher == self.id
            {
                f(message.payload, message.timestamp);
            }
            ControlFlow::Continue(())
        })
    }

    fn losses(&self) -> Losses {
        Losses::of(self.participant.subscriber_counters(), self.participant.publisher_counters())
    }

    fn publisher(&self) -> Option<PublisherId> {
        Some(self.id)
    }

    fn datagrams(&self) -> u64 {
        self.participant.subscriber_counters().get(Counter::FramesAccepted)
    }
}

/// lockstep's publisher, with no subscriber beside it.
struct PublisherClient {
    publisher: Publisher,
    id: PublisherId,
    /// A message that says its number, the next of which is to be committed.
    message: [u8; MESSAGE_LEN_MIN],
    committed: u64,
}

impl PublisherClient {
    /// Opens a name.
    fn open(mut publisher: Publisher) -> Result<Self, String> {
        let id = publisher.open("bench", PATIENCE).map_err(|error| error.to_string())?;
        Ok(Self { publisher, id, message: [0; MESSAGE_LEN_MIN], committed: 0 })
    }
}

impl Client for PublisherClient {
    fn publish(&mut self, message: &[u8]) -> bool {
        self.publisher.try_publish(self.id, 0, message).is_ok()
    }

    fn flush(&mut self) {
        self.publisher.flush();
    }

    fn turn(&mut self, mut f: impl FnMut(&[u8], Nanos)) -> usize {
        let Self { publisher, message, committed, .. } = self;
        publisher.poll(usize::MAX, |event| {
            if let PublisherEvent::Committed { .. } = event {
                write_message(message, *committed, 0);
                *committed += 1;
                f(message, 0);
            }
        })
    }

    fn losses(&self) -> Losses {
        Losses::of(self.publisher.counters(), self.publisher.counters())
    }

    fn publisher(&self) -> Option<PublisherId> {
        Some(self.id)
    }

    fn datagrams(&self) -> u64 {
        self.publisher.counters().get(Counter::FramesAccepted)
    }
}
