//! The network's part of the file: settings of devices, timers of requests, and where nodes answer. The
//! handles and the nodes take theirs from here.

use super::{Config, Gso, Idle, InterfaceSetting, LineConfig, ReplicaConfig, Role, Transport, XdpMode};
use lockstep_core::engine::ports::Group;
use lockstep_core::proto::nack::NackLimits;
use lockstep_core::proto::repairers::Repairer;
use lockstep_io::auto::AutoSettings;
use lockstep_io::device::{MemorySharing, SecondLine};
use lockstep_io::fanout::{FanoutNode, FanoutSettings, bit};
use lockstep_io::fault_injection::FaultSettings;
use lockstep_io::private::{FileOwner, FileOwners};
use lockstep_io::transport::TransportSettings;
use lockstep_io::udp::UdpSettings;
use lockstep_io::xdp::{Mode, XdpSettings};
use lockstep_io::{idle, udp};
use lockstep_wire::{GROUPS_ALL, Keys};
use std::net::SocketAddrV4;
use std::path::{Path, PathBuf};

/// By unicast, a gap that is known only from acks waits for so many more guards: the time that a leader
/// needs for copies to seventy others.
const APART_GUARDS: u64 = 10;

// For the client and for nodes: the settings are types of lower crates.
#[doc(hidden)]
impl Config {
    /// The folder of the counters files of processes that have no place of their own in the file: that of the
    /// replicas'.
    pub fn counters_folder(&self) -> PathBuf {
        let beside = self.replicas.first().and_then(|replica| replica.counters.parent());
        beside.map_or_else(|| PathBuf::from("/dev/shm"), Path::to_path_buf)
    }

    /// The places in the file of counters files, each with its process's name: `replica-1`.
    pub fn named_counters_files(&self) -> Vec<(String, PathBuf)> {
        let replicas = self.replicas.iter();
        let replicas = replicas.map(|replica| (format!("replica-{}", replica.id), replica.counters.clone()));
        let archivers = self.archivers.iter();
        let archivers =
            archivers.map(|archiver| (format!("archiver-{}", archiver.id), archiver.counters.clone()));
        replicas.chain(archivers).collect()
    }

    /// The begin of the name of a counters file beside them.
    pub fn counters_file_prefix(&self) -> String {
        format!("lockstep-{}-", self.cluster)
    }

    /// The owners whose counters and events are believed: root, the user that asks, and the user
    /// that the daemons run as, to whom keys and journals belong.
    pub fn file_owners(&self) -> FileOwners {
        let journals = self.replicas.iter().map(|replica| &replica.journal);
        let journals = journals.chain(self.archivers.iter().map(|archiver| &archiver.journal));
        FileOwners::own().with_owners_of(journals.chain([&self.security.keys]).map(PathBuf::as_path))
    }

    /// A place of this host's keys or journals that is not root's, with its owner: the user of the daemons. A
    /// journal that is not there yet would be made in the folder above.
    pub fn daemons_user(&self) -> Option<(PathBuf, FileOwner)> {
        let journals = self.replicas.iter().map(|replica| &replica.journal);
        let journals = journals.chain(self.archivers.iter().map(|archiver| &archiver.journal));
        let of = |place: &Path| Some((place.to_path_buf(), FileOwner::of(place)?));
        let journal = |journal: &PathBuf| of(journal).or_else(|| of(journal.parent()?));
        let of_keys = of(&self.security.keys);
        journals.filter_map(journal).chain(of_keys).find(|(_, owner)| owner.user != 0)
    }

