//! One receiver of a feed with the client of the crate `moldudp` (crates.io, Unlicense): see
//! tests/foreign/interop.rs for what it must do.
//!
//! usage: mold_client GROUP:PORT REQUESTS SESSION
//!
//! Receives SESSION from its first message to its end, and asks REQUESTS for what is missing. Prints what it
//! has, a line for each message, in order, and how often it had to ask a second time.
//!
//! What this client does in its own way:
//!
//! * It hands datagrams over as they come, those of the feed and answers alike: their order, and each message
//!   once, is left to whoever uses it. So here messages are kept by number.
//! * It asks for a gap once, when it sees it. If the request or its answer is lost, or the answer has fewer
//!   messages than it asked for, as answers may, it does not ask again. So here it is told to, by the queue
//!   that it has for it.
//! * A session is ten bytes: `20261121` with its blanks. Those of other sessions are not dropped, as its
//!   documentation has it: it goes along with whatever it sees, and a session that is no UTF-8 ends its
//!   thread by a panic.
//! * It counts on from any datagram: a late one sets it back, and it asks again for what it has; the end of a
//!   session (65,535 in the place of the count) sets it that far ahead, and it sees no gap any more.
//! * A gap of 65,535 and more it asks for by that same number, which is no count. Our server reads it as one
//!   less.
//! * Of what its user does not take in time, 1,024 datagrams wait, and the rest is dropped.

use moldudp::{MoldUDP64, Packet, PacketKind, RetransmissionPacket, RetransmissionRequest};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(20);
/// Longer than a request and its answer take.
const AGAIN: Duration = Duration::from_millis(20);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [group, requests, session] = &args[..] else { return Err("GROUP:PORT REQUESTS SESSION".into()) };
    let (group, requests): (SocketAddrV4, SocketAddr) = (group.parse()?, requests.parse()?);
    let session = format!("{session:<10}");
    let wire_session: [u8; 10] = session.as_bytes().try_into()?;
    let client = MoldUDP64::builder()
        .multicast_addr(group)
        .interface_addr(Ipv4Addr::LOCALHOST)
        .rerequest_server_addrs(vec![requests])
        .expected_session_ident(session.clone())
        .expected_seq_num(1)
        .build();
    let (datagrams, asks) = client.start()?;
    println!("listening");
    let mut had: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
    let (mut next, mut known, mut end, mut again) = (1, 1, None, 0);
    let (mut moved, mut asked) = (Instant::now(), Instant::now());
    while end != Some(next) {
        match datagrams.recv_timeout(AGAIN) {
            Ok(datagram) => {
                let packet = Packet::new(datagram.bytes());
                if packet.session_ident() != session {
                    continue;
                }
                known = known.max(packet.seq_num() + packet.iter().len() as u64);
                if matches!(packet.packet_kind(), PacketKind::EndOfSession) {
                    end = Some(packet.seq_num());
                }
                for (number, message) in (packet.seq_num()..).zip(packet.iter()) {
                    let before = had.insert(number, message.data().to_vec());
                    if before.is_some_and(|before| before != message.data()) {
                        return Err(format!("message {number} came twice, and differs").into());
                    }
                }
            }
            Err(error) if error.is_timeout() => {}
            Err(error) => return Err(error.into()),
        }
        while had.contains_key(&next) {
            (next, moved) = (next + 1, Instant::now());
        }
        if moved.elapsed() > PATIENCE {
            return Err(format!("{next} does not come; {known} is the next that is known of").into());
        }
        if next < known && moved.elapsed() > AGAIN && asked.elapsed() > AGAIN {
            let to = had.range(next..).next().map_or(known, |(number, _)| *number);
            let gap = RetransmissionPacket::new(wire_session, next, (to - next).min(1_000) as u16);
            asks.try_send(RetransmissionRequest::new(gap))?;
            (asked, again) = (Instant::now(), again + 1);
        }
    }
    for (number, message) in &had {
        let hex: String = message.iter().map(|byte| format!("{byte:02x}")).collect();
        println!("message {number} {hex}");
    }
    println!("again {again}");
    Ok(())
}
