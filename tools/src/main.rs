//! Chores of the repository that take longer than CI has, or need more than the default build.
//!
//! ```text
//! cargo run -p tools -- sanitize                         io's tests under AddressSanitizer
//! cargo run -p tools -- coverage --seeds 10000           lines that the simulator reaches, and those that it never does
//! cargo run -p tools -- package target/package          manual pages and completions
//! cargo run --release -p tools -- soak --minutes 30      simulator and demo, in turn
//! cargo run --release -p tools -- power --times 100      all machines lose power at once (root)
//! cargo run --release -p tools -- stale --times 500      a leader is stopped and goes on
//! cargo run --release -p tools -- two-of-five --times 200  any two replicas are killed
//! cargo run --release -p tools -- upgrade --times 10      every node from the release before to this one, and back
//! cargo run --release -p tools -- late --times 100       readers begin anywhere, over a bad network
//! cargo run --release -p tools -- joins --gigabytes 100  a blank node joins where the beginning is gone
//! cargo run --release -p tools -- rolling --times 200    replicas get other configurations, one by one (root: power too)
//! cargo run --release -p tools -- trade --times 50       gateways and leaders are killed while clients trade
//! cargo run --release -p tools -- kill-xdp --times 1000  a node by xdp is killed: the card is free, and it is back
//! cargo run --release -p tools -- share-xdp --times 50   the owner of a card is killed that serves others
//! ```

use clap::{Parser, Subcommand, ValueEnum};
use lockstep_memory::rng::Rng;
use lockstep_testkit::netns::{self, Network};
use lockstep_testkit::processes::{self, Ground};
use lockstep_testkit::{cards, images, power, release, takeover, trading, upgrade};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tools::{coverage, joins, late, package, rolling};

#[derive(Parser)]
#[command(name = "tools", about = "Long checks and chores of the lockstep repository")]
struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Run the tests of io, the only room with unsafe code, under AddressSanitizer.
    Sanitize,
    /// Lines of the product that the simulator reaches, and those that it never does.
    Coverage {
        /// The first seed.
        #[arg(long, default_value_t = 0)]
        first: u64,
        /// How many seeds.
        #[arg(long, default_value_t = 10_000)]
        seeds: u64,
    },
    /// Write manual pages and completions into a folder: what a package has beside the program.
    Package {
        /// The folder.
        folder: std::path::PathBuf,
        /// The program that writes its completions; left out, the one beside this.
        #[arg(long)]
        program: Option<std::path::PathBuf>,
    },
    /// Upgrade every node from the release before to this one and back, while orders flow.
    Upgrade {
        /// How many times.
        #[arg(long, default_value_t = 10)]
        times: u32,
        /// Messages a second.
        #[arg(long, default_value_t = 20_000)]
        rate: u64,
    },
    /// Simulator and demo, in turn, until the time is over.
    Soak {
        /// For how long.
        #[arg(long, default_value_t = 30)]
        minutes: u64,
    },
    /// Cut the power of three machines while orders flow; judge what their disks hold, and recover.
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
        /// What carries the datagrams.
        #[arg(long, value_enum, default_value_t = By::Udp)]
        by: By,
    },
    /// Kill any two of five replicas, in turn, while orders flow.
    TwoOfFive {
        /// How often.
        #[arg(long, default_value_t = 200)]
        times: u32,
        /// What carries the datagrams.
        #[arg(long, value_enum, default_value_t = By::Udp)]
        by: By,
    },
    /// Kill a node that uses xdp while orders flow: nothing is left on its card, and the next one has it at
    /// once.
    KillXdp {
        /// How often.
        #[arg(long, default_value_t = 1_000)]
        times: u32,
    },
    /// Kill the owner of a card that serves the other processes of its host, and these, while orders flow.
    ShareXdp {
        /// How often.
        #[arg(long, default_value_t = 50)]
        times: u32,
        /// How many of a thousand packets the wire loses.
        #[arg(long, default_value_t = 10)]
        lost: u16,
    },
    /// Kill gateways and leaders while scripted clients trade through two gateways.
    Trade {
        /// How often each.
        #[arg(long, default_value_t = 50)]
        times: u32,
        /// How many clients.
        #[arg(long, default_value_t = 100)]
        clients: usize,
    },
    /// Change the configuration of one replica after the other while orders flow, by SIGTERM, kill or loss of
    /// power.
    Rolling {
        /// How often.
        #[arg(long, default_value_t = 200)]
        times: u32,
    },
    /// Publish so much, remove all but the newest, replace a member by a blank node, and measure until it
    /// votes.
    Joins {
        /// Gigabytes of messages in the stream.
        #[arg(long, default_value_t = 100)]
        gigabytes: u64,
        /// Gigabytes that the journals retain; each has up to twice that on the disk.
        #[arg(long, default_value_t = 2)]
        retained: u64,
    },
    /// Let readers begin at random places of a stream over a network that loses, doubles and reorders.
    Late {
        /// How many.
        #[arg(long, default_value_t = 100)]
        times: u32,
        /// What carries the datagrams.
        #[arg(long, value_enum, default_value_t = By::Udp)]
        by: By,
    },
}

