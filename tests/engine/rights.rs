//! What a publisher's key allows: a leader stamps that and nothing else, and tells the publisher.

use super::log::{open_submission, submission, written};
use super::replica::leader;
use super::world::*;
use lockstep_core::engine::counters::Counter;
use lockstep_wire::*;

/// The key whose rights are limited, and one that is not.
const LIMITED: u16 = 5;
const FREE: u16 = 0;

fn keys() -> GenerationKeys {
    GenerationKeys {
        replica: Some([1; 16]),
        reader: [2; 16],
        publishers: vec![(FREE, [3; 16]), (LIMITED, [4; 16])],
    }
}

/// `datagram`, as a publisher with this key sends it.
fn sealed(key: u16, mut datagram: Vec<u8>) -> Vec<u8> {
    let header = Header::peek(&datagram).expect("a header");
    Keyring::new(CLUSTER, KeyClass::Publisher(key), &keys()).seal(&mut datagram, header);
    datagram
}

/// A leader with keys, of which one publisher's is limited to `rights`.
struct Leader {
    node: Node,
    keys: Keys,
}

impl Leader {
    fn new(rights: &str) -> Self {
        Self::of(1, rights)
    }

    fn of(members: u32, rights: &str) -> Self {
        let ring: Keys = Keyring::new(CLUSTER, KeyClass::Replica, &keys()).into();
        let own = ring.clone();
        let node = leader(members, move |limits| limits.receiver.keys = own.clone());
        let leader = Self { node, keys: ring };
        leader.allow(rights);
        leader
    }

    fn allow(&self, rights: &str) {
        let rights = KeyRights::parse(rights.split_whitespace()).expect("rights");
        self.keys.set_rights([KeyHolder { key: LIMITED, name: "desk".to_owned(), rights }]);
    }

    /// Submits `datagram` by `key`. Returns the publishers and numbers that were stamped, and the notices:
    /// whose they are, from which number, and of which kind.
    #[allow(clippy::type_complexity)] // two lists of a test
    fn submit(
        &mut self,
        key: u16,
        datagram: Vec<u8>,
    ) -> (Vec<(PublisherId, PublisherSeq)>, Vec<(PublisherId, u64, u32)>) {
        let (mut stamped, mut notices) = (Vec::new(), Vec::new());
        let mut sent = self.node.hear(&[sealed(key, datagram)]);
        // A notice is sent once in a rung of the heartbeat.
        for _ in 0..20 {
            sent.extend(self.node.poll());
        }
        for (_, bytes) in sent {
            match Datagram::decode(&bytes, &self.keys) {
                Ok(Datagram::Frame(frame, _)) => {
                    let entries = frame.entries().map(|entry| *entry.header);
                    stamped.extend(entries.map(|entry| (entry.publisher, entry.publisher_seq)));
                }
                Ok(Datagram::PublisherNotice(_, rows)) => {
                    notices.extend(rows.iter().map(|row| (row.publisher, row.from, row.notice)));
                }
                _ => {}
            }
        }
        (stamped, notices)
    }

    fn counted(&self, counter: Counter) -> u64 {
        self.node.replica.core.counters.get(counter)
    }
}

const NOT_ALLOWED: u32 = PublisherNotice::NotAllowed as u32;
const THROTTLED: u32 = PublisherNotice::Throttled as u32;

/// A message of `publisher` to `destination`.
fn message(publisher: PublisherId, number: PublisherSeq, destination: Destination) -> Vec<u8> {
    let mut datagram = submission(&[(EntryKind::Message, publisher, number, 1, b"order")]);
    let at = HEADER_LEN + std::mem::offset_of!(EntryHeader, destination);
    datagram[at..at + 4].copy_from_slice(&destination.to_le_bytes());
    datagram
}

