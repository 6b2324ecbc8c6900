//! The table and the exchange of joins and leases, without a socket; then both over the loopback.

use super::counts::FanoutCounts;
use super::leasing::{CONTROL_LEN, Leasing, Reply, bit};
use super::members::{JoinOutcome, Members};
use super::*;
use crate::udp::{Interface, free_port};
use lockstep_wire::{
    AckBody, GROUPS_ALL, HEADER_LEN, JoinBody, Keyring, LeaseReply, QueryKind, seal, write_ack, write_join,
    write_query,
};
use std::net::Ipv4Addr;

const SECOND: Nanos = 1_000_000_000;
const CLUSTER: u64 = 7;

fn at(port: u16) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::LOCALHOST, port)
}

fn node(port: u16) -> FanoutNode {
    FanoutNode { id: port.into(), address: at(port), groups: GROUPS_ALL }
}

/// The ports to which a group's datagrams go.
fn ports(members: &Members, group: Group) -> Vec<u16> {
    members.targets(group as usize).iter().map(|name| u16::from_be(name.sin_port)).collect()
}

#[test]
fn nodes_are_sent_to_for_ever_members_by_lease_and_each_the_groups_that_it_wants() {
    let nodes = vec![node(1), FanoutNode { groups: bit(Group::Data), ..node(2) }, node(3)];
    let mut members = Members::new(nodes, at(1), 2, None);
    assert_eq!(members.on_join(0, at(9), bit(Group::Data) | bit(Group::Control), 5), JoinOutcome::New);
    assert_eq!(ports(&members, Group::Submit), [3], "not ourselves");
    assert_eq!(ports(&members, Group::Data), [2, 3, 9], "nodes first");
    assert_eq!(ports(&members, Group::Control), [3, 9]);
    assert_eq!(members.on_join(SECOND, at(9), bit(Group::Control), 5), JoinOutcome::Renewed);
    assert_eq!(ports(&members, Group::Data), [2, 3], "it has changed its wish");
    assert_eq!(members.expire(SECOND + LEASE_NS - 1), 0);
    assert_eq!(members.expire(SECOND + LEASE_NS), 1);
    assert_eq!(ports(&members, Group::Control), [3]);
    assert_eq!(members.on_join(9 * SECOND, at(2), GROUPS_ALL, 5), JoinOutcome::Node);
    assert_eq!((members.leases(), ports(&members, Group::Control)), (0, vec![3]), "a node needs no lease");
}

#[test]
fn who_finds_no_room_is_told_and_who_leaves_makes_some() {
    let mut members = Members::new(vec![], at(1), 2, None);
    for port in [7, 8] {
        assert_eq!(members.on_join(0, at(port), GROUPS_ALL, 5), JoinOutcome::New);
    }
    assert_eq!(members.on_join(0, at(9), GROUPS_ALL, 5), JoinOutcome::Full);
    assert_eq!(members.on_join(0, at(8), GROUPS_ALL, 5), JoinOutcome::Renewed, "who is there stays");
    assert_eq!(members.on_join(0, at(7), 0, 4), JoinOutcome::Left);
    assert_eq!(members.leases(), 2, "a word of the process that had the address before");
    assert_eq!(members.on_join(0, at(7), 0, 5), JoinOutcome::Left);
    assert_eq!(members.on_join(0, at(9), GROUPS_ALL, 5), JoinOutcome::New);
    assert_eq!(ports(&members, Group::Data), [8, 9]);
    let mut other = Members::new(vec![], at(1), 2, None);
    for port in [9, 8] {
        other.on_join(0, at(port), GROUPS_ALL, 5);
    }
    assert_eq!(ports(&other, Group::Data), [8, 9], "all nodes send in one order");
}

