//! What a window around a strike says.

use lockstep_bench::failover::window::{Delivered, FULL_RATE_NS, Window};
use lockstep_wire::Nanos;

fn window(deliveries: &[(Nanos, Nanos)]) -> Window {
    let delivered = deliveries.iter().map(|&(at, due)| Delivered { at, due }).collect();
    Window { delivered, epochs: Vec::new() }
}

#[test]
fn the_gap_is_the_one_around_the_strike_and_not_one_before_it() {
    let window = window(&[(0, 0), (500, 490), (510, 500), (800, 520), (810, 800)]);
    assert_eq!(window.gap(520, 10_000), Some(290));
    assert_eq!(window.calm(0, 520), Some(500));
    assert_eq!(window.calm(0, 505), Some(500), "a gap that the strike ends is none of the calm window's");
    assert_eq!((window.wait(520), window.wait(805)), (280, 10));
}

#[test]
fn the_rate_is_full_again_when_a_message_that_was_due_since_then_did_not_wait() {
    let late = FULL_RATE_NS + 100;
    let window = window(&[(90, 80), (late + 200, 110), (late + 300, late + 250)]);
    assert_eq!(window.full_rate(100), Some(late + 300));
    assert_eq!(window.full_rate(late + 260), None);
}
