//! Messages of a publisher for as long as a test wants them, and the draws of its kills.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;
use tools::processes::{Cluster, Process};

/// Random numbers by a seed that is printed.
pub struct Draws(u64);

impl Draws {
    /// Of `LOCKSTEP_BRIDGE_SEED`, or a new one.
    pub fn new() -> Self {
        let drawn = || std::process::id().into();
        let seed = super::number_of("LOCKSTEP_BRIDGE_SEED", drawn());
        println!("LOCKSTEP_BRIDGE_SEED={seed}");
        Self(seed)
    }

    /// One below `bound` (SplitMix64).
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
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
