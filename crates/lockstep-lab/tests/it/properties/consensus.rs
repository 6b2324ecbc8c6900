use super::holds;
use lockstep_lab::property::{AUXILIARIES_REST, PROPOSER_TERMINATION};
use lockstep_lab::{Ask, Event, Fact, Pids, Value};

const PROPOSES: Event = Event::Asked(Ask::Propose(Value(0)));
const DECIDES: Event = Event::Did(Fact::Decide(Value(0)));
const TAKES_PART: Event = Event::Did(Fact::Other(0, 0));

#[test]
fn a_correct_proposer_decides_in_the_end() {
    let none = Pids::default();
    assert!(holds(&PROPOSER_TERMINATION, none, [&[PROPOSES, DECIDES], &[], &[]]));
    assert!(holds(&PROPOSER_TERMINATION, Pids::one(1), [&[PROPOSES, DECIDES], &[PROPOSES], &[]]));
    assert!(!holds(&PROPOSER_TERMINATION, none, [&[PROPOSES, DECIDES], &[PROPOSES], &[]]));
}

#[test]
fn an_auxiliary_takes_part_after_the_failure_of_a_main_process() {
    let events: [&[Event]; 3] = [&[PROPOSES, DECIDES], &[], &[TAKES_PART]];
    assert!(holds(&AUXILIARIES_REST, Pids::one(1), events));
    assert!(!holds(&AUXILIARIES_REST, Pids::default(), events));
    assert!(holds(&AUXILIARIES_REST, Pids::default(), [&[PROPOSES, DECIDES], &[DECIDES], &[]]));
}
