//! The processes at the beginning of a run.

use super::check::log_tree::Tree;
use super::check::{Oracle, Violation};
use super::coverage::Event;
use super::device::SimDevice;
use super::keys::{self, HostKeys};
use super::kinds::Configured;
use super::machine::{MTU, Machine, MachineState, Started};
use super::net::SimNet;
use super::operator::SimOperator;
use super::plan::{Fault, Plan};
use super::reader::{SimReplaySource, replay_limits};
use super::rng::Rng;
use super::sleeper::SleepOutcome;
use super::story::{Happening, Story};
use super::wire::SimNetwork;
use super::context::{BEGIN_NS, RunContext, RunPhase};
use super::world::{Actor, ReaderSlot, SimNode, World, WorldWork};
use super::year::{Diary, hand_in_every_ns};
use crate::edge::MachineUnderTest;
use lockstep_core::engine::leader_contact::leaderless_ns_max;
use lockstep_core::engine::participant::ParticipantEngine;
use lockstep_core::engine::parts::PartsLimits;
use lockstep_core::engine::publisher::{PublisherCore, PublisherEngine, PublisherLimits};
use lockstep_core::engine::receiver::{ReceiverLimits, Start};
use lockstep_core::engine::subscriber::{Delivery, SubscriberEngine, SubscriberLimits};
use lockstep_core::proto::election::ElectionLimits;
use lockstep_core::proto::failure_detector::FailureDetectorLimits;
use lockstep_core::proto::presence::probe_period_ns;
pub(super) use lockstep_memory::place::address;
use lockstep_memory::place::identity;
pub(super) use lockstep_memory::world::HISTORY;
use lockstep_memory::world::repairers;
use lockstep_replica::bootstrap::bootstrap_version;
use lockstep_replica::replica::ReplicaLimits;
use lockstep_wire::{Identity, Keys, Nanos, Seq, frame_len_max};
use std::rc::Rc;

/// Longer than any message of a publisher.
const MESSAGE_LEN_MAX: usize = 8 << 10;

fn receiver(plan: &Plan, node: usize, me: Identity, keys: &Keys) -> ReceiverLimits {
    ReceiverLimits {
        keys: keys.clone(),
        me,
        repairers: repairers(plan.replicas as u32, node as u32 + 1),
        store_bytes: 64 << 10,
        frame_len_max: frame_len_max(MTU),
        ..ReceiverLimits::default()
    }
}

pub(super) fn replica_limits(
    plan: &Plan,
    node: usize,
    (configured, me, keys): (&Configured, Identity, &Keys),
    started_at: Nanos,
    rng: &mut Rng,
) -> ReplicaLimits {
    let Configured { timeout_ns, heartbeat, .. } = *configured;
    ReplicaLimits {
        receiver: receiver(plan, node, me, keys),
        heartbeat,
        window: configured.window,
        durability: configured.durability,
        publishers_max: configured.publishers_max,
        hold_back: configured.hold_back,
        ack_again_ns: plan.patient(1_000_000),
        process_nonce: rng.next_u64(),
        started_at,
        identity_probe_ns: if plan.looks { probe_period_ns(timeout_ns) } else { 0 },
        repairs_per_request: 16,
        failure_detector: FailureDetectorLimits {
            heartbeat_interval_ns: heartbeat.interval_ns,
            timeout_ns,
            timeout_ns_max: configured.timeout_ns_max,
        },
        election: ElectionLimits {
            stagger_ns: timeout_ns / 4,
            again_ns: timeout_ns / 8,
            timeout_ns,
            backoff_ns_max: 16 * timeout_ns,
        },
        pending_submission_bytes: 16 << 10,
        secret_seed: secret(rng),
        ..ReplicaLimits::default()
    }
}

/// The secret of one process. Two processes have the same one as good as never: a proof that one of them
/// demanded would be good at the other.
fn secret(rng: &mut Rng) -> [u8; 32] {
    let drawn = rng.next_u64().to_le_bytes();
    std::array::from_fn(|at| drawn[at % drawn.len()])
}

fn publisher_limits(plan: &Plan, node: usize, keys: &Keys, rng: &mut Rng) -> PublisherLimits {
    let me = Identity { replica: 1_000 + node as u32, incarnation: rng.next_u64() as u32 };
    PublisherLimits {
        receiver: receiver(plan, node, me, keys),
        window_entries: 16,
        window_datagrams: 8,
        flight_datagrams: 4,
        resend_ns_min: plan.patient(300_000),
        resend_ns_max: plan.patient(5_000_000),
        query_retry_ns: plan.patient(1_000_000),
        heartbeat_interval_ns: plan.heartbeat_interval_ns(),
        names_max: 64,
        message_len_max: MESSAGE_LEN_MAX,
        parts_bounds: plan.parts_bounds,
        ..PublisherLimits::default()
    }
}

