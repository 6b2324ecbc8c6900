//! A subscriber: a process of its own, which keeps when each message came.

use crate::child::{input_ends, report_value};
use crate::cluster::{self, endpoint};
use crate::contestant::Contestant;
use crate::floor::{MESSAGE_LEN_MIN, intended, number};
use crate::plain;
use lockstep::config::Config;
use lockstep_client::{Delivery, Start, Subscriber, SubscriberEvent};
use lockstep_core::engine::counters::Counter;
use lockstep_core::engine::ports::Group;
use lockstep_io::clock::Clock;
use lockstep_io::idle::Idle;
use lockstep_process::cpu;
use lockstep_wire::Nanos;
use serde::{Deserialize, Serialize};
use std::ops::ControlFlow;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How long it may take to find the leader.
const PATIENCE: Duration = Duration::from_secs(30);
/// Longest wait between two looks, for who parks.
const PAUSE_NS: Nanos = 1_000_000;

/// The hidden subcommand.
#[derive(Clone, Debug, clap::Args)]
pub struct ListenerArguments {
    /// Whose.
    #[arg(long, value_enum)]
    pub contestant: Contestant,
    /// The core that it is bound to.
    #[arg(long)]
    pub core: usize,
    /// How it waits.
    #[arg(long)]
    pub idle: Idle,
    /// Messages that will come.
    #[arg(long)]
    pub messages: u64,
    /// The cluster's file.
    pub config: PathBuf,
}

impl ListenerArguments {
    /// As a command line.
    pub fn flags(&self) -> [String; 5] {
        [
            format!("--contestant={}", self.contestant.key()),
            format!("--core={}", self.core),
            format!("--idle={}", self.idle),
            format!("--messages={}", self.messages),
            self.config.display().to_string(),
        ]
    }
}

/// What it says, one JSON object a line.
#[derive(Debug, Serialize, Deserialize)]
pub enum Report {
    /// It listens.
    Ready,
    /// The end.
    Received(Received),
}

/// What it heard, all in all.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Received {
    /// By number: nanoseconds from when a message was due until it came; none where it did not.
    pub late: Vec<Option<Nanos>>,
    /// Times that something was found missing.
    pub gaps: u64,
    /// Frames that were repaired.
    pub repaired: u64,
}

/// What has come, and whether that is all.
struct Ear {
    received: Received,
    left: u64,
    clock: Clock,
    over: Arc<AtomicBool>,
}

impl Ear {
    fn take(&mut self, message: &[u8]) {
        let late = self.clock.now().saturating_sub(intended(message));
        if let Some(place @ None) = self.received.late.get_mut(number(message) as usize)
            && message.len() >= MESSAGE_LEN_MIN
        {
            *place = Some(late);
            self.left -= 1;
        }
    }

    /// The first message has come.
    fn has_begun(&self) -> bool {
        self.left < self.received.late.len() as u64
    }

    /// All has come, or nobody waits for the rest.
    fn is_done(&self) -> bool {
        self.left == 0 || self.over.load(Ordering::Acquire)
    }
}

/// Listens until all messages came, or standard input ends.
///
/// # Errors
/// In words, what could not be opened.
pub fn listen(arguments: &ListenerArguments) -> Result<(), String> {
    let over = input_ends();
    cpu::pin(arguments.core).note.map_or(Ok(()), Err)?;
    cpu::short_slice();
    let config = cluster::load(&arguments.config)?;
    let received = Received { late: vec![None; arguments.messages as usize], gaps: 0, repaired: 0 };
    let ear = Ear { received, left: arguments.messages, clock: Clock::start(), over };
    let received = match arguments.contestant {
        Contestant::Lockstep => of_lockstep(arguments, &config, ear)?,
        _ => of_socket(arguments, &config, ear)?,
    };
    report_value(&Report::Received(received))
}

fn of_lockstep(arguments: &ListenerArguments, config: &Config, mut ear: Ear) -> Result<Received, String> {
    let fails = |error: lockstep_io::IoError| error.to_string();
    let mut subscriber =
        Subscriber::connect(&endpoint(config)?, Delivery::Stamped, Start::From(1)).map_err(fails)?;
    let mut waiter = arguments.idle.waiter(&subscriber.net().sockets()).map_err(fails)?;
    let began = Instant::now();
    let (mut ready, mut before) = (false, None);
    while !ear.is_done() {
        let work = subscriber.poll(usize::MAX, |event| {
            if let SubscriberEvent::Message(message) = event {
                ear.take(message.payload);
            }
            ControlFlow::Continue(())
        });
        let (seen, read) = (subscriber.stamped_next(), subscriber.deliver_next());
        if !ready && seen > 1 && read >= seen {
            ready = true;
            report_value(&Report::Ready)?;
        }
        if !ready && began.elapsed() > PATIENCE {
            return Err(format!("a subscriber has read up to {read} of {seen}"));
        }
        // What was asked for before, to catch up with the stream, was not lost.
        if ear.has_begun() && before.is_none() {
            before = Some(losses(&subscriber));
        }
        if work == 0 {
            waiter.wait(PAUSE_NS);
        }
    }
    let [gaps, repaired] = losses(&subscriber);
    let before = before.unwrap_or_default();
    Ok(Received { gaps: gaps - before[0], repaired: repaired - before[1], ..ear.received })
}

/// Times that something was missing, and frames that were repaired, so far.
fn losses(subscriber: &Subscriber) -> [u64; 2] {
    [Counter::Gaps, Counter::RepairsIn].map(|counter| subscriber.counters().get(counter))
}

fn of_socket(arguments: &ListenerArguments, config: &Config, mut ear: Ear) -> Result<Received, String> {
    // As lockstep's subscriber, it is in the group of acks as well.
    let socket = plain::socket(&cluster::device(config, &[Group::Data, Group::Control]))?;
    let mut waiter = arguments.idle.waiter(&[socket.as_fd()]).map_err(|error| error.to_string())?;
    let mut datagram = [0; 2048];
    report_value(&Report::Ready)?;
    while !ear.is_done() {
        match socket.recv(&mut datagram) {
            Ok(len) => ear.take(&datagram[..len]),
            // Nothing there, or nothing that a floor could do about it.
            Err(_) => waiter.wait(PAUSE_NS),
        }
    }
    Ok(ear.received)
}
