//! `lockstep losses`: what was missing at the replicas of this host, why, who repaired it and after how long.
//! It reads their counters files and asks nobody: a replica that hangs or has died tells as much as before.

use crate::cli::shared::operator::{age, short};
use crate::cli::shared::shown::shown;
use clap::Args;
use lockstep_core::engine::counters::CounterKind;
use lockstep_core::engine::durations::Durations;
use lockstep_core::engine::losses::{Cause, LOSS_ROWS, RECENT, SUM_ROWS, loss_label};
use lockstep_daemon::Failure;
use lockstep_daemon::args::ClusterArgs;
use lockstep_daemon::failure::{FAILED, NOT_READY};
use lockstep_io::clock::Clock;
use lockstep_io::counters::CountersReader;
use lockstep_io::private::FileOwners;
use lockstep_wire::{Identity, Nanos};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

/// The version of what `--json` prints.
const SCHEMA: &str = "lockstep.losses/2";

/// The distribution of the times for which holes were open.
const REPAIR_TIMES: &str = "loss_repair_ns";

/// Counters beside the sums that say where something was lost.
const BESIDE: [&str; 3] = ["udp_dropped", "fault_injection_lost", "fault_injection_overflowed"];

/// Flags of `losses`.
#[derive(Args, Debug)]
pub struct LossesArgs {
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// Only this replica; without it all that have run on this host
    #[arg(long, value_name = "N")]
    pub replica: Option<u32>,
    /// A counters file, instead of those that the configuration names
    #[arg(long, value_name = "FILE", conflicts_with = "replica")]
    pub counters: Option<PathBuf>,
    /// Prints JSON
    #[arg(long)]
    pub json: bool,
}

/// Prints them. Exits 4 if no replica has run here.
pub fn run(args: &LossesArgs) -> Result<u8, Failure> {
    let now = Clock::start().now();
    let (files, owners) = files(args)?;
    let mut seen = Vec::new();
    for (name, path) in files {
        match Seen::read(name.clone(), path, &owners, now) {
            Ok(one) => seen.push(one),
            // A file that another user has made hides none of the others.
            Err(failure) if args.counters.is_none() && args.replica.is_none() => {
                eprintln!("{name} is passed over: {failure}");
            }
            Err(failure) => return Err(failure),
        }
    }
    let mut out = std::io::stdout();
    if args.json {
        let rows: Vec<Value> = seen.iter().map(Seen::json).collect();
        writeln!(out, "{}", json!({ "schema": SCHEMA, "replicas": rows }))?;
    } else {
        seen.iter().try_for_each(|seen| seen.text(&mut out))?;
    }
    Ok(0)
}

/// The files to read, each with what it is called: the one that is named, else those of this host; and whose
/// are believed.
fn files(args: &LossesArgs) -> Result<(Vec<(String, PathBuf)>, FileOwners), Failure> {
    if let Some(path) = &args.counters {
        return Ok((vec![(path.display().to_string(), path.clone())], FileOwners::anybody()));
    }
    let config = args.cluster.load(&[])?;
    let owners = config.file_owners();
    let named = |id: u32| format!("replica {id}");
    if let Some(id) = args.replica {
        return Ok((vec![(named(id), config.replica(id)?.counters.clone())], owners));
    }
    let all = config.replicas.iter().map(|replica| (named(replica.id), replica.counters.clone()));
    let here: Vec<_> = all.filter(|(_, path)| path.symlink_metadata().is_ok()).collect();
    if here.is_empty() {
        let paths: Vec<_> =
            config.replicas.iter().map(|replica| replica.counters.display().to_string()).collect();
        let what = format!(
            "no replica of this configuration has run on this host: there is no {}; run this where one runs, or name \
             a file with --counters",
            paths.join(" and no ")
        );
        return Err(Failure::new(NOT_READY, what));
    }
    Ok((here, owners))
}

/// One file, read.
struct Seen {
    name: String,
    pid: u32,
    now: Nanos,
    /// Those of [`SUM_ROWS`] that are numbers, by name.
    sums: BTreeMap<&'static str, u64>,
    /// How long the closed holes were open.
    repairs: Durations,
    beside: [Option<u64>; BESIDE.len()],
    /// Newest first, by the names of [`LOSS_ROWS`].
    recent: Vec<[u64; LOSS_ROWS.len()]>,
}

