//! How a node starts: it inspects its journal, obtains everything else that it needs, and uses the journal
//! last. If anything is missing, nothing by which a later start judges has changed.

use super::measures::NODE_ROWS;
use super::run::Node;
use super::{NodeError, NodeSettings};
use crate::io::journal_files::{self, OpenJournal};
use crate::io::journal_thread::{self, ThreadSettings, Waiting};
use crate::io::neighbour_watch::{NeighbourSettings, NeighbourWatch};
use crate::io::replay::{Fetch, ReplayCounts, ReplayServer, ServerSettings};
use crate::io::room::{ROOM_ROWS, RoomJudge, RoomWatch};
use crate::io::store::DirStore;
use lockstep_core::engine::counters::{Counter, CounterRow, Described};
use lockstep_core::engine::losses::Losses;
use lockstep_core::engine::ports::Group;
use lockstep_core::engine::receiver::ReceiverLimits;
use lockstep_core::engine::replay::ReplayLimits;
use lockstep_core::proto::commit::Durability;
use lockstep_core::proto::election::ElectionLimits;
use lockstep_core::proto::failure_detector::FailureDetectorLimits;
use lockstep_core::proto::presence::probe_period_ns;
use lockstep_core::proto::start::{self, StartRole};
use lockstep_io::clock::{Clock, random_u64};
use lockstep_io::counters::CountersFile;
use lockstep_io::device::{Device, DeviceSettings};
use lockstep_io::fanout::FanoutCounts;
use lockstep_io::fault_injection::FaultCounts;
use lockstep_io::host::lost_with_host;
use lockstep_io::idle::Waiter;
use lockstep_io::lines::LineCounts;
use lockstep_io::shm::ShmCounts;
use lockstep_io::udp::{UdpCounts, UdpSettings};
use lockstep_io::xdp::XdpCounts;
use lockstep_io::{Effective, IoError};
use lockstep_process::cpu;
use lockstep_process::watcher::Watcher;
use lockstep_replica::conditions::ConditionSet;
use lockstep_replica::journal::{Completeness, Inspection};
use lockstep_replica::replica::{
    ACK_REPEAT_HEARTBEATS, REPLICA_ROWS, Recovered, ReplicaEngine, ReplicaLimits,
};
use lockstep_wire::{AgreedOwner, Identity, Nanos, frame_len_max};
use std::io::ErrorKind;

/// The parts of a node beside its journal.
struct Resources {
    recovered: Recovered,
    limits: ReplicaLimits,
    net: Device,
    waiter: Waiter,
    counters: CountersFile,
    values_len: usize,
    side: Waiting<DirStore>,
    server: Option<ReplayServer>,
    fetch: Option<Fetch>,
    neighbours: Option<NeighbourWatch>,
    watcher: Option<Watcher>,
    effective: Vec<Effective>,
}

impl Node {
    /// Opens device, counters and journal, and binds the calling thread, which must call [`Node::run`], to
    /// its core. Nothing is sent yet.
    ///
    /// # Errors
    /// The part that cannot be opened, and the remedy; or why this replica must not start (S9, S12). The
    /// journal is unchanged.
    pub fn open(settings: &NodeSettings) -> Result<Self, NodeError> {
        Self::open_watched(settings, || Ok(None))
    }