    /// The counters files that this host has now, each with its process's name: those that the file names,
    /// and those beside them of the same cluster. Others may make files there: whoever reads one judges it.
    pub fn counters_files(&self) -> Vec<(String, PathBuf)> {
        let (named, prefix) = (self.named_counters_files(), self.counters_file_prefix());
        let process = |path: &Path| {
            let file = path.file_name()?.to_str()?;
            let name = file.strip_prefix(&prefix)?.strip_suffix(".counters")?;
            // It is printed.
            (!name.contains(char::is_control)).then(|| name.to_owned())
        };
        let beside = std::fs::read_dir(self.counters_folder()).into_iter().flatten().flatten();
        let mut beside: Vec<(String, PathBuf)> = beside
            .map(|entry| entry.path())
            .filter(|path| named.iter().all(|(_, known)| known != path))
            .filter_map(|path| Some((process(&path)?, path)))
            .collect();
        beside.sort();
        let is_there = |path: &Path| path.symlink_metadata().is_ok();
        named.into_iter().filter(|(_, path)| is_there(path)).chain(beside).collect()
    }

    /// Unicast addresses of the nodes that replay their journals, archivers first.
    pub fn sources(&self) -> impl Iterator<Item = SocketAddrV4> {
        let archivers = self.archivers.iter().map(|archiver| archiver.unicast);
        archivers.chain(self.storing().map(|replica| replica.unicast))
    }

    /// The nodes that repair gaps, archivers first.
    pub fn repairers(&self) -> impl Iterator<Item = Repairer> {
        let archivers = self.archivers.iter().map(|archiver| Repairer::archiver(archiver.unicast));
        archivers.chain(self.storing().map(|replica| Repairer::replica(replica.id, replica.unicast)))
    }

    /// The replicas that repair and replay: a witness serves candidates alone.
    pub fn storing(&self) -> impl Iterator<Item = &ReplicaConfig> {
        self.replicas.iter().filter(|replica| replica.role == Role::Full)
    }

    /// Bytes of the largest IP packet, the same on all lines.
    pub fn mtu(&self) -> usize {
        self.lines.first().map_or(1500, |line| usize::from(line.mtu))
    }

    /// The idle strategy.
    pub fn idle(&self) -> idle::Idle {
        match self.runtime.idle {
            Idle::Spin => idle::Idle::Spin,
            Idle::Yield => idle::Idle::Yield,
            Idle::Park => idle::Idle::Park,
            Idle::Adapt => idle::Idle::Adapt,
        }
    }

    /// Timers of repair requests.
    pub fn nack(&self) -> NackLimits {
        let by_unicast = self.lines.iter().any(|line| line.transport == Transport::Unicast);
        NackLimits {
            guard_ns: self.timing.nack_delay_ns,
            apart_ns: if by_unicast { APART_GUARDS * self.timing.nack_delay_ns } else { 0 },
            retry_ns_min: self.timing.nack_retry_min_ns,
            retry_ns_max: self.timing.nack_retry_max_ns,
        }
    }

    /// The faults that are injected; `None`, as a rule.
    pub fn fault_injection(&self) -> Option<FaultSettings> {
        let fault_injection = &self.fault_injection;
        let settings = FaultSettings {
            loss_ppm: fault_injection.loss_ppm,
            duplication_ppm: fault_injection.duplication_ppm,
            reordering_ppm: fault_injection.reordering_ppm,
            delay_ns: fault_injection.delay_ns,
            seed: fault_injection.seed,
            line: fault_injection.line,
        };
        (!settings.is_off()).then_some(settings)
    }

    /// Sockets of the first line. Which groups they join is the caller's choice.
    pub fn udp(&self) -> UdpSettings {
        // The parser refuses a file without a line.
        self.udp_of(&self.lines[0])
    }

    /// Whether processes of this host exchange datagrams by memory.
    pub fn memory(&self) -> MemorySharing {
        if self.network.shm { MemorySharing::Beside } else { MemorySharing::Off }
    }

    /// The second line, if there is one, for a node that answers there at `own` (a handle has no address) and
    /// may have a transport of its own.
    pub fn second(
        &self,
        own: Option<SocketAddrV4>,
        chosen: Option<Transport>,
        is_node: bool,
        keys: &Keys,
    ) -> Option<SecondLine> {
        let line = self.lines.get(1)?;
        let nodes = self.replicas.iter().filter_map(|replica| Some((replica.unicast, replica.unicast_b?)));
        let unicast_port = own.map_or(0, |own| own.port());
        let mut udp = UdpSettings { unicast_port, ..self.udp_of(line) };
        if let Some(own) = own {
            udp.interface = udp.interface.at(*own.ip());
        }
        Some(SecondLine { udp, transport: self.transport(1, chosen, is_node, keys), nodes: nodes.collect() })
    }

