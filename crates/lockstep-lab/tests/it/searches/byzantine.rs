use lockstep_lab::cards::byzantine::{ConsistentEcho, ConsistentSigned, ReliableBracha};
use lockstep_lab::property::{
    BYZANTINE_CONSISTENCY, BYZANTINE_TOTALITY, NO_CREATION, NO_DUPLICATION, Property, VALIDITY,
};
use lockstep_lab::search::Searched;
use lockstep_lab::{Ask, Failures, Model, Subject, Value};

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
