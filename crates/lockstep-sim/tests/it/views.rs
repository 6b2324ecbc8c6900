//! Histories of production leaders, out of a run, as a reader receives them and edited by hand.

use lockstep_sim::Plan;
use lockstep_sim::check::Violation;
use lockstep_sim::check::log_tree::{Fact, Tree};
use lockstep_sim::check::views::{PassedViews, PrimaryOrder, ReaderViews, ViewPassages};
use lockstep_sim::coverage::Event;
use lockstep_sim::world::recorded::recorded as recorded_run;
use lockstep_wire::{Epoch, Seq};

/// What a reader receives: the seq of each entry, and the fact.
type ReaderHistory = Vec<(Seq, Fact)>;

/// A run with its tree, and the committed log as a reader from the start receives it.
struct Recorded {
    tree: Tree,
    history: ReaderHistory,
    /// The index of the last message of an epoch that has two messages at least, and of the next epoch start.
    last: usize,
    start: usize,
}

fn is_message(entry: &(Seq, Fact)) -> bool {
    matches!(entry.1, Fact::Message(..))
}

fn is_start(entry: &(Seq, Fact)) -> bool {
    matches!(entry.1, Fact::Epoch(..))
}

/// The first run that has what the tests need.
fn recorded() -> Recorded {
    (0..).find_map(|seed| recorded_of(&Plan::of_seed(seed))).expect("some run has takeovers under load")
}

fn recorded_of(plan: &Plan) -> Option<Recorded> {
    let (tree, history) = recorded_run(plan, 4)?;
    let starts: Vec<usize> = (0..history.len()).filter(|at| is_start(&history[*at])).collect();
    if starts.len() < 3 {
        return None;
    }
    let (last, start) = starts.windows(2).find_map(|pair| {
        let mut messages = (pair[0]..pair[1]).filter(|at| is_message(&history[*at])).rev();
        let last = messages.next()?;
        messages.next().map(|_| (last, pair[1]))
    })?;
    Some(Recorded { tree, history, last, start })
}

impl Recorded {
    /// Judges primary order alone.
    fn order(&self, history: &[(Seq, Fact)]) -> Result<(), Violation> {
        let mut order = PrimaryOrder::default();
        history.iter().try_for_each(|(seq, fact)| order.on_entry(&self.tree, *seq, *fact, 1).map(|_| ()))
    }

    /// Judges view synchrony alone, of readers with these histories. Returns the passages that readers
    /// shared.
    fn synchrony(&self, histories: &[&[(Seq, Fact)]]) -> Result<usize, Violation> {
        let (mut passages, mut shared) = (ViewPassages::default(), 0);
        for (who, history) in histories.iter().enumerate() {
            let mut views = PassedViews::default();
            for (seq, fact) in *history {
                if let Some(passage) = views.on_entry(*seq, *fact, *seq) {
                    shared += usize::from(passages.on_passage(who, passage)?);
                }
            }
        }
        Ok(shared)
    }
}

#[test]
fn a_history_of_production_leaders_has_both() {
    let run = recorded();
    assert_eq!(run.order(&run.history), Ok(()));
    let passed = run.synchrony(&[&run.history, &run.history]).expect("both readers have the same");
    let starts = run.history.iter().filter(|entry| is_start(entry)).count();
    assert!(passed + 1 >= starts && starts >= 3, "{passed} passages, {starts} epochs");
}

#[test]
fn readers_of_runs_pass_views_together() {
    let passed =
        |seed| lockstep_sim::run(&Plan::of_seed(seed), false).map(|run| run.coverage.get(Event::ViewsPassed));
    assert!((0..).map(passed).take(20).any(|passed| passed.expect("the run is clean") > 0));
}

#[test]
fn primary_order_entries_of_one_leader_in_another_order_are_found() {
    let run = recorded();
    let before = (0..run.last).rev().find(|at| is_message(&run.history[*at])).expect("it has two");
    let mut edited = run.history.clone();
    let (a, b) = (edited[before].1, edited[run.last].1);
    (edited[before].1, edited[run.last].1) = (b, a);
    assert!(run.order(&edited).is_err_and(|why| why.contains("stamped another entry")));
}

