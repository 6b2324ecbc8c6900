//! `lockstep ack CODE`: an operator has seen a condition that is a note of something past, and it ends.
//!
//! Most conditions are how a node stands: they end with their causes, and nobody's word ends them.

use super::Failure;
use super::args::AckArgs;
use super::failure::{FAILED, NOT_READY, USAGE};
use super::operator::{CommandClient, describe};
use lockstep_client::internal::NodeStatus;
use lockstep_wire::{Acknowledgement, CommandReject, Condition};
use serde_json::json;
use std::io::Write;

/// The version of what `--json` prints.
const SCHEMA: &str = "lockstep.ack/1";

/// Acknowledges it at each node that has it.
pub fn run(args: &AckArgs) -> Result<u8, Failure> {
    let wanted = args.code;
    if !wanted.is_acknowledged() {
        let can = Condition::ALL.iter().filter(|known| known.is_acknowledged());
        let can: Vec<_> = can.map(|known| format!("LS{}", *known as u16)).collect();
        let what = format!(
            "LS{} ({}) is a state of a node, and ends with its cause: `lockstep explain {}` has the remedy. \
             An operator acknowledges past events: {}",
            wanted as u16,
            wanted.name(),
            wanted.name(),
            can.join(", ")
        );
        return Err(Failure::new(USAGE, what));
    }
    let mut operator = CommandClient::open(&args.operator.cluster, args.operator.timeout)?;
    let statuses = operator.wait("no node answered", |_, statuses| {
        Ok(statuses.iter().any(Option::is_some).then(|| statuses.to_vec()))
    })?;
    let mut acknowledged = Vec::new();
    for status in statuses.iter().flatten() {
        let Some(active) = status.conditions(wanted) else { continue };
        let what = active.what();
        let asked = Acknowledgement { condition: wanted, a: active.a };
        let left = operator.left();
        judge(status, operator.nodes.client.send_acknowledgement(status, asked, left))?;
        acknowledged.push((status.identity.to_string(), what));
    }
    tell(args, &acknowledged)
}

/// What a node says to it.
fn judge(status: &NodeStatus, answer: Option<Result<(), CommandReject>>) -> Result<(), Failure> {
    let (identity, address) = (status.identity, status.address);
    match answer {
        Some(Ok(())) => Ok(()),
        Some(Err(CommandReject::Stale)) => {
            let what = format!(
                "{identity} at {address} has something newer of this kind by now: look at `lockstep status`, then ask again"
            );
            Err(Failure::new(FAILED, what))
        }
        Some(Err(why)) => {
            let what = format!("{identity} at {address} does not take it: {}", describe(why, identity));
            Err(Failure::new(FAILED, what))
        }
        None => {
            let what = format!(
                "{identity} at {address} did not answer: it ended, or its release knows no acknowledgements; look at \
                 `lockstep status`"
            );
            Err(Failure::new(NOT_READY, what))
        }
    }
}

fn tell(args: &AckArgs, acknowledged: &[(String, String)]) -> Result<u8, Failure> {
    let mut out = std::io::stdout();
    let code = format!("LS{}", args.code as u16);
    if args.operator.json {
        let rows: Vec<_> =
            acknowledged.iter().map(|(node, what)| json!({ "node": node, "what": what })).collect();
        writeln!(out, "{}", json!({ "schema": SCHEMA, "code": code, "acknowledged": rows }))?;
        return Ok(0);
    }
    for (node, what) in acknowledged {
        writeln!(out, "{node}: {code} is acknowledged: {what}")?;
    }
    if acknowledged.is_empty() {
        writeln!(out, "no node that answers has {code} active")?;
    }
    Ok(0)
}
