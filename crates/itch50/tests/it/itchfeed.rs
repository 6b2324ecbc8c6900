//! The Python package `itchfeed` reads what we write, and we read what it writes.

use crate::common::samples::{Fields, Value, all, head_fields};
use crate::common::{ROWS, fit, recorded};
use itch50::Message;
use lockstep_testkit::python::{Python, bytes_of, hex};

/// The package in a virtual environment; `None` where it cannot be had, which is said.
fn itchfeed() -> Option<Python> {
    Python::with("itchfeed==1.6.4")
        .map_err(|why| println!("SKIPPED: the Python package itchfeed cannot be had: {why}"))
        .ok()
}

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/itchfeed.py");

fn written(message: &Message) -> Vec<u8> {
    let mut out = Vec::new();
    message.append(&mut out);
    out
}

/// `name=value`, as the script has it.
fn texts(fields: &Fields) -> Vec<String> {
    let text = |(name, value): &(&str, Value)| match value {
        Value::Number(number) => format!("{name}={number}"),
        Value::Text(text) => format!("{name}=x{}", hex(text.as_bytes())),
    };
    fields.iter().map(text).collect()
}

#[test]
fn itchfeed_reads_each_of_our_messages_and_we_read_each_of_its_own() {
    let Some(python) = itchfeed() else { return };
    let samples: Vec<_> =
        all().into_iter().map(|(message, fields)| (message, [head_fields(), fields].concat())).collect();
    assert_eq!(samples.len(), ROWS.len());
    let read = samples.iter().map(|(message, _)| format!("read {}\n", hex(&written(message))));
    let make = samples.iter().map(|(message, fields)| {
        format!("make {} {}\n", char::from(message.kind()), texts(fields).join(" "))
    });
    let answers = python.run(SCRIPT, &[], &read.chain(make).collect::<String>());
    let mut answers = answers.lines();
    for (message, fields) in &samples {
        let mut expected = texts(fields);
        expected.sort();
        expected.insert(0, hex(&written(message)));
        assert_eq!(answers.next(), Some(expected.join(" ").as_str()), "{message:?}");
    }
    for (message, _) in &samples {
        let theirs = bytes_of(answers.next().unwrap());
        assert_eq!(Message::parse(&theirs), Ok(*message), "{theirs:02x?}");
    }
    let mut kinds = Message::KINDS.to_vec();
    kinds.sort_unstable();
    let kinds = String::from_utf8(kinds).unwrap();
    assert_eq!(answers.next(), Some(format!("types {kinds}").as_str()), "it has the same types");
}

#[test]
fn itchfeed_writes_back_what_it_reads_of_the_recorded_day_and_of_arbitrary_messages() {
    let Some(python) = itchfeed() else { return };
    let mut messages = recorded();
    let mut state = 1u64;
    for row in ROWS.iter().cycle().take(2_300) {
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        };
        messages.push(fit(row, (0..row.1).map(|_| next()).collect()));
    }
    let lines: String = messages.iter().map(|bytes| format!("read {}\n", hex(bytes))).collect();
    let answers = python.run(SCRIPT, &[], &lines);
    let theirs: Vec<_> = answers.lines().filter(|line| !line.starts_with("types")).collect();
    assert_eq!(theirs.len(), messages.len());
    for (bytes, theirs) in messages.iter().zip(theirs) {
        let message = Message::parse(bytes).unwrap();
        assert_eq!(theirs.split(' ').next(), Some(hex(&written(&message)).as_str()), "{message:?}");
    }
}
