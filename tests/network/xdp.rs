//! A card of xdp and one of the kernel's UDP at the two ends of a veth pair, each end in a namespace of its
//! own.
//!
//! The speakers are children of each test, which does what it is told on stdin, one line at a time, and
//! answers with one line. So a test is a talk, and no answer depends on how fast anybody is.

use lockstep_core::engine::ports::{Burst, Group, Net};
use lockstep_io::device::{Device, DeviceSettings, MemorySharing};
use lockstep_io::transport::TransportSettings;
use lockstep_io::udp::{Interface, UdpSettings};
use lockstep_io::xdp::{Mode, XdpSettings};
use lockstep_process::child::ChildGuard;
use lockstep_testkit::child::{child_of, is_child_of};
use lockstep_testkit::netns::{Namespace, Place, unsupported};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::process::{ChildStdin, ChildStdout, Stdio};
use std::time::{Duration, Instant};

const GROUPS: [Ipv4Addr; 3] =
    [Ipv4Addr::new(239, 205, 1, 1), Ipv4Addr::new(239, 205, 1, 2), Ipv4Addr::new(239, 205, 1, 3)];
pub(crate) const KINDS: [Group; 3] = [Group::Submit, Group::Data, Group::Control];
const PORT: u16 = 7700;
pub(crate) const UNICAST_PORT: u16 = 7701;
/// A port that is nobody's.
const OTHER_PORT: u16 = 7702;
const SPEAKER: &str = "xdp::speaker";
/// Tells a speaker its transport, its largest datagram, and its unicast port.
const TRANSPORT: &str = "LOCKSTEP_TEST_TRANSPORT";
const DATAGRAM_MAX: &str = "LOCKSTEP_TEST_DATAGRAM_MAX";
const OWN_PORT: &str = "LOCKSTEP_TEST_UNICAST_PORT";
/// In front of a transport: with memory beside it.
const WITH_MEMORY: &str = "shm+";
/// Datagrams of one saying, few enough for any socket's memory.
pub(crate) const SENT_AT_ONCE: usize = 60;

fn address(end: usize) -> Ipv4Addr {
    Ipv4Addr::new(10, 77, 0, end as u8 + 1)
}

/// Two namespaces and a cable.
pub(crate) struct Pair([Namespace; 2]);

impl Pair {
    pub(crate) fn new(mtu: u32) -> Option<Self> {
        if let Some(reason) = unsupported() {
            println!("SKIPPED: {reason}");
            return None;
        }
        let ends = [Namespace::of_network(), Namespace::of_network()];
        let far = ends[1].holder();
        ends[0].shell(&format!("ip link add eth0 mtu {mtu} type veth peer name eth0 mtu {mtu} netns {far}"));
        for (number, end) in ends.iter().enumerate() {
            end.shell(&format!("ip addr add {}/24 dev eth0 && ip link set eth0 up", address(number)));
        }
        Some(Self(ends))
    }

    pub(crate) fn place(&self, end: usize) -> &Place {
        self.0[end].place()
    }

    fn speakers(&self, transports: [&str; 2]) -> [Speaker; 2] {
        [0, 1].map(|end| Speaker::open(self.place(end), transports[end]))
    }

    /// Whether a program is on the card of this end.
    pub(crate) fn has_program(&self, end: usize) -> bool {
        self.0[end].shell("ip -d link show eth0").contains("xdp")
    }
}

/// A child with a device.
pub(crate) struct Speaker {
    pub(crate) child: ChildGuard,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

impl Speaker {
    pub(crate) fn open(place: &Place, transport: &str) -> Self {
        let (speaker, word) = Self::open_at(place, transport, UNICAST_PORT);
        let mode =
            transport.strip_prefix("xdp-").map_or(String::new(), |mode| format!("transport xdp {mode} on"));
        assert!(word.contains(&mode), "asked for {transport}: {word}");
        speaker
    }

