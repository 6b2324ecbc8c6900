//! The events of publishers and the deliveries of subscribers: S10, and the four promises.

mod lineage;

use super::facts::{Founded, OracleFacts};
use super::log_tree::{Stamped, Tree, TreeNode};
use super::reference_model::ReferenceModel;
use super::{MessageKey, Violation, digest};
use crate::clients::payload::{self, PART_LEN};
use crate::coverage::Event;
use lockstep_core::engine::publisher::PublisherEvent;
use lockstep_core::engine::subscriber::{Delivery, Message};
use lockstep_wire::{Cursor, PublisherId, PublisherSeq, Seq};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// A publisher's process: its messages without an outcome.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct PublisherModel {
    open: VecDeque<MessageKey>,
    pub(super) delivered_next: Seq,
    /// A founding, or that it is ahead of one, was reported to it.
    pub(super) past: bool,
    /// An entry was reported to it as committed that the founded history lacks.
    pub(super) misled: bool,
}

/// A subscriber's process.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct ReaderModel {
    pub(super) delivery: Delivery,
    /// The first seq requested; `None` before a live one has begun.
    from: Option<Seq>,
    /// It began at the end of the stream of that moment.
    live: bool,
    /// Delivered and not retracted.
    pub(super) delivered: Vec<(Seq, MessageKey)>,
    /// Frames of the last delivered message: several logs may have it at the same place.
    frames: Vec<TreeNode>,
    pub(super) commit_next: Seq,
    /// The length of the part of `delivered` that was compared with the committed stream.
    compared: usize,
    pub(super) ended: bool,
    /// The history that it reads; 0 until it is known.
    pub(super) history: u64,
    /// It has passed a founding.
    pub(super) past: bool,
    /// The end of its final prefix when it resumed, in its history.
    pub(super) resumed: Seq,
}

impl ReaderModel {
    /// Whether everything below `commit_next` is committed there, and is what was delivered since the last
    /// look. Where a lost quorum had committed another log than the one on which a history was founded, the
    /// same seq has another message.
    fn may_read(&self, model: &ReferenceModel, tree: &Tree, commit_next: Seq) -> bool {
        let mut news = self.delivered[self.compared..].iter().take_while(|(seq, _)| *seq < commit_next);
        model.allows(tree, commit_next, None) && news.all(|(seq, key)| model.message(*seq) == Some(*key))
    }
}

/// A bound above the parts of any message.
const PARTS: PublisherSeq = 3;

/// The rules of what is delivered, and of the outcomes that are reported.
#[derive(Clone, Debug, Default)]
pub struct ClientCheck {
    /// Publishers' processes, by node.
    writers: BTreeMap<usize, PublisherModel>,
    /// Subscribers' processes, by node.
    readers: BTreeMap<usize, ReaderModel>,
    /// Digests of committed messages of the edge that came in parts.
    pub whole: BTreeSet<u64>,
}

impl ClientCheck {
    /// Whether a message in parts is of the edge: it is as some log has it under this number, and joined as
    /// the books have it, if they have it: another log may have another message at a seq that is committed.
    fn is_whole_of_edge(&self, facts: &OracleFacts, message: &Message<'_>, key: MessageKey) -> bool {
        let logs = facts.tree.containing(message.seq).map(|node| facts.tree.stem(node));
        let is_of_edge = logs.into_iter().any(|stem| stem.is_of_edge(message.publisher));
        let is_committed = facts.reference.message(message.seq) == Some(key);
        is_of_edge && (!is_committed || self.whole.contains(&digest(message.payload)))
    }

    // ---------------------------------------------------------------- publishers

    /// A publisher's process begins.
    pub(super) fn on_publisher_started(&mut self, facts: &mut OracleFacts, who: usize) {
        // Reports to the process before remain true.
        facts.publishing.insert(who);
        self.writers.insert(who, PublisherModel::default());
    }

    /// A publisher handed in a message.
    pub fn on_published(
        &mut self,
        facts: &mut OracleFacts,
        who: usize,
        publisher: PublisherId,
        number: PublisherSeq,
        payload: &[u8],
    ) {
        let count = payload::parts(payload).len().max(1) as u64;
        let first = number + 1 - count;
        for (number, part) in (first..).zip(payload::parts(payload)) {
            facts.published.insert((publisher, number, digest(part)));
        }
        let key = (publisher, number, digest(payload::last_part(payload)));
        facts.published.insert(key);
        if let Some(writer) = self.writers.get_mut(&who) {
            writer.open.push_back(key);
        }
    }

