//! `lockstep format`: a replica's journal, empty, with an identity of its own; `--verify` reads one that
//! is there.

use crate::cli::store::journal::summary;
use clap::Args;
use lockstep_daemon::Failure;
use lockstep_daemon::args::ClusterArgs;
use lockstep_daemon::config::NodeConfig;
use lockstep_daemon::notary::notaries;
use lockstep_operations::acting;
use serde_json::json;
use std::io::Write;

/// The version of what `--json` prints.
const SCHEMA: &str = "lockstep.format/1";

/// Flags of `format`.
#[derive(Args, Debug)]
pub struct FormatArgs {
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// Which replica of the configuration this is
    #[arg(long, value_name = "N", env = "LOCKSTEP_REPLICA", required_unless_present = "archiver")]
    pub replica: Option<u32>,
    /// Which archiver of the configuration this is, instead
    #[arg(long, value_name = "N", env = "LOCKSTEP_ARCHIVER")]
    pub archiver: Option<u32>,
    /// Reads every record of an existing journal instead; damage exits 3 and is named
    #[arg(long)]
    pub verify: bool,
    /// Checks the journal against what notaries have signed as well; the file `notaries` of security.keys
    /// lists those that count
    #[arg(long, requires = "verify")]
    pub attested: bool,
    /// Prints JSON
    #[arg(long)]
    pub json: bool,
}

/// Prints the identity that was drawn, or what was verified.
pub fn run(args: &FormatArgs) -> Result<u8, Failure> {
    let config = args.cluster.load(&[])?;
    let (settings, is_archiver) = match (args.archiver, args.replica) {
        (Some(archiver), _) => (config.archiver_node(archiver)?, true),
        (None, replica) => (config.node(replica.unwrap_or_default())?, false),
    };
    let mut out = std::io::stdout();
    if args.verify {
        let journal = &settings.journal;
        let mut summary = summary(journal, lockstep_node::verify(journal)?);
        if args.attested {
            let attested = lockstep_node::verify_attested(journal, notaries(&config)?)?;
            summary = format!("{summary}; {attested}");
        }
        if args.json {
            writeln!(out, "{}", json!({ "schema": SCHEMA, "ok": true, "summary": summary }))?;
        } else {
            writeln!(out, "{summary}")?;
        }
        return Ok(0);
    }
    acting::not_as_root(&config)?;
    let identity = lockstep_node::format(&settings)?.to_string();
    let (replica, journal) = (settings.replica, settings.journal.display());
    if args.json {
        writeln!(out, "{}", json!({ "schema": SCHEMA, "replica": replica, "identity": identity }))?;
    } else {
        writeln!(out, "{identity}")?;
    }
    if is_archiver {
        eprintln!(
            "archiver {replica} of cluster {}: its journal is in {journal}; `lockstep archiver --archiver {replica}` \
             fetches the whole stream",
            settings.keys.cluster()
        );
        return Ok(0);
    }
    eprintln!(
        "replica {replica} of cluster {}: its journal is in {journal}; next:\n  \
         in a new cluster: once all replicas are formatted, `lockstep bootstrap` on one of them\n  \
         in a cluster that runs: start this sequencer, then `lockstep membership replace OLD {identity}`,\n  \
         or `lockstep membership add {identity}` if replica {replica} is no member",
        settings.keys.cluster()
    );
    Ok(0)
}
