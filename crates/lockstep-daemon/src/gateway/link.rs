//! A client's connection: plain or TLS. The loop reads and writes the client's bytes, and does not
//! distinguish the two.

use super::tls::Session;
use lockstep_wire::Nanos;
use mio::net::TcpStream;
use std::io::{self, ErrorKind, Read, Write};

/// The first byte of a TLS connection, which is that of a handshake record. A plain login request begins with
/// 0, as it is shorter than 256 bytes.
pub(super) const TLS_BEGINS: u8 = 0x16;

/// The result of a read.
#[derive(Debug)]
pub(super) enum LinkInput {
    /// This many bytes of the client.
    Bytes(usize),
    /// Bytes that TLS consumed: there may be more behind them.
    Again,
    /// Nothing until the socket is readable again.
    Nothing,
    /// The client has closed the connection, or it broke.
    End,
    /// The bytes are of another protocol.
    Fault(String),
}

impl From<io::Result<usize>> for LinkInput {
    fn from(read: io::Result<usize>) -> Self {
        match read {
            Ok(0) => Self::End,
            Ok(len) => Self::Bytes(len),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Self::Nothing,
            Err(error) if error.kind() == ErrorKind::Interrupted => Self::Again,
            Err(_) => Self::End,
        }
    }
}

/// A connection: see the module.
pub(super) enum Link {
    /// A plain connection.
    Plain {
        socket: TcpStream,
        /// Whether its first byte was checked.
        begun: bool,
    },
    Tls(Box<Session>),
}

impl Link {
    /// The socket, to be polled.
    pub fn socket(&mut self) -> &mut TcpStream {
        match self {
            Self::Plain { socket, .. } => socket,
            Self::Tls(session) => session.socket(),
        }
    }

    /// Whether the next bytes may cost a key exchange or a signature.
    pub fn is_handshaking(&self) -> bool {
        match self {
            Self::Plain { .. } => false,
            Self::Tls(session) => session.is_handshaking(),
        }
    }

    /// Whether it has output of its own beside the core's.
    pub fn wants_write(&self) -> bool {
        match self {
            Self::Plain { .. } => false,
            Self::Tls(session) => session.wants_write(),
        }
    }

    /// Reads from the client once.
    pub fn read(&mut self, buffer: &mut [u8]) -> LinkInput {
        match self {
            Self::Plain { socket, begun } => {
                let input = LinkInput::from(socket.read(buffer));
                if let LinkInput::Bytes(len) = input
                    && !std::mem::replace(begun, true)
                    // The third byte of a plain packet is a letter.
                    && let [TLS_BEGINS, 3, 0..=4, ..] = buffer[..len]
                {
                    return LinkInput::Fault(
                        "it begins like TLS, and here clients speak in the clear".into(),
                    );
                }
                input
            }
            Self::Tls(session) => session.read(buffer),
        }
    }

    /// Sends the waiting bytes, and takes as much of `out` as it can.
    ///
    /// # Errors
    /// The socket accepts nothing now, or it broke.
    pub fn write(&mut self, out: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain { socket, .. } => socket.write(out),
            Self::Tls(session) => session.write(out),
        }
    }

    /// No more bytes will be sent. Returns whether the socket may be closed: it has everything, or has
    /// accepted nothing for too long.
    pub fn part(&mut self, now: Nanos) -> bool {
        match self {
            Self::Plain { .. } => true,
            Self::Tls(session) => session.part(now),
        }
    }
}
