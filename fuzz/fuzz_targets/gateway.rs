//! What clients do to a gateway, in any order: connections of SoupBinTCP and FIX, logins, any bytes in any pieces, and
//! silence, while its stream comes late and an application answers anything. Its invariants hold after each step, what
//! waits for a client is bounded, and nobody is let in without the password.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lockstep_core::engine::ports::MemoryBacklog;
use lockstep_core::engine::publisher::{PublishError, PublisherEvent};
use lockstep_core::engine::subscriber::{Delivery, Message, SubscriberEvent};
use lockstep_gateway::fix::codec::seal;
use lockstep_gateway::fix::session::FixSessionLimits;
use lockstep_gateway::gateway::core::{Gateway, GatewayLimits, GatewayStream};
use lockstep_gateway::gateway::ledger::Ledger;
use lockstep_gateway::gateway::locks::LockoutTimes;
use lockstep_gateway::gateway::users::{User, Users};
use lockstep_wire::{DayMark, Destination, PublisherId, PublisherSeq};
use ouch50::codes::{CancelReason, Capacity, CrossType, Display, LiquidityFlag, OrderState, TimeInForce};
use ouch50::{
    Accepted, CancelPending, CancelReject, Canceled, ClOrdId, Executed, Modified, Options, Outbound, Price,
    Replaced, Side, Symbol,
};
use soupbintcp::ServerLimits;
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

const USERS: [&str; 2] = ["alice", "bob"];
const FIX_USER: &str = "carol";
/// The other end of FIX sessions.
const COMP_ID: &str = "LOCKSTEP";
/// The publisher of answers.
const APPLICATION: PublisherId = 1_000;
/// Message types of FIX that a client may send.
const KINDS: [&str; 10] = ["0", "1", "2", "3", "4", "5", "A", "D", "F", "G"];
const PASSWORD: &str = "secret";
const WINDOW: usize = 6;
const CLIENTS_MAX: usize = 4;
const CHECKS_MAX: usize = 2;
const MS: u64 = 1_000_000;
/// Bytes that may wait for one client: what the gateway sends at once, one packet of the longest, and a reply for
/// each message of a piece.
const OUT_MAX: usize = 4 * (64 << 10);

enum Sent {
    Open { name: String, nonce: [u64; 2], ticket: usize },
    Message { publisher: PublisherId, destination: Destination, payload: Vec<u8> },
    Close { publisher: PublisherId, reason: Vec<u8> },
}

/// What the gateway publishes through: a publisher's handle in small.
#[derive(Default)]
struct Handle {
    sent: VecDeque<Sent>,
    opens: usize,
    /// Id and incarnation by name.
    names: BTreeMap<String, (PublisherId, u32)>,
    open: BTreeMap<PublisherId, bool>,
    drawn: u64,
    seq: u64,
}

impl GatewayStream for Handle {
    fn open(&mut self, name: &str, nonce: [u64; 2]) -> Option<usize> {
        self.opens += 1;
        self.sent.push_back(Sent::Open { name: name.into(), nonce, ticket: self.opens });
        Some(self.opens)
    }

    fn publish(
        &mut self,
        publisher: PublisherId,
        destination: Destination,
        payload: &[u8],
    ) -> Result<PublisherSeq, PublishError> {
        match self.open.get(&publisher) {
            Some(true) if self.sent.len() >= WINDOW => Err(PublishError::Backpressure),
            Some(true) => {
                self.sent.push_back(Sent::Message { publisher, destination, payload: payload.into() });
                Ok(1)
            }
            Some(false) => Err(PublishError::Closed),
            None => Err(PublishError::NotOpen),
        }
    }

    fn close(&mut self, publisher: PublisherId, reason: &[u8]) -> Result<(), PublishError> {
        if self.open.insert(publisher, false) == Some(true) {
            self.sent.push_back(Sent::Close { publisher, reason: reason.into() });
        }
        Ok(())
    }

