//! The table of all keys: type, default, meaning.
//!
//! The one table from which files are read, flags and variables are named, defaults are taken and the
//! reference in `docs/CONFIGURATION.md` is printed, so that none of them can forget a key. In a path
//! `*` stands for a line's number, or the id of a replica, an archiver or a channel.

use super::choices::{
    Compression, Delivery, Durability, Gso, Idle, LogFormat, LogLevel, Profile, Role, Transport, XdpMode,
};
use super::value::Kind::{self, *};

/// One key.
#[derive(Clone, Copy, Debug)]
pub(super) struct Key {
    /// Its path, e.g. `stream.durability` or `replicas.*.core`.
    pub path: &'static str,
    /// Its type.
    pub kind: Kind,
    /// Its default.
    pub preset: Preset,
    /// One sentence for the reference.
    pub meaning: &'static str,
}

/// The value of a key that is not set.
#[derive(Clone, Copy, Debug)]
pub(super) enum Preset {
    /// An error.
    Required,
    /// None; the reference states what that means.
    Absent(&'static str),
    /// The same in both profiles.
    Fixed(&'static str),
    /// Production, shared.
    ByProfile(&'static str, &'static str),
    /// Follows from other keys, as this text states.
    Derived(&'static str),
}
use Preset::*;

/// Smallest MTU whose frames are as long as the shortest largest record of a journal, 1024 bytes. Such a
/// frame carries the largest epoch start (seven members, sixteen epochs, eight former histories), and its
/// datagram the largest NACK; a test holds it against the wire.
pub(super) const MTU_MIN: u64 = 1100;
/// Jumbo frames; the wire's own limit.
pub(super) const MTU_MAX: u64 = 9000;
/// Replica ids are one byte.
pub(super) const REPLICA_ID_MAX: u64 = 255;
/// Most lines: A and B.
pub(super) const LINES_MAX: usize = 2;
/// Most replicas of a membership.
pub(super) const REPLICAS_MAX: usize = 7;
/// Channels are counted from 0 to this: destinations are 2^31 and more, and the last one is the gateways'
/// own.
pub(super) const CHANNEL_MAX: u64 = (1 << 31) - 2;
/// Most archivers: readers ask each of them before they give up.
pub(super) const ARCHIVERS_MAX: usize = 16;

const US: u64 = 1_000;
const MS: u64 = 1_000_000;
const S: u64 = 1_000_000_000;
const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const TIB: u64 = 1 << 40;

const fn key(path: &'static str, kind: Kind, preset: Preset, meaning: &'static str) -> Key {
    Key { path, kind, preset, meaning }
}

/// The keys, in the order in which they are printed.
#[rustfmt::skip]
pub(super) const KEYS: &[Key] = &[
    key("cluster", Integer(1, i64::MAX as u64), Required,
        "Number of this cluster, in every datagram: two clusters that share a network differ here."),
    key("profile", Word(Profile::WORDS), Required,
        "What kind of machines these are; chooses defaults, and what is refused."),

    key("lines.*.submit", Group, Required,
        "Group of submissions, publishers to replicas."),
    key("lines.*.data", Group, Required,
        "Group of frames and heartbeats, leader to all. Same port as `submit`."),
    key("lines.*.control", Group, Required,
        "Group of acknowledgements, replicas to all. Same port as `submit`."),
    key("lines.*.interface", Interface, Required,
        "Network interface of all groups. A name can be the same on every machine."),
    key("lines.*.ttl", Integer(0, 255), Fixed("1"),
        "Routers that a datagram may pass, plus one; 0 never leaves the host."),
    key("lines.*.mtu", Integer(MTU_MIN, MTU_MAX), Fixed("1500"),
        "Bytes of the largest IP packet. Datagrams are built to fit and never fragmented."),
    key("lines.*.receive_buffer", Size(64 * KIB, GIB), Fixed("4MiB"),
        "Kernel memory of each receiving socket; a burst beyond it is lost."),
    key("lines.*.send_buffer", Size(64 * KIB, GIB), Fixed("4MiB"),
        "Kernel memory of each sending socket."),
    key("lines.*.busy_poll", Duration(0, 10 * MS), Fixed("0us"),
        "How long a receive call polls the device itself, in whole microseconds; 0us is off."),
    key("lines.*.gso", Word(Gso::WORDS), Fixed("auto"),
        "Whether bursts leave as one segmented send."),
    key("lines.*.transport", Word(Transport::WORDS), Fixed("udp"),
        "How datagrams go: by the kernel's sockets, past them by AF_XDP, by unicast to each where there is no multicast, or by the best that works. All nodes use unicast or none; else they may differ."),
    key("lines.*.fanout_members", Integer(1, 4096), Fixed("256"),
        "With `unicast` and `auto`: most members that a node sends to beside those of this file. Each costs the leader a send for each datagram."),
    key("lines.*.xdp_mode", Word(XdpMode::WORDS), Fixed("auto"),
        "How xdp uses the card: the best mode that there is, or this one and none other."),
    key("lines.*.xdp_queue", Integer(0, 1023), Absent("all"),
        "The only queue of the card that xdp uses; what comes by others comes by the kernel, later."),

    key("network.shm", Bool, Fixed("false"),
        "Whether the processes of one host exchange datagrams by memory, and others by the network: the same on all of a host's."),

    key("replicas.*.id", Integer(1, REPLICA_ID_MAX), Required,
        "Number of the replica; its name in flags, logs and datagrams."),
    key("replicas.*.unicast", Unicast, Required,
        "Address for repairs and questions. Its port differs from the groups'."),
    key("replicas.*.unicast_b", Unicast, Absent("none"),
        "The same on the second line, where there is one: questions and repairs then outlive the first."),
    key("replicas.*.role", Word(Role::WORDS), Fixed("full"),
        "What `bootstrap` lists the replica as: `full` may lead, `witness` votes and never leads."),
    key("replicas.*.journal", Path, Required,
        "Directory of the segments, on a disk."),
    key("replicas.*.tail", Path, Derived("/dev/shm/lockstep-CLUSTER-ID.tail"),
        "File of the newest frames, on a tmpfs or hugetlbfs."),
    key("replicas.*.core", Integer(0, 4095), Absent("not pinned"),
        "Core that the replica's pinned thread has for itself."),
    key("replicas.*.transport", Word(Transport::WORDS), Absent("the line's"),
        "As `lines.*.transport`, for this replica on each of its lines."),
    key("replicas.*.counters", Path, Derived("/dev/shm/lockstep-CLUSTER-ID.counters"),
        "File of the counters, on a tmpfs."),

    key("archivers.*.id", Integer(1, REPLICA_ID_MAX), Required,
        "Number of the archiver, of the same kind as a replica's and none of theirs. It is never a member."),
    key("archivers.*.unicast", Unicast, Required,
        "Address for repairs, questions and replays. Its port differs from the groups'."),
    key("archivers.*.journal", Path, Required,
        "Directory of the segments, on a disk."),
    key("archivers.*.tail", Path, Derived("/dev/shm/lockstep-CLUSTER-ID.tail"),
        "File of the newest frames, on a tmpfs or hugetlbfs."),
    key("archivers.*.core", Integer(0, 4095), Absent("not pinned"),
        "Core that the archiver's pinned thread has for itself."),
    key("archivers.*.transport", Word(Transport::WORDS), Absent("the line's"),
        "As `lines.*.transport`, for this archiver on each of its lines."),
    key("archivers.*.counters", Path, Derived("/dev/shm/lockstep-CLUSTER-ID.counters"),
        "File of the counters, on a tmpfs."),
    key("archivers.*.retention_size", Size(MIB, 1024 * TIB), Absent("keep all"),
        "Oldest segments go when all are larger than this; as `journal.retention_size`, for this archiver."),
    key("archivers.*.retention_age", Duration(60 * S, 36_500 * 86_400 * S), Absent("keep all"),
        "Segments older than this go; as `journal.retention_age`, for this archiver."),
    key("archivers.*.compression", Word(Compression::WORDS), Fixed("none"),
        "How sealed segments are kept: `none` replays without a copy, `lz4` takes a third to a half of the room."),

    key("channels.*.id", Integer(0, CHANNEL_MAX), Required,
        "Number of a channel, as `channel:NUMBER` names it. Its destination is 2^31 more. Feeds carry it."),
    key("channels.*.message_len_max", Integer(1, 65_536), Derived("what a feed's datagram takes: `mtu` - 50"),
        "Bytes of the largest message for it; what is longer is refused where it is published. At most `stream.message_len_max`."),

    key("stream.durability", Word(Durability::WORDS), Fixed("process"),
        "What an acknowledgement means: in memory that survives the process, or on the device."),
    key("stream.window_entries", Integer(16, 1 << 24), Fixed("65536"),
        "Entries that may be uncommitted before the leader takes no more."),
    key("stream.window_bytes", Size(64 * KIB, 16 * GIB), Fixed("16MiB"),
        "Bytes that may be uncommitted before the leader takes no more; at most `journal.tail_size` / 4."),
    key("stream.publishers_max", Integer(1, 1_000_000), Fixed("100000"),
        "Most publishers in the life of the stream; their table is allocated at start."),
    key("stream.message_len_max", Integer(1, 65_536), Derived("what a publisher holds, at most 65536"),
        "Bytes of the largest message. What one frame does not hold (1296 at mtu 1500, 8792 at 9000) goes out in parts."),

    key("timing.heartbeat_interval", Duration(100 * US, S), Fixed("1ms"),
        "Time between heartbeats of an idle leader."),
    key("timing.failure_timeout", Duration(MS, 60 * S), Fixed("7ms"),
        "Silence after which standbys ask each other whether the leader is gone; at least three heartbeat intervals."),
    key("timing.failure_timeout_max", Duration(MS, 60 * S), Fixed("64ms"),
        "Each false suspicion doubles `timing.failure_timeout` up to this; calm shrinks it again."),
    key("timing.heartbeat_first", Duration(10 * US, 100 * MS), Fixed("70us"),
        "First heartbeat after a datagram; the next follow after 2, 4 … times as long, up to `timing.heartbeat_interval`."),
    key("timing.nack_delay", Duration(0, 10 * MS), Fixed("20us"),
        "How long a gap may be mere reordering before it is asked for."),
    key("timing.nack_retry_min", Duration(50 * US, S), Fixed("150us"),
        "Shortest wait for a repair before asking again; doubles."),
    key("timing.nack_retry_max", Duration(100 * US, 10 * S), Fixed("5ms"),
        "Longest wait for a repair before asking again."),
    key("timing.resend_min", Duration(100 * US, S), Fixed("1ms"),
        "Shortest wait for a commit before a submission is sent again; adapts and doubles."),
    key("timing.resend_max", Duration(MS, 60 * S), Fixed("100ms"),
        "Longest wait before a submission is sent again."),

    key("journal.tail_size", Size(MIB, TIB), Fixed("256MiB"),
        "Memory of the newest frames, and so the window of repairs; a multiple of 4KiB."),
    key("journal.segment_size", Size(MIB, 16 * GIB), Fixed("64MiB"),
        "Bytes of one segment file; a multiple of 4KiB."),
    key("journal.retention_size", Size(MIB, 1024 * TIB), Absent("keep all"),
        "Oldest segments go when all are larger than this; never those of the open trading day, which is the newest frame's UTC day."),
    key("journal.retention_age", Duration(60 * S, 36_500 * 86_400 * S), Absent("keep all"),
        "Segments older than this go; never those of the open trading day, which is the newest frame's UTC day."),
    key("journal.flush_interval", Duration(10 * US, S), Absent("20ms with durability process, 20us with power"),
        "Longest time that the side thread gathers frames for one write; less where the tail would fill."),

    key("replay.readers", Integer(0, 1024), Fixed("32"),
        "Readers of a journal over TCP at a time, at the port number of `unicast`; 0 serves nobody."),
    key("replay.rate", Size(MIB, TIB), Fixed("256MiB"),
        "Bytes per second for all readers of a journal together while the stream moves; without limit while it stands still."),
    key("replay.by_leader", Bool, ByProfile("false", "true"),
        "Whether a replica serves readers of its journal while it leads. The only replica of a cluster does."),

    key("publisher.window", Integer(1, 1 << 24), Fixed("1024"),
        "Entries that one publisher may have uncommitted; at most `stream.window_entries`."),
    key("publisher.buffer", Size(64 * KIB, 16 * GIB), Fixed("1MiB"),
        "Memory of a publisher's uncommitted messages, kept for resending."),
    key("subscriber.buffer", Size(64 * KIB, 16 * GIB), Fixed("8MiB"),
        "Memory of frames that a subscriber holds behind a gap or before they are committed."),
    key("subscriber.parts", Size(64 * KIB, 16 * GIB), Fixed("16MiB"),
        "Most memory of messages larger than a frame whose parts have not all come; taken when it is needed."),

    key("gateway.users", Path, Fixed("/etc/lockstep/users.toml"),
        "File of the gateways' users; `lockstep gateway user` writes it. Nobody but its owner may read it."),
    key("gateway.tls_certificate", Path, Absent("no TLS"),
        "File of a gateway's certificate and its chain, as PEM; for `--listen-tls`."),
    key("gateway.tls_key", Path, Absent("no TLS"),
        "File of the certificate's key, as PEM. Nobody but its owner may read it."),
    key("gateway.delivery", Word(Delivery::WORDS), Fixed("committed"),
        "What a gateway reads. Clients count what is committed either way; with `stamped`, those who ask for it are told early too."),
    key("gateway.clients", Integer(1, 60_000), Fixed("4096"),
        "Most connections of one gateway."),
    key("gateway.accepts", Integer(1, 100_000), Fixed("500"),
        "Connections that a gateway accepts in a second; the others wait, and who is served is not held up by them."),
    key("gateway.login_timeout", Duration(100 * MS, 300 * S), Fixed("30s"),
        "From a connection to its whole login request."),
    key("gateway.silence", Duration(2 * S, 300 * S), Fixed("15s"),
        "Silence after which a client is gone, where its login names no time of its own."),
    key("gateway.stall", Duration(100 * MS, 3600 * S), Fixed("10s"),
        "How long a client may take nothing of what waits for it; then it is cut, and resumes by number."),
    key("gateway.heartbeat_interval", Duration(10 * MS, 10 * S), Fixed("500ms"),
        "Time between heartbeats of a gateway in the stream; a gateway that misses six is lost."),
    key("gateway.spool", Path, Fixed("/var/tmp"),
        "Directory of the unnamed file that holds the day's messages to clients; a disk, not memory."),
    key("gateway.spool_size", Size(MIB, 16 * TIB), Fixed("16GiB"),
        "Bytes of that file at most. A day that is larger ends all logins of this gateway."),

    key("runtime.idle", Word(Idle::WORDS), ByProfile("spin", "yield"),
        "What the pinned thread does when there is nothing to do."),
    key("runtime.scheduling", Scheduling, Fixed("other"),
        "Scheduling class of the pinned thread."),
    key("runtime.mlock", Bool, ByProfile("true", "false"),
        "Whether memory is locked, so that it is never paged out."),
    key("runtime.timer_slack", Duration(1, 10 * MS), Fixed("50us"),
        "How late the kernel may wake a sleeping thread."),
    key("runtime.watcher", Bool, Fixed("true"),
        "Whether a second process announces the death of this one; without it the others wait for silence."),

    key("fault_injection.loss", Share(1_000_000), Fixed("0%"),
        "Share of what is received that is lost by fault injection. Refused in production, like all of this table."),
    key("fault_injection.duplication", Share(1_000_000), Fixed("0%"),
        "Share of what is received that is received twice."),
    key("fault_injection.reordering", Share(1_000_000), Fixed("0%"),
        "Share of what is received that up to eight later datagrams pass, for 200us at most."),
    key("fault_injection.delay", Duration(0, S), Fixed("0us"),
        "How late everything is received; at most 4096 datagrams wait, what comes on top is lost."),
    key("fault_injection.seed", Integer(0, i64::MAX as u64), Fixed("1"),
        "Decides, with the unicast port, which datagrams those are."),
    key("fault_injection.line", Integer(0, 2), Fixed("0"),
        "The line that the faults apply to; 0 is both, the only one, and shared memory too."),

    key("log.format", Word(LogFormat::WORDS), Fixed("text"),
        "How log lines look."),
    key("log.level", Word(LogLevel::WORDS), Fixed("info"),
        "The least important line that is written."),
];

/// The tables of a file that are written once.
pub(super) const SECTIONS: &[&str] = &[
    "network",
    "stream",
    "timing",
    "journal",
    "replay",
    "publisher",
    "subscriber",
    "gateway",
    "runtime",
    "fault_injection",
    "log",
];
/// The tables of a file that are written once per item.
pub(super) const LISTS: &[&str] = &["lines", "replicas", "archivers", "channels"];

/// The row of a path as the schema spells it.
pub(super) fn row(path: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.path == path)
}

/// The row of a key whose line or replica is given by number, e.g. `replicas.2.core`, with that number.
pub(super) fn row_of_instance(key: &str) -> Option<(&'static Key, Option<&str>)> {
    let mut parts = key.splitn(3, '.');
    match (parts.next(), parts.next(), parts.next()) {
        (Some(list), Some(item), Some(name)) => Some((row(&format!("{list}.*.{name}"))?, Some(item))),
        _ => row(key).filter(|row| !row.path.contains('*')).map(|row| (row, None)),
    }
}

/// Names of the keys in a table; the top level is "".
pub(super) fn names_in(table: &str) -> impl Iterator<Item = &'static str> {
    KEYS.iter().filter_map(move |key| {
        let (section, name) = key.path.rsplit_once('.').unwrap_or(("", key.path));
        (section.trim_end_matches(".*") == table).then_some(name)
    })
}

/// The paths of all keys, e.g. `replicas.*.core`: for tests and for tools that print the schema.
pub fn key_paths() -> impl Iterator<Item = &'static str> {
    KEYS.iter().map(|key| key.path)
}

