//! `lockstep time`: the stream's time beside the nodes' clocks, and the way back of a stream that ran ahead.
//!
//! ```text
//!   a quorum's clocks were ahead ─▶ set right ─▶ the stream's time stands still ─▶ `time --correct`: it is right
//! ```

use super::Failure;
use super::args::TimeArgs;
use super::failure::{FAILED, NOT_READY};
use super::operator::{CommandClient, describe};
use lockstep_client::internal::{NodeStatus, NodeTimes, leader_of};
use lockstep_core::proto::clocks::TOLERANCE;
use lockstep_io::clock::Utc;
use lockstep_wire::{Nanos, Seq};
use serde_json::{Value, json};
use std::io::Write;
use std::net::SocketAddrV4;
use std::time::Duration;

/// The version of what `--json` prints.
const SCHEMA: &str = "lockstep.time/1";

/// How long the nodes may take to tell their times: one of an older release does not tell them.
const ASK_FOR: Duration = Duration::from_millis(500);

/// One node, and what it tells of time; an older release tells nothing.
struct NodeClock {
    /// Its identity, or its address where it does not answer.
    name: String,
    times: Option<NodeTimes>,
}

/// Prints the times, or sets that of the stream back.
pub fn run(args: &TimeArgs) -> Result<u8, Failure> {
    let mut operator = CommandClient::open(&args.operator.cluster, args.operator.timeout)?;
    let (leader, statuses) = operator.leader_and_all()?;
    let addresses = operator.nodes.addresses.clone();
    let times = operator.nodes.client.times(&addresses, ASK_FOR);
    let node = |((address, status), times): ((&SocketAddrV4, &Option<NodeStatus>), _)| {
        let name = status.as_ref().map_or_else(|| address.to_string(), |status| status.identity.to_string());
        NodeClock { name, times }
    };
    let nodes: Vec<_> = addresses.iter().zip(&statuses).zip(times).map(node).collect();
    let leads = leader.identity.to_string();
    let of_leader = nodes.iter().find(|node| node.name == leads).and_then(|node| node.times);
    let Some(of_leader) = of_leader else {
        let what =
            format!("leader {leads} does not report its times: it is of an older release, or did not answer");
        return Err(Failure::new(NOT_READY, what));
    };
    if args.correct {
        return correct(args, &mut operator, &leader, of_leader);
    }
    let mut out = std::io::stdout();
    match args.operator.json {
        true => writeln!(out, "{}", as_json(&nodes, of_leader))?,
        false => as_text(&mut out, &nodes, &leads, of_leader)?,
    }
    Ok(0)
}

/// How far the stream's time is ahead of that of a quorum's clocks, or behind it, where both are known.
fn ahead(times: NodeTimes) -> Option<i64> {
    let (stream, quorum) = times.stream.zip(times.quorum)?;
    Some(stream.wrapping_sub(quorum) as i64)
}

fn correct(
    args: &TimeArgs,
    operator: &mut CommandClient,
    leader: &NodeStatus,
    times: NodeTimes,
) -> Result<u8, Failure> {
    let before = times.stream.unwrap_or(0);
    let left = operator.left();
    match operator.nodes.client.send_time_order(leader, before, left) {
        Some(Ok(())) => {}
        Some(Err(why)) => {
            let what = format!("leader {}: {}", leader.identity, describe(why, leader.identity));
            return Err(Failure::new(FAILED, what));
        }
        None => {
            let what = format!("leader {} did not answer; look at `lockstep time`", leader.identity);
            return Err(Failure::new(NOT_READY, what));
        }
    }
    let (after, next) = wait_until_set_back(operator, before)?;
    let mut out = std::io::stdout();
    match args.operator.json {
        true => {
            let line =
                json!({ "schema": SCHEMA, "before_ns": before, "after_ns": after, "committed_next": next });
            writeln!(out, "{line}")?;
        }
        false => {
            let (before, after, seq) = (Utc(before), Utc(after), next - 1);
            writeln!(out, "the stream's time went back from {before} to {after}, committed up to seq {seq}")?;
        }
    }
    Ok(0)
}

