//! Primary order and view synchrony, as the texts state them, of the events that readers receive. The primary
//! of an epoch is its leader; a view is an epoch with one membership.
//!
//! * PRIMARY ORDER (Junqueira, Reed and Serafini 2011): within an epoch a reader delivers the entries that
//!   its leader stamped, in the order of stamping and without a gap; nothing of an earlier leader comes after
//!   anything of a later one; and the log of a leader has all that was delivered of earlier ones before its
//!   first own entry.
//! * VIEW SYNCHRONY (Birman and Joseph 1987): readers that go from one view to the next together have
//!   delivered the same messages in the first.
//!
//! Entries that a stamped reader retracts were not delivered. A reader that begins within an epoch is judged
//! from the next one on.

use super::Violation;
use super::events::EventJudge;
use super::facts::OracleFacts;
use super::log_tree::{Fact, Tree, TreeNode};
use crate::coverage::Event;
use lockstep_wire::{Epoch, PublisherId, PublisherSeq, Seq};
use std::collections::BTreeMap;
use std::fmt;

/// Where a reader is in the log of the leader whose epoch it reads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct LeaderPlace {
    /// The seq of the first epoch start that the reader received.
    first: Seq,
    /// The frame of the last entry.
    frame: TreeNode,
    /// Exclusive end of what was delivered.
    next: Seq,
}

/// Primary order of one reader; without a place before its first epoch start.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PrimaryOrder(Option<LeaderPlace>);

impl PrimaryOrder {
    /// A reader that received everything from `from` on receives the entry at `seq`. Returns its frame, if
    /// the leader is known.
    ///
    /// # Errors
    /// The entry breaks primary order.
    pub fn on_entry(
        &mut self,
        tree: &Tree,
        seq: Seq,
        fact: Fact,
        from: Seq,
    ) -> Result<Option<TreeNode>, Violation> {
        let frame = match (fact, self.0) {
            (Fact::Epoch(epoch, _), place) => start(tree, place, epoch, seq)?,
            (_, Some(place)) => behind(tree, place, seq)
                .filter(|frame| tree.tells(*frame, seq, fact, from))
                .ok_or_else(|| {
                    let epoch = tree.stem(place.frame).epoch;
                    format!(
                        "{fact:?} is delivered at {seq} in {epoch}, and its leader stamped another entry behind {}",
                        place.next - 1
                    )
                })?,
            (_, None) => return Ok(None),
        };
        let first = self.0.map_or(seq, |place| place.first);
        self.0 = Some(LeaderPlace { first, frame, next: seq + 1 });
        Ok(Some(frame))
    }

    fn on_retracted(&mut self, tree: &Tree, from: Seq) {
        let Some(place) = self.0.filter(|place| from > place.first) else {
            self.0 = None;
            return;
        };
        if let Some(frame) = tree.frame_before(place.frame, from) {
            self.0 = Some(LeaderPlace { frame, next: from, ..place });
        }
    }
}

/// The frame of the start of `epoch` at `seq`, behind `place`.
fn start(tree: &Tree, place: Option<LeaderPlace>, epoch: Epoch, seq: Seq) -> Result<TreeNode, Violation> {
    let Some(frame) = tree.find(epoch, seq).filter(|frame| tree.stem(*frame).starts) else {
        return Err(format!("{epoch} is delivered to begin at {seq}, where its leader stamped no start"));
    };
    let Some(place) = place else { return Ok(frame) };
    let before = tree.stem(place.frame);
    if epoch <= before.epoch {
        return Err(format!("the start of {epoch} is delivered at {seq} after entries of {}", before.epoch));
    }
    if (tree.stem(frame).parent, seq) != (Some(place.frame), place.next) {
        return Err(format!(
            "{epoch} begins at {seq} on another log than the one that was delivered of {} up to {}",
            before.epoch, place.next
        ));
    }
    Ok(frame)
}

/// The frame of the entry at `seq` in the log of the same leader, if that entry is right behind `place`.
fn behind(tree: &Tree, place: LeaderPlace, seq: Seq) -> Option<TreeNode> {
    let stem = tree.stem(place.frame);
    if seq != place.next {
        return None;
    }
    if seq < stem.next {
        return Some(place.frame);
    }
    tree.find(stem.epoch, seq).filter(|frame| tree.stem(*frame).parent == Some(place.frame))
}

/// An epoch, and the number of the changes of the membership in it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct ViewId(Epoch, u32);

