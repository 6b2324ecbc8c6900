//! Two gateways, the stream between them, and an application.

use crate::gateway::core::{Gateway, GatewayCounts, GatewayLimits, GatewayStream};
use crate::gateway::ledger::Ledger;
use crate::gateway::locks::LockoutTimes;
use crate::gateway::users::{User, Users};
use lockstep_core::engine::clients::{Clients, GatewayClientEvent};
use lockstep_core::engine::ports::MemoryBacklog;
use lockstep_core::engine::publisher::{PublishError, PublisherEvent};
use lockstep_core::engine::subscriber::{Delivery, Message, SubscriberEvent};
use lockstep_wire::{DayMark, Destination, GATEWAYS, Nanos, PublisherId, PublisherSeq};
use ouch50::codes::{CancelReason, Capacity, CrossType, Display, LiquidityFlag, OrderState, TimeInForce};
use ouch50::{
    Accepted, Canceled, ClOrdId, Executed, Inbound, Options, Outbound, Price, Replaced, Side, Symbol,
};
use soupbintcp::ServerLimits;
use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

/// 2026-11-21 10:00:00 UTC.
const BEGAN: Nanos = 1_795_255_200_000_000_000;
const APPLICATION: PublisherId = 900;
/// Time between two turns of the gateways and the application.
pub(super) const STEP: Nanos = 10_000_000;

#[derive(Clone, Debug)]
enum Logged {
    Opened { publisher: PublisherId, nonce: [u64; 2], last: PublisherSeq, name: String },
    Closed { publisher: PublisherId, reason: Vec<u8> },
    Message { publisher: PublisherId, publisher_seq: PublisherSeq, to: Destination, payload: Vec<u8> },
    Day(Option<String>),
}

#[derive(Default)]
struct Log {
    entries: Vec<(Nanos, Logged)>,
    ids: BTreeMap<String, PublisherId>,
    last: BTreeMap<PublisherId, PublisherSeq>,
    /// The gateway that has opened each client.
    owners: BTreeMap<PublisherId, usize>,
    /// Their submissions that are not stamped yet.
    waiting: VecDeque<(usize, PublisherId, Destination, Vec<u8>)>,
    opened: [Vec<(usize, PublisherId, PublisherSeq)>; 2],
    tickets: usize,
    is_stalled: bool,
    is_full: bool,
    now: Nanos,
}

impl Log {
    fn push(&mut self, entry: Logged) {
        self.entries.push((BEGAN + self.now, entry));
    }

    fn stamp(&mut self, publisher: PublisherId, to: Destination, payload: &[u8]) -> PublisherSeq {
        let last = self.last.entry(publisher).or_default();
        *last += 1;
        let publisher_seq = *last;
        self.push(Logged::Message { publisher, publisher_seq, to, payload: payload.to_vec() });
        publisher_seq
    }

    fn release(&mut self) {
        while let Some((owner, publisher, to, payload)) = self.waiting.pop_front() {
            if self.owners.get(&publisher) == Some(&owner) {
                self.stamp(publisher, to, &payload);
            }
        }
    }
}

struct Handle {
    log: Rc<RefCell<Log>>,
    index: usize,
}

impl GatewayStream for Handle {
    fn open(&mut self, name: &str, nonce: [u64; 2]) -> Option<usize> {
        let log = &mut *self.log.borrow_mut();
        log.tickets += 1;
        let next = log.ids.len() as PublisherId + 1;
        let publisher = *log.ids.entry(name.to_owned()).or_insert(next);
        let last = log.last.get(&publisher).copied().unwrap_or(0);
        // The submissions of another gateway are lost.
        log.waiting.retain(|(_, of, _, _)| *of != publisher);
        log.owners.insert(publisher, self.index);
        log.push(Logged::Opened { publisher, nonce, last, name: name.to_owned() });
        let ticket = log.tickets;
        log.opened[self.index].push((ticket, publisher, last));
        Some(ticket)
    }

