//! `journal trim`: removes the oldest segments of a stopped node's journal, as retention does.

use super::JournalPlaceArgs;
use clap::Args;
use lockstep_daemon::Failure;
use lockstep_daemon::failure::USAGE;
use lockstep_operations::acting;
use lockstep_operations::journal::{TrimDone, TrimPlan, trim};
use lockstep_wire::Seq;
use serde_json::json;
use std::io::Write;
use std::path::PathBuf;

/// The version of what `--json` prints.
const SCHEMA: &str = "lockstep.journal.trim/1";

/// Flags of `journal trim`.
#[derive(Args, Debug)]
pub struct TrimArgs {
    #[command(flatten)]
    pub place: JournalPlaceArgs,
    /// Segments all of whose entries lie before this seq are removed
    #[arg(long, value_name = "SEQ")]
    pub before: Seq,
    /// A backup that has what is removed; all of it is read first
    #[arg(long, value_name = "BACKUP")]
    pub backup: Option<PathBuf>,
    /// Removes entries that no backup has: other journals must hold them, or they are lost
    #[arg(long, conflicts_with = "backup")]
    pub accept_loss: bool,
    /// Does it; without this flag the command says what it would remove
    #[arg(long)]
    pub yes: bool,
    /// Prints JSON
    #[arg(long)]
    pub json: bool,
}

/// Removes them, or says which.
pub(super) fn run(args: &TrimArgs) -> Result<u8, Failure> {
    acting::not_as_root(&args.place.cluster.load(&[])?)?;
    let settings = args.place.node()?;
    let plan = TrimPlan::new(&settings, args.before)?;
    let Some((from, to_next)) = plan.seqs else {
        eprintln!("no segment lies before seq {} as a whole: nothing to remove", plan.before());
        return Ok(0);
    };
    for damage in &plan.lost {
        eprintln!("journal {} is damaged: {damage}", plan.dir().display());
    }
    match &args.backup {
        Some(backup) => plan.check_covered_by(backup)?,
        None if args.accept_loss => {}
        None => {
            let what = format!(
                "seqs {from} to {} would be gone from this journal: name a backup that has them with --backup, or give \
                 --accept-loss if another journal does",
                to_next - 1
            );
            return Err(Failure::new(USAGE, what));
        }
    }
    if !args.yes {
        eprintln!(
            "{} segments with seqs {from} to {} would be removed, or are missed no longer; readers that ask \
             for them get the answer that the journal begins at seq {to_next}. Give --yes to remove them",
            plan.segments,
            to_next - 1
        );
        return Err(Failure::new(USAGE, "nothing was removed"));
    }
    let TrimDone { removed, missed_no_longer, oldest_seq } = trim(&settings, &plan)?;
    let mut out = std::io::stdout();
    if args.json {
        let value = json!({ "schema": SCHEMA, "removed": removed, "missed_no_longer": missed_no_longer,
            "oldest_seq": oldest_seq });
        writeln!(out, "{value}")?;
        return Ok(0);
    }
    if let (Some(first), Some(last)) = (missed_no_longer.first(), missed_no_longer.last()) {
        writeln!(out, "segments {first} to {last} were gone, and are missed no longer")?;
    }
    writeln!(out, "{} segments removed; the journal begins at seq {oldest_seq}", removed.len())?;
    Ok(0)
}
