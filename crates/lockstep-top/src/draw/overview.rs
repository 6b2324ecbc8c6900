//! The cluster: health, leader, nodes, the selected node, gateways, publishers and readers, events.

use super::canvas::{Canvas, Tone};
use super::{nodes, processes, table};
use crate::figures::{UNKNOWN, brief, compact, rate, time_of_day};
use crate::view::ViewState;
use lockstep_operations::top::{ClusterLine, EventLine, ProcessLine, Snapshot};

/// The number of lines from which a screen has room for facts of the selected node.
const FACTS_FROM: u16 = 24;
/// The number of lines from which the health has one more line, and parts are separated.
const WIDE_FROM: u16 = 30;

/// Draws the page between title and keys.
pub fn draw(canvas: &mut Canvas<'_>, snapshot: &Snapshot, view: &ViewState) {
    let (height, selected) = (canvas.height(), view.selection(snapshot));
    let health = if height >= WIDE_FROM { 3 } else { 2 };
    let tone = health_tone(&snapshot.cluster);
    canvas.wrapped(1, health, &snapshot.cluster.summary, tone);
    leader(canvas, 1 + health, &snapshot.cluster);

    let facts = if height >= FACTS_FROM { nodes::FACTS + 1 } else { 0 };
    let gap = u16::from(height >= WIDE_FROM);
    let begin = 2 + health + gap;
    let wants = [
        (5, snapshot.nodes.len()),
        (3, snapshot.gateways.len()),
        (4, snapshot.handles.len()),
        (3, snapshot.events.len()),
    ];
    let gaps = 3 * gap;
    let [of_nodes, of_gateways, of_handles, of_events] =
        allot((height - 1).saturating_sub(begin + facts + gaps), wants);

    let is_selected = |name: &str| Some(name) == selected.as_deref();
    let sorted = view.sorted(snapshot);
    table::draw(canvas, (begin, of_nodes), &nodes::COLUMNS, &sorted, |node| is_selected(&node.name));
    let mut y = begin + of_nodes;
    if facts > 0 {
        match selected.as_deref().map(|name| (snapshot.node(name), snapshot.process(name))) {
            Some((Some(node), _)) => {
                nodes::facts(canvas, y, node);
                nodes::gravest(canvas, y + nodes::FACTS, node);
            }
            Some((None, Some(process))) => process_facts(canvas, y, process),
            _ => {}
        }
        y += facts + gap;
    }
    let gateways: Vec<_> = snapshot.gateways.iter().collect();
    table::draw(canvas, (y, of_gateways), &processes::GATEWAYS, &gateways, |row| is_selected(&row.name));
    y += of_gateways + if of_gateways > 0 { gap } else { 0 };
    let handles: Vec<_> = snapshot.handles.iter().collect();
    table::draw(canvas, (y, of_handles), &processes::HANDLES, &handles, |row| is_selected(&row.process));
    y += of_handles + if of_handles > 0 { gap } else { 0 };
    events(canvas, (y, of_events), &snapshot.events);
}

/// Distributes lines to tables with so many rows: each gets its title and the minimum that is useful, and the
/// rest is given from top to bottom. A table without rows, or without room for one, gets no line.
fn allot(mut lines: u16, wants: [(u16, usize); 4]) -> [u16; 4] {
    let wants = wants.map(|(least, rows)| {
        let whole = if rows == 0 { 0 } else { u16::try_from(rows + 1).unwrap_or(u16::MAX) };
        (whole.min(least), whole)
    });
    let mut allotted = [0; 4];
    for least in [true, false] {
        for (own, (small, whole)) in allotted.iter_mut().zip(wants) {
            let more = (if least { small } else { whole } - *own).min(lines);
            if *own + more >= 2 {
                (*own, lines) = (*own + more, lines - more);
            }
        }
    }
    allotted
}

