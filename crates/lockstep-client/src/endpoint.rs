//! The addresses of a cluster, and the settings of its handles.

use lockstep_core::engine::ports::Group;
use lockstep_core::engine::receiver::ReceiverLimits;
use lockstep_core::engine::replay::ReplayLimits;
use lockstep_core::proto::nack::NackLimits;
use lockstep_core::proto::repairers::Repairer;
use lockstep_io::clock::random_u64;
use lockstep_io::device::{Device, DeviceSettings, MemorySharing, SecondLine};
use lockstep_io::fault_injection::FaultSettings;
use lockstep_io::key_file::KeyFile;
use lockstep_io::private::{self, FileOwner};
use lockstep_io::transport::TransportSettings;
use lockstep_io::udp::UdpSettings;
use lockstep_io::{IoError, idle::Idle};
use lockstep_wire::{Destination, Identity, Keys, Nanos, frame_len_max};
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::SocketAddrV4;
use std::path::{Path, PathBuf};

/// The addresses of a cluster, and the settings of its handles: devices, buffers, timers.
///
/// [`Endpoint::builder`] takes addresses from the program. With the feature `config`, [`Endpoint::from_env`]
/// and [`Endpoint::from_file`] read the cluster's file. An endpoint opens nothing; one may serve any number
/// of handles.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// The cluster, and the keys of this process.
    pub(crate) keys: Keys,
    /// The file of the keys; `None` if the cluster has no keys.
    pub(crate) key_file: Option<PathBuf>,
    /// Sockets of the first line; `joins` and `unicast_port` are chosen for each handle.
    pub(crate) udp: UdpSettings,
    /// Transport of handles that read the stream.
    pub(crate) transport: TransportSettings,
    /// The second line, if there is one.
    pub(crate) second: Option<SecondLine>,
    /// Faults that are injected, if any.
    pub(crate) fault_injection: Option<FaultSettings>,
    /// Whether processes of this host exchange datagrams by memory.
    pub(crate) memory: MemorySharing,
    /// Bytes of the largest IP packet.
    pub(crate) mtu: usize,
    /// Unicast addresses of the replicas.
    pub(crate) replicas: Vec<SocketAddrV4>,
    /// Unicast addresses of the nodes that replay their journals, archivers first.
    pub(crate) sources: Vec<SocketAddrV4>,
    /// Nodes that repair gaps.
    pub(crate) repairers: Vec<Repairer>,
    /// Timers of requests.
    pub(crate) nack: NackLimits,
    /// Bytes of frames that a subscriber buffers.
    pub(crate) subscriber_buffer_bytes: usize,
    /// Bytes of incomplete messages that a subscriber buffers.
    pub(crate) subscriber_parts_bytes: usize,
    /// Bytes of the longest message.
    pub(crate) message_len_max: usize,
    /// The longest message of each channel that has its own limit.
    pub(crate) message_len_max_of: BTreeMap<Destination, usize>,
    /// The most messages of a publisher without an outcome.
    pub(crate) window_entries: u32,
    /// Bytes of a publisher's messages without an outcome.
    pub(crate) publisher_buffer_bytes: usize,
    /// Shortest wait before a message is sent again.
    pub(crate) resend_ns_min: Nanos,
    /// Longest wait before a message is sent again.
    pub(crate) resend_ns_max: Nanos,
    /// Time between heartbeats of an idle leader.
    pub(crate) heartbeat_interval_ns: Nanos,
    /// Silence of all leaders after which a handle follows none.
    pub(crate) leaderless_ns_max: Nanos,
    /// Idle strategy of loops that the handle runs itself.
    pub(crate) idle: Idle,
    /// Directory of counters files, on a tmpfs.
    pub(crate) counters: PathBuf,
}

impl Endpoint {
    /// The cluster's number.
    pub fn cluster(&self) -> u64 {
        self.keys.cluster()
    }

    /// Reads the key file again: from now on all handles of this endpoint have the keys of the file. A
    /// cluster without keys has nothing to read. Call it at each step of a rotation (`docs/SECURITY.md`).
    ///
    /// # Errors
    /// The file is refused; then the keys stay as they are.
    pub fn reload_keys(&self) -> Result<(), IoError> {
        let Some(path) = &self.key_file else { return Ok(()) };
        KeyFile::reload(path, &self.keys)
    }

    /// The keys of this process: all handles of the endpoint share them.
    #[doc(hidden)]
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// Unicast addresses of the replicas, in the order of the file or of the builder's calls.
    pub fn replicas(&self) -> &[SocketAddrV4] {
        &self.replicas
    }

    /// Unicast addresses of the nodes that replay their journals, archivers first.
    pub fn sources(&self) -> &[SocketAddrV4] {
        &self.sources
    }

