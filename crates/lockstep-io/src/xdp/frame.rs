//! Ethernet, IPv4 and UDP, built and taken apart by hand.
//!
//! ```text
//!  to from [8100 tag] 0800 │ 45 tos len id flags ttl 11 sum from to │ from to len sum │ datagram
//!  6  6     2    2    2    │ 20                                     │ 8               │
//! ```
//!
//! **The UDP checksum** is left out when we send (0, which RFC 768 allows over IPv4): our own checksum covers
//! each datagram end to end, and a pass over the bytes would be a second one. It is not checked when we
//! receive, for the same reason, and because it may not be complete yet: frames of a local kernel's sockets
//! have half of it, for a card to complete. *Cost:* a kernel's UDP_GRO takes frames without a checksum one by
//! one.

use std::net::{Ipv4Addr, SocketAddrV4};

/// Bytes of an Ethernet header without a tag.
pub(super) const ETHERNET_LEN: usize = 14;
/// Bytes of a VLAN tag.
pub(super) const TAG_LEN: usize = 4;
/// The type in front of a tag: 802.1Q.
pub(super) const TPID: u16 = 0x8100;
/// Bytes of an IPv4 header without options and of a UDP header.
pub(super) const IP_UDP_LEN: usize = 20 + 8;
/// Bytes in front of an untagged datagram.
pub(super) const HEADERS_LEN: usize = ETHERNET_LEN + IP_UDP_LEN;
/// The shortest frame that Ethernet carries, without its checksum. A shorter frame is padded with zeros.
const FRAME_LEN_MIN: usize = 60;
/// The number of networks that a unicast datagram may cross: Linux's own default.
pub(super) const UNICAST_TTL: u8 = 64;

/// Address of a card.
pub(super) type Mac = [u8; 6];

/// The card address of a group (RFC 1112): its last 23 bits.
pub(super) fn multicast_mac(group: Ipv4Addr) -> Mac {
    let [_, b, c, d] = group.octets();
    [0x01, 0x00, 0x5e, b & 0x7f, c, d]
}

/// The headers of all datagrams from one port to another, but for lengths and checksum.
#[derive(Clone, Debug)]
pub(super) struct Template {
    bytes: [u8; HEADERS_LEN + TAG_LEN],
    len: usize,
    /// Sum of the IPv4 header's words without its length.
    sum: u32,
}

impl Template {
    /// Headers for frames `from` this card and port `to` that one, with a tag if there is one.
    pub fn new(macs: (Mac, Mac), vlan: Option<u16>, from: SocketAddrV4, to: SocketAddrV4, ttl: u8) -> Self {
        let mut bytes = [0; HEADERS_LEN + TAG_LEN];
        bytes[..6].copy_from_slice(&macs.1);
        bytes[6..12].copy_from_slice(&macs.0);
        let mut at = 12;
        let mut put = |part: &[u8]| {
            bytes[at..at + part.len()].copy_from_slice(part);
            at += part.len();
        };
        if let Some(vlan) = vlan {
            put(&TPID.to_be_bytes());
            put(&(vlan & 0x0fff).to_be_bytes());
        }
        put(&[0x08, 0x00]);
        // Version and length, service, total length, identification (0, as the packet is never fragmented:
        // RFC 6864), "don't fragment", time to live, UDP, checksum.
        put(&[0x45, 0, 0, 0, 0, 0, 0x40, 0, ttl, 17, 0, 0]);
        put(&from.ip().octets());
        put(&to.ip().octets());
        put(&from.port().to_be_bytes());
        put(&to.port().to_be_bytes());
        put(&[0; 4]);
        let len = at;
        let sum = sum_words(&bytes[len - IP_UDP_LEN..len - 8]);
        Self { bytes, len, sum }
    }

    /// The same headers to another card and address.
    pub fn to(&self, mac: Mac, to: SocketAddrV4) -> Self {
        let mut other = self.clone();
        other.bytes[..6].copy_from_slice(&mac);
        let ip = self.len - IP_UDP_LEN;
        other.bytes[ip + 16..ip + 20].copy_from_slice(&to.ip().octets());
        other.bytes[ip + 22..ip + 24].copy_from_slice(&to.port().to_be_bytes());
        other.sum = sum_words(&other.bytes[ip..ip + 20]);
        other
    }

