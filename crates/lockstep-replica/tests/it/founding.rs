//! A new history on what a journal holds: the old journal or the new one, wherever the process dies or the
//! power goes (LINEAGE-3, S7, S9), and what a look at a journal tells without changing it.

use bytemuck::Zeroable;
use lockstep_core::proto::commit::Durability;
use lockstep_core::proto::lineage::Lineage;
use lockstep_core::proto::log::LogEnd;
use lockstep_core::proto::window::Window;
use lockstep_memory::disk::{DiskFault, SimDisk};
use lockstep_memory::rng::Rng;
use lockstep_replica::bootstrap::bootstrap;
use lockstep_replica::journal::memory::MemoryTail;
use lockstep_replica::journal::ports::{FileName, Store};
use lockstep_replica::journal::{
    Completeness, Founder, Inspection, JournalSummary, OpenedJournal, Settings, Tail, copy_behind, format,
    found, holdings, inspect, open, read_segments, verify,
};
use lockstep_replica::replica::Recovered;
use lockstep_wire::Keyring;
use lockstep_wire::*;
use std::panic::{AssertUnwindSafe, catch_unwind};

const CLUSTER: u64 = 7;
const HISTORY: u64 = 0xb1;
const LATER: u64 = 0xb2;
const MEMBER: Identity = Identity { replica: 1, incarnation: 0x101 };
const FOUNDER: Identity = Identity { replica: 1, incarnation: 0x901 };
const LEN_MAX: usize = frame_len_max(1500);
const RING: usize = 64 << 10;

fn body(identity: Identity) -> MemberBody {
    MemberBody::full(identity, "10.0.0.1:7001".parse().unwrap())
}

fn settings(boot: u64, power: bool) -> Settings {
    Settings {
        cluster: CLUSTER,
        replica: 1,
        boot: [boot, boot],
        power,
        frame_len_max: LEN_MAX,
        segment_len: 1 << 20,
    }
}

fn founder(boot: u64) -> Founder {
    Founder {
        keys: Keyring::none(CLUSTER).into(),
        history: LATER,
        member: body(FOUNDER),
        boot: [boot, boot],
        window: Window { entries: 1_000, bytes: 100_000 },
        durability: Durability::Process,
    }
}

fn append(tail: &mut Tail<MemoryTail>, epoch: Epoch, history: u64, kind: EntryKind, payload: &[u8]) {
    let memory = frame_behind(tail.end(), epoch, history, kind, payload);
    tail.append(&FrameView::from_prefix(&memory).unwrap()).unwrap();
}

/// A frame with one entry that follows a log which ends at `end`.
fn frame_behind(end: LogEnd, epoch: Epoch, history: u64, kind: EntryKind, payload: &[u8]) -> Vec<u8> {
    let (mut memory, mut frame) = (vec![0; LEN_MAX], OpenFrame::default());
    let entry = EntryHeader { kind: kind as u8, ..EntryHeader::zeroed() };
    assert!(frame.push(&mut memory, entry, payload));
    let header = Header {
        cluster: CLUSTER,
        history,
        epoch: epoch.0,
        sender: epoch.leader().replica,
        incarnation: epoch.leader().incarnation,
        first_seq: end.next,
        chain: end.chain,
        timestamp: end.timestamp + 1,
        version: VERSION,
        ..Header::new(Kind::Frame)
    };
    let length = frame.len();
    frame.close(&mut memory, &Keyring::none(CLUSTER), header, length);
    memory
}

/// The start of round `round` of a history of one member.
fn begin(tail: &mut Tail<MemoryTail>, round: u32) {
    let (end, epoch) = (tail.end(), Epoch::new(round, MEMBER));
    let body_of = EpochStartBody {
        epoch: epoch.0,
        base: end.next,
        chain_at_base: end.chain,
        ..EpochStartBody::zeroed()
    };
    let table = [EpochBase { epoch: end.epoch.0, base: 1 }, EpochBase { epoch: epoch.0, base: end.next }];
    let mut payload = [0; EPOCH_START_LEN_MAX];
    let length = write_epoch_start(&mut payload, body_of, &[body(MEMBER)], &table, &[]);
    append(tail, epoch, HISTORY, EntryKind::EpochStart, &payload[..length]);
}