/// Waits until a leader's log has a lower time, and everything in it is committed at that moment.
fn wait_until_set_back(operator: &mut CommandClient, before: Nanos) -> Result<(Nanos, Seq), Failure> {
    let mut seen: Option<(Nanos, Seq)> = None;
    operator.wait(
        "the leader was ordered to set the stream's time back, and that is not committed",
        |operator, statuses| {
            let Some(leader) = leader_of(statuses) else { return Ok(None) };
            if seen.is_none() {
                let answer = operator.nodes.client.times(&[leader.address], ASK_FOR).pop().flatten();
                let stream = answer.and_then(|times| times.stream).filter(|time| *time < before);
                seen = stream.map(|time| (time, leader.accept_next));
            }
            Ok(seen.filter(|(_, next)| leader.commit_next >= *next))
        },
    )
}

/// A distance in words: which side, and how far.
fn distance(ahead: i64) -> String {
    let side = if ahead < 0 { "behind" } else { "ahead" };
    format!("{:.3?} {side}", Duration::from_nanos(ahead.unsigned_abs()))
}

fn as_text(
    out: &mut impl Write,
    nodes: &[NodeClock],
    leader: &str,
    of_leader: NodeTimes,
) -> std::io::Result<()> {
    let shown = |time: Option<Nanos>| time.map_or_else(|| "–".to_owned(), |time| Utc(time).to_string());
    writeln!(out, "stream {}", shown(of_leader.stream))?;
    writeln!(out, "quorum {}, by leader {leader}\n", shown(of_leader.quorum))?;
    writeln!(out, "{:<21} {:<31} {:<16} log", "node", "clock", "beside quorum's")?;
    for NodeClock { name, times } in nodes {
        let Some(times) = times else {
            writeln!(out, "{name:<21} does not report its times")?;
            continue;
        };
        let apart = of_leader.quorum.map(|quorum| distance(times.clock.wrapping_sub(quorum) as i64));
        let (clock, log) = (Utc(times.clock).to_string(), shown(times.stream));
        writeln!(out, "{name:<21} {clock:<31} {:<16} {log}", apart.as_deref().unwrap_or("–"))?;
    }
    writeln!(out)?;
    match ahead(of_leader) {
        None => writeln!(out, "the leader has not received the clocks of a quorum"),
        Some(ahead) if ahead > TOLERANCE as i64 => writeln!(
            out,
            "the stream's time is {}, and stands still: where the quorum's clocks are right, `lockstep time --correct` \
             sets it back to them",
            distance(ahead)
        ),
        Some(_) => writeln!(out, "the stream's time is not ahead: nothing to correct"),
    }
}

fn as_json(nodes: &[NodeClock], of_leader: NodeTimes) -> Value {
    let rows: Vec<_> = nodes
        .iter()
        .map(|NodeClock { name, times }| {
            json!({
                "node": name,
                "clock_ns": times.map(|times| times.clock),
                "log_ns": times.and_then(|times| times.stream),
            })
        })
        .collect();
    json!({
        "schema": SCHEMA, "stream_ns": of_leader.stream, "quorum_ns": of_leader.quorum, "ahead_ns": ahead(of_leader),
        "nodes": rows,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Nanos = 1_700_000_000_000_000_000;

    fn shown(stream: Option<Nanos>, quorum: Option<Nanos>) -> String {
        let times = NodeTimes { stream, clock: NOW + 5_000_000, quorum };
        let nodes = [
            NodeClock { name: "1:0000101".into(), times: Some(times) },
            NodeClock { name: "10.0.0.2:7000".into(), times: None },
        ];
        let mut out = Vec::new();
        as_text(&mut out, &nodes, "1:0000101", times).expect("memory takes it");
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn a_stream_that_is_ahead_is_named_with_how_far_and_no_other_is() {
        for (ahead, text) in [(3_600, "3600.000s ahead"), (15 * 365 * 86_400, "473040000.000s ahead")] {
            let shown = shown(Some(NOW + ahead * 1_000_000_000), Some(NOW));
            assert!(shown.contains(text) && shown.contains("lockstep time --correct"), "{shown}");
            assert!(shown.contains("5.000ms ahead") && shown.contains("does not report"), "{shown}");
        }
        for stream in [NOW, NOW - 1, NOW + TOLERANCE] {
            assert!(shown(Some(stream), Some(NOW)).contains("nothing to correct"));
        }
        assert!(shown(Some(NOW), None).contains("has not received the clocks of a quorum"));
    }
}
