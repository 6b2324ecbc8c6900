use lockstep_lab::property::{
    History, LINEARIZABLE, Property, REGISTER_TERMINATION, REGULAR, REPEATABLE_READ, SURVIVORS_LINEARIZABLE,
};
use lockstep_lab::{Ask, Event, Fact, Pid, Pids, Value};

/// Judges a run of three processes: its events in real time.
fn judge(property: &Property, run: &[(Pid, Event)]) -> Result<(), String> {
    judge_with(property, Pids::default(), run)
}

/// As [`judge`], where some have crashed.
fn judge_with(property: &Property, crashed: Pids, run: &[(Pid, Event)]) -> Result<(), String> {
    let of = |pid: Pid| -> Vec<Event> {
        run.iter().filter(|(by, _)| *by == pid).map(|(_, event)| event.clone()).collect()
    };
    let events = [of(0), of(1), of(2)];
    let events: Vec<&[Event]> = events.iter().map(Vec::as_slice).collect();
    let order: Vec<Pid> = run.iter().map(|(pid, _)| *pid).collect();
    (property.holds)(&History {
        n: 3,
        events: &events,
        order: &order,
        correct: Pids::first(3).without(crashed),
        crashed,
        liars: Pids::default(),
    })
}

const WRITE: Event = Event::Asked(Ask::Write(Value(1)));
const WRITTEN: Event = Event::Did(Fact::Written);
const READ: Event = Event::Asked(Ask::Read);

fn returned(value: u8) -> Event {
    Event::Did(Fact::Returned(Value(value)))
}

#[test]
fn new_then_old_is_regular_and_not_linearizable() {
    let run = [(0, WRITE), (1, READ), (1, returned(1)), (2, READ), (2, returned(0)), (0, WRITTEN)];
    assert_eq!(judge(&REGULAR, &run), Ok(()));
    assert!(judge(&LINEARIZABLE, &run).is_err());
    let other = [(0, WRITE), (1, READ), (1, returned(0)), (2, READ), (2, returned(1)), (0, WRITTEN)];
    assert_eq!(judge(&LINEARIZABLE, &other), Ok(()));
}

#[test]
fn an_old_value_after_a_write_is_neither() {
    let run = [(0, WRITE), (0, WRITTEN), (1, READ), (1, returned(0))];
    assert!(judge(&REGULAR, &run).is_err());
    assert!(judge(&LINEARIZABLE, &run).is_err());
    let unwritten = [(1, READ), (1, returned(2))];
    assert!(judge(&REGULAR, &unwritten).is_err());
}

#[test]
fn a_write_of_the_dead_may_be_lost_but_not_seen_and_then_lost() {
    let lost = [(0, WRITE), (0, WRITTEN), (1, READ), (1, returned(0))];
    let seen = [(0, WRITE), (0, WRITTEN), (1, READ), (1, returned(1)), (2, READ), (2, returned(0))];
    assert!(judge_with(&LINEARIZABLE, Pids::one(0), &lost).is_err());
    assert_eq!(judge_with(&SURVIVORS_LINEARIZABLE, Pids::one(0), &lost), Ok(()));
    assert!(judge(&SURVIVORS_LINEARIZABLE, &lost).is_err(), "p1 lives");
    assert!(judge_with(&SURVIVORS_LINEARIZABLE, Pids::one(0), &seen).is_err());
    assert_eq!(judge_with(&SURVIVORS_LINEARIZABLE, Pids(0b11), &seen), Ok(()), "p2 took it with it");
}

#[test]
fn reads_under_one_lock_return_one_value() {
    let first = [(1, READ), (1, READ), (1, returned(0))];
    let run = |more: &[(Pid, Event)]| judge(&REPEATABLE_READ, &[&first, more].concat());
    assert_eq!(run(&[(1, returned(0))]), Ok(()));
    assert!(run(&[(1, returned(1))]).is_err());
    let released =
        [(1, READ), (1, Event::Asked(Ask::Release)), (1, READ), (1, returned(0)), (1, returned(1))];
    assert_eq!(judge(&REPEATABLE_READ, &released), Ok(()));
    assert_eq!(judge(&REPEATABLE_READ, &[(1, READ), (1, returned(0)), (2, READ), (2, returned(1))]), Ok(()));
}

#[test]
fn an_operation_without_an_end_is_seen() {
    assert!(judge(&REGISTER_TERMINATION, &[(0, WRITE)]).is_err());
    assert_eq!(judge(&REGISTER_TERMINATION, &[(0, WRITE), (0, WRITTEN)]), Ok(()));
}
