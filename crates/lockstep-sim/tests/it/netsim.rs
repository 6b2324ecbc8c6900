//! The table of `lockstep netsim`, kept as text: some of its rows are recomputed here, and some are held
//! against what the design aims at.
//!
//! Where a change of a rule moves figures: `lockstep netsim > crates/lockstep-sim/tests/data/netsim.txt`, and
//! the difference is the review.

use lockstep_sim::netsim::{Cell, HEAD, Pattern, past_gaps, run};

const TABLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/netsim.txt");

fn table() -> String {
    std::fs::read_to_string(TABLE).unwrap_or_else(|error| panic!("{TABLE}: {error}"))
}

fn line(cell: Cell) -> String {
    format!("{} {}", cell.name(), run(cell).expect("a cluster that begins"))
}

#[test]
fn the_table_that_is_kept_has_the_rows_of_all_cells_in_their_order_and_nothing_is_never_delivered() {
    let table = table();
    let rows: Vec<_> = table.strip_prefix(HEAD).expect("the head").trim_start().lines().collect();
    let cells = Cell::all();
    assert_eq!(rows.len(), cells.len());
    for (row, cell) in rows.iter().zip(&cells) {
        assert!(row.starts_with(&cell.name()), "{row}\nis not the row of {}", cell.name());
        assert_eq!(row.split('│').next_back().map(str::trim), Some("0"), "{row}");
    }
}

/// Rows of each pattern, delay and number of receivers, and of little loss and much; not all 144, which take
/// minutes here.
const RECOMPUTED: [(Pattern, u32, u64, usize); 10] = [
    (Pattern::Independent, 0, 20_000, 1),
    (Pattern::Independent, 100, 20_000, 10),
    (Pattern::Independent, 1_000, 20_000, 10),
    (Pattern::Independent, 300_000, 1_000_000, 1),
    (Pattern::Bursts, 10_000, 100_000, 10),
    (Pattern::Bursts, 50_000, 20_000, 1),
    (Pattern::Bursts, 300_000, 20_000, 10),
    (Pattern::Shared, 10_000, 1_000_000, 1),
    (Pattern::Shared, 50_000, 100_000, 10),
    (Pattern::Shared, 300_000, 20_000, 100),
];

#[test]
fn rows_that_are_recomputed_are_what_is_kept() {
    let table = table();
    for (pattern, loss, delay_ns, receivers) in RECOMPUTED {
        let cell = Cell { pattern, loss, delay_ns, receivers };
        let name = cell.name();
        let stored = table.lines().find(|line| line.starts_with(&name));
        assert_eq!(stored, Some(line(cell).as_str()));
    }
}

/// The delay both ways, its jitter, and the turns at both ends, in ns.
fn rtt(cell: Cell) -> u64 {
    2 * cell.delay_ns + 8_000
}

const GUARD_NS: u64 = 20_000;

#[test]
fn half_of_what_loss_affects_waits_for_no_more_than_a_guard_and_one_and_a_half_round_trips() {
    for pattern in [Pattern::Independent, Pattern::Bursts] {
        for delay_ns in [20_000, 100_000] {
            let cell = Cell { pattern, loss: 10_000, delay_ns, receivers: 10 };
            let row = run(cell).expect("a cluster that begins");
            assert!(row.affected > 100, "{}: {row}", cell.name());
            assert!(2 * row.latency_ns[0] <= 2 * GUARD_NS + 3 * rtt(cell), "{}: {row}", cell.name());
            assert_eq!(row.missing, 0, "{}: {row}", cell.name());
        }
    }
}

#[test]
fn what_many_lose_costs_a_copy_from_each_standby_whatever_their_number() {
    for receivers in [10, 100] {
        let cell = Cell { pattern: Pattern::Shared, loss: 50_000, delay_ns: 20_000, receivers };
        let row = run(cell).expect("a cluster that begins");
        // One loss in fifty is the first of its kind, and costs a copy more.
        assert!(row.lost > 20 && 50 * row.repairs <= 105 * row.lost + 200, "{}: {row}", cell.name());
        assert!(row.latency_ns[1] <= GUARD_NS + 3 * rtt(cell), "{}: {row}", cell.name());
        assert_eq!(row.missing, 0, "{}: {row}", cell.name());
    }
}

/// Delivery past gaps of other destinations would spare waiting, and no tail that a LAN has: where up to one
/// frame in a thousand is lost, p50 and p99 are those of a network without loss in one order already.
#[test]
fn delivery_past_gaps_would_gain_nothing_up_to_p99_where_little_is_lost() {
    let cell = |loss| Cell { pattern: Pattern::Independent, loss, delay_ns: 20_000, receivers: 10 };
    let run = |loss| past_gaps(cell(loss), 16).expect("a cluster that begins");
    let (little, much) = (run(1_000), run(50_000));
    assert!(little.past_gaps.ppm * 4 < little.in_one_order.ppm, "{little}");
    for at in 0..2 {
        let [one, past] = [little.in_one_order, little.past_gaps].map(|waiting| waiting.latency_ns[at]);
        assert!(one * 100 <= past * 101, "{little}");
    }
    assert!(much.past_gaps.latency_ns[1] * 2 < much.in_one_order.latency_ns[1], "{much}");
}
