//! Grades what the hosts of a line have received from each other.
//!
//! Everything is judged by ordered pairs of sender and receiver whose reports are both known: then the sender
//! certainly ran, and what has not arrived was lost between the two. Pairs with the same fault are then
//! grouped by what they have in common: one host's port, or all of the network.

use super::packet::{CHANNELS, ChannelCounts, PeerCounts, ProbeRow, QuerierSeen, UNICAST};
use super::prober::{ProbeTrips, SIZES_NS};
use crate::finding::{Finding, FindingLevel, Remedy};
use lockstep_config::grouped;
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

/// A fault is reported after both hosts have probed for so long.
const JOINT_MS: u32 = 1_200;
/// A channel that was silent for so long while its sender runs has stopped.
const SILENT_MS: u16 = 1_000;
/// An older report is of a host that has ended.
const FRESH_MS: u64 = 700;
/// A share of losses, in thousandths, above which they are no coincidence.
const LOST_PER_MILLE: u32 = 5;
/// Queries of IGMP come each 125 s by default.
const QUERY_MS: u32 = 130_000;

/// A sender and a receiver.
type Pair = (Ipv4Addr, Ipv4Addr);

/// Everything that is known of a line.
#[derive(Clone, Debug)]
pub struct Matrix {
    /// `lines.1`.
    pub table: String,
    /// This host.
    pub own: Ipv4Addr,
    /// All hosts of the file on this line.
    pub hosts: Vec<Ipv4Addr>,
    /// Whether the line has groups.
    pub by_group: bool,
    /// The groups of the probe.
    pub groups: [Ipv4Addr; 3],
    /// The configured size of the largest IP packet.
    pub mtu: u16,
    /// The configured receive buffer.
    pub receive_buffer: u64,
    /// The reports, each with its age in milliseconds.
    pub rows: BTreeMap<Ipv4Addr, (ProbeRow, u64)>,
    /// Round trips of this host, by host and channel.
    pub trips: BTreeMap<(Ipv4Addr, u8), ProbeTrips>,
}

const GROUP_NAMES: [&str; 3] = ["submit", "data", "control"];
const NOTHING: PeerCounts =
    PeerCounts { peer: Ipv4Addr::UNSPECIFIED, channels: [SILENT; CHANNELS], largest: [0, 0] };
const SILENT: ChannelCounts = ChannelCounts { received: 0, lost: 0, silent_ms: u16::MAX };

/// The state of a channel of a pair.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Way {
    /// It passes.
    Open,
    /// It passed, and stopped.
    Stopped,
    /// Nothing has ever passed.
    Closed,
}

impl Matrix {
    fn row(&self, host: Ipv4Addr) -> Option<&ProbeRow> {
        self.rows.get(&host).map(|(row, _)| row)
    }

    /// The counts of `pair`'s receiver, if both hosts have probed for long enough.
    fn counts(&self, (from, to): Pair, joint_ms: u32) -> Option<&PeerCounts> {
        let (sender, receiver) = (self.row(from)?, self.row(to)?);
        let is_long = sender.elapsed_ms >= joint_ms && receiver.elapsed_ms >= joint_ms;
        is_long.then(|| receiver.from_peer(from).unwrap_or(&NOTHING))
    }

    fn pairs(&self) -> Vec<Pair> {
        let known: Vec<_> = self.hosts.iter().copied().filter(|host| self.rows.contains_key(host)).collect();
        let pairs = known.iter().flat_map(|from| known.iter().map(move |to| (*from, *to)));
        pairs.filter(|(from, to)| from != to && self.counts((*from, *to), JOINT_MS).is_some()).collect()
    }

    fn is_fresh(&self, host: Ipv4Addr) -> bool {
        self.rows.get(&host).is_some_and(|(_, age_ms)| *age_ms <= FRESH_MS)
    }

    fn way(&self, pair: Pair, channel: usize) -> Way {
        let Some(counts) = self.counts(pair, JOINT_MS) else { return Way::Open };
        let counts = &counts.channels[channel];
        match counts.received {
            0 => Way::Closed,
            _ if counts.silent_ms >= SILENT_MS && self.is_fresh(pair.0) && self.is_fresh(pair.1) => {
                Way::Stopped
            }
            _ => Way::Open,
        }
    }

