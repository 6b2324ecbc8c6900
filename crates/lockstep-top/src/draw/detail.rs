//! One node or process: facts, conditions with their remedies, and all its counters with their meaning.

use super::canvas::{Canvas, Tone};
use super::{nodes, overview};
use crate::figures::{UNKNOWN, brief, compact, rate, time_of_day};
use crate::view::ViewState;
use lockstep_operations::top::{CounterLine, Snapshot};

/// The lines that the meaning of the selected counter takes.
const MEANING: u16 = 2;
const ELSEWHERE: &str = "No counters file of it is on this host: run `lockstep top` or `lockstep counters` on its host, or read its \
                         page of metrics.";

/// A line of the list.
enum Row<'a> {
    Group(&'a str),
    Counter(usize, &'a CounterLine),
}

/// Draws the page between title and keys.
pub fn draw(canvas: &mut Canvas<'_>, snapshot: &Snapshot, view: &ViewState, name: &str) {
    let (node, process) = (snapshot.node(name), snapshot.process(name));
    let (mut y, end) = (1, canvas.height() - 1);
    match process {
        Some(process) => {
            let tone = if process.life == "runs" { Tone::Head } else { Tone::Alarm };
            y += canvas.wrapped(y, 2, &overview::life_of(process), tone);
        }
        None if node.is_none() => {
            canvas.wrapped(y, 2, &format!("{name} is not there any more. Esc goes back."), Tone::Warn);
            return;
        }
        None => {}
    }
    if let Some(node) = node {
        nodes::facts(canvas, y, node);
        y += nodes::FACTS;
        for condition in &node.conditions {
            // the list of counters keeps half of the screen
            if y + 2 > canvas.height() / 2 {
                break;
            }
            let since = condition.age_ns.map_or_else(String::new, |ns| format!(" for {}", brief(ns)));
            let text = format!("{}{since}: {}; {}", condition.code, condition.what, condition.advice);
            y += canvas.wrapped(y, 2, &text, Tone::Warn);
        }
    }
    let Some(process) = process else {
        canvas.wrapped(y + 1, 3, ELSEWHERE, Tone::Dim);
        return;
    };
    let counters: Vec<_> = view.counters(process).collect();
    let line = view.line.min(counters.len().saturating_sub(1));
    list(canvas, (y, end.saturating_sub(y + MEANING)), &counters, line, snapshot.at_ns);
    if let Some(counter) = counters.get(line) {
        let text = format!("{}: {}", counter.name, counter.meaning);
        canvas.wrapped(end - MEANING, MEANING, &text, Tone::Head);
    }
}

/// The columns of the list: names, and values; the rest is for times and meanings.
fn widths(width: u16) -> (u16, u16) {
    if width >= 120 { (40, 20) } else { (27, 14) }
}

fn list(
    canvas: &mut Canvas<'_>,
    (y, height): (u16, u16),
    counters: &[&CounterLine],
    selected: usize,
    at_ns: u64,
) {
    let mut rows = Vec::new();
    for (index, counter) in counters.iter().enumerate() {
        let is_new = index == 0 || counters[index - 1].group != counter.group;
        rows.extend(is_new.then_some(Row::Group(&counter.group)));
        rows.push(Row::Counter(index, counter));
    }
    let is_selected = |row: &Row<'_>| matches!(row, Row::Counter(index, _) if *index == selected);
    let at = rows.iter().position(is_selected).unwrap_or(0);
    let Some(room) = usize::from(height).checked_sub(1).filter(|room| *room > 0) else { return };
    let first = (at + 1).saturating_sub(room).min(rows.len().saturating_sub(room));
    let (name, value) = widths(canvas.width());
    let head = format!(
        "{:<name$} {:>value$} {:>7} MEANING",
        "COUNTER",
        "VALUE",
        "PER S",
        name = usize::from(name),
        value = usize::from(value)
    );
    canvas.text((0, y), canvas.width(), &head, Tone::Head);
    for (line, row) in rows.iter().skip(first).take(room).enumerate() {
        let y = y + 1 + line as u16;
        match row {
            Row::Group(group) => canvas.text((0, y), canvas.width(), group, Tone::Head),
            Row::Counter(_, counter) => draw_counter(canvas, y, counter, at_ns),
        }
        if is_selected(row) {
            canvas.highlight(y);
        }
    }
}

fn draw_counter(canvas: &mut Canvas<'_>, y: u16, counter: &CounterLine, at_ns: u64) {
    let (name, value) = widths(canvas.width());
    // the group shows the handle already
    let shown = counter.name.split("{handle=").next().unwrap_or_default();
    canvas.text((1, y), name - 1, shown, Tone::Plain);
    let width = usize::from(value);
    let figure = format!("{:>width$}", value_of(counter, width, at_ns));
    canvas.text((name + 1, y), value, &figure, Tone::Plain);
    let per_second = counter.per_second.map_or_else(String::new, rate);
    canvas.text((name + value + 2, y), 7, &format!("{per_second:>7}"), Tone::Plain);
    let meaning = match &counter.times {
        Some(times) => {
            let text = |time: Option<u64>| time.map_or_else(|| UNKNOWN.to_owned(), brief);
            let (p50, p99, longest) = (text(times.p50_ns), text(times.p99_ns), text(times.longest_ns));
            format!("p50 {p50:<5} p99 {p99:<5} max {longest:<5} {}", counter.meaning)
        }
        None => counter.meaning.clone(),
    };
    let x = name + value + 10;
    canvas.text((x, y), canvas.width() - x, &meaning, Tone::Dim);
}

/// The value in at most `width` columns: a state by its name, a moment as time and age.
fn value_of(counter: &CounterLine, width: usize, at_ns: u64) -> String {
    let CounterLine { value, .. } = *counter;
    if let Some(state) = &counter.state {
        return state.clone();
    }
    if counter.kind == "gauge" && counter.name.contains("_time_ns") && value > 0 {
        let ago = brief(at_ns.saturating_sub(value));
        return if width < 20 { format!("{ago} ago") } else { format!("{} {ago} ago", time_of_day(value)) };
    }
    // the value of a histogram is a count: its unit is that of its times
    let unit = match counter.times {
        None if !counter.unit.is_empty() => format!(" {}", counter.unit),
        _ => String::new(),
    };
    let digits = format!("{value}{unit}");
    if digits.len() <= width { digits } else { format!("{}{unit}", compact(value)) }
}
