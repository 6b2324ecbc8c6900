//! The two sockets of a node.

use crate::{LOCALHOST, burst, open, received, settings, single};
use lockstep_core::engine::ports::{Burst, Group, Net};
use lockstep_io::udp::{Interface, Udp, UdpCounts, UdpSettings};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::Path;

#[test]
fn datagrams_go_round_through_every_group_and_by_unicast() {
    let by_address = settings();
    let by_name = UdpSettings { interface: "lo".parse().unwrap(), ..by_address.clone() };
    let (mut a, mut b) = (open(&by_address), open(&by_name));
    for (group, text) in [(Group::Submit, "submit"), (Group::Data, "data"), (Group::Control, "control")] {
        assert_eq!(a.send_group(group, &single(text.as_bytes())), 1);
        assert_eq!(received(&mut b), [text.as_bytes()]);
        assert_eq!(received(&mut a), [text.as_bytes()], "own datagrams come back; engines drop them");
    }
    assert!(a.send_unicast(b.unicast_address(), [b"head ", b"and tail"]));
    assert!(a.send_unicast(b.unicast_address(), [b"head", b""]));
    assert_eq!(b.recv_unicast(), 2);
    assert_eq!(b.unicast_datagram(0), (&b"head and tail"[..], a.unicast_address()));
    assert_eq!(b.unicast_datagram(1), (&b"head"[..], a.unicast_address()));
    assert_eq!(b.recv_unicast(), 0);
    let counts = b.counts();
    assert_eq!((counts.datagrams_in, counts.bytes_in), (5, 6 + 4 + 7 + 13 + 4));
    assert_eq!((counts.unicast_receives, counts.dropped, counts.truncated), (2, 0, 0));
}

#[test]
fn a_node_receives_only_the_groups_that_it_joined() {
    let everything = settings();
    let mut all = open(&everything);
    let mut leader = open(&UdpSettings { joins: vec![Group::Submit, Group::Control], ..everything.clone() });
    for (group, text) in [(Group::Submit, "s"), (Group::Data, "d"), (Group::Control, "c")] {
        assert_eq!(leader.send_group(group, &single(text.as_bytes())), 1);
    }
    assert_eq!(received(&mut all), [b"s", b"d", b"c"]);
    assert_eq!(received(&mut leader), [b"s", b"c"]);
}

#[test]
fn a_node_joins_and_leaves_groups_as_it_is_told_and_twice_is_once() {
    let everything = settings();
    let mut sender = open(&UdpSettings { joins: vec![], ..everything.clone() });
    let mut node = open(&UdpSettings { joins: vec![Group::Data, Group::Control], ..everything });
    let mut received_kinds = |node: &mut Udp| {
        for (group, text) in [(Group::Submit, "s"), (Group::Data, "d"), (Group::Control, "c")] {
            assert_eq!(sender.send_group(group, &single(text.as_bytes())), 1);
        }
        received(node).concat()
    };
    assert_eq!(received_kinds(&mut node), b"dc");
    for _ in 0..2 {
        node.set_joined(Group::Submit, true);
        node.set_joined(Group::Data, false);
        assert_eq!(received_kinds(&mut node), b"sc", "a leader");
    }
    for _ in 0..2 {
        node.set_joined(Group::Data, true);
        assert_eq!(received_kinds(&mut node), b"sdc", "a standby");
    }
    assert_eq!(node.counts().refused_joins, 0);
}

