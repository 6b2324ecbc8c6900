use super::*;
use crate::journal::gone::ExpectedSegments;
use crate::journal::ports::{Store, StoreFault};
use crate::journal::read::numbers;
use crate::journal::superblock::Superblock;
use crate::journal::{
    Damage, Founder, JournalOpenError, found, inspect, stored_log, verify, verify_segments,
};
use lockstep_core::proto::commit::Durability;
use lockstep_core::proto::window::Window;
use lockstep_wire::{Identity, Keyring, MemberBody};
use std::net::{Ipv4Addr, SocketAddrV4};

fn rebooted() -> Settings {
    Settings { boot: [8, 8], ..settings() }
}

fn refusal(store: &mut MemoryStore, memory: MemoryTail, settings: Settings) -> JournalOpenError {
    open(store, memory, settings).map(|_| ()).unwrap_err()
}

#[test]
fn a_fresh_journal_is_blank_and_complete() {
    let journal = Journal::fresh();
    assert_eq!(journal.end(), LogEnd::BLANK);
    assert_eq!(journal.opened.tail.oldest_seq(), 1);
}

#[test]
fn killed_in_the_same_boot_a_replica_knows_everything_that_it_published() {
    let mut journal = Journal::begun();
    journal.grow(20, 3, 100);
    for drained in [false, true] {
        if drained {
            journal.drain();
            journal.grow(5, 3, 100);
        }
        journal.tail().promise(epoch(7));
        let (frames, end) = (journal.frames_in_tail(), journal.end());
        let (store, memory) = journal.kill();
        journal = Journal::open(store, memory, settings());
        assert_eq!((journal.frames_in_tail(), journal.end()), (frames, end));
        assert_eq!(journal.opened.checkpoint.end, end);
        assert_eq!(journal.opened.checkpoint.publishers[&1].last, end.next - 1);
        assert_eq!(journal.opened.superblock.promised, epoch(7));
        assert_eq!(journal.opened.superblock.history, 9);
        journal.tail().invariants();
    }
    journal.grow(300, 3, 100);
    journal.drain();
    assert_eq!(end_of(&journal.frames_in_segments(1)), journal.end());
}

#[test]
fn killed_again_and_again_while_the_ring_goes_round_the_window_stays() {
    let mut journal = Journal::begun();
    let mut log = journal.frames_in_tail();
    for round in 0..60u64 {
        for _ in 0..1 + round % 13 * 7 {
            let bytes = messages(&journal.end(), 1 + round % 3, 50 * (round as usize % 9));
            if journal.tail().append(&FrameView::from_prefix(&bytes).unwrap()).is_err() {
                journal.drain();
                journal.append(&bytes);
            }
            log.push(bytes);
        }
        if round % 4 == 0 {
            journal.drain();
        }
        let before = journal.frames_in_tail();
        let (store, memory) = journal.kill();
        journal = Journal::open(store, memory, settings());
        let retained = journal.frames_in_tail();
        assert_eq!(retained, log[log.len() - retained.len()..]);
        assert!(
            retained.len() + 45 >= before.len(),
            "{} of {} frames in the window",
            retained.len(),
            before.len()
        );
    }
    journal.drain();
    assert_eq!(journal.frames_in_segments(1), log);
}

#[test]
fn after_a_clean_stop_and_a_reboot_a_replica_is_complete_and_its_tail_filled_again() {
    let mut journal = Journal::begun();
    journal.grow(500, 3, 100);
    let (frames, end) = (journal.frames_in_tail(), journal.end());
    let (store, _) = journal.stop();
    let journal = Journal::open(store, MemoryTail::new(RING_LEN), rebooted());
    assert_eq!(journal.end(), end);
    let retained = journal.frames_in_tail();
    let both = retained.len().min(frames.len());
    assert!(both + 60 >= frames.len(), "{} of {} frames", retained.len(), frames.len());
    assert_eq!(retained[retained.len() - both..], frames[frames.len() - both..]);
    assert!(!journal.opened.superblock.run.clean, "said on the device before the first word");

    // Killed at once, and once more with something new: the refilled window is still there.
    let (store, memory) = journal.kill();
    let mut journal = Journal::open(store, memory, rebooted());
    assert_eq!(journal.frames_in_tail(), retained);
    journal.grow(3, 1, 50);
    let longer = journal.frames_in_tail();
    let (store, memory) = journal.kill();
    let mut journal = Journal::open(store, memory, rebooted());
    assert_eq!(journal.frames_in_tail(), longer);
    journal.drain();
    assert_eq!(
        end_of(&journal.frames_in_segments(1)),
        journal.end(),
        "a new segment goes on behind the old one"
    );
    assert_eq!(segment_files(&journal.store).len(), 2);
}

