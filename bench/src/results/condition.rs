//! A limit on the command line: `p99>20us`, `ratio.p99>1.3`, `less.p50>300ns`, `gap.p99>5ms`, `lost>0`.

use super::{FIGURES, Ratio, Results, Row, VALUE};
use crate::stats::Spread;
use std::str::FromStr;

/// What measures count. A condition that names nothing of these is refused before anything is measured.
const COUNTS: [&str; 22] = [
    "lost",
    "repaired",
    "published",
    "retracted",
    "duplicated",
    "reordered",
    "takeovers",
    "unasked",
    "gaps",
    "resends",
    "backpressure",
    "wrong",
    "requests",
    "refusals",
    "replays",
    "replayed",
    "lacked",
    "by_mutex",
    "by_process",
    "orders",
    "restarts",
    "grown",
];
/// Counts for each of several things end so.
const PER_SECOND: &str = "_per_second";

/// Whether a measure may count something by this name.
pub(super) fn is_count(name: &str) -> bool {
    COUNTS.contains(&name) || name.ends_with(PER_SECOND)
}

/// How a figure is compared with its limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Comparison {
    Over,
    AtLeast,
    Under,
}

/// Of what a figure is.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Of {
    /// A subject's rows, never a floor's.
    Row,
    /// What subjects are of their floors.
    Ratio,
    /// What they are above them.
    Difference,
    /// How often something happened.
    Count,
}

/// Makes the bench fail where it holds: for the median over the rounds of any row that it speaks of.
#[derive(Clone, PartialEq, Debug)]
pub struct Condition {
    /// As it was written.
    text: String,
    of: Of,
    /// Words of the case or the subject; those rows are meant that have all of them.
    words: Vec<String>,
    /// A figure or a count.
    name: String,
    comparison: Comparison,
    /// In the unit of the row: nanoseconds, messages per second, a count.
    limit: f64,
}

impl Condition {
    fn holds(&self, value: f64) -> bool {
        match self.comparison {
            Comparison::Over => value > self.limit,
            Comparison::AtLeast => value >= self.limit,
            Comparison::Under => value < self.limit,
        }
    }

    fn means(&self, case: &str, subject: &str) -> bool {
        let has = |word: &String| words_of(case).chain(words_of(subject)).any(|other| other == word);
        self.words.iter().all(has)
    }

    /// A row's figure; where too few samples tell a percentile, the greatest stands for it.
    fn of_row(&self, row: &Row) -> Option<Spread> {
        row.spread(&self.name).or_else(|| row.spread("max"))
    }

    fn of_ratio(&self, ratio: &Ratio) -> Option<Spread> {
        let of = if self.of == Of::Ratio { &ratio.figures } else { &ratio.differences };
        of.get(self.name.as_str()).or_else(|| of.get("max")).copied()
    }

    /// Says where it holds, a line for each row.
    ///
    /// # Errors
    /// It speaks of nothing that was measured.
    pub fn judge(&self, results: &Results) -> Result<Vec<String>, String> {
        let text = &self.text;
        let found: Vec<(String, f64)> = match self.of {
            Of::Count => {
                let count = results.counts.get(&self.name);
                count.map(|count| (self.name.clone(), *count as f64)).into_iter().collect()
            }
            Of::Row => {
                let rows = results.rows.iter().filter(|row| !row.floor);
                let meant = rows.filter(|row| self.means(&row.case, &row.subject));
                meant.filter_map(|row| Some((row.case.clone(), self.of_row(row)?.median))).collect()
            }
            Of::Ratio | Of::Difference => {
                let ratios = results.ratios().into_iter();
                let meant = ratios.filter(|ratio| self.means(&ratio.case, &ratio.subject));
                let of = |ratio: Ratio| {
                    let median = self.of_ratio(&ratio)?.median;
                    Some((format!("{}, over {}", ratio.case, ratio.floor), median))
                };
                meant.filter_map(of).collect()
            }
        };
        if found.is_empty() {
            let counts: Vec<&str> = results.counts.keys().map(String::as_str).collect();
            return Err(format!(
                "--fail-if {text}: nothing that was measured is called so; there are the cases {:?} and the counts \
                 {counts:?}",
                results.cases()
            ));
        }
        let violated = found.into_iter().filter(|(_, value)| self.holds(*value));
        Ok(violated.map(|(whose, value)| format!("{text}: {whose}: it is {value:.2}")).collect())
    }
}

fn words_of(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty())
}

impl FromStr for Condition {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "'{text}' is no condition; write FIGURE>LIMIT, like p99>20us, with words of the case before it, \
                 like stamped.p99>20us or ratio.p99>1.3, or a count, like lost>0"
            )
        };
        let at = text.find(['<', '>']).ok_or_else(wrong)?;
        let (left, right) = text.split_at(at);
        let (comparison, right) = match right {
            _ if right.starts_with(">=") => (Comparison::AtLeast, &right[2..]),
            _ if right.starts_with('>') => (Comparison::Over, &right[1..]),
            _ => (Comparison::Under, &right[1..]),
        };
        let right = right.trim();
        let digits = right.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(right.len());
        let value: f64 = right[..digits].parse().map_err(|_| wrong())?;
        let unit = match right[digits..].trim() {
            "" | "ns" => 1.0,
            "us" | "k" => 1e3,
            "ms" | "M" => 1e6,
            "s" => 1e9,
            _ => return Err(wrong()),
        };
        let left = left.trim();
        // `p99.9` is a figure and not the figure `9` of `p99`: the longest name that fits.
        let fits = |figure: &&&str| left == **figure || left.ends_with(&format!(".{figure}"));
        let figure = FIGURES.iter().filter(fits).max_by_key(|figure| figure.len());
        let (before, name) = match figure {
            Some(figure) => (left[..left.len() - figure.len()].trim_end_matches('.'), (*figure).to_owned()),
            None if left.starts_with("ratio.") => (left, VALUE.to_owned()),
            None if !left.is_empty() && left.chars().all(|c| c.is_alphanumeric() || c == '_') => {
                ("", left.to_owned())
            }
            None => return Err(wrong()),
        };
        let mut words: Vec<String> = words_of(before).map(str::to_owned).collect();
        let of = if words.first().is_some_and(|first| first == "ratio") {
            words.remove(0);
            Of::Ratio
        } else if words.first().is_some_and(|first| first == "less") {
            words.remove(0);
            Of::Difference
        } else if FIGURES.contains(&name.as_str()) {
            Of::Row
        } else if is_count(&name) {
            Of::Count
        } else {
            return Err(format!(
                "'{text}': nothing that is measured is called '{name}'; there are the figures {}, and the counts {}",
                FIGURES.join(", "),
                COUNTS.join(", ")
            ));
        };
        Ok(Self { text: text.to_owned(), of, words, name, comparison, limit: value * unit })
    }
}
