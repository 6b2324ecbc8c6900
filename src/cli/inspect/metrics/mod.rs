//! Metrics: `lockstep metrics list`, and the page of a daemon that Prometheus reads.
//!
//! The tables in the code from which counters files are made are the one source of both, and of
//! `docs/METRICS.md`.

use clap::{Args, Subcommand, ValueEnum};
use lockstep_client::internal::{handle_counters, participant_counters};
use lockstep_core::engine::counters::{CounterKind, CounterRow, Described};
use lockstep_daemon::Failure;
use lockstep_daemon::expiry::{CERTIFICATE_EXPIRY, KEY_EXPIRY};
use lockstep_gateway::feed::FeedCounts;
use lockstep_gateway::gateway::core::GatewayCounts;
use lockstep_io::output::DROPPED_ROW;
use lockstep_metrics::Family;
use serde_json::json;
use std::collections::BTreeSet;
use std::io::Write;

/// The version of what `--format json` prints.
const SCHEMA: &str = "lockstep.metrics/1";

/// Kinds of daemons with metrics.
const DAEMONS: usize = 5;

/// Flags of `metrics`.
#[derive(Args, Debug)]
pub struct MetricsArgs {
    #[command(subcommand)]
    command: MetricsCommand,
}

#[derive(Subcommand, Debug)]
enum MetricsCommand {
    /// Every metric of every daemon: name, type, unit, meaning
    List {
        /// How it is printed
        #[arg(long, value_name = "FORMAT", default_value = "text")]
        format: ListFormat,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum, Debug)]
enum ListFormat {
    Text,
    Json,
    Markdown,
}

/// Prints them.
pub fn run(args: &MetricsArgs) -> Result<u8, Failure> {
    let MetricsCommand::List { format } = args.command;
    let text = match format {
        ListFormat::Text => text(),
        ListFormat::Json => format!("{}\n", as_json()),
        ListFormat::Markdown => markdown(),
    };
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(0)
}

/// The daemons with metrics, and the counters of each.
fn daemons() -> [(&'static str, Vec<Described>); DAEMONS] {
    let key_expiry = || Described::from(KEY_EXPIRY);
    let own = |rows: &[CounterRow], has_publisher| {
        let own = rows.iter().map(|row| Described::from(*row));
        own.chain(handle_counters(has_publisher, true))
            .chain([Described::from(DROPPED_ROW), key_expiry()])
            .collect()
    };
    let of_nodes = lockstep_node::counters().into_iter().chain([key_expiry()]).collect();
    let mut of_gateways: Vec<_> = own(GatewayCounts::ROWS, true);
    of_gateways.push(Described::from(CERTIFICATE_EXPIRY));
    let of_coordinators = lockstep_daemon::coordinator::counters(&["orders"]).into_iter();
    let of_coordinators =
        of_coordinators.chain(participant_counters()).chain([Described::from(DROPPED_ROW), key_expiry()]);
    [
        ("replicas and archivers", of_nodes),
        ("gateways", of_gateways),
        ("feeds", own(FeedCounts::ROWS, false)),
        ("notaries", own(lockstep_daemon::notary::NotaryCounts::ROWS, true)),
        ("coordinators", of_coordinators.collect()),
    ]
}

/// A metric, and the daemons that have it.
fn all() -> Vec<(Family, Vec<&'static str>)> {
    let daemons = daemons();
    let families = Family::all(daemons.iter().flat_map(|(_, rows)| rows));
    let names = daemons.each_ref().map(|(daemon, rows)| {
        (*daemon, Family::all(rows).iter().map(Family::stored_name).collect::<BTreeSet<_>>())
    });
    let of = |family: Family| {
        let has = |(daemon, names): &(&'static str, BTreeSet<_>)| {
            names.contains(&family.stored_name()).then_some(*daemon)
        };
        let of = names.iter().filter_map(has).collect();
        (family, of)
    };
    families.into_iter().map(of).collect()
}

/// The unit in words; the names of a state.
fn unit(family: &Family) -> &str {
    match &*family.unit {
        "ns" => "seconds",
        "B" => "bytes",
        other => other,
    }
}

fn kind(family: &Family) -> &'static str {
    match family.kind {
        CounterKind::State => CounterKind::Gauge.name(),
        kind => kind.name(),
    }
}

fn text() -> String {
    let all = all();
    let wide = all.iter().map(|(family, _)| family.stored_name().len()).max().unwrap_or(0);
    let line = |(family, _): &(Family, Vec<_>)| {
        format!("{:<wide$} {:<9} {:<8} {}\n", family.stored_name(), kind(family), unit(family), family.help)
    };
    all.iter().map(line).collect()
}

fn as_json() -> serde_json::Value {
    let rows: Vec<_> = all()
        .iter()
        .map(|(family, of)| {
            json!({
                "name": family.stored_name(),
                "type": kind(family),
                "unit": unit(family),
                "help": family.help,
                "labels": family.label_names,
                "of": of,
            })
        })
        .collect();
    json!({ "schema": SCHEMA, "metrics": rows })
}

/// The table of `docs/METRICS.md`.
fn markdown() -> String {
    let mut out = String::from(
        "| metric | type | unit | labels beside `process` | of | meaning |\n|---|---|---|---|---|---|\n",
    );
    for (family, of) in all() {
        let labels =
            family.label_names.iter().map(|label| format!("`{label}`")).collect::<Vec<_>>().join(", ");
        let of = if of.len() == DAEMONS { "all".to_owned() } else { of.join(", ") };
        let unit = unit(&family).replace('|', ", ");
        out += &format!(
            "| `{}` | {} | {unit} | {labels} | {of} | {} |\n",
            family.stored_name(),
            kind(&family),
            family.help
        );
    }
    out
}
