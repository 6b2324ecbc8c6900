//! Retention, and what processes say that they need.

use super::segments::grown;
use super::switch::stage_all;
use super::*;
use crate::journal::Retention;
use crate::journal::segments::{NeededBy, Retained};

/// Segments go beyond this.
const LIMITS: Retention = Retention { bytes_max: 2 << 20, age_ns_max: 0 };

/// The publisher says that it needs the log from `from` on.
fn need(journal: &mut Journal, publisher: PublisherId, number: u64, from: Seq) {
    let mut header = entry(EntryKind::Message, publisher, number);
    header.destination = JOURNALS;
    let end = journal.end();
    journal.append(&frame(&end, end.epoch, &[(header, Need { from }.to_bytes().to_vec())]));
    journal.drain();
}

fn publisher(id: PublisherId) -> NeededBy {
    NeededBy::Publisher(id)
}

fn retained(journal: &mut Journal, is_urgent: bool) -> Retained {
    let end = journal.end();
    journal.retain(LIMITS, end.next, is_urgent)
}

fn oldest(journal: &Journal) -> Seq {
    read_segments(&journal.store, 1).unwrap().oldest_seq().unwrap()
}

#[test]
fn what_the_oldest_snapshot_of_a_process_needs_stays_beyond_the_limits_up_to_twice_them() {
    let mut journal = grown(1_500);
    let (from, end) = (journal.end().next, journal.end());
    need(&mut journal, 1, end.next, from);
    journal.grow(2_900, 1, 900);
    journal.drain();
    let done = retained(&mut journal, false);
    assert_eq!((done.retained_for, done.lapsed), (Some((publisher(1), from)), None));
    assert!(!done.removed.is_empty() && oldest(&journal) <= from, "what it does not need goes");
    // After a restart the segments tell it again.
    let (store, memory) = journal.kill();
    let mut journal = Journal::open(store, memory, settings());
    let done = retained(&mut journal, false);
    assert_eq!((done.retained_for, done.removed), (Some((publisher(1), from)), vec![]));
    // Its next snapshot needs less.
    let (newer, number) = (journal.end().next, journal.end().next);
    need(&mut journal, 1, number, newer);
    let done = retained(&mut journal, false);
    assert_eq!((done.retained_for, done.lapsed, done.removed.is_empty()), (None, None, false));
    // A reader's need does not fill a disk: at twice the limits segments are removed, and an event reports
    // it.
    journal.grow(5_000, 1, 900);
    journal.drain();
    let done = retained(&mut journal, false);
    assert_eq!(done.lapsed, Some((publisher(1), newer)));
    assert!(oldest(&journal) > newer);
}

#[test]
fn a_full_disk_and_a_closed_name_end_a_need() {
    let mut journal = grown(1_500);
    let from = journal.end().next;
    need(&mut journal, 1, from, from);
    journal.grow(2_900, 1, 900);
    journal.drain();
    assert_eq!(retained(&mut journal, false).retained_for, Some((publisher(1), from)));
    let (store, memory) = journal.kill();
    let mut closed = Journal::open(store.clone(), memory.clone(), settings());
    let mut journal = Journal::open(store, memory, settings());
    let end = closed.end();
    closed.append(&frame(&end, end.epoch, &[(entry(EntryKind::Close, 1, end.next), b"gone".to_vec())]));
    closed.drain();
    assert_eq!(retained(&mut closed, false).retained_for, None);
    let done = retained(&mut journal, true);
    assert_eq!((done.retained_for, done.lapsed), (None, Some((publisher(1), from))), "no room");
}

#[test]
fn a_message_on_the_journals_channel_that_tells_no_need_and_a_need_elsewhere_keep_nothing() {
    let mut journal = grown(1_500);
    let from = journal.end().next;
    let number = journal.end().next;
    let end = journal.end();
    let mut header = entry(EntryKind::Message, 1, number);
    let elsewhere = (header, Need { from: 1 }.to_bytes().to_vec());
    header.destination = JOURNALS;
    header.publisher_seq += 1;
    journal.append(&frame(&end, end.epoch, &[elsewhere, (header, b"LKSNEEDx12345678".to_vec())]));
    journal.grow(2_900, 1, 900);
    journal.drain();
    let done = retained(&mut journal, false);
    assert_eq!((done.retained_for, done.lapsed), (None, None));
    assert!(oldest(&journal) > from);
}

/// A mark of a trading day.
fn mark_day(journal: &mut Journal, mark: DayMark<'_>) -> Seq {
    let mut payload = [0; 1 + DAY_LEN_MAX];
    let len = mark.write(&mut payload);
    let end = journal.end();
    let header = entry(EntryKind::Day, 1, end.next);
    journal.append(&frame(&end, end.epoch, &[(header, payload[..len].to_vec())]));
    journal.drain();
    end.next
}

/// It may have begun before midnight, UTC: gateways that start read it from its begin.
#[test]
fn the_newest_trading_day_stays_beyond_the_limits_up_to_twice_them() {
    let mut journal = grown(1_500);
    let day = |name| DayMark { is_start: true, name };
    let monday = mark_day(&mut journal, day("MON"));
    journal.grow(2_900, 1, 900);
    journal.drain();
    let done = retained(&mut journal, false);
    assert_eq!((done.retained_for, done.lapsed), (Some((NeededBy::TradingDay, monday)), None));
    assert!(!done.removed.is_empty() && oldest(&journal) <= monday, "what is before it goes");
    // Its end ends nothing: clients fetch what they lack of it. After a restart the segments say it again.
    mark_day(&mut journal, DayMark { is_start: false, name: "" });
    let (store, memory) = journal.kill();
    let mut journal = Journal::open(store, memory, settings());
    let done = retained(&mut journal, false);
    assert_eq!((done.retained_for, done.removed), (Some((NeededBy::TradingDay, monday)), vec![]));
    let tuesday = mark_day(&mut journal, day("TUE"));
    let done = retained(&mut journal, false);
    assert_eq!((done.retained_for, done.lapsed, done.removed.is_empty()), (None, None, false));
    journal.grow(5_000, 1, 900);
    journal.drain();
    let done = retained(&mut journal, false);
    assert_eq!(done.lapsed, Some((NeededBy::TradingDay, tuesday)), "bounded, and said");
    assert!(oldest(&journal) > tuesday);
}

#[test]
fn the_start_of_a_trading_day_that_a_takeover_took_back_is_none() {
    let mut journal = grown(1_500);
    let day = |name| DayMark { is_start: true, name };
    let monday = mark_day(&mut journal, day("MON"));
    journal.grow(4, 1, 900);
    let before = journal.end();
    mark_day(&mut journal, day("TUE"));
    journal.tail().stage(before.next, epoch(2)).unwrap();
    stage_all(&mut journal, &[epoch_start(&before, epoch(2), 2)]);
    journal.tail().switch().unwrap();
    journal.drain();
    journal.grow(2_900, 1, 900);
    journal.drain();
    assert_eq!(retained(&mut journal, false).retained_for, Some((NeededBy::TradingDay, monday)));
    let (store, memory) = journal.kill();
    let mut journal = Journal::open(store, memory, settings());
    assert_eq!(retained(&mut journal, false).retained_for, Some((NeededBy::TradingDay, monday)));
}
