//! Each promise of the keyring, with datagrams of each class.

use super::*;
use crate::{AckBody, Datagram, QueryKind, SeqRange, write_ack, write_nack, write_query};

const CLUSTER: u64 = 7;

fn all(seed: u8) -> GenerationKeys {
    GenerationKeys {
        replica: Some([seed; 16]),
        reader: [seed + 1; 16],
        publishers: vec![(0, [seed + 2; 16]), (5, [seed + 3; 16])],
    }
}

fn replica() -> Keyring {
    Keyring::new(CLUSTER, KeyClass::Replica, &all(10))
}

fn reader() -> Keyring {
    Keyring::new(
        CLUSTER,
        KeyClass::Reader,
        &GenerationKeys { replica: None, publishers: Vec::new(), ..all(10) },
    )
}

fn publisher(index: u16) -> Keyring {
    let mut keys = GenerationKeys { replica: None, ..all(10) };
    keys.publishers.retain(|(at, _)| *at == index);
    Keyring::new(CLUSTER, KeyClass::Publisher(index), &keys)
}

fn header(kind: Kind) -> Header {
    Header { cluster: CLUSTER, sender: 3, number: 9, ..Header::new(kind) }
}

fn ack(keys: &Keyring) -> Vec<u8> {
    let mut out = vec![0; crate::SMALL_LEN_MAX];
    let length = write_ack(&mut out, keys, header(Kind::Ack), AckBody { process_nonce: 1 });
    out.truncate(length);
    out
}

fn nack(keys: &Keyring) -> Vec<u8> {
    let mut out = vec![0; crate::SMALL_LEN_MAX];
    let length = write_nack(&mut out, keys, header(Kind::Nack), 4, &[SeqRange { from: 1, to: 2 }]);
    out.truncate(length);
    out
}

fn refusal(bytes: &[u8], keys: &Keyring) -> Reject {
    Datagram::decode(bytes, keys).expect_err("it is refused")
}

/// AUTH-2: each process checks the word for which it has the key.
#[test]
fn a_replica_is_believed_by_replicas_and_readers() {
    for ring in [replica(), reader(), publisher(5)] {
        assert!(matches!(Datagram::decode(&ack(&replica()), &ring), Ok(Datagram::Ack(..))), "{ring:?}");
    }
}

#[test]
fn a_request_is_believed_by_replicas_and_is_no_business_of_readers() {
    for sender in [reader(), publisher(0), publisher(5)] {
        assert!(matches!(Datagram::decode(&nack(&sender), &replica()), Ok(Datagram::Nack(..))), "{sender:?}");
        assert_eq!(refusal(&nack(&sender), &reader()), Reject::Rights);
    }
}

/// AUTH-1: a reader's key seals no ack. A reader that writes the replicas' key id cannot compute word 0.
#[test]
fn a_reader_can_neither_acknowledge_nor_pose_as_a_replica() {
    assert_eq!(refusal(&ack(&reader()), &replica()), Reject::Rights);
    let posing = Keyring {
        own: Some(KeyClass::Replica),
        ..Keyring::new(CLUSTER, KeyClass::Replica, &GenerationKeys { replica: Some([0; 16]), ..all(10) })
    };
    assert_eq!(refusal(&ack(&posing), &replica()), Reject::Tag);
    // A reader cannot find this out, as the module's text says.
    assert!(Datagram::decode(&ack(&posing), &reader()).is_ok());
}

#[test]
fn a_publisher_can_not_pose_as_another() {
    let mut keys = GenerationKeys { replica: None, ..all(10) };
    keys.publishers = vec![(0, [12 + 1; 16])];
    let posing = Keyring::new(CLUSTER, KeyClass::Publisher(0), &keys);
    assert_eq!(refusal(&nack(&posing), &replica()), Reject::Tag);
    assert_eq!(
        refusal(&nack(&publisher(5)), &Keyring::new(CLUSTER, KeyClass::Replica, &all(40))),
        Reject::Tag
    );
    let keys = GenerationKeys { publishers: vec![(7, [1; 16])], ..keys };
    let unknown = Keyring::new(CLUSTER, KeyClass::Publisher(7), &keys);
    assert_eq!(refusal(&nack(&unknown), &replica()), Reject::Key);
}

