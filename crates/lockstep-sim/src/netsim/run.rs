//! One cell's run.

use super::Cell;
use super::links::Links;
use crate::keys;
use crate::machine::CLUSTER;
use crate::net::{SimNet, To};
use crate::rng::Rng;
use lockstep_core::engine::counters::Counter;
use lockstep_core::engine::parts::PartsLimits;
use lockstep_core::engine::ports::Group;
use lockstep_core::engine::publisher::{PublisherEngine, PublisherEvent, PublisherLimits};
use lockstep_core::engine::receiver::{ReceiverLimits, Start};
use lockstep_core::engine::subscriber::{Delivery, SubscriberEngine, SubscriberEvent, SubscriberLimits};
use lockstep_core::proto::commit::Durability;
use lockstep_core::proto::election::ElectionLimits;
use lockstep_core::proto::failure_detector::FailureDetectorLimits;
use lockstep_core::proto::heartbeat::HeartbeatLimits;
use lockstep_core::proto::nack::NackLimits;
use lockstep_core::proto::repairers::Repairer;
use lockstep_core::proto::requesters::BudgetLimits;
use lockstep_core::proto::window::Window;
use lockstep_replica::bootstrap::bootstrap;
use lockstep_replica::journal::memory::{MemoryStore, MemoryTail};
use lockstep_replica::journal::{SEGMENT_LEN_MIN, Settings, format, open};
use lockstep_replica::ports::Ports;
use lockstep_replica::replica::{Recovered, ReplicaEngine, ReplicaLimits};
use lockstep_wire::{Header, Identity, Kind, MemberBody, Nanos, PublisherId, Seq, frame_len_max};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::fmt;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::ops::ControlFlow;
use std::rc::Rc;

/// Longest message, in bytes; all that are sent fit one datagram.
const MESSAGE_LEN_MAX: usize = 1_024;
const HISTORY: u64 = 0xb1;
const MTU: usize = 1500;
const REPLICAS: usize = 3;
/// Nodes: the replicas, the publisher, the receivers.
const PUBLISHER: usize = REPLICAS;
const FIRST_RECEIVER: usize = REPLICAS + 1;
/// Room for all frames of a run.
const RING_BYTES: usize = 32 << 20;
/// One message, and so one frame, each 20 µs: 50,000 a second.
const INTERVAL_NS: Nanos = 20_000;
const PAYLOAD: [u8; 64] = [0x5a; 64];
/// One turn of a loop that spins.
const TURN_NS: Nanos = 500;
/// The poll interval of a node with pending work that has no deadline.
const PENDING_WORK_NS: Nanos = 2_000;
/// Datagrams take up to this much longer than the delay: less than an interval, so that nothing is reordered.
const JITTER_NS: Nanos = 2_000;
/// A message is affected if it was lost, or delivered this much after its frame arrived.
const BUFFERED_NS: Nanos = 3_000;
/// After the last message everybody has this long to fill its gaps.
const DRAIN_NS: Nanos = 1_000_000_000;
const BEGIN_NS: Nanos = 1_000_000;
const WALL_NS: Nanos = 1_700_000_000_000_000_000;
/// Longer than any run.
const NEVER_NS: Nanos = 1 << 45;

struct NetsimPorts;

impl Ports for NetsimPorts {
    type Net = SimNet;
    type Memory = MemoryTail;
}

enum Engine {
    Replica(Box<ReplicaEngine<NetsimPorts>>),
    Publisher(Box<PublisherEngine<SimNet>>),
    Receiver(Box<SubscriberEngine<SimNet>>),
}

struct Node {
    engine: Engine,
    wake_at: Nanos,
}

/// A datagram under way.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Letter {
    at: Nanos,
    key: u64,
    to: usize,
    from: usize,
    group: Option<Group>,
    bytes: Rc<Vec<u8>>,
}

/// The stream as one receiver saw it.
pub(super) struct Seen {
    /// The arrival of the first copy of each message's frame; 0 if that copy was lost.
    arrived: Vec<Nanos>,
    /// The arrival of any copy of it, a repair too.
    pub(super) had: Vec<Nanos>,
    /// The delivery of each message; 0 is never.
    pub(super) delivered: Vec<Nanos>,
}

