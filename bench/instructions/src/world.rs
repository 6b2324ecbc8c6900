//! A cluster in one thread, over a desk instead of a network: whatever a role receives lies ready in
//! memory, and whatever it sends is taken and forgotten. So nothing but the role is counted.
//!
//! ```text
//!   publisher   leader   standby   subscriber (stamped)   subscriber (committed)
//!       └──────────┴────────┴──────────────┴──────────────────────┘  one step: submit, stamp, accept, ack
//! ```
//!
//! The driver lays out the submissions and the standby's acks itself, and reads frames from the leader's
//! tail: no role pays for a copy that the device would have made.

use crate::MTU;
use crate::cluster::{Cluster, address};
use crate::desk::{Desk, DeskPorts};
use crate::frames::{PAYLOAD, fill};
use lockstep_core::engine::ports::Group;
use lockstep_core::engine::publisher::{PublisherEngine, PublisherEvent, PublisherLimits};
use lockstep_core::engine::receiver::{ReceiverLimits, Start};
use lockstep_core::engine::subscriber::{Delivery, SubscriberEngine, SubscriberEvent, SubscriberLimits};
use lockstep_core::proto::repairers::Repairer;
use lockstep_node::io::journal_files::{self, Lock};
use lockstep_node::io::tail::TailReader;
use lockstep_replica::journal::ports::{TailSource, Word};
use lockstep_replica::replica::{Recovered, ReplicaEngine, ReplicaLimits};
use lockstep_wire::{
    AckBody, Header, Identity, KeyClass, Keys, Kind, Nanos, PublisherId, Seq, Wall, frame_len_max, write_ack,
};
use std::hint::black_box;
use std::ops::ControlFlow;

/// Members; the third is stopped.
const REPLICAS: u32 = 3;
/// Time from one step to the next: shorter than the first heartbeat, so that none is counted.
const STEP_NS: Nanos = 10_000;
/// Wall less monotonic time.
const WALL: Nanos = 4_000_000_000_000_000_000;
/// Steps in which the nodes find each other; they need a few dozen.
const STEPS_TO_MEET: usize = 2_000;

/// What comes to the leader in one step.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pattern {
    /// Messages of 64 bytes in each datagram of the step's one poll batch.
    pub datagrams: &'static [usize],
}

impl Pattern {
    /// Messages of a step.
    pub fn messages(&self) -> usize {
        self.datagrams.iter().sum()
    }
}

/// Whose turn it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Watched {
    /// From received submissions to frames handed to the device.
    Leader,
    /// From received frames to an ack handed to the device.
    Standby,
}

/// The cluster.
pub struct World {
    now: Nanos,
    cluster: Cluster,
    /// A replica's and a publisher's.
    keys: [Keys; 2],
    leader: Desked,
    standby: Desked,
    stamped: SubscriberEngine<Desk>,
    committed: SubscriberEngine<Desk>,
    publisher: PublisherEngine<Desk>,
    id: PublisherId,
    /// The next number of the publisher.
    next: u64,
    acks: u64,
    delivered: [u64; 2],
    outcomes: u64,
}

fn process_nonce(process: usize) -> u64 {
    0x4e00 + process as u64
}

/// The class of the keys that publishers and subscribers have.
const HANDLE: KeyClass = KeyClass::Publisher(0);

fn receiver(cluster: &Cluster, process: usize) -> ReceiverLimits {
    let client = Identity { replica: 1_000 + process as u32, incarnation: 1 };
    ReceiverLimits {
        keys: cluster.keys(if process < 2 { KeyClass::Replica } else { HANDLE }),
        me: cluster.identities.get(process).copied().filter(|_| process < 2).unwrap_or(client),
        repairers: (0..2)
            .filter(|other| *other != process)
            .map(|other| Repairer::replica(other as u32 + 1, address(other)))
            .collect(),
        store_bytes: 1 << 20,
        frame_len_max: frame_len_max(MTU),
        count_when_accepted: process < 2,
        ..ReceiverLimits::default()
    }
}

/// A replica on its journal, and the side thread's hold of its tail.
struct Desked {
    replica: ReplicaEngine<DeskPorts>,
    side: TailReader,
    _lock: Lock,
}

