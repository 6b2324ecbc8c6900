//! From a file, flags and variables to one value per key, each with its origin.
//!
//! The layers are read from the weakest to the strongest, and the strongest value of a key wins: flag >
//! `LOCKSTEP_…` > file > default. Each value is checked by itself here; `relations` checks it against the
//! others. Nothing stops at the first problem.

use super::problem::{Code, ConfigError};
use super::schema::{self, Key, Preset};
use super::set_stream::SetStream;
use super::value::{Complaint, Raw, Value, nearest};
use super::{Origin, Override, Profile};
use lockstep_core::engine::networks::Networks;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::ops::Range;
use std::path::Path;

pub(super) type Span = Range<usize>;

/// The value in force, and its origin.
#[derive(Clone, Debug)]
pub(super) struct Cell {
    pub value: Value,
    pub origin: Origin,
    pub span: Option<Span>,
}

/// A line, a replica, an archiver or a channel of the file.
#[derive(Clone, Debug)]
pub(super) struct Item {
    /// Its number in keys: a line's position from 1, any other's id (`#2` if it has no good one).
    pub label: String,
    /// Its header in the file.
    pub span: Span,
}

/// Where a problem is.
pub(super) enum At {
    /// These bytes of the file.
    File(Span),
    /// Not in the file.
    Outside(Origin),
}

/// The values read so far.
#[derive(Debug)]
pub(super) struct Layers<'a> {
    pub path: &'a Path,
    pub text: &'a str,
    pub cells: BTreeMap<String, Cell>,
    /// Keys that were set, but wrongly: no default may hide that.
    pub refused: BTreeSet<String>,
    pub lines: Vec<Item>,
    pub replicas: Vec<Item>,
    pub archivers: Vec<Item>,
    pub channels: Vec<Item>,
    pub coordinators: Vec<Item>,
    /// The streams of the file; none where it describes one cluster.
    pub set: Vec<SetStream>,
    /// The stream that these values are of.
    pub place: Option<usize>,
    pub problems: Vec<ConfigError>,
}

impl<'a> Layers<'a> {
    /// Reads the file's own layer; of a set's file that of the stream which `chosen` names.
    pub fn from_file(path: &'a Path, text: &'a str, chosen: Option<&Override>) -> Self {
        let mut layers = Self {
            path,
            text,
            cells: BTreeMap::new(),
            refused: BTreeSet::new(),
            lines: Vec::new(),
            replicas: Vec::new(),
            archivers: Vec::new(),
            channels: Vec::new(),
            coordinators: Vec::new(),
            set: Vec::new(),
            place: None,
            problems: Vec::new(),
        };
        layers.read_file(chosen);
        layers
    }

    /// Whether the file was TOML at all, and one stream of it is to be judged. Values guessed from a broken
    /// file, or from what all streams have in common, allow no conclusion.
    pub fn is_sound(&self) -> bool {
        let is_toml = self.problems.iter().all(|problem| problem.code != Code::Syntax);
        is_toml && self.set.is_empty() == self.place.is_none()
    }

    /// Lays flags and variables over the file, variables first.
    pub fn lay_over(&mut self, overrides: &[(String, String, Origin)]) {
        let mut ordered: Vec<_> = overrides.iter().collect();
        ordered.sort_by_key(|(_, _, origin)| matches!(origin, Origin::Flag(_)));
        for (key, text, origin) in ordered {
            let known = schema::row_of_instance(key).filter(|(row, _)| !row.path.ends_with(".*.id"));
            let Some((row, item)) = known else {
                let near = nearest(key, schema::key_paths());
                let hint = near
                    .map_or("see the keys in docs/CONFIGURATION.md".into(), |k| format!("did you mean {k}?"));
                self.push_override(key, text, origin, "there is no such key".into(), hint);
                continue;
            };
            if let Some(item) =
                item.filter(|item| self.items(row.path).iter().all(|known| known.label != *item))
            {
                let list = row.path.split('.').next().unwrap_or_default();
                let known: Vec<_> = self.items(row.path).iter().map(|known| known.label.as_str()).collect();
                let hint = format!("the file has {list} {}", known.join(", "));
                self.push_override(key, text, origin, format!("there is no {list}.{item}"), hint);
                continue;
            }
            let parsed = if text.contains(char::REPLACEMENT_CHARACTER) {
                Err(Complaint(
                    Code::Type,
                    format!("\"{text}\" is not UTF-8"),
                    "write the value in UTF-8; a path with other bytes needs another name".into(),
                ))
            } else {
                row.kind.parse(Raw::Loose(text))
            };
            match parsed {
                Ok(value) => {
                    self.refused.remove(key);
                    self.cells.insert(key.clone(), Cell { value, origin: origin.clone(), span: None });
                }
                Err(Complaint(code, rule, hint)) => {
                    self.refused.insert(key.clone());
                    self.cells.remove(key);
                    self.push(code, key, text, rule, hint, At::Outside(origin.clone()));
                }
            }
        }
    }

