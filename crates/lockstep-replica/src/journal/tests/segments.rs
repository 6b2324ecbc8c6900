use super::*;
use crate::journal::index::Index;
use crate::journal::ports::Store;
use crate::journal::ports::StoreFault;
use crate::journal::walk::read_header;
use crate::journal::{Checkpoint, Retention, verify};
use lockstep_wire::EpochBase;

/// The tables as computed from every frame.
fn recomputed(frames: &[Frame]) -> Checkpoint {
    let mut checkpoint = Checkpoint::default();
    for bytes in frames {
        checkpoint.apply(&FrameView::from_prefix(bytes).unwrap()).unwrap();
    }
    checkpoint
}

pub(super) fn grown(frames: u64) -> Journal {
    let mut journal = Journal::begun();
    journal.grow(frames, 10, 100);
    journal.drain();
    journal
}

#[test]
fn segments_roll_over_and_hold_the_log_byte_by_byte() {
    let mut journal = Journal::begun();
    let mut log = journal.frames_in_tail();
    for round in 0..2500 {
        let bytes = messages(&journal.end(), 10, 100);
        if round % 11 == 0 {
            journal.drain();
        }
        journal.append(&bytes);
        log.push(bytes);
    }
    journal.drain();
    let segments = segment_files(&journal.store);
    assert!(segments.len() >= 3, "{segments:?}");
    assert_eq!(journal.frames_in_segments(1), log);
    let report = verify(&journal.store).unwrap();
    assert_eq!(report.damage, []);
    assert_eq!((report.segments, report.records), (segments.len() as u64, log.len() as u64));
    for from in [2, 4, 5, 1000, 9999, 20_000, journal.end().next - 1] {
        let expected: Vec<_> = log.iter().filter(|b| Header::peek(b).unwrap().next_seq() > from).collect();
        assert_eq!(journal.frames_in_segments(from).iter().collect::<Vec<_>>(), expected, "from {from}");
    }
    assert!(journal.frames_in_segments(journal.end().next).is_empty());
}

#[test]
fn a_checkpoint_equals_recomputation() {
    let mut journal = grown(900);
    for id in 2..200 {
        let open = publisher_open(&journal.end(), id, &format!("publisher {id}"));
        journal.append(&open);
        journal.drain();
    }
    let close = frame(&journal.end(), epoch(1), &[(entry(EntryKind::Close, 7, 0), Vec::new())]);
    journal.append(&close);
    journal.grow(900, 10, 100);
    journal.drain();
    let log = journal.frames_in_segments(1);
    let sealed = journal.store.file_mut(FileName::Checkpoint(1)).unwrap().clone();
    let sealed = Checkpoint::from_bytes(&sealed).unwrap();
    let part: Vec<_> =
        log.iter().filter(|b| Header::peek(b).unwrap().next_seq() <= sealed.end.next).cloned().collect();
    assert_eq!(sealed, recomputed(&part));
    let (store, memory) = journal.kill();
    let left = Journal::open(store, memory, settings());
    assert_eq!(left.opened.checkpoint, recomputed(&log));
    assert!(left.opened.checkpoint.publishers[&7].closed);
    assert_eq!(left.opened.checkpoint.publishers.len(), 199);
}

#[test]
fn s4_a_checkpoint_keeps_the_members_on_both_sides_of_a_change_until_it_is_committed() {
    let mut journal = Journal::begun();
    let change = journal.end().next;
    let removal = removal(&journal.end(), 3, 2);
    journal.append(&removal);
    journal.grow(2, 1, 8);
    let (store, memory) = journal.stop();
    let mut journal = Journal::open(store, memory, settings());
    let checkpoint = journal.opened.checkpoint.clone();
    let replicas = |members: &[MemberBody]| members.iter().map(|member| member.replica).collect::<Vec<_>>();
    assert_eq!((replicas(&checkpoint.members), checkpoint.membership_seq), (vec![1, 3], change));
    let (seq, before) = checkpoint.open_change.expect("nobody announced its commit");
    assert_eq!((seq, replicas(before.members())), (change, vec![1, 3, 2]));
    assert_eq!(Checkpoint::from_bytes(&checkpoint.to_bytes()), Ok(checkpoint));
    // A frame that knows it committed closes it.
    let bytes = messages(&journal.end(), 1, 8);
    let frame = FrameView::from_prefix(&bytes).unwrap();
    let mut announced = bytes.to_vec();
    seal(&mut announced, Header { commit_next: change + 1, ..*frame.header });
    journal.append(&announced);
    let (store, memory) = journal.stop();
    let journal = Journal::open(store, memory, settings());
    assert_eq!((journal.opened.checkpoint.open_change, journal.opened.checkpoint.members.len()), (None, 2));
}

