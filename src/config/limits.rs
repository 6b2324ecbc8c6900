//! What the file means for each room: the one place that turns its values into their limits.

use super::{
    Compression, Config, ConfigError, Durability, Gso, Idle, InterfaceSetting, LineConfig, ReplicaConfig,
    Role, Scheduling, Transport, XdpMode,
};
use lockstep_client::Endpoint;
use lockstep_core::engine::ports::Group;
use lockstep_core::proto::beat::HeartbeatLimits;
use lockstep_core::proto::commit;
use lockstep_core::proto::nack::NackLimits;
use lockstep_core::proto::repairers::Repairer;
use lockstep_core::proto::window::Window;
use lockstep_io::auto::AutoSettings;
use lockstep_io::device::{MemorySharing, SecondLine};
use lockstep_io::fanout::{FanoutNode, FanoutSettings, bit};
use lockstep_io::rehearse::FaultSettings;
use lockstep_io::transport::TransportSettings;
use lockstep_io::udp::UdpSettings;
use lockstep_io::xdp::{Mode, XdpSettings};
use lockstep_io::{idle, udp};
use lockstep_node::{NodeSettings, ReplaySettings};
use lockstep_process::cpu::SchedulingClass;
use lockstep_replica::journal::{Retention, SEGMENT_LEN_MIN};
use lockstep_wire::{CHANNELS, GROUPS_ALL};
use std::net::SocketAddrV4;
use std::path::{Path, PathBuf};

/// By unicast, what only acks tell of waits for so many guards more: what a leader needs for copies to seventy others.
const APART_GUARDS: u64 = 10;

impl Config {
    /// What a publisher or subscriber needs to know.
    pub fn endpoint(&self) -> Endpoint {
        Endpoint {
            cluster: self.cluster,
            udp: self.udp(),
            transport: self.transport(0, None, false),
            second: self.second(None, None, false),
            rehearse: self.fault_injection(),
            memory: self.memory(),
            mtu: self.mtu(),
            replicas: self.replicas.iter().map(|replica| replica.unicast).collect(),
            sources: self.sources().collect(),
            repairers: self.repairers().collect(),
            nack: self.nack(),
            subscriber_buffer_bytes: self.subscriber.buffer_bytes as usize,
            subscriber_parts_bytes: self.subscriber.parts_bytes as usize,
            message_len_max: self.stream.message_len_max as usize,
            message_len_max_of: {
                let limits = self.channels.iter();
                limits.map(|channel| (CHANNELS + channel.id, channel.message_len_max as usize)).collect()
            },
            window_entries: self.publisher.window_entries,
            publisher_buffer_bytes: self.publisher.buffer_bytes as usize,
            resend_ns_min: self.timing.resend_min_ns,
            resend_ns_max: self.timing.resend_max_ns,
            beat_ns: self.timing.beat_ns,
            idle: self.idle(),
            counters: self.counters_folder(),
        }
    }

    /// Where processes without a place of their own in the file put their counters: beside the replicas'.
    fn counters_folder(&self) -> PathBuf {
        let beside = self.replicas.first().and_then(|replica| replica.counters.parent());
        beside.map_or_else(|| PathBuf::from("/dev/shm"), Path::to_path_buf)
    }

    /// What the node of replica `id` needs to know.
    ///
    /// # Errors
    /// There is no such replica; the error names those that there are.
    pub fn node(&self, id: u32) -> Result<NodeSettings, Box<ConfigError>> {
        let replica = self.replica(id)?;
        let is_full = replica.role == Role::Full;
        // Where nobody else stores there is nobody else to ask.
        let alone = self.storing().count() + self.archivers.len() == 1;
        Ok(NodeSettings {
            segment_bytes: match replica.role {
                Role::Full => self.journal.segment_size_bytes,
                // It keeps a ring's worth, and segments go as a whole.
                Role::Witness => {
                    let quarter = (self.journal.tail_size_bytes / 4).max(SEGMENT_LEN_MIN);
                    self.journal.segment_size_bytes.min(quarter)
                }
            },
            retention: Retention {
                bytes_max: self.journal.retention_size_bytes.unwrap_or(0),
                age_ns_max: self.journal.retention_age_ns.unwrap_or(0),
            },
            journal: replica.journal.clone(),
            tail: replica.tail.clone(),
            counters: replica.counters.clone(),
            core: replica.core,
            replay: self.replay_settings(self.replay.by_leader || alone).filter(|_| is_full),
            ..self.any_node(id, (replica.unicast, replica.unicast_b), replica.transport)
        })
    }

