//! One run: processes, the network between them, the faults, and the two phases.

mod actor;
mod end;
pub mod recorded;

use super::check::{Oracle, Violation, digest};
use super::context::{BEGIN_NS, RunContext, RunPhase};
use super::coverage::Event;
use super::device::SimDevice;
use super::edge::{EdgeNode, Edges, MachineUnderTest, OwnMachine};
use super::handover::Draining;
use super::keys::HostKeys;
use super::machine::Machine;
use super::net::{SimNet, To};
use super::operator::{OPERATOR, SimOperator, is_operator};
use super::outcome::{Outcome, RunFailure};
use super::plan::Plan;
use super::populate::address;
use super::reader::SimReplaySource;
use super::replay;
use super::rng::Rng;
use super::second::Second;
use super::sleeper::SleepOutcome;
use super::storage::StorageFault;
use super::story::{Happening, Story};
use super::wire::{NetworkModel, NodeSet, Route, SimPacket};
use super::year::Diary;
use lockstep_core::engine::event::ReplicaEvent as NodeEvent;
use lockstep_core::engine::idle_turn::check_idle_turn;
use lockstep_core::engine::participant::ParticipantEngine;
use lockstep_core::engine::ports::Group;
use lockstep_core::engine::publisher::PublisherEngine;
use lockstep_core::engine::receiver::Start;
use lockstep_core::engine::subscriber::{Delivery, SubscriberEngine};
use lockstep_wire::{Cursor, Epoch, Nanos, PublisherId, Seq};
use std::rc::Rc;

/// The process of a node.
pub(super) enum Actor {
    /// A replica's machine.
    Replica(Box<Machine>),
    /// A publisher's process, if it runs.
    Publisher(Option<Box<PublisherEngine<SimNet>>>, WorldWork),
    /// A subscriber's process, if it runs.
    Subscriber(Option<Box<SubscriberEngine<SimNet>>>, ReaderSlot),
    /// A participant's process, if it runs, which publishes and reads.
    Participant(Option<Box<ParticipantEngine<SimNet>>>, WorldWork, ReaderSlot),
    /// A process of the edge, if it runs.
    Edge(Box<EdgeNode>),
    /// The second handle of the process at this node.
    Handle(usize),
    /// A second process of a replica's identity, if it runs.
    Second(Option<Box<Second>>),
}

/// A node of the network.
pub(super) struct SimNode {
    pub(super) actor: Actor,
    /// The keys of its processes.
    pub(super) keys: HostKeys,
    /// Stopped (SIGSTOP) until then; its sockets continue to fill.
    pub(super) paused_until: Nanos,
    /// The fault of its device.
    pub(super) device: SimDevice,
    /// The next turn.
    pub(super) wake_at: Nanos,
    /// It had no work for this long, and so polls less often.
    pub(super) idle_ns: Nanos,
    /// So many turns in a row had no work, and were called at once for a deadline.
    pub(super) vain_turns: u32,
    /// The epoch that it leads, ...
    pub(super) led: Option<Epoch>,
    /// It is to hand over.
    pub(super) draining: Option<Draining>,
    /// ... and its watcher's death notice.
    pub(super) notice: Vec<u8>,
    /// The next process that begins behind a checkpoint dies in the call that stores it.
    pub(super) dies_installing: Option<StorageFault>,
}

/// The remaining work of a publisher.
#[derive(Clone)]
pub(super) struct WorldWork {
    pub(super) name: String,
    pub(super) left: u64,
    pub(super) id: Option<PublisherId>,
    /// The time at which the next message is handed in, and the interval.
    pub(super) next_at: Nanos,
    pub(super) every_ns: Nanos,
    /// The exclusive bound of what was reported to it as final.
    pub(super) delivered_next: Seq,
    /// Another process has its name.
    pub(super) fenced: bool,
    pub(super) restart_at: Nanos,
    /// Makes payloads unique.
    pub(super) handed_in: u64,
    /// The nonce under which its name was opened last.
    pub(super) nonce: [u64; 2],
    /// It is to close its name; it has closed it; the close was reported to it, and it opens the name again.
    pub(super) closes: bool,
    pub(super) closing: bool,
    pub(super) closed: bool,
}

impl WorldWork {
    pub(super) fn new(name: String, left: u64, every_ns: Nanos) -> Self {
        Self {
            name,
            left,
            id: None,
            next_at: 0,
            every_ns,
            delivered_next: 1,
            fenced: false,
            restart_at: 0,
            handed_in: 0,
            nonce: [0; 2],
            closes: false,
            closing: false,
            closed: false,
        }
    }

