//! A backup is made, or goes on.

use super::archive;
use super::manifest::{BackupFile, BackupManifest, BackupSegment, MANIFEST};
use super::segment_file::{SegmentFile, write_whole};
use super::view::BackupView;
use crate::OperationError;
use crate::acting;
use crate::bounded::read_text;
use crate::recover::AncestorRow;
use lockstep_client::Endpoint;
use lockstep_client::internal::QueryClient;
use lockstep_config::Config;
use lockstep_io::clock::Utc;
use lockstep_node::JournalReader;
use lockstep_replica::journal::ports::FileName;
use lockstep_replica::journal::{CopiedSegment, CopyOwner, Damage, LogComparison, StoredLog};
use lockstep_wire::{Epoch, FrameView, Seq};
use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::net::SocketAddrV4;
use std::ops::ControlFlow;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Smallest segment of a backup.
pub const SEGMENT_MIN: u64 = 64 << 10;

/// A backup that is to be made, or to go on.
#[derive(Clone, Copy, Debug)]
pub struct BackupOrder<'a> {
    /// Where it goes: a folder, which gets what is new, or a new file whose name ends with `.tar`.
    pub to: &'a Path,
    /// Bytes of a segment of it.
    pub segment_len: u64,
    /// What the journal's node knows to be committed, if it was asked ([`committed`]).
    pub committed: Option<NodeCommit>,
    /// How long the node's segments may take to hold that.
    pub patience: Duration,
}

/// A backup that was made, or has gone on.
#[derive(Clone, Debug)]
pub struct BackupMade {
    /// What it is now.
    pub manifest: BackupManifest,
    /// Where it ended before.
    pub previous_next: Seq,
    /// The first and the last seq that the journal has, and that are not known to be committed yet.
    pub not_committed: Option<(Seq, Seq)>,
    /// The first damage of the journal: the backup has what could be read.
    pub damage: Option<Damage>,
}

/// Copies what is known to be committed of the journal `source`, and was not copied before.
///
/// # Errors
/// The journal has nothing to copy or does not continue the backup, the backup is damaged, the place is not
/// one for it, or files fail.
pub fn make(source: &JournalReader, order: &BackupOrder<'_>) -> Result<BackupMade, OperationError> {
    let BackupOrder { to, segment_len, committed, patience } = *order;
    // Segments are written behind the node's memory: they get the time to hold what is committed now.
    let log = source.log_up_to(committed.map_or(0, |committed| committed.next), patience)?;
    let commit_next = commit_next(&log, committed);
    if commit_next <= log.oldest_seq {
        let what = format!(
            "nothing in {} is known to be committed: there is nothing to back up yet",
            source.dir().display()
        );
        return Err(OperationError::not_ready(what));
    }
    let is_archive = to.extension().is_some_and(|extension| extension == "tar");
    let folder = if is_archive { archive_folder(to)? } else { to.to_path_buf() };
    let mut making = Making::begin(&folder, source, &log, segment_len)?;
    let previous_next = making.manifest.next;
    making.check(source, &log)?;
    making.take(source, &log, commit_next)?;
    let manifest = making.finish()?;
    if is_archive {
        archive::pack(&BackupView::open(&folder)?, to)?;
        std::fs::remove_dir_all(&folder)
            .map_err(|error| OperationError::of_file("removing", &folder, &error))?;
    }
    let end = log.end.next;
    let not_committed = (commit_next < end).then(|| (commit_next, end - 1));
    Ok(BackupMade { manifest, previous_next, not_committed, damage: log.damages().next() })
}

/// The folder in which the files of an archive are made.
fn archive_folder(to: &Path) -> Result<PathBuf, OperationError> {
    if to.exists() {
        let what = format!(
            "{} exists: an archive is made as a whole, under a name of its own; a folder gets what is new",
            to.display()
        );
        return Err(OperationError::refused(what));
    }
    let mut name = to.as_os_str().to_owned();
    name.push(".files");
    Ok(name.into())
}

