//! A pair of nodes settles by itself how each receives the other.

use super::*;
use crate::fanout::FanoutNode;
use crate::udp::{Interface, free_port};
use lockstep_wire::{AckBody, GROUPS_ALL, Keyring, write_ack};
use std::net::Ipv4Addr;

const SECOND: Nanos = 1_000_000_000;
const CLUSTER: u64 = 7;

/// Nodes 1 and 2 and their groups.
struct Site {
    ports: [u16; 2],
    groups: [Ipv4Addr; 3],
    port: u16,
}

impl Site {
    fn new() -> Self {
        let random = crate::clock::random_u64().unwrap().to_le_bytes();
        let port = || free_port(Ipv4Addr::LOCALHOST).unwrap();
        let group = |last| Ipv4Addr::new(239, random[0], random[1], last);
        Self { ports: [port(), port()], groups: [group(1), group(2), group(3)], port: port() }
    }

    fn udp(&self, id: usize, joins: &[Group]) -> UdpSettings {
        let interface = Interface::Address(Ipv4Addr::LOCALHOST);
        let unicast_port = self.ports.get(id.wrapping_sub(1)).copied().unwrap_or(0);
        let joins = joins.to_vec();
        UdpSettings { ttl: 0, unicast_port, joins, ..UdpSettings::new(interface, self.port, self.groups) }
    }

    /// Node 1 or 2, or a handle.
    fn open(&self, id: usize, joins: &[Group]) -> Transport {
        let nodes = [1, 2].map(|id| FanoutNode {
            id,
            address: SocketAddrV4::new(Ipv4Addr::LOCALHOST, self.ports[id as usize - 1]),
            groups: GROUPS_ALL,
        });
        let fanout = FanoutSettings {
            keys: Keyring::none(CLUSTER).into(),
            nodes: nodes.to_vec(),
            members_max: 8,
            grants_leases: id > 0,
        };
        open(self.udp(id, joins), &AutoSettings { fanout, queue: None }, None).unwrap()
    }
}

fn ack(sender: u32, number: u64) -> Vec<u8> {
    let mut out = [0; 256];
    let header = Header { cluster: CLUSTER, sender, number, ..Header::new(Kind::Ack) };
    let length = write_ack(&mut out, &Keyring::none(CLUSTER), header, AckBody { process_nonce: 1 });
    out[..length].to_vec()
}

