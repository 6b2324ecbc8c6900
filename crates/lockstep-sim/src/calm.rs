//! The faults have ended: the healed nodes, and how the rest stays broken for ever.

use super::check::Violation;
use super::context::RunPhase;
use super::coverage::Event;
use super::device::SimDevice;
use super::edge::EdgePlan;
use super::machine::MachineState;
use super::plan::DAY_NS;
use super::replay;
use super::story::Happening;
use super::wire::{ALL_TRAFFIC, Broken, NodeSet};
use super::world::{Actor, SimNode, World};
use lockstep_replica::journal::Retention;
use lockstep_wire::{Nanos, Seq};

/// The number to which the remaining messages are reduced when the faults have ended.
const LEFT_MAX: u64 = 10;
/// Messages that each healthy publisher hands in when the faults have ended.
const MORE: u64 = 3;

impl World {
    /// The fault phase has ended: a quorum of replicas and some clients are healed, the rest is broken for
    /// ever.
    pub(super) fn heal_cluster(&mut self) -> Result<(), Violation> {
        self.ctx.network.heal();
        self.end_second("the storm is over");
        self.leave_ancestor();
        self.nodes.iter_mut().for_each(|node| node.device = SimDevice::default());
        let replicas = self.ctx.plan.replicas;
        for node in &mut self.nodes {
            if let Actor::Replica(machine) = &mut node.actor {
                self.ctx.oracle.coverage.count_all(machine.reconfigure());
            }
        }
        // Frames that have left a witness's ring are available only where other replicas store them: the
        // takeover waits for those.
        let oldest = self.oldest_of_witnesses();
        let stored = self.stored_by_all();
        let archiver = (0..replicas).find(|index| {
            self.ctx.plan.is_archiver(*index) && self.lost >> index & 1 == 0 && self.stored_next(*index) >= stored
        });
        let stored = if archiver.is_some() && !self.ctx.plan.archives_are_cut { 1 } else { stored };
        let alive: Vec<usize> = (0..replicas)
            .filter(|index| {
                self.lost >> index & 1 == 0 && replay::joins_at(self, *index) >= oldest.max(stored)
            })
            .collect();
        // A history that only the lost replicas stored has ended.
        let born = alive.iter().any(|index| self.ctx.oracle.log_next(*index) > 1);
        self.operator.rest();
        let quorum = if born { self.draw_quorum(alive) } else { None };
        let Some(mut healthy) = quorum else {
            self.ctx.phase = RunPhase::Dead(self.ctx.now);
            return Ok(());
        };
        let changed = self.ctx.oracle.reference.tip().is_some_and(|tip| self.ctx.oracle.tree.has_changed(tip));
        if changed {
            self.ctx.count(Event::MembersCalm);
        }
        for index in replicas..self.nodes.len() {
            // The first publisher and the first subscriber always.
            let first = index == replicas || index == replicas + self.ctx.plan.publishers;
            if first || self.ctx.rng.below(4) > 0 {
                healthy |= 1 << index;
            }
        }
        // A journal that lacks what the others have removed gets it from the archiver.
        self.joiners = replay::joiners(self);
        healthy |= archiver.map_or(0, |index| 1 << index) | self.joiners;
        let edges = self.ctx.plan.edges.as_ref().map_or(0, EdgePlan::nodes);
        let first = self.ctx.plan.nodes() - edges;
        let all_edges = ((1 << edges) - 1) << first;
        healthy = healthy & !all_edges | self.draw_healthy_edges();
        self.ctx.phase = RunPhase::Calm(healthy, self.ctx.now);
        self.ctx.tell(0, || Happening::Fault(format!("the storm is over for {healthy:#b}")));
        for index in 0..self.nodes.len() {
            let is_edge =
                matches!(self.nodes[index].actor, Actor::Edge(_) | Actor::Handle(_) | Actor::Second(_));
            if healthy >> index & 1 == 1 || is_edge {
                self.heal(index);
            } else {
                self.break_for_ever(index, healthy);
            }
        }
        self.heal_edges(healthy);
        Ok(())
    }

