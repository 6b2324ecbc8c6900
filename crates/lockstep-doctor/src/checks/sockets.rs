//! Sockets: their buffers, the queue in front of them, ports that other programs may take.

use super::time;
use crate::facts::Host;
use crate::finding::{Finding, FindingLevel, Remedy};
use crate::parse;
use crate::scope::Scope;
use lockstep_config::grouped;

pub fn check(scope: &Scope<'_>, host: &Host) -> Vec<Finding> {
    let all = [
        buffer(scope, host, Direction::Receive),
        buffer(scope, host, Direction::Send),
        dropped(host),
        backlog(scope, host),
        ports(scope, host),
        hop(host),
    ];
    all.into_iter().flatten().collect()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Receive,
    Send,
}

/// The kernel grants no buffer larger than its limit, without an error.
fn buffer(scope: &Scope<'_>, host: &Host, direction: Direction) -> Option<Finding> {
    let (check, name, key) = match direction {
        Direction::Receive => ("socket.receive_buffer", "net.core.rmem_max", "receive_buffer"),
        Direction::Send => ("socket.send_buffer", "net.core.wmem_max", "send_buffer"),
    };
    let asked = |line: &crate::scope::LocalLine<'_>| match direction {
        Direction::Receive => line.line.receive_buffer_bytes,
        Direction::Send => line.line.send_buffer_bytes,
    };
    let line = scope.lines.iter().max_by_key(|line| asked(line))?;
    let (asked, have) = (asked(line), host.sysctl(name)?.unsigned_abs());
    let why = match direction {
        Direction::Receive => {
            "the part of a burst that the buffer cannot store is lost, and has to be repaired"
        }
        Direction::Send => "a burst of the leader waits in parts, and its tail is sent later",
    };
    let burst = host.measured.bursts.get(&line.table).filter(|_| direction == Direction::Receive);
    let measured = burst.map(|burst| {
        format!(
            "of a burst of {} datagrams that were not read, a socket stored {}",
            grouped(burst.sent as u64),
            grouped(burst.stored as u64)
        )
    });
    let found = Finding::new(check, name, format!("{} bytes", grouped(have)))
        .fail_if(have < asked, format!("at least {} bytes ({}.{key})", grouped(asked), line.table), why)
        .measured(measured)
        .mend(Remedy::sysctl(name, asked));
    Some(found)
}

/// Datagrams that were dropped since boot because a socket buffer was full.
fn dropped(host: &Host) -> Option<Finding> {
    let text = host.text("/proc/net/snmp")?;
    let (lost, received) =
        (parse::snmp(text, "Udp", "RcvbufErrors")?, parse::snmp(text, "Udp", "InDatagrams")?);
    let now = format!(
        "{} of {} UDP datagrams since the boot were lost at full sockets",
        grouped(lost),
        grouped(received + lost)
    );
    // of all programs of this host: a loss below one in a million shows no pattern
    let is_high = lost > received / 1_000_000 && lost > 0;
    let why = "some program of this host does not read fast enough; `lockstep losses` shows whether it is a replica";
    let found = Finding::new("socket.losses", "", now);
    Some(if is_high {
        found
            .level(FindingLevel::Unknown, "no loss at a lockstep process", why)
            .mend(Remedy::by_hand("lockstep losses; ss -uam | grep -E 'd[1-9]' names sockets by their drops"))
    } else {
        found
    })
}

/// The per-core queue in front of the sockets, for devices that use it: loopback, veth, RPS.
fn backlog(scope: &Scope<'_>, host: &Host) -> Option<Finding> {
    let name = "net.core.netdev_max_backlog";
    let have = host.sysctl(name)?.unsigned_abs();
    let lost = parse::softnet(host.text("/proc/net/softnet_stat")?, 1);
    let line = scope.lines.iter().max_by_key(|line| line.line.receive_buffer_bytes)?;
    let needed = line.line.receive_buffer_bytes / u64::from(line.line.mtu);
    let now = format!("{} packets, {} lost there since the boot", grouped(have), grouped(lost));
    let why = "packets of the loopback, of veth and of RPS wait there, and a burst that the socket could store is lost before it";
    let wanted = format!("{} packets, as {}.receive_buffer stores", grouped(needed), line.table);
    Some(
        Finding::new("socket.backlog", name, now)
            .warn_if(lost > 0 && have < needed, wanted, why)
            .mend(Remedy::sysctl(name, needed)),
    )
}

/// A port that the kernel may hand to any other process.
fn ports(scope: &Scope<'_>, host: &Host) -> Option<Finding> {
    let name = "net.ipv4.ip_local_port_range";
    let range = host.text(&crate::finding::sysctl_path(name))?;
    let bounds: Vec<u16> = range.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let [first, last] = bounds[..] else { return None };
    let reserved = host.cores(&crate::finding::sysctl_path("net.ipv4.ip_local_reserved_ports"));
    let unicast = scope.nodes.iter().map(|node| node.unicast.port());
    let groups = scope.lines.iter().map(|line| line.line.data.port());
    let mut taken: Vec<u16> = unicast.chain(groups).collect();
    taken.sort_unstable();
    taken.dedup();
    taken.retain(|port| (first..=last).contains(port) && !reserved.contains(&usize::from(*port)));
    let now = if taken.is_empty() {
        "no other process is given a port of the file".to_owned()
    } else {
        let ports: Vec<_> = taken.iter().map(u16::to_string).collect();
        format!("the kernel gives {} to {}, and so {}, to any process", first, last, ports.join(", "))
    };
    let all: Vec<usize> = reserved.into_iter().chain(taken.iter().map(|port| usize::from(*port))).collect();
    let why = "another process may have the port when a node starts again, which then fails";
    let mend = Remedy::sysctl("net.ipv4.ip_local_reserved_ports", parse::list_text(&all));
    Some(Finding::new("socket.ports", "", now).warn_if(!taken.is_empty(), "reserved ports", why).mend(mend))
}

/// The cost of the path through the kernel on this host: the lower bound of any stream by sockets.
fn hop(host: &Host) -> Option<Finding> {
    let ns = host.measured.hop_ns?;
    let text = format!(
        "a datagram by the loopback takes {}, from the send call to the end of the receive call",
        time(ns)
    );
    Some(Finding::new("socket.hop", "", text))
}
