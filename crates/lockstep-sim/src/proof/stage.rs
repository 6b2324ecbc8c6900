//! A journal by hand: one run after the other, with each step and each loss as commanded. The code is that
//! of the exploration, and so is the judge, which remembers every ack and promise. For the scripts of
//! `tests/testdata/proof`.

use super::lost::{change_last_group, lose_power};
use super::mortal::{CrashState, CrashingStore};
use super::run::{ProofRun, RING_LEN, RunAction, StartConfig, inspection};
use super::{ProofModel, ProofViolation, Rest, created};
use crate::disk::{DiskFault, SimDisk};
use lockstep_core::proto::commit::Durability;
use lockstep_core::proto::log::LogEnd;
use lockstep_replica::journal::memory::MemoryTail;
use lockstep_replica::journal::proof::RingEvidence;
use lockstep_replica::journal::{Completeness, Inspection, JournalOpenError};
use std::rc::Rc;

/// The part that is done of the call in which a process dies (see [`SimDisk::arm`]): of a single block
/// nothing, of more a part.
const PART_DONE: u64 = 6;

/// See the module.
pub struct Stage {
    rest: Rest,
    run: Option<Running>,
    /// Runs so far: each of them writes other contents.
    runs: u32,
    saved_rings: [Option<MemoryTail>; 2],
    saved_disk: Option<SimDisk>,
}

struct Running {
    run: ProofRun,
    path: usize,
    crash_state: Rc<CrashState>,
}

/// The way in which a run begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Begin {
    /// The configuration.
    pub configured: Durability,
    /// The durability of acks in the epoch that is followed.
    pub follows: Durability,
    /// The path of its tail, of two.
    pub path: usize,
    /// Something else that the start needs is missing.
    pub fails: bool,
    /// The process dies in the call that changes a file after so many.
    pub dies: Option<u64>,
}

impl Stage {
    /// The journal of a replica with the genesis of a history, stopped cleanly.
    ///
    /// # Errors
    /// The journal contradicts itself.
    pub fn new() -> Result<Self, ProofViolation> {
        Ok(Self { rest: created()?, run: None, runs: 0, saved_rings: [None, None], saved_disk: None })
    }

    /// A run begins. Returns the result, in words.
    ///
    /// # Errors
    /// One runs already, or the journal contradicts itself.
    pub fn begin(&mut self, begin: Begin) -> Result<String, ProofViolation> {
        if self.run.is_some() {
            return Err("one runs already".into());
        }
        let Begin { configured, follows, path, fails, dies } = begin;
        let Some(seen) = inspection(&self.rest, path, configured)? else {
            return Ok("refused: damage leaves no log to go by".into());
        };
        let ring = ring_words(&seen);
        let Rest { disk, rings, reference: reference_model, .. } = &mut self.rest;
        disk.set_power(configured == Durability::Power);
        let grave = Rc::new(CrashState::default());
        let mut memory =
            Some(CrashingStore::new(rings[path].take().unwrap_or_else(|| MemoryTail::new(RING_LEN)), &grave));
        if let Some(calls) = dies {
            disk.arm(DiskFault::Death, calls, PART_DONE);
        }
        let started = seen.start(disk, |_| match memory.take() {
            Some(memory) if !fails => Ok((memory, ())),
            saved => {
                drop(saved);
                Err(JournalOpenError::Settings("its port is busy".into()))
            }
        });
        disk.disarm();
        let died = disk.is_dead();
        disk.revive();
        match started {
            Ok((opened, ())) => {
                let end = opened.tail.end();
                reference_model.on_begun(&end)?;
                self.runs += 1;
                let way = StartConfig { configured, follows, turns: false, path, fails };
                let run = ProofRun::new(opened, way, self.runs);
                self.run = Some(Running { run, path, crash_state: grave });
                Ok(format!("runs in {ring}: its log {}", end_words(&end)))
            }
            Err(error) => {
                drop(memory);
                rings[path] = grave
                    .take()
                    .filter(|ring| lockstep_replica::journal::ports::TailSource::label(ring).is_some());
                match error {
                    _ if died => Ok("is killed before it runs".into()),
                    JournalOpenError::Incomplete(why) => Ok(format!("refused: {why}")),
                    other => Ok(format!("does not start: {other}")),
                }
            }
        }
    }

    fn act(&mut self, deed: RunAction) -> Result<bool, ProofViolation> {
        let Self { rest: Rest { disk, reference: reference_model, .. }, run, .. } = self;
        let Some(running) = run else { return Err("nothing runs".into()) };
        running.run.act(deed, disk, reference_model)
    }

    /// Appends so many messages to its log, in memory.
    ///
    /// # Errors
    /// Nothing runs, or the tail refuses them.
    pub fn append(&mut self, count: usize) -> Result<(), ProofViolation> {
        self.act(RunAction::Append(count)).map(drop)
    }

    /// The side thread copies to the files `times` times, one group each, with all work that follows from
    /// it; or the process dies in the call that changes a file after `dies`, with a part of it done. Returns
    /// whether it lives.
    ///
    /// # Errors
    /// Nothing runs, or the side thread fails.
    pub fn copy(&mut self, times: u32, dies: Option<u64>) -> Result<bool, ProofViolation> {
        if let Some(calls) = dies {
            self.rest.disk.arm(DiskFault::Death, calls, PART_DONE);
        }
        let mut lives = true;
        for _ in 0..times {
            lives = lives && self.act(RunAction::Copy)?;
        }
        self.rest.disk.disarm();
        self.rest.disk.revive();
        if !lives {
            self.kill()?;
        }
        Ok(lives)
    }

