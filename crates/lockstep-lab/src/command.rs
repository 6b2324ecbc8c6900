//! The commands of a catalogue, as a program of its own or as a subcommand.

use crate::card::{Card, Failures, Price, Prices};
use crate::check::{Catalogue, Entry};
use crate::compare::Comparison;
use crate::diagram;
use crate::page::page;
use crate::timed::{LAN, PRICE_FIGURES, SIZES, TimedRun, Timing, in_words};
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::io::{self, Write};

/// Exit code: a property fails, a break is not found again, or a price is not what is measured.
pub const FAILED_CHECK: u8 = 3;
/// Exit code: no such card, or no such break.
pub const NO_SUCH_CARD: u8 = 2;

/// The name of the story of a run where nothing goes wrong.
const GOOD: &str = "good";
/// The name of the story of a property that does not hold in the model of the card itself.
const VIOLATION: &str = "violation";

/// Protocols of the theory: explored, broken, priced and drawn.
#[derive(Clone, Debug, Parser)]
pub struct LabArgs {
    #[command(subcommand)]
    command: LabCommand,
}

/// The subcommands.
#[derive(Clone, Debug, Subcommand)]
enum LabCommand {
    /// All protocols, in the order of the tour
    List,
    /// A card in words: what it promises, what each assumption buys, how it breaks
    Explain {
        /// The card
        name: String,
    },
    /// Explores each model whole, finds each break again, and measures each price; all cards unless some are
    /// named
    Check {
        /// The cards
        names: Vec<String>,
    },
    /// A good run or the story of a break, as a picture (SVG) or as text; of flp also its states (`valence`)
    Draw {
        /// The card
        name: String,
        /// The break; `violation` is what `check` finds in the model of the card itself
        #[arg(default_value = GOOD)]
        broken: String,
        /// Text instead of SVG
        #[arg(long)]
        text: bool,
    },
    /// One timed run of a card's requests, judged by its properties
    Run(RunArgs),
    /// What one request costs with each protocol: message delays, datagrams, bytes, load, latency, the gap
    /// when p1 dies, and what the next stronger guarantee costs
    Compare {
        /// Processes
        #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(3..=7))]
        processes: u8,
        /// A table, JSON, or one HTML page with a picture of a run of each
        #[arg(long, value_enum, default_value_t = Format::Table)]
        format: Format,
    },
}

/// How a comparison is printed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Format {
    Table,
    Json,
    Html,
}

/// Where a command writes.
struct Streams<'a> {
    /// What was asked for.
    out: &'a mut dyn Write,
    /// Why it is not to be had.
    errors: &'a mut dyn Write,
}

/// Runs a command: what it was asked for goes to `out`, and why that is not to be had to `errors`. Returns
/// the exit code.
///
/// # Errors
/// `out` or `errors` cannot be written to.
pub fn run(
    catalogue: &Catalogue,
    args: &LabArgs,
    out: &mut dyn Write,
    errors: &mut dyn Write,
) -> io::Result<u8> {
    let out = &mut Streams { out, errors };
    match &args.command {
        LabCommand::List => list(catalogue, out),
        LabCommand::Explain { name } => with_card(catalogue, name, out, explain),
        LabCommand::Check { names } => check(catalogue, names, out),
        LabCommand::Draw { name, broken, text } => {
            with_card(catalogue, name, out, |entry, out| draw(entry, broken, *text, out))
        }
        LabCommand::Run(args) => {
            with_card(catalogue, &args.name, out, |entry, out| run_once(entry, args, out))
        }
        LabCommand::Compare { processes, format } => compare(catalogue, *processes, *format, out),
    }
}

