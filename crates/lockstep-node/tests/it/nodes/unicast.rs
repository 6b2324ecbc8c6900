//! Real nodes that send to each member separately.

use super::lines::{SETTINGS, run_in};
use crate::support::Cluster;
use lockstep_io::device::MemorySharing;
use std::time::Duration;

const UNICAST: &str = "transport = \"unicast\"\n";

#[test]
fn by_unicast_everything_arrives_once_and_in_order_at_members_by_lease() {
    let cluster = Cluster::on_lines(3, SETTINGS, &[UNICAST]);
    let outcome = run_in(&cluster, MemorySharing::Off, 2_000, Duration::ZERO);
    let counted = |name| outcome.sum(name);
    // Publisher and subscriber have a lease at each node, and each node sends to two others.
    assert_eq!((counted("fanout_leases"), counted("fanout_members")), (6, 12), "{}", outcome.log);
    assert_eq!((counted("fanout_refused"), counted("fanout_rejected")), (0, 0));
    assert_eq!((counted("multicast_lost"), counted("candidacies")), (0, 0));
}

#[test]
fn who_finds_no_room_is_told_and_logged_and_still_gets_everything() {
    let cluster = Cluster::on_lines(3, SETTINGS, &[&format!("{UNICAST}fanout_members = 1\n")]);
    let outcome = run_in(&cluster, MemorySharing::Off, 500, Duration::ZERO);
    let counted = |name| outcome.sum(name);
    assert_eq!(counted("fanout_leases"), 3);
    assert!(counted("fanout_refused") > 0 && outcome.log.contains("joins are refused"), "{}", outcome.log);
}

#[test]
fn beside_memory_unicast_sends_to_nobody_of_this_host() {
    let cluster = Cluster::on_lines(3, SETTINGS, &[UNICAST]);
    let outcome = run_in(&cluster, MemorySharing::Beside, 5_000, Duration::ZERO);
    assert_eq!(outcome.sum("udp_group_sends"), 0, "{}", outcome.log);
}

#[test]
fn a_line_of_unicast_and_one_of_multicast_carry_the_same() {
    let cluster = Cluster::on_lines(3, SETTINGS, &[UNICAST, ""]);
    let outcome = run_in(&cluster, MemorySharing::Off, 2_000, Duration::ZERO);
    let counted = |name| outcome.sum(name);
    assert!(counted("line_datagrams_in{line=\"a\"}") > 0 && counted("line_datagrams_in{line=\"b\"}") > 0);
    assert_eq!(
        (counted("line_alarms{line=\"a\"}"), counted("line_alarms{line=\"b\"}")),
        (0, 0),
        "{}",
        outcome.log
    );
}
