//! Work of the side thread that may wait: scrubbing, mending, packing, retention.

use super::{DAY_NS, EVENTS_MAX, IDLE_ZEROS_LEN, Inputs, MEND_ATTEMPTS, SideEvent, SideThread, Wound};
use crate::journal::damage::Damage;
use crate::journal::derived::{base_gone, derive};
use crate::journal::gone::{ExpectedSegments, Gone, gone};
use crate::journal::mend::Mend;
use crate::journal::ports::{FileName, Store, StoreError, StoreFault, TailSource};
use crate::journal::read::numbers;
use crate::journal::scrub::Scrub;
use crate::journal::segment_index::Unserved;
use crate::journal::segments::{NeededBy, RUN_LEN_MAX, Retention, WriteError};
use lockstep_core::proto::planted::{Mutation, planted};
use lockstep_wire::{Nanos, Seq};
use std::collections::BTreeSet;

impl SideThread {
    /// Work that can wait; preparing the next segment can no longer wait when this one is half full.
    pub(super) fn chores<S: Store, T: TailSource>(
        &mut self,
        store: &mut S,
        source: &T,
        inputs: &Inputs,
        idle: bool,
        remarks: &mut Vec<SideEvent>,
    ) -> Result<(), WriteError> {
        let now = inputs.now;
        if idle || self.writer.is_spare_due() {
            // Under load as much as one group may be: so it is ready when this one is full.
            let len = if idle { IDLE_ZEROS_LEN } else { RUN_LEN_MAX };
            let prepared = if self.settings.power {
                self.writer.prepare(store, len).map(|_ready| ())
            } else {
                self.writer.reserve(store)
            };
            match prepared {
                // It is not needed yet: a lack of room for it is no error yet.
                Err(error) if !error.fault.may_pass() => return Err(error.into()),
                Err(_) | Ok(()) => {}
            }
        }
        // One per turn: so a stop has little left to wait for.
        self.writer.sync_sealed(store)?;
        if now >= self.retention_due {
            self.retain(store, source, inputs, false, remarks)?;
            self.retention_due = now + self.settings.retention_period_ns;
        }
        if self.settings.packs && now >= self.pack_due {
            self.pack(store, remarks)?;
            self.pack_due = now + self.settings.pack_period_ns;
        }
        if now >= self.scrub_due && self.settings.scrub_bytes_per_s > 0 {
            let period_ns = self.settings.scrub_period_ns;
            let budget = self.settings.scrub_bytes_per_s * period_ns / 1_000_000_000;
            self.check_sealed(store, budget, remarks)?;
            self.scrub_due = now + period_ns;
        }
        self.mend(store, now, remarks)?;
        if now >= self.presence_due {
            self.check_presence(store, remarks)?;
            self.presence_due = now + self.settings.presence_period_ns;
        }
        Ok(())
    }

    /// Files that should be there and are not count as damaged until they are back: segments, and the
    /// tables with which the oldest one begins. An index or a checkpoint that a whole segment lacks is
    /// computed anew, one in a turn.
    fn check_presence<S: Store>(
        &mut self,
        store: &mut S,
        remarks: &mut Vec<SideEvent>,
    ) -> Result<(), WriteError> {
        let newest = self.writer.number();
        let expected = ExpectedSegments { oldest: self.superblock.oldest_number, newest, end: 0 };
        let gone = if planted(Mutation::GoneUnnamed) { Vec::new() } else { gone(store, expected)? };
        let mut missed: Vec<(u64, FileName, Damage)> =
            gone.iter().map(|one| (one.first, FileName::Segment(one.first), one.damage())).collect();
        if let Some(oldest) = numbers(store)?.first().copied()
            && let Some(damage) = base_gone(store, oldest)?
        {
            missed.push((oldest - 1, FileName::Checkpoint(oldest - 1), damage));
        }
        let is_gone = |number: u64, file: FileName| {
            let in_row = |gone: &Gone| (gone.first..=gone.last).contains(&number);
            missed.iter().any(|(_, missed, _)| *missed == file)
                || file == FileName::Segment(number) && gone.iter().any(in_row)
        };
        let back: Vec<(u64, FileName)> = self
            .damaged
            .iter()
            .filter_map(|(number, wound)| Some((*number, wound.gone?)))
            .filter(|(number, file)| !is_gone(*number, *file))
            .collect();
        for (number, file) in back {
            self.damaged.remove(&number);
            remarks.push(SideEvent::Back(file));
            // Its neighbours may be mended by what it says.
            self.damaged.values_mut().filter(|wound| wound.gone.is_none()).for_each(|wound| wound.tries = 0);
        }
        for (number, file, damage) in missed {
            let wound = self.damaged.entry(number).or_default();
            if wound.gone.replace(file) != Some(file) {
                // Its bytes are in no other journal in the same form (`mend`).
                (wound.found, wound.tries) = (vec![damage.clone()], MEND_ATTEMPTS);
                remarks.push(SideEvent::Damaged(damage));
            }
        }
        self.serve();
        self.derive_again(store, newest, remarks)
    }