    /// Fills in defaults, and reports required keys that are missing.
    pub fn fill_in(&mut self) {
        let profile = match self.cells.get("profile").map(|cell| &cell.value) {
            Some(Value::Word(word)) => Profile::from_word(word),
            _ => None,
        };
        for row in schema::keys() {
            for item in self.instances(row) {
                let key =
                    item.as_ref().map_or(row.path.to_string(), |item| row.path.replace('*', &item.label));
                if !self.cells.contains_key(&key) && !self.refused.contains(&key) {
                    self.fill_in_one(row, key, item, profile);
                }
            }
        }
    }

    fn fill_in_one(&mut self, row: &Key, key: String, item: Option<Item>, profile: Option<Profile>) {
        let (text, why) = match (row.preset, profile) {
            (Preset::Required, _) => {
                let name = row.path.rsplit('.').next().unwrap_or(row.path);
                let hint = format!("add {name} = {}", example(row));
                let span = item.map_or(0..0, |item| item.span);
                return self.push(
                    Code::Missing,
                    &key,
                    "",
                    "is required and missing".into(),
                    hint,
                    At::File(span),
                );
            }
            (Preset::Fixed(text), _) => (text, String::new()),
            (Preset::ByProfile(text, _), Some(Profile::Production)) => (text, "profile production".into()),
            (Preset::ByProfile(_, text), Some(Profile::Shared)) => (text, "profile shared".into()),
            (Preset::Absent(_) | Preset::Derived(_) | Preset::ByProfile(..), _) => return,
        };
        match row.kind.parse(Raw::Loose(text)) {
            Ok(value) => self.derive(key, value, why),
            Err(complaint) => {
                panic!("the schema's default {text} of {key} is refused by its own rule: {complaint:?}")
            }
        }
    }

    /// Sets a default that was found by reasoning; `why` is empty for a plain one.
    pub fn derive(&mut self, key: String, value: Value, why: String) {
        self.cells.insert(key, Cell { value, origin: Origin::Default(why), span: None });
    }

    /// Whether a key was set at all, rightly or not.
    pub fn is_set(&self, key: &str) -> bool {
        self.cells.contains_key(key) || self.refused.contains(key)
    }

    /// Whether this key was not set.
    pub fn is_default(&self, key: &str) -> bool {
        self.cells.get(key).is_some_and(|cell| matches!(cell.origin, Origin::Default(_)))
    }

    /// Adds a problem.
    pub fn push(&mut self, code: Code, key: &str, value: &str, rule: String, hint: String, at: At) {
        let (origin, span) = match at {
            At::File(span) => (self.place_of(span.start), Some(span)),
            At::Outside(origin) => (origin, None),
        };
        let (key, value, origin) = (key.into(), value.into(), Some(origin));
        self.problems.push(ConfigError { code, key, value, rule, hint, origin, span, related: Vec::new() });
    }

    /// Adds a problem between keys that are right by themselves: at the first key that was set, with the
    /// others that are in the file beside it.
    pub fn blame(&mut self, code: Code, keys: &[&str], rule: String, hint: String) {
        let set = keys.iter().find(|key| self.cells.contains_key(**key) && !self.is_default(key));
        let key = set.or(keys.first()).copied().unwrap_or_default();
        let Some(cell) = self.cells.get(key).cloned() else { return };
        let others = keys.iter().filter(|other| **other != key);
        let related = others
            .filter_map(|other| Some((self.cells.get(*other)?.span.clone()?, format!("{other} is set here"))))
            .collect();
        let at = cell.span.map_or(At::Outside(cell.origin), At::File);
        self.push(code, key, &cell.value.to_string(), rule, hint, at);
        if let Some(problem) = self.problems.last_mut() {
            problem.related = related;
        }
    }