/// A publisher's handle without a name, which seals with `keys`.
pub(super) fn plain_publisher(
    plan: &Plan,
    node: usize,
    keys: &Keys,
    rng: &mut Rng,
) -> Box<PublisherEngine<SimNet>> {
    let limits = publisher_limits(plan, node, keys, rng);
    Box::new(PublisherEngine::new(SimNet::of_client().sparing(), limits))
}

/// A process opens the name of `work`.
fn open(core: &mut PublisherCore, work: &mut WorldWork, rng: &mut Rng) {
    work.nonce = [rng.next_u64(), rng.next_u64()];
    core.open(&work.name, work.nonce);
}

/// A publisher's process that opens the name of `work`.
pub(super) fn publisher(
    plan: &Plan,
    node: usize,
    work: &mut WorldWork,
    keys: &Keys,
    rng: &mut Rng,
) -> Box<PublisherEngine<SimNet>> {
    let mut publisher = plain_publisher(plan, node, keys, rng);
    open(&mut publisher.core, work, rng);
    publisher
}

fn subscriber_limits(
    plan: &Plan,
    node: usize,
    (delivery, start): (Delivery, Start),
    keys: &Keys,
    rng: &mut Rng,
) -> SubscriberLimits {
    let me = Identity { replica: 2_000 + node as u32, incarnation: rng.next_u64() as u32 };
    SubscriberLimits {
        receiver: receiver(plan, node, me, keys),
        delivery,
        start,
        parts: PartsLimits { bounds: plan.parts_bounds, ..PartsLimits::default() },
        lag_report_ns: 1_000_000,
        heartbeat_interval_ns: plan.heartbeat_interval_ns(),
        leaderless_ns_max: leaderless_ns_max(plan.heartbeat_interval_ns(), 0),
    }
}

/// A subscriber's process that begins at `start`, and reads journals if it `replays`.
pub(super) fn subscriber(
    plan: &Plan,
    (node, keys): (usize, &Keys),
    delivery: Delivery,
    start: Start,
    replays: bool,
    rng: &mut Rng,
) -> Box<SubscriberEngine<SimNet>> {
    let limits = subscriber_limits(plan, node, (delivery, start), keys, rng);
    let replay = replay_limits(plan.replicas, &limits.receiver);
    let mut subscriber = SubscriberEngine::new(SimNet::of_client().sparing(), limits);
    if replays {
        subscriber.core.set_replay(replay);
    }
    Box::new(subscriber)
}

/// A participant's process: a publisher that opens the name of `work`, and a subscriber that begins at
/// `start`.
fn participant(
    plan: &Plan,
    node: usize,
    work: &mut WorldWork,
    (delivery, start): (Delivery, Start),
    keys: &Keys,
    rng: &mut Rng,
) -> Box<ParticipantEngine<SimNet>> {
    let publishes = publisher_limits(plan, node, keys, rng);
    let reads = subscriber_limits(plan, node, (delivery, start), keys, rng);
    let replay = replay_limits(plan.replicas, &reads.receiver);
    let mut participant = ParticipantEngine::new(SimNet::of_client().sparing(), publishes, reads);
    if plan.replays {
        participant.subscriber.set_replay(replay);
    }
    open(&mut participant.publisher, work, rng);
    Box::new(participant)
}

/// The seq that a start names.
pub(super) fn named(start: Start) -> Option<Seq> {
    match start {
        Start::From(seq) => Some(seq),
        Start::Cursor(cursor) => Some(cursor.seq),
        _ => None,
    }
}

