//! `lockstep ack CODE`: an operator has seen a condition that is a note of something past, and it ends.

use crate::cli::shared::flags::OperatorArgs;
use crate::cli::shared::operator::CommandClient;
use clap::Args;
use lockstep_daemon::Failure;
use lockstep_operations::commands::{acknowledge, check_acknowledged};
use lockstep_wire::{Condition, Identity};
use serde_json::json;
use std::io::Write;

/// The version of what `--json` prints.
const SCHEMA: &str = "lockstep.ack/1";

/// Flags of `ack`.
#[derive(Args, Debug)]
pub struct AckArgs {
    #[command(flatten)]
    pub operator: OperatorArgs,
    /// The code of the condition, like `LS1017`, or its name
    #[arg(value_name = "CODE", value_parser = condition)]
    pub code: Condition,
}

/// The condition with this code or name.
fn condition(text: &str) -> Result<Condition, String> {
    let wanted = text.to_ascii_lowercase();
    let number = wanted.strip_prefix("ls").unwrap_or(&wanted);
    let found = number.parse().ok().and_then(Condition::from_u16);
    let found = found.or_else(|| Condition::ALL.iter().copied().find(|known| known.name() == wanted));
    found.ok_or_else(|| format!("there is no condition '{text}'; `lockstep explain` lists all"))
}

/// Acknowledges it at each node that has it.
pub fn run(args: &AckArgs) -> Result<u8, Failure> {
    check_acknowledged(args.code)?;
    let mut operator = CommandClient::open(&args.operator.cluster, args.operator.timeout)?;
    let acknowledged = acknowledge(&mut operator, args.code)?;
    let mut out = std::io::stdout();
    let code = format!("LS{}", args.code as u16);
    if args.operator.json {
        let row = |(node, what): &(Identity, String)| json!({ "node": node.to_string(), "what": what });
        let rows: Vec<_> = acknowledged.iter().map(row).collect();
        writeln!(out, "{}", json!({ "schema": SCHEMA, "code": code, "acknowledged": rows }))?;
        return Ok(0);
    }
    for (node, what) in &acknowledged {
        writeln!(out, "{node}: {code} is acknowledged: {what}")?;
    }
    if acknowledged.is_empty() {
        writeln!(out, "no node that answers has {code} active")?;
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_is_named_by_its_code_its_number_or_its_name() {
        for text in ["LS1017", "ls1017", "1017", "reader_ahead"] {
            assert_eq!(condition(text), Ok(Condition::ReaderAhead), "{text}");
        }
        assert!(condition("LS9999").is_err_and(|why| why.contains("no condition 'LS9999'")));
    }
}
