//! `lockstep time`: the stream's time beside the nodes' clocks, and the way back of a stream that ran ahead.
//!
//! ```text
//!   a quorum's clocks were ahead ─▶ set right ─▶ the stream's time stands still ─▶ `time --correct`: it is right
//! ```

use crate::cli::shared::flags::OperatorArgs;
use crate::cli::shared::operator::CommandClient;
use clap::Args;
use lockstep_client::internal::NodeTimes;
use lockstep_core::proto::clocks::TOLERANCE;
use lockstep_daemon::Failure;
use lockstep_io::clock::Utc;
use lockstep_operations::commands::{ClusterTimes, NodeClock, TimeCorrected, correct_time};
use lockstep_wire::Nanos;
use serde_json::{Value, json};
use std::io::Write;
use std::time::Duration;

/// The version of what `--json` prints.
const SCHEMA: &str = "lockstep.time/1";

/// Flags of `time`.
#[derive(Args, Debug)]
pub struct TimeArgs {
    #[command(flatten)]
    pub operator: OperatorArgs,
    /// Sets the stream's time, which ran ahead, back to that of a quorum's clocks
    #[arg(long)]
    pub correct: bool,
}

/// Prints the times, or sets that of the stream back.
pub fn run(args: &TimeArgs) -> Result<u8, Failure> {
    let mut operator = CommandClient::open(&args.operator.cluster, args.operator.timeout)?;
    let times = ClusterTimes::ask(&mut operator)?;
    if args.correct {
        return correct(args, &mut operator, &times);
    }
    let (nodes, of_leader) = (&times.nodes, times.of_leader);
    let mut out = std::io::stdout();
    if args.operator.json {
        writeln!(out, "{}", as_json(nodes, of_leader))?;
    } else {
        as_text(&mut out, nodes, &times.leader.identity.to_string(), of_leader)?;
    }
    Ok(0)
}

/// How far the stream's time is ahead of that of a quorum's clocks, or behind it, where both are known.
fn ahead(times: NodeTimes) -> Option<i64> {
    let (stream, quorum) = times.stream.zip(times.quorum)?;
    Some(stream.wrapping_sub(quorum) as i64)
}

fn correct(args: &TimeArgs, operator: &mut CommandClient, times: &ClusterTimes) -> Result<u8, Failure> {
    let TimeCorrected { before, after, committed_next: next } = correct_time(operator, times)?;
    let mut out = std::io::stdout();
    if args.operator.json {
        let line =
            json!({ "schema": SCHEMA, "before_ns": before, "after_ns": after, "committed_next": next });
        writeln!(out, "{line}")?;
    } else {
        let (before, after, seq) = (Utc(before), Utc(after), next - 1);
        writeln!(out, "the stream's time went back from {before} to {after}, committed up to seq {seq}")?;
    }
    Ok(0)
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
