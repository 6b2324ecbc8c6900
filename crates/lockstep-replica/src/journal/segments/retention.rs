//! Retention and packing of sealed segments.

use super::ages::ages;
use super::{Retention, SegmentWriter};
use crate::journal::base::judge;
use crate::journal::checkpoint::Checkpoint;
use crate::journal::gone::{ExpectedSegments, Gone, gone};
use crate::journal::index::Index;
use crate::journal::packed::{file_of, pack};
use crate::journal::ports::{FileName, Store, StoreError, StoreFault, remove_if_there};
use crate::journal::read::numbers;
use crate::journal::superblock::Superblock;
use crate::journal::walk::read_header;
use lockstep_core::proto::planted::{Mutation, planted};
use lockstep_wire::{Nanos, PublisherId, Seq};
use std::collections::BTreeMap;

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Sealed {
    pub(super) number: u64,
    pub(super) len: u64,
    pub(super) timestamp: Nanos,
    pub(super) next_seq: Seq,
    /// The lowest seq from which a record in it replaces the log's suffix; [`Seq::MAX`] if none does.
    pub(super) switched_from: Seq,
    /// The publishers that say in it what they need.
    pub(super) needs: Vec<(PublisherId, Seq)>,
    /// Where trading days begin in it.
    pub(super) days: Vec<Seq>,
}

/// A reader for which segments stay.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NeededBy {
    /// A process that says so with a [`Need`](lockstep_wire::Need).
    Publisher(PublisherId),
    /// The newest trading day: gateways and feeds that start read it from its begin.
    TradingDay,
}

/// What retention removes at a time, and what it kept or removed although it is needed.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Retained {
    /// The segments that were removed, the oldest first.
    pub removed: Vec<u64>,
    /// Segments stayed beyond the limits, as this one needs the log from this seq on.
    pub retained_for: Option<(NeededBy, Seq)>,
    /// Segments that this one needs were removed.
    pub lapsed: Option<(NeededBy, Seq)>,
}

/// Segments that a reader needs are removed from this multiple of the limits of bytes and age on.
const NEEDED_LIMIT: u64 = 2;

/// Whether a journal can begin behind segment `number`, here and at a node that joins: its checkpoint is one
/// with which a log can begin. Those before the first epoch are not, and one that is gone or damaged is
/// computed anew from its segments, as long as they are there.
fn may_begin_behind<S: Store>(store: &S, number: u64) -> bool {
    match Checkpoint::load(store, number) {
        Ok(Ok(checkpoint)) => judge(&checkpoint).is_ok() || planted(Mutation::BaseBeforeEpochs),
        _ => false,
    }
}

impl SegmentWriter {
    /// The newest sealed segment whose checkpoint is of the present log, and ends at `limit` or below; 0 if
    /// there is none. A suffix replacement that goes back behind a checkpoint makes it one of another log.
    fn founded_at(&self, limit: Seq) -> u64 {
        let mut agreed = self.filling.as_ref().map_or(Seq::MAX, |filling| filling.index.switched_from());
        for one in self.sealed.iter().flatten().rev() {
            if one.next_seq <= agreed.min(limit) {
                return one.number;
            }
            agreed = agreed.min(one.switched_from);
        }
        0
    }

    /// Where the newest trading day begins, by the segments' indexes. A begin that a later record has
    /// replaced does not count.
    fn day(&self) -> Option<Seq> {
        let mut day = Vec::new();
        for one in self.sealed.iter().flatten() {
            day.retain(|day| *day < one.switched_from);
            day.extend(&one.days);
        }
        if let Some(filling) = &self.filling {
            day.retain(|day| *day < filling.index.switched_from());
            day.extend(filling.index.days());
        }
        day.pop()
    }

