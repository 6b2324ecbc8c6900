//! The picture of valences (SVG): a row for each number of steps from the first state, and each state's steps
//! in words beside it.

use super::{Valence, Valences};
use crate::diagram::begun;
use std::collections::BTreeSet;
use std::fmt::Write as _;

const RADIUS: i64 = 14;
const COLUMN: i64 = 92;
const ROW: i64 = 74;
const TOP: i64 = 170;
/// Room beside the states for the lines that go up.
const MARGIN: i64 = 90;
const LINE: i64 = 17;
const WORDS_WIDTH: i64 = 430;
const LOOP_INK: &str = "#e08a00";

fn ink(valence: Valence) -> &'static str {
    match valence {
        Valence::Zero => "#1f4e9c",
        Valence::One => "#b00000",
        Valence::Bivalent => "#6a1b9a",
        Valence::Undecided => "#888888",
    }
}

/// Where a state stands.
#[derive(Clone, Copy)]
struct Place {
    row: i64,
    x: i64,
    y: i64,
}

/// The places of all states, and the width and the number of rows that they take.
fn places(found: &Valences) -> (Vec<Place>, i64, i64) {
    let mut rows: Vec<Vec<usize>> = vec![vec![0]];
    let mut seen = BTreeSet::from([0]);
    // The states below one row stand in the order of those above them.
    loop {
        let mut next = Vec::new();
        for state in rows.iter().next_back().into_iter().flatten() {
            let after = found.states[*state].steps.iter().map(|step| step.to);
            next.extend(after.filter(|to| seen.insert(*to)));
        }
        if next.is_empty() {
            break;
        }
        rows.push(next);
    }
    let widest = rows.iter().map(Vec::len).max().unwrap_or(1) as i64;
    let width = 2 * MARGIN + COLUMN * widest;
    let mut places = vec![Place { row: 0, x: 0, y: 0 }; found.states.len()];
    for (row, states) in rows.iter().enumerate() {
        for (column, state) in states.iter().enumerate() {
            let (row, column, count) = (row as i64, column as i64, states.len() as i64);
            let x = MARGIN + COLUMN * widest * (2 * column + 1) / (2 * count);
            places[*state] = Place { row, x, y: TOP + ROW * row };
        }
    }
    (places, width, rows.len() as i64)
}

/// The picture. Equal valences give equal bytes.
pub(super) fn draw(found: &Valences) -> String {
    let (places, width, rows) = places(found);
    let lines: usize = found.states.iter().map(|state| state.steps.len()).sum();
    let height = (TOP + ROW * rows).max(TOP + LINE * (lines as i64 + 1));
    let full = width + WORDS_WIDTH;
    let title = format!("{}: the valence of each state from {}", found.name, found.initial[found.drawn].0);
    let mut out = begun(full, height, &title);
    legend(&mut out, found);
    let endless: BTreeSet<_> =
        found.endless.iter().flat_map(|endless| endless.stem.iter().chain(&endless.cycle)).copied().collect();
    // The endless run lies above the other lines.
    for is_endless in [false, true] {
        for (from, state) in found.states.iter().enumerate() {
            for (at, step) in state.steps.iter().enumerate() {
                if endless.contains(&(from, at)) == is_endless {
                    let valence = found.states[step.to].valence;
                    line(&mut out, places[from], places[step.to], valence, is_endless, width);
                }
            }
        }
    }
    for (number, state) in found.states.iter().enumerate() {
        let (Place { x, y, .. }, ink) = (places[number], ink(state.valence));
        let words = match state.valence {
            Valence::Bivalent => found.place(number),
            Valence::Zero => "0".to_owned(),
            Valence::One => "1".to_owned(),
            Valence::Undecided => "-".to_owned(),
        };
        // Writing into a string cannot fail.
        let _ = writeln!(
            out,
            "<circle cx=\"{x}\" cy=\"{y}\" r=\"{RADIUS}\" fill=\"{ink}\"/>\
             <text x=\"{x}\" y=\"{}\" text-anchor=\"middle\" fill=\"white\">{words}</text>",
            y + 5
        );
    }
    steps(&mut out, found, &endless, width);
    out.push_str("</svg>\n");
    out
}

