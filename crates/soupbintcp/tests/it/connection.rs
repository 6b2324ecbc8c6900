//! A client over a stream that takes and gives what it likes.

use crate::{SECOND, field, session};
use soupbintcp::{ClientEnd, ClientLimits, Connection, LoginRequest, Packet, Timeout};
use std::io::{Error, ErrorKind, Read, Result, Write};

const T0: u64 = 1_000 * SECOND;

/// Gives what is there, and takes what it may, a few bytes at a time.
#[derive(Default)]
struct Narrow {
    to_give: Vec<u8>,
    taken: Vec<u8>,
    is_broken: bool,
    is_full: bool,
}

impl Read for Narrow {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        if self.to_give.is_empty() {
            return if self.is_broken { Ok(0) } else { Err(ErrorKind::WouldBlock.into()) };
        }
        buffer[0] = self.to_give.remove(0);
        Ok(1)
    }
}

impl Write for Narrow {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        if self.is_broken {
            return Err(ErrorKind::BrokenPipe.into());
        }
        self.is_full = !self.is_full;
        let len = bytes.len().min(5);
        if self.is_full {
            return Err(Error::from(ErrorKind::WouldBlock));
        }
        self.taken.extend_from_slice(&bytes[..len]);
        Ok(len)
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}

fn bytes(packets: &[Packet<'_>]) -> Vec<u8> {
    let mut out = Vec::new();
    packets.iter().for_each(|packet| packet.append(&mut out).expect("a packet"));
    out
}

fn request() -> LoginRequest {
    let (username, password) = (field(b"joe"), field(b"pass"));
    LoginRequest { username, password, session: session("S1"), seq: 7, timeout: Timeout::Absent }
}

/// A connection to whom this was sent, and what was heard.
fn connection(stream: Narrow) -> Connection<Narrow> {
    Connection::log_in(T0, stream, request(), ClientLimits::default()).expect("a login")
}

fn polled(connection: &mut Connection<Narrow>) -> Vec<String> {
    let mut polled = Vec::new();
    connection.poll(T0, |event| polled.push(format!("{event:?}")));
    polled
}

#[test]
fn whatever_part_of_it_a_stream_takes_and_gives_nothing_is_changed() {
    let accepted = Packet::LoginAccepted { session: session("S1"), next_seq: 7 };
    let to_give = bytes(&[accepted, Packet::Sequenced(b"one"), Packet::Sequenced(b"two")]);
    let mut connection = connection(Narrow { to_give, ..Narrow::default() });
    let events = polled(&mut connection);
    assert_eq!((events.len(), connection.client().next_seq()), (3, 9), "{events:?}");
    connection.unsequenced(T0, b"an order").expect("it is open");
    while connection.waiting() > 0 {
        polled(&mut connection);
    }
    let sent = bytes(&[Packet::LoginRequest(request()), Packet::Unsequenced(b"an order")]);
    assert_eq!(connection.stream().taken, sent);
}

#[test]
fn what_came_before_a_stream_broke_is_heard_and_counted() {
    let accepted = Packet::LoginAccepted { session: session("S1"), next_seq: 7 };
    let to_give = bytes(&[accepted, Packet::Sequenced(b"one")]);
    let mut connection = connection(Narrow { to_give, is_broken: true, ..Narrow::default() });
    assert_eq!(polled(&mut connection).len(), 2);
    let client = connection.client();
    assert_eq!((client.ended(), client.next_seq(), connection.waiting()), (Some(ClientEnd::Closed), 8, 0));
}
