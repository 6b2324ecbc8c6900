//! `lockstep handover`: the leader gives its place to another, while the stream goes on.

use crate::cli::shared::flags::OperatorArgs;
use crate::cli::shared::operator::CommandClient;
use clap::Args;
use lockstep_daemon::Failure;
use lockstep_operations::commands::hand_over;
use serde_json::json;
use std::io::Write;

/// The version of what `--json` prints.
const SCHEMA: &str = "lockstep.handover/1";

/// Flags of `handover`.
#[derive(Args, Debug)]
pub struct HandoverArgs {
    #[command(flatten)]
    pub operator: OperatorArgs,
    /// The replica that is to lead; the default is the one that holds most
    #[arg(long, value_name = "REPLICA")]
    pub to: Option<u32>,
}

/// Prints the new leader.
pub fn run(args: &HandoverArgs) -> Result<u8, Failure> {
    let mut operator = CommandClient::open(&args.operator.cluster, args.operator.timeout)?;
    let handed = hand_over(&mut operator, args.to)?;
    let (leader, epoch) = (handed.leader.to_string(), handed.epoch.to_string());
    let mut out = std::io::stdout();
    if args.operator.json {
        writeln!(out, "{}", json!({ "schema": SCHEMA, "leader": leader, "epoch": epoch }))?;
    } else {
        let does = if handed.led_before { "leads already" } else { "leads" };
        writeln!(out, "{leader} {does}, epoch {epoch}")?;
    }
    handed.check_named()?;
    Ok(0)
}