    /// As [`open`](Self::open); `watch` starts the watcher of the calling thread, if there is to be one. The
    /// journal is marked as in use once the watcher waits.
    ///
    /// # Errors
    /// As [`Node::open`], and those of `watch`.
    pub fn open_watched<E: From<NodeError>>(
        settings: &NodeSettings,
        watch: impl FnOnce() -> Result<Option<Watcher>, E>,
    ) -> Result<Self, E> {
        let clock = Clock::start();
        let inspected = journal_files::look(&settings.journal_config()).map_err(NodeError::from)?;
        let identity = inspected.inspected.superblock().identity;
        let started = inspected.start(|inspected| {
            judge(settings, inspected)?;
            let outside = Resources::acquire(settings, inspected, &clock)?;
            let watcher = watch().map_err(StartFailed::Watch)?;
            Ok::<_, StartFailed<E>>(Resources { watcher, ..outside })
        });
        let (journal, outside) = started.map_err(|failed| match failed {
            StartFailed::Node(error) => error.into(),
            StartFailed::Watch(error) => error,
        })?;
        let OpenJournal { opened, reader, store, lock, remarks } = journal;
        let Resources { net, recovered, limits, waiter, counters, server, fetch, .. } = outside;
        let (watcher, neighbours) = (outside.watcher, outside.neighbours);
        let mut effective = outside.effective;
        effective.extend(remarks.into_iter().map(|remark| Effective::granted("journal", remark)));
        let side = outside.side.begin(store, reader, opened.writer, opened.superblock);
        side.set_lineage(recovered.lineage);
        let directory = settings.journal.display();
        let mut replica = ReplicaEngine::new(net, opened.tail, recovered, limits)
            .map_err(|why| NodeError::Refused(format!("journal {directory}: {why}")))?;
        replica.core.losses.measure();
        effective.extend(configure_thread(settings));
        let values = Vec::with_capacity(outside.values_len);
        let mut node = Self::new(
            (identity, settings.durability == Durability::Power),
            (replica, side, lock),
            (clock, waiter),
            (counters, values),
            (server, fetch, neighbours),
            effective,
        );
        if let Some(watcher) = watcher {
            node.watched_by(watcher);
        }
        Ok(node)
    }
}

/// Why a start did not reach the journal.
enum StartFailed<E> {
    Node(NodeError),
    Watch(E),
}

impl<E, N: Into<NodeError>> From<N> for StartFailed<E> {
    fn from(error: N) -> Self {
        Self::Node(error.into())
    }
}

/// Whether this node may run on the content of its journal.
fn judge(settings: &NodeSettings, inspected: &Inspection) -> Result<(), NodeError> {
    let directory = settings.journal.display();
    if let Some(damage) = inspected.damage().first() {
        return Err(NodeError::Unproven { why: format!("journal {directory}: {damage}"), remedy: "" });
    }
    if let Completeness::Incomplete(why) = inspected.completeness() {
        let why = format!(
            "journal {directory}: {why}; a replica that may have forgotten what it acknowledged must not vote under its old \
             identity"
        );
        let remedy = ": bring back what is missing, or format a new journal and let the cluster replace the member; \
                      nothing was changed";
        return Err(NodeError::Unproven { why, remedy });
    }
    let (identity, checkpoint) = (inspected.superblock().identity, inspected.checkpoint());
    if settings.is_archiver && checkpoint.members.iter().any(|member| member.identity() == identity) {
        return Err(NodeError::Refused(format!(
            "journal {directory}: the membership lists {identity}, and an archiver is never a member: take it \
             out with `lockstep membership remove {identity}`, and give the archiver a journal of its own"
        )));
    }
    Ok(())
}

impl Resources {
    fn acquire(settings: &NodeSettings, inspected: &Inspection, clock: &Clock) -> Result<Self, NodeError> {
        let identity = inspected.superblock().identity;
        let recovered = Recovered::of_inspection(inspected, settings.publishers_max);
        let before = recovered.open_change.as_ref().map(|(_, before)| before);
        let (end, promised) = (inspected.end(), inspected.promised());
        let role = start::role(identity, &end, &recovered.membership, before, promised);
        let net = open_device(settings, matches!(role, StartRole::Lead(_)))?;
        let mut effective = net.effective();
        let power = settings.durability == Durability::Power;
        if let Some(why) = lost_with_host(&settings.journal).filter(|_| power) {
            let note = format!(
                "{why}: what is acknowledged is lost with this host, as with \"process\"; put the journal on a disk"
            );
            effective.push(Effective::short("durability", "power", "process", note));
        }
        let usual = ThreadSettings {
            retention: settings.retention,
            packs: settings.packs,
            ..ThreadSettings::new(power)
        };
        let thread = ThreadSettings { idle_ns: settings.flush_interval_ns.unwrap_or(usual.idle_ns), ..usual };
        let side = journal_thread::prepare(thread)?;
        let (server, served) = start_server(settings, identity, &side);
        effective.extend(served);
        let replay = ReplayLimits::new(settings.keys.clone(), identity, settings.sources.clone());
        let side = watch_room(settings, side.mended_from(replay.clone()), &mut effective);
        let fetch = (!settings.sources.is_empty()).then(|| Fetch::start(replay)).transpose()?;
        let waiter = settings.idle.waiter(&net.sockets())?;
        let limits = replica_limits(settings, identity, clock.wall(clock.now()))?;
        let rows = counters();
        let values_len = rows.iter().map(|row| row.kind.values()).sum();
        let (cluster, replica) = (settings.keys.cluster().to_string(), settings.replica.to_string());
        let labels = [
            ("cluster", cluster.as_str()),
            ("kind", if settings.is_archiver { "archiver" } else { "replica" }),
            ("number", &replica),
            ("release", env!("CARGO_PKG_VERSION")),
        ];
        let counters = CountersFile::create(&settings.counters, &labels, &rows)?;
        let (neighbours, asked) = watch_neighbours(settings);
        effective.extend(asked);
        let watcher = None;
        Ok(Self {
            recovered,
            limits,
            net,
            waiter,
            counters,
            values_len,
            side,
            server,
            fetch,
            neighbours,
            watcher,
            effective,
        })
    }
}

