//! The small datagrams: heartbeat, submission, ack, nack, answer, question, reply, and the trailer
//! that a repaired frame carries. Each is a [`Header`] and a fixed body; some have items behind it.

mod query;
mod repair;
mod write;

use super::{
    ADDRESS_PROOF_RETURNED, AddressProofBody, CommandReject, CommandResultBody, ConditionRow, ConditionRows,
    Entries, EventRow, EventRows, EventsBody, HEADER_LEN, Header, IdentityProbeBody, JoinBody, Keyring, Kind,
    LeaseBody, NoticeRow, NoticeRows, OrderProof, PublisherId, PublisherSeq, REPLAY_CHAIN, REPLAY_CHECKPOINT,
    Reject, ReleaseBody, ReplayBody, ReplayCheckpointBody, ReplayRequestBody, STATUS_LEN_MAX, Seq,
    StatusBody, StatusMember, StatusMembers, StatusParts, TimesBody,
};
use bytemuck::{Pod, Zeroable};
pub use query::{ORDER_SIGNED, QueryBody, QueryKind, event_number};
use repair::open_trailer;
pub(crate) use repair::repair_checksum;
pub use repair::{REPAIR_TRAILER_LEN, Ranges, RepairTrailer, is_repair_for_one, repair_trailer};
pub use write::{
    write_ack, write_address_proof, write_ballot, write_command_result, write_down, write_heartbeat,
    write_nack, write_notice, write_order, write_presence, write_query, write_release, write_repair_reject,
    write_reply, write_status, write_status_query, write_step_down, write_times,
};

/// Behind a heartbeat's header.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct HeartbeatBody {
    /// Seq of the membership in force at `first_seq - 1`.
    pub membership_seq: Seq,
    /// Seq of the latest epoch start.
    pub epoch_start_seq: Seq,
    /// Drawn at each start of the process: it distinguishes two processes under one identity.
    pub process_nonce: u64,
    /// Oldest seq that the leader can repair from memory.
    pub oldest_seq: Seq,
    /// Entries that the window still takes; 0 throttles publishers.
    pub credit_entries: u32,
    /// The number of publishers that have used up their share of a scarce window: their submissions are
    /// refused for the present.
    pub shares_over: u32,
    /// Replica numbers, most caught up first; 0 is none.
    pub successors: [u8; 8],
}

/// Behind an ack's header.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct AckBody {
    /// As in a heartbeat.
    pub process_nonce: u64,
}

/// Behind a nack's header; `count` ranges follow.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct NackBody {
    /// Echoed by the answer, so that a round trip is measured without Karn's ambiguity.
    pub token: u64,
}

/// Flag of a promise or a grant: its sender's journal is full at present, so it acknowledges nothing,
/// whichever replica leads.
pub const BALLOT_JOURNAL_FULL: u16 = 1;
/// Flag of a nack: it asks for the epoch start of `header.epoch` and has no ranges.
pub const NACK_EPOCH_START: u16 = 1;
/// Most ranges in one nack.
pub const NACK_RANGES_MAX: usize = 32;

/// A missing range `from..to`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct SeqRange {
    /// First missing seq.
    pub from: Seq,
    /// Exclusive end.
    pub to: Seq,
}

/// Why a request brought no frames.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u32)]
pub enum RepairReject {
    /// Not here yet.
    Ahead = 1,
    /// No longer in memory; `oldest_seq` is the first seq that is.
    TooOld = 2,
    /// The repairer's log is of another epoch, in which the range is not committed.
    OtherEpoch = 3,
    /// The repairer's stream is another history.
    OtherHistory = 4,
    /// The requester is over its budget; it may request again after `retry_after_ns`.
    Limited = 5,
    /// The repairer stores it and refers the requester to others, because it leads and others store it too,
    /// or because it is a witness.
    Referred = 6,
    /// The requester was over its budget for too long and must read a replay.
    Replay = 7,
    /// The requester ignored [`Self::Replay`]: it receives no more repairs.
    Dropped = 8,
}

impl RepairReject {
    /// Whether the repairer will not send this range later either.
    pub fn is_final(self) -> bool {
        matches!(self, Self::TooOld | Self::Replay | Self::Dropped)
    }