/// What a node answers of its log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NodeCommit {
    /// Its history.
    pub history: u64,
    /// The epoch in which it ends.
    pub epoch: Epoch,
    /// All below is committed.
    pub next: Seq,
}

/// How much the node at `address` knows to be committed; `None` if it does not answer.
///
/// # Errors
/// It could not be asked.
pub fn committed(
    config: &Config,
    address: SocketAddrV4,
    timeout: Duration,
) -> Result<Option<NodeCommit>, OperationError> {
    let mut client = QueryClient::open(&Endpoint::from_config(config)?)?;
    let state = client.nodes(&[address], timeout).pop().flatten();
    Ok(state.map(|state| NodeCommit {
        history: state.history,
        epoch: state.accepted,
        next: state.commit_next,
    }))
}

/// All below is committed. The node's answer was given before the log was read: it counts if both logs end in
/// one epoch of one history, as then the shorter one is a part of the longer one.
fn commit_next(log: &StoredLog, node: Option<NodeCommit>) -> Seq {
    let counts = |node: &NodeCommit| (node.history, node.epoch) == (log.lineage.history(), log.end.epoch);
    log.commit_next.max(node.filter(counts).map_or(0, |node| node.next).min(log.end.next))
}

/// A backup that grows.
struct Making {
    dir: PathBuf,
    _lock: File,
    manifest: BackupManifest,
    owner: CopyOwner,
    segment: Option<(CopiedSegment, SegmentFile)>,
    /// The last segment has its index and checkpoint: it does not grow any more.
    is_sealed: bool,
    segment_len: u64,
    /// Frames were added since the manifest was written.
    is_new: bool,
}

