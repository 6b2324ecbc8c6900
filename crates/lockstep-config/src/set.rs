//! A set: streams that one file describes together (`[[streams]]`).
//!
//! Each of them expands to what a file of one cluster says, so that nothing behind the configuration knows
//! of sets. What stands outside of `[[streams]]` holds for all streams; what stands in one of them holds for
//! that one. An address or a path of the common part would be the same in all of them, so it is moved for
//! each: [`Layers::move_apart`] says how.
//!
//! ```text
//!  common part ─ moved apart by the stream's index and name ─┐
//!  the stream's own part ────────────────────────────────────┼─ as of one cluster ─▶ Config
//!  LOCKSTEP_…, flags ────────────────────────────────────────┘
//! ```
//!
//! SET-1: streams of a set share no group, port, file, pinned core or cluster number on a host.

use super::layers::{At, Cell, Layers, Span, labels, nodes};
use super::problem::Code;
use super::schema;
use super::set_stream::SetStream;
use super::value::{Kind, Value, nearest, number_of};
use super::{Origin, Override};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};
use toml::de::{DeTable, DeValue};

/// Most streams of a set.
pub(super) const STREAMS_MAX: usize = 32;
/// Bytes of the longest name of a stream.
const NAME_LEN_MAX: usize = 32;
/// Ports from one stream's to those of the next.
const PORTS_APART: u16 = 20;
/// What chooses a stream: `--stream NAME`, or `LOCKSTEP_STREAM=NAME`.
pub(super) const CHOICE: &str = "stream";
/// The list of a file.
pub(super) const LIST: &str = "streams";
/// The keys that a stream has beside those of a file: `docs/STREAMS.md` has their meaning.
pub(super) const KEYS: [&str; 2] = ["name", "leader"];

/// The name of the stream that these flags and variables choose, and the rest of them. A flag outweighs the
/// variable.
pub(super) fn choice(overrides: &[Override]) -> (Option<&Override>, Vec<Override>) {
    let is_choice = |one: &&Override| one.0 == CHOICE;
    let by_flag = overrides.iter().filter(is_choice).find(|one| matches!(one.2, Origin::Flag(_)));
    let chosen = by_flag.or_else(|| overrides.iter().find(is_choice));
    (chosen, overrides.iter().filter(|one| !is_choice(one)).cloned().collect())
}