    /// The reason in words.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ahead => "not there yet",
            Self::TooOld => "no longer in memory",
            Self::OtherEpoch => "of another epoch",
            Self::OtherHistory => "of another history",
            Self::Limited => "too much at once",
            Self::Referred => "others are to be asked",
            Self::Replay => "too much for datagrams: to be read by replay",
            Self::Dropped => "asked for too much, for too long",
        }
    }

    /// The reason with this number, if there is one.
    pub fn from_u32(reason: u32) -> Option<Self> {
        Some(match reason {
            1 => Self::Ahead,
            2 => Self::TooOld,
            3 => Self::OtherEpoch,
            4 => Self::OtherHistory,
            5 => Self::Limited,
            6 => Self::Referred,
            7 => Self::Replay,
            8 => Self::Dropped,
            _ => return None,
        })
    }
}

/// Behind an answer's header, whose `epoch` is the repairer's accepted one and `first_seq` its next.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct RepairRejectBody {
    /// The request's.
    pub token: u64,
    /// The range that is refused.
    pub range: SeqRange,
    /// Oldest seq that the repairer stores.
    pub oldest_seq: Seq,
    /// A [`RepairReject`].
    pub reason: u32,
    /// The time within which another request is refused again; 0 if unknown.
    pub retry_after_ns: u32,
}

/// Behind a reply's header (`epoch`: accepted, `first_seq`: next, `commit_next`: what the reply rests on).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct QueryReplyBody {
    /// The question's.
    pub token: u64,
    /// The question's.
    pub query_kind: u32,
    /// The publisher's id; 0: no publisher of this name up to `commit_next`.
    pub publisher: PublisherId,
    /// Its current incarnation; 0: never opened.
    pub incarnation: u32,
    /// The role of the node: 0 blank, 1 standby, 2 leader, 3 learner (stores and repairs, and has no vote).
    pub role: u32,
    /// Number of its last committed message.
    pub publisher_seq: PublisherSeq,
    /// Drawn by the process at its start.
    pub process_nonce: u64,
    /// The nonce of the incarnation; 0 if the publisher is closed.
    pub nonce: [u64; 2],
}

/// Behind the header of an election's datagrams: prepare, promise, refuse, pre-vote, grant. The header
/// carries the end of the sender's own log: `epoch` is its accepted one, `first_seq` its next.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct BallotBody {
    /// As in a heartbeat.
    pub process_nonce: u64,
    /// The epoch that is requested, promised, or (refuse) promised already.
    pub ballot: u64,
    /// Refuse: the epoch that is refused. Pre-vote and grant: the epoch whose leader is suspected. Otherwise
    /// 0.
    pub about: u64,
}

/// Behind the header of a watcher's notice, whose `epoch`, `sender` and `incarnation` are the dead leader's.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct DeathNoticeBody {
    /// Its SHA-256 stands in the epoch's start, so only the process that started the epoch can know it.
    pub secret: [u8; 32],
}

/// Behind the header of a leader that stops stamping, whose `first_seq` is its log's end.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct StepDownBody {
    /// As in a heartbeat.
    pub process_nonce: u64,
    /// The [`Identity`](crate::Identity) of the successor, packed; 0 leaves the choice to the others.
    pub successor: u64,
}

const _: () = {
    assert!(size_of::<BallotBody>() == 24);
    assert!(size_of::<DeathNoticeBody>() == 32);
    assert!(size_of::<StepDownBody>() == 16);
    assert!(size_of::<HeartbeatBody>() == 48);
    assert!(size_of::<AckBody>() == 8);
    assert!(size_of::<NackBody>() == 8);
    assert!(size_of::<SeqRange>() == 16);
    assert!(size_of::<RepairRejectBody>() == 40);
    assert!(size_of::<RepairTrailer>() == 48);
    assert!(size_of::<QueryReplyBody>() == 56);
};

/// The fixed body behind a checked header.
fn body<T: Pod>(bytes: &[u8]) -> Result<T, Reject> {
    bytes.get(HEADER_LEN..HEADER_LEN + size_of::<T>()).map(bytemuck::pod_read_unaligned).ok_or(Reject::Body)
}

/// Checks that a datagram of `header` ends `len` bytes behind its header and has only flags of `flags`.
#[inline]
fn ends(header: &Header, len: usize, flags: u16) -> Result<(), Reject> {
    if header.length as usize != HEADER_LEN + len {
        return Err(Reject::Length);
    }
    if header.flags & !flags != 0 {
        return Err(Reject::Flags);
    }
    Ok(())
}

