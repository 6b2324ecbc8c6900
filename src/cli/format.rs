//! `lockstep format`: a replica's journal, empty, with an identity of its own; `--verify` reads one that
//! is there.

use super::Failure;
use super::args::FormatArgs;
use super::journal::summary;
use super::notary::notaries;
use lockstep_daemon::config::NodeConfig;
use lockstep_operations::acting;
use serde_json::json;
use std::io::Write;

/// The version of what `--json` prints.
const SCHEMA: &str = "lockstep.format/1";

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
        match args.json {
            true => writeln!(out, "{}", json!({ "schema": SCHEMA, "ok": true, "summary": summary }))?,
            false => writeln!(out, "{summary}")?,
        }
        return Ok(0);
    }
    acting::not_as_root(&config)?;
    let identity = lockstep_node::format(&settings)?.to_string();
    let (replica, journal) = (settings.replica, settings.journal.display());
    match args.json {
        true => writeln!(out, "{}", json!({ "schema": SCHEMA, "replica": replica, "identity": identity }))?,
        false => writeln!(out, "{identity}")?,
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
