//! The conditions of a set: what is wrong with its merged order, and which stream is the cause.
//!
//! ```text
//!  a coordinator: what it reads, continuously ─┐
//!  an operator's look: the last cut, and ──────┴─ SetFacts ─▶ judge ─▶ SetCondition
//!                      what each stream answers
//! ```
//!
//! No node can judge them, as none knows of another stream. Coordinators do, for their logs, counters and
//! pages, and operators' commands, which need no coordinator for it.

use lockstep_wire::{Condition, Epoch, Nanos, Seq};

/// Something is committed for so long, and no cut covers it, until the merged order stands still: the longest
/// interval of cuts and the patience of many coordinators are far below.
pub const STANDS_NS: Nanos = 2_000_000_000;
/// A stream is shorter than what a cut covers for so long until that is a condition: a new leader may be late
/// to say what is committed.
pub const AHEAD_NS: Nanos = 1_000_000_000;

/// The state of one stream of a set, as far as it is known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StreamFacts {
    /// The number of its cluster.
    pub stream: u64,
    /// Its row in the last cut that counts; none of the home stream, and before there is such a cut.
    pub row: Option<(Epoch, Seq)>,
    /// The exclusive end of what its leader says is committed; none without a leader.
    pub committed: Option<Seq>,
    /// For how long it has had no leader, where that is too long for a takeover.
    pub leaderless_ns: Option<Nanos>,
    /// For how long its leader has had less than the row covers.
    pub short_ns: Nanos,
    /// For how long the one who judges has waited for entries of it that the last cut covers.
    pub awaited_ns: Nanos,
}

impl StreamFacts {
    /// A stream of which nothing else is known.
    pub fn new(stream: u64) -> Self {
        Self { stream, row: None, committed: None, leaderless_ns: None, short_ns: 0, awaited_ns: 0 }
    }

    /// Whether its leader has less than the row covers.
    pub fn is_short(&self) -> bool {
        matches!((self.row, self.committed), (Some((_, next)), Some(end)) if end < next)
    }

    /// Whether its leader has more than the row covers.
    pub fn is_ahead(&self) -> bool {
        matches!((self.row, self.committed), (Some((_, next)), Some(end)) if end > next)
    }
}

/// The state of a set, as far as it is known.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct SetFacts {
    /// The seq of the last cut that counts; 0 where none is known.
    pub cut: Seq,
    /// For how long a cut has been due, and none came.
    pub due_ns: Nanos,
    /// The streams that are merged, the home stream first.
    pub streams: Vec<StreamFacts>,
}

/// A condition of a set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SetCondition {
    /// What it is.
    pub condition: Condition,
    /// The cluster of the stream that is the cause; 0 where no stream is.
    pub stream: u64,
    /// Its second number, as [`Condition`] has it.
    pub b: u64,
    /// For how long it has held.
    pub lasted: Nanos,
}