    /// The one that needs most of the log, and from where on. A closed publisher needs nothing. A need stands
    /// in a segment that it retains itself, so that those which are left tell all that are in force.
    fn needed(&self) -> Option<(NeededBy, Seq)> {
        let mut needs = BTreeMap::new();
        needs.extend(self.sealed.iter().flatten().flat_map(|one| one.needs.iter().copied()));
        needs.extend(self.filling.iter().flat_map(|filling| filling.index.needs()));
        let rows = self.checkpoint.as_ref().map(|tables| &tables.publishers);
        let is_closed =
            |id: &PublisherId| rows.is_some_and(|rows| rows.get(id).is_some_and(|row| row.closed));
        let open = needs.into_iter().filter(|(id, from)| *from < Seq::MAX && !is_closed(id));
        let publishers = open.map(|(id, from)| (NeededBy::Publisher(id), from));
        publishers.chain(self.day().map(|from| (NeededBy::TradingDay, from))).min_by_key(|(_, from)| *from)
    }

    /// Removes the oldest sealed segments that retention does not keep. It never removes a frame at or above
    /// `keep_from` (the present day, and uncommitted entries), the newest segment, or a segment without which
    /// the tables could not be computed: a checkpoint of the committed log stays, and must be there. The log
    /// that a publisher or the trading day needs stays up to twice the limits; where `is_urgent`, up to them.
    /// The superblock records first how far it goes: what is missing above that is gone, and not removed.
    pub fn retain<S: Store>(
        &mut self,
        store: &mut S,
        superblock: &mut Superblock,
        (retention, now): (Retention, Nanos),
        keep_from: Seq,
        is_urgent: bool,
    ) -> Result<Retained, StoreError> {
        if self.sealed.is_none() {
            self.sealed = Some(self.find_sealed(store)?);
        }
        let mut done = self.beyond((retention, now), keep_from, is_urgent);
        while done.removed.last().is_some_and(|number| !may_begin_behind(store, *number)) {
            done.removed.pop();
        }
        let Some(newest) = done.removed.last() else { return Ok(done) };
        if superblock.oldest_number <= *newest {
            let mut wanted = Superblock { oldest_number: newest + 1, ..*superblock };
            wanted.store(store)?;
            *superblock = wanted;
        }
        for number in std::mem::take(&mut done.removed) {
            self.remove(store, number)?;
            done.removed.push(number);
        }
        Ok(done)
    }

    /// The oldest segments are gone, all of whose entries lay before `before`: by the operator's command they
    /// are missed no longer. Returns which.
    ///
    /// # Errors
    /// The store's.
    pub fn accept_gone<S: Store>(
        &mut self,
        store: &mut S,
        superblock: &mut Superblock,
        before: Seq,
    ) -> Result<Option<Gone>, StoreError> {
        let oldest = superblock.oldest_number;
        let first = gone(store, ExpectedSegments::of(superblock))?.into_iter().next();
        let accepted = first.filter(|gone| gone.first == oldest && (1..=before).contains(&gone.to_next));
        if let Some(gone) = &accepted {
            let mut wanted = Superblock { oldest_number: gone.last + 1, ..*superblock };
            wanted.store(store)?;
            *superblock = wanted;
        }
        Ok(accepted)
    }

    /// Bytes of the sealed segments, which retention counts; `None` before it looked for the first time.
    pub fn sealed_bytes(&self) -> Option<u64> {
        self.sealed.as_deref().map(|sealed| sealed.iter().map(|one| one.len).sum())
    }

    /// The segments that retention removes, oldest first, and for whom it keeps or removes some.
    fn beyond(&self, (retention, now): (Retention, Nanos), keep_from: Seq, is_urgent: bool) -> Retained {
        let (founded_at, needed) = (self.founded_at(keep_from), self.needed());
        let sealed = self.sealed.as_deref().unwrap_or_default();
        let mut total: u64 = sealed.iter().map(|one| one.len).sum();
        let mut done = Retained::default();
        for ((at, oldest), age) in sealed.iter().enumerate().zip(ages(sealed, now)) {
            let is_beyond = |times: u64| {
                let too_much = retention.bytes_max != 0 && total / times > retention.bytes_max;
                too_much || retention.age_ns_max != 0 && age / times > retention.age_ns_max
            };
            let newest = self.filling.is_none() && at + 1 == sealed.len();
            let founds = oldest.number > founded_at && !planted(Mutation::FoundationRemoved);
            if !is_beyond(1) || oldest.next_seq > keep_from || founds || newest {
                break;
            }
            let needed = needed.filter(|(_, from)| oldest.next_seq > *from);
            if needed.is_some() && !is_urgent && !is_beyond(NEEDED_LIMIT) {
                done.retained_for = needed;
                break;
            }
            done.lapsed = needed.or(done.lapsed);
            done.removed.push(oldest.number);
            total -= oldest.len;
        }
        done
    }