    /// A message has its final place, where readers deliver it, or none does.
    pub fn on_outcome(
        &mut self,
        facts: &mut OracleFacts,
        who: usize,
        (publisher, number): (PublisherId, PublisherSeq),
        seq: Seq,
        is_discarded: bool,
    ) -> Result<(), Violation> {
        let Some(writer) = self.writers.get_mut(&who) else { return Ok(()) };
        let reported = writer.open.pop_front();
        let Some(key) = reported.filter(|(id, next, _)| (*id, *next) == (publisher, number)) else {
            return Err(format!(
                "FATE: process {who} is told of {number}, its oldest without a fate is {reported:?}"
            ));
        };
        let ancestor = facts.founding.as_ref().filter(|_| !writer.past).map(Founded::ancestor);
        let stands = |model: &ReferenceModel| model.outcome(seq, is_discarded) == Some(key);
        if !stands(&facts.reference) && !ancestor.is_some_and(stands) {
            return Err(format!(
                "FATE: process {who} is told that {number} stands at {seq} (discarded: {is_discarded}); there stands, \
                 and is discarded {:?}, and everything below {} is committed",
                [false, true].map(|discarded| facts.reference.outcome(seq, discarded)),
                facts.commit_next()
            ));
        }
        writer.delivered_next = writer.delivered_next.max(seq + 1);
        writer.misled |= !stands(&facts.reference);
        facts.coverage.count(if is_discarded { Event::MessagesDiscarded } else { Event::Messages });
        Ok(())
    }

    /// A handle of the edge reports an event: where it says that a message stands for good, a log has it. It
    /// says 0 of one whose place it no longer remembers.
    pub fn on_edge_outcome(
        &self,
        facts: &OracleFacts,
        who: usize,
        event: &PublisherEvent,
    ) -> Result<(), Violation> {
        let PublisherEvent::Committed { publisher, publisher_seq, seq } = *event else { return Ok(()) };
        let stands = |node| facts.tree.stem(node).has_number(seq, publisher, publisher_seq);
        let is_so = seq == 0 || facts.tree.containing(seq).any(stands);
        is_so.then_some(()).ok_or_else(|| {
            format!("FATE: process {who} is told that {publisher_seq} of {publisher} stands at {seq}, where no log has it")
        })
    }

    /// A message has a place; there must be a log that has it there.
    pub fn on_stamped(
        &self,
        facts: &OracleFacts,
        who: usize,
        number: PublisherSeq,
        seq: Seq,
    ) -> Result<(), Violation> {
        let Some(writer) = self.writers.get(&who) else { return Ok(()) };
        let key = writer.open.iter().find(|(_, open, _)| *open == number);
        let stands = facts.tree.containing(seq).any(|node| {
            let stem = facts.tree.stem(node);
            stem.messages.iter().chain(&stem.discarded).any(|(at, found)| *at == seq && Some(found) == key)
        });
        if stands {
            return Ok(());
        }
        Err(format!("FATE: process {who} is told that {number} is stamped at {seq}, where no log has it"))
    }

    /// Nothing from `number` on was or will be stamped.
    pub fn on_outcome_ended(
        &mut self,
        facts: &mut OracleFacts,
        who: usize,
        number: PublisherSeq,
    ) -> Result<(), Violation> {
        let Some(writer) = self.writers.get_mut(&who) else { return Ok(()) };
        // The first parts of a message may have a place.
        if writer.open.front().is_some_and(|(_, oldest, _)| number > *oldest || number + PARTS <= *oldest) {
            return Err(format!(
                "FATE: process {who} is told that it ended at {number}, its oldest without a fate is {:?}",
                writer.open.front()
            ));
        }
        for key in std::mem::take(&mut writer.open) {
            if facts.reference.messages_from(1).iter().any(|(_, stands)| *stands == key) {
                return Err(format!(
                    "FATE: process {who} is told that {key:?} will never be stamped, but it is"
                ));
            }
            facts.doomed.insert((key, who));
            facts.coverage.count(Event::OutcomesFenced);
        }
        Ok(())
    }

    /// Messages of a publisher's process without an outcome.
    pub fn without_outcome(&self, who: usize) -> usize {
        self.writers.get(&who).map_or(0, |writer| writer.open.len())
    }

    // ---------------------------------------------------------------- subscribers

    /// A subscriber's process begins with `from`, or live.
    pub(super) fn on_subscriber_started(
        &mut self,
        who: usize,
        delivery: Delivery,
        from: Option<Seq>,
        cursor: Option<Cursor>,
    ) {
        let reader = ReaderModel {
            delivery,
            from,
            live: from.is_none(),
            delivered: Vec::new(),
            frames: Vec::new(),
            commit_next: 1,
            compared: 0,
            ended: false,
            history: cursor.map_or(0, |cursor| cursor.history),
            past: false,
            resumed: cursor.map_or(1, |cursor| cursor.seq),
        };
        self.readers.insert(who, reader);
    }

