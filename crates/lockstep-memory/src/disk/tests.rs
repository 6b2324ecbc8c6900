//! The promises of the disk, and their limits.

use super::{DiskFault, SimDisk};
use crate::rng::Rng;
use lockstep_replica::journal::BLOCK_LEN;
use lockstep_replica::journal::ports::{FileName, Store, StoreFault};

const SEGMENT: FileName = FileName::Segment(1);

fn block(byte: u8) -> Vec<u8> {
    vec![byte; BLOCK_LEN]
}

fn content(disk: &SimDisk, file: FileName) -> Option<Vec<u8>> {
    let mut bytes = vec![0; disk.len(file).ok()? as usize];
    disk.read_at(file, 0, &mut bytes).unwrap();
    Some(bytes)
}

/// All contents that the file may have after a loss of power, over many draws.
fn after_power(disk: &SimDisk, file: FileName) -> Vec<Option<Vec<u8>>> {
    let mut found: Vec<_> = (0..400)
        .map(|seed| {
            let (mut disk, mut rng) = (disk.clone(), Rng::new(seed));
            disk.lose_power(&mut |bound| rng.below(bound));
            assert!(!disk.is_dirty());
            content(&disk, file)
        })
        .collect();
    found.sort();
    found.dedup();
    found
}

#[test]
fn what_is_not_synced_may_be_lost_by_sector_by_length_and_by_name() {
    let mut disk = SimDisk::default();
    disk.write_at(SEGMENT, 0, &block(1)).unwrap();
    let found = after_power(&disk, SEGMENT);
    assert!(found.contains(&None), "the name");
    assert!(found.contains(&Some(Vec::new())), "the length");
    assert!(found.contains(&Some(block(0))) && found.contains(&Some(block(1))), "all of it, or nothing");
    let torn = found.iter().flatten().filter(|bytes| bytes.contains(&0) && bytes.contains(&1));
    assert!(torn.clone().count() > 10, "some of its sectors");
    assert!(
        torn.flat_map(|bytes| bytes.chunks(512)).all(|sector| sector.iter().all(|byte| *byte == sector[0]))
    );
}

#[test]
fn what_is_synced_stays() {
    let mut disk = SimDisk::default();
    disk.write_at(SEGMENT, 0, &block(1)).unwrap();
    assert!(disk.is_dirty());
    disk.sync(SEGMENT).unwrap();
    assert!(!disk.is_dirty());
    assert_eq!(after_power(&disk, SEGMENT), [Some(block(1))]);
    disk.write_at(SEGMENT, 0, &block(2)).unwrap();
    let found = after_power(&disk, SEGMENT);
    assert!(found.contains(&Some(block(1))) && found.contains(&Some(block(2))) && !found.contains(&None));
}

#[test]
fn in_power_a_write_is_on_the_device_and_its_name_is_not() {
    let mut disk = SimDisk::default();
    disk.set_power(true);
    disk.write_at(SEGMENT, 0, &block(1)).unwrap();
    assert_eq!(after_power(&disk, SEGMENT), [None, Some(block(1))]);
    disk.write_at(FileName::Spare, 0, &block(2)).unwrap();
    disk.rename(FileName::Spare, FileName::Segment(2)).unwrap();
    assert_eq!(after_power(&disk, FileName::Segment(2)), [Some(block(2))]);
    assert_eq!(after_power(&disk, FileName::Spare), [None]);
}

#[test]
fn a_file_that_is_replaced_is_the_old_one_or_the_new_one() {
    let file = FileName::Index(1);
    let mut disk = SimDisk::default();
    disk.replace(file, b"old").unwrap();
    for salt in 0..8 {
        let mut dying = disk.clone();
        dying.arm(DiskFault::Death, 0, salt);
        assert!(dying.replace(file, b"new").is_err() && dying.is_dead());
        dying.revive();
        let after = after_power(&dying, file);
        assert!(
            after
                .iter()
                .all(|bytes| [b"old", b"new"].contains(&bytes.as_deref().unwrap().try_into().unwrap()))
        );
    }
    disk.replace(file, b"new").unwrap();
    assert_eq!(after_power(&disk, file), [Some(b"new".to_vec())]);
}

