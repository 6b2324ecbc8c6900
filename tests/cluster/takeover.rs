//! Takeovers of real processes on loopback, a few of each kind, by the kernel's sockets, by those without
//! multicast, and by shared memory; those by xdp are in `namespaces`. `cargo run --release -p tools -- stale`
//! and `… two-of-five` do more of them.

use lockstep_io::clock::random_u64;
use lockstep_memory::rng::Rng;
use lockstep_testkit::durability;
use lockstep_testkit::lane::amount;
use lockstep_testkit::processes::{Ground, busy};
use lockstep_testkit::takeover::{kill_leader, stale_leader, two_of_five};

fn rng() -> Rng {
    Rng::new(random_u64().expect("the kernel's chance"))
}

/// The kernel's sockets, shared memory, and sockets without multicast, each with its number of faults.
fn grounds(replicas: u32, times: [u32; 3]) -> impl Iterator<Item = (Ground, u32)> {
    let loopback = || Ground::loopback(replicas);
    [loopback(), loopback().with_memory(), loopback().by_unicast()].into_iter().zip(times)
}

#[test]
fn when_leaders_are_killed_orders_flow_on_and_nothing_is_lost_doubled_or_out_of_order() {
    let _place = busy();
    for (ground, times) in grounds(3, amount([2, 1, 1], [5, 3, 3])) {
        let shown = kill_leader(ground, times);
        println!("{shown}");
        assert!(shown.rounds > u64::from(times), "each kill makes another leader");
    }
}

#[test]
fn a_leader_that_was_stopped_and_goes_on_is_fenced_and_stops_by_itself() {
    let _place = busy();
    for (ground, times) in grounds(3, amount([3, 1, 1], [8, 3, 3])) {
        println!("{}", stale_leader(&mut rng(), ground, (1.0, 1_000.0), times));
    }
}

#[test]
fn any_two_of_five_may_die_and_nothing_is_lost() {
    let _place = busy();
    for (ground, times) in grounds(5, amount([2, 1, 1], [4, 2, 2])) {
        println!("{}", two_of_five(&mut rng(), ground, times));
    }
}

#[test]
fn the_durability_of_a_running_cluster_is_changed_and_changed_back_and_nothing_is_lost() {
    let _place = busy();
    println!("{}", durability::changed(Ground::loopback(3)));
}
