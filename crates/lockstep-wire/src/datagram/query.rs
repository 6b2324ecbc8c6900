//! Questions to a node, and the orders among them.

use super::{HeartbeatBody, QueryReplyBody, body, ends_padded};
use crate::{
    Acknowledgement, CommandResultBody, EVENTS_LEN_MAX, HEADER_LEN, Header, Identity, KeyClass, NAME_LEN_MAX,
    ORDER_PROOF_LEN, OperatorOrder, OrderProof, Reject, ReleaseBody, STATUS_LEN_MAX, TimesBody,
};
use bytemuck::{Pod, Zeroable};

/// Flag of an order: its operator's [`OrderProof`] follows the name.
pub const ORDER_SIGNED: u16 = 1;

/// The kind of a query.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u32)]
pub enum QueryKind {
    /// Your identity and position (the reply's header has both).
    Node = 1,
    /// The id, incarnation and last committed number of the publisher of this name.
    Publisher = 2,
    /// Your position, and the members that you receive ([`super::StatusBody`]).
    Status = 3,
    /// Hand your leadership over: to the identity in the name, or to one that you choose.
    Handover = 4,
    /// The identity in the name is dead: continue without it ([`super::CommandResultBody`], as for a
    /// handover).
    DeclareDead = 5,
    /// Your multicast does not arrive: answer by unicast. A leader answers with its heartbeat, a standby with
    /// its ack.
    Probe = 6,
    /// Your events below the number in the name, the newest first; without a name the newest of all
    /// ([`crate::EventsBody`]).
    Events = 7,
    /// Let the log rise to the version in the name, a decimal number ([`super::CommandResultBody`]).
    Upgrade = 8,
    /// The versions that you speak ([`super::ReleaseBody`]).
    Release = 9,
    /// Let the stream's time, which is ahead at the time in the name, a decimal number, go back to that of a
    /// quorum's clocks ([`super::CommandResultBody`]).
    Time = 10,
    /// The stream's time, and the clocks by which you judge it ([`super::TimesBody`]).
    Times = 11,
    /// Acknowledge the condition in the name, with its first number ([`crate::Acknowledgement`];
    /// [`super::CommandResultBody`]).
    Acknowledge = 12,
}

impl QueryKind {
    /// The kind with this number, if there is one.
    pub fn from_u32(query_kind: u32) -> Option<Self> {
        Some(match query_kind {
            1 => Self::Node,
            2 => Self::Publisher,
            3 => Self::Status,
            4 => Self::Handover,
            5 => Self::DeclareDead,
            6 => Self::Probe,
            7 => Self::Events,
            8 => Self::Upgrade,
            9 => Self::Release,
            10 => Self::Time,
            11 => Self::Times,
            12 => Self::Acknowledge,
            _ => return None,
        })
    }

    /// Bytes of the answer. A request is padded to it, so that a node never sends more to an address than
    /// came from there.
    pub fn answer_len(self) -> usize {
        HEADER_LEN
            + match self {
                Self::Node | Self::Publisher => size_of::<QueryReplyBody>(),
                Self::Status => STATUS_LEN_MAX - HEADER_LEN,
                Self::Events => EVENTS_LEN_MAX - HEADER_LEN,
                Self::Handover | Self::DeclareDead | Self::Upgrade | Self::Time | Self::Acknowledge => {
                    size_of::<CommandResultBody>()
                }
                Self::Release => size_of::<ReleaseBody>(),
                Self::Times => size_of::<TimesBody>(),
                // A heartbeat, or an ack.
                Self::Probe => size_of::<HeartbeatBody>(),
            }
    }

    /// Whether the name of such a query may have this length.
    fn takes_len(self, len: usize) -> bool {
        match self {
            Self::Node | Self::Status | Self::Probe | Self::Release | Self::Times => len == 0,
            Self::Publisher | Self::DeclareDead | Self::Upgrade | Self::Time | Self::Acknowledge => {
                (1..=NAME_LEN_MAX).contains(&len)
            }
            Self::Handover | Self::Events => len <= NAME_LEN_MAX,
        }
    }

