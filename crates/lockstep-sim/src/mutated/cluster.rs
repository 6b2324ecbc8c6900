//! A small cluster in memory: the production engines of every role, with keys, on a network that
//! carries everything at once. It has none of the simulator's faults and oracles, so that it takes as
//! many datagrams a second as its engines do.

use super::promises::ReplicaPromises;
use super::scenario::{Arrival, Recorded};
use crate::keys;
use crate::machine::CLUSTER;
use crate::net::{SimNet, To};
use lockstep_core::engine::counters::Counters;
use lockstep_core::engine::event::{Events, Role};
use lockstep_core::engine::losses::Losses;
use lockstep_core::engine::publisher::{PublisherEngine, PublisherEvent, PublisherLimits};
use lockstep_core::engine::receiver::{ReceiverLimits, Start};
use lockstep_core::engine::subscriber::{Delivery, SubscriberEngine, SubscriberEvent, SubscriberLimits};
use lockstep_core::proto::window::Window;
use lockstep_memory::journal::MemoryJournal;
pub use lockstep_memory::place::{address, identity};
pub use lockstep_memory::world::HISTORY;
use lockstep_memory::world::{
    ELECTION, FRAME_LEN_MAX, MemoryPorts, SILENCE, WALL_NS, flush, publisher_limits, repairers,
};
use lockstep_replica::journal::memory::MemoryTail;
use lockstep_replica::replica::{Recovered, ReplicaEngine, ReplicaLimits};
use lockstep_wire::{EVERYBODY, EventsBody, Identity, Keys, MemberBody, Nanos, PublisherId, Seq};
use std::collections::hash_map::DefaultHasher;
use std::hash::Hasher;
use std::ops::ControlFlow;

/// Replicas: three full members, a witness, and an archiver, which no membership lists.
pub const REPLICAS: usize = 5;
/// The publisher's place behind them, ...
pub const PUBLISHER: usize = REPLICAS;
/// ... then a reader of what is committed, and one of what is stamped.
pub const READERS: [usize; 2] = [REPLICAS + 1, REPLICAS + 2];
/// All processes.
pub const NODES: usize = REPLICAS + 3;
/// The name of the publisher.
pub const NAME: &str = "desk";

const MEMBERS: usize = 4;
const WITNESS: usize = 3;
const ARCHIVER: usize = 4;
const RING_BYTES: usize = 64 << 10;
const PUBLISHERS_MAX: u32 = 8;
/// A turn of a cluster that begins.
const TURN_NS: Nanos = 50_000;
/// The turns within which a cluster has begun.
const TURNS_MAX: u32 = 10_000;

/// A replica here.
pub type Replica = ReplicaEngine<MemoryPorts>;

/// See the module.
#[derive(Clone)]
pub struct SmallCluster {
    /// The time of all processes.
    pub now: Nanos,
    /// The replicas; the first one leads at first.
    pub replicas: Vec<Replica>,
    /// The publisher, under [`NAME`].
    pub publisher: PublisherEngine<SimNet>,
    /// A reader of what is committed, and one of what is stamped.
    pub readers: [SubscriberEngine<SimNet>; 2],
    /// What each replica has promised so far.
    promises: Vec<ReplicaPromises>,
    /// The exclusive bound of what each reader has delivered.
    delivered: [Seq; 2],
    opened: Option<PublisherId>,
    /// Processes that are paused: they take no turns.
    pub paused: [bool; NODES],
}

fn receiver(node: usize, me: Identity, keys: &Keys) -> ReceiverLimits {
    ReceiverLimits {
        keys: keys.clone(),
        me,
        repairers: repairers(REPLICAS as u32, node as u32 + 1),
        store_bytes: 32 << 10,
        ..ReceiverLimits::default()
    }
}

fn replica_limits(node: usize) -> ReplicaLimits {
    ReplicaLimits {
        receiver: receiver(node, identity(node), keys::replica()),
        window: Window { entries: 256, bytes: 32 << 10 },
        publishers_max: PUBLISHERS_MAX,
        hold_back: 16,
        ack_again_ns: 1_000_000,
        process_nonce: node as u64 + 1,
        started_at: 1_000,
        repairs_per_request: 16,
        failure_detector: SILENCE,
        election: ELECTION,
        pending_submission_bytes: 8 << 10,
        secret_seed: [node as u8; 32],
        ..ReplicaLimits::default()
    }
}

