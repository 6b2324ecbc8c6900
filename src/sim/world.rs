//! One run: processes, the network between them, the workload, and the two phases.

use super::check::{Oracle, Violation};
use super::net::{Route, SimNet, To, Weather, Wire};
use super::plan::{Failure, Outcome, Plan};
use super::rng::Rng;
use crate::engine::bootstrap::bootstrap;
use crate::engine::ports::{Group, Ports};
use crate::engine::publisher::{PublishError, Publisher, PublisherEvent, PublisherLimits};
use crate::engine::receiver::{ReceiverLimits, Start};
use crate::engine::replica::{Recovered, Replica, ReplicaLimits};
use crate::engine::subscriber::{Delivery, Flow, Subscriber, SubscriberEvent, SubscriberLimits};
use crate::journal::memory::{MemoryStore, MemoryTail};
use crate::journal::ports::{TailSource, Word};
use crate::journal::{Completeness, SEGMENT_LEN_MIN, SegmentWriter, Settings, copy_behind, format, open};
use crate::proto::beat::BeatLimits;
use crate::proto::commit::Durability;
use crate::proto::election::ElectionLimits;
use crate::proto::nack::NackLimits;
use crate::proto::suspect::SuspectLimits;
use crate::wire::{Identity, MemberBody, Nanos, PublisherId, Seq, frame_len_max};
use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddrV4};

/// The world of a simulated replica.
#[derive(Clone, Debug)]
pub struct SimPorts;

impl Ports for SimPorts {
    type Net = SimNet;
    type Memory = MemoryTail;
}

const CLUSTER: u64 = 7;
const HISTORY: u64 = 0xb1;
const MTU: usize = 1500;

enum Process {
    Replica(Box<Replica<SimPorts>>),
    Publisher(Box<Publisher<SimNet>>, Work),
    Subscriber(Box<Subscriber<SimNet>>, Reading),
}

/// What a publisher has still to do.
struct Work {
    left: u64,
    id: Option<PublisherId>,
    committed: u64,
    /// The exclusive bound of what it was told to be final.
    told_next: Seq,
}

/// What a subscriber was told.
struct Reading {
    delivery: Delivery,
    /// Where it began; `None` before a live one has begun.
    from: Option<Seq>,
}

struct World {
    plan: Plan,
    rng: Rng,
    now: Nanos,
    wire: Wire,
    processes: Vec<Process>,
    disks: Vec<Disk>,
    oracle: Oracle,
    restarts: u64,
    reboots: u64,
    trace: Option<String>,
    trace_digest: u64,
}

fn address(process: usize) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, process as u8 + 1), 7_000)
}

fn identity(process: usize) -> Identity {
    Identity { replica: process as u32 + 1, incarnation: 0x100 + process as u32 }
}

fn members(plan: &Plan) -> Vec<MemberBody> {
    (0..plan.replicas).map(|process| MemberBody::full(identity(process), address(process))).collect()
}

fn receiver(plan: &Plan, process: usize, me: Identity) -> ReceiverLimits {
    ReceiverLimits {
        cluster: CLUSTER,
        history: 0,
        me,
        repairers: (0..plan.replicas).filter(|other| *other != process).map(address).collect(),
        repairer_first: process as u32,
        nack: NackLimits::default(),
        store_bytes: 64 << 10,
        frame_len_max: frame_len_max(MTU),
        count_when_accepted: false,
    }
}

fn replica_limits(plan: &Plan, process: usize, process_nonce: u64) -> ReplicaLimits {
    ReplicaLimits {
        receiver: receiver(plan, process, identity(process)),
        beat: BeatLimits { first_ns: 50_000, beat_ns: 500_000 },
        window: plan.window,
        durability: plan.durability,
        publishers_max: 16,
        hold_back: 32,
        ack_again_ns: 1_000_000,
        process_nonce,
        repairs_per_request: 16,
        suspect: SuspectLimits { beat_ns: 500_000, timeout_ns: 2_000_000, timeout_ns_max: 16_000_000 },
        election: ElectionLimits {
            stagger_ns: 500_000,
            again_ns: 250_000,
            timeout_ns: 2_000_000,
            backoff_ns_max: 32_000_000,
        },
        heard_bytes: 16 << 10,
        secret_seed: [process as u8 + 1; 32],
    }
}

/// What of a replica outlives its process: its disk, and what writes it.
struct Disk {
    store: MemoryStore,
    writer: SegmentWriter,
    /// The machine's boot: a new one means that the tail is gone.
    boot: u64,
}

