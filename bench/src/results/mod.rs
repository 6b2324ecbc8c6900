//! # results: what a measurement found, as one object
//!
//! Every measure fills the same [`Results`]: rows of rounds, each row a case and a subject. Those subjects of
//! a case that are its floor are what the others are compared with, round by round. The table on the screen,
//! JSON, CSV, HdrHistogram logs, the page of `report`, the verdicts of `--fail-if` and `compare`: all of them
//! are made from this object and nothing else, so none can say what another does not.
//!
//! ```text
//!   case "stamped, 64 B, 20000/s"
//!     row plain     (floor)   round 1  round 2  round 3
//!     row io        (floor)   round 1  round 2  round 3     a ratio is that of two rounds in one column
//!     row lockstep            round 1  round 2  round 3
//! ```

mod condition;
mod files;
mod text;

pub use condition::Condition;
pub use files::{Output, RunResult, csv, hdr, json};
pub(crate) use text::{digits, scale, sent};

use crate::stats::{Latencies, Spread, paired};
use lockstep::config::Config;
use lockstep_io::clock::Utc;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The version of what `--json` writes.
pub const SCHEMA: &str = "lockstep.bench/1";

/// Names and values, as the environment and the method are told.
pub type Facts = BTreeMap<String, String>;

/// Figures by name: `p50`, `max`, or `value` where a round has one figure alone.
pub type Figures = BTreeMap<String, f64>;

/// The name of the figure of a row that has but one.
pub const VALUE: &str = "value";

/// The names of figures in the order in which people read them.
pub const FIGURES: [&str; 7] = ["p50", "p90", "p99", "p99.9", "p99.99", "max", VALUE];

/// A sender that sends a smaller share of its target fell behind.
pub const SENT_SHARE: f64 = 0.99;

/// What a row's figures are.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Unit {
    /// Nanoseconds; less is better.
    #[serde(rename = "ns")]
    Nanos,
    /// Messages per second; more is better.
    #[serde(rename = "messages/s")]
    MessagesPerSecond,
    /// Datagrams per second; more is better.
    #[serde(rename = "datagrams/s")]
    DatagramsPerSecond,
    /// Bytes per second; more is better.
    #[serde(rename = "bytes/s")]
    BytesPerSecond,
    /// Instructions; less is better.
    #[serde(rename = "instructions")]
    Instructions,
    /// How many; less is better.
    #[serde(rename = "count")]
    Count,
    /// Bytes of memory or of a disk; less is better.
    #[serde(rename = "bytes")]
    Bytes,
    /// Seconds of processor time for a million messages; less is better.
    #[serde(rename = "s/million")]
    SecondsPerMillion,
    /// What one is of another; less is better.
    #[serde(rename = "ratio")]
    Ratio,
}

impl Unit {
    /// Whether a greater figure is a better one.
    pub fn more_is_better(self) -> bool {
        matches!(self, Self::MessagesPerSecond | Self::DatagramsPerSecond | Self::BytesPerSecond)
    }
}

/// One turn of one subject.
#[derive(Clone, Default, Debug, Serialize, Deserialize)]
pub struct Round {
    /// When it began: seconds since the run did.
    pub at_s: f64,
    /// How long it counted, without its warm-up.
    pub seconds: f64,
    /// What was found.
    pub figures: Figures,
    /// How many samples tell it.
    pub samples: u64,
    /// All samples: a HdrHistogram, V2, deflated, in base64, as its logs have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub histogram: Option<String>,
    /// Messages per second that were to be sent, in an open loop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<f64>,
    /// Messages per second that were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub achieved: Option<f64>,
    /// Datagrams that the network lost and that were seen missing.
    #[serde(default)]
    pub lost: u64,
    /// Of them, those that were repaired.
    #[serde(default)]
    pub repaired: u64,
    /// What a reader must know before he believes it.
    #[serde(default)]
    pub marks: Vec<String>,
}

impl Round {
    /// A round of latencies.
    ///
    /// # Errors
    /// The histogram cannot be written.
    pub fn of(latencies: &Latencies) -> Result<Self, String> {
        Ok(Self {
            figures: latencies.figures(),
            samples: latencies.len(),
            histogram: Some(latencies.encode()?),
            ..Self::default()
        })
    }

    /// With what was to be sent a second and what was; where the sender fell behind, that is marked.
    #[must_use]
    pub fn sent(mut self, target: f64, achieved: f64) -> Self {
        (self.target, self.achieved) = (Some(target), Some(achieved));
        if achieved < target * SENT_SHARE {
            let share = 100.0 * achieved / target;
            self.marks.push(format!("the sender fell behind: {share:.1} % of {target:.0}/s were sent"));
        }
        self
    }

    /// A round of one figure.
    pub fn value(value: f64) -> Self {
        Self { figures: Figures::from([(VALUE.to_owned(), value)]), samples: 1, ..Self::default() }
    }
}