    /// Computes what a sealed segment lacks that is derived from it, if all of the segment is whole.
    fn derive_again<S: Store>(
        &mut self,
        store: &mut S,
        newest: u64,
        remarks: &mut Vec<SideEvent>,
    ) -> Result<(), WriteError> {
        let files: BTreeSet<FileName> = store.list()?.into_iter().collect();
        let present = numbers(store)?;
        // If the segment behind it is gone, its checkpoint is unknown.
        let mut sealed = present.windows(2).filter(|pair| pair[0] < newest && pair[1] == pair[0] + 1);
        let lacks = |number: u64| {
            let derived = [FileName::Index(number), FileName::Checkpoint(number)];
            !self.damaged.contains_key(&number) && !derived.iter().all(|file| files.contains(file))
        };
        let Some(number) = sealed.find(|pair| lacks(pair[0])).map(|pair| pair[0]) else { return Ok(()) };
        let mut found = Vec::new();
        let mut scrub = Scrub::before(number);
        while scrub.finished().is_none() && !scrub.step(store, number + 1, u64::MAX, &mut found)? {}
        if let Some(damage) = found.first().cloned() {
            self.damaged.entry(number).or_default().found = found;
            remarks.push(SideEvent::Damaged(damage));
            self.serve();
            return Ok(());
        }
        match derive(store, number) {
            // No caller waits for the files: they are derived later.
            Err(error) if error.fault.may_pass() => {}
            Err(error) => return Err(error.into()),
            Ok(Ok(files)) => remarks.extend(files.into_iter().map(SideEvent::Derived)),
            Ok(Err(damage)) => {
                let wound = self.damaged.entry(number).or_default();
                (wound.found, wound.tries) = (vec![damage.clone()], MEND_ATTEMPTS);
                remarks.push(SideEvent::Damaged(damage));
            }
        }
        Ok(())
    }

    /// The scrub continues. Each finding is reported once.
    fn check_sealed<S: Store>(
        &mut self,
        store: &mut S,
        budget: u64,
        remarks: &mut Vec<SideEvent>,
    ) -> Result<(), WriteError> {
        let mut found: Vec<Damage> = Vec::new();
        self.scrub.step(store, self.writer.number(), budget, &mut found)?;
        for damage in found {
            let reported = &mut self.damaged.entry(self.scrub.number()).or_default().found;
            if reported.len() < EVENTS_MAX && !reported.contains(&damage) {
                reported.push(damage.clone());
                remarks.push(SideEvent::Damaged(damage));
            }
        }
        if let Some((number, true)) = self.scrub.finished()
            && let Some((_, index)) = self.scrub.take_index()
            && !self.damaged.contains_key(&number)
        {
            // A mend was cut off behind the segment.
            match store.replace(FileName::Index(number), &index) {
                Err(error) if !error.fault.may_pass() => return Err(error.into()),
                Err(_) => {}
                Ok(()) => remarks.push(SideEvent::Derived(FileName::Index(number))),
            }
        }
        if let Some((number, true)) = self.scrub.finished()
            && self.damaged.remove(&number).is_some()
        {
            remarks.push(SideEvent::Mended(number));
        }
        self.serve();
        Ok(())
    }

    /// Replay sources are notified of the segments that they must not serve.
    fn serve(&mut self) {
        self.written.damaged = Unserved::of(self.damaged.keys().copied());
    }

