//! Daemons that have nothing to do park: how often they wake, measured in their leader's heartbeats.

// Waits for real processes: it sleeps.
use lockstep_io::counters::CountersReader;
use lockstep_testkit::processes::{Cluster, PRODUCT_TIMING};
use std::time::Duration;

/// What a process did since it began.
#[derive(Clone, Copy, Debug)]
struct Done {
    /// Passes of the duty cycle.
    turns: u64,
    /// Datagrams that woke it, at the most.
    datagrams: u64,
    /// Heartbeats that it said, or heard and waited for.
    heartbeats: u64,
}

impl Done {
    fn of(cluster: &Cluster, id: u32) -> Self {
        let file = CountersReader::open(&cluster.path(&format!("counters-{id}")));
        let file = file.unwrap_or_else(|error| panic!("{error}"));
        let value = |name| file.value(name).unwrap_or_else(|| panic!("no counter {name}"));
        Self {
            turns: value("duty_cycles"),
            datagrams: value("datagrams_in") + value("unicast_in"),
            heartbeats: value("heartbeats_in") + value("heartbeats_out"),
        }
    }

    fn since(self, before: Self) -> Self {
        Self {
            turns: self.turns - before.turns,
            datagrams: self.datagrams - before.datagrams,
            heartbeats: self.heartbeats - before.heartbeats,
        }
    }
}

#[test]
fn a_leader_its_standbys_and_an_archiver_wake_no_more_often_than_their_leader_beats() {
    let cluster = Cluster::new(3, PRODUCT_TIMING);
    cluster.add_archiver(9, "");
    let _replicas = cluster.found();
    let mut archiver = cluster.start_archiver(9);
    archiver.await_log("-> learner");
    cluster.publish("one\ntwo\n");
    let ids = [1, 2, 3, 9];
    std::thread::sleep(Duration::from_millis(500));
    let before = ids.map(|id| Done::of(&cluster, id));
    std::thread::sleep(Duration::from_secs(2));
    let after = ids.map(|id| Done::of(&cluster, id));
    for ((id, before), after) in ids.into_iter().zip(before).zip(after) {
        let done = after.since(before);
        println!("node {id}: {done:?}");
        assert!(done.heartbeats > 0, "node {id} hears and says no heartbeat: {done:?}");
        // A datagram is followed by a turn that finds no more. A leader beats by itself, a standby looks once
        // a beat whether it does; an archiver waits for nobody.
        let own = if id == 9 { done.heartbeats / 8 } else { 2 * done.heartbeats };
        assert!(done.turns <= 2 * done.datagrams + own, "node {id} wakes without a cause: {done:?}");
    }
}
