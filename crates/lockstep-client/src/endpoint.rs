//! Where a cluster is, and how a handle talks to it: what the cluster's file says to its clients.

use lockstep_core::engine::ports::Group;
use lockstep_core::engine::receiver::ReceiverLimits;
use lockstep_core::engine::replay::ReplayLimits;
use lockstep_core::proto::nack::NackLimits;
use lockstep_core::proto::repairers::Repairer;
use lockstep_io::clock::random_u64;
use lockstep_io::device::{Device, DeviceSettings, MemorySharing, SecondLine};
use lockstep_io::rehearse::FaultSettings;
use lockstep_io::transport::TransportSettings;
use lockstep_io::udp::UdpSettings;
use lockstep_io::{IoError, idle::Idle};
use lockstep_wire::{Destination, Identity, Nanos, frame_len_max};
use std::collections::BTreeMap;
use std::net::SocketAddrV4;
use std::path::PathBuf;

/// Everything that a handle needs to know: `Config::endpoint` builds it from the cluster's file.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// The cluster's id.
    pub cluster: u64,
    /// The line's device; `joins` and `unicast_port` are the handle's business.
    pub udp: UdpSettings,
    /// How its datagrams go, for handles that hear the stream.
    pub transport: TransportSettings,
    /// The second line's, if there is one.
    pub second: Option<SecondLine>,
    /// What is spoilt on purpose, if anything is.
    pub rehearse: Option<FaultSettings>,
    /// What the memory of this host is used for.
    pub memory: MemorySharing,
    /// The MTU of the line.
    pub mtu: usize,
    /// Unicast addresses of the replicas.
    pub replicas: Vec<SocketAddrV4>,
    /// Unicast addresses of those who have journals to be replayed, archivers first.
    pub sources: Vec<SocketAddrV4>,
    /// Who repairs.
    pub repairers: Vec<Repairer>,
    /// Timers of requests.
    pub nack: NackLimits,
    /// A subscriber's memory for frames that wait.
    pub subscriber_buffer_bytes: usize,
    /// A subscriber's memory for messages that are larger than a datagram and not whole yet.
    pub subscriber_parts_bytes: usize,
    /// Bytes of the longest message.
    pub message_len_max: usize,
    /// The same for destinations that take less: channels.
    pub message_len_max_of: BTreeMap<Destination, usize>,
    /// Most messages of a publisher without a fate.
    pub window_entries: u32,
    /// A publisher's memory for them.
    pub publisher_buffer_bytes: usize,
    /// Shortest wait before a message is sent again.
    pub resend_ns_min: Nanos,
    /// Longest wait.
    pub resend_ns_max: Nanos,
    /// How often an idle leader beats.
    pub beat_ns: Nanos,
    /// What to do when there is nothing to do, for loops that the handle runs itself.
    pub idle: Idle,
    /// Directory of counters files, on a tmpfs.
    pub counters: PathBuf,
}

impl Endpoint {
    /// Opens a device that hears the stream.
    pub(super) fn open(&self, joins: &[Group]) -> Result<Device, IoError> {
        self.open_by(joins, self.transport.clone(), self.second.clone())
    }

    /// Opens one that asks and is answered, by unicast alone: by the kernel's sockets, as a card has one owner,
    /// and an operator asks from where the node runs.
    pub(super) fn open_query(&self) -> Result<Device, IoError> {
        let second = self
            .second
            .clone()
            .map(|second| SecondLine { transport: second.transport.clone().for_queries(), ..second });
        self.open_by(&[], self.transport.clone().for_queries(), second)
    }

    fn open_by(
        &self,
        joins: &[Group],
        transport: TransportSettings,
        second: Option<SecondLine>,
    ) -> Result<Device, IoError> {
        let udp = UdpSettings { joins: joins.to_vec(), unicast_port: 0, ..self.udp.clone() };
        let (rehearse, memory) = (self.rehearse, self.memory);
        Device::open(DeviceSettings { udp, transport, second, rehearse, memory })
    }

    /// Whom to ask for what no ring holds, under the name of the receiver.
    pub(super) fn replay(&self, me: Identity) -> ReplayLimits {
        ReplayLimits::new(self.cluster, me, self.sources.clone())
    }

    /// A random identity for a handle, and what its receiver needs.
    pub(super) fn receiver(&self, store_bytes: usize) -> Result<ReceiverLimits, IoError> {
        let me = draw_handle()?;
        Ok(ReceiverLimits {
            cluster: self.cluster,
            history: 0,
            me,
            repairers: self.repairers.clone(),
            nack: self.nack,
            store_bytes,
            frame_len_max: frame_len_max(self.mtu),
            count_when_accepted: false,
        })
    }
}

/// A random identity for a handle, above every replica's number, so that nobody takes it for one.
pub(super) fn draw_handle() -> Result<Identity, IoError> {
    let drawn = random_u64()?;
    Ok(Identity { replica: (drawn >> 32) as u32 | 1 << 31, incarnation: drawn as u32 })
}
