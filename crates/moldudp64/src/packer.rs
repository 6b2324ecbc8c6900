//! Messages into datagrams, downstream and in answers.

use super::packet::{BLOCK_HEADER_LEN, COUNT_MAX, HEADER_LEN, Header};
use crate::session::Session;
use std::fmt;

/// Longest datagram where the owner names none: what an Ethernet frame takes behind IPv4 and UDP is 1,472
/// bytes, and less leaves room for a tunnel or a tag on the way.
pub const DATAGRAM_LEN: usize = 1_424;
/// Longest datagram at all: UDP over IPv4.
pub const DATAGRAM_LEN_MAX: usize = 65_507;

/// What became of a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use = "a message that is not taken must be pushed again"]
pub enum Push {
    /// It is in the open datagram.
    Taken,
    /// It belongs into the next one: send [`Packer::flush`], and push it again.
    Full,
}

/// Why something cannot be packed, ever.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PackError {
    /// A message that does not fit an empty datagram.
    MessageLong {
        /// Its bytes.
        len: usize,
        /// What an empty datagram takes.
        max: usize,
    },
    /// Message numbers begin at 1 and end below 2^64.
    Number {
        /// The one.
        seq: u64,
    },
    /// A longest datagram that takes no message, or that UDP does not.
    DatagramLen {
        /// The one.
        len_max: usize,
    },
    /// No session names itself with blanks alone, or with bytes that are not printable.
    Session,
}

impl fmt::Display for PackError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MessageLong { len, max } => {
                write!(
                    f,
                    "message of {len} bytes: a datagram takes {max}, raise its length or split the message"
                )
            }
            Self::Number { seq } => write!(f, "message number {seq}: numbers begin at 1 and end below 2^64"),
            Self::DatagramLen { len_max } => {
                write!(f, "datagrams of {len_max} bytes: choose from 23 to {DATAGRAM_LEN_MAX}")
            }
            Self::Session => f.write_str("a session needs a name: 1 to 10 letters or digits"),
        }
    }
}

impl std::error::Error for PackError {}

/// Fills one datagram after the other in the same memory.
#[derive(Clone, Debug)]
pub struct Packer {
    session: Session,
    len_max: usize,
    datagram: Vec<u8>,
    seq: u64,
    count: u16,
    /// The datagram was lent by `flush`: the next message begins another.
    is_closed: bool,
}

impl Packer {
    /// For datagrams of at most `len_max` bytes ([`DATAGRAM_LEN`]).
    pub fn new(session: Session, len_max: usize) -> Result<Self, PackError> {
        if session.is_blank() || !session.is_plain() {
            return Err(PackError::Session);
        }
        if !(HEADER_LEN + BLOCK_HEADER_LEN + 1..=DATAGRAM_LEN_MAX).contains(&len_max) {
            return Err(PackError::DatagramLen { len_max });
        }
        let datagram = Vec::with_capacity(len_max);
        Ok(Self { session, len_max, datagram, seq: 0, count: 0, is_closed: true })
    }

    /// Longest message that an empty datagram takes.
    pub fn message_len_max(&self) -> usize {
        self.len_max - HEADER_LEN - BLOCK_HEADER_LEN
    }

    /// Messages in the open datagram.
    pub fn count(&self) -> u16 {
        if self.is_closed { 0 } else { self.count }
    }

    /// The message `seq`, which may be empty. Numbers within a datagram are implicit: one that does not
    /// follow the last belongs into the next.
    pub fn push(&mut self, seq: u64, message: &[u8]) -> Result<Push, PackError> {
        let (len, max) = (message.len(), self.message_len_max());
        if len > max {
            return Err(PackError::MessageLong { len, max });
        }
        if seq == 0 || seq == u64::MAX {
            return Err(PackError::Number { seq });
        }
        if self.is_closed {
            (self.seq, self.count, self.is_closed) = (seq, 0, false);
            self.datagram.clear();
            self.datagram.resize(HEADER_LEN, 0);
        }
        let follows = seq.checked_sub(u64::from(self.count)) == Some(self.seq);
        let fits = self.datagram.len() + BLOCK_HEADER_LEN + len <= self.len_max;
        if !follows || !fits || self.count == COUNT_MAX {
            return Ok(Push::Full);
        }
        self.datagram.extend_from_slice(&(len as u16).to_be_bytes());
        self.datagram.extend_from_slice(message);
        self.count += 1;
        Ok(Push::Taken)
    }

    /// Closes the open datagram: to be sent now. `None` if it has no message.
    pub fn flush(&mut self) -> Option<&[u8]> {
        if self.count() == 0 {
            return None;
        }
        self.is_closed = true;
        let header = Header { session: self.session, seq: self.seq, count: self.count };
        self.datagram[..HEADER_LEN].copy_from_slice(&header.encode());
        Some(&self.datagram)
    }

    /// A heartbeat: about one a second where nothing else is sent.
    pub fn heartbeat(&self, next_seq: u64) -> [u8; HEADER_LEN] {
        Header::heartbeat(self.session, next_seq).encode()
    }

    /// An end of session: in place of heartbeats, for as long as requests are still answered.
    pub fn end_of_session(&self, next_seq: u64) -> [u8; HEADER_LEN] {
        Header::end_of_session(self.session, next_seq).encode()
    }
}
