//! Trading days, one after the other: a night runs years (`lockstep sim --year`), each change the first
//! months of one.

use lockstep_sim::Plan;
use lockstep_sim::coverage::Event;
use lockstep_sim::many::caught;
use lockstep_sim::year::MONTHS;
use lockstep_testkit::lane;

/// Retention removes, members are replaced, the log rises to a newer version, days begin and end: each day
/// something is committed, and at the end of each month all are there and nothing has grown.
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
    for event in [Event::SegmentsRemoved, Event::MembersReplaced, Event::UpgradesOrdered, Event::Takeovers] {
        assert!(total.get(event) > 0, "{event:?} did not happen");
    }
}
