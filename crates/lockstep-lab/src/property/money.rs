//! Properties of transactions that move money between accounts (the ordering wall; Papadimitriou 1979;
//! Berenson et al. 1995).
//!
//! Accounts are 0, 1, … up to the highest one that a transfer names or an audit sees, and each has
//! [`BALANCE_AT_START`]. A process makes its requests one after the other: one that is asked while another is
//! open begins when that one has ended. A process that is asked to leave is a client that stops in the middle
//! of its transaction.

mod isolation;
mod session;

pub use isolation::{
    ALONE_COMMITS, EXTERNAL_CONSISTENCY, ONE_STATE_MACHINE, SERIALIZABLE, SNAPSHOT_ISOLATION,
};
pub use session::WRITES_FOLLOW_READS;

use super::{History, Judged, Property, p};
use crate::protocol::Pid;
use crate::vocabulary::{Ask, Event, Fact};
use std::collections::BTreeMap;

/// The balance of every account at the start.
pub const BALANCE_AT_START: i8 = 1;
/// The most that an account takes, where an account may refuse money.
pub const BALANCE_MAX: i8 = 2;
/// The place in time of a return that has not come.
const NEVER: usize = usize::MAX;

#[derive(Clone, Copy, PartialEq, Eq)]
struct Move {
    from: u8,
    to: u8,
    amount: i8,
}

/// A request, and its answer.
enum Kind {
    /// A transfer, and whether it is committed.
    Transfer(Move, Option<bool>),
    /// An audit, and what it saw.
    Audit(Option<Vec<i8>>),
}

/// A transaction: its process, and the places of its beginning and its end in time.
struct Transaction {
    pid: Pid,
    began: usize,
    ended: usize,
    kind: Kind,
}

impl Transaction {
    /// The transfer, if it is committed or may be.
    fn moves(&self) -> Option<Move> {
        match self.kind {
            Kind::Transfer(it, None | Some(true)) => Some(it),
            _ => None,
        }
    }

    fn is_committed(&self) -> bool {
        matches!(self.kind, Kind::Transfer(_, Some(true)))
    }

    fn saw(&self) -> Option<&Vec<i8>> {
        if let Kind::Audit(Some(saw)) = &self.kind { Some(saw) } else { None }
    }

    fn overlaps(&self, other: &Self) -> bool {
        self.began < other.ended && other.began < self.ended
    }
}

/// The transactions of the run. Their times mean something only if the history has real time.
fn transactions(history: &History<'_>) -> Vec<Transaction> {
    let by_process: Vec<_> = (0..history.n)
        .flat_map(|pid| history.events[usize::from(pid)].iter().map(move |it| (pid, it)))
        .collect();
    let events = if history.order.is_empty() { by_process } else { history.in_real_time().collect() };
    let mut all: Vec<Transaction> = Vec::new();
    for (at, (pid, event)) in events.into_iter().enumerate() {
        let kind = match event {
            Event::Asked(Ask::Transfer { from, to, amount }) => {
                Kind::Transfer(Move { from: *from, to: *to, amount: *amount as i8 }, None)
            }
            Event::Asked(Ask::Audit) => Kind::Audit(None),
            Event::Did(fact) => {
                answer(&mut all, pid, at, fact);
                continue;
            }
            Event::Asked(_) => continue,
        };
        // Behind the one before it, if that is still open.
        let is_first = all.iter().all(|other| other.pid != pid || other.ended != NEVER);
        all.push(Transaction { pid, began: if is_first { at } else { NEVER }, ended: NEVER, kind });
    }
    all
}

/// The answer of the first open transaction of `pid`. The next one begins.
fn answer(all: &mut [Transaction], pid: Pid, at: usize, fact: &Fact) {
    let mut open = all.iter_mut().filter(|it| it.pid == pid && it.ended == NEVER);
    let is_answered = open.next().is_some_and(|first| {
        match (&mut first.kind, fact) {
            (Kind::Transfer(_, outcome), Fact::Transferred(commits)) => *outcome = Some(*commits),
            (Kind::Audit(saw), Fact::Balances(balances)) => *saw = Some(balances.clone()),
            _ => return false,
        }
        first.ended = at;
        true
    });
    if let Some(next) = open.next().filter(|_| is_answered) {
        next.began = at;
    }
}

/// The balances at the start.
fn at_start(transactions: &[Transaction]) -> Vec<i8> {
    let accounts = transactions.iter().map(|it| match &it.kind {
        Kind::Transfer(Move { from, to, .. }, _) => usize::from(*from.max(to)) + 1,
        Kind::Audit(saw) => saw.as_ref().map_or(0, Vec::len),
    });
    vec![BALANCE_AT_START; accounts.max().unwrap_or(0)]
}

fn apply(balances: &mut [i8], Move { from, to, amount }: Move) {
    balances[usize::from(from)] -= amount;
    balances[usize::from(to)] += amount;
}

/// The balances after these transfers.
fn after<'a>(transactions: &'a [Transaction], which: impl Fn(usize, &'a Transaction) -> bool) -> Vec<i8> {
    let mut balances = at_start(transactions);
    for (index, it) in transactions.iter().enumerate() {
        if let Some(transfer) = it.moves().filter(|_| which(index, it)) {
            apply(&mut balances, transfer);
        }
    }
    balances
}

/// Sets of transactions, by bit: all committed ones, and some of those that have not ended.
fn possible_effects(transactions: &[Transaction]) -> impl Iterator<Item = u32> {
    (0..1u32 << transactions.len()).filter(|set| {
        let is_possible = |(index, it): (usize, &Transaction)| match (it.moves(), set >> index & 1 == 1) {
            (None, has) => !has,
            (Some(_), has) => has || !it.is_committed(),
        };
        transactions.iter().enumerate().all(is_possible)
    })
}

