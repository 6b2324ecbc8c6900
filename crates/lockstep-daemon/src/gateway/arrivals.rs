//! Connections of the configured tunnels: each begins with a header that has the client's own address. Once
//! it is read, the connection is a client's.
//!
//! The PROXY protocol, version 2 (haproxy.org, `doc/proxy-protocol.txt`, section 2.2): a signature of 12
//! bytes, version and command, family, a length, and that many bytes of addresses and extensions. It is read
//! with `MSG_PEEK` until it is whole, so that no byte of the client is consumed.

use super::link::{Link, LinkInput};
use lockstep_core::engine::networks::Networks;
use lockstep_wire::Nanos;
use std::io::{self, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// Bytes before addresses and extensions.
const FIXED_LEN: usize = 16;
/// The most bytes of a header: addresses, and room for a tunnel's extensions.
const HEADER_MAX: usize = 1_024;
/// How long a tunnel may take to send the header.
const PATIENCE_NS: Nanos = 5_000_000_000;
/// The interval of looking at waiting connections: each look is a system call for each of them.
const LOOK_NS: Nanos = 1_000_000;
/// The most connections whose headers are awaited; one more is closed at once.
const WAITING_MAX: usize = 1_024;

/// A connection whose header is awaited.
struct Arrival {
    link: Link,
    tunnel: SocketAddr,
    /// The gateway's CompID, if its clients speak FIX.
    fix: Option<String>,
    until: Nanos,
}

/// The arrivals: see the module.
pub(super) struct Arrivals {
    tunnels: Networks,
    waiting: Vec<Arrival>,
    look_at: Nanos,
}

impl Arrivals {
    /// Connections of `tunnels` must begin with a header.
    pub fn new(tunnels: Networks) -> Self {
        Self { tunnels, waiting: Vec::new(), look_at: 0 }
    }

    /// From now on connections of `tunnels` must. Connections whose headers are awaited stay as they are.
    pub fn set_tunnels(&mut self, tunnels: Networks) {
        self.tunnels = tunnels;
    }

    /// Whether `peer` is a tunnel.
    pub fn is_tunnel(&self, peer: SocketAddr) -> bool {
        self.tunnels.contain(peer.ip())
    }

    /// A tunnel has connected. `tell` receives a connection that is closed at once.
    pub fn push(
        &mut self,
        now: Nanos,
        link: Link,
        (tunnel, fix): (SocketAddr, Option<String>),
        tell: impl FnOnce(SocketAddr, &str),
    ) {
        if self.waiting.len() == WAITING_MAX {
            return tell(tunnel, "too many connections of tunnels have sent no PROXY header yet");
        }
        self.waiting.push(Arrival { link, tunnel, fix, until: now + PATIENCE_NS });
    }

    /// The next connection with a whole header, its client's address, and the CompID if it speaks FIX. `tell`
    /// receives connections that were closed before.
    pub fn next(
        &mut self,
        now: Nanos,
        mut tell: impl FnMut(SocketAddr, &str),
    ) -> Option<(Link, SocketAddr, Option<String>)> {
        if now < self.look_at {
            return None;
        }
        let mut index = 0;
        while let Some(arrival) = self.waiting.get_mut(index) {
            let fault = match take_header(arrival) {
                Ok(Some(client)) => {
                    let Arrival { link, tunnel, fix, .. } = self.waiting.swap_remove(index);
                    return Some((link, client.unwrap_or(tunnel), fix));
                }
                Ok(None) if now < arrival.until => {
                    index += 1;
                    continue;
                }
                Ok(None) => "it has not sent its PROXY header in time".to_owned(),
                Err(fault) => fault,
            };
            let tunnel = self.waiting.swap_remove(index).tunnel;
            if !fault.is_empty() {
                tell(tunnel, &fault);
            }
        }
        self.look_at = now + LOOK_NS;
        None
    }
}

/// Consumes the header, if it is whole: the client's address, or `None` if the connection is the tunnel's
/// own. A fault without a text means that the connection is gone.
fn take_header(arrival: &mut Arrival) -> Result<Option<Option<SocketAddr>>, String> {
    let socket = arrival.link.socket();
    let mut bytes = [0; HEADER_MAX];
    let len = match LinkInput::from(socket.peek(&mut bytes)) {
        LinkInput::Bytes(len) => len,
        LinkInput::Nothing | LinkInput::Again => return Ok(None),
        LinkInput::End | LinkInput::Fault(_) => return Err(String::new()),
    };
    let Some((client, header_len)) = parse(&bytes[..len])? else { return Ok(None) };
    let taken: io::Result<()> = socket.read_exact(&mut bytes[..header_len]);
    taken.map_err(|_| String::new())?;
    Ok(Some(client))
}

/// The client's address in a header, and the header's length; `None` while the header is incomplete.
fn parse(bytes: &[u8]) -> Result<Option<(Option<SocketAddr>, usize)>, String> {
    let known = bytes.len().min(SIGNATURE.len());
    if bytes[..known] != SIGNATURE[..known] {
        return Err(
            "it is a tunnel of gateway.tunnels, and begins without a PROXY header of version 2".into()
        );
    }
    let Some((fixed, behind)) = bytes.split_first_chunk::<FIXED_LEN>() else { return Ok(None) };
    let [command, family] = [fixed[12], fixed[13]];
    let len = usize::from(u16::from_be_bytes([fixed[14], fixed[15]]));
    if command >> 4 != 2 || command & 0xf > 1 {
        return Err(format!("its PROXY header has version and command {command:#04x}, and not 0x20 or 0x21"));
    }
    if FIXED_LEN + len > HEADER_MAX {
        return Err(format!("its PROXY header has {len} bytes: at most {}", HEADER_MAX - FIXED_LEN));
    }
    let Some(body) = behind.get(..len) else { return Ok(None) };
    let header_len = FIXED_LEN + len;
    // A tunnel's own connection, such as a health check.
    if command & 0xf == 0 {
        return Ok(Some((None, header_len)));
    }
    // Source address, destination address, source port, destination port.
    let port = |at: usize| Some(u16::from_be_bytes(*body.get(at..)?.first_chunk()?));
    let client = match family {
        0x11 => body.first_chunk::<4>().zip(port(8)).map(|(ip, port)| (Ipv4Addr::from(*ip).into(), port)),
        0x21 => body.first_chunk::<16>().zip(port(32)).map(|(ip, port)| (Ipv6Addr::from(*ip).into(), port)),
        other => {
            return Err(format!("its PROXY header is of family {other:#04x}, and not TCP over IPv4 or IPv6"));
        }
    };
    let client: Option<(IpAddr, u16)> = client;
    let (ip, port) = client.ok_or("its PROXY header is too short for its addresses")?;
    Ok(Some((Some((ip.to_canonical(), port).into()), header_len)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
        [&SIGNATURE[..], &[command, family], &(body.len() as u16).to_be_bytes(), body].concat()
    }

    const V4: [u8; 12] = [192, 0, 2, 7, 10, 0, 0, 1, 0x12, 0x34, 0x23, 0x28];

    #[test]
    fn a_header_names_the_client_and_may_have_extensions() {
        let client = Some("192.0.2.7:4660".parse().expect("an address"));
        assert_eq!(parse(&header(0x21, 0x11, &V4)), Ok(Some((client, 28))));
        let extended = [&V4[..], &[4, 0, 2, 1, 1]].concat();
        assert_eq!(parse(&header(0x21, 0x11, &extended)), Ok(Some((client, 33))));
        let with_login = [header(0x21, 0x11, &V4), b"\0\x2fL".to_vec()].concat();
        assert_eq!(parse(&with_login), Ok(Some((client, 28))), "the client's own bytes are no part of it");
        let mut v6 = [0; 36];
        v6[15] = 9;
        v6[32..34].copy_from_slice(&[0x12, 0x34]);
        let client = Some("[::9]:4660".parse().expect("an address"));
        assert_eq!(parse(&header(0x21, 0x21, &v6)), Ok(Some((client, 52))));
        assert_eq!(parse(&header(0x20, 0x00, &[])), Ok(Some((None, 16))), "the tunnel's own connection");
    }

    #[test]
    fn a_header_in_pieces_is_awaited_and_a_wrong_one_is_named_as_soon_as_it_is_wrong() {
        let whole = header(0x21, 0x11, &V4);
        for len in 0..whole.len() {
            assert_eq!(parse(&whole[..len]), Ok(None), "{len} bytes");
        }
        let wrong = |bytes: &[u8]| parse(bytes).expect_err("it is wrong");
        assert!(wrong(b"\0\x2fL").contains("without a PROXY header"));
        assert!(wrong(b"PROXY TCP4 ").contains("version 2"));
        assert!(wrong(&header(0x31, 0x11, &V4)).contains("0x31"));
        assert!(wrong(&header(0x21, 0x12, &V4)).contains("0x12"), "over UDP");
        assert!(wrong(&header(0x21, 0x11, &V4[..9])).contains("too short"));
        assert!(wrong(&header(0x21, 0x11, &[0; 1_009])).contains("1009 bytes"));
    }

    #[test]
    fn any_bytes_are_awaited_refused_or_a_header() {
        let whole = header(0x21, 0x21, &[7; 40]);
        for at in 0..whole.len() {
            for value in 0..=255 {
                let mut changed = whole.clone();
                changed[at] = value;
                if let Ok(Some((_, len))) = parse(&changed) {
                    assert!(len <= changed.len());
                }
            }
        }
    }
}
