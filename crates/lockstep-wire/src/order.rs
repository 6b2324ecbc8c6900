//! # order: an operator's order, what its operator signs, and what the stream records
//!
//! ```text
//!   operator                                         leader                stream
//!   OrderStatement ─ OperatorKey::prove ─▶ OrderProof ─▶ record, checked ─▶ entry of kind 20
//! ```
//!
//! The operator signs the record itself, up to the signature. The leader writes the record from the order
//! that it carries out, so a reader of the stream checks the same bytes as the leader.
//!
//! This crate contains no signature algorithm: [`OperatorKey`] is given one that signs, and
//! [`Keyring::set_order_verifier`](super::Keyring::set_order_verifier) one that checks.

use super::{
    DAY_LEN_MAX, DayMark, EntryHeader, Epoch, Identity, MembershipBody, MembershipView, Nanos, PublisherSeq,
    Reject, Seq,
};
use bytemuck::{Pod, Zeroable};
use std::fmt;

/// Bytes of the longest name of a key.
pub const HOLDER_LEN_MAX: usize = 64;

/// Bytes of the longest arguments of an order: those of a change of the membership.
const ARGUMENTS_LEN_MAX: usize = size_of::<MembershipBody>();

/// Precedes what an operator signs: no signature for another purpose can pass for one of an order.
const CONTEXT: &[u8] = b"lockstep order\n";

/// A public key by which an operator's signatures are checked.
pub type PublicKey = [u8; 32];

/// A signature.
pub type Signature = [u8; 64];

/// Checks whether a signature over these bytes is that of the holder of a public key.
pub type VerifyOrder = fn(&PublicKey, &[u8], &Signature) -> bool;

/// The kind of an operator's order. It is also a right of a publisher's key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum OperatorOrder {
    /// The leader hands over.
    Handover = 1,
    /// One of two members is dead.
    DeclareDead = 2,
    /// The membership changes.
    Membership = 3,
    /// A trading day begins or ends.
    Day = 4,
    /// The log rises to a newer version (from version 4 on).
    Upgrade = 5,
    /// The stream's time, which ran ahead, goes back to that of a quorum's clocks (from version 4 on).
    Time = 6,
}

impl OperatorOrder {
    /// All orders.
    pub const ALL: [Self; 6] =
        [Self::Handover, Self::DeclareDead, Self::Membership, Self::Day, Self::Upgrade, Self::Time];

    /// The order with this number, if there is one.
    pub fn from_u8(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|known| *known as u8 == number)
    }

    /// The order in a word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Handover => "handover",
            Self::DeclareDead => "declare-dead",
            Self::Membership => "membership",
            Self::Day => "day",
            Self::Upgrade => "upgrade",
            Self::Time => "time",
        }
    }
}

/// Follows an order that an operator signed, on its way to the leader.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct OrderProof {
    /// Drawn for this order, so that the records of two equal orders differ.
    pub nonce: u64,
    /// The signature over the order's record.
    pub signature: Signature,
}

/// Bytes of an [`OrderProof`].
pub const ORDER_PROOF_LEN: usize = size_of::<OrderProof>();

impl OrderProof {
    /// Splits a submitted order into its payload, at most `len_max` bytes long, and the proof behind it.
    pub(super) fn split(payload: &[u8], len_max: usize) -> (&[u8], Option<Self>) {
        match payload.len().checked_sub(ORDER_PROOF_LEN) {
            Some(len) if payload.len() > len_max => {
                (&payload[..len], Some(bytemuck::pod_read_unaligned(&payload[len..])))
            }
            _ => (payload, None),
        }
    }
}

/// An order as it is given: everything by which the leader judges it and acts.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct OrderStatement<'a> {
    /// The kind of the order.
    pub order: OperatorOrder,
    /// The history of the stream.
    pub history: u64,
    /// The epoch for which it is given; none for a trading day, which is bound to its place by its number.
    pub epoch: Epoch,
    /// The seq of the membership for which it is given; 0 for a trading day.
    pub membership_seq: Seq,
    /// The identity that it concerns.
    pub subject: Option<Identity>,
    /// Its arguments: a submitted change of the membership, [`day_arguments`], or [`named_arguments`].
    pub arguments: &'a [u8],
}

