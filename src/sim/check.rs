//! The checkers: an oracle outside the system that sees every log, every datagram and every delivery.
//! It knows the rules as sentences, not the code that keeps them.

use crate::engine::subscriber::Message;
use crate::journal::Tail;
use crate::journal::memory::MemoryTail;
use crate::wire::{Chain, Datagram, EntryKind, Epoch, FrameView, PublisherId, PublisherSeq, Seq};
use std::collections::BTreeMap;

/// What went wrong, in words, with the rule's id in front.
pub type Violation = String;

/// A frame as it stands in logs.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Known {
    epoch: Epoch,
    next: Seq,
    chain_after: Chain,
    bytes_digest: u64,
}

/// What one process has shown so far.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
struct Shown {
    checked_next: Seq,
    commit_next: Seq,
    promised: Epoch,
    delivered: Seq,
}

/// See the module.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Oracle {
    cluster: u64,
    /// Every frame of every log, by its first seq. No takeover exists yet, so there is one log.
    frames: BTreeMap<Seq, Known>,
    /// Where each published message was stamped.
    places: BTreeMap<(PublisherId, PublisherSeq), Seq>,
    /// The message at each seq of the log.
    messages: BTreeMap<Seq, (PublisherId, PublisherSeq, u64)>,
    /// What publishers handed in: the payload's digest.
    published: BTreeMap<(PublisherId, PublisherSeq), u64>,
    shown: Vec<Shown>,
    quorum: usize,
}

/// FNV-1a: enough to tell payloads apart in a test.
pub fn digest(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3))
}

impl Oracle {
    /// For `processes` processes and a membership that needs `quorum`.
    pub fn new(cluster: u64, processes: usize, quorum: usize) -> Self {
        Self {
            cluster,
            frames: BTreeMap::new(),
            places: BTreeMap::new(),
            messages: BTreeMap::new(),
            published: BTreeMap::new(),
            shown: vec![Shown { checked_next: 1, ..Shown::default() }; processes],
            quorum,
        }
    }

    /// A publisher handed in a message.
    pub fn on_published(&mut self, publisher: PublisherId, publisher_seq: PublisherSeq, payload: &[u8]) {
        self.published.insert((publisher, publisher_seq), digest(payload));
    }

    /// Messages handed in so far.
    pub fn published(&self) -> usize {
        self.published.len()
    }

    /// Messages with a place so far.
    pub fn placed(&self) -> usize {
        self.places.len()
    }

    /// S1, S7, S8: what is new in the log of replica `who`.
    pub fn check_log(&mut self, who: usize, tail: &Tail<MemoryTail>) -> Result<(), Violation> {
        let mut next = self.shown[who].checked_next;
        while next < tail.end().next {
            let Some(span) = tail.find(next) else { break };
            let frame =
                tail.frame(span).map_err(|damage| format!("S7: replica {who} holds damage: {damage:?}"))?;
            self.check_frame(who, &frame)?;
            next = frame.header.next_seq();
        }
        let end = tail.end();
        if next != end.next {
            return Err(format!("S7: the log of replica {who} ends at {}, its frames at {next}", end.next));
        }
        if end.next < self.shown[who].checked_next {
            return Err(format!("S7: the log of replica {who} fell to {}", end.next));
        }
        self.shown[who].checked_next = next;
        let promised = tail.promised();
        if promised < self.shown[who].promised {
            return Err(format!("S2: the promise of replica {who} fell to {promised}"));
        }
        self.shown[who].promised = promised;
        Ok(())
    }

    fn check_frame(&mut self, who: usize, frame: &FrameView<'_>) -> Result<(), Violation> {
        let header = &frame.header;
        let known = Known {
            epoch: header.epoch(),
            next: header.next_seq(),
            chain_after: frame.chain_after(),
            bytes_digest: digest(frame.bytes),
        };
        if let Some(other) = self.frames.get(&header.first_seq) {
            return if *other == known {
                Ok(())
            } else {
                Err(format!(
                    "S1: two frames at seq {}: replica {who} holds {known:?}, another {other:?}",
                    header.first_seq
                ))
            };
        }
        if header.sender != header.epoch().leader().replica {
            return Err(format!("S1: {} stamped in {}", header.sender, header.epoch()));
        }
        for (seq, entry) in (header.first_seq..).zip(frame.entries()) {
            if entry.kind() == EntryKind::Message {
                self.check_message(seq, entry.header.publisher, entry.header.publisher_seq, entry.payload)?;
            }
        }
        self.frames.insert(header.first_seq, known);
        Ok(())
    }

    fn check_message(
        &mut self,
        seq: Seq,
        publisher: PublisherId,
        publisher_seq: PublisherSeq,
        payload: &[u8],
    ) -> Result<(), Violation> {
        let key = (publisher, publisher_seq);
        match self.published.get(&key) {
            Some(digest_published) if *digest_published == digest(payload) => {}
            _ => return Err(format!("integrity: nobody published what stands at seq {seq} as {key:?}")),
        }
        if let Some(at) = self.places.insert(key, seq) {
            return Err(format!("S8: {key:?} is stamped at {at} and at {seq}"));
        }
        let before = self.places.range(..key).next_back().filter(|((owner, _), _)| *owner == publisher);
        let in_order = match before {
            Some(((_, number), _)) => number + 1 == publisher_seq,
            None => publisher_seq == 1,
        };
        if !in_order {
            return Err(format!("S8: {key:?} is stamped out of its publisher's order, after {before:?}"));
        }
        self.messages.insert(seq, (publisher, publisher_seq, digest(payload)));
        Ok(())
    }

