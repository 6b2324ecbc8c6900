//! Every interleaving of a small cluster of the production engines, to a stated depth. Deeper, and with more
//! walks: `lockstep sim --explore --depth 9 --walk 10000000`.

use lockstep::engine::subscriber::Delivery;
use lockstep::sim::explore::{Explored, Scope, explore, walk};
use lockstep::wire::Change;

fn clean(what: &str, found: Result<Explored, String>) -> Explored {
    let found = found.expect("the cluster starts");
    println!("{what}: {found}");
    if let Some(story) = &found.story {
        panic!("{what}: {story}");
    }
    found
}

#[test]
fn no_interleaving_of_three_replicas_breaks_a_rule() {
    let scope = Scope { depth: 7, ..Scope::default() };
    clean("three replicas", explore(&scope));
}

#[test]
fn no_interleaving_breaks_a_rule_for_a_reader() {
    for delivery in [Delivery::Committed, Delivery::Stamped] {
        let scope = Scope { depth: 6, values: 2, reader: Some(delivery), ..Scope::default() };
        clean("and a reader", explore(&scope));
    }
}

#[test]
fn no_random_walk_breaks_a_rule() {
    let scope =
        Scope { reader: Some(Delivery::Stamped), beats: true, crashes: 2, losses: 1, ..Scope::default() };
    clean("walks", walk(&scope, 1, 200_000));
}

#[test]
fn no_walk_through_changes_of_the_membership_breaks_a_rule() {
    use Change::{Add, Remove};
    for (members, changes) in [(2, [(Add, 2), (Remove, 0)]), (3, [(Add, 3), (Remove, 0)])] {
        let scope = Scope {
            replicas: members + 1,
            members,
            changes: changes.to_vec(),
            values: 1,
            beats: true,
            ..Scope::default()
        };
        clean("changes", explore(&Scope { depth: 5, crashes: 0, ..scope.clone() }));
        clean("walks through changes", walk(&scope, 1, 100_000));
    }
}