#[test]
fn a_publishers_key_is_added_while_the_process_runs() {
    let (ring, keys) =
        (replica(), GenerationKeys { replica: None, publishers: vec![(900, [7; 16])], ..all(10) });
    let late = Keyring::new(CLUSTER, KeyClass::Publisher(900), &keys);
    assert_eq!(refusal(&nack(&late), &ring), Reject::Key);
    let mut more = all(10);
    more.publishers.push((900, [7; 16]));
    assert_eq!(ring.add(0, &more), Ok(()));
    assert!(Datagram::decode(&nack(&late), &ring).is_ok());
    more.publishers[0].1 = [8; 16];
    assert_eq!(ring.add(0, &more), Err(OtherKeys { generation: 0 }), "a key that is there stays");
}

/// AUTH-1: a command is a replica's (an operator uses its host's key file).
#[test]
fn auth_7_a_command_needs_a_replicas_key_or_one_with_the_right_to_it() {
    // AUTH-7
    let command = |keys: &Keyring| {
        let mut out = vec![0; crate::SMALL_LEN_MAX];
        let length = write_query(&mut out, keys, header(Kind::Query), 1, QueryKind::Handover, "");
        out.truncate(length);
        out
    };
    assert_eq!(refusal(&command(&reader()), &replica()), Reject::Rights);
    let ring = replica();
    let operator = |datagram: &[u8]| {
        let Ok(Datagram::Query(header, ..)) = Datagram::decode(datagram, &ring) else { panic!("a command") };
        ring.operator(header, OperatorOrder::Handover)
            .map(|operator| operator.map(|holder| holder.name.clone()))
    };
    assert_eq!(operator(&command(&replica())), Ok(None));
    assert_eq!(operator(&command(&publisher(0))), Err(Reject::Rights));
    let rights = KeyRights::parse(["orders=handover", &format!("public={}", "07".repeat(32))]).unwrap();
    ring.set_rights([KeyHolder { key: 0, name: "alice".to_owned(), rights }]);
    assert_eq!(operator(&command(&publisher(0))), Ok(Some("alice".to_owned())));
    assert_eq!(operator(&command(&publisher(5))), Err(Reject::Rights), "another key");
}

#[test]
fn without_a_key_nothing_is_believed_where_there_are_keys_and_the_reverse() {
    let none = Keyring::none(CLUSTER);
    for ring in [replica(), reader(), publisher(5)] {
        assert_eq!(refusal(&ack(&none), &ring), Reject::Unkeyed);
    }
    assert_eq!(refusal(&ack(&replica()), &none), Reject::Key);
    assert_eq!(refusal(&ack(&replica()), &Keyring::none(8)), Reject::Key);
    let foreign = Keyring::new(8, KeyClass::Replica, &all(10));
    assert_eq!(refusal(&ack(&replica()), &foreign), Reject::Cluster { seen: CLUSTER });
}

#[test]
fn each_bit_of_a_sealed_datagram_matters() {
    let (sealed, ring) = (ack(&replica()), replica());
    for bit in 0..8 * sealed.len() {
        let mut other = sealed.clone();
        other[bit / 8] ^= 1 << (bit % 8);
        assert!(Datagram::decode(&other, &ring).is_err(), "bit {bit} at a replica");
        // A reader cannot check word 0, which is the replicas'.
        let is_word_of_replicas = (8..16).contains(&(bit / 8));
        assert_eq!(Datagram::decode(&other, &reader()).is_ok(), is_word_of_replicas, "bit {bit} at a reader");
    }
}

