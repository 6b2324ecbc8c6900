//! Work on a journal on which no process runs: reading all of it.

use super::{NodeError, NodeSettings};
use crate::io::journal_files::{self, JournalConfig, OpenJournal};
use crate::io::journal_thread::{self, ThreadSettings};
use crate::io::store::DirStore;
use lockstep_client::StreamDigest;
use lockstep_core::engine::parts::{Joined, PartsLimits, Reassembly};
use lockstep_notary::{Checker, NotaryKey};
use lockstep_replica::journal::read_segments;
use lockstep_wire::{EntryKind, MESSAGE_LEN_MAX, NOTARIES, Seq};

/// Memory of messages in parts that are not whole: as a subscriber has by default.
const PARTS_BYTES: usize = 16 << 20;

/// The digest of the application messages in this replica's journal below `to_next` (all of them if it is
/// `None`), and the exclusive end of what was read. Frames that a killed process left in the tail are
/// written to the segments first.
///
/// # Errors
/// The journal does not open, or is damaged.
pub fn journal_digest(
    settings: &NodeSettings,
    to_next: Option<Seq>,
) -> Result<(StreamDigest, Seq), NodeError> {
    // Only data that the device has stored is reported.
    let inspected = journal_files::look(&JournalConfig { power: true, ..settings.journal_config() })?;
    let prepared =
        inspected.start(|_| Ok::<_, NodeError>(journal_thread::prepare(ThreadSettings::new(true))?));
    let (OpenJournal { opened, reader, store, lock: _lock, .. }, side) = prepared?;
    let directory = settings.journal.display();
    side.begin(store, reader, opened.writer, opened.superblock).stop().map_err(NodeError::Refused)?;
    let damaged = |what: String| NodeError::Damaged(format!("journal {directory}: {what}"));
    let store = DirStore::new(&settings.journal, false).map_err(|error| damaged(error.to_string()))?;
    let mut digest = StreamDigest::new();
    let limits = PartsLimits { message_len_max: MESSAGE_LEN_MAX, bytes: PARTS_BYTES };
    let mut parts = Reassembly::new(limits, false);
    let mut next = 1;
    let to_next = to_next.unwrap_or(Seq::MAX);
    let mut reader = read_segments(&store, 1).map_err(|error| damaged(error.to_string()))?;
    while let Some(frame) = reader.next().map_err(|error| damaged(error.to_string()))? {
        let frame = frame.map_err(|damage| damaged(damage.to_string()))?;
        for (seq, entry) in (frame.header.first_seq..to_next).zip(frame.entries()) {
            next = seq + 1;
            let header = &entry.header;
            let mut add = |payload: &[u8]| {
                digest.add_parts(seq, header.publisher, header.publisher_seq, header.destination, payload);
            };
            match entry.kind() {
                EntryKind::Message if header.destination >= NOTARIES => {}
                EntryKind::Message if header.flags == 0 => add(entry.payload),
                EntryKind::Message => {
                    if let Joined::Whole(index) = parts.on_part(seq, frame.header.chain, &entry) {
                        add(parts.message(index));
                        parts.on_delivered(index);
                    }
                }
                EntryKind::Open | EntryKind::Close => parts.on_end(seq, header.publisher),
                _ => {}
            }
        }
        if frame.header.next_seq() >= to_next {
            break;
        }
    }
    Ok((digest, next))
}

/// Reads every record of this replica's journal and returns how much there is.
///
/// # Errors
/// Damage, each with file, offset and seq; or the journal does not open.
pub fn verify(settings: &NodeSettings) -> Result<String, NodeError> {
    let verified = journal_files::verify(&settings.journal)?;
    let directory = settings.journal.display();
    if verified.damage.is_empty() {
        let (segments, records, bytes) = (verified.segments, verified.records, verified.bytes);
        return Ok(format!(
            "journal {directory}: {segments} segments, {records} records, {bytes} bytes, no damage"
        ));
    }
    let places: Vec<String> = verified.damage.iter().map(|damage| format!("\n  {damage}")).collect();
    Err(NodeError::Damaged(format!("journal {directory} is damaged:{}", places.concat())))
}

/// Reads the log of this replica's journal and compares it with what notaries have signed. Returns how much
/// that is.
///
/// # Errors
/// Something was changed, left out, inserted or moved; entries between others are not signed, or none is; or
/// the journal does not open, or is damaged.
pub fn verify_attested(settings: &NodeSettings, notaries: Vec<NotaryKey>) -> Result<String, NodeError> {
    let directory = settings.journal.display();
    let damaged = |what: String| NodeError::Damaged(format!("journal {directory}: {what}"));
    let _lock = journal_files::locked(&settings.journal)?;
    let store = DirStore::new(&settings.journal, false).map_err(|error| damaged(error.to_string()))?;
    let mut reader = read_segments(&store, 1).map_err(|error| damaged(error.to_string()))?;
    let (mut checker, mut first, mut next) = (Checker::new(notaries), 0, 1);
    while let Some(frame) = reader.next().map_err(|error| damaged(error.to_string()))? {
        let frame = frame.map_err(|damage| damaged(damage.to_string()))?;
        first = if first == 0 { frame.header.first_seq } else { first };
        next = frame.header.next_seq();
        checker.on_frame(&frame).map_err(|forged| damaged(forged.to_string()))?;
    }
    let (Some(from), Some(to)) = (checker.first_attested(), checker.last_attested_next()) else {
        let what = "no notary that this host believes has signed anything of it: is the list of their public keys the \
                    right one?";
        return Err(damaged(what.to_owned()));
    };
    if let (seq, entries @ 1..) = checker.unattested() {
        let what = format!("{entries} entries from seq {seq} on are not signed, and others behind them are");
        return Err(damaged(what));
    }
    let before = if from > first {
        format!(" (not those from {first}, which begin in the middle of a range)")
    } else {
        String::new()
    };
    Ok(format!(
        "{} signatures by notaries prove seqs {from} to {}{before}; {} entries behind them are not signed",
        checker.attestations(),
        to - 1,
        next - to
    ))
}
