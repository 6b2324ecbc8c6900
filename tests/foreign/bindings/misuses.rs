//! What a program does wrong, and the one word that every language answers: the table of docs/BINDINGS.md.
//!
//! ```text
//!  MISUSES ──▶ the table of docs/BINDINGS.md (REWRITE=1 writes it anew)
//!     ▲
//!     └─ compared, cell by cell ◀── `misuse<TAB>word` lines of one program of each language, beside a cluster
//! ```
//! A program prints the status of what it catches by the one rule that its language has, so a refusal
//! without a status is a word of its own, and no word of the table.

mod rust;

use super::{c, finished, go, java, node, python, root, with_cluster};
use crate::dialect::description::{Description, LANGUAGES};
use lockstep_testkit::processes::Cluster;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::Command;

/// Why a language has no word for a misuse: the letter of a cell, the languages, and the reason.
type Exception = (char, &'static [&'static str]);

const REASONS: [(char, &str); 8] = [
    ('a', "its processes do not fork while they run"),
    ('b', "the compiler refuses it: a call borrows the handle alone, and closing takes it away"),
    ('c', "its library calls no program back: the handle is free while that looks at an event"),
    ('d', "no thread but the one that made a handle can reach it"),
    ('e', "the binding has no such call"),
    ('f', "the type of the argument has no such value"),
    ('g', "the text is parsed before, and its error is a text without a status"),
    ('h', "a handle has the calls of its halves alone"),
];

/// One row of the table.
struct Misuse {
    name: &'static str,
    what: &'static str,
    word: &'static str,
    exceptions: &'static [Exception],
}

const fn misuse(
    name: &'static str,
    what: &'static str,
    word: &'static str,
    exceptions: &'static [Exception],
) -> Misuse {
    Misuse { name, what, word, exceptions }
}

const IN_CALLBACK: &[Exception] = &[('b', &["Rust"]), ('c', &["Go", "Node", "Python"])];

const IN_REQUEST: &[Exception] = &[('b', &["Rust"]), ('c', &["Python"])];

