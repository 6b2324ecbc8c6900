//! The nodes healed at the end of the fault phase: a random quorum, of every membership that may be in
//! force.

use crate::check::Oracle;
use crate::check::log_tree::TreeNode;
use crate::machines::{MachineNode, Machines};
use crate::operator::Command;
use crate::plan::{DAY_NS, Plan};
use crate::rng::Rng;
use crate::wire::NodeSet;
use lockstep_replica::journal::Retention;
use lockstep_wire::{Change, Identity, Nanos, Seq};

/// A membership that may count, with the seq of the entry that lists it, and its members that never lead.
struct Listed {
    seq: Seq,
    members: Vec<Identity>,
    witnesses: Vec<Identity>,
}

/// The memberships that may be in force, by the logs of machines and by what operators have commanded: they
/// decide who may lead, and who counts. It looks, and touches nothing.
pub(crate) struct Electorate<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) oracle: &'a Oracle,
    pub(crate) machines: &'a Machines,
    /// Every change that was ever commanded.
    pub(crate) commands: &'a [Command],
}

impl Electorate<'_> {
    /// The members at the end of the committed prefix and of every log that goes further or diverges; and
    /// those after a change that was commanded for one of them and may still be stamped.
    fn memberships(&self) -> Vec<Listed> {
        let (tree, tip) = (&self.oracle.facts.tree, self.oracle.facts.reference.tip());
        let logs = (0..self.plan.replicas).map(|node| self.oracle.facts.log_tip(node));
        // A log of an ancestor history counts for no member.
        let history = self.oracle.facts.history();
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
        for node in (0..self.plan.replicas).filter(|node| self.machines.identity_at(*node).is_some()) {
            let known = self.machines.known_commit(node);
            for change in tree.path(None, self.oracle.facts.log_tip(node)) {
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
        for (after, change, identity, _) in self.commands {
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
    pub(crate) fn witnesses(&self) -> Vec<Identity> {
        self.memberships().into_iter().flat_map(|listed| listed.witnesses).collect()
    }

    /// One node that may lead, and as many more as every membership needs; `None` if these are too few. Then
    /// some of the learners.
    pub(crate) fn draw(&self, rng: &mut Rng, mut alive: Vec<usize>) -> Option<NodeSet> {
        let memberships = self.memberships();
        let mut drawn = Vec::new();
        while !alive.is_empty() {
            drawn.push(alive.swap_remove(rng.below(alive.len() as u64) as usize));
        }
        let lists = |listed: &Listed, node: usize| {
            self.machines.identity_at(node).is_some_and(|identity| listed.members.contains(&identity))
        };
        let begun =
            |node: usize| self.machines.left_of(self.oracle, node, self.oracle.facts.log_next(node)) >= 2;
        // A member that lacks a committed change and has promised above it takes that from nobody but a
        // leader (S2): alone with the nodes that store it and never lead, it waits for one more.
        let tip = self.oracle.facts.reference.tip().map(|tip| self.oracle.facts.tree.stem(tip));
        let informed = |node: usize| {
            tip.is_none_or(|tip| {
                self.oracle.facts.agreed_next(node) > tip.members_seq
                    || self.oracle.facts.promised(node) <= tip.epoch
            })
        };
        let leads = |node: usize| {
            begun(node)
                && informed(node)
                && memberships.iter().all(|listed| {
                    let witness =
                        self.machines.identity_at(node).is_some_and(|one| listed.witnesses.contains(&one));
                    lists(listed, node) && !witness
                })
        };
        let first = drawn.iter().copied().find(|node| leads(*node))?;
        let mut quorum: NodeSet = 1 << first;
        for listed in &memberships {
            let votes = |quorum: NodeSet| {
                (0..self.plan.replicas).filter(|node| quorum >> node & 1 == 1 && lists(listed, *node)).count()
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
            if rng.below(2) == 0 {
                quorum |= 1 << node;
            }
        }
        Some(quorum)
    }

    /// The seq from which on no retention removes anything until then: the entries stamped on the present UTC
    /// day. 1 without retention.
    pub(crate) fn stored_by_all(&self, until: Nanos) -> Seq {
        if self.plan.retention == Retention::default() {
            return 1;
        }
        let tree = &self.oracle.facts.tree;
        let day = |node| tree.stem(node).timestamp / DAY_NS;
        let logs = (0..self.plan.replicas).filter_map(|node| self.oracle.facts.log_tip(node));
        // The day may turn in the healed phase, whichever replica leads then.
        let walls = self.machines.nodes.iter().map(|node| node.machine.wall(until) / DAY_NS);
        let today = logs.map(day).chain(walls).max().unwrap_or(0);
        let committed = tree.path(None, self.oracle.facts.reference.tip());
        let first = committed.into_iter().find(|node| day(*node) >= today);
        first.map_or(self.oracle.facts.commit_next(), |node| tree.stem(node).first)
    }

    /// The oldest seq that every witness has in its ring, or will have after its restart.
    pub(crate) fn oldest_of_witnesses(&self) -> Seq {
        let witnesses = self.witnesses();
        let counts = |node: &&MachineNode| witnesses.contains(&node.machine.identity);
        let rings = self.machines.nodes.iter().filter(counts).filter_map(|node| node.machine.oldest_seq());
        rings.max().unwrap_or(1)
    }

    /// Whether a takeover waits for a replica that is broken for ever: it led on, half connected, and no
    /// healed one that stores segments has what the rings of the witnesses around it have dropped.
    pub(crate) fn waits_for_the_broken(&self, healthy: NodeSet) -> bool {
        let (witnesses, oldest) = (self.witnesses(), self.oldest_of_witnesses());
        let holds = |index: usize| match self.machines.get(index) {
            Some(machine) => {
                !witnesses.contains(&machine.identity)
                    && self.machines.stored_next(self.oracle, index) >= oldest
            }
            _ => false,
        };
        !witnesses.is_empty()
            && !(0..self.plan.replicas).any(|index| healthy >> index & 1 == 1 && holds(index))
    }
}