    fn draw(&mut self) -> [u64; 2] {
        self.drawn += 1;
        [self.drawn, 7]
    }
}

struct World {
    now: u64,
    core: Gateway<MemoryBacklog>,
    handle: Handle,
    conns: Vec<usize>,
    /// Checks that found a right password.
    let_in: usize,
}

impl World {
    fn new() -> Self {
        let mut users = Users::default();
        for (name, is_numbered) in USERS.into_iter().zip([false, true]) {
            let mut user = User::new(name.into(), PASSWORD.into());
            (user.numbered, user.early, user.cancel_on_disconnect) = (is_numbered, is_numbered, !is_numbered);
            users.insert(user);
        }
        let mut user = User::new(FIX_USER.into(), PASSWORD.into());
        user.fix = true;
        users.insert(user);
        let limits = GatewayLimits {
            delivery: Delivery::Committed,
            clients_max: CLIENTS_MAX,
            clients_per_address: CLIENTS_MAX - 1,
            allow: None,
            accepts: 500,
            soup: ServerLimits::default(),
            fix: FixSessionLimits::default(),
            stall_ns: 1_000 * MS,
            checks_max: CHECKS_MAX,
            checks_per_address: CHECKS_MAX,
            lockout: LockoutTimes::default(),
            scan_ns: 10 * MS,
            heartbeat_ns: 50 * MS,
            lost_heartbeats: 6,
        };
        let ledger = Ledger::new(MemoryBacklog::new(1 << 20), true, true);
        let core = Gateway::new("1", limits, users, ledger);
        let mut world = Self { now: MS, core, handle: Handle::default(), conns: Vec::new(), let_in: 0 };
        world.deliver(&SubscriberEvent::Day {
            seq: 1,
            timestamp: 0,
            mark: DayMark { is_start: true, name: "DAY" },
        });
        world.deliver(&SubscriberEvent::CaughtUp { next: 2 });
        world.handle.seq = 1;
        for _ in 0..4 {
            world.pass(20 * MS);
            world.commit();
        }
        assert!(world.core.is_ready(), "a gateway that has read its stream lets clients in");
        world
    }

    fn deliver(&mut self, event: &SubscriberEvent<'_>) {
        self.core.on_stream(self.now, &mut self.handle, event);
    }

    fn pass(&mut self, ns: u64) {
        self.now += ns;
        let mut touched = Vec::new();
        self.core.turn(self.now, &mut self.handle, &mut touched);
    }

    /// The oldest of what it has published is committed and delivered.
    fn commit(&mut self) {
        let Some(sent) = self.handle.sent.pop_front() else { return };
        self.handle.seq += 1;
        let seq = self.handle.seq;
        match sent {
            Sent::Open { name, nonce, ticket } => {
                let next = self.handle.names.len() as u32 + 1;
                let (publisher, incarnation) = self.handle.names.entry(name.clone()).or_insert((next, 0));
                *incarnation += 1;
                let (publisher, incarnation) = (*publisher, *incarnation);
                self.handle.open.insert(publisher, true);
                self.deliver(&SubscriberEvent::Opened {
                    seq,
                    timestamp: 0,
                    publisher,
                    incarnation,
                    nonce,
                    last: 0,
                    name: &name,
                });
                let opened = PublisherEvent::Opened { ticket, publisher, publisher_seq: 1, last: 0 };
                self.core.on_publisher(self.now, &mut self.handle, &opened);
            }
            Sent::Message { publisher, destination, payload } => {
                let message = Message {
                    seq,
                    publisher,
                    publisher_seq: 1,
                    destination,
                    timestamp: 0,
                    payload: &payload,
                };
                self.deliver(&SubscriberEvent::Message(message));
            }
            Sent::Close { publisher, reason } => {
                self.deliver(&SubscriberEvent::Closed { seq, timestamp: 0, publisher, reason: &reason });
            }
        }
        self.deliver(&SubscriberEvent::CaughtUp { next: seq + 1 });
    }

