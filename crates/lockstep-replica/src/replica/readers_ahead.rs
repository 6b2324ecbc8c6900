//! Readers that have read more than this leader's log holds: a reader's fault, or a loss of the cluster.
//!
//! ```text
//!   one address says so ──── silent for ten minutes, another role, or acknowledged ────▶ over
//!          │
//!          └─ another one too ──▶ entries are lost, by the word of both ── acknowledged ──▶ over
//! ```
//! A cursor behind the end of a log cannot be compared with the log. A leader holds all that is committed: so
//! one reader alone has a cursor of another stream, or was handed one; where entries are lost indeed, every
//! reader that was near the end says so.

use crate::conditions::ConditionSet;
use lockstep_core::engine::event::Events;
use lockstep_wire::{Acknowledgement, CommandReject, Condition, Nanos, ReadersAheadNumber, Seq};
use std::net::{Ipv4Addr, SocketAddrV4};

/// The word of one address is over when it is so old.
const LASTS_NS: Nanos = 600_000_000_000;
/// Most addresses that are distinguished: their number counts no further.
const ADDRESSES_MAX: usize = 8;

/// See the module.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(super) struct ReadersAhead {
    /// The addresses of readers that say so, the newest last.
    addresses: Vec<Ipv4Addr>,
    /// When the note of one address ends by itself; 0: no note does.
    until: Nanos,
}

impl ReadersAhead {
    /// A reader at `from` has read up to `read`, which is too far.
    #[cold]
    pub fn on_reader(
        &mut self,
        (conditions, events): (&mut ConditionSet, &mut Events),
        now: Nanos,
        (read, from): (Seq, SocketAddrV4),
    ) {
        self.addresses.retain(|known| known != from.ip());
        if self.addresses.len() == ADDRESSES_MAX {
            self.addresses.remove(0);
        }
        self.addresses.push(*from.ip());
        self.until = if self.is_loss() { 0 } else { now + LASTS_NS };
        let number = ReadersAheadNumber { addresses: self.addresses.len() as u16, newest: from };
        let begun = conditions.set(Condition::ReaderAhead, true, now, (read, number.packed()));
        begun.into_iter().for_each(|event| events.push(event));
    }

    /// Whether more than one address says so.
    fn is_loss(&self) -> bool {
        self.addresses.len() > 1
    }

    /// How many addresses say so.
    pub fn count(&self) -> u64 {
        self.addresses.len() as u64
    }

    /// A note that is old ends by itself.
    #[inline]
    pub fn poll(&mut self, noted: (&mut ConditionSet, &mut Events), now: Nanos) {
        if self.until > 0 && now >= self.until {
            self.end(noted, now);
        }
    }

    #[cold]
    fn end(&mut self, (conditions, events): (&mut ConditionSet, &mut Events), now: Nanos) {
        *self = Self::default();
        let numbers = conditions.numbers(Condition::ReaderAhead).unwrap_or_default();
        let ended = conditions.set(Condition::ReaderAhead, false, now, numbers);
        ended.into_iter().for_each(|event| events.push(event));
    }

    /// A leader that steps down hears readers no more. The word of two addresses remains.
    pub fn leave(&mut self, conditions: &mut ConditionSet) {
        if !self.is_loss() {
            *self = Self::default();
            conditions.forget(Condition::ReaderAhead);
        }
    }

    /// An operator acknowledges a condition as it was shown. The same command may come again.
    pub fn acknowledge(
        &mut self,
        noted: (&mut ConditionSet, &mut Events),
        now: Nanos,
        asked: Acknowledgement,
    ) -> Result<(), CommandReject> {
        match noted.0.numbers(asked.condition) {
            _ if !asked.condition.is_acknowledged() => Err(CommandReject::NotListed),
            Some((a, _)) if a != asked.a => Err(CommandReject::Stale),
            Some(_) => {
                self.end(noted, now);
                Ok(())
            }
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on_reader(readers: &mut ReadersAhead, now: Nanos, host: u8) {
        let from = SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, host), 9);
        readers.on_reader((&mut ConditionSet::default(), &mut Events::default()), now, (1, from));
    }

    #[test]
    fn the_word_of_one_address_has_an_end_and_that_of_two_has_none() {
        let mut readers = ReadersAhead::default();
        assert_eq!(readers.until, 0, "nobody says so");
        on_reader(&mut readers, 5, 7);
        on_reader(&mut readers, 9, 7);
        assert_eq!((readers.count(), readers.until), (1, 9 + LASTS_NS), "it says so again");
        on_reader(&mut readers, 10, 8);
        assert_eq!((readers.count(), readers.until), (2, 0));
    }

    #[test]
    fn so_many_addresses_are_told_apart_and_no_more() {
        let mut readers = ReadersAhead::default();
        (0..50).for_each(|host| on_reader(&mut readers, 1, host));
        assert_eq!(readers.count(), ADDRESSES_MAX as u64);
    }
}