/// With each of these rules broken on purpose, a test of this program fails.
#[cfg(debug_assertions)]
#[test]
fn every_planted_bug_of_a_founding_is_found() {
    use lockstep_core::proto::planted::Mutation;
    let found: [(Mutation, fn()); 6] = [
        (Mutation::HistoryChangesAnywhere, lineage_3_no_segment_takes_a_frame_of_a_history_that_nothing_founded),
        (Mutation::FoundedOnUnsynced, s7_what_a_history_is_founded_on_is_on_the_device_before_it_is_the_founders),
        (Mutation::FounderFirst, s7_wherever_the_founder_dies_the_journal_is_the_former_one_or_the_founded_one_also_when_the_power_goes),
        (Mutation::FounderInherits, s7_what_a_history_is_founded_on_is_on_the_device_before_it_is_the_founders),
        (Mutation::EvidenceIsLoss, a_journal_whose_end_is_torn_or_damaged_is_founded_on_up_to_there),
        (Mutation::AnyFoundingIsOurs, a_founding_that_belongs_to_another_recovery_is_left_alone),
    ];
    lockstep_memory::planted::each_is_found(found);
}

/// A journal with some messages, as its running process has it. The segments lack the last `behind` of them.
fn running(power: bool, behind: usize) -> (SimDisk, OpenedJournal<MemoryTail>) {
    let mut disk = SimDisk::default();
    disk.set_power(power);
    format(&mut disk, CLUSTER, MEMBER, [1, 1]).unwrap();
    let mut opened = open(&mut disk, MemoryTail::new(RING), settings(1, power)).unwrap();
    bootstrap(&mut opened.tail, &Keyring::none(CLUSTER), HISTORY, &[body(MEMBER)]).unwrap();
    begin(&mut opened.tail, 1);
    for number in 0..20 {
        if number + behind == 20 {
            copy(&mut disk, &mut opened, power);
        }
        let epoch = opened.tail.end().epoch;
        append(&mut opened.tail, epoch, HISTORY, EntryKind::Message, &[number as u8; 300]);
    }
    if behind == 0 {
        copy(&mut disk, &mut opened, power);
    }
    (disk, opened)
}

fn copy(disk: &mut SimDisk, opened: &mut OpenedJournal<MemoryTail>, power: bool) {
    while copy_behind(opened.tail.memory_mut(), &mut opened.writer, disk, power).unwrap() > 0 {}
}

/// The same after an orderly stop, and where its log ended.
fn stopped() -> (SimDisk, LogEnd) {
    let (mut disk, mut opened) = running(false, 0);
    opened.superblock.history = HISTORY;
    opened.writer.mark_clean(&mut disk, &mut opened.superblock).unwrap();
    assert!(!disk.is_dirty());
    (disk, opened.tail.end())
}

fn superblock(disk: &SimDisk) -> lockstep_replica::journal::Superblock {
    lockstep_replica::journal::Superblock::load(disk).unwrap().unwrap().newest
}

fn look_in_boot(disk: &SimDisk, memory: Option<&MemoryTail>, boot: u64) -> Inspection {
    inspect(disk, memory, settings(boot, false)).unwrap()
}

/// Opens the founder's journal and checks that it is the former log and the founding.
fn check_founded(disk: &mut SimDisk, boot: u64, end: LogEnd) -> OpenedJournal<MemoryTail> {
    let opened = open(disk, MemoryTail::new(RING), settings(boot, false)).unwrap();
    assert_eq!((opened.superblock.identity, opened.superblock.history), (FOUNDER, LATER));
    let recovered = Recovered::of_journal(&opened, 8);
    assert_eq!(recovered.lineage, Lineage::of(HISTORY).founded(LATER, &end));
    assert_eq!((recovered.membership.members(), recovered.commit_next), (&[body(FOUNDER)][..], end.next));
    assert_eq!(opened.tail.end().next, end.next + 1);
    opened
}