    fn publish(
        &mut self,
        publisher: PublisherId,
        to: Destination,
        payload: &[u8],
    ) -> Result<PublisherSeq, PublishError> {
        let log = &mut *self.log.borrow_mut();
        let is_own_heartbeat = to == GATEWAYS && payload.is_empty();
        if log.owners.get(&publisher) != Some(&self.index) {
            return Err(PublishError::Fenced);
        }
        if log.is_full && !is_own_heartbeat {
            return Err(PublishError::Backpressure);
        }
        if log.is_stalled && !is_own_heartbeat {
            log.waiting.push_back((self.index, publisher, to, payload.to_vec()));
            return Ok(0);
        }
        Ok(log.stamp(publisher, to, payload))
    }

    fn close(&mut self, publisher: PublisherId, reason: &[u8]) -> Result<(), PublishError> {
        let log = &mut *self.log.borrow_mut();
        if log.owners.get(&publisher) == Some(&self.index) {
            log.push(Logged::Closed { publisher, reason: reason.to_vec() });
        }
        Ok(())
    }

    fn draw(&mut self) -> [u64; 2] {
        let log = self.log.borrow();
        [(log.tickets as u64 + 7) << 8, log.tickets as u64 + 7]
    }
}

/// The place: see the module.
pub(super) struct FixPlace {
    log: Rc<RefCell<Log>>,
    gateways: [Gateway<MemoryBacklog>; 2],
    handles: [Handle; 2],
    alive: [bool; 2],
    delivered: [usize; 2],
    applied: usize,
    orders: Vec<String>,
    refs: BTreeMap<String, (PublisherId, u32)>,
    answers: usize,
    canceled: usize,
    /// Open quantity of each order, by its number.
    open: BTreeMap<u32, u32>,
    clients: Clients,
    disconnects: Vec<String>,
}

fn limits() -> GatewayLimits {
    GatewayLimits {
        delivery: Delivery::Committed,
        clients_max: 64,
        clients_per_address: 64,
        allow: None,
        accepts: 500,
        soup: ServerLimits::default(),
        fix: crate::fix::session::FixSessionLimits::default(),
        stall_ns: 60_000_000_000,
        checks_max: 8,
        checks_per_address: 8,
        lockout: LockoutTimes::default(),
        scan_ns: STEP,
        heartbeat_ns: 500_000_000,
        lost_heartbeats: 6,
    }
}

fn users(is_alice_disabled: bool) -> Users {
    let mut users = Users::default();
    let mut alice = User::new("alice".into(), "hash".into());
    (alice.fix, alice.grace_ms, alice.disabled) = (true, 0, is_alice_disabled);
    let carol = User { name: "carol".into(), disabled: false, ..alice.clone() };
    users.insert(alice);
    users.insert(carol);
    users.insert(User::new("bob".into(), "hash".into()));
    users
}

impl FixPlace {
    pub(super) fn new() -> Self {
        let log = Rc::new(RefCell::new(Log::default()));
        let gateway = |name: &str| {
            Gateway::new(name, limits(), users(false), Ledger::new(MemoryBacklog::new(1 << 20), true, false))
        };
        let handle = |index| Handle { log: Rc::clone(&log), index };
        let mut place = Self {
            gateways: [gateway("1"), gateway("2")],
            handles: [handle(0), handle(1)],
            log: Rc::clone(&log),
            alive: [true; 2],
            delivered: [0; 2],
            applied: 0,
            orders: Vec::new(),
            refs: BTreeMap::new(),
            answers: 0,
            canceled: 0,
            open: BTreeMap::new(),
            clients: Clients::default(),
            disconnects: Vec::new(),
        };
        for index in 0..2 {
            let (gateway, handle) = (&mut place.gateways[index], &mut place.handles[index]);
            gateway.on_stream(0, handle, &SubscriberEvent::CaughtUp { next: 1 });
        }
        place.advance(2 * STEP);
        place
    }

    pub(super) fn now(&self) -> Nanos {
        self.log.borrow().now
    }

    /// Time passes, in which the gateways and the application do what is due.
    pub(super) fn advance(&mut self, by: Nanos) {
        let until = self.now() + by;
        while self.now() < until {
            let step = (until - self.now()).min(STEP);
            self.log.borrow_mut().now += step;
            self.turn();
        }
    }

