//! Where the demo lives: the folders and the configuration of a cluster on this machine.

use crate::args::{Carrier, WireArgs};
use lockstep_daemon::Failure;
use lockstep_daemon::failure::USAGE;
use lockstep_io::idle::Idle;
use lockstep_io::udp::{Interface, address_of};
use lockstep_node::io::tail::free_bytes;
use lockstep_node::local::{ClusterFile, Folders, Line, Replica};
use std::net::Ipv4Addr;
use std::path::PathBuf;

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
    fn line(&self) -> Line<'_> {
        // What does not leave the host needs no more.
        let ttl = u8::from(!self.address.is_loopback());
        // By memory the line carries nothing, or what leaves this host.
        let transport = match self.carrier {
            Carrier::Udp | Carrier::Shm => String::new(),
            carrier => format!("transport = {:?}\n", carrier.name()),
        };
        let more = format!("{transport}receive_buffer = \"16MiB\"\n");
        Line { interface: &self.interface, ttl, more }
    }

    /// The table of what goes beside the lines.
    fn network(&self) -> &'static str {
        if matches!(self.carrier, Carrier::Shm | Carrier::Xdp) { "\n[network]\nshm = true\n" } else { "" }
    }
}

/// Makes the folders and the configuration, with these keys in `[fault_injection]`. If `idle` spins, each
/// replica has the core of its turn.
pub fn create(
    wire: &Wire,
    idle: Idle,
    cores: &[usize],
    keep: bool,
    fault_injection: &[(&str, String)],
) -> Result<Folders, Failure> {
    let mut folders = Folders::create("lockstep-demo")?;
    if keep {
        folders.keep();
    }
    let replica = |index| {
        let core = cores.get(index).filter(|_| idle == Idle::Spin);
        let more = core.map_or_else(String::new, |core| format!("core = {core}\n"));
        Replica { address: wire.address, second: None, more }
    };
    // All segments are kept, as they are compared at the end.
    let tail_mib = tail_mib(free_bytes(folders.memory())?);
    let mut tables = format!(
        "\n[stream]\nwindow_bytes = \"4MiB\"\npublishers_max = 1000\n\n[journal]\n\
         tail_size = \"{tail_mib}MiB\"\nsegment_size = \"64MiB\"\n\n[runtime]\nidle = \"{idle}\"\n\n[gateway]\n\
         users = {:?}\nspool = {:?}\n{}",
        users(&folders).display().to_string(),
        folders.disk().display().to_string(),
        wire.network(),
    );
    tables += if fault_injection.is_empty() { "" } else { "\n[fault_injection]\n" };
    tables.extend(fault_injection.iter().map(|(key, value)| format!("{key} = {value}\n")));
    let file = ClusterFile {
        lines: vec![wire.line()],
        replicas: (0..crate::REPLICAS as usize).map(replica).collect(),
        disk: folders.disk(),
        memory: folders.memory(),
        tables,
    };
    let head = "# Made by `lockstep demo`. On the loopback nothing of it leaves this host.\n";
    folders.write_config(&format!("{head}{}", file.text()?))?;
    Ok(folders)
}

/// The file of the gateways' users.
pub fn users(folders: &Folders) -> PathBuf {
    folders.disk().join("users.toml")
}

/// MiB of each tail, for a memory file system with so much room. A subscriber that finds no core to run on
/// may fall as far behind as a tail reaches, so the more the better; a container's /dev/shm has 64 MiB in
/// all.
fn tail_mib(free_bytes: u64) -> u64 {
    let share_mib = (free_bytes >> 20) * 3 / 4 / u64::from(crate::REPLICAS);
    if share_mib >= 64 { 64 } else { 16 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lockstep_daemon::config::Config;

    fn wire(transport: Carrier) -> Wire {
        Wire { interface: "lo".into(), address: Ipv4Addr::LOCALHOST, carrier: transport }
    }

    #[test]
    fn the_configuration_is_right_the_host_is_not_left_and_nothing_stays_behind() {
        let folder = create(&wire(Carrier::Shm), Idle::Yield, &[0, 1], false, &[]).expect("a folder");
        let config = Config::load(Some(&folder.config()), &[]).unwrap_or_else(|errors| panic!("{errors}"));
        assert_eq!((config.replicas.len(), config.lines[0].ttl, config.network.shm), (3, 0, true));
        assert!(config.replicas.iter().all(|replica| replica.unicast.ip().is_loopback()));
        let (disk, memory) = (folder.disk().to_owned(), folder.memory().to_owned());
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
        let folder = create(&wire(Carrier::Udp), Idle::Spin, &[4, 5, 6, 7], false, &[]).expect("a folder");
        let config = Config::load(Some(&folder.config()), &[]).unwrap_or_else(|errors| panic!("{errors}"));
        let cores: Vec<_> = config.replicas.iter().map(|replica| replica.core).collect();
        assert_eq!(cores, [Some(4), Some(5), Some(6)]);
    }
}
