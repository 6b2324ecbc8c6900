//! `lockstep declare-dead`: of two nodes without a witness one is gone, and the other goes on alone by the
//! operator's word. Nothing else can tell a dead node from one that is cut off: so the word must be true.

use super::Failure;
use super::args::DeclareDeadArgs;
use super::failure::{FAILED, NOT_READY, USAGE};
use super::operator::{CommandClient, describe};
use lockstep_client::internal::NodeStatus;
use lockstep_core::engine::event::Role;
use lockstep_wire::{CommandReject, QueryKind};
use serde_json::json;
use std::io::Write;

/// The version of what `--json` prints.
const SCHEMA: &str = "lockstep.declare-dead/1";

/// Prints the survivor once it leads alone.
pub fn run(args: &DeclareDeadArgs) -> Result<u8, Failure> {
    let dead = args.identity;
    let mut operator = CommandClient::open(&args.operator.cluster, args.operator.timeout)?;
    let survivor = operator.wait("no member answered", |_, statuses| {
        if let Some(alive) = statuses.iter().flatten().find(|status| status.identity == dead) {
            let what = format!(
                "{dead} answers at {}: it is not dead. Two nodes that lead at once would destroy the stream; stop \
                 it for good first",
                alive.address
            );
            return Err(Failure::new(USAGE, what));
        }
        let others = statuses.iter().flatten().filter(|status| status.lists(status.identity));
        Ok(others.max_by_key(|status| (status.accepted, status.accept_next)).cloned())
    })?;
    if is_over(&survivor, args) {
        return tell(args, &survivor);
    }
    let asked = survivor.identity;
    let after = operator.wait("the survivor does not lead alone", |operator, statuses| {
        let found = statuses.iter().flatten().find(|status| status.identity == asked);
        if let Some(status) = found.filter(|status| is_over(status, args)) {
            return Ok(Some(status.clone()));
        }
        let left = operator.left();
        let survivor = found.unwrap_or(&survivor);
        match operator.nodes.client.send_command(survivor, QueryKind::DeclareDead, Some(dead), left) {
            // Its silence may be too short yet, its own leadership just over, or its epoch just begun.
            None
            | Some(Ok(()) | Err(CommandReject::Alive | CommandReject::Stale | CommandReject::TooMany)) => {
                Ok(None)
            }
            Some(Err(why)) => {
                let what = format!("{asked} does not continue alone: {}", describe(why, dead));
                Err(Failure::new(if why == CommandReject::SelfDeclared { USAGE } else { FAILED }, what))
            }
        }
    });
    match after {
        Ok(status) => tell(args, &status),
        Err(failure) if failure.code() == NOT_READY => {
            let what =
                format!("{failure}; if {asked} still receives from {dead}, stop {dead} for good first");
            Err(Failure::new(NOT_READY, what))
        }
        Err(failure) => Err(failure),
    }
}

/// Whether it leads, without the dead one, and that is committed.
fn is_over(status: &NodeStatus, args: &DeclareDeadArgs) -> bool {
    status.role == Role::Leader && !status.lists(args.identity) && status.is_stable()
}

fn tell(args: &DeclareDeadArgs, survivor: &NodeStatus) -> Result<u8, Failure> {
    let (leader, dead) = (survivor.identity.to_string(), args.identity.to_string());
    let mut out = std::io::stdout();
    match args.operator.json {
        true => writeln!(out, "{}", json!({ "schema": SCHEMA, "leader": leader, "removed": dead }))?,
        false => writeln!(out, "{leader} leads alone, {dead} is no member any more")?,
    }
    eprintln!(
        "no member may crash now; never start {dead} again: `format` its journal, start it, and add its new \
         identity with `lockstep membership add`"
    );
    Ok(0)
}
