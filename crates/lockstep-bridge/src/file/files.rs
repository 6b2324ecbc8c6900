//! The target: files of limited size in a folder, complete or not there.
//!
//! A file that is being written is named `….part`. It is complete once it is durable, has its name, and the
//! manifest lists it. A `.part` is never gone on with: behind a failure or a crash everything that the
//! manifest does not list is written anew. Where files end is a function of the records, so the same range
//! gives the same bytes, whatever was killed how often.

use super::encode::{EncodeError, EncodedBytes, FileEncoder};
use super::manifest::{FileManifest, FileSettings, MANIFEST, ManifestPosition};
use super::storage::FileStorage;
use crate::failure::{FAILED, INTEGRITY, USAGE};
use crate::record::StreamRecord;
use crate::target::{Target, TargetError, TargetPosition};
use lockstep_client::Cursor;
use lockstep_io::clock::Utc;
use lockstep_names::OpenedNames;
use sha2::{Digest, Sha256};
use std::io;

/// Encoded bytes that are written at once.
const WRITE_BYTES: usize = 256 << 10;
/// Space that is needed behind a full disk beside that of the file that did not fit.
const SPARE_BYTES: u64 = 1 << 20;
const DAY_NS: u64 = 86_400_000_000_000;

/// The flag by which files have names.
pub const NAMES: &str = "--names";

/// Where files end, beside the end of a UTC day and of a history.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FileLimits {
    /// A file has at most so many messages.
    pub rows: u64,
    /// The message with which a file reaches this size, before compression, is its last one.
    pub bytes: u64,
}

/// The file that is being written.
#[derive(Debug)]
pub struct OpenFile {
    /// The name that it will have.
    pub name: String,
    pub day: String,
    day_number: u64,
    pub history: u64,
    pub first_seq: u64,
    pub last_seq: u64,
    pub first_timestamp: u64,
    pub last_timestamp: u64,
    pub rows: u64,
    /// A subscription that begins here reads everything behind the last message.
    pub resume: Cursor,
    /// Messages that the format has no place for.
    pub left_out: u64,
    /// By what the encoder counts.
    size: u64,
    /// Bytes that are in the file.
    pub written: u64,
    sha256: Sha256,
}

impl OpenFile {
    fn new(first: &StreamRecord<'_>, extension: &str) -> Self {
        let day = Utc(first.timestamp).date();
        Self {
            name: format!("{day}-{:020}.{extension}", first.seq),
            day,
            day_number: first.timestamp / DAY_NS,
            history: first.history,
            first_seq: first.seq,
            last_seq: first.seq,
            first_timestamp: first.timestamp,
            last_timestamp: first.timestamp,
            rows: 0,
            resume: first.resume,
            left_out: 0,
            size: 0,
            written: 0,
            sha256: Sha256::new(),
        }
    }

    fn part(&self) -> String {
        format!("{}.part", self.name)
    }

    /// Whether the record belongs into another file, whatever the limits.
    fn ends_before(&self, record: &StreamRecord<'_>) -> bool {
        self.history != record.history || self.day_number != record.timestamp / DAY_NS
    }

    fn is_full(&self, limits: FileLimits) -> bool {
        self.rows >= limits.rows || self.size >= limits.bytes
    }
}

/// Writes the stream into the files of a folder.
pub struct FileTarget<S> {
    /// As messages name it.
    name: String,
    storage: S,
    encoder: Box<dyn FileEncoder>,
    extension: &'static str,
    limits: FileLimits,
    settings: FileSettings,
    manifest: FileManifest,
    /// Those that were read so far; none are stored where the files have no names.
    names: Option<OpenedNames>,
    open: Option<OpenFile>,
    encoded: EncodedBytes,
    /// Memory that is exchanged for `encoded`.
    spare: Vec<u8>,
    /// The file that a full disk did not take, and the bytes that it had then.
    full: Option<(String, u64)>,
}

