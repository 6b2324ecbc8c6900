//! A damaged segment is reported, not served, and restored by frames that other journals hold.

use super::*;
use crate::journal::packed::read_segment;
use crate::journal::ports::Store;
use crate::journal::segment::GROUP_MARK_LEN;
use crate::journal::segment_index::{SegmentIndex, SegmentIndexError};
use crate::journal::side::{Inputs, SideEvent, SideSettings, SideStep, SideThread};
use crate::journal::verify;

/// A journal with several sealed segments, and its side thread.
struct Aside {
    store: MemoryStore,
    memory: MemoryTail,
    side: SideThread,
    now: Nanos,
    frames: Vec<Frame>,
}

fn aside(packs: bool) -> Aside {
    // Of a packed segment one block is unpacked as a whole or not at all, the first one with its header.
    let (segment_len, count) = if packs { (256 << 10, 900) } else { (64 << 10, 260) };
    let settings = Settings { segment_len, ..settings() };
    let mut journal = Journal::begun_with(settings);
    journal.grow(count, 1, 1_000);
    journal.drain();
    let frames = journal.frames_in_segments(1);
    if packs {
        while journal.opened.writer.pack(&mut journal.store).unwrap().is_some() {}
    }
    let Journal { store, opened } = journal;
    let settings = SideSettings { scrub_bytes_per_s: 1 << 30, ..SideSettings::new(false) };
    let side = SideThread::new(opened.writer, opened.superblock, settings);
    Aside { store, memory: opened.tail.into_memory(), side, now: 0, frames }
}

impl Aside {
    /// Some turns, a tenth of a second apart; missing frames are fetched from `others`.
    fn turns(&mut self, count: usize, others: &[Frame]) -> Vec<SideEvent> {
        let mut events = Vec::new();
        for _ in 0..count {
            self.now += 100_000_000;
            let inputs = Inputs { now: self.now, committed: Seq::MAX, ..Inputs::default() };
            for _ in 0..2 {
                let next = self.side.turn(&mut self.store, &mut self.memory, &inputs, &mut events);
                assert!(!matches!(next, SideStep::Failed(_)), "{next:?}");
            }
            while let Some(missing) = self.side.missing() {
                let first_seq = |frame: &Frame| Header::peek(frame).unwrap().first_seq;
                match others.iter().find(|frame| first_seq(frame) == missing.from) {
                    Some(frame) => drop(self.side.bring(frame)),
                    None => self.side.bring_nothing("nobody has it".to_string()),
                }
            }
        }
        events
    }

    fn bytes(&self, number: u64) -> Vec<u8> {
        let mut bytes = vec![0; 512 << 10];
        let read = read_segment(&self.store, number, 0, &mut bytes).unwrap().unwrap();
        bytes.truncate(read - GROUP_MARK_LEN);
        bytes
    }
}

fn was_mended(events: &[SideEvent], number: u64) -> bool {
    events.contains(&SideEvent::Mended(number))
}

#[test]
fn a_bit_that_flips_anywhere_in_a_sealed_segment_is_named_and_mended_to_what_was_there() {
    for packs in [false, true] {
        let mut aside = aside(packs);
        let frames = aside.frames.clone();
        let file = if packs { FileName::Packed(2) } else { FileName::Segment(2) };
        let (whole, len) = (aside.bytes(2), aside.store.len(file).unwrap());
        let second = aside.store.file_mut(file).unwrap()[56..64].try_into().unwrap();
        let first = if packs { u64::from_ne_bytes(second) as usize } else { 4096 };
        for at in (first..len as usize - GROUP_MARK_LEN - 1).step_by(if packs { 997 } else { 1_999 }) {
            aside.store.file_mut(file).unwrap()[at] ^= 0x10;
            let events = aside.turns(24, &frames);
            let named = |remark: &SideEvent| matches!(remark, SideEvent::Damaged(found) if found.file == file.to_string());
            assert!(events.iter().any(named) && was_mended(&events, 2), "byte {at}: {events:?}");
            assert_eq!(aside.side.damaged(), (0, 0), "byte {at}");
            assert!(aside.bytes(2) == whole, "byte {at}");
        }
        assert_eq!(verify(&aside.store).unwrap().damage, []);
    }
}

#[test]
fn several_holes_of_one_segment_are_mended_each_by_its_own_frames() {
    let mut aside = aside(false);
    let (frames, whole) = (aside.frames.clone(), aside.bytes(1));
    let file = aside.store.file_mut(FileName::Segment(1)).unwrap();
    for at in [9_000, 9_700, 20_000, 21_024, 33_333] {
        file[at] ^= 1;
    }
    file[40_000..48_192].fill(0);
    let events = aside.turns(30, &frames);
    assert!(was_mended(&events, 1), "{events:?}");
    assert!(aside.bytes(1) == whole);
    assert_eq!(verify(&aside.store).unwrap().damage, []);
}

#[test]
fn frames_of_another_log_mend_nothing_and_the_tries_end() {
    let mut aside = aside(false);
    aside.store.file_mut(FileName::Segment(2)).unwrap()[30_000] ^= 1;
    let damaged = aside.bytes(2);
    // The same seqs, and other messages: the source has another log.
    let mut other = Journal::begun();
    other.grow(260, 1, 999);
    other.drain();
    let others = other.frames_in_segments(1);
    let events = aside.turns(1_000, &others);
    let lefts: Vec<u32> = events
        .iter()
        .filter_map(|remark| match remark {
            SideEvent::NotMended { number: 2, left, .. } => Some(*left),
            _ => None,
        })
        .collect();
    assert_eq!(lefts, [4, 3, 2, 1, 0]);
    let damage_count = events.iter().filter(|remark| matches!(remark, SideEvent::Damaged(_))).count();
    assert_eq!(damage_count, 1, "what was found is told once: {events:?}");
    assert!(aside.bytes(2) == damaged, "nothing was changed");
    assert_eq!(aside.side.damaged().0, 1);
}

