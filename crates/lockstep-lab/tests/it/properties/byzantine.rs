use super::judge;
use lockstep_lab::property::{BYZANTINE_CONSISTENCY, BYZANTINE_TOTALITY};
use lockstep_lab::{Event, Fact, Value};

fn delivers(value: u8) -> Event {
    Event::Did(Fact::Deliver { from: 0, value: Value(value) })
}

#[test]
fn totality_is_all_or_nobody_and_says_nothing_of_which_message() {
    let holds = |third: &[Event]| judge(&BYZANTINE_TOTALITY, &[&[], &[delivers(0)], third], 0, 1);
    assert!(holds(&[delivers(0)]) && holds(&[delivers(1)]));
    assert!(!holds(&[]));
    assert!(judge(&BYZANTINE_TOTALITY, &[&[], &[], &[]], 0, 1));
    assert!(judge(&BYZANTINE_TOTALITY, &[&[], &[delivers(0)], &[]], 0b100, 1), "it crashed");
}

#[test]
fn consistency_is_of_which_message_and_not_of_whether() {
    let holds = |third: &[Event]| judge(&BYZANTINE_CONSISTENCY, &[&[], &[delivers(0)], third], 0, 1);
    assert!(holds(&[delivers(0)]) && holds(&[]));
    assert!(!holds(&[delivers(1)]));
}
