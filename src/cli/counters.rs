//! `lockstep counters`: everything that the processes of this host count, by group, with unit and meaning. It
//! reads their counters files and asks nobody: a process that hangs or has died tells as much as before.

use super::Failure;
use super::args::ClusterArgs;
use super::counted::{Described, describe};
use super::failure::{NOT_READY, USAGE};
use super::operator::age;
use crate::config::Config;
use clap::Args;
use lockstep_io::clock::Clock;
use lockstep_io::counters::CountersReader;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The version of what `--json` prints.
const SCHEMA: &str = "lockstep.counters/1";

/// Flags of `counters`.
#[derive(Args, Debug)]
pub struct CountersArgs {
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// Only processes whose name contains this, like `replica-1` or `gateway`; without it all of this host
    #[arg(value_name = "PROCESS")]
    pub process: Option<String>,
    /// Only this group, like `engine` or `losses`
    #[arg(long, value_name = "GROUP")]
    pub group: Option<String>,
    /// Also what is 0
    #[arg(long)]
    pub all: bool,
    /// A counters file, instead of those of the configuration
    #[arg(long, value_name = "FILE")]
    pub counters: Option<PathBuf>,
    /// Prints JSON
    #[arg(long, conflicts_with = "prometheus")]
    pub json: bool,
    /// Prints the text that Prometheus reads; for the textfile collector of its node exporter
    #[arg(long)]
    pub prometheus: bool,
}

/// A process, and what it has counted.
struct Process {
    name: String,
    pid: u32,
    lives: bool,
    age: Duration,
    rows: Vec<(String, u64, Described)>,
}

/// Prints them. Exits 4 if no process of this cluster has run here.
pub fn run(args: &CountersArgs) -> Result<u8, Failure> {
    let files = match &args.counters {
        Some(path) => vec![(path.display().to_string(), path.clone())],
        None => files(&args.cluster.load(&[])?, args.process.as_deref())?,
    };
    let mut seen = Vec::new();
    for (name, path) in files {
        seen.push(Process::read(name, &path)?);
    }
    if let Some(wanted) = &args.group {
        let groups: BTreeMap<_, ()> =
            seen.iter().flat_map(|process| &process.rows).map(|row| (row.2.group.clone(), ())).collect();
        if !groups.contains_key(wanted) {
            let known: Vec<_> = groups.into_keys().collect();
            let what = format!("--group {wanted}: there is no such group; there are {}", known.join("; "));
            return Err(Failure::new(USAGE, what));
        }
        seen.iter_mut().for_each(|process| process.rows.retain(|row| row.2.group == *wanted));
    }
    if !args.all {
        seen.iter_mut().for_each(|process| process.rows.retain(|row| row.1 != 0));
    }
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    if args.json {
        let rows: Vec<Value> = seen.iter().map(Process::json).collect();
        writeln!(out, "{}", json!({ "schema": SCHEMA, "processes": rows }))?;
    } else if args.prometheus {
        write!(out, "{}", prometheus(&seen))?;
    } else {
        seen.iter().try_for_each(|process| process.text(&mut out))?;
    }
    out.flush()?;
    Ok(0)
}