pub(super) struct World {
    cell: Cell,
    now: Nanos,
    nodes: Vec<Node>,
    packets: BinaryHeap<Reverse<Letter>>,
    key: u64,
    links: Links,
    publisher: Option<PublisherId>,
    /// The first measured seq; 0 before there is one.
    first: Seq,
    sent: u64,
    /// The time at which each message's frame was sent.
    pub(super) sent_at: Vec<Nanos>,
    pub(super) seen: Vec<Seen>,
    row: Row,
}

/// The results of a cell's run.
#[derive(Clone, Default, Debug)]
pub struct Row {
    /// Frames lost: on each link, or once where all lose together.
    pub lost: u64,
    /// Messages that were lost, or buffered behind one that was, over all receivers.
    pub affected: u64,
    /// How much later than without loss those were delivered: p50, p99, p99.9.
    pub latency_ns: [Nanos; 3],
    /// Requests of receivers.
    pub nacks: u64,
    /// Frames repaired to them; one that went to everybody counts once.
    pub repairs: u64,
    /// Bytes of requests, repairs and reasons.
    pub bytes: u64,
    /// Frames that the leader repaired.
    pub led: u64,
    /// Messages that some receiver never got.
    pub missing: u64,
}

/// Runs a cell.
///
/// # Errors
/// In words, if the cluster does not begin.
pub fn run(cell: Cell) -> Result<Row, String> {
    Ok(stream(cell)?.judge())
}

/// A cell's stream, with what each receiver saw of it.
pub(super) fn stream(cell: Cell) -> Result<World, String> {
    let mut world = World::new(cell)?;
    world.open()?;
    world.stream();
    Ok(world)
}

fn address(node: usize) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, node as u8 + 1), 7_000)
}

fn identity(node: usize) -> Identity {
    Identity { replica: node as u32 + 1, incarnation: 0x100 + node as u32 }
}

fn receiver(node: usize) -> ReceiverLimits {
    let client =
        Identity { replica: 1_000 + node as u32, incarnation: 0x9e37_79b9u32.wrapping_mul(node as u32) };
    let others = (0..REPLICAS).filter(|other| *other != node);
    let keys = if node < REPLICAS { keys::replica() } else { keys::publisher() };
    ReceiverLimits {
        keys: keys.clone(),
        history: 0,
        me: if node < REPLICAS { identity(node) } else { client },
        repairers: others.map(|other| Repairer::replica(other as u32 + 1, address(other))).collect(),
        nack: NackLimits::default(),
        store_bytes: 1 << 20,
        frame_len_max: frame_len_max(MTU),
        count_when_accepted: false,
    }
}

fn replica(node: usize) -> Result<ReplicaEngine<NetsimPorts>, String> {
    let mut store = MemoryStore::default();
    format(&mut store, CLUSTER, identity(node), [1, 1]).map_err(|error| error.to_string())?;
    let settings = Settings {
        cluster: CLUSTER,
        replica: identity(node).replica,
        boot: [1, 1],
        power: false,
        frame_len_max: frame_len_max(MTU),
        segment_len: SEGMENT_LEN_MIN,
    };
    let mut reopen = |memory| open(&mut store, memory, settings).map_err(|error| error.to_string());
    let mut opened = reopen(MemoryTail::new(RING_BYTES))?;
    if node == 0 {
        let members: Vec<_> =
            (0..REPLICAS).map(|node| MemberBody::full(identity(node), address(node))).collect();
        bootstrap(&mut opened.tail, keys::replica(), HISTORY, &members, WALL_NS)?;
        opened = reopen(opened.tail.into_memory())?;
    }
    let recovered = Recovered::of_journal(&opened, 4);
    let limits = ReplicaLimits {
        receiver: receiver(node),
        heartbeat: HeartbeatLimits::default(),
        window: Window { entries: 1 << 16, bytes: 8 << 20 },
        durability: Durability::Process,
        publishers_max: 4,
        hold_back: 64,
        ack_again_ns: 1_000_000,
        process_nonce: node as u64 + 1,
        started_at: 0,
        identity_probe_ns: 0,
        repairs_per_request: 64,
        budget: BudgetLimits::default(),
        failure_detector: FailureDetectorLimits {
            timeout_ns: NEVER_NS,
            timeout_ns_max: NEVER_NS,
            ..FailureDetectorLimits::default()
        },
        election: ElectionLimits::default(),
        pending_submission_bytes: 1 << 20,
        secret_seed: [node as u8; 32],
    };
    ReplicaEngine::new(SimNet::default(), opened.tail, recovered, limits)
}