#[test]
fn primary_order_a_gap_within_an_epoch_is_found() {
    let run = recorded();
    let mut edited = run.history.clone();
    edited.remove(run.last);
    assert!(run.order(&edited).is_err());
}

#[test]
fn primary_order_an_entry_of_an_earlier_leader_after_one_of_a_later_is_found() {
    let run = recorded();
    let mut edited = run.history.clone();
    let late = edited.remove(run.last);
    edited.insert(run.start, late);
    assert!(run.order(&edited).is_err());
    // Also where the reader takes it for what follows the start.
    let mut edited = run.history.clone();
    edited[run.start + 1].1 = edited[run.last].1;
    assert!(run.order(&edited[run.start..]).is_err_and(|why| why.contains("stamped another entry")));
    // Nor does an earlier leader come back.
    let mut edited = run.history.clone();
    let first = edited.iter().position(is_start).expect("it has starts");
    edited.truncate(run.start + 1);
    edited.push(edited[first]);
    assert!(run.order(&edited).is_err_and(|why| why.contains("after entries of")));
}

#[test]
fn primary_order_a_leader_that_lacks_what_was_delivered_of_an_earlier_one_is_found() {
    let run = recorded();
    let first = run.history.iter().position(is_start).expect("it has starts");
    assert!(first < run.start);
    // The reader goes to the later leader before the last entry of the earlier one.
    let mut edited = run.history.clone();
    edited.remove(run.start - 1);
    assert!(run.order(&edited).is_err_and(|why| why.contains("on another log")));
}

#[test]
fn view_synchrony_a_reader_that_lacks_a_message_of_the_view_that_it_leaves_is_found() {
    let run = recorded();
    let mut edited = run.history.clone();
    edited.remove(run.last);
    assert!(run.synchrony(&[&run.history, &edited]).is_err());
    assert!(run.synchrony(&[&edited, &run.history]).is_err());
    // One that did not go on to the next view owes nothing.
    assert!(run.synchrony(&[&run.history, &edited[..run.last]]).is_ok());
}

#[test]
fn view_synchrony_a_message_that_comes_in_the_next_view_is_found() {
    let run = recorded();
    let mut edited = run.history.clone();
    let late = edited.remove(run.last);
    edited.insert(run.start, late);
    assert!(run.synchrony(&[&run.history, &edited]).is_err());
}

#[test]
fn view_synchrony_a_change_of_the_membership_is_a_view() {
    let (message, other) = (Fact::Message(1, 1, 1, 1), Fact::Message(1, 2, 1, 2));
    let epoch = (2, Fact::Epoch(Epoch(1 << 36), 3));
    let change = Fact::Membership(4);
    let [before, after] =
        [[epoch, (3, message), (4, other), (5, change)], [epoch, (3, message), (4, change), (5, other)]];
    let run = Recorded { tree: Tree::default(), history: Vec::new(), last: 0, start: 0 };
    assert_eq!(run.synchrony(&[&before, &before]), Ok(1));
    assert!(run.synchrony(&[&before, &after]).is_err());
}

#[test]
fn a_reader_that_retracts_is_judged_by_what_it_has_then() {
    let run = recorded();
    let mut views = ReaderViews::default();
    let mut passages = ViewPassages::default();
    let mut receive = |views: &mut ReaderViews, who: usize, history: &[(Seq, Fact)]| {
        for (seq, fact) in history {
            views.order.on_entry(&run.tree, *seq, *fact, 1)?;
            if let Some(passage) = views.passed.on_entry(*seq, *fact, *seq) {
                passages.on_passage(who, passage)?;
            }
        }
        Ok::<_, Violation>(())
    };
    assert_eq!(receive(&mut views, 0, &run.history), Ok(()));
    for from in [run.start, run.last, run.last + 1, 1, 0] {
        let (from, rest) = (run.history[from].0, &run.history[from..]);
        views.on_retracted(&run.tree, from);
        assert_eq!(receive(&mut views, 0, rest), Ok(()), "from {from} on");
    }
    assert_eq!(receive(&mut ReaderViews::default(), 1, &run.history), Ok(()));
    // What was retracted must come again.
    views.on_retracted(&run.tree, run.history[run.last].0);
    assert!(receive(&mut views, 0, &run.history[run.last + 1..]).is_err());
}
