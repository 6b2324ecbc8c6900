//! The processes that live under one identity: a question that only a living process can answer, as its
//! number is drawn anew for each, and the answer. Two processes of one identity find out by it which of them
//! began later.

use super::Nanos;
use bytemuck::{Pod, Zeroable};

/// Behind the header of a presence, asked or answered; the header names the identity that both claim.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct IdentityProbeBody {
    /// The speaker's, as in a heartbeat.
    pub process_nonce: u64,
    /// When the speaker's process began, by its own clock, in nanoseconds since the Unix epoch; `Nanos::MAX`
    /// until it has looked whether another process of its identity lives.
    pub started_at: Nanos,
    /// Drawn by who asks, for this question alone; echoed by who answers.
    pub token: u64,
    /// An answer: the process nonce of who asked. A question: 0.
    pub echoed_token: u64,
}

const _: () = assert!(size_of::<IdentityProbeBody>() == 32);

impl IdentityProbeBody {
    /// Whether it asks.
    pub fn is_query(&self) -> bool {
        self.echoed_token == 0
    }
}
