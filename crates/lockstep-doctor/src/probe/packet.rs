//! The format of a probe's datagrams, little-endian.
//!
//! | bytes | field |
//! |---|---|
//! | 0 | `LKPROBE1` |
//! | 8 | number of the cluster |
//! | 16 | kind: ping, pong, row |
//! | 17 | channel |
//! | 18 | length of the datagram |
//! | 20 | sender |
//! | 24 | number within the channel |
//! | 28 | time of sending; a pong has that of its ping |
//! | 36 | process of the sender |
//! | 44 | of a row: its fields and entries; of others: zeros |

use std::net::Ipv4Addr;

/// The channels of pings: three groups and unicast.
pub const CHANNELS: usize = 4;
/// The channel of unicast, after the three groups.
pub const UNICAST: u8 = 3;
/// The channels of the search for the largest datagram that passes: by the data group, and by unicast.
pub const LARGE: [u8; 2] = [4, 5];
/// Hosts in a row: seven replicas and sixteen archivers.
pub const HOSTS_MAX: usize = 23;

const MAGIC: &[u8; 8] = b"LKPROBE1";
/// Bytes before the row or the zeros.
pub const HEADER_LEN: usize = 44;

/// The kind of a probe's datagram.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ProbeKind {
    /// It is to be counted.
    Ping,
    /// The reply to a ping.
    Pong,
    /// A report of what a host has received.
    Row,
}

/// The fields of every datagram.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ProbeHeader {
    /// The kind.
    pub kind: ProbeKind,
    /// Its channel.
    pub channel: u8,
    /// The length of the datagram.
    pub len: u16,
    /// The sender.
    pub from: Ipv4Addr,
    /// Counted from 1 within the channel.
    pub number: u32,
    /// When the ping was sent, by its sender's clock.
    pub sent_at: u64,
    /// The sender's process.
    pub process: u64,
}

/// Counts of one channel from one host to another.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct ChannelCounts {
    /// Datagrams received.
    pub received: u16,
    /// Those lost between the first and the last received one.
    pub lost: u16,
    /// Milliseconds since the last one.
    pub silent_ms: u16,
}

/// Counts of all channels from one host to another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PeerCounts {
    /// The other host.
    pub peer: Ipv4Addr,
    /// By channel.
    pub channels: [ChannelCounts; CHANNELS],
    /// Bytes of the largest datagram received by a group and by unicast, with IP and UDP headers.
    pub largest: [u16; 2],
}

/// Whether a querier's queries arrive.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum QuerierSeen {
    /// The process is not permitted to listen to them.
    #[default]
    Unknown,
    /// No query has arrived.
    No,
    /// Queries arrive from this address.
    From(Ipv4Addr),
}

/// A host's report.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProbeRow {
    /// The host that reports.
    pub origin: Ipv4Addr,
    /// For how many milliseconds it has probed: a later report has more.
    pub elapsed_ms: u32,
    /// How often it has sent all sizes.
    pub size_rounds: u16,
    /// The bytes of its receive buffer.
    pub receive_buffer: u32,
    /// The querier that it has seen.
    pub querier: QuerierSeen,
    /// Its counts, for each host from which it has received something.
    pub peers: Vec<PeerCounts>,
}

impl ProbeRow {
    /// Its counts of `peer`.
    pub fn from_peer(&self, peer: Ipv4Addr) -> Option<&PeerCounts> {
        self.peers.iter().find(|counts| counts.peer == peer)
    }
}

/// Encodes a datagram of `header.len` bytes, or more if the row needs them.
pub fn encode(cluster: u64, header: &ProbeHeader, row: Option<&ProbeRow>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(usize::from(header.len).max(HEADER_LEN));
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&cluster.to_le_bytes());
    bytes.extend_from_slice(&[header.kind as u8, header.channel]);
    bytes.extend_from_slice(&header.len.to_le_bytes());
    bytes.extend_from_slice(&header.from.octets());
    bytes.extend_from_slice(&header.number.to_le_bytes());
    bytes.extend_from_slice(&header.sent_at.to_le_bytes());
    bytes.extend_from_slice(&header.process.to_le_bytes());
    if let Some(row) = row {
        encode_row(&mut bytes, row);
    }
    if bytes.len() < usize::from(header.len) {
        bytes.resize(usize::from(header.len), 0);
    }
    let len = (bytes.len() as u16).to_le_bytes();
    bytes[18..20].copy_from_slice(&len);
    bytes
}