fn journal_settings(plan: &Plan, process: usize, boot: u64) -> Settings {
    Settings {
        cluster: CLUSTER,
        replica: identity(process).replica,
        boot: [boot, boot],
        power: plan.durability == Durability::Power,
        frame_len_max: frame_len_max(MTU),
        segment_len: SEGMENT_LEN_MIN,
    }
}

/// Opens the journal in `store` with `memory` and starts a replica on it.
fn start_replica(
    plan: &Plan,
    process: usize,
    mut store: MemoryStore,
    memory: MemoryTail,
    boot: u64,
    process_nonce: u64,
) -> Result<(Replica<SimPorts>, Disk), Violation> {
    let opened = open(&mut store, memory, journal_settings(plan, process, boot))
        .map_err(|error| format!("S7: the journal of replica {process} does not open: {error}"))?;
    if opened.completeness != Completeness::Complete {
        return Err(format!("S9: replica {process} is not complete: {:?}", opened.completeness));
    }
    let recovered = Recovered::of_journal(&opened, &store, 16).map_err(|error| error.to_string())?;
    let limits = replica_limits(plan, process, process_nonce);
    let replica = Replica::new(SimNet::default(), opened.tail, recovered, limits)?;
    Ok((replica, Disk { store, writer: opened.writer, boot }))
}

/// Runs one plan to its end. `verbose` keeps the whole trace.
pub fn run(plan: &Plan, verbose: bool) -> Result<Outcome, Failure> {
    let mut world =
        World::new(plan, verbose).map_err(|violation| Failure { seed: plan.seed, step: 0, violation })?;
    let mut step = 0;
    let fail = |step, violation| Failure { seed: plan.seed, step, violation };
    // First nothing bad …
    let stormy = 300 * plan.messages;
    while step < stormy {
        world.step(true).map_err(|violation| fail(step, violation))?;
        step += 1;
    }
    // … then something good.
    while !world.is_done() {
        if step >= plan.steps_max {
            return Err(fail(step, world.describe_stuck()));
        }
        world.step(false).map_err(|violation| fail(step, violation))?;
        step += 1;
    }
    Ok(Outcome {
        steps: step,
        generated: world.wire.generated,
        restarts: world.restarts,
        reboots: world.reboots,
        messages: world.oracle.placed() as u64,
        trace_digest: world.trace_digest,
        trace: world.trace.unwrap_or_default(),
    })
}

impl World {
    fn new(plan: &Plan, verbose: bool) -> Result<Self, Violation> {
        let mut rng = Rng::new(plan.seed);
        let mut processes = Vec::new();
        let mut disks = Vec::new();
        for process in 0..plan.replicas {
            let mut store = MemoryStore::default();
            format(&mut store, CLUSTER, identity(process), [1, 1]).map_err(|error| error.to_string())?;
            let mut memory = MemoryTail::new(plan.ring_bytes);
            if process == 0 {
                let mut opened = open(&mut store, memory, journal_settings(plan, process, 1))
                    .map_err(|error| error.to_string())?;
                bootstrap(&mut opened.tail, HISTORY, &members(plan), 1_000)?;
                memory = opened.tail.into_memory();
            }
            let (replica, disk) = start_replica(plan, process, store, memory, 1, rng.next_u64())?;
            processes.push(Process::Replica(Box::new(replica)));
            disks.push(disk);
        }
        for index in 0..plan.publishers {
            let process = processes.len();
            let me = Identity { replica: 1_000 + index as u32, incarnation: rng.next_u64() as u32 };
            let mut publisher = Publisher::new(
                SimNet::default(),
                PublisherLimits {
                    receiver: receiver(plan, process, me),
                    window_entries: 16,
                    window_datagrams: 8,
                    resend_ns_min: 300_000,
                    resend_ns_max: 5_000_000,
                    ask_again_ns: 1_000_000,
                    names_max: 4,
                },
            );
            publisher.core.open(&format!("gateway-{index}"), [rng.next_u64(), rng.next_u64()]);
            processes.push(Process::Publisher(
                Box::new(publisher),
                Work { left: plan.messages, id: None, committed: 0, told_next: 0 },
            ));
        }
        for index in 0..plan.subscribers {
            let process = processes.len();
            let me = Identity { replica: 2_000 + index as u32, incarnation: rng.next_u64() as u32 };
            let delivery = if index % 2 == 0 { Delivery::Committed } else { Delivery::Stamped };
            let start = match rng.below(4) {
                0 => Start::Live,
                1 => Start::From(1 + rng.below(plan.messages)),
                _ => Start::From(1),
            };
            let from = match start {
                Start::From(seq) => Some(seq),
                _ => None,
            };
            let limits = SubscriberLimits {
                receiver: receiver(plan, process, me),
                delivery,
                start,
                lag_report_ns: 1_000_000,
            };
            let subscriber = Subscriber::new(SimNet::default(), limits);
            processes.push(Process::Subscriber(Box::new(subscriber), Reading { delivery, from }));
        }
        let quorum = plan.replicas / 2 + 1;
        Ok(Self {
            oracle: Oracle::new(CLUSTER, processes.len(), quorum),
            plan: plan.clone(),
            rng,
            now: 1_000_000,
            wire: Wire::default(),
            processes,
            disks,
            restarts: 0,
            reboots: 0,
            trace: verbose.then(String::new),
            trace_digest: 0,
        })
    }

