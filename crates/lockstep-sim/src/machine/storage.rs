//! The disk and the side thread of a machine: turns, calls in which the process dies or the device fails,
//! loss of power, damage while no process runs.

use crate::check::Violation;
use crate::coverage::Event;
use crate::disk::{DiskFault, SimDisk};
use crate::kinds::FaultKind;
use crate::machine::{Machine, MachineState};
use crate::rng::Rng;
use lockstep_core::proto::commit::Durability;
use lockstep_replica::journal::memory::MemoryTail;
use lockstep_replica::journal::packed::read_segment;
use lockstep_replica::journal::ports::{FileName, Store, TailSource, Word};
use lockstep_replica::journal::segment::GROUP_MARK_LEN;
use lockstep_replica::journal::side::{Inputs, SideEvent, SideStep};
use lockstep_replica::journal::{BLOCK_LEN, Checkpoint, Superblock, WriteError, read_segments};
use lockstep_wire::Nanos;

/// Turns of the side thread in which a loss of power may strike.
const LAST_TURNS: u64 = 4;
/// Calls among which it may strike.
const LAST_CALLS: u64 = 8;
/// Longest segment of any plan.
const SEGMENT_LEN_MOST: usize = 128 << 10;
/// The room that a full disk still has, in bytes.
const ROOM: [u64; 4] = [0, 0, 4_096, 20_000];

/// A tail that was on a disk, after a loss of power: some blocks were never written.
fn torn(mut memory: MemoryTail, rng: &mut Rng) -> MemoryTail {
    if rng.below(2) == 0 {
        for block in memory.ring_mut().chunks_mut(BLOCK_LEN).filter(|_| rng.below(4) == 0) {
            block.fill(0);
        }
    }
    memory
}

/// The frames of the log in the segments of `store`, as far as they can be read.
fn frames(store: &SimDisk) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    let Ok(mut log) = read_segments(store, 1) else { return frames };
    while let Ok(Some(Ok(frame))) = log.next() {
        frames.push(frame.bytes.to_vec());
    }
    frames
}

/// The result of the side thread's work.
pub(crate) enum Flushed {
    /// It continues, or waits.
    GoesOn,
    /// The process died in a call.
    Died,
    /// The device failed, as planned, with this error: the replica becomes silent.
    Failed(String),
    /// It found what had changed while no process ran.
    Damaged(String),
}

/// The consequence of the death of a process in a call of its disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct StorageFault {
    /// The machine loses its power with it.
    pub(crate) power: bool,
    /// The time for which nothing runs.
    pub(crate) lasting: Nanos,
}

impl Machine {
    /// The side thread's turn: urgent work first, then the rest.
    pub(crate) fn flush(&mut self, now: Nanos) -> Result<Flushed, Violation> {
        if now < self.disk_slow_until {
            return Ok(Flushed::GoesOn);
        }
        for _ in 0..2 {
            match self.side_turn(now, false) {
                Some(SideStep::Failed(error)) => return self.judge_failure(&error),
                Some(SideStep::Again) => {}
                Some(SideStep::Pause(_) | SideStep::Stopped) | None => break,
            }
        }
        if self.proves && self.is_on_device() {
            self.proves = false;
            self.noted.push(Event::DurabilityProven);
        }
        self.judge_vanished(now)?;
        // A segment that the scrub cannot read counts as damaged, and the process continues.
        self.failed |= self.store.take_struck();
        // A failed chore may be tried again; a dead process does nothing any more.
        Ok(if self.store.is_dead() { Flushed::Died } else { Flushed::GoesOn })
    }

    /// Whether it has named what has vanished, and made anew what it can.
    fn judge_vanished(&mut self, now: Nanos) -> Result<(), Violation> {
        let Self { vanished, store, side: Some(side), .. } = self else { return Ok(()) };
        let has_room = now >= self.disk_full_until;
        let is_able = has_room && side.stuck().is_none() && !store.is_dead() && self.rotten.is_empty();
        let events = vanished.judge(now, (side, store), is_able);
        self.noted.extend(events.map_err(|why| format!("{why}, at {}", self.identity))?);
        Ok(())
    }

    /// One turn of the side thread; `None` where nothing runs.
    fn side_turn(&mut self, now: Nanos, stop: bool) -> Option<SideStep> {
        self.store.set_capacity_bytes(if now < self.disk_full_until {
            self.disk_full_bytes
        } else {
            u64::MAX
        });
        let (wall, shown) = (self.wall(now), self.clock.at(now));
        let Self { state: MachineState::Up(replica), store, side: Some(side), giving, remarks, .. } = self
        else {
            return None;
        };
        // Read before the published frames are written: so it is the commit of the log that the segments
        // will have.
        let inputs = Inputs {
            now: shown,
            wall,
            stop,
            lineage: replica.core.lineage(),
            committed: replica.core.commit_next(),
            ring_only: replica.core.is_witness(),
            device: replica.core.follows_power(),
        };
        let next = side.turn(store, replica.tail_mut().memory_mut(), &inputs, remarks);
        giving.written = side.written();
        if store.is_dead() {
            // It told nobody of files that it could not read as it died.
            remarks.retain(|remark| !matches!(remark, SideEvent::Damaged(_)));
        }
        Some(next)
    }

