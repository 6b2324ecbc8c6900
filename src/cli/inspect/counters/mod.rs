//! `lockstep counters`: everything that the processes of this host count, by group, with unit and meaning. It
//! reads their counters files and asks nobody: a process that hangs or has died tells as much as before.

use crate::cli::shared::counter_files::sound;
use crate::cli::shared::operator::{age, pause, short};
use crate::cli::shared::shown::shown;
use clap::Args;
use lockstep_core::engine::counters::CounterKind;
use lockstep_core::engine::durations::Durations;
use lockstep_daemon::Failure;
use lockstep_daemon::args::ClusterArgs;
use lockstep_daemon::failure::USAGE;
use lockstep_io::clock::Utc;
use lockstep_io::counters::CountersReader;
use lockstep_io::private::FileOwners;
use lockstep_metrics::{Format, Life, Process, Value, metrics, state_of};
use lockstep_operations::processes::{self, files};
use lockstep_operations::top::ProcessLine;
use lockstep_operations::top::counted::{counted_since, group, process_line};
use serde_json::json;
use std::collections::BTreeSet;
use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// The version of what `--json` prints.
const SCHEMA: &str = "lockstep.counters/2";

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
    /// Counts for so long, and prints rates beside the values; times are those of this interval
    #[arg(long, value_name = "DURATION", num_args = 0..=1, require_equals = true, default_missing_value = "1s",
          value_parser = lockstep_daemon::config::duration)]
    pub rates: Option<Duration>,
    /// Prints JSON
    #[arg(long, conflicts_with = "prometheus")]
    pub json: bool,
    /// Prints the text that Prometheus reads; for the textfile collector of its node exporter
    #[arg(long, conflicts_with = "rates")]
    pub prometheus: bool,
}

/// A process as it is printed.
struct Seen {
    process: Process,
    /// What was counted in the interval, and how long that was.
    counted: Option<(Vec<Value>, Duration)>,
}

/// Prints them. Exits 4 if no process of this cluster has run here.
pub fn run(args: &CountersArgs) -> Result<u8, Failure> {
    let config = args.counters.is_none().then(|| args.cluster.load(&[])).transpose()?;
    let files = config.as_ref().map(|config| files(config, args.process.as_deref())).transpose()?;
    let read = || -> Result<Vec<Process>, Failure> {
        match (&args.counters, &config, &files) {
            (None, Some(config), Some(files)) => {
                let sound = sound(processes::read(config, files.clone()))?;
                Ok(sound.into_iter().map(|(process, _)| process).collect())
            }
            (path, ..) => {
                let path = path.as_ref().expect("a file is named, or a configuration is read");
                let reader = CountersReader::open_of(path, &FileOwners::anybody())?;
                Ok(vec![Process::of(&path.display().to_string(), &reader)])
            }
        }
    };
    let before = args.rates.map(|interval| -> Result<_, Failure> {
        let (before, began) = (read()?, Instant::now());
        pause(interval);
        Ok((before, began))
    });
    let before = before.transpose()?;
    let mut processes = read()?;
    if let Some(wanted) = &args.group {
        only_group(&mut processes, wanted)?;
    }
    if !args.all {
        processes.iter_mut().for_each(|process| process.rows.retain(|(_, value)| value.number() != 0));
    }
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    if args.prometheus {
        let text = metrics(&processes, Format::Prometheus).map_err(std::io::Error::other)?;
        out.write_all(text.as_bytes())?;
        out.flush()?;
        return Ok(0);
    }
    let seen: Vec<Seen> = processes
        .into_iter()
        .map(|process| {
            let counted = before.as_ref().and_then(|(before, began)| {
                let before = before.iter().find(|other| other.name == process.name)?;
                Some((counted_since(&process, before), began.elapsed()))
            });
            Seen { process, counted }
        })
        .collect();
    if args.json {
        let rows: Vec<_> = seen.iter().map(Seen::json).collect();
        writeln!(out, "{}", json!({ "schema": SCHEMA, "processes": rows }))?;
    } else {
        seen.iter().try_for_each(|seen| seen.text(&mut out))?;
    }
    out.flush()?;
    Ok(0)
}

