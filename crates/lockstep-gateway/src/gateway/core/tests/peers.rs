//! SoupBinTCP peers that log in, send and fall silent wrongly, in every way that the protocol leaves open.
//! Within the permitted silence each message that a peer frames is in the stream, or refused with a text, or
//! its session has ended; and so has the session of a peer that sends nothing whole any more.

use super::{OWN, S};
use crate::gateway::core::{Gateway, GatewayCounts, GatewayLimits, GatewayStream};
use crate::gateway::ledger::Ledger;
use crate::gateway::locks::LockoutTimes;
use crate::gateway::users::{User, Users};
use lockstep_core::engine::ports::MemoryBacklog;
use lockstep_core::engine::publisher::{PublishError, PublisherEvent};
use lockstep_core::engine::subscriber::{Delivery, SubscriberEvent};
use lockstep_memory::rng::Rng;
use lockstep_testkit::lane::amount;
use lockstep_wire::{Destination, Nanos, PublisherId, PublisherSeq};
use soupbintcp::{Packet, ServerLimits};
use std::collections::VecDeque;
use std::net::SocketAddr;

/// The time between two steps.
const STEP: Nanos = S / 20;
/// Three heartbeats: the silence that a client may keep, and the time of a login.
const SILENCE: Nanos = 3 * S;
/// The bound, with one step on either side.
const BOUND: Nanos = SILENCE + 2 * STEP;
/// Longest message that the stream accepts.
const TAKEN_MAX: usize = 1_000;
const USERS: [&str; 2] = ["alice", "bob"];

/// A stream that accepts short messages, and opens names when the test demands it.
#[derive(Default)]
struct Stream {
    opens: Vec<(String, [u64; 2])>,
    taken: u64,
}

impl GatewayStream for Stream {
    fn open(&mut self, name: &str, nonce: [u64; 2]) -> Option<usize> {
        self.opens.push((name.to_owned(), nonce));
        Some(self.opens.len() - 1)
    }

    fn publish(
        &mut self,
        _: PublisherId,
        to: Destination,
        payload: &[u8],
    ) -> Result<PublisherSeq, PublishError> {
        if payload.len() > TAKEN_MAX {
            return Err(PublishError::TooLong { len: payload.len(), max: TAKEN_MAX });
        }
        self.taken += u64::from(to == 0);
        Ok(1)
    }

    fn close(&mut self, _: PublisherId, _: &[u8]) -> Result<(), PublishError> {
        Ok(())
    }

    fn draw(&mut self) -> [u64; 2] {
        [(7 + self.opens.len() as u64) << 8, 7]
    }
}

/// How a peer logs in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Login {
    Right,
    /// So many bytes in each step.
    Trickled(usize),
    /// It sends nothing, or this much without end.
    Never,
    Half,
    OnlyDebug,
    OnlyHeartbeats,
    WrongPassword,
    Twice,
    AgainLater,
    MessageBefore,
    LogoutBefore,
    ServersPacket,
    Garbage,
}

const LOGINS: [Login; 24] = [
    Login::Right,
    Login::Right,
    Login::Right,
    Login::Right,
    Login::Right,
    Login::Right,
    Login::Right,
    Login::Right,
    Login::Right,
    Login::Right,
    Login::Right,
    Login::Trickled(1),
    Login::Trickled(3),
    Login::Never,
    Login::Half,
    Login::OnlyDebug,
    Login::OnlyHeartbeats,
    Login::WrongPassword,
    Login::Twice,
    Login::AgainLater,
    Login::MessageBefore,
    Login::LogoutBefore,
    Login::ServersPacket,
    Login::Garbage,
];

/// What happens to one packet in four under way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Way {
    Whole,
    Pieces,
    Slow(usize),
    Noise,
    Long,
    Short,
    Zero,
    Halves,
    Changed,
}

const WAYS: [Way; 12] = [
    Way::Whole,
    Way::Whole,
    Way::Whole,
    Way::Pieces,
    Way::Slow(2),
    Way::Slow(10),
    Way::Noise,
    Way::Long,
    Way::Short,
    Way::Zero,
    Way::Halves,
    Way::Changed,
];

/// What a peer still sends once it sends nothing whole.
#[derive(Clone, Copy, Debug)]
enum Quiet {
    Nothing,
    OneByteASecond,
    /// Heartbeats and messages, behind a length that swallows them.
    WithinAPacket,
}

const QUIET: [Quiet; 3] = [Quiet::Nothing, Quiet::OneByteASecond, Quiet::WithinAPacket];