#[test]
fn a_checkpoint_survives_its_bytes_and_no_others() {
    let journal = grown(20);
    let checkpoint = recomputed(&journal.frames_in_segments(1));
    let bytes = checkpoint.to_bytes();
    assert_eq!(Checkpoint::from_bytes(&bytes), Ok(checkpoint));
    for at in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[at] ^= 0x10;
        assert!(Checkpoint::from_bytes(&flipped).is_err(), "byte {at}");
    }
    assert!((0..bytes.len()).all(|len| Checkpoint::from_bytes(&bytes[..len]).is_err()));
}

#[test]
fn tables_after_a_switch_are_those_of_the_new_log_also_when_it_reaches_into_a_sealed_segment() {
    let mut journal = grown(700);
    while segment_files(&journal.store).len() < 2 {
        journal.grow(1, 10, 100);
        journal.drain();
    }
    journal.grow(5, 10, 100);
    journal.drain();
    let log = journal.frames_in_segments(1);
    let sealed = Checkpoint::from_bytes(journal.store.file_mut(FileName::Checkpoint(1)).unwrap()).unwrap();
    let cut = log.iter().rposition(|b| Header::peek(b).unwrap().next_seq() < sealed.end.next).unwrap();
    let mut new = log[..cut].to_vec();
    let from = end_of(&new).next;
    journal.tail().stage(from, epoch(2)).unwrap();
    for round in 0..4 {
        let end = end_of(&new);
        let bytes = if round == 0 { epoch_start(&end, epoch(2), 2) } else { messages(&end, 1, 10) };
        journal.tail().stage_frame(&FrameView::from_prefix(&bytes).unwrap()).unwrap();
        new.push(bytes);
        if round == 2 {
            journal.drain();
        }
    }
    journal.tail().switch().unwrap();
    let more = publisher_open(&journal.end(), 2, "late");
    journal.append(&more);
    new.push(more);
    let expected = recomputed(&new);
    assert_eq!(expected.members.len(), 2);

    for drained in [false, true] {
        if drained {
            journal.drain();
            assert_eq!(journal.frames_in_segments(1), new);
        }
        let (store, memory) = journal.kill();
        journal = Journal::open(store.clone(), memory, settings());
        assert_eq!(journal.opened.checkpoint, expected);
        assert_eq!(journal.end(), end_of(&new));
    }
    let cold = inspected(&journal.store, None, Settings { boot: [8, 8], ..settings() });
    assert_eq!(cold.checkpoint(), &expected);
    assert_eq!(cold.end(), end_of(&new));

    // And when the segment with the switch is sealed in turn.
    journal.grow(900, 10, 100);
    journal.drain();
    let sealed = Checkpoint::from_bytes(journal.store.file_mut(FileName::Checkpoint(2)).unwrap()).unwrap();
    let log = journal.frames_in_segments(1);
    let part: Vec<_> =
        log.iter().filter(|b| Header::peek(b).unwrap().next_seq() <= sealed.end.next).cloned().collect();
    assert_eq!(sealed, recomputed(&part));
    assert_eq!(verify(&journal.store).unwrap().damage, []);
}

