//! Where the demo lives: a folder on the disk and one in memory, a configuration with groups and ports that
//! nobody else uses, and nothing left behind.

use super::args::{Carrier, WireArgs};
use crate::cli::Failure;
use crate::cli::failure::USAGE;
use lockstep_io::IoError;
use lockstep_io::clock::random_u64;
use lockstep_io::idle::Idle;
use lockstep_io::key_file::KeyFile;
use lockstep_io::udp::{Interface, address_of, free_port};
use lockstep_node::io::tail::free_bytes;
use std::fmt::Write;
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

/// A file system in memory, on every Linux; the tails belong there.
const MEMORY: &str = "/dev/shm";

/// What carries the demo's datagrams: the lines of the configuration follow from it.
pub struct Wire {
    interface: String,
    address: Ipv4Addr,
    carrier: Carrier,
}

impl Wire {
    /// What was asked for, if it can be.
    pub fn of(args: &WireArgs) -> Result<Self, Failure> {
        let WireArgs { transport: carrier, interface } = args;
        let Ok(named) = interface.parse::<Interface>();
        let address = address_of(&named)?;
        if *carrier == Carrier::Xdp && address.is_loopback() {
            let why = "--transport xdp needs an Ethernet card, and the loopback is none: name one by --interface, \
                       e.g. one end of a veth pair";
            return Err(Failure::new(USAGE, why));
        }
        Ok(Self { interface: interface.clone(), address, carrier: *carrier })
    }

    /// What stands in each line, behind the groups.
    fn line(&self) -> String {
        // What does not leave the host needs no more.
        let ttl = u8::from(!self.address.is_loopback());
        // By memory the line carries nothing, or what leaves this host.
        let transport = match self.carrier {
            Carrier::Udp | Carrier::Shm => String::new(),
            carrier => format!("transport = {:?}\n", carrier.name()),
        };
        format!("interface = {:?}\nttl = {ttl}\n{transport}receive_buffer = \"16MiB\"\n", self.interface)
    }

    /// The table of what goes beside the lines.
    fn network(&self) -> &'static str {
        if matches!(self.carrier, Carrier::Shm | Carrier::Xdp) { "\n[network]\nshm = true\n" } else { "" }
    }
}

/// The demo's files. Dropping it removes them, unless they are to be kept.
pub struct Folder {
    disk: PathBuf,
    memory: PathBuf,
    keep: bool,
}

impl Folder {
    /// Makes the folders and the configuration, with these keys in `[fault_injection]`. If `idle` spins, each
    /// replica has the core of its turn.
    pub fn create(
        wire: &Wire,
        idle: Idle,
        cores: &[usize],
        keep: bool,
        fault_injection: &[(&str, String)],
    ) -> Result<Self, Failure> {
        let name = format!("lockstep-demo-{}-{:08x}", std::process::id(), random_u64()? as u32);
        let disk = std::env::temp_dir().join(&name);
        let memory = Path::new(MEMORY);
        let memory = if memory.is_dir() { memory.join(&name) } else { disk.join("memory") };
        let folder = Self { disk, memory, keep };
        for path in [&folder.disk, &folder.memory] {
            fs::create_dir_all(path).map_err(|error| {
                IoError::new(
                    format!("make the folder {}; TMPDIR chooses another place", path.display()),
                    error,
                )
            })?;
        }
        let cluster = (random_u64()? >> 1).max(1);
        KeyFile::draw(cluster)?.write_folder(&folder.keys())?;
        let text = folder.config_text(cluster, wire, idle, cores, fault_injection)?;
        let path = folder.config();
        fs::write(&path, text).map_err(|error| IoError::new(format!("write {}", path.display()), error))?;
        Ok(folder)
    }

    /// The folder on the disk.
    pub fn disk(&self) -> &Path {
        &self.disk
    }

    /// The configuration.
    pub fn config(&self) -> PathBuf {
        self.disk.join("lockstep.toml")
    }

    /// The file of the gateways' users.
    pub fn users(&self) -> PathBuf {
        self.disk.join("users.toml")
    }

    /// The folder of the key files.
    fn keys(&self) -> PathBuf {
        self.disk.join("keys")
    }

