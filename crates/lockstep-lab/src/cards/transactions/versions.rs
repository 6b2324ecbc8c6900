//! The account of a Spanner process: a version for each commit, a lock, and reads that wait for it.

use crate::Pid;
use crate::property::BALANCE_AT_START;
use serde::Serialize;

/// A time by a clock, in ticks.
pub type ClockTime = u16;

/// A message.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
pub enum SpannerMessage {
    /// Of a client to the process of the account that loses: the other account, and the amount.
    Transfer(Pid, u8),
    /// Of the coordinator: locks the account of the receiver.
    Prepare,
    /// It is locked, and can commit from this time on.
    Prepared(ClockTime),
    /// It is locked by another transaction.
    Refused,
    /// The transaction has this time: adds the amount, and unlocks.
    Commit(ClockTime, u8),
    /// To the client.
    Outcome(bool),
    /// Reads the account as of this time.
    Read(ClockTime),
    /// It has this balance then.
    Balance(i8),
}

/// The transaction that has the lock of an account.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Lock {
    /// It commits at this time or later.
    pub from_time: ClockTime,
    /// At the coordinator: the client, the receiver, and the amount.
    pub coordinates: Option<(Pid, Pid, u8)>,
    /// Its time, until it is sure that this time is over.
    pub commit: Option<ClockTime>,
}

/// See the module.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(super) struct Versions {
    /// The time and the balance of each commit.
    commits: Vec<(ClockTime, i8)>,
    /// The highest time that a transaction got or a read had.
    last: ClockTime,
    pub lock: Option<Lock>,
    waiting: Vec<(Pid, ClockTime)>,
}

impl Versions {
    pub fn balance_at(&self, time: ClockTime) -> i8 {
        let seen = self.commits.iter().filter(|(commit, _)| *commit <= time);
        seen.max().map_or(BALANCE_AT_START, |(_, balance)| *balance)
    }

    pub fn newest(&self) -> i8 {
        self.balance_at(ClockTime::MAX)
    }

    /// A time for a transaction: `earliest` or later, and after all that a transaction got or a read had.
    pub fn next_time(&mut self, earliest: ClockTime) -> ClockTime {
        self.last = earliest.max(self.last + 1);
        self.last
    }

    /// Writes a version. Returns the balance.
    pub fn write(&mut self, time: ClockTime, change: i8) -> i8 {
        let balance = self.newest() + change;
        self.commits.push((time, balance));
        self.last = self.last.max(time);
        balance
    }

    pub fn wait(&mut self, client: Pid, time: ClockTime) {
        self.waiting.push((client, time));
    }

    /// The reads as of a time at which nothing more can commit here, and the balance for each.
    pub fn ready(&mut self, is_blind: bool) -> Vec<(Pid, i8)> {
        let from_time = self.lock.map_or(ClockTime::MAX, |lock| lock.from_time);
        let waits = |time: ClockTime| from_time <= time && !is_blind;
        let (waiting, ready): (Vec<_>, Vec<_>) = self.waiting.iter().partition(|(_, time)| waits(*time));
        self.waiting = waiting;
        self.last = ready.iter().map(|(_, time)| *time).fold(self.last, ClockTime::max);
        ready.into_iter().map(|(client, time)| (client, self.balance_at(time))).collect()
    }
}
