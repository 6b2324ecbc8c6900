//! Behaviour that only a real refusal of the kernel can show.

use super::*;
use std::os::fd::AsRawFd;

/// A node is opened by one thread and run by another.
const fn may_move<T: Send>() {}
const _: () = may_move::<Udp>();

/// A node of its own group and port on the loopback.
fn node() -> Udp {
    let random = crate::clock::random_u64().unwrap().to_le_bytes();
    let group = |last| Ipv4Addr::new(239, random[0], random[1], last);
    let port = free_port(Ipv4Addr::LOCALHOST).unwrap();
    let interface = Interface::Address(Ipv4Addr::LOCALHOST);
    let groups = [group(1), group(2), group(3)];
    Udp::open(UdpSettings { ttl: 0, ..UdpSettings::new(interface, port, groups) }).unwrap()
}

/// Makes the kernel refuse UDP_SEGMENT on this socket with EINVAL: it needs checksums.
fn refuse_segments(udp: &Udp) {
    let on: libc::c_int = 1;
    let bytes = size_of::<libc::c_int>() as libc::socklen_t;
    let socket = udp.group.as_raw_fd();
    // SAFETY: the value is an `int` that lives across the call, and its size is stated.
    let failed = unsafe {
        libc::setsockopt(socket, libc::SOL_SOCKET, libc::SO_NO_CHECK, (&raw const on).cast(), bytes)
    };
    assert_eq!(failed, 0);
}

/// All datagrams that have arrived.
fn received(udp: &mut Udp) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    while let count @ 1.. = udp.recv_groups() {
        all.extend((0..count).map(|index| udp.group_datagram(index).to_vec()));
    }
    all
}

#[test]
fn when_the_kernel_refuses_segments_the_burst_is_sent_again_one_by_one_and_so_are_all_later_ones() {
    let mut udp = node();
    refuse_segments(&udp);
    let bytes: Vec<u8> = (0..10 * 100 + 40).map(|index| (index / 100) as u8).collect();
    let burst = [Burst { bytes: &bytes, stride: 100 }];
    assert_eq!(udp.send_group(Group::Data, &burst), 11);
    assert_eq!(received(&mut udp), bytes.chunks(100).map(<[u8]>::to_vec).collect::<Vec<_>>());
    assert_eq!((udp.counts().segment_refused, udp.counts().group_sends), (1, 2));

    assert_eq!(udp.send_group(Group::Data, &burst), 11);
    assert_eq!(received(&mut udp).len(), 11);
    assert_eq!((udp.counts().segment_refused, udp.counts().group_sends), (1, 3), "it is not tried again");
}

#[test]
fn a_refusal_behind_a_single_datagram_is_found_out_and_nothing_is_sent_twice() {
    let mut udp = node();
    refuse_segments(&udp);
    let (single, many) = (vec![7; 50], vec![8; 300]);
    let alone = Burst { bytes: &single, stride: 50 };
    let bursts = [alone, Burst { bytes: &many, stride: 100 }, alone];
    assert_eq!(udp.send_group(Group::Control, &bursts), 5);
    let lengths: Vec<usize> = received(&mut udp).iter().map(Vec::len).collect();
    assert_eq!(lengths, [50, 100, 100, 100, 50]);
    assert_eq!((udp.counts().segment_refused, udp.counts().datagrams_out), (1, 5));
}

#[test]
fn datagrams_that_lie_apart_arrive_as_they_were_cut_though_they_leave_in_one_message() {
    let mut udp = node();
    let memory: Vec<u8> = (0..3000).map(|index| (index % 251) as u8).collect();
    let places = [(0, 800), (2000, 800), (1000, 800), (1900, 30), (300, 500), (900, 700), (100, 700)];
    let apart = places.map(|(at, len)| Burst { bytes: &memory[at..at + len], stride: len });
    assert_eq!(udp.send_group(Group::Data, &apart), places.len());
    let sent: Vec<&[u8]> = apart.iter().map(|burst| burst.bytes).collect();
    assert_eq!(received(&mut udp), sent);
    assert_eq!(udp.counts().group_sends, 1);
}

#[test]
fn a_refused_join_or_leave_is_counted_and_tried_again_when_asked_again() {
    let mut udp = node();
    let is_joined = |udp: &Udp| udp.link.joined[Group::Data as usize].load(Ordering::SeqCst);
    let card = udp.link.card.swap(i32::MAX as u32, Ordering::SeqCst);
    for _ in 0..2 {
        udp.set_joined(Group::Data, false);
    }
    // The kernel finds no membership by that card, which is the result that a leaving device wants.
    assert_eq!((udp.counts().refused_joins, is_joined(&udp)), (0, false));
    for refused in 1..=2 {
        udp.set_joined(Group::Data, true);
        assert_eq!((udp.counts().refused_joins, udp.counts().last_errno), (refused, libc::ENODEV as u64));
    }
    udp.link.card.store(card, Ordering::SeqCst);
    udp.set_joined(Group::Data, true);
    assert_eq!((udp.counts().refused_joins, is_joined(&udp)), (2, true));
}

#[test]
fn a_process_finds_no_port_twice_though_it_binds_none_of_them() {
    let found: Vec<u16> = (0..200).map(|_| free_port(Ipv4Addr::LOCALHOST).unwrap()).collect();
    let mut distinct = found.clone();
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(distinct.len(), found.len(), "{found:?}");
}
