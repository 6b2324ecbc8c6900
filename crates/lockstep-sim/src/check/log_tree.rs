//! Every frame that was ever stamped, as a tree: logs differ by whole frames only, so a log is a path from
//! the root, and two logs have one common prefix.

mod entries;
mod facts;
mod sealed;

use super::{MessageKey, Violation};
pub use facts::Fact;
use lockstep_core::engine::clients::CLIENT;
use lockstep_core::proto::commit::Durability;
use lockstep_core::proto::parts::PartsBounds;
use lockstep_core::proto::publishers::PublisherState;
use lockstep_machine::Acknowledger;
use lockstep_wire::{Chain, Epoch, FrameView, Header, Identity, Nanos, PublisherId, PublisherSeq, Seq};
use std::collections::BTreeMap;
use std::ops::Bound;

/// One frame's place in the tree.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TreeNode(u32);

/// A message at a seq.
pub type Stamped = (Seq, MessageKey);

/// The state of a publisher at the end of a log.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
struct Line {
    last: PublisherSeq,
    incarnation: u32,
    nonce: [u64; 2],
    closed: bool,
    /// The message of which parts are still missing.
    begun: Option<Begun>,
    /// Whether its parts lack their beginning in this log.
    headless: bool,
    /// Whether PARTS-1 has discarded the message whose parts follow.
    discarded: bool,
}

/// The parts of a message up to a place of a log.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Begun {
    first: Seq,
    parts: usize,
    bytes: usize,
}

/// The checksum and the tag of a frame.
pub fn frame_seal(header: &Header) -> [u64; 3] {
    [header.number, header.tag[0], header.tag[1]]
}

/// A frame of some log.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Stem {
    /// The history in which it was stamped.
    pub history: u64,
    /// The version of its header.
    pub version: u8,
    /// The version to which its first entry orders the log to rise.
    raises_to: Option<u8>,
    /// The time before it that the order of time has with which this frame begins.
    time_before: Option<Nanos>,
    /// Whether it founds that history on the log before it.
    pub founds: bool,
    /// The leader that stamped it.
    pub epoch: Epoch,
    /// Its first seq.
    pub first: Seq,
    /// Exclusive end.
    pub next: Seq,
    /// The chain behind it.
    pub chain: Chain,
    /// Its checksum and its tag.
    pub seal: [u64; 3],
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
    /// The seq of the last change of the members; 0 before the first.
    changed_at: Seq,
    /// The frame of that change.
    changed_by: Option<TreeNode>,
    /// Whether it changes them.
    pub changes: bool,
    /// Its messages; one in parts is placed at its last part.
    pub messages: Vec<Stamped>,
    /// Parts behind which others follow.
    pub parts: Vec<Stamped>,
    /// Last parts of messages that PARTS-1 has discarded.
    pub discarded: Vec<Stamped>,
    /// The first seqs of messages in parts.
    pub begins: Vec<(Seq, Seq)>,
    /// A part in it that does not continue what its publisher began in this very log, in words. A superseded
    /// leader that does not know it yet may stamp one: a process that took over a name counts behind the log
    /// of the successor. It is never committed.
    pub torn: Option<String>,
    /// Whether it starts its epoch.
    pub starts: bool,
    /// The durability that an ack stands for in its epoch.
    pub durability: Durability,
    /// The frame itself, where frames are retained.
    pub bytes: Vec<u8>,
    lines: Vec<Line>,
    names: BTreeMap<String, PublisherId>,
    /// The epoch table of the log that ends here.
    table: Vec<(Epoch, Seq)>,
    /// Opens and closes in this frame, and the state in a log without them.
    undo: Vec<(Seq, PublisherState)>,
    /// The last frame up to this one that has any.
    undone_by: Option<TreeNode>,
    /// The greatest commit that a frame of the log that ends here has announced.
    announced: Seq,
    /// The fact that each of its entries reports to a reader.
    facts: Vec<Fact>,
}

/// The tree.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Tree {
    stems: Vec<Stem>,
    by_place: BTreeMap<(Seq, Epoch), TreeNode>,
    durabilities: BTreeMap<Epoch, Durability>,
    /// Frames are retained: a check folds their contents.
    pub keeps_bytes: bool,
    /// The bounds of PARTS-1.
    pub parts_bounds: PartsBounds,
    /// The greatest bound of any log, and the most names of one.
    stamped_next: Seq,
    names_most: usize,
}

impl Tree {
    /// Of a run whose frames a check folds, or not, and whose readers discard by these bounds.
    pub fn of_run(keeps_bytes: bool, parts_bounds: PartsBounds) -> Self {
        Self { keeps_bytes, parts_bounds, ..Self::default() }
    }

