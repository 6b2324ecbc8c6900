//! The logs and the promises of replicas.

use super::log_tree::{TreeNode, frame_seal, needs_both};
use super::{Oracle, Violation};
use crate::coverage::Event;
use lockstep_core::proto::commit::Durability;
use lockstep_core::proto::log::LogEnd;
use lockstep_replica::journal::memory::MemoryTail;
use lockstep_replica::journal::{Checkpoint, Tail};
use lockstep_wire::{Chain, Epoch, FrameView, Header, Identity, Seq, chain_after};
use std::collections::BTreeMap;

/// The observed state of one replica.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct ReplicaModel {
    pub(super) identity: Identity,
    /// The run of the process of this journal, ...
    pub(super) run: u64,
    /// ... and the durability that it is configured with.
    pub(super) configured: Durability,
    pub(super) end: LogEnd,
    pub(super) tip: Option<TreeNode>,
    /// The end of its log before its last turn.
    pub(super) tip_before: Option<TreeNode>,
    /// The log that the last suffix replacement replaced.
    pub(super) replaced: Option<TreeNode>,
    pub(super) durable: Seq,
    /// Its value when the last turn began: an ack may precede a suffix replacement in that turn.
    pub(super) durable_before: Seq,
    pub(super) promised: Epoch,
    pub(super) promise_stored: Epoch,
    /// Below this it sends nothing any more (S2): the value before the turn, raised by what it sends.
    pub(super) level: Epoch,
    /// The newest ack: the log up to here must survive.
    pub(super) acked: Option<TreeNode>,
    /// The newest epoch of an ack or a promise: the promise must survive.
    pub(super) epoch_sent: Epoch,
    pub(super) commit_next: Seq,
    /// The end of the checkpoint behind which it begins: a process that dies may have stored it.
    pub(super) storing: LogEnd,
}

impl ReplicaModel {
    /// The values that a turn may change: promise, stored promise, durable end, the log's end, the commit.
    fn sends(&self) -> (Epoch, Epoch, Seq, LogEnd, Seq) {
        (self.promised, self.promise_stored, self.durable, self.end, self.commit_next)
    }
}

/// The promises for one ballot.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(super) struct Ballots {
    /// The promising identities, each with the log that it described.
    pub(super) promises: BTreeMap<Identity, (Epoch, Seq)>,
}

impl Oracle {
    /// Whether damage of the journal explains the recovered log: a flipped bit in the group that was written
    /// last looks like a torn write (S9), so the log may end sooner. It is never another log, and the
    /// promise is stored elsewhere.
    pub fn is_shortened(&mut self, who: usize, tail: &Tail<MemoryTail>, memory_survived: bool) -> bool {
        let Some(before) = self.replicas.get(&who).copied() else { return false };
        let stored = if memory_survived { before.promised } else { before.promise_stored };
        let Ok(tip) = self.read_log(who, before.run, tail) else { return false };
        let ends_sooner = |log: Option<TreeNode>| tip != log && self.tree.begins_with(log, tip);
        tail.promised() >= stored && (ends_sooner(before.tip) || ends_sooner(before.replaced))
    }

    /// A replica's process begins, as the `run`th of all. The recovered state must cover its acks and
    /// promises.
    pub fn on_replica_started(
        &mut self,
        who: usize,
        identity: Identity,
        run: u64,
        (configured, tail): (Durability, &Tail<MemoryTail>),
        memory_survived: bool,
    ) -> Result<(), Violation> {
        let tip = self.read_log(who, run, tail)?;
        self.tabled.remove(&who);
        self.logs.remove(&who);
        let promised = tail.promised();
        if let Some(before) = self.replicas.get(&who).filter(|before| before.identity == identity) {
            let tree = &self.tree;
            let old = tip == before.tip || !memory_survived && tree.begins_with(before.tip, tip);
            let older = !memory_survived && tree.begins_with(before.replaced, tip);
            if !old && !older && before.storing != tail.end() {
                return Err(format!(
                    "S7: replica {who} came back with a log up to {}, which is neither the old nor the new one \
                     (up to {})",
                    tree.next(tip),
                    tree.next(before.tip)
                ));
            }
            let epoch = |node: Option<TreeNode>| node.map_or(Epoch::NONE, |node| tree.stem(node).epoch);
            if !tree.begins_with(tip, before.acked) && epoch(tip) <= epoch(before.acked) {
                return Err(format!(
                    "S9: replica {who} came back without what it acknowledged up to {}",
                    tree.next(before.acked)
                ));
            }
            let promise = if memory_survived { before.promised } else { before.epoch_sent };
            // A log of an epoch is a promise, too: the promise never falls below it.
            if promised.max(epoch(tip)) < promise {
                return Err(format!("S2: replica {who} came back with promise {promised}, it was {promise}"));
            }
        }
        let (acked, epoch_sent) = match self.replicas.get(&who) {
            Some(before) if before.identity == identity => (before.acked, before.epoch_sent),
            _ => (None, Epoch::NONE),
        };
        let model = ReplicaModel {
            identity,
            run,
            configured,
            end: tail.end(),
            tip,
            tip_before: tip,
            replaced: None,
            durable: tail.durable_next(),
            durable_before: tail.durable_next(),
            promised,
            promise_stored: tail.promise_stored(),
            level: promised,
            acked,
            epoch_sent,
            commit_next: 1,
            storing: LogEnd::BLANK,
        };
        self.replicas.insert(who, model);
        // What was flushed during the stop counts as well.
        tip.filter(|tip| !self.is_ancestor(*tip)).map_or(Ok(()), |tip| self.on_holding(&model, tip))
    }

