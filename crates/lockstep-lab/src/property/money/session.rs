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
