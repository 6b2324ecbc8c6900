//! One run: the rooms with their processes, the network between them, the faults, and the two phases. The
//! world is the composition: it knows which room has which node, hands each what arrives, puts what it sends
//! into the network, and lets the next one act.

mod ahead;
mod calm;
mod deliveries;
mod end;
mod nightfall;
mod populate;
pub mod recorded;
mod storm;

use crate::check::Violation;
use crate::clients::{ClientTurn, Clients};
use crate::context::{BEGIN_NS, RunContext, RunPhase};
use crate::coverage::Event;
use crate::edge::{EdgeTurn, Edges, MachineUnderTest, OwnMachine};
use crate::host::SimProcess;
use crate::machines::Machines;
use crate::operator::SimOperator;
use crate::outcome::{Outcome, RunFailure};
use crate::plan::Plan;
use crate::second_process::SecondProcess;
use crate::story::{Happening, Story};
use crate::wire::NodeSet;
use lockstep_core::engine::idle_turn::check_idle_turn;
use lockstep_wire::Nanos;
use nightfall::Diary;
use std::rc::Rc;

/// The room that a node is in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Room {
    /// See [`Machines`].
    Machines,
    /// See [`Clients`].
    Clients,
    /// See [`Edges`].
    Edge,
    /// See [`SecondProcess`].
    SecondProcess,
}

