//! One process of a measurement: a leader or a standby, of the floor or of lockstep.

use crate::child::{input_ends, report};
use crate::cluster;
use crate::contestant::{Contestant, Scheduled};
use crate::floor::{self, Stall};
use crate::plain::{self, Plain};
use crate::stalls::Watch;
use crate::transport::{Transport, Wakes};
use clap::ValueEnum;
use lockstep::config::Config;
use lockstep::config::NodeConfig;
use lockstep_core::engine::ports::{Group, Net};
use lockstep_io::clock::Clock;
use lockstep_io::idle::Waiter;
use lockstep_io::udp::UdpSettings;
use lockstep_node::{EVENT_KINDS, Node};
use lockstep_process::cpu::SchedulingClass;
use lockstep_process::duty::Turn;
use lockstep_process::events::Recorder;
use lockstep_process::{cpu, duty};
use lockstep_wire::Nanos;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
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

    /// What lockstep's node of this role receives, and so the floor's.
    pub fn joins(self) -> &'static [Group] {
        match self {
            Self::Leader => &[Group::Submit, Group::Control],
            Self::Standby => &[Group::Data, Group::Control],
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
    /// The scheduling class of its hot thread.
    #[arg(long)]
    pub scheduling: SchedulingClass,
    /// For how many nanoseconds a leader of the floor does nothing, once a second.
    #[arg(long, default_value_t = 0)]
    pub stall_ns: Nanos,
    /// How its datagrams go.
    #[arg(long, value_enum, default_value_t = Transport::Udp)]
    pub transport: Transport,
    /// Where the client is, for who sends to it alone.
    #[arg(long, default_value_t = Ipv4Addr::LOCALHOST)]
    pub client: Ipv4Addr,
    /// Tells at its end what its hot thread was kept by.
    #[arg(long)]
    pub stalls: bool,
}

/// In front of what a process tells of its stalls.
pub const STALLS: &str = "stalls ";

/// Between two stalls.
const STALL_EVERY_NS: Nanos = 1_000_000_000;

impl NodeArguments {
    /// An ordinary one on this host, by the kernel's multicast.
    pub fn new(contestant: Contestant, role: Role, core: usize) -> Self {
        Self {
            contestant,
            role,
            core,
            scheduling: SchedulingClass::Other,
            stall_ns: 0,
            transport: Transport::Udp,
            client: Ipv4Addr::LOCALHOST,
            stalls: false,
        }
    }

    /// As a command line.
    pub fn flags(&self) -> Vec<String> {
        let mut flags = vec![
            format!("--contestant={}", self.contestant.key()),
            format!("--role={}", self.role.name()),
            format!("--core={}", self.core),
            format!("--scheduling={}", self.scheduling),
            format!("--stall-ns={}", self.stall_ns),
            format!("--transport={}", self.transport.name()),
            format!("--client={}", self.client),
        ];
        if self.stalls {
            flags.push("--stalls".to_owned());
        }
        flags
    }
}

/// The hidden subcommand.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    which: NodeArguments,
    /// The cluster's file.
    config: PathBuf,
}

/// Events that wait for somebody to read them: nobody does here.
const EVENTS_MAX: usize = 64;

/// Runs until standard input ends.
///
/// # Errors
/// In words, what could not be opened.
pub fn run(arguments: &Arguments) -> Result<(), String> {
    let stop = input_ends();
    let config = cluster::load(&arguments.config)?;
    let NodeArguments { contestant, role, .. } = arguments.which;
    let udp = cluster::device(&config, role.joins());
    match contestant {
        Contestant::Lockstep => replicate(&arguments.which, &config, &stop),
        _ => reflect(&arguments.which, udp, &config, &stop),
    }
}

/// A forwarder of the floor on the sockets of its contestant, until it is told to stop.
///
/// # Errors
/// In words, what could not be opened.
pub fn reflect(
    which: &NodeArguments,
    udp: UdpSettings,
    config: &Config,
    stop: &AtomicBool,
) -> Result<(), String> {
    match (which.contestant, which.transport) {
        (Contestant::Plain, Transport::Unicast) => {
            forward(which, plain::of_role(config, &udp, which.role, which.client)?, config, stop)
        }
        (Contestant::Plain, _) => forward(which, Plain::open(&udp)?, config, stop),
        _ => forward(which, which.transport.open(config, udp)?, config, stop),
    }
}

/// The floor's loop.
fn forward(
    which: &NodeArguments,
    mut net: impl Net + Wakes,
    config: &Config,
    stop: &AtomicBool,
) -> Result<(), String> {
    if let Some(note) = cpu::pin(which.core).note {
        return Err(note);
    }
    let _scheduled = Scheduled::new(which.scheduling)?;
    if which.scheduling == SchedulingClass::Other {
        cpu::short_slice(); // as lockstep's hot thread
    }
    let stall = Stall { lasts_ns: which.stall_ns, every_ns: STALL_EVERY_NS };
    let clock = Clock::start();
    let mut leader = floor::Leader::new(clock, (stall.lasts_ns > 0).then_some(stall));
    let mut standby = floor::Standby::default();
    let mut waiter = config.idle().waiter(&net.sockets()).map_err(|error| error.to_string())?;
    let mut turn = |_: Nanos| match which.role {
        Role::Leader => leader.poll(&mut net),
        Role::Standby => standby.poll(&mut net),
    };
    if which.stalls {
        return watched(None, |now| (turn(now).into(), 0), (&clock, &mut waiter), stop);
    }
    report("ready")?;
    duty::run(&mut turn, &clock, &mut waiter, stop);
    Ok(())
}

/// The same loop under a watch, which tells what it has seen. A turn returns its work and what is on the
/// disk.
fn watched(
    journal: Option<&Path>,
    mut turn: impl FnMut(Nanos) -> (Turn, u64),
    (clock, waiter): (&Clock, &mut Waiter),
    stop: &AtomicBool,
) -> Result<(), String> {
    let (mut watch, mut failed) = (Watch::begin(journal)?, None);
    report("ready")?;
    duty::run(
        &mut |now| {
            let (turn, durable) = turn(now);
            if let Err(error) = watch.turned(turn.work > 0, durable) {
                failed = Some(error);
                stop.store(true, Ordering::Release);
            }
            turn
        },
        clock,
        waiter,
        stop,
    );
    failed.map_or(Ok(()), Err)?;
    let reported = serde_json::to_string(&watch.end()).map_err(|error| error.to_string())?;
    report(&format!("{STALLS}{reported}"))
}

/// lockstep's: a whole node, journal and side thread included.
fn replicate(which: &NodeArguments, config: &Config, stop: &AtomicBool) -> Result<(), String> {
    let mut settings = config.node(which.role as u32 + 1).map_err(|error| error.to_string())?;
    (settings.core, settings.scheduling) = (Some(which.core), which.scheduling);
    settings.memory = which.transport.memory();
    let mut node = Node::open(&settings).map_err(|error| error.to_string())?;
    let recorder = Recorder::new(EVENT_KINDS, EVENTS_MAX);
    if which.stalls {
        let mut waiter = settings.idle.waiter(&[]).map_err(|error| error.to_string())?;
        let turn = |now| (node.turn(now, &recorder), node.replica().tail().durable_next());
        watched(Some(&settings.journal), turn, (&Clock::start(), &mut waiter), stop)?;
        // It has been told to stop, and drains.
    } else {
        report("ready")?;
    }
    node.run(stop, &recorder).map_err(|error| error.to_string())
}
