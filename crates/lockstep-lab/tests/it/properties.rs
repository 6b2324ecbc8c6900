//! Each property holds of what it promises, and fails without it.

mod broadcast;
mod byzantine;
mod collection;
mod commit;
mod consensus;
mod detector;
mod groups;
mod link;
mod money;
mod order;
mod primary;
mod register;
mod result;
mod strength;
mod terminating;

use lockstep_lab::property::{History, Property};
use lockstep_lab::{Event, Pids};

/// Whether a property holds of these events of each process; the crashed ones and the liars are sets by bit.
fn judge(property: &Property, events: &[&[Event]], crashed: u32, liars: u32) -> bool {
    let n = events.len() as u8;
    let (crashed, liars) = (Pids(crashed), Pids(liars));
    let correct = Pids::first(n).without(crashed).without(liars);
    let history = History { n, events, order: &[], correct, crashed, liars };
    (property.holds)(&history).is_ok()
}

/// Whether a property holds of these events of each process, of which `crashed` have crashed.
fn holds<const N: usize>(property: &Property, crashed: Pids, events: [&[Event]; N]) -> bool {
    judge(property, &events, crashed.0, 0)
}
