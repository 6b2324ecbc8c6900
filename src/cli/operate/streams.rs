//! `lockstep streams`: shows and changes which streams of a set are merged into one order.

use crate::cli::shared::flags::OperatorArgs;
use clap::{Args, Subcommand};
use lockstep_client::Endpoint;
use lockstep_daemon::Failure;
use lockstep_daemon::config::{Config, SetPlace};
use lockstep_daemon::coordinator::{place, streams_of};
use lockstep_daemon::failure::USAGE;
use lockstep_io::clock::Utc;
use lockstep_operations::OperationError;
use lockstep_operations::streams::{
    ListChange, ListInForce, ReadBack, SetReader, SetView, change_list, end_of,
};
use lockstep_set::SetRow;
use lockstep_wire::Seq;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::io::Write;
use std::str::FromStr;

/// The version of what `--json` prints.
const SCHEMA: &str = "lockstep.streams/1";

/// What `streams` does.
#[derive(Args, Debug)]
pub struct StreamsArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: StreamsCommand,
}

/// The subcommands of `streams`.
#[derive(Subcommand, Debug)]
pub enum StreamsCommand {
    /// Shows the list in force, the last cut with the row of each stream, and who publishes cuts
    Show(OperatorArgs),
    /// Adds a stream to the list: from then on it is part of the merged order
    Add(AddStreamArgs),
    /// Removes a stream from the list: nothing of it is merged behind that
    Remove(RemoveStreamArgs),
}

/// Flags of `streams add`.
#[derive(Args, Debug)]
pub struct AddStreamArgs {
    #[command(flatten)]
    pub operator: OperatorArgs,
    /// The stream's name in the file
    #[arg(value_name = "NAME", required_unless_present = "all", conflicts_with = "all")]
    pub name: Option<String>,
    /// All streams of the file
    #[arg(long)]
    pub all: bool,
    /// From where on it is merged: a seq, or now for what is stamped from now on
    #[arg(long, value_name = "SEQ|now", default_value = "now")]
    pub from: MergedFrom,
}

/// Flags of `streams remove`.
#[derive(Args, Debug)]
pub struct RemoveStreamArgs {
    #[command(flatten)]
    pub operator: OperatorArgs,
    /// The stream's name in the list
    #[arg(value_name = "NAME")]
    pub name: String,
}

/// From where on a stream is merged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MergedFrom {
    /// From its present end on.
    Now,
    /// From this seq on.
    Seq(Seq),
}

impl FromStr for MergedFrom {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match (text, text.parse::<i64>()) {
            ("now", _) => Ok(Self::Now),
            (_, Ok(seq)) if seq >= 1 => Ok(Self::Seq(seq as Seq)),
            _ => Err("write a seq from 1 on, or now".to_owned()),
        }
    }
}

/// Does what the arguments say.
pub fn run(args: &StreamsArgs) -> Result<u8, Failure> {
    match &args.command {
        StreamsCommand::Show(operator) => show(operator),
        StreamsCommand::Add(args) => add(args),
        StreamsCommand::Remove(args) => remove(args),
    }
}

fn show(operator: &OperatorArgs) -> Result<u8, Failure> {
    let configs = streams_of(&operator.cluster)?;
    let mut reader = SetReader::new(&configs[0], ReadBack::AsFarAsNeeded)?;
    reader.read(0, operator.timeout)?;
    let (view, place) = (&reader.view, place(&configs[0]));
    let text = if operator.json { format!("{}\n", as_json(view, place)) } else { as_text(view, place) };
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(0)
}

/// The line about the list: its place, and why it is known to be in force.
fn list_line(view: &SetView, list: &ListInForce, home: &str) -> String {
    let number = list.number;
    match list.at {
        Some(at) if view.is_certain() => format!("list {number} of {home}, at seq {at}"),
        Some(at) => format!(
            "list {number} of {home}, at seq {at}; whether it is in force, and whether the cut below counts, is not known: no cut \
             from seq {} on, the oldest that is retained, names another one",
            view.from
        ),
        None if view.is_from_oldest => format!(
            "list {number} of {home}, which is no longer retained (the oldest entry is seq {}): its streams are those of the last \
             cut, which counts, with the names of the file",
            view.from
        ),
        None => format!(
            "list {number} of {home}, which stands before seq {}: its streams are those of the last cut, which counts, with the names \
             of the file",
            view.from
        ),
    }
}

fn as_text(view: &SetView, place: &SetPlace) -> String {
    let home = &place.home().name;
    let Some(list) = view.list() else {
        if !view.is_certain() {
            return format!(
                "{home} is retained from seq {} on, and no cut there names another one: which streams are merged is not known \
                 until a coordinator publishes two cuts\n",
                view.from
            );
        }
        return format!(
            "{home} has no list of streams: `lockstep streams add --all` makes their merged order begin\n"
        );
    };
    let mut out = list_line(view, &list, home) + "\n";
    // Writing into a string cannot fail.
    match &view.last {
        Some(last) => {
            let (time, name) = (Utc(last.timestamp), view.name_of(last.publisher));
            let _ = writeln!(out, "last cut at seq {} of {home}, {time}, by {name}", last.seq);
        }
        None => _ = writeln!(out, "no cut so far: `lockstep coordinator` publishes them"),
    }
    let wide = list.rows.iter().map(|row| row.name.len()).max().unwrap_or(0);
    for SetRow { stream, from, name } in &list.rows {
        let from = if *from == 0 { String::new() } else { format!("from seq {from}, ") };
        let merged = match view.covered(*stream) {
            None => "nothing merged so far".to_owned(),
            Some(row) => format!("merged up to seq {}, epoch {}", row.next.saturating_sub(1), row.epoch()),
        };
        let _ = writeln!(out, "  {name:<wide$}  {from}{merged}");
    }
    for (publisher, counts) in &view.coordinators {
        let (name, counted, voided) = (view.name_of(*publisher), counts.counted, counts.voided);
        let _ = writeln!(out, "{name}: {counted} cuts counted, {voided} did not, from seq {} on", view.from);
    }
    out
}

