//! What a suspension of a reader led to.

use crate::coverage::Event;
use lockstep_wire::Seq;

/// The events of a reader's suspension.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SleepOutcome {
    /// It is suspended: takeovers until then.
    since: Option<u64>,
    /// Another replica led when it continued.
    takeover: bool,
    /// The seq from which on it retracted, while no journal was read since; and whether a suspension
    /// preceded that.
    undone: Option<(Seq, bool)>,
}

impl SleepOutcome {
    /// It is stopped, after so many takeovers.
    pub(crate) fn begin(&mut self, takeovers: u64) {
        self.since.get_or_insert(takeovers);
    }

    /// It continues, after so many takeovers.
    pub(crate) fn go_on(&mut self, takeovers: u64) {
        if let Some(since) = self.since.take() {
            self.takeover = takeovers > since;
        }
    }

    /// It retracts everything from `from` on.
    pub(crate) fn retract(&mut self, from: Seq) {
        let (first, slept) = self.undone.unwrap_or((from, false));
        self.undone = Some((first.min(from), slept || self.takeover));
    }

    /// It receives the message at `seq`, from a journal or not. Returns the event to count.
    pub(crate) fn take(&mut self, seq: Seq, by_replay: bool) -> Option<Event> {
        self.takeover = false;
        let (_, slept) = self.undone.take_if(|(from, _)| seq >= *from)?;
        match (by_replay, slept) {
            (true, true) => Some(Event::ReplaysBehindSleep),
            (true, false) => Some(Event::ReplaysBehindRetract),
            (false, _) => None,
        }
    }
}
