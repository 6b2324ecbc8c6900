//! An operator has seen a condition that is a note of something past, and it ends.
//!
//! Most conditions are how a node stands: they end with their causes, and nobody's word ends them.

use super::{CommandClient, describe};
use crate::OperationError;
use lockstep_client::internal::NodeStatus;
use lockstep_wire::{Acknowledgement, CommandReject, Condition, Identity};

/// Acknowledges the condition at each node that has it: the nodes, with what each had.
///
/// # Errors
/// No node answers in time, or a node does not take it.
pub fn acknowledge(
    operator: &mut CommandClient,
    wanted: Condition,
) -> Result<Vec<(Identity, String)>, OperationError> {
    let statuses = operator.wait("no node answered", |_, statuses| {
        Ok::<_, OperationError>(statuses.iter().any(Option::is_some).then(|| statuses.to_vec()))
    })?;
    let mut acknowledged = Vec::new();
    for status in statuses.iter().flatten() {
        let Some(active) = status.conditions(wanted) else { continue };
        let what = active.what();
        let asked = Acknowledgement { condition: wanted, a: active.a };
        let left = operator.left();
        judge(status, operator.nodes.client.send_acknowledgement(status, asked, left))?;
        acknowledged.push((status.identity, what));
    }
    Ok(acknowledged)
}

/// Whether an operator's word ends the condition.
///
/// # Errors
/// Its cause does; the text has the remedy.
pub fn check_acknowledged(wanted: Condition) -> Result<(), OperationError> {
    if wanted.is_acknowledged() {
        return Ok(());
    }
    let can = Condition::ALL.iter().filter(|known| known.is_acknowledged());
    let can: Vec<_> = can.map(|known| format!("LS{}", *known as u16)).collect();
    Err(OperationError::refused(format_args!(
        "LS{} ({}) is a state of a node, and ends with its cause: `lockstep explain {}` has the remedy. \
         An operator acknowledges past events: {}",
        wanted as u16,
        wanted.name(),
        wanted.name(),
        can.join(", ")
    )))
}

/// What a node says to it.
fn judge(status: &NodeStatus, answer: Option<Result<(), CommandReject>>) -> Result<(), OperationError> {
    let (identity, address) = (status.identity, status.address);
    match answer {
        Some(Ok(())) => Ok(()),
        Some(Err(CommandReject::Stale)) => {
            let what = format!(
                "{identity} at {address} has something newer of this kind by now: look at `lockstep status`, then ask again"
            );
            Err(OperationError::failed(what))
        }
        Some(Err(why)) => {
            let what = format!("{identity} at {address} does not take it: {}", describe(why, identity));
            Err(OperationError::failed(what))
        }
        None => {
            let what = format!(
                "{identity} at {address} did not answer: it ended, or its release knows no acknowledgements; look at \
                 `lockstep status`"
            );
            Err(OperationError::not_ready(what))
        }
    }
}