#[test]
fn nobody_of_a_host_that_memory_reaches_is_sent_to() {
    let far = FanoutNode { id: 2, address: "10.0.0.2:1".parse().unwrap(), groups: GROUPS_ALL };
    let mut members = Members::new(vec![node(2), far], at(1), 2, Some(Ipv4Addr::LOCALHOST));
    members.on_join(0, at(9), GROUPS_ALL, 5);
    assert_eq!((members.len(), ports(&members, Group::Data)), (3, vec![1]));
}

/// Two ends that exchange datagrams over a wire that loses nothing, and forges only on demand.
struct Talk {
    repairer: Leasing,
    joiner: Leasing,
}

const REPAIRER: u16 = 1;
const JOINER: u16 = 9;

fn leasing(gives: bool, own: u16, members_max: usize, cluster: u64) -> Leasing {
    let settings = FanoutSettings {
        keys: Keyring::none(cluster).into(),
        nodes: vec![node(REPAIRER)],
        members_max,
        grants_leases: gives,
    };
    let joins: &[Group] = if gives { &[] } else { &[Group::Data, Group::Control] };
    Leasing::new(&settings, at(own), joins, None).unwrap()
}

impl Talk {
    fn new(members_max: usize) -> Self {
        Self {
            repairer: leasing(true, REPAIRER, members_max, CLUSTER),
            joiner: leasing(false, JOINER, 0, CLUSTER),
        }
    }

    /// Delivers all due datagrams, until none is left.
    fn go(&mut self, now: Nanos) {
        while let Some(join) = self.joiner.poll(now, |_| false) {
            self.say(now, &join);
        }
        assert!(self.repairer.poll(now, |_| false).is_none(), "it asks nobody");
    }

    fn say(&mut self, now: Nanos, join: &Reply) {
        assert_eq!(join.to, at(REPAIRER));
        if let Some(lease) = self.repairer.on_datagram(now, &join.bytes, at(JOINER)) {
            assert_eq!(lease.to, at(JOINER), "an answer goes to where the join came from");
            assert!(self.joiner.on_datagram(now, &lease.bytes, at(REPAIRER)).is_none());
        }
    }

    fn counts(&self) -> [FanoutCounts; 2] {
        [self.repairer.counts(), self.joiner.counts()]
    }
}

#[test]
fn a_lease_begins_with_a_proof_is_kept_by_saying_so_and_ends_in_silence_or_with_a_word() {
    let mut talk = Talk::new(4);
    talk.go(0);
    let [repairer, joiner] = talk.counts();
    assert_eq!((repairer.leases, repairer.joins, repairer.unproven, joiner.lessors), (1, 1, 1, 1));
    for now in 1..=20 {
        talk.go(now * SECOND / 2);
    }
    let [repairer, _] = talk.counts();
    assert_eq!((repairer.leases, repairer.joins, repairer.expired, repairer.unproven), (1, 1, 0, 1));
    assert!(talk.repairer.poll(10 * SECOND + LEASE_NS, |_| false).is_none());
    let [repairer, _] = talk.counts();
    assert_eq!((repairer.leases, repairer.expired), (0, 1));

    talk.go(14 * SECOND);
    assert_eq!(talk.counts()[0].leases, 1, "it is back");
    let words = talk.joiner.leave();
    words.iter().for_each(|word| talk.say(15 * SECOND, word));
    let [repairer, _] = talk.counts();
    assert_eq!((words.len(), repairer.leases, repairer.leaves), (1, 0, 1));
}

#[test]
fn a_full_table_says_so_at_both_ends_until_there_is_room() {
    let mut talk = Talk::new(0);
    talk.go(0);
    let [repairer, joiner] = talk.counts();
    assert_eq!((repairer.leases, repairer.refused, repairer.is_refusing), (0, 1, 1));
    assert_eq!((joiner.refused_by, joiner.refusals, joiner.lessors), (1, 1, 0));
    talk.go(SECOND);
    let [repairer, joiner] = talk.counts();
    assert_eq!((repairer.refused, joiner.refusals), (2, 1), "it asks again, and hears nothing new");
    assert!(talk.repairer.poll(SECOND + LEASE_NS, |_| false).is_none());
    assert_eq!(talk.counts()[0].is_refusing, 0);
}

