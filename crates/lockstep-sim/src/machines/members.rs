//! Which identities the members are, what of their journals is left, and which may be lost.

use crate::check::log_tree::Stem;
use crate::check::{Oracle, Violation};
use crate::context::RunContext;
use crate::coverage::Event;
use crate::kinds::FaultNode;
use crate::machine::storage::Flushed;
use crate::machine::{Machine, MachineState};
use crate::machines::Machines;
use crate::story::Happening;
use lockstep_replica::journal::Retention;
use lockstep_wire::{Identity, Seq};

impl Machines {
    /// The members at the end of what is committed.
    pub(crate) fn members_in_force(&self, ctx: &RunContext) -> Vec<Identity> {
        match ctx.oracle.facts.reference.tip() {
            Some(tip) => ctx.oracle.facts.tree.stem(tip).members.clone(),
            None => (0..ctx.plan.founders).filter_map(|node| self.identity_at(node)).collect(),
        }
    }

    /// The end of the committed prefix that a node stores, or will after its restart.
    pub(crate) fn stored_next(&self, oracle: &Oracle, node: usize) -> Seq {
        self.left_of(oracle, node, oracle.facts.agreed_next(node))
    }

    /// The part of a node's log up to `next` that is left after its restart.
    pub(crate) fn left_of(&self, oracle: &Oracle, node: usize, next: Seq) -> Seq {
        match self.get(node) {
            // A store that is armed may still lose power with the process.
            Some(machine) if machine.has_rebooted() || machine.store.is_armed() => {
                next.min(oracle.facts.durable_next(node))
            }
            _ => next,
        }
    }

    /// The commit that a process knows; one that is down may have to learn it again.
    pub(crate) fn known_commit(&self, node: usize) -> Seq {
        match self.get(node) {
            Some(machine) => machine.replica().map_or(1, |replica| replica.core.commit_next()),
            _ => 1,
        }
    }

    /// The end of the leader's log.
    pub(crate) fn status<'a>(&self, ctx: &'a RunContext) -> Option<&'a Stem> {
        let leader = self.resolve(FaultNode::Leader)?;
        ctx.oracle.facts.log_tip(leader).map(|tip| ctx.oracle.facts.tree.stem(tip))
    }

    /// A new journal, with a new incarnation, for a machine whose old one is lost for good.
    pub(crate) fn renew(&mut self, ctx: &mut RunContext, node: usize) -> Result<(), Violation> {
        let (plan, now) = (&ctx.plan, ctx.now);
        let Some(machine) = self.get_mut(node) else { return Ok(()) };
        ctx.oracle.facts.on_forgotten(machine.identity);
        ctx.oracle.facts.on_renewed(node);
        let old = machine.identity;
        *machine =
            Machine::new(plan, machine.configured, Identity { incarnation: old.incarnation + 0x100, ..old })?;
        if let MachineState::Down(_, until) = &mut machine.state {
            *until = now + plan.timeout_ns / 2;
        }
        self.lost &= !(1 << node);
        (self.nodes[node].led, self.nodes[node].notice) = (None, Vec::new());
        ctx.tell(node, || Happening::Fault(format!("is formatted anew, it was {old}")));
        Ok(())
    }

    /// The process of `index` has ended: its watcher may announce it.
    pub(crate) fn announce_death(&mut self, ctx: &mut RunContext, index: usize) {
        let notice = std::mem::take(&mut self.nodes[index].notice);
        if self.nodes[index].led.take().is_some() {
            self.leaders_ended += 1;
            ctx.tell(index, || Happening::Leads(None));
        }
        if !notice.is_empty() && ctx.rng.below(4) > 0 {
            ctx.count(Event::Downs);
            let after_ns = 40_000 + ctx.rng.below(80_000);
            ctx.announce_truly(index, &notice, after_ns);
        }
        if !notice.is_empty() {
            self.old_notices.push((index, notice));
        }
    }

    /// A process that was requested to stop does so when its duties are done, or after a while.
    pub(crate) fn stop_if_drained(&mut self, ctx: &mut RunContext, index: usize) -> Result<(), Violation> {
        let now = ctx.now;
        let Some(machine) = self.get_mut(index) else { return Ok(()) };
        let Some((deadline, until)) = machine.stopping else { return Ok(()) };
        if machine.replica().is_some_and(|replica| replica.is_drained()) {
            machine.stopping = None;
            match machine.stop(now, until.max(now))? {
                Flushed::GoesOn => {
                    ctx.count(Event::CleanStops);
                    self.nodes[index].carry_stopped(ctx, index);
                    self.moved_tail(ctx, index);
                    self.darken(ctx, index);
                }
                Flushed::Died => {
                    self.on_died(ctx, index);
                    return Ok(());
                }
                Flushed::Failed(why) => {
                    self.on_device_failed(ctx, index, why);
                    return Ok(());
                }
                Flushed::Damaged(_) => machine.kill(until.max(now), None),
            }
        } else if now >= deadline {
            machine.stopping = None;
            machine.kill(until.max(now), None);
        } else {
            return Ok(());
        }
        self.announce_death(ctx, index);
        ctx.tell(index, || Happening::Note("has stopped".to_string()));
        Ok(())
    }

    /// Whether one more identity may be lost.
    pub(crate) fn may_lose(&self, ctx: &RunContext, index: usize) -> bool {
        // Only the archiver has what replicas have removed.
        if ctx.plan.is_archiver(index)
            && ctx.plan.retention != Retention::default()
            && !ctx.plan.archives_are_cut
        {
            return false;
        }
        let members = self.members_in_force(ctx);
        let is_lost = |member: &&Identity| self.node_of(**member).is_none_or(|node| node == index);
        let lost = members.iter().filter(is_lost).count();
        lost < members.len().div_ceil(2)
    }

    pub(crate) fn forget(&mut self, ctx: &mut RunContext, target: FaultNode) {
        let Some(index) = self.resolve(target).filter(|index| self.may_lose(ctx, *index)) else { return };
        self.lost |= 1 << index;
        if let Some(machine) = self.get_mut(index) {
            machine.forget();
            ctx.oracle.facts.on_forgotten(machine.identity);
        }
        self.announce_death(ctx, index);
        ctx.count(Event::Amnesia);
        ctx.tell(index, || Happening::Fault("its journal is gone".to_string()));
    }
}
