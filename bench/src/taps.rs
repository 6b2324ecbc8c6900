//! What passes, and when: sockets on which the kernel notes the time of each datagram and segment as it comes
//! in, so that it does not matter when the one who measures gets its core.
//!
//! A message says its number behind a mark that is looked for in whatever carries it: nobody's protocol has
//! to be read to see it pass.

use crate::plain;
use lockstep_core::engine::ports::Group;
use lockstep_io::udp::{Interface, UdpSettings};
use lockstep_wire::Nanos;
use nix::sys::socket::sockopt::ReceiveTimestampns;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg, setsockopt};
use nix::sys::time::TimeSpec;
use std::io::IoSliceMut;
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::{SystemTime, UNIX_EPOCH};

/// What no protocol here says by itself.
const MARK: [u8; 8] = *b"\x02bench\x03\x1d";
/// The shortest message: mark and number.
pub const SIZE_MIN: usize = 16;
/// What a socket may have waiting.
const BUFFER_LEN: usize = 4 << 20;

/// Writes mark and number to the beginning of a message.
pub fn write_mark(message: &mut [u8], number: u64) {
    message[..8].copy_from_slice(&MARK);
    message[8..SIZE_MIN].copy_from_slice(&number.to_le_bytes());
}

/// Calls `f` with each number in `bytes`; returns what of them need not be looked at again.
pub fn read_marks(bytes: &[u8], mut f: impl FnMut(u64)) -> usize {
    let mut at = 0;
    while let Some(found) = bytes[at..].windows(SIZE_MIN).position(|word| word.starts_with(&MARK)) {
        let number = &bytes[at + found + 8..at + found + SIZE_MIN];
        f(number.try_into().map_or(0, u64::from_le_bytes));
        at += found + SIZE_MIN;
    }
    at.max((bytes.len() + 1).saturating_sub(SIZE_MIN))
}

/// The kernel's clock: what its notes of time are of.
pub fn wall() -> Nanos {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as Nanos)
}

/// A socket that hears a group, and does not block.
///
/// # Errors
/// In words, what the kernel refused.
pub fn join(group: SocketAddrV4) -> Result<UdpSocket, String> {
    join_at(group, Ipv4Addr::LOCALHOST)
}

/// The same on the interface that has `address`.
fn join_at(group: SocketAddrV4, address: Ipv4Addr) -> Result<UdpSocket, String> {
    let udp = UdpSettings::new(Interface::Address(address), group.port(), [*group.ip(); 3]);
    plain::socket(&UdpSettings { joins: vec![Group::Data], receive_buffer_bytes: BUFFER_LEN, ..udp })
}

/// A socket that is listened to.
enum Source {
    Group(UdpSocket),
    Wire(TcpStream),
}

/// See the module.
pub struct Tap {
    source: Source,
    buffer: Vec<u8>,
    /// What came of a wire and may be the beginning of a mark.
    rest: usize,
    control: Vec<u8>,
}

impl Tap {
    fn new(source: Source) -> Result<Self, String> {
        let noted = match &source {
            Source::Group(socket) => setsockopt(socket, ReceiveTimestampns, &true),
            Source::Wire(socket) => setsockopt(socket, ReceiveTimestampns, &true),
        };
        noted.map_err(|error| format!("asking the kernel to note when datagrams come in: {error}"))?;
        Ok(Self { source, buffer: vec![0; 64 << 10], rest: 0, control: nix::cmsg_space!(TimeSpec) })
    }

    /// Hears a group.
    ///
    /// # Errors
    /// In words, what the kernel refused.
    pub fn group(group: SocketAddrV4) -> Result<Self, String> {
        Self::new(Source::Group(join(group)?))
    }

    /// Hears a group on the interface that has `address`.
    ///
    /// # Errors
    /// In words, what the kernel refused.
    pub fn group_at(group: SocketAddrV4, address: Ipv4Addr) -> Result<Self, String> {
        Self::new(Source::Group(join_at(group, address)?))
    }

    /// Hears what comes to a client, whose socket does not block.
    ///
    /// # Errors
    /// In words, what the kernel refused.
    pub fn wire(socket: TcpStream) -> Result<Self, String> {
        Self::new(Source::Wire(socket))
    }

    /// Calls `f` with each number that has come, and when the kernel had it. Returns how often something
    /// came.
    ///
    /// # Errors
    /// The connection has ended.
    pub fn hear(&mut self, mut f: impl FnMut(u64, Nanos)) -> Result<usize, String> {
        for count in 0.. {
            let Some((whole, at)) = self.receive()? else { return Ok(count) };
            let done = read_marks(&self.buffer[..whole], |number| f(number, at));
            self.rest = 0;
            if matches!(self.source, Source::Wire(_)) {
                self.buffer.copy_within(done..whole, 0);
                self.rest = whole - done;
            }
        }
        Ok(0)
    }

    /// Calls `f` with each datagram that has come, and when the kernel had it.
    ///
    /// # Errors
    /// The socket failed.
    pub fn hear_datagrams(&mut self, mut f: impl FnMut(&[u8], Nanos)) -> Result<(), String> {
        while let Some((len, at)) = self.receive()? {
            f(&self.buffer[..len], at);
        }
        Ok(())
    }

    /// Receives once, behind the rest. Returns how many bytes there are, and when the kernel had them.
    fn receive(&mut self) -> Result<Option<(usize, Nanos)>, String> {
        let (fd, is_wire) = match &self.source {
            Source::Group(socket) => (socket.as_raw_fd(), false),
            Source::Wire(socket) => (socket.as_raw_fd(), true),
        };
        let mut parts = [IoSliceMut::new(&mut self.buffer[self.rest..])];
        let came = match recvmsg::<()>(fd, &mut parts, Some(&mut self.control), MsgFlags::MSG_DONTWAIT) {
            Ok(came) => came,
            Err(nix::errno::Errno::EAGAIN | nix::errno::Errno::EINTR) => return Ok(None),
            Err(error) => return Err(format!("a socket that is listened to: {error}")),
        };
        if came.bytes == 0 && is_wire {
            return Err(String::from("a client's connection has ended"));
        }
        let mut notes = came.cmsgs().map_err(|error| error.to_string())?;
        let at = notes.find_map(|note| match note {
            ControlMessageOwned::ScmTimestampns(at) => Some(at),
            _ => None,
        });
        let at = at.map_or_else(wall, |at| at.tv_sec() as Nanos * 1_000_000_000 + at.tv_nsec() as Nanos);
        Ok(Some((self.rest + came.bytes, at)))
    }
}