/// As [`ends`], for a request, which zeros may pad to the length of its answer.
fn ends_padded(header: &Header, bytes: &[u8], len: usize, flags: u16) -> Result<(), Reject> {
    let padding = bytes.get(HEADER_LEN + len..header.length as usize).ok_or(Reject::Length)?;
    if padding.iter().any(|byte| *byte != 0) {
        return Err(Reject::Length);
    }
    ends(header, len + padding.len(), flags)
}

/// Writes a datagram of a header, a fixed body and its items, padded to 8; returns its bytes.
pub(super) fn write(out: &mut [u8], keys: &Keyring, header: Header, body: &[u8], items: &[u8]) -> usize {
    write_padded(out, keys, header, body, items, 0)
}

/// As [`write`], padded to `len_min` bytes.
pub(super) fn write_padded(
    out: &mut [u8],
    keys: &Keyring,
    header: Header,
    body: &[u8],
    items: &[u8],
    len_min: usize,
) -> usize {
    let (start, end) = (HEADER_LEN + body.len(), HEADER_LEN + body.len() + items.len());
    let padded = end.next_multiple_of(8).max(len_min);
    out[HEADER_LEN..start].copy_from_slice(body);
    out[start..end].copy_from_slice(items);
    out[end..padded].fill(0);
    keys.seal(&mut out[..padded], header);
    padded
}

