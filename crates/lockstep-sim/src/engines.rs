//! The processes at the beginning of a run.

use crate::check::log_tree::Tree;
use crate::check::{Oracle, Violation};
use crate::clients::ClientProcess;
use crate::clients::Clients;
use crate::clients::WorldWork;
use crate::context::{BEGIN_NS, RunContext, RunPhase};
use crate::coverage::Event;
use crate::edge::Edges;
use crate::edge::MachineUnderTest;
use crate::fault::{Fault, FenceFault};
use crate::host::Host;
use crate::keys::{self};
use crate::kinds::Configured;
use crate::machine::{MTU, Machine, MachineState, Started};
use crate::machines::MachineNode;
use crate::machines::Machines;
use crate::machines::reader::replay_limits;
use crate::net::SimNet;
use crate::operator::SimOperator;
use crate::plan::Plan;
use crate::rng::Rng;
use crate::seconds::Seconds;
use crate::story::{Happening, Story};
use crate::wire::SimNetwork;
use crate::world::Room;
use crate::world::World;
use crate::year::{Diary, hand_in_every_ns};
use lockstep_core::engine::leader_contact::leaderless_ns_max;
use lockstep_core::engine::participant::ParticipantEngine;
use lockstep_core::engine::parts::PartsLimits;
use lockstep_core::engine::publisher::{PublisherCore, PublisherEngine, PublisherLimits};
use lockstep_core::engine::receiver::{ReceiverLimits, Start};
use lockstep_core::engine::subscriber::{Delivery, SubscriberEngine, SubscriberLimits};
use lockstep_core::proto::election::ElectionLimits;
use lockstep_core::proto::failure_detector::FailureDetectorLimits;
use lockstep_core::proto::presence::probe_period_ns;
pub(crate) use lockstep_memory::place::address;
use lockstep_memory::place::identity;
pub(crate) use lockstep_memory::world::HISTORY;
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

