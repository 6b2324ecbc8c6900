//! The logs and the promises of replicas.

use super::Violation;
use super::clocks::ClockJudge;
use super::facts::{OracleFacts, ReplicaModel};
use super::log_tree::{TreeNode, frame_seal, needs_both};
use crate::coverage::Event;
use lockstep_core::proto::commit::Durability;
use lockstep_core::proto::log::LogEnd;
use lockstep_replica::journal::memory::MemoryTail;
use lockstep_replica::journal::{Checkpoint, Tail};
use lockstep_wire::{Chain, Epoch, FrameView, Header, Identity, Seq, chain_after};
use std::collections::{BTreeMap, BTreeSet};

/// The rules of logs and of leaders that stamp them.
#[derive(Clone, Debug, Default)]
pub struct LogCheck {
    /// The run of a process in which each epoch is stamped.
    stamping: BTreeMap<Epoch, u64>,
    /// The operator's commands: the membership that each follows, and its identity.
    orders: BTreeSet<(Seq, Identity)>,
    /// The clocks of the replicas' processes.
    pub clocks: ClockJudge,
}

impl LogCheck {
    /// The operator commands a change of this identity, behind the membership at `after`.
    pub fn on_command(&mut self, after: Seq, identity: Identity) {
        self.orders.insert((after, identity));
    }

    /// Whether damage of the journal explains the recovered log: a flipped bit in the group that was written
    /// last looks like a torn write (S9), so the log may end sooner. It is never another log, and the
    /// promise is stored elsewhere.
    pub fn is_shortened(
        &mut self,
        facts: &mut OracleFacts,
        who: usize,
        tail: &Tail<MemoryTail>,
        memory_survived: bool,
    ) -> bool {
        let Some(before) = facts.replicas.get(&who).copied() else { return false };
        let stored = if memory_survived { before.promised } else { before.promise_stored };
        let Ok(tip) = self.read_log(facts, who, before.run, tail) else { return false };
        let ends_sooner = |log: Option<TreeNode>| tip != log && facts.tree.begins_with(log, tip);
        tail.promised() >= stored && (ends_sooner(before.tip) || ends_sooner(before.replaced))
    }

