//! # check: a stream against the attestations in it
//!
//! Frames and attestations come in the order of the stream. A frame's hash is remembered until an attestation
//! is over it; an attestation is over frames that came before it.

use crate::attestation::{Attestation, FRAMES_MAX, NotaryKey, to_hex};
use crate::tree::{Hash, leaf_hash, root_of};
use lockstep_wire::{Entry, EntryKind, FrameView, NOTARIES, Seq};
use std::collections::VecDeque;
use std::fmt;

/// Frames that are remembered: those of an attestation, and as many again for each of what is on its way, for
/// a second notary, and for one that starts again.
pub const REMEMBERED_MAX: usize = 16 * FRAMES_MAX as usize;

/// The stream is not the one that a notary has signed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Forged {
    /// The signed range.
    pub first_seq: Seq,
    /// Its exclusive end.
    pub next_seq: Seq,
    /// The notary that signed it.
    pub notary: [u8; 32],
}

impl fmt::Display for Forged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the entries from seq {} to {} are not those that notary {}… has signed: something was changed, left out, \
             inserted or moved",
            self.first_seq,
            self.next_seq - 1,
            to_hex(&self.notary[..4])
        )
    }
}

impl std::error::Error for Forged {}

/// The attestation in an entry, not judged.
pub(crate) fn attestation_in<'a>(entry: &Entry<'a>) -> Option<&'a [u8]> {
    (entry.kind() == EntryKind::Message && entry.header.destination == NOTARIES).then_some(entry.payload)
}

/// Whether a frame has attestations alone. An application receives nothing of it, and the last one of a
/// stream is never signed.
pub fn has_signatures_alone(frame: &FrameView<'_>) -> bool {
    frame.entries().all(|entry| attestation_in(&entry).is_some())
}

/// One frame, as it is remembered.
#[derive(Clone, Copy, Debug)]
struct Leaf {
    first: Seq,
    next: Seq,
    history: u64,
    hash: Hash,
    is_attested: bool,
}

/// How far a stream is attested.
#[derive(Clone, Debug)]
pub struct Checker {
    notaries: Vec<NotaryKey>,
    leaves: VecDeque<Leaf>,
    /// Attestations that count.
    attestations: u64,
    /// The first entry that is attested.
    first_attested: Option<Seq>,
    /// The first entry behind that which was forgotten before an attestation was over it, and how many were.
    unattested: (Seq, u64),
}

impl Checker {
    /// Believes `notaries`.
    pub fn new(notaries: Vec<NotaryKey>) -> Self {
        Self { notaries, leaves: VecDeque::new(), attestations: 0, first_attested: None, unattested: (0, 0) }
    }

    /// The next frame of the stream, and what a notary says in it of those before.
    ///
    /// # Errors
    /// The stream is not the one that was signed.
    pub fn on_frame(&mut self, frame: &FrameView<'_>) -> Result<(), Forged> {
        self.remember(frame);
        frame
            .entries()
            .filter_map(|entry| attestation_in(&entry))
            .try_for_each(|payload| self.on_attestation(payload))
    }

    fn remember(&mut self, frame: &FrameView<'_>) {
        let forgotten = if self.leaves.len() == REMEMBERED_MAX { self.leaves.pop_front() } else { None };
        if let Some(leaf) = forgotten.filter(|leaf| !leaf.is_attested)
            && self.first_attested.is_some_and(|first| first < leaf.first)
        {
            let (first, entries) = self.unattested;
            let first = if entries == 0 { leaf.first } else { first };
            self.unattested = (first, entries + (leaf.next - leaf.first));
        }
        self.leaves.push_back(Leaf {
            first: frame.header.first_seq,
            next: frame.header.next_seq(),
            history: frame.header.history,
            hash: leaf_hash(frame.bytes),
            is_attested: false,
        });
    }

