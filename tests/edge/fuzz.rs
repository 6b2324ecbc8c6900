//! Packets with something wrong in them, each drawn from a seed, beside a second reading of the
//! specifications: what that forbids nobody takes, and what it allows everybody takes.
//!
//! The readers here are written for their shortness, over whole buffers, and share nothing with the codecs.

use crate::{mold_session, session};
use lockstep_sim::rng::Rng;
use moldudp64::client as receiver;
use moldudp64::packet::{Downstream, Request};
use moldudp64::server::{RequestServer, ServerLimits as RequestLimits, SessionBounds};
use soupbintcp::packet::Packet;
use soupbintcp::{Client, ClientEvent, ClientLimits, Event, LoginRequest, Server, ServerLimits, Timeout};
use std::collections::BTreeSet;
use std::net::SocketAddr;

const SEEDS: u64 = 20_000;

// ---------------------------------------------------------------------------- what is sent

/// Changes, doubles, drops and adds bytes, mostly where the lengths are.
fn inject(rng: &mut Rng, bytes: &mut Vec<u8>) {
    for _ in 0..rng.pick(&[0, 0, 0, 1, 1, 2, 5]) {
        let near = if rng.chance(500_000) { 24 } else { bytes.len() as u64 };
        let at = rng.below(near.min(bytes.len() as u64)) as usize;
        let byte = rng.pick(b"\0\x01\x02\xFF 09AZ+SULRO");
        match rng.below(5) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, byte),
            2 if at < bytes.len() => drop(bytes.remove(at)),
            3 if at < bytes.len() => bytes[at] ^= 1 << rng.below(8),
            _ if at < bytes.len() => bytes[at] = byte,
            _ => bytes.push(byte),
        }
    }
}

fn text(rng: &mut Rng, width: usize) -> String {
    let words =
        ["", "0", "1", "7", "S1", "alice", "+5", "-1", "1 2", "18446744073709551615", "99999999999999999999"];
    let word: String = rng.pick(&words).chars().take(width).collect();
    if rng.chance(500_000) { format!("{word:<width$}") } else { format!("{word:>width$}") }
}

