use super::judge;
use lockstep_lab::property::{
    TRB_AGREEMENT, TRB_INTEGRITY, TRB_SENDER, TRB_TERMINATION, TRB_UNIFORM_AGREEMENT, TRB_VALIDITY,
};
use lockstep_lab::{Ask, Event, Fact, Value};

fn sends(value: u8) -> Event {
    Event::Asked(Ask::Broadcast(Value(value)))
}

fn delivers(value: u8) -> Event {
    Event::Did(Fact::Deliver { from: TRB_SENDER, value: Value(value) })
}

fn failed() -> Event {
    Event::Did(Fact::SenderFailed(TRB_SENDER))
}

#[test]
fn integrity_is_one_thing_that_was_sent() {
    let holds = |second: &[Event]| judge(&TRB_INTEGRITY, &[&[sends(0), delivers(0)], second], 0, 0);
    assert!(holds(&[delivers(0)]) && holds(&[failed()]) && holds(&[]));
    assert!(!holds(&[delivers(1)]), "it was never sent");
    assert!(!holds(&[delivers(0), failed()]), "two things");
}

#[test]
fn a_correct_sender_delivers_its_own() {
    let holds = |sender: &[Event], crashed| judge(&TRB_VALIDITY, &[sender, &[]], crashed, 0);
    assert!(holds(&[sends(0), delivers(0)], 0));
    assert!(!holds(&[sends(0)], 0));
    assert!(!holds(&[sends(0), failed()], 0), "it has not failed");
    assert!(holds(&[sends(0)], 1));
}

#[test]
fn agreement_counts_the_failure_of_the_sender() {
    let events: [&[Event]; 3] = [&[sends(0), delivers(0)], &[failed()], &[failed()]];
    assert!(!judge(&TRB_AGREEMENT, &events, 0, 0));
    assert!(judge(&TRB_AGREEMENT, &events, 1, 0), "it crashed with what it delivered");
    assert!(!judge(&TRB_UNIFORM_AGREEMENT, &events, 1, 0));
    assert!(judge(&TRB_UNIFORM_AGREEMENT, &[&[], &[failed()], &[failed()]], 1, 0));
}

#[test]
fn termination_is_for_all_correct_processes_even_of_a_silent_sender() {
    assert!(judge(&TRB_TERMINATION, &[&[], &[failed()], &[failed()]], 1, 0));
    assert!(!judge(&TRB_TERMINATION, &[&[], &[failed()], &[]], 1, 0));
    assert!(!judge(&TRB_TERMINATION, &[&[], &[], &[]], 1, 0));
    assert!(judge(&TRB_TERMINATION, &[&[], &[failed()], &[]], 0b101, 0));
}
