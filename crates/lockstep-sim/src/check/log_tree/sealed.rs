//! The state that a log decides, which a checkpoint of it must equal.

use super::{Line, Tree, TreeNode, frame_seal};
use crate::check::Violation;
use lockstep_core::proto::publishers::PublisherState;
use lockstep_replica::journal::Checkpoint;
use lockstep_replica::journal::checkpoint::PublisherRow;
use lockstep_wire::{Epoch, FrameView, MemberBody, PublisherId};

impl Tree {
    /// S8: a replica's tables at the end of the log that ends with `node` say what its frames say; of epochs,
    /// from the one in force at the commit on that the log announces.
    pub fn check_tables(&self, node: Option<TreeNode>, tables: &Checkpoint) -> Result<(), Violation> {
        let Some(stem) = node.map(|node| self.stem(node)) else {
            let is_blank = *tables == Checkpoint::default();
            return if is_blank { Ok(()) } else { Err(format!("S8: tables of a blank log: {tables:?}")) };
        };
        let end = (tables.end.next, tables.end.chain, tables.end.epoch);
        if end != (stem.next, stem.chain, stem.epoch) {
            return Err(format!(
                "S8: tables of a log that ends at {:?}, it ends at {}",
                tables.end, stem.next
            ));
        }
        let known = |(id, line): &(usize, &Line)| line.incarnation > 0 && *id > 0;
        let lines: Vec<_> = (0..).zip(&stem.lines).filter(known).collect();
        let rows = tables.publishers.iter().map(|(id, row)| (*id as usize, row));
        let agree = lines.len() == tables.publishers.len()
            && lines.iter().zip(rows).all(|((id, line), (row_id, row))| {
                let named = stem.names.get(&row.name).is_some_and(|named| *named as usize == *id);
                let stored = (row.last, row.incarnation, row.closed, row.nonce);
                *id == row_id && named && stored == (line.last, line.incarnation, line.closed, line.nonce)
            });
        let members: Vec<_> = tables.members.iter().map(MemberBody::identity).collect();
        let epochs: Vec<_> = tables.epochs.iter().map(|row| (Epoch(row.epoch), row.base)).collect();
        let listed = (&members, tables.membership_seq) == (&stem.members, stem.members_seq);
        let in_force = stem.table.iter().rposition(|(_, base)| *base < stem.announced).unwrap_or(0);
        let table = &stem.table[in_force..];
        if !agree || !listed || epochs != table {
            return Err(format!(
                "S8: the log up to {} lists {:?} at {}, {table:?}, {lines:?}, and its tables say {tables:?}",
                stem.next, stem.members, stem.members_seq
            ));
        }
        self.check_open_part(node, tables)
    }

    /// S8: the same of what is not known to be committed: what undoes an open or a close, the members before
    /// a change; and of the frame that starts the epoch.
    fn check_open_part(&self, node: Option<TreeNode>, tables: &Checkpoint) -> Result<(), Violation> {
        let Some((node, stem)) = node.map(|node| (node, self.stem(node))) else { return Ok(()) };
        let broken = |what: &str, have: &dyn std::fmt::Debug, log: &dyn std::fmt::Debug| {
            Err(format!("S8: the log up to {} has {what} {log:?}, and its tables say {have:?}", stem.next))
        };
        let stored = (tables.commit_next, tables.history);
        if stored != (stem.announced, stem.history) {
            return broken("an announced commit and a history of", &stored, &(stem.announced, stem.history));
        }
        let rows = tables.changes.iter().rev().map(|row| (row.seq, row_state(row.publisher, &row.before)));
        if !rows.eq(self.undo(node, stem.announced)) {
            let log: Vec<_> = self.undo(node, stem.announced).collect();
            return broken("uncommitted opens and closes", &tables.changes, &log);
        }
        let is_open = stem.changed_at >= stem.announced.max(1);
        let before = self.members_before_change(node).filter(|_| is_open);
        let listed = tables.open_change.as_ref().map(|(seq, before)| {
            let mut members: Vec<_> = before.members().iter().map(MemberBody::identity).collect();
            members.sort_unstable();
            (*seq, members, before.seq)
        });
        let before = before.map(|(members, seq)| (stem.changed_at, members, seq));
        if listed != before {
            return broken("an open change behind the members", &listed, &before);
        }
        let start = stem.table.last().and_then(|(epoch, base)| self.find(*epoch, *base));
        let start = start.map(|start| self.stem(start)).filter(|start| start.starts).map(|start| start.seal);
        let seal = FrameView::from_prefix(&tables.start_frame).ok().map(|frame| frame_seal(frame.header));
        if seal != start {
            return broken("an epoch start with the seal", &seal, &start);
        }
        Ok(())
    }
}

fn row_state(id: PublisherId, row: &PublisherRow) -> PublisherState {
    PublisherState { id, incarnation: row.incarnation, nonce: row.nonce, last: row.last, closed: row.closed }
}
