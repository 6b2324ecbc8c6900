//! Runs the probes of all lines for a given time.

use super::device::{ProbeAddresses, ProbeDevice};
use super::diagnosis::{Matrix, diagnose};
use super::packet::{QuerierSeen, UNICAST};
use super::prober::{ProbeSettings, ProbeTarget, Prober};
use crate::finding::{Finding, FindingLevel, Remedy};
use crate::scope::{self, LocalLine, Scope};
use lockstep_config::{Config, Transport};
use lockstep_core::engine::ports::{Burst, Group, Net};
use lockstep_io::IoError;
use lockstep_io::clock::{Clock, random_u64};
use lockstep_io::idle::Parker;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

/// The interval of diagnoses.
const DIAGNOSIS_NS: u64 = 200_000_000;
/// The longest sleep of an idle probe.
const PARK_NS: u64 = 1_000_000;
const GROUPS: [Group; 3] = [Group::Submit, Group::Data, Group::Control];

/// The probe of one line.
struct LineProbe<'a> {
    line: &'a LocalLine<'a>,
    addresses: ProbeAddresses,
    device: ProbeDevice,
    prober: Prober,
    hosts: Vec<Ipv4Addr>,
}

impl<'a> LineProbe<'a> {
    fn open(scope: &'a Scope<'a>, line: &'a LocalLine<'a>, now: u64) -> Result<Self, IoError> {
        let config: &Config = scope.config;
        let own = own_address(scope, line.place);
        let mut device = ProbeDevice::open_for_peers(config, line.place, own)?;
        let hosts = scope::hosts(config, line.place);
        let by_group = line.transport != Transport::Unicast;
        let listens = line.interface.as_ref().is_some_and(|name| device.listen_for_queriers(name));
        let settings = ProbeSettings {
            cluster: config.cluster,
            own: device.own,
            hosts: hosts.clone(),
            by_group,
            mtu: line.line.mtu,
            receive_buffer: device.receive_buffer,
            process: random_u64()?,
        };
        let mut prober = Prober::new(settings, now);
        prober.querier = if listens { QuerierSeen::No } else { QuerierSeen::Unknown };
        Ok(Self { line, addresses: ProbeAddresses::new(config, line.place), device, prober, hosts })
    }

    fn send(&mut self, datagrams: Vec<(ProbeTarget, Vec<u8>)>) {
        for (target, bytes) in datagrams {
            match target {
                ProbeTarget::Group(place) => {
                    let burst = Burst { bytes: &bytes, stride: bytes.len() };
                    self.device.net.send_group(GROUPS[usize::from(place)], &[burst]);
                }
                ProbeTarget::Host(host) => {
                    let to = SocketAddrV4::new(host, self.addresses.unicast_port);
                    self.device.net.send_unicast(to, [&bytes, &[]]);
                }
            }
        }
    }

    /// One pass: receives everything that has arrived, and sends what is due.
    fn turn(&mut self, clock: &Clock) {
        let mut replies = Vec::new();
        let count = self.device.net.recv_groups();
        for index in 0..count {
            replies.extend(self.prober.on_datagram(clock.now(), self.device.net.group_datagram(index)));
        }
        let count = self.device.net.recv_unicast();
        for index in 0..count {
            replies.extend(self.prober.on_datagram(clock.now(), self.device.net.unicast_datagram(index).0));
        }
        self.send(replies);
        if let Some(address) = self.device.querier() {
            self.prober.querier = QuerierSeen::From(address);
        }
        let due = self.prober.poll(clock.now());
        self.send(due);
    }

