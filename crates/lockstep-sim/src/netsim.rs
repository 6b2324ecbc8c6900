//! # netsim: the cost of loss, in virtual time
//!
//! The question: a receiver loses some datagrams. How long does it wait for them, and what does that cost
//! the network? A leader, two standbys and a publisher on a network that loses nothing, and receivers on
//! lossy links: the production engines, over a network whose delay and loss are those of a [`Cell`]. Each
//! cell of the table is a function of itself alone, so that a test recomputes some of them and compares the
//! text.
//!
//! ```text
//!   publisher ──▶ leader ──data──┬──▶ standbys ──acks──▶ all
//!                                └──▶ receivers (lossy links, both ways) ──nacks──▶ standbys
//! ```

pub mod links;
mod past_gaps;
mod run;

pub use links::Pattern;
pub use past_gaps::{PAST_GAPS_HEAD, PastGaps, past_gaps};
pub use run::{Row, run};

use lockstep_wire::Nanos;

/// The parameters of a run.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Cell {
    /// Which datagrams are lost.
    pub pattern: Pattern,
    /// The loss, in parts of a million.
    pub loss: u32,
    /// The delay of a datagram.
    pub delay_ns: Nanos,
    /// The number of receivers with such links.
    pub receivers: usize,
}

/// Losses, in parts of a million.
const LOSSES: [u32; 5] = [100, 1_000, 10_000, 50_000, 300_000];
const DELAYS_NS: [Nanos; 3] = [20_000, 100_000, 1_000_000];
const RECEIVERS: [usize; 3] = [1, 10, 100];

impl Cell {
    /// All cells of the table, in its order.
    pub fn all() -> Vec<Self> {
        let mut cells = Vec::new();
        let mut add = |pattern, loss| {
            for delay_ns in DELAYS_NS {
                for receivers in RECEIVERS {
                    cells.push(Self { pattern, loss, delay_ns, receivers });
                }
            }
        };
        add(Pattern::Independent, 0);
        for pattern in [Pattern::Independent, Pattern::Bursts, Pattern::Shared] {
            LOSSES.iter().for_each(|loss| add(pattern, *loss));
        }
        cells
    }

    /// Messages of its run: enough for some hundred lost datagrams, and no more than a table of a minute
    /// allows.
    pub(crate) fn messages(&self) -> u64 {
        let most = match self.receivers {
            1 => 20_000,
            10 => 5_000,
            _ => 1_500,
        };
        if self.loss == 0 {
            return 2_000;
        }
        let links = if self.pattern == Pattern::Shared { 1 } else { self.receivers as u64 };
        (100_000_000 / (u64::from(self.loss) * links)).clamp(500, most)
    }

    /// The name of the row.
    pub fn name(&self) -> String {
        let percent = f64::from(self.loss) / 1e4;
        let (pattern, delay_us) = (self.pattern.name(), self.delay_ns / 1_000);
        format!("{pattern:<11} {percent:>4} % {delay_us:>4} us {:>4}", self.receivers)
    }
}

/// The heading of the rows.
pub const HEAD: &str = concat!(
    "                              │ affected │     repair latency, us    │ for each lost datagram  │ by the │     never\n",
    "loss        of     delay recv │ messages │     p50      p99    p99.9 │ nacks  repairs    bytes │ leader │ delivered",
);
