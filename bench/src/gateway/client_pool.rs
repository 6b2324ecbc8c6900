//! Clients that do not trade: those who are quiet, and those who storm.
//!
//! A storm: each of its clients connects, logs in, drops its connection when it is answered, and begins
//! again. A flood: connections that log in as nobody with a wrong password, again as soon as they are
//! answered, each from an address that has not failed yet. The gateway has to hash what they give, and these
//! few keep it hashing without pause: more of them would wait longer, and still be hashed when others are
//! measured.

use super::site::{PASSWORD, answer, begin_login};
use crate::worker::Worker;
use lockstep_io::clock::Clock;
use lockstep_wire::Nanos;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use socket2::{Domain, Protocol, Socket, Type};
use soupbintcp::{ClientEnd, Connection, Packet, RejectReason};
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

/// Connections of a flood.
const FLOODERS: usize = 8;
/// Between two looks at quiet clients; in a second each of them has said that it lives.
const LOOK: Duration = Duration::from_millis(10);
const LOOKS: usize = 90;
/// Longest wait of the storm for an answer before it looks whether it is over.
const PAUSE: Duration = Duration::from_millis(2);
/// A connection that is not answered for so long is dropped, and begun anew.
const ANSWER_NS: Nanos = 5_000_000_000;

/// Clients that are connected, and say nothing but that they live.
pub struct ClientPool(Worker<usize>);

impl ClientPool {
    /// Keeps these connections alive.
    ///
    /// # Errors
    /// There can be no other thread.
    pub fn start(mut sockets: Vec<std::net::TcpStream>) -> Result<Self, String> {
        let work = move |ending: &AtomicBool| {
            let (mut alive, mut buffer) = (Vec::new(), [0; 4096]);
            let _ = Packet::ClientHeartbeat.append(&mut alive); // three bytes
            let part = sockets.len().div_ceil(LOOKS).max(1);
            let mut at = 0;
            while !ending.load(Ordering::Acquire) {
                for _ in 0..part.min(sockets.len()) {
                    at = (at + 1) % sockets.len().max(1);
                    let socket = &mut sockets[at];
                    let is_over = match socket.read(&mut buffer) {
                        Ok(len) => len == 0,
                        Err(error) => error.kind() != ErrorKind::WouldBlock,
                    };
                    if is_over || socket.write(&alive).is_err() {
                        sockets.swap_remove(at);
                        at = 0;
                    }
                }
                std::thread::sleep(LOOK);
            }
            Ok(sockets.len())
        };
        Worker::start("crowd", work).map(Self)
    }

    /// Ends it; how many are still connected.
    ///
    /// # Errors
    /// It panicked.
    pub fn end(self) -> Result<usize, String> {
        self.0.end()
    }
}

/// What the storm's thread does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum LoginLoad {
    /// Nothing.
    Calm = 0,
    /// Right logins.
    Storm = 1,
    /// Wrong ones.
    Flood = 2,
}

impl LoginLoad {
    /// As results call it.
    pub fn key(self) -> &'static str {
        match self {
            Self::Calm => "quiet",
            Self::Storm => "storm",
            Self::Flood => "flood",
        }
    }

    fn from_u8(number: u8) -> Self {
        [Self::Calm, Self::Storm, Self::Flood][usize::from(number.min(2))]
    }
}

/// How a login was answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Answer {
    /// By `A`, ...
    Accepted = 0,
    /// ... by a `J` that says `A`, ...
    Refused = 1,
    /// ... by one that says `S`: too many wait already, ...
    TurnedAway = 2,
    /// ... and by an end or nothing.
    Unanswered = 3,
}

/// How many logins were answered so, by [`Answer`].
pub type Answers = [u64; 4];

#[derive(Default)]
struct Shared {
    login_load: AtomicU8,
    answers: [AtomicU64; 4],
}

impl Shared {
    fn count(&self, answer: Answer) {
        self.answers[answer as usize].fetch_add(1, Ordering::AcqRel);
    }
}

/// The thread that storms.
pub struct Storm {
    worker: Worker<()>,
    shared: Arc<Shared>,
}

impl Storm {
    /// These users storm when told to; at most `rate` logins a second of all of them together, or of a flood.
    ///
    /// # Errors
    /// There can be no other thread.
    pub fn start(gateway: SocketAddr, users: Vec<String>, rate: Option<u64>) -> Result<Self, String> {
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        let work = move |ending: &AtomicBool| Stormers::new(gateway, users, rate)?.run(&theirs, ending);
        Ok(Self { worker: Worker::start("storm", work)?, shared })
    }

    /// From now on.
    pub fn set(&self, login_load: LoginLoad) {
        self.shared.login_load.store(login_load as u8, Ordering::Release);
    }

    /// How logins were answered so far.
    pub fn answers(&self) -> Answers {
        self.shared.answers.each_ref().map(|count| count.load(Ordering::Acquire))
    }