    /// A replica's process begins, as the `run`th of all. The recovered state must cover its acks and
    /// promises.
    pub fn on_replica_started(
        &mut self,
        facts: &mut OracleFacts,
        who: usize,
        identity: Identity,
        run: u64,
        (configured, tail): (Durability, &Tail<MemoryTail>),
        memory_survived: bool,
    ) -> Result<(), Violation> {
        let tip = self.read_log(facts, who, run, tail)?;
        let promised = tail.promised();
        if let Some(before) = facts.replicas.get(&who).filter(|before| before.identity == identity) {
            let tree = &facts.tree;
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
        let (acked, epoch_sent) = match facts.replicas.get(&who) {
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
        facts.replicas.insert(who, model);
        // What was flushed during the stop counts as well.
        tip.filter(|tip| !facts.is_ancestor(*tip)).map_or(Ok(()), |tip| facts.on_holding(&model, tip))
    }

    /// The state that a replica recovered beside its log: the tables that the log decides.
    pub fn on_tables_recovered(
        &mut self,
        facts: &OracleFacts,
        who: usize,
        tables: &Checkpoint,
    ) -> Result<(), Violation> {
        let Some(model) = facts.replicas.get(&who) else { return Ok(()) };
        facts.tree.check_tables(model.tip, tables).map_err(|why| format!("{why} (replica {who} starts)"))
    }

    /// The run has ended, and `frames` are those in the files of replica `who`, from the oldest on: all of
    /// them are of one log, which is the replica's log where it `has_all`, and else a beginning of it or of
    /// the log before.
    pub fn check_files(
        &mut self,
        facts: &OracleFacts,
        who: usize,
        frames: &[Header],
        has_all: bool,
    ) -> Result<(), Violation> {
        let Some(model) = facts.replicas.get(&who).copied() else { return Ok(()) };
        let mut tip = None;
        for header in frames {
            let found = facts.tree.find(header.epoch(), header.first_seq);
            let Some(node) = found.filter(|node| facts.tree.stem(*node).seal == frame_seal(header)) else {
                return Err(format!("S7: the files of replica {who} hold at {} what nobody stamped", {
                    header.first_seq
                }));
            };
            tip = Some(node);
        }
        let begins = |log| facts.tree.begins_with(log, tip);
        let is_its_own = if has_all { tip == model.tip } else { begins(model.tip) || begins(model.replaced) };
        if !is_its_own {
            return Err(format!(
                "S7: the files of replica {who} hold a log up to {}, it has another one up to {}",
                facts.tree.next(tip),
                facts.tree.next(model.tip)
            ));
        }
        Ok(())
    }

    /// The place in the tree of the log that ends with this chain at `next`.
    pub fn check_sealed(
        &self,
        facts: &OracleFacts,
        who: usize,
        tables: &Checkpoint,
    ) -> Result<(), Violation> {
        let node = facts.known_end(tables.end.next, tables.end.chain);
        facts.tree.check_tables(node, tables).map_err(|why| format!("{why} (sealed by replica {who})"))
    }

    /// The disk of a replica has its log up to `durable`, before its next turn.
    pub fn on_flushed(&mut self, facts: &mut OracleFacts, who: usize, durable: Seq) -> Result<(), Violation> {
        let Some(model) = facts.replicas.get_mut(&who) else { return Ok(()) };
        model.durable_before = durable;
        model.level = model.promised;
        let (model, changed) = (*model, model.durable != durable);
        match model.tip.filter(|_| changed) {
            Some(tip) => facts.on_holding(&ReplicaModel { durable, ..model }, tip),
            None => Ok(()),
        }
    }

    /// The replica replaced a log that ended before `next` in `epoch`. Whatever it stored in this turn
    /// before that was in its log, may have been acknowledged, and counts (S4).
    pub fn on_suffix_replaced(
        &mut self,
        facts: &mut OracleFacts,
        who: usize,
        epoch: Epoch,
        next: Seq,
    ) -> Result<(), Violation> {
        let Some(model) = facts.replicas.get(&who).copied() else { return Ok(()) };
        let ends =
            |node: &TreeNode| facts.tree.stem(*node).epoch == epoch && facts.tree.next(Some(*node)) == next;
        let Some(old) = facts.tree.containing(next - 1).find(ends) else {
            return Err(format!("S1: replica {who} had a log of {epoch} up to {next} that nobody stamped"));
        };
        facts.replaced.entry(who).or_default().push(old);
        facts.on_holding(&model, old)
    }

    /// S1, S2, S4, S6, S7: the replica had its turn.
    pub fn check_replica(
        &mut self,
        facts: &mut OracleFacts,
        who: usize,
        tail: &Tail<MemoryTail>,
        commit_next: Seq,
    ) -> Result<(), Violation> {
        let Some(before) = facts.replicas.get(&who) else { return Ok(()) };
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
            now.tip = self.read_log(facts, who, before.run, tail)?;
            self.check_promise(facts, who, &before, &now)?;
            self.check_change(facts, who, &before, &mut now)?;
            let passed = facts.tree.passed(before.end.epoch, before.tip, now.tip);
            let model = ReplicaModel { level: before.promised, ..before };
            passed.map_or(Ok(()), |last| facts.on_holding(&model, last))?;
        }
        if let Some(tip) = now.tip.filter(|_| now.tip != before.tip || now.durable != before.durable) {
            facts.on_holding(&now, tip)?;
        }
        if commit_next != before.commit_next {
            if commit_next < before.commit_next {
                return Err(format!(
                    "S6: the commit of replica {who} fell from {} to {commit_next}",
                    before.commit_next
                ));
            }
            now.commit_next = commit_next;
            facts.check_claim(format_args!("replica {who}"), commit_next, Some(now.tip))?;
        }
        facts.replicas.insert(who, now);
        Ok(())
    }

    /// S2: below its promise nobody stores anything that the promised epoch, or a later one, did not begin
    /// behind. A candidate fetches what it lacks before its epoch begins, and what is committed
    /// is in the log of every epoch that may follow.
    fn check_promise(
        &self,
        facts: &OracleFacts,
        who: usize,
        before: &ReplicaModel,
        now: &ReplicaModel,
    ) -> Result<(), Violation> {
        let (epoch, promised) = (now.end.epoch, before.promised);
        let stands = [promised, now.promised].iter().any(|ballot| ballot.leader() == before.identity);
        let committed = now.tip.is_none_or(|tip| facts.tree.begins_with(facts.reference.tip(), Some(tip)));
        if epoch >= promised || stands || committed || facts.tree.begins_behind(now.tip, promised) {
            return Ok(());
        }
        Err(format!("S2: replica {who} stored up to {} in {epoch}, having promised {promised}", now.end.next))
    }

    /// S6, S7: a log changes by appending, or by one exchange above its commit in a higher epoch.
    fn check_change(
        &mut self,
        facts: &mut OracleFacts,
        who: usize,
        before: &ReplicaModel,
        now: &mut ReplicaModel,
    ) -> Result<(), Violation> {
        let tree = &facts.tree;
        if tree.begins_with(now.tip, before.tip) {
            return facts.check_over(before.identity, before.tip, now.tip);
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
        let last = facts.replaced.get(&who).and_then(|ended| ended.last().copied());
        now.replaced = last.or(before.tip);
        facts.check_over(before.identity, before.tip, now.tip)?;
        facts.coverage.count(Event::SuffixReplacements);
        Ok(())
    }

    /// The end of the log in `tail` as a place in the tree. New frames must come from their leader.
    fn read_log(
        &mut self,
        facts: &mut OracleFacts,
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
            if let Some(node) = facts.known_end(seq, chain.unwrap_or(end.chain)) {
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
            if let Some(node) = facts.tree.find(header.epoch(), header.first_seq) {
                return Err(format!(
                    "S1: two frames of {} at {}: replica {who} holds {:?}, another {:?}",
                    header.epoch(),
                    { header.first_seq },
                    frame_seal(&header),
                    facts.tree.stem(node).seal
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
            tip = Some(self.on_new_frame(facts, who, run, tip, &frame)?);
        }
        if facts.tree.next(tip) != end.next || tip.is_some_and(|tip| facts.tree.stem(tip).chain != end.chain)
        {
            return Err(format!("S7: the log of replica {who} ends at {end:?}, its frames do not"));
        }
        Ok(tip)
    }

    /// S1: a frame is seen first in the log of its own leader, in one run of its process.
    fn on_new_frame(
        &mut self,
        facts: &mut OracleFacts,
        who: usize,
        run: u64,
        parent: Option<TreeNode>,
        frame: &FrameView<'_>,
    ) -> Result<TreeNode, Violation> {
        let (epoch, first) = (frame.header.epoch(), frame.header.first_seq);
        if frame.header.identity() != epoch.leader() {
            return Err(format!("S1: {} stamped in {epoch}", frame.header.identity()));
        }
        let node = facts.tree.grow(parent, frame)?;
        if facts.tree.stem(node).changes {
            if let Some((model, parent)) = facts.replicas.get(&who).copied().zip(parent)
                && facts.rests_on(&model, epoch) == Durability::Process
            {
                // In one turn a leader may commit its start, by itself alone, and continue.
                facts.on_holding(&model, parent)?;
            }
            facts.reference.check_change(&facts.tree, node)?;
            self.check_ordered(facts, node)?;
            self.count_change(facts, node);
        }
        let stem = facts.tree.stem(node);
        self.clocks.check(stem, parent.map(|parent| facts.tree.stem(parent)))?;
        for (seq, key) in stem.messages.iter().chain(&stem.parts).chain(&stem.discarded) {
            if !facts.published.contains(key) && !stem.is_of_edge(key.0) {
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
            if let Some(before) = facts.replicas.get(&who)
                && (before.identity != epoch.leader() || facts.forgotten.contains(&before.identity))
            {
                return Err(format!("S1: replica {who} stamped in {epoch}"));
            }
            if facts.tree.stem(node).founds {
                facts.check_founding(node)?;
            } else if facts.tree.stem(node).starts {
                self.check_won(facts, node)?;
            }
        }
        if facts.is_ancestor(node) {
            return Err(format!("LINEAGE-1: {epoch} stamps at {first} in a history that was left"));
        }
        facts.reference.on_frame(&facts.tree, node)?;
        facts.coverage.count(Event::Frames);
        Ok(node)
    }

    /// MEMBER-1: a change was ordered behind the very membership that it follows, or the operator has said
    /// that the one who leaves is dead.
    fn check_ordered(&self, facts: &OracleFacts, change: TreeNode) -> Result<(), Violation> {
        let stem = facts.tree.stem(change);
        let Some(before) = stem.parent.map(|parent| facts.tree.stem(parent)) else { return Ok(()) };
        let joined = stem.members.iter().filter(|member| !before.members.contains(member));
        let left = before.members.iter().filter(|member| !stem.members.contains(member));
        let leader = stem.epoch.leader();
        let is_ordered = |member: &Identity| {
            self.orders.contains(&(before.members_seq, *member))
                || facts.reference.is_declared(leader, *member)
        };
        if joined.chain(left).any(is_ordered) {
            return Ok(());
        }
        Err(format!(
            "S4: the members change at {} from {:?} to {:?}, which nobody ordered behind {}",
            stem.first, before.members, stem.members, before.members_seq
        ))
    }

    fn count_change(&mut self, facts: &mut OracleFacts, change: TreeNode) {
        let stem = facts.tree.stem(change);
        let Some(before) = stem.parent.map(|parent| facts.tree.stem(parent)) else { return };
        let (leader, joins) = (stem.epoch.leader(), stem.members.len() > before.members.len());
        let left = before.members.iter().find(|member| !stem.members.contains(member));
        let buries = left.is_some_and(|left| facts.reference.is_declared(leader, *left));
        let pair = before.members.len() == 2;
        let swapped = stem.members.len() == before.members.len();
        let joined = stem.members.iter().find(|member| !before.members.contains(member));
        let renewed =
            joined.is_some_and(|joined| facts.forgotten.iter().any(|old| old.replica == joined.replica));
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
            facts.coverage.count(event);
        }
    }

    /// S5: who starts an epoch has the promises of a quorum of the members at the end of its log, none of
    /// which describes a better one. Epoch 1 of a newborn history is granted.
    fn check_won(&mut self, facts: &mut OracleFacts, start: TreeNode) -> Result<(), Violation> {
        let stem = facts.tree.stem(start);
        let Some(adopted) = stem.parent.map(|parent| facts.tree.stem(parent)) else {
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
        let ballots = facts.ballots.get(&stem.epoch).map(|ballots| &ballots.promises);
        let own = (adopted.epoch, adopted.next);
        facts.coverage.count(Event::Takeovers);
        if adopted.epoch.round() > 0 && !facts.reference.has_committed(adopted.epoch) {
            facts.coverage.count(Event::TakeoversWithin);
        }
        if !adopted.witnesses.is_empty() {
            facts.coverage.count(Event::TakeoversWithWitness);
        }
        let leader = stem.epoch.leader();
        let agrees = |member: &&Identity| {
            **member == leader
                || facts.reference.is_declared(leader, **member)
                || ballots.and_then(|ballots| ballots.get(member)).is_some_and(|log| *log <= own)
        };
        // While a change that needs both sides is in the log, those before it must agree as well.
        let before = |node: TreeNode| {
            let change = facts.tree.stem(node);
            let before = &facts.tree.stem(change.parent?).members;
            needs_both(before, &change.members).then_some(before)
        };
        let open = facts.reference.open_changes(&facts.tree, stem.parent).filter_map(before);
        for members in open.chain([members]) {
            let count = members.iter().filter(agrees).count();
            if count <= members.len() / 2 {
                return Err(format!(
                    "S5: {} begins at {} with {count} promises of {members:?} for its log {own:?}: {ballots:?}",
                    stem.epoch, stem.first
                ));
            }
        }
        if facts.reference.open_changes(&facts.tree, stem.parent).next().is_some() {
            facts.coverage.count(Event::TakeoversOverChange);
        }
        Ok(())
    }

    /// Whether a suffix replacement above the commit is too long for the ring, so that a replica must stop
    /// and read its journal: the old and the new suffix fill at least half of it, without the records
    /// between them.
    pub fn overruns(
        &mut self,
        facts: &mut OracleFacts,
        who: usize,
        tail: &Tail<MemoryTail>,
        ring_bytes: usize,
    ) -> bool {
        let Some(before) = facts.replicas.get(&who).copied() else { return false };
        let Ok(tip) = self.read_log(facts, who, before.run, tail) else { return false };
        let above = |log: Option<TreeNode>| {
            let frames = facts.tree.path(facts.tree.cut(log, before.commit_next), log);
            frames.into_iter().map(|node| facts.tree.stem(node).length as usize).sum::<usize>()
        };
        above(before.tip) + above(tip) >= ring_bytes / 2
    }
}
