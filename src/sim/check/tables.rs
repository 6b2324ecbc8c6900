//! S8: what a replica has made of its log is what the log says: publishers, members, an open change, epochs.

use super::{Oracle, Violation};
use crate::engine::replica::{ReplicaCore, Tables};
use crate::journal::Tail;
use crate::journal::memory::MemoryTail;
use crate::wire::{Entry, Epoch, Identity, Seq};

impl Oracle {
    /// The process at `who` has had its turn, and the oracle has read its log.
    pub fn check_tables(
        &mut self,
        who: usize,
        tail: &Tail<MemoryTail>,
        core: &ReplicaCore,
    ) -> Result<(), Violation> {
        let now = (tail.end(), core.commit_next());
        if self.tabled.insert(who, now) == Some(now) {
            return Ok(());
        }
        let Some(Tables { membership, change, epochs, publishers }) = core.tables() else { return Ok(()) };
        let Some(tip) = self.log_tip(who).filter(|tip| self.tree.next(Some(*tip)) == tail.end().next) else {
            return Ok(());
        };
        let (stem, commit_next) = (self.tree.stem(tip), core.commit_next());
        let broken = |what: &str, have: &dyn std::fmt::Debug, log: &dyn std::fmt::Debug| {
            Err(format!(
                "S8: replica {who}, log up to {}, commit {commit_next}: {what} {have:?}, its log has {log:?}",
                stem.next
            ))
        };
        let members: Vec<Identity> = membership.members().iter().map(|member| member.identity()).collect();
        if (&members, membership.seq) != (&stem.members, stem.members_seq) {
            return broken("members", &(members, membership.seq), &(&stem.members, stem.members_seq));
        }
        let open = change.as_ref().map(|(seq, _)| *seq);
        let changed_at = self.tree.changed_at(tip);
        if open.is_some_and(|seq| seq != changed_at) || open.is_none() && changed_at >= commit_next {
            return broken("an open change", &open, &changed_at);
        }
        let rows: Vec<(Epoch, Seq)> = epochs.iter().map(|row| (Epoch(row.epoch), row.base)).collect();
        let table = self.tree.table(tip);
        let reaches = rows.first().is_some_and(|&(_, base)| base < commit_next.max(2));
        if !table.ends_with(&rows) || !reaches {
            return broken("epochs", &rows, &table);
        }
        let found: Vec<_> = publishers
            .iter()
            .map(|(name, state)| (name.to_owned(), state.id, state.incarnation, state.last, state.closed))
            .collect();
        let expected = self.tree.publishers(Some(tip));
        if found != expected {
            return broken("publishers", &found, &expected);
        }
        self.check_committed(who, tail, core)
    }

    /// What would be told of publishers now is committed, whatever the table has further on.
    fn check_committed(
        &self,
        who: usize,
        tail: &Tail<MemoryTail>,
        core: &ReplicaCore,
    ) -> Result<(), Violation> {
        let Some(Tables { publishers, .. }) = core.tables() else { return Ok(()) };
        let commit_next = core.commit_next();
        if commit_next < tail.end().next && tail.find(commit_next).is_none() {
            return Ok(());
        }
        // A turn may count more than it has told its tables.
        let mut publishers = publishers.clone();
        publishers.on_commit(commit_next);
        let cut = self.tree.cut(self.log_tip(who), commit_next);
        if self.tree.next(cut) != commit_next {
            return Ok(());
        }
        for (name, id, incarnation, last, closed) in self.tree.publishers(cut) {
            let told = publishers.committed(&name, uncommitted(tail, commit_next));
            let told = told.map(|state| (state.id, state.incarnation, state.last, state.closed));
            let expected = (incarnation > 0).then_some((id, incarnation, last, closed));
            if told != expected {
                return Err(format!(
                    "S8: replica {who} would tell {told:?} of {name}; committed below {commit_next} is {expected:?}"
                ));
            }
        }
        Ok(())
    }
}

fn uncommitted(tail: &Tail<MemoryTail>, commit_next: Seq) -> impl Iterator<Item = Entry<'_>> {
    std::iter::successors(tail.find(commit_next), |span| tail.after(*span))
        .filter_map(|span| tail.frame(span).ok())
        .flat_map(|frame| frame.entries())
}