#[test]
fn auth_4_a_key_opens_its_names_and_publishes_under_no_other() {
    // AUTH-4
    let mut leader = Leader::new("names=orders/*");
    let nonce = [8, 9];
    let (stamped, notices) = leader.submit(LIMITED, open_submission("risk", nonce, 0));
    assert_eq!((stamped, notices), (vec![], vec![(0, nonce[0], NOT_ALLOWED)]), "refused, and told so");
    assert_eq!(leader.counted(Counter::OpensRefused), 1);
    assert_eq!(leader.submit(LIMITED, open_submission("orders/1", nonce, 0)).0, [(1, 0)]);
    assert_eq!(leader.submit(FREE, open_submission("risk", nonce, 0)).0, [(2, 0)]);
    assert_eq!(leader.submit(LIMITED, message(1, 1, 0)).0, [(1, 1)]);

    let (stamped, notices) = leader.submit(LIMITED, message(2, 1, 0));
    assert_eq!((stamped, notices), (vec![], vec![(2, 1, NOT_ALLOWED)]), "under another's name");
    assert_eq!(leader.counted(Counter::SubmissionsNotAllowed), 1);
    let close = submission(&[(EntryKind::Close, 2, 1, 1, b"")]);
    assert_eq!(leader.submit(LIMITED, close).0, [], "nor does it end another");
    assert_eq!(leader.submit(FREE, message(2, 1, 0)).0, [(2, 1)], "its owner's number was not used up");
}

#[test]
fn auth_5_a_key_publishes_to_its_destinations_alone() {
    // AUTH-5
    let mut leader = Leader::new("to=client/*,channel:3");
    for (number, name) in ["orders", "client/1", "risk"].into_iter().enumerate() {
        leader.submit(FREE, open_submission(name, [number as u64 + 1, 1], 0));
    }
    for refused in [EVERYBODY, 3, CHANNELS + 4, 99] {
        let (stamped, notices) = leader.submit(LIMITED, message(1, 1, refused));
        assert_eq!((stamped, notices), (vec![], vec![(1, 1, NOT_ALLOWED)]), "destination {refused}");
    }
    assert_eq!(leader.submit(LIMITED, message(1, 1, 2)).0, [(1, 1)]);
    assert_eq!(leader.submit(LIMITED, message(1, 2, CHANNELS + 3)).0, [(1, 2)]);
    let close = submission(&[(EntryKind::Close, 1, 3, 1, b"")]);
    assert_eq!(leader.submit(LIMITED, close).0, [(1, 3)], "its end is addressed to nobody");
}

#[test]
fn auth_8_no_publishers_key_opens_a_notarys_name_or_publishes_where_notaries_do() {
    // AUTH-8
    let mut leader = Leader::new("");
    let nonce = [8, 9];
    let (stamped, notices) = leader.submit(FREE, open_submission("lockstep/notary/desk", nonce, 0));
    assert_eq!((stamped, notices), (vec![], vec![(0, nonce[0], NOT_ALLOWED)]));
    assert_eq!(leader.submit(FREE, open_submission("orders", nonce, 0)).0, [(1, 0)]);
    let (stamped, notices) = leader.submit(FREE, message(1, 1, NOTARIES));
    assert_eq!((stamped, notices), (vec![], vec![(1, 1, NOT_ALLOWED)]));
    assert_eq!(leader.submit(FREE, message(1, 1, EVERYBODY)).0, [(1, 1)], "its number was not used up");
}

#[test]
fn auth_4_a_message_that_waits_for_an_earlier_one_is_judged_when_it_comes() {
    // AUTH-4
    let mut leader = Leader::new("names=orders");
    leader.submit(FREE, open_submission("orders", [1, 1], 0));
    leader.submit(FREE, open_submission("risk", [2, 1], 0));
    assert_eq!(leader.submit(LIMITED, message(2, 2, 0)).0, [], "number 1 is missing");
    assert_eq!(leader.submit(FREE, message(2, 1, 0)).0, [(2, 1)], "the forgery did not wait behind it");
}

#[test]
fn auth_6_what_exceeds_a_keys_rate_is_not_stamped_and_comes_later() {
    // AUTH-6
    let mut leader = Leader::new("rate=50");
    leader.submit(FREE, open_submission("orders", [1, 1], 0));
    let entries: Vec<_> =
        (1..=10).map(|number| (EntryKind::Message, 1, number, 1, b"order".as_slice())).collect();
    let (stamped, notices) = leader.submit(LIMITED, submission(&entries));
    assert_eq!(stamped, (1..=5).map(|number| (1, number)).collect::<Vec<_>>(), "a tenth of a second");
    assert_eq!(notices.first(), Some(&(1, 6, THROTTLED)));
    assert!(leader.counted(Counter::SubmissionsOverRate) > 0);
    leader.node.now += 20_000_000;
    assert_eq!(leader.submit(LIMITED, submission(&entries[5..])).0, [(1, 6)]);
    assert_eq!(leader.submit(FREE, submission(&entries[6..])).0.len(), 4, "another key is not limited");
}

