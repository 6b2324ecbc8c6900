//! The faults have ended: the healed nodes, and how the rest stays broken for ever.

use crate::check::Violation;
use crate::context::{RunContext, RunPhase};
use crate::coverage::Event;
use crate::device::SimDevice;
use crate::edge::EdgePlan;
use crate::machine::MachineState;
use crate::machine::replay::is_overtaken;
use crate::machines::MachineNode;
use crate::quorum::Electorate;
use crate::story::Happening;
use crate::wire::{ALL_TRAFFIC, Broken, NodeSet};
use crate::world::{Room, World};
use lockstep_replica::journal::Retention;
use lockstep_wire::Nanos;

impl World {
    /// The fault phase has ended: a quorum of replicas and some clients are healed, the rest is broken for
    /// ever.
    pub(crate) fn heal_cluster(&mut self) -> Result<(), Violation> {
        self.ctx.network.heal();
        self.second_process.end(&mut self.ctx, "the storm is over");
        self.machines.leave_ancestor(&mut self.ctx);
        for index in 0..self.count_nodes() {
            self.node_mut(index).host_mut().device = SimDevice::default();
        }
        let replicas = self.ctx.plan.replicas;
        for node in &mut self.machines.nodes {
            self.ctx.oracle.facts.coverage.count_all(node.machine.reconfigure());
        }
        // Frames that have left a witness's ring are available only where other replicas store them: the
        // takeover waits for those.
        let oldest = self.electorate().oldest_of_witnesses();
        let stored = self.electorate().stored_by_all(self.ctx.now.saturating_add(self.ctx.live_ns()));
        let archiver = (0..replicas).find(|index| {
            self.ctx.plan.is_archiver(*index)
                && self.machines.lost >> index & 1 == 0
                && self.machines.stored_next(&self.ctx.oracle, *index) >= stored
        });
        let stored = if archiver.is_some() && !self.ctx.plan.archives_are_cut { 1 } else { stored };
        let alive: Vec<usize> = (0..replicas)
            .filter(|index| {
                self.machines.lost >> index & 1 == 0
                    && self.machines.joins_at(&self.ctx, *index) >= oldest.max(stored)
            })
            .collect();
        // A history that only the lost replicas stored has ended.
        let born = alive.iter().any(|index| self.ctx.oracle.facts.log_next(*index) > 1);
        self.operator.rest();
        let quorum = if born { self.draw_quorum(alive) } else { None };
        let Some(mut healthy) = quorum else {
            self.ctx.phase = RunPhase::Dead(self.ctx.now);
            return Ok(());
        };
        let changed = self
            .ctx
            .oracle
            .facts
            .reference
            .tip()
            .is_some_and(|tip| self.ctx.oracle.facts.tree.has_changed(tip));
        if changed {
            self.ctx.count(Event::MembersCalm);
        }
        healthy |= self.draw_healthy_clients();
        // A journal that lacks what the others have removed gets it from the archiver.
        self.machines.joiners = self.machines.joiners(&self.ctx);
        healthy |= archiver.map_or(0, |index| 1 << index) | self.machines.joiners;
        let edges = self.ctx.plan.edges.as_ref().map_or(0, EdgePlan::nodes);
        let first = self.ctx.plan.nodes() - edges;
        let all_edges = ((1 << edges) - 1) << first;
        healthy = healthy & !all_edges | self.draw_healthy_edge();
        self.ctx.phase = RunPhase::Calm(healthy, self.ctx.now);
        self.ctx.tell(0, || Happening::Fault(format!("the storm is over for {healthy:#b}")));
        for index in 0..self.count_nodes() {
            let is_edge = matches!(self.rooms[index], Room::Edge | Room::SecondProcess);
            if healthy >> index & 1 == 1 || is_edge {
                self.heal(index);
            } else {
                self.break_for_ever(index, healthy);
            }
        }
        if let Some(edge) = &mut self.edge {
            edge.heal(&self.ctx, healthy);
        }
        Ok(())
    }

