//! The table of results.

use super::sample::results;

#[test]
fn a_table_has_each_subject_its_ratio_and_a_dash_for_what_too_few_samples_tell() {
    let mut results = results();
    results.rows[1].rounds[0].marks.push("the sender fell behind".into());
    let text = results.to_string();
    let has = |words: &[&str]| text.lines().any(|line| words.iter().all(|word| line.contains(word)));
    assert!(has(&["stamped, 64 B", "2 rounds", "us"]), "{text}");
    assert!(has(&["lockstep", "22.5 [15.0-30.0]"]), "{text}");
    assert!(has(&["over io", "1.50"]), "{text}");
    assert!(has(&["less io", "7.5"]), "{text}");
    assert!(has(&["! lockstep", "the sender fell behind"]), "{text}");
    assert!(!text.contains("p99"), "25 samples tell no p99: {text}");
}

#[test]
fn what_is_wide_or_negative_stands_below_its_head_and_beside_no_other() {
    let mut results = results();
    let name = "a subject whose name is longer than any column that was thought of";
    results.rows[1].words = name.into();
    for (number, round) in results.rows[1].rounds.iter_mut().enumerate() {
        round.figures.insert("p50".into(), 1e15 + number as f64 * 1e13);
        round.figures.insert("max".into(), 1e15);
    }
    results.rows[0].rounds.iter_mut().for_each(|round| _ = round.figures.insert("p50".into(), 4e15));
    let text = results.to_string();
    let line = text.lines().find(|line| line.starts_with(name)).expect("its line");
    let cells = line[name.len()..].split("  ").filter(|cell| !cell.is_empty());
    assert_eq!(cells.count(), 2, "two cells, apart: {line}");
    let less = text.lines().find(|line| line.trim_start().starts_with("less")).expect("a difference");
    assert!(less.contains("-") && less.contains(" to -"), "negative bounds are told apart: {less}");
}

#[test]
fn a_percentile_that_not_all_rounds_tell_is_not_compared_with_one_that_all_do() {
    let mut results = results();
    let rounds = &mut results.rows[1].rounds;
    rounds.iter_mut().for_each(|round| _ = round.figures.insert("p99".into(), 90.0));
    rounds[0].figures.insert("p99.9".into(), 50.0);
    let row = &results.rows[1];
    assert!(row.spread("p99").is_some() && row.spread("p99.9").is_none());
    assert!(!row.figures().contains(&"p99.9"));
}

#[test]
fn an_aim_says_where_it_is_missed() {
    let mut results = results();
    results.aim("a third more at most", |ratio| ratio.median("p50").map(|p50| p50 > 1.33));
    results.aim("twice at most", |ratio| ratio.median("p50").map(|p50| p50 > 2.0));
    results.aim("of another", |_| None);
    let notes: Vec<&str> = results.notes.iter().rev().take(3).rev().map(String::as_str).collect();
    assert!(notes[0].starts_with("aim: a third more at most: missed in 1 of 1 cases: "), "{notes:?}");
    assert_eq!(
        notes[1..],
        ["aim: twice at most: met in all 1 cases", "aim: of another: nothing of it was measured"]
    );
}
