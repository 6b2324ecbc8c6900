//! The tests of the laboratory, one program.

use lockstep_testkit::lane::amount;

mod cards;
mod causal;
mod compare;
mod own;
mod paxos_log;
mod pictures;
mod properties;
mod readers;
mod searches;
mod texts;
mod valence;

/// Breaks whose searches take nine tenths of the time of all of them, as `(card, break)`: by night alone.
/// Each card has others.
const LONG_SEARCHES: [(&str, &str); 23] = [
    ("atomic-impose-all", "wrong-suspicions"),
    ("atomic-impose-majority", "reads-that-do-not-impose"),
    ("byzantine-paxos", "no-proof"),
    ("isis-gbcast", "no-wait-queue"),
    ("isis-view-manager", "forgets-the-extension"),
    ("lockstep", "AckOfAnyEpochCounts"),
    ("lockstep", "DeliveredBeforeCommit"),
    ("lockstep-stamped", "the-leader-changes"),
    ("paxos", "a-promise-forgotten"),
    ("paxos", "duel"),
    ("paxos-commit", "aborts-whatever-was-promised"),
    ("perfect-by-timeout", "replies-count-for-ever"),
    ("primary-backup-paxos", "two-outstanding-updates"),
    ("reconfiguration", "no-promises-of-new-members"),
    ("registered-read", "no-filter"),
    ("regular-majority", "asked-for-atomic"),
    ("reliable-bracha", "f-plus-1-deliver"),
    ("reliable-bracha", "no-amplification"),
    ("view-synchrony-consensus", "the-application-goes-on"),
    ("view-synchrony-trb", "drops-early-messages"),
    ("view-synchrony-trb", "forgets-what-came-before"),
    ("view-synchrony-trb", "no-blocking"),
    ("zab", "no-promise"),
];

/// Whether this lane of CI searches a break.
fn is_searched(card: &str, broken: &str) -> bool {
    amount(!LONG_SEARCHES.contains(&(card, broken)), true)
}
