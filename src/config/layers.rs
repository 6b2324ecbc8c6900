//! From a file, flags and variables to one value per key, each with its origin.
//!
//! The layers are read from the weakest to the strongest, and the strongest value of a key stays:
//! flag > `LOCKSTEP_…` > file > default. Each value is judged by itself here; what it means beside the
//! others is the business of `relations`. Nothing stops at the first problem.

use super::problem::{Code, ConfigError};
use super::schema::{self, Key, LISTS, Preset, SECTIONS};
use super::value::{Complaint, Raw, Value, nearest};
use super::{Origin, Profile};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddrV4;
use std::ops::Range;
use std::path::Path;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

type Span = Range<usize>;

/// A value that stands, and where it comes from.
#[derive(Clone, Debug)]
pub(super) struct Cell {
    pub value: Value,
    pub origin: Origin,
    pub span: Option<Span>,
}

/// A line or a replica of the file.
#[derive(Clone, Debug)]
pub(super) struct Item {
    /// Its number in keys: a line's position from 1, a replica's id (`#2` if it has no good one).
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

/// What has been read so far.
#[derive(Debug)]
pub(super) struct Layers<'a> {
    path: &'a Path,
    text: &'a str,
    pub cells: BTreeMap<String, Cell>,
    /// Keys that were set, but wrongly: no default may hide that.
    refused: BTreeSet<String>,
    pub lines: Vec<Item>,
    pub replicas: Vec<Item>,
    pub problems: Vec<ConfigError>,
}

impl<'a> Layers<'a> {
    /// Reads the file's own layer.
    pub fn from_file(path: &'a Path, text: &'a str) -> Self {
        let mut layers = Self {
            path,
            text,
            cells: BTreeMap::new(),
            refused: BTreeSet::new(),
            lines: Vec::new(),
            replicas: Vec::new(),
            problems: Vec::new(),
        };
        let (root, broken) = DeTable::parse_recoverable(text);
        layers.read_root(root.get_ref());
        if !broken.is_empty() {
            layers.keep_only_syntax(&broken);
        }
        layers
    }

    /// Whether the file was TOML at all. What was guessed of a broken one is good for no conclusion.
    pub fn is_sound(&self) -> bool {
        self.problems.iter().all(|problem| problem.code != Code::Syntax)
    }

