//! A segment whose header is damaged is mended where something that is whole says where it began: the
//! checkpoint of the segment before it, the records of that segment, or the beginning of all logs.

use super::mend::{Aside, aside, was_mended};
use super::*;
use crate::journal::BLOCK_LEN;
use crate::journal::mend::Mend;
use crate::journal::ports::Store;
use crate::journal::segment::SegmentHeader;
use crate::journal::segment_index::{SegmentIndex, Unserved, Written};
use crate::journal::verify;
use crate::journal::walk::read_header;

/// What happens to a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum FileChange {
    /// One bit flips at this byte.
    Flip(usize),
    /// The first bytes, so many, are zeros.
    Zeros(usize),
    /// The first block is that of another segment.
    Another(u64),
    /// The file ends there.
    Cut(usize),
    /// It is not there.
    Gone,
}
use FileChange::{Another, Cut, Flip, Gone, Zeros};

fn change(store: &mut MemoryStore, file: FileName, change: FileChange) {
    let other = match change {
        Another(number) => store.file_mut(FileName::Segment(number)).unwrap()[..BLOCK_LEN].to_vec(),
        _ => Vec::new(),
    };
    if change == Gone {
        return store.remove(file).unwrap();
    }
    let bytes = store.file_mut(file).unwrap();
    match change {
        Flip(at) => bytes[at] ^= 0x10,
        Zeros(len) => bytes[..len].fill(0),
        Another(_) => bytes[..BLOCK_LEN].copy_from_slice(&other),
        Cut(len) => bytes.truncate(len),
        Gone => {}
    }
}

/// The part of a header that others compare: its owner, where it began, and its history.
fn origin(header: &SegmentHeader) -> (u64, u64, u64, LogEnd) {
    (header.cluster, header.identity, header.history, header.before())
}

fn headers(store: &MemoryStore) -> Vec<(u64, u64, u64, LogEnd)> {
    let numbers = crate::journal::read::numbers(store).unwrap();
    numbers.iter().map(|number| origin(&read_header(store, *number).unwrap().unwrap())).collect()
}

/// Changes a journal while its process runs; the damage is found, and what `unmended` does not name is mended
/// to the same log.
fn check(aside: &Aside, changes: &[(FileName, FileChange)], unmended: &[u64]) {
    let mut aside = aside.clone();
    let (log, before) = (aside.frames.clone(), headers(&aside.store));
    for (file, what) in changes {
        change(&mut aside.store, *file, *what);
    }
    let events = aside.turns(700, &log);
    let mut damaged: Vec<u64> = changes
        .iter()
        .filter_map(|(file, _)| match file {
            FileName::Segment(number) | FileName::Packed(number) => Some(*number),
            _ => None,
        })
        .collect();
    damaged.dedup();
    for number in damaged {
        assert_eq!(was_mended(&events, number), !unmended.contains(&number), "{changes:?}: {events:?}");
    }
    if unmended.is_empty() {
        assert_eq!(aside.side.damaged(), (0, 0), "{changes:?}: {events:?}");
        assert_eq!(verify(&aside.store).unwrap().damage, [], "{changes:?}: {events:?}");
        assert!(frames_in_segments(&aside.store, 1) == log, "{changes:?}");
        assert_eq!(headers(&aside.store), before, "{changes:?}");
        // A start without the ring reads what was mended.
        assert_eq!(inspected(&aside.store, None, settings()).end(), end_of(&log), "{changes:?}");
    } else {
        assert!(aside.side.damaged().0 > 0, "{changes:?}: {events:?}");
    }
}

/// Ways in which a header is damaged; only the last one takes records with it.
const HEADER_CHANGES: [FileChange; 8] =
    [Flip(0), Flip(9), Flip(44), Flip(58), Zeros(512), Zeros(BLOCK_LEN), Another(4), Cut(1_000)];

#[test]
fn a_damaged_header_is_mended_wherever_the_segment_lies() {
    let aside = aside(false);
    let last = aside.side.written().number - 1;
    assert!(last >= 4, "{last}");
    for number in [1, 2, last] {
        for what in HEADER_CHANGES.into_iter().filter(|what| *what != Another(number)) {
            check(&aside, &[(FileName::Segment(number), what)], &[]);
        }
    }
}

#[test]
fn a_damaged_header_is_mended_without_the_index() {
    let aside = aside(false);
    for what in HEADER_CHANGES {
        for index in [Gone, Flip(30), Cut(20)] {
            // The length of a file that was cut is nowhere else.
            let unmended: &[u64] = if what == Cut(1_000) { &[2] } else { &[] };
            check(&aside, &[(FileName::Segment(2), what), (FileName::Index(2), index)], unmended);
        }
    }
}

