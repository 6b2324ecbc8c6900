//! Conditions that make a run fail.

use super::sample::results;
use lockstep_bench::results::Condition;

fn judged(text: &str) -> Result<Vec<String>, String> {
    let mut results = results();
    results.counts.insert("lost".into(), 3);
    text.parse::<Condition>().expect(text).judge(&results)
}

#[test]
fn conditions_judge_medians_of_subjects_ratios_and_counts() {
    assert_eq!(judged("p50>30us"), Ok(vec![]));
    assert_eq!(judged("stamped.64.p50 > 20us").unwrap().len(), 1);
    assert_eq!(judged("ratio.p50>1.6"), Ok(vec![]));
    assert_eq!(judged("ratio.lockstep.p50>=1.4").unwrap().len(), 1);
    assert_eq!(judged("less.p50>8us"), Ok(vec![]));
    assert_eq!(judged("less.lockstep.p50>7us").unwrap().len(), 1);
    assert_eq!(judged("lost>2").unwrap().len(), 1);
    assert_eq!(judged("lost<1"), Ok(vec![]));
}

#[test]
fn a_percentile_that_too_few_samples_tell_is_judged_by_the_greatest() {
    assert_eq!(
        judged("p99.9>29us"),
        judged("p99.9>0.029ms").map(|violated| {
            violated.into_iter().map(|line| line.replace("p99.9>0.029ms", "p99.9>29us")).collect()
        })
    );
    assert_eq!(judged("p99.9>14us").unwrap().len(), 1);
}

#[test]
fn a_condition_that_speaks_of_nothing_measured_is_refused() {
    for text in ["committed.p50>1us", "orders>0", "ratio.plain.p50>1"] {
        let why = judged(text).unwrap_err();
        assert!(why.contains(text) && why.contains("stamped, 64 B"), "{why}");
    }
}

#[test]
fn a_name_that_nothing_has_is_refused_before_anything_is_measured() {
    for text in ["p95>1us", "lots>0", "stamped.p98>1us"] {
        let refused = text.parse::<Condition>();
        assert!(refused.is_err(), "{text}");
    }
    let why = "lots>0".parse::<Condition>().unwrap_err();
    assert!(why.contains("'lots'") && why.contains("p99.9") && why.contains("lost"), "{why}");
    assert!("storm_accepted_per_second<1".parse::<Condition>().is_ok());
}

#[test]
fn what_is_no_condition_is_refused_with_an_example() {
    for text in ["gap.p99", "gap.p99>", "gap.p99>5 miles", ">", ">5"] {
        let refused = text.parse::<Condition>();
        assert!(refused.is_err_and(|why| why.contains("p99>20us")), "{text}");
    }
}