    /// A signature counts if a trusted notary has made it, over frames that were all seen. Their hashes then
    /// lead to its root, or the stream is not the one that the notary saw. A message that is no attestation,
    /// or that no trusted notary has signed, is ignored.
    ///
    /// # Errors
    /// The stream is not the one that was signed.
    fn on_attestation(&mut self, payload: &[u8]) -> Result<(), Forged> {
        let Some(attestation) = Attestation::parse(payload) else { return Ok(()) };
        let body = &attestation.body;
        let starts_in = self.leaves.front().is_some_and(|leaf| leaf.first <= body.first_seq);
        if !starts_in {
            return Ok(());
        }
        let from = self.leaves.partition_point(|leaf| leaf.next <= body.first_seq);
        let to = self.leaves.partition_point(|leaf| leaf.first < body.next_seq);
        let range = || self.leaves.range(from..to.max(from));
        let is_whole = range().next().is_some_and(|leaf| leaf.first == body.first_seq)
            && range().next_back().is_some_and(|leaf| leaf.next == body.next_seq)
            && range().len() == body.frames as usize
            && range().all(|leaf| leaf.history == body.history);
        let is_true = is_whole && root_of(range().map(|leaf| leaf.hash)) == Some(body.root);
        // Last, as it takes a hundred microseconds.
        if !attestation.is_signed_by(&self.notaries) {
            return Ok(());
        }
        if !is_true {
            let (first_seq, next_seq) = (body.first_seq, body.next_seq);
            return Err(Forged { first_seq, next_seq, notary: body.notary });
        }
        self.attestations += 1;
        self.first_attested.get_or_insert(body.first_seq);
        self.leaves.range_mut(from..to).for_each(|leaf| leaf.is_attested = true);
        Ok(())
    }

    /// Whether the frame that begins at `first_seq` is attested, and remembered.
    pub fn is_attested(&self, first_seq: Seq) -> bool {
        let at = self.leaves.partition_point(|leaf| leaf.first < first_seq);
        self.leaves.get(at).is_some_and(|leaf| leaf.first == first_seq && leaf.is_attested)
    }

    /// The exclusive end of what is attested without a gap, as far as it is remembered; `None` if the first
    /// frame is not.
    pub fn attested_next(&self) -> Option<Seq> {
        self.leaves.iter().take_while(|leaf| leaf.is_attested).last().map(|leaf| leaf.next)
    }

    /// Attestations that counted.
    pub fn attestations(&self) -> u64 {
        self.attestations
    }

    /// The first entry that is attested: those before it belong to a range whose beginning was not seen.
    pub fn first_attested(&self) -> Option<Seq> {
        self.first_attested
    }

    /// The first entry behind that which no attestation is over, although later ones are attested, and how
    /// many such entries there are.
    pub fn unattested(&self) -> (Seq, u64) {
        let Some(begin) = self.first_attested else { return (0, 0) };
        let last = self.leaves.iter().rposition(|leaf| leaf.is_attested).unwrap_or(0);
        let open = || self.leaves.iter().take(last).filter(|leaf| !leaf.is_attested && leaf.first > begin);
        let (first, entries) = self.unattested;
        let here: u64 = open().map(|leaf| leaf.next - leaf.first).sum();
        let first = if entries == 0 { open().next().map_or(0, |leaf| leaf.first) } else { first };
        (first, entries + here)
    }

