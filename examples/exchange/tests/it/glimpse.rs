//! Sessions of GLIMPSE, packet by packet.

#![allow(clippy::unwrap_used, reason = "tests")]

use lockstep_exchange::{GlimpseError, GlimpseSession};
use proptest::prelude::*;
use soupbintcp::{End, Field, LoginRequest, Packet, RejectReason, ServerLimits, Session, SoupError, Timeout};
use std::sync::Arc;

const SECOND: u64 = 1_000_000_000;

fn login(session: &[u8], seq: u64) -> LoginRequest {
    LoginRequest {
        username: Field::new(b"alice").unwrap(),
        password: Field::new(b"secret").unwrap(),
        session: Session::new(session).unwrap(),
        seq,
        timeout: Timeout::Absent,
    }
}

fn bytes_of(packets: &[Packet<'_>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    packets.iter().for_each(|packet| packet.append(&mut bytes).unwrap());
    bytes
}

/// The packets of what was sent, each by its letter with its text or message.
fn shown(mut sent: &[u8]) -> Vec<String> {
    let mut all = Vec::new();
    while let Ok(Some((packet, len))) = Packet::decode(sent) {
        all.push(match packet {
            Packet::Sequenced(text) | Packet::Debug(text) => {
                format!("{} {}", char::from(packet.kind()), String::from_utf8_lossy(text))
            }
            Packet::LoginRejected(reason) => format!("J {}", char::from(reason.code())),
            packet => char::from(packet.kind()).to_string(),
        });
        sent = &sent[len..];
    }
    assert!(sent.is_empty());
    all
}

fn snapshot(messages: &[&[u8]]) -> Arc<[u8]> {
    let each = messages.iter().map(|message| [&(message.len() as u16).to_be_bytes(), *message].concat());
    each.collect::<Vec<_>>().concat().into()
}

/// A session whose client has logged in.
fn logged_in(out: &mut Vec<u8>) -> GlimpseSession {
    let mut session = GlimpseSession::new(0, ServerLimits::default());
    let (_, login) = session.on_bytes(0, &bytes_of(&[Packet::LoginRequest(login(b"", 1))]), out);
    assert!(login.is_some());
    session
}

fn name() -> Session {
    Session::new(b"GLIMPSE").unwrap()
}

#[test]
fn a_snapshot_is_sent_in_pieces_and_the_session_ends_behind_its_last_message() {
    let mut out = Vec::new();
    let mut session = logged_in(&mut out);
    session.begin(0, name(), snapshot(&[b"one", b"two", b"G3"]), &mut out).unwrap();
    let mut sent = std::mem::take(&mut out);
    while session.ended().is_none() {
        session.fill(0, 1, &mut out).unwrap();
        assert!(out.len() < 12, "a message and the end at most");
        sent.append(&mut out);
    }
    assert_eq!(shown(&sent), ["A", "S one", "S two", "S G3", "Z"]);
    assert_eq!(session.ended(), Some(End::EndOfSession));
}

#[test]
fn a_refusal_has_its_letter_and_says_why() {
    let mut out = Vec::new();
    let mut session = logged_in(&mut out);
    session.refuse(RejectReason::NotAuthorized, "another password", &mut out).unwrap();
    session.fill(0, 1_000, &mut out).unwrap();
    assert_eq!(shown(&out), ["J A", "+ another password"]);
    assert_eq!(session.ended(), Some(End::Rejected(RejectReason::NotAuthorized)));
}

#[test]
fn a_login_for_another_session_or_behind_the_first_message_is_refused() {
    let available = |session, seq| GlimpseSession::is_available(&login(session, seq), &name());
    assert_eq!([available(b"", 1), available(b"", 0), available(b"glimpse", 1)], [Ok(()); 3]);
    let refused = Err(RejectReason::SessionNotAvailable);
    assert_eq!([available(b"FIRST", 1), available(b"", 2)], [refused; 2]);
}

#[test]
fn bad_input_ends_the_session_with_a_text() {
    let texts = |bytes: &[u8]| {
        let mut out = Vec::new();
        let mut session = GlimpseSession::new(0, ServerLimits::default());
        let (len, login) = session.on_bytes(0, bytes, &mut out);
        assert!(login.is_none() && len == bytes.len() && session.ended().is_some());
        shown(&out)
    };
    assert_eq!(texts(&[0, 0]), [format!("+ from the client: {}", SoupError::LengthZero)]);
    assert_eq!(
        texts(&bytes_of(&[Packet::Unsequenced(b"order")])),
        ["+ a message before the login was accepted: wait for Login Accepted"]
    );
    let mut out = Vec::new();
    let mut session = logged_in(&mut out);
    session.begin(0, name(), snapshot(&[b"one"]), &mut out).unwrap();
    session.on_bytes(0, &bytes_of(&[Packet::Unsequenced(b"order"), Packet::Debug(b"hi")]), &mut out);
    session.fill(0, 1_000, &mut out).unwrap();
    assert_eq!(shown(&out), ["A", "+ a GLIMPSE session takes no messages: log in, and read"]);
}

#[test]
fn a_client_without_login_or_word_is_cut_and_one_that_waits_has_heartbeats() {
    let mut out = Vec::new();
    let mut silent = GlimpseSession::new(0, ServerLimits::default());
    assert_eq!(silent.on_timer(30 * SECOND, &mut out), Some(End::LoginLate));
    let mut session = logged_in(&mut out);
    session.begin(0, name(), snapshot(&[b"one"]), &mut out).unwrap();
    out.clear();
    assert_eq!(session.on_timer(SECOND + 1, &mut out), None);
    assert_eq!(shown(&out), ["H"]);
    assert_eq!(session.on_timer(15 * SECOND, &mut out), Some(End::Silent));
}

#[test]
fn a_torn_snapshot_ends_without_its_end() {
    for cut in [0, 1, 4, 6] {
        let mut out = Vec::new();
        let mut session = logged_in(&mut out);
        session.begin(0, name(), snapshot(&[b"one", b"two"])[..cut].into(), &mut out).unwrap();
        let at = if cut < 5 { 0 } else { 5 };
        assert_eq!(session.fill(0, 1_000, &mut out), Err(GlimpseError::Torn { at }));
        assert!(session.ended().is_some() && !shown(&out).contains(&"Z".to_owned()));
    }
}

proptest! {
    #[test]
    fn no_bytes_make_a_session_panic_or_send_without_a_login(bytes: Vec<u8>, cut in 0usize..64) {
        let (mut session, mut out) = (GlimpseSession::new(0, ServerLimits::default()), Vec::new());
        for part in bytes.chunks(cut + 1) {
            session.on_bytes(0, part, &mut out);
            session.fill(0, 1_000, &mut out).unwrap();
        }
        prop_assert!(shown(&out).iter().all(|packet| packet.starts_with('+')));
    }
}
