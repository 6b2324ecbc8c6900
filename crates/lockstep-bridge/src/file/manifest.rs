//! The list of a folder's complete files. What it does not list is not there: it is written anew.

use crate::file::files::OpenFile;
use crate::target::TargetPosition;
use lockstep_client::Cursor;
use lockstep_names::OpenedNames;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// Its name.
pub const MANIFEST: &str = "manifest.json";
/// Its version.
const SCHEMA: &str = "lockstep.files/1";

/// So many entries behind what it says, a manifest that has nothing more to list is written anew.
const AHEAD: u64 = 65_536;

/// What decides the bytes of all files: flags, as texts.
pub type FileSettings = BTreeMap<String, String>;

/// A folder's complete files, oldest first.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct FileManifest {
    schema: String,
    settings: FileSettings,
    files: Vec<ManifestRow>,
    /// Where the stream is read on, if the last file does not say it: the folder has no file, or much of the
    /// stream without a message for the files lies behind it.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "place")]
    position: Option<ManifestPosition>,
    /// The names that were opened before the place where the stream is read on, if the files have names:
    /// a bridge that begins again has those that this one has read.
    #[serde(default, skip_serializing_if = "OpenedNames::is_empty")]
    names: OpenedNames,
}

/// A place behind the last file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ManifestPosition {
    /// A subscription that begins here reads everything that the files lack.
    pub cursor: Cursor,
    /// Messages up to this seq are not wanted, or in the files.
    pub seq: u64,
}

/// A complete file.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ManifestRow {
    /// Its name.
    pub file: String,
    /// The UTC day of its messages.
    pub day: String,
    /// The history of its messages.
    #[serde(with = "digits")]
    pub history: u64,
    pub first_seq: u64,
    pub last_seq: u64,
    pub first_timestamp_ns: u64,
    pub last_timestamp_ns: u64,
    /// Messages.
    pub rows: u64,
    /// Messages of the range that the format has no place for.
    #[serde(default, skip_serializing_if = "is_none")]
    pub left_out: u64,
    pub bytes: u64,
    /// In hexadecimal digits.
    pub sha256: String,
    /// A subscription that begins here reads everything behind the last message. Manifests of earlier
    /// releases have none.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "text")]
    pub resume: Option<Cursor>,
}

/// Why a manifest is not gone on with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ManifestError {
    /// It is no manifest of this version.
    Unreadable(String),
    /// The folder was written with another setting.
    Setting {
        key: String,
        /// Of the folder.
        written: String,
        /// Of this run.
        asked: String,
    },
}

impl fmt::Display for ManifestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(why) => {
                write!(f, "{MANIFEST} cannot be read: {why}; restore it, or name another --folder")
            }
            Self::Setting { key, written, asked } => write!(
                f,
                "the folder was written with {key} {written}, and {asked} is asked for: name another --folder"
            ),
        }
    }
}

impl std::error::Error for ManifestError {}

/// Rows of the files before the one that begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct RowsBefore {
    /// Of all.
    pub all: u64,
    /// Of those of the same history.
    pub of_history: u64,
}

impl FileManifest {
    pub fn new(settings: FileSettings) -> Self {
        Self {
            schema: SCHEMA.to_owned(),
            settings,
            files: Vec::new(),
            position: None,
            names: OpenedNames::default(),
        }
    }

    /// The names that were opened before the place where the stream is read on.
    pub fn names(&self) -> &OpenedNames {
        &self.names
    }

    /// Takes those of these that were opened before that place.
    pub fn set_names(&mut self, names: &OpenedNames) {
        let place = self.position();
        let next = |place: TargetPosition| (place.seq + 1).max(place.cursor.map_or(0, |cursor| cursor.seq));
        self.names = names.before(place.map_or(0, next));
    }

    /// Reads one, and compares its settings with those of this run.
    pub fn parse(text: &[u8], settings: &FileSettings) -> Result<Self, ManifestError> {
        let read: Self =
            serde_json::from_slice(text).map_err(|error| ManifestError::Unreadable(error.to_string()))?;
        if read.schema != SCHEMA {
            return Err(ManifestError::Unreadable(format!("it is of {}, not {SCHEMA}", read.schema)));
        }
        let keys = settings.keys().chain(read.settings.keys());
        for key in keys {
            let text = |settings: &FileSettings| settings.get(key).cloned().unwrap_or_else(|| "none".into());
            let (written, asked) = (text(&read.settings), text(settings));
            if written != asked {
                return Err(ManifestError::Setting { key: key.clone(), written, asked });
            }
        }
        Ok(read)
    }

    /// Its bytes.
    pub fn text(&self) -> Vec<u8> {
        let mut text = serde_json::to_vec_pretty(self).unwrap_or_else(|_| unreachable!("names are texts"));
        text.push(b'\n');
        text
    }

    /// Where the stream is read on.
    pub fn position(&self) -> Option<TargetPosition> {
        let last = self.files.last();
        match (self.position, last) {
            (Some(ManifestPosition { cursor, seq }), _) => {
                let history = last.map_or(cursor.history, |row| row.history);
                Some(TargetPosition { history, seq, cursor: Some(cursor) })
            }
            (None, Some(row)) => {
                Some(TargetPosition { history: row.history, seq: row.last_seq, cursor: row.resume })
            }
            (None, None) => None,
        }
    }

