//! One line of a screen from answers and counters.

use super::{Answer, Counted, Sample, is_node};
use crate::health::lag_behind;
use crate::top::snapshot::{ConditionLine, DropCount, GatewayLine, HandleLine, NodeLine, NodePresence};
use lockstep_client::internal::{ActiveCondition, NodeStatus, leader_of};
use lockstep_metrics::Life;
use lockstep_wire::Condition;
use std::time::Duration;

/// Causes of drops, with their counters.
const CAUSES: [(&str, &[&str]); 8] = [
    ("socket full", &["udp_dropped"]),
    ("memory overrun", &["shm_dropped"]),
    ("relay overrun", &["xdp_relay_dropped"]),
    ("buffer full", &["frames_dropped"]),
    ("submissions", &["submissions_dropped"]),
    ("not sent", &["udp_refused_sends", "udp_forbidden_sends", "shm_forbidden_sends", "fanout_unsent"]),
    ("too long", &["udp_truncated", "shm_truncated"]),
    ("injected", &["fault_injection_lost", "fault_injection_overflowed"]),
];
/// The cause of datagrams that were refused, whose counters have a label for each reason.
const REJECTED: (&str, &str) = ("rejected", "rejected{");

const DATAGRAMS_IN: [&str; 2] = ["udp_datagrams_in", "shm_datagrams_in"];
const DATAGRAMS_OUT: [&str; 2] = ["udp_datagrams_out", "shm_datagrams_out"];
const BYTES_IN: [&str; 2] = ["udp_in_bytes", "shm_in_bytes"];
const BYTES_OUT: [&str; 2] = ["udp_out_bytes", "shm_out_bytes"];

/// The lines of all nodes: those that were asked, and those that only a file shows.
pub fn node_lines(sample: &Sample, before: Option<&Sample>, counted: &[Counted<'_>]) -> Vec<NodeLine> {
    let statuses: Vec<_> = sample.asked().into_iter().map(|node| node.status).collect();
    let leader = leader_of(&statuses);
    let mut lines = Vec::new();
    for answer in sample.answers.iter().flatten() {
        let name = answer.name();
        let counted = counted.iter().find(|counted| counted.process.name == name);
        let mut line = by_file(name, sample, counted);
        add_answer(&mut line, (sample, before), (answer, leader));
        lines.push(line);
    }
    for counted in counted.iter().filter(|counted| is_node(counted.process)) {
        if !lines.iter().any(|line| line.name == counted.process.name) {
            lines.push(by_file(counted.process.name.clone(), sample, Some(counted)));
        }
    }
    lines
}

fn ns(time: Duration) -> u64 {
    time.as_nanos() as u64
}

/// Presence and absence of a process by its file alone.
fn presence_of(life: Life) -> (NodePresence, Option<u64>) {
    match life {
        Life::Runs => (NodePresence::Runs, None),
        Life::Hangs(silent) => (NodePresence::Hangs, Some(ns(silent))),
        Life::Ended(ago) => (NodePresence::Ended, Some(ns(ago))),
    }
}

/// The line of a node by its counters file; nothing is known where that is `None`.
fn by_file(name: String, sample: &Sample, counted: Option<&Counted<'_>>) -> NodeLine {
    let (presence, absent_ns) =
        counted.map_or((NodePresence::Silent, None), |counted| presence_of(counted.process.life));
    let value = |name: &str| counted.and_then(|counted| counted.value(name));
    let sum = |names: &[&str]| counted.and_then(|counted| counted.sum(names));
    let rate = |names: &[&str]| counted.and_then(|counted| counted.rate(names));
    let is_witness = value("witness") == Some(1);
    let role = counted.and_then(|counted| counted.process.state("role"));
    let drops = counted.map(drops);
    let dropped = |rates: bool| counted.and_then(|counted| all_drops(counted, rates));
    let (working, passes) = (rate(&["turns_working"]), rate(&["duty_cycles"]));
    // Where the stream ends is in the same file: another process's was stored at another moment.
    let lag = || Some(value("stamped_next")?.saturating_sub(value("accept_next")?));
    NodeLine {
        identity: None,
        address: None,
        presence,
        absent_ns,
        pid: counted.map(|counted| counted.process.pid),
        role: role.map(|role| if is_witness { "witness" } else { role }.to_owned()),
        epoch: None,
        round: value("epoch").filter(|round| *round > 0),
        accept_next: value("accept_next"),
        commit_next: value("commit_next"),
        lag: if presence == NodePresence::Runs { lag() } else { None },
        acked_ago_ns: None,
        entries_per_second: rate(&["accept_next"]),
        in_per_second: rate(&DATAGRAMS_IN),
        out_per_second: rate(&DATAGRAMS_OUT),
        in_bytes_per_second: rate(&BYTES_IN),
        out_bytes_per_second: rate(&BYTES_OUT),
        repairs_in: sum(&["repairs_in"]),
        repairs_out: sum(&["repairs_out"]),
        dropped: dropped(false).map(|dropped| dropped as u64),
        dropped_per_second: dropped(true),
        drops: drops.unwrap_or_default(),
        busy: working
            .zip(passes)
            .filter(|(_, passes)| *passes > 0.0)
            .map(|(working, passes)| working / passes),
        stall_longest_ns: counted
            .filter(|counted| counted.process.life == Life::Runs)
            .and_then(|counted| counted.quantiles("stall_ns"))
            .map(|times| times.longest_ns.unwrap_or(0)),
        written_next: value("written_next"),
        durable_next: value("durable_next"),
        disk_free_bytes: sample.free_bytes.get(&name).copied(),
        conditions: counted.map(conditions_of).unwrap_or_default(),
        name,
    }
}

/// Counters of all causes.
fn drop_rows<'a>(counted: &'a Counted<'_>, names: &'a [&str]) -> impl Iterator<Item = usize> + 'a {
    names.iter().filter_map(|name| counted.index(name))
}