/// AUTH-3: keys change in three steps, and no step refuses what a process of the step before or after sends.
#[test]
fn keys_change_without_a_datagram_refused() {
    let (one, other) = (replica(), replica());
    let both_open = |what: &str| {
        assert!(Datagram::decode(&ack(&one), &other).is_ok(), "{what}");
        assert!(Datagram::decode(&ack(&other), &one).is_ok(), "{what}");
    };
    let steps = [(0, 0b01), (0, 0b11), (1, 0b11), (1, 0b10)];
    assert_eq!([&one, &other].map(|ring| ring.add(1, &all(20))), [Ok(()); 2]);
    let mut retired = Vec::new();
    for (sealing, accepted) in steps {
        for ring in [&one, &other] {
            ring.set_generations(sealing, accepted);
            both_open("one process is a step ahead of the other");
        }
        retired.push(ack(&one));
    }
    assert_eq!(refusal(&retired[0], &other), Reject::Generation);
    assert_eq!(
        refusal(&ack(&Keyring::new(CLUSTER, KeyClass::Replica, &all(10))), &other),
        Reject::Generation
    );
    assert_eq!(one.add(1, &all(30)), Err(OtherKeys { generation: 1 }));
    assert_eq!(one.add(1, &all(20)), Ok(()), "the same keys");
    let mut ahead = ack(&one);
    ahead[7] = 2 << 4;
    assert_eq!(refusal(&ahead, &other), Reject::Key);
}

/// A frame of one message as a leader seals it, and its header.
fn sealed_frame() -> (Vec<u8>, Header) {
    let mut frame = vec![0; 512];
    let entry = crate::EntryHeader { kind: crate::EntryKind::Message as u8, ..bytemuck::Zeroable::zeroed() };
    let mut open = crate::OpenFrame::default();
    assert!(open.push(&mut frame, entry, b"forty-two"));
    let length = open.len();
    let sealed = open.close(&mut frame, &replica(), Header { first_seq: 1, ..header(Kind::Frame) }, length);
    frame.truncate(length);
    (frame, sealed)
}

/// A frame is as old as the stream: a retired generation opens it where it is replayed, and a repairer's
/// present keys vouch for it where it is repaired.
#[test]
fn a_frame_outlives_its_keys() {
    let (frame, sealed) = sealed_frame();
    let frame = &frame[..];
    for ring in [replica(), reader()] {
        let own_replica = all(20).replica.filter(|_| ring.own() == Some(KeyClass::Replica));
        assert_eq!(ring.add(1, &GenerationKeys { replica: own_replica, ..all(20) }), Ok(()));
        assert!(Datagram::decode(frame, &ring).is_ok());
        ring.set_generations(1, 0b10);
        assert_eq!(refusal(frame, &ring), Reject::Generation);
        assert!(Datagram::decode_replayed(frame, &ring).is_ok());

        let repairer = Keyring::new(CLUSTER, KeyClass::Replica, &all(10));
        assert_eq!(repairer.add(1, &all(20)), Ok(()));
        repairer.set_generations(1, 0b10);
        let trailer = crate::repair_trailer(&repairer, Default::default(), crate::Epoch(0), 2, 0, frame);
        let repaired = [frame, &trailer].concat();
        assert!(matches!(Datagram::decode(&repaired, &ring), Ok(Datagram::Frame(_, Some(_)))));
        // A repairer whose memory has flipped a bit vouches for it with its trailer, and is refused all the
        // same.
        for bit in 0..8 * frame.len() {
            let mut flipped = frame.to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let trailer =
                crate::repair_trailer(&repairer, Default::default(), crate::Epoch(0), 2, 0, &flipped);
            assert!(Datagram::decode(&[&flipped[..], &trailer].concat(), &ring).is_err(), "bit {bit}");
        }
        for bit in 0..8 * repaired.len() {
            let mut other = repaired.clone();
            other[bit / 8] ^= 1 << (bit % 8);
            let word = repaired.len() - if ring.own() == Some(KeyClass::Replica) { 8 } else { 16 };
            assert_eq!(
                Datagram::decode(&other, &ring).is_ok(),
                (word..word + 8).contains(&(bit / 8)),
                "{ring:?}, bit {bit}"
            );
        }
    }
    // The journal needs no key, and so the chain does not depend on one.
    assert!(crate::FrameView::from_prefix(frame).is_ok());
    let mut again = frame.to_vec();
    let unkeyed = Keyring::none(CLUSTER).seal(&mut again, sealed);
    assert_eq!(crate::chain_after(&unkeyed), crate::chain_after(&sealed));
}

