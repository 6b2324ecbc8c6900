//! The invariants of every state, as sentences about logs and datagrams: the rules' purpose, not their code.

use super::process::Facts;
use lockstep_core::proto::accept::NOTHING;
use lockstep_wire::{Chain, Datagram, EntryKind, Epoch, FrameView, PublisherId, PublisherSeq, Seq};
use std::collections::BTreeMap;

/// A frame as a log has it. Its chain stands for it and for all frames before it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Placed {
    pub epoch: Epoch,
    pub first: Seq,
    pub before: Chain,
    pub chain: Chain,
    pub messages: Vec<(Seq, PublisherId, PublisherSeq)>,
}

impl Placed {
    pub(super) fn of(frame: &FrameView<'_>) -> Self {
        let messages = (frame.header.first_seq..)
            .zip(frame.entries())
            .filter(|(_, entry)| entry.kind() == EntryKind::Message)
            .map(|(seq, entry)| (seq, entry.header.publisher, entry.header.publisher_seq));
        Self {
            epoch: frame.header.epoch(),
            first: frame.header.first_seq,
            before: frame.header.chain,
            chain: frame.chain_after(),
            messages: messages.collect(),
        }
    }
}

/// The part of a datagram that the rules check.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum SentClaims {
    /// A frame, sent by its leader or repaired.
    Frame { epoch: Epoch, first: Seq, chain: Chain, live: bool },
    /// "My log up to here is that of this epoch's leader."
    Ack { epoch: Epoch, next: Seq, chain: Chain },
    /// "I promised this ballot, and have this log."
    Promise { ballot: Epoch, accepted: Epoch, next: Seq, chain: Chain },
    /// Anything else.
    Other,
}

impl SentClaims {
    pub(super) fn of(datagram: &Datagram<'_>) -> Self {
        match datagram {
            Datagram::Frame(frame, trailer) => Self::Frame {
                epoch: frame.header.epoch(),
                first: frame.header.first_seq,
                chain: frame.chain_after(),
                live: trailer.is_none(),
            },
            Datagram::Ack(header, _) => {
                Self::Ack { epoch: header.epoch(), next: header.first_seq, chain: header.chain }
            }
            Datagram::Promise(header, body) => Self::Promise {
                ballot: Epoch(body.ballot),
                accepted: header.epoch(),
                next: header.first_seq,
                chain: header.chain,
            },
            _ => Self::Other,
        }
    }
}

/// Every frame of every log that was seen, by its chain: a log is known by the chain at its end.
#[derive(Clone, Debug, Default)]
pub(super) struct ClaimLog(BTreeMap<Chain, Placed>);

impl ClaimLog {
    pub(super) fn add(&mut self, placed: Placed) {
        self.0.entry(placed.chain).or_insert(placed);
    }

    /// The frames of the log that ends with `chain`, the last first.
    fn back(&self, chain: Chain) -> impl Iterator<Item = &Placed> {
        std::iter::successors(self.0.get(&chain), |placed| self.0.get(&placed.before))
    }

    /// Whether the log that ends with `chain` contains the one that ends before `next` with `prefix`.
    fn contains(&self, chain: Chain, next: Seq, prefix: Chain) -> bool {
        next == 1 || self.back(chain).any(|placed| placed.chain == prefix)
    }

    /// The messages of the log that ends with `chain`, the first first; `None` if no replica ever had it.
    pub(super) fn messages(&self, chain: Chain) -> Option<Vec<(Seq, PublisherId, PublisherSeq)>> {
        if chain != 0 && !self.0.contains_key(&chain) {
            return None;
        }
        let mut frames: Vec<_> = self.back(chain).collect();
        frames.reverse();
        Some(frames.iter().flat_map(|placed| placed.messages.iter().copied()).collect())
    }

    /// The number of messages in the log that ends with `chain`.
    pub(super) fn count_messages(&self, chain: Chain) -> u64 {
        self.back(chain).map(|placed| placed.messages.len() as u64).sum()
    }

    /// S8: each message at most once, and in its publisher's order.
    pub(super) fn check_messages(&self, chain: Chain) -> Result<(), String> {
        let mut lasts = BTreeMap::new();
        for (seq, publisher, number) in self.messages(chain).unwrap_or_default() {
            let last = lasts.insert(publisher, number).unwrap_or(0);
            if number != last + 1 {
                return Err(format!(
                    "S8: message {number} of publisher {publisher} at seq {seq}, after {last}"
                ));
            }
        }
        Ok(())
    }

    /// The messages that a reader's application has are its log, or the committed part of it.
    pub(super) fn check_delivered(
        &self,
        chain: Chain,
        delivered: &[(Seq, PublisherId, PublisherSeq)],
    ) -> Result<(), String> {
        match self.messages(chain) {
            None => Err("S1: a reader holds a frame that stands in no log".into()),
            Some(messages) if messages == delivered => Ok(()),
            Some(messages) => {
                Err(format!("total order: delivered {delivered:?}, the reader's own log says {messages:?}"))
            }
        }
    }

