use lockstep_lab::property::{History, PRIMARY_INTEGRITY, PRIMARY_ORDER, PRIMARY_PROGRESS, Property};
use lockstep_lab::{Ask, Event, Fact, Pid, Pids, Value};

fn sends(epoch: u64, value: u8) -> Event {
    Event::Did(Fact::Sent { epoch, value: Value(value) })
}

fn delivers(from: Pid, value: u8) -> Event {
    Event::Did(Fact::Deliver { from, value: Value(value) })
}

/// Whether a property holds of these events of two processes.
fn holds(property: &Property, one: &[Event], other: &[Event]) -> bool {
    let all = Pids::first(2);
    let none = Pids::default();
    let history =
        History { n: 2, events: &[one, other], order: &[], correct: all, crashed: none, liars: none };
    (property.holds)(&history).is_ok()
}

#[test]
fn a_primary_s_order_has_no_gaps() {
    let primary = [sends(1, 0), sends(1, 1)];
    let is_in_order = |other: &[Event]| holds(&PRIMARY_ORDER, &primary, other);
    assert!(is_in_order(&[]));
    assert!(is_in_order(&[delivers(0, 0)]));
    assert!(is_in_order(&[delivers(0, 0), delivers(0, 1)]));
    assert!(!is_in_order(&[delivers(0, 1)]), "a gap");
    assert!(!is_in_order(&[delivers(0, 1), delivers(0, 0)]), "reversed");
    let mut own = primary.to_vec();
    own.push(delivers(0, 1));
    assert!(!holds(&PRIMARY_ORDER, &own, &[]), "the primary itself too");
}

#[test]
fn epochs_follow_each_other() {
    let primary = [sends(1, 0), sends(1, 1)];
    let is_in_order = |other: &[Event]| holds(&PRIMARY_ORDER, &primary, other);
    assert!(is_in_order(&[delivers(0, 0), sends(2, 2), delivers(1, 2)]), "one of an earlier epoch is lost");
    assert!(is_in_order(&[sends(2, 2), delivers(0, 0), delivers(1, 2)]));
    assert!(!is_in_order(&[sends(2, 2), delivers(1, 2), delivers(0, 0)]), "the later epoch first");
    assert!(!is_in_order(&[sends(2, 2), delivers(1, 2), delivers(0, 1)]));
}

#[test]
fn a_primary_knows_what_was_delivered() {
    let knows = |one: &[Event], other: &[Event]| holds(&PRIMARY_INTEGRITY, one, other);
    let delivered = [sends(1, 0), delivers(0, 0)];
    assert!(knows(&delivered, &[]));
    assert!(knows(&delivered, &[delivers(0, 0), sends(2, 1)]));
    assert!(knows(&[sends(1, 0)], &[sends(2, 1), delivers(1, 1)]), "nobody delivers it");
    assert!(!knows(&delivered, &[sends(2, 1)]));
    assert!(!knows(&delivered, &[sends(2, 1), delivers(0, 0)]), "it delivers too late");
    assert!(knows(&[sends(3, 0), delivers(0, 0)], &[sends(2, 1)]), "of a later epoch");
}

#[test]
fn the_lowest_process_is_a_primary_in_the_end_and_does_what_it_is_asked() {
    let primary = |epoch| Event::Did(Fact::Primary { epoch });
    let asked = Event::Asked(Ask::Broadcast(Value(0)));
    let goes_on = |one: &[Event], other: &[Event]| holds(&PRIMARY_PROGRESS, one, other);
    assert!(goes_on(&[primary(1)], &[]));
    assert!(goes_on(&[primary(3)], &[primary(2)]));
    assert!(!goes_on(&[], &[]));
    let done = [asked.clone(), primary(1), sends(1, 0), delivers(0, 0)];
    assert!(goes_on(&done, &[delivers(0, 0)]));
    assert!(!goes_on(&done, &[]), "the other never delivers it");
    assert!(!goes_on(&done[..3], &[delivers(0, 0)]), "the primary never delivers it");
    assert!(!goes_on(&done[..2], &[]), "it never broadcasts");
    let lost = [asked, primary(1), sends(1, 0), primary(3)];
    assert!(goes_on(&lost, &[primary(2)]), "of an earlier epoch");
}
