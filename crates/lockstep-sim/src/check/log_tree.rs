//! Every frame that was ever stamped, as a tree: logs differ by whole frames only, so a log is a path from
//! the root, and two logs have one common prefix.

mod facts;
mod sealed;

use super::{MessageKey, Violation};
pub use facts::Fact;
use lockstep_core::proto::commit::Durability;
use lockstep_core::proto::publishers::PublisherState;
use lockstep_gateway::exchange::NAME;
use lockstep_gateway::gateway::clients::CLIENT;
use lockstep_wire::{
    Chain, EPOCHS_MAX, EntryKind, Epoch, EpochStartView, FrameView, GATEWAYS, Identity, MemberBody,
    MembershipView, Nanos, OpenView, PART_MORE, PART_NEXT, PublisherId, PublisherSeq, Seq, parse_genesis,
};
use std::collections::BTreeMap;

/// One frame's place in the tree.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TreeNode(u32);

/// A message at a seq.
pub type Stamped = (Seq, MessageKey);

/// What a publisher's line looks like at the end of a log.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
struct Line {
    last: PublisherSeq,
    incarnation: u32,
    nonce: [u64; 2],
    closed: bool,
    /// Where the message began of which parts are still to come.
    begun: Option<Seq>,
    /// Whether its parts lack their beginning in this log.
    headless: bool,
}

/// A frame of some log.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Stem {
    /// In which history it was stamped.
    pub history: u64,
    /// Whether it founds that one on the log before it.
    pub founds: bool,
    /// The leader that stamped it.
    pub epoch: Epoch,
    /// Its first seq.
    pub first: Seq,
    /// Exclusive end.
    pub next: Seq,
    /// The chain behind it.
    pub chain: Chain,
    /// Its checksum.
    pub tag: [u64; 2],
    /// Its bytes.
    pub length: u32,
    /// Its time.
    pub timestamp: Nanos,
    /// The frame before it.
    pub parent: Option<TreeNode>,
    /// The members at its end.
    pub members: Vec<Identity>,
    /// Those of them that never lead.
    pub witnesses: Vec<Identity>,
    /// The seq of the entry that lists them.
    pub members_seq: Seq,
    /// Where the last change of them stands; 0 before the first.
    changed_at: Seq,
    /// The frame of that change.
    changed_by: Option<TreeNode>,
    /// Whether it changes them.
    pub changes: bool,
    /// Its messages; one in parts stands where its last part does.
    pub messages: Vec<Stamped>,
    /// Parts behind which others follow.
    pub parts: Vec<Stamped>,
    /// Where messages in parts began.
    pub begins: Vec<(Seq, Seq)>,
    /// A part in it that does not go on with what its publisher began in this very log, in words. A leader
    /// that was superseded and does not know it may stamp one: whoever took over a name counts behind what
    /// the log of its successor has. It is never committed.
    pub torn: Option<String>,
    /// Whether it starts its epoch.
    pub starts: bool,
    /// What an ack means in its epoch.
    pub durability: Durability,
    /// The frame itself, where frames are kept.
    pub bytes: Vec<u8>,
    lines: Vec<Line>,
    names: BTreeMap<String, PublisherId>,
    /// The epoch table of the log that ends here.
    table: Vec<(Epoch, Seq)>,
    /// Opens and closes in this frame, and what a log without them says.
    undo: Vec<(Seq, PublisherState)>,
    /// The last frame up to this one that has any.
    undone_by: Option<TreeNode>,
    /// The greatest commit that a frame of the log that ends here has announced.
    announced: Seq,
    /// What each of its entries tells a reader.
    facts: Vec<Fact>,
}

/// The tree.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Tree {
    stems: Vec<Stem>,
    by_place: BTreeMap<(Seq, Epoch), TreeNode>,
    durabilities: BTreeMap<Epoch, Durability>,
    /// Frames are kept: somebody folds what they say.
    pub keeps_bytes: bool,
    /// The greatest bound of any log, and the most names of one.
    stamped_next: Seq,
    names_most: usize,
}

impl Tree {
    /// A frame.
    pub fn stem(&self, node: TreeNode) -> &Stem {
        &self.stems[node.0 as usize]
    }

    /// What an ack means in this epoch; `None` before its start was seen.
    pub fn durability(&self, epoch: Epoch) -> Option<Durability> {
        self.durabilities.get(&epoch).copied()
    }

    /// Frames in all.
    pub fn len(&self) -> usize {
        self.stems.len()
    }

