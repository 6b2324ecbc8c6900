//! Any bytes as a server's end of a SoupBinTCP connection, in one piece and in pieces: the client reports the
//! same events, with numbers that follow each other.
#![no_main]

use libfuzzer_sys::fuzz_target;
use soupbintcp::{Client, ClientEvent, ClientLimits, Field, LoginRequest, Timeout};

fn events(login: LoginRequest, pieces: &[&[u8]]) -> Vec<String> {
    let mut client = Client::new(0, login, ClientLimits::default());
    let (mut inbox, mut events, mut next) = (Vec::new(), Vec::new(), None);
    client.login(0, &mut Vec::new()).expect("a new client logs in");
    for piece in pieces {
        inbox.extend_from_slice(piece);
        loop {
            let taken = client.on_bytes(0, &inbox);
            assert!(taken.len <= inbox.len());
            let Some(event) = taken.event else {
                inbox.drain(..taken.len);
                break;
            };
            match event {
                ClientEvent::Accepted { next_seq, .. } => next = Some(next_seq),
                ClientEvent::Message { seq, .. } => {
                    assert_eq!(Some(seq), next, "numbers follow each other");
                    next = seq.checked_add(1);
                }
                _ => {}
            }
            events.push(format!("{event:?}"));
            inbox.drain(..taken.len);
        }
    }
    events
}

fuzz_target!(|input: (u8, u64, &[u8])| {
    let (piece_len, seq, bytes) = input;
    let login = LoginRequest {
        username: Field::new(b"user").expect("a name"),
        password: Field::new(b"secret").expect("a password"),
        session: Field::new(b"").expect("any session"),
        seq,
        timeout: Timeout::Absent,
    };
    let pieces: Vec<&[u8]> = bytes.chunks(usize::from(piece_len).max(1)).collect();
    assert_eq!(events(login, &[bytes]), events(login, &pieces));
});
