//! What a reader checks.

use lockstep_bench::check::{Checker, Faults, MARK_EVERY, Optimist, SIZE_MIN, compare, write_message};
use lockstep_client::Message;
use lockstep_wire::Seq;

fn payload(number: u64) -> [u8; SIZE_MIN] {
    let mut payload = [0; SIZE_MIN];
    write_message(&mut payload, number, 0);
    payload
}

fn delivered(seq: Seq, number: u64, payload: &[u8]) -> Message<'_> {
    Message { seq, publisher: 1, publisher_seq: number + 1, destination: 0, timestamp: 0, payload }
}

fn checker(numbers: &[u64]) -> Checker {
    let mut checker = Checker::default();
    (1..).zip(numbers).for_each(|(seq, number)| checker.take(&delivered(seq, *number, &payload(*number))));
    checker
}

#[test]
fn what_is_lost_doubled_or_out_of_order_is_counted() {
    assert_eq!(checker(&[0, 1, 2]).faults(), Faults::default());
    assert_eq!(checker(&[0, 2]).faults(), Faults { missing: 1, ..Faults::default() });
    assert_eq!(checker(&[0, 1, 1]).faults(), Faults { duplicated: 1, ..Faults::default() });
    assert_eq!(checker(&[0, 2, 1]).faults(), Faults { reordered: 1, ..Faults::default() });
}

#[test]
fn what_an_optimist_was_told_is_judged_when_it_is_final_and_not_before() {
    let mut reader = Optimist::default();
    for (seq, number) in [(1, 0), (2, 1), (3, 2)] {
        reader.on_message(&delivered(seq, number, &payload(number))).expect("in order");
    }
    reader.on_committed(2);
    reader.on_retract(2);
    assert_eq!((reader.retracted(), reader.checker.messages()), (2, 1));
    reader.on_message(&delivered(3, 1, &payload(1))).expect("behind what is left");
    assert!(reader.on_message(&delivered(3, 2, &payload(2))).is_err(), "told twice at one place");
    reader.on_committed(4);
    assert_eq!((reader.checker.messages(), reader.checker.faults()), (2, Faults::default()));
}

#[test]
fn streams_are_compared_as_far_as_both_reach_and_a_difference_is_found() {
    let numbers: Vec<u64> = (0..2 * MARK_EVERY).collect();
    let mut changed = numbers.clone();
    changed.swap(3, 4);
    assert_eq!(compare(&mut checker(&numbers), &mut checker(&numbers[..600]), 0), Ok(MARK_EVERY));
    assert!(compare(&mut checker(&numbers), &mut checker(&changed), 0).is_err());
}
