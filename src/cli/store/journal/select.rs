//! Which entries of a log are meant: a range, a publisher, a destination, a time.

use super::entry::LogEntry;
use crate::cli::shared::shown::shown;
use clap::Args;
use lockstep_daemon::Failure;
use lockstep_daemon::failure::{INTEGRITY, USAGE};
use lockstep_io::clock::Utc;
use lockstep_node::{JournalReader, joined_from};
use lockstep_replica::journal::StoredLog;
use lockstep_wire::{Destination, FrameView, Nanos, PublisherId, Seq};
use std::cell::Cell;
use std::ops::ControlFlow;
use std::path::Path;

/// The flags.
#[derive(Args, Debug)]
pub struct SelectArgs {
    /// The first seq; the oldest one without it
    #[arg(long, value_name = "SEQ")]
    pub from: Option<Seq>,
    /// The last seq; the newest one without it
    #[arg(long, value_name = "SEQ")]
    pub to: Option<Seq>,
    /// Only entries of this publisher, by its name or id
    #[arg(long, value_name = "NAME|ID")]
    pub publisher: Option<String>,
    /// Only entries to this destination
    #[arg(long, value_name = "N")]
    pub destination: Option<Destination>,
    /// Only entries from this time on: 2026-11-21, 2026-11-21T09:30:00Z (UTC), or so long ago, like 10min
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub since: Option<Nanos>,
    /// Only entries before this time
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub until: Option<Nanos>,
    /// Only entries that are known to be committed
    #[arg(long)]
    pub committed: bool,
}

/// A time, or a duration before now.
fn moment(text: &str) -> Result<Nanos, String> {
    if let Some(Utc(time)) = Utc::parse(text) {
        return Ok(time);
    }
    let ago = lockstep_daemon::config::duration(text).map_err(
        |_| "write a day like 2026-11-21, a time like 2026-11-21T09:30:00Z, or 10min for that long ago",
    )?;
    Ok(Utc::now().0.saturating_sub(ago.as_nanos() as Nanos))
}

/// The flags, for one log.
pub(super) struct Selection<'a> {
    args: &'a SelectArgs,
    log: &'a StoredLog,
    publisher: Option<PublisherId>,
    /// The range that is read.
    pub from: Seq,
    pub to_next: Seq,
    /// The last seq at which the stream's time goes back: before it, what lies further back may be earlier.
    set_back_at: Seq,
    /// An entry at or behind `--until` was met: nothing that lies further back is wanted.
    is_passed: Cell<bool>,
}

impl<'a> Selection<'a> {
    pub fn new(args: &'a SelectArgs, journal: &JournalReader, log: &'a StoredLog) -> Result<Self, Failure> {
        let publisher = args.publisher.as_deref().map(|text| publisher(text, log)).transpose()?;
        let mut from = args.from.unwrap_or(log.oldest_seq);
        // Where it should have them, that is damage, and no wrong use.
        if from < log.oldest_seq && !log.gone.iter().any(|gone| gone.from < log.oldest_seq) {
            let what = format!(
                "the oldest seq of {} is {}: retention has removed those before, or it never had them; begin there, \
                 or read an archiver's journal",
                journal.dir().display(),
                log.oldest_seq
            );
            return Err(Failure::new(USAGE, what));
        }
        from = from.max(log.oldest_seq);
        if let Some(since) = args.since {
            // The newest segment before the first one with anything that is wanted.
            let early = |row: &lockstep_replica::journal::SegmentOverview| {
                row.times.is_some_and(|(_, to)| to < since)
            };
            let rows = journal.overview()?;
            let before = rows.iter().flatten().take_while(|row| early(row)).last();
            from = from.max(before.map_or(0, |row| row.seqs.1.min(log.end.next)));
        }
        let bound = if args.committed { log.commit_next } else { log.end.next };
        let set_back_at = match args.until {
            Some(_) => journal.overview()?.iter().flatten().filter_map(|row| row.set_back_at).max(),
            None => None,
        };
        let set_back_at = set_back_at.unwrap_or(0);
        let to_next = args.to.map_or(bound, |to| to.saturating_add(1).min(bound));
        Ok(Self { args, log, publisher, from, to_next, set_back_at, is_passed: Cell::new(false) })
    }

