//! The manifest of a backup: which bytes of which files it is. Files that it does not list, and bytes behind
//! a listed length, belong to a backup that was interrupted.

use crate::OperationError;
use crate::hex64;
use crate::recover::AncestorRow;
use lockstep_core::proto::log::LogEnd;
use lockstep_notary::to_hex as hex;
use lockstep_replica::journal::ports::FileName;
use lockstep_replica::journal::{Damage, FORMAT_VERSION, StoredLog};
use lockstep_wire::{Epoch, Nanos, Seq, VERSION, VERSION_MIN};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The file's name.
pub const MANIFEST: &str = "manifest.json";
/// The version of its format.
const SCHEMA: &str = "lockstep.backup/1";

/// A file of a backup.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct BackupFile {
    /// Its name in the folder.
    pub file: String,
    /// How many of its bytes belong to the backup.
    pub bytes: u64,
    /// Their digest.
    pub sha256: String,
}

/// A segment of a backup.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct BackupSegment {
    #[serde(flatten)]
    /// Its file.
    pub file: BackupFile,
    /// Its number in this backup.
    pub number: u64,
    /// Its first seq.
    pub first_seq: Seq,
    /// Its end, exclusive.
    pub next_seq: Seq,
    /// The chain at its end.
    #[serde(with = "hex64")]
    pub chain: u64,
    /// Its index and checkpoint, once it is full.
    pub derived: Vec<BackupFile>,
}

/// What a backup is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct BackupManifest {
    /// The version of its form.
    pub schema: String,
    /// The program that wrote it.
    pub version: String,
    /// The newest version of the wire that a frame of it has.
    pub wire_version: u8,
    /// The program's version of segments.
    pub journal_format: u32,
    /// The cluster.
    #[serde(with = "hex64")]
    pub cluster: u64,
    /// The owner of the journal that was backed up last.
    pub source: String,
    /// The history of its log.
    #[serde(with = "hex64")]
    pub history: u64,
    /// Former histories, newest first.
    pub ancestors: Vec<AncestorRow>,
    /// Where it begins.
    pub oldest_seq: Seq,
    /// Where it ends, exclusive. All below is committed.
    pub next: Seq,
    /// The epoch of its last frame.
    #[serde(with = "hex64")]
    pub epoch: u64,
    /// The chain at its end.
    #[serde(with = "hex64")]
    pub chain: u64,
    /// The stream's time at its end.
    pub timestamp_ns: Nanos,
    /// The highest epoch that a journal which was backed up had promised.
    #[serde(with = "hex64")]
    pub promised: u64,
    /// The time of the backup.
    pub made_ns: Nanos,
    /// The tables before the oldest seq, where retention had removed what determines them.
    pub base: Option<BackupFile>,
    /// Its segments, in order.
    pub segments: Vec<BackupSegment>,
    /// Of this text, with nothing here.
    pub sha256: String,
}

impl BackupFile {
    /// A file with these bytes.
    pub fn of(file: FileName, bytes: &[u8]) -> Self {
        let sha256 = hex(&Sha256::digest(bytes));
        Self { file: file.to_string(), bytes: bytes.len() as u64, sha256 }
    }

    /// Its name in a journal.
    pub fn name(&self) -> Result<FileName, OperationError> {
        FileName::parse(&self.file).ok_or_else(|| {
            OperationError::integrity(format!("{MANIFEST} lists {}, which no backup has", self.file))
        })
    }
}

impl BackupManifest {
    /// An empty one, of the log that begins behind `start`.
    pub fn begin(cluster: u64, log: &StoredLog, base: Option<BackupFile>) -> Self {
        let mut manifest = Self {
            schema: SCHEMA.into(),
            version: env!("CARGO_PKG_VERSION").into(),
            wire_version: VERSION_MIN,
            journal_format: FORMAT_VERSION,
            cluster,
            source: String::new(),
            history: log.lineage.history(),
            ancestors: Vec::new(),
            oldest_seq: log.oldest_seq,
            next: 0,
            epoch: 0,
            chain: 0,
            timestamp_ns: 0,
            promised: 0,
            made_ns: 0,
            base,
            segments: Vec::new(),
            sha256: String::new(),
        };
        manifest.set_end(log.start);
        manifest
    }

