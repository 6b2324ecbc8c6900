//! A flipped bit anywhere is found, and reported: file, offset, seq.

use super::*;
use crate::journal::ports::Store;
use crate::journal::{Scrub, verify};
use proptest::prelude::*;

/// Two sealed segments and a third, groups of several sizes, stopped in order.
fn stopped() -> (MemoryStore, MemoryTail, Vec<Frame>) {
    let mut journal = Journal::begun();
    for round in 0..190 {
        journal.grow(1 + round % 23, 10, 100);
        journal.drain();
    }
    let log = journal.frames_in_segments(1);
    let (store, memory) = journal.stop();
    (store, memory, log)
}

/// The seq that lies at `offset` of segment `number`, if a record does.
fn seq_at(store: &MemoryStore, number: u64, offset: u64) -> Option<(u64, Seq)> {
    let bytes = store.clone().file_mut(FileName::Segment(number)).unwrap().clone();
    let mut at = 4096;
    while let Ok(header) = open_prefix(&bytes[at..]) {
        let len = header.length as usize;
        if (at..at + len).contains(&(offset as usize)) {
            return Some((at as u64, header.first_seq));
        }
        at += len;
    }
    None
}

fn check(store: &MemoryStore, number: u64, offset: u64, bit: u8) {
    let mut damaged = store.clone();
    let file = damaged.file_mut(FileName::Segment(number)).unwrap();
    file[offset as usize] ^= 1 << bit;
    let found = verify(&damaged).unwrap().damage;
    match seq_at(store, number, offset) {
        Some((start, seq)) => {
            assert!(!found.is_empty(), "byte {offset} of segment {number}");
            let named = (found[0].file.clone(), found[0].offset, found[0].seq);
            assert_eq!(named, (FileName::Segment(number).to_string(), start, seq), "{}", found[0]);
        }
        None if offset < 4096 => {
            assert_eq!(found[0].file, FileName::Segment(number).to_string(), "the header of {number}");
            assert_eq!(found[0].offset, 0);
        }
        None => {} // Behind the end there is nothing to lose.
    }
}

#[test]
fn a_bit_flipped_in_the_open_segment_is_found_at_opening_and_never_taken_for_the_end() {
    let mut journal = Journal::begun();
    for _ in 0..4 {
        journal.grow(3, 3, 60);
        journal.drain();
    }
    let log = journal.frames_in_segments(1);
    let (store, memory) = journal.stop();
    let used = 4096 + log.iter().map(|b| b.len()).sum::<usize>();
    for offset in (4096..used).step_by(5) {
        let mut damaged = store.clone();
        damaged.file_mut(FileName::Segment(1)).unwrap()[offset] ^= 1 << (offset % 8);
        let (start, seq) = seq_at(&store, 1, offset as u64).unwrap();
        for memory in [memory.clone(), MemoryTail::new(RING_LEN)] {
            let left = inspected(&damaged, Some(&memory), settings());
            assert!(!is_complete(&left), "byte {offset}");
            let found = &left.damage()[0];
            assert_eq!(
                (found.file.as_str(), found.offset, found.seq),
                ("segments/0000000001.seg", start, seq)
            );
            let retained = log.iter().take_while(|b| Header::peek(b).unwrap().first_seq < seq).count();
            assert_eq!(left.end(), end_of(&log[..retained]), "the log ends before what is damaged");
            assert_eq!(left.high_next(), end_of(&log).next, "and it is known how far it went");
        }
    }
}

#[test]
fn a_bit_flipped_in_the_ring_below_its_high_mark_is_damage() {
    let mut journal = Journal::begun();
    journal.grow(10, 2, 60);
    journal.drain();
    let written = word(journal.tail(), Word::WrittenPos) as usize;
    journal.grow(10, 2, 60);
    let end = word(journal.tail(), Word::PublishedPos) as usize;
    let next = journal.end().next;
    let (store, memory) = journal.kill();
    for at in (written..end).step_by(5) {
        let mut memory = memory.clone();
        memory.ring_mut()[at] ^= 2;
        let left = inspected(&store, Some(&memory), settings());
        assert!(!is_complete(&left), "byte {at}");
        assert_eq!(left.damage()[0].file, "tail");
        assert_eq!(left.high_next(), next);
    }
    // Lost words show as well.
    use crate::journal::ports::TailSource;
    let mut lost = memory.clone();
    lost.set_word(Word::PublishedPos, written as u64);
    let left = inspected(&store, Some(&lost), settings());
    assert!(!is_complete(&left));
    assert!(left.damage()[0].what.contains("its high mark is"), "{}", left.damage()[0]);
}

