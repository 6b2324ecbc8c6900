//! An [`Endpoint`] without a file.

use crate::endpoint::Endpoint;
use lockstep_core::engine::leader_contact::leaderless_ns_max;
use lockstep_core::engine::ports::Group;
use lockstep_core::proto::nack::NackLimits;
use lockstep_core::proto::repairers::Repairer;
use lockstep_io::device::MemorySharing;
use lockstep_io::fanout::{FanoutNode, FanoutSettings, bit};
use lockstep_io::idle::Idle;
use lockstep_io::key_file::KeyFile;
use lockstep_io::transport::TransportSettings;
use lockstep_io::udp::{Interface, UdpSettings};
use lockstep_wire::{
    CHANNEL_NUMBER_MAX, CHANNELS, GROUPS_ALL, Keyring, Keys, MEMBERS_MAX, MESSAGE_LEN_MAX, Nanos,
};
use std::collections::BTreeMap;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::PathBuf;

/// Bytes of the smallest and the largest MTU.
const MTU: std::ops::RangeInclusive<usize> = 1_100..=9_000;
/// Bytes of the smallest buffer of a handle.
const BUFFER_BYTES_MIN: usize = 64 << 10;
/// By unicast the leader sends one copy after the other: this many reordering waits pass before a gap that
/// only acks show is requested.
const APART_GUARDS: Nanos = 10;

/// Why [`EndpointBuilder::build`] returned no endpoint. Prints the problem and what to write instead.
#[derive(Clone, PartialEq, Eq)]
pub struct EndpointError(String);

impl fmt::Display for EndpointError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the endpoint is refused: {}", self.0)
    }
}

/// As [`Display`](fmt::Display): this is what a `main` that returns it prints.
impl fmt::Debug for EndpointError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for EndpointError {}

/// Builds an [`Endpoint`] from addresses, without a file.
///
/// Required are [`cluster`](Self::cluster), [`interface`](Self::interface), [`groups`](Self::groups) and
/// one or more [`member`](Self::member)s. All else has the defaults of `docs/CONFIGURATION.md`. Settings of
/// the nodes' file must be repeated here: the same MTU, transport and use of shared memory. A second
/// network (line B) and AF_XDP need the file.
///
/// ```
/// use lockstep_client::Endpoint;
/// use std::net::{Ipv4Addr, SocketAddrV4};
///
/// let group = |last| Ipv4Addr::new(239, 77, 1, last);
/// let node = |last| SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, last), 7701);
/// let endpoint = Endpoint::builder()
///     .cluster(1)
///     .without_keys() // or .key_file("/etc/lockstep/keys/publisher.keys")
///     .interface("eth0")
///     .groups([group(1), group(2), group(3)], 7700)
///     .member(1, node(1))
///     .member(2, node(2))
///     .member(3, node(3))
///     .build()?;
/// assert_eq!(endpoint.replicas().len(), 3);
/// # Ok::<(), lockstep_client::EndpointError>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "`build` makes the endpoint"]
pub struct EndpointBuilder {
    cluster: u64,
    keys: KeySource,
    interface: Option<String>,
    groups: Option<([Ipv4Addr; 3], u16)>,
    members: Vec<Member>,
    archivers: Vec<(u32, SocketAddrV4)>,
    ttl: u8,
    mtu: usize,
    receive_buffer_bytes: usize,
    send_buffer_bytes: usize,
    unicast: bool,
    shared_memory: bool,
    message_len_max: usize,
    channels: BTreeMap<u32, usize>,
    window_entries: u32,
    publisher_buffer_bytes: usize,
    subscriber_buffer_bytes: usize,
    subscriber_parts_bytes: usize,
    heartbeat_interval_ns: Nanos,
    idle: Idle,
    counters: PathBuf,
}

/// The source of a handle's keys.
#[derive(Clone, Debug)]
enum KeySource {
    Missing,
    None,
    File(PathBuf),
}

impl KeySource {
    fn open(&self, cluster: u64) -> Result<Keys, String> {
        let path = match self {
            Self::None => return Ok(Keyring::none(cluster).into()),
            Self::File(path) => path,
            Self::Missing => {
                return Err("it has no keys; call key_file(path) with the key file of this program, or \
                            without_keys() where the nodes' file has security.mode = \"none\""
                    .into());
            }
        };
        KeyFile::read_ring(path, cluster).map(Keys::from).map_err(|error| error.to_string())
    }
}

