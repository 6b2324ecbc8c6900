//! The counters of processes as metrics of Prometheus: one family for all counters of a name, with base
//! units and the labels of process and counter.
//!
//! Names and suffixes are those of OpenMetrics 1.0: `frames_out_bytes` is `lockstep_frames_out_bytes_total`,
//! `repair_rtt_ns` is `lockstep_repair_rtt_seconds`. A state is a gauge for each of its names, 1 for the
//! present one.

use crate::process::{Process, Value};
use lockstep_core::engine::counters::{CounterKind, Described};
use lockstep_core::engine::durations::Durations;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, LabelSetEncoder, MetricEncoder};
use prometheus_client::encoding::{NoLabelSet, prometheus_text, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};
use std::collections::BTreeMap;
use std::fmt;

/// The upper bounds of a histogram's buckets: powers of two from 1 µs to 17 s, which are bounds of the
/// distribution's classes too.
const BUCKETS: std::ops::RangeInclusive<u32> = 10..=34;

/// The two formats that Prometheus reads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// The format of Prometheus itself, 0.0.4.
    Prometheus,
}

impl Format {
    /// The value of the HTTP header `Content-Type`.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Prometheus => prometheus_text::CONTENT_TYPE,
        }
    }
}

/// All counters of these processes, as metrics.
pub fn metrics(processes: &[Process], format: Format) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    let samples = processes.iter().flat_map(|process| {
        process.rows.iter().map(|(row, value)| (row, Some((process.name.as_str(), value))))
    });
    registry.register_collector(Box::new(Families(Family::collected(samples))));
    let mut out = String::new();
    match format {
        Format::OpenMetrics => text::encode(&mut out, &registry)?,
        Format::Prometheus => prometheus_text::encode(&mut out, &registry)?,
    }
    Ok(out)
}

/// Labels of a sample.
type Labels = Vec<(String, String)>;

/// The labels of a counter, without its process's name.
fn labels_of(row: &Described) -> Labels {
    let label = |label: &str| {
        let (name, value) = label.split_once('=')?;
        Some((name.to_owned(), value.trim_matches('"').to_owned()))
    };
    row.parts().1.split(',').filter_map(label).collect()
}

struct LabelSet<'a>(&'a Labels);

impl EncodeLabelSet for LabelSet<'_> {
    fn encode(&self, encoder: &mut LabelSetEncoder) -> fmt::Result {
        self.0.encode(encoder)
    }
}

/// A metric: all counters of a name.
#[derive(Clone, PartialEq, Debug)]
pub struct Family {
    /// Its name in Prometheus, without the suffixes of unit and kind.
    pub name: String,
    /// Its kind.
    pub kind: CounterKind,
    /// `ns`, `B`, or nothing; the names of a state.
    pub unit: String,
    /// Its description.
    pub help: String,
    /// The labels of its counters.
    pub label_names: Vec<String>,
    samples: Vec<(Labels, Value)>,
}

/// See the module.
#[derive(Debug)]
struct Families(Vec<Family>);

impl Family {
    /// The family of a counter, without samples; `None` for a field of a record.
    fn of(row: &Described) -> Option<Self> {
        if row.kind == CounterKind::Field {
            return None;
        }
        let name = row.parts().0.replace(['-', '.'], "_");
        let name = name.strip_suffix("_ns").or_else(|| name.strip_suffix("_bytes")).unwrap_or(&name);
        Some(Self {
            name: format!("lockstep_{name}"),
            kind: row.kind,
            unit: row.unit.to_string(),
            help: row.meaning.to_string(),
            label_names: Vec::new(),
            samples: Vec::new(),
        })
    }

    /// The name under which Prometheus stores it.
    pub fn stored_name(&self) -> String {
        let unit = self.unit().map_or_else(String::new, |unit| format!("_{}", unit.as_str()));
        let total = if self.kind == CounterKind::Count { "_total" } else { "" };
        format!("{}{unit}{total}", self.name)
    }

