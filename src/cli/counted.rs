//! What each counter is: its group, unit and meaning. A replica's names are those of `node`, a gateway's and
//! a feed's those of `edge`, a handle's begin with whose they are.

use super::notary::NotaryCounts;
use lockstep_client::internal::{PUBLISHER_COUNTERS, SUBSCRIBER_COUNTERS};
use lockstep_core::engine::counters::CounterRow;
use lockstep_core::engine::losses::{LOSS_ROWS, SUM_ROWS};
use lockstep_gateway::feed::FeedCounts;
use lockstep_gateway::gateway::core::GatewayCounts;
use lockstep_node::COUNTER_GROUPS;
use lockstep_wire::Condition;

/// What a counter is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Described {
    /// What it belongs to.
    pub group: String,
    /// `ns`, `B`; empty: how often, or how many.
    pub unit: &'static str,
    /// Whether it is a state, and no count that only rises.
    pub is_gauge: bool,
    /// In words; empty of one that this release does not know.
    pub meaning: String,
}

/// Groups of the daemons at the edge, and of what both replicas and handles have.
const GROUPS: [&[CounterRow]; 4] = [&SUM_ROWS, GatewayCounts::ROWS, FeedCounts::ROWS, NotaryCounts::ROWS];

/// What names of a group begin with, and what the group is called; any other name is the engine's.
const GROUP_NAMES: [(&str, &str); 13] = [
    ("condition_", "conditions"),
    ("loss_", "losses"),
    ("udp_", "udp"),
    ("fault_injection_", "faults"),
    ("line_", "lines"),
    ("shm_", "memory"),
    ("xdp_", "xdp"),
    ("fanout_", "unicast"),
    ("replay_", "replay"),
    ("gateway_", "gateway"),
    ("feed_", "feed"),
    ("notary_", "notary"),
    ("", "engine"),
];

/// What the counter called `name` is.
pub fn describe(name: &str) -> Described {
    let handles = [(PUBLISHER_COUNTERS, "publisher"), (SUBSCRIBER_COUNTERS, "subscriber")];
    let of_handle = handles.into_iter().find_map(|(prefix, whose)| Some((whose, name.strip_prefix(prefix)?)));
    let (whose, name) = of_handle.filter(|(_, rest)| meaning(rest).is_some()).unwrap_or(("", name));
    let group =
        GROUP_NAMES.iter().find(|(prefix, _)| name.starts_with(prefix)).map_or("", |(_, group)| group);
    let (is_gauge, meaning) = meaning(name).unwrap_or((false, String::new()));
    Described {
        group: if whose.is_empty() { group.to_owned() } else { format!("{whose}, {group}") },
        unit: match name {
            name if name.ends_with("_ns") || name.ends_with("_ns_max") => "ns",
            name if name.split('_').any(|word| word == "bytes") => "B",
            _ => "",
        },
        is_gauge,
        meaning,
    }
}

/// Whether it is a state, and what it means.
fn meaning(name: &str) -> Option<(bool, String)> {
    let edge = GROUPS.iter().map(|rows| ("", *rows));
    let mut groups = COUNTER_GROUPS.into_iter().chain(edge);
    let known = groups.find_map(|(prefix, rows)| {
        let rest = name.strip_prefix(prefix)?;
        rows.iter().find(|row| row.name == rest)
    });
    if let Some(row) = known {
        return Some((row.is_gauge, row.meaning.to_owned()));
    }
    if let Some(rest) = name.strip_prefix("condition_") {
        let known = |name: &str| Condition::ALL.iter().find(|condition| condition.name() == name);
        return match (known(rest), rest.strip_suffix("_begun").and_then(known)) {
            (Some(condition), _) => Some((true, format!("1 while it holds. {}", condition.meaning()))),
            (None, Some(condition)) => Some((false, format!("Times that {} began.", condition.name()))),
            (None, None) => None,
        };
    }
    let (number, field) = name.strip_prefix("loss_")?.split_once('_')?;
    let number: u32 = number.parse().ok()?;
    let row = LOSS_ROWS.iter().find(|row| row.name == field)?;
    Some((row.is_gauge, format!("Of the last losses, newest first, number {number}. {}", row.meaning)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use lockstep_core::engine::counters::Counter;
    use lockstep_io::udp::UdpCounts;

    #[test]
    fn every_counter_of_every_process_has_a_group_and_a_meaning() {
        let handle = Counter::ROWS.iter().chain(UdpCounts::ROWS).chain(&SUM_ROWS);
        let handles = handle
            .flat_map(|row| [PUBLISHER_COUNTERS, SUBSCRIBER_COUNTERS].map(|of| format!("{of}{}", row.name)));
        let edge = GatewayCounts::ROWS
            .iter()
            .chain(FeedCounts::ROWS)
            .chain(NotaryCounts::ROWS)
            .map(|row| row.name.to_owned());
        let mut known = 0;
        for name in lockstep_node::counter_names().into_iter().chain(handles).chain(edge) {
            let described = describe(&name);
            assert!(described.meaning.ends_with('.') && !described.group.is_empty(), "{name}: {described:?}");
            known += 1;
        }
        assert!(known > 270, "{known}");
    }

    #[test]
    fn units_follow_from_names_and_gauges_are_told_from_counts() {
        let described = |name: &str| {
            let Described { group, unit, is_gauge, .. } = describe(name);
            (group, unit, is_gauge)
        };
        assert_eq!(described("repair_rtt_ns"), ("engine".to_owned(), "ns", true));
        assert_eq!(described("frames_out_bytes"), ("engine".to_owned(), "B", false));
        assert_eq!(described("condition_disk_full"), ("conditions".to_owned(), "", true));
        assert_eq!(described("condition_disk_full_begun"), ("conditions".to_owned(), "", false));
        assert_eq!(described("subscriber_udp_in_bytes"), ("subscriber, udp".to_owned(), "B", false));
        assert_eq!(described("publishers"), ("engine".to_owned(), "", true), "no publisher's");
        assert_eq!(describe("risk_orders").meaning, "", "an application's own has the meaning that it knows");
    }
}