    /// Where its log ends.
    pub fn end(&self) -> LogEnd {
        let (next, chain, timestamp) = (self.next, self.chain, self.timestamp_ns);
        LogEnd { next, epoch: Epoch(self.epoch), chain, timestamp }
    }

    /// Sets where its log ends.
    pub fn set_end(&mut self, end: LogEnd) {
        let LogEnd { next, epoch: Epoch(epoch), chain, timestamp } = end;
        (self.next, self.epoch, self.chain, self.timestamp_ns) = (next, epoch, chain, timestamp);
    }

    /// All files that belong to it.
    pub fn files(&self) -> impl Iterator<Item = &BackupFile> {
        let segments = self.segments.iter();
        self.base.iter().chain(segments.flat_map(|one| std::iter::once(&one.file).chain(&one.derived)))
    }

    /// What a backup cannot be: without segments, or with some missing between the first seq and the last
    /// one.
    pub fn unsound(&self) -> Vec<Damage> {
        let damage = |seq, what: String| Damage::new(MANIFEST, 0, seq, what);
        let mut wrong = Vec::new();
        let (mut number, mut next) = (1, self.oldest_seq);
        for (at, segment) in self.segments.iter().enumerate() {
            let place = (segment.number, segment.first_seq);
            if place != (number, next) || segment.next_seq <= segment.first_seq {
                let what = format!(
                    "it lists segment {} with seqs {} to {}, where segment {number} with seq {next} should be",
                    segment.number,
                    segment.first_seq,
                    segment.next_seq.saturating_sub(1)
                );
                wrong.push(damage(next, what));
                break;
            }
            let names = [FileName::Index(number), FileName::Checkpoint(number)].map(|file| file.to_string());
            let is_derived = segment.derived.iter().map(|file| file.file.as_str()).eq(names.iter());
            if segment.file.file != FileName::Segment(number).to_string()
                || !(is_derived || segment.derived.is_empty() && at + 1 == self.segments.len())
            {
                wrong.push(damage(next, format!("it lists other files than those of segment {number}")));
            }
            (number, next) = (number + 1, segment.next_seq);
        }
        if self.segments.is_empty() || wrong.is_empty() && next != self.next {
            let to = self.next.saturating_sub(1);
            wrong.push(damage(next, format!("it lists no segment with seqs {next} to {to}")));
        }
        if self.base.is_some() != (self.oldest_seq > 1) {
            let what = "where seq 1 is not in it, the tables before its oldest seq are, and else not";
            wrong.push(damage(self.oldest_seq, what.to_owned()));
        }
        wrong
    }

    /// Its text, which proves itself.
    pub fn text(&self) -> Result<String, OperationError> {
        let text = |manifest: &Self| {
            let text = serde_json::to_string_pretty(manifest).map_err(OperationError::failed)?;
            Ok::<_, OperationError>(text + "\n")
        };
        let bare = text(&Self { sha256: String::new(), ..self.clone() })?;
        text(&Self { sha256: hex(&Sha256::digest(bare)), ..self.clone() })
    }