impl<S: FileStorage> FileTarget<S> {
    pub fn new(
        name: String,
        storage: S,
        (encoder, extension): (Box<dyn FileEncoder>, &'static str),
        limits: FileLimits,
        settings: FileSettings,
    ) -> Self {
        Self {
            name,
            storage,
            encoder,
            extension,
            limits,
            manifest: FileManifest::new(settings.clone()),
            names: settings.contains_key(NAMES).then(OpenedNames::default),
            settings,
            open: None,
            encoded: EncodedBytes::default(),
            spare: Vec::new(),
            full: None,
        }
    }

    /// What a failure of the file system means, at a file that has `written` bytes.
    fn failed(&mut self, what: &str, file: &str, error: &io::Error, written: u64) -> TargetError {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                self.full = Some((file.to_owned(), written));
                TargetError::retry("no space is left for its files: make room")
            }
            _ => TargetError::fatal(FAILED, format!("{}: {what} {file}: {error}", self.name)),
        }
    }

    /// Writes what is encoded into the open file.
    fn write(&mut self) -> Result<(), TargetError> {
        let Some(open) = &mut self.open else { return Ok(()) };
        let bytes = self.encoded.take(std::mem::take(&mut self.spare));
        let outcome = if bytes.is_empty() { Ok(()) } else { self.storage.write(&bytes) };
        let len = bytes.len() as u64;
        open.sha256.update(&bytes);
        open.written += len;
        let (part, written) = (open.part(), open.written);
        self.spare = bytes;
        self.spare.clear();
        outcome.map_err(|error| self.failed("writing", &part, &error, written))
    }

    /// Begins the file whose first message this is. A folder without a file says from where it was written:
    /// behind a crash the stream is read from there, or is not to be had any more, and no message is passed
    /// over.
    fn begin(&mut self, first: &StreamRecord<'_>) -> Result<(), TargetError> {
        if self.manifest.position().is_none() {
            let seq = first.seq.saturating_sub(1);
            self.set_position(ManifestPosition { cursor: first.cursor, seq })?;
        }
        let open = OpenFile::new(first, self.extension);
        let part = open.part();
        let created = self.storage.create(&part);
        created.map_err(|error| self.failed("creating", &part, &error, 0))?;
        let rows = self.manifest.rows_before(first.history);
        self.encoder.begin(first, rows, &self.encoded).map_err(not_encoded)?;
        self.open = Some(open);
        Ok(())
    }

    /// Completes the open file, if there is one.
    fn complete(&mut self) -> Result<(), TargetError> {
        if self.open.is_none() {
            return Ok(());
        }
        self.encoder.end(&self.encoded).map_err(not_encoded)?;
        self.write()?;
        let Some(open) = self.open.take() else { return Ok(()) };
        let part = open.part();
        let published = self.storage.sync().and_then(|()| self.storage.publish(&part, &open.name));
        published.map_err(|error| self.failed("completing", &part, &error, open.written))?;
        let sha256 = open.sha256.clone().finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        self.manifest.push(&open, sha256);
        self.list()
    }

    /// Writes the manifest with another place to go on.
    fn set_position(&mut self, position: ManifestPosition) -> Result<(), TargetError> {
        self.manifest.set_position(position);
        self.list()
    }

    /// Writes the manifest as it is.
    fn list(&mut self) -> Result<(), TargetError> {
        if let Some(names) = &self.names {
            self.manifest.set_names(names);
        }
        let text = self.manifest.text();
        let part = format!("{MANIFEST}.part");
        let written = self.write_manifest(&part, &text);
        written.map_err(|error| self.failed("writing", &part, &error, text.len() as u64))
    }

    fn write_manifest(&mut self, part: &str, text: &[u8]) -> io::Result<()> {
        self.storage.create(part)?;
        self.storage.write(text)?;
        self.storage.sync()?;
        self.storage.publish(part, MANIFEST)
    }

    /// Behind a full disk: gives up what the file had, and finds out whether there is room for it again.
    fn probe_space(&mut self) -> Result<(), TargetError> {
        let Some((file, bytes)) = self.full.clone() else { return Ok(()) };
        let probed = self.storage.create(&file);
        let probed = probed.and_then(|()| self.storage.probe_space(bytes + SPARE_BYTES));
        probed.map_err(|error| self.failed("reserving space for", &file, &error, bytes))?;
        self.full = None;
        Ok(())
    }
}

/// The same would happen again at each start: whoever starts it again lets that be.
fn not_encoded(error: EncodeError) -> TargetError {
    TargetError::fatal(INTEGRITY, error)
}

impl<S: FileStorage> Target for FileTarget<S> {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn position(&mut self) -> Result<Option<TargetPosition>, TargetError> {
        self.open = None;
        // The encoder's writer of before may still flush, into the memory of before.
        self.encoded = EncodedBytes::default();
        let text = self.storage.read(MANIFEST);
        let text = text.map_err(|error| self.failed("reading", MANIFEST, &error, 0))?;
        self.manifest = match text {
            None => FileManifest::new(self.settings.clone()),
            Some(text) => FileManifest::parse(&text, &self.settings)
                .map_err(|error| TargetError::fatal(USAGE, format!("{}: {error}", self.name)))?,
        };
        self.probe_space()?;
        Ok(self.manifest.position())
    }

    fn names(&self) -> OpenedNames {
        self.manifest.names().clone()
    }

    fn on_names(&mut self, names: &OpenedNames) {
        if let Some(known) = &mut self.names {
            known.extend(names);
        }
    }

    fn append(&mut self, record: &StreamRecord<'_>) -> Result<(), TargetError> {
        let ends = |open: &OpenFile| open.ends_before(record) || open.is_full(self.limits);
        if self.open.as_ref().is_some_and(ends) {
            self.complete()?;
        }
        if self.open.is_none() {
            self.begin(record)?;
        }
        // A message that the format has no place for is left out, counted and reported: it comes again at
        // each start.
        let size = match self.encoder.append(record, &self.encoded) {
            Ok(size) => Some(size),
            Err(error) if error.is_of_message() => {
                // One line a file, however many there are.
                if self.open.as_ref().is_some_and(|open| open.left_out == 0) {
                    let name = &self.name;
                    eprintln!(
                        "lockstep-bridge: {name}: {error}; it is left out, and `left_out` of {MANIFEST} counts those of a file"
                    );
                }
                None
            }
            Err(error) => return Err(not_encoded(error)),
        };
        if let Some(open) = &mut self.open {
            match size {
                Some(size) => (open.rows, open.size) = (open.rows + 1, open.size + size),
                None => open.left_out += 1,
            }
            (open.last_seq, open.last_timestamp) = (record.seq, record.timestamp);
            open.resume = record.resume;
        }
        if self.encoded.len() >= WRITE_BYTES { self.write() } else { Ok(()) }
    }

    /// Completes the file if it is full. Without one the manifest says how far the stream was read,
    /// if that is far. Of one that is not full, what is encoded is written, for whoever reads
    /// along; it is not made durable, as nothing goes on with it.
    fn commit(&mut self, cursor: Cursor) -> Result<(), TargetError> {
        if self.open.is_none() {
            let seq = self.manifest.position().map_or(0, |position| position.seq);
            let position = ManifestPosition { cursor, seq };
            return if self.manifest.needs(position) { self.set_position(position) } else { Ok(()) };
        }
        if self.open.as_ref().is_some_and(|open| open.is_full(self.limits)) {
            return self.complete();
        }
        self.write()
    }

    fn finish(&mut self) -> Result<(), TargetError> {
        self.complete()
    }
}
