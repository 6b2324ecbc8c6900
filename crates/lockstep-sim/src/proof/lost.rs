//! The possible losses of a machine at rest.

use super::{Rest, is_segment};
use lockstep_replica::journal::memory::MemoryTail;
use lockstep_replica::journal::ports::{FileName, Store, TailSource};
use lockstep_replica::journal::segment::group_mark;

/// Every possible loss, one after the other; first none.
pub(super) fn all(rest: &Rest) -> Vec<Rest> {
    let mut all = vec![with(rest, "nothing is lost", |_| {})];
    for path in [0, 1] {
        if rest.rings[path].is_some() {
            all.push(with(rest, &format!("the tail at path {path} is gone"), |lost| lost.lose_ring(path)));
        }
        // An older state of the ring in use would be a rollback of the whole machine.
        if let Some(saved) = &rest.saved_ring
            && rest.rings.iter().flatten().all(|ring| number(ring) != number(saved))
        {
            all.push(with(rest, &format!("the tail at path {path} is that of before"), |lost| {
                lost.lose_ring(path);
                lost.rings[path] = Some(saved.clone());
            }));
        }
    }
    all.extend(power(rest));
    // A replica that loses both copies loses the journal.
    for copy in [0, 1].into_iter().filter(|_| !rest.half) {
        let what = format!("copy {copy} of the superblock is damaged");
        all.push(with(rest, &what, |lost| lost.damage_superblock(copy)));
        all.push(with(rest, &format!("{what}, and the machine was restarted"), |lost| {
            lost.damage_superblock(copy);
            lost.restart(|disk| lose_power(disk, &mut |_| 0));
        }));
    }
    if let Some(saved) = &rest.saved_disk {
        all.push(with(rest, "the files are those of before", |lost| {
            lost.disk = saved.clone();
            lost.is_rolled_back = true;
        }));
    }
    all
}

/// The number of a ring.
fn number(ring: &MemoryTail) -> Option<u64> {
    ring.label().map(|label| label.generation)
}

/// The machine loses power, and none, all or some of the data that the device lacks survives.
fn power(rest: &Rest) -> Vec<Rest> {
    let mut all = vec![with(rest, "the power goes, and what was not synced", |lost| {
        lost.restart(|disk| lose_power(disk, &mut |_| 0));
    })];
    if rest.disk.is_dirty() {
        all.push(with(rest, "the power goes, and everything is on the device", |lost| {
            lost.restart(|disk| lose_power(disk, &mut |_| 1));
        }));
        for seed in [3_u64, 5] {
            all.push(with(
                rest,
                &format!("the power goes, and some of it is on the device ({seed})"),
                |lost| {
                    let mut state = seed;
                    lost.restart(|disk| {
                        lose_power(disk, &mut |below| {
                            state = state
                                .wrapping_mul(6_364_136_223_846_793_005)
                                .wrapping_add(1_442_695_040_888_963_407);
                            (state >> 33) % below
                        });
                    });
                },
            ));
        }
        let files: Vec<FileName> = rest.disk.list().unwrap_or_default();
        for segment in files.into_iter().filter(is_segment) {
            all.push(with(rest, &format!("the power goes, and of {segment} what was not synced"), |lost| {
                lost.restart(|disk| disk.lose_power_of(|file| file == segment));
            }));
        }
    }
    all.push(with(rest, "the machine is restarted, and a bit of the last group has changed", |lost| {
        lost.restart(|disk| lose_power(disk, &mut |_| 1));
        lost.is_changed = change_last_group(&mut lost.disk);
    }));
    all.push(with(rest, "the machine is restarted, and its tails lay on a disk by mistake", |lost| {
        let rings = lost.rings.clone();
        lost.restart(|disk| lose_power(disk, &mut |_| 0));
        lost.rings = rings;
    }));
    all
}

/// Ignores whether anything was lost.
pub(super) fn lose_power(disk: &mut super::SimDisk, draw: &mut impl FnMut(u64) -> u64) {
    let _ = disk.lose_power(draw);
}

/// Changes a bit near the end of the last record that a mark names. Returns whether there is one.
pub(super) fn change_last_group(disk: &mut super::SimDisk) -> bool {
    const BEFORE_END: usize = 16;
    let number = disk.newest_segment();
    let Some(bytes) = disk.file_mut(FileName::Segment(number)) else { return false };
    let marks = bytes
        .chunks_exact(lockstep_replica::journal::BLOCK_LEN)
        .filter_map(|block| group_mark(block, number));
    let Some(end) = marks.map(|mark| mark.end as usize).max() else { return false };
    bytes[end - BEFORE_END] ^= 1;
    true
}

fn with(rest: &Rest, what: &str, lose: impl FnOnce(&mut Rest)) -> Rest {
    let mut lost = rest.clone();
    lost.story.push(what.to_string());
    lose(&mut lost);
    lost
}

impl Rest {
    pub(super) fn lose_ring(&mut self, path: usize) {
        self.rings[path] = None;
        self.run_path = self.run_path.filter(|own| *own != path);
    }

    pub(super) fn restart(&mut self, lose: impl FnOnce(&mut super::SimDisk)) {
        lose(&mut self.disk);
        self.rings = [None, None];
        self.run_path = None;
        self.boot += 1;
    }

    pub(super) fn damage_superblock(&mut self, copy: usize) {
        if let Some(bytes) = self.disk.file_mut(FileName::Superblock) {
            bytes[copy * lockstep_replica::journal::BLOCK_LEN + 40] ^= 4;
        }
        self.half = true;
    }
}