/// Simulator seed 20261122009483: the run died in a roll, and the next one was configured with longer
/// segments.
#[test]
fn what_a_seal_left_without_a_roll_is_taken_away_before_the_segment_grows() {
    let journal = grown(100);
    let (mut store, memory) = journal.kill();
    let log = frames_in_segments(&store, 1);
    let (index, tables) = (Index::rebuild(&store, 1, 1).unwrap(), recomputed(&log));
    store.replace(FileName::Index(1), &index.to_bytes()).unwrap();
    store.replace(FileName::Checkpoint(1), &tables.to_bytes()).unwrap();
    let mut journal = Journal::open(store, memory, settings());
    let from = end_of(&log[..90]).next;
    journal.tail().stage(from, epoch(2)).unwrap();
    let start = epoch_start(&end_of(&log[..90]), epoch(2), 2);
    journal.tail().stage_frame(&FrameView::from_prefix(&start).unwrap()).unwrap();
    journal.tail().switch().unwrap();
    journal.drain();
    let new: Vec<_> = log[..90].iter().cloned().chain([start]).collect();
    assert_eq!(journal.frames_in_segments(1), new, "the exchange is not hidden");
    assert_eq!(verify(&journal.store).unwrap().damage, []);
}

#[test]
fn a_missing_index_or_checkpoint_is_computed_again() {
    let mut journal = grown(2500);
    let (log, end) = (journal.frames_in_segments(1), journal.end());
    let last = journal.opened.writer.number();
    assert!(last >= 3);
    for number in 1..last {
        journal.store.remove(FileName::Index(number)).unwrap();
        journal.store.remove(FileName::Checkpoint(number)).unwrap();
    }
    assert_eq!(journal.frames_in_segments(1), log);
    assert_eq!(journal.frames_in_segments(12_345).len(), log.len() - 3 - (12_345 - 4) / 10);
    let (store, memory) = journal.kill();
    let left = Journal::open(store, memory, settings());
    assert_eq!((left.opened.checkpoint, left.opened.tail.end()), (recomputed(&log), end));
}

#[test]
fn a_full_disk_stops_the_segments_and_they_go_on_by_themselves() {
    let mut journal = grown(100);
    let mut log = journal.frames_in_segments(1);
    let used: u64 = (1 << 20) + 100_000;
    journal.store.set_capacity_bytes(used);
    let mut refused = 0;
    for _ in 0..3000 {
        let bytes = messages(&journal.end(), 10, 100);
        let (tail, writer) = (&mut journal.opened.tail, &mut journal.opened.writer);
        let frame = FrameView::from_prefix(&bytes).unwrap();
        if tail.append(&frame).is_err() {
            let written = writer.pos();
            match copy_behind(tail.memory_mut(), writer, &mut journal.store, false) {
                Err(error) => {
                    assert!(error.passing() == Some(StoreFault::NoSpace), "{error}");
                    assert_eq!(writer.pos(), written, "nothing is called written that is not");
                    refused += 1;
                    if refused == 20 {
                        journal.store.set_capacity_bytes(u64::MAX);
                    }
                }
                Ok(_) => {
                    tail.append(&frame).unwrap();
                    log.push(bytes);
                }
            }
        } else {
            log.push(bytes);
        }
    }
    assert_eq!(refused, 20);
    journal.drain();
    assert_eq!(journal.frames_in_segments(1), log);
    assert!(segment_files(&journal.store).len() >= 3);
    let (store, memory) = journal.kill();
    assert!(is_complete(&inspected(&store, Some(&memory), settings())));
}

#[test]
fn a_device_that_fails_in_the_middle_of_a_roll_over_loses_nothing() {
    let mut journal = grown(840);
    let mut log = journal.frames_in_segments(1);
    for round in 0..200 {
        let bytes = messages(&journal.end(), 10, 100);
        journal.append(&bytes);
        log.push(bytes);
        journal.store.set_failing(round % 3 != 0);
        let (tail, writer) = (&mut journal.opened.tail, &mut journal.opened.writer);
        let copied = copy_behind(tail.memory_mut(), writer, &mut journal.store, false);
        assert_eq!(copied.is_err(), round % 3 != 0);
    }
    journal.store.set_failing(false);
    journal.drain();
    assert_eq!(journal.frames_in_segments(1), log);
}

