//! What the file means for each room: the one place that turns its values into their limits.

use super::{Config, ConfigError, Durability, Gso, Idle, Interface, Line, Role, Scheduling};
use crate::client::Endpoint;
use crate::io::cpu::SchedulingClass;
use crate::io::device::SecondLine;
use crate::io::rehearse::RehearsalSettings;
use crate::io::udp::UdpSettings;
use crate::io::{idle, udp};
use crate::journal::{Retention, SEGMENT_LEN_MIN};
use crate::node::NodeSettings;
use crate::proto::beat::BeatLimits;
use crate::proto::commit;
use crate::proto::nack::NackLimits;
use crate::proto::repairers::Repairer;
use crate::proto::window::Window;
use std::net::SocketAddrV4;

impl Config {
    /// What a publisher or subscriber needs to know.
    pub fn endpoint(&self) -> Endpoint {
        Endpoint {
            cluster: self.cluster,
            udp: self.udp(),
            second: self.second(None),
            rehearse: self.rehearsal(),
            mtu: self.mtu(),
            replicas: self.replicas.iter().map(|replica| replica.unicast).collect(),
            repairers: self.repairers().collect(),
            nack: self.nack(),
            subscriber_buffer_bytes: self.subscriber.buffer_bytes as usize,
            subscriber_parts_bytes: self.subscriber.parts_bytes as usize,
            message_len_max: self.stream.message_len_max as usize,
            window_entries: self.publisher.window_entries,
            publisher_buffer_bytes: self.publisher.buffer_bytes as usize,
            resend_ns_min: self.timing.resend_min_ns,
            resend_ns_max: self.timing.resend_max_ns,
            idle: self.idle(),
        }
    }

    /// What the node of replica `id` needs to know.
    ///
    /// # Errors
    /// There is no such replica; the error names those that there are.
    pub fn node(&self, id: u32) -> Result<NodeSettings, Box<ConfigError>> {
        let replica = self.replica(id)?;
        Ok(NodeSettings {
            replica: id,
            cluster: self.cluster,
            udp: self.udp(),
            second: self.second(replica.unicast_b),
            rehearse: self.rehearsal(),
            mtu: self.mtu(),
            unicast: replica.unicast,
            peers: self.repairers().filter(|other| other.replica != id).collect(),
            journal: replica.journal.clone(),
            tail: replica.tail.clone(),
            tail_bytes: self.journal.tail_size_bytes,
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
            flush_interval_ns: self.journal.flush_interval_ns,
            durability: match self.stream.durability {
                Durability::Process => commit::Durability::Process,
                Durability::Power => commit::Durability::Power,
            },
            window: Window { entries: self.stream.window_entries, bytes: self.stream.window_bytes as u32 },
            publishers_max: self.stream.publishers_max,
            beat: BeatLimits { first_ns: self.timing.heartbeat_first_ns, beat_ns: self.timing.beat_ns },
            suspect_ns: self.timing.suspect_ns,
            suspect_ns_max: self.timing.suspect_max_ns,
            nack: self.nack(),
            counters: replica.counters.clone(),
            core: replica.core,
            scheduling: match self.runtime.scheduling {
                Scheduling::Other => SchedulingClass::Other,
                Scheduling::Fifo(priority) => SchedulingClass::Fifo(priority),
            },
            lock_memory: self.runtime.mlock,
            timer_slack_ns: self.runtime.timer_slack_ns,
            idle: self.idle(),
        })
    }

    /// Who gives what it stores to whoever asks: a witness serves candidates alone.
    fn repairers(&self) -> impl Iterator<Item = Repairer> {
        let storing = self.replicas.iter().filter(|replica| replica.role == Role::Full);
        storing.map(|replica| Repairer::replica(replica.id, replica.unicast))
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
        NackLimits {
            guard_ns: self.timing.nack_delay_ns,
            retry_ns_min: self.timing.nack_retry_min_ns,
            retry_ns_max: self.timing.nack_retry_max_ns,
        }
    }

    /// What is spoilt on purpose, if anything is.
    fn rehearsal(&self) -> Option<RehearsalSettings> {
        let rehearse = &self.rehearse;
        let settings = RehearsalSettings {
            loss_ppm: rehearse.loss_ppm,
            duplication_ppm: rehearse.duplication_ppm,
            reordering_ppm: rehearse.reordering_ppm,
            delay_ns: rehearse.delay_ns,
            seed: rehearse.seed,
            line: rehearse.line,
        };
        (!settings.is_calm()).then_some(settings)
    }

    /// The device of the first line; which groups it joins is the node's business.
    fn udp(&self) -> UdpSettings {
        // The parser refuses a file without a line.
        self.udp_of(&self.lines[0])
    }

    /// The second line, if there is one, for who answers there at `own`.
    fn second(&self, own: Option<SocketAddrV4>) -> Option<SecondLine> {
        let line = self.lines.get(1)?;
        let nodes = self.replicas.iter().filter_map(|replica| Some((replica.unicast, replica.unicast_b?)));
        let unicast_port = own.map_or(0, |own| own.port());
        Some(SecondLine { udp: UdpSettings { unicast_port, ..self.udp_of(line) }, nodes: nodes.collect() })
    }

    fn udp_of(&self, line: &Line) -> UdpSettings {
        let interface = match &line.interface {
            Interface::Address(address) => udp::Interface::Address(*address),
            Interface::Name(name) => udp::Interface::Name(name.clone()),
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
}