#[test]
fn a_burst_arrives_split_and_whole_whether_it_travels_cut_or_uncut() {
    let settings = settings();
    for (gso, gro) in [(true, true), (true, false), (false, true), (false, false)] {
        let mut sender = open(&UdpSettings { gso, ..settings.clone() });
        let mut receiver = open(&UdpSettings { gro, ..settings.clone() });
        for (count, stride) in [(100, 1416), (3, 1000), (64, 8)] {
            let (bytes, before) = (burst(count, stride), receiver.counts());
            // A single datagram before and one after: bursts are received in the order of arrival.
            let bursts = [single(b"first")[0], Burst { bytes: &bytes, stride }, single(b"last")[0]];
            assert_eq!(sender.send_group(Group::Data, &bursts), count + 2);
            let mut expected: Vec<&[u8]> = vec![b"first"];
            expected.extend(bytes.chunks(stride));
            expected.push(b"last");
            let arrived = received(&mut receiver);
            assert!(arrived == expected, "gso {gso}, gro {gro}: {} datagrams arrived", arrived.len());
            let after = receiver.counts();
            let full = |counts: &UdpCounts| counts.group_receives - counts.empty_receives;
            if gso && gro {
                // 46 datagrams of 1416 bytes fill a message: three messages and two singles at most, of which
                // a socket that was empty takes only the first one.
                assert!(full(&after) - full(&before) <= 2);
            }
            assert_eq!(after.bytes_in - before.bytes_in, bytes.len() as u64 + 9);
        }
        let out = sender.counts();
        assert_eq!((out.group_sends, out.segment_refused, out.refused_sends), (3, 0, 0), "gso {gso}");
        assert_eq!(out.datagrams_out, 102 + 5 + 66);
    }
}

#[test]
fn a_socket_that_had_little_is_asked_for_one_and_drained_is_only_what_had_room_for_more() {
    let settings = UdpSettings { gso: false, gro: false, ..settings() };
    let mut sender = open(&settings);
    let mut receiver = open(&settings);
    assert_eq!((receiver.recv_groups(), receiver.is_drained()), (0, true));
    for _ in 0..5 {
        assert_eq!(sender.send_group(Group::Data, &single(b"datagram")), 1);
    }
    assert_eq!(
        (receiver.recv_groups(), receiver.is_drained()),
        (1, false),
        "it had no room for a second one"
    );
    assert_eq!((receiver.recv_groups(), receiver.is_drained()), (4, true));
    assert_eq!(sender.send_group(Group::Data, &single(b"datagram")), 1);
    assert_eq!((receiver.recv_groups(), receiver.is_drained()), (1, true), "four are no silence");
    assert_eq!(sender.send_group(Group::Data, &single(b"datagram")), 1);
    assert_eq!((receiver.recv_groups(), receiver.is_drained()), (1, false));
}

#[test]
fn every_datagram_that_a_full_socket_threw_away_is_counted() {
    let settings = UdpSettings { gso: false, ..settings() };
    let mut sender = open(&settings);
    let mut receiver = open(&UdpSettings { receive_buffer_bytes: 8192, ..settings.clone() });
    let mut arrived = 0;
    for _ in 0..3 {
        for _ in 0..100 {
            assert_eq!(sender.send_group(Group::Data, &single(&[5; 1000])), 1);
        }
        arrived += received(&mut receiver).len();
        // The next datagram that finds room carries the count.
        assert_eq!(sender.send_group(Group::Data, &single(b"next")), 1);
        arrived += received(&mut receiver).len();
    }
    assert!(arrived < 300, "nothing was lost, so nothing was tested");
    assert_eq!(receiver.counts().dropped + arrived as u64, 303);
    received(&mut sender);
    assert_eq!(sender.counts().dropped, 0, "its own buffers are deep enough");
}

#[test]
fn a_datagram_longer_than_ours_may_be_is_counted_and_not_lent() {
    let settings = settings();
    let mut sender = open(&settings);
    let mut receiver = open(&UdpSettings { datagram_len_max: 100, gro: false, ..settings });
    for len in [100, 101, 99] {
        assert_eq!(sender.send_group(Group::Data, &single(&vec![1; len])), 1);
    }
    assert!(sender.send_unicast(receiver.unicast_address(), [&[1; 60], &[2; 60]]));
    assert_eq!(received(&mut receiver), [vec![1; 100], vec![1; 99]]);
    assert_eq!((receiver.recv_unicast(), receiver.counts().truncated), (0, 2));
}

