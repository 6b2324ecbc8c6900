//! The glossary's retired words do not come back as names.

use super::prose::all_sources;
use super::source::{code_only, is_name_char, line_of};
use super::{files, name, none, read, root};
use std::collections::BTreeSet;

/// The mark of a row of the table whose words are retired in every name, whatever they mean there.
const EVERYWHERE: &str = "yes";

/// The words of the glossary's table "Retired words" that no name may have as a part.
fn retired(glossary: &str) -> BTreeSet<String> {
    let (_, table) = glossary.split_once("\n## Retired words").expect("the table of retired words");
    let rows = table.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"));
    let rows = rows.map(|row| row.split(" | ").collect::<Vec<_>>());
    let marked = rows.filter(|row| row.len() == 3 && row[2] == EVERYWHERE);
    marked.flat_map(|row| row[0].split(", ").map(|word| word.trim().to_owned()).collect::<Vec<_>>()).collect()
}

/// The parts of a name: `beat_ns` has two, `MembersAway` too.
fn parts(name: &str) -> Vec<String> {
    let mut parts = Vec::new();
    let mut last = ' ';
    for c in name.chars() {
        if parts.is_empty() || last == '_' || c.is_uppercase() && !last.is_uppercase() {
            parts.push(String::new());
        }
        if c != '_' {
            parts.last_mut().expect("one is open").extend(c.to_lowercase());
        }
        last = c;
    }
    parts
}

/// The names in a text without comments; the name of a test is a sentence, and so is not read.
fn names(code: &str) -> Vec<(usize, &str)> {
    let mut names = Vec::new();
    let (mut at, mut before) = (0, "");
    while at < code.len() {
        let rest = &code[at..];
        let end = rest.find(|c| !is_name_char(c)).unwrap_or(rest.len());
        let name = &rest[..end];
        if end == 0 {
            at += rest.chars().next().map_or(1, char::len_utf8);
            continue;
        }
        let is_test = before == "fn" && parts(name).len() > SENTENCE;
        if !is_test && !name.starts_with(|c: char| c.is_ascii_digit()) {
            names.push((at, name));
        }
        (at, before) = (at + end, name);
    }
    names
}

/// A name of more parts is a sentence: that of a test, or of a case in a table of tests.
const SENTENCE: usize = 5;

/// The names of keys and counters in a text's strings: strings that are one name, with dots or without.
fn text_names(text: &str) -> Vec<(usize, &str)> {
    let code = code_only(text);
    let mut found = Vec::new();
    for (at, string) in text
        .match_indices('"')
        .zip(text.match_indices('"').skip(1))
        .map(|((from, _), (to, _))| (from + 1, &text[from + 1..to]))
    {
        let is_name = !string.is_empty()
            && string.contains(['_', '.'])
            && string.chars().all(|c| c.is_ascii_lowercase() || c == '_' || c == '.');
        if is_name && code[at..at + string.len()].trim().is_empty() {
            found.push((at, string));
        }
    }
    found
}

/// Where a retired word is a part of a name, as `file:line: name`.
fn revived(file: &str, text: &str, retired: &BTreeSet<String>) -> Vec<String> {
    let has = |name: &str| {
        let parts = name.split('.').flat_map(parts).collect::<Vec<_>>();
        parts.len() <= SENTENCE && parts.iter().any(|part| retired.contains(part))
    };
    let code = code_only(text);
    let all = names(&code).into_iter().chain(text_names(text));
    let mut found: Vec<_> = all.filter(|(_, name)| has(name)).collect();
    found.sort_unstable();
    let found = found.into_iter().map(|(at, name)| format!("{file}:{}: {name}", line_of(text, at)));
    let path = file.rsplit('/').next().and_then(|last| last.strip_suffix(".rs")).filter(|stem| has(stem));
    path.map(|_| file.to_owned()).into_iter().chain(found).collect()
}

fn glossary() -> BTreeSet<String> {
    retired(&read(&root().join("docs/GLOSSARY.md")))
}

#[test]
fn a_retired_word_is_no_part_of_a_name() {
    let retired = glossary();
    let found = all_sources().iter().flat_map(|(file, text)| revived(file, text, &retired)).collect();
    none(found, "names with a retired word: docs/GLOSSARY.md has the one in use");
}

#[test]
fn a_retired_word_is_no_part_of_a_key() {
    let retired = glossary();
    let mut found = Vec::new();
    for path in files("configs", "toml") {
        let text = read(&path);
        for (index, line) in text.lines().enumerate() {
            let line = line.trim_start_matches(['#', ' ', '[']);
            let key: String = line.chars().take_while(|&c| is_name_char(c)).collect();
            let is_key = line[key.len()..].trim_start().starts_with(['=', ']']);
            if is_key && parts(&key).iter().any(|part| retired.contains(part)) {
                found.push(format!("{}:{}: {key}", name(&path), index + 1));
            }
        }
    }
    none(found, "keys with a retired word: docs/GLOSSARY.md has the one in use");
}

#[test]
fn a_retired_word_in_a_name_is_found() {
    let table = "\n## Retired words\n\n| retired | in use | no name has it |\n|---|---|---|\n\
                 | fate, knell | outcome | yes |\n| told | reported | |\n";
    let retired = retired(table);
    assert_eq!(retired.iter().collect::<Vec<_>>(), ["fate", "knell"]);
    let found = |text: &str| revived("a.rs", text, &retired);
    assert_eq!(found("x\nlet last_fate = 1;"), ["a.rs:2: last_fate"]);
    assert_eq!(found("enum Fate { KnellOut, FirstKnell }").len(), 3);
    assert_eq!(found("Counter \"fate_in\" \"timing.knell\"").len(), 2, "counters and keys");
    assert_eq!(revived("src/fate.rs", "", &retired), ["src/fate.rs"]);
    let none = "// fate\nlet fatal = told; \"the fate of it\"; fn each_message_has_one_fate_and_no_more() {}";
    assert!(found(none).is_empty(), "{:?}", found(none));
    assert_eq!(parts("MembersAway_of_RTTs"), ["members", "away", "of", "rtts"]);
    assert!(glossary().len() > 30, "the table is read");
}
