//! A feed and its request server on loopback UDP: a hundred messages, every seventh datagram lost, all
//! delivered once and in order.
//!
//! ```text
//! cargo run -p moldudp64 --example feed
//! ```

#![allow(clippy::disallowed_methods, reason = "the owner has the sockets and the clock")]

use moldudp64::{
    Client, ClientLimits, Event, Packer, Push, RequestServer, ServerLimits, Session, SessionBounds, Start,
};
use std::error::Error;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

const MESSAGES: u64 = 100;

/// The feed's store: what it has sent, by number.
fn message(seq: u64) -> String {
    format!("trade {seq}")
}

/// Datagrams with the messages from `from` up to, and without, `to`.
fn datagrams(packer: &mut Packer, from: u64, to: u64) -> Result<Vec<Vec<u8>>, Box<dyn Error>> {
    let mut all = Vec::new();
    for seq in from..to {
        let text = message(seq);
        if packer.push(seq, text.as_bytes())? == Push::Full {
            all.extend(packer.flush().map(<[u8]>::to_vec));
            assert_eq!(packer.push(seq, text.as_bytes())?, Push::Taken, "an empty datagram has room");
        }
    }
    all.extend(packer.flush().map(<[u8]>::to_vec));
    Ok(all)
}

fn main() -> Result<(), Box<dyn Error>> {
    let (receiver, requests) = (UdpSocket::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?);
    let group: SocketAddr = receiver.local_addr()?; // a multicast group, in production
    receiver.set_nonblocking(true)?;
    requests.set_nonblocking(true)?;
    let begun = Instant::now();
    let now = || begun.elapsed().as_nanos() as u64;

    let session = Session::new(b"DAY1")?;
    let mut packer = Packer::new(session, 64)?;
    let mut server = RequestServer::new(ServerLimits::default());
    server.set_session(SessionBounds { session, first: 1, next: MESSAGES + 1 })?;
    for (index, datagram) in datagrams(&mut packer, 1, MESSAGES + 1)?.iter().enumerate() {
        // Every seventh is lost.
        if index % 7 != 3 {
            requests.send_to(datagram, group)?;
        }
    }
    requests.send_to(&packer.end_of_session(MESSAGES + 1), group)?;

    let limits = ClientLimits { guard_ns: 100_000, retry_ns: 5_000_000, ..ClientLimits::default() };
    let mut client = Client::new(Some(session), Start::At(1), limits);
    let (mut buffer, mut delivered, mut asked, mut is_over) = ([0; 2048], 0, 0, false);
    while !is_over {
        while let Ok(len) = receiver.recv(&mut buffer) {
            let mut intake = client.on_datagram(now(), &buffer[..len])?;
            while let Some(event) = intake.next_event() {
                match event {
                    Event::Message { seq, bytes } => {
                        delivered += 1;
                        assert_eq!((seq, bytes), (delivered, message(seq).as_bytes()));
                    }
                    Event::Ended { next_seq } => is_over = next_seq == MESSAGES + 1,
                    other => return Err(format!("not expected here: {other:?}").into()),
                }
            }
        }
        if let Some((_, request)) = client.on_timer(now()) {
            asked += 1;
            receiver.send_to(&request, requests.local_addr()?)?;
        }
        while let Ok((len, from)) = requests.recv_from(&mut buffer) {
            if let Ok(answer) = server.on_request(now(), from, &buffer[..len]) {
                // One datagram answers: the client asks again for the rest.
                let datagram = datagrams(&mut packer, answer.from, answer.to)?.swap_remove(0);
                requests.send_to(&datagram, from)?;
            }
        }
        std::thread::sleep(Duration::from_micros(100));
    }
    println!(
        "{delivered} of {MESSAGES} messages, each once and in order; {asked} requests, {} answered",
        server.answered()
    );
    Ok(())
}
