//! What a publisher's key allows: a leader stamps that and nothing else, and tells the publisher.

use super::replica::leader;
use lockstep_core::engine::counters::Counter;
use lockstep_core::engine::event::Role;
use lockstep_memory::cluster::SoloReplica;
use lockstep_memory::log::{open_submission, submission, written};
use lockstep_memory::world::*;
use lockstep_notary::{Notary, operator_key, verify_order};
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
    node: SoloReplica,
    keys: Keys,
}

impl Leader {
    fn new(rights: &str) -> Self {
        Self::of(1, rights)
    }

    fn of(members: u32, rights: &str) -> Self {
        let ring: Keys = Keyring::new(CLUSTER, KeyClass::Replica, &keys()).into();
        ring.set_order_verifier(verify_order);
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
pub fn auth_5_a_key_publishes_to_its_destinations_alone() {
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
pub fn auth_11_a_name_is_addressed_by_those_of_its_rule_alone_whatever_their_key() {
    // AUTH-11
    let mut leader = Leader::new("to=client/*");
    for (number, name) in ["exchange", "client/1", "client/2", "risk"].into_iter().enumerate() {
        leader.submit(FREE, open_submission(name, [number as u64 + 1, 1], 0));
    }
    assert_eq!(leader.submit(FREE, message(3, 1, 2)).0, [(3, 1)], "no rule yet");
    let mut rules = RecipientRules::default();
    rules.set(RecipientRule::parse(&["client/*", "from=exchange"]).expect("a rule")).expect("room");
    leader.keys.set_recipients(rules);
    // 99 may become the id of a client: it has no name yet.
    for (key, to) in [(FREE, 2), (LIMITED, 2), (FREE, 3), (FREE, 99)] {
        let (stamped, notices) = leader.submit(key, message(3, 2, to));
        assert_eq!((stamped, notices), (vec![], vec![(3, 2, NOT_ALLOWED)]), "key {key} to {to}");
    }
    assert_eq!(leader.submit(FREE, message(1, 1, 2)).0, [(1, 1)], "the exchange tells clients");
    assert_eq!(leader.submit(LIMITED, message(1, 2, 4)).0, [], "its key's rights count all the same");
    assert_eq!(leader.submit(FREE, message(3, 2, 4)).0, [(3, 2)], "no rule is for risk");
    assert_eq!(leader.submit(FREE, message(3, 3, EVERYBODY)).0, [(3, 3)]);
    assert_eq!(leader.submit(FREE, message(3, 4, CHANNELS + 2)).0, [(3, 4)]);
    leader.keys.set_recipients(RecipientRules::default());
    assert_eq!(leader.submit(FREE, message(3, 5, 2)).0, [(3, 5)], "taken back while it leads");
}

#[test]
pub fn auth_8_no_publishers_key_opens_a_notarys_name_or_publishes_where_notaries_do() {
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
pub fn auth_12_a_set_is_written_about_under_its_names_by_keys_that_list_them() {
    // AUTH-12
    let mut leader = Leader::new("names=lockstep/set/*");
    let (name, nonce) = ("lockstep/set/1/cut/1", [8, 9]);
    let (stamped, notices) = leader.submit(FREE, open_submission(name, nonce, 0));
    assert_eq!(
        (stamped, notices),
        (vec![], vec![(0, nonce[0], NOT_ALLOWED)]),
        "all names list none of a set"
    );
    assert_eq!(leader.submit(LIMITED, open_submission(name, nonce, 0)).0, [(1, 0)]);
    assert_eq!(leader.submit(LIMITED, message(1, 1, SETS)).0, [(1, 1)]);
    let (stamped, notices) = leader.submit(FREE, message(1, 2, SETS));
    assert_eq!((stamped, notices), (vec![], vec![(1, 2, NOT_ALLOWED)]), "another key");
    assert_eq!(leader.submit(FREE, open_submission("orders", nonce, 0)).0, [(2, 0)]);
    let (stamped, notices) = leader.submit(FREE, message(2, 1, SETS));
    assert_eq!((stamped, notices), (vec![], vec![(2, 1, NOT_ALLOWED)]), "another name");
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
    leader.allow(&orders("day"));
    assert_eq!(leader.submit(LIMITED, open()).0, [(1, 0)]);
    let day = |number, incarnation, proof: Option<OrderProof>| {
        let mut payload = mark_of("today");
        payload.extend(proof.iter().flat_map(|proof| bytemuck::bytes_of(proof).to_vec()));
        submission(&[(EntryKind::Day, 1, number, incarnation, &payload)])
    };
    let proof = |number, incarnation| {
        let header = EntryHeader {
            publisher_seq: number,
            time_or_incarnation: incarnation,
            ..bytemuck::Zeroable::zeroed()
        };
        let arguments = day_arguments(&header, &DayMark { is_start: true, name: "today" });
        let day = OrderStatement {
            order: OperatorOrder::Day,
            history: HISTORY,
            epoch: Epoch::NONE,
            membership_seq: 0,
            subject: None,
            arguments: &arguments,
        };
        Some(desk(DESK).prove(&day, 1))
    };
    let close = submission(&[(EntryKind::Close, 1, 1, 1, b"")]);
    for forged in [day(1, 1, proof(1, 1)), message(1, 1, 0), close] {
        assert_eq!(leader.submit(FREE, forged), (vec![], vec![(1, 1, NOT_ALLOWED)]));
    }
    // AUTH-9
    for forged in [day(1, 1, None), day(1, 1, proof(2, 1)), day(1, 1, proof(1, 2)), message(1, 1, 0)] {
        assert_eq!(
            leader.submit(LIMITED, forged),
            (vec![], vec![(1, 1, NOT_ALLOWED)]),
            "not as it is signed"
        );
        leader.node.now += SECOND;
    }
    assert_eq!(leader.submit(LIMITED, day(2, 1, proof(2, 1))), (vec![], vec![]), "its turn has not come");
    let marked = day(1, 1, proof(1, 1));
    assert_eq!(leader.submit(LIMITED, marked.clone()).0, [(1, 1), (0, 0)], "and behind it the record");
    assert_eq!(leader.submit(LIMITED, marked).0, [], "a copy is none");
    assert_eq!(leader.submit(LIMITED, day(2, 1, proof(2, 1))).0, [(1, 2), (0, 0)]);
}

/// The secrets of two operators.
const DESK: [u8; 32] = [5; 32];
const OTHER: [u8; 32] = [6; 32];

/// What signs for the holder of the limited key, with a secret.
fn desk(secret: [u8; 32]) -> OperatorKey {
    operator_key(CLUSTER, (LIMITED, "desk"), &secret)
}

/// The right to these orders, signed with the secret [`DESK`].
fn orders(words: &str) -> String {
    format!("orders={words} public={}", Notary::new(&DESK).public())
}

fn mark_of(name: &str) -> Vec<u8> {
    let mut mark = [0; 1 + DAY_LEN_MAX];
    let length = DayMark { is_start: true, name }.write(&mut mark);
    mark[..length].to_vec()
}

/// An order to a leader as its operator's command sends it, and what became of it.
struct Ordering {
    leader: Leader,
    /// The state that it is for.
    present: (Epoch, Seq),
}

impl Ordering {
    /// So many members, and an operator with the right to these orders.
    fn begin(members: u32, words: &str) -> Self {
        let leader = Leader::of(members, &orders(words));
        let present = (leader.node.replica.tail().end().epoch, 2);
        Self { leader, present }
    }

    fn order(&self, subject: Option<Identity>) -> OrderStatement<'static> {
        let (epoch, membership_seq) = self.present;
        let order = OperatorOrder::Handover;
        OrderStatement { order, history: HISTORY, epoch, membership_seq, subject, arguments: &[] }
    }

    /// The verdict on a handover by this key, for this state, with this proof; and the records that were
    /// stamped.
    fn give(
        &mut self,
        key: u16,
        (epoch, first_seq): (Epoch, Seq),
        proof: Option<OrderProof>,
    ) -> (Option<CommandReject>, Vec<Vec<u8>>) {
        let header =
            Header { cluster: CLUSTER, sender: 900, epoch: epoch.0, first_seq, ..Header::new(Kind::Query) };
        let (none, query) = (Keyring::none(CLUSTER), (QueryKind::Handover, ""));
        let order = written(|out| write_order(out, &none, header, 5, query, proof.as_ref()));
        let sent = self.leader.node.ask(9, sealed(key, order));
        let keys = &self.leader.keys;
        let decoded = sent.iter().filter_map(|(_, bytes)| Datagram::decode(bytes, keys).ok());
        let (mut results, mut records) = (Vec::new(), Vec::new());
        for datagram in decoded {
            match datagram {
                Datagram::Frame(frame, _) => {
                    let orders = frame.entries().filter(|entry| entry.kind() == EntryKind::Order);
                    records.extend(orders.map(|entry| entry.payload.to_vec()));
                }
                Datagram::CommandResult(_, body) => results.push(CommandReject::from_u32(body.reject)),
                _ => {}
            }
        }
        assert_eq!(results.len(), 1, "an order is answered once");
        (results[0], records)
    }
}

const SECOND: Nanos = 1_000_000_000;

#[test]
fn auth_7_an_order_is_recorded_with_its_operator_and_a_late_copy_is_refused() {
    // AUTH-7
    let mut ordering = Ordering::begin(3, "handover");
    let (epoch, seq) = ordering.present;
    let proof = Some(desk(DESK).prove(&ordering.order(None), 1));
    assert_eq!(ordering.give(FREE, (epoch, seq), proof), (Some(CommandReject::NotAllowed), vec![]));
    for late in [(Epoch(epoch.0 - 1), seq), (epoch, seq - 1)] {
        assert_eq!(ordering.give(LIMITED, late, proof), (Some(CommandReject::Stale), vec![]));
    }
    let (refused, recorded) = ordering.give(LIMITED, (epoch, seq), proof);
    assert_eq!((refused, recorded.len()), (None, 1));
    let record = OrderView::parse(&recorded[0]).expect("a record");
    assert_eq!((record.order(), record.holder, record.body.key), (OperatorOrder::Handover, "desk", LIMITED));
    assert_eq!((record.epoch(), record.body.membership_seq, record.subject()), (epoch, seq, None));
    let public = Notary::new(&DESK).public();
    let signature = record.signature.expect("it is signed");
    assert!(verify_order(public.as_bytes(), &record.signed(CLUSTER), signature), "by its operator");
    assert_eq!(
        ordering.give(LIMITED, (epoch, seq), proof),
        (None, vec![]),
        "a copy is answered, and no second order"
    );
}

#[test]
pub fn auth_9_an_order_without_its_operators_signature_is_not_carried_out_and_has_few_tries() {
    // AUTH-9
    let mut ordering = Ordering::begin(3, "handover");
    let present = ordering.present;
    let subject = Some(Identity { replica: 2, incarnation: 1 });
    let asked = ordering.order(None);
    for (why, proof) in [
        ("not signed", None),
        ("with another secret", Some(desk(OTHER).prove(&asked, 1))),
        ("for another member", Some(desk(DESK).prove(&ordering.order(subject), 1))),
        ("under another number", Some(OrderProof { nonce: 2, ..desk(DESK).prove(&asked, 1) })),
    ] {
        let refused = (Some(CommandReject::Unsigned), vec![]);
        assert_eq!(ordering.give(LIMITED, present, proof), refused, "{why}");
        assert!(!ordering.leader.node.replica.hands_over(), "{why}");
    }
    assert_eq!(ordering.leader.counted(Counter::RejectedSignature), 4);
    let wrong = Some(desk(OTHER).prove(&asked, 1));
    let tries = (0..20).map(|_| ordering.give(LIMITED, present, wrong).0);
    let last = tries.last().flatten();
    assert_eq!(last, Some(CommandReject::TooMany), "each check takes long");
    ordering.leader.node.now += SECOND;
    let right = Some(desk(DESK).prove(&asked, 1));
    assert_eq!(ordering.give(LIMITED, present, right).0, None, "a second later it has tries again");
    assert_eq!(ordering.leader.node.replica.role(), Role::Leader);
}

#[test]
fn auth_9_a_change_of_the_members_is_made_as_it_was_signed_and_for_its_epoch() {
    // AUTH-9
    let mut ordering = Ordering::begin(1, "membership");
    let (epoch, seq) = ordering.present;
    let mut payload = [0; MEMBERSHIP_LEN_MAX];
    let member = member_list(2)[1];
    let length = write_membership(&mut payload, seq, Change::Add, member, &[]);
    let payload = &payload[..length];
    let asked = OrderStatement {
        order: OperatorOrder::Membership,
        subject: Some(member.identity()),
        arguments: payload,
        ..ordering.order(None)
    };
    let submit = |ordering: &mut Ordering, epoch: Epoch, proof: Option<OrderProof>| {
        let signed: Vec<u8> = payload
            .iter()
            .copied()
            .chain(proof.iter().flat_map(|p| bytemuck::bytes_of(p).to_vec()))
            .collect();
        let mut datagram = submission(&[(EntryKind::Membership, 0, 0, 0, &signed)]);
        let header = Header::peek(&datagram).expect("a header");
        seal(&mut datagram, Header { epoch: epoch.0, ..header });
        ordering.leader.submit(LIMITED, datagram).0.len()
    };
    let right = Some(desk(DESK).prove(&asked, 1));
    let early = Some(desk(DESK).prove(&OrderStatement { epoch: Epoch::NONE, ..asked }, 1));
    assert_eq!(submit(&mut ordering, epoch, None), 0, "it is not signed");
    assert_eq!(submit(&mut ordering, epoch, Some(desk(OTHER).prove(&asked, 1))), 0, "with another secret");
    assert_eq!(submit(&mut ordering, Epoch(epoch.0 - 1), right), 0, "for another epoch");
    assert_eq!(submit(&mut ordering, Epoch::NONE, early), 0, "for every epoch");
    assert_eq!(submit(&mut ordering, epoch, right), 2, "the change, and its record");
    assert_eq!(submit(&mut ordering, epoch, right), 0, "a copy is none");
}
