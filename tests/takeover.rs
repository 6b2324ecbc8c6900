//! Takeovers of real processes on loopback, a few of each kind. `cargo run --release -p tools -- stale`
//! and `… two-of-five` do more of them.

use lockstep::io::clock::random_u64;
use lockstep::sim::rng::Rng;
use tools::takeover::{self, kill_leader, two_of_five};

fn rng() -> Rng {
    Rng::new(random_u64().expect("the kernel's chance"))
}

#[test]
fn when_leaders_are_killed_orders_flow_on_and_nothing_is_lost_doubled_or_out_of_order() {
    let shown = kill_leader(3, 5);
    println!("{shown}");
    assert!(shown.rounds > 5, "each kill makes another leader");
}

#[test]
fn a_leader_that_was_stopped_and_goes_on_is_fenced_and_stops_by_itself() {
    println!("{}", takeover::stale_leader(&mut rng(), (1.0, 1_000.0), 8));
}

#[test]
fn any_two_of_five_may_die_and_nothing_is_lost() {
    println!("{}", two_of_five(&mut rng(), 4));
}
