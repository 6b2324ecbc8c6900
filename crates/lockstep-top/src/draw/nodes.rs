//! The table of replicas and archivers, and the facts of a selected one.

use super::canvas::{Canvas, Tone};
use super::table::{Column, SEQ_DIGITS, known, left, right, seq, unwanted};
use crate::figures::{UNKNOWN, brief, bytes, compact, rate, share};
use lockstep_operations::top::{NodeLine, NodePresence};

const SEQ: u16 = SEQ_DIGITS as u16;

/// The columns. Ranks decide which of them a narrow terminal has.
pub const COLUMNS: [Column<NodeLine>; 22] = [
    left("NODE", 11, 0, |node| (node.name.clone(), Tone::Plain)),
    left("STATE", 13, 1, state),
    right("EPOCH", 5, 9, |node| known(node.round, compact)),
    right("END", SEQ, 3, |node| known(node.accept_next, seq)),
    right("COMMIT", SEQ, 11, |node| known(node.commit_next, seq)),
    right("LAG", 5, 2, |node| known(node.lag, compact)),
    right("ENT/s", 5, 10, |node| known(node.entries_per_second, rate)),
    right("IN/s", 5, 4, |node| known(node.in_per_second, rate)),
    right("OUT/s", 5, 7, |node| known(node.out_per_second, rate)),
    right("DROPS", 5, 5, |node| unwanted(node.dropped)),
    right("BUSY", 4, 6, |node| known(node.busy, share)),
    right("STALL", 5, 8, |node| known(node.stall_longest_ns, brief)),
    right("INB/s", 5, 12, |node| known(node.in_bytes_per_second, whole_bytes)),
    right("OUTB/s", 6, 13, |node| known(node.out_bytes_per_second, whole_bytes)),
    right("REP-IN", 6, 14, |node| known(node.repairs_in, compact)),
    right("REP-OUT", 7, 15, |node| known(node.repairs_out, compact)),
    right("WRITTEN", SEQ, 17, |node| known(node.written_next, seq)),
    right("DURABLE", SEQ, 18, |node| known(node.durable_next, seq)),
    right("FREE", 5, 16, |node| known(node.disk_free_bytes, bytes)),
    right("ACKED", 5, 19, |node| known(node.acked_ago_ns, brief)),
    right("COND", 4, 20, |node| unwanted(Some(node.conditions.len() as u64))),
    left("ADDRESS", 21, 21, |node| known(node.address.as_ref(), String::clone)),
];

fn whole_bytes(per_second: f64) -> String {
    bytes(per_second.max(0.0).round() as u64)
}

/// The role of a running node; the state in capital letters and its age otherwise.
fn state(node: &NodeLine) -> (String, Tone) {
    let role = node.role.as_deref().unwrap_or(UNKNOWN);
    match absence(node.presence, node.absent_ns) {
        Some(cell) => cell,
        None if node.presence == NodePresence::Late => (format!("{role} ?"), Tone::Warn),
        None if !node.conditions.is_empty() => (format!("{role} !"), Tone::Warn),
        None => (role.to_owned(), if role == "leader" { Tone::Good } else { Tone::Plain }),
    }
}

/// The state of a process that does not run, and its age; `None` for one that runs.
pub fn absence(presence: NodePresence, absent_ns: Option<u64>) -> Option<(String, Tone)> {
    let word = match presence {
        NodePresence::Runs | NodePresence::Late => return None,
        NodePresence::Silent => "SILENT",
        NodePresence::Hangs => "HANGS",
        NodePresence::Ended => "ENDED",
    };
    let since = absent_ns.map_or_else(String::new, |ns| format!(" {}", brief(ns)));
    Some((format!("{word}{since}"), Tone::Alarm))
}

/// Lines that [`facts`] takes.
pub const FACTS: u16 = 3;

/// Draws the facts of a node that its row has no room for, each at its place.
pub fn facts(canvas: &mut Canvas<'_>, y: u16, node: &NodeLine) {
    let text = |figure: Option<String>| figure.unwrap_or_else(|| UNKNOWN.to_owned());
    let pid = text(node.pid.map(|pid| pid.to_string()));
    let (identity, address) = (text(node.identity.clone()), text(node.address.clone()));
    let acked = text(node.acked_ago_ns.map(brief));
    let lines = [
        format!("{:<12}{identity:<12} at {address:<21} pid {pid:<8} acked {acked:>6} ago", node.name),
        format!(
            "journal {:>SEQ_DIGITS$} written {:>SEQ_DIGITS$} durable {:>5}B free",
            text(node.written_next.map(seq)),
            text(node.durable_next.map(seq)),
            text(node.disk_free_bytes.map(bytes))
        ),
        format!(
            "repairs {:>5} in {:>5} out   drops {}",
            text(node.repairs_in.map(compact)),
            text(node.repairs_out.map(compact)),
            drops(node)
        ),
    ];
    for (line, text) in lines.iter().enumerate() {
        canvas.text((0, y + line as u16), canvas.width(), text, Tone::Plain);
    }
}

/// Draws the gravest condition of a node, and the number of the others.
pub fn gravest(canvas: &mut Canvas<'_>, y: u16, node: &NodeLine) {
    let more = match node.conditions.len() {
        0 | 1 => String::new(),
        all => format!(" (and {} more: Enter)", all - 1),
    };
    if let Some(gravest) = node.conditions.first() {
        let text = format!("{}{more}: {}", gravest.code, gravest.what);
        canvas.text((0, y), canvas.width(), &text, Tone::Warn);
    }
}

/// Drops by cause, with the rate of all.
fn drops(node: &NodeLine) -> String {
    let Some(dropped) = node.dropped else { return UNKNOWN.to_owned() };
    let mut text = compact(dropped);
    if let Some(per_second) = node.dropped_per_second {
        text += &format!(" ({}/s)", rate(per_second));
    }
    for (index, drop) in node.drops.iter().enumerate() {
        let before = if index == 0 { ": " } else { ", " };
        text += &format!("{before}{} {}", drop.cause, compact(drop.count));
    }
    text
}
