//! # derived: checks index and checkpoint against the segments
//!
//! A checksum proves that a file holds what was written, but not that this was right when it was written.
//! Index and checkpoint are computed while segments are filled, across suffix replacements, restarts and
//! retries. This module computes each again, from the records alone, and compares.

use crate::journal::checkpoint::Checkpoint;
use crate::journal::damage::Damage;
use crate::journal::index::Index;
use crate::journal::meeting::end_before;
use crate::journal::ports::{FileName, Store, StoreError, StoreFault, present};
use crate::journal::read::numbers;
use crate::journal::record::Record;
use crate::journal::segment::RECORDS_AT;
use crate::journal::torn::has_grown;
use crate::journal::walk::{Walk, WalkItem, read_header};
use lockstep_core::proto::log::LogEnd;
use lockstep_core::proto::planted::{Mutation, planted};

/// The indices and checkpoints in `store` of segments from number `from` on that do not follow from its
/// segments, which are undamaged. `end` is where their log ends, and `ended_at` the newest of them and its
/// offset there: what a process has written behind that is left out. Where the first segments have been
/// removed, a checkpoint that follows from them is trusted.
///
/// # Errors
/// The store's.
pub fn check_derived<S: Store>(
    store: &S,
    from: u64,
    end: LogEnd,
    ended_at: Option<(u64, u64)>,
) -> Result<Vec<Damage>, StoreError> {
    let (newest, offset) = ended_at.unwrap_or((u64::MAX, 0));
    let mut numbers = numbers(store)?;
    numbers.retain(|number| *number <= newest);
    let mut wrong = Vec::new();
    check_removed(store, from, numbers.first().copied().unwrap_or(u64::MAX), &mut wrong)?;
    for (at, &number) in numbers.iter().enumerate().filter(|(_, number)| **number >= from) {
        let Ok(header) = read_header(store, number)? else { continue };
        if at == 0 {
            wrong.extend(base_gone(store, number)?);
        }
        // The newest one may be filled still: it has none of them.
        let is_sealed = at + 1 < numbers.len();
        let gone = |file| Damage::new(file, 0, header.first_seq, GONE);
        let file = FileName::Index(number);
        match present(store, file)? {
            Some(bytes) => {
                let rebuilt = Index::rebuild(store, number, header.first_seq)?;
                if bytes != rebuilt.to_bytes() {
                    wrong.push(Damage::new(file, 0, header.first_seq, "not what its segment says"));
                }
            }
            None if is_sealed && is_there(store, number)? => wrong.push(gone(file)),
            None => {}
        }
        let file = FileName::Checkpoint(number);
        let bytes = match present(store, file)? {
            Some(bytes) => bytes,
            None => {
                wrong.extend((is_sealed && is_there(store, number)?).then(|| gone(file)));
                continue;
            }
        };
        let end = match numbers.get(at + 1) {
            None => end,
            Some(&later) if later > number + 1 => continue,
            Some(&later) => match read_header(store, later)? {
                Ok(header) => header.before(),
                Err(_) => continue,
            },
        };
        let what = match Checkpoint::compute_without(store, &numbers[..=at], end, number)? {
            Ok(computed) if computed.to_bytes() == bytes => continue,
            Ok(computed) => match Checkpoint::from_bytes(&bytes) {
                Ok(sealed) => difference(&sealed, &computed),
                Err(what) => what.to_string(),
            },
            // It follows from segments that retention has removed, or that are gone.
            Err(_) if numbers[0] > 1 || number > at as u64 + 1 => continue,
            // Or from frames that were superseded, and lost.
            Err(_) if has_lost(store, number)? => continue,
            Err(damage) => damage.to_string(),
        };
        if number < newest || !has_grown(store, number, offset)? {
            wrong.push(Damage::new(file, 0, end.next, what));
        }
    }
    Ok(wrong)
}

/// Where the beginning is gone, the log rests on the checkpoint there: it must be whole, though nothing is
/// left to compare it with.
fn check_removed<S: Store>(
    store: &S,
    from: u64,
    oldest: u64,
    wrong: &mut Vec<Damage>,
) -> Result<(), StoreError> {
    for file in store.list()? {
        let FileName::Checkpoint(number) = file else { continue };
        if number < oldest
            && from <= oldest
            && let Some(Err(what)) = present(store, file)?.map(|bytes| Checkpoint::from_bytes(&bytes))
        {
            wrong.push(Damage::new(file, 0, 0, what));
        }
    }
    Ok(())
}

