//! Readers that are suspended while a suffix is undone: a `stamped` reader receives what a leader stamps
//! after a quorum has lost contact with that leader, and is then stopped. Meanwhile another replica leads,
//! that suffix is undone, and the stream continues for longer than any ring. When the reader continues it
//! must retract the suffix, and read its replacement from a journal.
//!
//! ```text
//!   leader:  ── cut off from the others, its reader still receives ──┐
//!   reader:  ──── a b x y │ asleep                                   ▼                │ retract x y ─ replay c d …
//!   others:  ─────────────────────── elect ── c d e f g … (the rings come round) ─────────────────────────────────▶
//! ```

use crate::fault::{CutFault, Fault, PauseClientFault, PlannedFault};
use crate::plan::Plan;
use crate::rng::Rng;
use crate::wire::{ALL_TRAFFIC, NodeSet};

/// One seed in so many has such a reader, of those that may.
const SELDOM: u64 = 64;
/// Messages of each publisher: several rings of the smallest size.
const MESSAGES: u64 = 150;

impl Plan {
    /// A reader that is suspended, in few runs; in those that have one no other fault strikes leaders until
    /// then.
    pub(crate) fn draw_sleeper(&mut self, rng: &mut Rng) {
        if rng.below(SELDOM) > 0
            || self.founders < 3
            || self.founders != self.replicas
            || self.edges.is_some()
            || self.may_found()
        {
            return;
        }
        (self.messages, self.ring_bytes, self.replays) = (MESSAGES, 32 << 10, true);
        self.fault_phase_ns = 60_000_000;
        // The first of them leads first.
        let (leader, others): (NodeSet, NodeSet) = (1, ((1 << self.replicas) - 1) & !1);
        let at_ns = self.timeout_ns + rng.below(self.timeout_ns);
        self.faults.retain(|fault| fault.at_ns > at_ns + 2 * self.timeout_ns);
        let lasting = 4 * self.timeout_ns;
        self.faults.push(PlannedFault {
            at_ns,
            what: Fault::Cut(CutFault {
                from: leader,
                to: others,
                traffic: ALL_TRAFFIC,
                both: true,
                lasting,
            }),
        });
        let at_ns = at_ns + 1 + rng.below(self.timeout_ns);
        let stamped = self.replicas + self.publishers + 1;
        let lasting = self.fault_phase_ns / 2 + rng.below(self.fault_phase_ns / 4);
        self.faults.push(PlannedFault {
            at_ns,
            what: Fault::PauseClient(PauseClientFault { client: stamped, lasting }),
        });
        self.faults.sort_by_key(|fault| fault.at_ns);
    }
}
