//! The codec: datagrams ⇄ [`Downstream`] and [`Request`] (MoldUDP64 1.00).
//!
//! ```text
//!  0           10          18       20
//!  ┌───────────┬───────────┬────────┬────────────────────────┐
//!  │ session   │ sequence  │ count  │ length, bytes │ …      │   all integers big-endian
//!  └───────────┴───────────┴────────┴────────────────────────┘
//! ```
//!
//! Count 0 is a heartbeat and 0xFFFF the end of the session. Both say the number of the next message, count
//! for nothing, and stand alone. Payloads are opaque: that some protocols begin them with a type is theirs.

use crate::session::Session;
use std::fmt;

/// Session, sequence number, count.
pub const HEADER_LEN: usize = 20;
/// The length before each message.
pub const BLOCK_HEADER_LEN: usize = 2;
/// The count of an end of session.
pub const COUNT_END: u16 = 0xFFFF;
/// Most messages that a datagram can say it has.
pub const COUNT_MAX: u16 = COUNT_END - 1;
/// Longest message: its length is a u16. No datagram of IPv4 takes it.
pub const MESSAGE_LEN_MAX: usize = u16::MAX as usize;

/// Why a datagram was refused. Counted by [`MoldError::index`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MoldError {
    /// Fewer bytes than a header.
    Short {
        /// Its bytes.
        len: usize,
    },
    /// No session, or one with bytes that are not printable.
    Session,
    /// Number 0: messages begin at 1.
    SeqZero,
    /// Numbers that reach the end of u64.
    SeqEnd,
    /// A block that reaches beyond the datagram, or is not there at all.
    BlockEnd {
        /// Which of the blocks, from 0.
        block: u16,
    },
    /// Bytes behind the last block, or behind a heartbeat.
    Trailing {
        /// How many.
        len: usize,
    },
    /// An end of session that is followed by bytes.
    EndWithBlocks {
        /// How many.
        len: usize,
    },
    /// A request that is not exactly a header.
    RequestLength {
        /// Its bytes.
        len: usize,
    },
    /// A request for no message.
    RequestEmpty,
}

impl MoldError {
    /// Names of all reasons, in the order of [`MoldError::index`].
    pub const NAMES: [&'static str; 9] = [
        "short",
        "session",
        "seq_zero",
        "seq_end",
        "block_end",
        "trailing",
        "end_with_blocks",
        "request_length",
        "request_empty",
    ];

    /// Where this reason is counted.
    pub fn index(self) -> usize {
        match self {
            Self::Short { .. } => 0,
            Self::Session => 1,
            Self::SeqZero => 2,
            Self::SeqEnd => 3,
            Self::BlockEnd { .. } => 4,
            Self::Trailing { .. } => 5,
            Self::EndWithBlocks { .. } => 6,
            Self::RequestLength { .. } => 7,
            Self::RequestEmpty => 8,
        }
    }
}

impl fmt::Display for MoldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Short { len } => {
                write!(f, "datagram of {len} bytes: a header has 20, check who else uses this port")
            }
            Self::Session => f.write_str("no printable session in the header: check who else uses this port"),
            Self::SeqZero => f.write_str("sequence number 0: messages begin at 1"),
            Self::SeqEnd => f.write_str("sequence numbers beyond u64: begin another session"),
            Self::BlockEnd { block } => {
                write!(
                    f,
                    "message block {block} reaches beyond the datagram: check the sender's count and MTU"
                )
            }
            Self::Trailing { len } => {
                write!(f, "{len} bytes behind the last message block: check the sender's count")
            }
            Self::EndWithBlocks { len } => {
                write!(f, "{len} bytes behind an end of session: it stands alone, check the sender's count")
            }
            Self::RequestLength { len } => write!(f, "request of {len} bytes: it has exactly 20"),
            Self::RequestEmpty => f.write_str("request for 0 messages: ask for at least 1"),
        }
    }
}

impl std::error::Error for MoldError {}

/// What every datagram begins with ("Downstream Packet", "Request Packet").
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    /// Written with its blanks on the right, compared without them.
    pub session: Session,
    /// Of the first message; in a heartbeat and an end of session, of the next one.
    pub seq: u64,
    /// Of messages; 0 and [`COUNT_END`] mean something else.
    pub count: u16,
}

impl Header {
    /// A heartbeat that says the number of the next message.
    pub fn heartbeat(session: Session, next_seq: u64) -> Self {
        Self { session, seq: next_seq, count: 0 }
    }

    /// An end of session. It replaces the heartbeats for a while, and requests are still answered meanwhile.
    pub fn end_of_session(session: Session, next_seq: u64) -> Self {
        Self { session, seq: next_seq, count: COUNT_END }
    }

    /// Its bytes.
    pub fn encode(&self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        bytes[..10].copy_from_slice(&self.session.padded());
        bytes[10..18].copy_from_slice(&self.seq.to_be_bytes());
        bytes[18..].copy_from_slice(&self.count.to_be_bytes());
        bytes
    }

