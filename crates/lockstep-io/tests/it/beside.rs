//! Memory beside a network: which datagrams go by which of them, and that no process receives one twice.

use crate::{LOCALHOST, settings as udp_settings, single};
use lockstep_core::engine::ports::{Burst, Group, Net};
use lockstep_io::device::{Device, DeviceSettings, MemorySharing};
use lockstep_io::fault_injection::Time;
use lockstep_io::shm::{Beside, HostMemory, Shm, ShmSettings};
use lockstep_io::transport::TransportSettings;
use lockstep_wire::Nanos;
use std::cell::Cell;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::Path;
use std::time::{Duration, Instant};

/// A network that records its calls.
#[derive(Default)]
pub(crate) struct Noted {
    /// Datagrams that the next receive brings, for groups and for unicast alike.
    pub(crate) brings: Vec<Vec<u8>>,
    asked: u32,
    sent: Vec<Vec<u8>>,
    takes_nothing: bool,
    pub(crate) joined: Vec<(Group, bool)>,
}

const REMOTE: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 9), 7701);

impl Net for Noted {
    fn recv_groups(&mut self) -> usize {
        self.asked += 1;
        self.brings.len()
    }
    fn is_drained(&self) -> bool {
        true
    }
    fn group_datagram(&self, index: usize) -> &[u8] {
        &self.brings[index]
    }
    fn recv_unicast(&mut self) -> usize {
        self.recv_groups()
    }
    fn unicast_datagram(&self, index: usize) -> (&[u8], SocketAddrV4) {
        (&self.brings[index], REMOTE)
    }
    fn send_group(&mut self, _: Group, bursts: &[Burst<'_>]) -> usize {
        if self.takes_nothing {
            return 0;
        }
        self.sent
            .extend(bursts.iter().flat_map(|burst| burst.bytes.chunks(burst.stride)).map(<[u8]>::to_vec));
        bursts.iter().map(Burst::count).sum()
    }
    fn send_unicast(&mut self, _: SocketAddrV4, parts: [&[u8]; 2]) -> bool {
        self.sent.push(parts.concat());
        true
    }
    fn dropped(&self) -> u64 {
        7
    }
    fn set_joined(&mut self, group: Group, joined: bool) {
        self.joined.push((group, joined));
    }
}

/// A clock that stands still until the test sets it.
struct Hand<'a>(&'a Cell<Nanos>);

impl Time for Hand<'_> {
    fn now(&self) -> Nanos {
        self.0.get()
    }
}

fn memory(parent: &Path) -> Shm {
    let group = SocketAddrV4::new(Ipv4Addr::new(239, 1, 2, 3), 7700);
    let settings = ShmSettings::new(group, SocketAddrV4::new(LOCALHOST, 0));
    Shm::open(ShmSettings { parent: parent.into(), ring_bytes: 64 << 10, ..settings })
        .unwrap_or_else(|error| panic!("{error}"))
}

fn host_memory(parent: &Path) -> HostMemory {
    HostMemory::new(memory(parent), None)
}

pub(crate) fn groups(net: &mut impl Net) -> Vec<Vec<u8>> {
    (0..net.recv_groups()).map(|index| net.group_datagram(index).to_vec()).collect()
}

fn unicast(net: &mut impl Net) -> Vec<(Vec<u8>, SocketAddrV4)> {
    let count = net.recv_unicast();
    let datagram = |index| {
        let (bytes, from) = net.unicast_datagram(index);
        (bytes.to_vec(), from)
    };
    (0..count).map(datagram).collect()
}

#[test]
fn memory_is_asked_at_every_turn_and_the_network_every_two_microseconds() {
    let parent = tempfile::tempdir().unwrap();
    let mut local = memory(parent.path());
    let time = Cell::new(1_000_000);
    let network = Noted { brings: vec![b"far".to_vec()], ..Noted::default() };
    let mut both = Beside::timed(host_memory(parent.path()), network, true, Hand(&time));
    let own = both.memory().unicast_address();
    // The network's part depends on the time alone.
    for (step_ns, far) in [(0, true), (0, false), (1_999, false), (1, true), (1, false), (5_000, true)] {
        time.set(time.get() + step_ns);
        local.send_group(Group::Data, &single(b"near"));
        local.send_unicast(own, [b"ne", b"ar"]);
        let (mut by_group, mut by_unicast) = (groups(&mut both), unicast(&mut both));
        if far {
            assert_eq!(by_group.pop().unwrap(), b"far");
            assert_eq!(by_unicast.pop().unwrap(), (b"far".to_vec(), REMOTE));
        }
        assert_eq!(by_group, [b"near"]);
        assert_eq!(by_unicast, [(b"near".to_vec(), local.unicast_address())]);
    }
    assert_eq!(both.network().asked, 6);
    assert_eq!(both.dropped(), 7);
}

