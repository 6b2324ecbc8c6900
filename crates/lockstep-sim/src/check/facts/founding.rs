//! A history that was founded on the rest of another one: LINEAGE-1 to LINEAGE-3 as sentences. The committed
//! prefix of the ancestor is retained, so that the nodes that live in it are judged by it; nothing more is
//! ever committed there.

use super::{OracleFacts, ReplicaModel};
use crate::check::Violation;
use crate::check::log_tree::{Tree, TreeNode};
use crate::check::reference_model::ReferenceModel;
use crate::coverage::Event;
use lockstep_core::engine::event::{ReplicaEvent as NodeEvent, Role};
use lockstep_core::proto::log::LogEnd;
use lockstep_wire::{Epoch, Identity, Seq};
use std::collections::BTreeMap;
use std::fmt;

/// The first history of every run.
const FIRST: u64 = crate::engines::HISTORY;

/// The report to the operator, and the operator's command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReportedFounding {
    /// The new history.
    pub history: u64,
    /// The end of the log on which it is founded.
    pub end: LogEnd,
    /// The report states that nothing is missing.
    pub says_all: bool,
}

/// A founding, by the operator's command.
#[derive(Clone, Debug)]
pub(crate) struct Founded {
    pub(crate) history: u64,
    pub(crate) founder: Identity,
    /// The end of the ancestor log.
    pub(crate) tip: TreeNode,
    /// The seq of the founding.
    pub(crate) next: Seq,
    pub(crate) ancestor: ReferenceModel,
    /// The identities that went over to it without a vote, and where the log of each ended then.
    crossed: BTreeMap<Identity, Seq>,
}

impl Founded {
    /// The committed prefix of the ancestor history.
    pub(crate) fn ancestor(&self) -> &ReferenceModel {
        &self.ancestor
    }

    /// The seq of the founding.
    pub(crate) fn next(&self) -> Seq {
        self.next
    }

    pub(crate) fn new(
        report: &ReportedFounding,
        founder: Identity,
        tip: TreeNode,
        ancestor: ReferenceModel,
    ) -> Self {
        let (history, next) = (report.history, report.end.next);
        Self { history, founder, tip, next, ancestor, crossed: BTreeMap::new() }
    }

    /// Whether this identity had a vote in the history before, with a log of that up to `tip`: the log listed
    /// it with which it went over. What it read later it only copied.
    fn had_vote(&self, tree: &Tree, identity: Identity, tip: TreeNode) -> bool {
        let went_with = match self.crossed.get(&identity) {
            Some(next) => tree.cut(Some(tip), *next),
            None => Some(tip),
        };
        self.founder != identity && went_with.is_some_and(|node| tree.stem(node).members.contains(&identity))
    }

    /// S12: a node that goes over has no vote before its log has the founding, whatever that lists below it.
    pub(crate) fn check_crossing(&mut self, node: &ReplicaModel, event: &NodeEvent) -> Result<(), Violation> {
        let identity = node.identity;
        match *event {
            NodeEvent::Founded { own_next, goes_on: true, .. } => {
                self.crossed.insert(identity, own_next);
            }
            // A process that starts lives in the history of its log.
            NodeEvent::Role { from: Role::Blank, .. } => {
                self.crossed.remove(&identity);
            }
            NodeEvent::Role { to: Role::Standby, seq, .. }
                if seq <= self.next && self.crossed.contains_key(&identity) =>
            {
                return Err(format!(
                    "S12: {identity} votes in {:x} at {seq}, below its founding at {}",
                    self.history, self.next
                ));
            }
            _ => {}
        }
        Ok(())
    }
}

impl ReplicaModel {
    /// The highest epoch that binds it. The epoch of its log does, too: behind a founding nothing else was
    /// promised.
    pub(crate) fn binding(&self) -> Epoch {
        self.promised.max(self.end.epoch)
    }
}