    /// A damaged segment gets its missing frames; see `mend`.
    pub(super) fn mend<S: Store>(
        &mut self,
        store: &mut S,
        now: Nanos,
        remarks: &mut Vec<SideEvent>,
    ) -> Result<(), WriteError> {
        if let Some(why) = self.mend_failures.take()
            && let Some(mend) = self.mend.take()
        {
            self.put_off(mend.number(), now, why, remarks);
        }
        if self.mend.is_none() && now >= self.mend_due {
            let next = self.damaged.iter().find(|(_, wound)| wound.tries < MEND_ATTEMPTS);
            let Some((number, tries)) = next.map(|(number, wound)| (*number, wound.tries)) else {
                return Ok(());
            };
            // What was superseded is given up only for a replacement that the device has.
            self.writer.sync_all(store)?;
            match Mend::begin(store, number, self.writer.replaced_from(), tries) {
                Ok(Ok(mend)) => self.mend = Some(mend),
                Ok(Err(why)) => {
                    // The next try guesses otherwise; a third finds nothing else before a file comes back.
                    if let Some(wound) = self.damaged.get_mut(&number).filter(|wound| wound.tries > 0) {
                        wound.tries = MEND_ATTEMPTS - 1;
                    }
                    self.put_off(number, now, why, remarks);
                }
                Err(error) => self.put_off(number, now, error.to_string(), remarks),
            }
        }
        let Some(mend) = self.mend.take_if(|mend| mend.missing().is_none()) else { return Ok(()) };
        let number = mend.number();
        if !self.damaged.contains_key(&number) {
            return Ok(());
        }
        match mend.finish(store) {
            Ok(Ok(())) => {
                self.damaged.remove(&number);
                remarks.push(SideEvent::Mended(number));
                // What begins where it ends, or ends where it begins, may be mended by what it says now.
                for beside in [number.saturating_sub(1), number + 1] {
                    if let Some(wound) = self.damaged.get_mut(&beside).filter(|wound| wound.gone.is_none()) {
                        wound.tries = 0;
                    }
                }
                self.serve();
            }
            Ok(Err(why)) => self.put_off(number, now, why, remarks),
            Err(error) if error.fault.may_pass() => self.put_off(number, now, error.to_string(), remarks),
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// A segment was not mended, and is tried again later unless its tries are used up.
    fn put_off(&mut self, number: u64, now: Nanos, why: String, remarks: &mut Vec<SideEvent>) {
        self.mend = None;
        self.mend_due = now + self.settings.mend_period_ns;
        let Some(wound) = self.damaged.get_mut(&number) else { return };
        wound.tries += 1;
        remarks.push(SideEvent::NotMended { number, left: MEND_ATTEMPTS - wound.tries, why });
    }

    /// Packs one sealed segment. It takes some hundredths of a second, in which the ring fills a little. A
    /// lack of room is no error: packing is tried again.
    fn pack<S: Store>(&mut self, store: &mut S, remarks: &mut Vec<SideEvent>) -> Result<(), WriteError> {
        match self.writer.pack(store) {
            Ok(Some((number, plain, packed))) => remarks.push(SideEvent::Packed { number, plain, packed }),
            // It is gone: the next look at the numbers names it.
            Err(StoreError { fault: StoreFault::Missing, .. }) => {}
            Err(error) if !error.fault.may_pass() => return Err(error.into()),
            Ok(None) | Err(_) => {}
        }
        Ok(())
    }

    fn retain<S: Store, T: TailSource>(
        &mut self,
        store: &mut S,
        source: &T,
        inputs: &Inputs,
        is_urgent: bool,
        remarks: &mut Vec<SideEvent>,
    ) -> Result<(), WriteError> {
        // The newest frame's UTC day stays whole; an older trading day is a need (DECISIONS 11).
        let newest = self.writer.end().timestamp;
        let (retention, keep_from) = if inputs.ring_only {
            (Retention { bytes_max: source.ring_len(), age_ns_max: 0 }, self.written.commit_next)
        } else {
            let today = self.writer.first_seq_since(store, newest - newest % DAY_NS)?;
            // An entry that is not committed in the segments' log may be undone; an older one may then be
            // needed.
            (self.settings.retention, today.min(self.written.commit_next))
        };
        let limits = (retention, self.ages.time(inputs.now, inputs.wall, newest));
        let done = self.writer.retain(store, &mut self.superblock, limits, keep_from, is_urgent)?;
        self.report_needs(done.retained_for, done.lapsed, remarks);
        for number in done.removed {
            remarks.push(SideEvent::Removed(number));
            self.written.oldest = number + 1;
            self.damaged.remove(&number);
            self.mend.take_if(|mend| mend.number() == number);
        }
        // What was gone below is missed no longer, but for the tables with which the oldest one begins.
        let oldest = self.superblock.oldest_number;
        let is_base = |number: u64, wound: &Wound| {
            number + 1 == oldest && wound.gone == Some(FileName::Checkpoint(number))
        };
        self.damaged.retain(|number, wound| *number >= oldest || is_base(*number, wound));
        self.serve();
        Ok(())
    }

    /// Bytes of the sealed segments, which retention counts; `None` before it looked for the first time.
    pub fn sealed_bytes(&self) -> Option<u64> {
        self.writer.sealed_bytes()
    }

    /// Each one for whom segments stay beyond the limits is reported once, and each need that is not met.
    fn report_needs(
        &mut self,
        retained_for: Option<(NeededBy, Seq)>,
        lapsed: Option<(NeededBy, Seq)>,
        remarks: &mut Vec<SideEvent>,
    ) {
        let needed_by = retained_for.map(|(by, _)| by);
        if let Some((by, from)) = retained_for.filter(|_| self.retained_for != needed_by) {
            remarks.push(SideEvent::RetainedFor { by, from });
        }
        self.retained_for = needed_by;
        if let Some((by, from)) = lapsed.filter(|_| self.lapsed != lapsed) {
            remarks.push(SideEvent::NeedLapsed { by, from });
        }
        self.lapsed = lapsed.or(self.lapsed);
    }

    /// No room: segments that retention may remove are removed at once, even if a reader needs them.
    pub(super) fn make_room<S: Store, T: TailSource>(
        &mut self,
        store: &mut S,
        source: &T,
        inputs: &Inputs,
        remarks: &mut Vec<SideEvent>,
    ) {
        match self.retain(store, source, inputs, true, remarks) {
            Err(error) if error.passing().is_none() => remarks.push(SideEvent::NotRemoved(error)),
            Ok(()) | Err(_) => {}
        }
    }
}
