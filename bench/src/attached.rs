//! A cluster that runs already, perhaps on other hosts, and the floor beside it.

use crate::client::{Ground, measure};
use crate::cluster::{self, device};
use crate::contestant::Contestant;
use crate::node::{self, NodeArguments, Role};
use crate::probe::Rally;
use crate::transport::Transport;
use lockstep::config::Config;
use lockstep_client::{Delivery, Start};
use lockstep_io::idle::Idle;
use lockstep_io::udp::UdpSettings;
use lockstep_process::cpu::{self, SchedulingClass};
use lockstep_wire::Nanos;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// A probe of the floor.
const PROBE_NS: Nanos = 20_000_000;

/// See the module.
pub struct Attached {
    /// The cluster's file.
    pub config: Config,
    /// Where the floor is.
    pub floor_port: u16,
}

/// So far above a cluster's port is that of its floor, if nothing else is said.
const FLOOR_PORT_ABOVE: u16 = 50;

/// The port of the floor of a cluster: as it was said, or the first one from there on that the file gives to
/// nobody.
fn floor_port(config: &Config, configured: Option<u16>) -> Result<u16, String> {
    let endpoint = cluster::endpoint(config)?;
    let cluster = config.udp().port;
    let is_taken = |port: u16| {
        port == cluster
            || endpoint.replicas().iter().chain(endpoint.sources()).any(|address| address.port() == port)
    };
    let port = configured
        .or_else(|| (cluster.saturating_add(FLOOR_PORT_ABOVE)..=u16::MAX).find(|port| !is_taken(*port)));
    match port {
        Some(port) if !is_taken(port) => Ok(port),
        _ => Err(format!("--floor-port: a port is needed that nobody of the cluster at {cluster} has")),
    }
}

impl Attached {
    /// Reads the cluster's file.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn open(path: &Path, port: Option<u16>) -> Result<Self, String> {
        let config = cluster::load(path)?;
        let floor_port = floor_port(&config, port)?;
        Ok(Self { config, floor_port })
    }

    /// Where the client finds cluster and floor: its own messages are the only ones that it reads.
    pub fn ground(&self) -> Ground<'_> {
        Ground {
            config: &self.config,
            floor_port: Some(self.floor_port),
            start: Start::Live,
            transport: Transport::Udp,
            outcomes: false,
            pids: [None; 2],
        }
    }

    /// Contestants: the first floor that reflects, and lockstep. Says so where nobody reflects.
    ///
    /// # Errors
    /// No socket can be opened here.
    pub fn contestants(
        &self,
        delivery: Delivery,
        message_len: usize,
        notes: &mut Vec<String>,
    ) -> Result<Vec<Contestant>, String> {
        for floor in [Contestant::Plain, Contestant::Io] {
            if self.reflects(floor, delivery, message_len)? {
                return Ok(vec![floor, Contestant::Lockstep]);
            }
        }
        notes.push(format!(
            "no floor: nobody reflects at port {}; start `lockstep-bench reflect` beside the leader{}",
            self.floor_port,
            if delivery == Delivery::Committed { ", and one with --role standby" } else { "" }
        ));
        Ok(vec![Contestant::Lockstep])
    }

    /// Between two turns, as the cluster's file has it.
    pub fn idle(&self) -> Idle {
        self.config.idle()
    }

    fn reflects(&self, floor: Contestant, delivery: Delivery, message_len: usize) -> Result<bool, String> {
        let probe = Rally::probe(message_len, PROBE_NS, self.idle());
        match measure(floor, self.ground(), delivery, message_len, probe) {
            Ok(found) => Ok(found.achieved() > 0.0),
            Err(error) if error.contains("did not come") => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// How to be a floor.
#[derive(clap::Args)]
pub struct ReflectArguments {
    /// The cluster's file: its groups and its interface are the floor's as well.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Beside whom: beside the leader for both deliveries, beside a standby for `committed`.
    #[arg(long, value_enum, default_value_t = Role::Leader)]
    role: Role,
    /// With which calls: `plain` is recv and sendto, `io` is lockstep's own device.
    #[arg(long, value_enum, default_value_t = Contestant::Plain)]
    contestant: Contestant,
    /// The port; by default, as for `latency`, 50 above the cluster's.
    #[arg(long, value_name = "PORT")]
    floor_port: Option<u16>,
    /// The core, by its place among ours.
    #[arg(long, default_value_t = 0)]
    core: usize,
    /// The scheduling class of its thread.
    #[arg(long, default_value = "other")]
    scheduling: SchedulingClass,
    /// Ends after so many seconds.
    #[arg(long, default_value_t = 3600)]
    seconds: u64,
}

/// Forwards what the floor's client sends, until its time is over or it is ended.
///
/// # Errors
/// In words, what could not be opened.
pub fn reflect(arguments: &ReflectArguments) -> Result<(), String> {
    if arguments.contestant == Contestant::Lockstep {
        return Err(
            "--contestant lockstep: that is what `lockstep sequencer` starts; a floor is plain or io".into(),
        );
    }
    let config = cluster::load(&arguments.config)?;
    let cores = cpu::cores();
    let core = cores.get(arguments.core).copied();
    let core =
        core.ok_or_else(|| format!("--core {}: this machine has {} cores", arguments.core, cores.len()))?;
    let which = NodeArguments {
        scheduling: arguments.scheduling,
        ..NodeArguments::new(arguments.contestant, arguments.role, core)
    };
    let port = floor_port(&config, arguments.floor_port)?;
    let udp = UdpSettings { port, ..device(&config, arguments.role.joins()) };
    let stop = Arc::new(AtomicBool::new(false));
    let (ended, seconds) = (Arc::clone(&stop), arguments.seconds);
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_secs(seconds));
        ended.store(true, Ordering::Release);
    });
    eprintln!("lockstep-bench: a floor ({}) at port {port}, for {seconds} s", arguments.role.name());
    node::reflect(&which, udp, &config, &stop)
}