    fn check_passwords(&mut self) {
        while let Some(check) = self.core.next_check() {
            let is_right = check.hash.as_deref().map(str::as_bytes) == Some(&check.password[..]);
            self.let_in += usize::from(is_right);
            self.core.on_checked(self.now, &mut self.handle, &check, is_right);
        }
    }

    /// The fields of a message of FIX behind its type: the header, and what the input has.
    fn message_of_fix(&mut self, index: usize, kind: &str, number: u8, fields: &[u8]) {
        if !self.core.wants(index) {
            return;
        }
        let header = format!(
            "35={kind}\x0149={FIX_USER}\x0156={COMP_ID}\x0134={number}\x0152=19700101-00:00:00.000\x01"
        );
        let mut out = Vec::new();
        seal("FIX.4.4", &[header.as_bytes(), fields].concat(), &mut out);
        self.core.on_bytes(self.now, &mut self.handle, index, &out);
    }

    /// An answer of the application to the client of FIX: of OUCH 5.0, right or wrong at this moment, or any bytes.
    fn answer(&mut self, kind: u8, content: &[u8]) {
        let Some((publisher, _)) = self.handle.names.get(&format!("client/{FIX_USER}")).copied() else {
            return;
        };
        let byte = |at: usize| content.get(at).copied().unwrap_or(0);
        let (time_ns, user_ref_num, quantity) = (0, u32::from(byte(0)), u32::from(byte(1)));
        let (side, symbol) = (Side::Buy, Symbol::new(b"ABCD").expect("a symbol"));
        let price = Price(u64::from(byte(2)) * 10_000);
        let (time_in_force, display, capacity) = (TimeInForce::Day, Display::Visible, Capacity::Principal);
        let (reference, is_sweep, cross_type) = (u64::from(byte(3)), false, CrossType::Continuous);
        let state = if byte(4) > 200 { OrderState::Dead } else { OrderState::Live };
        let cl_ord_id = ClOrdId::new(&content[..content.len().min(5)])
            .unwrap_or_else(|_| ClOrdId::new(b"X").expect("text"));
        let (match_number, options, original) = (reference, Options::default(), u32::from(byte(5)));
        let liquidity = LiquidityFlag::Added;
        let answer = match kind % 8 {
            0 => Outbound::Accepted(Accepted {
                time_ns,
                user_ref_num,
                side,
                quantity,
                symbol,
                price,
                time_in_force,
                display,
                reference,
                capacity,
                is_sweep,
                cross_type,
                state,
                cl_ord_id,
                options,
            }),
            1 => Outbound::Replaced(Replaced {
                time_ns,
                original,
                user_ref_num,
                side,
                quantity,
                symbol,
                price,
                time_in_force,
                display,
                reference,
                capacity,
                is_sweep,
                cross_type,
                state,
                cl_ord_id,
                options,
            }),
            2 => Outbound::Executed(Executed {
                time_ns,
                user_ref_num,
                quantity,
                price,
                liquidity,
                match_number,
                options,
            }),
            3 => Outbound::Canceled(Canceled {
                time_ns,
                user_ref_num,
                quantity,
                reason: CancelReason::UserRequested,
                options,
            }),
            4 => Outbound::CancelPending(CancelPending { time_ns, user_ref_num, options }),
            5 => Outbound::CancelReject(CancelReject { time_ns, user_ref_num, options }),
            6 => Outbound::Modified(Modified { time_ns, user_ref_num, side, quantity, options }),
            _ => {
                let payload = content.to_vec();
                self.handle.sent.push_back(Sent::Message {
                    publisher: APPLICATION,
                    destination: publisher,
                    payload,
                });
                return;
            }
        };
        let mut payload = Vec::new();
        answer.append(&mut payload).expect("an answer");
        self.handle.sent.push_back(Sent::Message { publisher: APPLICATION, destination: publisher, payload });
    }

