//! What the tests of the engines share: names, limits, and a small cluster that is stepped by hand.

use super::subscriber::{Event, owned};
use lockstep_core::engine::counters::Counter;
use lockstep_core::engine::event::ReplicaEvent;
use lockstep_core::engine::participant::{ParticipantEngine, ParticipantEvent};
use lockstep_core::engine::parts::PartsLimits;
use lockstep_core::engine::ports::Group;
use lockstep_core::engine::publisher::{PublisherEngine, PublisherEvent, PublisherLimits};
use lockstep_core::engine::receiver::{ReceiverLimits, Start};
use lockstep_core::engine::subscriber::{Delivery, SubscriberEvent, SubscriberLimits};
use lockstep_core::proto::commit::Durability;
use lockstep_core::proto::election::ElectionLimits;
use lockstep_core::proto::failure_detector::FailureDetectorLimits;
use lockstep_core::proto::heartbeat::HeartbeatLimits;
use lockstep_core::proto::lineage::Lineage;
use lockstep_core::proto::log::LogEnd;
use lockstep_core::proto::membership::Membership;
use lockstep_core::proto::nack::NackLimits;
use lockstep_core::proto::publishers::Publishers;
use lockstep_core::proto::repairers::Repairer;
use lockstep_core::proto::requesters::BudgetLimits;
use lockstep_core::proto::window::Window;
use lockstep_replica::bootstrap::bootstrap;
use lockstep_replica::journal::memory::MemoryTail;
use lockstep_replica::journal::ports::{TailSource, Word};
use lockstep_replica::journal::{Tail, TailLabel};
use lockstep_replica::ports::Ports;
use lockstep_replica::replica::{Recovered, ReplicaEngine, ReplicaLimits};
use lockstep_sim::net::{SimNet, To};
use lockstep_wire::Keyring;
use lockstep_wire::*;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::ops::ControlFlow;

pub const CLUSTER: u64 = 7;
pub const HISTORY: u64 = 0xb1;
pub const FRAME_LEN_MAX: usize = frame_len_max(1500);
/// One turn of everybody.
pub const TURN_NS: Nanos = 10_000;

/// The world of a replica in a test.
pub struct TestPorts;

impl Ports for TestPorts {
    type Net = SimNet;
    type Memory = MemoryTail;
}

/// Replica `number` in its first life.
pub fn identity(number: u32) -> Identity {
    Identity { replica: number, incarnation: 0x100 + number }
}

/// Epoch `round` under replica `leader`.
pub fn epoch(round: u32, leader: u32) -> Epoch {
    Epoch::new(round, identity(leader))
}

/// Where an operator asks from.
pub const OPERATOR: u32 = 99;

/// Nodes and readers have numbers up to this.
const NUMBER_MAX: u32 = 250;

/// Where node `number` answers.
pub fn address(number: u32) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, number as u8), 7_000)
}

/// Members 1 to `count`.
pub fn member_list(count: u32) -> Vec<MemberBody> {
    (1..=count).map(|number| MemberBody::full(identity(number), address(number))).collect()
}

/// A receiver that may ask replicas 1 to `repairers`.
pub fn receiver_limits(me: Identity, repairers: u32) -> ReceiverLimits {
    ReceiverLimits {
        keys: Keyring::none(CLUSTER).into(),
        history: 0,
        me,
        repairers: (1..=repairers)
            .filter(|number| *number != me.replica)
            .map(|number| Repairer::replica(number, address(number)))
            .collect(),
        nack: NackLimits::default(),
        store_bytes: 64 << 10,
        frame_len_max: FRAME_LEN_MAX,
        count_when_accepted: false,
    }
}