/// Turns all devices, each time after `speak`, until `done` or a timeout. Returns the group datagrams that
/// the last device received.
fn turn(
    nets: &mut [&mut Transport],
    for_ns: Nanos,
    mut speak: impl FnMut(&mut [&mut Transport]),
    done: impl Fn(&[&mut Transport]) -> bool,
) -> Vec<Vec<u8>> {
    let clock = Clock::start();
    let (until, mut received) = (clock.now() + for_ns, Vec::new());
    while clock.now() < until && !done(nets) {
        speak(nets);
        let last = nets.len() - 1;
        for (place, net) in nets.iter_mut().enumerate() {
            for index in 0..net.recv_groups() {
                if place == last {
                    received.push(net.group_datagram(index).to_vec());
                }
            }
            net.recv_unicast();
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    received
}

#[test]
fn on_the_loopback_it_is_udp_and_says_why_it_is_no_better() {
    let site = Site::new();
    let net = site.open(1, &[Group::Control]);
    let transport = net
        .effective()
        .iter()
        .find(|transport| transport.what == "transport")
        .expect("it is told")
        .to_string();
    assert!(
        transport.starts_with("transport udp;") && transport.contains("(asked auto): xdp: the loopback"),
        "{transport}"
    );
}

#[test]
fn who_is_heard_by_multicast_is_asked_for_nothing_and_each_datagram_comes_once() {
    let site = Site::new();
    let (mut one, mut two) = (site.open(1, &[Group::Control]), site.open(2, &[Group::Control]));
    let mut number = 0;
    let received = turn(
        &mut [&mut one, &mut two],
        SECOND,
        |nets| {
            number += 1;
            for (sender, net) in (1..).zip(nets) {
                let ack = ack(sender, number);
                net.send_group(Group::Control, &[Burst { bytes: &ack, stride: ack.len() }]);
            }
        },
        |_| false,
    );
    for net in [&one, &two] {
        let counts = net.fanout_counts();
        assert_eq!((counts.leases, counts.lessors, counts.unproven), (0, 0, 0));
    }
    let mut of_one: Vec<_> = received.into_iter().filter(|bytes| bytes[56] == 1).collect();
    let all = of_one.len();
    of_one.dedup();
    assert!(all > 10 && of_one.len() == all);
}

#[test]
fn who_does_not_hear_multicast_gets_a_lease_and_loses_nothing_then() {
    let site = Site::new();
    let mut one = site.open(1, &[]);
    // It wants the group, but its card receives none of its datagrams.
    let mut deaf = site.open(0, &[Group::Control]);
    let Transport::Auto(auto) = &mut deaf else { panic!("it is auto") };
    auto.line.set_joined(Group::Control, false);
    turn(&mut [&mut one, &mut deaf], 5 * SECOND, |_| {}, |nets| nets[1].fanout_counts().lessors == 1);
    assert_eq!(one.fanout_counts().leases, 1, "{:?}", one.fanout_counts());

    let all: Vec<Vec<u8>> = (0..100).map(|number| ack(1, number)).collect();
    let stride = all[0].len();
    assert_eq!(one.send_group(Group::Control, &[Burst { bytes: &all.concat(), stride }]), 100);
    let received = turn(&mut [&mut one, &mut deaf], SECOND / 2, |_| {}, |_| false);
    assert_eq!(received, all);

    // Multicast is back: the lease is returned, without a gap.
    let Transport::Auto(auto) = &mut deaf else { panic!("it is auto") };
    auto.line.set_joined(Group::Control, true);
    let mut number = 100;
    let mut received = turn(
        &mut [&mut one, &mut deaf],
        5 * SECOND,
        |nets| {
            let ack = ack(1, number);
            number += 1;
            nets[0].send_group(Group::Control, &[Burst { bytes: &ack, stride }]);
        },
        |nets| nets[0].fanout_counts().leaves > 0,
    );
    assert_eq!((one.fanout_counts().leases, one.fanout_counts().leaves), (0, 1));
    received.sort();
    received.dedup();
    let sent: Vec<_> = (100..number - 1).map(|number| ack(1, number)).collect();
    assert!(sent.iter().all(|ack| received.contains(ack)), "{} of {}", received.len(), sent.len());
}

#[test]
fn what_a_handle_submits_goes_to_each_replica_that_it_hears_by_lease() {
    let site = Site::new();
    // It joins no group, as if submissions by multicast did not arrive.
    let mut one = site.open(1, &[]);
    let mut handle = site.open(0, &[Group::Control]);
    turn(&mut [&mut one, &mut handle], 5 * SECOND, |_| {}, |nets| nets[1].fanout_counts().lessors == 1);
    // It checks its leases when nothing arrives.
    handle.recv_groups();
    let submission = Header { cluster: CLUSTER, ..Header::new(Kind::Submission) };
    let mut bytes = vec![0; lockstep_wire::HEADER_LEN];
    lockstep_wire::seal(&mut bytes, submission);
    assert_eq!(handle.send_group(Group::Submit, &[Burst { bytes: &bytes, stride: bytes.len() }]), 1);
    let until = Clock::start().now() + 5 * SECOND;
    let mut came = Vec::new();
    while came.is_empty() && Clock::start().now() < until {
        one.recv_groups();
        for index in 0..one.recv_unicast() {
            came.push(one.unicast_datagram(index).0.to_vec());
        }
    }
    assert_eq!(came, [bytes]);
    assert_eq!(one.fanout_counts().leases, 1);
}
