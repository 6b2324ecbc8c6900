//! A replica sends no more to an address than came from there, until the address has proved itself; and no
//! parts of a status to whoever knows of none.

use super::replica::{answers, decoded, repairer};
use lockstep_core::engine::counters::Counter;
use lockstep_core::engine::receiver::Start;
use lockstep_core::engine::subscriber::{Delivery, SubscriberEvent};
use lockstep_memory::cluster::Cluster;
use lockstep_memory::log::{nack, written};
use lockstep_memory::net::To;
use lockstep_memory::reader::Reader;
use lockstep_memory::world::*;
use lockstep_wire::Keyring;
use lockstep_wire::*;
use std::ops::ControlFlow;

/// A reader of which no node knows whether it receives at its address.
const UNPROVED: u32 = 251;

fn proof_returned(proof: u64) -> Vec<u8> {
    let header = Header {
        cluster: CLUSTER,
        sender: 900,
        incarnation: 1,
        flags: ADDRESS_PROOF_RETURNED,
        ..Header::new(Kind::AddressProof)
    };
    written(|out| {
        write_address_proof(out, &Keyring::none(CLUSTER), header, AddressProofBody { token: 5, proof })
    })
}

/// The proof that these datagrams demand of [`UNPROVED`], if they do nothing else.
fn demanded(sent: &[(To, Vec<u8>)]) -> Option<u64> {
    let [(To::Unicast(to), _)] = sent else { return None };
    match decoded(sent)[0] {
        Datagram::AddressProof(header, body)
            if *to == address(UNPROVED) && header.flags == 0 && body.token == 5 =>
        {
            Some(body.proof)
        }
        _ => None,
    }
}

/// PROOF-1.
#[test]
fn proof_1_no_frame_goes_to_an_address_that_has_not_proved_itself() {
    let (mut node, _) = repairer();
    let request = nack(epoch(1, 1), HISTORY, 5, &[(3, 5)]);
    let sent = node.ask(UNPROVED, request.clone());
    let proof = demanded(&sent).expect("a demand and nothing else");
    assert!(sent[0].1.len() <= request.len(), "no more than came");
    // Another number, the right one from elsewhere, and the start of the epoch, which is a frame as well.
    assert!(node.ask(UNPROVED, proof_returned(proof ^ 1)).is_empty());
    assert!(node.ask(UNPROVED + 1, proof_returned(proof)).is_empty());
    assert_eq!(demanded(&node.ask(UNPROVED, request.clone())), Some(proof));
    assert_eq!(demanded(&node.ask(UNPROVED, nack(epoch(1, 1), HISTORY, 5, &[]))), Some(proof));
    assert!(node.ask(UNPROVED, proof_returned(proof)).is_empty());
    let (repairs, _) = answers(&node.ask(UNPROVED, request));
    assert_eq!(repairs.iter().map(|repair| repair.0).collect::<Vec<_>>(), [3, 4]);
    let counts = (node.count(Counter::AddressProofsDemanded), node.count(Counter::AddressProofsReturned));
    assert_eq!(counts, (3, 1));
}

/// PROOF-1.
#[test]
fn proof_1_a_reader_proves_its_address_and_asks_the_same_repairer_again() {
    let (mut node, mut log) = repairer();
    let mut reader = Reader::new(Delivery::Committed, Start::From(4)).subscriber;
    reader.net_mut().groups.push_back(log.heartbeat());
    let (mut kinds, mut messages, mut now) = (Vec::new(), 0, 1_000_000);
    for _ in 0..200 {
        now += TURN_NS;
        reader.poll(now, 1_000, |event| {
            messages += u32::from(matches!(event, SubscriberEvent::Message(_)));
            ControlFlow::Continue(())
        });
        for (to, bytes) in sent(reader.net_mut()) {
            // The other repairers are silent.
            if to == To::Unicast(address(2)) {
                kinds.extend(Kind::from_u8(bytes[5]));
                node.replica.net_mut().unicast.push_back((bytes, Some(address(UNPROVED))));
            }
        }
        for (to, bytes) in node.poll() {
            if to == To::Unicast(address(UNPROVED)) {
                kinds.extend(Kind::from_u8(bytes[5]));
                reader.net_mut().unicast.push_back((bytes, Some(address(2))));
            }
        }
    }
    let steps = [Kind::Nack, Kind::AddressProof, Kind::AddressProof, Kind::Nack, Kind::Frame];
    assert_eq!(kinds.get(..5), Some(&steps[..]), "{kinds:?}");
    assert!(messages > 0);
}

