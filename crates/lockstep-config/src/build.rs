//! From one checked value per key to the [`Config`].
//!
//! Nothing is judged here: the layers filled in every key that is not optional, with a value of its kind
//! and in its range. A value that does not fit is a defect of the schema, and reported as text.

use super::choices::{
    Compression, Delivery, Durability, Gso, Idle, LogFormat, LogLevel, Profile, Role, Transport, XdpMode,
};
use super::layers::{Item, Layers};
use super::schema;
use super::value::Value;
use super::{
    Archiver, Channel, Config, FaultInjection, GatewayConfig, JournalSection, LineConfig, LogConfig,
    NetworkConfig, PublisherConfig, ReplayConfig, ReplicaConfig, RuntimeConfig, StreamConfig,
    SubscriberConfig, TimingConfig,
};
use std::net::SocketAddrV4;
use std::path::PathBuf;

/// The configuration in `layers`, in which no problem was found.
pub(super) fn config(layers: &Layers<'_>) -> Config {
    let top = Values { layers, prefix: String::new() };
    let table = |name: &str| Values { layers, prefix: format!("{name}.") };
    let item = |list: &str, item: &Item| Values { layers, prefix: format!("{list}.{}.", item.label) };
    Config {
        cluster: top.number("cluster"),
        profile: top.word("profile", Profile::from_word),
        lines: layers.lines.iter().map(|line| self::line(&item("lines", line))).collect(),
        network: NetworkConfig { shm: table("network").truth("shm") },
        replicas: layers.replicas.iter().map(|replica| self::replica(&item("replicas", replica))).collect(),
        archivers: layers.archivers.iter().map(|one| archiver(&item("archivers", one))).collect(),
        channels: layers.channels.iter().map(|one| channel(&item("channels", one))).collect(),
        stream: stream(&table("stream")),
        timing: timing(&table("timing")),
        journal: journal(&table("journal")),
        replay: replay(&table("replay")),
        publisher: PublisherConfig {
            window_entries: table("publisher").narrow("window"),
            buffer_bytes: table("publisher").number("buffer"),
        },
        subscriber: SubscriberConfig {
            buffer_bytes: table("subscriber").number("buffer"),
            parts_bytes: table("subscriber").number("parts"),
        },
        gateway: gateway(&table("gateway")),
        runtime: runtime(&table("runtime")),
        fault_injection: fault_injection(&table("fault_injection")),
        log: LogConfig {
            format: table("log").word("format", LogFormat::from_word),
            level: table("log").word("level", LogLevel::from_word),
        },
        effective: effective(layers),
    }
}

fn line(values: &Values<'_, '_>) -> LineConfig {
    LineConfig {
        submit: values.address("submit"),
        data: values.address("data"),
        control: values.address("control"),
        interface: match values.value("interface") {
            Value::Interface(interface) => interface.clone(),
            other => values.defect("interface", other),
        },
        ttl: values.narrow("ttl"),
        mtu: values.narrow("mtu"),
        receive_buffer_bytes: values.number("receive_buffer"),
        send_buffer_bytes: values.number("send_buffer"),
        busy_poll_ns: values.number("busy_poll"),
        gso: values.word("gso", Gso::from_word),
        transport: values.word("transport", Transport::from_word),
        fanout_members: values.narrow("fanout_members"),
        xdp_mode: values.word("xdp_mode", XdpMode::from_word),
        xdp_queue: values.optional("xdp_queue").map(|_| values.narrow("xdp_queue")),
    }
}

fn replica(values: &Values<'_, '_>) -> ReplicaConfig {
    ReplicaConfig {
        id: values.narrow("id"),
        unicast: values.address("unicast"),
        unicast_b: values.optional("unicast_b").map(|_| values.address("unicast_b")),
        role: values.word("role", Role::from_word),
        journal: values.path("journal"),
        tail: values.path("tail"),
        core: values.optional("core").map(|_| values.narrow("core")),
        transport: values.optional("transport").map(|_| values.word("transport", Transport::from_word)),
        counters: values.path("counters"),
    }
}

fn archiver(values: &Values<'_, '_>) -> Archiver {
    Archiver {
        id: values.narrow("id"),
        unicast: values.address("unicast"),
        journal: values.path("journal"),
        tail: values.path("tail"),
        core: values.optional("core").map(|_| values.narrow("core")),
        transport: values.optional("transport").map(|_| values.word("transport", Transport::from_word)),
        counters: values.path("counters"),
        retention_size_bytes: values.optional("retention_size").map(|_| values.number("retention_size")),
        retention_age_ns: values.optional("retention_age").map(|_| values.number("retention_age")),
        compression: values.word("compression", Compression::from_word),
    }
}

fn channel(values: &Values<'_, '_>) -> Channel {
    Channel { id: values.narrow("id"), message_len_max: values.narrow("message_len_max") }
}

fn stream(values: &Values<'_, '_>) -> StreamConfig {
    StreamConfig {
        durability: values.word("durability", Durability::from_word),
        window_entries: values.narrow("window_entries"),
        window_bytes: values.number("window_bytes"),
        publishers_max: values.narrow("publishers_max"),
        message_len_max: values.narrow("message_len_max"),
    }
}