/// A replica of a cluster of `members`.
pub fn replica_limits(number: u32, members: u32) -> ReplicaLimits {
    ReplicaLimits {
        receiver: receiver_limits(identity(number), members),
        heartbeat: HeartbeatLimits { first_ns: 50_000, interval_ns: 500_000 },
        window: Window { entries: 1_000, bytes: 100_000 },
        durability: Durability::Process,
        publishers_max: 8,
        hold_back: 16,
        ack_again_ns: 1_000_000,
        process_nonce: u64::from(number),
        started_at: 1_000,
        identity_probe_ns: 0,
        repairs_per_request: 16,
        budget: BudgetLimits::default(),
        failure_detector: FailureDetectorLimits::default(),
        election: ElectionLimits::default(),
        pending_submission_bytes: 16 << 10,
        secret_seed: [number as u8; 32],
    }
}

/// An empty tail of replica `number`.
pub fn blank_tail(number: u32, ring_bytes: usize) -> Tail<MemoryTail> {
    let label = TailLabel {
        cluster: CLUSTER,
        identity: identity(number),
        boot: [1, 1],
        generation: 1,
        record_len_max: FRAME_LEN_MAX as u32,
    };
    Tail::blank(MemoryTail::new(ring_bytes), label, LogEnd::BLANK).expect("a ring large enough")
}

/// A tail in which a history of `members` has been born.
pub fn born_tail(number: u32, members: u32, ring_bytes: usize) -> Tail<MemoryTail> {
    let mut tail = blank_tail(number, ring_bytes);
    bootstrap(&mut tail, &Keyring::none(CLUSTER), HISTORY, &member_list(members), 1_000)
        .expect("a blank log");
    tail
}

/// A replica as its process starts over `tail`.
pub fn start(tail: Tail<MemoryTail>, limits: ReplicaLimits) -> Result<ReplicaEngine<TestPorts>, String> {
    let mut recovered = Recovered {
        lineage: Lineage::default(),
        membership: Membership::default(),
        open_change: None,
        epochs: Vec::new(),
        durability: Durability::Process,
        publishers: Publishers::new(limits.publishers_max),
        start_frame: Vec::new(),
        commit_next: 1,
        version: 0,
    };
    let mut span = tail.find(1);
    while let Some(found) = span {
        let frame = tail.frame(found).expect("no damage");
        recovered.version = frame.header.version;
        recovered.commit_next = recovered.commit_next.max(frame.header.commit_next);
        for (seq, entry) in (frame.header.first_seq..).zip(frame.entries()) {
            recovered.publishers.on_entry(seq, &entry);
            match entry.kind() {
                EntryKind::Genesis => {
                    recovered.lineage = Lineage::of(frame.header.history);
                    recovered.epochs.push(EpochBase { epoch: frame.header.epoch, base: seq });
                    recovered.membership = Membership::of_genesis(entry.payload).expect("members");
                }
                EntryKind::EpochStart => {
                    let start = EpochStartView::parse(entry.payload).expect("a start");
                    recovered.epochs.push(EpochBase { epoch: start.body.epoch, base: seq });
                    recovered.membership = Membership::of_start(&start, seq);
                    recovered.durability = Durability::from_wire(start.body.durability);
                    recovered.lineage = Lineage::of_start(frame.header.history, &start);
                    recovered.start_frame = frame.bytes.to_vec();
                }
                EntryKind::Membership => {
                    let changed = MembershipView::parse(entry.payload).expect("a change");
                    recovered.membership = Membership::of_change(&changed, seq).expect("a new list");
                    recovered.open_change = Membership::before_change(&changed).map(|before| (seq, before));
                }
                EntryKind::Message
                | EntryKind::Open
                | EntryKind::Close
                | EntryKind::Day
                | EntryKind::ChangeCommitted
                | EntryKind::Order => {}
            }
        }
        span = tail.after(found);
    }
    ReplicaEngine::new(SimNet::default(), tail, recovered, limits)
}

