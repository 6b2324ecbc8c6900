//! JSON, CSV and HdrHistogram logs of results.

use super::sample::results;
use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};
use lockstep_bench::results::{Results, csv, hdr, json};
use lockstep_bench::stats::Latencies;

#[test]
fn what_json_wrote_is_read_again_and_another_schema_is_refused_by_name() {
    let text = json(&results()).unwrap();
    let read = Results::parse(text.as_bytes()).unwrap();
    assert_eq!(json(&read).unwrap(), text);
    let other = text.replace("lockstep.bench/1", "lockstep.bench/9");
    assert!(Results::parse(other.as_bytes()).unwrap_err().contains("lockstep.bench/9"));
    assert!(Results::parse(b"{}").unwrap_err().contains("no schema"));
}

#[test]
fn csv_has_a_line_for_each_figure_of_each_round() {
    let text = csv(&results());
    // Two rows of two rounds, each with p50 and max.
    assert_eq!(text.lines().count(), 1 + 2 * 2 * 2);
    assert!(text.contains("latency,\"stamped, 64 B\",lockstep,false,2,p50,"), "{text}");
}

#[test]
fn every_round_is_an_interval_of_the_log_with_the_samples_that_it_had() {
    let bytes = hdr(&results()).unwrap();
    let intervals: Vec<_> = IntervalLogIterator::new(&bytes)
        .filter_map(|entry| match entry {
            Ok(LogEntry::Interval(interval)) => Some(interval),
            Ok(_) => None,
            Err(error) => panic!("{error:?}"),
        })
        .collect();
    assert_eq!(intervals.len(), 4);
    assert_eq!(intervals[3].tag().map(|tag| tag.as_str()), Some("stamped__64_B/lockstep"));
    let latencies = Latencies::decode(intervals[3].encoded_histogram()).unwrap();
    assert_eq!((latencies.len(), latencies.max().map(|max| max / 1_000)), (25, Some(30)));
}