impl OrderStatement<'_> {
    /// The payload of its record. `operator` is the number and name of the publisher's key of its sender;
    /// `None` for a replica's key. A name that is too long is cut.
    pub fn record(&self, operator: Option<(u16, &str)>, proof: Option<&OrderProof>) -> Vec<u8> {
        let (key, holder) = operator.unwrap_or((OrderBody::NO_KEY, ""));
        let mut holder_len = holder.len().min(HOLDER_LEN_MAX);
        while !holder.is_char_boundary(holder_len) {
            holder_len -= 1;
        }
        let holder = &holder[..holder_len];
        assert!(self.arguments.len() <= ARGUMENTS_LEN_MAX, "{} bytes of arguments", self.arguments.len());
        let body = OrderBody {
            history: self.history,
            epoch: self.epoch.0,
            membership_seq: self.membership_seq,
            subject: self.subject.map_or(0, Identity::packed),
            nonce: proof.map_or(0, |proof| proof.nonce),
            key,
            order: self.order as u8,
            holder_len: holder.len() as u8,
            arguments_len: self.arguments.len() as u8,
            is_signed: u8::from(proof.is_some()),
            reserved: 0,
        };
        let mut record = [bytemuck::bytes_of(&body), holder.as_bytes(), self.arguments].concat();
        record.extend(proof.iter().flat_map(|proof| &proof.signature));
        record
    }
}

/// The arguments of a trading day's order: the number and incarnation of its mark as a publisher's message,
/// and the mark. A number is given once, so a copy has no effect.
pub fn day_arguments(entry: &EntryHeader, mark: &DayMark<'_>) -> Vec<u8> {
    let mut payload = [0; 1 + DAY_LEN_MAX];
    let length = mark.write(&mut payload);
    let (number, incarnation) = ({ entry.publisher_seq }, { entry.time_or_incarnation });
    [&number.to_le_bytes()[..], &incarnation.to_le_bytes(), &payload[..length]].concat()
}

/// The arguments of an order whose query names them: one byte for an upgrade, the version to which the log
/// rises; eight for an order of time, the stream's time before it.
pub fn named_arguments(order: OperatorOrder, name: &str) -> Vec<u8> {
    match order {
        OperatorOrder::Upgrade => name.parse::<u8>().map(|version| vec![version]).unwrap_or_default(),
        OperatorOrder::Time => {
            name.parse::<Nanos>().map(|before| before.to_le_bytes().to_vec()).unwrap_or_default()
        }
        _ => Vec::new(),
    }
}

/// Begins the payload of an entry of kind [`EntryKind::Order`](super::EntryKind::Order). The name of the
/// operator's key follows, then the arguments, then the signature if it is signed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct OrderBody {
    /// The history of the stream for which it was given.
    pub history: u64,
    /// The epoch for which it was given; 0 for a trading day.
    pub epoch: u64,
    /// The seq of the entry that set the membership at that time; 0 for a trading day.
    pub membership_seq: Seq,
    /// The identity that it concerns, packed; 0: no identity.
    pub subject: u64,
    /// The nonce of the proof; 0 for an order that is not signed.
    pub nonce: u64,
    /// The number of the publisher's key that sealed it; `u16::MAX` for a replica's key or none.
    pub key: u16,
    /// An [`OperatorOrder`].
    pub order: u8,
    /// Bytes of the name.
    pub holder_len: u8,
    /// Bytes of the arguments.
    pub arguments_len: u8,
    /// 1: a signature ends the payload.
    pub is_signed: u8,
    /// Zero.
    pub reserved: u16,
}

const ORDER_BODY_LEN: usize = size_of::<OrderBody>();
const _: () = assert!(ORDER_BODY_LEN == 48 && ORDER_PROOF_LEN == 72);

impl OrderBody {
    /// [`OrderBody::key`] of an order that no publisher's key sealed.
    pub const NO_KEY: u16 = u16::MAX;
}

/// Bytes of the longest payload of a recorded order.
pub const ORDER_LEN_MAX: usize = ORDER_BODY_LEN + HOLDER_LEN_MAX + ARGUMENTS_LEN_MAX + size_of::<Signature>();

/// A recorded order.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct OrderView<'a> {
    /// Its fixed part.
    pub body: OrderBody,
    /// The name of the operator's key; empty if a replica's key, or no key, sealed the order.
    pub holder: &'a str,
    /// The order's arguments: [`OrderView::day`], [`OrderView::change`], [`OrderView::version`],
    /// [`OrderView::time_before`].
    pub arguments: &'a [u8],
    /// The operator's signature, unchecked.
    pub signature: Option<&'a Signature>,
    /// The bytes that it covers, without context and cluster.
    signed: &'a [u8],
}

