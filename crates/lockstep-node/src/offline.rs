//! Operations on a whole journal.

use super::{NodeError, NodeSettings};
use crate::io::journal_files::{self, JournalConfig, JournalReader, OpenJournal};
use crate::io::journal_thread::{self, ThreadSettings, Waiting};
use crate::io::store::DirStore;
use crate::messages::JoinedMessages;
use lockstep_client::StreamDigest;
use lockstep_notary::{Checker, NotaryKey};
use lockstep_replica::journal::{Gone, Retention, Verified, read_segments};
use lockstep_wire::{RESERVED, Seq};
use std::ops::ControlFlow;
use std::path::Path;

/// The digest of the application messages in this replica's journal below `to_next` (`None`: all), and the
/// exclusive bound of what was read. Frames that a killed process left in the tail are written to the
/// segments first.
///
/// # Errors
/// The journal cannot be opened, or is damaged.
pub fn journal_digest(
    settings: &NodeSettings,
    to_next: Option<Seq>,
) -> Result<(StreamDigest, Seq), NodeError> {
    let (OpenJournal { opened, reader, store, lock: _lock, .. }, side) = opened(settings)?;
    let directory = settings.journal.display();
    side.begin(store, reader, opened.writer, opened.superblock).stop().map_err(NodeError::Refused)?;
    let damaged = |what: String| NodeError::Damaged(format!("journal {directory}: {what}"));
    let store = DirStore::new(&settings.journal, false).map_err(|error| damaged(error.to_string()))?;
    let mut digest = StreamDigest::new();
    let mut messages = JoinedMessages::new(1);
    let mut next = 1;
    let to_next = to_next.unwrap_or(Seq::MAX);
    let mut reader = read_segments(&store, 1).map_err(|error| damaged(error.to_string()))?;
    while let Some(frame) = reader.next().map_err(|error| damaged(error.to_string()))? {
        let frame = frame.map_err(|damage| damaged(damage.to_string()))?;
        for (seq, entry) in (frame.header.first_seq..to_next).zip(frame.entries()) {
            next = seq + 1;
            if entry.header.destination >= RESERVED {
                continue;
            }
            messages.take(seq, &frame, &entry, |message| {
                let header = message.header;
                digest.add_parts(
                    seq,
                    header.publisher,
                    header.publisher_seq,
                    header.destination,
                    message.payload,
                );
            });
        }
        if frame.header.next_seq() >= to_next {
            break;
        }
    }
    Ok((digest, next))
}

/// Opens this replica's journal as a start does, with durability `power`: changes are on the device.
fn opened(settings: &NodeSettings) -> Result<(OpenJournal, Waiting<DirStore>), NodeError> {
    let inspected = journal_files::look(&JournalConfig { power: true, ..settings.journal_config() })?;
    inspected.start(|_| Ok::<_, NodeError>(journal_thread::prepare(ThreadSettings::new(true))?))
}

/// The result of [`trim`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Trimmed {
    /// The numbers of the segments that were removed.
    pub removed: Vec<u64>,
    /// Segments that had been missing before, and are no longer expected.
    pub accepted: Option<Gone>,
}

/// Removes the oldest segments of this replica's journal whose entries all lie before `before`, as far as
/// retention might: never the newest one, or one without which the tables could not be computed. Missing
/// oldest segments are no longer expected, if their entries lay before it too.
///
/// # Errors
/// A process has the journal open, it cannot be opened, or the files fail.
pub fn trim(settings: &NodeSettings, before: Seq) -> Result<Trimmed, NodeError> {
    let (OpenJournal { mut opened, reader, mut store, lock: _lock, .. }, side) = opened(settings)?;
    // Every segment is beyond the limit, whatever the needs are: the operator decides.
    let all = Retention { bytes_max: 1, age_ns_max: 0 };
    let keep_from = before.min(opened.checkpoint.commit_next);
    let (writer, superblock) = (&mut opened.writer, &mut opened.superblock);
    let trimmed = writer.retain(&mut store, superblock, (all, 0), keep_from, true).and_then(|done| {
        let accepted = writer.accept_gone(&mut store, superblock, before)?;
        Ok(Trimmed { removed: done.removed, accepted })
    });
    let trimmed = trimmed
        .map_err(|error| NodeError::Refused(format!("journal {}: {error}", settings.journal.display())));
    side.begin(store, reader, opened.writer, opened.superblock).stop().map_err(NodeError::Refused)?;
    trimmed
}

/// Reads every record of the journal in `dir` and returns how much there is. A process may have it open.
///
/// # Errors
/// Damage, each with file, offset and seq; or there is no journal.
pub fn verify(dir: &Path) -> Result<Verified, NodeError> {
    judged(dir, journal_files::verify(dir)?)
}

/// The findings, if they have no damage.
///
/// # Errors
/// The damage, each with file, offset and seq.
pub fn judged(dir: &Path, verified: Verified) -> Result<Verified, NodeError> {
    if verified.damage.is_empty() {
        return Ok(verified);
    }
    let places: Vec<String> = verified.damage.iter().map(|damage| format!("\n  {damage}")).collect();
    Err(NodeError::Damaged(format!("journal {} is damaged:{}", dir.display(), places.concat())))
}

/// Reads the log of the journal in `dir` and compares it with the notaries' signatures. Returns how much is
/// signed.
///
/// # Errors
/// Entries were changed, left out, inserted or moved; entries between others are not signed, or none is;
/// there is no journal, or it is damaged.
pub fn verify_attested(dir: &Path, notaries: Vec<NotaryKey>) -> Result<String, NodeError> {
    let damaged = |what: String| NodeError::Damaged(format!("journal {}: {what}", dir.display()));
    let journal = JournalReader::open(dir)?;
    let end = journal.log()?.end;
    let (mut checker, mut first) = (Checker::new(notaries), 0);
    journal.read(1, end.next, |frame| {
        first = if first == 0 { frame.header.first_seq } else { first };
        checker.on_frame(frame).map_err(|forged| damaged(forged.to_string()))?;
        Ok::<_, NodeError>(ControlFlow::Continue(()))
    })?;
    let (Some(from), Some(to)) = (checker.first_attested(), checker.last_attested_next()) else {
        let what = "no notary that this host trusts has signed any of it: is the list of their public keys \
                    the right one?";
        return Err(damaged(what.to_owned()));
    };
    if let (seq, entries @ 1..) = checker.unattested() {
        let what = format!("{entries} entries from seq {seq} on are not signed, and later ones are");
        return Err(damaged(what));
    }
    let before = if from > first {
        format!(" (not those from {first}, which begin in the middle of a range)")
    } else {
        String::new()
    };
    Ok(format!(
        "{} signatures by notaries prove seqs {from} to {}{before}; {} entries after them are not signed",
        checker.attestations(),
        to - 1,
        end.next - to
    ))
}
