//! One writer and some readers in one memory; the same tests run under miri.

use super::*;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

type Memory = Arc<[AtomicU64]>;

const GROUP: u8 = 1;
const OTHER: u8 = 2;
/// Longest datagram here.
const LEN_MAX: usize = 200;

/// The smallest ring for [`LEN_MAX`].
fn memory() -> Memory {
    (0..ring_words::<0>(0, LEN_MAX)).map(|_| AtomicU64::new(0)).collect()
}

fn writer(memory: &Memory) -> Writer<Memory, 0> {
    Writer::new(memory.clone())
}

/// The datagrams that one receive lends.
fn read(reader: &mut Reader<Memory, 0>, inbox: &mut ShmInbox) -> Vec<Vec<u8>> {
    inbox.clear();
    reader.read(|kind, []| kind == GROUP, inbox);
    (0..inbox.len()).map(|index| inbox.datagram(index).to_vec()).collect()
}

/// Bytes that identify their datagram, and show where they were cut.
fn datagram(number: usize, len: usize) -> Vec<u8> {
    (0..len).map(|at| (number * 31 + at) as u8).collect()
}

/// Laps of the smallest ring that a test walks.
const LAPS: usize = if cfg!(miri) { 2 } else { 60 };

#[test]
fn datagrams_of_all_sizes_arrive_whole_at_every_place_of_the_ring_and_from_parts_cut_anywhere() {
    let memory = memory();
    let (mut writer, mut inbox) = (writer(&memory), ShmInbox::new(4, LEN_MAX));
    let mut reader = Reader::of_all(memory.clone());
    let lines = memory.len() / 8;
    for number in 0..LAPS * lines / 3 {
        let bytes = datagram(number, number * 89 % (LEN_MAX + 1));
        let (first, second) = bytes.split_at(number * 13 % (bytes.len() + 1));
        assert!(writer.push(GROUP, [], [first, second]));
        assert_eq!(read(&mut reader, &mut inbox), [bytes]);
        assert!(read(&mut reader, &mut inbox).is_empty(), "once");
    }
    assert!(writer.next > (LAPS as u64 / 2) * reader.ring.mask);
    assert_eq!((inbox.lost, inbox.truncated, inbox.broken), (0, 0, 0));
}

#[test]
fn a_longer_datagram_than_the_ring_was_made_for_is_not_taken_and_one_longer_than_ours_is_not_lent() {
    let memory = memory();
    let (mut writer, mut inbox) = (writer(&memory), ShmInbox::new(4, 100));
    let mut reader = Reader::of_all(memory);
    assert!(!writer.push(GROUP, [], [&[0; 500], &[0; 500]]));
    assert!(!writer.push(GROUP, [], [&vec![0; 1 << 16], &[]]));
    for len in [100, 101, 99] {
        assert!(writer.push(GROUP, [], [&datagram(1, len), &[]]));
    }
    assert_eq!(read(&mut reader, &mut inbox), [datagram(1, 100), datagram(1, 99)]);
    assert_eq!((inbox.truncated, inbox.lost), (1, 0));
}

#[test]
fn what_a_receive_has_no_room_for_waits_for_the_next_and_what_is_not_wanted_takes_none() {
    let memory = memory();
    let (mut writer, mut inbox) = (writer(&memory), ShmInbox::new(2, LEN_MAX));
    let mut reader = Reader::of_all(memory);
    for number in 0..10 {
        let kind = if number % 2 == 0 { GROUP } else { OTHER };
        assert!(writer.push(kind, [], [&datagram(number, 20), &[]]));
    }
    for pair in [[0, 2], [4, 6]] {
        assert_eq!(read(&mut reader, &mut inbox), pair.map(|number| datagram(number, 20)));
    }
    assert_eq!(read(&mut reader, &mut inbox), [datagram(8, 20)]);
    assert!(read(&mut reader, &mut inbox).is_empty());
}

#[test]
fn a_slow_reader_learns_how_many_it_lost_and_reads_all_later_ones_in_order() {
    let lines = memory().len() / 8;
    for pushed in [lines / 2, lines - 1, lines, lines + 1, 2 * lines, 5 * lines + 7] {
        let memory = memory();
        let (mut writer, mut inbox) = (writer(&memory), ShmInbox::new(lines, LEN_MAX));
        let mut reader = Reader::of_all(memory);
        for number in 0..pushed {
            assert!(writer.push(GROUP, [], [&datagram(number, 50), &[]]));
        }
        reader.look();
        let arrived = read(&mut reader, &mut inbox);
        assert_eq!(inbox.lost as usize + arrived.len(), pushed);
        let newest: Vec<_> = (inbox.lost as usize..pushed).map(|number| datagram(number, 50)).collect();
        assert_eq!(arrived, newest);
        assert!(arrived.len() > lines / 3, "half a ring is still there: {}", arrived.len());
        assert_eq!(inbox.lost == 0, pushed < lines - 15, "{pushed} of {lines} lines, less one for each pad");
    }
}

