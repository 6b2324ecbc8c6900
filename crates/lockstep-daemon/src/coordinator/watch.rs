//! The conditions of a set, as a coordinator judges them all the time: one line in the log when one begins,
//! one when it is over, and two counters of each for each stream.

use lockstep_client::internal::ActiveCondition;
use lockstep_core::engine::counters::Described;
use lockstep_set::{MergedReader, SetCondition};
use lockstep_wire::{Condition, Nanos};
use std::time::Duration;

/// The conditions of sets.
const KINDS: [Condition; 2] = [Condition::MergeStalled, Condition::CutAhead];

/// See the module.
pub struct SetWatch {
    /// The name and the cluster of each stream, the home stream's first.
    streams: Vec<(String, u64)>,
    active: Vec<SetCondition>,
    /// How often each kind began, of each stream.
    begun: Vec<[u64; KINDS.len()]>,
}

impl SetWatch {
    /// Nothing holds yet.
    pub fn new(streams: Vec<(String, u64)>) -> Self {
        let begun = vec![[0; KINDS.len()]; streams.len()];
        Self { streams, active: Vec::new(), begun }
    }

    /// These hold now: logs what has begun, and what is over.
    pub fn look(&mut self, holding: Vec<SetCondition>) {
        let is_same = |one: &SetCondition, other: &SetCondition| {
            (one.condition, one.stream) == (other.condition, other.stream)
        };
        let before = std::mem::take(&mut self.active);
        for over in before.iter().filter(|one| !holding.iter().any(|other| is_same(one, other))) {
            let (lasted, active) = (Duration::from_nanos(over.lasted), active_of(over));
            let (stream, what) = (self.name_of(over.stream), active.brief());
            tracing::info!(code = active.code(), stream, "over: {stream}: {what} (it lasted {lasted:.1?})");
        }
        for one in &holding {
            // The merged order may come to wait for a stream that it did without.
            let known = before.iter().find(|other| is_same(one, other));
            if known.is_some_and(|known| (known.b == 0) == (one.b == 0)) {
                continue;
            }
            if known.is_none()
                && let Some(kind) = KINDS.iter().position(|kind| *kind == one.condition)
            {
                let at = self.place_of(one.stream);
                self.begun[at][kind] += 1;
            }
            let active = active_of(one);
            let (stream, name) = (self.name_of(one.stream), one.condition.name());
            tracing::warn!(
                code = active.code(),
                stream,
                "{name}: {stream}: {}; {}",
                active.brief(),
                active.advice()
            );
        }
        self.active = holding;
    }

    /// Whether the merged order stands still.
    pub fn stands(&self) -> bool {
        self.active.iter().any(|one| one.condition == Condition::MergeStalled && one.b > 0)
    }

    /// The values of [`counters`].
    pub fn values(&self) -> impl Iterator<Item = u64> {
        let of = |(at, begun): (usize, &[u64; KINDS.len()])| {
            let holds = |kind: Condition| {
                self.active.iter().any(|one| one.condition == kind && self.place_of(one.stream) == at)
            };
            KINDS
                .into_iter()
                .zip(*begun)
                .flat_map(move |(kind, begun)| [u64::from(holds(kind)), begun])
                .collect::<Vec<_>>()
        };
        self.begun.iter().enumerate().flat_map(of)
    }

    /// Where no stream is the cause, the home stream has no cuts.
    fn place_of(&self, cluster: u64) -> usize {
        self.streams.iter().position(|(_, known)| *known == cluster).unwrap_or(0)
    }

    fn name_of(&self, cluster: u64) -> String {
        self.streams[self.place_of(cluster)].0.clone()
    }
}

/// The rows of [`SetWatch::values`]: those of a node's conditions, with the stream's name as a second label.
pub fn counters(streams: &[&str]) -> Vec<Described> {
    let of = |name: &&str| {
        let stream = format!("stream=\"{name}\"");
        KINDS.into_iter().flat_map(Described::of_condition).map(move |row| row.labelled(&stream))
    };
    streams.iter().flat_map(of).collect()
}

fn active_of(one: &SetCondition) -> ActiveCondition {
    let SetCondition { condition, stream, b, lasted } = *one;
    ActiveCondition { condition, age: Duration::from_nanos(lasted), a: stream, b }
}

/// For how long the merged order has waited for the stream whose turn it is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Awaited {
    stream: u64,
    number: u64,
    since: Nanos,
}

impl Awaited {
    /// The order is read up to here.
    pub fn look(&mut self, now: Nanos, reader: &MergedReader) {
        let (stream, number) = (reader.turn(), reader.merge().next_number());
        if (self.stream, self.number) != (stream, number) {
            *self = Self { stream, number, since: now };
        }
    }

    /// For how long it has waited for this stream.
    pub fn of(&self, now: Nanos, stream: u64) -> Nanos {
        if self.stream == stream { now.saturating_sub(self.since) } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(condition: Condition, stream: u64, b: u64) -> SetCondition {
        SetCondition { condition, stream, b, lasted: 3_000_000_000 }
    }

    #[test]
    fn each_stream_has_counters_of_each_condition_and_a_missing_cut_is_the_home_streams() {
        let mut watch = SetWatch::new(vec![("s1".to_owned(), 10), ("s2".to_owned(), 20)]);
        let rows = counters(&["s1", "s2"]);
        let value = |watch: &SetWatch, name: &str| {
            let at = rows.iter().position(|row| row.name == name).expect("a counter");
            watch.values().nth(at)
        };
        watch.look(vec![holds(Condition::MergeStalled, 20, 0)]);
        assert_eq!(watch.values().count(), rows.len());
        assert_eq!(value(&watch, "condition{condition=\"merge_stalled\",stream=\"s2\"}"), Some(1));
        assert_eq!(value(&watch, "condition{condition=\"merge_stalled\",stream=\"s1\"}"), Some(0));
        assert!(!watch.stands(), "the others go on");
        watch.look(vec![holds(Condition::MergeStalled, 20, 9), holds(Condition::CutAhead, 20, 4)]);
        watch.look(vec![holds(Condition::MergeStalled, 0, 9)]);
        assert!(watch.stands());
        let begun = "condition_begun{condition=\"merge_stalled\",stream=\"s2\"}";
        assert_eq!(value(&watch, begun), Some(1), "it went on, and got worse");
        assert_eq!(value(&watch, "condition_begun{condition=\"cut_ahead\",stream=\"s2\"}"), Some(1));
        assert_eq!(value(&watch, "condition{condition=\"merge_stalled\",stream=\"s1\"}"), Some(1));
        assert_eq!(value(&watch, "condition{condition=\"merge_stalled\",stream=\"s2\"}"), Some(0));
    }
}
