//! The codec of SoupBinTCP.

use crate::{field, hex, session};
use lockstep_testkit::lane::amount;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use soupbintcp::packet::{HEADER_LEN, PACKET_LEN_MAX, PAYLOAD_LEN_MAX, data_header, kind};
use soupbintcp::{Field, FieldError, Session, Text};
use soupbintcp::{LoginRequest, Packet, RejectReason, SoupError, Timeout};

fn written(packet: Packet<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    packet.append(&mut out).expect("a packet that can be written");
    let mut slice = vec![0; out.len()];
    assert_eq!(packet.write(&mut slice), Ok(out.len()));
    assert_eq!((slice, out.len()), (out.clone(), packet.encoded_len()), "slice and Vec get the same bytes");
    out
}

fn decoded(bytes: &[u8]) -> Packet<'_> {
    let (packet, len) = Packet::decode(bytes).expect("no error").expect("a whole packet");
    assert_eq!(len, bytes.len());
    packet
}

fn login(timeout: Timeout) -> LoginRequest {
    LoginRequest {
        username: field(b"USER"),
        password: field(b"secret"),
        session: session("S1"),
        seq: 17,
        timeout,
    }
}

/// A login request with these fields, as somebody else writes it.
fn login_bytes(user: &str, password: &str, session: &str, number: &str, timeout: &str) -> Vec<u8> {
    assert_eq!((user.len(), password.len(), session.len(), number.len()), (6, 10, 10, 20));
    let payload = [user, password, session, number, timeout].concat();
    let mut bytes = (1 + payload.len() as u16).to_be_bytes().to_vec();
    bytes.push(b'L');
    bytes.extend(payload.into_bytes());
    bytes
}

fn login_of(bytes: &[u8]) -> Result<LoginRequest, SoupError> {
    match Packet::decode(bytes)? {
        Some((Packet::LoginRequest(request), _)) => Ok(request),
        other => panic!("no login request: {other:?}"),
    }
}

// ---------------------------------------------------------------------------- vectors