fn as_json(view: &SetView, place: &SetPlace) -> Value {
    let list = view.list();
    let rows = list.iter().flat_map(|list| &list.rows).map(|row| {
        let covered = view.covered(row.stream);
        let (next, epoch) = (covered.map(|row| row.next), covered.map(|row| row.epoch().to_string()));
        json!({ "name": row.name, "cluster": row.stream, "from": row.from, "next": next, "epoch": epoch })
    });
    let coordinators = view.coordinators.iter().map(|(publisher, counts)| {
        json!({ "name": view.name_of(*publisher), "counted": counts.counted, "void": counts.voided })
    });
    let last = view.last.as_ref().map(
        |last| json!({ "seq": last.seq, "timestamp": last.timestamp, "by": view.name_of(last.publisher) }),
    );
    json!({
        "schema": SCHEMA,
        "home": place.home().name,
        "list": list.as_ref().map_or(0, |list| list.number),
        "listed_at": list.as_ref().and_then(|list| list.at).unwrap_or(0),
        "read_from": view.from,
        "certain": view.is_certain(),
        "last_cut": last,
        "streams": rows.collect::<Vec<_>>(),
        "coordinators": coordinators.collect::<Vec<_>>(),
        "void": view.voided(),
    })
}

fn add(args: &AddStreamArgs) -> Result<u8, Failure> {
    let configs = streams_of(&args.operator.cluster)?;
    let others = &configs[1..];
    let wanted: Vec<&Config> = match &args.name {
        None => others.iter().collect(),
        Some(name) => vec![stream_of(&configs, name)?],
    };
    if wanted.is_empty() {
        return Err(Failure::new(
            USAGE,
            "the file has the home stream alone: a merged order is of two streams or more",
        ));
    }
    change(&configs, &args.operator, |view| {
        let mut rows = view.rows();
        let known = rows.len();
        for config in &wanted {
            let stream = place_of(config);
            if rows.iter().any(|row| row.stream == stream.0) {
                continue;
            }
            let from = match args.from {
                MergedFrom::Seq(seq) => seq,
                MergedFrom::Now => end_of(&Endpoint::for_operator(config)?, args.operator.timeout)?,
            };
            rows.push(SetRow { stream: stream.0, from, name: stream.1 });
        }
        Ok((rows.len() > known).then_some(rows))
    })
}

/// The number and the name of the stream that a configuration describes.
fn place_of(config: &Config) -> (u64, String) {
    (config.cluster, config.stream_name().to_owned())
}

/// The configuration of the stream with this name, which is not the home stream.
fn stream_of<'a>(configs: &'a [Config], name: &str) -> Result<&'a Config, Failure> {
    let found = configs.iter().find(|config| config.stream_name() == name);
    let what = match found {
        Some(config) if place(config).index > 0 => return Ok(config),
        Some(_) => format!("{name} is the home stream: all of it is merged, and no list names it"),
        None => {
            let names: Vec<_> = configs[1..].iter().map(|config| place_of(config).1).collect();
            format!("there is no stream \"{name}\": the file has {} beside the home stream", names.join(", "))
        }
    };
    Err(Failure::new(USAGE, what))
}

fn remove(args: &RemoveStreamArgs) -> Result<u8, Failure> {
    let configs = streams_of(&args.operator.cluster)?;
    if place(&configs[0]).home().name == args.name {
        stream_of(&configs, &args.name)?;
    }
    change(&configs, &args.operator, |view| {
        let mut rows = view.rows();
        let known = rows.len();
        rows.retain(|row| row.name != args.name);
        Ok((rows.len() < known).then_some(rows))
    })
}

/// Publishes what `wanted` makes of the list in force, and prints the one that is in force then.
fn change(
    configs: &[Config],
    operator: &OperatorArgs,
    wanted: impl FnMut(&SetView) -> Result<Option<Vec<SetRow>>, OperationError>,
) -> Result<u8, Failure> {
    let (home, place) = (&configs[0], place(&configs[0]));
    let (change, view) = change_list(home, place, operator.timeout, wanted)?;
    let names: Vec<_> = view.rows().into_iter().map(|row| row.name).collect();
    let (number, seq) = match change {
        ListChange::Same => (view.number(), view.list().and_then(|list| list.at).unwrap_or(0)),
        ListChange::Listed { number, seq } => (number, seq),
    };
    let is_new = change != ListChange::Same;
    if operator.json {
        println!(
            "{}",
            json!({ "schema": SCHEMA, "changed": is_new, "list": number, "listed_at": seq, "streams": names })
        );
        return Ok(0);
    }
    let names = if names.is_empty() { "no stream".to_owned() } else { names.join(", ") };
    let home = &place.home().name;
    match is_new {
        true => println!("list {number} at seq {seq} of {home}: {names}"),
        false => println!("nothing to change: list {number} of {home} has {names}"),
    }
    Ok(0)
}
