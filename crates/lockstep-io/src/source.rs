//! A reader's connection to a journal. It never blocks, and it does not interpret the bytes that it
//! receives.

use crate::IoError;
use lockstep_core::engine::replay::REPLAY_BUFFER_LEN;
use socket2::{Domain, Protocol, Socket, Type};
use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddrV4;

/// The result of polling the connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Polled {
    /// There is no connection, or nothing has arrived.
    Nothing,
    /// Bytes arrived or were consumed.
    Bytes(usize),
    /// The connection has ended.
    Lost,
}

/// A connection: see the module. While closed it is a few words; the buffer is made with the first
/// connection.
#[derive(Debug, Default)]
pub struct ReplayConnection {
    socket: Option<Socket>,
    request: Vec<u8>,
    buffer: Vec<u8>,
    /// The start of the unconsumed bytes in the buffer.
    start: usize,
    /// The end of the unconsumed bytes in the buffer.
    end: usize,
    over: bool,
}

impl ReplayConnection {
    /// Begins to connect to `to`, and will send `request`. Closes an open connection.
    ///
    /// # Errors
    /// The system grants no socket.
    pub fn open(&mut self, to: SocketAddrV4, request: &[u8]) -> Result<(), IoError> {
        self.close();
        let fails = |error| IoError::new(format!("connecting to the journal at {to}"), error);
        let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP)).map_err(fails)?;
        socket.set_nonblocking(true).map_err(fails)?;
        match socket.connect(&to.into()) {
            Ok(()) => {}
            Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => {}
            Err(error) => return Err(fails(error)),
        }
        if self.buffer.is_empty() {
            self.buffer = vec![0; REPLAY_BUFFER_LEN];
        }
        self.request.clear();
        self.request.extend_from_slice(request);
        self.socket = Some(socket);
        Ok(())
    }

    /// Whether there is a connection, or one is being made.
    pub fn is_open(&self) -> bool {
        self.socket.is_some()
    }

    /// Closes the connection and drops the received bytes.
    pub fn close(&mut self) {
        self.socket = None;
        (self.start, self.end, self.over) = (0, 0, false);
    }

    /// One poll: sends the rest of the request, receives once, and passes the buffered bytes to `f`, which
    /// returns how many it consumed.
    pub fn poll(&mut self, f: impl FnOnce(&[u8]) -> usize) -> Polled {
        if self.socket.is_none() {
            return Polled::Nothing;
        }
        if self.send_request().is_err() {
            self.over = true;
        }
        if self.start > 0 && self.buffer.len() - self.end < self.buffer.len() / 2 {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        let received = self.receive();
        if self.start == self.end {
            return if self.over { Polled::Lost } else { Polled::Nothing };
        }
        let used = f(&self.buffer[self.start..self.end]).min(self.end - self.start);
        self.start += used;
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
        match (received, used) {
            // The last bytes are a part of something whose rest never comes.
            (0, 0) if self.over => Polled::Lost,
            (0, 0) => Polled::Nothing,
            _ => Polled::Bytes(received.max(used)),
        }
    }

    fn send_request(&mut self) -> std::io::Result<()> {
        let Some(socket) = self.socket.as_mut().filter(|_| !self.request.is_empty()) else { return Ok(()) };
        match socket.write(&self.request) {
            Ok(sent) => _ = self.request.drain(..sent),
            // Not connected yet.
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected) => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn receive(&mut self) -> usize {
        let Some(socket) = self.socket.as_mut().filter(|_| !self.over && self.request.is_empty()) else {
            return 0;
        };
        if self.end == self.buffer.len() {
            return 0;
        }
        match socket.read(&mut self.buffer[self.end..]) {
            Ok(0) => {
                self.over = true;
                0
            }
            Ok(received) => {
                self.end += received;
                received
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => 0,
            Err(_) => {
                self.over = true;
                0
            }
        }
    }
}
