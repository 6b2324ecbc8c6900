//! Arguments of the operator's commands on the membership.

use super::OperatorArgs;
use clap::{Args, Subcommand};
use lockstep_wire::{Condition, Identity};
use std::net::SocketAddrV4;

/// What `membership` does.
#[derive(Args, Debug)]
pub struct MembershipArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: MembershipCommand,
}

/// The subcommands of `membership`.
#[derive(Subcommand, Debug)]
pub enum MembershipCommand {
    /// Lists the members
    Show(OperatorArgs),
    /// Adds an identity, once its sequencer runs and holds the stream
    Add(MembershipAddArgs),
    /// Removes an identity
    Remove(MembershipRemoveArgs),
    /// Puts the next life of a replica into the place of the one before, in one step
    Replace(MembershipReplaceArgs),
}

/// Flags of `membership add`.
#[derive(Args, Debug)]
pub struct MembershipAddArgs {
    #[command(flatten)]
    pub operator: OperatorArgs,
    /// What its `format` printed, like 2:0a3f9c1
    #[arg(value_name = "IDENTITY")]
    pub identity: Identity,
    /// Its address; the default is that of its replica in the file
    #[arg(long, value_name = "IP:PORT")]
    pub address: Option<SocketAddrV4>,
    /// It votes and acknowledges, keeps only a ring, and never leads; the default is the role of its replica
    /// in the file
    #[arg(long)]
    pub witness: bool,
}

/// Flags of `membership replace`.
#[derive(Args, Debug)]
pub struct MembershipReplaceArgs {
    #[command(flatten)]
    pub operator: OperatorArgs,
    /// Which, as `membership show` prints it
    #[arg(value_name = "OLD")]
    pub old: Identity,
    /// What the `format` of the same replica printed last
    #[arg(value_name = "NEW")]
    pub new: Identity,
    /// The address of the new one; the default is that of the old one
    #[arg(long, value_name = "IP:PORT")]
    pub address: Option<SocketAddrV4>,
}

/// Flags of `membership remove`.
#[derive(Args, Debug)]
pub struct MembershipRemoveArgs {
    #[command(flatten)]
    pub operator: OperatorArgs,
    /// Which, as `membership show` prints it
    #[arg(value_name = "IDENTITY")]
    pub identity: Identity,
}

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

/// Flags of `handover`.
#[derive(Args, Debug)]
pub struct HandoverArgs {
    #[command(flatten)]
    pub operator: OperatorArgs,
    /// The replica that is to lead; the default is the one that holds most
    #[arg(long, value_name = "REPLICA")]
    pub to: Option<u32>,
}

/// Flags of `upgrade`.
#[derive(Args, Debug)]
pub struct UpgradeArgs {
    #[command(flatten)]
    pub operator: OperatorArgs,
    /// Ends the upgrade: the log rises to the newest version that every node speaks. Older releases read it
    /// no further from there on
    #[arg(long)]
    pub finish: bool,
    /// Shows what each node speaks and whether the upgrade can be ended; so does no flag
    #[arg(long, conflicts_with = "finish")]
    pub check: bool,
    /// The version to which the log is to rise; the default is the newest that every node speaks
    #[arg(long, value_name = "VERSION", requires = "finish")]
    pub to: Option<u8>,
}

/// Flags of `time`.
#[derive(Args, Debug)]
pub struct TimeArgs {
    #[command(flatten)]
    pub operator: OperatorArgs,
    /// Sets the stream's time, which ran ahead, back to that of a quorum's clocks
    #[arg(long)]
    pub correct: bool,
}

/// Flags of `declare-dead`.
#[derive(Args, Debug)]
pub struct DeclareDeadArgs {
    #[command(flatten)]
    pub operator: OperatorArgs,
    /// Which of the two, as `membership show` prints it
    #[arg(value_name = "IDENTITY")]
    pub identity: Identity,
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