const MISUSES: [Misuse; 44] = [
    misuse("fork", "a call in a child of a fork", "OTHER_PROCESS", &[('a', &["Go", "Java", "Node"])]),
    misuse(
        "two-threads",
        "a call beside a call of another thread",
        "IN_USE",
        &[('b', &["Rust"]), ('d', &["Node"])],
    ),
    misuse("poll-in-callback", "a poll in a callback of that handle's poll", "IN_USE", IN_CALLBACK),
    misuse(
        "publish-in-callback",
        "publishing there: the message leaves once",
        "OK",
        &[('c', &["Go", "Node", "Python"])],
    ),
    misuse("close-in-callback", "closing there: the handle ends with the poll", "OK", IN_CALLBACK),
    misuse("use-after-close", "a call after close", "CLOSED_HANDLE", &[('b', &["Rust"])]),
    misuse("close-twice", "a second close", "OK", &[('b', &["Rust"])]),
    misuse("unknown-id", "publishing under an id that the handle has not opened", "NOT_OPEN", &[]),
    misuse(
        "absent-half",
        "a call of the half that a handle lacks",
        "ARGUMENT",
        &[('h', &["C++", "Go", "Java", "Node", "Python", "Rust"])],
    ),
    misuse("too-long", "a payload that is too long", "TOO_LONG", &[]),
    misuse(
        "ahead",
        "`publish_at` of a number that nobody reaches",
        "AHEAD_OF_NUMBER",
        &[('e', &["Go", "Node"])],
    ),
    misuse(
        "unwritten-claim",
        "a claim that nobody writes to: the message is zeros",
        "OK",
        &[('e', &["Go", "Node", "Python"])],
    ),
    misuse("empty-name", "opening an empty name", "NAME", &[]),
    misuse("long-name", "opening a name of 65 bytes", "NAME", &[]),
    misuse("zero-in-name", "opening a name with a 0 in it", "NAME", &[('f', &["C"])]),
    misuse("start-zero", "a start at seq 0", "ARGUMENT", &[]),
    misuse("start-negative", "a start at seq -1, also where it is converted", "ARGUMENT", &[]),
    misuse("start-fraction", "a start at seq 1.5", "ARGUMENT", &[('f', &["C", "C++", "Go", "Java", "Rust"])]),
    misuse("start-text", "a start at the cursor `here`", "ARGUMENT", &[('g', &["Rust"])]),
    misuse("negative-wait", "a wait with a negative timeout", "ARGUMENT", &[('f', &["C", "Rust"])]),
    misuse("negative-open", "an open with a negative timeout", "ARGUMENT", &[('f', &["C", "Rust"])]),
    misuse("negative-limit", "a poll with a negative limit", "ARGUMENT", &[('f', &["C", "C++", "Rust"])]),
    misuse("call-in-request", "a call in the callback of a request of that handle", "IN_USE", IN_REQUEST),
    misuse("close-in-request", "closing there: the handle ends with the request", "OK", IN_REQUEST),
    misuse("request-late", "a request that nobody answers in its time", "TIMED_OUT", &[]),
    misuse("request-fenced", "a request under a name that a newer process has opened", "FENCED", &[]),
    misuse("request-ended", "a request of a subscription that has ended", "UNANSWERED", &[]),
    misuse("request-negative", "a request with a negative timeout", "ARGUMENT", &[('f', &["C", "Rust"])]),
    misuse(
        "closed-endpoint",
        "connecting with an endpoint that is closed",
        "CLOSED_HANDLE",
        &[('b', &["Rust"]), ('e', &["Python"])],
    ),
    misuse("file-in-use", "opening a cursor file that somebody else has open", "IN_USE", &[]),
    misuse("file-damaged", "opening a cursor file that has the text `here`", "ARGUMENT", &[]),
    misuse("file-nowhere", "saving a cursor at seq 0", "ARGUMENT", &[]),
    misuse(
        "file-fork",
        "saving to a cursor file in a child of a fork",
        "OTHER_PROCESS",
        &[('a', &["Go", "Java", "Node"])],
    ),
    misuse("file-closed", "saving to a cursor file after close", "CLOSED_HANDLE", &[('b', &["Rust"])]),
    misuse(
        "merged-fork",
        "a merged poll in a child of a fork",
        "OTHER_PROCESS",
        &[('a', &["Go", "Java", "Node"])],
    ),
    misuse(
        "merged-two-threads",
        "a call beside a merged wait of another thread",
        "IN_USE",
        &[('b', &["Rust"]), ('d', &["Node"])],
    ),
    misuse("merged-poll-in-callback", "a poll in a callback of that merged poll", "IN_USE", IN_CALLBACK),
    misuse("merged-close-in-callback", "closing there: the handle ends with the poll", "OK", IN_CALLBACK),
    misuse("merged-closed", "a merged poll after close", "CLOSED_HANDLE", &[('b', &["Rust"])]),
    misuse("merged-close-twice", "a second close of a merged handle", "OK", &[('b', &["Rust"])]),
    misuse("merged-start", "a merged start at `here`", "ARGUMENT", &[('g', &["Rust"])]),
    misuse(
        "merged-negative-connect",
        "a merged start that is looked for within a negative timeout",
        "ARGUMENT",
        &[('f', &["C", "Rust"])],
    ),
    misuse(
        "merged-negative-wait",
        "a merged wait with a negative timeout",
        "ARGUMENT",
        &[('f', &["C", "Rust"])],
    ),
    misuse(
        "merged-negative-limit",
        "a merged poll with a negative limit",
        "ARGUMENT",
        &[('f', &["C", "C++", "Rust"])],
    ),
];

impl Misuse {
    /// The letter of the reason for which a language has no word.
    fn exception(&self, language: &str) -> Option<char> {
        let mut exceptions = self.exceptions.iter();
        exceptions.find(|(_, languages)| languages.contains(&language)).map(|(letter, _)| *letter)
    }
}

/// The words of one language, by the name of the misuse.
type Words = BTreeMap<String, String>;

/// The `misuse<TAB>word` lines of a program; what a test's runner prints beside them has no tab.
fn words(out: &str) -> Words {
    let lines = out.lines().filter_map(|line| line.split_once('\t'));
    lines.map(|(misuse, word)| (misuse.to_owned(), word.to_owned())).collect()
}

