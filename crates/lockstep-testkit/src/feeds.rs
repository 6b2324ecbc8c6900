//! Feeds as processes, a receiver of ours, and a network that loses.

use crate::processes::{Cluster, Process};
use lockstep_io::multicast;
use lockstep_io::udp::{Interface, free_port};
use lockstep_memory::rng::Rng;
use moldudp64::Session;
use moldudp64::{Client, ClientLimits, Event, Start};
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Between two looks at sockets where nothing came.
const LOOK: Duration = Duration::from_micros(100);
/// Longer than all datagrams of a feed.
const DATAGRAM_LEN: usize = 2_048;

/// A running feed: its group, and where requests go.
pub struct Running {
    /// The process.
    pub process: Process,
    /// Where it multicasts.
    pub group: SocketAddrV4,
    /// Where missing messages are asked for.
    pub requests: SocketAddr,
}

/// A group that is not in use yet.
pub fn new_group() -> SocketAddrV4 {
    static GROUPS: AtomicU8 = AtomicU8::new(1);
    let port = free_port(Ipv4Addr::LOCALHOST).expect("a free port");
    let last = GROUPS.fetch_add(1, Ordering::Relaxed);
    SocketAddrV4::new(Ipv4Addr::new(239, 77, std::process::id() as u8, last), port)
}

/// Starts a feed of `of`, and waits until it multicasts.
#[track_caller]
pub fn start(cluster: &Cluster, name: &str, of: &str) -> Running {
    let group = new_group();
    let args = ["feed", "--group", &group.to_string(), "--requests", "127.0.0.1:0", "--of", of];
    Running::begin(cluster.start(&format!("feed-{name}"), &args), group)
}

impl Running {
    /// Waits until the feed that `process` is multicasts.
    #[track_caller]
    pub fn begin(mut process: Process, group: SocketAddrV4) -> Self {
        let mut line = String::new();
        let read = BufReader::new(process.take_stdout()).read_line(&mut line);
        let mut words = line.split_whitespace().skip_while(|word| *word != "requests").skip(1);
        let requests = words.next().and_then(|word| word.parse().ok());
        let requests = requests.unwrap_or_else(|| panic!("{read:?} {line:?}: {}", process.log()));
        Self { process, group, requests }
    }
}

fn member(group: SocketAddrV4) -> UdpSocket {
    let socket = UdpSocket::bind(group).expect("a socket on a group's port");
    socket.join_multicast_v4(group.ip(), &Ipv4Addr::LOCALHOST).expect("a group on loopback");
    socket.set_nonblocking(true).expect("a socket that does not block");
    socket
}

fn own() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket on loopback");
    socket.set_nonblocking(true).expect("a socket that does not block");
    socket
}

/// Listens to a feed's group with our own receiver, and loses one datagram of `lost`.
pub struct Listener {
    group: UdpSocket,
    asker: UdpSocket,
    requests: SocketAddr,
    /// The receiver.
    pub client: Client,
    lost: usize,
    came: usize,
    began: Instant,
    /// What it has, in the order in which it was delivered.
    pub had: Vec<(u64, Vec<u8>)>,
    /// The session is over, and everything of it was delivered.
    pub ended: bool,
}

impl Listener {
    /// Of this session, from its first message on.
    pub fn new(feed: &Running, session: &str, lost: usize) -> Self {
        Self::starting_at(feed, session, 1, lost)
    }

    /// The same from message `seq` on.
    pub fn starting_at(feed: &Running, session: &str, seq: u64, lost: usize) -> Self {
        let session = Session::new(session.as_bytes()).expect("a session's name");
        let client = Client::new(Some(session), Start::At(seq), ClientLimits::default());
        let (group, asker, requests) = (member(feed.group), own(), feed.requests);
        let (began, had) = (Instant::now(), Vec::new());
        Self { group, asker, requests, client, lost, came: 0, began, had, ended: false }
    }

    fn take(had: &mut Vec<(u64, Vec<u8>)>, ended: &mut bool, event: &Event<'_>) {
        match event {
            Event::Message { seq, bytes } => had.push((*seq, bytes.to_vec())),
            Event::Ended { .. } => *ended = true,
            Event::SessionChanged { .. } => {}
            Event::Lost { from, to } => panic!("{from} up to {to} are nowhere to be had"),
        }
    }