    /// Lays flags and variables over the file, variables first.
    pub fn lay_over(&mut self, overrides: &[(String, String, Origin)]) {
        let mut ordered: Vec<_> = overrides.iter().collect();
        ordered.sort_by_key(|(_, _, origin)| matches!(origin, Origin::Flag(_)));
        for (key, text, origin) in ordered {
            let known = schema::row_of_instance(key).filter(|(row, _)| row.path != "replicas.*.id");
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
            match row.kind.parse(Raw::Loose(text)) {
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

    /// Fills in defaults, and tells what is required and missing.
    pub fn fill_in(&mut self) {
        let profile = match self.cells.get("profile").map(|cell| &cell.value) {
            Some(Value::Word(word)) => Profile::from_word(word),
            _ => None,
        };
        for row in schema::KEYS {
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

    /// Adds a problem.
    pub fn push(&mut self, code: Code, key: &str, value: &str, rule: String, hint: String, at: At) {
        let (origin, span) = match at {
            At::File(span) => (self.place(span.start), Some(span)),
            At::Outside(origin) => (origin, None),
        };
        let (key, value, origin) = (key.into(), value.into(), Some(origin));
        self.problems.push(ConfigError { code, key, value, rule, hint, origin, span, related: Vec::new() });
    }

    /// Adds a problem between keys that are right by themselves: at the first that somebody set, with
    /// the others that stand in the file beside it.
    pub fn blame(&mut self, code: Code, keys: &[&str], rule: String, hint: String) {
        let set =
            |key: &&&str| self.cells.get(**key).is_some_and(|c| !matches!(c.origin, Origin::Default(_)));
        let key = keys.iter().find(set).or(keys.first()).copied().unwrap_or_default();
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

    /// The number of a key that is a number, a duration in nanoseconds, or a size in bytes.
    pub fn number(&self, key: &str) -> Option<u64> {
        match self.cells.get(key)?.value {
            Value::Integer(value) | Value::DurationNs(value) | Value::SizeBytes(value) => Some(value),
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

    /// A key's value as it is printed.
    pub fn printed(&self, key: &str) -> Option<String> {
        Some(self.cells.get(key)?.value.to_string())
    }

    /// The line and column of a byte, both from 1; the column counts characters.
    pub fn place(&self, at: usize) -> Origin {
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

    fn items(&self, path: &str) -> &[Item] {
        match path.split('.').next() {
            Some("lines") => &self.lines,
            Some("replicas") => &self.replicas,
            _ => &[],
        }
    }

    fn instances(&self, row: &Key) -> Vec<Option<Item>> {
        match row.path.contains('*') {
            true => self.items(row.path).iter().cloned().map(Some).collect(),
            false => vec![None],
        }
    }

    fn read_root(&mut self, root: &DeTable<'_>) {
        for (name, value) in root {
            let (text, span) = (name.get_ref().as_ref(), name.span());
            match value.get_ref() {
                DeValue::Table(table) if SECTIONS.contains(&text) => self.read_table(table, text, text),
                DeValue::Array(items) if LISTS.contains(&text) => self.read_list(items, text),
                DeValue::Table(table) if LISTS.contains(&text) => {
                    let hint = format!("write [[{text}]], with two brackets");
                    let rule = format!("is a list, even of one, and this is a table of {} keys", table.len());
                    self.refused.insert(text.into());
                    self.push(Code::Type, text, text, rule, hint, At::File(span));
                }
                other if SECTIONS.contains(&text) || LISTS.contains(&text) => {
                    self.refused.insert(text.into());
                    let (is_list, what) = (LISTS.contains(&text), other.type_str());
                    let hint = if is_list { format!("write [[{text}]]") } else { format!("write [{text}]") };
                    self.push(
                        Code::Type,
                        text,
                        text,
                        format!("is a table, not a TOML {what}"),
                        hint,
                        At::File(span),
                    );
                }
                _ => self.read_key(name, value, "", ""),
            }
        }
    }

    /// `table` as the schema names it, `prefix` as this item is named.
    fn read_table(&mut self, values: &DeTable<'_>, table: &str, prefix: &str) {
        for (name, value) in values {
            self.read_key(name, value, table, prefix);
        }
    }

    fn read_list(&mut self, values: &[Spanned<DeValue<'_>>], list: &str) {
        let mut labels = BTreeSet::new();
        for (index, item) in values.iter().enumerate() {
            let DeValue::Table(table) = item.get_ref() else {
                let rule = format!("is a list of tables, and this is a TOML {}", item.get_ref().type_str());
                self.push(Code::Type, list, "", rule, format!("write [[{list}]]"), At::File(item.span()));
                continue;
            };
            let id = table.get("id").and_then(|id| id.get_ref().as_integer()).and_then(number_of);
            let id = id.map(|id| id.to_string());
            let label = match (list, id) {
                ("lines", _) => (index + 1).to_string(),
                (_, Some(id)) if labels.insert(id.clone()) => id,
                _ => format!("#{}", index + 1),
            };
            self.read_table(table, list, &format!("{list}.{label}"));
            let items = if list == "lines" { &mut self.lines } else { &mut self.replicas };
            items.push(Item { label, span: item.span() });
        }
    }

    fn read_key(
        &mut self,
        name: &Spanned<toml::de::DeString<'_>>,
        value: &Spanned<DeValue<'_>>,
        table: &str,
        prefix: &str,
    ) {
        let text = name.get_ref().as_ref();
        let join = |table: &str| if table.is_empty() { text.to_string() } else { format!("{table}.{text}") };
        let (path, key) =
            (if LISTS.contains(&table) { join(&format!("{table}.*")) } else { join(table) }, join(prefix));
        let Some(row) = schema::row(&path) else {
            return self.push(
                Code::UnknownKey,
                &key,
                text,
                "is not a key".into(),
                hint_for_unknown(text, table),
                At::File(name.span()),
            );
        };
        let span = value.span();
        let raw = match value.get_ref() {
            DeValue::String(text) => Raw::String(text),
            DeValue::Integer(number) => Raw::Integer(number_of(number)),
            DeValue::Boolean(value) => Raw::Bool(*value),
            other => Raw::Other(other.type_str()),
        };
        if let ("replicas.*.role", Raw::String("witness")) = (row.path, raw) {
            let hint = "write role = \"full\"".into();
            self.refused.insert(key.clone());
            return self.push(
                Code::Later,
                &key,
                "witness",
                "witnesses come with a later release".into(),
                hint,
                At::File(span),
            );
        }
        match row.kind.parse(raw) {
            Ok(value) => {
                let origin = self.place(span.start);
                self.cells.insert(key, Cell { value, origin, span: Some(span) });
            }
            Err(Complaint(code, rule, hint)) => {
                let quoted = self.text.get(span.clone()).unwrap_or_default().to_string();
                self.refused.insert(key.clone());
                self.push(code, &key, &quoted, rule, hint, At::File(span));
            }
        }
    }

    /// Puts the parser's problems first; of ours stay those on lines that it understood.
    fn keep_only_syntax(&mut self, broken: &[toml::de::Error]) {
        let text = self.text;
        let line_of = |at: usize| text.get(..at).unwrap_or(text).matches('\n').count();
        let spans: Vec<_> = broken.iter().map(|error| error.span().unwrap_or(0..0)).collect();
        let lines: BTreeSet<_> = spans.iter().map(|span| line_of(span.start)).collect();
        let mut kept = std::mem::take(&mut self.problems);
        kept.retain(|problem| {
            problem.span.as_ref().is_some_and(|span| !lines.contains(&line_of(span.start)))
        });
        self.problems = kept;
        for (error, span) in broken.iter().zip(spans) {
            let quoted = self.text.get(span.clone()).unwrap_or_default().to_string();
            let message = error.message().trim().replace('\n', ", ");
            let hint = match message.contains("duplicate") {
                true => "keep one of them".into(),
                false => {
                    "write [table] or key = value, with text, durations, sizes and addresses in quotes".into()
                }
            };
            self.push(Code::Syntax, "", &quoted, message, hint, At::File(span));
        }
    }
}

/// A number of the file; none if it is negative or too large.
fn number_of(number: &toml::de::DeInteger<'_>) -> Option<u64> {
    u64::from_str_radix(number.as_str(), number.radix()).ok()
}

/// Where an unknown key probably belongs, or what it was meant to be.
fn hint_for_unknown(name: &str, table: &str) -> String {
    let here: Vec<_> = if table.is_empty() {
        schema::names_in("").chain(SECTIONS.iter().chain(LISTS).copied()).collect()
    } else {
        schema::names_in(table).collect()
    };
    if let Some(near) = nearest(name, here.iter().copied()) {
        return format!("did you mean {near}?");
    }
    let elsewhere = SECTIONS.iter().chain(LISTS).find(|other| schema::names_in(other).any(|key| key == name));
    match elsewhere {
        Some(other) if LISTS.contains(other) => format!("it belongs into [[{other}]]"),
        Some(other) => format!("it belongs into [{other}]"),
        None => format!("the keys here are {}", here.join(", ")),
    }
}

/// What a required key might look like.
fn example(row: &Key) -> &'static str {
    match row.path {
        "cluster" => "1, the number of this cluster",
        "profile" => "\"production\" or \"shared\"",
        "lines.*.submit" => "\"239.77.0.1:7000\"",
        "lines.*.data" => "\"239.77.0.2:7000\"",
        "lines.*.control" => "\"239.77.0.3:7000\"",
        "lines.*.interface" => "\"eth0\", or \"lo\" for one host",
        "replicas.*.id" => "1, 2, 3 …",
        "replicas.*.unicast" => "\"10.0.0.1:7001\", the replica's own address",
        "replicas.*.journal" => "\"/var/lib/lockstep/1\", a directory on a disk",
        _ => "a value",
    }
}
