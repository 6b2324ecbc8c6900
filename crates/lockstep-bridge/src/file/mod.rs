//! `lockstep bridge file`: the stream in files.

mod capture;
pub(crate) mod csv;
mod encode;
mod files;
mod framed;
mod manifest;
mod packets;
mod parquet;
mod storage;
#[cfg(test)]
mod tests;

use self::capture::{CaptureEncoder, CaptureForm};
use self::csv::{Csv, PayloadText};
use self::encode::FileEncoder;
use self::files::{FileLimits, FileTarget, NAMES};
use self::framed::{BinaryFile, LengthPrefixed};
use self::manifest::FileSettings;
use self::packets::PacketPath;
use self::parquet::{Parquet, ParquetCompression};
use self::storage::FolderStorage;
use crate::failure::{BridgeFailure, FAILED, FENCED, USAGE};
use clap::{Args, ValueEnum};
use lockstep_client::Destination;
use lockstep_schema::PayloadSchema;
use moldudp64::Session;
use sha2::{Digest, Sha256};
use std::fmt;
use std::net::SocketAddrV4;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};

/// Where the packets of a capture come from: an address of RFC 5737, which nobody has.
const SENDER: &str = "192.0.2.1:26477";
/// Where they go: a group of RFC 6676, for documents.
const GROUP: &str = "233.252.0.1:26477";

/// The formats.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum FileFormat {
    /// A line a message, RFC 4180
    Csv,
    /// Each payload behind its length in 4 bytes, little-endian: for `lockstep publish --length-prefixed`
    LengthPrefixed,
    /// Nasdaq's BinaryFILE: each payload behind its length in 2 bytes, big-endian; a length of 0 at the end
    BinaryFile,
    /// Packets of MoldUDP64, at the times at which their messages were stamped
    Pcap,
    /// The same as pcapng
    Pcapng,
    /// Columns
    Parquet,
}

impl FileFormat {
    fn extension(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::LengthPrefixed => "raw",
            Self::BinaryFile => "bin",
            Self::Pcap => "pcap",
            Self::Pcapng => "pcapng",
            Self::Parquet => "parquet",
        }
    }
}

/// Flags of `lockstep bridge file`.
#[derive(Args, Clone, Debug)]
pub struct FileTargetArgs {
    /// The folder of the files and of their manifest.json; it is made if it is not there
    #[arg(long, value_name = "DIR")]
    folder: PathBuf,
    /// The format of the files
    #[arg(long, value_enum)]
    format: FileFormat,
    /// Messages of a file at most; few of them bring a file early
    #[arg(long, value_name = "N", default_value = "1000000")]
    rows_per_file: NonZeroU64,
    /// A file ends with the message with which it has this size, before compression
    #[arg(long, value_name = "SIZE", default_value = "256MiB", value_parser = lockstep_config::size)]
    bytes_per_file: u64,
    /// csv: how a payload is spelt [default: escaped]
    #[arg(long, value_enum, value_name = "FORM")]
    payload: Option<PayloadText>,
    /// pcap, pcapng: where the packets come from [default: 192.0.2.1:26477]
    #[arg(long, value_name = "IP:PORT")]
    sender: Option<SocketAddrV4>,
    /// pcap, pcapng: where the packets go [default: 233.252.0.1:26477]
    #[arg(long, value_name = "IP:PORT")]
    group: Option<SocketAddrV4>,
    /// pcap, pcapng: the name of MoldUDP64's session [default: the first ten digits of the history]
    #[arg(long, value_name = "NAME")]
    session: Option<String>,
    /// parquet: which fields payloads have, as columns; contrib/bridge has examples
    #[arg(long, value_name = "FILE")]
    schema: Option<PathBuf>,
    /// csv, parquet: columns publisher_name and destination_name, as far as the opens were read since the
    /// folder began
    #[arg(long)]
    names: bool,
    /// parquet: how columns are compressed [default: lz4]
    #[arg(long, value_enum)]
    compression: Option<ParquetCompression>,
}

fn usage(what: impl fmt::Display) -> BridgeFailure {
    BridgeFailure::new(USAGE, what)
}

impl FileTargetArgs {
    /// The target. Only messages to `destinations` are in the files; all of them if there are none.
    ///
    /// # Errors
    /// The flags do not fit, or the folder cannot be had.
    pub fn target(&self, destinations: &[Destination]) -> Result<FileTarget<FolderStorage>, BridgeFailure> {
        self.check()?;
        let mut settings = FileSettings::new();
        settings.insert("--format".into(), name_of(&self.format));
        settings.insert("--rows-per-file".into(), self.rows_per_file.to_string());
        settings.insert("--bytes-per-file".into(), self.bytes_per_file.to_string());
        if !destinations.is_empty() {
            let mut list: Vec<_> = destinations.to_vec();
            list.sort_unstable();
            list.dedup();
            let list: Vec<_> = list.iter().map(ToString::to_string).collect();
            settings.insert("destinations".into(), list.join(","));
        }
        if self.names {
            settings.insert(NAMES.into(), "yes".into());
        }
        let encoder = self.encoder(&mut settings)?;
        let name = format!("folder {}", self.folder.display());
        let storage = FolderStorage::open(&self.folder)
            .map_err(|error| BridgeFailure::new(FAILED, format!("{name}: {error}")))?
            .ok_or_else(|| {
                let what = format!("{name}: another bridge writes into it; end that one, or name another");
                BridgeFailure::new(FENCED, what)
            })?;
        let limits = FileLimits { rows: self.rows_per_file.get(), bytes: self.bytes_per_file };
        Ok(FileTarget::new(name, storage, (encoder, self.format.extension()), limits, settings))
    }