/// The files of this host's processes, each with the process's name: those that the configuration names, and
/// those beside them of the same cluster.
fn files(config: &Config, wanted: Option<&str>) -> Result<Vec<(String, PathBuf)>, Failure> {
    let replicas =
        config.replicas.iter().map(|replica| (format!("replica-{}", replica.id), &replica.counters));
    let archivers = config.archivers.iter();
    let archivers = archivers.map(|archiver| (format!("archiver-{}", archiver.id), &archiver.counters));
    let named: Vec<(String, PathBuf)> =
        replicas.chain(archivers).map(|(name, path)| (name, path.clone())).collect();
    let folder = config.counters_folder();
    let prefix = format!("lockstep-{}-", config.cluster);
    let process = |path: &Path| {
        let file = path.file_name()?.to_str()?;
        Some(file.strip_prefix(&prefix)?.strip_suffix(".counters")?.to_owned())
    };
    let beside = std::fs::read_dir(&folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut beside: Vec<(String, PathBuf)> = beside
        .filter(|path| named.iter().all(|(_, known)| known != path))
        .filter_map(|path| Some((process(&path)?, path)))
        .collect();
    beside.sort();
    let (all, paths): (Vec<_>, Vec<String>) = (
        named.iter().filter(|(_, path)| path.exists()).cloned().chain(beside).collect(),
        named.iter().map(|(_, path)| path.display().to_string()).collect(),
    );
    if all.is_empty() {
        let what = format!(
            "no process of this configuration has run on this host: there is no {}, and in {} no {prefix}….counters; run \
             this where one runs, or name a file with --counters",
            paths.join(" and no "),
            folder.display()
        );
        return Err(Failure::new(NOT_READY, what));
    }
    let Some(wanted) = wanted else { return Ok(all) };
    let (chosen, others): (Vec<_>, Vec<_>) = all.into_iter().partition(|(name, _)| name.contains(wanted));
    if chosen.is_empty() {
        let names: Vec<_> = others.into_iter().map(|(name, _)| name).collect();
        let what = format!("no process here is called '{wanted}'; there are {}", names.join(", "));
        return Err(Failure::new(USAGE, what));
    }
    Ok(chosen)
}

impl Process {
    fn read(name: String, path: &Path) -> Result<Self, Failure> {
        let reader = CountersReader::open(path)?;
        let (pid, clock) = (reader.pid(), Clock::start());
        let age = Duration::from_nanos(clock.wall(clock.now()).saturating_sub(reader.started_at()));
        let rows = reader.names().iter().zip(reader.values());
        let rows = rows.map(|(name, value)| (name.clone(), value, describe(name))).collect();
        // Another process may have its number by now: then it seems to live.
        let lives = Path::new("/proc").join(pid.to_string()).exists();
        Ok(Self { name, pid, lives, age, rows })
    }

    fn json(&self) -> Value {
        let row = |(name, value, described): &(String, u64, Described)| {
            json!({
                "name": name,
                "value": value,
                "group": described.group,
                "unit": described.unit,
                "kind": if described.is_gauge { "gauge" } else { "counter" },
                "meaning": described.meaning,
            })
        };
        json!({
            "process": self.name,
            "pid": self.pid,
            "lives": self.lives,
            "since_ns": self.age.as_nanos() as u64,
            "counters": self.rows.iter().map(row).collect::<Vec<_>>(),
        })
    }

    fn text(&self, out: &mut impl Write) -> std::io::Result<()> {
        let lives = if self.lives { "" } else { ", which has ended" };
        writeln!(out, "{}: process {}{lives}, began {} ago", self.name, self.pid, age(self.age))?;
        if self.rows.is_empty() {
            writeln!(out, "  nothing was counted")?;
        }
        let wide = self.rows.iter().map(|(name, ..)| name.len()).max().unwrap_or(0);
        let mut group = "";
        for (name, value, described) in &self.rows {
            if described.group != group {
                group = &described.group;
                writeln!(out, "  {group}")?;
            }
            let Described { unit, meaning, .. } = described;
            writeln!(out, "    {name:<wide$} {value:>20} {unit:<2} {meaning}")?;
        }
        writeln!(out)
    }
}

/// The counters that are the classes of one histogram in Prometheus, with their upper bounds in seconds.
const REPAIR_CLASSES: [(&str, &str); 5] = [
    ("loss_repair_100us", "0.0001"),
    ("loss_repair_1ms", "0.001"),
    ("loss_repair_10ms", "0.01"),
    ("loss_repair_100ms", "0.1"),
    ("loss_repair_longer", "+Inf"),
];
/// The counter that is its sum.
const REPAIR_SUM: &str = "loss_repair_ns";

/// The text format of Prometheus, version 0.0.4: all samples of one metric stand together, behind its help
/// and type. Names have its conventions: `_total` for counters, seconds for times, buckets for a histogram.
fn prometheus(seen: &[Process]) -> String {
    let mut metrics: BTreeMap<String, (String, Vec<String>)> = BTreeMap::new();
    let mut add = |metric: &str, kind: &str, help: &str, samples: String| {
        let help = help.replace('\\', "\\\\").replace('\n', " ");
        let head = || format!("# HELP {metric} {help}\n# TYPE {metric} {kind}\n");
        metrics.entry(metric.to_owned()).or_insert_with(|| (head(), Vec::new())).1.push(samples);
    };
    for process in seen {
        let label = process.name.replace('\\', "\\\\").replace('"', "\\\"");
        for (name, value, described) in &process.rows {
            if name == REPAIR_SUM || REPAIR_CLASSES.iter().any(|(class, _)| class == name) {
                continue;
            }
            let (metric, value) = prometheus_sample(name, *value, described.is_gauge);
            let kind = if described.is_gauge { "gauge" } else { "counter" };
            let sample = format!("{metric}{{process=\"{label}\"}} {value}\n");
            add(&metric, kind, &described.meaning, sample);
        }
        if let Some(samples) = repair_times(process, &label) {
            add(REPAIR_TIMES, "histogram", "Time from a loss to its repair.", samples);
        }
    }
    metrics.into_values().map(|(head, samples)| head + &samples.concat()).collect()
}

/// A counter's name and value by the conventions of Prometheus.
fn prometheus_sample(name: &str, value: u64, is_gauge: bool) -> (String, String) {
    let name = name.replace(['-', '.'], "_");
    let total = if is_gauge { "" } else { "_total" };
    let time = ["_ns_max", "_ns"].iter().find_map(|unit| Some((name.strip_suffix(unit)?, &unit[3..])));
    match time {
        Some((name, max)) => {
            (format!("lockstep_{name}_seconds{max}{total}"), (value as f64 / 1e9).to_string())
        }
        None => (format!("lockstep_{name}{total}"), value.to_string()),
    }
}

const REPAIR_TIMES: &str = "lockstep_loss_repair_seconds";

/// The samples of the histogram of repair times; `None` of a process that counts none.
fn repair_times(process: &Process, label: &str) -> Option<String> {
    let value = |wanted: &str| process.rows.iter().find(|(name, ..)| name == wanted).map(|row| row.1);
    let sum = value(REPAIR_SUM)?;
    let mut count = 0;
    let mut samples = String::new();
    for (name, bound) in REPAIR_CLASSES {
        count += value(name)?;
        samples += &format!("{REPAIR_TIMES}_bucket{{process=\"{label}\",le=\"{bound}\"}} {count}\n");
    }
    samples += &format!("{REPAIR_TIMES}_sum{{process=\"{label}\"}} {}\n", sum as f64 / 1e9);
    samples += &format!("{REPAIR_TIMES}_count{{process=\"{label}\"}} {count}\n");
    Some(samples)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prometheus_text_has_each_metric_once_with_its_type() {
        let row = |name: &str, value| (name.to_owned(), value, describe(name));
        let process = |name: &str, rows| Process {
            name: name.to_owned(),
            pid: 1,
            lives: true,
            age: Duration::ZERO,
            rows,
        };
        let seen = [
            process("replica-1", vec![row("frames_out_bytes", 7), row("condition_disk_full", 1)]),
            process("replica-2", vec![row("frames_out_bytes", 9)]),
        ];
        let text = prometheus(&seen);
        assert!(
            text.contains(
                "# HELP lockstep_frames_out_bytes_total Bytes of frames sent to the data group.\n\
                 # TYPE lockstep_frames_out_bytes_total counter\n\
                 lockstep_frames_out_bytes_total{process=\"replica-1\"} 7\n\
                 lockstep_frames_out_bytes_total{process=\"replica-2\"} 9\n"
            ),
            "{text}"
        );
        assert!(text.contains("# TYPE lockstep_condition_disk_full gauge\n"), "{text}");
        assert_eq!(text.matches("# HELP").count(), 2);
    }

    #[test]
    fn prometheus_has_times_in_seconds_and_repair_times_as_buckets() {
        let mut rows: Vec<_> = [("repair_rtt_ns", 1_500), ("loss_repair_ns", 2_000_000_000)].to_vec();
        rows.extend(REPAIR_CLASSES.iter().zip(1..).map(|((name, _), count)| (*name, count)));
        let rows = rows.into_iter().map(|(name, value)| (name.to_owned(), value, describe(name))).collect();
        let process = Process { name: "r".to_owned(), pid: 1, lives: true, age: Duration::ZERO, rows };
        let text = prometheus(&[process]);
        assert!(text.contains("lockstep_repair_rtt_seconds{process=\"r\"} 0.0000015\n"), "{text}");
        let expected = "# TYPE lockstep_loss_repair_seconds histogram\n\
                        lockstep_loss_repair_seconds_bucket{process=\"r\",le=\"0.0001\"} 1\n\
                        lockstep_loss_repair_seconds_bucket{process=\"r\",le=\"0.001\"} 3\n\
                        lockstep_loss_repair_seconds_bucket{process=\"r\",le=\"0.01\"} 6\n\
                        lockstep_loss_repair_seconds_bucket{process=\"r\",le=\"0.1\"} 10\n\
                        lockstep_loss_repair_seconds_bucket{process=\"r\",le=\"+Inf\"} 15\n\
                        lockstep_loss_repair_seconds_sum{process=\"r\"} 2\n\
                        lockstep_loss_repair_seconds_count{process=\"r\"} 15\n";
        assert!(text.contains(expected), "{text}");
    }
}