/// Entries that are not committed are repaired from the ring alone: they have to be there behind each start.
#[test]
fn a_ring_that_was_filled_with_few_frames_has_them_behind_each_further_start() {
    let mut journal = Journal::begun();
    journal.grow(1, 1, 20);
    let (store, _) = journal.stop();
    let mut journal = Journal::open(store, MemoryTail::new(RING_LEN), rebooted());
    let mut log = journal.frames_in_tail();
    let (filled, ring) = (log.len(), journal.tail().label().generation);
    for start in 0..4 {
        let (store, memory) = journal.kill();
        journal = Journal::open(store, memory, rebooted());
        assert_eq!(journal.frames_in_tail(), log, "start {start}");
        assert_eq!(journal.tail().label().generation, ring, "start {start}: it is not made anew");
        journal.grow(1, 1, 20);
        log.push(journal.frames_in_tail().pop().expect("a frame"));
        if start == 2 {
            journal.drain();
        }
    }
    assert_eq!((log.len(), journal.frames_in_tail()), (filled + 4, log));
}

/// The segments' records were read there, and the ring's own were taken for whole: a changed number of
/// entries made one record stand for another (seed 81205837).
#[test]
fn a_record_that_changed_in_the_ring_and_that_segments_hold_is_never_taken_for_another() {
    let mut journal = Journal::begun();
    journal.grow(40, 2, 60);
    journal.drain();
    let (whole, written) = (journal.frames_in_tail(), journal.opened.tail.grown_bytes());
    let (store, memory) = journal.kill();
    for bit in (0..written * 8).step_by(97) {
        let mut memory = memory.clone();
        memory.ring_mut()[(bit / 8) as usize] ^= 1 << (bit % 8);
        let mut journal = Journal::open(store.clone(), memory, settings());
        journal.grow(1, 1, 20);
        let frames = journal.frames_in_tail();
        assert_eq!(frames[..frames.len() - 1], whole[whole.len() + 1 - frames.len()..], "bit {bit}");
        assert!(frames.len() > 30, "bit {bit}: the ring is filled again, {} frames", frames.len());
    }
}

#[test]
fn after_a_reboot_without_a_clean_stop_a_replica_knows_that_it_may_have_forgotten() {
    let mut journal = Journal::begun();
    journal.grow(50, 3, 100);
    journal.drain();
    let end = journal.end();
    journal.grow(5, 3, 100);
    let (mut store, memory) = journal.reboot();
    let seen = inspected(&store, Some(&memory), rebooted());
    assert_eq!(seen.end(), end, "what the segments hold");
    assert!(!is_complete(&seen));
    let before = store.clone();
    let refused = refusal(&mut store, memory, rebooted());
    assert!(refused.to_string().contains("must not vote under its old identity"), "{refused}");
    assert!(store == before, "and who is refused changes nothing");

    // In `power` the segments hold everything that was acknowledged.
    let mut journal = Journal::begun_with(Settings { power: true, ..settings() });
    journal.grow(50, 3, 100);
    journal.drain();
    let (store, memory) = journal.reboot();
    assert!(is_complete(&inspected(&store, Some(&memory), rebooted())));
}

