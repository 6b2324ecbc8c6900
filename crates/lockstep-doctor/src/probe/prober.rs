//! The schedule and the counts of the probe of one line, without socket and clock.
//!
//! ```text
//!  every 25 ms     a ping to each group, a ping to each host
//!  every 50 ms     the next size of the search for the largest datagram, to the data group and to each host
//!  every 100 ms    the own row, and one row of another host, to the control group and to each host
//!  each ping       its pong, by unicast
//! ```

use super::packet::{
    CHANNELS, ChannelCounts, HEADER_LEN, HOSTS_MAX, LARGE, PeerCounts, ProbeHeader, ProbeKind, ProbeRow,
    QuerierSeen, UNICAST, decode, encode,
};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

const MS: u64 = 1_000_000;
/// The interval of a channel's pings.
pub const PING_NS: u64 = 25 * MS;
/// The interval of reports.
pub const REPORT_NS: u64 = 100 * MS;
/// The interval of the sizes.
pub const SIZE_NS: u64 = 50 * MS;
/// The time after which all sizes have been tried.
pub const SIZES_NS: u64 = 2 * SIZE_NS * (SIZES.len() as u64 + 1);
/// Bytes that IP and UDP add to a datagram.
const HEADERS: u16 = 28;
/// The most round trips of a peer and channel that are retained.
const TRIPS_MAX: usize = 1024;
/// The sizes of IP packets that are tried, up to the configured one; they include those of common tunnels and
/// tags.
const SIZES: [u16; 22] = [
    576, 1100, 1200, 1280, 1300, 1350, 1380, 1400, 1420, 1430, 1440, 1450, 1460, 1472, 1476, 1480, 1492,
    1496, 1500, 2000, 4000, 8000,
];

/// The receiver of a datagram.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ProbeTarget {
    /// A group: 0 submissions, 1 data, 2 control.
    Group(u8),
    /// A host.
    Host(Ipv4Addr),
}

/// Counts of one channel from a peer.
#[derive(Clone, Copy, Default, Debug)]
struct Received {
    count: u32,
    first: u32,
    last: u32,
    last_at: u64,
}

/// A host from which something has arrived.
#[derive(Clone, Default, Debug)]
struct Peer {
    process: u64,
    channels: [Received; CHANNELS],
    largest: [u16; 2],
    trips: [Vec<u32>; CHANNELS],
}

/// Round trips to a host by a channel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ProbeTrips {
    /// Half of them took less.
    pub p50_us: u32,
    /// The longest.
    pub max_us: u32,
}

/// The probe of one line.
#[derive(Debug)]
pub struct Prober {
    cluster: u64,
    own: Ipv4Addr,
    hosts: Vec<Ipv4Addr>,
    by_group: bool,
    process: u64,
    sizes: Vec<u16>,
    started_at: u64,
    ping_at: u64,
    report_at: u64,
    size_at: u64,
    numbers: BTreeMap<(u8, Option<Ipv4Addr>), u32>,
    size_place: usize,
    size_rounds: u16,
    relay_place: usize,
    peers: BTreeMap<Ipv4Addr, Peer>,
    rows: BTreeMap<Ipv4Addr, (ProbeRow, u64)>,
    receive_buffer: u32,
    /// See [`ProbeRow::querier`].
    pub querier: QuerierSeen,
}

/// The settings of a probe of one line.
#[derive(Clone, Debug)]
pub struct ProbeSettings {
    /// Number of the cluster.
    pub cluster: u64,
    /// This host.
    pub own: Ipv4Addr,
    /// All hosts of the line.
    pub hosts: Vec<Ipv4Addr>,
    /// Whether the line has groups.
    pub by_group: bool,
    /// Bytes of the largest IP packet.
    pub mtu: u16,
    /// Bytes of the receive buffer that the kernel granted.
    pub receive_buffer: u64,
    /// A random number.
    pub process: u64,
}

