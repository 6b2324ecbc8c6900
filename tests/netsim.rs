//! The table of `lockstep netsim`, kept as text: some of its rows are recomputed here, and all of them are held
//! against what the design aims at.
//!
//! Where a change of a rule moves figures: `lockstep netsim > tests/data/netsim.txt`, and the difference is
//! the review.

use lockstep::sim::netsim::{Cell, HEAD, Pattern, run};

const KEPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/netsim.txt");

fn table() -> String {
    std::fs::read_to_string(KEPT).unwrap_or_else(|error| panic!("{KEPT}: {error}"))
}

fn line(cell: Cell) -> String {
    format!("{} {}", cell.name(), run(cell).expect("a cluster that begins"))
}

/// The row that is kept of a cell.
fn kept(table: &str, cell: Cell) -> &str {
    let name = cell.name();
    table.lines().find(|line| line.starts_with(&name)).unwrap_or_else(|| panic!("no row for {name}"))
}

#[test]
fn the_table_has_a_row_for_every_cell_and_no_other() {
    let names: Vec<_> = Cell::all().iter().map(Cell::name).collect();
    let table = table();
    let rows = table.strip_prefix(HEAD).expect("the head").trim_start().lines();
    for (row, name) in rows.clone().zip(&names) {
        assert!(row.starts_with(name), "{row}\nis not the row of {name}");
    }
    assert_eq!(rows.count(), names.len());
}

#[test]
fn rows_that_are_recomputed_are_what_is_kept() {
    let table = table();
    let cells = [
        (Pattern::Independent, 0, 20_000, 10),
        (Pattern::Independent, 10_000, 20_000, 10),
        (Pattern::Bursts, 50_000, 100_000, 1),
        (Pattern::Shared, 50_000, 20_000, 10),
    ];
    for (pattern, loss, delay_ns, receivers) in cells {
        let cell = Cell { pattern, loss, delay_ns, receivers };
        assert_eq!(line(cell), kept(&table, cell));
    }
}