    /// The state that a replica recovered beside its log: the tables that the log decides.
    pub fn on_tables_recovered(&mut self, who: usize, tables: &Checkpoint) -> Result<(), Violation> {
        let Some(model) = self.replicas.get(&who) else { return Ok(()) };
        self.tree.check_tables(model.tip, tables).map_err(|why| format!("{why} (replica {who} starts)"))
    }

    /// The run has ended, and `frames` are those in the files of replica `who`, from the oldest on: all of
    /// them are of one log, which is the replica's log where it `has_all`, and else a beginning of it or of
    /// the log before.
    pub fn check_files(&mut self, who: usize, frames: &[Header], has_all: bool) -> Result<(), Violation> {
        let Some(model) = self.replicas.get(&who).copied() else { return Ok(()) };
        let mut tip = None;
        for header in frames {
            let found = self.tree.find(header.epoch(), header.first_seq);
            let Some(node) = found.filter(|node| self.tree.stem(*node).seal == frame_seal(header)) else {
                return Err(format!("S7: the files of replica {who} hold at {} what nobody stamped", {
                    header.first_seq
                }));
            };
            tip = Some(node);
        }
        let begins = |log| self.tree.begins_with(log, tip);
        let is_its_own = if has_all { tip == model.tip } else { begins(model.tip) || begins(model.replaced) };
        if !is_its_own {
            return Err(format!(
                "S7: the files of replica {who} hold a log up to {}, it has another one up to {}",
                self.tree.next(tip),
                self.tree.next(model.tip)
            ));
        }
        Ok(())
    }

    /// The place in the tree of the log that ends with this chain at `next`.
    pub fn check_sealed(&self, who: usize, tables: &Checkpoint) -> Result<(), Violation> {
        let node = self.known_end(tables.end.next, tables.end.chain);
        self.tree.check_tables(node, tables).map_err(|why| format!("{why} (sealed by replica {who})"))
    }

    /// The disk of a replica has its log up to `durable`, before its next turn.
    pub fn on_flushed(&mut self, who: usize, durable: Seq) -> Result<(), Violation> {
        let Some(model) = self.replicas.get_mut(&who) else { return Ok(()) };
        model.durable_before = durable;
        model.level = model.promised;
        let (model, changed) = (*model, model.durable != durable);
        match model.tip.filter(|_| changed) {
            Some(tip) => self.on_holding(&ReplicaModel { durable, ..model }, tip),
            None => Ok(()),
        }
    }

    /// The replica begins a turn: the logs replaced in the last one are dropped.
    pub fn on_turn(&mut self, who: usize) {
        self.replaced.remove(&who);
    }

    /// The replica replaced a log that ended before `next` in `epoch`. Whatever it stored in this turn
    /// before that was in its log, may have been acknowledged, and counts (S4).
    pub fn on_suffix_replaced(&mut self, who: usize, epoch: Epoch, next: Seq) -> Result<(), Violation> {
        let Some(model) = self.replicas.get(&who).copied() else { return Ok(()) };
        let ends =
            |node: &TreeNode| self.tree.stem(*node).epoch == epoch && self.tree.next(Some(*node)) == next;
        let Some(old) = self.tree.containing(next - 1).find(ends) else {
            return Err(format!("S1: replica {who} had a log of {epoch} up to {next} that nobody stamped"));
        };
        self.replaced.entry(who).or_default().push(old);
        self.on_holding(&model, old)
    }

