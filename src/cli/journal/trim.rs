//! `journal trim`: removes the oldest segments of a stopped node's journal, as retention does.

use super::JournalPlaceArgs;
use crate::cli::Failure;
use crate::cli::backup::verified;
use crate::cli::failure::{INTEGRITY, USAGE};
use clap::Args;
use lockstep_daemon::acting;
use lockstep_node::{JournalReader, Trimmed};
use lockstep_replica::journal::{LogComparison, StoredLog};
use lockstep_wire::{DayMark, EntryKind, Seq};
use serde_json::json;
use std::io::Write;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

/// The version of what `--json` prints.
const SCHEMA: &str = "lockstep.journal.trim/1";

/// Flags of `journal trim`.
#[derive(Args, Debug)]
pub struct TrimArgs {
    #[command(flatten)]
    pub place: JournalPlaceArgs,
    /// Segments all of whose entries lie before this seq are removed
    #[arg(long, value_name = "SEQ")]
    pub before: Seq,
    /// A backup that has what is removed; all of it is read first
    #[arg(long, value_name = "BACKUP")]
    pub backup: Option<PathBuf>,
    /// Removes entries that no backup has: other journals must hold them, or they are lost
    #[arg(long, conflicts_with = "backup")]
    pub accept_loss: bool,
    /// Does it; without this flag the command says what it would remove
    #[arg(long)]
    pub yes: bool,
    /// Prints JSON
    #[arg(long)]
    pub json: bool,
}

/// Removes them, or says which.
pub(super) fn run(args: &TrimArgs) -> Result<u8, Failure> {
    acting::not_as_root(&args.place.cluster.load(&[])?)?;
    let settings = args.place.node()?;
    let journal = JournalReader::open(&settings.journal)?;
    if let Some(pid) = journal.open_by() {
        let what = format!(
            "process {pid} has the journal open: stop it first, or set retention_size or retention_age, which a running \
             node follows"
        );
        return Err(Failure::new(USAGE, what));
    }
    let log = journal.log()?;
    let before = bound(args.before, &journal, &log)?;
    let rows = journal.overview()?;
    let gone: Vec<_> = rows.iter().flatten().filter(|row| row.is_sealed && row.seqs.1 <= before).collect();
    // Segments that are gone already: a trim says that they are missed no longer.
    let lost: Vec<_> = log.gone.iter().filter(|one| (1..=before).contains(&one.to_next)).collect();
    let from = gone.first().map(|row| row.seqs.0).into_iter().chain(lost.first().map(|one| one.from)).min();
    let to_next =
        gone.last().map(|row| row.seqs.1).into_iter().chain(lost.last().map(|one| one.to_next)).max();
    let (Some(from), Some(to_next)) = (from, to_next) else {
        eprintln!("no segment lies before seq {before} as a whole: nothing to remove");
        return Ok(0);
    };
    for one in &lost {
        eprintln!("journal {} is damaged: {}", journal.dir().display(), one.damage());
    }
    match &args.backup {
        Some(backup) => covers(backup, &journal, &log, to_next)?,
        None if args.accept_loss => {}
        None => {
            let what = format!(
                "seqs {from} to {} would be gone from this journal: name a backup that has them with --backup, or give \
                 --accept-loss if another journal does",
                to_next - 1
            );
            return Err(Failure::new(USAGE, what));
        }
    }
    if !args.yes {
        eprintln!(
            "{} segments with seqs {from} to {} would be removed, or are missed no longer; readers that ask \
             for them get the answer that the journal begins at seq {to_next}. Give --yes to remove them",
            gone.len(),
            to_next - 1
        );
        return Err(Failure::new(USAGE, "nothing was removed"));
    }
    let Trimmed { removed, accepted } = lockstep_node::trim(&settings, before)?;
    let oldest = JournalReader::open(&settings.journal)?.log()?.oldest_seq;
    let missed_no_longer =
        accepted.map(|gone| (gone.first..=gone.last).collect::<Vec<_>>()).unwrap_or_default();
    let mut out = std::io::stdout();
    if args.json {
        let value = json!({ "schema": SCHEMA, "removed": removed, "missed_no_longer": missed_no_longer,
            "oldest_seq": oldest });
        writeln!(out, "{value}")?;
        return Ok(0);
    }
    if let (Some(first), Some(last)) = (missed_no_longer.first(), missed_no_longer.last()) {
        writeln!(out, "segments {first} to {last} were gone, and are missed no longer")?;
    }
    writeln!(out, "{} segments removed; the journal begins at seq {oldest}", removed.len())?;
    Ok(0)
}

/// The seq up to which segments may be removed: not beyond the commit, nor into the open trading day.
fn bound(wanted: Seq, journal: &JournalReader, log: &StoredLog) -> Result<Seq, Failure> {
    if wanted > log.commit_next {
        let what = format!(
            "--before {wanted}: the journal knows only what lies before seq {} to be committed",
            log.commit_next
        );
        return Err(Failure::new(USAGE, what));
    }
    let mut open_day = None;
    journal.read(log.oldest_seq, log.end.next, |frame| {
        for (seq, entry) in (frame.header.first_seq..).zip(frame.entries()) {
            if entry.kind() == EntryKind::Day {
                let begins = DayMark::parse(entry.payload).is_ok_and(|mark| mark.is_start);
                open_day = begins.then_some(seq);
            }
        }
        Ok::<_, Failure>(ControlFlow::Continue(()))
    })?;
    match open_day {
        Some(begins) if wanted > begins => {
            let what = format!("--before {wanted}: the open trading day begins at seq {begins}, and stays");
            Err(Failure::new(USAGE, what))
        }
        _ => Ok(wanted),
    }
}

/// The backup has what lies before `to_next`.
fn covers(path: &Path, journal: &JournalReader, log: &StoredLog, to_next: Seq) -> Result<(), Failure> {
    let manifest = verified(path)?.manifest;
    if manifest.oldest_seq > log.oldest_seq || manifest.next < to_next {
        let what = format!(
            "the backup has seqs {} to {}, and {} to {} would be removed",
            manifest.oldest_seq,
            manifest.next - 1,
            log.oldest_seq,
            to_next - 1
        );
        return Err(Failure::new(USAGE, what));
    }
    if !path.is_dir() {
        return Err(Failure::new(
            USAGE,
            "give a backup that is a folder: its log is compared with the journal's",
        ));
    }
    let backup = JournalReader::open(path)?;
    match journal.compare(&backup, [log, &backup.log()?])? {
        LogComparison::Equal { .. } => Ok(()),
        _ => {
            let what =
                "the backup has another log than the journal (`lockstep journal diff` shows where they part)";
            Err(Failure::new(INTEGRITY, what))
        }
    }
}
