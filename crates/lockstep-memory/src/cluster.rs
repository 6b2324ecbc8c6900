//! A small cluster that is stepped by hand, and one replica alone.

use crate::log::written;
use crate::net::{SimNet, To};
use crate::reader::{News, owned};
use crate::world::{
    CLUSTER, MemoryPorts, OPERATOR, TURN_NS, WALL_NS, address, blank_tail, born_tail, flush,
    publisher_limits, replica_limits, sent, start, subscriber_limits,
};
use lockstep_core::engine::counters::Counter;
use lockstep_core::engine::event::{ReplicaEvent, Role};
use lockstep_core::engine::participant::{ParticipantEngine, ParticipantEvent};
use lockstep_core::engine::ports::Group;
use lockstep_core::engine::publisher::{PublisherEngine, PublisherEvent, PublisherLimits};
use lockstep_core::engine::receiver::Start;
use lockstep_core::engine::subscriber::{Delivery, SubscriberEvent, SubscriberLimits};
use lockstep_replica::replica::{ReplicaEngine, ReplicaLimits};
use lockstep_wire::{
    Epoch, Header, Identity, Keyring, Kind, Nanos, PublisherId, PublisherSeq, QueryKind, Seq, Wall,
    write_query,
};
use std::ops::ControlFlow;

/// A publisher and what it was told.
pub struct PublisherNode {
    /// The engine.
    pub publisher: PublisherEngine<SimNet>,
    /// What it was told.
    pub events: Vec<PublisherEvent>,
}

impl PublisherNode {
    /// The fates that were told, by number: committed messages.
    pub fn committed(&self) -> Vec<(PublisherSeq, Seq)> {
        let committed = self.events.iter().filter_map(|event| match event {
            PublisherEvent::Committed { publisher_seq, seq, .. } => Some((*publisher_seq, *seq)),
            _ => None,
        });
        committed.collect()
    }

    /// Hands in messages with these payloads.
    pub fn publish(&mut self, id: PublisherId, payloads: &[&str]) {
        for payload in payloads {
            self.publisher.core.try_publish(id, 0, payload.as_bytes()).expect("room in the window");
        }
    }
}

/// A participant, and what its halves were told.
pub struct ParticipantNode {
    /// The engine.
    pub participant: ParticipantEngine<SimNet>,
    /// What its publisher was told.
    pub events: Vec<PublisherEvent>,
    /// What its subscriber was told.
    pub stream: Vec<News>,
    /// The application stops the stream behind each message.
    pub stops: bool,
    /// Under this name it answers each `ask` in the callback that delivers it.
    pub answers_as: Option<PublisherId>,
}

impl ParticipantNode {
    /// A process that begins.
    pub fn new(publisher: PublisherLimits, subscriber: SubscriberLimits) -> Self {
        let participant = ParticipantEngine::new(SimNet::default(), publisher, subscriber);
        Self { participant, events: Vec::new(), stream: Vec::new(), stops: false, answers_as: None }
    }