    /// S1, S2, S4, S6, S7: the replica had its turn.
    pub fn check_replica(
        &mut self,
        who: usize,
        tail: &Tail<MemoryTail>,
        commit_next: Seq,
    ) -> Result<(), Violation> {
        let Some(before) = self.replicas.get(&who) else { return Ok(()) };
        let sent = (tail.promised(), tail.promise_stored(), tail.durable_next(), tail.end(), commit_next);
        if before.sends() == sent && (before.tip, before.promised) == (before.tip_before, before.level) {
            return Ok(()); // most turns
        }
        let before = *before;
        let mut now = before;
        (now.tip_before, now.level) = (before.tip, before.promised);
        now.promised = tail.promised();
        now.promise_stored = tail.promise_stored();
        now.durable = tail.durable_next();
        if now.promised < before.promised {
            return Err(format!(
                "S2: the promise of replica {who} fell from {} to {}",
                before.promised, now.promised
            ));
        }
        if tail.end() != before.end {
            now.end = tail.end();
            now.tip = self.read_log(who, before.run, tail)?;
            self.check_promise(who, &before, &now)?;
            self.check_change(who, &before, &mut now)?;
            let passed = self.tree.passed(before.end.epoch, before.tip, now.tip);
            let model = ReplicaModel { level: before.promised, ..before };
            passed.map_or(Ok(()), |last| self.on_holding(&model, last))?;
        }
        if let Some(tip) = now.tip.filter(|_| now.tip != before.tip || now.durable != before.durable) {
            self.on_holding(&now, tip)?;
        }
        if commit_next != before.commit_next {
            if commit_next < before.commit_next {
                return Err(format!(
                    "S6: the commit of replica {who} fell from {} to {commit_next}",
                    before.commit_next
                ));
            }
            now.commit_next = commit_next;
            self.check_claim(&format!("replica {who}"), commit_next, Some(now.tip))?;
        }
        self.replicas.insert(who, now);
        Ok(())
    }

    /// S2: below its promise nobody stores anything that the promised epoch, or a later one, did not begin
    /// behind. A candidate fetches what it lacks before its epoch begins, and what is committed
    /// is in the log of every epoch that may follow.
    fn check_promise(&self, who: usize, before: &ReplicaModel, now: &ReplicaModel) -> Result<(), Violation> {
        let (epoch, promised) = (now.end.epoch, before.promised);
        let stands = [promised, now.promised].iter().any(|ballot| ballot.leader() == before.identity);
        let committed = now.tip.is_none_or(|tip| self.tree.begins_with(self.reference.tip(), Some(tip)));
        if epoch >= promised || stands || committed || self.tree.begins_behind(now.tip, promised) {
            return Ok(());
        }
        Err(format!("S2: replica {who} stored up to {} in {epoch}, having promised {promised}", now.end.next))
    }

    /// S6, S7: a log changes by appending, or by one exchange above its commit in a higher epoch.
    fn check_change(
        &mut self,
        who: usize,
        before: &ReplicaModel,
        now: &mut ReplicaModel,
    ) -> Result<(), Violation> {
        let tree = &self.tree;
        if tree.begins_with(now.tip, before.tip) {
            return self.check_over(before.identity, before.tip, now.tip);
        }
        let common = tree.next(tree.common(before.tip, now.tip));
        if common < before.commit_next {
            return Err(format!(
                "S6: replica {who} exchanged its log from {common} on, below its commit {}",
                before.commit_next
            ));
        }
        if now.end.epoch <= before.end.epoch {
            return Err(format!(
                "S7: replica {who} exchanged its log of {} from {common} on for one of {}",
                before.end.epoch, now.end.epoch
            ));
        }
        let last = self.replaced.get(&who).and_then(|ended| ended.last().copied());
        now.replaced = last.or(before.tip);
        self.check_over(before.identity, before.tip, now.tip)?;
        self.coverage.count(Event::SuffixReplacements);
        Ok(())
    }