    /// What the node of archiver `id` needs to know.
    ///
    /// # Errors
    /// There is no such archiver; the error names those that there are.
    pub fn archiver_node(&self, id: u32) -> Result<NodeSettings, Box<ConfigError>> {
        let archiver = self.archiver(id)?;
        Ok(NodeSettings {
            is_archiver: true,
            packs: archiver.compression == Compression::Lz4,
            retention: Retention {
                bytes_max: archiver.retention_size_bytes.unwrap_or(0),
                age_ns_max: archiver.retention_age_ns.unwrap_or(0),
            },
            journal: archiver.journal.clone(),
            tail: archiver.tail.clone(),
            counters: archiver.counters.clone(),
            core: archiver.core,
            ..self.any_node(id, (archiver.unicast, None), archiver.transport)
        })
    }

    /// What every node needs to know that answers at these addresses, one for each line, and has chosen its transport
    /// or not; with the files still to be named.
    fn any_node(
        &self,
        id: u32,
        (unicast, unicast_b): (SocketAddrV4, Option<SocketAddrV4>),
        chosen: Option<Transport>,
    ) -> NodeSettings {
        NodeSettings {
            replica: id,
            is_archiver: false,
            cluster: self.cluster,
            udp: self.udp(),
            transport: self.transport(0, chosen, true),
            second: self.second(unicast_b, chosen, true),
            rehearse: self.fault_injection(),
            memory: self.memory(),
            mtu: self.mtu(),
            unicast,
            peers: self.repairers().filter(|other| other.address != unicast).collect(),
            sources: self.sources().filter(|other| *other != unicast).collect(),
            replay: self.replay_settings(true),
            journal: PathBuf::new(),
            tail: PathBuf::new(),
            tail_bytes: self.journal.tail_size_bytes,
            segment_bytes: self.journal.segment_size_bytes,
            retention: Retention::default(),
            packs: false,
            flush_interval_ns: self.journal.flush_interval_ns,
            durability: match self.stream.durability {
                Durability::Process => commit::Durability::Process,
                Durability::Power => commit::Durability::Power,
            },
            window: Window { entries: self.stream.window_entries, bytes: self.stream.window_bytes as u32 },
            publishers_max: self.stream.publishers_max,
            beat: HeartbeatLimits {
                first_ns: self.timing.heartbeat_first_ns,
                interval_ns: self.timing.beat_ns,
            },
            failure_timeout_ns: self.timing.failure_timeout_ns,
            failure_timeout_ns_max: self.timing.failure_timeout_max_ns,
            nack: self.nack(),
            counters: PathBuf::new(),
            core: None,
            scheduling: match self.runtime.scheduling {
                Scheduling::Other => SchedulingClass::Other,
                Scheduling::Fifo(priority) => SchedulingClass::Fifo(priority),
            },
            lock_memory: self.runtime.mlock,
            timer_slack_ns: self.runtime.timer_slack_ns,
            idle: self.idle(),
        }
    }

    fn replay_settings(&self, by_leader: bool) -> Option<ReplaySettings> {
        (self.replay.readers_max > 0).then_some(ReplaySettings {
            readers_max: self.replay.readers_max as usize,
            rate_bytes_per_s: self.replay.rate_bytes_per_s,
            by_leader,
        })
    }

    /// Who has journals to be replayed, archivers first.
    fn sources(&self) -> impl Iterator<Item = SocketAddrV4> {
        let archivers = self.archivers.iter().map(|archiver| archiver.unicast);
        archivers.chain(self.storing().map(|replica| replica.unicast))
    }

