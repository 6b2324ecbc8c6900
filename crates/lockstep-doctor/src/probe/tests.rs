//! Probes over a simulated network: hosts as probers, and a rule that drops datagrams.

use super::device::{ProbeAddresses, querier_of};
use super::diagnosis::{Matrix, diagnose};
use super::packet::{
    ChannelCounts, HEADER_LEN, PeerCounts, ProbeHeader, ProbeKind, ProbeRow, QuerierSeen, decode, encode,
};
use super::prober::{ProbeSettings, ProbeTarget, Prober};
use crate::finding::{Finding, FindingLevel};
use lockstep_config::Config;
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::path::Path;

const MS: u64 = 1_000_000;
const GROUPS: [Ipv4Addr; 3] =
    [Ipv4Addr::new(239, 7, 1, 1), Ipv4Addr::new(239, 7, 1, 2), Ipv4Addr::new(239, 7, 1, 3)];

fn host(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 77, 0, number)
}

/// A datagram in transit.
struct Flight<'a> {
    from: u8,
    to: u8,
    /// 0 to 2, or 3 for unicast.
    channel: u8,
    bytes: &'a [u8],
    ms: u64,
}

/// Runs `count` hosts for `ms`; a datagram passes if `passes` is true of it. Returns the findings of host
/// `seer`.
fn probe(count: u8, ms: u64, seer: u8, passes: impl Fn(&Flight<'_>) -> bool) -> Vec<Finding> {
    probe_with(count, ms, seer, 4 << 20, passes)
}

fn probe_with(
    count: u8,
    ms: u64,
    seer: u8,
    buffer_of_two: u64,
    passes: impl Fn(&Flight<'_>) -> bool,
) -> Vec<Finding> {
    let hosts: Vec<_> = (1..=count).map(host).collect();
    let settings = |number: u8| ProbeSettings {
        cluster: 7,
        own: host(number),
        hosts: hosts.clone(),
        by_group: true,
        mtu: 1500,
        receive_buffer: if number == 2 { buffer_of_two } else { 4 << 20 },
        process: number.into(),
    };
    let mut probers: Vec<_> = (1..=count).map(|number| Prober::new(settings(number), 0)).collect();
    for prober in &mut probers {
        prober.querier = QuerierSeen::No;
    }
    for now_ms in 0..ms {
        let now = now_ms * MS;
        let mut due: Vec<(u8, ProbeTarget, Vec<u8>)> = Vec::new();
        for (number, prober) in (1..).zip(&mut probers) {
            due.extend(prober.poll(now).into_iter().map(|(target, bytes)| (number, target, bytes)));
        }
        while let Some((from, target, bytes)) = due.pop() {
            for to in 1..=count {
                let channel = match target {
                    ProbeTarget::Group(group) => group,
                    ProbeTarget::Host(address) if address == host(to) => 3,
                    ProbeTarget::Host(_) => continue,
                };
                let flight = Flight { from, to, channel, bytes: &bytes, ms: now_ms };
                if from == to || passes(&flight) {
                    let reply = probers[usize::from(to) - 1].on_datagram(now + 30_000, &bytes);
                    due.extend(reply.map(|(target, bytes)| (to, target, bytes)));
                }
            }
        }
    }
    let prober = &probers[usize::from(seer) - 1];
    let trips = hosts.iter().filter_map(|peer| Some(((*peer, 1), prober.round_trips(*peer, 1)?)));
    diagnose(&Matrix {
        table: "lines.1".to_owned(),
        own: host(seer),
        hosts: hosts.clone(),
        by_group: true,
        groups: GROUPS,
        mtu: 1500,
        receive_buffer: 4 << 20,
        rows: prober.rows(ms * MS),
        trips: trips.collect(),
    })
}

/// The faults by check, with their text.
fn faults(findings: &[Finding]) -> BTreeMap<&'static str, String> {
    let faults = findings.iter().filter(|finding| finding.level > FindingLevel::Unknown);
    faults.map(|finding| (finding.check, finding.now.clone())).collect()
}

/// The only fault, which must be of this check.
#[track_caller]
fn only(findings: &[Finding], check: &str) -> String {
    let faults = faults(findings);
    assert_eq!(faults.keys().copied().collect::<Vec<_>>(), [check], "{faults:#?}");
    faults[check].clone()
}

#[test]
fn a_network_that_carries_everything_has_no_fault_and_shows_its_round_trips() {
    let findings = probe(3, 5_000, 1, |_| true);
    assert_eq!(faults(&findings), BTreeMap::new());
    let paths: Vec<_> = findings.iter().filter(|finding| finding.check == "probe.path").collect();
    assert_eq!(paths.len(), 2);
    assert!(
        paths[0].now.contains("the largest of 1,500 bytes") && paths[0].now.contains("p50 30 us"),
        "{}",
        paths[0]
    );
}

#[test]
fn a_one_way_cut_is_named_by_each_host_that_learns_of_it() {
    for seer in 1..=3 {
        let text =
            only(&probe(3, 4_000, seer, |flight| !(flight.from == 1 && flight.to == 2)), "probe.one_way");
        assert!(
            text.contains("from 10.77.0.1 to 10.77.0.2") && text.contains("the way back is open"),
            "{text}"
        );
    }
    // the ARP replies that unicast needs take the way that is cut
    let without_arp = |flight: &Flight<'_>| match (flight.from, flight.to) {
        (1, 2) => false,
        (2, 1) => flight.channel != 3,
        _ => true,
    };
    only(&probe(3, 4_000, 3, without_arp), "probe.one_way");
    // of two hosts, the one that is received learns of the fault from the other's report
    let text = only(&probe(2, 4_000, 1, |flight| flight.from != 1), "probe.one_way");
    assert!(text.contains("from 10.77.0.1 to 10.77.0.2"), "{text}");
    let text = only(&probe(3, 4_000, 3, |flight| flight.from != 3), "probe.one_way");
    assert!(text.contains("from 10.77.0.3 to all others"), "{text}");
}

