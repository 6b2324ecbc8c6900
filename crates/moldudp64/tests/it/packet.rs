//! The codec and the packer of MoldUDP64.

use crate::{hex, session};
use lockstep_testkit::lane::amount;
use moldudp64::Session;
use moldudp64::packer::{DATAGRAM_LEN_MAX, PackError, Packer, Push};
use moldudp64::packet::{COUNT_MAX, Downstream, Header, Messages, MoldError, Request};
use proptest::collection::vec;
use proptest::prelude::*;

const HEARTBEAT: &str = "53455353494F4E303031 000000000000002A 0000";
const END: &str = "53455353494F4E303031 000000000000002A FFFF";
const TWO: &str = "53455353494F4E303031 0000000000000001 0002 0001 41 0000";
const REQUEST: &str = "53455353494F4E303031 0000000000000007 0003";

fn refused(text: &str) -> MoldError {
    Downstream::decode(&hex(text)).expect_err(text)
}

fn messages(bytes: &[u8]) -> Messages<'_> {
    match Downstream::decode(bytes) {
        Ok(Downstream::Messages(messages)) => messages,
        other => panic!("no messages: {other:?}"),
    }
}

// ---------------------------------------------------------------------------- vectors

/// vector; mold 5: heartbeat and end of session advance by nothing.
#[test]
fn the_golden_headers_are_written_and_read() {
    let of = session("SESSION001");
    assert_eq!(Header::heartbeat(of, 42).encode().to_vec(), hex(HEARTBEAT));
    assert_eq!(Header::end_of_session(of, 42).encode().to_vec(), hex(END));
    let bytes = hex(HEARTBEAT);
    let heartbeat = Downstream::decode(&bytes).unwrap();
    assert_eq!(heartbeat, Downstream::Heartbeat { session: of, next_seq: 42 });
    assert_eq!((heartbeat.seq(), heartbeat.next_seq()), (42, 42));
    let bytes = hex(END);
    let end = Downstream::decode(&bytes).unwrap();
    assert_eq!(end, Downstream::EndOfSession { session: of, next_seq: 42 });
    assert_eq!(end.next_seq(), 42);
}

/// vector; mold 10: an empty message is one. mold 18: payloads are whole, whatever they begin with.
#[test]
fn the_golden_messages_are_written_and_read() {
    let mut packer = Packer::new(session("SESSION001"), 1_424).unwrap();
    assert_eq!(packer.push(1, b"A"), Ok(Push::Taken));
    assert_eq!(packer.push(2, b""), Ok(Push::Taken));
    assert_eq!(packer.flush(), Some(&hex(TWO)[..]));
    let bytes = hex(TWO);
    let read = messages(&bytes);
    assert_eq!((read.session(), read.seq(), read.len(), read.next_seq()), (session("SESSION001"), 1, 2, 3));
    assert_eq!(read.collect::<Vec<_>>(), [(1, &b"A"[..]), (2, b"")]);
}

/// vector.
#[test]
fn the_golden_request_is_written_and_read() {
    let request = Request { session: session("SESSION001"), seq: 7, count: 3 };
    assert_eq!(request.encode().to_vec(), hex(REQUEST));
    assert_eq!(Request::decode(&hex(REQUEST)), Ok(request));
}

// ---------------------------------------------------------------------------- traps

/// negative; mold 8 and 13: blocks are bounded by the datagram and by the count.
#[test]
fn a_block_past_the_end_is_refused() {
    assert_eq!(
        refused("53455353494F4E303031 0000000000000001 0001 0002 41"),
        MoldError::BlockEnd { block: 0 }
    );
    assert_eq!(refused("53455353494F4E303031 0000000000000001 0001 00"), MoldError::BlockEnd { block: 0 });
    assert_eq!(refused("53455353494F4E303031 0000000000000001 0001"), MoldError::BlockEnd { block: 0 });
    assert_eq!(refused("53455353494F4E303031 0000000000000001 FFFE"), MoldError::BlockEnd { block: 0 });
}

/// negative: nothing of such a datagram is believed.
#[test]
fn a_count_of_three_with_two_blocks_is_refused() {
    assert_eq!(refused(&TWO.replace(" 0002 ", " 0003 ")), MoldError::BlockEnd { block: 2 });
}

/// negative.
#[test]
fn trailing_bytes_are_refused() {
    assert_eq!(refused(&format!("{TWO} 00")), MoldError::Trailing { len: 1 });
    assert_eq!(refused(&TWO.replace(" 0002 ", " 0001 ")), MoldError::Trailing { len: 2 });
    assert_eq!(refused(&format!("{HEARTBEAT} 0000")), MoldError::Trailing { len: 2 });
}

/// negative; mold 13: 0xFFFF is no count.
#[test]
fn an_end_of_session_with_blocks_is_refused() {
    assert_eq!(refused(&format!("{END} 0001 41")), MoldError::EndWithBlocks { len: 3 });
}

