//! # rights: what the key of a submission allows
//!
//! A datagram's key tells whose it is ([`lockstep_wire::Keyring`]), and its rights
//! ([`lockstep_wire::KeyRights`]) what it may submit; rules for recipients
//! ([`lockstep_wire::RecipientRules`]) tell whom a name may be addressed by. The leader alone judges by
//! them, before a seq is given out: what is in the log is in it, whatever its key allows later. So
//! rights are no part of the log, and may change while the stream runs.

use super::planted::{Mutation, planted};
use super::publishers::Publishers;
use lockstep_wire::{
    CALENDAR, CommandReject, Destination, Entries, Entry, EntryKind, Header, KeyClass, KeyHolder, Keyring,
    NOTARIES, NOTARY_NAMES, Nanos, OpenView, OperatorOrder, OrderProof, OrderStatement, OrderView,
    PublisherId, RecipientRules, Reject, SET_NAMES, SETS, is_publisher,
};
use std::sync::Arc;

/// So much of a key's messages may come at once, in the time that they take at its rate.
const BURST_NS: Nanos = 100_000_000;

/// A key has one signature checked in this time on the average, ...
const CHECK_NS: Nanos = 100_000_000;
/// ... and so many at once.
const CHECKS_AT_ONCE: u64 = 4;

/// The submitter of a datagram, as far as what it submits is limited.
#[derive(Clone, Debug)]
pub struct Submitter {
    /// The key; `None` where it is not limited.
    key: Option<Arc<KeyHolder>>,
    /// The rules for recipients; `None` where there are none.
    recipients: Option<Arc<RecipientRules>>,
    /// The id of the key that sealed the datagram, limited or not; 0: none.
    key_id: u16,
    /// The last verdict of [`Submitter::may_publish`]: most datagrams are of one publisher, to one
    /// destination.
    judged: (PublisherId, Option<Destination>, bool),
}

impl Submitter {
    /// Whether it may open a name.
    pub fn may_open(&self, name: &str) -> bool {
        if name.starts_with(NOTARY_NAMES) {
            return self.may_attest();
        }
        if name.starts_with(SET_NAMES) {
            return self.may_relate(name);
        }
        if name == CALENDAR {
            return self.operator(OperatorOrder::Day).is_ok();
        }
        self.key.as_ref().is_none_or(|key| key.rights.may_open(name))
    }

    /// Whether it may publish under the name of `publisher`, and to `destination` where there is one: a
    /// message has one, its publisher's end has none.
    #[inline(always)]
    pub fn may_publish(
        &mut self,
        publishers: &Publishers,
        publisher: PublisherId,
        destination: Option<Destination>,
    ) -> bool {
        if destination.is_some_and(|to| to >= SETS && !self.may_reach_own(publishers, publisher, to)) {
            return false;
        }
        if publisher == publishers.calendar() {
            // A message there would have the number of a mark, and no signature.
            let is_message = destination.is_some();
            return publisher == 0 || !is_message && self.operator(OperatorOrder::Day).is_ok();
        }
        if self.key.is_none() && self.recipients.is_none() || planted(Mutation::RightsIgnored) {
            return true;
        }
        let (of, to, may) = self.judged;
        if (of, to) == (publisher, destination) {
            return may;
        }
        let may = self.judge(publishers, publisher, destination);
        self.judged = (publisher, destination, may);
        may
    }

    fn judge(
        &self,
        publishers: &Publishers,
        publisher: PublisherId,
        destination: Option<Destination>,
    ) -> bool {
        let is_allowed = self.key.as_ref().is_none_or(|key| {
            let reaches = |to| key.rights.may_reach(to, |id| publishers.name(id));
            publishers.name(publisher).is_some_and(|name| key.rights.may_open(name))
                && destination.is_none_or(reaches)
        });
        is_allowed && destination.is_none_or(|to| self.may_address(publishers, publisher, to))
    }