    /// A new process takes over the work.
    pub(super) fn begin(&mut self) {
        (self.id, self.delivered_next, self.fenced, self.restart_at) = (None, 1, false, 0);
        (self.closes, self.closing, self.closed) = (false, false, false);
    }
}

/// The work of a subscriber.
#[derive(Clone)]
pub(super) struct ReaderSlot {
    pub(super) delivery: Delivery,
    pub(super) start: Start,
    pub(super) restart_at: Nanos,
    /// Its subscription has ended.
    pub(super) ended: bool,
    /// The journal that it reads from.
    pub(super) source: SimReplaySource,
    /// Its long pauses.
    pub(super) slept: SleepOutcome,
}

impl ReaderSlot {
    pub(super) fn new(delivery: Delivery, start: Start) -> Self {
        let (source, slept) = (SimReplaySource::default(), SleepOutcome::default());
        Self { delivery, start, restart_at: 0, ended: false, source, slept }
    }

    /// The process has ended, and its successor goes on behind what was delivered: everything below `resume`.
    pub(super) fn resume(&mut self, cursor: Option<Cursor>, resume: Option<Seq>, may_found: bool) {
        self.ended = false;
        // Where a history may be founded, a seq alone does not identify its stream.
        self.start = match (self.delivery, resume) {
            (Delivery::Committed, Some(_)) if may_found => cursor.map_or(Start::From(1), Start::Cursor),
            (Delivery::Committed, Some(seq)) => Start::From(seq),
            (Delivery::Stamped, Some(_)) => Start::From(1),
            (_, None) => Start::Live,
        };
    }
}

/// See the module.
pub(super) struct World {
    pub(super) ctx: RunContext,
    pub(super) clients_rng: Rng,
    pub(super) nodes: Vec<SimNode>,
    pub(super) next_fault: usize,
    /// The next moment from which a copy is run ahead.
    pub(super) next_moment: usize,
    /// Rivals that were started.
    pub(super) fences: usize,
    /// Replicas whose identity never counts again.
    pub(super) lost: NodeSet,
    /// Nodes that held no entry when the faults ended, and are to join.
    pub(super) joiners: NodeSet,
    pub(super) operator: SimOperator,
    /// Death notices that were prepared for past epochs, with their nodes.
    pub(super) old_notices: Vec<(usize, Vec<u8>)>,
    /// The events that the replica reports to its operator in its turn.
    pub(super) events: Vec<NodeEvent>,
    /// Processes of replicas that have started.
    pub(super) runs: u64,
    pub(super) steps: u64,
    pub(super) trace_digest: u64,
    /// The edge around the core, in some runs.
    pub(super) edges: Option<Box<Edges>>,
    /// The days that are over, in a run of a year.
    pub(super) diary: Diary,
}

/// Invariants are checked once in so many turns with work, and once in so many of all.
const WORK_STEPS: u64 = 4;
const CHECK_STEPS: u64 = 16;
/// A client takes at least so many messages and outcomes in each turn.
const CLIENT_LIMIT_MIN: usize = 1;
/// A cluster without a quorum is watched for this long.
const DEAD_NS: Nanos = 20_000_000;
/// More turns than any run takes: time does not pass, as some process has work again and again.
const STEPS_MAX: u64 = 5_000_000;

/// Runs one plan to its end. `tells`: the story is recorded.
pub fn run(plan: &Plan, tells: bool) -> Result<Outcome, RunFailure> {
    run_with(plan, tells, Rc::new(OwnMachine))
}

/// The same, with copies of another machine at the edge.
pub(super) fn run_with(
    plan: &Plan,
    tells: bool,
    machine: Rc<dyn MachineUnderTest>,
) -> Result<Outcome, RunFailure> {
    let fail = |step, violation, story: Option<Story>| RunFailure {
        seed: plan.seed,
        step,
        violation,
        story: story.unwrap_or_default(),
    };
    let mut world = World::new(plan, tells, machine).map_err(|violation| fail(0, violation, None))?;
    loop {
        match world.look_ahead().and_then(|()| world.step()) {
            Ok(false) => {}
            Ok(true) => match world.dissect() {
                Ok(()) => break,
                Err(violation) => {
                    world.ctx.tell(0, || Happening::Broken(violation.clone()));
                    return Err(fail(world.steps, violation, world.ctx.story));
                }
            },
            Err(violation) => {
                world.ctx.tell(0, || Happening::Broken(violation.clone()));
                return Err(fail(world.steps, violation, world.ctx.story));
            }
        }
    }
    let recovery_ns = match world.ctx.phase {
        RunPhase::Calm(_, since) => world.ctx.now - since,
        _ => 0,
    };
    replay::count_joined(&mut world);
    Ok(Outcome {
        steps: world.steps,
        virtual_ns: world.ctx.now - BEGIN_NS,
        recovery_ns,
        trace_digest: world.trace_digest,
        coverage: std::mem::take(&mut world.ctx.oracle.coverage),
        story: world.ctx.story.unwrap_or_default(),
    })
}

