//! From one checked value per key to the [`Config`].
//!
//! Nothing is judged here: the layers filled in every key that is not optional, with a value of its kind
//! and in its range. A value that does not fit is a defect of the schema, and reported as text.

use super::choices::{HostNames, InterfaceSetting, Scheduling};
use super::layers::{Item, Layers};
use super::schema;
use super::tables::*;
use super::value::Value;
use super::{Config, Origin};
use lockstep_core::engine::networks::Networks;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::PathBuf;

/// The configuration in `layers`, in which no problem was found.
pub(super) fn config(layers: &Layers<'_>) -> Config {
    let top = Values { layers, prefix: String::new() };
    let table = |name: &str| Values { layers, prefix: format!("{name}.") };
    let item = |list: &str, item: &Item| Values { layers, prefix: format!("{list}.{}.", item.label) };
    Config {
        cluster: top.get("cluster"),
        profile: top.get("profile"),
        lines: layers.lines.iter().map(|line| LineConfig::build(&item("lines", line))).collect(),
        network: NetworkConfig::build(&table("network")),
        security: SecurityConfig::build(&table("security")),
        replicas: layers.replicas.iter().map(|one| ReplicaConfig::build(&item("replicas", one))).collect(),
        archivers: layers.archivers.iter().map(|one| Archiver::build(&item("archivers", one))).collect(),
        channels: layers.channels.iter().map(|one| Channel::build(&item("channels", one))).collect(),
        stream: StreamConfig::build(&table("stream")),
        timing: TimingConfig::build(&table("timing")),
        journal: JournalSection::build(&table("journal")),
        replay: ReplayConfig::build(&table("replay")),
        publisher: PublisherConfig::build(&table("publisher")),
        subscriber: SubscriberConfig::build(&table("subscriber")),
        gateway: GatewayConfig::build(&table("gateway")),
        feed: FeedConfig::build(&table("feed")),
        runtime: RuntimeConfig::build(&table("runtime")),
        fault_injection: FaultInjection::build(&table("fault_injection")),
        log: LogConfig::build(&table("log")),
        metrics: MetricsConfig::build(&table("metrics")),
        set: layers.place.map(|index| SetPlace {
            index,
            streams: layers.set.clone(),
            cut_interval_ns: SetTable::build(&table("set")).cut_interval_ns,
            coordinators: {
                let coordinators = layers.coordinators.iter();
                coordinators.map(|one| CoordinatorConfig::build(&item("coordinators", one))).collect()
            },
        }),
        effective: effective(layers),
    }
}

/// All values in the order of the schema, each item's keys together.
fn effective(layers: &Layers<'_>) -> Vec<(String, String, Origin)> {
    let mut keys = Vec::new();
    let mut lists_done = Vec::new();
    for row in schema::keys() {
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
pub(super) struct Values<'a, 'b> {
    layers: &'a Layers<'b>,
    prefix: String,
}

impl Values<'_, '_> {
    /// The value of a key, as the type of its field.
    pub(super) fn get<T: FromValue>(&self, name: &str) -> T {
        let value = self.layers.cells.get(&format!("{}{name}", self.prefix)).map(|cell| &cell.value);
        T::from_value(value).unwrap_or_else(|| {
            panic!("{}{name} was checked, but {value:?} is not of the kind that it is used as", self.prefix)
        })
    }
}

/// A type of fields.
pub(super) trait FromValue: Sized {
    /// From a value that was checked, or from none.
    fn from_value(value: Option<&Value>) -> Option<Self>;
}

impl<T: FromValue> FromValue for Option<T> {
    fn from_value(value: Option<&Value>) -> Option<Self> {
        match value {
            None => Some(None),
            some => T::from_value(some).map(Some),
        }
    }
}

macro_rules! from_value {
    ($($type:ty: $pattern:pat => $made:expr;)*) => { $(
        impl FromValue for $type {
            fn from_value(value: Option<&Value>) -> Option<Self> {
                match value? {
                    $pattern => $made,
                    _ => None,
                }
            }
        }
    )* };
}

from_value! {
    bool: Value::Bool(truth) => Some(*truth);
    SocketAddrV4: Value::Address(address) => Some(*address);
    Ipv4Addr: Value::Host(address) => Some(*address);
    PathBuf: Value::Path(path) => Some(path.clone());
    InterfaceSetting: Value::Interface(interface) => Some(interface.clone());
    Scheduling: Value::Scheduling(class) => Some(*class);
    Networks: Value::Networks(networks) => Some(networks.clone());
    HostNames: Value::Hosts(hosts) => Some(hosts.clone());
}

macro_rules! from_number {
    ($($type:ty)*) => { $(
        impl FromValue for $type {
            fn from_value(value: Option<&Value>) -> Option<Self> {
                match value? {
                    Value::Integer(number)
                    | Value::DurationNs(number)
                    | Value::SizeBytes(number)
                    | Value::SharePpm(number) => Self::try_from(*number).ok(),
                    _ => None,
                }
            }
        }
    )* };
}

from_number! { u8 u16 u32 u64 usize }