    /// S6: what two processes ever called committed is one log. Returns the longer.
    pub(super) fn agree(&self, reference_model: Committed, seen: Committed) -> Result<Committed, String> {
        let (short, long) =
            if reference_model.next <= seen.next { (reference_model, seen) } else { (seen, reference_model) };
        if !self.contains(long.chain, short.next, short.chain) {
            return Err(format!(
                "S6: committed up to {} with chain {:#x} in {}, and up to {} in {} over another log",
                short.next, short.chain, short.epoch, long.next, long.epoch
            ));
        }
        // Of two with the same end, the lower epoch committed it first as far as leaders are concerned.
        let epoch = if short.next == long.next { short.epoch.min(long.epoch) } else { long.epoch };
        Ok(Committed { epoch, ..long })
    }

    /// S5: whoever begins to lead an epoch holds all that lower epochs committed.
    pub(super) fn check_leader(
        &self,
        reference_model: Committed,
        epoch: Epoch,
        chain: Chain,
    ) -> Result<(), String> {
        if reference_model.epoch < epoch && !self.contains(chain, reference_model.next, reference_model.chain)
        {
            return Err(format!(
                "S5: {epoch} is led without what {} committed up to {}",
                reference_model.epoch, reference_model.next
            ));
        }
        Ok(())
    }
}

/// The greatest prefix that any process ever called committed, and in which epoch.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) struct Committed {
    pub next: Seq,
    pub chain: Chain,
    pub epoch: Epoch,
}

/// S1: one frame per epoch and seq, whoever sends it and whenever.
pub(super) fn check_frame(claims: &SentClaims, before: &SentClaims) -> Result<(), String> {
    match (claims, before) {
        (
            SentClaims::Frame { epoch, first, chain, .. },
            SentClaims::Frame { epoch: e, first: f, chain: c, .. },
        ) if epoch == e && first == f && chain != c => Err(format!(
            "S1: two frames at seq {first} of {epoch}, behind them the chains {c:#x} and {chain:#x}: one \
                 proposer per epoch, one frame per seq"
        )),
        _ => Ok(()),
    }
}

/// S2, S3: what a replica may say once it holds `facts`.
pub(super) fn check_claims(claims: &SentClaims, facts: &Facts) -> Result<(), String> {
    let (promised, end) = (facts.promised, &facts.end);
    match claims {
        SentClaims::Frame { epoch, live: true, .. } if *epoch < promised => {
            Err(format!("S2: a frame of {epoch} is sent by who promised {promised}"))
        }
        SentClaims::Ack { epoch, .. } if *epoch < promised => {
            Err(format!("S2: an ack of {epoch} from who promised {promised}"))
        }
        // It follows, and stores nothing of it yet.
        SentClaims::Ack { epoch, next: NOTHING, .. } if *epoch == promised => Ok(()),
        SentClaims::Ack { epoch, next, chain } => {
            let own = *epoch == end.epoch && *next <= end.next;
            let same = *chain == 0 || *next != end.next || *chain == end.chain;
            if own && same {
                return Ok(());
            }
            Err(format!(
                "S3: an ack of {next} in {epoch} over a log of {} that ends at {}",
                end.epoch, end.next
            ))
        }
        SentClaims::Promise { ballot, .. } if *ballot != promised => {
            Err(format!("S2: {ballot} is said to be promised, {promised} is stored"))
        }
        SentClaims::Promise { ballot, accepted, next, chain } => {
            if (*accepted, *next, *chain) == (end.epoch, end.next, end.chain) {
                return Ok(());
            }
            Err(format!(
                "S5: the promise of {ballot} describes {accepted} up to {next}, not the log that is held"
            ))
        }
        _ => Ok(()),
    }
}

/// The allowed changes of a process in a step; `reborn` where it is another identity now, `restarted` where
/// its process is another.
pub(super) fn check_step(before: &Facts, after: &Facts, restarted: bool, reborn: bool) -> Result<(), String> {
    if let Some(wrong) = &after.wrong {
        return Err(wrong.clone());
    }
    if reborn {
        return Ok(());
    }
    if after.promised < before.promised {
        return Err(format!("S2: the promise fell from {} to {}", before.promised, after.promised));
    }
    if restarted && after.end != before.end {
        return Err(format!("S7: the log ended at {:?}, and after a crash at {:?}", before.end, after.end));
    }
    if !restarted && after.committed.0 < before.committed.0 {
        return Err(format!("S6: the commit fell from {} to {}", before.committed.0, after.committed.0));
    }
    Ok(())
}
