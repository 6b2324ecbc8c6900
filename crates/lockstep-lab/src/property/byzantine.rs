//! Properties where processes lie (Guerraoui's course, "Byzantine").

use super::broadcast::delivered;
use super::{History, Judged, Property, p};
use crate::protocol::Pid;
use crate::vocabulary::Value;
use std::collections::BTreeMap;

/// Consistency: of one sender no two correct processes deliver different messages. The sender broadcasts
/// once.
pub static BYZANTINE_CONSISTENCY: Property = Property {
    name: "CONSISTENCY",
    promise: "no two correct processes deliver different messages of one sender, even if it lies",
    judged: Judged::Always,
    real_time: false,
    holds: |history: &History<'_>| {
        let mut first: BTreeMap<Pid, (Pid, Value)> = BTreeMap::new();
        for pid in history.honest().iter() {
            for (sender, value) in delivered(history, pid) {
                let (other, earlier) = *first.entry(sender).or_insert((pid, value));
                if earlier != value {
                    return Err(format!(
                        "of {} {} delivers {earlier:?} and {} delivers {value:?}",
                        p(sender),
                        p(other),
                        p(pid)
                    ));
                }
            }
        }
        Ok(())
    },
};