    fn ways(&self, pair: Pair) -> [Way; CHANNELS] {
        [0, 1, 2, 3].map(|channel| self.way(pair, channel))
    }

    /// The channels of the groups, if the line has groups.
    fn group_channels(&self) -> std::ops::Range<usize> {
        if self.by_group { 0..usize::from(UNICAST) } else { 0..0 }
    }
}

/// The part of the network that all of `pairs` and no others have in common, as text.
fn common(pairs: &BTreeSet<Pair>, all: &[Pair]) -> String {
    let hosts: BTreeSet<_> = all.iter().flat_map(|(from, to)| [*from, *to]).collect();
    let names = |pairs: &BTreeSet<Pair>| {
        let text: Vec<_> = pairs.iter().map(|(from, to)| format!("from {from} to {to}")).collect();
        text.join(", ")
    };
    if pairs.len() == all.len() && hosts.len() > 2 {
        return "between all hosts".to_owned();
    }
    for host in hosts.iter().filter(|_| hosts.len() > 2) {
        let of = |is_part: &dyn Fn(&Pair) -> bool| -> BTreeSet<Pair> {
            all.iter().filter(|pair| is_part(pair)).copied().collect()
        };
        if *pairs == of(&|pair| pair.0 == *host || pair.1 == *host) {
            return format!("between {host} and all others: its link, or its port of the switch");
        }
        if *pairs == of(&|pair| pair.1 == *host) {
            return format!("from all others to {host}: its port of the switch, or its packet filter");
        }
        if *pairs == of(&|pair| pair.0 == *host) {
            return format!("from {host} to all others: its port of the switch, or its packet filter");
        }
    }
    names(pairs)
}

fn fault(check: &'static str, matrix: &Matrix, now: String) -> Finding {
    Finding::new(check, matrix.table.clone(), now)
}

/// The findings of a line.
pub fn diagnose(matrix: &Matrix) -> Vec<Finding> {
    let mut findings = silent_hosts(matrix);
    let all = matrix.pairs();
    let mut cut: BTreeSet<Pair> = BTreeSet::new();
    findings.extend(cuts(matrix, &all, &mut cut));
    let rest: Vec<Pair> = all.iter().filter(|pair| !cut.contains(pair)).copied().collect();
    findings.extend(multicast(matrix, &rest));
    findings.extend(unicast(matrix, &rest, &cut));
    findings.extend(sizes(matrix, &rest));
    findings.extend(losses(matrix, &rest));
    findings.extend(buffers(matrix));
    findings.extend(querier(matrix));
    findings.extend(round_trips(matrix));
    findings
}

/// Hosts of the file without a report.
fn silent_hosts(matrix: &Matrix) -> Vec<Finding> {
    let silent = matrix.hosts.iter().filter(|host| !matrix.rows.contains_key(host));
    let finding = |host: &Ipv4Addr| {
        let why = "either no probe runs there at the same time, or nothing that it sends reaches this host or any other";
        fault("probe.host", matrix, format!("nothing arrived from {host}"))
            .level(FindingLevel::Unknown, "`lockstep doctor --probe` on all hosts at the same time", why)
            .mend(Remedy::by_hand(format!(
                "run it on {host} too: its own report shows what it receives from here"
            )))
    };
    silent.map(finding).collect()
}

/// Directions in which nothing passes at all.
fn cuts(matrix: &Matrix, all: &[Pair], cut: &mut BTreeSet<Pair>) -> Vec<Finding> {
    let is_dead = |pair: &Pair| {
        let ways = matrix.ways(*pair);
        let used = matrix.group_channels().chain([usize::from(UNICAST)]);
        used.into_iter().all(|channel| ways[channel] != Way::Open)
    };
    cut.extend(all.iter().filter(|pair| is_dead(pair)));
    let (mut one_way, mut both) = (BTreeSet::new(), BTreeSet::new());
    for pair in cut.iter() {
        let back = (pair.1, pair.0);
        if cut.contains(&back) {
            both.insert(*pair)
        } else {
            one_way.insert(*pair)
        };
    }
    let mut findings = Vec::new();
    if !one_way.is_empty() {
        let why = "a node that is received and receives nothing, or the reverse: it may take over and lose the lead in turns";
        findings.push(
            fault(
                "probe.one_way",
                matrix,
                format!("a one-way cut: nothing passes {}; the way back is open", common(&one_way, all)),
            )
            .level(FindingLevel::Error, "both directions", why)
            .mend(Remedy::by_hand(
                "look for a rule in one direction (nft list ruleset, the switch's access lists), or a \
                                       broken strand of a fibre",
            )),
        );
    }
    if !both.is_empty() {
        let why = "these hosts know of each other only through a third one";
        findings.push(
            fault("probe.cut", matrix, format!("nothing passes {}, in both directions", common(&both, all)))
                .level(FindingLevel::Error, "both directions", why)
                .mend(Remedy::by_hand("cable, VLAN, address and mask of both: `ip -br address`, `ip neigh`")),
        );
    }
    findings
}

