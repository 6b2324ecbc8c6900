use super::holds;
use lockstep_lab::property::{ONE_RESULT, RESULT_TERMINATION, RESULT_VALIDITY, UNIFORM_ONE_RESULT};
use lockstep_lab::{Ask, Event, Fact, Pid, Pids, Value};

const ASK: Event = Event::Asked(Ask::Broadcast(Value(0)));

/// A result of the request that this process executed.
fn result(coordinator: Pid) -> Event {
    Event::Did(Fact::Deliver { from: coordinator, value: Value(0) })
}

#[test]
fn two_executions_are_two_results() {
    let [first, second] = [[result(0)], [result(1)]];
    for property in [&ONE_RESULT, &UNIFORM_ONE_RESULT] {
        assert!(holds(property, Pids::default(), [&first, &first, &[]]));
        assert!(!holds(property, Pids::default(), [&first, &second, &[]]));
        assert!(!holds(property, Pids::default(), [&[result(0), result(1)], &[], &[]]));
    }
    assert!(holds(&ONE_RESULT, Pids::one(0), [&first, &second, &second]));
    assert!(!holds(&UNIFORM_ONE_RESULT, Pids::one(0), [&first, &second, &second]));
}

#[test]
fn all_have_a_result_of_what_was_asked() {
    let asked = [ASK, result(0)];
    let one = [result(0)];
    assert!(holds(&RESULT_VALIDITY, Pids::default(), [&asked, &one, &one]));
    assert!(!holds(&RESULT_VALIDITY, Pids::default(), [&one, &[], &[]]));
    assert!(holds(&RESULT_TERMINATION, Pids::default(), [&asked, &one, &one]));
    assert!(!holds(&RESULT_TERMINATION, Pids::default(), [&asked, &one, &[]]));
    assert!(!holds(&RESULT_TERMINATION, Pids::one(0), [&asked, &one, &[]]), "p2 has a result");
    assert!(holds(&RESULT_TERMINATION, Pids::one(0), [&[ASK], &[], &[]]), "the client failed");
}
