//! S7: replace, never cut.

use super::*;
use crate::journal::base::BASE;
use crate::journal::checkpoint::Checkpoint;
use crate::journal::ports::{Store, TailMemory, TailSource};
use crate::journal::walk::read_header;
use crate::journal::{AppendError, StageError, SwitchError};
use proptest::prelude::*;

fn view(bytes: &[u8]) -> FrameView<'_> {
    FrameView::from_prefix(bytes).unwrap()
}

/// Frames that replace the log of `journal` from `from` on: epoch start and `more` frames.
pub(super) fn replacement(journal: &Journal, from: Seq, round: u32, more: u64) -> Vec<Frame> {
    let before: Vec<_> = journal.frames_in_tail();
    let retained: Vec<_> =
        before.into_iter().filter(|b| Header::peek(b).unwrap().next_seq() <= from).collect();
    let mut frames = retained.clone();
    frames.push(epoch_start(&end_of(&frames), epoch(round), 2));
    for _ in 0..more {
        frames.push(messages(&end_of(&frames), 2, 40));
    }
    frames.split_off(retained.len())
}

pub(super) fn stage_all(journal: &mut Journal, frames: &[Frame]) {
    for bytes in frames {
        journal.tail().stage_frame(&view(bytes)).unwrap();
    }
}

#[test]
fn a_switch_makes_the_staged_frames_the_log_in_one_record() {
    let mut journal = Journal::begun();
    journal.grow(6, 1, 30);
    let old = journal.frames_in_tail();
    let staged = replacement(&journal, 6, 2, 1);
    journal.tail().stage(6, epoch(2)).unwrap();
    for bytes in &staged {
        journal.tail().stage_frame(&view(bytes)).unwrap();
        assert_eq!(journal.frames_in_tail(), old, "until the switch the log is the old one");
    }
    journal.tail().switch().unwrap();
    journal.tail().invariants();
    let new: Vec<_> = old[..5].iter().cloned().chain(staged).collect();
    assert_eq!(journal.frames_in_tail(), new);
    assert_eq!(journal.end(), end_of(&new));
    let more = messages(&journal.end(), 1, 8);
    journal.append(&more);
    assert_eq!(journal.frames_in_tail().last(), Some(&more), "and the log goes on behind them");
}

#[test]
fn a_staging_is_refused_where_the_log_has_no_such_end() {
    let mut journal = Journal::begun();
    journal.grow(2, 4, 30);
    let next = journal.end().next;
    assert_eq!(journal.tail().stage(next + 1, epoch(2)), Err(StageError::Ahead { next }));
    assert_eq!(journal.tail().stage(6, epoch(2)), Err(StageError::InsideFrame));
    journal.grow(400, 4, 200);
    let oldest = journal.opened.tail.oldest_seq();
    assert_eq!(journal.tail().stage(4, epoch(2)), Err(StageError::TooOld { oldest }));
    assert_eq!(journal.tail().switch(), Err(SwitchError::Nothing));
    let bytes = messages(&journal.end(), 1, 8);
    assert_eq!(journal.tail().stage_frame(&view(&bytes)), Err(AppendError::NotStaging));
}

/// A journal of which everything up to `base` is gone, and three frames behind it.
fn without_its_beginning(by_retention: bool) -> (Journal, LogEnd) {
    let mut origin = Journal::begun();
    if by_retention {
        while origin.opened.writer.number() < 2 {
            origin.grow(1, 1, 1_000);
            origin.drain();
        }
        let base = read_header(&origin.store, 2).unwrap().unwrap().before();
        let all = Retention { bytes_max: 1, age_ns_max: 0 };
        assert_eq!(origin.retain(all, base.next, false).removed, [1]);
        origin.grow(3, 1, 30);
        return (origin, base);
    }
    origin.grow(4, 1, 30);
    let mut checkpoint = Checkpoint::default();
    for bytes in origin.frames_in_tail() {
        checkpoint.apply(&view(&bytes)).unwrap();
    }
    let base = checkpoint.end;
    let mut journal = Journal::fresh();
    journal.store.replace(BASE, &checkpoint.to_bytes()).unwrap();
    journal.opened.writer.begin_behind(checkpoint);
    journal.tail().begin_behind(base);
    journal.grow(3, 1, 30);
    (journal, base)
}