#[test]
fn a_founded_journal_is_the_former_log_and_one_frame_and_goes_on() {
    let (mut disk, end) = stopped();
    let previous = superblock(&disk);
    found(&mut disk, &previous, &founder(1)).unwrap();
    // A start of the process, and a kill, before anything was written behind it: the founding is the same one
    // again.
    let mut opened = check_founded(&mut disk, 1, end);
    let (first, memory) = (opened.tail.end(), opened.tail.memory_mut().clone());
    let mut opened = open(&mut disk, memory, settings(1, false)).unwrap();
    assert_eq!(opened.tail.end(), first);
    copy(&mut disk, &mut opened, false);
    opened.writer.mark_clean(&mut disk, &mut opened.superblock).unwrap();
    let verified = verify(&disk).unwrap();
    assert!(verified.damage.is_empty(), "{:?}", verified.damage);
    let mut reader = read_segments(&disk, 1).unwrap();
    let mut histories = Vec::new();
    while let Some(frame) = reader.next().unwrap() {
        histories.push(frame.unwrap().header.history);
    }
    assert_eq!(histories.iter().filter(|history| **history == HISTORY).count(), histories.len() - 1);
    assert_eq!(histories.last(), Some(&LATER));
    // The segments hold it: the file beside them says nothing any more.
    let opened = open(&mut disk, MemoryTail::new(RING), settings(3, false)).unwrap();
    assert_eq!(opened.tail.end(), first);
}

#[test]
fn s7_wherever_the_founder_dies_the_journal_is_the_former_one_or_the_founded_one_also_when_the_power_goes() {
    let (mut deaths, mut old, mut new) = (0, 0, 0);
    for calls in 0.. {
        let (disk, end) = stopped();
        let previous = superblock(&disk);
        let mut struck = false;
        for salt in 0..4 {
            for power_goes in [false, true] {
                let mut disk = disk.clone();
                disk.arm(DiskFault::Death, calls, salt);
                let founded = found(&mut disk, &previous, &founder(1));
                struck = disk.is_dead();
                assert_eq!(founded.is_err(), struck);
                disk.revive();
                disk.disarm();
                let mut rng = Rng::new(calls * 8 + salt);
                if power_goes {
                    disk.lose_power(&mut |bound| rng.below(bound));
                }
                deaths += u32::from(struck);
                if superblock(&disk).identity == FOUNDER {
                    new += 1;
                    check_founded(&mut disk, 2, end);
                    continue;
                }
                old += 1;
                assert!(struck, "a founding that returned is there");
                let inspection = look_in_boot(&disk, None, 2);
                assert_eq!(inspection.completeness(), &Completeness::Complete, "after {calls} calls");
                assert_eq!(inspection.end(), end, "after {calls} calls");
                let opened = open(&mut disk.clone(), MemoryTail::new(RING), settings(2, false)).unwrap();
                assert_eq!((opened.tail.end(), opened.superblock.identity), (end, MEMBER));
                // The next try finds nothing in its way.
                found(&mut disk, &previous, &founder(2)).unwrap();
                check_founded(&mut disk, 2, end);
            }
        }
        if !struck {
            break;
        }
    }
    assert!(
        deaths > 20 && old > 10 && new > 4,
        "{deaths} deaths, {old} left the old journal, {new} the new one"
    );
}

#[test]
fn s7_wherever_the_first_process_of_the_new_history_dies_the_founding_is_there_again() {
    let (mut disk, end) = stopped();
    let previous = superblock(&disk);
    found(&mut disk, &previous, &founder(1)).unwrap();
    let first = check_founded(&mut disk.clone(), 1, end).tail.end();
    for calls in 0.. {
        let mut disk = disk.clone();
        disk.arm(DiskFault::Death, calls, calls);
        let work = |disk: &mut SimDisk| -> Result<(), String> {
            let words = |error: &dyn std::fmt::Display| error.to_string();
            let mut opened = open(disk, MemoryTail::new(RING), settings(1, true)).map_err(|e| words(&e))?;
            let (tail, writer) = (&mut opened.tail, &mut opened.writer);
            while copy_behind(tail.memory_mut(), writer, disk, true).map_err(|e| words(&e))? > 0 {}
            opened.writer.mark_clean(disk, &mut opened.superblock).map_err(|e| words(&e))
        };
        let done = work(&mut disk);
        disk.revive();
        disk.disarm();
        // The machine was restarted too: what was not written is put behind the log anew.
        let opened = open(&mut disk, MemoryTail::new(RING), settings(2, true)).unwrap();
        assert_eq!(opened.tail.end(), first, "after {calls} calls");
        if done.is_ok() {
            assert!(calls > 3);
            break;
        }
    }
}