    fn turn(&mut self) {
        let now = self.now();
        for _ in 0..4 {
            for index in (0..2).filter(|index| self.alive[*index]) {
                let (gateway, handle) = (&mut self.gateways[index], &mut self.handles[index]);
                while let Some(check) = gateway.next_check() {
                    let is_right = check.hash.is_some() && check.password == b"secret";
                    gateway.on_checked(now, handle, &check, is_right);
                }
                let opened = std::mem::take(&mut self.log.borrow_mut().opened[index]);
                for (ticket, publisher, last) in opened {
                    let event = PublisherEvent::Opened { ticket, publisher, publisher_seq: last + 1, last };
                    gateway.on_publisher(now, handle, &event);
                }
                gateway.turn(now, handle, &mut Vec::new());
                gateway.invariants();
            }
            self.deliver(now);
            self.apply();
        }
    }

    fn deliver(&mut self, now: Nanos) {
        for index in (0..2).filter(|index| self.alive[*index]) {
            loop {
                let entry = self.log.borrow().entries.get(self.delivered[index]).cloned();
                let Some((timestamp, entry)) = entry else { break };
                self.delivered[index] += 1;
                let seq = self.delivered[index] as u64;
                let (gateway, handle) = (&mut self.gateways[index], &mut self.handles[index]);
                with_event(seq, timestamp, &entry, |event| gateway.on_stream(now, handle, event));
            }
        }
    }

    /// The application: it accepts each order, and executes orders of an even quantity.
    fn apply(&mut self) {
        loop {
            let entry = self.log.borrow().entries.get(self.applied).cloned();
            let Some((timestamp, entry)) = entry else { break };
            self.applied += 1;
            let seq = self.applied as u64;
            let (clients, disconnects) = (&mut self.clients, &mut self.disconnects);
            with_event(seq, timestamp, &entry, |event| {
                if let Some(GatewayClientEvent::Disconnected { reason, .. }) = clients.on_event(event) {
                    disconnects.push(reason.to_string());
                }
            });
            if let Logged::Message { publisher, to: 0, payload, .. } = entry {
                self.on_order(publisher, &payload);
            }
        }
    }

    fn on_order(&mut self, publisher: PublisherId, payload: &[u8]) {
        let (time_ns, options) = (0, Options::NONE);
        match Inbound::parse(payload).expect("OUCH 5.0") {
            Inbound::EnterOrder(order) => {
                let name = String::from_utf8_lossy(order.cl_ord_id.text()).into_owned();
                self.orders.push(name.clone());
                self.refs.insert(name, (publisher, order.user_ref_num));
                let accepted = Accepted {
                    time_ns,
                    user_ref_num: order.user_ref_num,
                    side: order.side,
                    quantity: order.quantity,
                    symbol: order.symbol,
                    price: order.price,
                    time_in_force: order.time_in_force,
                    display: order.display,
                    reference: self.orders.len() as u64,
                    capacity: order.capacity,
                    is_sweep: false,
                    cross_type: CrossType::Continuous,
                    state: OrderState::Live,
                    cl_ord_id: order.cl_ord_id,
                    options,
                };
                self.answer(publisher, &accepted.into());
                self.open.insert(order.user_ref_num, order.quantity);
                if order.quantity % 2 == 0 {
                    self.trade(publisher, order.user_ref_num, order.quantity, order.price);
                }
            }
            Inbound::CancelOrder(cancel) => {
                self.orders.push(format!("X{}", cancel.user_ref_num));
                let (user_ref_num, reason) = (cancel.user_ref_num, CancelReason::UserRequested);
                // A cancel of an order that is over has no answer.
                if let Some(quantity) = self.open.remove(&user_ref_num) {
                    let canceled = Canceled { time_ns, user_ref_num, quantity, reason, options };
                    self.answer(publisher, &canceled.into());
                    self.canceled += 1;
                }
            }
            Inbound::ReplaceOrder(order) => {
                self.orders.push(format!("U{}", order.original));
                self.open.remove(&order.original);
                self.open.insert(order.user_ref_num, order.quantity);
                let replaced = Replaced {
                    time_ns,
                    original: order.original,
                    user_ref_num: order.user_ref_num,
                    side: Side::Buy,
                    quantity: order.quantity,
                    symbol: Symbol::new(b"ABC").expect("ASCII"),
                    price: order.price,
                    time_in_force: TimeInForce::Day,
                    display: Display::Visible,
                    reference: self.orders.len() as u64,
                    capacity: Capacity::Agency,
                    is_sweep: false,
                    cross_type: CrossType::Continuous,
                    state: OrderState::Live,
                    cl_ord_id: ClOrdId::BLANK,
                    options,
                };
                self.answer(publisher, &replaced.into());
            }
            other => panic!("{other:?}"),
        }
    }

