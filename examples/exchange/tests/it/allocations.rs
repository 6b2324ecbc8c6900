//! In steady state a command allocates nothing: what an engine needs, it has from its beginning.

use crate::model::flow::{Dice, Flow, opening, rules};
use crate::model::outputs::Collected;
use crate::model::slow::Slow;
use lockstep_exchange::*;

/// Drops everything.
struct Nothing;

impl Sink for Nothing {
    fn report(&mut self, _report: OrderReport) {}
    fn market(&mut self, _event: MarketEvent) {}
    fn refuse(&mut self, _reason: OperatorRefusal) {}
    fn timer(&mut self, _key: u64, _at_ns: u64) {}
    fn cancel_timer(&mut self, _key: u64) {}
}

#[test]
fn a_walk_through_all_rules_allocates_nothing_once_its_ladders_have_grown() {
    const WARM: usize = 10_000;
    let (mut slow, mut flow, mut dice) = (Slow::new(rules(0)), Flow::new(), Dice(7));
    let mut commands: Vec<_> = opening().into_iter().map(|command| (command, flow.now)).collect();
    for (command, now) in &commands {
        slow.apply(command, *now);
    }
    for _ in 0..2 * WARM {
        let command = flow.command(&mut dice, &slow);
        flow.observe(&slow.apply(&command, flow.now));
        commands.push((command, flow.now));
    }
    let mut engine = MatchingEngine::new(rules(0)).expect("rules");
    for (command, now) in &commands[..WARM] {
        engine.apply(command, *now, &mut Nothing);
    }
    let counted = allocation_counter::measure(|| {
        for (command, now) in &commands[WARM..] {
            engine.apply(command, *now, &mut Nothing);
        }
    });
    assert_eq!(counted.count_total, 0, "{counted:?}");
    let mut collected = Collected::default();
    engine.apply(&ExchangeCommand::MassCancel { account: 1, symbol: None, side: None }, 0, &mut collected);
    assert!(!collected.0.is_empty(), "the engine is alive");
}
