//! Finds frames in the ring by their seq.

use super::{RingSpan, StageError, Tail};
use crate::journal::BLOCK_LEN;
use crate::journal::damage::Damage;
use crate::journal::ports::TailMemory;
use lockstep_core::proto::log::LogEnd;
use lockstep_core::ring::place_in;
use lockstep_wire::{FrameView, HEADER_LEN, Header, Kind, Seq, chain_after};

impl<M: TailMemory> Tail<M> {
    /// The oldest frame of the log that is surely in the ring; `end().next` if there is none.
    pub fn oldest_seq(&self) -> Seq {
        let floor = self.geometry.floor(self.head);
        for run in self.log.runs.list() {
            if run.at >= floor {
                return run.first_seq;
            }
            let end = run.end.unwrap_or(self.head);
            let blocks = floor / BLOCK_LEN as u64..=end / BLOCK_LEN as u64;
            let oldest = blocks.filter_map(|block| self.slot(block, floor, end)).next();
            if let Some((seq, _)) = oldest.filter(|(seq, _)| *seq < run.next_seq.min(self.log.end.next)) {
                return seq;
            }
        }
        self.log.end.next
    }

    /// The frame of the log that contains `seq`, if the ring still has it.
    pub fn find(&self, seq: Seq) -> Option<RingSpan> {
        if seq >= self.log.end.next {
            return None;
        }
        let run = &self.log.runs.list()[self.log.runs.find(seq)?];
        let floor = self.geometry.floor(self.head);
        let (start, end) = (run.at.max(floor), run.end.unwrap_or(self.head));
        let mut best = (run.at >= floor).then_some(run.at);
        let (mut low, mut high) = (start / BLOCK_LEN as u64, end.div_ceil(BLOCK_LEN as u64));
        while low < high {
            let middle = low.midpoint(high);
            // Blocks in which no record starts have no slot; they are few in a row.
            let slots = (low..=middle).rev();
            match slots.filter_map(|block| Some((block, self.slot(block, start, end)?))).next() {
                Some((block, (first, _))) if first > seq => high = block,
                Some((_, (_, pos))) => {
                    best = Some(pos);
                    low = middle + 1;
                }
                None => low = middle + 1,
            }
        }
        self.walk(best?, end, seq)
    }

    /// The next frame of the log behind that of `span`.
    pub fn after(&self, span: RingSpan) -> Option<RingSpan> {
        let seq = Header::peek(self.bytes(span))?.next_seq();
        if seq >= self.log.end.next {
            return None;
        }
        let run = &self.log.runs.list()[self.log.runs.find(seq)?];
        let end = run.end.unwrap_or(self.head);
        let behind = self.geometry.place(span.pos + u64::from(span.len));
        if run.at <= span.pos { self.walk(behind, end, seq) } else { self.walk(run.at, end, seq) }
    }

    /// Whether `next` lies right behind `before` in memory, so that one slice holds both.
    pub fn is_adjacent(&self, before: RingSpan, next: RingSpan) -> bool {
        let end = before.pos + u64::from(before.len);
        next.pos == end && place_in(self.geometry.ring_len, end) != 0
    }

    /// Exactly the record's bytes.
    pub fn bytes(&self, span: RingSpan) -> &[u8] {
        self.memory.read(span.pos, span.len as usize)
    }

    /// The frame, checked again: memory may be damaged, and an old span may have been overwritten.
    pub fn frame(&self, span: RingSpan) -> Result<FrameView<'_>, Damage> {
        FrameView::from_prefix(self.bytes(span)).map_err(|reject| {
            let seq = Header::peek(self.bytes(span)).map_or(0, |header| header.first_seq);
            Damage::new("tail", span.pos, seq, reject)
        })
    }

    /// The slot of an (absolute) block, if a record between `start` and `end` starts there.
    fn slot(&self, block: u64, start: u64, end: u64) -> Option<(Seq, u64)> {
        let place = place_in(self.geometry.ring_len, block * BLOCK_LEN as u64) / BLOCK_LEN as u64;
        let (seq, pos) = self.memory.slot(place as usize);
        (pos / BLOCK_LEN as u64 == block && (start..end).contains(&pos)).then_some((seq, pos))
    }

    /// The frame with `seq` at or behind the record at `at`, before `end`.
    fn walk(&self, mut at: u64, end: u64, seq: Seq) -> Option<RingSpan> {
        while at < end {
            let header = Header::peek(self.memory.read(at, HEADER_LEN))?;
            let len = u64::from(header.length);
            if len < HEADER_LEN as u64 || len > self.geometry.record_len_max {
                return None;
            }
            if header.kind == Kind::Frame as u8 && (header.first_seq..header.next_seq()).contains(&seq) {
                return Some(RingSpan { pos: at, len: header.length });
            }
            at = self.geometry.place(at + len);
        }
        None
    }

    /// The log's end if it ended before `from`.
    pub(super) fn end_at(&self, from: Seq) -> Result<LogEnd, StageError> {
        let end = self.log.end;
        if from > end.next {
            return Err(StageError::Ahead { next: end.next });
        }
        if from == end.next {
            return Ok(end);
        }
        if from <= 1 {
            return Ok(LogEnd::BLANK);
        }
        if from == self.base.next {
            return Ok(self.base); // the journal has no frame before it
        }
        if let Some(staging) = self.log.staging.filter(|staging| staging.base.next == from) {
            return Ok(staging.base); // the frame before it may have left the ring since
        }
        let too_old = StageError::TooOld { oldest: self.oldest_seq() };
        let before = Header::peek(self.bytes(self.find(from - 1).ok_or(too_old)?)).ok_or(too_old)?;
        if before.next_seq() != from {
            return Err(StageError::InsideFrame);
        }
        Ok(LogEnd {
            next: from,
            epoch: before.epoch(),
            chain: chain_after(&before),
            timestamp: before.timestamp,
        })
    }
}