impl OracleFacts {
    /// The seq at which a history was founded, if one was.
    pub fn founding(&self) -> Option<Seq> {
        self.founding.as_ref().map(|founded| founded.next)
    }

    /// The present history.
    pub fn history(&self) -> u64 {
        self.founding.as_ref().map_or(FIRST, |founded| founded.history)
    }

    /// The committed prefix of each history in which a node may live.
    pub(crate) fn reference_models(&self) -> impl Iterator<Item = &ReferenceModel> {
        self.founding.iter().map(|founded| &founded.ancestor).chain([&self.reference])
    }

    /// Whether this history is an ancestor.
    pub(crate) fn is_left(&self, history: u64) -> bool {
        self.founding.is_some() && history == FIRST
    }

    /// Whether the frame was stamped in an ancestor history.
    pub(crate) fn is_ancestor(&self, node: TreeNode) -> bool {
        self.is_left(self.tree.stem(node).history)
    }

    /// Of all the inspected journals, none has more of the committed prefix than the chosen one.
    pub fn check_longest(&self, all: &[LogEnd], chosen: &LogEnd) -> Result<(), Violation> {
        let holds = |end: &LogEnd| {
            let tip = self.known_end(end.next, end.chain);
            tip.map(|tip| self.tree.next(self.tree.common(Some(tip), self.reference.tip())))
        };
        let Some(most) = holds(chosen) else {
            return Err(format!("RECOVER: a journal ends at {chosen:?}, and nobody stamped that"));
        };
        match all.iter().find(|end| holds(end).is_some_and(|stored| stored > most)) {
            None => Ok(()),
            Some(better) => Err(format!(
                "RECOVER: a history is to be founded on the log up to {chosen:?}, and that up to {better:?} holds more \
                 of what is committed below {}",
                self.commit_next()
            )),
        }
    }

    /// LINEAGE-3: a founding stands where the operator ordered it, and nowhere else.
    pub(crate) fn check_founding(&self, node: TreeNode) -> Result<(), Violation> {
        let stem = self.tree.stem(node);
        let is_ordered = self.founding.as_ref().is_some_and(|founded| {
            (stem.history, stem.epoch.leader(), stem.parent)
                == (founded.history, founded.founder, Some(founded.tip))
        });
        if is_ordered {
            return Ok(());
        }
        Err(format!("LINEAGE-3: {:x} is founded at {} by nobody's word", stem.history, stem.first))
    }

    /// LINEAGE-1: nothing is committed any more in a history that was left, but for what is in the new one as
    /// well.
    pub(crate) fn on_ancestor_log(
        &mut self,
        identity: Identity,
        tip: TreeNode,
        next: Seq,
    ) -> Result<(), Violation> {
        let Some(founded) = &mut self.founding else { return Ok(()) };
        let new = founded.ancestor.on_stored(&self.tree, identity, tip, next)?;
        match new.last() {
            // What other replicas stored before they were lost still counts, and is in the new history as
            // well.
            None => Ok(()),
            Some(last) if self.tree.begins_with(Some(founded.tip), Some(*last)) => Ok(()),
            Some(last) => Err(format!(
                "LINEAGE-1: {identity} commits up to {} in a history that was left at {}",
                self.tree.next(Some(*last)),
                founded.next
            )),
        }
    }

    /// S4, S6, in the history that the claim is about.
    pub(crate) fn check_claim(
        &self,
        who: fmt::Arguments<'_>,
        next: Seq,
        log: Option<Option<TreeNode>>,
    ) -> Result<(), Violation> {
        let ancestor = self.founding.as_ref().map(|founded| &founded.ancestor);
        if ancestor.is_some_and(|ancestor| ancestor.allows(&self.tree, next, log)) {
            return Ok(());
        }
        self.reference.check_claim(&self.tree, who, next, log)
    }

