//! A replica of the exchange on a cluster. Start it as often as you like, each with a number of its own.
//!
//! ```text
//! cargo run --release -p lockstep-exchange --example exchange -- NUMBER [ADDRESS:PORT [SNAPSHOT_EVERY [OPENING]]]
//! ```
//!
//! OPENING is a file of operators' commands, a line each, that are carried out at the first entry of the
//! stream: the same for each replica. Without it there are ABC and XYZ, in continuous trading.

use lockstep_app::{AppSettings, CHANNELS, Endpoint, run};
use lockstep_exchange::{ExchangeMachine, ExchangeSettings, TradingPhase};

/// Operators publish their commands to this channel.
const OPERATORS: u32 = CHANNELS + 1;
/// The market is published to this channel.
const FEED: u32 = CHANNELS + 2;

const OPENING: &str = "instrument ABC tick 100 lot 1 reference 100000
instrument XYZ tick 100 lot 1 reference 250000
phase * continuous";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let number =
        args.next().ok_or("usage: exchange NUMBER [ADDRESS:PORT [SNAPSHOT_EVERY [OPENING]]]")?.parse()?;
    let mut settings = AppSettings::new("exchange", number, format!("exchange-{number}"));
    settings.serve = args.next().map(|address| address.parse()).transpose()?;
    settings.snapshot_every = args.next().map_or(Ok(settings.snapshot_every), |every| every.parse())?;
    settings.digest_every = 10_000;
    let opening = args.next().map_or(Ok(OPENING.to_owned()), std::fs::read_to_string)?;
    let founding = ExchangeSettings {
        opening: opening.lines().map(str::to_owned).collect(),
        day_phase: TradingPhase::Continuous,
        ..ExchangeSettings::new(OPERATORS, FEED)
    };
    let mut machine = ExchangeMachine::new(founding)?;
    machine.prefault();
    Ok(run(&Endpoint::from_env()?, settings, || machine)?)
}
