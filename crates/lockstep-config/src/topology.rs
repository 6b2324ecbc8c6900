//! The places of nodes, and whether they can reach each other: relations of addresses, hosts and files.
//!
//! A replica's unicast address identifies its host. The rules follow from two facts: the file is the same
//! on every machine, and multicast goes only as far as interface and TTL let it.

use super::Origin;
use super::choices::{Idle, InterfaceSetting, Profile, Transport};
use super::layers::{Layers, labels, nodes, tables};
use super::problem::Code;
use super::value::Value;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};

/// Checks these relations.
pub(super) fn check(layers: &mut Layers<'_>) {
    for label in labels(&layers.lines) {
        groups(layers, &label);
        reach(layers, &label);
        named_interface(layers, &label);
        production_loopback(layers, &label);
        group_port(layers, &label);
        by_unicast(layers, &label);
    }
    two_lines(layers);
    let nodes = nodes(layers);
    distinct(layers, Code::DuplicateId, &nodes, &["id"]);
    distinct(layers, Code::DuplicateAddress, &nodes, &["unicast", "unicast_b"]);
    distinct(layers, Code::DuplicateId, &tables(layers, &["channels"]), &["id"]);
    distinct_files(layers);
    replay_networks(layers, &nodes);
    own_hosts(layers);
    own_cores(layers);
}

/// Whether the file sets this profile.
pub(super) fn is_profile(layers: &Layers<'_>, profile: Profile) -> bool {
    layers.word("profile").and_then(Profile::from_word) == Some(profile)
}

/// One socket receives all groups, so they share a port; a datagram is filtered by its group's address.
fn groups(layers: &mut Layers<'_>, label: &str) {
    let keys = ["submit", "data", "control"].map(|name| format!("lines.{label}.{name}"));
    let mut seen: Vec<(&str, SocketAddrV4)> = Vec::new();
    for key in &keys {
        let Some(address) = layers.address(key) else { continue };
        if let Some((other, _)) = seen.iter().find(|(_, other)| other.ip() == address.ip()) {
            let rule = format!("has the group {} of {other}", address.ip());
            let hint = "write another group: the receivers of one must not receive the others".into();
            layers.blame(Code::Ports, &[key, other], rule, hint);
        }
        seen.push((key, address));
    }
    // The problem is reported at the odd one out; if all differ, at those that differ from the first.
    let votes = |port| seen.iter().filter(|(_, address)| address.port() == port).count();
    let Some((model, port)) =
        seen.iter().rev().map(|(key, a)| (*key, a.port())).max_by_key(|(_, port)| votes(*port))
    else {
        return;
    };
    for (key, address) in seen.iter().filter(|(_, address)| address.port() != port) {
        let rule =
            format!("has port {}, and {model} has {port}; one socket receives all groups", address.port());
        layers.blame(Code::Ports, &[key, model], rule, format!("write \"{}:{port}\"", address.ip()));
    }
}

/// Both lines carry the same datagrams, and neither receives the other's.
fn two_lines(layers: &mut Layers<'_>) {
    let labels = labels(&layers.lines);
    let [first, second, ..] = &labels[..] else { return one_line(layers) };
    let key = |line: &str, name: &str| format!("lines.{line}.{name}");
    for name in ["submit", "data", "control"] {
        let own = key(second, name);
        let Some(address) = layers.address(&own) else { continue };
        for other in ["submit", "data", "control"].map(|name| key(first, name)) {
            if layers.address(&other).is_some_and(|taken| taken.ip() == address.ip()) {
                let rule = format!("has the group {} of {other}", address.ip());
                let hint = "give each line groups of its own".into();
                layers.blame(Code::Ports, &[&own, &other], rule, hint);
            }
        }
    }
    let (own, other) = (key(second, "mtu"), key(first, "mtu"));
    if let (Some(mtu), Some(first)) = (layers.number(&own), layers.number(&other))
        && mtu != first
    {
        let rule = format!("is {mtu}, and {other} is {first}: the same datagrams go by both lines");
        layers.blame(Code::Lines, &[&own, &other], rule, "write the smaller one on both".into());
    }
    let (own, other) = (key(second, "interface"), key(first, "interface"));
    let same = layers.printed(&own).is_some() && layers.printed(&own) == layers.printed(&other);
    if same && is_profile(layers, Profile::Production) {
        let rule = format!("is that of {other}: what cuts one line cuts both");
        let hint = "write an interface of another network, or leave the second line out".into();
        layers.blame(Code::Profile, &[&own, &other], rule, hint);
    }
}

