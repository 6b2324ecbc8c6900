//! `lockstep reload`: the daemons of this host read their files again, and say what came of it.

use crate::cli::shared::counter_files::sound;
use clap::Args;
use lockstep_daemon::Failure;
use lockstep_daemon::args::ClusterArgs;
use lockstep_daemon::failure::FAILED;
use lockstep_operations::processes::{files, read};
use lockstep_operations::reload::{ReloadAnswer, reload};
use serde_json::json;
use std::io::Write;

/// The version of what `--json` prints.
const SCHEMA: &str = "lockstep.reload/1";

/// Flags of `reload`.
#[derive(Args, Debug)]
pub struct ReloadArgs {
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// Only processes whose name contains this, like `replica-1` or `gateway`; without it all of this host
    #[arg(value_name = "PROCESS")]
    pub process: Option<String>,
    /// Prints JSON
    #[arg(long)]
    pub json: bool,
}

/// Sends SIGHUP to them, and prints their answers. Exits 1 if one could not be asked, or refuses a file.
pub fn run(args: &ReloadArgs) -> Result<u8, Failure> {
    // A file that is wrong has the answer before any process is asked.
    let config = args.cluster.load(&[])?;
    // A file that another user has made is named, and hides none of the others.
    let processes = sound(read(&config, files(&config, args.process.as_deref())?))?;
    let answers = reload(&config, processes);
    let mut out = std::io::stdout();
    if args.json {
        let row = |(name, answer): &(String, ReloadAnswer)| json!({ "process": name, "ok": answer.is_ok, "answer": answer.lines });
        let rows: Vec<_> = answers.iter().map(row).collect();
        writeln!(out, "{}", json!({ "schema": SCHEMA, "processes": rows }))?;
    } else {
        for (name, answer) in &answers {
            answer.lines.iter().try_for_each(|line| writeln!(out, "{name}: {line}"))?;
        }
    }
    Ok(if answers.iter().all(|(_, answer)| answer.is_ok) { 0 } else { FAILED })
}
