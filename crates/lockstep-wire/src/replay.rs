//! Replay over TCP: one request, one answer, then frames as they were sent, and a mark where no frame follows
//! at present, or none any more. Each is a [`Header`] and a fixed body, like the datagrams.
//!
//! The chain in a request is the one before the frame that holds `from`, wherever in the frame the reader
//! stopped: frames are atoms, so every copy of the committed log gives the same answer.

use super::{Chain, DATAGRAM_LEN_MAX, HEADER_LEN, Header, Keyring, Kind, Reject, SMALL_LEN_MAX, Seq};
use bytemuck::{Pod, Zeroable};
use std::fmt;
use std::str::FromStr;

/// Flag of a request: its header's `chain` is the one before the frame that holds `from`, and must be
/// compared.
pub const REPLAY_CHAIN: u16 = 1;

/// Flag of a request of a node without a log: no journal has the stream from its first entry on, so the node
/// takes the checkpoint with which the journal begins, as [`ReplayCheckpointBody`] parts, and the frames
/// behind it. `from` is the greatest seq at which the checkpoint may end.
pub const REPLAY_CHECKPOINT: u16 = 2;

/// `to` of a request that stays open: frames follow as they are committed.
pub const REPLAY_STAY: Seq = Seq::MAX;

/// Follows the header of a request. The header's `history` is the requester's; 0 accepts any.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct ReplayRequestBody {
    /// The first seq; 0 means the oldest one that the server has.
    pub from: Seq,
    /// Exclusive end; [`REPLAY_STAY`] has none.
    pub to: Seq,
}

/// Follows the header of an answer or a mark. The header has the server's history, the epoch of its log
/// (`epoch`), the bound up to which it can serve now (`first_seq`), and its commit.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct ReplayBody {
    /// The first seq of the frame that would follow next; with [`ReplayEndReason::BeyondCommit`] the seq at
    /// which the server's history begins.
    pub next: Seq,
    /// The oldest seq that the server stores; 0 where it holds nothing.
    pub oldest_seq: Seq,
    /// 0: frames follow; in a mark, there is no frame at present. Otherwise a [`ReplayEndReason`], and
    /// nothing follows.
    pub end: u32,
    /// Zero.
    pub reserved: u32,
}

/// Follows the header of a part of a checkpoint; the part's bytes follow. The header's `first_seq`, `epoch`,
/// `chain`, `timestamp` and `history` are those of the log's end in the checkpoint.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct ReplayCheckpointBody {
    /// Bytes of the checkpoint before this part.
    pub offset: u64,
    /// Bytes of the whole checkpoint.
    pub len: u64,
}

const _: () = assert!(size_of::<ReplayRequestBody>() == 16 && size_of::<ReplayBody>() == 24);
const _: () = assert!(size_of::<ReplayCheckpointBody>() == 16);

/// The most bytes of a checkpoint that is sent: a million publishers with the longest names need half of it.
pub const CHECKPOINT_LEN_MAX: u64 = 256 << 20;
/// Most bytes of one of its parts.
pub const CHECKPOINT_PART_LEN_MAX: usize = 8 << 10;
// A reader takes nothing longer than a datagram.
const _: () =
    assert!(HEADER_LEN + size_of::<ReplayCheckpointBody>() + CHECKPOINT_PART_LEN_MAX <= DATAGRAM_LEN_MAX);

/// Why a replay ends, or does not begin.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u32)]
#[non_exhaustive]
pub enum ReplayEndReason {
    /// All of the range was sent.
    Done = 1,
    /// The range begins above the server's commit.
    Ahead = 2,
    /// The range begins below the oldest seq that the server stores.
    TooOld = 3,
    /// The server's stream is another history.
    OtherHistory = 4,
    /// The server's log has another chain at that seq: the reader has read another log.
    ChainMismatch = 5,
    /// The server serves its most readers already.
    TooMany = 6,
    /// The server leads: it stamps, and others serve replays.
    IsLeader = 7,
    /// The server's journal is damaged there.
    Damaged = 8,
    /// The server stops.
    Stopping = 9,
    /// The bytes are no request.
    Malformed = 10,
    /// The reader has read an ancestor history beyond the seq at which the server's history was founded on
    /// it, which is `next` in the answer.
    BeyondCommit = 11,
}

impl ReplayEndReason {
    /// All reasons, by number from 1.
    const ALL: [Self; 11] = [
        Self::Done,
        Self::Ahead,
        Self::TooOld,
        Self::OtherHistory,
        Self::ChainMismatch,
        Self::TooMany,
        Self::IsLeader,
        Self::Damaged,
        Self::Stopping,
        Self::Malformed,
        Self::BeyondCommit,
    ];

    /// The reason with this number, if there is one.
    pub fn from_u32(end: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|known| *known as u32 == end)
    }

    /// The reason in words.
    pub fn name(self) -> &'static str {
        match self {
            Self::Done => "all was given",
            Self::Ahead => "it is not committed there yet",
            Self::TooOld => "the oldest that is kept is newer",
            Self::OtherHistory => "the stream there is another history",
            Self::ChainMismatch => "the chain at that seq differs: another log was read",
            Self::TooMany => "too many readers are connected",
            Self::IsLeader => "it leads, and leaves replays to the others",
            Self::Damaged => "its journal is damaged there",
            Self::Stopping => "it stops",
            Self::Malformed => "it did not understand the request",
            Self::BeyondCommit => "the history there was founded on an earlier seq of the one that was read",
        }
    }
}

