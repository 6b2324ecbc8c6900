//! The power fails in the middle of the last group: any of its sectors may be new, and the others old. By
//! `process` that goes for every group.

use super::*;
use crate::journal::gone::ExpectedSegments;
use crate::journal::segment::SECTOR_LEN;
use crate::journal::{stored_log, verify};
use proptest::prelude::*;

fn rebooted() -> Settings {
    rebooted_by(true)
}

fn rebooted_by(power: bool) -> Settings {
    Settings { boot: [8, 8], power, ..settings() }
}

/// A journal whose last group begins at byte `before`, its segment as it was before each group, and its log.
struct Grown {
    power: bool,
    store: MemoryStore,
    older: Vec<Vec<u8>>,
    before: usize,
    log: Vec<Frame>,
}

/// `groups` name the frames of each, by the lengths of their only message.
fn grown(groups: &[Vec<usize>]) -> Grown {
    grown_of(groups, |seq| seq as u8 | 3)
}

/// The same; a message of seq n consists of the byte `fill(n)`.
fn grown_of(groups: &[Vec<usize>], fill: impl Fn(Seq) -> u8) -> Grown {
    grown_by(true, groups, fill)
}

/// The same, by `power` or by `process`.
fn grown_by(power: bool, groups: &[Vec<usize>], fill: impl Fn(Seq) -> u8) -> Grown {
    let mut journal = Journal::begun_with(Settings { power, ..settings() });
    journal.drain();
    let mut older = Vec::new();
    for lengths in groups {
        for &len in lengths {
            let end = journal.end();
            let payload = vec![fill(end.next); len];
            journal.append(&frame(&end, end.epoch, &[(entry(EntryKind::Message, 1, end.next), payload)]));
        }
        older.push(journal.store.file_mut(FileName::Segment(1)).unwrap().clone());
        let (tail, writer) = (&mut journal.opened.tail, &mut journal.opened.writer);
        copy_behind(tail.memory_mut(), writer, &mut journal.store, power).unwrap();
    }
    let log = journal.frames_in_segments(1);
    let store = journal.store;
    let retained = log.len() - groups.last().map_or(0, Vec::len);
    let before = RECORDS_AT + log[..retained].iter().map(|frame| frame.len()).sum::<usize>();
    Grown { power, store, older, before, log }
}

const RECORDS_AT: usize = 4096;

impl Grown {
    /// Where the records end.
    fn end(&self) -> usize {
        RECORDS_AT + self.log.iter().map(|frame| frame.len()).sum::<usize>()
    }

    /// The store when only those sectors of the last group are new that `is_new` names, in turn.
    fn torn(&self, mut is_new: impl FnMut() -> bool) -> MemoryStore {
        let last = self.older.len() - 1;
        self.mixed(last, || (!is_new()).then_some(last))
    }

    /// The store when each sector that groups from `first` on have changed is as it was before the group that
    /// `before` names, in turn, or as it is.
    fn mixed(&self, first: usize, mut before: impl FnMut() -> Option<usize>) -> MemoryStore {
        let mut store = self.store.clone();
        let file = store.file_mut(FileName::Segment(1)).unwrap();
        for (at, sector) in file.chunks_mut(SECTOR_LEN).enumerate() {
            let older = |group: usize| {
                let mut old = self.older[group].get(at * SECTOR_LEN..).unwrap_or_default().to_vec();
                old.resize(sector.len(), 0);
                old
            };
            let is_changed = (first..self.older.len()).any(|group| older(group) != *sector);
            let old = if is_changed { before().map(older) } else { None };
            if let Some(old) = old {
                sector.copy_from_slice(&old);
            }
        }
        store
    }

    /// The power has failed in a run by `process`, and `store` is left: the log ends before the first record
    /// that lacks something, nothing is damaged, and what is whole behind it is known to have been there.
    fn ends_at_the_first_loss(&self, mut store: MemoryStore) -> Result<(), TestCaseError> {
        let bytes = store.file_mut(FileName::Segment(1)).unwrap().clone();
        let mut at = RECORDS_AT;
        let is_whole: Vec<bool> = self
            .log
            .iter()
            .map(|frame| {
                at += frame.len();
                bytes.get(at - frame.len()..at) == Some(&frame[..])
            })
            .collect();
        let left = is_whole.iter().take_while(|is_whole| **is_whole).count();
        let known = is_whole.iter().rposition(|is_whole| *is_whole).map_or(0, |last| last + 1);
        let inspection = inspected(&store, None, rebooted_by(false));
        prop_assert_eq!((inspection.damage(), inspection.end()), (&[][..], end_of(&self.log[..left])));
        prop_assert_eq!(inspection.high_next(), end_of(&self.log[..known.max(left)]).next);
        prop_assert_eq!(verify(&store).unwrap().damage, []);
        let stored = stored_log(&store, ExpectedSegments::of(inspection.superblock())).unwrap();
        prop_assert_eq!((stored.end, stored.damage), (inspection.end(), None));
        Ok(())
    }

