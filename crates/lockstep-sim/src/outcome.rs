//! What a run says when it is over.

use super::check::Violation;
use super::coverage::Coverage;
use lockstep_wire::Nanos;

/// Why a run failed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RunFailure {
    /// The seed.
    pub seed: u64,
    /// The step.
    pub step: u64,
    /// In words, the rule's id in front.
    pub violation: Violation,
    /// What happened until then, if it was asked for.
    pub story: super::story::Story,
}

impl RunFailure {
    /// The id of the rule that was broken.
    pub fn rule(&self) -> &str {
        self.violation.split(':').next().unwrap_or_default()
    }
}

impl std::fmt::Display for RunFailure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "seed {} fails at step {}: {}", self.seed, self.step, self.violation)
    }
}

/// What a clean run did.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Outcome {
    /// Turns of processes.
    pub steps: u64,
    /// How long it took in the run's own time, and of that after the faults were over.
    pub virtual_ns: Nanos,
    /// See `virtual_ns`.
    pub recovery_ns: Nanos,
    /// What was generated.
    pub coverage: Coverage,
    /// Digest of everything that was sent: equal seeds, equal traces. Of several runs: the sum, whatever
    /// their order.
    pub trace_digest: u64,
    /// What happened, if it was asked for.
    pub story: super::story::Story,
}

impl Outcome {
    /// Adds another run's; stories are left out, and of recoveries the longest is kept.
    pub fn add(&mut self, other: &Self) {
        self.steps += other.steps;
        self.virtual_ns += other.virtual_ns;
        self.recovery_ns = self.recovery_ns.max(other.recovery_ns);
        self.coverage.add(&other.coverage);
        self.trace_digest = self.trace_digest.wrapping_add(other.trace_digest);
    }
}
