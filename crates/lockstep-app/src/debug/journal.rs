//! The recording in a journal's folder, of a replica, an archiver or a backup. It asks no process, and one
//! may write to the folder meanwhile.

use lockstep_client::{Cursor, SubscriberEvent};
use lockstep_core::engine::parts::PartsLimits;
use lockstep_core::engine::subscriber::FrameDelivery;
use lockstep_core::proto::parts::PARTS_BOUNDS;
use lockstep_machine::{MachineFault, Recording, Seq};
use lockstep_replica::journal::ports::{FileName, Store, StoreError, StoreFault};
use lockstep_replica::journal::read_segments;
use lockstep_wire::{Chain, FrameView};
use std::collections::VecDeque;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Bytes of frames that are read at once.
const READ_LEN: usize = 4 << 20;
/// How often apparent damage is read again: the process that writes the journal may be in the middle of a
/// write.
const RETRIES: u32 = 5;
/// The pause before each time.
const PAUSE: Duration = Duration::from_millis(20);

/// The recording: see the module.
pub(super) struct JournalRecording {
    files: JournalFolder,
    delivery: FrameDelivery,
    /// Frames that were read and not completely delivered, oldest first.
    frames: VecDeque<Vec<u8>>,
    /// The next seq to read, and the chain before it.
    next: (Seq, Option<Chain>),
    /// Entries below it are not shown: they only contain the first parts of messages.
    from: Seq,
    /// Where it begins, until the log was compared with it.
    begun_at: Option<Cursor>,
    place: Option<Cursor>,
}

impl JournalRecording {
    /// The recording in `folder`.
    pub(super) fn open(folder: &Path) -> Result<Self, MachineFault> {
        if !folder.join("segments").is_dir() {
            let what = "it is no journal: name the folder of a replica's or an archiver's journal, or of a backup, \
                        which has a folder `segments`";
            return Err(MachineFault::Stream(format!("{}: {what}", folder.display())));
        }
        Ok(Self {
            files: JournalFolder(folder.to_owned()),
            delivery: FrameDelivery::new(1, PartsLimits::default()),
            frames: VecDeque::new(),
            next: (1, None),
            from: 1,
            begun_at: None,
            place: None,
        })
    }

    fn fault(&self, what: &dyn fmt::Display) -> MachineFault {
        MachineFault::Stream(format!("journal {}: {what}", self.files.0.display()))
    }

    /// The log below this seq is not the one that was read.
    fn replaced(&self, seq: Seq) -> MachineFault {
        let what =
            "is not what was read before: a takeover may replace a journal's end; end, and begin again";
        self.fault(&format!("what it has before seq {seq} {what}"))
    }

    /// Reads frames. Returns false at the log's end.
    fn read(&mut self) -> Result<bool, MachineFault> {
        let mut read = self.read_once();
        for _ in 0..RETRIES {
            if read.is_ok() {
                break;
            }
            std::thread::sleep(PAUSE);
            read = self.read_once();
        }
        read
    }

    fn read_once(&mut self) -> Result<bool, MachineFault> {
        let failed = |error: StoreError| self.fault(&error);
        let mut reader = read_segments(&self.files, self.next.0).map_err(failed)?;
        if let Some(oldest) = reader.oldest_seq().filter(|oldest| *oldest > self.from) {
            let what = "and a debugger needs the stream from its beginning: name the folder of an archiver or a backup \
                        that has it";
            return Err(self.fault(&format!("it begins at seq {oldest}, {what}")));
        }
        let (mut next, mut frames, mut len) = (self.next, Vec::new(), 0);
        while len < READ_LEN
            && let Some(frame) = reader.next().map_err(failed)?
        {
            let frame = frame.map_err(|damage| self.fault(&damage))?;
            let header = frame.header;
            if next.1.is_some_and(|chain| (header.first_seq, header.chain) != (next.0, chain)) {
                return Err(self.replaced(next.0));
            }
            next = (header.next_seq(), Some(frame.chain_after()));
            len += frame.bytes.len();
            frames.push(frame.bytes.to_vec());
        }
        self.next = next;
        self.frames.extend(frames);
        Ok(len > 0)
    }
}

impl Recording for JournalRecording {
    fn begin(&mut self, from: Option<&Cursor>) -> Result<(), MachineFault> {
        self.from = from.map_or(1, |cursor| cursor.seq);
        let first = self.from.saturating_sub(PARTS_BOUNDS.span).max(1);
        self.delivery = FrameDelivery::new(first, PartsLimits::default());
        self.frames.clear();
        (self.next, self.begun_at, self.place) = ((first, None), from.copied(), None);
        Ok(())
    }

