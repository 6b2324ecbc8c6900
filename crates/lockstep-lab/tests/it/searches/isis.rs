use lockstep_lab::cards::isis::{
    Abcast, Cbcast, CoordinatorCohort, FlushStore, Gbcast, RegisteredRead, ReplicatedData, UniformAbcast,
    ViewManager,
};
use lockstep_lab::property::{
    AGREEMENT, CAUSAL_ORDER, COLLECTION, NO_DUPLICATION, NOTHING_AFTER_FAILURE, ONE_RESULT, Property,
    REGISTER_TERMINATION, RELIABLE_DELIVERY, REPEATABLE_READ, RESULT_TERMINATION, RESULT_VALIDITY,
    STABLE_COLLECTION, SURVIVORS_LINEARIZABLE, TOTAL_ORDER, UNIFORM_AGREEMENT, UNIFORM_TOTAL_ORDER,
    UNIFORM_VIEW_AGREEMENT, VALIDITY, VIEW_ORDER, VIEW_SYNCHRONY_OF_CORRECT,
};
use lockstep_lab::search::Searched;
use lockstep_lab::{Ask, Detector, Failures, Model, Pid, Subject, Value};
use lockstep_testkit::lane::amount;

/// Steps of walks in a space that is too large to be explored whole.
const WALK_STEPS: u64 = 300_000;
const WALKS_SEED: u64 = 7;
const STATES_MAX: u64 = 300_000;

/// What walks among four processes, of which two may fail, find against these properties.
fn lost_among_four<P: Subject>(
    asks: &[(Pid, Ask)],
    dropped: Option<&'static str>,
    properties: &[&'static Property],
    steps: u64,
) -> Option<String> {
    let failures = Failures::Stop { crashes: 2, filter: true };
    let model = Model { failures, ..P::CARD.model.of(4, 2) };
    Searched { model, asks, dropped, properties }.lost_on_walks::<P>(WALKS_SEED, steps)
}

/// Walks find nothing: fewer of them on each change.
fn holds_among_four<P: Subject>(asks: &[(Pid, Ask)], properties: &[&'static Property]) {
    let steps = amount(WALK_STEPS / 10, WALK_STEPS);
    assert_eq!(lost_among_four::<P>(asks, None, properties, steps), None);
}

#[test]
fn two_processes_may_take_over_an_abcast_if_each_recipient_answers_one() {
    let asks = [(0, Ask::Broadcast(Value(0))), (3, Ask::Broadcast(Value(1)))];
    let properties: [&Property; 3] = [&VALIDITY, &AGREEMENT, &TOTAL_ORDER];
    holds_among_four::<Abcast<Value>>(&asks, &properties);
    let found = lost_among_four::<Abcast<Value>>(&asks, Some("one coordinator"), &properties, WALK_STEPS);
    assert!(found.is_some());
}

#[test]
fn the_additional_phase_makes_an_abcast_uniform() {
    let asks = [(0, Ask::Broadcast(Value(0))), (3, Ask::Broadcast(Value(1)))];
    let properties: [&Property; 3] = [&VALIDITY, &UNIFORM_AGREEMENT, &UNIFORM_TOTAL_ORDER];
    holds_among_four::<UniformAbcast<Value>>(&asks, &properties);
    assert!(lost_among_four::<Abcast<Value>>(&asks, None, &properties, WALK_STEPS).is_some());
}

#[test]
fn a_cbcast_may_travel_over_processes_that_it_is_not_for() {
    let asks = [(0, Ask::Send(2, Value(0))), (0, Ask::Send(1, Value(1))), (1, Ask::Send(2, Value(2)))];
    let properties: [&Property; 3] = [&RELIABLE_DELIVERY, &NO_DUPLICATION, &CAUSAL_ORDER];
    let model = Cbcast::CARD.model;
    let searched = Searched { model, asks: &asks, dropped: None, properties: &properties };
    assert_eq!(searched.lost::<Cbcast<Value>>(STATES_MAX), None);
}

#[test]
fn a_failure_is_delivered_once_and_last_although_two_of_four_fail() {
    let broadcasts = [(3, 0), (3, 13), (2, 1), (0, 14)].map(|(pid, of)| (pid, Ask::Broadcast(Value(of))));
    let properties: [&Property; 7] = [
        &VALIDITY,
        &AGREEMENT,
        &NO_DUPLICATION,
        &NOTHING_AFTER_FAILURE,
        &VIEW_SYNCHRONY_OF_CORRECT,
        &UNIFORM_VIEW_AGREEMENT,
        &VIEW_ORDER,
    ];
    holds_among_four::<Gbcast>(&broadcasts, &properties);
    let abcasts = [(3, 13), (2, 14), (0, 15)].map(|(pid, of)| (pid, Ask::Broadcast(Value(of))));
    let total: [&Property; 1] = [&TOTAL_ORDER];
    holds_among_four::<Gbcast>(&abcasts, &total);
}

#[test]
fn a_majority_is_enough_for_one_group_whatever_is_suspected() {
    for &(n, mistakes) in amount([(3, 4)].as_slice(), &[(3, 4), (4, 3)]) {
        let model = Model::PLAIN.of(n, 1).detector(Detector::EventuallyPerfect { mistakes });
        let properties: &[&Property] = &[&UNIFORM_VIEW_AGREEMENT, &VIEW_ORDER];
        let searched = Searched { model, asks: &[], dropped: None, properties };
        assert_eq!(searched.lost::<ViewManager>(STATES_MAX), None);
    }
}

#[test]
fn two_of_four_may_fail() {
    let properties = [&ONE_RESULT, &RESULT_VALIDITY, &NO_DUPLICATION, &RESULT_TERMINATION];
    let asks = [(3, Ask::Broadcast(Value(0))), (2, Ask::Broadcast(Value(1)))];
    holds_among_four::<CoordinatorCohort>(&asks, &properties);
}

#[test]
fn two_of_four_may_fail_during_a_flush() {
    const ONE: &[(Pid, Ask)] = &[(0, Ask::Broadcast(Value(0)))];
    const TWO: &[(Pid, Ask)] = &[(0, Ask::Broadcast(Value(0))), (1, Ask::Broadcast(Value(1)))];
    let properties: [&Property; 6] =
        [&VALIDITY, &NO_DUPLICATION, &AGREEMENT, &STABLE_COLLECTION, &COLLECTION, &NOTHING_AFTER_FAILURE];
    holds_among_four::<FlushStore<Value>>(ONE, &properties);
    holds_among_four::<FlushStore<Value>>(TWO, &properties);
}

mod replicated_data {
    use super::*;

    #[test]
    fn two_of_four_copies_may_fail() {
        let asks = [
            (0, Ask::Write(Value(1))),
            (1, Ask::Write(Value(2))),
            (2, Ask::Read),
            (2, Ask::Read),
            (3, Ask::Read),
        ];
        let properties = [&SURVIVORS_LINEARIZABLE, &REGISTER_TERMINATION];
        holds_among_four::<ReplicatedData>(&asks, &properties);
    }
}

mod registered_read {
    use super::*;

    #[test]
    fn two_of_four_copies_may_fail() {
        let asks = [
            (2, Ask::Write(Value(1))),
            (3, Ask::Read),
            (3, Ask::Read),
            (3, Ask::Release),
            (1, Ask::Read),
            (1, Ask::Release),
        ];
        let properties = [&REPEATABLE_READ, &REGISTER_TERMINATION];
        holds_among_four::<RegisteredRead>(&asks, &properties);
    }
}
