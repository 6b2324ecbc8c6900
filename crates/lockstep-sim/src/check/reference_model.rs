//! The reference model: the committed prefix by the definition, counted from what replicas really store. No
//! process sees it. What a process calls committed must lie within it.
//!
//! ```text
//!   held[e][i]: how much of the log of e replica i has ever held while its log ended in e
//!   committed in e: the greatest n > base(e) that a quorum of the members at n has held     (S4)
//! ```
//!
//! A change between memberships whose majorities need not share a member needs a majority of both, as one
//! from two members does, and nothing behind it is committed before it. A member declared dead counts, in
//! the epochs of the survivor only, as one that stores the epoch's start and its own removal right behind
//! it.

use super::log_tree::{Stamped, Stem, Tree, TreeNode, needs_both};
use super::{MessageKey, Violation};
use lockstep_wire::{Epoch, Identity, Seq};
use std::collections::BTreeMap;
use std::fmt;

/// One epoch as the reference model sees it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Reign {
    start: TreeNode,
    base: Seq,
    /// The longest log of the epoch.
    longest: TreeNode,
    stored: BTreeMap<Identity, Seq>,
    committed: Option<TreeNode>,
}

/// See the module.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct ReferenceModel {
    reigns: BTreeMap<Epoch, Reign>,
    tip: Option<TreeNode>,
    /// Survivor and dead, by the operator's command.
    declared: Vec<(Identity, Identity)>,
    /// The committed messages, in order.
    messages: Vec<Stamped>,
    /// The first seqs of those in parts.
    begins: BTreeMap<Seq, Seq>,
    /// The last parts of those that PARTS-1 has discarded.
    discarded: BTreeMap<Seq, MessageKey>,
}

impl ReferenceModel {
    /// The committed prefix in a history that is founded on the log which ends with `tip`: all of it, by the
    /// operator's command. A message without its beginning is never delivered.
    pub fn founded(tree: &Tree, tip: TreeNode) -> Self {
        let mut reference_model = Self { tip: Some(tip), ..Self::default() };
        for node in tree.path(None, Some(tip)) {
            reference_model.take_messages(tree.stem(node));
        }
        reference_model
    }

    /// The end of the committed prefix.
    pub fn tip(&self) -> Option<TreeNode> {
        self.tip
    }

    /// The committed messages from `seq` on.
    pub fn messages_from(&self, seq: Seq) -> &[Stamped] {
        &self.messages[self.messages.partition_point(|(at, _)| *at < seq)..]
    }

    /// The committed messages from `seq` on that began at `from` or later.
    pub fn begun_from(&self, seq: Seq, from: Seq) -> impl Iterator<Item = &Stamped> {
        self.messages_from(seq).iter().filter(move |(at, _)| self.begin_of(*at) >= from)
    }

    /// The first seq of the committed message at `seq`.
    pub fn begin_of(&self, seq: Seq) -> Seq {
        self.begins.get(&seq).copied().unwrap_or(seq)
    }

    /// The committed message at `seq` that readers deliver, or that none does (PARTS-1).
    pub fn outcome(&self, seq: Seq, is_discarded: bool) -> Option<MessageKey> {
        if is_discarded { self.discarded.get(&seq).copied() } else { self.message(seq) }
    }

    /// The committed message at `seq`.
    pub fn message(&self, seq: Seq) -> Option<MessageKey> {
        self.messages_from(seq).first().filter(|(at, _)| *at == seq).map(|(_, key)| *key)
    }

    /// Epochs that began.
    pub fn epochs(&self) -> usize {
        self.reigns.len()
    }

    /// Whether anything of this epoch is committed.
    pub fn has_committed(&self, epoch: Epoch) -> bool {
        self.reigns.get(&epoch).is_some_and(|reign| reign.committed.is_some())
    }

    /// The operator declared `dead` dead to `survivor`.
    pub fn on_declared(&mut self, survivor: Identity, dead: Identity) {
        self.declared.push((survivor, dead));
    }

    /// Whether the operator declared `dead` dead where `survivor` leads.
    pub fn is_declared(&self, survivor: Identity, dead: Identity) -> bool {
        self.declared.contains(&(survivor, dead))
    }