/// A subject in a case.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Row {
    /// What was done: rows of one case are compared.
    pub case: String,
    /// The author in a word.
    pub subject: String,
    /// The author in words.
    pub words: String,
    /// Whether the others are compared with this one.
    pub floor: bool,
    /// Of the figures.
    pub unit: Unit,
    /// What pictures are drawn over: `rate` in messages per second, `bytes` of a message, `subscribers` …
    #[serde(default)]
    pub axes: BTreeMap<String, f64>,
    /// In order; rounds of one place in all rows of a case were measured side by side.
    pub rounds: Vec<Round>,
}

impl Row {
    /// One without rounds, of who is no floor.
    pub fn new(case: &str, subject: &str, words: &str, unit: Unit) -> Self {
        Self {
            case: case.to_owned(),
            subject: subject.to_owned(),
            words: words.to_owned(),
            floor: false,
            unit,
            axes: BTreeMap::new(),
            rounds: Vec::new(),
        }
    }

    /// Whether the others are compared with it.
    #[must_use]
    pub fn as_floor(self, floor: bool) -> Self {
        Self { floor, ..self }
    }

    /// What pictures are drawn over.
    #[must_use]
    pub fn over<const COUNT: usize>(self, axes: [(&str, f64); COUNT]) -> Self {
        Self { axes: axes.map(|(name, value)| (name.to_owned(), value)).into(), ..self }
    }

    /// A figure, by round.
    pub fn column(&self, figure: &str) -> Vec<Option<f64>> {
        self.rounds.iter().map(|round| round.figures.get(figure).copied()).collect()
    }

    /// A figure's spread over the rounds; `None` where a round that has figures lacks this one. Medians of
    /// different rounds are not compared: a p99.9 of three rounds may lie below a p99 of five.
    pub fn spread(&self, figure: &str) -> Option<Spread> {
        let measured = self.rounds.iter().filter(|round| !round.figures.is_empty());
        let column: Option<Vec<f64>> = measured.map(|round| round.figures.get(figure).copied()).collect();
        Spread::of(column?)
    }

    /// The names of the figures that have a spread, as people read them.
    pub fn figures(&self) -> Vec<&'static str> {
        FIGURES.into_iter().filter(|figure| self.spread(figure).is_some()).collect()
    }

    /// All samples of all rounds, where the rounds have them.
    ///
    /// # Errors
    /// A histogram is damaged.
    pub fn samples(&self) -> Result<Option<Latencies>, String> {
        let mut all = None;
        for text in self.rounds.iter().filter_map(|round| round.histogram.as_ref()) {
            let one = Latencies::decode(text)?;
            match &mut all {
                None => all = Some(one),
                Some(all) => all.add(&one)?,
            }
        }
        Ok(all)
    }

    /// What the rounds' marks say, a line for each kind: marks of one kind begin alike, up to their colon.
    pub fn marks(&self) -> Vec<String> {
        let marks: Vec<&String> = self.rounds.iter().flat_map(|round| &round.marks).collect();
        let kind = |mark: &str| mark.split(':').next().unwrap_or_default().to_owned();
        let mut kinds: Vec<String> = marks.iter().map(|mark| kind(mark)).collect();
        kinds.sort_unstable();
        kinds.dedup();
        let line = |of: &String| {
            let alike: Vec<&&String> = marks.iter().filter(|mark| kind(mark) == *of).collect();
            let last = alike.last().map_or(of.as_str(), |mark| mark.as_str());
            format!("in {} of {} rounds {last}", alike.len(), self.rounds.len())
        };
        kinds.iter().map(line).collect()
    }
}

/// What a subject is of a floor.
#[derive(Clone, Debug, Serialize)]
pub struct Ratio {
    /// The case of both.
    pub case: String,
    /// The contestants.
    pub subject: String,
    /// With whom.
    pub floor: String,
    /// Ratios of figures that were measured side by side.
    pub figures: BTreeMap<&'static str, Spread>,
    /// And their differences, in the unit of the row: where a floor takes next to nothing, a ratio says
    /// little.
    pub differences: BTreeMap<&'static str, Spread>,
}

/// A figure over time.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Series {
    /// What it is of.
    pub name: String,
    /// Of the values.
    pub unit: Unit,
    /// Seconds since the run began, and the value.
    pub points: Vec<(f64, f64)>,
    /// Seconds since the run began, and what happened then.
    #[serde(default)]
    pub marks: Vec<(f64, String)>,
}