/// One packet of SoupBinTCP, by its letter.
fn soup_packet(rng: &mut Rng, letters: &[u8]) -> Vec<u8> {
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

fn soup_stream(rng: &mut Rng, letters: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..1 + rng.below(6) {
        let mut packet = soup_packet(rng, letters);
        if rng.chance(200_000) {
            inject(rng, &mut packet);
        }
        bytes.extend(packet);
    }
    bytes
}

/// A datagram of MoldUDP64 of either direction.
fn mold_datagram(rng: &mut Rng) -> Vec<u8> {
    let seq = rng.pick(&[0, 1, 2, 3, 5, 9, 40, u64::MAX - 2, u64::MAX]);
    let count = rng.pick(&[0u16, 0, 1, 1, 2, 3, 7, 0xFFFE, 0xFFFF]);
    let blocks = if rng.chance(800_000) && count < 10 { count } else { rng.below(4) as u16 };
    let name = rng.pick(&[b"S1        ", b"        S1", b"S2        ", b"          ", b"S\x07        "]);
    let mut bytes = [&name[..], &seq.to_be_bytes(), &count.to_be_bytes()].concat();
    for _ in 0..blocks {
        let len = rng.below(6) as u16;
        bytes.extend(len.to_be_bytes());
        bytes.extend((0..len).map(|_| rng.below(3) as u8));
    }
    if rng.chance(400_000) {
        inject(rng, &mut bytes);
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
fn soup_reads(bytes: &[u8]) -> Read<'_> {
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
        let (kind, payload) = match soup_reads(bytes) {
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
        let (kind, payload) = match soup_reads(bytes) {
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

/// MoldUDP64 "Downstream Packet": session, number, count and messages.
type Mold = (Vec<u8>, u64, u16, Vec<Vec<u8>>);

fn mold_header(bytes: &[u8]) -> Option<(Mold, &[u8])> {
    let (header, rest) = bytes.split_at_checked(20)?;
    let seq = header[10..18].iter().fold(0, |seq, byte| seq << 8 | u64::from(*byte));
    let count = u16::from(header[18]) << 8 | u16::from(header[19]);
    let name = std::str::from_utf8(&header[..10]).ok()?.trim_matches(' ');
    let is_plain = !name.is_empty() && name.bytes().all(|byte| (0x21..0x7F).contains(&byte));
    (seq > 0 && is_plain).then(|| ((name.as_bytes().to_vec(), seq, count, Vec::new()), rest))
}

fn mold_reads(bytes: &[u8]) -> Option<Mold> {
    let (mut mold, mut rest) = mold_header(bytes)?;
    let expected = if mold.2 == 0xFFFF { 0 } else { mold.2 };
    for _ in 0..expected {
        let (len, after) = rest.split_at_checked(2)?;
        let (message, after) = after.split_at_checked(usize::from(len[0]) * 256 + usize::from(len[1]))?;
        mold.3.push(message.to_vec());
        rest = after;
    }
    (rest.is_empty() && u128::from(mold.1) + u128::from(expected) <= u128::from(u64::MAX)).then_some(mold)
}

/// "Request Packet": session, number and count.
fn mold_asks(bytes: &[u8]) -> Option<(Vec<u8>, u64, u16)> {
    let ((name, seq, count, _), rest) = mold_header(bytes)?;
    let capped = count.min(0xFFFE);
    let fits = u128::from(seq) + u128::from(capped) <= u128::from(u64::MAX);
    (rest.is_empty() && count > 0 && fits).then_some((name, seq, capped))
}

// ---------------------------------------------------------------------------- beside ours

/// Hands bytes over in pieces, as a socket does: what is not taken is offered again.
fn in_pieces(rng: &mut Rng, bytes: &[u8], mut offer: impl FnMut(&[u8]) -> (usize, bool)) {
    let (mut from, mut came) = (0, 0);
    while came < bytes.len() {
        came = (came + 1 + rng.log_uniform(1, 300) as usize).min(bytes.len());
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
    for seed in 0..SEEDS {
        let mut rng = Rng::new(seed);
        let mut bytes = soup_packet(&mut rng, b"+AJSUHZLRO");
        inject(&mut rng, &mut bytes);
        let ours = Packet::decode(&bytes);
        match (soup_reads(&bytes), &ours) {
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
    for seed in 0..SEEDS {
        let mut rng = Rng::new(seed);
        let bytes = soup_stream(&mut rng, b"LLLLUUUUUU++RRROSAHZ");
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
    for seed in 0..SEEDS {
        let mut rng = Rng::new(seed);
        let bytes = soup_stream(&mut rng, b"AAAASSSSSSUU++HHHZJLRO");
        let (username, password) = (crate::field(b"alice"), crate::field(b"secret"));
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

#[test]
fn datagrams_are_taken_exactly_where_the_specification_allows_them() {
    let (mut taken, mut asked) = (0, 0);
    for seed in 0..SEEDS {
        let bytes = mold_datagram(&mut Rng::new(seed));
        let ours = Downstream::decode(&bytes).ok().map(|datagram| {
            let (session, seq) = (datagram.session().as_bytes().to_vec(), datagram.seq());
            match datagram {
                Downstream::Heartbeat { .. } => (session, seq, 0, Vec::new()),
                Downstream::EndOfSession { .. } => (session, seq, 0xFFFF, Vec::new()),
                Downstream::Messages(messages) => {
                    let all: Vec<_> = messages.map(|(_, message)| message.to_vec()).collect();
                    (session, seq, all.len() as u16, all)
                }
            }
        });
        assert_eq!(ours, mold_reads(&bytes), "seed {seed}: {bytes:?}");
        taken += u64::from(ours.is_some());
        let request = Request::decode(&bytes).ok();
        let request =
            request.map(|request| (request.session.as_bytes().to_vec(), request.seq, request.count));
        assert_eq!(request, mold_asks(&bytes), "seed {seed}: {bytes:?}");
        asked += u64::from(request.is_some());
    }
    let some = SEEDS / 50..SEEDS;
    assert!(some.contains(&taken) && some.contains(&asked), "{taken} and {asked} of {SEEDS}");
}

#[test]
fn a_receiver_delivers_in_order_nothing_but_what_some_datagram_of_its_session_had() {
    const LIMITS: receiver::ClientLimits = receiver::ClientLimits {
        guard_ns: 10,
        retry_ns: 100,
        tries_max: 3,
        servers: 2,
        count_max: 50,
        ahead_max: 16,
        ahead_bytes_max: 40,
    };
    let mut delivered = 0;
    for seed in 0..SEEDS / 20 {
        let (mut rng, mut had, mut next) = (Rng::new(seed), BTreeSet::new(), 1);
        let mut client = receiver::Client::new(Some(mold_session("S1")), receiver::Start::At(1), LIMITS);
        for step in 0..60 {
            let (now, bytes) = (step * 40, mold_datagram(&mut rng));
            let expected = mold_reads(&bytes);
            if let Some((_, seq, _, messages)) = expected.as_ref().filter(|one| one.0 == b"S1") {
                had.extend(messages.iter().cloned().zip(*seq..));
            }
            let mut on_event = |event: receiver::Event<'_>| match event {
                receiver::Event::Message { seq, bytes } => {
                    assert_eq!(seq, next, "seed {seed}: in order");
                    assert!(had.contains(&(bytes.to_vec(), seq)), "seed {seed}: {seq} {bytes:?}");
                    (next, delivered) = (seq + 1, delivered + 1);
                }
                receiver::Event::Lost { from, to } => {
                    assert!(from == next && to > from, "seed {seed}: {from} to {to}");
                    next = to;
                }
                receiver::Event::SessionChanged { .. } | receiver::Event::Ended { .. } => {}
            };
            match client.on_datagram(now, &bytes) {
                Ok(mut intake) => {
                    assert!(expected.is_some(), "seed {seed}: {bytes:?}");
                    while let Some(event) = intake.next_event() {
                        on_event(event);
                    }
                }
                Err(error) => assert!(expected.is_none(), "seed {seed}: {bytes:?}: {error}"),
            }
            if let Some((_, request)) = client.on_timer(now) {
                assert!(mold_asks(&request).is_some(), "seed {seed}: {request:?}");
            }
            while let Some(event) = client.next_event(now) {
                on_event(event);
            }
            let (count, len) = client.buffered();
            assert!(
                count <= LIMITS.ahead_max && len <= LIMITS.ahead_bytes_max,
                "seed {seed}: {count}, {len}"
            );
        }
    }
    assert!(delivered > SEEDS / 20, "{delivered}");
}

#[test]
fn a_request_server_answers_nothing_but_requests_and_with_nothing_that_it_has_not() {
    let mut answered = 0;
    let mut server = RequestServer::new(RequestLimits::default());
    let bounds = SessionBounds { session: mold_session("S1"), first: 2, next: 6 };
    server.set_session(bounds).expect("room for a session");
    for seed in 0..SEEDS {
        let mut rng = Rng::new(seed);
        let bytes = mold_datagram(&mut rng);
        let source = SocketAddr::from(([10, 0, rng.below(256) as u8, rng.below(256) as u8], 9));
        let Ok(answer) = server.on_request(seed * 1_000_000_000, source, &bytes) else { continue };
        answered += 1;
        let asked = mold_asks(&bytes).unwrap_or_else(|| panic!("seed {seed}: {bytes:?} is no request"));
        assert_eq!(asked.0, b"S1", "seed {seed}");
        assert!(
            bounds.first <= answer.from && answer.from == asked.1 && answer.to <= bounds.next,
            "seed {seed}"
        );
        assert!(answer.from < answer.to && answer.to - answer.from <= u64::from(asked.2), "seed {seed}");
    }
    assert!(answered > 100, "{answered}");
}
