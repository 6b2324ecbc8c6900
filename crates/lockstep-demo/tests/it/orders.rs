//! The recorded order flow: its messages are counted, checked and repeated, and no bytes make it panic.

use flate2::{Compression, write::GzEncoder};
use lockstep_demo::orders::{Order, OrderFlow, OrderKind, RECORDED};
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::io::{Read, Write};

fn day() -> Vec<u8> {
    let mut day = Vec::new();
    flate2::read::GzDecoder::new(RECORDED).read_to_end(&mut day).expect("the recorded day");
    day
}

fn pack(day: &[u8]) -> Vec<u8> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(day).expect("memory takes all");
    packed.finish().expect("memory takes all")
}

fn orders(flow: &OrderFlow) -> impl Iterator<Item = Order> + '_ {
    (0..flow.len() as u64).map(|index| flow.message(index))
}

#[test]
fn the_recorded_day_has_the_orders_that_its_readme_counts() {
    let flow = OrderFlow::recorded().expect("the recorded day");
    let count = |kind: OrderKind| orders(&flow).filter(|order| order.kind == kind as u8).count();
    let kinds = [OrderKind::New, OrderKind::Cancel, OrderKind::Reduce, OrderKind::Replace];
    assert_eq!(kinds.map(count), [5_000, 1_745, 45, 12]);
    assert_eq!(flow.len(), 6_802);
    let symbols: BTreeSet<_> = orders(&flow).map(|order| order.instrument).collect();
    assert_eq!(symbols, [*b"ALC     ", *b"BOB     ", *b"CHAR    "].into());
}

#[test]
fn every_order_says_all_of_its_kind_and_keeps_its_instrument() {
    let flow = OrderFlow::recorded().expect("the recorded day");
    let mut instruments = std::collections::BTreeMap::new();
    let mut known = 0;
    for order in orders(&flow) {
        assert_eq!(order.side != 0, order.kind == OrderKind::New as u8, "{order:?}");
        assert_eq!(order.new_order_id != 0, order.kind == OrderKind::Replace as u8, "{order:?}");
        assert_eq!(order.quantity == 0, order.kind == OrderKind::Cancel as u8, "{order:?}");
        assert_eq!(order.price != 0, matches!(order.kind, 1 | 4), "{order:?}");
        // The day is a sample: some orders were entered in a part that is not in it.
        if let Some(&instrument) = instruments.get(&order.order_id) {
            assert_eq!(order.instrument, instrument, "{order:?}");
            known += 1;
        }
        instruments.insert(order.order_id, order.instrument);
    }
    assert!(known > 100, "{known} orders refer to one that was entered before");
}

#[test]
fn an_order_and_all_that_follows_on_it_come_from_one_publisher() {
    let flow = OrderFlow::recorded().expect("the recorded day");
    let mut sent = [0u64; 2];
    let mut by_instrument = std::collections::BTreeMap::new();
    for index in 0..flow.len() as u64 {
        let publisher = flow.publisher(index, 2);
        sent[usize::from(publisher)] += 1;
        assert_eq!(*by_instrument.entry(flow.message(index).instrument).or_insert(publisher), publisher);
    }
    assert!(sent[0] > 1_000 && sent[1] > 1_000, "both have work: {sent:?}");
}

#[test]
fn a_repetition_has_the_same_orders_under_other_ids() {
    let flow = OrderFlow::recorded().expect("the recorded day");
    let count = flow.len() as u64;
    let ids: BTreeSet<_> = (0..count).map(|index| flow.message(index).order_id).collect();
    for index in (0..count).step_by(101) {
        let (first, again) = (flow.message(index), flow.message(index + count));
        assert!(!ids.contains(&again.order_id));
        let same = Order { order_id: first.order_id, new_order_id: first.new_order_id, ..again };
        assert_eq!(same, first);
    }
}

#[test]
fn a_day_that_is_cut_is_refused_wherever_it_is_cut_inside_a_message() {
    let day = day();
    let (mut accepted, mut orders) = (vec![0], 0);
    for end in 1..4_000 {
        match OrderFlow::read(&day[..end]) {
            // Between two messages: a shorter day, and never with fewer orders than a shorter one.
            Ok(flow) => {
                assert!(flow.len() >= orders && end - accepted[accepted.len() - 1] >= 14, "cut at {end}");
                orders = flow.len();
                accepted.push(end);
            }
            Err(error) => assert!(error.offset <= end && !error.why.is_empty(), "{error}"),
        }
    }
    assert!(accepted.len() > 50, "{} cuts are between messages", accepted.len());
    assert!(OrderFlow::unpack(&RECORDED[..RECORDED.len() - 9]).is_err(), "a cut file is no day");
}

#[test]
fn each_kind_of_damage_is_named() {
    let broken = |at: usize, byte: u8| {
        let mut day = day();
        day[at] = byte;
        OrderFlow::read(&day).expect_err("damaged").to_string()
    };
    let day = day();
    let add = (0..day.len()).find(|&at| day[at] == b'A' && day[at - 2..at] == [0, 0]).expect("an add");
    assert!(broken(0, 1).contains("two zeros"));
    assert!(broken(2, b'z').contains("'z' is no type"));
    assert!(broken(add + 19, b'x').contains("'x' is no side"));
    assert!(broken(add + 2, 0xff).contains("was not announced"));
    assert!(broken(add + 11, 0xff).contains("order id"));
    assert!(OrderFlow::read(&[]).is_err() && OrderFlow::unpack(b"no gzip").is_err());
}

#[test]
fn a_payload_is_an_order_if_its_length_and_kind_are_right() {
    let order = OrderFlow::recorded().expect("the recorded day").message(0);
    let bytes = bytemuck::bytes_of(&order);
    assert_eq!(Order::from_payload(bytes), Some(order));
    assert_eq!(Order::from_payload(&bytes[..47]), None);
    assert_eq!(Order::from_payload(&[0; 48]), None);
}

proptest! {
    #[test]
    fn any_bytes_are_a_day_or_an_error_and_never_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = OrderFlow::unpack(&bytes);
        let _ = OrderFlow::unpack(&pack(&bytes));
        prop_assert!(OrderFlow::read(&bytes).is_err() || !bytes.is_empty());
    }

    #[test]
    fn a_flipped_byte_is_a_day_or_an_error_and_never_a_panic(at in 0usize..60_000, with: u8) {
        let mut day = day();
        day[at] = with;
        if let Err(error) = OrderFlow::read(&day) {
            prop_assert!(!error.why.is_empty());
        }
    }
}