impl Layers<'_> {
    /// Reads the list of streams, without what each of them sets.
    pub(super) fn read_streams(&mut self, root: &DeTable<'_>) {
        let Some(list) = root.get(LIST) else { return };
        let header = root.get_key_value(LIST).map_or(0..0, |(name, _)| name.span());
        let items = match list.get_ref() {
            DeValue::Array(items) if !items.is_empty() => items,
            other => {
                let what = match other {
                    DeValue::Array(_) => "is empty".to_owned(),
                    _ => format!("is a list, even of one, and this is a TOML {}", other.type_str()),
                };
                return self.push(Code::Type, LIST, "", what, format!("write [[{LIST}]]"), At::File(header));
            }
        };
        for (index, item) in items.iter().enumerate() {
            let DeValue::Table(table) = item.get_ref() else {
                let rule = format!("is a list of tables, and this is a TOML {}", item.get_ref().type_str());
                self.push(Code::Type, LIST, "", rule, format!("write [[{LIST}]]"), At::File(item.span()));
                continue;
            };
            if index == STREAMS_MAX {
                let rule = format!("there are {} streams, and a set has at most {STREAMS_MAX}", items.len());
                let hint = "make a second set of the others".into();
                self.push(Code::Stream, LIST, "", rule, hint, At::File(item.span()));
            }
            if let Some(stream) = self.read_stream(table, item.span()) {
                self.set.push(stream);
            }
        }
    }

    /// One stream's name, number and first leader.
    fn read_stream(&mut self, table: &DeTable<'_>, span: Span) -> Option<SetStream> {
        let of = |key: &str| table.get(key).map(|value| (value.get_ref(), value.span()));
        let Some((name, name_span)) = of("name") else {
            let hint = "add name = \"orders\", or another name of small letters, digits and -".into();
            self.push(
                Code::Missing,
                "streams.name",
                "",
                "is required and missing".into(),
                hint,
                At::File(span),
            );
            return None;
        };
        let is_good = |name: &str| {
            let letters = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
            letters && (1..=NAME_LEN_MAX).contains(&name.len()) && !name.starts_with('-')
        };
        let name = name.as_str().unwrap_or_default().to_owned();
        if !is_good(&name) {
            let rule = format!("\"{name}\" is no name of a stream");
            let hint = format!("write 1 to {NAME_LEN_MAX} small letters, digits and -, e.g. \"orders\"");
            self.push(Code::Stream, "streams.name", &name, rule, hint, At::File(name_span));
            return None;
        }
        if self.set.iter().any(|other| other.name == name) {
            let rule = format!("\"{name}\" is the name of an earlier stream already");
            let hint = "give each stream a name of its own".into();
            self.push(Code::DuplicateId, "streams.name", &name, rule, hint, At::File(name_span));
            return None;
        }
        let number = |value: &DeValue<'_>| value.as_integer().and_then(number_of);
        let Some(cluster) = of("cluster").and_then(|(value, _)| number(value)) else {
            let hint = format!(
                "add cluster = {}, a number that no other cluster of the network has",
                1 + self.set.len()
            );
            let key = format!("stream {name}: cluster");
            self.push(Code::Missing, &key, "", "is required and missing".into(), hint, At::File(span));
            return None;
        };
        let leader = match of("leader") {
            None => None,
            Some((value, leader_span)) => {
                let leader = number(value).and_then(|id| u32::try_from(id).ok());
                if leader.is_none() {
                    let hint = "write the id of one of its replicas, e.g. 2".into();
                    let key = format!("stream {name}: leader");
                    self.push(
                        Code::Type,
                        &key,
                        "",
                        "is no id of a replica".into(),
                        hint,
                        At::File(leader_span),
                    );
                }
                leader
            }
        };
        Some(SetStream { name, cluster, leader })
    }

    /// The place of the stream that was chosen; a problem if none was, or one that the file does not have.
    pub(super) fn choose(&mut self, chosen: Option<&Override>) -> Option<usize> {
        let names: Vec<String> = self.set.iter().map(|stream| stream.name.clone()).collect();
        let of_file = format!("the file describes the streams {}", names.join(", "));
        let Some((_, name, origin)) = chosen else {
            if !names.is_empty() {
                let hint = "choose one by --stream NAME or LOCKSTEP_STREAM=NAME".into();
                self.push(
                    Code::Stream,
                    LIST,
                    "",
                    format!("{of_file}, and none was chosen"),
                    hint,
                    At::File(0..0),
                );
            }
            return None;
        };
        let outside = || At::Outside(origin.clone());
        if names.is_empty() {
            let rule = format!("the file describes one stream, without a name, and \"{name}\" was chosen");
            let hint = "leave --stream and LOCKSTEP_STREAM out, or add [[streams]] to the file".into();
            self.push(Code::Stream, CHOICE, name, rule, hint, outside());
            return None;
        }
        let place = names.iter().position(|known| known == name);
        if place.is_none() {
            let near = nearest(name, names.iter().map(String::as_str));
            let hint = near.map_or("choose one of them".into(), |near| format!("did you mean {near}?"));
            self.push(
                Code::Stream,
                CHOICE,
                name,
                format!("there is no stream \"{name}\": {of_file}"),
                hint,
                outside(),
            );
        }
        place
    }

    /// Moves what the common part sets, and each stream needs for itself, to where this stream has it: the
    /// third byte of a group's address rises by the stream's index, a port by 20 times that, and folders of
    /// journals and keys and files in memory get the stream's name at their end. Cores are the same for all,
    /// as nobody but the operator knows which are free; SET-1 refuses those.
    pub(super) fn move_apart(&mut self, index: usize) {
        let name = self.set[index].name.clone();
        let mut problems = Vec::new();
        for (key, cell) in &mut self.cells {
            let Some((row, _)) = schema::row_of_instance(key) else { continue };
            let moved = match (&mut cell.value, row.kind) {
                (Value::Address(address), Kind::Group) => {
                    moved_port(address, index).and_then(|()| moved_group(address, index))
                }
                (Value::Address(address), _) => moved_port(address, index),
                (Value::Path(path), _) if is_of_one_stream(row.path) => {
                    let mut whole = path.clone().into_os_string();
                    whole.push(format!("-{name}"));
                    *path = whole.into();
                    Ok(())
                }
                _ => Ok(()),
            };
            if let Err(rule) = moved {
                problems.push((key.clone(), rule, cell.span.clone().unwrap_or(0..0)));
            }
        }
        for (key, rule, span) in problems {
            let hint = format!("write {key} in the stream \"{name}\" itself");
            self.push(Code::Range, &key, "", rule, hint, At::File(span));
        }
        let keys = "security.keys";
        if !self.is_set(keys)
            && let Some(schema::Preset::Fixed(folder)) = schema::row(keys).map(|row| row.preset)
        {
            let why = format!("for stream {name}");
            self.derive(keys.into(), Value::Path(format!("{folder}-{name}").into()), why);
        }
    }

    /// The replica that leads first comes first in the list.
    pub(super) fn place_leader(&mut self, index: usize) {
        let Some(leader) = self.set[index].leader else { return };
        match self.replicas.iter().position(|replica| replica.label == leader.to_string()) {
            Some(at) => self.replicas[..=at].rotate_right(1),
            None => {
                let ids = labels(&self.replicas).join(", ");
                let rule = format!("stream {} has no replica {leader}", self.set[index].name);
                let hint = format!("its replicas are {ids}");
                self.push(Code::Replicas, "streams.leader", &leader.to_string(), rule, hint, At::File(0..0));
            }
        }
    }
}

