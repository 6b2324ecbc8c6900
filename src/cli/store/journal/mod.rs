//! `lockstep journal`: what the files of a journal hold, while its node runs or after its stop.
//!
//! Nothing here takes the journal's lock or writes into its folder, but `trim`. A reader goes as far as the
//! log reached when it began: bytes behind that are a write in progress.

mod diff;
mod dump;
mod entry;
mod import;
mod info;
mod ls;
mod merge;
mod select;
mod trim;
mod verify;

pub use verify::summary;

use clap::{Args, Subcommand};
use lockstep_daemon::Failure;
use lockstep_daemon::args::ClusterArgs;
use lockstep_daemon::config::NodeConfig;
use lockstep_daemon::failure::USAGE;
use lockstep_node::{JournalReader, NodeSettings};
use std::path::PathBuf;

/// What `journal` does.
#[derive(Args, Debug)]
pub struct JournalArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: JournalCommand,
}

/// The subcommands of `journal`.
#[derive(Subcommand, Debug)]
pub enum JournalCommand {
    /// Lists the segments: seqs, epochs, times, bytes, whether they are full
    Ls(ListingArgs),
    /// Tells whose journal it is, and what is in it: history, members, epochs, days, publishers
    Info(ListingArgs),
    /// Prints the entries of the log
    Dump(dump::DumpArgs),
    /// Reads every record, and names damage by file, byte and seq; exits 3 if there is any
    Verify(ListingArgs),
    /// Prints the messages whose payload has a text or bytes
    Grep(dump::GrepArgs),
    /// Writes the entries, or the payloads of messages, into a file that other programs read
    Export(dump::JournalExportArgs),
    /// Compares two journals, and names the first seq at which they part; exits 3 if they do
    Diff(diff::DiffArgs),
    /// Prints the messages of a set's streams in their merged order, out of one journal of each
    Merge(merge::MergeArgs),
    /// Begins a new history with an exported log, perhaps of another cluster, on a replica without a journal
    Import(import::ImportArgs),
    /// Removes the oldest segments of a stopped node's journal
    Trim(trim::TrimArgs),
}

/// Which journal is meant.
#[derive(Args, Debug)]
pub struct JournalPlaceArgs {
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// The journal of this replica of the configuration
    #[arg(long, value_name = "N", env = "LOCKSTEP_REPLICA")]
    pub replica: Option<u32>,
    /// The journal of this archiver of the configuration
    #[arg(long, value_name = "N", env = "LOCKSTEP_ARCHIVER")]
    pub archiver: Option<u32>,
}

/// Flags of `journal ls`, `info` and `verify`.
#[derive(Args, Debug)]
pub struct ListingArgs {
    #[command(flatten)]
    pub place: JournalPlaceArgs,
    /// The journal's folder, or a backup's, instead of --replica or --archiver
    #[arg(value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// Prints JSON
    #[arg(long)]
    pub json: bool,
}

impl JournalPlaceArgs {
    /// The node that the flags name.
    pub fn node(&self) -> Result<NodeSettings, Failure> {
        let config = self.cluster.load(&[])?;
        Ok(match (self.archiver, self.replica) {
            (Some(archiver), _) => config.archiver_node(archiver)?,
            (None, Some(replica)) => config.node(replica)?,
            (None, None) => {
                return Err(Failure::new(
                    USAGE,
                    "name the journal: its folder, or --replica N, or --archiver N",
                ));
            }
        })
    }

    /// The journal in `dir`, else that of the node that the flags name.
    pub fn open(&self, dir: Option<&PathBuf>) -> Result<JournalReader, Failure> {
        Ok(match dir {
            Some(dir) => JournalReader::open(dir)?,
            None => JournalReader::open(&self.node()?.journal)?,
        })
    }
}

impl ListingArgs {
    fn open(&self) -> Result<JournalReader, Failure> {
        self.place.open(self.dir.as_ref())
    }
}

/// Does what the arguments say.
pub fn run(args: &JournalArgs) -> Result<u8, Failure> {
    match &args.command {
        JournalCommand::Ls(args) => ls::run(args),
        JournalCommand::Info(args) => info::run(args),
        JournalCommand::Dump(args) => dump::run(args),
        JournalCommand::Verify(args) => verify::run(args),
        JournalCommand::Grep(args) => dump::grep(args),
        JournalCommand::Export(args) => dump::export(args),
        JournalCommand::Diff(args) => diff::run(args),
        JournalCommand::Merge(args) => merge::run(args),
        JournalCommand::Import(args) => import::run(args),
        JournalCommand::Trim(args) => trim::run(args),
    }
}
