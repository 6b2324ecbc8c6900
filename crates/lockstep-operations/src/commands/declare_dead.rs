//! Of two nodes without a witness one is gone, and the other goes on alone by the operator's word. Nothing
//! else can tell a dead node from one that is cut off: so the word must be true.

use super::{CommandClient, describe};
use crate::OperationError;
use lockstep_client::internal::NodeStatus;
use lockstep_core::engine::event::Role;
use lockstep_wire::{CommandReject, Identity, QueryKind};

/// Declares `dead` dead: the survivor, once it leads alone.
///
/// # Errors
/// `dead` answers, no member does in time, or the survivor does not go on alone.
pub fn declare_dead(operator: &mut CommandClient, dead: Identity) -> Result<NodeStatus, OperationError> {
    let survivor = operator.wait("no member answered", |_, statuses| {
        if let Some(alive) = statuses.iter().flatten().find(|status| status.identity == dead) {
            let what = format!(
                "{dead} answers at {}: it is not dead. Two nodes that lead at once would destroy the stream; stop \
                 it for good first",
                alive.address
            );
            return Err(OperationError::refused(what));
        }
        let others = statuses.iter().flatten().filter(|status| status.lists(status.identity));
        Ok(others.max_by_key(|status| (status.accepted, status.accept_next)).cloned())
    })?;
    if is_over(&survivor, dead) {
        return Ok(survivor);
    }
    let asked = survivor.identity;
    let after = operator.wait("the survivor does not lead alone", |operator, statuses| {
        let found = statuses.iter().flatten().find(|status| status.identity == asked);
        if let Some(status) = found.filter(|status| is_over(status, dead)) {
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
                Err(match why {
                    CommandReject::SelfDeclared => OperationError::Refused(what),
                    _ => OperationError::Failed(what),
                })
            }
        }
    });
    after.map_err(|error| match error {
        OperationError::NotReady(what) => OperationError::NotReady(format!(
            "{what}; if {asked} still receives from {dead}, stop {dead} for good first"
        )),
        error => error,
    })
}

/// Whether it leads, without the dead one, and that is committed.
fn is_over(status: &NodeStatus, dead: Identity) -> bool {
    status.role == Role::Leader && !status.lists(dead) && status.is_stable()
}