    /// S4: what a replica holds counts for its epoch, unless it may have forgotten something, or has got it
    /// for another: a candidate's adopted log counts from its own start on.
    fn on_holding(&mut self, model: &ReplicaModel, tip: TreeNode) -> Result<(), Violation> {
        let (identity, durable) = (model.identity, model.durable);
        if self.forgotten.contains(&identity) || model.level > self.tree.stem(tip).epoch {
            return Ok(());
        }
        let next = match self.holds_by(model, self.tree.stem(tip).epoch) {
            Durability::Process => self.tree.next(Some(tip)),
            Durability::Power => durable.min(self.tree.next(Some(tip))),
        };
        if self.is_ancestor(tip) {
            return self.on_ancestor_log(identity, tip, next);
        }
        let new = self.reference.on_stored(&self.tree, identity, tip, next)?;
        if !new.is_empty() {
            self.coverage.count(Event::Commits);
            let changes = new.iter().filter(|node| self.tree.stem(**node).changes).count();
            (0..changes).for_each(|_| self.coverage.count(Event::ChangesCommitted));
            self.on_committed_frames(&new)?;
        }
        Ok(())
    }

    /// The durability by which this replica model counts as a holder in `epoch`: that of its acks, or, where
    /// it leads the epoch and that is of `process`, stamping alone. It may be configured for `power` since.
    fn holds_by(&self, model: &ReplicaModel, epoch: Epoch) -> Durability {
        match self.tree.durability(epoch) {
            Some(Durability::Process) if epoch.leader() == model.identity => Durability::Process,
            _ => self.rests_on(model, epoch),
        }
    }

    /// The durability that this replica model must reach before it acknowledges in `epoch`: its own next
    /// start is judged by its configuration (S9), and the others count by the epoch's start (S4).
    pub(super) fn rests_on(&self, model: &ReplicaModel, epoch: Epoch) -> Durability {
        self.tree.durability(epoch).map_or(model.configured, |epochs| epochs.max(model.configured))
    }

    /// The end of the log in `tail` as a place in the tree. New frames must come from their leader.
    fn read_log(
        &mut self,
        who: usize,
        run: u64,
        tail: &Tail<MemoryTail>,
    ) -> Result<Option<TreeNode>, Violation> {
        let end = tail.end();
        let mut new = Vec::new();
        let mut seq = end.next;
        let mut chain: Option<Chain> = None;
        let tip = loop {
            if seq <= 1 {
                break None;
            }
            if let Some(node) = self.known_end(seq, chain.unwrap_or(end.chain)) {
                break Some(node);
            }
            let Some(span) = tail.find(seq - 1) else {
                return Err(format!(
                    "S7: the log of replica {who} up to {seq} is nobody's, and not in its ring"
                ));
            };
            let Some(header) = Header::peek(tail.bytes(span)) else {
                return Err(format!("S7: replica {who} holds no header before {seq}"));
            };
            if header.next_seq() != seq || chain.is_some_and(|chain| chain != chain_after(&header)) {
                return Err(format!("S7: the log of replica {who} has a hole before {seq}"));
            }
            if let Some(node) = self.tree.find(header.epoch(), header.first_seq) {
                return Err(format!(
                    "S1: two frames of {} at {}: replica {who} holds {:?}, another {:?}",
                    header.epoch(),
                    { header.first_seq },
                    frame_seal(&header),
                    self.tree.stem(node).seal
                ));
            }
            chain = Some(header.chain);
            seq = header.first_seq;
            new.push(span);
        };
        let mut tip = tip;
        for span in new.into_iter().rev() {
            let frame =
                tail.frame(span).map_err(|damage| format!("S7: replica {who} holds damage: {damage:?}"))?;
            tip = Some(self.on_new_frame(who, run, tip, &frame)?);
        }
        if self.tree.next(tip) != end.next || tip.is_some_and(|tip| self.tree.stem(tip).chain != end.chain) {
            return Err(format!("S7: the log of replica {who} ends at {end:?}, its frames do not"));
        }
        Ok(tip)
    }

    /// The frame of the tree that ends at `seq` with this chain: equal ends, equal logs.
    pub(super) fn known_end(&self, seq: Seq, chain: Chain) -> Option<TreeNode> {
        self.tree.containing(seq - 1).find(|node| {
            let stem = self.tree.stem(*node);
            stem.next == seq && stem.chain == chain
        })
    }

