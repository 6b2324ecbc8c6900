//! The plan of a mend: the records that fill the bytes around a hole.
//!
//! A region is made anew: from a place where the log's end is known to the next such place. The hole lies in
//! it, and what it may have hidden: an exchange of the log's end of which it took a part. What the log has
//! there goes in first, good frames of the region or fetched ones. Frames that a later exchange superseded
//! are lost, and so is the rest of the bytes.
//!
//! ```text
//!  the log continues           │ frames                       │ lost
//!  it went back to a lower seq │ Stage │ frames      │ Switch │ lost
//!  a later exchange went back  │ frames below that   │ lost: up to where the region's log ended
//! ```
//!
//! A guess that is wrong fails where the next record does not follow, or where the next segment begins.

use super::Mend;
use crate::journal::extents::Extents;
use crate::journal::layout::TailLabel;
use crate::journal::rebuild::LogRebuild;
use crate::journal::record::{MARK_LEN, Record, write_stage, write_switch};
use crate::journal::segment::RECORDS_AT;
use lockstep_core::proto::log::LogEnd;
use lockstep_wire::{Chain, Epoch, FrameView, Seq};
use std::collections::BTreeMap;

/// Parts of a segment of which one has to guess that they led back in the log, at most: each is searched for
/// from the beginning on.
const BACK_MAX: u32 = 64;

/// What fills a part of a region.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Step {
    /// Frames of the log up to this seq.
    Frames { upto: Seq },
    /// A Stage: frames are staged for that epoch from now on.
    Stage { base: LogEnd, epoch: Epoch },
    /// A lost part, from this seq at most to that end.
    Lost { from: Seq, end: LogEnd },
    /// The Switch that makes the staged frames the log.
    Switch,
}

impl Step {
    /// The least bytes that it takes.
    fn len(&self) -> usize {
        if let Self::Frames { .. } = self { 0 } else { MARK_LEN }
    }
}

/// A region that is made anew, up to a record that stays. A lost part takes what is left.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Hole {
    pub end: usize,
    pub steps: Vec<Step>,
    /// Good frames that stood in it, by their first seq and the chain before them.
    pub good: BTreeMap<(Seq, Chain), Vec<u8>>,
}

impl Hole {
    /// Room for a frame at `at`: the later steps need theirs.
    pub(super) fn room(&self, at: usize) -> usize {
        let later: usize = self.steps.iter().map(Step::len).sum();
        (self.end - at).saturating_sub(later)
    }
}

/// Something in a segment that is no good frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Sign {
    Stage(LogEnd),
    Abandon,
    Switch(Seq, LogEnd),
    /// Bad bytes, or a part that was lost before.
    Hole,
    End,
}

/// Everything in a segment that is no good frame, in rising order: where it begins, and where it ends.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Signs(Vec<(usize, usize, Sign)>);

impl Signs {
    /// Those of a segment with these bytes.
    pub(super) fn of(bytes: &[u8]) -> Self {
        let (mut signs, mut at) = (Vec::new(), RECORDS_AT as usize);
        while at < bytes.len() {
            let (sign, end) = match Record::parse(&bytes[at..]) {
                Ok((Record::Frame(_), len)) => {
                    at += len;
                    continue;
                }
                Ok((Record::Stage { base, .. }, len)) => (Sign::Stage(base), at + len),
                Ok((Record::Abandon, len)) => (Sign::Abandon, at + len),
                Ok((Record::Switch { from, end }, len)) => (Sign::Switch(from, end), at + len),
                Ok((Record::Lost { .. }, len)) => (Sign::Hole, at + len),
                Err(_) => (Sign::Hole, next_good(bytes, at)),
            };
            signs.push((at, end, sign));
            at = end;
        }
        signs.push((bytes.len(), bytes.len(), Sign::End));
        Self(signs)
    }

    /// Those from `at` on.
    fn from(&self, at: usize) -> &[(usize, usize, Sign)] {
        &self.0[self.0.partition_point(|(begin, _, _)| *begin < at)..]
    }
}

impl Mend {
    /// The plan for the bad bytes at `at`. Goes back to where the present staging began, if there is one.
    pub(super) fn plan(&mut self) -> Result<Hole, String> {
        let (end, target) = self.region();
        if self.log.staging.take().is_some() {
            self.at = self.stage_at;
        }
        if self.goes_back {
            self.go_back()?;
        }
        let low = self.replaced_from(end);
        let steps = self.steps(end, target, low)?;
        // Frames that were superseded follow what is before them as well: then those of others are taken.
        let good = if self.goes_back {
            BTreeMap::new()
        } else {
            frames(&self.bytes[self.at..end], self.signs.from(self.at), self.at)
        };
        Ok(Hole { end, steps, good })
    }

