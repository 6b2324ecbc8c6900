//! `journal info`: whose journal it is, and what is in it, by one reading of its log.

use super::ListingArgs;
use crate::cli::Failure;
use crate::cli::failure::INTEGRITY;
use crate::cli::shown::shown;
use lockstep_io::clock::Utc;
use lockstep_node::JournalReader;
use lockstep_operations::journal::kind_name;
use lockstep_replica::journal::proof::RunRecord;
use lockstep_replica::journal::{StoredLog, Superblock};
use lockstep_wire::{DayMark, EntryKind, Epoch, FrameView, Nanos, PublisherId, Seq};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Write;
use std::ops::ControlFlow;

/// The version of what `--json` prints.
const SCHEMA: &str = "lockstep.journal.info/1";
/// Rows of a kind that are remembered, the newest ones.
const ROWS_MAX: usize = 4_096;
/// Rows of a kind that people see, the newest ones.
const ROWS_SHOWN: usize = 16;

/// What one reading of a log counts.
#[derive(Default)]
struct LogContent {
    entries: BTreeMap<&'static str, u64>,
    /// Messages and their bytes, by publisher.
    messages: BTreeMap<PublisherId, (u64, u64)>,
    epochs: NewestRows<(Epoch, Seq, Nanos)>,
    days: NewestRows<DayRow>,
    first_time: Option<Nanos>,
    last_time: Nanos,
}

/// A trading day.
#[derive(Clone)]
struct DayRow {
    name: String,
    begins: Seq,
    ends: Option<Seq>,
}

/// The newest rows, and how many there were.
struct NewestRows<T> {
    rows: std::collections::VecDeque<T>,
    count: u64,
}

impl<T> Default for NewestRows<T> {
    fn default() -> Self {
        Self { rows: std::collections::VecDeque::new(), count: 0 }
    }
}

impl<T> NewestRows<T> {
    fn push(&mut self, row: T) {
        self.count += 1;
        if self.rows.len() == ROWS_MAX {
            self.rows.pop_front();
        }
        self.rows.push_back(row);
    }

    /// The last rows for people, and how many are left out.
    fn shown(&self) -> (u64, impl Iterator<Item = &T>) {
        let skipped = self.rows.len().saturating_sub(ROWS_SHOWN);
        (self.count - (self.rows.len() - skipped) as u64, self.rows.iter().skip(skipped))
    }
}

impl LogContent {
    fn take(&mut self, frame: &FrameView<'_>) {
        let (first, time, epoch) = (frame.header.first_seq, frame.header.timestamp, frame.header.epoch());
        // The birth of a history, and the start of its first epoch, have no time.
        self.first_time = self.first_time.or(Some(time).filter(|time| *time > 0));
        self.last_time = time;
        if self.epochs.rows.back().is_none_or(|(last, ..)| *last != epoch) {
            self.epochs.push((epoch, first, time));
        }
        for (seq, entry) in (first..).zip(frame.entries()) {
            let kind = entry.kind();
            *self.entries.entry(kind_name(kind)).or_default() += 1;
            match kind {
                EntryKind::Message => {
                    let (count, bytes) = self.messages.entry(entry.header.publisher).or_default();
                    (*count, *bytes) = (*count + 1, *bytes + entry.payload.len() as u64);
                }
                EntryKind::Day => match DayMark::parse(entry.payload) {
                    Ok(mark) if mark.is_start => {
                        self.days.push(DayRow { name: mark.name.to_owned(), begins: seq, ends: None });
                    }
                    _ => {
                        if let Some(open) = self.days.rows.back_mut().filter(|day| day.ends.is_none()) {
                            open.ends = Some(seq);
                        }
                    }
                },
                _ => {}
            }
        }
    }
}

pub(super) fn run(args: &ListingArgs) -> Result<u8, Failure> {
    let journal = args.open()?;
    let superblock = journal.superblock()?;
    let log = journal.log()?;
    let bytes: u64 = journal.overview()?.iter().flatten().map(|row| row.bytes).sum();
    let mut content = LogContent::default();
    let read = journal.read(log.oldest_seq, log.end.next, |frame| {
        content.take(frame);
        Ok::<_, Failure>(ControlFlow::Continue(()))
    });
    // First what could be read, and then what could not.
    let unread = match read {
        Err(failure) if failure.code() == INTEGRITY => Some(failure.to_string()),
        read => read.map(|()| None)?,
    };
    let damage: Vec<String> = log.damages().map(|damage| damage.to_string()).chain(unread).collect();
    let report = JournalInfo { journal: &journal, superblock, log: &log, bytes, content, damage: &damage };
    let mut out = std::io::stdout();
    match args.json {
        true => writeln!(out, "{}", report.json())?,
        false => report.text(&mut out)?,
    }
    match damage.first() {
        Some(first) => {
            Err(Failure::new(INTEGRITY, format!("journal {} is damaged: {first}", journal.dir().display())))
        }
        None => Ok(0),
    }
}

struct JournalInfo<'a> {
    journal: &'a JournalReader,
    superblock: Option<Superblock>,
    log: &'a StoredLog,
    bytes: u64,
    content: LogContent,
    damage: &'a [String],
}