/// See the module.
pub(crate) struct World {
    pub(crate) ctx: RunContext,
    /// The room of each node.
    pub(crate) rooms: Vec<Room>,
    pub(crate) machines: Machines,
    pub(crate) clients: Clients,
    /// The edge around the core, in some runs.
    pub(crate) edge: Option<Box<Edges>>,
    pub(crate) second_process: SecondProcess,
    pub(crate) operator: SimOperator,
    pub(crate) next_fault: usize,
    /// The next moment from which a copy is run ahead.
    pub(crate) next_moment: usize,
    pub(crate) steps: u64,
    pub(crate) trace_digest: u64,
    /// All work was done once: in a set it goes on until all worlds are done.
    was_done: bool,
    /// The days that are over, in a run of a year.
    pub(crate) diary: Diary,
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
pub(crate) fn run_with(
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
            Ok(true) => match world.machines.dissect(&mut world.ctx) {
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
    world.machines.count_joined(&mut world.ctx);
    Ok(Outcome {
        steps: world.steps,
        virtual_ns: world.ctx.now - BEGIN_NS,
        recovery_ns,
        trace_digest: world.trace_digest,
        coverage: std::mem::take(&mut world.ctx.oracle.facts.coverage),
        story: world.ctx.story.unwrap_or_default(),
    })
}

impl World {
    /// The next event, and all checks after it. Returns whether the run has ended.
    pub(crate) fn step(&mut self) -> Result<bool, Violation> {
        self.steps += 1;
        if self.steps > STEPS_MAX {
            // Behind long nights whoever waits for an operator asks so often.
            let waits = matches!(self.ctx.phase, RunPhase::Calm(..)) && self.waits_for_another_day();
            let stuck = format!("LIVENESS: {STEPS_MAX} turns by {} ns", self.ctx.now);
            return if waits { Ok(true) } else { Err(stuck) };
        }
        let (node, ready_at) = self.next_ready();
        let arrival = self.ctx.network.next_arrival().unwrap_or(Nanos::MAX);
        let edge = self.edge.as_ref().map_or(Nanos::MAX, |edge| edge.next_at(&self.ctx));
        let fault = self.next_fault_at();
        self.ctx.now = self.ctx.now.max(ready_at.min(arrival).min(fault).min(edge));
        if self.ctx.now == Nanos::MAX {
            return Err("LIVENESS: nothing will ever happen any more".to_string());
        }
        self.receive();
        if fault <= self.ctx.now {
            self.strike()?;
        } else if edge <= self.ctx.now {
            self.act_edge()?;
        } else if ready_at <= self.ctx.now {
            self.act(node)?;
        }
        for _ in 0..std::mem::take(&mut self.machines.leaders_ended) {
            self.clients.count_opens(&mut self.ctx);
        }
        match self.ctx.phase {
            RunPhase::Storm => Ok(false),
            RunPhase::Dead(since) => Ok(self.ctx.now >= since + self.ctx.plan.patient(DEAD_NS)),
            RunPhase::Calm(healthy, since) => {
                let done = self.steps.is_multiple_of(16)
                    && self.is_done(healthy)
                    && self.edge_lacks(healthy)?.is_none();
                self.was_done |= done;
                if !self.was_done && self.ctx.now >= since + self.ctx.live_ns() {
                    if self.electorate().waits_for_the_broken(healthy) {
                        self.ctx.count(Event::TakeoversThatWait);
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

    /// The time of the next event.
    pub(crate) fn next_at(&self) -> Nanos {
        let arrival = self.ctx.network.next_arrival().unwrap_or(Nanos::MAX);
        let edge = self.edge.as_ref().map_or(Nanos::MAX, |edge| edge.next_at(&self.ctx));
        self.ctx.now.max(self.next_ready().1.min(arrival).min(self.next_fault_at()).min(edge))
    }

    /// The node with the next turn, and its time; of several the first.
    fn next_ready(&self) -> (usize, Nanos) {
        let machines = self.machines.nodes.iter().enumerate().map(|(index, node)| (node.ready_at(), index));
        let edge = self.edge.iter().flat_map(|edge| edge.ready());
        let all = machines.chain(self.clients.ready()).chain(edge);
        let (at, index) = all.fold(self.second_process.ready(), Ord::min);
        (index, at)
    }

    /// The clients and receivers of the edge have their turns.
    fn act_edge(&mut self) -> Result<(), Violation> {
        self.edge.as_mut().map_or(Ok(()), |edge| edge.act(&mut self.ctx))
    }

    /// The work of the edge that is not done yet, in words; `None` if everything is.
    fn edge_lacks(&mut self, healthy: NodeSet) -> Result<Option<String>, Violation> {
        let Self { ctx, machines, edge, .. } = self;
        edge.as_mut().map_or(Ok(None), |edge| edge.lacking(ctx, machines, healthy))
    }

    /// A night falls: the day is judged, in a run of a year.
    pub(crate) fn judge_day(&mut self, lasting: Nanos) -> Result<(), Violation> {
        nightfall::nightfall(self, lasting)
    }

    /// How many nodes there are.
    pub(crate) fn count_nodes(&self) -> usize {
        self.rooms.len()
    }

    /// The process at a node.
    ///
    /// # Panics
    /// No room has that node.
    pub(crate) fn node(&self, index: usize) -> &dyn SimProcess {
        let node = match self.rooms[index] {
            Room::Machines => self.machines.nodes.get(index).map(|node| node as &dyn SimProcess),
            Room::Clients => self.clients.node(index).map(|node| node as &dyn SimProcess),
            Room::Edge => self.edge.as_ref().and_then(|edge| edge.node(index)),
            Room::SecondProcess => Some(&self.second_process as &dyn SimProcess),
        };
        node.unwrap_or_else(|| panic!("no process at node {index}"))
    }

    /// The process at a node.
    ///
    /// # Panics
    /// No room has that node.
    pub(crate) fn node_mut(&mut self, index: usize) -> &mut dyn SimProcess {
        let node = match self.rooms[index] {
            Room::Machines => self.machines.nodes.get_mut(index).map(|node| node as &mut dyn SimProcess),
            Room::Clients => self.clients.node_mut(index).map(|node| node as &mut dyn SimProcess),
            Room::Edge => self.edge.as_mut().and_then(|edge| edge.node_mut(index)),
            Room::SecondProcess => Some(&mut self.second_process as &mut dyn SimProcess),
        };
        node.unwrap_or_else(|| panic!("no process at node {index}"))
    }

    /// A process has its turn, or starts.
    fn act(&mut self, index: usize) -> Result<(), Violation> {
        if !self.node(index).runs() {
            return if self.sleeps_on(index) { Ok(()) } else { self.start(index) };
        }
        if self.rooms[index] == Room::SecondProcess && self.second_process.ends(&mut self.ctx, &self.machines)
        {
            return Ok(());
        }
        let takes = self.node(index).host().device.takes(self.ctx.now);
        if let Some(net) = self.net_mut(index) {
            net.takes = takes;
        }
        let work = self.turn(index)?;
        check_idle_turn(work, CLIENT_LIMIT_MIN, || self.node(index).is_left());
        self.send(index, usize::MAX)?;
        if self.has_second_handle(index) {
            self.send(index + 1, usize::MAX)?;
        }
        self.check(index, work)?;
        self.sleep(index, work);
        if self.rooms[index] == Room::Machines {
            self.machines.stop_if_drained(&mut self.ctx, index)?;
        }
        Ok(())
    }

    /// A process starts.
    fn start(&mut self, index: usize) -> Result<(), Violation> {
        match self.rooms[index] {
            Room::Machines => {
                self.ctx.count(Event::Restarts);
                self.machines.start_replica(&mut self.ctx, index)?;
            }
            Room::Clients => self.clients.start(&mut self.ctx, index),
            Room::Edge => {
                if let Some(edge) = &mut self.edge {
                    edge.start(&mut self.ctx, index);
                }
            }
            Room::SecondProcess => {}
        }
        Ok(())
    }

    /// Calls the process at `index`. Returns the work that it did.
    pub(crate) fn turn(&mut self, index: usize) -> Result<usize, Violation> {
        let Self { ctx, machines, clients, edge, second_process, operator, .. } = self;
        let draws = [ctx.rng.next_u64(), ctx.rng.next_u64()];
        match self.rooms[index] {
            Room::Machines => machines.turn_replica(ctx, operator, index, draws),
            Room::SecondProcess => second_process.turn(ctx),
            Room::Clients => {
                if let Some(edge) = edge.as_mut().filter(|_| clients.reads(index)) {
                    edge.judge_books(ctx)?;
                }
                let ClientTurn { work, ends } = clients.turn(ctx, machines, index, draws)?;
                if ends {
                    self.send(index, usize::MAX)?;
                    self.clients.end(&self.ctx, index);
                }
                Ok(work)
            }
            Room::Edge => {
                let Some(edge) = edge else { return Ok(0) };
                match edge.turn(ctx, machines, index, draws)? {
                    EdgeTurn::On(work) => Ok(work),
                    EdgeTurn::Ends(why) => {
                        self.send(index, usize::MAX)?;
                        if let Some(edge) = &mut self.edge {
                            edge.on_ended(&mut self.ctx, index, why);
                        }
                        Ok(0)
                    }
                }
            }
        }
    }

    /// What a suspension outlasts stays down: whether that is so, and `index` is polled again at its end.
    fn sleeps_on(&mut self, index: usize) -> bool {
        let (dawn, sleeps) = (self.ctx.dawn, self.ctx.now < self.ctx.dawn);
        if sleeps {
            self.node_mut(index).host_mut().paused_until = dawn;
        }
        sleeps
    }

    /// Sets the time of the next poll: soon after work, later when the process is idle.
    fn sleep(&mut self, index: usize, work: usize) {
        let now = self.ctx.now;
        let turn_ns = self.ctx.plan.turn_of(&self.node(index).host().device, now);
        let (idle_ns_max, growth) = self.ctx.idleness();
        let (is_long, clock) = (self.ctx.plan.is_long(), self.ctx.plan.clock(index));
        let has_second = self.has_second_handle(index);
        let mut arrives = |at| self.net_mut(at).is_some_and(|net| net.has_arrivals());
        let has_arrivals = arrives(index) || has_second && arrives(index + 1);
        let node = self.node(index);
        // A reader whose subscription has ended receives nothing any more, and would be called without end.
        let is_over = is_long && node.is_over();
        let busy = work > 0 || has_arrivals && !is_over || is_long && node.is_work_pending();
        let idle_ns = node.host().idle_ns;
        let idle_ns = if busy { turn_ns } else { (idle_ns * growth).clamp(turn_ns, idle_ns_max) };
        let client_deadline = if is_long { node.client_deadline(clock) } else { None };
        let deadline = node.next_deadline();
        let wake_at = now + 1 + idle_ns / 2 + self.ctx.rng.below(idle_ns / 2 + 1);
        let host = self.node_mut(index).host_mut();
        (host.idle_ns, host.wake_at) = (idle_ns, wake_at);
        if let Some(deadline) = client_deadline.filter(|at| *at > now) {
            host.wake_at = host.wake_at.min(deadline);
        }
        if let Some(deadline) = deadline {
            host.wake_by(deadline, (now, work), now + 1 + turn_ns / 8);
        }
    }

    /// Checks the state of a process after its turn, and the commit that it knows.
    fn check(&mut self, index: usize, work: usize) -> Result<(), Violation> {
        // Damage stays: a later check finds it.
        let looks =
            work > 0 && self.steps.is_multiple_of(WORK_STEPS) || self.steps.is_multiple_of(CHECK_STEPS);
        match self.rooms[index] {
            Room::Machines => self.machines.check(&mut self.ctx, index, looks),
            Room::Clients => self.clients.check(&mut self.ctx, index, looks),
            Room::Edge | Room::SecondProcess => {
                if looks {
                    self.node(index).invariants();
                }
                Ok(())
            }
        }
    }
}