fn encode_row(bytes: &mut Vec<u8>, row: &ProbeRow) {
    bytes.extend_from_slice(&row.origin.octets());
    bytes.extend_from_slice(&row.elapsed_ms.to_le_bytes());
    bytes.extend_from_slice(&row.size_rounds.to_le_bytes());
    bytes.extend_from_slice(&row.receive_buffer.to_le_bytes());
    let (seen, querier) = match row.querier {
        QuerierSeen::Unknown => (0, Ipv4Addr::UNSPECIFIED),
        QuerierSeen::No => (1, Ipv4Addr::UNSPECIFIED),
        QuerierSeen::From(address) => (2, address),
    };
    bytes.push(seen);
    bytes.extend_from_slice(&querier.octets());
    bytes.push(row.peers.len().min(HOSTS_MAX) as u8);
    for counts in row.peers.iter().take(HOSTS_MAX) {
        bytes.extend_from_slice(&counts.peer.octets());
        for channel in &counts.channels {
            for word in [channel.received, channel.lost, channel.silent_ms] {
                bytes.extend_from_slice(&word.to_le_bytes());
            }
        }
        for word in counts.largest {
            bytes.extend_from_slice(&word.to_le_bytes());
        }
    }
}

/// The rest of a datagram that is still to be read.
struct Rest<'a>(&'a [u8]);

impl Rest<'_> {
    fn take<const COUNT: usize>(&mut self) -> Option<[u8; COUNT]> {
        let (first, rest) = self.0.split_first_chunk::<COUNT>()?;
        self.0 = rest;
        Some(*first)
    }

    fn address(&mut self) -> Option<Ipv4Addr> {
        self.take::<4>().map(Ipv4Addr::from)
    }

    fn half(&mut self) -> Option<u16> {
        self.take().map(u16::from_le_bytes)
    }

    fn word(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }
}

/// Decodes a datagram of a probe of this cluster; `None` for anything else.
pub fn decode(cluster: u64, bytes: &[u8]) -> Option<(ProbeHeader, Option<ProbeRow>)> {
    let mut rest = Rest(bytes);
    if rest.take::<8>()? != *MAGIC || rest.take().map(u64::from_le_bytes)? != cluster {
        return None;
    }
    let [kind, channel] = rest.take()?;
    let kind = match kind {
        0 => ProbeKind::Ping,
        1 => ProbeKind::Pong,
        2 => ProbeKind::Row,
        _ => return None,
    };
    let len = rest.half()?;
    let header = ProbeHeader {
        kind,
        channel,
        len,
        from: rest.address()?,
        number: rest.word()?,
        sent_at: rest.take().map(u64::from_le_bytes)?,
        process: rest.take().map(u64::from_le_bytes)?,
    };
    if usize::from(len) != bytes.len() {
        return None;
    }
    let row = if kind == ProbeKind::Row { Some(decode_row(&mut rest)?) } else { None };
    Some((header, row))
}

fn decode_row(rest: &mut Rest<'_>) -> Option<ProbeRow> {
    let (origin, elapsed_ms, size_rounds) = (rest.address()?, rest.word()?, rest.half()?);
    let (receive_buffer, [seen], address) = (rest.word()?, rest.take()?, rest.address()?);
    let querier = match seen {
        0 => QuerierSeen::Unknown,
        1 => QuerierSeen::No,
        2 => QuerierSeen::From(address),
        _ => return None,
    };
    let [count] = rest.take()?;
    let mut peers = Vec::new();
    for _ in 0..usize::from(count).min(HOSTS_MAX) {
        let peer = rest.address()?;
        let mut channels = [ChannelCounts::default(); CHANNELS];
        for channel in &mut channels {
            *channel = ChannelCounts { received: rest.half()?, lost: rest.half()?, silent_ms: rest.half()? };
        }
        peers.push(PeerCounts { peer, channels, largest: [rest.half()?, rest.half()?] });
    }
    Some(ProbeRow { origin, elapsed_ms, size_rounds, receive_buffer, querier, peers })
}