#[test]
fn a_frame_that_follows_and_leads_elsewhere_mends_nothing() {
    let mut aside = aside(false);
    let mut others = aside.frames.clone();
    let next = crate::journal::walk::read_header(&aside.store, 3).unwrap().unwrap().first_seq;
    let last = others.iter().position(|frame| Header::peek(frame).unwrap().next_seq() == next).unwrap();
    let before = end_of(&others[..last]);
    let len = others[last].len();
    others[last] = frame(&before, before.epoch, &[(entry(EntryKind::Message, 1, next - 1), vec![9; 1_000])]);
    assert_eq!(others[last].len(), len, "it fits");
    let whole = aside.bytes(2);
    let at = whole.iter().rposition(|byte| *byte != 0).unwrap();
    aside.store.file_mut(FileName::Segment(2)).unwrap()[at] ^= 1;
    let damaged = aside.bytes(2);
    let events = aside.turns(1_000, &others);
    let is_reported = |remark: &SideEvent| matches!(remark, SideEvent::NotMended { number: 2, left: 0, .. });
    assert!(events.iter().any(is_reported) && !was_mended(&events, 2), "{events:?}");
    assert!(aside.bytes(2) == damaged);
}

#[test]
fn a_damaged_segment_is_not_served_and_the_others_are() {
    let mut aside = aside(false);
    let frames = aside.frames.clone();
    aside.store.file_mut(FileName::Segment(2)).unwrap()[30_000] ^= 1;
    let first = aside.turns(12, &[]);
    assert!(matches!(first[0], SideEvent::Damaged(_)), "{first:?}");
    let (count, seq) = aside.side.damaged();
    let mut segment_index = SegmentIndex::default();
    segment_index.refresh(&aside.store, &aside.side.written()).unwrap();
    let located = segment_index.locate(&aside.store, seq);
    assert!(count == 1 && matches!(located, Err(SegmentIndexError::Damage(_))), "{located:?}");
    let last = Header::peek(frames.last().unwrap()).unwrap().first_seq;
    for seq in [1, last] {
        assert!(segment_index.locate(&aside.store, seq).unwrap().is_some());
    }
    aside.turns(200, &frames);
    segment_index.refresh(&aside.store, &aside.side.written()).unwrap();
    assert!(segment_index.locate(&aside.store, seq).unwrap().is_some());
}

#[test]
fn an_index_and_a_checkpoint_that_are_damaged_are_computed_anew() {
    for file in [FileName::Index(2), FileName::Checkpoint(2)] {
        let mut aside = aside(false);
        let whole = aside.store.file_mut(file).unwrap().clone();
        aside.store.file_mut(file).unwrap()[30] ^= 1;
        let events = aside.turns(24, &[]);
        assert!(was_mended(&events, 2), "{events:?}");
        assert_eq!(*aside.store.file_mut(file).unwrap(), whole);
        assert_eq!(verify(&aside.store).unwrap().damage, []);
    }
}

#[test]
fn what_was_superseded_by_an_exchange_is_not_mended_and_that_is_said() {
    let settings = Settings { segment_len: 64 << 10, ..settings() };
    let mut journal = Journal::begun_with(settings);
    journal.grow(8, 1, 1_000);
    journal.drain();
    let at = journal.opened.writer.place().1 - 500;
    let base = journal.opened.tail.find(journal.end().next - 1).unwrap();
    let from = journal.end().next - 1;
    let before = {
        let frame = journal.opened.tail.frame(base).unwrap();
        LogEnd { next: from, chain: frame.header.chain, ..journal.end() }
    };
    journal.tail().stage(from, epoch(2)).unwrap();
    let start = epoch_start(&before, epoch(2), 3);
    journal.tail().stage_frame(&FrameView::from_prefix(&start).unwrap()).unwrap();
    journal.tail().switch().unwrap();
    journal.grow(120, 1, 1_000);
    journal.drain();
    let frames = journal.frames_in_segments(1);
    let Journal { mut store, opened } = journal;
    store.file_mut(FileName::Segment(1)).unwrap()[at as usize] ^= 1;
    let side = SideSettings { scrub_bytes_per_s: 1 << 30, ..SideSettings::new(false) };
    let side = SideThread::new(opened.writer, opened.superblock, side);
    let mut aside = Aside { store, memory: opened.tail.into_memory(), side, now: 0, frames: Vec::new() };
    let events = aside.turns(30, &frames);
    let is_reported = |remark: &SideEvent| matches!(remark, SideEvent::NotMended { number: 1, .. });
    assert!(events.iter().any(is_reported) && !was_mended(&events, 1), "{events:?}");
}

#[test]
fn segments_beyond_those_that_are_named_count_as_damaged_up_to_the_newest() {
    use crate::journal::segment_index::Unserved;
    let few = Unserved::of([2, 5].into_iter());
    assert!([2, 5].iter().all(|number| few.contains(*number)));
    assert!([0, 1, 3, 4, 6].iter().all(|number| !few.contains(*number)));
    let many = Unserved::of((1..=30).map(|number| number * 2));
    assert!(many.contains(2) && !many.contains(3) && many.contains(17) && many.contains(60));
    assert!(!many.contains(61));
}
