//! The network card of each line: state, MTU, rings, interrupts, place.

use crate::facts::Host;
use crate::finding::{Finding, FindingLevel, Remedy};
use crate::parse;
use crate::scope::{LocalLine, Scope};
use lockstep_config::{Profile, Transport, XdpMode, grouped};
use lockstep_io::xdp;
use std::collections::BTreeSet;

/// `IFF_UP` and `IFF_MULTICAST` of `linux/if.h`.
const UP: u32 = 0x1;
const MULTICAST: u32 = 0x1000;
/// The consequence of a line without a card.
const NOTHING_STARTS: &str = "no node and no client starts here";
/// A card that delays its interrupts longer adds more latency than the rest of the path.
const COALESCING_US_MAX: u32 = 20;
/// Drivers with native AF_XDP (zero-copy), as of Linux 6.12.
const ZERO_COPY_DRIVERS: [&str; 12] = [
    "gve",
    "i40e",
    "ice",
    "idpf",
    "igb",
    "igc",
    "ixgbe",
    "mlx5_core",
    "stmmac",
    "st_gmac",
    "virtio_net",
    "fsl_dpaa2_eth",
];

pub fn check(scope: &Scope<'_>, host: &Host) -> Vec<Finding> {
    let mut findings = Vec::new();
    for line in &scope.lines {
        let Some(name) = &line.interface else {
            let now = format!("no interface of this host is {}", line.line.interface);
            findings.push(missing(line, &line.table, &now));
            continue;
        };
        let about = format!("{name} ({})", line.table);
        let state = state(host, line, name, &about);
        let is_there = state.level < FindingLevel::Error;
        findings.push(state);
        if !is_there || name == "lo" {
            findings.extend(xdp_use(scope, host, line, name, &about).filter(|_| is_there));
            continue;
        }
        let more = [
            mtu(host, line, name, &about),
            rings(host, name, &about),
            coalescing(scope, host, line, name, &about),
            offloads(host, name, &about),
            steering(host, name, &about),
            interrupts(scope, host, name, &about),
            node(scope, host, name, &about),
            xdp_use(scope, host, line, name, &about),
        ];
        findings.extend(more.into_iter().flatten());
    }
    findings.extend(bridge_filter(host));
    findings
}

fn driver<'a>(host: &'a Host, name: &str) -> Option<&'a str> {
    host.links.get(&format!("/sys/class/net/{name}/device/driver")).map(String::as_str)
}

/// The finding that this host lacks the interface of a line.
fn missing(line: &LocalLine<'_>, about: &str, now: &str) -> Finding {
    let mend = format!(
        "`ip -br address` lists those of this host; {}.interface, or LOCKSTEP_LINES_{}_INTERFACE",
        line.table,
        line.place + 1
    );
    Finding::new("card.exists", about, now)
        .fail_if(true, "an interface of this host", NOTHING_STARTS)
        .mend(Remedy::by_hand(mend))
}

fn state(host: &Host, line: &LocalLine<'_>, name: &str, about: &str) -> Finding {
    let flags = host.text(&format!("/sys/class/net/{name}/flags"));
    let flags = flags.and_then(|text| u32::from_str_radix(text.trim_start_matches("0x"), 16).ok());
    let Some(flags) = flags else { return missing(line, about, "this host has no such interface") };
    let carries = line.transport == Transport::Unicast || name == "lo" || flags & MULTICAST != 0;
    let (now, mend) = match (flags & UP != 0, carries) {
        (false, _) => ("down".to_owned(), format!("ip link set {name} up")),
        (true, false) => ("up, without MULTICAST".to_owned(), format!("ip link set {name} multicast on")),
        (true, true) => {
            let speed = host.number(&format!("/sys/class/net/{name}/speed")).filter(|mbit| *mbit > 0);
            let speed =
                speed.map_or(String::new(), |mbit| format!(", {} Mbit/s", grouped(mbit.unsigned_abs())));
            (
                format!("up, driver {}{speed}", driver(host, name).unwrap_or("of the kernel's own")),
                String::new(),
            )
        }
    };
    let is_wrong = flags & UP == 0 || !carries;
    Finding::new("card.state", about, now)
        .fail_if(is_wrong, "up, with MULTICAST", NOTHING_STARTS)
        .mend(Remedy::by_hand(mend))
}

fn mtu(host: &Host, line: &LocalLine<'_>, name: &str, about: &str) -> Option<Finding> {
    let have = host.number(&format!("/sys/class/net/{name}/mtu"))?;
    let asked = i64::from(line.line.mtu);
    let why = "a full datagram does not fit, and the sockets refuse to open";
    let mend = Remedy::by_hand(format!(
        "ip link set {name} mtu {asked} if the network carries it, else {}.mtu = {have} for all hosts",
        line.table
    ));
    Some(
        Finding::new("card.mtu", about, have.to_string())
            .fail_if(have < asked, format!("at least {asked} ({}.mtu)", line.table), why)
            .mend(mend),
    )
}

