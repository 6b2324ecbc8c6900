//! One gateway of the model: its engine, its stream, its password check.

use super::*;
use crate::gateway::core::model::{Entry, Handle, Log, USERS};
use crate::gateway::locks::LockoutTimes;
use crate::gateway::users::{Recipient, User};
use lockstep_core::engine::ports::MemoryBacklog;
use lockstep_core::engine::subscriber::{Delivery, Message, SubscriberEvent};
use lockstep_wire::DayMark;
use soupbintcp::ServerLimits;
use soupbintcp::packet::PACKET_LEN_MAX;

pub(super) fn users(carol_is_disabled: bool) -> Users {
    let mut users = Users::default();
    for name in USERS {
        let mut user = User::new(name.into(), "secret".into());
        match name {
            "bob" => (user.numbered, user.early, user.grace_ms) = (true, true, 0),
            "carol" => {
                user.early = true;
                user.hear =
                    vec![Recipient::Everybody, Recipient::Client("alice".into()), Recipient::Channel(7)];
                (user.destination, user.disabled) = (Recipient::Channel(7), carol_is_disabled);
            }
            "mally" => user.destination = Recipient::Client("alice".into()),
            _ => user.cancel_on_disconnect = true,
        }
        users.insert(user);
    }
    users
}

/// One gateway: its core, its handle, and how far it has read.
pub(super) struct Place {
    pub(super) core: Gateway<MemoryBacklog>,
    pub(super) handle: Handle,
    pub(super) delivery: Delivery,
    pub(super) read: usize,
    /// The bound that was reported to it as committed.
    pub(super) reported: usize,
    /// The position from which on a takeover has taken back what it read, until it learns of that.
    pub(super) cut: Option<usize>,
    pub(super) touched: Vec<usize>,
}

impl Place {
    pub(super) fn new(place: usize, number: u64) -> Self {
        let delivery = [Delivery::Committed, Delivery::Stamped][place];
        let limits = GatewayLimits {
            delivery,
            clients_max: CLIENTS_MAX,
            clients_per_address: CLIENTS_MAX,
            allow: None,
            accepts: 500,
            soup: ServerLimits::default(),
            fix: crate::fix::session::FixSessionLimits::default(),
            stall_ns: 1_000 * MS,
            checks_max: CHECKS_MAX,
            checks_per_address: CHECKS_MAX,
            lockout: LockoutTimes::default(),
            scan_ns: 10 * MS,
            heartbeat_ns: 50 * MS,
            lost_heartbeats: 6,
        };
        let ledger = Ledger::new(MemoryBacklog::new(1 << 26), true, true);
        let core = Gateway::new(["1", "2"][place], limits, users(false), ledger);
        let handle = Handle::new(number);
        Self { core, handle, delivery, read: 0, reported: 0, cut: None, touched: Vec::new() }
    }

    /// The handle reads `count` entries, and reports what it found.
    pub(super) fn read_outcomes(&mut self, now: Nanos, log: &Log, count: usize) {
        self.apply_takeover(now);
        let entries = &log.entries[self.handle.read..];
        for event in self.handle.read(&entries[..count.min(entries.len())], log.committed) {
            self.core.on_publisher(now, &mut self.handle, &event);
        }
    }

    /// A takeover has taken back the log from `from` on.
    pub(super) fn on_takeover(&mut self, from: usize) {
        self.cut = Some(self.cut.map_or(from, |cut| cut.min(from)));
    }

    fn apply_takeover(&mut self, now: Nanos) {
        let Some(from) = self.cut.take() else { return };
        self.handle.cut(from);
        if self.read > from {
            self.read = from;
            let retract = SubscriberEvent::Retract { from: from as u64 + 1 };
            self.core.on_stream(now, &mut self.handle, &retract);
        }
    }

    /// `count` entries are delivered.
    pub(super) fn read_stream(&mut self, now: Nanos, log: &Log, count: usize) {
        self.apply_takeover(now);
        let end = if self.delivery == Delivery::Stamped { log.entries.len() } else { log.committed };
        for entry in log.entries[..end].iter().skip(self.read).take(count) {
            self.read += 1;
            let seq = self.read as u64;
            let event = match entry {
                Entry::Opened { publisher, incarnation, nonce, name } => SubscriberEvent::Opened {
                    seq,
                    timestamp: 0,
                    publisher: *publisher,
                    incarnation: *incarnation,
                    nonce: *nonce,
                    last: 0,
                    name,
                },
                Entry::Closed { publisher, reason } => {
                    SubscriberEvent::Closed { seq, timestamp: 0, publisher: *publisher, reason }
                }
                Entry::Message { publisher, destination, payload } => SubscriberEvent::Message(Message {
                    seq,
                    publisher: *publisher,
                    publisher_seq: 1,
                    destination: *destination,
                    timestamp: 0,
                    payload,
                }),
                Entry::Day(name) => {
                    let mark = DayMark { is_start: name.is_some(), name: name.as_deref().unwrap_or("") };
                    SubscriberEvent::Day { seq, timestamp: 0, mark }
                }
            };
            self.core.on_stream(now, &mut self.handle, &event);
        }
        if self.delivery == Delivery::Stamped && log.committed > self.reported {
            self.reported = log.committed;
            let next = self.reported as u64 + 1;
            self.core.on_stream(now, &mut self.handle, &SubscriberEvent::Committed { next });
        }
        if self.read == end {
            let next = self.read as u64 + 1;
            self.core.on_stream(now, &mut self.handle, &SubscriberEvent::CaughtUp { next });
        }
    }

    pub(super) fn check_passwords(&mut self, now: Nanos) {
        while let Some(check) = self.core.next_check() {
            let is_right = check.hash.as_deref().map(str::as_bytes) == Some(&check.password[..]);
            self.core.on_checked(now, &mut self.handle, &check, is_right);
        }
    }

    pub(super) fn turn(&mut self, now: Nanos) {
        self.core.turn(now, &mut self.handle, &mut self.touched);
        self.touched.clear();
    }

    /// No input of clients or of the stream makes it grow.
    pub(super) fn assert_bounded(&self) {
        let core = &self.core;
        assert!(!matches!(core.failed, Some(GatewayError::Backlog(_) | GatewayError::Fenced(_))));
        let (sessions, checks) = (&core.sessions, &core.checks);
        assert!(sessions.conns.indexes().len() <= CLIENTS_MAX);
        assert!(checks.waiting() <= CHECKS_MAX && checks.pending() <= CHECKS_MAX);
        assert!(
            core.pending.len() <= 2 * self.read.saturating_sub(self.reported) + 1,
            "what is committed waits no more"
        );
        for (_, conn) in sessions.conns.iter() {
            assert!(conn.inbox.len() <= PACKET_LEN_MAX + PIECE_MAX, "{} bytes came", conn.inbox.len());
            // Waiting bytes, sent bytes that are not released yet, and a text for each refused message.
            assert!(conn.out.len() <= 4 * OUT_MAX, "{} bytes to be sent", conn.out.len());
        }
        sessions.assert_served();
    }
}