    /// By AUTH-11: whether the name of `publisher` is one of those that `destination`, if that is a
    /// name, may be addressed by. Where there are rules, an id without a name yet is addressed by nobody.
    fn may_address(&self, publishers: &Publishers, publisher: PublisherId, destination: Destination) -> bool {
        let Some(rules) = self.recipients.as_ref().filter(|_| is_publisher(destination)) else { return true };
        let (recipient, sender) = (publishers.name(destination), publishers.name(publisher));
        let may =
            recipient.zip(sender).is_some_and(|(recipient, sender)| rules.may_address(recipient, sender));
        may || planted(Mutation::RecipientsIgnored)
    }

    /// AUTH-8 (notaries): a notary's names, and the channel of notaries, are a replica's key's alone: readers
    /// check each signature there, which takes long.
    #[cold]
    fn may_attest(&self) -> bool {
        KeyClass::of(self.key_id).is_none_or(|class| class == KeyClass::Replica)
            || planted(Mutation::AnyoneAttests)
    }

    /// AUTH-12 (sets): a set's names are opened by a replica's key, and by one that lists them. Readers
    /// believe what is written there, and a right to all names is given too easily.
    #[cold]
    fn may_relate(&self, name: &str) -> bool {
        KeyClass::of(self.key_id).is_none_or(|class| class == KeyClass::Replica)
            || self.key.as_ref().is_some_and(|key| key.rights.lists_set(name))
            || planted(Mutation::AnyoneRelates)
    }

    /// Whether a message may go to one of lockstep's own channels, as far as those have rules: the
    /// notaries' by AUTH-8, and the sets' by AUTH-12, under one of the names of sets alone.
    #[cold]
    fn may_reach_own(&self, publishers: &Publishers, publisher: PublisherId, to: Destination) -> bool {
        match to {
            NOTARIES => self.may_attest(),
            SETS => {
                let name = publishers.name(publisher).filter(|name| name.starts_with(SET_NAMES));
                name.is_some_and(|name| self.may_relate(name)) || planted(Mutation::AnyoneRelates)
            }
            _ => true,
        }
    }

    /// The operator who gives this order, if it may; nobody in particular where a replica's key sealed it, or
    /// the cluster has no keys.
    ///
    /// # Errors
    /// [`Reject::Rights`].
    pub fn operator(&self, order: OperatorOrder) -> Result<Option<Arc<KeyHolder>>, Reject> {
        KeyHolder::operator(KeyClass::of(self.key_id), self.key.clone(), order)
    }

    /// As a notice to it names its key: [`KeyClass::notice_key`].
    pub fn notice_key(&self) -> u32 {
        KeyClass::notice_key(KeyClass::of(self.key_id))
    }

    /// AUTH-10 (what a standby buffers): whether a leader that works stamps all `entries` of a submission, as
    /// far as its key is concerned. A standby buffers no other ones: it would wait for what is refused, and
    /// depose the leader that refuses it. What a key with a rate submits may have to wait for long.
    pub fn is_admissible(&mut self, publishers: &Publishers, mut entries: Entries<'_>) -> bool {
        !self.has_rate()
            && entries.all(|Entry { header, payload }| match EntryKind::from_u8(header.kind) {
                Some(EntryKind::Message) => {
                    self.may_publish(publishers, header.publisher, Some(header.destination))
                }
                Some(EntryKind::Close) => self.may_publish(publishers, header.publisher, None),
                Some(EntryKind::Open) => OpenView::parse(payload).is_ok_and(|open| self.may_open(open.name)),
                _ => true,
            })
    }

    /// Whether its messages a second are limited.
    #[inline]
    pub fn has_rate(&self) -> bool {
        self.key.as_ref().is_some_and(|key| key.rights.rate().is_some())
    }
}

/// The leader's copy of the rights of publishers' keys, and what each key has used of its rate.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct KeyLimits {
    /// [`Keyring::rights_version`] of the copy.
    version: u32,
    /// By the key's number, in order; and until when its rate is used up.
    rows: Vec<(Arc<KeyHolder>, Nanos)>,
    /// The rules for recipients.
    recipients: Option<Arc<RecipientRules>>,
}

