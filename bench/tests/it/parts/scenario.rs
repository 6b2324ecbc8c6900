//! Scenarios and their command lines.

use lockstep_bench::scenario::parse;

#[test]
fn a_scenario_is_the_command_line_that_one_would_type() {
    let text = "title = \"t\"\nmeasure = \"latency\"\n[flags]\nsizes = [32, 288]\nonly = \"stamped\"\nsweep = true\n";
    let (_, line) = parse(text).unwrap();
    assert_eq!(line, ["lockstep-bench", "latency", "--only=stamped", "--sizes=32,288", "--sweep"]);
}

#[test]
fn what_is_no_scenario_is_refused_by_the_place_that_is_wrong() {
    for (text, place) in [
        ("measure = \"latency\"", "title"),
        ("title = \"t\"\nmeasure = \"run\"", "measure"),
        ("title = \"t\"\nmeasure = \"latency\"\n[flags]\nsizes = [[1]]", "flags.sizes"),
        ("title = \"t\"\nmeasure = \"latency\"\nflag = 1", "flag"),
    ] {
        assert!(parse(text).is_err_and(|why| why.contains(place)), "{text}");
    }
}
