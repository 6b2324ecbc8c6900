//! Takeovers of real processes on loopback, a few of each kind, by the kernel's sockets, by those without
//! multicast, and by shared memory; those by xdp are in `namespaces`. `cargo run --release -p tools -- stale`
//! and `… two-of-five` do more of them.

use lockstep_io::clock::random_u64;
use lockstep_sim::rng::Rng;
use tools::durability;
use tools::processes::Ground;
use tools::takeover::{kill_leader, stale_leader, two_of_five};

fn rng() -> Rng {
    Rng::new(random_u64().expect("the kernel's chance"))
}

/// The kernel's sockets.
fn plain(replicas: u32) -> Ground {
    Ground::loopback(replicas)
}

#[test]
fn when_leaders_are_killed_orders_flow_on_and_nothing_is_lost_doubled_or_out_of_order() {
    for (ground, times) in [(plain(3), 5), (plain(3).with_memory(), 3), (plain(3).by_unicast(), 3)] {
        let shown = kill_leader(ground, times);
        println!("{shown}");
        assert!(shown.rounds > u64::from(times), "each kill makes another leader");
    }
}

#[test]
fn a_leader_that_was_stopped_and_goes_on_is_fenced_and_stops_by_itself() {
    for (ground, times) in [(plain(3), 8), (plain(3).with_memory(), 3), (plain(3).by_unicast(), 3)] {
        println!("{}", stale_leader(&mut rng(), ground, (1.0, 1_000.0), times));
    }
}

#[test]
fn any_two_of_five_may_die_and_nothing_is_lost() {
    for (ground, times) in [(plain(5), 4), (plain(5).with_memory(), 2), (plain(5).by_unicast(), 2)] {
        println!("{}", two_of_five(&mut rng(), ground, times));
    }
}

#[test]
fn the_durability_of_a_running_cluster_is_changed_and_changed_back_and_nothing_is_lost() {
    println!("{}", durability::changed(plain(3)));
}
