//! How much an operator reads: before the first cluster, and of all that is not looked up.

use crate::{read, root};

/// What one reads in a minute.
const WORDS_A_MINUTE: usize = 230;
/// How long one reads before the first cluster runs.
const MINUTES: usize = 15;
/// The words of both lists.
const WORDS: usize = 25_000;

/// The words of a text: parts between spaces that have a letter or a number.
fn words(text: &str) -> usize {
    text.split_whitespace().filter(|part| part.chars().any(char::is_alphanumeric)).count()
}

/// The document that begins each line of a list of `map`, by the list's heading.
fn listed<'a>(map: &'a str, heading: &str) -> Vec<&'a str> {
    let (_, list) = map.split_once(&format!("\n### {heading}\n")).expect("a list");
    let list = list.split("\n#").next().unwrap_or_default();
    let first = |line: &'a str| line.strip_prefix("* [")?.split_once("](")?.1.split_once(')');
    list.lines().filter_map(first).map(|(path, _)| path).collect()
}

#[test]
fn an_operator_reads_a_quarter_of_an_hour_before_the_first_cluster_and_25_000_words_in_all() {
    let map = read(&root().join("docs/README.md"));
    let pages = |heading| {
        let pages: Vec<_> = listed(&map, heading).into_iter().map(|page| (page, count(page))).collect();
        let sum: usize = pages.iter().map(|(_, words)| words).sum();
        println!("{heading}: {sum} words, {} minutes: {pages:?}", sum.div_ceil(WORDS_A_MINUTE));
        (pages, sum)
    };
    let ((first, before), (then, running)) = (pages("Before the first cluster"), pages("While it runs"));
    let has = |pages: &[(&str, usize)], names: &[&str]| {
        names.iter().all(|name| pages.iter().any(|(page, _)| page == name))
    };
    assert!(has(&first, &["../README.md", "DEPLOY.md", "NIGHT.md"]), "{first:?}");
    assert!(has(&then, &["RUN.md", "CHANGE.md", "RECOVER.md", "RUNBOOK.md", "SECURITY.md"]), "{then:?}");
    let most = MINUTES * WORDS_A_MINUTE;
    assert!(before <= most, "before the first cluster an operator reads {before} words, {most} at most");
    let all = before + running;
    assert!(all <= WORDS, "an operator reads {all} words, {WORDS} at most: {first:?} {then:?}");
}

/// The words of a page that the map of the documents names.
fn count(page: &str) -> usize {
    words(&read(&root().join("docs").join(page)))
}

#[test]
fn a_list_has_its_pages_and_a_table_no_words_of_its_own() {
    let map = "# Map\n\n### A\n\n* [x](x.md), [y](y.md): z\n* [w](../w.md)\n\n### B\n\n* [v](v.md)\n";
    assert_eq!((listed(map, "A"), listed(map, "B")), (vec!["x.md", "../w.md"], vec!["v.md"]));
    assert_eq!(words("| a | `b c` |\n|---|---|\n"), 3);
}