    /// Where the region ends whose log is not known, and where its log ended.
    fn region(&self) -> (usize, LogEnd) {
        let mut end = self.signs.from(self.at)[0].1;
        // What the frames here are is known: staged ones, or the log's.
        let (mut is_staged, mut is_log) = (false, false);
        loop {
            let (sign_at, sign_end, sign) = self.signs.from(end)[0];
            let first = before_frame(&self.bytes[end..]).filter(|_| !is_staged);
            let goes_on = |is: &dyn Fn() -> bool| first.filter(|_| is_log || is());
            let found = match sign {
                Sign::Switch(_, switched) => return (sign_end, switched),
                Sign::Abandon => None,
                Sign::Stage(base) => goes_on(&|| self.ends(end).any(|end| end == (base.next, base.chain))),
                Sign::Hole => goes_on(&|| self.is_plain(sign_at)),
                Sign::End => goes_on(&|| self.ends(end).last() == Some((self.after.next, self.after.chain))),
            };
            match (found, sign) {
                (Some(first), _) => return (end, first),
                (None, Sign::End) => return (sign_end, self.after),
                _ => (is_staged, is_log) = (matches!(sign, Sign::Stage(_)), matches!(sign, Sign::Abandon)),
            }
            end = sign_end;
        }
    }

    /// Whether frames before the hole at `at` are the log's as far as one can see.
    fn is_plain(&self, at: usize) -> bool {
        let next = self.signs.from(at).iter().find(|(_, _, sign)| *sign != Sign::Hole);
        self.log.staging.is_none() && matches!(next, Some((_, _, Sign::Stage(_) | Sign::End)))
    }

    /// The ends of the log that has the frames from `at` on, before the first and behind each.
    fn ends(&self, mut at: usize) -> impl Iterator<Item = (Seq, Chain)> {
        let before = before_frame(&self.bytes[at..]).map(|end| (end.next, end.chain));
        let behind = std::iter::from_fn(move || match Record::parse(&self.bytes[at..]) {
            Ok((Record::Frame(frame), len)) => {
                at += len;
                Some((frame.header.next_seq(), frame.chain_after()))
            }
            _ => None,
        });
        before.into_iter().chain(behind)
    }

    /// What the region from `at` to `end`, whose log ended at `target`, is made of. The log was replaced from
    /// `low` on by something behind it.
    fn steps(&self, end: usize, target: LogEnd, low: Seq) -> Result<Vec<Step>, String> {
        let log = self.log.end;
        let signs = self.signs.from(self.at).iter().take_while(|(at, _, _)| *at < end);
        let signs: Vec<Sign> = signs.map(|(_, _, sign)| *sign).collect();
        let switched = signs.iter().filter_map(|sign| match sign {
            Sign::Switch(from, _) if *from < log.next => Some(*from),
            _ => None,
        });
        let from = switched.min();
        if (log.next, log.chain) == (target.next, target.chain) {
            return Ok(Vec::new());
        }
        if low <= from.unwrap_or(log.next).min(target.next) {
            return Ok(vec![self.lost(target)?]);
        }
        let mut steps = vec![Step::Frames { upto: target.next.min(low) }];
        if low < target.next {
            steps.push(self.lost(target)?);
        }
        if let Some(from) = from {
            steps.insert(0, Step::Stage { base: self.end_at(from, end)?, epoch: target.epoch });
            steps.push(Step::Switch);
        } else if target.next <= log.next {
            return Err(format!(
                "what stood at byte {} led back from seq {} to seq {}, and nothing says from where",
                self.at, log.next, target.next
            ));
        }
        Ok(steps)
    }

    /// A lost part up to `target`, where the log ended: its record has that end, so all of it has to be
    /// known.
    fn lost(&self, target: LogEnd) -> Result<Step, String> {
        if self.is_by_frame && target == self.after {
            let what =
                "a later exchange superseded what stood at its end, and only a frame says where that was";
            return Err(what.to_string());
        }
        Ok(Step::Lost { from: target.next, end: target })
    }

    /// Nothing says where the log went back to in the region: it begins where the log was committed before.
    fn go_back(&mut self) -> Result<(), String> {
        self.times_back += 1;
        if self.times_back > BACK_MAX {
            return Err(format!("more than {BACK_MAX} parts may have led back in the log"));
        }
        let mut log = LogRebuild::from_end(self.before, Extents::bounded(1));
        let mut at = RECORDS_AT as usize;
        let (mut committed, mut places) = (0, vec![(at, log.clone())]);
        while at < self.at
            && let Ok((record, len)) = Record::parse(&self.bytes[at..])
            && log.on_record(at as u64, &record).is_ok()
        {
            at += len;
            if let Record::Frame(frame) = record {
                committed = committed.max(frame.header.commit_next);
            }
            if log.staging.is_none() {
                places.retain(|(_, before)| before.end.next <= committed || before.end.next < log.end.next);
                // Below the commit the last one is enough.
                let below = places.iter().rposition(|(_, before)| before.end.next <= committed).unwrap_or(0);
                places.drain(..below);
                places.push((at, log.clone()));
            }
        }
        if let Some((at, log)) = places.into_iter().find(|(at, _)| *at <= self.at) {
            (self.at, self.log) = (at, log);
        }
        Ok(())
    }

