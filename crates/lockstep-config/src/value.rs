//! One value: from text to a typed value, or to a problem.
//!
//! A file and a flag meet here. In a file a number has no quotes, and a duration or size has them,
//! because it has a unit; a flag or variable is always text ([`Raw::Loose`]).

use super::choices::{HostNames, InterfaceSetting, Scheduling};
use super::problem::Code;
use super::units::{self, quoted_list};
use lockstep_core::engine::networks::Networks;
use std::fmt::{self, Display, Formatter};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::PathBuf;

/// The type of a key.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    /// A plain number, from..=to.
    Integer(u64, u64),
    /// `true` or `false`.
    Bool,
    /// Nanoseconds with a unit, from..=to.
    Duration(u64, u64),
    /// Bytes with a unit, from..=to.
    Size(u64, u64),
    /// A percentage, from 0 to so many millionths.
    Share(u64),
    /// One of these.
    Word(&'static [&'static str]),
    /// `239.x.y.z:port`.
    Group,
    /// `ip:port`.
    Unicast,
    /// `ip` of a host.
    Host,
    /// `ip:port` to listen at; `0.0.0.0` is every address of the host.
    Listen,
    /// An address or a name.
    Interface,
    /// An absolute path.
    Path,
    /// `other` or `fifo:N`.
    Scheduling,
    /// IP networks with commas between them, or nothing.
    Networks,
    /// Names of hosts with commas between them.
    Hosts,
}

