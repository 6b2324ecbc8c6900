//! A device that hangs: the call never returns, and nobody gets an error.

use lockstep_testkit::images::{self, Cache, Disk};
use lockstep_testkit::netns::Namespace;
use lockstep_testkit::processes::{Cluster, Ground};
use std::path::PathBuf;

/// A file system that takes no writes for as long as this lives.
struct Frozen<'a> {
    machine: &'a Namespace,
    at: PathBuf,
}

impl<'a> Frozen<'a> {
    fn new(machine: &'a Namespace, at: PathBuf) -> Self {
        machine.shell(&format!("fsfreeze --freeze {at:?}"));
        Self { machine, at }
    }
}

impl Drop for Frozen<'_> {
    fn drop(&mut self) {
        self.machine.shell(&format!("fsfreeze --unfreeze {:?}", self.at));
    }
}

#[test]
fn a_device_that_stalls_is_told_by_the_log_and_by_the_status_until_it_goes_on() {
    if let Some(reason) = images::unsupported() {
        println!("SKIPPED: {reason}");
        return;
    }
    let machine = Namespace::of_mounts();
    let ground = Ground { places: vec![machine.place().clone()], ..Ground::loopback(1) };
    let cluster = Cluster::on(ground, "");
    let journal = cluster.path("journal-1");
    Disk::new(&machine, cluster.path("disk"), &journal, Cache::Safe);
    let mut replica = cluster.found().remove(0);
    cluster.publish("before\n");
    let frozen = Frozen::new(&machine, journal);
    cluster.publish("acknowledged by the tail\n");
    replica.await_log("LS1106");
    replica.await_log("the journal's device has confirmed nothing for");
    let output = cluster.run(&["status"], b"").with_code(6).out;
    assert!(
        output.starts_with("degraded: replica 1: ") && output.contains("has confirmed nothing for"),
        "{output}"
    );
    drop(frozen);
    replica.await_log("over: the journal's device has confirmed nothing for");
    cluster.run(&["status"], b"").with_code(0);
    assert_eq!(replica.terminate(), Some(0));
}