    /// The process, which has no record, begins behind `checkpoint`: its files first, then its log.
    pub(crate) fn install(&mut self, checkpoint: &Checkpoint) -> Result<Flushed, Violation> {
        let Self { state: MachineState::Up(replica), store, side: Some(side), .. } = self else {
            return Ok(Flushed::GoesOn);
        };
        if !replica.may_begin_behind(checkpoint) {
            return Ok(Flushed::GoesOn);
        }
        match side.begin_behind(store, replica.tail_mut().memory_mut(), checkpoint.clone()) {
            Ok(()) if !store.is_dead() => replica.install(checkpoint),
            Ok(()) => return Ok(Flushed::Died),
            Err(error) if error.passing().is_some() && !store.is_dead() => {}
            Err(error) => return self.judge_failure(&error),
        }
        Ok(Flushed::GoesOn)
    }

    /// A side thread that writes nothing any more: the only allowed reasons are a planned failure and damage
    /// that a fault caused.
    fn judge_failure(&mut self, error: &WriteError) -> Result<Flushed, Violation> {
        if self.store.is_dead() {
            return Ok(Flushed::Died);
        }
        if self.store.take_struck() {
            self.failed = true;
            return Ok(Flushed::Failed(error.to_string()));
        }
        match error {
            WriteError::Damage(damage) if self.may_refuse() => Ok(Flushed::Damaged(damage.to_string())),
            WriteError::Damage(damage) => Err(format!("S7: {} wrote damage: {damage}", self.identity)),
            WriteError::Store(error) => {
                Err(format!("S7: the side thread of {} does not go on: {error}", self.identity))
            }
        }
    }

    /// The process stops cleanly: the segments have everything, and the superblock records it.
    pub(crate) fn stop(&mut self, now: Nanos, until: Nanos) -> Result<Flushed, Violation> {
        (self.disk_full_until, self.disk_slow_until) = (now, now);
        loop {
            match self.side_turn(now, true) {
                Some(SideStep::Again | SideStep::Pause(_)) => {}
                Some(SideStep::Failed(error)) => return self.judge_failure(&error),
                Some(SideStep::Stopped) => {
                    self.kill(until, None);
                    return Ok(Flushed::GoesOn);
                }
                None => return Ok(Flushed::Died),
            }
        }
    }

    /// The disk is nearly full until then.
    pub(crate) fn fill_disk(&mut self, now: Nanos, lasting: Nanos) {
        self.disk_full_until = now + lasting;
        self.disk_full_bytes = self.store.used_bytes() + ROOM[(lasting % ROOM.len() as u64) as usize];
    }

    /// Plans `disk_fault` for the call of the disk after the next `calls`.
    pub(crate) fn arm(&mut self, disk_fault: DiskFault, calls: u64, salt: u64, ordeal: StorageFault) {
        self.store.arm(disk_fault, calls, salt);
        self.ordeal = Some(ordeal);
    }

    /// The machine loses its power: memory is lost, and any part of what the disk had only cached; `within`
    /// a call of the side thread or between two. Returns whether something cached is lost.
    pub(crate) fn lose_power(
        &mut self,
        now: Nanos,
        until: Nanos,
        (within, with_tail): (bool, bool),
        rng: &mut Rng,
    ) -> bool {
        if within && matches!(self.state, MachineState::Up(_)) {
            self.store.arm(DiskFault::Death, rng.below(LAST_CALLS), rng.next_u64());
            for _ in 0..LAST_TURNS {
                self.side_turn(now, false);
            }
        }
        let lost = self.store.lose_power(&mut |bound| rng.below(bound));
        (self.side, self.stopping, self.ordeal, self.darkens) = (None, None, None, None);
        self.boot += 1;
        self.cold = true;
        self.forgot |= !self.is_on_device();
        self.lose_tails();
        let state = std::mem::replace(&mut self.state, MachineState::Lost);
        let memory = match state {
            MachineState::Up(replica) => Some(replica.into_tail().into_memory()),
            MachineState::Down(memory, _) => memory,
            MachineState::Lost => None,
        };
        let memory = memory.filter(|_| with_tail).map(|memory| torn(memory, rng));
        self.state = MachineState::Down(memory, until);
        lost
    }