    /// One turn.
    pub fn poll(&mut self, now: Nanos, wall: Wall, limit: usize) {
        let Self { participant, events, stream, stops, answers_as } = self;
        participant.poll_with(now, wall, limit, |event, publisher| match event {
            ParticipantEvent::Publisher(event) => {
                assert!(publisher.is_none());
                events.push(event);
                ControlFlow::Break(())
            }
            ParticipantEvent::Subscriber(event) => {
                stream.extend(owned(&event));
                if let (Some(id), SubscriberEvent::Message(message)) = (*answers_as, &event)
                    && message.payload == b"ask"
                {
                    publisher.expect("it publishes").try_publish(id, 0, b"answer").expect("room");
                }
                let stops = *stops && matches!(event, SubscriberEvent::Message(_));
                if stops { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            }
        });
        participant.invariants();
    }
}

/// A cluster whose network is perfect, unless a test says otherwise.
pub struct Cluster {
    /// The time of all.
    pub now: Nanos,
    /// Number 1 first.
    pub replicas: Vec<ReplicaEngine<MemoryPorts>>,
    /// Publishers without a subscriber.
    pub publishers: Vec<PublisherNode>,
    /// Those with one.
    pub participants: Vec<ParticipantNode>,
    /// Whether what this node (replicas 1.., publishers 101.., participants 201..) sends to that one is lost.
    pub lost: fn(u32, u32, &[u8]) -> bool,
    /// Whether no group brings that one what this node sends; unicast does.
    pub groups_lost: fn(u32, u32) -> bool,
    /// Nodes that are paused: they hear nothing and say nothing, and what is sent to them waits.
    pub paused: Vec<u32>,
    /// Nodes that are dead: what is sent to them is lost.
    pub dead: Vec<u32>,
    /// By how much the clock of a replica is ahead of the right one, in nanoseconds: of each that is named.
    pub ahead: Vec<(u32, i64)>,
    /// Whether segments keep up with the tails.
    pub flushing: bool,
    /// Fates that a publisher is told in one turn.
    pub limit: usize,
    /// Every datagram that was sent, and by whom.
    pub record: Vec<(u32, Vec<u8>)>,
}

impl Cluster {
    /// `members` replicas of which the first leads, and nobody else yet.
    pub fn new(members: u32, change: impl Fn(&mut ReplicaLimits)) -> Self {
        let replicas = (1..=members).map(|number| {
            let mut limits = replica_limits(number, members);
            change(&mut limits);
            let ring = 256 << 10;
            let tail = if number == 1 { born_tail(1, members, ring) } else { blank_tail(number, ring) };
            start(tail, limits).expect("a listed member")
        });
        let replicas = replicas.collect();
        Self {
            now: 1_000_000,
            replicas,
            publishers: Vec::new(),
            participants: Vec::new(),
            lost: |_, _, _| false,
            groups_lost: |_, _| false,
            paused: Vec::new(),
            dead: Vec::new(),
            ahead: Vec::new(),
            flushing: true,
            limit: 100,
            record: Vec::new(),
        }
    }

    /// One more publisher's process. Returns its index.
    pub fn add_publisher(&mut self, change: impl Fn(&mut PublisherLimits)) -> usize {
        let me = Identity { replica: 1_000 + self.publishers.len() as u32, incarnation: 77 };
        let mut limits = publisher_limits(me, self.replicas.len() as u32);
        change(&mut limits);
        let publisher = PublisherEngine::new(SimNet::default(), limits);
        self.publishers.push(PublisherNode { publisher, events: Vec::new() });
        self.publishers.len() - 1
    }

    /// Opens a name on publisher `index`, and runs until it is open. Returns its id.
    pub fn open(&mut self, index: usize, name: &str, nonce: [u64; 2]) -> PublisherId {
        let ticket = self.publishers[index].publisher.core.open(name, nonce).expect("a name");
        let opened = self.run_until(|cluster| cluster.opened(index, ticket).is_some());
        assert!(opened, "{name} is not open after a second: {:?}", self.publishers[index].events);
        self.opened(index, ticket).unwrap()
    }

    fn opened(&self, index: usize, asked: usize) -> Option<PublisherId> {
        self.publishers[index].events.iter().find_map(|event| match event {
            PublisherEvent::Opened { ticket, publisher, .. } if *ticket == asked => Some(*publisher),
            _ => None,
        })
    }

    /// One more participant, which reads from the first entry on and has opened `name`. Returns the name's
    /// id.
    pub fn add_participant(&mut self, delivery: Delivery, name: &str, nonce: [u64; 2]) -> PublisherId {
        let (number, repairers) = (self.participants.len() as u32, self.replicas.len() as u32);
        let [publisher, subscriber] =
            [1_500, 2_500].map(|first| Identity { replica: first + number, incarnation: 77 });
        let mut node = ParticipantNode::new(
            publisher_limits(publisher, repairers),
            subscriber_limits(subscriber, repairers, delivery, Start::From(1)),
        );
        node.participant.publisher.open(name, nonce).expect("a name");
        self.participants.push(node);
        let opened = |cluster: &Self| {
            let events = cluster.participants[number as usize].events.iter();
            events.rev().find_map(|event| match event {
                PublisherEvent::Opened { publisher, .. } => Some(*publisher),
                _ => None,
            })
        };
        assert!(self.run_until(|cluster| opened(cluster).is_some()), "{name} is not open after a second");
        opened(self).unwrap()
    }