    /// Removes sealed segment `number`, the oldest one.
    fn remove<S: Store>(&mut self, store: &mut S, number: u64) -> Result<(), StoreError> {
        // Another program may have done so.
        remove_if_there(store, file_of(store, number))?;
        self.sealed.iter_mut().for_each(|sealed| sealed.retain(|one| one.number != number));
        // On the device, before a later one is removed: otherwise a power failure could leave a hole
        // between the remaining ones.
        match store.sync(FileName::Checkpoint(number)) {
            Err(error) if error.fault == StoreFault::Missing => {}
            synced => synced?,
        }
        // The checkpoint of the last removed segment is the state with which the first remaining one
        // begins.
        for file in store.list()? {
            let old = match file {
                // A packed one may have left its plain copy behind.
                FileName::Segment(other) | FileName::Packed(other) | FileName::Index(other) => {
                    other <= number
                }
                FileName::Checkpoint(other) => other < number,
                _ => false,
            };
            if old {
                store.remove(file)?;
            }
        }
        Ok(())
    }

    /// Packs the oldest sealed segment that is not packed, the newest one left out; returns its number, and
    /// the bytes before and after. `None` if there is none. Takes about a second for each GiB.
    pub fn pack<S: Store>(&mut self, store: &mut S) -> Result<Option<(u64, u64, u64)>, StoreError> {
        if self.sealed.is_none() {
            self.sealed = Some(self.find_sealed(store)?);
        }
        let Some(sealed) = &mut self.sealed else { return Ok(None) };
        let older = sealed.len().saturating_sub(1);
        for one in &mut sealed[..older] {
            if self.packed_to.is_some_and(|done| one.number <= done) {
                continue;
            }
            self.packed_to = Some(one.number);
            if let Some((plain, packed)) = pack(store, one.number)? {
                one.len = packed;
                return Ok(Some((one.number, plain, packed)));
            }
        }
        Ok(None)
    }

    /// The first seq behind the newest sealed segment that was stamped before `time` as a whole; 1 if none
    /// was. A segment that was stamped in a time that was ahead counts as stamped before those that follow
    /// it.
    pub fn first_seq_since<S: Store>(&mut self, store: &S, time: Nanos) -> Result<Seq, StoreError> {
        if self.sealed.is_none() {
            self.sealed = Some(self.find_sealed(store)?);
        }
        let sealed = self.sealed.as_deref().unwrap_or_default();
        Ok(match sealed.iter().rfind(|one| one.timestamp < time) {
            Some(before) => before.next_seq,
            None if sealed.is_empty() => self.log.end.next,
            None => 1,
        })
    }

    fn find_sealed<S: Store>(&self, store: &S) -> Result<Vec<Sealed>, StoreError> {
        let numbers = numbers(store)?;
        let mut sealed = Vec::new();
        for (at, &number) in numbers.iter().enumerate() {
            if self.filling.as_ref().is_some_and(|filling| filling.number == number) {
                continue;
            }
            let next = numbers.get(at + 1).map(|next| read_header(store, *next)).transpose()?;
            let next_seq = match next {
                None => self.log.end.next,
                Some(Ok(header)) => header.first_seq,
                // Its content is unknown: it stays.
                Some(Err(_)) => Seq::MAX,
            };
            let index = Index::load(store, number, 0)?;
            let (timestamp, switched_from) = (index.timestamp, index.switched_from());
            let (needs, days) = (index.needs().collect(), index.days().collect());
            let len = store.len(file_of(store, number))?;
            sealed.push(Sealed { number, len, timestamp, next_seq, switched_from, needs, days });
        }
        Ok(sealed)
    }
}