fn rings(host: &Host, name: &str, about: &str) -> Option<Finding> {
    let (slots, most) = host.cards.get(name)?.ring?;
    let lost = host.number(&format!("/sys/class/net/{name}/statistics/rx_missed_errors")).unwrap_or(0);
    let now = format!(
        "{} of {} slots, {} packets lost there",
        grouped(slots.into()),
        grouped(most.into()),
        grouped(lost.unsigned_abs())
    );
    let why = "a burst that comes while the card's interrupt waits fills the ring, and the rest is lost before any socket";
    let is_small = slots < most && (lost > 0 || slots < 512.min(most));
    Some(
        Finding::new("card.ring", about, now)
            .warn_if(is_small, format!("{} slots", grouped(most.into())), why)
            .mend(Remedy::by_hand(format!("ethtool -G {name} rx {most}"))),
    )
}

fn coalescing(
    scope: &Scope<'_>,
    host: &Host,
    line: &LocalLine<'_>,
    name: &str,
    about: &str,
) -> Option<Finding> {
    let (us, is_adaptive) = host.cards.get(name)?.coalescing?;
    let now = if is_adaptive { format!("adaptive, now {us} us") } else { format!("{us} us") };
    // a socket that polls the card needs no interrupt
    let polls = line.line.busy_poll_ns > 0 || line.transport == Transport::Xdp;
    let is_late =
        (is_adaptive || us > COALESCING_US_MAX) && !polls && scope.config.profile == Profile::Production;
    let why = format!(
        "the card waits up to {us} us before it reports a packet{}",
        if is_adaptive { ", and longer the more come" } else { "" }
    );
    let found = Finding::new("card.coalescing", about, now);
    Some(
        found
            .warn_if(
                is_late,
                format!("{COALESCING_US_MAX} us at most, not adaptive; or lines.*.busy_poll"),
                why,
            )
            .mend(Remedy::by_hand(format!("ethtool -C {name} adaptive-rx off rx-usecs 0"))),
    )
}

fn offloads(host: &Host, name: &str, about: &str) -> Option<Finding> {
    let lro = host.cards.get(name)?.lro?;
    let why = "packets of TCP wait for others to be joined with; replay and gateways answer later, and bridges break";
    let found = Finding::new("card.offloads", about, if lro { "LRO on" } else { "LRO off" });
    Some(
        found
            .warn_if(lro, "LRO off; GRO and GSO stay on", why)
            .mend(Remedy::by_hand(format!("ethtool -K {name} lro off"))),
    )
}

/// RPS: the kernel moves each packet to another core by an inter-processor interrupt.
fn steering(host: &Host, name: &str, about: &str) -> Option<Finding> {
    let folder = format!("/sys/class/net/{name}/queues");
    let files = host.names_in(&folder).iter().map(|queue| format!("{folder}/{queue}/rps_cpus"));
    let is_on = |path: &String| {
        host.text(path).is_some_and(|text| text.chars().any(|digit| !matches!(digit, '0' | ',')))
    };
    let on: Vec<_> = files.filter(is_on).collect();
    if host.names_in(&folder).is_empty() {
        return None;
    }
    let now = if on.is_empty() { "RPS off".to_owned() } else { format!("RPS on, for {} queues", on.len()) };
    let why = "each packet is handed to another core first, by an interrupt and a queue of its own";
    Some(
        Finding::new("card.steering", about, now)
            .warn_if(!on.is_empty(), "RPS off", why)
            .mend(Remedy::write(on, "0", false)),
    )
}

/// The card's interrupts by number, each with the cores that may handle it.
fn affinities(host: &Host, name: &str) -> Vec<(usize, Vec<usize>)> {
    let cores = |number: usize| {
        let effective = host.cores(&format!("/proc/irq/{number}/effective_affinity_list"));
        if effective.is_empty() {
            host.cores(&format!("/proc/irq/{number}/smp_affinity_list"))
        } else {
            effective
        }
    };
    let numbers = host.interrupts_of(name).into_iter();
    numbers.map(|number| (number, cores(number))).filter(|(_, cores)| !cores.is_empty()).collect()
}

