//! Packets with something wrong in them, each drawn from a seed, beside a second reading of the
//! specifications: what that forbids nobody takes, and what it allows everybody takes.
//!
//! The readers here are written for their shortness, over whole buffers, and share nothing with the codecs.

use crate::drawn::{Rng, inject};
use crate::{field, session};
use lockstep_testkit::lane::amount;
use soupbintcp::{
    Client, ClientEvent, ClientLimits, Event, LoginRequest, Packet, Server, ServerLimits, Timeout,
};
use std::collections::BTreeSet;

/// So many seeds are drawn from.
fn seeds() -> u64 {
    amount(4_000, 20_000)
}

// ---------------------------------------------------------------------------- what is sent

fn text(rng: &mut Rng, width: usize) -> String {
    let words =
        ["", "0", "1", "7", "S1", "alice", "+5", "-1", "1 2", "18446744073709551615", "99999999999999999999"];
    let word: String = rng.pick(&words).chars().take(width).collect();
    if rng.chance(500_000) { format!("{word:<width$}") } else { format!("{word:>width$}") }
}

/// One packet of SoupBinTCP, by its letter.
fn packet(rng: &mut Rng, letters: &[u8]) -> Vec<u8> {
    let kind = rng.pick(letters);
    let payload = match kind {
        b'A' => text(rng, 10) + &text(rng, 20),
        b'J' => rng.pick(&["A", "S", "x"]).to_owned(),
        b'L' => {
            let login = text(rng, 6) + &text(rng, 10) + &text(rng, 10) + &text(rng, 20);
            if rng.chance(500_000) { login + &text(rng, 5) } else { login }
        }
        b'S' | b'U' | b'+' => "m".repeat(rng.pick(&[0, 1, 2, 40, 300])),
        _ => String::new(),
    };
    [&(1 + payload.len() as u16).to_be_bytes()[..], &[kind], payload.as_bytes()].concat()
}

fn stream(rng: &mut Rng, letters: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..1 + rng.below(6) {
        let mut packet = packet(rng, letters);
        if rng.chance(200_000) {
            inject(rng, &mut packet);
        }
        bytes.extend(packet);
    }
    bytes
}

// ---------------------------------------------------------------------------- the second reading

#[derive(Debug)]
enum Read<'a> {
    More,
    Wrong,
    Packet(u8, &'a [u8]),
}

/// Decimal digits between blanks; `Err` is none, or beyond `u64`.
fn digits(field: &[u8]) -> Result<u64, ()> {
    let text = std::str::from_utf8(field).map_err(drop)?.trim_matches(' ');
    let is_decimal = text.chars().all(|one| one.is_ascii_digit());
    if is_decimal { text.parse().map_err(drop) } else { Err(()) }
}

/// SoupBinTCP 4.1 "Logical Packets": the first packet of these bytes.
fn first_packet(bytes: &[u8]) -> Read<'_> {
    let [high, low, rest @ ..] = bytes else { return Read::More };
    let length = usize::from(*high) * 256 + usize::from(*low);
    if length == 0 {
        return Read::Wrong;
    }
    let Some(kind) = rest.first() else { return Read::More };
    let allowed = match kind {
        b'+' | b'S' | b'U' => 1..=65_535,
        b'H' | b'Z' | b'R' | b'O' => 1..=1,
        b'J' => 2..=2,
        b'A' => 31..=31,
        b'L' if length == 52 => 52..=52,
        b'L' => 47..=47,
        _ => return Read::Wrong,
    };
    if !allowed.contains(&length) {
        return Read::Wrong;
    }
    let Some(payload) = rest.get(1..length) else { return Read::More };
    let fits = match kind {
        b'A' => digits(&payload[10..30]).is_ok(),
        b'L' => {
            let timeout = &payload[46..];
            let blank = timeout.iter().all(|byte| *byte == b' ');
            digits(&payload[26..46]).is_ok() && (blank || digits(timeout).is_ok())
        }
        _ => true,
    };
    if fits { Read::Packet(*kind, payload) } else { Read::Wrong }
}

/// What a server, that accepts each login at once, may make of a client's bytes.
fn server_hears(mut bytes: &[u8]) -> Vec<String> {
    let (mut events, mut logged_in) = (Vec::new(), false);
    loop {
        let (kind, payload) = match first_packet(bytes) {
            Read::More => return events,
            Read::Wrong => (b'?', &[][..]),
            Read::Packet(kind, payload) => (kind, payload),
        };
        bytes = bytes.get(3 + payload.len()..).unwrap_or_default();
        match kind {
            b'R' => {}
            b'+' => events.push(format!("debug {payload:?}")),
            b'U' if logged_in => events.push(format!("message {payload:?}")),
            b'L' if !logged_in => {
                logged_in = true;
                events.push("login".into());
            }
            b'O' => {
                events.push("logout".into());
                events.extend((!bytes.is_empty()).then(|| "fault".to_owned()));
                return events;
            }
            _ => {
                events.push("fault".into());
                return events;
            }
        }
    }
}