fn only_group(processes: &mut [Process], wanted: &str) -> Result<(), Failure> {
    let rows = |process: &Process| -> Vec<String> {
        process.rows.iter().map(|(row, _)| group(process, row)).collect()
    };
    let groups: BTreeSet<String> = processes.iter().flat_map(rows).collect();
    if !groups.contains(wanted) {
        let known = groups.into_iter().collect::<Vec<_>>().join("; ");
        return Err(Failure::new(
            USAGE,
            format!("--group {wanted}: there is no such group; there are {known}"),
        ));
    }
    for process in processes {
        let groups = rows(process);
        let mut groups = groups.iter();
        process.rows.retain(|_| groups.next().is_some_and(|group| group == wanted));
    }
    Ok(())
}

/// Some quantiles of a distribution, in words.
fn quantiles(durations: &Durations) -> String {
    match [500, 990, 1_000].map(|per_mille| durations.quantile(per_mille)) {
        [Some(p50), Some(p99), Some(longest)] => {
            let [p50, p99, longest] = [p50, p99, longest].map(short);
            format!("p50 {p50}, p99 {p99}, longest {longest}")
        }
        _ => "none in this time".to_owned(),
    }
}

impl Seen {
    fn json(&self) -> ProcessLine {
        let counted = self.counted.as_ref();
        let rates = counted.map(|(counted, took)| (&**counted, *took));
        process_line(&self.process, rates, counted.map(|(counted, _)| &**counted))
    }

    fn text(&self, out: &mut impl Write) -> std::io::Result<()> {
        let process = &self.process;
        let life = match process.life {
            Life::Runs => String::new(),
            Life::Hangs(silent) => format!(", which has counted nothing for {}", age(silent)),
            Life::Ended(ago) => format!(", which ended {} ago", age(ago)),
        };
        // What processes write into their files is shown, and not obeyed.
        let Process { pid, .. } = process;
        let (name, release) = (shown(&process.name), shown(&process.release));
        writeln!(out, "{name}: process {pid}{life}, release {release}, began {} ago", age(process.age))?;
        if process.rows.is_empty() {
            writeln!(out, "  nothing was counted")?;
        }
        let wide = process.rows.iter().map(|(row, _)| row.name.len()).max().unwrap_or(0);
        let mut present = String::new();
        for (index, (row, value)) in process.rows.iter().enumerate() {
            let group = group(process, row);
            if group != present {
                writeln!(out, "  {}", shown(&group))?;
                present = group;
            }
            let mut counted_text = match row.kind {
                CounterKind::State => format!("{:>20}", shown(state_of(row, value))),
                CounterKind::Gauge if row.name.ends_with("_time_ns") && value.number() > 0 => {
                    format!("{:.19}Z", Utc(value.number()).to_string())
                }
                _ => format!("{:>20}", value.number()),
            };
            let counted = self.counted.as_ref().map(|(counted, took)| (&counted[index], took));
            if let Some((counted, took)) = counted {
                let rate = counted.number() as f64 / took.as_secs_f64();
                counted_text += &match row.kind {
                    CounterKind::Count | CounterKind::Histogram => format!(" {rate:>14.0}/s"),
                    _ => " ".repeat(17),
                };
            }
            let unit = if row.kind == CounterKind::State { "" } else { &row.unit };
            write!(out, "    {:<wide$} {counted_text} {:<2} ", shown(&row.name), shown(unit))?;
            match counted.map_or(value, |(counted, _)| counted) {
                Value::Durations(durations) => {
                    writeln!(out, "{}: {}", quantiles(durations), shown(&row.meaning))?
                }
                Value::Number(_) => writeln!(out, "{}", shown(&row.meaning))?,
            }
        }
        writeln!(out)
    }
}
