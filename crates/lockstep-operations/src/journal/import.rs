//! `journal import`: an exported log becomes the beginning of a new history, perhaps in another cluster.
//!
//! Messages, opens, closes and days keep their order, publishers and numbers. Whatever the former cluster
//! wrote for itself (epochs, members, orders, signatures) is not imported, so the seqs are new.

use super::{ENTRY_SCHEMA, kind_name};
use crate::OperationError;
use crate::backup::SegmentFile;
use crate::bounded::read_line;
use crate::recover::{Founded, FoundingNotice, check_founder, has_no_leader};
use lockstep_config::Config;
use lockstep_io::clock::{Utc, random_u64};
use lockstep_node::{CopiedLog, NodeSettings, found_history_on_copy};
use lockstep_notary::from_hex;
use lockstep_replica::journal::{CopiedSegment, CopyOwner, MadeLog};
use lockstep_wire::{
    DayMark, Destination, EntryHeader, EntryKind, Epoch, FrameView, GATEWAYS, INCARNATION_MAX, Identity,
    MESSAGE_LEN_MAX, MemberBody, Nanos, OrderView, PART_MORE, PART_NEXT, PublisherId, PublisherSeq, RESERVED,
    Seq, frame_len_max,
};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::time::Duration;

/// Longest line: an entry in hexadecimal digits, and what stands beside it.
const LINE_LEN_MAX: u64 = 1 << 20;
/// Most parts of a message, ...
const PARTS_MAX: usize = 128;
/// ... and most messages that are in parts at a time: what a reader joins with its default memory.
const UNFINISHED_MAX: usize = 256;
/// An entry may lie so far ahead of this host's clock, as clocks differ.
const TIME_AHEAD_NS_MAX: Nanos = 60_000_000_000;
/// Bytes of a segment.
const SEGMENT_LEN: u64 = 64 << 20;

/// Whether an entry is the order that sets the stream's time back. The entries behind it have the time before
/// until that has passed.
fn sets_back(entry: &ExportedEntry) -> bool {
    entry.kind == kind_name(EntryKind::Order)
        && from_hex(&entry.payload_hex)
            .and_then(|payload| OrderView::parse(&payload).ok()?.time_before())
            .is_some()
}

/// A line of the file, as `journal export` writes it.
#[derive(Deserialize)]
struct ExportedEntry {
    schema: String,
    seq: Seq,
    timestamp_ns: Nanos,
    kind: String,
    publisher: PublisherId,
    publisher_seq: PublisherSeq,
    destination: Destination,
    part: Option<String>,
    payload_hex: String,
}

/// A history that is to begin with an exported log.
#[derive(Clone, Copy, Debug)]
pub struct ImportOrder<'a> {
    /// The file that `journal export` wrote as JSON, from the first seq on and without filters.
    pub file: &'a Path,
    /// The cluster's file.
    pub config: &'a Config,
    /// The replica that founds the history; it has no journal.
    pub settings: &'a NodeSettings,
    /// How long to look for a leader.
    pub timeout: Duration,
}

/// Founds the history.
///
/// # Errors
/// This node may found none, the file is not what is exported, somebody leads, the replica has a journal, or
/// files fail.
pub fn import(
    order: &ImportOrder<'_>,
    on_notice: &mut dyn FnMut(FoundingNotice),
) -> Result<Founded, OperationError> {
    let ImportOrder { file: path, config, settings, timeout } = *order;
    check_founder(config, settings)?;
    let file = File::open(path)
        .map_err(|error| OperationError::refused(format_args!("reading {}: {error}", path.display())))?;
    has_no_leader(config, timeout, on_notice)?;
    let owner =
        Identity { replica: settings.replica, incarnation: (random_u64()? as u32 & INCARNATION_MAX).max(1) };
    let history = random_u64()?.max(1);
    let log = CopiedLog { history, promised: Epoch::new(1, owner), owner };
    let mut import = Import::new(settings, owner, history);
    let superblock =
        found_history_on_copy(settings, &log, |dir| import.write_into(dir, path, BufReader::new(file)))?;
    let missing = format!(
        "{} entries that the former cluster wrote for itself; the other {} were imported",
        import.skipped, import.count
    );
    Ok(Founded::new(settings, &superblock, history, missing))
}

/// A message whose last part has not come yet.
#[derive(Clone, Copy)]
struct UnfinishedMessage {
    /// The seq of its first part.
    from: Seq,
    bytes: usize,
    parts: usize,
}

/// An import under way.
struct Import<'a> {
    settings: &'a NodeSettings,
    owner: Identity,
    history: u64,
    /// The number of each publisher's last message.
    publishers: BTreeMap<PublisherId, PublisherSeq>,
    /// The messages whose last part has not come yet.
    parts: BTreeMap<PublisherId, UnfinishedMessage>,
    last_seq: Seq,
    last_time: Nanos,
    /// The latest time that an entry may have.
    time_max: Nanos,
    count: u64,
    skipped: u64,
}

