//! Every interleaving of a small cluster of the production engines, to a stated depth, and walks; a night goes deeper
//! and further than each change does. Deeper still: `lockstep sim --explore --depth 9 --walk 10000000`.

use lockstep_core::engine::subscriber::Delivery;
use lockstep_sim::explore::{ExploreScope, Explored, explore, walk};
use lockstep_testkit::lane;
use lockstep_wire::Change;

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
    let scope = ExploreScope { depth: lane::amount(6, 7), ..ExploreScope::default() };
    clean("three replicas", explore(&scope));
}

#[test]
fn no_interleaving_breaks_a_rule_for_a_reader() {
    for delivery in [Delivery::Committed, Delivery::Stamped] {
        let scope = ExploreScope { depth: 6, values: 2, reader: Some(delivery), ..ExploreScope::default() };
        clean("and a reader", explore(&scope));
    }
}

#[test]
fn no_random_walk_breaks_a_rule() {
    let scope = ExploreScope {
        reader: Some(Delivery::Stamped),
        heartbeats: true,
        crashes: 2,
        losses: 1,
        ..ExploreScope::default()
    };
    clean("walks", walk(&scope, 1, lane::amount(60_000, 200_000)));
}

#[test]
fn no_walk_through_changes_of_the_membership_breaks_a_rule() {
    use Change::{Add, Remove};
    for (members, changes) in [(2, [(Add, 2), (Remove, 0)]), (3, [(Add, 3), (Remove, 0)])] {
        let scope = ExploreScope {
            replicas: members + 1,
            members,
            changes: changes.to_vec(),
            values: 1,
            heartbeats: true,
            ..ExploreScope::default()
        };
        clean("changes", explore(&ExploreScope { depth: 5, crashes: 0, ..scope.clone() }));
        clean("walks through changes", walk(&scope, 1, lane::amount(30_000, 100_000)));
    }
}

/// MEMBER-3: the next life of a replica takes the place of the one before, in one step.
#[test]
fn member_3_no_walk_through_a_replacement_breaks_a_rule() {
    use Change::{Add, Replace};
    for (members, changes) in
        [(3, vec![(Replace, 3)]), (3, vec![(Replace, 3), (Replace, 4)]), (4, vec![(Replace, 4)])]
    {
        let replicas = members + changes.len();
        let scope = ExploreScope {
            replicas,
            members,
            changes,
            heirs: true,
            values: 1,
            heartbeats: true,
            ..ExploreScope::default()
        };
        clean("a replacement", explore(&ExploreScope { depth: 5, crashes: 0, ..scope.clone() }));
        clean("walks through replacements", walk(&scope, 1, lane::amount(30_000, 100_000)));
    }
    // Of two a replacement is refused, and what is refused changes nothing.
    let pair = ExploreScope {
        replicas: 3,
        members: 2,
        changes: vec![(Replace, 2), (Add, 2)],
        heirs: true,
        ..ExploreScope::default()
    };
    clean("a replacement of one of two", explore(&ExploreScope { depth: 5, values: 1, crashes: 0, ..pair }));
}
