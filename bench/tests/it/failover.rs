//! The failover bench, short: leaders go in every way that needs no root, and what it tells is whole.

use lockstep_bench::results::{Results, Row};
use lockstep_testkit::lane::amount;
use lockstep_testkit::processes::Cluster;
use lockstep_testkit::takeover::newest_of;
use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Output, Stdio};

fn failover(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lockstep-bench"));
    command.args(["failover", "--rate", "500", "--window-ms", "50", "--json"]).args(arguments);
    command.output().expect("the bench runs")
}

#[test]
fn leaders_that_go_in_any_way_are_replaced_and_nothing_is_lost_doubled_or_out_of_order() {
    let all = &["kill", "handover", "kill-both", "silence", "stop"][..];
    for how in amount(&all[..2], all) {
        let output = failover(&["--how", how, "--kills", "2", "--fail-if", "takeovers<2"]);
        let stderr_of = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{how}: {stderr_of}");
        let results = Results::parse(&output.stdout).expect("one JSON document");
        assert!(results.method["how"].starts_with(how), "{how}: {:?}", results.method);
        assert!(results.method["digests"].starts_with("equal at 2 subscribers and 3 journals"), "{how}");
        for count in ["lost", "duplicated", "reordered"] {
            assert_eq!(results.counts[count], 0, "{how}: {count}");
        }
        let gaps = &results.series[0];
        assert_eq!((gaps.points.len(), gaps.marks.len()), (4, 2), "{how}: two with a strike, two without");
        let is_struck = |(at, _): &&(f64, f64)| gaps.marks.iter().any(|(marked, _)| marked == at);
        assert!(gaps.points.iter().filter(is_struck).all(|(_, gap)| *gap > 0.0), "{how}: {gaps:?}");
        let of_gap = |row: &&Row| row.case.starts_with("gap") && !row.floor;
        let gap = &results.rows.iter().find(of_gap).expect("a row of gaps").rounds[0];
        assert_eq!(gap.samples, 2, "{how}");
        let figures: Vec<_> = gap.figures.keys().collect();
        assert_eq!(figures, ["max"], "{how}: two samples tell no percentile");
    }
}

#[test]
fn a_condition_that_holds_makes_it_fail_and_says_with_which_value() {
    let output = failover(&["--how", "handover", "--kills", "1", "--fail-if", "gap.p99>1ns"]);
    let stderr_of = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{stderr_of}");
    assert!(stderr_of.contains("gap.p99>1ns: gap, ") && stderr_of.contains(": it is "), "{stderr_of}");
}

#[test]
fn a_takeover_of_a_cluster_that_runs_already_is_told_with_its_gap() {
    let cluster = Cluster::new(3, "");
    let replicas = cluster.found();
    let config = format!("--config={}", cluster.config().display());
    let mut command = Command::new(env!("CARGO_BIN_EXE_lockstep-bench"));
    command.args([
        "failover",
        "--how=none",
        &config,
        amount("--minutes=0.1", "--minutes=0.15"),
        "--rate=500",
        "--json",
    ]);
    let mut bench = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the bench runs");
    let mut stderr_of = BufReader::new(bench.stderr.take().expect("it is piped"));
    let (mut line, mut all) = (String::new(), String::new());
    while !line.contains("measuring") {
        line.clear();
        assert!(stderr_of.read_line(&mut line).expect("text") > 0, "it ended before it measured: {all}");
        all.push_str(&line);
    }
    // On a busy machine another one may have taken over by now.
    let (_, leader) = newest_of(&replicas);
    replicas[leader - 1].signal("KILL");
    let output = bench.wait_with_output().expect("the bench ends");
    stderr_of.read_to_string(&mut all).expect("text");
    assert!(output.status.success(), "{all}");
    let results = Results::parse(&output.stdout).expect("one JSON document");
    assert!(results.counts["takeovers"] >= 1, "{:?}", results.counts);
    for count in ["lost", "duplicated", "reordered"] {
        assert_eq!(results.counts[count], 0, "{count}");
    }
    let ratios = results.ratios();
    assert!(ratios[0].figures["max"].median > 0.0, "a gap with, and one without: {ratios:?}");
}
