//! Any bytes as a client's end of a SoupBinTCP connection, in one piece and in pieces: the server reports the
//! same events, and keeps none of the bytes that it has taken.
#![no_main]

use libfuzzer_sys::fuzz_target;
use soupbintcp::{Event, Server, ServerLimits};

fn events(pieces: &[&[u8]]) -> Vec<String> {
    let mut server = Server::new(0, ServerLimits::default());
    let (mut inbox, mut out, mut events) = (Vec::new(), Vec::new(), Vec::new());
    for piece in pieces {
        inbox.extend_from_slice(piece);
        loop {
            let taken = server.on_bytes(0, &inbox);
            assert!(taken.len <= inbox.len());
            let is_over = taken.event.is_none();
            let mut asks = None;
            if let Some(event) = taken.event {
                events.push(format!("{event:?}"));
                if let Event::Login(login) = event {
                    asks = Some(login);
                }
            }
            if let Some(login) = asks {
                let _accepted = server.accept(0, login.session, login.seq.max(1), &mut out);
            }
            inbox.drain(..taken.len);
            if is_over {
                break;
            }
        }
    }
    events
}

fuzz_target!(|input: (u8, &[u8])| {
    let (piece_len, bytes) = input;
    let pieces: Vec<&[u8]> = bytes.chunks(usize::from(piece_len).max(1)).collect();
    assert_eq!(events(&[bytes]), events(&pieces));
});