#[test]
fn what_one_call_cannot_hold_is_told_and_may_be_offered_again() {
    let settings = UdpSettings { gso: false, ..settings() };
    let mut udp = open(&settings);
    let bytes = burst(300, 8);
    let mut sent = udp.send_group(Group::Data, &[Burst { bytes: &bytes, stride: 8 }]);
    assert!(sent < 300 && udp.counts().group_sends == 1, "one call took {sent}");
    while sent < 300 {
        sent += udp.send_group(Group::Data, &[Burst { bytes: &bytes[sent * 8..], stride: 8 }]);
    }
    assert_eq!(received(&mut udp).concat(), bytes);
}

#[test]
fn a_datagram_beyond_the_configured_size_is_refused_and_never_fragmented() {
    let mut udp = open(&settings());
    let (fits, oversize) = (vec![1; 1472], vec![2; 1473]);
    let bursts = [single(&fits)[0], single(&oversize)[0], single(&fits)[0]];
    assert_eq!(udp.send_group(Group::Data, &bursts), 1, "it ends what is sent");
    let twice = vec![3; 2 * 1473];
    assert_eq!(udp.send_group(Group::Data, &[Burst { bytes: &twice, stride: 1473 }]), 0);
    assert_eq!(udp.send_group(Group::Data, &[Burst { bytes: &fits, stride: 0 }]), 0);
    assert_eq!(received(&mut udp), std::slice::from_ref(&fits));

    let to = udp.unicast_address();
    assert!(!udp.send_unicast(to, [&fits, b"x"]));
    assert!(udp.send_unicast(to, [&fits[1..], b"x"]));
    assert_eq!(udp.recv_unicast(), 1);
    assert_eq!(udp.counts().forbidden_sends, 4);
    assert_eq!(udp.counts().datagrams_out, 2);
}

#[test]
fn nothing_is_sent_by_unicast_to_a_group_or_its_port() {
    let settings = settings();
    let mut udp = open(&settings);
    assert!(!udp.send_unicast(SocketAddrV4::new(settings.groups[1], 9), [b"x", b""]));
    assert!(!udp.send_unicast(SocketAddrV4::new(LOCALHOST, settings.port), [b"x", b""]));
    assert_eq!((udp.counts().forbidden_sends, udp.counts().unicast_sends), (2, 0));
}

#[test]
fn a_second_process_on_a_unicast_port_is_told_which_and_what_to_do() {
    let settings = settings();
    let first = open(&settings);
    let port = first.unicast_address().port();
    let error = Udp::open(UdpSettings { unicast_port: port, ..settings }).err().unwrap();
    let text = error.to_string();
    assert!(text.contains(&format!("bind the unicast port 127.0.0.1:{port}")), "{text}");
    assert!(text.contains("is this node running already? Stop it, or configure another port"), "{text}");
    assert_eq!(error.source.kind(), std::io::ErrorKind::AddrInUse);
}

#[test]
fn a_buffer_that_the_kernel_cuts_is_reported_with_its_sysctl() {
    let asked = 1 << 30;
    let udp = open(&UdpSettings { receive_buffer_bytes: asked, send_buffer_bytes: asked, ..settings() });
    for (what, sysctl) in [
        ("group receive_buffer", "net.core.rmem_max"),
        ("unicast receive_buffer", "net.core.rmem_max"),
        ("group send_buffer", "net.core.wmem_max"),
    ] {
        let granted = std::fs::read_to_string(format!("/proc/sys/{}", sysctl.replace('.', "/"))).unwrap();
        let granted: usize = granted.trim().parse().unwrap();
        let effective = udp.effective().iter().find(|effective| effective.what == what).unwrap();
        if granted >= asked {
            println!("SKIPPED: {sysctl} is {granted} here, so nothing is cut");
            assert_eq!(effective.note, None);
            continue;
        }
        assert_eq!(effective.got, format!("{granted} B"));
        let note = effective.note.as_deref().unwrap();
        assert!(note.contains(&format!("sysctl -w {sysctl}={asked}")), "{note}");
    }
    let modest = open(&UdpSettings { receive_buffer_bytes: 8192, ..settings() });
    assert!(
        modest
            .effective()
            .iter()
            .all(|effective| !effective.what.contains("receive") || effective.note.is_none())
    );
}