impl Making {
    /// The backup in `dir`, without the remains of an interrupted one; a new one if there is none.
    fn begin(
        dir: &Path,
        source: &JournalReader,
        log: &StoredLog,
        segment_len: u64,
    ) -> Result<Self, OperationError> {
        acting::not_as_root_in(dir)?;
        let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir.join("segments"));
        made.map_err(|error| OperationError::of_file("creating", dir, &error))?;
        let lock = lock(dir)?;
        let path = dir.join(MANIFEST);
        let (identity, cluster) = match source.superblock()? {
            Some(superblock) => (superblock.identity, superblock.cluster),
            None => log.owner.ok_or_else(|| OperationError::refused("the journal holds nothing yet"))?,
        };
        let mut manifest = match read_text(&path, archive::MANIFEST_LEN_MAX) {
            Ok(text) => BackupManifest::parse(&text)?,
            Err(error) if error.kind() == ErrorKind::NotFound => begin_manifest(dir, source, log, cluster)?,
            Err(error) => return Err(OperationError::of_file("reading", &path, &error)),
        };
        if manifest.cluster != cluster {
            let what = format!(
                "{} is a backup of cluster {:#x}, the journal is of {cluster:#x}: give each cluster a folder of its own",
                dir.display(),
                manifest.cluster
            );
            return Err(OperationError::refused(what));
        }
        remove_remains(dir, &manifest)?;
        manifest.source = identity.to_string();
        if let Some(superblock) = source.superblock()? {
            manifest.promised = manifest.promised.max(superblock.promised.0);
        }
        let owner = CopyOwner { cluster, identity };
        let dir = dir.to_path_buf();
        Ok(Self {
            dir,
            _lock: lock,
            manifest,
            owner,
            segment: None,
            is_sealed: false,
            segment_len,
            is_new: false,
        })
    }

    /// The journal's log and the backup's are one: the backup's last segment equals that part of the log, and
    /// the log goes on where the backup ends, or ends before.
    fn check(&mut self, source: &JournalReader, log: &StoredLog) -> Result<(), OperationError> {
        let next = self.manifest.next;
        let lost = log.gone.iter().find(|gone| gone.from < log.oldest_seq && gone.to_next > next);
        if let Some(gone) = lost.filter(|_| log.oldest_seq > next) {
            let what = format!(
                "the backup ends at seq {}, and the journal {} is damaged: {}",
                next - 1,
                source.dir().display(),
                gone.damage()
            );
            return Err(OperationError::integrity(what));
        }
        if log.oldest_seq > next {
            let what = format!(
                "the backup ends at seq {}, and {} begins at seq {}: retention has removed what lies between; back up an \
                 archiver that has it, or begin a new backup in another folder",
                next - 1,
                source.dir().display(),
                log.oldest_seq
            );
            return Err(OperationError::refused(what));
        }
        let Some(last) = self.manifest.segments.last().cloned() else { return Ok(()) };
        let (file, number) = (self.reopen(&last)?, last.number);
        let backup = JournalReader::open(&self.dir)?;
        let end = self.manifest.end();
        let mut stored = backup.log()?;
        stored.oldest_seq = last.first_seq;
        if let LogComparison::Parts { seq, .. } = source.compare(&backup, [log, &stored])? {
            let what = format!(
                "the journal {} and the backup part at seq {seq} (`lockstep journal diff` shows how): it is no \
                 continuation; give its backup a folder of its own",
                source.dir().display()
            );
            return Err(OperationError::integrity(what));
        }
        let resumed = backup.resume_copy(self.owner, number, end)?;
        self.is_sealed = !last.derived.is_empty();
        self.segment = Some((resumed, file));
        Ok(())
    }

    /// The last segment of the backup, to be written on; its bytes are those of the manifest.
    fn reopen(&self, last: &BackupSegment) -> Result<SegmentFile, OperationError> {
        let path = self.dir.join(&last.file.file);
        let file = SegmentFile::reopen(path.clone(), last.file.bytes)?;
        if file.digest() != last.file.sha256 {
            let what = format!(
                "{} is damaged: `lockstep backup verify {}` shows where; begin a new backup in another folder",
                path.display(),
                self.dir.display()
            );
            return Err(OperationError::integrity(what));
        }
        Ok(file)
    }

    /// Adds what the log has below `commit_next` and the backup has not.
    fn take(
        &mut self,
        source: &JournalReader,
        log: &StoredLog,
        commit_next: Seq,
    ) -> Result<(), OperationError> {
        if self.manifest.next < commit_next {
            self.manifest.ancestors = AncestorRow::all(&log.lineage);
        }
        source.read(self.manifest.next, commit_next, |frame| {
            if frame.header.next_seq() > commit_next {
                return Ok(ControlFlow::Break(()));
            }
            self.append(source, frame)?;
            Ok::<_, OperationError>(ControlFlow::Continue(()))
        })
    }

    fn append(&mut self, source: &JournalReader, frame: &FrameView<'_>) -> Result<(), OperationError> {
        let history = frame.header.history;
        let is_full = self.segment.as_ref().is_some_and(|(segment, _)| {
            self.is_sealed || segment.bytes() + frame.bytes.len() as u64 > self.segment_len
        });
        if is_full {
            self.write_manifest(true)?;
        }
        let (mut segment, mut file) = match self.segment.take() {
            Some((segment, file)) if !is_full => (segment, file),
            Some((segment, _)) => SegmentFile::create(&self.dir, segment.into_next(history))?,
            None => {
                let start = match self.manifest.base {
                    Some(_) => JournalReader::open(&self.dir)?.checkpoint(self.manifest.end())?,
                    None => Default::default(),
                };
                SegmentFile::create(&self.dir, CopiedSegment::begin(self.owner, 1, start, history))?
            }
        };
        segment.append(frame).map_err(|wrong| {
            let what = format!(
                "the journal {} does not go on where the backup ends: {wrong}",
                source.dir().display()
            );
            OperationError::integrity(what)
        })?;
        file.write(frame.bytes)?;
        self.manifest.wire_version = self.manifest.wire_version.max(frame.header.version);
        (self.manifest.history, self.is_new, self.is_sealed) = (history, true, false);
        self.segment = Some((segment, file));
        Ok(())
    }

    /// Everything so far is on the device, and then belongs to the backup. A segment that is `full` has its
    /// index and checkpoint beside it.
    fn write_manifest(&mut self, full: bool) -> Result<(), OperationError> {
        let Some((segment, file)) = &mut self.segment else { return Ok(()) };
        file.sync()?;
        let derived = if full { SegmentFile::write_derived(&self.dir, segment)? } else { Vec::new() };
        let end = segment.checkpoint().end;
        let row = BackupSegment {
            file: BackupFile {
                file: FileName::Segment(segment.number()).to_string(),
                bytes: segment.bytes(),
                sha256: file.digest(),
            },
            number: segment.number(),
            first_seq: segment.first_seq(),
            next_seq: end.next,
            chain: end.chain,
            derived,
        };
        match self.manifest.segments.last_mut().filter(|last| last.number == row.number) {
            Some(last) => *last = row,
            None => self.manifest.segments.push(row),
        }
        self.manifest.set_end(end);
        self.manifest.made_ns = Utc::now().0;
        self.manifest.version = env!("CARGO_PKG_VERSION").into();
        let segments = self.dir.join("segments");
        let synced = File::open(&segments).and_then(|folder| folder.sync_all());
        synced.map_err(|error| OperationError::of_file("syncing", &segments, &error))?;
        write_whole(&self.dir.join(MANIFEST), self.manifest.text()?.as_bytes())
    }

    fn finish(mut self) -> Result<BackupManifest, OperationError> {
        if self.is_new {
            self.write_manifest(false)?;
        }
        Ok(self.manifest)
    }
}