    /// The record at byte `offset`: where it begins, and its first seq.
    fn record_at(&self, offset: usize) -> (u64, Seq) {
        let mut at = RECORDS_AT;
        for frame in &self.log {
            if offset < at + frame.len() {
                return (at as u64, Header::peek(frame).unwrap().first_seq);
            }
            at += frame.len();
        }
        panic!("byte {offset} is behind the records")
    }

    /// Opens `store`, which must have lost nothing that was on the device before the last group, and
    /// reports no damage; returns how many frames are left.
    fn recovers(&self, store: MemoryStore) -> Result<usize, TestCaseError> {
        prop_assert_eq!(verify(&store).unwrap().damage, []);
        let mut left = Journal::open(store, MemoryTail::new(RING_LEN), rebooted());
        let retained = left.frames_in_segments(1);
        prop_assert_eq!(&retained[..], &self.log[..retained.len()]);
        prop_assert_eq!(left.end(), end_of(&retained));
        let bytes = RECORDS_AT + retained.iter().map(|frame| frame.len()).sum::<usize>();
        prop_assert!(bytes >= self.before, "{} was on the device, {bytes} are left", self.before);
        // And the torn part does not disturb later records.
        left.grow(3, 2, 60);
        left.drain();
        let (end, store) = (left.end(), left.reboot().0);
        let again = inspected(&store, None, Settings { boot: [9, 9], ..rebooted() });
        prop_assert_eq!((again.end(), again.damage().len(), is_complete(&again)), (end, 0, true));
        Ok(retained.len())
    }

    /// Opens `store`, which has changed in the record at byte `offset`: the damage is reported, and nothing
    /// is cut.
    fn names(&self, mut store: MemoryStore, offset: usize) -> Result<(), TestCaseError> {
        let (start, seq) = self.record_at(offset);
        let found = verify(&store).unwrap().damage;
        prop_assert!(!found.is_empty(), "byte {offset} of the record at {start}");
        prop_assert_eq!((found[0].offset, found[0].seq), (start, seq));
        let bytes = store.file_mut(FileName::Segment(1)).unwrap().clone();
        let settings = rebooted_by(self.power);
        let left = inspected(&store, None, settings);
        prop_assert!(!is_complete(&left));
        let found = &left.damage()[0];
        prop_assert_eq!((found.offset, found.seq), (start, seq), "{}", found);
        prop_assert_eq!(&left.cut(), &None);
        let refused = open(&mut store, MemoryTail::new(RING_LEN), settings);
        prop_assert!(refused.is_err());
        prop_assert_eq!(store.file_mut(FileName::Segment(1)).unwrap(), &bytes, "the evidence stays");
        Ok(())
    }
}