/// The damage where the tables are gone with which `oldest` begins, the first segment that is there: nothing
/// that is left determines them.
///
/// # Errors
/// The store's.
pub(crate) fn base_gone<S: Store>(store: &S, oldest: u64) -> Result<Option<Damage>, StoreError> {
    let base = FileName::Checkpoint(oldest.saturating_sub(1));
    if present(store, base)?.is_some() {
        return Ok(None);
    }
    let begins_at = match read_header(store, oldest) {
        Ok(header) => header.map_or(0, |header| header.first_seq),
        // It is gone as well, or cannot be read: that is its own damage.
        Err(error) if matches!(error.fault, StoreFault::Missing | StoreFault::Failed) => 0,
        Err(error) => return Err(error),
    };
    if begins_at <= 1 || planted(Mutation::BaseGoneUnnamed) || !is_there(store, oldest)? {
        return Ok(None);
    }
    let what = "the file is gone, and with it the tables of what retention removed: bring it back from a copy of this \
                folder, or replace this node";
    Ok(Some(Damage::new(base, 0, begins_at, what)))
}

/// Computes the index and the checkpoint of a sealed segment that is whole, where they are not there. Returns
/// which; or why one cannot be computed.
///
/// # Errors
/// The store's; one that cannot be read is no failure of the device that writes.
pub(crate) fn derive<S: Store>(
    store: &mut S,
    number: u64,
) -> Result<Result<Vec<FileName>, Damage>, StoreError> {
    let computed = match computed(store, number) {
        Err(error) if matches!(error.fault, StoreFault::Failed | StoreFault::Missing) => {
            return Ok(Err(Damage::new(FileName::Segment(number), 0, 0, error)));
        }
        computed => computed?,
    };
    let files = match computed {
        Ok(files) => files,
        Err(damage) => return Ok(Err(damage)),
    };
    for (file, bytes) in &files {
        store.replace(*file, bytes)?;
    }
    Ok(Ok(files.into_iter().map(|(file, _)| file).collect()))
}

/// Files that were computed, with their bytes.
type ComputedFiles = Vec<(FileName, Vec<u8>)>;

/// What segment `number` lacks of its index and its checkpoint.
fn computed<S: Store>(store: &S, number: u64) -> Result<Result<ComputedFiles, Damage>, StoreError> {
    let mut files = Vec::new();
    let header = match read_header(store, number)? {
        Ok(header) => header,
        Err(damage) => return Ok(Err(damage)),
    };
    let file = FileName::Index(number);
    if present(store, file)?.is_none() && !planted(Mutation::GoneNotDerived) {
        files.push((file, Index::rebuild(store, number, header.first_seq)?.to_bytes()));
    }
    let file = FileName::Checkpoint(number);
    let numbers = numbers(store)?;
    if present(store, file)?.is_none()
        && numbers.contains(&(number + 1))
        && let Some(end) = end_before(store, number + 1)?
    {
        let upto: Vec<u64> = numbers.into_iter().filter(|other| *other <= number).collect();
        match Checkpoint::compute_without(store, &upto, end, number)? {
            Ok(computed) => files.push((file, computed.to_bytes())),
            Err(damage) => return Ok(Err(damage)),
        }
    }
    Ok(Ok(files))
}

/// Whether a part of segment `number` was lost: a later exchange superseded it.
fn has_lost<S: Store>(store: &S, number: u64) -> Result<bool, StoreError> {
    let mut walk = Walk::new(store, number, RECORDS_AT);
    while let WalkItem::Record(_, record, _) = walk.step()? {
        if matches!(record, Record::Lost { from, end } if from != end.next) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The finding for an index or a checkpoint that a sealed segment lacks.
const GONE: &str = "the file is gone; a node that runs on this journal computes it anew";

/// Retention may have removed the segment meanwhile, and what is derived from it with it.
fn is_there<S: Store>(store: &S, number: u64) -> Result<bool, StoreError> {
    Ok(numbers(store)?.contains(&number))
}

/// The part of a checkpoint that differs from the frames.
fn difference(sealed: &Checkpoint, computed: &Checkpoint) -> String {
    let parts = [
        ("log's end", sealed.end != computed.end),
        ("publishers", sealed.publishers != computed.publishers),
        ("members", sealed.members != computed.members || sealed.membership_seq != computed.membership_seq),
        ("open change", sealed.open_change != computed.open_change),
        ("epochs", sealed.epochs != computed.epochs),
        ("epoch start", sealed.start_frame != computed.start_frame),
        ("commit", sealed.commit_next != computed.commit_next),
        ("uncommitted opens", sealed.changes != computed.changes),
    ];
    let wrong: Vec<&str> = parts.iter().filter(|(_, differs)| *differs).map(|(part, _)| *part).collect();
    format!("not what the frames say: {}", wrong.join(", "))
}