/// Where the words of a language are not those of the table.
fn differences(language: &str, words: &Words) -> Vec<String> {
    let mut wrong = Vec::new();
    for misuse in &MISUSES {
        let wanted = misuse.exception(language).is_none().then_some(misuse.word);
        let answered = words.get(misuse.name).map(String::as_str);
        if wanted != answered {
            let [wanted, answered] = [wanted, answered].map(|word| word.unwrap_or("no word"));
            wrong.push(format!("{language}, {}: {answered} and not {wanted}", misuse.name));
        }
    }
    let unknown = words.keys().filter(|name| MISUSES.iter().all(|misuse| misuse.name != name.as_str()));
    wrong.extend(unknown.map(|name| format!("{language}: the table has no row {name}")));
    wrong
}

/// The program of each language whose compiler or interpreter is here.
fn programs() -> Vec<(&'static str, Command)> {
    let mut programs = c::misuses();
    programs.extend(go::misuses().map(|program| ("Go", program)));
    programs.extend(java::misuses().map(|program| ("Java", program)));
    programs.extend(node::misuses().map(|program| ("Node", program)));
    programs.extend(python::misuses().map(|program| ("Python", program)));
    programs
}

#[test]
fn each_misuse_has_the_same_word_in_every_language() {
    let cluster = Cluster::new(1, "");
    let _replicas = cluster.found();
    let mut wrong = differences("Rust", &rust::words(&cluster));
    for (language, program) in programs() {
        let out = finished(with_cluster(program, &cluster)).with_code(0).out;
        wrong.extend(differences(language, &words(&out)));
    }
    assert!(wrong.is_empty(), "cells that differ from the table:\n{}", wrong.join("\n"));
}

#[test]
fn a_word_that_differs_and_one_that_is_missing_are_named() {
    let mut answers = Words::new();
    for misuse in MISUSES.iter().filter(|misuse| misuse.exception("Go").is_none()) {
        answers.insert(misuse.name.to_owned(), misuse.word.to_owned());
    }
    assert!(differences("Go", &answers).is_empty());
    answers.insert("too-long".to_owned(), "OK".to_owned());
    answers.insert("fork".to_owned(), "OTHER_PROCESS".to_owned());
    answers.insert("yawn".to_owned(), "OK".to_owned());
    answers.remove("unknown-id");
    assert_eq!(
        differences("Go", &answers),
        [
            "Go, fork: OTHER_PROCESS and not no word",
            "Go, unknown-id: no word and not NOT_OPEN",
            "Go, too-long: OK and not TOO_LONG",
            "Go: the table has no row yawn",
        ]
    );
}

#[test]
fn each_word_of_a_misuse_is_a_status_of_the_description() {
    let statuses = Description::read().status;
    for Misuse { name, word, .. } in &MISUSES {
        assert!(statuses.iter().any(|status| status.name == *word), "{name}: {word} is no status");
    }
}

const PAGE: &str = "docs/BINDINGS.md";
const BEGIN: &str = "<!-- misuses: tests/foreign/bindings/misuses.rs writes this table -->\n";
const END: &str = "<!-- end of the misuses -->\n";

/// The table as the page has it.
fn table() -> String {
    let mut text = format!("| misuse | {} |\n", LANGUAGES.join(" | "));
    let _ = writeln!(text, "|---|{}", "---|".repeat(LANGUAGES.len()));
    for misuse in &MISUSES {
        let cell = |language: &&str| match misuse.exception(language) {
            Some(letter) => format!("– {letter}"),
            None => format!("`{}`", misuse.word),
        };
        let cells: Vec<_> = LANGUAGES.iter().map(cell).collect();
        let _ = writeln!(text, "| {} | {} |", misuse.what, cells.join(" | "));
    }
    let reasons: Vec<_> = REASONS.iter().map(|(letter, why)| format!("– {letter}: {why}")).collect();
    let _ = write!(text, "\n{}.\n", reasons.join(".\n"));
    text
}

#[test]
fn the_page_of_the_bindings_has_the_table_of_misuses() {
    let path = root().join(PAGE);
    let page = std::fs::read_to_string(&path).expect("a page");
    let (before, rest) = page.split_once(BEGIN).expect("the begin of the table");
    let (rows, behind) = rest.split_once(END).expect("the end of the table");
    if std::env::var_os("REWRITE").is_some() {
        std::fs::write(&path, format!("{before}{BEGIN}{}{END}{behind}", table())).expect("a page");
        return;
    }
    let rewrite = "`REWRITE=1 cargo test --test foreign misuses::` writes it anew";
    assert_eq!(rows, table(), "{PAGE}: {rewrite}");
}