#[test]
fn a_giver_that_was_restarted_gives_again_with_the_next_join() {
    let mut talk = Talk::new(4);
    talk.go(0);
    talk.repairer = leasing(true, REPAIRER, 4, CLUSTER);
    talk.go(SECOND);
    assert_eq!(talk.counts().map(|counts| (counts.leases, counts.lessors)), [(1, 0), (0, 1)]);
}

#[test]
fn what_is_not_answered_is_asked_again_soon_at_first_and_ten_times_a_second_then() {
    let mut joiner = leasing(false, JOINER, 0, CLUSTER);
    let asked = |now: &Nanos| joiner.poll(*now, |_| false).is_some();
    let times: Vec<Nanos> = (0..5_000).map(|ms| ms * 1_000_000).filter(asked).collect();
    let ms = |place: usize| times[place] / 1_000_000;
    assert_eq!([ms(0), ms(1), ms(2), ms(3)], [0, 20, 60, 140]);
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] <= SECOND / 10));
    assert!(times.len() < 60, "{times:?}");
}

#[test]
fn a_join_in_anothers_name_of_another_cluster_or_malformed_gives_nothing_and_is_counted() {
    let mut repairer = leasing(true, REPAIRER, 4, CLUSTER);
    // A sender that forges another's address in a join does not receive the proof, which goes to that
    // address.
    let mut liar = leasing(false, JOINER, 0, CLUSTER);
    let join = liar.poll(0, |_| false).unwrap();
    let lease = repairer.on_datagram(0, &join.bytes, at(66)).unwrap();
    assert_eq!(lease.to, at(66));
    assert!(lease.bytes.len() <= join.bytes.len(), "nobody is sent more than was sent");
    assert_eq!((repairer.counts().leases, repairer.counts().unproven), (0, 1));

    let mut other = leasing(false, JOINER, 0, CLUSTER + 1);
    let join = other.poll(0, |_| false).unwrap();
    assert!(repairer.on_datagram(0, &join.bytes, at(JOINER)).is_none());
    let mut wrong = [0; CONTROL_LEN];
    let body = JoinBody { groups: GROUPS_ALL + 1, reserved: 0, process_nonce: 1, proof: 0, padding: 0 };
    write_join(
        &mut wrong,
        &Keyring::none(CLUSTER),
        Header { cluster: CLUSTER, ..Header::new(Kind::Join) },
        body,
    );
    assert!(repairer.on_datagram(0, &wrong, at(JOINER)).is_none());
    assert!(repairer.on_datagram(0, &wrong[..50], at(JOINER)).is_none());
    assert!(repairer.on_datagram(0, &lease.bytes, at(JOINER)).is_none(), "a lease that we did not ask for");
    assert_eq!((repairer.counts().leases, repairer.counts().unexpected), (0, 4));
}

#[test]
fn a_node_that_sends_by_multicast_alone_refuses_a_lease_by_name() {
    let mut joiner = leasing(false, JOINER, 0, CLUSTER);
    let join = joiner.poll(0, |_| false).unwrap();
    let Ok(lockstep_wire::Datagram::Join(_, asked)) =
        lockstep_wire::Datagram::decode(&join.bytes, &Keyring::none(CLUSTER))
    else {
        panic!("a join");
    };
    let term = LeaseReply::Multicast as u32;
    let body = lockstep_wire::LeaseBody {
        term,
        lasts_ms: 0,
        process_nonce: asked.process_nonce,
        proof: 0,
        members: 0,
        members_max: 0,
    };
    let mut lease = [0; CONTROL_LEN];
    lockstep_wire::write_lease(
        &mut lease,
        &Keyring::none(CLUSTER),
        Header { cluster: CLUSTER, ..Header::new(Kind::Lease) },
        body,
    );
    joiner.on_datagram(0, &lease, at(REPAIRER));
    assert_eq!((joiner.counts().refused_by, joiner.counts().lessors), (1, 0));
}