/// Groups of frames, each less than the ring together with all the others.
fn groups() -> impl Strategy<Value = Vec<Vec<usize>>> {
    let len = prop_oneof![3 => 1usize..400, 1 => 400usize..1_200];
    prop::collection::vec(prop::collection::vec(len, 1..9), 1..5)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn s7_any_sectors_of_the_last_group_may_be_missing_and_the_replica_goes_on(
        groups in groups(), new in prop::collection::vec(any::<bool>(), 64),
    ) {
        let grown = grown(&groups);
        let mut new = new.into_iter().cycle();
        grown.recovers(grown.torn(|| new.next() == Some(true)))?;
    }

    #[test]
    fn s7_one_missing_sector_of_the_last_group_is_enough_to_tell(groups in groups(), missing in 0usize..24) {
        let grown = grown(&groups);
        let mut at = 0..;
        grown.recovers(grown.torn(|| at.next() != Some(missing)))?;
        let mut at = 0..;
        grown.recovers(grown.torn(|| at.next() == Some(missing)))?;
    }

    #[test]
    fn a_bit_flipped_in_any_group_that_is_there_as_a_whole_is_damage(
        groups in groups(), part in 0.0f64..1.0, bit in 0u8..8,
    ) {
        let grown = grown(&groups);
        let offset = RECORDS_AT + ((grown.end() - RECORDS_AT) as f64 * part) as usize;
        let mut store = grown.store.clone();
        store.file_mut(FileName::Segment(1)).unwrap()[offset] ^= 1 << bit;
        grown.names(store, offset)?;
    }

    /// Two faults at once. The length of a record is trusted, so a fault in it is left out.
    #[test]
    fn a_bit_flipped_before_the_last_group_is_damage_when_that_group_is_torn_as_well(
        groups in groups(), part in 0.0f64..1.0, bit in 0u8..8, new in prop::collection::vec(any::<bool>(), 64),
    ) {
        let grown = grown(&groups);
        let offset = RECORDS_AT + ((grown.before - RECORDS_AT) as f64 * part) as usize;
        let (start, _) = grown.record_at(offset);
        let length_at = std::mem::offset_of!(Header, length);
        prop_assume!(!(length_at..length_at + 4).contains(&(offset - start as usize)));
        let mut new = new.into_iter().cycle();
        let mut store = grown.torn(|| new.next() == Some(true));
        store.file_mut(FileName::Segment(1)).unwrap()[offset] ^= 1 << bit;
        grown.names(store, offset)?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Payloads of zeros look like sectors that were never written, and are none.
    #[test]
    fn a_bit_flipped_in_the_last_group_is_damage_also_where_a_payload_is_all_zeros(
        groups in groups(), zeros in 1u64..4, part in 0.0f64..1.0, bit in 0u8..8,
    ) {
        let grown = grown_of(&groups, |seq| if seq % 3 < zeros { 0 } else { 7 });
        let offset = RECORDS_AT + ((grown.end() - RECORDS_AT) as f64 * part) as usize;
        let mut store = grown.store.clone();
        store.file_mut(FileName::Segment(1)).unwrap()[offset] ^= 1 << bit;
        grown.names(store, offset)?;
    }

    /// And sectors that were never written are distinguished from them.
    #[test]
    fn s7_any_sectors_of_the_last_group_may_be_missing_also_where_payloads_are_all_zeros(
        groups in groups(), zeros in 1u64..4, new in prop::collection::vec(any::<bool>(), 64),
    ) {
        let grown = grown_of(&groups, |seq| if seq % 3 < zeros { 0 } else { 7 });
        let mut new = new.into_iter().cycle();
        grown.recovers(grown.torn(|| new.next() == Some(true)))?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// The kernel has brought any sector to the device, at any time, or not.
    #[test]
    fn s7_by_process_any_sectors_of_any_group_may_be_missing_and_the_log_ends_at_the_first(
        groups in groups(), zeros in 0u64..4, lost in prop::collection::vec(prop::option::of(0usize..4), 64),
    ) {
        let grown = grown_by(false, &groups, |seq| if seq % 3 < zeros { 0 } else { 7 });
        let mut lost = lost.into_iter().map(|group| group.map(|group| group % groups.len())).cycle();
        grown.ends_at_the_first_loss(grown.mixed(0, || lost.next().flatten()))?;
    }

    #[test]
    fn s7_by_process_one_missing_sector_of_any_group_ends_the_log(
        groups in groups(), zeros in 0u64..4, missing in 0usize..48, group in 0usize..4,
    ) {
        let grown = grown_by(false, &groups, |seq| if seq % 3 < zeros { 0 } else { 7 });
        let mut at = 0..;
        grown.ends_at_the_first_loss(grown.mixed(0, || (at.next() == Some(missing)).then_some(group % groups.len())))?;
    }

    /// A record that lacks no sector was there as a whole, and has changed. Its length is trusted.
    #[test]
    fn by_process_a_flipped_bit_is_damage_where_no_sector_is_missing(
        groups in groups(), part in 0.0f64..1.0, bit in 0u8..8,
    ) {
        let grown = grown_by(false, &groups, |seq| seq as u8 | 3);
        let offset = RECORDS_AT + ((grown.end() - RECORDS_AT) as f64 * part) as usize;
        let length_at = std::mem::offset_of!(Header, length);
        prop_assume!(!(length_at..length_at + 4).contains(&(offset - grown.record_at(offset).0 as usize)));
        let mut store = grown.store.clone();
        store.file_mut(FileName::Segment(1)).unwrap()[offset] ^= 1 << bit;
        grown.names(store, offset)?;
    }
}

#[test]
fn a_flipped_bit_beside_a_sector_of_zeros_is_no_torn_group() {
    let grown = grown_of(&[vec![100], vec![1_200]], |seq| if seq < 5 { 7 } else { 0 });
    let mut store = grown.store.clone();
    // In the header of the only record of the last group, whose payload has two sectors of zeros.
    store.file_mut(FileName::Segment(1)).unwrap()[grown.before + 40] ^= 1;
    grown.names(store, grown.before).unwrap();
}

/// A record that lost a sector below what a later group's mark names, or with later groups behind it, is not
/// torn, although it looks like it.
#[test]
fn a_sector_wiped_out_before_the_last_group_is_damage() {
    let grown = grown(&[vec![1_000, 1_000], vec![900, 1_200], vec![700]]);
    let at = (grown.before - 1_200).next_multiple_of(SECTOR_LEN);
    assert!(at + SECTOR_LEN <= grown.before);
    let mut store = grown.store.clone();
    store.file_mut(FileName::Segment(1)).unwrap()[at..at + SECTOR_LEN].fill(0);
    grown.names(store, at).unwrap();
}

#[test]
fn how_much_was_cut_is_told() {
    let grown = grown(&[vec![100], vec![1_200, 1_200, 1_200]]);
    // The mark is there, the first sector is not.
    let mut at = 0..;
    let left = inspected(&grown.torn(|| at.next() != Some(0)), None, rebooted());
    let cut = left.cut().unwrap();
    assert_eq!((cut.offset as usize, cut.len as usize), (grown.before, grown.end() - grown.before));
}