    /// The frames above what is committed, newest first, that change the members in the log that ends with
    /// `log`.
    pub fn open_changes<'a>(
        &'a self,
        tree: &'a Tree,
        log: Option<TreeNode>,
    ) -> impl Iterator<Item = TreeNode> + 'a {
        tree.path(tree.common(self.tip, log), log).into_iter().rev().filter(|node| tree.stem(*node).changes)
    }

    /// MEMBER-1: a change waits for the one before, and for the commit of its epoch's start; the removal of
    /// whom the operator declared dead stands right behind the start, and waits for nothing.
    pub fn check_change(&self, tree: &Tree, node: TreeNode) -> Result<(), Violation> {
        let stem = tree.stem(node);
        let before = stem.parent.map(|parent| tree.stem(parent));
        let Some(before) = before.filter(|_| stem.changes) else { return Ok(()) };
        let left = before.members.iter().find(|member| !stem.members.contains(member));
        let buries = left.is_some_and(|left| self.is_declared(stem.epoch.leader(), *left));
        if buries && before.starts && before.members.len() == 2 {
            return Ok(());
        }
        let start = self.reigns.get(&stem.epoch).map(|reign| reign.start);
        if let Some(open) = self.open_changes(tree, stem.parent).next() {
            return Err(format!(
                "S4: the members change at {} while the change at {} is not committed",
                stem.first,
                tree.stem(open).first
            ));
        }
        if !tree.begins_with(self.tip, start) {
            return Err(format!("S4: the members change at {} before {} is", stem.first, stem.epoch));
        }
        Ok(())
    }

    /// A frame of an epoch was seen for the first time. A start must follow everything that is committed
    /// in the epochs before (S5: leader completeness).
    pub fn on_frame(&mut self, tree: &Tree, node: TreeNode) -> Result<(), Violation> {
        let stem = tree.stem(node);
        if stem.epoch.round() == 0 {
            return Ok(());
        }
        if stem.starts {
            for (epoch, reign) in self.reigns.range(..stem.epoch) {
                if !tree.begins_with(stem.parent, reign.committed) {
                    return Err(format!(
                        "S5: {} begins at {} on a log without what {epoch} committed up to {}",
                        stem.epoch,
                        stem.first,
                        tree.next(reign.committed)
                    ));
                }
            }
            let reign = Reign {
                start: node,
                base: stem.first,
                longest: node,
                stored: BTreeMap::new(),
                committed: None,
            };
            self.reigns.insert(stem.epoch, reign);
        } else if let Some(reign) = self.reigns.get_mut(&stem.epoch)
            && stem.next > tree.next(Some(reign.longest))
        {
            if stem.parent != Some(reign.longest) {
                return Err(format!("S1: {} stamped two logs: they part at {}", stem.epoch, stem.first));
            }
            reign.longest = node;
        }
        Ok(())
    }

    /// `identity` has stored the log that ends with `tip` up to `next` for good. Returns the frames that are
    /// committed now and were not before.
    pub fn on_stored(
        &mut self,
        tree: &Tree,
        identity: Identity,
        tip: TreeNode,
        next: Seq,
    ) -> Result<Vec<TreeNode>, Violation> {
        let epoch = tree.stem(tip).epoch;
        let Some(reign) = self.reigns.get_mut(&epoch) else { return Ok(Vec::new()) };
        let stored = reign.stored.entry(identity).or_default();
        if next <= *stored || next <= reign.base {
            return Ok(Vec::new());
        }
        *stored = next;
        let leader = epoch.leader();
        let dead = self.declared.iter().filter(|(survivor, _)| *survivor == leader).map(|(_, dead)| *dead);
        let dead: Vec<Identity> = dead.collect();
        let committed = reign.count(tree, self.tip, &dead);
        if committed == reign.committed {
            return Ok(Vec::new());
        }
        reign.committed = committed;
        self.on_committed(tree, epoch, committed)
    }

    fn on_committed(
        &mut self,
        tree: &Tree,
        epoch: Epoch,
        committed: Option<TreeNode>,
    ) -> Result<Vec<TreeNode>, Violation> {
        let next = tree.next(committed);
        for (later, reign) in self.reigns.range(epoch..).skip(1) {
            let before = tree.stem(reign.start).parent;
            if !tree.begins_with(before, committed) {
                return Err(format!(
                    "S5: {epoch} commits up to {next} what {later}, which began at {}, does not have",
                    reign.base
                ));
            }
        }
        if next <= tree.next(self.tip) {
            return if tree.begins_with(self.tip, committed) {
                Ok(Vec::new())
            } else {
                Err(format!("S6: {epoch} commits another log up to {next}"))
            };
        }
        if !tree.begins_with(committed, self.tip) {
            return Err(format!(
                "S6: {epoch} commits up to {next} a log without what is committed up to {}",
                tree.next(self.tip)
            ));
        }
        let new = tree.path(self.tip, committed);
        self.tip = committed;
        for node in &new {
            if let Some(torn) = &tree.stem(*node).torn {
                return Err(format!("INTEGRITY: {epoch} commits {torn}"));
            }
            self.take_messages(tree.stem(*node));
        }
        Ok(new)
    }

    fn take_messages(&mut self, stem: &Stem) {
        self.messages.extend_from_slice(&stem.messages);
        self.begins.extend(stem.begins.iter().copied());
        self.discarded.extend(stem.discarded.iter().copied());
    }

    /// Whether everything below `next` is committed, and the log that ends with `log` has it.
    pub fn allows(&self, tree: &Tree, next: Seq, log: Option<Option<TreeNode>>) -> bool {
        let has_it = |log| {
            let own = tree.cut(log, next);
            own == tree.cut(self.tip, next) && tree.next(own) == next
        };
        next <= tree.next(self.tip) && log.is_none_or(has_it)
    }

    /// S4, S6: a process calls everything below `next` committed, and holds the log that ends with `log`.
    pub fn check_claim(
        &self,
        tree: &Tree,
        who: fmt::Arguments<'_>,
        next: Seq,
        log: Option<Option<TreeNode>>,
    ) -> Result<(), Violation> {
        if self.allows(tree, next, log) {
            return Ok(());
        }
        let is = tree.next(self.tip);
        if next > is {
            return Err(format!("S4: {who} calls everything below {next} committed, but {is} is the bound"));
        }
        Err(format!(
            "S6: {who} calls everything below {next} committed, in another log than the committed one"
        ))
    }
}

