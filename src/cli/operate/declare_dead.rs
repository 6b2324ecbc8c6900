//! `lockstep declare-dead`: of two nodes without a witness one is gone, and the other goes on alone by the
//! operator's word. Nothing else can tell a dead node from one that is cut off: so the word must be true.

use crate::cli::shared::flags::OperatorArgs;
use crate::cli::shared::operator::CommandClient;
use clap::Args;
use lockstep_daemon::Failure;
use lockstep_operations::commands::declare_dead;
use lockstep_wire::Identity;
use serde_json::json;
use std::io::Write;

/// The version of what `--json` prints.
const SCHEMA: &str = "lockstep.declare-dead/1";

/// Flags of `declare-dead`.
#[derive(Args, Debug)]
pub struct DeclareDeadArgs {
    #[command(flatten)]
    pub operator: OperatorArgs,
    /// Which of the two, as `membership show` prints it
    #[arg(value_name = "IDENTITY")]
    pub identity: Identity,
}

/// Prints the survivor once it leads alone.
pub fn run(args: &DeclareDeadArgs) -> Result<u8, Failure> {
    let mut operator = CommandClient::open(&args.operator.cluster, args.operator.timeout)?;
    let survivor = declare_dead(&mut operator, args.identity)?;
    let (leader, dead) = (survivor.identity.to_string(), args.identity.to_string());
    let mut out = std::io::stdout();
    if args.operator.json {
        writeln!(out, "{}", json!({ "schema": SCHEMA, "leader": leader, "removed": dead }))?;
    } else {
        writeln!(out, "{leader} leads alone, {dead} is no member any more")?;
    }
    eprintln!(
        "no member may crash now; never start {dead} again: `format` its journal, start it, and add its new \
         identity with `lockstep membership add`"
    );
    Ok(0)
}