fn interrupts(scope: &Scope<'_>, host: &Host, name: &str, about: &str) -> Option<Finding> {
    let all = affinities(host, name);
    let hot: BTreeSet<usize> = scope.cores().map(|(core, _)| core).collect();
    if all.is_empty() || hot.is_empty() {
        return None;
    }
    let online = host.cores("/sys/devices/system/cpu/online");
    let free: Vec<usize> = online.into_iter().filter(|core| !hot.contains(core)).collect();
    let on_hot: Vec<_> =
        all.iter().filter(|(_, cores)| cores.iter().any(|core| hot.contains(core))).collect();
    let now = match on_hot.first() {
        None => format!("{} interrupts, none on a pinned core", all.len()),
        Some((number, cores)) => {
            format!(
                "{} of {} interrupts, such as {number}, on cores {} with a pinned thread",
                on_hot.len(),
                all.len(),
                parse::list_text(cores)
            )
        }
    };
    let why = "each interrupt stops the pinned thread for some microseconds, and more the more packets come";
    let files = on_hot.iter().map(|(number, _)| format!("/proc/irq/{number}/smp_affinity_list"));
    let mend = if free.is_empty() {
        Remedy::by_hand("a host with more cores than pinned threads")
    } else {
        Remedy::write(files, &parse::list_text(&free), false)
    };
    Some(
        Finding::new("card.interrupts", about, now)
            .warn_if(!on_hot.is_empty(), format!("cores {}", parse::list_text(&free)), why)
            .mend(mend),
    )
}

/// Whether the card and the pinned cores are on one NUMA node.
fn node(scope: &Scope<'_>, host: &Host, name: &str, about: &str) -> Option<Finding> {
    let card = host.number(&format!("/sys/class/net/{name}/device/numa_node")).filter(|node| *node >= 0)?;
    let of_core = |core: usize| {
        let node = host.links.get(&format!("/sys/devices/system/cpu/cpu{core}/node"))?;
        node.strip_prefix("node")?.parse::<i64>().ok()
    };
    let far = scope.cores().find(|(core, _)| of_core(*core).is_some_and(|node| node != card));
    let now = match far {
        None => format!("on node {card}, as the pinned cores"),
        Some((core, _)) => format!("on node {card}, and core {core} on another"),
    };
    let why =
        "each packet crosses from one socket's memory to the other's: some 0.1 us for each line of a cache";
    Some(
        Finding::new("card.numa_node", about, now)
            .warn_if(far.is_some(), format!("cores of node {card}"), why)
            .mend(Remedy::by_hand(format!("choose cores of /sys/devices/system/node/node{card}/cpulist"))),
    )
}

fn xdp_use(scope: &Scope<'_>, host: &Host, line: &LocalLine<'_>, name: &str, about: &str) -> Option<Finding> {
    if line.transport != Transport::Xdp {
        return None;
    }
    let mode = line.line.xdp_mode;
    let mend = Remedy::by_hand(format!("{}.transport = \"udp\" or \"auto\"", line.table));
    if name == "lo" {
        return Some(
            Finding::new("card.xdp", about, "the loopback")
                .fail_if(true, "an Ethernet card", "xdp is for those: the node does not start")
                .mend(mend),
        );
    }
    if let Some(error) = xdp::refusal(&scope.config.udp_of_line(line.place)) {
        return Some(
            Finding::new("card.xdp", about, error.to_string())
                .fail_if(true, "settings that an XDP frame carries", "the node does not start")
                .mend(mend),
        );
    }
    let driver = driver(host, name).unwrap_or("of the kernel's own");
    let knows = ZERO_COPY_DRIVERS.contains(&driver);
    let queues = host.cards.get(name).and_then(|card| card.queues).unwrap_or(1);
    let now = format!("driver {driver}, {queues} queues, mode {mode}");
    let why = "the driver is not known to serve AF_XDP by the card itself (zero-copy): each frame is copied once more";
    let is_wrong = !knows && mode != XdpMode::Generic;
    let level = if mode == XdpMode::ZeroCopy { FindingLevel::Error } else { FindingLevel::Warning };
    let found = Finding::new("card.xdp", about, now);
    let found = if is_wrong { found.level(level, "a driver with zero-copy", why) } else { found };
    Some(found.mend(Remedy::by_hand("`lockstep demo --transport xdp --interface NAME` shows the mode that works; docs/XDP.md lists drivers")))
}

/// Whether bridged packets pass through the host's own packet filter.
fn bridge_filter(host: &Host) -> Option<Finding> {
    let name = "net.bridge.bridge-nf-call-iptables";
    let is_on = host.sysctl(name)? != 0;
    let has_bridge = host.texts.keys().any(|path| path.ends_with("/bridge/multicast_snooping"));
    if !has_bridge {
        return None;
    }
    let why = "each packet that the bridge forwards passes all rules of the packet filter first";
    Some(
        Finding::new("card.bridge_filter", name, if is_on { "on" } else { "off" })
            .warn_if(is_on, "off", why)
            .mend(Remedy::sysctl(name, 0)),
    )
}
