use super::*;
use crate::journal::{AppendError, RingSpan};
use lockstep_core::proto::log::LogMismatch;

#[test]
fn a_leader_builds_in_the_room_and_what_it_keeps_is_the_log() {
    let mut journal = Journal::begun();
    let end = journal.end();
    let bytes = messages(&end, 3, 64);
    journal.tail().room().unwrap()[..bytes.len()].copy_from_slice(&bytes);
    let span = journal.tail().pin(&Header::peek(&bytes).unwrap());
    assert_eq!(*journal.opened.tail.bytes(span), *bytes);
    assert_eq!(journal.end().next, end.next + 3);
    assert_eq!(journal.end(), end.follow(&FrameView::from_prefix(&bytes).unwrap()).unwrap());
    for seq in end.next..end.next + 3 {
        assert_eq!(journal.opened.tail.find(seq), Some(span), "each seq of a frame finds the frame");
    }
    journal.tail().invariants();
}

#[test]
fn an_epoch_start_is_kept_like_any_frame_and_a_new_epoch_without_one_panics() {
    let mut journal = Journal::begun();
    let start = epoch_start(&journal.end(), epoch(2), 3);
    journal.tail().room().unwrap()[..start.len()].copy_from_slice(&start);
    journal.tail().pin(&Header::peek(&start).unwrap());
    assert_eq!(journal.end().epoch, epoch(2));

    let end = journal.end();
    let wrong = frame(&end, epoch(3), &[(entry(EntryKind::Message, 1, 9), vec![1])]);
    journal.tail().room().unwrap()[..wrong.len()].copy_from_slice(&wrong);
    let retained = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        journal.tail().pin(&Header::peek(&wrong).unwrap());
    }));
    assert!(retained.is_err());
}

#[test]
#[should_panic(expected = "does not follow a log that ends at 4")]
fn a_leader_that_stamps_a_seq_twice_is_stopped() {
    let mut journal = Journal::begun();
    let bytes = messages(&LogEnd { next: 3, ..journal.end() }, 1, 8);
    journal.tail().room().unwrap()[..bytes.len()].copy_from_slice(&bytes);
    journal.tail().pin(&Header::peek(&bytes).unwrap());
}

#[test]
fn a_standby_refuses_what_does_not_follow_and_what_is_too_long() {
    let mut journal = Journal::begun();
    let end = journal.end();
    let ahead = messages(&LogEnd { next: 9, ..end }, 1, 8);
    let refused = journal.tail().append(&FrameView::from_prefix(&ahead).unwrap());
    assert_eq!(refused, Err(AppendError::Misfit(LogMismatch::Ahead)));
    let mut long = vec![0; 4096];
    let mut open = OpenFrame::default();
    assert!(open.push(&mut long, entry(EntryKind::Message, 1, 4), &[0; 2000]));
    let header =
        Header { first_seq: end.next, chain: end.chain, epoch: end.epoch.0, ..Header::new(Kind::Frame) };
    open.close(&mut long, &Keyring::none(CLUSTER), header, 2200);
    let refused = journal.tail().append(&FrameView::from_prefix(&long).unwrap());
    assert_eq!(refused, Err(AppendError::TooLong { len: 2200, max: LEN_MAX }));
    assert_eq!(journal.end(), end);
}

#[test]
fn the_ring_goes_round_and_every_frame_in_it_is_found() {
    for (per_frame, len) in [(1, 0), (1, 100), (3, 333), (10, 64), (1, 1200)] {
        let mut journal = Journal::begun();
        let mut all: Vec<Frame> = journal.frames_in_tail();
        for round in 0..400 {
            let bytes = messages(&journal.end(), per_frame, len);
            if round % 7 == 0 {
                journal.drain();
            }
            journal.append(&bytes);
            all.push(bytes);
            if let Ok(room) = journal.tail().room() {
                room.fill(0xEE); // An open frame that is being built disturbs none that is found.
            }
            let retained = journal.frames_in_tail();
            assert_eq!(
                retained,
                all[all.len() - retained.len()..],
                "the newest frames, in order, and all of them"
            );
        }
        let retained: usize = journal.frames_in_tail().iter().map(|b| b.len()).sum();
        let written: usize = all.iter().map(|b| b.len()).sum();
        assert!(retained >= written.min(RING_LEN * 3 / 4), "{retained} of {written} bytes are kept");
        for bytes in journal.frames_in_tail() {
            let header = Header::peek(&bytes).unwrap();
            for seq in header.first_seq..header.next_seq() {
                let span = journal.opened.tail.find(seq).unwrap();
                assert_eq!(*journal.opened.tail.bytes(span), *bytes);
            }
        }
        let tail = &journal.opened.tail;
        assert_eq!(tail.find(tail.end().next), None);
        assert_eq!(tail.find(0), None);
    }
}

#[test]
fn a_full_tail_whose_segments_lag_refuses_and_never_overwrites() {
    let mut journal = Journal::begun();
    let mut retained = journal.frames_in_tail();
    let full = loop {
        let bytes = messages(&journal.end(), 5, 100);
        match journal.tail().append(&FrameView::from_prefix(&bytes).unwrap()) {
            Ok(_) => retained.push(bytes),
            Err(AppendError::Full(full)) => break full,
            Err(other) => panic!("{other:?}"),
        }
        assert!(retained.len() < 1000);
    };
    assert!(full.lag_bytes > RING_LEN as u64 / 2, "{full}");
    assert!(journal.tail().room().is_err(), "the leader is refused as well");
    assert!(journal.tail().stage(5, epoch(2)).is_ok() || full.lag_bytes > 0);
    journal.drain();
    assert_eq!(journal.frames_in_segments(1), retained, "every byte went to the segments as it was stored");
    let bytes = messages(&journal.end(), 5, 100);
    journal.append(&bytes);
}