impl World {
    /// The next event, and all checks after it. Returns whether the run has ended.
    pub(super) fn step(&mut self) -> Result<bool, Violation> {
        self.steps += 1;
        if self.steps > STEPS_MAX {
            // Behind long nights whoever waits for an operator asks so often.
            let waits = matches!(self.ctx.phase, RunPhase::Calm(..)) && self.waits_for_another_day();
            let stuck = format!("LIVENESS: {STEPS_MAX} turns by {} ns", self.ctx.now);
            return if waits { Ok(true) } else { Err(stuck) };
        }
        let (node, ready_at) = self.next_ready();
        let arrival = self.ctx.network.next_arrival().unwrap_or(Nanos::MAX);
        let (fault, edge) = (self.next_fault_at(), self.next_edge_at());
        self.ctx.now = self.ctx.now.max(ready_at.min(arrival).min(fault).min(edge));
        if self.ctx.now == Nanos::MAX {
            return Err("LIVENESS: nothing will ever happen any more".to_string());
        }
        self.receive();
        if fault <= self.ctx.now {
            self.strike()?;
        } else if edge <= self.ctx.now {
            self.act_edges()?;
        } else if ready_at <= self.ctx.now {
            self.act(node)?;
        }
        match self.ctx.phase {
            RunPhase::Storm => Ok(false),
            RunPhase::Dead(since) => Ok(self.ctx.now >= since + self.ctx.plan.patient(DEAD_NS)),
            RunPhase::Calm(healthy, since) => {
                let done = self.steps.is_multiple_of(16)
                    && self.is_done(healthy)
                    && self.edge_lacks(healthy)?.is_none();
                if !done && self.ctx.now >= since + self.live_ns() {
                    if self.waits_for_the_broken(healthy) {
                        self.ctx.oracle.coverage.count(Event::TakeoversThatWait);
                    } else if !self.waits_for_another_day() {
                        let lacks = self.edge_lacks(healthy)?.unwrap_or_default();
                        return Err(format!("{}\n  {lacks}", self.describe_stuck(healthy)));
                    }
                    self.ctx.phase = RunPhase::Dead(self.ctx.now);
                }
                Ok(done)
            }
        }
    }

    /// The node with the next turn, and its time.
    fn next_ready(&self) -> (usize, Nanos) {
        let ready = self.nodes.iter().enumerate().map(|(index, node)| (index, node.ready_at()));
        ready.min_by_key(|(_, at)| *at).unwrap_or((0, Nanos::MAX))
    }

    /// Moves packets that have arrived to the sockets.
    fn receive(&mut self) {
        while let Some(letter) = self.ctx.network.arrive(self.ctx.now, &mut self.ctx.oracle.coverage) {
            let SimPacket { route, number, sent_at, bytes } = letter;
            let wakes = self.ctx.now + 1 + self.ctx.rng.below(self.ctx.plan.turn_ns);
            let (now, owner) = (self.ctx.now, self.owner(route.to));
            let Some(waiting) = self.net_mut(route.to).map(|net| net.groups.len()) else { continue };
            if let Some(event) = self.nodes[owner].device.loses(now, route.group, waiting) {
                self.ctx.oracle.coverage.count(event);
                if event == Event::RingsOverrun
                    && let Some(net) = self.net_mut(route.to)
                {
                    net.groups.clear();
                }
                continue;
            }
            let Some(net) = self.net_mut(route.to) else { continue };
            let from = route.group.is_none().then(|| address(route.from));
            let is_joined = route.group.is_none_or(|group| net.joins(group));
            if net.arrive(bytes, from, route.group) {
                let node = &mut self.nodes[owner];
                node.wake_at = node.wake_at.min(wakes);
                let from = route.from;
                if from == OPERATOR {
                    continue;
                }
                self.ctx.tell(route.to, || Happening::Arrived { number, from, sent_at });
            } else if is_joined {
                self.ctx.oracle.coverage.count(Event::Overflowed);
            }
        }
    }

