//! `lockstep netsim`: what loss costs a receiver and the network, as a table in virtual time.

use crate::args::NetsimArgs;
use crate::failure::{FAILED, SimFailure};
use lockstep_sim::netsim::{Cell, HEAD, PAST_GAPS_HEAD, past_gaps, run};
use std::io::Write;
use std::sync::mpsc;

/// Prints the rows that are asked for.
pub fn run_table(args: &NetsimArgs) -> Result<u8, SimFailure> {
    let cells: Vec<_> = Cell::all().into_iter().filter(|cell| args.is_wanted(&cell.name())).collect();
    if cells.is_empty() {
        let words = format!("no row's name contains {:?}: see `lockstep netsim --names`", args.only);
        return Err(SimFailure::new(FAILED, words));
    }
    let mut out = std::io::stdout().lock();
    if args.names {
        for cell in cells {
            writeln!(out, "{}", cell.name())?;
        }
        return Ok(0);
    }
    let row = |cell: Cell| match args.past_gaps {
        Some(destinations) => past_gaps(cell, destinations).map(|row| row.to_string()),
        None => run(cell).map(|row| row.to_string()),
    };
    writeln!(out, "{}", if args.past_gaps.is_some() { PAST_GAPS_HEAD } else { HEAD })?;
    let jobs = args.jobs.clamp(1, cells.len());
    std::thread::scope(|scope| {
        // The cells are dealt to the threads in turn; the rows are printed in their order.
        let lanes: Vec<_> = (0..jobs)
            .map(|lane| {
                let (sender, receiver) = mpsc::channel();
                let cells: Vec<_> = cells.iter().copied().skip(lane).step_by(jobs).collect();
                scope.spawn(move || cells.into_iter().all(|cell| sender.send(row(cell)).is_ok()));
                receiver
            })
            .collect();
        for (index, cell) in cells.iter().enumerate() {
            let row = lanes[index % jobs].recv().map_err(|error| error.to_string()).and_then(|row| row);
            writeln!(out, "{} {}", cell.name(), row.map_err(|why| SimFailure::new(FAILED, why))?)?;
        }
        Ok(0)
    })
}
