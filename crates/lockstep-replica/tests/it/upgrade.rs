//! VERSION-1: a log rises to a newer version by the operator's order alone, and nothing takes it back.

use crate::install::{LATE, begin, checkpoint_before, is_equal_to};
use lockstep_memory::cluster::Cluster;
use lockstep_memory::world::*;
use lockstep_replica::bootstrap::bootstrap_version;
use lockstep_replica::journal::base;
use lockstep_replica::journal::checkpoint::Checkpoint;
use lockstep_wire::Keyring;
use lockstep_wire::*;

/// A cluster of three whose history begins in the oldest version.
fn cluster() -> Cluster {
    let mut cluster = Cluster::new(3, |_| {});
    let mut tail = blank_tail(1, 256 << 10);
    bootstrap_version(&mut tail, &Keyring::none(CLUSTER), (HISTORY, VERSION_MIN), &member_list(3))
        .expect("a blank log");
    cluster.replicas[0] = start(tail, replica_limits(1, 3)).expect("a listed member");
    cluster.add_publisher(|_| {});
    cluster
}

/// Asks a replica about the membership that the first one has, and returns its answer.
fn ask(cluster: &mut Cluster, number: u32, query_kind: QueryKind, name: &str, epoch: Epoch) -> Vec<u8> {
    let first_seq = cluster.replicas[0].tables().map_or(0, |tables| tables.membership.seq);
    cluster.query(number, (epoch, first_seq), query_kind, name)
}

fn order(cluster: &mut Cluster, number: u32, version: &str, epoch: Epoch) -> Option<CommandReject> {
    let bytes = ask(cluster, number, QueryKind::Upgrade, version, epoch);
    let Ok(Datagram::CommandResult(_, body)) = Datagram::decode(&bytes, &Keyring::none(CLUSTER)) else {
        panic!("a result")
    };
    CommandReject::from_u32(body.reject)
}

/// The version of a replica's log, as it tells it.
fn version(cluster: &mut Cluster, number: u32) -> u8 {
    let bytes = ask(cluster, number, QueryKind::Release, "", Epoch::NONE);
    let Ok(Datagram::Release(_, body)) = Datagram::decode(&bytes, &Keyring::none(CLUSTER)) else {
        panic!("a release")
    };
    assert_eq!((body.oldest, body.newest), (VERSION_MIN, VERSION));
    assert_eq!(body.release(), env!("CARGO_PKG_VERSION"));
    body.in_force
}

/// The versions of the frames that were multicast, each once, in their order.
fn frame_versions(cluster: &Cluster) -> Vec<u8> {
    let frames = cluster.record.iter().filter(|(_, bytes)| bytes[5] == Kind::Frame as u8);
    let mut versions: Vec<_> = frames.map(|(_, bytes)| bytes[4]).collect();
    versions.dedup();
    versions
}

#[test]
fn version_1_a_log_rises_by_the_order_and_no_takeover_takes_it_back() {
    let mut cluster = cluster();
    let id = cluster.open(0, "gateway", [1, 1]);
    cluster.publishers[0].publish(id, &["a"]);
    cluster.run(100);
    assert_eq!(frame_versions(&cluster), [VERSION_MIN], "nobody has ordered anything");
    assert_eq!(order(&mut cluster, 1, &VERSION.to_string(), epoch(1, 1)), None);
    cluster.publishers[0].publish(id, &["b"]);
    cluster.run(100);
    assert_eq!(frame_versions(&cluster), [VERSION_MIN, VERSION]);
    for number in 1..=3 {
        assert_eq!(version(&mut cluster, number), VERSION, "replica {number}");
    }
    cluster.dead.push(1);
    assert!(cluster.run_until(|cluster| cluster.leader().is_some()));
    cluster.publishers[0].publish(id, &["c"]);
    cluster.await_committed(3);
    assert_eq!(frame_versions(&cluster), [VERSION_MIN, VERSION], "the next leader goes on in it");
}

#[test]
fn version_1_the_order_is_the_first_entry_of_the_first_frame_of_the_new_version() {
    let mut cluster = cluster();
    let id = cluster.open(0, "gateway", [1, 1]);
    cluster.publishers[0].publish(id, &["a", "b"]);
    assert_eq!(order(&mut cluster, 1, &VERSION.to_string(), epoch(1, 1)), None);
    let frames = cluster.record.iter().filter(|(_, bytes)| bytes[4..6] == [VERSION, Kind::Frame as u8]);
    let first = frames.map(|(_, bytes)| bytes).next().expect("the log has risen");
    let frame = FrameView::parse(first).expect("our own bytes");
    let entry = frame.entries().next().expect("an entry");
    assert_eq!(entry.kind(), EntryKind::Order);
    let record = OrderView::parse(entry.payload).expect("a record");
    assert_eq!((record.order(), record.version()), (OperatorOrder::Upgrade, Some(VERSION)));
}

