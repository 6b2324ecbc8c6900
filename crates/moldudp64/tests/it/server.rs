//! The rule by which requests of MoldUDP64 are answered.

use crate::{SECOND, session};
use lockstep_testkit::lane::amount;
use moldudp64::packet::{Header, MoldError, Request};
use moldudp64::server::*;
use proptest::collection::vec;
use proptest::prelude::*;
use std::net::SocketAddr;

fn source(n: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, n], 4_000 + u16::from(n)))
}

fn request(name: &str, seq: u64, count: u16) -> [u8; 20] {
    Header { session: session(name), seq, count }.encode()
}

fn bounds(name: &str, first: u64, next: u64) -> SessionBounds {
    SessionBounds { session: session(name), first, next }
}

/// Knows a former session and the current one, of which the beginning is gone.
fn server(limits: ServerLimits) -> RequestServer {
    let mut server = RequestServer::new(limits);
    server.set_session(bounds("OLD", 1, 50)).expect("room");
    server.set_session(bounds("NEW", 100, 1_000)).expect("room");
    server
}

fn ask(server: &mut RequestServer, name: &str, seq: u64, count: u16) -> Result<(u64, u64), Silence> {
    let answer = server.on_request(0, source(1), &request(name, seq, count));
    answer.map(|answer| {
        assert_eq!(answer.session, session(name));
        (answer.from, answer.to)
    })
}

/// mold 4 and 14: sessions are checked, and several are known.
#[test]
fn a_request_is_answered_with_what_is_kept_of_its_session() {
    let mut server = server(ServerLimits::default());
    assert_eq!(ask(&mut server, "NEW", 100, 3), Ok((100, 103)));
    assert_eq!(ask(&mut server, "OLD", 1, 3), Ok((1, 4)));
    assert_eq!(ask(&mut server, "OLD", 48, 100), Ok((48, 50)), "fewer than asked for");
    assert_eq!(ask(&mut server, "NONE", 1, 1), Err(Silence::UnknownSession));
    server.set_session(bounds("NEW", 200, 2_000)).unwrap();
    assert_eq!(ask(&mut server, "NEW", 100, 3), Err(Silence::Gone));
    assert_eq!(ask(&mut server, "NEW", 1_999, 1), Ok((1_999, 2_000)));
    server.forget_session(session("OLD"));
    assert_eq!(ask(&mut server, "OLD", 1, 3), Err(Silence::UnknownSession));
    assert_eq!(server.answered(), 4);
}

#[test]
fn each_silence_is_counted_by_its_reason() {
    let mut server = server(ServerLimits::default());
    for (bytes, silence) in [
        (&request("NEW", 99, 1)[..], Silence::Gone),
        (&request("NEW", 1_000, 1), Silence::Ahead),
        (&request("NEW", u64::MAX - 1, 1), Silence::Ahead),
        (&request("NEW", u64::MAX, 1), Silence::Malformed(MoldError::SeqEnd)),
        (&request("NEW", 0, 1), Silence::Malformed(MoldError::SeqZero)),
        (&request("NEW", 100, 0), Silence::Malformed(MoldError::RequestEmpty)),
        (&request("NEW", 100, 1)[..19], Silence::Malformed(MoldError::RequestLength { len: 19 })),
        (&[0; 20], Silence::Malformed(MoldError::Session)),
        (&request("ELSE", 100, 1), Silence::UnknownSession),
    ] {
        assert_eq!(server.on_request(0, source(1), bytes), Err(silence));
        assert!(silence.to_string().starts_with("not answered: "));
    }
    assert_eq!(server.silences(), &[5, 1, 1, 2, 0, 0]);
    assert_eq!((server.answered(), server.sources()), (0, 0), "what is not answered is not remembered");
}

/// mold 1: whatever is asked for, the work is bounded. mold 17: numbers are u64.
#[test]
fn the_answer_is_bounded_by_us_and_not_by_the_request() {
    let mut server = server(ServerLimits { count_max: 64, ..ServerLimits::default() });
    assert_eq!(ask(&mut server, "NEW", 100, 0xFFFF), Ok((100, 164)));
    assert_eq!(ask(&mut server, "NEW", 100, 0xFFFE), Ok((100, 164)));
    server.set_session(bounds("NEW", 1, u64::MAX)).unwrap();
    assert_eq!(ask(&mut server, "NEW", 1 << 40, 2), Ok((1 << 40, (1 << 40) + 2)));
    assert_eq!(ask(&mut server, "NEW", u64::MAX - 1, 1), Ok((u64::MAX - 1, u64::MAX)));
}