    /// Sockets of line `place`, counted from 0.
    pub fn udp_of_line(&self, place: usize) -> UdpSettings {
        self.udp_of(&self.lines[place])
    }

    fn udp_of(&self, line: &LineConfig) -> UdpSettings {
        let interface = match &line.interface {
            InterfaceSetting::Address(address) => udp::Interface::Address(*address),
            InterfaceSetting::Name(name) => udp::Interface::Name(name.clone()),
        };
        let groups = [*line.submit.ip(), *line.data.ip(), *line.control.ip()];
        UdpSettings {
            ttl: line.ttl,
            datagram_len_max: self.mtu() - 28,
            receive_buffer_bytes: line.receive_buffer_bytes as usize,
            send_buffer_bytes: line.send_buffer_bytes as usize,
            busy_poll_us: (line.busy_poll_ns > 0).then_some((line.busy_poll_ns / 1_000) as u32),
            gso: line.gso == Gso::Auto,
            ..UdpSettings::new(interface, line.submit.port(), groups)
        }
    }

    /// The transport of line `place`, counted from 0, for a node, which may have one of its own, or for a
    /// handle, with the process's keys.
    pub fn transport(
        &self,
        place: usize,
        chosen: Option<Transport>,
        is_node: bool,
        keys: &Keys,
    ) -> TransportSettings {
        let line = &self.lines[place];
        match chosen.unwrap_or(line.transport) {
            Transport::Udp => TransportSettings::Udp,
            Transport::Xdp => TransportSettings::Xdp(xdp(line)),
            Transport::Unicast => TransportSettings::Unicast(self.fanout(place, is_node, keys)),
            Transport::Auto => TransportSettings::Auto(self.auto(place, is_node, keys)),
        }
    }

    /// The receivers on a line, counted from 0, that have not joined: replicas receive everything.
    /// Archivers receive no submissions, and have no address on the second line: there they join.
    fn fanout(&self, place: usize, is_node: bool, keys: &Keys) -> FanoutSettings {
        let replica = |replica: &ReplicaConfig| {
            let address = if place == 0 { Some(replica.unicast) } else { replica.unicast_b };
            address.map(|address| FanoutNode { id: replica.id, address, groups: GROUPS_ALL })
        };
        let replicas = self.replicas.iter().filter_map(replica);
        let archivers = self.archivers.iter().filter(|_| place == 0);
        let groups = bit(Group::Data) | bit(Group::Control);
        let archivers =
            archivers.map(|archiver| FanoutNode { id: archiver.id, address: archiver.unicast, groups });
        FanoutSettings {
            keys: keys.clone(),
            nodes: replicas.chain(archivers).collect(),
            members_max: self.lines[place].fanout_members as usize,
            grants_leases: is_node,
        }
    }

    /// The nodes whose multicast is monitored, and that are asked for leases instead: replicas. Archivers
    /// send nothing that must be received.
    fn auto(&self, place: usize, is_node: bool, keys: &Keys) -> AutoSettings {
        let mut fanout = self.fanout(place, is_node, keys);
        fanout.nodes.retain(|node| node.groups == GROUPS_ALL);
        AutoSettings { fanout, queue: self.lines[place].xdp_queue }
    }
}

fn xdp(line: &LineConfig) -> XdpSettings {
    XdpSettings {
        mode: match line.xdp_mode {
            XdpMode::Auto => None,
            XdpMode::ZeroCopy => Some(Mode::ZeroCopy),
            XdpMode::Native => Some(Mode::Native),
            XdpMode::Generic => Some(Mode::Generic),
        },
        queue: line.xdp_queue,
    }
}
