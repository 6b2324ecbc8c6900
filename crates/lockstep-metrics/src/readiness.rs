//! Whether a process is alive, and whether it is ready, determined from its counters alone.
//!
//! A process is alive while it stores its counters. It is ready when it serves its purpose: a standby that
//! has a vote and follows the leader, a gateway whose clients may log in.

use crate::process::{Life, Process, Value};
use lockstep_core::engine::counters::Described;
use lockstep_core::engine::event::Role;
use lockstep_wire::Condition;

/// Why a process without a leader is not ready.
const NO_LEADER: &str = "it follows no leader";

/// Why a process is not alive; `None` if it is.
pub fn not_alive(process: &Process) -> Option<String> {
    match process.life {
        Life::Runs => None,
        Life::Hangs(silent) => {
            Some(format!("it has done nothing for {} s: its hot thread hangs", silent.as_secs()))
        }
        Life::Ended(ago) => Some(format!("it ended {} s ago", ago.as_secs())),
    }
}

/// Why a process is not ready; `None` if it is.
pub fn not_ready(process: &Process) -> Option<String> {
    let value = |name: &str| process.value(name).map_or(0, |value| value.number());
    let follows = |handle| value(&format!("connected{{handle=\"{handle}\"}}")) == 1;
    let no_leader = || Some(NO_LEADER.to_owned());
    let reason = not_alive(process);
    reason.or_else(|| match &*process.kind {
        "replica" => replica_waits(&value),
        "archiver" => stream_waits(&value),
        "gateway" if !follows("publisher") || !follows("subscriber") => no_leader(),
        "gateway" if value("gateway_ready") == 0 => {
            Some("clients may not log in yet: it reads the stream up to its end".to_owned())
        }
        "feed" if !follows("subscriber") => no_leader(),
        "feed" if value("feed_ready") == 0 => {
            Some("it sends nothing yet: it reads the stream up to its end".to_owned())
        }
        "notary" if !follows("publisher") => no_leader(),
        "coordinator" if !follows("subscriber") => Some("it follows no leader of the home stream".to_owned()),
        "coordinator" if value("coordinator_ready") == 0 => {
            Some("it publishes nothing yet: it reads the home stream up to its end".to_owned())
        }
        "coordinator" if value("coordinator_merge_stands") == 1 => Some(merge_stands(process)),
        // an application that runs a machine; other programs have counters of their own
        "application" if process.value("app_ready").is_some() => match () {
            () if value("app_ready") == 0 => Some("it reads the stream up to its end".to_owned()),
            () if !follows("publisher") => no_leader(),
            () => None,
        },
        _ => None,
    })
}

/// Why nothing is merged: the streams of which a condition says so.
fn merge_stands(process: &Process) -> String {
    let begin = format!("condition{{condition=\"{}\",stream=\"", Condition::MergeStalled.name());
    let stream = |(row, value): &(Described, Value)| {
        let name = row.name.strip_prefix(&begin)?.strip_suffix("\"}")?;
        (value.number() == 1).then(|| name.to_owned())
    };
    let streams: Vec<_> = process.rows.iter().filter_map(stream).collect();
    format!("the merged order stands still: {} is stalled (LS1501)", streams.join(", "))
}

/// Why a replica does not take part in the cluster.
fn replica_waits(value: &impl Fn(&str) -> u64) -> Option<String> {
    let full = format!("condition{{condition=\"{}\"}}", Condition::JournalFull.name());
    match Role::from_u32(value("role") as u32) {
        Some(Role::Blank) => {
            Some("it holds no history: `lockstep bootstrap`, or start those that hold it".into())
        }
        Some(Role::Learner) => Some("it is no member, and has no vote: `lockstep membership add`".to_owned()),
        _ if value(&full) == 1 => Some("its journal is full: it acknowledges nothing more".to_owned()),
        Some(Role::Leader) => None,
        _ => stream_waits(value),
    }
}

