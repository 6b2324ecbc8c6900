//! # local: a cluster on one machine
//!
//! The file as an operator writes it, the folders and the founding of a local cluster, for all users of one:
//! `demo` and `dev`, the tests, `tools` and `bench`. Number, groups and ports are drawn, so that two clusters
//! of one host share none.

#![forbid(unsafe_code)]

use crate::{NodeError, NodeSettings, bootstrap, format};
use lockstep_io::IoError;
use lockstep_io::clock::random_u64;
use lockstep_io::key_file::KeyFile;
use lockstep_io::udp::free_port;
use lockstep_wire::{Identity, MemberBody};
use std::fs;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::{Path, PathBuf};

/// A file system in memory on every Linux; the tails belong there.
const MEMORY: &str = "/dev/shm";
/// The folder of a cluster's keys, below the folder on the disk.
pub const KEYS: &str = "keys";

/// A folder on the disk and one in memory. Dropping it removes both, unless they are kept.
#[derive(Debug)]
pub struct Folders {
    disk: PathBuf,
    memory: PathBuf,
    stays: bool,
}

impl Folders {
    /// Makes both folders; their names begin with `prefix`.
    ///
    /// # Errors
    /// The folder that cannot be made, and the remedy.
    pub fn create(prefix: &str) -> Result<Self, IoError> {
        let name = format!("{prefix}-{}-{:08x}", std::process::id(), random_u64()? as u32);
        let disk = std::env::temp_dir().join(&name);
        let memory = Path::new(MEMORY);
        let memory = if memory.is_dir() { memory.join(&name) } else { disk.join("memory") };
        let folders = Self { disk, memory, stays: false };
        for path in [&folders.disk, &folders.memory] {
            let what = || format!("make the folder {}; TMPDIR chooses another place", path.display());
            fs::create_dir_all(path).map_err(|error| IoError::new(what(), error))?;
        }
        Ok(folders)
    }

    /// The folder on the disk.
    pub fn disk(&self) -> &Path {
        &self.disk
    }

    /// The folder in memory.
    pub fn memory(&self) -> &Path {
        &self.memory
    }

    /// Keeps both folders.
    pub fn keep(&mut self) {
        self.stays = true;
    }

    /// The cluster's file, among those on the disk.
    pub fn config(&self) -> PathBuf {
        self.disk.join("lockstep.toml")
    }

    /// Writes the cluster's file.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write_config(&self, text: &str) -> Result<(), IoError> {
        let path = self.config();
        fs::write(&path, text).map_err(|error| IoError::new(format!("write {}", path.display()), error))
    }
}

impl Drop for Folders {
    fn drop(&mut self) {
        if !self.stays {
            // Some files in temporary folders may stay; there is no caller to report that to.
            let _ = fs::remove_dir_all(&self.memory);
            let _ = fs::remove_dir_all(&self.disk);
        }
    }
}

/// A line of the file.
#[derive(Clone, Debug)]
pub struct Line<'a> {
    /// The interface of its groups, by name or address.
    pub interface: &'a str,
    /// The most networks that a datagram may cross.
    pub ttl: u8,
    /// Its other keys, as TOML.
    pub more: String,
}

/// A replica of the file.
#[derive(Clone, Debug)]
pub struct Replica {
    /// Its address.
    pub address: Ipv4Addr,
    /// Its address on the second line.
    pub second: Option<Ipv4Addr>,
    /// Its other keys, as TOML.
    pub more: String,
}

/// The contents of a cluster's file.
#[derive(Clone, Debug)]
pub struct ClusterFile<'a> {
    /// One or two.
    pub lines: Vec<Line<'a>>,
    /// The replicas, 1 first.
    pub replicas: Vec<Replica>,
    /// The folder of the journals.
    pub disk: &'a Path,
    /// The folder of tails and counters.
    pub memory: &'a Path,
    /// The tables behind the replicas, as TOML; if they have no `[security]`, a table is added that names the
    /// keys.
    pub tables: String,
}