    /// Bytes of the largest IP packet.
    pub fn mtu(&self) -> usize {
        self.mtu
    }

    /// Bytes of the longest message for `destination`: the channel's limit if it has one, otherwise the
    /// stream's.
    pub fn message_len_max_for(&self, destination: Destination) -> usize {
        self.message_len_max_of
            .get(&destination)
            .map_or(self.message_len_max, |own| self.message_len_max.min(*own))
    }

    /// The configured idle strategy.
    pub fn idle(&self) -> Idle {
        self.idle
    }

    /// Silence of all leaders after which a handle follows none.
    #[doc(hidden)]
    pub fn leaderless_ns_max(&self) -> Nanos {
        self.leaderless_ns_max
    }

    /// The folder of counters files.
    pub fn counters_folder(&self) -> &Path {
        &self.counters
    }

    /// The same endpoint, with another use of this host's memory.
    #[doc(hidden)]
    pub fn with_memory(self, memory: MemorySharing) -> Self {
        Self { memory, ..self }
    }

    /// Settings of a device that receives `joins`.
    #[doc(hidden)]
    pub fn device(&self, joins: &[Group]) -> DeviceSettings {
        self.device_by(joins, self.transport.clone(), self.second.clone())
    }

    /// Opens a device that reads the stream.
    pub(crate) fn open(&self, joins: &[Group]) -> Result<Device, IoError> {
        self.may_share()?;
        Device::open(self.device(joins))
    }

    /// Opens a device for queries. It only uses unicast by the kernel's sockets: a card has one owner, and an
    /// operator queries from the machine on which the node runs.
    pub(crate) fn open_query(&self) -> Result<Device, IoError> {
        let second = self
            .second
            .clone()
            .map(|second| SecondLine { transport: second.transport.clone().for_queries(), ..second });
        let mut device = self.device_by(&[], self.transport.clone().for_queries(), second);
        match self.memory {
            MemorySharing::Beside if self.daemons_user().is_some() => device.memory = MemorySharing::Off,
            MemorySharing::Alone => self.may_share()?,
            _ => {}
        }
        Device::open(device)
    }

    /// The owner of the keys, if this process is root and they are another user's.
    fn daemons_user(&self) -> Option<FileOwner> {
        let owner = FileOwner::of(self.key_file.as_deref()?)?;
        (private::own_user() == 0 && owner.user != 0).then_some(owner)
    }

    /// Root shares no memory with another user's processes: they could not open what root makes there.
    fn may_share(&self) -> Result<(), IoError> {
        let is_by_card = |transport: &TransportSettings| matches!(transport, TransportSettings::Xdp(_));
        let second = self.second.as_ref().map(|second| &second.transport);
        let shares = self.memory != MemorySharing::Off
            || [Some(&self.transport), second].into_iter().flatten().any(is_by_card);
        match self.daemons_user().filter(|_| shares) {
            None => Ok(()),
            Some(owner) => {
                let doing = format!(
                    "share memory with the processes of {}: run `{}`",
                    private::named(owner.user),
                    private::command_as(owner)
                );
                let why = "they could not use what root makes there; nothing was made";
                Err(IoError::because(doing, ErrorKind::PermissionDenied, why))
            }
        }
    }

    fn device_by(
        &self,
        joins: &[Group],
        transport: TransportSettings,
        second: Option<SecondLine>,
    ) -> DeviceSettings {
        let udp = UdpSettings { joins: joins.to_vec(), unicast_port: 0, ..self.udp.clone() };
        DeviceSettings { udp, transport, second, fault_injection: self.fault_injection, memory: self.memory }
    }

    /// The sources from which a receiver named `me` requests frames that no node has in memory.
    pub(crate) fn replay(&self, me: Identity) -> ReplayLimits {
        ReplayLimits::new(self.keys.clone(), me, self.sources.clone())
    }

    /// A random identity for a handle, and the limits of its receiver.
    pub(crate) fn receiver(&self, store_bytes: usize) -> Result<ReceiverLimits, IoError> {
        let me = draw_handle()?;
        Ok(ReceiverLimits {
            keys: self.keys.clone(),
            me,
            repairers: self.repairers.clone(),
            nack: self.nack,
            store_bytes,
            frame_len_max: frame_len_max(self.mtu),
            ..ReceiverLimits::default()
        })
    }
}

/// A random identity for a handle, above every replica's number.
pub(crate) fn draw_handle() -> Result<Identity, IoError> {
    let drawn = random_u64()?;
    Ok(Identity { replica: (drawn >> 32) as u32 | 1 << 31, incarnation: drawn as u32 })
}