#[test]
fn a_damaged_header_is_mended_by_the_records_before_it_where_the_checkpoint_is_not_there() {
    let aside = aside(false);
    for checkpoint in [Gone, Flip(30), Cut(20)] {
        for more in [None, Some((FileName::Index(1), Gone)), Some((FileName::Index(2), Gone))] {
            let changes = [(FileName::Segment(2), Zeros(BLOCK_LEN)), (FileName::Checkpoint(1), checkpoint)];
            check(&aside, &Vec::from_iter(changes.into_iter().chain(more)), &[]);
        }
    }
}

#[test]
fn two_neighbours_are_mended_at_once() {
    let aside = aside(false);
    let (first, second) = (FileName::Segment(2), FileName::Segment(3));
    let header = Zeros(BLOCK_LEN);
    check(&aside, &[(first, header), (second, header)], &[]);
    check(&aside, &[(first, header), (second, header), (FileName::Index(2), Gone)], &[]);
    check(&aside, &[(first, header), (second, header), (FileName::Checkpoint(2), Gone)], &[]);
    check(&aside, &[(first, header), (second, Flip(9_000)), (FileName::Index(3), Gone)], &[]);
    check(&aside, &[(first, Flip(9_000)), (second, header)], &[]);
    check(&aside, &[(first, Flip(9_000)), (first, header), (second, Flip(20_000)), (second, header)], &[]);
    // The frames of the second one say where the first one ends, and that where the second one began.
    check(&aside, &[(first, Flip(9_000)), (second, header), (FileName::Checkpoint(2), Gone)], &[]);
    check(&aside, &[(first, Flip(9_000)), (second, header), (FileName::Checkpoint(2), Flip(30))], &[]);
    // Nothing is left at the place where the two meet.
    let both = [(first, Flip(9_000)), (second, header), (second, Flip(4_200))];
    check(&aside, &Vec::from_iter(both.into_iter().chain([(FileName::Checkpoint(2), Gone)])), &[2, 3]);
}

#[test]
fn a_damaged_header_of_a_packed_segment_is_mended() {
    let aside = aside(true);
    let file = FileName::Packed(2);
    let unit = u64::from_ne_bytes(aside.store.clone().file_mut(file).unwrap()[40..48].try_into().unwrap());
    for index in [None, Some((FileName::Index(2), Gone)), Some((FileName::Checkpoint(1), Gone))] {
        let changes = [(file, Flip(unit as usize + 20))];
        check(&aside, &Vec::from_iter(changes.into_iter().chain(index)), &[]);
    }
}

/// A process that starts beside a damaged header serves the other segments at once.
#[test]
fn a_damaged_header_keeps_no_other_segment_from_being_served() {
    let mut aside = aside(false);
    let whole = aside.store.clone();
    change(&mut aside.store, FileName::Segment(2), Zeros(BLOCK_LEN));
    let written = Written { damaged: Unserved::of([2].into_iter()), ..aside.side.written() };
    let mut index = SegmentIndex::default();
    index.refresh(&aside.store, &written).unwrap();
    let first = |number| read_header(&whole, number).unwrap().unwrap().first_seq;
    for seq in [1, first(3) - 1, first(3), first(4), end_of(&aside.frames).next - 1] {
        let is_of_damaged = seq == first(3) - 1;
        let located = index.locate(&aside.store, seq);
        assert_eq!(matches!(located, Ok(Some(_))), !is_of_damaged, "{seq}: {located:?}");
    }
}

/// The oldest segment that retention has left begins behind the checkpoint of what it removed. Without that
/// one nothing says where it began, and nothing is guessed.
#[test]
fn a_damaged_header_behind_what_retention_removed_is_mended_by_its_checkpoint_alone() {
    for (base, what) in [(true, Zeros(BLOCK_LEN)), (true, Flip(58)), (false, Zeros(BLOCK_LEN))] {
        let mut journal = Journal::begun_with(Settings { segment_len: 64 << 10, ..settings() });
        journal.grow(260, 1, 1_000);
        journal.drain();
        let limits = Retention { bytes_max: 1, age_ns_max: 0 };
        let from = read_header(&journal.store, 3).unwrap().unwrap().first_seq;
        assert_eq!(journal.retain(limits, from, false).removed, [1, 2]);
        let log = journal.frames_in_segments(from);
        let before = read_header(&journal.store, 3).unwrap().unwrap();
        change(&mut journal.store, FileName::Segment(3), what);
        if !base {
            change(&mut journal.store, FileName::Checkpoint(2), Gone);
        }
        let mend = Mend::begin(&journal.store, 3, Seq::MAX, 0).unwrap();
        if !base {
            let why = mend.unwrap_err();
            assert!(why.contains("where it began"), "{why}");
            continue;
        }
        let mut mend = mend.unwrap();
        while let Some(missing) = mend.missing() {
            let is = |frame: &&Frame| Header::peek(frame).unwrap().first_seq == missing.from;
            mend.take(log.iter().find(is).unwrap()).unwrap();
        }
        mend.finish(&mut journal.store).unwrap().unwrap();
        assert_eq!(origin(&read_header(&journal.store, 3).unwrap().unwrap()), origin(&before));
        assert_eq!(verify(&journal.store).unwrap().damage, []);
    }
}