    /// Whether none was stamped.
    pub fn is_empty(&self) -> bool {
        self.stems.is_empty()
    }

    /// The frame of `epoch` that begins at `first`.
    pub fn find(&self, epoch: Epoch, first: Seq) -> Option<TreeNode> {
        self.by_place.get(&(first, epoch)).copied()
    }

    /// The bound of the log that ends with `node`.
    pub fn next(&self, node: Option<TreeNode>) -> Seq {
        node.map_or(1, |node| self.stem(node).next)
    }

    /// The log that ends with `node`, cut at `next`: where it ends then. Not at a frame's end: the one
    /// before it.
    pub fn cut(&self, mut node: Option<TreeNode>, next: Seq) -> Option<TreeNode> {
        while let Some(at) = node
            && self.stem(at).next > next
        {
            node = self.stem(at).parent;
        }
        node
    }

    /// Whether the log that ends with `log` begins with the one that ends with `prefix`.
    pub fn begins_with(&self, log: Option<TreeNode>, prefix: Option<TreeNode>) -> bool {
        self.cut(log, self.next(prefix)) == prefix
    }

    /// Whether an epoch from `epoch` on begins behind `log`.
    pub fn begins_behind(&self, log: Option<TreeNode>, epoch: Epoch) -> bool {
        let starts = |stem: &Stem| stem.starts && stem.epoch >= epoch;
        (0..)
            .zip(&self.stems)
            .any(|(number, stem)| starts(stem) && self.begins_with(Some(TreeNode(number)), log))
    }

    /// Whether the members changed anywhere in the log that ends with `log`.
    pub fn has_changed(&self, log: TreeNode) -> bool {
        let mut at = Some(log);
        while let Some(node) = at {
            let stem = self.stem(node);
            if stem.changes {
                return true;
            }
            at = stem.parent;
        }
        false
    }

    /// Where the last change of the members stands in the log that ends with `log`; 0 before the first.
    pub fn changed_at(&self, log: TreeNode) -> Seq {
        self.stem(log).changed_at
    }

    /// The epochs of the log that ends with `log`, oldest first.
    pub fn table(&self, log: TreeNode) -> &[(Epoch, Seq)] {
        &self.stem(log).table
    }

    /// The members before the last change in the log that ends with `log`, sorted, and the seq of the entry
    /// that lists them.
    pub fn members_before_change(&self, log: TreeNode) -> Option<(Vec<Identity>, Seq)> {
        let before = self.stem(self.stem(self.stem(log).changed_by?).parent?);
        let mut members = before.members.clone();
        members.sort_unstable();
        Some((members, before.members_seq))
    }

    /// Publishers of the log that ends with `log`, by name.
    pub fn publishers(&self, log: Option<TreeNode>) -> impl Iterator<Item = (&str, PublisherState)> {
        let stem = log.map(|log| self.stem(log));
        stem.into_iter().flat_map(|stem| {
            stem.names
                .iter()
                .filter_map(|(name, &id)| Some((name.as_str(), state(id, stem.lines.get(id as usize)?))))
        })
    }

    /// One publisher of the log that ends with `log`.
    pub fn publisher(&self, log: Option<TreeNode>, name: &str) -> Option<PublisherState> {
        let stem = self.stem(log?);
        let id = *stem.names.get(name)?;
        Some(state(id, stem.lines.get(id as usize)?))
    }

    /// The opens and closes at or above `from` in the log that ends with `log`, newest first, and what a log
    /// without them says of their publishers.
    pub fn undo(&self, log: TreeNode, from: Seq) -> impl Iterator<Item = (Seq, PublisherState)> {
        let before = |node: &TreeNode| self.stem(self.stem(*node).parent?).undone_by;
        let frames = std::iter::successors(self.stem(log).undone_by, before);
        frames
            .take_while(move |node| self.stem(*node).next > from)
            .flat_map(|node| self.stem(node).undo.iter().rev().copied())
            .filter(move |(seq, _)| *seq >= from)
    }

    /// Where two logs part.
    pub fn common(&self, mut a: Option<TreeNode>, mut b: Option<TreeNode>) -> Option<TreeNode> {
        while a != b {
            if self.next(a) >= self.next(b) {
                a = a.and_then(|node| self.stem(node).parent);
            } else {
                b = b.and_then(|node| self.stem(node).parent);
            }
        }
        a
    }

    /// The frames behind `from` up to `to`, oldest first. `from` lies on the way.
    pub fn path(&self, from: Option<TreeNode>, to: Option<TreeNode>) -> Vec<TreeNode> {
        let mut path = Vec::new();
        let mut at = to;
        while at != from
            && let Some(node) = at
        {
            path.push(node);
            at = self.stem(node).parent;
        }
        path.reverse();
        path
    }

