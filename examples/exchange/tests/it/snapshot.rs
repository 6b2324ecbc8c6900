//! Snapshots: what they bring back, what they refuse, and that equal states have equal digests.

use crate::model::flow::{self, Dice, Flow, opening, rules};
use crate::model::outputs::Collected;
use crate::model::slow::Slow;
use lockstep_exchange::*;
use lockstep_testkit::lane::amount;

const NOW: u64 = 1_700_000_000_000_000_000;

/// An engine after a walk of `steps` commands.
fn walked(seed: u64, steps: u64) -> MatchingEngine {
    let mut engine = MatchingEngine::new(rules(seed)).expect("rules");
    let (mut slow, mut flow, mut dice) = (Slow::new(rules(seed)), Flow::new(), Dice(seed));
    for command in opening() {
        engine.apply(&command, NOW, &mut Collected::default());
        slow.apply(&command, NOW);
    }
    for _ in 0..steps {
        let command = flow.command(&mut dice, &slow);
        engine.apply(&command, flow.now, &mut Collected::default());
        flow.observe(&slow.apply(&command, flow.now));
    }
    engine
}

fn bytes_of(engine: &MatchingEngine) -> Vec<u8> {
    let mut bytes = vec![];
    engine.snapshot(&mut bytes).expect("memory can be written");
    bytes
}

fn restored(mut bytes: &[u8]) -> std::io::Result<MatchingEngine> {
    MatchingEngine::restore(&mut bytes)
}

/// The same bytes with the digest and the checksum that fit them: what a forger would send.
fn resealed(bytes: &[u8]) -> Vec<u8> {
    let mut sealed = bytes.to_vec();
    // An error names the checksum that the bytes have, then the digest that the state has, then the checksum
    // again.
    for _ in 0..3 {
        let Err(error) = restored(&sealed) else { break };
        let (error, len) = (error.to_string(), sealed.len());
        let place = [("its bytes have ", len - 8), ("its state has ", len - 16)];
        let found = place.iter().find_map(|(text, at)| Some((error.split_once(text)?.1, *at)));
        let Some((value, at)) = found else { break };
        let value = u64::from_str_radix(value, 16).expect("hexadecimal");
        sealed[at..at + 8].copy_from_slice(&value.to_le_bytes());
    }
    sealed
}

#[test]
fn a_restored_engine_has_the_same_digest_and_bytes() {
    for seed in 0..20 {
        let engine = walked(seed, 300);
        let bytes = bytes_of(&engine);
        let mut again = restored(&bytes).expect("its own snapshot");
        again.prefault();
        again.assert_invariants();
        assert_eq!((again.digest(), bytes_of(&again)), (engine.digest(), bytes), "seed {seed}");
    }
}

#[test]
fn equal_states_have_equal_digests_whatever_the_way() {
    let limits = AccountLimits::NONE;
    let account = |account| ExchangeCommand::SetAccount { account, limits, cancel_on_disconnect: true };
    let symbol = Symbol::new("ABC");
    let define = ExchangeCommand::DefineInstrument(flow::terms(symbol, 100, 1, [0; 3]));
    let phase =
        ExchangeCommand::SetPhase { symbol: None, phase: TradingPhase::Continuous, ends: PhaseEnd::Never };
    let order = |account, token, side, price| {
        ExchangeCommand::Enter(NewOrder::limit(account, token, symbol, side, 10, price))
    };
    let digest = |commands: &[ExchangeCommand]| {
        let mut engine = MatchingEngine::new(rules(0)).expect("rules");
        for command in commands {
            engine.apply(command, NOW, &mut Collected::default());
        }
        engine.digest()
    };
    // Accounts in another order; an order that was canceled by its owner or by its session's end.
    let cancel = ExchangeCommand::Cancel { account: 2, token: 1, quantity: 0 };
    let one = [
        account(1),
        account(2),
        define,
        phase,
        order(1, 1, Side::Buy, 90_000),
        order(2, 1, Side::Sell, 110_000),
        cancel,
    ];
    let other = [
        define,
        account(2),
        phase,
        account(1),
        order(1, 1, Side::Buy, 90_000),
        order(2, 1, Side::Sell, 110_000),
        ExchangeCommand::Disconnect { account: 2 },
    ];
    assert_eq!(digest(&one), digest(&other));
    assert_ne!(digest(&one), digest(&one[..6]), "an order more");
    assert_ne!(digest(&one), digest(&one[..4]), "tokens that were used, numbers that were given out");
}