impl Prober {
    /// A probe that begins at `now`.
    pub fn new(settings: ProbeSettings, now: u64) -> Self {
        let ProbeSettings { cluster, own, mut hosts, by_group, mtu, receive_buffer, process } = settings;
        hosts.retain(|host| *host != own);
        hosts.truncate(HOSTS_MAX);
        let sizes = SIZES.into_iter().filter(|size| *size < mtu).chain([mtu]).collect();
        Self {
            cluster,
            own,
            hosts,
            by_group,
            process,
            sizes,
            started_at: now,
            ping_at: now,
            report_at: now,
            size_at: now,
            numbers: BTreeMap::new(),
            size_place: 0,
            size_rounds: 0,
            relay_place: 0,
            peers: BTreeMap::new(),
            rows: BTreeMap::new(),
            receive_buffer: u32::try_from(receive_buffer).unwrap_or(u32::MAX),
            querier: QuerierSeen::Unknown,
        }
    }

    /// When [`Prober::poll`] next has something to send.
    pub fn next_deadline(&self) -> u64 {
        self.ping_at.min(self.report_at).min(self.size_at)
    }

    /// The datagrams that are due at `now`.
    pub fn poll(&mut self, now: u64) -> Vec<(ProbeTarget, Vec<u8>)> {
        let mut out = Vec::new();
        if now >= self.ping_at {
            self.ping_at = now + PING_NS;
            for group in 0..UNICAST {
                self.ping(ProbeTarget::Group(group), group, HEADER_LEN as u16, now, &mut out);
            }
            for host in self.hosts.clone() {
                self.ping(ProbeTarget::Host(host), UNICAST, HEADER_LEN as u16, now, &mut out);
            }
        }
        if now >= self.size_at {
            self.size_at = now + SIZE_NS;
            self.next_size(now, &mut out);
        }
        if now >= self.report_at {
            self.report_at = now + REPORT_NS;
            self.report(now, &mut out);
        }
        out
    }

    fn ping(
        &mut self,
        target: ProbeTarget,
        channel: u8,
        len: u16,
        now: u64,
        out: &mut Vec<(ProbeTarget, Vec<u8>)>,
    ) {
        let host = match target {
            ProbeTarget::Group(_) if !self.by_group => return,
            ProbeTarget::Group(_) => None,
            ProbeTarget::Host(host) => Some(host),
        };
        let number = self.numbers.entry((channel, host)).or_insert(0);
        *number += 1;
        let header = self.header(ProbeKind::Ping, channel, len, self.numbers[&(channel, host)], now);
        out.push((target, encode(self.cluster, &header, None)));
    }

    fn header(&self, kind: ProbeKind, channel: u8, len: u16, number: u32, sent_at: u64) -> ProbeHeader {
        ProbeHeader { kind, channel, len, from: self.own, number, sent_at, process: self.process }
    }

    fn next_size(&mut self, now: u64, out: &mut Vec<(ProbeTarget, Vec<u8>)>) {
        // the largest size alternates with the others, so that a lost one is soon sent again
        let largest = self.sizes.len() - 1;
        let place = if self.size_place.is_multiple_of(2) { largest } else { self.size_place / 2 };
        self.size_place += 1;
        if self.size_place / 2 > largest {
            self.size_place = 0;
            self.size_rounds = self.size_rounds.saturating_add(1);
        }
        let len = self.sizes[place] - HEADERS;
        self.ping(ProbeTarget::Group(1), LARGE[0], len, now, out);
        for host in self.hosts.clone() {
            self.ping(ProbeTarget::Host(host), LARGE[1], len, now, out);
        }
    }

    fn report(&mut self, now: u64, out: &mut Vec<(ProbeTarget, Vec<u8>)>) {
        let mut rows = vec![self.row(now)];
        if !self.rows.is_empty() {
            self.relay_place = (self.relay_place + 1) % self.rows.len();
            rows.extend(self.rows.values().nth(self.relay_place).map(|(row, _)| row.clone()));
        }
        for row in rows {
            let header = self.header(ProbeKind::Row, 0, HEADER_LEN as u16, 0, now);
            let bytes = encode(self.cluster, &header, Some(&row));
            if self.by_group {
                out.push((ProbeTarget::Group(2), bytes.clone()));
            }
            out.extend(self.hosts.iter().map(|host| (ProbeTarget::Host(*host), bytes.clone())));
        }
    }