/// Replica `node` with an empty journal; that of the first one has the genesis of the history.
///
/// # Panics
/// If the journal in memory does not begin.
pub fn replica(node: usize) -> Replica {
    let mut journal = MemoryJournal::format(CLUSTER, identity(node), FRAME_LEN_MAX).expect("an empty folder");
    let opened = if node == 0 {
        let members: Vec<_> = (0..MEMBERS)
            .map(|member| match member {
                WITNESS => MemberBody::witness(identity(member), address(member)),
                _ => MemberBody::full(identity(member), address(member)),
            })
            .collect();
        journal.open_born(RING_BYTES, keys::replica(), HISTORY, &members)
    } else {
        let blank = journal.open(MemoryTail::new(RING_BYTES)).expect("a new journal");
        journal.open(blank.tail.into_memory())
    };
    let opened = opened.expect("the same journal");
    let recovered = Recovered::of_journal(&opened, PUBLISHERS_MAX);
    let mut replica = ReplicaEngine::new(SimNet::default(), opened.tail, recovered, replica_limits(node))
        .expect("a member");
    if node == ARCHIVER {
        replica.core.become_archiver();
    }
    replica
}

fn publisher() -> PublisherEngine<SimNet> {
    let me = Identity { replica: 1_001, incarnation: 77 };
    let limits = PublisherLimits {
        receiver: receiver(PUBLISHER, me, keys::publisher()),
        message_len_max: 4 << 10,
        ..publisher_limits(me, REPLICAS as u32)
    };
    PublisherEngine::new(SimNet::of_client(), limits)
}

fn reader(node: usize, delivery: Delivery) -> SubscriberEngine<SimNet> {
    let me = Identity { replica: 2_000 + node as u32, incarnation: 5 };
    let limits = SubscriberLimits {
        receiver: receiver(node, me, keys::reader()),
        delivery,
        start: Start::From(1),
        lag_report_ns: 1_000_000,
        ..SubscriberLimits::default()
    };
    SubscriberEngine::new(SimNet::of_client(), limits)
}

impl SmallCluster {
    /// One that has begun: the first replica leads, all others hold its log, the name is open, and some of
    /// its messages are committed and delivered.
    ///
    /// # Panics
    /// If it does not come to that.
    pub fn begun() -> Self {
        let mut cluster = Self {
            now: 1_000_000,
            replicas: (0..REPLICAS).map(replica).collect(),
            publisher: publisher(),
            readers: [reader(READERS[0], Delivery::Committed), reader(READERS[1], Delivery::Stamped)],
            promises: vec![ReplicaPromises::default(); REPLICAS],
            delivered: [0; 2],
            opened: None,
            paused: [false; NODES],
        };
        cluster.publisher.core.open(NAME, [1, 1]).expect("a name");
        let mut sink = |_: usize, _: &(To, Vec<u8>)| ();
        let is_open = (0..TURNS_MAX).any(|_| {
            cluster.turn_all(TURN_NS, &mut sink);
            cluster.opened.is_some()
        });
        assert!(is_open, "the name is not open");
        (0..8).for_each(|number| cluster.publish(&[number; 40]));
        let is_delivered = (0..TURNS_MAX).any(|_| {
            cluster.turn_all(TURN_NS, &mut sink);
            cluster.is_settled()
        });
        assert!(is_delivered, "not all hold and deliver the log");
        cluster
    }

    /// Whether every process that is not paused has all of the leader's log, and knows it committed.
    pub fn is_settled(&self) -> bool {
        let running = (0..REPLICAS).filter(|node| !self.paused[*node]).map(|node| &self.replicas[node]);
        let Some(leader) = self.replicas.iter().find(|replica| replica.role() == Role::Leader) else {
            return false;
        };
        let end = leader.tail().end();
        let has_all =
            |replica: &Replica| replica.tail().end() == end && replica.core.commit_next() == end.next;
        let are_delivered = self.readers.iter().all(|reader| reader.core.commit_next() == end.next);
        running.into_iter().all(has_all) && are_delivered && self.publisher.core.is_drained()
    }

    /// Hands a message to the publisher, if its window has room.
    pub fn publish(&mut self, payload: &[u8]) {
        if let Some(id) = self.opened {
            // Without room it is dropped: the next one will do.
            let _ = self.publisher.core.try_publish(id, EVERYBODY, payload);
        }
    }

    /// A datagram arrives at process `node`. Returns whether its device took it.
    pub fn arrive(&mut self, node: usize, bytes: Vec<u8>, route: Arrival) -> bool {
        let net = self.net_mut(node);
        match route {
            Arrival::Group(group) => net.arrive(bytes, None, Some(group)),
            Arrival::Unicast(from) => net.arrive(bytes, Some(from), None),
        }
    }

    /// The device of process `node`.
    pub fn net_mut(&mut self, node: usize) -> &mut SimNet {
        match node {
            0..REPLICAS => self.replicas[node].net_mut(),
            PUBLISHER => self.publisher.net_mut(),
            _ => self.readers[node - READERS[0]].net_mut(),
        }
    }