/// Any checked datagram, by kind. What it borrows lives as long as the datagram.
#[derive(Clone, Copy, Debug)]
pub enum Datagram<'a> {
    /// A frame; with a trailer if it is a repair.
    Frame(super::FrameView<'a>, Option<RepairTrailer>),
    /// A heartbeat.
    Heartbeat(&'a Header, HeartbeatBody),
    /// A submission and its messages.
    Submission(&'a Header, Entries<'a>),
    /// An ack.
    Ack(&'a Header, AckBody),
    /// A nack and its ranges.
    Nack(&'a Header, NackBody, Ranges<'a>),
    /// An answer.
    RepairReject(&'a Header, RepairRejectBody),
    /// A question, its name, which may be empty, and the proof that an operator signed it.
    Query(&'a Header, QueryBody, &'a str, Option<OrderProof>),
    /// A reply.
    QueryReply(&'a Header, QueryReplyBody),
    /// A candidate's request for promises.
    Prepare(&'a Header, BallotBody),
    /// A promise.
    Promise(&'a Header, BallotBody),
    /// A refusal of a superseded epoch.
    Refuse(&'a Header, BallotBody),
    /// A standby asks which others suspect the leader too.
    PreVote(&'a Header, BallotBody),
    /// A replica suspects the leader too.
    Grant(&'a Header, BallotBody),
    /// A watcher's notice.
    DeathNotice(&'a Header, DeathNoticeBody),
    /// A leader stops stamping.
    StepDown(&'a Header, StepDownBody),
    /// A status, its members, and its conditions.
    Status(&'a Header, StatusBody, StatusMembers<'a>, ConditionRows<'a>, StatusParts<'a>),
    /// A node's release.
    Release(&'a Header, ReleaseBody),
    /// A node's answer about the stream's time.
    Times(&'a Header, TimesBody),
    /// A page of events.
    Events(&'a Header, EventsBody, EventRows<'a>),
    /// A verdict.
    CommandResult(&'a Header, CommandResultBody),
    /// A join.
    Join(&'a Header, JoinBody),
    /// A lease.
    Lease(&'a Header, LeaseBody),
    /// A request for a replay. This and the following kinds are sent over TCP only.
    ReplayRequest(&'a Header, ReplayRequestBody),
    /// Its answer.
    ReplayAnswer(&'a Header, ReplayBody),
    /// A mark between its frames.
    ReplayMark(&'a Header, ReplayBody),
    /// A part of a checkpoint, before its frames.
    ReplayCheckpoint(&'a Header, ReplayCheckpointBody, &'a [u8]),
    /// A leader's notice to publishers.
    PublisherNotice(&'a Header, NoticeRows<'a>),
    /// The process that runs under the sender's identity.
    IdentityProbe(&'a Header, IdentityProbeBody),
    /// The demand for a proof of address, or the proof.
    AddressProof(&'a Header, AddressProofBody),
}

impl<'a> Datagram<'a> {
    /// Checks a datagram that came from the network completely, for a process with these keys.
    // Inlined by force, so that a role builds no code for kinds that it does not take.
    #[inline(always)]
    pub fn decode(bytes: &'a [u8], keys: &Keyring) -> Result<Self, Reject> {
        Self::decode_opened(bytes, keys, keys.open(bytes, false)?)
    }

    /// As [`Datagram::decode`], for datagrams of a replay: its frames may have a key generation that is no
    /// longer accepted.
    pub fn decode_replayed(bytes: &'a [u8], keys: &Keyring) -> Result<Self, Reject> {
        Self::decode_opened(bytes, keys, keys.open(bytes, true)?)
    }

    #[inline(always)]
    fn decode_opened(bytes: &'a [u8], keys: &Keyring, header: &'a Header) -> Result<Self, Reject> {
        Ok(match Kind::from_u8(header.kind).ok_or(Reject::Kind)? {
            Kind::Frame => {
                let frame = super::FrameView::parse(bytes)?;
                let behind = &bytes[header.length as usize..];
                let trailer =
                    (!behind.is_empty()).then(|| open_trailer(behind, keys, frame.bytes)).transpose()?;
                Self::Frame(frame, trailer)
            }
            Kind::Submission => {
                let (entries, taken, _) = Entries::check(&bytes[HEADER_LEN..], header.count)?;
                ends(header, taken, 0)?;
                Self::Submission(header, entries)
            }
            Kind::Ack => {
                ends(header, size_of::<AckBody>(), 0)?;
                Self::Ack(header, body(bytes)?)
            }
            kind => Self::decode_rare(header, kind, bytes)?,
        })
    }

    /// Decodes the kinds that no message needs on its way.
    #[cold]
    fn decode_rare(header: &'a Header, kind: Kind, bytes: &'a [u8]) -> Result<Self, Reject> {
        Ok(match kind {
            Kind::Heartbeat => {
                ends(header, size_of::<HeartbeatBody>(), 0)?;
                Self::Heartbeat(header, body(bytes)?)
            }
            Kind::Nack => {
                let count = header.count as usize;
                let end = size_of::<NackBody>() + count * size_of::<SeqRange>();
                ends_padded(header, bytes, end, NACK_EPOCH_START)?;
                let start = header.flags & NACK_EPOCH_START != 0;
                if count > NACK_RANGES_MAX || start != (count == 0) {
                    return Err(Reject::Count);
                }
                let ranges = Ranges::of(&bytes[HEADER_LEN + size_of::<NackBody>()..HEADER_LEN + end]);
                if ranges.iter().any(|range| range.from == 0 || range.from >= range.to) {
                    return Err(Reject::Body);
                }
                Self::Nack(header, body(bytes)?, ranges)
            }
            Kind::RepairReject => {
                ends(header, size_of::<RepairRejectBody>(), 0)?;
                let body: RepairRejectBody = body(bytes)?;
                RepairReject::from_u32(body.reason).ok_or(Reject::Body)?;
                Self::RepairReject(header, body)
            }
            Kind::Query => {
                let (asked, name, proof) = query::parse(header, bytes)?;
                Self::Query(header, asked, name, proof)
            }
            Kind::QueryReply => {
                ends(header, size_of::<QueryReplyBody>(), 0)?;
                Self::QueryReply(header, body(bytes)?)
            }
            kind @ (Kind::Prepare | Kind::Promise | Kind::Refuse | Kind::PreVote | Kind::Grant) => {
                let answers = matches!(kind, Kind::Promise | Kind::Grant);
                ends(header, size_of::<BallotBody>(), if answers { BALLOT_JOURNAL_FULL } else { 0 })?;
                let parsed: BallotBody = body(bytes)?;
                // There is no vote about round 0, which has no leader.
                if super::Epoch(parsed.ballot).round() == 0 {
                    return Err(Reject::Body);
                }
                match kind {
                    Kind::Prepare => Self::Prepare(header, parsed),
                    Kind::Promise => Self::Promise(header, parsed),
                    Kind::Refuse => Self::Refuse(header, parsed),
                    Kind::PreVote => Self::PreVote(header, parsed),
                    _ => Self::Grant(header, parsed),
                }
            }
            Kind::DeathNotice => {
                ends(header, size_of::<DeathNoticeBody>(), 0)?;
                Self::DeathNotice(header, body(bytes)?)
            }
            Kind::StepDown => {
                ends(header, size_of::<StepDownBody>(), 0)?;
                Self::StepDown(header, body(bytes)?)
            }
            Kind::Status => {
                let parsed: StatusBody = body(bytes).map_err(|_| Reject::Length)?;
                let members = usize::from(header.count);
                let rows = members * size_of::<StatusMember>()
                    + usize::from(parsed.conditions) * size_of::<ConditionRow>();
                let at = HEADER_LEN + size_of::<StatusBody>() + rows;
                let behind = bytes.get(at..header.length as usize).ok_or(Reject::Length)?;
                ends(header, size_of::<StatusBody>() + rows + behind.len(), 0)?;
                let listed = StatusMembers::check(header, &parsed, bytes)?;
                let conditions = ConditionRows::check(&bytes[..at], members)?;
                Self::Status(header, parsed, listed, conditions, StatusParts::check(behind)?)
            }
            Kind::Release => {
                ends(header, size_of::<ReleaseBody>(), 0)?;
                Self::Release(header, body(bytes)?)
            }
            Kind::Times => {
                ends(header, size_of::<TimesBody>(), 0)?;
                Self::Times(header, body(bytes)?)
            }
            Kind::CommandResult => {
                ends(header, size_of::<CommandResultBody>(), 0)?;
                let parsed: CommandResultBody = body(bytes)?;
                let is_command = QueryKind::from_u32(parsed.query_kind).is_some_and(QueryKind::is_command);
                if !is_command || parsed.reject != 0 && CommandReject::from_u32(parsed.reject).is_none() {
                    return Err(Reject::Body);
                }
                Self::CommandResult(header, parsed)
            }
            Kind::Events => {
                ends(header, size_of::<EventsBody>() + usize::from(header.count) * size_of::<EventRow>(), 0)?;
                let parsed: EventsBody = body(bytes)?;
                Self::Events(header, parsed, EventRows::check(header, &parsed, bytes)?)
            }
            Kind::Join => {
                ends(header, size_of::<JoinBody>(), 0)?;
                Self::Join(header, body::<JoinBody>(bytes)?.check()?)
            }
            Kind::Lease => {
                ends(header, size_of::<LeaseBody>(), 0)?;
                Self::Lease(header, body::<LeaseBody>(bytes)?.check()?)
            }
            Kind::ReplayRequest => {
                ends(header, size_of::<ReplayRequestBody>(), REPLAY_CHAIN | REPLAY_CHECKPOINT)?;
                let asked = body(bytes)?;
                super::replay::check_request(&asked)?;
                Self::ReplayRequest(header, asked)
            }
            kind @ (Kind::ReplayAnswer | Kind::ReplayMark) => {
                ends(header, size_of::<ReplayBody>(), 0)?;
                let parsed = body(bytes)?;
                super::replay::check_replay(&parsed)?;
                match kind {
                    Kind::ReplayAnswer => Self::ReplayAnswer(header, parsed),
                    _ => Self::ReplayMark(header, parsed),
                }
            }
            Kind::ReplayCheckpoint => {
                ends(header, size_of::<ReplayCheckpointBody>() + 8 * usize::from(header.count), 0)?;
                let whole = bytes.get(..header.length as usize).ok_or(Reject::Length)?;
                let parsed = body(whole)?;
                Self::ReplayCheckpoint(header, parsed, super::replay::check_checkpoint(&parsed, whole)?)
            }
            Kind::PublisherNotice => {
                ends(header, header.count as usize * size_of::<NoticeRow>(), 0)?;
                Self::PublisherNotice(header, NoticeRows::check(header, bytes)?)
            }
            Kind::IdentityProbe => {
                ends(header, size_of::<IdentityProbeBody>(), 0)?;
                Self::IdentityProbe(header, body(bytes)?)
            }
            Kind::AddressProof => {
                ends(header, size_of::<AddressProofBody>(), ADDRESS_PROOF_RETURNED)?;
                Self::AddressProof(header, body(bytes)?)
            }
            Kind::Frame | Kind::Submission | Kind::Ack | Kind::Stage | Kind::Switch => {
                return Err(Reject::Kind);
            }
        })
    }
}

/// Length of a refusal of a request for frames, and the least one of a request.
pub const REPAIR_REJECT_LEN: usize = HEADER_LEN + size_of::<RepairRejectBody>();

/// Length of an ack.
pub const ACK_LEN: usize = HEADER_LEN + size_of::<AckBody>();

/// Room for any datagram that this file writes, except submissions.
pub const SMALL_LEN_MAX: usize = STATUS_LEN_MAX;
const _: () =
    assert!(SMALL_LEN_MAX >= HEADER_LEN + size_of::<NackBody>() + NACK_RANGES_MAX * size_of::<SeqRange>());