impl World {
    /// The world at the beginning, with all its nodes.
    pub(super) fn new(
        plan: &Plan,
        tells: bool,
        machine: Rc<dyn MachineUnderTest>,
    ) -> Result<Self, Violation> {
        let mut rng = Rng::new(plan.seed);
        let network = SimNetwork::new(rng.fork());
        let mut world = Self {
            clients_rng: rng.fork(),
            ctx: RunContext {
                plan: plan.clone(),
                rng,
                now: BEGIN_NS,
                network,
                oracle: Oracle::default(),
                phase: RunPhase::Storm,
                story: tells.then(Story::default),
                slept_ns: 0,
                dawn: 0,
            },
            nodes: Vec::new(),
            next_fault: 0,
            next_moment: 0,
            fences: 0,
            lost: 0,
            joiners: 0,
            operator: SimOperator::default(),
            old_notices: Vec::new(),
            events: Vec::new(),
            runs: 0,
            steps: 0,
            trace_digest: 0,
            edges: None,
            diary: Diary::default(),
        };
        world.ctx.oracle.tree = Tree::of_run(plan.edges.is_some(), plan.parts_bounds);
        world.count_clocks();
        let members: Vec<_> =
            (0..plan.founders).map(|node| plan.member(node, identity(node), address(node))).collect();
        for node in 0..plan.replicas {
            let mut machine = Machine::new(plan, plan.configured[node], identity(node))?;
            if node == 0 {
                let history = (HISTORY, plan.version);
                machine.bear(|tail| bootstrap_version(tail, keys::replica(), history, &members))?;
            }
            world.node(Actor::Replica(Box::new(machine)), format!("replica {}", node + 1));
            world.start_replica(node)?;
        }
        for index in 0..plan.publishers {
            let work = WorldWork::new(format!("gateway-{index}"), plan.messages, hand_in_every_ns(plan));
            if index < plan.participants {
                let reading = world.draw_reading(index);
                world.node(Actor::Participant(None, work, reading), format!("participant {index}"));
            } else {
                world.node(Actor::Publisher(None, work), format!("publisher {index}"));
            }
            world.start_client(plan.replicas + index);
        }
        for index in 0..plan.subscribers {
            let node = world.nodes.len();
            let reading = world.draw_reading(index);
            let word = if reading.delivery == Delivery::Committed { "committed" } else { "stamped" };
            world.node(Actor::Subscriber(None, reading), format!("{word} {index}"));
            world.start_client(node);
        }
        world.place_edges(machine);
        for fault in &plan.faults {
            if let Fault::Fence(owner) = fault.what {
                let name = format!("gateway-{}", owner - plan.replicas);
                let work = WorldWork {
                    restart_at: Nanos::MAX,
                    ..WorldWork::new(name, plan.messages / 2 + 1, 100_000)
                };
                world.node(Actor::Publisher(None, work), format!("rival of {}", owner - plan.replicas));
            }
        }
        world.place_second();
        Ok(world)
    }

    /// The work of the subscriber at `index` among those of its kind.
    fn draw_reading(&mut self, index: usize) -> ReaderSlot {
        let delivery = if index.is_multiple_of(2) { Delivery::Committed } else { Delivery::Stamped };
        let start = match self.clients_rng.below(4) {
            0 => Start::Live,
            1 => Start::From(1 + self.clients_rng.below(self.ctx.plan.messages)),
            _ => Start::From(1),
        };
        ReaderSlot::new(delivery, start)
    }

    /// Counts the kinds of clocks in the plan.
    fn count_clocks(&mut self) {
        let coverage = &mut self.ctx.oracle.coverage;
        let uneven = self.ctx.plan.clocks.iter().filter(|clock| !clock.is_exact());
        coverage.count_all(uneven.map(|_| Event::ClocksUneven));
        let broken = self.ctx.plan.clocks.iter().filter(|clock| clock.is_broken());
        coverage.count_all(broken.map(|_| Event::ClocksBroken));
    }

    pub(super) fn node(&mut self, actor: Actor, name: String) {
        if let Some(story) = &mut self.ctx.story {
            story.lanes.push(name);
        }
        self.nodes.push(SimNode {
            actor,
            keys: HostKeys::of(&self.ctx.plan),
            paused_until: 0,
            device: SimDevice::default(),
            wake_at: self.ctx.now,
            idle_ns: 0,
            vain_turns: 0,
            led: None,
            draining: None,
            notice: Vec::new(),
            dies_installing: None,
        });
    }

