//! What was found, as tables, as JSON, and judged.

use crate::condition::Condition;
use crate::stats::{HEADS, Spread, Summary, cell, paired};
use serde_json::{Value, json};

/// What a ratio is to be at most.
pub const AIM: f64 = 1.5;

/// One row: figures by round, in nanoseconds, and those of its neighbour in the same rounds.
pub struct Line {
    /// As JSON and conditions call it.
    pub key: &'static str,
    /// What it is.
    pub words: String,
    /// By round.
    pub figures: Vec<Summary>,
    /// What it is compared with, by round.
    pub beside: Option<Vec<Summary>>,
    /// Which ratios are to be at most [`AIM`].
    pub aims: &'static [&'static str],
}

impl Line {
    fn column(&self, place: usize) -> Vec<Option<f64>> {
        self.figures.iter().map(|summary| summary[place]).collect()
    }

    /// In nanoseconds.
    fn spread(&self, place: usize) -> Option<Spread> {
        Spread::of(self.column(place).into_iter().flatten())
    }

    /// Over its neighbour, round by round.
    fn ratio(&self, place: usize) -> Option<Spread> {
        let beside: Vec<_> = self.beside.as_ref()?.iter().map(|summary| summary[place]).collect();
        paired(&self.column(place), &beside)
    }

    /// A figure by name: `p99`, or `p99_ratio`.
    fn figure(&self, name: &str) -> Option<Option<Spread>> {
        let place = |name: &str| HEADS.iter().position(|head| *head == name);
        match name.strip_suffix("_ratio") {
            Some(name) => place(name).map(|place| self.ratio(place)),
            None => place(name).map(|place| self.spread(place)),
        }
    }

    fn json(&self) -> Value {
        let ns = HEADS.iter().enumerate().map(|(place, head)| (format!("{head}_ns"), self.spread(place)));
        let ratios =
            HEADS.iter().enumerate().map(|(place, head)| (format!("{head}_ratio"), self.ratio(place)));
        let ratios = ratios.filter(|_| self.beside.is_some());
        let figures = ns.chain(ratios).map(|(name, spread)| (name, Spread::json(spread)));
        let aims = self.aims.iter().map(|aim| (format!("{aim}_ratio_aim"), json!(AIM)));
        figures.chain(aims).collect::<serde_json::Map<_, _>>().into()
    }

    /// As the table has it.
    fn aim(&self) -> String {
        if self.aims.is_empty() { String::new() } else { format!("{} <= {AIM}", self.aims.join(", ")) }
    }
}

/// Rows of one measurement, and what else is to be said of it.
#[derive(Default)]
pub struct Table {
    /// How it was measured.
    pub title: String,
    /// Its rows.
    pub lines: Vec<Line>,
    /// Words below.
    pub notes: Vec<String>,
    /// Counts, as JSON and conditions call them.
    pub counts: Vec<(&'static str, f64)>,
    /// Why its figures are not what they are called, whatever the limits are.
    pub wrongs: Vec<String>,
}

impl Table {
    /// Prints it.
    pub fn print(&self) {
        println!("\n{}; us, median [min-max] of rounds", self.title);
        let width = self.lines.iter().map(|line| line.words.len()).max().unwrap_or(0) + 2;
        print!("{:<width$}", "");
        HEADS.iter().for_each(|head| print!("{head:>28}"));
        println!("{:>22}{:>22}  aim", "p50 ratio", "p99 ratio");
        for line in &self.lines {
            print!("{:<width$}", line.words);
            for place in 0..HEADS.len() {
                print!("{:>28}", cell(line.spread(place).map(|spread| spread.scaled(1e-3)), 1));
            }
            if line.beside.is_some() {
                print!("{:>22}{:>22}  {}", cell(line.ratio(0), 2), cell(line.ratio(1), 2), line.aim());
            }
            println!();
        }
        self.notes.iter().for_each(|note| println!("{note}"));
        self.wrongs.iter().for_each(|wrong| println!("WRONG: {wrong}"));
    }
}

/// What `--json` prints.
///
/// # Errors
/// Never with these values.
pub fn json(tables: &[Table], environment: &[String]) -> Result<String, String> {
    let lines = tables.iter().flat_map(|table| &table.lines);
    let rows: serde_json::Map<_, _> = lines.map(|line| (line.key.to_owned(), line.json())).collect();
    let counts = tables.iter().flat_map(|table| &table.counts);
    let counts: serde_json::Map<_, _> =
        counts.map(|(name, count)| ((*name).to_owned(), json!(count))).collect();
    let notes: Vec<_> =
        tables.iter().flat_map(|table| [std::slice::from_ref(&table.title), &table.notes].concat()).collect();
    let value = json!({
        "schema": "lockstep.bench.gateway/1",
        "environment": environment,
        "rows": rows,
        "counts": counts,
        "notes": notes,
        "wrong": tables.iter().flat_map(|table| &table.wrongs).collect::<Vec<_>>(),
    });
    serde_json::to_string_pretty(&value).map_err(|error| error.to_string())
}

/// Whether nothing is wrong and no condition holds. A figure is judged by its median over the rounds.
///
/// # Errors
/// In words, what is wrong, which hold, or name nothing that there is.
pub fn judge(tables: &[Table], conditions: &[Condition]) -> Result<(), String> {
    let mut held: Vec<String> = tables.iter().flat_map(|table| table.wrongs.clone()).collect();
    for condition in conditions {
        let Condition { text, row, figure, .. } = condition;
        let value = match figure {
            None => {
                let count = tables.iter().flat_map(|table| &table.counts).find(|(name, _)| name == row);
                Some(count.ok_or_else(|| format!("--fail-if {text}: there is no count '{row}'"))?.1)
            }
            Some(figure) => {
                let line = tables.iter().flat_map(|table| &table.lines).find(|line| line.key == row);
                let line = line.ok_or_else(|| format!("--fail-if {text}: there is no row '{row}'"))?;
                let found = line.figure(figure);
                let found =
                    found.ok_or_else(|| format!("--fail-if {text}: there is no figure '{figure}'"))?;
                found.map(|spread| spread.median)
            }
        };
        let value = value.ok_or_else(|| format!("--fail-if {text}: too few messages tell it"))?;
        if condition.holds(value) {
            held.push(format!("{text}: it is {value:.2}"));
        }
    }
    if held.is_empty() { Ok(()) } else { Err(held.join("; ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let summary = |ns: f64| [Some(ns), Some(2.0 * ns), None, Some(9.0 * ns)];
        let figures = vec![summary(10.0), summary(30.0)];
        let beside = Some(vec![summary(10.0), summary(20.0)]);
        let line = Line { key: "in", words: "in".into(), figures, beside, aims: &["p99"] };
        Table { lines: vec![line], counts: vec![("lost", 0.0)], ..Table::default() }
    }

    #[test]
    fn conditions_judge_medians_of_figures_and_of_ratios() {
        let judged = |text: &str| judge(&[table()], &[text.parse().unwrap()]);
        assert_eq!(judged("in.p50_ratio>1.5"), Ok(()));
        assert_eq!(judged("in.p50_ratio>1.2"), Err("in.p50_ratio>1.2: it is 1.25".into()));
        assert_eq!(judged("in.p99>39ns"), Err("in.p99>39ns: it is 40.00".into()));
        assert_eq!(judged("lost>0"), Ok(()));
    }

    #[test]
    fn a_condition_on_what_is_not_there_is_refused() {
        for text in ["out.p50>1", "in.p75>1", "in.p99.9>1", "found>0"] {
            assert!(judge(&[table()], &[text.parse().unwrap()]).is_err(), "{text}");
        }
    }
}
