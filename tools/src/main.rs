//! Chores of the repository that take longer than CI has, or need more than the default build.
//!
//! ```text
//! cargo run --release -p tools -- sim --seeds 100000     the simulator, new seeds each time
//! cargo run -p tools -- sanitize                         io's tests under AddressSanitizer
//! cargo run --release -p tools -- soak --minutes 30      simulator and demo, in turn
//! cargo run --release -p tools -- power --times 100      all machines lose power at once (root)
//! cargo run --release -p tools -- stale --times 500      a leader is stopped and goes on
//! cargo run --release -p tools -- two-of-five --times 200  any two replicas are killed
//! ```

use clap::{Parser, Subcommand};
use lockstep::sim::rng::Rng;
use lockstep::sim::{Failure, Outcome, Plan, run};
use std::process::{Command, ExitCode};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tools::{images, power, takeover};

#[derive(Parser)]
#[command(name = "tools", about = "Long checks and chores of the lockstep repository")]
struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Run the simulator over many seeds.
    Sim {
        /// The first seed; without it a new one is drawn from the clock.
        #[arg(long)]
        from: Option<u64>,
        /// How many.
        #[arg(long, default_value_t = 100_000)]
        seeds: u64,
        /// Threads.
        #[arg(long, default_value_t = 2)]
        jobs: usize,
    },
    /// Run the tests of io, the only room with unsafe code, under AddressSanitizer.
    Sanitize,
    /// Simulator and demo, in turn, until the time is over.
    Soak {
        /// For how long.
        #[arg(long, default_value_t = 30)]
        minutes: u64,
    },
    /// Cut the power of three machines while orders flow; judge what their disks hold.
    Power {
        /// How often.
        #[arg(long, default_value_t = 100)]
        times: u32,
    },
    /// Stop the leader for 1 ms to 30 s, log-uniform, while orders flow, and let it go on.
    Stale {
        /// How often.
        #[arg(long, default_value_t = 500)]
        times: u32,
        /// The longest stop in milliseconds.
        #[arg(long, default_value_t = 30_000.0)]
        longest_ms: f64,
    },
    /// Kill any two of five replicas, in turn, while orders flow.
    TwoOfFive {
        /// How often.
        #[arg(long, default_value_t = 200)]
        times: u32,
    },
}

fn main() -> ExitCode {
    let done = match Arguments::parse().chore {
        Chore::Sim { from, seeds, jobs } => simulate(from.unwrap_or_else(new_seed), seeds, jobs),
        Chore::Sanitize => sanitize(),
        Chore::Soak { minutes } => soak(Duration::from_secs(60 * minutes)),
        Chore::Power { times } => power_fails(times),
        Chore::Stale { times, longest_ms } => {
            scenes(times, |rng, times| takeover::stale_leader(rng, (1.0, longest_ms), times))
        }
        Chore::TwoOfFive { times } => scenes(times, takeover::two_of_five),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

/// Seeds that no run has used: the clock's microseconds.
fn new_seed() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as u64)
}

fn simulate(from: u64, seeds: u64, jobs: usize) -> Result<(), String> {
    let begun = Instant::now();
    let next = AtomicU64::new(from);
    let total = Mutex::new(Outcome::default());
    let failure: Mutex<Option<Failure>> = Mutex::new(None);
    let lock =
        |failure: &Mutex<Option<Failure>>| failure.lock().map(|found| found.clone()).unwrap_or_default();
    std::thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= from.saturating_add(seeds) || lock(&failure).is_some() {
                        return;
                    }
                    match run(&Plan::of_seed(seed), false) {
                        Ok(outcome) => {
                            if let Ok(mut total) = total.lock() {
                                total.add(&outcome);
                            }
                        }
                        Err(found) => {
                            if let Ok(mut failure) = failure.lock() {
                                failure.get_or_insert(found);
                            }
                        }
                    }
                }
            });
        }
    });
    if let Some(failure) = lock(&failure) {
        return Err(format!(
            "{failure}\nsee it again: LOCKSTEP_SIM_SEED={} cargo test --test sim -- --nocapture",
            failure.seed
        ));
    }
    let total = total.into_inner().map_err(|_| "a simulation panicked".to_string())?;
    let took = begun.elapsed();
    println!(
        "{seeds} seeds from {from} on, clean: {total:?}; {took:.1?}, {:.0} steps/s",
        total.steps as f64 / took.as_secs_f64()
    );
    Ok(())
}

fn sanitize() -> Result<(), String> {
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    // The bootstrap switch lets a stable compiler take the one unstable flag that names the sanitizer.
    let mut command = Command::new("cargo");
    command
        .args(["test", "-p", "lockstep", "--lib", "--test", "io", "--test", "node", "--target", &target])
        .args(["--target-dir", "target/sanitize"])
        // The sanitizer reserves terabytes of shadow, which cannot be locked into memory.
        .args(["--", "--skip", "each_setting_of_the_machine"])
        .env("RUSTC_BOOTSTRAP", "1")
        .env("RUSTFLAGS", "-Zsanitizer=address");
    succeed(command)
}

fn soak(limit: Duration) -> Result<(), String> {
    let begun = Instant::now();
    while begun.elapsed() < limit {
        simulate(new_seed(), 20_000, 2)?;
        let mut demo = Command::new("cargo");
        demo.args([
            "run",
            "--release",
            "-p",
            "lockstep",
            "--",
            "demo",
            "--messages",
            "1000000",
            "--rate",
            "0",
        ]);
        succeed(demo)?;
        println!("{:.0?} of {limit:.0?}", begun.elapsed());
    }
    Ok(())
}

/// Each chore with processes needs the program: the profile is that of these tools.
fn build_program() -> Result<(), String> {
    let mut build = Command::new("cargo");
    build.args(["build", "-p", "lockstep", "--bin", "lockstep"]);
    if !cfg!(debug_assertions) {
        build.arg("--release");
    }
    succeed(build)
}

/// How often one cluster is troubled before it is judged and another one founded.
const PER_SCENE: u32 = 10;

/// Runs a scenario `times` times, on as many clusters as that takes.
fn scenes(times: u32, mut scenario: impl FnMut(&mut Rng, u32) -> takeover::Shown) -> Result<(), String> {
    build_program()?;
    let (mut rng, mut done, mut messages) = (Rng::new(new_seed()), 0, 0);
    while done < times {
        let now = PER_SCENE.min(times - done);
        let shown = scenario(&mut rng, now);
        (done, messages) = (done + now, messages + shown.messages);
        println!("{done} of {times}: {shown}");
    }
    println!("{times} times, {messages} messages: nothing lost, doubled or out of order");
    Ok(())
}

fn power_fails(times: u32) -> Result<(), String> {
    if let Some(reason) = images::unsupported() {
        return Err(reason);
    }
    build_program()?;
    let (mut rng, mut acknowledged) = (Rng::new(new_seed()), 0);
    for time in 1..=times {
        let shown = power::keeps_all(&mut rng);
        acknowledged += shown.acknowledged;
        println!("{time} of {times}: {shown}");
    }
    println!(
        "the power failed {times} times on all machines: {acknowledged} messages were acknowledged, all kept"
    );
    Ok(())
}

fn succeed(mut command: Command) -> Result<(), String> {
    let status = command.status().map_err(|error| format!("starting {command:?}: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{command:?} ended with {status}")) }
}
