//! Where a process runs: on this host, or on a node of a network of namespaces whose paths can be cut.
//!
//! Whoever makes that network stays outside of it and starts this program anew on the client's node, with
//! the numbers of the processes that hold the others: those are all that is needed to enter them.

use crate::results::Verdict;
use std::ffi::OsStr;
use std::fmt;
use std::io::Write;
use std::net::Ipv4Addr;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::str::FromStr;
use std::sync::{Arc, Mutex};
use tools::netns::{Network, unsupported};

/// The processes that hold a network: of its bridge, and of each node but the client's.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Holders {
    switch: u32,
    nodes: Vec<u32>,
}

impl fmt::Display for Holders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nodes: Vec<String> = self.nodes.iter().map(u32::to_string).collect();
        write!(f, "{}:{}", self.switch, nodes.join(","))
    }
}

impl FromStr for Holders {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("'{text}' does not name the holders of a network");
        let (switch, nodes) = text.split_once(':').ok_or_else(wrong)?;
        let nodes: Result<Vec<u32>, _> = nodes.split(',').map(str::parse).collect();
        Ok(Self { switch: switch.parse().map_err(|_| wrong())?, nodes: nodes.map_err(|_| wrong())? })
    }
}

/// The flag of a run within a network.
const HOLDERS: &str = "--holders";

/// The command line, without what a run within a network is told beside it.
pub fn command_line() -> Vec<String> {
    std::env::args().take_while(|argument| argument != HOLDERS).collect()
}

/// Runs this program anew with the same arguments on the last node of a network, the `others` first nodes
/// being for whom it starts, and ends as it did. Where there can be no such network it is said that `what` is
/// not measured.
///
/// # Errors
/// The program cannot be started, or failed there.
pub fn run_in_network(others: usize, what: &str) -> Result<Verdict, String> {
    if let Some(reason) = unsupported() {
        println!("SKIPPED: {what}: {reason}");
        return Ok(Verdict::Passed);
    }
    let network = Network::new(others + 1);
    let nodes = (1..=others).map(|number| network.node(number).holder()).collect();
    let holders = Holders { switch: network.switch().holder(), nodes };
    let itself = std::env::current_exe().map_err(|error| format!("finding this program: {error}"))?;
    let mut command = network.node(others + 1).place().command(itself);
    command.args(std::env::args_os().skip(1));
    if std::env::args().nth(1).is_some_and(|first| first == "run") && !std::env::args().any(|arg| arg == "--")
    {
        command.arg("--"); // a scenario's further flags stand behind it
    }
    command.args([HOLDERS, &holders.to_string()]);
    let status =
        command.status().map_err(|error| format!("starting this program in a namespace: {error}"))?;
    let verdict = status.code().and_then(Verdict::of_code);
    verdict.ok_or_else(|| String::from("it failed in its network, as said above"))
}

/// The rules of a network's bridge, changed from one packet to the next.
#[derive(Debug)]
struct Rules {
    nft: Child,
    to: ChildStdin,
}

impl Drop for Rules {
    fn drop(&mut self) {
        let _ = self.nft.kill(); // it ends with its input as well
        let _ = self.nft.wait();
    }
}

/// A node of a network.
#[derive(Clone, Debug)]
struct Node {
    number: usize,
    holder: u32,
    rules: Arc<Mutex<Rules>>,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Place(Option<Node>);

impl Place {
    /// `count` times this host.
    pub fn hosts(count: usize) -> Vec<Self> {
        vec![Self(None); count]
    }

    /// The nodes of a network but the last, and their addresses.
    ///
    /// # Errors
    /// `nft` does not start.
    pub fn nodes(holders: &Holders) -> Result<(Vec<Self>, Vec<Ipv4Addr>), String> {
        let mut nft = enter(holders.switch)
            .args(["nft", "-i"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .map_err(|error| format!("starting nft: {error}"))?;
        let to = nft.stdin.take().ok_or("nft has no input")?;
        let rules = Arc::new(Mutex::new(Rules { nft, to }));
        let node = |(number, holder): (usize, &u32)| {
            let node = Node { number, holder: *holder, rules: Arc::clone(&rules) };
            (Self(Some(node)), Network::address(number))
        };
        Ok((1..).zip(&holders.nodes).map(node).unzip())
    }

    /// `program` here, without arguments yet. It becomes the child itself: what enters turns into it.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let Some(node) = &self.0 else { return Command::new(program) };
        let mut command = enter(node.holder);
        command.arg(program);
        command
    }

    /// Nothing passes from or to this place any more.
    ///
    /// # Errors
    /// It is no node of a network.
    pub fn cut(&self) -> Result<(), String> {
        let number = self.node()?.number;
        let rule = |side: &str| format!("add rule bridge lockstep cuts {side} \"p{number}\" drop");
        self.say(&format!("{}; {}\n", rule("iifname"), rule("oifname")))
    }

    /// So many of a million packets get lost on their way to this place.
    ///
    /// # Errors
    /// As for [`Place::cut`].
    pub fn lose(&self, per_million: u32) -> Result<(), String> {
        let number = self.node()?.number;
        self.say(&format!("add rule bridge lockstep cuts oifname \"p{number}\" {}\n", lost(per_million)))
    }

    /// So many of a million packets get lost on their way to anybody.
    ///
    /// # Errors
    /// As for [`Place::cut`].
    pub fn lose_everywhere(&self, per_million: u32) -> Result<(), String> {
        self.say(&format!("add rule bridge lockstep cuts {}\n", lost(per_million)))
    }

    /// Everything passes again.
    ///
    /// # Errors
    /// As for [`Place::cut`].
    pub fn heal(&self) -> Result<(), String> {
        self.say("flush chain bridge lockstep cuts\n")
    }

    fn node(&self) -> Result<&Node, String> {
        self.0.as_ref().ok_or_else(|| String::from("paths of loopback cannot be cut"))
    }

    fn say(&self, line: &str) -> Result<(), String> {
        let mut rules = self.node()?.rules.lock().map_err(|_| "nobody else holds nft")?;
        rules.to.write_all(line.as_bytes()).map_err(|error| format!("speaking to nft: {error}"))
    }
}

fn lost(per_million: u32) -> String {
    format!("numgen random mod 1000000 < {per_million} drop")
}

/// Enters the namespaces that a process holds.
fn enter(holder: u32) -> Command {
    let mut command = Command::new("nsenter");
    command.args(["--target", &holder.to_string(), "--mount", "--net", "--"]);
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holders_are_read_as_they_were_written() {
        let holders = Holders { switch: 7, nodes: vec![8, 9, 10] };
        assert_eq!(holders.to_string().parse(), Ok(holders));
        assert!("7".parse::<Holders>().is_err() && "7:8,x".parse::<Holders>().is_err());
    }
}
