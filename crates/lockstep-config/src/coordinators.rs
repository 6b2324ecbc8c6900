//! The coordinators of a set: how many, where, and that only a set's common part has them.

use super::layers::{At, Layers, labels, tables};
use super::problem::Code;
use super::schema::{COORDINATORS_MAX, US};
use super::topology;
use super::value::Value;
use std::collections::BTreeSet;
use toml::de::DeTable;

/// The table and the list that all streams of a set have in common.
const OF_ALL: [&str; 2] = ["set", "coordinators"];
/// The key of the time between two cuts.
const INTERVAL: &str = "set.cut_interval";
/// The time between two cuts where none is written.
const INTERVAL_NS: u64 = 50 * US;

impl Layers<'_> {
    /// What concerns the set as a whole does not stand in one of its streams.
    pub(super) fn refuse_of_all(&mut self, stream: &DeTable<'_>) {
        for (name, _) in stream.iter().filter(|(name, _)| OF_ALL.contains(&name.get_ref().as_ref())) {
            let key = name.get_ref().as_ref();
            let rule = "concerns all streams of the set, and stands in one of them".into();
            let hint = "write it above the first [[streams]]".into();
            self.push(Code::Coordinators, key, key, rule, hint, At::File(name.span()));
        }
    }
}

/// Checks the relations of a set's own keys.
pub(super) fn check(layers: &mut Layers<'_>) {
    if layers.place.is_none() {
        return only_in_a_set(layers);
    }
    if !layers.is_set(INTERVAL) {
        layers.derive(INTERVAL.into(), Value::DurationNs(INTERVAL_NS), "in a set".into());
    }
    if let Some(item) = layers.coordinators.get(COORDINATORS_MAX).cloned() {
        let count = layers.coordinators.len();
        let rule = format!("there are {count} coordinators, and a set has at most {COORDINATORS_MAX}");
        let hint = "keep two or three: one works, and the others take its place".into();
        layers.push(Code::Coordinators, "coordinators", "", rule, hint, At::File(item.span));
    }
    topology::distinct(layers, Code::DuplicateId, &tables(layers, &["coordinators"]), &["id"]);
    reach(layers);
}

/// Relations of streams are for a file that describes several.
fn only_in_a_set(layers: &mut Layers<'_>) {
    let hint = || "leave it out, or describe the streams in [[streams]]".to_owned();
    let rule = || "is for a set of streams, and the file describes one stream".to_owned();
    if layers.is_set(INTERVAL) {
        layers.blame(Code::Coordinators, &[INTERVAL], rule(), hint());
    }
    if let Some(item) = layers.coordinators.first().cloned() {
        layers.push(Code::Coordinators, "coordinators", "", rule(), hint(), At::File(item.span));
    }
}

/// A coordinator receives the streams where replicas do: on their network, or on the one host of all.
fn reach(layers: &mut Layers<'_>) {
    let nodes: BTreeSet<String> = topology::hosts(layers).into_keys().collect();
    let is_local = |host: &String| host == topology::THIS_HOST;
    for label in labels(&layers.coordinators) {
        let key = format!("coordinators.{label}.host");
        let Some(address) = layers.host(&key) else { continue };
        let host = topology::host(address);
        if nodes.is_empty() || is_local(&host) == nodes.iter().all(is_local) {
            continue;
        }
        let (rule, hint) = match is_local(&host) {
            true => {
                ("is a loopback address, and the replicas are on other hosts", "of the replicas' network")
            }
            false => {
                ("is another host than that of all replicas, which loopback does not leave", "127.0.0.1")
            }
        };
        layers.blame(Code::Coordinators, &[&key], rule.into(), format!("write an address: {hint}"));
    }
}
