use lockstep_lab::cards::zab::{PrimaryBackup, Zab};
use lockstep_lab::property::{
    NO_DUPLICATION, PRIMARY_INTEGRITY, PRIMARY_ORDER, Property, UNIFORM_TOTAL_ORDER,
};
use lockstep_lab::search::Searched;
use lockstep_lab::{Ask, Detector, Links, Model, Pid, Subject, Value};
use lockstep_testkit::lane::amount;

const MODEL: Model = Model { links: Links::Fifo, ..Model::PLAIN };
const SAFETY: [&Property; 3] = [&NO_DUPLICATION, &UNIFORM_TOTAL_ORDER, &PRIMARY_ORDER];

fn asks() -> [(Pid, Ask); 3] {
    [(0, 0), (0, 1), (1, 2)].map(|(pid, value)| (pid, Ask::Broadcast(Value(value))))
}

/// Walks through runs with three changes of leaders that are wrong, and a crash: whether all is safe.
fn is_safe<P: Subject>(more: Option<&'static Property>, steps: u64) -> bool {
    let model = MODEL.detector(Detector::Leader { mistakes: 3 }).stop(1);
    let properties: Vec<_> = SAFETY.into_iter().chain(more).collect();
    let searched = Searched { model, asks: &asks(), dropped: None, properties: &properties };
    searched.lost_on_walks::<P>(7, steps).is_none()
}

#[test]
fn two_transactions_of_a_primary_that_crashes_stay_in_order() {
    let model = MODEL.detector(Detector::Leader { mistakes: 0 }).stop(1);
    let searched = Searched { model, asks: &asks(), dropped: None, properties: Zab::CARD.properties };
    assert_eq!(searched.lost::<Zab>(100_000), None);
}

#[test]
fn primaries_that_follow_each_other_stay_in_order() {
    // Those that find nothing are fewer on each change.
    let steps = amount(30_000, 300_000);
    assert!(is_safe::<Zab>(Some(&PRIMARY_INTEGRITY), steps));
    assert!(is_safe::<PrimaryBackup>(None, steps));
    assert!(!is_safe::<PrimaryBackup>(Some(&PRIMARY_INTEGRITY), 300_000), "the walks come so far");
}