    /// The families of these counters, in the order of their first ones.
    pub fn all<'a>(rows: impl IntoIterator<Item = &'a Described>) -> Vec<Self> {
        Self::collected(rows.into_iter().map(|row| (row, None)))
    }

    /// The same families, with a sample of each counter that has one: its process and its value. Counters of
    /// one name with labels of their own may have different meanings: then the family's help is the text
    /// before the colon.
    fn collected<'a>(
        rows: impl IntoIterator<Item = (&'a Described, Option<(&'a str, &'a Value)>)>,
    ) -> Vec<Self> {
        let mut families: Vec<Self> = Vec::new();
        let mut places = BTreeMap::new();
        for (row, sample) in rows {
            let Some(new) = Self::of(row) else { continue };
            let place = *places.entry(new.stored_name()).or_insert(families.len());
            if place == families.len() {
                families.push(new);
            }
            families[place].add(row, sample);
        }
        families
    }

    /// One more counter of this name.
    fn add(&mut self, row: &Described, sample: Option<(&str, &Value)>) {
        if self.help != row.meaning {
            let common = self.help.split_once(": ").map_or(&*self.help, |(common, _)| common);
            self.help = format!("{}.", common.trim_end_matches('.'));
        }
        let labels = labels_of(row);
        for (label, _) in &labels {
            if !self.label_names.contains(label) {
                self.label_names.push(label.clone());
            }
        }
        if let Some((process, value)) = sample {
            let process = ("process".to_owned(), process.to_owned());
            self.samples.push(([process].into_iter().chain(labels).collect(), value.clone()));
        }
    }

    fn unit(&self) -> Option<Unit> {
        match self.unit.as_str() {
            "ns" => Some(Unit::Seconds),
            "B" => Some(Unit::Bytes),
            _ => None,
        }
    }

    /// A number in the unit of the metric.
    fn in_unit(&self, number: u64) -> f64 {
        if self.unit == "ns" { seconds(number) } else { number as f64 }
    }

    fn encode(&self, encoder: &mut DescriptorEncoder) -> fmt::Result {
        let kind = match self.kind {
            CounterKind::Count => MetricType::Counter,
            CounterKind::Histogram => MetricType::Histogram,
            CounterKind::Gauge | CounterKind::State | CounterKind::Field => MetricType::Gauge,
        };
        let unit = self.unit();
        let mut metric = encoder.encode_descriptor(&self.name, &self.help, unit.as_ref(), kind)?;
        for (labels, value) in &self.samples {
            self.encode_sample(&mut metric, labels, value)?;
        }
        Ok(())
    }

    fn encode_sample(&self, metric: &mut MetricEncoder, labels: &Labels, value: &Value) -> fmt::Result {
        if self.kind == CounterKind::State {
            let label = self.name.trim_start_matches("lockstep_");
            for (index, state) in self.unit.split('|').enumerate() {
                let mut labels = labels.clone();
                labels.push((label.to_owned(), state.to_owned()));
                let is_present = index as u64 == value.number();
                metric.encode_family(&LabelSet(&labels))?.encode_gauge(&i64::from(is_present))?;
            }
            return Ok(());
        }
        let labels = LabelSet(labels);
        let mut sample = metric.encode_family(&labels)?;
        match value {
            Value::Durations(durations) => {
                let buckets = buckets(durations);
                sample.encode_histogram::<NoLabelSet>(
                    seconds(durations.sum()),
                    durations.count(),
                    &buckets,
                    None,
                )
            }
            Value::Number(number) if self.kind == CounterKind::Count && self.unit().is_none() => {
                sample.encode_counter::<NoLabelSet, _, u64>(number, None)
            }
            Value::Number(number) if self.kind == CounterKind::Count => {
                sample.encode_counter::<NoLabelSet, _, u64>(&self.in_unit(*number), None)
            }
            Value::Number(number) => sample.encode_gauge(&self.in_unit(*number)),
        }
    }
}

fn seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}

/// The classic buckets, each with its own count: the library adds them up.
fn buckets(durations: &Durations) -> Vec<(f64, u64)> {
    let mut below = 0;
    let mut buckets: Vec<(f64, u64)> = BUCKETS
        .map(|power| {
            let up_to = durations.up_to((1 << power) - 1);
            (seconds(1 << power), up_to - std::mem::replace(&mut below, up_to))
        })
        .collect();
    buckets.push((f64::INFINITY, durations.count() - below));
    buckets
}

impl Collector for Families {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        self.0.iter().try_for_each(|family| family.encode(&mut encoder))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::Life;
    use lockstep_core::engine::counters::CounterRow;

