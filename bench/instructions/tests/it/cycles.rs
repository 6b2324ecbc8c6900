//! Cycles of a leader's stages.

use lockstep_instructions::cycles::{Counter, of};
use lockstep_instructions::stages::Stage;
use lockstep_instructions::world::Pattern;

#[test]
fn every_stage_but_the_turns_own_takes_some_cycles_alone() {
    let counter = match Counter::new() {
        Ok(counter) => counter,
        Err(reason) => return println!("SKIPPED: {reason}"),
    };
    let (stages, turn) = of(&counter, Pattern { datagrams: &[15, 1] }).expect("a world that meets");
    let reported: Vec<Stage> = stages.iter().map(|(stage, _)| *stage).collect();
    for stage in Stage::ALL.into_iter().filter(|stage| *stage != Stage::Turn) {
        assert!(reported.contains(&stage), "{stage:?}: {stages:?}");
    }
    assert!(turn > 0.0 && stages.iter().all(|(_, ticks)| ticks.is_finite()), "{stages:?}");
}