/// See the module.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Results {
    /// [`SCHEMA`].
    pub schema: String,
    /// The subcommand.
    pub measure: String,
    /// What it measures, for people.
    pub title: String,
    /// When it began, RFC 3339 in UTC.
    pub began: String,
    /// The command line.
    pub command: Vec<String>,
    /// The machine, the kernel, the build, the configuration.
    pub environment: Facts,
    /// Clock, warm-up, loop: how it was measured.
    pub method: Facts,
    /// The cluster's configuration, every key with its value: in files, not in the table.
    #[serde(default)]
    pub configuration: Facts,
    /// What was found.
    pub rows: Vec<Row>,
    /// What was found over time.
    #[serde(default)]
    pub series: Vec<Series>,
    /// How often something happened in the whole run: `lost`, `repaired`, `takeovers` …
    #[serde(default)]
    pub counts: BTreeMap<String, u64>,
    /// What must be said beside the figures.
    #[serde(default)]
    pub notes: Vec<String>,
    /// The errors that count whatever the limits are: a message lost, two digests that differ.
    #[serde(default)]
    pub wrongs: Vec<String>,
}

impl Ratio {
    /// The median ratio of a figure.
    pub fn median(&self, figure: &str) -> Option<f64> {
        self.figures.get(figure).map(|spread| spread.median)
    }

    /// The median difference of a figure, in the unit of the row.
    pub fn difference(&self, figure: &str) -> Option<f64> {
        self.differences.get(figure).map(|spread| spread.median)
    }
}

impl Results {
    /// None yet, of `measure`, which begins now.
    pub fn begin(measure: &str, title: &str, environment: Facts) -> Self {
        Self {
            schema: SCHEMA.to_owned(),
            measure: measure.to_owned(),
            title: title.to_owned(),
            began: Utc::now().to_string(),
            command: std::env::args().collect(),
            environment,
            method: Facts::new(),
            configuration: Facts::new(),
            rows: Vec::new(),
            series: Vec::new(),
            counts: BTreeMap::new(),
            notes: Vec::new(),
            wrongs: Vec::new(),
        }
    }

    /// Says what cluster was measured; of several, the last.
    pub fn configure(&mut self, config: &Config) {
        let values = config.effective().iter();
        self.configuration = values.map(|(key, value, _)| (key.clone(), value.clone())).collect();
    }

    /// Says how it was measured.
    pub fn tell(&mut self, name: &str, value: impl ToString) {
        self.method.insert(name.to_owned(), value.to_string());
    }

    /// Says what is aimed at, and in which cases it is met. `is_missed` judges what a subject is of a floor;
    /// `None`: the aim does not speak of it.
    pub fn aim(&mut self, words: &str, is_missed: impl Fn(&Ratio) -> Option<bool>) {
        let (mut judged, mut missed) = (0, Vec::new());
        for ratio in self.ratios() {
            let Some(is_missed) = is_missed(&ratio) else { continue };
            judged += 1;
            if is_missed {
                missed.push(format!("{}, {} over {}", ratio.case, ratio.subject, ratio.floor));
            }
        }
        let conclusion = match (judged, missed.len()) {
            (0, _) => "nothing of it was measured".to_owned(),
            (_, 0) => format!("met in all {judged} cases"),
            (_, count) => format!("missed in {count} of {judged} cases: {}", missed.join("; ")),
        };
        self.notes.push(format!("aim: {words}: {conclusion}"));
    }

    /// Adds a round to the row that has the case and subject of `row`, or to `row` if there is none yet.
    pub fn add(&mut self, row: Row, round: Round) {
        *self.counts.entry("lost".to_owned()).or_default() += round.lost;
        *self.counts.entry("repaired".to_owned()).or_default() += round.repaired;
        let same = |other: &&mut Row| (&other.case, &other.subject) == (&row.case, &row.subject);
        match self.rows.iter_mut().find(same) {
            Some(known) => known.rounds.push(round),
            None => self.rows.push(Row { rounds: vec![round], ..row }),
        }
    }

    /// The cases in the order in which they were measured.
    pub fn cases(&self) -> Vec<&str> {
        let mut cases: Vec<&str> = Vec::new();
        for row in &self.rows {
            if !cases.contains(&row.case.as_str()) {
                cases.push(&row.case);
            }
        }
        cases
    }

    /// The rows of a case.
    pub fn of_case<'a>(&'a self, case: &'a str) -> impl Iterator<Item = &'a Row> {
        self.rows.iter().filter(move |row| row.case == case)
    }

    /// Every subject over every floor of its case.
    pub fn ratios(&self) -> Vec<Ratio> {
        let mut ratios = Vec::new();
        for row in self.rows.iter().filter(|row| !row.floor) {
            for floor in self.of_case(&row.case).filter(|floor| floor.floor) {
                let of = |f: fn(f64, f64) -> f64| {
                    let figures = row.figures().into_iter();
                    // There is no ratio to a floor of 0.
                    let both = figures.filter_map(|figure| {
                        let spread = paired(&row.column(figure), &floor.column(figure), f)?;
                        [spread.min, spread.max].iter().all(|end| end.is_finite()).then_some((figure, spread))
                    });
                    both.collect()
                };
                ratios.push(Ratio {
                    case: row.case.clone(),
                    subject: row.subject.clone(),
                    floor: floor.subject.clone(),
                    figures: of(|over, under| over / under),
                    differences: of(|over, under| over - under),
                });
            }
        }
        ratios
    }
}
