//! Streams that leave several segments behind, and what a reader says of its place in one.

use serde_json::Value;

/// Rings and segments of 1 MiB.
pub const SMALL: &str = "[journal]\ntail_size = \"1MiB\"\nsegment_size = \"1MiB\"\n\n[stream]\nwindow_bytes = \
                         \"256KiB\"\n";

/// The orders from one number up to another, in lines of 900 bytes.
pub fn lines(from: usize, to: usize) -> String {
    (from..to).map(|number| format!("order {number:0>900}\n")).collect()
}

/// What follows `cursor` on stderr.
pub fn cursor(err: &str) -> String {
    let found = err.lines().find_map(|line| line.strip_prefix("cursor "));
    found.unwrap_or_else(|| panic!("no cursor in:\n{err}")).to_owned()
}

/// What a command has printed with `--json`.
pub fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}
