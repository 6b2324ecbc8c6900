//! Every system and algorithm that the five texts name has a card, a property, or a rule of the product.

use lockstep_lab::cards::ALL;
use std::fs;

/// Where a name of a text is found.
enum Place {
    /// A card.
    Card(&'static str),
    /// A property that a card is judged by.
    Property(&'static str),
    /// A break of a card.
    Break(&'static str, &'static str),
    /// A rule of the product, of docs/rules.md.
    Rule(&'static str),
}
use Place::{Break, Card, Property, Rule};

const ATOMIC_BROADCAST: &[(&str, Place)] = &[
    ("validity", Property("VALIDITY")),
    ("uniform integrity: at most once", Property("NO DUPLICATION")),
    ("uniform integrity: only what was broadcast", Property("NO CREATION")),
    ("uniform agreement", Property("UNIFORM AGREEMENT")),
    ("total order", Property("UNIFORM TOTAL ORDER")),
    ("FIFO order, which is another one", Property("FIFO ORDER")),
    ("one leader orders, where nothing fails", Card("fixed-sequencer")),
    ("consensus reduced to atomic broadcast", Card("consensus-from-order")),
    ("atomic broadcast reduced to consensus", Card("total-order-consensus")),
    ("the impossibility of Fischer, Lynch and Paterson", Card("flp")),
    ("the algorithm of Chandra and Toueg", Card("rotating-coordinator")),
    ("Zab", Card("zab")),
    ("virtual synchrony", Card("view-synchrony-consensus")),
];

const ISIS: &[(&str, Place)] = &[
    ("CBCAST", Card("isis-cbcast")),
    ("ABCAST", Card("isis-abcast")),
    ("uniform ABCAST, left to the reader", Card("isis-abcast-uniform")),
    ("GBCAST", Card("isis-gbcast")),
    ("the view manager", Card("isis-view-manager")),
    ("the input filter", Break("isis-abcast", "no-input-filter")),
    ("flush, store and collection", Card("flush-store")),
    ("coordinator and cohorts", Card("coordinator-cohort")),
    ("replicated data, asynchronous updates, read locks", Card("replicated-data")),
    ("read locks that are registered", Card("registered-read")),
    ("the windowed channel between sites", Card("windowed-channel")),
    ("nothing after a failure", Property("NOTHING AFTER FAILURE")),
    ("view synchrony", Property("VIEW SYNCHRONY")),
];

const COURSE: &[(&str, Place)] = &[
    ("fair-loss links", Card("stubborn-links")),
    ("perfect links", Card("perfect-links")),
    ("the perfect failure detector", Card("perfect-by-timeout")),
    ("the eventually perfect failure detector", Card("eventually-perfect")),
    ("a leader detector", Card("leader-by-suspicion")),
    ("best-effort broadcast", Card("best-effort")),
    ("reliable broadcast, lazy", Card("reliable-lazy")),
    ("reliable broadcast, eager", Card("reliable-eager")),
    ("uniform reliable broadcast", Card("uniform-all-ack")),
    ("uniform reliable broadcast by a majority", Card("uniform-majority")),
    ("causal broadcast with the past", Card("causal-no-wait")),
    ("collection of the past", Card("causal-no-wait-collection")),
    ("causal broadcast with vectors", Card("causal-waiting")),
    ("total order, over consensus", Card("total-order-consensus")),
    ("uniform total order", Card("uniform-total-order")),
    ("a weaker definition of total order", Property("PAIRWISE TOTAL ORDER")),
    ("a weaker definition of total order, without gaps", Property("GAPLESS TOTAL ORDER")),
    ("consensus from total order", Card("consensus-from-order")),
    ("hierarchical consensus", Card("hierarchical")),
    ("uniform hierarchical consensus", Card("uniform-hierarchical")),
    ("consensus with a rotating coordinator", Card("rotating-coordinator")),
    ("the impossibility of consensus", Card("flp")),
    ("terminating reliable broadcast", Card("terminating-reliable")),
    ("uniform terminating reliable broadcast", Card("terminating-uniform")),
    ("P from terminating reliable broadcast", Card("perfect-from-trb")),
    ("two-phase commit", Card("two-phase-commit")),
    ("non-blocking atomic commit", Card("non-blocking-commit")),
    ("Paxos commit", Card("paxos-commit")),
    ("group membership", Card("membership")),
    ("view synchrony from terminating reliable broadcast", Card("view-synchrony-trb")),
    ("view synchrony from consensus", Card("view-synchrony-consensus")),
    ("regular register, read one, write all", Card("regular-read-one")),
    ("regular register, majority", Card("regular-majority")),
    ("atomic register, read-impose, write all", Card("atomic-impose-all")),
    ("atomic register, read-impose, write majority", Card("atomic-impose-majority")),
    ("atomic register of N writers", Card("atomic-n-n")),
    ("Byzantine consistent broadcast by echoes", Card("consistent-echo")),
    ("Byzantine consistent broadcast by signatures", Card("consistent-signed")),
    ("Byzantine reliable broadcast", Card("reliable-bracha")),
];

const ORDERING_WALL: &[(&str, Place)] = &[
    ("state machine replication", Card("ordered-transfers")),
    ("two-phase commit", Card("two-phase-commit")),
    ("three-phase commit: no process blocks", Card("non-blocking-commit")),
    ("saga", Card("saga")),
    ("Percolator", Card("percolator")),
    ("Calvin", Card("calvin")),
    ("Spanner", Card("spanner")),
    ("last writer wins (Dynamo, replicated data types)", Card("last-writer-wins")),
    ("Lamport's clocks", Card("lamport-clock-order")),
    ("Zab: primary order", Property("PRIMARY ORDER")),
    ("Raft, Viewstamped Replication: the best log of a quorum is adopted", Rule("S5")),
    ("Raft: committed is what a quorum has in the leader's term", Rule("S4")),
    ("Kafka: one order in a partition", Rule("S1")),
];

const PAXOS_FAMILY: &[(&str, Place)] = &[
    ("basic Paxos", Card("paxos")),
    ("duelling proposers", Break("paxos", "duel")),
    ("Multi-Paxos", Card("multi-paxos")),
    ("collapsed Multi-Paxos: client and servers", Card("lockstep")),
    ("cheap Paxos", Card("cheap-paxos")),
    ("fast Paxos", Card("fast-paxos")),
    ("generalized Paxos", Card("generalized-paxos")),
    ("Byzantine Paxos", Card("byzantine-paxos")),
    ("fast Byzantine Paxos", Card("fast-byzantine-paxos")),
    ("reconfiguration", Card("reconfiguration")),
    ("stable storage", Rule("S2")),
    ("a distinguished learner, or all learners", Rule("S4")),
    ("Chubby: leases", Rule("S12")),
];

fn is_there(place: &Place, rules: &str) -> bool {
    match place {
        Card(name) => ALL.get(name).is_some(),
        Property(name) => ALL.entries().any(|entry| {
            let lost = entry.card.breaks.iter().map(|broken| broken.loses);
            entry.card.properties.iter().copied().chain(lost).any(|property| property.name == *name)
        }),
        Break(card, name) => {
            ALL.get(card).is_some_and(|entry| entry.card.breaks.iter().any(|broken| broken.name == *name))
        }
        Rule(id) => rules.contains(&format!("\n| {id} |")),
    }
}

#[test]
fn every_name_of_the_texts_has_its_card_or_its_rule() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/rules.md");
    let rules = fs::read_to_string(path).expect("docs/rules.md");
    let texts = [ATOMIC_BROADCAST, ISIS, COURSE, ORDERING_WALL, PAXOS_FAMILY];
    let missing: Vec<_> = texts
        .iter()
        .copied()
        .flatten()
        .filter(|(_, place)| !is_there(place, &rules))
        .map(|(name, _)| *name)
        .collect();
    assert!(missing.is_empty(), "without a card or a rule: {missing:?}");
    assert!(ALL.entries().count() >= 45);
}
