//! Detects two processes under one identity. A process sends a probe with a freshly drawn number, and only a
//! living process can answer it. From the answer both learn which of them began later.

use super::Nanos;
use bytemuck::{Pod, Zeroable};

/// Follows the header of an identity probe, question or answer; the header names the identity that both
/// claim.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct IdentityProbeBody {
    /// The sender's process nonce, as in a heartbeat.
    pub process_nonce: u64,
    /// The time at which the sender's process began, by its own clock, in nanoseconds since the Unix epoch;
    /// `Nanos::MAX` until it has checked whether another process of its identity lives.
    pub started_at: Nanos,
    /// Drawn by the asking process, for this question alone; echoed by the answer.
    pub token: u64,
    /// Of an answer: the process nonce of the asking process. Of a question: 0.
    pub echoed_token: u64,
}

const _: () = assert!(size_of::<IdentityProbeBody>() == 32);

impl IdentityProbeBody {
    /// Whether it is a question.
    pub fn is_query(&self) -> bool {
        self.echoed_token == 0
    }
}
