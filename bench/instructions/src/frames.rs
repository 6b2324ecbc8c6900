//! Sealed datagrams: submissions and single frames of messages that are all alike, and frames that follow
//! each other as a leader makes them, which journals of measurements are filled with.

use crate::{MESSAGE_LEN, MTU};
use lockstep_core::proto::log::LogEnd;
use lockstep_wire::{
    EntryHeader, EntryKind, Header, Keyring, Kind, OpenFrame, PublisherId, PublisherSeq, chain_after,
    frame_len_max,
};

/// The stream that they are of.
pub const CLUSTER: u64 = 0xbe;
/// See [`CLUSTER`].
pub const HISTORY: u64 = 7;

/// A message.
pub const PAYLOAD: [u8; MESSAGE_LEN] = [0x5a; MESSAGE_LEN];

/// The header of message `number` of a publisher.
pub fn entry(publisher: PublisherId, number: PublisherSeq) -> EntryHeader {
    EntryHeader {
        kind: EntryKind::Message as u8,
        flags: 0,
        length: 0,
        publisher,
        publisher_seq: number,
        destination: 0,
        time_or_incarnation: 1,
    }
}

/// Makes `bytes` a datagram, sealed with `keys`, of `messages` messages, the first of which has the number
/// `first`.
///
/// # Errors
/// So many do not fit.
pub fn fill(
    bytes: &mut Vec<u8>,
    keys: &Keyring,
    header: Header,
    (publisher, first): (PublisherId, PublisherSeq),
    messages: usize,
) -> Result<Header, String> {
    bytes.resize(frame_len_max(MTU), 0);
    let mut open = OpenFrame::default();
    for number in (first..).take(messages) {
        if !open.push(bytes, entry(publisher, number), &PAYLOAD) {
            return Err(format!("{messages} messages of {MESSAGE_LEN} bytes fit no datagram"));
        }
    }
    let header = open.close(bytes, keys, header, open.len());
    bytes.truncate(open.len());
    Ok(header)
}

/// A sealed datagram of `messages` messages, and its header.
///
/// # Errors
/// As [`fill`].
pub fn sealed(kind: Kind, messages: usize) -> Result<(Header, Vec<u8>), String> {
    let mut bytes = Vec::new();
    let first_seq = if kind == Kind::Frame { 1 } else { 0 };
    let header = Header { cluster: CLUSTER, history: HISTORY, first_seq, number: 1, ..Header::new(kind) };
    Ok((fill(&mut bytes, &Keyring::none(CLUSTER), header, (1, 1), messages)?, bytes))
}

/// Makes frames behind the end of a log. Messages look like orders: mostly alike, with numbers that change.
pub struct Frames {
    end: LogEnd,
    /// As many as fit, if it is not said.
    per_frame: Option<usize>,
    payload: Vec<u8>,
}

/// A frame and its header.
pub struct Frame {
    /// As sealed.
    pub header: Header,
    /// All of it.
    pub bytes: Vec<u8>,
}

impl Frames {
    /// Full frames of messages of `payload_len` bytes behind `end`.
    pub fn full(end: LogEnd, payload_len: usize) -> Self {
        let payload = b"BUY LIMIT DAY   ".iter().copied().cycle().take(payload_len).collect();
        Self { end, per_frame: None, payload }
    }

    /// Frames of so many messages.
    pub fn of(end: LogEnd, payload_len: usize, per_frame: usize) -> Self {
        Self { per_frame: Some(per_frame), ..Self::full(end, payload_len) }
    }

    /// The next one.
    ///
    /// # Errors
    /// So many messages, or one, fit no frame.
    pub fn next_frame(&mut self) -> Result<Frame, String> {
        let len_max = frame_len_max(MTU);
        let mut bytes = vec![0; len_max];
        let mut open = OpenFrame::default();
        let payload_len = self.payload.len();
        while self
            .per_frame
            .map_or(open.is_empty() || open.fits(payload_len, len_max), |all| usize::from(open.count()) < all)
        {
            let number = self.end.next + u64::from(open.count());
            let changing = [number, number.wrapping_mul(0x9e37_79b9_7f4a_7c15)].map(u64::to_le_bytes);
            for (to, from) in self.payload.iter_mut().zip(changing.as_flattened()) {
                *to = *from;
            }
            let entry = EntryHeader { time_or_incarnation: 0, ..entry(1, number) };
            if !open.push(&mut bytes, entry, &self.payload) {
                let so_many = open.count() + 1;
                return Err(format!("{so_many} messages of {payload_len} bytes fit no frame of {len_max}"));
            }
        }
        let header = Header {
            cluster: CLUSTER,
            history: HISTORY,
            first_seq: self.end.next,
            timestamp: self.end.timestamp + 1,
            chain: self.end.chain,
            ..Header::new(Kind::Frame)
        };
        let len = open.len();
        let header = open.close(&mut bytes, &Keyring::none(CLUSTER), header, len);
        bytes.truncate(len);
        let (next, chain) = (header.next_seq(), chain_after(&header));
        self.end = LogEnd { next, chain, timestamp: header.timestamp, ..self.end };
        Ok(Frame { header, bytes })
    }
}