impl Seen {
    fn read(name: String, path: PathBuf, owners: &FileOwners, now: Nanos) -> Result<Self, Failure> {
        let reader = CountersReader::open_of(&path, owners)?;
        let value = |wanted: &str| reader.value(wanted);
        let known = |wanted: &str| {
            value(wanted).ok_or_else(|| {
                let what = format!(
                    "{} has no {wanted}: it is of another release or of no replica; use that release's `lockstep losses`",
                    path.display()
                );
                Failure::new(FAILED, what)
            })
        };
        let mut sums = BTreeMap::new();
        for row in SUM_ROWS.iter().filter(|row| row.kind != CounterKind::Histogram) {
            sums.insert(row.name, known(row.name)?);
        }
        let mut recent = Vec::new();
        for index in 0..RECENT {
            let mut row = [0; LOSS_ROWS.len()];
            for (cell, field) in row.iter_mut().zip(LOSS_ROWS) {
                *cell = known(&field.labelled(&loss_label(index)).name)?;
            }
            recent.push(row);
        }
        // A loss that never was has no time.
        recent.retain(|row| row[0] != 0);
        let repairs = reader.durations(REPAIR_TIMES).unwrap_or_default();
        Ok(Self { name, pid: reader.pid(), now, sums, repairs, beside: BESIDE.map(value), recent })
    }

    fn sum(&self, name: &str) -> u64 {
        self.sums.get(name).copied().unwrap_or(0)
    }

    fn json(&self) -> Value {
        let mut sums: Map<String, Value> =
            self.sums.iter().map(|(name, sum)| ((*name).to_owned(), (*sum).into())).collect();
        sums.extend(BESIDE.iter().zip(self.beside).map(|(name, sum)| ((*name).to_owned(), sum.into())));
        let recent = self.recent.iter().map(|row| {
            let [at, from, entries, cause, closed, by, took_ns] = *row;
            json!({
                "ago_ns": self.now.saturating_sub(at),
                "from": from,
                "entries": entries,
                "cause": cause_name(cause),
                "closed": closed_name(closed),
                "by": repairer(closed, by),
                "took_ns": took_ns,
            })
        });
        let repairs = json!({
            "count": self.repairs.count(),
            "p50_ns": self.repairs.quantile(500),
            "p99_ns": self.repairs.quantile(990),
        });
        let recent = recent.collect::<Value>();
        json!({ "name": self.name, "pid": self.pid, "sums": sums, "repairs": repairs, "recent": recent })
    }

    fn text(&self, out: &mut impl Write) -> std::io::Result<()> {
        let sum = |name: &str| self.sum(name);
        let (gaps, entries, open) = (sum("loss_gaps"), sum("loss_entries"), sum("loss_open"));
        writeln!(
            out,
            "{}, process {}: {gaps} gaps of {entries} entries in all, {open} open",
            shown(&self.name),
            self.pid
        )?;
        let causes: Vec<_> = Cause::ALL
            .iter()
            .map(|cause| format!("{} {}", cause.name(), sum(&format!("loss_by_{}", cause.name()))))
            .collect();
        writeln!(out, "  why     {}", causes.join(", "))?;
        writeln!(
            out,
            "  closed  repaired by others {}, by the leader {}; came late {}; gone {}",
            sum("loss_repaired_by_others"),
            sum("loss_repaired_by_leader"),
            sum("loss_came_late"),
            sum("loss_gone")
        )?;
        if let (Some(p50), Some(p99)) = (self.repairs.quantile(500), self.repairs.quantile(990)) {
            let [p50, p99, longest] = [p50, p99, sum("loss_repair_max_ns")].map(short);
            writeln!(
                out,
                "  after   half of them within {p50}, 99 of 100 within {p99}, all within {longest}"
            )?;
        }
        let [dropped, lost, overflowed] = self.beside;
        writeln!(out, "  sockets dropped {}", dropped.unwrap_or(0))?;
        let faulty = lost.unwrap_or(0) + overflowed.unwrap_or(0);
        if faulty > 0 {
            writeln!(out, "  lost on purpose (fault injection): {faulty} datagrams, counted above as line")?;
        }
        if !self.recent.is_empty() {
            writeln!(
                out,
                "\n  {:<10}{:>12}{:>9}  {:<8}{:<20}after",
                "ago", "from seq", "entries", "why", "by"
            )?;
        }
        for row in &self.recent {
            let [at, from, entries, cause, closed, by, took_ns] = *row;
            let ago = age(Duration::from_nanos(self.now.saturating_sub(at)));
            let by = repairer(closed, by).unwrap_or_else(|| closed_name(closed).to_owned());
            let why = cause_name(cause);
            writeln!(out, "  {ago:<10}{from:>12}{entries:>9}  {why:<8}{by:<20}{}", short(took_ns))?;
        }
        writeln!(out)
    }
}

fn cause_name(cause: u64) -> &'static str {
    Cause::ALL.get(cause as usize).map_or("?", |cause| cause.name())
}

fn closed_name(closed: u64) -> &'static str {
    ["?", "late", "repaired", "gone"].get(closed as usize).copied().unwrap_or("?")
}

fn repairer(closed: u64, by: u64) -> Option<String> {
    (closed == 2).then(|| Identity::from_packed(by).to_string())
}