#[test]
fn multicast_that_stops_while_unicast_goes_on_is_a_switch_that_snoops_without_a_querier() {
    let findings = probe(3, 5_000, 2, |flight| flight.channel == 3 || flight.ms < 1_500);
    let text = only(&findings, "probe.snooping");
    assert!(
        text.contains("stopped after 1.4 s between all hosts") && text.contains("no query of IGMP was seen"),
        "{text}"
    );
}

#[test]
fn a_smaller_mtu_on_one_link_is_named_with_the_largest_size_that_passes() {
    let small = |flight: &Flight<'_>| (flight.from != 3 && flight.to != 3) || flight.bytes.len() + 28 <= 1432;
    let text = only(&probe(3, 5_000, 1, small), "probe.mtu");
    assert!(text.contains("between 10.77.0.3 and all others") && text.contains("1,430 bytes pass"), "{text}");
    assert!(text.contains("those of 1,500 bytes do not"), "{text}");
}

#[test]
fn a_group_that_is_filtered_on_one_port_is_named_with_group_and_port() {
    let text = only(&probe(3, 4_000, 1, |flight| !(flight.channel == 1 && flight.to == 2)), "probe.group");
    assert!(
        text.contains("group 239.7.1.2 (the probe's for `data`) is filtered from all others to 10.77.0.2"),
        "{text}"
    );
}

#[test]
fn no_multicast_no_unicast_losses_and_small_buffers_are_told_apart() {
    let text = only(&probe(3, 4_000, 1, |flight| flight.channel == 3), "probe.multicast");
    assert!(text.contains("no multicast passes between all hosts"), "{text}");
    let text = only(&probe(3, 4_000, 1, |flight| flight.channel != 3 || flight.to != 3), "probe.unicast");
    assert!(text.contains("no unicast passes from all others to 10.77.0.3"), "{text}");
    let lossy = |flight: &Flight<'_>| !(flight.to == 2 && flight.ms.is_multiple_of(7) && flight.ms > 100);
    let text = only(&probe(3, 4_000, 1, lossy), "probe.loss");
    assert!(text.contains("to 10.77.0.2"), "{text}");
    let text = only(&probe_with(3, 4_000, 1, 212_992, |_| true), "probe.buffer");
    assert!(text.contains("10.77.0.2 have receive buffers of 212,992 bytes"), "{text}");
}

#[test]
fn a_host_without_a_probe_is_no_fault_and_one_that_ends_is_none_either() {
    let findings = probe(3, 4_000, 1, |flight| flight.from != 3);
    let silent = findings.iter().find(|finding| finding.check == "probe.host").expect("a finding");
    assert!(silent.now.contains("10.77.0.3") && silent.level == FindingLevel::Unknown, "{silent}");
    assert_eq!(faults(&findings), BTreeMap::new());
    let ended = probe(3, 5_000, 1, |flight| flight.from != 3 || flight.ms < 2_500);
    assert_eq!(faults(&ended), BTreeMap::new());
}