/// mold 2 and 4: an end of session on the port of requests, and a session padded as SoupBinTCP does.
#[test]
fn what_only_looks_like_a_request_is_not_answered() {
    let mut server = server(ServerLimits::default());
    assert_eq!(ask(&mut server, "NEW", 1_000, 0xFFFF), Err(Silence::Ahead));
    let mut padded = request("NEW", 100, 1);
    padded[..10].copy_from_slice(b"       NEW");
    assert!(server.on_request(0, source(1), &padded).is_ok());
}

const SLOW: ServerLimits = ServerLimits {
    source: Rate { interval_ns: SECOND, burst: 3 },
    total: Rate { interval_ns: SECOND / 10, burst: 100 },
    sources_max: 4,
    sessions_max: 2,
    count_max: 64,
};

#[test]
fn an_address_has_its_ration_whatever_its_port() {
    let mut server = server(SLOW);
    let mut asks = |now, port| {
        let source = SocketAddr::from(([10, 0, 0, 1], port));
        server.on_request(now, source, &request("NEW", 100, 1)).map(|_| ())
    };
    assert_eq!([1, 2, 3].map(|port| asks(0, port)), [Ok(()); 3]);
    assert_eq!(asks(0, 4), Err(Silence::SourceRate));
    assert_eq!(asks(SECOND - 1, 4), Err(Silence::SourceRate));
    assert_eq!((asks(SECOND, 4), asks(SECOND, 4)), (Ok(()), Err(Silence::SourceRate)));
    assert_eq!(
        [1, 2, 3].map(|port| asks(60 * SECOND, port)),
        [Ok(()); 3],
        "a pause restores the burst, no more"
    );
    assert_eq!(asks(60 * SECOND, 4), Err(Silence::SourceRate));
}

#[test]
fn all_together_have_a_ration_and_one_flood_does_not_use_it_up() {
    let mut server = server(ServerLimits { total: Rate { interval_ns: SECOND, burst: 5 }, ..SLOW });
    let mut asks = |n| server.on_request(0, source(n), &request("NEW", 100, 1)).map(|_| ());
    for _ in 0..100 {
        let _ = asks(1);
    }
    assert_eq!((asks(2), asks(3), asks(4)), (Ok(()), Ok(()), Err(Silence::TotalRate)));
    assert_eq!(server.silences()[Silence::SourceRate.index()], 97);
}

#[test]
fn the_tables_do_not_grow() {
    let mut server = server(SLOW);
    for n in 0..200 {
        let _ = server.on_request(u64::from(n) * SECOND, source(n), &request("NEW", 100, 1));
        assert!(server.sources() <= 4);
    }
    assert_eq!(server.answered(), 200, "a new address is not locked out by old ones");
    assert_eq!(server.set_session(bounds("THIRD", 1, 2)), Err(TableFull));
    assert_eq!(server.set_session(bounds("OLD", 1, 2)), Ok(()), "a known one is updated");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(amount(200, 1000)))]

    #[test]
    fn an_answer_lies_within_what_is_kept_and_what_was_asked(
        asked in vec((any::<u64>(), 0..6u8, prop_oneof![0..1_200u64, any::<u64>()], any::<u16>()), 0..50),
        stored in (1..1_000u64, 1..1_000u64),
        zero_limits in any::<bool>(),
    ) {
        let none = Rate { interval_ns: u64::MAX, burst: 0 };
        let zero =
            ServerLimits { source: none, total: none, sources_max: 0, sessions_max: 1, count_max: 0 };
        let limits = if zero_limits { zero } else { ServerLimits { sessions_max: 1, ..SLOW } };
        let mut server = RequestServer::new(limits);
        server.set_session(bounds("S", stored.0, stored.1)).unwrap();
        for (now, n, seq, count) in &asked {
            let bytes = request("S", *seq, *count);
            if let Ok(answer) = server.on_request(*now, source(*n), &bytes) {
                let read = Request::decode(&bytes).unwrap();
                prop_assert!(answer.from == read.seq && answer.from < answer.to);
                prop_assert!(stored.0 <= answer.from && answer.to <= stored.1);
                prop_assert!(answer.to - answer.from <= u64::from(read.count).min(64));
            }
            prop_assert!(server.sources() <= 4);
        }
        prop_assert_eq!(server.answered() + server.silences().iter().sum::<u64>(), asked.len() as u64);
    }
}