#[test]
fn a_day_is_kept_from_the_segment_that_has_its_first_frame() {
    let mut journal = grown(4500);
    let end = journal.end();
    let (writer, store) = (&mut journal.opened.writer, &journal.store);
    assert_eq!(writer.first_seq_since(store, 0).unwrap(), 1);
    let after_all = writer.first_seq_since(store, end.timestamp + 1).unwrap();
    let mut reader = read_segments(store, 1).unwrap();
    let mut middle = None;
    while let Some(frame) = reader.next().unwrap() {
        let header = *frame.unwrap().header;
        if header.first_seq >= end.next / 2 {
            middle = Some(header);
            break;
        }
    }
    let middle = middle.unwrap();
    let retained_from = writer.first_seq_since(store, middle.timestamp).unwrap();
    assert!(1 < retained_from && retained_from <= middle.first_seq, "{retained_from} for {}", {
        middle.first_seq
    });
    assert!(retained_from < after_all && after_all <= end.next);
}

#[test]
fn retention_never_removes_what_must_stay() {
    let mut journal = grown(4500);
    let (last, end) = (journal.opened.writer.number(), journal.end());
    assert!(last >= 5);
    let by_size = Retention { bytes_max: 2 << 20, age_ns_max: 0 };
    let OpenedJournal { writer, superblock, .. } = &mut journal.opened;
    let store = &mut journal.store;
    assert_eq!(
        writer.retain(store, superblock, (by_size, 0), 1, false).unwrap().removed,
        Vec::<u64>::new(),
        "the open trading day stays"
    );
    assert_eq!(
        writer.retain(store, superblock, (Retention::default(), u64::MAX), end.next, false).unwrap().removed,
        Vec::<u64>::new(),
        "no limit"
    );
    let gone = writer.retain(store, superblock, (by_size, 0), end.next, false).unwrap().removed;
    assert_eq!(gone, (1..last - 2).collect::<Vec<_>>());
    let oldest = read_segments(store, 1).unwrap().oldest_seq().unwrap();
    let by_age = Retention { bytes_max: 0, age_ns_max: 1 };
    assert_eq!(
        writer.retain(store, superblock, (by_age, end.timestamp + 100), oldest, false).unwrap().removed,
        Vec::<u64>::new()
    );
    let gone =
        writer.retain(store, superblock, (by_age, end.timestamp + 100), Seq::MAX, false).unwrap().removed;
    assert_eq!(gone, (last - 2..last).collect::<Vec<_>>(), "all but the newest");
    assert_eq!(segment_files(store), [FileName::Segment(last)]);
    let (store, memory) = journal.kill();
    let left = Journal::open(store.clone(), memory, settings());
    assert_eq!(left.end(), end);
    assert_eq!(left.opened.checkpoint.publishers[&1].last, end.next - 1, "the last checkpoint was kept");
    let cold = inspected(&store, None, Settings { boot: [8, 8], ..settings() });
    assert_eq!(cold.end(), end);
}

/// Seed 777015220: the process knew the commit, no frame that it stored contains it, and it starts again.
#[test]
fn what_retention_has_removed_is_known_to_be_committed_after_a_restart() {
    let mut journal = grown(4500);
    let end = journal.end();
    assert_eq!(journal.opened.removed_next, 1);
    let OpenedJournal { writer, superblock, .. } = &mut journal.opened;
    let store = &mut journal.store;
    let by_size = Retention { bytes_max: 2 << 20, age_ns_max: 0 };
    assert!(!writer.retain(store, superblock, (by_size, 0), end.next, false).unwrap().removed.is_empty());
    let oldest = read_segments(store, 1).unwrap().oldest_seq().unwrap();
    assert!(1 < oldest && oldest < end.next);
    let (store, memory) = journal.kill();
    let again = Journal::open(store, memory, settings());
    assert_eq!((again.end(), again.opened.removed_next), (end, oldest));
}

#[test]
fn the_next_segment_can_be_prepared_ahead() {
    let mut journal = grown(10);
    while !journal.opened.writer.prepare(&mut journal.store, 10_000).unwrap() {}
    assert_eq!(journal.store.len(FileName::Spare).unwrap(), 1 << 20);
    journal.grow(1000, 10, 100);
    journal.drain();
    assert_eq!(segment_files(&journal.store).len(), 2);
    assert_eq!(verify(&journal.store).unwrap().damage, []);
}