fn gateway() -> (Gateway<MemoryBacklog>, Stream) {
    let limits = GatewayLimits {
        delivery: Delivery::Committed,
        clients_max: 8,
        clients_per_address: 8,
        allow: None,
        accepts: 500,
        soup: ServerLimits { login_ns: SILENCE, silence_ns: SILENCE, ..ServerLimits::default() },
        fix: crate::fix::session::FixSessionLimits::default(),
        stall_ns: 10 * S,
        checks_max: 8,
        checks_per_address: 8,
        lockout: LockoutTimes::default(),
        scan_ns: STEP / 2,
        heartbeat_ns: S / 2,
        lost_heartbeats: 6,
    };
    let mut users = Users::default();
    for name in USERS {
        let mut user = User::new(name.into(), "hash".into());
        (user.numbered, user.rate, user.grace_ms) = (name == "bob", 10_000, 0);
        users.insert(user);
    }
    let ledger = Ledger::new(MemoryBacklog::new(1 << 12), true, false);
    let (mut gateway, mut stream) = (Gateway::new("1", limits, users, ledger), Stream::default());
    gateway.on_stream(0, &mut stream, &SubscriberEvent::CaughtUp { next: 1 });
    gateway.turn(0, &mut stream, &mut Vec::new());
    open(&mut gateway, &mut stream, (0, 0), OWN);
    (gateway, stream)
}

/// The open of this ticket is stamped, and delivered.
fn open(
    gateway: &mut Gateway<MemoryBacklog>,
    stream: &mut Stream,
    (now, ticket): (Nanos, usize),
    publisher: PublisherId,
) {
    let (name, nonce) = stream.opens[ticket].clone();
    let (seq, incarnation) = (ticket as u64 + 1, ticket as u32 + 1);
    let (timestamp, last, name) = (0, 0, name.as_str());
    let opened = SubscriberEvent::Opened { seq, timestamp, publisher, incarnation, nonce, last, name };
    gateway.on_stream(now, stream, &opened);
    let event = PublisherEvent::Opened { ticket, publisher, publisher_seq: 1, last: 0 };
    gateway.on_publisher(now, stream, &event);
}

/// One peer at the gateway.
struct Run<'a> {
    gateway: &'a mut Gateway<MemoryBacklog>,
    stream: &'a mut Stream,
    began: Nanos,
    now: Nanos,
    rng: Rng,
    index: usize,
    user: usize,
    login: Login,
    way: Way,
    quiet: Quiet,
    quiet_since: Option<Nanos>,
    waiting: VecDeque<u8>,
    /// All received bytes, how many of them are whole packets, and how many packets are messages.
    came: Vec<u8>,
    whole_len: usize,
    framed: u64,
    /// The time since which received bytes are no whole packet.
    partial_since: Option<Nanos>,
    number: u64,
    counted: (GatewayCounts, u64),
    out: Vec<u8>,
    /// When an open under way is stamped.
    opens_at: Option<(Nanos, usize)>,
}

fn packet(packet: &Packet<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    packet.append(&mut bytes).expect("it is one");
    bytes
}

