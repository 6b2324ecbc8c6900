//! Operators' commands: one line of text each.

use crate::command::{AccountLimits, ExchangeCommand, InstrumentTerms};
use crate::output::OperatorRefusal;
use crate::types::{PhaseEnd, Symbol, TradingPhase};

/// Phases by their names in commands.
const PHASES: [(&str, TradingPhase); 7] = [
    ("closed", TradingPhase::Closed),
    ("pre-open", TradingPhase::PreOpen),
    ("opening-auction", TradingPhase::OpeningAuction),
    ("continuous", TradingPhase::Continuous),
    ("interruption", TradingPhase::VolatilityInterruption),
    ("closing-auction", TradingPhase::ClosingAuction),
    ("halted", TradingPhase::Halted),
];

/// The name of a phase.
pub(super) fn phase_name(phase: TradingPhase) -> &'static str {
    PHASES.iter().find(|(_, named)| *named == phase).map_or("unknown", |(name, _)| name)
}

fn phase_of(name: &str) -> Result<TradingPhase, String> {
    let found = PHASES.iter().find(|(known, _)| *known == name).map(|(_, phase)| *phase);
    found.ok_or_else(|| format!("'{name}' is no phase: write {}", PHASES.map(|(name, _)| name).join(", ")))
}

/// Pairs of a name and a number.
struct Pairs<'a>(Vec<(&'a str, u64)>);

impl<'a> Pairs<'a> {
    fn of(words: &[&'a str], names: &[&str]) -> Result<Self, String> {
        let mut pairs = Vec::new();
        for pair in words.chunks(2) {
            let &[name, number] = pair else {
                return Err(format!("write a number behind '{}'", pair.join(" ")));
            };
            if !names.contains(&name) {
                return Err(format!("'{name}' is not one of {}", names.join(", ")));
            }
            if pairs.iter().any(|(known, _)| *known == name) {
                return Err(format!("'{name}' is there twice"));
            }
            pairs.push((name, number_of(number)?));
        }
        Ok(Self(pairs))
    }

    fn get(&self, name: &str) -> Option<u64> {
        self.0.iter().find(|(known, _)| *known == name).map(|(_, number)| *number)
    }

    fn wanted(&self, name: &str) -> Result<u64, String> {
        self.get(name).ok_or_else(|| format!("write '{name}' and a number"))
    }

    /// A number of 32 bits, or this one.
    fn small(&self, name: &str, default: u32) -> Result<u32, String> {
        self.get(name).map_or(Ok(default), |number| small(name, number))
    }
}

fn small(name: &str, number: u64) -> Result<u32, String> {
    u32::try_from(number).map_err(|_| format!("{name} is {number}: at most {}", u32::MAX))
}

fn number_of(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("'{text}' is no number"))
}

fn symbol_of(text: &str) -> Result<Symbol, String> {
    let symbol = Symbol::new(text);
    let fits = text.len() <= 8 && symbol.is_valid();
    fits.then_some(symbol).ok_or_else(|| format!("'{text}' is no symbol: 1 to 8 printable characters"))
}

fn account_of(text: &str) -> Result<u32, String> {
    small("the account", number_of(text)?)
}

fn instrument(symbol: &str, rest: &[&str]) -> Result<ExchangeCommand, String> {
    let pairs = Pairs::of(rest, &["tick", "lot", "reference", "static", "dynamic", "extended"])?;
    Ok(ExchangeCommand::DefineInstrument(InstrumentTerms {
        symbol: symbol_of(symbol)?,
        tick: pairs.wanted("tick")?,
        lot: pairs.small("lot", 1)?,
        reference: pairs.wanted("reference")?,
        static_bps: pairs.small("static", 0)?,
        dynamic_bps: pairs.small("dynamic", 0)?,
        extended_bps: pairs.small("extended", 0)?,
    }))
}

fn phase(symbol: &str, name: &str, end: &[&str]) -> Result<ExchangeCommand, String> {
    let symbol = if symbol == "*" { None } else { Some(symbol_of(symbol)?) };
    let ends = match *end {
        [] => PhaseEnd::Never,
        ["until", at] => PhaseEnd::At(number_of(at)?),
        ["for", ms] => PhaseEnd::After(number_of(ms)?.saturating_mul(1_000_000)),
        _ => return Err("write until NANOSECONDS, or for MILLISECONDS, or nothing behind the phase".into()),
    };
    Ok(ExchangeCommand::SetPhase { symbol, phase: phase_of(name)?, ends })
}

fn limits(account: &str, rest: &[&str]) -> Result<ExchangeCommand, String> {
    let pairs = Pairs::of(rest, &["quantity", "notional", "orders", "position", "rate"])?;
    let limits = AccountLimits {
        quantity_max: pairs.small("quantity", u32::MAX)?,
        notional_max: pairs.get("notional").unwrap_or(u64::MAX),
        open_orders_max: pairs.small("orders", u32::MAX)?,
        position_max: pairs.get("position").unwrap_or(u64::MAX),
        orders_per_second_max: pairs.small("rate", u32::MAX)?,
    };
    Ok(ExchangeCommand::SetAccount { account: account_of(account)?, limits, cancel_on_disconnect: true })
}

/// The command of a line.
pub(super) fn command_of(line: &str) -> Result<ExchangeCommand, String> {
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    match *words {
        ["instrument", symbol, ref rest @ ..] => instrument(symbol, rest),
        ["reference", symbol, price] => {
            Ok(ExchangeCommand::SetReference { symbol: symbol_of(symbol)?, price: number_of(price)? })
        }
        ["phase", symbol, name, ref end @ ..] => phase(symbol, name, end),
        ["limits", account, ref rest @ ..] => limits(account, rest),
        ["kill", account] => {
            Ok(ExchangeCommand::SetKillSwitch { account: account_of(account)?, is_on: true })
        }
        ["revive", account] => {
            Ok(ExchangeCommand::SetKillSwitch { account: account_of(account)?, is_on: false })
        }
        ["bust", trade] => Ok(ExchangeCommand::Bust { match_number: number_of(trade)? }),
        ["event", code] if code.len() == 1 => Ok(ExchangeCommand::SystemEvent { code: code.as_bytes()[0] }),
        _ => Err(
            "write instrument, reference, phase, limits, kill, revive, bust or event, as the README has them"
                .into(),
        ),
    }
}

/// Why a command changed nothing.
pub(super) fn refusal_text(refusal: OperatorRefusal) -> String {
    let name = |symbol: Symbol| symbol.0.trim_ascii_end().escape_ascii().to_string();
    match refusal {
        OperatorRefusal::UnknownInstrument(symbol) => format!("no instrument {}", name(symbol)),
        OperatorRefusal::UnknownAccount(account) => format!("no account {account}"),
        OperatorRefusal::InvalidTerms(symbol) => format!(
            "tick, lot, reference price or band of {} is out of range, or the price no multiple of the tick",
            name(symbol)
        ),
        OperatorRefusal::NotClosed(symbol) => format!("{} is not closed: new terms need that", name(symbol)),
        OperatorRefusal::Capacity => "there are as many instruments or accounts as the rules have".to_owned(),
        OperatorRefusal::UnknownTrade(number) => {
            format!("no trade {number}, or one that is too old to be busted")
        }
        OperatorRefusal::AlreadyBusted(number) => format!("trade {number} is busted already"),
        OperatorRefusal::InvalidEventCode(code) => {
            format!("'{}' is no event: O, S, Q, M, E or C", code.escape_ascii())
        }
    }
}