    /// One turn of one process, and everything that must hold after it.
    fn step(&mut self, stormy: bool) -> Result<(), Violation> {
        let weather = if stormy {
            self.plan.weather
        } else {
            Weather { delay_ns: self.plan.weather.delay_ns, ..Weather::default() }
        };
        self.now += 1 + self.rng.below(8_000);
        while let Some(copy) = self.wire.arrive(self.now) {
            let from = address(copy.route.from);
            let net = self.net_mut(copy.route.to);
            if copy.route.group {
                net.groups.push_back(copy.bytes);
            } else {
                net.unicast.push_back((copy.bytes, Some(from)));
            }
        }
        let who = self.rng.below(self.processes.len() as u64) as usize;
        if stormy && who > 0 && self.rng.chance(self.plan.restarts) {
            self.restart(who)?;
        }
        self.turn(who)?;
        self.send(who, &weather)?;
        self.check(who)
    }

    fn net_mut(&mut self, process: usize) -> &mut SimNet {
        match &mut self.processes[process] {
            Process::Replica(replica) => replica.net_mut(),
            Process::Publisher(publisher, _) => publisher.net_mut(),
            Process::Subscriber(subscriber, _) => subscriber.net_mut(),
        }
    }

    /// A replica's process dies, or its whole machine where `power` is promised. The process leaves its
    /// tail behind, the machine only its disk.
    fn restart(&mut self, who: usize) -> Result<(), Violation> {
        let reboots = self.plan.durability == Durability::Power && self.rng.below(2) == 0;
        let nonce = self.rng.next_u64();
        let Process::Replica(replica) = &mut self.processes[who] else { return Ok(()) };
        let (before, durable_next) = (replica.tail().end(), replica.tail().durable_next());
        let store = self.disks[who].store.clone();
        let (memory, boot) = if reboots {
            (MemoryTail::new(self.plan.ring_bytes), self.disks[who].boot + 1)
        } else {
            (replica.tail().clone().into_memory(), self.disks[who].boot)
        };
        let (started, disk) = start_replica(&self.plan, who, store, memory, boot, nonce)?;
        let end = started.tail().end();
        if !reboots && end != before {
            return Err(format!("S7: replica {who} came back with {end:?} for {before:?}"));
        }
        if end.next < durable_next {
            return Err(format!(
                "S7: replica {who} lost what it had on disk: {} for {durable_next}",
                end.next
            ));
        }
        **replica = started;
        self.disks[who] = disk;
        self.oracle.on_restarted(who, end.next);
        self.restarts += 1;
        self.reboots += u64::from(reboots);
        self.note(|now, out| writeln!(out, "{now} process {who} restarted, reboot {reboots}"));
        Ok(())
    }