    /// Turns until `done`, for at most a second. Returns whether it came.
    pub fn run_until(&mut self, done: impl Fn(&Self) -> bool) -> bool {
        for _ in 0..1_000_000_000 / TURN_NS {
            if done(self) {
                return true;
            }
            self.turn();
        }
        false
    }

    /// Asks a replica as an operator does, and returns its answer. A command is for this epoch and the
    /// membership that this seq set.
    pub fn query(
        &mut self,
        number: u32,
        (epoch, first_seq): (Epoch, Seq),
        query_kind: QueryKind,
        name: &str,
    ) -> Vec<u8> {
        let asks = Header { cluster: CLUSTER, sender: OPERATOR, ..Header::new(Kind::Query) };
        let header = Header { epoch: epoch.0, first_seq, ..asks };
        self.ask(
            number,
            written(|out| write_query(out, &Keyring::none(CLUSTER), header, 5, query_kind, name)),
        )
    }

    /// The same with the query's bytes.
    pub fn ask(&mut self, number: u32, query: Vec<u8>) -> Vec<u8> {
        const ANSWERS: [u8; 4] =
            [Kind::Status as u8, Kind::Release as u8, Kind::Times as u8, Kind::CommandResult as u8];
        let net = self.replicas[number as usize - 1].net_mut();
        net.unicast.push_back((query, Some(address(OPERATOR))));
        let before = self.record.len();
        self.run(10);
        let mut sent = self.record[before..].iter().filter(|(from, _)| *from == number);
        let answer = sent.rfind(|(_, bytes)| ANSWERS.contains(&bytes[5]));
        answer.expect("every question is answered").1.clone()
    }

    /// The replica that lives and leads.
    pub fn leader(&self) -> Option<u32> {
        let mut alive = (1..).zip(&self.replicas).filter(|(number, _)| !self.dead.contains(number));
        alive.find(|(_, replica)| replica.role() == Role::Leader).map(|(number, _)| number)
    }

    /// Whether all replicas hold the same log.
    pub fn is_equal(&self) -> bool {
        let end = self.replicas[0].tail().end();
        self.replicas.iter().all(|replica| replica.tail().end() == end)
    }

    /// Turns until publisher `index` has the fate of everything.
    ///
    /// # Panics
    /// If that takes longer than a second.
    pub fn drain(&mut self, index: usize) {
        let drained = self.run_until(|cluster| cluster.publishers[index].publisher.core.is_drained());
        assert!(drained, "publisher {index} waits for ever: {:?}", self.publishers[index].events);
    }

    /// Turns until publisher 0 was told of so many committed messages.
    ///
    /// # Panics
    /// If that takes longer than a second.
    pub fn await_committed(&mut self, count: usize) {
        let done = self.run_until(|cluster| cluster.publishers[0].committed().len() == count);
        assert!(done, "{:?}\n{}", self.publishers[0].committed(), self.describe());
    }

    /// What each replica does, a line each.
    pub fn describe(&self) -> String {
        let lines = self.replicas.iter().map(|replica| {
            let (role, end, commit_next) =
                (replica.role().name(), replica.tail().end(), replica.core.commit_next());
            let promised = replica.tail().promised();
            format!("{role} {} next {} commit {commit_next} promised {promised}\n", end.epoch, end.next)
        });
        lines.collect()
    }

    /// So many turns of everybody.
    pub fn run(&mut self, turns: u32) {
        for _ in 0..turns {
            self.turn();
        }
    }

    fn turn(&mut self) {
        self.now += TURN_NS;
        let wall = Wall(self.now + WALL_NS);
        for index in 0..self.replicas.len() {
            let number = index as u32 + 1;
            if self.paused.contains(&number) || self.dead.contains(&number) {
                continue;
            }
            if self.flushing {
                flush(self.replicas[index].tail_mut().memory_mut());
            }
            let ahead = self.ahead.iter().find(|(of, _)| *of == number).map_or(0, |(_, ahead)| *ahead);
            self.replicas[index].poll(self.now, wall.saturating_add_signed(ahead));
            self.replicas[index].invariants();
            let out = sent(self.replicas[index].net_mut());
            self.carry(number, &out);
        }
        for index in 0..self.publishers.len() {
            let PublisherNode { publisher, events } = &mut self.publishers[index];
            publisher.poll(self.now, wall, self.limit, |event| events.push(event));
            publisher.core.invariants();
            let out = sent(publisher.net_mut());
            self.carry(index as u32 + 101, &out);
        }
        for index in 0..self.participants.len() {
            self.participants[index].poll(self.now, wall, self.limit);
            let out = sent(self.participants[index].participant.net_mut());
            self.carry(index as u32 + 201, &out);
        }
    }

