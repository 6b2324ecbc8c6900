//! The queries of an operator's commands and their replies: a node's position and the members from which it
//! receives, and whether a command is accepted.

use super::{
    HEADER_LEN, Header, MEMBERS_MAX, MemberBody, Nanos, Reject, STATUS_CONDITIONS_MAX, Seq, VERSION,
    VERSION_MIN,
};
use bytemuck::{Pod, Zeroable};

/// The reason why a leader is suspected, or gave up its epoch.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum LeaderLossReason {
    /// Its watcher announced its death.
    Down = 1,
    /// It announced that it steps down.
    StepDown = 2,
    /// It was silent.
    Silence = 3,
    /// Its datagrams arrive, but it makes no progress: it does not receive ours, or has no quorum.
    NoProgress = 4,
    /// This node led, and a member refused its epoch or follows a higher one.
    Refused = 5,
}

impl LeaderLossReason {
    /// The reason with this number, if there is one.
    pub fn from_u8(number: u8) -> Option<Self> {
        [Self::Down, Self::StepDown, Self::Silence, Self::NoProgress, Self::Refused]
            .into_iter()
            .find(|known| *known as u8 == number)
    }

    /// The reason in a word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Down => "down",
            Self::StepDown => "step down",
            Self::Silence => "silence",
            Self::NoProgress => "no progress",
            Self::Refused => "refused",
        }
    }
}

/// Why an operator's command is refused.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u32)]
pub enum CommandReject {
    /// The asked node does not lead.
    NotLeader = 1,
    /// The identity is no member.
    NotListed = 2,
    /// The identity is a witness, and a witness never leads.
    Witness = 3,
    /// The identity leads already.
    Leads = 4,
    /// The node is stopping, or is handing over already.
    Busy = 5,
    /// An earlier change of the membership is not committed yet.
    ChangePending = 6,
    /// The start of this epoch is not committed yet.
    StartPending = 7,
    /// An identity of the same replica is listed: remove that one first.
    ReplicaListed = 8,
    /// The membership is full.
    Full = 9,
    /// It is the last full member: the stream would end with it.
    LastMember = 10,
    /// The epoch or the membership is not the one that the command was given for.
    Stale = 11,
    /// Only one of exactly two members can be declared dead, by the other.
    NotTwo = 12,
    /// The survivor cannot prove that its journal is complete.
    Incomplete = 13,
    /// Datagrams of the identity arrive, so it is not dead.
    Alive = 14,
    /// A node cannot declare itself dead.
    SelfDeclared = 15,
    /// With two members, a living one is replaced only with its own consent: declare it dead first.
    TwoMembers = 16,
    /// The operator's key does not allow it.
    NotAllowed = 17,
    /// The operator did not sign it, or the signature is invalid.
    Unsigned = 18,
    /// Too many signatures of this key were checked just now, and this one was not.
    TooMany = 19,
    /// The log has this version already, or the leader does not speak it.
    Version = 20,
    /// The stream's time is not ahead of that of a quorum's clocks.
    NotAhead = 21,
    /// The leader has not received the clocks of a quorum.
    ClocksUnknown = 22,
    /// The log's version does not have this order.
    OldLog = 23,
}

impl CommandReject {
    const ALL: [Self; 23] = [
        Self::NotLeader,
        Self::NotListed,
        Self::Witness,
        Self::Leads,
        Self::Busy,
        Self::ChangePending,
        Self::StartPending,
        Self::ReplicaListed,
        Self::Full,
        Self::LastMember,
        Self::Stale,
        Self::NotTwo,
        Self::Incomplete,
        Self::Alive,
        Self::SelfDeclared,
        Self::TwoMembers,
        Self::NotAllowed,
        Self::Unsigned,
        Self::TooMany,
        Self::Version,
        Self::NotAhead,
        Self::ClocksUnknown,
        Self::OldLog,
    ];

    /// The reason with this number, if there is one; 0 means "accepted".
    pub fn from_u32(reason: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|known| *known as u32 == reason)
    }
}

/// Follows the header of a verdict on an order (`epoch`: accepted, `first_seq`: next).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct CommandResultBody {
    /// The question's.
    pub token: u64,
    /// The question's.
    pub query_kind: u32,
    /// 0: the order is accepted; otherwise a [`CommandReject`].
    pub reject: u32,
}