#[derive(Clone, Copy, Debug)]
struct Member {
    id: u32,
    address: SocketAddrV4,
    is_witness: bool,
}

impl Endpoint {
    /// Begins an endpoint from addresses, without a file.
    pub fn builder() -> EndpointBuilder {
        EndpointBuilder {
            cluster: 0,
            keys: KeySource::Missing,
            interface: None,
            groups: None,
            members: Vec::new(),
            archivers: Vec::new(),
            ttl: 1,
            mtu: 1_500,
            receive_buffer_bytes: 4 << 20,
            send_buffer_bytes: 4 << 20,
            unicast: false,
            shared_memory: false,
            message_len_max: MESSAGE_LEN_MAX,
            channels: BTreeMap::new(),
            window_entries: 1_024,
            publisher_buffer_bytes: 1 << 20,
            subscriber_buffer_bytes: 8 << 20,
            subscriber_parts_bytes: 16 << 20,
            heartbeat_interval_ns: 1_000_000,
            idle: Idle::Adapt,
            counters: PathBuf::from("/dev/shm"),
        }
    }
}

impl EndpointBuilder {
    /// The cluster's number, from 1 (`cluster`).
    pub fn cluster(mut self, cluster: u64) -> Self {
        self.cluster = cluster;
        self
    }