#[test]
fn a_journal_cut_at_every_offset_of_its_tail_recovers_a_prefix() {
    let mut journal = Journal::begun_with(Settings { power: true, ..settings() });
    for _ in 0..5 {
        journal.grow(2, 2, 100);
        journal.drain();
    }
    let all = journal.frames_in_segments(1);
    let file = segment_files(&journal.store)[0];
    let used: usize = 4096 + all.iter().map(|b| b.len()).sum::<usize>();
    let mut lengths = std::collections::BTreeSet::new();
    for cut in 4096..=used {
        let mut store = journal.store.clone();
        store.file_mut(file).unwrap().truncate(cut);
        let left = Journal::open(store, MemoryTail::new(RING_LEN), rebooted());
        let retained = left.frames_in_segments(1);
        assert_eq!(retained, all[..retained.len()], "cut at {cut}");
        assert_eq!(left.end(), end_of(&retained), "cut at {cut}");
        assert!(retained.iter().map(|b| b.len()).sum::<usize>() + 4096 <= cut);
        assert_eq!(left.frames_in_tail(), retained);
        lengths.insert(retained.len());
    }
    assert_eq!(lengths.len(), all.len() + 1, "every prefix was left by some cut");
}

#[test]
fn every_refusal_says_what_to_do() {
    let mut store = MemoryStore::default();
    let ring = || MemoryTail::new(RING_LEN);
    assert!(refusal(&mut store, ring(), settings()).to_string().contains("`format` creates one"));
    format(&mut store, CLUSTER, IDENTITY, BOOT).unwrap();
    let again = format(&mut store, CLUSTER, IDENTITY, BOOT).unwrap_err();
    assert_eq!(again.to_string(), "the directory is not empty (superblock): `format` never overwrites");
    let other = refusal(&mut store, ring(), Settings { cluster: 0xC2, ..settings() });
    assert_eq!(
        other.to_string(),
        "a journal of cluster 0xc1, this is cluster 0xc2: give the right directory"
    );
    let other = refusal(&mut store, ring(), Settings { replica: 3, ..settings() });
    assert_eq!(other.to_string(), "the journal of replica 2, this is replica 3: give each its own");
    let small = refusal(&mut store, MemoryTail::new(4096), settings());
    assert!(small.to_string().starts_with("tail of 4096 bytes: take a multiple of 4096, at least"));
    let odd = refusal(&mut store, ring(), Settings { frame_len_max: 1001, ..settings() });
    assert!(odd.to_string().starts_with("largest frame of 1001 bytes"));

    let mut full = MemoryStore::default();
    full.set_capacity_bytes(1000);
    let JournalOpenError::Store(error) = format(&mut full, CLUSTER, IDENTITY, BOOT).unwrap_err() else {
        panic!()
    };
    assert_eq!(error.fault, StoreFault::NoSpace);
    assert!(error.to_string().contains("free some space"));
}

#[test]
fn a_ring_of_another_node_or_another_size_is_refused() {
    let mut journal = Journal::begun();
    journal.grow(3, 1, 8);
    let (mut store, memory) = journal.kill();
    let settings_now = Settings { frame_len_max: frame_len_max(9000), ..settings() };
    let refused = refusal(&mut store, MemoryTail::clone(&memory), settings_now);
    assert!(refused.to_string().contains("start with the old size once"), "{refused}");
    let smaller = refusal(&mut store, memory.clone(), Settings { frame_len_max: 1400, ..settings() });
    assert!(smaller.to_string().contains("start with the old size once"), "{smaller}");

    let mut other = MemoryStore::default();
    format(&mut other, CLUSTER, Identity { replica: 3, incarnation: 1 }, BOOT).unwrap();
    let refused = refusal(&mut other, memory.clone(), Settings { replica: 3, ..settings() });
    assert!(refused.to_string().contains("the tail file is that of replica 2"), "{refused}");

    // The same replica, formatted anew: its former ring does not matter to it.
    let mut anew = MemoryStore::default();
    format(&mut anew, CLUSTER, Identity { incarnation: 0x78, ..IDENTITY }, BOOT).unwrap();
    assert_eq!(Journal::open(anew, memory.clone(), settings()).end(), LogEnd::BLANK);

    // After a clean stop other sizes are accepted.
    let journal = Journal::open(store, memory, settings());
    let end = journal.end();
    let (store, memory) = journal.stop();
    let journal = Journal::open(store, memory, Settings { frame_len_max: 1400, ..settings() });
    assert_eq!(journal.end(), end);
}

