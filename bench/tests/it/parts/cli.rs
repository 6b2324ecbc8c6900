//! Command lines.

use clap::Parser as _;
use lockstep_bench::cli::{Arguments, What};
use lockstep_bench::{guard, scenario};

#[test]
fn every_row_of_the_guard_is_a_command_line_that_is_understood() {
    for measure in guard::measures() {
        let line = ["lockstep-bench"].into_iter().chain(measure.split(' '));
        Arguments::try_parse_from(line).unwrap_or_else(|error| panic!("{measure}: {error}"));
    }
    Arguments::try_parse_from(["lockstep-bench", "guard", "base"]).expect("its defaults are right");
}

#[test]
fn the_flags_of_day_and_cost_are_read_with_their_units_and_others_refused() {
    for line in [
        "day",
        "day --duration 24h --every 1h --takeover 90min --rate 20000 --journal 8GiB --growth 2MiB",
        "day --duration 500s --every 2m --growth-percent 3 --idle park --fail-if grown>0",
        "cost",
        "cost --rates 20k,200k --rounds 3 --seconds 0.5 --idle yield",
    ] {
        let line = ["lockstep-bench"].into_iter().chain(line.split(' ')).collect::<Vec<_>>();
        Arguments::try_parse_from(&line).unwrap_or_else(|error| panic!("{line:?}: {error}"));
    }
    for line in ["day --duration 24", "day --every 0s", "day --journal much", "cost --rates none"] {
        let line = ["lockstep-bench"].into_iter().chain(line.split(' '));
        assert!(Arguments::try_parse_from(line).is_err());
    }
}

#[test]
fn every_scenario_is_a_command_line_that_is_understood() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios");
    let mut seen = 0;
    for file in std::fs::read_dir(folder).expect(folder) {
        let file = file.expect(folder).path();
        let run = Arguments::parse_from(["lockstep-bench".as_ref(), "run".as_ref(), file.as_os_str()]);
        let What::Run(run) = run.what else { panic!("run is run") };
        let line = scenario::command_line(&run).unwrap_or_else(|error| panic!("{error}"));
        Arguments::try_parse_from(line).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        seen += 1;
    }
    assert!(seen > 0, "{folder} is empty");
}