#[test]
fn a_group_is_told_both_ways_and_who_is_here_is_answered_by_memory_alone() {
    let parent = tempfile::tempdir().unwrap();
    let mut local = memory(parent.path());
    let mut both = Beside::new(host_memory(parent.path()), Noted::default(), true);
    let begin = Instant::now();
    while local.counts().members == 0 {
        local.recv_groups();
        assert!(begin.elapsed() < Duration::from_secs(30));
    }
    assert_eq!(both.send_group(Group::Data, &[Burst { bytes: b"aabbc", stride: 2 }]), 3);
    assert_eq!(groups(&mut local), [&b"aa"[..], b"bb", b"c"]);
    assert!(both.send_unicast(local.unicast_address(), [b"here", b""]));
    assert!(both.send_unicast(REMOTE, [b"the", b"re"]));
    assert_eq!(unicast(&mut local), [(b"here".to_vec(), both.memory().unicast_address())]);
    assert_eq!(both.network().sent, [&b"aa"[..], b"bb", b"c", b"there"]);
    both.set_joined(Group::Data, false);
    local.send_group(Group::Data, &single(b"unheard"));
    assert!(groups(&mut both).is_empty());
    assert_eq!(both.network().joined, [(Group::Data, false)]);

    let stuck = Noted { takes_nothing: true, ..Noted::default() };
    let mut both = Beside::new(host_memory(parent.path()), stuck, true);
    assert_eq!(both.send_group(Group::Data, &single(b"x")), 1, "it is not said again to who has heard it");

    let mut both = Beside::new(host_memory(parent.path()), Noted::default(), false);
    assert_eq!(both.send_group(Group::Data, &single(b"x")), 1);
    assert!(both.network().sent.is_empty(), "it would come back, and reach nobody else");
}

#[test]
fn devices_of_one_host_hear_each_other_once_and_those_without_memory_not_at_all() {
    let udp = udp_settings();
    let settings = |memory| DeviceSettings {
        udp: udp.clone(),
        transport: TransportSettings::Udp,
        second: None,
        fault_injection: None,
        memory,
    };
    let open = |memory| Device::open(settings(memory)).unwrap_or_else(|error| panic!("{error}"));
    // The process that was opened last knows the others from the start; the one before it learns of it, and
    // misses nothing.
    let (mut deaf, mut a, mut b) =
        (open(MemorySharing::Off), open(MemorySharing::Beside), open(MemorySharing::Beside));
    assert_eq!(b.send_group(Group::Data, &single(b"once")), 1);
    assert!(b.send_unicast(a.unicast_address(), [b"to you", b""]));
    assert!(b.send_unicast(deaf.unicast_address(), [b"and you", b""]));
    let (mut multicast, mut unicasts) = (Vec::new(), Vec::new());
    let begin = Instant::now();
    let mut listen = |is_enough: fn(usize, usize, Duration) -> bool| {
        while !is_enough(multicast.len(), unicasts.len(), begin.elapsed()) {
            multicast.extend(groups(&mut a));
            unicasts.extend(unicast(&mut a));
        }
    };
    listen(|multicast, unicasts, waited| multicast > 0 && unicasts > 0 || waited > Duration::from_secs(30));
    // A second copy would be there by now: the loopback delivers within the send.
    listen(|multicast, unicasts, waited| multicast > 1 || unicasts > 1 || waited > Duration::from_millis(50));
    assert_eq!(multicast, [b"once"]);
    assert_eq!(unicasts, [(b"to you".to_vec(), b.unicast_address())]);
    assert!(groups(&mut deaf).is_empty(), "it is set otherwise than the rest of its host");
    assert_eq!(unicast(&mut deaf), [(b"and you".to_vec(), b.unicast_address())]);
    let text = Device::open(settings(MemorySharing::Off)).unwrap_err().to_string();
    assert!(
        text.contains("would not be received; set `network.shm = true`"),
        "who is not alike is told: {text}"
    );
    assert_eq!((b.memory().datagrams_out, a.memory().datagrams_in, a.counts().datagrams_in), (2, 2, 0));
}
