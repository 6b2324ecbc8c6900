//! Every key of the file: where it stands in the [`Config`](super::Config), what it takes, its default, what
//! it means.
//!
//! The one table from which files are read, flags and variables are named, defaults are taken, the structs
//! are built and the reference in `docs/CONFIGURATION.md` is printed, so that none of them can forget a key.
//! In a path `*` stands for a line's number, or the id of a replica, an archiver or a channel.

use super::build::Values;
use super::change::ChangeNeed::{self, *};
use super::choices::{
    Compression, Delivery, Durability, Gso, HostNames, Idle, InterfaceSetting, LogFormat, LogLevel, Profile,
    Rejoin, Role, Scheduling as SchedulingClass, SecurityMode, Transport, XdpMode,
};
use super::schema::Preset::{self, *};
use super::schema::{CHANNEL_MAX, GIB, KIB, Key, MIB, MS, MTU_MAX, MTU_MIN, REPLICA_ID_MAX, S, TIB, US};
use super::set_stream::SetStream;
use super::value::Kind::{self, *};
use lockstep_core::engine::networks::Networks as NetworkList;
use lockstep_wire::SET_NAMES;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::PathBuf;

/// Declares the structs of tables: one line for each field, with its type and the name, kind, default and
/// meaning of its key, and what its change needs.
macro_rules! tables {
    ($(
        $(#[$attribute:meta])*
        pub struct $name:ident in $table:literal {
            $($field:ident: $type:ty = $key:literal, $kind:expr, $preset:expr, $need:expr, $meaning:literal;)*
        }
    )*) => { $(
        $(#[$attribute])*
        #[derive(Clone, PartialEq, Eq, Debug)]
        #[non_exhaustive]
        pub struct $name { $(#[doc = $meaning] pub $field: $type,)* }

        impl $name {
            pub(super) const KEYS: &'static [Key] =
                &[$(key(concat!($table, ".", $key), $kind, $preset, $need, $meaning),)*];

            /// From the checked values of one table or item.
            pub(super) fn build(values: &Values<'_, '_>) -> Self {
                Self { $($field: values.get($key),)* }
            }
        }
    )* };
}

const fn key(path: &'static str, kind: Kind, preset: Preset, need: ChangeNeed, meaning: &'static str) -> Key {
    Key { path, kind, preset, need, meaning }
}

/// The keys outside all tables.
#[rustfmt::skip]
pub(super) const TOP_KEYS: &[Key] = &[
    key("cluster", Integer(1, i64::MAX as u64), Required, Command("lockstep format and bootstrap: it is another cluster"),
        "Number of this cluster, in every datagram: two clusters that share a network differ here."),
    key("profile", Word(Profile::WORDS), Required, Nothing,
        "The kind of machines; determines defaults, and what is refused."),
];

/// The keys of each table, in the order in which they are printed.
pub(super) const TABLES: &[&[Key]] = &[
    TOP_KEYS,
    LineConfig::KEYS,
    NetworkConfig::KEYS,
    SecurityConfig::KEYS,
    ReplicaConfig::KEYS,
    Archiver::KEYS,
    Channel::KEYS,
    SetTable::KEYS,
    CoordinatorConfig::KEYS,
    StreamConfig::KEYS,
    TimingConfig::KEYS,
    JournalSection::KEYS,
    ReplayConfig::KEYS,
    PublisherConfig::KEYS,
    SubscriberConfig::KEYS,
    GatewayConfig::KEYS,
    FeedConfig::KEYS,
    RuntimeConfig::KEYS,
    FaultInjection::KEYS,
    LogConfig::KEYS,
    MetricsConfig::KEYS,
];

tables! {
    /// One network.
    pub struct LineConfig in "lines.*" {
        submit: SocketAddrV4 = "submit", Group, Required, Stop,
            "Group of submissions, publishers to replicas.";
        data: SocketAddrV4 = "data", Group, Required, Stop,
            "Group of frames and heartbeats, leader to all. Same port as `submit`.";
        control: SocketAddrV4 = "control", Group, Required, Stop,
            "Group of acknowledgements, replicas to all. Same port as `submit`.";
        interface: InterfaceSetting = "interface", Interface, Required, Rolling,
            "Network interface of all groups. A name can be the same on every machine.";
        ttl: u8 = "ttl", Integer(0, 255), Fixed("1"), Rolling,
            "Routers that a datagram may pass, plus one; 0 never leaves the host.";
        mtu: u16 = "mtu", Integer(MTU_MIN, MTU_MAX), Fixed("1500"), Stop,
            "Bytes of the largest IP packet. Datagrams are built to fit and never fragmented.";
        receive_buffer_bytes: u64 = "receive_buffer", Size(64 * KIB, GIB), Fixed("4MiB"), Rolling,
            "Kernel memory of each receiving socket; a burst beyond it is lost.";
        send_buffer_bytes: u64 = "send_buffer", Size(64 * KIB, GIB), Fixed("4MiB"), Rolling,
            "Kernel memory of each sending socket.";
        busy_poll_ns: u64 = "busy_poll", Duration(0, 10 * MS), Fixed("0us"), Rolling,
            "How long a receive call polls the device itself, in whole microseconds; 0us is off.";
        gso: Gso = "gso", Word(Gso::WORDS), Fixed("auto"), Rolling,
            "Whether bursts leave as one segmented send.";
        transport: Transport = "transport", Word(Transport::WORDS), Fixed("udp"), Transport,
            "How datagrams are sent: by the kernel's sockets, past them by AF_XDP, by unicast to each node if there is no multicast, or by the best that works. Either all nodes use unicast or none; otherwise they may differ.";
        fanout_members: u32 = "fanout_members", Integer(1, 4096), Fixed("256"), Rolling,
            "With `unicast` and `auto`: most members that a node sends to beside those of this file. Each costs the leader a send for each datagram.";
        xdp_mode: XdpMode = "xdp_mode", Word(XdpMode::WORDS), Fixed("auto"), Rolling,
            "How xdp uses the card: by the best available mode, or by this one only.";
        xdp_queue: Option<u32> = "xdp_queue", Integer(0, 1023), Absent("all"), Rolling,
            "The only queue of the card that xdp uses; datagrams of the other queues arrive by the kernel, later.";
    }

    /// What all lines have in common.
    pub struct NetworkConfig in "network" {
        shm: bool = "shm", Bool, Fixed("false"), ByHost,
            "Whether the processes of one host exchange datagrams by memory, and others by the network: the same on all of a host's.";
        interface_wait_ns: Option<u64> = "interface_wait", Duration(0, 24 * 3600 * S), Absent("for ever under a service manager, else 15s"), Rolling,
            "How long a daemon that starts waits for an interface or an own address that is missing, down or without address.";
    }

    /// The proof of each datagram's sender.
    pub struct SecurityConfig in "security" {
        mode: SecurityMode = "mode", Word(SecurityMode::WORDS), Fixed("keys"), Stop,
            "Whether datagrams are authenticated: `keys`, or `none` on a trusted network. The same for all processes; production refuses `none`.";
        keys: PathBuf = "keys", Path, Fixed("/etc/lockstep/keys"), Rolling,
            "Directory of this host's key files: `replica.keys`, `publisher.keys`, `reader.keys`, each its user's alone.";
    }

    /// One replica.
    pub struct ReplicaConfig in "replicas.*" {
        id: u32 = "id", Integer(1, REPLICA_ID_MAX), Required, Command("lockstep membership add, or remove"),
            "Number of the replica; its name in flags, logs and datagrams.";
        unicast: SocketAddrV4 = "unicast", Unicast, Required, Command("lockstep membership replace"),
            "Address for repairs and questions. Its port differs from the groups'.";
        unicast_b: Option<SocketAddrV4> = "unicast_b", Unicast, Absent("none"), Rolling,
            "Address on the second line, if there is one: questions and repairs then survive the loss of the first.";
        role: Role = "role", Word(Role::WORDS), Fixed("full"), Command("lockstep membership remove, then add"),
            "What `bootstrap` lists the replica as: `full` may lead, `witness` votes and never leads.";
        journal: PathBuf = "journal", Path, Required, Restart,
            "Directory of the segments, on a disk.";
        tail: PathBuf = "tail", Path, Derived("/dev/shm/lockstep-CLUSTER-ID.tail"), Restart,
            "File of the newest frames, on a tmpfs or hugetlbfs.";
        core: Option<usize> = "core", Integer(0, 4095), Absent("not pinned"), Restart,
            "Core that the replica's pinned thread has for itself.";
        transport: Option<Transport> = "transport", Word(Transport::WORDS), Absent("the line's"), Transport,
            "As `lines.*.transport`, for this replica on each of its lines.";
        counters: PathBuf = "counters", Path, Derived("/dev/shm/lockstep-CLUSTER-ID.counters"), Restart,
            "File of the counters, on a tmpfs.";
    }

    /// One archiver: it keeps the stream, repairs and replays it, and is never a member.
    pub struct Archiver in "archivers.*" {
        id: u32 = "id", Integer(1, REPLICA_ID_MAX), Required, Restart,
            "Number of the archiver, in the range of the replicas' numbers and different from them. It is never a member.";
        unicast: SocketAddrV4 = "unicast", Unicast, Required, Rolling,
            "Address for repairs, questions and replays. Its port differs from the groups'.";
        journal: PathBuf = "journal", Path, Required, Restart,
            "Directory of the segments, on a disk.";
        tail: PathBuf = "tail", Path, Derived("/dev/shm/lockstep-CLUSTER-ID.tail"), Restart,
            "File of the newest frames, on a tmpfs or hugetlbfs.";
        core: Option<usize> = "core", Integer(0, 4095), Absent("not pinned"), Restart,
            "Core that the archiver's pinned thread has for itself.";
        transport: Option<Transport> = "transport", Word(Transport::WORDS), Absent("the line's"), Transport,
            "As `lines.*.transport`, for this archiver on each of its lines.";
        counters: PathBuf = "counters", Path, Derived("/dev/shm/lockstep-CLUSTER-ID.counters"), Restart,
            "File of the counters, on a tmpfs.";
        retention_size_bytes: Option<u64> = "retention_size", Size(MIB, 1024 * TIB), Absent("keep all"), Restart,
            "The oldest segments are removed when all together are larger than this; as `journal.retention_size`, for this archiver.";
        retention_age_ns: Option<u64> = "retention_age", Duration(60 * S, 36_500 * 86_400 * S), Absent("keep all"), Restart,
            "Segments older than this are removed; as `journal.retention_age`, for this archiver.";
        compression: Compression = "compression", Word(Compression::WORDS), Fixed("none"), Restart,
            "How sealed segments are kept: `none` replays without a copy, `lz4` takes a third to a half of the room.";
    }

    /// A destination that feeds carry: what is published for it fits their datagrams.
    pub struct Channel in "channels.*" {
        id: u32 = "id", Integer(0, CHANNEL_MAX), Required, Restart,
            "Number of a channel, as `channel:NUMBER` names it. Its destination is 2^31 more. Feeds carry it.";
        message_len_max: u32 = "message_len_max", Integer(1, 65_536), Derived("what a feed's datagram takes: `mtu` - 50"), Restart,
            "Bytes of the largest message for it; a longer one is refused by its publisher. At most `stream.message_len_max`.";
    }

    /// What concerns all streams of a set.
    pub struct SetTable in "set" {
        cut_interval_ns: u64 = "cut_interval", Duration(0, 10 * MS), Derived("50us in a set"), Restart,
            "Least time between two cuts of the home stream, and so what the merged order waits under load; each cut costs an entry.";
    }

    /// A coordinator of a set.
    pub struct CoordinatorConfig in "coordinators.*" {
        id: u32 = "id", Integer(1, REPLICA_ID_MAX), Required, Restart,
            "Number of the coordinator.";
        host: Ipv4Addr = "host", Host, Required, Restart,
            "Address of the host that it runs on. The coordinator beside the leader of the home stream writes the cuts, and the others take its place.";
        core: Option<usize> = "core", Integer(0, 4095), Absent("not pinned"), Restart,
            "Core that the coordinator's thread has for itself, where it waits as `runtime.idle` says. One that is not pinned sleeps while nothing arrives.";
    }

    /// The promises about the stream.
    pub struct StreamConfig in "stream" {
        durability: Durability = "durability", Word(Durability::WORDS), Fixed("process"), Rolling,
            "What an acknowledgement means: in memory that survives the process, or on the device.";
        window_entries: u32 = "window_entries", Integer(16, 1 << 24), Fixed("65536"), Rolling,
            "Entries that may be uncommitted before the leader accepts no more.";
        window_bytes: u64 = "window_bytes", Size(64 * KIB, 16 * GIB), Fixed("16MiB"), Rolling,
            "Bytes that may be uncommitted before the leader accepts no more; at most `journal.tail_size` / 4.";
        publishers_max: u32 = "publishers_max", Integer(1, 1_000_000), Fixed("100000"), Rolling,
            "Most publishers in the life of the stream; their table is allocated at start.";
        message_len_max: u32 = "message_len_max", Integer(1, 65_536), Derived("what a publisher holds, at most 65536"), Rolling,
            "Bytes of the largest message. What one frame does not hold (1296 at mtu 1500, 8792 at 9000) goes out in parts.";
    }

    /// Times of the protocol, all in nanoseconds.
    pub struct TimingConfig in "timing" {
        heartbeat_interval_ns: u64 = "heartbeat_interval", Duration(100 * US, S), Fixed("1ms"), Rolling,
            "Time between heartbeats of an idle leader.";
        failure_timeout_ns: u64 = "failure_timeout", Duration(MS, 60 * S), Fixed("7ms"), Rolling,
            "Silence after which standbys ask each other whether the leader is gone; at least three heartbeat intervals.";
        failure_timeout_max_ns: u64 = "failure_timeout_max", Duration(MS, 60 * S), Fixed("64ms"), Rolling,
            "Each false suspicion doubles `timing.failure_timeout` up to this; calm shrinks it again.";
        heartbeat_first_ns: u64 = "heartbeat_first", Duration(10 * US, 100 * MS), Fixed("70us"), Rolling,
            "First heartbeat after a datagram; the next follow after 2, 4 … times as long, up to `timing.heartbeat_interval`.";
        nack_delay_ns: u64 = "nack_delay", Duration(0, 10 * MS), Fixed("20us"), Rolling,
            "How long a gap is taken for reordering before a repair is requested.";
        nack_retry_min_ns: u64 = "nack_retry_min", Duration(50 * US, S), Fixed("150us"), Rolling,
            "Shortest wait for a repair before asking again; doubles.";
        nack_retry_max_ns: u64 = "nack_retry_max", Duration(100 * US, 10 * S), Fixed("5ms"), Rolling,
            "Longest wait for a repair before asking again.";
        resend_min_ns: u64 = "resend_min", Duration(100 * US, S), Fixed("1ms"), Restart,
            "Shortest wait for a commit before a submission is sent again; adapts and doubles.";
        resend_max_ns: u64 = "resend_max", Duration(MS, 60 * S), Fixed("100ms"), Restart,
            "Longest wait before a submission is sent again.";
    }

    /// Sizes and times of the journal.
    pub struct JournalSection in "journal" {
        tail_size_bytes: u64 = "tail_size", Size(MIB, TIB), Fixed("256MiB"), Rolling,
            "Memory of the newest frames, and so the window of repairs; a multiple of 4KiB.";
        segment_size_bytes: u64 = "segment_size", Size(MIB, 16 * GIB), Fixed("64MiB"), Rolling,
            "Bytes of one segment file; a multiple of 4KiB.";
        retention_size_bytes: Option<u64> = "retention_size", Size(MIB, 1024 * TIB), Absent("keep all"), Rolling,
            "The oldest segments are removed when all together are larger than this; never those of the newest frame's UTC day, and those of the newest trading day only when all are larger than twice this.";
        retention_age_ns: Option<u64> = "retention_age", Duration(60 * S, 36_500 * 86_400 * S), Absent("keep all"), Rolling,
            "Segments older than this are removed; never those of the newest frame's UTC day, and those of the newest trading day only at twice this age.";
        flush_interval_ns: Option<u64> = "flush_interval", Duration(10 * US, S), Absent("20ms with durability process, 20us with power"), Rolling,
            "Longest time that the side thread gathers frames for one write; less where the tail would fill.";
        rejoin: Rejoin = "rejoin", Word(Rejoin::WORDS), Fixed("auto"), Rolling,
            "What a replica does if its journal cannot prove that it holds all that was acknowledged: with `auto` it lays the journal aside and takes its former place under a new identity, if a quorum runs; with `ask` it ends and leaves that to an operator.";
    }

    /// How journals are replayed to readers.
    pub struct ReplayConfig in "replay" {
        readers_max: u32 = "readers", Integer(0, 1024), Fixed("32"), Rolling,
            "Readers of a journal over TCP at a time, at the port number of `unicast`; with 0 no reader is served.";
        readers_per_address: Option<u32> = "readers_per_address", Integer(1, 1024), Absent("an eighth of readers"), Rolling,
            "Most connections of one address that have not sent a request yet.";
        rate_bytes_per_s: u64 = "rate", Size(MIB, TIB), Fixed("256MiB"), Rolling,
            "Bytes per second for all readers of a journal together while the stream moves; without limit while it stands still.";
        by_leader: bool = "by_leader", Bool, ByProfile("false", "true"), Rolling,
            "Whether a replica serves readers of its journal while it leads. The only replica of a cluster does.";
        allow: Option<NetworkList> = "allow", Networks, Absent("everybody"), Rolling,
            "Networks whose addresses may read journals over TCP, replicas and archivers among them; others are closed before anything is answered.";
    }

    /// Limits of a publisher.
    pub struct PublisherConfig in "publisher" {
        window_entries: u32 = "window", Integer(1, 1 << 24), Fixed("1024"), Restart,
            "Entries that one publisher may have uncommitted; at most `stream.window_entries`.";
        buffer_bytes: u64 = "buffer", Size(64 * KIB, 16 * GIB), Fixed("1MiB"), Restart,
            "Memory of a publisher's uncommitted messages, kept for resending.";
    }

    /// Limits of a subscriber.
    pub struct SubscriberConfig in "subscriber" {
        buffer_bytes: u64 = "buffer", Size(64 * KIB, 16 * GIB), Fixed("8MiB"), Restart,
            "Memory of frames that a subscriber holds behind a gap or before they are committed.";
        parts_bytes: u64 = "parts", Size(64 * KIB, 16 * GIB), Fixed("16MiB"), Restart,
            "Memory of messages larger than a frame that is kept for later ones, once it was needed. Unfinished messages take 64 MiB at most, in every reader.";
    }

    /// Limits of a gateway.
    pub struct GatewayConfig in "gateway" {
        users: PathBuf = "users", Path, Fixed("/etc/lockstep/users.toml"), Restart,
            "File of the gateways' users; `lockstep gateway user` writes it. Only its owner may read it.";
        tls_certificate: Option<PathBuf> = "tls_certificate", Path, Absent("no TLS"), Restart,
            "File of a gateway's certificate and its chain, as PEM; for `--listen-tls`.";
        tls_key: Option<PathBuf> = "tls_key", Path, Absent("no TLS"), Restart,
            "File of the certificate's key, as PEM. Only its owner may read it.";
        tls_client_authority: Option<PathBuf> = "tls_client_authority", Path, Absent("passwords alone"), Restart,
            "File of the authority, as PEM, whose certificate each client of `--listen-tls` must have, beside its password.";
        clear_text: bool = "clear_text", Bool, Fixed("false"), Restart,
            "Whether `--listen` may name another address than the loopback's: passwords and orders are sent in clear text there.";
        tunnels: Option<NetworkList> = "tunnels", Networks, Absent("none"), Reload,
            "Addresses of tunnels whose connections begin with a PROXY header (version 2), which names the client's own address; limits and lockouts go by that.";
        delivery: Delivery = "delivery", Word(Delivery::WORDS), Fixed("committed"), Restart,
            "What a gateway reads. Clients count committed messages either way; with `stamped`, clients that ask for it also receive messages before they are committed.";
        allow: Option<NetworkList> = "allow", Networks, Absent("everybody"), Reload,
            "Networks whose addresses may connect; others are closed before anything is answered. Behind a tunnel the client's own address counts.";
        clients_max: u32 = "clients", Integer(1, 60_000), Fixed("4096"), Reload,
            "Most connections of one gateway.";
        clients_per_address: Option<u32> = "clients_per_address", Integer(1, 60_000), Absent("an eighth of clients"), Reload,
            "Most connections of one address. All clients behind a tunnel have the address of the tunnel.";
        accepts: u32 = "accepts", Integer(1, 100_000), Fixed("500"), Reload,
            "Connections that a gateway accepts in a second; the others wait, and do not delay clients that are served.";
        login_timeout_ns: u64 = "login_timeout", Duration(100 * MS, 300 * S), Fixed("30s"), Reload,
            "From a connection to its whole login request.";
        silence_ns: u64 = "silence", Duration(2 * S, 300 * S), Fixed("15s"), Reload,
            "Silence after which a client is gone, where its login names no time of its own.";
        lockout_first_ns: u64 = "lockout_first", Duration(100 * MS, 3600 * S), Fixed("1s"), Reload,
            "Wait of a user at an address after six wrong passwords; each further one doubles it. A user never waits longer where it has logged in.";
        lockout_longest_ns: u64 = "lockout_longest", Duration(100 * MS, 86_400 * S), Fixed("1min"), Reload,
            "Longest such wait.";
        lockout_forgotten_ns: u64 = "lockout_forgotten", Duration(S, 86_400 * S), Fixed("10min"), Reload,
            "Time without a wrong password after which those of a user at an address are forgotten.";
        stall_ns: u64 = "stall", Duration(100 * MS, 3600 * S), Fixed("10s"), Reload,
            "How long a client may read nothing while messages wait for it; then it is disconnected, and resumes by number.";
        heartbeat_interval_ns: u64 = "heartbeat_interval", Duration(10 * MS, 10 * S), Fixed("500ms"), Restart,
            "Time between heartbeats of a gateway in the stream; a gateway that misses six is lost.";
        spool: PathBuf = "spool", Path, Fixed("/var/tmp"), Restart,
            "Directory of the unnamed file that holds the day's messages to clients; a disk, not memory.";
        spool_size_bytes: u64 = "spool_size", Size(MIB, 16 * TIB), Fixed("16GiB"), Restart,
            "Bytes of that file at most. A day that is larger ends all logins of this gateway.";
    }

    /// Limits of a feed.
    pub struct FeedConfig in "feed" {
        allow: Option<NetworkList> = "allow", Networks, Absent("everybody"), Reload,
            "Networks whose addresses are answered when they ask for missing messages; requests of others are dropped. The group itself reaches all.";
    }

    /// How the pinned thread runs.
    pub struct RuntimeConfig in "runtime" {
        idle: Idle = "idle", Word(Idle::WORDS), ByProfile("spin", "adapt"), Rolling,
            "What the pinned thread does when there is nothing to do.";
        scheduling: SchedulingClass = "scheduling", Scheduling, Fixed("other"), Rolling,
            "Scheduling class of the pinned thread.";
        mlock: bool = "mlock", Bool, ByProfile("true", "false"), Rolling,
            "Whether memory is locked, so that it is never paged out.";
        timer_slack_ns: u64 = "timer_slack", Duration(1, 10 * MS), Fixed("1us"), Rolling,
            "How late the kernel may wake a sleeping thread.";
        watcher: bool = "watcher", Bool, Fixed("true"), Rolling,
            "Whether a second process announces the death of this one; without it the others notice only its silence.";
    }

    /// A network worse than the real one: faults are injected into what is received. Shares are millionths.
    pub struct FaultInjection in "fault_injection" {
        loss_ppm: u32 = "loss", Share(1_000_000), Fixed("0%"), Rolling,
            "Share of what is received that is lost by fault injection. Refused in production, like all of this table.";
        duplication_ppm: u32 = "duplication", Share(1_000_000), Fixed("0%"), Rolling,
            "Share of what is received that is received twice.";
        reordering_ppm: u32 = "reordering", Share(1_000_000), Fixed("0%"), Rolling,
            "Share of what is received that up to eight later datagrams pass, for 200us at most.";
        delay_ns: u64 = "delay", Duration(0, S), Fixed("0us"), Rolling,
            "How late everything is received; at most 4096 datagrams wait, and further ones are lost.";
        seed: u64 = "seed", Integer(0, i64::MAX as u64), Fixed("1"), Rolling,
            "Decides, with the unicast port, which datagrams those are.";
        line: u8 = "line", Integer(0, 2), Fixed("0"), Rolling,
            "The line that the faults apply to; 0 is both, the only one, and shared memory too.";
    }

    /// The log: what it contains, and how.
    pub struct LogConfig in "log" {
        format: LogFormat = "format", Word(LogFormat::WORDS), Fixed("text"), Rolling,
            "How log lines look.";
        level: LogLevel = "level", Word(LogLevel::WORDS), Fixed("info"), Reload,
            "The least important line that is written.";
    }

    /// The page of a daemon that Prometheus reads.
    pub struct MetricsConfig in "metrics" {
        listen: Option<SocketAddrV4> = "listen", Listen, Absent("none"), Reload,
            "Address of the page, `0.0.0.0` for every address of the host; each daemon of a host needs one of its own, like LOCKSTEP_METRICS_LISTEN in its service's unit.";
        hosts: Option<HostNames> = "hosts", Hosts, Absent("none"), Reload,
            "Names by which the page may be asked for, beside addresses, localhost and this host's own name; requests by other names are refused.";
    }
}

/// Which stream of which set a configuration describes.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct SetPlace {
    /// The place of this stream in `streams`.
    pub index: usize,
    /// All streams of the set in the order of the file. The first one is the home stream.
    pub streams: Vec<SetStream>,
    /// Least time between two cuts of the home stream.
    pub cut_interval_ns: u64,
    /// The coordinators of the set, in the order of the file.
    pub coordinators: Vec<CoordinatorConfig>,
}

impl SetPlace {
    /// The stream that the configuration describes.
    pub fn stream(&self) -> &SetStream {
        &self.streams[self.index]
    }

    /// The stream that carries what relates the streams of the set to each other.
    pub fn home(&self) -> &SetStream {
        &self.streams[0]
    }

    /// The coordinator with this number.
    pub fn coordinator(&self, id: u32) -> Option<&CoordinatorConfig> {
        self.coordinators.iter().find(|coordinator| coordinator.id == id)
    }

    /// The name under which a coordinator publishes cuts into the home stream. The set has the number of its
    /// home stream's cluster.
    pub fn cut_name(&self, id: u32) -> String {
        format!("{}/cut-{id}", self.name_prefix())
    }

    /// The name under which operators publish the list of the set's streams into the home stream.
    pub fn list_name(&self) -> String {
        format!("{}/list", self.name_prefix())
    }

    fn name_prefix(&self) -> String {
        format!("{SET_NAMES}{}", self.home().cluster)
    }
}