    /// S12: a log goes over to the new history where its owner had no vote in the former one.
    pub(crate) fn check_over(
        &mut self,
        identity: Identity,
        before: Option<TreeNode>,
        now: Option<TreeNode>,
    ) -> Result<(), Violation> {
        let (Some(tip), Some(now)) = (before, now) else { return Ok(()) };
        let (before, now) = (self.tree.stem(tip), self.tree.stem(now));
        if before.history != FIRST || now.history == FIRST {
            return Ok(());
        }
        let had_vote = |founded: &Founded| founded.had_vote(&self.tree, identity, tip);
        if self.founding.as_ref().is_some_and(had_vote) {
            return Err(format!(
                "S12: {identity} had a vote in the history that was left, and goes on in {:x} at {}",
                now.history, now.first
            ));
        }
        self.coverage.count(Event::ArchiversWentOver);
        Ok(())
    }

    /// Whether this replica is of the present history: the founder, or formatted after the founding.
    pub fn is_present(&self, who: usize) -> bool {
        let Some(founded) = &self.founding else { return true };
        self.replicas.get(&who).is_some_and(|replica_model| {
            let members = self.reference.tip().map_or(&[][..], |tip| &self.tree.stem(tip).members);
            replica_model.identity == founded.founder
                || members.contains(&replica_model.identity) && !self.is_left_behind(replica_model)
        })
    }

    fn is_left_behind(&self, replica_model: &ReplicaModel) -> bool {
        replica_model.tip.is_some_and(|tip| self.tree.stem(tip).history == FIRST)
    }

    /// LINEAGE-2, of one that has no vote: it stops for the new history only where it holds what that one
    /// lacks.
    pub fn check_left_behind(&mut self, who: usize, events: &[NodeEvent]) -> Result<(), Violation> {
        let Some(founded) = &self.founding else { return Ok(()) };
        let Some(replica_model) = self.replicas.get(&who) else { return Ok(()) };
        let (tree, identity) = (&self.tree, replica_model.identity);
        let had_vote = replica_model.tip.is_some_and(|tip| founded.had_vote(tree, identity, tip));
        for event in events {
            let NodeEvent::Founded { history, next, commit_next, goes_on: false, .. } = event else {
                continue;
            };
            if (*history, *next) != (founded.history, founded.next) {
                return Err(format!(
                    "LINEAGE-2: replica {who} is told of a founding that is none: {event:?}"
                ));
            }
            let parted = !tree.begins_with(replica_model.tip, Some(founded.tip))
                && !tree.begins_with(Some(founded.tip), replica_model.tip);
            if !had_vote && *commit_next <= founded.next && !parted {
                return Err(format!(
                    "LINEAGE-2: replica {who} has no vote, holds nothing that the new history lacks, and stops: {event:?}"
                ));
            }
        }
        Ok(())
    }

    pub(crate) fn check_forgotten(
        &self,
        who: &str,
        history: u64,
        next: Seq,
        have: Seq,
    ) -> Result<(), Violation> {
        if let Some(founded) = &self.founding
            && (founded.history, founded.next) == (history, next)
            && have > next
            && have <= self.tree.next(founded.ancestor.tip())
        {
            return Ok(());
        }
        Err(format!(
            "LINEAGE-2: {who} is told that {history:x} begins at {next}, and that it has all below {have} for final"
        ))
    }

    /// Whether entries beyond the new history may have been reported to a reader that continues at `next`.
    pub fn may_be_ahead(&self, next: Seq) -> bool {
        self.founding.as_ref().is_some_and(|founded| {
            next > founded.next && self.tree.next(founded.ancestor.tip()) > founded.next
        })
    }

    /// Whether a reader at `seq`, perhaps within a frame, may have read another log than the one on which the
    /// founding stands.
    pub fn parts_before(&self, seq: Seq) -> bool {
        self.founding.as_ref().is_some_and(|founded| {
            let other = |node: TreeNode| !self.tree.begins_with(Some(founded.tip), Some(node));
            founded.next >= seq && self.tree.containing(seq - 1).any(other)
        })
    }
}
