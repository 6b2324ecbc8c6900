//! The past that messages of causal broadcasts carry, by its price.

use lockstep_lab::cards::ALL;
use lockstep_lab::timed::{Cost, Requests, Timing};
use lockstep_lab::{Ask, Pid, Value};

/// Broadcasts of p1.
const BROADCASTS: &[(Pid, Ask)] = &[
    (0, Ask::Broadcast(Value(0))),
    (0, Ask::Broadcast(Value(1))),
    (0, Ask::Broadcast(Value(2))),
    (0, Ask::Broadcast(Value(3))),
    (0, Ask::Broadcast(Value(4))),
    (0, Ask::Broadcast(Value(5))),
    (0, Ask::Broadcast(Value(6))),
    (0, Ask::Broadcast(Value(7))),
];

/// The datagrams and the bytes that each broadcast adds to those before it.
fn added(name: &str) -> Vec<(u64, u64)> {
    let entry = ALL.get(name).expect("a card");
    let cost = |count| -> Cost {
        let requests = Requests::InTurn(&BROADCASTS[..count]);
        entry.timed(&Timing { requests, ..Timing::of_card(entry.card) }).expect("it has timed runs").cost
    };
    let costs: Vec<Cost> = (0..=BROADCASTS.len()).map(cost).collect();
    let added =
        |two: &[Cost]| (two[1].multicast - two[0].multicast, two[1].multicast_bytes - two[0].multicast_bytes);
    costs.windows(2).map(added).collect()
}

#[test]
fn the_past_grows_by_each_message_unless_it_is_collected() {
    let growing = added("causal-no-wait");
    let has_one_more = |two: &[(u64, u64)]| two[1] == (two[0].0, two[0].1 + 2 * two[0].0);
    assert!(growing.windows(2).all(has_one_more), "a sender and a value in each datagram: {growing:?}");
    let collected = added("causal-no-wait-collection");
    assert!(collected.windows(2).all(|two| two[1] == two[0]), "{collected:?}");
}
