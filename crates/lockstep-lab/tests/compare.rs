//! The comparison: computed from runs, the same each time, and with steps from each guarantee to the next.

use lockstep_lab::cards::ALL;
use lockstep_lab::compare::{Comparison, Row};
use lockstep_lab::page::page;
use lockstep_lab::timed::Timing;

fn row<'a>(comparison: &'a Comparison, name: &str) -> &'a Row {
    comparison.protocols.iter().find(|row| row.name == name).expect("it has a price")
}

#[test]
fn equal_comparisons_have_equal_bytes() {
    let [one, other] = [(); 2].map(|()| Comparison::of(&ALL, 3));
    assert_eq!(one.to_string(), other.to_string());
    assert_eq!(page(&ALL, &one), page(&ALL, &other));
    let json = serde_json::to_value(&one).expect("it has no key that is no text");
    let paxos = json["protocols"].as_array().expect("a list").iter().find(|row| row["name"] == "paxos");
    assert_eq!(paxos.expect("it has a price")["delays"], serde_json::json!([3, 3, 4]));
}

/// A process that waits for p1 alone never goes on without it; a takeover costs the detection and its round.
#[test]
fn the_gap_is_endless_without_a_takeover() {
    let comparison = Comparison::of(&ALL, 5);
    assert_eq!(row(&comparison, "fixed-sequencer").gap, None);
    assert_eq!(row(&comparison, "two-phase-commit").gap, None);
    assert_eq!(row(&comparison, "uniform-majority").gap, Some(2));
    assert!(row(&comparison, "sequencer-takeover").gap.is_some_and(|gap| gap > 10));
    assert!(row(&comparison, "paxos").gap.is_some_and(|gap| gap > 10));
}

#[test]
fn a_stronger_guarantee_is_a_step_that_adds_and_never_takes() {
    let comparison = Comparison::of(&ALL, 3);
    assert!(!comparison.stronger.is_empty());
    for step in &comparison.stronger {
        let (from, to) = (row(&comparison, step.from), row(&comparison, step.to));
        assert!(from.guarantees.is_subset(&to.guarantees), "{} to {}", step.from, step.to);
        assert_eq!(to.guarantees.len() - from.guarantees.len(), step.adds.len());
    }
    let to_uniform =
        |from| comparison.stronger.iter().find(|step| (step.from, step.to) == (from, "uniform-all-ack"));
    let step = to_uniform("reliable-lazy").expect("uniform agreement is the next after agreement");
    assert_eq!((step.adds.as_slice(), step.delays), (["UNIFORM AGREEMENT"].as_slice(), 1));
}

#[test]
fn no_card_fails_in_a_timed_run_of_its_own_model() {
    for entry in ALL.entries() {
        let Some(run) = entry.timed(&Timing::of_card(entry.card)) else { continue };
        assert!(
            run.wrong.is_empty(),
            "{}: {:?}\n{}",
            entry.card.name,
            run.wrong,
            run.story.unwrap_or_default()
        );
        let again = entry.timed(&Timing::of_card(entry.card));
        assert_eq!(Some(run), again, "{}", entry.card.name);
    }
}