#[test]
fn a_removed_or_renamed_file_may_come_back_each_by_itself() {
    let mut disk = SimDisk::default();
    for number in 1..=2 {
        disk.write_at(FileName::Segment(number), 0, &block(number as u8)).unwrap();
        disk.sync(FileName::Segment(number)).unwrap();
    }
    disk.remove(FileName::Segment(1)).unwrap();
    disk.remove(FileName::Segment(2)).unwrap();
    let mut survivors: Vec<usize> = (0..100)
        .map(|seed| {
            let (mut disk, mut rng) = (disk.clone(), Rng::new(seed));
            disk.lose_power(&mut |bound| rng.below(bound));
            disk.list().unwrap().len()
        })
        .collect();
    survivors.sort_unstable();
    survivors.dedup();
    assert_eq!(survivors, [0, 1, 2]);
}

#[test]
fn a_cut_file_may_have_its_end_again() {
    let mut disk = SimDisk::default();
    disk.write_at(SEGMENT, 0, &[block(1), block(2)].concat()).unwrap();
    disk.sync(SEGMENT).unwrap();
    disk.truncate(SEGMENT, BLOCK_LEN as u64).unwrap();
    let found = after_power(&disk, SEGMENT);
    assert!(found.contains(&Some(block(1))) && found.contains(&Some([block(1), block(2)].concat())));
    assert!(found.iter().flatten().all(|bytes| bytes.starts_with(&block(1))));
}

#[test]
fn a_failed_sync_drops_what_it_should_have_brought_and_the_next_one_does_not_say_so() {
    let mut disk = SimDisk::default();
    disk.write_at(SEGMENT, 0, &block(1)).unwrap();
    disk.sync(SEGMENT).unwrap();
    disk.write_at(SEGMENT, 0, &block(2)).unwrap();
    disk.arm(DiskFault::SyncError, 0, 0);
    assert_eq!(disk.sync(SEGMENT).unwrap_err().fault, StoreFault::Failed);
    disk.sync(SEGMENT).unwrap();
    assert_eq!(content(&disk, SEGMENT), Some(block(2)), "the cache shows it");
    assert_eq!(after_power(&disk, SEGMENT), [Some(block(1))], "the device never had it");
    disk.write_at(SEGMENT, 0, &block(3)).unwrap();
    disk.sync(SEGMENT).unwrap();
    assert_eq!(after_power(&disk, SEGMENT), [Some(block(3))]);
}

#[test]
fn a_process_dies_in_the_middle_of_a_write_and_nothing_follows() {
    let mut lengths = Vec::new();
    for salt in 0..64 {
        let mut disk = SimDisk::default();
        disk.arm(DiskFault::Death, 1, salt);
        disk.write_at(SEGMENT, 0, &block(1)).unwrap();
        assert!(disk.write_at(SEGMENT, 0, &block(2)).is_err());
        assert!(disk.write_at(SEGMENT, 0, &block(3)).is_err() && disk.sync(SEGMENT).is_err());
        disk.revive();
        let bytes = content(&disk, SEGMENT).unwrap();
        let written = bytes.iter().take_while(|byte| **byte == 2).count();
        assert!(bytes[written..].iter().all(|byte| *byte == 1), "a beginning, and nothing behind it");
        lengths.push(written);
    }
    lengths.sort_unstable();
    lengths.dedup();
    assert_eq!(lengths, (0..=BLOCK_LEN).step_by(512).collect::<Vec<_>>());
}

#[test]
fn a_full_disk_writes_what_there_is_room_for() {
    let mut disk = SimDisk::default();
    disk.set_capacity_bytes(BLOCK_LEN as u64);
    let full = disk.write_at(SEGMENT, 0, &[block(1), block(2)].concat()).unwrap_err();
    assert_eq!(full.fault, StoreFault::NoSpace);
    assert_eq!(content(&disk, SEGMENT), Some(block(1)));
    disk.write_at(SEGMENT, 0, &block(3)).unwrap();
    assert_eq!(disk.free_bytes().unwrap(), 0);
}
