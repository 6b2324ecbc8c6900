//! What every system has to be able to do: the one trait that all adapters stand behind.

use crate::daemons::Daemons;
use crate::ground::Ground;
use std::time::Duration;

/// Bytes of a message.
pub const PAYLOAD_LEN: usize = 64;
/// A message.
pub type Payload = [u8; PAYLOAD_LEN];

/// A running system, and the one client that submits to it and reads its order. Dropped, it is gone with all
/// that it started and wrote.
pub trait Peer {
    /// Takes a message; the next turn sends it at the latest. Returns whether there was room.
    ///
    /// # Errors
    /// In words, what broke.
    fn submit(&mut self, payload: &Payload) -> Result<bool, String>;

    /// Sends, and hands over what comes in the total order. Returns when something came, or after `wait`.
    ///
    /// # Errors
    /// In words, what broke.
    fn turn(&mut self, wait: Duration, deliver: &mut dyn FnMut(&[u8])) -> Result<(), String>;

    /// The node whose death stops the order: `None` until every node is well and the client's is not the one.
    /// An adapter whose system lets it moves the leader away from there.
    ///
    /// # Errors
    /// In words, what broke.
    fn leader(&mut self) -> Result<Option<usize>, String>;

    /// The processes, by node.
    fn daemons(&mut self) -> &mut Daemons;
}

/// With which settings a system runs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Tuning {
    /// Those that it comes with.
    Default,
    /// The best that its documents tell for low latency and fast failover on such a machine.
    Tuned,
}

impl Tuning {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Tuned => "tuned",
        }
    }
}

/// How to start a system.
pub type Start = fn(&Ground, Tuning) -> Result<Box<dyn Peer>, String>;

/// A system with its settings: one row of the table.
pub struct System {
    /// Its name, as `--only` takes it.
    pub name: &'static str,
    /// Which settings.
    pub tuning: Tuning,
    /// The exact settings, where they differ from the other row's or matter to the figures.
    pub settings: &'static str,
    /// What a client waits for: what makes a message delivered here.
    pub delivered: &'static str,
    /// How to start it.
    pub start: Start,
    /// How long it runs before anything counts.
    pub warm_up: Duration,
    /// Whether there is a leader whose death the others survive.
    pub has_leader: bool,
    /// Whether the others are compared with it.
    pub is_floor: bool,
}

/// An adapter: a peer with both of its settings.
pub struct Adapter {
    /// The peer's name.
    pub name: &'static str,
    /// Its version on this machine.
    ///
    /// # Errors
    /// Why it cannot be measured here.
    pub version: fn() -> Result<String, String>,
    /// The rows.
    pub systems: fn() -> Vec<System>,
}

/// What `program` says of itself when it is asked.
///
/// # Errors
/// It is not there.
pub fn stdout_of(program: &str, args: &[&str]) -> Result<String, String> {
    let output = std::process::Command::new(program).args(args).output();
    let output =
        output.map_err(|error| format!("{program}: {error}; `bench/peers/run --install` installs it"))?;
    let text =
        format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let line = text.lines().find(|line| !line.trim().is_empty());
    line.map(|line| line.trim().to_owned()).ok_or_else(|| format!("{program} says no version"))
}

/// The version of a Debian package, or nothing where the system is no Debian.
pub fn package(name: &str) -> Option<String> {
    let output =
        std::process::Command::new("dpkg-query").args(["-W", "-f", "${Version}", name]).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
