//! A cluster's folder, its configuration, and its processes.

use crate::netns::Place;
use crate::processes::{Ground, Outcome, Process, command_of, program, run};
use crate::release;
use lockstep_config::Config;
use lockstep_io::udp::free_port;
use lockstep_node::local::{ClusterFile, Line, Replica, node_keys};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// A cluster's folder with its configuration.
pub struct Cluster {
    folder: TempDir,
    ground: Ground,
    program: PathBuf,
}

/// A node that cannot prove what it holds waits for an operator.
const ASKS: &str = "rejoin = \"ask\"\n";

/// The timing of the product, for whoever measures it or tries its takeovers.
pub const PRODUCT_TIMING: &str = "\n[timing]\nheartbeat_interval = \"1ms\"\n";

/// Tables with a timing that leaves the cores to the other tests. A parked node wakes up for each heartbeat:
/// with that of the product three idle nodes take a quarter of a core.
fn with_timing(more: &str) -> String {
    const RARE: &str = "[timing]\nheartbeat_interval = \"20ms\"\n";
    const TOLERANT: &str = "failure_timeout = \"200ms\"\nfailure_timeout_max = \"1s\"\n";
    let Some((before, behind)) = more.split_once("[timing]\n") else {
        return format!("{more}\n{RARE}{TOLERANT}");
    };
    // Gateways and feeds have a key of this name too.
    let has_interval = behind.split("\n[").next().is_some_and(|table| table.contains("heartbeat_interval"));
    if has_interval { more.to_owned() } else { format!("{before}{RARE}{behind}") }
}

impl Cluster {
    /// `replicas` on loopback that are not formatted yet. `more` is TOML behind the tables that every test
    /// has; without a table of its own it continues the table `[stream]`.
    pub fn new(replicas: u32, more: &str) -> Self {
        Self::on(Ground::loopback(replicas), more)
    }

    /// The same on another ground.
    pub fn on(ground: Ground, more: &str) -> Self {
        Self::within(TempDir::new().expect("a temporary folder"), ground, more)
    }

    /// The same in a folder of the caller's.
    pub fn within(folder: TempDir, ground: Ground, more: &str) -> Self {
        let cluster = Self { folder, ground, program: program() };
        cluster.write_config(&cluster.ground.interface, more);
        cluster
    }

    /// The program of its processes and commands.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// From now on its processes and commands are of this release. That before this one refuses a key that it
    /// does not know: the configuration does without it, then and afterwards.
    pub fn use_program(&mut self, program: &Path) {
        self.program = program.to_owned();
        if release::is_previous(program) {
            let text = std::fs::read_to_string(self.config()).expect("the configuration");
            std::fs::write(self.config(), text.replace(ASKS, "")).expect("writing the configuration");
        }
    }

    /// Writes the configuration anew, with other ports and groups.
    pub fn write_config(&self, interface: &str, more: &str) {
        let Ground { ttl, by_unicast, by_xdp, has_memory, .. } = self.ground;
        let line = |interface| {
            let more = if by_unicast { "transport = \"unicast\"\n" } else { "" };
            Line { interface, ttl, more: more.to_owned() }
        };
        let second = self.ground.second.as_ref();
        let replica = |(index, &address): (usize, &Ipv4Addr)| {
            let more = if by_xdp { "transport = \"xdp\"\n" } else { "" };
            Replica { address, second: second.map(|(_, addresses)| addresses[index]), more: more.to_owned() }
        };
        let mut tables = if has_memory { "\n[network]\nshm = true\n" } else { "" }.to_owned();
        // Parked threads leave the cores to the other tests.
        tables += "\n[runtime]\nidle = \"park\"\n";
        if !more.contains("[journal]") {
            tables += "\n[journal]\ntail_size = \"4MiB\"\nsegment_size = \"1MiB\"\n\n[stream]\nwindow_bytes = \"1MiB\"\n";
        }
        tables += &with_timing(more);
        // A test that takes away what a journal proves by shows what is said then.
        if !more.contains("rejoin = ") {
            tables = tables.replacen("[journal]\n", &format!("[journal]\n{ASKS}"), 1);
        }
        let file = ClusterFile {
            lines: [interface]
                .into_iter()
                .chain(second.map(|(interface, _)| interface.as_str()))
                .map(line)
                .collect(),
            replicas: self.ground.addresses.iter().enumerate().map(replica).collect(),
            disk: self.folder.path(),
            memory: self.folder.path(),
            tables,
        };
        let text = file.text().unwrap_or_else(|error| panic!("{error}"));
        std::fs::write(self.config(), text).expect("writing the configuration");
    }

    /// A file of the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The configuration.
    pub fn config(&self) -> PathBuf {
        self.path("cluster.toml")
    }

    /// The groups of its first line.
    pub fn groups(&self) -> [SocketAddrV4; 3] {
        let config = Config::load(Some(&self.config()), &[]).unwrap_or_else(|errors| panic!("{errors}"));
        let line = &config.lines[0];
        [line.submit, line.data, line.control]
    }

    /// How many replicas the configuration has.
    pub fn replicas(&self) -> u32 {
        self.ground.places.len() as u32
    }

    /// Where everybody runs who is no replica.
    pub fn clients(&self) -> &Place {
        &self.ground.clients
    }

    /// Where replica `id` runs.
    fn place(&self, id: u32) -> &Place {
        &self.ground.places[id as usize - 1]
    }