#[test]
fn a_node_that_keeps_only_a_ring_is_never_full_when_it_frees_what_it_published() {
    let label = *Journal::begun().opened.tail.label();
    let mut tail = Tail::blank(MemoryTail::new(RING_LEN), label, LogEnd::BLANK).unwrap();
    for _ in 0..500 {
        let end = tail.end();
        let bytes = if end.next == 1 { epoch_start(&end, epoch(0), 1) } else { messages(&end, 2, 100) };
        tail.append(&FrameView::from_prefix(&bytes).unwrap()).unwrap();
        tail.free_published();
        tail.invariants();
    }
    assert!(tail.oldest_seq() > 1 && tail.find(tail.oldest_seq()).is_some());
}

#[test]
fn what_memory_lost_is_named_on_reading() {
    let mut journal = Journal::begun();
    journal.grow(5, 2, 64);
    let span = journal.opened.tail.find(6).unwrap();
    let at = span.pos as usize + 120;
    journal.tail().memory_mut().ring_mut()[at] ^= 1;
    let damage = journal.opened.tail.frame(span).unwrap_err();
    assert_eq!((damage.file.as_str(), damage.offset, damage.seq), ("tail", span.pos, 6));
    assert_eq!(damage.to_string(), format!("tail is damaged at byte {} (seq 6): checksum", span.pos));
}

#[test]
fn an_old_span_is_never_taken_for_another_frame() {
    let mut journal = Journal::begun();
    let old: RingSpan = journal.opened.tail.find(1).unwrap();
    journal.grow(300, 3, 333);
    assert!(journal.opened.tail.oldest_seq() > 1);
    assert_eq!(journal.opened.tail.find(1), None);
    let seen = journal.opened.tail.frame(old).map(|frame| frame.header.first_seq);
    assert_ne!(seen, Ok(1));
}

#[test]
fn a_tail_in_memory_is_a_value() {
    use std::hash::{BuildHasher, RandomState};
    let mut journal = Journal::begun();
    let before = journal.opened.tail.clone();
    assert_eq!(before, journal.opened.tail);
    let state = RandomState::new();
    assert_eq!(state.hash_one(&before), state.hash_one(&journal.opened.tail));
    journal.grow(1, 1, 8);
    assert_ne!(before, journal.opened.tail);
}

#[test]
fn writing_and_reading_the_tail_allocates_nothing() {
    let mut journal = Journal::begun();
    let mut frames = Vec::new();
    let mut end = journal.end();
    for _ in 0..20 {
        frames.push(messages(&end, 2, 64));
        end = end.follow(&FrameView::from_prefix(frames.last().unwrap()).unwrap()).unwrap();
    }
    let start = epoch_start(&end, epoch(2), 3);
    let info = allocation_counter::measure(|| {
        let tail = journal.tail();
        for bytes in &frames[..10] {
            tail.append(&FrameView::from_prefix(bytes).unwrap()).unwrap();
        }
        for bytes in &frames[10..] {
            tail.room().unwrap()[..bytes.len()].copy_from_slice(bytes);
            tail.pin(&Header::peek(bytes).unwrap());
        }
        tail.stage(tail.end().next, epoch(2)).unwrap();
        tail.stage_frame(&FrameView::from_prefix(&start).unwrap()).unwrap();
        tail.switch().unwrap();
        let mut span = tail.find(1);
        while let Some(here) = span {
            assert!(tail.frame(here).is_ok());
            span = tail.after(here);
        }
    });
    assert_eq!(journal.end().epoch, epoch(2));
    assert_eq!(info.count_total, 0, "allocations");
}

#[test]
fn a_record_that_ends_exactly_where_the_ring_does_is_the_last_of_its_lap() {
    let mut store = MemoryStore::default();
    format(&mut store, CLUSTER, IDENTITY, BOOT).unwrap();
    // 256 frames of the greatest length fill 89 blocks without a byte left.
    assert_eq!(LEN_MAX * 256, 89 * 4096);
    let mut journal = Journal::open(store, MemoryTail::new(89 * 4096), settings());
    let genesis = epoch_start(&LogEnd::BLANK, epoch(0), 1);
    let padded = LEN_MAX - HEADER_LEN;
    let mut log: Vec<Frame> = Vec::new();
    for round in 0..700 {
        let bytes = if round == 0 {
            let mut memory = genesis.to_vec();
            memory.resize(HEADER_LEN + padded, 0);
            let header = Header::peek(&genesis).unwrap();
            seal(&mut memory, header);
            Frame(memory)
        } else {
            messages(&journal.end(), 1, padded - ENTRY_HEADER_LEN)
        };
        assert_eq!(bytes.len(), LEN_MAX);
        if round % 100 == 99 {
            journal.drain();
        }
        journal.append(&bytes);
        log.push(bytes);
        let retained = journal.frames_in_tail();
        assert_eq!(retained, log[log.len() - retained.len()..]);
    }
    let (store, memory) = journal.kill();
    let mut journal = Journal::open(store, memory, settings());
    journal.drain();
    assert_eq!(journal.frames_in_segments(1), log);
}
