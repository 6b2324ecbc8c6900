//! Mutated datagrams at engines in memory (`lockstep_sim::mutated`), on several threads: `mutate INPUTS [THREADS
//! [FIRST]]`. FIRST is the number of the first cluster; a number finds the same again. It ends with an error if an
//! engine panicked, hung, or the memory grew.

#![allow(clippy::disallowed_methods, reason = "a program of its own: it has threads, and measures its rate")]

use lockstep_sim::mutated::Mutated;
use std::io::{Error, ErrorKind};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// A line is printed after so many inputs.
const LINE: u64 = 10_000_000;
/// A cluster takes milliseconds: one that takes this long hangs.
const HANGS: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(200);
/// What the memory may grow by, beside a tenth: what is first used late.
const GROWTH_KIB: u64 = 16 << 10;

/// What all threads have done.
#[derive(Default)]
struct Done {
    next: AtomicU64,
    inputs: AtomicU64,
    panics: AtomicU64,
}

/// The cluster that a thread is at, and since when.
type Present = Mutex<Option<(u64, Instant)>>;

/// Takes clusters until all inputs are done.
fn work(mutated: &Mutated, done: &Done, inputs: u64, present: &Present) {
    while done.inputs.load(Ordering::Relaxed) < inputs {
        let number = done.next.fetch_add(1, Ordering::Relaxed);
        *present.lock().expect("no thread panics with it") = Some((number, Instant::now()));
        match catch_unwind(AssertUnwindSafe(|| mutated.world(number))) {
            Ok(taken) => drop(done.inputs.fetch_add(taken, Ordering::Relaxed)),
            Err(_) => {
                done.panics.fetch_add(1, Ordering::Relaxed);
                println!("PANIC in cluster {number}: `mutate 1 1 {number}` finds it again");
            }
        }
    }
    *present.lock().expect("no thread panics with it") = None;
}

/// Memory that is resident, in KiB.
fn resident_kib() -> Result<u64, Error> {
    let text = std::fs::read_to_string("/proc/self/status")?;
    let row = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = row.and_then(|row| row.split_whitespace().next()).and_then(|word| word.parse().ok());
    number.ok_or_else(|| Error::new(ErrorKind::InvalidData, "/proc/self/status has no VmRSS"))
}

fn run(inputs: u64, threads: usize, first: u64) -> Result<(), String> {
    // As programs do when they open their device.
    lockstep_io::choose_instructions();
    let (mutated, done) = (Mutated::default(), Done::default());
    done.next.store(first, Ordering::Relaxed);
    let presents: Vec<Present> = (0..threads).map(|_| Present::default()).collect();
    let (began, mut printed, mut before) = (Instant::now(), 0, None);
    thread::scope(|scope| {
        let workers: Vec<_> =
            presents.iter().map(|present| scope.spawn(|| work(&mutated, &done, inputs, present))).collect();
        loop {
            let is_over = workers.iter().all(thread::ScopedJoinHandle::is_finished);
            let (taken, panics) = (done.inputs.load(Ordering::Relaxed), done.panics.load(Ordering::Relaxed));
            for present in &presents {
                let at = *present.lock().expect("no thread panics with it");
                if let Some((number, since)) = at.filter(|(_, since)| since.elapsed() > HANGS) {
                    // It does not come back: there is no other end than this one.
                    println!("HANG in cluster {number} for {:?}: `mutate 1 1 {number}`", since.elapsed());
                    std::process::exit(1);
                }
            }
            if taken / LINE > printed || is_over {
                printed = taken / LINE;
                let memory = resident_kib().map_err(|error| format!("reading /proc/self/status: {error}"))?;
                let seconds = began.elapsed().as_secs_f64();
                println!(
                    "{taken} inputs in {seconds:.0} s, {:.0} a second; clusters up to {}; panics {panics}, hangs 0, \
                     resident {memory} KiB",
                    taken as f64 / seconds,
                    done.next.load(Ordering::Relaxed)
                );
                let first = *before.get_or_insert(memory);
                if memory > first + first / 10 + GROWTH_KIB {
                    println!("the memory has grown from {first} KiB to {memory} KiB");
                    std::process::exit(1);
                }
            }
            if is_over {
                return if panics == 0 { Ok(()) } else { Err(format!("{panics} clusters panicked")) };
            }
            thread::sleep(POLL);
        }
    })
}

fn main() -> ExitCode {
    let numbers: Result<Vec<u64>, _> = std::env::args().skip(1).map(|word| word.parse::<u64>()).collect();
    let (inputs, threads, first) = match numbers.as_deref() {
        Ok([inputs]) => (*inputs, 1, 0),
        Ok([inputs, threads]) => (*inputs, *threads, 0),
        Ok([inputs, threads, first]) => (*inputs, *threads, *first),
        _ => {
            eprintln!("usage: mutate INPUTS [THREADS [FIRST CLUSTER]]");
            return ExitCode::from(2);
        }
    };
    match run(inputs, threads.max(1) as usize, first) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}
