//! # order: an operator's order, what its operator signs, and what the stream records
//!
//! ```text
//!   operator                                         leader                stream
//!   OrderStatement ─ OperatorKey::prove ─▶ OrderProof ─▶ record, checked ─▶ entry of kind 20
//! ```
//!
//! The operator signs the record itself, up to the signature: the leader writes it from the order that it
//! carries out, and a reader of the stream checks what the leader has checked.
//!
//! This crate knows no algorithm of signatures: [`OperatorKey`] is given one to sign, and
//! [`Keyring::set_order_verifier`](super::Keyring::set_order_verifier) one to check.

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

/// In front of what an operator signs: no signature for another purpose can pass for one of an order.
const CONTEXT: &[u8] = b"lockstep order\n";

/// A public key by which an operator's signatures are checked.
pub type PublicKey = [u8; 32];

/// A signature.
pub type Signature = [u8; 64];

/// Whether a signature is that of the holder of a public key over these bytes.
pub type VerifyOrder = fn(&PublicKey, &[u8], &Signature) -> bool;

/// What an operator may order. It is also a right of a publisher's key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum OperatorOrder {
    /// The leader hands over.
    Handover = 1,
    /// A member of two is dead.
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
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Handover, Self::DeclareDead, Self::Membership, Self::Day, Self::Upgrade, Self::Time];

    /// The one with this number, if there is one.
    pub fn from_u8(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|known| *known as u8 == number)
    }

    /// The word for it.
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

/// Behind an order that an operator signed, on its way to the leader.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct OrderProof {
    /// Drawn for this order: of two equal ones no record is a copy of the other.
    pub nonce: u64,
    /// Over the order's record.
    pub signature: Signature,
}

/// Bytes of an [`OrderProof`].
pub const ORDER_PROOF_LEN: usize = size_of::<OrderProof>();

impl OrderProof {
    /// The payload of a submitted order, and the proof behind it. Without a proof it is at most `len_max`
    /// bytes long.
    pub(super) fn split(payload: &[u8], len_max: usize) -> (&[u8], Option<Self>) {
        match payload.len().checked_sub(ORDER_PROOF_LEN) {
            Some(len) if payload.len() > len_max => {
                (&payload[..len], Some(bytemuck::pod_read_unaligned(&payload[len..])))
            }
            _ => (payload, None),
        }
    }
}

/// An order as it is given: everything that its leader judges, or acts by.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct OrderStatement<'a> {
    /// The kind of the order.
    pub order: OperatorOrder,
    /// The history of the stream.
    pub history: u64,
    /// The epoch for which it is given; none for a trading day, which its number binds to its place.
    pub epoch: Epoch,
    /// The seq of the membership for which it is given; 0 for a trading day.
    pub membership_seq: Seq,
    /// The identity that it is about.
    pub subject: Option<Identity>,
    /// What else it says: a submitted change of the membership, [`day_arguments`], or [`named_arguments`].
    pub arguments: &'a [u8],
}

impl OrderStatement<'_> {
    /// The payload of its record: given by the holder of the publisher's key with this number and name, or
    /// by one of a replica's key. A name that is too long is cut.
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

/// The arguments of a trading day's order: the number and incarnation that its mark has as its publisher's
/// message, and the mark. A number is given once, so that a copy is none.
pub fn day_arguments(entry: &EntryHeader, mark: &DayMark<'_>) -> Vec<u8> {
    let mut payload = [0; 1 + DAY_LEN_MAX];
    let length = mark.write(&mut payload);
    let (number, incarnation) = ({ entry.publisher_seq }, { entry.time_or_incarnation });
    [&number.to_le_bytes()[..], &incarnation.to_le_bytes(), &payload[..length]].concat()
}

/// The arguments of an order that a query gives, which names them: of an upgrade one byte, the version to
/// which the log rises; of an order of time eight, the stream's time before it.
pub fn named_arguments(order: OperatorOrder, name: &str) -> Vec<u8> {
    match order {
        OperatorOrder::Upgrade => name.parse::<u8>().map(|version| vec![version]).unwrap_or_default(),
        OperatorOrder::Time => {
            name.parse::<Nanos>().map(|before| before.to_le_bytes().to_vec()).unwrap_or_default()
        }
        _ => Vec::new(),
    }
}

/// In front of the payload of an entry of kind [`EntryKind::Order`](super::EntryKind::Order); the name of the
/// operator's key follows, then the arguments, then the signature if it is signed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct OrderBody {
    /// The history of the stream for which it was given.
    pub history: u64,
    /// The epoch for which it was given; 0 for a trading day.
    pub epoch: u64,
    /// The seq of the entry that set the members who were listed then; 0 for a trading day.
    pub membership_seq: Seq,
    /// The identity that it is about, packed; 0: none in particular.
    pub subject: u64,
    /// The proof's; 0 of an order that is not signed.
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
    /// The name of the operator's key; empty where a replica's key sealed the order, or none.
    pub holder: &'a str,
    /// What else was ordered: [`OrderView::day`], [`OrderView::change`], [`OrderView::version`],
    /// [`OrderView::time_before`].
    pub arguments: &'a [u8],
    /// The operator's signature, which nobody has checked yet.
    pub signature: Option<&'a Signature>,
    /// What it signs, without context and cluster.
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

    /// The identity that it is about.
    pub fn subject(&self) -> Option<Identity> {
        (self.body.subject != 0).then(|| Identity::from_packed(self.body.subject))
    }

    /// The epoch for which it was given.
    pub fn epoch(&self) -> Epoch {
        Epoch(self.body.epoch)
    }

    /// The change of the membership that was ordered, as it was submitted.
    pub fn change(&self) -> Option<MembershipView<'a>> {
        if self.order() != OperatorOrder::Membership || self.arguments.len() != size_of::<MembershipBody>() {
            return None;
        }
        MembershipView::parse(self.arguments).ok()
    }

    /// The trading day's mark that was ordered: its number and its incarnation as its publisher's message,
    /// and what it says.
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

    /// The stream's time before an order of time. The time after it is that of its frame.
    pub fn time_before(&self) -> Option<Nanos> {
        let before = self.arguments.try_into().ok().map(u64::from_le_bytes);
        before.filter(|_| self.order() == OperatorOrder::Time)
    }

    /// The payload that it was read from.
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

/// The key of an operator: its number and name, as the key files of replicas have them, and what signs with
/// its secret.
pub struct OperatorKey {
    /// Its number.
    pub number: u16,
    /// Its name.
    pub name: String,
    cluster: u64,
    sign: Box<SignOrder>,
}

impl OperatorKey {
    /// Of the operator with the publisher's key of this number and name, in `cluster`.
    pub fn new(
        cluster: u64,
        (number, name): (u16, &str),
        sign: impl Fn(&[u8]) -> Signature + Send + Sync + 'static,
    ) -> Self {
        Self { number, name: name.to_owned(), cluster, sign: Box::new(sign) }
    }

    /// Signs `order`, which is given once under this drawn number.
    pub fn prove(&self, order: &OrderStatement<'_>, nonce: u64) -> OrderProof {
        let mut proof = OrderProof { nonce, signature: [0; 64] };
        let record = order.record(Some((self.number, &self.name)), Some(&proof));
        let view = OrderView::parse(&record).expect("an order that was written just now");
        proof.signature = (self.sign)(&view.signed(self.cluster));
        proof
    }
}

impl fmt::Debug for OperatorKey {
    /// Shows no secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OperatorKey({}, {})", self.number, self.name)
    }
}
