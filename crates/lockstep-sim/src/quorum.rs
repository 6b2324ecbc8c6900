//! The nodes healed at the end of the fault phase: a random quorum, of every membership that may be in
//! force.

use super::check::log_tree::TreeNode;
use super::wire::NodeSet;
use super::world::{Actor, World};
use lockstep_wire::{Change, Identity, Seq};

/// A membership that may count, with the seq of the entry that lists it, and its members that never lead.
struct Listed {
    seq: Seq,
    members: Vec<Identity>,
    witnesses: Vec<Identity>,
}

impl World {
    /// The members at the end of what is committed.
    pub(super) fn members_in_force(&self) -> Vec<Identity> {
        match self.ctx.oracle.reference.tip() {
            Some(tip) => self.ctx.oracle.tree.stem(tip).members.clone(),
            None => (0..self.ctx.plan.founders).filter_map(|node| self.identity_at(node)).collect(),
        }
    }

    /// The members at the end of the committed prefix and of every log that goes further or diverges; and
    /// those after a change that was commanded for one of them and may still be stamped.
    fn memberships(&self) -> Vec<Listed> {
        let (tree, tip) = (&self.ctx.oracle.tree, self.ctx.oracle.reference.tip());
        let logs = (0..self.ctx.plan.replicas).map(|node| self.ctx.oracle.log_tip(node));
        // A log of an ancestor history counts for no member.
        let history = self.ctx.oracle.history();
        let is_present = |log: &Option<TreeNode>| log.is_none_or(|log| tree.stem(log).history == history);
        let further = logs.filter(is_present).filter(|log| !tree.begins_with(tip, *log));
        let mut found: Vec<Listed> = further
            .chain([tip])
            .flatten()
            .map(|end| {
                let stem = tree.stem(end);
                let (members, witnesses) = (stem.members.clone(), stem.witnesses.clone());
                Listed { seq: stem.members_seq, members, witnesses }
            })
            .collect();
        // A member that does not know the commit of a change that needs both sides needs both of them to
        // lead (S5).
        for node in (0..self.ctx.plan.replicas).filter(|node| self.identity_at(*node).is_some()) {
            let known = self.known_commit(node);
            for change in tree.path(None, self.ctx.oracle.log_tip(node)) {
                let stem = tree.stem(change);
                let before = stem.parent.map(|parent| tree.stem(parent));
                if let Some(before) = before.filter(|_| stem.changes && stem.next > known)
                    && (before.members.len() == 2 || before.members.len() == stem.members.len())
                {
                    let (members, witnesses) = (before.members.clone(), before.witnesses.clone());
                    found.push(Listed { seq: 0, members, witnesses });
                }
            }
        }
        for (after, change, identity, _) in &self.operator.commands {
            for at in 0..found.len() {
                let Listed { seq, members, witnesses } = &found[at];
                if seq != after || members.contains(identity) == (*change != Change::Remove) {
                    continue;
                }
                let mut members = members.clone();
                match change {
                    Change::Add => members.push(*identity),
                    Change::Remove => members.retain(|member| member != identity),
                    Change::Replace => {
                        members
                            .iter_mut()
                            .filter(|one| one.replica == identity.replica)
                            .for_each(|one| *one = *identity);
                    }
                }
                let witnesses = witnesses.clone();
                // No change was commanded behind it, as nobody has seen it.
                found.push(Listed { seq: 0, members, witnesses });
            }
        }
        found
    }

    /// The identities that never lead, in any membership that may count.
    pub(super) fn witnesses(&self) -> Vec<Identity> {
        self.memberships().into_iter().flat_map(|listed| listed.witnesses).collect()
    }

    /// The end of the committed prefix that a node stores, or will after its restart.
    pub(super) fn stored_next(&self, node: usize) -> Seq {
        self.left_of(node, self.ctx.oracle.agreed_next(node))
    }

    /// The part of a node's log up to `next` that is left after its restart.
    fn left_of(&self, node: usize, next: Seq) -> Seq {
        match &self.nodes[node].actor {
            // A store that is armed may still lose power with the process.
            Actor::Replica(machine) if machine.has_rebooted() || machine.store.is_armed() => {
                next.min(self.ctx.oracle.durable_next(node))
            }
            _ => next,
        }
    }

    /// The commit that a process knows; one that is down may have to learn it again.
    fn known_commit(&self, node: usize) -> Seq {
        match &self.nodes[node].actor {
            Actor::Replica(machine) => machine.replica().map_or(1, |replica| replica.core.commit_next()),
            _ => 1,
        }
    }

    /// One node that may lead, and as many more as every membership needs; `None` if these are too few. Then
    /// some of the learners.
    pub(super) fn draw_quorum(&mut self, mut alive: Vec<usize>) -> Option<NodeSet> {
        let memberships = self.memberships();
        let mut drawn = Vec::new();
        while !alive.is_empty() {
            drawn.push(alive.swap_remove(self.ctx.rng.below(alive.len() as u64) as usize));
        }
        let lists = |listed: &Listed, node: usize| {
            self.identity_at(node).is_some_and(|identity| listed.members.contains(&identity))
        };
        let begun = |node: usize| self.left_of(node, self.ctx.oracle.log_next(node)) >= 2;
        // A member that lacks a committed change and has promised above it takes that from nobody but a
        // leader (S2): alone with the nodes that store it and never lead, it waits for one more.
        let tip = self.ctx.oracle.reference.tip().map(|tip| self.ctx.oracle.tree.stem(tip));
        let informed = |node: usize| {
            tip.is_none_or(|tip| {
                self.ctx.oracle.agreed_next(node) > tip.members_seq || self.ctx.oracle.promised(node) <= tip.epoch
            })
        };
        let leads = |node: usize| {
            begun(node)
                && informed(node)
                && memberships.iter().all(|listed| {
                    let witness = self.identity_at(node).is_some_and(|one| listed.witnesses.contains(&one));
                    lists(listed, node) && !witness
                })
        };
        let first = drawn.iter().copied().find(|node| leads(*node))?;
        let mut quorum: NodeSet = 1 << first;
        for listed in &memberships {
            let votes = |quorum: NodeSet| {
                (0..self.ctx.plan.replicas).filter(|node| quorum >> node & 1 == 1 && lists(listed, *node)).count()
            };
            for node in drawn.iter().filter(|node| lists(listed, **node)) {
                if votes(quorum) <= listed.members.len() / 2 {
                    quorum |= 1 << node;
                }
            }
            if votes(quorum) <= listed.members.len() / 2 {
                return None;
            }
        }
        let learners = |node: &&usize| !memberships.iter().any(|listed| lists(listed, **node));
        for node in drawn.iter().filter(learners).copied().collect::<Vec<_>>() {
            if self.ctx.rng.below(2) == 0 {
                quorum |= 1 << node;
            }
        }
        Some(quorum)
    }
}
