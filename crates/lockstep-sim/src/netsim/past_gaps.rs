//! What delivery past gaps would gain: a reader of one destination that need not wait for a lost message of
//! another one, because each message named the one before it with the same destination.
//!
//! lockstep delivers in one order, without gaps. This computes from the same run when each message *could*
//! have been delivered if its reader waited for earlier messages of the same destination alone.

use super::Cell;
use super::run::stream;
use crate::rng::Rng;
use lockstep_wire::Nanos;
use std::fmt;

/// A message waits if it is delivered this much after it is there.
const WAITED_NS: Nanos = 3_000;

/// Waiting of all messages at all receivers, in one order and in the order of each destination.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct WaitingRow {
    /// Messages that are there and wait for an earlier one, in parts of a million of all.
    pub ppm: u64,
    /// Latency of all messages from the leader's send: p50, p99, p99.9.
    pub latency_ns: [Nanos; 3],
}

/// The result of a cell.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct PastGaps {
    /// Deliveries, over all receivers.
    pub deliveries: u64,
    /// As lockstep delivers.
    pub in_one_order: WaitingRow,
    /// As it could be delivered past gaps of other destinations.
    pub past_gaps: WaitingRow,
}

/// The heading of the rows.
pub const PAST_GAPS_HEAD: &str = concat!(
    "                              │  in one order: all behind a gap wait    │  past gaps of other destinations\n",
    "loss        of     delay recv │ wait, ppm      p50      p99    p99.9 us │ wait, ppm      p50      p99    p99.9 us",
);

/// Runs a cell whose messages have one of `destinations` each.
///
/// # Errors
/// In words, if the cluster does not begin.
pub fn past_gaps(cell: Cell, destinations: u64) -> Result<PastGaps, String> {
    let world = stream(cell)?;
    let mut rng = Rng::new(destinations);
    let destination: Vec<u64> = world.sent_at.iter().map(|_| rng.below(destinations.max(1))).collect();
    let (mut one, mut past) = (Vec::new(), Vec::new());
    let mut waits = [0; 2];
    for seen in &world.seen {
        let mut latest = vec![0; destinations.max(1) as usize];
        for (at, (&had, &delivered)) in seen.had.iter().zip(&seen.delivered).enumerate() {
            let latest = &mut latest[destination[at] as usize];
            *latest = had.max(*latest);
            if had == 0 || delivered == 0 {
                continue;
            }
            // The reader's own turn takes as long as it does in one order where nothing waits.
            let could = delivered.min(*latest + WAITED_NS / 2).max(had);
            waits[0] += u64::from(delivered > had + WAITED_NS);
            waits[1] += u64::from(could > had + WAITED_NS);
            one.push(delivered - world.sent_at[at]);
            past.push(could - world.sent_at[at]);
        }
    }
    let deliveries = one.len() as u64;
    let of = |mut latencies: Vec<Nanos>, waits: u64| {
        latencies.sort_unstable();
        let at = |per_mille: usize| {
            latencies.get(latencies.len() * per_mille / 1_000).copied().unwrap_or_default()
        };
        WaitingRow { ppm: waits * 1_000_000 / deliveries.max(1), latency_ns: [at(500), at(990), at(999)] }
    };
    Ok(PastGaps { deliveries, in_one_order: of(one, waits[0]), past_gaps: of(past, waits[1]) })
}

impl fmt::Display for WaitingRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [p50, p99, p999] = self.latency_ns.map(|ns| ns as f64 / 1e3);
        write!(f, "│ {:>9} {p50:>8.1} {p99:>8.1} {p999:>8.1}", self.ppm)
    }
}

impl fmt::Display for PastGaps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}    {}", self.in_one_order, self.past_gaps)
    }
}