#[test]
fn rights_change_while_a_leader_leads() {
    let mut leader = Leader::new("names=orders");
    assert_eq!(leader.submit(LIMITED, open_submission("risk", [1, 1], 0)).0, []);
    leader.allow("names=risk");
    assert_eq!(leader.submit(LIMITED, open_submission("risk", [2, 1], 0)).0, [(1, 0)]);
    leader.allow("names=orders");
    assert_eq!(leader.submit(LIMITED, message(1, 1, 0)).0, [], "taken back, for an open name as well");
}

#[test]
fn auth_7_a_day_is_marked_by_a_key_with_the_right_to_it_and_the_calendar_is_nobody_elses() {
    // AUTH-7
    let mut leader = Leader::new("rate=1000");
    let open = || open_submission(CALENDAR, [1, 1], 0);
    for key in [LIMITED, FREE] {
        assert_eq!(leader.submit(key, open()), (vec![], vec![(0, 1, NOT_ALLOWED)]));
    }
    leader.allow("orders=day");
    assert_eq!(leader.submit(LIMITED, open()).0, [(1, 0)]);
    let mut mark = [0; 1 + DAY_LEN_MAX];
    let length = DayMark { is_start: true, name: "today" }.write(&mut mark);
    let day = || submission(&[(EntryKind::Day, 1, 1, 1, &mark[..length])]);
    let close = submission(&[(EntryKind::Close, 1, 1, 1, b"")]);
    for forged in [day(), message(1, 1, 0), close] {
        assert_eq!(leader.submit(FREE, forged), (vec![], vec![(1, 1, NOT_ALLOWED)]));
    }
    assert_eq!(leader.submit(LIMITED, day()).0, [(1, 1), (0, 0)], "and behind it the record of the order");
}

#[test]
fn auth_7_an_order_is_recorded_with_its_operator_and_a_late_copy_is_refused() {
    // AUTH-7
    let mut leader = Leader::of(3, "orders=handover");
    let (epoch, first_seq) = (leader.node.replica.tail().end().epoch, 2);
    let header =
        Header { cluster: CLUSTER, sender: 900, epoch: epoch.0, first_seq, ..Header::new(Kind::Query) };
    let none = Keyring::none(CLUSTER);
    let order = |header| written(|out| write_query(out, &none, header, 5, QueryKind::Handover, ""));
    let mut judged = |key, datagram| {
        let sent = leader.node.ask(9, sealed(key, datagram));
        let entries = sent.iter().filter_map(|(_, bytes)| match Datagram::decode(bytes, &leader.keys) {
            Ok(Datagram::Frame(frame, _)) => frame.entries().next().map(|entry| entry.payload.to_vec()),
            _ => None,
        });
        let recorded: Vec<_> = entries.collect();
        let result = sent.iter().find_map(|(_, bytes)| match Datagram::decode(bytes, &leader.keys) {
            Ok(Datagram::CommandResult(_, body)) => Some(CommandReject::from_u32(body.reject)),
            _ => None,
        });
        (result, recorded)
    };
    assert_eq!(judged(FREE, order(header)), (Some(Some(CommandReject::NotAllowed)), vec![]));
    for late in [Header { epoch: epoch.0 - 1, ..header }, Header { first_seq: 1, ..header }] {
        assert_eq!(judged(LIMITED, order(late)), (Some(Some(CommandReject::Stale)), vec![]));
    }
    let (result, recorded) = judged(LIMITED, order(header));
    assert_eq!((result, recorded.len()), (Some(None), 1));
    let record = OrderView::parse(&recorded[0]).expect("a record");
    assert_eq!((record.order(), record.holder, record.body.key), (OperatorOrder::Handover, "desk", LIMITED));
    assert_eq!((record.epoch(), record.body.membership_seq, record.subject()), (epoch, 2, None));
    assert_eq!(
        judged(LIMITED, order(header)),
        (Some(None), vec![]),
        "a copy is answered, and no second order"
    );
}