/// The conditions that hold, the gravest first.
pub fn judge(facts: &SetFacts) -> Vec<SetCondition> {
    let mut stalled = Vec::new();
    let mut ahead = Vec::new();
    let home = facts.streams.first().map(|home| home.stream);
    // No cut is the first entry of a stream.
    let cut = facts.cut.max(1);
    for one in &facts.streams {
        let awaited = Some(one.awaited_ns).filter(|awaited| *awaited > STANDS_NS);
        if let Some(lasted) = one.leaderless_ns.max(awaited) {
            // Without the home stream nothing is merged, and behind a cut nothing without what it covers.
            let stands = Some(one.stream) == home || awaited.is_some();
            let b = if stands { cut } else { 0 };
            stalled.push(SetCondition { condition: Condition::MergeStalled, stream: one.stream, b, lasted });
        }
        if let Some((_, next)) = one.row.filter(|_| one.is_short() && one.short_ns > AHEAD_NS) {
            let (condition, b) = (Condition::CutAhead, next.saturating_sub(1));
            ahead.push(SetCondition { condition, stream: one.stream, b, lasted: one.short_ns });
        }
    }
    let is_explained = stalled.iter().any(|one| one.b > 0);
    if facts.due_ns > STANDS_NS && !is_explained {
        let (condition, lasted) = (Condition::MergeStalled, facts.due_ns);
        stalled.push(SetCondition { condition, stream: 0, b: cut, lasted });
    }
    stalled.sort_by_key(|one| one.b == 0);
    stalled.into_iter().chain(ahead).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Nanos = 1_000_000_000;

    /// A home stream, and two others that are covered up to their ends.
    fn facts() -> SetFacts {
        let covered =
            |stream| StreamFacts { row: Some((Epoch(1), 9)), committed: Some(9), ..StreamFacts::new(stream) };
        let home = StreamFacts { committed: Some(50), ..StreamFacts::new(10) };
        SetFacts { cut: 40, due_ns: 0, streams: vec![home, covered(20), covered(30)] }
    }

    fn judged(change: impl FnOnce(&mut SetFacts)) -> Vec<(Condition, u64, u64, Nanos)> {
        let mut facts = facts();
        change(&mut facts);
        judge(&facts).iter().map(|one| (one.condition, one.stream, one.b, one.lasted)).collect()
    }

    #[test]
    fn a_stream_without_a_leader_is_named_and_the_others_go_on_unless_it_is_the_home_stream() {
        let stalled = Condition::MergeStalled;
        assert_eq!(judged(|_| ()), []);
        let leaderless =
            |at: usize| move |facts: &mut SetFacts| facts.streams[at].leaderless_ns = Some(7 * S);
        assert_eq!(judged(leaderless(1)), [(stalled, 20, 0, 7 * S)]);
        assert_eq!(judged(leaderless(0)), [(stalled, 10, 40, 7 * S)]);
    }

    #[test]
    fn an_order_that_waits_for_entries_of_a_stream_stands_at_its_cut() {
        let stalled = Condition::MergeStalled;
        let awaited = |ns| move |facts: &mut SetFacts| facts.streams[2].awaited_ns = ns;
        assert_eq!(judged(awaited(S)), [], "that is no more than a moment");
        assert_eq!(judged(awaited(3 * S)), [(stalled, 30, 40, 3 * S)]);
        let both = judged(|facts| {
            facts.streams[1].leaderless_ns = Some(9 * S);
            facts.streams[2].awaited_ns = 3 * S;
            facts.due_ns = 3 * S;
        });
        assert_eq!(both, [(stalled, 30, 40, 3 * S), (stalled, 20, 0, 9 * S)], "the gravest first");
    }

    #[test]
    fn where_no_cut_comes_and_no_stream_is_the_cause_none_is_named() {
        let stalled = Condition::MergeStalled;
        assert_eq!(judged(|facts| facts.due_ns = S), []);
        assert_eq!(judged(|facts| facts.due_ns = 3 * S), [(stalled, 0, 40, 3 * S)]);
        let home_too = judged(|facts| {
            facts.due_ns = 3 * S;
            facts.streams[0].leaderless_ns = Some(5 * S);
        });
        assert_eq!(home_too, [(stalled, 10, 40, 5 * S)], "its leader is the cause");
    }

    #[test]
    fn a_cut_that_says_more_than_its_stream_has_lies_ahead_once_that_lasts() {
        let short = |ns| {
            move |facts: &mut SetFacts| {
                (facts.streams[1].committed, facts.streams[1].short_ns) = (Some(5), ns)
            }
        };
        assert_eq!(judged(short(S)), [], "the word of a new leader may be late");
        assert_eq!(judged(short(4 * S)), [(Condition::CutAhead, 20, 8, 4 * S)]);
        let longer =
            judged(|facts| (facts.streams[1].committed, facts.streams[1].short_ns) = (Some(12), 4 * S));
        assert_eq!(longer, [], "it has what the cut covers");
    }
}