impl KeyLimits {
    /// The sender of a submission, whose tag was right.
    #[inline]
    pub fn submitter(&mut self, keys: &Keyring, header: &Header) -> Submitter {
        if keys.rights_version() != self.version {
            self.renew(keys);
        }
        let key = if self.rows.is_empty() { None } else { self.holder(header.key_id) };
        let recipients = self.recipients.clone();
        Submitter { key, recipients, key_id: header.key_id, judged: (0, None, false) }
    }

    /// The holder of a key that allows another thing than the default.
    fn holder(&self, key_id: u16) -> Option<Arc<KeyHolder>> {
        let Some(KeyClass::Publisher(number)) = KeyClass::of(key_id) else { return None };
        self.row(number).map(|index| Arc::clone(&self.rows[index].0))
    }

    fn row(&self, key: u16) -> Option<usize> {
        self.rows.binary_search_by_key(&key, |(holder, _)| holder.key).ok()
    }

    #[cold]
    fn renew(&mut self, keys: &Keyring) {
        self.version = keys.rights_version();
        let used = |key| self.row(key).map_or(0, |index| self.rows[index].1);
        let rows = keys.rights().into_iter().map(|holder| (Arc::clone(&holder), used(holder.key)));
        self.rows = rows.collect();
        self.recipients = keys.recipients();
    }

    /// AUTH-6 (rate): whether a message of this submitter may be stamped now; then it is counted.
    #[inline]
    pub fn take(&mut self, submitter: &Submitter, now: Nanos) -> bool {
        !submitter.has_rate() || self.take_of_rate(submitter, now)
    }

    fn take_of_rate(&mut self, submitter: &Submitter, now: Nanos) -> bool {
        let row = submitter.key.as_ref().and_then(|holder| self.row(holder.key));
        let Some((holder, used_until)) = row.map(|index| &mut self.rows[index]) else { return true };
        let Some(rate) = holder.rights.rate() else { return true };
        let each = 1_000_000_000 / u64::from(rate);
        // A slow key may send one at once as well.
        if *used_until > now + BURST_NS.max(each) - each {
            return false;
        }
        *used_until = (*used_until).max(now) + each;
        true
    }
}

/// What the operators' keys have used of the checks of their signatures.
///
/// A check takes as long as some hundred messages. Only the holder of an operator's key can cost one, with an
/// order for the present epoch and membership, or for the next day: so a key has few of them.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct OrderChecks {
    /// By the key's number: until when its checks are used up. Keys that have all of them are left out.
    used_until: Vec<(u16, Nanos)>,
}

impl OrderChecks {
    /// AUTH-9 (signatures): the record of an order that `operator` may give, if that operator has signed it
    /// as it is carried out. Nobody signs for a replica's key, or without keys.
    ///
    /// # Errors
    /// [`CommandReject::Unsigned`], [`CommandReject::TooMany`].
    pub fn record(
        &mut self,
        keys: &Keyring,
        now: Nanos,
        order: &OrderStatement<'_>,
        operator: Option<&KeyHolder>,
        proof: Option<&OrderProof>,
    ) -> Result<Vec<u8>, CommandReject> {
        let Some(holder) = operator else {
            return if proof.is_none() { Ok(order.record(None, None)) } else { Err(CommandReject::Unsigned) };
        };
        let record = order.record(Some((holder.key, &holder.name)), proof);
        if planted(Mutation::SignatureUnchecked) {
            return Ok(record);
        }
        let view = OrderView::parse(&record).map_err(|_| CommandReject::Unsigned)?;
        let (Some(public), Some(signature)) = (holder.rights.public(), view.signature) else {
            return Err(CommandReject::Unsigned);
        };
        if !self.take(holder.key, now) {
            return Err(CommandReject::TooMany);
        }
        let holds = keys.is_signed_by(public, &view.signed(keys.cluster()), signature);
        if holds { Ok(record) } else { Err(CommandReject::Unsigned) }
    }