#[test]
fn an_overtaken_reader_finds_out_whatever_the_bytes_at_its_place_look_like() {
    let head = u64::from(GROUP) | 60 << 8;
    for look in [0, head, u64::from(PAD), u64::MAX] {
        let memory = memory();
        let (mut writer, mut inbox) = (writer(&memory), ShmInbox::new(512, LEN_MAX));
        let mut reader = Reader::of_all(memory.clone());
        let bytes = look.to_ne_bytes().repeat(LEN_MAX / 8);
        for _ in 0..memory.len() / 8 {
            assert!(writer.push(GROUP, [], [&bytes, &[]]));
        }
        for _ in 0..2 {
            reader.look();
            let arrived = read(&mut reader, &mut inbox);
            assert!(arrived.iter().all(|arrived| *arrived == bytes));
        }
        assert_eq!(inbox.broken, 0);
        assert!(writer.push(GROUP, [], [b"next", &[]]));
        assert_eq!(read(&mut reader, &mut inbox), [b"next"]);
        assert!(inbox.lost > 0);
    }
}

#[test]
fn a_writer_that_dies_within_a_record_leaves_nothing_that_is_taken_for_one() {
    let memory = memory();
    let (mut writer, mut inbox) = (writer(&memory), ShmInbox::new(4, LEN_MAX));
    let mut reader = Reader::of_all(memory.clone());
    // Bytes that look like heads, in every word where a later record may begin.
    let heads = (u64::from(GROUP) | 8 << 8).to_ne_bytes().repeat(LEN_MAX / 8);
    for _ in 0..memory.len() / 8 {
        assert!(writer.push(GROUP, [], [&heads, &[]]));
        assert_eq!(read(&mut reader, &mut inbox), [&heads[..]]);
        write(&writer.ring.from(writer.next)[1..], [&heads[..8], &[]]);
        assert!(read(&mut reader, &mut inbox).is_empty(), "no head, no record");
    }
    writer.turn_over();
    assert!(read(&mut reader, &mut inbox).is_empty(), "the block was claimed, and no more");
    assert_eq!(inbox.broken, 0);
}

#[test]
fn a_reader_that_comes_later_hears_what_is_published_from_then_on() {
    let memory = memory();
    let (mut writer, mut inbox) = (writer(&memory), ShmInbox::new(4, LEN_MAX));
    let steps = if cfg!(miri) { 200 } else { 2000 };
    for number in 0..steps {
        let mut reader = Reader::of_new(memory.clone());
        assert!(read(&mut reader, &mut inbox).is_empty());
        let bytes = datagram(number, number * 89 % (LEN_MAX + 1));
        assert!(writer.push(GROUP, [], [&bytes, &[]]));
        assert_eq!(read(&mut reader, &mut inbox), [bytes]);
        assert_eq!(inbox.lost, 0, "what it did not ask for it did not lose");
    }
}

#[test]
fn readers_beside_a_writer_that_never_waits_read_no_torn_datagram_and_count_every_lost_one() {
    let memory = memory();
    let pushed = if cfg!(miri) { 400 } else { 300_000 };
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            let (memory, done) = (memory.clone(), &done);
            scope.spawn(move || {
                let (mut reader, mut inbox) = (Reader::of_all(memory), ShmInbox::new(8, LEN_MAX));
                let (mut arrived, mut expected) = (0, 0);
                loop {
                    let is_last = done.load(Ordering::Acquire);
                    reader.look();
                    let datagrams = read(&mut reader, &mut inbox);
                    for bytes in &datagrams {
                        let number = u32::from_le_bytes(bytes[..4].try_into().unwrap()) as usize;
                        assert!(number >= expected, "{number} after {expected}");
                        assert_eq!(bytes[4..], datagram(number, number * 89 % (LEN_MAX - 3)), "torn");
                        (arrived, expected) = (arrived + 1, number + 1);
                    }
                    if is_last && datagrams.is_empty() {
                        break;
                    }
                }
                assert_eq!(arrived + inbox.lost, pushed as u64);
                assert_eq!(inbox.broken, 0);
            });
        }
        let mut writer = writer(&memory);
        for number in 0..pushed {
            let bytes = datagram(number, number * 89 % (LEN_MAX - 3));
            assert!(writer.push(GROUP, [], [&(number as u32).to_le_bytes(), &bytes]));
            if number % 64 == 0 {
                std::thread::yield_now();
            }
        }
        done.store(true, Ordering::Release);
    });
}

#[test]
fn a_ring_that_makes_no_sense_ends_no_reader_and_keeps_none() {
    let mut random = 1_u64;
    let mut draw = || {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        random ^ random >> 29
    };
    for round in 0..if cfg!(miri) { 20 } else { 2000 } {
        let memory = memory();
        for word in memory.iter() {
            let sparse = if draw() % 4 == 0 { draw() } else { draw() & 0xff_00ff };
            word.store(if round % 3 == 0 { u64::from(PAD) } else { sparse }, Ordering::Relaxed);
        }
        let claimed = [0, 1, 64, memory.len() as u64 * 3, u64::MAX][round % 5];
        memory[0].store(claimed, Ordering::Relaxed);
        let mut inbox = ShmInbox::new(8, LEN_MAX);
        for mut reader in [Reader::of_all(memory.clone()), Reader::of_new(memory.clone())] {
            for _ in 0..10 {
                reader.look();
                read(&mut reader, &mut inbox);
            }
        }
    }
}
