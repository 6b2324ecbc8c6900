//! # made: a log that is made of entries from elsewhere
//!
//! Entries of an exported log become a log of another history, perhaps of another cluster: a genesis with
//! one member, the start of its first epoch, and the entries in their order, in frames that are sealed anew.
//! Their seqs and chains are new, so that no reader takes it for the log that was exported.

use bytemuck::Zeroable;
use lockstep_core::proto::log::LogEnd;
use lockstep_wire::{
    EPOCH_START_LEN_MAX, EntryHeader, EntryKind, Epoch, EpochBase, EpochStartBody, FrameView, Header, Keys,
    Kind, MemberBody, Nanos, OpenFrame, write_epoch_start,
};

/// Longest time between a frame's timestamp and an entry of it.
const FRAME_NS_MAX: Nanos = u32::MAX as Nanos;

/// A log that is being made.
#[derive(Debug)]
pub struct MadeLog {
    keys: Keys,
    history: u64,
    member: MemberBody,
    end: LogEnd,
    memory: Vec<u8>,
    open: OpenFrame,
    /// The timestamp of the open frame.
    time: Nanos,
}

impl MadeLog {
    /// A log of `history` with one member, and its first two frames. Later ones have at most `frame_len_max`
    /// bytes.
    pub fn begin(
        keys: Keys,
        history: u64,
        member: MemberBody,
        frame_len_max: usize,
        time: Nanos,
    ) -> (Self, [Vec<u8>; 2]) {
        let memory = vec![0; frame_len_max];
        let end = LogEnd::BLANK;
        let mut log = Self { keys, history, member, end, memory, open: OpenFrame::default(), time };
        let of_kind = |kind: EntryKind| EntryHeader { kind: kind as u8, ..EntryHeader::zeroed() };
        let genesis = bytemuck::bytes_of(&member);
        log.open.push(&mut log.memory, of_kind(EntryKind::Genesis), genesis);
        let first = Epoch::new(0, member.identity());
        let genesis = log.close(first);
        let epoch = Epoch::new(1, member.identity());
        let body = EpochStartBody {
            epoch: epoch.0,
            base: log.end.next,
            chain_at_base: log.end.chain,
            window_entries: 1,
            window_bytes: 1,
            ..EpochStartBody::zeroed()
        };
        let rows = [EpochBase { epoch: first.0, base: 1 }, EpochBase { epoch: epoch.0, base: log.end.next }];
        let mut payload = [0; EPOCH_START_LEN_MAX];
        let length = write_epoch_start(&mut payload, body, &[member], &rows, &[]);
        log.open.push(&mut log.memory, of_kind(EntryKind::EpochStart), &payload[..length]);
        let start = log.close(epoch);
        (log, [genesis, start])
    }

    /// The next entry, of this time. Returns the frame that it has filled, if it has.
    ///
    /// # Errors
    /// Its payload does not fit a frame; the longest one that does.
    pub fn push(
        &mut self,
        entry: EntryHeader,
        time: Nanos,
        payload: &[u8],
    ) -> Result<Option<Vec<u8>>, usize> {
        if !OpenFrame::default().fits(payload.len(), self.memory.len()) {
            return Err(self.memory.len() - OpenFrame::default().len() - size_of::<EntryHeader>());
        }
        let time = time.max(self.time);
        let is_far = time - self.time > FRAME_NS_MAX || self.open.count() == u16::MAX;
        let fits = self.open.fits(payload.len(), self.memory.len()) && !is_far;
        let full = (!self.open.is_empty() && !fits).then(|| self.close(self.end.epoch));
        if self.open.is_empty() {
            self.time = time;
        }
        let entry = EntryHeader { time_or_incarnation: (time - self.time) as u32, ..entry };
        self.open.push(&mut self.memory, entry, payload);
        Ok(full)
    }

    /// The last frame, if there is one.
    pub fn finish(mut self) -> Option<Vec<u8>> {
        (!self.open.is_empty()).then(|| self.close(self.end.epoch))
    }

    /// The frame with the entries that were pushed, sealed.
    fn close(&mut self, epoch: Epoch) -> Vec<u8> {
        let identity = self.member.identity();
        let header = Header {
            cluster: self.keys.cluster(),
            history: self.history,
            epoch: epoch.0,
            sender: identity.replica,
            incarnation: identity.incarnation,
            first_seq: self.end.next,
            commit_next: self.end.next,
            timestamp: self.time,
            chain: self.end.chain,
            ..Header::new(Kind::Frame)
        };
        let open = std::mem::take(&mut self.open);
        let length = open.len();
        open.close(&mut self.memory, &self.keys, header, length);
        let bytes = self.memory[..length].to_vec();
        let frame = FrameView::from_prefix(&bytes).expect("it was sealed here");
        self.end = self.end.follow(&frame).expect("it was made to follow");
        bytes
    }
}
