//! Trading days, one after the other: a night runs years (`lockstep sim --year`), each change the first
//! months of one.

use lockstep_core::proto::planted::{Mutation, with_planted};
use lockstep_sim::Plan;
use lockstep_sim::coverage::Event;
use lockstep_sim::many::caught;
use lockstep_sim::year::MONTHS;
use lockstep_testkit::lane;

/// Retention removes, members are replaced, keys change, the log rises to a newer version, days begin and
/// end: each day something is committed, and at the end of each month all are there and nothing has grown.
#[test]
fn month_after_month_nothing_grows_and_nothing_sticks() {
    lockstep_io::choose_instructions();
    let (seeds, months) = lane::amount((2, 2), (8, MONTHS));
    let mut total = lockstep_sim::coverage::Coverage::default();
    for seed in 0..seeds {
        match caught(&Plan::of_year(seed, months), false) {
            Ok(outcome) => total.add(&outcome.coverage),
            Err(failure) => panic!("{failure}\nsee it: lockstep sim --year --seed {seed} --verbose"),
        }
    }
    // A month that ends while a cluster is restored is not judged.
    let judged = total.get(Event::Months);
    assert!(judged <= seeds * months && judged >= seeds * months * 7 / 8, "{judged} months");
    let happen = [
        Event::SegmentsRemoved,
        Event::MembersReplaced,
        Event::KeysRotated,
        Event::UpgradesOrdered,
        Event::Takeovers,
    ];
    for event in happen {
        assert!(total.get(event) > 0, "{event:?} did not happen");
    }
}

/// Nodes that do not open what hosts of another step of the rotation seal, or blank ones that do not open
/// what is older than it, are found within months. Few seeds do: most of what is kept is in memory too, and
/// comes with a trailer of the keys of today, and a quorum goes on with a publisher on its side of a step.
#[test]
fn a_rotation_of_keys_that_loses_something_is_found() {
    lockstep_io::choose_instructions();
    for (mutation, seed, months) in
        [(Mutation::OthersDoNotCount, 15, 2), (Mutation::RetiredIsNotReplayed, 3, 5)]
    {
        let run = || caught(&Plan::of_year(seed, months), false).err().map(|failure| failure.violation);
        assert_eq!(run(), None);
        let found = with_planted(Some(mutation), run).unwrap_or_else(|| panic!("{mutation:?} is not found"));
        println!("{mutation:?}: {found}");
    }
}
