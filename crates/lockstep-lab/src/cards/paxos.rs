//! The Paxos family.

pub(super) mod acceptor;
mod basic;
mod byzantine;
mod fast_byzantine;
pub(super) mod log;
mod multi;
mod reconfiguration;

pub use basic::Paxos;
pub use byzantine::{ByzantineMessage, ByzantinePaxos};
pub use fast_byzantine::{FastByzantine, FastByzantineMessage};
pub use multi::MultiPaxos;
pub use reconfiguration::{Reconfiguration, ReconfigurationMessage};

use crate::Value;
use crate::check::Entry;

/// Its cards, in the order of the tour.
pub(super) const ENTRIES: &[Entry] = &[
    Entry::of::<Paxos>(),
    Entry::of::<MultiPaxos<Value>>(),
    Entry::of::<ByzantinePaxos>(),
    Entry::of::<FastByzantine>(),
    Entry::of::<Reconfiguration>(),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::property::UNIFORM_CONSENSUS;
    use crate::space::Lab;
    use crate::{Ask, Failures, Model, Pid, Subject, Time};
    use lockstep_sim::explore::random_walks;

    const ASKS: &[(Pid, Ask)] = &[(0, Ask::Propose(Value(0))), (1, Ask::Propose(Value(1)))];

    /// Walks through runs with more lies than the card's model has: whether all decide one value.
    fn agrees<P: Subject>(liars: &'static [Pid], lies: u8, dropped: Option<&'static str>) -> bool {
        let model = Model {
            failures: Failures::Byzantine { liars, lies },
            time: Time::Asynchronous { timeouts: 1 },
            ..P::CARD.model
        };
        let mut lab = Lab::<P>::new(model, ASKS, dropped, vec![&UNIFORM_CONSENSUS], true);
        random_walks(&mut lab, 7, 400_000).violation.is_none()
    }

    #[test]
    fn whoever_lies_the_byzantine_members_agree() {
        for liars in [&[0], &[1], &[3]] {
            assert!(agrees::<ByzantinePaxos>(liars, 8, None));
        }
        assert!(!agrees::<ByzantinePaxos>(&[0], 5, Some("verification")), "the walks come so far");
        for liars in [&[2], &[5]] {
            assert!(agrees::<FastByzantine>(liars, 4, None));
        }
        assert!(!agrees::<FastByzantine>(&[5], 2, Some("reports")), "the walks come so far");
    }
}