    /// What follows from the damage that was met or known before, once as much as possible was written:
    /// `written` says of what, up to which seq.
    pub fn judge(
        &self,
        read: Result<(), Failure>,
        dir: &Path,
        written: impl FnOnce() -> String,
    ) -> Result<(), Failure> {
        // A request by time asks for no beginning.
        let begin = self.args.from.or(self.args.since.map(|_| self.log.oldest_seq));
        let to_next = if self.is_passed.get() {
            Some(self.log.end.next)
        } else {
            self.args.to.map(|to| to.saturating_add(1))
        };
        let why = match (read, self.log.lacks(begin, to_next)) {
            (Ok(()), None) => return Ok(()),
            (Ok(()), Some(damage)) => format!("journal {} is damaged: {damage}", dir.display()),
            (Err(failure), _) if failure.code() == INTEGRITY => failure.to_string(),
            (Err(failure), _) => return Err(failure),
        };
        Err(Failure::new(INTEGRITY, format!("{why}; {} is a part of what was asked for", written())))
    }

    /// Whether the entry is meant.
    pub fn has(&self, entry: &LogEntry<'_>) -> bool {
        let args = self.args;
        entry.seq >= self.from
            && entry.seq < self.to_next
            && self.publisher.is_none_or(|publisher| { entry.header.publisher } == publisher)
            && args.destination.is_none_or(|destination| { entry.header.destination } == destination)
            && args.since.is_none_or(|since| entry.time >= since)
            // The birth of a history, and the start of its first epoch, have no time.
            && args.until.is_none_or(|until| (1..until).contains(&entry.time))
    }

    /// Passes on the entries of the range and those before it in which messages of the range may begin, those
    /// of a message's parts each; the caller asks [`Self::has`].
    pub fn each(
        &self,
        journal: &JournalReader,
        mut on_entry: impl FnMut(&LogEntry<'_>, &FrameView<'_>) -> Result<ControlFlow<()>, Failure>,
    ) -> Result<(), Failure> {
        // A message of the range may begin before it.
        let from = joined_from(self.from).max(self.log.oldest_seq);
        journal.read(from, self.to_next, |frame| {
            let is_late = self.args.until.is_some_and(|until| frame.header.timestamp >= until);
            if is_late && frame.header.first_seq >= self.set_back_at {
                self.is_passed.set(true);
                return Ok(ControlFlow::Break(()));
            }
            for (seq, entry) in (frame.header.first_seq..self.to_next).zip(frame.entries()) {
                let entry = LogEntry {
                    seq,
                    epoch: frame.header.epoch(),
                    history: frame.header.history,
                    time: frame.header.timestamp + Nanos::from(entry.header.time_or_incarnation),
                    header: entry.header,
                    kind: entry.kind(),
                    payload: entry.payload,
                    is_committed: seq < self.log.commit_next,
                };
                if on_entry(&entry, frame)?.is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
            Ok(ControlFlow::Continue(()))
        })
    }

    /// For people: which of the range is not known to be committed.
    pub fn report_uncommitted(&self) {
        let first = self.log.commit_next.max(self.from);
        if first < self.to_next {
            eprintln!(
                "seqs {first} to {} are stored, and nothing in this journal says that they are committed",
                self.to_next - 1
            );
        }
    }
}

fn publisher(text: &str, log: &StoredLog) -> Result<PublisherId, Failure> {
    let rows = &log.checkpoint.publishers;
    if let Some((id, _)) = rows.iter().find(|(_, row)| row.name == text) {
        return Ok(*id);
    }
    text.parse().map_err(|_| {
        let names: Vec<_> = rows.values().take(16).map(|row| shown(&row.name)).collect();
        let more = if rows.len() > names.len() { ", …" } else { "" };
        Failure::new(
            USAGE,
            format!("no publisher '{text}' in this journal: it has {}{more}", names.join(", ")),
        )
    })
}