    /// A subscriber delivers a message.
    pub fn on_delivered(
        &mut self,
        facts: &mut OracleFacts,
        who: usize,
        message: &Message<'_>,
    ) -> Result<(), Violation> {
        let seq = message.seq;
        let key = (message.publisher, message.publisher_seq, digest(payload::last_part(message.payload)));
        let is_whole = payload::is_whole(message.payload) || self.is_whole_of_edge(facts, message, key);
        let Some(reader) = self.readers.get_mut(&who) else { return Ok(()) };
        if !is_whole {
            return Err(format!(
                "INTEGRITY: subscriber {who} delivers at {seq} what nobody published: {key:?}"
            ));
        }
        if message.payload.len() > PART_LEN {
            facts.coverage.count(Event::MessagesInParts);
        }
        if reader.live {
            let left = facts.founding.as_ref().filter(|_| !reader.past).map(Founded::ancestor);
            let begun = begun_at(&facts.tree, (&facts.reference, left), reader.delivery, (seq, key));
            reader.from = Some(reader.from.map_or(begun, |from| from.min(begun)));
        }
        let from = *reader.from.get_or_insert(seq);
        let after = reader.delivered.last().map_or(from, |(last, _)| last + 1);
        if seq < after {
            return Err(format!("ORDER: subscriber {who} delivers {seq}, it was at {after}"));
        }
        match reader.delivery {
            Delivery::Committed => {
                let ancestor = facts.founding.as_ref().filter(|_| !reader.past).map(Founded::ancestor);
                let next = |reference_model: &ReferenceModel| {
                    reference_model.begun_from(after, from).next().copied()
                };
                let expected = next(&facts.reference);
                if expected != Some((seq, key)) && ancestor.and_then(next) != Some((seq, key)) {
                    return Err(format!(
                        "AGREEMENT: subscriber {who} delivers {seq} {key:?} as committed; the next committed one is \
                         {expected:?}"
                    ));
                }
                reader.delivered.clear();
            }
            Delivery::Stamped => {
                let frames = frames_behind(&facts.tree, reader, from, after, (seq, key));
                if frames.is_empty() {
                    return Err(format!(
                        "S10: subscriber {who} delivers {seq} {key:?}: no log has it behind what it delivered before \
                         ({:?})",
                        reader.delivered.last()
                    ));
                }
                reader.frames = frames;
            }
        }
        reader.delivered.push((seq, key));
        Ok(())
    }

    /// A stamped subscriber retracts what it delivered from `from` on.
    pub fn on_retracted(&mut self, facts: &OracleFacts, who: usize, from: Seq) -> Result<(), Violation> {
        let Some(reader) = self.readers.get_mut(&who) else { return Ok(()) };
        if reader.delivery == Delivery::Committed {
            return Err(format!(
                "S10: subscriber {who} reads what is committed, and retracts from {from} on"
            ));
        }
        if from < reader.commit_next {
            return Err(format!(
                "S6: subscriber {who} retracts from {from} on, and called everything below {} committed",
                reader.commit_next
            ));
        }
        if reader.live {
            // The replacement is stamped later, even where its place is earlier.
            reader.from = reader.from.map(|began| began.min(from));
        }
        while reader.delivered.last().is_some_and(|(seq, _)| *seq >= from) {
            reader.delivered.pop();
        }
        reader.compared = reader.compared.min(reader.delivered.len());
        let last = reader.delivered.last().map(|(seq, _)| *seq);
        let mut frames = Vec::new();
        for node in std::mem::take(&mut reader.frames) {
            let mut at = Some(node);
            while let (Some(node), Some(last)) = (at, last) {
                let stem = facts.tree.stem(node);
                if (stem.first..stem.next).contains(&last) {
                    frames.push(node);
                    break;
                }
                at = stem.parent;
            }
        }
        frames.dedup();
        reader.frames = frames;
        Ok(())
    }