impl ClusterFile<'_> {
    /// Draws the cluster's keys into [`KEYS`], and returns the file. Two calls return different numbers,
    /// groups and ports.
    ///
    /// # Errors
    /// The host has no free port, the system no random number, or the keys cannot be written.
    pub fn text(&self) -> Result<String, IoError> {
        let mut ports = Vec::new();
        while ports.len() <= self.replicas.len() {
            let port = free_port(Ipv4Addr::LOCALHOST)?;
            if !ports.contains(&port) {
                ports.push(port);
            }
        }
        let (cluster, port) = ((random_u64()? >> 1).max(1), ports.remove(0));
        let keys = self.disk.join(KEYS);
        KeyFile::draw(cluster)?.write_folder(&keys)?;
        let [.., a, b, c] = random_u64()?.to_le_bytes();
        let group = |last: u8| format!("239.{}.{b}.{}:{port}", 64 | a & 0x3f, c & 0xf8 | last);
        let mut text = format!("cluster = {cluster}\nprofile = \"shared\"\n");
        for (first, Line { interface, ttl, more }) in [1, 4].into_iter().zip(&self.lines) {
            let [submit, data, control] = [first, first + 1, first + 2].map(group);
            text += &format!(
                "\n[[lines]]\nsubmit = \"{submit}\"\ndata = \"{data}\"\ncontrol = \"{control}\"\n\
                 interface = {interface:?}\nttl = {ttl}\n{more}"
            );
        }
        for ((id, replica), port) in (1..).zip(&self.replicas).zip(ports) {
            let unicast = SocketAddrV4::new(replica.address, port);
            text += &format!("\n[[replicas]]\n{}", node_keys(id, unicast, self.disk, self.memory));
            if let Some(second) = replica.second {
                text += &format!("unicast_b = \"{second}:{port}\"\n");
            }
            text += &replica.more;
        }
        if !self.tables.contains("[security]") {
            text += &format!("\n[security]\nkeys = {:?}\n", keys.display().to_string());
        }
        Ok(text + &self.tables)
    }
}

/// The keys that every replica and archiver has.
pub fn node_keys(id: u32, unicast: SocketAddrV4, disk: &Path, memory: &Path) -> String {
    let path = |folder: &Path, name: &str| folder.join(format!("{name}-{id}")).display().to_string();
    let (journal, tail, counters) = (path(disk, "journal"), path(memory, "tail"), path(memory, "counters"));
    format!(
        "id = {id}\nunicast = \"{unicast}\"\njournal = {journal:?}\ntail = {tail:?}\ncounters = {counters:?}\n"
    )
}

/// Formats the journals of all replicas, 1 first, and begins a history, as `format` and `bootstrap` do.
/// Returns the identities and the history's id.
///
/// # Errors
/// A journal cannot be formatted, or the history cannot be begun.
pub fn found(nodes: &[NodeSettings]) -> Result<(Vec<Identity>, u64), NodeError> {
    let identities = nodes.iter().map(format).collect::<Result<Vec<_>, _>>()?;
    let member = |(&identity, node): (&Identity, &NodeSettings)| MemberBody::full(identity, node.unicast);
    let members: Vec<_> = identities.iter().zip(nodes).map(member).collect();
    let history = bootstrap(&nodes[0], &members)?;
    Ok((identities, history))
}

#[cfg(test)]
mod tests {
    use super::*;
    use lockstep_config::Config;
    use std::collections::BTreeSet;

    /// The addresses in the file of two lines and seven replicas.
    fn addresses() -> BTreeSet<SocketAddrV4> {
        let folders = Folders::create("lockstep-local").expect("folders");
        let disk = folders.disk().join("a \"b\"");
        let line = |interface| Line { interface, ttl: 0, more: "mtu = 9000\n".to_owned() };
        let (address, second) = (Ipv4Addr::LOCALHOST, Some(Ipv4Addr::new(127, 0, 0, 2)));
        let file = ClusterFile {
            lines: vec![line("127.0.0.1"), line("127.0.0.2")],
            replicas: vec![Replica { address, second, more: "core = 1\n".to_owned() }; 7],
            disk: &disk,
            memory: folders.memory(),
            tables: "\n[network]\nshm = true\n".to_owned(),
        };
        let text = file.text().expect("free ports");
        let config =
            Config::parse(Path::new("c.toml"), &text, &[]).unwrap_or_else(|errors| panic!("{errors}"));
        assert_eq!((config.lines[1].mtu, config.replicas[6].core, config.network.shm), (9000, Some(1), true));
        assert_eq!(config.replicas[6].journal, disk.join("journal-7"));
        let groups = config.lines.iter().flat_map(|line| [line.submit, line.data, line.control]);
        groups.chain(config.replicas.iter().map(|replica| replica.unicast)).collect()
    }

    #[test]
    fn no_two_addresses_of_a_file_are_equal_nor_any_of_two_files() {
        let (first, second) = (addresses(), addresses());
        assert_eq!((first.len(), second.len(), first.is_disjoint(&second)), (13, 13, true));
    }
}
