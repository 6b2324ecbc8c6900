//! The world at the beginning.

use super::nightfall::Diary;
use crate::check::log_tree::Tree;
use crate::check::{Oracle, Violation};
use crate::clients::{ClientProcess, Clients, WorldWork};
use crate::context::{BEGIN_NS, RunContext, RunPhase};
use crate::edge::{Edges, MachineUnderTest};
use crate::fault::{Fault, FenceFault};
use crate::keys;
use crate::machine::Machine;
use crate::machines::Machines;
use crate::operator::SimOperator;
use crate::plan::{Plan, hand_in_every_ns};
use crate::rng::Rng;
use crate::second_process::SecondProcess;
use crate::story::Story;
use crate::wire::SimNetwork;
use crate::world::{Room, World};
use lockstep_core::engine::subscriber::Delivery;
use lockstep_memory::place::{address, identity};
use lockstep_memory::world::HISTORY;
use lockstep_replica::bootstrap::bootstrap_version;
use lockstep_wire::Nanos;
use std::rc::Rc;

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
        ctx.oracle.facts.tree = Tree::of_run(plan.edges.is_some(), plan.parts_bounds);
        ctx.count_clocks();
        let mut world = Self {
            second_process: SecondProcess::new(&ctx, 0),
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
            was_done: false,
            diary: Diary::default(),
        };
        world.place_machines()?;
        world.place_clients();
        world.place_edge(machine);
        world.place_rivals();
        if plan.has_second() {
            world.second_process = SecondProcess::new(&world.ctx, world.count_nodes());
            world.node_of(Room::SecondProcess, "second process".to_string());
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

    /// A client more, of a process of a set.
    pub(crate) fn add_of_set(&mut self, process: ClientProcess, name: String) -> usize {
        self.client(process, name)
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