    /// A subscriber takes everything below `commit_next` for final and delivered.
    pub fn check_subscriber(
        &mut self,
        facts: &OracleFacts,
        who: usize,
        commit_next: Seq,
        history: u64,
    ) -> Result<(), Violation> {
        self.check_reading(facts, who, history)?;
        let is_ancestor = facts.is_left(history);
        let Some(reader) = self.readers.get_mut(&who) else { return Ok(()) };
        if commit_next == reader.commit_next {
            return Ok(());
        }
        if commit_next < reader.commit_next {
            return Err(format!(
                "S6: the commit of subscriber {who} fell from {} to {commit_next}",
                reader.commit_next
            ));
        }
        reader.commit_next = commit_next;
        // A journal of the new history sends what lies below the founding as final, also to a reader that has
        // not read the founding yet.
        let is_in_ancestor = |founding: &Founded| {
            let is_its_own = reader.may_read(founding.ancestor(), &facts.tree, commit_next);
            is_ancestor && (is_its_own || commit_next > founding.next())
        };
        let reference_model = match &facts.founding {
            Some(founding) if is_in_ancestor(founding) => founding.ancestor(),
            _ => &facts.reference,
        };
        reference_model.check_claim(&facts.tree, format_args!("subscriber {who}"), commit_next, None)?;
        while let Some((seq, key)) = reader.delivered.get(reader.compared)
            && *seq < commit_next
        {
            if reference_model.message(*seq) != Some(*key) {
                return Err(format!(
                    "AGREEMENT: subscriber {who} calls {seq} {key:?} committed, there stands {:?}",
                    reference_model.message(*seq)
                ));
            }
            reader.compared += 1;
        }
        Ok(())
    }

    /// A publisher's process calls everything below `commit_next` committed.
    pub fn check_publisher(
        &self,
        facts: &OracleFacts,
        who: usize,
        commit_next: Seq,
    ) -> Result<(), Violation> {
        facts.check_claim(format_args!("publisher {who}"), commit_next, None)
    }

    /// The end of its subscription was reported to a subscriber.
    pub fn on_subscription_ended(&mut self, who: usize) {
        if let Some(reader) = self.readers.get_mut(&who) {
            reader.ended = true;
        }
    }

    /// Whether a subscriber has delivered exactly what is committed, from where it began.
    pub fn has_delivered_all(&self, facts: &OracleFacts, who: usize) -> bool {
        let Some(reader) = self.readers.get(&who) else { return true };
        if self.must_end(facts, reader) {
            return reader.ended;
        }
        let Some(from) = reader.from else {
            // Nothing was stamped since it began, or it has not begun.
            return reader.ended || reader.commit_next >= facts.commit_next();
        };
        let joined = reader.delivered.iter().map(|(seq, _)| facts.reference.begin_of(*seq));
        let from = joined.min().filter(|_| reader.live).map_or(from, |begun| begun.min(from));
        let all = facts.reference.begun_from(from, from);
        reader.ended
            || match reader.delivery {
                Delivery::Committed => all.last().is_none_or(|last| reader.delivered.last() == Some(last)),
                Delivery::Stamped => reader.delivered.iter().eq(all),
            }
    }

    /// The seq at which a subscriber would resume: behind the last message that it delivered.
    pub fn delivered_next(&self, who: usize) -> Option<Seq> {
        let reader = self.readers.get(&who)?;
        reader.delivered.last().map(|(seq, _)| seq + 1).or(reader.from)
    }
}

/// The frames with `message` whose logs have it behind what the reader delivered before: no message that
/// began at `from` or later lies between `after`, where the reader was, and the message.
fn frames_behind(
    tree: &Tree,
    reader: &ReaderModel,
    from: Seq,
    after: Seq,
    message: (Seq, MessageKey),
) -> Vec<TreeNode> {
    let seq = message.0;
    let is_behind = |node: &TreeNode| {
        if !tree.stem(*node).messages.contains(&message) {
            return false;
        }
        let mut at = Some(*node);
        let mut skipped = 0;
        while let Some(node) = at {
            let stem = tree.stem(node);
            // A message that began before it is delivered by no reader.
            let between = stem.messages.iter().filter(|(at, _)| (after..seq).contains(at));
            skipped += between.filter(|(at, _)| stem.begin_of(*at) >= from).count();
            if reader.frames.contains(&node) {
                return skipped == 0;
            }
            if stem.first < after && reader.frames.is_empty() {
                break;
            }
            at = stem.parent;
        }
        skipped == 0 && reader.frames.is_empty()
    };
    tree.containing(seq).filter(is_behind).collect()
}

/// Where a message begins that a live reader was delivered: the place where it began to read shows in the
/// parts that it joins. The former history may have it where the present one has not (seed 75075048).
fn begun_at(
    tree: &Tree,
    (present, left): (&ReferenceModel, Option<&ReferenceModel>),
    delivery: Delivery,
    (seq, key): Stamped,
) -> Seq {
    match delivery {
        Delivery::Committed => {
            left.filter(|left| left.message(seq) == Some(key)).unwrap_or(present).begin_of(seq)
        }
        Delivery::Stamped => {
            let logs = tree.containing(seq).map(|node| tree.stem(node));
            let here = logs.filter(|stem| stem.messages.contains(&(seq, key)));
            here.map(|stem| stem.begin_of(seq)).max().unwrap_or(seq)
        }
    }
}
