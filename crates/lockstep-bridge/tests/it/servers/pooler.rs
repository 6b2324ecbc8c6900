//! A pooler of PostgreSQL's protocol in transaction mode: a client has a connection to the server from the
//! first message of a transaction to its end, and then the next client has it.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// The role and the database of the bridges' connections, which the server trusts on its own socket.
const STARTUP: &[u8] = b"\0\x03\0\0user\0bridge\0database\0stream\0\0";
/// What a client must know of the server.
const PARAMETERS: [(&str, &str); 3] =
    [("server_version", "15.0"), ("server_encoding", "UTF8"), ("client_encoding", "UTF8")];

/// Connections to the server that no client has; the one that was given back last is the next.
type Idle = Mutex<Vec<UnixStream>>;

pub struct Pooler {
    port: u16,
    stop: Arc<AtomicBool>,
}

impl Drop for Pooler {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        // It looks at that when it has accepted a client.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

impl Pooler {
    /// In front of the server with this socket.
    pub fn start(server: PathBuf) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let (stop, idle) = (Arc::new(AtomicBool::new(false)), Arc::new(Idle::default()));
        let is_over = Arc::clone(&stop);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if is_over.load(Ordering::Acquire) {
                    return;
                }
                let (server, idle) = (server.clone(), Arc::clone(&idle));
                // A client that goes away ends its relay, and with it what it holds.
                thread::spawn(move || relay(client, &server, &idle));
            }
        });
        Self { port, stop }
    }

    pub fn port(&self) -> u16 {
        self.port
    }
}

/// A message: its type, and the bytes behind its length.
type ProtocolMessage = (u8, Vec<u8>);

/// Takes the whole messages out of what was received.
fn whole(received: &mut Vec<u8>) -> Vec<ProtocolMessage> {
    let (mut at, mut messages) = (0, Vec::new());
    while let Some(length) = received.get(at + 1..at + 5) {
        let end = at + 1 + u32::from_be_bytes(length.try_into().expect("four bytes")) as usize;
        if received.len() < end {
            break;
        }
        messages.push((received[at], received[at + 5..end].to_vec()));
        at = end;
    }
    received.drain(..at);
    messages
}

fn send(out: &mut impl Write, (kind, body): &ProtocolMessage) -> Option<()> {
    let length = (body.len() as u32 + 4).to_be_bytes();
    let mut rest = &[&[*kind], &length[..], body].concat()[..];
    while !rest.is_empty() {
        match out.write(rest) {
            Ok(count) => rest = &rest[count..],
            Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(Duration::from_millis(1)),
            Err(_) => return None,
        }
    }
    Some(())
}

/// Receives what is there. `None`: the other end is closed.
fn receive(from: &mut impl Read, received: &mut Vec<u8>) -> Option<bool> {
    let mut bytes = [0; 64 << 10];
    match from.read(&mut bytes) {
        Ok(0) => None,
        Ok(count) => {
            received.extend_from_slice(&bytes[..count]);
            Some(true)
        }
        Err(error) if error.kind() == ErrorKind::WouldBlock => Some(false),
        Err(_) => None,
    }
}

/// A client's startup message, without its length; TLS is declined.
fn startup(client: &mut TcpStream) -> Option<Vec<u8>> {
    loop {
        let mut length = [0; 4];
        client.read_exact(&mut length).ok()?;
        let mut body = vec![0; u32::from_be_bytes(length) as usize - 4];
        client.read_exact(&mut body).ok()?;
        if body != 80_877_103u32.to_be_bytes() {
            return Some(body);
        }
        client.write_all(b"N").ok()?;
    }
}

/// A connection to the server that is ready.
fn connected(server: &Path) -> Option<UnixStream> {
    let mut connection = UnixStream::connect(server).ok()?;
    connection.write_all(&(STARTUP.len() as u32 + 4).to_be_bytes()).ok()?;
    connection.write_all(STARTUP).ok()?;
    let mut received = Vec::new();
    while !whole(&mut received).iter().any(|(kind, _)| *kind == b'Z') {
        receive(&mut connection, &mut received)?;
    }
    connection.set_nonblocking(true).ok()?;
    Some(connection)
}

fn relay(mut client: TcpStream, server: &Path, idle: &Idle) -> Option<()> {
    startup(&mut client)?;
    let mut greeting = vec![(b'R', 0u32.to_be_bytes().to_vec())];
    greeting.extend(PARAMETERS.map(|(name, value)| (b'S', format!("{name}\0{value}\0").into_bytes())));
    greeting.push((b'K', vec![0; 8]));
    greeting.push((b'Z', b"I".to_vec()));
    greeting.iter().try_for_each(|message| send(&mut client, message))?;
    client.set_nonblocking(true).ok()?;
    let mut lent: Option<(UnixStream, Vec<u8>)> = None;
    let mut received = Vec::new();
    loop {
        let mut work = receive(&mut client, &mut received)?;
        for message in whole(&mut received) {
            if message.0 == b'X' {
                // In the middle of a transaction its connection is closed, and the server takes that back.
                return None;
            }
            if lent.is_none() {
                let connection = idle.lock().expect("no panic").pop();
                lent = Some((connection.or_else(|| connected(server))?, Vec::new()));
            }
            send(&mut lent.as_mut()?.0, &message)?;
        }
        if let Some((connection, answers)) = &mut lent {
            work |= receive(connection, answers)?;
            let messages = whole(answers);
            messages.iter().try_for_each(|message| send(&mut client, message))?;
            if messages.last().is_some_and(|last| *last == (b'Z', b"I".to_vec()))
                && let Some((connection, _)) = lent.take()
            {
                idle.lock().expect("no panic").push(connection);
            }
        }
        if !work {
            thread::sleep(Duration::from_millis(1));
        }
    }
}