    /// Takes what came, and asks for what is missing.
    pub fn poll(&mut self) {
        let now = self.began.elapsed().as_nanos() as u64;
        let mut buffer = [0; DATAGRAM_LEN];
        let Self { group, asker, requests, client, lost, came, had, ended, .. } = self;
        for (socket, is_group) in [(&*group, true), (asker, false)] {
            while let Ok(len) = socket.recv(&mut buffer) {
                *came += usize::from(is_group);
                if is_group && came.is_multiple_of(*lost) {
                    continue;
                }
                let mut intake =
                    client.on_datagram(now, &buffer[..len]).unwrap_or_else(|error| panic!("{error}"));
                while let Some(event) = intake.next_event() {
                    Self::take(had, ended, &event);
                }
            }
        }
        if let Some((_, request)) = client.on_timer(now) {
            asker.send_to(&request, *requests).expect("a request leaves");
        }
        while let Some(event) = client.next_event(now) {
            Self::take(had, ended, &event);
        }
    }

    /// Polls until it is as wanted.
    #[track_caller]
    pub fn until(&mut self, what: &str, mut done: impl FnMut(&Self) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while !done(self) {
            self.poll();
            let counters = self.client.counters();
            assert!(Instant::now() < deadline, "no {what}: {} messages, {counters:?}", self.had.len());
            std::thread::sleep(LOOK);
        }
    }

    /// Until it has so many messages.
    #[track_caller]
    pub fn until_messages(&mut self, count: usize) {
        self.until(&format!("{count} messages"), |listener| listener.had.len() >= count);
    }
}

/// What a lossy network was given, and what of it it lost.
#[derive(Clone, Copy, Debug, Default)]
pub struct Passed {
    /// Datagrams of the feed.
    pub datagrams: u64,
    /// Those of them that were lost.
    pub lost: u64,
    /// Requests.
    pub requests: u64,
    /// Requests and answers that were lost.
    pub unanswered: u64,
}

/// A network between a feed and one receiver, which loses.
pub struct Lossy {
    /// Where the receiver hears the feed.
    pub group: SocketAddrV4,
    /// Where it asks.
    pub requests: SocketAddr,
    stop: Arc<AtomicBool>,
    relay: Option<JoinHandle<Passed>>,
}

impl Lossy {
    /// Loses so many of a million, of the feed's datagrams, of requests and of answers.
    pub fn before(feed: &Running, per_million: u32) -> Self {
        let (group, stop) = (new_group(), Arc::new(AtomicBool::new(false)));
        let from = member(feed.group);
        let to = multicast::sender(group, &Interface::Address(Ipv4Addr::LOCALHOST), 0).expect("a sender");
        let (near, far, server) = (own(), own(), feed.requests);
        let requests = near.local_addr().expect("a bound socket");
        let stopped = Arc::clone(&stop);
        let relay = std::thread::spawn(move || {
            let (mut rng, mut passed, mut asker) = (Rng::new(1), Passed::default(), None);
            let mut buffer = [0; DATAGRAM_LEN];
            while !stopped.load(Ordering::Acquire) {
                while let Ok(len) = from.recv(&mut buffer) {
                    passed.datagrams += 1;
                    if rng.chance(per_million) {
                        passed.lost += 1;
                    } else {
                        to.send(&buffer[..len]).expect("a datagram goes on");
                    }
                }
                while let Ok((len, from)) = near.recv_from(&mut buffer) {
                    passed.requests += 1;
                    asker = Some(from);
                    if rng.chance(per_million) {
                        passed.unanswered += 1;
                    } else {
                        far.send_to(&buffer[..len], server).expect("a request goes on");
                    }
                }
                while let (Ok(len), Some(asker)) = (far.recv(&mut buffer), asker) {
                    if rng.chance(per_million) {
                        passed.unanswered += 1;
                    } else {
                        near.send_to(&buffer[..len], asker).expect("an answer goes on");
                    }
                }
                std::thread::sleep(LOOK);
            }
            passed
        });
        Self { group, requests, stop, relay: Some(relay) }
    }

    /// Ends it. What it did.
    pub fn stop(mut self) -> Passed {
        self.stop.store(true, Ordering::Release);
        self.relay.take().expect("it runs").join().expect("a relay")
    }
}

impl Drop for Lossy {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
    }
}