// ------------------------------------------------------------------------------------------ on the loopback

fn udp(unicast_port: u16, joins: &[Group]) -> UdpSettings {
    let groups = [1, 2, 3].map(|last| Ipv4Addr::new(239, 1, 1, last));
    let interface = Interface::Address(Ipv4Addr::LOCALHOST);
    UdpSettings { unicast_port, joins: joins.to_vec(), ..UdpSettings::new(interface, 1, groups) }
}

fn open(gives: bool, unicast_port: u16, nodes: &[u16], joins: &[Group]) -> Fanout {
    let nodes = nodes.iter().map(|port| node(*port)).collect();
    Fanout::open(
        udp(unicast_port, joins),
        &FanoutSettings { keys: Keyring::none(CLUSTER).into(), nodes, members_max: 8, grants_leases: gives },
    )
    .unwrap()
}

/// Receives both kinds until `done`, and returns the datagrams of each.
fn receive(net: &mut Fanout, others: &mut [&mut Fanout], count: usize) -> [Vec<Vec<u8>>; 2] {
    let mut came = [vec![], vec![]];
    let until = Clock::start().now() + 5 * SECOND;
    while came.iter().map(Vec::len).sum::<usize>() < count && Clock::start().now() < until {
        for index in 0..net.recv_groups() {
            came[0].push(net.group_datagram(index).to_vec());
        }
        for index in 0..net.recv_unicast() {
            came[1].push(net.unicast_datagram(index).0.to_vec());
        }
        others.iter_mut().for_each(|other| _ = other.recv_groups());
    }
    came
}

fn ack(number: u64) -> Vec<u8> {
    let mut out = [0; 256];
    let header = Header { cluster: CLUSTER, number, ..Header::new(Kind::Ack) };
    let length = write_ack(&mut out, &Keyring::none(CLUSTER), header, AckBody { process_nonce: 1 });
    out[..length].to_vec()
}

fn query() -> Vec<u8> {
    let mut out = [0; 256];
    let header = Header { cluster: CLUSTER, ..Header::new(Kind::Query) };
    let length = write_query(&mut out, &Keyring::none(CLUSTER), header, 3, QueryKind::Node, "");
    assert_eq!(length, QueryKind::Node.answer_len());
    out[..length].to_vec()
}

#[test]
fn one_socket_tells_groups_from_unicast_by_kind_whichever_is_received_first() {
    let [a, b] = [free_port(Ipv4Addr::LOCALHOST).unwrap(), free_port(Ipv4Addr::LOCALHOST).unwrap()];
    let mut sender = open(true, a, &[a, b], &[]);
    let mut hears = open(true, b, &[a, b], &[]);
    let (ack, query) = (ack(1), query());
    for by_unicast_first in [false, true] {
        assert_eq!(sender.send_group(Group::Control, &[Burst { bytes: &ack, stride: ack.len() }]), 1);
        assert!(sender.send_unicast(at(b), [&query, &[]]));
        if by_unicast_first {
            while hears.recv_unicast() == 0 {}
            assert_eq!(hears.unicast_datagram(0), (&query[..], at(a)));
            assert_eq!(hears.recv_groups(), 1);
            assert_eq!(hears.group_datagram(0), ack);
        } else {
            assert_eq!(receive(&mut hears, &mut [], 2), [vec![ack.clone()], vec![query.clone()]]);
        }
    }
}