#[test]
fn s9_the_first_process_of_the_new_history_that_dies_before_it_wrote_anything_goes_on_in_its_tail() {
    let (mut disk, mut opened) = running(false, 0);
    for number in 0..4_000 {
        let epoch = opened.tail.end().epoch;
        append(&mut opened.tail, epoch, HISTORY, EntryKind::Message, &[number as u8; 300]);
        if number % 20 == 0 {
            copy(&mut disk, &mut opened, false);
        }
    }
    copy(&mut disk, &mut opened, false);
    opened.superblock.history = HISTORY;
    opened.writer.mark_clean(&mut disk, &mut opened.superblock).unwrap();
    let previous = superblock(&disk);
    found(&mut disk, &previous, &founder(1)).unwrap();
    // The ring of the former owner's last run, and that of the founder's first one, are not the same.
    let first = open(&mut disk, MemoryTail::new(RING), settings(1, false)).unwrap().tail;
    let end = first.end();
    let again = open(&mut disk, first.into_memory(), settings(1, false));
    assert_eq!(again.unwrap_or_else(|error| panic!("{error}")).tail.end(), end);
}

#[test]
fn a_look_tells_what_a_journal_holds_and_changes_nothing() {
    let (disk, mut opened) = running(false, 5);
    let end = opened.tail.end();
    let before = disk.clone();
    let memory = opened.tail.memory_mut().clone();
    let with_tail = look_in_boot(&disk, Some(&memory), 1);
    assert_eq!((with_tail.end(), with_tail.completeness()), (end, &Completeness::Complete));
    assert_eq!(with_tail.checkpoint().members, [body(MEMBER)]);
    let expected = JournalSummary {
        lineage: Lineage::of(HISTORY),
        oldest_seq: 1,
        durability: Some(Durability::Process),
    };
    assert_eq!(holdings(&disk, &with_tail).unwrap(), expected);
    // The machine was restarted: what the segments lack is gone.
    for memory in [None, Some(&memory)] {
        let without = look_in_boot(&disk, memory, 2);
        assert_eq!(without.end().next, end.next - 5);
        let Completeness::Incomplete(why) = without.completeness() else { panic!("{without:?}") };
        assert!(why.contains("tail is gone"), "{why}");
    }
    assert!(disk == before, "it was only looked at");
    // With `power` that is what it acknowledged, and a clean stop has brought everything to the device.
    let (disk, _) = running(true, 5);
    assert_eq!(look_in_boot(&disk, None, 2).completeness(), &Completeness::Complete);
    let (disk, end) = stopped();
    let inspection = look_in_boot(&disk, None, 2);
    assert_eq!((inspection.end(), inspection.completeness()), (end, &Completeness::Complete));
}

#[test]
fn a_journal_whose_end_is_torn_or_damaged_is_founded_on_up_to_there() {
    for damage in [false, true] {
        let (mut disk, opened) = running(true, 0);
        let end = opened.tail.end();
        let bytes = disk.file_mut(FileName::Segment(1)).unwrap();
        let last = bytes.windows(4).rposition(|at| at == MAGIC.to_le_bytes()).unwrap();
        if damage {
            bytes[last + 200] ^= 1;
        } else {
            let sector = last.next_multiple_of(512);
            bytes[sector..sector + 512].fill(0);
        }
        let inspection = look_in_boot(&disk, None, 2);
        assert_eq!((inspection.damage().is_empty(), inspection.cut().is_some()), (!damage, !damage));
        let previous = superblock(&disk);
        let superblock = found(&mut disk, &previous, &founder(2)).unwrap();
        assert_eq!(superblock.high_next, inspection.end().next);
        assert!(superblock.high_next < end.next);
        let mut opened = check_founded(&mut disk, 2, inspection.end());
        // Evidence stays, and the log goes on in a segment of its own.
        copy(&mut disk, &mut opened, false);
        opened.writer.mark_clean(&mut disk, &mut opened.superblock).unwrap();
        assert_eq!(verify(&disk).unwrap().damage.is_empty(), !damage);
        let again = open(&mut disk, MemoryTail::new(RING), settings(3, false)).unwrap();
        assert_eq!(again.tail.end(), opened.tail.end());
    }
}