    /// The order that the query gives: it changes which replica leads, who the members are, the log's
    /// version, or the stream's time.
    pub fn order(self) -> Option<OperatorOrder> {
        match self {
            Self::Handover => Some(OperatorOrder::Handover),
            Self::DeclareDead => Some(OperatorOrder::DeclareDead),
            Self::Upgrade => Some(OperatorOrder::Upgrade),
            Self::Time => Some(OperatorOrder::Time),
            _ => None,
        }
    }

    /// Whether it is an order.
    pub fn is_order(self) -> bool {
        self.order().is_some()
    }

    /// Whether its answer is a [`super::CommandResultBody`]: it is an order, or an acknowledgement, which the
    /// stream does not record.
    pub fn is_command(self) -> bool {
        self.is_order() || self == Self::Acknowledge
    }

    /// Whether a query of this kind may have this name. A command names an identity, a version, a time, or
    /// nothing; a query for events a number in decimal digits, or nothing.
    fn takes(self, name: &str) -> bool {
        match self {
            Self::Handover | Self::DeclareDead => name.is_empty() || name.parse::<Identity>().is_ok(),
            Self::Upgrade => name.parse::<u8>().is_ok(),
            Self::Time => event_number(name).is_some(),
            Self::Acknowledge => name.parse::<Acknowledgement>().is_ok(),
            Self::Events => name.is_empty() || event_number(name).is_some(),
            Self::Node | Self::Publisher | Self::Status | Self::Probe | Self::Release | Self::Times => true,
        }
    }
}

/// The number in the name of a query for events or of a time; `None` for any other text.
pub fn event_number(name: &str) -> Option<u64> {
    name.bytes().all(|byte| byte.is_ascii_digit()).then(|| name.parse().ok())?
}

/// Behind a question's header; the name follows, padded to 8.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct QueryBody {
    /// Echoed in the reply.
    pub token: u64,
    /// A [`QueryKind`].
    pub query_kind: u32,
    /// Bytes of the name; 0 where the topic needs none.
    pub name_len: u32,
}

impl QueryBody {
    /// Bytes of the answer; 0 for a kind that does not exist.
    pub fn answer_len(&self) -> usize {
        QueryKind::from_u32(self.query_kind).map_or(0, QueryKind::answer_len)
    }
}

const _: () = assert!(size_of::<QueryBody>() == 16);

/// The question in a datagram of `header`.
pub(super) fn parse<'a>(
    header: &Header,
    bytes: &'a [u8],
) -> Result<(QueryBody, &'a str, Option<OrderProof>), Reject> {
    let asked: QueryBody = body(bytes)?;
    let len = asked.name_len as usize;
    let query_kind = QueryKind::from_u32(asked.query_kind).ok_or(Reject::Body)?;
    if !query_kind.takes_len(len) {
        return Err(Reject::Body);
    }
    let (start, padded) = (HEADER_LEN + size_of::<QueryBody>(), len.next_multiple_of(8));
    let is_signed = query_kind.is_order() && header.flags & ORDER_SIGNED != 0;
    let proof_len = if is_signed { ORDER_PROOF_LEN } else { 0 };
    let flags = if query_kind.is_order() { ORDER_SIGNED } else { 0 };
    ends_padded(header, bytes, size_of::<QueryBody>() + padded + proof_len, flags)?;
    let name = std::str::from_utf8(&bytes[start..start + len]).map_err(|_| Reject::Body)?;
    if !query_kind.takes(name) {
        return Err(Reject::Body);
    }
    // The receiver judges what a publisher's key allows ([`Keyring::operator`](crate::Keyring::operator)).
    if query_kind.is_command() && header.key_class() == Some(KeyClass::Reader) {
        return Err(Reject::Rights);
    }
    let proof = &bytes[start + padded..start + padded + proof_len];
    Ok((asked, name, is_signed.then(|| bytemuck::pod_read_unaligned(proof))))
}