    /// The exclusive end of the last attested frame, whatever lies before it.
    pub fn last_attested_next(&self) -> Option<Seq> {
        self.leaves.iter().rev().find(|leaf| leaf.is_attested).map(|leaf| leaf.next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attestation::{ENTRIES_MAX, Interval, Notary};
    use crate::tests::{Chained, attestation_frame, frame_of};

    /// A stream of `count` frames, each with three entries, and after each tenth an attestation of what came
    /// since the last one.
    fn stream(count: usize) -> (Notary, Vec<Vec<u8>>) {
        let notary = Notary::new(&[7; 32]);
        let (mut at, mut interval, mut frames) = (Chained::default(), Interval::default(), Vec::new());
        for number in 0..count {
            let texts = [0, 1, 2].map(|part| format!("message {number}.{part}"));
            let frame = at.push(&texts.each_ref().map(|text| (0, text.as_bytes())));
            interval.push(&frame_of(&frame));
            frames.push(frame);
            if number % 10 == 9 {
                let attestation = notary.attest(&interval).expect("it has frames");
                let frame = attestation_frame(&mut at, &attestation);
                interval = Interval::default();
                interval.push(&frame_of(&frame));
                frames.push(frame);
            }
        }
        (notary, frames)
    }

    fn check(notaries: &[NotaryKey], frames: &[Vec<u8>]) -> Result<Checker, Forged> {
        let mut checker = Checker::new(notaries.to_vec());
        frames.iter().try_for_each(|frame| checker.on_frame(&frame_of(frame)))?;
        Ok(checker)
    }

    /// The frames, numbered, chained and sealed anew, as an attacker would who can compute all of it.
    fn renewed(frames: &[Vec<u8>]) -> Vec<Vec<u8>> {
        let mut at = Chained::default();
        let renew = |frame: &Vec<u8>| {
            let view = FrameView::known(frame).expect("its header is whole");
            let entries: Vec<_> =
                view.entries().map(|entry| (entry.header.destination, entry.payload)).collect();
            at.push(&entries)
        };
        frames.iter().map(renew).collect()
    }

    #[test]
    fn a_stream_is_attested_up_to_its_last_attestation() {
        let (notary, frames) = stream(25);
        let checker = check(&[notary.public()], &frames).expect("it is as it was signed");
        // Ten frames of three entries, and twice one more with an attestation.
        assert_eq!((checker.attestations(), checker.attested_next()), (2, Some(62)));
        assert_eq!((checker.last_attested_next(), checker.unattested()), (Some(62), (0, 0)));
        let other = check(&[Notary::new(&[8; 32]).public()], &frames).expect("nothing of it is believed");
        assert_eq!((other.attestations(), other.attested_next()), (0, None));
    }

    #[test]
    fn a_stream_that_is_renewed_without_a_change_is_the_same() {
        let (notary, frames) = stream(25);
        assert_eq!(renewed(&frames), frames, "this test's attacker computes everything");
        assert!(check(&[notary.public()], &renewed(&frames)).is_ok());
    }

    #[test]
    fn a_change_is_found_at_every_byte_of_a_message_although_everything_else_was_computed_anew() {
        let (notary, frames) = stream(11);
        let text = frames[4].windows(7).position(|bytes| bytes == b"message").expect("it is there");
        for at in text..text + 11 {
            let mut changed = frames.clone();
            changed[4][at] ^= 1;
            let forged = check(&[notary.public()], &renewed(&changed)).expect_err("it was changed");
            assert_eq!((forged.first_seq, forged.next_seq), (1, 31));
        }
    }

    #[test]
    fn a_frame_that_is_left_out_inserted_repeated_or_moved_is_found() {
        let (notary, frames) = stream(30);
        let keys = [notary.public()];
        for at in 0..10 {
            let mut left_out = frames.clone();
            left_out.remove(at);
            assert!(check(&keys, &renewed(&left_out)).is_err(), "without frame {at}");
            let mut repeated = frames.clone();
            repeated.insert(at, frames[at].clone());
            assert!(check(&keys, &renewed(&repeated)).is_err(), "frame {at} twice");
            let mut moved = frames.clone();
            moved.swap(at, at + 1);
            assert!(check(&keys, &renewed(&moved)).is_err(), "frames {at} and {} exchanged", at + 1);
        }
        // A whole signed range, with its signature.
        let mut without = frames.clone();
        without.drain(11..22);
        assert!(check(&keys, &renewed(&without)).is_err());
    }

    #[test]
    fn the_beginning_may_be_gone_and_what_follows_is_attested() {
        let (notary, frames) = stream(30);
        let checker = check(&[notary.public()], &frames[5..]).expect("nothing of it was changed");
        assert_eq!((checker.attestations(), checker.attested_next()), (2, None));
        assert!(checker.is_attested(31) && !checker.is_attested(28));
        assert_eq!((checker.first_attested(), checker.unattested()), (Some(31), (0, 0)));
    }

    #[test]
    fn without_its_attestations_a_stream_is_not_attested() {
        let (notary, mut frames) = stream(30);
        frames.retain(|frame| frame_of(frame).entries().all(|entry| entry.header.destination == 0));
        let checker = check(&[notary.public()], &renewed(&frames)).expect("nothing says otherwise");
        assert_eq!((checker.attestations(), checker.attested_next()), (0, None));
    }

    #[test]
    fn what_is_remembered_is_bounded_and_what_was_forgotten_is_counted() {
        let notary = Notary::new(&[7; 32]);
        let (mut at, mut checker) = (Chained::default(), Checker::new(vec![notary.public()]));
        let (mut interval, mut signed) = (Interval::default(), Vec::new());
        for number in 0..REMEMBERED_MAX + 5 {
            let mut frame = at.push(&[(0, b"x")]);
            if number == 0 || number > REMEMBERED_MAX {
                interval.push(&frame_of(&frame));
                signed = notary.attest(&interval).expect("it has a frame").bytes().to_vec();
                interval = Interval::default();
                checker.on_frame(&frame_of(&frame)).expect("nothing was changed");
                frame = at.push(&[(NOTARIES, &signed)]);
            }
            checker.on_frame(&frame_of(&frame)).expect("nothing was changed");
        }
        assert_eq!(checker.leaves.len(), REMEMBERED_MAX);
        let (first, entries) = checker.unattested();
        // All but those that were signed, and the last of their signatures.
        assert_eq!((first, entries), (2, REMEMBERED_MAX as u64 + 4), "{signed:?}");
    }

    #[test]
    fn no_bytes_in_the_notaries_channel_bring_a_reader_down() {
        let (notary, frames) = stream(10);
        let attestation = frame_of(&frames[10]).entries().next().expect("it is one").payload.to_vec();
        let mut at = Chained::default();
        let mut checker = Checker::new(vec![notary.public()]);
        let first = at.push(&[(0, b"x")]);
        checker.on_frame(&frame_of(&first)).expect("nothing is signed");
        for byte in 0..attestation.len() {
            for bit in 0..8 {
                let mut changed = attestation.clone();
                changed[byte] ^= 1 << bit;
                assert_eq!(checker.on_attestation(&changed), Ok(()), "bit {bit} of byte {byte}");
            }
        }
        for len in 0..attestation.len() {
            assert_eq!(checker.on_attestation(&attestation[..len]), Ok(()), "{len} bytes");
        }
        assert!(
            checker.on_attestation(&attestation).is_err(),
            "as it was signed, it contradicts this stream"
        );
    }

    #[test]
    fn a_second_notary_attests_where_the_first_one_stopped() {
        let (first, second) = (Notary::new(&[1; 32]), Notary::new(&[2; 32]));
        let (mut at, mut frames) = (Chained::default(), Vec::new());
        let mut intervals = [Interval::default(), Interval::default()];
        for number in 0..40 {
            let frame = at.push(&[(0, b"x")]);
            intervals.iter_mut().for_each(|interval| interval.push(&frame_of(&frame)));
            frames.push(frame);
            // They sign at different frames, and the first one dies at frame 20.
            for (which, notary) in [(0, &first), (1, &second)] {
                if (number + 3 * which) % 10 == 9 && (which == 1 || number < 20) {
                    let attestation = notary.attest(&intervals[which]).expect("it has frames");
                    let frame = attestation_frame(&mut at, &attestation);
                    intervals[which] = Interval::default();
                    intervals.iter_mut().for_each(|interval| interval.push(&frame_of(&frame)));
                    frames.push(frame);
                }
            }
        }
        let checker = check(&[first.public(), second.public()], &frames).expect("nothing was changed");
        assert_eq!((checker.attestations(), checker.unattested()), (6, (0, 0)));
        assert_eq!(checker.attested_next(), checker.last_attested_next());
    }

    #[test]
    fn an_attestation_is_over_so_many_frames_and_entries_and_of_one_history() {
        let (mut at, mut interval) = (Chained::default(), Interval::default());
        for _ in 0..crate::FRAMES_MAX {
            let frame = at.push(&[(0, b"x")]);
            assert!(interval.takes(&frame_of(&frame)));
            interval.push(&frame_of(&frame));
        }
        assert!(!interval.takes(&frame_of(&at.push(&[(0, b"x")]))));
        let (mut at, mut interval, mut entries) = (Chained::default(), Interval::default(), 0);
        let many = [(0, b"".as_slice()); 300];
        let full = loop {
            let frame = at.push(&many);
            if !interval.takes(&frame_of(&frame)) {
                break entries;
            }
            interval.push(&frame_of(&frame));
            entries += 300;
        };
        assert!(full <= ENTRIES_MAX && full + 300 > ENTRIES_MAX, "{full} entries");
        let (mut at, mut interval) = (Chained::default(), Interval::default());
        interval.push(&frame_of(&at.push(&[(0, b"x")])));
        at.history += 1;
        assert!(!interval.takes(&frame_of(&at.push(&[(0, b"x")]))));
    }
}
