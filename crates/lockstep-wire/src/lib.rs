//! # wire: bytes ⇄ typed views
//!
//! Every datagram and every journal record begins with one [`Header`]. The structs are explicit,
//! little-endian, with each field at a multiple of its size; sizes and offsets are asserted beneath each.
//! Decoding checks everything and returns borrowed views; an error is a [`Reject`], which the engines count
//! by reason. `docs/PROTOCOL.md` draws the bytes.
//!
//! | datagram | from → to | on | when | carries |
//! |---|---|---|---|---|
//! | [`Kind::Frame`] | leader → all | data group | a poll batch is drained or the datagram is full | entries |
//! | [`Kind::Heartbeat`] | leader → all | data group | 70, 140, 280 µs after the last datagram until a quorum has acknowledged it, and at the heartbeat interval | next seq, commit, chain, [`HeartbeatBody`] |
//! | [`Kind::Submission`] | publisher → replicas | submit group | at `flush`, `poll`, or when full; again until committed | unstamped entries |
//! | [`Kind::Ack`] | replica → all | control group | once per poll batch that stored something | epoch, next, chain |
//! | [`Kind::Nack`] | anyone → replica | unicast | frames are missing | ranges, or "start of epoch e" |
//! | [`Kind::Frame`] + [`RepairTrailer`] | replica → asker, or all | unicast; data group where several ask | it has them | the frame as sent, and its repairer |
//! | [`Kind::RepairReject`] | replica → asker | unicast | it has not | a [`RepairReject`] |
//! | [`Kind::Query`] | anyone → replica | unicast | open, resume, bootstrap, operators' commands | a [`QueryKind`] |
//! | [`Kind::QueryReply`] | replica → asker | unicast | always | [`QueryReplyBody`] |
//! | [`Kind::Status`] | replica → asker | unicast | [`QueryKind::Status`] was asked | [`StatusBody`], the members as it sees them, its conditions |
//! | [`Kind::Events`] | replica → asker | unicast | [`QueryKind::Events`] was asked | [`EventsBody`], at most nine [`EventRow`]s |
//! | [`Kind::Release`] | replica → asker | unicast | [`QueryKind::Release`] was asked | [`ReleaseBody`] |
//! | [`Kind::Times`] | replica → asker | unicast | [`QueryKind::Times`] was asked | [`TimesBody`] |
//! | [`Kind::CommandResult`] | replica → asker | unicast | an operator's order was received | [`CommandResultBody`] |
//! | [`Kind::PreVote`], [`Kind::Grant`] | standby → all | control group | the leader is suspected | [`BallotBody`] |
//! | [`Kind::Prepare`], [`Kind::Promise`] | replica → all | control group | a candidate stands for election | [`BallotBody`], where its log ends |
//! | [`Kind::Refuse`] | replica → all | control group | a datagram of a superseded epoch was received | [`BallotBody`] |
//! | [`Kind::DeathNotice`] | watcher → all | control group | its leader's stamping thread is gone | [`DeathNoticeBody`] |
//! | [`Kind::StepDown`] | leader → all | control group | it stops stamping | [`StepDownBody`] |
//! | [`Kind::Join`] | device → replica's device | unicast | every second, where groups come by unicast | [`JoinBody`] |
//! | [`Kind::Lease`] | replica's device → device | unicast | a join was received | [`LeaseBody`] |
//! | [`Kind::ReplayRequest`] | reader → replica or archiver | TCP | it needs what no ring holds | [`ReplayRequestBody`] |
//! | [`Kind::ReplayAnswer`], [`Kind::ReplayMark`] | replica → reader | TCP | before the frames, and where none follow | [`ReplayBody`] |
//! | [`Kind::ReplayCheckpoint`] | replica or archiver → blank node | TCP | before the frames, where the request wants it | [`ReplayCheckpointBody`], a part of the checkpoint |
//! | [`Kind::PublisherNotice`] | leader → publishers | control group | their numbers are missed, their share is used up, or an open finds no room | [`NoticeRow`]s |
//! | [`Kind::IdentityProbe`] | replica → its own identity | control group | another process speaks under it; and the answer | [`IdentityProbeBody`] |
//! | [`Kind::AddressProof`] | replica → requester, and back | unicast | a request for frames by an address that is not proved; and the proof | [`AddressProofBody`] |
//! | [`Kind::Stage`], [`Kind::Switch`] | – | journal only | a suffix is replaced (S7) | from seq, epoch |

#![forbid(unsafe_code)]

mod address_proof;
mod agreed;
mod condition;
mod control;
pub mod crc;
mod datagram;
pub mod date;
mod difference;
mod entry;
mod event;
mod frame;
mod header;
mod ids;
mod keys;
mod lease;
pub mod mac;
mod notice;
mod operator;
mod order;
mod parts;
#[doc(hidden)]
pub mod planted;
mod presence;
mod recipients;
mod replay;
mod rights;

