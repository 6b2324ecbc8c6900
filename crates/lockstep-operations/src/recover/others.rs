//! Whether another survivor has founded a history on the same one already: two founders would serve two
//! streams.

use super::founding::FoundingNotice;
use super::journal_report::JournalHoldings;
use crate::OperationError;
use lockstep_client::Endpoint;
use lockstep_client::internal::{NodeState, QueryClient};
use lockstep_config::Config;
use lockstep_node::NodeSettings;
use std::path::Path;
use std::time::Duration;

/// Asks the other replicas, and looks into their journals where they lie on this host. A replica that does
/// not answer is named: only an operator can look there.
///
/// # Errors
/// Another replica is in a history that this journal does not know.
pub fn found_nothing(
    config: &Config,
    settings: &NodeSettings,
    holdings: &JournalHoldings,
    timeout: Duration,
    on_notice: &mut dyn FnMut(FoundingNotice),
) -> Result<(), OperationError> {
    let others: Vec<_> = config.replicas.iter().filter(|replica| replica.id != settings.replica).collect();
    let addresses: Vec<_> = others.iter().map(|replica| replica.unicast).collect();
    let asked = Endpoint::from_config(config).map_err(OperationError::from).and_then(|endpoint| {
        Ok::<_, OperationError>(QueryClient::open(&endpoint)?.nodes(&addresses, timeout))
    });
    let answers: Vec<Option<NodeState>> = asked.unwrap_or_else(|_| vec![None; addresses.len()]);
    let mut silent = Vec::new();
    for (replica, answer) in others.iter().zip(answers) {
        let local = history_of(&replica.journal, config.cluster);
        let Some(history) = answer.as_ref().map(|state| state.history).or(local) else {
            silent.push((replica.id, replica.unicast));
            continue;
        };
        if is_other(history, holdings) {
            let what = format!(
                "replica {} is in history {history:016x} already, which this journal (history {:016x}) does not know: a \
                 second founder would serve a second stream. Start that replica, then move this journal and its tail \
                 away, `format` a new one, start it, and `lockstep membership add` its identity; if that history is a \
                 former one, move its journal away first",
                replica.id, holdings.history
            );
            return Err(OperationError::Refused(what));
        }
    }
    if !silent.is_empty() {
        on_notice(FoundingNotice::Silent(silent));
    }
    Ok(())
}

/// Whether a history is neither this journal's nor one on which that was founded.
fn is_other(history: u64, holdings: &JournalHoldings) -> bool {
    let is_ancestor = holdings.ancestors.iter().any(|ancestor| ancestor.history == history);
    history != 0 && history != holdings.history && !is_ancestor
}

/// The history of a journal that lies on this host.
fn history_of(journal: &Path, cluster: u64) -> Option<u64> {
    let superblock = lockstep_node::JournalReader::open(journal).ok()?.superblock().ok()??;
    (superblock.cluster == cluster).then_some(superblock.history)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recover::AncestorRow;

    #[test]
    fn a_history_is_another_ones_unless_this_journal_is_in_it_or_was_founded_on_it() {
        let holdings = JournalHoldings {
            schema: String::new(),
            journal: String::new(),
            cluster: 7,
            identity: String::new(),
            history: 0xb2,
            ancestors: vec![AncestorRow { history: 0xb1, next: 5, chain: 1 }],
            epoch: 0,
            oldest_seq: 1,
            next: 9,
            chain: 2,
            commit_next: 9,
            high_next: 9,
            durability: None,
            members: Vec::new(),
            complete: true,
            why: None,
            damage: Vec::new(),
            torn: None,
        };
        for (history, expected) in [(0xb2, false), (0xb1, false), (0, false), (0xb3, true)] {
            assert_eq!(is_other(history, &holdings), expected, "{history:x}");
        }
    }
}
