//! `lockstep handover`: the leader gives its place to another, while the stream goes on.

use super::Failure;
use super::args::HandoverArgs;
use super::failure::{FAILED, NOT_READY, USAGE};
use super::operator::{Operator, words};
use crate::client::leader_of;
use crate::wire::Topic;
use serde_json::json;
use std::io::Write;

/// The version of what `--json` prints.
const SCHEMA: &str = "lockstep.handover/1";

/// Prints the new leader.
pub fn run(args: &HandoverArgs) -> Result<u8, Failure> {
    let mut operator = Operator::open(&args.operator.cluster, args.operator.timeout)?;
    let before = operator.leader()?;
    let to = match args.to {
        None => None,
        Some(replica) => {
            let listed = before.member(replica).ok_or_else(|| {
                let list: Vec<_> =
                    before.members.iter().map(|listed| listed.member.replica.to_string()).collect();
                Failure::new(USAGE, format!("--to {replica} is no member; there are {}", list.join(", ")))
            })?;
            Some(listed.member.identity())
        }
    };
    if to == Some(before.identity) {
        return tell(args, &before.identity.to_string(), &before.accepted.to_string(), "leads already");
    }
    let left = operator.left();
    match operator.questioner.order(before.address, Topic::Handover, to, left) {
        Some(Ok(())) => {}
        Some(Err(why)) => {
            let what = format!(
                "leader {} at {} does not hand over: {}",
                before.identity,
                before.address,
                words(why, to.unwrap_or(before.identity))
            );
            return Err(Failure::new(FAILED, what));
        }
        None => {
            let what = format!(
                "leader {} at {} did not answer within {:?}; look at `lockstep status`",
                before.identity, before.address, args.operator.timeout
            );
            return Err(Failure::new(NOT_READY, what));
        }
    }
    let waited = "the leader was told to hand over and nobody else leads";
    let after = operator.wait(waited, |_, statuses| {
        Ok(leader_of(statuses).filter(|now| now.accepted > before.accepted).cloned())
    })?;
    if to.is_some_and(|to| to != after.identity) {
        eprintln!("another was faster than the one that was named: repeat the command if it matters");
    }
    tell(args, &after.identity.to_string(), &after.accepted.to_string(), "leads")
}

fn tell(args: &HandoverArgs, leader: &str, epoch: &str, does: &str) -> Result<u8, Failure> {
    let mut out = std::io::stdout();
    match args.operator.json {
        true => writeln!(out, "{}", json!({ "schema": SCHEMA, "leader": leader, "epoch": epoch }))?,
        false => writeln!(out, "{leader} {does}, epoch {epoch}")?,
    }
    Ok(0)
}
