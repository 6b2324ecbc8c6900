//! The median and the last of many subscribers.

use lockstep_bench::fanout::listener::Received;
use lockstep_bench::fanout::{Found, WARM_UP};
use lockstep_wire::Nanos;

fn received(late: &[Option<Nanos>]) -> Received {
    let before = std::iter::repeat_n(Some(9), WARM_UP as usize);
    Received { late: before.chain(late.iter().copied()).collect(), gaps: 0, repaired: 0 }
}

#[test]
fn each_message_has_its_own_median_and_its_own_last_subscriber() {
    let all = [
        received(&[Some(10), Some(600)]),
        received(&[Some(20), Some(500)]),
        received(&[Some(30), Some(400)]),
    ];
    let found = Found::of(&all, WARM_UP + 2).unwrap();
    assert_eq!((found.to_median.len(), found.to_median.max()), (2, Some(500)));
    assert_eq!((found.to_last.len(), found.to_last.max()), (2, Some(600)));
    assert_eq!(found.missing, 0);
}

#[test]
fn what_did_not_reach_all_is_missing_and_tells_no_latency() {
    let all = [received(&[Some(10), None]), received(&[Some(20), Some(500)])];
    let found = Found::of(&all, WARM_UP + 2).unwrap();
    assert_eq!((found.to_last.len(), found.to_last.max(), found.missing), (1, Some(20), 1));
}
