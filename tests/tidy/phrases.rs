//! Phrases that make a reader guess who does what: their share of the lines of comments may only fall.

use super::none;
use super::prose::all_sources;
use super::ratchets::package_of;
use super::source::{line_comments, string_texts, word_offsets};

/// Each leaves out the subject or the object, or takes a word of speech for what a datagram does.
const PHRASES: [&str; 9] =
    ["nobody", "somebody", "is none", "of which", "told", "said", "heard", "goes on", "by who"];

/// Those of them, and others, that no sentence needs: "of which" and "is none" have plain uses too.
const VAGUE: [&str; 8] = ["nobody", "somebody", "told", "said", "heard", "goes on", "amiss", "by who"];

/// The packages whose comments and messages have no [`VAGUE`] phrase.
const PLAIN: [&str; 13] = [
    "crates/lockstep-app",
    "crates/lockstep-client",
    "crates/lockstep-daemon",
    "crates/lockstep-doctor",
    "crates/lockstep-gateway",
    "crates/lockstep-io",
    "crates/lockstep-machine",
    "crates/lockstep-metrics",
    "crates/lockstep-node",
    "crates/lockstep-notary",
    "crates/lockstep-process",
    "crates/lockstep-top",
    "crates/lockstep-wire",
];

/// Further packages whose messages have none.
const PLAIN_MESSAGES: [&str; 2] = [".", "crates/lockstep-config"];

/// Files whose strings only a developer reads: bugs that a run of the simulator plants, and a fuzzer.
const DEVELOPERS: [&str; 2] =
    ["crates/lockstep-wire/src/planted.rs", "crates/lockstep-gateway/src/gateway/core/fuzz"];

/// Whether a text in lower case has the phrase. "by who" stands for "by whom" and "by whoever" as well.
fn has(text: &str, phrase: &str) -> bool {
    match phrase {
        "by who" => text.contains(" by who"),
        _ => word_offsets(text, phrase).next().is_some(),
    }
}

/// Lines of comments, and how many have such a phrase.
fn count(text: &str) -> (usize, usize) {
    let (mut lines, mut hits) = (0, 0);
    for (_, comment) in line_comments(text) {
        let comment = comment.to_lowercase();
        lines += 1;
        hits += usize::from(PHRASES.iter().any(|phrase| has(&comment, phrase)));
    }
    (lines, hits)
}

/// The first vague phrase of a text. A command between backquotes is no part of the sentence.
fn vague(text: &str) -> Option<&'static str> {
    let prose: String = text.to_lowercase().split('`').step_by(2).collect();
    VAGUE.into_iter().find(|phrase| has(&prose, phrase))
}

/// The comments with a vague phrase, each by its offset.
fn vague_comments(text: &str) -> Vec<(usize, &'static str)> {
    line_comments(text).filter_map(|(at, comment)| Some((at, vague(comment)?))).collect()
}

/// The sentences in the strings before a file's tests that have a vague phrase, each by its offset.
fn vague_messages(text: &str) -> Vec<(usize, &'static str)> {
    let program = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
    let sentences = string_texts(program).into_iter().filter(|(_, text)| text.contains(' '));
    sentences.filter_map(|(at, text)| Some((at, vague(&text)?))).collect()
}

/// The share in a thousand lines, rounded up, for `ratchets.toml`.
pub fn measured() -> Vec<(&'static str, String, usize)> {
    let sources = all_sources();
    let counts = sources.iter().map(|(_, text)| count(text));
    let (lines, hits) = counts.fold((0, 0), |sum, count| (sum.0 + count.0, sum.1 + count.1));
    assert!(lines > 10_000, "the comments are read: {lines}");
    vec![("phrases", "in 1000 lines of comments".to_owned(), (hits * 1000).div_ceil(lines))]
}

#[test]
fn the_phrases_of_comments_are_counted() {
    let text = "// Nobody is told: one line.\nlet x = \"// said\"; // by whoever\n/// goes on\n// unsaid, retold\nnobody();";
    assert_eq!(count(text), (4, 3));
}

#[test]
fn plain_packages_name_who_does_what() {
    let mut found = Vec::new();
    for (path, text) in all_sources() {
        let package = package_of(&path);
        let is_plain = PLAIN.contains(&package);
        let is_test = path.contains("/tests") || !path.contains("src/");
        let is_read = !is_test && !DEVELOPERS.iter().any(|file| path.starts_with(file));
        let mut hits = if is_plain { vague_comments(&text) } else { Vec::new() };
        if is_read && (is_plain || PLAIN_MESSAGES.contains(&package)) {
            hits.extend(vague_messages(&text));
        }
        let line = |at: usize| text[..at].matches('\n').count() + 1;
        found.extend(hits.into_iter().map(|(at, phrase)| format!("{path}:{}: {phrase}", line(at))));
    }
    none(found, "say who does it, and what it does");
}

#[test]
fn a_vague_phrase_is_found_in_a_comment_and_in_a_message() {
    let phrases =
        |hits: Vec<(usize, &'static str)>| hits.into_iter().map(|(_, phrase)| phrase).collect::<Vec<_>>();
    let text = "// Nobody reads.\nlet user = \"nobody\"; // of which one\nlog(\"it \\\n goes on\");\nlog(\"`--names nobody` x\");\n\
                #[cfg(test)]\nmod tests { fn a() { log(\"it was told\"); } }\n";
    assert_eq!(phrases(vague_comments(text)), ["nobody"]);
    assert_eq!(phrases(vague_messages(text)), ["goes on"]);
}
