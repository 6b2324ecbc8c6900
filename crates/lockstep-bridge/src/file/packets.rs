//! Ethernet, IPv4 and UDP around a datagram, checksums included.

use std::net::SocketAddrV4;

/// Bytes of Ethernet, IPv4 and UDP.
pub const HEADERS_LEN: usize = 14 + IP_LEN + UDP_LEN;
const IP_LEN: usize = 20;
const UDP_LEN: usize = 8;
/// IPv4's number of UDP.
const UDP: u8 = 17;
/// Routers that the datagram might have passed, plus one.
const TTL: u8 = 16;

/// Where datagrams come from, and where they go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PacketPath {
    pub source: SocketAddrV4,
    pub destination: SocketAddrV4,
}

impl PacketPath {
    /// The frame of Ethernet with this datagram, in place of what `frame` had. The datagram is one that UDP
    /// takes: at most [`moldudp64::packer::DATAGRAM_LEN_MAX`] bytes.
    pub fn frame(&self, datagram: &[u8], frame: &mut Vec<u8>) {
        frame.clear();
        frame.extend(mac(&self.destination));
        frame.extend(mac(&self.source));
        frame.extend([0x08, 0x00]);
        let udp_len = UDP_LEN + datagram.len();
        let ip_at = frame.len();
        // Version 4 and five words; no service class; the length; no identification, as nothing fragments.
        frame.extend([0x45, 0]);
        frame.extend(((IP_LEN + udp_len) as u16).to_be_bytes());
        frame.extend([0, 0, 0x40, 0, TTL, UDP, 0, 0]);
        frame.extend(self.source.ip().octets());
        frame.extend(self.destination.ip().octets());
        let checksum = !sum(&frame[ip_at..], 0);
        frame[ip_at + 10..ip_at + 12].copy_from_slice(&checksum.to_be_bytes());
        let udp_at = frame.len();
        frame.extend(self.source.port().to_be_bytes());
        frame.extend(self.destination.port().to_be_bytes());
        frame.extend((udp_len as u16).to_be_bytes());
        frame.extend([0, 0]);
        frame.extend_from_slice(datagram);
        // The pseudo header: both addresses, the protocol and the length.
        let pseudo = sum(&frame[ip_at + 12..udp_at], u32::from(UDP) + udp_len as u32);
        let checksum = !sum(&frame[udp_at..], u32::from(pseudo));
        // 0 says that there is none.
        let checksum = if checksum == 0 { 0xFFFF } else { checksum };
        frame[udp_at + 6..udp_at + 8].copy_from_slice(&checksum.to_be_bytes());
    }
}

/// The station's address: a group's as RFC 1112 derives it, another's a locally administered one.
fn mac(address: &SocketAddrV4) -> [u8; 6] {
    let [a, b, c, d] = address.ip().octets();
    match address.ip().is_multicast() {
        true => [0x01, 0x00, 0x5e, b & 0x7F, c, d],
        false => [0x02, 0, a, b, c, d],
    }
}

/// The sum of RFC 1071 over big-endian words, before it is complemented.
fn sum(bytes: &[u8], start: u32) -> u16 {
    let words = bytes.chunks(2).map(|word| {
        let low = word.get(1).copied().unwrap_or(0);
        u32::from(u16::from_be_bytes([word[0], low]))
    });
    // 64 KiB are 32,768 words: no overflow.
    let mut total: u32 = words.sum::<u32>() + start;
    while total > 0xFFFF {
        total = (total & 0xFFFF) + (total >> 16);
    }
    total as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_is_that_of_the_example_of_rfc_1071() {
        assert_eq!(sum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7], 0), 0xddf2);
        assert_eq!(sum(&[0xFF], 0), 0xFF00, "a last byte is the high one of a word");
    }

    #[test]
    fn a_frame_has_the_addresses_the_lengths_and_checksums_that_add_up() {
        let path = PacketPath {
            source: "192.0.2.1:5000".parse().expect("an address"),
            destination: "239.129.1.2:5001".parse().expect("an address"),
        };
        let mut frame = vec![9; 3];
        path.frame(b"abc", &mut frame);
        assert_eq!(frame.len(), HEADERS_LEN + 3);
        assert_eq!(frame[..14], [0x01, 0, 0x5e, 1, 1, 2, 0x02, 0, 192, 0, 2, 1, 0x08, 0]);
        assert_eq!(frame[14..24], [0x45, 0, 0, 31, 0, 0, 0x40, 0, TTL, UDP]);
        assert_eq!(frame[34..40], [0x13, 0x88, 0x13, 0x89, 0, 11]);
        assert_eq!(sum(&frame[14..34], 0), 0xFFFF, "the header's checksum");
        let pseudo = u32::from(sum(&frame[26..34], u32::from(UDP) + 11));
        assert_eq!(sum(&frame[34..], pseudo), 0xFFFF, "the datagram's checksum");
    }
}
