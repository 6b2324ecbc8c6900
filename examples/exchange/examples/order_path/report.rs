//! Quantiles over rounds.

use hdrhistogram::Histogram;

/// Times of one kind of answer on one path, round by round.
pub struct Row {
    name: String,
    /// The quantiles of each round, in microseconds.
    rounds: Vec<[f64; QUANTILES.len()]>,
}

const QUANTILES: [f64; 3] = [0.5, 0.99, 0.999];

/// The median, the least and the most of the rounds.
fn spread(mut values: Vec<f64>) -> [f64; 3] {
    values.sort_by(f64::total_cmp);
    let at = |index: usize| values.get(index).copied().unwrap_or(f64::NAN);
    [at(values.len() / 2), at(0), at(values.len().saturating_sub(1))]
}

/// All rows of one loop.
#[derive(Default)]
pub struct Table(Vec<Row>);

impl Table {
    /// A round of the row `name`; nothing, where nothing was measured.
    pub fn add(&mut self, name: String, times: &Histogram<u64>) {
        if times.is_empty() {
            return;
        }
        let quantiles = QUANTILES.map(|quantile| times.value_at_quantile(quantile) as f64 / 1_000.0);
        match self.0.iter_mut().find(|row| row.name == name) {
            Some(row) => row.rounds.push(quantiles),
            None => self.0.push(Row { name, rounds: vec![quantiles] }),
        }
    }

    /// The median over rounds of a row's p50.
    pub fn median(&self, name: &str) -> f64 {
        let row = self.0.iter().find(|row| row.name == name);
        row.map_or(f64::NAN, |row| spread(row.rounds.iter().map(|round| round[0]).collect())[0])
    }

    /// Prints it.
    pub fn print(&self, title: &str) {
        println!("\n{title}\n{:<34}{:>24}{:>26}{:>26}", "microseconds", "p50", "p99", "p99.9");
        for row in &self.0 {
            let cell = |index: usize| {
                let [median, least, most] = spread(row.rounds.iter().map(|round| round[index]).collect());
                format!("{median:.0} ({least:.0} – {most:.0})")
            };
            println!("{:<34}{:>24}{:>26}{:>26}", row.name, cell(0), cell(1), cell(2));
        }
    }
}