pub use address_proof::*;
pub use agreed::*;
pub use condition::*;
pub use control::*;
pub use datagram::*;
pub use difference::*;
pub use entry::*;
pub use event::*;
pub use frame::*;
pub use header::{
    DATAGRAM_LEN_MAX, HEADER_LEN, Header, Kind, MAGIC, VERSION, VERSION_MIN, open_prefix, seal, submitter,
};
pub use ids::*;
pub use keys::*;
pub use lease::*;
pub use notice::*;
pub use operator::*;
pub use order::*;
pub use parts::*;
pub use presence::*;
pub use recipients::*;
pub use replay::*;
pub use rights::*;

#[cfg(target_endian = "big")]
compile_error!("lockstep's structs are the wire's bytes: little-endian targets only");

/// The reason why bytes were refused, counted by [`Reject::index`]. It is never an error of our own.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Reject {
    /// Fewer bytes than a header.
    Short,
    /// The magic is not lockstep's.
    Magic,
    /// A peer of a version that this release does not read ([`VERSION_MIN`] to [`VERSION`]).
    Version {
        /// The peer's.
        seen: u8,
    },
    /// A key that we do not have.
    Key,
    /// A key that is no longer accepted.
    Generation,
    /// A checksum instead of a tag, where keys are required.
    Unkeyed,
    /// A kind, or an order, that the sender's key does not allow.
    Rights,
    /// The tag is not that of the key.
    Tag,
    /// An order without a valid signature.
    Signature,
    /// A kind that does not exist, or that is not valid here.
    Kind,
    /// The length field does not fit the datagram.
    Length,
    /// The checksum does not fit the bytes.
    Checksum,
    /// Another cluster on our group.
    Cluster {
        /// The other's id.
        seen: u64,
    },
    /// Another history of our cluster.
    History {
        /// The other's id.
        seen: u64,
    },
    /// A count that does not fit what follows.
    Count,
    /// A flag that does not exist.
    Flags,
    /// An entry of a kind that does not exist.
    EntryKind,
    /// An entry that reaches beyond its datagram.
    EntryLength,
    /// A seq at the end of u64.
    Seq,
    /// A body that contradicts itself.
    Body,
}

impl Reject {
    /// Names of all reasons, in the order of [`Reject::index`].
    pub const NAMES: [&'static str; 20] = [
        "short",
        "magic",
        "version",
        "key",
        "kind",
        "length",
        "checksum",
        "cluster",
        "history",
        "count",
        "flags",
        "entry_kind",
        "entry_length",
        "seq",
        "body",
        "generation",
        "unkeyed",
        "rights",
        "tag",
        "signature",
    ];

    /// The index of this reason's counter.
    pub fn index(self) -> usize {
        match self {
            Self::Short => 0,
            Self::Magic => 1,
            Self::Version { .. } => 2,
            Self::Key => 3,
            Self::Kind => 4,
            Self::Length => 5,
            Self::Checksum => 6,
            Self::Cluster { .. } => 7,
            Self::History { .. } => 8,
            Self::Count => 9,
            Self::Flags => 10,
            Self::EntryKind => 11,
            Self::EntryLength => 12,
            Self::Seq => 13,
            Self::Body => 14,
            Self::Generation => 15,
            Self::Unkeyed => 16,
            Self::Rights => 17,
            Self::Tag => 18,
            Self::Signature => 19,
        }
    }
}

impl std::fmt::Display for Reject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Version { seen } => {
                write!(
                    f,
                    "version {seen}, this release reads {VERSION_MIN} to {VERSION}: run one that reads it"
                )
            }
            Self::Cluster { seen } => write!(f, "cluster {seen:#x}: another cluster uses our group or port"),
            Self::History { seen } => write!(f, "history {seen:#x}: another life of this cluster's stream"),
            Self::Key => f.write_str(
                "key: none with this id in the key file: `lockstep keys show` lists its generations",
            ),
            Self::Generation => f.write_str(
                "generation: its keys are no longer accepted here: give the sender the present key file",
            ),
            Self::Unkeyed => f.write_str(
                "unkeyed: the sender has no keys, and security.mode is \"keys\" here: give it a key file",
            ),
            Self::Rights => f.write_str("rights: the sender's key does not allow it"),
            Self::Tag => f.write_str("tag: not sealed with the key that it names: compare both key files"),
            other => f.write_str(Self::NAMES[other.index()]),
        }
    }
}

/// Largest frame for this MTU: without the headers of IPv4 and UDP and a repair's trailer, rounded down to a
/// multiple of 8. An MTU of 1500 gives 1424: fifteen messages of 64 bytes.
pub const fn frame_len_max(mtu: usize) -> usize {
    (mtu - 28 - REPAIR_TRAILER_LEN) & !7
}