    /// Whether a signature of this key may be checked now; then it is counted.
    fn take(&mut self, key: u16, now: Nanos) -> bool {
        self.used_until.retain(|(_, until)| *until > now);
        let used = self.used_until.iter_mut().find(|(other, _)| *other == key);
        let Some((_, until)) = used else {
            self.used_until.push((key, now + CHECK_NS));
            return true;
        };
        let may = *until <= now + (CHECKS_AT_ONCE - 1) * CHECK_NS;
        *until += if may { CHECK_NS } else { 0 };
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytemuck::Zeroable;
    use lockstep_wire::{
        EntryHeader, Epoch, GenerationKeys, KeyRights, Kind, OperatorKey, write_entry, write_open,
    };

    /// The right to these orders, and the key that proves them.
    fn orders(words: &str) -> String {
        format!("orders={words} public={}", "07".repeat(32))
    }

    fn ring(rights: &str) -> Keyring {
        let keys = GenerationKeys {
            replica: Some([1; 16]),
            reader: [2; 16],
            publishers: vec![(0, [3; 16]), (5, [4; 16])],
        };
        let ring = Keyring::new(7, KeyClass::Replica, &keys);
        set(&ring, rights);
        ring
    }

    fn set(ring: &Keyring, rights: &str) {
        let rights = KeyRights::parse(rights.split_whitespace()).unwrap();
        ring.set_rights([KeyHolder { key: 5, name: "desk".to_owned(), rights }]);
    }

    fn header(class: KeyClass) -> Header {
        let key_id = match class {
            KeyClass::Replica => 1,
            KeyClass::Reader => 2,
            KeyClass::Publisher(key) => 16 + key,
        };
        Header { key_id, ..Header::new(Kind::Submission) }
    }

    #[test]
    fn auth_6_a_key_has_its_rate_and_a_burst_of_a_tenth_of_a_second() {
        // AUTH-6
        let ring = ring("rate=1000");
        let mut limits = KeyLimits::default();
        let limited = limits.submitter(&ring, &header(KeyClass::Publisher(5)));
        let mut stamped = |now| (0..1_000).filter(|_| limits.take(&limited, now)).count();
        assert_eq!(stamped(0), 100);
        assert_eq!(stamped(10_000_000), 10);
        assert_eq!(stamped(60_000_000_000), 100, "what was not used is lost");
        let free = limits.submitter(&ring, &header(KeyClass::Publisher(0)));
        assert!((0..1_000).all(|_| limits.take(&free, 0)), "the others are not limited");
    }

    #[test]
    fn auth_6_a_key_of_one_message_a_minute_has_one() {
        // AUTH-6
        let ring = ring("rate=1");
        let mut limits = KeyLimits::default();
        let limited = limits.submitter(&ring, &header(KeyClass::Publisher(5)));
        let times = (0..3_000).filter(|ms| limits.take(&limited, ms * 1_000_000)).collect::<Vec<_>>();
        assert_eq!(times, [0, 1_000, 2_000]);
    }

    #[test]
    fn auth_4_rights_that_change_count_from_the_next_datagram_on() {
        // AUTH-4
        let ring = ring("names=orders");
        let mut limits = KeyLimits::default();
        let may_open =
            |limits: &mut KeyLimits, class, name| limits.submitter(&ring, &header(class)).may_open(name);
        assert!(may_open(&mut limits, KeyClass::Publisher(5), "orders"));
        assert!(!may_open(&mut limits, KeyClass::Publisher(5), "risk"));
        assert!(may_open(&mut limits, KeyClass::Publisher(0), "risk"));
        assert!(may_open(&mut limits, KeyClass::Replica, "risk"), "a replica's key has all rights");
        set(&ring, "names=risk");
        assert!(may_open(&mut limits, KeyClass::Publisher(5), "risk"));
        assert!(!may_open(&mut limits, KeyClass::Publisher(5), "orders"));
    }

    #[test]
    fn auth_10_what_a_leader_refuses_for_its_key_is_not_admissible() {
        // AUTH-10
        let mut publishers = Publishers::new(4);
        let entry = |kind: EntryKind, publisher, destination| EntryHeader {
            kind: kind as u8,
            publisher,
            destination,
            ..EntryHeader::zeroed()
        };
        let open = |name: &str| {
            let mut payload = vec![0; 24 + name.len()];
            write_open(&mut payload, [1, 1], 1, name);
            payload
        };
        let (orders, fees) = (open("orders"), open("fees"));
        let opened = entry(EntryKind::Open, 1, 0);
        publishers.on_entry(1, &Entry { header: &opened, payload: &orders });
        let message = entry(EntryKind::Message, 1, 0);
        let attestation = entry(EntryKind::Message, 1, NOTARIES);
        let close = entry(EntryKind::Close, 1, 0);
        for (rights, header, payload, is_admissible) in [
            ("names=orders", &message, &[][..], true),
            ("names=orders", &close, &[], true),
            ("names=orders", &attestation, &[], false),
            ("names=fees", &message, &[], false),
            ("names=fees", &close, &[], false),
            ("to=channel:3", &message, &[], false),
            ("rate=1000", &message, &[], false),
            ("names=fees", &opened, &fees, true),
            ("names=fees", &opened, &orders, false),
        ] {
            let ring = ring(rights);
            let mut submitter = KeyLimits::default().submitter(&ring, &self::header(KeyClass::Publisher(5)));
            let mut bytes = [0; 256];
            write_entry(&mut bytes, *header, payload).expect("room");
            let entries = Entries::known(&bytes, 1);
            assert_eq!(submitter.is_admissible(&publishers, entries), is_admissible, "{rights}: {header:?}");
        }
    }

    #[test]
    fn auth_8_notaries_are_whoever_has_a_replicas_key_and_nobody_else() {
        // AUTH-8
        let ring = ring("names=* to=channel:0-2147483647");
        let mut limits = KeyLimits::default();
        let publishers = Publishers::new(4);
        for (class, may) in [
            (KeyClass::Replica, true),
            (KeyClass::Publisher(0), false),
            (KeyClass::Publisher(5), false),
            (KeyClass::Reader, false),
        ] {
            let mut submitter = limits.submitter(&ring, &header(class));
            assert_eq!(submitter.may_open("lockstep/notary/a"), may, "{class:?}");
            assert_eq!(submitter.may_publish(&publishers, 1, Some(NOTARIES)), may, "{class:?}");
        }
        let none = Header { key_id: 0, ..Header::new(Kind::Submission) };
        let mut anybody = limits.submitter(&Keyring::none(7), &none);
        assert!(anybody.may_open("lockstep/notary/a"), "without keys nobody is known");
        assert!(anybody.may_publish(&publishers, 1, Some(NOTARIES)));
    }

    #[test]
    fn auth_7_an_order_is_given_by_a_replicas_key_or_by_one_with_the_right_to_it() {
        // AUTH-7
        let (plain, with_days) = (ring("rate=9"), ring(&orders("day")));
        let mut limits = KeyLimits::default();
        let mut operator = |class, order| limits.submitter(&plain, &header(class)).operator(order);
        assert_eq!(operator(KeyClass::Publisher(5), OperatorOrder::Day), Err(Reject::Rights));
        assert_eq!(operator(KeyClass::Publisher(0), OperatorOrder::Day), Err(Reject::Rights));
        assert_eq!(operator(KeyClass::Replica, OperatorOrder::Day), Ok(None));
        let mut limits = KeyLimits::default();
        let desk = limits.submitter(&with_days, &header(KeyClass::Publisher(5)));
        assert_eq!(desk.operator(OperatorOrder::Day).unwrap().unwrap().name, "desk");
        assert_eq!(desk.operator(OperatorOrder::Membership), Err(Reject::Rights));
        let header = header(KeyClass::Publisher(5));
        assert!(with_days.operator(&header, OperatorOrder::Day).is_ok_and(|holder| holder.is_some()));
        assert_eq!(with_days.operator(&header, OperatorOrder::Handover), Err(Reject::Rights));
    }

    /// A signature that everybody can make, of the public key and a sum over what is signed.
    fn transparent(public: &[u8; 32], signed: &[u8]) -> [u8; 64] {
        let sum = signed.iter().fold(1u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(*byte)));
        std::array::from_fn(|at| if at < 32 { public[at] } else { sum.to_le_bytes()[at % 8] })
    }