fn health_tone(cluster: &ClusterLine) -> Tone {
    match cluster.health {
        Some("healthy") => Tone::Good,
        Some("degraded") => Tone::Warn,
        Some(_) => Tone::Alarm,
        None => Tone::Plain,
    }
}

/// Leader, epoch and commit, each at its place.
fn leader(canvas: &mut Canvas<'_>, y: u16, cluster: &ClusterLine) {
    let text = |figure: Option<String>| figure.unwrap_or_else(|| UNKNOWN.to_owned());
    let who = cluster.leader.as_deref().unwrap_or("NONE");
    let (round, since) = (text(cluster.round.map(compact)), text(cluster.epoch_age_ns.map(brief)));
    let per_second = text(cluster.committed_per_second.map(rate));
    let commit = text(cluster.commit_next.map(table::seq));
    let mut line = format!("leader {who:<11} epoch {round:<5} for {since:<6} {per_second:>5}/s committed");
    if canvas.width() >= 80 {
        line += &format!(" to {commit:<13}");
    }
    if canvas.width() >= 140 {
        let latency = cluster.commit_latency.unwrap_or_default();
        let [p50, p99, longest] =
            [latency.p50_ns, latency.p99_ns, latency.longest_ns].map(|time| text(time.map(brief)));
        let publishers = text(cluster.publishers.map(compact));
        line += &format!("  commit p50 {p50:<6} p99 {p99:<6} max {longest:<6} {publishers:>5} publishers");
    }
    let tone = if cluster.leader.is_some() { Tone::Plain } else { Tone::Warn };
    canvas.text((0, y), canvas.width(), &line, tone);
}

/// The lines of a selected process that is not a node.
fn process_facts(canvas: &mut Canvas<'_>, y: u16, process: &ProcessLine) {
    canvas.wrapped(y, 1, &life_of(process), Tone::Plain);
    canvas.text((0, y + 1), canvas.width(), "Enter shows all that it counts.", Tone::Dim);
}

/// A process in one line: id, release, age, and for how long it has not run.
pub fn life_of(process: &ProcessLine) -> String {
    let ProcessLine { process: name, pid, release, .. } = process;
    let life = match (process.life, process.silent_ns) {
        ("hangs", Some(silent)) => format!("HANGS: it has counted nothing for {}", brief(silent)),
        ("ended", Some(ago)) => {
            let at = time_of_day(process.published_at_ns);
            format!("ENDED {} ago; these are its last figures, of {at} UTC", brief(ago))
        }
        (life, _) => life.to_owned(),
    };
    format!("{name}: process {pid}, release {release}, began {} ago, {life}", brief(process.since_ns))
}

/// The newest events for which there is room, the newest last.
fn events(canvas: &mut Canvas<'_>, (y, height): (u16, u16), events: &[EventLine]) {
    let Some(room) = usize::from(height).checked_sub(1).filter(|room| *room > 0) else { return };
    canvas.text((0, y), canvas.width(), "TIME     NODE        CODE   EVENT", Tone::Head);
    let newest = &events[events.len().saturating_sub(room)..];
    for (line, EventLine { at_ns, node, code, text }) in newest.iter().enumerate() {
        let text = format!("{} {node:<11} {code:<6} {text}", time_of_day(*at_ns));
        canvas.text((0, y + 1 + line as u16), canvas.width(), &text, Tone::Plain);
    }
}

#[cfg(test)]
mod tests {
    use super::allot;

    #[test]
    fn tables_share_the_lines_and_the_first_ones_grow_first() {
        let wants = [(5, 3), (3, 2), (4, 4), (3, 0)];
        assert_eq!(allot(40, wants), [4, 3, 5, 0], "there is room for all");
        assert_eq!(allot(11, wants), [4, 3, 4, 0]);
        assert_eq!(allot(8, wants), [4, 3, 0, 0], "a title alone is of no use");
        assert_eq!(allot(9, [(5, 70), (3, 2), (4, 0), (3, 9)]), [6, 3, 0, 0]);
        assert_eq!(allot(0, wants), [0; 4]);
    }
}
