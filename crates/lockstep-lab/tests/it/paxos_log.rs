//! The rules of a log of slots.

use lockstep_lab::cards::paxos::log::{AcceptedLog, LogLearner, adopt, fill_gaps};
use std::collections::BTreeMap;

#[test]
fn a_new_leader_adopts_the_highest_round_of_each_slot_and_fills_gaps() {
    let one: AcceptedLog<char> = BTreeMap::from([(0, (0, Some('a'))), (3, (0, Some('d')))]);
    let other = BTreeMap::from([(0, (4, Some('b')))]);
    let mut log = adopt([&one, &other].into_iter());
    assert_eq!(log, BTreeMap::from([(0, Some('b')), (3, Some('d'))]));
    fill_gaps(&mut log);
    assert_eq!(log, BTreeMap::from([(0, Some('b')), (1, None), (2, None), (3, Some('d'))]));
}

#[test]
fn commands_come_in_the_order_of_slots_once_a_quorum_of_one_round_has_them() {
    let mut learner = LogLearner::default();
    learner.add(0, 0, 1, Some('b'), 2);
    learner.add(1, 0, 1, Some('b'), 2);
    assert_eq!(learner.take_next(), None, "slot 0 is open");
    learner.add(0, 0, 0, Some('a'), 2);
    learner.add(1, 4, 0, Some('c'), 2);
    assert_eq!(learner.take_next(), None, "two rounds");
    learner.add(2, 4, 0, Some('c'), 2);
    assert_eq!([learner.take_next(), learner.take_next()], [Some(Some('c')), Some(Some('b'))]);
    learner.add(0, 7, 0, Some('a'), 1);
    assert_eq!(learner.take_next(), None, "slot 0 is over");
}