impl JournalInfo<'_> {
    /// How the last run stands.
    fn run_state(&self) -> String {
        let by = |run: &RunRecord| format!("{:?}", run.weakest_durability).to_lowercase();
        match (&self.superblock, self.journal.open_by()) {
            (None, _) => "a backup, or a copy without a superblock".into(),
            (Some(_), Some(pid)) => format!("open by process {pid}"),
            (Some(superblock), None) if superblock.run.clean => "stopped cleanly".into(),
            (Some(superblock), None) => format!(
                "no process has it open, and the last stop was not clean; acknowledged by {} since",
                by(&superblock.run)
            ),
        }
    }

    fn identity(&self) -> Option<(String, u64)> {
        let named = self.superblock.map(|superblock| (superblock.identity, superblock.cluster));
        named.or(self.log.owner).map(|(identity, cluster)| (identity.to_string(), cluster))
    }

    fn name_of(&self, id: PublisherId) -> &str {
        self.log.checkpoint.publishers.get(&id).map_or("(unknown)", |row| row.name.as_str())
    }

    fn text(&self, out: &mut impl Write) -> std::io::Result<()> {
        let (log, content) = (self.log, &self.content);
        let mut line = |what: &str, value: String| writeln!(out, "{what:<10} {value}");
        let owner = self
            .identity()
            .map_or_else(String::new, |(identity, cluster)| format!(": {identity} of cluster {cluster:#x}"));
        line("journal", format!("{}{owner}", self.journal.dir().display()))?;
        line("state", self.run_state())?;
        if log.oldest_seq == log.end.next {
            line("holds", "nothing".into())?;
            return self.damage.iter().try_for_each(|damage| line("damage", damage.clone()));
        }
        line("history", format!("{:016x}", log.lineage.history()))?;
        for ancestor in log.lineage.ancestors() {
            line("", format!("founded at seq {} on {:016x}", ancestor.next, ancestor.history))?;
        }
        line(
            "holds",
            format!("seqs {} to {}, chain {:016x}", log.oldest_seq, log.end.next - 1, log.end.chain),
        )?;
        line("committed", format!("at least up to seq {}", log.commit_next - 1))?;
        if let Some(first) = content.first_time {
            line("time", format!("{} to {}", Utc(first), Utc(content.last_time)))?;
        }
        line("size", format!("{} bytes", self.bytes))?;
        let members: Vec<_> =
            log.checkpoint.members.iter().map(|member| member.identity().to_string()).collect();
        line("members", members.join(", "))?;
        let kinds: Vec<_> = content.entries.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
        line("entries", kinds.join(", "))?;
        let (older, epochs) = content.epochs.shown();
        if older > 0 {
            line("epochs", format!("{older} older ones"))?;
        }
        for (epoch, seq, time) in epochs {
            let since = if *time == 0 { String::new() } else { format!(", {}", Utc(*time)) };
            line("epoch", format!("{epoch} from seq {seq}{since}"))?;
        }
        let (older, days) = content.days.shown();
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
                    shown(self.name_of(*id))
                ),
            )?;
        }
        if let Some((file, offset)) = &log.torn {
            line(
                "torn",
                format!("{file} ends at byte {offset} in a write that is in progress or was interrupted"),
            )?;
        }
        self.damage.iter().try_for_each(|damage| line("damage", damage.clone()))
    }

    fn json(&self) -> Value {
        let (log, content) = (self.log, &self.content);
        let (identity, cluster) = self.identity().unzip();
        let ancestors = log.lineage.ancestors().iter().map(
            |ancestor| json!({ "history": format!("{:016x}", ancestor.history), "next": ancestor.next }),
        );
        let epochs = content.epochs.rows.iter().map(
            |(epoch, seq, time)| json!({ "epoch": epoch.to_string(), "seq": seq, "timestamp_ns": time }),
        );
        let days = content
            .days
            .rows
            .iter()
            .map(|day| json!({ "name": day.name, "begins": day.begins, "ends": day.ends }));
        let publishers = content.messages.iter().map(|(id, (count, bytes))| {
            let row = log.checkpoint.publishers.get(id);
            json!({ "publisher": id, "name": self.name_of(*id), "messages": count, "bytes": bytes,
                "last": row.map(|row| row.last), "closed": row.map(|row| row.closed) })
        });
        json!({
            "schema": SCHEMA, "journal": self.journal.dir().display().to_string(), "identity": identity,
            "cluster": cluster.map(|cluster| format!("{cluster:016x}")),
            "open_by": self.journal.open_by(), "clean": self.superblock.map(|superblock| superblock.run.clean),
            "history": format!("{:016x}", log.lineage.history()), "former": ancestors.collect::<Vec<_>>(),
            "oldest_seq": log.oldest_seq, "next": log.end.next, "chain": format!("{:016x}", log.end.chain),
            "commit_next": log.commit_next, "bytes": self.bytes, "from_ns": content.first_time,
            "to_ns": content.last_time, "entries": content.entries,
            "members": log.checkpoint.members.iter().map(|m| m.identity().to_string()).collect::<Vec<_>>(),
            "epochs": epochs.collect::<Vec<_>>(), "days": days.collect::<Vec<_>>(),
            "publishers": publishers.collect::<Vec<_>>(),
            "torn": log.torn.map(|(file, offset)| json!({ "file": file.to_string(), "byte": offset })),
            "damage": self.damage.first(), "damages": self.damage,
        })
    }
}