    fn handover(history: u64) -> OrderStatement<'static> {
        let leader = lockstep_wire::Identity { replica: 1, incarnation: 1 };
        let order = OperatorOrder::Handover;
        OrderStatement {
            order,
            history,
            epoch: Epoch::new(3, leader),
            membership_seq: 2,
            subject: None,
            arguments: &[],
        }
    }

    fn desk() -> OperatorKey {
        OperatorKey::new(7, (5, "desk"), |signed| transparent(&[7; 32], signed))
    }

    #[test]
    fn auth_9_an_order_is_recorded_as_its_operator_signed_it_and_in_no_other_way() {
        // AUTH-9
        let ring = ring(&orders("handover"));
        ring.set_order_verifier(|public, signed, signature| transparent(public, signed) == *signature);
        let holder = ring.rights().remove(0);
        let mut checks = OrderChecks::default();
        let mut now = 0;
        let mut judge =
            |order: &OrderStatement<'_>, operator: Option<&KeyHolder>, proof: Option<&OrderProof>| {
                now += CHECK_NS;
                checks.record(&ring, now, order, operator, proof)
            };
        let proof = desk().prove(&handover(9), 8);
        let record = judge(&handover(9), Some(&holder), Some(&proof)).expect("it is signed");
        let view = OrderView::parse(&record).expect("a record");
        assert_eq!((view.holder, view.signature, view.body.nonce), ("desk", Some(&proof.signature), 8));

        let member = Some(lockstep_wire::Identity { replica: 2, incarnation: 1 });
        for other in [
            handover(10),
            OrderStatement { epoch: Epoch::NONE, ..handover(9) },
            OrderStatement { membership_seq: 3, ..handover(9) },
            OrderStatement { subject: member, ..handover(9) },
            OrderStatement { order: OperatorOrder::DeclareDead, ..handover(9) },
        ] {
            assert_eq!(judge(&other, Some(&holder), Some(&proof)), Err(CommandReject::Unsigned), "{other:?}");
        }
        let renamed = KeyHolder { name: "chair".to_owned(), ..(*holder).clone() };
        let renumbered = KeyHolder { key: 6, ..(*holder).clone() };
        let drawn_anew = OrderProof { nonce: 9, ..proof };
        for (operator, proof) in [
            (Some(&renamed), Some(&proof)),
            (Some(&renumbered), Some(&proof)),
            (Some(&*holder), Some(&drawn_anew)),
            (Some(&*holder), None),
            (None, Some(&proof)),
        ] {
            assert_eq!(judge(&handover(9), operator, proof), Err(CommandReject::Unsigned), "{operator:?}");
        }
        let plain = judge(&handover(9), None, None).expect("a replica's key needs no signature");
        assert_eq!(OrderView::parse(&plain).map(|view| view.signature), Ok(None));
    }

    #[test]
    fn auth_9_a_process_that_cannot_check_takes_no_signature_for_right() {
        // AUTH-9
        let ring = ring(&orders("handover"));
        let holder = ring.rights().remove(0);
        let proof = desk().prove(&handover(9), 8);
        let judged = OrderChecks::default().record(&ring, 0, &handover(9), Some(&holder), Some(&proof));
        assert_eq!(judged, Err(CommandReject::Unsigned));
    }

    #[test]
    fn auth_9_a_key_has_few_signatures_checked_and_takes_none_from_another() {
        // AUTH-9
        let mut checks = OrderChecks::default();
        let mut checked = |key, now| (0..100).filter(|_| checks.take(key, now)).count();
        assert_eq!((checked(5, 0), checked(6, 0)), (4, 4));
        assert_eq!(checked(5, CHECK_NS), 1);
        assert_eq!(checked(5, 100 * CHECK_NS), 4);
        assert_eq!(checks.used_until.len(), 1, "a key that has all of them is forgotten");
    }
}