    /// The number of a key that is a number, a duration in nanoseconds, a size in bytes or a share in
    /// millionths.
    pub fn number(&self, key: &str) -> Option<u64> {
        match self.cells.get(key)?.value {
            Value::Integer(value)
            | Value::DurationNs(value)
            | Value::SizeBytes(value)
            | Value::SharePpm(value) => Some(value),
            _ => None,
        }
    }

    /// The word of a key that is one.
    pub fn word(&self, key: &str) -> Option<&'static str> {
        match self.cells.get(key)?.value {
            Value::Word(word) => Some(word),
            _ => None,
        }
    }

    /// The address of a key that is one.
    pub fn address(&self, key: &str) -> Option<SocketAddrV4> {
        match self.cells.get(key)?.value {
            Value::Address(address) => Some(address),
            _ => None,
        }
    }

    /// The host of a key that is one.
    pub fn host(&self, key: &str) -> Option<Ipv4Addr> {
        match self.cells.get(key)?.value {
            Value::Host(address) => Some(address),
            _ => None,
        }
    }

    /// The networks of a key that has some.
    pub fn networks(&self, key: &str) -> Option<&Networks> {
        match &self.cells.get(key)?.value {
            Value::Networks(networks) => Some(networks),
            _ => None,
        }
    }

    /// A key's value as it is printed.
    pub fn printed(&self, key: &str) -> Option<String> {
        Some(self.cells.get(key)?.value.to_string())
    }

    /// The line and column of a byte, both from 1; the column counts characters.
    pub fn place_of(&self, at: usize) -> Origin {
        let before = self.before(at);
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        Origin::File {
            path: self.path.to_path_buf(),
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        }
    }

    fn before(&self, at: usize) -> &'a str {
        self.text.get(..at).unwrap_or(self.text)
    }

    fn push_override(&mut self, key: &str, text: &str, origin: &Origin, rule: String, hint: String) {
        self.push(Code::Override, key, text, rule, hint, At::Outside(origin.clone()));
    }

    /// The items of the list that a path begins with.
    pub fn items(&self, path: &str) -> &[Item] {
        match path.split('.').next() {
            Some("lines") => &self.lines,
            Some("replicas") => &self.replicas,
            Some("archivers") => &self.archivers,
            Some("channels") => &self.channels,
            Some("coordinators") => &self.coordinators,
            _ => &[],
        }
    }

    fn instances(&self, row: &Key) -> Vec<Option<Item>> {
        if row.path.contains('*') {
            self.items(row.path).iter().cloned().map(Some).collect()
        } else {
            vec![None]
        }
    }
}

/// The numbers of these items in keys.
pub(super) fn labels(items: &[Item]) -> Vec<String> {
    items.iter().map(|item| item.label.clone()).collect()
}

/// The prefixes of the keys of each item of these lists.
pub(super) fn tables(layers: &Layers<'_>, lists: &[&str]) -> Vec<String> {
    let of_list = |list: &&str| {
        let items = layers.items(list).iter();
        items.map(|item| format!("{list}.{}", item.label)).collect::<Vec<_>>()
    };
    lists.iter().flat_map(of_list).collect()
}

/// The prefixes of the keys of each node: replicas first, then archivers.
pub(super) fn nodes(layers: &Layers<'_>) -> Vec<String> {
    tables(layers, &["replicas", "archivers"])
}

/// An example of a required key.
fn example(row: &Key) -> &'static str {
    match row.path {
        "cluster" => "1, the number of this cluster",
        "profile" => "\"production\" or \"shared\"",
        "lines.*.submit" => "\"239.77.0.1:7000\"",
        "lines.*.data" => "\"239.77.0.2:7000\"",
        "lines.*.control" => "\"239.77.0.3:7000\"",
        "lines.*.interface" => "\"eth0\", or \"lo\" for one host",
        "archivers.*.id" => "101, a number that no replica has",
        "archivers.*.unicast" => "\"10.0.0.9:7001\", the archiver's own address",
        "archivers.*.journal" => "\"/var/lib/lockstep/archive\", a directory on a disk",
        "replicas.*.id" => "1, 2, 3 …",
        "coordinators.*.id" => "1, 2, 3 …",
        "coordinators.*.host" => "\"10.0.0.1\", the address of its host",
        "channels.*.id" => "7, the number of a channel",
        "replicas.*.unicast" => "\"10.0.0.1:7001\", the replica's own address",
        "replicas.*.journal" => "\"/var/lib/lockstep/1\", a directory on a disk",
        _ => "a value",
    }
}