    /// One that is reached at this port, and what it was told of its settings.
    pub(crate) fn open_at(place: &Place, transport: &str, port: u16) -> (Self, String) {
        let mut speaker =
            Self::start(&place.behind(&["env", &format!("{OWN_PORT}={port}")]), transport, 1472);
        let word = speaker.answer();
        assert!(word.starts_with("open "), "{transport}: {word}");
        (speaker, word)
    }

    /// What one that does not open says.
    pub(crate) fn refusal(place: &Place, transport: &str, datagram_max: usize) -> String {
        let answer = Self::start(place, transport, datagram_max).answer();
        answer.strip_prefix("refused ").unwrap_or_else(|| panic!("{answer}")).to_owned()
    }

    fn start(place: &Place, transport: &str, datagram_max: usize) -> Self {
        let own = child_of(SPEAKER);
        let mut command = place.command(own.get_program());
        command.args(own.get_args());
        command.envs(own.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.env(TRANSPORT, transport).env(DATAGRAM_MAX, datagram_max.to_string());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("a child");
        let (to, from) = (child.stdin.take().expect("piped"), child.stdout.take().expect("piped"));
        Self { child: child.into(), to, from: BufReader::new(from) }
    }

    fn answer(&mut self) -> String {
        let mut line = String::new();
        loop {
            line.clear();
            let read = self.from.read_line(&mut line).expect("its stdout");
            assert!(read > 0, "it ended without an answer");
            // The test harness has something to say as well.
            if let Some(answer) = line.trim_end().strip_prefix("> ") {
                return answer.to_owned();
            }
        }
    }

    pub(crate) fn ask(&mut self, what: &str) -> String {
        writeln!(self.to, "{what}").expect("its stdin");
        self.answer()
    }

    pub(crate) fn number(&mut self, what: &str) -> u64 {
        let answer = self.ask(what);
        answer.parse().unwrap_or_else(|_| panic!("{what}: {answer}"))
    }
}

/// The child's body; without a parent there is nothing to do.
#[test]
fn speaker() {
    if !is_child_of(SPEAKER) {
        return;
    }
    let say = |text: String| {
        println!("> {text}");
        std::io::stdout().flush().expect("stdout");
    };
    let transport = std::env::var(TRANSPORT).expect("a transport");
    let (memory, transport) = match transport.strip_prefix(WITH_MEMORY) {
        Some(transport) => (MemorySharing::Beside, transport),
        None => (MemorySharing::Off, transport.as_str()),
    };
    let mode = match transport {
        "xdp-zero-copy" => Some(Mode::ZeroCopy),
        "xdp-native" => Some(Mode::Native),
        "xdp-generic" => Some(Mode::Generic),
        _ => None,
    };
    let by = match transport {
        "udp" | "udp-cut" => TransportSettings::Udp,
        _ => TransportSettings::Xdp(XdpSettings { mode, queue: None }),
    };
    let max = std::env::var(DATAGRAM_MAX).expect("a length").parse().expect("a number");
    let port = std::env::var(OWN_PORT).map_or(UNICAST_PORT, |port| port.parse().expect("a port"));
    let udp = UdpSettings {
        unicast_port: port,
        datagram_len_max: max,
        gso: transport != "udp-cut",
        ..UdpSettings::new(Interface::Name("eth0".into()), PORT, GROUPS)
    };
    let settings = DeviceSettings { udp, transport: by, second: None, fault_injection: None, memory };
    let mut net = match Device::open(settings) {
        Ok(net) => net,
        Err(error) => return say(format!("refused {error}")),
    };
    let effective: Vec<String> = net.effective().iter().map(ToString::to_string).collect();
    say(format!("open udp {}", effective.join(" | ")));
    // Each of a host has another one.
    let other_port = OTHER_PORT + 100 * (port - UNICAST_PORT);
    let other = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, other_port)).expect("the other port");
    other.set_nonblocking(true).expect("a socket that does not block");
    for line in std::io::stdin().lines() {
        let line = line.expect("stdin");
        let words: Vec<&str> = line.split(' ').collect();
        let number = |index: usize| words[index].parse::<usize>().expect("a number");
        say(match words[0] {
            "send" => send(&mut net, KINDS[number(1)], number(2), number(3)).to_string(),
            "tell" => (0..number(2))
                .filter(|index| {
                    let port = words.get(3).map_or(UNICAST_PORT, |_| number(3) as u16);
                    let to = SocketAddrV4::new(address(number(1)), port);
                    net.send_unicast(to, [&(*index as u32).to_le_bytes(), b"told"])
                })
                .count()
                .to_string(),
            "hear" => hear(number(1), || {
                let count = net.recv_groups();
                (0..count).map(|index| net.group_datagram(index).to_vec()).collect()
            }),
            "hear-unicast" => {
                let from = SocketAddrV4::new(address(number(2)), UNICAST_PORT);
                hear(number(1), || {
                    let count = net.recv_unicast();
                    let of = |index| net.unicast_datagram(index);
                    (0..count).map(of).inspect(|of| assert_eq!(of.1, from)).map(|of| of.0.to_vec()).collect()
                })
            }
            "shout" => other.send_to(b"other", (address(number(1)), OTHER_PORT)).expect("sent").to_string(),
            "hear-other" => hear(1, || {
                let mut bytes = [0; 64];
                other.recv(&mut bytes).map(|len| vec![bytes[..len].to_vec()]).unwrap_or_default()
            }),
            "allocations" => allocations(&mut net).to_string(),
            "leave" => {
                net.set_joined(KINDS[number(1)], false);
                "left".into()
            }
            "neighbours" => net.xdp_counts().neighbours.to_string(),
            "by-kernel" => format!("{}", net.xdp_counts().kernel_out),
            "relayed-in" => net.xdp_counts().relayed_in.to_string(),
            "owners" => net.xdp_counts().owners.to_string(),
            "by-card" => format!("{}", net.xdp_counts().busiest_queue_in),
            other => panic!("'{other}' is no word"),
        });
    }
}