/// The manifest of a new backup. Where the journal's first segments are gone, their tables come with it.
fn begin_manifest(
    dir: &Path,
    source: &JournalReader,
    log: &StoredLog,
    cluster: u64,
) -> Result<BackupManifest, OperationError> {
    let entries = std::fs::read_dir(dir).map_err(|error| OperationError::of_file("reading", dir, &error))?;
    for entry in entries {
        let name = entry.map_err(|error| OperationError::of_file("reading", dir, &error))?.file_name();
        let is_ours = ["segments", "lock", "manifest.json.new"].iter().any(|ours| name == *ours);
        if !is_ours {
            let what = format!(
                "{} holds {} and no backup: give a folder that is new or empty",
                dir.display(),
                name.to_string_lossy()
            );
            return Err(OperationError::refused(what));
        }
    }
    let base = match log.start.next {
        1 => None,
        _ => {
            let (file, bytes) = (FileName::Checkpoint(0), source.checkpoint(log.start)?.to_bytes());
            write_whole(&dir.join(file.to_string()), &bytes)?;
            Some(BackupFile::of(file, &bytes))
        }
    };
    Ok(BackupManifest::begin(cluster, log, base))
}

/// Removes files of a backup that was interrupted: those that the manifest does not list.
fn remove_remains(dir: &Path, manifest: &BackupManifest) -> Result<(), OperationError> {
    let listed: Vec<&str> = manifest.files().map(|file| file.file.as_str()).collect();
    let segments = dir.join("segments");
    let entries = std::fs::read_dir(&segments)
        .map_err(|error| OperationError::of_file("reading", &segments, &error))?;
    for entry in entries {
        let entry = entry.map_err(|error| OperationError::of_file("reading", &segments, &error))?;
        let name = format!("segments/{}", entry.file_name().to_string_lossy());
        if !listed.contains(&name.as_str()) && FileName::parse(&name).is_some() {
            std::fs::remove_file(entry.path())
                .map_err(|error| OperationError::of_file("removing", &entry.path(), &error))?;
        }
    }
    Ok(())
}

/// No other backup into `dir` runs as long as this lives.
fn lock(dir: &Path) -> Result<File, OperationError> {
    let path = dir.join("lock");
    let opened = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path);
    let file = opened.map_err(|error| OperationError::of_file("opening", &path, &error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(OperationError::failed(format!(
            "another backup into {} runs: wait for its end",
            dir.display()
        ))),
        Err(std::fs::TryLockError::Error(error)) => Err(OperationError::of_file("locking", &path, &error)),
    }
}