    /// Flags of another format are refused.
    fn check(&self) -> Result<(), BridgeFailure> {
        use FileFormat::{Csv, Parquet, Pcap, Pcapng};
        let captures = [Pcap, Pcapng].as_slice();
        let flags = [
            ("--payload", self.payload.is_some(), [Csv].as_slice()),
            ("--sender", self.sender.is_some(), captures),
            ("--group", self.group.is_some(), captures),
            ("--session", self.session.is_some(), captures),
            (NAMES, self.names, [Csv, Parquet].as_slice()),
            ("--schema", self.schema.is_some(), [Parquet].as_slice()),
            ("--compression", self.compression.is_some(), [Parquet].as_slice()),
        ];
        match flags.iter().find(|(_, is_set, formats)| *is_set && !formats.contains(&self.format)) {
            None => Ok(()),
            Some((flag, _, formats)) => {
                let formats: Vec<_> = formats.iter().map(name_of).collect();
                Err(usage(format!(
                    "{flag} is for --format {}, and --format is {}",
                    formats.join(" or "),
                    name_of(&self.format)
                )))
            }
        }
    }

    /// What encodes the files; what it depends on is added to the settings.
    fn encoder(&self, settings: &mut FileSettings) -> Result<Box<dyn FileEncoder>, BridgeFailure> {
        let encoder: Box<dyn FileEncoder> = match self.format {
            FileFormat::Csv => {
                let form = self.payload.unwrap_or(PayloadText::Escaped);
                settings.insert("--payload".into(), name_of(&form));
                Box::new(Csv::new(form, self.names))
            }
            FileFormat::LengthPrefixed => Box::new(LengthPrefixed),
            FileFormat::BinaryFile => Box::new(BinaryFile),
            FileFormat::Pcap => self.capture(CaptureForm::Pcap, settings)?,
            FileFormat::Pcapng => self.capture(CaptureForm::PcapNg, settings)?,
            FileFormat::Parquet => {
                let compression = self.compression.unwrap_or(ParquetCompression::Lz4);
                settings.insert("--compression".into(), name_of(&compression));
                let schema = self.read_schema(settings)?;
                Box::new(Parquet::new(schema, self.names, compression).map_err(usage)?)
            }
        };
        Ok(encoder)
    }

    fn capture(
        &self,
        form: CaptureForm,
        settings: &mut FileSettings,
    ) -> Result<Box<dyn FileEncoder>, BridgeFailure> {
        let address = |set: Option<SocketAddrV4>, default: &str| {
            set.map_or_else(|| default.parse().map_err(usage), Ok::<_, BridgeFailure>)
        };
        let path =
            PacketPath { source: address(self.sender, SENDER)?, destination: address(self.group, GROUP)? };
        let session = self.session.as_ref().map(|name| Session::new(name.as_bytes())).transpose();
        let session = session.map_err(|error| usage(format!("--session: {error}")))?;
        if session.is_some_and(|session| session.is_blank()) {
            return Err(usage("--session: a name has 1 to 10 letters or digits"));
        }
        settings.insert("--sender".into(), path.source.to_string());
        settings.insert("--group".into(), path.destination.to_string());
        let session_text = session.map_or_else(|| "of the history".to_owned(), |name| name.to_string());
        settings.insert("--session".into(), session_text);
        Ok(Box::new(CaptureEncoder::new(form, path, session)))
    }

    fn read_schema(&self, settings: &mut FileSettings) -> Result<Option<PayloadSchema>, BridgeFailure> {
        let Some(path) = &self.schema else { return Ok(None) };
        let (schema, text) = read_schema(path)?;
        let digest: String =
            Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
        settings.insert("--schema".into(), format!("{} (SHA-256 {digest})", schema.name));
        Ok(Some(schema))
    }
}

/// The schema of a file that was named with `--schema`, and its text.
///
/// # Errors
/// The file cannot be read, or is wrong.
pub(crate) fn read_schema(path: &Path) -> Result<(PayloadSchema, String), BridgeFailure> {
    PayloadSchema::read(path).map_err(|error| usage(format!("--schema {}: {error}", path.display())))
}

/// The value of a flag as it is written.
fn name_of(value: &impl ValueEnum) -> String {
    value.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
}