fn rejected_rows<'a>(counted: &'a Counted<'_>) -> impl Iterator<Item = usize> + 'a {
    let rows = counted.process.rows.iter().enumerate();
    rows.filter(|(_, (row, _))| row.name.starts_with(REJECTED.1)).map(|(index, _)| index)
}

fn drops(counted: &Counted<'_>) -> Vec<DropCount> {
    let count = |index: usize| counted.process.rows[index].1.number();
    let known = CAUSES.map(|(cause, names)| (cause, drop_rows(counted, names).map(count).sum()));
    let rejected = (REJECTED.0, rejected_rows(counted).map(count).sum());
    let all = known.into_iter().chain([rejected]).filter(|(_, count)| *count > 0);
    let mut drops: Vec<_> = all.map(|(cause, count)| DropCount { cause, count }).collect();
    drops.sort_by_key(|drop| std::cmp::Reverse(drop.count));
    drops
}

/// All drops since the process began, or in a second.
fn all_drops(counted: &Counted<'_>, per_second: bool) -> Option<f64> {
    let rows = || {
        let known = CAUSES.iter().flat_map(|(_, names)| drop_rows(counted, names));
        known.chain(rejected_rows(counted))
    };
    if !per_second {
        return Some(rows().map(|index| counted.process.rows[index].1.number()).sum::<u64>() as f64);
    }
    let (values, took) = counted.rates.as_ref()?;
    Some(rows().map(|index| values[index].number()).sum::<u64>() as f64 / took.as_secs_f64())
}

/// Conditions as a counters file has them, which tells no numbers of theirs.
fn conditions_of(counted: &Counted<'_>) -> Vec<ConditionLine> {
    let holds = |condition: &&Condition| {
        counted.value(&format!("condition{{condition=\"{}\"}}", condition.name())) == Some(1)
    };
    let line = |condition: &Condition| {
        let code = format!("LS{:04}", *condition as u16);
        ConditionLine {
            what: condition.meaning().to_owned(),
            advice: format!("`lockstep explain {code}` has the remedy"),
            code,
            age_ns: None,
        }
    };
    Condition::ALL.iter().filter(holds).map(line).collect()
}