/// negative; mold 12 and 17: numbers are u64 from 1 to the end.
#[test]
fn numbers_of_zero_and_beyond_u64_are_refused() {
    assert_eq!(refused("53455353494F4E303031 0000000000000000 0000"), MoldError::SeqZero);
    assert_eq!(refused("53455353494F4E303031 FFFFFFFFFFFFFFFF 0001 0000"), MoldError::SeqEnd);
    let last = hex("53455353494F4E303031 FFFFFFFFFFFFFFFE 0001 0000");
    assert_eq!(messages(&last).next_seq(), u64::MAX);
    let request = |text: &str| Request::decode(&hex(text));
    assert_eq!(request("53455353494F4E303031 0000000000000000 0001"), Err(MoldError::SeqZero));
    assert_eq!(request("53455353494F4E303031 FFFFFFFFFFFFFFFE 0002"), Err(MoldError::SeqEnd));
    assert!(request("53455353494F4E303031 FFFFFFFFFFFFFFFE 0001").is_ok());
    assert_eq!(request("53455353494F4E303031 0000000100000000 0001").unwrap().seq, 1 << 32);
}

/// negative.
#[test]
fn a_request_has_exactly_20_bytes() {
    let bytes = hex(&format!("{REQUEST} 00"));
    assert_eq!(Request::decode(&bytes), Err(MoldError::RequestLength { len: 21 }));
    assert_eq!(Request::decode(&bytes[..19]), Err(MoldError::RequestLength { len: 19 }));
    assert_eq!(Downstream::decode(&bytes[..19]), Err(MoldError::Short { len: 19 }));
    assert_eq!(Downstream::decode(b""), Err(MoldError::Short { len: 0 }));
}

/// negative; mold 1 and 14: receivers ask for 0xFFFE and 0xFFFF.
#[test]
fn a_request_for_nothing_is_refused_and_for_everything_capped() {
    let request = |count: &str| Request::decode(&hex(&REQUEST.replace(" 0003", count)));
    assert_eq!(request("0000"), Err(MoldError::RequestEmpty));
    assert_eq!(request("FFFF").unwrap().count, COUNT_MAX);
    assert_eq!(request("FFFE").unwrap().count, COUNT_MAX);
    let asks = |count| Request { session: session("S"), seq: 1, count }.encode()[18..].to_vec();
    assert_eq!((asks(0xFFFF), asks(0)), (hex("FFFE"), hex("0001")), "never that of an end of session");
}

/// mold 2: a request is read as messages that are not there, never as some that are.
#[test]
fn a_request_among_the_messages_is_refused() {
    assert_eq!(refused(REQUEST), MoldError::BlockEnd { block: 0 });
}

