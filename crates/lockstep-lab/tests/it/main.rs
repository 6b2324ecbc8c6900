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

/// Breaks whose searches take three quarters of the time of all of them, as `(card, break)`: by night alone.
const LONG_SEARCHES: [(&str, &str); 8] = [
    ("atomic-impose-majority", "reads-that-do-not-impose"),
    ("byzantine-paxos", "no-proof"),
    ("isis-view-manager", "forgets-the-extension"),
    ("paxos", "a-promise-forgotten"),
    ("paxos", "duel"),
    ("reconfiguration", "no-promises-of-new-members"),
    ("regular-majority", "asked-for-atomic"),
    ("view-synchrony-consensus", "the-application-goes-on"),
];

/// Whether this lane of CI searches a break.
fn is_searched(card: &str, broken: &str) -> bool {
    amount(!LONG_SEARCHES.contains(&(card, broken)), true)
}
