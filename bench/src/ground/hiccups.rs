//! The threads that take a core away from a thread that never lets go of it, and for how long: the kernel's
//! ticks, interrupts, other processes, and a hypervisor beneath all of them.

use super::Plan;
use crate::harness::{Run, pin};
use crate::results::{Round, Row, Unit};
use crate::stalls::STALL_NS;
use crate::stats::Latencies;
use lockstep_io::clock::Clock;
use lockstep_wire::Nanos;
use std::hint::black_box;
use std::sync::Barrier;
use std::time::{Duration, Instant};

/// A longer gap between two readings of the clock is a hiccup.
const HICCUP_NS: Nanos = 1_000;

/// What one core showed.
struct Spun {
    gaps: Latencies,
    hiccups: u64,
    /// Those as long as what is called a stall of a hot thread.
    stalls: u64,
    stolen_ns: Nanos,
    spun_ns: Nanos,
}

impl Spun {
    fn per_second(&self, what: u64) -> f64 {
        what as f64 * 1e9 / self.spun_ns as f64
    }
}

/// All cores at once, as every core has its own ticks, and what spins on one must not send others' work to
/// the next.
pub fn turn(run: &mut Run, plan: &Plan) -> Result<(), String> {
    let at = Instant::now();
    let start = Barrier::new(plan.cores.len());
    let spun: Result<Vec<Spun>, String> = std::thread::scope(|scope| {
        let spin = |core: usize| {
            let pinned = pin(core);
            start.wait();
            pinned.and_then(|()| spin(plan.turn))
        };
        let threads: Vec<_> =
            plan.cores.iter().map(|&core| scope.spawn(move || (core, spin(core)))).collect();
        let join = |thread: std::thread::ScopedJoinHandle<'_, (usize, Result<Spun, String>)>| {
            let (core, spun) = thread.join().map_err(|_| "a spinning thread panicked".to_owned())?;
            spun.map_err(|error| format!("core {core}: {error}"))
        };
        threads.into_iter().map(join).collect()
    });
    for (core, spun) in plan.cores.iter().zip(spun?) {
        let counted = Duration::from_nanos(spun.spun_ns);
        let subject = format!("core {core}");
        let mut add = |case: &str, unit, round| {
            run.record(Row::new(case, &subject, &subject, unit), at, counted, round);
        };
        add("hiccups: gaps of a spinning core above 1 us", Unit::Nanos, Round::of(&spun.gaps)?);
        add("hiccups in a second", Unit::Count, Round::value(spun.per_second(spun.hiccups)));
        add("hiccups of 50 us and more in a second", Unit::Count, Round::value(spun.per_second(spun.stalls)));
        add("stolen of a second, by hiccups", Unit::Nanos, Round::value(spun.per_second(spun.stolen_ns)));
    }
    Ok(())
}

/// The loop. Where nothing is a hiccup, the greatest gap is the one sample, so that there is something to
/// judge.
fn spin(turn: Duration) -> Result<Spun, String> {
    let clock = Clock::start();
    let (mut gaps, mut hiccups, mut stalls, mut stolen_ns, mut greatest) = (Latencies::new()?, 0, 0, 0, 0);
    let began = clock.now();
    let until = began + turn.as_nanos() as Nanos;
    let mut last = began;
    while last < until {
        let now = black_box(clock.now());
        let gap = now - last;
        if gap > HICCUP_NS {
            gaps.record(gap);
            (hiccups, stolen_ns) = (hiccups + 1, stolen_ns + gap);
            stalls += u64::from(gap >= STALL_NS);
        }
        greatest = greatest.max(gap);
        last = now;
    }
    if hiccups == 0 {
        gaps.record(greatest);
    }
    Ok(Spun { gaps, hiccups, stalls, stolen_ns, spun_ns: last - began })
}
