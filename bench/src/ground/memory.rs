//! Round trips between two cores through shared memory: what a hand-over from one hot thread to another costs
//! where neither ever sleeps.

use super::{Plan, hops::WARM_UP_NS, pin};
use crate::results::{Round, Row, Unit};
use crate::stats::Latencies;
use crate::turns::Turns;
use lockstep::io::clock::Clock;
use lockstep::wire::Nanos;
use std::hint::spin_loop;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A cache line and the one that the CPU fetches with it, for one writer.
#[repr(align(128))]
#[derive(Default)]
struct Line(AtomicU64);

/// What one writes for the other.
#[derive(Default)]
struct Table {
    there: Line,
    back: Line,
}

/// Says that there is no more to do, and that the other thread could not do it.
const END: u64 = u64::MAX;

/// The first core asks, the second answers.
pub fn turn(turns: &mut Turns<'_>, plan: &Plan) -> Result<(), String> {
    let at = Instant::now();
    let table = Arc::new(Table::default());
    let (here, there) = (plan.cores[0], plan.cores[1]);
    let theirs = Arc::clone(&table);
    let other = std::thread::spawn(move || answer(&theirs, there));
    let asked = ask(&table, plan.turn);
    table.there.0.store(END, Ordering::Release);
    other.join().map_err(|_| "the answering thread panicked".to_owned())??;
    let trips = asked?;
    let words = format!("core {here} to core {there} and back");
    let counted = plan.turn.saturating_sub(Duration::from_nanos(WARM_UP_NS));
    let row = Row::new("shared memory, round trip", "memory", &words, Unit::Nanos);
    turns.add(row, at, counted, Round::of(&trips)?);
    Ok(())
}

fn ask(table: &Table, turn: Duration) -> Result<Latencies, String> {
    let clock = Clock::start();
    let mut trips = Latencies::new()?;
    let began = clock.now();
    let until = began + turn.as_nanos() as Nanos;
    let (mut number, mut sent) = (0, began);
    loop {
        number += 1;
        table.there.0.store(number, Ordering::Release);
        loop {
            match table.back.0.load(Ordering::Acquire) {
                END => return Ok(trips), // it says itself why
                back if back == number => break,
                _ => spin_loop(),
            }
        }
        let now = clock.now();
        if now > began + WARM_UP_NS {
            trips.record(now - sent);
        }
        if now >= until && !trips.is_empty() {
            return Ok(trips);
        }
        sent = now;
    }
}

fn answer(table: &Table, core: usize) -> Result<(), String> {
    if let Err(why) = pin(core) {
        table.back.0.store(END, Ordering::Release);
        return Err(why);
    }
    let mut last = 0;
    loop {
        match table.there.0.load(Ordering::Acquire) {
            END => return Ok(()),
            number if number == last => spin_loop(),
            number => {
                table.back.0.store(number, Ordering::Release);
                last = number;
            }
        }
    }
}