    /// S1: a frame is seen first in the log of its own leader, in one run of its process.
    fn on_new_frame(
        &mut self,
        who: usize,
        run: u64,
        parent: Option<TreeNode>,
        frame: &FrameView<'_>,
    ) -> Result<TreeNode, Violation> {
        let (epoch, first) = (frame.header.epoch(), frame.header.first_seq);
        if frame.header.identity() != epoch.leader() {
            return Err(format!("S1: {} stamped in {epoch}", frame.header.identity()));
        }
        let node = self.tree.grow(parent, frame)?;
        if self.tree.stem(node).changes {
            if let Some((model, parent)) = self.replicas.get(&who).copied().zip(parent)
                && self.rests_on(&model, epoch) == Durability::Process
            {
                // In one turn a leader may commit its start, by itself alone, and continue.
                self.on_holding(&model, parent)?;
            }
            self.reference.check_change(&self.tree, node)?;
            self.check_ordered(node)?;
            self.count_change(node);
        }
        let stem = self.tree.stem(node);
        self.clocks.check(stem, parent.map(|parent| self.tree.stem(parent)))?;
        for (seq, key) in stem.messages.iter().chain(&stem.parts).chain(&stem.discarded) {
            if !self.published.contains(key) && !stem.is_of_edge(key.0) {
                return Err(format!("INTEGRITY: nobody published what stands at {seq}: {key:?}"));
            }
        }
        if epoch.round() > 0 {
            let stamping = *self.stamping.entry(epoch).or_insert(run);
            if stamping != run {
                return Err(format!(
                    "S1: replica {who} holds a frame of {epoch} at {first} that its leader's run {stamping} did not stamp"
                ));
            }
            if let Some(before) = self.replicas.get(&who)
                && (before.identity != epoch.leader() || self.forgotten.contains(&before.identity))
            {
                return Err(format!("S1: replica {who} stamped in {epoch}"));
            }
            if self.tree.stem(node).founds {
                self.check_founding(node)?;
            } else if self.tree.stem(node).starts {
                self.check_won(node)?;
            }
        }
        if self.is_ancestor(node) {
            return Err(format!("LINEAGE-1: {epoch} stamps at {first} in a history that was left"));
        }
        self.reference.on_frame(&self.tree, node)?;
        self.coverage.count(Event::Frames);
        Ok(node)
    }

    /// MEMBER-1: a change was ordered behind the very membership that it follows, or the operator has said
    /// that the one who leaves is dead.
    fn check_ordered(&self, change: TreeNode) -> Result<(), Violation> {
        let stem = self.tree.stem(change);
        let Some(before) = stem.parent.map(|parent| self.tree.stem(parent)) else { return Ok(()) };
        let joined = stem.members.iter().filter(|member| !before.members.contains(member));
        let left = before.members.iter().filter(|member| !stem.members.contains(member));
        let leader = stem.epoch.leader();
        let is_ordered = |member: &Identity| {
            self.orders.contains(&(before.members_seq, *member))
                || self.reference.is_declared(leader, *member)
        };
        if joined.chain(left).any(is_ordered) {
            return Ok(());
        }
        Err(format!(
            "S4: the members change at {} from {:?} to {:?}, which nobody ordered behind {}",
            stem.first, before.members, stem.members, before.members_seq
        ))
    }

    fn count_change(&mut self, change: TreeNode) {
        let stem = self.tree.stem(change);
        let Some(before) = stem.parent.map(|parent| self.tree.stem(parent)) else { return };
        let (leader, joins) = (stem.epoch.leader(), stem.members.len() > before.members.len());
        let left = before.members.iter().find(|member| !stem.members.contains(member));
        let buries = left.is_some_and(|left| self.reference.is_declared(leader, *left));
        let pair = before.members.len() == 2;
        let swapped = stem.members.len() == before.members.len();
        let joined = stem.members.iter().find(|member| !before.members.contains(member));
        let renewed =
            joined.is_some_and(|joined| self.forgotten.iter().any(|old| old.replica == joined.replica));
        let witness = stem.witnesses.len() > before.witnesses.len();
        let events = [
            (joins, Event::MembersAdded),
            (witness, Event::WitnessesAdded),
            (swapped, Event::MembersSwapped),
            (!joins && !swapped, Event::MembersRemoved),
            (pair, Event::ChangesFromTwo),
            (renewed, Event::MembersReplaced),
            (buries, Event::DeclaredDeadRemoved),
        ];
        for (_, event) in events.into_iter().filter(|(is, _)| *is) {
            self.coverage.count(event);
        }
    }