    /// Who gives what it stores to whoever asks.
    fn repairers(&self) -> impl Iterator<Item = Repairer> {
        let archivers = self.archivers.iter().map(|archiver| Repairer::archiver(archiver.unicast));
        archivers.chain(self.storing().map(|replica| Repairer::replica(replica.id, replica.unicast)))
    }

    /// The replicas that do: a witness serves candidates alone.
    fn storing(&self) -> impl Iterator<Item = &ReplicaConfig> {
        self.replicas.iter().filter(|replica| replica.role == Role::Full)
    }

    fn mtu(&self) -> usize {
        self.lines.first().map_or(1500, |line| usize::from(line.mtu))
    }

    fn idle(&self) -> idle::Idle {
        match self.runtime.idle {
            Idle::Spin => idle::Idle::Spin,
            Idle::Yield => idle::Idle::Yield,
            Idle::Park => idle::Idle::Park,
        }
    }

    fn nack(&self) -> NackLimits {
        let by_unicast = self.lines.iter().any(|line| line.transport == Transport::Unicast);
        NackLimits {
            guard_ns: self.timing.nack_delay_ns,
            apart_ns: if by_unicast { APART_GUARDS * self.timing.nack_delay_ns } else { 0 },
            retry_ns_min: self.timing.nack_retry_min_ns,
            retry_ns_max: self.timing.nack_retry_max_ns,
        }
    }

    /// What is spoilt on purpose, if anything is.
    fn fault_injection(&self) -> Option<FaultSettings> {
        let rehearse = &self.rehearse;
        let settings = FaultSettings {
            loss_ppm: rehearse.loss_ppm,
            duplication_ppm: rehearse.duplication_ppm,
            reordering_ppm: rehearse.reordering_ppm,
            delay_ns: rehearse.delay_ns,
            seed: rehearse.seed,
            line: rehearse.line,
        };
        (!settings.is_off()).then_some(settings)
    }

    /// The device of the first line; which groups it joins is the node's business.
    fn udp(&self) -> UdpSettings {
        // The parser refuses a file without a line.
        self.udp_of(&self.lines[0])
    }

    fn memory(&self) -> MemorySharing {
        if self.network.shm { MemorySharing::Beside } else { MemorySharing::Off }
    }

    /// The second line, if there is one, for who answers there at `own` and has chosen its transport or not.
    fn second(
        &self,
        own: Option<SocketAddrV4>,
        chosen: Option<Transport>,
        is_node: bool,
    ) -> Option<SecondLine> {
        let line = self.lines.get(1)?;
        let nodes = self.replicas.iter().filter_map(|replica| Some((replica.unicast, replica.unicast_b?)));
        let unicast_port = own.map_or(0, |own| own.port());
        let udp = UdpSettings { unicast_port, ..self.udp_of(line) };
        Some(SecondLine { udp, transport: self.transport(1, chosen, is_node), nodes: nodes.collect() })
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

    /// How datagrams go on a line, counted from 0, for a node that may have chosen, or for a handle.
    fn transport(&self, place: usize, chosen: Option<Transport>, is_node: bool) -> TransportSettings {
        let line = &self.lines[place];
        match chosen.unwrap_or(line.transport) {
            Transport::Udp => TransportSettings::Udp,
            Transport::Xdp => TransportSettings::Xdp(xdp(line)),
            Transport::Unicast => TransportSettings::Unicast(self.fanout(place, is_node)),
            Transport::Auto => TransportSettings::Auto(self.auto(place, is_node)),
        }
    }

    /// Who is sent to on a line, counted from 0, without having joined: replicas hear everything. Archivers hear no
    /// submissions, and have no address on the second line: there they join.
    fn fanout(&self, place: usize, is_node: bool) -> FanoutSettings {
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
            cluster: self.cluster,
            nodes: replicas.chain(archivers).collect(),
            members_max: self.lines[place].fanout_members as usize,
            grants_leases: is_node,
        }
    }

    /// Whose multicast is listened for, and who is asked for leases instead: replicas. Archivers say nothing that
    /// has to be heard.
    fn auto(&self, place: usize, is_node: bool) -> AutoSettings {
        let mut fanout = self.fanout(place, is_node);
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
