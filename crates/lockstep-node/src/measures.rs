//! What a node measures of itself, beside the engine's counters.

use lockstep_core::engine::counters::CounterRow;
use lockstep_core::engine::durations::Durations;
use lockstep_io::output::{self, DROPPED_ROW};
use lockstep_wire::{Nanos, Seq};

/// A pass that begins this late after the one before it counts as a stall.
const STALL_NS: Nanos = 20_000;

/// The rows, in the order of [`Measures::values`].
pub const NODE_ROWS: [CounterRow; 6] = [
    CounterRow::count("turns_working", "Passes of the duty cycle that found something to do."),
    CounterRow::gauge(
        "written_next",
        "The exclusive end of the entries that are written to segments of the journal.",
    ),
    CounterRow::gauge(
        "durable_next",
        "The exclusive end of the entries that the journal's device has confirmed.",
    ),
    CounterRow::histogram(
        "stall_ns",
        "Time between two passes of the duty cycle, if it is at least 20 us; waits of an idle thread do not count.",
    ),
    CounterRow::histogram(
        "commit_latency_ns",
        "Time from the pass that stamped an entry until it was committed; one sample each 10 ms.",
    ),
    DROPPED_ROW,
];

/// The measures: see the module.
#[derive(Default, Debug)]
pub struct Measures {
    turns_working: u64,
    stalls: Durations,
    commit_latencies: Durations,
    /// When the last pass began, if only this thread's own work lies between it and the next one.
    turned_at: Option<Nanos>,
    /// Whether a sample of the latency is due.
    wants_sample: bool,
    /// An exclusive bound of stamped entries, and the time of the pass that stamped the last of them.
    sample: Option<(Seq, Nanos)>,
}

impl Measures {
    /// A pass that began at `now` has ended. `spins`: the thread never waits.
    #[inline]
    pub fn on_turn(&mut self, now: Nanos, work: usize, spins: bool) {
        if let Some(before) = self.turned_at
            && now >= before + STALL_NS
        {
            self.stalls.add(now - before);
        }
        self.turned_at = (work > 0 || spins).then_some(now);
        self.turns_working += u64::from(work > 0);
    }

    /// The next stamped entry is a sample of the latency.
    pub fn take_sample(&mut self) {
        self.wants_sample = self.sample.is_none();
    }

    /// Handles a pass of a leader that began at `now`, with the bounds of stamped and committed entries after
    /// it; `before` was the stamped bound before it.
    #[inline]
    pub fn on_leader_turn(&mut self, now: Nanos, before: Seq, stamped_next: Seq, commit_next: Seq) {
        if self.wants_sample && stamped_next > before {
            self.wants_sample = false;
            self.sample = Some((stamped_next, now));
        }
        if let Some((next, at)) = self.sample
            && commit_next >= next
        {
            self.commit_latencies.add(now - at);
            self.sample = None;
        }
    }

    /// This node does not lead: its last stamped entry is no sample.
    pub fn on_follower_turn(&mut self) {
        self.sample = None;
    }

    /// The values of [`NODE_ROWS`], with the exclusive ends of what is written and durable.
    pub fn values(&self, written_next: Seq, durable_next: Seq, out: &mut Vec<u64>) {
        out.extend([self.turns_working, written_next, durable_next]);
        out.extend(self.stalls.words());
        out.extend(self.commit_latencies.words());
        out.push(output::dropped());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latency_of_a_sample_ends_with_the_commit_of_all_that_its_pass_stamped() {
        let mut measures = Measures::default();
        measures.on_leader_turn(1_000, 5, 9, 5);
        assert_eq!(measures.commit_latencies.count(), 0, "none was wanted");
        measures.take_sample();
        measures.on_leader_turn(2_000, 9, 9, 9);
        measures.on_leader_turn(3_000, 9, 12, 9);
        measures.on_leader_turn(4_000, 12, 15, 11);
        assert_eq!(measures.commit_latencies.count(), 0, "a part of it is not committed");
        measures.on_leader_turn(5_000, 15, 15, 12);
        assert_eq!((measures.commit_latencies.count(), measures.commit_latencies.sum()), (1, 2_000));
    }

    #[test]
    fn a_wait_of_an_idle_thread_is_no_stall() {
        let mut measures = Measures::default();
        for (now, work, spins) in
            [(0, 0, false), (1_000_000, 3, false), (1_100_000, 0, true), (1_300_000, 0, true)]
        {
            measures.on_turn(now, work, spins);
        }
        assert_eq!((measures.stalls.count(), measures.stalls.sum()), (2, 300_000));
        assert_eq!(measures.turns_working, 1);
    }
}
