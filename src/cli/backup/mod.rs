//! `lockstep backup`: the committed log of a node, copied while it runs, and verified.
//!
//! ```text
//!  journal's segments ─▶ frames of the log below the commit ─▶ segments of the backup ─▶ manifest.json
//!    (of any node)              │ each follows the backup's end by seq, epoch and chain     (written last)
//! ```
//!
//! A backup goes on where it ends, in whichever node's journal: frames are equal on all nodes. Its segments
//! only grow. The manifest is replaced at the end, as a whole, and lists which bytes count: wherever the
//! command dies, the backup is the old one or the new one.

mod archive;
mod make;
mod manifest;
mod segment_file;
mod verify;
mod view;

pub use segment_file::SegmentFile;
pub use verify::verified;

use super::Failure;
use super::journal::JournalPlaceArgs;
use clap::{Args, Subcommand};
use std::path::PathBuf;

/// What `backup` does.
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct BackupArgs {
    /// What to do beside making one.
    #[command(subcommand)]
    pub command: Option<BackupCommand>,
    /// Flags of a backup that is made.
    #[command(flatten)]
    pub make: MakeArgs,
}

/// The subcommands of `backup`.
#[derive(Subcommand, Debug)]
pub enum BackupCommand {
    /// Reads all of a backup, and names what is damaged by file, byte and seq; exits 3 if anything is
    Verify(VerifyArgs),
}

/// Flags of a backup that is made.
#[derive(Args, Debug)]
pub struct MakeArgs {
    #[command(flatten)]
    pub place: JournalPlaceArgs,
    /// The journal's folder, instead of --replica or --archiver
    #[arg(value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// The backup's folder, which gets what is new; a name that ends with .tar is one new file with all of it
    #[arg(long, value_name = "DIR|FILE.tar", required = true)]
    pub to: Option<PathBuf>,
    /// Bytes of a segment of the backup
    #[arg(long, value_name = "SIZE", default_value = "64MiB", value_parser = lockstep_daemon::config::size)]
    pub segment_size: u64,
    /// How long to ask the node what is committed, and then to wait until its segments hold that
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = lockstep_daemon::config::duration, env = "LOCKSTEP_TIMEOUT")]
    pub timeout: std::time::Duration,
    /// Prints JSON
    #[arg(long)]
    pub json: bool,
}

/// Flags of `backup verify`.
#[derive(Args, Debug)]
pub struct VerifyArgs {
    /// The backup: its folder or file
    #[arg(value_name = "BACKUP")]
    pub backup: PathBuf,
    /// Prints JSON
    #[arg(long)]
    pub json: bool,
}

/// Does what the arguments say.
pub fn run(args: &BackupArgs) -> Result<u8, Failure> {
    match &args.command {
        Some(BackupCommand::Verify(args)) => verify::run(args),
        None => make::run(&args.make),
    }
}
