//! What a key is, and how keys are found; [`tables`](super::tables) declares them.

use super::change::ChangeNeed;
use super::tables::TABLES;
use super::value::Kind;

/// One key.
#[derive(Clone, Copy, Debug)]
pub(super) struct Key {
    /// Its path, e.g. `stream.durability` or `replicas.*.core`.
    pub path: &'static str,
    /// Its type.
    pub kind: Kind,
    /// Its default.
    pub preset: Preset,
    /// How a change of it takes effect.
    pub need: ChangeNeed,
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
pub(super) const CHANNEL_MAX: u64 = lockstep_wire::CHANNEL_NUMBER_MAX as u64;
/// Most coordinators of a set.
pub(super) const COORDINATORS_MAX: usize = 16;
/// Most archivers: readers ask each of them before they give up.
pub(super) const ARCHIVERS_MAX: usize = 16;

pub(super) const US: u64 = 1_000;
pub(super) const MS: u64 = 1_000_000;
pub(super) const S: u64 = 1_000_000_000;
pub(super) const KIB: u64 = 1 << 10;
pub(super) const MIB: u64 = 1 << 20;
pub(super) const GIB: u64 = 1 << 30;
pub(super) const TIB: u64 = 1 << 40;

/// All keys, in the order in which they are printed.
pub(super) fn keys() -> impl Iterator<Item = &'static Key> {
    TABLES.iter().copied().flatten()
}

/// The tables of a file that are written once.
pub(super) const SECTIONS: &[&str] = &[
    "set",
    "network",
    "security",
    "stream",
    "timing",
    "journal",
    "replay",
    "publisher",
    "subscriber",
    "gateway",
    "feed",
    "runtime",
    "fault_injection",
    "log",
    "metrics",
];
/// The tables of a file that are written once per item.
pub(super) const LISTS: &[&str] = &["lines", "replicas", "archivers", "channels", "coordinators"];

/// The row of a path as the schema spells it.
pub(super) fn row(path: &str) -> Option<&'static Key> {
    keys().find(|key| key.path == path)
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
    keys().filter_map(move |key| {
        let (section, name) = key.path.rsplit_once('.').unwrap_or(("", key.path));
        (section.trim_end_matches(".*") == table).then_some(name)
    })
}

/// The paths of all keys, e.g. `replicas.*.core`: for tests and for tools that print the schema.
pub fn key_paths() -> impl Iterator<Item = &'static str> {
    keys().map(|key| key.path)
}

/// The reference of all keys as a Markdown table, as it stands in `docs/CONFIGURATION.md`.
pub fn reference() -> String {
    let mut out = String::from(
        "| key | meaning | range | units | production | shared | a change needs |\n|---|---|---|---|---|---|---|\n",
    );
    for key in keys() {
        let (production, shared) = match key.preset {
            Preset::Required => ("**required**".into(), "**required**".into()),
            Preset::Absent(what) | Preset::Derived(what) => (what.to_string(), what.to_string()),
            Preset::Fixed(both) => (format!("`{both}`"), format!("`{both}`")),
            Preset::ByProfile(production, shared) => (format!("`{production}`"), format!("`{shared}`")),
        };
        let (range, unit) = (key.kind.range(), key.kind.unit());
        out.push_str(&format!(
            "| `{}` | {} | {range} | {unit} | {production} | {shared} | {} |\n",
            key.path, key.meaning, key.need
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
        for key in keys() {
            let presets = match key.preset {
                Preset::Fixed(both) => vec![both],
                Preset::ByProfile(production, shared) => vec![production, shared],
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
        for key in keys() {
            let table = key.path.split('.').next().unwrap_or_default();
            let top = !key.path.contains('.');
            assert!(top || SECTIONS.contains(&table) || LISTS.contains(&table), "{} has no table", key.path);
            assert!(variables.insert(key.path.replace(['.'], "_")), "{} shares its variable", key.path);
        }
    }
}