/// What a hundred turns of sending and receiving allocate, after some first ones.
fn allocations(net: &mut Device) -> u64 {
    let (bytes, to) = ([7; 4000], SocketAddrV4::new(address(1), UNICAST_PORT));
    let mut turn = || {
        net.send_group(Group::Data, &[Burst { bytes: &bytes, stride: 900 }]);
        net.send_unicast(to, [&bytes[..100], &bytes[..50]]);
        (0..net.recv_groups()).for_each(|index| assert!(!net.group_datagram(index).is_empty()));
        (0..net.recv_unicast()).for_each(|index| assert!(!net.unicast_datagram(index).0.is_empty()));
    };
    (0..10).for_each(|_| turn());
    allocation_counter::measure(|| (0..100).for_each(|_| turn())).count_total
}

/// Sends so many numbered datagrams of so many bytes, sixteen in a burst.
fn send(net: &mut Device, group: Group, count: usize, len: usize) -> usize {
    let bytes: Vec<u8> = (0..count).flat_map(|number| datagram(number as u32, len)).collect();
    let mut sent = 0;
    while sent < count {
        let left = &bytes[sent * len..];
        let bursts: Vec<Burst<'_>> =
            left.chunks(16 * len).map(|bytes| Burst { bytes, stride: len }).collect();
        sent += net.send_group(group, &bursts);
    }
    sent
}

/// A number, and bytes that follow from it.
fn datagram(number: u32, len: usize) -> Vec<u8> {
    let mut bytes = number.to_le_bytes().to_vec();
    bytes.resize(len, number as u8 ^ len as u8);
    bytes
}