#[test]
fn a_bad_record_below_the_mark_of_a_later_group_is_damage_even_with_nothing_good_behind_it() {
    let mut journal = Journal::begun_with(Settings { power: true, ..settings() });
    for _ in 0..3 {
        journal.grow(2, 2, 60);
        journal.drain();
    }
    let used = 4096 + journal.frames_in_segments(1).iter().map(|b| b.len()).sum::<usize>();
    let (mut store, _) = journal.reboot();
    let file = store.file_mut(FileName::Segment(1)).unwrap();
    // The last three frames are wiped out; by `power` the mark shows that the first was on the device.
    file[used - 3 * 280..used].fill(0);
    let left = inspected(&store, None, Settings { boot: [8, 8], power: true, ..settings() });
    assert!(!is_complete(&left));
    assert!(left.damage()[0].what.contains("on the device"), "{}", left.damage()[0]);
}

#[test]
fn side_files_that_are_damaged_are_named() {
    let (store, ..) = stopped();
    for file in [FileName::Index(1), FileName::Checkpoint(1), FileName::Superblock] {
        let len = store.clone().file_mut(file).unwrap().len();
        for at in (0..len).step_by(61) {
            let mut damaged = store.clone();
            damaged.file_mut(file).unwrap()[at] ^= 0x40;
            let found = verify(&damaged).unwrap().damage;
            assert_eq!(found.len(), 1, "byte {at} of {file}");
            assert_eq!(found[0].file, file.to_string());
        }
    }
}

#[test]
fn a_scrub_in_small_steps_finds_what_verify_finds() {
    let (mut store, _, log) = stopped();
    for offset in [5000, 300_000, 700_001] {
        store.file_mut(FileName::Segment(1)).unwrap()[offset] ^= 8;
    }
    let report = verify(&store).unwrap();
    assert_eq!(report.damage.iter().filter(|d| d.what == "checksum").count(), 3);
    assert_eq!(report.records + 3, log.len() as u64, "reading goes on behind damage");
    let (mut found, mut scrub, mut steps) = (Vec::new(), Scrub::default(), 0);
    while !scrub.step(&store, 3, 20_000, &mut found).unwrap() {
        steps += 1;
    }
    assert!(steps > 20);
    assert_eq!(found, report.damage);
}

#[test]
fn a_scrub_goes_on_where_retention_has_removed_what_it_was_reading() {
    let (mut store, ..) = stopped();
    let (mut found, mut scrub) = (Vec::new(), Scrub::default());
    assert!(!scrub.step(&store, 3, 20_000, &mut found).unwrap());
    for file in [FileName::Segment(1), FileName::Index(1), FileName::Checkpoint(1)] {
        store.remove(file).unwrap();
    }
    while !scrub.step(&store, 3, 20_000, &mut found).unwrap() {}
    assert_eq!((found, scrub.segments), (Vec::new(), 1));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4))]

    #[test]
    fn a_bit_flipped_anywhere_in_any_segment_is_found_and_named(
        flips in prop::collection::vec((0usize..3, 0.0f64..1.0, 0u8..8), 12)
    ) {
        let (store, ..) = stopped();
        let files = segment_files(&store);
        prop_assert!(files.len() >= 3);
        for (file, part, bit) in flips {
            let FileName::Segment(number) = files[file] else { unreachable!() };
            let len = store.clone().file_mut(files[file]).unwrap().len();
            check(&store, number, (len as f64 * part) as u64, bit);
        }
    }
}