    fn turn(&mut self, who: usize) -> Result<(), Violation> {
        let (now, wall) = (self.now, self.now + 1_700_000_000_000_000_000);
        let draws = [self.rng.next_u64(), self.rng.next_u64()];
        let oracle = &mut self.oracle;
        match &mut self.processes[who] {
            Process::Replica(replica) => {
                if draws[0].is_multiple_of(4) {
                    let Disk { store, writer, .. } = &mut self.disks[who];
                    let power = self.plan.durability == Durability::Power;
                    copy_behind(replica.tail_mut().memory_mut(), writer, store, power)
                        .map_err(|error| format!("S7: replica {who} cannot write its segments: {error}"))?;
                    // The side thread stores a promise in the superblock before it says so.
                    let memory = replica.tail_mut().memory_mut();
                    memory.set_word(Word::PromisedStored, memory.word(Word::Promised));
                }
                replica.net_mut().sends = 0;
                replica.poll(now, wall);
                if replica.core.is_stopped() {
                    return Err(format!("replica {who} stopped: {:?}", replica.core.events.pop()));
                }
                while replica.core.events.pop().is_some() {}
                if replica.net().sends > 1 && self.plan.durability == Durability::Process {
                    return Err(format!(
                        "hot path: replica {who} made {} send calls in a turn",
                        replica.net().sends
                    ));
                }
            }
            Process::Publisher(publisher, work) => {
                publish(publisher, work, oracle, draws)?;
                let mut failure = None;
                publisher.poll(now, wall, 1 + (draws[0] % 9) as usize, |event| {
                    if let Err(violation) = on_publisher_event(event, work, oracle) {
                        failure.get_or_insert(violation);
                    }
                });
                failure.map_or(Ok(()), Err)?;
            }
            Process::Subscriber(subscriber, reading) => {
                let commit_before = reading.delivery == Delivery::Committed;
                let mut failure = None;
                let limit = 1 + (draws[0] % 8) as usize;
                let mut stop = draws[1] % 16;
                let mut delivered = Vec::new();
                subscriber.poll(now, limit, |event| {
                    match event {
                        SubscriberEvent::Message(message) => {
                            let from = *reading.from.get_or_insert(message.seq);
                            let checked = oracle.check_delivered(who, &message, from, None);
                            delivered.push(message.seq);
                            if let Err(violation) = checked {
                                failure.get_or_insert(violation);
                            }
                        }
                        SubscriberEvent::Abandoned { from, oldest } => {
                            // A small ring forgets: said, and the subscription is over.
                            delivered.clear();
                            reading.from = Some(Seq::MAX);
                            let _ = (from, oldest);
                        }
                        SubscriberEvent::Diverged { seq } => {
                            failure.get_or_insert(format!("subscriber {who} diverged at {seq}"));
                        }
                        _ => {}
                    }
                    stop = stop.wrapping_sub(1);
                    if stop == 0 { Flow::Stop } else { Flow::Continue }
                });
                if let Some(last) = delivered.last().filter(|_| commit_before)
                    && *last >= subscriber.core.commit_next()
                {
                    return Err(format!(
                        "agreement: subscriber {who} delivered {last} before it was committed"
                    ));
                }
                failure.map_or(Ok(()), Err)?;
            }
        }
        Ok(())
    }

    /// What the process sent goes to the network; the oracle reads it first.
    fn send(&mut self, who: usize, weather: &Weather) -> Result<(), Violation> {
        let sent = std::mem::take(&mut self.net_mut(who).sent);
        for (to, bytes) in &sent {
            let (tail, commit_next) = match &self.processes[who] {
                Process::Replica(replica) => (Some(replica.tail()), replica.core.commit_next()),
                _ => (None, 0),
            };
            if let Some(tail) = tail {
                self.oracle.check_log(who, tail)?;
            }
            self.oracle.check_sent(who, bytes, tail, commit_next)?;
            self.trace_digest = super::check::digest(bytes) ^ self.trace_digest.rotate_left(7) ^ self.now;
            self.note(|now, out| {
                writeln!(out, "{now} process {who} sends {to:?} {:?}", crate::wire::Header::peek(bytes))
            });
            for other in 0..self.processes.len() {
                let heard = match to {
                    To::Unicast(to) => *to == address(other),
                    To::Group(group) => other != who && self.joins(other, *group),
                };
                if heard {
                    let group = matches!(to, To::Group(_));
                    let route = Route { from: who, to: other, group };
                    self.wire.send(&mut self.rng, weather, self.now, route, bytes);
                }
            }
        }
        Ok(())
    }

    fn joins(&self, process: usize, group: Group) -> bool {
        matches!(self.processes[process], Process::Replica(_)) || group != Group::Submit
    }