fn timing(values: &Values<'_, '_>) -> TimingConfig {
    TimingConfig {
        heartbeat_interval_ns: values.number("heartbeat_interval"),
        failure_timeout_ns: values.number("failure_timeout"),
        failure_timeout_max_ns: values.number("failure_timeout_max"),
        heartbeat_first_ns: values.number("heartbeat_first"),
        nack_delay_ns: values.number("nack_delay"),
        nack_retry_min_ns: values.number("nack_retry_min"),
        nack_retry_max_ns: values.number("nack_retry_max"),
        resend_min_ns: values.number("resend_min"),
        resend_max_ns: values.number("resend_max"),
    }
}

fn journal(values: &Values<'_, '_>) -> JournalSection {
    JournalSection {
        tail_size_bytes: values.number("tail_size"),
        segment_size_bytes: values.number("segment_size"),
        retention_size_bytes: values.optional("retention_size").map(|_| values.number("retention_size")),
        retention_age_ns: values.optional("retention_age").map(|_| values.number("retention_age")),
        flush_interval_ns: values.optional("flush_interval").map(|_| values.number("flush_interval")),
    }
}

fn replay(values: &Values<'_, '_>) -> ReplayConfig {
    ReplayConfig {
        readers_max: values.narrow("readers"),
        rate_bytes_per_s: values.number("rate"),
        by_leader: values.truth("by_leader"),
    }
}

fn gateway(values: &Values<'_, '_>) -> GatewayConfig {
    GatewayConfig {
        users: values.path("users"),
        tls_certificate: values.optional("tls_certificate").map(|_| values.path("tls_certificate")),
        tls_key: values.optional("tls_key").map(|_| values.path("tls_key")),
        delivery: values.word("delivery", Delivery::from_word),
        clients_max: values.narrow("clients"),
        accepts: values.narrow("accepts"),
        login_timeout_ns: values.number("login_timeout"),
        silence_ns: values.number("silence"),
        stall_ns: values.number("stall"),
        heartbeat_interval_ns: values.number("heartbeat_interval"),
        spool: values.path("spool"),
        spool_size_bytes: values.number("spool_size"),
    }
}

fn runtime(values: &Values<'_, '_>) -> RuntimeConfig {
    RuntimeConfig {
        idle: values.word("idle", Idle::from_word),
        scheduling: match values.value("scheduling") {
            Value::Scheduling(scheduling) => *scheduling,
            other => values.defect("scheduling", other),
        },
        mlock: values.truth("mlock"),
        timer_slack_ns: values.number("timer_slack"),
        watcher: values.truth("watcher"),
    }
}

fn fault_injection(values: &Values<'_, '_>) -> FaultInjection {
    FaultInjection {
        loss_ppm: values.narrow("loss"),
        duplication_ppm: values.narrow("duplication"),
        reordering_ppm: values.narrow("reordering"),
        delay_ns: values.number("delay"),
        seed: values.number("seed"),
        line: values.narrow("line"),
    }
}

/// All values in the order of the schema, each item's keys together.
fn effective(layers: &Layers<'_>) -> Vec<(String, String, super::Origin)> {
    let mut keys = Vec::new();
    let mut lists_done = Vec::new();
    for row in schema::KEYS {
        let Some((list, _)) = row.path.split_once(".*.") else {
            keys.push(row.path.to_string());
            continue;
        };
        if !lists_done.contains(&list) {
            lists_done.push(list);
            for item in layers.items(list) {
                keys.extend(schema::names_in(list).map(|name| format!("{list}.{}.{name}", item.label)));
            }
        }
    }
    let cell =
        |key: String| layers.cells.get(&key).map(|cell| (key, cell.value.to_string(), cell.origin.clone()));
    keys.into_iter().filter_map(cell).collect()
}

/// The values of one table or item.
struct Values<'a, 'b> {
    layers: &'a Layers<'b>,
    prefix: String,
}

impl Values<'_, '_> {
    fn optional(&self, name: &str) -> Option<&Value> {
        self.layers.cells.get(&format!("{}{name}", self.prefix)).map(|cell| &cell.value)
    }

    fn value(&self, name: &str) -> &Value {
        self.optional(name).unwrap_or_else(|| panic!("{}{name} was checked, but has no value", self.prefix))
    }

    fn number(&self, name: &str) -> u64 {
        match self.value(name) {
            Value::Integer(value)
            | Value::DurationNs(value)
            | Value::SizeBytes(value)
            | Value::SharePpm(value) => *value,
            other => self.defect(name, other),
        }
    }

    fn narrow<T: TryFrom<u64>>(&self, name: &str) -> T {
        let value = self.number(name);
        T::try_from(value).unwrap_or_else(|_| self.defect(name, &Value::Integer(value)))
    }

    fn truth(&self, name: &str) -> bool {
        match self.value(name) {
            Value::Bool(truth) => *truth,
            other => self.defect(name, other),
        }
    }

    fn word<T>(&self, name: &str, from_word: fn(&str) -> Option<T>) -> T {
        match self.value(name) {
            Value::Word(word) => from_word(word).unwrap_or_else(|| self.defect(name, &Value::Word(word))),
            other => self.defect(name, other),
        }
    }

    fn address(&self, name: &str) -> SocketAddrV4 {
        match self.value(name) {
            Value::Address(address) => *address,
            other => self.defect(name, other),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        match self.value(name) {
            Value::Path(path) => path.clone(),
            other => self.defect(name, other),
        }
    }

    fn defect(&self, name: &str, value: &Value) -> ! {
        panic!("{}{name} was checked, but {value:?} is not of the kind that it is used as", self.prefix)
    }
}
