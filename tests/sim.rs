//! The simulator's promises. `LOCKSTEP_SIM_SEEDS` sets how many seeds are run; `LOCKSTEP_SIM_SEED` runs
//! one of them with its whole trace.

use lockstep::sim::{Outcome, Plan, run};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

fn from_env(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Ten thousand mixes of loss, duplication, reordering, corruption and restarts: no rule is broken after
/// any step, and when the faults end everything published is committed and delivered everywhere.
#[test]
fn no_seed_breaks_a_rule_and_every_seed_gets_done() {
    let (first, seeds) = match from_env("LOCKSTEP_SIM_SEED") {
        Some(seed) => (seed, 1),
        None => (0, from_env("LOCKSTEP_SIM_SEEDS").unwrap_or(10_000)),
    };
    let next = AtomicU64::new(first);
    let total = Mutex::new((Outcome::default(), 0));
    let failures = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + seeds || !failures.lock().unwrap().is_empty() {
                        return;
                    }
                    match run(&Plan::of_seed(seed), seeds == 1) {
                        Ok(outcome) => {
                            let mut total = total.lock().unwrap();
                            total.0.add(&outcome);
                            total.1 += 1;
                        }
                        Err(failure) => failures.lock().unwrap().push(failure),
                    }
                }
            });
        }
    });
    let (total, runs) = total.into_inner().unwrap();
    println!("{runs} seeds: {total}");
    if let Some(failure) = failures.into_inner().unwrap().first() {
        let seed = failure.seed;
        panic!("{failure}\nsee it again: LOCKSTEP_SIM_SEED={seed} cargo test --test sim -- --nocapture");
    }
    if seeds >= 1_000 {
        let generated = total.generated;
        assert!(
            generated.lost > 0 && generated.duplicated > 0 && generated.reordered > 0,
            "a fault was never generated"
        );
        assert!(
            generated.corrupted > 0 && total.restarts > 0 && total.reboots > 0,
            "a fault was never generated"
        );
    }
}

/// One seed decides everything.
#[test]
fn equal_seeds_give_byte_identical_traces() {
    for seed in [1, 17, 4242] {
        let (once, again) =
            (run(&Plan::of_seed(seed), true).unwrap(), run(&Plan::of_seed(seed), true).unwrap());
        assert!(!once.trace.is_empty());
        assert_eq!(once.trace, again.trace, "seed {seed}");
        assert_eq!(once, again, "seed {seed}");
    }
}
