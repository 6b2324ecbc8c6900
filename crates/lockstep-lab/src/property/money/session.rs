//! A guarantee of sessions (Terry et al. 1994), where every process stores all accounts and answers by what
//! it stores. A write is known by the balance that it leaves: no two writes to an account leave the same.

use super::BALANCE_AT_START;
use crate::property::{History, Judged, Property, p};
use crate::protocol::Pid;
use crate::vocabulary::{Ask, Event, Fact};
use std::collections::{BTreeMap, VecDeque};

/// A write of a committed transfer to one account.
struct Write {
    account: u8,
    /// The balances of this account that its process had stored before.
    past: Vec<i8>,
    /// The balance that it leaves.
    left: i8,
    /// Whether its process stores it.
    is_stored: bool,
}

/// The writes of the committed transfers of a process.
fn writes(history: &History<'_>, pid: Pid) -> Vec<Write> {
    let mut writes = Vec::new();
    let mut stored: BTreeMap<u8, Vec<i8>> = BTreeMap::new();
    // What was stored when the first open transfer began.
    let mut at_begin = stored.clone();
    let mut open = VecDeque::new();
    for event in history.events[usize::from(pid)] {
        match event {
            Event::Asked(Ask::Transfer { from, to, amount }) => {
                if open.is_empty() {
                    at_begin.clone_from(&stored);
                }
                open.push_back([(*from, -(*amount as i8)), (*to, *amount as i8)]);
            }
            Event::Did(Fact::Balance { account, balance }) => {
                stored.entry(*account).or_default().push(*balance);
            }
            Event::Did(Fact::Transferred(commits)) => {
                let moves = open.pop_front().into_iter().flatten();
                for (account, change) in moves.filter(|_| *commits) {
                    let past = at_begin.get(&account).cloned().unwrap_or_default();
                    let left = past.last().unwrap_or(&BALANCE_AT_START) + change;
                    writes.push(Write { account, past, left, is_stored: false });
                }
                at_begin.clone_from(&stored);
            }
            _ => {}
        }
    }
    for write in &mut writes {
        let new = stored.get(&write.account).map(|all| &all[write.past.len()..]);
        write.is_stored = new.is_some_and(|new| new.contains(&write.left));
    }
    writes
}

/// Writes follow reads, and the writes of one process follow each other (there: monotonic writes).
pub static WRITES_FOLLOW_READS: Property = Property {
    name: "WRITES FOLLOW READS",
    promise: "no write of a committed transfer gives way to a write that its process had stored before",
    judged: Judged::Always,
    real_time: false,
    holds: |history| {
        let honest = || history.honest().iter();
        for (writer, write) in
            honest().flat_map(|pid| writes(history, pid).into_iter().map(move |it| (pid, it)))
        {
            let Write { account, past, left, is_stored } = write;
            if !is_stored {
                return Err(format!(
                    "{} commits a transfer, and goes on to store what it had of account {account}",
                    p(writer)
                ));
            }
            for pid in honest() {
                let balances = history.facts(pid).filter_map(|fact| match fact {
                    Fact::Balance { account: other, balance } if *other == account => Some(*balance),
                    _ => None,
                });
                let later = balances.skip_while(|balance| *balance != left);
                if let Some(earlier) = later.filter(|balance| *balance != left).find(|it| past.contains(it)) {
                    return Err(format!(
                        "{} stores {left} of {}, and then the earlier {earlier} of account {account}",
                        p(pid),
                        p(writer)
                    ));
                }
            }
        }
        Ok(())
    },
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::property::money::tests::{FIRST, SECOND, has, holds, transferred};

    /// p1 commits its first transfer, p2 stores what that left of account 0 and commits the second one, which
    /// leaves the account with -1; then these events.
    fn then(events: &[(Pid, Event)]) -> bool {
        let first = [(0, Event::Asked(FIRST)), (0, has(0, 0)), (0, has(1, 2)), (0, transferred(true))];
        let second = [(1, has(0, 0)), (1, Event::Asked(SECOND)), (1, has(0, -1)), (1, has(2, 2))];
        let run = [&first[..], &second, &[(1, transferred(true))], events].concat();
        holds(&WRITES_FOLLOW_READS, &run)
    }

    #[test]
    fn a_write_does_not_give_way_to_one_that_its_process_had_stored() {
        assert!(then(&[(2, has(0, 0)), (2, has(0, -1)), (0, has(0, -1))]));
        assert!(then(&[(2, has(0, -1))]), "the earlier one is left out");
        assert!(!then(&[(2, has(0, -1)), (2, has(0, 0))]), "another process turns back");
        assert!(!then(&[(1, has(0, 0))]), "its own process turns back");
        assert!(then(&[(2, has(0, -1)), (2, has(0, 1))]), "a third write, which p2 had not stored");
    }

    #[test]
    fn a_committed_write_is_stored_at_its_process() {
        let own = |stored: &[(Pid, Event)], commits| {
            let run = [&[(0, has(0, 2)), (0, Event::Asked(FIRST))], stored, &[(0, transferred(commits))]];
            holds(&WRITES_FOLLOW_READS, &run.concat())
        };
        assert!(own(&[(0, has(0, 1)), (0, has(1, 2))], true));
        assert!(!own(&[(0, has(1, 2))], true) && !own(&[], true));
        assert!(own(&[], false), "an aborted one has no write");
    }
}
