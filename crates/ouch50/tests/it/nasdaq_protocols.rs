//! The codec that the Python package `nasdaq-protocols` generates reads what we write, and we read what it
//! writes. It has no definition of OUCH 5.0 of its own: `testdata/ouch50.xml` is one, in its format.

use crate::common::samples::{Sample, Value, all};
use crate::common::{Either, ROWS, Row, Tail, element, fit, join};
use lockstep_testkit::python::{Python, bytes_of, hex};

/// The package in a virtual environment; `None` where it cannot be had, which is said.
fn nasdaq_protocols() -> Option<Python> {
    Python::with("nasdaq-protocols==1.3.0")
        .map_err(|why| println!("SKIPPED: the Python codec of nasdaq-protocols cannot be had: {why}"))
        .ok()
}

fn run(python: &Python, input: &str) -> String {
    let tests = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it");
    python.run(&format!("{tests}/ouch_codec.py"), &[&format!("{tests}/testdata/ouch50.xml")], input)
}

fn direction(message: &Either) -> &'static str {
    if message.is_inbound() { "in" } else { "out" }
}

/// Fields and options as `name=value` and `tag=value`.
fn texts(sample: &Sample) -> String {
    let value = |value: &Value| match value {
        Value::Number(number) => number.to_string(),
        Value::Text(text) => format!("x{}", hex(text.as_bytes())),
    };
    let fields = sample.fields.iter().map(|(name, of)| format!("{name}={}", value(of)));
    let options = sample.options.iter().map(|(tag, of)| format!("{tag}={}", value(of)));
    fields.chain(options).collect::<Vec<_>>().join(" ")
}

#[test]
fn the_generated_codec_reads_each_of_our_messages_and_we_read_each_of_its_own() {
    let Some(python) = nasdaq_protocols() else { return };
    let samples = all();
    assert_eq!(samples.len(), ROWS.len());
    let read = samples
        .iter()
        .map(|sample| format!("read {} {}\n", direction(&sample.message), hex(&sample.message.written())));
    let make = samples.iter().map(|sample| {
        let kind = char::from(sample.message.kind());
        format!("make {} {kind} {}\n", direction(&sample.message), texts(sample))
    });
    let answers = run(&python, &read.chain(make).collect::<String>());
    let mut answers = answers.lines();
    for sample in &samples {
        let (_, answer) = answers.next().unwrap().split_once(' ').unwrap();
        let expected = format!("{} {}", hex(&sample.message.written()), texts(sample));
        assert_eq!(answer.trim_end(), expected.trim_end(), "{:?}", sample.message);
    }
    for Sample { message, .. } in &samples {
        let theirs = bytes_of(answers.next().unwrap());
        assert_eq!(Either::parse(message.is_inbound(), &theirs), Ok(*message), "{theirs:02x?}");
    }
}

/// A message of arbitrary bytes without blanks in its texts, which that codec would strip.
fn arbitrary(row: &Row, state: &mut u64) -> Vec<u8> {
    let mut next = || {
        *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let byte = (*state >> 56) as u8;
        if byte.is_multiple_of(95) { 1 } else { byte }
    };
    let fixed = fit(row, (0..row.fixed).map(|_| next()).collect());
    let mut elements = Vec::new();
    for &tag in row.tags {
        let seed = [0; 8].map(|_: u8| next());
        elements.extend((next() % 2 == 0).then(|| element(tag, seed)));
    }
    join(row, &fixed, &elements)
}

#[test]
fn the_generated_codec_writes_back_what_it_reads_of_arbitrary_messages() {
    let Some(python) = nasdaq_protocols() else { return };
    let mut state = 1;
    let messages: Vec<_> =
        ROWS.iter().cycle().take(100 * ROWS.len()).map(|row| (row, arbitrary(row, &mut state))).collect();
    let line = |(row, bytes): &(&Row, Vec<u8>)| {
        format!("read {} {}\n", if row.is_inbound { "in" } else { "out" }, hex(bytes))
    };
    let answers = run(&python, &messages.iter().map(line).collect::<String>());
    assert_eq!(answers.lines().count(), messages.len());
    for ((row, bytes), answer) in messages.iter().zip(answers.lines()) {
        let theirs = bytes_of(answer.split(' ').nth(1).unwrap());
        let message = Either::parse(row.is_inbound, bytes).unwrap();
        assert_eq!(Either::parse(row.is_inbound, &theirs), Ok(message));
        // Theirs has the length of an appendage even where it may be left out.
        if !(row.tail == Tail::May && bytes.len() == row.fixed) {
            assert_eq!((theirs, message.written()), (bytes.clone(), bytes.clone()));
        }
    }
}