/// Whether each stream has a path of its own under this key.
fn is_of_one_stream(path: &str) -> bool {
    let name = path.rsplit('.').next().unwrap_or(path);
    let is_node = path.starts_with("replicas.") || path.starts_with("archivers.");
    (is_node && matches!(name, "journal" | "tail" | "counters")) || path == "security.keys"
}

fn moved_port(address: &mut SocketAddrV4, index: usize) -> Result<(), String> {
    let by = u16::try_from(index).unwrap_or(u16::MAX).saturating_mul(PORTS_APART);
    let port = address.port().checked_add(by);
    let port = port.ok_or_else(|| format!("{address} has no port {by} above it for stream {}", index + 1))?;
    address.set_port(port);
    Ok(())
}

fn moved_group(address: &mut SocketAddrV4, index: usize) -> Result<(), String> {
    let [a, b, c, d] = address.ip().octets();
    let by = u8::try_from(index).unwrap_or(u8::MAX);
    let third = c.checked_add(by);
    let third = third
        .ok_or_else(|| format!("{} has no group {by} above it for stream {}", address.ip(), index + 1))?;
    address.set_ip(Ipv4Addr::new(a, b, third, d));
    Ok(())
}

/// What one stream takes for itself alone on a host: the kind of it with the host, its text, and the key.
type Claim = ((&'static str, String), String, String);

/// A stream that takes something, on a host, with the key under which the file says so.
struct Holder {
    host: String,
    stream: String,
    key: String,
    span: Option<Span>,
}

/// SET-1: what the stream of `layers` takes.
fn claims(layers: &Layers<'_>) -> Vec<Claim> {
    let everywhere = String::new;
    let mut all = Vec::new();
    if let Some(cluster) = layers.printed("cluster") {
        all.push((("the cluster number", everywhere()), cluster, "cluster".to_owned()));
    }
    for line in labels(&layers.lines) {
        for name in ["submit", "data", "control"] {
            let key = format!("lines.{line}.{name}");
            let Some(address) = layers.address(&key) else { continue };
            all.push((("the group", everywhere()), address.ip().to_string(), key.clone()));
            if name == "submit" {
                all.push((("the port", everywhere()), address.port().to_string(), key));
            }
        }
    }
    for node in nodes(layers) {
        let key = |name: &str| format!("{node}.{name}");
        let Some(host) = layers.address(&key("unicast")).map(|address| super::topology::host(*address.ip()))
        else {
            continue;
        };
        for name in ["unicast", "unicast_b"] {
            if let Some(address) = layers.address(&key(name)) {
                let host = super::topology::host(*address.ip());
                all.push((("the port", host), address.port().to_string(), key(name)));
            }
        }
        for (what, name) in [("", "journal"), ("", "tail"), ("", "counters"), ("core", "core")] {
            if let Some(value) = layers.printed(&key(name)) {
                all.push(((what, host.clone()), value, key(name)));
            }
        }
    }
    all
}

/// SET-1: streams of a set share no group, port, file, pinned core or cluster number on a host. `layers` is
/// one of them, `others` are those before it in the file.
pub(super) fn check_apart(layers: &mut Layers<'_>, name: &str, others: &[(String, Layers<'_>)]) {
    let mut taken: BTreeMap<(&str, String), Vec<Holder>> = BTreeMap::new();
    for (other, theirs) in others {
        for ((what, host), value, key) in claims(theirs) {
            let span = theirs.cells.get(&key).and_then(|cell: &Cell| cell.span.clone());
            let holder = Holder { host, stream: other.clone(), key, span };
            taken.entry((what, value)).or_default().push(holder);
        }
    }
    for ((what, host), value, key) in claims(layers) {
        let holders = taken.get(&(what, value.clone())).map_or(&[][..], Vec::as_slice);
        let meets = |other: &&Holder| host.is_empty() || other.host.is_empty() || host == other.host;
        let Some(Holder { stream: other, key: their_key, span, .. }) = holders.iter().find(meets) else {
            continue;
        };
        let what = if what.is_empty() { String::new() } else { format!("{what} ") };
        let rule = format!(
            "stream {name} has {what}{value}, which stream {other} has by {their_key}: each has its own"
        );
        let hint = format!("write another {key} in the stream \"{name}\"");
        layers.blame(Code::Stream, &[&key], rule, hint);
        if let (Some(problem), Some(span)) = (layers.problems.last_mut(), span.clone())
            && problem.span.as_ref() != Some(&span)
        {
            problem.related.push((span, format!("{other} has it here")));
        }
    }
}