/// The colours with their counts, and the initial configurations.
fn legend(out: &mut String, found: &Valences) {
    let mut x = 34;
    for valence in Valence::ALL {
        let count = found.count(valence);
        if count > 0 {
            let _ = writeln!(
                out,
                "<circle cx=\"{x}\" cy=\"54\" r=\"7\" fill=\"{}\"/><text x=\"{}\" y=\"59\">{count} {}</text>",
                ink(valence),
                x + 14,
                valence.words()
            );
            x += 130;
        }
    }
    let initial = found.initial.iter().map(|(words, valence)| format!("{words}: {}", valence.words()));
    let _ = writeln!(
        out,
        "<line x1=\"24\" y1=\"80\" x2=\"44\" y2=\"80\" stroke=\"{LOOP_INK}\" stroke-width=\"4\"/>\
         <text x=\"52\" y=\"85\">a fair run without an end: every message arrives, nobody decides</text>\n\
         <text x=\"24\" y=\"110\">Initial configurations: {}.</text>\n\
         <text x=\"24\" y=\"132\">{} Rounds are counted from the lowest one.</text>",
        initial.collect::<Vec<_>>().join("; "),
        found.says
    );
}

/// A step, with an arrow at its end: straight down to the next row, round below in the same
/// row, or round by the nearer side to one above.
fn line(out: &mut String, from: Place, to: Place, valence: Valence, is_endless: bool, width: i64) {
    let (ink, stroke) = if is_endless { (LOOP_INK, "3.5") } else { (ink(valence), "1.2") };
    let (mut points, last) = if to.row > from.row {
        (format!("M {} {} L ", from.x, from.y), (from.x, from.y))
    } else if to.row == from.row {
        let below = ((from.x + to.x) / 2, from.y + ROW / 2 + (to.x - from.x).abs() / 12);
        (format!("M {} {} Q {} {} ", from.x, from.y, below.0, below.1), below)
    } else {
        let is_left = from.x + to.x < width;
        let far = 40 + 14 * (from.row - to.row).min(5);
        let near = if is_left { from.x.min(to.x) - far } else { from.x.max(to.x) + far };
        let side = near.clamp(8, width - 8);
        (format!("M {} {} C {side} {} {side} {} ", from.x, from.y, from.y, to.y), (side, to.y))
    };
    // The arrow ends at the rim of the state.
    let (dx, dy) = ((to.x - last.0) as f64, (to.y - last.1) as f64);
    let length = dx.hypot(dy).max(1.0);
    let at = |back: f64, aside: f64| {
        let x = to.x as f64 - dx / length * back - dy / length * aside;
        let y = to.y as f64 - dy / length * back + dx / length * aside;
        (x.round() as i64, y.round() as i64)
    };
    let rim = RADIUS as f64 + 1.0;
    let [(x, y), (x1, y1), (x2, y2)] = [at(rim, 0.0), at(rim + 9.0, 4.5), at(rim + 9.0, -4.5)];
    let _ = write!(points, "{x} {y}");
    let _ = writeln!(
        out,
        "<path d=\"{points}\" fill=\"none\" stroke=\"{ink}\" stroke-width=\"{stroke}\"/>\
         <path d=\"M {x} {y} L {x1} {y1} L {x2} {y2} Z\" fill=\"{ink}\"/>"
    );
}

/// The steps in words, those of the endless run in its colour.
fn steps(out: &mut String, found: &Valences, endless: &BTreeSet<(usize, usize)>, x: i64) {
    let mut y = TOP;
    for (number, state) in found.states.iter().enumerate() {
        for (at, step) in state.steps.iter().enumerate() {
            let is_endless = endless.contains(&(number, at));
            let valence = found.states[step.to].valence;
            let ink = match (is_endless, valence) {
                (true, _) => LOOP_INK,
                (false, Valence::Bivalent) => "#222222",
                (false, valence) => ink(valence),
            };
            let name = if at == 0 { found.place(number) } else { String::new() };
            let _ = writeln!(
                out,
                "<text x=\"{x}\" y=\"{y}\" font-weight=\"bold\">{name}</text>\
                 <text x=\"{}\" y=\"{y}\" fill=\"{ink}\">{}: {}</text>",
                x + 36,
                step.words,
                found.place(step.to)
            );
            y += LINE;
        }
    }
}
