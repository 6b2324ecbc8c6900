//! Checks of comments and names: the width of a comment, how its sentences begin, one meaning a type name.

use super::source::{code_only, line_comments, line_of};
use super::{none, product, read, root, sources};
use std::collections::BTreeMap;

/// All Rust files of the repository with their text.
pub fn all_sources() -> Vec<(String, String)> {
    ["src", "crates", "bindings", "tests", "bench", "tools", "examples"]
        .iter()
        .flat_map(|folder| sources(folder))
        .collect()
}

// ---------------------------------------------------------------------------- width

fn max_width(rustfmt: &str) -> usize {
    let table: toml::Table = rustfmt.parse().expect("rustfmt.toml");
    table["max_width"]
        .as_integer()
        .and_then(|width| usize::try_from(width).ok())
        .expect("max_width is a number")
}

/// Lines of comments that are wider than code may be. Tables and fenced blocks cannot be wrapped.
fn wide_comments(file: &str, text: &str, width: usize) -> Vec<String> {
    let (mut wide, mut is_fenced, mut last) = (Vec::new(), false, 0);
    for (at, comment) in line_comments(text) {
        let line = line_of(text, at);
        is_fenced &= line == last + 1;
        last = line;
        let words = comment.trim_start_matches(['/', '!']).trim_start();
        is_fenced ^= words.starts_with("```");
        let begins = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
        let columns = text[begins..at].chars().count() + comment.chars().count();
        if columns > width && !is_fenced && !words.starts_with('|') {
            wide.push(format!("{file}:{line}: {columns} columns"));
        }
    }
    wide
}

#[test]
fn a_comment_is_no_wider_than_code() {
    let width = max_width(&read(&root().join("rustfmt.toml")));
    let wide = all_sources().iter().flat_map(|(file, text)| wide_comments(file, text, width)).collect();
    none(wide, "comments wider than rustfmt's max_width: wrap them");
}

#[test]
fn a_wide_comment_is_found_and_a_table_is_none() {
    let wide = |text: &str| wide_comments("a.rs", text, 10);
    assert_eq!(wide("x\n    // wide"), ["a.rs:2: 11 columns"]);
    assert_eq!(wide("let x; // wide").len(), 1, "behind code");
    assert_eq!(wide("// ééééééé\n// éééééééé").len(), 1, "columns are characters");
    assert_eq!(wide("// ```\n// long enough\nx\n// long enough").len(), 1, "a fence ends with its comment");
    assert!(
        wide("/// | a table |\nlet x = \"// a string\";\n/// ```text\n/// a diagram\n/// ```").is_empty()
    );
    assert_eq!(max_width("max_width = 7"), 7);
}

// ---------------------------------------------------------------------------- sentences

/// Sentences of comments that begin with a relative clause instead of their subject ("Who asks …", "What is
/// lost …") and are no question.
fn riddles(file: &str, text: &str) -> Vec<String> {
    let (mut blocks, mut last): (Vec<(usize, String)>, usize) = (Vec::new(), 0);
    for (at, comment) in line_comments(text) {
        let line = line_of(text, at);
        let words = comment.trim_start_matches(['/', '!']).trim();
        match blocks.last_mut() {
            Some((_, block)) if line == last + 1 && !words.is_empty() => {
                block.push(' ');
                block.push_str(words);
            }
            _ => blocks.push((line, words.to_owned())),
        }
        last = line;
    }
    let begins = |sentence: &str| {
        let sentence = sentence.trim_start_matches(|c: char| "*-> ".contains(c));
        let is_riddle =
            ["Who ", "Whoever ", "Whom ", "What is "].iter().any(|word| sentence.starts_with(word));
        is_riddle && !sentence.contains('?')
    };
    let found = blocks.into_iter().flat_map(|(line, block)| {
        let sentences = block.replace(": ", ". ").replace("; ", ". ");
        let riddles = sentences.split(". ").filter(|sentence| begins(sentence)).map(str::to_owned);
        riddles.map(|riddle| (line, riddle)).collect::<Vec<_>>()
    });
    found.map(|(line, riddle)| format!("{file}:{line}: {riddle}")).collect()
}

#[test]
fn a_sentence_of_a_comment_begins_with_its_subject() {
    let found = all_sources().iter().flat_map(|(file, text)| riddles(file, text)).collect();
    none(found, "sentences that begin with a relative clause: subject, verb, object");
}

#[test]
fn a_relative_clause_at_the_start_of_a_comment_is_found() {
    let text = "/// Who asks\n/// waits. It is so. What is lost is lost.\nx // Whoever comes\n\n// Is it? Who knows?\n";
    assert_eq!(riddles("a.rs", text).len(), 3, "{:?}", riddles("a.rs", text));
    assert!(riddles("a.rs", "// What is it?\n// It is what it is.\nlet x = \"// Who x\";").is_empty());
}

// ---------------------------------------------------------------------------- names of types

/// Crates that are used by themselves, each with the names of its own protocol's documents.
const INDEPENDENT: [&str; 5] =
    ["crates/moldudp64/", "crates/soupbintcp/", "crates/ouch50/", "crates/itch50/", "crates/lockstep-lab/"];

/// Public type names with more than one meaning, as `Name: file, file`.
fn doubles(files: &[(String, String)]) -> Vec<String> {
    let mut places: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for (file, text) in files {
        let code = code_only(text);
        for line in code.lines() {
            let Some(item) = line.trim_start().strip_prefix("pub ") else { continue };
            let named =
                ["struct ", "enum ", "trait ", "union "].iter().find_map(|kind| item.strip_prefix(kind));
            let Some(named) = named else { continue };
            let end = named.find(|c: char| !super::is_name_char(c)).unwrap_or(named.len());
            // In a macro's pattern the name is still to come.
            if end > 0 {
                places.entry(named[..end].to_owned()).or_default().push(file);
            }
        }
    }
    let twice = places.into_iter().filter(|(_, files)| files.len() > 1);
    twice.map(|(name, files)| format!("{name}: {}", files.join(", "))).collect()
}

#[test]
fn a_public_type_name_has_one_meaning() {
    let is_alone = |file: &str| INDEPENDENT.iter().any(|folder| file.starts_with(folder));
    let (alone, ours): (Vec<_>, Vec<_>) = product().into_iter().partition(|(file, _)| is_alone(file));
    none(doubles(&ours), "public type names with two meanings (docs/GLOSSARY.md)");
    for folder in INDEPENDENT {
        let one: Vec<_> = alone.iter().filter(|(file, _)| file.starts_with(folder)).cloned().collect();
        none(doubles(&one), "public type names with two meanings");
    }
}

#[test]
fn a_type_name_with_two_meanings_is_found() {
    let files = [
        ("a.rs", "pub struct A;\npub enum B<T> {}\n// pub struct C;"),
        ("b.rs", "    pub trait B {}\npub struct C;"),
    ];
    assert_eq!(doubles(&files.map(|(file, text)| (file.to_owned(), text.to_owned()))), ["B: a.rs, b.rs"]);
}
