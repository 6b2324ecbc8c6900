//! Ports for nodes of tests, demos and measurements, which may use any port.

use super::socket::socket;
use crate::IoError;
use crate::clock::random_u64;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener};
use std::ops::Range;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::{Mutex, PoisonError};

/// Below the ephemeral ports of Linux (from 32768 on): another process might have one of those when a node
/// binds it, or binds it again after a restart.
const FREE_PORTS: Range<u16> = 10_000..32_768;
/// The number of ports that a process reserves at once.
const BLOCK_LEN: u16 = 64;
const BLOCKS: u16 = (FREE_PORTS.end - FREE_PORTS.start) / BLOCK_LEN;

/// The blocks of this process, and the ports of the last block that were not handed out yet.
struct Reserved {
    /// Each is a name that only one process of the network namespace has; it is released when the process
    /// ends.
    claims: Vec<UnixDatagram>,
    left: Range<u16>,
}

static RESERVED: Mutex<Reserved> = Mutex::new(Reserved { claims: Vec::new(), left: 0..0 });

/// A port of `address` that is free for UDP and TCP at the moment, for a node or a demo that may use any.
///
/// It may be bound long after it was found, and by another process. So it belongs to this process until that
/// ends: no other call, in any process of this network namespace, returns it as well. If all are reserved, it
/// is one of the kernel's ephemeral ports.
///
/// # Errors
/// The system grants no socket.
pub fn free_port(address: Ipv4Addr) -> Result<u16, IoError> {
    let fails = |error| IoError::new(format!("find a free port of {address}"), error);
    let mut reserved = RESERVED.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        if let Some(port) = reserved.left.next() {
            match is_free(address, port)? {
                true => return Ok(port),
                false => continue,
            }
        }
        let Some((claim, block)) = claimed(random_u64()?, BLOCKS).map_err(fails)? else { break };
        reserved.claims.push(claim);
        let first = FREE_PORTS.start + block * BLOCK_LEN;
        reserved.left = first..first + BLOCK_LEN;
    }
    let probe = socket("probe")?;
    probe.bind(&SocketAddrV4::new(address, 0).into()).map_err(fails)?;
    let local = probe.local_addr().map_err(fails)?;
    Ok(local.as_socket_ipv4().map_or(0, |local| local.port()))
}

/// Claims one of `blocks` that no process has; the search begins at one that `random` chooses. `None`: all
/// are claimed.
fn claimed(random: u64, blocks: u16) -> Result<Option<(UnixDatagram, u16)>, std::io::Error> {
    let begin = (random % u64::from(blocks)) as u16;
    for block in (begin..blocks).chain(0..begin) {
        let name = SocketAddr::from_abstract_name(format!("lockstep-ports-{block}"))?;
        match UnixDatagram::bind_addr(&name) {
            Ok(claim) => return Ok(Some((claim, block))),
            Err(error) if error.kind() == ErrorKind::AddrInUse => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// Whether a node of `address` may bind all of its sockets to `port`: the socket of the groups binds it on
/// all addresses.
fn is_free(address: Ipv4Addr, port: u16) -> Result<bool, IoError> {
    for address in [address, Ipv4Addr::UNSPECIFIED] {
        if socket("probe")?.bind(&SocketAddrV4::new(address, port).into()).is_err() {
            return Ok(false);
        }
    }
    Ok(TcpListener::bind((address, port)).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_that_another_process_has_is_passed_over_until_that_one_ends() {
        let claim = || claimed(300, BLOCKS).expect("a socket").expect("a block");
        let (first, block) = claim();
        let (_second, other) = claim();
        assert_ne!(block, other);
        drop(first);
        assert_eq!(claim().1, block);
    }

    #[test]
    fn a_port_that_somebody_has_for_tcp_or_udp_is_not_free() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let port = listener.local_addr().expect("its address").port();
        assert!(!is_free(Ipv4Addr::LOCALHOST, port).expect("a socket"));
        drop(listener);
        assert!(is_free(Ipv4Addr::LOCALHOST, port).expect("a socket"));
        let _bound = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).expect("it is free");
        assert!(!is_free(Ipv4Addr::LOCALHOST, port).expect("a socket"));
    }
}
