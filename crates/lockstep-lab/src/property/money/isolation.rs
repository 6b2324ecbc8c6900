//! Properties of transactions that are judged together: serial orders, snapshots, needless aborts.

use super::{BALANCE_MAX, Kind, Move, NEVER, Transaction, after, apply, at_start, transactions};
use crate::property::{History, Judged, Property, p};
use std::collections::BTreeSet;

/// Whether an account may lose an amount, in these balances.
type Covers = fn(&[i8], Move) -> bool;

fn its_account_covers(balances: &[i8], transfer: Move) -> bool {
    balances[usize::from(transfer.from)] >= transfer.amount
}

/// Accounts 0 and 1 have one owner, as have 2 and 3, and so on.
fn its_owner_covers(balances: &[i8], transfer: Move) -> bool {
    let both = [transfer.from, transfer.from ^ 1].map(|account| balances.get(usize::from(account)));
    both.into_iter().flatten().sum::<i8>() >= transfer.amount
}

/// A search for a serial order.
struct Serial<'a> {
    transactions: &'a [Transaction],
    covers: Covers,
    /// Whether one that ended before another one began is before it.
    is_in_real_time: bool,
    /// Whether a transfer is aborted only if it is not covered.
    is_abort_explained: bool,
    dead_ends: BTreeSet<u32>,
}

impl Serial<'_> {
    /// Whether the transactions that are not in `done` can follow one another from `balances` on. One that
    /// has not ended may be left out.
    fn can_follow(&mut self, done: u32, balances: &[i8]) -> bool {
        let all = self.transactions;
        let open = || all.iter().enumerate().filter(|(index, _)| done >> index & 1 == 0);
        if open().all(|(_, it)| it.ended == NEVER) {
            return true;
        }
        if !self.dead_ends.insert(done) {
            return false;
        }
        let first_end = open().map(|(_, it)| it.ended).min().unwrap_or(NEVER);
        open().any(|(index, it)| {
            if self.is_in_real_time && it.began >= first_end {
                return false;
            }
            let mut next = balances.to_vec();
            let fits = match &it.kind {
                Kind::Transfer(transfer, None | Some(true)) => {
                    apply(&mut next, *transfer);
                    (self.covers)(balances, *transfer)
                }
                Kind::Transfer(transfer, Some(false)) => {
                    !(self.is_abort_explained && (self.covers)(balances, *transfer))
                }
                Kind::Audit(saw) => saw.as_ref().is_none_or(|saw| saw == balances),
            };
            fits && self.can_follow(done | 1 << index, &next)
        })
    }
}

fn serial(
    history: &History<'_>,
    covers: Covers,
    is_in_real_time: bool,
    is_abort_explained: bool,
) -> Result<(), String> {
    let transactions = transactions(history);
    let mut search = Serial {
        transactions: &transactions,
        covers,
        is_in_real_time,
        is_abort_explained,
        dead_ends: BTreeSet::new(),
    };
    if search.can_follow(0, &at_start(&transactions)) {
        return Ok(());
    }
    let words: Vec<_> = transactions
        .iter()
        .filter(|it| it.ended != NEVER)
        .map(|it| match &it.kind {
            Kind::Transfer(Move { from, to, amount }, outcome) => {
                let commits = if *outcome == Some(true) { "commits" } else { "aborts" };
                format!("{} {commits} {amount} from {from} to {to}", p(it.pid))
            }
            Kind::Audit(saw) => format!("{} sees {:?}", p(it.pid), saw.as_deref().unwrap_or_default()),
        })
        .collect();
    Err(format!("no serial order explains these: {}", words.join(", ")))
}

/// Serializability of transfers that both accounts of an owner cover together.
pub static SERIALIZABLE: Property = Property {
    name: "SERIALIZABLE",
    promise: "some serial order explains all transactions: the two accounts of its owner cover each transfer",
    judged: Judged::Always,
    real_time: false,
    holds: |history| serial(history, its_owner_covers, false, false),
};

/// External consistency: strict serializability.
pub static EXTERNAL_CONSISTENCY: Property = Property {
    name: "EXTERNAL CONSISTENCY",
    promise: "some serial order explains all transactions, and has each after all that ended before it began",
    judged: Judged::Always,
    real_time: true,
    holds: |history| serial(history, its_account_covers, true, false),
};

/// As external consistency, and a transfer that is covered is not aborted.
pub static ONE_STATE_MACHINE: Property = Property {
    name: "ONE STATE MACHINE",
    promise: "some serial order in real time explains all transactions, and aborts are of what is not covered",
    judged: Judged::Always,
    real_time: true,
    holds: |history| serial(history, its_account_covers, true, true),
};

/// The part of snapshot isolation that audits see. Transfers that lose each other's updates are lost money.
pub static SNAPSHOT_ISOLATION: Property = Property {
    name: "SNAPSHOT ISOLATION",
    promise: "every audit sees whole transfers, each with all that ended before it or before the audit; of two audits \
              one sees all that the other does",
    judged: Judged::Always,
    real_time: true,
    holds: |history| {
        let all = transactions(history);
        let snapshots = |audit: &Transaction| -> Vec<u32> {
            let fits = |set: &u32| {
                let is_in = |index: usize| set >> index & 1 == 1;
                let has_past = all.iter().enumerate().all(|(index, it)| {
                    if is_in(index) {
                        return it.moves().is_some() && it.began < audit.ended;
                    }
                    let has_later =
                        all.iter().enumerate().any(|(at, later)| is_in(at) && it.ended < later.began);
                    !it.is_committed() || !has_later && it.ended > audit.began
                });
                has_past && Some(&after(&all, |index, _| set >> index & 1 == 1)) == audit.saw()
            };
            (0..1u32 << all.len()).filter(fits).collect()
        };
        let mut chains: Vec<Vec<u32>> = vec![Vec::new()];
        for audit in all.iter().filter(|it| it.saw().is_some()) {
            let is_within = |one: u32, other: u32| one & !other == 0;
            chains = chains
                .iter()
                .flat_map(|chain| snapshots(audit).into_iter().map(move |set| (chain, set)))
                .filter(|(chain, set)| chain.iter().all(|one| is_within(*one, *set) || is_within(*set, *one)))
                .map(|(chain, set)| [chain.as_slice(), &[set]].concat())
                .collect();
            if chains.is_empty() {
                let saw = audit.saw().map(Vec::as_slice).unwrap_or_default();
                return Err(format!("the audit of {} sees {saw:?}, which is no snapshot", p(audit.pid)));
            }
        }
        Ok(())
    },
};

/// No needless aborts: a protocol that aborts everything is safe.
pub static ALONE_COMMITS: Property = Property {
    name: "ALONE COMMITS",
    promise: "a transfer that is covered, and has room where it goes, commits if no other runs at the same time",
    judged: Judged::AtTheEnd,
    real_time: true,
    holds: |history| {
        let all = transactions(history);
        for (index, it) in all.iter().enumerate() {
            let Kind::Transfer(transfer, Some(false)) = it.kind else { continue };
            let is_alone = all.iter().enumerate().all(|(other, with)| other == index || !it.overlaps(with));
            let before = after(&all, |_, other| other.ended < it.began);
            let has_room = before[usize::from(transfer.to)] + transfer.amount <= BALANCE_MAX;
            let is_covered = its_account_covers(&before, transfer) && its_owner_covers(&before, transfer);
            if is_alone && is_covered && has_room {
                return Err(format!("a transfer of {} is aborted, and nothing stands against it", p(it.pid)));
            }
        }
        Ok(())
    },
};