    fn trade(&mut self, client: PublisherId, user_ref_num: u32, quantity: u32, price: Price) {
        let (time_ns, match_number, options) = (0, 1, Options::NONE);
        let left = self.open.remove(&user_ref_num).unwrap_or(0).saturating_sub(quantity);
        if left > 0 {
            self.open.insert(user_ref_num, left);
        }
        let liquidity = LiquidityFlag::Removed;
        let executed = Executed { time_ns, user_ref_num, quantity, price, liquidity, match_number, options };
        self.answer(client, &executed.into());
    }

    fn answer(&mut self, client: PublisherId, message: &Outbound) {
        let mut payload = Vec::new();
        message.append(&mut payload).expect("it can be written");
        self.answers += 1;
        self.log.borrow_mut().stamp(APPLICATION, client, &payload);
    }

    /// An order executes in part.
    pub(super) fn execute(&mut self, name: &str, quantity: u32) {
        let (client, user_ref_num) = self.refs[name];
        self.trade(client, user_ref_num, quantity, Price(100_000));
        self.advance(STEP);
    }

    /// Everything that the application received, in order.
    pub(super) fn orders(&mut self) -> Vec<String> {
        self.orders.clone()
    }

    /// The reasons of disconnects, in the stream's order.
    pub(super) fn disconnects(&mut self) -> Vec<String> {
        self.advance(5 * STEP);
        self.disconnects.clone()
    }

    /// A gateway is killed.
    pub(super) fn kill(&mut self, index: usize) {
        self.alive[index] = false;
        // Nothing resends its submissions under way.
        self.log.borrow_mut().waiting.retain(|(owner, ..)| *owner != index);
    }

    /// A killed gateway starts again, and reads the stream from its beginning.
    pub(super) fn start(&mut self, index: usize) {
        if self.alive[index] {
            return;
        }
        self.start_from(index, 0);
    }

    fn start_from(&mut self, index: usize, from: usize) {
        let ledger = Ledger::new(MemoryBacklog::new(1 << 20), from == 0, false);
        let name = ["1", "2"][index];
        self.gateways[index] = Gateway::new(name, limits(), users(false), ledger);
        (self.alive[index], self.delivered[index]) = (true, from);
        self.log.borrow_mut().opened[index].clear();
        let now = self.now();
        self.deliver(now);
        let next = self.delivered[index] as u64 + 1;
        let (gateway, handle) = (&mut self.gateways[index], &mut self.handles[index]);
        gateway.on_stream(now, handle, &SubscriberEvent::CaughtUp { next });
    }

    /// A killed gateway starts again, and has not read the stream to its end.
    pub(super) fn start_reading(&mut self, index: usize) {
        let ledger = Ledger::new(MemoryBacklog::new(1 << 20), true, false);
        self.gateways[index] = Gateway::new(["1", "2"][index], limits(), users(false), ledger);
        (self.alive[index], self.delivered[index]) = (true, 0);
        self.log.borrow_mut().opened[index].clear();
    }

    /// That gateway reads the stream to its end.
    pub(super) fn catch_up(&mut self, index: usize) {
        let (now, next) = (self.now(), self.delivered[index] as u64 + 1);
        let (gateway, handle) = (&mut self.gateways[index], &mut self.handles[index]);
        gateway.on_stream(now, handle, &SubscriberEvent::CaughtUp { next });
    }

    /// The counts of a gateway.
    pub(super) fn counts(&self, index: usize) -> GatewayCounts {
        self.gateways[index].counts()
    }

    /// Entries of the stream that are no gateway's heartbeats.
    pub(super) fn entries(&self) -> usize {
        let log = self.log.borrow();
        let is_sign = |entry: &Logged| matches!(entry, Logged::Message { to: GATEWAYS, payload, .. } if payload.is_empty());
        log.entries.iter().filter(|(_, entry)| !is_sign(entry)).count()
    }

