//! The rules that all members of the Paxos family share: rounds, promises, acceptance, and its count.

use crate::protocol::{Pid, Pids, Process};
use std::collections::BTreeMap;

/// A number of a round: `round * n + proposer`. Rounds that are prepared count from `n` on; 0 is the first
/// round of a protocol that needs no phase 1 there, and otherwise none.
pub type Ballot = u64;

/// The lowest ballot of `process` above `above`.
pub fn next_ballot(process: &Process, above: Ballot) -> Ballot {
    let n = u64::from(process.n);
    (above / n + 1) * n + u64::from(process.me)
}

/// What an acceptor remembers: the highest round that it promised, and what it accepted last. `A` is an
/// optional value, or one for each instance.
#[derive(Clone, PartialEq, Eq, Hash, Default, Debug)]
pub struct Acceptor<A> {
    /// It accepts nothing below this one.
    pub promised: Ballot,
    /// With the round of each acceptance.
    pub accepted: A,
}

impl<A: Clone> Acceptor<A> {
    /// Phase 1b: promises to accept nothing below `ballot`, and returns what was accepted.
    ///
    /// # Errors
    /// A higher round was promised: that one.
    pub fn prepare(&mut self, ballot: Ballot) -> Result<A, Ballot> {
        self.enter(ballot).cloned()
    }

    /// Phase 2b: enters the round `ballot`; what it accepts is put into the result.
    ///
    /// # Errors
    /// A higher round was promised: that one.
    pub fn enter(&mut self, ballot: Ballot) -> Result<&mut A, Ballot> {
        if ballot < self.promised {
            return Err(self.promised);
        }
        self.promised = ballot;
        Ok(&mut self.accepted)
    }
}

/// Phase 1 at a proposer: the round that it leads, whether phase 1 of it is over, and its promises until
/// then, each with the report `R` of what the acceptor has accepted.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Campaign<R> {
    /// The round; 0 before the first one.
    pub ballot: Ballot,
    /// Whether phase 1 is over.
    pub is_prepared: bool,
    promises: BTreeMap<Pid, R>,
}

impl<R> Campaign<R> {
    /// Before any round. Round 0 needs no phase 1 where `is_prepared` is set.
    pub fn new(is_prepared: bool) -> Self {
        Self { ballot: 0, is_prepared, promises: BTreeMap::new() }
    }

    /// Phase 1a: begins the lowest round of `process` above `above`, and returns it.
    pub fn begin(&mut self, process: &Process, above: Ballot) -> Ballot {
        *self = Self { ballot: next_ballot(process, above), ..Self::new(false) };
        self.ballot
    }

    /// One more promise for the round `ballot`. Returns all of them once there are `needed`.
    pub fn add(&mut self, from: Pid, ballot: Ballot, report: R, needed: usize) -> Option<BTreeMap<Pid, R>> {
        if ballot != self.ballot || self.is_prepared {
            return None;
        }
        self.promises.insert(from, report);
        self.is_prepared = self.promises.len() >= needed;
        self.is_prepared.then(|| std::mem::take(&mut self.promises))
    }
}

/// The value of the highest round among those that acceptors report: one that may be chosen already.
pub fn highest<'a, V: 'a>(accepted: impl Iterator<Item = &'a (Ballot, V)>) -> Option<&'a V> {
    accepted.max_by_key(|(ballot, _)| *ballot).map(|(_, value)| value)
}

/// The acceptors that are known to have accepted in the highest round of which a learner heard.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub struct Votes {
    /// That round.
    pub ballot: Ballot,
    /// Its acceptors.
    pub voters: Pids,
}

impl Votes {
    /// One more has accepted. Returns how many have in this round; 0 if it is not the highest.
    pub fn add(&mut self, from: Pid, ballot: Ballot) -> usize {
        if ballot < self.ballot {
            return 0;
        }
        if ballot > self.ballot {
            *self = Self { ballot, voters: Pids::default() };
        }
        self.voters.add(from);
        self.voters.len()
    }
}