/// Lays the answer of a node over what its file shows.
fn add_answer(
    line: &mut NodeLine,
    (sample, before): (&Sample, Option<&Sample>),
    (answer, leader): (&Answer, Option<&NodeStatus>),
) {
    line.address = Some(answer.node.address.to_string());
    let at = |listed: &&lockstep_client::internal::MemberStatus| {
        listed.member.address() == Some(answer.node.address)
    };
    let listed = leader.and_then(|leader| leader.members.iter().find(at));
    let contact = listed.and_then(|listed| listed.last_contact).map(ns);
    line.acked_ago_ns = contact;
    line.identity = listed.map(|listed| listed.member.identity().to_string());
    match answer.presence() {
        NodePresence::Runs => (line.presence, line.absent_ns) = (NodePresence::Runs, None),
        // The file says more than a silence.
        _ if matches!(line.presence, NodePresence::Hangs | NodePresence::Ended) => {}
        presence => {
            line.presence = presence;
            line.absent_ns = answer.last_at.map(|last| sample.at.saturating_sub(last)).or(contact);
        }
    }
    let Some(status) = answer.status() else {
        line.lag = None;
        return;
    };
    line.identity = Some(status.identity.to_string());
    let is_witness = listed.is_some_and(|listed| listed.member.is_witness());
    line.role = Some(if is_witness { "witness" } else { status.role.name() }.to_owned());
    line.epoch = Some(status.accepted.to_string());
    line.round = Some(u64::from(status.accepted.round()));
    line.accept_next = Some(status.accept_next);
    line.commit_next = Some(status.commit_next);
    line.lag =
        leader.filter(|leader| leader.history == status.history).map(|leader| lag_behind(leader, status));
    line.entries_per_second = before.and_then(|before| {
        let same = |other: &&Answer| other.node.address == answer.node.address;
        let earlier = before.answers.iter().flatten().find(same)?;
        let took = answer.last_at?.checked_sub(earlier.last_at?).filter(|took| *took > 0)?;
        let more = status.accept_next.saturating_sub(earlier.status()?.accept_next);
        Some(more as f64 * 1e9 / took as f64)
    });
    line.conditions = status.conditions.iter().map(condition_line).collect();
}

fn condition_line(active: &ActiveCondition) -> ConditionLine {
    ConditionLine {
        code: active.code(),
        what: active.what(),
        advice: active.advice().to_owned(),
        age_ns: Some(ns(active.age)),
    }
}

/// The line of a gateway or a feed; `None` of another process.
pub fn gateway_line(counted: &Counted<'_>) -> Option<GatewayLine> {
    let process = counted.process;
    let is_feed = process.kind == "feed";
    if !is_feed && process.kind != "gateway" {
        return None;
    }
    let (presence, absent_ns) = presence_of(process.life);
    let (ready, read, sent) = if is_feed {
        ("feed_ready", "feed_messages", "feed_datagrams")
    } else {
        ("gateway_ready", "gateway_submitted", "gateway_sent")
    };
    let refused = ["gateway_refused", "gateway_not_allowed", "feed_too_long", "feed_unmapped"];
    Some(GatewayLine {
        name: process.name.clone(),
        presence,
        absent_ns,
        is_ready: counted.value(ready) == Some(1),
        clients: counted.value("gateway_clients"),
        logins_refused: counted.value("gateway_rejected"),
        in_per_second: counted.rate(&[read]),
        out_per_second: counted.rate(&[sent]),
        refused: counted.sum(&refused),
        cut: counted.value("gateway_cut"),
        blocked: counted.value("gateway_blocked"),
    })
}

/// The lines of a process's publisher and reader, as far as it has them.
pub fn handle_lines(counted: &Counted<'_>) -> Vec<HandleLine> {
    let (presence, absent_ns) = presence_of(counted.process.life);
    let name = |counter: &str, handle: &str| format!("{counter}{{handle=\"{handle}\"}}");
    let value = |counter: &str, handle: &str| counted.value(&name(counter, handle));
    let line = |kind: &'static str| HandleLine {
        process: counted.process.name.clone(),
        kind,
        presence,
        absent_ns,
        is_connected: false,
        next: None,
        lag: None,
        entries_per_second: None,
        gaps: None,
        resends: None,
        latency: crate::top::snapshot::Quantiles::default(),
    };
    let publisher = value("connected", "publisher").map(|connected| HandleLine {
        is_connected: connected == 1,
        next: value("commit_next", "publisher"),
        resends: value("resends", "publisher"),
        latency: counted.quantiles(&name("publish_latency_ns", "publisher")).unwrap_or_default(),
        ..line("publisher")
    });
    let reader = value("deliver_next", "subscriber").map(|next| HandleLine {
        is_connected: value("epoch", "subscriber").is_some_and(|epoch| epoch > 0),
        next: Some(next),
        lag: value("commit_next", "subscriber").map(|commit| commit.saturating_sub(next)),
        entries_per_second: counted.rate(&[&name("deliver_next", "subscriber")]),
        gaps: value("loss_gaps", "subscriber"),
        latency: counted.quantiles(&name("delivery_latency_ns", "subscriber")).unwrap_or_default(),
        ..line("reader")
    });
    publisher.into_iter().chain(reader).collect()
}
