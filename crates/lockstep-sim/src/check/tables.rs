//! S8: what a replica has made of its log is what the log says: publishers and what undoes them, members, an
//! open change, epochs.

use super::facts::OracleFacts;
use super::{Check, Violation};
use lockstep_core::proto::log::LogEnd;
use lockstep_core::proto::publishers::Publishers;
use lockstep_replica::journal::Tail;
use lockstep_replica::journal::memory::MemoryTail;
use lockstep_replica::ports::Ports;
use lockstep_replica::replica::{ReplicaEngine, Tables};
use lockstep_wire::{Entry, Epoch, MemberBody, Seq};
use std::collections::BTreeMap;
use std::fmt::Debug;

/// The rule of tables.
#[derive(Clone, Debug, Default)]
pub struct TableCheck {
    /// The ends of logs and commits of replicas when their tables were last checked.
    tabled: BTreeMap<usize, (LogEnd, Seq)>,
}

impl TableCheck {
    /// The process at `who` has had its turn, or begins, and the oracle has read its log.
    pub fn check_tables<P: Ports<Memory = MemoryTail>>(
        &mut self,
        facts: &OracleFacts,
        who: usize,
        replica: &ReplicaEngine<P>,
    ) -> Result<(), Violation> {
        let (tail, commit_next) = (replica.tail(), replica.core.commit_next());
        let now = (tail.end(), commit_next);
        let Some(Tables { membership, change, epochs, publishers }) = replica.tables() else {
            // An open frame has changed them; when it is discarded, so are its changes.
            self.tabled.remove(&who);
            return Ok(());
        };
        if self.tabled.insert(who, now) == Some(now) {
            return Ok(());
        }
        let Some(tip) = facts.log_tip(who).filter(|tip| facts.tree.next(Some(*tip)) == tail.end().next)
        else {
            return Ok(());
        };
        let stem = facts.tree.stem(tip);
        let broken = |what: &str, have: &dyn Debug, log: &dyn Debug| {
            Err(format!(
                "S8: replica {who}, log up to {}, commit {commit_next}: {what} {have:?}, its log has {log:?}",
                stem.next
            ))
        };
        let members = membership.members().iter().map(MemberBody::identity);
        if !members.eq(stem.members.iter().copied()) || membership.seq != stem.members_seq {
            return broken("members", &membership, &(&stem.members, stem.members_seq));
        }
        let open = change.as_ref().map(|(seq, before)| {
            let mut before: Vec<_> = before.members().iter().map(MemberBody::identity).collect();
            before.sort_unstable();
            (*seq, before)
        });
        let changed_at = facts.tree.changed_at(tip);
        let is_right = match &open {
            None => changed_at < commit_next,
            Some((seq, before)) => {
                let log = facts.tree.members_before_change(tip).map(|(members, _)| members);
                *seq == changed_at && log.as_ref() == Some(before)
            }
        };
        if !is_right {
            return broken("an open change", &open, &(changed_at, facts.tree.members_before_change(tip)));
        }
        let table = facts.tree.table(tip);
        let same = |(row, (epoch, base)): (&lockstep_wire::EpochBase, &(Epoch, Seq))| {
            (Epoch(row.epoch), row.base) == (*epoch, *base)
        };
        let ends_so =
            epochs.len() <= table.len() && epochs.iter().zip(&table[table.len() - epochs.len()..]).all(same);
        let reaches = epochs.front().is_some_and(|row| row.base < commit_next.max(2));
        if !ends_so || !reaches {
            return broken("epochs", &epochs, &table);
        }
        if !publishers.iter().eq(facts.tree.publishers(Some(tip))) {
            let log: Vec<_> = facts.tree.publishers(Some(tip)).collect();
            return broken("publishers", &publishers.iter().collect::<Vec<_>>(), &log);
        }
        // The undo information counted in this turn may be dropped in the next one.
        let from = publishers.undo().next_back().map_or(commit_next, |(seq, _)| seq.min(commit_next));
        if !publishers.undo().eq(facts.tree.undo(tip, from)) {
            let found: Vec<_> = publishers.undo().collect();
            let log: Vec<_> = facts.tree.undo(tip, from).collect();
            return broken("uncommitted opens and closes", &found, &log);
        }
        self.check_committed(facts, who, tail, publishers, commit_next)
    }

    /// The publishers that would be reported now are committed, whatever the table has beyond.
    fn check_committed(
        &self,
        facts: &OracleFacts,
        who: usize,
        tail: &Tail<MemoryTail>,
        publishers: &Publishers,
        commit_next: Seq,
    ) -> Result<(), Violation> {
        // Numbers follow the same rule in each turn; undo information of an open is rare.
        if publishers.undo().next().is_none() && !commit_next.is_multiple_of(8) {
            return Ok(());
        }
        if commit_next < tail.end().next && tail.find(commit_next).is_none() {
            return Ok(());
        }
        let cut = facts.tree.cut(facts.log_tip(who), commit_next);
        if facts.tree.next(cut) != commit_next {
            return Ok(());
        }
        for (name, _) in publishers.iter() {
            let reported = publishers.committed(name, commit_next, uncommitted(tail, commit_next));
            let expected = facts.tree.publisher(cut, name).filter(|state| state.incarnation > 0);
            if reported != expected {
                return Err(format!(
                    "S8: replica {who} would tell {reported:?} of {name}; committed below {commit_next} is {expected:?}"
                ));
            }
        }
        Ok(())
    }
}

impl Check for TableCheck {
    fn on_start(&mut self, who: usize) {
        self.tabled.remove(&who);
    }
}

fn uncommitted(tail: &Tail<MemoryTail>, commit_next: Seq) -> impl Iterator<Item = Entry<'_>> {
    std::iter::successors(tail.find(commit_next), |span| tail.after(*span))
        .filter_map(|span| tail.frame(span).ok())
        .flat_map(|frame| frame.entries())
}
