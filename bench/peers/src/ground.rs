//! Where everything runs: three nodes on one bridge, each a namespace, the client on the third.
//!
//! ```text
//!     node 1            node 2            node 3: a daemon, and this program
//!   10.77.0.1 ─────── bridge ─────── 10.77.0.3      no multicast snooping, no other traffic
//! ```
//!
//! The program comes to stand on node 3 in two steps, each of which starts it anew: a mount namespace with a
//! `/dev/shm` of its own, which all nodes share and which is gone with the last of them, whatever a daemon
//! that was killed has left there; then the network.

use lockstep_testkit::netns::{Network, unsupported};
use std::ffi::OsStr;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use tempfile::TempDir;

/// Nodes.
pub const NODES: usize = 3;
/// The client's node. No daemon is killed there.
pub const CLIENT: usize = 3;

/// How far this program has come, as it tells itself when it starts itself anew.
#[derive(Clone, Default, clap::Args)]
pub struct Steps {
    /// The first step is done; the folder that paths are relative to.
    #[arg(long, hide = true)]
    from: Option<PathBuf>,
    /// The second is: who holds nodes 1 and 2.
    #[arg(long, hide = true, value_delimiter = ',')]
    holders: Vec<u32>,
}

impl Steps {
    /// Takes the next step by starting this program anew. `None`: it has arrived.
    ///
    /// # Errors
    /// It cannot be started, or there can be no such network here.
    pub fn next(&self) -> Result<Option<ExitStatus>, String> {
        let fails = |error: std::io::Error| format!("starting this program in a namespace: {error}");
        let itself = std::env::current_exe().map_err(fails)?;
        let Some(from) = &self.from else {
            if let Some(reason) = unsupported() {
                return Err(reason);
            }
            let from = std::env::current_dir().map_err(fails)?;
            let script = "mount -t tmpfs lockstep-peers /dev/shm && exec \"$0\" \"$@\"";
            let mut command = Command::new("unshare");
            command.args(["--mount", "setpriv", "--pdeathsig", "KILL", "sh", "-c", script]).arg(itself);
            command.args(std::env::args_os().skip(1)).arg("--from").arg(from);
            return command.status().map(Some).map_err(fails);
        };
        if self.holders.is_empty() {
            let network = Network::new(NODES);
            let holders: Vec<String> =
                (1..CLIENT).map(|number| network.node(number).holder().to_string()).collect();
            let mut command = network.node(CLIENT).place().command(itself);
            command.args(std::env::args_os().skip(1)).args(["--holders", &holders.join(",")]);
            return command.status().map(Some).map_err(fails);
        }
        // A program that enters a mount namespace stands at its root.
        std::env::set_current_dir(from).map_err(|error| format!("going to {}: {error}", from.display()))?;
        Ok(None)
    }

    /// The ground that the program stands on now.
    ///
    /// # Errors
    /// A folder that cannot be made.
    pub fn ground(&self) -> Result<Ground, String> {
        let fails = |error: std::io::Error| format!("making a folder for the peers' data: {error}");
        let memory = TempDir::with_prefix_in("lockstep-peers-", "/dev/shm").map_err(fails)?;
        let disk = TempDir::with_prefix("lockstep-peers-").map_err(fails)?;
        Ok(Ground { holders: self.holders.clone(), memory, disk })
    }
}

/// The nodes, and folders for one system's life.
pub struct Ground {
    holders: Vec<u32>,
    memory: TempDir,
    disk: TempDir,
}

impl Ground {
    /// Another one on the same nodes, with folders of its own.
    ///
    /// # Errors
    /// A folder that cannot be made.
    pub fn anew(&self) -> Result<Self, String> {
        Steps { from: None, holders: self.holders.clone() }.ground()
    }

    /// A node's address, counted from 1.
    pub fn address(node: usize) -> Ipv4Addr {
        Network::address(node)
    }

    /// `address:port` of all nodes.
    pub fn addresses(port: u16) -> [String; NODES] {
        std::array::from_fn(|index| format!("{}:{port}", Self::address(index + 1)))
    }

    /// `program` on a node, without arguments yet. It dies with the thread that starts it, and its id is the
    /// child's.
    pub fn command(&self, node: usize, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]);
        if let Some(holder) = self.holders.get(node - 1) {
            command.args(["nsenter", "--target", &holder.to_string(), "--mount", "--net", "--"]);
        }
        command.arg(program);
        command
    }

    /// A folder in memory, seen by all nodes.
    pub fn memory(&self) -> &Path {
        self.memory.path()
    }

    /// A folder on the disk, seen by all nodes.
    pub fn disk(&self) -> &Path {
        self.disk.path()
    }

    /// Writes a file into the folder in memory, and returns where it is.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&self, name: &str, text: &str) -> Result<PathBuf, String> {
        let path = self.memory().join(name);
        let done =
            path.parent().map_or(Ok(()), std::fs::create_dir_all).and_then(|()| std::fs::write(&path, text));
        done.map_err(|error| format!("writing {}: {error}", path.display()))?;
        Ok(path)
    }
}