    /// A process has its turn, or starts.
    fn act(&mut self, index: usize) -> Result<(), Violation> {
        if !self.nodes[index].actor.runs() {
            if self.sleeps_on(index) {
                return Ok(());
            }
            if let Actor::Replica(_) = self.nodes[index].actor {
                self.ctx.oracle.coverage.count(Event::Restarts);
                return self.start_replica(index);
            }
            if let Actor::Edge(_) = self.nodes[index].actor {
                self.start_edge(index);
                return Ok(());
            }
            self.start_client(index);
            return Ok(());
        }
        if self.ends_second(index) {
            return Ok(());
        }
        let takes = self.nodes[index].device.takes(self.ctx.now);
        if let Some(net) = self.net_mut(index) {
            net.takes = takes;
        }
        let work = self.turn(index)?;
        check_idle_turn(work, CLIENT_LIMIT_MIN, || self.nodes[index].actor.is_left());
        self.send(index, usize::MAX)?;
        if self.has_second_handle(index) {
            self.send(index + 1, usize::MAX)?;
        }
        self.check(index, work)?;
        self.sleep(index, work);
        self.stop_if_drained(index)
    }

    /// Sets the time of the next poll: soon after work, later when the process is idle.
    fn sleep(&mut self, index: usize, work: usize) {
        let turn_ns = self.ctx.plan.turn_of(&self.nodes[index].device, self.ctx.now);
        let (idle_ns_max, growth) = self.idleness();
        let (is_long, clock) = (self.ctx.plan.is_long(), self.ctx.plan.clock(index));
        let has_second = self.has_second_handle(index);
        let mut arrives = |at| self.net_mut(at).is_some_and(|net| net.has_arrivals());
        let has_arrivals = arrives(index) || has_second && arrives(index + 1);
        let node = &mut self.nodes[index];
        // A reader whose subscription has ended receives nothing any more, and would be called without end.
        let is_over = is_long && node.actor.is_over();
        let busy = work > 0 || has_arrivals && !is_over || is_long && node.actor.is_work_pending();
        node.idle_ns = if busy { turn_ns } else { (node.idle_ns * growth).clamp(turn_ns, idle_ns_max) };
        node.wake_at = self.ctx.now + 1 + node.idle_ns / 2 + self.ctx.rng.below(node.idle_ns / 2 + 1);
        if is_long && let Some(deadline) = node.actor.client_deadline(clock).filter(|at| *at > self.ctx.now) {
            node.wake_at = node.wake_at.min(deadline);
        }
        if let Some(deadline) = node.actor.next_deadline() {
            node.wake_by(deadline, (self.ctx.now, work), self.ctx.now + 1 + turn_ns / 8);
        }
    }

    /// Puts the datagrams that the process sent, up to the first `count`, into the network; the oracle reads
    /// them first.
    pub(super) fn send(&mut self, index: usize, count: usize) -> Result<(), Violation> {
        let Some(net) = self.net_mut(index) else { return Ok(()) };
        let mut sent = std::mem::take(&mut net.sent);
        if std::mem::take(&mut net.refused) {
            let event = if net.takes == 0 { Event::NoBuffers } else { Event::ShortSends };
            self.ctx.oracle.coverage.count(event);
        }
        sent.truncate(count);
        let network_model = match self.ctx.phase {
            RunPhase::Storm => self.ctx.plan.network,
            _ => NetworkModel { delay_ns: self.ctx.plan.network.delay_ns, ..NetworkModel::default() },
        };
        self.check_log(index)?;
        for (to, bytes) in &sent {
            let number = self.ctx.network.next_number();
            if let Some(story) = &mut self.ctx.story {
                story.record_sent(self.ctx.now, index, number, to, bytes);
            }
            self.ctx.oracle.coverage.count_kind(bytes);
            let sent = super::check::SentDatagram { to: *to, from: address(index), bytes };
            self.check_datagram(index, &sent)?;
            self.trace_digest = digest(&bytes[..bytes.len().min(104)])
                ^ self.trace_digest.rotate_left(7)
                ^ self.ctx.now.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            if matches!(to, To::Unicast(to) if is_operator(*to)) {
                self.answer(bytes);
            }
            for other in 0..self.nodes.len() {
                let group = match to {
                    To::Unicast(to) if *to == address(other) => None,
                    To::Group(group) => Some(*group),
                    To::Unicast(_) => continue,
                };
                let route = Route { from: index, to: other, group };
                if other == index {
                    self.loop_back(index, group, bytes);
                } else if self.is_pair(index, other) {
                    // A datagram between the two processes of one identity always arrives: see `second`.
                    let letter = SimPacket { route, number, sent_at: self.ctx.now, bytes: bytes.clone() };
                    self.ctx.network.post(self.ctx.now + network_model.delay_ns, letter);
                } else if group != Some(Group::Submit) || self.is_replica(other) {
                    self.ctx.network.send(&network_model, self.ctx.now, route, bytes, &mut self.ctx.oracle.coverage);
                }
            }
        }
        Ok(())
    }