    /// A bit of a sealed segment changes; returns its number, if there is one.
    pub(crate) fn rot(&mut self, rng: &mut Rng) -> Option<u64> {
        let MachineState::Up(_) = &self.state else { return None };
        let files = self.store.list().ok()?;
        let number_of = |file: &FileName| match file {
            FileName::Segment(number) | FileName::Packed(number) => Some(*number),
            _ => None,
        };
        let newest = files.iter().filter_map(number_of).max()?;
        let sealed: Vec<FileName> =
            files.into_iter().filter(|file| number_of(file).is_some_and(|number| number < newest)).collect();
        let file = *sealed.get(rng.below(sealed.len().max(1) as u64) as usize)?;
        let (number, len) = (number_of(&file)?, self.store.len(file).ok()?);
        let mut plain = vec![0; 2 * SEGMENT_LEN_MOST];
        let read = read_segment(&self.store, number, 0, &mut plain).ok()?.ok()?;
        plain.truncate(read);
        let bit = rng.below(len * 8);
        self.store.file_mut(file)?[(bit / 8) as usize] ^= 1 << (bit % 8);
        // Of one that was damaged before nobody knows what it was.
        let original = (!self.damaged_segments.contains(&number)).then_some(plain);
        self.rotten.entry(number).or_insert(original);
        Some(number)
    }

    /// A segment was mended: it must equal the original. The mark of its last group may differ, and records
    /// that a takeover has replaced may be lost: then the log of all segments must be the one that it was.
    pub(crate) fn on_mended(&mut self, number: u64) -> Result<(), Violation> {
        self.damaged_segments.remove(&number);
        let Some(was) = self.rotten.remove(&number).flatten() else { return Ok(()) };
        // The judge's own: no fault that waits for the process strikes them, nor is its death theirs.
        let mut now = self.store.clone();
        now.disarm();
        now.revive();
        let mut before = now.clone();
        let mut is = vec![0; was.len()];
        let read = read_segment(&now, number, 0, &mut is).map_err(|error| error.to_string())?;
        let len = read.unwrap_or(0).min(was.len()).saturating_sub(GROUP_MARK_LEN);
        let behind = &was[(len + GROUP_MARK_LEN).min(was.len())..];
        let same = len > 0 && is[..len] == was[..len] && behind.iter().all(|byte| *byte == 0);
        before.replace(FileName::Segment(number), &was).map_err(|error| error.to_string())?;
        // Its index is that of the mended one: it is computed anew.
        let _removed = before.remove(FileName::Index(number));
        if same || frames(&now) == frames(&before) {
            Ok(())
        } else {
            Err(format!("S7: segment {number} of {} was mended into another", self.identity))
        }
    }

    /// Whether the device has everything that was acknowledged or promised, by the superblock: nothing is
    /// lost with the memory. The weaker one of its copies alone is a start that was interrupted before it
    /// sent anything.
    pub(crate) fn is_on_device(&self) -> bool {
        let Ok(Ok(copies)) = Superblock::load(&self.store) else { return false };
        let is_safe = |copy: Superblock| copy.run.clean || copy.run.weakest_durability == Durability::Power;
        is_safe(copies.newest) || copies.older.is_some_and(is_safe)
    }

    /// Something in the journal changes while no process runs. Returns whether there was anything to change.
    pub(crate) fn inject(&mut self, disk_fault: FaultKind, rng: &mut Rng) -> bool {
        let MachineState::Down(memory, _) = &mut self.state else { return false };
        let harmed = match (disk_fault, memory) {
            (FaultKind::TailBit, Some(memory)) => {
                let published = memory.word(Word::PublishedPos).min(memory.ring_len());
                let bit = rng.below(published * 8);
                if published > 0 {
                    memory.ring_mut()[(bit / 8) as usize] ^= 1 << (bit % 8);
                }
                published > 0
            }
            (FaultKind::TailBit, None) => false,
            (FaultKind::SegmentBit | FaultKind::StaleBlock, _) => {
                let files = self.store.list().unwrap_or_default();
                let segments: Vec<FileName> =
                    files.into_iter().filter(|file| matches!(file, FileName::Segment(_))).collect();
                let Some(&file) = segments.get(rng.below(segments.len() as u64) as usize) else {
                    return false;
                };
                let Some(bytes) = self.store.file_mut(file).filter(|bytes| !bytes.is_empty()) else {
                    return false;
                };
                if let FileName::Segment(number) = file {
                    self.damaged_segments.insert(number);
                }
                match disk_fault {
                    FaultKind::StaleBlock if bytes.len() >= 8_192 => {
                        let blocks = bytes.len() as u64 / 4_096;
                        let (from, to) = (rng.below(blocks) as usize, rng.below(blocks) as usize);
                        let block = bytes[from * 4_096..][..4_096].to_vec();
                        let changes = bytes[to * 4_096..][..4_096] != block[..];
                        bytes[to * 4_096..][..4_096].copy_from_slice(&block);
                        changes
                    }
                    _ => {
                        let bit = rng.below(bytes.len() as u64 * 8);
                        bytes[(bit / 8) as usize] ^= 1 << (bit % 8);
                        true
                    }
                }
            }
        };
        self.damaged |= harmed;
        harmed
    }
}