    fn matrix(&self, now: u64) -> Matrix {
        let channels = 0..=UNICAST;
        let trips = self.hosts.iter().flat_map(|host| channels.clone().map(move |channel| (*host, channel)));
        let trips = trips
            .filter_map(|(host, channel)| Some(((host, channel), self.prober.round_trips(host, channel)?)));
        Matrix {
            table: self.line.table.clone(),
            own: self.device.own,
            hosts: self.hosts.clone(),
            by_group: self.line.transport != Transport::Unicast,
            groups: self.addresses.groups,
            mtu: self.line.line.mtu,
            receive_buffer: self.line.line.receive_buffer_bytes,
            rows: self.prober.rows(now),
            trips: trips.collect(),
        }
    }
}

/// This host's address on a line: that of the first of its nodes there.
fn own_address(scope: &Scope<'_>, place: usize) -> Option<Ipv4Addr> {
    let node = scope.nodes.first()?;
    if place == 0 {
        return Some(*node.unicast.ip());
    }
    let replica = scope.config.replicas.iter().find(|replica| replica.id == node.id)?;
    replica.unicast_b.map(|address| *address.ip())
}

/// Probes all lines for `lasts`, and returns the last diagnosis. `on_fault` gets each fault when it is first
/// found, with the time since the start.
///
/// # Errors
/// The kernel lacks resources for a clock or a poll. A line that cannot be opened is a finding.
pub fn run(
    scope: &Scope<'_>,
    lasts: Duration,
    mut on_fault: impl FnMut(Duration, &Finding),
) -> Result<Vec<Finding>, IoError> {
    let clock = Clock::start();
    let begun = clock.now();
    let mut findings = Vec::new();
    let mut probes = Vec::new();
    for line in &scope.lines {
        match LineProbe::open(scope, line, begun) {
            Ok(probe) => probes.push(probe),
            Err(error) => {
                let why = "nothing can be probed on this line; a node meets the same";
                let found = Finding::new("probe.open", line.table.clone(), error.to_string());
                let mend = Remedy::by_hand(
                    "as the message says; if the port is taken, another probe runs on this host",
                );
                findings.push(found.level(FindingLevel::Error, "the sockets of a node", why).mend(mend));
            }
        }
    }
    let sockets: Vec<_> = probes.iter().flat_map(|probe| probe.device.net.sockets()).collect();
    let mut parker = Parker::new(&sockets)?;
    let mut seen: BTreeMap<&'static str, Duration> = BTreeMap::new();
    let end = begun + lasts.as_nanos() as u64;
    // to the others, a process that was not scheduled for a while looks like a cut: a fault counts when it is
    // found twice
    let mut before: BTreeSet<&'static str> = BTreeSet::new();
    let mut diagnosis_at = begun + DIAGNOSIS_NS;
    while clock.now() < end && !probes.is_empty() {
        for probe in &mut probes {
            probe.turn(&clock);
        }
        let now = clock.now();
        if now >= diagnosis_at {
            diagnosis_at = now + DIAGNOSIS_NS;
            let elapsed = Duration::from_nanos(now - begun);
            let all = probes.iter().flat_map(|probe| diagnose(&probe.matrix(now)));
            let faults: Vec<_> = all.filter(|finding| finding.level > FindingLevel::Unknown).collect();
            for fault in faults.iter().filter(|fault| before.contains(fault.check)) {
                seen.entry(fault.check).or_insert_with(|| {
                    on_fault(elapsed, fault);
                    elapsed
                });
            }
            before = faults.iter().map(|fault| fault.check).collect();
        }
        let due = probes.iter().map(|probe| probe.prober.next_deadline()).min().unwrap_or(now);
        parker.park(due.saturating_sub(clock.now()).min(PARK_NS));
    }
    let now = clock.now();
    let last = probes.iter().flat_map(|probe| diagnose(&probe.matrix(now)));
    findings.extend(last.filter_map(|finding| match seen.get(finding.check) {
        _ if finding.level <= FindingLevel::Unknown => Some(finding),
        Some(at) => {
            let text = format!("first seen {:.1} s after this probe began", at.as_secs_f64());
            Some(finding.measured(Some(text)))
        }
        None => None,
    }));
    Ok(findings)
}
