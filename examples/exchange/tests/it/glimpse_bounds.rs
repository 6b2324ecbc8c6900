//! The server of the example `glimpse`: sessions and connections are bounded, and those that are over make
//! room.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests with sockets, threads and a clock")]

use crate::serve::{CONNECTIONS_MAX, GlimpseServer, SESSIONS_MAX, Waiting};
use lockstep_gateway::gateway::passwords;
use soupbintcp::{Field, LoginRequest, Packet, RejectReason, Session, Timeout};
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

/// For all that is awaited.
const WAIT: Duration = Duration::from_secs(60);

struct Reader {
    stream: TcpStream,
    inbox: Vec<u8>,
}

impl Reader {
    fn connect(server: &GlimpseServer) -> Self {
        let stream = TcpStream::connect(server.address()).unwrap();
        stream.set_read_timeout(Some(WAIT)).unwrap();
        Self { stream, inbox: Vec::new() }
    }

    fn log_in(server: &GlimpseServer) -> Self {
        let mut reader = Self::connect(server);
        let login = LoginRequest {
            username: Field::new(b"alice").unwrap(),
            password: Field::new(b"secret").unwrap(),
            session: Session::new(b"").unwrap(),
            seq: 1,
            timeout: Timeout::Absent,
        };
        let mut out = Vec::new();
        Packet::LoginRequest(login).append(&mut out).unwrap();
        reader.stream.write_all(&out).unwrap();
        reader
    }

    /// The letter of the next packet that is neither a heartbeat nor a text, and its reason if it refuses.
    fn letter(&mut self) -> (char, Option<RejectReason>) {
        loop {
            while let Ok(Some((packet, len))) = Packet::decode(&self.inbox) {
                let letter = char::from(packet.kind());
                let reason = if let Packet::LoginRejected(reason) = packet { Some(reason) } else { None };
                self.inbox.drain(..len);
                if !"H+".contains(letter) {
                    return (letter, reason);
                }
            }
            let mut buffer = [0; 1_024];
            let len = self.stream.read(&mut buffer).unwrap();
            assert!(len > 0, "the connection ended before a letter");
            self.inbox.extend_from_slice(&buffer[..len]);
        }
    }

    /// Whether something has come.
    fn has_word(&mut self) -> bool {
        self.stream.set_nonblocking(true).unwrap();
        let has_word = self.stream.peek(&mut [0]).is_ok();
        self.stream.set_nonblocking(false).unwrap();
        has_word
    }

    /// Whether the server has closed it, without a word.
    fn is_closed(&mut self) -> bool {
        self.stream.set_nonblocking(true).unwrap();
        match self.stream.read(&mut [0]) {
            Ok(0) => true,
            Err(error) if error.kind() == ErrorKind::ConnectionReset => true,
            Err(error) if error.kind() == ErrorKind::WouldBlock => false,
            other => panic!("{other:?}"),
        }
    }
}

/// Until so many sessions wait for a snapshot.
fn waiting(server: &GlimpseServer, count: usize) -> Vec<Waiting> {
    let (mut found, began) = (Vec::new(), Instant::now());
    while found.len() < count {
        assert!(began.elapsed() < WAIT, "{} of {count} wait", found.len());
        found.extend(server.waiting());
        thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(found.len(), count);
    found
}

fn answer(waiting: Vec<Waiting>) {
    // One message of a byte, behind its length.
    waiting.into_iter().for_each(|session| session.send([0, 1, b'G'].into()).unwrap());
}

#[test]
fn sessions_beyond_the_bound_are_refused_with_a_letter_and_connections_beyond_theirs_are_closed() {
    let folder = tempfile::tempdir().unwrap();
    let users = folder.path().join("users.toml");
    let password = passwords::hash(b"secret", [7; 16]).unwrap();
    let row = format!("[[users]]\nname = \"alice\"\npassword = \"{password}\"\nhear = [\"self\"]\n");
    std::fs::write(&users, row).unwrap();
    let server = GlimpseServer::start((Ipv4Addr::LOCALHOST, 0).into(), users).unwrap();

    let mut readers: Vec<_> = (0..SESSIONS_MAX).map(|_| Reader::log_in(&server)).collect();
    let all = waiting(&server, SESSIONS_MAX);
    let refused = ('J', Some(RejectReason::SessionNotAvailable));
    assert_eq!(Reader::log_in(&server).letter(), refused, "{SESSIONS_MAX} sessions run");

    let more = 8;
    let mut silent: Vec<_> =
        (0..CONNECTIONS_MAX - SESSIONS_MAX + more).map(|_| Reader::connect(&server)).collect();
    let began = Instant::now();
    while silent.iter_mut().filter_map(|reader| reader.is_closed().then_some(())).count() < more {
        assert!(began.elapsed() < WAIT, "as many connections run as may");
        thread::sleep(Duration::from_millis(1));
    }
    drop(silent);

    answer(all);
    for reader in &mut readers {
        let letters = [reader.letter().0, reader.letter().0, reader.letter().0];
        assert_eq!(letters, ['A', 'S', 'Z'], "it had its snapshot");
    }
    drop(readers);
    let began = Instant::now();
    let mut next = loop {
        let mut reader = Reader::log_in(&server);
        // The threads of the sessions that are over may take a moment: until then it is refused.
        let asked = loop {
            assert!(began.elapsed() < WAIT, "no session makes room");
            if let Some(asked) = server.waiting().next() {
                break Some(asked);
            } else if reader.has_word() {
                break None;
            }
            thread::sleep(Duration::from_millis(1));
        };
        if let Some(asked) = asked {
            answer(vec![asked]);
            break reader;
        }
    };
    assert_eq!(next.letter().0, 'A', "there is room again");
}
