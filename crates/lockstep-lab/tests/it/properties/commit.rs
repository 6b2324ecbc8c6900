use super::holds;
use lockstep_lab::property::{COMMIT_AGREEMENT, COMMIT_INTEGRITY, COMMIT_TERMINATION, COMMIT_VALIDITY};
use lockstep_lab::{Ask, Event, Fact, Pids};

const YES: Event = Event::Asked(Ask::Vote(true));
const NO: Event = Event::Asked(Ask::Vote(false));
const COMMIT: Event = Event::Did(Fact::Outcome(true));
const ABORT: Event = Event::Did(Fact::Outcome(false));

#[test]
fn nobody_decides_twice_or_differently() {
    let none = Pids::default();
    assert!(holds(&COMMIT_INTEGRITY, none, [&[YES, COMMIT], &[YES, COMMIT]]));
    assert!(!holds(&COMMIT_INTEGRITY, none, [&[YES, COMMIT, COMMIT], &[YES]]));
    assert!(holds(&COMMIT_AGREEMENT, none, [&[YES, COMMIT], &[YES, COMMIT]]));
    assert!(!holds(&COMMIT_AGREEMENT, Pids::one(0), [&[YES, COMMIT], &[NO, ABORT]]));
}

#[test]
fn an_outcome_needs_its_votes_or_a_failure() {
    let none = Pids::default();
    assert!(holds(&COMMIT_VALIDITY, none, [&[YES, COMMIT], &[YES]]));
    assert!(!holds(&COMMIT_VALIDITY, none, [&[YES, COMMIT], &[]]));
    assert!(!holds(&COMMIT_VALIDITY, none, [&[YES, ABORT], &[YES]]));
    assert!(holds(&COMMIT_VALIDITY, none, [&[YES, ABORT], &[NO]]));
    assert!(holds(&COMMIT_VALIDITY, Pids::one(1), [&[YES, ABORT], &[YES]]));
}

#[test]
fn a_correct_process_decides_in_the_end() {
    assert!(holds(&COMMIT_TERMINATION, Pids::one(1), [&[YES, ABORT], &[YES]]));
    assert!(!holds(&COMMIT_TERMINATION, Pids::default(), [&[YES, COMMIT], &[YES]]));
}