/// No node reaches an address on a line that does not exist.
fn one_line(layers: &mut Layers<'_>) {
    for label in labels(&layers.replicas) {
        let key = format!("replicas.{label}.unicast_b");
        if layers.address(&key).is_some() {
            let hint = "add the second [[lines]], or leave it out".into();
            layers.blame(
                Code::Lines,
                &[&key],
                "is for a second line, and there is one line only".into(),
                hint,
            );
        }
    }
}

/// The name of the host of all loopback addresses.
pub(super) const THIS_HOST: &str = "this host";

/// Which machine an address belongs to; all of 127.0.0.0/8 is this one.
pub(super) fn host(ip: Ipv4Addr) -> String {
    if ip.is_loopback() { THIS_HOST.into() } else { ip.to_string() }
}

/// Hosts of the replicas and archivers, each with the key of its first.
pub(super) fn hosts(layers: &Layers<'_>) -> BTreeMap<String, String> {
    let mut hosts = BTreeMap::new();
    for node in nodes(layers) {
        let key = format!("{node}.unicast");
        if let Some(address) = layers.address(&key) {
            hosts.entry(host(*address.ip())).or_insert(key);
        }
    }
    hosts
}

/// A replica that lost its journal, and an archiver, read the stream from the others' journals.
fn replay_networks(layers: &mut Layers<'_>, nodes: &[String]) {
    let mut keys =
        nodes.iter().flat_map(|node| ["unicast", "unicast_b"].map(|name| format!("{node}.{name}")));
    let left_out = |key: &str| {
        let (networks, address) = (layers.networks("replay.allow")?, layers.address(key)?);
        (!networks.contain((*address.ip()).into())).then_some(*address.ip())
    };
    if let Some((address, key)) = keys.find_map(|key| Some((left_out(&key)?, key))) {
        let rule = format!("leaves out {address}, the address of {key}: it could read no journal");
        let hint = format!("add {address}, or its network");
        layers.blame(Code::Reach, &["replay.allow", &key], rule, hint);
    }
}

/// Multicast must come as far as the replicas are apart.
fn reach(layers: &mut Layers<'_>, label: &str) -> Option<()> {
    let (ttl_key, interface_key) = (format!("lines.{label}.ttl"), format!("lines.{label}.interface"));
    let hosts = hosts(layers);
    if hosts.len() < 2 {
        return None;
    }
    let names: Vec<_> = hosts.keys().cloned().collect();
    if let Some(local) = hosts.get(THIS_HOST).cloned() {
        let rule = "is a loopback address, which the replicas of other hosts cannot reach".into();
        let hint = "write the address that this host has on the replicas' network".into();
        layers.blame(Code::Reach, &[&local], rule, hint);
        return None;
    }
    let apart = format!("and the replicas are on {}", names.join(", "));
    if layers.number(&ttl_key)? == 0
        && transport(layers, &format!("lines.{label}.transport")) != Some(Transport::Unicast)
    {
        let rule = format!("ttl 0 never leaves the host, {apart}");
        layers.blame(Code::Reach, &[&ttl_key], rule, "write ttl = 1, or more if routers lie between".into());
    }
    let Value::Interface(interface) = &layers.cells.get(&interface_key)?.value else { return None };
    if interface.is_loopback() {
        let rule = format!("the loopback interface reaches no other host, {apart}");
        let hint = "write the interface of the replicas' network, e.g. \"eth0\"".into();
        layers.blame(Code::Reach, &[&interface_key], rule, hint);
    }
    Some(())
}