/// A value as it was written.
#[derive(Clone, Copy, Debug)]
pub(super) enum Raw<'a> {
    /// A quoted string of the file.
    String(&'a str),
    /// A number of the file; none if it is negative or too large.
    Integer(Option<u64>),
    /// `true` or `false` in the file.
    Bool(bool),
    /// Something else in the file, by its TOML name.
    Other(&'static str),
    /// Text of a flag, a variable or a default.
    Loose(&'a str),
}

/// A number of the file; none if it is negative or too large.
pub(super) fn number_of(number: &toml::de::DeInteger<'_>) -> Option<u64> {
    u64::from_str_radix(number.as_str(), number.radix()).ok()
}

/// A value that is right by itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Value {
    Integer(u64),
    Bool(bool),
    DurationNs(u64),
    SizeBytes(u64),
    SharePpm(u64),
    Word(&'static str),
    Address(SocketAddrV4),
    Host(Ipv4Addr),
    Interface(InterfaceSetting),
    Path(PathBuf),
    Scheduling(Scheduling),
    Networks(Networks),
    Hosts(HostNames),
}

/// Why a value is refused: code, rule, hint.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Complaint(pub Code, pub String, pub String);

type Parsed = Result<Value, Complaint>;

impl Kind {
    /// Reads `raw` as a value of this kind.
    pub fn parse(self, raw: Raw<'_>) -> Parsed {
        match self {
            Self::Integer(min, max) => integer(raw, min, max),
            Self::Bool => match raw {
                Raw::Bool(value) => Ok(Value::Bool(value)),
                Raw::Loose("true") => Ok(Value::Bool(true)),
                Raw::Loose("false") => Ok(Value::Bool(false)),
                other => Err(wrong_type(other, "true or false", "write true or false, without quotes")),
            },
            Self::Duration(min, max) => duration(raw, min, max),
            Self::Size(min, max) => size(raw, min, max),
            Self::Share(max) => units::share_ppm(raw).and_then(|ppm| in_range(ppm, 0, max, Value::SharePpm)),
            Self::Word(words) => word(text(raw, "a word", &quoted_list(words))?, words),
            Self::Group => group(text(raw, "a group", "write \"239.x.y.z:port\"")?),
            Self::Listen => listen(text(raw, "an address", "write \"ip:port\", e.g. \"127.0.0.1:9464\"")?),
            Self::Unicast => unicast(text(raw, "an address", "write \"ip:port\", e.g. \"10.0.0.1:7001\"")?),
            Self::Host => host(text(raw, "an address", "write an IPv4 address, e.g. \"10.0.0.1\"")?),
            Self::Interface => {
                interface(text(raw, "an interface", "write a name, e.g. \"eth0\", or an address")?)
            }
            Self::Path => path(text(raw, "a path", "write an absolute path in quotes")?),
            Self::Scheduling => scheduling(text(raw, "a scheduling class", "write \"other\" or \"fifo:N\"")?),
            Self::Networks => networks(text(raw, "networks", NETWORKS_HINT)?),
            Self::Hosts => hosts(text(raw, "names of hosts", HOSTS_HINT)?),
        }
    }

    /// Its type, in one cell of the reference.
    pub fn range(self) -> String {
        match self {
            Self::Integer(min, max) => format!("{min} … {max}"),
            Self::Bool => "true, false".into(),
            Self::Duration(min, max) => format!("{} … {}", Value::DurationNs(min), Value::DurationNs(max)),
            Self::Size(min, max) => format!("{} … {}", Value::SizeBytes(min), Value::SizeBytes(max)),
            Self::Share(max) => format!("0% … {}", Value::SharePpm(max)),
            Self::Word(words) => words.join(", "),
            Self::Group => "239.x.y.z:port".into(),
            Self::Unicast | Self::Listen => "ip:port".into(),
            Self::Host => "ip".into(),
            Self::Interface => "name or address".into(),
            Self::Path => "absolute path".into(),
            Self::Scheduling => "other, fifo:1 … fifo:99".into(),
            Self::Networks => "ip, ip/bits …".into(),
            Self::Hosts => "name, name …".into(),
        }
    }

    /// Its unit, in one cell of the reference.
    pub fn unit(self) -> &'static str {
        match self {
            Self::Duration(..) => "ns us ms s min h d",
            Self::Size(..) => "B KiB MiB GiB TiB",
            Self::Share(_) => "%",
            _ => "",
        }
    }
}

impl Display for Value {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer(value) => value.fmt(f),
            Self::Bool(value) => value.fmt(f),
            Self::DurationNs(ns) => units::write_duration(f, *ns),
            Self::SizeBytes(bytes) => units::write_size(f, *bytes),
            Self::SharePpm(ppm) => units::write_share(f, *ppm),
            Self::Word(word) => f.write_str(word),
            Self::Address(address) => address.fmt(f),
            Self::Host(address) => address.fmt(f),
            Self::Interface(interface) => interface.fmt(f),
            Self::Path(path) => path.display().fmt(f),
            Self::Scheduling(scheduling) => scheduling.fmt(f),
            Self::Networks(networks) => networks.fmt(f),
            Self::Hosts(hosts) => hosts.fmt(f),
        }
    }
}

pub(super) fn wrong_type(raw: Raw<'_>, wanted: &str, hint: &str) -> Complaint {
    let found = match raw {
        Raw::String(text) | Raw::Loose(text) => format!("the text \"{text}\""),
        Raw::Integer(_) => "a number".into(),
        Raw::Bool(_) => "true or false".into(),
        Raw::Other(what) => format!("a TOML {what}"),
    };
    Complaint(Code::Type, format!("{found} where {wanted} is needed"), hint.into())
}

fn text<'a>(raw: Raw<'a>, wanted: &str, hint: &str) -> Result<&'a str, Complaint> {
    match raw {
        Raw::String(text) | Raw::Loose(text) => Ok(text),
        other => Err(wrong_type(other, wanted, hint)),
    }
}

fn in_range(value: u64, min: u64, max: u64, make: fn(u64) -> Value) -> Parsed {
    if (min..=max).contains(&value) {
        return Ok(make(value));
    }
    Err(Complaint(
        Code::Range,
        format!("{} is out of range", make(value)),
        format!("write a value from {} to {}", make(min), make(max)),
    ))
}