/// A takeover may replace all that a journal has which begins behind a checkpoint, or of which retention has
/// removed what is committed: the end before its oldest frame is known, in the run that removed it and in
/// each that starts there. (Seed 21003218.)
#[test]
fn a_log_without_its_beginning_is_replaced_from_its_oldest_frame_on() {
    for by_retention in [false, true] {
        for how in ["the same run", "killed", "killed with its segments written", "stopped", "rebooted"] {
            let case = format!("{how}, by retention: {by_retention}");
            let (mut journal, base) = without_its_beginning(by_retention);
            if how.ends_with("written") {
                journal.drain();
            }
            let mut journal = match how {
                "the same run" => journal,
                "rebooted" => Journal::open(journal.stop().0, MemoryTail::new(RING_LEN), settings()),
                _ => {
                    let (store, memory) = if how == "stopped" { journal.stop() } else { journal.kill() };
                    Journal::open(store, memory, settings())
                }
            };
            assert!(journal.opened.tail.reaches(base.next), "{case}");
            assert_eq!(journal.tail().stage(base.next, epoch(2)), Ok(()), "{case}");
            let start = epoch_start(&base, epoch(2), 3);
            stage_all(&mut journal, std::slice::from_ref(&start));
            journal.tail().switch().unwrap();
            let end = base.follow(&view(&start)).unwrap();
            assert_eq!(journal.end(), end, "{case}");
            assert_eq!(journal.frames_in_tail().last(), Some(&start), "{case}");
            let (store, memory) = journal.kill();
            let inspected = inspected(&store, Some(&memory), settings());
            assert!(is_complete(&inspected), "{case}");
            assert_eq!(inspected.end(), end, "{case}");
        }
    }
}

/// The oldest segment may begin with the end of a log that was replaced further back: that is no end of this
/// log, and nothing is staged behind it.
#[test]
fn the_end_of_a_replaced_log_is_no_place_to_stage_from() {
    let (journal, base) = without_its_beginning(false);
    let elsewhere = LogEnd { chain: base.chain ^ 1, ..base };
    let mut tail = journal.opened.tail.of_journal(&[1], elsewhere);
    assert!(!tail.reaches(base.next));
    assert_eq!(tail.stage(base.next, epoch(2)), Err(StageError::TooOld { oldest: base.next }));
}

#[test]
fn staged_frames_that_no_new_epoch_ends_are_not_switched_to() {
    let mut journal = Journal::begun();
    journal.grow(3, 1, 30);
    let next = journal.end().next;
    journal.tail().stage(next, epoch(2)).unwrap();
    assert_eq!(journal.tail().switch(), Err(SwitchError::Nothing));
    let bytes = messages(&journal.end(), 1, 8);
    journal.tail().stage_frame(&view(&bytes)).unwrap();
    let refused = Err(SwitchError::Epoch { ends_in: epoch(1), adopts: epoch(2) });
    assert_eq!(journal.tail().switch(), refused);
}

#[test]
fn appending_gives_a_staging_up_and_the_log_is_what_it_was() {
    let mut journal = Journal::begun();
    journal.grow(6, 1, 30);
    let staged = replacement(&journal, 6, 2, 1);
    journal.tail().stage(6, epoch(2)).unwrap();
    journal.tail().stage_frame(&view(&staged[0])).unwrap();
    let mut expected = journal.frames_in_tail();
    let more = messages(&journal.end(), 2, 8);
    journal.append(&more);
    expected.push(more);
    assert_eq!(journal.frames_in_tail(), expected);
    journal.drain();
    assert_eq!(journal.frames_in_segments(1), expected);
    let (store, memory) = journal.kill();
    assert_eq!(Journal::open(store, memory, settings()).frames_in_tail(), expected);
}

#[test]
fn what_is_durable_never_counts_the_old_log_for_the_new_one() {
    let power = Settings { power: true, ..settings() };
    let mut journal = Journal::begun_with(power);
    journal.grow(10, 1, 30);
    let (tail, writer) = (&mut journal.opened.tail, &mut journal.opened.writer);
    while copy_behind(tail.memory_mut(), writer, &mut journal.store, true).unwrap() > 0 {}
    assert_eq!(journal.opened.tail.durable_next(), journal.end().next);
    let staged = replacement(&journal, 6, 2, 9);
    journal.tail().stage(6, epoch(2)).unwrap();
    stage_all(&mut journal, &staged);
    journal.tail().switch().unwrap();
    assert!(journal.end().next > 14);
    assert_eq!(journal.opened.tail.durable_next(), 6, "the device has the old frames behind 6");
    let (store, memory) = journal.kill();
    let mut journal = Journal::open(store, memory, power);
    assert_eq!(journal.opened.tail.durable_next(), 6, "and a crash does not forget it");
    let (tail, writer) = (&mut journal.opened.tail, &mut journal.opened.writer);
    while copy_behind(tail.memory_mut(), writer, &mut journal.store, true).unwrap() > 0 {}
    assert_eq!(journal.opened.tail.durable_next(), journal.end().next);
}