    fn check(&mut self, who: usize) -> Result<(), Violation> {
        let holders: Vec<Seq> = self
            .processes
            .iter()
            .filter_map(|process| match process {
                Process::Replica(replica) => Some(match self.plan.durability {
                    Durability::Process => replica.tail().end().next,
                    Durability::Power => replica.tail().durable_next(),
                }),
                _ => None,
            })
            .collect();
        let commit_next = match &self.processes[who] {
            Process::Replica(replica) => {
                self.oracle.check_log(who, replica.tail())?;
                let (commit_next, next) = (replica.core.commit_next(), replica.tail().end().next);
                if commit_next > next {
                    return Err(format!(
                        "S4: replica {who} calls {commit_next} committed, its own log ends at {next}"
                    ));
                }
                commit_next
            }
            Process::Subscriber(subscriber, reading) => match reading.from {
                Some(_) => subscriber.core.commit_next(),
                None => return Ok(()),
            },
            Process::Publisher(_, work) => work.told_next,
        };
        self.oracle.check_commit(who, commit_next, &holders)
    }

    fn is_done(&self) -> bool {
        let worked = self.processes.iter().enumerate().all(|(who, process)| match process {
            Process::Publisher(publisher, work) => {
                work.left == 0 && publisher.core.is_drained() && work.committed == self.plan.messages
            }
            Process::Subscriber(subscriber, reading) => {
                subscriber.core.is_ended()
                    || reading.from.is_none()
                        && subscriber.core.deliver_next() >= subscriber.core.stamped_next()
                    || self.oracle.has_delivered_all(who)
            }
            Process::Replica(_) => true,
        });
        worked && self.oracle.placed() == self.oracle.published()
    }

    fn describe_stuck(&self) -> Violation {
        let mut out = String::from("liveness: the faults are over and this is not done:");
        for (who, process) in self.processes.iter().enumerate() {
            let _ = match process {
                Process::Replica(replica) => write!(
                    out,
                    "\n  replica {who}: {} log {:?} commit {}",
                    replica.role().name(),
                    replica.tail().end(),
                    replica.core.commit_next()
                ),
                Process::Publisher(publisher, work) => write!(
                    out,
                    "\n  publisher {who}: {} left, {} committed, drained {}",
                    work.left,
                    work.committed,
                    publisher.core.is_drained()
                ),
                Process::Subscriber(subscriber, reading) => write!(
                    out,
                    "\n  subscriber {who}: {:?} next {} commit {} seen {}",
                    reading.delivery,
                    subscriber.core.deliver_next(),
                    subscriber.core.commit_next(),
                    subscriber.core.stamped_next()
                ),
            };
        }
        out
    }

    fn note(&mut self, line: impl FnOnce(Nanos, &mut String) -> std::fmt::Result) {
        if let Some(trace) = &mut self.trace {
            // Writing into a string cannot fail.
            let _ = line(self.now, trace);
        }
    }
}

/// A publisher hands in some of what it has left, with lengths and places drawn from `draws`.
fn publish(
    publisher: &mut Publisher<SimNet>,
    work: &mut Work,
    oracle: &mut Oracle,
    draws: [u64; 2],
) -> Result<(), Violation> {
    let Some(id) = work.id else { return Ok(()) };
    for index in 0..draws[0] % 4 {
        if work.left == 0 {
            return Ok(());
        }
        let length = [0, 1, 64, 200, 1_200][((draws[1] >> (8 * index)) % 5) as usize];
        let fill = (work.left as u8).wrapping_mul(31).wrapping_add(id as u8);
        let payload = vec![fill; length];
        match publisher.core.try_publish(id, 0, &payload) {
            Ok(publisher_seq) => {
                oracle.on_published(id, publisher_seq, &payload);
                work.left -= 1;
            }
            Err(PublishError::Backpressure) => return Ok(()),
            Err(error) => return Err(format!("validity: publisher {id} is refused: {error}")),
        }
    }
    Ok(())
}

fn on_publisher_event(event: PublisherEvent, work: &mut Work, oracle: &Oracle) -> Result<(), Violation> {
    match event {
        PublisherEvent::Opened { publisher, .. } => work.id = Some(publisher),
        PublisherEvent::Committed { publisher, publisher_seq, seq } => {
            work.committed += 1;
            work.told_next = work.told_next.max(seq + 1);
            if oracle.place(publisher, publisher_seq) != Some(seq) || work.committed != publisher_seq {
                return Err(format!(
                    "integrity: publisher {publisher} is told that {publisher_seq} stands at {seq}"
                ));
            }
        }
        PublisherEvent::Fenced { publisher, .. } | PublisherEvent::Closed { publisher, .. } => {
            return Err(format!("validity: publisher {publisher} has lost its name"));
        }
        PublisherEvent::Lost => {
            return Err(String::from("validity: a publisher fell behind what replicas remember"));
        }
        _ => {}
    }
    Ok(())
}