    /// Adds where the configuration is.
    pub fn args(&self, args: &[&str]) -> Vec<String> {
        let mut all: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        all.extend(["--config".to_owned(), self.config().display().to_string()]);
        all
    }

    /// A command on this cluster in `place`.
    pub fn command_at(&self, place: &Place, args: &[&str]) -> Command {
        command_of(place.command(self.program.clone()), &self.args(args))
    }

    /// Runs a command on this cluster in `place` to its end.
    pub fn run_at(&self, place: &Place, args: &[&str], input: &[u8]) -> Outcome {
        run(self.command_at(place, args), input)
    }

    /// Runs a command on this cluster to its end.
    pub fn run(&self, args: &[&str], input: &[u8]) -> Outcome {
        run(self.command_at(&self.ground.clients, args), input)
    }

    /// Starts a command beside the test; its stderr goes into a file.
    pub fn start(&self, name: &str, args: &[&str]) -> Process {
        self.start_command(name, self.command_at(&self.ground.clients, args))
    }

    /// Starts a command of the caller's; its stderr goes into a file.
    pub fn start_command(&self, name: &str, command: Command) -> Process {
        Process::start(name, command, self.path(&format!("{name}.log")))
    }

    /// Starts replica `id`.
    pub fn start_replica(&self, id: u32) -> Process {
        self.start_replica_with(id, &[])
    }

    /// The same with more flags.
    pub fn start_replica_with(&self, id: u32, more: &[&str]) -> Process {
        self.start_replica_by(id, self.replica_command(id, more))
    }

    /// The command of replica `id` with these flags, for who changes its environment.
    pub fn replica_command(&self, id: u32, more: &[&str]) -> Command {
        let id_text = id.to_string();
        let args: Vec<&str> = ["sequencer", "--replica", &id_text].iter().chain(more).copied().collect();
        self.command_at(self.place(id), &args)
    }

    /// Starts replica `id` by its command.
    pub fn start_replica_by(&self, id: u32, command: Command) -> Process {
        self.start_command(&format!("replica-{id}"), command)
    }

    /// Adds archiver `id` to the configuration, and formats it.
    #[track_caller]
    pub fn add_archiver(&self, id: u32, more: &str) {
        let unicast = free_port(Ipv4Addr::LOCALHOST).expect("a free port");
        let unicast = SocketAddrV4::new(self.ground.clients_address, unicast);
        let keys = node_keys(id, unicast, self.folder.path(), self.folder.path());
        let mut text = std::fs::read_to_string(self.config()).expect("the configuration");
        text += &format!("\n[[archivers]]\n{keys}{more}");
        std::fs::write(self.config(), text).expect("writing the configuration");
        let command = self.command_at(&self.ground.clients, &["format", "--archiver", &id.to_string()]);
        run(command, b"").with_code(0);
    }

    /// Starts archiver `id`.
    pub fn start_archiver(&self, id: u32) -> Process {
        let args = ["archiver", "--archiver", &id.to_string()];
        self.start_command(&format!("archiver-{id}"), self.command_at(&self.ground.clients, &args))
    }

    /// Formats replica `id` and returns its identity.
    #[track_caller]
    pub fn format(&self, id: u32) -> String {
        let command = self.command_at(self.place(id), &["format", "--replica", &id.to_string()]);
        run(command, b"").with_code(0).out.trim().to_owned()
    }

    /// Formats all, starts a history on replica 1, and starts them all.
    #[track_caller]
    pub fn found(&self) -> Vec<Process> {
        let identities: Vec<_> = (1..=self.replicas()).map(|id| self.format(id)).collect();
        let mut args = vec!["bootstrap", "--replica", "1"];
        for identity in &identities[1..] {
            args.extend(["--identity", identity]);
        }
        run(self.command_at(self.place(1), &args), b"").with_code(0);
        let mut replicas: Vec<_> = (1..=self.replicas()).map(|id| self.start_replica(id)).collect();
        replicas[0].await_log(" begins at seq ");
        replicas[1..].iter_mut().for_each(|standby| standby.await_log("-> standby"));
        replicas
    }

    /// The number of the replica that leads, once one does.
    #[track_caller]
    pub fn leader(&self) -> u32 {
        self.run(&["wait", "--for", "leader"], b"").with_code(0);
        // The exit code tells the health, and a member that has just begun makes that less.
        let status = self.run(&["status", "--json"], b"").out;
        let status: serde_json::Value = serde_json::from_str(&status).expect("JSON");
        let identity = status["leader"].as_str().expect("a leader");
        identity.split(':').next().and_then(|number| number.parse().ok()).expect("a number")
    }

    /// Publishes these lines and waits for their commit.
    #[track_caller]
    pub fn publish(&self, lines: &str) -> Outcome {
        self.run(&["publish", "--name", "orders"], lines.as_bytes()).with_code(0)
    }

    /// Reads from seq 1 to the commit.
    #[track_caller]
    pub fn read(&self, more: &[&str]) -> Outcome {
        let mut args = vec!["subscribe", "--until-end"];
        args.extend(more);
        self.run(&args, b"").with_code(0)
    }
}

/// The last column of `subscribe`'s text: the payloads.
pub fn payloads(text: &str) -> Vec<&str> {
    text.lines().map(|line| line.rsplit('\t').next().unwrap_or_default()).collect()
}
