//! lockstep itself: the production engines, judged by the same properties and priced by the same counter as
//! the protocols of the texts.

mod committed;
mod engines;
mod stamped;

use crate::card::{ENDLESS, Failures, Search, Time};
use crate::check::Entry;
use crate::property::NO_DUPLICATION;
use crate::{Ask, Break, Detector, Links, Model, Pid, Value};

/// Its cards, in the order of the tour.
pub(super) const ENTRIES: &[Entry] = &[stamped::STAMPED, committed::COMMITTED];

/// The process of a lone message is not that of the leader.
const LONE: &[(Pid, Ask)] = &[(1, Ask::Broadcast(Value(0)))];
/// Two publishers, so that two orders are possible.
const TWO: &[(Pid, Ask)] = &[(1, Ask::Broadcast(Value(0))), (2, Ask::Broadcast(Value(1)))];

/// Three replicas and a reader. The first replica leads when a run begins.
const ENGINES: Model = Model {
    n: 4,
    f: 1,
    links: Links::FairLoss { losses: ENDLESS, duplicates: ENDLESS },
    detector: Detector::None,
    failures: Failures::None,
    time: Time::Asynchronous { timeouts: 0 },
};

/// The break that both cards have.
const fn numbered_anew(model: Model) -> Break {
    Break {
        name: "numbered-anew",
        says: "A publisher gives a message another number when it sends it again: the leader stamps both.",
        model,
        asks: Some(LONE),
        dropped: Some("numbers"),
        loses: &NO_DUPLICATION,
        search: Search::Breadth,
        steps_max: 4,
        planted: true,
    }
}
