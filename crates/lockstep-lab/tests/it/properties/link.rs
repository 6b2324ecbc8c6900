use lockstep_lab::property::{History, LINK_ORDER};
use lockstep_lab::{Ask, Event, Fact, Pids, Value};

/// Whether the order holds of a link on which these were sent and delivered.
fn holds(sent: &[u8], delivered: &[u8]) -> bool {
    let sent: Vec<_> = sent.iter().map(|value| Event::Asked(Ask::Send(1, Value(*value)))).collect();
    let deliver = |value: &u8| Event::Did(Fact::Deliver { from: 0, value: Value(*value) });
    let delivered: Vec<_> = delivered.iter().map(deliver).collect();
    (LINK_ORDER.holds)(&History {
        n: 2,
        events: &[&sent, &delivered],
        order: &[],
        correct: Pids::first(2),
        crashed: Pids::default(),
        liars: Pids::default(),
    })
    .is_ok()
}

#[test]
fn a_link_delivers_the_beginning_of_what_was_sent() {
    assert!(holds(&[0, 1, 0], &[]) && holds(&[0, 1, 0], &[0, 1]) && holds(&[0, 1, 0], &[0, 1, 0]));
    assert!(!holds(&[0, 1], &[1]), "a gap");
    assert!(!holds(&[0, 1], &[1, 0]), "reversed");
    assert!(!holds(&[0, 1], &[0, 0]), "twice");
    assert!(!holds(&[0], &[0, 1]), "created");
}
