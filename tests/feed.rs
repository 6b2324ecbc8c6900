//! A feed as a process, and receivers that know nothing of lockstep.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "real processes, bounded by a clock")]

use lockstep::edge::Session;
use lockstep::edge::mold::{Client, ClientLimits, Event, Start};
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::time::{Duration, Instant};
use tools::processes::{Cluster, Process};

/// A running feed: where it is heard, and asked.
struct Running {
    process: Process,
    group: SocketAddrV4,
    requests: SocketAddr,
}

fn free_group(last: u8) -> SocketAddrV4 {
    let port = lockstep::io::udp::free_port(Ipv4Addr::LOCALHOST).unwrap();
    SocketAddrV4::new(Ipv4Addr::new(239, 77, std::process::id() as u8, last), port)
}

fn start(cluster: &Cluster, name: &str, last: u8, of: &str) -> Running {
    let group = free_group(last);
    let args = ["feed", "--group", &group.to_string(), "--requests", "127.0.0.1:0", "--of", of];
    let mut process = cluster.start(&format!("feed-{name}"), &args);
    let mut line = String::new();
    BufReader::new(process.take_stdout()).read_line(&mut line).unwrap();
    let mut words = line.split_whitespace().skip_while(|word| *word != "requests").skip(1);
    let requests = words.next().and_then(|word| word.parse().ok());
    let requests = requests.unwrap_or_else(|| panic!("{line:?}: {}", process.log()));
    Running { process, group, requests }
}

/// Listens to a feed's group and loses one datagram of `lost`.
struct Listener {
    socket: UdpSocket,
    requests: SocketAddr,
    client: Client,
    lost: usize,
    came: usize,
    began: Instant,
    had: Vec<(u64, Vec<u8>)>,
}

impl Listener {
    fn new(feed: &Running, lost: usize) -> Self {
        let socket = UdpSocket::bind(SocketAddrV4::new(*feed.group.ip(), feed.group.port())).unwrap();
        socket.join_multicast_v4(feed.group.ip(), &Ipv4Addr::LOCALHOST).unwrap();
        socket.set_nonblocking(true).unwrap();
        let session = Session::new(b"FIRST").unwrap();
        let client = Client::new(Some(session), Start::At(1), ClientLimits::default());
        let requests = feed.requests;
        Self { socket, requests, client, lost, came: 0, began: Instant::now(), had: Vec::new() }
    }

    fn poll(&mut self, asker: &UdpSocket) {
        let now = self.began.elapsed().as_nanos() as u64;
        let mut buffer = [0; 2_048];
        for (socket, is_group) in [(&self.socket, true), (asker, false)] {
            while let Ok(len) = socket.recv(&mut buffer) {
                self.came += usize::from(is_group);
                if is_group && self.came.is_multiple_of(self.lost) {
                    continue;
                }
                let mut intake = self.client.on_datagram(now, &buffer[..len]).unwrap();
                while let Some(event) = intake.next_event() {
                    if let Event::Message { seq, bytes } = event {
                        self.had.push((seq, bytes.to_vec()));
                    }
                }
            }
        }
        if let Some((_, request)) = self.client.on_timer(now) {
            asker.send_to(&request, self.requests).unwrap();
        }
        while let Some(event) = self.client.next_event(now) {
            match event {
                Event::Message { seq, bytes } => self.had.push((seq, bytes.to_vec())),
                event => panic!("{event:?}"),
            }
        }
    }

    fn until(&mut self, count: usize) {
        let asker = UdpSocket::bind("127.0.0.1:0").unwrap();
        asker.set_nonblocking(true).unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        while self.had.len() < count {
            self.poll(&asker);
            assert!(Instant::now() < deadline, "{} of {count}, {:?}", self.had.len(), self.client.counters());
            std::thread::sleep(Duration::from_micros(100));
        }
    }
}

#[test]
fn a_channel_without_a_limit_is_not_fed_and_one_with_a_limit_refuses_what_no_datagram_takes() {
    let cluster = Cluster::new(1, "\n[[channels]]\nid = 7\n");
    let _replicas = cluster.found();
    let feed = |of: &str| {
        let group = free_group(9);
        let args = ["feed", "--group", &group.to_string(), "--requests", "127.0.0.1:0", "--of", of];
        cluster.run(&args, b"").with_code(2)
    };
    feed("channel:8").saying(&["channel:8", "1450 bytes", "[[channels]] with id = 8"]);
    let running = start(&cluster, "seven", 1, "channel:7");
    let mut listener = Listener::new(&running, usize::MAX);
    let channel = ((1u32 << 31) + 7).to_string();
    let publish = |len: usize| {
        let args = ["publish", "--name", "orders", "--destination", &channel];
        cluster.run(&args, "x".repeat(len).as_bytes())
    };
    publish(1_451).with_code(2).saying(&["1451 bytes", "the limit is 1450 (channels.*.message_len_max"]);
    publish(1_450).with_code(0);
    listener.until(1);
    assert_eq!(listener.had, [(1, vec![b'x'; 1_450])], "the longest is fed, and has the first number");
    // To everybody there is no limit but the stream's, and a feed of that says so.
    cluster.publish(&"y".repeat(1_451));
    let all = start(&cluster, "all", 2, "all");
    let log = all.process.log();
    assert!(
        log.contains("lower stream.message_len_max") && log.contains("it and its like have no number"),
        "{log}"
    );
    assert!(!running.process.log().contains("stream.message_len_max"), "{}", running.process.log());
}

#[test]
fn a_receiver_of_either_feed_has_all_messages_in_order_whatever_it_loses_and_whoever_restarts() {
    let cluster = Cluster::new(3, "");
    let _replicas = cluster.found();
    let (a, b) = (start(&cluster, "a", 1, "everybody"), start(&cluster, "b", 2, "everybody"));
    let mut listeners = [Listener::new(&a, 3), Listener::new(&b, usize::MAX)];
    let lines = |from: usize, to: usize| (from..to).map(|n| format!("order {n}\n")).collect::<String>();
    cluster.publish(&lines(1, 1_001));
    listeners.iter_mut().for_each(|listener| listener.until(1_000));
    a.process.signal("KILL");
    cluster.publish(&lines(1_001, 1_501));
    let a = start(&cluster, "a-again", 3, "everybody");
    // One that begins late has all of the day, by requests alone.
    let mut late = Listener::new(&a, 2);
    cluster.publish(&lines(1_501, 2_001));
    listeners[1].until(2_000);
    late.until(2_000);
    let expected: Vec<_> = (1..=2_000).map(|n| (n, format!("order {n}").into_bytes())).collect();
    assert_eq!(listeners[0].had, expected[..1_000]);
    assert!(listeners[1].had == expected && late.had == expected);
}