/// Receives until so many have come and nothing more does. Tells each datagram's number of times, if not
/// once.
fn hear(count: usize, mut receive: impl FnMut() -> Vec<Vec<u8>>) -> String {
    let mut received = BTreeMap::new();
    let mut last = Instant::now();
    // More than was expected is waited for a little, less for as long as anybody would wait.
    let patience = |received: usize| Duration::from_millis(if received >= count { 30 } else { 20_000 });
    while last.elapsed() < patience(received.len()) {
        let came = receive();
        if came.is_empty() {
            std::thread::yield_now();
            continue;
        }
        last = Instant::now();
        for bytes in came {
            *received.entry(bytes).or_insert(0_usize) += 1;
        }
    }
    let wrong = |bytes: &[u8]| match bytes {
        [a, b, c, d, _, ..] if !bytes.ends_with(b"told") && bytes != b"other" => {
            bytes != datagram(u32::from_le_bytes([*a, *b, *c, *d]), bytes.len())
        }
        _ => false,
    };
    let bad = received.keys().filter(|bytes| wrong(bytes)).count();
    let repeated = received.values().filter(|times| **times != 1).count();
    format!("{} heard, {repeated} repeated, {bad} wrong", received.len())
}

pub(crate) fn all(count: usize) -> String {
    format!("{count} heard, 0 repeated, 0 wrong")
}

/// Has each end say everything to the other, by groups and unicast. What the second says may come back to it,
/// by the kernel.
fn talk(speakers: &mut [Speaker; 2], comes_back: bool) {
    let hear = format!("hear {SENT_AT_ONCE}");
    for end in [0, 1] {
        for round in 0..12 {
            let (group, len) = (round % 3, [64, 1472, 18, 700][round % 4]);
            let sent = speakers[end].ask(&format!("send {group} {SENT_AT_ONCE} {len}"));
            assert_eq!(sent, SENT_AT_ONCE.to_string());
            assert_eq!(speakers[1 - end].ask(&hear), all(SENT_AT_ONCE), "{len} bytes from {end}");
            if end == 1 && comes_back {
                assert_eq!(speakers[end].ask(&hear), all(SENT_AT_ONCE));
            }
        }
        assert_eq!(speakers[end].ask(&format!("tell {} 20", 1 - end)), "20");
        assert_eq!(speakers[1 - end].ask(&format!("hear-unicast 20 {end}")), all(20));
    }
}

#[test]
fn every_datagram_between_xdp_and_the_kernels_udp_arrives_once_in_both_modes_and_both_directions() {
    let Some(pair) = Pair::new(1500) else { return };
    // A veth hands bursts over uncut, and in generic mode nobody cuts them; no cable does that.
    for (xdp, udp) in [("xdp-native", "udp"), ("xdp-generic", "udp-cut")] {
        for other in [udp, xdp] {
            println!("{xdp} and {other}");
            let mut speakers = pair.speakers([xdp, other]);
            talk(&mut speakers, other == udp);
            assert!(speakers[0].number("by-card") > 0, "it came by the card");
        }
    }
}

#[test]
fn without_a_mode_demanded_the_best_one_is_taken_and_a_better_one_demanded_is_refused_by_name() {
    let Some(pair) = Pair::new(1500) else { return };
    let mut best = Speaker::start(pair.place(0), "xdp-best", 1472);
    let reply = best.answer();
    // No veth copies nothing.
    assert!(reply.contains("transport xdp native on eth0, ") && reply.contains("zero-copy: "), "{reply}");
    drop(best);
    let refused = Speaker::refusal(pair.place(0), "xdp-zero-copy", 1472);
    assert!(refused.contains("in mode zero-copy, as configured: zero-copy: bind"), "{refused}");
    // A card of large frames takes no program in its driver.
    let Some(jumbo) = Pair::new(9000) else { return };
    let reply = Speaker::start(jumbo.place(0), "xdp-best", 1472).answer();
    assert!(reply.contains("transport xdp generic on eth0") && reply.contains("native: attach"), "{reply}");
    let refused = Speaker::refusal(jumbo.place(0), "xdp-native", 1472);
    assert!(refused.contains("in mode native, as configured"), "{refused}");
    let refused = Speaker::refusal(jumbo.place(0), "xdp-best", 8972);
    assert!(refused.contains("8972 bytes") && refused.contains("configure `mtu = 3822`"), "{refused}");
}

