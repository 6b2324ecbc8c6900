//! The bench of an order's path runs, and every answer comes; no time is judged.

use super::{are_built, example};
use lockstep_testkit::processes::run;
use std::process::Command;

#[test]
fn the_bench_of_an_orders_path_has_every_answer() {
    if !are_built(&["order_path"]) {
        return;
    }
    let mut command = Command::new(example("order_path"));
    command.args(["--orders", "20", "--rounds", "1", "--rate", "500"]);
    let out = run(command, b"").with_code(0).out;
    // Two loops: 20 orders of which 10 execute, with three answers each, twice; and once 20 answers.
    assert!(out.contains(&format!("all {} answers came", 2 * (2 * 40 + 20))), "{out}");
    for row in ["matched: accepted", "matched: executed", "acknowledged: accepted", "single: executed"] {
        assert_eq!(out.matches(row).count(), 2, "{row}: {out}");
    }
}

#[test]
fn the_bench_of_rates_applies_every_order() {
    if !are_built(&["order_path"]) {
        return;
    }
    let mut command = Command::new(example("order_path"));
    command.args(["--rates", "--orders", "1000", "--rounds", "2"]);
    let out = run(command, b"").with_code(0).out;
    assert_eq!(out.matches("1000 orders in ").count(), 2, "{out}");
}
