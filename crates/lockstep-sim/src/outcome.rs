//! The result of a run.

use crate::check::Violation;
use crate::coverage::Coverage;
use lockstep_wire::Nanos;

/// A failed run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RunFailure {
    /// The seed.
    pub seed: u64,
    /// The step.
    pub step: u64,
    /// The violation in words, the rule's id in front.
    pub violation: Violation,
    /// The story until then, if it was requested.
    pub story: crate::story::Story,
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

/// The result of a clean run.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Outcome {
    /// Turns of processes.
    pub steps: u64,
    /// Its length in the run's own time, and the part of that after the faults.
    pub virtual_ns: Nanos,
    /// See `virtual_ns`.
    pub recovery_ns: Nanos,
    /// The coverage of what was generated.
    pub coverage: Coverage,
    /// Digest of everything that was sent: equal seeds, equal traces. Of several runs: the sum, whatever
    /// their order.
    pub trace_digest: u64,
    /// The story, if it was requested.
    pub story: crate::story::Story,
}

impl Outcome {
    /// Adds another run's; stories are left out, and the longest recovery is retained.
    pub fn add(&mut self, other: &Self) {
        self.steps += other.steps;
        self.virtual_ns += other.virtual_ns;
        self.recovery_ns = self.recovery_ns.max(other.recovery_ns);
        self.coverage.add(&other.coverage);
        self.trace_digest = self.trace_digest.wrapping_add(other.trace_digest);
    }
}