    /// Whether it has ended by itself.
    pub fn has_ended(&self) -> bool {
        self.worker.has_ended()
    }

    /// Ends it.
    ///
    /// # Errors
    /// In words, what went wrong.
    pub fn end(self) -> Result<(), String> {
        self.worker.end()
    }
}

struct Stormers {
    gateway: SocketAddr,
    users: Vec<String>,
    interval_ns: Nanos,
    poll: Poll,
    clock: Clock,
    logins: Vec<Option<(Connection<TcpStream>, Nanos)>>,
    /// Addresses that flooded, and names of nobody.
    number: u32,
    /// When the next may begin.
    next_at: Nanos,
}

impl Stormers {
    fn new(gateway: SocketAddr, users: Vec<String>, rate: Option<u64>) -> Result<Self, String> {
        let poll = Poll::new().map_err(|error| format!("the storm's poll: {error}"))?;
        let (logins, clock) = (users.iter().map(|_| None).collect(), Clock::start());
        let interval_ns = rate.map_or(0, |rate| 1_000_000_000 / rate.max(1));
        Ok(Self { gateway, users, interval_ns, poll, clock, logins, number: 0, next_at: 0 })
    }

    fn run(mut self, shared: &Shared, ending: &AtomicBool) -> Result<(), String> {
        let (mut events, mut before) = (Events::with_capacity(256), LoginLoad::Calm);
        while !ending.load(Ordering::Acquire) {
            let login_load = LoginLoad::from_u8(shared.login_load.load(Ordering::Acquire));
            if login_load != before {
                self.logins.iter_mut().for_each(|login| *login = None);
                (before, self.next_at) = (login_load, self.clock.now());
            }
            let count = match login_load {
                LoginLoad::Calm => {
                    std::thread::sleep(PAUSE);
                    continue;
                }
                LoginLoad::Storm => self.users.len(),
                LoginLoad::Flood => FLOODERS.min(self.users.len()),
            };
            for index in 0..count {
                self.begin(index, login_load)?;
            }
            if let Err(error) = self.poll.poll(&mut events, Some(PAUSE))
                && error.kind() != ErrorKind::Interrupted
            {
                return Err(format!("the storm's poll: {error}"));
            }
            for event in &events {
                self.look(event.token().0, shared);
            }
            let now = self.clock.now();
            for index in 0..count {
                if self.logins[index].as_ref().is_some_and(|(_, since)| now > since + ANSWER_NS) {
                    self.logins[index] = None;
                    shared.count(Answer::Unanswered);
                }
            }
        }
        Ok(())
    }

    /// Connects and logs in, where that has not begun and may.
    fn begin(&mut self, index: usize, login_load: LoginLoad) -> Result<(), String> {
        let now = self.clock.now();
        if self.logins[index].is_some() || now < self.next_at {
            return Ok(());
        }
        self.next_at += self.interval_ns;
        let (from, user, password) = if login_load == LoginLoad::Flood {
            self.number += 1;
            let [_, a, b, c] = self.number.to_be_bytes();
            (Ipv4Addr::new(127, 64 | a & 63, b, c), format!("x{:05x}", self.number & 0xf_ffff), "wrong")
        } else {
            let address = index as u32 + 1;
            let [_, _, a, b] = address.to_be_bytes();
            (Ipv4Addr::new(127, 1, a, b), self.users[index].clone(), PASSWORD)
        };
        let fails = |error: std::io::Error| format!("a storming client from {from}: {error}");
        let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP)).map_err(fails)?;
        // Dropped at once, as by a program that dies; and its port is free again.
        socket.set_linger(Some(Duration::ZERO)).map_err(fails)?;
        socket.bind(&SocketAddr::from((from, 0)).into()).map_err(fails)?;
        if socket.connect(&self.gateway.into()).is_err() {
            return Ok(()); // turned away: again in the next turn
        }
        socket.set_nonblocking(true).map_err(fails)?;
        let mut socket = TcpStream::from_std(socket.into());
        self.poll.registry().register(&mut socket, Token(index), Interest::READABLE).map_err(fails)?;
        let login = begin_login(socket, &self.clock, &user, password)?;
        self.logins[index] = Some((login, now));
        Ok(())
    }

    fn look(&mut self, index: usize, shared: &Shared) {
        let Some((login, _)) = &mut self.logins[index] else { return };
        let counted = match answer(login, &self.clock) {
            None => return,
            Some(Ok(())) => Answer::Accepted,
            Some(Err(ClientEnd::Rejected(RejectReason::NotAuthorized))) => Answer::Refused,
            Some(Err(ClientEnd::Rejected(_))) => Answer::TurnedAway,
            Some(Err(_)) => Answer::Unanswered,
        };
        shared.count(counted);
        self.logins[index] = None;
    }
}