pub(crate) fn replica_limits(
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
pub(crate) fn plain_publisher(
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
pub(crate) fn publisher(
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
pub(crate) fn subscriber(
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
pub(crate) fn participant(
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
pub(crate) fn named(start: Start) -> Option<Seq> {
    match start {
        Start::From(seq) => Some(seq),
        Start::Cursor(cursor) => Some(cursor.seq),
        _ => None,
    }
}

impl World {
    /// The world at the beginning, with all its nodes.
    pub(crate) fn new(
        plan: &Plan,
        tells: bool,
        machine: Rc<dyn MachineUnderTest>,
    ) -> Result<Self, Violation> {
        let mut rng = Rng::new(plan.seed);
        let network = SimNetwork::new(rng.fork());
        let clients = Clients::new(rng.fork());
        let mut ctx = RunContext {
            plan: plan.clone(),
            rng,
            now: BEGIN_NS,
            network,
            oracle: Oracle::default(),
            phase: RunPhase::Storm,
            story: tells.then(Story::default),
            slept_ns: 0,
            dawn: 0,
        };
        ctx.oracle.tree = Tree::of_run(plan.edges.is_some(), plan.parts_bounds);
        ctx.count_clocks();
        let mut world = Self {
            seconds: Seconds::new(&ctx, 0),
            ctx,
            rooms: Vec::new(),
            machines: Machines::default(),
            clients,
            edge: None,
            operator: SimOperator::default(),
            next_fault: 0,
            next_moment: 0,
            steps: 0,
            trace_digest: 0,
            diary: Diary::default(),
        };
        world.place_machines()?;
        world.place_clients();
        world.place_edge(machine);
        world.place_rivals();
        if plan.has_second() {
            world.seconds = Seconds::new(&world.ctx, world.count_nodes());
            world.node_of(Room::Seconds, "second process".to_string());
        }
        Ok(world)
    }

    /// A node more in a room, under this name in the story. Returns its number.
    fn node_of(&mut self, room: Room, name: String) -> usize {
        if let Some(story) = &mut self.ctx.story {
            story.lanes.push(name);
        }
        self.rooms.push(room);
        self.rooms.len() - 1
    }

    /// The replicas' machines; the first one has the genesis of the history.
    fn place_machines(&mut self) -> Result<(), Violation> {
        let plan = self.ctx.plan.clone();
        let members: Vec<_> =
            (0..plan.founders).map(|node| plan.member(node, identity(node), address(node))).collect();
        for node in 0..plan.replicas {
            let mut machine = Machine::new(&plan, plan.configured[node], identity(node))?;
            if node == 0 {
                let history = (HISTORY, plan.version);
                machine.bear(|tail| bootstrap_version(tail, keys::replica(), history, &members))?;
            }
            self.node_of(Room::Machines, format!("replica {}", node + 1));
            self.machines.add(&self.ctx, machine);
            self.machines.start_replica(&mut self.ctx, node)?;
        }
        Ok(())
    }

    /// The publishers, the participants among them, and the subscribers.
    fn place_clients(&mut self) {
        let plan = self.ctx.plan.clone();
        for index in 0..plan.publishers {
            let work = WorldWork::new(format!("gateway-{index}"), plan.messages, hand_in_every_ns(&plan));
            if index < plan.participants {
                let reading = self.clients.draw_reading(&plan, index);
                self.client(ClientProcess::Participant(None, work, reading), format!("participant {index}"));
            } else {
                self.client(ClientProcess::Publisher(None, work), format!("publisher {index}"));
            }
            self.clients.start(&mut self.ctx, plan.replicas + index);
        }
        for index in 0..plan.subscribers {
            let reading = self.clients.draw_reading(&plan, index);
            let word = if reading.delivery == Delivery::Committed { "committed" } else { "stamped" };
            let node = self.client(ClientProcess::Subscriber(None, reading), format!("{word} {index}"));
            self.clients.start(&mut self.ctx, node);
        }
    }

    fn client(&mut self, process: ClientProcess, name: String) -> usize {
        let node = self.node_of(Room::Clients, name);
        self.clients.add(&self.ctx, node, process);
        node
    }

    /// The edge, where the plan has one.
    fn place_edge(&mut self, machine: Rc<dyn MachineUnderTest>) {
        if let Some((edge, names)) = Edges::of_plan(&self.ctx, self.count_nodes(), machine) {
            self.edge = Some(edge);
            for name in names {
                self.node_of(Room::Edge, name);
            }
        }
    }

    /// The processes that open the names of others, once their time has come.
    fn place_rivals(&mut self) {
        let plan = self.ctx.plan.clone();
        for fault in &plan.faults {
            if let Fault::Fence(FenceFault { publisher: owner }) = fault.what {
                let name = format!("gateway-{}", owner - plan.replicas);
                let work = WorldWork {
                    restart_at: Nanos::MAX,
                    ..WorldWork::new(name, plan.messages / 2 + 1, 100_000)
                };
                let name = format!("rival of {}", owner - plan.replicas);
                self.client(ClientProcess::Publisher(None, work), name);
            }
        }
    }
}

impl Machines {
    /// A replica's process starts on the files and memory of its machine.
    pub(crate) fn start_replica(&mut self, ctx: &mut RunContext, node: usize) -> Result<(), Violation> {
        let MachineNode { machine, host: Host { keys, .. }, .. } = &mut self.nodes[node];
        if machine.is_unknowable() {
            machine.forget();
            ctx.oracle.on_forgotten(machine.identity);
            ctx.tell(node, || {
                Happening::Note("is not started: rolled back, and its ring is gone".to_string())
            });
            return Ok(());
        }
        ctx.oracle.coverage.count_all(machine.reconfigure());
        let memory_survived =
            matches!(machine.state, MachineState::Down(Some(_), _)) && !machine.has_rebooted();
        let damaged = machine.is_damaged();
        let (configured, identity) = (machine.configured, machine.identity);
        let wall = machine.wall(ctx.now);
        let process = (&configured, identity, &keys.replica);
        let limits = replica_limits(&ctx.plan, node, process, wall, &mut ctx.rng);
        let started = machine.start(&ctx.plan, node, limits)?;
        self.runs += 1;
        let what = match &started {
            Started::Ran => return Ok(()),
            Started::Runs(tables) => {
                if std::mem::take(&mut machine.rolled_back) {
                    ctx.oracle.coverage.count(Event::RolledBackWhole);
                }
                let shortened = machine
                    .replica()
                    .is_some_and(|replica| ctx.oracle.is_shortened(node, replica.tail(), memory_survived));
                let judged = machine.replica().map_or(Ok(()), |replica| {
                    let found = (configured.durability, replica.tail());
                    ctx.oracle.on_replica_started(node, identity, self.runs, found, memory_survived)
                });
                match judged {
                    // The damage is undetected: this replica would report less than it has acknowledged.
                    Err(why) if damaged && shortened => {
                        machine.forget();
                        ctx.oracle.on_forgotten(machine.identity);
                        ctx.oracle.coverage.count(Event::DamageUnseen);
                        format!("does not see its damage: {why}")
                    }
                    judged => {
                        judged?;
                        ctx.oracle.on_tables_recovered(node, tables)?;
                        if let Some(replica) = machine.replica().filter(|_| !damaged) {
                            replica.invariants();
                            ctx.oracle.check_tables(node, replica)?;
                        }
                        "starts".to_string()
                    }
                }
            }
            Started::Died => {
                self.on_died(ctx, node);
                return Ok(());
            }
            Started::Failed(why) => {
                let why = why.clone();
                self.on_device_failed(ctx, node, why);
                return Ok(());
            }
            Started::Silent(why) => {
                if machine.is_tail_elsewhere {
                    ctx.oracle.coverage.count(Event::OtherTailsRefused);
                }
                ctx.oracle.on_forgotten(machine.identity);
                ctx.oracle.coverage.count(Event::Forgetful);
                format!("stays silent: {why}")
            }
            Started::Damaged(why) => {
                ctx.oracle.on_forgotten(machine.identity);
                ctx.oracle.coverage.count(Event::DamageFound);
                format!("does not start: {why}")
            }
        };
        let (identity, is_lost) = (machine.identity, machine.is_lost());
        if is_lost {
            self.lost |= 1 << node;
            // A lost member was not of the healed quorum; the loss of a learner was unknown until now.
            if !self.members_in_force(ctx).contains(&identity) {
                ctx.await_no_more(node);
            }
        }
        self.nodes[node].host.wake_at = ctx.now;
        ctx.tell(node, || Happening::Note(what));
        Ok(())
    }
}