/// vector; soup 1: the length counts the type.
#[test]
fn the_golden_bytes_are_written_and_read() {
    let golden: [(&str, Packet<'_>); 9] = [
        ("0001 48", Packet::ServerHeartbeat),
        ("0001 52", Packet::ClientHeartbeat),
        ("0001 5A", Packet::EndOfSession),
        ("0001 4F", Packet::LogoutRequest),
        ("0002 4A 53", Packet::LoginRejected(RejectReason::SessionNotAvailable)),
        ("0002 4A 41", Packet::LoginRejected(RejectReason::NotAuthorized)),
        ("0003 2B 6869", Packet::Debug(b"hi")),
        ("0002 53 58", Packet::Sequenced(b"X")),
        ("0002 55 58", Packet::Unsequenced(b"X")),
    ];
    for (text, packet) in golden {
        assert_eq!(written(packet), hex(text), "{packet:?}");
        assert_eq!(decoded(&hex(text)), packet);
    }
}

/// vector: session and number are padded on their left.
#[test]
fn a_login_accepted_is_33_bytes() {
    let packet = Packet::LoginAccepted { session: session("S1"), next_seq: 1 };
    let golden = [&hex("001F 41")[..], b"        S1", b"                   1"].concat();
    assert_eq!((written(packet), golden.len()), (golden.clone(), 33));
    assert_eq!(decoded(&golden), packet);
}

/// vector; soup 2: both lengths, told apart by the length alone. soup 4: user and password padded on the
/// right.
#[test]
fn a_login_request_is_49_bytes_or_with_its_timeout_54() {
    let old = [&hex("002F 4C")[..], b"USER  secret            S1                  17"].concat();
    assert_eq!((written(Packet::LoginRequest(login(Timeout::Absent))), old.len()), (old.clone(), 49));
    assert_eq!(decoded(&old), Packet::LoginRequest(login(Timeout::Absent)));
    let new = [&hex("0034 4C")[..], &old[3..], b" 2500"].concat();
    assert_eq!((written(Packet::LoginRequest(login(Timeout::Ms(2500)))), new.len()), (new.clone(), 54));
    assert_eq!(decoded(&new), Packet::LoginRequest(login(Timeout::Ms(2500))));
}

/// negative: an empty sequenced message is legal.
#[test]
fn an_empty_message_is_a_message() {
    assert_eq!(decoded(&hex("0001 53")), Packet::Sequenced(b""));
    assert_eq!(written(Packet::Sequenced(b"")), hex("0001 53"));
    assert_eq!(decoded(&hex("0001 2B")), Packet::Debug(b""));
}

// ---------------------------------------------------------------------------- traps

/// soup 12; negative.
#[test]
fn a_length_of_zero_is_refused() {
    assert_eq!(Packet::decode(&hex("0000")), Err(SoupError::LengthZero));
    assert_eq!(Packet::decode(&hex("0000 48")), Err(SoupError::LengthZero));
}

/// soup 1: a peer that does not count the type is refused with its first packet, its login.
#[test]
fn a_length_without_the_type_is_refused() {
    let error = Packet::decode(&hex("002E 4C")).unwrap_err();
    assert_eq!(error, SoupError::Length { kind: b'L', length: 46 });
    assert!(error.to_string().contains("counts the type"), "{error}");
    assert_eq!(Packet::decode(&hex("0000 52")), Err(SoupError::LengthZero));
}

/// soup 11: the ASCII protocol of the same family begins with its letter. soup 14: so does every unknown one
/// end.
#[test]
fn an_unknown_type_is_an_error_and_known_by_its_third_byte() {
    assert_eq!(Packet::decode(b"Lclient"), Err(SoupError::Kind { kind: b'l' }));
    for kind in (0..=u8::MAX).filter(|kind| !b"+AJSUHZLRO".contains(kind)) {
        assert_eq!(Packet::decode(&[0xFF, 0xFF, kind]), Err(SoupError::Kind { kind }));
    }
    assert_eq!(Packet::decode(&[0, 9, b'H']), Err(SoupError::Length { kind: b'H', length: 9 }));
}

/// soup 3: five digits, up to 99,999; blank is the default.
#[test]
fn a_timeout_has_five_digits_and_may_be_blank() {
    let timeout =
        |text| login_of(&login_bytes("u     ", "p         ", "          ", ONE, text)).unwrap().timeout;
    assert_eq!(timeout("99999"), Timeout::Ms(99_999));
    assert_eq!(timeout("  500"), Timeout::Ms(500));
    assert_eq!(timeout("00500"), Timeout::Ms(500));
    assert_eq!((timeout("     "), timeout("")), (Timeout::Blank, Timeout::Absent));
    let wrong = login_of(&login_bytes("u     ", "p         ", "          ", ONE, "5 00 "));
    assert_eq!(wrong, Err(SoupError::Number { field: "heartbeat timeout" }));
    let long = Packet::LoginRequest(login(Timeout::Ms(100_000))).append(&mut Vec::new());
    assert_eq!(long, Err(SoupError::TimeoutLong { ms: 100_000 }));
    assert_eq!(decoded(&written(Packet::LoginRequest(login(Timeout::Blank)))).kind(), b'L');
}

const ONE: &str = "                   1";

/// soup 4: some pad all fields on their left.
#[test]
fn fields_are_read_without_the_blanks_of_either_side() {
    let right = login_bytes("joe   ", "pass      ", "S1        ", "7                   ", "");
    let left = login_bytes("   joe", "      pass", "        S1", "                   7", "");
    let both = login_bytes(" joe  ", "   pass   ", "    S1    ", "         7          ", "");
    let request = login_of(&right).unwrap();
    assert_eq!((login_of(&left), login_of(&both)), (Ok(request), Ok(request)));
    assert_eq!((request.username.as_bytes(), request.session, request.seq), (&b"joe"[..], session("S1"), 7));
}

/// soup 4: a field is not cut at its first odd byte.
#[test]
fn what_lies_within_a_field_is_kept() {
    let request = login_of(&login_bytes("a-b c ", "p\0q       ", "          ", ONE, "")).unwrap();
    assert_eq!((request.username.as_bytes(), request.password.as_bytes()), (&b"a-b c"[..], &b"p\0q"[..]));
    assert!(!request.username.is_plain() && request.session.is_blank());
}

/// soup 5.
#[test]
fn names_are_the_same_in_any_case() {
    let request = login_of(&login_bytes("JoE   ", "PaSs      ", "s1        ", ONE, "")).unwrap();
    assert!(request.username.is_same_name(&field(b"jOe")));
    assert!(request.password.is_same_name(&field(b"pass")));
    assert!(!request.password.is_same_name(&field(b"pas")));
    assert_ne!(request.session, session("S1"), "sessions are compared as they are");
}

/// soup 6; negative: twenty nines.
#[test]
fn a_number_beyond_u64_is_refused_and_not_wrapped() {
    let seq =
        |text: &str| login_of(&login_bytes("u     ", "p         ", "          ", text, "")).map(|l| l.seq);
    let refused = Err(SoupError::Number { field: "requested sequence number" });
    assert_eq!(seq("18446744073709551615"), Ok(u64::MAX));
    assert_eq!(seq("18446744073709551616"), refused);
    assert_eq!(seq("99999999999999999999"), refused);
    assert_eq!((seq("00000000000000000042"), seq("                   0")), (Ok(42), Ok(0)));
    for wrong in
        ["                  -1", "                  +1", "                1 2 ", "                 1.0"]
    {
        assert_eq!(seq(wrong), refused, "{wrong:?}");
    }
    assert_eq!(seq("                    "), refused, "blank may mean anything");
    assert_eq!(seq("                  \t1"), refused, "a tab is no blank");
    let mut accepted = written(Packet::LoginAccepted { session: session("S1"), next_seq: u64::MAX });
    assert_eq!(decoded(&accepted), Packet::LoginAccepted { session: session("S1"), next_seq: u64::MAX });
    accepted[13..].fill(b'9');
    assert!(matches!(Packet::decode(&accepted), Err(SoupError::Number { .. })));
}

/// soup 7: offsets of the answer are those of the packet, length field included.
#[test]
fn the_answers_fields_begin_at_3_and_13() {
    let bytes = written(Packet::LoginAccepted { session: session("ABCDEFGHIJ"), next_seq: u64::MAX });
    assert_eq!((&bytes[3..13], &bytes[13..33]), (&b"ABCDEFGHIJ"[..], &b"18446744073709551615"[..]));
}

/// soup 17: the password is no secret on the wire, but logs are no place for it.
#[test]
fn a_login_shows_no_password() {
    assert!(!format!("{:?}", Packet::LoginRequest(login(Timeout::Absent))).contains("secret"));
}

#[test]
fn debug_text_is_made_harmless_in_both_directions() {
    assert_eq!(written(Packet::Debug(b"a\x1b[2J\n\xff")), hex("0008 2B 61 2E 5B 32 4A 2E 2E"));
    assert_eq!(Text(b"a\x1b[2J\n\xff").to_string(), "a.[2J..");
    let long = Text(&[b'x'; 300]).to_string();
    assert!(long.ends_with("… and 44 bytes"), "{long}");
}

#[test]
fn the_longest_payload_is_written_and_one_byte_more_refused() {
    let message = vec![7; PAYLOAD_LEN_MAX + 1];
    let bytes = written(Packet::Sequenced(&message[1..]));
    assert_eq!((bytes.len(), &bytes[..3]), (PACKET_LEN_MAX, &[0xFF, 0xFF, b'S'][..]));
    assert_eq!(decoded(&bytes), Packet::Sequenced(&message[1..]));
    let mut out = vec![1, 2];
    let refused = Err(SoupError::PayloadLong { len: 65_535 });
    assert_eq!(Packet::Unsequenced(&message).append(&mut out), refused);
    assert_eq!(data_header(kind::SEQUENCED, 65_535), Err(SoupError::PayloadLong { len: 65_535 }));
    assert_eq!(out, [1, 2], "nothing was written");
    assert_eq!(Packet::Sequenced(b"abc").write(&mut [0; 5]), Err(SoupError::NoRoom { needed: 6 }));
    assert_eq!(data_header(kind::SEQUENCED, 1), Ok([0, 2, b'S']));
}

#[test]
fn a_field_takes_what_fits_and_is_printable() {
    assert_eq!(Session::new(b"01234567890"), Err(FieldError::Long { len: 11, width: 10 }));
    assert_eq!(Session::new(b"A B"), Err(FieldError::Byte { byte: b' ' }));
    assert!(Session::new(b"A\x07").unwrap_err().to_string().contains("0x07"));
    assert_eq!(Session::new(b""), Ok(Session::BLANK));
    let odd = LoginRequest { username: Field::from_wire(b"a b\0  "), ..login(Timeout::Absent) };
    let refused = Packet::LoginRequest(odd).append(&mut Vec::new()).unwrap_err();
    assert_eq!(refused, SoupError::Field { field: "username", error: FieldError::Byte { byte: b' ' } });
    assert!(refused.to_string().starts_with("username: "), "{refused}");
}

#[test]
fn what_is_missing_is_known_from_two_bytes_on() {
    let bytes = written(Packet::LoginRequest(login(Timeout::Absent)));
    assert_eq!((Packet::wire_len(&bytes[..1]), Packet::wire_len(b"")), (Ok(None), Ok(None)));
    for len in 2..=bytes.len() {
        assert_eq!(Packet::wire_len(&bytes[..len]), Ok(Some(49)));
    }
    for len in 0..bytes.len() {
        assert_eq!(Packet::decode(&bytes[..len]), Ok(None));
    }
}

// ---------------------------------------------------------------------------- properties

fn name<const N: usize>() -> impl Strategy<Value = Field<N>> {
    vec(0x21..0x7fu8, 0..=N).prop_map(|text| field(&text))
}

fn logins() -> impl Strategy<Value = LoginRequest> {
    let timeout =
        prop_oneof![Just(Timeout::Absent), Just(Timeout::Blank), (0..100_000u32).prop_map(Timeout::Ms),];
    (name(), name(), name(), any::<u64>(), timeout).prop_map(|(username, password, session, seq, timeout)| {
        LoginRequest { username, password, session, seq, timeout }
    })
}

/// Any packet, written; with what it must be read as.
fn packets() -> impl Strategy<Value = (Vec<u8>, String)> {
    let message = || vec(any::<u8>(), 0..40);
    prop_oneof![
        vec(b' '..0x7f, 0..40).prop_map(|text| shown(Packet::Debug(&text))),
        message().prop_map(|bytes| shown(Packet::Sequenced(&bytes))),
        message().prop_map(|bytes| shown(Packet::Unsequenced(&bytes))),
        (name(), any::<u64>())
            .prop_map(|(session, next_seq)| shown(Packet::LoginAccepted { session, next_seq })),
        any::<u8>().prop_map(|code| shown(Packet::LoginRejected(RejectReason::from_code(code)))),
        logins().prop_map(|request| {
            let (bytes, text) = shown(Packet::LoginRequest(request));
            assert_eq!(decoded(&bytes), Packet::LoginRequest(request), "the password too");
            (bytes, text)
        }),
        select(vec!["0001 48", "0001 52", "0001 5A", "0001 4F"])
            .prop_map(|text| (hex(text), format!("{:?}", decoded(&hex(text))))),
    ]
}

fn shown(packet: Packet<'_>) -> (Vec<u8>, String) {
    (written(packet), format!("{packet:?}"))
}

/// Everything that is read of a stream that comes in these pieces, and the error that ends it.
fn read_in_pieces(stream: &[u8], pieces: &[usize]) -> (Vec<String>, Option<SoupError>) {
    let (mut have, mut came, mut read) = (0, 0, Vec::new());
    let mut pieces = pieces.iter().copied().chain(std::iter::repeat(stream.len()));
    loop {
        match Packet::decode(&stream[have..came]) {
            Ok(Some((packet, len))) => {
                assert!(
                    len >= HEADER_LEN && have + len <= came,
                    "never loops, never reads what is not there"
                );
                have += len;
                read.push(format!("{packet:?}"));
            }
            Ok(None) if came == stream.len() => return (read, None),
            Ok(None) => came = (came + pieces.next().unwrap_or(1).max(1)).min(stream.len()),
            Err(error) => return (read, Some(error)),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(amount(200, 1000)))]

    #[test]
    fn what_is_written_is_read_back_however_it_comes(
        packets in vec(packets(), 0..12),
        pieces in vec(1..80usize, 0..40),
    ) {
        let stream: Vec<u8> = packets.iter().flat_map(|(bytes, _)| bytes.clone()).collect();
        let (read, error) = read_in_pieces(&stream, &pieces);
        prop_assert_eq!(error, None);
        prop_assert_eq!(read, packets.into_iter().map(|(_, text)| text).collect::<Vec<_>>());
    }

    #[test]
    fn arbitrary_bytes_are_read_the_same_however_they_come(
        bytes in vec(prop_oneof![any::<u8>(), 0..4u8, select(b"+AJSUHZLRO ".to_vec())], 0..400),
        pieces in vec(1..80usize, 0..40),
    ) {
        prop_assert_eq!(read_in_pieces(&bytes, &pieces), read_in_pieces(&bytes, &[bytes.len()]));
    }

    #[test]
    fn a_changed_byte_never_panics(
        packet in packets(),
        at in any::<proptest::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut bytes = packet.0;
        let at = at.index(bytes.len());
        bytes[at] = byte;
        read_in_pieces(&bytes, &[1]);
        if let Err(error) = Packet::decode(&bytes) {
            prop_assert!(error.to_string().contains(": "), "what is wrong, and what to do: {}", error);
        }
    }
}
