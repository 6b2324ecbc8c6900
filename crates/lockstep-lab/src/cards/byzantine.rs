//! Byzantine broadcasts.

mod consistent_echo;
mod consistent_signed;
mod reliable_bracha;

pub use consistent_echo::ConsistentEcho;
pub use consistent_signed::{ConsistentSigned, SignedEchoMessage};
pub use reliable_bracha::{BrachaMessage, ReliableBracha};

use crate::check::Entry;

/// Its cards, in the order of the tour.
pub(super) const ENTRIES: &[Entry] =
    &[Entry::of::<ConsistentEcho>(), Entry::of::<ConsistentSigned>(), Entry::of::<ReliableBracha>()];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cards::searches::Searched;
    use crate::property::{
        BYZANTINE_CONSISTENCY, BYZANTINE_TOTALITY, NO_CREATION, NO_DUPLICATION, Property, VALIDITY,
    };
    use crate::{Ask, Failures, Model, Subject, Value};

    /// The cards have a lying sender. Here the sender is honest and the last process lies: validity, and no
    /// message of the sender that it never sent.
    fn holds_of_an_honest_sender<P: Subject>(lies: u8) {
        let failures = Failures::Byzantine { liars: &[3], lies };
        let model = Model { failures, ..Model::PLAIN.of(4, 1) };
        let properties: &[&Property] =
            &[&VALIDITY, &NO_CREATION, &NO_DUPLICATION, &BYZANTINE_CONSISTENCY, &BYZANTINE_TOTALITY];
        let asks = &[(0, Ask::Broadcast(Value(0)))];
        let searched = Searched { model, asks, dropped: None, properties };
        assert_eq!(searched.lost::<P>(3_000_000), None, "{}", P::CARD.name);
    }

    #[test]
    fn what_an_honest_sender_broadcasts_is_delivered_whatever_another_process_says() {
        holds_of_an_honest_sender::<ConsistentEcho>(3);
        holds_of_an_honest_sender::<ConsistentSigned>(3);
        holds_of_an_honest_sender::<ReliableBracha>(2);
    }
}