/// The groups of a node's counters, each with the label of its rows, in the order in which it publishes them;
/// losses and conditions follow.
const COUNTER_GROUPS: [(&str, &[CounterRow]); 12] = [
    ("", &REPLICA_ROWS),
    ("", &NODE_ROWS),
    ("", &ROOM_ROWS),
    ("", Counter::ROWS),
    ("", UdpCounts::ROWS),
    ("", FaultCounts::ROWS),
    ("line=\"a\"", LineCounts::ROWS),
    ("line=\"b\"", LineCounts::ROWS),
    ("", ShmCounts::ROWS),
    ("", XdpCounts::ROWS),
    ("", FanoutCounts::ROWS),
    ("", ReplayCounts::ROWS),
];

/// A node's counters, in the order in which it publishes them.
pub fn counters() -> Vec<Described> {
    let rows = COUNTER_GROUPS.iter().flat_map(|(label, rows)| rows.iter().map(|row| row.labelled(label)));
    rows.chain(Losses::rows()).chain(ConditionSet::counters()).collect()
}

/// Watches the room of the journal. If that is impossible, the node starts without it.
fn watch_room(
    settings: &NodeSettings,
    side: Waiting<DirStore>,
    effective: &mut Vec<Effective>,
) -> Waiting<DirStore> {
    let judge = RoomJudge::new(settings.segment_bytes, settings.retention);
    match RoomWatch::open(&settings.journal, &settings.tail, judge) {
        Ok(room) => side.watching(room),
        Err(error) => {
            let note = format!("{error}; there is no warning before the disk is full");
            effective.push(Effective::short("room", "watched", "not watched", note));
            side
        }
    }
}

/// Asks the other nodes all the time. If that is impossible, the node starts without it.
fn watch_neighbours(settings: &NodeSettings) -> (Option<NeighbourWatch>, Option<Effective>) {
    if settings.neighbours.is_empty() {
        return (None, None);
    }
    let wanted = NeighbourSettings {
        keys: settings.keys.clone(),
        own: AgreedOwner { number: settings.replica, is_archiver: settings.is_archiver },
        unicast: settings.unicast,
        agreed: settings.agreed.clone(),
        mtu: settings.mtu,
        neighbours: settings.neighbours.clone(),
    };
    match NeighbourWatch::start(wanted) {
        Ok(watch) => (Some(watch), None),
        Err(error) => {
            let note = format!("{error}; only `lockstep status` reports files that differ");
            (None, Some(Effective::short("neighbours", "asked", "not asked", note)))
        }
    }
}

/// Begins to serve this journal to readers. A port that is in use does not stop the node: others serve.
fn start_server(
    settings: &NodeSettings,
    identity: Identity,
    side: &Waiting<DirStore>,
) -> (Option<ReplayServer>, Option<Effective>) {
    let Some(replay) = &settings.replay else { return (None, None) };
    let wanted = ServerSettings {
        keys: settings.keys.clone(),
        identity,
        listen: settings.unicast,
        journal: settings.journal.clone(),
        readers_max: replay.readers_max,
        readers_per_address: replay.readers_per_address,
        allow: replay.allow.clone(),
        rate_bytes_per_s: replay.rate_bytes_per_s,
        by_leader: replay.by_leader,
    };
    match ReplayServer::start(wanted, side.written()) {
        Ok(server) => {
            let listens = Effective::granted("replay", format!("tcp {}", server.address()));
            (Some(server), Some(listens))
        }
        Err(error) => {
            let note = format!("{error}; this journal is not replayed, others are asked");
            (None, Some(Effective::short("replay", format!("tcp {}", settings.unicast), "nothing", note)))
        }
    }
}