    fn carry(&mut self, from: u32, sent: &[(To, Vec<u8>)]) {
        self.record.extend(sent.iter().map(|(_, bytes)| (from, bytes.clone())));
        let replicas = (1..).zip(self.replicas.iter_mut().map(|replica| (true, replica.net_mut())));
        let publishers =
            (101..).zip(self.publishers.iter_mut().map(|node| (false, node.publisher.net_mut())));
        let participants =
            (201..).zip(self.participants.iter_mut().map(|node| (false, node.participant.net_mut())));
        for (number, (is_replica, net)) in replicas.chain(publishers).chain(participants) {
            for (to, bytes) in sent {
                let for_it = match to {
                    To::Group(group) => from != number && (is_replica || *group != Group::Submit),
                    To::Unicast(to) => *to == address(number),
                };
                let by_group = matches!(to, To::Group(_));
                if by_group && (self.groups_lost)(from, number) {
                    continue;
                }
                if !for_it || self.dead.contains(&number) || (self.lost)(from, number, bytes) {
                    continue;
                }
                match to {
                    To::Group(_) => net.groups.push_back(bytes.clone()),
                    To::Unicast(_) => net.unicast.push_back((bytes.clone(), Some(address(from)))),
                }
            }
        }
    }
}

/// Nodes and readers have numbers up to this.
const NUMBER_MAX: u32 = 250;

/// One replica alone, and its clock.
pub struct SoloReplica {
    /// The engine.
    pub replica: ReplicaEngine<MemoryPorts>,
    /// Its time.
    pub now: Nanos,
}

impl SoloReplica {
    /// Every other node and reader has proved its address.
    pub fn new(mut replica: ReplicaEngine<MemoryPorts>) -> Self {
        (1..=NUMBER_MAX).for_each(|number| replica.assume_address(address(number)));
        Self { replica, now: 1_000_000 }
    }

    /// One turn. Returns what it sent.
    pub fn poll(&mut self) -> Vec<(To, Vec<u8>)> {
        self.now += TURN_NS;
        self.replica.poll(self.now, Wall(self.now + WALL_NS));
        self.replica.invariants();
        sent(self.replica.net_mut())
    }

    /// Hears datagrams in one batch. Returns what it sent.
    pub fn hear(&mut self, batch: &[Vec<u8>]) -> Vec<(To, Vec<u8>)> {
        self.replica.net_mut().groups.extend(batch.iter().cloned());
        self.poll()
    }

    /// Gets a datagram on the unicast port from node `from`. Returns what it sent in eight turns.
    pub fn ask(&mut self, from: u32, bytes: Vec<u8>) -> Vec<(To, Vec<u8>)> {
        self.replica.net_mut().unicast.push_back((bytes, Some(address(from))));
        (0..8).flat_map(|_| self.poll()).collect()
    }

    /// Time passes. Returns what it sent.
    pub fn wait(&mut self, ns: Nanos) -> Vec<(To, Vec<u8>)> {
        self.now += ns;
        self.poll()
    }

    /// The segments have everything.
    pub fn flush(&mut self) {
        flush(self.replica.tail_mut().memory_mut());
    }

    /// Where its log ends.
    pub fn next(&self) -> Seq {
        self.replica.tail().end().next
    }

    /// One of its counters.
    pub fn count(&self, counter: Counter) -> u64 {
        self.replica.core.counters.get(counter)
    }

    /// What happened since the last look.
    pub fn events(&mut self) -> Vec<ReplicaEvent> {
        std::iter::from_fn(|| self.replica.core.events.pop()).collect()
    }
}
