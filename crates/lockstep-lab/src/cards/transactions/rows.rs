//! The store of Percolator: rows with versions and locks, and the oracle of timestamps. Each message is about
//! one row.

use crate::Process;
use crate::property::BALANCE_AT_START;
use serde::Serialize;

/// A message. Rows, balances and timestamps are in the order of the words.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
pub enum PercolatorMessage {
    /// Asks for a timestamp.
    GetStamp,
    /// A timestamp above all earlier ones.
    Stamp(u8),
    /// Reads a row as of a timestamp, after the end of a transaction that had locked it: its start, and its
    /// commit if it has one.
    Get(u8, u8, Option<(u8, Option<u8>)>),
    /// A row has this balance.
    Value(u8, i8),
    /// The row is locked by the transaction with this start, whose primary is this row.
    Locked(u8, u8),
    /// Asks a primary row for the end of the transaction with this start, which is aborted if it has none.
    Check(u8, u8),
    /// The transaction with this start has this commit, or is aborted.
    Ended(u8, Option<u8>),
    /// Locks a row with a balance to write, for the transaction with this start and this primary row.
    Prewrite(u8, i8, u8, u8),
    /// The row is locked (`true`), or stays as it is.
    Prewritten(bool),
    /// Commits a primary row, of the transaction with this start, with this timestamp.
    Commit(u8, u8, u8),
    /// The primary row is committed (`true`), or its lock was gone.
    Committed(bool),
    /// Commits another row of the transaction with this start, or removes its lock.
    Finish(u8, u8, Option<u8>),
}
use PercolatorMessage::{
    Check, Commit, Committed, Ended, Finish, Get, GetStamp, Locked, Prewrite, Prewritten, Stamp, Value,
};

/// A row for each account.
pub(super) const ROWS: u8 = 4;

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Lock {
    start: u8,
    primary: u8,
    balance: i8,
}

/// A lock, and what was committed: timestamp, start of the transaction, balance.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
struct Row {
    lock: Option<Lock>,
    commits: Vec<(u8, u8, i8)>,
}

impl Row {
    fn balance_at(&self, stamp: u8) -> i8 {
        let seen = self.commits.iter().filter(|(commit, ..)| *commit <= stamp);
        seen.max().map_or(BALANCE_AT_START, |(_, _, balance)| *balance)
    }

    /// Takes the lock of the transaction with this start away, and writes if it has a commit. Returns whether
    /// there was such a lock.
    fn finish(&mut self, start: u8, commit: Option<u8>) -> bool {
        let Some(lock) = self.lock.take_if(|lock| lock.start == start) else { return false };
        self.commits.extend(commit.map(|commit| (commit, start, lock.balance)));
        true
    }

    /// Whether the transaction with this start can write here: nobody else does, and nobody has since then.
    fn can_lock(&self, start: u8, process: &Process) -> bool {
        let is_newer = self.commits.iter().any(|(commit, ..)| *commit > start);
        self.lock.is_none() && (!is_newer || process.lacks("conflicts"))
    }
}

/// All rows.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Rows {
    stamps: u8,
    rows: Vec<Row>,
}

impl Rows {
    pub fn new() -> Self {
        Self { stamps: 0, rows: vec![Row::default(); ROWS.into()] }
    }

    /// The answer to a message of a client.
    pub fn answer(&mut self, message: &PercolatorMessage, process: &Process) -> Option<PercolatorMessage> {
        let rows = &mut self.rows;
        Some(match *message {
            GetStamp => {
                self.stamps += 1;
                Stamp(self.stamps)
            }
            Get(number, stamp, ended) => {
                let row = &mut rows[usize::from(number)];
                if let Some((start, commit)) = ended {
                    row.finish(start, commit);
                }
                // A transaction that is open may have a commit before this stamp.
                match row.lock.filter(|lock| lock.start <= stamp && !process.lacks("waiting for locks")) {
                    Some(lock) => Locked(lock.start, lock.primary),
                    None => Value(number, row.balance_at(stamp)),
                }
            }
            Check(primary, start) => {
                let row = &mut rows[usize::from(primary)];
                row.finish(start, None);
                let end = row.commits.iter().find(|(_, other, _)| *other == start);
                Ended(start, end.map(|(commit, ..)| *commit))
            }
            Prewrite(number, balance, start, primary) => {
                let row = &mut rows[usize::from(number)];
                let can_lock = row.can_lock(start, process);
                if can_lock {
                    row.lock = Some(Lock { start, primary, balance });
                }
                Prewritten(can_lock)
            }
            Commit(primary, start, commit) => {
                Committed(rows[usize::from(primary)].finish(start, Some(commit)))
            }
            Finish(number, start, commit) => {
                rows[usize::from(number)].finish(start, commit);
                return None;
            }
            _ => return None,
        })
    }
}
