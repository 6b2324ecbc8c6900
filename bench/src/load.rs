//! # load: when messages leave, and the one loop that sends them and delivers them
//!
//! ```text
//!   ┌─▶ load: is one due? ─▶ publish … ─▶ flush ─▶ turn of the client ─▶ probe: what came ─┐
//!   └───────────────────────────────── idle, if nothing was done ◀─────────────────────────┘
//! ```
//!
//! A [`Load`] tells when the next message is due, a [`Probe`] records what is sent and what comes, a
//! `Client` is the contestant. Messages are numbered, and have to come in order: one that does not ends the
//! measurement.

pub mod pace;
mod publishing;

pub use pace::{Burst, Pace, Paced, SECOND_NS};
pub use publishing::{OPEN_TIMEOUT, Publishing};

use crate::client::Client;
use crate::floor::{MESSAGE_LEN_MIN, number, write_message};
use lockstep_io::clock::Clock;
use lockstep_io::idle::Idle;
use lockstep_process::cpu;
use lockstep_wire::Nanos;

/// Without a delivery for so long, a message is lost, and with it the measurement.
const LOST_NS: Nanos = 5_000_000_000;
/// Messages that are due and leave together, where a load has no other limit.
pub const BATCH_MAX: u64 = 64;

/// The longest sleep of a client: resending may be due.
const WAIT_MAX_NS: Nanos = 1_000_000;

/// How late the kernel may wake a thread whose messages are due every 10 to 50 us.
pub const SLACK_NS: u64 = 1_000;

/// Lets this thread wake and run when its messages are due.
pub fn on_time() {
    cpu::timer_slack(SLACK_NS);
    cpu::short_slice();
}

/// The next message of a load.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Next {
    /// It was due at this time, and leaves now.
    Due(Nanos),
    /// It is not due yet.
    Later,
    /// There is none: the load is over.
    Over,
}

/// When messages leave.
pub trait Load {
    /// The next message at `now`, where so many were sent and so many of them came.
    fn next(&mut self, now: Nanos, sent: u64, came: u64) -> Next;
    /// The client has taken that message.
    fn taken(&mut self) {}
    /// How long a client that sleeps may do so at `now`.
    fn wait_ns(&self, _now: Nanos) -> Nanos {
        WAIT_MAX_NS
    }
}

/// As many messages under way as a window has, until a time.
pub struct Window {
    /// Messages under way.
    pub window: u64,
    /// When it is over.
    pub ends: Nanos,
}

impl Load for Window {
    fn next(&mut self, now: Nanos, sent: u64, came: u64) -> Next {
        match (now >= self.ends, sent - came >= self.window) {
            (true, _) => Next::Over,
            (false, true) => Next::Later,
            (false, false) => Next::Due(now),
        }
    }
}

/// So many messages, as fast as they are taken.
pub struct Fill(pub u64);

impl Load for Fill {
    fn next(&mut self, now: Nanos, sent: u64, _came: u64) -> Next {
        if sent < self.0 { Next::Due(now) } else { Next::Over }
    }
}

/// The recorded values.
pub trait Probe {
    /// A turn begins, and so many messages have come.
    fn begin_turn(&mut self, _now: Nanos, _came: u64, _client: &impl Client) {}
    /// A message that was due at `due` was taken at `now`.
    fn sent(&mut self, _now: Nanos, _due: Nanos) {}
    /// The client had no room for a message.
    fn refused(&mut self) {}
    /// A message came, which the leader stamped at the wall time `stamped`.
    fn came(&mut self, _message: &[u8], _stamped: Nanos) {}
    /// A turn ends; `worked` tells whether anything was sent or came.
    ///
    /// # Errors
    /// What it records with has failed.
    fn end_turn(&mut self, _worked: bool, _client: &impl Client) -> Result<(), String> {
        Ok(())
    }
}

/// Nothing is recorded.
pub struct Unrecorded;

impl Probe for Unrecorded {}

/// How the loop runs.
pub struct Drive<'a> {
    /// Of all times.
    pub clock: &'a Clock,
    /// Between two turns.
    pub idle: Idle,
    /// Bytes of a message.
    pub message_len: usize,
    /// The number of the first message.
    pub first: u64,
    /// Messages that leave in one turn at most.
    pub batch_max: u64,
    /// Whether the loop goes on until all that was sent has come.
    pub drains: bool,
    /// Whether the client sleeps as its idle strategy has it, until a message comes or is due. Others poll
    /// without sleep.
    pub sleeps: bool,
    /// When it is given up: the machine is too busy to tell anything.
    pub gives_up: Nanos,
}

/// How the loop ended.
#[derive(Clone, Copy, Debug)]
pub struct Ended {
    /// When.
    pub at: Nanos,
    /// When the last message came; at an end without one under way, the same.
    pub moved_at: Nanos,
    /// Messages that came.
    pub came: u64,
}

impl Drive<'_> {
    /// Sends what `load` has due, and hands what comes to `probe`, until the load is over.
    ///
    /// # Errors
    /// A message that did not come, or came out of order; a machine that is too busy.
    pub fn run<P: Probe>(
        self,
        client: &mut impl Client,
        load: &mut impl Load,
        probe: &mut P,
    ) -> Result<Ended, String> {
        let Self { clock, idle, message_len, first, batch_max, drains, sleeps, gives_up } = self;
        let sockets = if sleeps { client.sockets() } else { Vec::new() };
        let mut waiter = idle.waiter(&sockets).map_err(|error| error.to_string())?;
        drop(sockets);
        let mut message = vec![0; message_len.max(MESSAGE_LEN_MIN)];
        let (began, mut sent, mut came, mut misplaced) = (clock.now(), 0, 0, None);
        let mut moved_at = began;
        loop {
            let now = clock.now();
            probe.begin_turn(now, came, client);
            let (sent_before, came_before, mut is_over) = (sent, came, false);
            for _ in 0..batch_max {
                let due = match load.next(now, sent, came) {
                    Next::Due(due) => due,
                    next => {
                        is_over = next == Next::Over;
                        break;
                    }
                };
                write_message(&mut message, first + sent, due);
                if !client.publish(&message) {
                    probe.refused();
                    break;
                }
                load.taken();
                probe.sent(now, due);
                sent += 1;
            }
            if sent > sent_before {
                client.flush();
            }
            if is_over && (came == sent || !drains) {
                return Ok(Ended { at: now, moved_at, came });
            }
            let work = client.turn(|message, stamped| {
                if number(message) != first + came {
                    misplaced.get_or_insert((first + came, number(message)));
                }
                probe.came(message, stamped);
                came += 1;
            });
            probe.end_turn(work > 0 || sent > sent_before, client)?;
            if let Some((expected, seen)) = misplaced {
                return Err(format!("message {seen} came where {expected} was to come"));
            }
            if now > gives_up {
                let seconds = (now - began) / 1_000_000_000;
                return Err(format!(
                    "{came} of {sent} messages came within {seconds} s: other work has the cores"
                ));
            }
            if came > came_before || sent == came {
                moved_at = now;
            } else if now > moved_at + LOST_NS {
                return Err(format!("message {came} of {sent} sent did not come within {LOST_NS} ns"));
            }
            if work == 0 {
                waiter.on_progress(came + sent);
                waiter.wait(if sleeps { load.wait_ns(clock.now()) } else { 0 });
            }
        }
    }
}
