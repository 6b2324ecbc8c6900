//! The rows of docs/BOUNDS.md name settings, counters and tests that there are.

use crate::{backticked, is_test, none, read, root, text_of_tests};

/// The errors of a table of bounds: `settings`, `metrics` and `tests` are the texts that have what it names.
fn wrong_bounds(text: &str, [settings, metrics, tests]: [&str; 3]) -> Vec<String> {
    let mut wrong = Vec::new();
    let is_head = |line: &str| line.starts_with("| bound |") || line.starts_with("| what |");
    for row in text.lines().filter(|line| line.starts_with("| ") && !is_head(line)) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [what, size, _, visible, frees, test] = cells[..] else {
            wrong.push(format!("{row}: it has {} cells", cells.len()));
            continue;
        };
        let mut check = |is_there: bool, name: &str, kind: &str| {
            if !is_there {
                wrong.push(format!("{what}: there is no {kind} {name}"));
            }
        };
        for name in [size, frees].into_iter().flat_map(backticked) {
            check(settings.contains(&format!("`{name}`")), name, "setting");
        }
        for (at, _) in visible.match_indices("counter `") {
            let name = backticked(&visible[at..]).next().unwrap_or_default();
            check(metrics.contains(&format!("lockstep_{name}")), name, "counter");
        }
        check(backticked(test).count() == 1, test, "one test");
        for name in backticked(test) {
            check(is_test(name, tests), name, "test");
        }
    }
    wrong
}

#[test]
fn each_bound_has_its_setting_its_counter_and_its_test() {
    let [bounds, settings, metrics] =
        ["BOUNDS.md", "CONFIGURATION.md", "METRICS.md"].map(|file| read(&root().join("docs").join(file)));
    assert!(bounds.lines().filter(|line| line.starts_with("| ")).count() > 40, "docs/BOUNDS.md has few rows");
    let tests = text_of_tests();
    none(wrong_bounds(&bounds, [&settings, &metrics, &tests]), "bounds of docs/BOUNDS.md");
}

#[test]
fn a_bound_without_setting_counter_or_test_is_named() {
    let texts = ["| `a.b` |", "lockstep_full_total", "fn it_holds("];
    let row = |size, visible, test| {
        wrong_bounds(&format!("| x | {size} | me | {visible} | time | {test} |"), texts)
    };
    assert!(row("`a.b`", "counter `full`", "`it_holds`").is_empty());
    assert_eq!(row("`a.c`", "counter `full`", "`it_holds`"), ["x: there is no setting a.c"]);
    assert_eq!(row("`a.b`", "counter `gone`", "`it_holds`"), ["x: there is no counter gone"]);
    assert_eq!(row("`a.b`", "none", "`it_held`"), ["x: there is no test it_held"]);
    assert_eq!(row("`a.b`", "none", "none"), ["x: there is no one test none"]);
    assert_eq!(wrong_bounds("| x | y |", texts).len(), 1);
}