    /// The seq from which on no retention removes anything: the entries stamped on the present UTC day. 1
    /// without retention.
    fn stored_by_all(&self) -> Seq {
        if self.ctx.plan.retention == Retention::default() {
            return 1;
        }
        let tree = &self.ctx.oracle.tree;
        let day = |node| tree.stem(node).timestamp / DAY_NS;
        let logs = (0..self.ctx.plan.replicas).filter_map(|node| self.ctx.oracle.log_tip(node));
        // The day may turn in the healed phase, whichever replica leads then.
        let walls = self.nodes.iter().filter_map(|node| match &node.actor {
            Actor::Replica(machine) => Some(machine.wall(self.ctx.now.saturating_add(self.live_ns())) / DAY_NS),
            _ => None,
        });
        let today = logs.map(day).chain(walls).max().unwrap_or(0);
        let committed = tree.path(None, self.ctx.oracle.reference.tip());
        let first = committed.into_iter().find(|node| day(*node) >= today);
        first.map_or(self.ctx.oracle.commit_next(), |node| tree.stem(node).first)
    }

    /// The oldest seq that every witness has in its ring, or will have after its restart.
    fn oldest_of_witnesses(&self) -> Seq {
        let witnesses = self.witnesses();
        let rings = self.nodes.iter().filter_map(|node| match &node.actor {
            Actor::Replica(machine) if witnesses.contains(&machine.identity) => machine.oldest_seq(),
            _ => None,
        });
        rings.max().unwrap_or(1)
    }

    /// Whether a takeover waits for a replica that is broken for ever: it led on, half connected, and no
    /// healed one that stores segments has what the rings of the witnesses around it have dropped.
    pub(super) fn waits_for_the_broken(&self, healthy: NodeSet) -> bool {
        let (witnesses, oldest) = (self.witnesses(), self.oldest_of_witnesses());
        let holds = |index: usize| match &self.nodes[index].actor {
            Actor::Replica(machine) => {
                !witnesses.contains(&machine.identity) && self.stored_next(index) >= oldest
            }
            _ => false,
        };
        !witnesses.is_empty()
            && !(0..self.ctx.plan.replicas).any(|index| healthy >> index & 1 == 1 && holds(index))
    }

    /// Whether an edge waits for the start of a trading day (DECISIONS 11), or a replica for its operator.
    pub(super) fn waits_for_another_day(&self) -> bool {
        let lacks = |node: &SimNode| match &node.actor {
            Actor::Edge(edge) => edge.lacks_beginning(),
            Actor::Replica(machine) => self.ctx.plan.archives_are_cut && replay::is_overtaken(machine),
            _ => false,
        };
        self.ctx.plan.retention != Retention::default() && self.nodes.iter().any(lacks)
    }

    fn heal(&mut self, index: usize) {
        let (now, short_ns) = (self.ctx.now, self.short_ns());
        let node = &mut self.nodes[index];
        (node.paused_until, node.wake_at) = (0, now);
        match &mut node.actor {
            Actor::Replica(machine) => {
                (machine.disk_full_until, machine.disk_slow_until) = (0, 0);
                if let MachineState::Down(_, until) = &mut machine.state {
                    *until = now;
                }
                // Planned in the fault phase: to die in a call or installing, to stop, to lose power then.
                for ordeal in [&mut machine.ordeal, &mut node.dies_installing].into_iter().flatten() {
                    ordeal.lasting = ordeal.lasting.min(short_ns);
                }
                if let Some((_, until)) = &mut machine.stopping {
                    *until = (*until).min(now.saturating_add(short_ns));
                }
                machine.darkens = machine.darkens.map(|lasting| lasting.min(short_ns));
            }
            Actor::Publisher(..) | Actor::Subscriber(..) | Actor::Participant(..) => {}
            Actor::Edge(_) | Actor::Handle(_) | Actor::Second(_) => {}
        }
        let is_down = !node.actor.runs();
        if let Some(work) = node.actor.work_mut().filter(|work| work.restart_at != Nanos::MAX) {
            if is_down {
                work.restart_at = now;
            }
            if !work.fenced {
                // Not so many that the rings wrap once more.
                work.left = work.left.min(LEFT_MAX) + MORE;
            }
        }
        if let Some(reading) = node.actor.reading_mut() {
            reading.restart_at = now;
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
                if let Actor::Replica(machine) = &mut self.nodes[index].actor {
                    machine.kill_if_up(forever);
                    if let MachineState::Down(_, until) = &mut machine.state {
                        *until = forever;
                    }
                }
                "crashed"
            }
            0 | 1 => {
                self.nodes[index].paused_until = forever;
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