fn replica(cluster: &Cluster, process: usize) -> Result<Desked, String> {
    let settings = cluster.node(process as u32 + 1);
    let journal = journal_files::open(&settings.journal).map_err(|error| error.to_string())?;
    let recovered = Recovered::of_journal(&journal.opened, settings.publishers_max);
    let limits = ReplicaLimits {
        receiver: receiver(cluster, process),
        heartbeat: settings.heartbeat,
        window: settings.window,
        publishers_max: settings.publishers_max,
        ack_again_ns: 1_000_000_000,
        process_nonce: process_nonce(process),
        pending_submission_bytes: 1 << 20,
        secret_seed: [7; 32],
        ..ReplicaLimits::default()
    };
    let net = Desk::carrying();
    let replica = ReplicaEngine::new(net, journal.opened.tail, recovered, limits)?;
    Ok(Desked { replica, side: journal.reader, _lock: journal.lock })
}

fn subscriber(cluster: &Cluster, process: usize, delivery: Delivery) -> SubscriberEngine<Desk> {
    let limits = SubscriberLimits {
        receiver: receiver(cluster, process),
        delivery,
        start: Start::From(1),
        lag_report_ns: 1 << 40,
        ..SubscriberLimits::default()
    };
    SubscriberEngine::new(Desk::carrying(), limits)
}

impl Desked {
    /// The side thread's part: the segments have everything.
    fn follow_behind(&mut self) {
        let seq = self.side.word(Word::HighSeq);
        self.side.set_word(Word::WrittenSeq, seq);
        self.side.set_word(Word::DurableSeq, seq);
        self.side.set_word(Word::WrittenPos, self.side.word(Word::PublishedPos));
    }
}

impl World {
    /// A cluster that has met: the leader stamps, the publisher's name is open, everybody has read it.
    ///
    /// # Errors
    /// In words, where the nodes do not find each other.
    pub fn new() -> Result<Self, String> {
        let cluster = Cluster::new(REPLICAS)?;
        let mut publisher = PublisherEngine::new(
            Desk::carrying(),
            PublisherLimits {
                receiver: receiver(&cluster, 4),
                window_entries: 4096,
                window_datagrams: 1024,
                flight_datagrams: 1024,
                resend_ns_max: 5_000_000,
                query_retry_ns: 1_000_000,
                names_max: 1,
                ..PublisherLimits::default()
            },
        );
        publisher.core.open("bench", [1, 2]);
        let keys = [KeyClass::Replica, HANDLE].map(|class| cluster.keys(class));
        let mut world = Self {
            keys,
            now: 1_000_000_000,
            leader: replica(&cluster, 0)?,
            standby: replica(&cluster, 1)?,
            stamped: subscriber(&cluster, 2, Delivery::Stamped),
            committed: subscriber(&cluster, 3, Delivery::Committed),
            cluster,
            publisher,
            id: 0,
            next: 1,
            acks: 1 << 32,
            delivered: [0; 2],
            outcomes: 0,
        };
        for _ in 0..STEPS_TO_MEET {
            if world.id != 0 && world.has_met() {
                world.stop_carrying();
                return Ok(world);
            }
            world.meet();
        }
        Err(format!(
            "the nodes did not meet: publisher {}, leader at {}, standby at {}",
            world.id,
            world.leader.replica.tail().end().next,
            world.standby.replica.tail().end().next
        ))
    }

    fn desks(&mut self) -> [&mut Desk; 5] {
        [
            self.leader.replica.net_mut(),
            self.standby.replica.net_mut(),
            self.stamped.net_mut(),
            self.committed.net_mut(),
            self.publisher.net_mut(),
        ]
    }

    fn has_met(&self) -> bool {
        let next = self.leader.replica.tail().end().next;
        next > 3
            && self.standby.replica.tail().end().next == next
            && self.leader.replica.core.commit_next() == next
            && self.stamped.core.deliver_next() == next
            && self.committed.core.deliver_next() == next
    }