#[test]
fn a_superblock_of_another_version_is_refused_by_name() {
    let (mut store, memory) = Journal::begun().stop();
    let bytes = store.file_mut(FileName::Superblock).unwrap();
    for copy in bytes.chunks_exact_mut(4096) {
        copy[8..12].copy_from_slice(&77u32.to_le_bytes());
        let checksum = crate::journal::layout::checksum_but_12(copy);
        copy[12..16].copy_from_slice(&checksum.to_le_bytes());
    }
    let refused = refusal(&mut store, memory, settings());
    assert_eq!(refused, JournalOpenError::Version(77));
    assert!(refused.to_string().contains("run the one that wrote it"));
}

#[test]
fn a_torn_superblock_leaves_the_other_copy() {
    let mut journal = Journal::begun();
    journal.grow(3, 1, 8);
    let end = journal.end();
    let (store, memory) = journal.kill();
    for copy in 0..2 {
        let (mut store, memory) = (store.clone(), memory.clone());
        store.file_mut(FileName::Superblock).unwrap()[copy * 4096 + 20] ^= 4;
        let left = inspected(&store, Some(&memory), settings());
        assert_eq!(
            (left.end(), is_complete(&left)),
            (end, true),
            "the ring has what the block would have said"
        );
        let named = Damage::new("superblock", copy as u64 * 4096, 0, "checksum");
        assert!(left.damage().is_empty() && left.findings()[0].starts_with(&named.to_string()), "{left:?}");
        let left = inspected(&store, None, rebooted());
        assert!(!is_complete(&left), "without the ring a promise may be forgotten");
        assert_eq!(left.damage(), [named]);
    }
}

#[test]
fn a_ring_that_exchanges_have_filled_is_made_anew_from_the_segments_and_reaches_the_commit() {
    let mut journal = Journal::begun();
    journal.grow(8, 1, 30);
    let (end, promised) = (journal.end(), epoch(500));
    let log = journal.frames_in_tail();
    let before_commit = journal.opened.tail.find(end.next - 5).is_some();
    // One candidate after the other brings a suffix, and none of them wins.
    for round in 2..200 {
        journal.tail().stage(end.next - 1, epoch(round)).unwrap();
        let base = journal.opened.tail.staged_end().unwrap();
        let bytes = messages(&base, 1, 900);
        journal.tail().stage_frame(&FrameView::from_prefix(&bytes).unwrap()).unwrap();
        journal.drain();
    }
    journal.tail().promise(promised);
    assert!(before_commit && journal.opened.tail.find(end.next - 5).is_none(), "it has left the ring");
    let (store, memory) = journal.kill();
    let mut journal = Journal::open(store, memory, settings());
    assert_eq!((journal.end(), journal.frames_in_tail()), (end, log));
    assert_eq!(journal.opened.superblock.promised, promised);
    journal.tail().stage(end.next - 4, epoch(501)).unwrap();
}

#[test]
fn a_new_ring_reaches_the_commit_though_the_newest_segment_begins_behind_it() {
    // Seed 651094067: the newest segment held the log from the commit on, and otherwise staged frames that
    // never won.
    let mut journal = Journal::begun();
    while segment_files(&journal.store).len() < 2 {
        journal.grow(1, 1, 900);
        journal.drain();
    }
    let newest = journal.end().next - 1;
    // A frame here announces the commit of the frame three below it.
    journal.grow(3, 1, 30);
    for round in 2..100 {
        let end = journal.end();
        journal.tail().stage(end.next, epoch(round)).unwrap();
        let bytes = messages(&end, 1, 900);
        journal.tail().stage_frame(&FrameView::from_prefix(&bytes).unwrap()).unwrap();
        journal.drain();
    }
    let (store, _) = journal.stop();
    let mut journal = Journal::open(store, MemoryTail::new(RING_LEN), settings());
    let commit_next = journal.opened.checkpoint.commit_next;
    assert_eq!(commit_next, newest, "else this shows nothing");
    journal.tail().stage(commit_next, epoch(501)).unwrap();
}