/// Groups that do not pass although unicast does.
fn multicast(matrix: &Matrix, all: &[Pair]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let (mut stopped, mut none): (BTreeSet<Pair>, BTreeSet<Pair>) = (BTreeSet::new(), BTreeSet::new());
    let mut filtered: BTreeMap<usize, BTreeSet<Pair>> = BTreeMap::new();
    for pair in all {
        let ways = matrix.ways(*pair);
        let channels = matrix.group_channels();
        if channels.is_empty() || ways[usize::from(UNICAST)] != Way::Open {
            continue;
        }
        if channels.clone().any(|channel| ways[channel] == Way::Stopped) {
            stopped.insert(*pair);
        } else if channels.clone().all(|channel| ways[channel] == Way::Closed) {
            none.insert(*pair);
        } else {
            for channel in channels.filter(|channel| ways[*channel] == Way::Closed) {
                filtered.entry(channel).or_default().insert(*pair);
            }
        }
    }
    if !stopped.is_empty() {
        findings.push(stopped_finding(matrix, &stopped, all));
    }
    if !none.is_empty() {
        let why = "the stream continues by repairs and replay alone, some messages for each heartbeat \
                   interval";
        findings.push(
            fault("probe.multicast", matrix, format!("no multicast passes {}; unicast does", common(&none, all)))
                .level(FindingLevel::Error, "multicast of all groups", why)
                .mend(Remedy::by_hand("IGMP snooping, storm control or an access list of the switch; where the network has no multicast: transport = \"unicast\"")),
        );
    }
    for (channel, pairs) in filtered {
        findings.push(filtered_finding(matrix, channel, &pairs, all));
    }
    findings
}

fn stopped_finding(matrix: &Matrix, pairs: &BTreeSet<Pair>, all: &[Pair]) -> Finding {
    let after = |(from, to): &Pair| {
        let row = matrix.row(*to)?;
        let channels = row.from_peer(*from)?.channels;
        let silent = matrix.group_channels().map(|channel| channels[channel].silent_ms).max()?;
        Some(row.elapsed_ms.saturating_sub(silent.into()))
    };
    let after = pairs.iter().filter_map(after).min().unwrap_or(0);
    let querier = matrix.rows.values().any(|(row, _)| matches!(row.querier, QuerierSeen::From(_)));
    let seen = if querier { "queries of IGMP were seen" } else { "no query of IGMP was seen" };
    let now = format!(
        "multicast passed at first and stopped after {}.{} s {}, while unicast continues; {seen}: a switch \
         with IGMP snooping and no querier",
        after / 1_000,
        after / 100 % 10,
        common(pairs, all)
    );
    let why = "the switch forwards a group to the ports of its members only, and forgets a member that no querier asks for";
    fault("probe.snooping", matrix, now).level(FindingLevel::Error, "a querier on this network, or no snooping", why).mend(
        Remedy::by_hand(
            "`ip igmp snooping querier` on the switch; of a Linux bridge: ip link set BRIDGE type bridge mcast_querier 1 (or \
             mcast_snooping 0)",
        ),
    )
}

fn filtered_finding(matrix: &Matrix, channel: usize, pairs: &BTreeSet<Pair>, all: &[Pair]) -> Finding {
    let (group, name) = (matrix.groups[channel], GROUP_NAMES[channel]);
    let now = format!(
        "group {group} (the probe's for `{name}`) is filtered {}; other groups pass",
        common(pairs, all)
    );
    let why = match channel {
        0 => {
            "submissions of publishers there do not reach a replica by multicast, and are sent again by unicast later"
        }
        1 => "the stream itself does not arrive there: everything is repaired by unicast",
        _ => "acknowledgements do not arrive there: commits are slower, or wait for a unicast",
    };
    fault("probe.group", matrix, now).level(FindingLevel::Error, "all three groups", why).mend(Remedy::by_hand(
        "an access list, a static membership or a group limit of that port; `bridge mdb show` of a Linux bridge",
    ))
}