    /// This host's own row.
    pub fn row(&self, now: u64) -> ProbeRow {
        let count = |channel: &Received| ChannelCounts {
            received: channel.count.min(u16::MAX.into()) as u16,
            lost: (channel.last + u32::from(channel.count > 0))
                .saturating_sub(channel.first + channel.count)
                .min(u16::MAX.into()) as u16,
            silent_ms: (now.saturating_sub(channel.last_at) / MS).min(u16::MAX.into()) as u16,
        };
        let peer = |(address, peer): (&Ipv4Addr, &Peer)| PeerCounts {
            peer: *address,
            channels: [0, 1, 2, 3].map(|channel| count(&peer.channels[channel])),
            largest: peer.largest,
        };
        ProbeRow {
            origin: self.own,
            elapsed_ms: (now.saturating_sub(self.started_at) / MS).min(u32::MAX.into()) as u32,
            size_rounds: self.size_rounds,
            receive_buffer: self.receive_buffer,
            querier: self.querier,
            peers: self.peers.iter().map(peer).collect(),
        }
    }

    /// Handles a received datagram. Returns the reply that it needs.
    pub fn on_datagram(&mut self, now: u64, bytes: &[u8]) -> Option<(ProbeTarget, Vec<u8>)> {
        let (header, row) = decode(self.cluster, bytes)?;
        // own datagrams come back; hosts that are not in the file get no reply
        if !self.hosts.contains(&header.from) {
            return None;
        }
        match header.kind {
            ProbeKind::Ping => self.on_ping(now, &header),
            ProbeKind::Pong => {
                self.on_pong(now, &header);
                None
            }
            ProbeKind::Row => {
                self.on_row(now, header.from, row?);
                None
            }
        }
    }

    fn on_ping(&mut self, now: u64, header: &ProbeHeader) -> Option<(ProbeTarget, Vec<u8>)> {
        let peer = self.peers.entry(header.from).or_default();
        if peer.process != header.process {
            *peer = Peer { process: header.process, ..Peer::default() };
        }
        if let Some(place) = LARGE.iter().position(|channel| *channel == header.channel) {
            peer.largest[place] = peer.largest[place].max(header.len.saturating_add(HEADERS));
            return None;
        }
        let channel = peer.channels.get_mut(usize::from(header.channel))?;
        if channel.count == 0 {
            channel.first = header.number;
        }
        channel.count += 1;
        channel.last = channel.last.max(header.number);
        channel.last_at = now;
        let len = HEADER_LEN as u16;
        let pong = ProbeHeader { from: self.own, ..ProbeHeader { kind: ProbeKind::Pong, len, ..*header } };
        Some((ProbeTarget::Host(header.from), encode(self.cluster, &pong, None)))
    }

    fn on_pong(&mut self, now: u64, header: &ProbeHeader) {
        if header.process != self.process {
            return;
        }
        let peer = self.peers.entry(header.from).or_default();
        let Some(trips) = peer.trips.get_mut(usize::from(header.channel)) else { return };
        if trips.len() < TRIPS_MAX {
            trips.push((now.saturating_sub(header.sent_at) / 1_000).min(u32::MAX.into()) as u32);
        }
    }

    fn on_row(&mut self, now: u64, from: Ipv4Addr, row: ProbeRow) {
        let is_host = self.hosts.contains(&row.origin);
        let is_new = self.rows.get(&row.origin).is_none_or(|(known, _)| {
            row.elapsed_ms > known.elapsed_ms || (from == row.origin && row.elapsed_ms < known.elapsed_ms)
        });
        if is_host && is_new {
            self.rows.insert(row.origin, (row, now));
        }
    }

    /// The rows of all known hosts, each with its age in milliseconds, including this host's own.
    pub fn rows(&self, now: u64) -> BTreeMap<Ipv4Addr, (ProbeRow, u64)> {
        let mut rows: BTreeMap<_, _> = self
            .rows
            .iter()
            .map(|(host, (row, at))| (*host, (row.clone(), now.saturating_sub(*at) / MS)))
            .collect();
        rows.insert(self.own, (self.row(now), 0));
        rows
    }

    /// Round trips to `host` by a channel.
    pub fn round_trips(&self, host: Ipv4Addr, channel: u8) -> Option<ProbeTrips> {
        let mut trips = self.peers.get(&host)?.trips.get(usize::from(channel))?.clone();
        trips.sort_unstable();
        Some(ProbeTrips { p50_us: *trips.get(trips.len() / 2)?, max_us: *trips.last()? })
    }
}
