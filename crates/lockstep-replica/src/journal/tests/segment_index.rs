//! The segment index names the frames of the committed log, contiguous, and nothing else.

use super::*;
use crate::journal::ports::Store;
use crate::journal::segment_index::{SegmentIndex, SegmentRange, Written};
use crate::journal::{Retention, read_segments};
use lockstep_core::proto::lineage::Lineage;
use proptest::prelude::*;

/// The side thread's report on this journal now.
fn written(journal: &Journal, commit_next: Seq) -> Written {
    let (number, offset) = journal.opened.writer.place();
    Written { number, offset, commit_next, lineage: Lineage::of(9), leads: false, ..Written::default() }
}

/// The bytes of the log from the frame that holds `from` on, below `bound`, as a server would send them.
fn served(
    segment_index: &mut SegmentIndex,
    store: &MemoryStore,
    from: Seq,
    bound: Seq,
    len_max: u64,
) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut place: Option<(u64, u64)> = None;
    let mut seq = from;
    while seq < bound {
        let (number, offset) = match place {
            Some(place) => place,
            None => match segment_index.locate(store, seq).unwrap() {
                Some(spot) => {
                    seq = spot.first_seq;
                    (spot.number, spot.offset)
                }
                None => break,
            },
        };
        let stretch = segment_index.stretch(store, (number, offset), seq, bound, len_max).unwrap();
        let Some(SegmentRange { len, next, .. }) = stretch else {
            assert!(place.take().is_some(), "no progress at seq {seq}, {number}/{offset}");
            continue;
        };
        assert!(next > seq && len > 0);
        let mut part = vec![0; len as usize];
        assert_eq!(store.read_at(FileName::Segment(number), offset, &mut part).unwrap(), part.len());
        bytes.extend_from_slice(&part);
        (seq, place) = (next, Some((number, offset + len)));
    }
    bytes
}

/// The same from the reader that reads every record.
fn read(store: &MemoryStore, from: Seq, bound: Seq) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut reader = read_segments(store, from).unwrap();
    while let Some(frame) = reader.next().unwrap() {
        let frame = frame.unwrap();
        if frame.header.next_seq() > bound {
            break;
        }
        bytes.extend_from_slice(frame.bytes);
    }
    bytes
}

/// A staging from `back` frames before the end on, of `more` frames in a new epoch, made the log or given up.
fn exchange(journal: &mut Journal, round: u32, back: usize, more: usize, abandoned: bool, len: usize) {
    let frames = journal.frames_in_tail();
    let retained = frames.len() - back.min(frames.len() - 1);
    let mut end = frames[..retained].iter().fold(None, |_, bytes| {
        let header = Header::peek(bytes).unwrap();
        let chain = chain_after(&header);
        Some(LogEnd { next: header.next_seq(), epoch: header.epoch(), chain, timestamp: header.timestamp })
    });
    let Some(end) = end.as_mut() else { return };
    journal.tail().stage(end.next, epoch(round)).unwrap();
    for number in 0..=more {
        let bytes = if number == 0 { epoch_start(end, epoch(round), 3) } else { messages(end, 1, len) };
        let view = FrameView::from_prefix(&bytes).unwrap();
        *end = end.follow(&view).unwrap();
        journal.tail().stage_frame(&view).unwrap();
    }
    if abandoned {
        let bytes = messages(&journal.end(), 1, len);
        journal.append(&bytes);
    } else {
        journal.tail().switch().unwrap();
    }
    journal.drain();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_replay_of_a_journal_that_has_switches_is_the_log_from_any_seq_to_any_bound(
        steps in prop::collection::vec((0usize..4, 1u64..400, 0usize..1200), 1..7),
        len_max in 1u64..300_000,
        often in any::<bool>(),
    ) {
        let mut journal = Journal::begun();
        let (mut segment_index, mut round) = (SegmentIndex::default(), 2);
        for (what, count, len) in steps {
            journal.grow(count, 1, len);
            journal.drain();
            match what {
                0 => {}
                1 => exchange(&mut journal, round, 3, 2, true, len),
                _ => exchange(&mut journal, round, count as usize % 9, what * 3, false, len),
            }
            round += 1;
            if often {
                segment_index.refresh(&journal.store, &written(&journal, 1)).unwrap();
            }
        }
        journal.drain();
        segment_index.refresh(&journal.store, &written(&journal, 1)).unwrap();
        prop_assert_eq!(segment_index.end(), journal.end());
        prop_assert_eq!(segment_index.oldest_seq(), 1);
        let next = journal.end().next;
        for (from, bound) in [(1, next), (2, next), (next / 2, next), (next / 3, next / 2), (next - 1, next)] {
            let bound = bound.max(from);
            let want = read(&journal.store, from, bound);
            let have = served(&mut segment_index, &journal.store, from, bound, len_max);
            prop_assert!(have == want, "from {from} to {bound}: {} bytes of {}", have.len(), want.len());
        }
    }
}

#[test]
fn what_the_segments_lack_of_an_exchange_is_not_served_from_the_old_log() {
    let mut journal = Journal::begun();
    journal.grow(20, 1, 100);
    journal.drain();
    let mut segment_index = SegmentIndex::default();
    let before = written(&journal, 4);
    segment_index.refresh(&journal.store, &before).unwrap();
    // The hot thread has replaced the suffix; the side thread has not written that and reports so.
    assert_eq!(before.commit_next, 4);
    let stored = served(&mut segment_index, &journal.store, 1, before.commit_next, 1 << 20);
    assert_eq!(stored, read(&journal.store, 1, 4));
    exchange(&mut journal, 2, 10, 3, false, 100);
    let after = written(&journal, journal.end().next);
    segment_index.refresh(&journal.store, &after).unwrap();
    let next = journal.end().next;
    assert_eq!(served(&mut segment_index, &journal.store, 1, next, 1 << 20), read(&journal.store, 1, next));
}

#[test]
fn segments_that_retention_removed_are_told_as_too_old() {
    let mut journal = Journal::begun();
    journal.grow(3_000, 1, 1200);
    journal.drain();
    let mut segment_index = SegmentIndex::default();
    segment_index.refresh(&journal.store, &written(&journal, 1)).unwrap();
    assert_eq!(segment_index.oldest_seq(), 1);
    let retained = Retention { bytes_max: 1 << 20, age_ns_max: 0 };
    let gone = journal.retain(retained, Seq::MAX, false).removed;
    assert!(!gone.is_empty());
    journal.grow(2_000, 1, 1200);
    journal.drain();
    segment_index.refresh(&journal.store, &written(&journal, 1)).unwrap();
    let oldest = read_segments(&journal.store, 1).unwrap().oldest_seq().unwrap();
    assert_eq!(segment_index.oldest_seq(), oldest);
    assert_eq!(segment_index.locate(&journal.store, oldest - 1).unwrap(), None);
    let next = journal.end().next;
    assert_eq!(
        served(&mut segment_index, &journal.store, oldest, next, 1 << 20),
        read(&journal.store, oldest, next)
    );
}

#[test]
fn damage_is_named_where_a_reader_would_meet_it() {
    let mut journal = Journal::begun();
    journal.grow(50, 1, 100);
    journal.drain();
    let to = written(&journal, 1);
    let file = segment_files(&journal.store)[0];
    journal.store.file_mut(file).unwrap()[9_000] ^= 4;
    let error = SegmentIndex::default().refresh(&journal.store, &to).unwrap_err().to_string();
    assert!(error.contains("0000000001.seg is damaged at byte") && error.contains("checksum"), "{error}");
}