/// Why a process that stores the stream lags behind it.
fn stream_waits(value: &impl Fn(&str) -> u64) -> Option<String> {
    let (end, commit_next) = (value("accept_next"), value("commit_next"));
    match () {
        () if value("leader") == 0 => Some(NO_LEADER.to_owned()),
        () if end < commit_next => Some(format!("it lacks {} entries that are committed", commit_next - end)),
        () => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lockstep_core::engine::counters::CounterRow;
    use std::time::Duration;

    fn waits(kind: &str, gauges: &[(&'static str, u64)], life: Life) -> Option<String> {
        let rows = gauges.iter().map(|(name, value)| (CounterRow::gauge(name, ""), *value));
        not_ready(&Process::of_rows((kind, "one"), life, rows))
    }

    #[test]
    fn a_replica_is_ready_when_it_leads_or_follows_with_all_that_is_committed() {
        let of = |values: &[_]| waits("replica", values, Life::Runs);
        let standby = [("role", 1), ("leader", 2), ("accept_next", 10), ("commit_next", 10)];
        assert_eq!((of(&[("role", 2)]), of(&standby)), (None, None));
        let mut behind = standby;
        behind[2].1 = 7;
        assert!(of(&behind).is_some_and(|why| why.contains("lacks 3 entries")));
        let mut alone = standby;
        alone[1].1 = 0;
        assert!(of(&alone).is_some_and(|why| why.contains("no leader")));
        assert!(of(&[("role", 0)]).is_some_and(|why| why.contains("no history")));
        assert!(of(&[("role", 3)]).is_some_and(|why| why.contains("no vote")));
        let full = [("role", 2), ("condition{condition=\"journal_full\"}", 1)];
        assert!(of(&full).is_some_and(|why| why.contains("journal is full")));
    }

    #[test]
    fn a_process_that_hangs_is_neither_alive_nor_ready() {
        let hangs = Life::Hangs(Duration::from_secs(3));
        assert!(waits("replica", &[("role", 2)], hangs).is_some_and(|why| why.contains("hangs")));
    }

    #[test]
    fn an_application_is_ready_once_it_has_read_the_stream_and_follows_a_leader() {
        let of = |ready, connected| {
            let gauges = [("app_ready", ready), ("connected{handle=\"publisher\"}", connected)];
            waits("application", &gauges, Life::Runs)
        };
        assert!(of(0, 1).is_some_and(|why| why.contains("up to its end")));
        assert!(of(1, 0).is_some_and(|why| why.contains("no leader")));
        assert_eq!((of(1, 1), waits("application", &[], Life::Runs)), (None, None));
    }

    #[test]
    fn a_gateway_is_ready_once_clients_may_log_in_and_while_both_its_handles_follow_a_leader() {
        let of = |ready, publisher, subscriber| {
            let gauges = [
                ("gateway_ready", ready),
                ("connected{handle=\"publisher\"}", publisher),
                ("connected{handle=\"subscriber\"}", subscriber),
            ];
            waits("gateway", &gauges, Life::Runs)
        };
        assert!(of(0, 1, 1).is_some_and(|why| why.contains("up to its end")));
        for (publisher, subscriber) in [(0, 1), (1, 0), (0, 0)] {
            assert!(of(1, publisher, subscriber).is_some_and(|why| why.contains("no leader")));
        }
        assert_eq!(of(1, 1, 1), None);
    }

    #[test]
    fn a_coordinator_is_ready_once_it_has_read_the_home_stream_and_while_it_follows_its_leader() {
        let of = |ready, follows| {
            let gauges = [("coordinator_ready", ready), ("connected{handle=\"subscriber\"}", follows)];
            waits("coordinator", &gauges, Life::Runs)
        };
        assert!(of(0, 1).is_some_and(|why| why.contains("up to its end")));
        assert!(of(1, 0).is_some_and(|why| why.contains("no leader of the home stream")));
        assert_eq!(of(1, 1), None);
    }

    #[test]
    fn a_coordinator_is_not_ready_while_the_merged_order_stands_and_says_for_which_stream() {
        let of = |stands| {
            let gauges = [
                ("coordinator_ready", 1),
                ("connected{handle=\"subscriber\"}", 1),
                ("coordinator_merge_stands", stands),
                ("condition{condition=\"merge_stalled\",stream=\"orders\"}", 0),
                ("condition{condition=\"merge_stalled\",stream=\"quotes\"}", 1),
            ];
            waits("coordinator", &gauges, Life::Runs)
        };
        let why = "the merged order stands still: quotes is stalled (LS1501)";
        assert_eq!((of(1).as_deref(), of(0)), (Some(why), None), "without one stream the others go on");
    }

    #[test]
    fn a_feed_is_ready_once_it_has_read_the_stream_and_while_it_follows_a_leader() {
        let of = |ready, follows| {
            let gauges = [("feed_ready", ready), ("connected{handle=\"subscriber\"}", follows)];
            waits("feed", &gauges, Life::Runs)
        };
        assert!(of(0, 1).is_some_and(|why| why.contains("up to its end")));
        assert!(of(1, 0).is_some_and(|why| why.contains("no leader")));
        assert_eq!(of(1, 1), None);
    }
}