    /// A step that is no frame, in a region that ends at `until`.
    pub(super) fn make(&mut self, step: Step, until: usize) -> Result<(), String> {
        let at = self.at;
        if step.len() > until - at {
            return Err(format!("{} bytes at byte {at} have no room for what stood there", until - at));
        }
        let (cluster, identity) = self.owner;
        let label = TailLabel { cluster, identity, boot: [0; 2], generation: 0, record_len_max: 0 };
        match step {
            Step::Frames { upto } if self.end().next < upto => {
                Err(format!("the bytes before byte {until} have no room for what precedes seq {upto}"))
            }
            Step::Frames { .. } => Ok(()),
            Step::Stage { base, epoch } => {
                write_stage(&mut self.bytes[at..], &label, &base, epoch);
                self.pass()
            }
            Step::Switch => {
                let Some(staging) = self.log.staging else { return Ok(()) };
                write_switch(&mut self.bytes[at..], &label, staging.base.next, &staging.end);
                self.pass()
            }
            Step::Lost { from, end } => self.lose(from.min(self.end().next), end, at + MARK_LEN),
        }
    }

    /// The lowest seq from which a record at `at` or behind it replaced the log.
    fn replaced_from(&self, at: usize) -> Seq {
        let switches = self.signs.from(at).iter().filter_map(|(_, _, sign)| match sign {
            Sign::Switch(from, _) => Some(*from),
            _ => None,
        });
        switches.min().unwrap_or(Seq::MAX).min(self.replaced_from)
    }

    /// Where the log ended at `from`, below its end at the beginning of the region that ends at `until`.
    fn end_at(&self, from: Seq, until: usize) -> Result<LogEnd, String> {
        let mut log = LogRebuild::from_end(self.before, Extents::bounded(1));
        let (mut at, mut found) = (RECORDS_AT as usize, None);
        loop {
            found = Some(log.end).filter(|end| end.next == from).or(found);
            let record = (at < self.at).then(|| Record::parse(&self.bytes[at..]));
            let Some(Ok((record, len))) = record else { break };
            if log.on_record(at as u64, &record).is_err() {
                break;
            }
            at += len;
        }
        // Behind an older segment a Stage says it, or the frames themselves.
        let signs = self.signs.from(self.at).iter().take_while(|(at, _, _)| *at < until);
        let stages =
            signs.filter_map(|(_, _, sign)| if let Sign::Stage(base) = sign { Some(*base) } else { None });
        found.or_else(|| stages.into_iter().find(|base| base.next == from)).ok_or_else(|| {
            format!(
                "what stood at byte {} went back to seq {from}, behind the beginning of this segment",
                self.at
            )
        })
    }
}

/// The end of the log before the good frame in front of `bytes`.
fn before_frame(bytes: &[u8]) -> Option<LogEnd> {
    let Ok((Record::Frame(FrameView { header, .. }), _)) = Record::parse(bytes) else { return None };
    let (next, chain, timestamp) = (header.first_seq, header.chain, header.timestamp);
    Some(LogEnd { next, epoch: header.epoch(), chain, timestamp })
}

/// The good frames in `bytes`, which stand at `begin`, between these signs.
fn frames(bytes: &[u8], signs: &[(usize, usize, Sign)], begin: usize) -> BTreeMap<(Seq, Chain), Vec<u8>> {
    let (mut good, mut at) = (BTreeMap::new(), 0);
    let mut signs = signs.iter();
    let mut sign = signs.next();
    while at < bytes.len() {
        match (sign, Record::parse(&bytes[at..])) {
            (Some((sign_at, end, _)), _) if *sign_at == begin + at => {
                at = end - begin;
                sign = signs.next();
            }
            (_, Ok((Record::Frame(frame), len))) => {
                let header = frame.header;
                good.insert((header.first_seq, header.chain), frame.bytes.to_vec());
                at += len;
            }
            _ => break,
        }
    }
    good
}

/// The next good record behind the bad one at `at`.
fn next_good(bytes: &[u8], at: usize) -> usize {
    let is_good = |at: &usize| Record::parse(&bytes[*at..]).is_ok();
    (at + 8..bytes.len()).step_by(8).find(is_good).unwrap_or(bytes.len())
}
