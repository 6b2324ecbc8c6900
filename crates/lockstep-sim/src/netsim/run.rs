//! One cell's run.

use super::Cell;
use super::links::Links;
use crate::cluster::{
    BEGIN_NS, ClusterProcess, ClusterSettings, NEVER_NS, PENDING_WORK_NS, TURN_NS, address, node_of,
};
use crate::net::To;
use crate::rng::Rng;
use lockstep_core::engine::counters::Counter;
use lockstep_core::engine::ports::Group;
use lockstep_core::engine::subscriber::Delivery;
use lockstep_core::proto::failure_detector::FailureDetectorLimits;
use lockstep_memory::world::SILENCE;
use lockstep_wire::{Header, Kind, Nanos, Seq};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fmt;
use std::rc::Rc;

const REPLICAS: usize = 3;
/// Nodes: the replicas, the publisher, the receivers.
const PUBLISHER: usize = REPLICAS;
const FIRST_RECEIVER: usize = REPLICAS + 1;
/// Room for all frames of a run.
const RING_BYTES: usize = 32 << 20;
/// The first and the longest wait before the publisher sends again.
const RESEND_NS: [Nanos; 2] = [20_000_000, 100_000_000];
/// One message, and so one frame, each 20 µs: 50,000 a second.
const INTERVAL_NS: Nanos = 20_000;
const PAYLOAD: [u8; 64] = [0x5a; 64];
/// Datagrams take up to this much longer than the delay: less than an interval, so that nothing is reordered.
const JITTER_NS: Nanos = 2_000;
/// A message is affected if it was lost, or delivered this much after its frame arrived.
const BUFFERED_NS: Nanos = 3_000;
/// After the last message everybody has this long to fill its gaps.
const DRAIN_NS: Nanos = 1_000_000_000;

struct Node {
    process: ClusterProcess,
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

pub(super) struct CellRun {
    cell: Cell,
    now: Nanos,
    nodes: Vec<Node>,
    packets: BinaryHeap<Reverse<Letter>>,
    key: u64,
    links: Links,
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
pub(super) fn stream(cell: Cell) -> Result<CellRun, String> {
    let mut world = CellRun::new(cell)?;
    world.open()?;
    world.stream();
    Ok(world)
}

fn process(node: usize) -> Result<ClusterProcess, String> {
    let settings = ClusterSettings {
        replicas: REPLICAS,
        ring_bytes: RING_BYTES,
        failure_detector: FailureDetectorLimits { timeout_ns: NEVER_NS, timeout_ns_max: NEVER_NS, ..SILENCE },
        resend_ns: RESEND_NS,
    };
    match node {
        0..REPLICAS => settings.replica(node),
        PUBLISHER => Ok(settings.publisher(node)),
        _ => Ok(settings.reader(node, Delivery::Stamped)),
    }
}

impl CellRun {
    fn new(cell: Cell) -> Result<Self, String> {
        let nodes = FIRST_RECEIVER + cell.receivers;
        let mut rng = Rng::new(u64::from(cell.loss) << 32 ^ cell.delay_ns << 8 ^ cell.receivers as u64);
        let node = |node| -> Result<Node, String> { Ok(Node { process: process(node)?, wake_at: BEGIN_NS }) };
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
        while self.nodes[PUBLISHER].process.opened().is_none() || self.end() > 0 && !self.all_hold(self.end())
        {
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
        self.nodes[0].process.end()
    }

    fn all_hold(&self, next: Seq) -> bool {
        self.nodes.iter().all(|node| node.process.has_read(next))
    }

    /// All messages, and the time after them.
    fn stream(&mut self) {
        let messages = self.cell.messages();
        let mut next_at = self.now;
        while self.sent < messages {
            self.sent += u64::from(self.nodes[PUBLISHER].process.publish(&PAYLOAD));
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
        if node.process.net().arrive(bytes.to_vec(), group.is_none().then(|| address(from)), group) {
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
        let Self { nodes, seen, first, .. } = self;
        let node = &mut nodes[index];
        let mut wake_at = node.process.turn(now, |delivery| {
            if let Some(at) = delivery.seq.checked_sub(*first).filter(|_| *first > 0)
                && let Some(delivered) = seen[index - FIRST_RECEIVER].delivered.get_mut(at as usize)
            {
                *delivered = now;
            }
        });
        let net = node.process.net();
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
                let node = node_of(to);
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
            To::Unicast(to) => node_of(*to) >= FIRST_RECEIVER,
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
        if let ClusterProcess::Replica(leader) = &self.nodes[0].process {
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