/// Follows a status's header (`epoch`: accepted, `first_seq`: next, `commit_next`: known committed). `count`
/// [`StatusMember`]s follow, and then the node's conditions, as [`ConditionRow`](super::ConditionRow)s.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct StatusBody {
    /// The question's.
    pub token: u64,
    /// As in a heartbeat.
    pub process_nonce: u64,
    /// The leader that the node follows, or the node itself, packed; 0: no leader.
    pub leader: u64,
    /// The timestamp of the followed epoch's start, nanoseconds since the Unix epoch; 0: none.
    pub epoch_since: Nanos,
    /// The promise to refuse lower epochs.
    pub promised: u64,
    /// Seq of the entry that set the listed members.
    pub membership_seq: Seq,
    /// The last replica that the node suspected, packed.
    pub suspected: u64,
    /// The age of that suspicion; [`AGE_NEVER`] if there was none.
    pub suspected_age_ns: Nanos,
    /// The member whose change this leader refused last, packed.
    pub rejected_member: u64,
    /// The age of that refusal; [`AGE_NEVER`] if there was none.
    pub rejected_age_ns: Nanos,
    /// Its reason, a [`CommandReject`]; 0 if there was none.
    pub denied: u32,
    /// The node's role, as in a reply.
    pub role: u8,
    /// A [`LeaderLossReason`], or 0.
    pub suspicion: u8,
    /// 0 `process`, 1 `power`: of the followed epoch.
    pub durability: u8,
    /// How many [`ConditionRow`](super::ConditionRow)s follow the members.
    pub conditions: u8,
}

/// Bytes of the name of a release.
pub const RELEASE_LEN_MAX: usize = 40;

/// Behind the header of a node's release (`first_seq`: next).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct ReleaseBody {
    /// The question's.
    pub token: u64,
    /// The oldest version that it speaks.
    pub oldest: u8,
    /// The newest version that it speaks.
    pub newest: u8,
    /// The version of its log's last frame; 0: its log is empty.
    pub in_force: u8,
    /// Zero.
    pub reserved: [u8; 5],
    /// The name of its release, in UTF-8, padded with zeros.
    pub release: [u8; RELEASE_LEN_MAX],
}

impl ReleaseBody {
    /// The release of this program, on a node whose log has version `in_force`.
    pub fn own(token: u64, in_force: u8) -> Self {
        let mut release = [0; RELEASE_LEN_MAX];
        let name = env!("CARGO_PKG_VERSION").as_bytes();
        release[..name.len()].copy_from_slice(name);
        Self { token, oldest: VERSION_MIN, newest: VERSION, in_force, reserved: [0; 5], release }
    }

    /// The name of the release.
    pub fn release(&self) -> std::borrow::Cow<'_, str> {
        let len = self.release.iter().position(|byte| *byte == 0).unwrap_or(RELEASE_LEN_MAX);
        String::from_utf8_lossy(&self.release[..len])
    }
}

/// Behind the header of a node's times (`timestamp`: its own clock, `first_seq`: next).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct TimesBody {
    /// The question's.
    pub token: u64,
    /// The time of its log's last frame; 0: its log is empty.
    pub stream: Nanos,
    /// The time that the clocks of a quorum have reached, as this node judges; 0: it knows no quorum's
    /// clocks.
    pub quorum: Nanos,
}

/// The age of an event that never happened.
pub const AGE_NEVER: Nanos = u64::MAX;

/// One listed member, as the answering node sees it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct StatusMember {
    /// The member's identity and address.
    pub member: MemberBody,
    /// The greatest bound that it acknowledged in the followed epoch; 0 if no ack arrived.
    pub acked_next: Seq,
    /// The age of that ack; [`AGE_NEVER`] if none arrived.
    pub acked_age_ns: Nanos,
}

const _: () = {
    assert!(size_of::<CommandResultBody>() == 16);
    assert!(size_of::<ReleaseBody>() == 56);
    assert!(size_of::<TimesBody>() == 24);
    assert!(size_of::<StatusBody>() == 88);
    assert!(size_of::<StatusMember>() == 48);
};

/// The members of a status, borrowed.
#[derive(Clone, Copy, Debug)]
pub struct StatusMembers<'a>(&'a [u8]);

impl<'a> StatusMembers<'a> {
    /// The members, in the order of the list.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = StatusMember> + use<'a> {
        self.0.chunks_exact(size_of::<StatusMember>()).map(bytemuck::pod_read_unaligned)
    }

    /// Checks the rows and the codes of `body` in the datagram of `header`.
    pub(super) fn check(header: &Header, body: &StatusBody, bytes: &'a [u8]) -> Result<Self, Reject> {
        let members = usize::from(header.count);
        if members > MEMBERS_MAX || usize::from(body.conditions) > STATUS_CONDITIONS_MAX {
            return Err(Reject::Count);
        }
        let at = HEADER_LEN + size_of::<StatusBody>();
        let rows = Self(&bytes[at..at + members * size_of::<StatusMember>()]);
        let known = (body.suspicion == 0 || LeaderLossReason::from_u8(body.suspicion).is_some())
            && (body.denied == 0 || CommandReject::from_u32(body.denied).is_some())
            && body.durability <= 1
            && rows.iter().all(|row| row.member.is_sound());
        known.then_some(rows).ok_or(Reject::Body)
    }
}
