//! # sequence: the one place where a seq is given out
//!
//! A [`Sequencer`] exists only by a [`Leadership`], and a leadership only where [`super::start`] granted
//! an epoch that this process has never stamped in. It writes entries into the frame that is open at the
//! journal's head, and closes that frame when the batch is drained or the datagram is full.

use crate::proto::log::LogEnd;
use crate::wire::{
    Destination, EntryHeader, EntryKind, Epoch, Header, Kind, Nanos, OpenFrame, PublisherId, PublisherSeq,
    Seq,
};

/// The right to stamp in one epoch: a value that one must hold. It is cloned only together with its
/// whole world, by whoever explores what a cluster may do next.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Leadership(Epoch);

impl Leadership {
    /// Only `start` (and takeover) grant it, after the promise is stored.
    pub(super) fn granted(epoch: Epoch) -> Self {
        Self(epoch)
    }

    /// The epoch.
    pub fn epoch(&self) -> Epoch {
        self.0
    }
}

/// What an entry is to say beside its payload.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Stamp {
    /// Its kind.
    pub kind: EntryKind,
    /// Whose it is.
    pub publisher: PublisherId,
    /// The publisher's number of it.
    pub publisher_seq: PublisherSeq,
    /// Whom it is for.
    pub destination: Destination,
}

/// Gives out seqs, one after the other.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Sequencer {
    leadership: Leadership,
    cluster: u64,
    history: u64,
    /// Where the log ends without the open frame.
    end: LogEnd,
    open: OpenFrame,
    /// Time of the open frame.
    timestamp: Nanos,
    frame_len_max: usize,
}

impl Sequencer {
    /// Stamps on behind `end`.
    pub fn new(
        leadership: Leadership,
        cluster: u64,
        history: u64,
        end: LogEnd,
        frame_len_max: usize,
    ) -> Self {
        Self { leadership, cluster, history, end, open: OpenFrame::default(), timestamp: 0, frame_len_max }
    }

    /// The epoch that it stamps in.
    pub fn epoch(&self) -> Epoch {
        self.leadership.epoch()
    }

    /// The next seq that it will give out.
    #[inline]
    pub fn stamp_next(&self) -> Seq {
        self.end.next + u64::from(self.open.count())
    }

    /// Whether a payload of this length fits the open frame.
    #[inline]
    pub fn fits(&self, payload_len: usize) -> bool {
        self.open.fits(payload_len, self.frame_len_max)
    }

    /// Whether the open frame has no entry.
    #[inline]
    pub fn is_drained(&self) -> bool {
        self.open.is_empty()
    }

    /// S1 (one frame per seq): writes the next entry into the open frame in `memory` and returns its seq.
    /// `wall` is the time; a frame's time is that of its first entry and never falls along the stream.
    /// The caller has asked [`Sequencer::fits`].
    #[inline]
    pub fn stamp(&mut self, memory: &mut [u8], wall: Nanos, stamp: Stamp, payload: &[u8]) -> Seq {
        if self.open.is_empty() {
            self.timestamp = wall.max(self.end.timestamp);
        }
        let seq = self.stamp_next();
        let header = EntryHeader {
            kind: stamp.kind as u8,
            flags: 0,
            length: 0,
            publisher: stamp.publisher,
            publisher_seq: stamp.publisher_seq,
            destination: stamp.destination,
            time_or_incarnation: u32::try_from(wall.saturating_sub(self.timestamp)).unwrap_or(u32::MAX),
        };
        let written = self.open.push(memory, header, payload);
        assert!(
            written,
            "entry {seq} does not fit its frame: {} bytes into {}",
            payload.len(),
            self.frame_len_max
        );
        seq
    }

    /// Closes the open frame, which has at least one entry: seals it, padded to `stride` bytes where that
    /// is given. The journal keeps it before anybody sends it; then [`Sequencer::on_kept`].
    #[inline]
    pub fn close(&mut self, memory: &mut [u8], commit_next: Seq, stride: Option<usize>) -> Header {
        let open = std::mem::take(&mut self.open);
        let identity = self.leadership.epoch().leader();
        let header = Header {
            cluster: self.cluster,
            history: self.history,
            epoch: self.leadership.epoch().0,
            sender: identity.replica,
            incarnation: identity.incarnation,
            first_seq: self.end.next,
            commit_next,
            timestamp: self.timestamp,
            chain: self.end.chain,
            ..Header::new(Kind::Frame)
        };
        let length = stride.map_or(open.len(), |stride| stride.max(open.len()));
        open.close(memory, header, length)
    }

    /// The journal kept the frame that was closed: the log ends there now.
    #[inline]
    pub fn on_kept(&mut self, end: LogEnd) {
        self.end = end;
    }

    /// Bytes of the open frame so far.
    pub fn open_len(&self) -> usize {
        self.open.len()
    }
}