/// For each account, the last balance at each process that stores it. Of those that failed only where no
/// other process stores it.
fn stored(history: &History<'_>) -> BTreeMap<u8, Vec<(Pid, i8)>> {
    let mut last: BTreeMap<u8, BTreeMap<Pid, i8>> = BTreeMap::new();
    for (pid, fact) in history.all_facts() {
        if let Fact::Balance { account, balance } = fact {
            last.entry(*account).or_default().insert(pid, *balance);
        }
    }
    let alive = |all: BTreeMap<Pid, i8>| {
        let is_somewhere = all.keys().any(|pid| history.correct.has(*pid));
        all.into_iter().filter(|(pid, _)| !is_somewhere || history.correct.has(*pid)).collect()
    };
    last.into_iter().map(|(account, all)| (account, alive(all))).collect()
}

/// Conservation of money: also no transfer is lost, and none has half an effect.
pub static MONEY_CONSERVED: Property = Property {
    name: "MONEY CONSERVED",
    promise: "in the end each account has what it had at the start and what committed transfers moved",
    judged: Judged::AtTheEnd,
    real_time: false,
    holds: |history| {
        let (transactions, stored) = (transactions(history), stored(history));
        let is_stored = |set: u32| {
            let expected = after(&transactions, |index, _| set >> index & 1 == 1);
            expected.iter().enumerate().all(|(account, expected)| match stored.get(&(account as u8)) {
                Some(all) => all.iter().all(|(_, balance)| balance == expected),
                None => *expected == BALANCE_AT_START,
            })
        };
        if possible_effects(&transactions).any(is_stored) {
            return Ok(());
        }
        let expected = after(&transactions, |_, it| it.is_committed());
        let words: Vec<_> = stored
            .iter()
            .flat_map(|(account, all)| {
                all.iter().map(move |(pid, has)| format!("{account}: {has} at {}", p(*pid)))
            })
            .collect();
        Err(format!("the accounts have {} in the end, and must have {expected:?}", words.join(", ")))
    },
};

/// No overdraft, neither in what is stored or seen nor by what is committed.
pub static NO_OVERDRAFT: Property = Property {
    name: "NO OVERDRAFT",
    promise: "no account is below zero, and no more than it had is committed away from it",
    judged: Judged::Always,
    real_time: false,
    holds: |history| {
        for (pid, fact) in history.all_facts() {
            match fact {
                Fact::Balance { account, balance } if *balance < 0 => {
                    return Err(format!("account {account} has {balance} at {}", p(pid)));
                }
                Fact::Balances(saw) if saw.iter().any(|balance| *balance < 0) => {
                    return Err(format!("the audit of {} sees {saw:?}", p(pid)));
                }
                _ => {}
            }
        }
        let mut most = at_start(&transactions(history));
        for it in transactions(history) {
            let Some(Move { from, to, amount }) = it.moves() else { continue };
            most[usize::from(to)] += amount;
            most[usize::from(from)] -= if it.is_committed() { amount } else { 0 };
        }
        match most.iter().position(|most| *most < 0) {
            Some(account) => {
                Err(format!("the committed transfers leave account {account} with {} at most", most[account]))
            }
            None => Ok(()),
        }
    },
};

/// No audit sees the middle of a transfer.
pub static AUDITS_CONSERVED: Property = Property {
    name: "AUDITS CONSERVED",
    promise: "every audit sees as much money in all accounts together as there was at the start",
    judged: Judged::Always,
    real_time: false,
    holds: |history| {
        let all = transactions(history);
        let total: i8 = at_start(&all).iter().sum();
        for it in &all {
            if let Some(saw) = it.saw().filter(|saw| saw.iter().sum::<i8>() != total) {
                return Err(format!("the audit of {} sees {saw:?}, and there are {total} in all", p(it.pid)));
            }
        }
        Ok(())
    },
};

/// Convergence, where every process stores all accounts.
pub static REPLICAS_AGREE: Property = Property {
    name: "REPLICAS AGREE",
    promise: "in the end all correct processes store the same balances, of each account of a committed transfer too",
    judged: Judged::AtTheEnd,
    real_time: false,
    holds: |history| {
        let balances = |pid| -> BTreeMap<u8, i8> {
            let changes = history.facts(pid).filter_map(|fact| match fact {
                Fact::Balance { account, balance } => Some((*account, *balance)),
                _ => None,
            });
            changes.collect()
        };
        let all = || history.correct.iter().map(|pid| (pid, balances(pid)));
        if let Some(((one, _), (other, _))) = super::differing(all()) {
            return Err(format!("{} and {} store different balances in the end", p(one), p(other)));
        }
        let transactions = transactions(history);
        let committed = transactions.iter().filter(|it| it.is_committed()).filter_map(Transaction::moves);
        for account in committed.flat_map(|it| [it.from, it.to]) {
            if let Some((pid, _)) = all().find(|(_, balances)| !balances.contains_key(&account)) {
                return Err(format!("{} never stores account {account} of a committed transfer", p(pid)));
            }
        }
        Ok(())
    },
};

/// Termination of transactions.
pub static TRANSACTIONS_END: Property = Property {
    name: "TERMINATION",
    promise: "every transaction of a correct client ends",
    judged: Judged::AtTheEnd,
    real_time: false,
    holds: |history| {
        let has_left = |pid| history.asked(pid).any(|ask| *ask == Ask::Leave);
        let all = transactions(history);
        let mut open = all.iter().filter(|it| it.ended == NEVER && history.correct.has(it.pid));
        match open.find(|it| !has_left(it.pid)) {
            Some(it) => Err(format!("a transaction of {} never ends", p(it.pid))),
            None => Ok(()),
        }
    },
};
