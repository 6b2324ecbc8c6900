//! Packed segments read like plain ones, and a flipped bit in one is named.

use super::*;
use crate::journal::packed::{pack, read_segment};
use crate::journal::ports::Store;
use crate::journal::segment_index::{SegmentIndex, Written};
use crate::journal::verify;
use lockstep_core::proto::lineage::Lineage;

/// A log over several segments, of which all that may be are packed.
fn packed() -> (Journal, Vec<Frame>) {
    let mut journal = Journal::begun();
    journal.grow(4_000, 1, 1_000);
    journal.drain();
    let frames = journal.frames_in_segments(1);
    let before: u64 =
        segment_files(&journal.store).iter().map(|file| journal.store.len(*file).unwrap()).sum();
    let mut saved = 0;
    while let Some((_, plain, packed)) = journal.opened.writer.pack(&mut journal.store).unwrap() {
        saved += plain - packed;
    }
    let files = journal.store.list().unwrap();
    let left = files.iter().filter(|file| matches!(file, FileName::Segment(_))).count();
    assert!(files.contains(&FileName::Packed(1)) && left == 2, "{files:?}");
    assert!(saved > before / 2, "{saved} of {before} bytes are saved");
    (journal, frames)
}

#[test]
fn a_packed_journal_holds_the_same_log_and_opens_again() {
    let (journal, frames) = packed();
    assert_eq!(journal.frames_in_segments(1), frames);
    let seq = Header::peek(&frames[700]).unwrap().first_seq;
    assert_eq!(journal.frames_in_segments(seq), frames[700..]);
    let mut segment_index = SegmentIndex::default();
    let (number, offset) = journal.opened.writer.place();
    let to = Written {
        number,
        offset,
        commit_next: 1,
        lineage: Lineage::of(9),
        leads: false,
        ..Written::default()
    };
    segment_index.refresh(&journal.store, &to).unwrap();
    assert_eq!((segment_index.end(), segment_index.oldest_seq()), (journal.end(), 1));
    let spot = segment_index.locate(&journal.store, seq).unwrap().unwrap();
    let mut bytes = vec![0; frames[700].len()];
    let read = read_segment(&journal.store, spot.number, spot.offset, &mut bytes).unwrap();
    assert_eq!((read.unwrap(), &bytes[..]), (bytes.len(), &frames[700][..]));
    let (store, memory) = journal.stop();
    assert_eq!(verify(&store).unwrap().damage, []);
    let again = Journal::open(store, memory, settings());
    assert_eq!(again.frames_in_segments(1), frames);
}

#[test]
fn a_reboot_finds_the_whole_log_in_packed_segments() {
    let (journal, frames) = packed();
    let end = journal.end();
    let (store, _) = journal.stop();
    let rebooted = Settings { boot: [8, 8], ..settings() };
    let again = Journal::open(store, MemoryTail::new(RING_LEN), rebooted);
    assert_eq!((again.end(), again.frames_in_segments(1)), (end, frames));
}

#[test]
fn a_flipped_bit_in_a_packed_segment_is_named_with_its_file_and_nothing_else_is_lost() {
    let (journal, frames) = packed();
    let (store, _) = journal.stop();
    let len = store.len(FileName::Packed(1)).unwrap();
    for at in [len / 2, len - 9, 20, 50] {
        let mut store = store.clone();
        store.file_mut(FileName::Packed(1)).unwrap()[at as usize] ^= 0x10;
        let damage = verify(&store).unwrap().damage;
        let named = damage.iter().any(|damage| damage.file == "segments/0000000001.lz4");
        assert!(named && !damage.is_empty(), "byte {at}: {damage:?}");
        let mut reader = read_segments(&store, 1).unwrap();
        let mut read = 0;
        let found = loop {
            match reader.next().unwrap() {
                Some(Ok(frame)) => {
                    assert_eq!(frame.bytes, &frames[read][..]);
                    read += 1;
                }
                Some(Err(damage)) => break Some(damage),
                None => break None,
            }
        };
        // Only `verify` reads the bytes behind the last record of a segment.
        let named = found.as_ref().is_some_and(|found| found.file == "segments/0000000001.lz4");
        assert!(named || read == frames.len(), "byte {at}: {found:?} behind {read} frames");
    }
}

/// LZ4 has many encodings: where bytes repeat, a flipped bit may unpack to the same bytes as before.
#[test]
fn any_flipped_bit_in_a_packed_segment_is_found_though_it_unpacks_to_the_same() {
    let mut store = MemoryStore::default();
    let segment: Vec<u8> = (0..4_096).map(|at| b"order 7 ack "[at % 12]).collect();
    store.write_at(FileName::Segment(1), 0, &segment).unwrap();
    let (_, len) = pack(&mut store, 1).unwrap().unwrap();
    for bit in 0..len as usize * 8 {
        let mut store = store.clone();
        store.file_mut(FileName::Packed(1)).unwrap()[bit / 8] ^= 1 << (bit % 8);
        let read = read_segment(&store, 1, 0, &mut vec![0; segment.len()]).unwrap();
        assert!(read.is_err_and(|damage| damage.file == "segments/0000000001.lz4"), "bit {bit}");
    }
}

#[test]
fn retention_removes_packed_segments_like_plain_ones() {
    let (mut journal, _) = packed();
    let retained = crate::journal::Retention { bytes_max: 1 << 20, age_ns_max: 0 };
    let gone = journal.retain(retained, Seq::MAX, false).removed;
    assert!(gone.contains(&1));
    let files = journal.store.list().unwrap();
    assert!(!files.contains(&FileName::Packed(1)), "{files:?}");
    assert!(!journal.frames_in_segments(1).is_empty());
}
