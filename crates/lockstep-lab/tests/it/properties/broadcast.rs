use lockstep_lab::property::{History, RELIABLE_DELIVERY, STUBBORN_DELIVERY};
use lockstep_lab::{Ask, Event, Fact, Pids, Value};

const SEND: Event = Event::Asked(Ask::Send(1, Value(0)));
const OTHER: Event = Event::Asked(Ask::Send(1, Value(1)));
const DELIVER: Event = Event::Did(Fact::Deliver { from: 0, value: Value(0) });
const OF_ITSELF: Event = Event::Did(Fact::Deliver { from: 1, value: Value(0) });

/// Whether each of the promises of links holds of two processes with these events.
fn links(crashed: Pids, events: [&[Event]; 2]) -> [bool; 2] {
    let correct = Pids::first(2).without(crashed);
    let history = History { n: 2, events: &events, order: &[], correct, crashed, liars: Pids::default() };
    [&RELIABLE_DELIVERY, &STUBBORN_DELIVERY].map(|property| (property.holds)(&history).is_ok())
}

#[test]
fn what_is_sent_between_correct_processes_is_delivered_where_it_was_sent_to() {
    let none = Pids::default();
    assert_eq!(links(none, [&[SEND], &[DELIVER]]), [true; 2]);
    assert_eq!(links(none, [&[SEND], &[]]), [false; 2]);
    assert_eq!(links(none, [&[SEND, DELIVER], &[]]), [false; 2], "at another process");
    assert_eq!(links(none, [&[SEND], &[OF_ITSELF]]), [false; 2], "of another sender");
    assert_eq!(links(none, [&[SEND, OTHER], &[DELIVER]]), [false; 2], "another value");
    assert_eq!(links(Pids::one(0), [&[SEND], &[]]), [true; 2], "the sender has crashed");
    assert_eq!(links(Pids::one(1), [&[SEND], &[]]), [true; 2], "the receiver has crashed");
}
