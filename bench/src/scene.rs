//! Where a measurement takes place: ports, groups, cores; and the processes that it starts. Whatever it
//! starts it ends, by its own id, also when it fails half-way.

use crate::node::NodeArguments;
use clap::ValueEnum;
use lockstep::engine::ports::Group;
use lockstep::io::idle::Idle;
use lockstep::io::udp::{Interface, UdpSettings, free_port};
use lockstep::wire::frame_len_max;
use std::io::{BufRead, BufReader, Read};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::process::{Child, Command, Stdio};
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

/// Ports and groups, the same for every process of a measurement.
#[derive(Clone, Debug, clap::Args)]
pub struct Scene {
    /// The port of the groups.
    #[arg(long)]
    pub port: u16,
    /// The groups are 239.77.BLOCK.1 to 3.
    #[arg(long)]
    pub block: u8,
    /// The replicas' unicast ports; a replica that is stopped has one as well.
    #[arg(long, value_delimiter = ',')]
    pub unicast: Vec<u16>,
    /// What an idle thread does.
    #[arg(long)]
    pub idle: Idle,
}

impl Scene {
    /// A place of its own for `replicas` members.
    ///
    /// # Errors
    /// No port is free.
    pub fn new(replicas: usize, idle: Idle) -> Result<Self, String> {
        let mut ports = Vec::new();
        while ports.len() < replicas + 1 {
            let port = free_port(Ipv4Addr::LOCALHOST).map_err(|error| error.to_string())?;
            if !ports.contains(&port) {
                ports.push(port);
            }
        }
        let unicast = ports.split_off(1);
        Ok(Self { port: ports[0], block: std::process::id() as u8, unicast, idle })
    }

    /// A device of this place. The loopback carries it, and nothing leaves the host.
    pub fn udp(&self, joins: &[Group], unicast_port: u16) -> UdpSettings {
        let groups = [1, 2, 3].map(|last| Ipv4Addr::new(239, 77, self.block, last));
        UdpSettings {
            joins: joins.to_vec(),
            unicast_port,
            ttl: 0,
            // A repair is a frame and its trailer: what an MTU of 1500 carries.
            datagram_len_max: frame_len_max(crate::settings::MTU) + lockstep::wire::REPAIR_TRAILER_LEN,
            ..UdpSettings::new(Interface::Address(Ipv4Addr::LOCALHOST), self.port, groups)
        }
    }

    /// Where the replicas are reached.
    pub fn members(&self) -> Vec<SocketAddrV4> {
        self.unicast.iter().map(|port| SocketAddrV4::new(Ipv4Addr::LOCALHOST, *port)).collect()
    }

    fn flags(&self) -> Vec<String> {
        let unicast: Vec<String> = self.unicast.iter().map(u16::to_string).collect();
        vec![
            format!("--port={}", self.port),
            format!("--block={}", self.block),
            format!("--unicast={}", unicast.join(",")),
            format!("--idle={}", self.idle),
        ]
    }
}

/// How long a process may take until it is ready, and until it has ended.
const PATIENCE: Duration = Duration::from_secs(10);

/// A process of this program that takes part. It ends when its standard input does, and so also when we
/// die; it is killed where it does not.
pub struct Node {
    child: Child,
}

impl Node {
    /// Starts a process and waits until it says that it is ready.
    ///
    /// # Errors
    /// It did not start, or ended; in its own words on standard error.
    pub fn start(scene: &Scene, arguments: &NodeArguments) -> Result<Self, String> {
        let itself = std::env::current_exe().map_err(|error| format!("finding this program: {error}"))?;
        let child = Command::new(itself)
            .arg("node")
            .args(arguments.flags())
            .args(scene.flags())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("starting a node: {error}"))?;
        let mut node = Self { child };
        let mut line = String::new();
        let output = node.child.stdout.take();
        let read = output.map(|output| BufReader::new(output.take(64)).read_line(&mut line));
        match read {
            Some(Ok(_)) if line == "ready\n" => Ok(node),
            _ => {
                Err(format!("the {} of {} did not start", arguments.role.name(), arguments.contestant.name()))
            }
        }
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
