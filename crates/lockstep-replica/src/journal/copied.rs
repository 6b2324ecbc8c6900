//! # copied: segments that are written anew from the frames of a log
//!
//! A copy of a log has segments of its own: frames of the log alone, in their order, without superseded ones
//! and without the marks of a journal that was written by groups. So it may begin in one node's journal and
//! go on in another's. Index and checkpoint of a full segment are those that a journal has.

use crate::journal::checkpoint::{Checkpoint, Contradiction};
use crate::journal::damage::Damage;
use crate::journal::index::Index;
use crate::journal::ports::{FileName, Store, StoreError};
use crate::journal::record::Record;
use crate::journal::segment::{RECORDS_AT, SegmentHeader};
use crate::journal::walk::{Walk, WalkItem, read_header};
use lockstep_core::proto::log::LogEnd;
use lockstep_wire::{FrameView, Identity, Seq};

/// The owner of a copy's segments: the journal of which it was made first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CopyOwner {
    /// The cluster.
    pub cluster: u64,
    /// The owner of that journal.
    pub identity: Identity,
}

/// A segment of a copy that grows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CopiedSegment {
    owner: CopyOwner,
    number: u64,
    first_seq: Seq,
    index: Index,
    checkpoint: Checkpoint,
}

impl CopiedSegment {
    /// Segment `number`, behind the log that `checkpoint` describes. `history` is that of the next frame.
    /// Returns the block with which its file begins, too.
    pub fn begin(owner: CopyOwner, number: u64, checkpoint: Checkpoint, history: u64) -> (Self, Vec<u8>) {
        let (cluster, identity) = (owner.cluster, owner.identity);
        let mut header = SegmentHeader::of_no_ring(number, cluster, identity, &checkpoint.end);
        header.history = history;
        let first_seq = checkpoint.end.next;
        let index = Index::new(number, first_seq);
        (Self { owner, number, first_seq, index, checkpoint }, header.to_block())
    }

    /// Segment `number` of the copy in `store`, which ends at `end`, to go on with.
    ///
    /// # Errors
    /// Those of the store; or the segment is not whole.
    pub fn resume<S: Store>(
        store: &S,
        owner: CopyOwner,
        number: u64,
        end: LogEnd,
    ) -> Result<Result<Self, Damage>, StoreError> {
        let header = match read_header(store, number)? {
            Ok(header) => header,
            Err(damage) => return Ok(Err(damage)),
        };
        let numbers = crate::journal::read::numbers(store)?;
        let older: Vec<u64> = numbers.into_iter().filter(|older| *older < number).collect();
        let mut checkpoint = match Checkpoint::compute(store, &older, header.before())? {
            Ok(checkpoint) => checkpoint,
            Err(damage) => return Ok(Err(damage)),
        };
        let mut index = Index::new(number, header.first_seq);
        let mut walk = Walk::new(store, number, RECORDS_AT);
        while checkpoint.end != end {
            let (offset, what) = match walk.step()? {
                WalkItem::Record(offset, record @ Record::Frame(frame), bytes) => {
                    match checkpoint.apply(&frame) {
                        Ok(()) => {
                            index.on_record(offset, &record, bytes.len());
                            continue;
                        }
                        Err(wrong) => (offset, wrong.to_string()),
                    }
                }
                WalkItem::Record(offset, ..) => (offset, "a record that is no frame".to_owned()),
                WalkItem::End(offset) => (offset, "it ends before the copy does".to_owned()),
                WalkItem::Bad(offset, reject) => (offset, reject.to_string()),
            };
            return Ok(Err(Damage::new(FileName::Segment(number), offset, checkpoint.end.next, what)));
        }
        Ok(Ok(Self { owner, number, first_seq: header.first_seq, index, checkpoint }))
    }

    /// The next frame of the log, whose bytes go to the end of the file.
    ///
    /// # Errors
    /// It does not follow.
    pub fn append(&mut self, frame: &FrameView<'_>) -> Result<(), Contradiction> {
        self.checkpoint.apply(frame)?;
        self.index.on_record(self.index.end_offset, &Record::Frame(*frame), frame.bytes.len());
        Ok(())
    }

    /// Its number.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The log's next seq before it.
    pub fn first_seq(&self) -> Seq {
        self.first_seq
    }

    /// Bytes of its file.
    pub fn bytes(&self) -> u64 {
        self.index.end_offset
    }

    /// The tables at its end.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// The bytes of its index and of its checkpoint, once it is full.
    pub fn derived(&self) -> [(FileName, Vec<u8>); 2] {
        [
            (FileName::Index(self.number), self.index.to_bytes()),
            (FileName::Checkpoint(self.number), self.checkpoint.to_bytes()),
        ]
    }

    /// The next segment, for a frame of `history`.
    pub fn into_next(self, history: u64) -> (Self, Vec<u8>) {
        Self::begin(self.owner, self.number + 1, self.checkpoint, history)
    }
}
