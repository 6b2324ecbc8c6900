//! # proof: that one entry stood at its place
//!
//! A proof has the frame of the entry, the path from it to a signed root, and the attestation. Its reader
//! needs neither journal nor network, only the notary's public key.

use crate::attestation::{Attestation, NotaryKey, from_hex, to_hex};
use crate::check::{REMEMBERED_MAX, attestation_in};
use crate::tree::{Hash, leaf_hash, path_of, root_by_path};
use lockstep_wire::{Entry, FrameView, Seq};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::VecDeque;
use std::fmt;

/// The version of a proof's text.
pub const SCHEMA: &str = "lockstep.proof/1";

/// A proof; its text is JSON, bytes as hexadecimal digits.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proof {
    schema: String,
    /// The entry.
    pub seq: Seq,
    frame: Hex,
    index: u64,
    path: Vec<Hex>,
    attestation: Hex,
}

/// A proof does not hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ProofError {
    /// It is of another version.
    Schema,
    /// Its attestation cannot be parsed.
    Attestation,
    /// No trusted notary has signed it.
    Signature,
    /// Its path does not lead from its frame to the signed root.
    Path,
    /// Its frame cannot be parsed, or does not contain the entry.
    Frame,
}

impl fmt::Display for ProofError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Schema => "it is of another version: use the program of that version",
            Self::Attestation => "its attestation is not of this version",
            Self::Signature => "no trusted notary has signed its attestation",
            Self::Path => "its frame is not one that the notary has signed",
            Self::Frame => "its frame does not contain the entry",
        })
    }
}

impl std::error::Error for ProofError {}

impl Proof {
    /// The proof for the entry `seq` of `frame`, which is the frame `index` of those that `attestation` is
    /// over, whose hashes are `leaves`. `None` if there is no such frame.
    pub fn new(
        seq: Seq,
        frame: &FrameView<'_>,
        leaves: &[Hash],
        index: usize,
        attestation: &Attestation,
    ) -> Option<Self> {
        Some(Self {
            schema: SCHEMA.to_owned(),
            seq,
            frame: Hex(frame.bytes.to_vec()),
            index: index as u64,
            path: path_of(leaves, index)?.into_iter().map(|hash| Hex(hash.to_vec())).collect(),
            attestation: Hex(attestation.bytes().to_vec()),
        })
    }

    /// What it proves: the entry stands at its seq in the stream that one of `notaries` saw as committed.
    ///
    /// # Errors
    /// It proves nothing.
    pub fn verify(&self, notaries: &[NotaryKey]) -> Result<Proven<'_>, ProofError> {
        if self.schema != SCHEMA {
            return Err(ProofError::Schema);
        }
        let attestation = Attestation::parse(&self.attestation.0).ok_or(ProofError::Attestation)?;
        if !attestation.is_signed_by(notaries) {
            return Err(ProofError::Signature);
        }
        let body = attestation.body;
        let path: Option<Vec<Hash>> =
            self.path.iter().map(|hash| hash.0.as_slice().try_into().ok()).collect();
        let path = path.ok_or(ProofError::Path)?;
        let root = root_by_path(leaf_hash(&self.frame.0), self.index, u64::from(body.frames), &path);
        if root != Some(body.root) {
            return Err(ProofError::Path);
        }
        // A notary signs what it can read; this is for the type.
        let frame = FrameView::from_prefix(&self.frame.0).map_err(|_| ProofError::Frame)?;
        let at = self.seq.checked_sub(frame.header.first_seq).ok_or(ProofError::Frame)?;
        let mut entries = frame.entries();
        let entry = usize::try_from(at).ok().and_then(|at| entries.nth(at)).ok_or(ProofError::Frame)?;
        Ok(Proven { seq: self.seq, frame, entry, attestation })
    }
}

/// Looks for the proof of one entry in a stream: the frames from [`ENTRIES_MAX`](crate::ENTRIES_MAX) entries
/// before it on.
#[derive(Clone, Debug)]
pub struct ProofSearch {
    seq: Seq,
    notaries: Vec<NotaryKey>,
    /// (first seq, next seq, hash) of frames that an attestation over the entry may be over.
    leaves: VecDeque<(Seq, Seq, Hash)>,
    /// That with the entry.
    frame: Option<Vec<u8>>,
}

impl ProofSearch {
    /// For the entry `seq`, by an attestation of one of `notaries`.
    pub fn new(seq: Seq, notaries: Vec<NotaryKey>) -> Self {
        Self { seq, notaries, leaves: VecDeque::new(), frame: None }
    }

    /// The next frame of the stream. Returns the proof once a notary has signed a range with the entry that
    /// was seen as a whole.
    pub fn on_frame(&mut self, frame: &FrameView<'_>) -> Option<Proof> {
        let (first, next) = (frame.header.first_seq, frame.header.next_seq());
        if self.leaves.len() == REMEMBERED_MAX {
            self.leaves.pop_front();
        }
        self.leaves.push_back((first, next, leaf_hash(frame.bytes)));
        if (first..next).contains(&self.seq) {
            self.frame = Some(frame.bytes.to_vec());
        }
        frame
            .entries()
            .filter_map(|entry| Attestation::parse(attestation_in(&entry)?))
            .find_map(|it| self.prove(&it))
    }

    fn prove(&self, attestation: &Attestation) -> Option<Proof> {
        let frame = FrameView::known(self.frame.as_deref()?)?;
        let body = &attestation.body;
        let range =
            self.leaves.iter().filter(|(first, next, _)| *first >= body.first_seq && *next <= body.next_seq);
        let (places, leaves): (Vec<Seq>, Vec<Hash>) = range.map(|(first, _, hash)| (*first, *hash)).unzip();
        let index = places.iter().position(|first| *first == frame.header.first_seq)?;
        let proof = Proof::new(self.seq, &frame, &leaves, index, attestation)?;
        // It may not verify: the beginning of its range was not seen, or no trusted notary has signed it.
        proof.verify(&self.notaries).is_ok().then_some(proof)
    }
}