    /// A replica's process starts on the files and memory of its machine.
    pub(super) fn start_replica(&mut self, node: usize) -> Result<(), Violation> {
        let Some((machine, keys)) = self.nodes[node].machine() else { return Ok(()) };
        if machine.is_unknowable() {
            machine.forget();
            self.ctx.oracle.on_forgotten(machine.identity);
            self.ctx.tell(node, || {
                Happening::Note("is not started: rolled back, and its ring is gone".to_string())
            });
            return Ok(());
        }
        self.ctx.oracle.coverage.count_all(machine.reconfigure());
        let memory_survived =
            matches!(machine.state, MachineState::Down(Some(_), _)) && !machine.has_rebooted();
        let damaged = machine.is_damaged();
        let (configured, identity) = (machine.configured, machine.identity);
        let wall = machine.wall(self.ctx.now);
        let process = (&configured, identity, &keys.replica);
        let limits = replica_limits(&self.ctx.plan, node, process, wall, &mut self.ctx.rng);
        let started = machine.start(&self.ctx.plan, node, limits)?;
        self.runs += 1;
        let what = match &started {
            Started::Ran => return Ok(()),
            Started::Runs(tables) => {
                if std::mem::take(&mut machine.rolled_back) {
                    self.ctx.oracle.coverage.count(Event::RolledBackWhole);
                }
                let shortened = machine
                    .replica()
                    .is_some_and(|replica| self.ctx.oracle.is_shortened(node, replica.tail(), memory_survived));
                let judged = machine.replica().map_or(Ok(()), |replica| {
                    let found = (configured.durability, replica.tail());
                    self.ctx.oracle.on_replica_started(node, identity, self.runs, found, memory_survived)
                });
                match judged {
                    // The damage is undetected: this replica would report less than it has acknowledged.
                    Err(why) if damaged && shortened => {
                        machine.forget();
                        self.ctx.oracle.on_forgotten(machine.identity);
                        self.ctx.oracle.coverage.count(Event::DamageUnseen);
                        format!("does not see its damage: {why}")
                    }
                    judged => {
                        judged?;
                        self.ctx.oracle.on_tables_recovered(node, tables)?;
                        if let Some(replica) = machine.replica().filter(|_| !damaged) {
                            replica.invariants();
                            self.ctx.oracle.check_tables(node, replica)?;
                        }
                        "starts".to_string()
                    }
                }
            }
            Started::Died => {
                self.on_died(node);
                return Ok(());
            }
            Started::Failed(why) => {
                let why = why.clone();
                self.on_device_failed(node, why);
                return Ok(());
            }
            Started::Silent(why) => {
                if machine.is_tail_elsewhere {
                    self.ctx.oracle.coverage.count(Event::OtherTailsRefused);
                }
                self.ctx.oracle.on_forgotten(machine.identity);
                self.ctx.oracle.coverage.count(Event::Forgetful);
                format!("stays silent: {why}")
            }
            Started::Damaged(why) => {
                self.ctx.oracle.on_forgotten(machine.identity);
                self.ctx.oracle.coverage.count(Event::DamageFound);
                format!("does not start: {why}")
            }
        };
        let (identity, is_lost) = (machine.identity, machine.is_lost());
        if is_lost {
            self.lost |= 1 << node;
            // A lost member was not of the healed quorum; the loss of a learner was unknown until now.
            if !self.members_in_force().contains(&identity) {
                self.await_no_more(node);
            }
        }
        self.nodes[node].wake_at = self.ctx.now;
        self.ctx.tell(node, || Happening::Note(what));
        Ok(())
    }

    /// A publisher's or subscriber's process starts.
    pub(super) fn start_client(&mut self, node: usize) {
        let rng = &mut self.clients_rng;
        let SimNode { actor, keys, .. } = &mut self.nodes[node];
        match actor {
            Actor::Publisher(process, work) => {
                work.begin();
                *process = Some(publisher(&self.ctx.plan, node, work, &keys.publisher, rng));
                self.ctx.oracle.on_publisher_started(node);
            }
            Actor::Subscriber(process, reading) => {
                reading.restart_at = 0;
                let (delivery, start) = (reading.delivery, reading.start);
                let place = (node, &keys.reader);
                *process = Some(subscriber(&self.ctx.plan, place, delivery, start, self.ctx.plan.replays, rng));
            }
            Actor::Participant(process, work, reading) => {
                work.begin();
                let (reads, keys) = ((reading.delivery, reading.start), &keys.publisher);
                *process = Some(participant(&self.ctx.plan, node, work, reads, keys, rng));
                self.ctx.oracle.on_publisher_started(node);
                self.ctx.oracle.coverage.count(Event::Participants);
            }
            Actor::Replica(_) | Actor::Edge(_) | Actor::Handle(_) | Actor::Second(_) => {}
        }
        if let Some(reading) = self.nodes[node].actor.reading_mut() {
            (reading.source, reading.slept) = (SimReplaySource::default(), SleepOutcome::default());
            let cursor = match reading.start {
                Start::Cursor(cursor) => Some(cursor),
                _ => None,
            };
            self.ctx.oracle.on_subscriber_started(node, reading.delivery, named(reading.start), cursor);
        }
        self.nodes[node].wake_at = self.ctx.now;
    }
}
