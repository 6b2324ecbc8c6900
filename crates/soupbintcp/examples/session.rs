//! A server and a client on loopback TCP: login, ten messages, a connection that breaks, and a login behind
//! the last message.
//!
//! ```text
//! cargo run -p soupbintcp --example session
//! ```

#![allow(clippy::disallowed_methods, reason = "the owner has the sockets, the clock and the threads")]

use soupbintcp::{
    ClientEvent, ClientLimits, Connection, Event, Field, LoginRequest, Server, ServerLimits, Session,
    Timeout, begin_at,
};
use std::error::Error;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

/// What the server has to send: its store, which outlives every connection.
const MESSAGES: [&str; 10] = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"];
/// The server breaks its first connection behind so many messages.
const FIRST_PART: usize = 6;

/// Serves two connections, one after the other.
fn serve(listener: &TcpListener, begun: Instant) -> Result<(), Box<dyn Error + Send + Sync>> {
    for sent_max in [FIRST_PART, MESSAGES.len()] {
        let (mut stream, _) = listener.accept()?;
        let now = || begun.elapsed().as_nanos() as u64;
        let mut server = Server::new(now(), ServerLimits::default());
        let (mut inbox, mut out, mut buffer) = (Vec::new(), Vec::new(), [0; 4096]);
        let login = loop {
            let len = stream.read(&mut buffer)?;
            if len == 0 {
                return Err("the client left before its login".into());
            }
            inbox.extend_from_slice(&buffer[..len]);
            if let Some(Event::Login(login)) = server.on_bytes(now(), &inbox).event {
                break login;
            }
        };
        let next = begin_at(login.seq, 1, MESSAGES.len() as u64 + 1);
        let next = next.map_err(|reason| format!("no such number: {reason:?}"))?;
        server.accept(now(), Session::new(b"DAY1")?, next, &mut out)?;
        for message in &MESSAGES[next as usize - 1..sent_max] {
            server.sequenced(now(), message.as_bytes(), &mut out)?;
        }
        if sent_max == MESSAGES.len() {
            server.end_session(now(), &mut out)?;
        }
        stream.write_all(&out)?;
    }
    Ok(())
}

/// Reads until the connection ends, and returns the login that goes on behind the last message, if the day is
/// not over.
fn read(to: SocketAddr, login: LoginRequest, begun: Instant) -> Result<Option<LoginRequest>, Box<dyn Error>> {
    let stream = TcpStream::connect(to)?;
    stream.set_nonblocking(true)?;
    let now = || begun.elapsed().as_nanos() as u64;
    let mut connection = Connection::log_in(now(), stream, login, ClientLimits::default())?;
    while connection.client().ended().is_none() {
        let work = connection.poll(now(), |event| match event {
            ClientEvent::Accepted { session, next_seq, .. } => {
                println!("accepted: {session}, next is {next_seq}")
            }
            ClientEvent::Message { seq, bytes } => println!("{seq}: {}", String::from_utf8_lossy(bytes)),
            ClientEvent::Ended(end) => println!("ended: {end:?}"),
            _ => {}
        });
        if work == 0 {
            thread::sleep(Duration::from_millis(1));
        }
    }
    println!("the connection is over: {:?}", connection.client().ended());
    Ok(connection.client().next_login())
}

fn main() -> Result<(), Box<dyn Error>> {
    let (listener, begun) = (TcpListener::bind("127.0.0.1:0")?, Instant::now());
    let to = listener.local_addr()?;
    let server = thread::spawn(move || serve(&listener, begun));
    let mut login = Some(LoginRequest {
        username: Field::new(b"alice")?,
        password: Field::new(b"secret")?,
        session: Session::BLANK,
        seq: 1,
        timeout: Timeout::Absent,
    });
    for _ in 0..2 {
        let Some(request) = login else { break };
        login = read(to, request, begun)?;
    }
    server.join().expect("the server ends by itself").map_err(|error| error.to_string())?;
    Ok(())
}