fn engine(node: usize) -> Result<Engine, String> {
    Ok(match node {
        0..REPLICAS => Engine::Replica(Box::new(replica(node)?)),
        PUBLISHER => {
            let limits = PublisherLimits {
                receiver: receiver(node),
                window_entries: 4_096,
                window_datagrams: 4_096,
                flight_datagrams: 1_024,
                resend_ns_min: 20_000_000,
                resend_ns_max: 100_000_000,
                query_retry_ns: 10_000_000,
                heartbeat_interval_ns: 1_000_000,
                names_max: 1,
                message_len_max: MESSAGE_LEN_MAX,
                message_len_max_of: BTreeMap::new(),
            };
            let mut publisher = PublisherEngine::new(SimNet::of_client(), limits);
            publisher.core.open("gateway", [1, 2]);
            Engine::Publisher(Box::new(publisher))
        }
        _ => {
            let limits = SubscriberLimits {
                receiver: receiver(node),
                delivery: Delivery::Stamped,
                start: Start::From(1),
                parts: PartsLimits { message_len_max: MESSAGE_LEN_MAX, bytes: 4 * MESSAGE_LEN_MAX },
                lag_report_ns: NEVER_NS,
                heartbeat_interval_ns: 1_000_000,
            };
            Engine::Receiver(Box::new(SubscriberEngine::new(SimNet::of_client(), limits)))
        }
    })
}

impl Engine {
    fn net(&mut self) -> &mut SimNet {
        match self {
            Self::Replica(replica) => replica.net_mut(),
            Self::Publisher(publisher) => publisher.net_mut(),
            Self::Receiver(subscriber) => subscriber.net_mut(),
        }
    }
}

impl World {
    fn new(cell: Cell) -> Result<Self, String> {
        let nodes = FIRST_RECEIVER + cell.receivers;
        let mut rng = Rng::new(u64::from(cell.loss) << 32 ^ cell.delay_ns << 8 ^ cell.receivers as u64);
        let node = |node| -> Result<Node, String> { Ok(Node { engine: engine(node)?, wake_at: BEGIN_NS }) };
        let messages = cell.messages() as usize;
        let none = vec![0; messages];
        let seen = || Seen { arrived: none.clone(), had: none.clone(), delivered: none.clone() };
        Ok(Self {
            now: BEGIN_NS,
            nodes: (0..nodes).map(node).collect::<Result<_, String>>()?,
            packets: BinaryHeap::new(),
            key: 0,
            // It loses nothing before the stream is open.
            links: Links::new(cell.pattern, 0, cell.receivers, rng.fork()),
            publisher: None,
            first: 0,
            sent: 0,
            sent_at: vec![0; messages],
            seen: (0..cell.receivers).map(|_| seen()).collect(),
            row: Row::default(),
            cell,
        })
    }

    /// Opens the publisher, and runs until everybody stores the whole stream.
    fn open(&mut self) -> Result<(), String> {
        let limit = self.now + DRAIN_NS;
        while self.publisher.is_none() || self.end() > 0 && !self.all_hold(self.end()) {
            if self.now >= limit {
                return Err(format!("{}: the publisher is not open after a second", self.cell.name()));
            }
            self.step(self.now + PENDING_WORK_NS);
        }
        self.first = self.end();
        self.row = Row::default();
        let rng = Rng::new(self.key ^ 0x5eed);
        self.links = Links::new(self.cell.pattern, self.cell.loss, self.cell.receivers, rng);
        Ok(())
    }

    /// The end of the leader's log.
    fn end(&self) -> Seq {
        match &self.nodes[0].engine {
            Engine::Replica(leader) => leader.tail().end().next,
            _ => 0,
        }
    }

    fn all_hold(&self, next: Seq) -> bool {
        self.nodes.iter().all(|node| match &node.engine {
            Engine::Receiver(subscriber) => {
                subscriber.core.deliver_next() >= next || subscriber.core.is_ended()
            }
            _ => true,
        })
    }

