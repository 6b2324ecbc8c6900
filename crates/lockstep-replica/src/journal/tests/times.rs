//! A stream whose time was set back: its segments, their indices, and what retention makes of them.

use super::*;
use crate::journal::index::Index;
use crate::journal::overview;
use lockstep_wire::{OperatorOrder, OrderStatement, named_arguments};

const DAY: Nanos = 86_400 * 1_000_000_000;

/// Frames of this time, until so many segments have begun.
fn fill(journal: &mut Journal, time: Nanos, segments: u64) {
    while journal.opened.writer.number() < segments {
        let end = journal.end();
        journal.append(&messages(&LogEnd { timestamp: time, ..end }, 1, 1_000));
        journal.drain();
    }
}

/// The order of time, stamped at `time`; returns its seq.
fn set_back(journal: &mut Journal, time: Nanos) -> Seq {
    let end = journal.end();
    let arguments = named_arguments(OperatorOrder::Time, &end.timestamp.to_string());
    let order = OrderStatement {
        order: OperatorOrder::Time,
        history: 9,
        epoch: end.epoch,
        membership_seq: 1,
        subject: None,
        arguments: &arguments,
    };
    let entries = [(entry(EntryKind::Order, 0, 0), order.record(None, None))];
    journal.append(&frame(&LogEnd { timestamp: time, ..end }, end.epoch, &entries));
    journal.drain();
    end.next
}

#[test]
fn clock_2_an_index_has_the_place_at_which_the_streams_time_goes_back() {
    let mut journal = Journal::begun_with(Settings { segment_len: 64 << 10, ..settings() });
    fill(&mut journal, 40 * DAY, 3);
    let at = set_back(&mut journal, 10 * DAY);
    fill(&mut journal, 10 * DAY, 6);
    let rows: Vec<_> = overview(&journal.store).unwrap().into_iter().map(Result::unwrap).collect();
    let has: Vec<_> = rows.iter().filter_map(|row| Some((row.number, row.set_back_at?))).collect();
    let [(number, seq)] = has[..] else { panic!("{has:?}") };
    assert_eq!(seq, at);
    let row = rows.iter().find(|row| row.number == number).unwrap();
    assert!((row.seqs.0..row.seqs.1).contains(&at), "{row:?}");
    assert_eq!(row.times.map(|(_, newest)| newest / DAY), Some(40), "the newest one is of before");
    let rebuilt = Index::rebuild(&journal.store, number, row.seqs.0).unwrap();
    assert_eq!(rebuilt.set_back_at(), Some(at), "as computed from the segment");
}

#[test]
fn what_was_stamped_ahead_is_of_the_day_of_what_follows_it_and_no_longer() {
    for ahead in [DAY, 15 * 365 * DAY] {
        let mut journal = Journal::begun_with(Settings { segment_len: 64 << 10, ..settings() });
        fill(&mut journal, 9 * DAY, 3);
        let ahead_from = journal.end().next;
        fill(&mut journal, 10 * DAY + ahead, 5);
        set_back(&mut journal, 10 * DAY);
        fill(&mut journal, 10 * DAY, 7);
        let next_day_from = journal.end().next;
        let (writer, store) = (&mut journal.opened.writer, &journal.store);
        assert!(writer.first_seq_since(store, 10 * DAY).unwrap() <= ahead_from, "ahead by {ahead}");
        fill(&mut journal, 11 * DAY, 9);
        let (writer, store) = (&mut journal.opened.writer, &journal.store);
        let retained_from = writer.first_seq_since(store, 11 * DAY).unwrap();
        assert!(
            retained_from > ahead_from && retained_from <= next_day_from,
            "{retained_from}, ahead by {ahead}"
        );
    }
}