const MEMBER_AT: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 7003);

/// The power fails just behind the beginning of a segment: in `process` nothing brings it to the device. The
/// file is there, empty or as long as it was reserved.
#[test]
fn a_segment_of_which_nothing_reached_the_device_is_the_end_of_the_log_before() {
    for durable in [false, true] {
        for reserved in [0, 4_096, 300_000] {
            let mut journal = Journal::begun_with(Settings { power: durable, ..settings() });
            while segment_files(&journal.store).len() < 3 {
                journal.grow(20, 3, 100);
                journal.drain();
            }
            while journal.opened.writer.sync_sealed(&mut journal.store).unwrap() {}
            let (mut store, _) = journal.reboot();
            let newest = *numbers(&store).unwrap().last().unwrap();
            let mut older = store.clone();
            older.remove(FileName::Segment(newest)).unwrap();
            let before = frames_in_segments(&older, 1);
            *store.file_mut(FileName::Segment(newest)).unwrap() = vec![0; reserved];
            let what = format!("{durable}, {reserved}");
            let rebooted = Settings { boot: [8, 8], power: durable, ..settings() };
            if durable {
                // All that was written was on the device at once: such a file has lost what was acknowledged.
                assert_eq!(verify(&store).unwrap().damage.len(), 1, "{what}");
                let found = inspect(&store, None::<&MemoryTail>, rebooted);
                assert!(matches!(found, Err(JournalOpenError::Damaged(_))), "{what}");
                continue;
            }
            assert_eq!(verify(&store).unwrap().damage, [], "{what}");
            let inspection = inspected(&store, None, rebooted);
            assert_eq!((inspection.damage(), inspection.end()), (&[][..], end_of(&before)), "{what}");
            let cut = inspection.cut().expect("it is told");
            assert_eq!((cut.file, cut.offset), (FileName::Segment(newest).to_string(), 0), "{what}");
            let stored = stored_log(&store, ExpectedSegments::of(inspection.superblock())).unwrap();
            assert_eq!((stored.end, stored.damage, stored.gone), (end_of(&before), None, vec![]), "{what}");
            // A copy of its files has no superblock.
            let mut copy = store.clone();
            for file in [FileName::Superblock, FileName::Spare] {
                _ = copy.remove(file);
            }
            assert_eq!(verify_segments(&copy, 0).unwrap().damage, [], "{what}");
            check_founded(store, &inspection, &before, &what);
        }
    }
}

/// A history may be founded on the log `before`, which is all that is left; and the log continues from there.
fn check_founded(mut store: MemoryStore, inspection: &Inspection, before: &[Frame], what: &str) {
    let previous = *inspection.superblock();
    let founder = Founder {
        history: 0xb2,
        member: MemberBody::full(Identity { replica: 2, incarnation: 0x900 }, MEMBER_AT),
        boot: [8, 8],
        window: Window { entries: 1_000, bytes: 100_000 },
        durability: Durability::Process,
        keys: Keyring::none(previous.cluster).into(),
    };
    let settings = Settings { boot: [9, 9], ..settings() };
    dies_between_the_copies(store.clone(), previous, &founder, settings);
    let superblock = found(&mut store, &previous, &founder).unwrap();
    assert_eq!(superblock.high_next, end_of(before).next, "{what}");
    let mut begun = Journal::open(store, MemoryTail::new(RING_LEN), settings);
    assert_eq!(begun.end().next, end_of(before).next + 1, "{what}");
    assert_eq!(verify(&begun.store).unwrap().damage, [], "{what}");
    begun.drain();
    let (store, _) = begun.stop();
    assert_eq!(verify(&store).unwrap().damage, [], "{what}");
    assert_eq!(frames_in_segments(&store, 1).len(), before.len() + 1, "{what}");
}