    fn config_text(
        &self,
        cluster: u64,
        wire: &Wire,
        idle: Idle,
        cores: &[usize],
        fault_injection: &[(&str, String)],
    ) -> Result<String, Failure> {
        let [.., a, b, c] = random_u64()?.to_le_bytes();
        let group = |last: u8| format!("239.{}.{b}.{}", 64 | a & 0x3f, c & 0xfc | last);
        let mut ports = Vec::new();
        while ports.len() <= super::REPLICAS as usize {
            let port = free_port(wire.address)?;
            if !ports.contains(&port) {
                ports.push(port);
            }
        }
        let [port, unicasts @ ..] = &ports[..] else { unreachable!("one more port than replicas") };
        let mut text = format!(
            r#"# Made by `lockstep demo`. On the loopback nothing of it leaves this host.
cluster = {cluster}
profile = "shared"

[[lines]]
submit = "{}:{port}"
data = "{}:{port}"
control = "{}:{port}"
{}"#,
            group(1),
            group(2),
            group(3),
            wire.line(),
        );
        let address = wire.address;
        for (index, unicast) in unicasts.iter().enumerate() {
            let id = index + 1;
            let path = |folder: &Path, name: &str| folder.join(format!("{name}-{id}")).display().to_string();
            let (journal, tail) = (path(&self.disk, "journal"), path(&self.memory, "tail"));
            let counters = path(&self.memory, "counters");
            let core = cores.get(index).filter(|_| idle == Idle::Spin);
            let core = core.map_or_else(String::new, |core| format!("core = {core}\n"));
            // Writing into a string cannot fail.
            let _ = write!(
                text,
                "\n[[replicas]]\nid = {id}\nunicast = \"{address}:{unicast}\"\njournal = {journal:?}\n\
                 tail = {tail:?}\ncounters = {counters:?}\n{core}"
            );
        }
        // All segments are kept, as they are compared at the end.
        let tail_mib = tail_mib(free_bytes(&self.memory)?);
        let _ = write!(
            text,
            "\n[security]\nkeys = {:?}\n\n[stream]\nwindow_bytes = \"4MiB\"\npublishers_max = 1000\n\n[journal]\n\
             tail_size = \"{tail_mib}MiB\"\nsegment_size = \"64MiB\"\n\n[runtime]\nidle = \"{idle}\"\n\n[gateway]\n\
             users = {:?}\nspool = {:?}\n",
            self.keys().display().to_string(),
            self.users().display().to_string(),
            self.disk.display().to_string(),
        );
        text.push_str(wire.network());
        if !fault_injection.is_empty() {
            text.push_str("\n[fault_injection]\n");
        }
        for (key, value) in fault_injection {
            let _ = writeln!(text, "{key} = {value}");
        }
        Ok(text)
    }
}

/// MiB of each tail, for a memory file system with so much room. A subscriber that finds no core to run on
/// may fall as far behind as a tail reaches, so the more the better; a container's /dev/shm has 64 MiB in
/// all.
fn tail_mib(free_bytes: u64) -> u64 {
    let share_mib = (free_bytes >> 20) * 3 / 4 / u64::from(super::REPLICAS);
    if share_mib >= 64 { 64 } else { 16 }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !self.keep {
            // What cannot be removed now is a few files in temporary folders; there is nobody to tell.
            let _ = fs::remove_dir_all(&self.memory);
            let _ = fs::remove_dir_all(&self.disk);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn wire(transport: Carrier) -> Wire {
        Wire { interface: "lo".into(), address: Ipv4Addr::LOCALHOST, carrier: transport }
    }

    #[test]
    fn the_configuration_is_right_the_host_is_not_left_and_nothing_stays_behind() {
        let folder = Folder::create(&wire(Carrier::Shm), Idle::Yield, &[0, 1], false, &[]).expect("a folder");
        let config = Config::load(Some(&folder.config()), &[]).unwrap_or_else(|errors| panic!("{errors}"));
        assert_eq!((config.replicas.len(), config.lines[0].ttl, config.network.shm), (3, 0, true));
        assert!(config.replicas.iter().all(|replica| replica.unicast.ip().is_loopback()));
        let (disk, memory) = (folder.disk.clone(), folder.memory.clone());
        drop(folder);
        assert!(!disk.exists() && !memory.exists());
    }

    #[test]
    fn the_tails_fit_into_what_memory_there_is() {
        assert_eq!([64, 255, 256, 65_536].map(|mib| tail_mib(mib << 20)), [16, 16, 64, 64]);
        assert!(3 * tail_mib(64 << 20) < 64, "a container's /dev/shm");
    }

    #[test]
    fn with_a_core_for_everybody_each_replica_has_its_own() {
        let folder =
            Folder::create(&wire(Carrier::Udp), Idle::Spin, &[4, 5, 6, 7], false, &[]).expect("a folder");
        let config = Config::load(Some(&folder.config()), &[]).unwrap_or_else(|errors| panic!("{errors}"));
        let cores: Vec<_> = config.replicas.iter().map(|replica| replica.core).collect();
        assert_eq!(cores, [Some(4), Some(5), Some(6)]);
    }
}
