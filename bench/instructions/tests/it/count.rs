//! Figures and their budget.

use lockstep_instructions::build;
use lockstep_instructions::count::{Budget, CASES, PATTERNS, totals};
use lockstep_instructions::world::World;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

fn budget(figures: &[(&str, f64)]) -> Budget {
    let instructions = figures.iter().map(|(key, figure)| ((*key).to_owned(), *figure)).collect();
    Budget { rustc: String::new(), instructions }
}

#[test]
fn a_figure_more_than_two_percent_above_its_budget_fails() {
    let budget = budget(&[("leader_1", 500.0)]);
    let judge = |figure| budget.exceeded_by(&BTreeMap::from([("leader_1", figure)]));
    assert!(judge(400.0).is_empty() && judge(500.0).is_empty() && judge(509.9).is_empty());
    assert_eq!(judge(510.1).len(), 1);
    assert!(judge(600.0)[0].contains("600.0 instead of 500.0 (+20.0 %)"), "{:?}", judge(600.0));
}

#[test]
fn a_figure_without_a_budget_fails() {
    assert_eq!(budget(&[]).exceeded_by(&BTreeMap::from([("leader_1", 1.0)])).len(), 1);
}

#[test]
fn every_figure_has_a_budget_and_every_budget_a_figure() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/budget.toml");
    let budget = Budget::read(Path::new(path)).expect("a budget that can be read");
    let mut keys: Vec<&str> = CASES.iter().map(|case| case.key).collect();
    keys.sort_unstable();
    assert_eq!(keys, budget.instructions.keys().map(String::as_str).collect::<Vec<_>>());
}

#[test]
fn every_pattern_is_stamped_accepted_delivered_and_confirmed_whole() {
    for (name, pattern) in PATTERNS {
        let mut world = World::new().expect("a cluster that meets");
        for _ in 0..300 {
            world.step(*pattern);
        }
        let messages = 300 * pattern.messages() as u64;
        world.check(messages, 300).unwrap_or_else(|wrong| panic!("{name}: {wrong}"));
        assert!(world.check(messages + 1, 300).is_err(), "one message less would be noticed");
    }
}

#[test]
fn the_last_totals_of_a_callgrind_file_are_read() {
    assert_eq!(totals("events: Ir\nfn=(1) x\n1 2\ntotals: 1740002\n"), Some(1_740_002));
    assert_eq!(totals("events: Ir\n"), None);
}

#[test]
fn a_build_by_another_profile_is_not_held_to_the_budget() {
    if build::profile() == build::MEASURED {
        return;
    }
    let output = Command::new(env!("CARGO_BIN_EXE_lockstep-instructions")).arg("--check").output();
    let output = output.expect("it runs");
    let stderr = String::from_utf8_lossy(&output.stderr);
    let profile = format!("the profile `{}`", build::profile());
    assert!(!output.status.success() && stderr.contains("--profile dist"), "{stderr}");
    assert!(stderr.contains(&profile) && output.stdout.is_empty(), "{stderr}");
}