    /// S4, S6: process `who` calls everything below `commit_next` committed; `holders` are the bounds of
    /// the replicas' logs.
    pub fn check_commit(&mut self, who: usize, commit_next: Seq, holders: &[Seq]) -> Result<(), Violation> {
        let shown = &mut self.shown[who];
        if commit_next < shown.commit_next {
            return Err(format!(
                "S6: the commit of process {who} fell from {} to {commit_next}",
                shown.commit_next
            ));
        }
        shown.commit_next = commit_next;
        let holding = holders.iter().filter(|next| **next >= commit_next).count();
        if commit_next > 1 && holding < self.quorum {
            return Err(format!(
                "S4: process {who} calls {commit_next} committed, {holding} hold it: {holders:?}"
            ));
        }
        Ok(())
    }

    /// A replica was replaced and holds its log up to `next`: what it showed of its commit is forgotten.
    pub fn on_restarted(&mut self, who: usize, next: Seq) {
        self.shown[who].commit_next = 0;
        self.shown[who].checked_next = next;
    }

    /// S2, S3, S11: what process `who` sends. `log` is its tail if it is a replica, `commit_next` its commit.
    pub fn check_sent(
        &self,
        who: usize,
        bytes: &[u8],
        log: Option<&Tail<MemoryTail>>,
        commit_next: Seq,
    ) -> Result<(), Violation> {
        let datagram = Datagram::decode(bytes, self.cluster)
            .map_err(|reject| format!("wire: process {who} sent what it would refuse itself: {reject}"))?;
        let Some(tail) = log else { return Ok(()) };
        match datagram {
            Datagram::Ack(header, _) => {
                if header.epoch() < tail.promised() {
                    return Err(format!(
                        "S2: replica {who} acknowledged below its promise {}",
                        tail.promised()
                    ));
                }
                if header.epoch() != tail.end().epoch || header.first_seq > tail.end().next {
                    return Err(format!(
                        "S3: replica {who} acknowledged {} of {}",
                        header.first_seq,
                        header.epoch()
                    ));
                }
                let chain = self.chain_at(header.first_seq);
                if header.chain != 0 && chain.is_some_and(|chain| chain != header.chain) {
                    return Err(format!(
                        "S3: replica {who} acknowledged another log at {}",
                        header.first_seq
                    ));
                }
            }
            Datagram::Frame(frame, Some(trailer)) => {
                let known = self.frames.get(&frame.header.first_seq);
                if known.is_none_or(|known| known.bytes_digest != digest(frame.bytes)) {
                    return Err(format!(
                        "S11: replica {who} repaired what is in no log, seq {}",
                        frame.header.first_seq
                    ));
                }
                if trailer.commit_next > commit_next || trailer.accepted > tail.end().epoch.0 {
                    return Err(format!("S11: replica {who} repaired under a word that is not its own"));
                }
            }
            Datagram::Frame(frame, None) => {
                let held = frame.header.next_seq() <= tail.end().next;
                if !held || frame.header.epoch() < tail.promised() {
                    return Err(format!(
                        "S1: replica {who} sent frame {} before it kept it",
                        frame.header.first_seq
                    ));
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn chain_at(&self, next: Seq) -> Option<Chain> {
        let (_, known) = self.frames.range(..next).next_back()?;
        (known.next == next).then_some(known.chain_after)
    }

    /// The four promises: subscriber `who` delivers. `final_next` is its own commit if it reads committed.
    pub fn check_delivered(
        &mut self,
        who: usize,
        message: &Message<'_>,
        from: Seq,
        final_next: Option<Seq>,
    ) -> Result<(), Violation> {
        let seq = message.seq;
        let last = self.shown[who].delivered;
        let expected = self.messages.range(from.max(last + 1)..).next();
        let said = (message.publisher, message.publisher_seq, digest(message.payload));
        match expected {
            Some((&at, &is)) if at == seq && is == said => {}
            other => {
                return Err(format!(
                    "total order: subscriber {who} delivers {seq} {said:?}, next is {other:?}"
                ));
            }
        }
        if final_next.is_some_and(|next| seq >= next) {
            return Err(format!(
                "agreement: subscriber {who} delivers {seq} as committed, commit is {final_next:?}"
            ));
        }
        self.shown[who].delivered = seq;
        Ok(())
    }

    /// Agreement and validity, once the run is quiet: subscriber `who` has delivered everything.
    pub fn has_delivered_all(&self, who: usize) -> bool {
        self.messages.keys().next_back().is_none_or(|last| self.shown[who].delivered >= *last)
    }

    /// The seq of a published message.
    pub fn place(&self, publisher: PublisherId, publisher_seq: PublisherSeq) -> Option<Seq> {
        self.places.get(&(publisher, publisher_seq)).copied()
    }
}