/// The command that founds dies in each of its calls. Where one copy of the superblock is the founder's, and
/// the other one the former owner's and knows of segments that are gone, the founder's journal is complete.
fn dies_between_the_copies(
    mut store: MemoryStore,
    mut previous: Superblock,
    founder: &Founder,
    settings: Settings,
) {
    previous.run.begun_to = *numbers(&store).unwrap().last().unwrap();
    previous.store_both(&mut store).unwrap();
    let mut founded_half = 0;
    for writes in 0.. {
        let mut died = store.clone();
        died.set_writes_left(writes);
        if found(&mut died, &previous, founder).is_ok() {
            break;
        }
        died.set_writes_left(u64::MAX);
        let copies = Superblock::load(&died).unwrap().unwrap();
        if copies.newest.identity == founder.member.identity() {
            founded_half += 1;
            assert!(is_complete(&inspected(&died, None, settings)), "behind {writes} writes");
        }
    }
    assert!(founded_half > 0, "it never died between the two copies");
}

/// The power fails while sealed segments are in the kernel's cache: it takes a part of one, and later ones
/// are whole, as may be later groups of the same one. No node could be given what lies behind the hole, and
/// so the log ends there.
#[test]
fn a_sealed_segment_that_lost_its_content_with_the_power_is_the_end_of_the_log() {
    const ALL: usize = 1 << 30;
    for durable in [false, true] {
        // What the power has left of it, and how much it has taken behind that.
        for (left, taken) in [(0, ALL), (0, 4_096), (4_096, ALL), (4_096, 512), (40_960, ALL), (40_960, 512)]
        {
            let what = format!("{durable}, {left}, {taken}");
            if durable && taken == 512 {
                // It has changed, which is found when it is read.
                continue;
            }
            let mut journal = Journal::begun_with(Settings { power: durable, ..settings() });
            while segment_files(&journal.store).len() < 6 {
                journal.grow(20, 3, 100);
                journal.drain();
            }
            let known = journal.end().next;
            let (mut store, _) = journal.reboot();
            let hole = numbers(&store).unwrap()[2];
            let whole = frames_in_segments(&store, 1);
            let bytes = store.file_mut(FileName::Segment(hole)).unwrap();
            let lost = left..bytes.len().min(left + taken);
            bytes[lost].fill(0);
            if (left, taken) == (4_096, ALL) {
                bytes.truncate(left);
            }
            let rebooted = Settings { boot: [8, 8], power: durable, ..settings() };
            let inspection = inspected(&store, None, rebooted);
            assert_ne!(inspection.completeness(), &Completeness::Complete, "{what}");
            if durable {
                // All that was written was on the device at once: such a segment has changed.
                let Damage { file, seq, .. } = &inspection.damage()[0];
                assert_eq!((file, *seq > 0), (&FileName::Segment(hole).to_string(), left > 0), "{what}");
                continue;
            }
            let end = inspection.end();
            let before: Vec<_> = whole
                .into_iter()
                .take_while(|frame| Header::peek(frame).unwrap().next_seq() <= end.next)
                .collect();
            assert_eq!((inspection.damage(), end), (&[][..], end_of(&before)), "{what}");
            assert!(
                end.next < known && inspection.high_next() >= known,
                "{what}: {}",
                inspection.high_next()
            );
            let cut = inspection.cut().expect("it is told");
            assert_eq!(cut.file, FileName::Segment(hole).to_string(), "{what}");
            assert_eq!(cut.offset > 0, left > 0, "{what}: {cut:?}");
            let stored = stored_log(&store, ExpectedSegments::of(inspection.superblock())).unwrap();
            assert_eq!((stored.end, stored.damage, stored.gone), (end, None, vec![]), "{what}");
            check_founded(store, &inspection, &before, &what);
        }
    }
}

/// With each of these rules broken on purpose, a test of this file fails.
#[cfg(debug_assertions)]
#[test]
fn every_planted_bug_of_an_opening_is_found() {
    use lockstep_core::proto::planted::Mutation;
    let holes = a_sealed_segment_that_lost_its_content_with_the_power_is_the_end_of_the_log;
    let found: [(Mutation, fn()); 2] = [(Mutation::HoleIsNoEnd, holes), (Mutation::CachedIsThrough, holes)];
    lockstep_memory::planted::each_is_found(found);
}