    /// A killed gateway starts again, with journals that retain nothing before the newest day.
    pub(super) fn start_late(&mut self, index: usize) {
        let is_start = |(_, entry): &(Nanos, Logged)| matches!(entry, Logged::Day(Some(_)));
        let day = self.log.borrow().entries.iter().rposition(is_start).expect("a day that began");
        self.start_from(index, day);
    }

    /// The number of answers of the application.
    pub(super) fn answers(&self) -> usize {
        self.answers
    }

    /// The number of cancels that the application has answered.
    pub(super) fn canceled(&self) -> usize {
        self.canceled
    }

    /// The stream's time, as FIX writes it.
    pub(super) fn time_text(&self) -> String {
        crate::fix::value::utc_text(self.time())
    }

    /// The stream's time in nanoseconds.
    pub(super) fn time(&self) -> Nanos {
        BEGAN + self.now()
    }

    /// A client connects, if the gateway runs.
    pub(super) fn accept(&mut self, index: usize) -> Option<usize> {
        let (now, peer) = (self.now(), "127.0.0.1:9".parse().expect("an address"));
        let accepted = self.gateways[index].accept_fix(now, peer, "LOCKSTEP");
        accepted.filter(|_| self.alive[index]).map(|(conn, _)| conn)
    }

    pub(super) fn on_bytes(&mut self, index: usize, conn: usize, bytes: &[u8]) {
        let now = self.now();
        if self.alive[index] {
            self.gateways[index].on_bytes(now, &mut self.handles[index], conn, bytes);
        }
    }

    pub(super) fn on_closed(&mut self, index: usize, conn: usize) {
        let now = self.now();
        if self.alive[index] {
            self.gateways[index].on_closed(now, conn);
        }
    }

    /// The bytes that were sent to a connection, and whether it must be closed; `None` if its gateway was
    /// killed.
    pub(super) fn take_out(&mut self, index: usize, conn: usize) -> Option<(Vec<u8>, bool)> {
        let now = self.now();
        let gateway = &mut self.gateways[index];
        let bytes = gateway.out(conn).to_vec();
        gateway.on_sent(now, conn, bytes.len());
        self.alive[index].then(|| (bytes, gateway.is_done(now, conn)))
    }

    /// Stops stamping the submissions of clients and gateways; then stamps them.
    pub(super) fn hold(&mut self, is_stalled: bool) {
        let log = &mut *self.log.borrow_mut();
        log.is_stalled = is_stalled;
        if !is_stalled {
            log.release();
        }
    }

    pub(super) fn fill_window(&mut self, is_full: bool) {
        self.log.borrow_mut().is_full = is_full;
    }

    pub(super) fn stop(&mut self, index: usize) {
        let now = self.now();
        self.gateways[index].stop(now);
        self.advance(3 * STEP);
    }

    pub(super) fn disable_alice(&mut self, index: usize) {
        let now = self.now();
        self.gateways[index].set_users(now, users(true));
        self.advance(3 * STEP);
    }

    pub(super) fn day(&mut self, name: Option<&str>) {
        self.log.borrow_mut().push(Logged::Day(name.map(str::to_owned)));
        self.advance(2 * STEP);
    }
}

fn with_event(seq: u64, timestamp: Nanos, entry: &Logged, f: impl FnOnce(&SubscriberEvent<'_>)) {
    match entry {
        Logged::Opened { publisher, nonce, last, name } => f(&SubscriberEvent::Opened {
            seq,
            timestamp,
            publisher: *publisher,
            incarnation: seq as u32,
            nonce: *nonce,
            last: *last,
            name,
        }),
        Logged::Closed { publisher, reason } => {
            f(&SubscriberEvent::Closed { seq, timestamp, publisher: *publisher, reason });
        }
        Logged::Message { publisher, to: GATEWAYS, payload, .. } => {
            f(&SubscriberEvent::GatewayHeartbeat { seq, timestamp, publisher: *publisher, payload });
        }
        Logged::Message { publisher, publisher_seq, to, payload } => f(&SubscriberEvent::Message(Message {
            seq,
            publisher: *publisher,
            publisher_seq: *publisher_seq,
            destination: *to,
            timestamp,
            payload,
        })),
        Logged::Day(name) => {
            let mark = DayMark { is_start: name.is_some(), name: name.as_deref().unwrap_or_default() };
            f(&SubscriberEvent::Day { seq, timestamp, mark });
        }
    }
}
