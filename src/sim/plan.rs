//! What a seed means, and what a run of it says.

use super::check::Violation;
use super::net::{Generated, Weather};
use super::rng::Rng;
use crate::proto::commit::Durability;
use crate::proto::window::Window;

/// What one seed means: who takes part, what is asked of them, and the weather.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Plan {
    /// The seed.
    pub seed: u64,
    /// Members, 1 to 5.
    pub replicas: usize,
    /// Publishers.
    pub publishers: usize,
    /// Subscribers.
    pub subscribers: usize,
    /// Messages of each publisher.
    pub messages: u64,
    /// What an ack means.
    pub durability: Durability,
    /// Bytes of each tail's ring.
    pub ring_bytes: usize,
    /// The window.
    pub window: Window,
    /// While faults are on.
    pub weather: Weather,
    /// A replica's process dies and starts again, chance per million and step.
    pub restarts: u32,
    /// Most steps of both phases together.
    pub steps_max: u64,
}

impl Plan {
    /// The mix that `seed` draws: every fault class is off in some runs, so that others show.
    pub fn of_seed(seed: u64) -> Self {
        let mut rng = Rng::new(seed ^ 0x5eed);
        let replicas = [1, 2, 3, 3, 3, 3, 4, 5][rng.below(8) as usize];
        let mut pick = |choices: [u32; 4]| choices[rng.below(4) as usize];
        let weather = Weather {
            loss: pick([0, 1_000, 20_000, 150_000]),
            duplication: pick([0, 1_000, 50_000, 200_000]),
            lateness: pick([0, 10_000, 100_000, 300_000]),
            late_ns: u64::from(pick([20_000, 100_000, 500_000, 3_000_000])),
            delay_ns: u64::from(pick([1_000, 5_000, 20_000, 80_000])),
            corruption: pick([0, 0, 1_000, 20_000]),
        };
        let restarts = pick([0, 0, 500, 3_000]);
        Self {
            seed,
            replicas,
            publishers: 1 + rng.below(3) as usize,
            subscribers: 2 + rng.below(3) as usize,
            messages: 5 + rng.below(40),
            durability: if rng.below(4) == 0 { Durability::Power } else { Durability::Process },
            ring_bytes: [64 << 10, 128 << 10, 256 << 10][rng.below(3) as usize],
            window: Window {
                entries: [4, 32, 1024][rng.below(3) as usize],
                bytes: [2_000, 16_000, 16_000][rng.below(3) as usize],
            },
            weather,
            restarts,
            steps_max: 400_000,
        }
    }
}

/// Why a run failed, and how to see it again.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// The seed.
    pub seed: u64,
    /// The step.
    pub step: u64,
    /// In words, the rule's id in front.
    pub violation: Violation,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "seed {} fails at step {}: {}", self.seed, self.step, self.violation)
    }
}

/// What a clean run did.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Outcome {
    /// Turns of processes.
    pub steps: u64,
    /// What the network did.
    pub generated: Generated,
    /// Replicas that died and started again.
    pub restarts: u64,
    /// Those of them whose machine lost its memory.
    pub reboots: u64,
    /// Messages published, stamped once, and delivered everywhere.
    pub messages: u64,
    /// Digest of the trace: equal seeds, equal traces.
    pub trace_digest: u64,
    /// The trace itself, if it was asked for.
    pub trace: String,
}

impl Outcome {
    /// Adds another run's; traces are left out.
    pub fn add(&mut self, other: &Self) {
        self.steps += other.steps;
        self.generated.add(&other.generated);
        self.restarts += other.restarts;
        self.reboots += other.reboots;
        self.messages += other.messages;
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Generated { delivered, lost, duplicated, reordered, corrupted } = self.generated;
        write!(
            f,
            "{} steps, {} messages, {delivered} datagrams delivered, {lost} lost, {duplicated} duplicated, \
             {reordered} reordered, {corrupted} corrupted, {} restarts, {} reboots",
            self.steps, self.messages, self.restarts, self.reboots
        )
    }
}
