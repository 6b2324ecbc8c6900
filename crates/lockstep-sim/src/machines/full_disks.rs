//! What a replica may do whose journal is full.

use crate::check::Violation;
use crate::coverage::Event;
use crate::machine::Machine;
use lockstep_core::engine::event::ReplicaEvent as NodeEvent;
use lockstep_memory::world::MemoryPorts;
use lockstep_replica::replica::ReplicaEngine;
use lockstep_wire::{Condition, Header, Kind, LeaderLossReason};

/// Whether a replica has found its journal full, and it is.
pub(crate) fn is_full(replica: &ReplicaEngine<MemoryPorts>) -> bool {
    replica.core.conditions.holds(Condition::JournalFull) && !replica.tail().has_room()
}

/// Checks a turn of a replica whose journal is full: it does not ask to be elected (ELECT-3), and does not
/// suspect a leader because its own log does not grow (SUSPECT-3). A turn that filled the journal may have
/// asked before.
pub(crate) fn judge(
    machine: &Machine,
    index: usize,
    was_full: bool,
    events: &[NodeEvent],
) -> Result<(), Violation> {
    let Some(replica) = machine.replica().filter(|replica| was_full && is_full(replica)) else {
        return Ok(());
    };
    let kinds = replica.net().sent.iter().filter_map(|(_, bytes)| Header::peek(bytes));
    let asks = |header: Header| [Kind::PreVote as u8, Kind::Prepare as u8].contains(&header.kind);
    if kinds.into_iter().any(asks) {
        return Err(format!("ELECT-3: replica {index} has no room for an epoch's start, and asks to lead"));
    }
    if events
        .iter()
        .any(|event| matches!(event, NodeEvent::LeaderSuspected { why: LeaderLossReason::NoProgress, .. }))
    {
        return Err(format!("SUSPECT-3: replica {index} stores nothing itself, and calls its leader deaf"));
    }
    Ok(())
}

/// The coverage event of it.
pub(crate) fn count(event: &NodeEvent) -> Option<Event> {
    match event {
        NodeEvent::Condition { condition: Condition::EpochsUncommitted, holds, .. } => {
            Some(if *holds { Event::RowsOfEpochs } else { Event::RowsCommitted })
        }
        NodeEvent::Condition { condition: Condition::JournalFull, holds: true, .. } => {
            Some(Event::JournalsFull)
        }
        _ => None,
    }
}
