//! The program of the simulator: what it prints and how it ends. What it judges is tested where the judge is,
//! in `lockstep-sim`.

use std::process::{Command, Output};

fn sim(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_lockstep-sim")).args(args).output().expect("the simulator runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn one_seed_is_clean_and_tells_its_story_where_it_is_asked_to() {
    let quiet = sim(&["--seed", "7"]);
    assert_eq!(quiet.status.code(), Some(0), "{}", text(&quiet.stderr));
    let quiet = text(&quiet.stdout);
    assert!(quiet.starts_with("seed 7 is clean: "), "{quiet}");
    let verbose = sim(&["sim", "--seed", "7", "--verbose"]);
    assert_eq!(verbose.status.code(), Some(0), "{}", text(&verbose.stderr));
    let verbose = text(&verbose.stdout);
    assert!(verbose.starts_with("seed 7: ") && verbose.ends_with(&quiet), "{verbose}");
}

#[test]
fn many_seeds_end_with_the_digest_of_all_traces_which_the_seeds_alone_decide() {
    let digest = |jobs: &str| {
        let output = sim(&["--first", "1", "--seeds", "12", "--jobs", jobs]);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        let out = text(&output.stdout);
        let line = out.lines().last().unwrap_or_default().to_owned();
        assert!(line.starts_with("12 seeds from 1 on are clean: "), "{out}");
        line.split("digest of all traces ").nth(1).map(str::to_owned).expect("a digest")
    };
    assert_eq!(digest("1"), digest("2"));
}

#[test]
fn a_picture_that_cannot_be_written_fails_the_run_and_is_named() {
    let output = sim(&["--seed", "7", "--svg", "/nonexistent/seed.svg"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).starts_with("lockstep: writing the picture /nonexistent/seed.svg: "));
}

#[test]
fn the_table_has_names_by_which_rows_are_asked_for() {
    let names = text(&sim(&["netsim", "--names"]).stdout);
    let only = text(&sim(&["netsim", "--names", "--only", "bursts"]).stdout);
    assert!(names.lines().count() > 100 && only.lines().count() < names.lines().count(), "{names}");
    assert!(!only.is_empty() && only.lines().all(|line| line.contains("bursts")), "{only}");
    let none = sim(&["netsim", "--only", "nonesuch"]);
    assert_eq!(none.status.code(), Some(1));
    assert!(text(&none.stderr).contains("no row's name contains"), "{}", text(&none.stderr));
}

#[test]
fn a_flag_that_does_not_exist_is_refused_and_the_right_one_is_proposed() {
    let refused = sim(&["--seedz", "5"]);
    assert_eq!((refused.status.code(), refused.stdout.len()), (Some(2), 0));
    let why = text(&refused.stderr);
    assert!(why.contains("--seedz") && why.contains("--seeds") && why.contains("lockstep sim"), "{why}");
}
