//! Real nodes that exchange their datagrams by memory.

use super::lines::{SETTINGS, run_in};
use crate::support::Cluster;
use lockstep_io::device::MemorySharing;
use std::time::Duration;

#[test]
fn nodes_and_clients_of_one_host_work_by_memory_and_next_to_nothing_comes_by_the_network() {
    let cluster = Cluster::new(3, &format!("{SETTINGS}[network]\nshm = true\n"));
    assert_eq!(
        (cluster.node(1).memory, cluster.endpoint().device(&[]).memory),
        (MemorySharing::Beside, MemorySharing::Beside)
    );
    let outcome = run_in(&cluster, MemorySharing::Beside, 5_000, Duration::ZERO);
    let (by_memory, by_network) = (outcome.sum("shm_datagrams_in"), outcome.sum("udp_datagrams_in"));
    // A datagram for a process that joined within the last milliseconds still goes by the network.
    assert!(by_memory > 100 && by_network < by_memory / 10, "{by_memory} and {by_network}: {}", outcome.log);
    assert_eq!((outcome.sum("shm_broken_rings"), outcome.sum("shm_refused_members")), (0, 0));
    assert_eq!(outcome.sum("candidacies"), 0);
}

/// With injected faults memory may lose everything that a network loses.
#[test]
fn what_memory_loses_and_repeats_on_purpose_is_repaired_and_nothing_is_delivered_twice() {
    let faulty = "[fault_injection]\nloss = \"10%\"\nduplication = \"2%\"\nreordering = \"5%\"\n";
    for memory in [MemorySharing::Beside, MemorySharing::Alone] {
        let cluster = Cluster::new(3, &format!("{SETTINGS}{faulty}"));
        let outcome = run_in(&cluster, memory, 2_000, Duration::ZERO);
        let counted = |name| outcome.sum(name);
        assert!(counted("shm_datagrams_in") > 100, "{memory:?}: {}", outcome.log);
        assert!(
            counted("fault_injection_lost") > 0 && counted("fault_injection_duplicated") > 0,
            "{memory:?}"
        );
        assert!(counted("repairs_in") > 0, "{memory:?}: {}", outcome.log);
    }
}

#[test]
fn memory_alone_carries_a_cluster_without_any_socket_of_its_own() {
    let cluster = Cluster::new(3, SETTINGS);
    let outcome = run_in(&cluster, MemorySharing::Alone, 5_000, Duration::ZERO);
    assert!(outcome.sum("shm_datagrams_in") > 100, "{}", outcome.log);
    assert_eq!((outcome.sum("udp_datagrams_in"), outcome.sum("udp_datagrams_out")), (0, 0));
    assert_eq!(outcome.sum("candidacies"), 0);
}
