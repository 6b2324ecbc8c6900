//! `journal import`: an exported log becomes the beginning of a new history, perhaps in another cluster.

use super::JournalPlaceArgs;
use crate::cli::store::recover::report_founding;
use clap::Args;
use lockstep_daemon::Failure;
use lockstep_daemon::config;
use lockstep_daemon::failure::USAGE;
use lockstep_operations::acting;
use lockstep_operations::journal::{ImportOrder, import};
use lockstep_operations::recover::check_founder;
use std::path::PathBuf;
use std::time::Duration;

/// The version of what `--json` prints.
const SCHEMA: &str = "lockstep.journal.import/1";

/// Flags of `journal import`.
#[derive(Args, Debug)]
pub struct ImportArgs {
    #[command(flatten)]
    pub place: JournalPlaceArgs,
    /// The file that `journal export` wrote as JSON, from the first seq on and without filters
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Does it: the replica, which has no journal, founds a new history
    #[arg(long)]
    pub yes: bool,
    /// How long to look for a leader before that
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = config::duration, env = "LOCKSTEP_TIMEOUT")]
    pub timeout: Duration,
    /// Prints JSON
    #[arg(long)]
    pub json: bool,
}

/// Founds the history, and prints it.
pub(super) fn run(args: &ImportArgs) -> Result<u8, Failure> {
    let config = args.place.cluster.load(&[])?;
    acting::not_as_root(&config)?;
    let settings = args.place.node()?;
    check_founder(&config, &settings)?;
    if !args.yes {
        let what = format!(
            "replica {} would get a journal with a new history in {}, with the entries of {}. Give --yes to make it",
            settings.replica,
            settings.journal.display(),
            args.file.display()
        );
        return Err(Failure::new(USAGE, what));
    }
    let order = ImportOrder { file: &args.file, config: &config, settings: &settings, timeout: args.timeout };
    let founded = import(&order, &mut |notice| eprintln!("{notice}"))?;
    report_founding(args.json, SCHEMA, &founded)
}
