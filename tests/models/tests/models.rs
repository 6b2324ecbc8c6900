//! Every order of a few accesses, as loom tries them; and that each ordering is needed by somebody.

use models::{MODELS, WEAKENINGS, Weakened};
use std::process::{Command, Output};

/// Every order of one model. How it ended.
fn tried(model: &str, weakened: Weakened) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_models"));
    command.args([model, &format!("{weakened:?}")]).output().expect("the program of this crate")
}

#[test]
fn what_threads_and_processes_share_is_whole_in_every_order_of_their_accesses() {
    for (name, _) in MODELS {
        let ended = tried(name, Weakened::Nothing);
        assert!(ended.status.success(), "{name}: {}", String::from_utf8_lossy(&ended.stderr));
    }
}

#[test]
fn each_ordering_that_is_taken_out_is_missed_by_a_model() {
    for weakened in WEAKENINGS.into_iter().filter(|weakened| *weakened != Weakened::Nothing) {
        let broken = |name: &&str| !tried(name, weakened).status.success();
        let found = MODELS.iter().map(|(name, _)| *name).find(broken);
        println!("without {weakened:?}: {found:?}");
        assert!(found.is_some(), "nobody misses {weakened:?}");
    }
}