#[test]
fn what_a_killed_process_wrote_in_part_does_not_stay_behind_the_end_of_a_sealed_segment() {
    // Seed 8305: the group was offered again with more records, did not fit any more, and went to the next
    // segment. The ring does not end where the segment does.
    let settings = Settings { segment_len: settings().segment_len - (24 << 10), ..settings() };
    let (store, memory) = Journal::begun().kill();
    let mut journal = Journal::open(store, memory, settings);
    let place = |journal: &Journal| journal.opened.writer.place();
    while place(&journal).1 < settings.segment_len - (9 << 10) {
        journal.grow(1, 1, 900);
        journal.drain();
    }
    let (number, end) = place(&journal);
    let at = usize::try_from(end).unwrap();
    let next = messages(&journal.end(), 1, 900);
    journal.append(&next);
    journal.grow(11, 1, 900);
    let log = journal.end();
    let (mut store, memory) = journal.kill();
    let bytes = store.file_mut(FileName::Segment(number)).unwrap();
    bytes[at..at + 600].copy_from_slice(&next[..600]);
    let mut journal = Journal::open(store, memory, settings);
    assert_eq!(place(&journal), (number, end));
    journal.drain();
    let header = read_header(&journal.store, number + 1).unwrap().unwrap();
    assert_eq!((header.first_seq, journal.end()), (log.next - 12, log), "else this shows nothing");
    assert_eq!(verify(&journal.store).unwrap().damage, []);
}

#[test]
fn retention_keeps_what_a_checkpoint_of_another_log_does_not_replace() {
    // Seed 14130: a suffix replacement went behind the end of the only sealed segment, which then was
    // removed.
    let settings = Settings { segment_len: 64 << 10, ..settings() };
    let mut journal = Journal::begun_with(settings);
    while journal.opened.writer.number() < 2 {
        journal.grow(1, 1, 1_000);
        journal.drain();
    }
    let from = read_header(&journal.store, 2).unwrap().unwrap().first_seq - 2;
    let span = journal.opened.tail.find(from).unwrap();
    let header = *journal.opened.tail.frame(span).unwrap().header;
    let before = LogEnd { next: from, chain: header.chain, ..journal.end() };
    journal.tail().stage(from, epoch(2)).unwrap();
    let start = epoch_start(&before, epoch(2), 3);
    journal.tail().stage_frame(&FrameView::from_prefix(&start).unwrap()).unwrap();
    journal.tail().switch().unwrap();
    journal.drain();
    let retained = Retention { bytes_max: 1, age_ns_max: 0 };
    assert_eq!(journal.retain(retained, Seq::MAX, false).removed, Vec::<u64>::new());
    let recomputed = |journal: &Journal| {
        let inspected = inspected(&journal.store, None, settings);
        (inspected.end(), inspected.checkpoint().clone())
    };
    assert_eq!(recomputed(&journal).0, journal.end());
    // The segment that was sealed behind the replacement belongs to the present log.
    while journal.opened.writer.number() < 3 {
        journal.grow(1, 1, 1_000);
        journal.drain();
    }
    let (end, tables) = recomputed(&journal);
    assert_eq!(journal.retain(retained, Seq::MAX, false).removed, [1, 2]);
    assert_eq!((recomputed(&journal), journal.end()), ((end, tables), end));
}

#[test]
fn a_checkpoint_names_epochs_from_the_commit_on_however_many_there_were() {
    let (mut checkpoint, mut all) = (Checkpoint::default(), Vec::new());
    for round in 0..2_000 {
        let start = epoch_start(&checkpoint.end, epoch(round), 3);
        all.push(EpochBase { epoch: epoch(round).0, base: checkpoint.end.next });
        checkpoint.apply(&FrameView::from_prefix(&start).unwrap()).unwrap();
        let in_force = all.iter().rposition(|row| row.base < checkpoint.commit_next).unwrap_or(0);
        assert_eq!(checkpoint.epochs, all[in_force..]);
        assert!(checkpoint.epochs.len() as u64 <= 1 + checkpoint.end.next - checkpoint.commit_next);
        assert_eq!(Checkpoint::from_bytes(&checkpoint.to_bytes()), Ok(checkpoint.clone()));
    }
    assert_eq!(checkpoint.epochs.len(), 5, "three epochs are not committed, and the last one's start");
}