    /// The electorate, as it is now.
    pub(crate) fn electorate(&self) -> Electorate<'_> {
        let (RunContext { plan, oracle, .. }, commands) = (&self.ctx, &self.operator.commands);
        Electorate { plan, oracle, machines: &self.machines, commands }
    }

    /// The nodes that are healed, of those that are `alive`; `None` if they are no quorum.
    fn draw_quorum(&mut self, alive: Vec<usize>) -> Option<NodeSet> {
        let RunContext { plan, oracle, rng, .. } = &mut self.ctx;
        let (machines, commands) = (&self.machines, &self.operator.commands);
        Electorate { plan, oracle, machines, commands }.draw(rng, alive)
    }

    /// Some of the nodes that are no replicas: the first publisher and the first subscriber always.
    fn draw_healthy_clients(&mut self) -> NodeSet {
        let mut healthy = 0;
        let replicas = self.ctx.plan.replicas;
        for index in replicas..self.count_nodes() {
            let first = index == replicas || index == replicas + self.ctx.plan.publishers;
            if first || self.clients.is_of_set(index) || self.ctx.rng.below(4) > 0 {
                healthy |= 1 << index;
            }
        }
        healthy
    }

    /// The healed nodes of the edge.
    fn draw_healthy_edge(&mut self) -> NodeSet {
        self.edge.as_ref().map_or(0, |edge| edge.draw_healthy(&mut self.ctx))
    }

    /// Whether an edge waits for the start of a trading day (DECISIONS 11), or a replica for its operator.
    pub(crate) fn waits_for_another_day(&self) -> bool {
        let is_overtaken = |node: &MachineNode| is_overtaken(&node.machine);
        self.ctx.plan.retention != Retention::default()
            && (self.edge.as_ref().is_some_and(|edge| edge.lacks_beginning())
                || self.ctx.plan.archives_are_cut && self.machines.nodes.iter().any(is_overtaken))
    }

    fn heal(&mut self, index: usize) {
        let (now, short_ns) = (self.ctx.now, self.ctx.short_ns());
        let node = self.node_mut(index);
        let is_down = !node.runs();
        (node.host_mut().paused_until, node.host_mut().wake_at) = (0, now);
        match self.rooms[index] {
            Room::Machines => self.machines.nodes[index].heal(now, short_ns),
            Room::Clients => self.clients.heal(now, index, is_down),
            Room::Edge | Room::SecondProcess => {}
        }
    }

    /// Crashed, stopped, cut off, deaf, mute, or connected to one of the quorum only.
    fn break_for_ever(&mut self, index: usize, healthy: NodeSet) {
        let one = 1 << index;
        let forever = Nanos::MAX;
        let cut = |from, to| Broken { from, to, traffic: ALL_TRAFFIC, until: forever, clogged: false };
        let how = self.ctx.rng.below(6);
        let friend = 1 << (self.ctx.rng.next_u64() % 32);
        let word = match how {
            0 if index < self.ctx.plan.replicas => {
                if let Some(machine) = self.machines.get_mut(index) {
                    machine.kill_if_up(forever);
                    if let MachineState::Down(_, until) = &mut machine.state {
                        *until = forever;
                    }
                }
                "crashed"
            }
            0 | 1 => {
                self.node_mut(index).host_mut().paused_until = forever;
                "paused"
            }
            2 => {
                self.ctx.network.break_path(cut(!one, one));
                "deaf"
            }
            3 => {
                self.ctx.network.break_path(cut(one, !one));
                "mute"
            }
            4 => {
                self.ctx.network.break_path(cut(one, healthy & !friend));
                self.ctx.network.break_path(cut(healthy & !friend, one));
                "half connected"
            }
            _ => {
                self.ctx.network.break_path(cut(one, !one));
                self.ctx.network.break_path(cut(!one, one));
                "cut off"
            }
        };
        if how > 1 {
            self.heal(index);
        }
        self.ctx.tell(index, || Happening::Fault(format!("{word} for ever")));
    }
}