    /// Acknowledges and promises everything that is permitted now. Returns that, in words.
    ///
    /// # Errors
    /// Nothing runs.
    pub fn speak(&mut self) -> Result<String, ProofViolation> {
        self.act(RunAction::Speak)?;
        let Some(running) = &self.run else { return Err("nothing runs".into()) };
        let (acked, promised) = running.run.may_send();
        let acked = if acked <= 1 { "nothing".into() } else { format!("what lies below {acked}") };
        Ok(match promised.round() {
            0 => format!("acknowledges {acked}"),
            round => format!("acknowledges {acked}, and has promised round {round}"),
        })
    }

    /// It promises the next ballot, in memory.
    ///
    /// # Errors
    /// Nothing runs.
    pub fn promise(&mut self) -> Result<(), ProofViolation> {
        self.act(RunAction::Promise).map(drop)
    }

    /// The last two frames are replaced by those of a new epoch.
    ///
    /// # Errors
    /// Nothing runs, or the tail refuses that.
    pub fn exchange(&mut self) -> Result<(), ProofViolation> {
        self.act(RunAction::Exchange).map(drop)
    }

    /// Sets the durability of acks in the epoch that is followed now.
    ///
    /// # Errors
    /// Nothing runs.
    pub fn follow(&mut self, durability: Durability) -> Result<(), ProofViolation> {
        let running = self.run.as_mut().ok_or("nothing runs")?;
        running.run.follow(durability);
        Ok(())
    }

    /// It stops cleanly, or is killed while it does: in the call that changes a file after `dies`. Returns
    /// whether it reached the end.
    ///
    /// # Errors
    /// Nothing runs, or the stop fails.
    pub fn stop(&mut self, dies: Option<u64>) -> Result<bool, ProofViolation> {
        if let Some(calls) = dies {
            self.rest.disk.arm(DiskFault::Death, calls, PART_DONE);
        }
        let running = self.run.as_mut().ok_or("nothing runs")?;
        let done = running.run.stop(&mut self.rest.disk)?;
        self.rest.disk.disarm();
        self.rest.disk.revive();
        self.kill()?;
        Ok(done)
    }

    /// Its process ends here and now.
    ///
    /// # Errors
    /// Nothing runs.
    pub fn kill(&mut self) -> Result<(), ProofViolation> {
        let Running { run, path, crash_state: grave } = self.run.take().ok_or("nothing runs")?;
        drop(run);
        self.rest.rings[path] = grave.take();
        Ok(())
    }

    /// The machine is restarted: its memory is lost; with `power`, everything that is only cached of the
    /// files as well.
    pub fn restart(&mut self, power: bool) {
        if let Some(Running { run, .. }) = self.run.take() {
            drop(run);
        }
        self.rest.restart(|disk| lose_power(disk, &mut |_| u64::from(!power)));
    }

    /// The tail at this path is lost.
    pub fn lose_tail(&mut self, path: usize) {
        self.rest.lose_ring(path);
    }

    /// Saves the tail at this path as it is now, ...
    pub fn save_tail(&mut self, path: usize) {
        self.saved_rings[path] = self.rest.rings[path].clone();
    }

    /// ... and restores it.
    pub fn put_back_tail(&mut self, path: usize) {
        self.rest.rings[path] = self.saved_rings[path].clone();
    }

    /// Saves the journal's files as they are now, ...
    pub fn save_files(&mut self) {
        self.saved_disk = Some(self.rest.disk.clone());
    }

    /// ... and restores them.
    ///
    /// # Errors
    /// None were saved.
    pub fn put_back_files(&mut self) -> Result<(), ProofViolation> {
        self.rest.disk = self.saved_disk.clone().ok_or("no files were kept")?;
        Ok(())
    }

    /// A bit of this copy of the superblock changes; the newest one is the one that was written last.
    pub fn damage_superblock(&mut self, copy: usize) {
        self.rest.damage_superblock(copy);
    }

    /// A bit of the last group in the files changes. Returns whether there is one.
    pub fn damage_last_group(&mut self) -> bool {
        change_last_group(&mut self.rest.disk)
    }

    /// The result of a start with this configuration and path, in words; and the violation in it, if any.
    ///
    /// # Errors
    /// The journal contradicts itself.
    pub fn look(&self, configured: Durability, path: usize) -> Result<String, ProofViolation> {
        let Some(inspection) = inspection(&self.rest, path, configured)? else {
            return Ok("incomplete: damage leaves no log to go by".into());
        };
        Ok(match inspection.completeness() {
            Completeness::Incomplete(why) => format!("incomplete: {why}"),
            Completeness::Complete => match judged(&self.rest.reference, &inspection) {
                Ok(()) => format!("complete: its log {}", end_words(&inspection.end())),
                Err(violation) => violation,
            },
        })
    }
}

fn judged(reference_model: &ProofModel, inspection: &Inspection) -> Result<(), ProofViolation> {
    reference_model.judge(&inspection.end(), inspection.promised())
}

fn end_words(end: &LogEnd) -> String {
    match end.epoch.round() {
        0 => format!("ends at {}", end.next),
        round => format!("ends at {}, in round {round}", end.next),
    }
}

fn ring_words(inspection: &Inspection) -> &'static str {
    match inspection.ring() {
        RingEvidence::Own => "the tail of its last run",
        RingEvidence::Other(_) => "a new tail",
    }
}
