//! A recorded day of ITCH 5.0, as commands, through the engine and the slow model: a first part collects for
//! an opening auction, the second trades, the third collects for a closing auction.

#[path = "../../examples/match_bench/recorded.rs"]
mod reader;

use crate::model::ledger::Ledger;
use crate::model::outputs::{Collected, Out};
use crate::model::slow::Slow;
use lockstep_exchange::*;

const RULES: Rules = Rules {
    orders_max: 10_000,
    instruments_max: 3,
    accounts_max: 2,
    positions_max: 6,
    trades_max: 100,
    volatility_ns: 1_000_000_000,
    indicative_ns: 0,
    hash_seed: 1,
};

#[test]
fn a_recorded_day_gives_the_same_outputs_and_books_in_both_models() {
    let gzip = include_bytes!("../../../../tests/data/ex20101224.TEST_ITCH_50.gz");
    let reader::Day { symbols, accounts, commands: day } = reader::day(gzip, 1);
    let phase = |phase| ExchangeCommand::SetPhase { symbol: None, phase, ends: PhaseEnd::Never };
    let define = symbols.iter().map(|symbol| {
        let (tick, lot, reference) = (1, 1, 100_000);
        let (static_bps, dynamic_bps, extended_bps) = (0, 0, 0);
        let symbol = *symbol;
        let terms = InstrumentTerms { symbol, tick, lot, reference, static_bps, dynamic_bps, extended_bps };
        ExchangeCommand::DefineInstrument(terms)
    });
    let (limits, cancel_on_disconnect) = (AccountLimits::NONE, true);
    let account = |account| ExchangeCommand::SetAccount { account, limits, cancel_on_disconnect };
    let mut commands: Vec<_> = define.chain((0..accounts).map(account)).collect();
    commands.push(phase(TradingPhase::OpeningAuction));
    commands.extend(&day[..1_000]);
    commands.push(phase(TradingPhase::Continuous));
    commands.extend(&day[1_000..6_000]);
    commands.push(phase(TradingPhase::ClosingAuction));
    commands.extend(&day[6_000..]);
    commands.push(phase(TradingPhase::Closed));

    let mut engine = MatchingEngine::new(RULES).expect("rules");
    let (mut slow, mut ledger, mut crosses) = (Slow::new(RULES), Ledger::default(), vec![]);
    for (step, command) in commands.iter().enumerate() {
        let now = 1_700_000_000_000_000_000 + step as u64 * 1_000_000;
        let mut collected = Collected::default();
        engine.apply(command, now, &mut collected);
        assert_eq!(collected.0, slow.apply(command, now), "step {step}: {command:?}");
        ledger.book(&collected.0);
        crosses.extend(collected.0.iter().filter_map(|out| match out {
            Out::Market(MarketEvent::Cross { quantity, .. }) => Some(*quantity),
            _ => None,
        }));
        if step % 100 == 0 {
            ledger.assert_agrees(&engine);
            engine.assert_invariants();
            let mut late = Collected::default();
            engine.publish_market(&mut late);
            ledger.assert_late_joiner(&late.0);
        }
    }
    println!("{} commands, {} trades, crosses of {crosses:?}", commands.len(), slow.trades.len());
    assert!(crosses.len() >= 4 && slow.trades.len() > 1_000);
    assert_eq!(engine.open_orders(), 0, "the close leaves nothing");
}