impl Run<'_> {
    fn login_bytes(&self, password: &str) -> Vec<u8> {
        let user = USERS[self.user];
        format!("\0\x2fL{user:<6}{password:<10}{:>10}{:>20}", "", 0).into_bytes()
    }

    /// Sends its login.
    fn begin(&mut self) {
        let right = self.login_bytes("secret");
        let message = packet(&Packet::Unsequenced(b"too early"));
        let bytes = match self.login {
            Login::Right | Login::Trickled(_) | Login::AgainLater => right,
            Login::Never | Login::OnlyDebug | Login::OnlyHeartbeats => Vec::new(),
            Login::Half => right[..1 + self.rng.below(right.len() as u64 - 1) as usize].to_vec(),
            Login::WrongPassword => self.login_bytes("wrong"),
            Login::Twice => [right.clone(), right].concat(),
            Login::MessageBefore => [message, right].concat(),
            Login::LogoutBefore => [packet(&Packet::LogoutRequest), right].concat(),
            Login::ServersPacket => [packet(&Packet::EndOfSession), right].concat(),
            Login::Garbage => (0..60).map(|_| self.rng.below(256) as u8).collect(),
        };
        self.waiting.extend(bytes);
    }

    /// Sends a packet, which may be damaged under way.
    fn send(&mut self, sent: &Packet<'_>) {
        let mut bytes = packet(sent);
        if self.rng.below(4) == 0 {
            let rng = &mut self.rng;
            let length = u16::from_be_bytes([bytes[0], bytes[1]]);
            match self.way {
                Way::Whole | Way::Pieces | Way::Slow(_) => {}
                Way::Noise => bytes = (0..rng.below(20)).map(|_| rng.below(256) as u8).chain(bytes).collect(),
                Way::Long => {
                    let longer = length.saturating_add(rng.log_uniform(1, 65_000) as u16);
                    bytes[..2].copy_from_slice(&longer.to_be_bytes());
                }
                Way::Short => {
                    let shorter = length - rng.below(u64::from(length)) as u16;
                    bytes[..2].copy_from_slice(&shorter.to_be_bytes());
                }
                Way::Zero => bytes[..2].fill(0),
                Way::Halves => bytes.truncate(rng.below(bytes.len() as u64) as usize),
                Way::Changed => {
                    let at = rng.below(bytes.len() as u64) as usize;
                    bytes[at] = rng.below(256) as u8;
                }
            }
        }
        self.waiting.extend(bytes);
    }

    fn message(&mut self) {
        let len = if self.rng.below(30) == 0 { TAKEN_MAX + 1 } else { 20 + self.rng.below(60) as usize };
        let mut message = vec![b'm'; len];
        if USERS[self.user] == "bob" {
            // Now and then it skips a number, or repeats one.
            self.number = (self.number + self.rng.pick(&[1, 1, 1, 1, 1, 1, 2, 0])).max(1);
            message[..8].copy_from_slice(&self.number.to_be_bytes());
        }
        self.send(&Packet::Unsequenced(&message));
    }

    /// Sends the bytes of a step, logged in or not.
    fn talk(&mut self, step: u64) {
        match self.login {
            Login::OnlyDebug => return self.send(&Packet::Debug(b"hello")),
            Login::OnlyHeartbeats => return self.send(&Packet::ClientHeartbeat),
            Login::AgainLater if step == 30 => {
                let login = self.login_bytes("secret");
                self.waiting.extend(login);
            }
            _ => {}
        }
        if step < 12 || self.login != Login::Right && self.login != Login::AgainLater {
            return;
        }
        if self.rng.below(4) == 0 {
            self.message();
        }
        if step.is_multiple_of(20) || self.rng.below(30) == 0 {
            self.send(&Packet::ClientHeartbeat);
        }
        match self.rng.below(400) {
            0 => self.send(&Packet::LogoutRequest),
            1 => self.send(&Packet::Debug(b"hello")),
            2 => self.send(&Packet::Unsequenced(b"")),
            3 => self.send(&Packet::ServerHeartbeat),
            4 => self.send(&Packet::Unsequenced(&[b'm'; 65_000])),
            _ => {}
        }
    }

    /// Delivers the bytes of a step to the gateway.
    fn deliver(&mut self) {
        let step = (self.now - self.began) / STEP;
        let room = match (self.login, self.way) {
            (Login::Trickled(bytes), _) | (_, Way::Slow(bytes)) => bytes,
            (_, Way::Pieces) => self.rng.below(self.waiting.len() as u64 + 1) as usize,
            _ => self.waiting.len(),
        };
        let bytes: Vec<u8> = match (self.quiet_since, self.quiet) {
            (None, _) => self.waiting.drain(..room.min(self.waiting.len())).collect(),
            (Some(since), Quiet::WithinAPacket) if since == self.now => b"\xff\xffUorder".to_vec(),
            (Some(_), Quiet::WithinAPacket) if step.is_multiple_of(20) => b"\0\x01R\0\x06Uorder".to_vec(),
            // A packet that takes a minute.
            (Some(since), Quiet::OneByteASecond) if (self.now - since).is_multiple_of(S) => {
                let at = ((self.now - since) / S) as usize;
                b"\0\x3cUorder".get(at).map_or(vec![b'm'], |byte| vec![*byte])
            }
            _ => Vec::new(),
        };
        if bytes.is_empty() {
            return;
        }
        self.came.extend_from_slice(&bytes);
        while let Ok(Some((packet, len))) = Packet::decode(&self.came[self.whole_len..]) {
            self.framed += u64::from(matches!(packet, Packet::Unsequenced(_)));
            self.whole_len += len;
            self.partial_since = None;
        }
        if self.whole_len < self.came.len() {
            self.partial_since.get_or_insert(self.now);
        }
        self.gateway.on_bytes(self.now, self.stream, self.index, &bytes);
    }

    /// The gateway's turn, with everything for which it waits.
    fn turn(&mut self) {
        while let Some(check) = self.gateway.next_check() {
            let is_right = check.password == b"secret";
            let before = self.stream.opens.len();
            self.gateway.on_checked(self.now, self.stream, &check, is_right);
            if self.stream.opens.len() > before {
                self.opens_at = Some((self.now + self.rng.below(4) * STEP, before));
            }
        }
        if let Some((_, ticket)) = self.opens_at.take_if(|(at, _)| *at <= self.now) {
            open(self.gateway, self.stream, (self.now, ticket), OWN + 1 + self.user as PublisherId);
        }
        self.gateway.turn(self.now, self.stream, &mut Vec::new());
        let out = self.gateway.out(self.index).to_vec();
        self.out.extend_from_slice(&out);
        self.gateway.on_sent(self.now, self.index, out.len());
    }

    /// Checks that each whole message is counted once, in the stream or with a text; incomplete bytes have
    /// time.
    fn judge(&self) -> Result<(), String> {
        let (before, taken) = (self.counted.0, self.stream.taken - self.counted.1);
        let now = self.gateway.counts();
        let (refused, known) = (now.refused - before.refused, now.duplicates - before.duplicates);
        if taken + refused + known != self.framed {
            return Err(format!(
                "of {} messages {taken} are taken, {refused} refused, {known} known",
                self.framed
            ));
        }
        let words: &[u8] = b"a message ";
        if refused > 0 && !self.out.windows(words.len()).any(|part| part == words) {
            return Err(format!("{refused} are refused, and no word says so"));
        }
        if self.partial_since.is_some_and(|since| self.now > since + BOUND) {
            return Err("what has come is no whole packet, and the session goes on".to_owned());
        }
        if self.quiet_since.is_some_and(|since| self.now > since + BOUND) {
            return Err("nothing whole comes, and the session goes on".to_owned());
        }
        if !self.gateway.sessions.serves(self.index) && self.now > self.began + BOUND + 8 * STEP {
            return Err("it is not logged in, and the connection stays".to_owned());
        }
        Ok(())
    }
}

