//! The exchange of the examples: all of its replicas are founded with the same.

use lockstep_exchange::{ExchangeMachine, ExchangeSettings, TradingPhase};
use lockstep_machine::CHANNELS;
use std::error::Error;

/// Operators publish their commands to this channel.
const OPERATORS: u32 = CHANNELS + 1;
/// The market is published to this channel.
const FEED: u32 = CHANNELS + 2;

const OPENING: &str = "instrument ABC tick 100 lot 1 reference 100000
instrument XYZ tick 100 lot 1 reference 250000
phase * continuous";

/// An exchange whose first input carries out the commands of the file `opening`; without one there are ABC
/// and XYZ, in continuous trading.
pub fn founded(opening: Option<&str>) -> Result<ExchangeMachine, Box<dyn Error>> {
    let opening = opening.map_or(Ok(OPENING.to_owned()), std::fs::read_to_string)?;
    let settings = ExchangeSettings {
        opening: opening.lines().map(str::to_owned).collect(),
        day_phase: TradingPhase::Continuous,
        ..ExchangeSettings::new(OPERATORS, FEED)
    };
    let mut machine = ExchangeMachine::new(settings)?;
    machine.prefault();
    Ok(machine)
}