/// The reference of all keys as a Markdown table, as it stands in `docs/CONFIGURATION.md`.
pub fn reference() -> String {
    let mut out =
        String::from("| key | meaning | range | units | production | shared |\n|---|---|---|---|---|---|\n");
    for key in KEYS {
        let (production, shared) = match key.preset {
            Required => ("**required**".into(), "**required**".into()),
            Absent(what) | Derived(what) => (what.to_string(), what.to_string()),
            Fixed(both) => (format!("`{both}`"), format!("`{both}`")),
            ByProfile(production, shared) => (format!("`{production}`"), format!("`{shared}`")),
        };
        let (range, unit) = (key.kind.range(), key.kind.unit());
        out.push_str(&format!(
            "| `{}` | {} | {range} | {unit} | {production} | {shared} |\n",
            key.path, key.meaning
        ));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::Raw;

    #[test]
    fn every_default_is_a_value_that_its_own_key_accepts() {
        for key in KEYS {
            let presets = match key.preset {
                Fixed(both) => vec![both],
                ByProfile(production, shared) => vec![production, shared],
                _ => vec![],
            };
            for preset in presets {
                let value =
                    key.kind.parse(Raw::Loose(preset)).unwrap_or_else(|why| panic!("{}: {why:?}", key.path));
                assert_eq!(value.to_string(), preset, "{} prints its default as it is written", key.path);
            }
        }
    }

    #[test]
    fn every_key_belongs_to_a_known_table_and_has_a_variable_of_its_own() {
        let mut variables = std::collections::BTreeSet::new();
        for key in KEYS {
            let table = key.path.split('.').next().unwrap_or_default();
            let top = !key.path.contains('.');
            assert!(top || SECTIONS.contains(&table) || LISTS.contains(&table), "{} has no table", key.path);
            assert!(variables.insert(key.path.replace(['.'], "_")), "{} shares its variable", key.path);
        }
    }
}
