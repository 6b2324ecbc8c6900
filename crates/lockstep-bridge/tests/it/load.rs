//! Messages of a publisher for as long as a test wants them, the draws of its kills, and the bridge.

use lockstep_memory::rng::Rng;
use lockstep_process::child::clear_settings;
use lockstep_testkit::processes::{Cluster, Process};
use std::io::Write;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// The number of a variable of the environment.
pub fn number_of(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).ok().map_or(otherwise, |text| text.parse().expect(variable))
}

/// Random numbers by `LOCKSTEP_BRIDGE_SEED`, or by a new seed, which is printed.
pub fn draws() -> Rng {
    let seed = number_of("LOCKSTEP_BRIDGE_SEED", std::process::id().into());
    println!("LOCKSTEP_BRIDGE_SEED={seed}");
    Rng::new(seed)
}

/// The bridge of this build, which has its own configuration.
pub fn bridge() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lockstep-bridge"));
    clear_settings(&mut command);
    command
}

/// A publisher with one message after each pause.
pub struct Load {
    publisher: Process,
    enough: Arc<AtomicBool>,
    writer: JoinHandle<u64>,
}

impl Load {
    pub fn start(cluster: &Cluster, pause: Duration) -> Self {
        Self::to(cluster, 0, pause)
    }

    /// The same for a destination; each has a publisher of its own.
    pub fn to(cluster: &Cluster, destination: u32, pause: Duration) -> Self {
        let (name, to) = (format!("load-{destination}"), destination.to_string());
        let args = ["publish", "--name", &name, "--timeout", "50s", "--destination", &to];
        let mut publisher = cluster.start(&name, &args);
        let mut stdin = publisher.stdin().take().expect("piped");
        let enough = Arc::new(AtomicBool::new(false));
        let is_enough = Arc::clone(&enough);
        let writer = std::thread::spawn(move || {
            let mut number = 0;
            while !is_enough.load(Ordering::Acquire) {
                number += 1;
                let more = "x".repeat((number * 7 % 200) as usize);
                writeln!(stdin, "message {number} {more}").expect("a publisher that reads");
                std::thread::sleep(pause);
            }
            number
        });
        Self { publisher, enough, writer }
    }

    /// Ends it when all are committed; how many they were.
    #[track_caller]
    pub fn end(mut self) -> u64 {
        self.enough.store(true, Ordering::Release);
        let count = self.writer.join().expect("a writer");
        let status = self.publisher.wait();
        assert!(status.success(), "{}", self.publisher.log());
        count
    }
}