#[test]
fn an_archivers_files_whose_oldest_segments_are_gone_are_founded_on_for_a_replica() {
    let (mut disk, mut opened) = running(false, 0);
    // A second segment, and the first one gone.
    let small = Settings { segment_len: 8 << 10, ..settings(1, false) };
    opened.superblock.history = HISTORY;
    opened.writer.mark_clean(&mut disk, &mut opened.superblock).unwrap();
    let mut opened = open(&mut disk, MemoryTail::new(RING), small).unwrap();
    for _ in 0..60 {
        let epoch = opened.tail.end().epoch;
        append(&mut opened.tail, epoch, HISTORY, EntryKind::Message, &[7; 300]);
        copy(&mut disk, &mut opened, false);
    }
    opened.writer.mark_clean(&mut disk, &mut opened.superblock).unwrap();
    disk.remove(FileName::Segment(1)).unwrap();
    let end = opened.tail.end();
    let inspection = look_in_boot(&disk, None, 1);
    assert!(
        holdings(&disk, &inspection).unwrap().oldest_seq > 1 && inspection.end() == end,
        "{inspection:?}"
    );
    // It was another node's: the superblock alone says whose journal it is.
    let previous = lockstep_replica::journal::Superblock {
        identity: Identity { replica: 101, incarnation: 0x55 },
        ..superblock(&disk)
    };
    disk.remove(FileName::Superblock).unwrap();
    found(&mut disk, &previous, &founder(2)).unwrap();
    check_founded(&mut disk, 2, end);
}

#[test]
fn a_damaged_founding_is_found_by_verify_and_is_made_anew() {
    let (mut disk, end) = stopped();
    let previous = superblock(&disk);
    found(&mut disk, &previous, &founder(1)).unwrap();
    assert!(verify(&disk).unwrap().damage.is_empty());
    disk.file_mut(FileName::Founding).unwrap()[100] ^= 1;
    let damage = verify(&disk).unwrap().damage;
    assert!(damage.len() == 1 && damage[0].file == "founding", "{damage:?}");
    assert!(open(&mut disk.clone(), MemoryTail::new(RING), settings(1, false)).is_err());
    // Nobody has heard of that history: the same one again.
    found(&mut disk, &previous, &founder(1)).unwrap();
    check_founded(&mut disk, 1, end);
}

/// A founder that lost its epoch exchanges what it had stamped in it: the last record of its segments is a
/// switch.
#[test]
fn a_founders_journal_that_ends_with_an_exchange_is_whole() {
    let (mut disk, end) = stopped();
    let previous = superblock(&disk);
    found(&mut disk, &previous, &founder(1)).unwrap();
    let mut opened = check_founded(&mut disk, 1, end);
    let founded = opened.tail.end();
    append(&mut opened.tail, founded.epoch, LATER, EntryKind::Message, &[7; 300]);
    let next = Epoch::new(founded.epoch.round() + 1, FOUNDER);
    let body_of = EpochStartBody {
        epoch: next.0,
        base: founded.next,
        chain_at_base: founded.chain,
        ..EpochStartBody::zeroed()
    };
    let previous_row = EpochBase { epoch: founded.epoch.0, base: founded.next - 1 };
    let table = [previous_row, EpochBase { epoch: next.0, base: founded.next }];
    let mut payload = [0; EPOCH_START_LEN_MAX];
    let length = write_epoch_start(&mut payload, body_of, &[body(FOUNDER)], &table, &[]);
    let start = frame_behind(founded, next, LATER, EntryKind::EpochStart, &payload[..length]);
    opened.tail.stage(founded.next, next).unwrap();
    opened.tail.stage_frame(&FrameView::from_prefix(&start).unwrap()).unwrap();
    opened.tail.switch().unwrap();
    copy(&mut disk, &mut opened, false);
    opened.writer.mark_clean(&mut disk, &mut opened.superblock).unwrap();
    let damage = verify(&disk).unwrap().damage;
    assert!(damage.is_empty(), "{damage:?}");
}