/// A leader does not join `data`: it would receive its own datagrams there.
fn open_device(settings: &NodeSettings, leads: bool) -> Result<Device, NodeError> {
    let joins = if leads {
        vec![Group::Submit, Group::Control]
    } else {
        vec![Group::Submit, Group::Data, Group::Control]
    };
    let interface = settings.udp.interface.clone().at(*settings.unicast.ip());
    let udp = UdpSettings { interface, joins, unicast_port: settings.unicast.port(), ..settings.udp.clone() };
    let (second, fault_injection, memory) =
        (settings.second.clone(), settings.fault_injection, settings.memory);
    let transport = settings.transport.clone();
    let interface = udp.interface.clone();
    let device = Device::open(DeviceSettings { udp, transport, second, fault_injection, memory })?;
    let (own, wanted) = (*device.unicast_address().ip(), *settings.unicast.ip());
    if own != wanted {
        // The interface is configured by another address: a node at this address would receive no answer.
        let doing = format!("bind the unicast address {} on interface {interface}", settings.unicast);
        let why = format!(
            "the interface is configured by its address {own}: write that one as `unicast` in the file of all nodes, \
             or name the interface by its name or by {wanted}"
        );
        return Err(IoError::because(doing, ErrorKind::AddrNotAvailable, why).into());
    }
    Ok(device)
}

fn replica_limits(settings: &NodeSettings, me: Identity, born: Nanos) -> Result<ReplicaLimits, NodeError> {
    let usual = ReplicaLimits::default();
    Ok(ReplicaLimits {
        is_archiver: settings.is_archiver,
        receiver: ReceiverLimits {
            keys: settings.keys.clone(),
            me,
            repairers: settings.peers.clone(),
            nack: settings.nack,
            frame_len_max: frame_len_max(settings.mtu),
            ..usual.receiver
        },
        heartbeat: settings.heartbeat,
        window: settings.window,
        durability: settings.durability,
        publishers_max: settings.publishers_max,
        ack_again_ns: ACK_REPEAT_HEARTBEATS * settings.heartbeat.interval_ns,
        process_nonce: random_u64()?,
        started_at: born,
        identity_probe_ns: probe_period_ns(settings.failure_timeout_ns),
        failure_detector: FailureDetectorLimits {
            heartbeat_interval_ns: settings.heartbeat.interval_ns,
            timeout_ns: settings.failure_timeout_ns,
            timeout_ns_max: settings.failure_timeout_ns_max,
        },
        election: ElectionLimits::of(settings.heartbeat.interval_ns, settings.failure_timeout_ns),
        // The kernel grants twice the requested bytes.
        pending_submission_bytes: 4 * settings.udp.receive_buffer_bytes,
        secret_seed: random_seed()?,
        agreed: settings.agreed.clone(),
        ..usual
    })
}

/// The seed of the secrets of this process's epochs.
fn random_seed() -> Result<[u8; 32], NodeError> {
    let mut seed = [0; 32];
    for word in seed.chunks_exact_mut(8) {
        word.copy_from_slice(&random_u64()?.to_le_bytes());
    }
    Ok(seed)
}

/// Core, scheduling class, memory and timers of the calling thread, each with the value in effect.
fn configure_thread(settings: &NodeSettings) -> Vec<Effective> {
    let mut effective = vec![cpu::timer_slack(settings.timer_slack_ns), cpu::schedule(settings.scheduling)];
    if settings.scheduling == cpu::SchedulingClass::Other {
        effective.push(cpu::short_slice());
    }
    if let Some(core) = settings.core {
        effective.push(cpu::pin(core));
    }
    if settings.lock_memory {
        effective.push(cpu::lock_memory());
    }
    effective.push(Effective::granted("idle", settings.idle));
    effective
}