    /// The manifest with this text.
    pub fn parse(text: &str) -> Result<Self, OperationError> {
        let damaged = |what: String| OperationError::integrity(format!("{MANIFEST} is damaged: {what}"));
        let manifest: Self = serde_json::from_str(text).map_err(|error| damaged(error.to_string()))?;
        if manifest.text()? != text {
            return Err(damaged("it is not what was written, as its own sha256 shows".into()));
        }
        if manifest.schema != SCHEMA
            || !(VERSION_MIN..=VERSION).contains(&manifest.wire_version)
            || manifest.journal_format != FORMAT_VERSION
        {
            let what = format!(
                "the backup is {} with wire {} and journal {}, written by lockstep {}; this release reads {SCHEMA} with \
                 {VERSION_MIN} to {VERSION} and {FORMAT_VERSION}: use that release",
                manifest.schema, manifest.wire_version, manifest.journal_format, manifest.version
            );
            return Err(OperationError::refused(what));
        }
        Ok(manifest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lockstep_core::proto::lineage::Lineage;
    use lockstep_replica::journal::Checkpoint;

    fn log(oldest_seq: Seq) -> StoredLog {
        let start = LogEnd { next: oldest_seq, ..LogEnd::BLANK };
        StoredLog {
            owner: None,
            oldest_seq,
            start,
            end: start,
            checkpoint: Checkpoint::default(),
            lineage: Lineage::of(1),
            commit_next: oldest_seq,
            torn: None,
            damage: None,
            gone: Vec::new(),
        }
    }

    fn segment(number: u64, seqs: (Seq, Seq), is_full: bool) -> BackupSegment {
        let derived = [FileName::Index(number), FileName::Checkpoint(number)];
        BackupSegment {
            file: BackupFile::of(FileName::Segment(number), b""),
            number,
            first_seq: seqs.0,
            next_seq: seqs.1,
            chain: 0,
            derived: derived.into_iter().filter(|_| is_full).map(|file| BackupFile::of(file, b"")).collect(),
        }
    }

    #[test]
    fn a_manifest_that_no_backup_writes_is_damage_although_it_proves_itself() {
        let whole = |oldest: Seq| {
            let base = (oldest > 1).then(|| BackupFile::of(FileName::Checkpoint(0), b""));
            let mut manifest = BackupManifest::begin(7, &log(oldest), base);
            manifest.segments =
                vec![segment(1, (oldest, 20), true), segment(2, (20, 30), true), segment(3, (30, 40), false)];
            manifest.next = 40;
            manifest
        };
        for oldest in [1, 9] {
            assert_eq!(whole(oldest).unsound(), []);
            type Change<'a> = &'a dyn Fn(&mut BackupManifest);
            let changes: [(&str, Change<'_>); 12] = [
                ("no segments", &|manifest| manifest.segments.clear()),
                ("no first", &|manifest| drop(manifest.segments.remove(0))),
                ("no middle", &|manifest| drop(manifest.segments.remove(1))),
                ("no last", &|manifest| drop(manifest.segments.pop())),
                ("more than its segments", &|manifest| manifest.next = 41),
                ("a later beginning", &|manifest| manifest.oldest_seq += 1),
                ("a hole in the seqs", &|manifest| manifest.segments[1].first_seq = 21),
                ("a segment without seqs", &|manifest| manifest.segments[1].next_seq = 20),
                ("no index", &|manifest| manifest.segments[0].derived.clear()),
                ("another's files", &|manifest| {
                    manifest.segments[0].derived = manifest.segments[1].derived.clone();
                }),
                ("another's bytes", &|manifest| {
                    manifest.segments[0].file = manifest.segments[1].file.clone()
                }),
                ("other tables", &|manifest| {
                    manifest.base =
                        manifest.base.is_none().then(|| BackupFile::of(FileName::Checkpoint(0), b""));
                }),
            ];
            for (name, change) in changes {
                let mut manifest = whole(oldest);
                change(&mut manifest);
                let read = BackupManifest::parse(&manifest.text().expect("JSON")).expect("it proves itself");
                assert!(!read.unsound().is_empty(), "{name}, from {oldest}");
            }
        }
    }

    #[test]
    fn a_backup_of_every_version_that_frames_have_here_is_read_and_no_other() {
        let of = |wire_version: u8| {
            let manifest = BackupManifest { wire_version, ..BackupManifest::begin(7, &log(1), None) };
            BackupManifest::parse(&manifest.text().expect("JSON"))
        };
        for version in VERSION_MIN..=VERSION {
            assert_eq!(of(version).expect("it is read").wire_version, version);
        }
        for version in [VERSION_MIN - 1, VERSION + 1] {
            let failure = of(version).expect_err("no frame of it is read");
            assert!(matches!(failure, OperationError::Refused(_)), "{failure}");
            assert!(failure.to_string().contains(&format!("with wire {version} ")), "{failure}");
        }
    }
}
