//! What a replica has said, by somebody who only listens: the logs that it had, how far it acknowledged them,
//! what it promised, and whether the device has all of that.

use crate::proto::log::LogEnd;
use crate::wire::{Epoch, Seq};

#[derive(Clone, Debug)]
pub(super) struct Ghost {
    /// Where each frame of its log ends, the blank log first.
    ends: Vec<LogEnd>,
    /// The same of the log before the last exchange, while nothing was acknowledged since.
    replaced: Option<Vec<LogEnd>>,
    /// The newest ack: the log up to here must survive.
    acked: LogEnd,
    /// The newest promise that was said.
    pub(super) said: Epoch,
    /// The device has everything that was said, and the journal can know it.
    pub(super) settled: bool,
}

impl Ghost {
    pub(super) fn new(ends: Vec<LogEnd>) -> Self {
        Self { ends, replaced: None, acked: LogEnd::BLANK, said: Epoch::NONE, settled: true }
    }

    /// Where the log ends.
    pub(super) fn end(&self) -> LogEnd {
        self.ends.last().copied().unwrap_or(LogEnd::BLANK)
    }

    /// The first seq of the last frame but `back`.
    pub(super) fn back(&self, back: usize) -> Seq {
        self.ends[self.ends.len().saturating_sub(1 + back)].next
    }

    pub(super) fn on_appended(&mut self, end: LogEnd) {
        self.ends.push(end);
    }

    /// The log from `from` on was exchanged for frames that end at `ends`.
    pub(super) fn on_exchanged(&mut self, from: Seq, ends: Vec<LogEnd>) {
        self.replaced = Some(self.ends.clone());
        self.ends.retain(|end| end.next <= from);
        self.ends.extend(ends);
    }

    /// The log below `next` was acknowledged in its own epoch.
    pub(super) fn on_acked(&mut self, next: Seq) {
        let acked = self.ends.iter().rev().find(|end| end.next <= next);
        let Some(acked) = acked.filter(|acked| acked.epoch == self.end().epoch) else { return };
        if (acked.epoch, acked.next) > (self.acked.epoch, self.acked.next) {
            self.acked = *acked;
            self.replaced = None;
        }
    }

    /// What is wrong with a journal that calls itself complete and whose log ends at `end`, with this promise.
    pub(super) fn judge(&self, end: &LogEnd, promised: Epoch) -> Result<(), String> {
        let place = |ends: &[LogEnd], end: &LogEnd| ends.iter().position(|known| known == end);
        let holds = |ends: &Vec<LogEnd>| {
            let Some(here) = place(ends, end) else { return false };
            place(ends, &self.acked).is_some_and(|acked| acked <= here)
        };
        // What was acknowledged of a log that was exchanged since binds nobody: the new one is of a higher epoch.
        let is_new = self.acked.epoch < end.epoch && place(&self.ends, end).is_some();
        if !holds(&self.ends) && !self.replaced.as_ref().is_some_and(holds) && !is_new {
            return Err(format!(
                "S9: it calls itself complete, its log ends at {end:?}, and it acknowledged up to {:?}",
                self.acked
            ));
        }
        if promised < self.said {
            return Err(format!(
                "S2: it calls itself complete with promise {promised}, it said {}",
                self.said
            ));
        }
        Ok(())
    }

    /// A run begins whose log ends at `end`.
    pub(super) fn on_begun(&mut self, end: &LogEnd) {
        if !self.ends.contains(end)
            && let Some(replaced) = self.replaced.take()
        {
            self.ends = replaced;
        }
        while self.ends.len() > 1 && self.end() != *end {
            self.ends.pop();
        }
        self.replaced = None;
    }

    /// How the newest ack stands to the log, for telling states apart.
    pub(super) fn class(&self) -> (bool, bool, bool, bool) {
        let acked = self.acked.next;
        (self.settled, acked == self.end().next, self.replaced.is_some(), self.said > Epoch::NONE)
    }
}