    fn process(name: &str, rows: &[(CounterRow, u64)]) -> Process {
        Process::of_rows(("replica", name), Life::Runs, rows.iter().copied())
    }

    fn text_of(processes: Vec<Process>) -> String {
        metrics(&processes, Format::OpenMetrics).expect("text")
    }

    #[test]
    fn each_metric_stands_once_with_help_unit_and_type_before_the_samples_of_all_processes() {
        let bytes = CounterRow::count("frames_out_bytes", "Bytes of frames sent.");
        let text = text_of(vec![process("replica-1", &[(bytes, 7)]), process("replica-2", &[(bytes, 9)])]);
        assert_eq!(
            text,
            "# HELP lockstep_frames_out_bytes Bytes of frames sent.\n\
             # TYPE lockstep_frames_out_bytes counter\n\
             # UNIT lockstep_frames_out_bytes bytes\n\
             lockstep_frames_out_bytes_total{process=\"replica-1\"} 7.0\n\
             lockstep_frames_out_bytes_total{process=\"replica-2\"} 9.0\n\
             # EOF\n"
        );
    }

    #[test]
    fn a_count_and_its_bytes_are_two_metrics() {
        let frames = CounterRow::count("frames_out", "Frames sent.");
        let bytes = CounterRow::count("frames_out_bytes", "Bytes of frames sent.");
        let text = text_of(vec![process("r", &[(frames, 1), (bytes, 70)])]);
        assert!(text.contains("lockstep_frames_out_total{process=\"r\"} 1\n"), "{text}");
        assert!(text.contains("lockstep_frames_out_bytes_total{process=\"r\"} 70"), "{text}");
    }

    #[test]
    fn a_state_is_1_at_its_present_name_and_times_are_seconds() {
        let role = CounterRow::state("role", "standby|leader", "The role.");
        let rtt = CounterRow::gauge("repair_rtt_ns", "Time.");
        let text = text_of(vec![process("r", &[(role, 1), (rtt, 1_500)])]);
        for line in [
            "lockstep_role{process=\"r\",role=\"standby\"} 0\n",
            "lockstep_role{process=\"r\",role=\"leader\"} 1\n",
            "lockstep_repair_rtt_seconds{process=\"r\"} 0.0000015\n",
        ] {
            assert!(text.contains(line), "{line}{text}");
        }
    }

    #[test]
    fn labels_of_a_counter_follow_the_process_and_the_help_is_what_all_have_in_common() {
        let short = CounterRow::count("rejected{reason=\"short\"}", "Datagrams refused: too short.");
        let magic = CounterRow::count("rejected{reason=\"magic\"}", "Datagrams refused: not ours.");
        let text = text_of(vec![process("r", &[(short, 1), (magic, 2)])]);
        assert!(text.starts_with("# HELP lockstep_rejected Datagrams refused.\n"), "{text}");
        assert!(text.contains("lockstep_rejected_total{process=\"r\",reason=\"magic\"} 2\n"), "{text}");
    }

    #[test]
    fn buckets_of_a_histogram_rise_to_the_count() {
        let mut durations = Durations::default();
        [500, 1_500, 3_000_000, 100_000_000_000].into_iter().for_each(|ns| durations.add(ns));
        let mut process = process("r", &[]);
        let row = Described::from(CounterRow::histogram("stall_ns", "Stalls."));
        process.rows.push((row, Value::Durations(Box::new(durations))));
        let text = text_of(vec![process]);
        for line in [
            "# TYPE lockstep_stall_seconds histogram\n",
            "lockstep_stall_seconds_sum{process=\"r\"} 100.003002\n",
            "lockstep_stall_seconds_count{process=\"r\"} 4\n",
            "lockstep_stall_seconds_bucket{le=\"0.000001024\",process=\"r\"} 1\n",
            "lockstep_stall_seconds_bucket{le=\"0.000002048\",process=\"r\"} 2\n",
            "lockstep_stall_seconds_bucket{le=\"17.179869184\",process=\"r\"} 3\n",
            "lockstep_stall_seconds_bucket{le=\"+Inf\",process=\"r\"} 4\n",
        ] {
            assert!(text.contains(line), "{line}{text}");
        }
    }
}