/// The side thread: everything published is on disk.
pub fn flush(memory: &mut MemoryTail) {
    let seq = memory.word(Word::HighSeq);
    memory.set_word(Word::WrittenSeq, seq);
    memory.set_word(Word::DurableSeq, seq);
    memory.set_word(Word::PromisedStored, memory.word(Word::Promised));
    memory.set_word(Word::WrittenPos, memory.word(Word::PublishedPos));
}

/// A change of the membership after that of `after`, as the command of operator `sender` submits it.
pub fn submitted_change(sender: u32, after: Seq, change: Change, member: MemberBody) -> Vec<u8> {
    let mut payload = [0; MEMBERSHIP_LEN_MAX];
    let length = write_membership(&mut payload, after, change, member, &[]);
    let mut bytes = vec![0; HEADER_LEN + entry_len(length)];
    let entry = EntryHeader { kind: EntryKind::Membership as u8, ..bytemuck::Zeroable::zeroed() };
    write_entry(&mut bytes[HEADER_LEN..], entry, &payload[..length]).expect("room");
    let header =
        Header { cluster: CLUSTER, history: HISTORY, count: 1, sender, ..Header::new(Kind::Submission) };
    seal(&mut bytes, header);
    bytes
}

/// What was sent since the last look.
pub fn sent(net: &mut SimNet) -> Vec<(To, Vec<u8>)> {
    std::mem::take(&mut net.sent)
}

/// The headers of the acks among them.
pub fn acks_in(sent: &[(To, Vec<u8>)]) -> Vec<Header> {
    let decoded = sent
        .iter()
        .map(|(_, bytes)| Datagram::decode(bytes, &Keyring::none(CLUSTER)).expect("our own bytes"));
    decoded
        .filter_map(|datagram| if let Datagram::Ack(header, _) = datagram { Some(*header) } else { None })
        .collect()
}

/// One request for repair.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Request {
    pub to: SocketAddrV4,
    pub header: Header,
    pub token: u64,
    pub ranges: Vec<(Seq, Seq)>,
}

/// The requests among what was sent.
pub fn requests_in(sent: &[(To, Vec<u8>)]) -> Vec<Request> {
    let mut requests = Vec::new();
    for (to, bytes) in sent {
        if let (To::Unicast(to), Ok(Datagram::Nack(header, body, ranges))) =
            (to, Datagram::decode(bytes, &Keyring::none(CLUSTER)))
        {
            let ranges = ranges.iter().map(|range| (range.from, range.to)).collect();
            requests.push(Request { to: *to, header: *header, token: body.token, ranges });
        }
    }
    requests
}

/// A publisher that may ask replicas 1 to `repairers`.
pub fn publisher_limits(me: Identity, repairers: u32) -> PublisherLimits {
    PublisherLimits {
        receiver: receiver_limits(me, repairers),
        window_entries: 64,
        window_datagrams: 8,
        flight_datagrams: 8,
        resend_ns_min: 300_000,
        resend_ns_max: 5_000_000,
        query_retry_ns: 1_000_000,
        heartbeat_interval_ns: 1_000_000,
        names_max: 4,
        message_len_max: MESSAGE_LEN_MAX,
        message_len_max_of: BTreeMap::new(),
    }
}

/// A subscriber that may ask replicas 1 to `repairers`.
pub fn subscriber_limits(me: Identity, repairers: u32, delivery: Delivery, start: Start) -> SubscriberLimits {
    SubscriberLimits {
        receiver: receiver_limits(me, repairers),
        delivery,
        start,
        parts: PartsLimits { message_len_max: MESSAGE_LEN_MAX, bytes: 1 << 20 },
        lag_report_ns: 1_000_000,
        heartbeat_interval_ns: 1_000_000,
    }
}

/// A publisher and what it was told.
pub struct PublisherNode {
    pub publisher: PublisherEngine<SimNet>,
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
    pub participant: ParticipantEngine<SimNet>,
    pub events: Vec<PublisherEvent>,
    pub stream: Vec<Event>,
    /// The application stops the stream behind each message.
    pub stops: bool,
}