    /// The key file of this program: a reader's, or a publisher's for a program that publishes
    /// (`security.keys`).
    pub fn key_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.keys = KeySource::File(path.into());
        self
    }

    /// The cluster has no keys (`security.mode = "none"`): any host that reaches its network may send what a
    /// replica sends. For tests, and for networks that no other host reaches.
    pub fn without_keys(mut self) -> Self {
        self.keys = KeySource::None;
        self
    }

    /// The network interface that carries the groups: its name (`eth0`) or its IPv4 address
    /// (`lines.*.interface`).
    pub fn interface(mut self, interface: impl Into<String>) -> Self {
        self.interface = Some(interface.into());
        self
    }

    /// The multicast addresses of submissions, stream and acknowledgements, in this order, and their port
    /// (`lines.*.submit`, `data`, `control`).
    pub fn groups(mut self, groups: [Ipv4Addr; 3], port: u16) -> Self {
        self.groups = Some((groups, port));
        self
    }

    /// Adds a replica: its number, 1 to 255, and its unicast address (`replicas.*`).
    pub fn member(mut self, id: u32, address: SocketAddrV4) -> Self {
        self.members.push(Member { id, address, is_witness: false });
        self
    }

    /// Adds a replica with the role `witness`. It votes, and repairs nothing.
    pub fn witness(mut self, id: u32, address: SocketAddrV4) -> Self {
        self.members.push(Member { id, address, is_witness: true });
        self
    }

    /// Adds an archiver: its number, 1 to 255, and its unicast address (`archivers.*`).
    pub fn archiver(mut self, id: u32, address: SocketAddrV4) -> Self {
        self.archivers.push((id, address));
        self
    }

    /// The number of networks that a datagram may cross; 0 never leaves the host. Default 1 (`lines.*.ttl`).
    pub fn ttl(mut self, ttl: u8) -> Self {
        self.ttl = ttl;
        self
    }

    /// Bytes of the largest IP packet, 1100 to 9000. Default 1500 (`lines.*.mtu`).
    pub fn mtu(mut self, bytes: usize) -> Self {
        self.mtu = bytes;
        self
    }

    /// Kernel memory of each socket in bytes, to receive and to send. Default 4 MiB each
    /// (`lines.*.receive_buffer`, `send_buffer`).
    pub fn socket_buffers(mut self, receive_bytes: usize, send_bytes: usize) -> Self {
        (self.receive_buffer_bytes, self.send_buffer_bytes) = (receive_bytes, send_bytes);
        self
    }

    /// Sends to each node by unicast, for networks without multicast. Default false (`lines.*.transport =
    /// "unicast"`).
    pub fn unicast(mut self, unicast: bool) -> Self {
        self.unicast = unicast;
        self
    }

    /// Exchanges datagrams with the processes of this host by shared memory. Default false (`network.shm`).
    pub fn shared_memory(mut self, shared: bool) -> Self {
        self.shared_memory = shared;
        self
    }

    /// Bytes of the longest message, at most 65536. Default 65536 (`stream.message_len_max`).
    pub fn message_len_max(mut self, bytes: usize) -> Self {
        self.message_len_max = bytes;
        self
    }

    /// Bytes of the longest message for a channel that feeds carry (`channels.*`).
    pub fn channel(mut self, id: u32, message_len_max: usize) -> Self {
        self.channels.insert(id, message_len_max);
        self
    }

    /// Limits of a publisher: messages without an outcome, and bytes of them. Default 1024 and 1 MiB
    /// (`publisher.*`).
    pub fn publisher_window(mut self, messages: u32, buffer_bytes: usize) -> Self {
        (self.window_entries, self.publisher_buffer_bytes) = (messages, buffer_bytes);
        self
    }

    /// Limits of a subscriber: bytes of frames behind a gap or before their commit, and bytes of messages
    /// whose parts are incomplete. Default 8 MiB and 16 MiB (`subscriber.*`).
    pub fn subscriber_buffers(mut self, buffer_bytes: usize, parts_bytes: usize) -> Self {
        (self.subscriber_buffer_bytes, self.subscriber_parts_bytes) = (buffer_bytes, parts_bytes);
        self
    }

    /// The strategy of the handle's own loops when idle. Default [`Idle::Adapt`] (`runtime.idle`).
    pub fn idle(mut self, idle: Idle) -> Self {
        self.idle = idle;
        self
    }

    /// The folder of counters files, on a tmpfs. Default `/dev/shm`.
    pub fn counters_folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.counters = folder.into();
        self
    }

    /// Checks the settings, and returns the endpoint.
    ///
    /// # Errors
    /// Something required is missing, or values do not go together; the error names the call to change.
    pub fn build(self) -> Result<Endpoint, EndpointError> {
        let (interface, groups, port) = self.check().map_err(EndpointError)?;
        let keys = self.keys.open(self.cluster).map_err(EndpointError)?;
        let interface = match interface.parse() {
            Ok(address) => Interface::Address(address),
            Err(_) => Interface::Name(interface),
        };
        let udp = UdpSettings {
            ttl: self.ttl,
            datagram_len_max: self.mtu - 28,
            receive_buffer_bytes: self.receive_buffer_bytes,
            send_buffer_bytes: self.send_buffer_bytes,
            ..UdpSettings::new(interface, port, groups)
        };
        let storing = || self.members.iter().filter(|member| !member.is_witness);
        let guard_ns = NackLimits::default().guard_ns;
        let nack = NackLimits {
            apart_ns: if self.unicast { APART_GUARDS * guard_ns } else { 0 },
            ..NackLimits::default()
        };
        let transport = if self.unicast {
            TransportSettings::Unicast(self.fanout(keys.clone()))
        } else {
            TransportSettings::Udp
        };
        let archivers = self.archivers.iter();
        Ok(Endpoint {
            key_file: match self.keys {
                KeySource::File(ref path) => Some(path.clone()),
                KeySource::Missing | KeySource::None => None,
            },
            keys,
            udp,
            transport,
            second: None,
            fault_injection: None,
            memory: if self.shared_memory { MemorySharing::Beside } else { MemorySharing::Off },
            mtu: self.mtu,
            replicas: self.members.iter().map(|member| member.address).collect(),
            sources: {
                let archivers = archivers.clone().map(|(_, address)| *address);
                archivers.chain(storing().map(|member| member.address)).collect()
            },
            repairers: {
                let archivers = archivers.map(|(_, address)| Repairer::archiver(*address));
                archivers
                    .chain(storing().map(|member| Repairer::replica(member.id, member.address)))
                    .collect()
            },
            nack,
            subscriber_buffer_bytes: self.subscriber_buffer_bytes,
            subscriber_parts_bytes: self.subscriber_parts_bytes,
            message_len_max: self.message_len_max,
            message_len_max_of: self.channels.iter().map(|(id, bytes)| (CHANNELS + id, *bytes)).collect(),
            window_entries: self.window_entries,
            publisher_buffer_bytes: self.publisher_buffer_bytes,
            resend_ns_min: 1_000_000,
            resend_ns_max: 100_000_000,
            heartbeat_interval_ns: self.heartbeat_interval_ns,
            leaderless_ns_max: leaderless_ns_max(self.heartbeat_interval_ns, 0),
            idle: self.idle,
            counters: self.counters.clone(),
        })
    }

    /// Nodes to which a handle sends by unicast: replicas receive all groups, archivers no submissions.
    fn fanout(&self, keys: Keys) -> FanoutSettings {
        let member =
            |member: &Member| FanoutNode { id: member.id, address: member.address, groups: GROUPS_ALL };
        let groups = bit(Group::Data) | bit(Group::Control);
        let archiver =
            |(id, address): &(u32, SocketAddrV4)| FanoutNode { id: *id, address: *address, groups };
        FanoutSettings {
            keys,
            nodes: self.members.iter().map(member).chain(self.archivers.iter().map(archiver)).collect(),
            members_max: 256,
            grants_leases: false,
        }
    }

    /// Interface, groups and port, if all settings are consistent; otherwise the problem and its remedy.
    fn check(&self) -> Result<(String, [Ipv4Addr; 3], u16), String> {
        if self.cluster == 0 {
            return Err("it has no cluster number; call cluster(N) with the number of the nodes' file".into());
        }
        let Some(interface) = self.interface.clone().filter(|name| !name.is_empty()) else {
            return Err("it has no interface; call interface(\"eth0\") with a name or an IPv4 address".into());
        };
        let Some((groups, port)) = self.groups else {
            return Err("it has no groups; call groups([submit, data, control], port)".into());
        };
        let [submit, data, control] = groups;
        if let Some(group) = groups.iter().find(|group| !group.is_multicast()) {
            return Err(format!(
                "{group} is no multicast address; groups have addresses of 224.0.0.0/4, e.g. 239.77.1.1"
            ));
        }
        if submit == data || data == control || control == submit || port == 0 {
            return Err("groups() wants three different addresses and a port from 1".into());
        }
        if self.members.is_empty() || self.members.len() > MEMBERS_MAX {
            let count = self.members.len();
            return Err(format!(
                "it has {count} members; call member(id, address) for each replica, 1 to {MEMBERS_MAX}"
            ));
        }
        self.check_nodes(port)?;
        if !MTU.contains(&self.mtu) {
            return Err(format!(
                "an MTU of {} bytes is not between {} and {}",
                self.mtu,
                MTU.start(),
                MTU.end()
            ));
        }
        let message_lens = self.channels.values().chain([&self.message_len_max]);
        if let Some(bytes) = message_lens.into_iter().find(|bytes| !(1..=MESSAGE_LEN_MAX).contains(*bytes)) {
            return Err(format!(
                "messages of {bytes} bytes; message_len_max is between 1 and {MESSAGE_LEN_MAX}"
            ));
        }
        if self.channels.keys().any(|id| *id > CHANNEL_NUMBER_MAX) {
            return Err(format!("a channel's number is between 0 and {CHANNEL_NUMBER_MAX}"));
        }
        let buffers =
            [self.publisher_buffer_bytes, self.subscriber_buffer_bytes, self.subscriber_parts_bytes];
        if self.window_entries == 0 || buffers.into_iter().any(|bytes| bytes < BUFFER_BYTES_MIN) {
            return Err(format!(
                "publisher_window() wants 1 message or more, and each buffer {BUFFER_BYTES_MIN} bytes or more"
            ));
        }
        Ok((interface, groups, port))
    }

    /// Checks numbers and addresses of the nodes, which no group and no other node may have.
    fn check_nodes(&self, port: u16) -> Result<(), String> {
        let members = self.members.iter().map(|member| (member.id, member.address));
        let nodes: Vec<_> = members.chain(self.archivers.iter().copied()).collect();
        for (place, (id, address)) in nodes.iter().enumerate() {
            if !(1..=255).contains(id) {
                return Err(format!(
                    "node number {id} is not between 1 and 255; use the numbers of the nodes' file"
                ));
            }
            if address.port() == port || address.ip().is_multicast() || address.ip().is_unspecified() {
                return Err(format!(
                    "{address} of node {id} is no unicast address beside the groups; use one that the node's host has, \
                     and another port than {port}"
                ));
            }
            if nodes[..place].iter().any(|(other, at)| other == id || at == address) {
                return Err(format!(
                    "node {id} at {address} repeats a number or an address; each node has its own"
                ));
            }
        }
        Ok(())
    }
}