/// Runs one peer by its seed. It sends for some seconds, and then nothing whole any more.
fn run(
    gateway: &mut Gateway<MemoryBacklog>,
    stream: &mut Stream,
    began: Nanos,
    seed: u64,
) -> Result<Nanos, String> {
    let mut rng = Rng::new(seed);
    let peer = SocketAddr::from(([10, 0, (seed >> 8) as u8, seed as u8], 9));
    let (index, _) = gateway.accept(began, peer).expect("room");
    let (login, way, quiet) = (rng.pick(&LOGINS), rng.pick(&WAYS), rng.pick(&QUIET));
    let (user, talks_until) = (rng.below(2) as usize, rng.below(80));
    let counted = (gateway.counts(), stream.taken);
    let mut run = Run {
        gateway,
        stream,
        began,
        now: began,
        rng,
        index,
        user,
        login,
        way,
        quiet,
        quiet_since: None,
        waiting: VecDeque::new(),
        came: Vec::new(),
        whole_len: 0,
        framed: 0,
        partial_since: None,
        number: 0,
        counted,
        out: Vec::new(),
        opens_at: None,
    };
    run.begin();
    let mut step = 0;
    while !run.gateway.is_done(run.now, index) {
        step += 1;
        run.now += STEP;
        if run.quiet_since.is_none() && step >= talks_until {
            run.quiet_since = Some(run.now);
            // Behind half a packet any bytes may be a whole one.
            if run.partial_since.is_some() {
                run.quiet = Quiet::Nothing;
            }
        }
        if run.quiet_since.is_none() {
            run.talk(step);
        }
        run.deliver();
        run.turn();
        let is_over = run.gateway.is_done(run.now, index);
        if !is_over {
            run.judge()
                .map_err(|what| format!("seed {seed}, step {step}, {login:?} {way:?} {quiet:?}: {what}"))?;
        }
    }
    if let Some((_, ticket)) = run.opens_at.take() {
        open(run.gateway, run.stream, (run.now, ticket), OWN + 1 + user as PublisherId);
    }
    let ended = run.now;
    gateway.on_closed(ended, index);
    gateway.invariants();
    Ok(ended + STEP)
}

#[test]
fn whatever_a_peer_of_soupbintcp_sends_each_message_and_its_session_end_within_three_heartbeats() {
    let first: u64 = 20_261_128;
    let (mut now, (mut core, mut stream)) = (0, gateway());
    for seed in first..first + amount(6_000, 1_000_000) {
        // Each gateway serves some of them, one after the other.
        if seed % 200 == 0 {
            (now, (core, stream)) = (0, gateway());
        }
        match run(&mut core, &mut stream, now, seed) {
            Ok(ended) => now = ended,
            Err(what) => panic!("{what}"),
        }
    }
}
