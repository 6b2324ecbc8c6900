use super::holds;
use lockstep_lab::property::{COLLECTION, STABLE_COLLECTION};
use lockstep_lab::{Event, Fact, Pids, Value};

const DELIVER: Event = Event::Did(Fact::Deliver { from: 0, value: Value(0) });
const COLLECT: Event = Event::Did(Fact::Collected { from: 0, value: Value(0) });

#[test]
fn only_what_all_that_live_have_is_collected() {
    let none = Pids::default();
    assert!(holds(&STABLE_COLLECTION, none, [&[DELIVER, COLLECT], &[DELIVER]]));
    assert!(!holds(&STABLE_COLLECTION, none, [&[DELIVER, COLLECT], &[]]));
    assert!(holds(&STABLE_COLLECTION, Pids::one(1), [&[DELIVER, COLLECT], &[]]));
    assert!(!holds(&STABLE_COLLECTION, Pids::one(0), [&[DELIVER, COLLECT], &[]]));
}

#[test]
fn all_that_live_collect_all_that_they_have() {
    let none = Pids::default();
    assert!(holds(&COLLECTION, none, [&[DELIVER, COLLECT], &[]]));
    assert!(!holds(&COLLECTION, none, [&[DELIVER, COLLECT], &[DELIVER]]));
    assert!(holds(&COLLECTION, Pids::one(1), [&[DELIVER, COLLECT], &[DELIVER]]));
}