impl<'a> Import<'a> {
    fn new(settings: &'a NodeSettings, owner: Identity, history: u64) -> Self {
        Self {
            settings,
            owner,
            history,
            publishers: BTreeMap::new(),
            parts: BTreeMap::new(),
            last_seq: 0,
            last_time: 0,
            time_max: Utc::now().0.saturating_add(TIME_AHEAD_NS_MAX),
            count: 0,
            skipped: 0,
        }
    }

    /// Writes the log of the file's entries as segments of the journal in `dir`.
    fn write_into(&mut self, dir: &Path, file: &Path, mut lines: impl BufRead) -> Result<(), OperationError> {
        let wrong = |number: usize, what: String| {
            OperationError::refused(format!("{} line {}: {what}", file.display(), number + 1))
        };
        let cluster = self.settings.keys.cluster();
        let mut out = Segments { dir, owner: CopyOwner { cluster, identity: self.owner }, open: None };
        let mut log: Option<MadeLog> = None;
        let mut line = Vec::new();
        for number in 0.. {
            let more = read_line(&mut lines, &mut line, LINE_LEN_MAX);
            if !more.map_err(|error| wrong(number, error.to_string()))? {
                break;
            }
            let entry: ExportedEntry = serde_json::from_slice(&line)
                .map_err(|error| wrong(number, format!("not what `journal export` writes: {error}")))?;
            let made = match &mut log {
                Some(log) => log,
                None => {
                    let member = MemberBody::full(self.owner, self.settings.unicast);
                    let len_max = frame_len_max(self.settings.mtu);
                    let keys = self.settings.keys.clone();
                    let (made, frames) =
                        MadeLog::begin(keys, self.history, member, len_max, entry.timestamp_ns);
                    frames.iter().try_for_each(|frame| out.append(frame))?;
                    log.insert(made)
                }
            };
            let taken = self.take(&entry).map_err(|what| wrong(number, what))?;
            let Some((header, payload)) = taken else { continue };
            let full = made.push(header, entry.timestamp_ns, &payload).map_err(|longest| {
                wrong(
                    number,
                    format!(
                        "{} bytes of payload, a datagram here takes {longest}: the MTU is smaller",
                        payload.len()
                    ),
                )
            })?;
            full.map_or(Ok(()), |frame| out.append(&frame))?;
        }
        let log = log.ok_or_else(|| wrong(0, "the file is empty".into()))?;
        self.check_end().map_err(|what| OperationError::refused(format!("{}: {what}", file.display())))?;
        log.finish().map_or(Ok(()), |frame| out.append(&frame))?;
        out.close()
    }

    /// The entry that the line becomes; `None` for one that is not imported.
    fn take(&mut self, entry: &ExportedEntry) -> Result<Option<(EntryHeader, Vec<u8>)>, String> {
        if entry.schema != ENTRY_SCHEMA {
            return Err(format!("{}, this release reads {}", entry.schema, ENTRY_SCHEMA));
        }
        if entry.seq != self.last_seq + 1 {
            let what = "export from the first seq on, without filters";
            return Err(format!("seq {} behind seq {}: {what}", entry.seq, self.last_seq));
        }
        self.last_seq = entry.seq;
        self.check_time(entry)?;
        let kinds = [EntryKind::Message, EntryKind::Open, EntryKind::Close, EntryKind::Day];
        let kind = kinds.into_iter().find(|kind| kind_name(*kind) == entry.kind);
        let Some(kind) = kind.filter(|_| entry.destination < RESERVED || entry.destination == GATEWAYS)
        else {
            // What notaries sign, processes need and machines report is of the former seqs; numbers go on.
            if let Some(last) = self.publishers.get_mut(&entry.publisher) {
                *last = (*last).max(entry.publisher_seq);
            }
            self.skipped += 1;
            return Ok(None);
        };
        let mut payload =
            from_hex(&entry.payload_hex).ok_or("payload_hex: two hexadecimal digits for each byte")?;
        match kind {
            EntryKind::Open => {
                self.publishers.entry(entry.publisher).or_default();
            }
            EntryKind::Day => payload = bare_day(&payload).ok_or("the payload is no day's mark")?,
            _ => {}
        }
        if kind.is_numbered() {
            let last = self.publishers.get_mut(&entry.publisher);
            let last = last.ok_or_else(|| format!("no line before opens publisher {}", entry.publisher))?;
            if entry.publisher_seq != *last + 1 {
                return Err(format!(
                    "number {} of publisher {} behind {last}",
                    entry.publisher_seq, entry.publisher
                ));
            }
            *last = entry.publisher_seq;
        }
        self.count += 1;
        self.check_part(entry, payload.len())?;
        let flags = match entry.part.as_deref() {
            None => 0,
            Some("first") => PART_MORE,
            Some("middle") => PART_MORE | PART_NEXT,
            Some("last") => PART_NEXT,
            Some(part) => return Err(format!("part '{part}' is not first, middle or last")),
        };
        let header = EntryHeader {
            kind: kind as u8,
            flags,
            length: 0,
            publisher: entry.publisher,
            publisher_seq: entry.publisher_seq,
            destination: entry.destination,
            time_or_incarnation: 0,
        };
        Ok(Some((header, payload)))
    }
}