    /// The frames that contain `seq`, of whatever epoch.
    pub fn containing(&self, seq: Seq) -> impl Iterator<Item = TreeNode> {
        let low = seq.saturating_sub(256);
        let frames = self.by_place.range((low, Epoch::NONE)..=(seq, Epoch(u64::MAX)));
        frames.map(|(_, node)| *node).filter(move |node| self.stem(*node).next > seq)
    }

    /// A frame that follows `parent`. In words which rule it breaks.
    pub fn grow(&mut self, parent: Option<TreeNode>, frame: &FrameView<'_>) -> Result<TreeNode, Violation> {
        let header = frame.header;
        let epoch = header.epoch();
        let before = parent.map(|parent| self.stem(parent));
        let mut stem = Stem {
            history: header.history,
            founds: false,
            epoch,
            first: header.first_seq,
            next: header.next_seq(),
            chain: frame.chain_after(),
            tag: header.tag,
            length: header.length,
            timestamp: header.timestamp,
            parent,
            members: before.map(|before| before.members.clone()).unwrap_or_default(),
            witnesses: before.map(|before| before.witnesses.clone()).unwrap_or_default(),
            members_seq: before.map_or(0, |before| before.members_seq),
            changed_at: before.map_or(0, |before| before.changed_at),
            changed_by: before.and_then(|before| before.changed_by),
            changes: false,
            messages: Vec::new(),
            parts: Vec::new(),
            begins: Vec::new(),
            torn: None,
            starts: false,
            durability: before.map_or(Durability::Process, |before| before.durability),
            bytes: if self.keeps_bytes { frame.bytes.to_vec() } else { Vec::new() },
            lines: before.map(|before| before.lines.clone()).unwrap_or_default(),
            names: before.map(|before| before.names.clone()).unwrap_or_default(),
            table: before.map(|before| before.table.clone()).unwrap_or_default(),
            undo: Vec::new(),
            undone_by: before.and_then(|before| before.undone_by),
            announced: before.map_or(0, |before| before.announced).max(header.commit_next),
            facts: Vec::with_capacity(usize::from(header.count)),
        };
        if let Some(before) = before {
            if header.timestamp < before.timestamp {
                return Err(format!(
                    "TIME: the frame at {} is of {}, the one before it of {}",
                    stem.first,
                    { header.timestamp },
                    before.timestamp
                ));
            }
            if epoch < before.epoch {
                return Err(format!("S7: a frame of {epoch} follows one of {}", before.epoch));
            }
        }
        for (index, entry) in frame.entries().enumerate() {
            let seq = stem.first + index as u64;
            let begins = index == 0 && before.is_none_or(|before| before.epoch < epoch);
            match entry.kind() {
                EntryKind::Genesis if seq == 1 => {
                    let members =
                        parse_genesis(entry.payload).map_err(|reject| format!("S5: birth: {reject}"))?;
                    stem.list(seq, members);
                    stem.table.push((epoch, 1));
                }
                EntryKind::EpochStart if begins => stem.begin(entry.payload, before, header.commit_next)?,
                EntryKind::Genesis | EntryKind::EpochStart => {
                    return Err(format!("S5: {:?} at {seq} within epoch {epoch}", entry.kind()));
                }
                _ if begins => return Err(format!("S5: {epoch} begins at {seq} without its start")),
                EntryKind::Message if entry.header.destination != GATEWAYS => {
                    let key =
                        (entry.header.publisher, entry.header.publisher_seq, super::digest(entry.payload));
                    stem.take_number(seq, key.0, key.1)?;
                    stem.place(seq, key, entry.header.flags);
                }
                // A day is no message, and neither is a gateway's sign of life.
                EntryKind::Message | EntryKind::Day => {
                    stem.take_number(seq, entry.header.publisher, entry.header.publisher_seq)?;
                }
                EntryKind::Close => {
                    stem.remember(seq, entry.header.publisher);
                    stem.take_number(seq, entry.header.publisher, entry.header.publisher_seq)?;
                    let line = stem.line(entry.header.publisher);
                    (line.closed, line.begun) = (true, None);
                }
                EntryKind::Open => {
                    let open =
                        OpenView::parse(entry.payload).map_err(|reject| format!("S8: open: {reject}"))?;
                    stem.open(seq, entry.header.publisher, &open)?;
                }
                EntryKind::ChangeCommitted
                    if stem.changed_at > 0 && frame.header.commit_next > stem.changed_at => {}
                EntryKind::ChangeCommitted => {
                    return Err(format!(
                        "S4: the change before {seq} is called committed, and is not told to be"
                    ));
                }
                EntryKind::Membership if frame.entries().count() == 1 => stem.change(seq, entry.payload)?,
                EntryKind::Membership => {
                    return Err(format!("S4: the change of the membership at {seq} shares its frame"));
                }
            }
            let is_whole = stem.messages.last().is_some_and(|(at, _)| *at == seq);
            stem.facts.push(Fact::of_entry(header.timestamp, &entry, is_whole));
        }
        if let Some(before) = before
            && before.history != stem.history
            && !stem.founds
        {
            return Err(format!(
                "LINEAGE-3: a frame of history {:x} at {} follows one of {:x}, and founds nothing",
                stem.history, stem.first, before.history
            ));
        }
        let node = TreeNode(self.stems.len() as u32);
        if !stem.undo.is_empty() {
            stem.undone_by = Some(node);
        }
        if stem.changes {
            stem.changed_by = Some(node);
        }
        if self.by_place.insert((stem.first, epoch), node).is_some() {
            return Err(format!("S1: two frames of {epoch} begin at {}", stem.first));
        }
        if stem.starts {
            self.durabilities.insert(epoch, stem.durability);
        }
        self.stamped_next = self.stamped_next.max(stem.next);
        self.names_most = self.names_most.max(stem.names.len());
        self.stems.push(stem);
        Ok(node)
    }
}