/// What carries the datagrams of a cluster.
#[derive(Clone, Copy, ValueEnum)]
enum By {
    /// The kernel's sockets, on the loopback.
    Udp,
    /// The same without multicast.
    Unicast,
    /// Shared memory.
    Shm,
    /// The cards of namespaces, by xdp (root).
    Xdp,
}

impl By {
    /// The ground of a cluster of so many replicas, and what it stands on.
    fn ground(self, replicas: u32) -> Result<(Option<Network>, Ground), String> {
        Ok(match self {
            Self::Udp => (None, Ground::loopback(replicas)),
            Self::Unicast => (None, Ground::loopback(replicas).by_unicast()),
            Self::Shm => (None, Ground::loopback(replicas).with_memory()),
            Self::Xdp => {
                let network = network(replicas as usize + 1)?;
                let ground = network.ground(replicas).by_xdp();
                (Some(network), ground)
            }
        })
    }
}

/// So many nodes.
fn network(nodes: usize) -> Result<Network, String> {
    netns::unsupported().map_or_else(|| Ok(Network::new(nodes)), Err)
}

fn main() -> ExitCode {
    let done = match Arguments::parse().chore {
        Chore::Sanitize => sanitize(),
        Chore::Coverage { first, seeds } => coverage::run(first, seeds),
        Chore::Package { folder, program } => package::manual(&folder.join("man"))
            .and_then(|()| {
                let program = program.unwrap_or_else(processes::program);
                package::completions(&program, &folder.join("completions"))
            })
            .map_err(|error| format!("{}: {error}", folder.display())),
        Chore::Upgrade { times, rate } => release::previous(true).map(|previous| {
            let ground = Ground::loopback(3);
            let (shown, pauses) = upgrade::measured(&previous, &processes::program(), ground, (times, rate));
            println!("{times} times to this release and back: {shown}\n{pauses:.1?}");
        }),
        Chore::Soak { minutes } => soak(Duration::from_secs(60 * minutes)),
        Chore::Power { times } => power_fails(times),
        Chore::Stale { times, longest_ms, by } => scenes(times, by, 3, |rng, ground, times| {
            takeover::stale_leader(rng, ground, (1.0, longest_ms), times)
        }),
        Chore::TwoOfFive { times, by } => scenes(times, by, 5, takeover::two_of_five),
        Chore::KillXdp { times } => kill_xdp(times),
        Chore::ShareXdp { times, lost } => share_xdp(times, lost),
        Chore::Late { times, by } => late_joiners(times, by),
        Chore::Joins { gigabytes, retained } => build_program()
            .map(|()| println!("{}", joins::joins(gigabytes * 1_000_000_000, retained * 1_000_000_000))),
        Chore::Trade { times, clients } => trade(times, clients),
        Chore::Rolling { times } => rolled(times),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

/// What no run before was given: the clock's microseconds.
fn new_seed() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as u64)
}

