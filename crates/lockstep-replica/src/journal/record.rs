//! Records, the units of the journal: frames, and two kinds of our own that are a header only.
//!
//! | record | `first_seq` | `epoch` | `chain` | `timestamp` | `number` | `commit_next` |
//! |---|---|---|---|---|---|---|
//! | Stage | from | that began it | at from | at from | epoch of the log at from | |
//! | Stage, epoch 0 | next of the log | 0: given up | | | | |
//! | Switch | from | that adopts | at the new end | at the new end | 0 | next of the new log |
//! | Switch, number 1: a lost part | from | at its end | at its end | at its end | 1 | next at its end |
//!
//! A Stage holds the whole log end at `from`, so that a reader needs nothing before it. A later epoch may
//! continue it: the Switch names the epoch that adopted the staged frames. A lost part is as long as what it
//! stands for (`mend`).

use crate::journal::layout::TailLabel;
use lockstep_core::proto::log::LogEnd;
use lockstep_wire::{
    DATAGRAM_LEN_MAX, Epoch, FrameView, HEADER_LEN, Header, Identity, Kind, Reject, Seq, open_prefix, seal,
};

/// A checked record, borrowed.
#[derive(Clone, Copy, Debug)]
pub enum Record<'a> {
    /// A frame: of the log, or staged.
    Frame(FrameView<'a>),
    /// From here on frames are staged behind `base`.
    Stage {
        /// The log up to where the staged frames begin.
        base: LogEnd,
        /// The epoch for which it begins.
        epoch: Epoch,
    },
    /// The staging is given up: the frames that follow belong to the log.
    Abandon,
    /// The staged frames are the log.
    Switch {
        /// Where they begin.
        from: Seq,
        /// The log's end with them.
        end: LogEnd,
    },
    /// Damaged records stood here, which no journal holds any more and no log needs: a suffix replacement
    /// superseded them.
    Lost {
        /// Where the log, or what was staged, ended before them, ...
        from: Seq,
        /// ... and the end behind them.
        end: LogEnd,
    },
}

/// The number in a Switch record that stands for a lost part.
const LOST: u64 = 1;

impl<'a> Record<'a> {
    /// Checks the record in front of `bytes`; also returns its length.
    pub fn parse(bytes: &'a [u8]) -> Result<(Self, usize), Reject> {
        let header = open_prefix(bytes)?;
        let record = match Kind::from_u8(header.kind) {
            Some(Kind::Frame) => Self::Frame(FrameView::parse(bytes)?),
            Some(Kind::Stage) if header.epoch == 0 => Self::Abandon,
            Some(Kind::Stage) => Self::Stage {
                base: LogEnd {
                    next: header.first_seq,
                    epoch: Epoch(header.number),
                    chain: header.chain,
                    timestamp: header.timestamp,
                },
                epoch: header.epoch(),
            },
            Some(Kind::Switch) => {
                let end = LogEnd {
                    next: header.commit_next,
                    epoch: header.epoch(),
                    chain: header.chain,
                    timestamp: header.timestamp,
                };
                let from = header.first_seq;
                if header.number == LOST { Self::Lost { from, end } } else { Self::Switch { from, end } }
            }
            _ => return Err(Reject::Kind),
        };
        Ok((record, header.length as usize))
    }
}

/// Bytes of a Stage or Switch record.
pub const MARK_LEN: usize = HEADER_LEN;

fn mark(out: &mut [u8], kind: Kind, label: &TailLabel, header: Header) {
    own(&mut out[..MARK_LEN], (label.cluster, label.identity), Header { kind: kind as u8, ..header });
}

/// Seals all of `out` as a record of the journal's owner.
fn own(out: &mut [u8], (cluster, identity): (u64, Identity), header: Header) {
    let header = Header { cluster, sender: identity.replica, incarnation: identity.incarnation, ..header };
    seal(out, header);
}

fn switch(from: Seq, end: &LogEnd) -> Header {
    Header {
        first_seq: from,
        epoch: end.epoch.0,
        commit_next: end.next,
        chain: end.chain,
        timestamp: end.timestamp,
        ..Header::new(Kind::Switch)
    }
}

/// Writes a Stage record in front of `out`.
pub fn write_stage(out: &mut [u8], label: &TailLabel, base: &LogEnd, epoch: Epoch) {
    let header = Header {
        first_seq: base.next,
        epoch: epoch.0,
        chain: base.chain,
        timestamp: base.timestamp,
        number: base.epoch.0,
        ..Header::new(Kind::Stage)
    };
    mark(out, Kind::Stage, label, header);
}

/// Writes the record that gives a staging up; the log ends before `next`.
pub fn write_abandon(out: &mut [u8], label: &TailLabel, next: Seq) {
    mark(out, Kind::Stage, label, Header { first_seq: next, ..Header::new(Kind::Stage) });
}

/// Writes a Switch record in front of `out`.
pub fn write_switch(out: &mut [u8], label: &TailLabel, from: Seq, end: &LogEnd) {
    mark(out, Kind::Switch, label, switch(from, end));
}

/// Makes all of `out` lost parts of the journal of `owner`, its cluster and its identity: the first goes from
/// `from` to `end`. Panics where no record has that length.
pub(crate) fn write_lost(mut out: &mut [u8], owner: (u64, Identity), from: Seq, end: &LogEnd) {
    let mut from = from;
    while !out.is_empty() {
        let most = DATAGRAM_LEN_MAX / 8 * 8;
        // The rest behind it is a record as well.
        let len = if out.len() <= most { out.len() } else { most - MARK_LEN };
        let (one, rest) = out.split_at_mut(len);
        one.fill(0);
        own(one, owner, Header { number: LOST, ..switch(from, end) });
        (out, from) = (rest, end.next);
    }
}
