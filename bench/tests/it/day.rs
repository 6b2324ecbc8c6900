//! The endurance run and the cost of a message, short: rows come out, and what they count is whole.

use crate::support::{bench, measured, report_of, stderr_of};
use lockstep_bench::results::{Results, Row, VALUE};

fn rows<'a>(results: &'a Results, case: &'a str) -> impl Iterator<Item = &'a Row> {
    results.rows.iter().filter(move |row| row.case.starts_with(case))
}

#[test]
fn a_run_of_seconds_has_a_row_for_each_period_takeovers_within_them_and_equal_digests() {
    let line = "day --duration 6s --every 2s --takeover 1s --rate 500 --orders 20 --growth 64GiB --json";
    let output = bench(&line.split(' ').collect::<Vec<_>>());
    // Descriptors of a few seconds with takeovers may grow; a loss or a difference is 1.
    assert!(matches!(output.status.code(), Some(0 | 3)), "{}", stderr_of(&output));
    let results: Results = report_of(&output).expect("it is never skipped");
    assert!(results.wrongs.is_empty() && results.method["digests"].starts_with("equal"), "{results:?}");
    for count in ["lost", "duplicated", "reordered"] {
        assert_eq!(results.counts[count], 0, "{count}");
    }
    assert!(results.counts["takeovers"] >= 2 && results.counts["orders"] > 0, "{:?}", results.counts);
    let committed = rows(&results, "committed").next().expect("latencies");
    assert_eq!(committed.rounds.len(), 3);
    assert!(committed.rounds.iter().all(|round| round.samples > 0 && round.histogram.is_some()));
    for case in ["memory", "memory that no file backs", "open descriptors", "threads"] {
        let subjects: Vec<&str> =
            results.rows.iter().filter(|row| row.case == case).map(|row| row.subject.as_str()).collect();
        let all = ["application", "archiver", "client", "feed", "gateway", "reader"];
        assert!(all.iter().all(|subject| subjects.contains(subject)), "{case}: {subjects:?}");
        assert_eq!(subjects.iter().filter(|subject| subject.starts_with("replica")).count(), 3, "{case}");
    }
    let disk = |subject| rows(&results, "disk").find(|row| row.subject == subject).expect("a folder");
    for subject in ["journal-1", "journal-2", "journal-3", "archive"] {
        assert!(disk(subject).rounds.iter().all(|round| round.figures[VALUE] > 0.0), "{subject}");
    }
    assert!(
        results.notes.iter().any(|note| note.starts_with("memory and descriptors")),
        "{:?}",
        results.notes
    );
    assert!(stderr_of(&output).lines().any(|line| line.starts_with("period 3,")), "{}", stderr_of(&output));
}

#[test]
fn each_process_has_a_cost_at_each_rate_and_lockstep_stands_over_both_floors() {
    let line = "cost --rounds 1 --seconds 0.2 --rates 1k --idle yield";
    let Some(results) = measured::<Results>(&line.split(' ').collect::<Vec<_>>()) else { return };
    for rate in ["closed loop", "1000/s", "as fast as possible"] {
        for part in ["leader", "standby", "client", "all together"] {
            let case = format!("committed, 64 B, {rate}: {part}");
            let row = rows(&results, &case).find(|row| !row.floor).unwrap_or_else(|| panic!("{case}"));
            assert!(row.spread(VALUE).is_some_and(|cost| cost.median > 0.0), "{case}: {row:?}");
        }
    }
    let together = results.ratios().into_iter().filter(|ratio| ratio.case.ends_with("1000/s: all together"));
    assert_eq!(together.count(), 2, "{:?}", results.cases());
}
