//! Clock and idling.

use crate::{open, settings, single};
use lockstep_core::engine::ports::{Group, Net, PARK_NS_MAX};
use lockstep_io::clock::{self, Clock, Utc};
use lockstep_io::idle::{PARK_NS_MIN, Parker};

#[test]
fn a_parked_thread_is_woken_by_what_came_before_it_slept_and_by_nothing_else() {
    let mut udp = open(&settings());
    let mut parker = Parker::new(&udp.sockets()).unwrap();
    assert!(!parker.park(PARK_NS_MIN), "nothing is there");
    udp.send_group(Group::Data, &single(b"x"));
    let to = udp.unicast_address();
    udp.send_unicast(to, [b"y", b""]);
    assert!(parker.park(PARK_NS_MAX) && parker.park(PARK_NS_MAX), "it is there until it is read");
    udp.recv_groups();
    assert!(parker.park(PARK_NS_MAX), "the unicast socket counts as well");
    udp.recv_unicast();
    assert!(!parker.park(PARK_NS_MIN));
}

#[test]
fn the_clock_keeps_wall_time_beside_the_monotonic_one() {
    let unix =
        || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as u64;
    let before = unix();
    let mut clock = Clock::start();
    let wall = clock.wall(clock.now());
    // A second is far beyond the clock's error, and far below what a wrong offset would show.
    for wall in [wall, Utc::now().0] {
        assert!(wall + 1_000_000_000 > before && wall < unix() + 1_000_000_000);
    }
    assert!(clock.refresh().abs() < 1_000_000_000);
    let boot = clock::boot_id().unwrap();
    assert!(boot != 0 && boot == clock::boot_id().unwrap());
    assert_ne!(clock::random_u64().unwrap(), clock::random_u64().unwrap());
}