impl Stem {
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

    /// Where its epoch begins.
    pub fn started_at(&self) -> Seq {
        self.table.last().map_or(0, |(_, base)| *base)
    }

    /// A publisher at its end.
    pub fn publisher(&self, id: PublisherId) -> Option<PublisherState> {
        self.lines.get(id as usize).filter(|line| line.incarnation > 0).map(|line| state(id, line))
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

    /// One identity joins or leaves, or one takes the place of another of the same replica: never a second
    /// one of a replica, never the leader, never the last one that may lead.
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

    /// The entry at `seq` opens or closes a publisher, of which the log before it says this.
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

    /// A message, or a part of one: it goes on with what its publisher began in this very log.
    fn place(&mut self, seq: Seq, key: MessageKey, flags: u8) {
        let (goes_on, more) = (flags & PART_NEXT != 0, flags & PART_MORE != 0);
        let line = self.line(key.0);
        let begun = line.begun;
        if goes_on != begun.is_some() {
            // Nobody joins what lacks its beginning, and so nobody is given it.
            line.headless = goes_on;
            self.torn = Some(format!("{key:?} at {seq} with flags {flags} follows {begun:?}"));
        }
        let first = begun.unwrap_or(seq);
        let line = self.line(key.0);
        line.headless &= goes_on;
        line.begun = more.then_some(first);
        let headless = line.headless;
        if more {
            self.parts.push((seq, key));
        } else if !headless {
            self.messages.push((seq, key));
            if goes_on {
                self.begins.push((seq, first));
            }
        }
    }

    /// Whether a publisher is a process of the edge, whose messages are judged by the books.
    pub fn is_of_edge(&self, publisher: PublisherId) -> bool {
        let name = self.names.iter().find(|(_, id)| **id == publisher).map(|(name, _)| name.as_str());
        name.is_some_and(|name| name.starts_with(CLIENT) || name == NAME)
    }

    /// Where the message began that stands at `seq`.
    pub fn begin_of(&self, seq: Seq) -> Seq {
        self.begins.iter().find(|(at, _)| *at == seq).map_or(seq, |(_, begun)| *begun)
    }

    /// A name keeps its id for ever, and its incarnation rises by one.
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
        (line.closed, line.begun) = (false, None);
        Ok(())
    }
}

fn state(id: PublisherId, line: &Line) -> PublisherState {
    let Line { last, incarnation, nonce, closed, .. } = *line;
    PublisherState { id, incarnation, nonce, last, closed }
}

/// Whether majorities of both lists are needed for a change from one to the other, as one of each need not
/// share a member: by counting, and from two members because one of them may be declared dead.
pub fn needs_both(before: &[Identity], after: &[Identity]) -> bool {
    let majority = |list: &[Identity]| list.len() / 2 + 1;
    let all = before.len() + after.iter().filter(|one| !before.contains(one)).count();
    before.len() == 2 || majority(before) + majority(after) <= all
}