/// Unicast that does not pass although multicast does. Unicast needs replies of ARP on its way back: a cut in
/// that direction is the reason.
fn unicast(matrix: &Matrix, all: &[Pair], cut: &BTreeSet<Pair>) -> Vec<Finding> {
    let is_closed = |pair: &&Pair| {
        matrix.way(**pair, usize::from(UNICAST)) != Way::Open && !cut.contains(&(pair.1, pair.0))
    };
    let closed: BTreeSet<Pair> = all.iter().filter(is_closed).copied().collect();
    if closed.is_empty() {
        return Vec::new();
    }
    let why = "repairs, queries and votes between these hosts are lost; a gap is asked for again and again";
    let finding = fault("probe.unicast", matrix, format!("no unicast passes {}; multicast does", common(&closed, all)))
        .level(FindingLevel::Error, "UDP by unicast", why)
        .mend(Remedy::by_hand("a packet filter (nft list ruleset) that passes the groups' port alone, or a wrong route: `ip route get ADDRESS`"));
    vec![finding]
}

/// Pairs between which datagrams of full size do not pass.
fn sizes(matrix: &Matrix, all: &[Pair]) -> Vec<Finding> {
    let joint_ms = (SIZES_NS / 1_000_000) as u32;
    let place = usize::from(!matrix.by_group);
    let largest = |pair: &Pair| -> Option<u16> {
        let rounds = matrix.row(pair.0)?.size_rounds;
        // a group that is filtered carries no size at all
        let counts = matrix.counts(*pair, joint_ms).filter(|_| rounds > 0)?;
        Some(counts.largest[place].max(counts.largest[1])).filter(|size| *size > 0)
    };
    let small: BTreeMap<Pair, u16> = all
        .iter()
        .filter_map(|pair| Some((*pair, largest(pair)?)))
        .filter(|(_, size)| *size < matrix.mtu)
        .collect();
    let Some(least) = small.values().min() else { return Vec::new() };
    let pairs: BTreeSet<Pair> = small.keys().copied().collect();
    let now = format!(
        "a smaller MTU {}: IP packets of {} bytes pass, those of {} bytes do not",
        common(&pairs, all),
        grouped((*least).into()),
        grouped(matrix.mtu.into())
    );
    let why =
        "full frames are lost on that way each time, while heartbeats pass: that reader never catches up";
    let mend = Remedy::by_hand(format!(
        "the same MTU on all ports, tunnels and bridges of that way; or {}.mtu = {least} for all hosts",
        matrix.table
    ));
    vec![
        fault("probe.mtu", matrix, now)
            .level(
                FindingLevel::Error,
                format!("{} bytes, as {}.mtu", grouped(matrix.mtu.into()), matrix.table),
                why,
            )
            .mend(mend),
    ]
}

fn losses(matrix: &Matrix, all: &[Pair]) -> Vec<Finding> {
    let mut lossy: BTreeMap<Pair, (u32, u32)> = BTreeMap::new();
    for pair in all {
        let Some(counts) = matrix.counts(*pair, JOINT_MS) else { continue };
        let (mut lost, mut sent) = (0, 0);
        for channel in &counts.channels {
            lost += u32::from(channel.lost);
            sent += u32::from(channel.lost) + u32::from(channel.received);
        }
        if lost > 2 && lost * 1_000 > sent * LOST_PER_MILLE {
            lossy.insert(*pair, (lost, sent));
        }
    }
    let Some((lost, sent)) =
        lossy.values().copied().max_by_key(|(lost, sent)| u64::from(*lost) * 1_000 / u64::from(*sent))
    else {
        return Vec::new();
    };
    let pairs: BTreeSet<Pair> = lossy.keys().copied().collect();
    let now = format!(
        "datagrams are lost {}: {} of {} at worst",
        common(&pairs, all),
        grouped(lost.into()),
        grouped(sent.into())
    );
    let why = "each loss costs a repair: a round trip and the guard before it";
    vec![fault("probe.loss", matrix, now).level(FindingLevel::Warning, "no loss at 160 small datagrams a second", why).mend(
        Remedy::by_hand("cable and optics (ethtool -S), storm control, a duplex mismatch; on a busy host: lockstep losses"),
    )]
}