/// The cards of this machine with a number that `/sys` reports for them.
fn cards(fact: &str) -> Vec<(String, u32)> {
    let Ok(folder) = std::fs::read_dir("/sys/class/net") else { return Vec::new() };
    let number = |path: &Path| {
        let text = std::fs::read_to_string(path).ok()?;
        let text = text.trim();
        text.strip_prefix("0x").map_or_else(|| text.parse().ok(), |hex| u32::from_str_radix(hex, 16).ok())
    };
    let cards = folder
        .flatten()
        .filter_map(|card| Some((card.file_name().into_string().ok()?, number(&card.path().join(fact))?)));
    cards.filter(|(name, _)| name != "lo").collect()
}

#[test]
fn an_interface_that_cannot_serve_is_refused_by_name_with_a_remedy() {
    let refusal = |settings| Udp::open(settings).err().unwrap().to_string();
    let with = |name: &str| UdpSettings { interface: Interface::Name(name.into()), ..settings() };
    let missing = refusal(with("nosuch0"));
    assert!(missing.contains("nosuch0") && missing.contains("lo (127.0.0.1)"), "{missing}");

    const MULTICAST: u32 = 0x1000;
    match cards("flags").iter().find(|(_, flags)| flags & MULTICAST == 0) {
        None => println!("SKIPPED: every interface of this machine has multicast"),
        Some((name, _)) => {
            let text = refusal(with(name));
            assert!(
                text.contains(&format!("{name} has no MULTICAST flag; name another interface")),
                "{text}"
            );
        }
    }
    let able = cards("flags").into_iter().filter(|(_, flags)| flags & MULTICAST != 0 && flags & 1 != 0);
    let able: Vec<String> = able.map(|(name, _)| name).collect();
    match cards("mtu").iter().find(|(name, mtu)| able.contains(name) && *mtu < 60_000) {
        None => println!("SKIPPED: no interface with a small MTU is up"),
        Some((name, mtu)) => {
            let text = refusal(UdpSettings { datagram_len_max: *mtu as usize - 27, ..with(name) });
            assert!(text.contains(&format!("configure `mtu = {mtu}`")), "{text}");
        }
    }
}

#[test]
fn of_an_interface_with_several_addresses_the_configured_one_is_bound() {
    let at =
        |address: Ipv4Addr| UdpSettings { interface: Interface::Name("lo".into()).at(address), ..settings() };
    let second = Ipv4Addr::new(127, 0, 0, 12);
    assert_eq!(*open(&at(second)).unicast_address().ip(), second);
    let text = Udp::open(at(Ipv4Addr::new(10, 99, 99, 99))).err().unwrap().to_string();
    assert!(text.contains("lo at 10.99.99.99: lo has the addresses [127.0.0.1"), "{text}");
}

#[test]
fn settings_that_cannot_work_are_refused_before_anything_is_opened() {
    let refusal = |settings| Udp::open(settings).err().unwrap().to_string();
    let mut no_group = settings();
    no_group.groups[1] = Ipv4Addr::new(10, 0, 0, 1);
    assert!(refusal(no_group).contains("use 10.0.0.1 as a group"));
    let one_port = UdpSettings { unicast_port: settings().port, ..settings() };
    assert!(refusal(UdpSettings { port: one_port.unicast_port, ..one_port }).contains("a port of their own"));
    assert!(refusal(UdpSettings { datagram_len_max: 65_508, ..settings() }).contains("1 to 65507"));
}