/// A ring whose process died when `limit` more bytes had been written.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Dying {
    memory: MemoryTail,
    before: MemoryTail,
}

impl Dying {
    /// The memory as it was when byte `bytes` behind position `pos` was being written: the record there
    /// is not published.
    fn at(&self, pos: u64, bytes: u64) -> MemoryTail {
        let mut memory = self.before.clone();
        let len = memory.ring_len();
        memory.write(pos, bytes as usize).copy_from_slice(self.memory.read(pos % len, bytes as usize));
        memory
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn s7_a_crash_at_any_byte_of_a_switch_leaves_the_old_log_or_the_new_one(
        stored in 3u64..12, back in 0u64..6, more in 0u64..4, len in 0usize..200, drained in 0u8..3,
    ) {
        let mut journal = Journal::begun();
        journal.grow(stored, 1, len);
        let from = journal.end().next - back.min(stored);
        let old = journal.frames_in_tail();
        let staged = replacement(&journal, from, 2, more);
        let new: Vec<_> = old.iter().filter(|b| Header::peek(b).unwrap().next_seq() <= from)
            .chain(&staged).cloned().collect();
        // Each step publishes one record; a crash may come at any byte of it, and behind it.
        for step in 0..staged.len() + 2 {
            if drained == 1 && step == 1 || drained == 2 && step == staged.len() {
                journal.drain();
            }
            let before = journal.opened.tail.clone().into_memory();
            let pos = before.word(Word::PublishedPos);
            match step {
                0 => journal.tail().stage(from, epoch(2)).unwrap(),
                step if step <= staged.len() => stage_all(&mut journal, &staged[step - 1..step]),
                _ => journal.tail().switch().unwrap(),
            }
            let memory = journal.opened.tail.clone().into_memory();
            let written = memory.word(Word::PublishedPos) - pos;
            let dying = Dying { memory, before };
            for bytes in 0..=written {
                if !(bytes % 8 == 0 || bytes < 130) { continue; }
                let left = Journal::open(journal.store.clone(), dying.at(pos, bytes), settings());
                prop_assert_eq!(&left.frames_in_tail(), &old, "step {}, byte {}", step, bytes);
            }
            // The record is there, and published.
            let left = Journal::open(journal.store.clone(), dying.memory.clone(), settings());
            let whole = step == staged.len() + 1;
            prop_assert_eq!(&left.frames_in_tail(), if whole { &new } else { &old });
            prop_assert_eq!(left.end(), end_of(if whole { &new } else { &old }));
        }
    }

    #[test]
    fn s7_a_reboot_at_any_sector_of_a_switch_leaves_the_old_log_or_the_new_one(
        stored in 3u64..12, back in 0u64..6, more in 0u64..4, len in 0usize..200,
    ) {
        let mut journal = Journal::begun_with(Settings { power: true, ..settings() });
        journal.grow(stored, 1, len);
        let from = journal.end().next - back.min(stored);
        let old = journal.frames_in_tail();
        let staged = replacement(&journal, from, 2, more);
        journal.drain();
        let file = segment_files(&journal.store)[0];
        let before = journal.store.file_mut(file).unwrap().clone();
        journal.tail().stage(from, epoch(2)).unwrap();
        stage_all(&mut journal, &staged);
        journal.tail().switch().unwrap();
        let new: Vec<_> = old.iter().filter(|b| Header::peek(b).unwrap().next_seq() <= from)
            .chain(&staged).cloned().collect();
        journal.drain();
        let after = journal.store.file_mut(file).unwrap().clone();
        let first = before.iter().zip(&after).position(|(a, b)| a != b).unwrap();
        let last = before.iter().zip(&after).rposition(|(a, b)| a != b).unwrap();
        let mut seen = [0, 0];
        for cut in (first / 512 * 512..=last).step_by(512).chain([last + 1]) {
            let mut store = journal.store.clone();
            let torn = store.file_mut(file).unwrap();
            torn[cut..].copy_from_slice(&before[cut..]);
            let rebooted = Settings { boot: [8, 8], ..settings() };
            let left = Journal::open(store, MemoryTail::new(RING_LEN), rebooted);
            let log = left.frames_in_segments(1);
            prop_assert!(log == old || log == new, "cut at {cut} of {first}..{last}");
            prop_assert_eq!(left.end(), end_of(&log));
            prop_assert_eq!(left.opened.checkpoint.end, left.end());
            seen[usize::from(log == new)] += 1;
        }
        prop_assert!(seen[0] > 0 && seen[1] > 0, "both logs were left by some cut: {seen:?}");
    }
}