impl Import<'_> {
    /// Times never fall along a stream but by an operator's order, and one that lies ahead would hold its
    /// clock until it has come.
    fn check_time(&mut self, entry: &ExportedEntry) -> Result<(), String> {
        let (time, last) = (entry.timestamp_ns, self.last_time);
        if time < last && !sets_back(entry) {
            let (time, last) = (Utc(time), Utc(last));
            return Err(format!(
                "its time {time} lies before {last} of the line before: times never fall but by an order of time"
            ));
        }
        if time > self.time_max {
            let what = "the stream's clock would stand until then; is the clock of this host right?";
            return Err(format!("its time {} lies ahead of now: {what}", Utc(time)));
        }
        self.last_time = time;
        Ok(())
    }

    /// The parts of a publisher's message follow each other, from a first one to a last one, and are no more
    /// than readers join. A message that its publisher left unfinished, as it died, is none: the publisher
    /// begins another, opens or closes.
    fn check_part(&mut self, entry: &ExportedEntry, len: usize) -> Result<(), String> {
        let publisher = entry.publisher;
        let unfinished = self.parts.remove(&publisher);
        let (is_first, is_last) = match entry.part.as_deref() {
            None => return Ok(()),
            Some(part) => (part == "first", part == "last"),
        };
        let message = match unfinished {
            _ if is_first => UnfinishedMessage { from: entry.seq, bytes: 0, parts: 0 },
            Some(message) => message,
            None => {
                let what = "a part of a message whose first part is not before it";
                return Err(format!("{what}, of publisher {publisher}"));
            }
        };
        let message = UnfinishedMessage { bytes: message.bytes + len, parts: message.parts + 1, ..message };
        if message.bytes > MESSAGE_LEN_MAX || message.parts > PARTS_MAX {
            let UnfinishedMessage { from, bytes, parts } = message;
            return Err(format!(
                "the message of publisher {publisher} that begins at seq {from} has {parts} parts and {bytes} bytes: \
                 {PARTS_MAX} and {MESSAGE_LEN_MAX} are the most"
            ));
        }
        if !is_last {
            self.parts.insert(publisher, message);
        }
        if self.parts.len() > UNFINISHED_MAX {
            return Err(format!(
                "more than {UNFINISHED_MAX} messages have no last part yet: no reader joins so many"
            ));
        }
        Ok(())
    }

    /// Whether a message is open at the end of the file: nobody would ever close it.
    fn check_end(&self) -> Result<(), String> {
        let first = self.parts.iter().min_by_key(|(_, message)| message.from);
        let Some((publisher, UnfinishedMessage { from: seq, .. })) = first else { return Ok(()) };
        Err(format!(
            "the message of publisher {publisher} that begins at seq {seq} has no last part: export up to a seq behind it, \
             or leave it out with --to {}",
            seq - 1
        ))
    }
}

/// The mark of a day without the operator's proof, which is for the former stream.
fn bare_day(payload: &[u8]) -> Option<Vec<u8>> {
    let mark = DayMark::parse(payload).ok()?;
    Some(payload[..1 + mark.name.len()].to_vec())
}

/// The segments of a journal that is made.
struct Segments<'a> {
    dir: &'a Path,
    owner: CopyOwner,
    open: Option<(CopiedSegment, SegmentFile)>,
}

impl Segments<'_> {
    fn append(&mut self, frame: &[u8]) -> Result<(), OperationError> {
        let frame = FrameView::from_prefix(frame).map_err(OperationError::failed)?;
        let history = frame.header.history;
        let is_full = |segment: &CopiedSegment| segment.bytes() + frame.bytes.len() as u64 > SEGMENT_LEN;
        let (mut segment, mut file) = match self.open.take() {
            Some((segment, file)) if !is_full(&segment) => (segment, file),
            Some((segment, mut file)) => {
                file.sync()?;
                SegmentFile::write_derived(self.dir, &segment)?;
                SegmentFile::create(self.dir, segment.into_next(history))?
            }
            None => {
                let begun = CopiedSegment::begin(self.owner, 1, Default::default(), history);
                SegmentFile::create(self.dir, begun)?
            }
        };
        segment.append(&frame).map_err(OperationError::failed)?;
        file.write(frame.bytes)?;
        self.open = Some((segment, file));
        Ok(())
    }

    fn close(mut self) -> Result<(), OperationError> {
        self.open.as_mut().map_or(Ok(()), |(_, file)| file.sync())
    }
}
