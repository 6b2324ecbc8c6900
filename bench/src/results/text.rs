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

    #[test]
    fn what_is_wide_or_negative_stands_below_its_head_and_beside_no_other() {
        let mut results = results();
        let name = "a subject whose name is longer than any column that was thought of";
        results.rows[1].words = name.into();
        for (number, round) in results.rows[1].rounds.iter_mut().enumerate() {
            round.figures.insert("p50".into(), 1e15 + number as f64 * 1e13);
            round.figures.insert("max".into(), 1e15);
        }
        results.rows[0].rounds.iter_mut().for_each(|round| _ = round.figures.insert("p50".into(), 4e15));
        let text = results.to_string();
        let line = text.lines().find(|line| line.starts_with(name)).expect("its line");
        let cells = line[name.len()..].split("  ").filter(|cell| !cell.is_empty());
        assert_eq!(cells.count(), 2, "two cells, apart: {line}");
        let less = text.lines().find(|line| line.trim_start().starts_with("less")).expect("a difference");
        assert!(less.contains("-") && less.contains(" to -"), "negative bounds are told apart: {less}");
    }

    #[test]
    fn a_percentile_that_not_all_rounds_tell_is_not_compared_with_one_that_all_do() {
        let mut results = results();
        let rounds = &mut results.rows[1].rounds;
        rounds.iter_mut().for_each(|round| _ = round.figures.insert("p99".into(), 90.0));
        rounds[0].figures.insert("p99.9".into(), 50.0);
        let row = &results.rows[1];
        assert!(row.spread("p99").is_some() && row.spread("p99.9").is_none());
        assert!(!row.figures().contains(&"p99.9"));
    }

    #[test]
    fn an_aim_says_where_it_is_missed() {
        let mut results = results();
        results.aim("a third more at most", |ratio| ratio.median("p50").map(|p50| p50 > 1.33));
        results.aim("twice at most", |ratio| ratio.median("p50").map(|p50| p50 > 2.0));
        results.aim("of another", |_| None);
        let notes: Vec<&str> = results.notes.iter().rev().take(3).rev().map(String::as_str).collect();
        assert!(notes[0].starts_with("aim: a third more at most: missed in 1 of 1 cases: "), "{notes:?}");
        assert_eq!(
            notes[1..],
            ["aim: twice at most: met in all 1 cases", "aim: of another: nothing of it was measured"]
        );
    }
}
