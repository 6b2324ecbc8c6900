//! Registers.

mod atomic_impose_all;
mod atomic_impose_majority;
mod atomic_n_n;
mod impose_all;
mod majority;
mod regular_majority;
mod regular_read_one;

pub use impose_all::{ImposeAll, ImposeMessage};
pub use majority::{MajorityMessage, MajorityRegister};
pub use regular_read_one::{ReadOneMessage, RegularReadOne};

use crate::check::Entry;
use crate::{Ask, Pid, Price, Value};

/// One writes, and two read meanwhile or after that: the second one may see less than the first.
const TWO_READERS: &[(Pid, Ask)] = &[(0, Ask::Write(Value(1))), (1, Ask::Read), (2, Ask::Read)];

/// A lone read.
const READ: &[(Pid, Ask)] = &[(1, Ask::Read)];
/// A lone read that asks all copies, or has them adopt something: one round.
const READ_PRICE: Price = Price::of_one(READ, |_| 2, |n| n, |n| 2 * (n - 1));
/// A lone write to all copies, in the same way.
const WRITE_PRICE: Price = Price { asks: &[(0, Ask::Write(Value(1)))], ..READ_PRICE };

/// Its cards, in the order of the tour.
pub(super) const ENTRIES: &[Entry] = &[
    Entry::of::<RegularReadOne>(),
    Entry::of::<MajorityRegister<false>>(),
    Entry::of::<ImposeAll<false>>(),
    Entry::of::<MajorityRegister<true>>(),
    Entry::of::<ImposeAll<true>>(),
];
