//! A turn of a contestant: [`Stage::play`] starts the processes of a contestant, opens its client, measures
//! with it and ends what it started, by its own id, also when it fails half-way.

use crate::child::{self, Own};
use crate::client::{Ground, Measure, measure};
use crate::cluster::Cluster;
use crate::contestant::{Contestant, Scheduled};
use crate::hosts::Hosts;
use crate::node::{NodeArguments, Role, STALLS};
use crate::stalls::Stalls;
use crate::ways::Way;
use lockstep_client::Delivery;
use lockstep_process::cpu::SchedulingClass;
use lockstep_wire::Nanos;
use std::io::{BufReader, Read};
use std::process::ChildStdout;
use std::time::Duration;

/// Where a contestant takes its turn, and how.
pub struct Stage<'a> {
    /// The contestant.
    pub contestant: Contestant,
    /// By which transport, and on which hosts.
    pub way: &'a Way,
    /// Committed needs a standby beside the leader.
    pub delivery: Delivery,
    /// Of leader and standby.
    pub cores: [usize; 2],
    /// Of every hot thread, the client's included.
    pub scheduling: SchedulingClass,
    /// Whether the processes report what kept their hot threads.
    pub stalls: bool,
    /// For how long a forwarder stands still once a second: planted, to see whether a measure finds it.
    pub stall_ns: Nanos,
    /// Whether the client has no subscriber: what counts as delivered is what its publisher is told is
    /// committed.
    pub outcomes: bool,
}

/// The processes of a turn, by name.
pub type Nodes = Vec<(&'static str, Node)>;

impl<'a> Stage<'a> {
    /// An ordinary turn.
    pub fn of(contestant: Contestant, way: &'a Way, delivery: Delivery, cores: [usize; 2]) -> Self {
        let scheduling = SchedulingClass::Other;
        Self { contestant, way, delivery, cores, scheduling, stalls: false, stall_ns: 0, outcomes: false }
    }

    /// Starts leader and standby, measures with a client on its host, and returns what it found and the
    /// processes.
    ///
    /// # Errors
    /// A process that did not start, and what [`measure`] returns.
    pub fn play<M: Measure>(
        &self,
        cluster: &Cluster,
        message_len: usize,
        load: impl FnOnce(Ground<'_>) -> Result<M, String>,
    ) -> Result<(M::Found, Nodes), String> {
        let Self { contestant, delivery, scheduling, stalls, stall_ns, .. } = *self;
        let (transport, hosts) = (self.way.transport, self.way.hosts.as_ref());
        let start = |role: Role, core| {
            let client = hosts.client_address();
            let which = NodeArguments::new(contestant, role, core);
            let which = NodeArguments { scheduling, stall_ns, transport, client, stalls, ..which };
            Ok::<_, String>((role.name(), Node::start_on(hosts, cluster, &which)?))
        };
        let mut nodes = vec![start(Role::Leader, self.cores[0])?];
        if delivery == Delivery::Committed {
            nodes.push(start(Role::Standby, self.cores[1])?);
        }
        let _entered = hosts.enter()?;
        let _scheduled = Scheduled::new(scheduling)?;
        let pids = [0, 1].map(|place| nodes.get(place).map(|(_, node)| node.pid()));
        let ground = Ground { outcomes: self.outcomes, pids, ..Ground::over(cluster, transport) };
        Ok((measure(contestant, ground, delivery, message_len, load(ground)?)?, nodes))
    }
}

/// How long a process may take until it has ended by itself.
const PATIENCE: Duration = Duration::from_secs(5);

/// A process of this program that takes part.
pub struct Node {
    process: Own,
    /// What it reports behind its first line.
    output: BufReader<ChildStdout>,
}

impl Node {
    /// Starts a process of `cluster` on the host of its role, and waits until it reports that it is ready.
    ///
    /// # Errors
    /// It did not start, or ended; in its own words on standard error.
    pub fn start_on(hosts: &Hosts, cluster: &Cluster, arguments: &NodeArguments) -> Result<Self, String> {
        let mut command = hosts.command(arguments.role, child::itself()?);
        command.arg("node").args(arguments.flags()).arg(cluster.path());
        let mut process = Own::start("a node", command, PATIENCE)?;
        let (line, output) = process.first_line()?;
        if line != "ready\n" {
            return Err(format!(
                "the {} of {} did not start",
                arguments.role.name(),
                arguments.contestant.name()
            ));
        }
        Ok(Self { process, output })
    }

    /// Its number.
    pub fn pid(&self) -> u32 {
        self.process.process().id()
    }

    /// Ends it, and returns what its hot thread was kept by: of one that was told to watch it.
    ///
    /// # Errors
    /// It reports nothing of that.
    pub fn end(mut self) -> Result<Stalls, String> {
        self.process.end_input();
        let mut text = String::new();
        let read = self.output.read_to_string(&mut text);
        read.map_err(|error| format!("reading what a node reports: {error}"))?;
        let reported = text.lines().find_map(|line| line.strip_prefix(STALLS));
        let reported = reported.ok_or("a node has ended without a report of its stalls")?;
        serde_json::from_str(reported).map_err(|error| format!("what a node reports of its stalls: {error}"))
    }
}
