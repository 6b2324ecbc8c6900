//! CLOCK-2: a stream whose time ran ahead goes back by an operator's order, to the time of a quorum's clocks.

use bytemuck::Zeroable;
use lockstep_core::engine::event::ReplicaEvent;
use lockstep_memory::cluster::Cluster;
use lockstep_memory::world::*;
use lockstep_wire::Keyring;
use lockstep_wire::*;

const SECOND: Nanos = 1_000_000_000;
const HOUR: Nanos = 3_600 * SECOND;
const DAY: Nanos = 24 * HOUR;
/// How far a clock was ahead.
const FORMS: [Nanos; 3] = [HOUR, DAY, 15 * 365 * DAY];

/// A cluster of three whose clocks are right, and whose history was founded by one that was so far ahead,
/// with a release that gave the birth the time of its clock.
fn founded_ahead(ahead: Nanos, version: u8) -> Cluster {
    let mut cluster = Cluster::new(3, |_| {});
    let mut tail = blank_tail(1, 256 << 10);
    let entry = EntryHeader { kind: EntryKind::Genesis as u8, ..EntryHeader::zeroed() };
    let mut open = OpenFrame::default();
    let memory = tail.room().expect("a blank log");
    assert!(open.push(memory, entry, bytemuck::cast_slice(&member_list(3))));
    let header = Header {
        version,
        cluster: CLUSTER,
        history: HISTORY,
        epoch: epoch(0, 1).0,
        sender: identity(1).replica,
        incarnation: identity(1).incarnation,
        first_seq: 1,
        commit_next: 1,
        timestamp: WALL_NS + ahead,
        ..Header::new(Kind::Frame)
    };
    let len = open.len();
    let header = open.close(memory, &Keyring::none(CLUSTER), header, len);
    tail.pin(&header);
    cluster.replicas[0] = start(tail, replica_limits(1, 3)).expect("a listed member");
    cluster.add_publisher(|_| {});
    cluster
}

/// Asks a replica about the epoch and membership that the first one has, and returns its answer.
fn ask(cluster: &mut Cluster, number: u32, query_kind: QueryKind, name: &str) -> Vec<u8> {
    let replica = &cluster.replicas[0];
    let epoch = replica.tail().end().epoch;
    let first_seq = replica.tables().map_or(0, |tables| tables.membership.seq);
    cluster.query(number, (epoch, first_seq), query_kind, name)
}

fn order(cluster: &mut Cluster, number: u32, before: Nanos) -> Option<CommandReject> {
    let bytes = ask(cluster, number, QueryKind::Time, &before.to_string());
    let Ok(Datagram::CommandResult(_, body)) = Datagram::decode(&bytes, &Keyring::none(CLUSTER)) else {
        panic!("a result")
    };
    CommandReject::from_u32(body.reject)
}

/// Where a replica's log stands, what a quorum's clocks show there, and what its own does.
fn times(cluster: &mut Cluster, number: u32) -> (Nanos, Nanos, Nanos) {
    let bytes = ask(cluster, number, QueryKind::Times, "");
    let Ok(Datagram::Times(header, body)) = Datagram::decode(&bytes, &Keyring::none(CLUSTER)) else {
        panic!("times")
    };
    (body.stream, body.quorum, header.timestamp)
}

/// The frames that were multicast, each once: time, and the order with which it begins.
fn frames(cluster: &Cluster) -> Vec<(Nanos, Option<Nanos>)> {
    let frames = cluster.record.iter().filter(|(_, bytes)| bytes[5] == Kind::Frame as u8);
    let mut seen: Vec<(Seq, Nanos, Option<Nanos>)> = Vec::new();
    for (_, bytes) in frames {
        let frame = FrameView::parse(bytes).expect("our own bytes");
        let first = frame.entries().next().expect("an entry");
        let order =
            (first.kind() == EntryKind::Order).then(|| OrderView::parse(first.payload).ok()).flatten();
        if seen.iter().all(|(seq, ..)| *seq != frame.header.first_seq) {
            let time = frame.header.timestamp;
            seen.push((frame.header.first_seq, time, order.and_then(|order| order.time_before())));
        }
    }
    seen.into_iter().map(|(_, time, order)| (time, order)).collect()
}

