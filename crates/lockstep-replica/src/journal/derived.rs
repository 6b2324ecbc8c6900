//! # derived: checks index and checkpoint against the segments
//!
//! A checksum proves that a file holds what was written, but not that this was right when it was written.
//! Index and checkpoint are computed while segments are filled, across suffix replacements, restarts and
//! retries. This module computes each again, from the records alone, and compares.

use crate::journal::checkpoint::Checkpoint;
use crate::journal::damage::Damage;
use crate::journal::index::Index;
use crate::journal::ports::{FileName, Store, StoreError, StoreFault, read_whole};
use crate::journal::read::numbers;
use crate::journal::walk::read_header;
use lockstep_core::proto::log::LogEnd;

/// The indices and checkpoints in `store` of segments from number `from` on that do not follow from its
/// segments, which are undamaged. `end` is where their log ends. Where the first segments have been removed,
/// a checkpoint that follows from them is trusted.
///
/// # Errors
/// The store's.
pub fn check_derived<S: Store>(store: &S, from: u64, end: LogEnd) -> Result<Vec<Damage>, StoreError> {
    let numbers = numbers(store)?;
    let mut wrong = Vec::new();
    // Where the beginning is gone the log rests on it: it must be whole, though nothing is left to compare it with.
    let oldest = numbers.first().copied().unwrap_or(u64::MAX);
    for file in store.list()? {
        let FileName::Checkpoint(number) = file else { continue };
        if number < oldest
            && from <= oldest
            && let Some(Err(what)) = present(store, file)?.map(|bytes| Checkpoint::from_bytes(&bytes))
        {
            wrong.push(Damage::new(file, 0, 0, what));
        }
    }
    for (at, &number) in numbers.iter().enumerate().filter(|(_, number)| **number >= from) {
        let Ok(header) = read_header(store, number)? else { continue };
        let file = FileName::Index(number);
        if let Some(bytes) = present(store, file)? {
            let rebuilt = Index::rebuild(store, number, header.first_seq)?;
            if bytes != rebuilt.to_bytes() {
                wrong.push(Damage::new(file, 0, header.first_seq, "not what its segment says"));
            }
        }
        let file = FileName::Checkpoint(number);
        let Some(bytes) = present(store, file)? else { continue };
        let end = match numbers.get(at + 1) {
            None => end,
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
            // It follows from segments that retention has removed.
            Err(_) if numbers[0] > 1 => continue,
            Err(damage) => damage.to_string(),
        };
        wrong.push(Damage::new(file, 0, end.next, what));
    }
    Ok(wrong)
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

fn present<S: Store>(store: &S, file: FileName) -> Result<Option<Vec<u8>>, StoreError> {
    match read_whole(store, file) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(StoreError { fault: StoreFault::Missing, .. }) => Ok(None),
        Err(error) => Err(error),
    }
}
