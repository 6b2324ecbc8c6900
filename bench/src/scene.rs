//! The processes of a measurement. Whatever it starts it ends, by its own id, also when it fails half-way.

use crate::cluster::Cluster;
use crate::hosts::Hosts;
use crate::node::{NodeArguments, STALLS};
use crate::stalls::Stalls;
use clap::ValueEnum;
use lockstep_process::cpu::{self, SchedulingClass};
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Stdio};
use std::time::{Duration, Instant};

/// Who is measured.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Contestant {
    /// The floor with the plainest calls: `recv` and `sendto`, one datagram each.
    Plain,
    /// The floor on lockstep's own device: `recvmmsg` with UDP_GRO, `sendmmsg` with UDP_SEGMENT.
    Io,
    /// lockstep.
    Lockstep,
}

impl Contestant {
    /// All, in the order of a round.
    pub const ALL: [Self; 3] = [Self::Plain, Self::Io, Self::Lockstep];

    /// As tables call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "floor (recv, sendto)",
            Self::Io => "floor (lockstep's io)",
            Self::Lockstep => "lockstep",
        }
    }

    /// As JSON and flags call it.
    pub fn key(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Io => "io",
            Self::Lockstep => "lockstep",
        }
    }
}

/// How long a process may take until it has ended by itself.
const PATIENCE: Duration = Duration::from_secs(5);

/// A process of this program that takes part. It ends when its standard input does, and so also when we
/// die; it is killed where it does not.
pub struct Node {
    child: Child,
    /// What it says behind its first line.
    output: Option<BufReader<ChildStdout>>,
}

impl Node {
    /// Starts a process of `cluster` on this host and waits until it says that it is ready.
    ///
    /// # Errors
    /// It did not start, or ended; in its own words on standard error.
    pub fn start(cluster: &Cluster, arguments: &NodeArguments) -> Result<Self, String> {
        Self::start_on(&Hosts::here(), cluster, arguments)
    }

    /// The same on the host of its role.
    ///
    /// # Errors
    /// As [`Node::start`].
    pub fn start_on(hosts: &Hosts, cluster: &Cluster, arguments: &NodeArguments) -> Result<Self, String> {
        let itself = std::env::current_exe().map_err(|error| format!("finding this program: {error}"))?;
        let child = hosts
            .command(arguments.role, itself)
            .arg("node")
            .args(arguments.flags())
            .arg(cluster.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("starting a node: {error}"))?;
        let mut node = Self { child, output: None };
        let mut line = String::new();
        node.output = node.child.stdout.take().map(BufReader::new);
        let read = node.output.as_mut().map(|output| output.take(64).read_line(&mut line));
        match read {
            Some(Ok(_)) if line == "ready\n" => Ok(node),
            _ => {
                Err(format!("the {} of {} did not start", arguments.role.name(), arguments.contestant.name()))
            }
        }
    }
}

impl Node {
    /// Ends it, and returns what its hot thread was kept by: of one that was told to watch it.
    ///
    /// # Errors
    /// It says nothing of that.
    pub fn end(mut self) -> Result<Stalls, String> {
        drop(self.child.stdin.take());
        let mut text = String::new();
        if let Some(output) = &mut self.output {
            output.read_to_string(&mut text).map_err(|error| format!("reading what a node says: {error}"))?;
        }
        let told = text.lines().find_map(|line| line.strip_prefix(STALLS));
        let told = told.ok_or("a node has ended without a word about its stalls")?;
        serde_json::from_str(told).map_err(|error| format!("what a node says about its stalls: {error}"))
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            match self.child.try_wait() {
                Ok(None) => std::thread::sleep(Duration::from_millis(2)),
                Ok(Some(_)) | Err(_) => return,
            }
        }
        // It is our own child and not yet waited for, so the id is its own still.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The client's thread in a scheduling class, until it is dropped: processes are started outside of it, as
/// they would inherit it with all their threads.
pub struct Scheduled(());

impl Scheduled {
    /// Puts this thread into `class`.
    ///
    /// # Errors
    /// The system does not let it, and what would.
    pub fn new(class: SchedulingClass) -> Result<Self, String> {
        let obtained = cpu::schedule(class);
        if obtained.got == obtained.asked { Ok(Self(())) } else { Err(obtained.to_string()) }
    }
}

impl Drop for Scheduled {
    fn drop(&mut self) {
        cpu::schedule(SchedulingClass::Other);
    }
}