#[test]
fn nothing_is_founded_on_an_empty_journal() {
    let mut disk = SimDisk::default();
    format(&mut disk, CLUSTER, MEMBER, [1, 1]).unwrap();
    let previous = superblock(&disk);
    let error = found(&mut disk, &previous, &founder(1)).unwrap_err().to_string();
    assert!(error.contains("bootstrap"), "{error}");
    assert_eq!(superblock(&disk).identity, MEMBER);
}

#[test]
fn a_founding_that_belongs_to_another_recovery_is_left_alone() {
    let (mut disk, end) = stopped();
    let previous = superblock(&disk);
    // It got as far as the file, and then the operator went on with the old journal after all.
    let mut tried = disk.clone();
    found(&mut tried, &previous, &founder(1)).unwrap();
    let mut bytes = vec![0; tried.len(FileName::Founding).unwrap() as usize];
    tried.read_at(FileName::Founding, 0, &mut bytes).unwrap();
    disk.replace(FileName::Founding, &bytes).unwrap();
    let opened = open(&mut disk, MemoryTail::new(RING), settings(2, false)).unwrap();
    assert_eq!((opened.tail.end(), opened.superblock.history), (end, HISTORY));
}

#[test]
fn s7_what_a_history_is_founded_on_is_on_the_device_before_it_is_the_founders() {
    // The former process was killed, and the device had not everything that it had written.
    let (disk, opened) = running(false, 0);
    assert!(disk.is_dirty());
    let end = opened.tail.end();
    let previous = superblock(&disk);
    for seed in 0..20 {
        let (mut disk, mut rng) = (disk.clone(), Rng::new(seed));
        found(&mut disk, &previous, &founder(1)).unwrap();
        disk.lose_power(&mut |bound| rng.below(bound));
        check_founded(&mut disk, 2, end);
    }
}

#[test]
fn a_history_that_was_founded_and_not_used_is_not_founded_over() {
    let (mut disk, end) = stopped();
    let previous = superblock(&disk);
    found(&mut disk, &previous, &founder(1)).unwrap();
    let again = superblock(&disk);
    let error = found(&mut disk, &again, &Founder { history: 0xb3, ..founder(1) }).unwrap_err().to_string();
    assert!(error.contains("start its sequencer"), "{error}");
    check_founded(&mut disk, 1, end);
}

#[test]
fn lineage_3_no_segment_takes_a_frame_of_a_history_that_nothing_founded() {
    let (mut disk, mut opened) = running(false, 0);
    let epoch = opened.tail.end().epoch;
    append(&mut opened.tail, epoch, LATER, EntryKind::Message, &[7; 300]);
    let copied = catch_unwind(AssertUnwindSafe(|| copy(&mut disk, &mut opened, false)));
    let refusal = copied.expect_err("nothing founded it");
    assert!(refusal.downcast_ref::<String>().is_some_and(|why| why.contains("no founding")));
}

/// S9. A run in `power` dies in the middle of a roll, and its tail is lost, but not the power: the newest
/// file, or its name, is in the cache alone. The next run calls all of it stored, and acknowledges it.
#[test]
fn s9_a_run_in_power_on_another_tail_begins_with_all_segments_on_the_device() {
    for salt in 0..64 {
        let (mut disk, mut opened) = running(true, 0);
        // What the device need not have yet.
        disk.set_power(false);
        let epoch = opened.tail.end().epoch;
        append(&mut opened.tail, epoch, HISTORY, EntryKind::Message, &[7; 300]);
        copy(&mut disk, &mut opened, true);
        assert!(disk.is_dirty());
        let end = opened.tail.end();
        drop(opened);
        disk.set_power(true);
        let opened = open(&mut disk, MemoryTail::new(RING), settings(1, true)).unwrap();
        assert_eq!((opened.tail.end(), opened.tail.durable_next()), (end, end.next));
        let mut rng = Rng::new(salt);
        disk.lose_power(&mut |bound| rng.below(bound));
        let inspection = look_in_boot(&disk, None, 2);
        assert_eq!(
            (inspection.completeness(), inspection.end()),
            (&Completeness::Complete, end),
            "salt {salt}"
        );
    }
}