    /// The kernel hands a sender its own multicast at once.
    fn loop_back(&mut self, index: usize, group: Option<Group>, bytes: &[u8]) {
        if let (true, Some(group)) = (self.ctx.plan.loopback, group)
            && let Some(net) = self.net_mut(index)
        {
            net.arrive(bytes.to_vec(), None, Some(group));
        }
    }

    /// The node of the process that has the handle at `index`.
    fn owner(&self, index: usize) -> usize {
        match self.nodes[index].actor {
            Actor::Handle(owner) => owner,
            _ => index,
        }
    }

    fn has_second_handle(&self, index: usize) -> bool {
        matches!(self.nodes.get(index + 1), Some(SimNode { actor: Actor::Handle(owner), .. }) if *owner == index)
    }

    /// The device of the handle at `index`, if its process runs.
    fn net_mut(&mut self, index: usize) -> Option<&mut SimNet> {
        let owner = self.owner(index);
        self.nodes[owner].actor.net_mut(index - owner)
    }

    /// Checks the log of a replica before any of its datagrams about it.
    fn check_log(&mut self, index: usize) -> Result<(), Violation> {
        if let Actor::Replica(machine) = &self.nodes[index].actor
            && let Some(replica) = machine.replica()
        {
            self.ctx.oracle.check_replica(index, replica.tail(), replica.core.commit_next())?;
        }
        Ok(())
    }

    /// Checks the state of a process after its turn, and the commit that it knows.
    fn check(&mut self, index: usize, work: usize) -> Result<(), Violation> {
        // Damage stays: a later check finds it.
        let looks =
            work > 0 && self.steps.is_multiple_of(WORK_STEPS) || self.steps.is_multiple_of(CHECK_STEPS);
        match &self.nodes[index].actor {
            Actor::Replica(machine) => {
                let may_differ = machine.may_refuse();
                for event in std::mem::take(&mut self.events) {
                    self.check_stable(index, &event)?;
                    self.ctx.oracle.check_node_event(index, &event, may_differ)?;
                }
                self.check_handover(index)?;
                let Actor::Replica(machine) = &self.nodes[index].actor else { return Ok(()) };
                match machine.replica() {
                    // A ring with a flipped bit is no evidence.
                    Some(_) if machine.is_damaged() => Ok(()),
                    Some(replica) => {
                        if looks {
                            replica.invariants();
                        }
                        self.ctx.oracle.check_tables(index, replica)
                    }
                    None => Ok(()),
                }
            }
            Actor::Subscriber(Some(process), _) => {
                if looks {
                    process.core.invariants();
                }
                self.ctx.oracle.check_subscriber(index, process.core.commit_next(), process.core.history())
            }
            Actor::Publisher(Some(process), work) => {
                if looks {
                    process.core.invariants();
                }
                self.ctx.oracle.check_publisher(index, work.delivered_next)
            }
            Actor::Participant(Some(process), work, _) => {
                if looks {
                    process.invariants();
                }
                let subscriber = &process.subscriber;
                self.ctx.oracle.check_subscriber(index, subscriber.commit_next(), subscriber.history())?;
                self.ctx.oracle.check_publisher(index, work.delivered_next)
            }
            Actor::Edge(edge) => {
                if let Some(process) = edge.process.as_ref().filter(|_| looks) {
                    process.invariants();
                }
                Ok(())
            }
            Actor::Second(second) => {
                if let Some(second) = second.as_ref().filter(|_| looks) {
                    second.invariants();
                }
                Ok(())
            }
            Actor::Publisher(None, _)
            | Actor::Subscriber(None, _)
            | Actor::Participant(None, ..)
            | Actor::Handle(_) => Ok(()),
        }
    }
}
