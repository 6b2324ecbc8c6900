//! `lockstep backup`: the committed log of a node, copied while it runs, and verified.

use crate::cli::store::journal::JournalPlaceArgs;
use clap::{Args, Subcommand};
use lockstep_daemon::Failure;
use lockstep_daemon::failure::{INTEGRITY, USAGE};
use lockstep_io::clock::Utc;
use lockstep_operations::backup::{
    self, BackupMade, BackupOrder, BackupReading, BackupView, NodeCommit, SEGMENT_MIN,
};
use serde_json::json;
use std::io::Write;
use std::path::{Path, PathBuf};

/// The version of what `--json` prints.
const MADE_SCHEMA: &str = "lockstep.backup.made/1";
/// The version of what `backup verify --json` prints.
const VERIFY_SCHEMA: &str = "lockstep.backup.verify/1";

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
        Some(BackupCommand::Verify(args)) => verify(args),
        None => make(&args.make),
    }
}

fn make(args: &MakeArgs) -> Result<u8, Failure> {
    let to =
        args.to.as_deref().ok_or_else(|| Failure::new(USAGE, "--to DIR|FILE.tar: where the backup goes"))?;
    if args.segment_size < SEGMENT_MIN {
        return Err(Failure::new(USAGE, format!("--segment-size: at least {SEGMENT_MIN} bytes")));
    }
    let source = args.place.open(args.dir.as_ref())?;
    let committed = if args.dir.is_none() { committed_of(args)? } else { None };
    let order = BackupOrder { to, segment_len: args.segment_size, committed, patience: args.timeout };
    let made = backup::make(&source, &order)?;
    report(args, to, &made)?;
    if let Some((first, last)) = made.not_committed {
        eprintln!(
            "seqs {first} to {last} are in the journal and not known to be committed yet: a later backup takes them"
        );
    }
    match &made.damage {
        Some(damage) => {
            let what = format!(
                "the journal {} is damaged, and the backup has seqs {} to {} of it: {damage}",
                source.dir().display(),
                made.manifest.oldest_seq,
                made.manifest.next - 1
            );
            Err(Failure::new(INTEGRITY, what))
        }
        None => Ok(0),
    }
}

/// How much the node knows to be committed; `None` if it does not answer, or cannot be asked.
fn committed_of(args: &MakeArgs) -> Result<Option<NodeCommit>, Failure> {
    let config = args.place.cluster.load(&[])?;
    let address = args.place.node()?.unicast;
    Ok(backup::committed(&config, address, args.timeout).unwrap_or_else(|error| {
        eprintln!("the node could not be asked what is committed, its journal has to say it: {error}");
        None
    }))
}

fn report(args: &MakeArgs, to: &Path, made: &BackupMade) -> Result<(), Failure> {
    let (manifest, previous) = (&made.manifest, made.previous_next);
    let mut out = std::io::stdout();
    let (bytes, segments) = (manifest.files().map(|file| file.bytes).sum::<u64>(), manifest.segments.len());
    if args.json {
        let value = json!({
            "schema": MADE_SCHEMA, "backup": to.display().to_string(), "source": manifest.source,
            "history": format!("{:016x}", manifest.history), "oldest_seq": manifest.oldest_seq,
            "next": manifest.next, "previous_next": previous, "chain": format!("{:016x}", manifest.chain),
            "segments": segments, "bytes": bytes,
        });
        writeln!(out, "{value}")?;
        return Ok(());
    }
    let new = match manifest.next - previous {
        0 => "nothing new".to_owned(),
        count => format!("{count} new entries"),
    };
    writeln!(
        out,
        "backup {}: seqs {} to {} of history {:016x}, chain {:016x}; {new}; {segments} segments, {bytes} bytes",
        to.display(),
        manifest.oldest_seq,
        manifest.next - 1,
        manifest.history,
        manifest.chain
    )?;
    Ok(())
}

fn verify(args: &VerifyArgs) -> Result<u8, Failure> {
    let view = BackupView::open(&args.backup)?;
    let reading = backup::verify(&view)?;
    let BackupReading { read, damage } = &reading;
    let mut out = std::io::stdout();
    let manifest = &view.manifest;
    if args.json {
        let rows = damage.iter().map(|one| {
            let seq = (one.seq != 0).then_some(one.seq);
            json!({ "file": one.file, "byte": one.offset, "seq": seq, "what": one.what })
        });
        let value = json!({
            "schema": VERIFY_SCHEMA, "backup": args.backup.display().to_string(),
            "history": format!("{:016x}", manifest.history), "oldest_seq": manifest.oldest_seq,
            "next": manifest.next, "chain": format!("{:016x}", manifest.chain), "made_ns": manifest.made_ns,
            "segments": read.segments, "records": read.records, "bytes": read.bytes,
            "damage": rows.collect::<Vec<_>>(),
        });
        writeln!(out, "{value}")?;
    }
    reading.refuse_damage(&args.backup)?;
    if !args.json {
        writeln!(
            out,
            "backup {}: seqs {} to {} of history {:016x}, chain {:016x}, made {}; {} segments, {} records, {} bytes, no \
             damage",
            args.backup.display(),
            manifest.oldest_seq,
            manifest.next - 1,
            manifest.history,
            manifest.chain,
            Utc(manifest.made_ns),
            read.segments,
            read.records,
            read.bytes
        )?;
    }
    Ok(0)
}
