//! Zab, and the order of primaries.

mod atomic;
mod primary_backup;

pub use atomic::{Zab, ZabIndication, ZabMessage};
pub use primary_backup::{BackupMessage, PrimaryBackup};

use crate::check::Entry;
use crate::property::VALIDITY;
use crate::{Ask, Break, Links, Model, Search, Value};

/// Its cards, in the order of the tour.
pub(super) const ENTRIES: &[Entry] = &[Entry::of::<Zab>(), Entry::of::<PrimaryBackup>()];

/// The break that both cards have.
const ASKED_FOR_VALIDITY: Break = Break {
    name: "asked-for-validity",
    says: "Only a primary broadcasts: what a process is asked that never leads waits for ever. Hence progress is \
           promised for the primary alone.",
    model: Model { links: Links::Fifo, ..Model::PLAIN },
    asks: Some(&[(1, Ask::Broadcast(Value(2)))]),
    dropped: None,
    loses: &VALIDITY,
    search: Search::Breadth,
    steps_max: 1,
    planted: false,
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cards::searches::Searched;
    use crate::property::{NO_DUPLICATION, PRIMARY_INTEGRITY, PRIMARY_ORDER, Property, UNIFORM_TOTAL_ORDER};
    use crate::{Detector, Pid, Subject};

    const MODEL: Model = Model { links: Links::Fifo, ..Model::PLAIN };
    const SAFETY: [&Property; 3] = [&NO_DUPLICATION, &UNIFORM_TOTAL_ORDER, &PRIMARY_ORDER];

    fn asks() -> [(Pid, Ask); 3] {
        [(0, 0), (0, 1), (1, 2)].map(|(pid, value)| (pid, Ask::Broadcast(Value(value))))
    }

    /// Walks through runs with three changes of leaders that are wrong, and a crash: whether all is safe.
    fn is_safe<P: Subject>(more: Option<&'static Property>) -> bool {
        let model = MODEL.detector(Detector::Leader { mistakes: 3 }).stop(1);
        let properties: Vec<_> = SAFETY.into_iter().chain(more).collect();
        let searched = Searched { model, asks: &asks(), dropped: None, properties: &properties };
        searched.lost_on_walks::<P>(7, 300_000).is_none()
    }

    #[test]
    fn two_transactions_of_a_primary_that_crashes_stay_in_order() {
        let model = MODEL.detector(Detector::Leader { mistakes: 0 }).stop(1);
        let searched = Searched { model, asks: &asks(), dropped: None, properties: Zab::CARD.properties };
        assert_eq!(searched.lost::<Zab>(100_000), None);
    }

    #[test]
    fn primaries_that_follow_each_other_stay_in_order() {
        assert!(is_safe::<Zab>(Some(&PRIMARY_INTEGRITY)));
        assert!(is_safe::<PrimaryBackup>(None));
        assert!(!is_safe::<PrimaryBackup>(Some(&PRIMARY_INTEGRITY)), "the walks come so far");
    }
}