impl ParticipantNode {
    pub fn new(publisher: PublisherLimits, subscriber: SubscriberLimits) -> Self {
        let participant = ParticipantEngine::new(SimNet::default(), publisher, subscriber);
        Self { participant, events: Vec::new(), stream: Vec::new(), stops: false }
    }

    /// One turn.
    pub fn poll(&mut self, now: Nanos, wall: Nanos, limit: usize) {
        let Self { participant, events, stream, stops } = self;
        participant.poll(now, wall, limit, |event| match event {
            ParticipantEvent::Publisher(event) => {
                events.push(event);
                ControlFlow::Break(())
            }
            ParticipantEvent::Subscriber(event) => {
                stream.extend(owned(&event));
                let stops = *stops && matches!(event, SubscriberEvent::Message(_));
                if stops { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            }
        });
        participant.invariants();
    }
}

/// A cluster whose network is perfect, unless a test says otherwise.
pub struct Cluster {
    pub now: Nanos,
    pub replicas: Vec<ReplicaEngine<TestPorts>>,
    pub publishers: Vec<PublisherNode>,
    pub participants: Vec<ParticipantNode>,
    /// Whether what this node (replicas 1.., publishers 101.., participants 201..) sends to that one is lost.
    pub lost: fn(u32, u32, &[u8]) -> bool,
    /// Whether no group brings that one what this node sends; unicast does.
    pub groups_lost: fn(u32, u32) -> bool,
    /// Nodes that are paused: they hear nothing and say nothing, and what is sent to them waits.
    pub paused: Vec<u32>,
    /// Nodes that are dead: what is sent to them is lost.
    pub dead: Vec<u32>,
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
        const ANSWERS: [u8; 3] = [Kind::Status as u8, Kind::Release as u8, Kind::CommandResult as u8];
        let asks = Header { cluster: CLUSTER, sender: OPERATOR, ..Header::new(Kind::Query) };
        let header = Header { epoch: epoch.0, first_seq, ..asks };
        let mut query = vec![0; SMALL_LEN_MAX];
        let length = write_query(&mut query, &Keyring::none(CLUSTER), header, 5, query_kind, name);
        query.truncate(length);
        let net = self.replicas[number as usize - 1].net_mut();
        net.unicast.push_back((query, Some(address(OPERATOR))));
        let before = self.record.len();
        self.run(10);
        let mut sent = self.record[before..].iter().filter(|(from, _)| *from == number);
        let answer = sent.rfind(|(_, bytes)| ANSWERS.contains(&bytes[5]));
        answer.expect("every question is answered").1.clone()
    }

    /// So many turns of everybody.
    pub fn run(&mut self, turns: u32) {
        for _ in 0..turns {
            self.turn();
        }
    }

    fn turn(&mut self) {
        self.now += TURN_NS;
        let wall = self.now + 1_700_000_000_000_000_000;
        for index in 0..self.replicas.len() {
            let number = index as u32 + 1;
            if self.paused.contains(&number) || self.dead.contains(&number) {
                continue;
            }
            if self.flushing {
                flush(self.replicas[index].tail_mut().memory_mut());
            }
            self.replicas[index].poll(self.now, wall);
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

/// One replica alone, and its clock.
pub struct Node {
    pub replica: ReplicaEngine<TestPorts>,
    pub now: Nanos,
}

impl Node {
    /// Every other node and reader has proved its address.
    pub fn new(mut replica: ReplicaEngine<TestPorts>) -> Self {
        (1..=NUMBER_MAX).for_each(|number| replica.assume_address(address(number)));
        Self { replica, now: 1_000_000 }
    }

    /// One turn. Returns what it sent.
    pub fn poll(&mut self) -> Vec<(To, Vec<u8>)> {
        self.now += TURN_NS;
        self.replica.poll(self.now, self.now + 1_700_000_000_000_000_000);
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
