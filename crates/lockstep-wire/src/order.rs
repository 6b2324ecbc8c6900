//! An operator's order as the stream records it: who gave it, about what, and the state in which it was
//! judged.

use super::{Epoch, Identity, Reject, Seq};
use bytemuck::{Pod, Zeroable};

/// Bytes of the longest name of a key.
pub const HOLDER_LEN_MAX: usize = 64;

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
}

impl OperatorOrder {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Handover, Self::DeclareDead, Self::Membership, Self::Day];

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
        }
    }
}

/// In front of the payload of an entry of kind [`EntryKind::Order`](super::EntryKind::Order); the name of the
/// operator's key follows.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct OrderBody {
    /// The identity that it is about, packed; 0: none in particular.
    pub subject: u64,
    /// The epoch in which it was judged.
    pub epoch: u64,
    /// The seq of the entry that set the members who were listed then.
    pub membership_seq: Seq,
    /// The number of the publisher's key that sealed it; `u16::MAX` for a replica's key or none.
    pub key: u16,
    /// An [`OperatorOrder`].
    pub order: u8,
    /// Bytes of the name.
    pub holder_len: u8,
    /// Zero.
    pub reserved: u32,
}

const _: () = assert!(size_of::<OrderBody>() == 32);

impl OrderBody {
    /// [`OrderBody::key`] of an order that no publisher's key sealed.
    pub const NO_KEY: u16 = u16::MAX;
}

/// A recorded order.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct OrderView<'a> {
    /// Its fixed part.
    pub body: OrderBody,
    /// The name of the operator's key; empty where a replica's key sealed the order, or none.
    pub holder: &'a str,
}

impl<'a> OrderView<'a> {
    /// The order in this payload.
    ///
    /// # Errors
    /// [`Reject::Body`] if it contradicts itself.
    pub fn parse(payload: &'a [u8]) -> Result<Self, Reject> {
        let (body, holder) = payload.split_first_chunk::<{ size_of::<OrderBody>() }>().ok_or(Reject::Body)?;
        let body: OrderBody = bytemuck::pod_read_unaligned(body);
        let holder = std::str::from_utf8(holder).map_err(|_| Reject::Body)?;
        let is_sound = OperatorOrder::from_u8(body.order).is_some()
            && usize::from(body.holder_len) == holder.len()
            && holder.len() <= HOLDER_LEN_MAX
            && body.reserved == 0;
        if is_sound { Ok(Self { body, holder }) } else { Err(Reject::Body) }
    }

    /// What was ordered.
    pub fn order(&self) -> OperatorOrder {
        OperatorOrder::from_u8(self.body.order).unwrap_or(OperatorOrder::Handover)
    }

    /// The identity that it is about.
    pub fn subject(&self) -> Option<Identity> {
        (self.body.subject != 0).then(|| Identity::from_packed(self.body.subject))
    }

    /// The epoch in which it was judged.
    pub fn epoch(&self) -> Epoch {
        Epoch(self.body.epoch)
    }
}

/// Bytes of the longest payload.
pub const ORDER_LEN_MAX: usize = size_of::<OrderBody>() + HOLDER_LEN_MAX;

/// Writes the payload of a recorded order, and returns its bytes. `holder_len` is filled in here; a longer
/// name is cut.
pub fn write_order(out: &mut [u8; ORDER_LEN_MAX], body: OrderBody, holder: &str) -> usize {
    let mut len = holder.len().min(HOLDER_LEN_MAX);
    while !holder.is_char_boundary(len) {
        len -= 1;
    }
    let body = OrderBody { holder_len: len as u8, ..body };
    let (front, behind) = out.split_at_mut(size_of::<OrderBody>());
    front.copy_from_slice(bytemuck::bytes_of(&body));
    behind[..len].copy_from_slice(&holder.as_bytes()[..len]);
    size_of::<OrderBody>() + len
}
