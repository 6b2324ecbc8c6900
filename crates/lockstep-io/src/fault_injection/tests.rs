//! The promises of fault injection, over a device of memory and a clock of the test.

use super::*;
use std::cell::Cell;
use std::rc::Rc;

/// A device to which the test hands what it receives.
#[derive(Default)]
struct Memory {
    arrived: Vec<Vec<u8>>,
    lent: Vec<Vec<u8>>,
    sent: Vec<Vec<u8>>,
}

impl Net for Memory {
    fn recv_groups(&mut self) -> usize {
        self.lent = std::mem::take(&mut self.arrived);
        self.lent.len()
    }

    fn is_drained(&self) -> bool {
        true
    }

    fn group_datagram(&self, index: usize) -> &[u8] {
        &self.lent[index]
    }

    fn recv_unicast(&mut self) -> usize {
        self.recv_groups()
    }

    fn unicast_datagram(&self, index: usize) -> (&[u8], SocketAddrV4) {
        (&self.lent[index], sender(&self.lent[index]))
    }

    fn send_group(&mut self, _group: Group, bursts: &[Burst<'_>]) -> usize {
        self.sent.extend(bursts.iter().map(|burst| burst.bytes.to_vec()));
        bursts.len()
    }

    fn send_unicast(&mut self, _to: SocketAddrV4, parts: [&[u8]; 2]) -> bool {
        self.sent.push(parts.concat());
        true
    }
}

/// Each datagram has a sender of its own, so that a mix-up shows.
fn sender(datagram: &[u8]) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::LOCALHOST, 1 + u16::from(datagram[0]))
}

impl Time for Rc<Cell<Nanos>> {
    fn now(&self) -> Nanos {
        self.get()
    }
}

type FaultInjected = FaultInjector<Memory, Rc<Cell<Nanos>>>;

const LEN_MAX: usize = 64;

fn faulty(settings: FaultSettings, salt: u64) -> (FaultInjected, Rc<Cell<Nanos>>) {
    let time = Rc::new(Cell::new(1));
    (FaultInjector::timed(Memory::default(), settings, salt, LEN_MAX, Rc::clone(&time)), time)
}

fn datagram(number: u32) -> Vec<u8> {
    number.to_le_bytes().to_vec()
}

fn number(datagram: &[u8]) -> u32 {
    u32::from_le_bytes(datagram.try_into().expect("four bytes"))
}

/// The numbers of the datagrams that come out when `count` datagrams come in, ten at a time, and the clock
/// then runs on.
fn through(settings: FaultSettings, salt: u64, count: u32) -> (Vec<u32>, FaultCounts) {
    let (mut net, time) = faulty(settings, salt);
    let mut out = Vec::new();
    for from in (0..count).step_by(10) {
        net.inner.arrived = (from..count.min(from + 10)).map(datagram).collect();
        let lent = net.recv_groups();
        out.extend((0..lent).map(|index| number(net.group_datagram(index))));
        time.set(time.get() + 1_000);
    }
    time.set(Nanos::MAX / 2);
    loop {
        match net.recv_groups() {
            0 => return (out, net.counts()),
            lent => out.extend((0..lent).map(|index| number(net.group_datagram(index)))),
        }
    }
}

const CALM: FaultSettings =
    FaultSettings { loss_ppm: 0, duplication_ppm: 0, reordering_ppm: 0, delay_ns: 0, seed: 7, line: 0 };

#[test]
fn what_is_not_spoilt_comes_as_it_came() {
    assert!(CALM.is_off());
    let (out, counts) = through(CALM, 1, 1_000);
    assert_eq!(out, (0..1_000).collect::<Vec<_>>());
    assert_eq!(counts, FaultCounts::default());
}

#[test]
fn of_two_lines_the_one_that_is_named_is_spoilt_or_both() {
    let spoilt = |line| {
        let settings = FaultSettings { loss_ppm: 1, line, ..CALM };
        [settings.injects(1), settings.injects(2)]
    };
    assert_eq!([spoilt(0), spoilt(1), spoilt(2)], [[true, true], [true, false], [false, true]]);
    assert!(!CALM.injects(1));
}

#[test]
fn the_share_that_is_asked_for_is_lost_and_every_lost_datagram_is_counted() {
    for (loss_ppm, from, to) in
        [(10_000, 800, 1_200), (300_000, 29_000, 31_000), (1_000_000, 100_000, 100_000)]
    {
        let (out, counts) = through(FaultSettings { loss_ppm, ..CALM }, 1, 100_000);
        assert!((from..=to).contains(&counts.lost), "{loss_ppm} ppm: {counts:?}");
        assert_eq!(out.len() as u64 + counts.lost, 100_000);
        assert!(out.is_sorted());
    }
}

