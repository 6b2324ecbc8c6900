use lockstep_lab::cards::order::FixedSequencer;
use lockstep_lab::property::{GAPLESS_TOTAL_ORDER, PAIRWISE_TOTAL_ORDER, Property};
use lockstep_lab::search::Searched;
use lockstep_lab::{Model, Subject, Value};

/// Whether a property holds in every run of a fixed sequencer that lacks a part.
fn holds_without(dropped: &'static str, property: &'static Property) -> bool {
    let asks = FixedSequencer::<Value>::CARD.asks;
    let properties = &[property];
    let searched = Searched { model: Model::PLAIN, asks, dropped: Some(dropped), properties };
    searched.lost::<FixedSequencer<Value>>(500_000).is_none()
}

#[test]
fn a_receiver_that_leaves_out_what_is_late_keeps_the_weaker_order_alone() {
    assert!(holds_without("late messages", &PAIRWISE_TOTAL_ORDER));
    assert!(!holds_without("late messages", &GAPLESS_TOTAL_ORDER));
    assert!(!holds_without("gaps", &PAIRWISE_TOTAL_ORDER));
}