    /// Whether a position of its own says more than the last file.
    pub fn needs(&self, position: ManifestPosition) -> bool {
        let known = self.position.map(|known| known.cursor).or(self.files.last().and_then(|row| row.resume));
        let ahead = position.cursor.seq.saturating_sub(known.map_or(0, |known| known.seq));
        known.is_none()
            || known.is_some_and(|known| known.history != position.cursor.history)
            || ahead >= AHEAD
    }

    /// The stream is read on here.
    pub fn set_position(&mut self, position: ManifestPosition) {
        self.position = Some(position);
    }

    pub fn rows_before(&self, history: u64) -> RowsBefore {
        let sum = |rows: &mut dyn Iterator<Item = &ManifestRow>| rows.map(|row| row.rows).sum();
        RowsBefore {
            all: sum(&mut self.files.iter()),
            of_history: sum(&mut self.files.iter().filter(|row| row.history == history)),
        }
    }

    /// A file is complete.
    pub fn push(&mut self, open: &OpenFile, sha256: String) {
        self.files.push(ManifestRow {
            file: open.name.clone(),
            day: open.day.clone(),
            history: open.history,
            first_seq: open.first_seq,
            last_seq: open.last_seq,
            first_timestamp_ns: open.first_timestamp,
            last_timestamp_ns: open.last_timestamp,
            rows: open.rows,
            left_out: open.left_out,
            bytes: open.written,
            sha256,
            resume: Some(open.resume),
        });
        self.position = None;
    }
}

/// Whether a count is left out of the text.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields by reference")]
fn is_none(count: &u64) -> bool {
    *count == 0
}

/// A history as other documents of lockstep have it.
mod digits {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(number: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format!("{number:016x}"))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        let text = String::deserialize(deserializer)?;
        u64::from_str_radix(&text, 16).map_err(|_| D::Error::custom(format!("'{text}' is no history")))
    }
}

/// A cursor as other documents of lockstep have it.
mod text {
    use lockstep_client::Cursor;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(cursor: &Option<Cursor>, serializer: S) -> Result<S::Ok, S::Error> {
        match cursor {
            Some(cursor) => serializer.serialize_str(&cursor.to_string()),
            None => serializer.serialize_none(),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Cursor>, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map(Some).map_err(|_| D::Error::custom(format!("'{text}' is no cursor")))
    }
}

/// A place: the seq, a blank, the cursor.
mod place {
    use super::ManifestPosition;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(
        position: &Option<ManifestPosition>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match position {
            Some(ManifestPosition { cursor, seq }) => serializer.serialize_str(&format!("{seq} {cursor}")),
            None => serializer.serialize_none(),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<ManifestPosition>, D::Error> {
        let text = String::deserialize(deserializer)?;
        let parsed = text.split_once(' ').and_then(|(seq, cursor)| {
            Some(ManifestPosition { seq: seq.parse().ok()?, cursor: cursor.parse().ok()? })
        });
        parsed.map(Some).ok_or_else(|| D::Error::custom(format!("'{text}' is no position")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(format: &str) -> FileSettings {
        [("--format".to_owned(), format.to_owned())].into()
    }

    #[test]
    fn a_manifest_is_read_as_it_was_written_and_refused_for_another_run_or_version() {
        let mut written = FileManifest::new(settings("csv"));
        written.files.push(ManifestRow {
            file: "a".into(),
            day: "2026-11-27".into(),
            history: u64::MAX,
            first_seq: 1,
            last_seq: u64::MAX,
            first_timestamp_ns: 2,
            last_timestamp_ns: 3,
            rows: 4,
            left_out: 0,
            bytes: 5,
            sha256: "6".into(),
            resume: Some(Cursor { history: u64::MAX, seq: 7, chain: 8 }),
        });
        assert_eq!(FileManifest::parse(&written.text(), &settings("csv")), Ok(written.clone()));
        assert_eq!(written.rows_before(1), RowsBefore { all: 4, of_history: 0 });
        let position = ManifestPosition { cursor: Cursor { history: 9, seq: 10, chain: 11 }, seq: 12 };
        let mut moved = written.clone();
        moved.set_position(position);
        assert_eq!(FileManifest::parse(&moved.text(), &settings("csv")), Ok(moved));
        let earlier = String::from_utf8(written.text()).expect("text").replace("\"resume\"", "\"unknown\"");
        let read = FileManifest::parse(earlier.as_bytes(), &settings("csv")).expect("of an earlier release");
        assert_eq!(read.position().expect("a file").cursor, None);
        let error = FileManifest::parse(&written.text(), &settings("parquet")).expect_err("another format");
        assert!(error.to_string().contains("written with --format csv, and parquet is asked for"), "{error}");
        let newer = String::from_utf8(written.text()).expect("text").replace(SCHEMA, "lockstep.files/2");
        for text in [newer.as_bytes(), b"", b"{}", &written.text()[..20]] {
            let error = FileManifest::parse(text, &settings("csv")).expect_err("no manifest");
            assert!(matches!(error, ManifestError::Unreadable(_)), "{error}");
        }
    }
}
