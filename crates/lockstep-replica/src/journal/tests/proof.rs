//! A journal is judged by the record of its last run, and not by the present configuration.

use super::switch::{replacement, stage_all};
use super::*;
use crate::journal::JournalOpenError;

fn rebooted() -> Settings {
    Settings { boot: [8, 8], ..settings() }
}

fn power() -> Settings {
    Settings { power: true, ..settings() }
}

#[test]
fn s9_what_was_said_in_process_is_not_forgiven_by_a_start_in_power() {
    let mut journal = Journal::begun();
    journal.grow(50, 3, 100);
    journal.drain();
    journal.grow(5, 3, 100);
    let (store, _) = journal.reboot();
    let left = inspected(&store, None, Settings { power: true, ..rebooted() });
    assert!(!is_complete(&left), "its log ends at {:?}", left.end());
}

#[test]
fn s9_an_older_tail_of_the_same_boot_is_not_the_last_one() {
    let mut journal = Journal::begun();
    journal.grow(5, 3, 100);
    let (store, older) = journal.stop();
    // The path was edited, and edited back.
    let mut journal = Journal::open(store, MemoryTail::new(RING_LEN), settings());
    journal.grow(50, 3, 100);
    let end = journal.end();
    let (store, newer) = journal.kill();
    let left = inspected(&store, Some(&older), settings());
    assert!(!is_complete(&left), "its log ends at {:?}", left.end());
    // That changed nothing: the right ring is used again where it was left.
    assert_eq!(Journal::open(store, newer, settings()).end(), end);
}

#[test]
fn s9_a_start_that_fails_before_the_journal_is_used_leaves_the_clean_mark() {
    let mut journal = Journal::begun();
    journal.grow(5, 3, 100);
    let (mut store, memory) = journal.stop();
    let seen = inspected(&store, Some(&memory), settings());
    let failed =
        seen.start(&mut store, |_| Err::<(MemoryTail, ()), _>(JournalOpenError::Settings("no port".into())));
    assert_eq!(failed.map(|_| ()).unwrap_err(), JournalOpenError::Settings("no port".into()));
    assert!(is_complete(&inspected(&store, None, rebooted())));
}

#[test]
fn s9_a_journal_that_is_older_than_its_tail_is_a_copy_of_itself_and_refused() {
    let mut journal = Journal::begun();
    journal.grow(5, 3, 100);
    let (store, memory) = journal.stop();
    let backup = store.clone();
    let mut journal = Journal::open(store, MemoryTail::new(RING_LEN), settings());
    journal.grow(5, 3, 100);
    let (_, newer) = journal.kill();
    assert!(
        is_complete(&inspected(&backup, Some(&memory), settings())),
        "with its own tail it is what it was"
    );
    let left = inspected(&backup, Some(&newer), settings());
    let Completeness::Incomplete(why) = left.completeness() else { panic!("{left:?}") };
    assert!(why.contains("older copy of itself"), "{why}");
}

#[test]
fn a_run_in_power_behind_one_in_process_counts_nothing_before_the_older_segments_are_on_the_device() {
    let mut journal = Journal::begun();
    journal.grow(50, 3, 100);
    journal.drain();
    let (store, memory) = journal.kill();
    let journal = Journal::open(store, memory, power());
    assert_eq!(journal.opened.tail.durable_next(), 1);
    assert_eq!(
        journal.opened.superblock.run.weakest_durability,
        lockstep_core::proto::commit::Durability::Process
    );
    // Behind a clean stop, or another run in `power`, all of it is there.
    let (store, memory) = Journal::open(journal.store, journal.opened.tail.into_memory(), settings()).stop();
    let journal = Journal::open(store, memory, power());
    assert_eq!(journal.opened.tail.durable_next(), journal.end().next);
}

#[test]
fn s9_a_number_that_a_damaged_copy_of_the_superblock_knew_is_given_to_no_second_ring() {
    let mut journal = Journal::begun();
    journal.grow(5, 3, 100);
    let (mut store, _) = journal.stop();
    // A start at another path labels a ring with the next number, which one copy knows, and is interrupted
    // there.
    let (_, labelled) = Journal::open(store.clone(), MemoryTail::new(RING_LEN), settings()).kill();
    let before = store.file_mut(FileName::Superblock).unwrap().clone();
    let mut superblock = *inspected(&store, None, settings()).superblock();
    superblock.run.rings += 1;
    superblock.store(&mut store).unwrap();
    let bytes = store.file_mut(FileName::Superblock).unwrap();
    let copies: Vec<usize> =
        (0..2).filter(|copy| bytes[copy * 4096..][..4096] != before[copy * 4096..][..4096]).collect();
    assert_eq!(copies.len(), 1, "a number is given in one copy");
    bytes[copies[0] * 4096 + 20] ^= 4;
    // The next one begins at a third path, and acknowledges something.
    let mut journal = Journal::open(store, MemoryTail::new(RING_LEN), settings());
    journal.grow(5, 3, 100);
    let (store, used) = journal.kill();
    assert!(is_complete(&inspected(&store, Some(&used), settings())));
    let left = inspected(&store, Some(&labelled), settings());
    assert!(!is_complete(&left), "nothing was ever said in this ring: {left:?}");
}

/// An older copy of the segments under the ring of the very run in which it was made: the ring begins
/// behind their end, and cannot be read. In `power` no ring is needed, but this one proves that more was on
/// the device.
#[test]
fn s9_segments_that_lack_what_their_own_ring_knows_them_to_hold_are_refused() {
    for copied_first in [true, false] {
        let (store, memory) = Journal::begun().stop();
        let mut journal = Journal::open(store, memory, power());
        if !copied_first {
            journal.grow(5, 3, 100);
            journal.drain();
        }
        let copy = journal.store.clone();
        journal.grow(50, 3, 100);
        journal.drain();
        journal.grow(2, 3, 100);
        let end = journal.end();
        let (store, ring) = journal.kill();
        let whole = inspected(&store, Some(&ring), power());
        assert!(is_complete(&whole) && whole.end() == end, "{whole:?}");
        let left = inspected(&copy, Some(&ring), power());
        let Completeness::Incomplete(why) = left.completeness() else { panic!("{left:?}") };
        assert!(why.contains("older copy of themselves"), "{why}");
        assert!(!left.damage().is_empty());
    }
}

/// The same where a suffix was replaced since: the older copy holds the longer log, of the epoch before.
#[test]
fn s9_an_older_copy_with_a_longer_log_of_an_earlier_epoch_is_refused() {
    let mut journal = Journal::begun_with(power());
    journal.grow(9, 1, 100);
    journal.drain();
    let (copy, long) = (journal.store.clone(), journal.end());
    let frames = replacement(&journal, 6, 2, 1);
    journal.tail().stage(6, epoch(2)).unwrap();
    stage_all(&mut journal, &frames);
    journal.tail().switch().unwrap();
    journal.drain();
    let short = journal.end();
    assert!(short.next < long.next && short.epoch > long.epoch);
    let (store, ring) = journal.kill();
    let whole = inspected(&store, Some(&ring), power());
    assert!(is_complete(&whole) && whole.end() == short, "{whole:?}");
    let left = inspected(&copy, Some(&ring), power());
    let Completeness::Incomplete(why) = left.completeness() else { panic!("{left:?}") };
    assert!(why.contains("older copy of themselves"), "{why}");
}
