//! What a reading of a clock costs.

use super::Plan;
use crate::harness::{Run, per_operation};
use crate::results::{Row, Unit};
use crate::stats::Latencies;
use nix::time::{ClockId, clock_gettime};
use std::hint::black_box;
use std::time::Instant;

/// Readings that are timed together.
const READINGS: u64 = 1_000;

/// The kernel's clocks, and what they are for.
const CLOCKS: [(&str, ClockId, &str); 4] = [
    ("monotonic", ClockId::CLOCK_MONOTONIC, "CLOCK_MONOTONIC"),
    ("realtime", ClockId::CLOCK_REALTIME, "CLOCK_REALTIME"),
    ("raw", ClockId::CLOCK_MONOTONIC_RAW, "CLOCK_MONOTONIC_RAW"),
    ("coarse", ClockId::CLOCK_MONOTONIC_COARSE, "CLOCK_MONOTONIC_COARSE"),
];

/// Every clock for a share of the turn.
pub fn turn(run: &mut Run, plan: &Plan) -> Result<(), String> {
    for (subject, clock, words) in CLOCKS {
        one(run, plan, (subject, words), || clock_gettime(clock).map_or(0, |time| time.tv_nsec() as u64))?;
    }
    let tsc = quanta::Clock::new();
    // Where the CPU has no steady counter the library reads the kernel's clock, whose unit is the nanosecond.
    let steady = tsc.delta_as_nanos(0, 1_000_000) != 1_000_000;
    if steady {
        one(run, plan, ("tsc", "the CPU's counter (TSC)"), || tsc.raw())?;
    }
    Ok(())
}

fn one(
    run: &mut Run,
    plan: &Plan,
    (subject, words): (&str, &str),
    read: impl Fn() -> u64,
) -> Result<(), String> {
    let mut batches = Latencies::new()?;
    let at = Instant::now();
    while at.elapsed() < plan.turn / 5 {
        let began = Instant::now();
        for _ in 0..READINGS {
            black_box(read());
        }
        batches.record(began.elapsed().as_nanos() as u64);
    }
    let round = per_operation(&batches, READINGS);
    let row = Row::new("clock, one reading (means of 1000)", subject, words, Unit::Nanos);
    run.record(row, at, at.elapsed(), round);
    Ok(())
}
