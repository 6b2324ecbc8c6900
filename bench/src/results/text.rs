//! Results as people read them on a screen.

use super::{Results, Row, Unit};
use crate::stats::{Spread, cell};
use std::fmt;

/// Columns of a subject's name and of a figure, at least.
const NAME: usize = 26;
const CELL: usize = 26;
/// Columns between two figures, at least.
const BETWEEN: usize = 2;

/// What a case's figures are divided by, and the name of that.
pub(crate) fn scale(rows: &[&Row]) -> (f64, &'static str) {
    let Some(first) = rows.first() else { return (1.0, "") };
    let least = rows.iter().filter_map(|row| row.spread(row.figures().first()?)).map(|spread| spread.median);
    let least = least.fold(f64::INFINITY, f64::min);
    match first.unit {
        Unit::Nanos if least >= 1e6 => (1e6, "ms"),
        Unit::Nanos if least >= 1e3 => (1e3, "us"),
        Unit::Nanos => (1.0, "ns"),
        Unit::MessagesPerSecond if least >= 1e3 => (1e3, "thousand messages/s"),
        Unit::MessagesPerSecond => (1.0, "messages/s"),
        Unit::DatagramsPerSecond => (1e3, "thousand datagrams/s"),
        Unit::BytesPerSecond => (1e6, "MB/s"),
        Unit::Instructions => (1.0, "instructions"),
        Unit::Count => (1.0, "count"),
        Unit::Bytes => (1_048_576.0, "MiB"),
        Unit::SecondsPerMillion => (1.0, "CPU s per million"),
        Unit::Ratio => (1.0, "ratio"),
    }
}

/// Lines of one case, each a name and its cells: as wide as its longest.
fn table(f: &mut fmt::Formatter<'_>, lines: &[(String, Vec<String>)]) -> fmt::Result {
    let names = lines.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0).max(NAME);
    let cells = lines.iter().flat_map(|(_, cells)| cells).map(|cell| cell.chars().count() + BETWEEN);
    let wide = cells.max().unwrap_or(0).max(CELL);
    for (name, cells) in lines {
        let cells: String = cells.iter().map(|cell| format!("{cell:>wide$}")).collect();
        writeln!(f, "{name:<names$}{cells}")?;
    }
    Ok(())
}

/// Digits behind the point that a figure deserves.
pub(crate) fn digits(spread: Option<Spread>) -> usize {
    match spread.map_or(0.0, |spread| spread.median.abs()) {
        median if median >= 100.0 => 0,
        median if median >= 10.0 => 1,
        _ => 2,
    }
}

impl fmt::Display for Results {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}, {}", self.measure, self.title, self.began)?;
        for (name, value) in self.environment.iter().chain(&self.method) {
            writeln!(f, "{name:<16} {value}")?;
        }
        let ratios = self.ratios();
        for case in self.cases() {
            let rows: Vec<&Row> = self.of_case(case).collect();
            let (by, unit) = scale(&rows);
            let rounds = rows.iter().map(|row| row.rounds.len()).max().unwrap_or(0);
            let figures = rows.iter().map(|row| row.figures()).max_by_key(Vec::len).unwrap_or_default();
            writeln!(f, "\n{case}: {rounds} rounds; {unit}, median [least-greatest]")?;
            let paced = rows.iter().any(|row| row.rounds.iter().any(|round| round.target.is_some()));
            let mut heads: Vec<String> = figures.iter().map(|&figure| figure.to_owned()).collect();
            if paced {
                heads.push("sent of target".to_owned());
            }
            let mut lines = vec![(String::new(), heads)];
            for row in &rows {
                let spreads =
                    figures.iter().map(|figure| row.spread(figure).map(|spread| spread.scaled(1.0 / by)));
                let mut cells: Vec<String> = spreads.map(|spread| cell(spread, digits(spread))).collect();
                if paced {
                    cells.push(cell(sent(row), 3));
                }
                lines.push((row.words.clone(), cells));
                let of_row = ratios.iter().filter(|ratio| ratio.case == case && ratio.subject == row.subject);
                for ratio in of_row.filter(|_| !row.floor) {
                    let cells = figures.iter().map(|&figure| cell(ratio.figures.get(figure).copied(), 2));
                    lines.push((format!("  over {}", ratio.floor), cells.collect()));
                    if row.unit == Unit::Nanos {
                        let less = figures.iter().map(|&figure| ratio.differences.get(figure));
                        let cells = less.map(|less| cell(less.map(|less| less.scaled(1.0 / by)), 2));
                        lines.push((format!("  less {}", ratio.floor), cells.collect()));
                    }
                }
            }
            table(f, &lines)?;
            for row in &rows {
                for mark in row.marks() {
                    writeln!(f, "! {}: {mark}", row.words)?;
                }
            }
        }
        if !self.counts.is_empty() {
            let counts: Vec<String> =
                self.counts.iter().map(|(name, count)| format!("{count} {name}")).collect();
            writeln!(f, "\n{}", counts.join(", "))?;
        }
        if !self.notes.is_empty() {
            writeln!(f, "\n{}", self.notes.join("\n"))?;
        }
        for wrong in &self.wrongs {
            writeln!(f, "\nWRONG: {wrong}")?;
        }
        Ok(())
    }
}

/// What share of its target a row's sender sent.
pub(crate) fn sent(row: &Row) -> Option<Spread> {
    Spread::of(row.rounds.iter().filter_map(|round| Some(round.achieved? / round.target?)))
}
