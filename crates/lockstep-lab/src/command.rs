//! The commands of a catalogue, as a program of its own or as a subcommand.

use crate::check::{Catalogue, Entry};
use crate::diagram;
use crate::timed::SIZES;
use clap::{Parser, Subcommand};
use std::io::{self, Write};

/// Exit code: a property fails, a break is not found again, or a price is not what is measured.
pub const FAILED_CHECK: u8 = 3;
/// Exit code: no such card, or no such break.
pub const NO_SUCH_CARD: u8 = 2;

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
    /// The story of a break, as a picture (SVG) or as text; of flp also its states (`valence`)
    Draw {
        /// The card
        name: String,
        /// The break
        broken: String,
        /// Text instead of SVG
        #[arg(long)]
        text: bool,
    },
    /// What one request costs with each protocol: message delays, datagrams, bytes, load
    Compare {
        /// Processes
        #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(3..=8))]
        processes: u8,
    },
}

/// Runs a command. Returns the exit code.
///
/// # Errors
/// `out` cannot be written to.
pub fn run(catalogue: &Catalogue, args: &LabArgs, out: &mut dyn Write) -> io::Result<u8> {
    match &args.command {
        LabCommand::List => list(catalogue, out),
        LabCommand::Explain { name } => with_card(catalogue, name, out, explain),
        LabCommand::Check { names } => check(catalogue, names, out),
        LabCommand::Draw { name, broken, text } => {
            with_card(catalogue, name, out, |entry, out| draw(entry, broken, *text, out))
        }
        LabCommand::Compare { processes } => compare(catalogue, *processes, out),
    }
}

fn with_card(
    catalogue: &Catalogue,
    name: &str,
    out: &mut dyn Write,
    act: impl FnOnce(&Entry, &mut dyn Write) -> io::Result<u8>,
) -> io::Result<u8> {
    match catalogue.get(name) {
        Some(entry) => act(entry, out),
        None => {
            let names: Vec<_> = catalogue.entries().map(|entry| entry.card.name).collect();
            writeln!(out, "there is no card {name:?}; there are: {}", names.join(", "))?;
            Ok(NO_SUCH_CARD)
        }
    }
}

fn list(catalogue: &Catalogue, out: &mut dyn Write) -> io::Result<u8> {
    for entry in catalogue.entries() {
        let family = format!("{:?}", entry.card.family).to_lowercase();
        writeln!(out, "{:<24} {family:<12} {}", entry.card.name, entry.card.source)?;
    }
    Ok(0)
}

fn explain(entry: &Entry, out: &mut dyn Write) -> io::Result<u8> {
    let card = entry.card;
    writeln!(out, "{} ({})\n\n{}\n\nIt promises:", card.name, card.source, card.says)?;
    for property in card.properties {
        writeln!(out, "  {}: {}", property.name, property.promise)?;
    }
    writeln!(out, "What each assumption buys:")?;
    for (assumption, bought) in card.buys {
        writeln!(out, "  {assumption}: {bought}")?;
    }
    if !card.uses.is_empty() {
        writeln!(out, "It is made of: {}", card.uses.join(", "))?;
    }
    writeln!(out, "It breaks:")?;
    for broken in card.breaks {
        writeln!(out, "  {} (loses {}): {}", broken.name, broken.loses.name, broken.says)?;
    }
    Ok(0)
}

fn check(catalogue: &Catalogue, names: &[String], out: &mut dyn Write) -> io::Result<u8> {
    let mut code = 0;
    let mut names: Vec<&str> = names.iter().map(String::as_str).collect();
    if names.is_empty() {
        names.extend(catalogue.entries().map(|entry| entry.card.name));
    }
    for name in names {
        let wrong = with_card(catalogue, name, out, |entry, out| {
            let checked = entry.check();
            writeln!(out, "{}: {}", checked.card.name, checked.explored)?;
            for broken in &checked.breaks {
                if let Some(story) = &broken.story {
                    writeln!(out, "  {}: {} steps; {}", broken.name, story.rows.len(), story.end)?;
                }
            }
            let errors = checked.errors();
            errors.iter().try_for_each(|error| writeln!(out, "ERROR: {error}"))?;
            Ok(if errors.is_empty() { 0 } else { FAILED_CHECK })
        })?;
        code = code.max(wrong);
    }
    Ok(code)
}

/// The name of the picture of a consensus's states, beside the names of breaks.
const VALENCE: &str = "valence";

fn draw(entry: &Entry, broken: &str, text: bool, out: &mut dyn Write) -> io::Result<u8> {
    if broken == VALENCE
        && let Some(found) = entry.valences()
    {
        if text {
            write!(out, "{found}")?;
        } else {
            out.write_all(found.draw().as_bytes())?;
        }
        return Ok(0);
    }
    let Some(story) = entry.story(broken) else {
        let names: Vec<_> = entry.card.breaks.iter().map(|broken| broken.name).collect();
        writeln!(out, "no story of {broken:?}; the breaks of {} are: {}", entry.card.name, names.join(", "))?;
        return Ok(NO_SUCH_CARD);
    };
    if text {
        write!(out, "{story}")?
    } else {
        out.write_all(diagram::draw(&story).as_bytes())?
    }
    Ok(0)
}

fn compare(catalogue: &Catalogue, n: u8, out: &mut dyn Write) -> io::Result<u8> {
    writeln!(
        out,
        "one request among {n} processes, nothing fails (formulas are checked for {SIZES:?})\n{:<24} {:>17} {:>21} {:>21} {:>8}",
        "", "message delays", "datagrams", "bytes", "busiest"
    )?;
    writeln!(
        out,
        "{:<24} {:>5} {:>5} {:>5} {:>10} {:>10} {:>10} {:>10} {:>8}",
        "", "first", "most", "all", "multicast", "unicast", "multicast", "unicast", "process"
    )?;
    for entry in catalogue.entries() {
        let Some(cost) = entry.cost(n) else { continue };
        let [first, most, all] =
            cost.delays_of(n).map(|delay| delay.map_or_else(|| "-".to_owned(), |delay| delay.to_string()));
        writeln!(
            out,
            "{:<24} {first:>5} {most:>5} {all:>5} {:>10} {:>10} {:>10} {:>10} {:>8}",
            entry.card.name,
            cost.multicast,
            cost.unicast,
            cost.multicast_bytes,
            cost.unicast_bytes,
            cost.busiest
        )?;
    }
    Ok(0)
}
