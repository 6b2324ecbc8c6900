//! A client's machine and its stream of bytes in one: what is to be sent is written as far as the stream
//! takes it, and what comes is handed out as events. Nothing waits, so the stream must not block.

use super::client::{Client, ClientEvent, ClientLimits, ClientRefused};
use super::packet::LoginRequest;
use std::io::{ErrorKind, Read, Write};

/// Bytes that are read at once.
const READ_LEN: usize = 16 << 10;

/// One client's connection over a stream that does not block, such as a `TcpStream` that was told so.
#[derive(Debug)]
pub struct Connection<S> {
    stream: S,
    client: Client,
    /// What came and is no whole packet yet.
    inbox: Vec<u8>,
    /// The bytes to send.
    out: Vec<u8>,
    buffer: Vec<u8>,
}

impl<S: Read + Write> Connection<S> {
    /// Logs in over a stream that is connected; the answer comes by [`Connection::poll`].
    ///
    /// # Errors
    /// The login is no packet.
    pub fn log_in(
        now: u64,
        stream: S,
        login: LoginRequest,
        limits: ClientLimits,
    ) -> Result<Self, ClientRefused> {
        let (mut client, mut out) = (Client::new(now, login, limits), Vec::new());
        client.login(now, &mut out)?;
        Ok(Self { stream, client, inbox: Vec::new(), out, buffer: vec![0; READ_LEN] })
    }

    /// The machine: its state, its session, its next number.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The stream.
    pub fn stream(&self) -> &S {
        &self.stream
    }

    /// The stream, for whoever says more than the machine does.
    pub fn stream_mut(&mut self) -> &mut S {
        &mut self.stream
    }

    /// Bytes that the stream has not taken yet.
    pub fn waiting(&self) -> usize {
        self.out.len()
    }

    /// Takes a message; it leaves at the next [`Connection::poll`].
    ///
    /// # Errors
    /// As [`Client::unsequenced`].
    pub fn unsequenced(&mut self, now: u64, message: &[u8]) -> Result<(), ClientRefused> {
        self.client.unsequenced(now, message, &mut self.out)
    }

    /// Asks the server to close; that leaves at the next [`Connection::poll`].
    ///
    /// # Errors
    /// As [`Client::logout`].
    pub fn log_out(&mut self, now: u64) -> Result<(), ClientRefused> {
        self.client.logout(now, &mut self.out)
    }

    /// Sends and receives what can be, and tells `f` what came. Returns the work done. Once it is over
    /// ([`Client::ended`]) only what waits is still sent.
    pub fn poll(&mut self, now: u64, mut f: impl FnMut(ClientEvent<'_>)) -> usize {
        let (mut work, mut is_over) = self.send();
        loop {
            match self.stream.read(&mut self.buffer) {
                Ok(0) => is_over = true,
                Ok(len) => {
                    work += 1;
                    self.inbox.extend_from_slice(&self.buffer[..len]);
                    self.take(now, &mut f);
                    continue;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(_) => is_over = true,
            }
            break;
        }
        if is_over {
            self.client.close();
        }
        let _ = self.client.on_timer(now, &mut self.out); // the owner asks `ended`
        work
    }

    /// Writes what waits. The work done, and whether the stream is broken: what came before is still read.
    fn send(&mut self) -> (usize, bool) {
        let (mut sent, mut is_broken) = (0, false);
        while sent < self.out.len() && !is_broken {
            match self.stream.write(&self.out[sent..]) {
                Ok(0) => break,
                Ok(len) => sent += len,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => is_broken = true,
            }
        }
        self.out.drain(..if is_broken { self.out.len() } else { sent });
        (usize::from(sent > 0), is_broken)
    }

    fn take(&mut self, now: u64, f: &mut impl FnMut(ClientEvent<'_>)) {
        let mut at = 0;
        loop {
            let taken = self.client.on_bytes(now, &self.inbox[at..]);
            at += taken.len;
            match taken.event {
                Some(event) => f(event),
                None => break,
            }
        }
        self.inbox.drain(..at);
    }
}