    /// The header and what follows it.
    fn decode(bytes: &[u8]) -> Result<(Self, &[u8]), MoldError> {
        let short = MoldError::Short { len: bytes.len() };
        let (session, rest) = bytes.split_first_chunk::<10>().ok_or(short)?;
        let (seq, rest) = rest.split_first_chunk::<8>().ok_or(short)?;
        let (count, rest) = rest.split_first_chunk::<2>().ok_or(short)?;
        let session = Session::from_wire(session);
        if session.is_blank() || !session.is_plain() {
            return Err(MoldError::Session);
        }
        let (seq, count) = (u64::from_be_bytes(*seq), u16::from_be_bytes(*count));
        if seq == 0 { Err(MoldError::SeqZero) } else { Ok((Self { session, seq, count }, rest)) }
    }
}

/// A datagram from a server.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Downstream<'a> {
    /// Nothing new: says where the session stands.
    Heartbeat {
        /// Which session.
        session: Session,
        /// Number of the next message.
        next_seq: u64,
    },
    /// The session is over.
    EndOfSession {
        /// Which session.
        session: Session,
        /// The number that the next message would have had.
        next_seq: u64,
    },
    /// At least one message.
    Messages(Messages<'a>),
}

impl<'a> Downstream<'a> {
    /// Judges the whole datagram, so that of one that is refused nothing is believed.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, MoldError> {
        let (Header { session, seq, count }, rest) = Header::decode(bytes)?;
        match (count, rest.len()) {
            (0, 0) => Ok(Self::Heartbeat { session, next_seq: seq }),
            (0, len) => Err(MoldError::Trailing { len }),
            (COUNT_END, 0) => Ok(Self::EndOfSession { session, next_seq: seq }),
            (COUNT_END, len) => Err(MoldError::EndWithBlocks { len }),
            _ => {
                seq.checked_add(u64::from(count)).ok_or(MoldError::SeqEnd)?;
                let mut after = rest;
                for block in 0..count {
                    after = split_block(after).ok_or(MoldError::BlockEnd { block })?.1;
                }
                match after.len() {
                    0 => Ok(Self::Messages(Messages { session, seq, count, rest })),
                    len => Err(MoldError::Trailing { len }),
                }
            }
        }
    }

    /// Which session.
    pub fn session(&self) -> Session {
        match self {
            Self::Heartbeat { session, .. } | Self::EndOfSession { session, .. } => *session,
            Self::Messages(messages) => messages.session,
        }
    }

    /// Of its first message, or of the next where it has none.
    pub fn seq(&self) -> u64 {
        match self {
            Self::Heartbeat { next_seq, .. } | Self::EndOfSession { next_seq, .. } => *next_seq,
            Self::Messages(messages) => messages.seq,
        }
    }

    /// The number behind its last message. Heartbeat and end of session advance by nothing.
    pub fn next_seq(&self) -> u64 {
        match self {
            Self::Heartbeat { next_seq, .. } | Self::EndOfSession { next_seq, .. } => *next_seq,
            Self::Messages(messages) => messages.next_seq(),
        }
    }
}

fn split_block(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = bytes.split_first_chunk::<2>()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*len)))
}

/// The messages of a datagram with their numbers, in order. Bounded by the count and by the bytes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Messages<'a> {
    session: Session,
    seq: u64,
    count: u16,
    rest: &'a [u8],
}

impl Messages<'_> {
    /// Which session.
    pub fn session(&self) -> Session {
        self.session
    }

    /// Of the first one that is left.
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// The number behind the last one; decoding has seen that it fits.
    pub fn next_seq(&self) -> u64 {
        self.seq.saturating_add(u64::from(self.count))
    }
}

impl<'a> Iterator for Messages<'a> {
    type Item = (u64, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        self.count = self.count.checked_sub(1)?;
        let (message, rest) = split_block(self.rest)?;
        let seq = self.seq;
        (self.seq, self.rest) = (seq.saturating_add(1), rest);
        Some((seq, message))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (usize::from(self.count), Some(usize::from(self.count)))
    }
}

impl ExactSizeIterator for Messages<'_> {}

/// A request for messages ("Request Packet").
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Request {
    /// Which session.
    pub session: Session,
    /// The first message wanted.
    pub seq: u64,
    /// How many are wanted: 1 to [`COUNT_MAX`]. A server answers with as many as one datagram takes.
    pub count: u16,
}

impl Request {
    /// Exactly 20 bytes. A count of 0xFFFF is that of an end of session; receivers are known that ask for so
    /// many, and it is read as one less.
    pub fn decode(bytes: &[u8]) -> Result<Self, MoldError> {
        if bytes.len() != HEADER_LEN {
            return Err(MoldError::RequestLength { len: bytes.len() });
        }
        let (Header { session, seq, count }, _) = Header::decode(bytes)?;
        if count == 0 {
            return Err(MoldError::RequestEmpty);
        }
        let count = count.min(COUNT_MAX);
        seq.checked_add(u64::from(count)).ok_or(MoldError::SeqEnd)?;
        Ok(Self { session, seq, count })
    }

    /// Its bytes; the count as [`Request::decode`] would read it.
    pub fn encode(&self) -> [u8; HEADER_LEN] {
        let count = self.count.clamp(1, COUNT_MAX);
        Header { session: self.session, seq: self.seq, count }.encode()
    }
}
