//! Results as programs read them: JSON, CSV, HdrHistogram logs; and where each of them goes.

use super::{Condition, FIGURES, Results};
use crate::stats::Latencies;
use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};
use lockstep_io::clock::Utc;
use serde_json::Value;
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Instead of a file: standard output.
const STANDARD: &str = "-";
/// A value of an interval log is in nanoseconds; its greatest one is told in milliseconds, as other tools do.
const HDR_DIVISOR: f64 = 1e6;

/// Where results go, and what makes a run fail.
#[derive(Clone, Default, clap::Args)]
pub struct Output {
    /// Writes the results as JSON, to a file or instead of the table.
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true, default_missing_value = STANDARD)]
    json: Option<PathBuf>,
    /// Writes a line for each figure of each round, to a file or instead of the table.
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true, default_missing_value = STANDARD)]
    csv: Option<PathBuf>,
    /// Writes every histogram to a log (V2) that HdrHistogram's tools open, tagged with case and subject.
    #[arg(long, value_name = "FILE")]
    hdr: Option<PathBuf>,
    /// A limit that makes this fail (exit code 3), like `p99>20us`, `ratio.p99>1.3`, `lost>0`; as many as you
    /// like.
    #[arg(long, value_name = "CONDITION")]
    fail_if: Vec<Condition>,
}

/// How a run ended that measured what it was to measure.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub enum RunResult {
    /// As it should.
    Passed,
    /// A limit holds, or two are different that should not be.
    Failed,
}

impl RunResult {
    /// What the program ends with.
    pub fn code(self) -> u8 {
        match self {
            Self::Passed => 0,
            Self::Failed => 3,
        }
    }
}

impl Output {
    /// Gives the results out, and judges them.
    ///
    /// # Errors
    /// A file that cannot be written; something that is wrong whatever the limits are; a condition that
    /// speaks of nothing measured.
    pub fn give(&self, results: &Results) -> Result<RunResult, String> {
        let standard = |path: &Option<PathBuf>| path.as_deref() == Some(Path::new(STANDARD));
        if standard(&self.json) && standard(&self.csv) {
            return Err("--json and --csv: one of them needs a file, like --json=results.json".to_owned());
        }
        if !standard(&self.json) && !standard(&self.csv) {
            print!("{results}");
        }
        for (path, text) in [(&self.json, json(results)?), (&self.csv, csv(results))] {
            match path {
                None => {}
                Some(path) if path == Path::new(STANDARD) => print!("{text}"),
                Some(path) => write(path, text.as_bytes())?,
            }
        }
        let unknown = results.counts.keys().find(|name| !super::condition::is_count(name));
        assert!(unknown.is_none(), "--fail-if does not know the count {unknown:?}");
        if let Some(path) = &self.hdr {
            write(path, &hdr(results)?)?;
        }
        let (mut wrongs, mut violated) = (results.wrongs.clone(), Vec::new());
        for condition in &self.fail_if {
            match condition.judge(results) {
                Ok(lines) => violated.extend(lines),
                Err(why) => wrongs.push(why),
            }
        }
        violated.iter().for_each(|line| eprintln!("lockstep-bench: {line}"));
        if !wrongs.is_empty() {
            return Err(wrongs.join("; "));
        }
        Ok(if violated.is_empty() { RunResult::Passed } else { RunResult::Failed })
    }
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), String> {
    std::fs::write(path, bytes).map_err(|error| format!("writing {}: {error}", path.display()))
}

impl Results {
    /// Writes them as [`Results::read`] reads them.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), String> {
        write(path, json(self)?.as_bytes())
    }

    /// Reads what `--json` wrote.
    ///
    /// # Errors
    /// No such file, another schema, a value that does not belong there.
    pub fn read(path: &Path) -> Result<Self, String> {
        let fails = |error: &dyn std::fmt::Display| format!("reading {}: {error}", path.display());
        let bytes = std::fs::read(path).map_err(|error| fails(&error))?;
        Self::parse(&bytes).map_err(|error| fails(&error))
    }

    /// Reads what `--json` wrote.
    ///
    /// # Errors
    /// Another schema, a value that does not belong there.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let value: Value = serde_json::from_slice(bytes)
            .map_err(|error| format!("{error}; results are what --json=FILE writes"))?;
        match value.get("schema").and_then(Value::as_str) {
            Some(super::SCHEMA) => serde_json::from_value(value).map_err(|error| error.to_string()),
            Some(other) => Err(format!("its schema is {other}, this program reads {}", super::SCHEMA)),
            None => Err(format!("it has no schema; results say {}", super::SCHEMA)),
        }
    }
}

