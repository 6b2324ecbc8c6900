//! A damaged segment is reported, not served, and restored by frames that other journals hold.

use super::*;
use crate::journal::mend::Mend;
use crate::journal::packed::read_segment;
use crate::journal::ports::Store;
use crate::journal::record::Record;
use crate::journal::segment::{GROUP_MARK_LEN, RECORDS_AT};
use crate::journal::segment_index::{SegmentIndex, SegmentIndexError, Unserved, Written};
use crate::journal::side::{Inputs, SideEvent, SideSettings, SideStep, SideThread};
use crate::journal::walk::{Walk, WalkItem};
use crate::journal::{Scrub, verify};
use std::ops::Range;

/// A journal with several sealed segments, and its side thread.
#[derive(Clone)]
pub(super) struct Aside {
    pub(super) store: MemoryStore,
    memory: MemoryTail,
    pub(super) side: SideThread,
    now: Nanos,
    pub(super) frames: Vec<Frame>,
}

pub(super) fn aside(packs: bool) -> Aside {
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
    pub(super) fn turns(&mut self, count: usize, others: &[Frame]) -> Vec<SideEvent> {
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

pub(super) fn was_mended(events: &[SideEvent], number: u64) -> bool {
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
fn what_was_superseded_by_an_exchange_is_mended_without_it() {
    let mut journal = small();
    exchange(&mut journal, 9, 2, 3, true);
    journal.grow(120, 1, 1_000);
    journal.drain();
    let frames = journal.frames_in_segments(1);
    let at = places(&journal.store, 1).into_iter().find(|(_, record)| record == "frame 10").unwrap().0.start;
    let Journal { mut store, opened } = journal;
    store.file_mut(FileName::Segment(1)).unwrap()[at + 100] ^= 1;
    let side = SideSettings { scrub_bytes_per_s: 1 << 30, ..SideSettings::new(false) };
    let side = SideThread::new(opened.writer, opened.superblock, side);
    let mut aside = Aside { store, memory: opened.tail.into_memory(), side, now: 0, frames: Vec::new() };
    let mut segment_index = SegmentIndex::default();
    segment_index.refresh(&aside.store, &aside.side.written()).unwrap();
    let known = Written { damaged: Unserved::of([1].into_iter()), ..aside.side.written() };
    segment_index.refresh(&aside.store, &known).unwrap();
    let events = aside.turns(30, &frames);
    assert!(was_mended(&events, 1), "{events:?}");
    // A reader that had read the segment before finds each frame where it is now.
    segment_index.refresh(&aside.store, &aside.side.written()).unwrap();
    let first_seq = |frame: &Frame| Header::peek(frame).unwrap().first_seq;
    assert!(
        frames.iter().map(first_seq).all(|seq| segment_index.locate(&aside.store, seq).unwrap().is_some())
    );
    assert_eq!((aside.side.damaged(), verify(&aside.store).unwrap().damage), ((0, 0), vec![]));
    assert!(frames_in_segments(&aside.store, 1) == frames);
}

/// A journal with small segments, whose log ends before seq 13.
fn small() -> Journal {
    let mut journal = Journal::begun_with(Settings { segment_len: 32 << 10, ..settings() });
    journal.grow(9, 1, 300);
    journal
}

/// Stages an epoch's start and `more` frames from seq `from` on, and lets them replace the log, or not.
fn exchange(journal: &mut Journal, from: Seq, round: u32, more: u64, switches: bool) {
    journal.tail().stage(from, epoch(round)).unwrap();
    let staged = super::switch::replacement(journal, from, round, more);
    super::switch::stage_all(journal, &staged);
    if switches {
        journal.tail().switch().unwrap();
    }
}

/// The records of a segment: where they stand, and what they are.
fn places(store: &MemoryStore, number: u64) -> Vec<(Range<usize>, String)> {
    let (mut walk, mut places) = (Walk::new(store, number, RECORDS_AT), Vec::new());
    while let WalkItem::Record(at, record, bytes) = walk.step().unwrap() {
        let what = match record {
            Record::Frame(frame) => format!("frame {}", { frame.header.first_seq }),
            Record::Stage { base, .. } => format!("stage {}", base.next),
            Record::Abandon => "abandon".to_owned(),
            Record::Switch { from, .. } => format!("switch {from}"),
            Record::Lost { from, .. } => format!("lost {from}"),
        };
        places.push((at as usize..at as usize + bytes.len(), what));
    }
    places
}

/// What a takeover may do to the end of a log, in journals whose first segment has all of it or a part.
fn exchanges() -> Vec<(&'static str, Journal)> {
    let mut journals = Vec::new();
    let mut add = |name, exchanges: &dyn Fn(&mut Journal)| {
        let mut journal = small();
        exchanges(&mut journal);
        journal.grow(3, 1, 300);
        journals.push((name, journal));
    };
    add("the last frame", &|journal| exchange(journal, 12, 2, 2, true));
    add("several frames", &|journal| exchange(journal, 9, 2, 5, true));
    add("nothing, behind the log", &|journal| exchange(journal, 13, 2, 2, true));
    add("twice, and the second goes back farther", &|journal| {
        exchange(journal, 11, 2, 1, true);
        exchange(journal, 9, 3, 2, true);
    });
    add("twice, and the second keeps a part of the first", &|journal| {
        exchange(journal, 9, 2, 3, true);
        exchange(journal, 12, 3, 2, true);
    });
    add("staged, and given up", &|journal| exchange(journal, 9, 2, 3, false));
    add("staged, and staged again", &|journal| {
        exchange(journal, 9, 2, 3, false);
        exchange(journal, 10, 3, 2, true);
    });
    journals
}

/// Mends segment 1 with the log's frames, in two tries at most.
fn mended(store: &mut MemoryStore, replaced_from: Seq, log: &[Frame]) -> Result<(), String> {
    let mut attempt = |tries| {
        let mut mend = Mend::begin(store, 1, replaced_from, tries).unwrap()?;
        while let Some(missing) = mend.missing() {
            let chains = |frame: &&Frame| {
                let header = Header::peek(frame).unwrap();
                (header.first_seq, header.chain) == (missing.from, missing.chain)
            };
            mend.take(log.iter().find(chains).ok_or_else(|| format!("nobody has seq {}", missing.from))?)?;
        }
        mend.finish(store).map_err(|error| error.to_string())?
    };
    attempt(0).or_else(|first| attempt(1).map_err(|second| format!("{first}; {second}")))
}

/// Every run of records that a segment holds, each byte of what was superseded or exchanged: afterwards the
/// log is what it was, and nothing is damaged.
#[test]
fn every_run_of_records_around_an_exchange_is_mended_to_the_same_log() {
    let (mut tried, mut failed) = (0, Vec::new());
    for (name, mut journal) in exchanges() {
        journal.drain();
        // The exchange is in a sealed segment, or the log it replaced is: both.
        journal.grow(60, 1, 1_000);
        journal.drain();
        let (log, records) = (journal.frames_in_segments(1), places(&journal.store, 1));
        assert_eq!(verify(&journal.store).unwrap().damage, [], "{name}: {records:?}");
        let count = records.len().min(34);
        for first in 0..count {
            for last in first..count.min(first + 9) {
                let mut store = journal.store.clone();
                let hole = records[first].0.start..records[last].0.end;
                store.file_mut(FileName::Segment(1)).unwrap()[hole].fill(0xEE);
                tried += 1;
                let done = mended(&mut store, journal.opened.writer.replaced_from(), &log);
                let damage = verify(&store).unwrap().damage;
                let whole = done.is_ok() && damage.is_empty() && frames_in_segments(&store, 1) == log;
                if !whole {
                    let what: Vec<&str> =
                        records[first..=last].iter().map(|(_, what)| what.as_str()).collect();
                    failed.push(format!("{name}: {what:?}: {done:?} {damage:?}"));
                }
            }
        }
    }
    assert!(failed.is_empty(), "{} of {tried}:\n{}", failed.len(), failed.join("\n"));
}

/// A bit that flips anywhere around an exchange: not in each byte, as each takes a millisecond.
#[test]
fn a_bit_that_flips_around_an_exchange_is_mended_to_the_same_log() {
    for (turn, (name, mut journal)) in exchanges().into_iter().enumerate() {
        journal.drain();
        journal.grow(60, 1, 1_000);
        journal.drain();
        let (log, records) = (journal.frames_in_segments(1), places(&journal.store, 1));
        for at in (records[0].0.start + turn..records[records.len().min(34) - 1].0.end).step_by(37) {
            let mut store = journal.store.clone();
            store.file_mut(FileName::Segment(1)).unwrap()[at] ^= 4;
            let done = mended(&mut store, journal.opened.writer.replaced_from(), &log);
            assert_eq!((done, verify(&store).unwrap().damage), (Ok(()), vec![]), "{name}: byte {at}");
            assert!(frames_in_segments(&store, 1) == log, "{name}: byte {at}");
        }
    }
}

/// The frames that end a segment are replaced by records of the next one, which is being filled or is
/// sealed.
#[test]
fn what_a_later_segment_superseded_is_mended_without_it() {
    for is_sealed in [false, true] {
        let mut journal = Journal::begun_with(Settings { segment_len: 16 << 10, ..settings() });
        while journal.opened.writer.number() < 2 {
            journal.grow(1, 1, 300);
            journal.drain();
        }
        let from = journal.end().next - 3;
        exchange(&mut journal, from, 2, 2, true);
        journal.grow(if is_sealed { 40 } else { 2 }, 1, 1_000);
        journal.drain();
        assert_eq!(journal.opened.writer.number() > 2, is_sealed);
        let (log, records) = (journal.frames_in_segments(1), places(&journal.store, 1));
        let (end, replaced_from) = (journal.end(), journal.opened.writer.replaced_from());
        let (stopped, _) = journal.stop();
        assert_eq!(records.last().unwrap().1, format!("frame {}", from + 1), "two of them are superseded");
        for first in 0..records.len() {
            for last in first..records.len() {
                let mut store = stopped.clone();
                let hole = records[first].0.start..records[last].0.end;
                store.file_mut(FileName::Segment(1)).unwrap()[hole].fill(0xEE);
                let done = mended(&mut store, replaced_from, &log);
                let case = format!("{first} to {last} of {}, sealed: {is_sealed}", records.len());
                assert_eq!((done, verify(&store).unwrap().damage), (Ok(()), vec![]), "{case}");
                assert!(frames_in_segments(&store, 1) == log, "{case}");
                // A start without the ring reads what is left.
                let again = Journal::open(store, MemoryTail::new(RING_LEN), settings());
                assert_eq!(again.end(), end, "{case}");
            }
        }
    }
}

/// A mend that ends at any of its writes: what is left is damaged, or the log as it is, and is mended then.
#[test]
fn a_mend_that_is_cut_off_anywhere_is_made_again() {
    let mut journal = small();
    exchange(&mut journal, 9, 2, 3, true);
    journal.grow(60, 1, 1_000);
    journal.drain();
    let (log, records) = (journal.frames_in_segments(1), places(&journal.store, 1));
    let hole = records.iter().find(|(_, what)| what == "frame 10").unwrap().0.clone();
    let mut damaged = journal.store.clone();
    damaged.file_mut(FileName::Segment(1)).unwrap()[hole].fill(0xEE);
    let mut cuts = 0;
    loop {
        let mut store = damaged.clone();
        store.set_writes_left(cuts);
        let done = mended(&mut store, Seq::MAX, &log);
        store.set_writes_left(u64::MAX);
        let mut reader = read_segments(&store, 1).unwrap();
        let mut read = Vec::new();
        while let Some(Ok(frame)) = reader.next().unwrap() {
            read.push(Frame(frame.bytes.to_vec()));
        }
        assert!(log.starts_with(&read), "cut after {cuts} writes");
        drop(reader);
        // What the side thread does with what it finds.
        let (mut found, mut scrub) = (Vec::new(), Scrub::before(1));
        scrub.step(&store, 2, u64::MAX, &mut found).unwrap();
        if !found.is_empty() {
            mended(&mut store, Seq::MAX, &log).unwrap();
        } else if let Some((1, index)) = scrub.take_index() {
            store.replace(FileName::Index(1), &index).unwrap();
        }
        assert_eq!(verify(&store).unwrap().damage, [], "cut after {cuts} writes");
        assert!(frames_in_segments(&store, 1) == log, "cut after {cuts} writes");
        if done.is_ok() {
            break;
        }
        cuts += 1;
    }
    assert_eq!(cuts, 2, "the segment, and its index");
}

#[test]
fn segments_beyond_those_that_are_named_count_as_damaged_up_to_the_newest() {
    let few = Unserved::of([2, 5].into_iter());
    assert!([2, 5].iter().all(|number| few.contains(*number)));
    assert!([0, 1, 3, 4, 6].iter().all(|number| !few.contains(*number)));
    let many = Unserved::of((1..=30).map(|number| number * 2));
    assert!(many.contains(2) && !many.contains(3) && many.contains(17) && many.contains(60));
    assert!(!many.contains(61));
}
