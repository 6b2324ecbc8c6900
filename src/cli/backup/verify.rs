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
    let wrong = view.wrong_files()?;
    let read = verify_segments(view, 0).map_err(|error| Failure::new(FAILED, error))?;
    let mut damage = read.damage.clone();
    // A record names its place more exactly than the digest of its file.
    let is_named = |file: &str| read.damage.iter().any(|damage| damage.file == file);
    damage.extend(wrong.into_iter().filter(|(file, _)| !is_named(&file.file)).map(|(_, damage)| damage));
    let end = view.manifest.end();
    if damage.is_empty() && !view.manifest.segments.is_empty() && read.end != Some(end) {
        let what = format!("the segments end at {:?}, the manifest has {end:?}", read.end);
        damage.push(Damage::new(super::manifest::MANIFEST, 0, end.next, what));
    }
    Ok((read, damage))
}