    fn step_of_fix(&mut self, op: u8, argument: u8, rest: &mut &[u8]) {
        let conn = self.conns.get(usize::from(argument >> 4) % self.conns.len().max(1)).copied();
        let len =
            if op % 4 < 2 { 0 } else { rest.first().map_or(0, |len| usize::from(*len)).min(rest.len()) };
        let (piece, behind) = rest.split_at(len);
        *rest = behind;
        match (op % 4, conn) {
            (0, _) => {
                let peer = SocketAddr::from(([10, 0, 0, argument % 4], 9));
                if let Some((index, _)) = self.core.accept_fix(self.now, peer, COMP_ID) {
                    self.conns.push(index);
                }
            }
            (1, Some(index)) => {
                let reset = if op & 8 > 0 { "141=Y\x01" } else { "" };
                let fields = format!("98=0\x01108=30\x01554={PASSWORD}\x01{reset}");
                self.message_of_fix(index, "A", argument % 16, fields.as_bytes());
            }
            (2, Some(index)) => {
                let kind = KINDS[usize::from(op >> 2) % KINDS.len()];
                self.message_of_fix(index, kind, argument % 16, piece.get(1..).unwrap_or_default());
            }
            (3, _) => self.answer(argument, piece.get(1..).unwrap_or_default()),
            _ => {}
        }
    }

    fn step(&mut self, op: u8, argument: u8, rest: &mut &[u8]) {
        if op >= 128 {
            return self.step_of_fix(op, argument, rest);
        }
        let conn = self.conns.get(usize::from(argument) % self.conns.len().max(1)).copied();
        match (op % 8, conn) {
            (0, _) => {
                let peer = SocketAddr::from(([10, 0, 0, argument % 4], 9));
                if let Some((index, _)) = self.core.accept(self.now, peer) {
                    self.conns.push(index);
                }
            }
            (1, Some(index)) => {
                let len = rest.first().map_or(0, |len| usize::from(*len)).min(rest.len());
                let (piece, behind) = rest.split_at(len);
                *rest = behind;
                if self.core.wants(index) {
                    self.core.on_bytes(self.now, &mut self.handle, index, piece);
                }
            }
            (2, _) => self.pass(1 << (argument % 36)),
            (3, _) => self.commit(),
            (4, _) => self.check_passwords(),
            (5, Some(index)) => {
                self.conns.retain(|other| *other != index);
                self.core.on_closed(self.now, index);
            }
            (6, Some(index)) => {
                let len = self.core.out(index).len().min(1 << (argument % 20));
                self.core.on_sent(self.now, index, len);
                if self.core.is_done(self.now, index) {
                    self.conns.retain(|other| *other != index);
                    self.core.on_closed(self.now, index);
                }
            }
            (7, Some(index)) if self.core.wants(index) => {
                let user = USERS[usize::from(argument >> 4) % 2];
                let login = format!("\0\x2fL{user:<6}{PASSWORD:<10}{:<10}{:>20}", "", argument % 4);
                self.core.on_bytes(self.now, &mut self.handle, index, login.as_bytes());
            }
            _ => {}
        }
    }
}

fuzz_target!(|bytes: &[u8]| {
    let (mut world, mut rest) = (World::new(), bytes);
    while let Some(([op, argument], behind)) = rest.split_first_chunk::<2>().map(|(a, b)| (*a, b)) {
        rest = behind;
        world.step(op, argument, &mut rest);
        world.core.invariants();
        assert!(world.core.open_count() <= world.let_in, "somebody is in without a password");
        for index in &world.conns {
            assert!(world.core.out(*index).len() <= OUT_MAX, "{} bytes wait", world.core.out(*index).len());
        }
        if world.core.take_failure().is_some() {
            break;
        }
    }
});
