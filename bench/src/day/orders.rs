//! The client of the gateway: it sends orders at a fixed rate, and checks that each is answered once and in
//! order. If it is cut it logs in again, and goes on with the number that it expects.

use crate::gateway::PASSWORD;
use crate::worker::Worker;
use lockstep_io::clock::Clock;
use lockstep_testkit::trader::login_of;
use lockstep_wire::Nanos;
use soupbintcp::{ClientEvent, ClientLimits, Connection};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Its name.
pub const USER: &str = "alice";
/// An answer begins with these bytes, and ends with the order.
pub const PREFIX: &[u8] = lockstep_app::Acknowledger::PREFIX;
/// Between two turns.
const PAUSE: Duration = Duration::from_millis(1);
/// Between two attempts to connect.
const AGAIN: Duration = Duration::from_millis(200);
/// How long the last answers may take, and the answer to a login: the password is hashed by a thread that
/// yields to everything else.
const PATIENCE_NS: Nanos = 60_000_000_000;

/// How it went.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Orders {
    /// Orders that were sent.
    pub sent: u64,
    /// Orders that were answered.
    pub answered: u64,
    /// Answers that came twice or out of order.
    pub disordered: u64,
    /// Times that it logged in.
    pub logins: u64,
    /// The number of the next order to be answered.
    pub expected: u64,
}

impl Orders {
    /// A message came: an answer, or the order itself, which is for this client as well.
    pub fn on_message(&mut self, bytes: &[u8]) {
        let Some(order) = bytes.strip_prefix(PREFIX) else { return };
        match order.try_into().map(u64::from_le_bytes) {
            Ok(number) if number >= self.expected => {
                self.answered += 1;
                self.expected = number + 1;
            }
            _ => self.disordered += 1,
        }
    }

    /// Those of another day as well.
    pub fn add(&mut self, other: Self) {
        self.sent += other.sent;
        self.answered += other.answered;
        self.disordered += other.disordered;
        self.logins += other.logins;
    }

    /// The errors found. Orders that were under way when the connection ended may have no answer.
    pub fn wrongs(&self) -> Vec<String> {
        let Self { sent, answered, disordered, logins, .. } = self;
        let mut wrongs = Vec::new();
        if *disordered > 0 {
            wrongs.push(format!("{disordered} answers to orders came twice or out of order"));
        }
        if answered < sent && *logins <= 1 {
            wrongs.push(format!("{answered} of {sent} orders were answered"));
        }
        wrongs
    }
}

/// Starts it with `rate` orders a second.
///
/// # Errors
/// There can be no other thread.
pub fn start(gateway: SocketAddr, rate: u64) -> Result<Worker<Orders>, String> {
    Worker::start("client of the gateway", move |ending| {
        let desk = OrderDesk { gateway, interval_ns: 1_000_000_000 / rate, clock: Clock::start(), seq: 1 };
        desk.run(ending)
    })
}

struct OrderDesk {
    gateway: SocketAddr,
    interval_ns: Nanos,
    clock: Clock,
    /// The number of the gateway's message that is expected next.
    seq: u64,
}

impl OrderDesk {
    fn run(mut self, ending: &AtomicBool) -> Result<Orders, String> {
        let mut orders = Orders::default();
        let began = self.clock.now();
        while !ending.load(Ordering::Acquire) {
            match TcpStream::connect(self.gateway) {
                Ok(socket) => self.session(socket, &mut orders, ending)?,
                Err(_) if orders.logins > 0 => std::thread::sleep(AGAIN),
                Err(error) => return Err(format!("connecting to the gateway: {error}")),
            }
            if orders.logins == 0 && self.clock.now() > began + PATIENCE_NS {
                return Err(format!("{USER} could not log in"));
            }
        }
        Ok(orders)
    }

    /// One connection, until it ends or everything is answered.
    fn session(&mut self, socket: TcpStream, orders: &mut Orders, ending: &AtomicBool) -> Result<(), String> {
        let fails = |error: std::io::Error| format!("the client's socket: {error}");
        socket.set_nodelay(true).map_err(fails)?;
        socket.set_nonblocking(true).map_err(fails)?;
        let limits = ClientLimits { answer_ns: PATIENCE_NS, ..ClientLimits::default() };
        let login = login_of(USER, PASSWORD, "", self.seq);
        let begun = Connection::log_in(self.clock.now(), socket, login, limits);
        let mut connection = begun.map_err(|error| error.to_string())?;
        let (mut is_open, mut due, mut gives_up) = (false, 0, None);
        loop {
            let now = self.clock.now();
            connection.poll(now, |event| match event {
                ClientEvent::Accepted { .. } => {
                    (is_open, due, orders.logins) = (true, now, orders.logins + 1)
                }
                ClientEvent::Message { bytes, .. } => orders.on_message(bytes),
                _ => {}
            });
            if is_open {
                self.seq = connection.client().next_seq();
            }
            let is_over = ending.load(Ordering::Acquire);
            while is_open && !is_over && due <= now {
                if connection.unsequenced(now, &orders.sent.to_le_bytes()).is_err() {
                    break;
                }
                (orders.sent, due) = (orders.sent + 1, due + self.interval_ns);
            }
            let late = is_over && now > *gives_up.get_or_insert(now + PATIENCE_NS);
            let is_answered = is_over && orders.expected >= orders.sent;
            if connection.client().ended().is_some() || late || is_answered {
                return Ok(());
            }
            std::thread::sleep(PAUSE);
        }
    }
}