    /// All messages, and the time after them.
    fn stream(&mut self) {
        let messages = self.cell.messages();
        let mut next_at = self.now;
        while self.sent < messages {
            if let (Engine::Publisher(publisher), Some(id)) =
                (&mut self.nodes[PUBLISHER].engine, self.publisher)
                && publisher.core.try_publish(id, 0, &PAYLOAD).is_ok()
            {
                self.sent += 1;
            }
            self.nodes[PUBLISHER].wake_at = self.now;
            next_at += INTERVAL_NS;
            while self.now < next_at {
                self.step(next_at);
            }
        }
        let (limit, end) = (self.now + DRAIN_NS, self.first + messages);
        while self.now < limit && !self.all_hold(end) {
            self.step(limit);
        }
    }

    /// The next event, up to `limit`.
    fn step(&mut self, limit: Nanos) {
        let arrival = self.packets.peek().map_or(Nanos::MAX, |letter| letter.0.at);
        let (node, wake_at) = (0..self.nodes.len())
            .map(|node| (node, self.nodes[node].wake_at))
            .min_by_key(|(_, at)| *at)
            .unwrap_or((0, Nanos::MAX));
        let next = arrival.min(wake_at);
        if next >= limit {
            self.now = limit;
            return;
        }
        self.now = self.now.max(next);
        if arrival <= wake_at {
            self.arrive();
        } else {
            self.turn(node);
        }
    }

    fn arrive(&mut self) {
        let Some(Reverse(letter)) = self.packets.pop() else { return };
        let Letter { to, from, group, bytes, .. } = letter;
        if let (Some(receiver), Some(header)) = (to.checked_sub(FIRST_RECEIVER), any_frame(&bytes)) {
            self.on_arrived(receiver, &header, frame(&bytes).is_some());
        }
        let turn = self.links.jitter(TURN_NS);
        let node = &mut self.nodes[to];
        if node.engine.net().arrive(bytes.to_vec(), group.is_none().then(|| address(from)), group) {
            node.wake_at = node.wake_at.min(self.now + turn);
        }
    }

    fn on_arrived(&mut self, receiver: usize, header: &Header, is_of_leader: bool) {
        let Some(from) = self.index(header.first_seq) else { return };
        let (seen, to) = (&mut self.seen[receiver], from + usize::from(header.count));
        for at in from..to.min(seen.had.len()) {
            if is_of_leader {
                seen.arrived[at] = self.now;
            }
            if seen.had[at] == 0 {
                seen.had[at] = self.now;
            }
        }
    }

    /// The index of the message at a seq.
    fn index(&self, seq: Seq) -> Option<usize> {
        let at = seq.checked_sub(self.first).filter(|_| self.first > 0)? as usize;
        (at < self.sent_at.len()).then_some(at)
    }

    fn turn(&mut self, index: usize) {
        let now = self.now;
        let Self { nodes, publisher: opened, seen, first, .. } = self;
        let node = &mut nodes[index];
        let mut wake_at = match &mut node.engine {
            Engine::Replica(replica) => {
                replica.poll(now, now + WALL_NS);
                replica.tail_mut().free_published();
                let pending_work = replica.has_pending_work().then_some(now + PENDING_WORK_NS);
                while replica.core.events.pop().is_some() {}
                replica.next_deadline().min(pending_work.unwrap_or(Nanos::MAX))
            }
            Engine::Publisher(publisher) => {
                publisher.poll(now, now + WALL_NS, usize::MAX, |event| {
                    if let PublisherEvent::Opened { publisher, .. } = event {
                        *opened = Some(publisher);
                    }
                });
                if opened.is_none() { now + PENDING_WORK_NS } else { now + 1_000_000 }
            }
            Engine::Receiver(subscriber) => {
                let delivered = &mut seen[index - FIRST_RECEIVER].delivered;
                subscriber.poll(now, usize::MAX, |event| {
                    if let SubscriberEvent::Message(message) = event
                        && let Some(at) = message.seq.checked_sub(*first).filter(|_| *first > 0)
                        && let Some(delivered) = delivered.get_mut(at as usize)
                    {
                        *delivered = now;
                    }
                    ControlFlow::Continue(())
                });
                subscriber.core.next_deadline()
            }
        };
        let net = node.engine.net();
        if net.has_arrivals() {
            wake_at = now;
        }
        let sent = std::mem::take(&mut net.sent);
        node.wake_at = wake_at.max(now + TURN_NS);
        for (to, bytes) in sent {
            self.send(index, to, bytes);
        }
    }

