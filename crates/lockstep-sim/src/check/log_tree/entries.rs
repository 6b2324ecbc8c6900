//! The effects of a frame's entries on the log that it ends.

use super::{Begun, Line, Stem, state};
use crate::check::{MessageKey, Violation};
use crate::keys;
use lockstep_core::proto::commit::Durability;
use lockstep_core::proto::parts::PartsBounds;
use lockstep_wire::{
    EPOCHS_MAX, Entry, EntryKind, Epoch, EpochStartView, FrameView, Identity, MemberBody, MembershipView,
    OpenView, OrderView, PART_MORE, PART_NEXT, PublisherId, PublisherSeq, RESERVED, Seq, parse_genesis,
};

impl Stem {
    /// The entry at `seq` of `frame`.
    pub(super) fn take_entry(
        &mut self,
        seq: Seq,
        entry: &Entry<'_>,
        before: Option<&Self>,
        (frame, bounds): (&FrameView<'_>, &PartsBounds),
    ) -> Result<(), Violation> {
        let commit_next = frame.header.commit_next;
        let (publisher, number) = (entry.header.publisher, entry.header.publisher_seq);
        let begins = seq == self.first && before.is_none_or(|before| before.epoch < self.epoch);
        match entry.kind() {
            EntryKind::Genesis if seq == 1 => {
                let members =
                    parse_genesis(entry.payload).map_err(|reject| format!("S5: genesis: {reject}"))?;
                self.list(seq, members);
                self.table.push((self.epoch, 1));
            }
            EntryKind::EpochStart if begins => self.begin(entry.payload, before, commit_next)?,
            EntryKind::Genesis | EntryKind::EpochStart => {
                return Err(format!("S5: {:?} at {seq} within epoch {}", entry.kind(), self.epoch));
            }
            _ if begins => return Err(format!("S5: {} begins at {seq} without its start", self.epoch)),
            EntryKind::Message if entry.header.destination < RESERVED => {
                self.take_number(seq, publisher, number)?;
                self.place(seq, entry, bounds);
            }
            // A day is not a message, and neither is a gateway's heartbeat, what a notary signs or a need.
            EntryKind::Message | EntryKind::Day => self.take_number(seq, publisher, number)?,
            EntryKind::Close => {
                self.remember(seq, publisher);
                self.take_number(seq, publisher, number)?;
                let line = self.line(publisher);
                (line.closed, line.begun, line.discarded) = (true, None, false);
            }
            EntryKind::Open => {
                let open = OpenView::parse(entry.payload).map_err(|reject| format!("S8: open: {reject}"))?;
                self.open(seq, publisher, &open)?;
            }
            EntryKind::ChangeCommitted if self.changed_at > 0 && commit_next > self.changed_at => {}
            EntryKind::ChangeCommitted => {
                return Err(format!(
                    "S4: the change before {seq} is called committed, and no frame announced its commit"
                ));
            }
            EntryKind::Order => {
                let order =
                    OrderView::parse(entry.payload).map_err(|reject| format!("AUTH-7: order: {reject}"))?;
                keys::check_order(&order)?;
                if let Some(version) = order.version() {
                    if seq != self.first {
                        return Err(format!("VERSION-1: the order at {seq} does not begin its frame"));
                    }
                    self.raises_to = Some(version);
                }
                if order.time_before().is_some() {
                    if seq != self.first {
                        return Err(format!("CLOCK-2: the order at {seq} does not begin its frame"));
                    }
                    self.time_before = order.time_before();
                }
            }
            EntryKind::Membership if frame.entries().count() == 1 => self.change(seq, entry.payload)?,
            EntryKind::Membership => {
                return Err(format!("S4: the change of the membership at {seq} shares its frame"));
            }
        }
        Ok(())
    }

    /// S5: what an epoch start says must be so.
    fn begin(&mut self, payload: &[u8], before: Option<&Self>, commit_next: Seq) -> Result<(), Violation> {
        let start = EpochStartView::parse(payload).map_err(|reject| format!("S5: start: {reject}"))?;
        self.starts = true;
        self.durability = Durability::from_wire(start.body.durability);
        let members: Vec<_> = start.members().map(|member| member.identity()).collect();
        self.founds = start.founded_on().is_some();
        if self.founds {
            let left = before.map(|before| (before.history, before.next, before.chain));
            let named = start.founded_on().map(|left| (left.history, left.next, left.chain));
            if left != named || members != [self.epoch.leader()] {
                return Err(format!(
                    "LINEAGE-3: {:x} is founded by {members:?} in {} on {named:?}, and follows {left:?}",
                    self.history, self.epoch
                ));
            }
        } else if members != self.members {
            return Err(format!(
                "S5: the start of {} lists {members:?}, its log {:?}",
                self.epoch, self.members
            ));
        }
        if start.epoch() != self.epoch
            || start.body.base != self.first
            || before.is_some_and(|before| before.chain != start.body.chain_at_base)
        {
            return Err(format!(
                "S5: the start of {} stands at {}: {:?}",
                self.epoch, self.first, start.body
            ));
        }
        self.list(self.first, start.members());
        self.table.push((self.epoch, self.first));
        let rows: Vec<_> = start.epochs().map(|row| (Epoch(row.epoch), row.base)).collect();
        if !self.table.ends_with(&rows) {
            return Err(format!(
                "S5: the table in the start of {} is {rows:?}, its log has {:?}",
                self.epoch, self.table
            ));
        }
        // From the epoch in force at the commit on, or as many as there is room for.
        let reaches = rows.first().is_some_and(|&(_, base)| base < commit_next.max(2));
        if !reaches && rows.len() < EPOCHS_MAX {
            return Err(format!(
                "S5: the table in the start of {} is {rows:?}, and all below {commit_next} is committed",
                self.epoch
            ));
        }
        Ok(())
    }

    fn list(&mut self, seq: Seq, members: impl Iterator<Item = MemberBody>) {
        (self.members, self.witnesses, self.members_seq) = (Vec::new(), Vec::new(), seq);
        for member in members {
            self.members.push(member.identity());
            if member.is_witness() {
                self.witnesses.push(member.identity());
            }
        }
    }

    /// One identity joins or leaves, or one replaces another of the same replica: never a second one of a
    /// replica, never the leader, never the last one that may lead.
    fn change(&mut self, seq: Seq, payload: &[u8]) -> Result<(), Violation> {
        let view = MembershipView::parse(payload).map_err(|reject| format!("S4: membership: {reject}"))?;
        let now: Vec<_> = view.members().map(|member| member.identity()).collect();
        let differs = |a: &[Identity], b: &[Identity]| a.iter().filter(|member| !b.contains(member)).count();
        let (joined, left) = (differs(&now, &self.members), differs(&self.members, &now));
        let swapped = joined == 1 && left == 1 && {
            let numbers = |list: &[Identity]| list.iter().map(|one| one.replica).collect::<Vec<_>>();
            numbers(&now) == numbers(&self.members)
        };
        if joined + left != 1 && !swapped {
            return Err(format!("S4: the members change from {:?} to {now:?} at {seq}", self.members));
        }
        let twice = |one: &Identity| now.iter().filter(|other| other.replica == one.replica).count() > 1;
        let leader = self.epoch.leader();
        let leaves = self.members.contains(&leader) && !now.contains(&leader);
        self.list(seq, view.members());
        self.changed_at = seq;
        if now.iter().any(twice) || leaves || self.members.len() == self.witnesses.len() {
            return Err(format!("S4: {leader} changes the members to {now:?} at {seq}"));
        }
        self.changes = true;
        Ok(())
    }

    fn line(&mut self, publisher: PublisherId) -> &mut Line {
        let index = publisher as usize;
        if self.lines.len() <= index {
            self.lines.resize(index + 1, Line::default());
        }
        &mut self.lines[index]
    }

    /// The entry at `seq` opens or closes a publisher; stores the publisher's state in the log before it.
    fn remember(&mut self, seq: Seq, publisher: PublisherId) {
        let before = state(publisher, self.line(publisher));
        self.undo.push((seq, before));
    }

    /// S8: at most once, and in its publisher's order, in this very log.
    fn take_number(
        &mut self,
        seq: Seq,
        publisher: PublisherId,
        number: PublisherSeq,
    ) -> Result<(), Violation> {
        let line = self.line(publisher);
        if line.incarnation == 0 || line.closed {
            return Err(format!("S8: a message of publisher {publisher} at {seq}, which is not open"));
        }
        if number != line.last + 1 {
            return Err(format!("S8: {number} of publisher {publisher} at {seq} follows its {}", line.last));
        }
        line.last = number;
        Ok(())
    }

    /// A message, or a part of one: it continues what its publisher began in this very log.
    fn place(&mut self, seq: Seq, entry: &Entry<'_>, bounds: &PartsBounds) {
        let header = entry.header;
        let key: MessageKey = (header.publisher, header.publisher_seq, crate::check::digest(entry.payload));
        let (goes_on, more) = (header.flags & PART_NEXT != 0, header.flags & PART_MORE != 0);
        // PARTS-1: what began too many entries before this one is no message.
        self.discard(bounds, |oldest, _| seq - oldest > bounds.span);
        let line = self.line(key.0);
        let begun = line.begun;
        if goes_on != begun.is_some() && !(goes_on && line.discarded) {
            // No reader joins a message without its beginning, and so none delivers it.
            line.headless = goes_on;
            self.torn = Some(format!("{key:?} at {seq} with flags {} follows {begun:?}", header.flags));
        }
        let first = begun.map_or(seq, |begun| begun.first);
        let line = self.line(key.0);
        line.headless &= goes_on;
        line.discarded &= goes_on;
        let one = Begun {
            first,
            parts: 1 + begun.map_or(0, |begun| begun.parts),
            bytes: entry.payload.len() + begun.map_or(0, |begun| begun.bytes),
        };
        line.discarded |= one.parts > bounds.parts || one.bytes > bounds.message_len;
        line.begun = (more && !line.discarded).then_some(one);
        let (headless, discarded) = (line.headless, line.discarded);
        if more {
            self.parts.push((seq, key));
        } else if discarded {
            self.discarded.push((seq, key));
        } else if !headless {
            self.messages.push((seq, key));
            if goes_on {
                self.begins.push((seq, first));
            }
        }
        // ... and what takes more bytes, with all that began behind it.
        self.discard(bounds, |_, open| open > bounds.open);
    }

    /// Discards the oldest message that is open, and the next one, while `is_over` says so: of its first seq,
    /// and of the bytes that it and all behind it take.
    fn discard(&mut self, bounds: &PartsBounds, is_over: impl Fn(Seq, usize) -> bool) {
        loop {
            let open = self.lines.iter().filter(|line| !line.headless).filter_map(|line| line.begun);
            let cost = open.clone().map(|one| one.bytes + one.parts * bounds.part_cost).sum();
            let Some(oldest) = open.map(|one| one.first).min().filter(|oldest| is_over(*oldest, cost)) else {
                return;
            };
            for line in &mut self.lines {
                if line.begun.is_some_and(|one| one.first == oldest) {
                    (line.begun, line.discarded) = (None, true);
                }
            }
        }
    }

    /// A name has one id for ever, and its incarnation rises by one.
    fn open(&mut self, seq: Seq, id: PublisherId, open: &OpenView<'_>) -> Result<(), Violation> {
        let known = *self.names.entry(open.name.to_owned()).or_insert(id);
        let shared = self.names.iter().any(|(name, other)| name != open.name && *other == id);
        self.remember(seq, id);
        let line = self.line(id);
        if known != id || shared || open.body.incarnation != line.incarnation + 1 {
            return Err(format!(
                "S8: {} opens at {seq} as {id}, incarnation {}, after {known}, {}",
                open.name, open.body.incarnation, line.incarnation
            ));
        }
        (line.incarnation, line.nonce) = (open.body.incarnation, open.body.nonce);
        (line.closed, line.begun, line.discarded) = (false, None, false);
        Ok(())
    }
}