/// An entry whose place is proven.
#[derive(Clone, Copy, Debug)]
pub struct Proven<'a> {
    /// Its place.
    pub seq: Seq,
    /// Its frame.
    pub frame: FrameView<'a>,
    /// The entry.
    pub entry: Entry<'a>,
    /// The signed statement.
    pub attestation: Attestation,
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Hex(Vec<u8>);

impl Serialize for Hex {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&to_hex(&self.0))
    }
}

impl<'de> Deserialize<'de> for Hex {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        from_hex(&text).map(Self).ok_or_else(|| serde::de::Error::custom("no hexadecimal digits"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attestation::{Interval, Notary};
    use crate::tests::{Chained, attestation_frame, frame_of};

    /// The proofs of the second entry of each frame.
    fn proofs() -> (NotaryKey, Vec<Proof>) {
        let (mut at, mut interval, notary) = (Chained::default(), Interval::default(), Notary::new(&[7; 32]));
        let text = |number: u8| [number; 9];
        let frames: Vec<_> = (0..7).map(|n| at.push(&[(0, b"first"), (3, &text(n)), (0, b"last")])).collect();
        frames.iter().for_each(|frame| interval.push(&frame_of(frame)));
        let attestation = notary.attest(&interval).expect("it has frames");
        let leaves: Vec<_> = frames.iter().map(|frame| leaf_hash(frame)).collect();
        let proof = |(index, frame): (usize, &Vec<u8>)| {
            let frame = frame_of(frame);
            Proof::new(frame.header.first_seq + 1, &frame, &leaves, index, &attestation).expect("it is one")
        };
        (notary.public(), frames.iter().enumerate().map(proof).collect())
    }

    #[test]
    fn a_proof_names_the_entry_at_its_place_also_as_text() {
        let (key, proofs) = proofs();
        for (number, proof) in (0..).zip(&proofs) {
            let text = serde_json::to_string(proof).expect("it is text");
            let read: Proof = serde_json::from_str(&text).expect("it is a proof");
            assert_eq!(&read, proof);
            let proven = read.verify(&[key]).expect("it holds");
            let (seq, entry) = (proven.seq, proven.entry);
            assert_eq!(
                (seq, entry.header.destination, entry.payload),
                (3 * u64::from(number) + 2, 3, &[number; 9][..])
            );
        }
    }

    #[test]
    fn a_search_finds_the_proof_of_an_entry_in_a_stream_that_is_signed_behind_it() {
        let (mut at, mut interval, notary) = (Chained::default(), Interval::default(), Notary::new(&[7; 32]));
        let mut search = ProofSearch::new(8, vec![notary.public()]);
        for number in 0..5u8 {
            let frame = at.push(&[(0, &[number]), (0, b"and another one")]);
            interval.push(&frame_of(&frame));
            assert_eq!(search.on_frame(&frame_of(&frame)), None);
        }
        let other =
            attestation_frame(&mut at, &Notary::new(&[8; 32]).attest(&interval).expect("it has frames"));
        assert_eq!(search.on_frame(&frame_of(&other)), None, "of a notary that is not believed");
        let signed = attestation_frame(&mut at, &notary.attest(&interval).expect("it has frames"));
        let proof = search.on_frame(&frame_of(&signed)).expect("it is signed");
        let proven = proof.verify(&[notary.public()]).expect("it holds");
        assert_eq!((proven.seq, proven.entry.payload), (8, b"and another one".as_slice()));
        let mut late = ProofSearch::new(8, vec![notary.public()]);
        assert_eq!(late.on_frame(&frame_of(&signed)), None, "the frame was not seen");
    }

    #[test]
    fn a_proof_of_a_notary_that_is_not_believed_proves_nothing() {
        let (_, proofs) = proofs();
        let other = Notary::new(&[8; 32]).public();
        assert_eq!(proofs[0].verify(&[other]).err(), Some(ProofError::Signature));
        assert_eq!(proofs[0].verify(&[]).err(), Some(ProofError::Signature));
    }

    #[test]
    fn a_proof_with_any_bit_changed_proves_nothing() {
        let (key, proofs) = proofs();
        let good = &proofs[4];
        let holds = |proof: &Proof| proof.verify(&[key]).is_ok();
        assert!(holds(good));
        let changes: [fn(&mut Proof) -> &mut Vec<u8>; 4] = [
            |proof| &mut proof.frame.0,
            |proof| &mut proof.attestation.0,
            |proof| &mut proof.path[0].0,
            |proof| &mut proof.path[1].0,
        ];
        for change in changes {
            for at in 0..change(&mut good.clone()).len() * 8 {
                let mut changed = good.clone();
                change(&mut changed)[at / 8] ^= 1 << (at % 8);
                assert!(!holds(&changed), "bit {at}");
            }
        }
        for index in (0..9).filter(|index| *index != good.index) {
            assert!(!holds(&Proof { index, ..good.clone() }), "index {index}");
        }
        for seq in [0, 1, 12, 16, u64::MAX] {
            assert!(!holds(&Proof { seq, ..good.clone() }), "seq {seq}");
        }
        assert!(!holds(&Proof { path: Vec::new(), ..good.clone() }));
        assert!(!holds(&Proof { schema: "lockstep.proof/2".to_owned(), ..good.clone() }));
    }
}
