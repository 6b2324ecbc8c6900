//! Trading days.

use super::venue::{Venue, lines, machine, order};
use lockstep_machine::InputEvent;
use ouch50::Side;

#[test]
fn a_day_begins_with_the_directory_and_ends_with_everything_closed() {
    let mut venue = Venue::new(machine(), 1);
    venue.ouch(1, order(1, Side::Buy, 10, 99_000));
    assert_eq!(
        lines(&venue.input(InputEvent::DayEnd)),
        [
            "1: C 1 10 Closed",
            "feed: D 1",
            "feed: H ABC Halted",
            "feed: H XYZ Halted",
            "feed: S EndOfSystemHours",
            "feed: S EndOfMessages",
            "1: S EndOfDay",
        ]
    );
    assert_eq!(venue.ouch(1, order(2, Side::Buy, 10, 99_000)), ["1: J 2 DestinationClosed"]);
    let day = InputEvent::DayStart { name: "20261127" };
    assert_eq!(
        lines(&venue.input(day)),
        [
            "feed: S StartOfMessages",
            "feed: R ABC is 1",
            "feed: H ABC Halted",
            "feed: R XYZ is 2",
            "feed: H XYZ Halted",
            "feed: S StartOfSystemHours",
            "1: S StartOfDay",
            "feed: H ABC Trading",
            "feed: H XYZ Trading",
        ]
    );
    assert_eq!(venue.machine.published(), 8, "the numbers of the feed begin anew");
    assert_eq!(venue.ouch(1, order(3, Side::Buy, 10, 99_000)).len(), 2);
}