/// AUTH-3: a forgotten generation opens neither what its keys sealed nor what overwritten keys seal.
#[test]
fn a_forgotten_generation_opens_nothing_and_its_number_has_no_other_keys() {
    let (frame, _) = sealed_frame();
    let frame = &frame[..];
    let wiped = replica();
    wiped.generations[0].get().unwrap().wipe();
    let by_zeros = ack(&wiped);
    for ring in [replica(), reader()] {
        let own_replica = all(20).replica.filter(|_| ring.own() == Some(KeyClass::Replica));
        let next = GenerationKeys { replica: own_replica, publishers: Vec::new(), ..all(20) };
        assert_eq!(ring.add(1, &next), Ok(()));
        ring.set_generations(1, 0b10);
        ring.forget_but(0b11);
        assert!(Datagram::decode_replayed(frame, &ring).is_ok(), "it is retired, and listed");
        ring.forget_but(0);
        assert_eq!(ring.generations(), (1, 0b10), "the one that seals stays");
        for bytes in [frame, &by_zeros] {
            let replayed = Datagram::decode_replayed(bytes, &ring).map(|_| ());
            assert_eq!(replayed, Err(Reject::Generation));
            assert_eq!(refusal(bytes, &ring), Reject::Generation);
        }
        let first = GenerationKeys { replica: all(10).replica.filter(|_| own_replica.is_some()), ..all(10) };
        assert_eq!(ring.add(0, &first), Err(OtherKeys { generation: 0 }));
    }
}

#[test]
fn publishers_keys_of_a_retired_generation_are_overwritten_and_the_others_stay() {
    let ring = replica();
    assert_eq!(ring.add(1, &all(20)), Ok(()));
    let has = |generation: usize| {
        let keys = ring.generations[generation].get().unwrap();
        let of = |class| keys.tag(class, &[7; 104], 1);
        let by_zeros = Keyring::new(CLUSTER, KeyClass::Replica, &all(10));
        by_zeros.generations[0].get().unwrap().wipe();
        let zeros = by_zeros.generations[0].get().unwrap().tag(KeyClass::Reader, &[7; 104], 1);
        [KeyClass::Replica, KeyClass::Reader, KeyClass::Publisher(5)].map(|class| of(class) != zeros)
    };
    assert_eq!((has(0), has(1)), ([true; 3], [true; 3]));
    ring.set_generations(1, 0b10);
    assert_eq!((has(0), has(1)), ([true, true, false], [true; 3]));
    let without = GenerationKeys { publishers: Vec::new(), ..all(10) };
    assert_eq!(ring.add(0, &without), Ok(()), "its file is read again");
    assert_eq!(ring.add(0, &all(10)), Err(OtherKeys { generation: 0 }));
}

/// AUTH-3: a datagram of an accepted generation that does not seal is opened, and a publisher's key is noted.
/// No key is noted for a datagram that is not opened, or that the sealing generation sealed.
#[test]
fn publishers_keys_of_another_generation_than_the_one_that_seals_are_noted_until_they_are_taken() {
    let ring = replica();
    assert_eq!(ring.add(1, &all(20)), Ok(()));
    let noted = || ring.take_noted().into_iter().filter(|key_id| *key_id != 0).collect::<Vec<_>>();
    let opens = |bytes: &[u8]| Datagram::decode(bytes, &ring).is_ok();
    ring.set_generations(0, 0b11);
    assert!(opens(&nack(&publisher(5))) && opens(&nack(&publisher(0))));
    assert_eq!(noted(), []);

    ring.set_generations(1, 0b11);
    let mut forged = nack(&publisher(0));
    *forged.last_mut().unwrap() ^= 1;
    assert!(!opens(&forged));
    for _ in 0..2 {
        assert!(opens(&nack(&publisher(5))) && opens(&nack(&reader())) && opens(&ack(&replica())));
    }
    let expected = KeyClass::Publisher(5).key_id(0);
    assert_eq!((noted(), noted()), (vec![expected], vec![]));
    assert!(ring.is_other(expected) && KeyClass::generation(expected) == 0);

    ring.set_generations(1, 0b10);
    assert!(!opens(&nack(&publisher(5))));
    assert_eq!(noted(), []);
}
