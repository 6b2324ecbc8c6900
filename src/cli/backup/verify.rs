//! `backup verify`: all bytes of a backup are read.

use super::VerifyArgs;
use super::view::BackupView;
use crate::cli::Failure;
use crate::cli::failure::{FAILED, INTEGRITY};
use lockstep_io::clock::Utc;
use lockstep_replica::journal::{Damage, Verified, verify_segments};
use serde_json::json;
use std::io::Write;
use std::path::Path;

/// The version of what `--json` prints.
const SCHEMA: &str = "lockstep.backup.verify/1";

pub(super) fn run(args: &VerifyArgs) -> Result<u8, Failure> {
    let view = BackupView::open(&args.backup)?;
    let (read, damage) = verify(&view)?;
    let mut out = std::io::stdout();
    let manifest = &view.manifest;
    if args.json {
        let rows = damage.iter().map(|one| {
            let seq = (one.seq != 0).then_some(one.seq);
            json!({ "file": one.file, "byte": one.offset, "seq": seq, "what": one.what })
        });
        let value = json!({
            "schema": SCHEMA, "backup": args.backup.display().to_string(),
            "history": format!("{:016x}", manifest.history), "oldest_seq": manifest.oldest_seq,
            "next": manifest.next, "chain": format!("{:016x}", manifest.chain), "made_ns": manifest.made_ns,
            "segments": read.segments, "records": read.records, "bytes": read.bytes,
            "damage": rows.collect::<Vec<_>>(),
        });
        writeln!(out, "{value}")?;
    }
    refuse_damage(&args.backup, &damage)?;
    if !args.json {
        writeln!(
            out,
            "backup {}: seqs {} to {} of history {:016x}, chain {:016x}, made {}; {} segments, {} records, {} bytes, no \
             damage",
            args.backup.display(),
            manifest.oldest_seq,
            manifest.next - 1,
            manifest.history,
            manifest.chain,
            Utc(manifest.made_ns),
            read.segments,
            read.records,
            read.bytes
        )?;
    }
    Ok(0)
}

/// Whether a file of the manifest is not there: then nothing names its place better.
fn is_gone(what: &str) -> bool {
    what.starts_with("the file is gone")
}

fn refuse_damage(path: &Path, damage: &[Damage]) -> Result<(), Failure> {
    if damage.is_empty() {
        return Ok(());
    }
    let places: Vec<String> = damage.iter().map(|damage| format!("\n  {damage}")).collect();
    Err(Failure::new(INTEGRITY, format!("backup {} is damaged:{}", path.display(), places.concat())))
}

/// The backup at `path`, all of which was read and is as it was written.
pub fn verified(path: &Path) -> Result<BackupView, Failure> {
    let view = BackupView::open(path)?;
    let (_, damage) = verify(&view)?;
    refuse_damage(path, &damage)?;
    Ok(view)
}

/// Reads it: every record by its own seal, each file by its digest, and the log from its start to its end.
fn verify(view: &BackupView) -> Result<(Verified, Vec<Damage>), Failure> {
    // What it should have: a manifest proves itself, and not that it was written by a backup.
    let unsound = view.manifest.unsound();
    let wrong = view.wrong_files()?;
    let read = verify_segments(view, 0).map_err(|error| Failure::new(FAILED, error))?;
    let mut damage = read.damage.clone();
    // A record names its place more exactly than the digest of its file.
    let is_gone =
        |damage: &Damage| wrong.iter().any(|(_, one)| one.file == damage.file && is_gone(&one.what));
    damage.retain(|damage| !is_gone(damage));
    let is_named = |file: &str| damage.iter().any(|damage| damage.file == file);
    let rest: Vec<Damage> =
        wrong.iter().filter(|(file, _)| !is_named(&file.file)).map(|(_, one)| one.clone()).collect();
    damage.extend(rest);
    let end = view.manifest.end();
    damage.extend(unsound);
    if damage.is_empty() && read.end != Some(end) {
        let what = format!("the segments end at {:?}, the manifest has {end:?}", read.end);
        damage.push(Damage::new(super::manifest::MANIFEST, 0, end.next, what));
    }
    Ok((read, damage))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::backup::manifest::{MANIFEST, Manifest};
    use lockstep_core::proto::log::LogEnd;
    use lockstep_replica::journal::{ExpectedSegments, stored_log};

    #[test]
    fn a_backup_whose_manifest_lists_no_segments_is_damaged_and_not_restored() {
        let folder = tempfile::tempdir().expect("a folder");
        let nothing = lockstep_replica::journal::memory::MemoryStore::default();
        let log = stored_log(&nothing, ExpectedSegments::default()).expect("an empty log");
        for end in [LogEnd::BLANK, LogEnd { next: 400, ..LogEnd::BLANK }] {
            let mut manifest = Manifest::begin(7, &log, None);
            manifest.set_end(end);
            std::fs::write(folder.path().join(MANIFEST), manifest.text().expect("JSON")).expect("written");
            let failure = verified(folder.path()).expect_err("no backup");
            assert_eq!(failure.code(), INTEGRITY, "{failure}");
        }
    }
}