/// The process that runs the engine has the events.
#[test]
fn proof_1_a_page_of_events_is_no_longer_than_its_query_and_queries_beyond_a_turns_room_are_counted() {
    let (mut node, _) = repairer();
    let header = Header { cluster: CLUSTER, sender: 900, incarnation: 1, ..Header::new(Kind::Query) };
    let query =
        |name| written(|out| write_query(out, &Keyring::none(CLUSTER), header, 5, QueryKind::Events, name));
    for (name, before) in [("", u64::MAX), ("4096", 4096)] {
        assert!(node.ask(UNPROVED, query(name)).is_empty(), "the engine has none itself");
        let asked = node.replica.next_event_query().expect("a query");
        assert_eq!((asked.before, node.replica.next_event_query()), (before, None));
        let numbers = (0..EVENT_ROWS_MAX as u64).rev();
        let rows: Vec<_> = numbers.map(|number| EventRow { number, ..EventRow::default() }).collect();
        node.replica.send_events(Wall(7), asked, EventsBody { next: 9, ..EventsBody::default() }, &rows);
        let answer = sent(node.replica.net_mut());
        let [(To::Unicast(to), bytes)] = &answer[..] else { panic!("one answer: {answer:?}") };
        assert!(*to == address(UNPROVED) && bytes.len() <= query(name).len());
        let Datagram::Events(_, body, seen) = decoded(&answer)[0] else { panic!("a page") };
        assert_eq!((body.token, seen.iter().collect::<Vec<_>>()), (5, rows));
    }
    let mut short = query("");
    short.truncate(HEADER_LEN + size_of::<QueryBody>());
    let peeked = Header::peek(&short).expect("a header");
    seal(&mut short, peeked);
    node.ask(UNPROVED, short);
    assert_eq!((node.count(Counter::QueriesShort), node.replica.next_event_query()), (1, None));
    (0..20).for_each(|_| drop(node.ask(UNPROVED, query(""))));
    assert_eq!(std::iter::from_fn(|| node.replica.next_event_query()).count(), 8);
    assert_eq!(node.count(Counter::EventQueriesLost), 12);
}

/// A query is padded to its answer. One that is not, as somebody may write who wants to send more to an
/// address than he pays for, has no answer.
#[test]
fn proof_1_no_answer_is_longer_than_its_query() {
    let (mut node, _) = repairer();
    let header = Header { cluster: CLUSTER, sender: 900, incarnation: 1, ..Header::new(Kind::Query) };
    for query_kind in [QueryKind::Node, QueryKind::Status, QueryKind::Probe] {
        let query = written(|out| write_query(out, &Keyring::none(CLUSTER), header, 5, query_kind, ""));
        let sent = node.ask(UNPROVED, query.clone());
        let answered: Vec<_> = sent.iter().filter(|(to, _)| *to == To::Unicast(address(UNPROVED))).collect();
        assert!(!answered.is_empty(), "{query_kind:?}");
        assert!(answered.iter().all(|(_, bytes)| bytes.len() <= query.len()), "{query_kind:?}");
    }
    for query_kind in [QueryKind::Node, QueryKind::Status, QueryKind::Probe] {
        let mut short = written(|out| write_query(out, &Keyring::none(CLUSTER), header, 5, query_kind, ""));
        short.truncate(HEADER_LEN + size_of::<QueryBody>());
        let header = Header::peek(&short).expect("a header");
        seal(&mut short, header);
        assert!(node.ask(UNPROVED, short).is_empty(), "{query_kind:?}");
    }
    assert_eq!(node.count(Counter::QueriesShort), 3);
}

/// A release that knows of no parts refuses a status with anything behind its conditions.
#[test]
fn a_query_of_the_release_before_is_answered_without_parts_and_a_longer_one_with_them() {
    let row = AgreedRow::new("lines.1.mtu", "1500").expect("a key that must be alike");
    let mut cluster = Cluster::new(3, |limits| limits.agreed = vec![row]);
    let asks = Header { cluster: CLUSTER, sender: OPERATOR, ..Header::new(Kind::Query) };
    for (len, has_parts) in [(STATUS_LEN_MAX, false), (STATUS_LONG_LEN_MAX, true)] {
        let mut query = vec![0; STATUS_LONG_LEN_MAX];
        let end = write_status_query(&mut query, &Keyring::none(CLUSTER), asks, 5, len);
        query.truncate(end);
        assert_eq!(query.len(), len);
        let answer = cluster.ask(2, query);
        let Ok(Datagram::Status(header, body, ..)) = Datagram::decode(&answer, &Keyring::none(CLUSTER))
        else {
            panic!("a status")
        };
        let rows = usize::from(header.count) * size_of::<StatusMember>()
            + usize::from(body.conditions) * size_of::<ConditionRow>();
        let behind = answer.len() - HEADER_LEN - size_of::<StatusBody>() - rows;
        assert_eq!(behind > 0, has_parts, "{behind} bytes of parts for a query of {len}");
    }
}