impl Reign {
    /// S4, by the definition, above `tip`; `dead` are those for whom the operator's word stands.
    fn count(&self, tree: &Tree, tip: Option<TreeNode>, dead: &[Identity]) -> Option<TreeNode> {
        let most = self.stored.values().copied().max().unwrap_or_default();
        let mut at = tree.cut(Some(self.longest), most);
        while let Some(node) = at
            && at != self.committed
            && tree.stem(node).next > self.base
        {
            if self.is_committed(tree, tip, dead, node) {
                return at;
            }
            at = tree.stem(node).parent;
        }
        self.committed
    }

    fn is_committed(&self, tree: &Tree, tip: Option<TreeNode>, dead: &[Identity], node: TreeNode) -> bool {
        if !self.is_quorum(tree, &tree.stem(node).members, dead, node) {
            return false;
        }
        let above = tree.path(tree.common(tip, Some(node)), Some(node));
        above.into_iter().all(|change| {
            let stem = tree.stem(change);
            let before = stem.parent.map_or(&[][..], |parent| &tree.stem(parent).members);
            // An inherited change is committed by the replicas that store the start of this epoch behind it.
            let stored = if stem.next > self.base { change } else { self.start };
            !stem.changes || !needs_both(before, &stem.members) || self.is_quorum(tree, before, dead, stored)
        })
    }

    /// Whether more than half of these store the log up to the end of `node`.
    fn is_quorum(&self, tree: &Tree, members: &[Identity], dead: &[Identity], node: TreeNode) -> bool {
        let (stem, next) = (tree.stem(node), tree.next(Some(node)));
        let is_its_own = |one: &Identity| {
            let behind_start = stem.parent == Some(self.start) && stem.changes;
            dead.contains(one) && (node == self.start || behind_start && !stem.members.contains(one))
        };
        let holds =
            |one: &&Identity| self.stored.get(one).is_some_and(|stored| *stored >= next) || is_its_own(one);
        members.iter().filter(holds).count() > members.len() / 2
    }
}
