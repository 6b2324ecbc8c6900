//! Datagrams with something wrong in them, each drawn from a seed, beside a second reading of the
//! specifications: what that forbids nobody takes, and what it allows everybody takes.
//!
//! The readers here are written for their shortness, over whole buffers, and share nothing with the codecs.

use crate::drawn::{Rng, inject};
use crate::session;
use lockstep_testkit::lane::amount;
use moldudp64::client as receiver;
use moldudp64::packet::{Downstream, Request};
use moldudp64::server::{RequestServer, ServerLimits as RequestLimits, SessionBounds};
use std::collections::BTreeSet;
use std::net::SocketAddr;

/// So many seeds are drawn from.
fn seeds() -> u64 {
    amount(4_000, 20_000)
}

// ---------------------------------------------------------------------------- what is sent

/// A datagram of MoldUDP64 of either direction.
fn datagram(rng: &mut Rng) -> Vec<u8> {
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

/// MoldUDP64 "Downstream Packet": session, number, count and messages.
type Mold = (Vec<u8>, u64, u16, Vec<Vec<u8>>);

fn header(bytes: &[u8]) -> Option<(Mold, &[u8])> {
    let (header, rest) = bytes.split_at_checked(20)?;
    let seq = header[10..18].iter().fold(0, |seq, byte| seq << 8 | u64::from(*byte));
    let count = u16::from(header[18]) << 8 | u16::from(header[19]);
    let name = std::str::from_utf8(&header[..10]).ok()?.trim_matches(' ');
    let is_plain = !name.is_empty() && name.bytes().all(|byte| (0x21..0x7F).contains(&byte));
    (seq > 0 && is_plain).then(|| ((name.as_bytes().to_vec(), seq, count, Vec::new()), rest))
}

fn reads(bytes: &[u8]) -> Option<Mold> {
    let (mut mold, mut rest) = header(bytes)?;
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
fn asks(bytes: &[u8]) -> Option<(Vec<u8>, u64, u16)> {
    let ((name, seq, count, _), rest) = header(bytes)?;
    let capped = count.min(0xFFFE);
    let fits = u128::from(seq) + u128::from(capped) <= u128::from(u64::MAX);
    (rest.is_empty() && count > 0 && fits).then_some((name, seq, capped))
}

// ---------------------------------------------------------------------------- beside ours

#[test]
fn datagrams_are_taken_exactly_where_the_specification_allows_them() {
    let (mut taken, mut asked) = (0, 0);
    for seed in 0..seeds() {
        let bytes = datagram(&mut Rng::new(seed));
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
        assert_eq!(ours, reads(&bytes), "seed {seed}: {bytes:?}");
        taken += u64::from(ours.is_some());
        let request = Request::decode(&bytes).ok();
        let request =
            request.map(|request| (request.session.as_bytes().to_vec(), request.seq, request.count));
        assert_eq!(request, asks(&bytes), "seed {seed}: {bytes:?}");
        asked += u64::from(request.is_some());
    }
    let some = seeds() / 50..seeds();
    assert!(some.contains(&taken) && some.contains(&asked), "{taken} and {asked} of {}", seeds());
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
    for seed in 0..seeds() / 20 {
        let (mut rng, mut had, mut next) = (Rng::new(seed), BTreeSet::new(), 1);
        let mut client = receiver::Client::new(Some(session("S1")), receiver::Start::At(1), LIMITS);
        for step in 0..60 {
            let (now, bytes) = (step * 40, datagram(&mut rng));
            let expected = reads(&bytes);
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
                assert!(asks(&request).is_some(), "seed {seed}: {request:?}");
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
    assert!(delivered > seeds() / 20, "{delivered}");
}

#[test]
fn a_request_server_answers_nothing_but_requests_and_with_nothing_that_it_has_not() {
    let mut answered = 0;
    let mut server = RequestServer::new(RequestLimits::default());
    let bounds = SessionBounds { session: session("S1"), first: 2, next: 6 };
    server.set_session(bounds).expect("room for a session");
    for seed in 0..seeds() {
        let mut rng = Rng::new(seed);
        let bytes = datagram(&mut rng);
        let source = SocketAddr::from(([10, 0, rng.below(256) as u8, rng.below(256) as u8], 9));
        let Ok(answer) = server.on_request(seed * 1_000_000_000, source, &bytes) else { continue };
        answered += 1;
        let asked = asks(&bytes).unwrap_or_else(|| panic!("seed {seed}: {bytes:?} is no request"));
        assert_eq!(asked.0, b"S1", "seed {seed}");
        assert!(
            bounds.first <= answer.from && answer.from == asked.1 && answer.to <= bounds.next,
            "seed {seed}"
        );
        assert!(answer.from < answer.to && answer.to - answer.from <= u64::from(asked.2), "seed {seed}");
    }
    assert!(answered > seeds() / 200, "{answered}");
}
