//! One process of a measurement: a leader or a standby, of the floor or of lockstep.

use crate::floor;
use crate::plain::Plain;
use crate::scene::{Contestant, Scene};
use crate::settings;
use clap::ValueEnum;
use lockstep::engine::ports::{Group, Net, Ports};
use lockstep::engine::replica::Replica;
use lockstep::io::clock::Clock;
use lockstep::io::idle::{Idle, Waiter};
use lockstep::io::udp::Udp;
use lockstep::io::{cpu, duty};
use lockstep::journal::memory::MemoryTail;
use lockstep::journal::ports::{TailSource, Word};
use lockstep::wire::Nanos;
use std::io::{Read, Write};
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// In whose place a process stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Role {
    /// Receives submissions and sends to all.
    Leader,
    /// Receives what the leader sends, and acknowledges.
    Standby,
}

impl Role {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Leader => "leader",
            Self::Standby => "standby",
        }
    }

    /// What it receives. A standby hears submissions too, as it may have to lead.
    fn joins(self) -> &'static [Group] {
        match self {
            Self::Leader => &[Group::Submit, Group::Control],
            Self::Standby => &[Group::Submit, Group::Data, Group::Control],
        }
    }
}

/// Which process.
#[derive(Clone, Debug, clap::Args)]
pub struct NodeArguments {
    #[arg(long, value_enum)]
    pub contestant: Contestant,
    #[arg(long, value_enum)]
    pub role: Role,
    /// The core that it is bound to.
    #[arg(long)]
    pub core: usize,
}

impl NodeArguments {
    /// As a command line.
    pub fn flags(&self) -> [String; 3] {
        [
            format!("--contestant={}", self.contestant.key()),
            format!("--role={}", self.role.name()),
            format!("--core={}", self.core),
        ]
    }
}

/// Bytes of a tail in memory: the repair window that the configuration has by default.
const RING_BYTES: usize = 64 << 20;

/// A replica's world in a measurement.
struct NodePorts;

impl Ports for NodePorts {
    type Net = Udp;
    type Memory = MemoryTail;
}

/// Runs until standard input ends.
///
/// # Errors
/// In words, what could not be opened.
pub fn run(arguments: &NodeArguments, scene: &Scene) -> Result<(), String> {
    let stop = Arc::new(AtomicBool::new(false));
    let ended = Arc::clone(&stop);
    // Whoever started us holds the other end: it is closed, or the starter is dead.
    std::thread::spawn(move || {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        ended.store(true, Ordering::Release);
    });
    if let Some(note) = cpu::pin(arguments.core).note {
        return Err(note);
    }
    let index = arguments.role as usize;
    let udp = scene.udp(arguments.role.joins(), scene.unicast[index]);
    match arguments.contestant {
        Contestant::Plain => forward(arguments.role, Plain::open(&udp)?, scene.idle, &stop),
        Contestant::Io => {
            forward(arguments.role, Udp::open(udp).map_err(|error| error.to_string())?, scene.idle, &stop)
        }
        Contestant::Lockstep => {
            replicate(index, Udp::open(udp).map_err(|error| error.to_string())?, scene, &stop)
        }
    }
}

/// The floor's loop.
fn forward(role: Role, mut net: impl Net, idle: Idle, stop: &AtomicBool) -> Result<(), String> {
    let (mut leader, mut standby) = (floor::Leader::default(), floor::Standby::default());
    let turn = &mut |_: Nanos| match role {
        Role::Leader => leader.poll(&mut net),
        Role::Standby => standby.poll(&mut net),
    };
    ready()?;
    duty::run(turn, &Clock::start(), &mut waiter(idle, &[])?, stop);
    Ok(())
}

/// lockstep's loop.
fn replicate(index: usize, udp: Udp, scene: &Scene, stop: &AtomicBool) -> Result<(), String> {
    let clock = Clock::start();
    let members = scene.members();
    let (tail, recovered) =
        settings::journal(MemoryTail::new(RING_BYTES), index, &members, clock.wall(clock.now()))?;
    let others = members.iter().copied().take(2).filter(|at| *at != members[index]).collect();
    let waiter = &mut waiter(scene.idle, &udp.sockets())?;
    let mut replica = Replica::<NodePorts>::new(udp, tail, recovered, settings::replica(index, others))?;
    let turn = &mut |now| {
        let work = replica.poll(now, clock.wall(now));
        follow_behind(replica.tail_mut().memory_mut());
        work
    };
    ready()?;
    duty::run(turn, &clock, waiter, stop);
    Ok(())
}

fn waiter(idle: Idle, sockets: &[BorrowedFd<'_>]) -> Result<Waiter, String> {
    idle.waiter(sockets).map_err(|error| error.to_string())
}

/// The side thread's part: the segments have everything.
fn follow_behind(memory: &mut MemoryTail) {
    let seq = memory.word(Word::HighSeq);
    memory.set_word(Word::WrittenSeq, seq);
    memory.set_word(Word::DurableSeq, seq);
    memory.set_word(Word::WrittenPos, memory.word(Word::PublishedPos));
}

fn ready() -> Result<(), String> {
    let mut out = std::io::stdout();
    out.write_all(b"ready\n")
        .and_then(|()| out.flush())
        .map_err(|error| format!("saying that it is ready: {error}"))
}