    /// S5: who starts an epoch has the promises of a quorum of the members at the end of its log, none of
    /// which describes a better one. Epoch 1 of a newborn history is granted.
    fn check_won(&mut self, start: TreeNode) -> Result<(), Violation> {
        let stem = self.tree.stem(start);
        let Some(adopted) = stem.parent.map(|parent| self.tree.stem(parent)) else {
            return Err(format!("S5: {} begins a log", stem.epoch));
        };
        if stem.epoch.round() == 1 && adopted.epoch.round() == 0 {
            return Ok(());
        }
        let members = &adopted.members;
        if !members.contains(&stem.epoch.leader()) {
            return Err(format!("S5: {} leads and is not listed: {members:?}", stem.epoch));
        }
        if adopted.witnesses.contains(&stem.epoch.leader()) {
            return Err(format!("S5: {} leads, and is a witness", stem.epoch));
        }
        let ballots = self.ballots.get(&stem.epoch).map(|ballots| &ballots.promises);
        let own = (adopted.epoch, adopted.next);
        self.coverage.count(Event::Takeovers);
        if adopted.epoch.round() > 0 && !self.reference.has_committed(adopted.epoch) {
            self.coverage.count(Event::TakeoversWithin);
        }
        if !adopted.witnesses.is_empty() {
            self.coverage.count(Event::TakeoversWithWitness);
        }
        let leader = stem.epoch.leader();
        let agrees = |member: &&Identity| {
            **member == leader
                || self.reference.is_declared(leader, **member)
                || ballots.and_then(|ballots| ballots.get(member)).is_some_and(|log| *log <= own)
        };
        // While a change that needs both sides is in the log, those before it must agree as well.
        let before = |node: TreeNode| {
            let change = self.tree.stem(node);
            let before = &self.tree.stem(change.parent?).members;
            needs_both(before, &change.members).then_some(before)
        };
        let open = self.reference.open_changes(&self.tree, stem.parent).filter_map(before);
        for members in open.chain([members]) {
            let count = members.iter().filter(agrees).count();
            if count <= members.len() / 2 {
                return Err(format!(
                    "S5: {} begins at {} with {count} promises of {members:?} for its log {own:?}: {ballots:?}",
                    stem.epoch, stem.first
                ));
            }
        }
        if self.reference.open_changes(&self.tree, stem.parent).next().is_some() {
            self.coverage.count(Event::TakeoversOverChange);
        }
        Ok(())
    }

    /// Whether a suffix replacement above the commit is too long for the ring, so that a replica must stop
    /// and read its journal: the old and the new suffix fill at least half of it, without the records
    /// between them.
    pub fn overruns(&mut self, who: usize, tail: &Tail<MemoryTail>, ring_bytes: usize) -> bool {
        let Some(before) = self.replicas.get(&who).copied() else { return false };
        let Ok(tip) = self.read_log(who, before.run, tail) else { return false };
        let above = |log: Option<TreeNode>| {
            let frames = self.tree.path(self.tree.cut(log, before.commit_next), log);
            frames.into_iter().map(|node| self.tree.stem(node).length as usize).sum::<usize>()
        };
        above(before.tip) + above(tip) >= ring_bytes / 2
    }

    /// The journal of a replica is a new one: nothing observed of the old one is in it.
    pub fn on_renewed(&mut self, who: usize) {
        self.replicas.remove(&who);
    }

    /// The end of the committed part of a replica's log, as last seen.
    pub fn agreed_next(&self, who: usize) -> Seq {
        let common = |model: &ReplicaModel| self.tree.common(model.tip, self.reference.tip());
        self.replicas.get(&who).map_or(1, |model| self.tree.next(common(model)))
    }

    /// The durable end of a replica's log, as last seen.
    pub fn durable_next(&self, who: usize) -> Seq {
        self.replicas.get(&who).map_or(1, |model| model.durable)
    }

    /// The promise of a replica, as last seen.
    pub fn promised(&self, who: usize) -> Epoch {
        self.replicas.get(&who).map_or(Epoch::NONE, |model| model.promised)
    }

    /// The last frame of a replica's log, as last seen.
    pub fn log_tip(&self, who: usize) -> Option<TreeNode> {
        self.replicas.get(&who).and_then(|model| model.tip)
    }

    /// The exclusive end of a replica's log, as last seen.
    pub fn log_next(&self, who: usize) -> Seq {
        self.replicas.get(&who).map_or(1, |model| self.tree.next(model.tip))
    }
}
