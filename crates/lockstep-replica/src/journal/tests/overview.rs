//! A journal for a reader that changes nothing.

use super::switch::stage_all;
use super::*;
use crate::journal::ports::Store;
use crate::journal::{
    ExpectedSegments, LogComparison, LogDifference, StoredLog, compare, overview, stored_log,
};

fn log_of(store: &MemoryStore) -> StoredLog {
    stored_log(store, ExpectedSegments::default()).unwrap()
}

fn compared(a: &MemoryStore, b: &MemoryStore) -> LogComparison {
    compare([a, b], [&log_of(a), &log_of(b)]).unwrap().unwrap()
}

/// Replaces the log of `journal` behind `end` by the start of epoch 2 and three frames.
pub(super) fn take_over(journal: &mut Journal, end: LogEnd) {
    let mut staged = vec![epoch_start(&end, epoch(2), 2)];
    let mut behind = end.follow(&FrameView::from_prefix(&staged[0]).unwrap()).unwrap();
    for _ in 0..3 {
        let frame = messages(&behind, 2, 40);
        behind = behind.follow(&FrameView::from_prefix(&frame).unwrap()).unwrap();
        staged.push(frame);
    }
    journal.tail().stage(end.next, epoch(2)).unwrap();
    stage_all(journal, &staged);
    journal.tail().switch().unwrap();
}

/// A journal with several segments, in which a takeover replaced a suffix.
fn switched() -> Journal {
    let mut journal = Journal::begun();
    journal.grow(1_100, 10, 100);
    let end = journal.end();
    journal.grow(2, 10, 100);
    take_over(&mut journal, end);
    journal.grow(900, 10, 100);
    journal.drain();
    journal
}

#[test]
fn the_rows_of_segments_join_and_the_last_one_ends_where_the_log_ends() {
    let journal = switched();
    let log = log_of(&journal.store);
    assert_eq!((log.end, log.oldest_seq, log.damage, log.torn), (journal.end(), 1, None, None));
    assert_eq!(log.commit_next, journal.end().next - 10 - 3, "as the last frame announces it");
    let rows: Vec<_> = overview(&journal.store).unwrap().into_iter().map(Result::unwrap).collect();
    assert!(rows.len() >= 2, "{rows:?}");
    assert!(rows.windows(2).all(|pair| pair[0].seqs.1 == pair[1].seqs.0 && pair[0].is_sealed), "{rows:?}");
    let last = rows.last().unwrap();
    assert_eq!((last.seqs.1, last.is_sealed), (log.end.next, false));
    assert_eq!(last.epochs.unwrap().1, epoch(2));
    assert!(rows.iter().any(|row| row.replaced_from.is_some()), "{rows:?}");
}

#[test]
fn a_log_that_is_read_in_the_middle_of_a_write_ends_before_it_and_is_not_damaged() {
    let mut journal = Journal::begun();
    journal.grow(40, 3, 300);
    journal.drain();
    let before = journal.end();
    let file = segment_files(&journal.store).pop().unwrap();
    let old = journal.store.len(file).unwrap();
    let mut bytes = vec![0; old as usize];
    journal.store.read_at(file, 0, &mut bytes).unwrap();
    journal.grow(40, 3, 300);
    journal.drain();
    let written = journal.store.clone();
    // The first blocks of the group are there, and the others as before.
    let blocks = written.len(file).unwrap().min(old) as usize / 4096;
    let mut now = vec![0; blocks * 4096];
    written.read_at(file, 0, &mut now).unwrap();
    let changed: Vec<usize> =
        (0..blocks).filter(|at| bytes[at * 4096..][..4096] != now[at * 4096..][..4096]).collect();
    assert!(changed.len() > 2, "{changed:?}");
    for present in 0..changed.len() {
        let mut partly = written.clone();
        for at in &changed[present..] {
            partly.write_at(file, *at as u64 * 4096, &bytes[at * 4096..][..4096]).unwrap();
        }
        let log = log_of(&partly);
        assert!(log.end.next >= before.next && log.end.next < journal.end().next, "{present}: {log:?}");
        assert_eq!(log.damage, None, "{present}");
    }
}

#[test]
fn equal_logs_are_equal_as_far_as_both_go_and_those_that_part_do_so_at_a_seq() {
    let mut one = Journal::begun();
    one.grow(300, 4, 100);
    one.drain();
    let early = one.store.clone();
    let (common, from) = (one.end(), one.end().next);
    one.grow(10, 4, 100);
    one.drain();
    assert_eq!(compared(&one.store, &early), LogComparison::Equal { from: 1, to_next: from });
    let before = one.store.clone();
    take_over(&mut one, common);
    one.drain();
    let LogComparison::Parts { from: 1, seq, difference: LogDifference::Entry([a, b]) } =
        compared(&before, &one.store)
    else {
        panic!("{:?}", compared(&before, &one.store));
    };
    assert_eq!((seq, a.0, b.0), (from, epoch(1), epoch(2)));
    let blank = Journal::fresh();
    assert_eq!(compared(&blank.store, &one.store), LogComparison::Apart);
}