/// A place in a stream at which a reader can resume: the next seq, and the proof that the log before it is
/// the one that was read. Another history or another log refuses it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Cursor {
    /// The history of the stream.
    pub history: u64,
    /// The next seq to be read.
    pub seq: Seq,
    /// The chain before the frame that holds `seq`.
    pub chain: Chain,
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}:{}:{:016x}", self.history, self.seq, self.chain)
    }
}

impl FromStr for Cursor {
    type Err = String;

    /// Parses `HISTORY:SEQ:CHAIN`, as a cursor prints.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!("'{text}' is no cursor: write HISTORY:SEQ:CHAIN, as `subscribe` printed it at its end")
        };
        let mut parts = text.split(':');
        let (Some(history), Some(seq), Some(chain), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(wrong());
        };
        let hex = |text| u64::from_str_radix(text, 16).map_err(|_| wrong());
        let cursor =
            Self { history: hex(history)?, seq: seq.parse().map_err(|_| wrong())?, chain: hex(chain)? };
        if cursor.seq == 0 || cursor.history == 0 { Err(wrong()) } else { Ok(cursor) }
    }
}

fn write(out: &mut [u8], keys: &Keyring, header: Header, body: &[u8]) -> usize {
    let end = HEADER_LEN + body.len();
    out[HEADER_LEN..end].copy_from_slice(body);
    keys.seal(&mut out[..end], header);
    end
}

/// Writes a request into `out` (at least [`SMALL_LEN_MAX`]); returns its bytes.
pub fn write_replay_request(
    out: &mut [u8],
    keys: &Keyring,
    header: Header,
    body: ReplayRequestBody,
) -> usize {
    write(out, keys, Header { kind: Kind::ReplayRequest as u8, ..header }, bytemuck::bytes_of(&body))
}

/// Writes an answer or a mark, according to `header.kind`; as [`write_replay_request`].
pub fn write_replay(out: &mut [u8], keys: &Keyring, header: Header, body: ReplayBody) -> usize {
    write(out, keys, header, bytemuck::bytes_of(&body))
}

/// Writes a part of a checkpoint into `out`; returns its bytes. Checkpoints and their parts have a multiple
/// of 8 bytes; the header's `count` is the length divided by 8.
pub fn write_replay_checkpoint(
    out: &mut [u8],
    keys: &Keyring,
    header: Header,
    body: ReplayCheckpointBody,
    part: &[u8],
) -> usize {
    let start = HEADER_LEN + size_of::<ReplayCheckpointBody>();
    let end = start + part.len();
    out[HEADER_LEN..start].copy_from_slice(bytemuck::bytes_of(&body));
    out[start..end].copy_from_slice(part);
    let count = (part.len() / 8) as u16;
    keys.seal(&mut out[..end], Header { kind: Kind::ReplayCheckpoint as u8, count, ..header });
    end
}

/// Bytes of a request.
pub const REPLAY_REQUEST_LEN: usize = HEADER_LEN + size_of::<ReplayRequestBody>();
/// Bytes of an answer or a mark.
pub const REPLAY_LEN: usize = HEADER_LEN + size_of::<ReplayBody>();

const _: () = assert!(REPLAY_LEN <= SMALL_LEN_MAX && REPLAY_REQUEST_LEN <= SMALL_LEN_MAX);

/// Checks a request's body: an empty or reversed range is refused.
pub(super) fn check_request(body: &ReplayRequestBody) -> Result<(), Reject> {
    if body.from < body.to { Ok(()) } else { Err(Reject::Body) }
}

/// Checks a part of a checkpoint, and returns its bytes.
pub(super) fn check_checkpoint<'a>(
    body: &ReplayCheckpointBody,
    datagram: &'a [u8],
) -> Result<&'a [u8], Reject> {
    let part = datagram.get(HEADER_LEN + size_of::<ReplayCheckpointBody>()..).ok_or(Reject::Length)?;
    if part.is_empty() || part.len() > CHECKPOINT_PART_LEN_MAX {
        return Err(Reject::Count);
    }
    let end = body.offset.checked_add(part.len() as u64).ok_or(Reject::Body)?;
    if end > body.len || body.len > CHECKPOINT_LEN_MAX { Err(Reject::Body) } else { Ok(part) }
}

/// Checks the body of an answer or a mark.
pub(super) fn check_replay(body: &ReplayBody) -> Result<(), Reject> {
    if body.end == 0 || ReplayEndReason::from_u32(body.end).is_some() { Ok(()) } else { Err(Reject::Body) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_as_it_prints() {
        let cursor = Cursor { history: 0xb1, seq: 42, chain: 0x1234_5678_9abc_def0 };
        assert_eq!(cursor.to_string(), "00000000000000b1:42:123456789abcdef0");
        assert_eq!(cursor.to_string().parse(), Ok(cursor));
        for wrong in ["", "1", "b1:0:1", "0:1:1", "b1:1:1:1", "b1:x:1", "b1:1:g"] {
            assert!(
                wrong.parse::<Cursor>().is_err_and(|error| error.contains("HISTORY:SEQ:CHAIN")),
                "{wrong}"
            );
        }
    }

    #[test]
    fn every_end_has_its_number_and_words() {
        for end in ReplayEndReason::ALL {
            assert_eq!(ReplayEndReason::from_u32(end as u32), Some(end));
            assert!(!end.name().is_empty());
        }
        assert_eq!((ReplayEndReason::from_u32(0), ReplayEndReason::from_u32(12)), (None, None));
    }
}