#[test]
fn an_upgrade_that_the_leader_cannot_make_is_refused_with_the_reason() {
    let mut cluster = cluster();
    cluster.run(100);
    let newest = VERSION.to_string();
    let cases = [
        (2, newest.clone(), epoch(1, 1), CommandReject::NotLeader),
        (1, newest.clone(), epoch(2, 1), CommandReject::Stale),
        (1, VERSION_MIN.to_string(), epoch(1, 1), CommandReject::Version),
        (1, (VERSION + 1).to_string(), epoch(1, 1), CommandReject::Version),
    ];
    for (number, version, epoch, why) in cases {
        assert_eq!(order(&mut cluster, number, &version, epoch), Some(why), "{version} at {number}");
    }
    assert_eq!(order(&mut cluster, 1, &newest, epoch(1, 1)), None);
    assert_eq!(order(&mut cluster, 1, &newest, epoch(1, 1)), Some(CommandReject::Version), "it has risen");
}

/// The version of the frame that was multicast last.
fn last_version(cluster: &Cluster) -> Option<u8> {
    let frames = cluster.record.iter().filter(|(_, bytes)| bytes[5] == Kind::Frame as u8);
    frames.map(|(_, bytes)| bytes[4]).next_back()
}

/// A node that holds nothing begins behind each checkpoint of a log that has risen: below the order, where
/// the order's frame begins and ends, and behind it. Then the node has the log of the others, and leads in
/// the new version.
#[test]
fn version_1_a_node_that_begins_behind_a_checkpoint_has_the_version_of_the_log_and_leads_in_it() {
    let mut cluster = cluster();
    cluster.dead.push(LATE);
    let id = cluster.open(0, "gateway", [1, 1]);
    cluster.publishers[0].publish(id, &["a", "b"]);
    cluster.await_committed(2);
    assert_eq!(order(&mut cluster, 1, &VERSION.to_string(), epoch(1, 1)), None);
    cluster.publishers[0].publish(id, &["c"]);
    cluster.await_committed(3);
    cluster.run(200);
    let (mut seen, end) = (Vec::new(), cluster.replicas[0].core.commit_next());
    for seq in 3..=end {
        let checkpoint = checkpoint_before(&cluster, 1, seq);
        if base::judge(&checkpoint).is_err() {
            continue; // no epoch has begun there
        }
        let read = Checkpoint::from_bytes(&checkpoint.to_bytes()).expect("its own bytes");
        assert_eq!(read, checkpoint, "the file of either version");
        seen.push(checkpoint.version);
        join(&mut cluster, &checkpoint);
        assert!(cluster.run_until(|cluster| is_equal_to(cluster, 1)), "{}", cluster.describe());
        assert_eq!(version(&mut cluster, LATE), VERSION, "behind {seq} of {end}");
        cluster.dead.push(LATE);
    }
    seen.dedup();
    assert_eq!(seen, [VERSION_MIN, VERSION], "both sides of the order");

    // It has no record of the new version, and leads.
    let checkpoint = checkpoint_before(&cluster, 1, end);
    assert_eq!(checkpoint.end.next, end);
    join(&mut cluster, &checkpoint);
    ask(&mut cluster, 1, QueryKind::Handover, &identity(LATE).to_string(), epoch(1, 1));
    assert!(cluster.run_until(|cluster| cluster.leader() == Some(LATE)), "{}", cluster.describe());
    cluster.publishers[0].publish(id, &["d"]);
    cluster.await_committed(4);
    assert_eq!(last_version(&cluster), Some(VERSION));
}

/// The node that holds nothing starts, and begins behind `checkpoint`.
fn join(cluster: &mut Cluster, checkpoint: &Checkpoint) {
    cluster.replicas[LATE as usize - 1] =
        start(blank_tail(LATE, 256 << 10), replica_limits(LATE, 3)).expect("a member");
    begin(cluster, checkpoint);
}

#[test]
fn version_1_a_log_rises_behind_a_node_that_has_begun_behind_a_checkpoint_and_stored_nothing() {
    let mut cluster = cluster();
    cluster.dead.push(LATE);
    let id = cluster.open(0, "gateway", [1, 1]);
    cluster.publishers[0].publish(id, &["a"]);
    cluster.await_committed(1);
    cluster.run(200);
    let checkpoint = checkpoint_before(&cluster, 1, cluster.replicas[0].core.commit_next());
    join(&mut cluster, &checkpoint);
    assert_eq!(version(&mut cluster, LATE), VERSION_MIN);
    assert_eq!(order(&mut cluster, 1, &VERSION.to_string(), epoch(1, 1)), None);
    // The order is committed by it and the leader alone.
    cluster.dead.push(2);
    cluster.publishers[0].publish(id, &["b"]);
    cluster.await_committed(2);
    assert!(cluster.run_until(|cluster| is_equal_to(cluster, 1)), "{}", cluster.describe());
    assert_eq!(version(&mut cluster, LATE), VERSION);
}