#[test]
fn one_seed_is_one_fate_another_seed_or_device_is_another() {
    let settings = FaultSettings {
        loss_ppm: 100_000,
        duplication_ppm: 50_000,
        reordering_ppm: 50_000,
        delay_ns: 5_000,
        ..CALM
    };
    let run = |settings, salt| through(settings, salt, 5_000).0;
    let first = run(settings, 1);
    assert_eq!(first, run(settings, 1));
    assert_ne!(first, run(settings, 2), "two receivers lose independently");
    assert_ne!(first, run(FaultSettings { seed: 8, ..settings }, 1));
}

#[test]
fn what_is_repeated_comes_exactly_twice() {
    let (mut out, counts) = through(FaultSettings { duplication_ppm: 20_000, ..CALM }, 1, 50_000);
    assert!((900..1_100).contains(&counts.duplicated), "{counts:?}");
    assert_eq!(out.len() as u64, 50_000 + counts.duplicated);
    out.dedup();
    assert_eq!(out, (0..50_000).collect::<Vec<_>>());
}

#[test]
fn what_is_reordered_is_passed_by_a_few_and_nothing_is_lost_by_it() {
    let (mut out, counts) = through(FaultSettings { reordering_ppm: 50_000, ..CALM }, 1, 50_000);
    assert!((2_300..2_700).contains(&counts.reordered), "{counts:?}");
    assert!(!out.is_sorted());
    for (place, number) in out.iter().enumerate() {
        // It is lent with the batch in which the last one passes it.
        assert!(place.abs_diff(*number as usize) <= PASSED_MAX as usize + 20, "{number} at {place}");
    }
    out.sort_unstable();
    assert_eq!(out, (0..50_000).collect::<Vec<_>>());
}

#[test]
fn the_last_datagram_comes_although_nothing_passes_it() {
    let (mut net, time) = faulty(FaultSettings { reordering_ppm: 1_000_000, ..CALM }, 1);
    net.inner.arrived = vec![datagram(1)];
    assert_eq!(net.recv_groups(), 0);
    time.set(time.get() + ASIDE_NS - 1);
    assert_eq!(net.recv_groups(), 0);
    time.set(time.get() + 1);
    assert_eq!((net.recv_groups(), number(net.group_datagram(0))), (1, 1));
    assert_eq!(net.recv_groups(), 0);
}

#[test]
fn a_delayed_datagram_comes_at_its_time_in_order_with_its_bytes_and_its_sender() {
    let (mut net, time) = faulty(FaultSettings { delay_ns: 100, ..CALM }, 1);
    for at in 0..10 {
        time.set(1 + 10 * at);
        net.inner.arrived = vec![datagram(at as u32)];
        assert_eq!(net.recv_unicast(), 0);
    }
    for at in 0..10 {
        time.set(101 + 10 * at);
        assert_eq!(net.recv_unicast(), 1);
        let expected = datagram(at as u32);
        assert_eq!(net.unicast_datagram(0), (&expected[..], sender(&expected)));
    }
    assert_eq!((net.recv_unicast(), net.counts().delayed), (0, 10));
}

#[test]
fn what_waits_is_bounded_and_what_finds_no_room_is_counted_as_lost() {
    let (mut net, time) = faulty(FaultSettings { delay_ns: 100, ..CALM }, 1);
    for round in 0..3 {
        net.inner.arrived = (0..GROUP_POOL as u32 + 50).map(datagram).collect();
        assert_eq!(net.recv_groups(), 0);
        assert_eq!(net.counts().overflowed, 50 * (round + 1));
        time.set(time.get() + 100);
        let mut out = Vec::new();
        while let lent @ 1.. = net.recv_groups() {
            assert!(lent <= LENT_MAX);
            out.extend((0..lent).map(|index| number(net.group_datagram(index))));
        }
        assert_eq!(out, (0..GROUP_POOL as u32).collect::<Vec<_>>());
    }
}

#[test]
fn what_is_sent_is_left_alone() {
    let (mut net, _time) = faulty(FaultSettings { loss_ppm: 1_000_000, ..CALM }, 1);
    assert_eq!(net.send_group(Group::Data, &[Burst { bytes: b"frame", stride: 5 }]), 1);
    assert!(net.send_unicast(sender(&[1]), [b"ask", b"ed"]));
    assert_eq!(net.inner().sent, [b"frame".to_vec(), b"asked".to_vec()]);
}
