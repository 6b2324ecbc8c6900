//! Multicast on this host. Only a probe between hosts shows whether the network carries it.

use super::time;
use crate::facts::Host;
use crate::finding::{Finding, FindingLevel, Remedy};
use crate::parse;
use crate::scope::{LocalLine, Scope};
use lockstep_config::Transport;
use std::net::Ipv4Addr;

/// Groups that one socket of lockstep joins.
const GROUPS: i64 = 3;

pub fn check(scope: &Scope<'_>, host: &Host) -> Vec<Finding> {
    let mut findings = Vec::new();
    for line in scope.lines.iter().filter(|line| line.transport != Transport::Unicast) {
        let Some(name) = &line.interface else { continue };
        let about = format!("{name} ({})", line.table);
        let all = [
            looped(host, line, &about),
            reverse_path(scope, host, line, name, &about),
            version(host, name, &about),
            snooping(host, name, &about),
        ];
        findings.extend(all.into_iter().flatten());
    }
    findings.extend(memberships(host).filter(|_| !findings.is_empty()));
    findings
}

/// Own datagrams that came back: interface, group, route and packet filter of this host work.
fn looped(host: &Host, line: &LocalLine<'_>, about: &str) -> Option<Finding> {
    let times = host.measured.loops.get(&line.table)?;
    let why = "this host does not receive by multicast what it sends to a group itself; its own nodes do \
               not receive each other";
    let mend = |command: String| Remedy::by_hand(command);
    let folder = line.interface.as_ref().map(|name| format!("/sys/class/net/{name}"))?;
    let is_named = host.number(&format!("{folder}/mtu")).is_none_or(|mtu| mtu < i64::from(line.line.mtu));
    if times.error.is_some() && is_named {
        return None; // the check of the card reports it
    }
    if let Some(error) = &times.error {
        let found = Finding::new("multicast.loop", about, error.clone());
        return Some(
            found
                .fail_if(true, "a socket of a group", "no node and no client starts here")
                .mend(mend(format!("ip address show; {}.interface", line.table))),
        );
    }
    let (sent, returned) = (times.sent, times.returned);
    let now = match returned {
        0 => "no own datagram came back".to_owned(),
        _ => format!(
            "{returned} of {sent} own datagrams came back, half of them within {}",
            time(times.p50_ns)
        ),
    };
    let found = Finding::new("multicast.loop", about, now);
    Some(
        found
            .fail_if(returned < sent, "all of them", why)
            .mend(mend("nft list ruleset, iptables -L INPUT: what drops UDP to 239.0.0.0/8?".to_owned())),
    )
}

/// Strict reverse path filtering drops multicast whose sender is routed by another interface.
fn reverse_path(
    scope: &Scope<'_>,
    host: &Host,
    line: &LocalLine<'_>,
    name: &str,
    about: &str,
) -> Option<Finding> {
    let own = format!("net.ipv4.conf.{name}.rp_filter");
    let mode = host.sysctl(&own)?.max(host.sysctl("net.ipv4.conf.all.rp_filter").unwrap_or(0));
    let by_others = |address: &Ipv4Addr| {
        parse::route_to(&scope.routes, *address).is_none_or(|route| route.interface != name)
    };
    let strict = mode == 1 && name != "lo";
    let ours: Vec<_> = scope.nodes.iter().map(|node| *node.unicast.ip()).collect();
    let hosts = scope.hosts(line.place);
    let lost = hosts.iter().filter(|address| !ours.contains(address)).find(|address| by_others(address));
    let word = match mode {
        0 => "off",
        1 => "strict",
        _ => "loose",
    };
    let now = match lost.filter(|_| strict) {
        None => word.to_owned(),
        Some(address) => format!("{word}, and {address} is not reached by {name}"),
    };
    let why = "datagrams of that host are dropped without a trace before any socket";
    let is_wrong = strict && lost.is_some();
    // the kernel takes the greater value, in which loose (2) exceeds strict (1)
    Some(
        Finding::new("multicast.rp_filter", about, now)
            .fail_if(is_wrong, "loose (2) or off", why)
            .mend(Remedy::sysctl(&own, 2)),
    )
}

fn version(host: &Host, name: &str, about: &str) -> Option<Finding> {
    let forced = |of: &str| {
        host.sysctl(&format!("net.ipv4.conf.{of}.force_igmp_version")).filter(|version| *version > 0)
    };
    let is_forced = forced("all").or_else(|| forced(name));
    if host.sysctl(&format!("net.ipv4.conf.{name}.force_igmp_version")).is_none() || name == "lo" {
        return None;
    }
    let found = match is_forced {
        None => Finding::new("multicast.igmp", about, "version 3, or that of the querier"),
        Some(version) => {
            let setting = if forced("all").is_some() { "all" } else { name };
            let why = "version 1 has no message to leave a group: a switch forwards for minutes after the \
                 last member has left";
            Finding::new("multicast.igmp", about, format!("version {version} is forced"))
                .warn_if(version == 1, "version 2 or 3", why)
                .mend(Remedy::sysctl(&format!("net.ipv4.conf.{setting}.force_igmp_version"), 0))
        }
    };
    Some(found)
}

/// A bridge of this host that snoops IGMP without a querier, so that memberships expire.
fn snooping(host: &Host, name: &str, about: &str) -> Option<Finding> {
    let folder = format!("/sys/class/net/{name}/bridge");
    let is_snooping = host.number(&format!("{folder}/multicast_snooping"))? == 1;
    let querier = format!("{folder}/multicast_querier");
    let has_querier = host.number(&querier).unwrap_or(0) == 1;
    let now = match (is_snooping, has_querier) {
        (false, _) => "a bridge without snooping",
        (true, true) => "a bridge with snooping and a querier",
        (true, false) => "a bridge with snooping that is no querier",
    };
    let why = "memberships age out after minutes unless some querier asks for them; multicast then stops";
    let found = Finding::new("multicast.snooping", about, now);
    let found = if is_snooping && !has_querier {
        found.level(FindingLevel::Warning, "a querier, or no snooping", why)
    } else {
        found
    };
    Some(found.mend(Remedy::write([querier], "1", false)))
}

fn memberships(host: &Host) -> Option<Finding> {
    let name = "net.ipv4.igmp_max_memberships";
    let most = host.sysctl(name)?;
    let why = "a socket cannot join its groups, and the node does not start";
    Some(
        Finding::new("multicast.memberships", name, most.to_string())
            .fail_if(most < GROUPS, format!("at least {GROUPS}"), why)
            .mend(Remedy::sysctl(name, 20)),
    )
}