#[test]
fn each_changed_byte_is_found() {
    let bytes = bytes_of(&walked(3, 200));
    for at in 0..bytes.len() {
        for bit in [0, 3, 7] {
            let mut changed = bytes.clone();
            changed[at] ^= 1 << bit;
            let error = restored(&changed).expect_err("a changed byte");
            assert!(!error.to_string().is_empty());
        }
    }
}

#[test]
fn each_cut_is_found() {
    let bytes = bytes_of(&walked(4, 200));
    for len in 0..bytes.len() {
        let error = restored(&bytes[..len]).expect_err("bytes are missing");
        assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof, "{len} bytes");
    }
    let mut longer = bytes.clone();
    longer.push(7);
    let mut rest = longer.as_slice();
    assert!(MatchingEngine::restore(&mut rest).is_ok());
    assert_eq!(rest, [7], "what stands behind is not read");
}

/// What a possible state does next must not panic either.
fn live_a_day(mut engine: MatchingEngine) {
    engine.assert_invariants();
    let symbols: Vec<_> = engine.symbols().collect();
    let accounts: Vec<_> = engine.account_ids().collect();
    let mut apply = |command: ExchangeCommand| {
        engine.apply(&command, NOW, &mut Collected::default());
        engine.assert_invariants();
    };
    for phase in [TradingPhase::Halted, TradingPhase::Continuous, TradingPhase::ClosingAuction] {
        apply(ExchangeCommand::SetPhase { symbol: None, phase, ends: PhaseEnd::At(u64::MAX) });
        for (account, symbol) in accounts.iter().zip(symbols.iter().cycle()) {
            let side = if account % 2 == 0 { Side::Buy } else { Side::Sell };
            let mut order = NewOrder::limit(*account, u32::MAX - phase as u32, *symbol, side, 500, 100_000);
            order.self_match = SelfMatch::Decrement;
            apply(ExchangeCommand::Enter(order));
        }
    }
    apply(ExchangeCommand::Disconnect { account: 2 });
    apply(ExchangeCommand::SetPhase { symbol: None, phase: TradingPhase::Closed, ends: PhaseEnd::Never });
}

#[test]
fn a_forged_snapshot_is_refused_or_makes_an_engine_that_holds() {
    let (mut refused, mut accepted) = (0, 0);
    for seed in 0..amount(2, 6) {
        let bytes = bytes_of(&walked(seed, 250));
        for at in 0..bytes.len() - 16 {
            for value in [0, 1, bytes[at] ^ 1, bytes[at] ^ 0x80, 255] {
                // Capacities are a forger's to choose, within their limit; here they would take time.
                if value == bytes[at] || (6..24).contains(&at) {
                    continue;
                }
                let mut changed = bytes.clone();
                changed[at] = value;
                match restored(&resealed(&changed)) {
                    Err(_) => refused += 1,
                    Ok(engine) => {
                        live_a_day(engine);
                        accepted += 1;
                    }
                }
            }
        }
    }
    println!("forged snapshots: {refused} refused, {accepted} are possible states");
    assert!(refused > 1000 && accepted > 100);
}

#[test]
fn a_snapshot_of_another_version_names_both() {
    let mut bytes = bytes_of(&walked(1, 0));
    bytes[4] = 9;
    let error = restored(&bytes).expect_err("another version").to_string();
    assert_eq!(error, "snapshot of an exchange: version 9; this program reads version 1");
    let error = restored(b"PNG\x0d\x0a\x1a\x0a").expect_err("something else").to_string();
    assert!(error.contains("LSEX"), "{error}");
}

#[test]
fn counts_beyond_the_rules_allocate_nothing() {
    let mut bytes = bytes_of(&walked(1, 0));
    // The number of instruments stands behind magic, version, rules and counters.
    let at = 4 + 2 + 42 + 24;
    bytes[at..at + 4].copy_from_slice(&u32::MAX.to_le_bytes());
    let error = restored(&bytes).expect_err("too many").to_string();
    assert!(error.contains("4294967295 instruments, where its rules allow 3"), "{error}");
}