    /// Bytes of a frame that carries `datagram` bytes.
    pub fn frame_len(&self, datagram: usize) -> usize {
        (self.len + datagram).max(FRAME_LEN_MIN)
    }

    /// Writes the frame of a datagram in two parts. Returns its length; `None` if it does not fit.
    pub fn write(&self, frame: &mut [u8], parts: [&[u8]; 2]) -> Option<usize> {
        let bytes = parts[0].len() + parts[1].len();
        let (end, frame_len) = (self.len + bytes, self.frame_len(bytes));
        let udp_len = u16::try_from(8 + bytes).ok()?;
        let ip_len = udp_len.checked_add(20)?;
        let frame = frame.get_mut(..frame_len)?;
        frame[..self.len].copy_from_slice(&self.bytes[..self.len]);
        let ip = self.len - IP_UDP_LEN;
        frame[ip + 2..ip + 4].copy_from_slice(&ip_len.to_be_bytes());
        let checksum = !fold(self.sum + u32::from(ip_len));
        frame[ip + 10..ip + 12].copy_from_slice(&checksum.to_be_bytes());
        frame[ip + 24..ip + 26].copy_from_slice(&udp_len.to_be_bytes());
        frame[self.len..self.len + parts[0].len()].copy_from_slice(parts[0]);
        frame[self.len + parts[0].len()..end].copy_from_slice(parts[1]);
        frame[end..].fill(0);
        Some(frame_len)
    }
}

/// The position of a datagram in its frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct RawDatagram {
    /// Its start in the frame, in bytes.
    pub at: usize,
    /// Its length in bytes.
    pub len: usize,
    /// The sender.
    pub from: SocketAddrV4,
    /// The receiver.
    pub to: SocketAddrV4,
}

/// Finds the datagram in a frame; `None` if it is not a whole one of IPv4 and UDP without options and
/// fragments, tagged if and only if `vlan` is given. The program has checked some of this; a frame that it
/// passed wrongly must do no harm either.
pub(super) fn parse(frame: &[u8], vlan: Option<u16>) -> Option<RawDatagram> {
    let ip = match vlan {
        None => ETHERNET_LEN,
        Some(vlan) => {
            let is_ours = half(frame, 12)? == TPID && half(frame, 14)? & 0x0fff == vlan;
            is_ours.then_some(ETHERNET_LEN + TAG_LEN)?
        }
    };
    let header: &[u8; IP_UDP_LEN] = frame.get(ip..ip + IP_UDP_LEN)?.try_into().ok()?;
    let word = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
    let address = |at: usize| Ipv4Addr::new(header[at], header[at + 1], header[at + 2], header[at + 3]);
    let is_plain = half(frame, ip - 2)? == 0x0800 && header[0] == 0x45 && header[9] == 17;
    if !is_plain || word(6) & 0x3fff != 0 || fold(sum_words(&header[..20])) != 0xffff {
        return None;
    }
    let (ip_len, udp_len) = (usize::from(word(2)), usize::from(word(24)));
    // Bytes behind the packet pad a short frame.
    if udp_len < 8 || ip_len != 20 + udp_len || ip + ip_len > frame.len() {
        return None;
    }
    Some(RawDatagram {
        at: ip + IP_UDP_LEN,
        len: udp_len - 8,
        from: SocketAddrV4::new(address(12), word(20)),
        to: SocketAddrV4::new(address(16), word(22)),
    })
}

/// Two bytes in network order.
fn half(frame: &[u8], at: usize) -> Option<u16> {
    frame.get(at..at + 2)?.try_into().ok().map(u16::from_be_bytes)
}

/// Sum of 16-bit words (RFC 1071), without the carries. The length of `bytes` is even.
fn sum_words(bytes: &[u8]) -> u32 {
    bytes.chunks_exact(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum()
}

/// Adds the carries.
fn fold(sum: u32) -> u16 {
    let once = (sum & 0xffff) + (sum >> 16);
    ((once & 0xffff) + (once >> 16)) as u16
}

#[cfg(test)]
mod tests;