#[test]
fn a_repair_for_one_comes_by_unicast_and_one_for_all_by_the_group() {
    let mut frame = vec![0; HEADER_LEN];
    let header = Header { cluster: CLUSTER, first_seq: 1, ..Header::new(Kind::Frame) };
    seal(&mut frame, header);
    let with = |token| {
        let trailer = lockstep_wire::repair_trailer(
            &Keyring::none(CLUSTER),
            Default::default(),
            lockstep_wire::Epoch::NONE,
            0,
            token,
            &frame,
        );
        [frame.clone(), trailer.to_vec()].concat()
    };
    assert_eq!(
        [way(&frame), way(&with(0)), way(&with(1 << 63))],
        [SendPath::Group, SendPath::Group, SendPath::Unicast]
    );
    assert_eq!(
        [way(&[]), way(&frame[..20]), way(&[255; 200])],
        [SendPath::Unicast, SendPath::Group, SendPath::Unicast]
    );
}

#[test]
fn a_member_gets_every_datagram_of_every_burst_once_and_in_order_and_none_after_it_left() {
    let [a, b] = [free_port(Ipv4Addr::LOCALHOST).unwrap(), free_port(Ipv4Addr::LOCALHOST).unwrap()];
    let mut leader = open(true, a, &[a, b], &[Group::Submit]);
    let mut standby = open(true, b, &[a, b], &[Group::Submit, Group::Data]);
    let mut reader = open(false, 0, &[a, b], &[Group::Data]);
    let until = Clock::start().now() + 5 * SECOND;
    while reader.fanout_counts().lessors < 2 && Clock::start().now() < until {
        reader.recv_groups();
        leader.recv_groups();
        standby.recv_groups();
    }
    assert_eq!(leader.fanout_counts().leases, 1, "{:?}", leader.fanout_counts());
    assert_eq!(standby.fanout_counts().leases, 1, "every node knows who listens, before it leads");

    let stride = ack(0).len();
    let all: Vec<Vec<u8>> = (0..200).map(ack).collect();
    let (many, few) = (all[..180].concat(), all[180..].concat());
    let bursts = [Burst { bytes: &many, stride }, Burst { bytes: &few, stride }];
    let mut taken = 0;
    while taken < 200 {
        // A datagram that exceeds a call's messages stays with the caller.
        let rest = |burst: &Burst<'_>, skip: usize| skip.min(burst.count());
        let first = rest(&bursts[0], taken);
        let second = taken - first;
        let left = [
            Burst { bytes: &bursts[0].bytes[first * stride..], stride },
            Burst { bytes: &bursts[1].bytes[second * stride..], stride },
        ];
        taken += leader.send_group(Group::Data, &left);
    }
    assert_eq!(receive(&mut reader, &mut [&mut leader], 200)[0], all);
    assert_eq!(receive(&mut standby, &mut [], 200)[0], all);

    drop(reader);
    let until = Clock::start().now() + 5 * SECOND;
    while leader.fanout_counts().leases > 0 && Clock::start().now() < until {
        leader.recv_groups();
    }
    let counts = leader.fanout_counts();
    assert_eq!((counts.leases, counts.leaves, counts.unsent), (0, 1, 0));
}

#[test]
fn one_address_that_cannot_be_reached_holds_up_nobody_else() {
    let [a, b] = [free_port(Ipv4Addr::LOCALHOST).unwrap(), free_port(Ipv4Addr::LOCALHOST).unwrap()];
    let nowhere = FanoutNode { id: 9, address: "240.0.0.1:9".parse().unwrap(), groups: GROUPS_ALL };
    let settings = FanoutSettings {
        keys: Keyring::none(CLUSTER).into(),
        nodes: vec![nowhere, node(b)],
        members_max: 8,
        grants_leases: true,
    };
    let mut leader = Fanout::open(udp(a, &[]), &settings).unwrap();
    let mut standby = open(true, b, &[a, b], &[]);
    let ack = ack(1);
    assert_eq!(leader.send_group(Group::Data, &[Burst { bytes: &ack, stride: ack.len() }]), 1);
    assert_eq!(receive(&mut standby, &mut [], 1)[0], [ack]);
    let (sockets, own) = (leader.counts(), leader.fanout_counts());
    assert_eq!((sockets.refused_sends, own.unsent), (1, 1), "errno {}", sockets.last_errno);
}