/// What a client that has sent its login may make of a server's bytes.
fn client_hears(mut bytes: &[u8]) -> Vec<String> {
    let (mut events, mut next) = (Vec::new(), None);
    loop {
        let (kind, payload) = match first_packet(bytes) {
            Read::More => return events,
            Read::Wrong => (b'?', &[][..]),
            Read::Packet(kind, payload) => (kind, payload),
        };
        bytes = bytes.get(3 + payload.len()..).unwrap_or_default();
        match (kind, next) {
            (b'H', _) => {}
            (b'+', _) => events.push(format!("debug {payload:?}")),
            (b'A', None) if digits(&payload[10..]) != Ok(0) => {
                next = digits(&payload[10..]).ok();
                events.extend(next.map(|next| format!("accepted at {next}")));
            }
            (b'S', Some(seq)) if seq < u64::MAX => {
                next = Some(seq + 1);
                events.push(format!("message {seq} {payload:?}"));
            }
            (b'U', Some(_)) => events.push(format!("message {payload:?}")),
            _ => {
                events.push("ended".into());
                return events;
            }
        }
    }
}

// ---------------------------------------------------------------------------- beside ours

/// The length of a piece: short and long alike.
fn piece(rng: &mut Rng) -> u64 {
    let low = 1 << rng.below(9);
    low + rng.below(low).min(300 - low)
}

/// Hands bytes over in pieces, as a socket does: what is not taken is offered again.
fn in_pieces(rng: &mut Rng, bytes: &[u8], mut offer: impl FnMut(&[u8]) -> (usize, bool)) {
    let (mut from, mut came) = (0, 0);
    while came < bytes.len() {
        came = (came + 1 + piece(rng) as usize).min(bytes.len());
        loop {
            let (taken, more) = offer(&bytes[from..came]);
            from += taken;
            if !more {
                break;
            }
        }
    }
}

#[test]
fn packets_are_taken_exactly_where_the_specification_allows_them() {
    let mut kinds = BTreeSet::new();
    for seed in 0..seeds() {
        let mut rng = Rng::new(seed);
        let mut bytes = packet(&mut rng, b"+AJSUHZLRO");
        inject(&mut rng, &mut bytes);
        let ours = Packet::decode(&bytes);
        match (first_packet(&bytes), &ours) {
            (Read::More, Ok(None)) => drop(kinds.insert(b'.')),
            (Read::Wrong, Err(_)) => drop(kinds.insert(b'?')),
            (Read::Packet(kind, payload), Ok(Some((packet, len)))) => {
                kinds.insert(kind);
                assert_eq!((packet.kind(), *len), (kind, 3 + payload.len()), "seed {seed}");
                let mut again = Vec::new();
                // What a peer may write and we do not, is read and never written.
                if packet.append(&mut again).is_ok() {
                    let of = |bytes| Packet::decode(bytes).map(|read| format!("{read:?}"));
                    let is_text = kind == b'+';
                    assert!(is_text || of(&again) == of(&bytes), "seed {seed}: {bytes:?}, {again:?}");
                }
            }
            (expected, _) => panic!("seed {seed}: {bytes:?} is {expected:?}, and we say {ours:?}"),
        }
    }
    assert_eq!(kinds.len(), 12, "each of them, some cut short and some wrong");
}

#[test]
fn a_server_tells_exactly_what_a_client_may_say_whatever_comes_in_whatever_pieces() {
    for seed in 0..seeds() {
        let mut rng = Rng::new(seed);
        let bytes = stream(&mut rng, b"LLLLUUUUUU++RRROSAHZ");
        let (mut server, mut events, mut out) =
            (Server::new(0, ServerLimits::default()), Vec::new(), Vec::new());
        in_pieces(&mut rng, &bytes, |piece| {
            let taken = server.on_bytes(0, piece);
            match taken.event {
                Some(Event::Login(_)) => {
                    events.push("login".to_owned());
                    server.accept(0, session("S1"), 1, &mut out).expect("it waits for this");
                }
                Some(Event::Message(message)) => events.push(format!("message {message:?}")),
                Some(Event::Debug(text)) => events.push(format!("debug {text:?}")),
                Some(Event::Logout) => events.push("logout".to_owned()),
                Some(Event::Fault(_)) => events.push("fault".to_owned()),
                None => {}
            }
            (taken.len, taken.event.is_some())
        });
        assert_eq!(events, server_hears(&bytes), "seed {seed}: {bytes:?}");
    }
}

#[test]
fn a_client_tells_exactly_what_a_server_may_say_whatever_comes_in_whatever_pieces() {
    for seed in 0..seeds() {
        let mut rng = Rng::new(seed);
        let bytes = stream(&mut rng, b"AAAASSSSSSUU++HHHZJLRO");
        let (username, password) = (field(b"alice"), field(b"secret"));
        let login =
            LoginRequest { username, password, session: session("S1"), seq: 1, timeout: Timeout::Absent };
        let (mut client, mut events) = (Client::new(0, login, ClientLimits::default()), Vec::new());
        client.login(0, &mut Vec::new()).expect("a login");
        in_pieces(&mut rng, &bytes, |piece| {
            let taken = client.on_bytes(0, piece);
            match taken.event {
                Some(ClientEvent::Accepted { next_seq, .. }) => {
                    events.push(format!("accepted at {next_seq}"))
                }
                Some(ClientEvent::Message { seq, bytes }) => events.push(format!("message {seq} {bytes:?}")),
                Some(ClientEvent::Unsequenced(message)) => events.push(format!("message {message:?}")),
                Some(ClientEvent::Debug(text)) => events.push(format!("debug {text:?}")),
                Some(ClientEvent::Ended(_)) => events.push("ended".to_owned()),
                None => {}
            }
            (taken.len, taken.event.is_some())
        });
        assert_eq!(events, client_hears(&bytes), "seed {seed}: {bytes:?}");
    }
}
