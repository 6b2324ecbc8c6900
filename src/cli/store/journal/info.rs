//! `journal info`: whose journal it is, and what is in it, by one reading of its log.

use super::ListingArgs;
use crate::cli::shared::shown::shown;
use lockstep_daemon::Failure;
use lockstep_daemon::failure::INTEGRITY;
use lockstep_io::clock::Utc;
use lockstep_operations::journal::JournalInfo;
use lockstep_replica::journal::proof::RunRecord;
use lockstep_wire::PublisherId;
use serde_json::{Value, json};
use std::io::Write;

/// The version of what `--json` prints.
const SCHEMA: &str = "lockstep.journal.info/1";
/// Rows of a kind that people see, the newest ones.
const ROWS_SHOWN: usize = 16;

pub(super) fn run(args: &ListingArgs) -> Result<u8, Failure> {
    let info = JournalInfo::read(&args.open()?)?;
    let mut out = std::io::stdout();
    if args.json {
        writeln!(out, "{}", as_json(&info))?;
    } else {
        as_text(&info, &mut out)?;
    }
    match info.damage.first() {
        Some(first) => {
            Err(Failure::new(INTEGRITY, format!("journal {} is damaged: {first}", info.dir.display())))
        }
        None => Ok(0),
    }
}

/// How the last run stands.
fn run_state(info: &JournalInfo) -> String {
    let by = |run: &RunRecord| format!("{:?}", run.weakest_durability).to_lowercase();
    match (&info.superblock, info.open_by) {
        (None, _) => "a backup, or a copy without a superblock".into(),
        (Some(_), Some(pid)) => format!("open by process {pid}"),
        (Some(superblock), None) if superblock.run.clean => "stopped cleanly".into(),
        (Some(superblock), None) => format!(
            "no process has it open, and the last stop was not clean; acknowledged by {} since",
            by(&superblock.run)
        ),
    }
}

fn name_of(info: &JournalInfo, id: PublisherId) -> &str {
    info.publisher(id).unwrap_or("(unknown)")
}

fn as_text(info: &JournalInfo, out: &mut impl Write) -> std::io::Result<()> {
    let (log, content) = (&info.log, &info.content);
    let mut line = |what: &str, value: String| writeln!(out, "{what:<10} {value}");
    let owner = info
        .owner()
        .map_or_else(String::new, |(identity, cluster)| format!(": {identity} of cluster {cluster:#x}"));
    line("journal", format!("{}{owner}", info.dir.display()))?;
    line("state", run_state(info))?;
    if log.oldest_seq == log.end.next {
        line("holds", "nothing".into())?;
        return info.damage.iter().try_for_each(|damage| line("damage", damage.clone()));
    }
    line("history", format!("{:016x}", log.lineage.history()))?;
    for ancestor in log.lineage.ancestors() {
        line("", format!("founded at seq {} on {:016x}", ancestor.next, ancestor.history))?;
    }
    line("holds", format!("seqs {} to {}, chain {:016x}", log.oldest_seq, log.end.next - 1, log.end.chain))?;
    line("committed", format!("at least up to seq {}", log.commit_next - 1))?;
    if let Some(first) = content.first_time {
        line("time", format!("{} to {}", Utc(first), Utc(content.last_time)))?;
    }
    line("size", format!("{} bytes", info.bytes))?;
    let members: Vec<_> = log.checkpoint.members.iter().map(|member| member.identity().to_string()).collect();
    line("members", members.join(", "))?;
    let kinds: Vec<_> = content.entries.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    line("entries", kinds.join(", "))?;
    let (older, epochs) = content.epochs.last(ROWS_SHOWN);
    if older > 0 {
        line("epochs", format!("{older} older ones"))?;
    }
    for (epoch, seq, time) in epochs {
        let since = if *time == 0 { String::new() } else { format!(", {}", Utc(*time)) };
        line("epoch", format!("{epoch} from seq {seq}{since}"))?;
    }
    let (older, days) = content.days.last(ROWS_SHOWN);
    if older > 0 {
        line("days", format!("{older} older ones"))?;
    }
    for day in days {
        let end = day.ends.map_or("open".to_owned(), |seq| format!("to seq {seq}"));
        line("day", format!("{} from seq {}, {end}", shown(&day.name), day.begins))?;
    }
    for (id, (count, bytes)) in &content.messages {
        let row = log.checkpoint.publishers.get(id);
        let state = if row.is_some_and(|row| row.closed) { ", closed" } else { "" };
        let last = row.map_or(0, |row| row.last);
        line(
            "publisher",
            format!(
                "{id} {}: {count} messages here, {bytes} bytes, last number {last}{state}",
                shown(name_of(info, *id))
            ),
        )?;
    }
    if let Some((file, offset)) = &log.torn {
        line(
            "torn",
            format!("{file} ends at byte {offset} in a write that is in progress or was interrupted"),
        )?;
    }
    info.damage.iter().try_for_each(|damage| line("damage", damage.clone()))
}

fn as_json(info: &JournalInfo) -> Value {
    let (log, content) = (&info.log, &info.content);
    let (identity, cluster) = info.owner().unzip();
    let ancestors =
        log.lineage.ancestors().iter().map(
            |ancestor| json!({ "history": format!("{:016x}", ancestor.history), "next": ancestor.next }),
        );
    let epochs =
        content.epochs.rows.iter().map(
            |(epoch, seq, time)| json!({ "epoch": epoch.to_string(), "seq": seq, "timestamp_ns": time }),
        );
    let days = content
        .days
        .rows
        .iter()
        .map(|day| json!({ "name": day.name, "begins": day.begins, "ends": day.ends }));
    let publishers = content.messages.iter().map(|(id, (count, bytes))| {
        let row = log.checkpoint.publishers.get(id);
        json!({ "publisher": id, "name": name_of(info, *id), "messages": count, "bytes": bytes,
            "last": row.map(|row| row.last), "closed": row.map(|row| row.closed) })
    });
    json!({
        "schema": SCHEMA, "journal": info.dir.display().to_string(), "identity": identity.map(|identity| identity.to_string()),
        "cluster": cluster.map(|cluster| format!("{cluster:016x}")),
        "open_by": info.open_by, "clean": info.superblock.map(|superblock| superblock.run.clean),
        "history": format!("{:016x}", log.lineage.history()), "former": ancestors.collect::<Vec<_>>(),
        "oldest_seq": log.oldest_seq, "next": log.end.next, "chain": format!("{:016x}", log.end.chain),
        "commit_next": log.commit_next, "bytes": info.bytes, "from_ns": content.first_time,
        "to_ns": content.last_time, "entries": content.entries,
        "members": log.checkpoint.members.iter().map(|m| m.identity().to_string()).collect::<Vec<_>>(),
        "epochs": epochs.collect::<Vec<_>>(), "days": days.collect::<Vec<_>>(),
        "publishers": publishers.collect::<Vec<_>>(),
        "torn": log.torn.map(|(file, offset)| json!({ "file": file.to_string(), "byte": offset })),
        "damage": info.damage.first(), "damages": info.damage,
    })
}