#[test]
fn hosts_that_the_file_does_not_have_are_not_answered() {
    let settings = ProbeSettings {
        cluster: 7,
        own: host(1),
        hosts: vec![host(1), host(2)],
        by_group: true,
        mtu: 1500,
        receive_buffer: 0,
        process: 1,
    };
    let mut prober = Prober::new(settings, 0);
    let ping = |cluster: u64, from: Ipv4Addr| {
        let header = ProbeHeader {
            kind: ProbeKind::Ping,
            channel: 3,
            len: HEADER_LEN as u16,
            from,
            number: 1,
            sent_at: 0,
            process: 9,
        };
        encode(cluster, &header, None)
    };
    assert!(prober.on_datagram(0, &ping(7, host(2))).is_some());
    assert_eq!(prober.on_datagram(0, &ping(7, host(9))), None);
    assert_eq!(prober.on_datagram(0, &ping(8, host(2))), None, "another cluster");
    assert_eq!(prober.on_datagram(0, b"LKPROBE1"), None, "cut");
}

#[test]
fn a_datagram_is_read_as_it_was_written_and_no_cut_one_is_read() {
    let header = ProbeHeader {
        kind: ProbeKind::Row,
        channel: 0,
        len: 0,
        from: host(1),
        number: 5,
        sent_at: 6,
        process: 7,
    };
    let channels = [ChannelCounts { received: 1, lost: 2, silent_ms: 3 }; 4];
    let row = ProbeRow {
        origin: host(1),
        elapsed_ms: 8,
        size_rounds: 9,
        receive_buffer: 10,
        querier: QuerierSeen::From(host(4)),
        peers: vec![PeerCounts { peer: host(2), channels, largest: [1500, 1400] }; 23],
    };
    let bytes = encode(7, &header, Some(&row));
    assert!(bytes.len() <= 1100 - 28, "a full row of {} bytes fits the smallest mtu", bytes.len());
    let (read, read_row) = decode(7, &bytes).expect("a datagram");
    assert_eq!((read.len as usize, read_row), (bytes.len(), Some(row)));
    for len in 0..bytes.len() {
        assert_eq!(decode(7, &bytes[..len]), None, "{len}");
    }
}

#[test]
fn the_probe_s_groups_and_ports_are_none_of_the_file_s_and_differ_between_lines() {
    let line = |net: u8| {
        let groups = ["submit", "data", "control"].iter().zip([1, 129, 2]);
        let keys: String =
            groups.map(|(key, last)| format!("{key} = \"239.{net}.1.{last}:7700\"\n")).collect();
        format!("[[lines]]\n{keys}interface = \"lo\"\n")
    };
    let replica = "[[replicas]]\nid = 1\nunicast = \"127.0.0.1:7721\"\njournal = \"/tmp/j\"\n";
    let text = format!("cluster = 7\nprofile = \"shared\"\n{}{}{replica}", line(77), line(78));
    let config = Config::parse(Path::new("x.toml"), &text, &[]).unwrap_or_else(|errors| panic!("{errors}"));
    let all: Vec<_> = [0, 1].map(|place| ProbeAddresses::new(&config, place)).into();
    let taken: Vec<_> = config
        .lines
        .iter()
        .flat_map(|line| [*line.submit.ip(), *line.data.ip(), *line.control.ip()])
        .collect();
    let groups: BTreeSet<_> = all.iter().flat_map(|addresses| addresses.groups).collect();
    assert!(groups.len() == 6 && taken.iter().all(|group| !groups.contains(group)), "{all:?}");
    let ports: BTreeSet<_> =
        all.iter().flat_map(|addresses| [addresses.group_port, addresses.unicast_port]).collect();
    assert!(ports.len() == 4 && !ports.contains(&7700) && !ports.contains(&7721), "{all:?}");
}

#[test]
fn a_query_of_igmp_is_told_from_a_report() {
    let packet = |kind: u8| {
        let mut packet = vec![0; 32];
        packet[0] = 0x46;
        packet[9] = 2;
        packet[12..16].copy_from_slice(&[10, 77, 0, 254]);
        packet[24] = kind;
        packet
    };
    assert_eq!(querier_of(&packet(0x11)), Some(host(254)));
    assert_eq!(querier_of(&packet(0x22)), None);
    assert_eq!(querier_of(&[0x46]), None);
}