    /// Sends copies to the destinations; the links of receivers lose some.
    fn send(&mut self, from: usize, to: To, bytes: Vec<u8>) {
        self.count(from, &to, &bytes);
        let header = frame(&bytes).filter(|_| matches!(to, To::Group(_)));
        let at = header.and_then(|header| self.index(header.first_seq).map(|at| (at, header.count)));
        if let Some((at, count)) = at {
            self.sent_at[at..].iter_mut().take(usize::from(count)).for_each(|sent_at| *sent_at = self.now);
        }
        let lost_by_all = at.is_some() && self.links.loses_for_all();
        self.row.lost += u64::from(lost_by_all);
        let bytes = Rc::new(bytes);
        let others = match to {
            To::Unicast(to) => {
                let node = usize::from(to.ip().octets()[3]) - 1;
                node..node + 1
            }
            To::Group(Group::Submit) => 0..REPLICAS,
            To::Group(_) => 0..self.nodes.len(),
        };
        for to_node in others.filter(|node| *node != from) {
            if from >= FIRST_RECEIVER && self.links.loses_from() {
                continue;
            }
            if let Some(receiver) = to_node.checked_sub(FIRST_RECEIVER)
                && (lost_by_all || self.links.loses_to(receiver))
            {
                self.row.lost += u64::from(at.is_some() && !lost_by_all);
                continue;
            }
            let at = self.now + self.cell.delay_ns + self.links.jitter(JITTER_NS);
            self.key += 1;
            let group = if let To::Group(group) = to { Some(group) } else { None };
            let letter = Letter { at, key: self.key, to: to_node, from, group, bytes: Rc::clone(&bytes) };
            self.packets.push(Reverse(letter));
        }
    }

    /// Counts the cost of repair.
    fn count(&mut self, from: usize, to: &To, bytes: &[u8]) {
        let Some(header) = Header::peek(bytes) else { return };
        let to_receiver = match to {
            To::Group(Group::Data) => true,
            To::Group(_) => false,
            To::Unicast(to) => usize::from(to.ip().octets()[3]) > FIRST_RECEIVER,
        };
        let repair = header.kind == Kind::Frame as u8 && bytes.len() > header.length as usize;
        let row = &mut self.row;
        if header.kind == Kind::Nack as u8 && from >= FIRST_RECEIVER {
            row.nacks += 1;
        } else if repair && to_receiver {
            row.repairs += 1;
        } else if header.kind != Kind::RepairReject as u8 || !to_receiver {
            return;
        }
        row.bytes += bytes.len() as u64;
    }

    fn judge(mut self) -> Row {
        let mut latencies = Vec::new();
        for seen in &self.seen {
            for (at, delivered) in seen.delivered.iter().enumerate() {
                let (arrived, sent_at) = (seen.arrived[at], self.sent_at[at]);
                let due = sent_at + self.cell.delay_ns;
                if *delivered == 0 {
                    self.row.missing += 1;
                } else if arrived == 0 || *delivered > arrived + BUFFERED_NS {
                    latencies.push(delivered.saturating_sub(due));
                }
            }
        }
        latencies.sort_unstable();
        self.row.affected = latencies.len() as u64 + self.row.missing;
        let at = |per_mille: usize| latencies.get(latencies.len() * per_mille / 1_000).copied().unwrap_or(0);
        self.row.latency_ns = [at(500), at(990), at(999)];
        if let Engine::Replica(leader) = &self.nodes[0].engine {
            self.row.led = leader.core.counters.get(Counter::RepairsByLeader);
        }
        self.row
    }
}

/// The header of a frame, sent for the first time or as a repair.
fn any_frame(bytes: &[u8]) -> Option<Header> {
    Header::peek(bytes).filter(|header| header.kind == Kind::Frame as u8)
}

/// The header of a frame as the leader sends it.
fn frame(bytes: &[u8]) -> Option<Header> {
    any_frame(bytes).filter(|header| bytes.len() == header.length as usize)
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let us = |ns: Nanos| ns as f64 / 1e3;
        let [p50, p99, p999] = self.latency_ns;
        let each = |count: u64| count as f64 / self.lost.max(1) as f64;
        write!(
            f,
            "│ {:>8} │ {:>7.1} {:>8.1} {:>8.1} │ {:>5.2} {:>8.2} {:>8.0} │ {:>6} │ {:>9}",
            self.affected,
            us(p50),
            us(p99),
            us(p999),
            each(self.nacks),
            each(self.repairs),
            each(self.bytes),
            self.led,
            self.missing
        )
    }
}