fn with_card(
    catalogue: &Catalogue,
    name: &str,
    out: &mut Streams<'_>,
    act: impl FnOnce(&Entry, &mut Streams<'_>) -> io::Result<u8>,
) -> io::Result<u8> {
    match catalogue.get(name) {
        Some(entry) => act(entry, out),
        None => {
            let names: Vec<_> = catalogue.entries().map(|entry| entry.card.name).collect();
            writeln!(out.errors, "there is no card {name:?}; there are: {}", names.join(", "))?;
            Ok(NO_SUCH_CARD)
        }
    }
}

fn list(catalogue: &Catalogue, out: &mut Streams<'_>) -> io::Result<u8> {
    let width = catalogue.entries().map(|entry| entry.card.name.len()).max().unwrap_or(0);
    for entry in catalogue.entries() {
        let family = format!("{:?}", entry.card.family).to_lowercase();
        writeln!(out.out, "{:<width$} {family:<12} {}", entry.card.name, entry.card.source)?;
    }
    Ok(0)
}

fn explain(entry: &Entry, out: &mut Streams<'_>) -> io::Result<u8> {
    let card = entry.card;
    writeln!(out.out, "{} ({})\n\n{}\n\nIt promises:", card.name, card.source, card.says)?;
    for property in card.properties {
        writeln!(out.out, "  {}: {}", property.name, property.promise)?;
    }
    writeln!(out.out, "What each assumption buys:")?;
    for (assumption, bought) in card.buys {
        writeln!(out.out, "  {assumption}: {bought}")?;
    }
    if !card.uses.is_empty() {
        writeln!(out.out, "It is made of: {}", card.uses.join(", "))?;
    }
    writeln!(out.out, "It breaks:")?;
    for broken in card.breaks {
        writeln!(out.out, "  {} (loses {}): {}", broken.name, broken.loses.name, broken.says)?;
    }
    explain_prices(card, out)?;
    Ok(0)
}

/// The prices by their formulas, but for what never happens; or why there is none.
fn explain_prices(card: &Card, out: &mut Streams<'_>) -> io::Result<()> {
    let prices = match card.prices {
        Prices::None(why) => return writeln!(out.out, "It has no price: {why}"),
        Prices::Of(prices) => prices,
    };
    writeln!(out.out, "It costs, among {SIZES:?} processes:")?;
    for price in prices {
        let figures = PRICE_FIGURES.into_iter().zip(price.formulas());
        let figures = figures.map(|(name, formula)| (name, SIZES.map(|n| formula(n.into()))));
        let figures = figures.filter(|(_, of_sizes)| *of_sizes != [Price::NEVER; SIZES.len()]);
        let figures = figures.map(|(name, of_sizes)| format!("{name} {}", of_sizes.map(in_words).join(", ")));
        writeln!(out.out, "  {}: {}", price.request(), figures.collect::<Vec<_>>().join("; "))?;
    }
    Ok(())
}

fn check(catalogue: &Catalogue, names: &[String], out: &mut Streams<'_>) -> io::Result<u8> {
    let mut code = 0;
    let mut names: Vec<&str> = names.iter().map(String::as_str).collect();
    if names.is_empty() {
        names.extend(catalogue.entries().map(|entry| entry.card.name));
    }
    for name in names {
        let wrong = with_card(catalogue, name, out, |entry, out| {
            let checked = entry.check();
            writeln!(out.out, "{}: {}", checked.card.name, checked.explored)?;
            for broken in &checked.breaks {
                if let Some(story) = &broken.story {
                    writeln!(out.out, "  {}: {} steps; {}", broken.name, story.rows.len(), story.end)?;
                }
            }
            let errors = checked.errors();
            errors.iter().try_for_each(|error| writeln!(out.out, "ERROR: {error}"))?;
            Ok(if errors.is_empty() { 0 } else { FAILED_CHECK })
        })?;
        code = code.max(wrong);
    }
    Ok(code)
}

/// The name of the picture of a consensus's states, beside the names of breaks.
const VALENCE: &str = "valence";

fn draw(entry: &Entry, name: &str, text: bool, out: &mut Streams<'_>) -> io::Result<u8> {
    if name == VALENCE
        && let Some(found) = entry.valences()
    {
        if text {
            write!(out.out, "{found}")?;
        } else {
            out.out.write_all(found.draw().as_bytes())?;
        }
        return Ok(0);
    }
    let story = match name {
        GOOD => entry.timed(&Timing::of_card(entry.card)).and_then(|run| run.story),
        VIOLATION => entry.explore().violation,
        broken => entry.story(broken),
    };
    let Some(story) = story else {
        if name == VIOLATION {
            writeln!(out.errors, "every property of {} holds in its model", entry.card.name)?;
            return Ok(NO_SUCH_CARD);
        }
        let names = [GOOD, VIOLATION].into_iter().chain(entry.card.breaks.iter().map(|broken| broken.name));
        let names: Vec<_> = names.collect();
        writeln!(out.errors, "no story {name:?} of {}; there are: {}", entry.card.name, names.join(", "))?;
        return Ok(NO_SUCH_CARD);
    };
    if text {
        write!(out.out, "{story}")?
    } else {
        out.out.write_all(diagram::draw(&story).as_bytes())?
    }
    Ok(0)
}

fn compare(catalogue: &Catalogue, n: u8, format: Format, out: &mut Streams<'_>) -> io::Result<u8> {
    let comparison = Comparison::of(catalogue, n);
    match format {
        Format::Table => write!(out.out, "{comparison}")?,
        Format::Json => writeln!(out.out, "{}", serde_json::to_string_pretty(&comparison)?)?,
        Format::Html => writeln!(out.out, "{}", page(catalogue, &comparison))?,
    }
    Ok(0)
}

/// How a timed run goes, and how it is printed.
#[derive(Clone, Debug, Args)]
struct RunArgs {
    /// The card
    name: String,
    /// Processes, if not those of its model
    #[arg(long, value_parser = clap::value_parser!(u8).range(3..=7))]
    processes: Option<u8>,
    /// The seed of the network's delays; without one, each message takes one unit of time
    #[arg(long)]
    seed: Option<u64>,
    /// p1 crashes before it does anything
    #[arg(long)]
    leader_dies: bool,
    /// Prints each step
    #[arg(long)]
    trace: bool,
    /// A space-time picture (SVG) instead of text
    #[arg(long, conflicts_with = "trace")]
    svg: bool,
}

/// Runs a card's requests once, and judges the run by its properties.
fn run_once(entry: &Entry, args: &RunArgs, out: &mut Streams<'_>) -> io::Result<u8> {
    let card = entry.card;
    let timing = args.processes.map_or_else(|| Timing::of_card(card), |n| Timing::of_card_among(card, n));
    let mut timing = Timing { leader_dies: args.leader_dies, ..timing };
    if let Some(seed) = args.seed {
        timing = Timing { network: LAN, seed, ..timing };
    }
    let Some(TimedRun { cost, story, wrong }) = entry.timed(&timing) else {
        writeln!(out.errors, "{} has no timed run; it is explored: lockstep lab check {0}", card.name)?;
        return Ok(NO_SUCH_CARD);
    };
    if args.svg {
        out.out.write_all(story.as_ref().map_or_else(String::new, diagram::draw).as_bytes())?;
    } else {
        if let Some(story) = story.filter(|_| args.trace) {
            writeln!(out.out, "{story}")?;
        }
        if args.leader_dies && card.model.failures == Failures::None {
            writeln!(
                out.out,
                "{} promises nothing once a process crashes: its model has no crash",
                card.name
            )?;
        }
        let unit = if args.seed.is_some() { "ns" } else { "message delays" };
        writeln!(
            out.out,
            "{}: each process indicated something after {:?} {unit}; {} datagrams, {} copies, {} bytes; the busiest \
             process sends and receives {}",
            card.name, cost.delays, cost.multicast, cost.unicast, cost.multicast_bytes, cost.busiest
        )?;
        for property in card.properties {
            let broken = wrong.iter().find(|wrong| wrong.starts_with(&format!("{}: ", property.name)));
            writeln!(
                out.out,
                "  {}",
                broken.map_or_else(|| format!("{} holds", property.name), String::clone)
            )?;
        }
    }
    Ok(if wrong.is_empty() { 0 } else { FAILED_CHECK })
}
