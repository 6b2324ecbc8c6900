//! `journal diff`: where two logs part, and how.

use clap::Args;
use lockstep_daemon::Failure;
use lockstep_daemon::failure::INTEGRITY;
use lockstep_node::JournalReader;
use lockstep_operations::journal::kind_name;
use lockstep_replica::journal::{LogComparison, LogDifference, StoredLog};
use lockstep_wire::{Entry, Epoch};
use serde_json::json;
use std::io::Write;
use std::path::PathBuf;

/// The version of what `--json` prints.
const SCHEMA: &str = "lockstep.journal.diff/1";
/// Bytes of a payload that are shown.
const SHOWN: usize = 40;

/// Flags of `journal diff`.
#[derive(Args, Debug)]
pub struct DiffArgs {
    /// A journal's folder, or a backup's
    #[arg(value_name = "DIR")]
    pub a: PathBuf,
    /// Another one
    #[arg(value_name = "DIR")]
    pub b: PathBuf,
    /// Prints JSON
    #[arg(long)]
    pub json: bool,
}

pub(super) fn run(args: &DiffArgs) -> Result<u8, Failure> {
    let (a, b) = (JournalReader::open(&args.a)?, JournalReader::open(&args.b)?);
    let logs = [a.log()?, b.log()?];
    let comparison = a.compare(&b, [&logs[0], &logs[1]])?;
    let (lines, seq) = describe(&comparison, [&a, &b], &logs);
    let mut out = std::io::stdout();
    if args.json {
        let side = |journal: &JournalReader, log: &StoredLog| {
            json!({ "journal": journal.dir().display().to_string(), "oldest_seq": log.oldest_seq, "next": log.end.next,
                "epoch": log.end.epoch.to_string(), "chain": format!("{:016x}", log.end.chain) })
        };
        let value = json!({
            "schema": SCHEMA, "a": side(&a, &logs[0]), "b": side(&b, &logs[1]), "parts_at": seq, "remarks": lines,
        });
        writeln!(out, "{value}")?;
    } else {
        lines.iter().try_for_each(|line| writeln!(out, "{line}"))?;
    }
    match seq {
        Some(seq) => Err(Failure::new(INTEGRITY, format!("the journals part at seq {seq}"))),
        None if comparison == LogComparison::Apart => {
            Err(Failure::new(INTEGRITY, "nothing could be compared: they have no seq in common"))
        }
        // What one of them lacks was not compared.
        None => match [(&a, &logs[0]), (&b, &logs[1])]
            .iter()
            .find_map(|(at, log)| Some((at, log.damages().next()?)))
        {
            Some((journal, damage)) => Err(Failure::new(
                INTEGRITY,
                format!("journal {} is damaged: {damage}", journal.dir().display()),
            )),
            None => Ok(0),
        },
    }
}

/// The result in lines, and the seq at which they part.
fn describe(
    comparison: &LogComparison,
    journals: [&JournalReader; 2],
    logs: &[StoredLog; 2],
) -> (Vec<String>, Option<u64>) {
    let names = journals.map(|journal| journal.dir().display().to_string());
    let range = |log: &StoredLog| format!("seqs {} to {}", log.oldest_seq, log.end.next - 1);
    match comparison {
        LogComparison::Apart => {
            let lines = names.iter().zip(logs).map(|(name, log)| format!("{name}: {}", range(log)));
            (lines.collect(), None)
        }
        LogComparison::Equal { from, to_next } => {
            let mut lines = vec![format!("equal from seq {from} to {}", to_next - 1)];
            for (name, log) in names.iter().zip(logs).filter(|(_, log)| log.end.next > *to_next) {
                lines.push(format!("{name} continues to seq {}", log.end.next - 1));
            }
            (lines, None)
        }
        LogComparison::Parts { from, seq, difference } => {
            let equal = if seq > from {
                format!("equal from seq {from} to {}", seq - 1)
            } else {
                format!("they differ at the first seq that both have, {from}")
            };
            let mut lines = vec![equal, format!("seq {seq} differs:")];
            let each = match difference {
                LogDifference::Entry(both) => both.clone().map(|(epoch, bytes)| entry(epoch, &bytes)),
                LogDifference::Frame(both) => both.map(|(epoch, first)| {
                    format!("epoch {epoch}, in a frame that begins at seq {first}; the entries are equal")
                }),
                LogDifference::Earlier => ["", ""].map(|_| "the chain before it is another one".to_owned()),
            };
            lines.extend(names.iter().zip(each).map(|(name, what)| format!("  {name}: {what}")));
            (lines, Some(*seq))
        }
    }
}

fn entry(epoch: Epoch, bytes: &[u8]) -> String {
    let padded = [bytes, &[0; 8]].concat();
    let Some((entry, _)) = Entry::split(&padded) else { return format!("epoch {epoch}") };
    let header = entry.header;
    let shown = String::from_utf8_lossy(&entry.payload[..entry.payload.len().min(SHOWN)]);
    let more = if entry.payload.len() > SHOWN { "…" } else { "" };
    format!(
        "epoch {epoch}, {} of publisher {}, number {}, to {}, {} bytes: {}{more}",
        kind_name(entry.kind()),
        { header.publisher },
        { header.publisher_seq },
        { header.destination },
        entry.payload.len(),
        shown.escape_debug()
    )
}
