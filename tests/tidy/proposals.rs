//! No message proposes to remove keys, journals or tails, or to switch authentication off: a person reads it
//! at night, and does it.

use super::source::{line_of, string_texts, test_parts};
use super::{none, product};

/// Words that propose to remove something, and the setting that switches keys off. Of a file that is in the
/// way, a message says whose it is, which mode is right, or that it is to be moved.
const PROPOSALS: [&str; 9] = [
    "remove it",
    "remove them",
    "remove the ",
    "delete it",
    "delete them",
    "delete the ",
    "`rm ",
    "rm -",
    "mode = \"none\"",
];

/// Messages that sound so: the file, a part of the message, and what that is about.
const KNOWN: [(&str, &str, &str); 6] = [
    (
        "src/cli/store/journal/trim.rs",
        "Give --yes to remove them",
        "`journal trim` removes segments: that was asked for",
    ),
    (
        "crates/lockstep-bridge/src/postgres.rs",
        "remove it, or allow it with --no-read-back",
        "a trigger of a database",
    ),
    ("crates/lockstep-bridge/src/nats.rs", "delete the stream", "a stream of NATS that is empty"),
    ("crates/lockstep-bridge/src/kafka/mod.rs", "delete the topic", "a topic of Kafka that is empty"),
    (
        "crates/lockstep-client/src/builder.rs",
        "where the nodes' file has security.mode = \"none\"",
        "a cluster without keys",
    ),
    (
        "crates/lockstep-bridge/src/postgres.rs",
        "or delete the rows behind that seq",
        "rows that the bridge wrote",
    ),
];

/// The messages of a file that propose it: the line, and the words.
fn proposed(file: &str, text: &str) -> Vec<String> {
    let tests: Vec<_> = test_parts(text)
        .into_iter()
        .map(|part| part.as_ptr() as usize - text.as_ptr() as usize)
        .zip(test_parts(text).into_iter().map(str::len))
        .collect();
    let is_test = |at: usize| tests.iter().any(|(start, len)| (*start..start + len).contains(&at));
    let mut found = Vec::new();
    for (at, message) in string_texts(text).into_iter().filter(|(at, _)| !is_test(*at)) {
        let is_known = KNOWN.iter().any(|(of, part, _)| *of == file && message.contains(part));
        let word = PROPOSALS.iter().find(|word| message.contains(**word)).filter(|_| !is_known);
        found.extend(word.map(|word| format!("{file}:{}: '{word}' in: {message}", line_of(text, at))));
    }
    found
}

#[test]
fn no_message_proposes_to_remove_a_file_or_to_switch_keys_off() {
    let all: Vec<_> = product().into_iter().filter(|(file, _)| !file.contains("tests")).collect();
    assert!(all.len() > 300, "{}", all.len());
    let found = all.iter().flat_map(|(file, text)| proposed(file, text)).collect();
    none(found, "messages that propose to remove what a cluster needs, or to switch keys off");
    for (file, part, _) in KNOWN {
        let text =
            all.iter().find(|(name, _)| name == file).map(|(_, text)| text.as_str()).unwrap_or_default();
        let has = string_texts(text).iter().any(|(_, message)| message.contains(part));
        assert!(has, "{file} does not say '{part}' any more: take it off the list");
    }
}

#[test]
fn such_a_message_is_found_across_lines_and_not_in_tests() {
    let bad = "fn a() { say(\"it is open; \\\n    remove \\\n it\"); }\n";
    assert_eq!(proposed("a.rs", bad).len(), 1, "{:?}", proposed("a.rs", bad));
    assert_eq!(proposed("a.rs", "say(\"write mode = \\\"none\\\"\");").len(), 1);
    assert_eq!(proposed("a.rs", "say(r#\"write mode = \"none\"\"#);").len(), 1);
    for good in [
        "// remove it\nsay(\"chmod 600 it\");",
        "remove_it();",
        "#[cfg(test)]\nmod tests { fn a() { say(\"remove it\"); } }",
    ] {
        assert!(proposed("a.rs", good).is_empty(), "{good}");
    }
}