    /// One turn of everybody, everything carried.
    fn meet(&mut self) {
        self.now += STEP_NS;
        let (now, wall) = (self.now, Wall(self.now + WALL));
        self.leader.replica.poll(now, wall);
        self.standby.replica.poll(now, wall);
        self.stamped.poll(now, usize::MAX, |_| ControlFlow::Continue(()));
        self.committed.poll(now, usize::MAX, |_| ControlFlow::Continue(()));
        let id = &mut self.id;
        self.publisher.poll(now, wall, usize::MAX, |event| {
            if let PublisherEvent::Opened { publisher, .. } = event {
                *id = publisher;
            }
        });
        self.leader.follow_behind();
        self.standby.follow_behind();
        let mut desks = self.desks();
        for from in 0..desks.len() {
            for (to, group, bytes) in std::mem::take(&mut desks[from].sent) {
                for (process, desk) in desks.iter_mut().enumerate() {
                    let hears = match to {
                        Some(to) => to == address(process),
                        None => process != from && (process < 2 || group != Group::Submit),
                    };
                    match to {
                        _ if !hears => {}
                        Some(_) => desk.unicast.push((bytes.clone(), address(from))),
                        None => desk.lay_copy(&bytes),
                    }
                }
            }
        }
    }

    fn stop_carrying(&mut self) {
        for desk in self.desks() {
            desk.stop_carrying();
        }
    }

    /// One step of the cluster: `pattern` is submitted, stamped, accepted, acknowledged, delivered.
    pub fn step(&mut self, pattern: Pattern) {
        self.step_watched(pattern, |_, turn| turn());
    }

    /// The same; `watch` is given those turns to run that it may time.
    pub fn step_watched(&mut self, pattern: Pattern, mut watch: impl FnMut(Watched, &mut dyn FnMut())) {
        self.now += STEP_NS;
        let (now, wall) = (self.now, Wall(self.now + WALL));
        let first = self.leader.replica.tail().end().next;
        for &count in pattern.datagrams {
            for _ in 0..count {
                let taken = lockstep_bench_publisher_publish(&mut self.publisher, self.id);
                assert!(taken, "the window takes a step's messages");
            }
            lockstep_bench_publisher_flush(&mut self.publisher, now, wall);
            self.lay_submission(count, wall);
        }
        watch(Watched::Leader, &mut || {
            lockstep_bench_leader_turn(&mut self.leader.replica, now, wall);
        });
        self.lay_frames(first);
        watch(Watched::Standby, &mut || {
            lockstep_bench_standby_turn(&mut self.standby.replica, now, wall);
        });
        self.read(now, wall);
        self.lay_ack(wall);
        lockstep_bench_leader_hears_ack(&mut self.leader.replica, now, wall);
        self.read(now, wall);
        self.leader.follow_behind();
        self.standby.follow_behind();
    }

    /// A turn of everybody who reads the stream.
    fn read(&mut self, now: Nanos, wall: Wall) {
        let [stamped, committed] = &mut self.delivered;
        lockstep_bench_stamped_turn(&mut self.stamped, now, stamped);
        lockstep_bench_committed_turn(&mut self.committed, now, committed);
        lockstep_bench_publisher_turn(&mut self.publisher, now, wall, &mut self.outcomes);
    }

    /// A submission of `count` messages, as a publisher sends it.
    fn lay_submission(&mut self, count: usize, wall: Wall) {
        let Self { cluster, keys, leader, id, next, .. } = self;
        let first = *next;
        *next += count as u64;
        let header = Header {
            cluster: cluster.number,
            history: cluster.history,
            sender: 9,
            timestamp: wall.0,
            number: *next,
            ..Header::new(Kind::Submission)
        };
        leader.replica.net_mut().lay(|out| {
            let filled = fill(out, &keys[1], header, (*id, first), count);
            assert!(filled.is_ok(), "{count} messages fit one datagram");
        });
    }

    /// What the leader stamped from `first` on, for everybody who reads.
    fn lay_frames(&mut self, first: Seq) {
        let tail = self.leader.replica.tail();
        let mut span = tail.find(first);
        while let Some(found) = span {
            let bytes = tail.bytes(found);
            self.standby.replica.net_mut().lay_copy(bytes);
            self.stamped.net_mut().lay_copy(bytes);
            self.committed.net_mut().lay_copy(bytes);
            self.publisher.net_mut().lay_copy(bytes);
            span = tail.after(found);
        }
    }