/// A message of a view.
type ViewMessage = (Seq, PublisherId, PublisherSeq);

#[derive(Clone, PartialEq, Eq, Debug)]
struct PassedView {
    id: ViewId,
    start: Seq,
    /// Messages that began in it.
    messages: Vec<ViewMessage>,
}

/// A reader goes from one view to the next, and has delivered these messages of the first.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ViewPassage {
    from: ViewId,
    to: ViewId,
    messages: Vec<ViewMessage>,
}

/// The views through which one reader has gone.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PassedViews(Vec<PassedView>);

impl PassedViews {
    /// A reader receives the entry at `seq`; if that is a message, it began at `begun`.
    pub fn on_entry(&mut self, seq: Seq, fact: Fact, begun: Seq) -> Option<ViewPassage> {
        let to = match (fact, self.0.last_mut()) {
            (Fact::Epoch(epoch, _), _) => ViewId(epoch, 0),
            (Fact::Membership(_), Some(view)) => ViewId(view.id.0, view.id.1 + 1),
            // A message that began before the view is of both: a reader that began between lacks it.
            (Fact::Message(publisher, number, ..), Some(view)) if begun >= view.start => {
                view.messages.push((seq, publisher, number));
                return None;
            }
            _ => return None,
        };
        let from = self.0.last();
        let passage = from.map(|view| ViewPassage { from: view.id, to, messages: view.messages.clone() });
        self.0.push(PassedView { id: to, start: seq, messages: Vec::new() });
        passage
    }

    fn on_retracted(&mut self, from: Seq) {
        while self.0.last().is_some_and(|view| view.start >= from) {
            self.0.pop();
        }
        if let Some(view) = self.0.last_mut() {
            view.messages.truncate(view.messages.partition_point(|(seq, ..)| *seq < from));
        }
    }
}

/// The messages that the first reader to go from one view to another had delivered of the first view.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ViewPassages(BTreeMap<(ViewId, ViewId), (usize, Vec<ViewMessage>)>);

impl ViewPassages {
    /// Reader `who` goes from one view to the next. Returns whether another one did before.
    ///
    /// # Errors
    /// Another one did, with other messages.
    pub fn on_passage(&mut self, who: usize, passage: ViewPassage) -> Result<bool, Violation> {
        let ViewPassage { from, to, messages } = passage;
        let Some((other, others)) = self.0.get(&(from, to)) else {
            self.0.insert((from, to), (who, messages));
            return Ok(false);
        };
        if *others == messages {
            return Ok(true);
        }
        let differs = others.iter().zip(&messages).take_while(|(a, b)| a == b).count();
        Err(format!(
            "from {from:?} to {to:?} with {:?} as message {differs} of the first, and subscriber {other} with {:?}",
            messages.get(differs),
            others.get(differs)
        ))
    }
}

/// One reader's events as both properties see them.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct ReaderViews {
    /// Where it is in a leader's log.
    pub order: PrimaryOrder,
    /// The views through which it has gone.
    pub passed: PassedViews,
}

impl ReaderViews {
    /// The reader retracts everything from `from` on.
    pub fn on_retracted(&mut self, tree: &Tree, from: Seq) {
        self.order.on_retracted(tree, from);
        self.passed.on_retracted(from);
    }
}

impl fmt::Debug for ReaderViews {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.passed.0.iter().map(|view| (view.id, view.start))).finish()
    }
}

impl EventJudge {
    /// Subscriber `who`, which received everything from `from` on, receives the entry at `seq`.
    pub(super) fn judge_views(
        &mut self,
        facts: &mut OracleFacts,
        who: usize,
        views: &mut ReaderViews,
        (seq, fact): (Seq, Fact),
        from: Seq,
    ) -> Result<(), Violation> {
        let ordered = views.order.on_entry(&facts.tree, seq, fact, from);
        let frame = ordered.map_err(|why| format!("PRIMARY ORDER: to subscriber {who} {why}"))?;
        let begun = frame.map_or(seq, |frame| facts.tree.stem(frame).begin_of(seq));
        let Some(passage) = views.passed.on_entry(seq, fact, begun) else { return Ok(()) };
        let is_shared = self
            .passages
            .on_passage(who, passage)
            .map_err(|why| format!("VIEW SYNCHRONY: subscriber {who} goes {why}"))?;
        if is_shared {
            facts.coverage.count(Event::ViewsPassed);
        }
        Ok(())
    }
}