    /// A frame.
    pub fn stem(&self, node: TreeNode) -> &Stem {
        &self.stems[node.0 as usize]
    }

    /// The durability that an ack stands for in this epoch; `None` before its start was seen.
    pub fn durability(&self, epoch: Epoch) -> Option<Durability> {
        self.durabilities.get(&epoch).copied()
    }

    /// Whether a node whose log ends in `epoch` may follow this leader (0: none): a journal that is full
    /// takes no frame of a later epoch.
    pub fn may_follow(&self, epoch: Epoch, leader: u64) -> bool {
        let mut later = self.durabilities.range((Bound::Excluded(epoch), Bound::Unbounded));
        [0, epoch.leader().packed()].contains(&leader)
            || later.any(|(later, _)| later.leader().packed() == leader)
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

    /// The end of the log that ends with `node` and is cut at `next`. If that is no end of a frame: the
    /// frame before it.
    pub fn cut(&self, mut node: Option<TreeNode>, next: Seq) -> Option<TreeNode> {
        while let Some(at) = node
            && self.stem(at).next > next
        {
            node = self.stem(at).parent;
        }
        node
    }

    /// The frame that has the last entry below `next`, in the log that ends with `log`.
    pub fn frame_before(&self, log: TreeNode, next: Seq) -> Option<TreeNode> {
        let mut node = Some(log);
        while let Some(at) = node
            && self.stem(at).first >= next
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

    /// The seq of the last change of the members in the log that ends with `log`; 0 before the first.
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

    /// The opens and closes at or above `from` in the log that ends with `log`, newest first, each with the
    /// state of its publisher in a log without it.
    pub fn undo(&self, log: TreeNode, from: Seq) -> impl Iterator<Item = (Seq, PublisherState)> {
        let before = |node: &TreeNode| self.stem(self.stem(*node).parent?).undone_by;
        let frames = std::iter::successors(self.stem(log).undone_by, before);
        frames
            .take_while(move |node| self.stem(*node).next > from)
            .flat_map(|node| self.stem(node).undo.iter().rev().copied())
            .filter(move |(seq, _)| *seq >= from)
    }

    /// The point at which two logs diverge.
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

    /// The last frame of `epoch` behind `before`, where the log that ends with `now` goes on in a later one.
    /// A replica that went on so in one turn had it in its log before, and it counts in `epoch` (S4; seed
    /// 72065478).
    pub fn passed(&self, epoch: Epoch, before: Option<TreeNode>, now: Option<TreeNode>) -> Option<TreeNode> {
        let passed = self.path(before, now);
        passed.into_iter().rfind(|node| self.stem(*node).epoch == epoch).filter(|last| now != Some(*last))
    }

    /// The frames that contain `seq`, of whatever epoch.
    pub fn containing(&self, seq: Seq) -> impl Iterator<Item = TreeNode> {
        let low = seq.saturating_sub(256);
        let frames = self.by_place.range((low, Epoch::NONE)..=(seq, Epoch(u64::MAX)));
        frames.map(|(_, node)| *node).filter(move |node| self.stem(*node).next > seq)
    }

    /// A frame that follows `parent`. An error names the rule that it breaks, in words.
    pub fn grow(&mut self, parent: Option<TreeNode>, frame: &FrameView<'_>) -> Result<TreeNode, Violation> {
        let before = parent.map(|parent| self.stem(parent));
        let bytes = if self.keeps_bytes { frame.bytes.to_vec() } else { Vec::new() };
        let mut stem = Stem { parent, bytes, ..Stem::behind(before, frame) };
        stem.check_order(before)?;
        for (index, entry) in frame.entries().enumerate() {
            let seq = stem.first + index as u64;
            stem.take_entry(seq, &entry, before, (frame, &self.parts_bounds))?;
            let is_whole = stem.messages.last().is_some_and(|(at, _)| *at == seq);
            stem.facts.push(Fact::of_entry(stem.timestamp, &entry, is_whole));
        }
        stem.check_history(before)?;
        stem.check_version(before)?;
        stem.check_time(before)?;
        self.insert(stem)
    }

    /// S1: the only frame of its epoch at its place.
    fn insert(&mut self, mut stem: Stem) -> Result<TreeNode, Violation> {
        let node = TreeNode(self.stems.len() as u32);
        if !stem.undo.is_empty() {
            stem.undone_by = Some(node);
        }
        if stem.changes {
            stem.changed_by = Some(node);
        }
        if self.by_place.insert((stem.first, stem.epoch), node).is_some() {
            return Err(format!("S1: two frames of {} begin at {}", stem.epoch, stem.first));
        }
        if stem.starts {
            self.durabilities.insert(stem.epoch, stem.durability);
        }
        self.stamped_next = self.stamped_next.max(stem.next);
        self.names_most = self.names_most.max(stem.names.len());
        self.stems.push(stem);
        Ok(node)
    }
}

impl Stem {
    /// The stem of `frame` behind `before`, without its entries: the state that they change is still the old
    /// one.
    fn behind(before: Option<&Self>, frame: &FrameView<'_>) -> Self {
        let header = frame.header;
        Self {
            history: header.history,
            version: header.version,
            raises_to: None,
            time_before: None,
            founds: false,
            epoch: header.epoch(),
            first: header.first_seq,
            next: header.next_seq(),
            chain: frame.chain_after(),
            seal: frame_seal(header),
            length: header.length,
            timestamp: header.timestamp,
            parent: None,
            members: before.map(|before| before.members.clone()).unwrap_or_default(),
            witnesses: before.map(|before| before.witnesses.clone()).unwrap_or_default(),
            members_seq: before.map_or(0, |before| before.members_seq),
            changed_at: before.map_or(0, |before| before.changed_at),
            changed_by: before.and_then(|before| before.changed_by),
            changes: false,
            messages: Vec::new(),
            parts: Vec::new(),
            discarded: Vec::new(),
            begins: Vec::new(),
            torn: None,
            starts: false,
            durability: before.map_or(Durability::Process, |before| before.durability),
            bytes: Vec::new(),
            lines: before.map(|before| before.lines.clone()).unwrap_or_default(),
            names: before.map(|before| before.names.clone()).unwrap_or_default(),
            table: before.map(|before| before.table.clone()).unwrap_or_default(),
            undo: Vec::new(),
            undone_by: before.and_then(|before| before.undone_by),
            announced: before.map_or(0, |before| before.announced).max(header.commit_next),
            facts: Vec::with_capacity(usize::from(header.count)),
        }
    }

    /// CLOCK-2: time goes back along a log by an order with which the frame begins, and which has the time
    /// before; that order does nothing else.
    fn check_time(&self, before: Option<&Self>) -> Result<(), Violation> {
        let Some(before) = before else { return Ok(()) };
        let falls = self.timestamp < before.timestamp;
        if falls == self.time_before.is_some()
            && self.time_before.is_none_or(|time_before| time_before == before.timestamp)
        {
            return Ok(());
        }
        Err(format!(
            "CLOCK-2: the frame at {} is of {}, the one before it of {}, and its order has {:?}",
            self.first, self.timestamp, before.timestamp, self.time_before
        ))
    }

    /// No epoch goes back along a log.
    fn check_order(&self, before: Option<&Self>) -> Result<(), Violation> {
        let Some(before) = before else { return Ok(()) };
        if self.epoch < before.epoch {
            return Err(format!("S7: a frame of {} follows one of {}", self.epoch, before.epoch));
        }
        Ok(())
    }

    /// The history changes only at a founding.
    fn check_history(&self, before: Option<&Self>) -> Result<(), Violation> {
        match before {
            Some(before) if before.history != self.history && !self.founds => Err(format!(
                "LINEAGE-3: a frame of history {:x} at {} follows one of {:x}, and founds nothing",
                self.history, self.first, before.history
            )),
            _ => Ok(()),
        }
    }

    /// VERSION-1: the version of a log never falls, and rises by an order with which the first frame of the
    /// new version begins; a history may be founded in a newer one.
    fn check_version(&self, before: Option<&Self>) -> Result<(), Violation> {
        let Some(before) = before else { return Ok(()) };
        let rises_by = self.raises_to.unwrap_or(before.version);
        if self.version == rises_by && rises_by >= before.version
            || self.founds && self.version >= before.version
        {
            return Ok(());
        }
        Err(format!(
            "VERSION-1: a frame of version {} at {} follows one of {}, and its order is {:?}",
            self.version, self.first, before.version, self.raises_to
        ))
    }

    /// The first seq of its epoch.
    pub fn started_at(&self) -> Seq {
        self.table.last().map_or(0, |(_, base)| *base)
    }

    /// A publisher at its end.
    pub fn publisher(&self, id: PublisherId) -> Option<PublisherState> {
        self.lines.get(id as usize).filter(|line| line.incarnation > 0).map(|line| state(id, line))
    }

    /// Whether a publisher is a process of the edge, whose messages are judged by the books.
    pub fn is_of_edge(&self, publisher: PublisherId) -> bool {
        let name = self.names.iter().find(|(_, id)| **id == publisher).map(|(name, _)| name.as_str());
        name.is_some_and(|name| name.starts_with(CLIENT) || name.starts_with(Acknowledger::NAME))
    }

    /// The first seq of the message at `seq`.
    pub fn begin_of(&self, seq: Seq) -> Seq {
        self.begins.iter().find(|(at, _)| *at == seq).map_or(seq, |(_, begun)| *begun)
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