    /// The standby's ack, for everybody who counts.
    fn lay_ack(&mut self, wall: Wall) {
        self.acks += 1;
        let (end, standby) = (self.standby.replica.tail().end(), self.cluster.identities[1]);
        let header = Header {
            cluster: self.cluster.number,
            history: self.cluster.history,
            epoch: end.epoch.0,
            sender: standby.replica,
            incarnation: standby.incarnation,
            first_seq: end.next,
            commit_next: self.standby.replica.core.commit_next(),
            timestamp: wall.0,
            chain: end.chain,
            number: self.acks,
            ..Header::new(Kind::Ack)
        };
        let mut ack = [0; 512];
        let length = write_ack(&mut ack, &self.keys[0], header, AckBody { process_nonce: process_nonce(1) });
        self.leader.replica.net_mut().lay_copy(&ack[..length]);
        self.stamped.net_mut().lay_copy(&ack[..length]);
        self.committed.net_mut().lay_copy(&ack[..length]);
        self.publisher.net_mut().lay_copy(&ack[..length]);
    }

    /// Whether `messages` were stamped, accepted, delivered in both modes and committed: a figure of a
    /// cluster that dropped some would be worth nothing.
    ///
    /// # Errors
    /// In words, who has seen how many.
    pub fn check(&self, messages: u64, datagrams_sent: usize) -> Result<(), String> {
        let accepted = self.standby.replica.tail().end().next == self.leader.replica.tail().end().next;
        let seen = [self.delivered[0], self.delivered[1], self.outcomes];
        if !accepted || seen != [messages; 3] || self.leader.replica.net().taken() < datagrams_sent {
            return Err(format!(
                "of {messages} messages {} were delivered stamped, {} committed, {} confirmed; the leader's log \
                 ends at {}, the standby's at {}",
                seen[0],
                seen[1],
                seen[2],
                self.leader.replica.tail().end().next,
                self.standby.replica.tail().end().next
            ));
        }
        Ok(())
    }
}

// What follows are the functions that the counter is switched on in, found by their names. Each says its
// own name to the optimiser, or equal ones would become one.

/// From received submissions to frames handed to the device.
#[inline(never)]
fn lockstep_bench_leader_turn(leader: &mut ReplicaEngine<DeskPorts>, now: Nanos, wall: Wall) -> usize {
    black_box("leader");
    leader.poll(now, wall)
}

/// A leader's turn that receives one ack and nothing else.
#[inline(never)]
fn lockstep_bench_leader_hears_ack(leader: &mut ReplicaEngine<DeskPorts>, now: Nanos, wall: Wall) -> usize {
    black_box("ack");
    leader.poll(now, wall)
}

/// From a received frame to an ack handed to the device.
#[inline(never)]
fn lockstep_bench_standby_turn(standby: &mut ReplicaEngine<DeskPorts>, now: Nanos, wall: Wall) -> usize {
    black_box("standby");
    standby.poll(now, wall)
}

/// From a received frame, or ack, to the application.
#[inline(never)]
fn lockstep_bench_stamped_turn(
    subscriber: &mut SubscriberEngine<Desk>,
    now: Nanos,
    delivered: &mut u64,
) -> usize {
    black_box("stamped");
    subscriber.poll(now, usize::MAX, |event| count_message(&event, delivered))
}

/// The same where delivery waits for the commit.
#[inline(never)]
fn lockstep_bench_committed_turn(
    subscriber: &mut SubscriberEngine<Desk>,
    now: Nanos,
    delivered: &mut u64,
) -> usize {
    black_box("committed");
    subscriber.poll(now, usize::MAX, |event| count_message(&event, delivered))
}

/// One message into the open datagram.
#[inline(never)]
fn lockstep_bench_publisher_publish(publisher: &mut PublisherEngine<Desk>, id: PublisherId) -> bool {
    publisher.core.try_publish(id, 0, &PAYLOAD).is_ok()
}

/// The open datagram to the device.
#[inline(never)]
fn lockstep_bench_publisher_flush(publisher: &mut PublisherEngine<Desk>, now: Nanos, wall: Wall) -> usize {
    publisher.flush(now, wall)
}

/// From a received frame, or ack, to the fates of the messages in it.
#[inline(never)]
fn lockstep_bench_publisher_turn(
    publisher: &mut PublisherEngine<Desk>,
    now: Nanos,
    wall: Wall,
    outcomes: &mut u64,
) -> usize {
    publisher.poll(now, wall, usize::MAX, |event| {
        if let PublisherEvent::Committed { .. } = event {
            *outcomes += 1;
        }
    })
}

#[inline]
fn count_message(event: &SubscriberEvent<'_>, delivered: &mut u64) -> ControlFlow<()> {
    if let SubscriberEvent::Message(message) = event {
        *delivered += 1;
        black_box(message.payload);
    }
    ControlFlow::Continue(())
}
