//! `journal ls`: a row for each segment.

use super::ListingArgs;
use lockstep_daemon::Failure;
use lockstep_daemon::failure::INTEGRITY;
use lockstep_io::clock::Utc;
use lockstep_replica::journal::SegmentOverview;
use lockstep_replica::journal::ports::FileName;
use lockstep_wire::Nanos;
use serde_json::{Value, json};
use std::io::Write;

/// The version of what `--json` prints.
const SCHEMA: &str = "lockstep.journal.ls/1";

pub(super) fn run(args: &ListingArgs) -> Result<u8, Failure> {
    let journal = args.open()?;
    let rows = journal.overview()?;
    let mut out = std::io::stdout().lock();
    if args.json {
        let rows: Vec<Value> =
            rows.iter().map(|row| row.as_ref().map_or_else(damage_json, json_of)).collect();
        let dir = journal.dir().display().to_string();
        writeln!(out, "{}", json!({ "schema": SCHEMA, "journal": dir, "segments": rows }))?;
    } else {
        writeln!(
            out,
            "{:>10}  {:<22}  {:<27}  {:<27}  {:>11}  {:<13}  epochs",
            "segment", "seqs", "from", "to", "bytes", "state"
        )?;
        for row in &rows {
            match row {
                Ok(row) => text_of(&mut out, row)?,
                Err(damage) => writeln!(out, "{damage}")?,
            }
        }
    }
    match rows.into_iter().find_map(Result::err) {
        Some(damage) => {
            Err(Failure::new(INTEGRITY, format!("journal {}: {damage}", journal.dir().display())))
        }
        None => Ok(0),
    }
}

fn state_of(row: &SegmentOverview) -> &'static str {
    match (row.is_sealed, row.file) {
        (_, FileName::Packed(_)) => "sealed,packed",
        (true, _) => "sealed",
        (false, _) => "active",
    }
}

/// A time of the stream; the birth of a history, and the start of its first epoch, have none.
fn time_text(time: Nanos) -> String {
    if time == 0 { "-".to_owned() } else { Utc(time).to_string() }
}

fn text_of(out: &mut impl Write, row: &SegmentOverview) -> std::io::Result<()> {
    let (first, next) = row.seqs;
    let seqs = if next > first { format!("{first} to {}", next - 1) } else { "none".to_owned() };
    let [from, to] = row.times.map_or([String::new(), String::new()], |(from, to)| [from, to].map(time_text));
    let epochs = match row.epochs {
        Some((first, last)) if first == last => first.to_string(),
        Some((first, last)) => format!("{first} to {last}"),
        None => String::new(),
    };
    let replaced =
        row.replaced_from.map_or_else(String::new, |seq| format!("; a takeover replaced seqs from {seq} on"));
    let state = state_of(row);
    writeln!(
        out,
        "{:>10}  {seqs:<22}  {from:<27}  {to:<27}  {:>11}  {state:<13}  {epochs}{replaced}",
        row.number, row.bytes
    )
}

fn json_of(row: &SegmentOverview) -> Value {
    json!({
        "number": row.number, "file": row.file.to_string(), "bytes": row.bytes,
        "first_seq": row.seqs.0, "next_seq": row.seqs.1,
        "first_epoch": row.epochs.map(|(first, _)| first.to_string()),
        "last_epoch": row.epochs.map(|(_, last)| last.to_string()),
        "from_ns": row.times.map(|(from, _)| from), "to_ns": row.times.map(|(_, to)| to),
        "replaced_from": row.replaced_from, "state": state_of(row),
    })
}

fn damage_json(damage: &lockstep_replica::journal::Damage) -> Value {
    json!({ "file": damage.file, "damage": damage.to_string() })
}