fn buffers(matrix: &Matrix) -> Vec<Finding> {
    let small = matrix
        .rows
        .values()
        .map(|(row, _)| row)
        .filter(|row| u64::from(row.receive_buffer) < matrix.receive_buffer);
    let finding = |row: &ProbeRow| {
        let now = format!(
            "the sockets of {} have receive buffers of {} bytes",
            row.origin,
            grouped(row.receive_buffer.into())
        );
        let why = "a burst that the others store is lost there";
        fault("probe.buffer", matrix, now)
            .level(
                FindingLevel::Error,
                format!("{} bytes, as {}.receive_buffer here", grouped(matrix.receive_buffer), matrix.table),
                why,
            )
            .mend(Remedy::by_hand(format!(
                "on {}: sysctl -w net.core.rmem_max={}, and the same file",
                row.origin, matrix.receive_buffer
            )))
    };
    small.map(finding).collect()
}

fn querier(matrix: &Matrix) -> Vec<Finding> {
    if !matrix.by_group || matrix.hosts.iter().all(Ipv4Addr::is_loopback) {
        return Vec::new();
    }
    let rows = || matrix.rows.values().map(|(row, _)| row);
    if let Some(address) = rows().find_map(|row| match row.querier {
        QuerierSeen::From(address) => Some(address),
        _ => None,
    }) {
        return vec![fault("probe.querier", matrix, format!("queries of IGMP come from {address}"))];
    }
    let listened = rows().filter(|row| row.querier == QuerierSeen::No).map(|row| row.elapsed_ms).max();
    let why = "where a switch snoops, multicast stops some minutes after it began unless a querier asks for members";
    let found = match listened {
        None => fault("probe.querier", matrix, "queries of IGMP are seen with CAP_NET_RAW alone".to_owned())
            .level(FindingLevel::Unknown, "a querier, if switches snoop", why)
            .mend(Remedy::by_hand("run it as root")),
        Some(ms) if ms < QUERY_MS => fault(
            "probe.querier",
            matrix,
            format!("no query of IGMP in {} s; they come each 125 s", ms / 1_000),
        )
        .level(FindingLevel::Unknown, "a querier, if switches snoop", why)
        .mend(Remedy::by_hand("lockstep doctor --probe --for 130s, once for a new network")),
        Some(ms) => fault("probe.querier", matrix, format!("no query of IGMP in {} s", ms / 1_000))
            .level(FindingLevel::Warning, "a querier, if switches snoop", why)
            .mend(Remedy::by_hand("`ip igmp snooping querier` on the switch, unless it does not snoop")),
    };
    vec![found]
}

/// The paths to and from each host, as this host measures them.
fn round_trips(matrix: &Matrix) -> Vec<Finding> {
    let others = matrix.hosts.iter().filter(|host| **host != matrix.own && matrix.rows.contains_key(host));
    let text = |host: &Ipv4Addr| {
        let trip = |channel: u8| matrix.trips.get(&(*host, channel));
        let by = |channel: u8| {
            trip(channel).map(|trip| {
                format!("p50 {} us, longest {} us", grouped(trip.p50_us.into()), grouped(trip.max_us.into()))
            })
        };
        let own = matrix.row(matrix.own)?.from_peer(*host)?;
        let received: u32 = own.channels.iter().map(|channel| u32::from(channel.received)).sum();
        let lost: u32 = own.channels.iter().map(|channel| u32::from(channel.lost)).sum();
        let size = own.largest[0].max(own.largest[1]);
        let ways = [("a group", by(1)), ("unicast", by(UNICAST))];
        let ways: Vec<_> =
            ways.into_iter().filter_map(|(name, text)| Some(format!("by {name} {}", text?))).collect();
        Some(format!(
            "{host}: {} of {} datagrams arrived, the largest of {} bytes; round trip {}",
            grouped(received.into()),
            grouped((received + lost).into()),
            grouped(size.into()),
            if ways.is_empty() { "unknown".to_owned() } else { ways.join(", ") }
        ))
    };
    others.filter_map(text).map(|text| fault("probe.path", matrix, text)).collect()
}
