//! The table of docs/CAPACITY.md follows from the constants of the code.

use lockstep_wire::{HEADER_LEN, entry_len, frame_len_max};

/// Bytes that Ethernet (with preamble and gap), IPv4 and UDP add to a datagram.
const AROUND: usize = 66;
/// A trading day in seconds.
const DAY: f64 = 6.5 * 3_600.0;
/// The default of journal.tail_size.
const TAIL: f64 = (256 << 20) as f64;

/// The row for messages of `payload` bytes, `rate` of them a second.
fn row(payload: usize, rate: f64) -> String {
    let entry = entry_len(payload);
    let count = (frame_len_max(1_500) - HEADER_LEN) / entry;
    let frame = HEADER_LEN + count * entry;
    let stream = rate * frame as f64 / count as f64;
    let wire = rate * (frame + AROUND) as f64 / count as f64 * 8.0;
    let alone = rate * (HEADER_LEN + entry + AROUND) as f64 * 8.0;
    let (day, covered) = (stream * DAY / 1e9, TAIL / stream);
    let (megabytes, wire, alone) = (stream / 1e6, wire / 1e9, alone / 1e9);
    format!("{entry} | {count} | {megabytes:.1} | {wire:.2} | {alone:.2} | {day:.0} | {covered:.1}")
}

#[test]
fn the_page_on_capacity_says_what_the_code_needs() {
    let page = include_str!("../../../../docs/CAPACITY.md");
    let rows = page.lines().filter_map(|line| {
        let (payload, behind) = line.strip_prefix("| ")?.split_once(" | ")?;
        let (rate, rest) = behind.strip_suffix(" |")?.split_once(" | ")?;
        Some((payload.parse().ok()?, rate.replace(',', "").parse().ok()?, rest))
    });
    let rows: Vec<(usize, f64, &str)> = rows.collect();
    assert_eq!(rows.len(), 9, "three sizes at three rates");
    for (payload, rate, words) in rows {
        assert_eq!(words, row(payload, rate), "{payload} bytes, {rate} a second");
    }
}