/// The object, and what follows from it for those who do not want to compute: ratios.
pub fn json(results: &Results) -> Result<String, String> {
    let mut value = serde_json::to_value(results).map_err(|error| error.to_string())?;
    value["ratios"] = serde_json::to_value(results.ratios()).map_err(|error| error.to_string())?;
    let text = serde_json::to_string_pretty(&value).map_err(|error| error.to_string())?;
    Ok(text + "\n")
}

/// A field as RFC 4180 has it.
fn field(text: &str) -> String {
    if text.contains([',', '"', '\n']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

/// A line for each figure of each round.
pub fn csv(results: &Results) -> String {
    let mut text = String::from(
        "measure,case,subject,floor,round,figure,value,unit,samples,target,achieved,lost,repaired,marks\r\n",
    );
    let number = |value: Option<f64>| value.map_or_else(String::new, |value| value.to_string());
    for row in &results.rows {
        for (index, round) in (1..).zip(&row.rounds) {
            // Of each round what it has, also what other rounds lack.
            for figure in FIGURES.into_iter().filter(|figure| row.column(figure).iter().any(Option::is_some))
            {
                let unit = serde_json::to_value(row.unit).unwrap_or_default();
                let fields = [
                    field(&results.measure),
                    field(&row.case),
                    field(&row.subject),
                    row.floor.to_string(),
                    index.to_string(),
                    figure.to_owned(),
                    number(round.figures.get(figure).copied()),
                    unit.as_str().unwrap_or_default().to_owned(),
                    round.samples.to_string(),
                    number(round.target),
                    number(round.achieved),
                    round.lost.to_string(),
                    round.repaired.to_string(),
                    field(&round.marks.join("; ")),
                ];
                let _ = write!(text, "{}\r\n", fields.join(","));
            }
        }
    }
    text
}

/// The log that HdrHistogram's tools open: each round an interval, its tag case and subject.
pub fn hdr(results: &Results) -> Result<Vec<u8>, String> {
    let fails = |error: &dyn std::fmt::Debug| format!("writing a HdrHistogram log: {error:?}");
    let Utc(began) = Utc::parse(&results.began)
        .ok_or_else(|| format!("'{}' is no time like 2026-11-21T09:54:56.789Z", results.began))?;
    let began = SystemTime::UNIX_EPOCH + Duration::from_nanos(began);
    let mut bytes = Vec::new();
    let mut serializer = V2DeflateSerializer::new();
    let mut builder = IntervalLogWriterBuilder::new();
    builder
        .add_comment(&format!("lockstep-bench {}: values in nanoseconds", results.measure))
        .with_start_time(began)
        .with_base_time(began)
        .with_max_value_divisor(HDR_DIVISOR);
    let mut log = builder.begin_log_with(&mut bytes, &mut serializer).map_err(|error| fails(&error))?;
    for row in &results.rows {
        // A tag ends at a comma or a space.
        let name = format!("{}/{}", row.case, row.subject).replace([',', ' '], "_");
        for round in &row.rounds {
            let Some(text) = &round.histogram else { continue };
            let latencies = Latencies::decode(text)?;
            let (at, lasts) =
                (Duration::from_secs_f64(round.at_s.max(0.0)), Duration::from_secs_f64(round.seconds));
            let written = log.write_histogram(latencies.histogram(), at, lasts, Tag::new(&name));
            written.map_err(|error| fails(&io::Error::other(format!("{error:?}"))))?;
        }
    }
    Ok(bytes)
}
