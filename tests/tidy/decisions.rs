//! Decisions stand in `docs/decisions`, one file for each subject, and `docs/DECISIONS.md` is their index by
//! number. `REWRITE=1 cargo test --test tidy decisions` writes the index.

use super::papers::anchors;
use super::prose::all_sources;
use super::{files, name, none, read, root};
use std::collections::BTreeMap;

/// The line behind which the index begins.
const TABLE: &str = "| number | decision | subject |\n|---|---|---|\n";

/// A decision's title, the subject (the stem of its file) and the anchor of its heading.
type Decision = (String, String, String);

/// The decisions of a subject, and the headings that are none.
fn decisions_of(subject: &str, text: &str) -> (Vec<(u32, Decision)>, Vec<String>) {
    let (mut found, mut wrong) = (Vec::new(), Vec::new());
    let headings = text.lines().filter(|line| line.starts_with("##"));
    // The first anchor is that of the file's own heading.
    for (heading, anchor) in headings.zip(anchors(text).into_iter().skip(1)) {
        let parts = heading.strip_prefix("## ").and_then(|rest| rest.split_once(". "));
        match parts.and_then(|(number, title)| Some((number.parse().ok()?, title))) {
            Some((number, title)) => found.push((number, (title.to_owned(), subject.to_owned(), anchor))),
            None => wrong.push(format!("docs/decisions/{subject}.md: '{heading}' is not `## NUMBER. Title`")),
        }
    }
    let falls = found.windows(2).filter(|pair| pair[0].0 >= pair[1].0);
    wrong.extend(
        falls.map(|pair| format!("docs/decisions/{subject}.md: {} stands behind {}", pair[1].0, pair[0].0)),
    );
    (found, wrong)
}

/// All decisions by number, and the errors: a wrong heading, a number that stands twice.
fn decisions(subjects: &[(String, String)]) -> (BTreeMap<u32, Decision>, Vec<String>) {
    let (mut all, mut wrong) = (BTreeMap::<u32, Decision>::new(), Vec::new());
    for (subject, text) in subjects {
        let (found, errors) = decisions_of(subject, text);
        wrong.extend(errors);
        for (number, decision) in found {
            if let Some((_, other, _)) = all.insert(number, decision) {
                wrong.push(format!("{number} stands in {other}.md and in {subject}.md"));
            }
        }
    }
    (all, wrong)
}

fn rows(all: &BTreeMap<u32, Decision>) -> String {
    let row = |(number, (title, subject, anchor)): (&u32, &Decision)| {
        format!("| {number} | [{title}](decisions/{subject}.md#{anchor}) | {subject} |\n")
    };
    all.iter().map(row).collect()
}

/// The decisions that a text cites: `DECISIONS 11`, `[DECISIONS](DECISIONS.md) 11`, `decision 11`.
fn cited(text: &str) -> Vec<u32> {
    let mut found = Vec::new();
    for word in ["DECISIONS", "decision"] {
        for (at, _) in text.match_indices(word) {
            let behind = &text[at + word.len()..];
            let behind = behind.strip_prefix("](DECISIONS.md)").unwrap_or(behind);
            let digits = behind.strip_prefix(' ').unwrap_or_default();
            let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
            found.extend(digits[..end].parse::<u32>().ok());
        }
    }
    found
}

/// The numbers in parentheses of a text that cites decisions so: `(12)`, `(80, 165)`.
fn in_parentheses(text: &str) -> Vec<u32> {
    let inner = text.split('(').skip(1).filter_map(|rest| rest.split(')').next());
    inner
        .filter_map(|inner| inner.split(", ").map(|part| part.parse().ok()).collect::<Option<Vec<_>>>())
        .flatten()
        .collect()
}

fn subjects() -> Vec<(String, String)> {
    let stem = |path: &std::path::Path| path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    files("docs/decisions", "md").iter().map(|path| (stem(path), read(path))).collect()
}

#[test]
fn the_index_of_decisions_has_each_one_once() {
    let (all, wrong) = decisions(&subjects());
    assert!(all.len() > 200, "the decisions are read: {}", all.len());
    none(wrong, "decisions of docs/decisions");
    let file = root().join("docs/DECISIONS.md");
    let index = read(&file);
    let (head, table) = index.split_once(TABLE).expect("docs/DECISIONS.md has a table");
    if std::env::var_os("REWRITE").is_some() {
        std::fs::write(&file, format!("{head}{TABLE}{}", rows(&all))).expect("writing the index");
    } else {
        assert_eq!(table, rows(&all), "docs/DECISIONS.md: REWRITE=1 cargo test --test tidy decisions");
    }
}

#[test]
fn each_decision_that_is_cited_exists() {
    let subjects = subjects();
    let (all, _) = decisions(&subjects);
    let (&last, _) = all.last_key_value().expect("there are decisions");
    let manifests = ["bindings", "crates"].into_iter().flat_map(|folder| files(folder, "toml"));
    let papers = files("docs", "md").into_iter().chain(manifests);
    let mut texts: Vec<_> = papers.map(|path| (name(&path), read(&path))).collect();
    // This file has numbers of its own, in its examples.
    texts.extend(all_sources().into_iter().filter(|(file, _)| file != "tests/tidy/decisions.rs"));
    let mut missing = Vec::new();
    for (file, text) in &texts {
        let mut numbers = cited(text);
        if file == "docs/DESIGN.md" || file.starts_with("docs/decisions/") {
            // A larger one is a count, as "500 a second (500)".
            numbers.extend(in_parentheses(text).into_iter().filter(|&number| number <= last));
        }
        let gone = numbers.into_iter().filter(|number| !all.contains_key(number));
        missing.extend(gone.map(|number| format!("{file}: {number}")));
    }
    none(missing, "decisions that are cited and do not exist: docs/DECISIONS.md lists them");
}

#[test]
fn a_decision_that_stands_twice_or_is_cited_in_vain_is_found() {
    let subject = |name: &str, text: &str| (name.to_owned(), text.to_owned());
    let wire = subject("wire", "# Wire\n\n## 2. One `header`, for all\n\nText (3).\n\n## 5. Two\n");
    let (all, wrong) = decisions(&[wire.clone(), subject("log", "# Log\n\n## 7. A log\n")]);
    assert!(wrong.is_empty(), "{wrong:?}");
    assert_eq!(
        rows(&all),
        "| 2 | [One `header`, for all](decisions/wire.md#2-one-header-for-all) | wire |\n\
         | 5 | [Two](decisions/wire.md#5-two) | wire |\n| 7 | [A log](decisions/log.md#7-a-log) | log |\n"
    );
    let (_, wrong) = decisions(&[wire, subject("log", "# Log\n\n## 5. A\n\n## 4. B\n\n### C\n")]);
    assert_eq!(wrong.len(), 3, "{wrong:?}");
    assert_eq!(
        cited("DECISIONS 11, [DECISIONS](DECISIONS.md) 156; decision 168, decisions, DECISIONS."),
        [11, 156, 168]
    );
    assert_eq!(in_parentheses("a (12) and (80, 165), but (seed 7) and (x, 1)"), [12, 80, 165]);
}