/// mold 3: padded on the right, compared without blanks. mold 14: what is no text is no session.
#[test]
fn a_session_is_the_same_whatever_side_its_blanks_are() {
    let of = |name: &[u8; 10]| {
        let bytes = [&name[..], &hex("0000000000000001 0000")].concat();
        Downstream::decode(&bytes).map(|datagram| datagram.session())
    };
    assert_eq!(
        (of(b"S1        "), of(b"        S1"), of(b"   S1     ")),
        (Ok(session("S1")), Ok(session("S1")), Ok(session("S1")))
    );
    assert_eq!(&Header::heartbeat(session("S1"), 1).encode()[..10], b"S1        ");
    for wrong in
        [b"          ", b"S1\0\0\0\0\0\0\0\0", b"S1 S2     ", b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"]
    {
        assert_eq!(of(wrong), Err(MoldError::Session));
    }
}

#[test]
fn each_reason_has_its_own_place_and_a_text_that_says_what_to_do() {
    let all = [
        MoldError::Short { len: 1 },
        MoldError::Session,
        MoldError::SeqZero,
        MoldError::SeqEnd,
        MoldError::BlockEnd { block: 1 },
        MoldError::Trailing { len: 1 },
        MoldError::EndWithBlocks { len: 1 },
        MoldError::RequestLength { len: 1 },
        MoldError::RequestEmpty,
    ];
    assert_eq!(all.map(MoldError::index), [0, 1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(all.len(), MoldError::NAMES.len());
    all.iter().for_each(|error| assert!(error.to_string().contains(": "), "{error}"));
}

// ---------------------------------------------------------------------------- packer

/// Pushes all, and what left meanwhile and at the end.
fn packed(packer: &mut Packer, messages: &[(u64, Vec<u8>)]) -> Vec<Vec<u8>> {
    let mut datagrams = Vec::new();
    for (seq, message) in messages {
        while packer.push(*seq, message).expect("it fits") == Push::Full {
            datagrams.push(packer.flush().expect("full").to_vec());
        }
    }
    datagrams.extend(packer.flush().map(<[u8]>::to_vec));
    assert_eq!(packer.flush(), None, "and is empty then");
    datagrams
}

/// mold 9: each datagram says its own first number. mold 8: and is as long as the network takes.
#[test]
fn a_batch_over_several_datagrams_numbers_each_by_its_own_first() {
    let mut packer = Packer::new(session("S1"), 44).unwrap();
    let batch: Vec<_> = (1..=7).map(|seq| (seq, vec![seq as u8; 10])).collect();
    let datagrams = packed(&mut packer, &batch);
    assert!(datagrams.iter().all(|datagram| datagram.len() <= 44));
    let heads: Vec<_> =
        datagrams.iter().map(|datagram| (messages(datagram).seq(), messages(datagram).len())).collect();
    assert_eq!(heads, [(1, 2), (3, 2), (5, 2), (7, 1)]);
}

#[test]
fn a_number_that_does_not_follow_begins_another_datagram() {
    let mut packer = Packer::new(session("S1"), 1_424).unwrap();
    let batch = [5, 6, 9, 10, 10, 3].map(|seq| (seq, vec![1]));
    let datagrams = packed(&mut packer, &batch);
    let heads: Vec<_> =
        datagrams.iter().map(|datagram| (messages(datagram).seq(), messages(datagram).len())).collect();
    assert_eq!(heads, [(5, 2), (9, 2), (10, 1), (3, 1)]);
}

#[test]
fn a_message_that_cannot_fit_is_refused_and_the_open_datagram_stays() {
    let mut packer = Packer::new(session("S1"), 30).unwrap();
    assert_eq!(packer.push(1, &[7; 8]), Ok(Push::Taken));
    assert_eq!(packer.push(2, &[7; 9]), Err(PackError::MessageLong { len: 9, max: 8 }));
    assert_eq!(
        (packer.push(0, b""), packer.push(u64::MAX, b"")),
        (Err(PackError::Number { seq: 0 }), Err(PackError::Number { seq: u64::MAX }),)
    );
    assert_eq!((packer.count(), packer.push(2, b"")), (1, Ok(Push::Full)), "not even an empty one fits");
    assert_eq!(packer.flush().map(<[u8]>::len), Some(30));
    assert_eq!(packer.heartbeat(2), Header::heartbeat(session("S1"), 2).encode());
    assert_eq!(packer.end_of_session(2), Header::end_of_session(session("S1"), 2).encode());
    assert!(PackError::MessageLong { len: 9, max: 8 }.to_string().contains("split"));
}

#[test]
fn a_packer_has_a_session_and_room_for_a_message() {
    assert_eq!(Packer::new(session("S1"), 22).err(), Some(PackError::DatagramLen { len_max: 22 }));
    assert!(Packer::new(session("S1"), DATAGRAM_LEN_MAX + 1).is_err());
    assert_eq!(Packer::new(Session::BLANK, 1_424).err(), Some(PackError::Session));
    let mut packer = Packer::new(session("S1"), DATAGRAM_LEN_MAX).unwrap();
    let longest = vec![7; packer.message_len_max()];
    assert_eq!(packer.push(1, &longest), Ok(Push::Taken));
    assert_eq!(packer.flush().map(<[u8]>::len), Some(DATAGRAM_LEN_MAX));
}

// ---------------------------------------------------------------------------- properties

proptest! {
    #![proptest_config(ProptestConfig::with_cases(amount(200, 1000)))]

    #[test]
    fn what_is_packed_is_read_back(
        first in 1..u64::MAX - 200,
        batch in vec(vec(any::<u8>(), 0..60), 0..100),
        len_max in 82..400usize,
    ) {
        let batch: Vec<_> = batch.into_iter().zip(first..).map(|(message, seq)| (seq, message)).collect();
        let mut packer = Packer::new(session("S1"), len_max).unwrap();
        let datagrams = packed(&mut packer, &batch);
        let mut read = Vec::new();
        for datagram in &datagrams {
            prop_assert!(datagram.len() <= len_max);
            read.extend(messages(datagram).map(|(seq, message)| (seq, message.to_vec())));
        }
        prop_assert_eq!(read, batch);
    }

    #[test]
    fn arbitrary_bytes_never_panic(
        head in prop_oneof![Just(b"SESSION001".to_vec()), vec(any::<u8>(), 0..12)],
        seq in prop_oneof![any::<u64>(), 0..3u64, u64::MAX - 3..=u64::MAX],
        count in prop_oneof![any::<u16>(), 0..5u16],
        rest in vec(prop_oneof![Just(0), 0..4u8, any::<u8>()], 0..40),
    ) {
        let bytes = [&head[..], &seq.to_be_bytes(), &count.to_be_bytes(), &rest].concat();
        match Downstream::decode(&bytes) {
            Err(error) => prop_assert!(error.index() < MoldError::NAMES.len()),
            Ok(Downstream::Messages(messages)) => {
                let (seq, count, next_seq) = (messages.seq(), messages.len(), messages.next_seq());
                let all: Vec<_> = messages.collect();
                prop_assert_eq!(all.len(), count, "as many as it says");
                prop_assert_eq!(seq + count as u64, next_seq);
                let blocks: usize = all.iter().map(|(_, message)| 2 + message.len()).sum();
                prop_assert_eq!(20 + blocks, bytes.len());
            }
            Ok(other) => prop_assert_eq!(other.seq(), other.next_seq()),
        }
        if let Ok(request) = Request::decode(&bytes) {
            prop_assert_eq!(Request::decode(&request.encode()), Ok(request));
        }
    }
}