fn integer(raw: Raw<'_>, min: u64, max: u64) -> Parsed {
    let value = match raw {
        Raw::Integer(value) => value,
        Raw::Loose(text) => match text.parse() {
            Ok(value) => Some(value),
            Err(_) if is_number(text.trim_start_matches('-')) => None,
            Err(_) => return Err(wrong_type(raw, "a whole number", "write digits only")),
        },
        Raw::String(text) if is_number(text) => {
            return Err(wrong_type(raw, "a whole number", &format!("write {text}, without quotes")));
        }
        other => {
            return Err(wrong_type(
                other,
                "a whole number",
                &format!("write a whole number from {min} to {max}"),
            ));
        }
    };
    match value {
        Some(value) => in_range(value, min, max, Value::Integer),
        None => Err(Complaint(
            Code::Range,
            "the number is out of range".into(),
            format!("write a value from {min} to {max}"),
        )),
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn duration(raw: Raw<'_>, min: u64, max: u64) -> Parsed {
    units::duration_ns(raw).and_then(|ns| in_range(ns, min, max, Value::DurationNs))
}

fn size(raw: Raw<'_>, min: u64, max: u64) -> Parsed {
    units::size_bytes(raw).and_then(|bytes| in_range(bytes, min, max, Value::SizeBytes))
}

fn word(text: &str, words: &'static [&'static str]) -> Parsed {
    if let Some(word) = words.iter().find(|word| **word == text) {
        return Ok(Value::Word(word));
    }
    let hint = match nearest(text, words.iter().copied()) {
        Some(word) => format!("did you mean \"{word}\"? {}", quoted_list(words)),
        None => quoted_list(words),
    };
    Err(Complaint(Code::Word, format!("\"{text}\" is not a choice"), hint))
}

/// The candidate that `text` is most likely a misspelling of: few letters apart, or alike in its
/// beginning.
pub(super) fn nearest<'a>(text: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let letters_apart_max = (text.len() / 3).max(1);
    let likeness = |name: &str| match strsim::osa_distance(text, name) {
        apart if apart <= letters_apart_max => 2.0 - apart as f64 / 100.0,
        _ => strsim::jaro_winkler(text, name),
    };
    let scored = candidates.map(|name| (likeness(name), name)).filter(|(score, _)| *score > 0.8);
    scored.max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, name)| name)
}

fn address(text: &str, example: &str) -> Result<SocketAddrV4, Complaint> {
    let refuse =
        |rule: String| Complaint(Code::Address, rule, format!("write \"ip:port\", e.g. \"{example}\""));
    let address: SocketAddrV4 = match text.parse() {
        Ok(address) => address,
        Err(_) if text.parse::<Ipv4Addr>().is_ok() => return Err(refuse(format!("\"{text}\" has no port"))),
        Err(_) => return Err(refuse(format!("\"{text}\" is not an IPv4 address with a port"))),
    };
    match address.port() {
        0 => Err(refuse(format!("\"{text}\" has port 0, which is no fixed port"))),
        _ => Ok(address),
    }
}

fn group(text: &str) -> Parsed {
    let address = address(text, "239.77.0.1:7000")?;
    let ip = *address.ip();
    let refuse = |rule: String| {
        let hint = "write a group of 239.0.0.0/8, e.g. \"239.77.0.1:7000\"".into();
        Err(Complaint(Code::Group, rule, hint))
    };
    match ip.octets() {
        _ if !ip.is_multicast() => refuse(format!("{ip} is not a multicast address")),
        [224, 0, 0, _] => refuse(format!("{ip} belongs to the network's own protocols")),
        [232, ..] => refuse(format!("{ip} is source-specific, and lockstep's groups have many senders")),
        _ => Ok(Value::Address(address)),
    }
}