fn sanitize() -> Result<(), String> {
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    // The bootstrap switch lets a stable compiler take the one unstable flag that names the sanitizer.
    let mut command = Command::new("cargo");
    command
        .args([
            "test",
            "--no-fail-fast",
            "-p",
            "lockstep-io",
            "-p",
            "lockstep-process",
            "-p",
            "lockstep-node",
            "--lib",
            "--test",
            "it",
        ])
        .args(["--target", &target, "--target-dir", "target/sanitize"])
        // The sanitizer reserves terabytes of shadow, which cannot be locked into memory.
        // Nor can a process 1 of its own be stopped from outside, as who looks for leaks does with every
        // thread.
        .args(["--", "--skip", "each_setting_of_the_machine", "--skip", "process_1_collects_orphans"])
        .env("RUSTC_BOOTSTRAP", "1")
        .env("RUSTFLAGS", "-Zsanitizer=address");
    succeed(command)
}

fn soak(limit: Duration) -> Result<(), String> {
    let begun = Instant::now();
    while begun.elapsed() < limit {
        for (package, arguments) in [
            ("lockstep-sim-program", &["--seeds", "20000"][..]),
            ("lockstep-demo", &["--messages", "1000000", "--rate", "0"]),
        ] {
            let mut run = Command::new("cargo");
            run.args(["run", "--release", "-p", package, "--"]).args(arguments);
            succeed(run)?;
        }
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
fn scenes(
    times: u32,
    by: By,
    replicas: u32,
    mut scenario: impl FnMut(&mut Rng, Ground, u32) -> takeover::Shown,
) -> Result<(), String> {
    build_program()?;
    let (mut rng, mut done, mut messages) = (Rng::new(new_seed()), 0, 0);
    while done < times {
        let now = PER_SCENE.min(times - done);
        let (_network, ground) = by.ground(replicas)?;
        let shown = scenario(&mut rng, ground, now);
        (done, messages) = (done + now, messages + shown.messages);
        println!("{done} of {times}: {shown}");
    }
    println!("{times} times, {messages} messages: nothing lost, doubled or out of order");
    Ok(())
}

fn trade(times: u32, clients: usize) -> Result<(), String> {
    build_program()?;
    println!("{}", trading::trade(&mut Rng::new(new_seed()), clients, times, times));
    Ok(())
}

fn rolled(times: u32) -> Result<(), String> {
    build_program()?;
    let (seed, mut done) = (new_seed(), 0);
    println!("seed {seed}");
    let mut rng = Rng::new(seed);
    while done < times {
        let now = (2 * PER_SCENE).min(times - done);
        done += now;
        println!("{done} of {times}: {}", rolling::rolling(&mut rng, now));
    }
    Ok(())
}

fn kill_xdp(times: u32) -> Result<(), String> {
    drop(network(1)?);
    build_program()?;
    println!("{}", cards::killed(times));
    Ok(())
}

fn share_xdp(times: u32, lost: u16) -> Result<(), String> {
    let network = network(2)?;
    build_program()?;
    println!("{}", cards::shared(&network, lost, times));
    Ok(())
}

fn late_joiners(times: u32, by: By) -> Result<(), String> {
    build_program()?;
    let (_network, ground) = by.ground(late::REPLICAS)?;
    println!("{}", late::joiners(&mut Rng::new(new_seed()), ground, times));
    Ok(())
}

fn power_fails(times: u32) -> Result<(), String> {
    if let Some(reason) = images::unsupported() {
        return Err(reason);
    }
    build_program()?;
    let seed = new_seed();
    println!("seed {seed}");
    let (mut rng, mut acknowledged, mut lost) = (Rng::new(seed), 0, 0);
    for time in 1..=times {
        let shown = power::keeps_all(&mut rng);
        acknowledged += shown.acknowledged;
        println!("{time} of {times}, power: {shown}");
        let founded = power::says_what_is_lost(&mut rng);
        lost += founded.lost;
        println!("{time} of {times}, process: {founded}");
    }
    println!(
        "the power failed {times} times on all machines under each durability: {acknowledged} messages were \
         acknowledged under power, all kept; {lost} were lost under process, and nothing silently"
    );
    Ok(())
}

fn succeed(mut command: Command) -> Result<(), String> {
    let status = command.status().map_err(|error| format!("starting {command:?}: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{command:?} ended with {status}")) }
}