/// The file is the same on every machine; an address belongs to one of them.
fn named_interface(layers: &mut Layers<'_>, label: &str) -> Option<()> {
    let key = format!("lines.{label}.interface");
    let cell = layers.cells.get(&key)?;
    let Value::Interface(InterfaceSetting::Address(address)) = cell.value else { return None };
    let (address, in_file) = (address, matches!(cell.origin, Origin::File { .. }));
    if in_file && !address.is_loopback() && hosts(layers).len() > 1 {
        let rule = format!("{address} is one machine's address, and the file is the same on all");
        let hint = format!(
            "write the interface's name, e.g. \"eth0\", or set {} on each machine",
            super::variable(&key)
        );
        layers.blame(Code::Reach, &[&key], rule, hint);
    }
    Some(())
}

/// Loopback with a TTL looks like a test that was meant to become a network.
fn production_loopback(layers: &mut Layers<'_>, label: &str) -> Option<()> {
    let (key, ttl_key) = (format!("lines.{label}.interface"), format!("lines.{label}.ttl"));
    let Value::Interface(interface) = &layers.cells.get(&key)?.value else { return None };
    let (loopback, ttl) = (interface.is_loopback(), layers.number(&ttl_key)?);
    if loopback && ttl > 0 && hosts(layers).len() < 2 && is_profile(layers, Profile::Production) {
        let rule =
            format!("production does not run over loopback, and ttl {ttl} is for a cluster of several hosts");
        let hint =
            "write the network's interface, or ttl = 0 for a single host, or profile = \"shared\"".into();
        layers.blame(Code::Profile, &[&key, &ttl_key], rule, hint);
    }
    Some(())
}

fn transport(layers: &Layers<'_>, key: &str) -> Option<Transport> {
    layers.word(key).and_then(Transport::from_word)
}

/// A node that sends by multicast alone does not reach a node that receives unicast alone, and the other
/// way round: a line does not have nodes of both kinds. And each destination of a line's datagrams has an
/// address there.
fn by_unicast(layers: &mut Layers<'_>, label: &str) -> Option<()> {
    let line_key = format!("lines.{label}.transport");
    let line = transport(layers, &line_key)?;
    let own = nodes(layers).into_iter().filter_map(|node| {
        let key = format!("{node}.transport");
        Some((transport(layers, &key)?, key))
    });
    let all: Vec<_> = own.chain([(line, line_key.clone())]).collect();
    let unicast = all.iter().find(|(how, _)| *how == Transport::Unicast);
    let multicast = all.iter().find(|(how, _)| matches!(how, Transport::Udp | Transport::Xdp));
    if let (Some((_, unicast_key)), Some((how, multicast_key))) = (unicast, multicast) {
        let rule = format!(
            "is unicast, and {multicast_key} is {how}: neither receives what the other sends to groups"
        );
        let hint = "write \"unicast\" for the line and for no node, or nowhere, or \"auto\"".into();
        layers.blame(Code::Reach, &[unicast_key, multicast_key], rule, hint);
    }
    let is_second = labels(&layers.lines).get(1).is_some_and(|second| second == label);
    if line != Transport::Unicast || !is_second {
        return Some(());
    }
    let keys = labels(&layers.replicas).into_iter().map(|replica| format!("replicas.{replica}.unicast_b"));
    if let Some(key) = keys.into_iter().find(|key| layers.address(key).is_none()) {
        let rule = format!("is unicast, and {key} is missing: no node can send to that replica on this line");
        let hint = "write each replica's unicast_b, its address on this line".into();
        layers.blame(Code::Reach, &[&line_key], rule, hint);
    }
    Some(())
}

/// A unicast datagram to a port of the groups would be taken by whichever group socket is first.
fn group_port(layers: &mut Layers<'_>, label: &str) -> Option<()> {
    let group_key = format!("lines.{label}.submit");
    let port = layers.address(&group_key)?.port();
    let names = |node: String| ["unicast", "unicast_b"].map(|name| format!("{node}.{name}"));
    for key in nodes(layers).into_iter().flat_map(names) {
        let Some(address) = layers.address(&key).filter(|address| address.port() == port) else { continue };
        let rule = format!("port {port} is the groups' port, where unicast may reach the wrong socket");
        let other = if port == u16::MAX { port - 1 } else { port + 1 };
        layers.blame(
            Code::GroupPort,
            &[&key, &group_key],
            rule,
            format!("write \"{}:{other}\"", address.ip()),
        );
    }
    Some(())
}