#[test]
fn what_is_for_other_ports_still_reaches_the_kernels_sockets_and_groups_that_were_left_reach_nobody() {
    let Some(pair) = Pair::new(1500) else { return };
    for xdp in ["xdp-native", "xdp-generic"] {
        let mut speakers = pair.speakers([xdp, "udp-cut"]);
        speakers[1].ask("shout 0");
        assert_eq!(speakers[0].ask("hear-other"), all(1));
        speakers[0].ask("leave 1");
        speakers[1].ask("send 1 30 100");
        speakers[1].ask("send 2 30 90");
        assert_eq!(speakers[0].ask("hear 30"), all(30), "those of the third group, and only those");
    }
}

#[test]
fn unicast_leaves_by_the_kernel_until_it_knows_the_neighbour_and_then_by_the_card() {
    let Some(pair) = Pair::new(1500) else { return };
    let mut speakers = pair.speakers(["xdp-native", "xdp-native"]);
    assert_eq!(speakers[0].ask("tell 1 1"), "1");
    assert_eq!(speakers[1].ask("hear-unicast 1 0"), all(1));
    assert_eq!(speakers[0].number("by-kernel"), 1);
    while speakers[0].number("neighbours") == 0 {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(speakers[0].ask("tell 1 40"), "40");
    assert_eq!(speakers[1].ask("hear-unicast 40 0"), all(40));
    let by_kernel = speakers[0].number("by-kernel");
    assert!(by_kernel < 10, "{by_kernel} of 41 by the kernel");
}

#[test]
fn sending_and_receiving_by_a_card_allocate_nothing() {
    let Some(pair) = Pair::new(1500) else { return };
    let mut speakers = pair.speakers(["xdp-native", "udp"]);
    assert_eq!(speakers[1].ask(&format!("send 2 {SENT_AT_ONCE} 300")), SENT_AT_ONCE.to_string());
    assert_eq!(speakers[0].ask("allocations"), "0");
}

#[test]
fn a_process_that_is_killed_leaves_nothing_on_the_card_and_the_next_opens_at_once() {
    let Some(pair) = Pair::new(1500) else { return };
    let mut ears = Speaker::open(pair.place(1), "udp");
    for round in 0..20 {
        let mode = ["xdp-native", "xdp-generic"][round % 2];
        let mut speaker = Speaker::open(pair.place(0), mode);
        assert!(pair.has_program(0), "{mode}");
        speaker.ask("send 1 10 200");
        assert_eq!(ears.ask("hear 10"), all(10), "round {round}");
        drop(speaker);
        // The kernel takes its program away behind the process's end.
        let begun = Instant::now();
        while pair.has_program(0) {
            assert!(begun.elapsed() < Duration::from_secs(20), "a program was left in round {round}");
        }
    }
}

#[test]
fn a_second_owner_of_a_card_is_refused_and_told_who_has_it() {
    let Some(pair) = Pair::new(1500) else { return };
    let first = Speaker::open(pair.place(0), "xdp-generic");
    let refused = Speaker::refusal(pair.place(0), "xdp-native", 1472);
    let owner = format!("process {} of lockstep uses it already", first.child.id());
    assert!(refused.contains(&owner), "{refused}");
    drop(first);
    Speaker::open(pair.place(0), "xdp-native");
}

#[test]
fn a_missing_right_is_named_with_what_to_do() {
    let Some(pair) = Pair::new(1500) else { return };
    for (right, name) in [("-net_raw", "CAP_NET_RAW"), ("-cap_39,-sys_admin", "CAP_BPF")] {
        let place = pair.place(0).behind(&["setpriv", "--bounding-set", right]);
        let refused = Speaker::refusal(&place, "xdp-generic", 1472);
        assert!(refused.contains(&format!("lacks {name};")) && refused.contains("setcap"), "{refused}");
    }
}
