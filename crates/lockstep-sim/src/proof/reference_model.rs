//! The acks and promises of a replica, recorded by an observer: every log that it ever had, how far it
//! acknowledged them, what it promised, and whether the device has all of that.

use lockstep_core::proto::log::LogEnd;
use lockstep_wire::{Epoch, Seq};

/// The end of a log, and the place of the log with one frame less; the blank log is its own.
#[derive(Clone, Copy, Debug)]
struct Known {
    end: LogEnd,
    before: usize,
}

/// See the module. Its records span any number of runs: nothing is dropped when one begins, because a log
/// that was replaced in memory may return from the device in a later run.
#[derive(Clone, Debug)]
pub(super) struct ProofModel {
    /// All logs that it ever had, as a tree: the place 0 is the blank log.
    known: Vec<Known>,
    /// The place of its present log.
    here: usize,
    /// The place of the newest ack: the log up to here must survive.
    acked: usize,
    /// The newest promise that was sent.
    pub(super) epoch_sent: Epoch,
    /// The device has everything that was acknowledged and promised, and the journal can know it.
    pub(super) settled: bool,
}

impl ProofModel {
    /// A replica whose log is blank, and that has neither acknowledged nor promised.
    pub(super) fn new() -> Self {
        let blank = Known { end: LogEnd::BLANK, before: 0 };
        Self { known: vec![blank], here: 0, acked: 0, epoch_sent: Epoch::NONE, settled: true }
    }

    /// The end of the log.
    pub(super) fn end(&self) -> LogEnd {
        self.known[self.here].end
    }

    /// The logs from `place` down to the blank one.
    fn down_from(&self, place: usize) -> impl Iterator<Item = usize> {
        std::iter::successors(Some(place), |place| Some(self.known[*place].before).filter(|_| *place > 0))
    }

    /// The place of the longest log below `place` that ends at or before `next`.
    fn up_to(&self, place: usize, next: Seq) -> usize {
        self.down_from(place).find(|place| self.known[*place].end.next <= next).unwrap_or(0)
    }

    /// The first seq of the last frame but `back`.
    pub(super) fn back(&self, back: usize) -> Seq {
        self.known[self.down_from(self.here).nth(back).unwrap_or(0)].end.next
    }

    pub(super) fn on_appended(&mut self, end: LogEnd) {
        self.known.push(Known { end, before: self.here });
        self.here = self.known.len() - 1;
    }

    /// The log from `from` on was replaced by frames that end at `ends`.
    pub(super) fn on_suffix_replaced(&mut self, from: Seq, ends: Vec<LogEnd>) {
        self.here = self.up_to(self.here, from);
        ends.into_iter().for_each(|end| self.on_appended(end));
    }

    /// The log below `next` was acknowledged in its own epoch.
    pub(super) fn on_acked(&mut self, next: Seq) {
        let place = self.up_to(self.here, next);
        let (acked, before) = (self.known[place].end, self.known[self.acked].end);
        if acked.epoch == self.end().epoch && (acked.epoch, acked.next) > (before.epoch, before.next) {
            self.acked = place;
        }
    }

    /// The error of a journal that calls itself complete and whose log ends at `end`, with this
    /// promise.
    pub(super) fn judge(&self, end: &LogEnd, promised: Epoch) -> Result<(), String> {
        let acked = self.known[self.acked].end;
        let Some(place) = self.known.iter().position(|known| known.end == *end) else {
            return Err(format!(
                "S9: it calls itself complete, and its log ends at {end:?}: it never had that one"
            ));
        };
        // An ack of a log that was replaced since has no force: the new log is of a higher epoch.
        if end.epoch <= acked.epoch && !self.down_from(place).any(|below| below == self.acked) {
            return Err(format!(
                "S9: it calls itself complete, its log ends at {end:?}, and it acknowledged up to {acked:?}"
            ));
        }
        if promised < self.epoch_sent {
            return Err(format!(
                "S2: it calls itself complete with promise {promised}, it said {}",
                self.epoch_sent
            ));
        }
        Ok(())
    }

    /// A run begins whose log ends at `end`.
    ///
    /// # Errors
    /// It never had that log.
    pub(super) fn on_begun(&mut self, end: &LogEnd) -> Result<(), String> {
        let place = self.known.iter().position(|known| known.end == *end);
        self.here = place.ok_or_else(|| format!("a run begins with a log that it never had: {end:?}"))?;
        Ok(())
    }

    /// The relation of the newest ack to the log, to distinguish states.
    pub(super) fn class(&self) -> (bool, bool, bool, bool) {
        let is_stored = self.down_from(self.here).any(|below| below == self.acked);
        (self.settled, self.acked == self.here, is_stored, self.epoch_sent > Epoch::NONE)
    }
}