#[test]
pub fn clock_2_a_stream_that_ran_ahead_goes_back_by_the_order_and_rises_from_there() {
    for ahead in FORMS {
        let mut cluster = founded_ahead(ahead, VERSION);
        let id = cluster.open(0, "gateway", [1, 1]);
        cluster.publishers[0].publish(id, &["a"]);
        cluster.await_committed(1);
        let (stream, quorum, own) = times(&mut cluster, 1);
        assert_eq!(stream, WALL_NS + ahead, "it stands still");
        assert!(quorum.abs_diff(own) < SECOND && own < WALL_NS + HOUR, "{quorum} {own}");

        assert_eq!(order(&mut cluster, 1, stream), None, "ahead by {ahead}");
        cluster.publishers[0].publish(id, &["b"]);
        cluster.await_committed(2);
        let frames = frames(&cluster);
        let at = frames.iter().position(|(_, order)| order.is_some()).expect("the order is stamped");
        assert!(frames[..at].iter().all(|(time, _)| *time == stream), "{frames:?}");
        assert_eq!(frames[at].1, Some(stream), "from where");
        assert!(frames[at].0.abs_diff(own) < SECOND, "{} to {own}", frames[at].0);
        assert!(frames[at..].is_sorted_by_key(|(time, _)| *time), "and it rises again: {frames:?}");
        for number in 1..=3 {
            let (stream, ..) = times(&mut cluster, number);
            assert!(stream.abs_diff(own) < SECOND, "replica {number} follows");
        }
        // Nobody goes ahead again, whoever leads.
        cluster.dead.push(1);
        assert!(cluster.run_until(|cluster| cluster.leader().is_some()));
        cluster.publishers[0].publish(id, &["c"]);
        cluster.await_committed(3);
        let (last, _) = *self::frames(&cluster).last().expect("frames");
        assert!(last >= frames[at].0 && last.abs_diff(own) < 10 * SECOND, "{last} behind {own}");
    }
}

#[test]
pub fn clock_2_the_leader_tells_from_when_to_when_time_went_back() {
    let mut cluster = founded_ahead(DAY, VERSION);
    let id = cluster.open(0, "gateway", [1, 1]);
    cluster.publishers[0].publish(id, &["a"]);
    cluster.await_committed(1);
    let (stream, ..) = times(&mut cluster, 1);
    assert_eq!(order(&mut cluster, 1, stream), None);
    cluster.publishers[0].publish(id, &["b"]);
    cluster.await_committed(2);
    let is_it = |event: &ReplicaEvent| matches!(event, ReplicaEvent::TimeSetBack { before, after, .. } if *before == stream && after < before);
    let mut events = std::iter::from_fn(|| cluster.replicas[0].core.events.pop());
    assert!(events.any(|event| is_it(&event)));
}

#[test]
fn an_order_of_time_that_the_leader_cannot_give_is_refused_with_the_reason() {
    let mut cluster = founded_ahead(DAY, VERSION);
    cluster.run(100);
    let (stream, ..) = times(&mut cluster, 1);
    for (number, before, why) in [
        (2, stream, CommandReject::NotLeader),
        (1, stream + 1, CommandReject::Stale),
        (1, stream - 1, CommandReject::Stale),
    ] {
        assert_eq!(order(&mut cluster, number, before), Some(why), "{before} at {number}");
    }
    let bytes = cluster.query(1, (epoch(2, 1), 0), QueryKind::Time, &stream.to_string());
    let Ok(Datagram::CommandResult(_, body)) = Datagram::decode(&bytes, &Keyring::none(CLUSTER)) else {
        panic!("a result")
    };
    assert_eq!(CommandReject::from_u32(body.reject), Some(CommandReject::Stale), "for another epoch");
    assert_eq!(order(&mut cluster, 1, stream), None);
    assert_eq!(
        order(&mut cluster, 1, stream),
        Some(CommandReject::NotAhead),
        "given twice, it is given once"
    );
    assert_eq!(frames(&cluster).iter().filter(|(_, order)| order.is_some()).count(), 1);
}

#[test]
fn without_the_clocks_of_a_quorum_or_in_an_older_log_time_does_not_go_back() {
    let mut alone = founded_ahead(DAY, VERSION);
    alone.dead.extend([2, 3]);
    alone.run(10);
    let (stream, quorum, _) = times(&mut alone, 1);
    assert_eq!(quorum, 0, "it has heard nobody");
    assert_eq!(order(&mut alone, 1, stream), Some(CommandReject::ClocksUnknown));

    let mut older = founded_ahead(DAY, VERSION_MIN);
    older.run(100);
    let (stream, ..) = times(&mut older, 1);
    assert_eq!(order(&mut older, 1, stream), Some(CommandReject::OldLog));
    let bytes = ask(&mut older, 1, QueryKind::Upgrade, &VERSION.to_string());
    assert!(matches!(Datagram::decode(&bytes, &Keyring::none(CLUSTER)), Ok(Datagram::CommandResult(..))));
    assert_eq!(order(&mut older, 1, stream), None, "once it has risen");
}

#[test]
fn a_stream_that_is_right_takes_no_order_of_time() {
    let mut cluster = founded_ahead(0, VERSION);
    cluster.run(100);
    let (stream, ..) = times(&mut cluster, 1);
    assert_eq!(order(&mut cluster, 1, stream), Some(CommandReject::NotAhead));
}