    fn next(&mut self, show: &mut dyn FnMut(&SubscriberEvent<'_>)) -> Result<bool, MachineFault> {
        loop {
            let Some(bytes) = self.frames.front() else {
                if self.read()? {
                    continue;
                }
                return Ok(false);
            };
            let Some(frame) = FrameView::known(bytes) else {
                return Err(self.fault(&"a frame of it cannot be read"));
            };
            let header = frame.header;
            if let Some(cursor) = self.begun_at.take_if(|cursor| header.next_seq() > cursor.seq)
                && cursor.chain != header.chain
            {
                return Err(self.replaced(cursor.seq));
            }
            let (mut has_entry, from) = (false, self.from);
            self.delivery.deliver(&frame, usize::MAX, &mut |event| {
                if event.seq().is_none_or(|seq| seq >= from) {
                    show(&event);
                    has_entry |= event.seq().is_some();
                }
                if has_entry { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            });
            let seq = self.delivery.next();
            let is_done = seq >= header.next_seq();
            let chain = if is_done { frame.chain_after() } else { header.chain };
            self.place = Some(Cursor { history: header.history, seq, chain });
            if is_done {
                self.frames.pop_front();
            }
            if has_entry {
                return Ok(true);
            }
        }
    }

    fn place(&self) -> Option<(Cursor, Seq)> {
        self.place.map(|cursor| (cursor, cursor.seq))
    }
}

/// The files of a journal, for reading.
struct JournalFolder(PathBuf);

impl JournalFolder {
    fn path(&self, file: FileName) -> PathBuf {
        self.0.join(file.to_string())
    }

    fn error(&self, doing: &str, file: &dyn fmt::Display, error: &io::Error) -> StoreError {
        let fault = match error.kind() {
            ErrorKind::NotFound => StoreFault::Missing,
            _ => StoreFault::Failed,
        };
        StoreError { doing: format!("{doing} {file}"), fault, why: error.to_string() }
    }

    /// A reader changes nothing of a journal.
    fn refused<T>(&self, doing: &str, file: FileName) -> Result<T, StoreError> {
        let why = "the journal is opened to be read".to_owned();
        Err(StoreError { doing: format!("{doing} {file}"), fault: StoreFault::ReadOnly, why })
    }
}

impl Store for JournalFolder {
    fn read_at(&self, file: FileName, offset: u64, out: &mut [u8]) -> Result<usize, StoreError> {
        let failed = |error: io::Error| self.error("reading", &file, &error);
        let opened = File::open(self.path(file)).map_err(failed)?;
        let mut taken = 0;
        while taken < out.len() {
            match opened.read_at(&mut out[taken..], offset + taken as u64) {
                Ok(0) => break,
                Ok(more) => taken += more,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(failed(error)),
            }
        }
        Ok(taken)
    }

    fn len(&self, file: FileName) -> Result<u64, StoreError> {
        let found = fs::metadata(self.path(file));
        found.map(|found| found.len()).map_err(|error| self.error("looking at", &file, &error))
    }

    fn list(&self) -> Result<Vec<FileName>, StoreError> {
        let failed = |error: io::Error| self.error("listing", &"segments", &error);
        let mut files = Vec::new();
        for entry in fs::read_dir(self.0.join("segments")).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            files.extend(name.to_str().and_then(|name| FileName::parse(&format!("segments/{name}"))));
        }
        Ok(files)
    }

    fn write_at(&mut self, file: FileName, _offset: u64, _bytes: &[u8]) -> Result<(), StoreError> {
        self.refused("writing", file)
    }

    fn reserve(&mut self, file: FileName, _len: u64) -> Result<(), StoreError> {
        self.refused("reserving room for", file)
    }

    fn rename(&mut self, from: FileName, _to: FileName) -> Result<(), StoreError> {
        self.refused("renaming", from)
    }

    fn truncate(&mut self, file: FileName, _len: u64) -> Result<(), StoreError> {
        self.refused("cutting", file)
    }

    fn replace(&mut self, file: FileName, _bytes: &[u8]) -> Result<(), StoreError> {
        self.refused("replacing", file)
    }

    fn remove(&mut self, file: FileName) -> Result<(), StoreError> {
        self.refused("removing", file)
    }

    fn sync(&mut self, file: FileName) -> Result<(), StoreError> {
        self.refused("syncing", file)
    }

    fn free_bytes(&self) -> Result<u64, StoreError> {
        self.refused("looking at the room for", FileName::Spare)
    }
}