fn unicast(text: &str) -> Parsed {
    let address = address(text, "10.0.0.1:7001")?;
    let ip = *address.ip();
    let what = match ip {
        _ if ip.is_multicast() => "a multicast address",
        _ if ip.is_unspecified() => "no address that others can send to",
        _ if ip.is_broadcast() => "the broadcast address",
        _ => return Ok(Value::Address(address)),
    };
    let hint = "write the replica's own address, e.g. \"10.0.0.1:7001\"".into();
    Err(Complaint(Code::Address, format!("{ip} is {what}"), hint))
}

fn host(text: &str) -> Parsed {
    let is_host = |ip: &Ipv4Addr| !ip.is_multicast() && !ip.is_unspecified() && !ip.is_broadcast();
    text.parse().ok().filter(is_host).map(Value::Host).ok_or_else(|| {
        let hint = "write the address that its host has on the replicas' network, e.g. \"10.0.0.1\"".into();
        Complaint(Code::Address, format!("\"{text}\" is not the IPv4 address of a host"), hint)
    })
}

fn listen(text: &str) -> Parsed {
    let address = address(text, "127.0.0.1:9464")?;
    if address.ip().is_unspecified() { Ok(Value::Address(address)) } else { unicast(text) }
}

fn interface(text: &str) -> Parsed {
    let refuse = |rule: String| {
        let hint = "write an interface's name, e.g. \"eth0\", or its IPv4 address".into();
        Err(Complaint(Code::Address, rule, hint))
    };
    if let Ok(address) = text.parse::<Ipv4Addr>() {
        let usable = !address.is_multicast() && !address.is_unspecified() && !address.is_broadcast();
        return if usable {
            Ok(Value::Interface(InterfaceSetting::Address(address)))
        } else {
            refuse(format!("{address} is the address of no interface"))
        };
    }
    // The kernel's rule (IFNAMSIZ is 16 with its final zero). Names of digits and dots are mistyped
    // addresses.
    let named = !text.is_empty() && text.len() <= 15 && text != "." && text != "..";
    let letters = text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/' && byte != b':');
    if named && letters && !text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        Ok(Value::Interface(InterfaceSetting::Name(text.into())))
    } else {
        refuse(format!("\"{text}\" is neither an interface's name nor an address"))
    }
}

const NETWORKS_HINT: &str =
    "write networks or addresses with commas between them, e.g. \"10.1.0.0/16, 10.2.0.7\"";

fn networks(text: &str) -> Parsed {
    let networks = text.parse().map(Value::Networks);
    networks.map_err(|rule| Complaint(Code::Address, rule, NETWORKS_HINT.into()))
}

const HOSTS_HINT: &str =
    "write names with commas between them, and no ports, e.g. \"risk-1, risk-1.example.com\"";

fn hosts(text: &str) -> Parsed {
    let hosts = text.parse().map(Value::Hosts);
    hosts.map_err(|rule| Complaint(Code::Address, rule, HOSTS_HINT.into()))
}

fn path(text: &str) -> Parsed {
    let path = PathBuf::from(text);
    if path.is_absolute() && !text.contains('\0') {
        Ok(Value::Path(path))
    } else {
        Err(Complaint(
            Code::Address,
            format!("\"{text}\" is not an absolute path, and would depend on where the process was started"),
            "write a path that begins with /".into(),
        ))
    }
}

fn scheduling(text: &str) -> Parsed {
    let priority = text.strip_prefix("fifo:").map(|number| number.parse::<u8>().ok());
    match (text, priority) {
        ("other", _) => Ok(Value::Scheduling(Scheduling::Other)),
        (_, Some(Some(priority @ 1..=99))) => Ok(Value::Scheduling(Scheduling::Fifo(priority))),
        (_, Some(_)) | ("fifo", _) => Err(Complaint(
            Code::Range,
            format!("\"{text}\" has no priority from 1 to 99"),
            "write \"fifo:50\", or another priority from 1 to 99".into(),
        )),
        _ => Err(Complaint(
            Code::Word,
            format!("\"{text}\" is not a scheduling class"),
            "write \"other\" or \"fifo:N\" with N from 1 to 99".into(),
        )),
    }
}