impl<'a> OrderView<'a> {
    /// The order in this payload.
    ///
    /// # Errors
    /// [`Reject::Body`] if it contradicts itself.
    pub fn parse(payload: &'a [u8]) -> Result<Self, Reject> {
        let (body, behind) = payload.split_first_chunk::<ORDER_BODY_LEN>().ok_or(Reject::Body)?;
        let body: OrderBody = bytemuck::pod_read_unaligned(body);
        let (holder_len, arguments_len) = (usize::from(body.holder_len), usize::from(body.arguments_len));
        let (holder, behind) = behind.split_at_checked(holder_len).ok_or(Reject::Body)?;
        let (arguments, behind) = behind.split_at_checked(arguments_len).ok_or(Reject::Body)?;
        let signature = match body.is_signed {
            0 if behind.is_empty() && body.nonce == 0 => None,
            1 => Some(behind.try_into().map_err(|_| Reject::Body)?),
            _ => return Err(Reject::Body),
        };
        let holder = std::str::from_utf8(holder).map_err(|_| Reject::Body)?;
        let signed = &payload[..payload.len() - behind.len()];
        let view = Self { body, holder, arguments, signature, signed };
        let order = OperatorOrder::from_u8(body.order).ok_or(Reject::Body)?;
        let is_sound = match order {
            OperatorOrder::Handover | OperatorOrder::DeclareDead => arguments.is_empty(),
            OperatorOrder::Membership => view.change().is_some(),
            OperatorOrder::Day => view.day().is_some(),
            OperatorOrder::Upgrade => view.version().is_some(),
            OperatorOrder::Time => view.time_before().is_some(),
        } && holder_len <= HOLDER_LEN_MAX
            && arguments_len <= ARGUMENTS_LEN_MAX
            && (signature.is_none() || body.key != OrderBody::NO_KEY)
            && body.reserved == 0;
        if is_sound { Ok(view) } else { Err(Reject::Body) }
    }

    /// The kind of the order.
    pub fn order(&self) -> OperatorOrder {
        OperatorOrder::from_u8(self.body.order).unwrap_or(OperatorOrder::Handover)
    }

    /// The identity that it concerns.
    pub fn subject(&self) -> Option<Identity> {
        (self.body.subject != 0).then(|| Identity::from_packed(self.body.subject))
    }

    /// The epoch for which it was given.
    pub fn epoch(&self) -> Epoch {
        Epoch(self.body.epoch)
    }

    /// The ordered change of the membership, as submitted.
    pub fn change(&self) -> Option<MembershipView<'a>> {
        if self.order() != OperatorOrder::Membership || self.arguments.len() != size_of::<MembershipBody>() {
            return None;
        }
        MembershipView::parse(self.arguments).ok()
    }

    /// The ordered mark of a trading day: its number and incarnation as a publisher's message, and its
    /// content.
    pub fn day(&self) -> Option<(PublisherSeq, u32, DayMark<'a>)> {
        let (number, behind) = self.arguments.split_first_chunk()?;
        let (incarnation, mark) = behind.split_first_chunk()?;
        let mark = DayMark::parse(mark).ok()?;
        let is_day = self.order() == OperatorOrder::Day;
        is_day.then_some((u64::from_le_bytes(*number), u32::from_le_bytes(*incarnation), mark))
    }

    /// The version to which the log rises.
    pub fn version(&self) -> Option<u8> {
        let version = self.arguments.first().copied().filter(|_| self.arguments.len() == 1);
        version.filter(|_| self.order() == OperatorOrder::Upgrade)
    }

    /// The stream's time before an order of time. Its frame has the time after it.
    pub fn time_before(&self) -> Option<Nanos> {
        let before = self.arguments.try_into().ok().map(u64::from_le_bytes);
        before.filter(|_| self.order() == OperatorOrder::Time)
    }

    /// The payload from which it was read.
    pub fn record(&self) -> Vec<u8> {
        [self.signed, self.signature.map_or(&[][..], |signature| signature)].concat()
    }

    /// The bytes that the operator signs: a context, the cluster, and the record up to the signature.
    pub fn signed(&self, cluster: u64) -> Vec<u8> {
        [CONTEXT, &cluster.to_le_bytes(), self.signed].concat()
    }
}

/// Signs these bytes.
type SignOrder = dyn Fn(&[u8]) -> Signature + Send + Sync;

/// The key of an operator: its number and name, as the key files of replicas have them, and the function that
/// signs with its secret.
pub struct OperatorKey {
    /// Its number.
    pub number: u16,
    /// Its name.
    pub name: String,
    cluster: u64,
    sign: Box<SignOrder>,
}

impl OperatorKey {
    /// The key of the operator with this number and name, in `cluster`.
    pub fn new(
        cluster: u64,
        (number, name): (u16, &str),
        sign: impl Fn(&[u8]) -> Signature + Send + Sync + 'static,
    ) -> Self {
        Self { number, name: name.to_owned(), cluster, sign: Box::new(sign) }
    }

    /// Signs `order`, which is given once under this drawn nonce.
    pub fn prove(&self, order: &OrderStatement<'_>, nonce: u64) -> OrderProof {
        let mut proof = OrderProof { nonce, signature: [0; 64] };
        let record = order.record(Some((self.number, &self.name)), Some(&proof));
        let view = OrderView::parse(&record).expect("an order that was written just now");
        proof.signature = (self.sign)(&view.signed(self.cluster));
        proof
    }
}

impl fmt::Debug for OperatorKey {
    /// Prints no secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OperatorKey({}, {})", self.number, self.name)
    }
}