/// No two of these tables share an id or an address.
pub(super) fn distinct(layers: &mut Layers<'_>, code: Code, tables: &[String], names: &[&str]) {
    let mut first: BTreeMap<String, String> = BTreeMap::new();
    for (table, name) in tables.iter().flat_map(|table| names.iter().map(move |name| (table, name))) {
        let key = format!("{table}.{name}");
        let Some(value) = layers.printed(&key) else { continue };
        if let Some(other) = first.get(&value) {
            let rule = format!("{value} is used by {other} already");
            let who = match table.split('.').next() {
                Some("replicas") => "replica",
                Some("channels") => "channel",
                Some("coordinators") => "coordinator",
                _ => "replica and archiver",
            };
            layers.blame(code, &[&key, other], rule, format!("give each {who} its own {name}"));
        } else {
            first.insert(value, key);
        }
    }
}

/// No two files of one host are the same one. On different hosts equal paths are as they should be.
fn distinct_files(layers: &mut Layers<'_>) {
    let mut first: BTreeMap<(String, String), String> = BTreeMap::new();
    for node in nodes(layers) {
        let Some(address) = layers.address(&format!("{node}.unicast")) else { continue };
        for name in ["journal", "tail", "counters"] {
            let key = format!("{node}.{name}");
            let Some(path) = layers.printed(&key) else { continue };
            let Some(other) = first.get(&(host(*address.ip()), path.clone())).cloned() else {
                first.insert((host(*address.ip()), path), key);
                continue;
            };
            // Derived names are equal only if the ids are, and that has been reported.
            if layers.is_default(&key) && layers.is_default(&other) {
                continue;
            }
            // The part that set it is reported; a default cannot be wrong.
            let (key, other) = if layers.is_default(&key) { (other, key) } else { (key, other) };
            let rule = format!("{path} is used by {other} already");
            layers.blame(Code::DuplicatePath, &[&key, &other], rule, "write another path".into());
        }
    }
}

/// The crash of one host must not take a quorum: in production each replica has a host.
fn own_hosts(layers: &mut Layers<'_>) {
    if !is_profile(layers, Profile::Production) {
        return;
    }
    let mut first: BTreeMap<String, String> = BTreeMap::new();
    for label in labels(&layers.replicas) {
        let key = format!("replicas.{label}.unicast");
        let Some(address) = layers.address(&key) else { continue };
        let host = host(*address.ip());
        match first.get(&host) {
            Some(other) if layers.address(other) != Some(address) => {
                let rule = format!("is on one host with {other}, and the host's crash would take both");
                let hint = "give each replica a host of its own, or write profile = \"shared\"".into();
                layers.blame(Code::Profile, &[&key, other], rule, hint);
            }
            Some(_) => {}
            None => _ = first.insert(host, key),
        }
    }
}

/// Two spinners on one core wait for each other's time slices: milliseconds, not microseconds.
fn own_cores(layers: &mut Layers<'_>) {
    if layers.word("runtime.idle").and_then(Idle::from_word) != Some(Idle::Spin) {
        return;
    }
    let mut first: BTreeMap<(String, u64), String> = BTreeMap::new();
    let of_node = |node: String| Some((layers.address(&format!("{node}.unicast")).map(|at| *at.ip())?, node));
    let of_coordinator = |one: String| Some((layers.host(&format!("{one}.host"))?, one));
    let nodes = nodes(layers).into_iter().filter_map(of_node);
    let coordinators = tables(layers, &["coordinators"]).into_iter().filter_map(of_coordinator);
    for (address, pinned) in nodes.chain(coordinators).collect::<Vec<_>>() {
        let key = format!("{pinned}.core");
        let Some(core) = layers.number(&key) else { continue };
        if let Some(other) = first.get(&(host(address), core)) {
            let rule = format!("core {core} spins for {other} already");
            let hint = "give it another core, or write runtime.idle = \"yield\"".into();
            layers.blame(Code::Profile, &[&key, other], rule, hint);
        } else {
            first.insert((host(address), core), key);
        }
    }
}
