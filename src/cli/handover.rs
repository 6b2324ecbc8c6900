//! `lockstep handover`: the leader gives its place to another, while the stream goes on.

use super::Failure;
use super::args::HandoverArgs;
use super::failure::{FAILED, USAGE};
use super::operator::CommandClient;
use lockstep_client::internal::leader_of;
use lockstep_wire::Identity;
use serde_json::json;
use std::io::Write;

/// The version of what `--json` prints.
const SCHEMA: &str = "lockstep.handover/1";

/// Prints the new leader.
pub fn run(args: &HandoverArgs) -> Result<u8, Failure> {
    let mut operator = CommandClient::open(&args.operator.cluster, args.operator.timeout)?;
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
    operator.order_handover(&before, to, left)?;
    let waited = "the leader was ordered to hand over, and no other replica leads";
    let after = operator.wait(waited, |_, statuses| {
        Ok(leader_of(statuses).filter(|now| now.accepted > before.accepted).cloned())
    })?;
    tell(args, &after.identity.to_string(), &after.accepted.to_string(), "leads")?;
    judge(to, after.identity).map(|()| 0)
}

/// A replica that was named is to lead; any other one is a failure, although the stream goes on.
fn judge(to: Option<Identity>, leads: Identity) -> Result<(), Failure> {
    match to.filter(|to| *to != leads) {
        None => Ok(()),
        Some(to) => Err(Failure::new(
            FAILED,
            format!(
                "{leads} leads instead of {to}, which did not begin in time; the stream continues. Look at \
                 `lockstep status`, then repeat the command"
            ),
        )),
    }
}

fn tell(args: &HandoverArgs, leader: &str, epoch: &str, does: &str) -> Result<u8, Failure> {
    let mut out = std::io::stdout();
    match args.operator.json {
        true => writeln!(out, "{}", json!({ "schema": SCHEMA, "leader": leader, "epoch": epoch }))?,
        false => writeln!(out, "{leader} {does}, epoch {epoch}")?,
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_leader_than_the_one_that_was_named_is_a_failure_by_name() {
        let identity = |replica| Identity { replica, incarnation: 1 };
        assert!(judge(None, identity(3)).is_ok());
        assert!(judge(Some(identity(3)), identity(3)).is_ok());
        let failure = judge(Some(identity(2)), identity(3)).expect_err("replica 3 leads");
        let text = failure.to_string();
        assert!(text.contains(&format!("{} leads instead of {}", identity(3), identity(2))), "{text}");
    }
}