    /// Time passes, and every process that is not paused takes a turn.
    pub fn turn_all(&mut self, ns: Nanos, sink: &mut impl FnMut(usize, &(To, Vec<u8>))) {
        self.now += ns;
        (0..NODES).filter(|node| !self.paused[*node]).collect::<Vec<_>>().into_iter().for_each(|node| {
            self.turn(node, sink);
        });
    }

    /// Process `node` takes a turn, which is judged; what it sent goes to `sink`, and to all others.
    ///
    /// # Panics
    /// If an invariant or a promise is broken.
    pub fn turn(&mut self, node: usize, sink: &mut impl FnMut(usize, &(To, Vec<u8>))) {
        let sent = self.turn_alone(node);
        for datagram in &sent {
            sink(node, datagram);
            self.carry(node, datagram);
        }
    }

    /// The same, and what it sent goes to nobody.
    ///
    /// # Panics
    /// As [`SmallCluster::turn`].
    pub fn turn_alone(&mut self, node: usize) -> Vec<(To, Vec<u8>)> {
        let (now, wall) = (self.now, lockstep_wire::Wall(WALL_NS + self.now));
        match node {
            0..REPLICAS => {
                let replica = &mut self.replicas[node];
                flush(replica.tail_mut().memory_mut());
                replica.poll(now, wall);
                // As the program's recorder does, which has nothing here.
                while let Some(query) = replica.next_event_query() {
                    replica.send_events(wall, query, EventsBody::default(), &[]);
                }
                let sent = std::mem::take(&mut replica.net_mut().sent);
                self.promises[node].judge(replica, &sent);
                // As the program's log does.
                while replica.core.events.pop().is_some() {}
                sent
            }
            PUBLISHER => {
                let opened = &mut self.opened;
                self.publisher.poll(now, wall, 64, |event| {
                    if let PublisherEvent::Opened { publisher, .. } = event {
                        *opened = Some(publisher);
                    }
                });
                self.publisher.core.invariants();
                std::mem::take(&mut self.publisher.net_mut().sent)
            }
            _ => {
                let index = node - READERS[0];
                let (reader, delivered) = (&mut self.readers[index], &mut self.delivered[index]);
                let is_stamped = index == 1;
                reader.poll(now, 64, |event| {
                    match event {
                        SubscriberEvent::Message(message) => {
                            assert!(message.seq >= *delivered, "seq {} twice", message.seq);
                            *delivered = message.seq + 1;
                        }
                        SubscriberEvent::Retract { from } => {
                            assert!(is_stamped, "what is final is taken back");
                            *delivered = from.min(*delivered);
                        }
                        _ => {}
                    }
                    ControlFlow::Continue(())
                });
                reader.core.invariants();
                std::mem::take(&mut reader.net_mut().sent)
            }
        }
    }

    fn carry(&mut self, from: usize, (to, bytes): &(To, Vec<u8>)) {
        match to {
            To::Group(group) => {
                for node in (0..NODES).filter(|node| *node != from) {
                    self.arrive(node, bytes.clone(), Arrival::Group(*group));
                }
            }
            To::Unicast(to) => {
                if let Some(node) = (0..NODES).find(|node| address(*node) == *to) {
                    self.arrive(node, bytes.clone(), Arrival::Unicast(address(from)));
                }
            }
        }
    }

    /// The state of process `node`, without what only counts and reports.
    pub fn digest(&self, node: usize) -> u64 {
        let mut digest = DefaultHasher::new();
        match node {
            0..REPLICAS => {
                let mut replica = self.replicas[node].clone();
                (replica.core.counters, replica.core.events) = (Counters::default(), Events::default());
                replica.core.losses = Losses::default();
                replica.hash_state(&mut digest);
                let tail = replica.tail();
                std::hash::Hash::hash(&(tail.end(), tail.promised(), tail.staged_end()), &mut digest);
            }
            PUBLISHER => {
                let mut core = self.publisher.core.clone();
                core.counters = Counters::default();
                std::hash::Hash::hash(&core, &mut digest);
            }
            _ => {
                let mut core = self.readers[node - READERS[0]].core.clone();
                (core.counters, core.losses) = (Counters::default(), Losses::default());
                std::hash::Hash::hash(&core, &mut digest);
            }
        }
        digest.finish()
    }

    /// A datagram as it was sent, and the way that it took.
    pub fn recorded((to, bytes): &(To, Vec<u8>), from: usize) -> Recorded {
        let route = match to {
            To::Group(group) => Arrival::Group(*group),
            To::Unicast(_) => Arrival::Unicast(address(from)),
        };
        Recorded { route, bytes: bytes.clone() }
    }
}
