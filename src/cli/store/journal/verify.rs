//! `journal verify`: every record of a journal is read. `format --verify` prints the same.

use super::ListingArgs;
use lockstep_daemon::Failure;
use serde_json::json;
use std::io::Write;
use std::path::Path;

/// The version of what `--json` prints.
const SCHEMA: &str = "lockstep.journal.verify/1";

pub(super) fn run(args: &ListingArgs) -> Result<u8, Failure> {
    let journal = args.open()?;
    let verified = journal.verify()?;
    let mut out = std::io::stdout();
    if args.json {
        let damage = |one: &lockstep_replica::journal::Damage| {
            let seq = (one.seq != 0).then_some(one.seq);
            json!({ "file": one.file, "byte": one.offset, "seq": seq, "what": one.what })
        };
        let value = json!({
            "schema": SCHEMA, "journal": journal.dir().display().to_string(), "segments": verified.segments,
            "records": verified.records, "bytes": verified.bytes, "next": verified.end.map(|end| end.next),
            "chain": verified.end.map(|end| format!("{:016x}", end.chain)),
            "damage": verified.damage.iter().map(damage).collect::<Vec<_>>(),
        });
        writeln!(out, "{value}")?;
    }
    let summary = summary(journal.dir(), lockstep_node::judged(journal.dir(), verified)?);
    if !args.json {
        writeln!(out, "{summary}")?;
    }
    Ok(0)
}

/// How much was read, of a journal without damage.
pub fn summary(dir: &Path, verified: lockstep_replica::journal::Verified) -> String {
    let (segments, records, bytes) = (verified.segments, verified.records, verified.bytes);
    format!("journal {}: {segments} segments, {records} records, {bytes} bytes, no damage", dir.display())
}
