use lockstep_lab::property::{
    CAUSAL_ORDER, CONFLICT_ORDER, GAPLESS_TOTAL_ORDER, History, PAIRWISE_TOTAL_ORDER, TOTAL_ORDER,
    UNIFORM_TOTAL_ORDER,
};
use lockstep_lab::{Ask, Event, Fact, Pids, Value};

/// Whether each of the three definitions of total order holds of two processes that deliver these
/// messages and fail: the strong one, the gapless one, the pairwise one.
fn definitions(one: &[u8], other: &[u8]) -> [bool; 3] {
    let deliver = |value: &u8| Event::Did(Fact::Deliver { from: 0, value: Value(*value) });
    let events: [Vec<Event>; 2] = [one, other].map(|values| values.iter().map(deliver).collect());
    let events: Vec<&[Event]> = events.iter().map(Vec::as_slice).collect();
    let history = History {
        n: 2,
        events: &events,
        order: &[],
        correct: Pids::default(),
        crashed: Pids::first(2),
        liars: Pids::default(),
    };
    [&UNIFORM_TOTAL_ORDER, &GAPLESS_TOTAL_ORDER, &PAIRWISE_TOTAL_ORDER]
        .map(|property| (property.holds)(&history).is_ok())
}

/// Whether total order holds of two processes that deliver these messages, of which `crashed` have
/// crashed.
fn has_order(crashed: Pids, one: &[u8], other: &[u8]) -> bool {
    let deliver = |value: &u8| Event::Did(Fact::Deliver { from: 0, value: Value(*value) });
    let events: [Vec<Event>; 2] = [one, other].map(|values| values.iter().map(deliver).collect());
    let events: Vec<&[Event]> = events.iter().map(Vec::as_slice).collect();
    let correct = Pids::first(2).without(crashed);
    let history = History { n: 2, events: &events, order: &[], correct, crashed, liars: Pids::default() };
    (TOTAL_ORDER.holds)(&history).is_ok()
}

#[test]
fn total_order_is_an_order_without_gaps_of_correct_processes_alone() {
    let none = Pids::default();
    assert!(has_order(none, &[0, 1], &[0, 1]));
    assert!(has_order(none, &[0, 1], &[0]), "one stops earlier");
    assert!(!has_order(none, &[0, 1], &[1, 0]), "an order reversed");
    assert!(!has_order(none, &[0, 1, 2], &[0, 2]), "a gap");
    assert!(has_order(Pids::one(1), &[0, 1], &[1, 0]), "a process that has crashed is promised nothing");
}

#[test]
fn causal_order_is_of_the_messages_for_a_process() {
    let send = |to, value| Event::Asked(Ask::Send(to, Value(value)));
    let deliver = |from, value| Event::Did(Fact::Deliver { from, value: Value(value) });
    // p1 sends a to p3 and b to p2, which then sends c to p3.
    let is_causal = |last: &[Event]| {
        let events: [&[Event]; 3] = [&[send(2, 0), send(1, 1)], &[deliver(0, 1), send(2, 2)], last];
        let (correct, none) = (Pids::first(3), Pids::default());
        let history = History { n: 3, events: &events, order: &[], correct, crashed: none, liars: none };
        (CAUSAL_ORDER.holds)(&history).is_ok()
    };
    assert!(is_causal(&[deliver(0, 0), deliver(1, 2)]), "b is not for p3");
    assert!(!is_causal(&[deliver(1, 2)]) && !is_causal(&[deliver(1, 2), deliver(0, 0)]));
}

#[test]
fn each_definition_of_total_order_is_weaker_than_the_one_before() {
    for one in [[0, 1], [1, 0]] {
        assert_eq!(definitions(&[0, 1], &one), [one == [0, 1]; 3]);
        assert_eq!(definitions(&one, &[0, 1]), [one == [0, 1]; 3]);
    }
    assert_eq!(definitions(&[0, 1], &[0]), [true; 3], "one stops earlier");
    assert_eq!(definitions(&[0], &[1]), [false, true, true], "two first messages");
    assert_eq!(definitions(&[0, 1], &[1]), [false, false, true], "a gap");
    assert_eq!(definitions(&[1], &[0, 1]), [false, false, true], "a gap at the other");
    assert_eq!(definitions(&[0, 1, 2], &[0, 2, 1]), [false; 3], "an order reversed");
}

#[test]
fn commands_that_commute_have_no_order_and_those_that_conflict_have_one() {
    let holds = |one: &[u8], other: &[u8]| {
        let deliver = |value: &u8| Event::Did(Fact::Deliver { from: 0, value: Value(*value) });
        let events: [Vec<Event>; 2] = [one, other].map(|values| values.iter().map(deliver).collect());
        let events: Vec<&[Event]> = events.iter().map(Vec::as_slice).collect();
        let (correct, none) = (Pids::first(2), Pids::default());
        let history = History { n: 2, events: &events, order: &[], correct, crashed: none, liars: none };
        (CONFLICT_ORDER.holds)(&history).is_ok()
    };
    assert!(holds(&[0, 1, 2], &[2, 0, 1]));
    assert!(holds(&[0, 2], &[2]));
    assert!(!holds(&[0, 1, 2], &[2, 1, 0]));
    assert!(!holds(&[0], &[1, 0]));
}
