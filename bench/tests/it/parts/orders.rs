//! Answers to orders.

use lockstep_bench::day::orders::{Orders, PREFIX};

#[test]
fn an_answer_that_comes_twice_or_not_at_all_is_found() {
    let answer = |number: u64| [PREFIX, &number.to_le_bytes()].concat();
    let mut orders = Orders { sent: 3, logins: 1, ..Orders::default() };
    [0, 1].iter().for_each(|&number| orders.on_message(&answer(number)));
    assert_eq!(orders.wrongs(), ["2 of 3 orders were answered"]);
    orders.on_message(&answer(2));
    assert!(orders.wrongs().is_empty());
    orders.on_message(&answer(2));
    orders.on_message(&7_u64.to_le_bytes());
    orders.on_message(&[PREFIX, b"?"].concat());
    assert_eq!(orders.wrongs(), ["2 answers to orders came twice or out of order"]);
    let cut = Orders { sent: 3, answered: 2, logins: 2, ..Orders::default() };
    assert!(cut.wrongs().is_empty(), "an order that was under way may have no answer");
}
