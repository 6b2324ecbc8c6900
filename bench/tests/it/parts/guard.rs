//! The page of a history.

use lockstep_bench::guard::{PAGE, draw, save, word};
use lockstep_bench::results::{Facts, Results, Round, Row, Unit};

fn of_change(change: &str, began: &str, ratio: f64) -> Results {
    let mut results = Results::begin("guard", "", Facts::new());
    began.clone_into(&mut results.began);
    results.tell("B", change);
    results.tell("verdict", "no row is worse");
    let row = Row::new("stamped: 64 B: p50", "lockstep", "lockstep", Unit::Ratio);
    results.add(row.clone(), Round::value(ratio));
    results.add(Row { subject: "plain".to_owned(), ..row.as_floor(true) }, Round::value(1.0));
    results
}

#[test]
fn the_page_has_each_figure_as_a_line_over_all_changes_the_oldest_first() {
    let folder = tempfile::tempdir().expect("a folder");
    for (change, began, ratio) in [
        ("second", "2026-01-02T00:00:00Z", 1.02),
        ("first", "2026-01-01T23:00:00.5Z", 0.98),
        ("third", "2026-01-03T00:00:00Z", 1.01),
    ] {
        save(folder.path(), change, &of_change(change, began, ratio)).expect("saved");
    }
    draw(folder.path()).expect("drawn");
    let names = std::fs::read_dir(folder.path()).expect("it is there");
    let mut names: Vec<_> =
        names.map(|entry| entry.expect("a file").file_name().into_string().expect("ASCII")).collect();
    names.sort();
    let files = ["20260101T230000-first.json", "20260102T000000-second.json", "20260103T000000-third.json"];
    assert_eq!(names, [&files[..], &[PAGE]].concat());
    let page = std::fs::read_to_string(folder.path().join(PAGE)).expect("a page");
    let at = |words: &str| page.find(words).unwrap_or_else(|| panic!("{words} is not on the page"));
    assert!(at("change 1: first") < at("change 2: second") && at("change 2") < at("change 3: third"));
    assert!(page.contains("<svg"), "a line");
}

#[test]
fn a_change_is_named_by_what_may_stand_in_a_files_name() {
    assert_eq!(word("v1.2-3_a"), Ok("v1.2-3_a".to_owned()));
    for wrong in ["", "a/b", "..\u{0}", "a b"] {
        assert!(word(wrong).is_err(), "{wrong}");
    }
}
