//! Results as people read them on a screen.

use super::{Results, Row, Unit};
use crate::stats::{Spread, cell};
use std::fmt;

/// Columns of a subject's name and of a figure.
const NAME: usize = 26;
const CELL: usize = 26;

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
        Unit::Ratio => (1.0, "ratio"),
    }
}

fn line(f: &mut fmt::Formatter<'_>, name: &str, cells: &[String]) -> fmt::Result {
    let cells: String = cells.iter().map(|cell| format!("{cell:>CELL$}")).collect();
    writeln!(f, "{name:<NAME$}{cells}")
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
            line(f, "", &heads)?;
            for row in &rows {
                let spreads =
                    figures.iter().map(|figure| row.spread(figure).map(|spread| spread.scaled(1.0 / by)));
                let mut cells: Vec<String> = spreads.map(|spread| cell(spread, digits(spread))).collect();
                if paced {
                    cells.push(cell(sent(row), 3));
                }
                line(f, &row.words, &cells)?;
                let of_row = ratios.iter().filter(|ratio| ratio.case == case && ratio.subject == row.subject);
                for ratio in of_row.filter(|_| !row.floor) {
                    let cells = figures.iter().map(|&figure| cell(ratio.figures.get(figure).copied(), 2));
                    line(f, &format!("  over {}", ratio.floor), &cells.collect::<Vec<_>>())?;
                    if row.unit == Unit::Nanos {
                        let less = figures.iter().map(|&figure| ratio.differences.get(figure));
                        let cells = less.map(|less| cell(less.map(|less| less.scaled(1.0 / by)), 2));
                        line(f, &format!("  less {}", ratio.floor), &cells.collect::<Vec<_>>())?;
                    }
                }
            }
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

#[cfg(test)]
mod tests {
    use super::super::tests::results;

    #[test]
    fn a_table_has_each_subject_its_ratio_and_a_dash_for_what_too_few_samples_tell() {
        let mut results = results();
        results.rows[1].rounds[0].marks.push("the sender fell behind".into());
        let text = results.to_string();
        let has = |words: &[&str]| text.lines().any(|line| words.iter().all(|word| line.contains(word)));
        assert!(has(&["stamped, 64 B", "2 rounds", "us"]), "{text}");
        assert!(has(&["lockstep", "22.5 [15.0-30.0]"]), "{text}");
        assert!(has(&["over io", "1.50"]), "{text}");
        assert!(has(&["less io", "7.5"]), "{text}");
        assert!(has(&["! lockstep", "the sender fell behind"]), "{text}");
        assert!(!text.contains("p99"), "25 samples tell no p99: {text}");
    }
}
